"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32 pixels, from their binary files (Krizhevsky, 2009)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import ImageDataset
from .source import Archive, DataFile, DatasetError, Source

_PIXELS = 3 * 32 * 32


def read_records(data: bytes, path: Path | str, classes: Sequence[int], where: str = "CIFAR") -> np.ndarray:
    """The records in the bytes of a binary file, (N, labels + 3072): a byte for each label, then the red, the green and
    the blue plane row by row.

    classes: how many classes each label has.

    Raises:
        DatasetError: there is no whole number of records, or a label is out of range; the message names `path`.

    >>> read_records(bytes([3]) + bytes(3072), "one-image", (10,)).shape
    (1, 3073)
    """
    size = len(classes) + _PIXELS
    if not data or len(data) % size:
        raise DatasetError(
            f"{where}: {path} is truncated: {len(data)} bytes are {len(data) // size} records of {size} bytes "
            f"and {len(data) % size} bytes"
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)
    for column, count in enumerate(classes):
        labels = records[:, column]
        if labels.max() >= count:
            at = int(labels.argmax())
            raise DatasetError(f"{where}: {path} has the label {labels[at]} in record {at}, expected 0 to {count - 1}")
    return records


class CIFAR10(ImageDataset):
    """CIFAR-10: 50,000 training and 10,000 test images, `data` uint8 (N, 32, 32, 3), `targets` int64 (N,) in 0 ... 9.

    Sample i is `(image, target)`, the image as a uint8 array (32, 32, 3) unless `transform` makes something else of it.
    The files of the binary version (`data_batch_1.bin` ... `data_batch_5.bin`, `test_batch.bin`) are looked for below
    `root` and then below `$MINIDL_DATA` (where that is unset, below `~/.cache/minidl`), in `cifar-10-batches-bin/`.
    `download=True` fetches the archive, compares it with the published MD5 digest and takes the files out of it.
    Digests of the single files are not published: of files that are already there size, structure and range are
    checked.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).

    Raises:
        DatasetError: a file is missing, damaged, or could not be downloaded.
    """

    mirrors = ["https://www.cs.toronto.edu/~kriz/"]
    folders = ["cifar-10-batches-bin"]
    archive = Archive("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin", 200 << 20)
    files = {
        True: [DataFile(f"data_batch_{i}.bin", 10000 * (1 + _PIXELS)) for i in range(1, 6)],
        False: [DataFile("test_batch.bin", 10000 * (1 + _PIXELS))],
    }
    classes = "airplane automobile bird cat deer dog frog horse ship truck".split()
    labels: tuple[int, ...] = (10,)  # the classes of each label; the last label is the target

    def __init__(
        self,
        root: str | os.PathLike | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        name, source, first = type(self).__name__, self.source(), len(self.labels)
        if download:
            source.download(root)
        self.root, self.train = root, bool(train)
        images, targets = [], []
        for file in self.files[self.train]:
            path, data = source.read(root, file)
            records = read_records(data, path, self.labels, name)
            targets.append(records[:, :first].astype(np.int64))
            pixels = np.empty((len(records), 32, 32, 3), dtype=np.uint8)
            for c in range(3):  # long loops over one plane, not short ones over three bytes
                pixels[..., c] = records[:, first + 1024 * c : first + 1024 * (c + 1)].reshape(-1, 32, 32)
            images.append(pixels)
        self.folder = path.parent
        numbers = np.concatenate(targets)
        if first > 1:
            self.coarse_targets = numbers[:, 0].copy()
        super().__init__(np.concatenate(images), numbers[:, -1].copy(), self.classes, transform, target_transform)

    @classmethod
    def source(cls) -> Source:
        """Where its files come from."""
        return Source(cls.__name__, cls.folders, cls.mirrors, [*cls.files[True], *cls.files[False]], cls.archive)

    def _details(self) -> list[str]:
        return [f"    Folder: {self.folder}", f"    Split: {'Train' if self.train else 'Test'}"]


class CIFAR100(CIFAR10):
    """CIFAR-100: as `CIFAR10`, with 100 classes of 600 images each, in `cifar-100-binary/` (`train.bin`, `test.bin`).

    `targets` are the fine labels in 0 ... 99; `coarse_targets`, an int64 array (N,), those of the 20 superclasses.

    Raises:
        DatasetError: a file is missing, damaged, or could not be downloaded.
    """

    folders = ["cifar-100-binary"]
    archive = Archive("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary", 200 << 20)
    files = {
        True: [DataFile("train.bin", 50000 * (2 + _PIXELS))],
        False: [DataFile("test.bin", 10000 * (2 + _PIXELS))],
    }
    classes = (
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
        "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
        "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
        "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
        "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
        "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
        "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
    ).split()
    labels = (20, 100)
