"""Functions that treat every element by itself: arithmetic, comparison, exponentials, angles, bits."""

from __future__ import annotations

import builtins
import math

import numpy as np

from ..amp.casting import whole
from ..backend import backend_of
from ..backend.dtypes import float64, int64
from ..creation import full, zeros
from ..modes import mode
from ..ops import elementwise as E
from ..tensor import Tensor, wrap
from .arguments import a_tensor, floating
from .shape import stack

__all__ = """
    abs absolute acos acosh add addcdiv addcmul allclose arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin
    asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil
    clamp clamp_max clamp_min clip copysign cos cosh deg2rad div divide eq equal erf erfc exp exp2 expm1 fix
    float_power floor floor_divide fmax fmin fmod frac ge greater greater_equal gt heaviside hypot isclose isfinite
    isin isinf isnan isneginf isposinf isreal le lerp less less_equal log log10 log1p log2 logaddexp logaddexp2
    logical_and logical_not logical_or logical_xor logit lt masked_fill maximum minimum mul multiply nan_to_num ne neg
    negative nonzero not_equal positive pow rad2deg reciprocal relu remainder round rsqrt rsub sgn sigmoid sign
    signbit sin sinc sinh sqrt square sub subtract tan tanh true_divide trunc where xlogy
""".split()


def _legacy(input, other, last, alpha, name):
    """PyTorch's old order `add(input, alpha, other)`."""
    if last is None:
        return other, alpha
    if isinstance(other, Tensor) or not isinstance(last, Tensor):
        raise TypeError(f"{name}: expected two operands, or the old order (input, alpha, other), got three")
    return last, other


def add(input, other, last=None, *, alpha=1) -> Tensor:
    """input + alpha other; also in PyTorch's old order (input, alpha, other)."""
    other, alpha = _legacy(input, other, last, alpha, "add")
    return E.add(input, other if alpha == 1 else other * alpha)


def sub(input, other, last=None, *, alpha=1) -> Tensor:
    """input - alpha other; also in PyTorch's old order (input, alpha, other)."""
    other, alpha = _legacy(input, other, last, alpha, "sub")
    return E.subtract(input, other if alpha == 1 else other * alpha)


def rsub(input, other, *, alpha=1) -> Tensor:
    """other - alpha input."""
    return E.subtract(other, input if alpha == 1 else input * alpha)


def mul(input, other) -> Tensor:
    """input times other, element by element."""
    return E.multiply(input, other)


def div(input, other, *, rounding_mode=None) -> Tensor:
    """input / other; rounding_mode 'floor' rounds down, 'trunc' towards zero."""
    if rounding_mode not in (None, "floor", "trunc"):
        raise ValueError(f"div: rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}")
    if rounding_mode == "floor":
        return E.floor_divide(input, other)
    if rounding_mode == "trunc" and all(_kind(x) != "f" for x in (input, other)):
        return E.floor_divide(E.subtract(input, E.fmod(input, other)), other)  # without rest: exact
    y = E.divide(input, other)
    return y if rounding_mode is None else E.trunc(y)


def _kind(x) -> str:
    """The kind of a Tensor's dtype; a number's is 'f' or 'i'."""
    return x.array.dtype.kind if isinstance(x, Tensor) else "f" if isinstance(x, builtins.float) else "i"


def pow(input, exponent) -> Tensor:
    """input to the power `exponent`."""
    if exponent.__class__ is int and exponent == 2:
        return E.square(input)
    return E.power(input, exponent)


def float_power(input, exponent) -> Tensor:
    """input to the power `exponent`, in double precision."""
    base, exponent = (x.to(float64) if isinstance(x, Tensor) else builtins.float(x) for x in (input, exponent))
    return E.power(base, exponent)


def _factors(tensor1, tensor2, last, value, name):
    """PyTorch's old order `addcmul(input, value, tensor1, tensor2)`."""
    if last is not None:
        value, tensor1, tensor2 = tensor1, tensor2, last
    if isinstance(value, Tensor):
        raise TypeError(f"{name}: value must be a number, got a Tensor of shape {tuple(value.shape)}")
    return tensor1, tensor2, value


