"""The optimizers: their paths against independent transcriptions of the equations, and PyTorch's interface."""

from __future__ import annotations

import contextlib
import copy
import importlib
import math
import pickle
import re

import numpy as np
import pytest
from conftest import REAL_GPU, Where

import minidl
from minidl import optim
from minidl.backend import backend_of
from minidl.optim.optimizer import required
from minidl.tensor import Parameter, wrap

SHAPES = [(7, 5), (5,), (), (3, 2, 4), (1,), (40,)]


# ---------------------------------------------------------------------------------------- the equations, once more
class PlainSGD:
    """PyTorch's SGD, one parameter in float64 or float32, written from its documentation."""

    def __init__(self, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False):
        self.__dict__.update(locals(), buffer=None)

    def step(self, x, g):
        g = -g if self.maximize else g
        g = g + self.weight_decay * x
        if self.momentum:
            if self.buffer is None:
                self.buffer = g
            else:
                self.buffer = self.momentum * self.buffer + (1 - self.dampening) * g
            g = g + self.momentum * self.buffer if self.nesterov else self.buffer
        return x - self.lr * g

    def state(self):
        return {} if self.buffer is None else {"momentum_buffer": self.buffer}


class PlainAdam:
    """Algorithm 1 of the Adam paper, AMSGrad as in PyTorch, and AdamW's line 12."""

    decoupled = False

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, maximize=False):
        self.__dict__.update(locals(), t=0, m=0.0, v=0.0, largest=0.0)

    def step(self, x, g):
        self.t += 1
        g = -g if self.maximize else g
        if self.decoupled:
            x = x - self.lr * self.weight_decay * x
        else:
            g = g + self.weight_decay * x
        b1, b2 = self.betas
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g**2
        self.largest = np.maximum(self.largest, self.v)
        m_hat = self.m / (1 - b1**self.t)
        v_hat = (self.largest if self.amsgrad else self.v) / (1 - b2**self.t)
        return x - self.lr * m_hat / (np.sqrt(v_hat) + self.eps)

    def state(self):
        largest = {"max_exp_avg_sq": self.largest} if self.amsgrad else {}
        return {"step": float(self.t), "exp_avg": self.m, "exp_avg_sq": self.v, **largest} if self.t else {}


class PlainAdamW(PlainAdam):
    decoupled = True

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, maximize=False):
        super().__init__(lr, betas, eps, weight_decay, amsgrad, maximize)


PLAIN = {"SGD": PlainSGD, "Adam": PlainAdam, "AdamW": PlainAdamW}
GRID = [
    ("SGD", dict(lr=0.05)),
    ("SGD", dict(lr=0.02, momentum=0.9)),
    ("SGD", dict(lr=0.02, momentum=0.9, dampening=0.3, weight_decay=0.1)),
    ("SGD", dict(lr=0.02, momentum=0.8, nesterov=True)),
    ("SGD", dict(lr=0.002, momentum=0.8, nesterov=True, weight_decay=0.1, maximize=True)),
    ("SGD", dict(lr=0.02, weight_decay=0.2)),
    ("Adam", dict(lr=0.02)),
    ("Adam", dict(lr=0.02, betas=(0.4, 0.7), eps=1e-2)),
    ("Adam", dict(lr=0.02, weight_decay=0.1)),
    ("Adam", dict(lr=0.02, amsgrad=True, betas=(0.8, 0.9))),
    ("Adam", dict(lr=0.002, maximize=True, weight_decay=0.1, amsgrad=True)),
    ("AdamW", dict(lr=0.02)),
    ("AdamW", dict(lr=0.02, weight_decay=0.3, betas=(0.8, 0.99), amsgrad=True)),
    ("AdamW", dict(lr=0.002, weight_decay=0.3, maximize=True)),
]


def start(dtype):
    rng = np.random.default_rng(3)
    return [np.array(rng.standard_normal(shape), dtype) for shape in SHAPES]


def slope(x):
    """The gradient of a bumpy bowl, the same expression for arrays of either type."""
    return (x + np.sin(3 * x) * 0.3).astype(x.dtype)


def has_gradient(skipping: bool, t: int, i: int) -> bool:
    return not skipping or (t + i) % 5 > i % 3


@pytest.mark.parametrize("skipping", [False, True], ids=["all", "some None"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("rule", "options"), GRID, ids=lambda x: x if isinstance(x, str) else ",".join(x))
def test_paths_agree_with_the_equations(rule, options, dtype, skipping, where):
    xs = start(dtype)
    ps = [Parameter(where.array(x)) for x in xs]
    other = {**options, "lr": options["lr"] / 2}
    groups = [{"params": ps[:2]}, {"params": ps[2:], "lr": other["lr"]}]
    optimizer = getattr(optim, rule)(groups, **options)
    plain = [PLAIN[rule](**(options if i < 2 else other)) for i in range(len(xs))]
    for t in range(200 if where.name == "cpu" else 30):
        for i, p in enumerate(ps):
            given = has_gradient(skipping, t, i)
            p.grad = where.tensor(slope(where.host(p))) if given else None
            if given:
                xs[i] = plain[i].step(xs[i], slope(xs[i]))
        optimizer.step()
    limit = dict(rtol=1e-12, atol=1e-12) if dtype is np.float64 else dict(rtol=2e-4, atol=2e-5)
    for p, x, one in zip(ps, xs, plain, strict=True):
        assert p.array.dtype == dtype and where.host(p).shape == x.shape
        np.testing.assert_allclose(where.host(p), x, **limit)
        expected, found = one.state(), optimizer.state.get(p, {})
        assert set(found) == set(expected)
        for key, value in expected.items():
            array = found[key].array if key == "step" else where.host(found[key])
            np.testing.assert_allclose(array, value, **limit)
            assert array.dtype == (np.float32 if key == "step" else dtype)


def test_first_adam_step_is_lr_whatever_the_scale_of_the_gradient():
    # a wrong bias correction, or eps beside the uncorrected root or inside it, shows here at once
    for scale in (1e-6, 1.0, 1e6):
        w = Parameter(np.zeros(3))
        w.grad = wrap(np.array([1.0, -2.0, 3.0]) * scale)
        optim.Adam([w], lr=0.1).step()
        np.testing.assert_allclose(
            w.array, -0.1 * np.sign(w.grad.array) * (1 / (1 + 1e-8 / abs(w.grad.array))), rtol=1e-12
        )


def test_l2_and_decoupled_decay_are_the_same_for_sgd_and_not_for_adam():
    paths = {}
    for name, make in {
        "sgd": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.5),
        "sgd decoupled": lambda p: optim.SGD([{"params": p, "decoupled_weight_decay": True}], lr=0.1, weight_decay=0.5),
        "adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.5),
        "adamw": lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.5),
        "adam decoupled": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.5, decoupled_weight_decay=True),
    }.items():
        w = Parameter(np.array([1.0, -3.0]))
        rule = make([w])
        for _ in range(5):
            w.grad = wrap(slope(w.array))
            rule.step()
        paths[name] = w.array
    np.testing.assert_allclose(paths["sgd"], paths["sgd decoupled"], rtol=1e-14)
    assert abs(paths["adam"] - paths["adamw"]).max() > 0.05
    assert np.array_equal(paths["adamw"], paths["adam decoupled"])


