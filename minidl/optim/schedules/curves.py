"""The schedules by formula, each of which gives its value at any step at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

from ..checks import number, whole
from .schedule import Schedule, choice


def constant(value: float = 1.0) -> Schedule:
    """value, at every step.

    When to use it: for short runs, for comparisons of everything else, and as the last part of a sequence.

    >>> constant(0.5).values(3)
    [0.5, 0.5, 0.5]
    """
    return Schedule(_constant, (number("constant", "value", value),), None, f"constant({value})")


def linear(start: float, end: float, steps: int) -> Schedule:
    """start + (end - start) t / steps: from start at step 0 to end at step `steps`, where it stays.

    When to use it: up, as a warmup (P. Goyal et al., Accurate, large minibatch SGD, 2017, arXiv 1706.02677); down to 0,
    as a decay that is about as good as the cosine and needs no tuning.

    >>> linear(0.5, 1.0, 4).values(6)
    [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    """
    numbers = number("linear", "start", start), number("linear", "end", end), whole("linear", "steps", steps)
    return Schedule(_linear, numbers, numbers[2], f"linear({start}, {end}, {steps})")


def step(every: int, gamma: float = 0.1) -> Schedule:
    """gamma^floor(t / every): times gamma at every so many steps.

    When to use it: to repeat the classic recipes of image classification (K. He et al., Deep residual learning, 2015,
    arXiv 1512.03385). It shows how much a lower rate gains at once.

    >>> step(2, 0.5).values(6)
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    numbers = whole("step", "every", every), number("step", "gamma", gamma, 0)
    return Schedule(_step, numbers, None, f"step({every}, {gamma})")


def multistep(milestones: Iterable[int], gamma: float = 0.1) -> Schedule:
    """gamma^(number of milestones <= t): times gamma at each milestone.

    When to use it: as `step`, with drops where the loss had stopped falling; one that is listed twice counts twice.
    Source: as of `step`.

    >>> multistep([2, 5], 0.5).values(7)
    [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    """
    marks = [whole("multistep", f"milestones[{i}]", m, 0) for i, m in enumerate(milestones)]
    if marks != sorted(marks):
        raise ValueError(f"multistep: milestones must be in order, got {marks}")
    numbers = tuple(marks), number("multistep", "gamma", gamma, 0)
    return Schedule(_multistep, numbers, None, f"multistep({marks}, {gamma})")


def exponential(gamma: float) -> Schedule:
    """gamma^t.

    When to use it: where the length of the run is not known; gamma close to 1, such as 0.01^(1/n) to fall to a
    hundredth in n steps. Above 1 it is the sweep of a learning-rate range test (L. Smith, Cyclical learning rates for
    training neural networks, 2015, arXiv 1506.01186).

    >>> exponential(0.5).values(4)
    [1.0, 0.5, 0.25, 0.125]
    """
    return Schedule(_exponential, (number("exponential", "gamma", gamma, 0),), None, f"exponential({gamma})")


def polynomial(steps: int, power: float = 1.0, end: float = 0.0) -> Schedule:
    """end + (1 - end) (1 - t / steps)^power, end from step `steps` on.

    When to use it: power 0.9 for segmentation (L.-C. Chen et al., DeepLab, 2016, arXiv 1606.00915), power 1 for
    fine-tuning, power 2 to spend longer at small rates.

    >>> [round(v, 4) for v in polynomial(4, power=2.0).values(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """
    length, power = whole("polynomial", "steps", steps), number("polynomial", "power", power, 0)
    return Schedule(
        _polynomial,
        (length, power, number("polynomial", "end", end)),
        length,
        f"polynomial({steps}, power={power}, end={end})",
    )


def cosine(steps: int, end: float = 0.0) -> Schedule:
    """end + (1 - end) (1 + cos(pi t / steps)) / 2: from 1 at step 0 smoothly to end at step `steps`, where it stays.

    When to use it: the usual choice when the length of the run is known, nearly always after a short warmup. Cut short
    it is bad, since most of the fall comes late. Source: I. Loshchilov and F. Hutter, SGDR: stochastic gradient descent
    with warm restarts, ICLR 2017, arXiv 1608.03983.

    >>> [round(v, 3) for v in cosine(4).values(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    numbers = whole("cosine", "steps", steps), number("cosine", "end", end)
    return Schedule(_cosine, numbers, numbers[0], f"cosine({steps})" if end == 0 else f"cosine({steps}, end={end})")


def cosine_wave(half: int, end: float = 0.0) -> Schedule:
    """The formula of `cosine` without its end: down to end for `half` steps, up to 1 for as many, and so on.

    When to use it: for snapshots in the valleys, and where PyTorch's CosineAnnealingLR is to be repeated beyond T_max.
    Source: as of `cosine`.

    >>> [round(v, 3) for v in cosine_wave(2).values(6)]
    [1.0, 0.5, 0.0, 0.5, 1.0, 0.5]
    """
    numbers = whole("cosine_wave", "half", half), number("cosine_wave", "end", end)
    return Schedule(_cosine, numbers, None, f"cosine_wave({half}, end={end})")


def warm_restarts(first: int, growth: float = 1, end: float = 0.0) -> Schedule:
    """Cosines from 1 to end one after the other, the first `first` steps long, each `growth` times as long as the last.

        end + (1 - end) (1 + cos(pi u / T)) / 2        u steps into a period of T = first growth^i steps

    When to use it: where a usable model is wanted at several moments of one run, or an ensemble of the models at the
    ends of the periods. Source: as of `cosine`.

    >>> [round(v, 3) for v in warm_restarts(2, growth=2).values(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """
    where = "warm_restarts"
    numbers = whole(where, "first", first), number(where, "growth", growth, 1), number(where, "end", end)
    return Schedule(_warm_restarts, numbers, None, f"warm_restarts({first}, growth={growth}, end={end})")


def cyclic(
    low: float, high: float, up: int, down: int | None = None, mode: str = "triangular", gamma: float = 1.0
) -> Schedule:
    """Triangles: from low to high in `up` steps and back in `down` (as many, by default), and so on.

        low + (high - low) s x        x from 0 up to 1 and back; s = 1 (mode "triangular"),
                                      2^-i in period i = 0, 1, ... ("triangular2"), gamma^t ("exp_range")

    When to use it: to find a good rate and train in one, and to leave saddle points. Source: L. Smith, Cyclical
    learning rates for training neural networks, 2015, arXiv 1506.01186.

    >>> cyclic(0.0, 1.0, 2, mode="triangular2").values(8)
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    """
    rise = whole("cyclic", "up", up)
    fall = rise if down is None else whole("cyclic", "down", down)
    mode = choice("cyclic", "mode", mode, ("triangular", "triangular2", "exp_range"))
    numbers = number("cyclic", "low", low), number("cyclic", "high", high), rise, fall, mode
    text = f"cyclic({low}, {high}, {rise}, {fall}" + (f", mode='{mode}'" if mode != "triangular" else "")
    text += f", gamma={gamma})" if mode == "exp_range" else ")"
    return Schedule(_cyclic, (*numbers, number("cyclic", "gamma", gamma, 0)), None, text)


def one_cycle(
    steps: int,
    warmup: float = 0.3,
    start: float = 1 / 25,
    end: float = 1e-4 / 25,
    anneal: str = "cos",
    three_phase: bool = False,
) -> Schedule:
    """Up from start to 1 over the fraction `warmup` of the steps, then down to end, which step `steps` - 1 has.

    anneal: "cos" half a cosine each, "linear" straight lines. three_phase: down to start as fast as up, then to end.

    When to use it: for short runs at high rates, together with `one_cycle_momentum`. Source: L. Smith and N. Topin,
    Super-convergence: very fast training of neural networks using large learning rates, 2017, arXiv 1708.07120 (three
    phases, linear); two phases and the cosine are fast.ai's.

    >>> [round(v, 3) for v in one_cycle(10).values(12)]
    [0.04, 0.52, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05, 0.0, 0.0, 0.0]
    """
    levels = number("one_cycle", "start", start), 1.0, number("one_cycle", "end", end)
    points = one_cycle_points("one_cycle", steps, warmup, three_phase)
    values = (levels[0], 1.0, levels[0], levels[2]) if three_phase else levels
    text = f"one_cycle({steps}, warmup={warmup}, start={start:.6g}, end={end:.6g}, anneal='{anneal}'"
    text += ", three_phase=True)" if three_phase else ")"
    return Schedule(along, (points, values, _anneal("one_cycle", anneal)), int(steps), text)


def one_cycle_momentum(
    steps: int,
    low: float = 0.85,
    high: float = 0.95,
    warmup: float = 0.3,
    anneal: str = "cos",
    three_phase: bool = False,
) -> Schedule:
    """The momentum that belongs to `one_cycle`: from high down to low while the rate rises, then back to high.

    When to use it: with `one_cycle`, as SGD's momentum or Adam's beta1. Source: as of `one_cycle`.

    >>> [round(v, 3) for v in one_cycle_momentum(10).values(10)]
    [0.95, 0.9, 0.85, 0.855, 0.869, 0.889, 0.911, 0.931, 0.945, 0.95]
    """
    where = "one_cycle_momentum"
    high, low = number(where, "high", high), number(where, "low", low)
    points = one_cycle_points(where, steps, warmup, three_phase)
    values = (high, low, high, high) if three_phase else (high, low, high)
    text = f"{where}({steps}, low={low}, high={high}, warmup={warmup}, anneal='{anneal}'"
    text += ", three_phase=True)" if three_phase else ")"
    return Schedule(along, (points, values, _anneal(where, anneal)), int(steps), text)


def inverse_sqrt(warmup: int) -> Schedule:
    """min(n / warmup, sqrt(warmup / n)) at update n = t + 1: up to 1 in `warmup` steps, then as 1 / sqrt(n).

    When to use it: for transformers in runs of open length. Source: A. Vaswani et al., Attention is all you need, 2017,
    arXiv 1706.03762, scaled so that the peak is 1.

    >>> [round(v, 3) for v in inverse_sqrt(2).values(8)]
    [0.5, 1.0, 0.816, 0.707, 0.632, 0.577, 0.535, 0.5]
    """
    return Schedule(_inverse_sqrt, (whole("inverse_sqrt", "warmup", warmup), 1.0), None, f"inverse_sqrt({warmup})")


def noam(width: int, warmup: int) -> Schedule:
    """width^-0.5 min(n^-0.5, n warmup^-1.5) at update n = t + 1: the rate itself, so lr is 1 or a small number.

    When to use it: to repeat the transformer's paper. Its peak is 1 / sqrt(width warmup). Source: A. Vaswani et al.,
    Attention is all you need, 2017, arXiv 1706.03762, equation 3.

    >>> [round(v, 6) for v in noam(512, 4000).values(2)], round(noam(512, 4000)(3999), 6)
    ([0.0, 0.0], 0.000699)
    """
    width, warmup = whole("noam", "width", width), whole("noam", "warmup", warmup)
    return Schedule(_inverse_sqrt, (warmup, (width * warmup) ** -0.5), None, f"noam({width}, {warmup})")


def inverse_time(rate: float, every: int = 1, staircase: bool = False) -> Schedule:
    """1 / (1 + rate t / every), with staircase only at multiples of `every` steps.

    When to use it: where theory asks for steps that sum to infinity while their squares do not (H. Robbins and
    S. Monro, A stochastic approximation method, 1951); in practice slower than a decay that ends.

    >>> [round(v, 3) for v in inverse_time(0.5).values(4)], inverse_time(1.0, every=2, staircase=True).values(4)
    ([1.0, 0.667, 0.5, 0.4], [1.0, 1.0, 0.5, 0.5])
    """
    numbers = number("inverse_time", "rate", rate, 0), whole("inverse_time", "every", every), bool(staircase)
    text = f"inverse_time({rate}, every={every}" + (", staircase=True)" if staircase else ")")
    return Schedule(_inverse_time, numbers, None, text)


def piecewise(points: Iterable[tuple[int, float]]) -> Schedule:
    """Straight lines between points (step, value), the first value before the first one and the last after the last.

    When to use it: for what has no name, such as a trapezoid: up, long at 1, and down at the end (A. Hägele et al.,
    Scaling laws and compute-optimal training beyond fixed training durations, 2024, arXiv 2405.18392).

    >>> piecewise([(0, 0.5), (2, 1.0), (6, 1.0), (8, 0.0)]).values(10)
    [0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    pairs = list(points)
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"piecewise: points must be pairs (step, value), at least one, got {pairs}")
    steps = tuple([whole("piecewise", f"the step of point {i}", x, 0) for i, (x, _) in enumerate(pairs)])
    values = tuple([number("piecewise", f"the value of point {i}", y) for i, (_, y) in enumerate(pairs)])
    if any(a >= b for a, b in zip(steps, steps[1:], strict=False)):
        raise ValueError(f"piecewise: the steps of the points must rise, got {list(steps)}")
    return Schedule(along, (steps, values, linear_path), steps[-1], f"piecewise({pairs})")


# ------------------------------------------------------------------------------------------------- the formulas
def _constant(t, value):
    return value


def _linear(t, start, end, steps):
    return start + (end - start) * (t / steps)


def _step(t, every, gamma):
    return gamma ** (t // every)


def _multistep(t, milestones, gamma):
    return gamma ** bisect_right(milestones, t)


def _exponential(t, gamma):
    return gamma**t


def _polynomial(t, steps, power, end):
    return end + (1 - end) * (1 - t / steps) ** power


def _cosine(t, steps, end):
    return end + (1 - end) * (0.5 * (1 + math.cos(math.pi * t / steps)))


def period(t: float, first: float, growth: float) -> tuple[float, float]:
    """How many steps t is into its period, and how long that is; they begin with `first` and grow by `growth`."""
    if growth == 1:
        return t % first, first
    i = max(0, int(math.log(t / first * (growth - 1) + 1, growth)) - 1)  # one less, since log is rounded
    begin, length = first * (growth**i - 1) / (growth - 1), first * growth**i
    while t >= begin + length:
        begin, length = begin + length, length * growth
    return t - begin, length


def _warm_restarts(t, first, growth, end):
    return _cosine(*period(t, first, growth), end)


def _cyclic(t, low, high, up, down, mode, gamma):
    i, u = divmod(t, up + down)
    x = u / up if u <= up else (up + down - u) / down
    return low + (high - low) * x * (1.0 if mode == "triangular" else 2.0**-i if mode == "triangular2" else gamma**t)


def one_cycle_points(where: str, steps: int, warmup: float, three_phase: bool) -> tuple[float, ...]:
    """The steps between which `one_cycle` goes from one level to the next; PyTorch's, which may be fractions."""
    steps, part = whole(where, "steps", steps), number(where, "warmup", warmup, 0, 1)
    if three_phase and part > 0.5:
        raise ValueError(f"{where}: warmup must be <= 0.5 with three phases, of which it is two, got {warmup}")
    return (0.0, part * steps - 1, *([2 * part * steps - 2] if three_phase else []), steps - 1.0)


def cosine_path(start: float, end: float, x: float) -> float:
    """From start at x = 0 to end at x = 1 along half a cosine."""
    return end + (start - end) / 2.0 * (math.cos(math.pi * x) + 1)


def linear_path(start: float, end: float, x: float) -> float:
    """From start at x = 0 to end at x = 1 along a line."""
    return (end - start) * x + start


PATHS = {"cos": cosine_path, "linear": linear_path}


def _anneal(where: str, name: str):
    return PATHS[choice(where, "anneal", name, tuple(PATHS))]


def along(t, points, values, path):
    if t >= points[-1]:
        return values[-1]
    begin = points[0]
    for i, end in enumerate(points[1:]):
        if t <= end:
            return (
                values[i + 1] if end <= begin else path(values[i], values[i + 1], max(0.0, t - begin) / (end - begin))
            )
        begin = end
    return values[-1]


def _inverse_sqrt(t, warmup, peak):
    n = t + 1
    return peak * min(n / warmup, math.sqrt(warmup / n))


def _inverse_time(t, rate, every, staircase):
    return 1 / (1 + rate * (t // every if staircase else t / every))
