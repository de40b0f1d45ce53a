"""Max and average pooling over windows of an image, the windows themselves, and what is put back at their places."""

from __future__ import annotations

import itertools
import math

from ..backend import backend_of, definition
from ..engine import FUNCTIONS, op


def pool_output_size(size, kernel, stride, padding, dilation, ceil_mode) -> tuple[int, ...]:
    """How many windows along each axis; with ceil_mode a last one that starts inside or in the left padding counts."""
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = n + 2 * p - d * (k - 1) - 1
        m = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (m - 1) * s >= n + p:
            m -= 1
        out.append(m)
    return tuple(out)


def pool_padding(size, kernel, stride, padding, dilation, out):
    """What to add around each axis so that all the windows lie inside: ceil_mode may need more behind than before."""
    width = [(0, 0), (0, 0)]
    for n, k, s, p, d, m in zip(size, kernel, stride, padding, dilation, out, strict=True):
        width.append((p, max(0, (m - 1) * s + d * (k - 1) + 1 - n - p)))
    return tuple(width)


def pool_offsets(kernel, out, stride, dilation):
    """For each place in the window: its number, and the index of the (padded) pixels at that place."""
    for i, place in enumerate(itertools.product(*map(range, kernel))):
        cuts = [
            slice(o * d, o * d + (m - 1) * s + 1, s) for o, m, s, d in zip(place, out, stride, dilation, strict=True)
        ]
        yield i, (slice(None), slice(None), *cuts)


@definition("max_pool2d")
def plain_max_pool2d(x, *, kernel, stride, dilation, width, out):
    """The largest value of each window."""
    B = backend_of(x)
    x = B.pad(x, width=width, value=-math.inf)
    return B.max(B.stack([x[index] for _, index in pool_offsets(kernel, out, stride, dilation)], axis=-1), axis=-1)


@definition("max_pool2d_place")
def plain_max_pool2d_place(x, *, kernel, stride, dilation, width, out):
    """The place of the largest value in each window (row by row; the first of equals; never in the padding)."""
    B, size = backend_of(x), kernel[0] * kernel[1]
    cuts = [index for _, index in pool_offsets(kernel, out, stride, dilation)]
    inside = B.pad(B.ones_like(x[:1, :1]), width=((0, 0), (0, 0), *width[2:]))
    x = B.pad(x, width=width, value=-math.inf)
    windows, inside = B.stack([x[cut] for cut in cuts], axis=-1), B.stack([inside[cut] for cut in cuts], axis=-1)
    best = B.logical_or(B.equal(windows, B.max(windows, axis=-1, keepdims=True)), B.isnan(windows))
    kind = "int8" if size < 128 else "int16" if size < 32768 else "int32"
    return B.astype(B.argmax(B.logical_and(best, inside), axis=-1), dtype=kind)


@definition("max_pool2d_put")
def plain_max_pool2d_put(g, place, *, kernel, stride, dilation, width, shape):
    """An image of zeros, to which each g is added at its window's place."""
    B = backend_of(g)
    (top, bottom), (left, right) = width[2:]
    y = B.zeros((*shape[:2], shape[2] + top + bottom, shape[3] + left + right), dtype=g.dtype)
    for i, index in pool_offsets(kernel, g.shape[2:], stride, dilation):
        y[index] += B.where(B.equal(place, i), g, 0.0)
    return y[:, :, top : top + shape[2], left : left + shape[3]]


@definition("max_pool2d_pick")
def plain_max_pool2d_pick(x, place, *, kernel, stride, dilation, width):
    """From each window the value at its place."""
    B, y = backend_of(x), 0.0
    x = B.pad(x, width=width)
    for i, index in pool_offsets(kernel, place.shape[2:], stride, dilation):
        y = y + B.where(B.equal(place, i), x[index], 0.0)
    return y


@definition("max_pool2d_grad")
def plain_max_pool2d_grad(g, x, y, *, kernel, stride, dilation, width):
    """An image of zeros, to which each g is added at the place of its window's largest value y."""
    B, how = backend_of(g), {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}
    return B.max_pool2d_put(g, B.max_pool2d_place(x, out=tuple(y.shape[2:]), **how), shape=x.shape, **how)


FUNCTIONS["max_pool2d_grad"] = plain_max_pool2d_grad


@op
def max_pool2d(x, *, out, **how):
    """y = the largest value in each window;   dL/dx = g at its place (the first of equals), 0 elsewhere."""
    y = backend_of(x).max_pool2d(x, out=out, **how)
    return y, (lambda g: backend_of(g).max_pool2d_grad(g, x, y, **how),)


@op
def max_pool2d_place(x, **how):
    """y = the place of the largest value in each window, counted row by row."""
    return backend_of(x).max_pool2d_place(x, **how), (None,)


