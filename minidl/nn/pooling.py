"""Pooling layers: the largest value, or the mean, of each window of a line or an image."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import ints
from .module import Module


class _Pool(Module):
    dims = 2

    def _size(self, value, name: str, low: int = 1):
        ints(value, self.dims, name, type(self).__name__, low)  # checked as one or two, kept (and printed) as given
        return value


class _MaxPool(_Pool):
    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices: bool = False, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size = self._size(kernel_size, "kernel_size")
        self.stride = self.kernel_size if stride is None else self._size(stride, "stride")
        self.padding, self.dilation = self._size(padding, "padding", 0), self._size(dilation, "dilation")
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor):
        """The largest value in each window."""
        function = functional.max_pool1d if self.dims == 1 else functional.max_pool2d
        return function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest value in each window of a line; see `functional.max_pool1d`.

    Shape: (N, C, L) to (N, C, P) with P as in MaxPool2d. return_indices: the result is (values, positions).
    """

    dims = 1


class MaxPool2d(_MaxPool):
    """The largest value in each window; see `functional.max_pool2d`.

    Shape: (N, C, H, W) to (N, C, P, Q) with P = floor((H + 2 padding - dilation (K - 1) - 1) / stride) + 1, where
    stride is kernel_size if not given; ceil_mode rounds up. return_indices: the result is (values, positions).
    """


class _AvgPool(_Pool):
    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of a line; see `functional.avg_pool1d`.

    Shape: as MaxPool1d. count_include_pad: zeros of the padding count.
    """

    dims = 1

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size = ints(kernel_size, 1, "kernel_size", "AvgPool1d")
        self.stride = self.kernel_size if stride is None else ints(stride, 1, "stride", "AvgPool1d")
        self.padding = ints(padding, 1, "padding", "AvgPool1d", 0)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The mean of each window."""
        return functional.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AvgPool2d(_AvgPool):
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
        self.kernel_size = self._size(kernel_size, "kernel_size")
        self.stride = self.kernel_size if stride is None else self._size(stride, "stride")
        self.padding = self._size(padding, "padding", 0)
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


class _Adaptive(Module):
    dims = 2

    def __init__(self, output_size) -> None:
        super().__init__()
        given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * self.dims
        ints(tuple([1 if n is None else n for n in given]), self.dims, "output_size", type(self).__name__)
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size of the output."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The means of output_size windows that cover the line; see `functional.adaptive_avg_pool1d`.

    Shape: (N, C, L) to (N, C, output_size).
    """

    dims = 1

    def forward(self, input: Tensor) -> Tensor:
        """The mean of each window."""
        return functional.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """The means of P x Q windows that cover the image; see `functional.adaptive_avg_pool2d`.

    output_size: an int or two, each may be None for the size that there is. Shape: (N, C, H, W) to (N, C, P, Q).
    """

    def forward(self, input: Tensor) -> Tensor:
        """The mean of each window."""
        return functional.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveMaxPool1d(_Adaptive):
    """The largest values of output_size windows that cover the line; see `functional.adaptive_max_pool1d`.

    Shape: (N, C, L) to (N, C, output_size). return_indices: the result is (values, positions).
    """

    dims = 1

    def __init__(self, output_size, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor):
        """The largest value of each window."""
        return functional.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_Adaptive):
    """The largest values of P x Q windows that cover the image; see `functional.adaptive_max_pool2d`.

    output_size: an int or two, each may be None for the size that there is. Shape: (N, C, H, W) to (N, C, P, Q).
    return_indices: the result is (values, positions).
    """

    def __init__(self, output_size, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor):
        """The largest value of each window."""
        return functional.adaptive_max_pool2d(input, self.output_size, self.return_indices)
