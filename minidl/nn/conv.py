"""The convolution layers of one, two and three dimensions, and the transposed ones."""

from __future__ import annotations

from collections.abc import Callable

from ..backend import ArgumentError
from ..tensor import Tensor
from . import functional
from .checks import ints, positive
from .functional.conv import same_padding
from .linear import new_parameter, reset_weight_and_bias
from .module import Module

_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions have in common, made with the arguments that PyTorch's class of this name takes."""

    dims = 0  # of an image; if not given, as many as kernel_size has numbers
    function: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride,
        padding,
        dilation,
        transposed: bool,
        output_padding,
        groups: int,
        bias: bool,
        padding_mode: str,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        name, dims = type(self).__name__, self.dims or len(kernel_size)
        positive(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {what} {channels} is not divisible by groups {groups}")
        if padding_mode not in _MODES:
            raise ValueError(f"{name}: padding_mode must be one of {', '.join(_MODES)}, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = ints(kernel_size, dims, "kernel_size", name)
        self.stride = ints(stride, dims, "stride", name)
        self.dilation = ints(dilation, dims, "dilation", name)
        if isinstance(padding, str) and not transposed:
            width = same_padding(padding, self.kernel_size, self.stride, self.dilation, name)
            self.padding: str | tuple[int, ...] = padding
        else:
            self.padding = ints(padding, dims, "padding", name, low=0)
            width = tuple([(n, n) for n in self.padding])
        self.transposed, self.padding_mode = transposed, padding_mode
        self.output_padding = ints(output_padding, dims, "output_padding", name, low=0)
        around = [count for both in reversed(width) for count in both]  # what `functional.pad` wants
        self._reversed_padding_repeated_twice = around if isinstance(padding, str) else tuple(around)
        units = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        self.weight = new_parameter((*units, *self.kernel_size), device, dtype)
        self.register_parameter("bias", new_parameter((out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias."""
        reset_weight_and_bias(self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution of the input with this weight and bias; what is not padded with zeros is padded first."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._reversed_padding_repeated_twice, self.padding_mode)
            padding = (0,) * len(self.kernel_size)
        return self.function(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The channels and kernel, and what is not the default."""
        zero, one = (0,) * len(self.kernel_size), (1,) * len(self.kernel_size)
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" * (self.padding != zero)
        text += f", dilation={self.dilation}" * (self.dilation != one)
        text += f", output_padding={self.output_padding}" * (self.output_padding != zero)
        text += f", groups={self.groups}" * (self.groups != 1) + ", bias=False" * (self.bias is None)
        return text + f", padding_mode={self.padding_mode}" * (self.padding_mode != "zeros")


class Conv1d(_ConvNd):
    """Cross-correlation of lines with a bank of kernels, plus a bias; see `functional.conv1d`.

    Parameters: weight (out_channels, in_channels / groups, K) and bias (out_channels), uniform in +-1/sqrt(fan_in)
    with fan_in = in_channels / groups * K. padding: an int, 'valid' or 'same'; padding_mode as in `functional.pad`.
    Shape: (N, in_channels, L) to (N, out_channels, P) with
    P = floor((L + 2 padding - dilation (K - 1) - 1) / stride) + 1.
    """

    dims = 1
    function = staticmethod(functional.conv1d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the input with `weight`, plus `bias`."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv2d(_ConvNd):
    """Cross-correlation of images with a bank of kernels, plus a bias; see `functional.conv2d`.

    Parameters: weight (out_channels, in_channels / groups, K, L) and bias (out_channels), uniform in +-1/sqrt(fan_in)
    with fan_in = in_channels / groups * K * L. padding: ints, 'valid' or 'same'; padding_mode as in `functional.pad`.
    Shape: (N, in_channels, H, W) to (N, out_channels, P, Q) with
    P = floor((H + 2 padding - dilation (K - 1) - 1) / stride) + 1.

    >>> from minidl import zeros
    >>> Conv2d(3, 16, 5, padding="same")(zeros(8, 3, 32, 32)).shape
    minidl.Size([8, 16, 32, 32])
    """

    dims = 2
    function = staticmethod(functional.conv2d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the input with `weight`, plus `bias`."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv3d(_ConvNd):
    """Cross-correlation of volumes (or films) with a bank of kernels, plus a bias; see `functional.conv3d`.

    Parameters: weight (out_channels, in_channels / groups, J, K, L) and bias (out_channels), uniform in
    +-1/sqrt(fan_in) with fan_in = in_channels / groups * J * K * L. padding, padding_mode: as in Conv2d.
    Shape: (N, in_channels, D, H, W) to (N, out_channels, O, P, Q), each size as in Conv2d. Tran et al., 2015.

    >>> from minidl import zeros
    >>> Conv3d(1, 4, 3, stride=(1, 2, 2), padding=1)(zeros(2, 1, 4, 8, 8)).shape
    minidl.Size([2, 4, 4, 4, 4])
    """

    dims = 3
    function = staticmethod(functional.conv3d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the input with `weight`, plus `bias`."""
        return self._conv_forward(input, self.weight, self.bias)


class _ConvTransposeNd(_ConvNd):
    """What the transposed ones have in common."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride,
        padding,
        dilation,
        transposed: bool,
        output_padding,
        groups: int,
        bias: bool,
        padding_mode: str,
        device=None,
        dtype=None,
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode must be 'zeros' for a transposed convolution, got {padding_mode!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            transposed,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        for o, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if o >= max(s, d):
                raise ArgumentError(
                    f"{name}: output_padding must be smaller than stride or dilation, got {output_padding}"
                )

    def _output_padding(
        self, input: Tensor, output_size, stride, padding, kernel_size, num_spatial_dims: int, dilation=None
    ) -> tuple[int, ...]:
        """The output_padding that gives output_size, with or without the batch's and the channels' sizes."""
        if output_size is None:
            return self.output_padding
        name, dims, ndim = type(self).__name__, num_spatial_dims, input.array.ndim
        wanted = (output_size,) * dims if isinstance(output_size, int) else tuple(output_size)
        if len(wanted) == dims + 2 or (len(wanted) == dims + 1 and ndim == dims + 1):
            wanted = wanted[-dims:]
        if len(wanted) != dims:
            raise ArgumentError(f"{name}: output_size must have {dims} or {ndim} numbers, got {output_size!r}")
        more = []
        for i, want in enumerate(wanted):
            n, s, k, d = input.array.shape[i - dims], stride[i], kernel_size[i], 1 if dilation is None else dilation[i]
            least = (n - 1) * s - 2 * padding[i] + d * (k - 1) + 1
            if not least <= want < least + s:
                raise ArgumentError(
                    f"{name}: output_size {tuple(wanted)} is not possible for input {tuple(input.shape)}: expected "
                    f"{least} to {least + s - 1}, got {want}"
                )
            more.append(want - least)
        return tuple(more)


class _ConvTranspose(_ConvTransposeNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            True,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size=None) -> Tensor:
        """The transposed convolution of the input with `weight`, plus `bias`; output_size decides output_padding."""
        more = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, self.dims, self.dilation
        )
        return self.function(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)


class ConvTranspose1d(_ConvTranspose):
    """ConvTranspose2d for lines. Shape: (N, in_channels, L) to (N, out_channels, P)."""

    dims = 1
    function = staticmethod(functional.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """Each pixel adds its multiple of a kernel to the output, plus a bias; see `functional.conv_transpose2d`.

    Parameters: weight (in_channels, out_channels / groups, K, L) and bias (out_channels), uniform in
    +-1/sqrt(out_channels / groups * K * L). Shape: (N, in_channels, H, W) to (N, out_channels, P, Q) with
    P = (H - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1. Dumoulin and Visin, 2016.

    >>> from minidl import zeros
    >>> ConvTranspose2d(8, 4, 2, stride=2)(zeros(1, 8, 5, 5)).shape
    minidl.Size([1, 4, 10, 10])
    """

    dims = 2
    function = staticmethod(functional.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """ConvTranspose2d for volumes. Shape: (N, in_channels, D, H, W) to (N, out_channels, O, P, Q)."""

    dims = 3
    function = staticmethod(functional.conv_transpose3d)
