"""What there is to learn from: data sets by index or as a stream, arrays held in memory, parts of data sets.

A data set whose samples lie in arrays also defines `__getbatch__(indices)`, which gives a whole batch by one
gather.
"""

from __future__ import annotations

import copy
import itertools
import math
import numbers
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..backend import backend_of
from ..backend import device as Device
from ..backend.random import Generator, default_generator
from ..tensor import Tensor, wrap
from .collate import default_collate
from .draws import by_default, drawing, each
from .sampler import Rows, check_generator, length_of
from .transforms.base import stands_for, vectorised

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by index: a subclass defines `__getitem__(index)` and `__len__()`.

    A subclass may also define `__getitems__(indices)`, a list of samples, and `__getbatch__(indices)`: the
    batch that collating `self[i]` for every i of an int64 array would give, bit for bit, or None where it
    cannot. Either counts only as long as no further subclass redefines `__getitem__`.

    >>> class Squares(Dataset):
    ...     def __getitem__(self, index):
    ...         return index**2
    ...     def __len__(self):
    ...         return 3
    >>> [Squares()[i] for i in range(3)]
    [0, 1, 4]
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__}: a Dataset must define __getitem__(index)")


class IterableDataset(Dataset[T_co]):
    """Samples as a stream, read in order: a subclass defines `__iter__()`, which begins it anew."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: an IterableDataset must define __iter__()")


def batch_of(dataset: Any, indices: np.ndarray) -> Any:
    """The collated batch by the data set's vectorised path; None if there is none, or it is overridden."""
    return dataset.__getbatch__(indices) if stands_for(type(dataset), "__getbatch__", "__getitem__") else None


def samples_of(dataset: Any, indices: Sequence[Any]) -> list:
    """The samples, one by one or by the data set's `__getitems__`."""
    if stands_for(type(dataset), "__getitems__", "__getitem__"):
        return dataset.__getitems__(indices)
    return each(lambda i: dataset[i], indices)


