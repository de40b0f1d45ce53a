"""The convolution layers of one and two dimensions, and the transposed ones."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import ints, positive
from .functional.conv import same_padding
from .linear import new_parameter, reset_weight_and_bias
from .module import Module

_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    dims = 2
    transposed = False

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        bias,
        padding_mode,
        device,
        dtype,
    ) -> None:
        super().__init__()
        name, dims = type(self).__name__, self.dims
        positive(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {what} {channels} is not divisible by groups {groups}")
        if padding_mode not in _MODES:
            raise ValueError(f"{name}: padding_mode must be one of {', '.join(_MODES)}, got {padding_mode!r}")
        if self.transposed and padding_mode != "zeros":
            raise NotImplementedError(f"{name}: padding_mode={padding_mode!r} is not supported; 'zeros' is")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = ints(kernel_size, dims, "kernel_size", name)
        self.stride = ints(stride, dims, "stride", name)
        self.dilation = ints(dilation, dims, "dilation", name)
        if isinstance(padding, str) and not self.transposed:
            width = same_padding(padding, self.kernel_size, self.stride, self.dilation, name)
            self.padding: str | tuple[int, ...] = padding
        else:
            self.padding = ints(padding, dims, "padding", name, low=0)
            width = tuple([(n, n) for n in self.padding])
        self.padding_mode = padding_mode
        self._around = tuple([n for both in reversed(width) for n in both])  # what `functional.pad` wants
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = new_parameter((*channels, *self.kernel_size), device, dtype)
        self.register_parameter("bias", new_parameter((out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias."""
        reset_weight_and_bias(self.weight, self.bias)

    def _padded(self, input: Tensor) -> tuple[Tensor, str | tuple[int, ...]]:
        """The input, padded here if not with zeros, and the padding that is still to be done."""
        if self.padding_mode == "zeros":
            return input, self.padding
        return functional.pad(input, self._around, self.padding_mode), (0,) * self.dims

    def extra_repr(self) -> str:
        """The channels and kernel, and what is not the default."""
        zero, one = (0,) * self.dims, (1,) * self.dims
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" * (self.padding != zero)
        text += f", dilation={self.dilation}" * (self.dilation != one)
        if self.transposed and self.output_padding != zero:
            text += f", output_padding={self.output_padding}"
        text += f", groups={self.groups}" * (self.groups != 1) + ", bias=False" * (self.bias is None)
        return text + f", padding_mode={self.padding_mode}" * (self.padding_mode != "zeros")


class Conv1d(_Conv):
    """Cross-correlation of lines with a bank of kernels, plus a bias; see `functional.conv1d`.

    Parameters: weight (out_channels, in_channels / groups, K) and bias (out_channels), uniform in +-1/sqrt(fan_in)
    with fan_in = in_channels / groups * K. padding: an int, 'valid' or 'same'; padding_mode as in `functional.pad`.
    Shape: (N, in_channels, L) to (N, out_channels, P) with
    P = floor((L + 2 padding - dilation (K - 1) - 1) / stride) + 1.
    """

    dims = 1

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
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the input with `weight`, plus `bias`."""
        x, padding = self._padded(input)
        return functional.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """Cross-correlation of images with a bank of kernels, plus a bias; see `functional.conv2d`.

    Parameters: weight (out_channels, in_channels / groups, K, L) and bias (out_channels), uniform in +-1/sqrt(fan_in)
    with fan_in = in_channels / groups * K * L. padding: ints, 'valid' or 'same'; padding_mode as in `functional.pad`.
    Shape: (N, in_channels, H, W) to (N, out_channels, P, Q) with
    P = floor((H + 2 padding - dilation (K - 1) - 1) / stride) + 1.

    >>> from minidl import zeros
    >>> Conv2d(3, 16, 5, padding="same")(zeros(8, 3, 32, 32)).shape
    minidl.Size([8, 16, 32, 32])
    """

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
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the input with `weight`, plus `bias`."""
        x, padding = self._padded(input)
        return functional.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_Conv):
    transposed = True

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
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        name = type(self).__name__
        self.output_padding = ints(output_padding, self.dims, "output_padding", name, low=0)
        for o, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if o >= max(s, d):
                raise ValueError(
                    f"{name}: output_padding must be smaller than stride or dilation, got {output_padding}"
                )

    def forward(self, input: Tensor, output_size=None) -> Tensor:
        """The transposed convolution of the input with `weight`, plus `bias`; output_size decides output_padding."""
        function = functional.conv_transpose1d if self.dims == 1 else functional.conv_transpose2d
        more = self.output_padding if output_size is None else self._missing(input, output_size)
        return function(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)

    def _missing(self, input: Tensor, output_size) -> tuple[int, ...]:
        """The output_padding that gives output_size, with or without the batch's and the channels' sizes."""
        name, dims = type(self).__name__, self.dims
        wanted = (output_size,) * dims if isinstance(output_size, int) else tuple(output_size)
        if len(wanted) == dims + 2 or (len(wanted) == dims + 1 and input.array.ndim == dims + 1):
            wanted = wanted[-dims:]
        if len(wanted) != dims:
            raise ValueError(f"{name}: output_size must have {dims} or {input.array.ndim} numbers, got {output_size!r}")
        more = []
        for i, want in enumerate(wanted):
            n, s, k = input.array.shape[i - dims], self.stride[i], self.kernel_size[i]
            least = (n - 1) * s - 2 * int(self.padding[i]) + self.dilation[i] * (k - 1) + 1
            if not least <= want < least + s:
                raise ValueError(
                    f"{name}: output_size {tuple(wanted)} is not possible for input {tuple(input.shape)}: expected "
                    f"{least} to {least + s - 1}, got {want}"
                )
            more.append(want - least)
        return tuple(more)


class ConvTranspose1d(_ConvTranspose):
    """ConvTranspose2d for lines. Shape: (N, in_channels, L) to (N, out_channels, P)."""

    dims = 1


class ConvTranspose2d(_ConvTranspose):
    """Each pixel adds its multiple of a kernel to the output, plus a bias; see `functional.conv_transpose2d`.

    Parameters: weight (in_channels, out_channels / groups, K, L) and bias (out_channels), uniform in
    +-1/sqrt(out_channels / groups * K * L). Shape: (N, in_channels, H, W) to (N, out_channels, P, Q) with
    P = (H - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1. Dumoulin and Visin, 2016.

    >>> from minidl import zeros
    >>> ConvTranspose2d(8, 4, 2, stride=2)(zeros(1, 8, 5, 5)).shape
    minidl.Size([1, 4, 10, 10])
    """
