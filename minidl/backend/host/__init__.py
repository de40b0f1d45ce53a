"""The CPU: NumPy's names, and the fast kernels of this folder."""

import numpy as np

from .. import Backend, linalg, rows, shared
from . import (
    arrays,
    attention,
    batch_norm,
    conv,
    elementwise,
    gamma,
    loss,
    memory,
    norm,
    pool,
    products,
    recurrent,
    softmax,
    special,
)
from .arrays import check

BACKEND = Backend(
    "cpu",
    np.ndarray,
    np,
    (
        shared,
        rows,
        arrays,
        attention,
        batch_norm,
        conv,
        elementwise,
        gamma,
        linalg,
        loss,
        norm,
        pool,
        products,
        recurrent,
        softmax,
        special,
    ),
)
