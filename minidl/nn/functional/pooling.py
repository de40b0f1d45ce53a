"""Pooling: the largest value, the mean, or a norm of each window of a line, an image or a volume."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError, backend_of, get_backend
from ...ops import elementwise as E
from ...ops import linalg as L
from ...ops import pool as P
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import floating, images, ints, lines, number, volumes

_SPACES = {1: lines, 2: images, 3: volumes}  # how each number of dimensions comes with a batch


def _pooling(where, input, kernel_size, stride, padding, dilation, dims=2):
    x, single = _SPACES[dims](floating(input, where), where)
    kernel = ints(kernel_size, dims, "kernel_size", where)
    stride = kernel if stride is None or stride == [] else ints(stride, dims, "stride", where)
    padding, dilation = ints(padding, dims, "padding", where, low=0), ints(dilation, dims, "dilation", where)
    if dims == 1:  # lines are images of one row
        kernel, stride, padding, dilation = (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
    if any(padding) and any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ArgumentError(
            f"{where}: padding must be at most half of the kernel, got padding {padding} for kernel {kernel}"
        )
    return x, single, kernel, stride, padding, dilation


@functools.lru_cache(1024)
def _windows(where, size, kernel, stride, padding, dilation, ceil_mode):
    """The number of windows along each axis, and how much to pad for them."""
    out = P.pool_output_size(size, kernel, stride, padding, dilation, ceil_mode)
    if min(*out, *size) < 1:
        what = "image" if len(size) == 2 else "volume"
        raise ArgumentError(f"{where}: kernel {kernel} does not fit the {what} {tuple(size)} with padding {padding}")
    return out, P.pool_padding(size, kernel, stride, padding, dilation, out)


def _by_planes(x: Tensor, of_planes, of_depth):
    """A pooling of volumes: that of all their planes, and of the results down the depth; with the positions."""
    n, c, d, h, w = x.array.shape
    y, places = of_planes(F.reshape(x, (n, c * d, h, w)))
    p, q = y.array.shape[2:]
    z, depths = of_depth(F.reshape(y, (n, c, d, p * q)))
    out = (n, c, z.array.shape[2], p, q)

    def positions() -> Tensor:
        B, deep = backend_of(z.array), depths().array // (p * q)
        found = B.take_along_axis(B.reshape(places().array, (n, c, d, p * q)), deep, axis=2)
        return wrap(B.reshape(deep * (h * w) + found, out))

    return F.reshape(z, out), positions


def _max_pool(where, x, how, ceil_mode=False):
    """The largest value of each window of (N, C, H, W) or (N, C, D, H, W), and what gives their positions."""
    kernel, stride, padding, dilation = how
    out, width = _windows(where, x.array.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    if len(kernel) == 3:
        down = [(v[0], e) for v, e in zip(how, (1, 1, 0, 1), strict=True)]
        return _by_planes(
            x,
            lambda planes: _max_pool(where, planes, [v[1:] for v in how], ceil_mode),
            lambda lines: _max_pool(where, lines, down, ceil_mode),
        )
    options = {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width, "out": out}

    def positions() -> Tensor:
        place = P.max_pool2d_place(x, **options)
        B = backend_of(place.array)
        number = B.astype(place.array, "int64")
        rows = B.reshape(B.arange(out[0]) * stride[0] - padding[0], (-1, 1)) + number // kernel[1] * dilation[0]
        columns = B.arange(out[1]) * stride[1] - padding[1] + number % kernel[1] * dilation[1]
        return wrap(rows * x.array.shape[3] + columns)

    return P.max_pool2d(x, **options), positions


def max_pool2d(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    return_indices: bool = False,
):
    """The largest value in each window; return_indices=True: also its position, row * W + column, as int64.

    stride: kernel_size if not given. Shape: (N, C, H, W) or (C, H, W) to (N, C, P, Q) with
    P = floor((H + 2 pad - d (K - 1) - 1) / s) + 1 (ceil_mode: ceil).
    """
    x, single, *how = _pooling("max_pool2d", input, kernel_size, stride, padding, dilation)
    y, positions = _max_pool("max_pool2d", x, how, ceil_mode)
    y = F.squeeze(y, 0) if single else y
    if not return_indices:
        return y
    return y, F.squeeze(positions(), 0) if single else positions()


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool2d` with return_indices=True."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool1d(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    return_indices: bool = False,
):
    """The largest value in each window; return_indices=True: also its position, as int64.

    Shape: (N, C, L) or (C, L) to (N, C, P) with P as in `max_pool2d`.
    """
    x, single, *how = _pooling("max_pool1d", input, kernel_size, stride, padding, dilation, 1)
    y, positions = _max_pool("max_pool1d", x, how, ceil_mode)
    if not return_indices:
        return _line(y, single)
    return _line(y, single), _line(positions(), single)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool1d` with return_indices=True."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


@whole
def max_pool3d(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    return_indices: bool = False,
):
    """The largest value in each window; return_indices=True: also its position, (depth * H + row) * W + column.

    Shape: (N, C, D, H, W) or (C, D, H, W), each size as in `max_pool2d`.
    """
    x, single, *how = _pooling("max_pool3d", input, kernel_size, stride, padding, dilation, 3)
    y, positions = _max_pool("max_pool3d", x, how, ceil_mode)
    y = F.squeeze(y, 0) if single else y
    if not return_indices:
        return y
    return y, F.squeeze(positions(), 0) if single else positions()


@whole
def max_pool3d_with_indices(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool3d` with return_indices=True."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _line(y: Tensor, single: bool) -> Tensor:
    """(N, C, 1, L) as (N, C, L), or (C, L) if one line came."""
    return F.squeeze(F.squeeze(y, 2), 0) if single else F.squeeze(y, 2)


@functools.lru_cache(maxsize=256)
def _shares(size, kernel, stride, padding, out, count_include_pad, dtype, where):
    """One over how many elements each window of avg_pool2d counts: one number, or an array on the device."""
    counts = []
    for n, k, s, p, m in zip(size, kernel, stride, padding, out, strict=True):
        first = np.arange(m) * s - p
        last = np.minimum(first + k, n + p)  # what ceil_mode needs beyond the padding never counts
        if not count_include_pad:
            first, last = np.maximum(first, 0), np.minimum(last, n)
        counts.append(last - first)
    table = functools.reduce(np.multiply.outer, counts)
    if (table == table.flat[0]).all():
        return 1.0 / int(table.flat[0])
    return get_backend(where).from_host((1.0 / table).astype(dtype), where)


def _avg_pool(where, x, how, ceil_mode=False, count_include_pad=True, divisor_override=None):
    """The mean of each window of (N, C, H, W) or (N, C, D, H, W)."""
    kernel, stride, padding, dilation = how
    out, width = _windows(where, x.array.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    if divisor_override is not None:
        share: Any = 1.0 / divisor_override
    else:
        size, dtype = tuple(x.array.shape[2:]), x.array.dtype
        share = _shares(size, kernel, stride, padding, out, bool(count_include_pad), dtype, x.device)
        share = share if isinstance(share, float) else wrap(share)
    if len(kernel) == 2:
        scale, share = (share, None) if isinstance(share, float) else (1.0, share)
        y = P.window_sum(x, kernel=kernel, stride=stride, width=width, out=out, scale=scale)
        return y if share is None else y * share
    n, c, d, h, w = x.array.shape
    y = F.reshape(x, (n, c * d, h, w))
    y = P.window_sum(y, kernel=kernel[1:], stride=stride[1:], width=((0, 0), *width[1:2], *width[3:]), out=out[1:])
    y, down = F.reshape(y, (n, c, d, out[1] * out[2])), (*width[:3], (0, 0))
    y = P.window_sum(y, kernel=(kernel[0], 1), stride=(stride[0], 1), width=down, out=(out[0], out[1] * out[2]))
    return F.reshape(y, (n, c, *out)) * share


def avg_pool2d(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window, its padding included or not; divisor_override: the sum over this number instead.

    Shape: as `max_pool2d`.
    """
    x, single, *how = _pooling("avg_pool2d", input, kernel_size, stride, padding, 1)
    if divisor_override == 0:
        raise ArgumentError("avg_pool2d: divisor_override must not be 0")
    y = _avg_pool("avg_pool2d", x, how, ceil_mode, count_include_pad, divisor_override)
    return F.squeeze(y, 0) if single else y