@op(promote=None)
def max_pool2d_put(g, place, *, shape, **how):
    """y = zeros, with g added at each window's place;   dL/dg = h there."""
    y = backend_of(g).max_pool2d_put(g, place, shape=shape, **how)
    return y, (lambda h: backend_of(h).max_pool2d_pick(h, place, **how), None)


@op(promote=None)
def max_pool2d_pick(x, place, **how):
    """y = from each window the value at its place;   dL/dx = g there, 0 elsewhere."""
    shape = x.shape
    y = backend_of(x).max_pool2d_pick(x, place, **how)
    return y, (lambda g: backend_of(g).max_pool2d_put(g, place, shape=shape, **how), None)


@definition("window_sum")
def plain_window_sum(x, *, kernel, stride, width, out, scale=1.0):
    """`scale` times the sum over each window of the padded image."""
    x, y = backend_of(x).pad(x, width=width), 0.0
    for _, index in pool_offsets(kernel, out, stride, (1, 1)):
        y = y + x[index]
    return y * scale


@definition("window_spread")
def plain_window_spread(g, *, kernel, stride, width, shape, scale=1.0):
    """An image of zeros, to which `scale` times each g is added at every place of its window."""
    (top, bottom), (left, right) = width[2:]
    y = backend_of(g).zeros((*shape[:2], shape[2] + top + bottom, shape[3] + left + right), dtype=g.dtype)
    g = g * scale
    for _, index in pool_offsets(kernel, g.shape[2:], stride, (1, 1)):
        y[index] += g
    return y[:, :, top : top + shape[2], left : left + shape[3]]


@op
def window_sum(x, *, out, **how):
    """y = `scale` times the sum over each window of the padded x;   dL/dx = window_spread(g)."""
    shape = x.shape
    return backend_of(x).window_sum(x, out=out, **how), (lambda g: backend_of(g).window_spread(g, shape=shape, **how),)


@op
def window_spread(g, *, shape, **how):
    """y = zeros, to which `scale` times g is added at every place of its window;   dL/dg = window_sum(h)."""
    out = tuple(g.shape[2:])
    return backend_of(g).window_spread(g, shape=shape, **how), (lambda h: backend_of(h).window_sum(h, out=out, **how),)


@definition("windows")
def plain_windows(x, *, kernel, stride, dilation, width, out):
    """(N, C, H, W) as (N, C, K L, P, Q): what each window of the padded image has at each of its places."""
    B = backend_of(x)
    x = B.pad(x, width=width) if any(map(any, width)) else x
    return B.stack([x[index] for _, index in pool_offsets(kernel, out, stride, dilation)], axis=2)


@definition("windows_add")
def plain_windows_add(g, *, kernel, stride, dilation, width, shape):
    """Zeros, to which what each window has at each of its places is added."""
    y = backend_of(g).zeros(tuple([n + a + b for n, (a, b) in zip(shape, width, strict=True)]), dtype=g.dtype)
    for i, index in pool_offsets(kernel, g.shape[3 : 3 + len(kernel)], stride, dilation):
        y[index] += g[:, :, i]
    return y[tuple([slice(a, a + n) for n, (a, _) in zip(shape, width, strict=True)])]


@op
def windows(x, *, out, **how):
    """y[n,c,(k,l),p,q] = x padded[n,c, s p + d k, s q + d l];   dL/dx = windows_add(g).

    The windows are over as many axes after the second as `kernel` has numbers; axes behind these stay as they are.
    """
    shape = x.shape
    return backend_of(x).windows(x, out=out, **how), (lambda g: backend_of(g).windows_add(g, shape=shape, **how),)


@op
def windows_add(g, *, shape, **how):
    """y = zeros, to which the windows are added where `windows` takes them from;   dL/dg = windows(h)."""
    out = tuple(g.shape[3 : 3 + len(how["kernel"])])
    return backend_of(g).windows_add(g, shape=shape, **how), (lambda h: backend_of(h).windows(h, out=out, **how),)


@definition("unpool")
def plain_unpool(x, place, *, size):
    """Zeros (N, C, size) with x put in at its places; where several meet, one of them stays."""
    B, (n, c) = backend_of(x), x.shape[:2]
    y = B.zeros((n, c, size), dtype=x.dtype)
    y[B.reshape(B.arange(n), shape=(n, 1, 1)), B.reshape(B.arange(c), shape=(1, c, 1)), place] = x
    return y


@op(promote=None)
def unpool(x, place, *, size):
    """y = zeros (N, C, size), but y[n,c,place[n,c,p]] = x[n,c,p];   dL/dx = g at the places."""
    y = backend_of(x).unpool(x, place, size=size)
    return y, (lambda g: backend_of(g).take_along_axis(g, place, axis=2), None)
