"""Several rules for different parameters, used as one optimizer."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from minidl import nn, optim
from minidl.optim import lr_scheduler, schedules
from minidl.tensor import Parameter, wrap


def pull(*params):
    for p in params:
        p.grad = wrap(np.cos(p.array) + p.array)


def make(x=1.0, y=2.0):
    a, b = Parameter(np.array([x, -x])), Parameter(np.array([[y, 0.5], [0.1, -y]]))
    return a, b, optim.Joint([optim.Adam([a], lr=0.1), optim.Muon([b], lr=0.05)])


def test_each_rule_makes_its_own_steps(where):
    xs = [np.array([1.0, -1.0]), np.array([[2.0, 0.5], [0.1, -2.0]])]
    a, b, c, d = [Parameter(where.array(x)) for x in (*xs, *xs)]
    joint = optim.Joint([optim.Adam([a], lr=0.1), optim.Muon([b], lr=0.05)])
    alone = [optim.Adam([c], lr=0.1), optim.Muon([d], lr=0.05)]
    for _ in range(4):
        for p in (a, b, c, d):
            p.grad = where.tensor(np.cos(where.host(p)))
        joint.step()
        for rule in alone:
            rule.step()
    assert np.array_equal(where.host(a), where.host(c)) and np.array_equal(where.host(b), where.host(d))
    joint.zero_grad()
    assert a.grad is None and b.grad is None


def test_a_closure_is_evaluated_once():
    a, b, joint = make()
    calls = []

    def closure():
        calls.append(1)
        pull(a, b)
        return 7.0

    before = a.array.copy(), b.array.copy()
    assert joint.step(closure) == 7.0 and calls == [1]
    assert not np.array_equal(a.array, before[0]) and not np.array_equal(b.array, before[1])


def test_schedulers_and_schedules_reach_the_rules_within():
    a, b, joint = make()
    scheduler = lr_scheduler.StepLR(joint, 1, gamma=0.5)
    pull(a, b)
    joint.step()
    scheduler.step()
    assert [rule.param_groups[0]["lr"] for rule in joint.optimizers] == [0.05, 0.025]
    a, b, joint = make()
    joint.follow(lr=0.3 * schedules.linear(1.0, 0.0, 3))
    for expected in (0.3, 0.2, 0.1):
        pull(a, b)
        joint.step()
        assert [g["lr"] for g in joint.param_groups] == pytest.approx([expected] * 2)


@pytest.mark.parametrize("stop", range(5))
def test_saving_and_loading_goes_on_with_the_same_bits(stop):
    def go(a, b, rule, steps):
        for _ in range(steps):
            pull(a, b)
            rule.step()

    a, b, whole = make()
    go(a, b, whole, 5)
    c, d, first = make()
    go(c, d, first, stop)
    e, f, second = make(3.0, 3.0)
    e.array[...], f.array[...] = c.array, d.array
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    go(e, f, second, 5 - stop)
    assert e.array.tobytes() == a.array.tobytes() and f.array.tobytes() == b.array.tobytes()


def test_what_does_not_go_together_is_refused():
    a, b, joint = make()
    with pytest.raises(ValueError, match=r"Joint: a parameter, float64 \(2,\) .*, is in rule 0 \(Adam\) and in rule 1"):
        optim.Joint([optim.Adam([a]), optim.SGD([a])])
    with pytest.raises(NotImplementedError, match=r"Joint: rule 1 \(LBFGS\) evaluates the loss several times"):
        optim.Joint([optim.Adam([a]), optim.LBFGS([b])])
    with pytest.raises(TypeError, match="Joint: expected an optimizer, got Linear"):
        optim.Joint([nn.Linear(2, 2)])
    with pytest.raises(NotImplementedError, match="add the group to the rule it is for"):
        joint.add_param_group({"params": [Parameter(np.ones(2))]})
    saved = joint.state_dict()
    with pytest.raises(ValueError, match="Joint.load_state_dict"):
        joint.load_state_dict({**saved, "inner": saved["inner"][:1]})
