"""cuDNN, which computes convolutions on a GPU where the extra `cudnn` is installed; elsewhere they are minidl's own.

Both are the same each time, and in full float32 unless TF32 is allowed. The other switches keep what a program sets
them to (`torch.backends.cudnn.benchmark = True`) and change nothing.
"""

from __future__ import annotations

import contextlib
import sys
import types
from typing import Any

from ..backend import EXACT, get_backend
from .switches import ALLOW_TF32, within

benchmark = False  # PyTorch's value at the start; would try several algorithms and take the fastest
benchmark_limit = 10
deterministic = False  # would allow only algorithms that give the same result each time: all of ours do


def version() -> int | None:
    """cuDNN's version, as 91200 for 9.12.0; None where there is none, or no GPU."""
    try:
        found = get_backend("cuda").cudnn.library()
    except RuntimeError:
        return None
    return None if found is None else found.backend_version()


def is_available() -> bool:
    """Whether there is cuDNN, and a GPU."""
    return version() is not None


def is_acceptable(tensor) -> bool:
    """Whether convolutions of such tensors are cuDNN's: on a GPU, in single or half precision."""
    fits = tensor.device.type == "cuda" and str(tensor.dtype).rpartition(".")[2] in ("float32", "float16")
    return EXACT["cudnn"] and fits and is_available()


@contextlib.contextmanager
def flags(enabled=False, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=None):
    """Within the block, the switches have these values; allow_tf32 (PyTorch: True) only if it is given."""
    module: Any = sys.modules[__name__]
    before = module.allow_tf32
    was_enabled = module.enabled
    with within(globals(), deterministic=deterministic, benchmark=benchmark, benchmark_limit=benchmark_limit):
        try:
            module.allow_tf32 = before if allow_tf32 is None else allow_tf32
            module.enabled = enabled
            yield
        finally:
            module.allow_tf32, module.enabled = before, was_enabled


class _Module(types.ModuleType):
    """This module, with switches that are not its own: that of TF32, and the one that convolutions look at."""

    allow_tf32 = ALLOW_TF32

    @property
    def enabled(self) -> bool:
        """Whether cuDNN may compute convolutions."""
        return EXACT["cudnn"]

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"cudnn.enabled: expected True or False, got {value!r}")
        EXACT["cudnn"] = value


sys.modules[__name__].__class__ = _Module