def gather(x: Tensor | np.ndarray, indices: np.ndarray, where: str) -> Any:
    """x[indices] along the first axis, as an array on x's device; also a GPU refuses indices outside."""
    array, order, start = _array(x), getattr(indices, "order", None), getattr(indices, "start", 0)
    B, n = backend_of(array), array.shape[0]
    indices = indices.view(np.ndarray)
    try:
        if array.__class__ is np.ndarray:
            return B.take(array, indices, axis=0)  # NumPy looks itself
        if indices.size and not (-n <= indices.min() and indices.max() < n):
            raise IndexError
        where = B.device_of(array)
        at = B.from_host(indices, where) if order is None else order.on(B, where)[start : start + len(indices)]
        return B.take(array, at, axis=0)
    except IndexError:
        bad = indices[(indices < -n) | (indices >= n)][0]
        raise IndexError(f"{where}: index {bad} is out of range for {n} samples") from None


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of equal first size; sample i is the tuple of their rows i. NumPy arrays are taken too, without
    a copy.

    classes: says that the last tensor holds class numbers, of so many classes; any other number in it is refused. On a
    GPU nobody looks at class numbers: there one that is out of range makes a loss that means nothing.

    Raises:
        TypeError: an argument is neither a Tensor nor a NumPy array; with `classes`, the last is not of integers.
        ValueError: no argument, one without dimensions, or sizes that differ; a class number is out of range.

    >>> data = TensorDataset(np.zeros((4, 2), dtype=np.float32), np.arange(4))
    >>> len(data)
    4
    """

    tensors: tuple[Tensor, ...]
    _classes: int | None = None

    def __init__(self, *tensors: Tensor | np.ndarray, classes: int | None = None) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for i, t in enumerate(tensors):
            if not isinstance(t, (Tensor, np.ndarray)):
                raise TypeError(
                    f"TensorDataset: expected Tensors or NumPy arrays, got {type(t).__name__} at position {i}"
                )
            if t.ndim == 0:
                raise ValueError(f"TensorDataset: the tensor at position {i} has no dimensions, so it holds no samples")
        sizes = [t.shape[0] for t in tensors]
        if len(set(sizes)) > 1:
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
            raise ValueError(f"TensorDataset: size mismatch between tensors: the first sizes differ in {shapes}")
        self.tensors = tuple(t if isinstance(t, Tensor) else wrap(t) for t in tensors)
        self._classes = classes
        if classes is not None:
            check_classes("TensorDataset", self.tensors[-1], classes)

    def to(self, device: str | Device) -> TensorDataset:
        """The same with all tensors on a device: batches are gathered there, and a pass uploads its order only.

        >>> data = TensorDataset(np.zeros((4, 2), dtype=np.float32), np.arange(4), classes=4).to("cpu")
        """
        moved = copy.copy(self)
        moved.tensors = tuple([_moved(t, device) for t in self.tensors])
        return moved

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __getbatch__(self, indices: np.ndarray) -> list[Tensor] | None:
        if any(t.requires_grad for t in self.tensors):
            return None  # indexing sample by sample is recorded
        batch = [wrap(gather(t, indices, "TensorDataset")) for t in self.tensors]
        batch[-1].below = self._classes
        return batch

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class ImageDataset(Dataset[tuple[Any, Any]]):
    """Images in one uint8 array, `data` of shape (N, H, W) or (N, H, W, C), with a class each, `targets`
    int64 of shape (N,).

    Sample i is `(transform(data[i]), target_transform(targets[i]))`, the image as a NumPy array, the target
    as an int. Batches of data moved to a GPU (`data.to("cuda")`) are gathered and transformed there.

    Raises:
        TypeError: a transform is not callable, an index or a target not an integer.
        ValueError: data and targets differ in length, or a target is not the number of one of the `classes`.
    """

    classes: list[str]
    _checked: Any = None  # the targets whose values were looked at

    def __init__(
        self,
        data: Tensor | np.ndarray,
        targets: Tensor | np.ndarray,
        classes: Sequence[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        for name, t in (("transform", transform), ("target_transform", target_transform)):
            if t is not None and not callable(t):
                raise TypeError(f"{type(self).__name__}: {name} should be callable or None, got {type(t).__name__}")
        for name, x in (("data", data), ("targets", targets)):
            if not hasattr(x, "shape") or not hasattr(x, "dtype"):
                raise TypeError(
                    f"{type(self).__name__}: {name} should be a Tensor or a NumPy array, got {type(x).__name__}"
                )
        if len(data.shape) not in (3, 4) or tuple(targets.shape) != tuple(data.shape[:1]):
            raise ValueError(
                f"{type(self).__name__}: expected data (N, H, W) or (N, H, W, C) and targets (N,), got "
                f"{tuple(data.shape)} and {tuple(targets.shape)}"
            )
        self.data: Any = _tensor(data)
        self.targets: Any = _tensor(targets)
        self.classes, self.target_transform = list(classes), target_transform
        self.transform: Any = transform  # may have `batch`
        self._check_targets()

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The class's number by its name."""
        return {name: i for i, name in enumerate(self.classes)}

    def _check_targets(self) -> None:
        check_classes(type(self).__name__, _tensor(_array(self.targets)), len(self.classes))
        self._checked = self.targets

    def to(self, device: str | Device) -> Any:
        """The same with images and targets on a device, where batches are gathered and transformed.

        Raises:
            ValueError: a target is not the number of one of the classes, which a GPU would not notice.
        """
        self._check_targets()  # they may have been replaced
        moved = copy.copy(self)
        moved.data, moved.targets = (_moved(_tensor(_array(x)), device) for x in (self.data, self.targets))
        moved._checked = moved.targets
        return moved

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(self)} samples")
        image, target = _row(self.data, index % len(self)), int(_row(self.targets, index % len(self)))
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __getbatch__(self, indices: np.ndarray) -> list | None:
        if not vectorised(self.transform):
            return None
        images = gather(self.data, indices, type(self).__name__)
        if self.transform is not None:
            images = self.transform.batch(images)
        targets = gather(self.targets, indices, type(self).__name__)
        if self.target_transform is not None:  # of a single number: no need to hurry
            numbers = backend_of(targets).to_host(targets).tolist()
            return [_tensor(images), default_collate(each(self.target_transform, numbers))]
        numbers = wrap(backend_of(targets).astype(targets, np.int64))
        numbers.below = len(self.classes) if self.targets is self._checked else None
        return [_tensor(images), numbers]

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All images, transformed, and all targets, as two Tensors: for training without a loader.

        >>> from minidl.data import datasets, transforms
        >>> x, y = datasets.Digits(train=False, transform=transforms.ToTensor()).tensors()
        >>> x.shape, y.shape
        (minidl.Size([360, 1, 8, 8]), minidl.Size([360]))
        """
        indices, scope = np.arange(len(self)), by_default(len(self))
        with drawing(scope.part(slice(None))):
            batch = batch_of(self, indices)
        if batch is None:
            with drawing(scope):
                batch = default_collate(each(self.__getitem__, range(len(self))))
        images, targets = batch
        return images, targets

    def __len__(self) -> int:
        return len(_array(self.data))

    def __repr__(self) -> str:
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}", *self._details()]
        for name in ("transform", "target_transform"):
            if getattr(self, name) is not None:
                lines.append(f"    {name}: " + repr(getattr(self, name)).replace("\n", "\n    "))
        return "\n".join(lines)

    def _details(self) -> list[str]:
        """Further lines of `repr`."""
        return []


class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`, in that order.

    >>> list(Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[T_co]:
        return samples_of(self.dataset, [self.indices[i] for i in indices])

    def __getbatch__(self, indices: np.ndarray) -> Any:
        if isinstance(indices, Rows) and indices.order is not None:
            order = indices.order.seen_by(self, self.indices)
            if order is not None:
                return batch_of(self.dataset, order.rows(indices.start, indices.start + len(indices)))
        chosen = np.asarray([self.indices[i] for i in indices.tolist()])
        return batch_of(self.dataset, chosen) if chosen.dtype.kind in "iu" else None

    def to(self, device: str | Device) -> Subset[T_co]:
        """The same part of the data set on a device."""
        moved = copy.copy(self)
        moved.dataset = self.dataset.to(device)
        return moved

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset]:
    """Part a data set at random into Subsets of the given lengths, or of the given fractions of it (which sum
    to 1).

    Fractions are rounded down and what is left goes, one sample each, to the first parts. One permutation is
    drawn from `generator`, or from the thread's default generator.

    Raises:
        ValueError: a length is negative or no finite number, or they do not add up to the data set.
        TypeError: the data set has no `__len__`.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25], generator=Generator(0))]
    [8, 2]
    """
    check_generator("random_split", generator)
    n = length_of("random_split", dataset)
    if isinstance(lengths, str) or not all(isinstance(v, numbers.Real) and math.isfinite(v) for v in lengths):
        raise ValueError(f"random_split: expected lengths or fractions, finite numbers, got {lengths!r}")
    total = sum(lengths)
    if any(v < 0 for v in lengths):
        raise ValueError(f"random_split: a length or fraction cannot be negative, got {list(lengths)}")
    if math.isclose(total, 1):
        sizes = [math.floor(n * fraction) for fraction in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
        for i, size in enumerate(sizes):
            if size == 0:
                warnings.warn(f"random_split: part {i} of {list(lengths)} is empty", stacklevel=2)
    else:
        sizes = [int(v) for v in lengths]
        if sum(sizes) != n or sizes != list(lengths):
            raise ValueError(
                "random_split: sum of input lengths does not equal the length of the dataset: "
                f"{list(lengths)} sum to {total}, expected {n} samples, or fractions that sum to 1"
            )
    order = (generator or default_generator()).permutation(n).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def check_classes(where: str, targets: Tensor, classes: int) -> None:
    """Raise unless all targets are the numbers of classes."""
    numbers = backend_of(targets.array).to_host(targets.array)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"{where}: targets should be class numbers, integers, got {numbers.dtype}")
    wrong = (numbers < 0) | (numbers >= classes)
    if wrong.any():
        at = np.unravel_index(int(wrong.argmax()), wrong.shape)
        place = ", ".join(str(int(i)) for i in at)
        raise ValueError(f"{where}: targets[{place}] is {numbers[at]}, expected 0 to {classes - 1} ({classes} classes)")


def _moved(x: Tensor, where: str | Device) -> Tensor:
    """x on a device; a Tensor that is there, itself."""
    B, place = backend_of(x.array), Device(where)
    here = B.device_of(x.array)
    return x if here == place or (place.index is None and here.type == place.type) else wrap(B.transfer(x.array, place))


def _array(x: Any) -> Any:
    return (
        x.array if isinstance(x, Tensor) else np.asarray(x)
    )  # people replace `data` and `targets` by all sorts of things


def _row(x: Any, index: int) -> Any:
    """Row `index` as a NumPy array of its own, so that a transform may change it in place."""
    row = _array(x)[index : index + 1]
    return backend_of(row).to_host(row).copy()[0]


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else wrap(x)
