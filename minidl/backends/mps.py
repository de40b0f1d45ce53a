"""Apple's GPUs: there are none here."""

from __future__ import annotations


def is_available() -> bool:
    """False: minidl has no arrays there."""
    return False


def is_built() -> bool:
    """False."""
    return False
