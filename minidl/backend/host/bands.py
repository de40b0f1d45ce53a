"""The gradient of a convolution's input by rows: rows of outputs' gradients times the weights in bands (Toeplitz).

One row of outputs depends on k whole rows of pixels by a matrix that holds each weight once for every output, and zeros
elsewhere. Most multiplications are with zeros, but it is one large product instead of many thin ones, in which a core
does several times more of them a second, and its results are whole rows. That pays while rows are short and channels
few.
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


def _bands(weight, w: Window):
    """The weights (C K W, F Q): at (c, k, j; f, q) that of the kernel position that sees pixel j for output q."""
    stride, dilation, padding, q = w.stride[1], w.dilation[1], w.padding[1], w.out[1]
    width = max(w.size[1] + padding, (q - 1) * stride + (w.kernel[1] - 1) * dilation + 1)
    band = np.zeros((w.c, w.kernel[0], width, w.f, q), dtype=weight.dtype)  # with pixels for the padding on the left
    channel, row, pixel, kernel, out = band.strides
    places = (kernel, channel, row, dilation * pixel, stride * pixel + out)  # of each weight, for each output
    _strided(band, (w.f, w.c, *w.kernel, q), places)[...] = weight[..., None]
    return band[:, :, padding : padding + w.size[1]].reshape(-1, w.f * q)


def _blocks(w: Window, part: slice, dtype) -> list[slice]:
    size = w.out[0] * (w.c * w.kernel[0] * w.size[1] + w.f * w.out[1]) * dtype.itemsize
    count = part.stop - part.start
    step = -(-count // -(-count // max(1, CACHE // size)))  # about equal ones
    return [slice(i, min(i + step, part.stop)) for i in range(part.start, part.stop, step)]


def input_cost(w: Window) -> float:
    """The cost for an image."""
    rows, columns = w.c * w.kernel[0] * w.size[1], w.f * w.out[1]
    making = copy(1, 2 * rows * columns) + copy(rows * columns * w.kernel[1] / w.size[1], 1)
    copies = 2 * copy(w.out[0] * w.c * w.kernel[0], w.size[1]) + copy(w.f * w.out[0], w.out[1])
    return copies + (making + product(w.n * w.out[0], columns, rows)) / w.n


def input_grad(g, weight, w: Window, least: int):
    """conv2d_input_grad; `least`: the images that make it worth while to begin another thread."""
    gx, band = np.zeros((w.n, w.c, *w.size), dtype=g.dtype), _bands(weight, w).T

    def kernel(part: slice) -> None:
        for block in _blocks(w, part, g.dtype):
            outs = np.ascontiguousarray(g[block].swapaxes(1, 2)).reshape(-1, w.f * w.out[1])
            rows = np.matmul(outs, band).reshape(-1, w.out[0], w.c, w.kernel[0], w.size[1])
            for k in range(w.kernel[0]):
                met, pixels = _valid(w, k)
                gx[block, :, pixels] += rows[:, met, :, k].swapaxes(1, 2)

    team.share(kernel, w.n, least)
    return gx
