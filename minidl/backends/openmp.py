"""OpenMP, if NumPy's library for matrix products uses it."""

from __future__ import annotations

import threadpoolctl


def is_available() -> bool:
    """Whether some library in this process runs OpenMP's threads."""
    return any(library["user_api"] == "openmp" for library in threadpoolctl.threadpool_info())
