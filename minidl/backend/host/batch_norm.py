"""Batch norm on the CPU: as few passes as NumPy allows, shared by several threads.

Forward and backward are two dot products of each line (one of them with ones) and two or four passes in place.
"""

from __future__ import annotations

import math

import numpy as np

from .. import DEFINITIONS
from . import team

BLOCK = 1 << 18  # elements of a block: for fewer the threads would wait for the interpreter, more are not in the cache
LARGE = 1 << 16  # elements that are worth it
NEAR = 3.0  # standard deviations
SHARED = 1 << 20  # elements that are worth a thread of their own
SHORT = 16  # shorter lines are summed across, not along
REPEAT = 256  # shorter lines meet vectors that are written out for every element, so that inner loops are long
LONG = 8192  # longer lines are summed pairwise: a dot product of theirs loses digits, and may use several threads


def _lines(x):
    """(N, C, ...) as (N, C, L)."""
    n, c = x.shape[:2]
    return x.reshape(n, c, math.prod(x.shape[2:]))


def _large(x) -> bool:
    """Whether lines (N, C, L) are so many, and so long, that it pays to go in blocks."""
    return x.size > LARGE and x.shape[2] >= SHORT


def _blocks(n: int, c: int, length: int) -> list[tuple[slice, slice]]:
    """What of (N, C, L) fits into the cache, as indices: several samples, or some channels of one."""
    channels = c if c * length <= 2 * BLOCK else max(1, BLOCK // length)
    samples = max(1, BLOCK // (channels * length))
    return [
        (slice(i, i + samples), slice(j, j + channels)) for i in range(0, n, samples) for j in range(0, c, channels)
    ]


def _each(kernel, n: int, c: int, length: int) -> None:
    """`kernel(block)` for all blocks, in several threads if that pays; which thread does it changes no result."""
    blocks = _blocks(n, c, length)

    def run(part: slice) -> None:
        for block in blocks[part]:
            kernel(block)

    team.share(run, len(blocks), max(1, SHARED * len(blocks) // (n * c * length)))


def _spread(v, length: int):
    """(C,) to go with (N, C, L)."""
    return v[:, None] if length >= REPEAT else np.repeat(v[:, None], length, axis=1)


def _dot(a, b, out) -> None:
    """out (N, C) = the sum of a b over the last axis."""
    if a.shape[2] > LONG:
        np.add.reduce(a * b, axis=2, out=out)
    else:
        np.vecdot(a, b, out=out)


def _sums(a, *others):
    """For each b the sums over all but the channels of a b, both (N, C, L), in double precision; None: those of a."""
    n, c, length = a.shape
    ones = np.broadcast_to(np.ones(length, a.dtype), a.shape)
    pairs = [(ones if b is None else b, np.empty((n, c), a.dtype)) for b in others]

    def look(block) -> None:
        part = a[block]
        for b, out in pairs:
            _dot(part, b[block], out[block])

    _each(look, n, c, length)
    # over the samples in one order, whatever the blocks were
    return [np.add.reduce(out, axis=0, dtype=np.float64) for _, out in pairs]


def _statistics(x, eps):
    """Mean, variance and 1 / sqrt(variance + eps) of each channel of (N, C, L), from its sum and its sum of squares."""
    m = x.size // x.shape[1]
    total, squares = _sums(x, None, x)
    mean = total / m
    var = np.maximum(squares / m - mean * mean, 0.0)
    return mean, var, 1.0 / np.sqrt(var + eps)


def _near(mean, inv) -> bool:
    """Whether no mean is many standard deviations from 0: what is subtracted from sums of products is then small."""
    return bool((np.abs(mean * inv) <= NEAR).all())


def batch_norm(x, weight, bias, *, eps):
    """y, and mean, variance and 1 / sqrt(variance + eps) of each channel; see ops/norm.py."""
    if x.dtype.itemsize < 4:
        return DEFINITIONS["batch_norm"](x, weight, bias, eps=eps)
    lines = _lines(x)
    if not _large(lines):
        return _small_batch_norm(x, lines, weight, bias, eps)
    n, c, length = lines.shape
    mean, var, inv = _statistics(lines, eps)
    rest = mean  # of the mean that the lines still have
    if not _near(mean, inv):
        rough = mean.astype(x.dtype)
        lines = lines - rough[:, None]
        rest, var, inv = _statistics(lines, eps)
        mean = rough + rest
    scale = inv if weight is None else weight * inv
    shift = -rest * scale if bias is None else bias - rest * scale
    scale, shift = [_spread(v.astype(x.dtype), length) for v in (scale, shift)]
    y = np.empty((n, c, length), x.dtype)

    def normalise(block) -> None:
        part = np.multiply(lines[block], scale[block[1]], out=y[block])
        part += shift[block[1]]

    _each(normalise, n, c, length)
    return y.reshape(x.shape), *[v.astype(x.dtype) for v in (mean, var, inv)]


def batch_norm_grad(g, x, weight, mean, inv):
    """The gradients of x, weight and bias; see ops/norm.py."""
    if x.dtype.itemsize < 4:
        return DEFINITIONS["batch_norm_grad"](g, x, weight, mean, inv)
    lines, given = _lines(x), _lines(g)
    if not _large(lines):
        return _small_batch_norm_grad(given, lines, weight, mean, inv, x.shape)
    n, c, length = lines.shape
    if not _near(mean, inv):
        lines, mean = lines - mean[:, None], np.zeros_like(mean)
    sum_g, sum_gx = _sums(given, None, lines)
    sum_gx = (sum_gx - mean * sum_g) * inv
    # dx = (slope x + g + level) scale
    slope = sum_gx * inv / (-n * length)
    level = sum_g / (-n * length) - slope * mean
    scale = inv if weight is None else weight * inv
    slope, level, scale = [_spread(v.astype(x.dtype), length) for v in (slope, level, scale)]
    dx = np.empty((n, c, length), x.dtype)

    def combine(block) -> None:
        part = np.multiply(lines[block], slope[block[1]], out=dx[block])
        part += given[block]
        part += level[block[1]]
        part *= scale[block[1]]

    _each(combine, n, c, length)
    return dx.reshape(x.shape), sum_gx.astype(x.dtype), sum_g.astype(x.dtype)


def _across(a):
    """(N, C, L) summed to (C, 1)."""
    return np.add.reduce(np.add.reduce(a, axis=2), axis=0)[:, None]


def _small_batch_norm(x, lines, weight, bias, eps):
    """`batch_norm` of little, where the number of calls counts."""
    m = math.prod(x.shape) // x.shape[1]
    mean = _across(lines) / m
    y = lines - mean
    var = np.add.reduce(np.vecdot(y, y), axis=0)[:, None] / m
    inv = 1.0 / np.sqrt(var + eps)
    y *= inv if weight is None else weight[:, None] * inv
    if bias is not None:
        y += bias[:, None]
    return y.reshape(x.shape), mean[:, 0], var[:, 0], inv[:, 0]


def _small_batch_norm_grad(g, x, weight, mean, inv, shape):
    m = math.prod(shape) // shape[1]
    mean, inv = mean[:, None], inv[:, None]
    dx = x - mean
    sum_g = _across(g)
    sum_gx = np.add.reduce(np.vecdot(g, dx), axis=0)[:, None] * inv
    dx *= inv * (sum_gx / -m)
    dx += g
    dx -= sum_g / m
    dx *= inv if weight is None else weight[:, None] * inv
    return dx.reshape(shape), sum_gx[:, 0], sum_g[:, 0]
