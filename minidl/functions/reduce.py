"""Reductions: sums, products, means, extremes, norms, distances, counts, running sums, and the softmax family."""

from __future__ import annotations

import builtins
import math

from ..amp.casting import whole
from ..backend import ArgumentError, backend_of
from ..backend.dtypes import int64
from ..modes import mode
from ..ops import elementwise as E
from ..ops import reduce as R
from ..ops import shape as S
from ..tensor import Tensor, wrap
from .arguments import a_tensor, added, constant, counting, dimension, dims_of, floating, named, result
from .shape import cat, narrow, squeeze, unsqueeze

__all__ = """
    all amax amin aminmax any argmax argmin bincount cdist corrcoef count_nonzero cov cummax cummin cumprod cumsum
    cumulative_trapezoid diff dist histc log_softmax logcumsumexp logsumexp max mean min nanmean nansum norm prod
    softmax std std_mean sum trapezoid trapz var var_mean
""".split()


@named
def sum(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The sum over `dim` (all dimensions if None); integers and bools are added as int64."""
    if dtype is not None or input.array.dtype.kind == "u":  # NumPy would add uint8 as uint64
        input = input.to(int64 if dtype is None else dtype)
    return _in(R.sum(input, axis=_axis("sum", input, dim), keepdims=keepdim), dtype)


def _in(y: Tensor, dtype) -> Tensor:
    """y in the dtype that was asked for, also where autocast computed it in float32."""
    return y if dtype is None else y.to(dtype)


def _axis(name, input, dim):
    """What the ops take: a 0-d tensor has the dimension 0, along which there is one element."""
    dims = dims_of(dim)
    if input.array.ndim or dims is None:
        return dims
    for d in dims if isinstance(dims, tuple) else (dims,):
        dimension(name, input, d)
    return None


@named
def mean(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The mean over `dim` (all dimensions if None); only of floating-point numbers."""
    input = input if dtype is None else input.to(dtype)
    floating("mean", input)
    return R.mean(input, axis=_axis("mean", input, dim), keepdims=keepdim)


@named
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=1) -> Tensor:
    """The variance over `dim`: the squared deviations' sum over n - correction (1: unbiased)."""
    if isinstance(dim, builtins.bool):
        dim, unbiased = None, dim
    floating("var", input)
    ddof = correction if unbiased is None else int(unbiased)
    return R.var(input, axis=_axis("var", input, dim), keepdims=keepdim, ddof=ddof)


@named
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=1) -> Tensor:
    """The standard deviation over `dim`, the root of `var`."""
    if isinstance(dim, builtins.bool):
        dim, unbiased = None, dim
    floating("std", input)
    ddof = correction if unbiased is None else int(unbiased)
    return R.std(input, axis=_axis("std", input, dim), keepdims=keepdim, ddof=ddof)


def _not_empty(name, input, dim) -> None:
    """There is no largest of no elements."""
    if input.array.size:
        return
    if dim is None or dim == () or dim == []:
        text = f"{name}: the tensor of shape {tuple(input.shape)} has no elements; a dim that has some must be given"
        raise IndexError(text) if name.startswith("arg") else ArgumentError(text)
    for d in dim if isinstance(dim, (tuple, list)) else (dim,):
        if not input.array.shape[dimension(name, input, d)]:
            raise IndexError(f"{name}: dimension {d} of the shape {tuple(input.shape)} has no elements")


def _extreme(name, reduce, arg, elementwise):
    made = result(name)

    @named
    def extreme(input, dim=None, keepdim=False, *, other=None):
        if isinstance(dim, Tensor) or other is not None:
            return elementwise(input, dim if other is None else other)
        _not_empty(name, input, dim)
        if dim is None:
            return reduce(input)
        if not a_tensor(name, input).array.ndim:
            dimension(name, input, dim)
            return made(E.identity(input), constant(backend_of(input.array).zeros((), dtype=int64.dtype)))
        indices = arg(input, axis=dim, keepdims=True)
        values = S.take_along_axis(input, indices, axis=dim)
        if not keepdim:
            values, indices = squeeze(values, dim), squeeze(indices, dim)
        return made(values, indices)

    extreme.__name__ = name
    extreme.__doc__ = (
        f"The {name}imum of all, or `(values, indices)` along `dim`, or of two Tensors element by element."
    )
    return extreme


