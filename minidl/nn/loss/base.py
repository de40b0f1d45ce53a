"""What all losses share: their reductions, the checks of their arguments, and the layer that holds their options."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from ... import functions as F
from ...backend import ArgumentError
from ...tensor import Tensor
from ..checks import a_tensor, floating
from ..module import Module


def check_reduction(where: str, reduction: str, size_average=None, reduce=None, more: tuple[str, ...] = ()) -> str:
    """The reduction, if it is one (or one of `more`); PyTorch's two old arguments for it take its place, and warn."""
    if size_average is not None or reduce is not None:
        mean, whole = size_average is None or size_average, reduce is None or reduce
        reduction = "none" if not whole else "mean" if mean else "sum"
        text = f"{where}: size_average and reduce are deprecated, use reduction={reduction!r} instead"
        warnings.warn(text, UserWarning, stacklevel=3)
    if reduction not in ("mean", "sum", "none", *more):
        names = ", ".join(repr(name) for name in (*more, "mean", "sum"))
        raise ArgumentError(f"{where}: reduction must be {names} or 'none', got {reduction!r}")
    return reduction


def reduced(terms: Tensor, reduction: str) -> Tensor:
    """The mean of the terms, their sum, or themselves."""
    return F.mean(terms) if reduction == "mean" else F.sum(terms) if reduction == "sum" else terms


def refuse_empty(where: str, input: Tensor, reduction: str) -> None:
    """No mean of nothing."""
    if reduction in ("mean", "batchmean") and input.array.size == 0:
        raise ArgumentError(f"{where}: the batch is empty (input is {tuple(input.shape)}), it has no mean")


def same_shapes(where: str, **tensors) -> None:
    """Check that all are Tensors of the first one's shape: nothing is broadcast."""
    (first, x), *others = tensors.items()
    a_tensor(x, where, first)
    for name, other in others:
        if a_tensor(other, where, name).array.shape != x.array.shape:
            raise ArgumentError(
                f"{where}: {first} is {tuple(x.shape)}, {name} is {tuple(other.shape)}: the shapes must be the same "
                "(nothing is broadcast); use reshape, or expand"
            )


def pairwise(where, input, target, reduction, size_average=None, reduce=None, more=()) -> str:
    """What the losses that compare two tensors of one shape check; the reduction."""
    reduction = check_reduction(where, reduction, size_average, reduce, more)
    floating(input, where)
    same_shapes(where, input=input, target=target)
    refuse_empty(where, input, reduction)
    return reduction


def check_broadcasts(where: str, name: str, x, input: Tensor) -> None:
    """Check that x is None or a Tensor that can be expanded to the input's shape."""
    if x is None:
        return
    shape, given = input.array.shape, a_tensor(x, where, name).array.shape
    pairs = zip(given[::-1], shape[::-1], strict=False)
    if len(given) > len(shape) or any(a not in (1, b) for a, b in pairs):
        raise ArgumentError(
            f"{where}: {name} is {tuple(given)}, which cannot be expanded to the input's {tuple(shape)}"
        )


def check_values(where: str, name: str, x: Tensor, test: Callable, expected: str) -> None:
    """Check every value of a Tensor on the host; on a device that would wait for it, so there nothing is checked."""
    if isinstance(x.array, np.ndarray):
        good = np.asarray(test(x.array))
        if not good.all():
            raise ArgumentError(f"{where}: {name} must be {expected}, got {x.array[~good].flat[0]}")


def check_signs(where: str, target: Tensor) -> None:
    """Check that the target holds 1 and -1 only."""
    check_values(where, "target", target, lambda t: (t == 1) | (t == -1), "1 or -1 everywhere")


def check_fractions(where: str, name: str, x: Tensor) -> None:
    """Check that all numbers lie in [0, 1]; nan does not."""
    check_values(where, name, x, lambda t: (t >= 0) & (t <= 1), "between 0 and 1 (apply sigmoid to logits)")


_HERE = __name__.rpartition(".")[0]  # losses from elsewhere may have reductions of their own


class Loss(Module):
    """A loss as a layer: `function` with the attributes named in `arguments`, and the reduction, as its arguments."""

    function: Callable
    arguments: tuple[str, ...] = ()
    own_reductions: tuple[str, ...] = ()

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__()
        if isinstance(size_average, Tensor) or isinstance(reduce, Tensor) or isinstance(reduction, Tensor):
            name = type(self).__name__
            raise TypeError(f"{name}: the layer is made first, then called: {name}()(input, target); got a Tensor")
        known = self.own_reductions if type(self).__module__.startswith(_HERE) else (reduction,)
        self.reduction = check_reduction(type(self).__name__, reduction, size_average, reduce, known)

    def compute(self, *inputs) -> Tensor:
        """The loss of the inputs with this layer's options."""
        options = {name: getattr(self, name) for name in self.arguments}
        return type(self).function(*inputs, reduction=self.reduction, **options)


class TargetLoss(Loss):
    """A loss of an input against a target."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of input against target."""
        return self.compute(input, target)


class WeightedLoss(TargetLoss):
    """A loss with weights, which are a buffer."""

    arguments: tuple[str, ...] = ("weight",)

    def __init__(self, weight: Tensor | None = None, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
