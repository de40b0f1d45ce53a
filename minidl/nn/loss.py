"""The losses, each as a function (PyTorch's `nn.functional`) and as a layer that holds the function's options."""

from __future__ import annotations

import math

import numpy as np

from .. import functions as F
from ..backend import backend_of
from ..ops import elementwise as E
from ..ops import loss as O
from ..ops import reduce as R
from ..ops import shape as S
from ..tensor import Tensor, wrap
from .checks import a_tensor, floating
from .module import Module


def check_reduction(where: str, reduction: str, size_average=None, reduce=None) -> str:
    """The reduction, if it is one; PyTorch's two old arguments for it are refused."""
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value is not None:
            raise NotImplementedError(f"{where}: {name} is not supported; use reduction='mean', 'sum' or 'none'")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{where}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


def _reduced(x: Tensor, reduction: str) -> Tensor:
    return F.mean(x) if reduction == "mean" else F.sum(x) if reduction == "sum" else x


def _pairwise(where, input, target, reduction, size_average, reduce, weight) -> str:
    """What the losses that compare two tensors of one shape check."""
    reduction = check_reduction(where, reduction, size_average, reduce)
    if a_tensor(input, where).array.shape != a_tensor(target, where, "target").array.shape:
        raise ValueError(
            f"{where}: input is {tuple(input.shape)}, target is {tuple(target.shape)}: the shapes must be the same "
            "(nothing is broadcast); use reshape, or expand"
        )
    if weight is not None and a_tensor(weight, where, "weight").array.shape != input.array.shape:
        raise ValueError(f"{where}: weight is {tuple(weight.shape)}, expected {tuple(input.shape)}, like the input")
    if reduction == "mean":
        _refuse_empty(where, input)
    return reduction


def _refuse_empty(where, input) -> None:
    if input.array.size == 0:
        raise ValueError(f"{where}: the batch is empty (input is {tuple(input.shape)}), it has no mean")


def _weighted(terms, weight, reduction) -> Tensor:
    if weight is None:
        return _reduced(terms, reduction)
    terms = terms * weight
    return F.sum(terms) / F.sum(weight) if reduction == "mean" else _reduced(terms, reduction)


def mse_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x - t)^2, its mean or sum; weight: for each element, and the mean is over the sum of the weights.

    Shape: input and target the same (ValueError otherwise).
    """
    reduction = _pairwise("mse_loss", input, target, reduction, size_average, reduce, weight)
    if weight is None:
        return O.mse_loss(input, target, reduction=reduction)
    return _weighted(O.mse_loss(input, target, reduction="none"), weight, reduction)


def l1_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x - t|, its mean or sum; weight as in `mse_loss`.

    Shape: input and target the same (ValueError otherwise).
    """
    reduction = _pairwise("l1_loss", input, target, reduction, size_average, reduce, weight)
    return _weighted(E.absolute(E.subtract(input, target)), weight, reduction)


def _classes(where, input, target, weight) -> tuple[Tensor, Tensor]:
    """Input (N, C, d1, ...) and integer target (N, d1, ...), also where one sample (C,) and a 0-d class came."""
    if input.array.ndim == 0:
        raise ValueError(f"{where}: expected input (N, C, ...) or (C,), got a 0-d tensor")
    if target.array.dtype.kind not in "iu":
        raise TypeError(f"{where}: the classes in target must be integers, got {target.dtype}; use target.long()")
    axis = 1 if input.array.ndim > 1 else 0
    shape = input.array.shape
    expected = shape[:axis] + shape[axis + 1 :]
    if target.array.shape != expected:
        raise ValueError(
            f"{where}: expected target {tuple(expected)} for input {tuple(shape)}, got {tuple(target.array.shape)}"
        )
    if weight is not None and weight.array.shape != (shape[axis],):
        raise ValueError(
            f"{where}: weight is {tuple(weight.shape)}, expected one number for each of {shape[axis]} classes"
        )
    if axis == 0:
        return F.unsqueeze(input, 0), F.unsqueeze(target, 0)
    return input, target


def _all_valid(where, target, classes, ignore_index) -> bool:
    """Whether every class lies in its range; False if some are `ignore_index`, and an error if others do not.

    Where looking at the values would wait for a device nothing is known: False.
    """
    array = target.array
    if not isinstance(array, np.ndarray):
        return False
    B = backend_of(array)
    if 0 <= ignore_index < classes and (array == ignore_index).any():
        return False
    try:
        B.check_index(array, classes, where)
    except IndexError:
        B.check_index(array[array != ignore_index], classes, where)
        return False
    return True


