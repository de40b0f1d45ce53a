"""PyTorch's `cuda.streams`: queues of work on a GPU, and marks in them.

All work of a program is in one queue unless it says otherwise, in order. `compile_step` needs none of this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..backend import device as _device
from ..backend import get_backend

__all__ = ["Event", "Stream", "current_stream", "default_stream", "set_stream", "stream"]


def _cuda() -> Any:
    return get_backend("cuda").library.cuda


@contextlib.contextmanager
def _on(device) -> Iterator[Any]:
    """CuPy's `cuda`, with this GPU as the current one."""
    number = device if isinstance(device, int) else _device("cuda" if device is None else device).index
    get_backend("cuda" if number is None else f"cuda:{number}")
    with _cuda().Device(number):
        yield _cuda()


class Event:
    """A mark in a queue of work, to wait for or to measure the time between two of them with.

    start, end = Event(enable_timing=True), Event(enable_timing=True)
    start.record(); y = model(x); end.record()
    end.synchronize(); start.elapsed_time(end)  # milliseconds of the GPU
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        if interprocess:
            raise NotImplementedError("Event: interprocess=True is not supported")
        self._event = _cuda().Event(blocking, not enable_timing)
        self._timed, self._recorded = bool(enable_timing), False

    def record(self, stream: Stream | None = None) -> None:
        """Put the mark behind all work that is in the stream (the current one) now."""
        self._event.record((stream or current_stream())._stream)
        self._recorded = True

    def wait(self, stream: Stream | None = None) -> None:
        """Let the stream (the current one) wait for the mark; the program goes on."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether all work before the mark is done."""
        return bool(self._event.done) if self._recorded else True

    def synchronize(self) -> None:
        """Wait until all work before the mark is done."""
        if self._recorded:
            self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this mark to the other, both recorded with enable_timing=True and reached."""
        for event, name in ((self, "the first"), (end_event, "the second")):
            if not event._timed:
                raise ValueError(f"elapsed_time: both events need enable_timing=True, {name} has not")
            if not event._recorded:
                raise ValueError(f"elapsed_time: both events must be recorded, {name} was not")
        return _cuda().get_elapsed_time(self._event, end_event._event)

    def __repr__(self) -> str:
        return f"<minidl.cuda.Event {self._event.ptr:#x}>"


class Stream:
    """A queue of work, which runs beside the others; also as a context, in which work goes to it.

    What one stream made, another may use only after waiting for it (`wait_stream`, `wait_event`). priority: kept, all
    are alike.
    """

    def __init__(self, device=None, priority: int = 0) -> None:
        with _on(device) as cuda:
            self._take(cuda.Stream(non_blocking=True), cuda.get_device_id())
        self.priority = int(priority)

    def _take(self, stream, number: int) -> None:
        self._stream, self.device = stream, _device("cuda", number)
        self._outer: list[Stream] = []

    @classmethod
    def _of(cls, stream, number: int) -> Stream:
        self = object.__new__(cls)
        self._take(stream, number)
        self.priority = 0
        return self

    @property
    def cuda_stream(self) -> int:
        """The address by which CUDA knows the stream."""
        return self._stream.ptr

    def synchronize(self) -> None:
        """Wait until all its work is done."""
        self._stream.synchronize()

    def query(self) -> bool:
        """Whether all its work is done."""
        return bool(self._stream.done)

    def record_event(self, event: Event | None = None) -> Event:
        """A mark behind its work."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Do what comes from now on after the mark was reached."""
        if event._recorded:
            self._stream.wait_event(event._event)

    def wait_stream(self, stream: Stream) -> None:
        """Do what comes from now on after all that is in the other stream now."""
        self.wait_event(stream.record_event())

    def __enter__(self) -> Stream:
        self._outer.append(current_stream(self.device))
        set_stream(self)
        return self

    def __exit__(self, *exc) -> None:
        set_stream(self._outer.pop())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device, self._stream.ptr) == (other.device, other._stream.ptr)

    def __hash__(self) -> int:
        return hash((self.device, self._stream.ptr))

    def __repr__(self) -> str:
        return f"<minidl.cuda.Stream device={self.device} cuda_stream={self._stream.ptr:#x}>"


def current_stream(device=None) -> Stream:
    """The stream that work of this thread goes to."""
    with _on(device) as cuda:
        return Stream._of(cuda.get_current_stream(), cuda.get_device_id())


def default_stream(device=None) -> Stream:
    """The stream that work goes to unless said otherwise."""
    with _on(device) as cuda:
        return Stream._of(cuda.Stream.null, cuda.get_device_id())


def set_stream(stream: Stream) -> None:
    """Let work of this thread go to a stream; None changes nothing."""
    if stream is not None:
        with _on(stream.device):
            stream._stream.use()


def stream(stream: Stream | None):
    """A context in which work goes to a stream; None changes nothing."""
    return contextlib.nullcontext() if stream is None else stream
