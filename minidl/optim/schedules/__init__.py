"""Schedules: pure functions of the step for the rate, or for any other hyperparameter.

A schedule is called with the number of updates made so far, and gives a factor (of the rate), or the value itself:
`SGD(params, lr=0.1 * cosine(1000))`, `ScheduleLR(optimizer, cosine(1000))`. It can be combined, listed and plotted
without an optimizer.

    constant  linear  step  multistep  exponential  polynomial  cosine  cosine_wave  warm_restarts  cyclic
    one_cycle  one_cycle_momentum  inverse_sqrt  noam  inverse_time  piecewise  function  multiplicative
    warmup  sequence  chained        and Schedule's own *, /, +, -, then, delayed

`build` makes one by name for a run of a given length; `TimeBudget` stretches one over a time instead of steps.
"""

from .budget import TimeBudget, replay
from .combinations import chained, function, multiplicative, sequence, warmup
from .curves import (
    constant,
    cosine,
    cosine_wave,
    cyclic,
    exponential,
    inverse_sqrt,
    inverse_time,
    linear,
    multistep,
    noam,
    one_cycle,
    one_cycle_momentum,
    piecewise,
    polynomial,
    step,
    warm_restarts,
)
from .names import NAMES, build, options
from .schedule import Schedule

__all__ = [
    "NAMES",
    "Schedule",
    "TimeBudget",
    "build",
    "chained",
    "constant",
    "cosine",
    "cosine_wave",
    "cyclic",
    "exponential",
    "function",
    "inverse_sqrt",
    "inverse_time",
    "linear",
    "multiplicative",
    "multistep",
    "noam",
    "one_cycle",
    "one_cycle_momentum",
    "options",
    "piecewise",
    "polynomial",
    "replay",
    "sequence",
    "step",
    "warm_restarts",
    "warmup",
]
