"""A strict stand-in for CuPy, so that the whole test-suite runs as device 'cuda' on a machine without a GPU.

`install()` makes `import cupy` give the stand-in. It has CuPy's names and parameters (frozen in names.json),
refuses what CuPy refuses and some of what CuPy leaves undefined, and counts launches, uploads and syncs. The
numbers are NumPy's. What it cannot show: kernels in CUDA C, races between streams, rounding, speed.
"""

import sys

from . import operators  # noqa: F401  (completes the array)
from .counts import Counter, NotAllowed, Undefined, counting, no_sync, no_upload
from .namespace import MODULES, cupy, cupyx

__all__ = [
    "Counter",
    "NotAllowed",
    "Undefined",
    "counting",
    "cupy",
    "cupyx",
    "install",
    "no_sync",
    "no_upload",
]


def install() -> None:
    """Put the stand-in where `import cupy` and `import cupyx` find it; call this before CuPy is imported."""
    sys.modules.update(MODULES)
