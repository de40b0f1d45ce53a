"""Convolution on the GPU: columns times the weights, or directly; by cuDNN where it is there and wanted."""

from __future__ import annotations

import math
from typing import Any

import cupy

from .. import DEFINITIONS
from . import blas, columns, cudnn, direct

LIMIT = 1 << 28  # bytes of columns at a time
MANY = 256  # outputs of an image from which on each image is a product of its own, and its result lies as it should
FEW = 1 << 24  # multiplications that take less time than three launches in the place of one
LARGEST = 1 << 30  # elements of an array that the kernels can count
FLOATS = ("float16", "float32", "float64")


def _window(x_shape, w_shape, out, stride, padding, dilation) -> columns.Window:
    c, *size = x_shape[1:]
    return columns.Window(c, tuple(size), tuple(w_shape[2:]), tuple(out), stride, padding, dilation)


def _served(w: columns.Window, n: int, f: int, *arrays) -> bool:
    """Whether the kernels are for these: floating numbers of one dtype; images and outputs counted in 32 bits."""
    kind = arrays[0].dtype
    if kind.name not in FLOATS or any(a.dtype != kind or not 0 < a.size < LARGEST for a in arrays):
        return False
    return 0 < n * w.c * math.prod(w.size) < LARGEST and 0 < n * f * w.outputs < LARGEST


def _within_limit(w: columns.Window, itemsize: int) -> bool:
    """Whether a single image's columns are."""
    return w.taps * w.outputs * itemsize <= LIMIT


