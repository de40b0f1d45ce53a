"""Pooling on the GPU: one launch each, a thread for each window, or, on the way back, for each pixel.

A pixel gathers what its windows have for it, in the order of its places in them, so that the same call gives the same
bits. In max pooling a window's place is found again from its largest value, where a pixel is as large as that.
"""

from __future__ import annotations

import math

import cupy

from .. import DEFINITIONS
from . import columns, launch
from .launch import FLOATS

LARGEST = 1 << 30  # elements of an array that the kernels can count
_KINDS = ({"T": "float32", "I": "int8"}, {"T": "float64", "I": "int16"}, {"T": "float16", "I": "int32"})

_WINDOW = """
    int r = i;
    int q = r % Q; r /= Q;
    int p = r % P; r /= P;
    ptrdiff_t pixels = ptrdiff_t(r) * H * W;"""
_PIXEL = """
    int r = i;
    int w = r % W; r /= W;
    int h = r % H; r /= H;
    int windows = r * P * Q;"""
# the first of equals; the first nan, which is the largest of all
_FIND = "A best = -CUDART_INF_F; int place = -1;" + columns.visit("""
            A v = x[pixels + h * W + w];
            if (place < 0 || v > best || (v != v && best == best)) { best = v; place = k * L + l; }""")

_max = launch.kernel(f"raw T x, {columns.SIZES}", "T y", _WINDOW + _FIND + "y = T(best);", "minidl_max_pool")

_place = launch.kernel(
    f"raw T x, {columns.SIZES}", "I y", _WINDOW + _FIND + "y = max(place, 0);", "minidl_max_pool_place", types=_KINDS
)

_put = launch.kernel(
    f"raw T g, raw I place, {columns.SIZES}",
    "T y",
    _PIXEL
    + "A sum = 0;"
    + columns.gather("int at = windows + p * Q + q; if (place[at] == k * L + l) sum += A(g[at]);")
    + "y = T(sum);",
    "minidl_max_pool_put",
    types=_KINDS,
)

_pick = launch.kernel(
    f"raw T x, I place, {columns.SIZES}",
    "T y",
    _WINDOW
    + """
    int k = place / L, h = p * sh - up + k * dh, w = q * sw - left + (place - k * L) * dw;
    bool inside = place >= 0 && k < K && h >= 0 && h < H && w >= 0 && w < W;
    y = inside ? x[pixels + h * W + w] : T(A(0));""",
    "minidl_max_pool_pick",
    types=_KINDS,
)

# a pixel that is the largest of its window gets g if no earlier place of the window is as large
_grad = launch.kernel(
    f"raw T g, raw T x, raw T y, {columns.SIZES}",
    "T gx",
    _PIXEL
    + "A sum = 0, v = x[i]; ptrdiff_t pixels = i - h * W - w;"
    + columns.gather("""
            int at = windows + p * Q + q;
            A best = y[at];
            if (v != best && v == v) continue;
            bool first = true;
            for (int m = 0; m < k * L + l && first; ++m) {
                int above = p * sh - up + m / L * dh, before = q * sw - left + m % L * dw;
                if (above < 0 || above >= H || before < 0 || before >= W) continue;
                A other = x[pixels + above * W + before];
                first = other != best && other == other;
            }
            if (first) sum += A(g[at]);""")
    + "gx = T(sum);",
    "minidl_max_pool_grad",
)

_sum = launch.kernel(
    f"raw T x, {columns.SIZES}, float64 scale",
    "T y",
    _WINDOW + "A sum = 0;" + columns.visit("sum += A(x[pixels + h * W + w]);") + "y = T(sum * A(scale));",
    "minidl_window_sum",
)

_spread = launch.kernel(
    f"raw T g, {columns.SIZES}, float64 scale",
    "T y",
    _PIXEL + "A sum = 0;" + columns.gather("sum += A(g[windows + p * Q + q]) * A(scale);") + "y = T(sum);",
    "minidl_window_spread",
)

# E numbers lie behind each pixel
_windows = launch.kernel(
    f"raw T x, int32 E, {columns.SIZES}",
    "T y",
    """
    int r = i;
    int e = r % E; r /= E;
    int q = r % Q; r /= Q;
    int p = r % P; r /= P;
    int l = r % L; r /= L;
    int k = r % K; r /= K;
    int h = p * sh - up + k * dh, w = q * sw - left + l * dw;
    bool inside = h >= 0 && h < H && w >= 0 && w < W;
    y = inside ? x[((ptrdiff_t(r) * H + h) * W + w) * E + e] : T(A(0));""",
    "minidl_windows",
)

_windows_add = launch.kernel(
    f"raw T g, int32 E, {columns.SIZES}",
    "T y",
    """
    int r = i;
    int e = r % E; r /= E;
    int w = r % W; r /= W;
    int h = r % H; r /= H;
    A sum = 0;"""
    + columns.gather("sum += A(g[((((ptrdiff_t(r) * K + k) * L + l) * P + p) * Q + q) * E + e]);")
    + "y = T(sum);",
    "minidl_windows_add",
)

_TYPES = tuple([given["T"] for given in FLOATS])


def _served(shape, *arrays) -> bool:
    """Whether the kernels are for these: floating numbers of one dtype, which can be counted in 32 bits."""
    return all(a.dtype == arrays[0].dtype and a.size < LARGEST for a in arrays) and (
        arrays[0].dtype.name in _TYPES and math.prod(shape) < LARGEST
    )


def _sizes(size, out, kernel, stride, width, dilation=(1, 1)) -> tuple[int, ...]:
    """The numbers that `columns.SIZES` names."""
    return (*size, *out, *kernel, width[0][0], width[1][0], *stride, *dilation)


