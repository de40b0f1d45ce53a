"""Losses of a prediction of classes: cross-entropy with all its options, and margins between the classes' scores."""

from __future__ import annotations

import warnings

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError, backend_of
from ...ops import elementwise as E
from ...ops import loss as O
from ...ops import reduce as R
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import DtypeError, a_tensor, floating, number
from .base import TargetLoss, WeightedLoss, check_reduction, reduced, refuse_empty, same_shapes


def _check_weight(where, weight, classes) -> None:
    if weight is not None and floating(weight, where, "weight").array.shape != (classes,):
        raise ArgumentError(
            f"{where}: weight is {tuple(weight.shape)}, expected one number for each of {classes} classes"
        )


def _check_ignored(where, ignore_index) -> None:
    if not isinstance(ignore_index, (int, np.integer)) or isinstance(ignore_index, bool):
        raise TypeError(f"{where}: ignore_index must be an int, got {ignore_index!r}")


def _check_smoothing(where, label_smoothing) -> None:
    if not 0.0 <= number(label_smoothing, "label_smoothing", where) <= 1.0:
        raise ArgumentError(f"{where}: label_smoothing must be between 0 and 1, got {label_smoothing}")


def _classes(where, input, target, weight) -> tuple[Tensor, Tensor]:
    """Input (N, C, d1, ...) and integer target (N, d1, ...), also where one sample (C,) and a 0-d class came."""
    if input.array.ndim == 0:
        raise ArgumentError(f"{where}: expected input (N, C, ...) or (C,), got a 0-d tensor")
    if target.array.dtype.kind not in "iu":
        raise DtypeError(f"{where}: the classes in target must be integers, got {target.dtype}; use target.long()")
    axis = 1 if input.array.ndim > 1 else 0
    shape = input.array.shape
    expected = shape[:axis] + shape[axis + 1 :]
    if target.array.shape != expected:
        raise ArgumentError(
            f"{where}: expected target {tuple(expected)} for input {tuple(shape)}, got {tuple(target.array.shape)}"
        )
    _check_weight(where, weight, shape[axis])
    if axis == 0:
        return F.unsqueeze(input, 0), F.unsqueeze(target, 0)
    return input, target


def _all_valid(where, target, classes, ignore_index) -> bool:
    """Whether every class lies in its range; False if some are `ignore_index`, and an error if others do not.

    Where looking at the values would wait for a device, it is known of targets that were checked when they came in
    (`TensorDataset(..., classes=10)`, the image data sets); of others nothing is: False.
    """
    array = target.array
    if not isinstance(array, np.ndarray):
        below = known_below(target)
        return below is not None and below <= classes and not 0 <= ignore_index < classes
    B = backend_of(array)
    try:
        B.check_index(array, classes, where)
    except IndexError:
        B.check_index(array[array != ignore_index], classes, where)
        return False
    return not (0 <= ignore_index < classes and bool((array == ignore_index).any()))


def known_below(target: Tensor) -> int | None:
    """The number that all of the target's are known to be below: they were checked, and have not changed since."""
    return target.below if target.version and not target.version[0] else None


