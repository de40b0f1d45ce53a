"""The public face: PyTorch's functions, each a line or two over the ops; `methods.py` attaches them to Tensor too.

Here live PyTorch's signatures (`x.sum(1)`, `cat(xs, 1)`, `input=`, `dim=` or `axis=`); the ops have NumPy's.
"""

from __future__ import annotations

import builtins
import functools
import math
from collections import namedtuple
from typing import Any

from .backend import backend_of
from .backend.dtypes import dtype, int64
from .creation import __all__ as _CREATION
from .creation import (  # noqa: F401 (the whole face under one roof)
    _size,
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    normal,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .modes import mode
from .ops import elementwise as E
from .ops import linalg as L
from .ops import reduce as R
from .ops import shape as S
from .tensor import Tensor, wrap

__all__ = (
    """
    abs absolute add all allclose amax amin any argmax argmin bmm broadcast_to cat ceil chunk clamp clip cos div
    divide dot eq equal exp expand expm1 flatten flip floor floor_divide gather ge gt isclose isfinite isnan le log
    log10 log1p log2 log_softmax logical_and logical_not logical_or logsumexp lt masked_fill matmul max maximum mean
    min minimum mm mul multiply mv narrow ne neg negative nonzero permute pow relu remainder repeat reshape round
    select sigmoid sign sin softmax split sqrt square squeeze stack std sub subtract sum swapaxes t tanh transpose
    true_divide unbind unsqueeze var view where
""".split()
    + _CREATION
)

Extreme: Any = {name: namedtuple(name, ("values", "indices")) for name in ("max", "min")}


# ----------------------------------------------------------------------------------------- elementwise, reductions
def _named(function):
    """The function with NumPy's `axis` and `keepdims` accepted beside PyTorch's `dim` and `keepdim`."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if kwargs:
            if "axis" in kwargs:
                kwargs["dim"] = kwargs.pop("axis")
            if "keepdims" in kwargs:
                kwargs["keepdim"] = kwargs.pop("keepdims")
        return function(*args, **kwargs)

    return call


def _dim(dim):
    """None or an empty list means all dimensions."""
    return None if dim is None or dim == () or dim == [] else tuple(dim) if isinstance(dim, (list, tuple)) else dim


def add(input, other, *, alpha=1) -> Tensor:
    """input + alpha other."""
    return E.add(input, other if alpha == 1 else other * alpha)


def sub(input, other, *, alpha=1) -> Tensor:
    """input - alpha other."""
    return E.subtract(input, other if alpha == 1 else other * alpha)


def mul(input, other) -> Tensor:
    """input times other, element by element."""
    return E.multiply(input, other)


def div(input, other, *, rounding_mode=None) -> Tensor:
    """input / other; rounding_mode 'floor' rounds down, 'trunc' towards zero."""
    if rounding_mode not in (None, "floor", "trunc"):
        raise ValueError(f"div: rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}")
    if rounding_mode == "floor":
        return E.floor_divide(input, other)
    y = E.divide(input, other)
    return y if rounding_mode is None else E.sign(y) * E.floor(E.absolute(y))


def pow(input, exponent) -> Tensor:
    """input to the power `exponent`."""
    if exponent.__class__ is int and exponent == 2:
        return E.square(input)
    return E.power(input, exponent)


def clamp(input, min=None, max=None) -> Tensor:
    """input limited to [min, max]; the bounds are numbers or Tensors."""
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        y = input if min is None else E.where(E.less(input, min), min, input)
        return y if max is None else E.where(E.greater(y, max), max, y)
    if float in (min.__class__, max.__class__) and input.array.dtype.kind != "f":
        input = input.to(mode.dtype)
    return E.clip(input, low=min, high=max)


def where(condition, input=None, other=None):
    """input where condition holds, else other; with the condition alone, the indices where it holds."""
    if input is None:
        return nonzero(condition, as_tuple=True)
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):  # two numbers: their type decides
        input = full((), input, device=condition.device)
    return E.where(condition, input, other)


def nonzero(input, *, as_tuple=False):
    """The indices of the elements that are not 0: a row for each, or a tuple with a Tensor for each dimension."""
    found = [wrap(i) for i in backend_of(input.array).nonzero(input.array)]
    return tuple(found) if as_tuple else stack(found, 1) if found else zeros(1, 0, dtype=int64)


def _floating(name, input):
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"{name}: the input must be floating point, got {input.dtype}; use input.float()")


@_named
def sum(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The sum over `dim` (all dimensions if None); integers and bools are added as int64."""
    if dtype is not None or input.array.dtype.kind == "u":  # NumPy would add uint8 as uint64
        input = input.to(int64 if dtype is None else dtype)
    return R.sum(input, axis=_dim(dim), keepdims=keepdim)


@_named
def mean(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The mean over `dim` (all dimensions if None); only of floating-point numbers."""
    input = input if dtype is None else input.to(dtype)
    _floating("mean", input)
    return R.mean(input, axis=_dim(dim), keepdims=keepdim)


@_named
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=1) -> Tensor:
    """The variance over `dim`: the squared deviations' sum over n - correction (1: unbiased)."""
    if isinstance(dim, builtins.bool):
        dim, unbiased = None, dim
    _floating("var", input)
    ddof = correction if unbiased is None else int(unbiased)
    return R.var(input, axis=_dim(dim), keepdims=keepdim, ddof=ddof)


@_named
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=1) -> Tensor:
    """The standard deviation over `dim`, the root of `var`."""
    if isinstance(dim, builtins.bool):
        dim, unbiased = None, dim
    _floating("std", input)
    ddof = correction if unbiased is None else int(unbiased)
    return R.std(input, axis=_dim(dim), keepdims=keepdim, ddof=ddof)


def _extreme(name, reduce, arg, elementwise):
    @_named
    def extreme(input, dim=None, keepdim=False, *, other=None):
        if isinstance(dim, Tensor) or other is not None:
            return elementwise(input, dim if other is None else other)
        if dim is None:
            return reduce(input)
        indices = arg(input, axis=dim, keepdims=True)
        values = S.take_along_axis(input, indices, axis=dim)
        if not keepdim:
            values, indices = squeeze(values, dim), squeeze(indices, dim)
        return Extreme[name](values, indices)

    extreme.__name__ = name
    extreme.__doc__ = (
        f"The {name}imum of all, or `(values, indices)` along `dim`, or of two Tensors element by element."
    )
    return extreme


max, min = _extreme("max", R.max, R.argmax, E.maximum), _extreme("min", R.min, R.argmin, E.minimum)


def _reduction(name, op, doc, needs_dim=False):
    @_named
    def reduction(input, dim=None, keepdim=False) -> Tensor:
        if needs_dim and dim is None:
            raise TypeError(f"{name}: a dim must be given")
        return op(input, axis=_dim(dim), keepdims=keepdim)

    reduction.__name__, reduction.__doc__ = name, doc
    return reduction


amax = _reduction("amax", R.max, "The maximum over `dim`; equal elements share its gradient.")
amin = _reduction("amin", R.min, "The minimum over `dim`; equal elements share its gradient.")
argmax = _reduction("argmax", R.argmax, "The index of the maximum along `dim`, or in the flattened input.")
argmin = _reduction("argmin", R.argmin, "The index of the minimum along `dim`, or in the flattened input.")
any = _reduction("any", R.any, "Whether some element along `dim` is not 0.")
all = _reduction("all", R.all, "Whether every element along `dim` is not 0.")
logsumexp = _reduction("logsumexp", R.logsumexp, "log(sum(exp(input))) over `dim`, without overflow.", needs_dim=True)


@_named
def softmax(input, dim=None, dtype=None) -> Tensor:
    """exp(input) / sum exp(input) along `dim`."""
    return R.softmax(input if dtype is None else input.to(dtype), axis=_softmax_dim("softmax", input, dim))


@_named
def log_softmax(input, dim=None, dtype=None) -> Tensor:
    """log softmax(input) along `dim`."""
    return R.log_softmax(input if dtype is None else input.to(dtype), axis=_softmax_dim("log_softmax", input, dim))


def _softmax_dim(name, input, dim):
    if dim is None:
        raise TypeError(
            f"{name}: dim must be given: along which dimension of {tuple(input.shape)} do the results sum to 1?"
        )
    return dim


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> Tensor:
    """Whether |input - other| <= atol + rtol |other|, element by element."""
    B = backend_of(input.array)
    return wrap(B.isclose(input.array, other.array, rtol=rtol, atol=atol, equal_nan=equal_nan))


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> builtins.bool:
    """Whether all elements are close; see `isclose`."""
    return builtins.bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input, other) -> builtins.bool:
    """Whether two Tensors have one shape and the same elements."""
    return input.array.shape == other.array.shape and builtins.bool((input == other).all())