def _row_weights(target, weight, ignore_index, dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Classes without ignored ones (0 in their place), the weight of each (0 if ignored), and which count."""
    B = backend_of(target.array)
    counts = B.not_equal(target.array, ignore_index)
    safe = B.where(counts, target.array, 0)
    w = B.astype(counts, dtype)
    if weight is not None:
        w = w * B.astype(weight.array, dtype)[safe]
    return wrap(safe), wrap(w), wrap(counts)


def _over(terms, w) -> Tensor:
    """sum of terms / sum of w; where nothing counts nan, with gradients of 0."""
    B = backend_of(w.array)
    total = B.sum(w.array)
    none = B.equal(total, 0)
    nan = B.astype(B.asarray(B.where(none, math.nan, 0.0)), total.dtype)
    return F.sum(terms) * wrap(B.asarray(1.0 / (total + none))) + wrap(nan)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    ignore_index: int = -100,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[t] x[t] of log-probabilities x; the mean is over the sum of the weights; `ignore_index` counts nothing.

    Shape: input (N, C, d1, ...) and target (N, d1, ...) of classes, or (C,) and (). IndexError for a class out of
    range.
    """
    reduction = check_reduction("nll_loss", reduction, size_average, reduce)
    single = floating(input, "nll_loss").array.ndim == 1
    x, t = _classes("nll_loss", input, a_tensor(target, "nll_loss", "target"), weight)
    if reduction == "mean":
        _refuse_empty("nll_loss", x)
    _all_valid("nll_loss", t, x.array.shape[1], ignore_index)
    loss = _nll(x, *_row_weights(t, weight, ignore_index, x.array.dtype), reduction)
    return F.squeeze(loss, 0) if single and reduction == "none" else loss


def _nll(x, target, w, counts, reduction) -> Tensor:
    picked = S.take_along_axis(x, F.unsqueeze(target, 1), axis=1)
    terms = E.where(counts, -F.squeeze(picked, 1) * w, 0.0)
    return _over(terms, w) if reduction == "mean" else _reduced(terms, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    ignore_index: int = -100,
    reduce=None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-sum over classes c of p[c] weight[c] log softmax(x)[c]; p is 1 at the target class, or the probabilities given.

    label_smoothing s: p becomes (1 - s) p + s / C (Szegedy et al., 2016). The mean is over the sum of the targets'
    weights; over the samples, for probabilities. Targets of class `ignore_index` count nothing.
    Shape: input (N, C, d1, ...); target (N, d1, ...) of classes, or probabilities like the input; (C,) with () or (C,)
    for one sample. ValueError for other shapes, IndexError for a class out of range.

    >>> round(cross_entropy(F.tensor([[1.0, 2.0, 3.0]]), F.tensor([2])).item(), 4)
    0.4076
    """
    where = "cross_entropy"
    reduction = check_reduction(where, reduction, size_average, reduce)
    floating(input, where), a_tensor(target, where, "target")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"{where}: label_smoothing must be between 0 and 1, got {label_smoothing}")
    single = input.array.ndim == 1
    if target.array.dtype.kind == "f" and target.array.shape == input.array.shape and input.array.ndim:
        loss = _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    else:
        x, t = _classes(where, input, target, weight)
        if reduction == "mean":
            _refuse_empty(where, x)
        valid = _all_valid(where, t, x.array.shape[1], ignore_index)
        if valid and weight is None and label_smoothing == 0:
            loss = O.cross_entropy(x, t, reduction=reduction)
        else:
            loss = _weighted_cross_entropy(x, t, weight, ignore_index, reduction, label_smoothing)
        loss = F.squeeze(loss, 0) if single and reduction == "none" else loss
    return loss


def _per_class(weight, ndim) -> Tensor:
    return F.reshape(weight, 1, -1, *(1,) * (ndim - 2))


def _weighted_cross_entropy(x, target, weight, ignore_index, reduction, smoothing) -> Tensor:
    lp = R.log_softmax(x, axis=1)
    t, w, counts = _row_weights(target, weight, ignore_index, x.array.dtype)
    loss = _nll(lp, t, w, counts, reduction)
    if smoothing == 0:
        return loss
    spread = -F.sum(lp if weight is None else lp * _per_class(weight, x.array.ndim), 1) * counts
    spread = _over(spread, w) if reduction == "mean" else _reduced(spread, reduction)
    return loss * (1 - smoothing) + spread * (smoothing / x.array.shape[1])


def _soft_cross_entropy(x, p, weight, reduction, smoothing) -> Tensor:
    axis = 1 if x.array.ndim > 1 else 0
    classes = x.array.shape[axis]
    if reduction == "mean":
        _refuse_empty("cross_entropy", x)
    if weight is not None and weight.array.shape != (classes,):
        raise ValueError(
            f"cross_entropy: weight is {tuple(weight.shape)}, expected one number for each of {classes} classes"
        )
    if smoothing:
        p = p * (1 - smoothing) + smoothing / classes
    if weight is not None:
        p = p * (_per_class(weight, x.array.ndim) if axis else weight)
    terms = -F.sum(R.log_softmax(x, axis=axis) * p, axis)
    return F.sum(terms) / terms.array.size if reduction == "mean" else _reduced(terms, reduction)


# --------------------------------------------------------------------------------------------------------- layers
class _Loss(Module):
    function = staticmethod(mse_loss)

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_reduction(type(self).__name__, reduction, size_average, reduce)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return self.function(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """(x - t)^2, its mean or sum. Shape: input and target the same; a scalar, or the same with reduction='none'."""


class L1Loss(_Loss):
    """|x - t|, its mean or sum. Shape: input and target the same; a scalar, or the same with reduction='none'."""

    function = staticmethod(l1_loss)


class NLLLoss(_Loss):
    """-weight[t] x[t] of log-probabilities x; see `nll_loss`.

    Shape: input (N, C, d1, ...), target (N, d1, ...) of classes.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average=None,
        ignore_index: int = -100,
        reduce=None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """-log softmax(x)[t], with class weights, label smoothing, probabilities as targets: see `cross_entropy`.

    Shape: input (N, C, d1, ...) of logits; target (N, d1, ...) of classes, or probabilities like the input.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average=None,
        ignore_index: int = -100,
        reduce=None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"CrossEntropyLoss: label_smoothing must be between 0 and 1, got {label_smoothing}")
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
