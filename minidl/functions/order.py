"""Sorting, and what follows from it: the largest k, medians, quantiles, unique values, searching."""

from __future__ import annotations

import builtins
import math

from ..amp.casting import whole
from ..backend import backend_of, definition
from ..backend.dtypes import int32, int64
from ..creation import tensor
from ..ops import elementwise as E
from ..ops import reduce as R
from ..ops import shape as S
from ..tensor import Tensor, wrap
from .arguments import dimension, floating, named, result
from .elementwise import lerp
from .shape import narrow, ravel, squeeze, unsqueeze

__all__ = """
    argsort bucketize kthvalue median mode msort nanmedian nanquantile quantile searchsorted sort topk unique
    unique_consecutive
""".split()

_Sorted, _Top, _Kth = result("sort"), result("topk"), result("kthvalue")
_Median, _NanMedian, _Mode = result("median"), result("nanmedian"), result("mode")


@named
def argsort(input, dim=-1, descending=False, *, stable=False) -> Tensor:
    """The indices that sort along `dim`; equal elements always keep their order, nan counts as the largest."""
    dim = dimension("argsort", input, dim)
    return _order(input, dim, descending)


def _order(input, dim, descending, count=None) -> Tensor:
    """The indices of the first `count` (None: all) along a dimension that was checked."""
    B, x = backend_of(input.array), input.array
    if not x.ndim:
        return wrap(B.zeros((), dtype=int64.dtype))
    count = x.shape[dim] if count is None else count
    return wrap(B.ordered(x, axis=dim, descending=bool(descending), count=count))


@definition("ordered")
def _ordered(x, axis, descending, count):
    """Where the first `count` along an axis are; a kernel of its own, so that exported models say it in one word."""
    B = backend_of(x)
    if descending:  # reversed twice, so that equal elements keep their order
        order = x.shape[axis] - 1 - B.flip(B.argsort(B.flip(x, axis=axis), axis=axis, kind="stable"), axis=axis)
    else:
        order = B.argsort(x, axis=axis, kind="stable")
    return B.astype(order[(slice(None),) * axis + (slice(0, count),)], dtype=int64.dtype)


def _along(input, indices, dim):
    return S.take_along_axis(input, indices, axis=dim) if input.array.ndim else E.identity(input)


@named
def sort(input, dim=-1, descending=False, *, stable=False):
    """`(values, indices)` sorted along `dim`; equal elements always keep their order, nan counts as the largest.

    >>> minidl.sort(minidl.tensor([3, 1, 2])).values
    tensor([1, 2, 3])
    """
    indices = argsort(input, dim, descending)
    return _Sorted(_along(input, indices, dim), indices)


def msort(input) -> Tensor:
    """Sorted along dimension 0."""
    return sort(input, 0)[0]


@named
def topk(input, k, dim=-1, largest=True, sorted=True):
    """`(values, indices)` of the k largest (or smallest) along `dim`, in order (also where sorted is False)."""
    dim = dimension("topk", input, -1 if dim is None else dim)
    n = input.array.shape[dim] if input.array.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: k is {k}, dimension {dim} has {n} elements")
    indices = _order(input, dim, largest, k)
    return _Top(_along(input, indices, dim), indices)


def _picked(made, input, indices, dim, keepdim):
    """The named result of taking one element along `dim`."""
    values = _along(input, indices, dim)
    return (
        made(values, indices) if keepdim or not input.array.ndim else made(squeeze(values, dim), squeeze(indices, dim))
    )


@named
def kthvalue(input, k, dim=-1, keepdim=False):
    """`(values, indices)` of the k-th smallest along `dim`, counted from 1."""
    dim = dimension("kthvalue", input, dim)
    n = input.array.shape[dim] if input.array.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue: k is {k}, dimension {dim} has {n} elements")
    indices = argsort(input, dim)
    return _picked(_Kth, input, narrow(indices, dim, k - 1, 1) if input.array.ndim else indices, dim, keepdim)


