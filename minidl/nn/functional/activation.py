"""Activation functions."""

from __future__ import annotations

import functools
import math
import warnings

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError
from ...ops import activation as A
from ...ops import elementwise as E
from ...tensor import Tensor
from ..checks import a_tensor, floating, number


def _result(name: str, input: Tensor, inplace: bool, compute) -> Tensor:
    """compute(), or with `inplace` the input itself with these values."""
    return input.assign(f"{name}_", compute) if inplace else compute()


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    a_tensor(input, "relu")
    return input.assign("relu_", functools.partial(E.relu, input)) if inplace else E.relu(input)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, inplace=True)


def tanh(input: Tensor) -> Tensor:
    """tanh x."""
    return E.tanh(a_tensor(input, "tanh"))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return E.sigmoid(a_tensor(input, "sigmoid"))


def _dim(name: str, input: Tensor, dim, stacklevel: int) -> int:
    """dim; None means, with a warning, 0 for 0, 1 or 3 dimensions and 1 for others, as it once did everywhere."""
    if dim is not None:
        return dim
    dim = 0 if a_tensor(input, name).array.ndim in (0, 1, 3) else 1
    text = f"{name}: dim was not given and is taken as {dim}, which is deprecated; give it, as in {name}(x, dim={dim})"
    warnings.warn(text, UserWarning, stacklevel=stacklevel + 1)
    return dim


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """exp(x) / sum exp(x) along `dim`; None warns and takes 0 for 0, 1 or 3 dimensions, else 1."""
    return F.softmax(input, _dim("softmax", input, dim, _stacklevel), dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """log softmax(x) along `dim`; None as in `softmax`."""
    return F.log_softmax(input, _dim("log_softmax", input, dim, _stacklevel), dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """softmax(-x) along `dim`; None as in `softmax`."""
    return F.softmax(-floating(input, "softmin"), _dim("softmin", input, dim, _stacklevel), dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """softmax((x + G) / tau) along `dim` with G = -log(-log(u)), u uniform: a differentiable sample of a class.

    hard: exactly one 1, with the gradient of the soft sample. eps changes nothing, as in PyTorch. Jang et al., 2017.
    """
    if not number(tau, "tau", "gumbel_softmax") > 0:
        raise ArgumentError(f"gumbel_softmax: tau must be positive, got {tau}")
    x = floating(logits, "gumbel_softmax")
    u = F.rand(*x.shape, dtype=x.dtype, device=x.device)
    soft = F.softmax((x - F.log(-F.log(u))) / tau, dim)
    if not hard:
        return soft
    top = F.argmax(soft, dim, keepdim=True)
    line = [-1 if k == dim % x.ndim else 1 for k in range(x.ndim)]
    one = F.eq(F.arange(x.shape[dim], device=x.device).reshape(line), top).to(x.dtype)
    return one - soft.detach() + soft


# ------------------------------------------------------------------------------------------ straight pieces, kinks
def _own(value, x: Tensor, where: str):
    """A number as the elements of x have it: integers stay integers; bools are refused."""
    kind = x.array.dtype.kind
    if kind == "b":
        raise TypeError(f"{where}: input must be numbers, got {x.dtype}; use input.float()")
    return value if kind == "f" else int(value)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    _own(6, a_tensor(input, "relu6"), "relu6")
    return _result("relu6", input, inplace, lambda: A.hardtanh(input, low=0, high=6))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(x, min_val), max_val); the slope is 0 at both ends."""
    a_tensor(input, "hardtanh")
    low, high = number(min_val, "min_val", "hardtanh"), number(max_val, "max_val", "hardtanh")
    if low > high:
        raise ArgumentError(f"hardtanh: min_val must be at most max_val, got {min_val} and {max_val}")
    low, high = _own(low, input, "hardtanh"), _own(high, input, "hardtanh")
    return _result("hardtanh", input, inplace, lambda: A.hardtanh(input, low=low, high=high))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, True)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6. Courbariaux et al., 2015."""
    x = floating(input, "hardsigmoid")
    return _result("hardsigmoid", x, inplace, lambda: (A.hardtanh(x, low=-3, high=3) + 3) * (1 / 6))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x min(max(x + 3, 0), 6) / 6. Howard et al., 2019."""
    x = floating(input, "hardswish")
    return _result("hardswish", x, inplace, lambda: A.hardswish(x))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope x. Maas et al., 2013."""
    x, slope = floating(input, "leaky_relu"), float(number(negative_slope, "negative_slope", "leaky_relu"))
    return _result("leaky_relu", x, inplace, lambda: A.prelu(x, slope))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, True)


@whole
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight x. He et al., 2015.

    Shape: input (N, C, ...), weight (C) or with one element.
    """
    x, w = floating(input, "prelu"), floating(weight, "prelu", "weight")
    if w.array.ndim > 1 and w.array.size != 1:
        raise ArgumentError(f"prelu: expected a weight with one dimension, got {tuple(w.shape)}")
    if w.array.size != 1:
        channels = x.array.shape[1] if x.array.ndim > 1 else 1
        if w.array.size != channels:
            raise ArgumentError(
                f"prelu: weight has {w.array.size} elements, expected 1 or {channels} for input {tuple(x.shape)}"
            )
        w = w.reshape(-1, *(1,) * (x.array.ndim - 2))
    elif w.array.ndim > x.array.ndim:
        w = w.reshape(())
    return A.prelu(x, w)


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x where x > 0, else a x; a is drawn evenly from [lower, upper) for each element in training, else their mean.

    Xu et al., 2015.
    """
    x, low, high = floating(input, "rrelu"), number(lower, "lower", "rrelu"), number(upper, "upper", "rrelu")
    if low > high:
        raise ArgumentError(f"rrelu: lower must be at most upper, got {lower} and {upper}")
    slope = F.rand(*x.shape, dtype=x.dtype, device=x.device) * (high - low) + low if training else (low + high) / 2
    return _result("rrelu", x, inplace, lambda: A.prelu(x, slope))


def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    a_tensor(input, "threshold")
    limit, value = number(threshold, "threshold", "threshold"), number(value, "value", "threshold")
    limit, value = _own(limit, input, "threshold"), _own(value, input, "threshold")
    return _result("threshold", input, inplace, lambda: E.where(E.less_equal(input, limit), value, input))


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return _threshold(input, threshold, value, True)


_threshold = threshold  # threshold_ has an argument of this name


def _lambda(lambd, where: str):
    if number(lambd, "lambd", where) < 0:
        raise ArgumentError(f"{where}: lambd must be at least 0, got {lambd}")
    return lambd


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0."""
    x, lambd = floating(input, "softshrink"), _lambda(lambd, "softshrink")
    return E.where(E.less_equal(E.absolute(x), lambd), 0.0, x - E.sign(x) * lambd)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    x, lambd = floating(input, "hardshrink"), number(lambd, "lambd", "hardshrink")
    return E.where(E.less_equal(E.absolute(x), lambd), 0.0, x)


# ------------------------------------------------------------------------------------------------- smooth functions
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (e^x - 1). Clevert et al., 2016."""
    x, alpha = floating(input, "elu"), number(alpha, "alpha", "elu")
    return _result("elu", x, inplace, lambda: A.elu(x, alpha=alpha))


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return elu(input, alpha, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (e^(x / alpha) - 1). Barron, 2017."""
    x = floating(input, "celu")
    if number(alpha, "alpha", "celu") == 0:
        raise ArgumentError("celu: alpha must not be 0")
    return _result("celu", x, inplace, lambda: A.elu(x, alpha=alpha, rate=1.0 / alpha))


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, True)


_SELU = {"alpha": 1.6732632423543772848170429916717, "scale": 1.0507009873554804934193349852946}


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale x where x > 0, else scale alpha (e^x - 1), scale 1.0507... and alpha 1.6732...: keeps mean 0, variance 1.

    Klambauer et al., 2017.
    """
    x = floating(input, "selu")
    return _result("selu", x, inplace, lambda: A.elu(x, **_SELU))


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return selu(input, True)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x P(x), P the normal distribution's probability below x; approximate='tanh': by a formula with tanh.

    Hendrycks and Gimpel, 2016.
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return (A.gelu_tanh if approximate == "tanh" else A.gelu)(floating(input, "gelu"))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x / (1 + e^-x), also called swish. Elfwing et al., 2018."""
    x = floating(input, "silu")
    return _result("silu", x, inplace, lambda: A.silu(x))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(log(1 + e^x)). Misra, 2019."""
    x = floating(input, "mish")
    return _result("mish", x, inplace, lambda: A.mish(x))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, or x where beta x > threshold."""
    x, limit = floating(input, "softplus"), number(threshold, "threshold", "softplus")
    if number(beta, "beta", "softplus") == 0:
        raise ArgumentError("softplus: beta must not be 0")
    return A.softplus(x, beta=beta, threshold=limit)


@whole
def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + e^-x)), without overflow."""
    return -A.softplus(-floating(input, "logsigmoid"), threshold=math.inf)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    x = a_tensor(input, "softsign")
    return x / (1 + E.absolute(x))


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh x."""
    x = a_tensor(input, "tanhshrink")
    return x - E.tanh(x)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a / (1 + e^-b), with a and b the first and the second half of the input along `dim`. Dauphin et al., 2017.

    >>> glu(F.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """
    x = floating(input, "glu")
    nd = x.array.ndim
    if nd == 0 or not -nd <= dim < nd:
        raise IndexError(f"glu: dim {dim} is out of range for input {tuple(x.shape)}")
    if x.array.shape[dim] % 2:
        raise ArgumentError(f"glu: expected an even size along dim {dim}, got input {tuple(x.shape)}")
    a, b = F.chunk(x, 2, dim) if x.array.shape[dim] else (x, x)
    return a * E.sigmoid(b)