def addcmul(input, tensor1, tensor2, last=None, *, value=1) -> Tensor:
    """input + value tensor1 tensor2; also in PyTorch's old order (input, value, tensor1, tensor2)."""
    tensor1, tensor2, value = _factors(tensor1, tensor2, last, value, "addcmul")
    return E.add(input, tensor1 * tensor2 if value == 1 else tensor1 * tensor2 * value)


def addcdiv(input, tensor1, tensor2, last=None, *, value=1) -> Tensor:
    """input + value tensor1 / tensor2; also in PyTorch's old order (input, value, tensor1, tensor2)."""
    tensor1, tensor2, value = _factors(tensor1, tensor2, last, value, "addcdiv")
    return E.add(input, tensor1 / tensor2 if value == 1 else tensor1 / tensor2 * value)


def lerp(input, end, weight) -> Tensor:
    """input + weight (end - input): on the way from input to end."""
    return E.add(input, (end - input) * weight)


def clamp(input, min=None, max=None) -> Tensor:
    """input limited to [min, max]; the bounds are numbers or Tensors."""
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        y = input if min is None else E.where(E.less(input, min), min, input)
        return y if max is None else E.where(E.greater(y, max), max, y)
    if float in (min.__class__, max.__class__) and input.array.dtype.kind != "f":
        input = input.to(mode.dtype)
    return E.clip(input, low=min, high=max)


def clamp_min(input, min) -> Tensor:
    """input, but at least `min`."""
    return clamp(input, min)


def clamp_max(input, max) -> Tensor:
    """input, but at most `max`."""
    return clamp(input, None, max)


def where(condition, input=None, other=None):
    """input where condition holds, else other; with the condition alone, the indices where it holds."""
    if input is None:
        return nonzero(condition, as_tuple=True)
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):  # two numbers: their type decides
        input = full((), input, device=condition.device)
    return E.where(condition, input, other)


def nonzero(input, *, as_tuple=False):
    """The indices of the elements that are not 0: a row for each, or a tuple with a Tensor for each dimension."""
    x = a_tensor("nonzero", input).array
    if not x.ndim:  # PyTorch's rule: as a vector in the tuple, without columns in the matrix
        x = x.reshape(1)
        if not as_tuple:
            n = len(backend_of(x).nonzero(x)[0])
            return zeros(n, 0, dtype=int64, device=input.device)
    found = [wrap(i) for i in backend_of(x).nonzero(x)]
    return tuple(found) if as_tuple else stack(found, 1) if found else zeros(1, 0, dtype=int64)


def masked_fill(input, mask, value) -> Tensor:
    """value where the mask holds, else input."""
    return E.where(mask, value, input)


# ------------------------------------------------------------------------------------ ops with PyTorch's signatures
def _unary(op, name=None):
    name = name or op.__name__

    def function(input) -> Tensor:
        return op(input if isinstance(input, Tensor) else a_tensor(name, input))

    function.__name__, function.__doc__ = name, op.__doc__
    vars(function)["raw"] = op  # a method needs no name for its argument
    return function


def _binary(op, name=None):
    def function(input, other) -> Tensor:
        return op(input, other)

    function.__name__, function.__doc__ = name or op.__name__, op.__doc__
    return function


abs, neg, square, sqrt, exp, expm1 = map(_unary, (E.absolute, E.negative, E.square, E.sqrt, E.exp, E.expm1))
log, log2, log10, log1p, erf, erfc = map(_unary, (E.log, E.log2, E.log10, E.log1p, E.erf, E.erfc))
sin, cos, tan, sinh, cosh, tanh = map(_unary, (E.sin, E.cos, E.tan, E.sinh, E.cosh, E.tanh))
asin, acos, atan = _unary(E.arcsin, "asin"), _unary(E.arccos, "acos"), _unary(E.arctan, "atan")
asinh, acosh, atanh = _unary(E.arcsinh, "asinh"), _unary(E.arccosh, "acosh"), _unary(E.arctanh, "atanh")
sigmoid, relu, sign, sgn = _unary(E.sigmoid), _unary(E.relu), _unary(E.sign), _unary(E.sign, "sgn")
floor, ceil, trunc = _unary(E.floor), _unary(E.ceil), _unary(E.trunc)
logical_not, isfinite, isnan = _unary(E.logical_not), _unary(E.isfinite), _unary(E.isnan)
eq, ne, gt = _binary(E.equal, "eq"), _binary(E.not_equal, "ne"), _binary(E.greater, "gt")
ge, lt, le = _binary(E.greater_equal, "ge"), _binary(E.less, "lt"), _binary(E.less_equal, "le")
logical_and, logical_or = _binary(E.logical_and), _binary(E.logical_or)
maximum, minimum, hypot, logaddexp = map(_binary, (E.maximum, E.minimum, E.hypot, E.logaddexp))
remainder, floor_divide, fmod, atan2 = *map(_binary, (E.remainder, E.floor_divide, E.fmod)), _binary(E.arctan2, "atan2")
absolute, negative, clip, fix = abs, neg, clamp, trunc
subtract, multiply, divide, true_divide = sub, mul, div, div
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
arcsin, arccos, arctan, arctan2, arcsinh, arccosh, arctanh = asin, acos, atan, atan2, asinh, acosh, atanh


