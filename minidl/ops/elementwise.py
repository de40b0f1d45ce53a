"""Elementwise ops: arithmetic, comparison, exp, log, tanh ... each with its derivative beside it."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import FUNCTIONS, op


@op
def identity(x):
    """y = x;   dL/dx = g."""
    return backend_of(x).copy(x), (lambda g: g,)


FUNCTIONS["copy"] = identity  # NumPy's name for it


@op(view=True, put=lambda x, value: value)
def alias(x):
    """y = x on the same memory;   dL/dx = g."""
    return x[...], (lambda g: g,)


@op(promote=None)
def astype(x, *, dtype):
    """y = x in another dtype;   dL/dx = g (which the engine casts back)."""
    return backend_of(x).astype(x, dtype=dtype), (lambda g: g,)


def recast_definition(x, *, values):
    """The cast itself."""
    return backend_of(x).astype(x, dtype=values.dtype)


@op(promote=None, composed=recast_definition)
def recast(x, *, values):
    """y = x in another dtype, where these values are at hand;   dL/dx = g."""
    return values, (lambda g: g,)


@op
def zeros_like(x):
    """y = 0 in x's shape and dtype."""
    return backend_of(x).zeros_like(x), (None,)


@op
def ones_like(x):
    """y = 1 in x's shape and dtype."""
    return backend_of(x).ones_like(x), (None,)


def _zero(g):
    return backend_of(g).zeros_like(g)


# arithmetic
@op
def add(a, b):
    """y = a + b;   dL/da = g,   dL/db = g."""
    return a + b, (lambda g: g, lambda g: g)


@op
def subtract(a, b):
    """y = a - b;   dL/da = g,   dL/db = -g."""
    return a - b, (lambda g: g, lambda g: -g)


@op
def multiply(a, b):
    """y = a b;   dL/da = g b,   dL/db = g a."""
    return a * b, (lambda g: g * b, lambda g: g * a)


@op(floating=True)
def divide(a, b):
    """y = a / b;   dL/da = g / b,   dL/db = -g y / b."""
    y = a / b
    return y, (lambda g: g / b, lambda g: -g * y / b)


def _divided(where, a, b):
    """Refuse to divide whole numbers by nought; of floating-point numbers that is infinite or nan."""
    like = b if hasattr(b, "dtype") else a
    if getattr(like.dtype, "kind", "f") in "iub":  # a Tensor, whose dtype has no kind, comes for derivatives only
        if like is not b and not b and a.size:
            raise RuntimeError(f"{where}: ZeroDivisionError: whole numbers were divided by {b}")
        if like is b:
            backend_of(b).check_divisor(b, where=where)


@op
def floor_divide(a, b):
    """y = floor(a / b), an integer value: its derivative is 0 wherever it has one."""
    _divided("floor_divide", a, b)
    return a // b, (_zero, _zero)