# -------------------------------------------------------------------------------------------------- rules of others
class Signs(optim.Optimizer):
    """Written for PyTorch: a momentum of signs, with everything the base class offers to a step of one's own."""

    def __init__(self, params, lr=required, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta})

    @minidl.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with minidl.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["mean"] = minidl.zeros_like(p)
                state["step"] += 1
                state["mean"].mul_(group["beta"]).add_(p.grad.sign(), alpha=1 - group["beta"])
                p.add_(state["mean"], alpha=-group["lr"])
        return loss


class ThroughData(optim.Optimizer):
    """Written for an old PyTorch: p.data and p.grad.data, no no_grad."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                d = p.grad.data
                state = self.state[p]
                if "sum" not in state:
                    state["sum"] = minidl.zeros_like(p.data)
                state["sum"] += d * d
                p.data.add_(-group["lr"] * d / (state["sum"].sqrt() + 1e-10))


def test_an_optimizer_written_for_pytorch_runs(where):
    w = where.leaf([1.0, -2.0])
    rule, mean, x = Signs([w], lr=0.1), np.zeros(2), np.array([1.0, -2.0])
    calls = []
    rule.register_step_post_hook(lambda *a: calls.append(a))
    for _ in range(6):

        def closure():
            rule.zero_grad()
            loss = (w * w).sum()
            loss.backward()
            return loss

        value = (x * x).sum()
        assert float(rule.step(closure)) == pytest.approx(value)
        mean = 0.9 * mean + 0.1 * np.sign(x)
        x = x - 0.1 * mean
    np.testing.assert_allclose(where.host(w), x, rtol=1e-12)
    assert len(calls) == 6 and rule.state[w]["step"] == 6
    saved = copy.deepcopy(rule.state_dict())
    assert saved["state"][0]["step"] == 6 and saved["param_groups"] == [{"lr": 0.1, "beta": 0.9, "params": [0]}]
    again = Signs([where.leaf([0.0, 0.0])], lr=3.0)
    again.load_state_dict(saved)
    (p,) = again.param_groups[0]["params"]
    assert again.param_groups[0]["lr"] == 0.1 and again.state[p]["step"] == 6
    np.testing.assert_allclose(where.host(again.state[p]["mean"]), mean, rtol=1e-12)
    with pytest.raises(ValueError, match="does not say its lr"):
        Signs([w])


def test_an_optimizer_that_works_through_data_runs(where):
    w = where.leaf([1.0, -2.0])
    rule, total, x = ThroughData([w]), np.zeros(2), np.array([1.0, -2.0])
    for _ in range(5):
        rule.zero_grad()
        (w * w).sum().backward()
        rule.step()
        total = total + 4 * x * x
        x = x - 0.1 * 2 * x / (np.sqrt(total) + 1e-10)
    np.testing.assert_allclose(where.host(w), x, rtol=1e-12)


class Normed(optim.Optimizer):
    """A rule that needs whole tensors, with a number in its state: p <- p - lr g / |g| / n, n the sum of 1 ... step."""

    elementwise = False
    state_keys = {"n": "count"}

    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay))

    def init(self, p, h):
        return {"n": 0.0, "last": backend_of(p).zeros_like(p)}

    def advance(self, state, h):
        state["n"] += h.step

    def update(self, p, g, state, h):
        B = backend_of(p)
        state["last"][...] = g
        p -= h.lr / state["n"] * g / B.sqrt(B.sum(g * g))


class Flowing(Normed):
    """The same numbers by the rule's own arithmetic, element by element."""

    elementwise = True

    def update(self, p, g, state, h):
        state["last"][...] = g
        p -= h.lr / state["n"] * g


@pytest.mark.parametrize("kind", [Normed, Flowing])
def test_a_new_rule_may_keep_numbers_and_need_whole_tensors(kind, where):
    xs = [np.array([[3.0, 4.0], [0.0, 12.0]]), np.array(2.0), np.array([1.0, 2.0])]
    ps = [Parameter(where.array(x)) for x in xs]
    rule, n = kind(ps, weight_decay=0.5), [0, 0, 0]
    for t in range(1, 6):
        for i, p in enumerate(ps):
            p.grad = where.tensor(xs[i] * 2) if i < 2 or t % 2 else None
        rule.step()
        for i in range(3):
            if i < 2 or t % 2:
                steps = t if i < 2 else (t + 1) // 2
                n[i] += steps
                g = 2 * xs[i] + 0.5 * xs[i]
                xs[i] = xs[i] - 0.1 / n[i] * g / (np.sqrt((g * g).sum()) if kind is Normed else 1)
    for i, p in enumerate(ps):
        np.testing.assert_allclose(where.host(p), xs[i], rtol=1e-12)
        assert float(rule.state[p]["count"].array) == n[i] and set(rule.state[p]) == {"step", "count", "last"}
        assert rule.state[p]["last"].shape == p.shape


def test_a_class_without_update_and_step_says_so():
    class Empty(optim.Optimizer):
        pass

    w = Parameter(np.zeros(1))
    w.grad = wrap(np.ones(1))
    with pytest.raises(NotImplementedError, match=r"Empty has neither update\(p, g, state, h\) nor step"):
        Empty([w], {"lr": 1.0}).step()


# ------------------------------------------------------------------------------------------------ groups, parameters
def leaf(*shape, dtype=np.float64):
    p = Parameter(np.ones(shape, dtype))
    p.grad = wrap(np.ones(shape, dtype))
    return p


