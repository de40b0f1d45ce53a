"""Digits: 1,797 real handwritten digits of 8x8 pixels, which lie in the package itself and need no network.

The numbers are the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak
(1998), UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0, unchanged and in
scikit-learn's order.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import ImageDataset
from .source import DatasetError

_PATH = Path(__file__).with_name("digits.npz")


class Digits(ImageDataset):
    """The 8x8 digits: 1,437 training and 360 test images, `data` uint8 (N, 8, 8), `targets` int64 (N,) in 0
    ... 9.

    The published pixels v count ink in 0 ... 16; `data` is round(255 v / 16), so that `ToTensor` gives [0, 1]
    as it does for MNIST; `round(data * 16 / 255)` gives them back. The split is fixed and lies in the file:
    of the n images of each class in the published order, the test images are those at floor(j n / 36) for j =
    0 ... 35.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI Machine Learning
    Repository, doi:10.24432/C50P49, CC BY 4.0.

    >>> train, test = Digits(), Digits(train=False)
    >>> len(train), len(test), train.data.shape, train[0][1]
    (1437, 360, minidl.Size([1437, 8, 8]), 0)
    """

    classes = [str(i) for i in range(10)]

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        try:
            with open(_PATH, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                ink, labels, test = file["images"], file["labels"], file["test"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(f"Digits: {_PATH} is missing or damaged ({error}); install minidl anew") from None
        chosen = np.zeros(len(labels), dtype=bool)
        chosen[test] = True
        if train:
            chosen = ~chosen
        images = ((ink[chosen].astype(np.int64) * 255 + 8) // 16).astype(np.uint8)
        self.train = bool(train)
        super().__init__(images, labels[chosen].astype(np.int64), self.classes, transform, target_transform)

    def _details(self) -> list[str]:
        return [f"    Split: {'Train' if self.train else 'Test'}"]
