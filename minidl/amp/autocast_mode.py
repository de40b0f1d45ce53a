"""`autocast` and its questions: minidl computes in the dtypes of its tensors, so it can only be switched off."""

from __future__ import annotations

import contextlib
import functools
import warnings

from ..backend import get_backend
from ..backend.dtypes import bfloat16, float16

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
_FAST = {"cpu": bfloat16, "cuda": float16, "mps": bfloat16, "xpu": float16}


def _kind(name: str, device_type: str) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"{name}: expected a device type such as 'cuda' or 'cpu', got {device_type!r}")
    kind = device_type.partition(":")[0]
    if kind not in _FAST:
        raise RuntimeError(f"{name}: expected one of {', '.join(_FAST)}, got {device_type!r}")
    return kind


class autocast(contextlib.ContextDecorator):
    """Mixed precision, as a context or a decorator: `enabled=False`, or a device that is not there, leaves it off.

    With enabled=True on a device that is there it raises NotImplementedError: no op is computed in another dtype than
    its inputs'. Convert the model with `.half()` on a GPU, or leave autocast out. As in PyTorch a device that is not
    there, and on the CPU a dtype other than bfloat16 and float16, switch it off with a warning.
    """

    def __init__(self, device_type: str, dtype=None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        self.device = _kind("autocast", device_type)
        self.fast_dtype = _FAST[self.device] if dtype is None else dtype
        self._enabled = bool(enabled) and self._possible()
        if self._enabled:
            raise NotImplementedError(
                f"autocast: mixed precision on {self.device!r} is not supported; leave it out, pass enabled=False, "
                "or convert model and data with .half() on a GPU"
            )

    def _possible(self) -> bool:
        """Whether PyTorch would do anything."""
        if self.device == "cpu":
            if self.fast_dtype in (bfloat16, float16):
                return True
            why = f"on the CPU autocast knows bfloat16 and float16, not {self.fast_dtype}"
        else:
            try:
                get_backend(self.device)
                return True
            except RuntimeError as error:
                why = str(error)
        warnings.warn(f"autocast is switched off: {why}", UserWarning, stacklevel=4)
        return False

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc) -> None:
        """Nothing was switched on, so nothing is put back."""


def custom_fwd(fwd=None, *, device_type: str, cast_inputs=None):
    """The `forward` of a Function itself: cast_inputs only has a meaning within autocast."""
    return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs) if fwd is None else fwd


def custom_bwd(bwd=None, *, device_type: str):
    """The `backward` of a Function itself."""
    return functools.partial(custom_bwd, device_type=device_type) if bwd is None else bwd


def is_autocast_available(device_type: str) -> bool:
    """False: see `autocast`."""
    _kind("is_autocast_available", device_type)
    return False


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """False: see `autocast`."""
    return False


def is_autocast_cpu_enabled() -> bool:
    """False: see `autocast`."""
    return False


def is_autocast_cache_enabled() -> bool:
    """True, PyTorch's default; nothing is cast, so nothing is kept."""
    return True


def clear_autocast_cache() -> None:
    """Forget what was cast: nothing was."""


def get_autocast_dtype(device_type: str):
    """The dtype that PyTorch's autocast would compute in."""
    return _FAST[_kind("get_autocast_dtype", device_type)]


def get_autocast_gpu_dtype():
    """The dtype that PyTorch's autocast would compute in on a GPU."""
    return _FAST["cuda"]


def get_autocast_cpu_dtype():
    """The dtype that PyTorch's autocast would compute in on the CPU."""
    return _FAST["cpu"]
