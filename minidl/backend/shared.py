"""What NumPy's and CuPy's arrays do by the same methods, under the names and keywords that ops use."""

from __future__ import annotations

from . import backend_of


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
