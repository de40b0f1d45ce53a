"""An image (or a volume) read at places between its pixels: `grid_sample`, and grids of affine maps."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError, backend_of, get_backend
from ...ops import elementwise as E
from ...ops import linalg as L
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import floating


@functools.lru_cache(maxsize=64)
def _base(size: tuple[int, ...], align_corners: bool, dtype, where):
    """(P Q, 3) on the device: x, y and 1 of each pixel, from -1 to 1 (between the outer centres, or edges)."""
    lines = []
    for n in size:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    places = np.meshgrid(*lines, indexing="ij")
    table = np.stack([*reversed(places), np.ones(size)], axis=-1).reshape(-1, len(size) + 1)
    return get_backend(where).from_host(table.astype(dtype), where)


def affine_grid(theta: Tensor, size, align_corners: bool | None = None) -> Tensor:
    """Where an affine map takes each pixel, for `grid_sample`: grid[n,p,q] = theta[n] (x_q, y_p, 1).

    size: that of the result of grid_sample, (N, C, P, Q) or (N, C, O, P, Q). x and y go from -1 to 1, which are the
    centres of the outer pixels with align_corners, else their outer edges. Shape: theta (N, 2, 3) to (N, P, Q, 2), or
    (N, 3, 4) to (N, O, P, Q, 3). Jaderberg et al., 2015.

    >>> affine_grid(F.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2), align_corners=True)
    tensor([[[[-1.,  0.],
              [ 1.,  0.]]]])
    """
    floating(theta, "affine_grid", "theta")
    size, dims = tuple([int(n) for n in size]), len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(f"affine_grid: size must have 4 or 5 numbers, got {size}")
    if theta.array.shape != (size[0], dims, dims + 1):
        raise ArgumentError(
            f"affine_grid: expected theta {(size[0], dims, dims + 1)} for {size}, got {tuple(theta.shape)}"
        )
    if min(size) <= 0:
        raise ArgumentError(f"affine_grid: size must be positive, got {size}")
    base = wrap(_base(size[2:], bool(align_corners), theta.array.dtype, theta.device))
    return F.reshape(L.matmul(base, S.swapaxes(theta, axis1=1, axis2=2)), (size[0], *size[2:], dims))


def _inside(at, n: int, padding: str, align_corners: bool):
    """Coordinates beyond the image brought back into it: (a, b) with a * at + b, arrays, or None as they are."""
    B = backend_of(at)
    a, b = B.ones_like(at), B.zeros_like(at)
    if padding == "reflection":
        low, span = (0.0, n - 1.0) if align_corners else (-0.5, float(n))
        if not span:
            return b, b
        turned = B.where(at < low, -a, a)  # abs(at - low) = turned (at - low)
        folds = B.floor(turned * (at - low) / span)
        odd = folds - 2.0 * B.floor(folds / 2.0)
        a = turned * (1.0 - 2.0 * odd)
        b = B.where(odd > 0, span + folds * span, -folds * span) - low * a + low
    y = a * at + b
    free = (y > 0) & (y < n - 1.0)  # at the ends PyTorch's derivative is 0 too
    edge = B.where(y > 0, n - 1.0, B.zeros_like(y))
    return B.where(free, a, B.zeros_like(a)), B.where(free, b, edge)


def _padded(at: Tensor, n: int, padding: str, align_corners: bool) -> Tensor:
    """The coordinates as `padding_mode` has them; the arithmetic is recorded."""
    if padding == "zeros":
        return at
    a, b = _inside(at.array, n, padding, align_corners)
    return at * wrap(a) + wrap(b)


_A = -0.75  # of the cubic convolution kernel, as in PyTorch


def _cubics(t: Tensor) -> list[Tensor]:
    """The weights of the four neighbours of a place that is t behind the second; Keys, 1981."""

    def near(s):
        return ((_A + 2) * s - (_A + 3)) * s * s + 1

    def far(s):
        return ((_A * s - 5 * _A) * s + 8 * _A) * s - 4 * _A

    return [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]


def _taps(at: Tensor, n: int, mode: str, padding: str, align_corners: bool) -> list[tuple[Any, Any, Tensor | None]]:
    """For each pixel along one axis that counts: its number (kept inside), whether it is inside, and its weight."""
    B = backend_of(at.array)
    taps: list[tuple[Any, Tensor | None]]
    if mode == "nearest":
        taps = [(B.rint(_padded(at, n, padding, align_corners).array), None)]
    elif mode == "bilinear":
        at = _padded(at, n, padding, align_corners)
        low = B.floor(at.array)
        t = at - wrap(low)
        taps = [(low, 1.0 - t), (low + 1.0, t)]
    else:  # the pixels, and not the place, are brought back into the image
        low = B.floor(at.array)
        taps = [(low + (k - 1.0), weight) for k, weight in enumerate(_cubics(at - wrap(low)))]
        if padding != "zeros":
            both = [(_inside(i, n, padding, align_corners), i, weight) for i, weight in taps]
            taps = [(B.rint(a * i + b), weight) for (a, b), i, weight in both]
    found: list[tuple[Any, Any, Tensor | None]] = []
    for i, weight in taps:
        kept = B.minimum(B.maximum(i, 0.0), n - 1.0)
        kept = B.where(kept == kept, kept, 0.0)  # nan, whose weight is nan
        found.append((B.astype(kept, "int64"), (i >= 0) & (i <= n - 1.0), weight))
    return found


@whole
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The input at the places of `grid`, whose numbers (x, y) or (x, y, z) go from -1 to 1 over the image.

    -1 and 1 are the centres of the outer pixels with align_corners, else their outer edges. mode: 'bilinear' (between
    the 4, or 8, neighbours), 'nearest', or 'bicubic' (16 neighbours; images only). padding_mode, beyond the image:
    'zeros', 'border' (its edge), or 'reflection'. Both input and grid get gradients.
    Shape: input (N, C, H, W) and grid (N, P, Q, 2) to (N, C, P, Q), or (N, C, D, H, W) and (N, O, P, Q, 3) to
    (N, C, O, P, Q). Jaderberg et al., 2015.

    >>> image = F.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> grid_sample(image, F.tensor([[[[0.0, 0.0], [1.0, -1.0]]]]), align_corners=True)
    tensor([[[[2.5000, 2.0000]]]])
    """
    where = "grid_sample"
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ArgumentError(f"{where}: mode must be 'bilinear', 'nearest' or 'bicubic', got {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ArgumentError(f"{where}: padding_mode must be 'zeros', 'border' or 'reflection', got {padding_mode!r}")
    shape, places = floating(input, where).array.shape, floating(grid, where, "grid").array.shape
    dims = len(shape) - 2
    if dims not in (2, 3) or len(places) != dims + 2 or places[0] != shape[0] or places[-1] != dims:
        raise RuntimeError(
            f"{where}: expected input (N, C, H, W) and grid (N, P, Q, 2), or input (N, C, D, H, W) and grid "
            f"(N, O, P, Q, 3), got {tuple(shape)} and {tuple(places)}"
        )
    if input.array.dtype != grid.array.dtype:
        raise RuntimeError(f"{where}: input is {input.dtype}, grid is {grid.dtype}; expected one dtype")
    if mode == "bicubic" and dims == 3:
        raise RuntimeError(f"{where}: mode='bicubic' is for images (N, C, H, W), got {tuple(shape)}")
    if min(shape[2:]) < 1:
        raise RuntimeError(f"{where}: input {tuple(shape)} has no pixels")
    n, c, *size = shape
    out, corners = places[1:-1], bool(align_corners)
    many = math.prod(out)
    flat, taps = F.reshape(grid, (n, 1, many, dims)), []
    for axis, m in enumerate(size):
        at = S.getitem(flat, index=(Ellipsis, dims - 1 - axis))
        at = (at + 1.0) * ((m - 1) / 2) if corners else ((at + 1.0) * float(m) - 1.0) / 2.0
        taps.append(_taps(at, m, mode, padding_mode, corners))
    B, x, total = backend_of(input.array), F.reshape(input, (n, c, math.prod(size))), None
    for corner in itertools.product(*taps):
        place: Any = 0
        for m, (i, _, _) in zip(size, corner, strict=True):
            place = place * m + i
        part = S.take_along_axis(x, wrap(B.copy(B.broadcast_to(place, (n, c, many)))), axis=2)
        inside = functools.reduce(lambda a, b: a & b, [within for _, within, _ in corner])
        weights = [weight for _, _, weight in corner if weight is not None]
        weights.append(wrap(B.astype(inside, input.array.dtype)))
        part = part * functools.reduce(lambda a, b: a * b, weights)
        total = part if total is None else total + part
    if mode == "nearest" and grid.requires_grad:  # it jumps from pixel to pixel: the gradient is there, and 0
        nothing = E.where(wrap(B.zeros((n, 1, many), dtype=bool)), S.getitem(flat, index=(Ellipsis, 0)), 0.0)
        total = total + nothing
    return F.reshape(total, (n, c, *out))
