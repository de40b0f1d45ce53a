"""Batch normalisation (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import Aux, op


def _per_channel(v, ndim):
    """(C,) as (1, C, 1, ...), to go with x (N, C, ...)."""
    return backend_of(v).reshape(v, shape=(1, -1) + (1,) * (ndim - 2))


def _affine(x, scale, shift):
    y = x * scale
    return y if shift is None else y + shift


def _axes(x) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


@definition("batch_norm")
def plain_batch_norm(x, weight, bias, *, eps):
    """y, and mean, (biased) variance and 1 / sqrt(variance + eps) of each channel."""
    B, axes, m = backend_of(x), _axes(x), math.prod(x.shape) // x.shape[1]
    mean = B.sum(x, axis=axes, keepdims=True) / m
    d = x - mean
    var = B.sum(d * d, axis=axes, keepdims=True) / m
    inv = 1.0 / B.sqrt(var + eps)
    scale = inv if weight is None else _per_channel(weight, x.ndim) * inv
    y = _affine(d, scale, None if bias is None else _per_channel(bias, x.ndim))
    return y, *[B.reshape(v, shape=(-1,)) for v in (mean, var, inv)]


@definition("batch_norm_grad")
def plain_batch_norm_grad(g, x, weight, mean, inv):
    """The gradients of x, weight and bias."""
    B, axes, nd, m = backend_of(g), _axes(x), x.ndim, math.prod(x.shape) // x.shape[1]
    mean, inv = _per_channel(mean, nd), _per_channel(inv, nd)
    xh = (x - mean) * inv
    sum_g, sum_gx = B.sum(g, axis=axes, keepdims=True), B.sum(g * xh, axis=axes, keepdims=True)
    scale = inv if weight is None else _per_channel(weight, nd) * inv
    dx = scale * (g - sum_g / m - xh * (sum_gx / m))
    return dx, B.reshape(sum_gx, shape=(-1,)), B.reshape(sum_g, shape=(-1,))


def batch_norm_definition(x, weight, bias, *, eps):
    """The op by ops alone, for higher derivatives."""
    return plain_batch_norm(x, weight, bias, eps=eps)[:3]


@op(composed=batch_norm_definition)
def batch_norm(x, weight, bias, *, eps):
    """y = weight (x - mean) / sqrt(var + eps) + bias, with each channel's mean and (biased) variance over the batch.

    The second and third output are this mean and this variance. With xh = (x - mean) / sqrt(var + eps) and m values in
    each channel:   dL/dbias = sum g,   dL/dweight = sum g xh,
    dL/dx = weight / sqrt(var + eps) (g - sum g / m - xh sum(g xh) / m).
    """
    y, mean, var, inv = backend_of(x).batch_norm(x, weight, bias, eps=eps)

    # x, not the normalised x, is captured: the layer before holds it anyway
    def joint(g, _mean, _var, *, needs):
        return backend_of(g).batch_norm_grad(g, x, weight, mean, inv)

    return (y, Aux(mean), Aux(var)), joint


@op
def batch_norm_fixed(x, weight, bias, mean, var, *, eps):
    """y = weight (x - mean) / sqrt(var + eps) + bias with a given mean and variance of each channel.

    dL/dx = g weight / sqrt(var + eps),   dL/dweight = sum g (x - mean) / sqrt(var + eps),   dL/dbias = sum g.
    """
    B, nd = backend_of(x), x.ndim
    axes = (0, *range(2, nd))
    inv = 1.0 / B.sqrt(var + eps)
    scale = _per_channel(inv if weight is None else weight * inv, nd)
    shift = -mean * inv if weight is None else -mean * inv * weight
    y = _affine(x, scale, _per_channel(shift if bias is None else shift + bias, nd))

    def dweight(g):
        B = backend_of(g)
        return B.sum(g * (x - _per_channel(mean, nd)), axis=axes) * inv

    return y, (
        lambda g: g * scale,
        None if weight is None else dweight,
        None if bias is None else lambda g: backend_of(g).sum(g, axis=axes),
        None,
        None,
    )
