"""Losses of yes and no: cross-entropy of one probability or logit for each, and the logistic losses of signs."""

from __future__ import annotations

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError
from ...ops import activation as A
from ...ops import loss as O
from ...tensor import Tensor
from ..checks import floating
from .base import (
    TargetLoss,
    WeightedLoss,
    check_broadcasts,
    check_fractions,
    check_reduction,
    check_signs,
    pairwise,
    reduced,
    refuse_empty,
    same_shapes,
)


@whole
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """-weight (t log x + (1 - t) log(1 - x)) of probabilities x, each logarithm at least -100.

    Shape: input and target the same, both in [0, 1] (ValueError otherwise); weight expands to it, and the mean is over
    the elements.
    """
    where = "binary_cross_entropy"
    reduction = pairwise(where, input, floating(target, where, "target"), reduction, size_average, reduce)
    check_broadcasts(where, "weight", weight, input)
    check_fractions(where, "input", input)
    check_fractions(where, "target", target)
    terms = O.binary_cross_entropy(input, target)
    return reduced(terms if weight is None else terms * weight, reduction)


@whole
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-weight (pos_weight t log s(x) + (1 - t) log(1 - s(x))) of logits x, s the sigmoid; exact for large x too.

    Shape: input and target the same (ValueError otherwise); weight and pos_weight expand to it.

    >>> binary_cross_entropy_with_logits(F.tensor([-200.0, 0.0]), F.tensor([1.0, 1.0]), reduction="none")
    tensor([200.0000,   0.6931])
    """
    where = "binary_cross_entropy_with_logits"
    reduction = pairwise(where, input, floating(target, where, "target"), reduction, size_average, reduce)
    check_broadcasts(where, "weight", weight, input)
    check_broadcasts(where, "pos_weight", pos_weight, input)
    terms = O.binary_cross_entropy_with_logits(input, target, 1.0 if pos_weight is None else pos_weight)
    return reduced(terms if weight is None else terms * weight, reduction)


@whole
def soft_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t x)), its mean or sum, for t = 1 or -1; exact for large x too.

    Shape: input and target the same; ValueError otherwise, and for other targets.
    """
    reduction = pairwise("soft_margin_loss", input, target, reduction, size_average, reduce)
    check_signs("soft_margin_loss", target)
    return reduced(A.softplus(-(input * target)), reduction)


@whole
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """For each sample the mean over its C classes of weight times the cross-entropy of the logits x and t = 0 or 1.

    Shape: input and target (..., C), ValueError otherwise; weight expands to it; with reduction='none' (...).
    """
    where = "multilabel_soft_margin_loss"
    reduction = check_reduction(where, reduction, size_average, reduce)
    floating(input, where)
    same_shapes(where, input=input, target=target)
    if input.array.ndim == 0:
        raise ArgumentError(f"{where}: expected input (..., C), got a 0-d tensor")
    refuse_empty(where, input, reduction)
    check_broadcasts(where, "weight", weight, input)
    terms = O.binary_cross_entropy_with_logits(input, target, 1.0)
    return reduced(F.mean(terms if weight is None else terms * weight, -1), reduction)


# --------------------------------------------------------------------------------------------------------- layers
class BCELoss(WeightedLoss):
    """Cross-entropy of probabilities of yes; see `binary_cross_entropy`. BCEWithLogitsLoss is more accurate.

    Shape: input and target the same; a scalar, or the same with reduction='none'.
    """

    function = binary_cross_entropy


class BCEWithLogitsLoss(WeightedLoss):
    """Cross-entropy of logits of yes; see `binary_cross_entropy_with_logits`.

    Shape: input and target the same; a scalar, or the same with reduction='none'.
    """

    function, arguments = binary_cross_entropy_with_logits, ("weight", "pos_weight")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average=None,
        reduce=None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)


class SoftMarginLoss(TargetLoss):
    """log(1 + exp(-t x)) for t = 1 or -1; see `soft_margin_loss`. Shape: as `BCELoss`."""

    function = soft_margin_loss


class MultiLabelSoftMarginLoss(WeightedLoss):
    """The mean cross-entropy of the yes and no of C classes; see `multilabel_soft_margin_loss`.

    Shape: input and target (N, C); a scalar, or (N,) with reduction='none'.
    """

    function = multilabel_soft_margin_loss
