"""Convolution with kernels of 3 x 3 by tiles: 16 multiplications for four outputs instead of 36.

A tile d of 4 x 4 pixels and a kernel g give the 2 x 2 outputs

    A^T [(G g G^T) * (B^T d B)] A,   * elementwise,

           1  0 -1  0           1    0    0
    B^T =  0  1  1  0    G =   1/2  1/2  1/2    A^T =  1  1  1  0
           0 -1  1  0          1/2 -1/2  1/2           0  1 -1 -1
           0  1  0 -1           0    0    1

and their sum over the channels is, at each of the 16 places of a tile, a product of matrices (tiles, C) (C, F). For the
gradient g' of the outputs, that of the kernel is G^T [(B^T d B) * (A g' A^T)] G, summed over the tiles.

What comes before and after these products are passes over memory, runs of channels each; that pays where channels and
kernels are many. Results round as those of other methods do, but an inf or nan among the pixels reaches all outputs of
its tiles. Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.
"""

from __future__ import annotations

import math

import numpy as np

from . import team
from .window import Window, copy, product

CACHE = 1 << 21  # bytes of tiles and of their products at a time
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_GG = np.kron(_G, _G)  # (16, 9): G g G^T of g laid out flat


def suits(w: Window) -> bool:
    """Whether kernels of 3 x 3 pixels that lie side by side, with all channels, are laid on at each pixel."""
    return w.kernel == (3, 3) and w.stride == w.dilation == (1, 1) and w.groups == 1


