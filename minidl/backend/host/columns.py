"""Convolution by columns (im2col): the pixels that each kernel position meets, side by side, times the weights.

Images are laid out flat and channel by channel: rows one after the other, `width` apart. What one kernel position meets
is then one run of memory, copied at once; the few values in a run that belong to no output, at the ends of rows, are
computed and left out. Where they would be many, each row is a run of its own. A stride is undone first: the pixels that
are `stride` apart lie together (a phase), and a kernel position sees one phase only. So whatever the stride and the
dilation, all is runs.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from . import team
from .window import Window, copy, product

CACHE = 1 << 21  # bytes of columns at a time


class _Phase(NamedTuple):
    """Pixels that lie `stride` apart in one direction: which of the image they are, and their place in the memory.

    taps: the kernel positions that see them, `number` of them; `start`: how far along the first sees them, `step`: each
    next one.
    """

    pixels: slice
    place: slice
    taps: slice
    number: int
    start: int
    step: int


class _Layout(NamedTuple):
    """height, width: of a phase, as far as it is needed. row: how much of a phase's row, with what lies between rows or
    without, is copied for a row of outputs. phases: pairs (down, across).
    """

    height: int
    width: int
    row: int
    phases: list[tuple[_Phase, _Phase]]


def _phases(size: int, kernel: int, stride: int, padding: int, dilation: int, out: int) -> tuple[int, list[_Phase]]:
    length = out + dilation * (kernel - 1) // stride
    apart = stride // math.gcd(stride, dilation)  # kernel positions that see the same phase are so far apart
    found = []
    for k in range(min(kernel, apart)):
        phase, start = k * dilation % stride, k * dilation // stride
        first = max(0, -((phase - padding) // stride))  # what comes before is padding
        begin = first * stride + phase - padding
        count = max(0, min(length - first, -((begin - size) // stride)))
        pixels, place = slice(begin, begin + count * stride, stride), slice(first, first + count)
        taps = slice(k, None, apart)
        found.append(_Phase(pixels, place, taps, len(range(kernel)[taps]), start, apart * dilation // stride))
    return length, found


@functools.lru_cache(1024)
def _layout(w: Window) -> _Layout:
    down, across = zip(w.size, w.kernel, w.stride, w.padding, w.dilation, w.out, strict=True)
    (height, rows), (width, columns) = _phases(*down), _phases(*across)
    return _Layout(height, width, _sizes(w).row, [(a, b) for a in rows for b in columns])


class _Columns:
    """The columns (groups, C/G K L, n P width) of one block of images after another, in the same memory."""

    def __init__(self, w: Window, step: int, dtype) -> None:
        self.window, self.dtype = w, dtype
        height, width, self.row, phases = _layout(w)
        shape, item = (w.c, step, height, width), dtype.itemsize
        size = math.prod(shape)
        row, image = width * item, height * width * item
        self.memory = np.empty(w.c * w.kernel[0] * w.kernel[1] * step * w.out[0] * self.row, dtype=dtype)
        self.whole = step == 1 and self.row == w.out[1]  # then products lie as the outputs of an image do
        self.phases = []
        for a, b in phases:
            # zeros outside of the image, the padding, and behind the last one, which the last runs reach
            memory = np.zeros(size + width, dtype=dtype)
            # what the kernel positions that see this phase meet, (C, K, L, images, P, row)
            meets = (w.c, a.number, b.number, step, w.out[0], self.row)
            strides = (step * image, a.step * row, b.step * item, image, row, item)
            seen: np.ndarray = np.ndarray(meets, dtype, memory, a.start * row + b.start * item, strides)
            self.phases.append((a, b, memory[:size].reshape(shape), seen))

    def _memory(self, n: int):
        """The memory of n images' columns, (C, K, L, n, P, row)."""
        shape = (self.window.c, *self.window.kernel, n, self.window.out[0], self.row)
        return self.memory[: math.prod(shape)].reshape(shape)

    def _matrix(self, values):
        """Values (..., n, P, row) of all columns, or of all outputs, as a matrix for each group."""
        return values.reshape(self.window.groups, -1, math.prod(values.shape[-3:]))

    def of(self, x):
        """The columns of a block of images."""
        n = len(x)
        memory = self._memory(n)
        for a, b, flat, seen in self.phases:
            flat[:, :n, a.place, b.place] = x[:, :, a.pixels, b.pixels].swapaxes(0, 1)
            memory[:, a.taps, b.taps] = seen[:, :, :, :n]
        return self._matrix(memory)

    def add(self, product, gx) -> None:
        """Add a matrix like the columns to the pixels that these were copied from, gx, which holds zeros."""
        n = len(gx)
        memory = product.reshape(self.window.c, *self.window.kernel, n, self.window.out[0], self.row)
        for a, b, flat, seen in self.phases:
            flat[...] = 0
            part = memory[:, a.taps, b.taps]
            for k in range(part.shape[1]):
                for l in range(part.shape[2]):
                    seen[:, k, l, :n] += part[:, k, l]
            gx[:, :, a.pixels, b.pixels] = flat[:, :n, a.place, b.place].swapaxes(0, 1)

    def spread(self, g):
        """A block of outputs' gradients as they lie in the runs, (groups, F/G, n run), zeros at the rows' ends."""
        n, f, p, q = g.shape
        if self.whole:
            return self._matrix(g.reshape(f, 1, p, q))
        wide = np.zeros((f, n, p, self.row), dtype=self.dtype)
        wide[..., :q] = g.swapaxes(0, 1)
        return self._matrix(wide)

    def multiply(self, weight, x, b, y) -> None:
        """Write weight (groups, F/G, C/G K L) times the columns of images x, and the bias, into the outputs y."""
        n, f, p, q = y.shape
        if self.whole:
            np.matmul(weight, self.of(x), out=self._matrix(y.reshape(f, 1, p, q)))
            if b is not None:
                y += b.reshape(f, 1, 1)
            return
        values = np.matmul(weight, self.of(x)).reshape(f, n, p, self.row)[..., :q].swapaxes(0, 1)
        if b is None:
            y[...] = values
        else:
            np.add(values, b.reshape(f, 1, 1), out=y)


