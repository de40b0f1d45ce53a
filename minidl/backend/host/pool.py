"""Pooling on the CPU: first row with row, which lies side by side in memory, then column with column.

That meets each pixel K + L times and not K L. Planes are taken in blocks that stay in a core's cache; where the windows
lie apart, a window's largest value takes its gradient to its place directly.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from . import team

BLOCK = 1 << 18  # pixels of a block
SHARED = 1 << 19  # pixels that are worth a thread of their own
LARGE = 64  # pixels of a window from which on it is looked through as a whole
KEPT = 1 << 16  # places of windows that are kept for the next call
_NONE = ((0, 0),) * 4  # no padding


@functools.lru_cache(maxsize=256)
def _cuts(kernel: int, stride: int, dilation: int, count: int) -> tuple[slice, ...]:
    """For each place in the window the rows (or columns) at that place, in `count` windows."""
    return tuple([slice(k * dilation, k * dilation + (count - 1) * stride + 1, stride) for k in range(kernel)])


def _padded(x, width, value=0.0):
    if width == _NONE or not any(a or b for a, b in width):
        return x
    y = np.full([n + a + b for n, (a, b) in zip(x.shape, width, strict=True)], value, dtype=x.dtype)
    y[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, width, strict=True))] = x
    return y


def _planes(x):
    """(N, C, H, W) as (N C, H, W)."""
    n, c, h, w = x.shape
    return x.reshape(n * c, h, w)


def _step(count: int, size: int) -> int:
    """How many of `count` planes of `size` pixels are a block."""
    return max(1, min(count, BLOCK // max(1, size)))


def _each(kernel, count: int, size: int) -> None:
    """`kernel(part)` for blocks of the planes, in several threads if that pays."""
    step = _step(count, size)
    if count <= step:
        kernel(slice(0, count))
    else:
        team.sweep(kernel, count, step, max(1, SHARED // (step * size)))


def _reduce(function, x, y, kernel, stride, dilation) -> None:
    """function (maximum or add) of all pixels of each window of the images x, into y."""
    rows = [x[..., cut, :] for cut in _cuts(kernel[0], stride[0], dilation[0], y.shape[-2])]
    row = function(rows[0], rows[1]) if len(rows) > 1 else rows[0]
    for other in rows[2:]:
        function(row, other, out=row)
    columns = [row[..., cut] for cut in _cuts(kernel[1], stride[1], dilation[1], y.shape[-1])]
    if len(columns) == 1:
        y[...] = columns[0]
        return
    function(columns[0], columns[1], out=y)
    for other in columns[2:]:
        function(y, other, out=y)


def max_pool2d(x, *, kernel, stride, dilation, width, out):
    """The largest value of each window; see ops/pool.py."""
    x = _padded(x, width, -math.inf)
    y = np.empty(x.shape[:2] + out, dtype=x.dtype)
    if x.size <= BLOCK:
        _reduce(np.maximum, x, y, kernel, stride, dilation)
        return y
    planes, best = _planes(x), _planes(y)
    _each(
        lambda part: _reduce(np.maximum, planes[part], best[part], kernel, stride, dilation),
        len(planes),
        planes.shape[1] * planes.shape[2],
    )
    return y


def _places(x, y, kernel, stride, dilation):
    """Of each window of the planes x the first place of its largest value y: so many are different before it."""
    size = kernel[0] * kernel[1]
    kind = np.int8 if size < 128 else np.int16 if size < 32768 else np.int32
    if size == 1:
        return np.zeros(y.shape, kind)
    if size >= LARGE and y.size * size <= 2 * x.size:  # windows that hardly overlap
        return _first(x, y, kernel, stride, dilation).astype(kind)
    rows, columns = [_cuts(*way) for way in zip(kernel, stride, dilation, y.shape[1:], strict=True)]
    left = np.not_equal(x[:, rows[0], columns[0]], y)
    place = left.astype(kind)
    for i in range(1, size - 1):
        left &= np.not_equal(x[:, rows[i // len(columns)], columns[i % len(columns)]], y)
        place += left.view(np.int8)
    return place


def _first(x, y, kernel, stride, dilation):
    """Of each window of the planes x the first place of y: one pass over windows as a whole, and a search in it."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))
    windows = windows[:, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]][:, : y.shape[1], : y.shape[2]]
    return np.equal(windows, y[..., None, None]).reshape(*y.shape, -1).argmax(axis=-1)


def _has_nan(y) -> bool:
    """Whether there is a nan: nan is the largest of all."""
    return bool(y.size) and bool((largest := np.maximum.reduce(y, axis=None)) != largest)


def max_pool2d_place(x, *, kernel, stride, dilation, width, out):
    """The place in each window of its largest value; see ops/pool.py."""
    how = {"kernel": kernel, "stride": stride, "dilation": dilation}
    y = max_pool2d(x, width=width, out=out, **how)
    place = _places(_planes(_padded(x, width, math.nan)), _planes(y), **how).reshape(y.shape)  # nan equals nothing
    if _has_nan(y):  # but is the largest value
        unknown = _padded(np.isnan(x), width)
        first = _places(_planes(unknown), _planes(np.ones(y.shape, dtype=bool)), **how)
        place = np.where(np.isnan(y), first.reshape(y.shape), place)
    return place


