"""Optimizers made of optimizers: their paths against independent transcriptions, their states, and their interface."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import math
import pickle

import numpy as np
import pytest
from conftest import REAL_GPU, Where

import minidl
from minidl import optim
from minidl.optim import SGD, SWATS, Adam, AdamW, Ensemble, Lookahead, Switch, lr_scheduler, transforms
from minidl.optim.switch import Criterion, after, projected_rate, stalled
from minidl.optim.wrapper import Wrapper
from minidl.tensor import Parameter, wrap

SHAPES = [(7, 5), (5,), (), (3, 2)]


# ------------------------------------------------------------------------------------------- the equations, once more
class PlainSGD:
    """p <- p - lr b, b <- mu b + g."""

    def __init__(self, lr, momentum=0.0):
        self.lr, self.momentum, self.m = lr, momentum, 0.0

    def step(self, x, g):
        self.m = self.momentum * self.m + g
        return x - self.lr * self.m


class PlainAdam:
    """Algorithm 1 of the Adam paper."""

    def __init__(self, lr, betas=(0.9, 0.999), eps=1e-8):
        self.lr, self.betas, self.eps, self.t, self.m, self.v = lr, betas, eps, 0, 0.0, 0.0

    def step(self, x, g):
        self.t += 1
        b1, b2 = self.betas
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        m, v = self.m / (1 - b1**self.t), self.v / (1 - b2**self.t)
        return x - self.lr * m / (np.sqrt(v) + self.eps)


def start(dtype=np.float64):
    rng = np.random.default_rng(3)
    return [np.array(rng.standard_normal(shape), dtype) for shape in SHAPES]


def slope(x):
    """The gradient of a bumpy bowl."""
    return (x + np.sin(3 * x) * 0.3).astype(x.dtype)


def has_gradient(skipping, t, i):
    """Whether parameter i has a gradient at step t; the last one never has if some have none."""
    return not skipping or ((t + i) % 5 > i % 3 and i < len(SHAPES) - 1)


def give(ps, where, t=0, skipping=False):
    for i, p in enumerate(ps):
        p.grad = where.tensor(slope(where.host(p))) if has_gradient(skipping, t, i) else None


def close(ps, xs, where, limit=1e-10):
    for p, x in zip(ps, xs, strict=True):
        np.testing.assert_allclose(where.host(p), x, rtol=limit, atol=limit)


def leaves(where, dtype=np.float64):
    return [Parameter(where.array(x)) for x in start(dtype)]


# ------------------------------------------------------------------------------------------------------- the paths
@pytest.mark.parametrize("skipping", [False, True], ids=["all", "some None"])
@pytest.mark.parametrize("pullback", ["none", "reset", "pullback"])
@pytest.mark.parametrize(("k", "alpha"), [(5, 0.5), (3, 0.8), (1, 0.3), (4, 1.0)])
@pytest.mark.parametrize("inner", ["SGD", "Adam"])
def test_lookahead_agrees_with_its_equations(inner, k, alpha, pullback, skipping, where):
    ps, xs = leaves(where), start()
    if inner == "SGD":
        within, plain = SGD(ps, lr=0.02, momentum=0.9), [PlainSGD(0.02, 0.9) for _ in xs]
    else:
        within, plain = Adam(ps, lr=0.05), [PlainAdam(0.05) for _ in xs]
    rule = Lookahead(within, k, alpha, pullback)
    phi, m_phi, moved = [x.copy() for x in xs], [0.0] * len(xs), [False] * len(xs)
    for t in range(200 if where.name == "cpu" else 20):
        give(ps, where, t, skipping)
        for i, x in enumerate(xs):
            if has_gradient(skipping, t, i):
                xs[i], moved[i] = plain[i].step(x, slope(x)), True
        rule.step()
        if (t + 1) % k == 0:
            for i, one in enumerate(plain):
                if moved[i]:
                    phi[i] = (1 - alpha) * phi[i] + alpha * xs[i]
                    xs[i] = phi[i].copy()
                    if pullback == "reset":
                        one.m = 0.0
                    elif pullback == "pullback":
                        one.m = m_phi[i] = (1 - alpha) * m_phi[i] + alpha * one.m
            moved = [False] * len(xs)
        close(ps, xs, where)
    if skipping:  # never touched, not even its bits
        assert np.array_equal(where.host(ps[-1]), start()[-1]) and not rule.state.get(ps[-1])


def test_lookahead_leaves_odd_values_without_gradient_alone():
    w, v = Parameter(np.array([math.inf, -0.0])), Parameter(np.ones(2))
    rule = Lookahead(SGD([w, v], lr=0.1), k=2)
    for _ in range(4):
        v.grad = wrap(np.ones(2))
        rule.step()
    assert w.array.tolist() == [math.inf, 0.0] and np.signbit(w.array[1])


def test_lookahead_shows_its_slow_weights(where):
    (w,) = [where.leaf([1.0, 2.0])]
    rule = Lookahead(SGD([w], lr=0.5), k=3)
    for t in range(5):
        w.grad = where.tensor([1.0, 0.0])
        rule.step()
        fast = where.host(w).copy()
        with rule.slow_weights():
            assert where.host(w).tolist() == [1.0 if t < 2 else 0.25, 2.0]
        assert np.array_equal(where.host(w), fast)


def paper_swats(x, gradient, steps, lr, betas, eps, tolerance, decay=0.0):
    """Algorithm 1 of Keskar and Socher on one vector (with Adam's own eps); the path, Lambda, the step it was found."""
    b1, b2 = betas
    m = a = v = np.zeros_like(x)
    lam, rate, switched, path = 0.0, None, None, []
    for k in range(1, steps + 1):
        g = gradient(x) + decay * x
        if rate is not None:
            v = b1 * v + g
            x = x - (1 - b1) * rate * v
        else:
            m = b1 * m + (1 - b1) * g
            a = b2 * a + (1 - b2) * g**2
            p = -lr * (m / (1 - b1**k)) / (np.sqrt(a / (1 - b2**k)) + eps)
            x = x + p
            if p @ g != 0:
                gamma = (p @ p) / -(p @ g)
                lam = b2 * lam + (1 - b2) * gamma
                corrected = lam / (1 - b2**k)
                if k > 1 and abs(corrected - gamma) < tolerance and corrected > 0:
                    rate, switched = corrected, k
        path.append(x)
    return path, rate, switched


@pytest.mark.parametrize(
    "options",
    [
        dict(lr=0.02, betas=(0.9, 0.99), tolerance=1e-5),
        dict(lr=0.05, betas=(0.5, 0.9), tolerance=1e-4, weight_decay=0.2),
        dict(lr=0.02, betas=(0.9, 0.99), tolerance=1e-5, maximize=True),
        dict(lr=0.01, eps=1e-3),
    ],
    ids=["", "decay", "maximize", "eps"],
)
def test_swats_agrees_with_the_papers_algorithm(options, where):
    ps, sign = leaves(where), -1 if options.get("maximize") else 1
    rule, steps = SWATS(ps, **options), 200
    vector = np.concatenate([x.ravel() for x in start()])
    betas, eps = options.get("betas", (0.9, 0.999)), options.get("eps", 1e-8)
    decay, tolerance = options.get("weight_decay", 0.0), options.get("tolerance", eps)
    path, rate, switched = paper_swats(vector, slope, steps, options["lr"], betas, eps, tolerance, decay)
    assert 1 < switched < 50 and (switched > 10 or "eps" in options)
    for t in range(steps):
        give(ps, where)
        for p in ps:
            p.grad = where.tensor(sign * where.host(p.grad))
        rule.step()
        assert rule.active == (t + 1 >= switched)
        np.testing.assert_allclose(np.concatenate([where.host(p).ravel() for p in ps]), path[t], rtol=1e-10, atol=1e-10)
    assert rule.rate == pytest.approx(rate, rel=1e-10)


def test_swats_of_the_example():
    _, rate, switched = paper_swats(np.array([1.0, 2.0]), lambda x: x, 20, 0.1, (0.5, 0.5), 1e-8, 0.01)
    assert round(rate, 4) == 0.0698 and switched > 1


@pytest.mark.parametrize("skipping", [False, True], ids=["all", "some None"])
@pytest.mark.parametrize("weights", [None, [3, 1, 2], [0, 0, 1], "learned"], ids=str)
def test_ensemble_agrees_with_its_equations(weights, skipping, where):
    ps, xs = leaves(where), start()
    rules = [SGD(ps, lr=0.05, momentum=0.5), Adam(ps, lr=0.02), lambda params: SGD(params, lr=0.3)]
    learned = weights == "learned"
    rule = Ensemble(rules, weights, **(dict(rate=0.3, floor=0.05) if learned else {}))
    plain = [(PlainSGD(0.05, 0.5), PlainAdam(0.02), PlainSGD(0.3)) for _ in xs]
    w = np.ones(3) / 3 if weights is None or learned else np.array(weights) / sum(weights)
    last = [[np.zeros_like(x)] * 3 for x in xs]
    for t in range(200 if where.name == "cpu" else 20):
        give(ps, where, t, skipping)
        some = [i for i in range(len(xs)) if has_gradient(skipping, t, i)]
        if learned:
            h = np.array([sum((slope(xs[i]) * last[i][j]).sum() for i in some) for j in range(3)])
            if abs(h).max() > 0:
                w = w * np.exp(-0.3 * h / abs(h).max())
                w = np.maximum(w, 0.05)
                w = w / w.sum()
        for i in some:
            last[i] = [one.step(xs[i], slope(xs[i])) - xs[i] for one in plain[i]]
            xs[i] = xs[i] + sum(a * d for a, d in zip(w, last[i], strict=True))
        rule.step()
        np.testing.assert_allclose(rule.weights, w, rtol=1e-9)
        close(ps, xs, where)
    if learned:
        assert max(rule.weights) > 0.4 > 0.1 > min(rule.weights)  # they have learned something
    if skipping:
        assert np.array_equal(where.host(ps[-1]), start()[-1]) and not rule.state.get(ps[-1])


def test_learned_weights_climb_where_the_rules_do():
    found = []
    for sign in (1, -1):
        w = Parameter(np.array([3.0, -2.0]))
        rules = [SGD([w], lr=lr, maximize=sign < 0) for lr in (0.01, 0.2)]
        rule = Ensemble(rules, "learned")
        for _ in range(10):
            w.grad = wrap(sign * w.array)
            rule.step()
        found.append((w.array.tolist(), rule.weights))
    assert found[0] == found[1] and found[0][1][1] > 0.7  # the longer of two steps downhill gains


def test_a_gradient_that_is_not_finite_teaches_nothing():
    w = Parameter(np.ones(2))
    rule = Ensemble([SGD([w]), Adam([w])], "learned")
    for value in (1.0, math.inf):
        w.grad = wrap(np.full(2, value))
        rule.step()
    assert rule.weights == [0.5, 0.5]


def test_switch_is_one_rule_after_the_other(where):
    ps, xs = leaves(where), start()
    rule = Switch([Adam(ps, lr=0.1), lambda q: SGD(q, lr=0.05, momentum=0.9), Adam(ps, lr=0.01)], [after(7), after(5)])
    plain = [[PlainAdam(0.1) for _ in xs], [PlainSGD(0.05, 0.9) for _ in xs], [PlainAdam(0.01) for _ in xs]]
    for t in range(200 if where.name == "cpu" else 20):
        give(ps, where)
        turn = 0 if t < 7 else 1 if t < 12 else 2
        assert rule.active == turn
        xs = [plain[turn][i].step(x, slope(x)) for i, x in enumerate(xs)]
        rule.step()
        close(ps, xs, where)
        assert [bool(one.state) for one in rule.optimizers] == [i == rule.active and t not in (6, 11) for i in range(3)]


# ---------------------------------------------------------------------------------------------------------- criteria
@pytest.mark.parametrize(
    ("criterion", "values", "expected"),
    [
        (stalled(2), [3, 2, 2, 1, 1, 1], 6),
        (stalled(2, min_delta=0.5), [3, 2.6, 2.5, 2.2], 3),
        (stalled(2, min_delta=0.5), [3, 2.4, 2.0, 1.95], 4),
        (stalled(2, mode="max"), [3, 2, 4, 5, 5, 3], 6),
        (stalled(3), [math.nan, 1.0, math.nan, 2.0, 0.9, 0.9, 0.9, 0.9], 8),
        (stalled(1), [1.0, 1.0], 2),
    ],
    ids=str,
)
def test_stalled(criterion, values, expected):
    w = Parameter(np.ones(1))
    rule = Switch([Adam([w]), SGD([w])], criterion)
    for i, value in enumerate(values, 1):
        assert rule.active == 0
        if i % 2:
            rule.report(value)
        else:
            rule.step(metric=wrap(np.array(value)))
        if rule.active:
            assert i == expected
            rule.report(100.0)  # the last rule has nothing to wait for
            return
    pytest.fail("never switched")


def test_a_step_with_a_metric_is_already_the_next_rules():
    w = Parameter(np.ones(1))
    w.grad = wrap(np.ones(1))
    rule = Switch([SGD([w], lr=0.0), SGD([w], lr=0.5)], stalled(1))
    rule.step(metric=1.0)
    assert w.array == 1
    rule.step(metric=1.0)
    assert w.array == 0.5


def test_two_switches_do_not_share_a_criterion():
    w, criterion = Parameter(np.ones(1)), after(2)
    one, other = (Switch([Adam([w]), SGD([w])], criterion) for _ in range(2))
    one.step(), one.step(), other.step()
    assert (one.active, other.active, criterion.count) == (1, 0, 0)


def test_the_projected_rate_of_plain_descent_is_its_rate(where):
    # for SGD p = -lr g, so that gamma = lr whatever the gradient; with decay of either kind too
    for make in (
        lambda ps: SGD(ps, lr=0.125),
        lambda ps: SGD(ps, lr=0.125, weight_decay=0.5),
        lambda ps: SGD(ps, lr=0.125, maximize=True),
    ):
        ps = leaves(where)
        rule = Switch([make(ps), SGD(ps)], projected_rate(0.9, 1e-6))
        for t in range(2):
            give(ps, where)
            rule.step()
            assert rule.active == t
        assert rule.when[0].rate == pytest.approx(0.125)


def test_the_projected_rate_sees_the_gradient_without_decoupled_decay():
    w = Parameter(np.array([1.0, -3.0]))
    rule = Switch([AdamW([w], lr=0.5, weight_decay=0.1), SGD([w])], projected_rate(0.9, 1e-6))
    x, g = w.array.copy(), np.array([0.5, 0.25])
    w.grad = wrap(g)
    rule.step()
    p = w.array - x
    assert rule.when[0].average == pytest.approx(0.1 * (p @ p) / -(p @ g))


def test_the_projected_rate_passes_over_steps_that_say_nothing():
    w = Parameter(np.ones(2))
    rule = Switch([SGD([w], lr=0.5), SGD([w])], projected_rate(0.5, 1.0))
    for g in (np.zeros(2), np.full(2, math.nan), None):
        w.grad = None if g is None else wrap(g)
        w.write(1.0)
        rule.step()
    assert rule.active == 0 and rule.when[0].k == 3 and rule.when[0].average == 0


def test_a_rate_that_would_climb_is_not_taken():
    class Uphill(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def update(self, p, g, state, h):
            p += 0.1 * g

    w = Parameter(np.ones(2))
    rule = Switch([Uphill([w]), SGD([w])], projected_rate(0.5, 1.0))
    for _ in range(4):
        w.grad = wrap(np.ones(2))
        rule.step()
    assert rule.active == 0 and rule.when[0].average < 0


# -------------------------------------------------------------------------------------------------- saving, loading
COMBINATIONS = {
    "lookahead": lambda ps: Lookahead(SGD(ps, lr=0.05, momentum=0.9), 3, 0.5),
    "lookahead reset": lambda ps: Lookahead(Adam(ps, lr=0.05), 3, 0.8, "reset"),
    "lookahead pullback": lambda ps: Lookahead(Adam(ps, lr=0.05), 3, 0.3, "pullback"),
    "switch": lambda ps: Switch([Adam(ps, lr=0.05), SGD(ps, lr=0.05, momentum=0.9)], after(4)),
    "switch stalled": lambda ps: Switch([Adam(ps, lr=0.05), SGD(ps, lr=0.05, momentum=0.9)], stalled(2)),
    "swats": lambda ps: SWATS(
        [{"params": ps[:2], "lr": 0.05}, {"params": ps[2:]}], lr=0.02, betas=(0.9, 0.9), tolerance=0.02
    ),
    "swats scheduled": lambda ps: SWATS(ps, lr=fading, betas=(0.9, 0.9), tolerance=0.01),
    "ensemble": lambda ps: Ensemble([Adam(ps, lr=0.05), SGD(ps, lr=0.05, momentum=0.9)], [1, 2]),
    "ensemble learned": lambda ps: Ensemble([Adam(ps, lr=0.05), SGD(ps, lr=0.05, momentum=0.9)], "learned"),
    "nested": lambda ps: Lookahead(
        Switch([Adam(ps, lr=0.05), Ensemble([SGD(ps, lr=0.1), Adam(ps, lr=0.1)], "learned")], after(4)), 3
    ),
}
combinations = pytest.mark.parametrize("make", COMBINATIONS.values(), ids=COMBINATIONS)


def fading(t):
    """A schedule that can be pickled."""
    return 0.05 * 0.95**t


def run(rule, ps, steps, where, first=0):
    for t in range(first, first + steps):
        give(ps, where, t, skipping=True)
        if isinstance(rule, Switch):
            rule.report([5, 4, 4, 4, 4, 4, 4, 4, 4][t])
        rule.step()


@combinations
@pytest.mark.parametrize("stop", range(8))
def test_a_loaded_state_goes_on_bit_for_bit(make, stop, where):
    ps = leaves(where, np.float32)
    one = make(ps)
    run(one, ps, stop, where)
    qs = [Parameter(where.array(where.host(p))) for p in ps]
    other = make(qs)
    run(other, qs, 2, where)  # what is there is replaced
    for p, q in zip(ps, qs, strict=True):
        q.write(p.array)
    file = io.BytesIO()
    minidl.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(minidl.load(file))
    for t in range(stop, 9):
        run(one, ps, 1, where, t), run(other, qs, 1, where, t)
        assert all(np.array_equal(where.host(p), where.host(q)) for p, q in zip(ps, qs, strict=True))
    if isinstance(one, Switch):
        assert one.active == other.active == 1  # the switch was among these steps
    assert repr(one) == repr(other)


@combinations
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_copies_go_on_by_themselves(make, duplicate, where):
    ps = leaves(where)
    one = make(ps)
    one.register_step_pre_hook(lambda *a: None)
    run(one, ps, 4, where)
    before = [where.host(p).copy() for p in ps]
    other = duplicate(one)
    qs = list(dict.fromkeys(p for group in other.param_groups for p in group["params"]))
    assert len(qs) == len(ps)
    run(other, qs, 3, where, 4)
    assert all(np.array_equal(where.host(p), x) for p, x in zip(ps, before, strict=True))
    run(one, ps, 3, where, 4)
    assert all(np.array_equal(where.host(p), where.host(q)) for p, q in zip(ps, qs, strict=True))


def test_a_state_is_numbered_by_parameter_and_plain():
    ps = [Parameter(np.ones(2)), Parameter(np.ones(3))]
    rule = Ensemble([SGD(ps, lr=0.1), Adam(ps[::-1])], "learned")
    for p in ps:
        p.grad = wrap(np.ones(p.shape))
    rule.step()
    saved = rule.state_dict()
    assert list(saved) == ["state", "param_groups", "inner", "weights", "learned", "rate", "floor"]
    assert [g["params"] for g in saved["param_groups"]] == [[0, 1], [1, 0]]
    assert list(saved["state"]) == [0, 1] and saved["state"][1]["step_0"].shape == (3,)
    assert saved["inner"][1]["param_groups"][0]["params"] == [0, 1]
    assert Lookahead(SGD(ps)).state_dict()["state"] == {}


def broken(change):
    """A change to a copy of a saved state."""

    def changed(saved):
        saved = copy.deepcopy(saved)
        change(saved)
        return saved

    return changed


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lookahead", lambda s: s.pop("steps"), "Lookahead.load_state_dict: expected a dict with .*steps, got "),
        ("lookahead", lambda s: s.update(k=0), "k must be a whole number >= 1, got 0"),
        ("lookahead", lambda s: s.update(steps=3), "steps must be a whole number >= 0 and < k=3, got 3"),
        ("lookahead", lambda s: s.update(alpha="half"), "alpha must be a number"),
        ("lookahead", lambda s: s.update(inner=[]), "inner has the states of 0 optimizers, expected 1"),
        ("lookahead", lambda s: s.update(inner={}), "inner has the states of dict optimizers, expected 1"),
        ("lookahead", lambda s: s["state"][0].update(slow=wrap(np.ones(2))), r"a 'slow' of shape \(2,\), expected \(7"),
        ("lookahead", lambda s: s["state"][0].update(fast=wrap(np.ones(2))), "parameter 0 has a 'fast', expected"),
        ("lookahead", lambda s: s["inner"][0]["state"][0].clear(), None),
        ("lookahead", lambda s: s["inner"][0]["param_groups"][0].update(lr=-1.0), r"rule 0 \(SGD\): SGD: lr must be"),
        ("lookahead", lambda s: s["param_groups"].pop(), r"the groups have \[\] parameters"),
        ("switch", lambda s: s.update(active=2), "active must be a whole number from 0 to 1, got 2"),
        ("switch", lambda s: s.update(active=True), "active must be a whole number"),
        ("switch", lambda s: s.update(when=[]), r"expected the states of 1 criteria, got \[\]"),
        ("switch", lambda s: s["when"][0].update(best=1.0), r"after: expected \['count'\], got"),
        ("switch", lambda s: s["when"][0].update(count="1"), "after: count must be a number, got '1'"),
        ("ensemble", lambda s: s.update(learned=True), "the state is of learned weights, expected fixed ones"),
        ("ensemble", lambda s: s.update(weights=[1.0]), "2 rules need 2 weights"),
        ("ensemble", lambda s: s.update(weights=[1.0, -1.0]), r"weights\[1\] must be a finite number >= 0"),
        ("ensemble", lambda s: s["inner"].reverse(), r"rule 0 \(Adam\): .*it of another rule"),
        # the first one fits and is loaded before the second one is found not to: it must be as it was
        ("ensemble", lambda s: s["inner"][1]["state"][0].update(momentum_buffer=wrap(np.ones(2))), r"rule 1 \(SGD\)"),
        ("ensemble learned", lambda s: s["state"][1].update(step_2=wrap(np.ones(5))), "parameter 1 has a 'step_2'"),
        ("nested", lambda s: s["inner"][0]["inner"][1].update(weights=[0, 0]), r"rule 0 \(Switch\): .*rule 1 \(Ensem"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed(name, change, message):
    where = Where("cpu")
    ps, qs = leaves(where), leaves(where)
    rule, source = COMBINATIONS[name](ps), COMBINATIONS[name](qs)
    run(rule, ps, 2, where), run(source, qs, 4 if name != "switch" else 3, where)

    def everything():
        file = io.BytesIO()
        minidl.save(rule.state_dict(), file)
        return file.getvalue(), repr(rule), [p.array.tolist() for p in ps]

    before, saved = everything(), broken(change)(source.state_dict())
    if message is None:  # a rule without state is one that has not begun
        return rule.load_state_dict(saved)
    with pytest.raises(ValueError, match="(?s)" + message):
        rule.load_state_dict(saved)
    assert everything() == before
    run(rule, ps, 2, where, 2)


@pytest.mark.parametrize("saved", [3, {}, {"state": {}, "param_groups": []}])
def test_what_is_no_state_is_refused(saved):
    with pytest.raises(ValueError, match="Lookahead.load_state_dict: expected a dict with state, param_groups, inner"):
        Lookahead(SGD([Parameter(np.ones(1))])).load_state_dict(saved)


def test_a_state_is_loaded_on_the_device_of_the_parameter(where):
    p = Parameter(np.ones(3, np.float32))
    source = Lookahead(SGD([p], lr=0.5))
    p.grad = wrap(np.ones(3, np.float32))
    source.step()
    q = where.leaf(np.full(3, 0.5), np.float64)
    target = Lookahead(SGD([q], lr=0.5), k=2)
    target.load_state_dict(source.state_dict())
    slow = target.state[q]["slow"]
    assert slow.dtype == minidl.float64 and where.host(slow).tolist() == [1, 1, 1] and target.k == 5


# ------------------------------------------------------------------------------------------------- PyTorch's interface
def test_groups_are_those_of_the_rules_within():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(3))
    inner = SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    assert all(g is h for g, h in zip(Lookahead(inner).param_groups, inner.param_groups, strict=True))
    first, second = Adam([a, b]), SGD([b, a], lr=0.1)
    rule = Switch([first, second], after(1))
    assert rule.param_groups[0] is first.param_groups[0] and rule.param_groups[1] is second.param_groups[0]
    second.param_groups = first.param_groups  # shared: each once
    assert len(rule.param_groups) == 1


@pytest.mark.parametrize("name", ["lookahead", "ensemble", "switch"])
def test_rates_that_are_changed_from_outside_count(name):
    where = Where("cpu")
    ps, qs = leaves(where), leaves(where)
    edited, fresh = COMBINATIONS[name](ps), COMBINATIONS[name](qs)
    for group in edited.param_groups:  # as a scheduler does
        group["lr"] = group["lr"] * 0.5
    for one in fresh.optimizers:
        one.param_groups[0]["lr"] = 0.025
    run(edited, ps, 7, where), run(fresh, qs, 7, where)
    close(ps, [q.array for q in qs], where, 0)
    assert not np.allclose(ps[0].array, start()[0])


def test_schedules_are_followed_in_the_rules_within():
    w = Parameter(np.zeros(1))
    rule = Ensemble([SGD([w], lr=1.0), lambda q: SGD(q, lr=lambda t: 2.0 + t)])
    assert [list(s) for s in rule.schedules] == [[], ["lr"]]
    rule.follow(0, lr=lambda t: 10.0 * (t + 1))
    assert [list(s) for s in rule.schedules] == [["lr"], ["lr"]]
    for expected in (-6.0, -17.5):
        w.grad = wrap(np.ones(1))
        rule.step()
        assert w.array.tolist() == [expected]
    rule.follow(lr=0.5, momentum=0.5)
    assert [g["lr"] for g in rule.param_groups] == [0.5, 0.5] and rule.schedules == [{}, {}]
    mixed = Switch([Adam([w]), SGD([w])], after(1))
    with pytest.raises(ValueError, match="Switch.follow: group 0 has no 'momentum'"):
        mixed.follow(momentum=0.5)
    with pytest.raises(ValueError, match="Switch.follow: group 1 has no 'betas'"):
        mixed.follow(1, betas=(0.5, 0.5))


def test_schedulers_take_a_combination_for_an_optimizer():
    w = Parameter(np.zeros(1))
    inner = SGD([w], lr=1.0, momentum=0.9)
    ahead, both = Lookahead(inner), Switch([Adam([w], lr=0.1), SGD([w], lr=1.0)], after(1))
    assert ahead.defaults is not None and ahead.defaults["momentum"] == 0.9
    assert "lr" in both.defaults and not {"betas", "momentum"} & set(both.defaults)
    cycle = lr_scheduler.OneCycleLR(ahead, max_lr=1.0, total_steps=10)
    plain = lr_scheduler.OneCycleLR(SGD([w], lr=1.0, momentum=0.9), max_lr=1.0, total_steps=10)
    halves = lr_scheduler.ExponentialLR(both, 0.5)
    for _ in range(4):
        w.grad = wrap(np.ones(1))
        ahead.step(), plain.optimizer.step(), both.step()
        cycle.step(), plain.step(), halves.step()
        for key in ("lr", "momentum"):
            assert inner.param_groups[0][key] == plain.optimizer.param_groups[0][key]
    assert [g["lr"] for g in both.param_groups] == [0.1 / 16, 1 / 16]
    with pytest.raises(ValueError, match="follows a schedule already"):
        lr_scheduler.ExponentialLR(Lookahead(SGD([w], lr=lambda t: 1.0)), 0.5)


def test_groups_are_added_to_all_rules_or_to_none():
    a, b, c = (Parameter(np.ones(2)) for _ in range(3))
    rule = Ensemble([SGD([a], lr=1.0), SGD([a], lr=1.0)])
    rule.add_param_group({"params": (p for p in [b]), "lr": 0.5})
    assert [g["lr"] for g in rule.param_groups] == [1.0, 0.5, 1.0, 0.5]
    for p in (a, b):
        p.grad = wrap(np.ones(2))
    rule.step()
    assert b.array.tolist() == [0.5, 0.5]

    class Picky(SGD):
        def check(self, group):
            super().check(group)
            if group["lr"] > 1:
                raise ValueError("too much")

    for first in (lambda rule: rule, Lookahead):
        inner = [SGD([a], lr=1.0), Picky([a], lr=1.0)]
        rule = Ensemble([first(inner[0]), inner[1]])
        with pytest.raises(ValueError, match="too much"):
            rule.add_param_group({"params": [c], "lr": 2.0})
        assert [len(one.param_groups) for one in inner] == [1, 1] and len(inner[0].schedules) == 1
        rule.add_param_group({"params": [c], "lr": 0.5})
        assert len(rule.param_groups) == 4


def test_zero_grad_and_defaults():
    w = Parameter(np.ones(2))
    w.grad = held = wrap(np.ones(2))
    rule = Switch([Adam([w]), SGD([w])], after(1))
    rule.zero_grad(set_to_none=False)
    assert w.grad is held and held.array.tolist() == [0, 0]
    rule.zero_grad()
    assert w.grad is None


@combinations
def test_a_closure_is_called_once_with_gradients_on(make, where):
    ps, qs, calls = leaves(where), leaves(where), []
    one, other = make(ps), make(qs)

    def closure():
        calls.append(1)
        assert minidl.is_grad_enabled()
        give(ps, where)
        return "the loss"

    for t in range(6):
        with minidl.no_grad():
            assert one.step(closure) == "the loss" and len(calls) == t + 1
        give(qs, where)
        assert other.step() is None
    assert all(np.array_equal(where.host(p), where.host(q)) for p, q in zip(ps, qs, strict=True))


def test_rules_that_evaluate_the_loss_themselves_are_given_the_closure():
    def closure_of(w, rule):
        def closure():
            rule.zero_grad()
            loss = ((w - 3.0) ** 2).sum() + (w**4).sum()
            loss.backward()
            return loss

        return closure

    plain, within, later = (Parameter(np.array([1.0, -2.0])) for _ in range(3))
    bfgs = optim.LBFGS([plain], max_iter=3)
    ahead = Lookahead(optim.LBFGS([within], max_iter=3), k=2, alpha=1.0)
    switch = Switch([optim.LBFGS([later], max_iter=3), SGD([later])], after(3))
    for _ in range(3):
        expected = bfgs.step(closure_of(plain, bfgs))
        assert float(ahead.step(closure_of(within, ahead))) == float(expected)
        assert float(switch.step(closure_of(later, switch))) == float(expected)
    assert np.array_equal(plain.array, later.array) and np.array_equal(plain.array, within.array)
    with pytest.raises(TypeError):
        ahead.step()
    with pytest.raises(NotImplementedError, match=r"Ensemble: rule 1 \(Lookahead\) evaluates the loss several times"):
        Ensemble([SGD([within]), ahead])


def test_a_closure_that_does_not_reach_a_parameter_leaves_it_alone():
    w, unused = Parameter(np.array([1.0, -2.0])), Parameter(np.array([math.inf]))
    rule = Lookahead(optim.LBFGS([w, unused], max_iter=2), k=2)

    def closure():
        rule.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    for _ in range(2):
        rule.step(closure)
        assert "slow" not in rule.state.get(unused, {})
    assert unused.array.tolist() == [math.inf]


def test_hooks_run_once_around_a_step():
    w, order = Parameter(np.ones(2)), []
    w.grad = wrap(np.ones(2))
    inner = SGD([w], lr=0.1)
    rule = Lookahead(inner)
    for name, one in (("outer", rule), ("inner", inner)):
        one.register_step_pre_hook(lambda *a, name=name: order.append(f"before {name}"))
        one.register_step_post_hook(lambda *a, name=name: order.append(f"after {name}"))
    rule.step()
    assert order == ["before outer", "before inner", "after inner", "after outer"]


@pytest.mark.parametrize("closed", [False, True])
def test_transforms_see_every_gradient_once(closed):
    w = Parameter(np.zeros(2))
    rule = Ensemble([SGD([w], lr=1.0), SGD([w], lr=1.0)]).transform(transforms.ClipNorm(1.0))

    def closure():
        w.grad = wrap(np.array([3.0, -4.0]))

    if closed:
        rule.step(closure)
    else:
        closure()
        rule.step()
    np.testing.assert_allclose(w.array, [-0.6, 0.8], rtol=1e-6)
    assert "transforms" in rule.state_dict()


class Halved(transforms.Transform):
    """g <- g / 2, in place."""

    def apply(self, params, optimizer):
        for p in params:
            p.grad.write(p.grad.array / 2)
        return True


class Never(transforms.Transform):
    """Skips every step."""

    def apply(self, params, optimizer):
        return False


@pytest.mark.parametrize("closed", [False, True])
def test_a_skipped_step_is_not_counted(closed):
    w = Parameter(np.zeros(2))
    w.grad = wrap(np.ones(2))
    rule = Lookahead(SGD([w], lr=1.0)).transform(Never())
    assert rule.step((lambda: 7) if closed else None) == (7 if closed else None)
    assert rule.steps == 0 and w.array.tolist() == [0, 0] and not rule.state.get(w)


def test_what_one_rule_does_to_the_gradients_the_others_do_not_see():
    class Careless(optim.Optimizer):
        """Written for an old PyTorch: changes the gradient in place."""

        def __init__(self, params):
            super().__init__(params, {})

        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                p.grad.data.mul_(100.0)

    w = Parameter(np.zeros(2))
    rules = [SGD([w], lr=1.0).transform(Halved()), Careless([w]), Lookahead(SGD([w], lr=1.0).transform(Halved()))]
    hooked = SGD([w], lr=1.0)
    hooked.register_step_pre_hook(lambda *a: setattr(w, "grad", wrap(np.full(2, 7.0))))
    w.grad = held = wrap(np.ones(2))
    Ensemble([*rules, hooked, SGD([w], lr=1.0)]).step()
    np.testing.assert_allclose(w.array, -(0.5 + 0 + 0.5 + 7 + 1) / 5, rtol=1e-12)
    assert w.grad is held and held.array.tolist() == [1, 1]


def test_a_rule_that_fails_leaves_the_parameters_where_they_were():
    class Failing(SGD):
        def update(self, p, g, state, h):
            p += 5
            raise OSError("no")

    w = Parameter(np.ones(2))
    w.grad = wrap(np.ones(2))
    with pytest.raises(OSError):
        Ensemble([SGD([w], lr=1.0), Failing([w])]).step()
    assert w.array.tolist() == [1, 1]


def test_repr_shows_what_is_within():
    w = Parameter(np.ones(2))
    text = repr(Lookahead(SGD([w]), k=7))
    assert text.startswith("Lookahead (k=7, alpha=0.5, pullback_momentum='none'\n    SGD (\n    Parameter Group 0\n")
    assert text.endswith("\n)") and "        lr: 0.001\n" in text
    assert repr(Switch([Adam([w]), SGD([w])], after(3))).startswith("Switch (when=[after(3)], active=0\n    Adam (")
    assert "learned with rate=0.1, floor=0.001" in repr(Ensemble([Adam([w]), SGD([w])], "learned"))
    for text in ("stalled(patience=4, min_delta=0.5, mode='max')", "projected_rate(beta2=0.5, tolerance=0.25)"):
        assert repr(eval(text, {"stalled": stalled, "projected_rate": projected_rate})) == text


def test_no_value_of_a_step_is_waited_for_or_sent_to_the_device():
    where = Where("cuda")
    ps = leaves(where, np.float32)
    rules = [COMBINATIONS[name](ps) for name in ("lookahead", "lookahead pullback", "switch", "ensemble")]
    give(ps, where)
    allowed = contextlib.ExitStack()
    if not REAL_GPU:
        standin = importlib.import_module("standin")
        allowed.enter_context(standin.no_sync()), allowed.enter_context(standin.no_upload())
    with allowed:
        for rule in rules * 7:
            rule.step()


def test_weights_are_not_kept_from_moving():
    # the copies that a combination keeps are its own: the rule within may lay the parameters out side by side
    ps = [Parameter(np.ones(10, np.float32)) for _ in range(3)]
    rule = Lookahead(SGD(ps, lr=0.1), k=2)
    for p in ps:
        p.grad = wrap(np.ones(10, np.float32))
    rule.step()
    (layout,) = rule.optimizers[0]._layouts.values()
    assert not layout.left and len(layout.units) == 1


def test_a_rule_that_is_done_lets_go_of_the_memory():
    ps = [Parameter(np.ones(10, np.float32)) for _ in range(3)]
    rule = Switch([Lookahead(SGD(ps, lr=0.1)), SGD(ps, lr=0.1)], after(1))
    for p in ps:
        p.grad = wrap(np.ones(10, np.float32))
    rule.step(), rule.step()
    (layout,) = rule.optimizers[1]._layouts.values()
    assert not layout.left and len(layout.units) == 1


# ------------------------------------------------------------------------------------------------------------- SWATS
def swats_until_switched(w, **options):
    rule = SWATS([w], **{"lr": 0.1, "betas": (0.5, 0.5), "tolerance": 0.05, **options})
    for _ in range(40):
        if rule.active:
            return rule
        w.grad = wrap(w.array.copy())
        rule.step()
    raise AssertionError("never switched")


def test_schedulers_go_on_in_the_second_phase_of_swats():
    w = Parameter(np.array([1.0, 2.0]))
    rule = swats_until_switched(w)
    for group in rule.param_groups:
        group["lr"] *= 0.25
    before = w.array.copy()
    w.grad = wrap(np.ones(2))
    rule.step()
    np.testing.assert_allclose(before - w.array, 0.25 * 0.5 * rule.rate, rtol=1e-12)


def test_a_schedule_goes_on_in_the_second_phase_of_swats():
    w, seen = Parameter(np.array([1.0, 2.0])), []
    rule = swats_until_switched(w, lr=lambda t: seen.append(t) or 0.1 / (1 + t))
    steps, before = rule.when[0].k, w.array.copy()
    w.grad = wrap(np.ones(2))
    rule.step()
    assert seen[-1] == steps and steps > 1
    np.testing.assert_allclose(before - w.array, steps / (steps + 1) * 0.5 * rule.rate, rtol=1e-12)
    with pytest.raises(ValueError, match=r"only lr and weight_decay may be schedules, got one for betas\[0\]"):
        SWATS([w], betas=(lambda t: 0.5, 0.9))


def test_a_group_may_be_added_to_swats_in_either_phase():
    w, v, u = (Parameter(np.array([1.0, 2.0])) for _ in range(3))
    rule = SWATS([("w", w)], lr=0.1, betas=(0.5, 0.5), tolerance=0.05)
    rule.add_param_group({"params": [("v", v)], "lr": 0.2, "betas": (0.25, 0.5)})
    assert [g["lr"] for g in rule.param_groups] == [0.1, 0.2] * 2
    assert [g["momentum"] for g in rule.param_groups[2:]] == [0.5, 0.25]
    while not rule.active:
        w.grad, v.grad = wrap(w.array.copy()), wrap(v.array.copy())
        rule.step()
    rule.add_param_group({"params": [("u", u)], "lr": 0.0})
    rule.add_param_group({"params": [("t", t := Parameter(np.zeros(2)))], "weight_decay": 0.0})
    for p in (w, v, u, t):
        p.write(0.0)
        p.grad = wrap(np.ones(2))
    rule.step()
    found = [float(p.array[0]) for p in (w, v, u, t)]
    assert found == pytest.approx([-0.5 * rule.rate, -0.75 * rule.rate, 0.0, -0.5 * rule.rate])
    with pytest.raises(ValueError, match="more than once"):
        rule.add_param_group({"params": [("w", w)]})
    with pytest.raises(ValueError, match="only lr and weight_decay"):
        rule.add_param_group({"params": [("s", Parameter(np.zeros(2)))], "betas": (lambda t: 0.5, 0.5)})
    assert [len(one.param_groups) for one in rule.optimizers] == [4, 4]


def test_swats_learns():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5)).astype(np.float32)
    y = x @ rng.standard_normal((5, 1)).astype(np.float32) + 0.3
    model = minidl.nn.Linear(5, 1)
    rule = SWATS(model.parameters(), lr=0.1, betas=(0.9, 0.9), tolerance=3e-3)
    for _ in range(300):
        rule.zero_grad()
        loss = ((model(wrap(x)) - wrap(y)) ** 2).mean()
        loss.backward()
        rule.step()
    assert rule.active == 1 and float(loss) < 1e-6


