"""Convolution of small images by rows: whole rows of pixels times a matrix with the weights in bands (Toeplitz).

One row of outputs depends on k rows of pixels. They are copied as they are, k times less often than as columns; each of
their pixels is multiplied by a weight or, mostly, by zero: one large product instead of many thin ones, in which a core
does several times more multiplications a second. It pays while the rows are short and the channels few.
"""

from __future__ import annotations

import numpy as np

from . import team
from .window import Window, copy, product

CACHE = 1 << 21  # bytes of rows at a time
_strided = np.lib.stride_tricks.as_strided


def _valid(w: Window, k: int) -> tuple[slice, slice]:
    """The rows of outputs that meet a row of pixels, and not padding, at position k of the kernel; and these rows."""
    height, stride = w.size[0], w.stride[0]
    start = k * w.dilation[0] - w.padding[0]
    first = max(0, -(start // stride))
    last = max(first, min(w.out[0], (height - 1 - start) // stride + 1))
    begin = first * stride + start
    return slice(first, last), slice(begin, begin + (last - first) * stride, stride)


def _rows(x, w: Window):
    """What each row of outputs depends on, (n P, C K W)."""
    rows = np.empty((len(x), w.out[0], w.c, w.kernel[0], w.size[1]), dtype=x.dtype)
    for k in range(w.kernel[0]):
        outs, pixels = _valid(w, k)
        rows[:, : outs.start, :, k] = 0
        rows[:, outs.stop :, :, k] = 0
        rows[:, outs, :, k] = x[:, :, pixels].swapaxes(1, 2)
    return rows.reshape(len(rows) * w.out[0], -1)


def _diagonal(band, w: Window):
    """Where each weight stands in a band matrix with its padding, (F, C, K, L, Q)."""
    row, kernel_row, column, f, q = (band.strides[i] for i in (0, 1, 2, 3, 4))
    strides = (f, row, kernel_row, w.dilation[1] * column, w.stride[1] * column + q)
    return _strided(band, (w.f, w.c, *w.kernel, w.out[1]), strides)


def _padded(w: Window, dtype):
    """Zeros for a band matrix with the columns for padding, (C, K, width, F, Q)."""
    reach = (w.out[1] - 1) * w.stride[1] + (w.kernel[1] - 1) * w.dilation[1] + 1
    width = max(w.size[1] + w.padding[1], reach)
    return np.zeros((w.c, w.kernel[0], width, w.f, w.out[1]), dtype=dtype)


def _inner(band, w: Window):
    return band[:, :, w.padding[1] : w.padding[1] + w.size[1]]


def _bands(weight, w: Window):
    """The weights (C K W, F Q): at (c, k, j; f, q) that of the kernel position that sees pixel j for output q."""
    band = _padded(w, weight.dtype)
    _diagonal(band, w)[...] = weight[..., None]
    return _inner(band, w).reshape(-1, w.f * w.out[1])


def _blocks(w: Window, part: slice, dtype):
    size = w.out[0] * (w.c * w.kernel[0] * w.size[1] + w.f * w.out[1]) * dtype.itemsize
    count = part.stop - part.start
    step = -(-count // -(-count // max(1, CACHE // size))) if count else 1
    return [slice(i, min(i + step, part.stop)) for i in range(part.start, part.stop, step)]


def _outs(g, w: Window):
    """The gradients of rows of outputs, (n P, F Q)."""
    return np.ascontiguousarray(g.swapaxes(1, 2)).reshape(-1, w.f * w.out[1])


def _sizes(w: Window) -> tuple[float, float, float, float]:
    """The band matrix's rows and columns; the cost of making it, and of copying what one image has."""
    rows, columns = w.c * w.kernel[0] * w.size[1], w.f * w.out[1]
    making = copy(1, 2 * rows * columns) + copy(w.f * w.c * w.kernel[0] * w.kernel[1] * w.out[1], 1)
    copies = copy(w.out[0] * w.c * w.kernel[0], w.size[1]) + copy(w.f * w.out[0], w.out[1])
    return rows, columns, making, copies


def forward_cost(w: Window) -> float:
    """The cost for an image."""
    rows, columns, making, copies = _sizes(w)
    return copies + (making + product(w.n * w.out[0], rows, columns)) / w.n


def input_cost(w: Window) -> float:
    """The cost for an image."""
    rows, columns, making, copies = _sizes(w)
    return (
        copies
        + copy(w.out[0] * w.c * w.kernel[0], w.size[1])
        + making / w.n
        + product(w.n * w.out[0], columns, rows) / w.n
    )


def weight_cost(w: Window) -> float:
    """The cost for an image."""
    rows, columns, making, copies = _sizes(w)
    return copies + (making + product(rows, w.n * w.out[0], columns)) / w.n


def forward(x, weight, b, w: Window, least: int):
    """conv2d; `least`: the images that make it worth while to begin another thread."""
    y, band = np.empty((w.n, w.f, *w.out), dtype=np.result_type(x, weight)), _bands(weight, w)

    def kernel(part: slice) -> None:
        for block in _blocks(w, part, x.dtype):
            values = np.matmul(_rows(x[block], w), band).reshape(-1, w.out[0], w.f, w.out[1]).swapaxes(1, 2)
            if b is None:
                y[block] = values
            else:
                np.add(values, b.reshape(w.f, 1, 1), out=y[block])

    team.share(kernel, w.n, least)
    return y


def input_grad(g, weight, w: Window, least: int):
    """conv2d_input_grad."""
    gx, band = np.zeros((w.n, w.c, *w.size), dtype=g.dtype), _bands(weight, w).T

    def kernel(part: slice) -> None:
        for block in _blocks(w, part, g.dtype):
            rows = np.matmul(_outs(g[block], w), band).reshape(-1, w.out[0], w.c, w.kernel[0], w.size[1])
            for k in range(w.kernel[0]):
                outs, pixels = _valid(w, k)
                gx[block, :, pixels] += rows[:, outs, :, k].swapaxes(1, 2)

    team.share(kernel, w.n, least)
    return gx


def weight_grad(g, x, w: Window, least: int):
    """conv2d_weight_grad: a sum over each thread's images, then over the threads in their order."""
    sums = {}

    def kernel(part: slice) -> None:
        total = 0.0
        for block in _blocks(w, part, x.dtype):
            total += np.matmul(_rows(x[block], w).T, _outs(g[block], w))
        sums[part.start] = total

    team.share(kernel, w.n, least)
    first, *others = [sums[start] for start in sorted(sums)]
    for other in others:
        first += other
    band = _padded(w, g.dtype)
    _inner(band, w)[...] = np.reshape(first, _inner(band, w).shape)
    return np.add.reduce(_diagonal(band, w), axis=-1)
