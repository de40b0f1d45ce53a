"""The CPU: NumPy's names, and the fast kernels of this folder."""

import numpy as np

from .. import Backend, linalg, rows, shared
from . import arrays, conv, gamma, loss, norm, pool, recurrent, special
from .arrays import check

BACKEND = Backend(
    "cpu", np.ndarray, np, (shared, rows, arrays, conv, gamma, linalg, loss, norm, pool, recurrent, special)
)
