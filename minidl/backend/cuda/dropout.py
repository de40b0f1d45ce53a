"""The mask of dropout on the GPU: the same counter-based generator as on the host, so the same mask for a seed."""

from __future__ import annotations

import math

import cupy
import numpy as np

from . import launch

PER_BLOCK = 16  # elements that four words of 64 bits are enough for
_starts: dict[int, object] = {}  # device -> two noughts: a key that comes from the host starts from these

# Philox4x64-10 (Salmon et al., 2011): one thread computes the block with its own number as counter
_mask = launch.kernel(
    "uint64 seed, uint64 draw, raw uint64 start, int64 n, int32 threshold",
    "raw bool mask",
    """
    unsigned long long k0 = seed + start[0], k1 = draw + start[1];
    unsigned long long c[4] = {(unsigned long long)i, 0, 0, 0};
    for (int round = 0; round < 10; round++) {
        unsigned long long low0 = c[0] * 0xD2E7470EE14C6C93ULL, high0 = __umul64hi(c[0], 0xD2E7470EE14C6C93ULL);
        unsigned long long low1 = c[2] * 0xCA5A826395121157ULL, high1 = __umul64hi(c[2], 0xCA5A826395121157ULL);
        c[0] = high1 ^ c[1] ^ k0; c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1; c[3] = low0;
        k0 += 0x9E3779B97F4A7C15ULL; k1 += 0xBB67AE8584CAA73BULL;
    }
    for (int j = 0; j < 16; j++) {
        ptrdiff_t at = i * 16 + j;
        if (at < n) mask[at] = int(c[j / 4] >> (j % 4 * 16) & 0xffff) >= threshold;
    }""",
    "minidl_dropout_mask",
    types=({},),
)


def dropout_mask(shape, p: float, key):
    """A bool array, True with probability 1 - p; see backend/random.py.

    The key may be (seed, draw, start) with two uint64 numbers in device memory that are added to seed and draw: what
    changes from one replay of a captured step to the next.
    """
    seed, draw, *start = key
    device = cupy.cuda.Device().id
    if not start and device not in _starts:
        _starts[device] = cupy.zeros(2, "uint64")
    n = math.prod(shape)
    mask = cupy.empty(shape, bool)
    if n:
        begin = start[0] if start else _starts[device]
        _mask(np.uint64(seed), np.uint64(draw), begin, n, round(p * 65536), mask, size=-(-n // PER_BLOCK))
    return mask
