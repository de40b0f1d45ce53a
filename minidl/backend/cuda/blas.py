"""Matrix products on the GPU, by cuBLAS; transposed matrices are not copied.

Where cuBLAS cannot be called (`cublas.library()` says why, as does `minidl.cuda.current_blas_handle()`), and for types
that it does not have, CuPy's `matmul` computes the product, on the same GPU; that cannot be recorded in a graph.
"""

from __future__ import annotations

import ctypes

import cupy
import numpy as np

from .. import EXACT
from . import cublas

_N, _T = 0, 1  # cublasOperation_t
_R_32F, _R_64F, _R_16F = 0, 1, 2  # cudaDataType
_COMPUTE_32F, _COMPUTE_32F_FAST_TF32, _COMPUTE_64F = 68, 77, 70  # cublasComputeType_t
_DEFAULT = -1  # cublasGemmAlgo_t
# by type: cuBLAS's name of the data's type and of the one to add up in, and 1 and 0 in the latter
_KINDS = {
    np.dtype(np.float16): (_R_16F, _COMPUTE_32F, ctypes.c_float(1), ctypes.c_float(0)),
    np.dtype(np.float32): (_R_32F, _COMPUTE_32F, ctypes.c_float(1), ctypes.c_float(0)),
    np.dtype(np.float64): (_R_64F, _COMPUTE_64F, ctypes.c_double(1), ctypes.c_double(0)),
}


# --- how a matrix lies in memory


def _lines(x) -> tuple[int, int] | None:
    """Whether the last two axes are a transposed matrix (_T) or not (_N), and its line's length; None: neither."""
    (m, n), (row, column), size = x.shape[-2:], x.strides[-2:], x.itemsize
    if (column == size or n == 1) and (row >= n * size or m == 1) and row % size == 0:
        return _N, max(row // size, n) if m > 1 else n
    if (row == size or m == 1) and (column >= m * size or n == 1) and column % size == 0:
        return _T, max(column // size, m) if n > 1 else m
    return None


def _stride(x, batch: tuple) -> int | None:
    """The distance, in elements, of the matrices of x repeated to these batch axes; None: it is not always the same."""
    missing = len(batch) - (x.ndim - 2)
    steps = [0] * missing + [0 if n == 1 else s for n, s in zip(x.shape[:-2], x.strides[:-2], strict=True)]
    long = [(n, s) for n, s in zip(batch, steps, strict=True) if n > 1]
    for (_, outer), (n, inner) in zip(long, long[1:], strict=False):
        if outer != n * inner:
            return None
    step = long[-1][1] if long else 0
    return step // x.itemsize if step >= 0 and step % x.itemsize == 0 else None


def _readable(x, batch: tuple):
    """x as cuBLAS can read it, a copy if need be, with `_lines` and `_stride` of it."""
    for read in (lambda: x, lambda: x.copy("C"), lambda: cupy.broadcast_to(x, (*batch, *x.shape[-2:])).copy("C")):
        y = read()
        lines, stride = _lines(y), _stride(y, batch)
        if lines is not None and stride is not None:
            break
    assert lines is not None and stride is not None  # at least of the last copy, which has no gaps
    return y, *lines, stride


# --- the product


def gemm(a, b, *, out=None):
    """a @ b for matrices or batches of them, transposed views too, written to `out` (other memory) if given."""
    if out is None and a.ndim and b.ndim and 1 in (a.ndim, b.ndim):  # vectors are matrices of one row, of one column
        y = gemm(a if a.ndim > 1 else a[None], b if b.ndim > 1 else b[:, None])
        y = y if b.ndim > 1 else y[..., 0]
        return y if a.ndim > 1 else y[0] if b.ndim == 1 else y[..., 0, :]
    found, dtype = cublas.library(), a.dtype
    kind = _KINDS.get(dtype)
    if (
        kind is None
        or type(b) is not type(a)
        or b.dtype != dtype
        or min(a.ndim, b.ndim) < 2
        or isinstance(found, Exception)
    ):
        return cupy.matmul(a, b) if out is None else cupy.matmul(a, b, out=out)
    (m, k), n = a.shape[-2:], b.shape[-1]
    if b.shape[-2] != k:
        raise ValueError(f"matmul: cannot multiply {a.shape} by {b.shape}: inner sizes must be equal")
    here = cupy.cuda.get_device_id()  # cuBLAS is told addresses, and would read them on the wrong GPU
    if here != a.data.device_id or here != b.data.device_id:
        where = f"cuda:{a.data.device_id} and cuda:{b.data.device_id}"
        raise ValueError(f"the arrays must be on the current device, cuda:{here}; they are on {where}")
    batch = () if a.ndim == b.ndim == 2 else _common(a, b)
    shape, target = (*batch, m, n), out
    if out is not None and (out.shape != shape or out.dtype != dtype):
        raise ValueError(f"matmul: {a.shape} by {b.shape} is {dtype} {shape}, but out is {out.dtype} {out.shape}")
    y_lines = None if out is None else _lines(out)
    if y_lines is None or y_lines[0] != _N or _stride(out, batch) is None:
        target = cupy.empty(shape, dtype)
        y_lines = _N, n
    if target.size and not k:
        target.fill(0)
    elif target.size:
        count = target.size // (m * n)
        a, a_turned, a_line, a_step = _readable(a, batch)
        b, b_turned, b_line, b_step = _readable(b, batch)
        data, compute, one, zero = kind
        if data == _R_32F and EXACT["tf32"]:
            compute = _COMPUTE_32F_FAST_TF32
        # cuBLAS has columns where we have rows: what it reads as y^T = b^T a^T is our y = a b
        start = (cublas.handle_of(found), b_turned, a_turned, n, m, k, ctypes.byref(one))
        first, second, third = (
            (b.data.ptr, data, b_line),
            (a.data.ptr, data, a_line),
            (target.data.ptr, data, y_lines[1]),
        )
        if count == 1:
            status = found.gemm(*start, *first, *second, ctypes.byref(zero), *third, compute, _DEFAULT)
        else:
            y_step = _stride(target, batch)
            status = found.gemm_batches(
                *start, *first, b_step, *second, a_step, ctypes.byref(zero), *third, y_step, count, compute, _DEFAULT
            )
        if status:
            cublas.check(status, f"matmul of {dtype} {a.shape} by {b.shape}")
    if out is None or target is out:
        return target
    out[...] = target
    return out


def _common(a, b) -> tuple:
    """The batch axes that both can be repeated to."""
    try:
        return np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"matmul: the batches of {a.shape} and {b.shape} do not fit") from None
