"""log gamma, its derivatives and the inverse error function, which NumPy has not, in double precision.

Recurrence to where the asymptotic series hold to the last digits (Abramowitz and Stegun, 1964, chapter 6); Halley's
steps on the error function, of which each triples the number of right digits.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from .special import erf, erfc

_FROM = 10.0  # the series hold from here on
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _raised(x, part):
    """x + 1 + 1 ... at least `_FROM`, and the sum of part(x), part(x + 1) ... on the way."""
    total, steps = np.zeros_like(x), math.ceil(_FROM - x.min(initial=_FROM)) if np.isfinite(x).any() else 0
    for _ in range(min(steps, 1000)):
        low = x < _FROM
        total = np.where(low, total + part(x), total)
        x = np.where(low, x + 1, x)
    return np.where(x < _FROM, np.nan, x), total


def _sine(x):
    """sin(pi x), exactly 0 at whole numbers."""
    return np.sin(math.pi * (x - 2 * np.rint(x / 2)))


def _quiet(function):
    """The function in double precision, with its result in the dtype of x, and no warnings at its poles."""

    @functools.wraps(function)
    def call(x, **static):
        with np.errstate(all="ignore"):
            return np.asarray(function(x.astype(np.float64), **static), dtype=x.dtype)

    return call


@_quiet
def lgamma(x):
    """log |gamma(x)|, by Stirling's series; below 1/2 by reflection."""
    reflected = x < 0.5
    w, below = _raised(np.where(np.isinf(x), _FROM, np.where(reflected, 1 - x, x)), np.log)
    terms = [b / (2 * k * (2 * k - 1)) * w ** (1 - 2 * k) for k, b in enumerate(_BERNOULLI, 1)]
    y = (w - 0.5) * np.log(w) - w + 0.5 * math.log(2 * math.pi) + sum(terms) - below
    y = np.where(reflected, np.log(math.pi / np.abs(_sine(np.where(np.isinf(x), 0.0, x)))) - y, y)
    return np.where(np.isinf(x) | ((x <= 0) & (x == np.floor(x))), np.inf, y)


@_quiet
def polygamma(x, n):
    """The n-th derivative of digamma, by the series of Euler and Maclaurin; digamma below 1/2 by reflection."""
    if n == 0:
        reflected = x < 0.5
        w, below = _raised(np.where(np.isinf(x), _FROM, np.where(reflected, 1 - x, x)), lambda v: 1 / v)
        y = np.log(w) - 0.5 / w - sum([b / (2 * k) * w ** (-2 * k) for k, b in enumerate(_BERNOULLI, 1)]) - below
        cotangent = math.pi * np.cos(math.pi * (x - np.rint(x))) / np.sin(math.pi * (x - np.rint(x)))
        y = np.where(reflected, y - np.where(x == 0, math.copysign(np.inf, 1) * np.sign(1 / x), cotangent), y)
        return np.where(np.isposinf(x), np.inf, np.where((x < 0) & (x == np.floor(x)), np.nan, y))
    s = n + 1
    w, below = _raised(np.where(np.isinf(x), _FROM, x), lambda v: v ** float(-s))
    y = w ** (1.0 - s) / (s - 1) + 0.5 * w ** float(-s) + below
    for k, b in enumerate(_BERNOULLI, 1):
        rising = math.prod(range(s, s + 2 * k - 1))
        y = y + b / math.factorial(2 * k) * rising * w ** (1.0 - s - 2 * k)
    return np.where(np.isposinf(x), 0.0, (-1.0) ** s * math.factorial(n) * y)


@_quiet
def erfinv(x):
    """The number whose erf is x, from the approximation of Winitzki (2008)."""
    a = np.abs(x)
    bend, rest = np.log1p(-np.minimum(a, 1 - 2**-53) * a), 1 - a
    half = 2 / (math.pi * 0.147) + bend / 2
    y = np.sqrt(np.sqrt(half * half - bend / 0.147) - half)
    for _ in range(3):
        off = np.where(a < 0.5, erf(y) - a, rest - erfc(y)) * (math.sqrt(math.pi) / 2) * np.exp(y * y)
        y = y - off / (1 + y * off)
    y = np.where(a == 1, np.inf, np.where(a > 1, np.nan, y))
    return np.copysign(y, x)
