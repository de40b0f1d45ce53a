"""Two-dimensional convolution and its two derivatives: three ops, which are each other's derivatives."""

from __future__ import annotations

import functools

from ..backend import backend_of, definition
from ..engine import op


def _offsets(kernel, out, stride, dilation):
    """For each kernel position: its number, and the index of the (padded) pixels that it meets."""
    for k in range(kernel[0]):
        for l in range(kernel[1]):
            rows = slice(k * dilation[0], k * dilation[0] + (out[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(l * dilation[1], l * dilation[1] + (out[1] - 1) * stride[1] + 1, stride[1])
            yield k, l, (slice(None), slice(None), rows, columns)


def conv_output_size(size, kernel, stride, padding, dilation) -> tuple[int, int]:
    """(P, Q) of a convolution: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    return tuple(
        [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
        ]
    )


def _grouped(x, groups):
    """(N, C, H, W) as (N, G, C/G, H W)."""
    n, c, h, w = x.shape
    return backend_of(x).reshape(x, shape=(n, groups, c // groups, h * w))


@definition("conv2d")
def plain_conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    """For each kernel position (k, l): the pixels it meets, times w[:, :, k, l]; the sum of them all."""
    B, (f, c, *kernel) = backend_of(x), w.shape
    p, q = conv_output_size(x.shape[2:], kernel, stride, padding, dilation)
    x = B.pad(x, width=((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    y = 0.0
    for k, l, index in _offsets(kernel, (p, q), stride, dilation):
        y = y + B.reshape(w[:, :, k, l], shape=(groups, f // groups, c)) @ _grouped(x[index], groups)
    y = B.reshape(y, shape=(x.shape[0], f, p, q))
    return y if b is None else y + B.reshape(b, shape=(1, f, 1, 1))


@definition("conv2d_input_grad")
def plain_conv2d_input_grad(g, w, *, stride, padding, dilation, groups, shape):
    """For each kernel position: g times w[:, :, k, l] transposed, added to the pixels that it met."""
    B, (f, c, *kernel) = backend_of(g), w.shape
    (ph, pw), (n, channels, height, width) = padding, shape
    gx = B.zeros((n, channels, height + 2 * ph, width + 2 * pw), dtype=g.dtype)
    for k, l, index in _offsets(kernel, g.shape[2:], stride, dilation):
        wt = B.swapaxes(B.reshape(w[:, :, k, l], shape=(groups, f // groups, c)), axis1=-1, axis2=-2)
        gx[index] += B.reshape(wt @ _grouped(g, groups), shape=(n, channels, *g.shape[2:]))
    return gx[:, :, ph : ph + height, pw : pw + width]


@definition("conv2d_weight_grad")
def plain_conv2d_weight_grad(g, x, *, stride, padding, dilation, groups, shape):
    """For each kernel position: g times the pixels that it met, summed over the batch."""
    B, (f, c, *kernel) = backend_of(g), shape
    x = B.pad(x, width=((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    g4 = _grouped(g, groups)
    gw = B.zeros(shape, dtype=g.dtype)
    for k, l, index in _offsets(kernel, g.shape[2:], stride, dilation):
        product = g4 @ B.swapaxes(_grouped(x[index], groups), axis1=-1, axis2=-2)
        gw[:, :, k, l] = B.reshape(B.sum(product, axis=0), shape=(f, c))
    return gw


@functools.lru_cache(1024)  # of sizes, which are mostly those of the step before
def _check(x, w, stride, padding, dilation, groups):
    if len(x) != 4 or len(w) != 4:
        raise ValueError(f"conv2d: expected x (N, C, H, W) and weight (F, C, K, L), got {tuple(x)} and {tuple(w)}")
    if x[1] != w[1] * groups:
        raise ValueError(
            f"conv2d: x has {x[1]} channels, weight expects {w[1] * groups} (x is {tuple(x)}, weight is {tuple(w)}, "
            f"groups is {groups})"
        )
    if w[0] % groups:
        raise ValueError(f"conv2d: {w[0]} output channels cannot be divided into {groups} groups")
    out = conv_output_size(x[2:], w[2:], stride, padding, dilation)
    if min(out) < 1:
        raise ValueError(
            f"conv2d: the kernel {tuple(w[2:])} with dilation {tuple(dilation)} does not fit the padded image "
            f"(x is {tuple(x)}, padding is {tuple(padding)})"
        )


@op
def conv2d(x, w, b, *, stride, padding, dilation, groups):
    """y[n,f,p,q] = b[f] + sum over c,k,l of w[f,c,k,l] x[n,c, s p + d k - pad, s q + d l - pad].

    dL/dx = conv2d_input_grad(g, w),   dL/dw = conv2d_weight_grad(g, x),   dL/db = sum of g over n, p, q.
    """
    _check(x.shape, w.shape, stride, padding, dilation, groups)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x_shape, w_shape = x.shape, w.shape
    return backend_of(x).conv2d(x, w, b, **how), (
        lambda g: backend_of(g).conv2d_input_grad(g, w, shape=x_shape, **how),
        lambda g: backend_of(g).conv2d_weight_grad(g, x, shape=w_shape, **how),
        None if b is None else lambda g: backend_of(g).channel_sum(g),
    )


@op
def conv2d_input_grad(g, w, *, shape, **how):
    """The gradient of conv2d's input, linear in g and in w: y = conv2d^T(g, w).

    For the gradient h of y:   dL/dg = conv2d(h, w),   dL/dw = conv2d_weight_grad(g, h).
    """
    w_shape = w.shape
    return backend_of(g).conv2d_input_grad(g, w, shape=shape, **how), (
        lambda h: backend_of(h).conv2d(h, w, None, **how),
        lambda h: backend_of(h).conv2d_weight_grad(g, h, shape=w_shape, **how),
    )


@op
def conv2d_weight_grad(g, x, *, shape, **how):
    """The gradient of conv2d's weight, linear in g and in x.

    For the gradient h of y:   dL/dg = conv2d(x, h),   dL/dx = conv2d_input_grad(g, h).
    """
    x_shape = x.shape
    return backend_of(g).conv2d_weight_grad(g, x, shape=shape, **how), (
        lambda h: backend_of(h).conv2d(x, h, None, **how),
        lambda h: backend_of(h).conv2d_input_grad(g, h, shape=x_shape, **how),
    )
