"""Activation functions that are more than a composition: stable at both ends, with PyTorch's slopes at the kinks."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import op
from .elementwise import _LARGEST, _sigmoid


def _softplus(B, x):
    """log(1 + e^x), without overflow; as exact as log1p, which NumPy computes ten times slower."""
    e = B.exp(-B.absolute(x))
    u = 1 + e
    return B.maximum(x, 0) + (B.log(u) + (e - (u - 1)) / u)  # what was lost in 1 + e comes back to first order


@op
def prelu(x, w):
    """y = x where x > 0, else w x;   dL/dx = g or g w,   dL/dw = 0 or g x. A number as w: leaky ReLU."""
    B = backend_of(x)

    def dx(g):
        B = backend_of(g)
        up = B.greater(x, 0)
        if isinstance(w, (int, float)) and 0 <= w <= 1:  # four times as fast as choosing
            return g * B.maximum(B.astype(up, dtype=g.dtype), w)
        return B.where(up, g, g * w)

    def dw(g):
        return g * backend_of(g).minimum(x, 0)

    return B.maximum(x, 0) + B.minimum(x, 0) * w, (dx, None if isinstance(w, (int, float)) else dw)


@op
def elu(x, *, alpha, scale=1.0, rate=1.0):
    """y = scale x where x > 0, else scale alpha (e^(rate x) - 1);   dL/dx = g scale, or g scale alpha rate e^(rate x).

    ELU (Clevert et al., 2016), SELU (Klambauer et al., 2017) and, with the rate 1/alpha, CELU (Barron, 2017).
    """
    B, slope = backend_of(x), scale * alpha * rate
    z = B.minimum(x, 0) * rate
    less_one = B.tanh(z * 0.5) * (B.exp(z) + 1)  # e^z - 1, as exact as expm1, which NumPy computes five times slower

    def dx(g):
        B = backend_of(g)
        d = B.exp(B.minimum(x, 0) * rate) * slope
        return g * (d if slope == scale else d + B.astype(B.greater(x, 0), dtype=g.dtype) * (scale - slope))

    return B.maximum(x, 0) * scale + less_one * (scale * alpha), (dx,)


@definition("gelu")
def plain_gelu(x):
    """x P(x) and its slope P(x) + x p(x)."""
    B = backend_of(x)
    below = 0.5 + 0.5 * B.erf(x * math.sqrt(0.5))
    return x * below, below + x * B.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


def gelu_definition(x):
    """The op by ops alone, for higher derivatives."""
    return plain_gelu(x)[0]


@op(floating=True, composed=gelu_definition)
def gelu(x):
    """y = x P(x), P the normal distribution's probability below x;   dL/dx = g (P(x) + x p(x)), p its density.

    Hendrycks and Gimpel, 2016. P(x) = (1 + erf(x / sqrt 2)) / 2.
    """
    y, slope = backend_of(x).gelu(x)
    return y, (lambda g: g * slope,)


@op(floating=True)
def gelu_tanh(x):
    """y = x (1 + t) / 2 with t = tanh(k (x + c x^3)), k = sqrt(2 / pi), c = 0.044715: nearly gelu.

    dL/dx = g ((1 + t) / 2 + x (1 - t^2) k (1 + 3 c x^2) / 2).
    """
    k, c = math.sqrt(2 / math.pi), 0.044715
    t = backend_of(x).tanh(x * (k + (k * c) * x * x))
    return x * (0.5 + 0.5 * t), (lambda g: g * (0.5 + 0.5 * t + x * (1 - t * t) * (k / 2 + (1.5 * k * c) * x * x)),)


@op(floating=True)
def silu(x):
    """y = x s with s = 1 / (1 + e^-x);   dL/dx = g (s + y (1 - s)).   Elfwing et al., 2018."""
    s = backend_of(x).logistic(x)
    y = x * s
    return y, (lambda g: g * (s + y * (1 - s)),)


@op(floating=True)
def softplus(x, *, beta=1.0, threshold=math.inf):
    """y = log(1 + e^(beta x)) / beta, or x where beta x > threshold;   dL/dx = g sigmoid(beta x), or g."""
    B, z = backend_of(x), x * beta
    y = _softplus(B, z) * (1 / beta)

    def dx(g):
        B, z = backend_of(g), x * beta
        s = _sigmoid(B, z)
        return g * (s if threshold == math.inf else B.maximum(s, B.astype(B.greater(z, threshold), dtype=g.dtype)))

    return y if threshold == math.inf else B.where(B.greater(z, threshold), x, y), (dx,)


@op(floating=True)
def mish(x):
    """y = x t with t = tanh(log(1 + e^x)) = w / (w + 2), w = e^x (e^x + 2);   dL/dx = g (t + x (1 - t^2) sigmoid(x)).

    Misra, 2019.
    """
    B = backend_of(x)
    e = B.exp(B.minimum(x, _LARGEST[x.dtype.itemsize] / 2))  # t is 1 long before
    w = e * (e + 2)
    t = w / (w + 2)
    return x * t, (lambda g: g * (t + x * (1 - t * t) * _sigmoid(backend_of(g), x)),)


@op
def hardtanh(x, *, low, high):
    """y = min(max(x, low), high);   dL/dx = 0 where x <= low or x >= high, else g (`clip` has g at both ends too)."""
    B = backend_of(x)

    def dx(g):
        B = backend_of(g)
        return g * B.logical_not(B.logical_or(B.less_equal(x, low), B.greater_equal(x, high)))

    return B.minimum(B.maximum(x, low), high), (dx,)


@op(floating=True)
def hardswish(x):
    """y = x min(max(x + 3, 0), 6) / 6;   dL/dx = 0 for x <= -3, g for x >= 3, else g (x / 3 + 1/2).   Howard, 2019."""
    B = backend_of(x)

    def dx(g):
        B = backend_of(g)
        return g * B.where(B.less(x, 3), x * (1 / 3) + 0.5, 1.0) * B.greater(x, -3)

    return x * B.minimum(B.maximum(x + 3, 0), 6) * (1 / 6), (dx,)
