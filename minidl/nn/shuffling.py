"""Layers that move elements between channels and pixels, and windows of an image into columns and back."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import pair, positive
from .module import Module


class PixelShuffle(Module):
    """Channels as pixels; see `functional.pixel_shuffle`. Shape: (..., C r^2, H, W) to (..., C, r H, r W).

    Shi et al., 2016.
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        positive("PixelShuffle", upscale_factor=upscale_factor)
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The larger image."""
        return functional.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """PixelShuffle undone. Shape: (..., C, r H, r W) to (..., C r^2, H, W)."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        positive("PixelUnshuffle", downscale_factor=downscale_factor)
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The smaller image with more channels."""
        return functional.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels dealt out anew, the first of each group first; see `functional.channel_shuffle`.

    Shape: (N, C, ...), unchanged. Zhang et al., 2018.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        positive("ChannelShuffle", groups=groups)
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """The input with its channels in another order."""
        return functional.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"


class _Windows(Module):
    def __init__(self, kernel_size, dilation, padding, stride) -> None:
        super().__init__()
        name = type(self).__name__
        for what, value in (("kernel_size", kernel_size), ("dilation", dilation), ("stride", stride)):
            pair(value, what, name)
        pair(padding, "padding", name, low=0)
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def extra_repr(self) -> str:
        """The windows."""
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Unfold(_Windows):
    """The pixels of each window as a column; see `functional.unfold`. Shape: (N, C, H, W) to (N, C K L, P Q)."""

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1) -> None:
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, input: Tensor) -> Tensor:
        """The columns."""
        return functional.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """Columns added to an image, where Unfold takes them from; see `functional.fold`.

    Shape: (N, C K L, P Q) to (N, C, *output_size).

    >>> from minidl import ones
    >>> Fold((2, 3), 2)(Unfold(2)(ones(1, 1, 2, 3)))  # how many windows meet each pixel
    tensor([[[[1., 2., 1.],
              [1., 2., 1.]]]])
    """

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        pair(output_size, "output_size", "Fold")
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """The image."""
        how = (self.kernel_size, self.dilation, self.padding, self.stride)
        return functional.fold(input, self.output_size, *how)

    def extra_repr(self) -> str:
        """The size, and the windows."""
        return f"output_size={self.output_size}, {super().extra_repr()}"
