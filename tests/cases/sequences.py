"""Cases of the recurrent ops on packed sequences and with projections, of ctc_loss and of embedding by frequency."""

from __future__ import annotations

import itertools
import math

import numpy as np

from .recurrent import _affine, _gru, _lstm, _rnn, _rows_of, _sigmoid, _walk
from .table import case, normal, values


def _alone(forward, states: int):
    """Packed sequences as each one alone, by the `forward` of one batch."""

    def run(x, *inputs, sizes, **static):
        starts = np.cumsum([0, *sizes])
        y, lasts = None, []
        for n in range(sizes[0]):
            rows = [starts[t] + n for t, size in enumerate(sizes) if size > n]
            own = [h[n : n + 1] for h in inputs[:states]]
            out, *last = forward(x[rows][:, None], *own, *inputs[states:], **static)
            y = np.zeros((len(x), out.shape[2])) if y is None else y
            y[rows] = out[:, 0]
            lasts.append(last)
        return (y, *[np.concatenate(parts) for parts in zip(*lasts, strict=True)])

    return run


def _projected(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, *, reverse):
    size = c0.shape[1]

    def step(x, h, c):
        a = [_affine(w_ih, x, b_ih, k) + _affine(w_hh, h, b_hh, k) for k in range(4 * size)]
        new = [_sigmoid(a[size + k]) * c[k] + _sigmoid(a[k]) * math.tanh(a[2 * size + k]) for k in range(size)]
        out = [_sigmoid(a[3 * size + k]) * math.tanh(new[k]) for k in range(size)]
        return [sum(row[k] * out[k] for k in range(size)) for row in w_hr], new

    return _walk(x, reverse, (h0, c0), step)


for _sizes, _reverse in (((3, 2, 2, 1), False), ((3, 2, 2, 1), True), ((2, 2), True), ((1, 1), False)):
    _label = f"packed {_sizes}{', reverse' if _reverse else ''}"
    for _name, _gates, _states, _forward in (("lstm", 4, 2, _lstm), ("gru", 3, 1, _gru), ("rnn", 1, 1, _rnn)):
        _makers = [normal(sum(_sizes), 2), *[normal(_sizes[0], 2)] * _states, normal(_gates * 2, 2)]
        _makers += [normal(_gates * 2, 2), normal(_gates * 2), normal(_gates * 2)]
        _how = {"relu": False} if _name == "rnn" else {}
        case(_name, _makers, _alone(_forward, _states), _label, reverse=_reverse, sizes=_sizes, **_how)
_makers = [normal(2, 2), normal(2, 3), normal(12, 2), normal(12, 2)]
for _bias in (True, False):
    _label, _both = f"projection{'' if _bias else ', no bias'}", [normal(12), normal(12)] if _bias else [None, None]
    case("lstm", [normal(3, 2, 2), *_makers, *_both, normal(2, 3)], _projected, _label, reverse=not _bias)
_makers = [normal(6, 2), normal(3, 2), normal(3, 3), *_makers[2:], *_both, normal(2, 3)]
case("lstm", _makers, _alone(_projected, 2), "projection, packed", reverse=True, sizes=(3, 2, 1))

# divided by 1, since every row comes once: how often they come is compared with PyTorch, in calls/
case(
    "embedding",
    [normal(4, 2)],
    lambda weight, *, ids, padding_idx, by_freq: _rows_of(weight, ids=ids, padding_idx=padding_idx),
    "by frequency",
    ids=np.array([[3, 0]]),
    padding_idx=None,
    by_freq=True,
)


def _every_way(x, start, path, skip, live, ends, *, zero_infinity):
    """The probabilities of all series of classes that collapse to the target (`path` without its blanks)."""
    found = []
    for n in range(path.shape[0]):
        steps, last = int(live[:, n].sum()), int(np.flatnonzero(ends[n]).max())
        target, blank, total = list(path[n, 1:last:2]), path[n, 0], 0.0
        for way in itertools.product(range(x.shape[2]), repeat=steps):
            kept = [c for c, _ in itertools.groupby(way) if c != blank]
            total += math.exp(sum(x[t, n, c] for t, c in enumerate(way))) if kept == target else 0.0
        found.append(-math.log(total) if total else 0.0 if zero_infinity else math.inf)
    return np.array(found)


def _paths(rows, times, steps, blank):
    """What ctc_loss takes for these targets (all of one length) and lengths of the inputs."""
    rows = np.array(rows)
    path = np.full((len(rows), 2 * rows.shape[1] + 1), blank)
    path[:, 1::2] = rows
    skip = np.zeros(path.shape, dtype=bool)
    skip[:, 2:] = (path[:, 2:] != blank) & (path[:, 2:] != path[:, :-2])
    start = np.ones(path.shape)
    start[:, 0] = 0
    live = np.arange(steps)[:, None, None] < np.array(times)[:, None]
    ends = np.broadcast_to(np.arange(path.shape[1]) >= path.shape[1] - 2, path.shape)
    return [values(a) for a in (start, path, skip, live, ends)]


for _label, _rows, _times, _steps, _blank in (
    ("one after the other", [[1, 2]], [4], 4, 0),
    ("repeated, several lengths", [[1, 1], [0, 1]], [4, 3], 4, 2),
    ("nothing to say", [[], []], [3, 1], 3, 0),
):
    _rows = np.zeros((2, 0), dtype=int) if not _rows[0] else _rows
    _inputs = [normal(_steps, len(_rows), 3), *_paths(_rows, _times, _steps, _blank)]
    case("ctc_loss", _inputs, _every_way, _label, fixed=(1,), zero_infinity=False)
case(
    "ctc_loss",
    [normal(3, 2, 3), *_paths([[1, 1], [1, 2]], [2, 3], 3, 0)],
    _every_way,
    "one is too long",
    fixed=(1,),
    zero_infinity=True,
)


def _attention(q, k, v, *, scale, causal):
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for place in np.ndindex(q.shape[:-1]):
        seen = min(place[-1] + 1, k.shape[-2]) if causal else k.shape[-2]
        weights = [math.exp(scale * float(q[place] @ key)) for key in k[place[:-1]][:seen]]
        rows = v[place[:-1]]
        y[place] = sum(w * row for w, row in zip(weights, rows, strict=False)) / sum(weights)
    return y


_SIZES = (((2,), 3, 3, True), ((), 2, 4, False), ((2, 2), 3, 2, True), ((1,), 2, 3, True))
for _lead, _queries, _keys, _causal in _SIZES:
    case(
        "attention",
        [normal(*_lead, _queries, 2), normal(*_lead, _keys, 2), normal(*_lead, _keys, 3)],
        _attention,
        f"{_lead} {_queries} of {_keys}{', causal' if _causal else ''}",
        scale=0.7,
        causal=_causal,
    )
