"""Pooling: the largest value, or the mean, of each window of an image."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ... import functions as F
from ...backend import backend_of, get_backend
from ...ops import linalg as L
from ...ops import pool as P
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import floating, images, ints, lines


def _pooling(where, input, kernel_size, stride, padding, dilation, dims=2):
    x, single = (images if dims == 2 else lines)(floating(input, where), where)
    kernel = ints(kernel_size, dims, "kernel_size", where)
    stride = kernel if stride is None or stride == [] else ints(stride, dims, "stride", where)
    padding, dilation = ints(padding, dims, "padding", where, low=0), ints(dilation, dims, "dilation", where)
    if dims == 1:  # lines are images of one row
        kernel, stride, padding, dilation = (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(
            f"{where}: padding must be at most half of the kernel, got padding {padding} for kernel {kernel}"
        )
    return x, single, kernel, stride, padding, dilation


def _windows(where, x, kernel, stride, padding, dilation, ceil_mode):
    """The number of windows down and across, and how much to pad for them."""
    size = x.array.shape[2:]
    out = P.pool_output_size(size, kernel, stride, padding, dilation, ceil_mode)
    if min(*out, *size) < 1:
        raise ValueError(f"{where}: kernel {kernel} does not fit the image {tuple(size)} with padding {padding}")
    return out, P.pool_padding(size, kernel, stride, padding, dilation, out)


def _max_pool(where, x, how, ceil_mode=False):
    """The largest value of each window of (N, C, H, W), and the function that gives their positions in the plane."""
    kernel, stride, padding, dilation = how
    out, width = _windows(where, x, kernel, stride, padding, dilation, ceil_mode)
    y, place = P.max_pool2d(x, kernel=kernel, stride=stride, dilation=dilation, width=width, out=out)

    def positions() -> Tensor:
        B = backend_of(place.array)
        number = B.astype(place.array, "int64")
        rows = B.reshape(B.arange(out[0]) * stride[0] - padding[0], (-1, 1)) + number // kernel[1] * dilation[0]
        columns = B.arange(out[1]) * stride[1] - padding[1] + number % kernel[1] * dilation[1]
        return wrap(rows * x.array.shape[3] + columns)

    return y, positions


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
    input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False, return_indices: bool = True
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
    input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False, return_indices: bool = True
) -> tuple[Tensor, Tensor]:
    """`max_pool1d` with return_indices=True."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _line(y: Tensor, single: bool) -> Tensor:
    """(N, C, 1, L) as (N, C, L), or (C, L) if one line came."""
    return F.squeeze(F.squeeze(y, 2), 0) if single else F.squeeze(y, 2)


@functools.lru_cache(maxsize=256)
def _shares(size, kernel, stride, padding, out, count_include_pad, dtype, where):
    """One over how many elements each window of avg_pool2d counts: one number, or a (P, Q) array on the device."""
    counts = []
    for n, k, s, p, m in zip(size, kernel, stride, padding, out, strict=True):
        first = np.arange(m) * s - p
        last = np.minimum(first + k, n + p)  # what ceil_mode needs beyond the padding never counts
        if not count_include_pad:
            first, last = np.maximum(first, 0), np.minimum(last, n)
        counts.append(last - first)
    table = np.multiply.outer(*counts)
    if (table == table.flat[0]).all():
        return 1.0 / int(table.flat[0])
    return get_backend(where).from_host((1.0 / table).astype(dtype), where)


def _avg_pool(where, x, how, ceil_mode=False, count_include_pad=True, divisor_override=None):
    """The mean of each window of (N, C, H, W)."""
    kernel, stride, padding, dilation = how
    out, width = _windows(where, x, kernel, stride, padding, dilation, ceil_mode)
    if divisor_override is not None:
        share: Any = 1.0 / divisor_override
    else:
        size, dtype = tuple(x.array.shape[2:]), x.array.dtype
        share = _shares(size, kernel, stride, padding, out, bool(count_include_pad), dtype, x.device)
        share = share if isinstance(share, float) else wrap(share)
    return P.window_sum(x, kernel=kernel, stride=stride, width=width, out=out) * share


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
        raise ValueError("avg_pool2d: divisor_override must not be 0")
    y = _avg_pool("avg_pool2d", x, how, ceil_mode, count_include_pad, divisor_override)
    return F.squeeze(y, 0) if single else y


