"""Intel's MKL: NumPy's library for matrix products, if it is that one."""

from __future__ import annotations

import threadpoolctl


def is_available() -> bool:
    """Whether NumPy computes its matrix products with it."""
    return any(library["internal_api"] == "mkl" for library in threadpoolctl.threadpool_info())