@op
def remainder(a, b):
    """y = a - b floor(a / b), with b's sign;   dL/da = g,   dL/db = -g floor(a / b)."""
    _divided("remainder", a, b)
    return a % b, (lambda g: g, lambda g: -g * (a // b))


@op
def negative(x):
    """y = -x;   dL/dx = -g."""
    return -x, (lambda g: -g,)


@op
def power(a, b):
    """y = a^b;   dL/da = g b a^(b-1),   dL/db = g y log a, which is 0 where a = 0 and b >= 0."""
    y = a**b

    def da(g):
        if isinstance(b, (int, float)):
            return g * b * a ** (b - 1) if b != 0 else g * 0.0
        B = backend_of(g)
        return B.where(B.equal(b, 0), g * 0.0, g * b * a ** B.where(B.equal(b, 0), 1.0 + 0.0 * b, b - 1))

    def db(g):
        B = backend_of(g)
        if isinstance(a, (int, float)):
            return g * y * (math.log(a) if a > 0 else 0.0 if a == 0 else math.nan)
        zero = B.equal(a, 0)
        return B.where(zero, g * 0.0, g * y * B.log(B.where(zero, 1.0 + 0.0 * a, a)))

    return y, (da, db)


@op
def square(x):
    """y = x x;   dL/dx = 2 g x."""
    return x * x, (lambda g: g * (2 * x),)


@op
def absolute(x):
    """y = |x|;   dL/dx = g sign(x), 0 at 0."""
    B = backend_of(x)
    return B.absolute(x), (lambda g: g * backend_of(g).sign(x),)


@op
def sign(x):
    """y = -1, 0 or 1 by the sign of x; its derivative is 0 wherever it has one."""
    return backend_of(x).sign(x), (_zero,)


@op
def floor(x):
    """y = the largest integer <= x; its derivative is 0 wherever it has one."""
    return backend_of(x).floor(x), (_zero,)


@op
def ceil(x):
    """y = the smallest integer >= x; its derivative is 0 wherever it has one."""
    return backend_of(x).ceil(x), (_zero,)


@op
def rint(x):
    """y = the nearest integer, ties to even; its derivative is 0 wherever it has one."""
    return backend_of(x).rint(x), (_zero,)


@op
def trunc(x):
    """y = x without its fraction; its derivative is 0 wherever it has one."""
    return backend_of(x).trunc(x), (_zero,)


@op
def fmod(a, b):
    """y = a - b trunc(a / b), with a's sign;   dL/da = g,   dL/db = -g trunc(a / b)."""
    _divided("fmod", a, b)
    B = backend_of(a, b)
    return B.fmod(a, b), (lambda g: g, lambda g: -g * backend_of(g).trunc(a / b))


@op(floating=True)
def hypot(a, b):
    """y = sqrt(a^2 + b^2), which does not overflow on the way;   dL/da = g a / y,   dL/db = g b / y."""
    y = backend_of(a, b).hypot(a, b)
    return y, (lambda g: g * (a / y), lambda g: g * (b / y))


@op
def maximum(a, b):
    """y = max(a, b);   the gradient goes to the larger one, half to each where they are equal."""
    B = backend_of(a, b)
    return B.maximum(a, b), (lambda g: g * _share(a, b), lambda g: g * _share(b, a))


@op
def minimum(a, b):
    """y = min(a, b);   the gradient goes to the smaller one, half to each where they are equal."""
    B = backend_of(a, b)
    return B.minimum(a, b), (lambda g: g * _share(b, a), lambda g: g * _share(a, b))


def _share(a, b):
    """1 where a > b, 1/2 where a = b, 0 where a < b, in the dtype of the array among them."""
    B = backend_of(a, b)
    x = a if hasattr(a, "dtype") else b
    return (B.astype(B.greater(a, b), dtype=x.dtype) + B.astype(B.greater_equal(a, b), dtype=x.dtype)) * 0.5


@op
def clip(x, *, low=None, high=None):
    """y = min(max(x, low), high);   dL/dx = g where low <= x <= high, else 0."""
    B = backend_of(x)
    y = x if low is None else B.maximum(x, low)
    y = y if high is None else B.minimum(y, high)
    return B.copy(y) if y is x else y, (lambda g: g * backend_of(g).astype(_between(x, low, high), dtype=g.dtype),)


def _between(x, low, high):
    B = backend_of(x)
    above = B.greater_equal(x, low) if low is not None else None
    below = B.less_equal(x, high) if high is not None else None
    if above is None or below is None:
        return below if above is None else above
    return B.logical_and(above, below)


# exponentials and their like
@op(floating=True)
def exp(x):
    """y = e^x;   dL/dx = g y."""
    y = backend_of(x).exp(x)
    return y, (lambda g: g * y,)


@op(floating=True)
def expm1(x):
    """y = e^x - 1;   dL/dx = g (y + 1)."""
    y = backend_of(x).expm1(x)
    return y, (lambda g: g * (y + 1),)


@op(floating=True)
def log(x):
    """y = log x;   dL/dx = g / x."""
    return backend_of(x).log(x), (lambda g: g / x,)


@op(floating=True)
def log2(x):
    """y = log2 x;   dL/dx = g / (x log 2)."""
    return backend_of(x).log2(x), (lambda g: g / (x * math.log(2)),)


@op(floating=True)
def log10(x):
    """y = log10 x;   dL/dx = g / (x log 10)."""
    return backend_of(x).log10(x), (lambda g: g / (x * math.log(10)),)


@op(floating=True)
def log1p(x):
    """y = log(1 + x);   dL/dx = g / (1 + x)."""
    return backend_of(x).log1p(x), (lambda g: g / (1 + x),)


@op(floating=True)
def sqrt(x):
    """y = sqrt x;   dL/dx = g / (2 y)."""
    y = backend_of(x).sqrt(x)
    return y, (lambda g: g / (2 * y),)


@op(floating=True)
def sin(x):
    """y = sin x;   dL/dx = g cos x."""
    return backend_of(x).sin(x), (lambda g: g * backend_of(g).cos(x),)


@op(floating=True)
def cos(x):
    """y = cos x;   dL/dx = -g sin x."""
    return backend_of(x).cos(x), (lambda g: -g * backend_of(g).sin(x),)


@op(floating=True)
def tan(x):
    """y = tan x;   dL/dx = g (1 + y y)."""
    y = backend_of(x).tan(x)
    return y, (lambda g: g * (1 + y * y),)


@op(floating=True)
def arcsin(x):
    """y = arcsin x;   dL/dx = g / sqrt(1 - x x)."""
    return backend_of(x).arcsin(x), (lambda g: g / backend_of(g).sqrt(1 - x * x),)


@op(floating=True)
def arccos(x):
    """y = arccos x;   dL/dx = -g / sqrt(1 - x x)."""
    return backend_of(x).arccos(x), (lambda g: -g / backend_of(g).sqrt(1 - x * x),)


@op(floating=True)
def arctan(x):
    """y = arctan x;   dL/dx = g / (1 + x x)."""
    return backend_of(x).arctan(x), (lambda g: g / (1 + x * x),)


@op(floating=True)
def arctan2(a, b):
    """y = the angle of the point (b, a);   dL/da = g b / (a^2 + b^2),   dL/db = -g a / (a^2 + b^2)."""
    y = backend_of(a, b).arctan2(a, b)
    return y, (lambda g: g * (b / (a * a + b * b)), lambda g: -g * (a / (a * a + b * b)))


@op(floating=True)
def sinh(x):
    """y = sinh x;   dL/dx = g cosh x."""
    return backend_of(x).sinh(x), (lambda g: g * backend_of(g).cosh(x),)


@op(floating=True)
def cosh(x):
    """y = cosh x;   dL/dx = g sinh x."""
    return backend_of(x).cosh(x), (lambda g: g * backend_of(g).sinh(x),)


@op(floating=True)
def arcsinh(x):
    """y = arcsinh x;   dL/dx = g / sqrt(x x + 1)."""
    return backend_of(x).arcsinh(x), (lambda g: g / backend_of(g).sqrt(x * x + 1),)


@op(floating=True)
def arccosh(x):
    """y = arccosh x;   dL/dx = g / sqrt(x x - 1)."""
    return backend_of(x).arccosh(x), (lambda g: g / backend_of(g).sqrt(x * x - 1),)


@op(floating=True)
def arctanh(x):
    """y = arctanh x;   dL/dx = g / (1 - x x)."""
    return backend_of(x).arctanh(x), (lambda g: g / (1 - x * x),)


@op(floating=True)
def logaddexp(a, b):
    """y = log(e^a + e^b), without overflow;   dL/da = g e^(a - y),   dL/db = g e^(b - y)."""
    y = backend_of(a, b).logaddexp(a, b)
    return y, (lambda g: g * backend_of(g).exp(a - y), lambda g: g * backend_of(g).exp(b - y))


@definition("tanh_grad")
def plain_tanh_grad(g, y):
    """g (1 - y y)."""
    return g * (1 - y * y)


FUNCTIONS["tanh_grad"] = plain_tanh_grad


@op(floating=True)
def tanh(x):
    """y = tanh x;   dL/dx = g (1 - y y)."""
    y = backend_of(x).tanh(x)
    return y, (lambda g: backend_of(g).tanh_grad(g, y),)


@op(floating=True)
def erf(x):
    """y = (2 / sqrt pi) times the integral of exp(-t^2) from 0 to x;   dL/dx = g (2 / sqrt pi) exp(-x^2)."""
    return backend_of(x).erf(x), (lambda g: g * (2 / math.sqrt(math.pi) * backend_of(g).exp(-x * x)),)


@op(floating=True)
def erfc(x):
    """y = 1 - erf x, exact also where that is tiny;   dL/dx = -g (2 / sqrt pi) exp(-x^2)."""
    return backend_of(x).erfc(x), (lambda g: g * (-2 / math.sqrt(math.pi) * backend_of(g).exp(-x * x)),)


@op(floating=True)
def erfinv(x):
    """y, the number whose erf is x;   dL/dx = g (sqrt pi / 2) exp(y^2)."""
    y = backend_of(x).erfinv(x)
    return y, (lambda g: g * (math.sqrt(math.pi) / 2 * backend_of(g).exp(y * y)),)


@op(floating=True)
def lgamma(x):
    """y = log |gamma(x)|;   dL/dx = g digamma(x)."""
    return backend_of(x).lgamma(x), (lambda g: g * backend_of(g).polygamma(x, n=0),)


@op(floating=True)
def polygamma(x, *, n):
    """y = the n-th derivative of digamma, which is that of log gamma;   dL/dx = g times the next one."""
    return backend_of(x).polygamma(x, n=n), (lambda g: g * backend_of(g).polygamma(x, n=n + 1),)


_LARGEST = {2: 11.0, 4: 88.0, 8: 709.0}  # for each size of a number in bytes the largest x whose exp is finite


def _sigmoid(B, x):
    """1 / (1 + e^-x), without overflow; x may be a number that arithmetic made of a 0-d array, hence B."""
    # not (1 + tanh(x/2)) / 2: that is 0 below -17 in float32, and so would be the gradient of log y
    return 1 / (1 + B.exp(B.minimum(-x, _LARGEST[x.dtype.itemsize])))


@definition("logistic")
def plain_logistic(x):
    """1 / (1 + e^-x)."""
    return _sigmoid(backend_of(x), x)


@definition("logistic_grad")
def plain_logistic_grad(g, y):
    """g y (1 - y)."""
    return g * (y * (1 - y))


FUNCTIONS.update(logistic=plain_logistic, logistic_grad=plain_logistic_grad)


@op(floating=True)
def sigmoid(x):
    """y = 1 / (1 + e^-x);   dL/dx = g y (1 - y)."""
    y = backend_of(x).logistic(x)
    return y, (lambda g: backend_of(g).logistic_grad(g, y),)


@definition("relu")
def plain_relu(x):
    """The larger one of x and 0."""
    return backend_of(x).maximum(x, 0)


@definition("relu_grad")
def plain_relu_grad(g, y):
    """g where y > 0, else 0."""
    return g * backend_of(g).greater(y, 0)


FUNCTIONS["relu_grad"] = plain_relu_grad


@op
def relu(x):
    """y = max(x, 0);   dL/dx = g where y > 0, else 0."""
    y = backend_of(x).relu(x)
    return y, (lambda g: backend_of(g).relu_grad(g, y),)


# comparison and selection: nothing to differentiate, but for `where`
@op
def equal(a, b):
    """y = (a == b)."""
    return backend_of(a, b).equal(a, b), (None, None)


@op
def not_equal(a, b):
    """y = (a != b)."""
    return backend_of(a, b).not_equal(a, b), (None, None)


@op
def greater(a, b):
    """y = (a > b)."""
    return backend_of(a, b).greater(a, b), (None, None)


@op
def greater_equal(a, b):
    """y = (a >= b)."""
    return backend_of(a, b).greater_equal(a, b), (None, None)


@op
def less(a, b):
    """y = (a < b)."""
    return backend_of(a, b).less(a, b), (None, None)


@op
def less_equal(a, b):
    """y = (a <= b)."""
    return backend_of(a, b).less_equal(a, b), (None, None)


@op
def logical_and(a, b):
    """y = (a != 0) and (b != 0)."""
    return backend_of(a, b).logical_and(a, b), (None, None)


@op
def logical_or(a, b):
    """y = (a != 0) or (b != 0)."""
    return backend_of(a, b).logical_or(a, b), (None, None)


@op
def logical_not(x):
    """y = (x == 0)."""
    return backend_of(x).logical_not(x), (None,)


@op
def bitwise_and(a, b):
    """y = the bits that both have."""
    return a & b, (None, None)


@op
def bitwise_or(a, b):
    """y = the bits that a or b has."""
    return a | b, (None, None)


@op
def bitwise_xor(a, b):
    """y = the bits that one of a and b has."""
    return a ^ b, (None, None)


@op
def left_shift(a, b):
    """y = the bits of a moved up by b places: a 2^b."""
    return a << b, (None, None)


@op
def right_shift(a, b):
    """y = the bits of a moved down by b places: floor(a / 2^b)."""
    return a >> b, (None, None)


@op
def invert(x):
    """y = the bits that x has not; of bools, not x."""
    return ~x, (None,)


@op
def isfinite(x):
    """y = x is neither infinite nor nan."""
    return backend_of(x).isfinite(x), (None,)


@op
def isnan(x):
    """y = x is nan."""
    return backend_of(x).isnan(x), (None,)


@op(promote=slice(1, None))
def where(condition, a, b):
    """y = a where condition holds, else b;   dL/da = g where it holds, else 0, and the reverse for b."""
    B = backend_of(condition)

    def da(g):
        return backend_of(g).where(condition, g, 0.0)

    def db(g):
        return backend_of(g).where(condition, 0.0, g)

    return B.where(condition, a, b), (None, da, db)
