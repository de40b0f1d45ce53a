"""The size of gradients, all taken as one vector, and how to limit it; on bare arrays of any device."""

from __future__ import annotations

import math

from . import backend_of, definition, transfer
from .dtypes import float16, float32


def p_norm(x, p: float):
    """The norm of order p of all elements of x, as a 0-d array; of half precision in single, whose squares fit."""
    B = backend_of(x)
    if x.dtype == float16:
        x = B.astype(x, float32)
    if p == 2:
        flat = B.reshape(x, (-1,))
        return B.asarray(B.sqrt(flat @ flat))
    size = B.absolute(x)
    if p == math.inf:
        return B.asarray(B.max(size) if x.size else B.sum(size))
    if p == -math.inf:
        return B.asarray(B.min(size))
    if p == 0:
        return B.asarray(B.sum(B.astype(B.not_equal(x, 0), x.dtype)))
    return B.asarray(B.sum(size) if p == 1 else B.sum(size**p) ** (1.0 / p))


def gathered(numbers: list):
    """0-d arrays, on whatever devices, as one vector on the device of the first."""
    B = backend_of(numbers[0])
    where = B.device_of(numbers[0])
    return B.stack([x if backend_of(x).device_of(x) == where else transfer(x, where) for x in numbers])


@definition("joint_norm")
def plain_joint_norm(arrays, p):
    """The norm of the arrays' norms."""
    return p_norm(gathered([p_norm(x, p) for x in arrays]), p)


def total_norm(arrays: list, p: float):
    """The norm of order p of all arrays as one vector, the norm of their norms; a 0-d array where the first one is."""
    return backend_of(arrays[0]).joint_norm(arrays, p)


def limit_norm(arrays: list, largest: float, norm) -> None:
    """Multiply the arrays, in place, by min(1, largest / (norm + 1e-6)); norm, a 0-d array, is what they have."""
    if arrays:
        backend_of(arrays[0]).limit_norm(arrays, largest, norm)


@definition("limit_norm")
def plain_limit_norm(arrays, largest, norm):
    """x min(1, largest / (norm + 1e-6)), in place."""
    here = backend_of(norm)
    factor = here.minimum(float(largest) / (norm + 1e-6), 1.0)
    for x in arrays:
        B = backend_of(x)
        where = B.device_of(x)
        x *= factor if where == here.device_of(norm) else transfer(here.asarray(factor), where)