def avg_pool1d(
    input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window, its padding included or not. Shape: as `max_pool1d`."""
    x, single, *how = _pooling("avg_pool1d", input, kernel_size, stride, padding, 1, 1)
    return _line(_avg_pool("avg_pool1d", x, how, ceil_mode, count_include_pad), single)


# ------------------------------------------------------------------------------------- pooling to a size that is given
def _adaptive(where: str, input: Tensor, output_size, dims: int):
    """The input as (N, C, H, W), whether it came without N, and the (P, Q) asked for."""
    x, single = (images if dims == 2 else lines)(floating(input, where), where)
    sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    if len(sizes) != dims:
        raise ValueError(f"{where}: output_size must be an int or {dims} of them (or None), got {output_size!r}")
    sizes = tuple([n if m is None else m for m, n in zip(sizes, x.array.shape[-dims:], strict=True)])
    sizes = (1,) * (2 - dims) + ints(sizes, dims, "output_size", where)
    if min(x.array.shape[2:]) < 1:
        raise ValueError(f"{where}: input {tuple(input.shape)} has no elements to take a window of")
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
    if out == (1, 1):
        return F.mean(x, (2, 3), keepdim=True), single
    if not any(n % m for n, m in zip(size, out, strict=True)):
        kernel = tuple([n // m for n, m in zip(size, out, strict=True)])
        return _avg_pool(where, x, (kernel, kernel, (0, 0), (1, 1))), single
    rows, columns = [wrap(_averages(n, m, x.array.dtype, x.device)) for n, m in zip(size, out, strict=True)]
    y = x if size[0] == out[0] else L.matmul(rows, x)
    return (y if size[1] == out[1] else L.matmul(y, columns.T)), single


def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """The means of output_size windows that cover the input; they overlap where it does not divide the length.

    Shape: (N, C, L) or (C, L) to (N, C, output_size).
    """
    return _line(*_adaptive_avg("adaptive_avg_pool1d", input, output_size, 1))


def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """The means of P x Q windows that cover the image; they overlap where P and Q do not divide its size.

    output_size: an int, or two of (int or None: as many as there are). Window p is the rows floor(p H / P) to
    ceil((p + 1) H / P) - 1. Shape: (N, C, H, W) or (C, H, W) to (N, C, P, Q).

    >>> adaptive_avg_pool2d(F.arange(6.0).reshape(1, 2, 3), (1, 2))
    tensor([[[2., 3.]]])
    """
    y, single = _adaptive_avg("adaptive_avg_pool2d", input, output_size, 2)
    return F.squeeze(y, 0) if single else y


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
    (h, w), (p, q) = x.array.shape[2:], out
    if h % p == 0 and w % q == 0:
        kernel = (h // p, w // q)
        y, found = _max_pool(where, x, (kernel, kernel, (0, 0), (1, 1)))
        return y, single, found
    # windows of one size are made by repeating the last row or column of the shorter ones
    (k, rows), (l, columns) = _covers(h, p, x.device), _covers(w, q, x.device)  # noqa: E741
    laid = x if h % p == 0 else S.getitem(x, index=(slice(None), slice(None), rows))
    laid = laid if w % q == 0 else S.getitem(laid, index=(slice(None), slice(None), slice(None), columns))
    y, places = _max_pool(where, laid, ((k, l), (k, l), (0, 0), (1, 1)))

    def positions() -> Tensor:
        place, across = places().array, q * l
        return wrap(rows[place // across] * w + columns[place % across])

    return y, single, positions


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


def adaptive_max_pool1d_with_indices(input: Tensor, output_size, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` with return_indices=True."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size, return_indices: bool = False) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d` with return_indices=True."""
    return adaptive_max_pool2d(input, output_size, True)
