"""PyTorch's `cuda.memory`: what the GPU's memory holds, and held at most.

CuPy's pool gives memory to arrays and keeps what they let go of for others. What captured steps (`compile_step`) use
lies in pools of their own and is counted among neither, but missing from what is free.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..backend import device as _device
from ..backend import get_backend
from ..backend.memory import amount

__all__ = """
    OutOfMemoryError empty_cache max_memory_allocated max_memory_reserved mem_get_info memory_allocated memory_reserved
    memory_stats memory_summary reset_max_memory_allocated reset_peak_memory_stats
""".split()
_most = {"allocated": 0, "reserved": 0}  # of what was asked for


@contextlib.contextmanager
def _memory(device) -> Iterator[Any]:
    """What knows of the memory of a GPU, which is the current one meanwhile; None where there is no GPU."""
    number = device if isinstance(device, int) else _device("cuda" if device is None else device).index
    try:
        backend: Any = get_backend("cuda" if number is None else f"cuda:{number}")
    except RuntimeError:
        if number is not None and number > 0:
            raise
        yield None
        return
    with backend.library.cuda.Device(number):
        yield backend.memory


def _asked(what: str, size: int) -> int:
    _most[what] = max(_most[what], size)
    return size


def memory_allocated(device=None) -> int:
    """The bytes of GPU memory in use by arrays; 0 where there is no GPU."""
    with _memory(device) as memory:
        return 0 if memory is None else _asked("allocated", memory.pool().used_bytes())


def memory_reserved(device=None) -> int:
    """The bytes of GPU memory that CuPy's pool holds, for arrays and for later; 0 where there is no GPU."""
    with _memory(device) as memory:
        return 0 if memory is None else _asked("reserved", memory.pool().total_bytes())


def reset_peak_memory_stats(device=None) -> None:
    """From now on watch what arrays hold at most. It costs about a microsecond for each array of this thread.

    Of the current GPU, unless another is given, and of what this thread does.
    """
    _most.update(allocated=0, reserved=0)
    with _memory(device) as memory:
        if memory is not None:
            memory.PEAK.reset()


def max_memory_allocated(device=None) -> int:
    """The most bytes that arrays held at once since `reset_peak_memory_stats`, from which on they are counted.

    Before its first call: the largest `memory_allocated` that was asked for.
    """
    now = memory_allocated(device)
    with _memory(device) as memory:
        return max(_most["allocated"], now, memory.PEAK.most if memory is not None else 0)


def max_memory_reserved(device=None) -> int:
    """The largest `memory_reserved` that was asked for since `reset_peak_memory_stats`; it shrinks by `empty_cache`."""
    memory_reserved(device)
    return _most["reserved"]


reset_max_memory_allocated = reset_peak_memory_stats


def mem_get_info(device=None) -> tuple[int, int]:
    """The free and the total bytes of GPU memory, whoever uses it. RuntimeError where there is no GPU."""
    get_backend("cuda")
    with _memory(device) as memory:
        now = memory.usage()
        return now["free"], now["total"]


def empty_cache() -> None:
    """Give memory that is not in use back to the driver; nothing where there is no GPU."""
    with _memory(None) as memory:
        if memory is not None:
            memory.pool().free_all_blocks()


def memory_stats(device=None) -> dict[str, int]:
    """Bytes that arrays and the pool hold, now and at most, under PyTorch's names; empty where there is no GPU."""
    with _memory(device) as memory:
        if memory is None:
            return {}
    return {
        "allocated_bytes.all.current": memory_allocated(device),
        "allocated_bytes.all.peak": max_memory_allocated(device),
        "reserved_bytes.all.current": memory_reserved(device),
        "reserved_bytes.all.peak": max_memory_reserved(device),
    }


def memory_summary(device=None, abbreviated: bool = False) -> str:
    """`memory_stats` in words, and what is free."""
    found = memory_stats(device)
    if not found:
        return "there is no GPU"
    lines = [f"{name:<28} {amount(size):>12}" for name, size in found.items()]
    if not abbreviated:
        free, total = mem_get_info(device)
        lines.append(f"{'free':<28} {amount(free):>12} of {amount(total)}")
    return "\n".join(lines)