# ------------------------------------------------------------------------------------------------------------- errors
def pair():
    w = Parameter(np.ones(2))
    return w, [Adam([w]), SGD([w])]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w, two: Lookahead(w), TypeError, "Lookahead: expected an optimizer, got Parameter"),
        (lambda w, two: Lookahead(two[0], k=0), ValueError, "Lookahead: k must be a whole number >= 1, got 0"),
        (lambda w, two: Lookahead(two[0], k=2.5), ValueError, "k must be a whole number >= 1, got 2.5"),
        (lambda w, two: Lookahead(two[0], alpha=0), ValueError, "alpha must be a finite number > 0 and <= 1, got 0"),
        (
            lambda w, two: Lookahead(two[0], alpha=1.5),
            ValueError,
            "alpha must be a finite number > 0 and <= 1, got 1.5",
        ),
        (lambda w, two: Lookahead(two[0], 5, 0.5, "rest"), ValueError, "one of none, reset, pullback, got 'rest'"),
        (lambda w, two: Lookahead(two[1], 5, 0.5, "reset"), ValueError, "but SGD has no momentum here"),
        (lambda w, two: Switch(two[:1], []), ValueError, "Switch: expected at least two rules, got 1"),
        (lambda w, two: Switch(two, []), ValueError, "Switch: 2 rules need 1 criteria, got 0"),
        (lambda w, two: Switch(two, [5]), TypeError, "expected criteria such as after.1000., got int"),
        (lambda w, two: Switch([two[0], 3], [after(1)]), TypeError, "rule 1 must be an optimizer, or a function"),
        (lambda w, two: Switch([two[0], len], [after(1)]), TypeError, "function for rule 1 gave a int, not an optim"),
        (lambda w, two: Switch([SGD, Adam], [after(1)]), ValueError, "params must say what they are to optimize"),
        (lambda w, two: Switch([two[0], two[0]], [after(1)]), ValueError, r"rule 1 \(Adam\) was given twice"),
        (lambda w, two: Switch(5, [after(1)]), TypeError, "expected a list of optimizers, got int"),
        (
            lambda w, two: Ensemble([two[0], SGD([Parameter(np.ones(3))])]),
            ValueError,
            r"rule 1 \(SGD\) lacks 1 of rule 0 \(Adam\) and has 1 that rule 0 has not, the first of them parameter "
            r"0 of rule 0, float64 \(2,\) on cpu",
        ),
        (
            lambda w, two: Ensemble([two[0], SGD([w, Parameter(np.ones(3))])]),
            ValueError,
            r"lacks 0 of rule 0 .*has 1 that rule 0 has not, the first of them parameter 1 of rule 1, float64 \(3,\)",
        ),
        (lambda w, two: Ensemble(two, [1]), ValueError, "2 rules need 2 weights"),
        (lambda w, two: Ensemble(two, [1, -1]), ValueError, r"weights\[1\] must be a finite number >= 0, got -1"),
        (lambda w, two: Ensemble(two, [1, math.nan]), ValueError, r"weights\[1\] must be a finite number"),
        (lambda w, two: Ensemble(two, [1, math.inf]), ValueError, r"weights\[1\] must be a finite number"),
        (lambda w, two: Ensemble(two, [1, "1"]), TypeError, r"weights\[1\] must be a number, got '1'"),
        (lambda w, two: Ensemble(two, [0, 0]), ValueError, "all weights are zero"),
        (lambda w, two: Ensemble(two, "learnt"), ValueError, "must be None, numbers or 'learned', got 'learnt'"),
        (lambda w, two: Ensemble(two, rate=0.1), ValueError, "rate is for learned weights only"),
        (lambda w, two: Ensemble(two, [1, 1], floor=0.1), ValueError, "floor is for learned weights only"),
        (lambda w, two: Ensemble(two, "learned", rate=-1), ValueError, "rate must be a finite number >= 0, got -1"),
        (lambda w, two: Ensemble(two, "learned", floor=0.5), ValueError, "floor must be < 1 / 2"),
        (lambda w, two: SWATS([w], lr=-1), ValueError, "lr must be a finite number >= 0"),
        (lambda w, two: SWATS([w], tolerance=0.0), ValueError, "SWATS: tolerance must be a finite number > 0"),
        (lambda w, two: SWATS([w], tolerance="small"), TypeError, "SWATS: tolerance must be a number"),
        (lambda w, two: after(0), ValueError, "after: steps must be a whole number >= 1, got 0"),
        (lambda w, two: after(1.5), ValueError, "after: steps must be a whole number >= 1, got 1.5"),
        (lambda w, two: after(np.True_), TypeError, "after: steps must be a whole number, got"),
        (lambda w, two: stalled(0), ValueError, "stalled: patience must be a whole number >= 1, got 0"),
        (lambda w, two: stalled(min_delta=-1), ValueError, "min_delta must be a finite number >= 0, got -1"),
        (lambda w, two: stalled(mode="low"), ValueError, "mode must be 'min' or 'max', got 'low'"),
        (lambda w, two: projected_rate(1.0), ValueError, "beta2 must be a finite number >= 0 and < 1, got 1"),
        (lambda w, two: projected_rate(tolerance=-1), ValueError, "tolerance must be a finite number > 0"),
        (lambda w, two: Switch(two, after(1)).report("low"), TypeError, "Switch.report: expected a number, got 'low'"),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(*pair())


