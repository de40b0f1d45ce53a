"""Max pooling on the CPU: one place in the window after another, compared with the best so far."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def max_pool2d(x, *, kernel, stride, dilation, width, out):
    """The largest value of each window and its place in the window; see ops/pool.py."""
    if any(a or b for a, b in width):
        padded = np.full([n + a + b for n, (a, b) in zip(x.shape, width, strict=True)], -math.inf, dtype=x.dtype)
        padded[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, width, strict=True))] = x
        x = padded
    best: Any = None
    place: Any = None
    for i in range(kernel[0] * kernel[1]):
        (k, l), (p, q) = divmod(i, kernel[1]), out
        rows = slice(k * dilation[0], k * dilation[0] + (p - 1) * stride[0] + 1, stride[0])
        value = x[:, :, rows, l * dilation[1] : l * dilation[1] + (q - 1) * stride[1] + 1 : stride[1]]
        if best is None:
            best, place = value.copy(), np.zeros(value.shape, dtype=np.int16)
            continue
        np.copyto(place, i, where=value > best)
        np.maximum(best, value, out=best)  # nan is larger than anything, and stays
    return best, place


def max_pool2d_put(g, place, *, kernel, stride, dilation, width, shape):
    """An image of zeros, to which each g is added at its window's place; see ops/pool.py."""
    (top, bottom), (left, right) = width[2:]
    y = np.zeros((*shape[:2], shape[2] + top + bottom, shape[3] + left + right), dtype=g.dtype)
    (p, q), apart = g.shape[2:], dilation == (1, 1) and stride[0] >= kernel[0] and stride[1] >= kernel[1]
    for i in range(kernel[0] * kernel[1]):
        k, l = divmod(i, kernel[1])
        rows = slice(k * dilation[0], k * dilation[0] + (p - 1) * stride[0] + 1, stride[0])
        target = y[:, :, rows, l * dilation[1] : l * dilation[1] + (q - 1) * stride[1] + 1 : stride[1]]
        if apart:  # no pixel lies in two windows
            np.multiply(g, place == i, out=target)
        else:
            target += g * (place == i)
    return y[:, :, top : top + shape[2], left : left + shape[3]]
