"""Batch norm on the GPU: one reduction and one launch, forward and backward."""

from __future__ import annotations

from .. import DEFINITIONS
from . import launch, moments

_follow = launch.kernel(
    "T given, T x, float64 keep, float64 take",
    "T running",
    "running = T(A(given) * A(keep) + A(x) * A(take))",
    "minidl_follow",
)


def _served(*arrays) -> bool:
    given = [a for a in arrays if a is not None]
    return launch.same(*given) and all(a.size for a in given)


def _channels(v, ndim: int):
    """(C,) as (1, C, 1, ...), to go with x (N, C, ...)."""
    return None if v is None else v.reshape(1, -1, *(1,) * (ndim - 2))


def _axes(x) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def batch_norm(x, weight, bias, *, eps):
    """y, and mean, variance and 1 / sqrt(variance + eps) of each channel; see ops/norm.py."""
    if not _served(x, weight, bias):
        return DEFINITIONS["batch_norm"](x, weight, bias, eps=eps)
    mean, var, inv = moments.statistics(x, _axes(x), eps)
    y = moments.apply(x, mean, inv, _channels(weight, x.ndim), _channels(bias, x.ndim))
    return y, *[v.reshape(-1) for v in (mean, var, inv)]


def batch_norm_grad(g, x, weight, mean, inv):
    """The gradients of x, weight and bias; see ops/norm.py."""
    if not _served(g, x, weight, mean, inv):
        return DEFINITIONS["batch_norm_grad"](g, x, weight, mean, inv)
    weight, mean, inv = [_channels(v, x.ndim) for v in (weight, mean, inv)]
    sum_g, sum_gx = moments.sums(g, x, None, mean, inv, _axes(x))
    dx = moments.gradient(g, x, None, weight, mean, inv, sum_g, sum_gx, x.size // x.shape[1])
    return dx, *[v.reshape(-1).astype(x.dtype, copy=False) for v in (sum_gx, sum_g)]


def follow(running, new, momentum, scale):
    """running <- (1 - momentum) running + momentum scale new, in place; see ops/norm.py."""
    if launch.same(running, new):
        _follow(running, new, 1.0 - momentum, scale * momentum, running)
    else:
        DEFINITIONS["follow"](running, new, momentum, scale)