def test_ways_to_give_parameters():
    a, b, c = leaf(2), leaf(3), leaf()
    assert optim.SGD(p for p in (a, b)).param_groups[0]["params"] == [a, b]
    groups = optim.SGD([{"params": (p for p in (a, b)), "lr": 0.5}, {"params": c}], lr=0.1, momentum=0.9).param_groups
    assert [g["params"] for g in groups] == [[a, b], [c]]
    assert [g["lr"] for g in groups] == [0.5, 0.1] and [g["momentum"] for g in groups] == [0.9, 0.9]
    named = optim.SGD([("a", a), ("b", b)])
    assert named.param_groups[0]["param_names"] == ["a", "b"] and named.param_groups[0]["params"] == [a, b]
    named.add_param_group({"params": [("c", c)]})
    assert named.state_dict()["param_groups"][1]["param_names"] == ["c"]
    named.step()
    assert all(p.array.ravel()[0] == 1 - 1e-3 for p in (a, b, c))


def test_given_dicts_are_not_changed():
    group = {"params": [leaf(2)]}
    optim.SGD([group], lr=0.5)
    assert list(group) == ["params"]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (lambda: leaf(2), TypeError, r"SGD: params must be an iterable .* got one Tensor"),
        (lambda: [], ValueError, "SGD: got an empty parameter list"),
        (lambda: {leaf(2)}, TypeError, "params is a set"),
        (lambda: [{"params": {leaf(2)}}], TypeError, "params of a group are a set"),
        (lambda: [{"params": [leaf(2)]}, [leaf(2)]], TypeError, "group must be a dict, got list"),
        (lambda: [np.ones(2)], TypeError, "can only optimize Tensors, got ndarray"),
        (lambda: [leaf(2) * 2], ValueError, r"non-leaf Tensor \(float64 \(2,\) on cpu, from <multiply>"),
        (
            lambda: [leaf(2)] * 2,
            ValueError,
            r"SGD: parameter 1 of group 0, float64 \(2,\) on cpu, appears more than once",
        ),
        (lambda: [("w", p := leaf(2)), ("v", p)], ValueError, "SGD: parameter 'v' appears more than once"),
        (lambda: [{"params": (p := leaf(2))}, {"params": p}], ValueError, "parameter 0 of group 1, .* more than once"),
        (lambda: [("w", leaf(2)), leaf(2)], ValueError, "either all parameters have names or none; 1 of 2 have"),
        (
            lambda: [{"params": [("w", leaf(2))]}, {"params": leaf(2)}],
            ValueError,
            "either all groups have parameter names",
        ),
    ],
)
def test_wrong_parameters_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        optim.SGD(params())


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        ("SGD", dict(lr=-1), r"SGD: lr must be a finite number >= 0, got -1"),
        ("SGD", dict(lr=math.nan), "SGD: lr must be .* got nan"),
        ("SGD", dict(lr=math.inf), "SGD: lr must be .* got inf"),
        ("SGD", dict(momentum=-0.1), "SGD: momentum must"),
        ("SGD", dict(dampening=math.inf), "SGD: dampening must be a finite number, got inf"),
        ("SGD", dict(weight_decay=-1), "SGD: weight_decay must"),
        (
            "SGD",
            dict(nesterov=True),
            "SGD: nesterov needs a momentum > 0 and dampening 0, got momentum=0 and dampening=0",
        ),
        ("SGD", dict(nesterov=True, momentum=0.9, dampening=0.1), "SGD: nesterov needs"),
        ("SGD", dict(lr=wrap(np.ones(2))), "SGD: lr must be one number, got a Tensor"),
        ("Adam", dict(lr=np.float64(-1)), "Adam: lr must"),
        ("Adam", dict(betas=(0.9, 1.0)), r"Adam: betas\[1\] must be a finite number >= 0 and < 1, got 1.0"),
        ("Adam", dict(betas=(-0.1, 0.9)), r"Adam: betas\[0\] must"),
        ("Adam", dict(betas=(0.9,)), r"Adam: betas must be a pair of numbers, got \(0.9,\)"),
        ("Adam", dict(eps=-1e-8), "Adam: eps must"),
        ("AdamW", dict(weight_decay=math.nan), "AdamW: weight_decay must"),
    ],
)
def test_wrong_hyperparameters_are_refused(rule, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, rule)([leaf(2)], **options)
    good = getattr(optim, rule)([leaf(2)])
    with pytest.raises(ValueError, match=message):
        good.add_param_group({"params": [leaf(2)], **options})
    assert len(good.param_groups) == 1


def test_hyperparameters_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match="SGD: lr must be a number, got '0.1'"):
        optim.SGD([leaf(2)], lr="0.1")


@pytest.mark.parametrize("flag", ["capturable", "differentiable"])
@pytest.mark.parametrize("rule", ["SGD", "Adam", "AdamW"])
def test_flags_that_are_not_supported_say_so(rule, flag):
    if (rule, flag) != ("SGD", "capturable"):
        with pytest.raises(
            NotImplementedError, match=f"{rule}: capturable and differentiable are not supported, got {flag}=True"
        ):
            getattr(optim, rule)([leaf(2)], **{flag: True})


def test_flags_of_speed_are_kept_and_change_nothing():
    a, b = leaf(3), leaf(3)
    optim.Adam([a]).step()
    fast = optim.Adam([b], foreach=True, fused=False)
    fast.step()
    assert fast.state_dict()["param_groups"][0]["foreach"] is True
    assert np.array_equal(a.array, b.array)


def test_a_rate_may_be_a_tensor_or_a_numpy_number():
    rate = wrap(np.array(0.5, np.float32))
    p, q = leaf(2, dtype=np.float32), leaf(2, dtype=np.float32)
    rule, other = optim.SGD([p], lr=rate), optim.SGD([q], lr=np.float64(0.5))
    rule.step(), other.step()
    assert rule.param_groups[0]["lr"] is rate
    assert p.array.tolist() == q.array.tolist() == [0.5, 0.5] and q.array.dtype == np.float32
    rate.write(0.25)
    rule.step()
    assert p.array.tolist() == [0.25, 0.25]


