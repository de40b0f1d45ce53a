"""The stand-in's `cupy.cuda`: two pretended devices, streams in name only, pools that report live arrays."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from . import counts
from .counts import launch, synced

DEVICES = 2


class CUDARuntimeError(RuntimeError):
    """`cupy.cuda.runtime.CUDARuntimeError`."""


class _Current(threading.local):
    """CUDA's current device and CuPy's current stream belong to the thread."""

    device = 0

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.allocators: list = []
        self.hooks: list[MemoryHook] = []


current = _Current()


class Device:
    """`cupy.cuda.Device`: with no argument the current one; `with` makes it current for the block."""

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = current.device if device is None else int(device)
        self._outer: list[int] = []

    def use(self) -> None:
        if not 0 <= self.id < DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        current.device = self.id

    def __enter__(self) -> Device:
        outer = current.device
        self.use()
        self._outer.append(outer)
        return self

    def __exit__(self, *exc) -> None:
        current.device = self._outer.pop()

    def synchronize(self) -> None:
        synced("Device.synchronize", download=False)

    @property
    def mem_info(self) -> tuple[int, int]:
        return 64 << 30, 64 << 30  # free, total

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


class Event:
    """`cupy.cuda.Event`. What was recorded has happened at once; no time passes between two events."""

    def __init__(self, blocking: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.timed, self.stream = not disable_timing, None
        self.ptr = id(self)

    done = True

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or get_current_stream()

    def synchronize(self) -> None:
        synced("Event.synchronize", download=False)


def get_elapsed_time(start: Event, end: Event) -> float:
    if not (start.timed and end.timed) or start.stream is None or end.stream is None:
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
    return 0.0


class Graph:
    """`cupy.cuda.Graph`: the launches of a capture, made again on the same memory with one launch."""

    def __init__(self, tape) -> None:
        self._tape = tape

    def launch(self, stream: Stream | None = None) -> None:
        def run() -> None:
            for again in self._tape:
                again()

        launch("graph", run)

    def upload(self, stream: Stream | None = None) -> None:
        """Nothing: there is nowhere to upload it to."""


class Stream:
    """`cupy.cuda.Stream`. Everything here happens at once and in order, so a stream is only a name."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority=None):
        self.is_non_blocking = non_blocking
        self.ptr = 0 if null else 2 if ptds else id(self)
        self._outer: list[Stream] = []
        self._capturing = False

    def use(self) -> Stream:
        current.streams[current.device] = self
        return self

    def __enter__(self) -> Stream:
        self._outer.append(get_current_stream())
        return self.use()

    def __exit__(self, *exc) -> None:
        self._outer.pop().use()

    done = True

    def synchronize(self) -> None:
        synced("Stream.synchronize", download=False)

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        if event.stream is None:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")

    def begin_capture(self, mode=None) -> None:
        if self.ptr in (0, 2):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        counts.begin_tape()
        self._capturing = True

    def end_capture(self) -> Graph:
        if not self._capturing:
            raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed in the present state")
        self._capturing, made = False, counts.end_tape()
        return Graph(made)

    def is_capturing(self) -> bool:
        return self._capturing


Stream.null = Stream(null=True)


def get_current_stream() -> Stream:
    return current.streams.get(current.device, Stream.null)


class OutOfMemoryError(MemoryError):
    """`cupy.cuda.memory.OutOfMemoryError`."""


class Block:
    """Memory that a pool gave away; it goes back when nothing holds it any more."""

    __slots__ = ("pool", "size", "mem_size", "device", "hooks", "__weakref__")

    def __init__(self, pool: MemoryPool, size: int) -> None:
        self.pool, self.size, self.mem_size, self.device = pool, size, -(-size // 512) * 512, current.device
        self.hooks = [*current.hooks]
        pool.used[self.device] += self.mem_size
        for hook in self.hooks:
            hook.malloc_postprocess(
                device_id=self.device, size=size, mem_size=self.mem_size, mem_ptr=id(self), pmem_id=id(self)
            )

    def __del__(self) -> None:
        self.pool.used[self.device] -= self.mem_size
        for hook in self.hooks:
            if hook in current.hooks:
                hook.free_postprocess(device_id=self.device, mem_size=self.mem_size, mem_ptr=id(self), pmem_id=id(self))


_left: list[float] = [float("inf")]


@contextlib.contextmanager
def exhausted(after: int) -> Iterator[None]:
    """Within the block there is memory for `after` more arrays, and then none."""
    _left[0] = after
    try:
        yield
    finally:
        _left[0] = float("inf")


class MemoryPool:
    """A pool of the memory of all devices, in CuPy's blocks of 512 bytes; it keeps no free ones."""

    def __init__(self, allocator=None) -> None:
        self.used = [0] * DEVICES

    def malloc(self, size: int) -> Block:
        if _left[0] <= 0:
            raise OutOfMemoryError(
                f"Out of memory allocating {size:,} bytes (allocated so far: {self.used_bytes():,} bytes)."
            )
        _left[0] -= 1
        return Block(self, size)

    def used_bytes(self) -> int:
        return self.used[current.device]

    total_bytes = used_bytes

    def free_bytes(self) -> int:
        return 0

    def get_limit(self) -> int:
        return 0

    def free_all_blocks(self, stream=None) -> None:
        """Nothing: no block is kept once its array is gone."""

    def n_free_blocks(self) -> int:
        return 0


default_pool = MemoryPool()
_allocator = [default_pool.malloc]


def allocate(size: int) -> Block:
    """Memory for an array, from the allocator that is in use."""
    return (current.allocators[-1] if current.allocators else _allocator[0])(size)


def get_allocator():
    return current.allocators[-1] if current.allocators else _allocator[0]


def set_allocator(allocator=None) -> None:
    if current.allocators:
        raise ValueError("Can't change the global allocator inside `using_allocator` context manager")
    _allocator[0] = allocator or default_pool.malloc


@contextlib.contextmanager
def using_allocator(allocator=None) -> Iterator[None]:
    current.allocators.append(allocator or default_pool.malloc)
    try:
        yield
    finally:
        current.allocators.pop()


class MemoryHook:
    """`cupy.cuda.MemoryHook`, of this thread."""

    def malloc_postprocess(self, **kwargs) -> None:
        """After memory was given away."""

    def free_postprocess(self, **kwargs) -> None:
        """After it came back."""

    def __enter__(self) -> MemoryHook:
        current.hooks.append(self)
        return self

    def __exit__(self, *exc) -> None:
        current.hooks.remove(self)


class PinnedMemoryPool:
    """The default pool of pinned host memory, which keeps no free blocks."""

    def free_all_blocks(self) -> None:
        """Nothing: no block is kept."""

    def n_free_blocks(self) -> int:
        return 0


class PinnedMemoryPointer(bytearray):
    """Host memory that NumPy reads through the buffer protocol, as it does CuPy's."""


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    return PinnedMemoryPointer(size)
