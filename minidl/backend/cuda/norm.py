"""Normalisation over the last axes on the GPU: one reduction, and one launch that applies it; the same backwards."""

from __future__ import annotations

import math

from .. import DEFINITIONS
from . import launch, moments


def _served(*arrays) -> bool:
    given = [a for a in arrays if a is not None]
    return launch.same(*given) and all(a.size for a in given)


def _counted(shape, axis, ndim: int) -> tuple[tuple[int, ...], int]:
    axis = tuple([a % ndim for a in axis])
    return axis, math.prod([shape[a] for a in axis])


def layer_norm(x, weight, bias, *, axis, eps, center=True):
    """y, and mean, variance and 1 / sqrt(variance + eps) over the axes; see ops/norm.py."""
    if not _served(x, weight, bias):
        return DEFINITIONS["layer_norm"](x, weight, bias, axis=axis, eps=eps, center=center)
    mean, var, inv = moments.statistics(x, _counted(x.shape, axis, x.ndim)[0], eps, center)
    return moments.apply(x, mean, inv, weight, bias), mean, var, inv


def layer_norm_grad(g, x, weight, mean, inv, *, axis, center=True):
    """The gradients of x and, element by element or already added up, of weight and bias; see ops/norm.py."""
    if not _served(g, x, weight, mean, inv):
        return DEFINITIONS["layer_norm_grad"](g, x, weight, mean, inv, axis=axis, center=center)
    axis, m = _counted(x.shape, axis, x.ndim)
    sum_g, sum_gx = moments.sums(g, x, weight, mean, inv, axis)
    dx = moments.gradient(g, x, weight, None, mean, inv, sum_g, sum_gx, m, center)
    if weight is None:
        return dx, None, g
    before = tuple(range(x.ndim - weight.ndim))
    if weight.shape == x.shape[len(before) :] and before:
        db, dw = moments.sums(g, x, None, mean, inv, before, keepdims=False, wide=False)
        return dx, dw, db
    return dx, moments.weight_gradient(g, x, mean, inv), g