def test_a_group_may_be_added_and_hyperparameters_changed_in_the_middle():
    a, b = leaf(2), leaf(2)
    rule = optim.SGD([a], lr=1.0)
    rule.step()
    rule.add_param_group({"params": [b], "lr": 10.0})
    rule.param_groups[0]["lr"] = 0.5
    rule.step()
    assert a.array.tolist() == [-0.5, -0.5] and b.array.tolist() == [-9.0, -9.0]
    # a momentum that is switched on begins with the gradient itself, one that is switched off is kept
    rule.param_groups[0]["momentum"] = 0.9
    rule.step(), rule.step()
    assert a.array == pytest.approx([-0.5 - 0.5 - 0.5 * 1.9] * 2)
    rule.param_groups[0]["momentum"] = 0
    rule.step()
    assert a.array == pytest.approx([-2.45] * 2) and rule.state[a]["momentum_buffer"].array == pytest.approx([1.9] * 2)
    adam = optim.Adam([a])
    adam.step()
    adam.param_groups[0]["amsgrad"] = True
    adam.step()
    assert set(adam.state[a]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}


# --------------------------------------------------------------------------------------------------- step and hooks
def test_gradients_are_never_changed_and_none_means_untouched(where):
    for maximize in (False, True):
        ps = [Parameter(where.array(x)) for x in start(np.float64)]
        rule = optim.AdamW(ps, lr=0.1, weight_decay=0.1, maximize=maximize)
        rule2 = optim.SGD(ps, lr=0.1, weight_decay=0.1, momentum=0.9, nesterov=True, maximize=maximize)
        for p in ps[1:]:
            p.grad = where.tensor(slope(where.host(p)))
        before, first = [where.host(p.grad).copy() for p in ps[1:]], where.host(ps[0]).copy()
        for _ in range(3):
            rule.step(), rule2.step()
        assert all(np.array_equal(where.host(p.grad), g) for p, g in zip(ps[1:], before, strict=True))
        assert np.array_equal(where.host(ps[0]), first) and ps[0] not in rule.state and ps[0] not in rule2.state


def test_zero_grad():
    w, v = leaf(2), leaf(2)
    v.grad = None
    rule = optim.SGD([w, v])
    held = w.grad
    rule.zero_grad(set_to_none=False)
    assert w.grad is held and held.array.tolist() == [0, 0] and v.grad is None
    with_graph = wrap(np.ones(2), requires_grad=True) * 3
    w.grad = with_graph
    rule.zero_grad(set_to_none=False)
    assert w.grad.array.tolist() == [0, 0] and not w.grad.requires_grad
    rule.zero_grad()
    assert w.grad is None


def test_step_is_noticed_by_backward(where):
    w, x = Parameter(where.array(np.ones(2))), where.leaf(np.ones(2))
    w.grad = where.tensor(np.ones(2))
    rule = optim.Adam([w])
    rule.step()
    for used in (w, rule.state[w]["exp_avg"]):
        y = (used * x).sum()
        rule.step()
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


def test_closure_runs_with_gradients_on():
    w = Parameter(np.array([2.0]))
    rule = optim.SGD([w], lr=0.25)

    def closure():
        rule.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with minidl.no_grad():
        assert float(rule.step(closure)) == 4.0
    assert w.array.tolist() == [1.0]


