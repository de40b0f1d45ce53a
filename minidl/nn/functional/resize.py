"""Images (lines, volumes) in another size: `interpolate` and its old names."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError, get_backend
from ...functions.arguments import separate
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import floating, ints, number
from .pooling import ADAPTIVE_AVERAGES, along

_DIMS = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "lanczos": (2,), "trilinear": (3,)}
_MODES = ("nearest", "nearest-exact", "area", *_DIMS)
_SMOOTH = ("bilinear", "bicubic", "lanczos")  # modes with antialias


@functools.lru_cache(maxsize=256)
def _nearest(n: int, m: int, scale: float | None, exact: bool) -> np.ndarray:
    """For each of m places the nearest (exact; or what is cut off) of n, in PyTorch's single precision."""
    step = np.float32(1.0 / scale) if scale else np.float32(n) / np.float32(m)
    at = (np.arange(m) + 0.5) * float(step) if exact else np.arange(m, dtype=np.float32) * step
    return np.minimum(np.floor(at.astype(np.float32)).astype(np.int64), n - 1)


def _linear(t):
    return np.maximum(1 - np.abs(t), 0)


def _cubic(t, a: float):
    """The cubic convolution kernel of Keys, 1981."""
    t = np.abs(t)
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.select([t <= 1, t < 2], [near, far], 0.0)


def _lanczos(t):
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0.0)


# mode -> (how far the kernel reaches, the kernel)
_KERNELS: dict[str, tuple[int, Callable]] = {"linear": (1, _linear), "cubic": (2, functools.partial(_cubic, a=-0.75))}
_WIDE: dict[str, tuple[int, Callable]] = {
    "linear": (1, _linear),
    "cubic": (2, functools.partial(_cubic, a=-0.5)),
    "lanczos": (3, _lanczos),
}


@functools.lru_cache(maxsize=256)
def _between(kind: str, n: int, m: int, scale: float | None, align_corners: bool, antialias: bool, dtype, where):
    """An (m, n) array on the device whose rows weight the n elements for each of m places."""
    i, weights = np.arange(m), np.zeros((m, n))
    if align_corners:
        step = (n - 1) / (m - 1) if m > 1 else 0.0
    else:
        step = 1.0 / scale if scale else n / m
    if antialias:  # the kernel is as wide as what comes together in one place
        reach, kernel = _WIDE[kind]
        wide = max(step, 1.0)
        centre = (step * (i + 0.5))[:, None]
        j = np.arange(n)
        first = np.maximum((centre - reach * wide + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + reach * wide + 0.5).astype(np.int64), n)
        weights = np.where((j >= first) & (j < last), kernel((j - centre + 0.5) / wide), 0.0)
        weights = weights / weights.sum(1, keepdims=True)
    else:
        reach, kernel = _KERNELS[kind]
        at = i * step if align_corners else (i + 0.5) * step - 0.5
        at = np.maximum(at, 0.0) if kind == "linear" else at
        low = np.floor(at).astype(np.int64)
        for k in range(1 - reach, 1 + reach):  # beyond the ends: the last element
            np.add.at(weights, (i, np.clip(low + k, 0, n - 1)), kernel(at - low - k))
    return get_backend(where).from_host(weights.astype(dtype), where)


def interpolate_mode(mode: str, align_corners: bool | None, where: str) -> None:
    """Check the mode of `interpolate`, and that align_corners goes with it."""
    if mode not in _MODES:
        raise ArgumentError(f"{where}: mode must be one of {', '.join(map(repr, _MODES))}, got {mode!r}")
    if mode not in _DIMS and align_corners is not None:
        raise ArgumentError(f"{where}: align_corners has no meaning for mode={mode!r}, got {align_corners}")