def round(input, *, decimals=0) -> Tensor:
    """The nearest whole number, ties to the even one; `decimals` digits after the point (before it, if negative)."""
    if a_tensor("round", input).array.dtype.kind != "f" and not decimals:
        return positive(input).clone()
    if not decimals:
        return E.rint(input)
    floating("round with decimals", input)
    scale = 10.0 ** builtins.abs(decimals)
    return E.rint(input * scale) / scale if decimals > 0 else E.rint(input / scale) * scale


def positive(input) -> Tensor:
    """input itself."""
    if a_tensor("positive", input).array.dtype.kind == "b":
        raise RuntimeError("positive: bools have no sign; use input.int()")
    return input


def reciprocal(input) -> Tensor:
    """1 / input."""
    return E.divide(1, input)


@whole
def rsqrt(input) -> Tensor:
    """1 / sqrt(input)."""
    return E.divide(1, E.sqrt(input))


@whole
def exp2(input) -> Tensor:
    """2 to the power of input."""
    return E.power(2.0, input)


def frac(input) -> Tensor:
    """What follows the point, with the sign of input."""
    return E.subtract(input, E.trunc(input))


def deg2rad(input) -> Tensor:
    """Degrees in radians."""
    return E.multiply(input, math.pi / 180.0)


def rad2deg(input) -> Tensor:
    """Radians in degrees."""
    return E.multiply(input, 180.0 / math.pi)


@whole
def sinc(input) -> Tensor:
    """sin(pi input) / (pi input), and 1 at 0."""
    zero = E.equal(input, 0)
    x = E.where(zero, 1.0, input) * math.pi
    return E.where(zero, 1.0, E.sin(x) / x)


@whole
def logit(input, eps=None) -> Tensor:
    """log(x / (1 - x)), of x = input limited to [eps, 1 - eps] if eps is given."""
    x = a_tensor("logit", input) if input.array.dtype.kind == "f" else input.to(mode.dtype)
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return E.log(x / (1 - x))


def logaddexp2(input, other) -> Tensor:
    """log2(2^input + 2^other), without overflow."""
    return E.logaddexp(input * math.log(2), other * math.log(2)) / math.log(2)


@whole
def xlogy(input, other) -> Tensor:
    """input log(other), and 0 where input is 0 (unless other is nan)."""
    device = (input if isinstance(input, Tensor) else other).device
    input, other = (x if isinstance(x, Tensor) else full((), x, device=device) for x in (input, other))
    return input * E.log(E.where(E.logical_and(E.equal(input, 0), E.less_equal(other, 0)), 1.0, other))


def nan_to_num(input, nan=0.0, posinf=None, neginf=None) -> Tensor:
    """input with `nan` for nan, and the largest and smallest finite numbers (or posinf, neginf) for the infinities."""
    if a_tensor("nan_to_num", input).array.dtype.kind != "f":
        return input.clone()
    largest = builtins.float(np.finfo(input.array.dtype).max)
    y = E.where(E.isnan(input), 0.0 if nan is None else builtins.float(nan), input)
    y = E.where(isposinf(input), largest if posinf is None else builtins.float(posinf), y)
    return E.where(isneginf(input), -largest if neginf is None else builtins.float(neginf), y)


