"""The GPU: CuPy's names. Kernels without a fused form here are the plain definitions of `ops/`.

This folder is the only place that imports CuPy; it is loaded when `'cuda'` is first asked for.
"""

from .. import Backend, linalg, rows, shared
from . import arrays
from .arrays import check, cupy

BACKEND = Backend("cuda", cupy.ndarray, cupy, (shared, rows, arrays, linalg))
