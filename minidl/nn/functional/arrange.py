"""Functions that arrange what is there anew: padding, other sizes, one-hot rows."""

from __future__ import annotations

import functools
import math

import numpy as np

from ... import functions as F
from ...backend import backend_of, get_backend
from ...ops import linalg as L
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import a_tensor, floating, ints, number


def pad(input: Tensor, pad, mode: str = "constant", value: float | None = None) -> Tensor:
    """More around the input: pad = (left, right, top, bottom, ...), last dimension first; negative: crop.

    mode: 'constant' (`value`, or 0), 'reflect' (mirrored, the edge itself not repeated), 'replicate' (the edge's value)
    or 'circular' (from the other end). All but the first are for the last 1, 2 or 3 dimensions of a batch (N, C, ...)
    or of one sample (C, ...).

    >>> pad(F.tensor([1.0, 2.0, 3.0]), (1, -1))
    tensor([0., 1., 2.])
    >>> pad(F.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ValueError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    nd, shape = a_tensor(input, "pad").array.ndim, input.array.shape
    if len(pad) % 2 or len(pad) > 2 * nd or not all(isinstance(n, (int, np.integer)) for n in pad):
        raise ValueError(f"pad: expected two ints for each of at most {nd} dimensions, last first, got {tuple(pad)}")
    width = [(0, 0)] * nd
    for i in range(len(pad) // 2):
        width[nd - 1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    if any(n + a + b < 0 or n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(shape, width, strict=True)):
        raise ValueError(f"pad: {tuple(pad)} takes away more than there is of {tuple(shape)}")
    if mode != "constant":
        if value is not None:
            raise ValueError(f"pad: value={value} has no meaning for mode={mode!r}")
        if not 2 <= len(pad) <= 6 or nd - len(pad) // 2 not in (1, 2):
            raise NotImplementedError(
                f"pad: mode={mode!r} is for the last 1, 2 or 3 dimensions of (N, C, ...) or (C, ...), got "
                f"{tuple(pad)} for input {tuple(shape)}"
            )
        for axis, (before, after) in enumerate(width):
            if before or after:
                input = _continued(input, axis, before, after, mode)
        return input
    if any(n < 0 for both in width for n in both):
        cut = tuple([slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(shape, width, strict=True)])
        input, width = S.getitem(input, index=cut), [(max(a, 0), max(b, 0)) for a, b in width]
    return S.pad(input, width=tuple(width), value=0.0 if value is None else value)


def _continued(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """x with elements of its own before and after it along `axis`."""
    n = x.array.shape[axis]
    most = {"reflect": n - 1, "circular": n, "replicate": before + after}[mode]
    if max(before, after) > most or n < 1:
        raise ValueError(f"pad: mode={mode!r} can add at most {most} at each end of {n}, got {(before, after)}")

    def part(start, stop) -> Tensor:
        return S.getitem(x, index=(slice(None),) * axis + (slice(start, stop),))

    a, b = max(before, 0), max(after, 0)
    parts = [x]
    if mode == "replicate":
        repeated = [[size if k == axis else m for k, m in enumerate(x.array.shape)] for size in (a, b)]
        parts = [S.broadcast_to(part(0, 1), shape=tuple(repeated[0])), x]
        parts.append(S.broadcast_to(part(n - 1, n), shape=tuple(repeated[1])))
    elif mode == "circular":
        parts = [part(n - a, n), x, part(0, b)]
    else:
        parts = [S.flip(part(1, a + 1), axis=axis), x, S.flip(part(n - 1 - b, n - 1), axis=axis)]
    parts = [p for p in parts if p.array.shape[axis]]
    y = S.cat(*parts, axis=axis) if len(parts) > 1 else x
    if min(before, after) >= 0:
        return y
    return S.getitem(y, index=(slice(None),) * axis + (slice(max(0, -before), a + n + b - max(0, -after)),))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 rows with a 1 at the class and 0 elsewhere; num_classes -1: the largest class plus one.

    >>> one_hot(F.tensor([2, 0]))
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    index = a_tensor(tensor, "one_hot").array
    if index.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integers, got {tensor.dtype}")
    B = backend_of(index)
    if num_classes == -1:
        if not index.size:
            raise ValueError("one_hot: num_classes must be given for an empty tensor")
        num_classes = int(index.max()) + 1
    B.check_index(index, num_classes, "one_hot")
    return wrap(B.astype(B.equal(B.reshape(index, (*index.shape, 1)), B.arange(num_classes)), "int64"))


# ------------------------------------------------------------------------------------------------------ other sizes
@functools.lru_cache(maxsize=256)
def _nearest(n: int, m: int, scale: float | None) -> np.ndarray:
    """For each of m places the nearest (not rounded, but cut off) of n, in PyTorch's single precision."""
    if m == 2 * n:
        return np.arange(m) // 2
    step = np.float32(1.0 / scale) if scale else np.float32(n) / np.float32(m)
    return np.minimum(np.floor(np.arange(m, dtype=np.float32) * step).astype(np.int64), n - 1)