# --------------------------------------------------------------------------------------------------------- shapes
def reshape(input, *shape) -> Tensor:
    """The same elements in another shape; one size may be -1 (what is left over)."""
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    return S.reshape(input, shape=tuple(shape))


def view(input, *shape) -> Tensor:
    """`reshape` that refuses to copy; with a dtype of the same size, the same bits read as that dtype."""
    if len(shape) == 1 and isinstance(shape[0], dtype):
        y = wrap(input.array.view(shape[0].dtype))
        y.version = input.version
        return y
    y = reshape(input, *shape)
    if y.array.size and not backend_of(input.array).may_share_memory(y.array, input.array):
        raise RuntimeError(
            f"view: {tuple(input.shape)} with these strides cannot be viewed as {tuple(y.shape)}; use reshape"
        )
    return y


def permute(input, *order, dims=None) -> Tensor:
    """The dimensions in another order."""
    dims = dims or (order[0] if len(order) == 1 and not isinstance(order[0], int) else order)
    axes = tuple([d % input.array.ndim for d in dims])
    if sorted(axes) != list(range(input.array.ndim)):
        raise RuntimeError(f"permute: {tuple(dims)} is not an order of the {input.array.ndim} dimensions")
    return S.transpose(input, axes=axes)


def transpose(input, dim0, dim1) -> Tensor:
    """Two dimensions exchanged."""
    return S.swapaxes(input, axis1=dim0, axis2=dim1)