def interpolate(
    input: Tensor,
    size=None,
    scale_factor=None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The input in another size, given as `size` or as scale_factor (size = floor(scale_factor old)).

    mode 'nearest': the input's element at floor(i old / new); 'nearest-exact': at floor((i + 1/2) old / new); 'area':
    `adaptive_avg_pool`. 'linear' for (N, C, L), 'bilinear' for (N, C, H, W), 'trilinear' for (N, C, D, H, W): between
    the neighbours of (i + 1/2) old / new - 1/2, or with align_corners of i (old - 1) / (new - 1); 'bicubic' for
    (N, C, H, W): from four neighbours each way (Keys, 1981, a = -3/4). Where scale_factor is given, 1 / scale_factor
    stands for old / new unless recompute_scale_factor is True.
    antialias ('bilinear', 'bicubic' with a = -1/2, and 'lanczos', which needs it): where the result is smaller, the
    kernel is wider by as much, so that every element counts.
    Shape: (N, C, L), (N, C, H, W) or (N, C, D, H, W) to (N, C, *size).

    >>> interpolate(F.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    x = floating(input, "interpolate")
    shape = tuple(x.array.shape)
    interpolate_mode(mode, align_corners, "interpolate")
    dims = len(shape) - 2
    if dims not in _DIMS.get(mode, (1, 2, 3)):
        raise NotImplementedError(f"interpolate: mode={mode!r} cannot take input {shape}")
    if antialias and mode not in _SMOOTH:
        raise ArgumentError(f"interpolate: antialias=True is for {', '.join(map(repr, _SMOOTH))}, got mode={mode!r}")
    if mode == "lanczos" and (align_corners or not antialias):
        raise ArgumentError("interpolate: mode='lanczos' needs antialias=True, and no align_corners")
    if (size is None) == (scale_factor is None):
        raise ArgumentError(f"interpolate: expected size or scale_factor, got {size!r} and {scale_factor!r}")
    old: tuple[int, ...] = shape[2:]
    scales: list[float | None] = [None] * dims
    if size is not None:
        if recompute_scale_factor:
            raise ArgumentError("interpolate: recompute_scale_factor has no meaning with size")
        new = ints(size, dims, "size", "interpolate")
    else:
        given = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * dims
        factors = [float(number(f, "scale_factor", "interpolate")) for f in given]
        if len(factors) != dims or min(factors) <= 0:
            raise ArgumentError(f"interpolate: expected {dims} positive scale factors, got {scale_factor!r}")
        new = tuple([math.floor(n * f) for n, f in zip(old, factors, strict=True)])
        scales = scales if recompute_scale_factor else list(factors)
    if min(*old, *new) < 1:
        raise ArgumentError(f"interpolate: expected sizes of at least 1, got {old} to {new}")
    if mode == "area":
        return ADAPTIVE_AVERAGES[dims](x, new)
    return separate(_resized(x, mode, new, scales, bool(align_corners), bool(antialias)), input)


@whole
def _resized(x: Tensor, mode: str, new, scales, align_corners: bool, antialias: bool) -> Tensor:
    """One dimension after the other."""
    old, dims = x.array.shape[2:], len(new)
    for axis, n, m, scale in zip(range(2, 2 + dims), old, new, scales, strict=True):
        if mode in _DIMS:
            kind = {"bicubic": "cubic", "lanczos": "lanczos"}.get(mode, "linear")
            if n != m or (kind == "cubic" and not antialias and scale not in (None, 1.0)):  # which PyTorch does anyway
                how = (n, m, scale, align_corners, antialias, x.array.dtype, x.device)
                x = along(x, axis, wrap(_between(kind, *how)))
        elif n != m or scale not in (None, 1.0):
            if mode == "nearest" and dims == 2 and m in (n, 2 * n):  # as PyTorch has it, for images alone
                scale = None
            x = _picked(x, axis, m, _nearest(n, m, scale, mode == "nearest-exact"))
    return x


def _picked(x: Tensor, axis: int, m: int, index: np.ndarray) -> Tensor:
    """The m elements of x along `axis` at these places."""
    n = x.array.shape[axis]
    if m == n and (index == np.arange(n)).all():
        return x
    if m % n == 0 and (index == np.arange(m) // (m // n)).all():  # each the same number of times
        shape = tuple(x.array.shape)
        many = S.broadcast_to(F.unsqueeze(x, axis + 1), shape=(*shape[: axis + 1], m // n, *shape[axis + 1 :]))
        return F.reshape(many, (*shape[:axis], m, *shape[axis + 1 :]))
    where = get_backend(x.device).from_host(index, x.device)
    return S.getitem(x, index=(slice(None),) * axis + (where,))


def upsample(input: Tensor, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None):
    """`interpolate`, under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """`interpolate` with mode='nearest', under its old name."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """`interpolate` with mode='bilinear' and align_corners=True, under its old name."""
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
