"""Matrix products on the CPU, and sums that are quicker as such."""

from __future__ import annotations

import numpy as np

from . import team

_MANY = 16384  # elements from which a product adds up columns faster than np.add does


def matmul(a, b):
    """a b, on one thread where kernels that are shared follow; see team.py."""
    if not team.follows():
        return np.matmul(a, b)
    with team.single():
        return np.matmul(a, b)


def column_sums(x):
    """The sums of x (n, m) over its rows, as a product with ones."""
    if x.size < _MANY or x.dtype.itemsize < 4:
        return np.add.reduce(x, axis=0)
    ones = np.empty(len(x), x.dtype)
    ones.fill(1)
    return matmul(ones, x)