def test_params_are_for_functions():
    w = Parameter(np.ones(2))
    rule = Ensemble([lambda q: SGD(q, lr=1.0), SGD], params=(p for p in [w]))
    assert [one.param_groups[0]["params"] for one in rule.optimizers] == [[w], [w]]


def test_row_sparse_gradients_are_refused():
    layer = minidl.nn.Embedding(4, 2, sparse=True)
    layer(minidl.tensor([1])).sum().backward()
    with pytest.raises(NotImplementedError, match="Ensemble does not work with row-sparse gradients, as of float32"):
        Ensemble([SGD([layer.weight]), lambda q: SGD(q, lr=0.5)]).step()
    with pytest.raises(NotImplementedError, match="projected_rate does not work with row-sparse"):
        Switch([SGD([layer.weight]), lambda q: SGD(q, lr=0.5)], projected_rate()).step()


def test_a_criterion_of_ones_own():
    class small_gradient(Criterion):
        def stepped(self, rule):
            (group,) = rule.param_groups
            return all(abs(p.grad.array).max() < 0.1 for p in group["params"])

    w = Parameter(np.ones(2))
    rule = Switch([SGD([w], lr=0.5), SGD([w], lr=0.0)], small_gradient())
    for _ in range(6):
        w.grad = wrap(w.array.copy())
        rule.step()
    assert rule.active == 1 and w.array.tolist() == [1 / 32] * 2
    assert isinstance(rule, Wrapper) and rule.state_dict()["when"] == [{}]


