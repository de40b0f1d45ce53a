"""What a GPU would have been asked to do: kernel launches, copies from the host, waits of the host for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


class NotAllowed(RuntimeError):
    """A sync inside `no_sync()`, or an upload inside `no_upload()`."""


class Undefined(RuntimeError):
    """Something that CuPy does without an error but with a result that cannot be relied on."""


@dataclass
class Counter:
    """How often each thing happened, and the names in order."""

    launches: int = 0  # kernels, memory sets and copies on the device; views cost none
    uploads: int = 0  # copies from host memory to the device
    syncs: int = 0  # the host waited for the device
    downloads: int = 0  # those of the syncs that copied values to the host
    names: list[str] = field(default_factory=list)  # of the launches
    upload_names: list[str] = field(default_factory=list)
    sync_names: list[str] = field(default_factory=list)


_active: list[Counter] = []
_forbidden = {"sync": 0, "upload": 0}


@contextlib.contextmanager
def counting() -> Iterator[Counter]:
    """A fresh Counter of everything that happens inside the block."""
    counter = Counter()
    _active.append(counter)
    try:
        yield counter
    finally:
        _active[:] = [c for c in _active if c is not counter]


@contextlib.contextmanager
def _forbid(what: str) -> Iterator[None]:
    _forbidden[what] += 1
    try:
        yield
    finally:
        _forbidden[what] -= 1


def no_sync() -> contextlib.AbstractContextManager[None]:
    """Raise NotAllowed where the host would wait for the device; a CUDA graph cannot capture such a step."""
    return _forbid("sync")


def no_upload() -> contextlib.AbstractContextManager[None]:
    """Raise NotAllowed where host memory would be copied to the device, as index arrays silently are."""
    return _forbid("upload")


class CaptureError(RuntimeError):
    """Something that a stream which is being captured does not take."""


# while a graph is captured: what its launches will do, in order; nothing is done before the graph is launched
tape: list[Callable[[], None]] | None = None
# what CuPy does by cuBLAS and the like, whose calls it refuses in a capture, and what waits for the device inside
_LIBRARIES = frozenset(
    "matmul dot vdot inner tensordot einsum inv solve pinv slogdet det cholesky qr eigh eigvalsh svd lstsq".split()
)
_WAITS = frozenset("sort argsort lexsort partition argpartition".split())


def begin_tape() -> None:
    global tape
    if tape is not None:
        raise CaptureError("a graph is being captured already")
    tape = []


def end_tape() -> list[Callable[[], None]]:
    global tape
    made, tape = tape, None
    return made


def launched(name: str, again: Callable[[], None] | None = None) -> None:
    """A launch that was made; `again` makes it once more, into the same memory."""
    if tape is not None:
        if name in _LIBRARIES:
            raise NotImplementedError(f"{name}: calling cuBLAS API during stream capture is currently unsupported")
        if name in _WAITS:
            raise CaptureError(f"{name}: cudaErrorStreamCaptureUnsupported: operation not permitted when capturing")
        if again is None:
            raise CaptureError(f"{name}: the stand-in cannot record it in a graph")
        tape.append(again)
    for counter in _active:
        counter.launches += 1
        counter.names.append(name)


def uploaded(name: str) -> None:
    if _forbidden["upload"]:
        raise NotAllowed(f"{name}: a copy from host memory to the device, where none is allowed")
    if tape is not None:
        raise CaptureError(f"{name}: a copy from host memory, which a graph would make anew from where it was")
    for counter in _active:
        counter.uploads += 1
        counter.upload_names.append(name)


def synced(name: str, *, download: bool = True) -> None:
    if _forbidden["sync"]:
        raise NotAllowed(f"{name}: the host would wait for the device, where that is not allowed")
    if tape is not None:
        raise CaptureError(f"{name}: cudaErrorStreamCaptureUnsupported: operation not permitted when capturing")
    for counter in _active:
        counter.syncs += 1
        counter.downloads += download
        counter.sync_names.append(name)


def launch(name: str, run: Callable[[], None]) -> None:
    """Change arrays in place: now, or whenever the graph that is being captured is launched."""
    if tape is None:
        run()
    launched(name, run)
