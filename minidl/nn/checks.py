"""What layers and losses ask of their arguments, and the errors that say what came instead."""

from __future__ import annotations

import numpy as np

from ..tensor import Tensor


def pair(value, name: str, where: str, low: int = 1) -> tuple[int, int]:
    """An int, or two, as two; each at least `low`."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    both = both * 2 if len(both) == 1 else both
    if len(both) != 2 or any(not isinstance(v, (int, np.integer)) or isinstance(v, bool) for v in both):
        raise TypeError(f"{where}: {name} must be an int or two ints, got {value!r}")
    if min(both) < low:
        raise ValueError(f"{where}: {name} must be at least {low}, got {value!r}")
    return int(both[0]), int(both[1])


def positive(where: str, **values) -> None:
    """Check that each value is an int of at least 1."""
    for name, value in values.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{where}: {name} must be an int, got {value!r}")
        if value < 1:
            raise ValueError(f"{where}: {name} must be at least 1, got {value}")


def a_tensor(x, where: str, name: str = "input") -> Tensor:
    """x, which must be a Tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{where}: {name} must be a Tensor, got {type(x).__name__}")
    return x


def floating(x, where: str, name: str = "input") -> Tensor:
    """x, which must be a floating-point Tensor."""
    if a_tensor(x, where, name).array.dtype.kind != "f":
        raise TypeError(f"{where}: {name} must be floating point, got {x.dtype}; use {name}.float()")
    return x


def same_dtype(x, weight, where: str) -> None:
    """Input and weight must have one dtype: silently computing a float64 batch in float64 would be slow."""
    if a_tensor(x, where).array.dtype != a_tensor(weight, where, "weight").array.dtype:
        raise TypeError(
            f"{where}: input is {x.dtype}, weight is {weight.dtype}; cast one, as in input.to(weight.dtype)"
        )
