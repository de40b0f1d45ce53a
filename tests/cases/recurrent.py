"""Cases of the recurrent ops and of embeddings: one number after the other, in plain Python."""

from __future__ import annotations

import math

import numpy as np

from .table import case, normal


def _affine(w, x, b, row):
    return sum(w[row, k] * x[k] for k in range(len(x))) + (0.0 if b is None else b[row])


def _sigmoid(a):
    return 1 / (1 + math.exp(-a))


def _walk(x, reverse, states, step):
    """`step(x_t, states of one example) -> states` over all steps and examples: the outputs and the last states."""
    steps, count = x.shape[:2]
    states = [np.array(s, dtype=float) for s in states]
    y = np.zeros((steps, *states[0].shape))
    for t in reversed(range(steps)) if reverse else range(steps):
        for n in range(count):
            for state, new in zip(states, step(x[t, n], *[s[n].copy() for s in states]), strict=True):
                state[n] = new
        y[t] = states[0]
    return y, *states


def _lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, *, reverse):
    size = h0.shape[1]

    def step(x, h, c):
        a = [_affine(w_ih, x, b_ih, k) + _affine(w_hh, h, b_hh, k) for k in range(4 * size)]
        new = [_sigmoid(a[size + k]) * c[k] + _sigmoid(a[k]) * math.tanh(a[2 * size + k]) for k in range(size)]
        return [_sigmoid(a[3 * size + k]) * math.tanh(new[k]) for k in range(size)], new

    return _walk(x, reverse, (h0, c0), step)


def _gru(x, h0, w_ih, w_hh, b_ih, b_hh, *, reverse):
    size = h0.shape[1]

    def step(x, h):
        new = []
        for k in range(size):
            r, z = (
                _sigmoid(_affine(w_ih, x, b_ih, j * size + k) + _affine(w_hh, h, b_hh, j * size + k)) for j in (0, 1)
            )
            n = math.tanh(_affine(w_ih, x, b_ih, 2 * size + k) + r * _affine(w_hh, h, b_hh, 2 * size + k))
            new.append((1 - z) * n + z * h[k])
        return (new,)

    return _walk(x, reverse, (h0,), step)


def _rnn(x, h0, w_ih, w_hh, b_ih, b_hh, *, relu, reverse):
    def step(x, h):
        a = [_affine(w_ih, x, b_ih, k) + _affine(w_hh, h, b_hh, k) for k in range(len(h))]
        return ([max(v, 0.0) if relu else math.tanh(v) for v in a],)

    return _walk(x, reverse, (h0,), step)


for _t, _n, _d, _h, _bias, _reverse in (
    (3, 2, 2, 3, True, False),
    (4, 1, 3, 2, True, True),
    (1, 2, 1, 2, False, False),
):
    _label = f"{_t} steps{', reverse' if _reverse else ''}{'' if _bias else ', no bias'}"
    for _name, _gates, _states, _forward in (("lstm", 4, 2, _lstm), ("gru", 3, 1, _gru), ("rnn", 1, 1, _rnn)):
        _rows = _gates * _h
        _makers = [normal(_t, _n, _d), *[normal(_n, _h)] * _states, normal(_rows, _d), normal(_rows, _h)]
        _makers += [normal(_rows), normal(_rows)] if _bias else [None, None]
        for _relu in (False, True) if _name == "rnn" else (None,):
            _how = {} if _relu is None else {"relu": _relu}
            case(_name, _makers, _forward, f"{_label}{', relu' if _relu else ''}", reverse=_reverse, **_how)


def _rows_of(weight, *, ids, padding_idx):
    return np.array([weight[i] for i in ids.ravel()]).reshape(*ids.shape, weight.shape[1])


case("embedding", [normal(5, 3)], _rows_of, "repeated", ids=np.array([[4, 0, 0], [2, 4, 4]]), padding_idx=None)
# the gradient of the row of padding is left out on purpose: that is compared with PyTorch's, in layers/
case("embedding", [normal(3, 2)], _rows_of, "padding", ids=np.array([0, 2, 2, 0]), padding_idx=1)