# ------------------------------------------------------------------------------------------- schedule-free, skipped
def schedule_free(ps):
    return optim.AdamWScheduleFree(ps, lr=0.1)


INSIDE = {
    "joint": lambda ps: optim.Joint([schedule_free(ps[:1]), SGD(ps[1:], lr=0.1)]),
    "lookahead": lambda ps: Lookahead(schedule_free(ps), 3),
    "switch": lambda ps: Switch([schedule_free(ps), SGD(ps, lr=0.1)], after(100)),
    "nested": lambda ps: optim.Joint([Lookahead(schedule_free(ps[:1])), SGD(ps[1:], lr=0.1)]),
    "ensemble": lambda ps: Ensemble([schedule_free(ps), SGD(ps, lr=0.1), optim.SGDScheduleFree(ps, lr=0.5)], [2, 1, 1]),
}


@pytest.mark.parametrize("make", INSIDE.values(), ids=INSIDE)
def test_wrappers_have_the_modes_of_schedule_free_rules(make, where):
    ps, twins = leaves(where), leaves(where)
    rule, twin = make(ps), make(twins)
    for t in range(7):
        for r, xs in ((rule, ps), (twin, twins)):
            give(xs, where, t)
            r.step()
        training = [where.host(p).copy() for p in ps]
        rule.eval()
        used = [where.host(p).copy() for p in ps]
        rule.eval()
        assert all((where.host(p) == x).all() for p, x in zip(ps, used, strict=True))
        give(ps, where, t)
        with pytest.raises(RuntimeError, match="call the optimizer's train()"):
            rule.step()
        state = copy.deepcopy(rule.state_dict())
        rule.train()
        close(ps, training, where, 1e-12)
        assert t == 0 or any((x != y).any() for x, y in zip(training, used, strict=True))
    others = [Parameter(where.array(x)) for x in used]  # saved in evaluation, as a checkpoint is
    other = make(others)
    other.load_state_dict(state)
    other.train()
    close(others, training, where, 1e-12)
    rule.train()
    close(ps, [where.host(p) for p in twins], where, 1e-10)


