"""A schedule for a run that has so many seconds, not so many steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..checks import number
from .schedule import Schedule, schedule


class _Watch:
    """The changing part of a TimeBudget: what it saw of the clock."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds, self.clock = seconds, clock
        self.fractions: list[float] = []
        self.before = 0.0  # the seconds until the clock was started
        self.since: float | None = None  # when that was
        self.by_hand = True  # nothing follows it so far, calls by hand drive it
        self.loaded = 0  # how many fractions came from a file
        self.following = False  # this call is for a step that is made

    @property
    def elapsed(self) -> float:
        return self.before if self.since is None else self.before + (self.clock() - self.since)

    def load(self, elapsed: float, fractions: list[float]) -> None:
        self.before, self.since, self.fractions, self.loaded = elapsed, None, fractions, len(fractions)

    def fraction(self, step: int) -> float:
        if self.following and self.by_hand:  # what was asked by hand before was no training
            self.by_hand = False
            if len(self.fractions) > self.loaded:
                self.since = None
                del self.fractions[self.loaded :]
        n = len(self.fractions)
        if step < n:
            return self.fractions[step]
        kept = self.following or (self.by_hand and step == n)
        if kept and step > 0 and self.since is None:
            self.since = self.clock()
            now = self.before
        else:
            now = self.elapsed
        fraction = min(1.0, now / self.seconds)
        if kept:
            self.fractions.extend([fraction] * (step + 1 - n))
        return fraction


class TimeBudget(Schedule):
    """A schedule stretched over a time: how far it is depends on the clock, not on the step.

        fraction = min(1, elapsed / seconds)        value = schedule(fraction schedule.steps)

    Step 0 has the fraction 0, and time runs from the first call for a later one: neither what lies between making an
    optimizer and its first update, nor that update, which often is slow for once, is taken from it. After a resume,
    likewise, it runs from the first call for a new step.

    Every step that is made looks at the clock once and keeps what it saw in `fractions`; asking for it again (for
    another group) gives the same. An optimizer or a scheduler asks by `keep`, and a step that it left out has the
    fraction of the next one. From then on a plain call for a step to come (a plot) only looks: it gives the value for
    the time it is now, and what was kept by plain calls before is forgotten. A budget that nothing follows is driven by
    plain calls: they keep the next step, and look at those beyond.

    `replay` makes of the fractions a pure schedule with the same values, bit for bit. The state is part of that of the
    optimizer or scheduler, also where the budget is a part of another schedule (`0.1 * budget`).

    When to use it: "train for ten minutes, whatever the machine", with the warmup and the decay complete at the end. A
    run under it can be repeated only by `replay`. Source: M. Li, E. Yumer and D. Ramanan, Budgeted training, ICLR 2020,
    arXiv 1905.04753.

    >>> from minidl.optim.schedules import linear
    >>> clock = iter([100.0, 101.0, 103.0, 110.0])
    >>> budget = TimeBudget(4, linear(1.0, 0.0, 1000), clock=lambda: next(clock))
    >>> [budget.keep(step) for step in (0, 1, 2, 3, 3)], budget.fractions
    ([1.0, 1.0, 0.75, 0.25, 0.25], [0.0, 0.0, 0.25, 0.75])
    >>> budget.finished, replay(linear(1.0, 0.0, 1000), budget.fractions).values()
    (True, [1.0, 1.0, 0.75, 0.25])
    """

    __slots__ = ()

    def __init__(self, seconds: float, schedule: Schedule, clock: Callable[[], float] = time.monotonic) -> None:
        seconds = number("TimeBudget", "seconds", seconds, 0, strict=True)
        if _check("TimeBudget", schedule).steps is None:
            raise ValueError(f"TimeBudget: the schedule must have a length, got {schedule!r}")
        if schedule._feedback():
            raise ValueError(f"TimeBudget: the schedule has a time budget already, {schedule!r}")
        super().__init__(_stretched, (_Watch(seconds, clock), schedule), None, f"TimeBudget({seconds:g}, {schedule!r})")

    @property
    def _watch(self) -> _Watch:
        return self._arguments[0]

    @property
    def seconds(self) -> float:
        """Its time."""
        return self._watch.seconds

    @property
    def schedule(self) -> Schedule:
        """What is stretched over it."""
        return self._arguments[1]

    @property
    def clock(self) -> Callable[[], float]:
        """What tells the time."""
        return self._watch.clock

    @property
    def fractions(self) -> list[float]:
        """For each step that was made, which part of the time had passed."""
        return self._watch.fractions

    @property
    def elapsed(self) -> float:
        """The seconds that have passed since time runs, without those between saving and resuming."""
        return self._watch.elapsed

    @property
    def finished(self) -> bool:
        """Whether the time is over."""
        return self.elapsed >= self.seconds

    def _feedback(self) -> list[TimeBudget]:
        return [self]

    def _following(self, on: bool) -> None:
        self._watch.following = on

    def state_dict(self) -> dict[str, Any]:
        """The time spent and the fractions."""
        return {"elapsed": self.elapsed, "fractions": list(self.fractions)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there: time runs again from the first call for a new step."""
        self._take(*self._checked(state))

    def _checked(self, state: dict[str, Any]) -> tuple[float, list[float]]:
        if not isinstance(state, dict) or set(state) != {"elapsed", "fractions"}:
            found = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"{self!r}: expected a state with the keys 'elapsed' and 'fractions', got {found}")
        elapsed = number("TimeBudget", "elapsed", state["elapsed"], 0)
        return elapsed, _fractions("TimeBudget", state["fractions"])

    def _take(self, elapsed: float, fractions: list[float]) -> None:
        self._watch.load(elapsed, list(fractions))

    def __reduce__(self):
        return _restored, (self.seconds, self.schedule, self.clock, self.state_dict(), self._watch.by_hand)

    def __eq__(self, other) -> bool:
        return self is other

    __hash__ = object.__hash__


_check = schedule  # `schedule` is also an argument's name


def replay(schedule: Schedule, fractions: Iterable[float]) -> Schedule:
    """What a `TimeBudget` over this schedule gave, from the fractions that it kept: schedule(fractions[t] steps).

    When to use it: to repeat a run that was trained under a time budget. See `TimeBudget` for an example.
    """
    if _check("replay", schedule).steps is None:
        raise ValueError(f"replay: the schedule must have a length, got {schedule!r}")
    seen = tuple(_fractions("replay", fractions))
    if not seen:
        raise ValueError("replay: there are no fractions")
    return Schedule(_replay, (schedule, seen), len(seen), f"replay({schedule!r}, <{len(seen)} fractions>)")


def _fractions(where: str, values: Iterable[float]) -> list[float]:
    return [number(where, f"fractions[{i}]", x, 0, 1) for i, x in enumerate(values)]


def _stretched(t, watch, s):
    return s(watch.fraction(math.floor(t)) * s.steps)


def _replay(t, s, fractions):
    return s(fractions[min(math.floor(t), len(fractions) - 1)] * s.steps)


def _restored(seconds, schedule, clock, state, by_hand) -> TimeBudget:
    budget = TimeBudget(seconds, schedule, clock)
    budget.load_state_dict(state)
    budget._watch.by_hand = by_hand
    return budget
