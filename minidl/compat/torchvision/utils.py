"""Many images on one sheet, as a Tensor and as a file."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...serialization import write_file
from ...tensor import Tensor, wrap


def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """The images of a batch on one sheet, `nrow` in a row, with `padding` pixels of `pad_value` around each.

    normalize: shift and scale to [0, 1], by the smallest and the largest value, or from `value_range`; scale_each: of
    each image by itself. Grey images become three equal channels.

    Shape:
        (N, C, H, W), (C, H, W), (H, W), or a sequence of (C, H, W) -> (C, rows (H + padding) + padding,
        columns (W + padding) + padding); a single image stays as it is.

    Raises:
        TypeError: no Tensors; scale_each or value_range is not what is expected.
        ValueError: another number of dimensions.

    >>> import minidl
    >>> make_grid(minidl.zeros(5, 1, 4, 4), nrow=3).shape
    minidl.Size([3, 14, 20])
    """
    if not isinstance(tensor, Tensor):
        images = list(tensor) if isinstance(tensor, Iterable) else []
        if not images or not all(isinstance(image, Tensor) for image in images):
            raise TypeError(f"make_grid: expected a Tensor or a sequence of Tensors, got {type(tensor).__name__}")
        x = np.stack([image.detach().cpu().numpy() for image in images])
    else:
        x = tensor.detach().cpu().numpy()
    if x.ndim == 2:
        x = x[None]
    if x.ndim == 3:
        x = x[None]
    if x.ndim != 4:
        raise ValueError(f"make_grid: expected images of 2, 3 or 4 dimensions (a batch), got shape {x.shape}")
    if value_range is not None and not (isinstance(value_range, tuple) and len(value_range) == 2):
        raise TypeError(f"make_grid: value_range should be a pair (lowest, highest), got {value_range!r}")
    if x.shape[1] == 1:
        x = np.repeat(x, 3, axis=1)
    if normalize:
        x = np.stack([_scaled(image, value_range) for image in x]) if scale_each else _scaled(x, value_range)
    count, channels, height, width = x.shape
    if count == 1:
        return wrap(np.ascontiguousarray(x[0]))
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    h, w = height + padding, width + padding
    sheet = np.full((channels, rows * h + padding, columns * w + padding), pad_value, dtype=x.dtype)
    for i, image in enumerate(x):
        top, left = (i // columns) * h + padding, (i % columns) * w + padding
        sheet[:, top : top + height, left : left + width] = image
    return wrap(sheet)


def _scaled(x: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    low, high = value_range if value_range is not None else (float(x.min()), float(x.max()))
    return (np.clip(x, low, high) - low) / max(high - low, 1e-5)


def save_image(
    tensor: Tensor | Sequence[Tensor], fp: str | os.PathLike | BinaryIO, format: str | None = None, **kwargs: Any
) -> None:
    """Write a sheet of images, values 0 to 1, as a picture; the arguments beyond `format` are those of `make_grid`.

    fp: a path, whose suffix says the format, or a file that is open for writing bytes (then `format` says it). At a
    path the picture appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    from PIL import Image

    sheet = make_grid(tensor, **kwargs).numpy()
    pixels = np.clip(sheet * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    if not hasattr(fp, "write"):
        format = format or Image.registered_extensions().get(Path(fp).suffix.lower())
        if format is None:
            raise ValueError(f"save_image: the suffix of {str(fp)!r} names no format of pictures; use .png or format=")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=format)
    if hasattr(fp, "write"):
        fp.write(buffer.getvalue())
    else:
        write_file(fp, buffer.getvalue())
