"""Switches that programs set at their start: threads, determinism, precision, the default type.

A switch whose effect minidl always or never has keeps what it is set to; its text says which.
"""

from __future__ import annotations

from .backend import EXACT, set_default_device
from .backend.host import team
from .backends.switches import Switches
from .creation import TypeOfTensor
from .modes import set_default_dtype

__all__ = """
    are_deterministic_algorithms_enabled get_deterministic_debug_mode get_float32_matmul_precision
    get_num_interop_threads get_num_threads is_deterministic_algorithms_warn_only_enabled is_warn_always_enabled
    set_default_tensor_type set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal
    set_num_interop_threads set_num_threads set_warn_always use_deterministic_algorithms
""".split()

_settings = Switches(interop=1, warn_only=False, precision="highest", always=False)


def _whole(name: str, value) -> int:
    if not isinstance(value, int) or value < 1:
        raise RuntimeError(f"{name}: expected a number of at least 1, got {value!r}")
    return value


def set_num_threads(num: int) -> None:
    """How many threads matrix products, the kernels made of them and large updates use, in the whole process."""
    team.set_threads(_whole("set_num_threads", num))


def get_num_threads() -> int:
    """How many threads matrix products, the kernels made of them and large updates use."""
    return team.threads()


def set_num_interop_threads(num: int) -> None:
    """Kept, without effect: one op runs at a time."""
    _settings.interop = _whole("set_num_interop_threads", num)


def get_num_interop_threads() -> int:
    """What `set_num_interop_threads` was given, at first 1."""
    return _settings.interop


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """On a GPU add up at repeated indices in one order, which is slower; every other op is deterministic anyway.

    So that nothing is ever refused, and warn_only is kept without effect.
    """
    EXACT["deterministic"], _settings.warn_only = bool(mode), bool(mode and warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was given, at first False."""
    return EXACT["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The `warn_only` that `use_deterministic_algorithms` was given."""
    return _settings.warn_only


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by a word: 'default' (0), 'warn' (1) or 'error' (2)."""
    words = ["default", "warn", "error"]
    number = words.index(debug_mode) if debug_mode in words else debug_mode
    if number not in (0, 1, 2):
        raise RuntimeError(f"set_deterministic_debug_mode: expected 0, 1, 2 or {', '.join(words)}, got {debug_mode!r}")
    use_deterministic_algorithms(number != 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2, see `set_deterministic_debug_mode`."""
    return 0 if not EXACT["deterministic"] else 1 if _settings.warn_only else 2


def set_float32_matmul_precision(precision: str) -> None:
    """How exact products of float32 matrices on a GPU are: 'highest' in full, 'high' and 'medium' by TF32.

    The same switch as `backends.cuda.matmul.allow_tf32`, and of convolutions too. On the CPU without effect.
    """
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"set_float32_matmul_precision: expected highest, high or medium, got {precision!r}")
    _settings.precision, EXACT["tf32"] = precision, precision != "highest"


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given, at first 'highest'; 'high' if TF32 was switched on elsewhere."""
    if not EXACT["tf32"]:
        return "highest"
    return "high" if _settings.precision == "highest" else _settings.precision


def set_warn_always(b: bool) -> None:
    """Kept; Python's `warnings` filters decide how often a warning is shown."""
    _settings.always = bool(b)


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was given, at first False."""
    return _settings.always


def set_flush_denormal(mode: bool) -> bool:
    """False: very small numbers are never taken for 0, so the switch is not supported (PyTorch's way to say so)."""
    return False


def set_default_tensor_type(t) -> None:
    """The dtype and device of new tensors by a type, such as `minidl.DoubleTensor` or `'torch.cuda.FloatTensor'`."""
    kind = TypeOfTensor.named(t) if isinstance(t, str) else t
    if not isinstance(kind, TypeOfTensor):
        raise TypeError(f"set_default_tensor_type: expected a type such as DoubleTensor, or its name, got {t!r}")
    set_default_dtype(kind.dtype)
    set_default_device(None if kind.place == "cpu" else kind.place)
