"""Which sample comes when: orders of indices, and their division into batches."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar, cast

import numpy as np

from ..backend.random import Generator, default_generator
from ..tensor import Tensor

T_co = TypeVar("T_co", covariant=True)
_AT_ONCE = 65536  # indices with replacement that are drawn together


class Sampler(Generic[T_co]):
    """Base class of samplers: `__iter__` gives indices (or, for a batch sampler, lists of them), `__len__`
    how many.

    >>> class Odd(Sampler[int]):
    ...     def __iter__(self):
    ...         return iter([1, 3, 5])
    >>> list(Odd())
    [1, 3, 5]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: a Sampler must define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, ..., n-1.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(length_of("SequentialSampler", self.data_source)))

    def order(self) -> np.ndarray:
        """All indices at once."""
        return np.arange(length_of("SequentialSampler", self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


def _draws(generator: Generator, n: int, wanted: int) -> Iterator[int]:
    """Indices below n, some at a time if there are very many."""
    parts = (min(_AT_ONCE, wanted - start) for start in range(0, wanted, _AT_ONCE))
    if wanted <= _AT_ONCE:
        return iter(generator.integers(0, n, (wanted,)).tolist())
    return itertools.chain.from_iterable(generator.integers(0, n, (size,)).tolist() for size in parts)


class RandomSampler(Sampler[int]):
    """All indices in random order; or `num_samples` of them, with or without replacement.

    One pass takes one draw from `generator` (from the thread's default generator where it is None) for every
    n indices, or one draw in all with replacement, at the moment when the pass begins (above 65536 indices, which may
    be as good as endless, one for every 65536 when they are asked for). Without replacement and with `num_samples`
    above n, every n indices in turn are a permutation.

    Raises:
        ValueError: the data source is empty, or `num_samples` is not a positive integer.
        TypeError: it has no `__len__`.

    >>> sorted(RandomSampler("abcd", generator=Generator(0)))
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement should be a bool, got {replacement!r}")
        if num_samples is not None:
            _check_positive("RandomSampler", "num_samples", num_samples)
        elif length_of("RandomSampler", data_source) == 0:
            raise ValueError("RandomSampler: the data source is empty, so there is nothing to shuffle (num_samples=0)")
        check_generator("RandomSampler", generator)
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or default_generator()
        if self.replacement:
            return _draws(generator, self._count(), self.num_samples)
        return iter(self.order().tolist())

    def order(self) -> np.ndarray:
        """The indices of a pass without replacement, all at once."""
        generator, n, wanted = self.generator or default_generator(), self._count(), self.num_samples
        return np.concatenate([generator.permutation(n) for _ in range(-(-wanted // n))])[:wanted]

    def _count(self) -> int:
        n = length_of("RandomSampler", self.data_source)
        if n == 0:
            raise ValueError("RandomSampler: the data source is empty, so there is nothing to draw")
        return n

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order; one draw from `generator` a pass.

    >>> sorted(SubsetRandomSampler([2, 5, 9], generator=Generator(0)))
    [2, 5, 9]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        check_generator("SubsetRandomSampler", generator)
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        order = (self.generator or default_generator()).permutation(len(self.indices))
        return iter([self.indices[i] for i in order.tolist()])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, index i with a probability in proportion to `weights[i]`; one draw from `generator` a
    pass.

    With replacement each is drawn anew, by inverting the distribution function. Without, one after the other from
    those that are left: the order of -log(u) / w for a uniform u (Efraimidis, Spirakis, 2006). The way to show rare
    classes as often as common ones is a weight of 1 / (number of samples of its class).

    Raises:
        ValueError: a weight is negative or not finite, all are 0, `num_samples` is not a positive integer, or without
            replacement fewer weights than that are positive.
        TypeError: `replacement` is not a bool.

    >>> list(WeightedRandomSampler([0, 1, 0], num_samples=3))
    [1, 1, 1]
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        _check_positive("WeightedRandomSampler", "num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise TypeError(f"WeightedRandomSampler: replacement should be a bool, got {replacement!r}")
        check_generator("WeightedRandomSampler", generator)
        values = np.asarray(weights.numpy() if isinstance(weights, Tensor) else weights, dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(f"WeightedRandomSampler: weights should have one dimension, got shape {values.shape}")
        if not (np.isfinite(values) & (values >= 0)).all():
            bad = int(np.flatnonzero(~(np.isfinite(values) & (values >= 0)))[0])
            raise ValueError(f"WeightedRandomSampler: weights[{bad}] is {values[bad]}, expected a finite number >= 0")
        positive = int(np.count_nonzero(values))
        if positive < (1 if replacement else num_samples):
            raise ValueError(
                f"WeightedRandomSampler: {positive} of {len(values)} weights are positive, which is too few for "
                f"{num_samples} samples {'with' if replacement else 'without'} replacement"
            )
        self.weights, self.num_samples = values, num_samples
        self.replacement, self.generator = replacement, generator

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or default_generator()
        if self.replacement:
            with np.errstate(over="ignore"):
                ends = np.cumsum(self.weights)
            if not np.isfinite(ends[-1]):  # weights count in proportion only
                ends = np.cumsum(self.weights / self.weights.max())
            u = generator.uniform((self.num_samples,), np.float64) * ends[-1]
            # an index of weight 0 has an empty interval, which side="right" passes over; rounding may reach the end
            last = int(np.flatnonzero(self.weights)[-1])
            return iter(np.minimum(np.searchsorted(ends, u, side="right"), last).tolist())
        u = generator.uniform((len(self.weights),), np.float64)
        with np.errstate(divide="ignore"):
            times = np.where(self.weights > 0, -np.log1p(-u) / self.weights, np.inf)
        return iter(np.argsort(times, kind="stable")[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class DistributedSampler(Sampler[int]):
    """What one of `num_replicas` processes reads: every num_replicas-th index, beginning with `rank`.

    All processes get equally many: indices from the beginning fill the rest up, or it is left out (`drop_last`). The
    order is a permutation that depends on (seed, epoch) alone, so that all processes agree; `set_epoch` gives the next.

    Raises:
        ValueError: `rank` is not in 0 ... num_replicas - 1, or one of the two is not given.

    >>> list(DistributedSampler("abcde", num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise ValueError("DistributedSampler: num_replicas and rank have to be given: there is no process group")
        _check_positive("DistributedSampler", "num_replicas", num_replicas)
        if not 0 <= rank < num_replicas:
            raise ValueError(f"DistributedSampler: rank {rank} is not in 0 ... {num_replicas - 1}")
        self.dataset, self.num_replicas, self.rank, self.epoch = dataset, num_replicas, rank, 0
        self.shuffle, self.seed, self.drop_last = bool(shuffle), seed, bool(drop_last)
        n = length_of("DistributedSampler", dataset)
        self.num_samples = n // num_replicas if drop_last else -(-n // num_replicas)
        self.total_size = self.num_samples * num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Number the passes, so that each has an order of its own."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        n = length_of("DistributedSampler", self.dataset)
        order = Generator(self.seed + self.epoch).permutation(n) if self.shuffle else np.arange(n)
        return iter(np.resize(order, self.total_size)[self.rank :: self.num_replicas].tolist())

    def __len__(self) -> int:
        return self.num_samples


class Rows(np.ndarray):
    """The indices of a batch, cut out of an `Order`; what is computed from them is so no longer."""

    order: Order | None = None
    start = 0


class Order:
    """The indices of all samples of a pass. A device gets them once, when the first batch is gathered there.

    CuPy copies them by way of page-locked memory, so that nobody waits for that.
    """

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers.astype(np.int64, copy=False)
        self._there: dict[Any, Any] = {}
        self._seen_by: dict[int, Order] = {}

    @classmethod
    def batches_of(cls, plan: object) -> Iterator[Rows] | None:
        """The batches of a batch sampler whose order is known at the beginning of a pass; it is drawn now."""
        if type(plan) is not BatchSampler:
            return None
        sampler, size = plan.sampler, plan.batch_size
        if type(sampler) is RandomSampler:
            if sampler.replacement:
                return None
        elif type(sampler) is not SequentialSampler:
            return None
        order = cls(sampler.order())
        n = len(order.numbers)
        n -= n % size if plan.drop_last else 0
        return (order.rows(start, min(start + size, n)) for start in range(0, n, size))

    def rows(self, start: int, end: int) -> Rows:
        """The indices from `start` to `end`."""
        part = self.numbers[start:end].view(Rows)
        part.order, part.start = self, start
        return part

    def on(self, backend: Any, where: Any) -> Any:
        """All of them as an array on a device."""
        if where not in self._there:
            self._there[where] = backend.from_host(self.numbers, where)
        return self._there[where]

    def seen_by(self, owner: object, indices: Sequence[int]) -> Order | None:
        """`indices` in this order, for the `owner` of them."""
        if id(owner) not in self._seen_by:
            chosen = np.asarray(indices)
            if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
                return None
            self._seen_by[id(owner)] = Order(chosen[self.numbers])
        return self._seen_by[id(owner)]


class BatchSampler(Sampler[list[int]]):
    """The indices of `sampler` in lists of `batch_size`; the last may be shorter, or is left out with
    `drop_last`.

    Raises:
        ValueError: `batch_size` is not a positive integer, or `drop_last` not a bool.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_positive("BatchSampler", "batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last should be a bool, got {drop_last!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))  # the order is drawn now, not when the first batch is asked for

    def _batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(itertools.islice(indices, min(self.batch_size, sys.maxsize))):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        n = len(cast(Sized, self.sampler))
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def check_generator(where: str, generator: object) -> None:
    """Raise TypeError unless `generator` is a minidl Generator or None."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"{where}: generator should be a minidl.Generator or None, got {type(generator).__name__}")


def length_of(where: str, data: object) -> int:
    """len(data); a TypeError that names what has no length."""
    if not isinstance(data, Sized):
        raise TypeError(f"{where}: {type(data).__name__} has no __len__, so its samples cannot be counted; define it")
    return len(data)


def _check_positive(where: str, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"{where}: {name} should be a positive integer, got {value!r}")
