"""Losses that pull together what belongs together and push apart what does not: margins between distances."""

from __future__ import annotations

import math
from collections.abc import Callable

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError
from ...ops import elementwise as E
from ...ops import reduce as R
from ...tensor import Tensor
from ..checks import a_tensor, floating, number
from ..module import Module
from .base import Loss, TargetLoss, check_reduction, check_signs, pairwise, reduced, refuse_empty, same_shapes


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension; p > 0, math.inf too.

    Shape: x1 (N, D) or (D,), x2 alike or expanding to it; (N,) or (), with keepdim (N, 1) or (1,).

    >>> pairwise_distance(F.tensor([[3.0, 0.0]]), F.tensor([[0.0, 4.0]]), eps=0.0)
    tensor([5.])
    """
    floating(x1, "pairwise_distance", "x1"), floating(x2, "pairwise_distance", "x2")
    eps = number(eps, "eps", "pairwise_distance")
    if not number(p, "p", "pairwise_distance") > 0:
        raise NotImplementedError(f"pairwise_distance: p={p} is not supported; p must be greater than 0")
    d = x1 - x2 + eps
    if p in (1, math.inf):
        y = F.sum(E.absolute(d), -1) if p == 1 else F.amax(E.absolute(d), -1)
    else:
        y = R.norm(d, p=p, axis=-1)
    return F.unsqueeze(y, -1) if keepdim else y


@whole
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """x where t = 1, max(0, margin - x) where t = -1: x is a distance, which t says to be small or large.

    Shape: input and target the same; ValueError otherwise, and for other targets.
    """
    reduction = pairwise("hinge_embedding_loss", input, target, reduction, size_average, reduce)
    check_signs("hinge_embedding_loss", target)
    margin = number(margin, "margin", "hinge_embedding_loss")
    return reduced(E.where(E.equal(target, 1), input, E.clip(margin - input, low=0.0)), reduction)


@whole
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where t = 1, max(0, cos - margin) where t = -1; cos: the cosine of the angle between two vectors.

    Shape: inputs (N, D) and target (N,), or (D,) and (); ValueError otherwise, and for other targets.
    """
    where = "cosine_embedding_loss"
    reduction = check_reduction(where, reduction, size_average, reduce)
    floating(input1, where, "input1"), floating(input2, where, "input2")
    same_shapes(where, input1=input1, input2=input2)
    if input1.array.ndim not in (1, 2):
        raise ArgumentError(f"{where}: expected inputs (N, D) or (D,), got {tuple(input1.shape)}")
    if a_tensor(target, where, "target").array.shape != input1.array.shape[:-1]:
        expected = tuple(input1.shape[:-1])
        raise ArgumentError(
            f"{where}: expected target {expected} for inputs {tuple(input1.shape)}, got {tuple(target.shape)}"
        )
    refuse_empty(where, input1, reduction)
    check_signs(where, target)
    margin = number(margin, "margin", where)
    squares = (F.sum(input1 * input1, -1) + 1e-12) * (F.sum(input2 * input2, -1) + 1e-12)
    cosine = F.sum(input1 * input2, -1) / E.sqrt(squares)
    return reduced(E.where(E.equal(target, 1), 1 - cosine, E.clip(cosine - margin, low=0.0)), reduction)


