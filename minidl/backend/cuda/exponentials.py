"""The largest number along an axis and the sum of the exponentials around it, in one reduction on the GPU."""

from __future__ import annotations

import cupy

from .launch import WIDER, WITH_WIDER, kernel, reduction

# of some of the numbers the largest, and the sum of e to all of them less the largest
_TOP_SUM = """
struct top_sum {
    A top, sum;
    __device__ top_sum() : top(-CUDART_INF_F), sum(0) {}
    __device__ top_sum(A t, A s) : top(t), sum(s) {}
};
__device__ top_sum joined(const top_sum& a, const top_sum& b) {
    A top = max(a.top, b.top);
    return top_sum(top, (a.top == top ? a.sum : a.sum * exp(a.top - top)) +
                        (b.top == top ? b.sum : b.sum * exp(b.top - top)));
}
"""

_top_and_sum = reduction(
    "T x", "U top, U total", "top_sum(A(x), A(1))", "joined(a, b)", "top = a.top, total = a.sum", "top_sum()",
    "minidl_top_and_sum", preamble=_TOP_SUM, types=WITH_WIDER, of="top_sum",
)  # fmt: skip

_softmax = kernel("T x, U top, U total", "T y", "y = T(exp(A(x) - top) / total)", "minidl_softmax", types=WITH_WIDER)


def top_and_sum(x, axis: int):
    """The largest number along the axis and the sum of e^(x - that), in the dtype that x is computed in."""
    shape = x.shape[: axis % x.ndim] + (1,) + x.shape[axis % x.ndim + 1 :]
    top, total = [cupy.empty(shape, WIDER[x.dtype.name]) for _ in range(2)]
    _top_and_sum(x, top, total, axis=axis, keepdims=True)
    return top, total


def normalised(x, top, total):
    """e^(x - top) / total."""
    return _softmax(x, top, total)
