"""cuBLAS by ctypes: the library that CuPy has loaded, with a handle and a workspace of our own.

CuPy refuses its own cuBLAS calls while a CUDA graph is recorded; cuBLAS itself does not.
"""

from __future__ import annotations

import ctypes
import os
import threading

import cupy
import numpy as np

WORKSPACE = 32 << 20  # bytes; what NVIDIA advises for its largest GPUs
WORKSPACES = 8  # that a thread keeps; the oldest goes first
_STATUS = {
    1: "not initialized", 3: "out of memory", 7: "invalid value", 8: "GPU too old", 11: "mapping error",
    13: "execution failed", 14: "internal error", 15: "not supported", 16: "license error",
}  # fmt: skip


def _versions() -> list[int]:
    """The major versions of CUDA under which the library may go, that of CuPy's runtime first."""
    own = cupy.cuda.runtime.runtimeGetVersion() // 1000
    return [own, *[n for n in (13, 12, 11) if n != own]]


def find():
    """cuBLAS as CuPy has loaded it, for ctypes; OSError or ImportError, which say why, where it cannot be found."""
    from cupy import cublas  # noqa: F401, PLC0415  (makes CuPy load the library, wherever it keeps it)

    if os.name == "nt":
        names, mode = [f"cublas64_{n}.dll" for n in _versions()], ctypes.DEFAULT_MODE
    else:
        names, mode = [f"libcublas.so.{n}" for n in _versions()], os.RTLD_NOW | os.RTLD_NOLOAD  # only if it is loaded
    for name in names:
        try:
            return ctypes.CDLL(name, mode=mode)
        except OSError:
            continue
    raise OSError(f"none of {', '.join(names)} is loaded")


class Library:
    """The functions of cuBLAS that are used, with the types of their arguments, and each status checked."""

    def __init__(self, library) -> None:
        pointer, number, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
        a_matrix = [pointer, number, number]  # address, type, leading dimension
        start = [pointer, number, number, number, number, number, pointer]
        self.create = self._function(library, "cublasCreate_v2", [pointer])
        self.set_stream = self._function(library, "cublasSetStream_v2", [pointer, pointer])
        self.set_workspace = self._function(library, "cublasSetWorkspace_v2", [pointer, pointer, ctypes.c_size_t])
        self.gemm = self._function(
            library, "cublasGemmEx", [*start, *a_matrix, *a_matrix, pointer, *a_matrix, number, number]
        )
        batch = [*a_matrix, long]
        self.gemm_batches = self._function(
            library,
            "cublasGemmStridedBatchedEx",
            [*start, *batch, *batch, pointer, *batch, number, number, number],
        )

    @staticmethod
    def _function(library, name: str, types: list):
        function = getattr(library, name)
        function.argtypes, function.restype = types, ctypes.c_int
        return function


def check(status: int, what: str) -> None:
    """Raise unless a call of `what` went well."""
    if status:
        raise RuntimeError(f"{what}: cuBLAS reports status {status} ({_STATUS.get(status, 'unknown')})")


class _Local(threading.local):
    """A handle for each GPU that the thread uses, and what it is set to: a handle must not be used by two threads."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know of no handle."""
        self.handles: dict[int, int] = {}
        self.streams: dict[int, int] = {}  # by GPU: the stream that its handle works on
        self.workspaces: dict[tuple[int, int], cupy.ndarray] = {}  # by GPU and stream


_local = _Local()
_found: Library | Exception | None = None


def library() -> Library | Exception:
    """cuBLAS, looked for once; or the error that says why it cannot be used."""
    global _found
    if _found is None:
        try:
            _found = Library(find())
        except (ImportError, OSError, AttributeError) as error:
            error.__context__, _found = None, error.with_traceback(None)  # else it keeps what the first product was of
    return _found


def use(found) -> None:
    """Use this library from now on; None: look for it anew."""
    global _found
    _found = None if found is None else Library(found)
    _local.begin()


def workspaces() -> list:
    """The memory that this thread's handles work in, for what must outlive the thread."""
    return [*_local.workspaces.values()]


def handle() -> int:
    """The current GPU's handle, set to the current stream. RuntimeError where cuBLAS is not there."""
    found = library()
    if isinstance(found, Exception):
        raise RuntimeError(f"cuBLAS cannot be called, so that CuPy computes matrix products: {found}")
    return handle_of(found)


def handle_of(found: Library) -> int:
    """The current GPU's handle, set to the current stream."""
    here, stream = cupy.cuda.get_device_id(), cupy.cuda.get_current_stream().ptr
    if _local.streams.get(here) == stream:
        return _local.handles[here]
    if here not in _local.handles:
        new = ctypes.c_void_p()
        check(found.create(ctypes.byref(new)), "cublasCreate")
        _local.handles[here] = new.value or 0
    if (here, stream) not in _local.workspaces:
        if len(_local.workspaces) >= WORKSPACES:
            gone = next(iter(_local.workspaces))
            del _local.workspaces[gone]
            if _local.streams.get(gone[0]) == gone[1]:  # the handle of another GPU works in it
                del _local.streams[gone[0]]
        _local.workspaces[here, stream] = cupy.empty(WORKSPACE, np.uint8)
    own, memory = _local.handles[here], _local.workspaces[here, stream]
    _local.streams.pop(here, None)
    check(found.set_stream(own, stream), "cublasSetStream")
    check(found.set_workspace(own, memory.data.ptr, memory.nbytes), "cublasSetWorkspace")  # which set_stream resets
    _local.streams[here] = stream
    return own
