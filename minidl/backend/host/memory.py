"""Memory that arrays leave is kept for the next ones: fresh pages from the system cost more than the arithmetic.

A training step makes the same arrays again and again. The C library hands large ones back to the system when they are
freed, and every page of the next one is then a fault and is cleared. Told to keep what is freed it serves all arrays of
the next step from it, each thread from its own; what is kept is bounded.
"""

from __future__ import annotations

import ctypes
import os

KEEP = 1024  # MiB that are kept at most; MINIDL_KEEP_MEMORY
LARGE = 32  # MiB: the largest array that is served from what is kept, the C library's own limit
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)


def _library():
    """The C library, if it is GNU's; else None."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "malloc_trim") else None


def _limit() -> int | None:
    """MiB to keep; None where the C library is to be left alone, because the environment has set it already."""
    if any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    text = os.environ.get("MINIDL_KEEP_MEMORY", str(KEEP))
    if not text.isdecimal() or int(text) > 2047:
        raise ValueError(f"MINIDL_KEEP_MEMORY: expected whole MiB from 0 (keep nothing) to 2047, got {text!r}")
    return int(text) or None


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for this process; False where it cannot or is not to."""
    limit, library = _limit(), _library()
    if limit is None or library is None:
        return False
    settings = {_MMAP_THRESHOLD: LARGE << 20, _TRIM_THRESHOLD: limit << 20, _TOP_PAD: LARGE << 19}
    return all(library.mallopt(name, value) for name, value in settings.items())


def release() -> None:
    """Give what is kept back to the system."""
    library = _library()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))


KEPT = keep_freed_memory()  # whether freed memory is kept in this process