max, min = _extreme("max", R.max, R.argmax, E.maximum), _extreme("min", R.min, R.argmin, E.minimum)


def _reduction(name, op, doc, needs_dim=False, empty=True):
    @named
    def reduction(input, dim=None, keepdim=False) -> Tensor:
        if not empty:
            _not_empty(name, input, dim)
        if needs_dim and dim is None:
            raise TypeError(f"{name}: a dim must be given")
        return op(input, axis=_axis(name, input, dim), keepdims=keepdim)

    reduction.__name__, reduction.__doc__ = name, doc
    return reduction


amax = _reduction("amax", R.max, "The maximum over `dim`; equal elements share its gradient.", empty=False)
amin = _reduction("amin", R.min, "The minimum over `dim`; equal elements share its gradient.", empty=False)
argmax = _reduction("argmax", R.argmax, "The index of the maximum along `dim`, or in the flattened input.", empty=False)
argmin = _reduction("argmin", R.argmin, "The index of the minimum along `dim`, or in the flattened input.", empty=False)
any = _reduction("any", R.any, "Whether some element along `dim` is not 0.")
all = _reduction("all", R.all, "Whether every element along `dim` is not 0.")
logsumexp = _reduction("logsumexp", R.logsumexp, "log(sum(exp(input))) over `dim`, without overflow.", needs_dim=True)


@named
def softmax(input, dim=None, dtype=None) -> Tensor:
    """exp(input) / sum exp(input) along `dim`."""
    return _softmaxed(R.softmax, "softmax", input, dim, dtype)


@named
def log_softmax(input, dim=None, dtype=None) -> Tensor:
    """log softmax(input) along `dim`."""
    return _softmaxed(R.log_softmax, "log_softmax", input, dim, dtype)


def _softmaxed(op, name, input, dim, dtype) -> Tensor:
    x = a_tensor(name, input) if dtype is None else input.to(dtype)
    if dim is None:
        raise TypeError(
            f"{name}: dim must be given: along which dimension of {tuple(x.shape)} do the results sum to 1?"
        )
    axis = dimension(name, x, dim)
    return _in(op(x, axis=dim) if not x.array.ndim or x.array.shape[axis] else E.identity(x), dtype)


