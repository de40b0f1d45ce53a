"""On which stream work is done.

Ops run on CuPy's current stream, at first the default one, so that CuPy code around minidl runs in order with it and a
program's own `with cupy.cuda.Stream():` holds for both. A graph is recorded on a stream of its own, since the default
one cannot be; it is launched on the current stream, and so in order with everything else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import cupy


class _Local(threading.local):
    def __init__(self) -> None:
        self.streams: dict[int, cupy.cuda.Stream] = {}


_local = _Local()


def recording_stream():
    """This thread's stream to record graphs on, for the current GPU; it waits for no other stream by itself."""
    here = cupy.cuda.get_device_id()
    if here not in _local.streams:
        _local.streams[here] = cupy.cuda.Stream(non_blocking=True)
    return _local.streams[here]


class _Here:
    """A GPU and a stream."""

    def __init__(self) -> None:
        self._device, self._stream = cupy.cuda.Device(), cupy.cuda.get_current_stream()

    def __enter__(self) -> None:
        self._device.__enter__()
        self._stream.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._stream.__exit__(*exc)
        self._device.__exit__(*exc)


def here():
    """A context in which another thread works on this one's GPU and stream: what both do is then done in order."""
    try:
        return _Here()
    except cupy.cuda.runtime.CUDARuntimeError:  # CuPy without a GPU
        return contextlib.nullcontext()


@contextlib.contextmanager
def on(stream) -> Iterator[None]:
    """Within the block work goes to `stream`, after all that was under way, and before all that comes after it."""
    outer = cupy.cuda.get_current_stream()
    stream.wait_event(outer.record())
    try:
        with stream:
            yield
    finally:
        outer.wait_event(stream.record())
