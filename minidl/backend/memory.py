"""What all devices say when their memory is used up."""

from __future__ import annotations


class OutOfMemoryError(RuntimeError):
    """A GPU has no memory left for an array. What was computed before is as it was."""


def amount(size: float) -> str:
    """A number of bytes in words: '1.50 GiB'."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.2f} {unit}"
