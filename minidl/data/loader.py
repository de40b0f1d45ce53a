"""DataLoader: batches of a data set, pass after pass; a run can resume in the middle of one."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..backend.random import Generator, default_generator
from .collate import default_collate, default_convert
from .dataset import IterableDataset, batch_of, samples_of
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, check_generator

_END = object()
_FIXED = ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last", "persistent_workers")


class DataLoader:
    """Batches of `dataset`, in order or shuffled; each `for` loop over it is one pass.

    dataset: by index (`__getitem__` and `__len__`) or an IterableDataset. batch_size: samples a batch; None
    gives single samples. shuffle: a new random order in every pass. sampler, batch_sampler: an order of one's
    own, as indices or lists of indices. collate_fn: puts a list of samples together (default:
    `default_collate`, or `default_convert` for single samples). drop_last: leave out a last batch that is not
    full. generator: draws the order, one draw a pass; where it is None, the default generator of the thread
    does.

    Where the data set holds arrays (`TensorDataset`, the image data sets, a `Subset` of one) and neither a
    collate_fn nor a transform of one's own is in the way, a batch is one gather; the result is the same.

    Batches are prepared in this process whatever `num_workers` says: it, `prefetch_factor`,
    `persistent_workers`, `timeout`, `pin_memory`, `pin_memory_device`, `multiprocessing_context` and
    `in_order` concern only the speed of PyTorch's worker processes. They are checked and kept, and change no
    batch.

    Raises:
        ValueError: options that contradict each other, or are out of range.
        TypeError: a dataset without `__getitem__`, a function that is not callable, a generator of another
            kind.
        NotImplementedError: `worker_init_fn` with `num_workers` > 0, for there is no worker to call it in.

    >>> from minidl.data import TensorDataset
    >>> loader = DataLoader(TensorDataset(np.arange(5)), batch_size=2)
    >>> [x.array.tolist() for (x,) in loader], len(loader), len(loader.dataset)
    ([[0, 1], [2, 3], [4]], 3, 5)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler | Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        if worker_init_fn is not None and num_workers > 0:
            raise NotImplementedError(
                f"DataLoader: worker_init_fn with num_workers={num_workers}: batches are prepared in this "
                "process, so there is no worker to call it in; leave it out or use num_workers=0"
            )
        for name, function in (("collate_fn", collate_fn), ("worker_init_fn", worker_init_fn)):
            if function is not None and not callable(function):
                raise TypeError(f"DataLoader: {name} should be callable or None, got {type(function).__name__}")
        check_generator("DataLoader", generator)
        streamed = isinstance(dataset, IterableDataset)
        if streamed:
            given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"DataLoader: an IterableDataset is read in order, so {name} cannot be given")
        elif not hasattr(dataset, "__getitem__"):
            raise TypeError(
                "DataLoader: expected a dataset with __getitem__ and __len__, or an IterableDataset, "
                f"got {type(dataset).__name__}"
            )
        if sampler is not None and shuffle:
            raise ValueError(
                "DataLoader: sampler is mutually exclusive with shuffle=True: the sampler decides the order"
            )
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                others = "batch_size, shuffle, sampler and drop_last"
                raise ValueError(f"DataLoader: batch_sampler is mutually exclusive with {others}")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("DataLoader: batch_size=None gives single samples, so drop_last cannot be given")
        if sampler is None:
            if streamed:
                sampler = _Stream()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device, self.in_order = pin_memory, pin_memory_device, in_order
        self.timeout, self.persistent_workers = timeout, persistent_workers
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self._pass: _Pass | None = None  # the one begun last
        self._resume: tuple[Any, int] | None = None  # for the next one: generator's state, batches to skip
        self._built = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_built" in self.__dict__:
            raise ValueError(f"DataLoader: {name} cannot be changed once the loader is made; make a new one")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": None}  # a pass cannot be copied

    def __iter__(self) -> Iterator[Any]:
        start, skip = self._resume or (None, 0)
        self._resume = None
        self._pass = _Pass(self, self._order(), start, skip)
        return self._pass

    def __len__(self) -> int:
        """The number of batches in a pass."""
        if not isinstance(self.dataset, IterableDataset):
            return len(self._plan)  # type: ignore[arg-type]
        n = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    @property
    def _plan(self) -> Any:
        """What says which samples come: lists of indices, or single ones."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _order(self) -> Generator | None:
        """The generator that draws the order of a pass; None for the order of the data set itself."""
        sampler = getattr(self._plan, "sampler", self._plan)
        if type(sampler) is SequentialSampler:
            return None
        # a sampler without a generator draws, if at all, from the default one
        generator = getattr(sampler, "generator", None)
        return generator if isinstance(generator, Generator) else default_generator()

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, as plain numbers: how many batches of the pass begun last were handed out.

        `batch`: that number, 0 between two passes. `start`: the generator's state when that pass began, None
        between two passes. `generator`: its state now. `batches`, `batch_size`: of this loader, to notice a state
        that does not belong to it.

        >>> loader = DataLoader(range(6), batch_size=2, shuffle=True)
        >>> batches = iter(loader); first = next(batches); state = loader.state_dict()
        >>> rest = [x.array.tolist() for x in batches]
        >>> again = DataLoader(range(6), batch_size=2, shuffle=True)
        >>> again.load_state_dict(state); [x.array.tolist() for x in again] == rest
        True
        """
        batch, start, order = 0, None, self._order()
        if self._resume is not None:
            start, batch = self._resume
        elif self._pass is not None and not self._pass.finished:
            batch, start = self._pass.position, self._pass.start
        return {
            "batch": batch,
            "start": None if start is None else list(start),
            "generator": None if order is None else list(order.get_state()),
            "batches": self._length(),
            "batch_size": self.batch_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken: the next pass gives exactly the batches that would have
        followed, and the passes after it the orders that would have followed.

        The generator of a random order (the thread's default generator, if the loader has none) is set to its
        state of then. A sampler of one's own must give the same order again when its `generator`, or the
        default generator, is in the same state. Of an IterableDataset the samples up to there are read again.

        Raises:
            ValueError: not such a state, or one of a loader with other batches.
        """
        expected = {"batch", "start", "generator", "batches", "batch_size"}
        if not isinstance(state, dict) or set(state) != expected:
            got = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"DataLoader.load_state_dict: expected the keys {sorted(expected)}, got {got}")
        batch, start, order = state["batch"], state["start"], self._order()
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 0:
            raise ValueError(f"DataLoader.load_state_dict: batch should be a number of batches, got {batch!r}")
        if (state["generator"] is None) != (order is None):
            theirs, mine = ("in order" if g is None else "shuffled" for g in (state["generator"], order))
            raise ValueError(f"DataLoader.load_state_dict: the state is of a loader {theirs}, this one is {mine}")
        if (start is not None and order is None) or (batch and order is not None and start is None):
            raise ValueError(f"DataLoader.load_state_dict: batch={batch} and start={start!r} do not go together")
        for name, value in (("batches", self._length()), ("batch_size", self.batch_size)):
            if batch and state[name] != value:
                raise ValueError(
                    "DataLoader.load_state_dict: the state was taken in the middle of a pass with "
                    f"{name}={state[name]}, this loader has {name}={value}"
                )
        if state["batches"] is not None and batch > state["batches"]:
            raise ValueError(f"DataLoader.load_state_dict: batch={batch} is beyond the {state['batches']} of a pass")
        if order is not None:
            order.set_state(state["generator"])
        self._pass, self._resume = None, None if start is None and not batch else (start, batch)

    def _length(self) -> int | None:
        try:
            return len(self)
        except TypeError:  # a stream, or a sampler, of unknown length
            return None


class _Pass:
    """One pass, the iterator over a loader's batches. It holds the loader's parts; the loader holds it."""

    def __init__(self, loader: DataLoader, order: Generator | None, start: Any, skip: int) -> None:
        self.dataset, self.collate_fn, self.drop_last = loader.dataset, loader.collate_fn, loader.drop_last
        self.batched, self.position, self.finished = loader.batch_sampler is not None, 0, False
        now = None if order is None else order.get_state()
        self.start = now if start is None else start
        if order is not None and start is not None:
            order.set_state(start)
        self._samples = iter(self.dataset) if isinstance(self.dataset, IterableDataset) else None
        self._indices = iter(loader._plan)
        while self.position < skip and not self.finished:
            self._next_indices()
        if order is not None and start is not None:
            order.set_state(now)  # the order was drawn a second time: that draw has been counted already
        if self.finished:
            raise ValueError(f"DataLoader: cannot resume after batch {skip}: there are only {self.position - 1}")

    def __iter__(self) -> _Pass:
        return self

    def __next__(self) -> Any:
        wanted = self._next_indices()
        if self.finished:
            raise StopIteration
        try:
            return self._fetch(wanted)
        except StopIteration as error:  # it would end the pass without a word
            raise RuntimeError(f"DataLoader: StopIteration came out of {type(self.dataset).__name__}") from error

    def _next_indices(self) -> Any:
        """The indices of the next batch (of a stream, its samples); `finished` is set where there is none."""
        wanted = next(self._indices, _END)
        if self._samples is not None:
            if not self.batched:
                wanted = next(self._samples, _END)
            else:
                size = len(wanted)  # type: ignore[arg-type]
                wanted = list(itertools.islice(self._samples, size))
                if not wanted or (self.drop_last and len(wanted) < size):
                    wanted = _END
        self.finished = wanted is _END
        self.position += 1
        return wanted

    def _fetch(self, wanted: Any) -> Any:
        if self._samples is not None:
            return self.collate_fn(wanted)
        if not self.batched:
            return self.collate_fn(self.dataset[wanted])
        kinds = set(map(type, wanted))
        if self.collate_fn is default_collate and all(issubclass(kind, (int, np.integer)) for kind in kinds):
            batch = batch_of(self.dataset, np.array(wanted, dtype=np.int64))
            if batch is not None:
                return batch
        return self.collate_fn(samples_of(self.dataset, wanted))


class _Stream(Sampler):
    """The "order" of a stream: indices that nobody looks at, without end."""

    def __iter__(self) -> Iterator[int]:
        return itertools.repeat(0)


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, context) -> None:
    """Raise what PyTorch raises for options of its worker processes."""
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise ValueError(f"DataLoader: num_workers should be a non-negative integer, got {num_workers!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise ValueError(f"DataLoader: timeout should be a non-negative number of seconds, got {timeout!r}")
    if prefetch_factor is not None:
        if num_workers == 0:
            raise ValueError(f"DataLoader: prefetch_factor={prefetch_factor!r} needs num_workers > 0")
        if isinstance(prefetch_factor, bool) or not isinstance(prefetch_factor, int) or prefetch_factor < 0:
            raise ValueError(f"DataLoader: prefetch_factor should be a non-negative integer, got {prefetch_factor!r}")
    if persistent_workers and num_workers == 0:
        raise ValueError("DataLoader: persistent_workers=True needs num_workers > 0")
    if context is not None:
        if num_workers == 0:
            raise ValueError(f"DataLoader: multiprocessing_context={context!r} needs num_workers > 0")
        if isinstance(context, str):
            if context not in multiprocessing.get_all_start_methods():
                methods = multiprocessing.get_all_start_methods()
                raise ValueError(f"DataLoader: multiprocessing_context: expected one of {methods}, got {context!r}")
        elif not isinstance(context, multiprocessing.context.BaseContext):
            raise TypeError(f"DataLoader: multiprocessing_context should be a name or a context, got {context!r}")


def get_worker_info() -> None:
    """None, as in PyTorch outside of workers: batches are prepared in the process itself."""
    return None
