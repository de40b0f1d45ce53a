"""Update rules in a race: each runs down a function of two numbers, at the rate that suits it best.

Nothing here is drawn; see `race_plot`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backend.random import Generator
from ..optim import (
    ASGD,
    LAMB,
    LBFGS,
    SGD,
    SWATS,
    AdaBound,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Lookahead,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from ..optim.transforms import Noise
from ..tensor import Parameter

RATES = tuple(10 ** (k / 3) for k in range(6, -13, -1))  # 100 to 0.0001, three in a factor of ten
_FAR = 1e6  # nobody comes back from there


# --------------------------------------------------------------------------------------------------------- functions
@dataclass(frozen=True)
class Function:
    """A function of two numbers whose minima are known and are 0.

    f: (x, y) -> value, of Python numbers, arrays and Tensors alike. frame: (x from, x to, y from, y to), what is drawn.
    """

    formula: str
    f: Callable[[Any, Any], Any]
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    frame: tuple[float, float, float, float]
    note: str


def _ravine(x, y):
    u, v = 0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x
    return u * u / 2 + 25 * v * v


FUNCTIONS = {
    "rosenbrock": Function(
        "(1 - x)^2 + 100 (y - x^2)^2", lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2, (-1.2, 1.0), ((1.0, 1.0),),
        (-2.0, 2.0, -1.0, 3.0), "a curved valley, steep across and nearly flat along",
    ),
    "beale": Function(
        "(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2",
        lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        (1.0, 1.5), ((3.0, 0.5),), (-1.0, 4.5, -1.5, 2.5), "a flat plain between steep corners",
    ),
    "himmelblau": Function(
        "(x^2 + y - 11)^2 + (x + y^2 - 7)^2", lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2, (0.2, -2.5),
        ((3.0, 2.0), (-2.805118, 3.131313), (-3.77931, -3.283186), (3.584428, -1.848127)),
        (-6.0, 6.0, -6.0, 6.0), "four minima, all as deep; which one is found is chance",
    ),
    "saddle": Function(
        "x^2 + (y^2 / 2 - 1)^2", lambda x, y: x * x + (y * y / 2 - 1) ** 2, (-1.6, 0.002),
        ((0.0, 2**0.5), (0.0, -(2**0.5))), (-2.0, 2.0, -2.2, 2.2), "a saddle on the way, which hardly pushes sideways",
    ),
    "ravine": Function(
        "u^2 / 2 + 25 v^2, u and v being x and y turned by 37 degrees", _ravine, (-1.0, 2.4), ((0.0, 0.0),),
        (-2.6, 2.6, -2.6, 2.6), "fifty times as steep across as along, and not along an axis",
    ),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- rules
RULES: dict[str, Callable[[list, float], Optimizer]] = {
    "sgd": lambda ps, lr: SGD(ps, lr=lr),
    "momentum": lambda ps, lr: SGD(ps, lr=lr, momentum=0.9),
    "nesterov": lambda ps, lr: SGD(ps, lr=lr, momentum=0.9, nesterov=True),
    "adagrad": lambda ps, lr: Adagrad(ps, lr=lr),
    "rmsprop": lambda ps, lr: RMSprop(ps, lr=lr),
    "adadelta": lambda ps, lr: Adadelta(ps, lr=lr),
    "adam": lambda ps, lr: Adam(ps, lr=lr),
    "amsgrad": lambda ps, lr: Adam(ps, lr=lr, amsgrad=True),
    "adamw": lambda ps, lr: AdamW(ps, lr=lr, weight_decay=1e-3),  # or it is drawn to 0 rather than to a minimum
    "nadam": lambda ps, lr: NAdam(ps, lr=lr),
    "radam": lambda ps, lr: RAdam(ps, lr=lr),
    "adamax": lambda ps, lr: Adamax(ps, lr=lr),
    "adabound": lambda ps, lr: AdaBound(ps, lr=lr),
    "adafactor": lambda ps, lr: Adafactor(ps, lr=lr),
    "lion": lambda ps, lr: Lion(ps, lr=lr),
    "lamb": lambda ps, lr: LAMB(ps, lr=lr),
    "rprop": lambda ps, lr: Rprop(ps, lr=lr),
    "asgd": lambda ps, lr: ASGD(ps, lr=lr),
    "swats": lambda ps, lr: SWATS(ps, lr=lr),
    "lookahead": lambda ps, lr: Lookahead(SGD(ps, lr=lr, momentum=0.9)),
    "lbfgs": lambda ps, lr: LBFGS(ps, lr=lr, max_iter=1, max_eval=25, line_search_fn="strong_wolfe"),
}
USUAL = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "lbfgs")


class Settings(NamedTuple):
    """What all runs of a race have in common."""

    function: Function
    start: tuple[float, float]
    steps: int = 200
    noise: float = 0.0  # standard deviation of what is added to every gradient
    seed: int = 0
    tolerance: float = 1e-4  # a loss of at most this is "there"


@dataclass(frozen=True)
class Run:
    """One rule at one rate. path: (steps + 1, 2), with the start; shorter if it left for good. losses: along it."""

    rule: str
    rate: float
    factor: float  # of the rate that suits the rule best
    path: np.ndarray
    losses: np.ndarray
    gradients: int  # how often the gradient was computed
    arrived: int | None  # the number of steps after which the loss is at most the tolerance, and stays so
    left: bool  # whether it was ever outside the frame
    distance: float  # of the last point from the nearest minimum
    note: str

    @property
    def diverged(self) -> bool:
        """Whether it left for good."""
        return not np.isfinite(self.path[-1]).all() or bool(np.abs(self.path[-1]).max() > _FAR)

    @property
    def label(self) -> str:
        """What legends call it: "adam", "adam x10"."""
        return self.rule if self.factor == 1 else f"{self.rule} x{self.factor:g}"


def race(
    settings: Settings,
    rules: Sequence[str] = USUAL,
    factors: Sequence[float] = (1.0,),
    rates: Sequence[float] = RATES,
    between: Callable[[], None] = lambda: None,
) -> list[Run]:
    """A run of each rule at each multiple of its best rate, in this order; the same search for every rule.

    The best of `rates` is, of those with which the rule never leaves the frame (so that no leap wins by luck), the one
    that reaches the tolerance, to stay below, in the fewest steps; or, if none does, the one with the lowest loss over
    the last tenth of the steps. between: called after every rule.
    """
    runs = []
    for rule in rules:
        best: Run | None = None
        for rate in rates:
            tried = run(settings, rule, rate, must=None if best is None or best.left else best.arrived)
            if best is None or _rank(tried) < _rank(best):
                best = tried
        if best is not None:
            runs += [best if f == 1 else run(settings, rule, f * best.rate, f) for f in factors]
        between()
    return runs


def run(settings: Settings, rule: str, rate: float, factor: float = 1.0, must: int | None = None) -> Run:
    """One rule at one rate, through minidl's own autograd.

    must: give up if it has not arrived after so many steps, or leaves the frame.
    """
    s, f, gradients = settings, settings.function.f, 0
    w = Parameter(np.array(s.start, dtype=np.float64))
    optimizer = RULES[rule]([w], rate)
    if s.noise:
        optimizer.transform(Noise(s.noise**2, gamma=0.0, generator=Generator(s.seed)))

    def closure():
        nonlocal gradients
        gradients += 1
        optimizer.zero_grad()
        loss = f(w[0], w[1])
        loss.backward()
        return loss

    path = [s.start]
    with np.errstate(all="ignore"):  # what diverges may overflow
        for t in range(1, s.steps + 1):
            optimizer.step(closure)
            path.append(tuple(w.array.tolist()))
            if not np.abs(w.array).max() <= _FAR or (t == must and not f(*path[-1]) <= s.tolerance):
                break
            if must is not None and not _within(s, *path[-1]):
                break
        points = np.array(path)
        losses = np.asarray(f(points[:, 0], points[:, 1]))
    below = losses <= s.tolerance
    above = np.flatnonzero(~below)
    arrived = (int(above[-1]) + 1 if above.size else 0) if below[-1] else None
    left = not _within(s, *points.T).all()
    away = min(math.dist(points[-1], m) if np.isfinite(points[-1]).all() else math.inf for m in s.function.minima)
    return Run(rule, rate, factor, points, losses, gradients, arrived, left, away, _note(s, points, losses))


def frame_of(settings: Settings) -> tuple[float, float, float, float]:
    """The function's frame, wide enough for the start: (x from, x to, y from, y to)."""
    (x, y), (x0, x1, y0, y1) = settings.start, settings.function.frame
    dx, dy = 0.04 * (x1 - x0), 0.04 * (y1 - y0)
    return min(x0, x - dx), max(x1, x + dx), min(y0, y - dy), max(y1, y + dy)


