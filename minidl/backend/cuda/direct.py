"""Convolution on the GPU without columns, in one launch: for kernels that see one channel each, and for little work.

Of the first a matrix product would have thin matrices only; of the second its launches would be most of the time.
"""

from __future__ import annotations

import cupy

from . import columns
from .launch import kernel

# D: channels that a kernel sees; E: kernels that see the same ones
_SIZES = f"int32 C, int32 F, int32 D, int32 E, {columns.SIZES}"

_forward = kernel(
    f"raw T x, raw T weight, raw T b, int32 biased, {_SIZES}",
    "T y",
    """
    int r = i;
    int q = r % Q; r /= Q;
    int p = r % P; r /= P;
    int f = r % F, n = r / F;
    A sum = biased ? A(b[f]) : A(0);
    for (int c = 0; c < D; ++c) {
        ptrdiff_t pixels = (ptrdiff_t(n) * C + f / E * D + c) * H * W;
        int taps = (f * D + c) * K * L;"""
    + columns.visit("sum += A(weight[taps + k * L + l]) * A(x[pixels + h * W + w]);")
    + """
    }
    y = T(sum);""",
    "minidl_convolution",
)

_input_grad = kernel(
    f"raw T g, raw T weight, {_SIZES}",
    "T gx",
    """
    int r = i;
    int w = r % W; r /= W;
    int h = r % H; r /= H;
    int c = r % C, n = r / C;
    A sum = 0;
    for (int e = 0; e < E; ++e) {
        int f = c / D * E + e, taps = (f * D + c % D) * K * L;
        ptrdiff_t outputs = (ptrdiff_t(n) * F + f) * P * Q;"""
    + columns.gather("sum += A(weight[taps + k * L + l]) * A(g[outputs + p * Q + q]);")
    + """
    }
    gx = T(sum);""",
    "minidl_convolution_input",
)

# of each image; the sums over the images are another launch
_weight_grad = kernel(
    f"raw T g, raw T x, {_SIZES}",
    "T gw",
    """
    int r = i;
    int l = r % L; r /= L;
    int k = r % K; r /= K;
    int c = r % D; r /= D;
    int f = r % F, n = r / F;
    ptrdiff_t pixels = (ptrdiff_t(n) * C + f / E * D + c) * H * W, outputs = (ptrdiff_t(n) * F + f) * P * Q;
    A sum = 0;
    for (int p = 0; p < P; ++p) {
        int h = p * sh - up + k * dh;
        if (h < 0 || h >= H) continue;
        for (int q = 0; q < Q; ++q) {
            int w = q * sw - left + l * dw;
            if (w >= 0 && w < W) sum += A(g[outputs + p * Q + q]) * A(x[pixels + h * W + w]);
        }
    }
    gw = T(sum);""",
    "minidl_convolution_weight",
)


def _sizes(window: columns.Window, f: int, groups: int) -> tuple[int, ...]:
    return (window.c, f, window.c // groups, f // groups, *window.numbers)


def forward(window: columns.Window, x, w, b, groups: int):
    """conv2d, the bias with it."""
    y = cupy.empty((len(x), len(w), *window.out), x.dtype)
    x, w, bias = cupy.ascontiguousarray(x), cupy.ascontiguousarray(w), w if b is None else cupy.ascontiguousarray(b)
    return _forward(x, w, bias, int(b is not None), *_sizes(window, len(w), groups), y)


def input_grad(window: columns.Window, g, w, shape, groups: int):
    """conv2d_input_grad."""
    g, w = cupy.ascontiguousarray(g), cupy.ascontiguousarray(w)
    return _input_grad(g, w, *_sizes(window, len(w), groups), cupy.empty(shape, g.dtype))


def weight_grad(window: columns.Window, g, x, shape, groups: int):
    """conv2d_weight_grad."""
    g, x, parts = cupy.ascontiguousarray(g), cupy.ascontiguousarray(x), cupy.empty((len(g), *shape), g.dtype)
    _weight_grad(g, x, *_sizes(window, shape[0], groups), parts)
    return parts.sum(axis=0) if len(g) > 1 else parts[0]
