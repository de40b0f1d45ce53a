"""Losses that deserve one op: the cross-entropies, the squared error and its like."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import op
from .activation import _sigmoid
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


@op
def huber(d, *, delta):
    """y = d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2);   dL/dd = g d, limited to [-delta, delta]."""
    B = backend_of(d)
    size = B.absolute(d)
    near = B.minimum(size, delta)

    def dd(g):
        B = backend_of(g)
        return g * B.maximum(B.minimum(d, delta), -delta)

    return near * (size - near * 0.5), (dd,)


_TINIEST = {2: 1e-4, 4: 1e-12, 8: 1e-12}  # for each size of a number in bytes the least x (1 - x) to divide by


@op
def binary_cross_entropy(x, t):
    """y = -t log x - (1 - t) log(1 - x), each logarithm at least -100.

    dL/dx = g (x - t) / (x (1 - x)), the denominator at least 1e-12;   dL/dt = g (log(1 - x) - log x).
    """

    def logs():
        B = backend_of(x)
        no, yes = B.equal(x, 0), B.equal(x, 1)  # their logarithms would be -inf, and give nan in second derivatives
        log, log1m = B.log(B.where(no, 1.0, x)), B.log1p(-B.where(yes, 0.0, x))
        return B.where(no, -100.0, B.maximum(log, -100.0)), B.where(yes, -100.0, B.maximum(log1m, -100.0))

    def dx(g):
        return g * (x - t) / backend_of(g).maximum(x * (1 - x), _TINIEST[x.dtype.itemsize])

    def dt(g):
        yes, no = logs()
        return g * (no - yes)

    yes, no = logs()
    return -(t * yes + (1 - t) * no), (dx, dt)


@op
def binary_cross_entropy_with_logits(x, t, w):
    """y = w t s(-x) + (1 - t) s(x), s(x) = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|);   w: the weight of t = 1.

    dL/dx = g ((1 - t) sigmoid(x) - w t sigmoid(-x)),   dL/dt = g (w s(-x) - s(x)),   dL/dw = g t s(-x).
    """

    def parts():
        B = backend_of(x)
        small = B.log1p(B.exp(-B.absolute(x)))
        return B.maximum(-x, 0.0) + small, B.maximum(x, 0.0) + small

    def dt(g):
        yes, no = parts()
        return g * (w * yes - no)

    def dx(g):
        B = backend_of(x)
        return g * ((1 - t) * _sigmoid(B, x) - w * t * _sigmoid(B, -x))

    yes, no = parts()
    return w * t * yes + (1 - t) * no, (dx, dt, lambda g: g * t * parts()[0])