def test_hooks_run_once_around_a_step_also_when_step_calls_super():
    class Doubled(optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            return super().step(closure)

    order = []
    for rule, steps in ((optim.SGD([leaf(1)], lr=1.0), 1), (Doubled([leaf(1)], lr=1.0), 2)):
        pre = rule.register_step_pre_hook(lambda *a: order.append(("pre", *a)))
        post = rule.register_step_post_hook(lambda *a: order.append(("post", *a)))
        rule.step()
        assert [o[0] for o in order] == ["pre", "post"] and order[0][1] is rule and order[0][2] == (rule,)
        assert rule.param_groups[0]["params"][0].array.tolist() == [1.0 - steps]
        pre.remove(), post.remove()
        rule.step()
        assert len(order) == 2
        order.clear()


def test_a_pre_hook_may_change_the_arguments():
    rule = optim.SGD([leaf(1)])
    rule.register_step_pre_hook(lambda self, args, kwargs: ((self, lambda: 7), {}))
    assert rule.step() == 7
    rule.register_step_pre_hook(lambda self, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"SGD.step: a pre-hook must return None or \(args, kwargs\), got 3"):
        rule.step()
    assert rule.register_step_post_hook(lambda *a: None) is not None


def test_repr_is_pytorchs():
    assert repr(optim.SGD([{"params": leaf(1)}, {"params": leaf(2), "lr": 0.5}])) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.001\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n"
        "\nParameter Group 1\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.5\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )


# ------------------------------------------------------------------------------------------------- saving, loading
def run(rule, ps, steps, where, first=0):
    for t in range(first, first + steps):
        for i, p in enumerate(ps):
            p.grad = where.tensor(slope(where.host(p))) if has_gradient(True, t, i) else None
        rule.step()


@pytest.mark.parametrize(("rule", "options"), GRID, ids=lambda x: x if isinstance(x, str) else ",".join(x))
@pytest.mark.parametrize("stop", [0, 1, 2, 5, 9])
def test_a_loaded_state_goes_on_bit_for_bit(rule, options, stop, where):
    def fresh(xs):
        ps = [Parameter(where.array(x)) for x in xs]
        return ps, getattr(optim, rule)([{"params": ps[:3], "lr": 0.01}, {"params": ps[3:]}], **options)

    ps, one = fresh(start(np.float32))
    run(one, ps, stop, where)
    qs, other = fresh([where.host(p) for p in ps])
    other.param_groups[0]["lr"] = 7.0  # comes from the file
    saved = copy.deepcopy(one.state_dict())
    other.load_state_dict(saved)
    run(one, ps, 12 - stop, where, stop), run(other, qs, 12 - stop, where, stop)
    assert all(np.array_equal(where.host(p), where.host(q)) for p, q in zip(ps, qs, strict=True))
    for p, q in zip(ps, qs, strict=True):
        assert one.state.get(p, {}).keys() == other.state.get(q, {}).keys()
    # what was saved belongs to nobody: it can be loaded again
    qs, other = fresh([where.host(p) for p in ps])
    other.load_state_dict(saved)
    for number, entries in saved["state"].items():
        for key, t in entries.items():
            found = other.state[qs[number]][key]
            assert found is not t and found.dtype == t.dtype and found.array is not t.array


def test_state_dict_has_pytorchs_form():
    a, b, c = leaf(2, 3), leaf(2), leaf()
    b.grad = None
    rule = optim.Adam([{"params": [a, b]}, {"params": [c], "lr": 0.5}], amsgrad=True)
    rule.step()
    saved = rule.state_dict()
    assert list(saved) == ["state", "param_groups"] and list(saved["state"]) == [0, 2]
    assert list(saved["state"][0]) == ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    assert saved["state"][0]["step"].shape == () and saved["state"][0]["step"].dtype == minidl.float32
    assert [g["params"] for g in saved["param_groups"]] == [[0, 1], [2]]
    flags = dict(foreach=None, capturable=False, differentiable=False, fused=None, decoupled_weight_decay=False)
    expected = dict(lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=True, maximize=False, **flags)
    assert saved["param_groups"][0] == {**expected, "params": [0, 1]}
    assert optim.SGD([a]).state_dict()["state"] == {}


def test_state_is_loaded_in_the_dtype_and_on_the_device_of_the_parameter(where):
    p = leaf(3, dtype=np.float32)
    source = optim.Adam([p])
    source.step()
    q = where.leaf(np.ones(3), np.float64)
    target = optim.Adam([q])
    target.load_state_dict(source.state_dict())
    mean = target.state[q]["exp_avg"]
    assert mean.dtype == minidl.float64 and where.host(mean) == pytest.approx([0.1] * 3)
    assert target.state[q]["step"].dtype == minidl.float32 and type(target.state[q]["step"].array) is np.ndarray
    q.grad = where.tensor(np.ones(3))
    target.step()
    assert float(target.state[q]["step"].array) == 2


def plain_state(shape=(2,), **more):
    entries = {"step": wrap(np.array(3.0)), "exp_avg": wrap(np.ones(shape)), "exp_avg_sq": wrap(np.ones(shape)), **more}
    return {"state": {0: entries}, "param_groups": optim.Adam([leaf(2)]).state_dict()["param_groups"]}


def without(saved, *keys, group=()):
    for key in keys:
        del saved["state"][0][key]
    for key in group:
        del saved["param_groups"][0][key]
    return saved


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (lambda: plain_state((3,)), r"parameter 0 has a 'exp_avg' of shape \(3,\), expected \(2,\)\n.*exp_avg_sq"),
        (lambda: plain_state(step=wrap(np.ones(2))), r"parameter 0 has a 'step' of shape \(2,\), expected \(\)"),
        (lambda: without(plain_state(), "exp_avg"), "parameter 0 has no 'exp_avg'"),
        (lambda: plain_state(momentum_buffer=wrap(np.ones(2))), "parameter 0 has a 'momentum_buffer', expected"),
        (lambda: optim.SGD([leaf(2)]).state_dict(), r"group 0 has no 'betas'; is it of another rule\?"),
        (lambda: optim.Adam([leaf(2), leaf(2)]).state_dict(), r"the groups have \[2\] parameters, expected \[1\]"),
        (lambda: {"state": {}, "param_groups": []}, r"the groups have \[\] parameters, expected \[1\]"),
        (lambda: {"state": {}}, "expected a dict with 'state' and 'param_groups'"),
        (
            lambda: optim.Adam([leaf(2)], lr=1).state_dict() | {"param_groups": bad_group()},
            "Adam: lr must be a finite number",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed(saved, message):
    p = leaf(2)
    rule = optim.Adam([p], lr=0.5)
    rule.step()
    before = repr(rule), {key: t.array.tolist() for key, t in rule.state[p].items()}
    with pytest.raises(ValueError, match=message):
        rule.load_state_dict(saved())
    assert before == (repr(rule), {key: t.array.tolist() for key, t in rule.state[p].items()})
    rule.step()
    assert float(rule.state[p]["step"].array) == 2


def bad_group():
    (group,) = optim.Adam([leaf(2)]).state_dict()["param_groups"]
    return [{**group, "lr": -1.0}]


def test_states_of_older_versions_and_plain_values_are_loaded():
    # no flags that came later, the step a number, the betas a list (as JSON has it), arrays for Tensors
    saved = without(
        plain_state(step=3, exp_avg=np.full(2, 0.5)), group=["decoupled_weight_decay", "capturable", "fused"]
    )
    saved["param_groups"][0]["betas"] = [0.8, 0.9]
    p = leaf(2)
    rule = optim.Adam([p])
    rule.load_state_dict(saved)
    assert rule.param_groups[0]["betas"] == (0.8, 0.9) and rule.param_groups[0]["fused"] is None
    rule.step()
    assert float(rule.state[p]["step"].array) == 4 and rule.state[p]["exp_avg"].array == pytest.approx([0.6, 0.6])
    sgd = optim.SGD([p], momentum=0.9)
    saved = sgd.state_dict()
    saved["state"] = {0: {"momentum_buffer": None}}
    sgd.load_state_dict(saved)
    sgd.step()
    assert sgd.state[p]["momentum_buffer"].array.tolist() == [1.0, 1.0]


def test_adamw_stays_decoupled_with_a_state_of_adam():
    p = leaf(2)
    rule = optim.AdamW([p], weight_decay=0.5, lr=0.1)
    rule.load_state_dict(optim.Adam([leaf(2)], weight_decay=0.5, lr=0.1).state_dict())
    p.grad = wrap(np.zeros(2))
    rule.step()
    assert p.array == pytest.approx([0.95, 0.95])


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_copies_go_on_by_themselves(duplicate, where):
    ps = [Parameter(where.array(x)) for x in start(np.float64)]
    one = optim.Adam([{"params": ps[:2]}, {"params": ps[2:], "lr": 0.1}], lr=0.01)
    one.register_step_pre_hook(lambda *a: None)
    run(one, ps, 4, where)
    before = [where.host(p).copy() for p in ps]
    other = duplicate(one)
    qs = [q for group in other.param_groups for q in group["params"]]
    run(other, qs, 3, where, 4)
    assert all(np.array_equal(where.host(p), x) for p, x in zip(ps, before, strict=True))
    run(one, ps, 3, where, 4)
    assert all(np.array_equal(where.host(p), where.host(q)) for p, q in zip(ps, qs, strict=True))


def test_a_model_and_its_optimizer_copied_together_stay_together():
    model = minidl.nn.Linear(3, 2)
    rule = optim.SGD(model.parameters(), lr=0.1)
    model(wrap(np.ones((1, 3), np.float32))).sum().backward()
    rule.step()
    other_model, other = copy.deepcopy((model, rule))
    before = model.weight.array.copy()
    other_model(wrap(np.ones((1, 3), np.float32))).sum().backward()
    other.step()
    assert np.array_equal(model.weight.array, before) and not np.array_equal(other_model.weight.array, before)


# ------------------------------------------------------------------------------------------------------- the device
def test_a_step_on_the_device_neither_waits_nor_uploads():
    where = Where("cuda")
    ps = [Parameter(where.array(x)) for x in start(np.float32)]
    rules = [
        optim.Adam(ps, weight_decay=0.1),
        optim.SGD(ps, momentum=0.9, nesterov=True),
        optim.AdamW(ps, amsgrad=True),
    ]
    for p in ps:
        p.grad = where.tensor(slope(where.host(p)))
    allowed = contextlib.ExitStack()
    if not REAL_GPU:  # the stand-in refuses both; a real device only has to do its work
        standin = importlib.import_module("standin")
        allowed.enter_context(standin.no_sync()), allowed.enter_context(standin.no_upload())
    with allowed:
        for rule in rules * 2:
            rule.step()
    assert [float(rule.state[ps[0]]["step"].array) for rule in rules[::2]] == [2, 2]


def test_learning_works():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5)).astype(np.float32)
    y = x @ rng.standard_normal((5, 1)).astype(np.float32) + 0.3
    for make in (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.1),
        lambda p: optim.AdamW(p, lr=0.1, weight_decay=0),
    ):
        model = minidl.nn.Linear(5, 1)
        rule = make(model.parameters())
        for _ in range(300):
            rule.zero_grad()
            loss = ((model(wrap(x)) - wrap(y)) ** 2).mean()
            loss.backward()
            rule.step()
        assert float(loss) < 1e-6, re.sub(r"\s+", " ", repr(rule))


