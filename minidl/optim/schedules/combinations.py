"""The schedules made of others, or of a function."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ..checks import number, whole
from .schedule import ENDS, Schedule, longest, product_ends, schedule


def function(f: Callable[[float], float], steps: int | None = None) -> Schedule:
    """f(t). The function must always give the same value for a step.

    When to use it: for a schedule that has no name here. Functions of a module can be pickled, lambdas cannot.

    >>> 0.5 * function(lambda t: 1 / (t + 1))
    0.5 * function(<lambda>)
    """
    if not callable(f):
        raise TypeError(f"function: expected a function of the step, got {f!r}")
    length = None if steps is None else whole("function", "steps", steps)
    return Schedule(_function, (f,), length, f"function({getattr(f, '__name__', repr(f))})")


def multiplicative(f: Callable[[int], float]) -> Schedule:
    """f(1) f(2) ... f(t), and 1 at step 0. The product so far is kept, so that the next step costs one multiplication.

    When to use it: where a rule says what to multiply by at each step, not what the value is.

    >>> multiplicative(lambda t: 1 / t).values(4)  # doctest: +ELLIPSIS
    [1.0, 1.0, 0.5, 0.1666...]
    """
    if not callable(f):
        raise TypeError(f"multiplicative: expected a function of the step, got {f!r}")
    return Schedule(_Product(f), (), None, f"multiplicative({getattr(f, '__name__', repr(f))})")


def warmup(steps: int, schedule: Schedule, start: float = 0.0) -> Schedule:
    """`steps` values that rise to schedule(0) in equal parts, then the schedule from its beginning.

        (start + (1 - start) (t + 1) / steps) schedule(0)        for t < steps, then schedule(t - steps)

    start stands for the step before the first: no update is wasted on a rate of 0. warmup(0, s) is s.

    When to use it: with large batches, with Adam, and for transformers nearly always; 1 to 5 % of the run. Source:
    P. Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017, arXiv 1706.02677.

    >>> from minidl.optim.schedules import cosine
    >>> [round(v, 3) for v in warmup(4, cosine(4)).values()]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    _check("warmup", schedule)
    n, first = whole("warmup", "steps", steps, 0), number("warmup", "start", start)
    if n == 0:
        return schedule
    length = None if schedule.steps is None else n + schedule.steps
    text = f"warmup({n}, {schedule!r}" + (f", start={start})" if start else ")")
    return Schedule(_warmup, (n, schedule, first), length, text)


def sequence(schedules: Sequence[Schedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other: the first up to step milestones[0] - 1, and so on, each from its own beginning.

    When to use it: for parts that are endless, or are to be cut short; `first.then(second)` says the same where the
    parts have a length.

    >>> from minidl.optim.schedules import constant, exponential
    >>> sequence([constant(0.25), exponential(0.5)], [2]).values(5)
    [0.25, 0.25, 1.0, 0.5, 0.25]
    """
    parts = tuple([_check("sequence", s) for s in schedules])
    marks = tuple([whole("sequence", f"milestones[{i}]", m, 0) for i, m in enumerate(milestones)])
    if not parts or len(marks) != len(parts) - 1:
        raise ValueError(f"sequence: {len(parts)} schedules need one milestone less, got {len(marks)}")
    if list(marks) != sorted(marks):
        raise ValueError(f"sequence: milestones must be in order, got {list(marks)}")
    length = None if parts[-1].steps is None else parts[-1].steps + (marks[-1] if marks else 0)
    return Schedule(_sequence, (parts, (0, *marks)), length, f"sequence({list(parts)}, {list(marks)})")


def chained(*schedules: Schedule) -> Schedule:
    """The product of the schedules, all of them running at once.

    When to use it: for a decay and a cycle, or a warmup in front of a drop at milestones; the same as s * r * ....

    >>> from minidl.optim.schedules import exponential, linear
    >>> chained(exponential(0.5), linear(0.5, 1.0, 2)).values(4)
    [0.5, 0.375, 0.25, 0.125]
    """
    if not schedules:
        raise ValueError("chained: expects at least one schedule")
    parts = tuple([_check("chained", s) for s in schedules])
    return Schedule(_chained, (parts,), longest([s.steps for s in parts]), f"chained({', '.join(map(repr, parts))})")


_check = schedule  # `schedule` is also an argument's name


class _Product:
    """f(1) ... f(n), remembered for the largest n that was asked for and all smaller ones."""

    def __init__(self, f: Callable[[int], float]) -> None:
        self.f, self.known = f, [1.0]

    def __call__(self, t: float) -> float:
        n = math.floor(t)
        while len(self.known) <= n:
            self.known.append(self.known[-1] * self.f(len(self.known)))
        return self.known[n]


def _function(t, f):
    return f(t)


def _warmup(t, n, s, start):
    return (start + (1 - start) * ((t + 1) / n)) * s(0) if t < n else s(t - n)


def _sequence(t, parts, begins):
    i = bisect_right(begins, t) - 1
    return parts[i](t - begins[i])


def _chained(t, parts):
    return math.prod([s(t) for s in parts])


ENDS[_warmup] = lambda n, s, start: None if s.ends is None else n + s.ends
ENDS[_sequence] = lambda parts, begins: None if parts[-1].ends is None else begins[-1] + parts[-1].ends
ENDS[_chained] = lambda parts: product_ends(*parts)
