"""`autocast`: mixed precision as a context or a decorator, PyTorch's switches of it, and what a Function says of it."""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings

from ..backend import dtypes, get_backend
from ..backend.dtypes import as_dtype, bfloat16, float16
from ..modes import mode
from ..tensor import Tensor
from .casting import LISTS, state

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]


def _kind(name: str, device_type: str) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"{name}: expected a device type such as 'cuda' or 'cpu', got {device_type!r}")
    kind = device_type.partition(":")[0]
    if kind not in state.dtypes:
        raise RuntimeError(f"{name}: expected one of {', '.join(state.dtypes)}, got {device_type!r}")
    return kind


def _dtype(d):
    """A dtype, also one that no Tensor has."""
    return d if isinstance(d, dtypes.dtype) else as_dtype(d)


class autocast(contextlib.ContextDecorator):
    """Within the block (or the decorated function) each op on `device_type` is computed in the precision that suits it.

    Products and convolutions run in half precision (float16), what needs range or digits (exp, sums, norms, losses) in
    float32, and the rest in the dtype of its inputs: PyTorch's lists, one for GPUs and a shorter one for the CPU.
    Parameters stay float32 and get float32 gradients, since the casts are part of the graph; a parameter is cast once
    in the block, and again if it has changed (cache_enabled). Only the forward belongs in the block: backward is
    computed in the forward's dtypes anyway. float16 needs a `GradScaler`.

    dtype: float16 on a GPU. On the CPU PyTorch's default is bfloat16, which NumPy has not: that switches autocast off
    with a warning, and on a GPU raises. Pass dtype=minidl.float16 to compute in half precision on the CPU, which is
    slow in NumPy and meant for tests. A device that is not there switches it off with a warning, as in PyTorch.
    Micikevicius et al., 2018.

    >>> layer, x = minidl.nn.Linear(3, 2), minidl.ones(4, 3)
    >>> with autocast("cpu", dtype=minidl.float16):
    ...     y = layer(x)
    ...     loss = minidl.nn.functional.mse_loss(y, minidl.zeros(4, 2))
    >>> y.dtype, loss.dtype
    (minidl.float16, minidl.float32)
    >>> loss.backward(); layer.weight.grad.dtype
    minidl.float32
    """

    def __init__(self, device_type: str, dtype=None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        self.device = _kind("autocast", device_type)
        self.fast_dtype = state.dtypes[self.device] if dtype is None else _dtype(dtype)
        self._cache_enabled = state.cache_enabled if cache_enabled is None else bool(cache_enabled)
        self._enabled = bool(enabled) and self._possible()
        self._outer: list[tuple] = []

    def _possible(self) -> bool:
        """Whether it can be switched on; if not, a warning says why."""
        if self.device == "cpu":
            if self.fast_dtype == float16:
                return True
            known = "bfloat16 is not supported (NumPy has none)" if self.fast_dtype == bfloat16 else "it knows float16"
            why = f"on the CPU {known}, dtype is {self.fast_dtype}; pass dtype=minidl.float16 for half precision"
        else:
            try:
                get_backend(self.device)
            except RuntimeError as error:
                why = str(error)
            else:
                _half("autocast", self.fast_dtype)
                return True
        warnings.warn(f"autocast is switched off: {why}", UserWarning, stacklevel=4)
        return False

    def __enter__(self) -> autocast:
        kind = self.device
        self._outer.append((state.enabled[kind], state.dtypes[kind], state.cache_enabled, mode.autocast))
        state.nesting += 1
        state.dtypes[kind], state.cache_enabled = self.fast_dtype, self._cache_enabled
        state.set(kind, self._enabled)
        return self

    def __exit__(self, *exc) -> None:
        enabled, state.dtypes[self.device], state.cache_enabled, casts = self._outer.pop()
        state.set(self.device, enabled)
        mode.autocast = casts
        state.leave()

    def _recreate_cm(self) -> autocast:
        """For each call of a decorated function: several threads may be in there at once."""
        again = copy.copy(self)
        again._outer = []
        return again


def _half(name: str, dtype) -> None:
    if dtype != float16:
        raise RuntimeError(f"{name}: {dtype} is not supported by CuPy's arrays; use dtype=minidl.float16")


class Remembered:
    """The switches as they are when this is made, for code that runs later: within `with` they are so again."""

    def __init__(self) -> None:
        self._then = (dict(state.enabled), dict(state.dtypes), state.cache_enabled)

    def __enter__(self) -> None:
        self._now = (dict(state.enabled), dict(state.dtypes), state.cache_enabled, mode.autocast)
        state.nesting += 1
        self._set(*self._then)

    def __exit__(self, *exc) -> None:
        *now, mode_then = self._now
        self._set(*now)
        mode.autocast = mode_then
        state.leave()

    def _set(self, enabled, dtypes, cache_enabled) -> None:
        state.dtypes.update(dtypes)
        state.cache_enabled = cache_enabled
        for kind, on in enabled.items():
            state.set(kind, on)


def custom_fwd(fwd=None, *, device_type: str, cast_inputs=None):
    """For the `forward` of a Function: backward will run under the autocast that forward ran under; see `custom_bwd`.

    cast_inputs: a dtype to which floating-point Tensors of the device are cast, also in lists and dicts, if autocast is
    on; then autocast is off within the forward.
    """
    _kind("custom_fwd", device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def call(*args, **kwargs):
        ctx, on = args[0], is_autocast_enabled(device_type)
        ctx._dtype, ctx._fwd_used_autocast = get_autocast_dtype(device_type), on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(*args, **kwargs)
        to = as_dtype(cast_inputs)
        with autocast(device_type, enabled=False):
            return fwd(*_converted(args, device_type, to), **_converted(kwargs, device_type, to))

    return call


def _converted(x, device_type: str, to):
    if isinstance(x, Tensor):
        wanted = x.is_floating_point() and x.device.type == device_type and x.dtype != "float64"
        return x.to(to) if wanted else x
    if isinstance(x, dict):
        return {_converted(k, device_type, to): _converted(v, device_type, to) for k, v in x.items()}
    return type(x)([_converted(v, device_type, to) for v in x]) if isinstance(x, (list, tuple)) else x


def custom_bwd(bwd=None, *, device_type: str):
    """For the `backward` of a Function whose `forward` has `custom_fwd`: it runs under the same autocast."""
    _kind("custom_bwd", device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def call(*args, **kwargs):
        with autocast(device_type, args[0]._dtype, args[0]._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return call


def is_autocast_available(device_type: str) -> bool:
    """Whether there is an autocast for this type of device (not: whether there is such a device).

    >>> is_autocast_available("cuda"), is_autocast_available("mps")
    (True, False)
    """
    return _kind("is_autocast_available", device_type) in LISTS


# -------------------------------------------------------------------------------------------------------- switches
def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether ops on this type of device are under autocast in this thread."""
    return state.enabled[_kind("is_autocast_enabled", device_type)]


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off in this thread, outside any block."""
    kind = _kind("set_autocast_enabled", device_type)
    if enabled:
        get_backend(kind)
        _half("set_autocast_enabled", state.dtypes[kind])
    state.set(kind, enabled)


def is_autocast_cpu_enabled() -> bool:
    """`is_autocast_enabled("cpu")`."""
    return is_autocast_enabled("cpu")


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept within a block."""
    return state.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Whether casts of parameters are kept within a block; at first True."""
    state.cache_enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts that were kept."""
    state.kept.clear()


def get_autocast_dtype(device_type: str):
    """The dtype of half precision on this type of device: float16 on a GPU, on the CPU bfloat16 until it is set."""
    return state.dtypes[_kind("get_autocast_dtype", device_type)]


def set_autocast_dtype(device_type: str, dtype) -> None:
    """Set the dtype of half precision on this type of device, for blocks that do not give one."""
    kind, dtype = _kind("set_autocast_dtype", device_type), _dtype(dtype)
    if state.enabled[kind]:
        _half("set_autocast_dtype", dtype)
    state.dtypes[kind] = dtype


def get_autocast_gpu_dtype():
    """`get_autocast_dtype("cuda")`."""
    return get_autocast_dtype("cuda")


def get_autocast_cpu_dtype():
    """`get_autocast_dtype("cpu")`."""
    return get_autocast_dtype("cpu")