@whole
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - t (x1 - x2)): t = 1 says that x1 should be ranked higher, t = -1 that x2 should.

    Shape: all the same; ValueError otherwise, and for other targets.
    """
    where = "margin_ranking_loss"
    reduction = check_reduction(where, reduction, size_average, reduce)
    floating(input1, where, "input1"), floating(input2, where, "input2")
    same_shapes(where, input1=input1, input2=input2, target=target)
    refuse_empty(where, input1, reduction)
    check_signs(where, target)
    margin = number(margin, "margin", where)
    return reduced(E.clip(margin - target * (input1 - input2), low=0.0), reduction)


def _check_margin(where: str, margin: float) -> None:
    if not number(margin, "margin", where) > 0:
        raise ArgumentError(f"{where}: margin must be greater than 0, got {margin}")


def _triplet(where, anchor, positive, negative, distance, margin, swap, reduction) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    _check_margin(where, margin)
    floating(anchor, where, "anchor"), floating(positive, where, "positive"), floating(negative, where, "negative")
    same_shapes(where, anchor=anchor, positive=positive, negative=negative)
    if anchor.array.ndim == 0:
        raise ArgumentError(f"{where}: expected anchor (N, D) or (D,), got a 0-d tensor")
    refuse_empty(where, anchor, reduction)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = E.minimum(far, distance(positive, negative))
    return reduced(E.clip(margin + near - far, low=0.0), reduction)


@whole
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |a - pos + eps| - |a - neg + eps| + margin), the p-norms of the last dimension.

    swap: where pos is nearer to neg than a is, their distance takes the place of a's (Balntas et al., 2016).
    Shape: all (N, D) or (D,), ValueError otherwise; with reduction='none' (N,) or ().
    """
    reduction = check_reduction("triplet_margin_loss", reduction, size_average, reduce)
    distance = lambda x, y: pairwise_distance(x, y, p, eps)  # noqa: E731
    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, pos) - d(a, neg) + margin) with any distance d of two tensors; None: `pairwise_distance`.

    Shape: all the same (ValueError otherwise); with reduction='none' what d gives.
    """
    where = "triplet_margin_with_distance_loss"
    check_reduction(where, reduction)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(where, anchor, positive, negative, distance, margin, swap, reduction)


# --------------------------------------------------------------------------------------------------------- layers
class HingeEmbeddingLoss(TargetLoss):
    """x where t = 1, max(0, margin - x) where t = -1; see `hinge_embedding_loss`.

    Shape: input and target the same; a scalar, or the same with reduction='none'.
    """

    function, arguments = hinge_embedding_loss, ("margin",)

    def __init__(self, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class _PairLoss(Loss):
    """A loss of two inputs and a target of signs."""

    arguments = ("margin",)

    def __init__(self, margin: float = 0.0, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss of the two inputs for the signs in target."""
        return self.compute(input1, input2, target)


class CosineEmbeddingLoss(_PairLoss):
    """1 - cos where t = 1, max(0, cos - margin) where t = -1; see `cosine_embedding_loss`.

    Shape: inputs (N, D) and target (N,), or (D,) and (); a scalar, or like the target with reduction='none'.
    """

    function = cosine_embedding_loss


class MarginRankingLoss(_PairLoss):
    """max(0, margin - t (x1 - x2)); see `margin_ranking_loss`. Shape: all the same."""

    function = margin_ranking_loss


class _TripletLoss(Loss):
    def __init__(self, margin: float, swap: bool, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        _check_margin(type(self).__name__, margin)
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of the three."""
        return self.compute(anchor, positive, negative)


class TripletMarginLoss(_TripletLoss):
    """max(0, |a - pos| - |a - neg| + margin); see `triplet_margin_loss`. Shape: all (N, D) or (D,)."""

    function, arguments = triplet_margin_loss, ("margin", "p", "eps", "swap")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average=None,
        reduce=None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, swap, size_average, reduce, reduction)
        self.p, self.eps = p, eps


class PairwiseDistance(Module):
    """||x1 - x2 + eps||_p over the last dimension. Shape: (N, D) twice to (N), or (N, 1) with keepdim."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps = number(p, "p", "PairwiseDistance"), number(eps, "eps", "PairwiseDistance")
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The distance of the two."""
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class TripletMarginWithDistanceLoss(_TripletLoss):
    """max(0, d(a, pos) - d(a, neg) + margin); see `triplet_margin_with_distance_loss`. Shape: all the same."""

    function, arguments = triplet_margin_with_distance_loss, ("distance_function", "margin", "swap")

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, swap, reduction=reduction)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
