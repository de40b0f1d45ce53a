"""NumPy under the names that ops use: transfers (which copy nothing here), and names that NumPy spells otherwise."""

from __future__ import annotations

import math

import numpy as np

from .. import device
from ..random import dropout_mask  # noqa: F401  (the kernel of that name)

_CPU = device("cpu")
FEW, SMALL = 128, 1 << 17  # so many rows, and values for them, are added up quickest by one product
OFTEN = 32  # from so many times on, summing a row's values on its own costs less than adding them one at a time


def check(where: device) -> None:
    """Raise unless `where` is the CPU (which has no index but 0)."""
    if where.index not in (None, 0):
        raise RuntimeError(f"device: there is one CPU, 'cpu' or 'cpu:0'; got '{where}'")


def from_host(array, where: device | None = None, non_blocking: bool = False):
    """A NumPy array as an array of this backend: itself."""
    return array


def filled(shape, value, dtype, where: device | None = None):
    """A new array on a device, full of a value; None: of whatever lay in memory."""
    return np.empty(shape, dtype) if value is None else np.full(shape, value, dtype)


def numbered(start, end, step, dtype, where: device | None = None):
    """start, start + step, ... below `end`, whole numbers, on a device."""
    return np.arange(start, end, step).astype(dtype, copy=False)


def to_host(array) -> np.ndarray:
    """An array of this backend as a NumPy array: itself."""
    return array


def device_of(array) -> device:
    """The device an array lives on."""
    return _CPU


def synchronize() -> None:
    """Wait until the device has done all its work; the CPU always has."""


# the reductions by their ufunc: the same sums as np.sum, without two layers of Python calls around them
def sum(x, axis=None, keepdims=False):
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


