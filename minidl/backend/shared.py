"""What NumPy's and CuPy's arrays do by the same methods, under the names and keywords that ops use."""

from __future__ import annotations


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
