"""cuDNN, which minidl does not use: convolutions are its own, the same each time, in full float32.

The switches keep what a program sets them to (`torch.backends.cudnn.benchmark = True`) and change nothing.
"""

from __future__ import annotations

from .switches import within

enabled = True  # PyTorch's values at the start
benchmark = False  # would try several algorithms and take the fastest
benchmark_limit = 10
deterministic = False  # would allow only algorithms that give the same result each time: all of ours do
allow_tf32 = True  # would allow less precise products


def is_available() -> bool:
    """False: minidl does without it."""
    return False


def version() -> None:
    """None: minidl does without it."""
    return None


def is_acceptable(tensor) -> bool:
    """False: minidl does without it."""
    return False


def flags(enabled=False, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=True):
    """Within the block, the switches have these values."""
    return within(
        globals(),
        enabled=enabled,
        benchmark=benchmark,
        benchmark_limit=benchmark_limit,
        deterministic=deterministic,
        allow_tf32=allow_tf32,
    )
