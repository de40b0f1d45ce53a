"""Softmax cross-entropy on the CPU: one pass for the exponentials, one for the gradient, and little else."""

from __future__ import annotations

import numpy as np

from . import exponentials


def _places(t, e):
    """The positions in flattened memory of the classes t (N, 1) in e (N, C), or None where e lies otherwise."""
    if e.ndim != 2 or not e.flags.c_contiguous:
        return None
    return t[:, 0] + np.arange(0, e.size, e.shape[1])


def _taken(x, t, places):
    return np.take_along_axis(x, t, axis=1) if places is None else x.reshape(-1)[places][:, None]


def cross_entropy(z, t):
    """-log softmax(z) at the classes t (N, 1, ...), and for the gradient e^z and its sums; see ops/loss.py."""
    e, total, s = exponentials.of(z, 1)
    places = _places(t, e)
    if s is None:
        y = np.log(total / _taken(e, t, places))
    else:
        y = np.log(total) - _taken(s, t, places)
    return y, (e, total)


def cross_entropy_grad(p, t, g):
    """g (softmax - onehot(t)); see ops/loss.py."""
    e, total = p
    y = e * (g / total)
    places = _places(t, y)
    if places is None:
        np.put_along_axis(y, t, np.take_along_axis(y, t, axis=1) - g, axis=1)
    else:
        y.reshape(-1)[places] -= g[:, 0]
    return y
