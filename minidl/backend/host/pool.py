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
        better = value <= best
        np.logical_not(better, out=better)  # so that nan counts as larger than anything ...
        better &= best == best  # ... and a nan that is there stays
        np.copyto(best, value, where=better)
        np.copyto(place, i, where=better)
    return best, place
