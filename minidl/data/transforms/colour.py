"""What pixels show: grey instead of colours, and changes of brightness, contrast, saturation and hue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import backend_of
from ..draws import stream
from .base import ImageTransform
from .geometry import cast


class Grayscale(ImageTransform):
    """Colours as grey: 0.299 R + 0.587 G + 0.114 B.

    num_output_channels: 1, or 3 equal ones. Bytes are computed as Pillow does, in integers; floating-point images as
    torchvision does, with 0.2989, 0.587 and 0.114.

    Shape:
        (H, W, 3) -> (H, W) or (H, W, 3);  Tensors (3, H, W) -> (1, H, W) or (3, H, W). One channel is grey already.

    Raises:
        ValueError: another number of channels.

    >>> Grayscale()(np.full((1, 2, 3), 7, dtype=np.uint8))
    array([[7, 7]], dtype=uint8)
    """

    drop = True

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels should be 1 or 3, got {num_output_channels!r}")
        self.num_output_channels = num_output_channels

    def apply(self, x: Any, h: int) -> Any:
        channel, B = 5 - 2 * h, backend_of(x)
        if _channels("Grayscale", x, channel) == 3:
            x = _grey(x, channel)
        if self.num_output_channels == 3:
            return B.concatenate([x, x, x], axis=channel)
        return x

    def __repr__(self) -> str:
        return f"Grayscale(num_output_channels={self.num_output_channels})"


class ColorJitter(ImageTransform):
    """Random brightness, contrast, saturation and hue, in a random order, each sample by itself.

    brightness, contrast, saturation: a factor is drawn uniformly from (max(0, 1 - v), 1 + v), or from (low, high).
    hue: what is added to the hue, as a part of the whole circle, from (-v, v) or (low, high) within -0.5 ... 0.5. What
    is 0 does nothing.

        brightness  f x        contrast  f x + (1 - f) mean(grey)        saturation  f x + (1 - f) grey

    Each is cut to 0 ... 255 for uint8 (and rounded down), to 0 ... 1 for floating-point images. A grey image has
    neither saturation nor hue.

    Raises:
        ValueError: a range is negative or out of bounds, or the image has neither 1 nor 3 channels.
        TypeError: the image is neither uint8 nor floating-point.

    >>> ColorJitter(brightness=(2, 2))(np.array([[3, 200]], dtype=np.uint8)).tolist()
    [[6, 255]]
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        self.brightness, self.contrast = _range("brightness", brightness), _range("contrast", contrast)
        self.saturation, self.hue = _range("saturation", saturation), _range("hue", hue)

    def apply(self, x: Any, h: int) -> Any:
        u = stream(len(x)).uniform(8)
        channel, B = 5 - 2 * h, backend_of(x)
        channels = _channels("ColorJitter", x, channel)
        if x.dtype != np.uint8 and x.dtype.kind != "f":
            raise TypeError(f"ColorJitter: expected a uint8 or floating-point image, got {x.dtype}")
        bound = 255 if x.dtype == np.uint8 else 1
        steps = [
            (i, step, limits)
            for i, (step, limits) in enumerate(
                (
                    (_brighter, self.brightness),
                    (_contrasted, self.contrast),
                    (_saturated, self.saturation),
                    (_hued, self.hue),
                )
            )
            if limits is not None and (i < 2 or channels == 3)
        ]
        if not steps:
            return x
        # planes of one channel, so that each sample's numbers lie alike in both forms
        y = B.ascontiguousarray(B.transpose(x, (0, 3, 1, 2))) if h == 1 else x
        y = B.astype(y, np.float32) if x.dtype == np.uint8 else y
        order = np.argsort(u[:, 4:], axis=1)
        for turn in range(4):
            for i, step, (low, high) in steps:
                rows = np.flatnonzero(order[:, turn] == i)
                if len(rows):
                    factor = (low + (high - low) * u[rows, i]).astype(y.dtype).reshape(-1, 1, 1, 1)
                    where = B.from_host(rows, B.device_of(x))
                    changed = B.clip(step(y[where], B.from_host(factor, B.device_of(x)), bound), 0, bound)
                    y[where] = B.floor(changed) if bound == 255 else changed
        y = cast(y, x.dtype)
        return B.transpose(y, (0, 2, 3, 1)) if h == 1 else y

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)}" for name in ("brightness", "contrast", "saturation", "hue"))
        return f"ColorJitter({parts})"


