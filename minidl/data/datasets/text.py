"""Text as numbers, one for each character: the collected Shakespeare of Karpathy's char-rnn."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...backend import backend_of
from ...tensor import Tensor, wrap
from ..dataset import Dataset, gather
from .source import DataFile, DatasetError, Source


class TinyShakespeare(Dataset[tuple[Tensor, Tensor]]):
    """Tiny Shakespeare: 1,115,394 characters, of which the last tenth is held out (`train=False`).

    length: T. stride: how far apart samples begin, by default T, so that every character is met once. Sample i is
    (x, y), both int64 (T,): the characters from i * stride on, and those that follow each of them. `text`: the
    characters of this part; `data`: their numbers, an int64 Tensor; `chars`: the 65 characters of the whole text in
    order, `chars[number]`. The file is looked for below `root`, `$MINIDL_DATA` or `~/.cache/minidl`, as
    `text/tinyshakespeare.txt` or `text/input.txt`.

    Source: A. Karpathy, char-rnn (2015), https://github.com/karpathy/char-rnn.

    Raises:
        DatasetError: the file is missing, is no text, is shorter than a sample, or could not be downloaded.
        ValueError: `length` or `stride` is not a positive integer.
    """

    mirrors = ["https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"]
    folders = ["text", "tinyshakespeare"]
    files = [
        DataFile("tinyshakespeare.txt", 1115394, "6fb458f1232090904fb40fe944165e91", ("input.txt",), remote="input.txt")
    ]

    def __init__(
        self,
        root: str | os.PathLike | None = None,
        train: bool = True,
        length: int = 64,
        stride: int | None = None,
        download: bool = False,
    ) -> None:
        name, source, stride = type(self).__name__, self.source(), length if stride is None else stride
        for what, value in (("length", length), ("stride", stride)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {what} should be a positive integer, got {value!r}")
        if download:
            source.download(root)
        path, data = source.read(root, self.files[0])
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DatasetError(f"{name}: {path} is not a text in UTF-8 ({error})") from None
        self.chars = sorted(set(text))
        self._number = {c: i for i, c in enumerate(self.chars)}
        cut = len(text) * 9 // 10
        self.text = text[:cut] if train else text[cut:]
        if len(self.text) <= length:
            raise DatasetError(f"{name}: {path} has {len(self.text)} characters in this part, expected over {length}")
        self.root, self.train, self.length, self.stride, self.folder = root, bool(train), length, stride, path.parent
        self.data: Any = self.encode(self.text)

    @classmethod
    def source(cls) -> Source:
        """Where its file comes from."""
        return Source(cls.__name__, cls.folders, cls.mirrors, cls.files)

    def encode(self, text: str) -> Tensor:
        """The numbers of characters, int64 (len(text),).

        Raises:
            ValueError: a character does not occur in the data set.
        """
        try:
            return wrap(np.array([self._number[c] for c in text], dtype=np.int64))
        except KeyError as error:
            raise ValueError(
                f"{type(self).__name__}.encode: the character {error} is not among the {len(self.chars)}"
            ) from None

    def decode(self, numbers: Tensor | Iterable[int]) -> str:
        """The text of some numbers.

        Raises:
            ValueError: a number is not one of a character.
        """
        values = numbers.tolist() if isinstance(numbers, Tensor) else [int(i) for i in numbers]
        for i in values:
            if not 0 <= i < len(self.chars):
                raise ValueError(f"{type(self).__name__}.decode: {i} is not a number in 0 ... {len(self.chars) - 1}")
        return "".join(self.chars[i] for i in values)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        x, y = self.__getbatch__(np.array([index], dtype=np.int64))
        return x[0], y[0]

    def __getbatch__(self, indices: np.ndarray) -> list[Tensor]:
        n = len(self)
        if indices.size and not (-n <= indices.min() and indices.max() < n):
            bad = indices[(indices < -n) | (indices >= n)][0]
            raise IndexError(f"{type(self).__name__}: index {bad} is out of range for {n} samples")
        at = (indices % n * self.stride)[:, None] + np.arange(self.length + 1)
        window = gather(self.data, at, type(self).__name__)
        B = backend_of(window)
        return [wrap(B.ascontiguousarray(window[:, :-1])), wrap(B.ascontiguousarray(window[:, 1:]))]

    def __len__(self) -> int:
        return (len(self.data) - self.length - 1) // self.stride + 1

    def __repr__(self) -> str:
        return (
            f"Dataset {type(self).__name__}\n    Number of datapoints: {len(self)}\n    Folder: {self.folder}\n"
            f"    Split: {'Train' if self.train else 'Test'}\n    Length: {self.length}"
        )