def test_wrappers_of_other_rules_have_no_modes():
    for make in (*COMBINATIONS.values(), lambda ps: optim.Joint([SGD(ps[:1]), Adam(ps[1:])])):
        rule = make([Parameter(x) for x in start()])
        assert not hasattr(rule, "eval") and not hasattr(rule, "train")
    with pytest.raises(AttributeError, match=r"Lookahead: no rule within has eval\(\)"):
        Lookahead(SGD([Parameter(np.ones(1))])).eval()


def test_an_ensemble_is_evaluated_at_the_mixture():
    w = Parameter(np.array([1.0]))
    rules = [optim.SGDScheduleFree([w], lr=0.5), SGD([w], lr=0.1), optim.SGDScheduleFree([w], lr=0.2, momentum=0.5)]
    rule = Ensemble(rules, [2, 1, 1])
    for _ in range(3):
        w.grad = wrap(w.array.copy())
        rule.step()
    y = w.array.copy()
    z = [r.state[w]["z"].array for r in (rules[0], rules[2])]
    expected = y + 0.5 * (1 - 1 / 0.9) * (z[0] - y) + 0.25 * (1 - 1 / 0.5) * (z[1] - y)
    rule.eval()
    np.testing.assert_allclose(w.array, expected, rtol=1e-14)
    rule.train()
    assert (w.array == y).all()


