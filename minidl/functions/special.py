"""Functions of statistics and number theory, of the parts of floating-point numbers, and of complex ones as far as
real numbers have them."""

from __future__ import annotations

import builtins
import math

from ..amp.casting import whole
from ..backend import backend_of
from ..backend.dtypes import int32
from ..creation import full
from ..modes import mode
from ..ops import elementwise as E
from ..tensor import Tensor, wrap
from .arguments import a_tensor, floating, result
from .elementwise import where, xlogy

__all__ = """
    angle conj conj_physical digamma erfinv frexp gcd lcm ldexp lgamma mvlgamma nextafter polygamma real
    resolve_conj resolve_neg
""".split()


def lgamma(input) -> Tensor:
    """log |gamma(input)|, where gamma(n) = (n - 1)!."""
    return E.lgamma(a_tensor("lgamma", input))


def digamma(input) -> Tensor:
    """The derivative of `lgamma`."""
    return E.polygamma(a_tensor("digamma", input), n=0)


def polygamma(n, input) -> Tensor:
    """The n-th derivative of `digamma`; as a method `x.polygamma(n)`."""
    if isinstance(n, Tensor):
        n, input = input, n
    if n < 0:
        raise RuntimeError(f"polygamma: n must not be negative, got {n}")
    return E.polygamma(a_tensor("polygamma", input), n=n)


def mvlgamma(input, p) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p: the sum of lgamma(x - j / 2) and a constant."""
    y = builtins.sum([E.lgamma(input - 0.5 * j) for j in builtins.range(1, p)], E.lgamma(input))
    return y + p * (p - 1) / 4 * math.log(math.pi)


def erfinv(input) -> Tensor:
    """The number whose erf is input."""
    return E.erfinv(a_tensor("erfinv", input))


# ------------------------------------------------------------------------------------- integers, parts of numbers
def _plain(name, kinds):
    """An elementwise function of two operands without a derivative, by the array library's own."""

    def function(input, other) -> Tensor:
        for x in (input, other):
            if a_tensor(name, x).array.dtype.kind not in kinds:
                raise RuntimeError(f"{name}: not supported for {x.dtype}")
        B = backend_of(input.array)
        return wrap(B.asarray(getattr(B, name)(input.array, other.array)))

    function.__name__ = name
    return function


gcd, lcm, nextafter = _plain("gcd", "iu"), _plain("lcm", "iu"), _plain("nextafter", "f")
gcd.__doc__ = "The greatest common divisor of two integers."
lcm.__doc__ = "The least common multiple of two integers."
nextafter.__doc__ = "The next floating-point number after input, towards other."
_Frexp = result("frexp", "mantissa exponent")


def frexp(input):
    """(mantissa, exponent) with input = mantissa 2^exponent and 1/2 <= |mantissa| < 1; the exponent as int32."""
    floating("frexp", a_tensor("frexp", input))
    B = backend_of(input.array)
    exponent = B.asarray(B.frexp(input.array)[1]).astype(int32.dtype)
    return _Frexp(ldexp(input, wrap(-exponent)).to(input.dtype), wrap(exponent))


@whole
def ldexp(input, other) -> Tensor:
    """input 2^other."""
    if not isinstance(other, Tensor):
        other = full((), other, device=input.device)
    kind = input.dtype if input.array.dtype.kind == "f" else mode.dtype
    return input * E.power(2.0, other.to(kind))


# ----------------------------------------------------------------------------------- of complex numbers, the real ones
def real(input) -> Tensor:
    """input itself: all numbers are real."""
    return a_tensor("real", input)


def conj(input) -> Tensor:
    """input itself: all numbers are real."""
    return a_tensor("conj", input)


conj_physical, resolve_conj, resolve_neg = conj, conj, conj


def angle(input) -> Tensor:
    """pi for negative numbers, else 0 (nan for nan)."""
    kind = input.dtype if a_tensor("angle", input).array.dtype.kind == "f" else mode.dtype
    y = where(E.less(input, 0), full((), math.pi, dtype=kind, device=input.device), 0.0)
    return where(E.isnan(input), math.nan, y) if input.array.dtype.kind == "f" else y


# ------------------------------------------------------------------------------------------ for the module `special`
def entr(input) -> Tensor:
    """-x log x, 0 at 0, and -inf below."""
    return where(E.less(input, 0), -math.inf, -xlogy(input, where(E.less(input, 0), 1.0, input)))


def ndtr(input) -> Tensor:
    """The area under the standard normal density up to input."""
    return 0.5 * E.erfc(input * (-1 / math.sqrt(2)))


@whole
def ndtri(input) -> Tensor:
    """The number up to which the area under the standard normal density is input."""
    return math.sqrt(2) * E.erfinv(2 * input - 1)


@whole
def log_ndtr(input) -> Tensor:
    """log ndtr(input), by the asymptotic series where that is tiny."""
    low = E.less(input, -8.0)
    x = where(low, input, -8.0)
    z = 1 / (x * x)
    series = 1 - z * (1 - 3 * z * (1 - 5 * z * (1 - 7 * z * (1 - 9 * z * (1 - 11 * z)))))
    far = -0.5 * x * x - 0.5 * math.log(2 * math.pi) - E.log(-x) + E.log(series)
    return where(low, far, E.log(ndtr(where(low, 0.0, input))))


@whole
def erfcx(input) -> Tensor:
    """exp(x^2) erfc(x), for x below 26: beyond that erfc is 0."""
    return E.exp(input * input) * E.erfc(input)


@whole
def xlog1py(input, other) -> Tensor:
    """input log(1 + other), and 0 where input is 0."""
    zero = E.equal(input, 0) if isinstance(input, Tensor) else input == 0
    safe = where(zero, 0.0, other) if isinstance(zero, Tensor) else other * 0 if zero else other
    return input * E.log1p(safe)
