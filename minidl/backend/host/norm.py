"""Normalisation on the CPU: the sums by dot products, the rest in place."""

from __future__ import annotations

import math

import numpy as np

from .. import DEFINITIONS
from . import exponentials
from .products import column_sums


def _dot(a, b, axis):
    """The sum of a b over the last axes, which are kept with size 1."""
    lead, m = a.shape[: a.ndim - len(axis)], math.prod(a.shape[a.ndim - len(axis) :])  # -1 cannot stand for m if N is 0
    return np.vecdot(a.reshape(*lead, m), b.reshape(*lead, m)).reshape(*lead, *(1,) * len(axis))


def layer_norm(x, weight, bias, *, axis, eps, center=True):
    """y, and mean, variance and 1 / sqrt(variance + eps) over the last axes; see ops/norm.py."""
    if x.dtype.itemsize < 4:
        return DEFINITIONS["layer_norm"](x, weight, bias, axis=axis, eps=eps, center=center)
    m = math.prod([x.shape[a] for a in axis])
    mean = None
    if center:
        mean = (exponentials.row_sums(x) if len(axis) == 1 else np.add.reduce(x, axis=axis, keepdims=True)) / m
    y = x - mean if center else x
    var = _dot(y, y, axis) / m
    inv = 1.0 / np.sqrt(var + eps)
    y = np.multiply(y, inv, out=y if center else None)
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, mean if center else np.zeros_like(var), var, inv


def _by_products(g, x, weight, mean, inv, m, center):
    """The same for a weight for each of the last features: all sums are products of the rows with vectors."""
    g2, x2, w, inv = g.reshape(-1, m), x.reshape(-1, m), weight.reshape(m), inv.reshape(-1, 1)
    xh = (x2 - mean.reshape(-1, 1)) if center else x2 * inv
    if center:
        xh *= inv
    p = g2 * xh
    dw, along = column_sums(p), (p @ w)[:, None]
    xh *= along * (-1 / m)
    xh += np.multiply(g2, w, out=p)
    if center:
        xh -= (g2 @ (w / m))[:, None]
    xh *= inv
    return xh.reshape(x.shape), dw.reshape(weight.shape), column_sums(g2).reshape(weight.shape)


def layer_norm_grad(g, x, weight, mean, inv, *, axis, center=True):
    """The gradients of x and, element by element or already added up, of weight and bias; see ops/norm.py."""
    if x.dtype.itemsize < 4:
        return DEFINITIONS["layer_norm_grad"](g, x, weight, mean, inv, axis=axis, center=center)
    m = math.prod([x.shape[a] for a in axis])
    if weight is not None and weight.shape == x.shape[x.ndim - len(axis) :] and x.size:
        return _by_products(g, x, weight, mean, inv, m, center)
    xh = x - mean if center else x * inv
    if center:
        xh *= inv
    gx, dw = (g, None) if weight is None else (g * weight, g * xh)
    xh *= _dot(gx, xh, axis) / -m
    xh += gx
    if center:
        xh -= np.add.reduce(gx, axis=axis, keepdims=True) / m
    xh *= inv
    return xh, dw, g