def _row_weights(target, weight, ignore_index, dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Classes without ignored ones (0 in their place), the weight of each (0 if ignored), and which count."""
    B = backend_of(target.array)
    safe, w, counts = B.counted(target.array, int(ignore_index), dtype)
    if weight is not None:
        w = w * B.astype(weight.array, dtype)[safe]
    return wrap(safe), wrap(w), wrap(counts)


def _over(terms, w) -> Tensor:
    """sum of terms / sum of w; where nothing counts nan, with gradients of 0."""
    B = backend_of(w.array)
    share, nan = B.shares(B.asarray(B.sum(w.array)))
    return F.sum(terms * wrap(share)) + wrap(nan)  # in float16 the plain sum may overflow


@whole
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
    _check_ignored("nll_loss", ignore_index)
    single = floating(input, "nll_loss").array.ndim == 1
    x, t = _classes("nll_loss", input, a_tensor(target, "nll_loss", "target"), weight)
    refuse_empty("nll_loss", x, reduction)
    _all_valid("nll_loss", t, x.array.shape[1], ignore_index)
    loss = _nll(x, *_row_weights(t, weight, ignore_index, x.array.dtype), reduction)
    return F.squeeze(loss, 0) if single and reduction == "none" else loss


def _nll(x, target, w, counts, reduction) -> Tensor:
    picked = S.take_along_axis(x, F.unsqueeze(target, 1), axis=1)
    return _counted(-F.squeeze(picked, 1) * w, w, counts, reduction)


def _counted(terms, w, counts, reduction) -> Tensor:
    terms = E.where(counts, terms, 0.0)
    return _over(terms, w) if reduction == "mean" else reduced(terms, reduction)


@whole
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
    _check_smoothing(where, label_smoothing)
    _check_ignored(where, ignore_index)
    single = input.array.ndim == 1
    if target.array.dtype.kind == "f" and target.array.shape == input.array.shape and input.array.ndim:
        if ignore_index >= 0:
            raise ArgumentError(f"{where}: ignore_index={ignore_index} is not supported for probabilities as targets")
        loss = _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    else:
        x, t = _classes(where, input, target, weight)
        refuse_empty(where, x, reduction)
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
    t, w, counts = _row_weights(target, weight, ignore_index, x.array.dtype)
    if smoothing == 0:
        terms = O.cross_entropy(x, t, reduction="none")
        return _counted(terms if weight is None else terms * w, w, counts, reduction)
    lp = R.log_softmax(x, axis=1)
    loss = _nll(lp, t, w, counts, reduction)
    spread = -F.sum(lp if weight is None else lp * _per_class(weight, x.array.ndim), 1) * counts
    spread = _over(spread, w) if reduction == "mean" else reduced(spread, reduction)
    return loss * (1 - smoothing) + spread * (smoothing / x.array.shape[1])


def _soft_cross_entropy(x, p, weight, reduction, smoothing) -> Tensor:
    axis = 1 if x.array.ndim > 1 else 0
    classes = x.array.shape[axis]
    refuse_empty("cross_entropy", x, reduction)
    _check_weight("cross_entropy", weight, classes)
    if smoothing:
        p = p * (1 - smoothing) + smoothing / classes
    if weight is not None:
        p = p * (_per_class(weight, x.array.ndim) if axis else weight)
    terms = -F.sum(R.log_softmax(x, axis=axis) * p, axis)
    return F.sum(terms) / terms.array.size if reduction == "mean" else reduced(terms, reduction)


@whole
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """(1/C) sum over the other classes c of weight[t] max(0, margin - x[t] + x[c])^p, p = 1 or 2.

    Shape: input (N, C) of scores and target (N,) of classes, or (C,) and (). IndexError for a class out of range.
    """
    where = "multi_margin_loss"
    reduction = check_reduction(where, reduction, size_average, reduce)
    _check_power(where, p)
    margin = number(margin, "margin", where)
    single = floating(input, where).array.ndim == 1
    x, t = _classes(where, input, a_tensor(target, where, "target"), weight)
    if x.array.ndim != 2:
        raise ArgumentError(f"{where}: expected input (N, C) or (C,), got {tuple(input.shape)}")
    refuse_empty(where, x, reduction)
    B, classes = backend_of(x.array), x.array.shape[1]
    B.check_index(t.array, classes, where)
    t = F.unsqueeze(t, 1)
    z = E.relu(margin - S.take_along_axis(x, t, axis=1) + x)
    z = E.where(wrap(B.not_equal(B.arange(classes), t.array)), z if p == 1 else z * z, 0.0)
    terms = F.sum(z, 1) / classes
    if weight is not None:
        terms = terms * wrap(weight.array[t.array[:, 0]])
    return reduced(F.squeeze(terms, 0) if single else terms, reduction)


def _check_power(where: str, p) -> None:
    if p not in (1, 2):
        raise ArgumentError(f"{where}: p must be 1 or 2, got {p!r}")


@whole
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """(1/C) sum over the classes t of a sample, and all others c, of max(0, 1 - x[t] + x[c]).

    Shape: input and target (N, C) or (C,), the target's rows the classes of a sample, ended by -1 (what comes after it
    does not count). IndexError for a class out of range.
    """
    where = "multilabel_margin_loss"
    reduction = check_reduction(where, reduction, size_average, reduce)
    floating(input, where)
    same_shapes(where, input=input, target=target)
    if target.array.dtype.kind != "i":
        raise DtypeError(f"{where}: the classes in target must be integers, got {target.dtype}; use target.long()")
    if input.array.ndim not in (1, 2):
        raise ArgumentError(f"{where}: expected input (N, C) or (C,), got {tuple(input.shape)}")
    refuse_empty(where, input, reduction)
    single, classes, B = input.array.ndim == 1, input.array.shape[-1], backend_of(input.array)
    x, t = (F.unsqueeze(input, 0), target.array.reshape(1, -1)) if single else (input, target.array)
    B.check_index(t + (t == -1), classes, where)
    listed = B.equal(B.cumsum(B.astype(t < 0, "int64"), axis=1), 0)
    t = B.where(listed, t, 0)
    hits = B.equal(B.reshape(t, (*t.shape, 1)), B.arange(classes)) & B.reshape(listed, (*t.shape, 1))
    others = B.reshape(~hits.any(axis=1), (len(t), 1, classes))
    z = E.relu(1.0 - F.unsqueeze(S.take_along_axis(x, wrap(t), axis=1), 2) + F.unsqueeze(x, 1))
    terms = F.sum(E.where(wrap(B.reshape(listed, (*t.shape, 1)) & others), z, 0.0), (1, 2)) / classes
    return reduced(F.squeeze(terms, 0) if single else terms, reduction)


# --------------------------------------------------------------------------------------------------------- layers
class NLLLoss(WeightedLoss):
    """-weight[t] x[t] of log-probabilities x; see `nll_loss`.

    Shape: input (N, C, d1, ...), target (N, d1, ...) of classes.
    """

    function, arguments = nll_loss, ("weight", "ignore_index")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average=None,
        ignore_index: int = -100,
        reduce=None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        _check_ignored("NLLLoss", ignore_index)
        self.ignore_index = ignore_index


class NLLLoss2d(NLLLoss):
    """`NLLLoss` under an old name, of images (N, C, H, W); warns of that."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average=None,
        ignore_index: int = -100,
        reduce=None,
        reduction: str = "mean",
    ) -> None:
        warnings.warn("NLLLoss2d is an old name; use NLLLoss, which is the same", FutureWarning, stacklevel=2)
        super().__init__(weight, size_average, ignore_index, reduce, reduction)


class CrossEntropyLoss(WeightedLoss):
    """-log softmax(x)[t], with class weights, label smoothing, probabilities as targets: see `cross_entropy`.

    Shape: input (N, C, d1, ...) of logits; target (N, d1, ...) of classes, or probabilities like the input.
    """

    function, arguments = cross_entropy, ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average=None,
        ignore_index: int = -100,
        reduce=None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        _check_smoothing("CrossEntropyLoss", label_smoothing)
        _check_ignored("CrossEntropyLoss", ignore_index)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing


class MultiMarginLoss(WeightedLoss):
    """Scores of the other classes that come within a margin of the right one's; see `multi_margin_loss`.

    Shape: input (N, C), target (N,) of classes.
    """

    function, arguments = multi_margin_loss, ("p", "margin", "weight")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average=None,
        reduce=None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        _check_power("MultiMarginLoss", p)
        self.p, self.margin = p, margin


class MultiLabelMarginLoss(TargetLoss):
    """Margins between the scores of a sample's classes and all others; see `multilabel_margin_loss`.

    Shape: input and target (N, C), the rows of the target lists of classes ended by -1.
    """

    function = multilabel_margin_loss
