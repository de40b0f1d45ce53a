"""Softmax, its logarithm and the cross-entropy on the CPU, in place over as few passes as it takes."""

from __future__ import annotations

import numpy as np


def _shifted(x, axis):
    """x less its largest value along `axis`, as a new array."""
    if x.ndim == 2 and axis in (1, -1):  # NumPy finds the place of the largest value faster than the value
        return x - x[np.arange(len(x)), x.argmax(axis=1)][:, None]
    return x - np.maximum.reduce(x, axis=axis, keepdims=True)


def _dot(a, b, axis):
    """The sum of a b along `axis`, kept."""
    if axis in (-1, a.ndim - 1):
        return np.vecdot(a, b)[..., None]
    return np.add.reduce(a * b, axis=axis, keepdims=True)


def softmax(x, axis):
    """See ops/reduce.py."""
    y = _shifted(x, axis)
    np.exp(y, out=y)
    y /= np.add.reduce(y, axis=axis, keepdims=True)
    return y


def softmax_grad(g, y, axis):
    """See ops/reduce.py."""
    dx = g - _dot(g, y, axis)
    dx *= y
    return dx


def log_softmax(x, axis):
    """See ops/reduce.py."""
    y = _shifted(x, axis)
    y -= np.log(np.add.reduce(np.exp(y), axis=axis, keepdims=True))
    return y


def log_softmax_grad(g, y, axis):
    """See ops/reduce.py."""
    dx = np.exp(y)
    dx *= -np.add.reduce(g, axis=axis, keepdims=True)
    dx += g
    return dx


def cross_entropy(z, t):
    """-log softmax(z) at the classes t, and softmax(z); see ops/loss.py."""
    p = _shifted(z, 1)
    picked = p[np.arange(len(p)), t[:, 0]][:, None] if p.ndim == 2 else np.take_along_axis(p, t, axis=1)
    np.exp(p, out=p)
    total = np.add.reduce(p, axis=1, keepdims=True)
    p /= total
    np.log(total, out=total)
    total -= picked
    return total, p


def cross_entropy_grad(p, t, g):
    """g (softmax - onehot(t)); see ops/loss.py."""
    y = p * g
    if y.ndim == 2:
        y[np.arange(len(y)), t[:, 0]] -= g[:, 0]
    else:
        np.put_along_axis(y, t, np.take_along_axis(y, t, axis=1) - g, axis=1)
    return y