# ------------------------------------------------------------------------------------- hyperparameters that follow
def falling(step):
    return 1.0 / (1 + step)


class Tracked:
    """A schedule with a length and a memory of what it was asked."""

    steps = 10

    def __init__(self):
        self.asked = []

    def __call__(self, step):
        self.asked.append(step)
        return falling(step)


def test_a_hyperparameter_follows_a_schedule_from_step_0(where):
    w = where.leaf([0.0, 0.0])
    rule = optim.SGD([w], lr=falling)
    assert rule.param_groups[0]["lr"] == 1.0
    expected = 0.0
    for t in range(5):
        w.grad = where.tensor(np.ones(2))
        rule.step()
        expected -= falling(t)
        np.testing.assert_allclose(where.host(w), expected, rtol=1e-15)
        assert rule.param_groups[0]["lr"] == falling(t)
        assert rule.param_groups[0]["scheduled"]["lr"] == {"step": t + 1, "scale": 1.0, "last": falling(t)}


def test_any_hyperparameter_of_any_group_may_follow():
    a, b = leaf(2), leaf(3)
    rule = optim.Adam([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=falling, betas=(falling_beta, 0.99))
    for t in range(4):
        rule.step()
        first, second = rule.param_groups
        assert (first["lr"], second["lr"]) == (0.5, falling(t))
        assert first["betas"] == second["betas"] == (falling_beta(t), 0.99)
    assert [sorted(s) for s in rule.schedules] == [["betas[0]"], ["betas[0]", "lr"]]
    assert "betas[0] follows" in repr(rule) and "scheduled" not in repr(rule)


def falling_beta(step):
    return 0.9 - 0.1 * step


def test_schedules_act_in_optimizers_of_others_and_functions_of_theirs_are_left_alone():
    w = leaf(2)
    rule = ThroughData([w], lr=Tracked())
    for t in range(3):
        rule.step()
        assert rule.param_groups[0]["lr"] == falling(t)
    rule = ThroughData([w], lr=falling)
    assert rule.param_groups[0]["lr"] is falling


@pytest.mark.parametrize("stop", range(7))
def test_a_followed_schedule_is_resumed_at_its_step(stop):
    def make():
        w = Parameter(np.zeros(2))
        return w, optim.SGD([w], lr=falling, momentum=falling_momentum)

    def go(w, rule, steps):
        for _ in range(steps):
            w.grad = wrap(np.cos(w.array + 1))
            rule.step()

    w, rule = make()
    go(w, rule, 7)
    v, first = make()
    go(v, first, stop)
    x, second = make()
    x.array[...] = v.array
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    go(x, second, 7 - stop)
    assert x.array.tobytes() == w.array.tobytes()
    copied = copy.deepcopy(second)
    assert copied.schedules == second.schedules


def falling_momentum(step):
    return 0.9 / (1 + step)


def test_an_edit_by_hand_survives_a_schedule():
    w = leaf(2)
    rule = optim.SGD([w], lr=falling)
    rule.step()
    rule.step()
    rule.param_groups[0]["lr"] /= 4
    again = optim.SGD([leaf(2)], lr=falling)
    again.load_state_dict(rule.state_dict())
    for one in (rule, again):
        one.step()
        assert one.param_groups[0]["lr"] == pytest.approx(falling(2) / 4, rel=1e-15)


def test_follow_changes_what_is_followed():
    a, b = leaf(2), leaf(2)
    rule = optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1, momentum=0.5).follow(1, lr=falling)
    rule.step()
    rule.step()
    assert [g["lr"] for g in rule.param_groups] == [0.1, 0.5]
    rule.follow(1, momentum=falling_momentum)
    rule.step()
    assert rule.param_groups[1]["lr"] == falling(2)  # goes on where it was
    assert rule.param_groups[1]["momentum"] == falling_momentum(0)  # begins
    rule.follow(lr=0.25)
    rule.step()
    assert [g["lr"] for g in rule.param_groups] == [0.25, 0.25] and list(rule.schedules[1]) == ["momentum"]
    with pytest.raises(ValueError, match=r"SGD.follow: group 0 has no 'rate'; it has lr, momentum"):
        rule.follow(rate=falling)
    with pytest.raises(ValueError, match="SGD: lr must be a finite number"):
        rule.follow(lr=-1.0)
    assert [g["lr"] for g in rule.param_groups] == [0.25, 0.25]