def heaviside(input, values) -> Tensor:
    """0 below 0, 1 above, and `values` at 0."""
    if a_tensor("heaviside", values, "values").dtype != a_tensor("heaviside", input).dtype:
        raise RuntimeError(f"heaviside: input and values must have one dtype, got {input.dtype} and {values.dtype}")
    return E.where(E.equal(input, 0), values.detach(), E.greater(input, 0).to(input.dtype))


def copysign(input, other) -> Tensor:
    """|input| with the sign of other (-0.0 counts as negative)."""
    if a_tensor("copysign", input).array.dtype.kind != "f":
        input = input.to(mode.dtype)
    if not isinstance(other, Tensor):
        return E.absolute(input) * (-1 if math.copysign(1.0, other) < 0 else 1)
    return E.absolute(input) * E.where(signbit(other), -1, 1)


def fmax(input, other) -> Tensor:
    """The larger of two; a number is larger than nan."""
    return E.where(E.logical_or(E.greater_equal(input, other), E.isnan(other)), input, other)


def fmin(input, other) -> Tensor:
    """The smaller of two; a number is smaller than nan."""
    return E.where(E.logical_or(E.less_equal(input, other), E.isnan(other)), input, other)


# ------------------------------------------------------------------------------------------------ bits and questions
def _bits(name, op):
    def function(input, other) -> Tensor:
        for x in (input, other):
            if _kind(x) == "f":
                raise TypeError(f"{name}: expected integers or bools, got {getattr(x, 'dtype', 'a float')}")
        return op(input, other)

    function.__name__, function.__doc__ = name, op.__doc__
    return function


bitwise_and, bitwise_or = _bits("bitwise_and", E.bitwise_and), _bits("bitwise_or", E.bitwise_or)
bitwise_xor = _bits("bitwise_xor", E.bitwise_xor)
bitwise_left_shift = _bits("bitwise_left_shift", E.left_shift)
bitwise_right_shift = _bits("bitwise_right_shift", E.right_shift)


def bitwise_not(input) -> Tensor:
    """The bits that input has not; of bools, `logical_not`."""
    if a_tensor("bitwise_not", input).array.dtype.kind == "f":
        raise TypeError(f"bitwise_not: expected integers or bools, got {input.dtype}")
    return E.invert(input)


def logical_xor(input, other) -> Tensor:
    """Whether one of the two is 0 and the other not."""
    return E.not_equal(E.not_equal(input, 0), E.not_equal(other, 0))


def isinf(input) -> Tensor:
    """Whether each element is infinite."""
    return E.equal(E.absolute(input), math.inf)


def isposinf(input) -> Tensor:
    """Whether each element is +infinity."""
    return E.equal(input, math.inf)


def isneginf(input) -> Tensor:
    """Whether each element is -infinity."""
    return E.equal(input, -math.inf)


def isreal(input) -> Tensor:
    """True everywhere: there are no complex numbers."""
    return E.equal(E.zeros_like(input), 0)


def signbit(input) -> Tensor:
    """Whether each element's sign is negative, that of -0.0 included."""
    if input.array.dtype.kind != "f":
        return E.less(input, 0)
    B = backend_of(input.array)
    return wrap(B.asarray(B.signbit(input.array)))  # of a 0-d array NumPy gives a number


def isin(elements, test_elements, *, assume_unique=False, invert=False) -> Tensor:
    """Whether each element occurs among the `test_elements`; assume_unique only concerns speed."""
    elements, tests = (
        x if isinstance(x, Tensor) else full((), x, device=getattr(y, "device", None))
        for x, y in ((elements, test_elements), (test_elements, elements))
    )
    found = E.equal(elements.unsqueeze(-1), tests.reshape(-1)).any(-1)
    return E.logical_not(found) if invert else found


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> Tensor:
    """Whether |input - other| <= atol + rtol |other|, element by element."""
    B = backend_of(input.array)
    return wrap(B.asarray(B.isclose(input.array, other.array, rtol=rtol, atol=atol, equal_nan=equal_nan)))


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> builtins.bool:
    """Whether all elements are close; see `isclose`."""
    return builtins.bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input, other) -> builtins.bool:
    """Whether two Tensors have one shape and the same elements."""
    return input.array.shape == other.array.shape and builtins.bool((input == other).all())
