"""Reductions: sum, mean, variance, extremes, and the softmax family."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import op


def axes_of(axis, ndim: int) -> tuple[int, ...]:
    """The axes that `axis` (None: all; an int; several) means, counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    return tuple([a % ndim if ndim else 0 for a in (axis if isinstance(axis, (tuple, list)) else (axis,))])


def _kept(shape, axis) -> tuple[int, ...]:
    """The shape of a reduction with keepdims."""
    axes = axes_of(axis, len(shape))
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def _count(shape, axis) -> int:
    return math.prod([shape[a] for a in axes_of(axis, len(shape))])


@op(promote=None)
def sum(x, *, axis=None, keepdims=False):
    """y = the sum of x over `axis`;   dL/dx = g, repeated along the axis."""
    shape = x.shape

    def dx(g):
        B = backend_of(g)
        return B.spread(B.reshape(g, shape=_kept(shape, axis)), shape=shape)

    return backend_of(x).sum(x, axis=axis, keepdims=keepdims), (dx,)


@op
def mean(x, *, axis=None, keepdims=False):
    """y = (1/n) sum of x over `axis`;   dL/dx = g / n, repeated along the axis."""
    shape, n = x.shape, _count(x.shape, axis)

    def dx(g):
        B = backend_of(g)
        return B.spread(B.reshape(g * (1.0 / n) if n else g, shape=_kept(shape, axis)), shape=shape)

    if n and x.dtype.itemsize == 2:  # in float16 the sum would overflow; the library's own mean adds in float32
        return backend_of(x).mean(x, axis=axis, keepdims=keepdims), (dx,)
    total = backend_of(x).sum(x, axis=axis, keepdims=keepdims)
    return total / n if n else total * math.nan, (dx,)


@op
def var(x, *, axis=None, keepdims=False, ddof=0):
    """y = sum of (x - mean)^2 / (n - ddof);   dL/dx = g 2 (x - mean) / (n - ddof)."""
    B, n = backend_of(x), _count(x.shape, axis) - ddof
    shape = _kept(x.shape, axis)
    d = x - B.mean(x, axis=axis, keepdims=True)
    scale = 1.0 / n if n > 0 else math.nan

    def dx(g):
        return backend_of(g).reshape(g, shape=shape) * (d * (2 * scale))

    return B.sum(d * d, axis=axis, keepdims=keepdims) * scale, (dx,)


@op
def std(x, *, axis=None, keepdims=False, ddof=0):
    """y = sqrt(sum of (x - mean)^2 / (n - ddof));   dL/dx = g (x - mean) / ((n - ddof) y), 0 where y = 0."""
    B, n = backend_of(x), _count(x.shape, axis) - ddof
    shape = _kept(x.shape, axis)
    d = x - B.mean(x, axis=axis, keepdims=True)
    scale = 1.0 / n if n > 0 else math.nan
    y = B.sqrt(B.sum(d * d, axis=axis, keepdims=keepdims) * scale)

    def dx(g):
        B = backend_of(g)
        return B.reshape(g / B.where(B.equal(y, 0), 1.0, y), shape=shape) * (d * scale)

    return y, (dx,)


@op
def norm(x, *, p, axis=None, keepdims=False):
    """y = (sum |x|^p)^(1/p) over `axis`;   dL/dx = g sign(x) |x|^(p-1) / y^(p-1), 0 where y = 0."""
    B, shape = backend_of(x), _kept(x.shape, axis)
    total = B.sum(x * x if p == 2 else B.absolute(x) ** p, axis=axis, keepdims=keepdims)
    y = B.sqrt(total) if p == 2 else total ** (1 / p)

    def dx(g):
        B = backend_of(g)
        top = B.reshape(total, shape=shape)
        zero = B.equal(top, 0)
        g = B.where(zero, 0.0, B.reshape(g, shape=shape) / B.where(zero, 1.0, top) ** (1 - 1 / p))
        return g * x if p == 2 else g * (B.sign(x) * B.where(B.equal(x, 0), 1.0, B.absolute(x)) ** (p - 1))

    return y, (dx,)