def _directly(w: columns.Window, n: int, f: int, groups: int) -> bool:
    """Whether there is a launch that is quicker than those of columns: see `direct.py`."""
    if _pointwise(w, groups):
        return False
    return w.c == groups or n * f * w.outputs * (w.taps // groups) <= FEW


def _blocks(w: columns.Window, n: int, itemsize: int):
    """The images in about equal parts whose columns stay within the limit."""
    most = max(1, LIMIT // (w.taps * w.outputs * itemsize))
    step = -(-n // -(-n // most))
    return [slice(k, min(k + step, n)) for k in range(0, n, step)]


def _pointwise(w: columns.Window, groups: int) -> bool:
    """Whether the images are the columns."""
    return groups == 1 and w.kernel == w.stride == (1, 1) and w.padding == (0, 0)


def _apart(w: columns.Window, n: int, groups: int) -> bool:
    """Whether each image is a product of its own; else all of a block are one, and its result is put in order."""
    return groups == 1 and (n == 1 or w.outputs >= MANY)


def _grouped(a, groups: int):
    """A matrix's rows as those of each group; the matrix itself where there is one group."""
    return a if groups == 1 else a.reshape(groups, a.shape[0] // groups, a.shape[1])


def _weight(w, groups: int):
    """(F, C/G, K, L) as a matrix (F/G, C/G K L) for each group."""
    return _grouped(w.reshape(len(w), math.prod(w.shape[1:])), groups)


def _images(a):
    """(N, C, H, W) as (N, C, H W)."""
    return a.reshape(*a.shape[:2], a.shape[2] * a.shape[3])


def _rows(g):
    """(N, F, P, Q) as (F, N P Q): a copy, unless there is one image or one output."""
    n, f, p, q = g.shape
    return g.transpose(1, 0, 2, 3).reshape(f, n * p * q)


def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    """y = w * x + b; see ops/conv.py."""
    (n, _, *size), (f, _, *kernel) = x.shape, w.shape
    each = zip(size, kernel, stride, padding, dilation, strict=True)
    out = tuple([(m + 2 * p - d * (k - 1) - 1) // s + 1 for m, k, s, p, d in each])
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    given = (x, w) if b is None else (x, w, b)
    if cudnn.wanted(*given):
        y = cudnn.compute(cudnn.FORWARD, x, w, (n, f, *out), **how)
        if y is not None:
            return y if b is None else cupy.add(y, b.reshape(f, 1, 1), out=y)
    window = _window(x.shape, w.shape, out, stride, padding, dilation)
    served = _served(window, n, f, *given)
    if served and _directly(window, n, f, groups):
        return direct.forward(window, x, w, b, groups)
    if not served or not _within_limit(window, x.dtype.itemsize):
        return DEFINITIONS["conv2d"](x, w, b, **how)
    x, weight, bias = cupy.ascontiguousarray(x), _weight(w, groups), None if b is None else b.reshape(f, 1, 1)
    y = cupy.empty((n, f, *out), x.dtype)
    pointwise, apart = _pointwise(window, groups), _apart(window, n, groups)
    if pointwise:
        blas.gemm(weight, _images(x), out=_images(y))
    for block in () if pointwise else _blocks(window, n, x.dtype.itemsize):
        made = window.of(x[block], apart=apart)
        if apart:
            blas.gemm(weight, made, out=_images(y[block]))
            continue
        part = blas.gemm(weight, _grouped(made, groups)).reshape(f, -1, *out).transpose(1, 0, 2, 3)
        if b is None:
            y[block] = part
        else:
            cupy.add(part, bias, out=y[block])
    if b is not None and (apart or pointwise):
        cupy.add(y, bias, out=y)
    return y


def conv2d_input_grad(g, w, *, stride, padding, dilation, groups, shape):
    """dL/dx; see ops/conv.py."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if cudnn.wanted(g, w) and 0 not in shape:
        gx = cudnn.compute(cudnn.INPUT_GRAD, g, w, shape, **how)
        if gx is not None:
            return gx
    window = _window(shape, w.shape, g.shape[2:], stride, padding, dilation)
    served = _served(window, len(g), len(w), g, w)
    if served and _directly(window, len(g), len(w), groups):
        return direct.input_grad(window, g, w, shape, groups)
    if not served or not _within_limit(window, g.dtype.itemsize):
        return DEFINITIONS["conv2d_input_grad"](g, w, shape=shape, **how)
    g, weight = cupy.ascontiguousarray(g), _weight(w, groups).swapaxes(-1, -2)
    gx, apart = cupy.empty(shape, g.dtype), _apart(window, len(g), groups)
    if _pointwise(window, groups):
        blas.gemm(weight, _images(g), out=_images(gx))
        return gx
    for block in _blocks(window, len(g), g.dtype.itemsize):
        rows = _images(g[block]) if apart else _grouped(_rows(g[block]), groups)
        window.add_up(blas.gemm(weight, rows), gx[block], apart)
    return gx


def conv2d_weight_grad(g, x, *, stride, padding, dilation, groups, shape):
    """dL/dw; see ops/conv.py."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if cudnn.wanted(g, x) and 0 not in shape:
        gw = cudnn.compute(cudnn.WEIGHT_GRAD, x, g, shape, **how)
        if gw is not None:
            return gw
    window = _window(x.shape, shape, g.shape[2:], stride, padding, dilation)
    served = _served(window, len(g), shape[0], g, x)
    parts = len(g) * math.prod(shape) * g.dtype.itemsize
    if served and window.c == groups > 1 and parts <= LIMIT:  # for little work alone there would be no launch less
        return direct.weight_grad(window, g, x, shape, groups)
    if not served or not _within_limit(window, g.dtype.itemsize):
        return DEFINITIONS["conv2d_weight_grad"](g, x, shape=shape, **how)
    g, x = cupy.ascontiguousarray(g), cupy.ascontiguousarray(x)
    total: Any = None
    for block in _blocks(window, len(g), g.dtype.itemsize):
        if _pointwise(window, groups):
            made, rows = _rows(x[block]), _rows(g[block])
        else:
            made, rows = window.of(x[block], g[block])
        part = blas.gemm(_grouped(rows, groups), _grouped(made, groups).swapaxes(-1, -2))
        if total is None:
            total = part
        else:
            total += part
    return total.reshape(shape)