def _number(w: Window) -> tuple[int, int]:
    """How many tiles there are in an image, down and across."""
    return -(-w.out[0] // 2), -(-w.out[1] // 2)


def _sizes(w: Window) -> tuple[float, float, float]:
    """Tiles of an image, and in one product; and the cost of one pass over an image's tiles and their products."""
    tiles = math.prod(_number(w))
    return tiles, min(w.n * tiles, CACHE / (64 * (w.c + w.f))), copy(16 * tiles, w.c) + copy(16 * tiles, w.f)


# The factors were fitted to some twenty sizes on one thread, then raised, so that tiles are taken only where they are
# about 1.25 times faster: threads share the way to memory, and with two of them a smaller gain was none.


def forward_cost(w: Window) -> float:
    """The cost for an image."""
    tiles, together, touch = _sizes(w)
    return 4 * touch + 22 * product(together, w.c, w.f) * tiles / together + 80 * w.c * w.f / w.n


def weight_cost(w: Window) -> float:
    """The cost for an image."""
    tiles, together, touch = _sizes(w)
    products = (20 * product(w.f, together, w.c) + 10 * w.c * w.f) * tiles / together
    return 4.8 * touch + products + 80 * w.c * w.f / w.n


def _even(count: int, most: int) -> int:
    """The step for about equal blocks of `most` at most."""
    return -(-count // -(-count // max(1, most)))


def _view(memory, *shape: int):
    """The beginning of flat memory, as an array."""
    return memory[: math.prod(shape)].reshape(shape)


def _transform(d, out) -> None:
    """B^T d."""
    np.subtract(d[0], d[2], out=out[0])
    np.add(d[1], d[2], out=out[1])
    np.subtract(d[2], d[1], out=out[2])
    np.subtract(d[1], d[3], out=out[3])


def _spread(g, out) -> None:
    """A g."""
    np.copyto(out[0], g[0])
    np.add(g[0], g[1], out=out[1])
    np.subtract(g[0], g[1], out=out[2])
    np.negative(g[1], out=out[3])


def _gather(m, out) -> None:
    """A^T m; out[1] may be m[1]."""
    np.add(m[1], m[2], out=out[0])
    np.add(out[0], m[0], out=out[0])
    np.subtract(m[1], m[2], out=out[1])
    np.subtract(out[1], m[3], out=out[1])


class _Tiles:
    """One block of tiles after another, in the same memory: what has been used makes room for what comes of it.

    blocks: images, and rows of tiles of them, as many as the cache has room for; the last rows may lie below the image.
    """

    def __init__(self, w: Window, part: slice, dtype) -> None:
        self.window = w
        down, self.across = _number(w)
        most = CACHE // (16 * self.across * (w.c + w.f) * dtype.itemsize)
        step, rows = _even(part.stop - part.start, most // down), _even(down, most)
        images = [slice(i, min(i + step, part.stop)) for i in range(part.start, part.stop, step)]
        self.blocks = [(some, slice(r, r + rows)) for some in images for r in range(0, down, rows)]
        tiles, self.wide = step * rows * self.across, 2 * self.across + 2
        self.pixels = np.zeros((step, 2 * rows + 2, self.wide, w.c), dtype=dtype)  # beside the image they stay zero
        self.one = np.empty(max(16 * tiles * w.c, 8 * tiles * w.f), dtype=dtype)
        self.two = np.empty(max(16 * tiles * w.f, 4 * step * rows * self.wide * w.c), dtype=dtype)

    def of(self, x, rows: slice):
        """B^T d B for rows of tiles of some images, (16, tiles, C), in the first memory."""
        w, n, down = self.window, len(x), rows.stop - rows.start
        top, left, width = 2 * rows.start - w.padding[0], w.padding[1], w.size[1]
        first = max(0, top)  # of the image's rows; above and below them there are zeros
        last = max(first, min(w.size[0], top + 2 * down + 2))
        d = self.pixels[:n, : 2 * down + 2]
        d[:, : first - top] = d[:, last - top :] = 0
        d[:, first - top : last - top, left : left + width] = x[:, :, first:last].transpose(0, 2, 3, 1)
        half = _view(self.two, 4, n, down, self.wide, w.c)
        _transform([d[:, k : k + 2 * down : 2] for k in range(4)], half)
        tiles = _view(self.one, 4, 4, n, down, self.across, w.c)
        _transform([half[:, :, :, k : k + 2 * self.across : 2] for k in range(4)], tiles.swapaxes(0, 1))
        return tiles.reshape(16, -1, w.c)

    def multiply(self, x, kernels, b, y, rows: slice) -> None:
        """Write A^T [kernels * (B^T d B)] A, and the bias, into rows of the outputs y of the images x."""
        w, n, down = self.window, len(y), rows.stop - rows.start
        m = _view(self.two, 4, 4, n, down, self.across, w.f)
        np.matmul(self.of(x, rows), kernels, out=m.reshape(16, -1, w.f))
        if b is not None:
            m[1, 1] += b  # the place that each output has once
        half = _view(self.one, *m.shape[1:])
        out = _view(self.one[half.size :], n, down, 2, self.across, 2, w.f)
        _gather(m, (half, m[1]))
        for k, row in enumerate((half, m[1])):
            _gather(row, (out[:, :, k, :, 0], out[:, :, k, :, 1]))
        y = y[:, :, 2 * rows.start : 2 * rows.stop].transpose(0, 2, 3, 1)
        y[...] = out.reshape(n, 2 * down, -1, w.f)[:, : y.shape[1], : y.shape[2]]

    def spread(self, g, rows: slice):
        """A g' A^T for rows of tiles of some images, (16, tiles, F), in the second memory."""
        w, n, down = self.window, len(g), rows.stop - rows.start
        g = g[:, :, 2 * rows.start : 2 * rows.stop].transpose(0, 2, 3, 1)
        d = np.zeros((n, 2 * down, 2 * self.across, w.f), dtype=g.dtype)
        d[:, : g.shape[1], : g.shape[2]] = g
        half = np.empty((4, n, down, 2 * self.across, w.f), dtype=g.dtype)
        _spread([d[:, k::2] for k in range(2)], half)
        tiles = _view(self.two, 4, 4, n, down, self.across, w.f)
        _spread([half[:, :, :, k::2] for k in range(2)], tiles.swapaxes(0, 1))
        return tiles.reshape(16, -1, w.f)


def forward(x, weight, b, w: Window, least: int):
    """conv2d; `least`: the images that make it worth while to begin another thread."""
    y = np.empty((w.n, w.f, *w.out), dtype=x.dtype)
    kernels = np.matmul(_GG.astype(x.dtype), weight.transpose(2, 3, 1, 0).reshape(9, -1)).reshape(16, w.c, w.f)

    def kernel(part: slice) -> None:
        tiles = _Tiles(w, part, x.dtype)
        for images, rows in tiles.blocks:
            tiles.multiply(x[images], kernels, b, y[images], rows)

    team.share(kernel, w.n, least)
    return y


def weight_grad(g, x, w: Window, least: int):
    """conv2d_weight_grad: a sum over each thread's images, then over the threads in their order."""
    sums = {}

    def kernel(part: slice) -> None:
        tiles = _Tiles(w, part, g.dtype)
        total = sums[part.start] = np.zeros((16, w.f, w.c), dtype=g.dtype)
        for images, rows in tiles.blocks:
            met = tiles.of(x[images], rows)
            total += np.matmul(tiles.spread(g[images], rows).swapaxes(1, 2), met)

    team.share(kernel, w.n, least)
    first, *others = [sums[start] for start in sorted(sums)]
    for other in others:
        first += other
    return np.matmul(first.reshape(16, -1).T, _GG.astype(g.dtype)).reshape(w.f, w.c, 3, 3)
