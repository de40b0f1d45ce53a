"""Losses that deserve one op: cross-entropy and the squared error."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import op
from .reduce import log_softmax


def _as_mean(y, n, reduction):
    """The reduction of a loss over its n terms."""
    return y / n if reduction == "mean" and n else y * math.nan if reduction == "mean" else y


def _reduced(y, reduction):
    """The mean (which does not overflow in float16 where the sum would) or the sum of y."""
    B = backend_of(y)
    return B.sum(y) if reduction == "sum" else B.mean(y) if math.prod(y.shape) else B.sum(y) * math.nan


def _per_row(g, z_shape, n, reduction):
    """The gradient of the (reduced) loss as one number for each row, (N, 1, ...)."""
    shape = (z_shape[0], 1, *z_shape[2:])
    B = backend_of(g)
    if reduction == "none":
        return B.reshape(g, shape=shape)
    return B.broadcast_to(B.reshape(_as_mean(g, n, reduction), shape=(1,) * len(shape)), shape=shape)


@definition("cross_entropy")
def plain_cross_entropy(z, t):
    """-log softmax(z) at the classes t (N, 1, ...), and softmax(z)."""
    B = backend_of(z)
    s = z - B.max(z, axis=1, keepdims=True)
    e = B.exp(s)
    total = B.sum(e, axis=1, keepdims=True)
    return B.log(total) - B.take_along_axis(s, t, axis=1), e / total


@definition("cross_entropy_grad")
def plain_cross_entropy_grad(p, t, g):
    """g (p - onehot(t))."""
    return p * g - backend_of(p).scatter_add(g, t, axis=1, size=p.shape[1])


def cross_entropy_definition(z, target, *, reduction):
    """The mean (or sum) of -log softmax(z)[target]."""
    B = backend_of(z)
    t = B.reshape(target, shape=(z.shape[0], 1, *z.shape[2:]))
    y = -B.take_along_axis(log_softmax(z, axis=1), t, axis=1)
    return B.reshape(y, shape=target.shape) if reduction == "none" else _reduced(y, reduction)


@op(promote=slice(0, 1), composed=cross_entropy_definition)
def cross_entropy(z, target, *, reduction):
    """y = -log softmax(z)[target] of each row (classes along axis 1), its mean or its sum.

    dL/dz = (softmax(z) - onehot(target)) g, divided by the number of rows for the mean.
    """
    B, shape, n = backend_of(z), z.shape, math.prod(target.shape)
    t = B.reshape(target, shape=(shape[0], 1, *shape[2:]))
    y, p = B.cross_entropy(z, t)
    y = B.reshape(y, shape=target.shape) if reduction == "none" else _reduced(y, reduction)
    return y, (lambda g: backend_of(g).cross_entropy_grad(p, t, _per_row(g, shape, n, reduction)), None)


@op
def mse_loss(x, t, *, reduction):
    """y = (x - t)^2, its mean or its sum;   dL/dx = 2 (x - t) g, divided by the number of elements for the mean."""
    d = x - t
    n = math.prod(d.shape)
    y = d * d
    dx = lambda g: d * _as_mean(2 * g, n, reduction)  # noqa: E731
    return y if reduction == "none" else _reduced(y, reduction), (dx, lambda g: -dx(g))
