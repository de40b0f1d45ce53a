"""PyTorch's `accelerator`: the GPU, whatever its make; here `'cuda'`."""

from __future__ import annotations

from . import cuda
from .backend import device

__all__ = """
    current_accelerator current_device_idx current_device_index device_count empty_cache is_available
    max_memory_allocated memory_allocated reset_peak_memory_stats set_device_idx set_device_index synchronize
""".split()


def is_available() -> bool:
    """Whether there is a GPU that can be used.

    >>> device = minidl.accelerator.current_accelerator() if is_available() else "cpu"
    """
    return cuda.is_available()


def current_accelerator(check_available: bool = False) -> device | None:
    """The kind of device, `device('cuda')`; None where there is none."""
    return device("cuda") if is_available() else None


def device_count() -> int:
    """The number of GPUs."""
    return cuda.device_count()


def _there(name: str) -> None:
    if not is_available():
        raise RuntimeError(f"{name}: there is no accelerator; ask is_available() first")


def current_device_index() -> int:
    """The number of the GPU in use. RuntimeError where there is none."""
    _there("current_device_index")
    return cuda.current_device()


def set_device_index(device) -> None:
    """Use another GPU. RuntimeError where there is none."""
    _there("set_device_index")
    cuda.set_device(device)


current_device_idx, set_device_idx = current_device_index, set_device_index


def synchronize(device=None) -> None:
    """Wait until the GPU has done all its work. RuntimeError where there is none."""
    _there("synchronize")
    cuda.synchronize(device)


def empty_cache() -> None:
    """Give memory that is not in use back to the driver. RuntimeError where there is no GPU."""
    _there("empty_cache")
    cuda.empty_cache()


memory_allocated, max_memory_allocated = cuda.memory_allocated, cuda.max_memory_allocated
reset_peak_memory_stats = cuda.reset_peak_memory_stats
