"""Sums on the CPU that are quicker as matrix products."""

from __future__ import annotations

import numpy as np

_MANY = 16384  # elements from which a product adds up columns faster than np.add does


def column_sums(x):
    """The sums of x (n, m) over its rows, as a product with ones."""
    if x.size < _MANY or x.dtype.itemsize < 4:
        return np.add.reduce(x, axis=0)
    ones = np.empty(len(x), x.dtype)
    ones.fill(1)
    return ones @ x
