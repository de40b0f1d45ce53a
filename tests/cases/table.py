"""The one table of cases: for every op some calls, and their results computed by NumPy without the op.

A case is an op's name, makers of its inputs (drawn from a seeded generator), its static arguments and a NumPy function
that says what comes out. `test_ops.py` runs every check of `minidl.testing` on every case and on both array types.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from minidl.engine import OPS
from minidl.testing import Case

_EXPECTED: dict[str, object] = {}  # each is computed once


@dataclass(frozen=True)
class Entry:
    """A line of the table."""

    op: str
    label: str
    makers: tuple
    forward: Callable
    static: dict = field(default_factory=dict)
    fixed: tuple[int, ...] = ()  # floating-point inputs without a gradient
    same_bits: bool = True  # both array types run the same algorithm

    def inputs(self) -> tuple:
        rng = np.random.default_rng(zlib.crc32(f"{self.op} {self.label}".encode()))
        return tuple([make(rng) if callable(make) else make for make in self.makers])

    def case(self, where) -> Case:
        """The case on one array type."""
        inputs = self.inputs()
        static = dict(self.static)
        expected = _EXPECTED.get(str(self))
        if expected is None:
            expected = _EXPECTED[str(self)] = self.forward(*inputs, **static)
        fixed = frozenset(self.fixed)
        return Case(OPS[self.op], where.native(inputs), where.native(static), expected, fixed)

    def __str__(self) -> str:
        return f"{self.op}-{self.label}" if self.label else self.op


# ------------------------------------------------------------------------------------------------- makers of inputs
def normal(*shape):
    """Any numbers."""
    return lambda rng: np.asarray(rng.normal(size=shape))


def between(low, high, *shape):
    """Numbers in a range."""
    return lambda rng: np.asarray(rng.uniform(low, high, size=shape))


def apart(*shape):
    """Numbers of both signs that keep a distance from each other, from 0 and from whole numbers: no kinks, no ties."""

    def make(rng):
        n = math.prod(shape)
        return (rng.permutation(n) * 0.17 - n * 0.085 + 0.043).reshape(shape)

    return make


def integers(high, *shape):
    """Whole numbers in [0, high)."""
    return lambda rng: rng.integers(0, high, size=shape)


def mask(*shape):
    """Truth values."""
    return lambda rng: rng.random(size=shape) < 0.5


def values(x, dtype=None):
    """These numbers."""
    return lambda rng: np.array(x, dtype=dtype)


# -------------------------------------------------------------------------------------------------------- the table
TABLE: list[Entry] = []


# each array type has its own kernel for these, which may add in another order
OWN_KERNELS = {"conv2d", "conv2d_input_grad", "conv2d_weight_grad", "batch_norm", "layer_norm", "cross_entropy", "gelu"}
OWN_KERNELS |= {"max_pool2d", "max_pool2d_put", "window_sum", "window_spread", "erf", "erfc"}
OWN_KERNELS |= {"lstm", "gru", "rnn", "embedding", "sigmoid"}
OWN_KERNELS |= {"erfinv", "lgamma", "polygamma", "attention", "softmax", "log_softmax"}


def case(op, makers, forward, label="", fixed=(), **static) -> None:
    """Enter a line. forward takes the inputs and, by name, the static arguments."""
    TABLE.append(Entry(op, label, tuple(makers), forward, static, tuple(fixed), op not in OWN_KERNELS))
