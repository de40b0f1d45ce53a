"""A thread that prepares the next batches while the program works on this one."""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..backend import BACKENDS, default_device, device
from ..backend.random import default_generator, manual_seed
from ..modes import mode

_PATIENCE = 5.0  # seconds that closing waits for the batch in work


@dataclass(frozen=True)
class WorkerInfo:
    """What `get_worker_info` tells in the loader's thread: there is one worker, whatever `num_workers` says."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Local(threading.local):
    info: WorkerInfo | None = None


_local = _Local()


def get_worker_info() -> WorkerInfo | None:
    """In the thread that prepares a loader's batches, what PyTorch says of a worker: `id`, `num_workers`, `seed`,
    `dataset`. There is one, so `id` is 0 and `num_workers` is 1. Elsewhere None.
    """
    return _local.info


class Modes:
    """The modes of the thread that makes this, to be taken over by another: what tensors are like does not depend on
    where a batch is prepared.
    """

    def __init__(self) -> None:
        self._mode = (mode.grad, mode.inference, mode.anomaly, mode.dtype)
        self._device = device(str(default_device()))  # one of our own: it remembers what was the default before
        cuda = [backend for backend in BACKENDS.values() if getattr(backend, "name", None) == "cuda"]  # if it is in use
        self._place: Any = cuda[0].streams.here() if cuda else contextlib.nullcontext()

    def __enter__(self) -> None:
        self._place.__enter__()
        mode.grad, mode.inference, mode.anomaly, mode.dtype = self._mode
        self._device.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._device.__exit__()
        self._place.__exit__(*exc)


class Prefetcher:
    """Runs `work(task)` in a thread of its own, task after task, and gives the results in the same order.

    seed, number: before a task the thread's default generator starts anew from (seed, number of the task), so that
    what a data set draws from it depends on the batch alone. The thread ends with `close`, when nobody holds the
    Prefetcher any longer, and at the end of the program. It holds neither the loader nor the iterator.
    """

    def __init__(
        self, work: Callable[[Any], Any], start: Callable[[], Any] | None, info: Callable[[], WorkerInfo]
    ) -> None:
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        stopped = threading.Event()
        self.pending = 0
        arguments = (work, start, info, self._tasks, self._results, stopped)
        thread = threading.Thread(target=_run, args=arguments, name="minidl-data", daemon=True)
        # the thread must be gone before the interpreter takes its modules away, hence also at exit
        self._close = weakref.finalize(self, _stop, thread, self._tasks, stopped)
        self._thread = thread
        thread.start()

    def put(self, number: int, task: Any) -> None:
        """Order a result; `number` says which batch of the pass it is."""
        self.pending += 1
        self._tasks.put((number, Modes(), task))

    def get(self, timeout: float | None) -> Any:
        """The next result. What its work raised is raised here, with the traceback of the work.

        Raises:
            RuntimeError: it was not ready after `timeout` seconds, or this process is a fork and has not the thread.
        """
        if not self._thread.is_alive():  # only the thread that forks goes on in the child: this would wait for ever
            raise RuntimeError("DataLoader: this pass's thread stayed in the parent process; begin a new pass here")
        try:
            result, error = self._results.get(timeout=timeout)
        except queue.Empty:
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds: the next batch is not ready") from None
        self.pending -= 1
        if error is not None:
            try:
                raise error
            finally:
                error = None  # the traceback holds this frame: no cycle
        return result

    def close(self) -> None:
        """End the thread, after the task in work."""
        self._close()


def _run(work: Callable, start: Callable | None, info: Callable, tasks: Any, results: Any, stopped: Any) -> None:
    failure: BaseException | None = None
    broken = False
    try:
        _local.info = own = info()
        manual_seed(own.seed)
        if start is not None:
            start()
    except BaseException as error:  # raised where the first batch is asked for
        failure = error
    while True:
        task = tasks.get()
        if stopped.is_set():
            return
        number, modes, wanted = task
        try:
            if failure is not None:  # told once: its traceback will hold the iterator, which must not live on in here
                results.put((None, failure))
                failure, broken = None, True
            elif broken:
                raise RuntimeError("DataLoader: the thread could not start (worker_init_fn), so there are no batches")
            else:
                with modes:
                    default_generator().set_state((own.seed, number << 32))
                    results.put((work(wanted), None))
        except BaseException as error:
            results.put((None, error))
        del task, wanted, modes


def _stop(thread: threading.Thread, tasks: Any, stopped: threading.Event) -> None:
    stopped.set()
    tasks.put(None)
    if thread is not threading.current_thread():  # the garbage collector may run in that very thread
        thread.join(_PATIENCE)
