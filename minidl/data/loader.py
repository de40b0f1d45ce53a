"""DataLoader: batches of a data set, pass after pass; a run can resume in the middle of one."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np

from ..backend.random import Generator, default_generator
from .collate import default_collate, default_convert
from .dataset import IterableDataset, batch_of, samples_of
from .draws import COLLATE, DrawKey, Scope, drawing
from .prefetch import Prefetcher, WorkerInfo
from .sampler import BatchSampler, Order, RandomSampler, Rows, Sampler, SequentialSampler, check_generator
from .transforms.base import stands_for

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

    num_workers: with 0, a batch is prepared when it is asked for. With any other number one thread prepares up to
    `prefetch_factor` batches (default 2) ahead while the program works on the one before: the same batches bit for
    bit, worth it where samples are read from files or transformed by Python code. The order is drawn, and `sampler`
    read, in the program's own thread. The default generator of the thread that prepares starts anew for every batch
    from the pass's seed. timeout: how many seconds a batch may take then, 0 for no limit. worker_init_fn: called there
    as `worker_init_fn(0)` at the beginning of a pass (with `persistent_workers`, of the first pass only).
    `multiprocessing_context` and `in_order` concern processes, `pin_memory` and `pin_memory_device` memory from which a
    GPU copies by itself, which CuPy uses for every copy; they are checked and kept, and change no batch.

    Data on a GPU (`TensorDataset(...).to("cuda")`, and so the image data sets and Subsets) stay there: a pass uploads
    the order of its samples once, by itself, and a batch is a gather on the GPU; nothing else is uploaded or awaited.

    Random transforms draw from streams that are keyed by the state of the generator when the pass begins, the number of
    the pass and the sample's index. So neither batch size, nor threads, nor a resume change what becomes of a sample.

    Raises:
        ValueError: options that contradict each other, or are out of range.
        TypeError: a dataset without `__getitem__` or, where it is needed, without `__len__`; a function that is not
            callable; a generator of another kind.

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
            if not streamed and batch_sampler is None and not hasattr(dataset, "__len__"):
                raise TypeError(
                    f"DataLoader: {type(dataset).__name__} has no __len__, so there is no order of its samples "
                    f"(shuffle={shuffle}); define __len__, give a sampler, or make it an IterableDataset"
                )
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
        self._place: _Place | None = None  # in the pass begun last
        self._resume: tuple[Any, int] | None = None  # for the next one: generator's state, batches to skip
        self._epoch, self._hired = 0, False  # passes that were begun; whether a thread was
        self._built = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_built" in self.__dict__:
            raise ValueError(f"DataLoader: {name} cannot be changed once the loader is made; make a new one")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_place": None}  # a pass cannot be copied

    def __iter__(self) -> Iterator[Any]:
        start, skip = self._resume or (None, 0)
        self._resume = None
        batches = _Pass(self, self._order(), start, skip)
        self._place = batches.place
        self._epoch += 1
        return batches

    def __len__(self) -> int:
        """The number of batches in a pass."""
        if not isinstance(self.dataset, IterableDataset):
            return len(cast(Sized, self._plan))
        n = len(cast(Sized, self.dataset))
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
        between two passes. `generator`: its state now, None where the order is not random. `epoch`: how many passes
        are over. `batches`, `batch_size`: of this loader, to notice a state that does not belong to it.

        >>> loader = DataLoader(range(6), batch_size=2, shuffle=True)
        >>> batches = iter(loader); first = next(batches); state = loader.state_dict()
        >>> rest = [x.array.tolist() for x in batches]
        >>> again = DataLoader(range(6), batch_size=2, shuffle=True)
        >>> again.load_state_dict(state); [x.array.tolist() for x in again] == rest
        True
        """
        batch, start, order, epoch = 0, None, self._order(), self._epoch
        if self._resume is not None:
            start, batch = self._resume
        elif self._place is not None and not self._place.finished:
            batch, start = self._place.batch, self._place.start
            epoch -= 1
        return {
            "batch": batch,
            "start": None if start is None else list(start),
            "generator": None if order is None else list(order.get_state()),
            "epoch": epoch,
            "batches": self._length(),
            "batch_size": self.batch_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken: the next pass gives exactly the batches that would have
        followed, and the passes after it the orders that would have followed.

        The generator of a random order (the thread's default generator, if the loader has none) is set to its
        state of then. A sampler of one's own must give the same order again when its `generator`, or the
        default generator, is in the same state. Of an IterableDataset the samples up to there are read again. Batches
        that a thread had prepared but not handed out are prepared again, from the same random numbers.

        Raises:
            ValueError: not such a state, or one of a loader with other batches.
        """
        expected = {"batch", "start", "generator", "epoch", "batches", "batch_size"}
        if not isinstance(state, dict) or set(state) != expected:
            got = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"DataLoader.load_state_dict: expected the keys {sorted(expected)}, got {got}")
        batch, start, order = state["batch"], state["start"], self._order()
        for name, what in (("batch", "a number of batches"), ("epoch", "a number of passes")):
            if isinstance(state[name], bool) or not isinstance(state[name], int) or state[name] < 0:
                raise ValueError(f"DataLoader.load_state_dict: {name} should be {what}, got {state[name]!r}")
        if (state["generator"] is None) != (order is None):
            theirs, mine = ("in order" if g is None else "shuffled" for g in (state["generator"], order))
            raise ValueError(f"DataLoader.load_state_dict: the state is of a loader {theirs}, this one is {mine}")
        if batch and start is None:
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
        self._place, self._resume = None, None if start is None else (start, batch)
        self._epoch = state["epoch"]

    def _length(self) -> int | None:
        try:
            return len(self)
        except TypeError:  # a stream, or a sampler, of unknown length
            return None


@dataclass
class _Place:
    """How far a pass is; the loader keeps it when nobody holds the pass any longer."""

    start: Any  # the generator's state when the pass began
    batch: int = 0  # batches handed out
    finished: bool = False


class _Task(NamedTuple):
    """A batch to be prepared."""

    wanted: Any  # indices; of a stream, how many samples
    scope: Scope | None  # for the random transforms; a stream's is made where it is read


class _Pass:
    """One pass, the iterator over a loader's batches. It holds parts of the loader; the loader holds its place."""

    def __init__(self, loader: DataLoader, order: Generator | None, start: Any, skip: int) -> None:
        generator = order or loader.generator or default_generator()
        now = generator.get_state()
        start = now if start is None else tuple(start)
        self.place = _Place(start)
        self._batched, self._sampler = loader.batch_sampler is not None, loader.sampler
        epoch = loader._epoch  # as it is now: the loader counts on
        self._key = DrawKey(lambda: (*start, epoch))
        self._seen: Counter | None = None if _meets_once(loader) else Counter()
        self._work = _Work(loader, self._key)
        if self._work.streamed and not loader.num_workers:
            self._work.begin()
        if order is not None:
            order.set_state(start)
        self._indices: Iterator = Order.batches_of(loader._plan) or iter(loader._plan)
        self._ordered, self._ended = 0, False  # batches whose indices were read; whether there are no more
        while self._ordered < skip and not self._ended:
            self._order_one(skipped=True)
        if order is not None and start != now:
            # a sampler that draws when it is first asked has drawn already: let it do so before the state goes back
            self._indices = itertools.chain(list(itertools.islice(self._indices, 1)), self._indices)
            order.set_state(now)  # the order was drawn a second time: that draw has been counted already
        if self._ended:
            raise ValueError(f"DataLoader: cannot resume after batch {skip}: there are only {self._ordered}")
        self.place.batch, self._ahead, self._timeout = skip, loader.prefetch_factor or 1, loader.timeout or None
        self._prefetcher = self._thread(loader) if loader.num_workers else None
        if self._prefetcher is not None:
            self._order_ahead()

    def _thread(self, loader: DataLoader) -> Prefetcher:
        first = None if loader.persistent_workers and loader._hired else loader.worker_init_fn
        loader._hired = True
        key, dataset = self._key, loader.dataset
        return Prefetcher(
            self._work, None if first is None else partial(first, 0), lambda: WorkerInfo(0, 1, key.number, dataset)
        )

    def __iter__(self) -> _Pass:
        return self

    def __next__(self) -> Any:
        batch: Any = _END
        if self._prefetcher is not None:
            if self._prefetcher.pending:
                try:
                    batch = self._prefetcher.get(self._timeout)
                finally:
                    self.place.batch += 1
                self._order_ahead()
        elif (task := self._order_one()) is not None:
            self.place.batch += 1
            batch = self._work(task)
        if batch is _END:
            self.place.finished = True
            if self._prefetcher is not None:
                self._prefetcher.close()
                self._prefetcher = None
            self._ended = True
            raise StopIteration
        return batch

    def _order_ahead(self) -> None:
        """Keep the thread in work. The order of the samples is drawn here, where the program draws."""
        thread = self._prefetcher
        while thread is not None and thread.pending < self._ahead and (task := self._order_one()) is not None:
            thread.put(self._ordered - 1, task)

    def _order_one(self, skipped: bool = False) -> _Task | None:
        """The next batch's task; None where there is none. One that is skipped is only counted (read, of a stream)."""
        wanted: Any = _END if self._ended else next(self._indices, _END)
        if wanted is _END:
            self._ended = True
            return None
        if self._work.streamed:
            task = _Task(len(wanted) if self._batched else None, None)
            if skipped and self._work.samples(task.wanted) is _END:
                self._ended = True
                return None
            self._ordered += 1
            return task
        self._ordered += 1
        indices = wanted if self._batched else [wanted]
        repeats = None if self._seen is None else _repeats(indices, self._seen)
        if skipped:
            return None
        return _Task(wanted, Scope(self._key, _numbers(indices), repeats))


class _Work:
    """Prepares batches, in whatever thread. It knows the data set and the collation, and where a stream is."""

    def __init__(self, loader: DataLoader, key: DrawKey) -> None:
        self.dataset, self.drop_last = loader.dataset, loader.drop_last
        self.collate_fn: Any = loader.collate_fn  # may have `batch`
        self.batched, self.streamed = loader.batch_sampler is not None, isinstance(loader.dataset, IterableDataset)
        self._key, self._read = key, 0
        self._samples: Iterator | None = None

    def __call__(self, task: _Task) -> Any:
        """The batch; `_END` where a stream has ended."""
        scope = task.scope
        try:
            if self.streamed:
                first = self._read
                samples = self.samples(task.wanted)
                if samples is _END:
                    return _END
                scope = Scope(self._key, np.arange(first, self._read), position=COLLATE)
                with drawing(scope):
                    return self.collate_fn(samples)
            assert scope is not None
            if not self.batched:
                with drawing(scope):
                    return self.collate_fn(self.dataset[task.wanted])
            return self._batch(task.wanted, scope)
        except StopIteration as error:  # it would end the pass without a word
            raise RuntimeError(f"DataLoader: StopIteration came out of {type(self.dataset).__name__}") from error

    def _batch(self, wanted: Any, scope: Scope) -> Any:
        plain = self.collate_fn is default_collate
        if (plain or stands_for(type(self.collate_fn), "batch", "__call__")) and _all_integers(wanted):
            with drawing(scope.part(slice(None))):
                indices = wanted if isinstance(wanted, Rows) else np.array(wanted, dtype=np.int64)
                batch = batch_of(self.dataset, indices)
            if batch is not None:
                scope.position = COLLATE
                with drawing(scope):
                    return batch if plain else self.collate_fn.batch(batch)
        with drawing(scope):
            samples = samples_of(self.dataset, wanted.tolist() if isinstance(wanted, Rows) else wanted)
        scope.position = COLLATE
        with drawing(scope):
            return self.collate_fn(samples)

    def begin(self) -> Iterator:
        """The stream, which is begun to be read here."""
        if self._samples is None:
            self._samples = iter(self.dataset)
        return self._samples

    def samples(self, count: int | None) -> Any:
        """The next samples of the stream, or the next single one; `_END` where there is none."""
        stream = self.begin()
        out: list = []
        while len(out) < (1 if count is None else count):
            with drawing(Scope(self._key, np.arange(self._read, self._read + 1))):
                sample = next(stream, _END)
            if sample is _END:
                break
            self._read += 1
            out.append(sample)
        if count is None:
            return out[0] if out else _END
        return _END if not out or (self.drop_last and len(out) < count) else out


def _all_integers(wanted: Any) -> bool:
    return isinstance(wanted, Rows) or all(issubclass(kind, (int, np.integer)) for kind in set(map(type, wanted)))


def _meets_once(loader: DataLoader) -> bool:
    """Whether no index comes twice in a pass, as far as that is plain."""
    sampler = loader.sampler
    if type(loader.batch_sampler) not in (type(None), BatchSampler):
        return False
    sampler = getattr(loader._plan, "sampler", sampler)
    if type(sampler) is RandomSampler:
        return not sampler.replacement and sampler.num_samples <= len(sampler.data_source)
    return type(sampler) is SequentialSampler


def _numbers(indices: Any) -> np.ndarray:
    """The keys of samples for their streams: their index; the checksum of its text where that is no integer."""
    with contextlib.suppress(ValueError, OverflowError):  # lists of several lengths, integers beyond 64 bits
        numbers = np.asarray(indices)
        if numbers.ndim == 1 and numbers.dtype.kind in "iu":
            return numbers.astype(np.int64)
    return np.array([int(zlib.crc32(repr(i).encode())) for i in indices], dtype=np.int64)


def _repeats(indices: Any, seen: Counter) -> np.ndarray:
    """How often each index came before in this pass: a sample drawn twice is not transformed twice alike."""
    out = []
    for i in indices:
        i = int(i) if isinstance(i, np.integer) else i
        out.append(seen[i] if isinstance(i, Hashable) else 0)
        if isinstance(i, Hashable):
            seen[i] += 1
    return np.array(out, dtype=np.int64)


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
