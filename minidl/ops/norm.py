"""Batch normalisation (Ioffe and Szegedy, 2015), and normalisation over any axes (Ba et al., 2016)."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import FUNCTIONS, Aux, op


def _per_channel(v, ndim):
    """(C,) as (1, C, 1, ...), to go with x (N, C, ...)."""
    return backend_of(v).reshape(v, shape=(1, -1) + (1,) * (ndim - 2))


def _affine(x, scale, shift):
    y = x * scale
    return y if shift is None else y + shift


def _axes(x) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _wide(*vs):
    """Halves in single precision, for their sums may be too large for a half; all else as it is."""
    return [v if v is None or v.dtype.itemsize > 2 else backend_of(v).astype(v, dtype="float32") for v in vs]


def _outputs(y, *found):
    return y, *[Aux(v if v.dtype == y.dtype else backend_of(v).astype(v, dtype=y.dtype)) for v in found]


@definition("layer_norm")
def plain_layer_norm(x, weight, bias, *, axis, eps, center=True):
    """y, and mean (0 unless center), (biased) variance around it and 1 / sqrt(variance + eps) over the axes.

    Of halves all but y in single precision, and all that its gradient gives.
    """
    B, m, kind = backend_of(x), math.prod([x.shape[a] for a in axis]), x.dtype
    x, weight, bias = _wide(x, weight, bias)
    mean = B.sum(x, axis=axis, keepdims=True) / m if center else None
    d = x - mean if center else x
    var = B.sum(d * d, axis=axis, keepdims=True) / m
    inv = 1.0 / B.sqrt(var + eps)
    if weight is None or weight.shape == inv.shape:
        y = d * (inv if weight is None else inv * weight)
    else:
        y = d * inv * weight
    y = y if bias is None else y + bias
    return y if y.dtype == kind else B.astype(y, dtype=kind), mean if center else B.zeros_like(var), var, inv


@definition("layer_norm_grad")
def plain_layer_norm_grad(g, x, weight, mean, inv, *, axis, center=True):
    """The gradients of x and, element by element, of weight (None if there is none) and bias."""
    B, m = backend_of(g), math.prod([x.shape[a] for a in axis])
    g, x, weight, mean, inv = _wide(g, x, weight, mean, inv)
    xh = (x - mean if center else x) * inv
    gx, dw = (g, None) if weight is None else (g * weight, g * xh)
    dx = gx - xh * (B.sum(gx * xh, axis=axis, keepdims=True) / m)
    return (dx - B.sum(gx, axis=axis, keepdims=True) / m if center else dx) * inv, dw, g


def layer_norm_definition(x, weight, bias, *, axis, eps, center=True):
    """The op by ops alone, for higher derivatives."""
    return plain_layer_norm(x, weight, bias, axis=axis, eps=eps, center=center)[:3]


@op(composed=layer_norm_definition)
def layer_norm(x, weight, bias, *, axis, eps, center=True):
    """y = weight (x - mean) / sqrt(var + eps) + bias, with mean and (biased) variance over the axes of each sample.

    The second and third output are this mean and this variance; center=False: with the mean taken to be 0 (RMS norm).
    weight and bias broadcast against x. With xh = (x - mean) / sqrt(var + eps), h = g weight, averages over the axes:
    dL/dx = (h - average h - xh average(h xh)) / sqrt(var + eps),   dL/dweight = sum g xh,   dL/dbias = sum g.
    """
    y, mean, var, inv = backend_of(x).layer_norm(x, weight, bias, axis=axis, eps=eps, center=center)

    def joint(g, _mean, _var, *, needs):
        return backend_of(g).layer_norm_grad(g, x, weight, mean, inv, axis=axis, center=center)

    return _outputs(y, mean, var), joint


@definition("channel_sum")
def plain_channel_sum(x):
    """The sum over all axes but the second."""
    return backend_of(x).sum(x, axis=_axes(x))


FUNCTIONS["channel_sum"] = plain_channel_sum


@definition("batch_norm")
def plain_batch_norm(x, weight, bias, *, eps):
    """y, and mean, (biased) variance and 1 / sqrt(variance + eps) of each channel."""
    weight, bias = [None if v is None else _per_channel(v, x.ndim) for v in (weight, bias)]
    y, *found = plain_layer_norm(x, weight, bias, axis=_axes(x), eps=eps)
    return y, *[backend_of(x).reshape(v, shape=(-1,)) for v in found]


@definition("batch_norm_grad")
def plain_batch_norm_grad(g, x, weight, mean, inv):
    """The gradients of x, weight and bias."""
    B, axes, nd, m = backend_of(g), _axes(x), x.ndim, math.prod(x.shape) // x.shape[1]
    g, x, weight, mean, inv = _wide(g, x, weight, mean, inv)
    mean, inv = _per_channel(mean, nd), _per_channel(inv, nd)
    xh = (x - mean) * inv
    sum_g, sum_gx = B.sum(g, axis=axes, keepdims=True), B.sum(g * xh, axis=axes, keepdims=True)
    scale = inv if weight is None else _per_channel(weight, nd) * inv
    dx = scale * (g - sum_g / m - xh * (sum_gx / m))
    return dx, B.reshape(sum_gx, shape=(-1,)), B.reshape(sum_g, shape=(-1,))


@definition("follow")
def plain_follow(running, new, momentum, scale):
    """running <- (1 - momentum) running + momentum scale new, in place."""
    running[...] = running * (1 - momentum) + new * scale * momentum


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

    return _outputs(y, mean, var), joint


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
