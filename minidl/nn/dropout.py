"""Dropout: some of the input is left out at random, in training only."""

from __future__ import annotations

from collections.abc import Callable

from ..tensor import Tensor
from . import functional
from .checks import probability
from .module import Module


class _DropoutNd(Module):
    """The probability, and one of the functions with it."""

    function: Callable[..., Tensor]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = probability(p, type(self).__name__), inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with some elements left out."""
        return self.function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The probability, and whether in place."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """In training each element is 0 with probability p, else multiplied by 1 / (1 - p); in `eval` the input itself.

    Shape: any, unchanged. Srivastava et al., 2014.
    """

    function = staticmethod(functional.dropout)


class Dropout1d(_DropoutNd):
    """Dropout of whole channels. Shape: (N, C, L) or (C, L), unchanged. Tompson et al., 2015."""

    function = staticmethod(functional.dropout1d)


class Dropout2d(_DropoutNd):
    """Dropout of whole channels. Shape: (N, C, H, W), or (N, C, L) as in PyTorch, unchanged. Tompson et al., 2015."""

    function = staticmethod(functional.dropout2d)


class Dropout3d(_DropoutNd):
    """Dropout of whole channels. Shape: (N, C, D, H, W) or (C, D, H, W), unchanged. Tompson et al., 2015."""

    function = staticmethod(functional.dropout3d)


class AlphaDropout(_DropoutNd):
    """Dropout that keeps mean 0 and variance 1, for SELU; see `functional.alpha_dropout`.

    Shape: any, unchanged. Klambauer et al., 2017.
    """

    function = staticmethod(functional.alpha_dropout)


class FeatureAlphaDropout(_DropoutNd):
    """AlphaDropout of whole channels. Shape: (N, C, ...), unchanged."""

    function = staticmethod(functional.feature_alpha_dropout)
