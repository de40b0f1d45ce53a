"""Pooling layers: the largest value, or the mean, of each window of an image."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import pair
from .module import Module


def _size(value, name, where, low=1):
    pair(value, name, where, low)  # checked as two, kept (and printed) as given
    return value


class MaxPool2d(Module):
    """The largest value in each window; see `functional.max_pool2d`.

    Shape: (N, C, H, W) to (N, C, P, Q) with P = floor((H + 2 padding - dilation (K - 1) - 1) / stride) + 1, where
    stride is kernel_size if not given; ceil_mode rounds up. return_indices: the result is (values, positions).
    """

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices: bool = False, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size = _size(kernel_size, "kernel_size", "MaxPool2d")
        self.stride = self.kernel_size if stride is None else _size(stride, "stride", "MaxPool2d")
        self.padding = _size(padding, "padding", "MaxPool2d", 0)
        self.dilation = _size(dilation, "dilation", "MaxPool2d")
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor):
        """The largest value in each window."""
        return functional.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window; see `functional.avg_pool2d`.

    Shape: as MaxPool2d. count_include_pad: zeros of the padding count; divisor_override: what the sums are divided by.
    """

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = _size(kernel_size, "kernel_size", "AvgPool2d")
        self.stride = self.kernel_size if stride is None else _size(stride, "stride", "AvgPool2d")
        self.padding = _size(padding, "padding", "AvgPool2d", 0)
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """The mean of each window."""
        return functional.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
