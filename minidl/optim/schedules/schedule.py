"""What a schedule is: a pure function of the step, with an algebra."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


class Schedule:
    """A function `step -> number` that can be called, combined, listed and printed; it never changes.

    Steps count from 0: `s(0)` is for the first update. They may be real numbers, so that a schedule can also be asked
    in between, or be driven by time. steps is its length, after which it keeps its last value; None if it is endless.

        (2 * s)(t) = 2 s(t)      (s * r)(t) = s(t) r(t)      (s + c)(t) = s(t) + c      (s / 2), (s - r), (-s) likewise
        s.then(r)(t) = s(t) up to step s.steps - 1, from then on r(t - s.steps)
        s.delayed(n)(t) = s(0) for n steps, then s(t - n)

    A product or sum is as long as the longer part, and endless if a part is. All is computed in doubles.

    formula: a function of (step, *arguments). text: what repr shows; the operators bracket it where they must.

    >>> from minidl.optim.schedules import cosine, linear
    >>> s = 0.1 * linear(0.25, 1.0, 3).then(cosine(4))
    >>> s
    0.1 * linear(0.25, 1.0, 3).then(cosine(4))
    >>> s.steps, [round(v, 4) for v in s.values(9)]
    (7, [0.025, 0.05, 0.075, 0.1, 0.0854, 0.05, 0.0146, 0.0, 0.0])
    >>> s(3.5) == 0.1 * cosine(4)(0.5)
    True
    """

    __slots__ = ("_formula", "_arguments", "_steps", "_text", "_binds")

    _formula: Callable
    _arguments: tuple
    _steps: int | None
    _text: str
    _binds: int  # how tightly the outermost operator of the text does: 1 a sum, 2 a product, 9 a call

    def __init__(
        self, formula: Callable, arguments: tuple = (), steps: int | None = None, text: str = "", binds: int = 9
    ) -> None:
        for name, value in zip(Schedule.__slots__, (formula, arguments, steps, text, binds), strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value) -> None:
        raise AttributeError(f"a Schedule cannot be changed (setting '{name}'); combine it into a new one")

    def __reduce__(self):
        return Schedule, (self._formula, self._arguments, self._steps, self._text, self._binds)

    @property
    def steps(self) -> int | None:
        """Its length in steps, or None."""
        return self._steps

    def __call__(self, step: float) -> float:
        """The value at a step."""
        if not 0 <= step < math.inf:
            raise ValueError(f"{self!r}: a step must be a finite number >= 0, got {step}")
        if self._steps is not None and step > self._steps:
            step = self._steps
        return float(self._formula(step, *self._arguments))

    def values(self, n: int | None = None) -> list[float]:
        """The values at the steps 0 ... n - 1; n is by default the length."""
        if n is None:
            n = self.steps
            if n is None:
                raise ValueError(f"{self!r} is endless; say how many values: values(n)")
        return [self(step) for step in range(whole("values", "n", n, 0))]

    def then(self, other: Schedule) -> Schedule:
        """This schedule for its length, then the other one from its beginning."""
        if self.steps is None:
            raise ValueError(f"{self!r}.then(...): it is endless, so nothing can come after it")
        rest = schedule("then", other).steps
        both = None if rest is None else self.steps + rest
        return Schedule(_then, (self, other, self.steps), both, f"{self._bracketed(9)}.then({other!r})")

    def delayed(self, n: int) -> Schedule:
        """The first value for n more steps, then this schedule."""
        steps = None if self.steps is None else self.steps + n
        return Schedule(_delayed, (self, whole("delayed", "n", n, 0)), steps, f"{self._bracketed(9)}.delayed({n})")

    # algebra
    def __mul__(self, other) -> Schedule:
        return _combined(_product, self, "*", other, 2)

    def __rmul__(self, other) -> Schedule:
        return _combined(_product, other, "*", self, 2)

    def __truediv__(self, other) -> Schedule:
        if not isinstance(other, Schedule) and _is_number(other) and other == 0:
            raise ValueError(f"({self!r}) / 0: a schedule cannot be divided by 0")
        return _combined(_quotient, self, "/", other, 2)

    def __add__(self, other) -> Schedule:
        return _combined(_sum, self, "+", other, 1)

    def __radd__(self, other) -> Schedule:
        return _combined(_sum, other, "+", self, 1)

    def __sub__(self, other) -> Schedule:
        return _combined(_difference, self, "-", other, 1)

    def __rsub__(self, other) -> Schedule:
        return _combined(_difference, other, "-", self, 1)

    def __neg__(self) -> Schedule:
        return -1.0 * self

    def __eq__(self, other) -> bool:
        """Whether it is the same formula of the same numbers."""
        if not isinstance(other, Schedule):
            return NotImplemented
        return self is other or _parts(self) == _parts(other)

    def __hash__(self) -> int:
        return hash((self._formula, self._steps, self._text))

    def __repr__(self) -> str:
        return self._text

    def _bracketed(self, binds: int) -> str:
        text = repr(self)
        return text if self._binds >= binds else f"({text})"


def _parts(s: Schedule) -> tuple:
    return s._formula, s._arguments, s._steps


def _combined(formula: Callable, left, sign: str, right, binds: int) -> Schedule:
    for x in (left, right):
        if not isinstance(x, Schedule):
            if not _is_number(x):
                return NotImplemented
            number(f"{left!r} {sign} {right!r}", "the number", x)
    steps = longest([x for x in (left, right) if isinstance(x, Schedule)])
    words = [x._bracketed(binds + i) if isinstance(x, Schedule) else repr(x) for i, x in enumerate((left, right))]
    return Schedule(formula, (left, right), steps, f"{words[0]} {sign} {words[1]}", binds)


def longest(schedules: Sequence[Schedule]) -> int | None:
    """The length of the longest; None if one is endless."""
    lengths = [s.steps for s in schedules]
    return None if None in lengths else max([n for n in lengths if n is not None])


def _is_number(x) -> bool:
    return isinstance(x, (int, float)) or (hasattr(x, "__float__") and not getattr(x, "shape", ()))


def _at(x, t: float) -> float:
    return x(t) if isinstance(x, Schedule) else float(x)


def _product(t, a, b):
    return _at(a, t) * _at(b, t)


def _quotient(t, a, b):
    return _at(a, t) / _at(b, t)


def _sum(t, a, b):
    return _at(a, t) + _at(b, t)


def _difference(t, a, b):
    return _at(a, t) - _at(b, t)


def _then(t, first, second, steps):
    return first(t) if t < steps else second(t - steps)


def _delayed(t, s, n):
    return s(max(0, t - n))


# what the builders check their arguments with
def number(where: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """The argument as a float, or an error that names it."""
    if isinstance(value, str) or not _is_number(value):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}")
    limits = (f" >= {low}" if low > -math.inf else "") + (" and" if low > -math.inf and high < math.inf else "")
    limits += f" <= {high}" if high < math.inf else ""
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{where}: {name} must be a finite number{limits}, got {value}")
    return float(value)


def whole(where: str, name: str, value: Any, low: int = 1) -> int:
    """The argument as an int (a number of steps), or an error that names it."""
    if isinstance(value, str) or not _is_number(value):
        raise TypeError(f"{where}: {name} must be a whole number, got {value!r}")
    if not (math.isfinite(value) and value == int(value) and value >= low):
        raise ValueError(f"{where}: {name} must be a whole number >= {low}, got {value}")
    return int(value)


def schedule(where: str, value: Any) -> Schedule:
    """The argument, or an error because it is no schedule."""
    if not isinstance(value, Schedule):
        raise TypeError(f"{where}: expected a Schedule, got {value!r}; function(f) makes one of a function")
    return value


def choice(where: str, name: str, value: Any, known: tuple[str, ...]) -> str:
    """The argument, or an error that lists what there is."""
    if value not in known:
        raise ValueError(f"{where}: {name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    return value