def _middle(made, name, skip):
    @named
    def function(input, dim=None, keepdim=False):
        if dim is None:
            if not input.array.size:
                return tensor(math.nan, dtype=input.dtype, device=input.device)
            y = function(ravel(input), 0)[0]
            if not y.requires_grad:
                return y
            hit = E.equal(input, y.detach())  # all the elements that equal it share the gradient
            return E.where(E.isnan(y), y, R.max(E.where(hit, input, -math.inf)))
        dim = dimension(name, input, dim)
        n = input.array.shape[dim] if input.array.ndim else 1
        if not n:
            raise IndexError(f"{name}: dimension {dim} has no elements")
        order = argsort(input, dim)
        if not input.array.ndim:
            return made(E.identity(input), order)
        B, x = backend_of(input.array), input.array
        numbers = B.sum(B.equal(x, x), axis=dim, keepdims=True)  # nan is not equal to itself, and sorted last
        lower = B.maximum(numbers - 1, 0) // 2
        place = lower if skip else B.where(B.less(numbers, n), n - 1, lower)
        return _picked(made, input, S.take_along_axis(order, wrap(place), axis=dim), dim, keepdim)

    function.__name__ = name
    function.__doc__ = (
        f"The lower median of all, or `(values, indices)` along `dim`; nan {'is left out' if skip else 'wins'}."
    )
    return function


median, nanmedian = _middle(_Median, "median", False), _middle(_NanMedian, "nanmedian", True)


@named
def mode(input, dim=-1, keepdim=False):
    """`(values, indices)` of the most frequent element along `dim`: the smallest of several, at its last place."""
    dim = dimension("mode", input, dim)
    if not input.array.ndim:
        return _Mode(E.identity(input), argsort(input))
    B, x = backend_of(input.array), input.array.swapaxes(dim, -1)
    n = x.shape[-1]
    if not n:
        raise IndexError(f"mode: dimension {dim} has no elements")
    often = B.sum(B.equal(x[..., None], x[..., None, :]), axis=-1)
    order = B.ordered(x, axis=x.ndim - 1, descending=False, count=n)
    first = B.expand_dims(
        B.argmax(B.take_along_axis(often, order, axis=-1), axis=-1), -1
    )  # the smallest of the frequent
    value = B.take_along_axis(x, B.take_along_axis(order, first, axis=-1), axis=-1)
    last = n - 1 - B.argmax(B.flip(B.equal(x, value), axis=-1), axis=-1)
    indices = wrap(B.expand_dims(last, -1).swapaxes(dim, -1))
    return _picked(_Mode, input, indices, dim, keepdim)


_INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


def _quantile(name, input, q, dim, keepdim, interpolation, skip):
    floating(name, input)
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}: interpolation must be one of {', '.join(_INTERPOLATIONS)}, got {interpolation!r}")
    if not isinstance(q, Tensor):
        q = tensor(float(q), dtype=input.dtype, device=input.device)
    if q.ndim > 1 or q.dtype != input.dtype:
        raise RuntimeError(f"{name}: q must be a number or a vector of {input.dtype}, got {q.dtype} {tuple(q.shape)}")
    B = backend_of(q.array)
    if bool(B.any(B.logical_or(B.less(q.array, 0), B.greater(q.array, 1)))):
        raise RuntimeError(f"{name}: q must lie in [0, 1], got {q.tolist()}")
    if not input.array.size:
        raise RuntimeError(f"{name}: the input has no elements")
    every = dim is None
    ranked = sort(ravel(input) if every else input, 0 if every else dim)[0]
    axis = 0 if every else dimension(name, input, dim)
    ranked = S.swapaxes(unsqueeze(ranked, -1), axis1=axis, axis2=-1) if ranked.ndim else S.reshape(ranked, shape=(1, 1))
    B = backend_of(ranked.array)
    n = ranked.array.shape[-1]  # the values along the last dimension, a dimension of size 1 in their old place
    known = B.sum(B.equal(ranked.array, ranked.array), axis=-1, keepdims=True)
    place = B.reshape(q.array, shape=(-1,)) * (B.maximum(known, 1) - 1).astype(q.array.dtype)
    if not skip:
        place = B.where(B.less(known, n), float(n - 1), place)  # nan wins
    place = B.rint(place) if interpolation == "nearest" else place
    below, above = (wrap(B.astype(f(place), dtype=int64.dtype)) for f in (B.floor, B.ceil))
    low, high = (S.take_along_axis(ranked, i, axis=-1) for i in (below, above))
    if interpolation in ("lower", "nearest"):
        y = low
    elif interpolation == "higher":
        y = high
    else:
        y = lerp(
            low,
            high,
            0.5 if interpolation == "midpoint" else wrap(B.astype(place - B.floor(place), dtype=q.array.dtype)),
        )
    y = S.transpose(y, axes=(y.ndim - 1, *range(y.ndim - 1)))  # q's dimension first
    if every:
        y = S.reshape(y, shape=(-1, *(1,) * (input.array.ndim * builtins.bool(keepdim))))
    elif not keepdim:
        y = squeeze(y, axis + 1) if input.array.ndim else S.reshape(y, shape=(-1,))
    return squeeze(y, 0) if q.ndim == 0 else y


