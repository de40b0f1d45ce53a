"""The two-dimensional convolution layer."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import pair, positive
from .linear import new_parameter, reset_weight_and_bias
from .module import Module

_MODES = ("zeros", "reflect", "replicate", "circular")


class Conv2d(Module):
    """Cross-correlation of images with a bank of kernels, plus a bias; see `functional.conv2d`.

    Parameters: weight (out_channels, in_channels / groups, K, L) and bias (out_channels), uniform in +-1/sqrt(fan_in)
    with fan_in = in_channels / groups * K * L. padding: ints, 'valid' or 'same'.
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
        super().__init__()
        positive("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"Conv2d: {name} {channels} is not divisible by groups {groups}")
        if padding_mode not in _MODES:
            raise ValueError(f"Conv2d: padding_mode must be one of {', '.join(_MODES)}, got {padding_mode!r}")
        if padding_mode != "zeros":
            raise NotImplementedError(f"Conv2d: padding_mode={padding_mode!r} is not supported; 'zeros' is")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(kernel_size, "kernel_size", "Conv2d")
        self.stride = pair(stride, "stride", "Conv2d")
        self.dilation = pair(dilation, "dilation", "Conv2d")
        if isinstance(padding, str):
            functional.same_padding(padding, self.kernel_size, self.stride, self.dilation, "Conv2d")
            self.padding: str | tuple[int, int] = padding
        else:
            self.padding = pair(padding, "padding", "Conv2d", low=0)
        self.padding_mode = padding_mode
        self.weight = new_parameter((out_channels, in_channels // groups, *self.kernel_size), device, dtype)
        self.register_parameter("bias", new_parameter((out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the input with `weight`, plus `bias`."""
        return functional.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The channels and kernel, and what is not the default."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" * (self.padding != (0, 0))
        text += f", dilation={self.dilation}" * (self.dilation != (1, 1))
        text += f", groups={self.groups}" * (self.groups != 1)
        return text + ", bias=False" * (self.bias is None)
