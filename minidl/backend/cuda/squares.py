"""The norm of all gradients, and limiting it, on the GPU: in a few launches for all, and nothing waits for it."""

from __future__ import annotations

import cupy

from .. import DEFINITIONS
from . import launch, recording
from .launch import WIDER, WITH_WIDER

THREADS = 1 << 16  # each goes through every array by steps of as many elements

# `place` has the addresses of the arrays and after them their sizes; `like` only says their type
_parts = launch.kernel(
    "raw T like, raw int64 place, int32 count",
    "raw float64 part",
    """
    double sum = 0;
    for (int k = 0; k < count; k++) {
        const T* x = reinterpret_cast<const T*>(place[k]);
        for (ptrdiff_t j = i; j < place[count + k]; j += part.size()) { double v = A(x[j]); sum += v * v; }
    }
    part[i] = sum;""",
    "minidl_parts_of_squares",
)

_norm = launch.reduction(
    "T x", "U norm", "x", "a + b", "norm = U(sqrt(a))", "0", "minidl_norm",
    types=({"T": "float64", "U": "float32"}, {"T": "float64", "U": "float64"}),
)  # fmt: skip

_limit = launch.kernel(
    "raw int64 place, int32 count, raw U norm, float64 largest",
    "raw T like",
    """
    A f = A(largest) / (norm[0] + A(1e-6));
    if (f < 1 || f != f)
        for (int k = 0; k < count; k++) {
            T* x = reinterpret_cast<T*>(place[k]);
            for (ptrdiff_t j = i; j < place[count + k]; j += _ind.size()) x[j] = T(A(x[j]) * f);
        }""",
    "minidl_limit_norm",
    types=WITH_WIDER,
)


def _served(arrays) -> bool:
    """Whether all arrays are dense, of one dtype among those of the kernels, and on one GPU."""
    first = arrays[0]
    return first.dtype.name in WIDER and all(
        type(x) is cupy.ndarray and x.dtype == first.dtype and x.device == first.device and x.flags.c_contiguous
        for x in arrays
    )


def _places(arrays) -> tuple:
    """Where the arrays are and how long, for a kernel; how many there are; and how many threads they are worth."""
    place = cupy.empty(2 * len(arrays), "int64")
    recording._write(place, [x.data.ptr for x in arrays] + [x.size for x in arrays])
    return place, len(arrays), max(1, min(THREADS, max([x.size for x in arrays])))


def joint_norm(arrays, p):
    """The norm of order p of all arrays as one vector; see backend/norms.py."""
    if p != 2 or not _served(arrays):
        return DEFINITIONS["joint_norm"](arrays, p)
    place, count, threads = _places(arrays)
    part = _parts(arrays[0], place, count, cupy.empty(threads, "float64"), size=threads)
    return _norm(part, cupy.empty((), WIDER[arrays[0].dtype.name]))


def limit_norm(arrays, largest, norm):
    """Multiply the arrays, in place, by min(1, largest / (norm + 1e-6)); see backend/norms.py."""
    if not _served(arrays) or norm.dtype.name != WIDER[arrays[0].dtype.name] or norm.device != arrays[0].device:
        return DEFINITIONS["limit_norm"](arrays, largest, norm)
    place, count, threads = _places(arrays)
    _limit(place, count, norm, float(largest), arrays[0], size=threads)
