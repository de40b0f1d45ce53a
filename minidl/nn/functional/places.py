"""Max pooling undone, from the positions that it gives, and max pooling in windows that are drawn at random."""

from __future__ import annotations

import math

from ... import functions as F
from ...backend import ArgumentError, backend_of
from ...ops import pool as P
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import a_tensor, floating, ints, number

_SHAPES = {1: "(N, C, L) or (C, L)", 2: "(N, C, H, W) or (C, H, W)", 3: "(N, C, D, H, W) or (C, D, H, W)"}


def _batched(input: Tensor, where: str, dims: int) -> tuple[Tensor, bool]:
    """The input with a batch, and whether it came without."""
    ndim = floating(input, where).array.ndim
    if ndim not in (dims + 1, dims + 2):
        raise ArgumentError(f"{where}: expected input {_SHAPES[dims]}, got {tuple(input.shape)}")
    return (F.unsqueeze(input, 0), True) if ndim == dims + 1 else (input, False)


# ---------------------------------------------------------------------------------------------------------- unpooling
def _max_unpool(where: str, input, indices, kernel_size, stride, padding, output_size, dims: int) -> Tensor:
    x, single = _batched(input, where, dims)
    if a_tensor(indices, where, "indices").array.dtype != "int64":
        raise RuntimeError(f"{where}: indices must be int64, got {indices.dtype}")
    if indices.array.shape != input.array.shape:
        raise RuntimeError(f"{where}: indices are {tuple(indices.shape)}, input is {tuple(input.shape)}")
    kernel = ints(kernel_size, dims, "kernel_size", where)
    stride = kernel if stride is None else ints(stride, dims, "stride", where)
    padding = ints(padding, dims, "padding", where, low=0)
    n, c, *old = x.array.shape
    size = tuple([(m - 1) * s + k - 2 * p for m, s, k, p in zip(old, stride, kernel, padding, strict=True)])
    if output_size is not None:
        wanted = tuple(output_size)[2:] if len(output_size) == dims + 2 else tuple(output_size)
        if len(wanted) != dims:
            raise ArgumentError(
                f"{where}: output_size must have {dims} or {dims + 2} numbers, got {tuple(output_size)}"
            )
        if any(not m - s < w < m + s for m, s, w in zip(size, stride, wanted, strict=True)):
            least, most = (
                [m - s + 1 for m, s in zip(size, stride, strict=True)],
                [m + s - 1 for m, s in zip(size, stride, strict=True)],
            )
            raise ArgumentError(f"{where}: output_size must be between {least} and {most}, got {wanted}")
        size = wanted
    if min(size) < 0:
        raise ArgumentError(f"{where}: output_size must not be negative, got {size}")
    flat = (n, c, math.prod(old))
    place = backend_of(indices.array).reshape(indices.array, flat)
    backend_of(place).check_index(place, math.prod(size), where)
    y = F.reshape(P.unpool(F.reshape(x, flat), wrap(place), size=math.prod(size)), (n, c, *size))
    return F.squeeze(y, 0) if single else y


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """`max_pool1d` undone: zeros, with each value of the input at its position of `indices`.

    output_size: which of the sizes that give the input's, (L) or (N, C, L). Shape: (N, C, P) or (C, P) to (N, C, L)
    with L = (P - 1) stride - 2 padding + kernel_size if it is not given. Zeiler et al., 2011.

    >>> max_unpool1d(F.tensor([[5.0, 7.0]]), F.tensor([[1, 2]]), 2)
    tensor([[0., 5., 7., 0.]])
    """
    return _max_unpool("max_unpool1d", input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """`max_unpool1d` for images. Shape: (N, C, P, Q) or (C, P, Q) to (N, C, H, W)."""
    return _max_unpool("max_unpool2d", input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """`max_unpool1d` for volumes. Shape: (N, C, O, P, Q) or (C, O, P, Q) to (N, C, D, H, W)."""
    return _max_unpool("max_unpool3d", input, indices, kernel_size, stride, padding, output_size, 3)


# -------------------------------------------------------------------------------------------------- fractional pooling
def _fractional(where, input, kernel_size, output_size, output_ratio, samples, dims: int) -> tuple[Tensor, Tensor]:
    x, single = _batched(input, where, dims)
    kernel = ints(kernel_size, dims, "kernel_size", where)
    n, c, *size = x.array.shape
    if output_size is None:
        if output_ratio is None:
            raise ArgumentError(f"{where}: expected output_size or output_ratio")
        ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * dims
        if len(ratios) != dims:
            raise ArgumentError(f"{where}: output_ratio must be a number or {dims} of them, got {output_ratio!r}")
        output_size = tuple([int(m * number(r, "output_ratio", where)) for m, r in zip(size, ratios, strict=True)])
    out = ints(output_size, dims, "output_size", where)
    for m, k, o in zip(size, kernel, out, strict=True):
        if o + k - 1 > m:
            raise ArgumentError(
                f"{where}: windows of {kernel} do not give {out} from input {tuple(input.shape)}: expected output_size "
                f"+ kernel_size - 1 to be at most the input's size"
            )
    if samples is None:
        samples = F.rand((n, c, dims), dtype=x.dtype, device=x.device)
    if a_tensor(samples, where, "_random_samples").dtype != x.dtype:
        raise TypeError(f"{where}: _random_samples must be {x.dtype} like the input, got {samples.dtype}")
    if samples.array.shape != (n, c, dims):
        raise ArgumentError(f"{where}: _random_samples must be ({n}, {c}, {dims}), got {tuple(samples.shape)}")
    B = backend_of(x.array)
    place: object = 0
    for axis, (m, k, o) in enumerate(zip(size, kernel, out, strict=True)):
        # with two dimensions PyTorch takes the first sample for the columns, with three for the depth
        u = samples.array[:, :, 1 - axis if dims == 2 else axis]
        at = _starts(B, u, m, k, o)
        at = B.reshape(at, (n, c, o, 1)) + B.arange(k)
        sizes = [1] * (2 * dims)
        sizes[axis], sizes[dims + axis] = o, k
        place = place * m + B.reshape(at, (n, c, *sizes))  # (N, C, *out, *kernel)
    many = math.prod(out)
    place = B.reshape(place, (n, c, many * math.prod(kernel)))
    flat = B.reshape(x.array, (n, c, math.prod(size)))
    found = B.reshape(B.take_along_axis(flat, place, axis=2), (n, c, many, math.prod(kernel)))
    best = B.reshape(B.argmax(found, axis=3), (n, c, many, 1))
    place = B.reshape(place, (n, c, many, math.prod(kernel)))
    place = B.reshape(B.take_along_axis(place, best, axis=3), (n, c, many))
    y = S.take_along_axis(F.reshape(x, (n, c, math.prod(size))), wrap(place), axis=2)
    y, index = F.reshape(y, (n, c, *out)), wrap(B.reshape(place, (n, c, *out)))
    return (F.squeeze(y, 0), F.squeeze(index, 0)) if single else (y, index)


def _starts(B, u, m: int, k: int, o: int):
    """Where o windows of k among m elements begin, for the random numbers u (N, C): (N, C, o)."""
    if o == 1:
        return B.zeros((*u.shape, 1), dtype="int64") + (m - k)
    step = (m - k) / (o - 1)
    u = B.reshape(u, (*u.shape, 1))
    at = B.astype(B.floor((B.astype(B.arange(o - 1), u.dtype) + u) * step) - B.floor(u * step), "int64")
    return B.concatenate([at, B.zeros((*u.shape[:2], 1), dtype="int64") + (m - k)], axis=2)


def fractional_max_pool2d_with_indices(
    input: Tensor, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool2d` with return_indices=True."""
    return _fractional("fractional_max_pool2d", input, kernel_size, output_size, output_ratio, _random_samples, 2)


def fractional_max_pool2d(
    input: Tensor, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    """The largest value in each of output_size windows, whose distances are drawn at random for each channel.

    With u a random number, a window begins at floor((i + u) a) - floor(u a), a = (H - K) / (P - 1); the last one ends
    with the image. output_ratio: output_size over the input's size. return_indices=True: also the positions,
    row * W + column. Shape: (N, C, H, W) or (C, H, W) to (N, C, *output_size). Graham, 2014.
    """
    y, index = fractional_max_pool2d_with_indices(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )
    return (y, index) if return_indices else y


def fractional_max_pool3d_with_indices(
    input: Tensor, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool3d` with return_indices=True."""
    return _fractional("fractional_max_pool3d", input, kernel_size, output_size, output_ratio, _random_samples, 3)


def fractional_max_pool3d(
    input: Tensor, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    """`fractional_max_pool2d` for volumes. Shape: (N, C, D, H, W) or (C, D, H, W) to (N, C, *output_size)."""
    y, index = fractional_max_pool3d_with_indices(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )
    return (y, index) if return_indices else y
