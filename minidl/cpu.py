"""PyTorch's `cpu`: the same questions as for a GPU."""

from __future__ import annotations

from .backend.host import memory

__all__ = ["current_device", "device_count", "empty_cache", "is_available", "synchronize"]


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """'cpu'."""
    return "cpu"


def synchronize(device=None) -> None:
    """Wait until the CPU has done its work: it always has."""


def empty_cache() -> None:
    """Give the freed memory that is kept for the next arrays back to the system (on Linux with the GNU C library)."""
    memory.release()
