"""What the elementwise rules, and Adafactor, do beside their paths: dtypes, refusals, PyTorch's states, quirks."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from optimizers import PROBLEMS, WALKS, walk
from test_trajectories import side

from minidl import optim
from minidl.tensor import Parameter, wrap

RULES = ("Adagrad", "RMSprop", "Adadelta", "NAdam", "RAdam", "Adamax", "Rprop", "ASGD")


def leaf(*values, dtype=np.float64) -> Parameter:
    p = Parameter(np.array(values, dtype))
    p.grad = wrap(np.array([1.0, -2.0, 3.0][: len(values)], dtype))
    return p


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("rule", RULES)
def test_dtype_is_kept_and_the_path_is_near(rule, dtype, where):
    name = f"{rule} defaults"
    exact = walk(side(where), WALKS[name], 20)
    start = [x.astype(dtype) for x in PROBLEMS["bowl"].start()]
    xs = [Parameter(where.array(x)) for x in start]
    optimizer = getattr(optim, rule)([{"params": xs[:1]}, {"params": xs[1:], **WALKS[name].other}])
    for t in range(5):
        gradients = PROBLEMS["bowl"].value([where.host(x).astype(np.float64) for x in xs], t)[1]
        for i, (x, g) in enumerate(zip(xs, gradients, strict=True)):
            x.grad = where.tensor(np.asarray(g).astype(dtype)) if (t + i) % 5 > i % 3 and i != 1 else None
        optimizer.step()
    found = np.concatenate([where.host(x).ravel() for x in xs])
    np.testing.assert_allclose(
        found, exact["step 5"], **(dict(rtol=1e-5, atol=1e-5) if dtype is np.float32 else dict(rtol=2e-2, atol=2e-2))
    )
    for x in xs:
        assert x.array.dtype == dtype
        for key, entry in optimizer.state.get(x, {}).items():
            number = key in ("step", "mu_product", "eta", "mu")
            assert entry.array.dtype == ({"step": np.float32}.get(key, np.float64) if number else dtype), key
            assert entry.shape == (() if number else x.shape)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16], ids=["float64", "float32", "float16"])
def test_adafactor_keeps_dtypes_and_its_epsilon_is_that_of_the_parameter(dtype, where):
    x, y = (np.array(numbers, dtype) for numbers in ([[1.0, -2.0, 3.0], [2.0, 0.5, -1.0]], [1.0, 1.0]))
    g, tiny = np.array([[1.0, 0.5, -2.0], [0.1, -1.0, 0.3]]), np.finfo(dtype).eps / 4
    p, q, other = (Parameter(where.array(a)) for a in (x, y, np.ones(3)))
    rule = optim.Adafactor([other, p, q], lr=0.1)  # another dtype comes first
    other.grad = where.tensor(np.ones(3))
    p.grad, q.grad = where.tensor(g.astype(dtype)), where.tensor(np.array([tiny, -tiny], dtype))
    rule.step()
    R, C = (g**2).mean(1, keepdims=True), (g**2).mean(0, keepdims=True)
    u = g / np.sqrt(R * C / R.mean())
    expected = x - 0.1 * np.sqrt((x.astype(np.float64) ** 2).mean()) * u / max(1, np.sqrt((u**2).mean()))
    near = {np.float64: 1e-12, np.float32: 1e-5, np.float16: 3e-3}[dtype]
    np.testing.assert_allclose(where.host(p), expected, rtol=near, atol=near)
    np.testing.assert_allclose(where.host(q), [1 - 0.1 / 4, 1 + 0.1 / 4], rtol=near)
    state = {key: (entry.shape, entry.array.dtype) for key, entry in rule.state[p].items()}
    assert state == {"row_var": ((2, 1), dtype), "col_var": ((1, 3), dtype), "step": ((), np.float32)}
    assert rule.state[q].keys() == {"variance", "step"} and rule.state[q]["variance"].array.dtype == dtype
    assert p.array.dtype == q.array.dtype == dtype


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_adafactor_leaves_what_is_empty(shape, where):
    p = Parameter(where.array(np.zeros(shape)))
    p.grad = where.tensor(np.zeros(shape))
    rule = optim.Adafactor([p])
    rule.step()
    assert p.shape == shape and float(rule.state[p]["step"].array) == 1


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        ("Adagrad", dict(lr=-1), "Adagrad: lr must be a finite number >= 0, got -1"),
        ("Adagrad", dict(lr_decay=-0.1), "Adagrad: lr_decay must be a finite number >= 0, got -0.1"),
        ("Adagrad", dict(initial_accumulator_value=-1), "Adagrad: initial_accumulator_value must"),
        ("Adagrad", dict(eps=math.nan), "Adagrad: eps must"),
        ("RMSprop", dict(alpha=-0.1), "RMSprop: alpha must be a finite number >= 0, got -0.1"),
        ("RMSprop", dict(momentum=-0.1), "RMSprop: momentum must"),
        ("RMSprop", dict(weight_decay=-1), "RMSprop: weight_decay must"),
        ("Adadelta", dict(rho=1.1), "Adadelta: rho must be at most 1, got 1.1"),
        ("Adadelta", dict(rho=-0.1), "Adadelta: rho must"),
        ("Adafactor", dict(lr=-1), "Adafactor: lr must be a finite number >= 0, got -1"),
        ("Adafactor", dict(beta2_decay=0.1), "Adafactor: beta2_decay must be at most 0, got 0.1"),
        ("Adafactor", dict(beta2_decay=math.nan), "Adafactor: beta2_decay must be a finite number, got nan"),
        ("Adafactor", dict(eps=1e-3), "Adafactor: eps must be a pair of numbers, got 0.001"),
        ("Adafactor", dict(eps=(-1.0, 1e-3)), r"Adafactor: eps\[0\] must be a finite number >= 0, got -1.0"),
        ("Adafactor", dict(eps=(None, -1.0)), r"Adafactor: eps\[1\] must be a finite number >= 0, got -1.0"),
        ("Adafactor", dict(d=0.9), "Adafactor: d must be a finite number >= 1, got 0.9"),
        ("Adafactor", dict(weight_decay=-1), "Adafactor: weight_decay must"),
        ("NAdam", dict(betas=(0.9, 1.0)), r"NAdam: betas\[1\] must be a finite number >= 0 and < 1, got 1.0"),
        ("NAdam", dict(betas=0.9), "NAdam: betas must be a pair of numbers, got 0.9"),
        ("NAdam", dict(momentum_decay=-1), "NAdam: momentum_decay must"),
        ("RAdam", dict(betas=(0.9,)), r"RAdam: betas must be a pair of numbers, got \(0.9,\)"),
        ("RAdam", dict(weight_decay=-1), "RAdam: weight_decay must"),
        ("Adamax", dict(betas=(0.9, 0.8, 0.7)), "Adamax: betas must be a pair of numbers"),
        ("Adamax", dict(eps=-1), "Adamax: eps must"),
        (
            "Rprop",
            dict(etas=(1.2, 0.5)),
            r"Rprop: etas must be one factor in \(0, 1\) and one above 1, got \(1.2",
        ),
        ("Rprop", dict(etas=(0.0, 1.2)), "Rprop: etas must be one factor"),
        ("Rprop", dict(etas=(0.5, 1.0)), "Rprop: etas must be one factor"),
        ("Rprop", dict(etas=0.5), "Rprop: etas must be a pair"),
        ("Rprop", dict(step_sizes=(1, 0.1)), r"Rprop: step_sizes must be the least and the largest, got \(1, 0.1\)"),
        ("Rprop", dict(step_sizes=(1,)), "Rprop: step_sizes must be a pair"),
        ("ASGD", dict(lambd=-1e-4), "ASGD: lambd must be a finite number >= 0, got -0.0001"),
        ("ASGD", dict(t0=math.nan), "ASGD: t0 must be a finite number, got nan"),
        ("ASGD", dict(weight_decay=-1), "ASGD: weight_decay must"),
    ],
)
def test_wrong_hyperparameters_are_refused(rule, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, rule)([leaf(1.0)], **options)
    good = getattr(optim, rule)([leaf(1.0)])
    with pytest.raises(ValueError, match=message):
        good.add_param_group({"params": [leaf(1.0)], **options})


def test_bounds_that_are_allowed():
    for rule, options in {
        "Adagrad": dict(lr=0, eps=0),
        "RMSprop": dict(alpha=0),
        "Adadelta": dict(rho=1.0),
        "Adafactor": dict(lr=0, beta2_decay=0, eps=(0, 0), d=1),
        "NAdam": dict(betas=(0, 0), momentum_decay=0),
        "RAdam": dict(betas=(0, 0)),
        "Adamax": dict(betas=(0, 0)),
        "Rprop": dict(step_sizes=(0.1, 0.1)),
        "ASGD": dict(lambd=0, t0=-5.0, alpha=0),
    }.items():
        w = leaf(1.0, 2.0)
        getattr(optim, rule)([w], **options).step()
        assert np.isfinite(w.array).all(), rule


@pytest.mark.parametrize("flag", ["capturable", "differentiable"])
@pytest.mark.parametrize("rule", RULES)
def test_flags_that_are_not_supported_say_so(rule, flag):
    if flag == "capturable" and rule == "Adagrad":
        with pytest.raises(TypeError, match="capturable"):  # it has none in PyTorch either
            optim.Adagrad([leaf(1.0)], capturable=True)
    else:
        with pytest.raises(
            NotImplementedError,
            match=re.escape(f"{rule}: capturable and differentiable are not supported, got {flag}=True"),
        ):
            getattr(optim, rule)([leaf(1.0)], **{flag: True})


def test_adagrad_takes_a_groups_own_first_value():
    a, b = leaf(1.0), leaf(1.0)
    rule = optim.Adagrad([{"params": a}, {"params": b, "initial_accumulator_value": 3.0}], initial_accumulator_value=8)
    rule.step()
    assert [float(rule.state[p]["sum"].array[0]) for p in (a, b)] == [9.0, 4.0]


def test_the_first_steps_have_the_lengths_that_the_docstrings_say():
    for rule, length in {
        "Adagrad": 0.1,
        "RMSprop": 0.1 / math.sqrt(1 - 0.99),
        "Adadelta": 0.1 * math.sqrt(1e-6 / (1 - 0.9)),
        "Adamax": 0.1,
        "Rprop": 0.1,
    }.items():
        w = leaf(0.0, 0.0, 0.0)
        getattr(optim, rule)([w], lr=0.1).step()
        np.testing.assert_allclose(w.array, [-length, length, -length], rtol=1e-5, err_msg=rule)


def test_rprop_forgets_a_gradient_that_has_turned():
    w, rule = leaf(0.0), None
    rule = optim.Rprop([w], lr=1.0)
    path = []
    for g in (1.0, 1.0, -1.0, -1.0, -1.0, 0.0, 1.0):
        w.grad = wrap(np.array([g]))
        rule.step()
        path.append((float(w.array[0]), float(rule.state[w]["step_size"].array[0])))
    expected = [(-1, 1), (-2.2, 1.2), (-2.2, 0.6), (-1.6, 0.6), (-0.88, 0.72), (-0.88, 0.72), (-1.6, 0.72)]
    np.testing.assert_allclose(path, expected, rtol=1e-12)


def test_asgd_averages_from_its_t0_on():
    w = leaf(0.0)
    rule, path = optim.ASGD([w], lr=0.1, lambd=0, t0=3), []
    for t in range(10):
        w.grad = wrap(np.array([math.cos(t)]))
        rule.step()
        path.append(float(w.array[0]))
        ax = float(rule.state[w]["ax"].array[0])
        assert ax == pytest.approx(path[-1] if t < 5 else np.mean(path[4:]), rel=1e-12)


def test_asgds_rate_acts_one_step_later():
    w = leaf(0.0)
    rule = optim.ASGD([w], lr=0.1, lambd=0)
    rule.step()
    rule.param_groups[0]["lr"] = 100.0
    rule.step()
    np.testing.assert_allclose(w.array, [-0.2], rtol=1e-12)
    rule.step()
    np.testing.assert_allclose(w.array, [-100.2], rtol=1e-12)


def test_pytorchs_states_with_numbers_in_single_precision_are_taken():
    w = leaf(1.0, 2.0, dtype=np.float32)
    rule = optim.NAdam([w])
    rule.step()
    saved = rule.state_dict()
    saved["state"][0]["mu_product"] = wrap(np.array(0.25, np.float32))
    rule.load_state_dict(saved)
    assert rule.state[w]["mu_product"].array.dtype == np.float64
    rule.step()
    assert float(rule.state[w]["mu_product"].array) == 0.25 * 0.9 * (1 - 0.5 * 0.96 ** (2 * 4e-3))
