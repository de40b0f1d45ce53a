"""Activation functions as layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from .. import functions as F
from ..tensor import Tensor
from . import functional, init
from .checks import number, positive
from .linear import new_parameter
from .module import Module


class _Plain(Module):
    """A function without options."""

    function: Callable[..., Tensor]

    def forward(self, input: Tensor) -> Tensor:
        """The function of each element."""
        return self.function(input)


class _InPlace(Module):
    """A function that can be done in place."""

    function: Callable[..., Tensor]

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of each element."""
        return self.function(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        """'inplace=True' if so."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0), in place if asked for. Shape: any, unchanged."""

    function = staticmethod(functional.relu)


class SELU(_InPlace):
    """scale x where x > 0, else scale alpha (e^x - 1); see `functional.selu`. Shape: any, unchanged."""

    function = staticmethod(functional.selu)


class SiLU(_InPlace):
    """x / (1 + e^-x). Shape: any, unchanged. Elfwing et al., 2018."""

    function = staticmethod(functional.silu)


class Mish(_InPlace):
    """x tanh(log(1 + e^x)). Shape: any, unchanged. Misra, 2019."""

    function = staticmethod(functional.mish)


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6) / 6. Shape: any, unchanged. Courbariaux et al., 2015."""

    function = staticmethod(functional.hardsigmoid)
    extra_repr = Module.extra_repr


class Hardswish(_InPlace):
    """x min(max(x + 3, 0), 6) / 6. Shape: any, unchanged. Howard et al., 2019."""

    function = staticmethod(functional.hardswish)
    extra_repr = Module.extra_repr


class Tanh(_Plain):
    """tanh x. Shape: any, unchanged."""

    function = staticmethod(functional.tanh)


class Sigmoid(_Plain):
    """1 / (1 + e^-x). Shape: any, unchanged."""

    function = staticmethod(functional.sigmoid)


class LogSigmoid(_Plain):
    """log(1 / (1 + e^-x)), without overflow. Shape: any, unchanged."""

    function = staticmethod(functional.logsigmoid)


class Softsign(_Plain):
    """x / (1 + |x|). Shape: any, unchanged."""

    function = staticmethod(functional.softsign)


class Tanhshrink(_Plain):
    """x - tanh x. Shape: any, unchanged."""

    function = staticmethod(functional.tanhshrink)


class Hardtanh(Module):
    """min(max(x, min_val), max_val). Shape: any, unchanged."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("min_value", min_value), ("max_value", max_value)):
            if value is not None:
                warnings.warn(f"Hardtanh: {name} is deprecated, use {name[:7]}", FutureWarning, stacklevel=2)
        min_val, max_val = min_val if min_value is None else min_value, max_val if max_value is None else max_value
        self.min_val, self.max_val = number(min_val, "min_val", "Hardtanh"), number(max_val, "max_val", "Hardtanh")
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: min_val must be less than max_val, got {min_val} and {max_val}")
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input, cut off at both ends."""
        return functional.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The two ends, and whether in place."""
        return f"min_val={self.min_val}, max_val={self.max_val}" + ", inplace=True" * bool(self.inplace)


