"""Dropout: some of the input is left out at random, in training only."""

from __future__ import annotations

from collections.abc import Callable

from ..tensor import Tensor
from . import functional
from .checks import probability
from .module import Module


class Dropout(Module):
    """In training each element is 0 with probability p, else multiplied by 1 / (1 - p); in `eval` the input itself.

    Shape: any, unchanged. Srivastava et al., 2014.
    """

    function: Callable[..., Tensor] = staticmethod(functional.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = probability(p, type(self).__name__), inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with some elements left out."""
        return self.function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The probability, and whether in place."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """Dropout of whole channels. Shape: (N, C, L) or (C, L), unchanged. Tompson et al., 2015."""

    function = staticmethod(functional.dropout1d)


class Dropout2d(Dropout):
    """Dropout of whole channels. Shape: (N, C, H, W), or (N, C, L) as in PyTorch, unchanged. Tompson et al., 2015."""

    function = staticmethod(functional.dropout2d)


class AlphaDropout(Dropout):
    """Dropout that keeps mean 0 and variance 1, for SELU; see `functional.alpha_dropout`.

    Shape: any, unchanged. Klambauer et al., 2017.
    """

    function = staticmethod(functional.alpha_dropout)
