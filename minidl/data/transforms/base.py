"""What transforms are: one sample in, one sample out; those with a `batch` method also take a whole batch at once, with
the same bits, and then the loader uses that. `batch` may overwrite what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend import BACKENDS, backend_of
from ...tensor import Tensor, wrap
from ..draws import current, drawing, stream

_RESERVED = 64  # draws that RandomApply leaves room for, whether its transforms run or not


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

    >>> from minidl.data.transforms import ToTensor
    >>> vectorised(ToTensor()), vectorised(Compose([ToTensor(), lambda x: x * 2]))
    (True, False)
    """
    if transform is None:
        return True
    if not stands_for(type(transform), "batch", "__call__"):
        return False
    return not isinstance(transform, (Compose, RandomApply)) or all(vectorised(t) for t in transform.transforms)


def check_transforms(where: str, transforms: Any) -> None:
    """Raise TypeError unless it is a sequence of callables."""
    if callable(transforms) or not isinstance(transforms, Sequence):
        raise TypeError(f"{where}: expected a list of transforms, got {type(transforms).__name__}")
    for t in transforms:
        if not callable(t):
            raise TypeError(f"{where}: every transform must be callable, got {t!r}")


def check_probability(where: str, p: Any) -> float:
    """p, if it is a number in 0 ... 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ValueError(f"{where}: p should be a probability in 0 ... 1, got {p!r}")
    return p


class Compose:
    """The transforms one after the other: y = t_n(... t_2(t_1(x))).

    Raises:
        TypeError: a transform is not callable.

    >>> from minidl.data.transforms import Normalize, ToTensor
    >>> Compose([ToTensor(), Normalize(0.5, 0.5)])(np.array([[0, 255]], dtype=np.uint8)).array
    array([[[-1.,  1.]]], dtype=float32)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        check_transforms("Compose", transforms)
        self.transforms: Sequence[Any] = transforms

    def __call__(self, image: Any) -> Any:
        for t in self.transforms:
            image = t(image)
        return image

    def batch(self, images: Any) -> Any:
        """The same on a whole batch; every transform must be vectorised."""
        for t in self.transforms:
            images = t.batch(images)
        return images

    def __repr__(self) -> str:
        return "Compose(\n" + "".join(f"    {t}\n" for t in self.transforms) + ")"


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


class Images:
    """A batch of images in one array of four dimensions, whatever form they came in.

    x: (N, H, W, C) with h = 1 for arrays and pictures, (N, C, H, W) with h = 2 for Tensors; rows lie along axis
    h, columns along h + 1, channels along `c`.
    """

    def __init__(self, images: Any, many: bool, where: str) -> None:
        self.tensor, self.many = isinstance(images, Tensor), many
        if self.tensor:
            if images.requires_grad:
                raise RuntimeError(
                    f"{where}: the image requires a gradient, which a transform does not record: detach() it"
                )
            x, form = images.array, "(C, H, W) or (H, W)"
        else:
            x, form = as_array(images, where, many), "(H, W, C) or (H, W)"
        if x.ndim - many not in (2, 3):
            what = f"a batch of images {form}, the number of images first" if many else f"an image {form}"
            raise ValueError(f"{where}: expected {what}, got shape {tuple(x.shape)}")
        x = x if many else x[None]
        self.flat, self.h = x.ndim == 3, 2 if self.tensor else 1
        if self.flat:
            n, height, width = x.shape
            x = backend_of(x).reshape(x, (n, 1, height, width) if self.tensor else (n, height, width, 1))
        if not x.size:
            raise ValueError(f"{where}: the image is empty, it has shape {tuple(images.shape)}")
        self.x = x

    def closed(self, y: Any, drop: bool = False) -> Any:
        """A result in the form in which the images came. drop: one channel needs no axis in an array."""
        if not self.tensor and y.shape[3] == 1 and (self.flat or drop):
            y = y[..., 0]
        elif self.tensor and self.flat and y.shape[1] == 1:
            y = y[:, 0]
        y = y if self.many else y[0]
        return wrap(y) if self.tensor else y