def avg_pool1d(
    input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window, its padding included or not. Shape: as `max_pool1d`."""
    x, single, *how = _pooling("avg_pool1d", input, kernel_size, stride, padding, 1, 1)
    return _line(_avg_pool("avg_pool1d", x, how, ceil_mode, count_include_pad), single)


@whole
def avg_pool3d(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window, as `avg_pool2d`. Shape: as `max_pool3d`."""
    x, single, *how = _pooling("avg_pool3d", input, kernel_size, stride, padding, 1, 3)
    if divisor_override == 0:
        raise ArgumentError("avg_pool3d: divisor_override must not be 0")
    y = _avg_pool("avg_pool3d", x, how, ceil_mode, count_include_pad, divisor_override)
    return F.squeeze(y, 0) if single else y


def _lp_pool(where, input, norm_type, kernel_size, stride, ceil_mode, dims: int) -> Tensor:
    p = number(norm_type, "norm_type", where)
    x, single, *how = _pooling(where, input, kernel_size, stride, 0, 1, dims)
    if math.isinf(p):
        y = _max_pool(where, abs(x) if p > 0 else -abs(x), how, ceil_mode)[0] * (1.0 if p > 0 else -1.0)
    elif p == 0:
        raise ArgumentError(f"{where}: norm_type must not be 0")
    else:
        y = _avg_pool(where, x**p, how, ceil_mode) * math.prod(how[0])
        y = (E.sign(y) * abs(y).relu()) ** (1.0 / p)
    return _line(y, single) if dims == 1 else F.squeeze(y, 0) if single else y


def lp_pool1d(input: Tensor, norm_type, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """y = (sum of x^p over each window)^(1/p) with p = norm_type; for inf the largest abs(x). Shape: as `max_pool1d`.

    >>> lp_pool1d(F.tensor([[3.0, 4.0, 0.0, 2.0]]), 2, 2)
    tensor([[5., 2.]])
    """
    return _lp_pool("lp_pool1d", input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(input: Tensor, norm_type, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """`lp_pool1d` for images. Shape: as `max_pool2d`."""
    return _lp_pool("lp_pool2d", input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(input: Tensor, norm_type, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """`lp_pool1d` for volumes. Shape: as `max_pool3d`."""
    return _lp_pool("lp_pool3d", input, norm_type, kernel_size, stride, ceil_mode, 3)


# ------------------------------------------------------------------------------------- pooling to a size that is given
def _adaptive(where: str, input: Tensor, output_size, dims: int):
    """The input with its batch, whether it came without, and the (P, Q) or (O, P, Q) asked for."""
    x, single = _SPACES[dims](floating(input, where), where)
    sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    if len(sizes) != dims:
        raise ArgumentError(f"{where}: output_size must be an int or {dims} of them (or None), got {output_size!r}")
    sizes = tuple([n if m is None else m for m, n in zip(sizes, x.array.shape[-dims:], strict=True)])
    sizes = (1,) * (2 - dims) + ints(sizes, dims, "output_size", where)
    if min(x.array.shape[2:]) < 1:
        raise ArgumentError(f"{where}: input {tuple(input.shape)} has no elements to take a window of")
    return x, single, sizes


def _edges(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the m windows over n elements start and end: floor(i n / m) and ceil((i + 1) n / m)."""
    i = np.arange(m)
    return i * n // m, -(-(i + 1) * n // m)


@functools.lru_cache(maxsize=256)
def _averages(n: int, m: int, dtype, where):
    """An (m, n) array on the device whose rows take the mean of each window."""
    first, last = _edges(n, m)
    i = np.arange(n)
    inside = (i >= first[:, None]) & (i < last[:, None])
    return get_backend(where).from_host((inside / (last - first)[:, None]).astype(dtype), where)


def _adaptive_avg(where: str, input: Tensor, output_size, dims: int) -> tuple[Tensor, bool]:
    x, single, out = _adaptive(where, input, output_size, dims)
    size = tuple(x.array.shape[2:])
    if max(out) == 1:
        return F.mean(x, tuple(range(2, x.array.ndim)), keepdim=True), single
    if not any(n % m for n, m in zip(size, out, strict=True)):
        kernel = tuple([n // m for n, m in zip(size, out, strict=True)])
        return _avg_pool(where, x, (kernel, kernel, (0,) * len(kernel), (1,) * len(kernel))), single
    for axis, n, m in zip(range(2, x.array.ndim), size, out, strict=True):
        if n != m:
            x = along(x, axis, wrap(_averages(n, m, x.array.dtype, x.device)))
    return x, single


def along(x: Tensor, axis: int, weights: Tensor) -> Tensor:
    """The (m, n) weights times the n elements of x along `axis`."""
    shape = x.array.shape
    if axis == len(shape) - 1:
        return L.matmul(x, weights.T)
    if axis == len(shape) - 2:
        return L.matmul(weights, x)
    y = L.matmul(weights, F.reshape(x, (*shape[: axis + 1], math.prod(shape[axis + 1 :]))))
    return F.reshape(y, (*shape[:axis], weights.array.shape[0], *shape[axis + 1 :]))


@whole
def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """The means of output_size windows that cover the input; they overlap where it does not divide the length.

    Shape: (N, C, L) or (C, L) to (N, C, output_size).
    """
    return _line(*_adaptive_avg("adaptive_avg_pool1d", input, output_size, 1))


@whole
def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """The means of P x Q windows that cover the image; they overlap where P and Q do not divide its size.

    output_size: an int, or two of (int or None: as many as there are). Window p is the rows floor(p H / P) to
    ceil((p + 1) H / P) - 1. Shape: (N, C, H, W) or (C, H, W) to (N, C, P, Q).

    >>> adaptive_avg_pool2d(F.arange(6.0).reshape(1, 2, 3), (1, 2))
    tensor([[[2., 3.]]])
    """
    y, single = _adaptive_avg("adaptive_avg_pool2d", input, output_size, 2)
    return F.squeeze(y, 0) if single else y


@whole
def adaptive_avg_pool3d(input: Tensor, output_size) -> Tensor:
    """The means of O x P x Q windows that cover the volume, as `adaptive_avg_pool2d`.

    Shape: (N, C, D, H, W) or (C, D, H, W) to (N, C, O, P, Q).
    """
    y, single = _adaptive_avg("adaptive_avg_pool3d", input, output_size, 3)
    return F.squeeze(y, 0) if single else y


ADAPTIVE_AVERAGES = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


@functools.lru_cache(maxsize=256)
def _covers(n: int, m: int, where) -> tuple[int, Any]:
    """How long the longest of m windows over n elements is, and the elements of them all, the last one repeated."""
    first, last = _edges(n, m)
    longest = int((last - first).max())
    index = np.minimum(first[:, None] + np.arange(longest), last[:, None] - 1).reshape(-1)
    return longest, get_backend(where).from_host(index, where)


def _adaptive_max(where: str, input: Tensor, output_size, dims: int):
    """The largest values, whether one image came, and the function that gives their positions."""
    x, single, out = _adaptive(where, input, output_size, dims)
    y, positions = _adaptive_max_of(where, x, out)
    return y, single, positions


def _adaptive_max_of(where: str, x: Tensor, out: tuple[int, ...]):
    """The largest values of windows of (N, C, H, W) or (N, C, D, H, W), and the function that gives their positions."""
    if len(out) == 3:
        return _by_planes(
            x,
            lambda planes: _adaptive_max_of(where, planes, out[1:]),
            lambda lines: _adaptive_max_of(where, lines, (out[0], lines.array.shape[3])),
        )
    (h, w), (p, q) = x.array.shape[2:], out
    if h % p == 0 and w % q == 0:
        kernel = (h // p, w // q)
        return _max_pool(where, x, (kernel, kernel, (0, 0), (1, 1)))
    # windows of one size are made by repeating the last row or column of the shorter ones
    (k, rows), (l, columns) = _covers(h, p, x.device), _covers(w, q, x.device)  # noqa: E741
    laid = x if h % p == 0 else S.getitem(x, index=(slice(None), slice(None), rows))
    laid = laid if w % q == 0 else S.getitem(laid, index=(slice(None), slice(None), slice(None), columns))
    y, places = _max_pool(where, laid, ((k, l), (k, l), (0, 0), (1, 1)))

    def positions() -> Tensor:
        place, across = places().array, q * l
        return wrap(rows[place // across] * w + columns[place % across])

    return y, positions


def adaptive_max_pool1d(input: Tensor, output_size, return_indices: bool = False):
    """The largest values of output_size windows that cover the input, as in `adaptive_avg_pool1d`."""
    y, single, positions = _adaptive_max("adaptive_max_pool1d", input, output_size, 1)
    return (_line(y, single), _line(positions(), single)) if return_indices else _line(y, single)


def adaptive_max_pool2d(input: Tensor, output_size, return_indices: bool = False):
    """The largest values of P x Q windows that cover the image, as in `adaptive_avg_pool2d`."""
    y, single, positions = _adaptive_max("adaptive_max_pool2d", input, output_size, 2)
    y = F.squeeze(y, 0) if single else y
    if not return_indices:
        return y
    return y, F.squeeze(positions(), 0) if single else positions()


@whole
def adaptive_max_pool3d(input: Tensor, output_size, return_indices: bool = False):
    """The largest values of O x P x Q windows that cover the volume, as in `adaptive_avg_pool3d`."""
    y, single, positions = _adaptive_max("adaptive_max_pool3d", input, output_size, 3)
    y = F.squeeze(y, 0) if single else y
    if not return_indices:
        return y
    return y, F.squeeze(positions(), 0) if single else positions()


def adaptive_max_pool3d_with_indices(input: Tensor, output_size, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool3d` with return_indices=True."""
    return adaptive_max_pool3d(input, output_size, True)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` with return_indices=True."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d` with return_indices=True."""
    return adaptive_max_pool2d(input, output_size, True)
