"""Dropout: some of the input is left out at random, in training only."""

from __future__ import annotations

from ...backend import ArgumentError, backend_of
from ...backend.random import default_generator
from ...ops import noise as D
from ...tensor import Tensor, wrap
from ..checks import a_tensor, floating, probability


def _mask(input: Tensor, shape, p: float) -> Tensor:
    """True with probability 1 - p, on the input's device."""
    return wrap(backend_of(input.array).dropout_mask(shape, p, default_generator().key()))


def _dropped(input: Tensor, shape, p: float, inplace: bool) -> Tensor:
    mask = _mask(input, shape, p)
    scale = 1.0 / (1.0 - p) if p < 1 else 0.0
    if inplace:
        return input.assign("dropout_", lambda: D.dropout(input, mask, scale=scale))
    return D.dropout(input, mask, scale=scale)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training each element is 0 with probability p, else multiplied by 1 / (1 - p); otherwise the input itself.

    Srivastava et al., 2014.
    """
    a_tensor(input, "dropout")
    probability(p, "dropout")
    if not training or p == 0:
        return input
    return _dropped(input, input.array.shape, p, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels. Shape: (N, C, L) or (C, L), unchanged. Tompson et al., 2015."""
    shape = a_tensor(input, "dropout1d").array.shape
    if len(shape) not in (2, 3):
        raise ArgumentError(f"dropout1d: expected input (N, C, L) or (C, L), got {tuple(shape)}")
    probability(p, "dropout1d")
    if not training or p == 0:
        return input
    return _dropped(input, (*shape[:-1], 1), p, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels. Shape: (N, C, H, W), or (N, C, L) as in PyTorch, unchanged. Tompson et al., 2015."""
    shape = a_tensor(input, "dropout2d").array.shape
    if len(shape) not in (3, 4):
        raise ArgumentError(f"dropout2d: expected input (N, C, H, W) or (N, C, L), got {tuple(shape)}")
    probability(p, "dropout2d")
    if not training or p == 0:
        return input
    return _dropped(input, (*shape[:2], *(1,) * (len(shape) - 2)), p, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels. Shape: (N, C, D, H, W) or (C, D, H, W), unchanged. Tompson et al., 2015."""
    shape = a_tensor(input, "dropout3d").array.shape
    if len(shape) not in (4, 5):
        raise ArgumentError(f"dropout3d: expected input (N, C, D, H, W) or (C, D, H, W), got {tuple(shape)}")
    probability(p, "dropout3d")
    if not training or p == 0:
        return input
    return _dropped(input, (*shape[:-3], 1, 1, 1), p, inplace)


_LOWEST = -1.7580993408473766  # what selu goes to for x to -infinity


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """In training each element is, with probability p, selu's lowest value; then all are scaled and shifted.

    So mean 0 and variance 1 stay what they are: y = a (x m - 1.758... (1 - m)) + 1.758... a p with m the mask and
    a = 1 / sqrt((1 - p) (1 + 1.758...^2 p)). Klambauer et al., 2017.
    """
    x = floating(input, "alpha_dropout")
    return _alpha_dropped("alpha_dropout", x, x.array.shape, p, training, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels. Shape: (N, C, ...), unchanged."""
    shape = floating(input, "feature_alpha_dropout").array.shape
    if len(shape) < 2:
        raise RuntimeError(f"feature_alpha_dropout: expected input (N, C, ...), got {tuple(shape)}")
    shape = (*shape[:2], *(1,) * (len(shape) - 2))
    return _alpha_dropped("feature_alpha_dropout", input, shape, p, training, inplace)


def _alpha_dropped(where: str, x: Tensor, shape, p: float, training: bool, inplace: bool) -> Tensor:
    """x with what a mask of this shape leaves out at selu's lowest value."""
    probability(p, where)
    if not training or p == 0:
        return x
    a = ((1 - p) * (1 + _LOWEST**2 * p)) ** -0.5 if p < 1 else 0.0
    mask = _mask(x, shape, p)

    def compute() -> Tensor:
        return D.dropout(x, mask, scale=a) + (1.0 - mask.to(x.dtype)) * (_LOWEST * a) - _LOWEST * a * p

    return x.assign(f"{where}_", compute) if inplace else compute()
