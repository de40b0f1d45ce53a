"""cuBLAS for the stand-in: reads and writes the memory behind the addresses that it is given, columns first.

`Library` has the C functions that minidl calls by ctypes. It refuses what cuBLAS refuses: a leading dimension that is
too small, a handle without a workspace of its own (which setting the stream takes away).
"""

from __future__ import annotations

import ctypes

import numpy as np

from .counts import launch

TYPES = {0: np.float32, 1: np.float64, 2: np.float16}
COMPUTE = {68: np.float32, 70: np.float64, 77: np.float32}
INVALID, NOT_SUPPORTED, EXECUTION_FAILED = 7, 15, 13


def _columns(address: int, dtype, rows: int, columns: int, line: int) -> np.ndarray:
    """A matrix that lies column by column, `line` elements from one to the next."""
    size = np.dtype(dtype).itemsize
    memory = (ctypes.c_char * ((line * (columns - 1) + rows) * size)).from_address(address)
    return np.lib.stride_tricks.as_strided(np.frombuffer(memory, dtype), (rows, columns), (size, line * size))


class Library:
    """The functions by their C names; calls: what was asked for, for tests."""

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.workspaces: dict[int, int | None] = {}
        self.streams: dict[int, int] = {}
        for name in ("Create_v2", "SetStream_v2", "SetWorkspace_v2", "GemmEx", "GemmStridedBatchedEx"):
            setattr(self, f"cublas{name}", self._plain(getattr(self, f"_{name}")))

    @staticmethod
    def _plain(method):
        def function(*args):  # to which types can be attached, as to those of ctypes
            assert len(args) == len(function.argtypes), (method, args)
            return method(*args)

        return function

    def _Create_v2(self, place) -> int:
        place._obj.value = 1000 + len(self.streams)
        self.streams[place._obj.value], self.workspaces[place._obj.value] = 0, None
        return 0

    def _SetStream_v2(self, handle, stream) -> int:
        self.streams[handle], self.workspaces[handle] = stream, None
        return 0

    def _SetWorkspace_v2(self, handle, address, size) -> int:
        self.workspaces[handle] = address
        return 0 if address % 256 == 0 or size else INVALID

    def _GemmEx(self, handle, ta, tb, m, n, k, alpha, a, at, lda, b, bt, ldb, beta, c, ct, ldc, compute, algo) -> int:
        steps = (0, 0, 0, 1)
        return self._products(
            handle, ta, tb, m, n, k, alpha, (a, at, lda), (b, bt, ldb), beta, (c, ct, ldc), compute, steps
        )

    def _GemmStridedBatchedEx(
        self, handle, ta, tb, m, n, k, alpha, a, at, lda, sa, b, bt, ldb, sb, beta, c, ct, ldc, sc, count, compute, algo
    ) -> int:
        steps = (sa, sb, sc, count)
        return self._products(
            handle, ta, tb, m, n, k, alpha, (a, at, lda), (b, bt, ldb), beta, (c, ct, ldc), compute, steps
        )

    def _products(self, handle, ta, tb, m, n, k, alpha, a, b, beta, c, compute, steps) -> int:
        if self.workspaces.get(handle) is None:
            return EXECUTION_FAILED
        if min(m, n, k) < 1 or len({a[1], b[1], c[1]}) != 1 or a[1] not in TYPES or compute not in COMPUTE:
            return NOT_SUPPORTED
        if (compute == 70) != (a[1] == 1) or alpha._obj.value != 1 or beta._obj.value != 0:
            return NOT_SUPPORTED
        if (type(alpha._obj) is ctypes.c_double) != (compute == 70):
            return NOT_SUPPORTED
        if a[2] < (k if ta else m) or b[2] < (n if tb else k) or c[2] < m:
            return INVALID
        dtype, size = TYPES[a[1]], np.dtype(TYPES[a[1]]).itemsize
        self.calls.append(
            {"transposed": (ta, tb), "sizes": (m, n, k), "steps": steps, "compute": compute, "dtype": dtype}
        )

        def run() -> None:
            for i in range(steps[3]):
                x = _columns(a[0] + i * steps[0] * size, dtype, *((k, m) if ta else (m, k)), a[2])
                y = _columns(b[0] + i * steps[1] * size, dtype, *((n, k) if tb else (k, n)), b[2])
                z = _columns(c[0] + i * steps[2] * size, dtype, m, n, c[2])
                x, y = (x.T if ta else x), (y.T if tb else y)
                with np.errstate(all="ignore"):
                    # row by row, as NumPy would be asked for it
                    z.T[...] = y.T.astype(COMPUTE[compute], copy=False) @ x.T.astype(COMPUTE[compute], copy=False)

        launch("gemm", run)
        return 0
