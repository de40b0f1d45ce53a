"""Dropout."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .module import Module


class Dropout(Module):
    """In training each element is 0 with probability p, else multiplied by 1 / (1 - p); in `eval` the input itself.

    Shape: any, unchanged. Srivastava et al., 2014.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be between 0 and 1, got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with some elements left out."""
        return functional.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The probability, and whether in place."""
        return f"p={self.p}, inplace={self.inplace}"
