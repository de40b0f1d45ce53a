"""The schedules, each against its formula as it stands in the paper or the docstring, written once more."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

from minidl.optim import SGD, Joint, Lookahead, Switch, transforms
from minidl.optim import schedules as S
from minidl.optim.switch import after
from minidl.tensor import Parameter
from minidl.train.loop import _compare_lengths

COS = math.cos
PI = math.pi


def restarted(t, first, growth, end):
    length = first
    while t >= length:
        t, length = t - length, length * growth
    return end + (1 - end) * (1 + COS(PI * t / length)) / 2


def triangle(t, low, high, up, down, scale=lambda t, cycle: 1.0):
    cycle, u = t // (up + down), t % (up + down)
    return low + (high - low) * min(u / up, (up + down - u) / down) * scale(t, cycle)


def cycle(t, marks, levels, cosine):
    if t >= marks[-1]:
        return levels[-1]
    i = next(i for i in range(1, len(marks)) if t <= marks[i])
    x = (t - marks[i - 1]) / (marks[i] - marks[i - 1])
    a, b = levels[i - 1], levels[i]
    return a + (b - a) * ((1 - COS(PI * x)) / 2 if cosine else x)


def third(t):
    return 0.9 if int(t) % 3 else 0.7


def product(t):
    value = 1.0
    for i in range(1, int(t) + 1):
        value *= third(i)
    return value


# name -> a schedule, its length, its formula
FORMULAS = {
    "constant": (S.constant(0.3), None, lambda t: 0.3),
    "linear": (S.linear(0.2, 1.5, 40), 40, lambda t: 0.2 + 1.3 * min(t, 40) / 40),
    "step": (S.step(7, 0.4), None, lambda t: 0.4 ** math.floor(t / 7)),
    "multistep": (S.multistep([5, 20, 20, 33], 0.5), None, lambda t: 0.5 ** sum(t >= m for m in (5, 20, 20, 33))),
    "exponential": (S.exponential(0.93), None, lambda t: math.exp(t * math.log(0.93))),
    "polynomial": (S.polynomial(50, 1.7, 0.1), 50, lambda t: 0.1 + 0.9 * (1 - min(t, 50) / 50) ** 1.7),
    "cosine": (S.cosine(45, 0.05), 45, lambda t: 0.05 + 0.95 * (1 + COS(PI * min(t, 45) / 45)) / 2),
    "cosine_wave": (S.cosine_wave(12, 0.1), None, lambda t: 0.1 + 0.9 * (1 + COS(PI * t / 12)) / 2),
    "warm_restarts": (S.warm_restarts(9, 1, 0.01), None, lambda t: restarted(t, 9, 1, 0.01)),
    "warm_restarts by 2": (S.warm_restarts(5, 2, 0.01), None, lambda t: restarted(t, 5, 2, 0.01)),
    "warm_restarts by 3": (S.warm_restarts(1, 3), None, lambda t: restarted(t, 1, 3, 0)),
    "warm_restarts by 1.5": (S.warm_restarts(8, 1.5), None, lambda t: restarted(t, 8, 1.5, 0)),
    "cyclic": (S.cyclic(0.1, 0.8, 5, 11), None, lambda t: triangle(t, 0.1, 0.8, 5, 11)),
    "cyclic, 2": (
        S.cyclic(0.1, 0.8, 5, mode="triangular2"),
        None,
        lambda t: triangle(t, 0.1, 0.8, 5, 5, lambda t, i: 0.5**i),
    ),
    "cyclic, range": (
        S.cyclic(0.1, 0.8, 5, mode="exp_range", gamma=0.97),
        None,
        lambda t: triangle(t, 0.1, 0.8, 5, 5, lambda t, i: 0.97**t),
    ),
    "one_cycle": (S.one_cycle(61), 61, lambda t: cycle(t, (0, 17.3, 60), (0.04, 1, 4e-6), True)),
    "one_cycle in lines": (
        S.one_cycle(50, 0.2, 0.1, 0.01, "linear"),
        50,
        lambda t: cycle(t, (0, 9, 49), (0.1, 1, 0.01), False),
    ),
    "one_cycle, three": (
        S.one_cycle(50, 0.4, 0.1, 0.01, three_phase=True),
        50,
        lambda t: cycle(t, (0, 19, 38, 49), (0.1, 1, 0.1, 0.01), True),
    ),
    "one_cycle_momentum": (
        S.one_cycle_momentum(50, 0.8, 0.9, 0.4),
        50,
        lambda t: cycle(t, (0, 19, 49), (0.9, 0.8, 0.9), True),
    ),
    "inverse_sqrt": (S.inverse_sqrt(10), None, lambda t: min((t + 1) / 10, math.sqrt(10 / (t + 1)))),
    "noam": (S.noam(512, 10), None, lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 10**-1.5)),
    "inverse_time": (S.inverse_time(0.3, 4), None, lambda t: 1 / (1 + 0.3 * t / 4)),
    "inverse_time in stairs": (S.inverse_time(0.3, 4, True), None, lambda t: 1 / (1 + 0.3 * math.floor(t / 4))),
    "piecewise": (
        S.piecewise([(3, 0.5), (10, 1.0), (40, 0.0)]),
        40,
        lambda t: 0.5 if t < 3 else 0.5 + (t - 3) / 14 if t < 10 else max(0, 1 - (t - 10) / 30),
    ),
    "function": (S.function(lambda t: 1 / (2 + t), steps=30), 30, lambda t: 1 / (2 + min(t, 30))),
    "multiplicative": (S.multiplicative(third), None, product),
    "warmup": (S.warmup(8, S.exponential(0.9), 0.2), None, lambda t: 0.2 + 0.1 * (t + 1) if t < 8 else 0.9 ** (t - 8)),
    "sequence": (
        S.sequence([S.constant(0.1), S.cosine(20), S.constant(2.0)], [5, 15]),
        None,
        lambda t: 0.1 if t < 5 else 2.0 if t >= 15 else (1 + COS(PI * (t - 5) / 20)) / 2,
    ),
    "chained": (S.chained(S.linear(0.5, 1, 10), S.exponential(0.9)), None, lambda t: 0.9**t * min(1, 0.5 + t / 20)),
    "then": (S.linear(0, 1, 10).then(S.cosine(20)), 30, lambda t: t / 10 if t < 10 else S.cosine(20)(t - 10)),
    "delayed": (S.cosine(20).delayed(7), 27, lambda t: S.cosine(20)(max(0, t - 7))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_schedule_has_its_formula(name):
    schedule, steps, formula = FORMULAS[name]
    assert schedule.steps == steps
    for t in [*range(150), *[i / 7 + 0.01 for i in range(1000)]]:
        assert schedule(t) == pytest.approx(formula(t), rel=1e-12, abs=1e-14), t
        assert type(schedule(t)) is float
    if steps is not None:
        assert schedule(steps) == schedule(10 * steps)
        assert schedule.values() == [schedule(t) for t in range(steps)]


def test_every_builder_is_tested():
    builders = {n for n in S.__all__ if n[0].islower()} - {"build", "options", "replay"}
    assert builders <= {name.split(" ")[0].rstrip(",") for name in FORMULAS}


def test_a_count_from_one_would_be_noticed():
    late = S.function(lambda t: S.cosine(45, 0.05)(t + 1))
    formula = FORMULAS["cosine"][2]
    assert any(late(t) != pytest.approx(formula(t), rel=1e-12) for t in range(46))


def test_restarts_fall_on_whole_steps():
    # where a logarithm that is rounded down would be one period late
    for growth in (2, 3, 5, 6, 7, 10):
        s, begin, length = S.warm_restarts(3, growth), 0, 3
        while begin < 10**9:
            assert s(begin) == 1.0 and (begin == 0 or s(begin - 1) < 1.0)
            begin, length = begin + length, length * growth


@pytest.mark.parametrize("t", [0, 1, 4, 7, 100])
def test_algebra(t):
    s, r = S.exponential(0.9), S.cosine(7, 0.1)
    for combined, value in (
        (2 * s, 2 * s(t)), (s * 2, 2 * s(t)), (s * r, s(t) * r(t)), (s / 4, s(t) / 4), (s + 1, s(t) + 1),
        (1 + s, s(t) + 1), (s - r, s(t) - r(t)), (1 - s, 1 - s(t)), (-s, -s(t)), (s / r, s(t) / r(t)),
        (0.1 * (s + r) * 3, 0.3 * (s(t) + r(t))),
    ):  # fmt: skip
        assert combined(t) == pytest.approx(value, rel=1e-15)


def test_lengths_of_combinations():
    short, long, endless = S.cosine(5), S.linear(1, 0, 9), S.constant()
    assert (short * long).steps == (short + long).steps == 9 and (short * endless).steps is None
    assert (2 * short).steps == 5 and S.chained(short, long).steps == 9 and S.warmup(3, short).steps == 8
    assert short.then(long).steps == 14 and short.then(endless).steps is None
    assert (short * long)(7) == 0.0 and S.warmup(0, short) is short


def test_words_can_be_evaluated():
    s, r = S.exponential(0.9), S.cosine(7, 0.1)
    for x in (
        2 * s, (s + 1) * 2, s - (r - 1), s / (r * 2), (2 * r).then(s), (r + 1).delayed(3),
        S.warmup(3, 2 * r, 0.5), S.sequence([s, r], [4]), S.chained(s, r), S.one_cycle(9, three_phase=True),
        S.cyclic(0, 1, 3, mode="exp_range", gamma=0.9), S.piecewise([(0, 1.0), (4, 2.0)]), S.inverse_time(0.1, 2, True),
        S.multistep([1, 2]), S.noam(8, 4), S.polynomial(5), S.warm_restarts(3), S.one_cycle_momentum(8), S.cosine(4),
    ):  # fmt: skip
        again = eval(repr(x), vars(S))
        assert again == x or again.values(12) == x.values(12), x


def test_schedules_do_not_change_and_can_be_copied():
    s = 0.1 * S.warmup(3, S.cosine(7)).then(S.constant())
    with pytest.raises(AttributeError, match="cannot be changed"):
        s.steps = 3
    for again in (copy.deepcopy(s), pickle.loads(pickle.dumps(s))):
        assert again == s and hash(again) == hash(s) and again.values(20) == s.values(20) and repr(again) == repr(s)
    assert S.cosine(7) != S.cosine(8) and S.cosine(7) != 7


def test_a_product_calls_its_function_once_for_each_step():
    calls = []
    s = S.multiplicative(lambda t: calls.append(t) or 0.5)
    assert [s(t) for t in (3, 1, 2, 3, 4)] == [0.125, 0.5, 0.25, 0.125, 0.0625] and calls == [1, 2, 3, 4]


BAD = {
    "cosine: steps must be a whole number >= 1, got 0": lambda: S.cosine(0),
    "cosine: steps must be a whole number >= 1, got 2.5": lambda: S.cosine(2.5),
    "linear: steps must be a whole number >= 1, got -3": lambda: S.linear(0, 1, -3),
    "linear: start must be a finite number, got nan": lambda: S.linear(math.nan, 1, 3),
    "constant: value must be a finite number, got inf": lambda: S.constant(math.inf),
    "step: every must be": lambda: S.step(0),
    "step: gamma must be a finite number >= 0, got -1": lambda: S.step(3, -1),
    "multistep: milestones must be in order": lambda: S.multistep([5, 3]),
    "multistep: milestones.1. must be a whole number >= 0, got -3": lambda: S.multistep([5, -3]),
    "exponential: gamma": lambda: S.exponential(-0.5),
    "polynomial: power": lambda: S.polynomial(5, -1),
    "warm_restarts: growth must be a finite number >= 1": lambda: S.warm_restarts(5, 0.5),
    "cyclic: mode must be one of 'triangular'": lambda: S.cyclic(0, 1, 5, mode="saw"),
    "cyclic: down must be": lambda: S.cyclic(0, 1, 5, 0),
    "one_cycle: warmup must be a finite number >= 0 and <= 1, got 1.5": lambda: S.one_cycle(5, 1.5),
    "one_cycle: warmup must be <= 0.5 with three phases": lambda: S.one_cycle(5, 0.6, three_phase=True),
    "one_cycle: anneal must be one of 'cos', 'linear', got 'sin'": lambda: S.one_cycle(5, anneal="sin"),
    "noam: warmup": lambda: S.noam(512, 0),
    "inverse_time: rate": lambda: S.inverse_time(-1),
    "piecewise: the steps of the points must rise": lambda: S.piecewise([(3, 1), (3, 2)]),
    "piecewise: points must be pairs": lambda: S.piecewise([]),
    "warmup: steps": lambda: S.warmup(-1, S.constant()),
    "sequence: 2 schedules need one milestone less, got 2": lambda: S.sequence([S.cosine(2)] * 2, [3, 4]),
    "sequence: milestones must be in order": lambda: S.sequence([S.cosine(2)] * 3, [4, 3]),
    "chained: expects at least one": lambda: S.chained(),
    "is endless, so nothing can come after": lambda: S.constant().then(S.cosine(3)),
    "is endless; say how many": lambda: S.constant().values(),
    "a step must be a finite number >= 0, got -1": lambda: S.cosine(3)(-1),
    "a step must be a finite number >= 0, got nan": lambda: S.cosine(3)(math.nan),
    "divided by 0": lambda: S.cosine(3) / 0,
    "the number must be a finite number, got inf": lambda: math.inf * S.cosine(3),
    "TimeBudget: seconds must be a finite number > 0": lambda: S.TimeBudget(0, S.cosine(3)),
    "TimeBudget: the schedule must have a length": lambda: S.TimeBudget(3, S.constant()),
    "replay: there are no": lambda: S.replay(S.cosine(3), []),
    "replay: fractions.0. must be": lambda: S.replay(S.cosine(3), [1.5]),
    "unknown schedule 'cosinus'; there are constant, linear": lambda: S.build("cosinus", 5),
    "'cosine' has no option 'gamma'; its options are: end": lambda: S.build("cosine", 5, gamma=2),
    "'cosine': warmup must be less than the 5 steps": lambda: S.build("cosine", 5, warmup=5),
    "'multistep': milestones must not lie in the warmup": lambda: S.build("multistep", 9, warmup=5, milestones=[4]),
}


@pytest.mark.parametrize("message", BAD)
def test_wrong_arguments_are_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()


def test_wrong_types_are_named():
    for wrong in (lambda: S.cosine("10"), lambda: S.function(3), lambda: S.warmup(3, 0.1), lambda: S.chained(0.1),
                  lambda: S.cosine(3) * "x", lambda: S.multiplicative(0.5), lambda: S.cosine(3).then(0.1)):  # fmt: skip
        with pytest.raises(TypeError):
            wrong()


# ------------------------------------------------------------------------------------------------------- by name
@pytest.mark.parametrize("name", S.NAMES)
@pytest.mark.parametrize(("steps", "warmup"), [(100, 0), (100, 10), (1, 0), (7, 3)])
def test_built_schedules_are_factors_of_the_peak(name, steps, warmup):
    values = S.build(name, steps, warmup).values(steps)
    assert all(0 <= v <= 1 for v in values) and (steps == 1 or max(values) > 0.9)
    if warmup == 10:
        rise = values[:10]
        assert rise == sorted(rise) and rise[0] > 0


def test_built_schedules_and_their_options():
    assert S.build("one-cycle", 100, 20).values() == S.one_cycle(100, 0.2).values()
    assert S.build("multistep", 100, 10, milestones=[50, 75]).values(100)[48:52] == [1.0, 1.0, 0.1, 0.1]
    assert S.build("noam", 100, 10, width=512) == S.noam(512, 10)
    assert S.build("noam", 100, 10).values(100) == S.build("inverse-sqrt", 100, 10).values(100)
    assert S.build("exponential", 100)(100) == pytest.approx(0.01)
    assert S.build("inverse-time", 100)(100) == pytest.approx(0.1)
    assert S.build("cosine", 60, 3).values(4)[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert S.options("cyclic") == dict(low=0.1, high=1.0, up=None, down=None, mode="triangular", gamma=1.0)
    for name in S.NAMES:  # None stands for the default, so that a command line can hand on what it has
        given = S.build(name, 40, 4, **S.options(name))
        assert given.values(40) == S.build(name, 40, 4).values(40)


# ------------------------------------------------------------------------------------------------ a budget of time
class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_time_budget_ends_at_the_deadline():
    clock, schedule = Clock(), S.warmup(100, S.cosine(900))
    budget, seen = S.TimeBudget(10, schedule, clock), []
    for step in range(30):
        seen.append(budget(step))
        assert budget(step) == seen[-1] and budget.finished is (clock.now - 1000.1 >= 10)
        clock.now += 0.1 + 0.05 * step  # steps that become slower
    assert seen[0] == seen[1] == schedule(0) and budget.fractions[2] == pytest.approx(0.015)
    assert max(seen) > 0.95 and seen[-1] == 0.0 == schedule(1000) and budget.fractions[-1] == 1.0
    peak = seen.index(max(seen))
    assert abs(budget.fractions[peak] - 0.1) < 0.06  # the warmup is over when a tenth of the time is
    replayed = S.replay(schedule, budget.fractions)
    assert replayed.values() == seen and replayed.steps == 30 and replayed(99) == seen[-1]
    assert (0.1 * S.replay(schedule, budget.fractions)).values() == [0.1 * v for v in seen]


def test_time_budget_goes_on_after_a_resume():
    clock, schedule = Clock(), S.cosine(1000)
    whole, first = (S.TimeBudget(10, schedule, clock) for _ in range(2))
    for step in range(5):
        whole(step), first(step)
        clock.now += 1
    state = first.state_dict()
    assert state == {"elapsed": 4.0, "fractions": [0.0, 0.0, 0.1, 0.2, 0.3]}
    later = Clock()
    later.now = 5.0
    second = S.TimeBudget(10, schedule, later)
    second.load_state_dict(state)
    later.now += 77  # loading data is not training
    for step in range(5, 13):
        assert second(step) == whole(step)
        clock.now += 1
        later.now += 1
    assert second.fractions == whole.fractions and second.finished
    with pytest.raises(ValueError, match="expected a state with the keys"):
        second.load_state_dict({"elapsed": 3})


def test_time_budget_fills_steps_that_were_left_out_and_can_be_copied():
    clock = Clock()
    budget = S.TimeBudget(10, S.linear(1, 0, 10), clock)
    budget.keep(0), budget.keep(1)
    clock.now += 4
    assert budget.keep(3) == budget(2) == pytest.approx(0.6) and budget.fractions == [0.0, 0.0, 0.4, 0.4]
    again = pickle.loads(pickle.dumps(budget))
    assert again.fractions == budget.fractions and again.elapsed == 4.0
    assert (0.5 * budget)(3) == 0.5 * budget(3)


def test_time_runs_from_the_second_step_on():
    clock = Clock()
    budget = S.TimeBudget(10, S.linear(1, 0, 10), clock)
    s, seen = 0.5 * budget, []
    s.keep(0)  # as an optimizer does when it is made
    clock.now += 9  # loading data is not training
    for step in range(4):
        assert not budget.finished
        seen.append(s.keep(step))
        clock.now += 4 if step == 0 else 2  # the first step is slow
    assert seen == [0.5, 0.5, pytest.approx(0.4), pytest.approx(0.3)] and budget.elapsed == 6


def test_looking_ahead_at_a_time_budget_changes_nothing():
    clock = Clock()
    budget = S.TimeBudget(10, S.linear(1, 0, 10), clock)
    assert [budget(k) for k in range(50)] == [1.0] * 50
    clock.now += 8
    for step in range(6):
        (2 * budget).keep(step)
        assert [budget(k) for k in range(50)][step + 1 :] == [budget(step + 1)] * (49 - step)
        clock.now += 1
    assert budget.fractions == [0.0, 0.0, 0.1, 0.2, 0.3, 0.4]
    by_hand = S.TimeBudget(10, S.linear(1, 0, 10), clock)
    by_hand(0), by_hand(7), by_hand(1)  # nothing follows it: the next step is kept, others are not
    clock.now += 1
    assert by_hand(7) == by_hand(2) == 0.9 and by_hand.fractions == [0.0, 0.0, 0.1]


def test_states_of_budgets_within_others():
    clock = Clock()

    def made():
        a, b = (S.TimeBudget(n, S.linear(1, 0, 10), clock) for n in (10, 20))
        return a, b, S.sequence([S.constant(), S.chained(0.1 * a, b + a)], [1]).delayed(0)

    a, b, s = made()
    for step in range(5):
        s.keep(step)
        clock.now += 1
    state = s.state_dict()
    assert state == {"0": a.state_dict(), "1": b.state_dict()} and len(a.fractions) == 4
    later_a, later_b, later = made()
    later.load_state_dict(copy.deepcopy(state))
    assert later.values(5) == s.values(5) and later_b.fractions == b.fractions
    for again in (copy.deepcopy(s), pickle.loads(pickle.dumps(S.replay(a.schedule, a.fractions) * 2))):
        assert again.state_dict() in (state, {})
    wrong = {**copy.deepcopy(state), "1": {"elapsed": -1, "fractions": []}}
    with pytest.raises(ValueError, match="elapsed must be a finite number >= 0"):
        a.load_state_dict({**a.state_dict(), "elapsed": -1})
    fresh_a, _, fresh = made()
    for bad in (wrong, {}, {"0": state["0"]}, None, {**state, "1": {}}):
        with pytest.raises(ValueError):
            fresh.load_state_dict(bad)
    assert fresh_a.fractions == []
    pure = 2 * S.warmup(3, S.cosine(9))
    assert pure.state_dict() == {} and pure.load_state_dict({}) is None
    with pytest.raises(ValueError, match="expected a state with the keys"):
        pure.load_state_dict(state)
    with pytest.raises(ValueError, match="has a time budget already"):
        S.TimeBudget(3, S.sequence([a, S.cosine(3)], [4]))


@pytest.mark.parametrize(("make", "ends"), [
    (lambda: S.exponential(0.9) * S.cosine(5), 5), (lambda: 0.1 * S.chained(S.constant(), S.cosine(5)), 5),
    (lambda: S.cosine(5) * S.cosine(9), 5), (lambda: S.linear(0.1, 1, 5) * S.exponential(0.9), None),
    (lambda: S.cosine(5, end=0.5) * S.linear(1, 2, 9), 9), (lambda: S.cosine(5), 5), (lambda: S.constant(), None),
    (lambda: S.warmup(3, S.exponential(0.9) * S.cosine(5)), 8), (lambda: S.cosine(5) + 1, 5),
    (lambda: S.linear(0, 1, 4).then(S.exponential(0.9) * S.cosine(5)).delayed(2), 11),
    (lambda: S.sequence([S.constant(), S.one_cycle(6) * S.step(3)], [4]), 10), (lambda: S.cosine(5) / S.step(2), None),
])  # fmt: skip
def test_where_schedules_end(make, ends):
    assert make().ends == ends
    assert ends is None or make().ends == copy.deepcopy(make()).ends


def ruled(schedule):
    return SGD([Parameter(np.zeros(1))], lr=0.1 * schedule)


@pytest.mark.parametrize(("make", "found"), [
    (lambda: ruled(S.exponential(0.9) * S.cosine(5)), [(5, 10)]), (lambda: ruled(S.cosine(5)), [(5, 10)]),
    (lambda: ruled(S.cosine(10)), []), (lambda: ruled(S.exponential(0.9)), []),
    (lambda: Switch([lambda p: SGD(p, lr=S.cosine(4)), lambda p: SGD(p, lr=S.cosine(6))], [after(4)],
                    params=[Parameter(np.zeros(1))]), []),
    (lambda: Lookahead(ruled(S.cosine(5)).transform(transforms.Accumulate(2))), []),
    (lambda: Lookahead(ruled(S.cosine(10)).transform(transforms.Accumulate(2))), [(10, 5)]),
    (lambda: Lookahead(ruled(S.cosine(5))).transform(transforms.Accumulate(2)), []),
    (lambda: Joint([ruled(S.cosine(5)), ruled(S.cosine(10))]), [(5, 10)]),
])  # fmt: skip
def test_a_run_that_its_schedule_does_not_fit_warns(make, found, recwarn):
    _compare_lengths(make(), 10)
    words = [f"fit: the schedule of lr is {a} steps long and the run {b}" for a, b in found]
    assert [str(w.message) for w in recwarn.list] == words


def test_numbers_of_numpy_are_numbers_and_bools_are_not():
    plain = 0.5 * S.linear(0.5, 1.0, 3).then(S.step(2, 0.5))
    numpy = np.float64(0.5) * S.linear(np.float32(0.5), np.int64(1), np.int32(3)).then(
        S.step(np.int64(2), np.float64(0.5))
    )
    assert numpy.values(9) == plain.values(9) and isinstance(numpy, S.Schedule)
    assert "np." not in repr(numpy) and all(type(v) is float for v in numpy.values(9))
    for wrong in (
        lambda: S.step(True),
        lambda: S.cosine(np.bool_(True)),
        lambda: S.constant(False),
        lambda: S.cosine(3) * True,
        lambda: S.piecewise([(True, 1.0)]),
        lambda: S.build("cosine", True),
        lambda: S.exponential(1j),
        lambda: S.TimeBudget(True, S.cosine(3)),
    ):
        with pytest.raises(TypeError):
            wrong()
