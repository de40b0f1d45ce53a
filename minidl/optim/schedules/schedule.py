"""What a schedule is: a pure function of the step, with an algebra."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..checks import is_number, number, whole

if TYPE_CHECKING:
    from .budget import TimeBudget


class Schedule:
    """A function `step -> number` that can be called, combined, listed and printed; it never changes.

    Steps count from 0: `s(0)` is for the first update. They may be real numbers, so that a schedule can also be asked
    in between, or be driven by time. steps is its length, after which it keeps its last value; None if it is endless.

        (2 * s)(t) = 2 s(t)      (s * r)(t) = s(t) r(t)      (s + c)(t) = s(t) + c      (s / 2), (s - r), (-s) likewise
        s.then(r)(t) = s(t) up to step s.steps - 1, from then on r(t - s.steps)
        s.delayed(n)(t) = s(0) for n steps, then s(t - n)

    A product or sum is as long as the longer part, and endless if a part is. All is computed in doubles. What has a
    state (only a `TimeBudget`, also as a part of others) keeps it in `state_dict()`.

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

    @property
    def ends(self) -> int | None:
        """The step from which on it stays as it is: its length, or of a product where a factor ends near 0; or None.

        >>> from minidl.optim.schedules import cosine, exponential
        >>> s = 0.1 * exponential(0.9) * cosine(5)
        >>> s.steps, s.ends
        (None, 5)
        """
        found = ENDS.get(self._formula)
        return self.steps if found is None else found(*self._arguments)

    # feedback
    def _feedback(self) -> list[TimeBudget]:
        """The parts that depend on more than the step, each once."""
        parts: dict[int, TimeBudget] = {}
        for x in self._arguments:
            for part in x if isinstance(x, tuple) else (x,):
                if isinstance(part, Schedule):
                    parts.update({id(budget): budget for budget in part._feedback()})
        return list(parts.values())

    def keep(self, step: float) -> float:
        """The value at a step that is made with it, which a `TimeBudget` then keeps; for what follows a schedule."""
        parts = self._feedback()
        for part in parts:
            part._following(True)
        try:
            return self(step)
        finally:
            for part in parts:
                part._following(False)

    def state_dict(self) -> dict[str, Any]:
        """The states of the time budgets in it, as plain data; {} if there are none."""
        return {str(i): part.state_dict() for i, part in enumerate(self._feedback())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of a schedule made in the same way; if it does not fit, nothing is changed."""
        parts = self._feedback()
        names = [str(i) for i in range(len(parts))]
        if not isinstance(state, dict) or set(state) != set(names):
            found = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"{self!r}: expected a state with the keys {names}, got {found}")
        ready = [part._checked(state[name]) for name, part in zip(names, parts, strict=True)]
        for part, values in zip(parts, ready, strict=True):
            part._take(*values)

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
        n = whole("delayed", "n", n, 0)
        steps = None if self.steps is None else self.steps + n
        return Schedule(_delayed, (self, n), steps, f"{self._bracketed(9)}.delayed({n})")

    # algebra
    def __mul__(self, other) -> Schedule:
        return _combined(_product, self, "*", other, 2)

    def __rmul__(self, other) -> Schedule:
        return _combined(_product, other, "*", self, 2)

    def __truediv__(self, other) -> Schedule:
        if is_number(other) and other == 0:
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
    if not all(isinstance(x, Schedule) or is_number(x) for x in (left, right)):
        return NotImplemented
    where = f"{left!r} {sign} {right!r}"
    # NumPy's numbers as Python's, whose repr is short
    both = [x if isinstance(x, Schedule) or type(x) is int else number(where, "the number", x) for x in (left, right)]
    steps = longest([x.steps for x in both if isinstance(x, Schedule)])
    words = [x._bracketed(binds + i) if isinstance(x, Schedule) else repr(x) for i, x in enumerate(both)]
    return Schedule(formula, tuple(both), steps, f"{words[0]} {sign} {words[1]}", binds)


def longest(lengths: Sequence[int | None]) -> int | None:
    """The greatest of the lengths; None if one is endless."""
    known = [n for n in lengths if n is not None]
    return max(known) if len(known) == len(lengths) else None


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


# where they stay as they are
def product_ends(*factors) -> int | None:
    """The `ends` of a product: the first end near 0, or else the last end of all."""
    parts = [x for x in factors if isinstance(x, Schedule)]
    ends = [x.ends for x in parts]
    near_zero = [n for x, n in zip(parts, ends, strict=True) if n is not None and _fades(x, n)]
    return min(near_zero) if near_zero else longest(ends)


def _fades(s: Schedule, n: int) -> bool:
    return abs(s(n)) <= 1e-3 * max([abs(s(i * n // 8)) for i in range(9)])


# formula -> the function of its arguments that gives `ends`, where that is not its length
ENDS: dict[Callable, Callable[..., int | None]] = {
    _product: product_ends,
    _quotient: lambda a, b: product_ends(a) if not isinstance(b, Schedule) else longest([product_ends(a), b.ends]),
    _then: lambda first, second, steps: None if second.ends is None else steps + second.ends,
    _delayed: lambda s, n: None if s.ends is None else s.ends + n,
}


# what the builders check their arguments with
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
