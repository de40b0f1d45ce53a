"""Data sets made of others: one after the other, side by side, and parted into folds."""

from __future__ import annotations

import bisect
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of
from ..backend.random import Generator, default_generator
from ..tensor import Tensor, wrap
from .dataset import Dataset, IterableDataset, Subset, batch_of
from .draws import current, drawing
from .sampler import length_of


class ConcatDataset(Dataset):
    """The samples of several data sets, one after the other.

    Raises:
        ValueError: no data set.
        TypeError: one is an IterableDataset, or has no length.

    >>> both = ConcatDataset(["ab", "cde"])
    >>> len(both), both[2], both[-1], both.cumulative_sizes
    (5, 'c', 'e', [2, 5])
    """

    def __init__(self, datasets: Any) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set")
        for i, data in enumerate(self.datasets):
            if isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
                raise TypeError(
                    f"ConcatDataset: data set {i}, a {type(data).__name__}, has no samples by index, or no length"
                )
        self.cumulative_sizes = list(itertools.accumulate(len(data) for data in self.datasets))

    def __getitem__(self, index: Any) -> Any:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __getbatch__(self, indices: np.ndarray) -> Any:
        n = len(self)
        if not indices.size or indices.min() < -n or indices.max() >= n:
            return None  # sample by sample says what is wrong
        indices = indices % n
        which = np.searchsorted(self.cumulative_sizes, indices, side="right")
        parts, rows = [], []
        scope = current()
        for k in np.unique(which):
            chosen = np.flatnonzero(which == k)
            first = self.cumulative_sizes[k - 1] if k else 0
            inner = scope if scope is None or len(scope.indices) != len(indices) else scope.part(chosen)
            with drawing(inner):
                part = batch_of(self.datasets[k], indices[chosen] - first)
            if part is None:
                return None
            parts.append(part)
            rows.append(chosen)
        if len(parts) == 1:
            return parts[0]
        back = np.argsort(np.concatenate(rows))
        if not all(isinstance(p, list) and len(p) == len(parts[0]) for p in parts):
            return None
        columns = [_joined(column, back) for column in zip(*parts, strict=True)]
        return None if any(column is None for column in columns) else columns

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset):
    """The samples of several IterableDatasets, one after the other.

    Raises:
        TypeError: one is no IterableDataset; when its turn comes.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for data in self.datasets:
            yield from self._checked(data)

    def __len__(self) -> int:
        return sum(len(self._checked(data)) for data in self.datasets)

    def _checked(self, data: Any) -> Any:
        if not isinstance(data, IterableDataset):
            raise TypeError(f"ChainDataset: expected IterableDatasets, got {type(data).__name__}")
        return data


class StackDataset(Dataset):
    """Several data sets of equal length side by side: sample i is the tuple of their samples i, or, of data sets given
    by name, a dict.

    Raises:
        ValueError: no data set, or lengths that differ.

    >>> StackDataset("ab", [1, 2])[1], StackDataset(letter="ab")[0]
    (('b', 2), {'letter': 'a'})
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: expected data sets either in order or by name, at least one")
        self.datasets: Any = kwargs or args
        sizes = [length_of("StackDataset", data) for data in (kwargs.values() if kwargs else args)]
        if len(set(sizes)) > 1:
            raise ValueError(f"StackDataset: size mismatch between datasets, they have {sizes} samples")
        self._length = sizes[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: data[index] for name, data in self.datasets.items()}
        return tuple([data[index] for data in self.datasets])

    def __len__(self) -> int:
        return self._length


