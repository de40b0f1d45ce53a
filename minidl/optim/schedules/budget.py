"""A schedule for a run that has so many seconds, not so many steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from .schedule import Schedule, number, schedule


class TimeBudget(Schedule):
    """A schedule stretched over a time: how far it is depends on the clock, not on the step.

        fraction = min(1, elapsed / seconds)        value = schedule(fraction schedule.steps)

    Time runs from the first call. Every step looks at the clock once, at its first call, and keeps what it saw in
    `fractions`, so that asking again (for another group, for a plot) gives the same; `replay` makes of it a pure
    schedule with the same values, bit for bit. A step that was left out has the fraction of the next one.

    When to use it: "train for ten minutes, whatever the machine", with the warmup and the decay complete at the end. A
    run under it can be repeated only by `replay`. Source: M. Li, E. Yumer and D. Ramanan, Budgeted training, ICLR 2020,
    arXiv 1905.04753.

    >>> from minidl.optim.schedules import linear
    >>> clock = iter([100.0, 101.0, 103.0, 110.0])
    >>> budget = TimeBudget(4, linear(1.0, 0.0, 1000), clock=lambda: next(clock))
    >>> [budget(step) for step in (0, 1, 2, 2)], budget.fractions
    ([1.0, 0.75, 0.25, 0.25], [0.0, 0.25, 0.75])
    >>> budget.finished, replay(linear(1.0, 0.0, 1000), budget.fractions).values()
    (True, [1.0, 0.75, 0.25])
    """

    __slots__ = ("seconds", "schedule", "clock", "fractions", "_before", "_since")

    seconds: float
    schedule: Schedule
    clock: Callable[[], float]
    fractions: list[float]
    _before: float
    _since: float | None

    def __init__(self, seconds: float, schedule: Schedule, clock: Callable[[], float] = time.monotonic) -> None:
        seconds = number("TimeBudget", "seconds", seconds)
        if seconds <= 0:
            raise ValueError(f"TimeBudget: seconds must be > 0, got {seconds}")
        if _check("TimeBudget", schedule).steps is None:
            raise ValueError(f"TimeBudget: the schedule must have a length, got {schedule!r}")
        super().__init__(_fraction_of, (), None, f"TimeBudget({seconds:g}, {schedule!r})")
        self._set(seconds=seconds, schedule=schedule, clock=clock, fractions=[], _before=0.0, _since=None)

    def _set(self, **values) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __call__(self, step: float) -> float:
        """The value at a step; the first call for it decides."""
        if not 0 <= step < math.inf:
            raise ValueError(f"{self!r}: a step must be a finite number >= 0, got {step}")
        step = math.floor(step)
        if step >= len(self.fractions):
            if self._since is None:
                self._set(_since=self.clock())
                elapsed = self._before
            else:
                elapsed = self.elapsed
            fraction = min(1.0, elapsed / self.seconds)
            self.fractions.extend([fraction] * (step + 1 - len(self.fractions)))
        return self.schedule(self.fractions[step] * (self.schedule.steps or 0))

    @property
    def elapsed(self) -> float:
        """The seconds that have passed since the first call, without those between saving and resuming."""
        return self._before if self._since is None else self._before + (self.clock() - self._since)

    @property
    def finished(self) -> bool:
        """Whether the time is over."""
        return self.elapsed >= self.seconds

    def state_dict(self) -> dict[str, Any]:
        """The time spent and the fractions."""
        return {"elapsed": self.elapsed, "fractions": list(self.fractions)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there: time runs again from the next call."""
        if set(state) != {"elapsed", "fractions"}:
            raise ValueError(f"TimeBudget: expected the keys 'elapsed' and 'fractions', got {sorted(state)}")
        elapsed = number("TimeBudget", "elapsed", state["elapsed"], 0)
        self._set(_before=elapsed, _since=None, fractions=_fractions("TimeBudget", state["fractions"]))

    def __reduce__(self):
        return _restored, (self.seconds, self.schedule, self.clock, self.state_dict())

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


def _fraction_of(t):  # the formula of a TimeBudget, which overrides the call
    raise NotImplementedError


def _replay(t, s, fractions):
    return s(fractions[min(math.floor(t), len(fractions) - 1)] * s.steps)


def _restored(seconds, schedule, clock, state) -> TimeBudget:
    budget = TimeBudget(seconds, schedule, clock)
    budget.load_state_dict(state)
    return budget