class ImageTransform:
    """Base class: a transform of images that writes one `apply(x, h)` for batches, of which a single image is one.

    x has four dimensions: (N, H, W, C) with h = 1, (N, C, H, W) with h = 2. It may be overwritten; no number of the
    result may depend on which other images are in the batch. Random numbers come from `stream(len(x))`.
    """

    drop = False  # whether an array loses an axis of one channel

    def __call__(self, image: Any) -> Any:
        images = Images(image, False, type(self).__name__)
        x = backend_of(images.x).copy(images.x)  # the image is the caller's
        return images.closed(self.apply(x, images.h), self.drop)

    def batch(self, images: Any) -> Any:
        """A whole batch at once: an array (N, H, W) or (N, H, W, C), or a Tensor (N, C, H, W); may overwrite it."""
        opened = Images(images, True, type(self).__name__)
        return opened.closed(self.apply(opened.x, opened.h), self.drop)

    def apply(self, x: Any, h: int) -> Any:
        """The transformed batch."""
        raise NotImplementedError(f"{type(self).__name__}: an ImageTransform must define apply(x, h)")


class RandomApply:
    """The transforms one after the other with probability p, else the image as it is; each sample decides for itself.

    Raises:
        TypeError: a transform is not callable.
        ValueError: p is no probability.

    >>> from minidl.data.transforms import RandomHorizontalFlip
    >>> RandomApply([RandomHorizontalFlip(1)], p=1)(np.array([[1, 2]], dtype=np.uint8))
    array([[2, 1]], dtype=uint8)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5) -> None:
        check_transforms("RandomApply", transforms)
        self.transforms, self.p = transforms, check_probability("RandomApply", p)

    def __call__(self, image: Any) -> Any:
        if stream(1).uniform(1)[0, 0] < self.p:
            return self._inner(slice(None), lambda: Compose(self.transforms)(image))
        return self._inner(None, lambda: image)

    def batch(self, images: Any) -> Any:
        """A whole batch at once; every transform must be vectorised."""
        x = images.array if isinstance(images, Tensor) else images
        rows = np.flatnonzero(stream(len(x)).uniform(1)[:, 0] < self.p)
        B = backend_of(x)
        where = B.from_host(rows, B.device_of(x))
        part = wrap(x[where]) if isinstance(images, Tensor) else x[where]
        if not len(rows):
            return self._inner(None, lambda: images)
        part = self._inner(rows, lambda: Compose(self.transforms).batch(part))
        y = part.array if isinstance(part, Tensor) else part
        if y.shape[1:] != x.shape[1:] or y.dtype != x.dtype or isinstance(part, Tensor) != isinstance(images, Tensor):
            if len(rows) == len(x):
                return part
            raise RuntimeError(
                f"RandomApply: some images of the batch became {tuple(y.shape[1:])} {y.dtype}, the others are "
                f"{tuple(x.shape[1:])} {x.dtype}: they do not fit into one batch"
            )
        x = B.copy(x)
        x[where] = y
        return wrap(x) if isinstance(images, Tensor) else x

    def _inner(self, rows: Any, run: Callable[[], Any]) -> Any:
        """run() for some of the samples; as many positions pass for all."""
        scope = current()
        if scope is None:
            return run()
        end = scope.position + _room(self.transforms)
        if rows is None:
            result = run()
        else:
            part = scope.part(rows)
            with drawing(part):
                result = run()
            if part.position > end:
                raise RuntimeError(f"RandomApply: more than {_room(self.transforms)} random transforms inside")
        scope.position = end
        return result

    def __repr__(self) -> str:
        return f"RandomApply(\n    p={self.p}\n" + "".join(f"    {t}\n" for t in self.transforms) + ")"


def _room(transforms: Any) -> int:
    """How many draws there may be inside a RandomApply of these transforms."""
    inner = [t for t in transforms if isinstance(t, (Compose, RandomApply))]
    return _RESERVED + sum(1 + _room(t.transforms) for t in inner)


def as_array(image: Any, where: str, many: bool = False) -> Any:
    """A NumPy array, a batch on a device, or a picture that NumPy can read (Pillow's), as an array."""
    if isinstance(image, np.ndarray):
        return image
    if many and type(image) in BACKENDS and not isinstance(image, Tensor):  # on a device
        return image
    if isinstance(image, Tensor) or not (hasattr(image, "__array_interface__") or hasattr(image, "__array__")):
        raise TypeError(f"{where}: expected a picture or a NumPy array, got {type(image).__name__}")
    x = np.asarray(image)
    return x.astype(np.uint8) * np.uint8(255) if x.dtype == np.bool_ else x  # black and white: 0 and 1
