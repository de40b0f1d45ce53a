"""Padding layers: more around a line or an image, and what is in it."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import ints, number
from .module import Module


class _Pad(Module):
    dims = 1
    mode = "constant"
    value: float | None = None

    def __init__(self, padding) -> None:
        super().__init__()
        self.padding = ints(padding, 2 * self.dims, "padding", type(self).__name__, low=-(2**62))

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        ndim = input.array.ndim
        if self.mode != "constant" and ndim - self.dims not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: expected input with {self.dims + 1} or {self.dims + 2} dimensions, "
                f"got {tuple(input.shape)}"
            )
        return functional.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """How much is added where."""
        return str(self.padding)


class ConstantPad1d(_Pad):
    """`value` before and after a line. Shape: (..., L) to (..., left + L + right); padding: an int or (left, right)."""

    def __init__(self, padding, value: float) -> None:
        super().__init__(padding)
        self.value = number(value, "value", type(self).__name__)

    def extra_repr(self) -> str:
        """How much is added where, and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """`value` around an image. Shape: (..., H, W) to (..., top + H + bottom, left + W + right).

    padding: an int or (left, right, top, bottom).
    """

    dims = 2


class ZeroPad1d(_Pad):
    """Zeros before and after a line. Shape: (..., L) to (..., left + L + right); padding: an int or (left, right)."""

    value = 0.0


class ZeroPad2d(_Pad):
    """Zeros around an image. padding: an int or (left, right, top, bottom); Shape: as ConstantPad2d.

    >>> from minidl import ones
    >>> ZeroPad2d((1, 0, 0, 0))(ones(1, 1, 1, 2))
    tensor([[[[0., 1., 1.]]]])
    """

    dims, value = 2, 0.0


class ReflectionPad1d(_Pad):
    """The line mirrored at its ends, which are not repeated. Shape: (N, C, L) or (C, L); as ConstantPad1d."""

    mode = "reflect"


class ReflectionPad2d(_Pad):
    """The image mirrored at its edges, which are not repeated. Shape: (N, C, H, W) or (C, H, W); as ConstantPad2d."""

    dims, mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """The first and the last value repeated. Shape: (N, C, L) or (C, L); as ConstantPad1d."""

    mode = "replicate"


class ReplicationPad2d(_Pad):
    """The values at the edges repeated. Shape: (N, C, H, W) or (C, H, W); as ConstantPad2d."""

    dims, mode = 2, "replicate"


class CircularPad1d(_Pad):
    """Before the line its end, after it its beginning. Shape: (N, C, L) or (C, L); as ConstantPad1d."""

    mode = "circular"


class CircularPad2d(_Pad):
    """The image as if it were repeated endlessly. Shape: (N, C, H, W) or (C, H, W); as ConstantPad2d."""

    dims, mode = 2, "circular"
