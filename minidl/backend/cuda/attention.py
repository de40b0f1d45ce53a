"""Attention on the GPU: scale, causal mask and softmax in one kernel each way, between products.

The scores lie with the queries side by side. A thread goes through the keys of one query, and threads beside it read
and write what is beside; products read transposed matrices as well as others.
"""

from __future__ import annotations

import math

import cupy

from .. import DEFINITIONS
from . import blas, launch
from .launch import FLOATS

LARGEST = 1 << 30  # elements of an array that the kernels can count
_TYPES = tuple([given["T"] for given in FLOATS])

# a thread for query `row` of a matrix of S keys x R queries; it sees `seen` keys
_QUERY = """
    int row = i % R;
    ptrdiff_t first = ptrdiff_t(i / R) * S * R + row;"""
_SEEN = "int seen = causal && row < S ? row + 1 : S;"

_softmax = launch.kernel(
    "int32 R, int32 S, float64 scale, int32 causal",
    "raw T p",
    _QUERY
    + _SEEN
    + """
    A most = A(p[first]) * A(scale), sum = 0;
    for (int s = 1; s < seen; ++s) {
        A v = A(p[first + ptrdiff_t(s) * R]) * A(scale);
        if (v > most || v != v) most = v;
    }
    for (int s = 0; s < seen; ++s) sum += exp(A(p[first + ptrdiff_t(s) * R]) * A(scale) - most);
    sum = 1 / sum;
    for (int s = 0; s < S; ++s) {
        ptrdiff_t at = first + ptrdiff_t(s) * R;
        p[at] = T(s < seen ? exp(A(p[at]) * A(scale) - most) * sum : A(0));
    }""",
    "minidl_attention",
)

# d holds g v^T, and after it the scores' gradients
_softmax_grad = launch.kernel(
    "raw T p, int32 R, int32 S, float64 scale",
    "raw T d",
    _QUERY
    + """
    A sum = 0;
    for (int s = 0; s < S; ++s) sum += A(p[first + ptrdiff_t(s) * R]) * A(d[first + ptrdiff_t(s) * R]);
    for (int s = 0; s < S; ++s) {
        ptrdiff_t at = first + ptrdiff_t(s) * R;
        d[at] = T(A(p[at]) * (A(d[at]) - sum) * A(scale));
    }""",
    "minidl_attention_grad",
)


def _served(q, k, *others) -> bool:
    """Whether the kernels are for these: floating numbers of one dtype, which can be counted in 32 bits."""
    arrays = (q, k, *others)
    if q.dtype.name not in _TYPES or any(a.dtype != q.dtype or a.shape[:-2] != q.shape[:-2] for a in arrays):
        return False
    rows = math.prod(q.shape[:-1])
    return all(a.size > 0 for a in arrays) and rows < LARGEST


def _t(x):
    return x.swapaxes(-1, -2)


def _sizes(q, k) -> tuple[int, int]:
    """How many queries and keys."""
    return q.shape[-2], k.shape[-2]


def attention(q, k, v, *, scale, causal):
    """y, and the weights p that it averages the values with; see ops/attention.py."""
    if not _served(q, k, v):
        return DEFINITIONS["attention"](q, k, v, scale=scale, causal=causal)
    if q.dtype.itemsize == 2:  # the scores are not to be larger than half precision can hold
        q, scale = q * scale, 1.0
    p = blas.gemm(k, _t(q))
    _softmax(*_sizes(q, k), scale, int(causal), p, size=math.prod(q.shape[:-1]))
    return blas.gemm(_t(p), v), _t(p)


def attention_grad(g, q, k, v, y, p, *, scale):
    """The gradients of q, k and v; see ops/attention.py."""
    if not _served(g, q, k, v):
        return DEFINITIONS["attention_grad"](g, q, k, v, y, p, scale=scale)
    d, pt = blas.gemm(v, _t(g)), _t(p)
    _softmax_grad(cupy.ascontiguousarray(pt), *_sizes(q, k), scale, d, size=math.prod(q.shape[:-1]))
    return blas.gemm(_t(d), k), blas.gemm(d, q), blas.gemm(pt, g)
