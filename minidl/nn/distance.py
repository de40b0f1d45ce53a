"""How far, and how far apart in direction, two batches of vectors are."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional
from .checks import number
from .loss.distances import PairwiseDistance
from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """x1 . x2 / (max(||x1||, eps) max(||x2||, eps)) along `dim`. Shape: (..., D, ...) twice to (..., ...)."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, number(eps, "eps", "CosineSimilarity")

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The cosine of the angle between the two."""
        return functional.cosine_similarity(x1, x2, self.dim, self.eps)