def size(w: Window, itemsize: int = 4) -> int:
    """Bytes of one image's columns."""
    return w.c * math.prod(w.kernel) * w.out[0] * _sizes(w).row * itemsize


def _blocks(w: Window, part: slice, dtype):
    """The columns' memory for a part of the images, and the blocks it is divided into."""
    count = part.stop - part.start
    step = -(-count // -(-count // max(1, CACHE // size(w, dtype.itemsize))))  # about equal ones
    blocks = [slice(i, min(i + step, part.stop)) for i in range(part.start, part.stop, step)]
    return _Columns(w, step, dtype), blocks


class _Sizes(NamedTuple):
    """f, size: kernels, and rows of columns, of a group. row: see _Layout. copies: the cost of copying an image, its
    columns and its outputs. step: images in a block.
    """

    f: float
    size: float
    row: int
    run: int
    copies: float
    step: float


@functools.lru_cache(1024)
def _sizes(w: Window) -> _Sizes:
    f, size, (p, q) = w.f / w.groups, w.c / w.groups * math.prod(w.kernel), w.out
    width = q + w.dilation[1] * (w.kernel[1] - 1) // w.stride[1]
    both = copy(w.c * w.size[0], w.size[1]) + copy(w.f * p, q)
    found = []
    for row, columns in ((width, copy(w.groups * size, p * width)), (q, copy(w.groups * size * p, q))):
        run = p * row
        step = max(1.0, min(w.n, CACHE / (4 * w.groups * size * run)))
        total = columns + w.groups * product(f, size, step * run) / step
        found.append((total, _Sizes(f, size, row, run, both + columns, step)))
    return min(found)[1]


def forward_cost(w: Window) -> float:
    """The cost for an image."""
    f, size, _, run, copies, step = _sizes(w)
    return copies + w.groups * product(f, size, step * run) / step


def pointwise_cost(w: Window) -> float:
    """The cost for an image."""
    return w.groups * product(w.f / w.groups, w.c / w.groups, math.prod(w.out))


def input_cost(w: Window) -> float:
    """The cost for an image."""
    f, size, _, run, copies, step = _sizes(w)
    return copies + 3 * copy(w.groups * size, run) + w.groups * product(size, f, step * run) / step


def weight_cost(w: Window) -> float:
    """The cost for an image."""
    f, size, _, run, copies, step = _sizes(w)
    return copies + w.groups * (product(f, step * run, size) + copy(3 * f, size)) / step


def _flat(weight, w: Window):
    return weight.reshape(w.groups, w.f // w.groups, -1)


def forward(x, weight, b, w: Window, least: int):
    """conv2d; `least`: the images that make it worth while to begin another thread."""
    y, weight = np.empty((w.n, w.f, *w.out), dtype=np.result_type(x, weight)), _flat(weight, w)

    def kernel(part: slice) -> None:
        columns, blocks = _blocks(w, part, x.dtype)
        for block in blocks:
            columns.multiply(weight, x[block], b, y[block])

    team.share(kernel, w.n, least)
    return y


def pointwise(x, weight, b, w: Window, least: int):
    """conv2d with kernels of one pixel and no stride or padding, where the images are the columns."""
    y, weight = np.empty((w.n, w.f, *w.out), dtype=np.result_type(x, weight)), _flat(weight, w)
    columns = x.reshape(w.n, w.groups, w.c // w.groups, -1)
    products = y.reshape(w.n, w.groups, w.f // w.groups, -1)

    def kernel(part: slice) -> None:
        np.matmul(weight, columns[part], out=products[part])
        if b is not None:
            y[part] += b.reshape(-1, 1, 1)

    team.share(kernel, w.n, least)
    return y


def input_grad(g, weight, w: Window, least: int):
    """conv2d_input_grad."""
    gx, transposed = np.zeros((w.n, w.c, *w.size), dtype=g.dtype), _flat(weight, w).swapaxes(1, 2)

    def kernel(part: slice) -> None:
        columns, blocks = _blocks(w, part, g.dtype)
        for block in blocks:
            columns.add(np.matmul(transposed, columns.spread(g[block])), gx[block])

    team.share(kernel, w.n, least)
    return gx


def weight_grad(g, x, w: Window, least: int):
    """conv2d_weight_grad: a sum over each thread's images, then over the threads in their order."""
    shape = (w.groups, w.f // w.groups, w.c // w.groups * math.prod(w.kernel))
    sums = {}

    def kernel(part: slice) -> None:
        columns, blocks = _blocks(w, part, x.dtype)
        total = sums[part.start] = np.zeros(shape, dtype=g.dtype)
        for block in blocks:
            total += np.matmul(columns.spread(g[block]), columns.of(x[block]).swapaxes(1, 2))

    team.share(kernel, w.n, least)
    first, *others = [sums[start] for start in sorted(sums)]
    for other in others:
        first += other
    return first.reshape(w.f, -1, *w.kernel)