def test_a_schedule_that_leaves_the_bounds_is_named():
    with pytest.raises(ValueError, match="SGD: the schedule of lr gives -1.0 at step 0, not a finite number >= 0"):
        optim.SGD([leaf(2)], lr=lambda step: -1.0)
    rule = optim.Adam([leaf(2)], betas=(lambda step: 0.5 + 0.5 * step, 0.9))
    rule.step()
    with pytest.raises(ValueError, match=r"schedule of betas\[0\] gives 1.0 at step 1, not a finite number >= 0 and <"):
        rule.step()


def test_a_state_with_other_schedules_is_refused():
    rule, w = optim.SGD([leaf(2)], lr=falling), leaf(2)
    with pytest.raises(ValueError, match="in group 0 a schedule is followed by lr, in the state by nothing"):
        rule.load_state_dict(optim.SGD([w], lr=0.1).state_dict())
    plain = optim.SGD([w], lr=0.1)
    plain.load_state_dict(rule.state_dict())  # which has a number for now: that is taken
    assert plain.param_groups[0]["lr"] == 1.0 and "scheduled" not in plain.param_groups[0]


# -------------------------------------------------------------------------------------------------------- transforms
class Doubled:
    def apply(self, params, optimizer):
        for p in params:
            p.grad = p.grad * 2
        return True

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        assert not state


class EverySecond:
    """Skips the first of every two steps."""

    def __init__(self):
        self.count = 0

    def apply(self, params, optimizer):
        self.count += 1
        return self.count % 2 == 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


@pytest.mark.parametrize("kind", [optim.SGD, ThroughData, Signs])
def test_transforms_act_before_every_rule(kind):
    w = Parameter(np.array([1.0, -2.0]))
    v = Parameter(w.array.copy())
    plain, rule = kind([v], lr=0.1), kind([w], lr=0.1)
    assert rule.transform(Doubled()) is rule
    for _ in range(3):
        v.grad, w.grad = wrap(2 * np.cos(v.array)), wrap(np.cos(w.array))
        plain.step()
        rule.step()
        assert np.array_equal(v.array, w.array)


@pytest.mark.parametrize("kind", [optim.SGD, Signs])
def test_transforms_act_on_what_a_closure_computes_and_may_skip(kind):
    w = Parameter(np.array([1.0, -2.0]))
    rule = kind([w], lr=0.1).transform(EverySecond(), Doubled())
    post = []
    rule.register_step_post_hook(lambda *a: post.append(1))

    def closure():
        rule.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    before = w.array.copy()
    assert float(rule.step(closure)) == 5.0 and np.array_equal(w.array, before) and not post
    assert float(rule.step(closure=closure)) == 5.0 and not np.array_equal(w.array, before) and len(post) == 1
    np.testing.assert_array_equal(w.grad.array, 4 * before)


def test_skipped_steps_do_not_count_and_are_saved():
    w = leaf(2)
    rule = optim.SGD([w], lr=falling).transform(EverySecond())
    for t in range(5):
        rule.step()
        assert rule.param_groups[0]["scheduled"]["lr"]["step"] == (t + 1) // 2
    saved = rule.state_dict()
    assert saved["transforms"] == [{"transform": "EverySecond", "count": 5}]
    again = optim.SGD([leaf(2)], lr=falling).transform(EverySecond())
    again.load_state_dict(saved)
    again.step()
    assert again.param_groups[0]["scheduled"]["lr"]["step"] == 3
    with pytest.raises(ValueError, match=r"the transforms \['EverySecond'\], expected none"):
        optim.SGD([leaf(2)], lr=falling).load_state_dict(saved)
    with pytest.raises(TypeError, match="SGD.transform: expected transforms such as .* got function"):
        rule.transform(falling)


class Sharp(optim.Optimizer):
    """Written for PyTorch: it cannot do without a closure."""

    def __init__(self, params):
        super().__init__(params, {})

    def step(self, closure):
        closure()
        return closure()


def test_a_step_that_evaluates_the_loss_itself_cannot_be_left_out():
    w = leaf(2)
    rule = optim.LBFGS([w]).transform(EverySecond())

    def closure():
        w.grad = wrap(w.array.copy())
        return float((w.array * w.array).sum() / 2)

    with pytest.raises(RuntimeError, match="LBFGS: .*EverySecond.* leaves a step out, but LBFGS evaluates the loss"):
        rule.step(closure)


def test_which_rules_need_a_closure():
    w = leaf(2)
    assert Sharp([w]).needs_closure and optim.LBFGS([w]).needs_closure and optim.Lookahead(Sharp([w])).needs_closure
    for rule in (
        optim.SGD([w]),
        Signs([w], lr=0.1),
        ThroughData([w]),
        optim.Lookahead(optim.SGD([w])),
        optim.SWATS([w]),
    ):
        assert not rule.needs_closure


# ------------------------------------------------------------------------------------------------- found by a reader
class Clock:
    """A schedule with a state of its own."""

    def __init__(self):
        self.now = 0

    def __call__(self, step):
        self.now += 1
        return 1.0 / (1 + self.now)

    def state_dict(self):
        return {"now": self.now}

    def load_state_dict(self, state):
        if set(state) != {"now"}:
            raise ValueError("Clock: damaged")
        self.now = state["now"]


def test_the_state_of_a_schedule_that_has_one_is_saved():
    rule = optim.SGD([leaf(2)], lr=Clock())
    for _ in range(3):
        rule.step()
    saved = copy.deepcopy(rule.state_dict())
    again = optim.SGD([leaf(2)], lr=Clock())
    again.load_state_dict(saved)
    for one in (rule, again):
        one.step()
    assert (
        again.param_groups[0]["lr"] == rule.param_groups[0]["lr"]
        and "state" not in again.param_groups[0]["scheduled"]["lr"]
    )
    saved["param_groups"][0]["scheduled"]["lr"]["state"] = {}
    before = repr(again)
    with pytest.raises(ValueError, match="Clock: damaged"):
        again.load_state_dict(saved)
    assert repr(again) == before


@pytest.mark.parametrize("saved", [optim.Adam, optim.LAMB, optim.LARS, optim.AdaBound, optim.RMSprop, optim.Lion])
@pytest.mark.parametrize("other", [optim.SGD, optim.Adam, optim.RAdam, optim.SparseAdam, optim.Adagrad])
def test_a_state_of_another_rule_is_refused(saved, other):
    if saved is other:
        return
    w = leaf(2)
    one, two = saved([w], lr=0.1), other([leaf(2)], lr=0.3)
    one.step()
    before = repr(two)
    with pytest.raises(ValueError, match=r"is it of another rule\?|does not fit"):
        two.load_state_dict(one.state_dict())
    assert repr(two) == before
    assert not two.state


