"""Regularisation by data: rectangles taken out of images, and images mixed with one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import backend_of
from ...tensor import Tensor, wrap
from ..collate import default_collate
from ..draws import stream
from .base import ImageTransform, check_probability
from .geometry import fill_of

_ATTEMPTS = 10
_TRIES = 64


class RandomErasing(ImageTransform):
    """With probability p, overwrite one rectangle (Zhong et al., Random Erasing Data Augmentation, 2017).

    scale: the range of its area, as a part of the image's. ratio: the range of height / width, drawn uniformly in the
    logarithm. value: a number, one for each channel, or "random" for standard normal noise. Ten rectangles are tried;
    if none fits, the image stays as it is. inplace: may overwrite a single Tensor that it is given.

    Raises:
        ValueError: ranges or a value that do not exist.
        TypeError: `value="random"` for an image that is not floating-point.

    >>> x = RandomErasing(p=1, value=0)(Tensor(np.ones((1, 8, 8), dtype=np.float32)))
    >>> 0 < x.sum().item() < 64
    True
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        self.p = check_probability("RandomErasing", p)
        for name, given, most in (("scale", scale, 1.0), ("ratio", ratio, math.inf)):
            if len(given) != 2 or not 0 <= given[0] <= given[1] <= most or (name == "ratio" and not given[0] > 0):
                raise ValueError(f"RandomErasing: {name} should be (low, high) within 0 ... {most}, got {given!r}")
        if isinstance(value, str) and value != "random":
            raise ValueError(
                f"RandomErasing: value should be a number, one for each channel or 'random', got {value!r}"
            )
        self.scale, self.ratio, self.value, self.inplace = tuple(scale), tuple(ratio), value, bool(inplace)

    def __call__(self, image: Any) -> Any:
        y = super().__call__(image)
        if not self.inplace or not isinstance(image, Tensor):
            return y
        image.array[...] = y.array
        image.changed()
        return image

    def batch(self, images: Any) -> Any:
        """A whole batch at once."""
        return super().batch(images)

    def apply(self, x: Any, h: int) -> Any:
        numbers = stream(len(x))
        u = numbers.uniform(1 + 4 * _ATTEMPTS)
        height, width = x.shape[h : h + 2]
        u, chosen = u[:, 1:].reshape(len(x), _ATTEMPTS, 4), u[:, 0] < self.p
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * u[..., 0])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = np.exp(low + (high - low) * u[..., 1])
        rows, columns = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (rows < height) & (columns < width)
        first = (np.arange(len(x)), fits.argmax(axis=1))
        rows, columns = rows[first], columns[first]
        top = np.floor((height - rows + 1) * u[..., 2][first])
        left = np.floor((width - columns + 1) * u[..., 3][first])
        chosen &= fits.any(axis=1)
        if self.value != "random":
            return _overwritten("RandomErasing", x, h, chosen, (top, top + rows, left, left + columns), self.value)
        if x.dtype.kind != "f":
            raise TypeError(f"RandomErasing: value='random' needs a floating-point image, got {x.dtype}")
        B, which = backend_of(x), np.flatnonzero(chosen)
        noise = numbers.normal(math.prod(x.shape[1:]) + 4 * _ATTEMPTS + 4, which)[:, 4 * _ATTEMPTS + 4 :]
        full = np.zeros(x.shape, dtype=x.dtype)
        full[which] = noise.reshape(-1, *x.shape[1:])
        box = (top, top + rows, left, left + columns)
        return _overwritten("RandomErasing", x, h, chosen, box, B.from_host(full, B.device_of(x)))

    def __repr__(self) -> str:
        return (
            f"RandomErasing(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
            f"inplace={self.inplace})"
        )


