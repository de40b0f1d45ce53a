"""Losses that deserve one op: cross-entropy and the squared error."""

from __future__ import annotations

import math

from ..backend import backend_of
from ..engine import op


def _as_mean(y, n, reduction):
    """The reduction of a loss over its n terms."""
    return y / n if reduction == "mean" and n else y * math.nan if reduction == "mean" else y


@op(promote=slice(0, 1))
def cross_entropy(z, target, *, reduction):
    """y = -log softmax(z)[target] of each row (classes along axis 1), its mean or its sum.

    dL/dz = (softmax(z) - onehot(target)) g, divided by the number of rows for the mean.
    """
    B, classes = backend_of(z), z.shape[1]
    s = z - B.max(z, axis=1, keepdims=True)
    lp = s - B.log(B.sum(B.exp(s), axis=1, keepdims=True))
    t = B.reshape(target, shape=(z.shape[0], 1, *z.shape[2:]))
    n = math.prod(target.shape)

    def dz(g):
        B = backend_of(g)
        if reduction == "none":
            g = B.reshape(g, shape=(z_shape[0], 1, *z_shape[2:]))
        else:
            g = _as_mean(
                B.broadcast_to(B.reshape(g, shape=(1,) * len(z_shape)), shape=(z_shape[0], 1, *z_shape[2:])),
                n,
                reduction,
            )
        return B.exp(lp) * g - B.scatter_add(g, t, axis=1, size=classes)

    z_shape = z.shape
    y = -B.take_along_axis(lp, t, axis=1)
    if reduction == "none":
        return B.reshape(y, shape=target.shape), (dz, None)
    return _as_mean(B.sum(y), n, reduction), (dz, None)


@op
def mse_loss(x, t, *, reduction):
    """y = (x - t)^2, its mean or its sum;   dL/dx = 2 (x - t) g, divided by the number of elements for the mean."""
    d = x - t
    n = math.prod(d.shape)
    y = d * d
    dx = lambda g: d * _as_mean(2 * g, n, reduction)  # noqa: E731
    return y if reduction == "none" else _as_mean(backend_of(y).sum(y), n, reduction), (dx, lambda g: -dx(g))
