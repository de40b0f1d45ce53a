"""The fully connected layer, and the layers that only rearrange."""

from __future__ import annotations

import math

import numpy as np

from .. import functions as F
from ..backend import ArgumentError, default_device, get_backend
from ..backend import device as as_device
from ..backend.dtypes import as_dtype
from ..modes import mode
from ..tensor import Parameter, Tensor
from . import functional, init
from .checks import positive
from .module import Module


def new_parameter(shape, device=None, dtype=None) -> Parameter:
    """A Parameter whose values are still to be set."""
    where = default_device() if device is None else as_device(device)
    dtype = mode.dtype if dtype is None else as_dtype(dtype)
    return Parameter(get_backend(where).from_host(np.empty(shape, dtype.dtype), where))


def reset_weight_and_bias(weight: Parameter, bias: Parameter | None) -> None:
    """Both uniform in +-1/sqrt(fan_in), the default of Linear and of the convolutions."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(math.prod(weight.array.shape[1:]))
        init.uniform_(bias, -bound, bound)


class Linear(Module):
    """y = x W^T + b.

    Parameters: weight (out_features, in_features) and bias (out_features), uniform in +-1/sqrt(in_features).
    Shape: (..., in_features) to (..., out_features).

    >>> Linear(20, 30)(F.zeros(128, 20)).shape
    minidl.Size([128, 30])
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__()
        positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = new_parameter((out_features, in_features), device, dtype)
        self.register_parameter("bias", new_parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """x W^T + b."""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, and whether there is a bias."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y[o] = sum over i and j of x1[i] weight[o, i, j] x2[j], + bias[o].

    Parameters: weight (out_features, in1_features, in2_features) and bias (out_features), uniform in
    +-1/sqrt(in1_features). Shape: (..., in1_features) and (..., in2_features) to (..., out_features).

    >>> Bilinear(20, 30, 40)(F.zeros(128, 20), F.zeros(128, 30)).shape
    minidl.Size([128, 40])
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        positive("Bilinear", in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = new_parameter((out_features, in1_features, in2_features), device, dtype)
        self.register_parameter("bias", new_parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias."""
        for p in self.parameters():
            init.uniform_(p, -1 / math.sqrt(self.in1_features), 1 / math.sqrt(self.in1_features))

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """The products of both inputs with the weight."""
        return functional.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, and whether there is a bias."""
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class Identity(Module):
    """y = x, whatever the arguments: a layer that is not there."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input itself."""
        return input


class Flatten(Module):
    """The dimensions start_dim ... end_dim as one.

    Shape: (N, C, H, W) to (N, C H W) by default.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        for name, dim in (("start_dim", start_dim), ("end_dim", end_dim)):
            if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool):
                raise TypeError(f"Flatten: {name} must be an int, got {dim!r}")
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """The input with these dimensions as one."""
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The two dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several: the opposite of Flatten. unflattened_size may hold one -1.

    Shape: (..., D, ...) to (..., *unflattened_size, ...).

    >>> Unflatten(1, (2, 3))(F.zeros(4, 6)).shape
    minidl.Size([4, 2, 3])
    """

    def __init__(self, dim: int, unflattened_size) -> None:
        super().__init__()
        if isinstance(dim, str):
            raise NotImplementedError("Unflatten: named dimensions are not supported")
        if not isinstance(dim, int) or isinstance(dim, bool):
            raise TypeError(f"Unflatten: dim must be an int, got {dim!r}")
        sizes = tuple(unflattened_size) if isinstance(unflattened_size, (tuple, list)) else ()
        if not sizes or not all(isinstance(n, int) and not isinstance(n, bool) for n in sizes):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        self.dim, self.unflattened_size = dim, sizes

    def forward(self, input: Tensor) -> Tensor:
        """The input with this dimension as several."""
        shape = tuple(input.array.shape)
        if not -len(shape) <= self.dim < len(shape):
            raise IndexError(f"Unflatten: dim {self.dim} is out of range for input {shape}")
        dim, sizes = self.dim % len(shape), list(self.unflattened_size)
        known = math.prod([n for n in sizes if n != -1])
        if sizes.count(-1) == 1 and known > 0 and shape[dim] % known == 0:
            sizes[sizes.index(-1)] = shape[dim] // known
        if min(sizes) < 0 or math.prod(sizes) != shape[dim]:
            raise ArgumentError(
                f"Unflatten: dim {self.dim} of input {shape} cannot become {self.unflattened_size}: it has {shape[dim]}"
            )
        return F.reshape(input, (*shape[:dim], *sizes, *shape[dim + 1 :]))

    def extra_repr(self) -> str:
        """The dimension and its sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
