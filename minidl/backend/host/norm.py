"""Normalisation on the CPU: the sums by dot products, the rest in place."""

from __future__ import annotations

import math

import numpy as np


def _channel_sum(a):
    """(N, C, L) summed to (C, 1)."""
    return np.add.reduce(np.add.reduce(a, axis=2), axis=0)[:, None]


def batch_norm(x, weight, bias, *, eps):
    """y, and mean, variance and 1 / sqrt(variance + eps) of each channel; see ops/norm.py."""
    n, c = x.shape[:2]
    m = math.prod(x.shape) // c
    flat = x.reshape(n, c, -1)
    mean = _channel_sum(flat) / m
    y = flat - mean
    var = np.add.reduce(np.vecdot(y, y), axis=0)[:, None] / m
    inv = 1.0 / np.sqrt(var + eps)
    y *= inv if weight is None else weight[:, None] * inv
    if bias is not None:
        y += bias[:, None]
    return y.reshape(x.shape), mean[:, 0], var[:, 0], inv[:, 0]


def batch_norm_grad(g, x, weight, mean, inv):
    """The gradients of x, weight and bias; see ops/norm.py."""
    n, c = x.shape[:2]
    m = math.prod(x.shape) // c
    mean, inv, g3 = mean[:, None], inv[:, None], g.reshape(n, c, -1)
    dx = x.reshape(n, c, -1) - mean
    sum_g = _channel_sum(g3)
    sum_gx = np.add.reduce(np.vecdot(g3, dx), axis=0)[:, None] * inv
    dx *= inv * (sum_gx / -m)
    dx += g3
    dx -= sum_g / m
    dx *= inv if weight is None else weight[:, None] * inv
    return dx.reshape(x.shape), sum_gx[:, 0], sum_g[:, 0]


def _dot(a, b, axis):
    """The sum of a b over the last axes, which are kept with size 1."""
    lead, m = a.shape[: a.ndim - len(axis)], math.prod(a.shape[a.ndim - len(axis) :])  # -1 cannot stand for m if N is 0
    return np.vecdot(a.reshape(*lead, m), b.reshape(*lead, m)).reshape(*lead, *(1,) * len(axis))


def layer_norm(x, weight, bias, *, axis, eps, center=True):
    """y, and mean, variance and 1 / sqrt(variance + eps) over the last axes; see ops/norm.py."""
    m = math.prod([x.shape[a] for a in axis])
    mean = np.add.reduce(x, axis=axis, keepdims=True) / m if center else None
    y = x - mean if center else x
    var = _dot(y, y, axis) / m
    inv = 1.0 / np.sqrt(var + eps)
    y = np.multiply(y, inv, out=y if center else None)
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, mean if center else np.zeros_like(var), var, inv


def layer_norm_grad(g, x, weight, mean, inv, *, axis, center=True):
    """The gradients of x and, element by element, of weight and bias; see ops/norm.py."""
    m = math.prod([x.shape[a] for a in axis])
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
