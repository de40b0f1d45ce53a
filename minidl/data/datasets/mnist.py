"""MNIST: 70,000 handwritten digits of 28x28 pixels (LeCun, Cortes, Burges, 1998), and its file format IDX; and
Fashion-MNIST, 70,000 pieces of clothing in the same format (Xiao, Rasul, Vollgraf, 2017).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import ImageDataset
from .source import DataFile, DatasetError, Source


def _file(name: str, size: int, md5: str) -> DataFile:
    return DataFile(name, size, md5, (name.replace("-idx", ".idx"),))  # both spellings go round


def read_idx(data: bytes, path: Path | str, shape: Sequence[int], where: str = "IDX") -> np.ndarray:
    """The uint8 array in the bytes of an IDX file: two zero bytes, the type (8: uint8), the number of
    dimensions, each size as a big-endian int32, then the elements.

    shape: what is expected; the first size is the most there may be, the others have to be equal.

    Raises:
        DatasetError: the header or the length is not that; the message names `path`, what came and what was
            expected.

    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), "two-labels", (60000,))
    array([7, 9], dtype=uint8)
    """
    head, magic = 4 + 4 * len(shape), bytes([0, 0, 8, len(shape)])
    if len(data) < head:
        raise DatasetError(f"{where}: {path} is truncated: {len(data)} bytes, expected a header of {head}")
    if data[:4] != magic:
        raise DatasetError(
            f"{where}: {path} starts with the magic number {int.from_bytes(data[:4], 'big')}, expected "
            f"{int.from_bytes(magic, 'big')} (uint8 in {len(shape)} dimensions)"
        )
    sizes = [int.from_bytes(data[i : i + 4], "big") for i in range(4, head, 4)]
    if sizes[1:] != list(shape[1:]) or not 0 < sizes[0] <= shape[0]:
        expected = " x ".join(str(n) for n in (f"1 to {shape[0]}", *shape[1:]))
        raise DatasetError(f"{where}: {path} has the dimensions {' x '.join(map(str, sizes))}, expected {expected}")
    if len(data) != head + math.prod(sizes):
        kind = "is truncated" if len(data) < head + math.prod(sizes) else "is too long"
        raise DatasetError(
            f"{where}: {path} {kind}: {len(data)} bytes, expected {head + math.prod(sizes)} "
            f"for the dimensions {' x '.join(map(str, sizes))}"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=head).reshape(sizes).copy()  # a copy can be written to


class MNIST(ImageDataset):
    """MNIST: 60,000 training and 10,000 test images, `data` uint8 (N, 28, 28) in 0 ... 255, `targets` int64
    (N,).

    Sample i is `(image, target)`, the image as a uint8 array (28, 28) unless `transform` makes something else
    of it. The files are looked for below `root` and then below `$MINIDL_DATA` (where that is unset, below
    `~/.cache/minidl`), in `mnist/` and `MNIST/raw/`, plain or as .gz. `download=True` fetches what is
    missing, from `MNIST.mirrors` in turn.

    Raises:
        DatasetError: a file is missing, damaged, or could not be downloaded.
    """

    mirrors = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ]
    folders = ["mnist", "MNIST/raw"]
    files = {  # (is it for training, what is in it)
        (True, "images"): _file("train-images-idx3-ubyte", 47040016, "6bbc9ace898e44ae57da46a324031adb"),
        (True, "labels"): _file("train-labels-idx1-ubyte", 60008, "a25bea736e30d166cdddb491f175f624"),
        (False, "images"): _file("t10k-images-idx3-ubyte", 7840016, "2646ac647ad5339dbf082846283269ea"),
        (False, "labels"): _file("t10k-labels-idx1-ubyte", 10008, "27ae3e4e09519cfbb04c329615203637"),
    }
    classes = "0 - zero,1 - one,2 - two,3 - three,4 - four,5 - five,6 - six,7 - seven,8 - eight,9 - nine".split(",")

    def __init__(
        self,
        root: str | os.PathLike | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        name, source = type(self).__name__, self.source()
        if download:
            source.download(root)
        self.root, self.train = root, bool(train)
        most = 60000 if train else 10000
        path, data = source.read(root, self.files[self.train, "images"])
        images = read_idx(data, path, (most, 28, 28), name)
        label_path, data = source.read(root, self.files[self.train, "labels"])
        labels = read_idx(data, label_path, (most,), name)
        if len(labels) != len(images):
            raise DatasetError(f"{name}: {path} has {len(images)} images, but {label_path} has {len(labels)} labels")
        if labels.max() >= len(self.classes):
            at = int(labels.argmax())
            raise DatasetError(f"{name}: {label_path} has the label {labels[at]} at position {at}, expected 0 to 9")
        self.folder = path.parent
        super().__init__(images, labels.astype(np.int64), self.classes, transform, target_transform)

    @classmethod
    def source(cls) -> Source:
        """Where its files come from."""
        return Source(cls.__name__, cls.folders, cls.mirrors, list(cls.files.values()))

    def _details(self) -> list[str]:
        return [f"    Folder: {self.folder}", f"    Split: {'Train' if self.train else 'Test'}"]


def _fashion(name: str, size: int, packed_md5: str) -> DataFile:
    return DataFile(name, size, None, (name.replace("-idx", ".idx"),), packed_md5)


class FashionMNIST(MNIST):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothing; all else as `MNIST`.

    The files are looked for in `fashion-mnist/` and `FashionMNIST/raw/`. Published are the digests of the packed files:
    a download is compared with them; of files that are already there structure, size and range are checked.

    Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms (2017), arXiv:1708.07747, MIT licence.

    Raises:
        DatasetError: a file is missing, damaged, or could not be downloaded.
    """

    mirrors = [
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ]
    folders = ["fashion-mnist", "FashionMNIST/raw"]
    files = {
        (True, "images"): _fashion("train-images-idx3-ubyte", 47040016, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        (True, "labels"): _fashion("train-labels-idx1-ubyte", 60008, "25c81989df183df01b3e8a0aad5dffbe"),
        (False, "images"): _fashion("t10k-images-idx3-ubyte", 7840016, "bef4ecab320f06d8554ea6380940ec79"),
        (False, "labels"): _fashion("t10k-labels-idx1-ubyte", 10008, "bb300cfdad3c16e7a12a480ee83cd310"),
    }
    classes = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(",")
