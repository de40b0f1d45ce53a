"""Memory of the GPU: CuPy's pool, what is said when it is used up, its peak; and page-locked memory of the host."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import cupy
import cupyx
import numpy as np

from ..memory import OutOfMemoryError, amount


def pool():
    """CuPy's default memory pool."""
    return cupy.get_default_memory_pool()


def usage() -> dict[str, int]:
    """Bytes of the current GPU: in arrays, kept by the pool, free and in all."""
    free, total = cupy.cuda.runtime.memGetInfo()
    return {"arrays": pool().used_bytes(), "pool": pool().total_bytes(), "free": free, "total": total}


def describe() -> str:
    """`usage()` in words."""
    now = usage()
    return (
        f"arrays hold {amount(now['arrays'])}, the pool keeps {amount(now['pool'] - now['arrays'])} more for reuse; "
        f"{amount(now['free'])} of GPU {cupy.cuda.get_device_id()}'s {amount(now['total'])} are free"
    )


def translated(allocate: Callable) -> Callable:
    """An allocator for CuPy whose error is ours. Every array of every op comes by here, and pays one call for it."""

    def allocator(size: int):
        try:
            return allocate(size)
        except cupy.cuda.memory.OutOfMemoryError as error:
            limit = pool().get_limit()
            raise OutOfMemoryError(
                f"out of memory on 'cuda:{cupy.cuda.get_device_id()}': {amount(size)} were asked for; {describe()}"
                + (f"; the pool may hold {amount(limit)} at most" if limit else "")
                + ". What needs less: smaller batches, checkpointing (minidl.utils.checkpoint), float16 "
                "(minidl.autocast), no_grad() for evaluation, letting go of losses with their graphs and captured steps"
            ) from error

    return allocator


def install() -> None:
    """Take the place of CuPy's allocator: the default pool's, or whatever the program has set before."""
    cupy.cuda.set_allocator(translated(cupy.cuda.get_allocator()))


class Peak(cupy.cuda.MemoryHook):
    """The most bytes that arrays held at once, of those that this thread made since the last `reset`."""

    name = "minidl's peak"

    def __init__(self) -> None:
        self.now = self.most = 0
        self.running = False

    def reset(self) -> None:
        """Begin (again): the peak is what is held now."""
        self.now = self.most = pool().used_bytes()
        if not self.running:
            self.__enter__()
            self.running = True

    def malloc_postprocess(self, **given) -> None:
        """CuPy calls this after it gave memory away."""
        self.now += given["mem_size"]
        self.most = max(self.most, self.now)

    def free_postprocess(self, **given) -> None:
        """CuPy calls this after memory came back."""
        self.now -= given["mem_size"]


PEAK = Peak()


# --- page-locked memory of the host, from which copies run by themselves


def pinned(array: np.ndarray) -> np.ndarray:
    """A copy of a NumPy array in page-locked memory."""
    out = cupyx.empty_pinned(array.shape, array.dtype)
    out[...] = array
    return out


def is_pinned(array) -> bool:
    """Whether a NumPy array lies in page-locked memory."""
    while isinstance(array, (np.ndarray, memoryview)):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return isinstance(array, cupy.cuda.PinnedMemoryPointer)


class _Local(threading.local):
    def __init__(self) -> None:
        # copies that were begun: when each is made, and the memory that it reads until then
        self.under_way: deque = deque()


_local = _Local()


def copied_from_pinned(array: np.ndarray):
    """A copy on the current GPU of an array in page-locked memory, which the host does not wait for."""
    under_way = _local.under_way
    while under_way and under_way[0][0].done:
        under_way.popleft()
    out, stream = cupy.empty(array.shape, array.dtype), cupy.cuda.get_current_stream()
    array = array if array.flags.c_contiguous else pinned(array)
    out.set(array, stream)
    under_way.append((stream.record(), array))
    return out