def t(input) -> Tensor:
    """A matrix transposed (a vector stays)."""
    if input.array.ndim > 2:
        raise RuntimeError(f"t: expected at most 2 dimensions, got {tuple(input.shape)}")
    return input if input.array.ndim < 2 else S.swapaxes(input, axis1=0, axis2=1)


_wrapped = S.wrapped


@_named
def squeeze(input, dim=None) -> Tensor:
    """Without the dimensions of size 1 (of those in `dim` only)."""
    shape, nd = input.array.shape, input.array.ndim
    dims = range(nd) if dim is None else [_wrapped(d, nd, "squeeze") for d in ((dim,) if isinstance(dim, int) else dim)]
    return S.reshape(input, shape=tuple([n for i, n in enumerate(shape) if n != 1 or i not in dims]))


@_named
def unsqueeze(input, dim) -> Tensor:
    """With a new dimension of size 1 at `dim`."""
    shape = list(input.array.shape)
    shape.insert(_wrapped(dim, len(shape) + 1, "unsqueeze"), 1)
    return S.reshape(input, shape=tuple(shape))


def flatten(input, start_dim=0, end_dim=-1) -> Tensor:
    """The dimensions start_dim ... end_dim as one."""
    shape = input.array.shape
    if not shape:
        return S.reshape(input, shape=(1,))
    a, b = _wrapped(start_dim, len(shape), "flatten"), _wrapped(end_dim, len(shape), "flatten")
    if a > b:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return S.reshape(input, shape=(*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :]))


def broadcast_to(input, shape) -> Tensor:
    """Repeated along new dimensions and those of size 1, without copying."""
    return S.broadcast_to(input, shape=tuple(shape))


def expand(input, *sizes) -> Tensor:
    """Repeated along new dimensions and those of size 1, without copying; -1 leaves a size as it is."""
    sizes = _expand_size(sizes, input.array.shape)
    return S.broadcast_to(input, shape=sizes)


def _expand_size(sizes, shape):
    sizes = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    lead = len(sizes) - len(shape)
    return tuple([shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(sizes)])


def repeat(input, *sizes) -> Tensor:
    """Copied `sizes[i]` times along dimension i."""
    sizes = _size(sizes)
    shape = (1,) * (len(sizes) - input.array.ndim) + input.array.shape
    double_shape = [n for pair in zip((1,) * len(shape), shape, strict=True) for n in pair]
    repeated = [n for pair in zip(sizes, shape, strict=True) for n in pair]
    y = S.broadcast_to(S.reshape(input, shape=double_shape), shape=repeated)
    return S.reshape(y, shape=tuple([a * b for a, b in zip(sizes, shape, strict=True)]))


def _sequence(name, tensors):
    if not isinstance(tensors, (list, tuple)) or not tensors:
        raise TypeError(f"{name}: expected a non-empty list or tuple of Tensors, got {type(tensors).__name__}")
    return tensors


@_named
def cat(tensors, dim=0) -> Tensor:
    """The tensors one after the other along an existing dimension."""
    tensors = _sequence("cat", tensors)
    if builtins.any(t.array.ndim > 1 for t in tensors):  # among others an empty vector means nothing, as in PyTorch
        tensors = [t for t in tensors if t.array.shape != (0,)]
    return S.cat(*tensors, axis=dim)


@_named
def stack(tensors, dim=0) -> Tensor:
    """The tensors, all of one shape, along a new dimension."""
    tensors = _sequence("stack", tensors)
    return S.pile(*tensors, axis=_wrapped(dim, tensors[0].ndim + 1, "stack"))


