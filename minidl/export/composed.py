"""Functions of which neither ONNX nor NumPy has a word, made of ops that both have; in double precision inside."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..ops import elementwise as E

_STEPS = 8  # from x + 8 on the series hold to the last digits of float32, for x of at least 1/2
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30)


def _reflected(x):
    """Whether x is below 1/2, and x or 1 - x, whichever is not; both formulas are of Abramowitz and Stegun (1964)."""
    low = E.less(x, 0.5)
    return low, E.where(low, 1 - x, x)


def lgamma(x):
    """log |gamma(x)|, by Stirling's series; below 1/2 by reflection."""
    kind, x = x.dtype, x.astype(np.dtype(np.float64))
    low, z = _reflected(x)
    w = z + _STEPS
    y = (w - 0.5) * (E.log(w) - 1) + 0.5 * (math.log(2 * math.pi) - 1)
    for k, b in enumerate(_BERNOULLI, 1):
        y = y + b / (2 * k * (2 * k - 1)) / w ** (2 * k - 1)
    for k in range(_STEPS):
        y = y - E.log(z + k)
    sine = E.absolute(E.sin(math.pi * (x - 2 * E.rint(x / 2))))
    return E.where(low, E.log(math.pi / sine) - y, y).astype(kind)


def polygamma(x, n):
    """Digamma and (n = 1) its derivative, by the series of Euler and Maclaurin; below 1/2 by reflection."""
    if n > 1:
        raise NotImplementedError(f"polygamma: n={n} is written for NumPy only; ONNX files can have n=0 and n=1")
    kind, x = x.dtype, x.astype(np.dtype(np.float64))
    low, z = _reflected(x)
    w, turned = z + _STEPS, math.pi * (x - E.rint(x))
    y = 1 / w + 0.5 / (w * w) if n else E.log(w) - 0.5 / w
    for k, b in enumerate(_BERNOULLI, 1):
        y = y + b / w ** (2 * k + 1) if n else y - b / (2 * k) / w ** (2 * k)
    for k in range(_STEPS):
        y = y + 1 / ((z + k) * (z + k)) if n else y - 1 / (z + k)
    ratio = math.pi / E.sin(turned)
    return E.where(low, ratio * ratio - y if n else y - ratio * E.cos(turned), y).astype(kind)


def erfinv(x):
    """The number whose erf is x, by the polynomials of Giles (2010), to the precision of float32."""
    kind, x = x.dtype, x.astype(np.dtype(np.float64))
    w = -E.log((1 - x) * (1 + x))
    central = (
        2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
        0.246640727, 1.50140941,
    )  # fmt: skip
    tail = (
        -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
        1.00167406, 2.83297682,
    )  # fmt: skip

    def along(coefficients, v):
        y = v * coefficients[0] + coefficients[1]
        for c in coefficients[2:]:
            y = y * v + c
        return y

    far = E.sqrt(E.maximum(w, 5.0)) - 3
    return (x * E.where(E.less(w, 5.0), along(central, w - 2.5), along(tail, far))).astype(kind)


COMPOSED: dict[str, Callable] = {"lgamma": lgamma, "polygamma": polygamma, "erfinv": erfinv}
