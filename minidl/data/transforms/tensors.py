"""Images into Tensors, and the values of Tensors: scaled, normalised, cast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import backend_of
from ...backend.dtypes import as_dtype
from ...modes import mode
from ...tensor import Tensor, wrap
from .base import as_array


class ToTensor:
    """An image as a Tensor: y = x / 255 for uint8, any other dtype keeps its values; the channel comes first.

    Takes a NumPy array, or a picture that NumPy can read (Pillow's `Image`).

    Shape:
        (H, W) -> (1, H, W);  (H, W, C) -> (C, H, W);  for a batch (N, H, W) -> (N, 1, H, W), (N, H, W, C) ->
        (N, C, H, W). uint8 in 0 ... 255 becomes the default dtype (float32) in [0, 1].

    Raises:
        TypeError: `image` is neither an array nor a picture (a Tensor, for instance).
        ValueError: it has not 2 or 3 dimensions.

    >>> ToTensor()(np.full((2, 2), 51, dtype=np.uint8)).array
    array([[[0.2, 0.2],
            [0.2, 0.2]]], dtype=float32)
    """

    def __call__(self, image: Any) -> Tensor:
        if not isinstance(image, np.ndarray):
            image = as_array(image, "ToTensor")
        if image.ndim not in (2, 3):
            raise ValueError(
                f"ToTensor: expected an image of shape (H, W) or (H, W, C), got an array {tuple(image.shape)}"
            )
        return wrap(_scaled(image[None])[0])

    def batch(self, images: Any) -> Tensor:
        """A batch of images of shape (N, H, W) or (N, H, W, C), an array or a Tensor on any device, all at
        once.
        """
        x = images.array if isinstance(images, Tensor) else images
        if x.ndim not in (3, 4):
            raise ValueError(f"ToTensor: expected a batch (N, H, W) or (N, H, W, C), got shape {tuple(x.shape)}")
        return wrap(_scaled(x))

    def __repr__(self) -> str:
        return "ToTensor()"


def _scaled(x: Any) -> Any:
    """(N, H, W[, C]) -> (N, C, H, W), divided by 255 if it is uint8."""
    B = backend_of(x)
    if x.ndim == 3:
        x = B.reshape(x, (x.shape[0], 1, *x.shape[1:]))
    else:  # made contiguous while an element is still one byte
        x = B.ascontiguousarray(B.transpose(x, (0, 3, 1, 2)))
    if x.dtype != np.uint8:
        return x
    x = B.astype(x, mode.dtype.dtype)
    x /= 255
    return x


class Normalize:
    """y[c] = (x[c] - mean[c]) / std[c] for every channel c; a single mean or std serves all channels.

    Shape:
        (..., C, H, W) -> the same. The result is a new Tensor unless `inplace`.

    Raises:
        TypeError: the image is not a floating-point Tensor.
        ValueError: a std is 0 or not finite, the image has fewer than 3 dimensions, or C does not fit mean
            and std.

    >>> Normalize((0.5,), (0.25,))(Tensor(np.ones((1, 1, 2), dtype=np.float32))).array
    array([[[2., 2.]]], dtype=float32)
    """

    def __init__(self, mean: Sequence[float] | float, std: Sequence[float] | float, inplace: bool = False) -> None:
        self.mean, self.std, self.inplace = mean, std, inplace
        self._mean, self._std = (np.array(v, dtype=np.float64).reshape(-1, 1, 1) for v in (mean, std))
        if not np.isfinite(self._mean).all():
            raise ValueError(f"Normalize: expected finite means, got mean={mean}")
        if not (np.isfinite(self._std).all() and self._std.all()):
            raise ValueError(f"Normalize: expected finite stds other than 0, got std={std}")
        self._there: dict[Any, list] = {}  # mean and std as arrays, by device and dtype

    def __call__(self, image: Tensor) -> Tensor:
        return self._apply(image, self.inplace)

    def batch(self, images: Tensor) -> Tensor:
        """A whole batch (N, C, H, W) at once, in its own memory: a fresh large array would cost more than the rest."""
        return self._apply(images, True)

    def _apply(self, image: Tensor, inplace: bool) -> Tensor:
        if not isinstance(image, Tensor):
            raise TypeError(f"Normalize: expected a Tensor (put ToTensor before it), got {type(image).__name__}")
        x = image.array
        if x.dtype.kind != "f":
            raise TypeError(f"Normalize: expected a floating-point Tensor, got {image.dtype} (ToTensor gives float32)")
        if x.ndim < 3:
            raise ValueError(f"Normalize: expected an image of shape (..., C, H, W), got {tuple(x.shape)}")
        for name, v in (("mean", self._mean), ("std", self._std)):
            if len(v) not in (1, x.shape[-3]):
                raise ValueError(
                    f"Normalize: the image {tuple(x.shape)} has {x.shape[-3]} channels, {name} {len(v)} values"
                )
        B = backend_of(x)
        key = (B.device_of(x), x.dtype)
        if key not in self._there:
            self._there[key] = [B.from_host(v.astype(x.dtype), key[0]) for v in (self._mean, self._std)]
        mean, std = self._there[key]
        if image.requires_grad and mode.grad:
            if inplace:
                raise RuntimeError("Normalize: inplace=True on a tensor that requires a gradient; use inplace=False")
            ops = backend_of(image)  # of a Tensor: recorded
            return ops.divide(ops.subtract(image, wrap(mean)), wrap(std))
        if inplace:
            x -= mean
            x /= std
            image.changed()
            return image
        x = x - mean
        x /= std
        return wrap(x)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class ConvertImageDtype:
    """A Tensor in another dtype, its values scaled so that 255 in uint8 and 1 in floating point are the same.

    Between floating dtypes the values are kept; uint8 to float is x / 255; float to uint8 is floor(255.999 x), for x
    in [0, 1].

    Raises:
        TypeError: the image is not a Tensor.
        NotImplementedError: from or to an integer dtype other than uint8.

    >>> ConvertImageDtype("float32")(minidl.tensor([0, 255], dtype=minidl.uint8)).array
    array([0., 1.], dtype=float32)
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = as_dtype(dtype)
        self._check(self.dtype.dtype)

    @staticmethod
    def _check(dtype: Any) -> None:
        if dtype.kind != "f" and dtype != np.uint8:
            raise NotImplementedError(f"ConvertImageDtype: only uint8 and floating-point images, got {dtype}")

    def __call__(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor):
            raise TypeError(f"ConvertImageDtype: expected a Tensor, got {type(image).__name__}")
        x, to = image.array, self.dtype.dtype
        self._check(x.dtype)
        B = backend_of(x)
        if x.dtype == to:
            return image
        if x.dtype.kind == to.kind:
            return wrap(B.astype(x, to))
        if to == np.uint8:
            return wrap(B.astype(x * (256 - 1e-3), to))
        y = B.astype(x, to)
        y /= 255
        return wrap(y)

    batch = __call__  # element by element

    def __repr__(self) -> str:
        return f"ConvertImageDtype(dtype={self.dtype})"