def _kind(kernel) -> str:
    """The dtype of places."""
    size = kernel[0] * kernel[1]
    return "int8" if size < 128 else "int16" if size < 32768 else "int32"


def max_pool2d(x, *, kernel, stride, dilation, width, out):
    """The largest value of each window; see ops/pool.py."""
    shape = (*x.shape[:2], *out)
    if not _served(shape, x):
        return DEFINITIONS["max_pool2d"](x, kernel=kernel, stride=stride, dilation=dilation, width=width, out=out)
    sizes = _sizes(x.shape[2:], out, kernel, stride, width[2:], dilation)
    return _max(cupy.ascontiguousarray(x), *sizes, cupy.empty(shape, x.dtype))


def max_pool2d_place(x, *, kernel, stride, dilation, width, out):
    """The place in each window of its largest value; see ops/pool.py."""
    shape = (*x.shape[:2], *out)
    if not _served(shape, x):
        how = {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}
        return DEFINITIONS["max_pool2d_place"](x, out=out, **how)
    sizes = _sizes(x.shape[2:], out, kernel, stride, width[2:], dilation)
    return _place(cupy.ascontiguousarray(x), *sizes, cupy.empty(shape, _kind(kernel)))


def max_pool2d_put(g, place, *, kernel, stride, dilation, width, shape):
    """An image of zeros, to which each g is added at its window's place; see ops/pool.py."""
    if not _served(shape, g):
        how = {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}
        return DEFINITIONS["max_pool2d_put"](g, place, shape=shape, **how)
    sizes = _sizes(shape[2:], g.shape[2:], kernel, stride, width[2:], dilation)
    return _put(cupy.ascontiguousarray(g), cupy.ascontiguousarray(place), *sizes, cupy.empty(shape, g.dtype))


def max_pool2d_pick(x, place, *, kernel, stride, dilation, width):
    """From each window the value at its place; see ops/pool.py."""
    if not _served(place.shape, x):
        how = {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}
        return DEFINITIONS["max_pool2d_pick"](x, place, **how)
    sizes = _sizes(x.shape[2:], place.shape[2:], kernel, stride, width[2:], dilation)
    return _pick(cupy.ascontiguousarray(x), place, *sizes, cupy.empty(place.shape, x.dtype))


def max_pool2d_grad(g, x, y, *, kernel, stride, dilation, width):
    """An image of zeros, to which each g is added at the place of its window's largest value; see ops/pool.py."""
    if not _served((), g, x, y):
        how = {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}
        return DEFINITIONS["max_pool2d_grad"](g, x, y, **how)
    sizes = _sizes(x.shape[2:], y.shape[2:], kernel, stride, width[2:], dilation)
    g, x, y = [cupy.ascontiguousarray(a) for a in (g, x, y)]
    return _grad(g, x, y, *sizes, cupy.empty(x.shape, g.dtype))


def window_sum(x, *, kernel, stride, width, out, scale=1.0):
    """`scale` times the sum over each window; see ops/pool.py."""
    shape = (*x.shape[:2], *out)
    if not _served(shape, x):
        return DEFINITIONS["window_sum"](x, kernel=kernel, stride=stride, width=width, out=out, scale=scale)
    sizes = _sizes(x.shape[2:], out, kernel, stride, width[2:])
    return _sum(cupy.ascontiguousarray(x), *sizes, scale, cupy.empty(shape, x.dtype))


def window_spread(g, *, kernel, stride, width, shape, scale=1.0):
    """An image of zeros, to which `scale` times each g is added at every place of its window; see ops/pool.py."""
    if not _served(shape, g):
        return DEFINITIONS["window_spread"](g, kernel=kernel, stride=stride, width=width, shape=shape, scale=scale)
    sizes = _sizes(shape[2:], g.shape[2:], kernel, stride, width[2:])
    return _spread(cupy.ascontiguousarray(g), *sizes, scale, cupy.empty(shape, g.dtype))


def _plane(shape, out, kernel, stride, dilation, width):
    """How many numbers lie behind each pixel, and the sizes; windows over one axis are those over rows of an image."""
    axes = len(kernel)
    inner = math.prod(shape[2 + axes :])
    size, width = shape[2 : 2 + axes], width[2 : 2 + axes]
    if axes == 1:
        size, out, kernel, stride, dilation = [(1, *v) for v in (size, out, kernel, stride, dilation)]
        width = ((0, 0), *width)
    return (inner, *_sizes(size, out, kernel, stride, width, dilation))


def _over_images(shape, kernel, width) -> bool:
    """Whether the windows are over one axis or two, and only these are padded."""
    return len(kernel) <= 2 and not any(map(any, (*width[:2], *width[2 + len(kernel) :])))


def windows(x, *, kernel, stride, dilation, width, out):
    """What each window of the padded image has at each of its places; see ops/pool.py."""
    shape = (*x.shape[:2], math.prod(kernel), *out, *x.shape[2 + len(kernel) :])
    if not _served(shape, x) or not _over_images(x.shape, kernel, width):
        return DEFINITIONS["windows"](x, kernel=kernel, stride=stride, dilation=dilation, width=width, out=out)
    sizes = _plane(x.shape, out, kernel, stride, dilation, width)
    return _windows(cupy.ascontiguousarray(x), *sizes, cupy.empty(shape, x.dtype))


def windows_add(g, *, kernel, stride, dilation, width, shape):
    """Zeros, to which what each window has at each of its places is added; see ops/pool.py."""
    if not _served(shape, g) or not _over_images(shape, kernel, width):
        how = {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}
        return DEFINITIONS["windows_add"](g, shape=shape, **how)
    sizes = _plane(shape, g.shape[3 : 3 + len(kernel)], kernel, stride, dilation, width)
    return _windows_add(cupy.ascontiguousarray(g), *sizes, cupy.empty(shape, g.dtype))
