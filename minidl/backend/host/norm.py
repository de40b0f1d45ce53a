"""Batch normalisation on the CPU: the sums by dot products, the rest in place."""

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
