"""oneDNN, which minidl does not use."""

from __future__ import annotations

from .switches import within

enabled = True  # keeps what it is set to and changes nothing
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False: minidl does without it."""
    return False


def flags(enabled=False, deterministic=False, allow_tf32=True):
    """Within the block, the switches have these values."""
    return within(globals(), enabled=enabled, deterministic=deterministic, allow_tf32=allow_tf32)
