"""Calls that mean the same in PyTorch and here: the generator runs them with PyTorch and stores what comes out.

Every call is a function of a `Library` (its `T` is `torch` or `minidl`, its `F` the functional module) and of tensors.
Inputs are computed from integers alone, so they need not be stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Fixed float64 numbers in (-1.5, 1.5): the hash of splitmix64 (Steele et al., 2014) of their position."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, math.prod(shape) + 1, dtype=np.uint64) + np.uint64(1000 * seed)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)) * 2.0**-53 * 3.0 - 1.5).reshape(shape)


def whole(seed: int, high: int, *shape: int) -> np.ndarray:
    """Fixed int64 numbers in [0, high)."""
    return np.floor((numbers(seed, *shape) / 3.0 + 0.5) * high).astype(np.int64)


@dataclass
class Library:
    """What a call may use: PyTorch's names, and the two things that the libraries do not share."""

    T: SimpleNamespace | object
    F: object
    nn: object
    optim: object
    tensor: Callable  # of a NumPy array
    dropout: Callable  # of x, a mask of 0 and 1 as an array, and the scale
    lstm_step: Callable  # of the gates (4H, B) and the cell state (H, B)


@dataclass
class Call:
    """A function of tensors made from `inputs`; floating ones get gradients unless they are in `fixed`."""

    name: str
    inputs: tuple
    function: Callable
    fixed: tuple[int, ...] = ()
    table: str = ""  # the file of this folder that it stands in


CALLS: dict[str, Call] = {}


def call(name: str, *inputs, fixed=()):
    """Enter the decorated function (or the lambda that is passed on) under a name."""

    def enter(function):
        assert name not in CALLS, name
        CALLS[name] = Call(name, inputs, function, tuple(fixed), function.__module__.rpartition(".")[2])
        return function

    return enter


def several(prefix: str, functions: dict[str, Callable], *inputs, fixed=()) -> None:
    for label, function in functions.items():
        call(f"{prefix}: {label}", *inputs, fixed=fixed)(function)
