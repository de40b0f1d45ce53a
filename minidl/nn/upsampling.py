"""Layers that give an image another size."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import number
from .functional.resize import interpolate_mode
from .module import Module


class Upsample(Module):
    """The input in another size, `size` or scale_factor times its own; see `functional.interpolate`.

    mode: 'nearest', 'nearest-exact' or 'area'; 'linear' for (N, C, L), 'bilinear' or 'bicubic' for (N, C, H, W),
    'trilinear' for (N, C, D, H, W). Shape: (N, C, *old) to (N, C, *size).
    """

    def __init__(
        self,
        size=None,
        scale_factor=None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        interpolate_mode(mode, align_corners, "Upsample")
        if (size is None) == (scale_factor is None):
            raise ValueError(f"Upsample: expected size or scale_factor, got {size!r} and {scale_factor!r}")
        self.size: int | tuple | None = tuple(size) if isinstance(size, (tuple, list)) else size
        if isinstance(scale_factor, (tuple, list)):
            self.scale_factor: float | tuple | None = tuple([_factor(f) for f in scale_factor])
        else:
            self.scale_factor = None if scale_factor is None else _factor(scale_factor)
        self.name, self.mode, self.align_corners = type(self).__name__, mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The input in the other size."""
        return functional.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The size or the factor, and the mode."""
        text = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{text}, mode={self.mode!r}"


def _factor(value) -> float:
    if not number(value, "scale_factor", "Upsample") > 0:
        raise ValueError(f"Upsample: scale_factor must be positive, got {value}")
    return float(value)


class UpsamplingNearest2d(Upsample):
    """Upsample with mode='nearest'. Shape: (N, C, H, W) to (N, C, P, Q)."""

    def __init__(self, size=None, scale_factor=None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample with mode='bilinear' and align_corners=True. Shape: (N, C, H, W) to (N, C, P, Q)."""

    def __init__(self, size=None, scale_factor=None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
