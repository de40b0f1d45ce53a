"""The table of twins: for each kernel a call of what uses it, on arrays of random shapes, and the same by NumPy.

A twin is `function(draw) -> (found, expected)`, two trees of arrays: device arrays, and NumPy's, best computed in
float64. `draw` makes the inputs. The kernels that a twin names must all have been launched by it in some of its runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minidl.backend import get_backend

FLOATS = ("float32", "float64", "float16")
B = get_backend("cuda")


class Twin(NamedTuple):
    """A line of the table."""

    name: str
    kernels: tuple[str, ...]
    dtypes: tuple[str, ...]
    run: Callable


TWINS: list[Twin] = []


def twin(*kernels: str, dtypes: tuple[str, ...] = FLOATS):
    """Enter a twin of the kernels of these names, to be run in these dtypes."""

    def enter(run: Callable) -> Callable:
        TWINS.append(Twin(run.__name__, kernels, dtypes, run))
        return run

    return enter


class Draw:
    """Random inputs of one dtype: each is a NumPy array, which `device` takes to the GPU."""

    def __init__(self, rng: np.random.Generator, dtype: str) -> None:
        self.rng, self.dtype = rng, np.dtype(dtype)

    def size(self, low: int = 1, high: int = 6) -> int:
        return int(self.rng.integers(low, high + 1))

    def shape(self, ndim: int | None = None, high: int = 6) -> tuple[int, ...]:
        """Of `ndim` axes, else of none to four."""
        return tuple([self.size(1, high) for _ in range(self.size(0, 4) if ndim is None else ndim)])

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> np.ndarray:
        return np.asarray(self.rng.normal(mean, scale, size=shape)).astype(self.dtype)

    def integers(self, high: int, *shape: int) -> np.ndarray:
        return np.asarray(self.rng.integers(0, high, size=shape))

    def mask(self, *shape: int) -> np.ndarray:
        return np.asarray(self.rng.random(size=shape) < 0.5)

    def device(self, x: np.ndarray):
        """x on the GPU, dense or with strides of some other kind."""
        how = self.size(0, 3)
        if how == 0 and x.ndim:  # every other one of an array
            wide = B.from_host(np.repeat(x, 2, axis=-1))
            return wide[..., ::2]
        if how == 1 and x.ndim > 1:  # axes in the order from last to first
            return B.from_host(np.ascontiguousarray(x.T)).T
        return B.from_host(np.array(x, order="C"))


def wide(*xs):
    """NumPy arrays in double precision."""
    out = [np.asarray(x, np.float64) for x in xs]
    return out[0] if len(out) == 1 else out
