"""The error function and its complement, which NumPy has not: the rational approximations of Cody (1969).

Each holds to about the last digit in double precision. GELU, which is made of it, has in single precision a kernel of
its own: one exponential and one quotient of polynomials give its value and its slope. Blocks keep the intermediate
results in the cache.
"""

from __future__ import annotations

import math

import numpy as np

from .. import DEFINITIONS
from . import team

_BLOCK = 16384
_LEAST = 16  # blocks that are worth a thread of their own: about a millisecond
_LONG = 131072  # elements of a block of gelu, worth a thread: in shorter ones threads wait for the interpreter
# numerators and denominators by falling powers: of x^2 up to 0.46875, of |x| up to 4, of 1/x^2 beyond
_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02,
     3.20937758913846947e03),
    (1.0, 2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03),
)  # fmt: skip
_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e00, 6.61191906371416295e01,
     2.98635138197400131e02, 8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03,
     1.23033935479799725e03),
    (1.0, 1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
     3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03),
)  # fmt: skip
_FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip
# of |x|, for single precision: P(-|x|) e^(x^2 / 2), P the normal distribution's probability below a number
_NORMAL = (
    (0.4045213758945465, 2.114027976989746, 4.758290767669678),
    (1.0, 5.481012344360352, 11.821388244628906, 9.51657772064209),
)  # fmt: skip


def _ratio(x, coefficients):
    """The quotient of two polynomials in x, by Horner's rule."""
    tops, bottoms = coefficients
    top, bottom = x * tops[0], x + bottoms[1]
    for a in tops[1:-1]:
        top += a
        top *= x
    for b in bottoms[2:]:
        bottom *= x
        bottom += b
    top += tops[-1]
    top /= bottom
    return top


@np.errstate(over="ignore")  # of squares, which are then limited
def _blocks(x, function):
    """function over x in blocks, computed in double precision."""
    y = np.empty(x.shape, x.dtype)
    source, target = x.reshape(-1), y.reshape(-1)

    def some(part: slice) -> None:
        target[part] = function(source[part].astype(np.float64, copy=False))

    team.sweep(some, x.size, _BLOCK, _LEAST)
    return y


def _tail(y):
    """erfc(y) for 0.46875 <= y <= 4, and good enough beyond where 1 is added to it."""
    return _ratio(y, _MIDDLE) * np.exp(-y * y)


def _erf(x):
    y = np.minimum(np.abs(x), 6.0)  # from there on the result is 1
    near = y < 0.46875
    if near.all():
        return x * _ratio(x * x, _NEAR)
    far = np.copysign(1 - _tail(y), x)
    return np.where(near, x * _ratio(y * y, _NEAR), far) if near.any() else far


def _erfc(x):
    y = np.abs(x)
    inner, outer = np.minimum(y, 4.0), np.clip(y, 4.0, 30.0)
    inverse = 1 / (outer * outer)
    far = np.exp(-outer * outer) * (1 / math.sqrt(math.pi) - inverse * _ratio(inverse, _FAR)) / outer
    tail = np.where(y > 4.0, far, _tail(inner))
    return np.where(y < 0.46875, 1 - x * _ratio(inner * inner, _NEAR), np.where(x < 0, 2 - tail, tail))


def erf(x):
    """(2 / sqrt pi) times the integral of exp(-t^2) from 0 to x."""
    return _blocks(x, _erf)


def erfc(x):
    """1 - erf(x), as exact far out as near 0."""
    return _blocks(x, _erfc)


def _in_single(*xs):
    """Numbers as 0-d arrays of single precision: NumPy's loops begin with these in half the time."""
    return tuple([np.array(x, np.float32) for x in xs])


_COEFFICIENTS = _in_single(*_NORMAL[0]), _in_single(*_NORMAL[1])
_HALF, _MINUS, _DENSITY = _in_single(0.5, -0.5, 1 / math.sqrt(2 * math.pi))
_SIGN = np.array(-(2**31), np.int32)


def _gelu_single(x, y, slope) -> None:
    """gelu and its slope, within 3e-7 of them, into y and slope.

    Below 0, P(x) = q and the slope is q - |x| p = h, with the density p = e^(-x^2 / 2) / sqrt(2 pi); above, P(x) is
    1 - q and the slope 1 - h. So y = max(x, 0) - |x| q, and the slope is 1/2 plus 1/2 - h with the sign of x.
    """
    near = np.abs(x)
    near.clip(0.0, 16.0, out=near)  # where q is 0; several times as fast as the smaller one of an array and a number
    e = near * near
    e *= _MINUS
    np.exp(e, out=e)
    q = _ratio(near, _COEFFICIENTS)
    q *= e
    x.clip(0.0, math.inf, out=y)
    y -= near * q
    e *= _DENSITY
    e *= near
    q -= e
    h = np.subtract(_HALF, q, out=q).view(np.int32)
    h ^= x.view(np.int32) & _SIGN
    np.add(q, _HALF, out=slope)


def gelu(x):
    """x P(x) and its slope; see ops/activation.py."""
    if x.dtype == np.float64:
        return DEFINITIONS["gelu"](x)
    y, slope = [np.empty(x.shape, np.float32) for _ in range(2)]
    source, *targets = [v.astype(np.float32, copy=False).reshape(-1) for v in (x, y, slope)]
    team.sweep(lambda part: _gelu_single(source[part], *[v[part] for v in targets]), x.size, _LONG)
    return y.astype(x.dtype, copy=False), slope.astype(x.dtype, copy=False)
