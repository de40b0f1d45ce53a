"""The sigmoid of recurrent layers on the CPU, in place."""

from __future__ import annotations

import numpy as np


@np.errstate(over="ignore")  # where exp(-x) is infinite the result is 0, as it should be
def sigmoid(x):
    """1 / (1 + e^-x); see ops/recurrent.py."""
    y = np.negative(x)
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)
