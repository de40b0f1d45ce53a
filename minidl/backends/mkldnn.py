"""oneDNN, which minidl does not use."""

from __future__ import annotations

enabled = True  # keeps what it is set to and changes nothing
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False: minidl does without it."""
    return False
