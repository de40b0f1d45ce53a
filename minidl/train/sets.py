"""The data sets that the command line offers: how each is loaded, normalised and augmented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..backend import default_device, device
from ..data import ImageDataset, TensorDataset, datasets, transforms
from ..data.transforms import Compose, Normalize, ToTensor


@dataclass(frozen=True)
class ImageSet:
    """A data set of images: `make(data_dir, train, transform)` loads it, and downloads what is missing.

    `mean` and `std` are those of each channel of the training pixels in 0 ... 1. `augment()` makes the transforms of
    training images, for before `ToTensor`.
    """

    make: Callable[[str | None, bool, Any], ImageDataset]
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Callable[[], list[Any]]


def _turned_and_shifted(size: int, shift: int) -> list[Any]:
    """For digits: a mirrored digit is none."""
    return [transforms.RandomRotation(10), transforms.RandomCrop(size, padding=shift)]


def _mirrored_and_shifted(size: int, shift: int) -> list[Any]:
    """For photographs of things: cut out of the image with a border of zeros (He et al., 2016, section 4.2)."""
    return [transforms.RandomCrop(size, padding=shift), transforms.RandomHorizontalFlip()]


DATASETS: dict[str, ImageSet] = {
    "digits": ImageSet(
        lambda where, train, transform: datasets.Digits(train, transform),
        (1, 8, 8), 10, (0.3054,), (0.3762,), lambda: _turned_and_shifted(8, 1),
    ),
    "mnist": ImageSet(
        lambda where, train, transform: datasets.MNIST(where, train, transform, download=True),
        (1, 28, 28), 10, (0.1307,), (0.3081,), lambda: _turned_and_shifted(28, 2),
    ),
    "fashion-mnist": ImageSet(
        lambda where, train, transform: datasets.FashionMNIST(where, train, transform, download=True),
        (1, 28, 28), 10, (0.2860,), (0.3530,), lambda: _mirrored_and_shifted(28, 2),
    ),
    "cifar10": ImageSet(
        lambda where, train, transform: datasets.CIFAR10(where, train, transform, download=True),
        (3, 32, 32), 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), lambda: _mirrored_and_shifted(32, 4),
    ),
    "cifar100": ImageSet(
        lambda where, train, transform: datasets.CIFAR100(where, train, transform, download=True),
        (3, 32, 32), 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), lambda: _mirrored_and_shifted(32, 4),
    ),
}  # fmt: skip


class Data(NamedTuple):
    """A data set in memory, on the device of the run: normalised, or (training with augmentation) made so batch by
    batch."""

    train: TensorDataset | ImageDataset
    test: TensorDataset
    shape: tuple[int, ...]
    classes: list[str]


def load_data(options: Any) -> Data:
    """The data set of a run (its `Options`); what is missing is downloaded.

    Raises:
        DatasetError: a file is missing and cannot be downloaded, or is damaged.
    """
    known, where = DATASETS[options.dataset], device(options.device or default_device())
    normal: list[Callable[[Any], Any]] = [ToTensor(), Normalize(known.mean, known.std)]
    random = known.augment() if options.augment else []
    images = known.make(options.data_dir, True, Compose([*random, *normal]))
    train = images if options.augment else _in_memory(images)
    test = _in_memory(known.make(options.data_dir, False, Compose(normal)))
    names = [name.partition(" - ")[0] for name in images.classes]  # MNIST's are '0 - zero' ...
    return Data(train.to(where), test.to(where), tuple(test.tensors[0].shape[1:]), names)


def _in_memory(images: ImageDataset) -> TensorDataset:
    """All images, transformed; their class numbers are checked here, for a GPU would not notice a wrong one."""
    return TensorDataset(*images.tensors(), classes=len(images.classes))