def _within(settings: Settings, x, y):
    """Whether a point, or each of several, is in the frame."""
    x0, x1, y0, y1 = frame_of(settings)
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)


def _rank(run: Run) -> tuple[bool, float, float]:
    """The smaller the better."""
    end = float(run.losses[-max(1, len(run.losses) // 10) :].mean())
    lost = run.diverged or not math.isfinite(end)
    return run.left, math.inf if run.arrived is None else run.arrived, math.inf if lost else end


def _note(settings: Settings, path: np.ndarray, losses: np.ndarray) -> str:
    """What became of a run, in a few words."""
    x0, x1, y0, y1 = frame_of(settings)
    last, size = path[-1], math.hypot(x1 - x0, y1 - y0)
    inside = np.flatnonzero(_within(settings, *path.T))  # the start is
    if not np.abs(last).max() <= _FAR:
        return f"diverged at step {len(path) - 1}"
    if inside[-1] < len(path) - 1:
        return f"left the frame at step {int(inside[-1]) + 1}"
    nearest = min(settings.function.minima, key=lambda m: math.dist(last, m))
    here, place = (f"({round(x, 2):g}, {round(y, 2):g})" for x, y in (nearest, last))
    if losses[-1] <= settings.tolerance:
        return f"at {here}" if len(settings.function.minima) > 1 else "there"
    if (losses <= settings.tolerance).any():
        return f"does not stay at {here}"
    tail = path[-max(2, len(path) // 10) :]
    moved = math.dist(tail[0], tail[-1])
    wandered = float(np.hypot(*np.diff(tail, axis=0).T).sum())
    if moved > 2e-3 * size:
        return "still moving"
    if wandered > 2e-2 * size:
        return f"jumps to and fro near {here}" if math.dist(last, nearest) < 0.1 * size else "jumps to and fro"
    return f"stuck at {place}" if moved < 1e-4 * size else "still creeping"
