"""Causal attention on the CPU: what comes after all of some queries is never computed, and scores stay in the cache."""

from __future__ import annotations

import math

import numpy as np

from .. import DEFINITIONS
from . import exponentials, team

_CACHE = 1 << 19  # bytes of scores at a time: about one core's L2 cache
_SCORES = 1 << 18  # so many, about a millisecond, are worth a thread of their own
_QUERIES = 32  # at a time: with fewer the products are too small


def _heads(x):
    """(..., L, E) as (samples, heads, L, E) with every row in one piece, as matrix products want it."""
    lead, (rows, columns) = x.shape[:-2], x.shape[-2:]
    x = x.reshape(math.prod(lead[:-1]), lead[-1] if lead else 1, rows, columns)
    apart, step = x.strides[2:]
    return x if step == x.itemsize and apart >= columns * step else np.ascontiguousarray(x)


def _blocks(samples, heads, scores):
    """Indices of (samples, heads): as many heads at a time as fit into the cache, each with so many scores."""
    at_once = max(1, _CACHE // max(1, 4 * scores))
    n, h = max(1, at_once // max(1, heads)), max(1, min(heads, at_once))
    return [(slice(i, i + n), slice(j, j + h)) for i in range(0, samples, n) for j in range(0, heads, h)]


def _exponentials(e, shown):
    """e^score in place, but 0 at the end of the rows where nothing is shown, and the sums of the rows."""
    last = e[..., e.shape[-1] - shown.shape[-1] :]
    if exponentials.near_zero(e):
        np.exp(e, out=e)
        last *= shown
    else:
        last[..., shown == 0] = -math.inf
        e -= np.maximum.reduce(e, axis=-1, keepdims=True)
        np.exp(e, out=e)
    return exponentials.row_sums(e)


def attention(q, k, v, *, scale, causal):
    """y, in memory in q's order, and the weights of the values; see ops/attention.py."""
    if not causal or q.dtype.itemsize < 4:
        return DEFINITIONS["attention"](q, k, v, scale=scale, causal=causal)
    queries, keys, features = q.shape[-2], k.shape[-2], v.shape[-1]
    qs, ks, vs = [_heads(x) for x in (q, k, v)]
    p = np.empty((*qs.shape[:3], keys), q.dtype)
    y = np.empty_like(qs, shape=(*qs.shape[:3], features))
    blocks = _blocks(qs.shape[0], qs.shape[1], _QUERIES * keys)

    def some(part):
        for block in blocks[part]:
            left, right, values = qs[block] * q.dtype.type(scale), ks[block].swapaxes(2, 3), vs[block]
            for a in range(0, queries, _QUERIES):
                b = min(a + _QUERIES, queries)
                seen = min(b, keys)
                e = left[:, :, a:b] @ right[..., :seen]
                total = _exponentials(e, np.tri(b - a, max(0, seen - a), dtype=e.dtype))
                weights = p[block][:, :, a:b]
                np.divide(e, total, out=weights[..., :seen])
                weights[..., seen:] = 0
                np.divide(e @ values[:, :, :seen], total, out=y[block][:, :, a:b])

    team.share(some, len(blocks), -(-_SCORES * len(blocks) // max(1, p.size)))
    return y.reshape(*q.shape[:-1], features), p.reshape(*q.shape[:-1], keys)
