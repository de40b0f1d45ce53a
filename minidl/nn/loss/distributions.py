"""Losses of predicted distributions: the divergence of Kullback and Leibler, Poisson's and the normal likelihood."""

from __future__ import annotations

import math
import warnings

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError, backend_of
from ...ops import elementwise as E
from ...tensor import Tensor, wrap
from ..checks import a_tensor, floating, number
from .base import Loss, TargetLoss, check_reduction, check_values, pairwise, reduced, refuse_empty


@whole
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log t - x), 0 where t = 0, of log-probabilities x; log_target: exp(t) (t - x).

    reduction: 'batchmean', the sum over the size of the first dimension, is the divergence; 'mean' divides by the
    number of elements, and warns of that, as PyTorch does.
    Shape: input and target the same (ValueError otherwise).
    """
    floating(a_tensor(target, "kl_div", "target"), "kl_div", "target")
    reduction = pairwise("kl_div", input, target, reduction, size_average, reduce, ("batchmean",))
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of all elements; 'batchmean' gives the mean divergence",
            UserWarning,
            stacklevel=2,
        )
    if log_target:
        terms = E.exp(target) * (target - input)
    else:
        safe = E.where(E.equal(target, 0), 1.0, target)  # 0 log 0 = 0; a negative target gives nan
        terms = target * E.log(safe) - target * input
    if reduction == "batchmean":
        return F.sum(terms) / input.array.shape[0] if input.array.ndim else terms
    return reduced(terms, reduction)


@whole
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average=None,
    eps: float = 1e-8,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t x, where x is the logarithm of the expected count t; log_input=False: x - t log(x + eps).

    full: with Stirling's t log t - t + log(2 pi t) / 2 for log t!, where t > 1.
    Shape: input and target the same (ValueError otherwise).
    """
    reduction = pairwise("poisson_nll_loss", input, target, reduction, size_average, reduce)
    eps = number(eps, "eps", "poisson_nll_loss")
    terms = E.exp(input) - target * input if log_input else input - target * E.log(input + eps)
    if full:
        large = E.greater(target, 1)
        t = E.where(large, target, 1.0)
        terms = terms + E.where(large, t * E.log(t) - t + 0.5 * E.log(2 * math.pi * t), 0.0)
    return reduced(terms, reduction)


def _variance(input: Tensor, var, eps: float) -> Tensor:
    """The variance, at least eps, in a shape that expands to the input's; its gradient passes as if it were not cut."""
    where, shape = "gaussian_nll_loss", input.array.shape
    if isinstance(var, (int, float)) and not isinstance(var, bool):
        var = E.ones_like(input) * float(var)
    check_values(where, "var", a_tensor(var, where, "var"), lambda v: ~(v < 0), "not negative anywhere")
    if var.array.shape != shape:
        if shape[:-1] == var.array.shape:
            var = F.unsqueeze(var, -1)
        elif not _one_dimension_short(var.array.shape, shape):
            raise ArgumentError(
                f"{where}: var is {tuple(var.shape)}, expected {tuple(shape)}, like the input, or the same without the "
                "last dimension or with 1 in place of one"
            )
    B = backend_of(var.array)
    return var + wrap(B.asarray(B.maximum(eps - var.array, 0.0)))


def _one_dimension_short(given, shape) -> bool:
    """Whether `given` is `shape` with 1 in place of one size."""
    other = [a for a, b in zip(given, shape, strict=False) if a != b]
    return len(given) == len(shape) and other == [1]


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - t)^2 / v) / 2 of means x and variances v, each at least eps (Nix and Weigend, 1994).

    full: with the constant log(2 pi) / 2. The gradient of v passes eps as if it were not there.
    Shape: input any, target the same or with 1 in place of one size; var as target, or without the last dimension, or
    a number. ValueError otherwise, and for a negative variance.
    """
    where = "gaussian_nll_loss"
    check_reduction(where, reduction)
    shape = floating(input, where).array.shape
    if a_tensor(target, where, "target").array.shape != shape and not _one_dimension_short(target.array.shape, shape):
        raise ArgumentError(
            f"{where}: input is {tuple(shape)}, target is {tuple(target.shape)}: expected the same shape, or 1 "
            "in place of one size"
        )
    refuse_empty(where, input, reduction)
    if not number(eps, "eps", where) >= 0:
        raise ArgumentError(f"{where}: eps must not be negative, got {eps}")
    v = _variance(input, var, eps)
    d = input - target
    terms = 0.5 * (E.log(v) + d * d / v)
    return reduced(terms + 0.5 * math.log(2 * math.pi) if full else terms, reduction)


# --------------------------------------------------------------------------------------------------------- layers
class KLDivLoss(TargetLoss):
    """t (log t - x) of log-probabilities x; see `kl_div`, and use reduction='batchmean'.

    Shape: input and target the same; a scalar, or the same with reduction='none'.
    """

    function, arguments, own_reductions = kl_div, ("log_target",), ("batchmean",)

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target


class PoissonNLLLoss(Loss):
    """exp(x) - t x of the logarithms x of expected counts; see `poisson_nll_loss`. Shape: as `KLDivLoss`."""

    function, arguments = poisson_nll_loss, ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average=None,
        eps: float = 1e-8,
        reduce=None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """The loss of the counts' logarithms (of themselves with log_input=False) against target."""
        return self.compute(log_input, target)


class GaussianNLLLoss(Loss):
    """(log v + (x - t)^2 / v) / 2 of means x and variances v; see `gaussian_nll_loss` for the shapes."""

    function, arguments = gaussian_nll_loss, ("full", "eps")

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """The loss of input against target, given the variances."""
        return self.compute(input, target, var)