@functools.lru_cache(maxsize=256)
def _between(n: int, m: int, scale: float | None, align_corners: bool, dtype, where):
    """An (m, n) array on the device whose rows weight the two neighbours of each of m places."""
    i = np.arange(m)
    if align_corners:
        at = i * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        at = np.maximum((i + 0.5) * (1.0 / scale if scale else n / m) - 0.5, 0.0)
    low = np.minimum(np.floor(at).astype(np.int64), n - 1)
    weights = np.zeros((m, n))
    weights[i, low] += 1 - (at - low)
    weights[i, np.minimum(low + 1, n - 1)] += at - low
    return get_backend(where).from_host(weights.astype(dtype), where)


_LINEAR = {"linear": 3, "bilinear": 4}  # mode -> the number of dimensions of its input
_OTHER = ("nearest-exact", "bicubic", "trilinear", "area")


def interpolate_mode(mode: str, align_corners: bool | None, where: str) -> None:
    """Check the mode of `interpolate`, and that align_corners goes with it."""
    if mode in _OTHER:
        raise NotImplementedError(f"{where}: mode={mode!r} is not supported; 'nearest', 'linear' and 'bilinear' are")
    if mode != "nearest" and mode not in _LINEAR:
        raise ValueError(f"{where}: mode must be 'nearest', 'linear' or 'bilinear', got {mode!r}")
    if mode == "nearest" and align_corners is not None:
        raise ValueError(f"{where}: align_corners has no meaning for mode='nearest', got {align_corners}")


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

    mode 'nearest': the input's element at floor(i old / new). 'linear' for (N, C, L) and 'bilinear' for (N, C, H, W):
    between the neighbours of (i + 1/2) old / new - 1/2, or with align_corners of i (old - 1) / (new - 1). Where
    scale_factor is given, 1 / scale_factor stands for old / new unless recompute_scale_factor is True.
    Shape: (N, C, L), (N, C, H, W) or, 'nearest' only, (N, C, D, H, W) to (N, C, *size).

    >>> interpolate(F.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    x = floating(input, "interpolate")
    shape = tuple(x.array.shape)
    interpolate_mode(mode, align_corners, "interpolate")
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not supported")
    dims = len(shape) - 2
    if not 1 <= dims <= 3 or len(shape) != _LINEAR.get(mode, len(shape)):
        raise ValueError(f"interpolate: mode={mode!r} cannot take input {shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: expected size or scale_factor, got {size!r} and {scale_factor!r}")
    old: tuple[int, ...] = shape[2:]
    scales: list[float | None] = [None] * dims
    if size is not None:
        if recompute_scale_factor:
            raise ValueError("interpolate: recompute_scale_factor has no meaning with size")
        new = ints(size, dims, "size", "interpolate")
    else:
        given = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * dims
        factors = [float(number(f, "scale_factor", "interpolate")) for f in given]
        if len(factors) != dims or min(factors) <= 0:
            raise ValueError(f"interpolate: expected {dims} positive scale factors, got {scale_factor!r}")
        new = tuple([math.floor(n * f) for n, f in zip(old, factors, strict=True)])
        scales = scales if recompute_scale_factor else list(factors)
    if min(*old, *new) < 1:
        raise ValueError(f"interpolate: expected sizes of at least 1, got {old} to {new}")
    for axis, n, m, scale in zip(range(2, len(shape)), old, new, scales, strict=True):
        x = _resized(x, axis, n, m, scale, mode, bool(align_corners))
    return x


def _resized(x: Tensor, axis: int, n: int, m: int, scale: float | None, mode: str, align_corners: bool) -> Tensor:
    """x with m elements along `axis` instead of n."""
    if n == m:
        return x
    if mode != "nearest":
        weights = wrap(_between(n, m, scale, align_corners, x.array.dtype, x.device))
        return L.matmul(x, weights.T) if axis == x.array.ndim - 1 else L.matmul(weights, x)
    index = _nearest(n, m, scale)
    if m % n == 0 and (index == np.arange(m) // (m // n)).all():  # each the same number of times
        shape = tuple(x.array.shape)
        many = S.broadcast_to(F.unsqueeze(x, axis + 1), shape=(*shape[: axis + 1], m // n, *shape[axis + 1 :]))
        return F.reshape(many, (*shape[:axis], m, *shape[axis + 1 :]))
    where = get_backend(x.device).from_host(index, x.device)
    return S.getitem(x, index=(slice(None),) * axis + (where,))


def upsample(input: Tensor, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None):
    """`interpolate`, under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)