def test_the_next_rule_begins_at_the_average_of_a_schedule_free_one():
    w, alone = Parameter(np.array([1.0])), Parameter(np.array([1.0]))
    rule = Switch([optim.SGDScheduleFree([w], lr=0.5), SGD([w], lr=0.1)], after(3))
    reference = optim.SGDScheduleFree([alone], lr=0.5)
    for _ in range(3):
        w.grad, alone.grad = wrap(w.array.copy()), wrap(alone.array.copy())
        rule.step()
        reference.step()
    y = alone.array.copy()
    reference.eval()
    assert rule.active == 1 and (w.array == alone.array).all() and (w.array != y).all()
    rule.eval()
    rule.train()
    assert (w.array == alone.array).all()
    w.grad = wrap(np.ones(1))
    rule.step()
    assert w.array == alone.array - 0.1


def test_switch_counts_only_steps_that_are_made():
    w = Parameter(np.ones(1))
    rule = Switch([SGD([w], lr=0.1).transform(transforms.SkipNonFinite()), SGD([w], lr=1.0)], after(np.int64(2)))
    for g, active in ((math.nan, 0), (math.nan, 0), (1.0, 0), (math.inf, 0), (1.0, 1)):
        w.grad = wrap(np.array([g]))
        rule.step()
        assert rule.active == active
    np.testing.assert_allclose(w.array, [0.8])


