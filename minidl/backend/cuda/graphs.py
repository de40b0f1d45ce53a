"""CUDA graphs: what a function launches, recorded once and launched anew as a whole.

While a graph is recorded nothing is computed. What cannot be recorded raises NotCapturable, or an error of CuPy's.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from .. import CAPTURES, random
from . import cublas
from .launch import kernel
from .memory import translated
from .streams import on, recording_stream

_set_draw = kernel(
    "uint64 seed, uint64 draw", "raw uint64 start", "start[0] = seed; start[1] = draw;", "minidl_set_draw", types=({},)
)


class NotCapturable(RuntimeError):
    """Something that would not happen again when the graph is launched."""


class _Local(threading.local):
    graph: Graph | None = None  # that is being recorded


_local = _Local()


def refuse(what: str) -> None:
    """Raise if a graph is being recorded: `what` cannot be part of it."""
    if _local.graph is not None:
        raise NotCapturable(what)


class _Draws(random.Generator):
    """Stands for the default generator while a graph is recorded: it counts from numbers in the GPU's memory."""

    def __init__(self, generator: random.Generator) -> None:
        super().__init__(device=generator.device)
        self.set_state(generator.get_state())
        self.first = generator.get_state()
        self.start = cupy.zeros(2, np.uint64)

    def key(self) -> tuple:
        """(0, how many draws after the first of the step, where the seed and the first draw's number stand)."""
        (seed, draws), (first_seed, first) = self.get_state(), self.first
        if seed != first_seed or draws < first:
            raise NotCapturable("continues from another state of the random generator")
        self.set_state((seed, draws + 1))
        return 0, (draws - first) % 2**64, self.start

    def manual_seed(self, seed: int) -> random.Generator:
        """Refused: every launch would draw the same."""
        raise NotCapturable("seeds the random generator")

    def bits(self, words: int) -> np.ndarray:
        """Refused: it would be the same at every launch."""
        raise NotCapturable("draws random numbers on the host")

    def set(self, generator: random.Generator) -> None:
        """For the next launch: continue from where the generator is, and let it count the draws."""
        seed, draws = generator.get_state()
        count = self.get_state()[1] - self.first[1]
        if count:
            _set_draw(np.uint64(seed), np.uint64(draws), self.start, size=1)
            generator.set_state((seed, draws + count))


class Graph:
    """What a function launched, with the memory that it used; both live as long as this does."""

    def __init__(self) -> None:
        self.pool, self.stream = cupy.cuda.MemoryPool(), recording_stream()
        self._device = cupy.cuda.Device()
        # what is to be done on the host before a launch
        self.prepare: list[Callable[[], Callable[[], None] | None]] = []
        self._graph: Any = None
        self._kept: list = []
        self._draws: _Draws | None = None

    def __del__(self) -> None:
        """Its memory and the graph itself may go only when nothing of it is under way any more."""
        if self._graph is not None:
            with contextlib.suppress(Exception):  # the interpreter may be at its end
                self._device.synchronize()

    @contextlib.contextmanager
    def _inside(self):
        """Work of this thread goes to the graph's stream and memory."""
        with on(self.stream), cupy.cuda.using_allocator(translated(self.pool.malloc)):
            yield

    def rehearse(self, function: Callable[[], Any]) -> Any:
        """Run the function on the stream and in the memory of the graph, so that what it compiles or keeps is there."""
        with self._inside():
            return function()

    def record(self, function: Callable[[], Any]) -> Any:
        """Record what the function launches; returns its result, whose arrays hold nothing before the first launch."""
        outer, collecting = random._local.generator, gc.isenabled()
        gc.collect()  # what is freed in the middle might wait for the GPU
        with self._inside():
            draws = self._draws = _Draws(outer)
            gc.disable()
            self.stream.begin_capture()
            _local.graph, random._local.generator = self, draws
            CAPTURES.append(self.prepare)
            try:
                result = function()
            except BaseException:
                with contextlib.suppress(Exception):  # the stream must leave the state, which may itself be an error
                    self.stream.end_capture()
                raise
            else:
                _local.graph = None
                self._graph = self.stream.end_capture()
                self._kept = cublas.workspaces()
            finally:
                _local.graph, random._local.generator = None, outer
                CAPTURES.pop()
                if collecting:
                    gc.enable()
        return result

    def launch(self) -> bool:
        """Launch it on the current stream; False, and nothing is done, if it does not fit what it was recorded for."""
        ready = []
        for prepare in self.prepare:
            begin = prepare()
            if begin is None:
                return False
            ready.append(begin)
        for begin in ready:
            begin()
        assert self._draws is not None  # since it was recorded
        self._draws.set(random.default_generator())
        self._graph.launch()
        return True
