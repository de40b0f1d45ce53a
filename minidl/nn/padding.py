"""Padding layers: more around a line, an image or a volume, and what is in it."""

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


class _ConstantPad(_Pad):
    def __init__(self, padding, value: float) -> None:
        super().__init__(padding)
        self.value = number(value, "value", type(self).__name__)

    def extra_repr(self) -> str:
        """How much is added where, and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """`value` before and after a line. Shape: (..., L) to (..., left + L + right); padding: an int or (left, right)."""


class ConstantPad2d(_ConstantPad):
    """`value` around an image. Shape: (..., H, W) to (..., top + H + bottom, left + W + right).

    padding: an int or (left, right, top, bottom).
    """

    dims = 2


class ConstantPad3d(_ConstantPad):
    """`value` around a volume. Shape: (..., D, H, W), each size with what is added.

    padding: an int or (left, right, top, bottom, front, back).
    """

    dims = 3


class _Zeros(_ConstantPad):
    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """How much is added where."""
        return str(self.padding)


class ZeroPad1d(_Zeros, ConstantPad1d):
    """Zeros before and after a line. Shape: (..., L) to (..., left + L + right); padding: an int or (left, right)."""


class ZeroPad2d(_Zeros, ConstantPad2d):
    """Zeros around an image. padding: an int or (left, right, top, bottom); Shape: as ConstantPad2d.

    >>> from minidl import ones
    >>> ZeroPad2d((1, 0, 0, 0))(ones(1, 1, 1, 2))
    tensor([[[[0., 1., 1.]]]])
    """


class ZeroPad3d(_Zeros, ConstantPad3d):
    """Zeros around a volume. padding: an int or (left, right, top, bottom, front, back); Shape: as ConstantPad3d."""


class ReflectionPad1d(_Pad):
    """The line mirrored at its ends, which are not repeated. Shape: (N, C, L) or (C, L); as ConstantPad1d."""

    mode = "reflect"


class ReflectionPad2d(_Pad):
    """The image mirrored at its edges, which are not repeated. Shape: (N, C, H, W) or (C, H, W); as ConstantPad2d."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The volume mirrored at its faces. Shape: (N, C, D, H, W) or (C, D, H, W); as ConstantPad3d."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The first and the last value repeated. Shape: (N, C, L) or (C, L); as ConstantPad1d."""

    mode = "replicate"


class ReplicationPad2d(_Pad):
    """The values at the edges repeated. Shape: (N, C, H, W) or (C, H, W); as ConstantPad2d."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The values at the faces repeated. Shape: (N, C, D, H, W) or (C, D, H, W); as ConstantPad3d."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Before the line its end, after it its beginning. Shape: (N, C, L) or (C, L); as ConstantPad1d."""

    mode = "circular"


class CircularPad2d(_Pad):
    """The image as if it were repeated endlessly. Shape: (N, C, H, W) or (C, H, W); as ConstantPad2d."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The volume as if it were repeated endlessly. Shape: (N, C, D, H, W) or (C, D, H, W); as ConstantPad3d."""

    dims, mode = 3, "circular"