class ReLU6(Hardtanh):
    """min(max(x, 0), 6). Shape: any, unchanged."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """'inplace=True' if so."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """x where x > 0, else negative_slope x. Shape: any, unchanged. Maas et al., 2013."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = number(negative_slope, "negative_slope", "LeakyReLU"), inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input, flatter where it is negative."""
        return functional.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The slope, and whether in place."""
        return f"negative_slope={self.negative_slope}" + ", inplace=True" * bool(self.inplace)


class PReLU(Module):
    """x where x > 0, else weight x, with one trained weight, or one for each of num_parameters channels.

    Parameter: weight (num_parameters), `init` at first. Shape: any with one weight, else (N, num_parameters, ...),
    unchanged. He et al., 2015.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None) -> None:
        super().__init__()
        positive("PReLU", num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, number(init, "init", "PReLU")
        self.weight = new_parameter((num_parameters,), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All weights `init`."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The input, flatter (or steeper) where it is negative."""
        return functional.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x where x > 0, else a x, with a drawn from [lower, upper) in training, their mean in `eval`.

    Shape: any, unchanged. Xu et al., 2015.
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper = number(lower, "lower", "RReLU"), number(upper, "upper", "RReLU")
        if lower > upper:
            raise ValueError(f"RReLU: lower must be at most upper, got {lower} and {upper}")
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input, flatter where it is negative."""
        return functional.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The range, and whether in place."""
        return f"lower={self.lower}, upper={self.upper}" + ", inplace=True" * bool(self.inplace)


class _Bent(Module):
    """A function with alpha that can be done in place."""

    function: Callable[..., Tensor]

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = number(alpha, "alpha", type(self).__name__), inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input, bent where it is negative."""
        return self.function(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """alpha, and whether in place."""
        return f"alpha={self.alpha}" + ", inplace=True" * bool(self.inplace)


class ELU(_Bent):
    """x where x > 0, else alpha (e^x - 1). Shape: any, unchanged. Clevert et al., 2016."""

    function = staticmethod(functional.elu)


class CELU(_Bent):
    """x where x > 0, else alpha (e^(x / alpha) - 1). Shape: any, unchanged. Barron, 2017."""

    function = staticmethod(functional.celu)


class GELU(Module):
    """x P(x), P the normal distribution's probability below x; approximate='tanh': by a formula with tanh.

    Shape: any, unchanged. Hendrycks and Gimpel, 2016.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """x P(x)."""
        return functional.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """Which formula."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + e^(beta x)) / beta, or x where beta x > threshold. Shape: any, unchanged."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = number(beta, "beta", "Softplus"), number(threshold, "threshold", "Softplus")

    def forward(self, input: Tensor) -> Tensor:
        """log(1 + e^(beta x)) / beta."""
        return functional.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The options."""
        return f"beta={self.beta}, threshold={self.threshold}"


class _Shrink(Module):
    """A function with lambd."""

    function: Callable[..., Tensor]

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = number(lambd, "lambd", type(self).__name__)

    def forward(self, input: Tensor) -> Tensor:
        """The input, 0 where it is small."""
        return self.function(input, self.lambd)

    def extra_repr(self) -> str:
        """lambd."""
        return str(self.lambd)


class Softshrink(_Shrink):
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0. Shape: any, unchanged."""

    function = staticmethod(functional.softshrink)


class Hardshrink(_Shrink):
    """x where |x| > lambd, else 0. Shape: any, unchanged."""

    function = staticmethod(functional.hardshrink)


class Threshold(Module):
    """x where x > threshold, else value. Shape: any, unchanged."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = number(threshold, "threshold", "Threshold")
        self.value, self.inplace = number(value, "value", "Threshold"), inplace

    def forward(self, input: Tensor) -> Tensor:
        """x where x > threshold, else value."""
        return functional.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """The options."""
        return f"threshold={self.threshold}, value={self.value}" + ", inplace=True" * bool(self.inplace)


class GLU(Module):
    """a / (1 + e^-b), with a and b the two halves of the input along `dim`. Dauphin et al., 2017.

    Shape: (..., 2 D, ...) to (..., D, ...).
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The first half of the input, gated by the second."""
        return functional.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class _AlongDim(Module):
    """A function along a dimension."""

    function: Callable[..., Tensor]

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The function along `dim`."""
        return self.function(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """exp(x) / sum exp(x) along `dim` (without it as in `functional.softmax`). Shape: any, unchanged."""

    function = staticmethod(functional.softmax)


class LogSoftmax(_AlongDim):
    """log softmax(x) along `dim`. Shape: any, unchanged."""

    function = staticmethod(functional.log_softmax)


class Softmin(_AlongDim):
    """softmax(-x) along `dim`. Shape: any, unchanged."""

    function = staticmethod(functional.softmin)


class Softmax2d(Module):
    """softmax over the channels of each pixel. Shape: (N, C, H, W) or (C, H, W), unchanged."""

    def forward(self, input: Tensor) -> Tensor:
        """softmax over the channels."""
        if input.array.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input (N, C, H, W) or (C, H, W), got {tuple(input.shape)}")
        return F.softmax(input, -3)
