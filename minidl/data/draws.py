"""Random numbers for data transforms, keyed by (seed, epoch, sample) so that the order of work cannot change them.

A transform asks `stream(n)` for the numbers of n samples. Inside a loader's pass each sample has a stream of its own, a
pure function of the pass, of the sample's index and of how many transforms drew for it before; so a whole batch at
once, sample by sample, in another thread, and after a resume all see the same numbers. Outside, one draw of the
thread's default generator keys them. The bits are those of Philox4x32-10 (Salmon et al., 2011), which NumPy computes
for many counters at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ..backend.random import default_generator

COLLATE = 2048  # the position of draws made for a batch as a whole, after those of its samples
_POSITIONS, _BLOCKS = 1 << 12, 1 << 20  # the 32 bits of a counter's first word
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_M0, _M1, _W0, _W1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57), 0x9E3779B9, 0xBB67AE85


def philox4x32(counter: Any, key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Philox4x32-10: four arrays of 32-bit counters (in uint64) and two key words give four arrays of 32-bit words.

    >>> zero = np.zeros(1, dtype=np.uint64)
    >>> [hex(int(word[0])) for word in philox4x32((zero, zero, zero, zero), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _32) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


class DrawKey:
    """64 bits out of some integers, which are asked for only when something is drawn."""

    def __init__(self, parts: Callable[[], tuple[int, ...]]) -> None:
        self._parts = parts

    @cached_property
    def number(self) -> int:
        """The 64 bits."""
        text = " ".join(str(int(part)) for part in self._parts())
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Scope:
    """The samples that transforms are working on: their indices, how often each came before, and what was drawn."""

    def __init__(self, key: DrawKey, indices: np.ndarray, repeats: np.ndarray | None = None, position: int = 0) -> None:
        self.key, self.indices, self.position = key, indices, position
        self.repeats = np.zeros(len(indices), dtype=np.int64) if repeats is None else repeats

    def part(self, rows: Any) -> Scope:
        """The same for some of the samples."""
        return Scope(self.key, self.indices[rows], self.repeats[rows], self.position)


class Stream:
    """What one transform draws, once, for each of n samples."""

    def __init__(self, key: DrawKey, indices: np.ndarray, repeats: np.ndarray, position: int) -> None:
        if position >= _POSITIONS:
            raise RuntimeError(f"random transforms: more than {_POSITIONS} draws for one sample")
        self._key, self._position = key.number, position
        index = indices.astype(np.int64).view(np.uint64)
        self._low, self._high = index & _LOW, index >> _32
        self._repeats = repeats.astype(np.uint64) & _LOW

    def words(self, count: int, rows: Any = slice(None)) -> np.ndarray:
        """`count` uniform 32-bit words, as uint64, for each of the samples (of those at `rows`): (n, count)."""
        blocks = -(-count // 4)
        if blocks > _BLOCKS:
            raise ValueError(f"random transforms: {count} numbers for one sample are too many, at most {4 * _BLOCKS}")
        low, high, repeats = (v[rows][:, None] for v in (self._low, self._high, self._repeats))
        first = (np.uint64(self._position * _BLOCKS) + np.arange(blocks, dtype=np.uint64)) + np.zeros_like(low)
        out = philox4x32((first, low, high, repeats), (self._key & 0xFFFFFFFF, self._key >> 32))
        return np.stack(out, axis=-1).reshape(len(low), 4 * blocks)[:, :count]

    def uniform(self, count: int, rows: Any = slice(None)) -> np.ndarray:
        """float64 in [0, 1), (n, count)."""
        return self.words(count, rows) * 2.0**-32

    def normal(self, count: int, rows: Any = slice(None)) -> np.ndarray:
        """Standard normal float64 (n, count), by the transform of Box and Muller (1958)."""
        half = -(-count // 2)
        u = (self.words(2 * half, rows) + 0.5) * 2.0**-32
        radius, angle = np.sqrt(-2.0 * np.log(u[:, :half])), 2.0 * np.pi * u[:, half:]
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]


class _Local(threading.local):
    scope: Scope | None = None


_local = _Local()


def current() -> Scope | None:
    """The scope that this thread is in."""
    return _local.scope


@contextlib.contextmanager
def drawing(scope: Scope | None) -> Iterator[Scope | None]:
    """Within the block transforms draw for the samples of `scope`."""
    outer, _local.scope = _local.scope, scope
    try:
        yield scope
    finally:
        _local.scope = outer


def by_default(n: int) -> Scope:
    """A scope of n samples outside of any loader: keyed by one draw of the default generator, if any is made."""
    return Scope(DrawKey(lambda: default_generator().key()), np.arange(n))


def stream(n: int) -> Stream:
    """The numbers that a transform takes for n samples; a transform calls this exactly once whenever it is called."""
    scope = _local.scope
    if scope is None:
        scope = by_default(n)
    position, scope.position = scope.position, scope.position + 1
    if len(scope.indices) == n:
        return Stream(scope.key, scope.indices, scope.repeats, position)
    if not len(scope.indices):
        scope = by_default(n)
        return Stream(scope.key, scope.indices, scope.repeats, position)
    # other samples than those that were announced (a collate_fn that cuts images up): the streams go round
    rows = np.arange(n)
    laps = (rows // len(scope.indices)) << 16
    rows %= len(scope.indices)
    return Stream(scope.key, scope.indices[rows], scope.repeats[rows] + laps, position)


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> list:
    """[function(item) for item in items]; for the k-th only sample k of the scope is drawn for, as if it came alone."""
    scope, items = _local.scope, list(items)
    if scope is None or len(scope.indices) != len(items):
        return [function(item) for item in items]
    out, end = [], scope.position
    for k, item in enumerate(items):
        part = scope.part(slice(k, k + 1))
        with drawing(part):
            out.append(function(item))
        end = max(end, part.position)
    scope.position = end
    return out
