"""Pooling on the CPU: first along the rows, then down the columns, which meets each pixel K + L times and not K L."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def _cut(start: int, count: int, step: int) -> slice:
    return slice(start, start + (count - 1) * step + 1, step)


def _padded(x, width, value=0.0):
    if not any(a or b for a, b in width):
        return x
    y = np.full([n + a + b for n, (a, b) in zip(x.shape, width, strict=True)], value, dtype=x.dtype)
    y[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, width, strict=True))] = x
    return y


def _inside(y, width, shape):
    (top, _), (left, _) = width[2:]
    return y[:, :, top : top + shape[2], left : left + shape[3]]


def max_pool2d(x, *, kernel, stride, dilation, width, out):
    """The largest value of each window and its place in the window; see ops/pool.py."""
    image, x = x, _padded(x, width, -math.inf)
    size = kernel[0] * kernel[1]
    kind = np.int8 if size < 128 else np.int16 if size < 32768 else np.int32
    # the largest of each row of a window, and its column; later places have larger numbers, so that the largest number
    # is that of the last improvement
    columns = [x[:, :, :, _cut(l * dilation[1], out[1], stride[1])] for l in range(kernel[1])]
    row: Any = columns[0]
    place: Any = None
    for l, value in enumerate(columns[1:], 1):
        better = np.multiply(value > row, kind(l), dtype=kind)
        place = better if place is None else np.maximum(place, better, out=place)
        row = np.maximum(row, value)  # nan is larger than anything, and stays
    if place is None:
        place = np.zeros(row.shape, dtype=kind)
    best: Any = None
    where: Any = None
    for k in range(kernel[0]):
        rows = _cut(k * dilation[0], out[0], stride[0])
        value, column = row[:, :, rows], place[:, :, rows]
        if best is None:
            best, where = value, column
        else:
            where = np.maximum(where, (column + kind(k * kernel[1])) * (value > best))
            best = np.maximum(best, value)
    best, where = (best, where) if kernel[0] > 1 else (best.copy(), where.copy())
    if best.size and np.isnan(best.max()):  # comparisons do not find a nan: the first one in its window
        for i in reversed(range(size)):
            k, l = divmod(i, kernel[1])
            at = x[:, :, _cut(k * dilation[0], out[0], stride[0]), _cut(l * dilation[1], out[1], stride[1])]
            where[np.isnan(at)] = i
    if x is not image and best.size and best.min() == -math.inf:  # nothing is larger than the padding: the first pixel
        inside, lowest = _padded(np.ones(image.shape, dtype=bool), width, False), best == -math.inf
        for i in reversed(range(size)):
            k, l = divmod(i, kernel[1])
            at = inside[:, :, _cut(k * dilation[0], out[0], stride[0]), _cut(l * dilation[1], out[1], stride[1])]
            where[lowest & at] = i
    return best, where


def max_pool2d_put(g, place, *, kernel, stride, dilation, width, shape):
    """An image of zeros, to which each g is added at its window's place; see ops/pool.py."""
    (top, bottom), (left, right) = width[2:]
    y = np.zeros((*shape[:2], shape[2] + top + bottom, shape[3] + left + right), dtype=g.dtype)
    (p, q), apart = g.shape[2:], dilation == (1, 1) and stride[0] >= kernel[0] and stride[1] >= kernel[1]
    for i in range(kernel[0] * kernel[1]):
        k, l = divmod(i, kernel[1])
        target = y[:, :, _cut(k * dilation[0], p, stride[0]), _cut(l * dilation[1], q, stride[1])]
        if apart:  # no pixel lies in two windows
            np.multiply(g, place == i, out=target)
        else:
            target += g * (place == i)
    return _inside(y, width, shape)


def window_sum(x, *, kernel, stride, width, out, scale=1.0):
    """`scale` times the sum over each window; see ops/pool.py."""
    x = _padded(x, width)
    row = _total([x[:, :, :, _cut(l, out[1], stride[1])] for l in range(kernel[1])])
    y = _total([row[:, :, _cut(k, out[0], stride[0])] for k in range(kernel[0])])
    y *= scale
    return y


def window_spread(g, *, kernel, stride, width, shape, scale=1.0):
    """An image of zeros, to which `scale` times each g is added at every place of its window; see ops/pool.py."""
    (top, bottom), (left, right) = width[2:]
    y = np.zeros((*shape[:2], shape[2] + top + bottom, shape[3] + left + right), dtype=g.dtype)
    (p, q), apart = g.shape[2:], stride[0] >= kernel[0] and stride[1] >= kernel[1]
    g = g * scale
    for i in range(kernel[0] * kernel[1]):
        k, l = divmod(i, kernel[1])
        target = y[:, :, _cut(k, p, stride[0]), _cut(l, q, stride[1])]
        if apart:  # no pixel lies in two windows
            target[...] = g
        else:
            target += g
    return _inside(y, width, shape)


def _total(parts):
    """The sum of arrays, in new memory."""
    y = parts[0] + parts[1] if len(parts) > 1 else parts[0].copy()
    for part in parts[2:]:
        y += part
    return y