@named
@whole
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """The values below which a share q of the elements along `dim` lies; a vector q gives a new first dimension."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@named
@whole
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """`quantile` of what is not nan."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# ------------------------------------------------------------------------------------------- searching, unique values
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None) -> Tensor:
    """Where each value would stand in the ascending sequence (along its last dimension): before equals, or after."""
    if side not in (None, "left", "right") or (side == "left" and right):
        raise RuntimeError(f"searchsorted: side must be 'left' or 'right' and agree with right, got {side!r}, {right}")
    seq = sorted_sequence if sorter is None else S.take_along_axis(sorted_sequence, sorter, axis=-1)
    x = input if isinstance(input, Tensor) else tensor(input, dtype=seq.dtype, device=seq.device)
    a, v, B = seq.array, x.array, backend_of(x.array)
    right = right or side == "right"
    if a.ndim == 1:
        found = B.searchsorted(a, B.reshape(v, shape=(-1,)), side="right" if right else "left")
        found = B.reshape(found, shape=tuple(v.shape))  # of one value NumPy would make a scalar
    elif a.shape[:-1] != v.shape[:-1]:
        raise RuntimeError(f"searchsorted: sequences {tuple(a.shape)} and values {tuple(v.shape)} have different rows")
    else:
        before = (B.less_equal if right else B.less)(a[..., None, :], v[..., None])
        found = B.sum(before, axis=-1)
    return wrap(B.astype(found, dtype=(int32 if out_int32 else int64).dtype))


def bucketize(input, boundaries, *, out_int32=False, right=False) -> Tensor:
    """The number of the interval between the boundaries in which each element lies."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize: boundaries must be a vector, got {tuple(boundaries.shape)}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The different elements in order; also where each went, and how often it occurs, if asked for."""
    if dim is not None:
        raise NotImplementedError("unique: dim is not supported; minidl finds unique elements, not slices")
    B = backend_of(input.array)
    y, inverse, counts = B.unique(input.array.reshape(-1), return_inverse=True, return_counts=True)
    return _unique(B, input, y, inverse, counts, return_inverse, return_counts)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements without those that equal the one before."""
    if dim is not None:
        raise NotImplementedError("unique_consecutive: dim is not supported; minidl finds unique elements, not slices")
    B, x = backend_of(input.array), input.array.reshape(-1)
    new = B.concatenate([B.ones(min(1, x.size), dtype=bool), B.not_equal(x[1:], x[:-1])])
    inverse = B.cumsum(new, axis=0) - 1
    starts = B.nonzero(new)[0]
    ends = B.concatenate([starts[1:], B.full(min(1, x.size), x.size)])
    return _unique(B, input, x[new], inverse, ends - starts, return_inverse, return_counts)


def _unique(B, input, y, inverse, counts, return_inverse, return_counts):
    found = [wrap(y)]
    if return_inverse:
        found.append(wrap(B.astype(inverse, dtype=int64.dtype).reshape(input.array.shape)))
    if return_counts:
        found.append(wrap(B.astype(counts, dtype=int64.dtype)))
    return found[0] if len(found) == 1 else tuple(found)