class Cutout(ImageTransform):
    """Overwrite one square with its centre at a random pixel (DeVries, Taylor, Improved Regularization of CNNs with
    Cutout, 2017); what reaches over the border is cut off.

    size: the side of the square. fill: a number, or one for each channel. After `Normalize`, 0 is the mean, as in the
    paper.

    Raises:
        ValueError: `size` is not a positive integer.

    >>> int(Cutout(3)(np.ones((8, 8), dtype=np.uint8)).sum()) in (64 - 9, 64 - 6, 64 - 4)
    True
    """

    def __init__(self, size: int, fill: Any = 0) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            raise ValueError(f"Cutout: size should be a positive integer, got {size!r}")
        self.size, self.fill = size, fill

    def apply(self, x: Any, h: int) -> Any:
        u = stream(len(x)).uniform(2)
        top, left = (np.floor(u[:, i] * x.shape[h + i]) - self.size // 2 for i in range(2))
        box = (top, top + self.size, left, left + self.size)
        return _overwritten("Cutout", x, h, np.ones(len(x), dtype=bool), box, self.fill)

    def __repr__(self) -> str:
        return f"Cutout(size={self.size}, fill={self.fill})"


class MixUp:
    """Mixed images and labels (Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018): with lambda drawn from
    Beta(alpha, alpha), once for the batch,

        x[i] = lambda x[i] + (1 - lambda) x[i - 1],   the same for the one-hot labels.

    As in torchvision each sample's partner is the one before it, so the loader should shuffle. Either called in the
    loop, `x, y = mix(x, y)`, where the thread's default generator draws; or given to the loader, `collate_fn=mix`; then
    lambda depends on the seed, the epoch and the batch's samples.

    Shape:
        x (N, ...) floating-point, y (N,) integers or (N, num_classes) probabilities -> x (N, ...), y (N, num_classes).

    Raises:
        ValueError: `alpha` is not positive, labels outside 0 ... num_classes - 1, x and y that differ in length.
        TypeError: the images are not floating-point.

    >>> mix = MixUp(alpha=0.2, num_classes=3)
    >>> x, y = mix(Tensor(np.ones((2, 1, 2, 2), dtype=np.float32)), minidl.tensor([0, 2]))
    >>> x.shape, y.shape, bool(abs(y.sum().item() - 2) < 1e-6)
    (minidl.Size([2, 1, 2, 2]), minidl.Size([2, 3]), True)
    """

    def __init__(self, alpha: float = 1.0, num_classes: int | None = None) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf:
            raise ValueError(f"MixUp: alpha should be a positive number, got {alpha!r}")
        if num_classes is not None and (
            isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1
        ):
            raise ValueError(f"MixUp: num_classes should be a positive integer or None, got {num_classes!r}")
        self.alpha, self.num_classes = float(alpha), num_classes

    def __call__(self, x: Any, y: Any = None) -> list[Tensor]:
        """Mix a batch (x, y); with one argument, a list of samples (x, y) that is put together first."""
        if y is None:
            batch = default_collate(x)
            if not isinstance(batch, (list, tuple)) or len(batch) != 2:
                raise TypeError("MixUp: as collate_fn it expects samples (image, label)")
            x, y = batch
        return self.batch([x, y])

    def batch(self, batch: Sequence[Any]) -> list[Tensor]:
        """Mix a batch [x, y]."""
        if not isinstance(batch, (list, tuple)) or len(batch) != 2 or not all(isinstance(t, Tensor) for t in batch):
            raise TypeError("MixUp: expected a batch of two Tensors, images and labels")
        x, y = (t.detach().array for t in batch)
        if x.dtype.kind != "f":
            raise TypeError(f"MixUp: expected floating-point images, got {x.dtype} (put ToTensor before it)")
        if y.ndim not in (1, 2) or not len(x) or len(x) != len(y):
            raise ValueError(
                f"MixUp: expected x (N, ...) and y (N,) or (N, classes), got {tuple(x.shape)}, {tuple(y.shape)}"
            )
        share = _beta(stream(len(x)).uniform(4 * _TRIES + 2, slice(0, 1))[0], self.alpha)
        B, targets = backend_of(x), self._one_hot(y, x.dtype)
        rolled, turned = B.roll(x, 1, axis=0), B.roll(targets, 1, axis=0)
        return [wrap(x * share + rolled * (1.0 - share)), wrap(targets * share + turned * (1.0 - share))]

    def _one_hot(self, y: Any, dtype: Any) -> Any:
        B = backend_of(y)
        if y.ndim == 2:
            if self.num_classes not in (None, y.shape[1]):
                raise ValueError(f"MixUp: y has {y.shape[1]} classes, num_classes is {self.num_classes}")
            return B.astype(y, dtype)
        if self.num_classes is None:
            raise ValueError("MixUp: labels as integers need num_classes")
        labels = B.to_host(y)
        if labels.dtype.kind not in "iu":
            raise TypeError(f"MixUp: expected integer labels, got {labels.dtype}")
        if labels.min() < 0 or labels.max() >= self.num_classes:
            bad = labels[(labels < 0) | (labels >= self.num_classes)][0]
            raise ValueError(f"MixUp: label {bad} is not in 0 ... {self.num_classes - 1}")
        return B.from_host((labels[:, None] == np.arange(self.num_classes)).astype(dtype), B.device_of(y))

    def __repr__(self) -> str:
        return f"MixUp(alpha={self.alpha}, num_classes={self.num_classes})"


def _overwritten(where: str, x: Any, h: int, chosen: np.ndarray, box: tuple, value: Any) -> Any:
    """x with `value` in each chosen image's rectangle (top, bottom, left, right)."""
    B = backend_of(x)
    top, bottom, left, right = (v[:, None] for v in box)
    rows, columns = np.arange(x.shape[h]), np.arange(x.shape[h + 1])
    inside = ((rows >= top) & (rows < bottom) & chosen[:, None])[:, :, None] & ((columns >= left) & (columns < right))[
        :, None
    ]
    inside, channel = B.from_host(inside, B.device_of(x)), 5 - 2 * h
    if getattr(value, "shape", None) != x.shape:
        value = B.from_host(fill_of(where, value, x, h), B.device_of(x))
    for c in range(x.shape[channel]):
        one = (*[slice(None)] * channel, c)
        B.copyto(x[one], value[one], where=inside)
    return x


def _beta(u: np.ndarray, alpha: float) -> float:
    """Beta(alpha, alpha) as A / (A + B) of two gamma variates, in logarithms, which do not vanish for a small alpha."""
    half = len(u) // 2
    a, b = (_log_gamma_variate(v, alpha) for v in (u[:half], u[half:]))
    return 1.0 / (1.0 + math.exp(min(b - a, 700.0)))


def _log_gamma_variate(u: np.ndarray, alpha: float) -> float:
    """The logarithm of a Gamma(alpha) variate by Marsaglia and Tsang (2000)."""
    shape = alpha + 1 if alpha < 1 else alpha
    d = shape - 1 / 3
    c = 1 / math.sqrt(9 * d)
    boost = math.log(u[0] + 2.0**-33) / alpha if alpha < 1 else 0.0
    tries = u[1 : 1 + 3 * ((len(u) - 1) // 3)].reshape(-1, 3)
    for v in tries:
        z = math.sqrt(-2 * math.log(v[0] + 2.0**-33)) * math.cos(2 * math.pi * v[1])
        t = (1 + c * z) ** 3
        if t > 0 and math.log(v[2] + 2.0**-33) < 0.5 * z * z + d - d * t + d * math.log(t):
            return math.log(d * t) + boost
    return math.log(d) + boost  # one try in twenty fails: all of them never do