@_named
def split(tensor, split_size_or_sections, dim=0) -> tuple[Tensor, ...]:  # noqa: F811 (PyTorch's name for it)
    """Cut along `dim` into pieces of one size (the last may be smaller) or of the sizes listed."""
    n, size = tensor.array.shape[_wrapped(dim, tensor.array.ndim, "split")], split_size_or_sections
    sizes = [builtins.min(size, n - i) for i in range(0, n, size)] or [0] if isinstance(size, int) else list(size)
    if builtins.sum(sizes) != n:
        raise RuntimeError(f"split: the sizes {sizes} do not add up to {n}, the size of dimension {dim}")
    return S.split(tensor, sizes=tuple(sizes), axis=dim)


@_named
def chunk(input, chunks, dim=0) -> tuple[Tensor, ...]:
    """Cut along `dim` into `chunks` pieces of equal size, the last maybe smaller."""
    return split(input, -(-input.array.shape[dim] // chunks) or 1, dim)


@_named
def unbind(input, dim=0) -> tuple[Tensor, ...]:
    """The slices along `dim`."""
    return tuple([select(input, dim, i) for i in range(input.array.shape[dim])])


@_named
def flip(input, *axes, dims=None, dim=None) -> Tensor:
    """The order along the given dimensions reversed."""
    axes = next(((d,) for d in (dims, dim) if d is not None), axes)
    return S.flip(input, axis=tuple(axes[0]) if len(axes) == 1 and not isinstance(axes[0], int) else tuple(axes))


@_named
def select(input, dim, index) -> Tensor:
    """The slice number `index` along `dim`."""
    return S.getitem(input, index=(slice(None),) * _wrapped(dim, input.array.ndim, "select") + (index,))


@_named
def narrow(input, dim, start, length) -> Tensor:
    """`length` slices along `dim`, from `start`."""
    if not 0 <= start <= start + length <= input.array.shape[dim]:
        raise IndexError(f"narrow: {start}:{start + length} is out of range for size {input.array.shape[dim]}")
    cut = slice(start, start + length)
    return S.getitem(input, index=(slice(None),) * _wrapped(dim, input.array.ndim, "narrow") + (cut,))


@_named
def gather(input, dim, index) -> Tensor:
    """y[i][j] = input[index[i][j]][j] for dim 0, and so on; index may be smaller than input in the other dimensions."""
    nd = _wrapped(dim, input.array.ndim, "gather")
    backend_of(index.array).check_index(index.array, input.array.shape[nd], "gather")
    cut = tuple([slice(None) if i == nd else slice(0, n) for i, n in enumerate(index.shape)])
    return S.take_along_axis(S.getitem(input, index=cut), index, axis=nd)


def masked_fill(input, mask, value) -> Tensor:
    """value where the mask holds, else input."""
    return E.where(mask, value, input)


def matmul(input, other) -> Tensor:
    """The matrix product over the last two dimensions, with batches broadcast; vectors as in NumPy."""
    a, b = input, other
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"matmul: both must have at least one dimension, got {tuple(a.shape)} and {tuple(b.shape)}")
    if a.ndim > 1 and b.ndim > 1:
        return L.matmul(a, b)
    y = L.matmul(a if a.ndim > 1 else unsqueeze(a, 0), b if b.ndim > 1 else unsqueeze(b, 1))
    y = y if a.ndim > 1 else squeeze(y, -2)
    return y if b.ndim > 1 else squeeze(y, -1)


def _product(name, ndims):
    def product(input, other) -> Tensor:
        if (input.ndim, other.ndim) != ndims:
            raise RuntimeError(
                f"{name}: expected {ndims} dimensions, got {tuple(input.shape)} and {tuple(other.shape)}"
            )
        return matmul(input, other)

    product.__name__, product.__doc__ = name, f"The product of tensors with {ndims[0]} and {ndims[1]} dimensions."
    return product


mm, bmm, mv, dot = _product("mm", (2, 2)), _product("bmm", (3, 3)), _product("mv", (2, 1)), _product("dot", (1, 1))

# ops whose signature is PyTorch's already
absolute = abs = E.absolute
negative = neg = E.negative
exp, expm1, log, log2, log10, log1p, sqrt, square = E.exp, E.expm1, E.log, E.log2, E.log10, E.log1p, E.sqrt, E.square
sin, cos, tanh, sigmoid, relu, sign = E.sin, E.cos, E.tanh, E.sigmoid, E.relu, E.sign
floor, ceil, round = E.floor, E.ceil, E.rint
eq, ne, gt, ge, lt, le = E.equal, E.not_equal, E.greater, E.greater_equal, E.less, E.less_equal
logical_and, logical_or, logical_not, isfinite, isnan = E.logical_and, E.logical_or, E.logical_not, E.isfinite, E.isnan
maximum, minimum, remainder, floor_divide = E.maximum, E.minimum, E.remainder, E.floor_divide
subtract, multiply, divide, true_divide, clip, swapaxes = sub, mul, div, div, clamp, transpose