@op(promote=None)
def prod(x, *, axis=None, keepdims=False):
    """y = the product of x along `axis` (None: of all);   dL/dx = g times the product of the others."""
    shape, axis = x.shape, axis if axis is None else axis % x.ndim

    def dx(g):
        B, k = backend_of(g), axis or 0
        a = B.reshape(x, shape=(-1,)) if axis is None else x
        cut = (slice(None),) * k
        one, back = B.ones_like(a[(*cut, slice(0, 1))]), B.flip(a, axis=k)
        before, after = (
            B.cumprod(B.concatenate([one, z[(*cut, slice(0, -1))]], axis=k), axis=k) if a.shape[k] else z
            for z in (a, back)
        )
        g = B.reshape(g, shape=_kept(a.shape, k))
        return B.reshape(g * (before * B.flip(after, axis=k)), shape=shape)

    return backend_of(x).prod(x, axis=axis, keepdims=keepdims), (dx,)


def _from_behind(x, axis):
    """The sums of each element and all that follow it."""
    B = backend_of(x)
    return B.flip(B.cumsum(B.flip(x, axis=axis), axis=axis), axis=axis)


@op(promote=None)
def cumsum(x, *, axis):
    """y_i = x_1 + ... + x_i along `axis`;   dL/dx_i = g_i + ... + g_n."""
    return backend_of(x).cumsum(x, axis=axis), (lambda g: _from_behind(g, axis),)


def _cumprod_definition(x, *, axis):
    """Row i of a square holds x_1 ... x_i, and then ones."""
    B = backend_of(x)
    rows = B.swapaxes(x, axis1=axis, axis2=-1)
    square = (*rows.shape, rows.shape[-1])
    rows = B.broadcast_to(B.reshape(rows, shape=(*rows.shape[:-1], 1, -1)), shape=square)
    ones = B.ones_like(rows)
    below = B.less_equal(B.cumsum(ones, axis=-1), B.cumsum(ones, axis=-2))
    return B.swapaxes(B.prod(B.where(below, rows, 1.0), axis=-1), axis1=axis, axis2=-1)


@op(promote=None, composed=_cumprod_definition)
def cumprod(x, *, axis):
    """y_i = x_1 ... x_i along `axis`;   dL/dx_i = (g_i y_i + ... + g_n y_n) / x_i; see below for x_i = 0."""
    y = backend_of(x).cumprod(x, axis=axis)

    def dx(g):
        B = backend_of(g)
        zero = B.equal(x, 0)
        met = B.cumsum(B.astype(zero, dtype=g.dtype), axis=axis)
        first = B.logical_and(zero, B.equal(met, 1))  # only there is the product of the others not 0
        others = B.cumprod(B.where(first, 1.0, x), axis=axis)
        before = _from_behind(g * y, axis) / B.where(zero, 1.0, x)
        return B.where(B.equal(met, 0), before, B.where(first, _from_behind(g * others, axis), 0.0))

    return y, (dx,)


def _to_extremes(x, y, axis):
    """dL/dx of a largest or smallest value: shared evenly by all the elements that equal it."""
    shape = _kept(x.shape, axis)

    def dx(g):
        B = backend_of(g)
        hit = B.astype(B.equal(x, B.reshape(y, shape=shape)), dtype=g.dtype)
        return B.reshape(g, shape=shape) * (hit / B.sum(hit, axis=axis, keepdims=True))

    return dx


@op
def max(x, *, axis=None, keepdims=False):
    """y = the largest value of x along `axis`;   its gradient is shared evenly by the elements that equal it."""
    y = backend_of(x).max(x, axis=axis, keepdims=keepdims)
    return y, (_to_extremes(x, y, axis),)


