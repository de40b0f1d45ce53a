"""Convolution on the CPU: a few images' pixels at a time as columns (im2col), and matrix products."""

from __future__ import annotations

import numpy as np

_CACHE = 1 << 20  # bytes of columns at a time: about one core's L2 cache


def _output_size(shape, kernel, stride, padding, dilation):
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation, strict=True)
    )


def _pad(x, padding):
    (ph, pw), (n, c, h, w) = padding, x.shape
    if not (ph or pw):
        return x
    y = np.zeros((n, c, h + 2 * ph, w + 2 * pw), dtype=x.dtype)
    y[:, :, ph : ph + h, pw : pw + w] = x
    return y


def _cuts(kernel, out, stride, dilation):
    """For each kernel position: its number, and the rows and columns of the padded image that it meets."""
    for k in range(kernel[0]):
        for l in range(kernel[1]):
            top, left = k * dilation[0], l * dilation[1]
            rows = slice(top, top + (out[0] - 1) * stride[0] + 1, stride[0])
            yield k * kernel[1] + l, rows, slice(left, left + (out[1] - 1) * stride[1] + 1, stride[1])


def _blocks(n, bytes_per_image):
    """Slices of a few images each, whose columns fit the cache."""
    step = max(1, min(n, _CACHE // max(1, bytes_per_image)))
    return [slice(i, min(n, i + step)) for i in range(0, n, step)], step


class _Columns:
    """The columns (images, groups, C/G K L, P Q) of one block of images after another, in the same memory."""

    def __init__(self, x, kernel, stride, padding, dilation, groups, out):
        n, c = x.shape[:2]
        self.direct = kernel == (1, 1) and stride == (1, 1) and not any(padding)
        self.x = x if self.direct else _pad(x, padding)
        self.kernel, self.out, self.how, self.groups = kernel, out, (stride, dilation), groups
        self.area, self.size = out[0] * out[1], kernel[0] * kernel[1]
        self.blocks, step = _blocks(n, c * self.size * self.area * x.itemsize)
        if not self.direct:
            self.memory = np.empty((step, c, self.size, *out), dtype=x.dtype)

    def of(self, block):
        x, c = self.x[block], self.x.shape[1]
        if not self.direct:
            memory = self.memory[: x.shape[0]]
            for i, rows, columns in _cuts(self.kernel, self.out, *self.how):
                memory[:, :, i] = x[:, :, rows, columns]
            x = memory
        return x.reshape(x.shape[0], self.groups, c // self.groups * self.size, self.area)


def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    """y = w * x + b; see ops/conv.py."""
    f, kernel = w.shape[0], w.shape[2:]
    out = _output_size(x.shape, kernel, stride, padding, dilation)
    columns = _Columns(x, kernel, stride, padding, dilation, groups, out)
    wg = w.reshape(groups, f // groups, -1)
    y = np.empty((x.shape[0], groups, f // groups, columns.area), dtype=np.result_type(x, w))
    for block in columns.blocks:
        np.matmul(wg, columns.of(block), out=y[block])
    y = y.reshape(x.shape[0], f, *out)
    if b is not None:
        y += b.reshape(1, f, 1, 1)
    return y


def conv2d_input_grad(g, w, *, stride, padding, dilation, groups, shape):
    """dL/dx; see ops/conv.py."""
    (n, c, h, wd), (f, _, *kernel), (ph, pw) = shape, w.shape, padding
    out, area, size = g.shape[2:], g.shape[2] * g.shape[3], kernel[0] * kernel[1]
    wt = w.reshape(groups, f // groups, -1).swapaxes(1, 2)
    gx = np.zeros((n, c, h + 2 * ph, wd + 2 * pw), dtype=g.dtype)
    g4 = g.reshape(n, groups, f // groups, area)
    blocks, step = _blocks(n, c * size * area * g.itemsize)
    memory = np.empty((step, groups, c // groups * size, area), dtype=g.dtype)
    for block in blocks:
        part = g4[block]
        columns = np.matmul(wt, part, out=memory[: part.shape[0]]).reshape(part.shape[0], c, size, *out)
        target = gx[block]
        for i, rows, cols in _cuts(kernel, out, stride, dilation):
            target[:, :, rows, cols] += columns[:, :, i]
    return gx[:, :, ph : ph + h, pw : pw + wd]


def conv2d_weight_grad(g, x, *, stride, padding, dilation, groups, shape):
    """dL/dw; see ops/conv.py."""
    f, kernel = shape[0], shape[2:]
    columns = _Columns(x, kernel, stride, padding, dilation, groups, g.shape[2:])
    g4 = g.reshape(g.shape[0], groups, f // groups, columns.area)
    gw = np.zeros((groups, f // groups, shape[1] * columns.size), dtype=g.dtype)
    for block in columns.blocks:
        gw += np.matmul(g4[block], columns.of(block).swapaxes(2, 3)).sum(axis=0)
    return gw.reshape(shape)
