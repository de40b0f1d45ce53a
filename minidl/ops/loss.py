"""Losses that deserve one op: the cross-entropies, the squared error and its like, and that of alignments."""

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
    return y if reduction == "none" or not d.shape else _reduced(y, reduction), (dx, lambda g: -dx(g))


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


_LOW = {2: -1e4, 4: -1e30, 8: -1e30}  # the logarithm of 0, but finite, so that differences of it are not nan


@op(promote=slice(0, 1))
def ctc_loss(x, start, path, skip, live, ends, *, zero_infinity):
    """y = -log of the probability of all ways along `path` (N, S), x (T, N, C) the classes' log-probabilities (N,).

    A way goes in each of its steps to a place of the path from the same one, the one before or, where `skip` (N, S),
    the one before that:   a_t[s] = x_t[path[s]] + log(e^a[s] + e^a[s - 1] + e^a[s - 2]), a the row before; at first
    -1e30 times `start`, 0 at place 0 and 1 elsewhere. live (T, N, 1): the steps of each sequence;   y = -log sum e^a
    over `ends` (N, S). dL/dx_t[c] = -g times the probability of being at a place of class c after step t, which is
    carried back from the ends along the shares that the three terms had. Without any way y is infinite and its gradient
    nan, or both are 0 with zero_infinity. Graves et al., 2006.
    """
    B, length, low = backend_of(x), path.shape[1], _LOW[x.dtype.itemsize]
    places = B.broadcast_to(path[None], shape=(x.shape[0], *path.shape))
    at, a, steps, size = B.take_along_axis(B.maximum(x, low), places, axis=2), start * low, [], x.shape[2]
    for t in range(x.shape[0]):
        one, two = [B.pad(a, width=((0, 0), (k, 0)), value=low)[:, :length] for k in (1, 2)]
        two = B.where(skip, two, low)
        top = B.maximum(B.maximum(a, one), two)
        parts = [B.exp(p - top) for p in (a, one, two)]
        total = parts[0] + parts[1] + parts[2]
        a = B.where(live[t], B.log(total) + top + at[t], a)
        steps.append([p / total for p in parts])
    z = B.where(ends, a, low)
    top = B.max(z, axis=1, keepdims=True)
    last = B.exp(z - top)
    total = B.sum(last, axis=1, keepdims=True)
    y = -(B.log(total) + top)
    none = B.greater(y, -0.5 * low)

    def dx(g):
        B, gs = backend_of(g), []
        g = last / total * -B.where(none, 0.0 if zero_infinity else math.nan, B.reshape(g, shape=none.shape))
        for t in reversed(range(len(steps))):
            now = B.where(live[t], g, 0.0)
            gs.append(now)
            stay, one, two = [now * share for share in steps[t]]
            one, two = [B.pad(p, width=((0, 0), (0, k)))[:, k:] for p, k in ((one, 1), (two, 2))]
            g = g - now + stay + one + two
        return B.scatter_add(B.stack(gs[::-1], axis=0), places, axis=2, size=size)

    y = B.where(none, 0.0 if zero_infinity else math.inf, y)
    return B.reshape(y, shape=(path.shape[0],)), (dx, None, None, None, None, None)
