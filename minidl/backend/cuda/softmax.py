"""Softmax on the GPU: one launch with a thread for each row where rows are short, else one reduction and one more."""

from __future__ import annotations

import math

import cupy

from .. import DEFINITIONS
from . import exponentials, launch
from .launch import WIDER, WITH_WIDER

SHORT = 128  # numbers that one thread may go through

# row i of the numbers along an axis with L numbers between one and the next
_ROW = "ptrdiff_t at = i / L * (ptrdiff_t(C) * L) + i % L, end = at + ptrdiff_t(C) * L, k;"
_TOTAL = """
    A top = x[at], total = 0;
    for (k = at; k < end; k += L) top = max(top, A(x[k]));
    for (k = at; k < end; k += L) total += exp(A(x[k]) - top);"""

_rows = launch.kernel(
    "raw T x, int32 C, int32 L",
    "raw T y",
    _ROW + _TOTAL + "for (k = at; k < end; k += L) y[k] = T(exp(A(x[k]) - top) / total);",
    "minidl_softmax_rows",
)

_log_rows = launch.kernel(
    "raw T x, int32 C, int32 L",
    "raw T y",
    _ROW + _TOTAL + "total = log(total); for (k = at; k < end; k += L) y[k] = T(A(x[k]) - top - total);",
    "minidl_log_softmax_rows",
)

_rows_grad = launch.kernel(
    "raw T g, raw T y, int32 C, int32 L",
    "raw T dx",
    _ROW
    + """
    A sum = 0;
    for (k = at; k < end; k += L) sum += A(g[k]) * A(y[k]);
    for (k = at; k < end; k += L) dx[k] = T(A(y[k]) * (A(g[k]) - sum));""",
    "minidl_softmax_rows_grad",
)

_log_rows_grad = launch.kernel(
    "raw T g, raw T y, int32 C, int32 L",
    "raw T dx",
    _ROW
    + """
    A sum = 0;
    for (k = at; k < end; k += L) sum += A(g[k]);
    for (k = at; k < end; k += L) dx[k] = T(A(g[k]) - exp(A(y[k])) * sum);""",
    "minidl_log_softmax_rows_grad",
)

_log_softmax = launch.kernel(
    "T x, U top, U total", "T y", "y = T(A(x) - top - log(total))", "minidl_log_softmax", types=WITH_WIDER
)

_sum_of_products = launch.reduction(
    "T g, T y", "U sum", "A(g) * A(y)", "a + b", "sum = a", "0", "minidl_sum_of_products", types=WITH_WIDER
)

_softmax_grad = launch.kernel(
    "T g, T y, U sum", "T dx", "dx = T(A(y) * (A(g) - sum))", "minidl_softmax_grad", types=WITH_WIDER
)

_wide_sum = launch.reduction("T g", "U sum", "A(g)", "a + b", "sum = a", "0", "minidl_wide_sum", types=WITH_WIDER)

_log_softmax_grad = launch.kernel(
    "T g, T y, U sum", "T dx", "dx = T(A(g) - exp(A(y)) * sum)", "minidl_log_softmax_grad", types=WITH_WIDER
)


def _lines(x, axis: int) -> tuple[int, int, int]:
    """How many rows there are along the axis, how long they are, and how far their numbers are apart."""
    length = x.shape[axis] if x.ndim else 1
    after = math.prod(x.shape[axis % x.ndim + 1 :]) if x.ndim else 1
    return x.size // length if length else 0, length, after


def _by_rows(rows, x, axis: int, *others):
    """The result of a kernel with a thread for each row of x, which comes last of the arrays; None for long rows."""
    count, length, after = _lines(x, axis)
    if length > SHORT:
        return None
    y = cupy.empty(x.shape, x.dtype)
    if y.size:
        rows(*others, x, length, after, y, size=count)
    return y


def softmax_of(x, *, axis):
    """e^x / sum e^x along `axis`; see ops/reduce.py."""
    if not launch.same(x):
        return DEFINITIONS["softmax_of"](x, axis=axis)
    y = _by_rows(_rows, x, axis)
    return exponentials.normalised(x, *exponentials.top_and_sum(x, axis)) if y is None else y


def softmax_grad(g, y, *, axis):
    """y (g - sum g y); see ops/reduce.py."""
    if not launch.same(g, y):
        return DEFINITIONS["softmax_grad"](g, y, axis=axis)
    dx = _by_rows(_rows_grad, y, axis, g)
    return _softmax_grad(g, y, _summed(_sum_of_products, axis, g, y)) if dx is None else dx


def log_softmax_of(x, *, axis):
    """x - log sum e^x along `axis`, and what its gradient needs: itself; see ops/reduce.py."""
    if not launch.same(x):
        return DEFINITIONS["log_softmax_of"](x, axis=axis)
    y = _by_rows(_log_rows, x, axis)
    if y is None:
        y = _log_softmax(x, *exponentials.top_and_sum(x, axis))
    return y, y


def log_softmax_grad(g, kept, *, axis):
    """g - e^y sum g; see ops/reduce.py."""
    if not launch.same(g, kept):
        return DEFINITIONS["log_softmax_grad"](g, kept, axis=axis)
    dx = _by_rows(_log_rows_grad, kept, axis, g)
    return _log_softmax_grad(g, kept, _summed(_wide_sum, axis, g)) if dx is None else dx


def _summed(kernel, axis: int, *arrays):
    """A sum along the axis, which is kept, in the dtype that the arrays are computed in."""
    x, axis = arrays[0], axis % arrays[0].ndim
    out = cupy.empty(x.shape[:axis] + (1,) + x.shape[axis + 1 :], WIDER[x.dtype.name])
    return kernel(*arrays, out, axis=axis, keepdims=True)