class KFold:
    """k folds: every sample is in the validation part of exactly one, and in the training parts of the others.

    n_splits: k, at least 2. shuffle: whether samples are put into folds at random (else in blocks, in order), with the
    stream of `seed`. stratified: whether each fold has about as many samples of each class as every other;
    `split(data)` then needs `targets`. The sizes of folds differ by one at most, stratified by one in each class.

    Raises:
        ValueError: fewer than two folds, more than samples, no targets.

    >>> [(len(train), list(test)) for train, test in KFold(3).split("abcdefg")]
    [(4, ['a', 'b', 'c']), (5, ['d', 'e']), (5, ['f', 'g'])]
    """

    def __init__(
        self, n_splits: int = 5, shuffle: bool = False, seed: int | None = None, stratified: bool = False
    ) -> None:
        if isinstance(n_splits, bool) or not isinstance(n_splits, int) or n_splits < 2:
            raise ValueError(f"KFold: n_splits should be an integer of at least 2, got {n_splits!r}")
        for name, value in (("shuffle", shuffle), ("stratified", stratified)):
            if not isinstance(value, bool):
                raise TypeError(f"KFold: {name} should be a bool, got {value!r}")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise TypeError(f"KFold: seed should be an integer or None, got {seed!r}")
        if seed is not None and not shuffle:
            raise ValueError(f"KFold: seed={seed} has no effect without shuffle=True")
        self.n_splits, self.shuffle, self.seed, self.stratified = n_splits, shuffle, seed, stratified

    def get_n_splits(self) -> int:
        """How many folds there are."""
        return self.n_splits

    def split(self, dataset: Any, targets: Any = None) -> Iterator[tuple[Subset, Subset]]:
        """Pairs (training, validation) of Subsets of `dataset`, one for each fold.

        targets: one class for each sample, for `stratified`; by default `dataset.targets`. Without a seed one draw is
        taken from the thread's default generator.
        """
        for train, test in self.indices(length_of("KFold", dataset), self._targets(dataset, targets)):
            yield Subset(dataset, train), Subset(dataset, test)

    def indices(self, n: int, targets: Any = None) -> list[tuple[list[int], list[int]]]:
        """The same as two lists of indices for each fold, for n samples."""
        if n < self.n_splits:
            raise ValueError(f"KFold: {self.n_splits} folds need as many samples, got {n}")
        order = np.arange(n)
        if self.shuffle:
            generator = default_generator() if self.seed is None else Generator(int(self.seed))
            order = generator.permutation(n)
        if self.stratified:
            labels = np.asarray(targets)
            if labels.shape != (n,):
                raise ValueError(f"KFold: expected one target for each of {n} samples, got shape {labels.shape}")
            # class after class dealt out like cards, going on where the class before stopped
            fold = np.empty(n, dtype=np.int64)
            dealt = order[np.argsort(labels[order], kind="stable")]
            fold[dealt] = np.arange(n) % self.n_splits
        else:
            sizes = [n // self.n_splits + (k < n % self.n_splits) for k in range(self.n_splits)]
            fold = np.empty(n, dtype=np.int64)
            fold[order] = np.repeat(np.arange(self.n_splits), sizes)
        return [(np.flatnonzero(fold != k).tolist(), np.flatnonzero(fold == k).tolist()) for k in range(self.n_splits)]

    def _targets(self, dataset: Any, targets: Any) -> Any:
        if not self.stratified:
            return None
        if targets is None and isinstance(dataset, Subset):
            inner = self._targets(dataset.dataset, None)
            return None if inner is None else np.asarray(inner)[np.asarray(dataset.indices, dtype=np.int64)]
        targets = getattr(dataset, "targets", None) if targets is None else targets
        if targets is None:
            raise ValueError(f"KFold: stratified=True needs targets; {type(dataset).__name__} has none of its own")
        return backend_of(targets.array).to_host(targets.array) if isinstance(targets, Tensor) else np.asarray(targets)

    def __repr__(self) -> str:
        return (
            f"KFold(n_splits={self.n_splits}, shuffle={self.shuffle}, seed={self.seed}, stratified={self.stratified})"
        )


def _joined(parts: Sequence[Any], back: np.ndarray) -> Tensor | None:
    """Parts of a batch put together, in the order of the batch; None where collation has to decide."""
    if not all(isinstance(p, Tensor) for p in parts) or any(p.requires_grad for p in parts):
        return None
    arrays = [p.array for p in parts]
    first = arrays[0]
    if any(a.dtype != first.dtype or a.shape[1:] != first.shape[1:] or type(a) is not type(first) for a in arrays):
        return None
    B = backend_of(first)
    return wrap(B.take(B.concatenate(arrays, axis=0), B.from_host(back, B.device_of(first)), axis=0))