def _memory(count: int, size: tuple[int, int], out: tuple[int, int], kernel, stride, dilation):
    """Where in the memory of so many planes their windows begin, and where each place is from there."""
    rows, columns = [np.arange(m) * s for m, s in zip(out, stride, strict=True)]
    corners = (np.arange(count)[:, None, None] * (size[0] * size[1]) + rows[:, None] * size[1] + columns).reshape(-1)
    within = (np.arange(kernel[0])[:, None] * (dilation[0] * size[1]) + np.arange(kernel[1]) * dilation[1]).reshape(-1)
    for made in (corners, within):
        made.setflags(write=False)
    return corners, within


_kept_memory = functools.lru_cache(maxsize=16)(_memory)


def _put(g, place, dx, memory, kernel, stride, dilation) -> None:
    """dx = zeros, with g added at the place of each window; memory: see `_memory`, of at least so many planes."""
    corners, within = memory
    index = within.take(place.reshape(-1))
    index += corners[: index.size]
    if dilation == (1, 1) and stride[0] >= kernel[0] and stride[1] >= kernel[1]:  # no pixel lies in two windows
        dx[...] = 0
        dx.reshape(-1)[index] = g.reshape(-1)
    else:
        dx.reshape(-1)[...] = np.bincount(index, g.reshape(-1), dx.size)


def _put_all(g, place_of, width, shape, kernel, stride, dilation):
    """`_put` for all blocks of planes; place_of: gives the places of a block."""
    (top, bottom), (left, right) = width[2:]
    h, w = shape[2] + top + bottom, shape[3] + left + right
    planes = _planes(g)
    dx = np.empty((len(planes), h, w), dtype=g.dtype)
    step, out = _step(len(dx), h * w), g.shape[2:]
    find = _kept_memory if max(step * math.prod(out), math.prod(kernel)) <= KEPT else _memory
    memory = find(step, (h, w), out, kernel, stride, dilation)
    _each(lambda part: _put(planes[part], place_of(part), dx[part], memory, kernel, stride, dilation), len(dx), h * w)
    return dx.reshape(*shape[:2], h, w)[:, :, top : top + shape[2], left : left + shape[3]]


def max_pool2d_put(g, place, *, kernel, stride, dilation, width, shape):
    """An image of zeros, to which each g is added at its window's place; see ops/pool.py."""
    places = _planes(place)
    return _put_all(g, lambda part: places[part], width, shape, kernel, stride, dilation)


def max_pool2d_grad(g, x, y, *, kernel, stride, dilation, width):
    """An image of zeros, to which each g is added at the place of its window's largest value; see ops/pool.py."""
    how = {"kernel": kernel, "stride": stride, "dilation": dilation}
    if _has_nan(y):
        place = max_pool2d_place(x, width=width, out=y.shape[2:], **how)
        return max_pool2d_put(g, place, width=width, shape=x.shape, **how)
    planes, best = _planes(_padded(x, width, math.nan)), _planes(y)
    return _put_all(g, lambda part: _places(planes[part], best[part], **how), width, x.shape, **how)


def window_sum(x, *, kernel, stride, width, out, scale=1.0):
    """`scale` times the sum over each window; see ops/pool.py."""
    planes = _planes(_padded(x, width))
    y = np.empty((len(planes), *out), dtype=x.dtype)

    def pool(part: slice) -> None:
        _reduce(np.add, planes[part], y[part], kernel, stride, (1, 1))
        if scale != 1.0:
            np.multiply(y[part], scale, out=y[part])

    _each(pool, len(planes), planes.shape[1] * planes.shape[2])
    return y.reshape(*x.shape[:2], *out)


def window_spread(g, *, kernel, stride, width, shape, scale=1.0):
    """An image of zeros, to which `scale` times each g is added at every place of its window; see ops/pool.py."""
    (top, bottom), (left, right) = width[2:]
    h, w, (p, q) = shape[2] + top + bottom, shape[3] + left + right, g.shape[2:]
    planes = _planes(g)
    y = np.empty((len(planes), h, w), dtype=g.dtype)
    apart, full = stride[0] >= kernel[0] and stride[1] >= kernel[1], (p * kernel[0], q * kernel[1]) == (h, w)

    def spread(part: slice) -> None:
        block, value = y[part], planes[part] * scale
        if not (apart and full):
            block[...] = 0
        # first along the rows, then whole rows
        row = np.zeros((len(value), p, w), dtype=y.dtype)
        for cut in _cuts(kernel[1], stride[1], 1, q):
            at = row[:, :, cut]
            np.add(at, value, out=at)
        for cut in _cuts(kernel[0], stride[0], 1, p):
            at = block[:, cut]
            if apart:  # no pixel lies in two windows
                at[...] = row
            else:
                at += row

    _each(spread, len(planes), h * w)
    return y.reshape(*shape[:2], h, w)[:, :, top : top + shape[2], left : left + shape[3]]
