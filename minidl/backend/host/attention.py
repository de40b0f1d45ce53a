"""Attention on the CPU: some heads and queries at a time, so that their scores stay in the cache from step to step."""

from __future__ import annotations

import math

import numpy as np

from . import exponentials, team

_CACHE = 1 << 18  # bytes of scores at a time: about half of one core's L2 cache
_SCORES = 1 << 18  # so many, about a millisecond, are worth a thread of their own
_QUERIES = 64  # at a time where a query sees only what is before it: what is after them all is never computed


def _heads(x, kind):
    """(..., L, E) as (heads, L, E), in memory without gaps and at least in single precision."""
    return np.ascontiguousarray(x, kind).reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def _blocks(queries, keys, causal):
    """How many heads at a time, and for each block of queries (begin, end, how many of the keys they see)."""
    rows = max(1, min(queries, _QUERIES if causal else max(_QUERIES, _CACHE // max(1, 4 * keys))))
    tiles = [(a, min(a + rows, queries)) for a in range(0, queries, rows)]
    return max(1, _CACHE // max(1, 4 * rows * keys)), [(a, b, min(b, keys) if causal else keys) for a, b in tiles]


def _shared(kernel, heads, at_once, scores):
    """kernel(begin, end) for all heads, so many at once, by several threads if there are enough scores."""

    def some(part):
        for i in range(part.start, part.stop):
            kernel(i * at_once, min((i + 1) * at_once, heads))

    team.share(some, -(-heads // at_once), -(-_SCORES // max(1, at_once * scores)))


def attention(q, k, v, *, scale, causal):
    """y, and e^score and its sums for each block of heads and of queries; see ops/attention.py."""
    kind = np.result_type(q.dtype, np.float32)
    lead, queries, keys = q.shape[:-2], q.shape[-2], k.shape[-2]
    qs = _heads(np.multiply(q, kind.type(scale), dtype=kind), kind)
    ks, vs = _heads(k, kind), _heads(v, kind)
    y = np.empty((len(qs), queries, v.shape[-1]), kind)
    at_once, tiles = _blocks(queries, keys, causal)
    kept: dict = {}

    def some(first, last):
        for a, b, seen in tiles:
            e = qs[first:last, a:b] @ ks[first:last, :seen].swapaxes(1, 2)
            hidden = causal and seen > a  # some of these keys are after some of these queries
            if exponentials.near_zero(e):
                np.exp(e, out=e)
                if hidden:
                    e[:, :, a:] *= np.tri(b - a, seen - a, dtype=kind)
            else:
                if hidden:
                    e[:, :, a:][:, ~np.tri(b - a, seen - a, dtype=bool)] = -math.inf
                e -= np.maximum.reduce(e, axis=2, keepdims=True)
                np.exp(e, out=e)
            total = exponentials.row_sums(e)
            to = np.matmul(e, vs[first:last, :seen], out=y[first:last, a:b])
            to /= total
            kept[first, a] = e, total

    _shared(some, len(qs), at_once, queries * keys)
    return y.reshape(*lead, *y.shape[1:]).astype(q.dtype, copy=False), (at_once, tiles, kept)


def attention_grad(g, q, k, v, y, p, *, scale):
    """The gradients of q, k and v; see ops/attention.py."""
    kind = np.result_type(q.dtype, np.float32)
    gs, qs, ks, vs, ys = [_heads(x, kind) for x in (g, q, k, v, y)]
    dq, dk, dv = [np.empty_like(x) for x in (qs, ks, vs)]
    at_once, tiles, parts = p
    whole = bool(tiles) and tiles[-1][2] == ks.shape[1]  # the last queries see all keys

    def some(first, last):
        at = slice(first, last)
        if not whole:
            dk[at], dv[at] = 0, 0
        for a, b, seen in reversed(tiles):
            e, total = parts[first, a]
            part = gs[at, a:b] / total
            d = part @ vs[at, :seen].swapaxes(1, 2)
            d -= exponentials.row_sums(part * ys[at, a:b])
            d *= e
            np.matmul(d, ks[at, :seen], out=dq[at, a:b])
            for dx, left, right in ((dk, d, qs[at, a:b]), (dv, e, part)):
                if whole and b == qs.shape[1]:
                    np.matmul(left.swapaxes(1, 2), right, out=dx[at])
                else:
                    dx[at, :seen] += left.swapaxes(1, 2) @ right
        dq[at] *= scale
        dk[at] *= scale

    _shared(some, len(qs), at_once, q.shape[-2] * k.shape[-2])
    return [d.reshape(x.shape).astype(x.dtype, copy=False) for d, x in ((dq, q), (dk, k), (dv, v))]