@pytest.mark.parametrize("outer", [lambda rule: rule, lambda rule: optim.Joint([rule])], ids=["itself", "in a Joint"])
def test_lookahead_counts_only_steps_that_are_made(outer):
    w = Parameter(np.ones(1))
    inner = SGD([w], lr=0.1).transform(transforms.Accumulate(2))
    rule, called = Lookahead(outer(inner), k=np.int64(2), alpha=np.float32(0.5)), []
    rule.register_step_post_hook(lambda *a: called.append(1))
    for steps in (0, 1, 1, 0):
        w.grad = wrap(np.ones(1))
        rule.step()
        assert rule.steps == steps
    assert w.array == 0.9 and len(called) == 2 and type(rule.k) is int


def test_a_step_that_all_rules_leave_out_is_none():
    w = Parameter(np.ones(1))
    skip = [SGD([w], lr=0.1).transform(transforms.SkipNonFinite()) for _ in range(2)]
    rule = Switch([Ensemble(skip), SGD([w], lr=1.0)], after(1))
    w.grad = wrap(np.array([math.nan]))
    assert rule.step(lambda: 3.0) == 3.0 and rule.active == 0 and w.array == 1 and not rule._stepped
    w.grad = wrap(np.ones(1))
    rule.step()
    assert rule.active == 1
