"""Where pixels lie: flips, padding, crops, other sizes, rotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from ...backend import backend_of
from ..draws import stream
from .base import ImageTransform, check_probability

_MODES = ("constant", "edge", "reflect", "symmetric")
_BITS = 22  # of a weight, where bytes are resized: what Pillow takes


class InterpolationMode(StrEnum):
    """How values between pixels are found. Only these three are supported."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"


class RandomHorizontalFlip(ImageTransform):
    """Mirror left and right with probability p.

    Shape:
        arrays (H, W) or (H, W, C), Tensors (C, H, W) -> the same.

    Raises:
        ValueError: p is no probability.

    >>> RandomHorizontalFlip(p=1)(np.array([[1, 2, 3]], dtype=np.uint8))
    array([[3, 2, 1]], dtype=uint8)
    """

    _axis = 1  # columns

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability(type(self).__name__, p)

    def apply(self, x: Any, h: int) -> Any:
        rows = np.flatnonzero(stream(len(x)).uniform(1)[:, 0] < self.p)
        if not len(rows):
            return x
        B = backend_of(x)
        where = B.from_host(rows, B.device_of(x))
        chosen, axis, channel = x[where], h + self._axis, 5 - 2 * h
        # channel by channel: elements that lie apart are copied in long loops, not three at a time
        for c in range(x.shape[channel]):
            one = _along(channel, c)
            plane = x[one]
            plane[where] = B.flip(chosen[one], axis if axis < channel else axis - 1)
        return x

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirror top and bottom with probability p; else as `RandomHorizontalFlip`.

    >>> RandomVerticalFlip(p=1)(np.array([[1], [2]], dtype=np.uint8)).tolist()
    [[2], [1]]
    """

    _axis = 0


class Pad(ImageTransform):
    """Add a border.

    padding: one width for all sides, (left and right, top and bottom), or (left, top, right, bottom). fill: the value
    for padding_mode="constant", a number or one for each channel. padding_mode: "constant"; "edge", the last pixel;
    "reflect", mirrored without the last pixel; "symmetric", mirrored with it.

    Raises:
        ValueError: such a padding or mode does not exist, or a mirrored border is wider than the image.

    >>> Pad(1)(np.array([[5]], dtype=np.uint8)).tolist()
    [[0, 0, 0], [0, 5, 0], [0, 0, 0]]
    """

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> None:
        self._sides = _sides("Pad", padding)
        self.padding, self.fill, self.padding_mode = padding, fill, _check_mode("Pad", padding_mode)

    def apply(self, x: Any, h: int) -> Any:
        return _padded("Pad", x, h, self._sides, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class CenterCrop(ImageTransform):
    """The middle of an image; where it is smaller than `size`, zeros surround it.

    size: (height, width), or one number for both.

    >>> CenterCrop(1)(np.arange(9, dtype=np.uint8).reshape(3, 3))
    array([[4]], dtype=uint8)
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _size("CenterCrop", size)

    def apply(self, x: Any, h: int) -> Any:
        height, width = self.size
        spare = [max(want - n, 0) for want, n in zip(self.size, x.shape[h : h + 2], strict=True)]
        if any(spare):
            x = _padded("CenterCrop", x, h, (spare[1] // 2, spare[0] // 2, -(-spare[1] // 2), -(-spare[0] // 2)), 0)
        top, left = (round((n - want) / 2) for n, want in zip(x.shape[h : h + 2], self.size, strict=True))
        return x[(*[slice(None)] * h, slice(top, top + height), slice(left, left + width))]

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class RandomCrop(ImageTransform):
    """A part of `size` at a random place, after padding.

    size: (height, width), or one number for both. padding, fill, padding_mode: as in `Pad`. pad_if_needed: add as much
    on both sides as is missing.

    Raises:
        ValueError: the padded image is smaller than `size`.

    >>> RandomCrop(32, padding=4)(np.ones((32, 32, 3), dtype=np.uint8)).shape
    (32, 32, 3)
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size, self._sides = _size("RandomCrop", size), None if padding is None else _sides("RandomCrop", padding)
        self.padding, self.pad_if_needed, self.fill = padding, bool(pad_if_needed), fill
        self.padding_mode = _check_mode("RandomCrop", padding_mode)

    def apply(self, x: Any, h: int) -> Any:
        u = stream(len(x)).uniform(2)
        if self._sides is not None:
            x = _padded("RandomCrop", x, h, self._sides, self.fill, self.padding_mode)
        if self.pad_if_needed:
            up, side = (max(want - n, 0) for want, n in zip(self.size, x.shape[h : h + 2], strict=True))
            if up or side:
                x = _padded("RandomCrop", x, h, (side, up, side, up), self.fill, self.padding_mode)
        (height, width), (rows, columns) = x.shape[h : h + 2], self.size
        if height < rows or width < columns:
            raise ValueError(
                f"RandomCrop: required crop size {self.size} is larger than the input image size {(height, width)}"
            )
        if (height, width) == self.size:
            return x
        B = backend_of(x)
        top, left = (
            B.from_host((u[:, i] * span).astype(np.int64), B.device_of(x))
            for i, span in enumerate((height - rows + 1, width - columns + 1))
        )
        windows = B.lib.stride_tricks.sliding_window_view(x, self.size, (h, h + 1))
        n = B.from_host(np.arange(len(x)), B.device_of(x))
        # the window is last: (N, C, rows, columns)
        y = windows[n, top, left] if h == 1 else B.transpose(windows, (0, 2, 3, 1, 4, 5))[n, top, left]
        return B.transpose(y, (0, 2, 3, 1)) if h == 1 else y

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class Resize(ImageTransform):
    """An image of another size.

    size: (height, width); one number is that of the shorter side, and the other one follows in proportion. max_size:
    the most that the longer side may then have. interpolation: "bilinear", "nearest" or "nearest-exact". antialias:
    whether bilinear weights are spread over all pixels that become one; without it, two are taken in each direction.

    Bytes are resized as Pillow resizes them, with weights of 22 bits and a rounding after each direction. The nearest
    pixel is the one around the centre, as in Pillow; of Tensors, with "nearest", it is floor(i * scale) as in PyTorch.

    Raises:
        ValueError: such a size does not exist.
        NotImplementedError: another interpolation.

    >>> Resize(2)(np.array([[0, 0, 8, 8]] * 4, dtype=np.uint8)).tolist()
    [[1, 7], [1, 7]]
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode | str = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool = True,
    ) -> None:
        one = isinstance(size, int) or (isinstance(size, Sequence) and len(size) == 1)
        sides = _size("Resize", size)
        self.size: tuple[int, ...] = sides[:1] if one else sides
        if max_size is not None and (not one or max_size <= self.size[0]):
            raise ValueError(f"Resize: max_size={max_size} needs a size of one number below it, got size={size}")
        self.interpolation, self.max_size = _interpolation("Resize", interpolation), max_size
        self.antialias = bool(antialias)

    def apply(self, x: Any, h: int) -> Any:
        target = self._target(*x.shape[h : h + 2])
        for axis, size in ((h + 1, target[1]), (h, target[0])):
            n = x.shape[axis]
            if size == n:
                continue
            if self.interpolation is InterpolationMode.BILINEAR:
                x = _resampled(x, axis, size, self.antialias)
            else:
                shift = 0.0 if self.interpolation is InterpolationMode.NEAREST and h == 2 else 0.5
                at = np.minimum(np.floor((np.arange(size) + shift) * (n / size)).astype(np.int64), n - 1)
                x = _taken(x, at, axis)
        return x

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if len(self.size) == 2:
            return self.size[0], self.size[1]
        short, long = sorted((height, width))
        new_short, new_long = self.size[0], max(1, int(self.size[0] * long / short))
        if self.max_size is not None and new_long > self.max_size:
            new_short, new_long = max(1, int(self.max_size * new_short / new_long)), self.max_size
        return (new_long, new_short) if height > width else (new_short, new_long)

    def __repr__(self) -> str:
        size = self.size[0] if len(self.size) == 1 else self.size
        return (
            f"Resize(size={size}, interpolation={self.interpolation.value}, max_size={self.max_size}, "
            f"antialias={self.antialias})"
        )


class RandomRotation(ImageTransform):
    """Turn an image about its centre, counter-clockwise, by an angle drawn uniformly from `degrees`.

    degrees: (low, high), or one number d for (-d, d). interpolation: "nearest" or "bilinear". center: the fixed point
    (x, y) from the top left corner, in pixels. fill: the value of what comes from outside, a number or one for each
    channel. The values are Pillow's `Image.rotate`.

    Raises:
        ValueError: such degrees do not exist.
        NotImplementedError: `expand=True`, for the images of a batch would differ in size; another interpolation.

    >>> RandomRotation((90, 90))(np.array([[1, 2], [3, 4]], dtype=np.uint8)).tolist()
    [[2, 4], [1, 3]]
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode | str = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        if isinstance(degrees, (int, float)):
            if degrees < 0:
                raise ValueError(f"RandomRotation: a single number of degrees must not be negative, got {degrees}")
            degrees = (-degrees, degrees)
        if len(degrees) != 2 or not all(map(math.isfinite, degrees)):
            raise ValueError(f"RandomRotation: degrees should be a number or (low, high), got {degrees!r}")
        if expand:
            raise NotImplementedError(
                "RandomRotation: expand=True is not supported: images of a batch would differ in size"
            )
        if center is not None and len(center) != 2:
            raise ValueError(f"RandomRotation: center should be (x, y), got {center!r}")
        self.degrees, self.center, self.fill = tuple(map(float, degrees)), center, fill
        self.interpolation = _interpolation("RandomRotation", interpolation)

    def apply(self, x: Any, h: int) -> Any:
        low, high = self.degrees
        angle = np.deg2rad(low + (high - low) * stream(len(x)).uniform(1)[:, 0])
        height, width = x.shape[h : h + 2]
        cx, cy = self.center or (width / 2, height / 2)
        # from a point of the result to one of the image: x' = a x + b y + c, y' = d x + e y + f
        a, b = np.round(np.cos(angle), 15), np.round(-np.sin(angle), 15)
        matrix = np.stack([a, b, (a * -cx + b * -cy) + cx, -b, a, (-b * -cx + a * -cy) + cy], axis=1)
        return _warped("RandomRotation", x, h, matrix, self.interpolation is InterpolationMode.BILINEAR, self.fill)

    def __repr__(self) -> str:
        return (
            f"RandomRotation(degrees={list(self.degrees)}, interpolation={self.interpolation.value}, fill={self.fill})"
        )


def fill_of(where: str, fill: Any, x: Any, h: int) -> np.ndarray:
    """A value for each channel, in x's dtype and with its dimensions."""
    channels = x.shape[5 - 2 * h]
    values = np.asarray(fill, dtype=np.float64).reshape(-1)
    if len(values) not in (1, channels):
        raise ValueError(f"{where}: fill has {len(values)} values, the image {channels} channels")
    if x.dtype == np.uint8 and not ((values >= 0) & (values <= 255)).all():
        raise ValueError(f"{where}: fill={fill} does not fit a uint8 image, expected 0 ... 255")
    return np.broadcast_to(values, channels).astype(x.dtype).reshape((1, 1, 1, -1) if h == 1 else (1, -1, 1, 1))


def cast(x: Any, dtype: Any) -> Any:
    """x in a dtype; itself if it is that already."""
    return x if x.dtype == dtype else backend_of(x).astype(x, dtype)


def _along(axis: int, index: Any) -> tuple:
    return (*[slice(None)] * axis, index)


def _taken(x: Any, index: np.ndarray, axis: int) -> Any:
    B = backend_of(x)
    return B.take(x, B.from_host(index, B.device_of(x)), axis=axis)


def _padded(where: str, x: Any, h: int, sides: tuple[int, ...], fill: Any, mode: str = "constant") -> Any:
    left, top, right, bottom = sides
    B = backend_of(x)
    if mode == "constant":
        values = fill_of(where, fill, x, h)
        width = [(0, 0)] * 4
        width[h], width[h + 1] = (top, bottom), (left, right)
        if (values == values.flat[0]).all():
            return B.pad(x, width, values.flat[0].item())
        shape = [n + a + b for n, (a, b) in zip(x.shape, width, strict=True)]
        y = B.empty(tuple(shape), x.dtype)
        y[...] = B.from_host(values, B.device_of(x))
        y[(*[slice(None)] * h, slice(top, top + x.shape[h]), slice(left, left + x.shape[h + 1]))] = x
        return y
    for axis, before, after in ((h, top, bottom), (h + 1, left, right)):
        n = x.shape[axis]
        most = n - 1 if mode == "reflect" else n
        if mode != "edge" and max(before, after) > most:
            raise ValueError(f"{where}: padding {max(before, after)} is too wide for {n} pixels and mode {mode!r}")
        at = np.arange(-before, n + after)
        if mode == "edge":
            at = np.clip(at, 0, n - 1)
        elif mode == "reflect":
            at = np.where(at < 0, -at, np.where(at >= n, 2 * n - 2 - at, at))
        else:
            at = np.where(at < 0, -at - 1, np.where(at >= n, 2 * n - 1 - at, at))
        x = _taken(x, at, axis) if before or after else x
    return x


def _resampled(x: Any, axis: int, size: int, antialias: bool) -> Any:
    """Triangle weights along one axis; a sum over taps in a fixed order, so that every image gets the same bits."""
    n, B = x.shape[axis], backend_of(x)
    scale = n / size
    reach = max(scale, 1.0) if antialias else 1.0
    center = (np.arange(size) + 0.5) * scale
    first = np.maximum((center - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((center + reach + 0.5).astype(np.int64), n)
    taps = first[:, None] + np.arange(int((last - first).max()))
    weights = np.maximum(1.0 - np.abs((taps - center[:, None] + 0.5) / reach), 0.0) * (taps < last[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    taps = np.minimum(taps, n - 1)
    if x.dtype.kind == "f":
        numbers = weights.astype(x.dtype)
    elif x.dtype == np.uint8:
        numbers = np.floor(weights * (1 << _BITS) + 0.5).astype(np.int32)
    else:
        raise TypeError(f"Resize: bilinear needs a uint8 or floating-point image, got {x.dtype}")
    shape = [1] * 4
    shape[axis] = size
    total: Any = None
    for k in range(taps.shape[1]):
        part = cast(_taken(x, taps[:, k], axis), numbers.dtype)
        part = part * B.from_host(np.ascontiguousarray(numbers[:, k]).reshape(shape), B.device_of(x))
        total = part if total is None else total + part
    if x.dtype.kind == "f":
        return total
    return B.astype(B.clip((total + (1 << (_BITS - 1))) >> _BITS, 0, 255), np.uint8)


def _warped(where: str, x: Any, h: int, matrix: np.ndarray, bilinear: bool, fill: Any) -> Any:
    """Each image at the places that its matrix (N, 6) gives for the pixels of the result."""
    n, (height, width), B = len(x), x.shape[h : h + 2], backend_of(x)
    if bilinear and x.dtype != np.uint8 and x.dtype.kind != "f":
        raise TypeError(f"{where}: bilinear needs a uint8 or floating-point image, got {x.dtype}")
    device = B.device_of(x)
    rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    a, b, c, d, e, f = (matrix[:, i, None, None] for i in range(6))
    if bilinear:
        px = a * (columns + 0.5) + b * (rows + 0.5) + c
        py = d * (columns + 0.5) + e * (rows + 0.5) + f
        inside = (px >= 0) & (px < width) & (py >= 0) & (py < height)
    else:  # in 1/65536 of a pixel, as Pillow counts
        one = 65536.0
        a, b, c, d, e, f = (
            np.floor(v * one + 0.5).astype(np.int64) for v in (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
        )
        px, py = (a * columns + b * rows + c) >> 16, (d * columns + e * rows + f) >> 16
        inside = (px >= 0) & (px < width) & (py >= 0) & (py < height)
    channels = x.shape[5 - 2 * h]
    shape = (n, height, width, 1) if h == 1 else (n, 1, height, width)

    def pixels(py: np.ndarray, px: np.ndarray) -> Any:
        at = np.clip(py, 0, height - 1) * width + np.clip(px, 0, width - 1)
        if h == 1:
            at = (at + np.arange(n)[:, None, None] * (height * width)).reshape(-1)
            return B.take(B.reshape(x, (-1, channels)), B.from_host(at, device), axis=0).reshape(x.shape)
        planes = np.arange(n * channels).reshape(n, channels, 1, 1) * (height * width)
        return B.take(B.reshape(x, (-1,)), B.from_host(at[:, None] + planes, device))

    if bilinear:
        px, py = px - 0.5, py - 0.5
        x0, y0 = np.floor(px).astype(np.int64), np.floor(py).astype(np.int64)
        work = np.dtype(np.float64) if x.dtype == np.uint8 else x.dtype
        dx, dy = (B.from_host((v - v0).astype(work).reshape(shape), device) for v, v0 in ((px, x0), (py, y0)))
        top, bottom = (_between(B, pixels(y, x0), pixels(y, x0 + 1), dx, work) for y in (y0, y0 + 1))
        y = _between(B, top, bottom, dy, work)
        if x.dtype == np.uint8:
            y = B.astype(y, np.uint8)  # cut off, as Pillow does
    else:
        y = pixels(py, px)
    return B.where(B.from_host(inside.reshape(shape), device), y, B.from_host(fill_of(where, fill, x, h), device))


def _between(B: Any, a: Any, b: Any, t: Any, work: Any) -> Any:
    a = cast(a, work)
    return a + (cast(b, work) - a) * t


def _size(where: str, size: Any) -> tuple[int, int]:
    values: Any = (size,) if isinstance(size, (int, np.integer)) and not isinstance(size, bool) else size
    if (
        not isinstance(values, Sequence)
        or isinstance(values, str)
        or len(values) not in (1, 2)
        or any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v <= 0 for v in values)
    ):
        raise ValueError(f"{where}: size should be a positive integer or (height, width), got {size!r}")
    return int(values[0]), int(values[-1])


def _sides(where: str, padding: Any) -> tuple[int, ...]:
    values: Any = (padding,) if isinstance(padding, int) and not isinstance(padding, bool) else padding
    if (
        not isinstance(values, Sequence)
        or len(values) not in (1, 2, 4)
        or any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in values)
    ):
        raise ValueError(f"{where}: padding should be 1, 2 or 4 non-negative integers, got {padding!r}")
    return tuple(values) * (4 // len(values))


def _check_mode(where: str, mode: str) -> str:
    if mode not in _MODES:
        raise ValueError(f"{where}: padding_mode should be one of {', '.join(_MODES)}, got {mode!r}")
    return mode


def _interpolation(where: str, mode: Any) -> InterpolationMode:
    try:
        return InterpolationMode(mode)
    except ValueError:
        names = ", ".join(m.value for m in InterpolationMode)
        raise NotImplementedError(f"{where}: interpolation={mode!r} is not supported, only {names}") from None
