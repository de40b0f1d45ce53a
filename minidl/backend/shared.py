"""What NumPy's and CuPy's arrays do by the same methods, under the names and keywords that ops use."""

from __future__ import annotations

import math

from . import backend_of, definition


def reshape(x, shape):
    """x in another shape."""
    return x.reshape(shape)


def transpose(x, axes):
    """x with its axes in another order."""
    return x.transpose(axes)


def swapaxes(x, axis1, axis2):
    """x with two axes exchanged."""
    return x.swapaxes(axis1, axis2)


def astype(x, dtype):
    """A copy of x in another dtype."""
    return x.astype(dtype)


def copy(x):
    """A copy of x."""
    return x.copy()


def lattice(x, start, size, steps):
    """The view y of x with y[i, j ...] = x at the place start + i steps[0] + j steps[1] ..."""
    strides = [sum([n * s for n, s in zip(step, x.strides, strict=True)]) for step in steps]
    corner = x[tuple([slice(n, None) for n in start])]
    return backend_of(x).lib.stride_tricks.as_strided(corner, size, strides)


@definition("counted")
def counted(t, ignored, dtype):
    """Class numbers t in int64 with 0 in the place of `ignored`, the weight 1 or, there, 0 of each, and which count."""
    B = backend_of(t)
    t = B.astype(t, "int64")  # `ignored` may lie outside a smaller type
    counts = B.not_equal(t, ignored)
    return B.where(counts, t, 0), B.astype(counts, dtype), counts


@definition("shares")
def shares(total):
    """1 / total and 0, or where the total is 0, 1 and nan; 0-d arrays."""
    B = backend_of(total)
    none = B.equal(total, 0)
    nan = B.astype(B.asarray(B.where(none, math.nan, 0.0)), total.dtype)
    return B.asarray(1.0 / (total + none)), nan
