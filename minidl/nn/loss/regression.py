"""Losses of a prediction of numbers: squared, absolute, and those between the two."""

from __future__ import annotations

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError
from ...ops import elementwise as E
from ...ops import loss as O
from ...tensor import Tensor
from ..checks import a_tensor, number
from .base import TargetLoss, check_reduction, reduced, refuse_empty, same_shapes


def _compared(where, input, target, reduction, size_average=None, reduce=None, weight=None) -> str:
    """What these losses check; the reduction."""
    reduction = check_reduction(where, reduction, size_average, reduce)
    same_shapes(where, input=input, target=target)
    if weight is not None and a_tensor(weight, where, "weight").array.shape != input.array.shape:
        raise ArgumentError(f"{where}: weight is {tuple(weight.shape)}, expected {tuple(input.shape)}, like the input")
    refuse_empty(where, input, reduction)
    return reduction


def _weighted(terms, weight, reduction) -> Tensor:
    if weight is None:
        return reduced(terms, reduction)
    terms = terms * weight
    return F.sum(terms) / F.sum(weight) if reduction == "mean" else reduced(terms, reduction)


@whole
def mse_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x - t)^2, its mean or sum; weight: for each element, and the mean is over the sum of the weights.

    Shape: input and target the same (ValueError otherwise).
    """
    reduction = _compared("mse_loss", input, target, reduction, size_average, reduce, weight)
    if weight is None:
        return O.mse_loss(input, target, reduction=reduction)
    return _weighted(O.mse_loss(input, target, reduction="none"), weight, reduction)


@whole
def l1_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x - t|, its mean or sum; weight as in `mse_loss`.

    Shape: input and target the same (ValueError otherwise).
    """
    reduction = _compared("l1_loss", input, target, reduction, size_average, reduce, weight)
    return _weighted(E.absolute(E.subtract(input, target)), weight, reduction)


@whole
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """With d = x - t: d^2 / (2 beta) where |d| < beta, else |d| - beta / 2 (Girshick, 2015); beta 0: |d|.

    Shape: input and target the same (ValueError otherwise).

    >>> smooth_l1_loss(F.tensor([0.0, 3.0]), F.tensor([0.5, 1.0]), reduction="none")
    tensor([0.1250, 1.5000])
    """
    reduction = _compared("smooth_l1_loss", input, target, reduction, size_average, reduce)
    if not number(beta, "beta", "smooth_l1_loss") >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    d = E.subtract(input, target)
    return reduced(O.huber(d, delta=beta) / beta if beta else E.absolute(d), reduction)


@whole
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """With d = x - t: d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2) (Huber, 1964).

    weight: for each element; the mean is over the elements (not over the weights, as in `mse_loss`).
    Shape: input and target the same (ValueError otherwise).
    """
    reduction = _compared("huber_loss", input, target, reduction, weight=weight)
    if not number(delta, "delta", "huber_loss") > 0:
        raise ArgumentError(f"huber_loss: delta must be greater than 0, got {delta}")
    terms = O.huber(E.subtract(input, target), delta=delta)
    return reduced(terms if weight is None else terms * weight, reduction)


# --------------------------------------------------------------------------------------------------------- layers
class MSELoss(TargetLoss):
    """(x - t)^2, its mean or sum. Shape: input and target the same; a scalar, or the same with reduction='none'."""

    function = mse_loss


class L1Loss(TargetLoss):
    """|x - t|, its mean or sum. Shape: input and target the same; a scalar, or the same with reduction='none'."""

    function = l1_loss


class SmoothL1Loss(TargetLoss):
    """|x - t|, rounded to a parabola within beta of 0; see `smooth_l1_loss`. Shape: as `MSELoss`."""

    function, arguments = smooth_l1_loss, ("beta",)

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta


class HuberLoss(TargetLoss):
    """(x - t)^2 / 2 that goes on as a line beyond delta; see `huber_loss`. Shape: as `MSELoss`."""

    function, arguments = huber_loss, ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta
