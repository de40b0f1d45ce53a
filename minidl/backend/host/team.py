"""Several threads for one kernel: each takes a part of the batch, with matrix products on one thread each.

NumPy leaves the interpreter to others while it is in its loops and products, so that parts of some 200 us and more gain
from running side by side. The parts depend on the number of threads only: where they cannot run side by side (within
another kernel that is shared, or while another thread of the program shares one) they run one after the other.

How many threads matrix products use is one number for the whole process, and their last bits depend on it. So what two
threads of a program compute at once may differ in the last bits from one after the other, unless that number is 1.
"""

from __future__ import annotations

import contextvars
import functools
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

import threadpoolctl

_Number = tuple[Callable[[], int], Callable[[int], object]]  # what tells, and what sets, how many threads there are

_holder: dict[str, tuple[int]] = {}  # "is": a token, with its identity, of the thread that shares a kernel
_settling = threading.RLock()  # held while the number of threads is read or changed
_asked: list[int] = []  # while a kernel is shared: the numbers that hold when it has ended
_workers: list[queue.SimpleQueue] = []  # of threads that wait for jobs


def _cores() -> int:
    """How many cores the process may use, or fewer if the environment says so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores


def _number_of(library) -> _Number:
    """A library's own two functions: threadpoolctl's do nothing except in the one thread that called them first."""
    if library.internal_api == "openblas" and library.threading_layer == "pthreads":
        for before in ("scipy_", ""):
            for after in ("64_", "_64", ""):
                tell, put = (f"{before}openblas_{what}_num_threads{after}" for what in ("get", "set"))
                if hasattr(library.dynlib, tell):
                    return getattr(library.dynlib, tell), getattr(library.dynlib, put)
    return library.get_num_threads, library.set_num_threads


@functools.cache
def _numbers() -> list[_Number]:
    """Of the libraries that multiply matrices; of this file alone, if none can be asked."""
    own = {"threads": _cores()}
    found = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    return [_number_of(library) for library in found] or [
        (functools.partial(own.__getitem__, "threads"), functools.partial(own.__setitem__, "threads"))
    ]


def threads() -> int:
    """How many threads a kernel may use: as many as matrix products (`set_num_threads`, OMP_NUM_THREADS)."""
    with _settling:
        return max(_asked or [tell() for tell, _ in _numbers()])


def set_threads(count: int) -> None:
    """Have matrix products and kernels use so many threads; what is being shared ends with as many as it began."""
    with _settling:
        if _asked:
            _asked[:] = [count] * len(_asked)
        else:
            for _, put in _numbers():
                put(count)


def _limit() -> None:
    """Matrix products on one thread, until `_restore`."""
    with _settling:
        if not _asked:  # else Ctrl-C came before they were restored
            _asked[:] = [tell() for tell, _ in _numbers()]
        for _, put in _numbers():
            put(1)


def _restore() -> None:
    with _settling:
        for (_, put), count in zip(_numbers(), _asked, strict=False):
            put(count)
        _asked.clear()


class _Job:
    """A task for another thread, with this one's context, such as np.errstate."""

    def __init__(self, task: Callable[[], object]) -> None:
        self.task: Callable[[], object] = functools.partial(contextvars.copy_context().run, task)
        self.error: BaseException | None = None
        self.fate: dict[str, str] = {}  # "is": run, or dropped, whichever came first
        self.over, self.ended = False, threading.Lock()
        self.ended.acquire()

    def run(self) -> None:
        try:
            if self.fate.setdefault("is", "run") == "run":
                self.task()
        except BaseException as error:  # raised in the thread that shares the work
            self.error = error
        self.task = int  # holds no array any longer
        self.over = True
        self.ended.release()

    def wait(self, given: bool) -> None:
        """Until the task has ended; if it may not have been given to a thread, it does not begin any more."""
        if not given and self.fate.setdefault("is", "dropped") == "dropped":
            return
        while not self.over:
            self.ended.acquire()


def _begin_worker() -> queue.SimpleQueue:
    jobs: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        while True:
            jobs.get().run()

    threading.Thread(target=work, name="minidl-kernel", daemon=True).start()
    return jobs


def parts(count: int, least: int = 1) -> list[slice]:
    """The numbers below `count` in as many parts as there are threads, but none with fewer than `least` numbers."""
    n = max(1, min(threads(), count // max(1, least)))
    ends = [count * i // n for i in range(n + 1)]
    return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def together(tasks: Sequence[Callable[[], object]]) -> None:
    """Run all tasks, side by side if they can; the first error is raised when all have ended."""
    token = (threading.get_ident(),)
    try:
        if len(tasks) > 1 and _take(token):
            _run(tasks)
        else:
            for task in tasks:
                task()
    finally:
        if _holder.get("is") is token:
            if _asked:  # Ctrl-C came before they were restored
                _restore()
            del _holder["is"]


def _take(token: tuple[int]) -> bool:
    """Whether the thread of the token may share a kernel now: no other one does, nor a kernel that it is within."""
    holder = _holder.setdefault("is", token)
    if holder is not token and _is_lost(holder[0]):
        with _settling:
            if _holder.get("is") is holder:
                del _holder["is"]
        holder = _holder.setdefault("is", token)
    return holder is token


def _is_lost(thread: int) -> bool:
    """Whether the thread that should be sharing a kernel is not: Ctrl-C came when it was about to say that it ended."""
    if thread != threading.get_ident():
        return thread not in sys._current_frames()
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not _run.__code__:
        frame = frame.f_back
    return frame is None


def _begin_workers(count: int) -> None:
    """Have so many workers, or as many as the system lets begin."""
    while len(_workers) < count:
        try:
            _workers.append(_begin_worker())
        except RuntimeError:  # can't start new thread
            return


def _wait(jobs: list[_Job], given: bool) -> None:
    """Until all have ended: what another thread writes to must not be left to it, however often Ctrl-C is pressed."""
    late: BaseException | None = None
    while True:
        try:
            for job in jobs:
                job.wait(given)
            break
        except BaseException as error:
            late = error
    if late is not None:
        try:
            raise late
        finally:  # its traceback holds this frame: no cycle
            del late


def _run(tasks: Sequence[Callable[[], object]]) -> None:
    _begin_workers(len(tasks) - 1)
    jobs, given = [_Job(task) for task in tasks[1 : len(_workers) + 1]], False
    try:
        _limit()
        for worker, job in zip(_workers, jobs, strict=False):
            worker.put(job)
        given = True
        for task in [tasks[0], *tasks[len(jobs) + 1 :]]:  # also those for which there is no thread
            task()
    finally:
        try:
            _wait(jobs, given)
        finally:
            _restore()
    error = next((job.error for job in jobs if job.error is not None), None)
    if error is not None:
        try:
            raise error
        finally:  # its traceback holds this frame: no cycle
            del error, jobs, job


def share(kernel: Callable[[slice], object], count: int, least: int = 1) -> None:
    """`kernel(part)` for parts of the numbers below `count`, see `parts`, side by side."""
    if count < 2 * max(1, least):
        kernel(slice(0, count))
        return
    together([functools.partial(kernel, part) for part in parts(count, least)])


def sweep(kernel: Callable[[slice], object], count: int, step: int, least: int = 1) -> None:
    """`kernel(block)` for blocks of `step` of the numbers below `count`, of which a thread has at least `least`.

    In blocks even on one thread, so that what is computed on the way stays in the core's cache.
    """

    def run(blocks: slice) -> None:
        for start in range(blocks.start * step, blocks.stop * step, step):
            kernel(slice(start, min(count, start + step)))

    share(run, -(-count // step), least)


def _forget() -> None:
    """In a forked child no worker is left, no lock may stay taken, and nothing is shared."""
    global _settling
    _settling = threading.RLock()
    _holder.clear()
    _workers.clear()
    if _asked:
        _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
