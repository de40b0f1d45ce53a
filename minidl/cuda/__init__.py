"""PyTorch's `cuda`: whether there is a GPU, which, how much memory is in use, and waiting for it.

Without a GPU the questions have PyTorch's answers (False, 0), and the rest raises RuntimeError.
"""

from __future__ import annotations

from types import SimpleNamespace

from .. import random
from ..backend import device as _device
from ..backend import get_backend
from ..backend.dtypes import bool_, float16, float32, float64, int8, int16, int32, int64, uint8
from ..backend.memory import OutOfMemoryError
from ..backend.random import manual_seed
from ..creation import TypeOfTensor
from . import amp, memory, streams
from .memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_max_memory_allocated,
    reset_peak_memory_stats,
)
from .streams import Event, Stream, current_stream, default_stream, set_stream, stream

__all__ = """
    BoolTensor ByteTensor CharTensor DoubleTensor Event FloatTensor HalfTensor IntTensor LongTensor OutOfMemoryError
    ShortTensor Stream amp current_blas_handle current_device current_stream default_stream device device_count
    empty_cache get_arch_list get_device_capability get_device_name get_device_properties get_rng_state
    get_rng_state_all init initial_seed ipc_collect is_available is_bf16_supported is_initialized manual_seed
    manual_seed_all max_memory_allocated max_memory_reserved mem_get_info memory memory_allocated memory_reserved
    memory_stats memory_summary reset_max_memory_allocated reset_peak_memory_stats seed seed_all set_device
    set_rng_state set_rng_state_all set_stream stream streams synchronize
""".split()

_KINDS = {
    "Float": float32, "Double": float64, "Half": float16, "Long": int64, "Int": int32, "Short": int16, "Byte": uint8,
    "Char": int8, "Bool": bool_,
}  # fmt: skip
FloatTensor, DoubleTensor, HalfTensor, LongTensor, IntTensor, ShortTensor, ByteTensor, CharTensor, BoolTensor = (
    TypeOfTensor(f"{_name}Tensor", _kind, "cuda") for _name, _kind in _KINDS.items()
)


def is_available() -> bool:
    """Whether `'cuda'` can be used: CuPy is installed and finds a GPU.

    >>> device = "cuda" if is_available() else "cpu"
    """
    try:
        get_backend("cuda")
    except RuntimeError:
        return False
    return True


def _runtime():
    return get_backend("cuda").library.cuda.runtime


def _index(device) -> int:
    """The number of a GPU given as None (the current one), a number, 'cuda:1' or a device."""
    found = device if isinstance(device, int) else _device("cuda" if device is None else device).index
    return current_device() if found is None else found


def device_count() -> int:
    """The number of GPUs; 0 where there is none, or no CuPy."""
    return _runtime().getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The number of the GPU that `'cuda'` means now."""
    return get_backend("cuda").library.cuda.Device().id


def set_device(device) -> None:
    """Make a GPU the one that `'cuda'` means; a negative number changes nothing."""
    if not isinstance(device, int) or device >= 0:
        get_backend("cuda").library.cuda.Device(_index(device)).use()


class device:
    """Within the block, `'cuda'` means this GPU; None or a negative number changes nothing."""

    def __init__(self, device) -> None:
        self.idx = -1 if device is None else _index(device)

    def __enter__(self) -> None:
        if self.idx >= 0:
            self.prev_idx = current_device()
            set_device(self.idx)

    def __exit__(self, *exc) -> None:
        if self.idx >= 0:
            set_device(self.prev_idx)


def current_blas_handle() -> int:
    """The address of cuBLAS's handle, by which matrix products are computed.

    RuntimeError where cuBLAS cannot be called, which says why: CuPy then computes them, and no step can be captured.
    """
    return get_backend("cuda").cublas.handle()


def synchronize(device=None) -> None:
    """Wait until the GPU has done all its work. RuntimeError where there is none."""
    get_backend("cuda" if device is None else _device(device)).synchronize()


def init() -> None:
    """Begin to use the GPU now. RuntimeError where there is none."""
    get_backend("cuda")


is_initialized = is_available


# ------------------------------------------------------------------------------------------------------- what it is
def get_device_properties(device=None) -> SimpleNamespace:
    """name, major, minor, total_memory (bytes), multi_processor_count of a GPU."""
    found = _runtime().getDeviceProperties(_index(device))
    return SimpleNamespace(
        name=found["name"].decode(),
        major=found["major"],
        minor=found["minor"],
        total_memory=found["totalGlobalMem"],
        multi_processor_count=found["multiProcessorCount"],
    )


def get_device_name(device=None) -> str:
    """The name of a GPU."""
    return get_device_properties(device).name


def get_device_capability(device=None) -> tuple[int, int]:
    """The compute capability of a GPU, such as (9, 0)."""
    found = get_device_properties(device)
    return found.major, found.minor


def get_arch_list() -> list[str]:
    """Empty: kernels are compiled for the GPU that is there."""
    return []


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there are no bfloat16 tensors."""
    return False


def ipc_collect() -> None:
    """Free memory that other processes gave back: none is shared. RuntimeError where there is no GPU."""
    get_backend("cuda")


# ------------------------------------------------------------------- random numbers, which do not depend on the device
manual_seed_all, initial_seed = manual_seed, random.initial_seed


def seed() -> None:
    """Start anew from a seed taken from the operating system."""
    random.seed()


seed_all = seed


def get_rng_state(device=None):
    """`minidl.get_rng_state()`: one generator serves all devices."""
    return random.get_rng_state()


def get_rng_state_all() -> list:
    """The state once for each GPU."""
    return [random.get_rng_state() for _ in range(device_count())]


def set_rng_state(new_state, device=None) -> None:
    """`minidl.set_rng_state(new_state)`: one generator serves all devices."""
    random.set_rng_state(new_state)


def set_rng_state_all(new_states) -> None:
    """Continue from the first of the states."""
    for state in list(new_states)[:1]:
        random.set_rng_state(state)