# ---------------------------------------------------------------------------------------------- sums and products
@named
def prod(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The product along `dim` (of all elements if None); integers and bools are multiplied as int64."""
    input = added(input, dtype)
    dim = None if dim is None else dimension("prod", input, dim)
    return _in(R.prod(input, axis=dim if input.array.ndim else None, keepdims=keepdim), dtype)


@named
@whole
def nansum(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The sum over `dim` with 0 for nan."""
    return sum(E.where(E.isnan(input), 0.0, input) if input.is_floating_point() else input, dim, keepdim, dtype=dtype)


@named
@whole
def nanmean(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The mean over `dim` of what is not nan."""
    input = input if dtype is None else input.to(dtype)
    floating("nanmean", input)
    there = E.logical_not(E.isnan(input))
    return nansum(input, dim, keepdim) / sum(there.to(input.dtype), dim, keepdim)


@named
def count_nonzero(input, dim=None) -> Tensor:
    """How many elements along `dim` are not 0."""
    return R.sum(E.not_equal(input, 0), axis=_axis("count_nonzero", input, dim))


def _both(name, spread):
    @named
    def function(input, dim=None, unbiased=None, keepdim=False, *, correction=1) -> tuple[Tensor, Tensor]:
        if isinstance(dim, builtins.bool):
            dim, unbiased = None, dim
        return spread(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)

    function.__name__, function.__doc__ = name, f"`{spread.__name__}` and `mean` over `dim`."
    return function


std_mean, var_mean = _both("std_mean", std), _both("var_mean", var)
_Range = result("aminmax", "min max")


@named
def aminmax(input, *, dim=None, keepdim=False):
    """`(min, max)` along `dim`, or of all elements: `amin` and `amax`."""
    return _Range(amin(input, dim, keepdim), amax(input, dim, keepdim))


def _running(name, op, doc):
    @named
    def function(input, dim, *, dtype=None) -> Tensor:
        input, dim = added(input, dtype), dimension(name, input, dim)
        return _in(op(input, axis=dim) if input.array.ndim else E.identity(input), dtype)

    function.__name__, function.__doc__ = name, doc
    return function


cumsum = _running("cumsum", R.cumsum, "The sums of the first 1, 2, 3 ... elements along `dim`; integers as int64.")
cumprod = _running("cumprod", R.cumprod, "The products of the first 1, 2, 3 ... elements along `dim`.")


def _running_extreme(name, turn):
    made = result(name)

    @named
    def function(input, dim):
        dim, x = dimension(name, input, dim), input.array
        if not x.ndim:
            return made(E.identity(input), constant(backend_of(x).zeros((), dtype=int64.dtype)))
        B = backend_of(x)
        x = B.astype(x, dtype="uint8") if x.dtype.kind == "b" else x
        x = x if not turn else -x if x.dtype.kind == "f" else ~x  # the order reversed, without overflow
        best = B.running_max(x, axis=dim)
        place = B.reshape(counting(input, x.shape[dim]), shape=(-1,) + (1,) * (x.ndim - dim - 1))
        met = B.logical_or(B.equal(x, best), B.isnan(x)) if x.dtype.kind == "f" else B.equal(x, best)
        indices = wrap(B.running_max(B.where(met, place, 0), axis=dim))
        return made(S.take_along_axis(input, indices, axis=dim), indices)

    function.__name__ = name
    function.__doc__ = f"`(values, indices)` of the {name[3:]}imum of the first 1, 2, 3 ... elements along `dim`."
    return function


cummax, cummin = _running_extreme("cummax", False), _running_extreme("cummin", True)


@named
@whole
def logcumsumexp(input, dim) -> Tensor:
    """log of the sums of the first 1, 2, 3 ... exp(elements) along `dim`, without overflow."""
    floating("logcumsumexp", input)
    dim, step = dimension("logcumsumexp", input, dim), 1
    n = input.array.shape[dim] if input.array.ndim else 1
    y = input.clone()
    while step < n:  # each round joins twice as many
        y = cat(
            [narrow(y, dim, 0, step), E.logaddexp(narrow(y, dim, step, n - step), narrow(y, dim, 0, n - step))], dim
        )
        step *= 2
    return y


@named
def diff(input, n=1, dim=-1, prepend=None, append=None) -> Tensor:
    """The differences of neighbours along `dim`, n times over."""
    if n < 0:
        raise RuntimeError(f"diff: n must not be negative, got {n}")
    dim = dimension("diff", input, dim)
    y = cat([x for x in (prepend, input, append) if x is not None], dim)
    for _ in range(builtins.min(n, y.array.shape[dim])):
        size = y.array.shape[dim] - 1
        after, before = narrow(y, dim, 1, size), narrow(y, dim, 0, size)
        y = E.not_equal(after, before) if y.array.dtype.kind == "b" else E.subtract(after, before)
    return y


def _slabs(name, y, x, dx, dim):
    y = a_tensor(name, y) if y.array.dtype.kind == "f" else y.to(mode.dtype)  # the sum of two small integers overflows
    dim = dimension(name, y, dim)
    n = y.array.shape[dim]
    if x is not None:
        dx = diff(x, dim=-1 if x.ndim == 1 else dim)
        dx = S.reshape(dx, shape=(-1,) + (1,) * (y.array.ndim - dim - 1)) if x.ndim == 1 else dx
    size = builtins.max(n - 1, 0)
    return (narrow(y, dim, builtins.min(1, n), size) + narrow(y, dim, 0, size)) * dx / 2.0, dim


def trapezoid(y, x=None, *, dx=1, dim=-1) -> Tensor:
    """The integral along `dim` by the trapezoidal rule, of values at the places x or with steps dx."""
    parts, dim = _slabs("trapezoid", y, x, dx, dim)
    return sum(parts, dim)


def cumulative_trapezoid(y, x=None, *, dx=1, dim=-1) -> Tensor:
    """`trapezoid` up to each element but the first."""
    parts, dim = _slabs("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(parts, dim)


trapz = trapezoid


# ---------------------------------------------------------------------------------------------- norms, distances
@named
def norm(input, p="fro", dim=None, keepdim=False, dtype=None) -> Tensor:
    """(sum |input|^p)^(1/p) over `dim` (None: all); 'fro' is 2, inf the largest, 0 counts what is not 0."""
    input, axis = input if dtype is None else input.to(dtype), _axis("norm", input, dim)
    floating("norm", input)
    if p == "nuc" or (isinstance(p, str) and p != "fro"):
        raise NotImplementedError(f"norm: p={p!r} is not supported; minidl has 'fro' and numbers")
    p = 2 if p in ("fro", None) else builtins.float(p)
    if p == 0:
        return sum(E.not_equal(input, 0).to(input.dtype), dim, keepdim)
    if math.isinf(p):
        return (amax if p > 0 else amin)(E.absolute(input), dim, keepdim)
    return _in(R.norm(input, p=p, axis=axis, keepdims=keepdim), dtype)


@whole
def dist(input, other, p=2) -> Tensor:
    """The p-norm of input - other."""
    return norm(E.subtract(input, other), p)


_CDIST = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


@whole
def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm distance of every row of x1 (..., P, D) to every row of x2 (..., R, D).

    compute_mode only concerns speed.
    """
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"cdist: expected rows of one length, got {tuple(x1.shape)} and {tuple(x2.shape)}")
    if compute_mode not in _CDIST:
        raise ValueError(f"cdist: compute_mode must be one of {', '.join(_CDIST)}, got {compute_mode!r}")
    if p < 0:
        raise RuntimeError(f"cdist: p must not be negative, got {p}")
    return norm(E.subtract(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)


# ------------------------------------------------------------------------------------------- counts and statistics
def bincount(input, weights=None, minlength=0) -> Tensor:
    """How often each of 0, 1, 2 ... occurs in a vector of integers, or the sum of their weights."""
    x = a_tensor("bincount", input).array
    if x.ndim != 1 or x.dtype.kind not in "iu" or minlength < 0:
        raise RuntimeError(f"bincount: expected a vector of integers >= 0, got {input.dtype} {tuple(x.shape)}")
    B = backend_of(x)
    if x.size and int(B.min(x)) < 0:
        raise RuntimeError(f"bincount: a negative number cannot be counted, got {int(B.min(x))}")
    if weights is None:
        return wrap(B.bincount(x, minlength=minlength).astype(int64.dtype))
    if weights.array.shape != x.shape:
        raise RuntimeError(f"bincount: {len(x)} numbers, but weights of shape {tuple(weights.shape)}")
    y = B.bincount(x, weights=weights.array, minlength=minlength)
    return wrap(B.astype(y, dtype=weights.array.dtype if weights.array.dtype == "float32" else "float64"))


def histc(input, bins=100, min=0, max=0) -> Tensor:
    """How many elements lie in each of `bins` equal parts of [min, max] (0, 0: of the input's range)."""
    floating("histc", input)
    if bins <= 0 or min > max:
        raise RuntimeError(f"histc: expected bins > 0 and max >= min, got {bins}, {min} and {max}")
    x = input.array
    B = backend_of(x)
    if min == max and x.size:
        min, max = builtins.float(B.min(x)), builtins.float(B.max(x))
    if min == max:
        min, max = min - 1, max + 1
    if not (math.isfinite(min) and math.isfinite(max)):
        raise RuntimeError(f"histc: the range [{min}, {max}] is not finite")
    x = x[B.logical_and(B.greater_equal(x, min), B.less_equal(x, max))]
    place = B.minimum(B.floor((x - min) * (bins / (max - min))), bins - 1).astype(int64.dtype)
    return wrap(B.astype(B.bincount(place, minlength=bins), dtype=input.array.dtype))


def cov(input, *, correction=1, fweights=None, aweights=None) -> Tensor:
    """The covariances of the rows: a row is a variable, a column an observation."""
    if fweights is not None or aweights is not None:
        raise NotImplementedError("cov: fweights and aweights are not supported")
    if input.array.ndim > 2:
        raise RuntimeError(f"cov: expected at most 2 dimensions, got {tuple(input.shape)}")
    input = input if input.array.dtype.kind == "f" else input.to(mode.dtype)
    x = S.reshape(input, shape=(1, -1)) if input.array.ndim < 2 else input
    d = x - mean(x, 1, True)
    y = (d @ d.T) / builtins.max(x.shape[1] - correction, 0)
    return y if input.array.ndim == 2 else S.reshape(y, shape=())


def corrcoef(input) -> Tensor:
    """The correlations of the rows."""
    c = cov(input)
    if c.ndim == 0:
        return c / c
    s = E.sqrt(S.getitem(S.reshape(c, shape=(-1,)), index=slice(None, None, len(c) + 1)))
    return E.clip(c / unsqueeze(s, 1) / s, low=-1, high=1)