@op
def min(x, *, axis=None, keepdims=False):
    """y = the smallest value of x along `axis`;   its gradient is shared evenly by the elements that equal it."""
    y = backend_of(x).min(x, axis=axis, keepdims=keepdims)
    return y, (_to_extremes(x, y, axis),)


@op
def argmax(x, *, axis=None, keepdims=False):
    """y = the index of the (first) largest value along `axis`; of the flattened x if axis is None."""
    return backend_of(x).argmax(x, axis=axis, keepdims=keepdims), (None,)


@op
def argmin(x, *, axis=None, keepdims=False):
    """y = the index of the (first) smallest value along `axis`; of the flattened x if axis is None."""
    return backend_of(x).argmin(x, axis=axis, keepdims=keepdims), (None,)


@op
def any(x, *, axis=None, keepdims=False):
    """y = whether some element along `axis` is not 0."""
    return backend_of(x).any(x, axis=axis, keepdims=keepdims), (None,)


@op
def all(x, *, axis=None, keepdims=False):
    """y = whether every element along `axis` is not 0."""
    return backend_of(x).all(x, axis=axis, keepdims=keepdims), (None,)


@op(floating=True)
def logsumexp(x, *, axis, keepdims=False):
    """y = log sum exp(x) over `axis`, with the largest value taken out first;   dL/dx = g exp(x - y)."""
    B, shape = backend_of(x), _kept(x.shape, axis)
    top = B.max(x, axis=axis, keepdims=True)
    top = B.where(B.isfinite(top), top, 0.0)
    y = B.log(B.sum(B.exp(x - top), axis=axis, keepdims=True)) + top
    out = y if keepdims else B.reshape(y, shape=[n for i, n in enumerate(shape) if i not in axes_of(axis, x.ndim)])
    return out, (lambda g: backend_of(g).reshape(g, shape=shape) * backend_of(g).exp(x - y),)


@definition("softmax_of")
def plain_softmax(x, *, axis):
    """e^x / sum e^x, with the largest x taken out first."""
    B = backend_of(x)
    e = B.exp(x - B.max(x, axis=axis, keepdims=True))
    return e / B.sum(e, axis=axis, keepdims=True)


@definition("softmax_grad")
def plain_softmax_grad(g, y, *, axis):
    """y (g - sum g y)."""
    return y * (g - backend_of(g).sum(g * y, axis=axis, keepdims=True))


@op(floating=True, composed=plain_softmax)
def softmax(x, *, axis):
    """y = exp(x) / sum exp(x) along `axis`;   dL/dx = y (g - sum g y)."""
    y = backend_of(x).softmax_of(x, axis=axis)
    return y, (lambda g: backend_of(g).softmax_grad(g, y, axis=axis),)


@definition("log_softmax_of")
def plain_log_softmax(x, *, axis):
    """x - log sum e^x, with the largest x taken out first, and what its gradient needs: itself."""
    B = backend_of(x)
    s = x - B.max(x, axis=axis, keepdims=True)
    y = s - B.log(B.sum(B.exp(s), axis=axis, keepdims=True))
    return y, y


@definition("log_softmax_grad")
def plain_log_softmax_grad(g, kept, *, axis):
    """g - e^y sum g; kept: y."""
    B = backend_of(g)
    return g - B.exp(kept) * B.sum(g, axis=axis, keepdims=True)


def log_softmax_definition(x, *, axis):
    """The op by ops alone, for higher derivatives."""
    return plain_log_softmax(x, axis=axis)[0]


@op(floating=True, composed=log_softmax_definition)
def log_softmax(x, *, axis):
    """y = x - log sum exp(x) along `axis`;   dL/dx = g - exp(y) sum g."""
    y, kept = backend_of(x).log_softmax_of(x, axis=axis)
    return y, (lambda g: backend_of(g).log_softmax_grad(g, kept, axis=axis),)