def test_entries_of_the_user_are_no_hyperparameters():
    w = leaf(2)
    named = optim.SGD([{"params": [w], "name": "first", "filter": lambda n: n.endswith("x")}], lr=0.1)
    named.step()
    assert not named.schedules[0]
    plain = optim.SGD([leaf(2)], lr=0.1)
    plain.load_state_dict(named.state_dict())
    assert plain.param_groups[0]["name"] == "first"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD([leaf(2)], lr=(0.1, 0.2)), TypeError, r"SGD: lr must be a number, got \(0.1, 0.2\)"),
        (lambda: optim.SGD([leaf(2)], dampening="x"), TypeError, "SGD: dampening must be a number, got 'x'"),
        (lambda: optim.SGD([leaf(2)], dampening=None), TypeError, "SGD: dampening must be a number, got None"),
        (lambda: optim.ASGD([leaf(2)], alpha=None), TypeError, "ASGD: alpha must be a number, got None"),
        (lambda: optim.ASGD([leaf(2)], t0="x"), TypeError, "ASGD: t0 must be a number, got 'x'"),
        (lambda: optim.Adam([leaf(2)], betas=0.9), ValueError, "Adam: betas must be a pair of numbers, got 0.9"),
        (lambda: optim.Adam([leaf(2)], lr="0.1"), TypeError, "Adam: lr must be a number, got '0.1'"),
        (lambda: optim.SGD([{"lr": 1}]), ValueError, "SGD: a parameter group has no 'params', only lr"),
    ],
)
def test_hyperparameters_of_a_wrong_form_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_an_edit_does_where_a_schedule_stands_at_0():
    rule = optim.SGD([leaf(2)], lr=lambda step: 0.1 * (step != 2), momentum=0.5)
    rates = []
    for t in range(6):
        if t == 3:
            rule.param_groups[0]["lr"] = 0.7  # the step before had 0
        rule.step()
        rates.append(rule.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.0, 0.7, 0.7, 0.7])
    rule = optim.SGD([leaf(2)], lr=lambda step: 0.1)
    for value in (0.0, 0.1):
        rule.step()
        rule.param_groups[0]["lr"] = value
    rule.step()
    assert rule.param_groups[0]["lr"] == pytest.approx(0.1)
    rule = optim.Adam([leaf(2)], betas=(lambda step: 0.5 + 0.1 * step, 0.9))
    rule.step()
    rule.param_groups[0]["betas"] = (0.9, 0.9)
    with pytest.raises(
        ValueError, match=r"the schedule of betas\[0\] gives 1.08.* at step 1, not a finite number >= 0"
    ):
        rule.step()


def test_a_group_that_comes_later_joins_the_schedule_where_it_is():
    shared = Tracked()
    rule = optim.SGD([leaf(2)], lr=shared)
    for _ in range(3):
        rule.step()
    rule.add_param_group({"params": [leaf(2)]})
    rule.step()
    assert [g["lr"] for g in rule.param_groups] == [falling(3)] * 2
    rule = optim.SGD([leaf(2)], lr=0.1).follow(lr=shared)
    rule.step()
    rule.add_param_group({"params": [leaf(2)]})
    rule.step()
    assert [g["lr"] for g in rule.param_groups] == [falling(1)] * 2


class Damaged(EverySecond):
    def load_state_dict(self, state):
        raise ValueError("damaged")


def test_a_transform_that_refuses_its_state_leaves_all_as_it_was():
    w = leaf(2)
    rule = optim.SGD([w], lr=0.1, momentum=0.9).transform(EverySecond(), Damaged())
    rule.transforms[0].count = rule.transforms[1].count = 1
    rule.step()
    saved = copy.deepcopy(rule.state_dict())
    saved["transforms"][0]["count"], saved["param_groups"][0]["lr"] = 9, 0.7
    before = rule.transforms[0].count, copy.deepcopy(rule.state[w]["momentum_buffer"].array)
    with contextlib.suppress(ValueError):
        rule.load_state_dict(saved)
    assert rule.transforms[0].count == before[0] and rule.param_groups[0]["lr"] == 0.1
    assert np.array_equal(rule.state[w]["momentum_buffer"].array, before[1])


class Returning(optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    def update(self, p, g, state, h):
        return p - h.lr * g


@pytest.mark.parametrize("whole", [False, True])
def test_an_update_that_returns_instead_of_changing_is_told_so(whole):
    rule = Returning([leaf(3), leaf(2)])
    rule.elementwise = not whole
    with pytest.raises(TypeError, match=r"Returning.update: must change p in place \(p -= ...\) and return nothing"):
        rule.step()


def test_mistakes_of_beginners_are_named():
    model = minidl.nn.Sequential(minidl.nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"SGD: params is a Sequential; write model.parameters\(\)"):
        optim.SGD(model)
    with pytest.raises(TypeError, match="SGD: params must be an iterable of Tensors, got int"):
        optim.SGD(3)
    w = leaf(2)
    rule = optim.SGD([w])
    with pytest.raises(TypeError, match=r"SGD.step: closure must be a function, got Tensor; write step\(\)"):
        rule.step(wrap(np.ones(())))
    with pytest.raises(TypeError, match="SGD.transform: expected transforms such as .* got the class ClipNorm"):
        rule.transform(optim.transforms.ClipNorm)
    for value, error in ((-1.0, ValueError), (math.nan, ValueError), ("x", TypeError)):
        rule.param_groups[0]["lr"] = value
        with pytest.raises(error, match="SGD: lr must be"):
            rule.step()
    rule.param_groups[0]["lr"] = np.float32(0.5)
    rule.step()
    assert w.array.tolist() == [0.5, 0.5]
    with pytest.warns(UserWarning, match="SGD: a group has 'lrr', which is nothing to it; lr"):
        optim.SGD([{"params": [leaf(2)], "lrr": 3}])
    search = optim.LBFGS([leaf(2)])
    with pytest.raises(TypeError, match="LBFGS.step: the closure must return the loss, it returned None"):
        search.step(lambda: None)
    search.zero_grad()
    with pytest.raises(RuntimeError, match="after the closure no parameter has a gradient"):
        search.step(lambda: 1.0)
