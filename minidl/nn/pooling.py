"""Pooling layers: the largest value, the mean or a norm of each window of a line, an image or a volume."""

from __future__ import annotations

from collections.abc import Callable

from ..tensor import Tensor
from . import functional
from .checks import ints, number
from .module import Module


class _Pool(Module):
    dims = 2

    def _size(self, value, name: str, low: int = 1):
        ints(value, self.dims, name, type(self).__name__, low)  # checked as one or two, kept (and printed) as given
        return value


class _MaxPool(_Pool):
    function: Callable = staticmethod(functional.max_pool2d)

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
        return self.function(
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
    function = staticmethod(functional.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest value in each window; see `functional.max_pool2d`.

    Shape: (N, C, H, W) to (N, C, P, Q) with P = floor((H + 2 padding - dilation (K - 1) - 1) / stride) + 1, where
    stride is kernel_size if not given; ceil_mode rounds up. return_indices: the result is (values, positions).
    """


class MaxPool3d(_MaxPool):
    """The largest value in each window of a volume; see `functional.max_pool3d`.

    Shape: (N, C, D, H, W) to (N, C, O, P, Q), each size as in MaxPool2d.
    """

    dims = 3
    function = staticmethod(functional.max_pool3d)


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


class _AvgPoolOfSpace(_AvgPool):
    function: Callable[..., Tensor] = staticmethod(functional.avg_pool2d)

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
        return self.function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool2d(_AvgPoolOfSpace):
    """The mean of each window; see `functional.avg_pool2d`.

    Shape: as MaxPool2d. count_include_pad: zeros of the padding count; divisor_override: what the sums are divided by.
    """


class AvgPool3d(_AvgPoolOfSpace):
    """The mean of each window of a volume; see `functional.avg_pool3d`. Shape: as MaxPool3d."""

    dims = 3
    function = staticmethod(functional.avg_pool3d)


class _LPPool(_Pool):
    function: Callable[..., Tensor] = staticmethod(functional.lp_pool2d)

    def __init__(self, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = number(norm_type, "norm_type", type(self).__name__)
        self.kernel_size = self._size(kernel_size, "kernel_size")
        self.stride = None if stride is None else self._size(stride, "stride")
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """The norm of each window."""
        return self.function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum of x^p)^(1/p) of each window of a line, p = norm_type; see `functional.lp_pool1d`. Shape: as MaxPool1d."""

    dims = 1
    function = staticmethod(functional.lp_pool1d)


class LPPool2d(_LPPool):
    """LPPool1d for images. Shape: as MaxPool2d."""


class LPPool3d(_LPPool):
    """LPPool1d for volumes. Shape: as MaxPool3d."""

    dims = 3
    function = staticmethod(functional.lp_pool3d)


class _MaxUnpool(_Pool):
    function: Callable[..., Tensor] = staticmethod(functional.max_unpool2d)

    def __init__(self, kernel_size, stride=None, padding=0) -> None:
        super().__init__()
        name, dims = type(self).__name__, self.dims
        self.kernel_size = ints(kernel_size, dims, "kernel_size", name)
        self.stride = self.kernel_size if stride is None else ints(stride, dims, "stride", name)
        self.padding = ints(padding, dims, "padding", name, 0)

    def forward(self, input: Tensor, indices: Tensor, output_size=None) -> Tensor:
        """Zeros, with the input's values at their positions."""
        return self.function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """MaxPool1d undone: zeros, with the values at the positions that return_indices=True gave.

    Called with (input, indices, output_size=None); see `functional.max_unpool1d`.
    Shape: (N, C, P) to (N, C, (P - 1) stride - 2 padding + kernel_size), or output_size. Zeiler et al., 2011.
    """

    dims = 1
    function = staticmethod(functional.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """MaxPool2d undone, as MaxUnpool1d. Shape: (N, C, P, Q) to (N, C, H, W).

    >>> from minidl import arange
    >>> x = arange(16.0).reshape(1, 1, 4, 4)
    >>> MaxUnpool2d(2)(*MaxPool2d(2, return_indices=True)(x))[0, 0, 1]
    tensor([0., 5., 0., 7.])
    """


class MaxUnpool3d(_MaxUnpool):
    """MaxPool3d undone, as MaxUnpool1d. Shape: (N, C, O, P, Q) to (N, C, D, H, W)."""

    dims = 3
    function = staticmethod(functional.max_unpool3d)


class _FractionalMaxPool(_Pool):
    function: Callable = staticmethod(functional.fractional_max_pool2d)

    def __init__(
        self, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
    ) -> None:
        super().__init__()
        name, dims = type(self).__name__, self.dims
        self.kernel_size, self.return_indices = ints(kernel_size, dims, "kernel_size", name), return_indices
        self.register_buffer("_random_samples", _random_samples)
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{name}: expected output_size or output_ratio, got {output_size!r} and {output_ratio!r}")
        self.output_size = None if output_size is None else ints(output_size, dims, "output_size", name)
        self.output_ratio: tuple[float, ...] | None = None
        if output_ratio is not None:
            several = isinstance(output_ratio, (tuple, list))
            self.output_ratio = tuple(output_ratio) if several else (output_ratio,) * dims
            if len(self.output_ratio) != dims or not all(0 < r < 1 for r in self.output_ratio):
                raise ValueError(f"{name}: output_ratio must be {dims} numbers between 0 and 1, got {output_ratio!r}")

    def forward(self, input: Tensor):
        """The largest value in each window."""
        size, ratio = self.output_size, self.output_ratio
        return self.function(input, self.kernel_size, size, ratio, self.return_indices, self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest value in each of output_size windows at random distances; see `functional.fractional_max_pool2d`.

    output_size, or output_ratio (between 0 and 1) of the input's size. _random_samples (N, C, 2): a buffer with the
    random numbers to use; otherwise new ones are drawn in every call, in `eval` too. return_indices: the result is
    (values, positions). Shape: (N, C, H, W) to (N, C, *output_size). Graham, 2014.
    """


class FractionalMaxPool3d(_FractionalMaxPool):
    """FractionalMaxPool2d for volumes. Shape: (N, C, D, H, W) to (N, C, *output_size); _random_samples (N, C, 3)."""

    dims = 3
    function = staticmethod(functional.fractional_max_pool3d)


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


class AdaptiveAvgPool3d(_Adaptive):
    """The means of O x P x Q windows that cover the volume; see `functional.adaptive_avg_pool3d`.

    output_size: an int or three, each may be None. Shape: (N, C, D, H, W) to (N, C, O, P, Q).
    """

    dims = 3

    def forward(self, input: Tensor) -> Tensor:
        """The mean of each window."""
        return functional.adaptive_avg_pool3d(input, self.output_size)


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


class AdaptiveMaxPool3d(_Adaptive):
    """The largest values of O x P x Q windows that cover the volume; see `functional.adaptive_max_pool3d`.

    output_size: an int or three, each may be None. Shape: (N, C, D, H, W) to (N, C, O, P, Q).
    """

    dims = 3

    def __init__(self, output_size, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor):
        """The largest value of each window."""
        return functional.adaptive_max_pool3d(input, self.output_size, self.return_indices)
