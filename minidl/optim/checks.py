"""The checks of arguments that are numbers: NumPy's count as numbers, bools do not."""

from __future__ import annotations

import math
from typing import Any


def is_number(value: Any) -> bool:
    """Whether it is one real number: Python's, NumPy's, or what has one element without dimensions."""
    if isinstance(value, (bool, complex, str, bytes)) or not hasattr(value, "__float__"):
        return False
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    return kind in "iuf" and not getattr(value, "shape", ())


def number(
    where: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf, strict: bool = False
) -> float:
    """The argument as a float, or an error that names it, unless low <= value <= high.

    strict: low itself is not allowed.

    >>> number("Lookahead", "alpha", 0, 0, 1, strict=True)
    Traceback (most recent call last):
    ValueError: Lookahead: alpha must be a finite number > 0 and <= 1, got 0
    """
    if not is_number(value):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}")
    x = float(value)
    if not (math.isfinite(x) and low <= x <= high) or (strict and x == low):
        limits = [f"{'>' if strict else '>='} {low}"] * (low > -math.inf) + [f"<= {high}"] * (high < math.inf)
        text = " ".join(["a finite number", " and ".join(limits)]).rstrip()
        raise ValueError(f"{where}: {name} must be {text}, got {value}")
    return x


def whole(where: str, name: str, value: Any, low: int = 1) -> int:
    """The argument as an int (a number of steps), or an error that names it."""
    if not is_number(value):
        raise TypeError(f"{where}: {name} must be a whole number, got {value!r}")
    if not (math.isfinite(value) and value == int(value) and value >= low):
        raise ValueError(f"{where}: {name} must be a whole number >= {low}, got {value}")
    return int(value)
