"""CuPy under the names that ops use: devices, transfers, and names that CuPy spells otherwise."""

from __future__ import annotations

import math

import cupy
import numpy as np
from cupyx.scipy import special

from .. import EXACT, device
from . import embedding
from .blas import gemm as matmul  # noqa: F401  (under the name that ops use)
from .driver import check  # noqa: F401
from .graphs import refuse as _refuse
from .memory import copied_from_pinned as _copied_from_pinned
from .memory import is_pinned as _is_pinned


def from_host(array, where: device | None = None, non_blocking: bool = False):
    """A copy of a NumPy array (or of an array on another GPU) on the GPU `where`.

    The host waits only until it has copied the array to page-locked memory of CuPy's, or to the GPU if it is in such
    memory already; non_blocking: then not even for that, and it must not be changed before the copy has been made.
    """
    _refuse("copies from the host to the GPU")
    with cupy.cuda.Device(None if where is None else where.index):
        if not _is_pinned(array):
            return cupy.asarray(array)
        return _copied_from_pinned(array) if non_blocking else cupy.asarray(array, blocking=True)


def filled(shape, value, dtype, where: device | None = None):
    """A new array on a device, full of a value; None: of whatever lay in memory. Nothing is copied from the host."""
    with cupy.cuda.Device(None if where is None else where.index):
        return cupy.empty(shape, dtype) if value is None else cupy.full(shape, value, dtype)


def numbered(start, end, step, dtype, where: device | None = None):
    """start, start + step, ... below `end`, whole numbers, on a device. Nothing is copied from the host."""
    with cupy.cuda.Device(None if where is None else where.index):
        return cupy.arange(start, end, step, dtype)


def to_host(array) -> np.ndarray:
    """A copy of a GPU array as a NumPy array; waits for the GPU."""
    return array.get()


def device_of(array) -> device:
    """The device an array lives on."""
    return device("cuda", array.device.id)


def synchronize() -> None:
    """Wait until the current GPU has done all its work."""
    cupy.cuda.Device().synchronize()


def sum(x, axis=None, keepdims=False):
    return x.sum(axis=axis, keepdims=keepdims)


def max(x, axis=None, keepdims=False):
    return x.max(axis=axis, keepdims=keepdims)


def min(x, axis=None, keepdims=False):
    return x.min(axis=axis, keepdims=keepdims)


def iadd(x, y):
    """x += y in place."""
    cupy.add(x, y, out=x)


def ones_like(x):
    return cupy.ones_like(x)


def spread(x, shape):
    """x broadcast to `shape`, for reading only."""
    return cupy.broadcast_to(x, shape)


MANY = 8  # arrays that CuPy joins without an upload of where they lie, which a graph could not repeat


def concatenate(arrays, axis=0):
    """The arrays one after the other along `axis`; many by groups."""
    while len(arrays) > MANY:
        arrays = [cupy.concatenate(arrays[i : i + MANY], axis=axis) for i in range(0, len(arrays), MANY)]
    return cupy.concatenate(arrays, axis=axis)


def stack(arrays, axis=0):
    """The arrays side by side along a new axis."""
    return concatenate([cupy.expand_dims(x, axis) for x in arrays], axis=axis)


def pad(x, width, value=0.0):
    """x with `width` = ((before, after), ...) elements of `value` added to each axis."""
    y = cupy.full([n + a + b for (a, b), n in zip(width, x.shape, strict=True)], value, dtype=x.dtype)
    y[tuple([slice(a, a + n) for (a, _), n in zip(width, x.shape, strict=True)])] = x
    return y


def check_index(index, size: int, where: str) -> None:
    """Nothing: reading the extremes would wait for the GPU. Indices are checked on the host, when data enters."""


def check_divisor(x, where: str) -> None:
    """Nothing, as for indices: the GPU would have to be waited for."""


def _add_at(y, index, g) -> None:
    """y[index] += g of new zeros; a repeated index adds up, by atomics in any order, or if asked for in one order."""
    if not EXACT["deterministic"]:
        return cupy.add.at(y, index, g)
    if isinstance(index, cupy.ndarray):  # rows, as of an embedding
        rows = (index % len(y)).astype("int64", copy=False)  # as CuPy takes them when it reads
        return embedding.put_sums(y, rows.reshape(-1), cupy.broadcast_to(g, rows.shape + y.shape[1:]))
    places = cupy.arange(y.size).reshape(y.shape)[index]
    embedding.put_sums(y, places.reshape(-1), cupy.broadcast_to(g, places.shape))


def scatter_add(x, index, axis, size):
    """Zeros of `size` along `axis`, to which x is added at `index`; a repeated index adds up."""
    y = cupy.zeros(x.shape[:axis] + (size,) + x.shape[axis + 1 :], dtype=x.dtype)
    rows = [cupy.arange(n).reshape((-1,) + (1,) * (index.ndim - k - 1)) for k, n in enumerate(index.shape)]
    rows[axis] = index
    _add_at(y, tuple(rows), x)
    return y


def index_add(g, index, shape):
    """Zeros of `shape`, to which g is added at `[index]`; a repeated integer index adds up."""
    y = cupy.zeros(shape, dtype=g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, cupy.ndarray) and i.dtype.kind != "b" for i in parts):
        _add_at(y, index, g)
    else:
        y[index] = g
    return y


def sum_rows(rows, values, size):
    """`rows` (n,) sorted, the sum of the `values` (n, ...) of each, at every place where it comes, and its last place.

    The running sums of the sorted values, by steps of 1, 2, 4 ... that do not leave a row: always in the same order,
    unlike additions by atomics, and without waiting to hear how many different rows there are.
    """
    n, step = len(rows), 1
    order = cupy.argsort(rows)
    rows, sums = rows[order], values[order]
    while step < n:
        same = (rows[step:] == rows[:-step]).reshape((-1,) + (1,) * (sums.ndim - 1))
        sums[step:] += cupy.where(same, sums[:-step], 0.0)
        step *= 2
    last = cupy.searchsorted(rows, rows, side="right") - 1
    return rows, sums[last], last == cupy.arange(n)


def running_max(x, axis):
    """The largest value so far along `axis`, by steps of 1, 2, 4 ... (CuPy accumulates only sums and products)."""
    y, step = cupy.moveaxis(x, axis, 0).copy(), 1
    while step < len(y):
        y[step:] = cupy.maximum(y[step:], y[:-step])
        step *= 2
    return cupy.moveaxis(y, 0, axis)


def erf(x):
    """(2 / sqrt pi) times the integral of exp(-t^2) from 0 to x."""
    return special.erf(x)


def erfc(x):
    """1 - erf(x), as exact far out as near 0."""
    return special.erfc(x)


def erfinv(x):
    """The number whose erf is x."""
    return special.erfinv(x)


def lgamma(x):
    """log |gamma(x)|."""
    return special.gammaln(x)


def polygamma(x, n):
    """The n-th derivative of digamma."""
    if n == 0:
        return special.psi(x)
    return (-1.0) ** (n + 1) * math.factorial(n) * special.zeta(n + 1.0, x)