def mean(x, axis=None, keepdims=False):
    if x.dtype == np.float16 or not x.size:  # whose sum may be too large for it; which is nan
        return np.mean(x, axis=axis, keepdims=keepdims)
    y = np.add.reduce(x, axis=axis, keepdims=keepdims)
    return y / (x.size // y.size)


def max(x, axis=None, keepdims=False):
    return np.maximum.reduce(x, axis=axis, keepdims=keepdims)


def min(x, axis=None, keepdims=False):
    return np.minimum.reduce(x, axis=axis, keepdims=keepdims)


def reshape(x, shape):
    """x in another shape: its own method, without the layers of np.reshape around it."""
    return x.reshape(shape)


def swapaxes(x, axis1, axis2):
    """x with two axes exchanged; likewise."""
    return x.swapaxes(axis1, axis2)


def iadd(x, y):
    """x += y in place; also on 0-d arrays, whose `+=` is in place too."""
    np.add(x, y, out=x)


def ones_like(x):
    """Ones in x's shape and dtype, without the layers of np.ones_like."""
    y = np.empty(x.shape, x.dtype)
    y.fill(1)
    return y


def spread(x, shape):
    """x broadcast to `shape`, for reading only: small results as fresh arrays, which NumPy makes faster than views."""
    if math.prod(shape) > 16384:
        return np.broadcast_to(x, shape)
    y = np.empty(shape, x.dtype)
    y[...] = x
    return y


def pad(x, width, value=0.0):
    """x with `width` = ((before, after), ...) elements of `value` added to each axis."""
    y = np.full([n + a + b for (a, b), n in zip(width, x.shape, strict=True)], value, dtype=x.dtype)
    y[tuple([slice(a, a + n) for (a, _), n in zip(width, x.shape, strict=True)])] = x
    return y


def check_index(index, size: int, where: str) -> None:
    """Raise IndexError unless every entry of the integer array `index` lies in [0, size)."""
    if index.size and not ((low := index.min()) >= 0 and (high := index.max()) < size):
        bad = low if low < 0 else high
        place = tuple([int(i) for i in np.argwhere(index == bad)[0]])
        raise IndexError(
            f"{where}: index {int(bad)} is out of range for size {size} (expected 0 <= index < {size}), at {place}"
        )


def check_divisor(x, where: str) -> None:
    """Raise RuntimeError if one of the whole numbers in x is 0."""
    if not x.all():
        place = tuple([int(i) for i in np.argwhere(x == 0)[0]])
        raise RuntimeError(f"{where}: ZeroDivisionError: whole numbers were divided by 0, at {place} of the divisor")


def _flat(index, axis: int, size: int):
    """The positions that `index` along the last axis means in the flattened array; None for another axis."""
    if axis not in (-1, index.ndim - 1):
        return None
    rows = math.prod(index.shape[:-1])
    return index + (np.arange(rows) * size).reshape(*index.shape[:-1], 1)


def take_along_axis(x, index, axis):
    """x at the positions `index` along `axis`."""
    flat = _flat(index, axis, x.shape[axis]) if x.shape[:-1] == index.shape[:-1] else None
    return np.take_along_axis(x, index, axis) if flat is None else x.reshape(-1)[flat]


def scatter_add(x, index, axis, size):
    """Zeros of `size` along `axis`, to which x is added at `index`; a repeated index adds up."""
    y = np.zeros(x.shape[:axis] + (size,) + x.shape[axis + 1 :], dtype=x.dtype)
    flat = _flat(index, axis, size)
    if flat is not None and index.shape[-1] == 1:  # one in each row: nothing is met twice
        y.reshape(-1)[flat] = x
    elif flat is not None:
        np.add.at(y.reshape(-1), flat.reshape(-1), x.reshape(-1))
    else:
        rows = [i.astype(np.intp) for i in np.ogrid[tuple(slice(n) for n in index.shape)]]
        rows[axis] = index
        np.add.at(y, tuple(rows), x)
    return y


def index_add(g, index, shape):
    """Zeros of `shape`, to which g is added at `[index]`; a repeated integer index adds up."""
    y = np.zeros(shape, dtype=g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if not any(isinstance(i, np.ndarray) and i.dtype.kind != "b" for i in parts):
        y[index] = g  # slices, integers and masks reach every element at most once
    elif len(parts) == 1 and parts[0].size > 1 and g.size and g.dtype.kind == "f":  # whole rows, such as an embedding's
        at, values = parts[0].reshape(-1) % shape[0], g.reshape((-1, *shape[1:]))
        found = _by_product(at, values, shape) if shape[0] <= FEW and values.size <= SMALL else None
        if found is not None:
            return found
        rows, totals, _ = sum_rows(at, values, shape[0])
        y[rows] = totals
    else:
        np.add.at(y, index, g)
    return y


def _by_product(rows, values, shape):
    """The sums for few different rows as a product with a matrix of zeros and ones; None if some are not finite."""
    if values.dtype.itemsize < 4:
        return None
    pick = np.zeros((shape[0], len(rows)), values.dtype)
    pick[rows, np.arange(len(rows))] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        y = pick @ values.reshape(len(rows), -1)
        finite = math.isfinite(np.add.reduce(y, axis=None))  # infinite times 0 is nan, in rows where it has no place
    return y.reshape(shape) if finite else None


def sum_rows(rows, values, size):
    """The different ones among `rows` (n,) in [0, size), ascending, and the sum of the `values` (n, ...) of each.

    In a fixed order: the values of one row are added as they come. Rows that come often are summed one by one; of all
    others the second values are added to the first at once, then the third, and so on. The third result is None: unlike
    on a GPU, every row comes once.
    """
    values = np.ascontiguousarray(values)  # else each turn below would copy all of them
    order = np.argsort(rows.astype(np.uint16) if size <= 65536 else rows, kind="stable")  # 16 bits: by radix
    rows = rows[order]
    starts = np.flatnonzero(np.concatenate([rows[:1] == rows[:1], rows[1:] != rows[:-1]]))
    counts = np.diff(starts, append=len(rows))
    most = np.argsort(-counts, kind="stable")
    begin = starts[most]
    left = np.searchsorted(-counts[most], np.arange(0, -OFTEN - 1, -1))  # left[k]: so many come more than k times
    totals, often = values.take(order[begin], axis=0), left[OFTEN]
    for i, (a, n) in enumerate(zip(begin[:often].tolist(), counts[most[:often]].tolist(), strict=True)):
        np.add.reduce(values.take(order[a : a + n], axis=0), axis=0, keepdims=True, out=totals[i : i + 1])
    for k in range(1, OFTEN):
        if left[k] == often:
            break
        totals[often : left[k]] += values.take(order[begin[often : left[k]] + k], axis=0)
    sums = np.empty_like(totals)
    sums[most] = totals
    return rows[starts], sums, None


def running_max(x, axis):
    """The largest value so far along `axis`."""
    return np.maximum.accumulate(x, axis=axis)
