"""Activation functions as layers."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .module import Module


class ReLU(Module):
    """max(x, 0), in place if asked for. Shape: any, unchanged."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """max(x, 0)."""
        return functional.relu(input, self.inplace)

    def extra_repr(self) -> str:
        """'inplace=True' if so."""
        return "inplace=True" if self.inplace else ""


class Tanh(Module):
    """tanh x. Shape: any, unchanged."""

    def forward(self, input: Tensor) -> Tensor:
        """tanh x."""
        return functional.tanh(input)


class Sigmoid(Module):
    """1 / (1 + e^-x). Shape: any, unchanged."""

    def forward(self, input: Tensor) -> Tensor:
        """1 / (1 + e^-x)."""
        return functional.sigmoid(input)


class Softmax(Module):
    """exp(x) / sum exp(x) along `dim`, which must be given. Shape: any, unchanged."""

    function = staticmethod(functional.softmax)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The function along `dim`."""
        return self.function(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """log softmax(x) along `dim`, which must be given. Shape: any, unchanged."""

    function = staticmethod(functional.log_softmax)
