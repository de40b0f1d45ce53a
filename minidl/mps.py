"""PyTorch's `mps`, Apple's GPUs: there are none here."""

from __future__ import annotations

__all__ = ["device_count", "is_available"]


def is_available() -> bool:
    """False: minidl has no arrays there."""
    return False


def device_count() -> int:
    """0."""
    return 0
