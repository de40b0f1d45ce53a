"""Softmax on the CPU: in place."""

from __future__ import annotations

import numpy as np

from . import exponentials


def softmax_of(x, axis):
    """e^x / sum e^x along `axis`; see ops/reduce.py."""
    if not x.ndim:
        return softmax_of(x.reshape(1), 0).reshape(())
    e, total, _ = exponentials.of(x, axis)
    e /= total
    return e


def softmax_grad(g, y, axis):
    """y (g - sum g y); see ops/reduce.py."""
    if not y.ndim:
        return softmax_grad(g.reshape(1), y.reshape(1), 0).reshape(())
    if axis in (-1, y.ndim - 1):
        d = g - np.vecdot(g, y)[..., None]
    else:
        d = g * y
        d = np.subtract(g, np.add.reduce(d, axis=axis, keepdims=True), out=d)
    d *= y
    return d


def log_softmax_of(x, axis):
    """x - log sum e^x along `axis`, and for its gradient e^x and its sums; see ops/reduce.py."""
    if not x.ndim:
        y, kept = log_softmax_of(x.reshape(1), 0)
        return y.reshape(()), kept
    e, total, s = exponentials.of(x, axis)
    y = x - np.log(total) if s is None else np.subtract(s, np.log(total), out=s)
    return y, (e, total)


def log_softmax_grad(g, kept, axis):
    """g - e^y sum g; see ops/reduce.py."""
    if not g.ndim:
        return log_softmax_grad(g.reshape(1), kept, 0).reshape(())
    e, total = kept
    d = e * (exponentials.sums_along(g, axis) / total)
    return np.subtract(g, d, out=d)
