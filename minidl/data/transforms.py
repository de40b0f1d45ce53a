"""Transforms of images, under torchvision's names. Each works on one sample; those with a `batch` method also on a
whole batch at once, with the same bits, and then the loader uses that. `batch` may overwrite what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of
from ..modes import mode
from ..tensor import Tensor, wrap

__all__ = ["Compose", "Lambda", "Normalize", "ToTensor", "vectorised"]


def stands_for(cls: type, many: str, one: str) -> bool:
    """Whether method `many` of a class may stand for calling `one` on every sample: it exists, and no class
    that derives from the one which defines it has given `one` another meaning.
    """
    for base in cls.__mro__:
        if many in base.__dict__:
            return base.__dict__[many] is not None
        if one in base.__dict__:
            return False
    return False


def vectorised(transform: Any) -> bool:
    """Whether a transform (None: none at all) works on whole batches: it defines `batch` beside `__call__`.

    >>> vectorised(ToTensor()), vectorised(Compose([ToTensor(), lambda x: x * 2]))
    (True, False)
    """
    if transform is None:
        return True
    if not stands_for(type(transform), "batch", "__call__"):
        return False
    return not isinstance(transform, Compose) or all(vectorised(t) for t in transform.transforms)


class Compose:
    """The transforms one after the other: y = t_n(... t_2(t_1(x))).

    Raises:
        TypeError: a transform is not callable.

    >>> Compose([ToTensor(), Normalize(0.5, 0.5)])(np.array([[0, 255]], dtype=np.uint8)).array
    array([[[-1.,  1.]]], dtype=float32)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        if callable(transforms) or not isinstance(transforms, Sequence):
            raise TypeError(f"Compose: expected a list of transforms, got {type(transforms).__name__}")
        for t in transforms:
            if not callable(t):
                raise TypeError(f"Compose: every transform must be callable, got {t!r}")
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for t in self.transforms:
            image = t(image)
        return image

    def batch(self, images: Any) -> Any:
        """The same on a whole batch; every transform must be vectorised."""
        for t in self.transforms:
            images = t.batch(images)  # type: ignore[attr-defined]
        return images

    def __repr__(self) -> str:
        return "Compose(\n" + "".join(f"    {t}\n" for t in self.transforms) + ")"


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
            image = _picture(image)
        if image.ndim not in (2, 3):
            raise ValueError(
                f"ToTensor: expected an image of shape (H, W) or (H, W, C), got an array {tuple(image.shape)}"
            )
        return Tensor(_scaled(image[None])[0])

    def batch(self, images: Any) -> Tensor:
        """A batch of images of shape (N, H, W) or (N, H, W, C), an array or a Tensor on any device, all at
        once.
        """
        x = images.array if isinstance(images, Tensor) else images
        if x.ndim not in (3, 4):
            raise ValueError(f"ToTensor: expected a batch (N, H, W) or (N, H, W, C), got shape {tuple(x.shape)}")
        return Tensor(_scaled(x))

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


def _picture(image: Any) -> np.ndarray:
    """A Pillow image, or anything alike, as an array."""
    if isinstance(image, Tensor) or not (hasattr(image, "__array_interface__") or hasattr(image, "__array__")):
        raise TypeError(f"ToTensor: expected a picture or a NumPy array, got {type(image).__name__}")
    x = np.asarray(image)
    return x.astype(np.uint8) * np.uint8(255) if x.dtype == np.bool_ else x  # black and white: 0 and 1


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
        mean, std = (B.from_host(v.astype(x.dtype), B.device_of(x)) for v in (self._mean, self._std))
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


class Lambda:
    """A function of one's own as a transform; always called sample by sample.

    Raises:
        TypeError: `lambd` is not callable.

    >>> Lambda(lambda x: x + 1)(2)
    3
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"
