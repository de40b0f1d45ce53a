"""Update rules in a race: each runs down a function of two numbers, at the rate that suits it best.

Nothing here is drawn; see `race_plot`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..backend.random import Generator
from ..optim import Optimizer, names
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
        (
            (3.0, 2.0), (-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.2831859912861696),
            (3.5844283403304917, -1.8481265269644036),
        ),
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
_OWN: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 1e-3},  # or it is drawn to 0 rather than to a minimum
    "lbfgs": {"max_iter": 1, "max_eval": 25, "line_search_fn": "strong_wolfe"},  # a step is one of its iterations
}
_OTHERS = ("muon", "switch")  # the one needs matrices, the other epochs
RULES: dict[str, Callable[..., Optimizer]] = {
    name: partial(make, **_OWN.get(name, {})) for name, make in names.RULES.items() if name not in _OTHERS
}
SEARCHING = ("lbfgs",)  # rules that search along a line: their rate is only where the search begins
USUAL = ("descent", "sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "lbfgs")


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
    gradients: int  # how often the gradient was computed until it arrived, or in all
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

    @property
    def rate_told(self) -> str:
        """What is said of the rate: nothing that invites copying where a search decides."""
        return "line search" if self.rule in SEARCHING else f"{self.rate:.3g}"


def standings(runs: Sequence[Run]) -> list[Run]:
    """The runs, the best first: who arrived earlier, then who ended lower."""

    def key(run: Run) -> tuple[float, float]:
        end = float(run.losses[-1])
        return math.inf if run.arrived is None else run.arrived, math.inf if run.diverged or math.isnan(end) else end

    return sorted(runs, key=key)


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
    optimizer = RULES[rule]([w], lr=rate)
    if s.noise:
        optimizer.transform(Noise(s.noise**2, gamma=0.0, generator=Generator(s.seed)))

    def closure():
        nonlocal gradients
        gradients += 1
        optimizer.zero_grad()
        loss = f(w[0], w[1])
        loss.backward()
        return loss

    path, spent = [s.start], [0]
    with np.errstate(all="ignore"):  # what diverges may overflow
        for t in range(1, s.steps + 1):
            optimizer.step(closure)
            path.append(_place(optimizer, w))
            spent.append(gradients)
            if not np.abs(path[-1]).max() <= _FAR or (t == must and not f(*path[-1]) <= s.tolerance):
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
    note = _note(s, points, losses)
    return Run(rule, rate, factor, points, losses, spent[-1 if arrived is None else arrived], arrived, left, away, note)


def _place(optimizer: Any, w: Parameter) -> tuple[float, float]:
    """Where a rule is: of schedule-free ones the point that is for use."""
    if not hasattr(optimizer, "eval"):
        return tuple(w.array.tolist())
    training = w.array.copy()
    optimizer.eval()
    place = tuple(w.array.tolist())
    optimizer.train()
    w.write(training)  # to the last bit
    return place


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
    within = _within(settings, *path.T)
    if not np.abs(last).max() <= _FAR:
        return f"diverged at step {len(path) - 1}"
    if not within[-1]:
        first = int(np.argmin(within))  # the start is within
        return f"in and out from step {first}" if within[first:].any() else f"left the frame at step {first}"
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
    # who is merely slow has a slope to go down; at a saddle or another minimum there is none
    flat = _slope(settings.function, last) * size <= 1e-2 * losses[-1]
    return f"stuck at {place}" if flat and moved < 1e-4 * size else "still creeping"


def _slope(function: Function, point: np.ndarray) -> float:
    """The length of the gradient at a point."""
    w = Parameter(np.array(point, dtype=np.float64))
    function.f(w[0], w[1]).backward()
    assert w.grad is not None
    return math.hypot(*w.grad.array.tolist())