def _channels(where: str, x: Any, channel: int) -> int:
    if x.shape[channel] not in (1, 3):
        raise ValueError(f"{where}: expected an image of 1 or 3 channels, got {x.shape[channel]}")
    return x.shape[channel]


def _grey(x: Any, channel: int) -> Any:
    B = backend_of(x)
    red, green, blue = (x[(*[slice(None)] * channel, slice(c, c + 1))] for c in range(3))
    if x.dtype == np.uint8:
        red, green, blue = (B.astype(v, np.int32) for v in (red, green, blue))
        return B.astype((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16, np.uint8)
    if x.dtype.kind != "f":
        raise TypeError(f"Grayscale: expected a uint8 or floating-point image, got {x.dtype}")
    return red * 0.2989 + green * 0.587 + blue * 0.114


def _luma(x: Any, bound: int) -> Any:
    """Grey of floating-point planes (N, C, H, W); of bytes in floating point, rounded down as torchvision does."""
    y = _grey(x, 1) if x.shape[1] == 3 else x
    return backend_of(x).floor(y) if bound == 255 else y


def _brighter(x: Any, factor: Any, bound: int) -> Any:
    return x * factor


def _contrasted(x: Any, factor: Any, bound: int) -> Any:
    B, grey = backend_of(x), _luma(x, bound)
    rows = B.astype(B.ascontiguousarray(B.reshape(grey, (len(x), -1))), np.float64)
    mean = B.astype(B.reshape(B.sum(rows, axis=1) / rows.shape[1], (-1, 1, 1, 1)), x.dtype)
    return x * factor + mean * (1 - factor)


def _saturated(x: Any, factor: Any, bound: int) -> Any:
    return x * factor + _luma(x, bound) * (1 - factor)


def _hued(x: Any, shift: Any, bound: int) -> Any:
    """RGB to hue, saturation, value; the hue turned; and back (Smith, 1978)."""
    B = backend_of(x)
    x = x / bound if bound != 1 else x
    red, green, blue = (x[:, c : c + 1] for c in range(3))
    value, least = B.max(x, axis=1, keepdims=True), B.min(x, axis=1, keepdims=True)
    span = value - least
    grey = span == 0
    saturation = span / B.where(grey, B.ones_like(value), value)
    safe = B.where(grey, B.ones_like(span), span)
    r, g, b = (value - red) / safe, (value - green) / safe, (value - blue) / safe
    sector = B.where(value == red, b - g, B.where(value == green, 2 + r - b, 4 + g - r))
    hue = (sector / 6 + 1) % 1
    hue = (hue + shift) % 1
    i = B.floor(hue * 6)
    f = hue * 6 - i
    i = B.astype(i, np.int64) % 6
    p, q, t = (
        B.clip(v, 0, 1)
        for v in (value * (1 - saturation), value * (1 - saturation * f), value * (1 - saturation * (1 - f)))
    )
    parts = []
    for choices in ((value, q, p, p, t, value), (t, value, value, q, p, p), (p, p, t, value, value, q)):
        part = choices[5]
        for k in range(5):
            part = B.where(i == k, choices[k], part)
        parts.append(part)
    return B.concatenate(parts, axis=1) * bound


def _range(name: str, value: Any) -> tuple[float, float] | None:
    """(low, high), None where nothing is to be done."""
    hue = name == "hue"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not value >= 0:
            raise ValueError(f"ColorJitter: a single number for {name} must not be negative, got {value}")
        low, high = (-value, value) if hue else (max(0.0, 1 - value), 1 + value)
    elif isinstance(value, Sequence) and len(value) == 2:
        low, high = value
    else:
        raise TypeError(f"ColorJitter: {name} should be a number or (low, high), got {value!r}")
    least, most = (-0.5, 0.5) if hue else (0, float("inf"))
    if not least <= low <= high <= most:
        raise ValueError(f"ColorJitter: {name} should lie in {least} ... {most}, got {(low, high)}")
    neutral = 0 if hue else 1
    return None if low == high == neutral else (float(low), float(high))
