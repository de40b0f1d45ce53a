"""Elementwise work on the CPU that NumPy's loops are slow at, or that is large enough for several threads."""

from __future__ import annotations

import numpy as np

from . import team

BLOCK = 1 << 18  # elements whose intermediate values stay in the cache; with fewer, threads wait for the interpreter
LARGE = 2048  # elements from which on a kernel is quicker than NumPy's loop
SHARED = 1 << 20  # elements that are worth a thread of their own
_BITS = {4: np.int32, 8: np.int64}  # the whole numbers with as many bytes as a float


def _sweep(kernel, size: int) -> None:
    """`kernel(part)` for blocks of the numbers below `size`, in several threads if that pays."""
    if size <= BLOCK:
        kernel(slice(0, size))
    else:
        team.sweep(kernel, size, BLOCK, SHARED // BLOCK)


def _flat(x):
    """The elements of x in a line: the same memory if x has C's order, else a copy."""
    return x.reshape(-1)


def relu(x):
    """The larger one of x and 0; see ops/elementwise.py."""
    if x.size < LARGE or not x.flags.c_contiguous or x.dtype.kind != "f":
        return np.maximum(x, 0)
    # against an array of zeros: NumPy's loop for a scalar handles one element at a time
    y, flat, zeros = np.empty(x.shape, x.dtype), _flat(x), np.zeros(min(x.size, BLOCK), x.dtype)
    out = _flat(y)
    _sweep(lambda part: np.maximum(flat[part], zeros[: part.stop - part.start], out=out[part]), x.size)
    return y


def relu_grad(g, y):
    """g where y > 0, else 0; see ops/elementwise.py."""
    if y.size <= 2 * SHARED or not (g.flags.c_contiguous and y.flags.c_contiguous) or g.shape != y.shape:
        return g * np.greater(y, 0)
    dx, flat, known = np.empty(y.shape, g.dtype), _flat(g), _flat(y)
    out = _flat(dx)
    _sweep(lambda part: np.multiply(flat[part], known[part] > 0, out=out[part]), y.size)
    return dx


def where(condition, a, b):
    """a where the condition holds, else b; see ops/elementwise.py.

    By its bits: b ^ ((a ^ b) & mask) with a mask of ones or zeros in every bit. NumPy's own loop asks at each element.
    """
    shape = condition.shape
    arrays = [v for v in (a, b) if v.__class__ is np.ndarray]
    dtype = arrays[0].dtype if arrays else None
    if (
        condition.size < LARGE
        or condition.dtype != bool
        or dtype not in (np.float32, np.float64)
        or any(v.dtype != dtype or v.shape != shape for v in arrays)
    ):
        return np.where(condition, a, b)
    kind = _BITS[dtype.itemsize]
    truth = _flat(condition).view(np.int8)
    given, other = [_flat(v).view(kind) if v.__class__ is np.ndarray else dtype.type(v).view(kind) for v in (a, b)]
    y = np.empty(shape, dtype)
    out = _flat(y).view(kind)

    def choose(part: slice) -> None:
        mask = np.negative(truth[part], dtype=kind)
        first, second = [v[part] if v.ndim else v for v in (given, other)]
        mask &= first ^ second
        np.bitwise_xor(mask, second, out=out[part])

    _sweep(choose, y.size)
    return y
