"""The schedules by the names that the command line knows them by, with options that fit the length of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..checks import whole
from . import curves
from .combinations import warmup as with_warmup
from .schedule import Schedule


def options(name: str) -> dict[str, Any]:
    """The options of a schedule and their defaults; None: one that fits the length of the run, as `build` says.

    >>> options("cosine"), options("step")
    ({'end': 0.0}, {'every': None, 'gamma': 0.1})
    """
    return _known(name)


def build(name: str, steps: int, warmup: int = 0, **options) -> Schedule:
    """A schedule for a run of `steps` steps, as a factor of the peak rate, the first `warmup` of them rising to it.

    Options that are not given fit the length n of the run without the warmup:

        linear         start=1.0, end=0.0
        step           every: a third of n; gamma=0.1
        multistep      milestones: half and three quarters of n; steps of the whole run; gamma=0.1
        exponential    gamma: down to 0.01 in n steps
        polynomial     power=1.0, end=0.0
        cosine         end=0.0
        warm-restarts  first: n / 7, and growth=2: three periods; end=0.0
        cyclic         low=0.1, high=1.0, up: an eighth of n, down: as up; mode="triangular", gamma=1.0
        one-cycle      start, end, anneal, three_phase as in `one_cycle`; its warmup, if not given, is 0.3 of the run
        inverse-sqrt   no options; its warmup, if not given, is a twentieth of the run
        noam           as inverse-sqrt; with width=... the paper's rate itself, for lr=1, instead of a factor
        inverse-time   rate: down to 0.1 in n steps; every=1, staircase=False

    >>> build("cosine", 8, warmup=4)
    warmup(4, cosine(4))
    >>> build("step", 90)
    step(30, 0.1)
    """
    where = f"schedule '{name}'"
    known = _known(name)
    for key in options:
        if key not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"{where} has no option '{key}'; its options are: {listed}")
    n, first = whole(where, "steps", steps), whole(where, "warmup", warmup, 0)
    if first >= n:
        raise ValueError(f"{where}: warmup must be less than the {n} steps of the run, got {first}")
    given = {key: value for key, value in options.items() if value is not None}
    if name in _RISING:
        return NAMES[name](n, first, **given)
    return with_warmup(first, NAMES[name](n - first, first, **given))


def _known(name: str) -> dict[str, Any]:
    if name not in NAMES:
        raise ValueError(f"unknown schedule '{name}'; there are {', '.join(NAMES)}")
    parameters = inspect.signature(NAMES[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


# Each takes the steps that are left after the warmup, and the warmup; those in _RISING all steps, and do it themselves.
def _constant(n, first):
    return curves.constant()


def _linear(n, first, *, start=1.0, end=0.0):
    return curves.linear(start, end, n)


def _step(n, first, *, every=None, gamma=0.1):
    return curves.step(max(1, n // 3) if every is None else every, gamma)


def _multistep(n, first, *, milestones=None, gamma=0.1):
    if milestones is None:
        return curves.multistep([n // 2, 3 * n // 4], gamma)
    if any(m < first for m in milestones):
        raise ValueError(f"schedule 'multistep': milestones must not lie in the warmup of {first}, got {milestones}")
    return curves.multistep([m - first for m in milestones], gamma)


def _exponential(n, first, *, gamma=None):
    return curves.exponential(0.01 ** (1 / n) if gamma is None else gamma)


def _polynomial(n, first, *, power=1.0, end=0.0):
    return curves.polynomial(n, power, end)


def _cosine(n, first, *, end=0.0):
    return curves.cosine(n, end)


def _warm_restarts(n, first_steps, *, first=None, growth=2, end=0.0):
    return curves.warm_restarts(max(1, -(-n // 7)) if first is None else first, growth, end)


def _cyclic(n, first, *, low=0.1, high=1.0, up=None, down=None, mode="triangular", gamma=1.0):
    return curves.cyclic(low, high, max(1, n // 8) if up is None else up, down, mode, gamma)


def _one_cycle(n, first, *, start=1 / 25, end=1e-4 / 25, anneal="cos", three_phase=False):
    return curves.one_cycle(n, first / n if first else 0.3, start, end, anneal, three_phase)


def _inverse_sqrt(n, first):
    return curves.inverse_sqrt(first or max(1, n // 20))


def _noam(n, first, *, width=None):
    return _inverse_sqrt(n, first) if width is None else curves.noam(width, first or max(1, n // 20))


def _inverse_time(n, first, *, rate=None, every=1, staircase=False):
    return curves.inverse_time(9 * every / n if rate is None else rate, every, staircase)


# what `build` makes of a name and a length
NAMES: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "linear": _linear,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "polynomial": _polynomial,
    "cosine": _cosine,
    "warm-restarts": _warm_restarts,
    "cyclic": _cyclic,
    "one-cycle": _one_cycle,
    "inverse-sqrt": _inverse_sqrt,
    "noam": _noam,
    "inverse-time": _inverse_time,
}
_RISING = ("one-cycle", "inverse-sqrt", "noam")
