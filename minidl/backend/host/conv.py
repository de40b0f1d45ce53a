"""Convolution on the CPU: the pixels that a kernel meets as columns (im2col), a few images at a time, and products.

Images are laid out flat: rows one after the other, `width` apart. What one kernel position meets is then one run of
memory, which is copied (or added to) at once; the few values in a run that belong to no output, between two rows, are
computed and left out. A stride is undone first: the pixels that are `stride` apart lie together (a phase), and a kernel
position sees one phase only. So whatever the stride and the dilation, all is runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_CACHE = 1 << 20  # bytes of columns at a time: about one core's L2 cache


class _Axis(NamedTuple):
    """One direction of a convolution.

    out: how many outputs. taps: the phase that each kernel position sees, and how far along. parts: for each phase
    which pixels it holds, and where. length: of a phase, as far as it is needed.
    """

    out: int
    taps: list[tuple[int, int]]
    parts: dict[int, tuple[slice, slice]]
    length: int


def _axis(size, kernel, stride, padding, dilation):
    reach = dilation * (kernel - 1)
    out = (size + 2 * padding - reach - 1) // stride + 1
    length = out + reach // stride
    taps = [(k * dilation % stride, k * dilation // stride) for k in range(kernel)]
    parts = {}
    for phase in dict.fromkeys(a for a, _ in taps):
        first = max(0, -((phase - padding) // stride))  # what comes before is padding
        start = first * stride + phase - padding
        count = max(0, min(length - first, -((start - size) // stride)))
        parts[phase] = slice(start, start + count * stride, stride), slice(first, first + count)
    return _Axis(out, taps, parts, length)


class _Columns:
    """Columns (images, groups, C/G K L, run) of one block of images after another, in the same memory."""

    def __init__(self, shape, kernel, dtype, stride, padding, dilation, groups):
        (n, c), (p, q) = shape[:2], padding
        both = zip(shape[2:], kernel, stride, padding, dilation, strict=True)
        self.rows, self.columns = rows, columns = [_axis(*values) for values in both]
        self.groups, self.width, self.out = groups, columns.length, (rows.out, columns.out)
        self.run, self.size = (rows.out - 1) * self.width + columns.out, kernel[0] * kernel[1]
        step = max(1, min(n, _CACHE // max(1, c * self.size * self.run * dtype.itemsize)))
        self.step, self.blocks = step, [slice(i, min(n, i + step)) for i in range(0, n, step)]
        self.direct = kernel == (1, 1) and stride == (1, 1) and p == q == 0
        if not self.direct:
            size = (step, c, rows.length, self.width)  # zeros outside of the image: the padding
            self.flat = {(a, b): np.zeros(size, dtype=dtype) for a in rows.parts for b in columns.parts}
            self.memory = np.empty((step, c, self.size, self.run), dtype=dtype)

    def _runs(self, n):
        """For each kernel position: its number, and the run of pixels that it meets."""
        i = 0
        for a, down in self.rows.taps:
            for b, right in self.columns.taps:
                start, flat = down * self.width + right, self.flat[a, b]
                yield i, flat.reshape(*flat.shape[:2], -1)[:n, :, start : start + self.run]
                i += 1

    def _phases(self):
        """For each phase: its memory, which pixels of an image it holds, and where."""
        for (a, b), flat in self.flat.items():
            (top, down), (left, right) = self.rows.parts[a], self.columns.parts[b]
            yield flat, (slice(None), slice(None), top, left), (slice(None), slice(None), down, right)

    def _grouped(self, x):
        return x.reshape(x.shape[0], self.groups, -1, self.run)

    def of(self, x):
        """The columns of a block of images."""
        if self.direct:
            return self._grouped(x)
        n = x.shape[0]
        for flat, pixels, place in self._phases():
            flat[:n][place] = x[pixels]
        for i, run in self._runs(n):
            self.memory[:n, :, i] = run
        return self._grouped(self.memory[:n])

    def add(self, w, g, x):
        """Add w g, as columns, to the pixels x of a block of images that they are of; x holds zeros."""
        n = x.shape[0]
        if self.direct:
            np.matmul(w, g, out=self._grouped(x))
            return
        np.matmul(w, g, out=self._grouped(self.memory[:n]))
        for flat in self.flat.values():
            flat[:n] = 0
        for i, run in self._runs(n):
            run += self.memory[:n, :, i]
        for flat, pixels, place in self._phases():
            x[pixels] = flat[:n][place]

    def wide(self, f, dtype):
        """Memory for f channels of outputs as they lie in the runs, with zeros between the rows."""
        return np.zeros((self.step, f, self.out[0], self.width), dtype=dtype)

    def flattened(self, wide, n):
        """The first n images of such memory as a matrix for each group."""
        return wide[:n].reshape(n, self.groups, wide.shape[1] // self.groups, -1)[..., : self.run]


def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    """y = w * x + b; see ops/conv.py."""
    f, dtype = w.shape[0], np.result_type(x, w)
    columns = _Columns(x.shape, w.shape[2:], x.dtype, stride, padding, dilation, groups)
    w = w.reshape(groups, f // groups, -1)
    y, wide = np.empty((x.shape[0], f, *columns.out), dtype=dtype), columns.wide(f, dtype)
    for block in columns.blocks:
        part = columns.of(x[block])
        np.matmul(w, part, out=columns.flattened(wide, part.shape[0]))
        y[block] = wide[: part.shape[0], :, :, : y.shape[3]]
    if b is not None:
        y += b.reshape(1, f, 1, 1)
    return y


def conv2d_input_grad(g, w, *, stride, padding, dilation, groups, shape):
    """dL/dx; see ops/conv.py."""
    f, c, *kernel = w.shape
    w = w.reshape(groups, f // groups, c, *kernel)
    rest = tuple([d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)])
    if stride == (1, 1) and f <= shape[1] and min(rest) >= 0:  # as a convolution of g it has fewer columns
        w = w.swapaxes(1, 2)[..., ::-1, ::-1].reshape(shape[1], -1, *kernel)
        return conv2d(g, w, stride=stride, padding=rest, dilation=dilation, groups=groups)
    columns = _Columns(shape, tuple(kernel), g.dtype, stride, padding, dilation, groups)
    w = w.reshape(groups, f // groups, -1).swapaxes(1, 2)
    gx, wide = np.zeros(shape, dtype=g.dtype), columns.wide(f, g.dtype)
    for block in columns.blocks:
        part = g[block]
        wide[: part.shape[0], :, :, : g.shape[3]] = part
        columns.add(w, columns.flattened(wide, part.shape[0]), gx[block])
    return gx


def conv2d_weight_grad(g, x, *, stride, padding, dilation, groups, shape):
    """dL/dw; see ops/conv.py."""
    f = shape[0]
    columns = _Columns(x.shape, shape[2:], x.dtype, stride, padding, dilation, groups)
    wide = columns.wide(f, g.dtype)
    gw = np.zeros((groups, f // groups, shape[1] * columns.size), dtype=g.dtype)
    for block in columns.blocks:
        part = columns.of(x[block])
        n = part.shape[0]
        wide[:n, :, :, : g.shape[3]] = g[block]
        product = np.matmul(columns.flattened(wide, n), part.swapaxes(2, 3))
        gw += product[0] if n == 1 else product.sum(axis=0)
    return gw.reshape(shape)
