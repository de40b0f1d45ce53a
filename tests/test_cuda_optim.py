"""Optimizers on a GPU: a rule is one kernel, the same for eager steps and for graphs, and gives the CPU's numbers."""

from __future__ import annotations

import copy
import gc
import importlib
import inspect
import pickle
import warnings
import weakref

import numpy as np
import pytest
from conftest import REAL_GPU, Where
from launching import counts
from optimizers.recorded import DTYPES, elementwise, program, recorded_kernels

import minidl
from minidl import optim
from minidl.backend import backend_of, get_backend
from minidl.backend.cuda.graphs import Graph
from minidl.optim import device, flat, transforms
from minidl.optim.flat import advance
from minidl.tensor import Parameter, wrap

pytestmark = pytest.mark.cuda
CPU, GPU = Where("cpu"), Where("cuda")
R = get_backend("cuda").recording
SHAPES = [(7, 5), (5,), (), (3, 2, 4), (1,), (130,), (2, 3)]
RULES = elementwise()
NAMES = [f"{rule} {' '.join(f'{k}={v}' for k, v in options.items()) or 'defaults'}" for rule, options in RULES]
TOLERANCE = {"float32": 1e-5 if REAL_GPU else 1e-6, "float64": 1e-11 if REAL_GPU else 1e-12}


def parameters(where: Where, dtype="float32", shapes=SHAPES) -> list[Parameter]:
    rng = np.random.default_rng(5)
    return [Parameter(where.array(rng.standard_normal(shape).astype(dtype))) for shape in shapes]


def slopes(where: Where, ps: list, t: int, turns: bool = False) -> None:
    """Gradients that depend on the step alone; by turns: now and then there is none, and for one not at first."""
    rng = np.random.default_rng([7, t])
    for i, p in enumerate(ps):
        g = rng.standard_normal(p.shape).astype(np.dtype(p.array.dtype))
        left_out = turns and ((t + i) % 5 <= i % 3 or (i == 1 and t < 9))
        p.grad = None if left_out else where.tensor(g)


def values(where: Where, ps: list, rule) -> dict[str, np.ndarray]:
    """All that a step changes."""
    found = {f"parameter {i}": where.host(p) for i, p in enumerate(ps)}
    for i, p in enumerate(ps):
        for key, entry in rule.state.get(p, {}).items():
            array = entry.array
            found[f"state {i} {key}"] = backend_of(array).to_host(array)
    return found


def near(found: dict, expected: dict, limit: float) -> None:
    assert found.keys() == expected.keys()
    for key, wanted in expected.items():
        scale = max(1e-300, np.abs(wanted).max(initial=0))
        assert found[key].dtype == wanted.dtype and found[key].shape == wanted.shape, key
        assert np.abs(found[key] - wanted).max(initial=0) <= limit * scale, key


def grouped(kind, ps: list, options: dict):
    """The rule with a second group, whose parameters move less."""
    rate = options.get("lr", inspect.signature(kind).parameters["lr"].default)
    return kind([{"params": ps[:2]}, {"params": ps[2:], "lr": rate / 2}], **options)


def counting():
    return importlib.import_module("standin").counting()


# --------------------------------------------------------------------------------------------------------- the text
ADAM = """
const int k = owner[i / 64];
const float g = i < end[k] ? float(reinterpret_cast<const float*>(address[k])[i]) : 0;
float t0 = g - m;
t0 *= float(h[0]);
m += t0;
v *= float(h[1]);
float t1 = g * g;
t1 *= float(h[2]);
v += t1;
float t2 = sqrt(v);
t2 += float(h[3]);
float t3 = m / t2;
t3 *= float(h[4]);
p -= t3;
"""

SGD = """
const int k = owner[i / 128];
const float g = i < end[k] ? float(reinterpret_cast<const float16*>(address[k])[i]) : 0;
float p = p_half;
float b = b_half;
float t0 = -g;
float t1 = float(h[0]) * p;
float t2 = t0 + t1;
b *= float(h[1]);
b += t2;
float t3 = float(h[2]) * b;
p -= t3;
p_half = p;
b_half = b;
"""


def test_the_kernels_of_adam_and_sgd_read_like_the_rules():
    adam = program(optim.Adam, {})
    assert (adam.name, adam.outputs, adam.body) == ("Adam", "float32 p, float32 m, float32 v", ADAM.strip())
    sgd = program(optim.SGD, dict(momentum=0.9, weight_decay=0.1, maximize=True), "float16")
    assert (sgd.name, sgd.outputs, sgd.body) == ("SGD", "float16 p_half, float16 b_half", SGD.strip())


def test_a_kernel_is_made_once_for_all_numbers():
    assert program(optim.Adam, dict(lr=0.5)) is program(optim.Adam, dict(lr=1, betas=(0.1, 0.2)), step=7)
    assert program(optim.Adam, {}) is not program(optim.Adam, dict(amsgrad=True))
    assert program(optim.RAdam, {}, step=5) is not program(optim.RAdam, {}, step=6) is program(optim.RAdam, {}, step=9)


def test_every_elementwise_rule_is_here():
    named = {rule for rule, _ in RULES}
    kinds = [getattr(optim, name) for name in optim.__all__ if inspect.isclass(getattr(optim, name))]
    rules = {k.__name__ for k in kinds if issubclass(k, optim.Optimizer) and k.update is not optim.Optimizer.update}
    assert {name for name in rules if getattr(optim, name).elementwise and getattr(optim, name).dense} == named
    kernels = recorded_kernels()
    assert len(kernels) > 100 and {kernel.kind for kernel in kernels.values()} == {"elementwise"}


# ---------------------------------------------------------------------------------------------------- same numbers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "options"), RULES, ids=NAMES)
def test_twenty_steps_are_the_cpus(rule, options, dtype):
    found = []
    for where in (CPU, GPU):
        ps = parameters(where, dtype)
        optimizer = grouped(getattr(optim, rule), ps, options)
        for t in range(20):
            slopes(where, ps, t, turns=True)
            optimizer.step()
        found.append(values(where, ps, optimizer))
    assert all(type(u) is device.OnDevice and u.recordable for k in (0, 1) for u in optimizer._layouts[k].units)
    near(found[1], found[0], TOLERANCE[dtype])


@pytest.mark.parametrize("rule", sorted({rule for rule, _ in RULES}))
def test_half_precision_is_computed_in_single(rule):
    found = []
    for where, dtype in ((CPU, "float64"), (GPU, "float16")):
        ps = parameters(where, dtype)
        optimizer = getattr(optim, rule)(ps, lr=0.01)
        for t in range(3):
            slopes(CPU, qs := parameters(CPU, "float64"), t)
            for p, q in zip(ps, qs, strict=True):
                p.grad = where.tensor(q.grad.array.astype(np.float16).astype(dtype))
            optimizer.step()
        found.append([where.host(p) for p in ps])
    for x, y in zip(*found, strict=True):
        assert y.dtype == np.float16
        np.testing.assert_allclose(y, x, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("first", "second"), [(CPU, GPU), (GPU, CPU)], ids=["to the GPU", "from the GPU"])
@pytest.mark.parametrize("rule", ["Adam", "NAdam", "SGD", "ASGD"])
def test_a_state_goes_on_on_the_other_device(rule, first, second):
    options = dict(lr=optim.schedules.cosine(20) * 0.1, **({"momentum": 0.9} if rule == "SGD" else {}))
    whole = parameters(CPU)
    unbroken = getattr(optim, rule)(whole, **options)
    for t in range(12):
        slopes(CPU, whole, t, turns=True)
        unbroken.step()
    ps = parameters(first)
    optimizer = getattr(optim, rule)(ps, **options)
    for t in range(12):
        if t == 6:
            saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
            qs = [Parameter(second.array(first.host(p))) for p in ps]
            ps, first = qs, second
            optimizer = getattr(optim, rule)(ps, **options)
            optimizer.load_state_dict(saved)
        slopes(first, ps, t, turns=True)
        optimizer.step()
    near(values(second, ps, optimizer), values(CPU, whole, unbroken), 1e-6)
    assert optimizer.param_groups[0]["lr"] == unbroken.param_groups[0]["lr"]


def test_copies_go_their_own_way():
    ps = parameters(GPU)
    optimizer = optim.Adam(ps)
    for t in range(3):
        slopes(GPU, ps, t)
        optimizer.step()
    qs, other = copy.deepcopy((ps, optimizer))
    before = values(GPU, ps, optimizer)
    for t in range(3, 6):
        slopes(GPU, qs, t)
        other.step()
    near(values(GPU, ps, optimizer), before, 0)
    for t in range(3, 6):
        slopes(GPU, ps, t)
        optimizer.step()
    near(values(GPU, ps, optimizer), values(GPU, qs, other), 0)


@pytest.mark.parametrize("transform", [transforms.ClipValue(0.5), transforms.ClipNorm(1.0), transforms.L2(0.1)])
def test_transforms_come_first(transform):
    found = []
    for where in (CPU, GPU):
        ps = parameters(where, "float64")
        optimizer = optim.Adam(ps, lr=0.1).transform(copy.deepcopy(transform))
        for t in range(5):
            slopes(where, ps, t)
            optimizer.step()
        found.append(values(where, ps, optimizer))
    near(found[1], found[0], 1e-12)


def test_gradients_of_any_layout():
    found = []
    for where in (CPU, GPU):
        ps = parameters(where)
        optimizer = optim.SGD(ps, lr=0.1, momentum=0.9)
        for t in range(3):
            slopes(where, ps, t)
            for p in ps:
                if p.grad.ndim == 2:
                    wide = where.array(np.zeros((p.shape[1], 2 * p.shape[0]), np.float32))
                    odd = wide.T[::2]
                    odd[...] = p.grad.array
                    p.grad = wrap(odd)
                    assert not odd.flags.c_contiguous
            optimizer.step()
        found.append(values(where, ps, optimizer))
    near(found[1], found[0], 1e-6)


# ---------------------------------------------------------------------------------------------------------- launches
def names_of(optimizer, ps, t=None, turns=False) -> list[str]:
    standin = importlib.import_module("standin")
    if t is not None:
        slopes(GPU, ps, t, turns)
    with standin.counting() as count, standin.no_sync(), standin.no_upload():
        optimizer.step()
    return count.names


@counts
@pytest.mark.parametrize(("rule", "options"), RULES, ids=NAMES)
def test_a_step_is_one_launch_and_one_more_for_new_numbers(rule, options):
    ps = parameters(GPU)
    optimizer = getattr(optim, rule)(ps, **options)
    slopes(GPU, ps, 0)
    for _ in range(7):
        names_of(optimizer, ps)
    (plan,) = {optimizer._plans[0]}
    assert plan.fits(plan_of := [device.Launch(*part, [], [], []) for part in plan.parts]) and plan_of
    memory = [p.array.data.ptr for p in ps]
    for _ in range(3):  # the same launches with the same arrays
        *writing, update = names_of(optimizer, ps)
        assert update == rule and len(writing) <= 1 and all(name.startswith("minidl_write_") for name in writing)
        assert optimizer._plans[0] is plan and [p.array.data.ptr for p in ps] == memory
    if rule in ("SGD", "Rprop", "Lion"):  # whose numbers do not change
        assert not writing


@counts
def test_gradients_that_lie_elsewhere_are_told_by_one_launch():
    ps = parameters(GPU)
    optimizer = optim.SGD(ps)
    names_of(optimizer, ps, 0)
    before = [p.grad for p in ps]
    assert names_of(optimizer, ps, 1) == ["minidl_write_8", "SGD"]
    del before
    many = parameters(GPU, shapes=[(3,)] * 150)
    optimizer = optim.Adam(many)
    first = names_of(optimizer, many, 0)
    assert first[-5:] == ["minidl_write_8", "minidl_write_64", "minidl_write_64", "minidl_write_32", "Adam"]


@counts
def test_each_run_of_neighbours_and_each_group_is_a_launch():
    ps = parameters(GPU)
    optimizer = grouped(optim.Adam, ps, {})
    for _ in range(2):
        assert names_of(optimizer, ps, 0)[-2:] == ["Adam"] * 2
    slopes(GPU, ps, 1)
    ps[4].grad = None
    assert names_of(optimizer, ps).count("Adam") == 3
    assert names_of(optimizer, ps, 2).count("Adam") == 4  # parameter 4 is a step behind
    mixed = parameters(GPU, "float32", SHAPES[:3]) + parameters(GPU, "float64", SHAPES[:3])
    assert names_of(optim.Adam(mixed), mixed, 0).count("Adam") == 2
    for p in ps:
        p.grad = None
    assert names_of(optimizer, ps) == []


@counts
def test_a_training_step_copies_no_gradient():
    model = minidl.nn.Sequential(minidl.nn.Linear(6, 5), minidl.nn.ReLU(), minidl.nn.Linear(5, 3)).to("cuda")
    optimizer = optim.Adam(model.parameters())
    x = minidl.ones((4, 6), device="cuda")
    for _ in range(3):
        optimizer.zero_grad()
        model(x).sum().backward()
        names = names_of(optimizer, None)
    assert [name for name in names if not name.startswith("minidl_write_")] == ["Adam"]


@pytest.mark.parametrize("count", [1, 4, 5, 8, 16, 17, 32, 33, 64, 65, 200])
def test_numbers_reach_the_device_as_arguments(count):
    # minidl_write_4 minidl_write_8 minidl_write_16 minidl_write_32 minidl_write_64
    known = ["minidl_write_4", "minidl_write_8", "minidl_write_16", "minidl_write_32", "minidl_write_64"]
    assert [kernel.name for kernel in R._WRITING.values()] == known
    board = R.Board(count, count)
    numbers = [float(x) for x in np.random.default_rng(count).standard_normal(count)]
    addresses = [2**47 + 8 * i if i % 2 else -8 * i for i in range(count)]
    board.fill(numbers, addresses)
    assert board.numbers.get().tolist() == numbers and board.addresses.get().tolist() == addresses
    board.fill(numbers[::-1], addresses)
    assert board.numbers.get().tolist() == numbers[::-1] and board.addresses.get().tolist() == addresses


# ------------------------------------------------------------------------------------------------------------ graphs
def walk(where: Where, make, steps: int, between=None, graphs: list | None = None):
    """Steps that, on the GPU and after the first two, are replayed; captured anew where a replay is refused."""
    ps = parameters(where, "float64")
    rules = make(ps)
    rules = rules if isinstance(rules, list) else [rules]
    gs = [where.array(np.random.default_rng(i).standard_normal(p.shape)) for i, p in enumerate(ps)]
    log, graph = "", None

    def step() -> None:
        for p, g in zip(ps, gs, strict=True):
            p.grad = wrap(backend_of(g).cos(p.array) * g)
        for rule in rules:
            rule.step()

    for t in range(steps):
        if between is not None:
            between(t, ps, rules)
        if where is CPU or t < 2:
            step()
            continue
        if graph is None:
            before = [values(where, ps, rule) for rule in rules]
            graph = Graph()
            graph.record(step)
            for rule, old in zip(rules, before, strict=True):
                near(values(where, ps, rule), old, 0)  # a capture does nothing
        if graph.launch():
            log += "r"
        else:
            step()
            log, graph = log + "e", None
        if graphs is not None:
            graphs[:] = [graph]
    return [values(where, ps, rule) for rule in rules], log, rules


@pytest.mark.parametrize(("rule", "options"), RULES, ids=NAMES)
def test_a_captured_step_goes_on_as_the_eager_one(rule, options):
    make = lambda ps: getattr(optim, rule)(ps, **{**options, "lr": optim.schedules.cosine(20) * 0.1})  # noqa: E731
    (expected,), _, _ = walk(CPU, make, 12)
    (found,), log, (optimizer,) = walk(GPU, make, 12)
    near(found, expected, 1e-11)
    assert log in ("r" * 10, "rrrerrrrrr"), log  # RAdam does something else from step 6 on
    assert optimizer.param_groups[0]["scheduled"]["lr"]["step"] == 12


def test_what_is_changed_between_replays_is_noticed():
    def between(t, ps, rules):
        (rule,) = rules
        if t == 4:
            rule.param_groups[0]["lr"] = 0.02  # numbers are read anew
        elif t == 5:
            rule.param_groups[0]["momentum"] = 0.8  # from 0: other arrays
        elif t == 8:
            ps[3].array = backend_of(ps[3].array).copy(ps[3].array)
        elif t == 11:
            rule.state[ps[0]].clear()
        elif t == 14:
            rule.load_state_dict(pickle.loads(pickle.dumps(rule.state_dict())))

    (expected,), _, _ = walk(CPU, lambda ps: optim.SGD(ps, lr=0.1), 18, between)
    (found,), log, _ = walk(GPU, lambda ps: optim.SGD(ps, lr=0.1), 18, between)
    assert log == "rrrerrerrerrerrr"
    near(found, expected, 1e-11)


def test_of_two_optimizers_none_is_counted_where_one_refuses():
    def make(ps):
        return [optim.Adam(ps[:3], lr=0.1), optim.RAdam(ps[3:], lr=0.1)]

    expected, _, _ = walk(CPU, make, 10)
    found, log, rules = walk(GPU, make, 10)
    assert log == "rrrerrrr"
    for one, other in zip(found, expected, strict=True):
        near(one, other, 1e-11)
    assert [float(entry["step"].array) for rule in rules for entry in rule.state.values()] == [10.0] * 7


def test_prepare_replay_is_the_last_captured_step():
    _, _, (optimizer,) = walk(GPU, optim.Adam, 4, graphs=(graphs := []))
    (p, *_) = optimizer.param_groups[0]["params"]
    version = p.version[0]
    assert optimizer.prepare_replay() and float(optimizer.state[p]["step"].array) == 5 and p.version[0] > version
    optimizer.state[p]["step"].fill_(2.0)  # one of those in a launch is no longer at the step of the others
    assert not optimizer.prepare_replay() and float(optimizer.state[p]["step"].array) == 2
    optimizer.state[p]["step"].fill_(5.0)
    optimizer.param_groups[0]["amsgrad"] = True
    assert not optimizer.prepare_replay() and float(optimizer.state[p]["step"].array) == 5
    with pytest.raises(RuntimeError, match="Adam.prepare_replay: there is no captured step"):
        optim.Adam([p]).prepare_replay()
    optimizer.param_groups[0].update(amsgrad=False, lr=-1.0)
    with pytest.raises(ValueError, match="lr must be a finite number"):
        optimizer.prepare_replay()
    graphs.clear()
    with pytest.raises(RuntimeError, match="Adam.prepare_replay: there is no captured step"):
        optimizer.prepare_replay()


@counts
def test_a_replay_is_the_graph_and_one_launch_for_the_numbers():
    ps = parameters(GPU)
    optimizer, graph = optim.Adam(ps), Graph()
    slopes(GPU, ps, 0)
    for _ in range(2):
        optimizer.step()
    graph.record(optimizer.step)
    standin = importlib.import_module("standin")
    for names in (["minidl_write_8", "minidl_write_8", "graph"], *[["minidl_write_8", "graph"]] * 3):
        with standin.counting() as count, standin.no_sync(), standin.no_upload():
            assert graph.launch()
        assert count.names == names


def hooked(ps):
    rule = optim.SGD(ps)
    rule.register_step_post_hook(lambda *a: None)
    return rule


class Strange(optim.Optimizer):
    """p <- p - lr g / |g|, the norm of whatever it is given."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    def update(self, p, g, state, h):
        B = backend_of(p)
        p -= h.lr * g / B.sqrt(B.sum(g * g))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda ps: optim.LAMB(ps),
            r"LAMB.step: .*: the parameter float32 \(7, 5\).* is updated operation by operation",
        ),
        (hooked, "SGD.step: .*: it has hooks, which run on the host"),
        (lambda ps: optim.SGD(ps).transform(transforms.Accumulate(2)), "SGD.step: .*: Accumulate.* remembers"),
        (lambda ps: optim.Lookahead(optim.SGD(ps)), "Lookahead.step: .*: the optimizer has a step of its own"),
        (Strange, "Strange.step: .*: the rule cannot be recorded as one kernel"),
    ],
)
def test_what_cannot_be_captured_says_so_and_changes_nothing(make, why):
    ps = parameters(GPU)
    rule = make(ps)
    slopes(GPU, ps, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            rule.step()
            slopes(GPU, ps, 0)
        before = values(GPU, ps, rule)
        with pytest.raises(
            RuntimeError,
            match=why.replace(".step: ", ".step: cannot be captured in a graph: ").replace("graph: .*: ", "graph: "),
        ):
            Graph().record(rule.step)
    near(values(GPU, ps, rule), before, 0)
    rule.step()


def test_rows_of_a_gradient_cannot_be_captured():
    table = minidl.nn.Embedding(5, 3, sparse=True).to("cuda")
    words = minidl.tensor([1, 3, 1], device="cuda")
    rule = optim.SGD(table.parameters(), lr=0.1)
    table(words).sum().backward()
    for _ in range(2):
        rule.step()
    with pytest.raises(RuntimeError, match="SGD.step: cannot be captured in a graph: .* is row-sparse"):
        Graph().record(rule.step)


def test_the_first_step_cannot_be_captured():
    ps = parameters(GPU)
    slopes(GPU, ps, 0)
    rule = optim.Adam(ps)
    with pytest.raises(RuntimeError, match="Adam.step: cannot be captured in a graph: .*; make a step before"):
        Graph().record(rule.step)
    rule.step()
    ps[2].grad = None
    with pytest.raises(RuntimeError, match="these parameters did not have gradients together before; make a step"):
        Graph().record(rule.step)
    assert float(rule.state[ps[0]]["step"].array) == 1


# -------------------------------------------------------------------------------------------- rules of other people
class Everything(optim.Optimizer):
    """A rule whose body the test gives."""

    body = None

    def __init__(self, params, body, lr=0.3, power=3.0):
        self.body = body
        super().__init__(params, dict(lr=lr, power=power))

    def init(self, p, h):
        B = backend_of(p)
        return {"momentum buffer": B.zeros_like(p), "wide": B.astype(B.zeros_like(p), "float64"), "if": B.copy(p)}

    def update(self, p, g, state, h):
        self.body(backend_of(p), p, g, state, h)


def expression(compute):
    """A body that puts the result of an expression into p."""

    def body(B, p, g, state, h):
        p[...] = compute(B, p, g, h)

    return body


def in_place(B, p, g, state, h):
    a, w, q = state["momentum buffer"], state["wide"], state["if"]
    a[:] = g
    a **= 2
    w += g * 0.1 + h.step
    w[...] = w * h.lr
    q /= 2 + B.absolute(g)
    B.iadd(q, w)
    B.multiply(p, q, out=p)
    B.clip(p, -2.0, 2.0, out=p)
    mask = (p > 0) & (g > 0) | ~(q > a)
    mask ^= g > 0.5
    p += mask * 0.25
    p -= B.where(mask, 1.0, 0.5)


POSITIVE = ("sqrt", "log", "log2", "log10", "log1p")  # what they take
TESTS = set(R._TESTS) - set(R._COMPARISONS)
FUNCTIONS = {
    "of one": {
        name: lambda B, p, g, h, n=name: getattr(B, n)(B.abs(p) + 0.1 if n in POSITIVE else p * 0.7) for name in R._ONE
    },
    "of two": {
        name: lambda B, p, g, h, n=name: getattr(B, n)(p, g) + getattr(B, n)(g, 0.5) for name in {*R._TWO} - {"power"}
    },
    "comparisons": {name: lambda B, p, g, h, n=name: getattr(B, n)(p, g) * 1.0 for name in R._COMPARISONS},
    "tests": {name: lambda B, p, g, h, n=name: 1.0 * getattr(B, n)(p / (g > 0)) for name in TESTS},
    "logical": {
        name: lambda B, p, g, h, n=name: getattr(B, n)(p > 0, g > 0) * 1.0 for name in set(R._LOGICAL) - {"logical_not"}
    },
    "other": {
        "power": lambda B, p, g, h: B.power(B.abs(p), h.power) + B.abs(g) ** 0.5 + g**2 + 2.0**p + B.abs(p) ** g,
        "filled": lambda B, p, g, h: B.full_like(p, 3) + B.ones_like(p) * B.zeros_like(g) - B.asarray(B.copy(p)),
        "doubles": lambda B, p, g, h: B.astype(p, "float64") / 3 + g,
        "numbers alone": lambda B, p, g, h: p * B.sqrt(h.lr) + B.maximum(h.step, 2) * B.pi + B.exp(0.5),
        "numbers first": lambda B, p, g, h: 1 - p + (2 / (3 + abs(p))) - (-g) + (+p) * np.float32(0.5),
        "of bools": lambda B, p, g, h: B.where(B.logical_not(p > 0) == (g > 0), p, g) + (p != g),
        "choice": lambda B, p, g, h: B.where(p > g, 1.0, 0.0) + B.where(p - p, 2.0, g) + B.clip(p, None, 0.5),
    },
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_what_can_be_recorded_is_what_numpy_does(kind, dtype):
    class Computing(optim.Optimizer):
        """Every function of a kind, each in an array of its own: one kernel for all."""

        def __init__(self, params):
            super().__init__(params, dict(lr=0.3, power=3.0))

        def init(self, p, h):
            return {name: backend_of(p).zeros_like(p) for name in FUNCTIONS[kind]}

        def update(self, p, g, state, h):
            for name, compute in FUNCTIONS[kind].items():
                state[name][...] = compute(backend_of(p), p, g, h)

    found = []
    for where in (CPU, GPU):
        ps = parameters(where, dtype, SHAPES[:4])
        slopes(where, ps, 0)
        ps[3].grad.write(-0.0)
        rule = Computing(ps)
        rule.step()
        found.append(values(where, ps, rule))
    assert all(unit.recordable for unit in rule._layouts[0].units)
    assert any(np.unique(x).size > 1 for x in found[0].values())
    for key, wanted in found[0].items():
        limit = 3e-6 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(found[1][key], wanted, rtol=limit, atol=limit, err_msg=key)


@pytest.mark.parametrize("body", [in_place, lambda B, p, g, state, h: None], ids=["in place", "nothing"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_are_changed_in_place_as_in_numpy(body, dtype):
    found = []
    for where in (CPU, GPU):
        ps = parameters(where, dtype, SHAPES[:3])
        rule = Everything(ps, body)
        for t in range(2):
            slopes(where, ps, t)
            rule.step()
        found.append(values(where, ps, rule))
    assert all(unit.recordable for unit in rule._layouts[0].units)
    near(found[1], found[0], TOLERANCE[dtype])


@pytest.mark.parametrize(
    "compute",
    [
        lambda B, p, g, h: B.maximum(p, g),
        lambda B, p, g, h: B.minimum(p, g),
        lambda B, p, g, h: B.sign(p),
        lambda B, p, g, h: B.maximum(p, 0.5) + B.minimum(1.5, g),
    ],
)
def test_nan_goes_its_way_as_in_numpy(compute):
    found = []
    for where in (CPU, GPU):
        p = Parameter(where.array([np.nan, 1.0, np.inf, -np.inf, 0.0]))
        p.grad = where.tensor([1.0, np.nan, 2.0, 1.0, -0.0])
        rule = Everything([p], expression(compute))
        rule.step()
        found.append(where.host(p))
    assert np.isnan(found[0]).any()
    np.testing.assert_array_equal(*found)


def test_a_rule_may_decide_by_numbers_but_not_by_arrays():
    def by_numbers(B, p, g, state, h):
        if h.step % 2:
            p -= h.lr * g
        else:
            p += g

    def by_arrays(B, p, g, state, h):
        if (g > 0).any():
            p -= g

    found = []
    for where in (CPU, GPU):
        ps = parameters(where)
        rule = Everything(ps, by_numbers)
        for t in range(4):
            slopes(where, ps, t)
            rule.step()
        found.append(values(where, ps, rule))
    near(found[1], found[0], 1e-6)
    recording = R.Recording()
    p, g = recording.array("p", np.dtype("float32")), recording.array("g", np.dtype("float32"))
    with pytest.raises(R.NotRecorded, match=r"it uses .any of an array"):
        by_arrays(None, p, g, {}, None)
    with pytest.raises(R.NotRecorded, match="values of an array decide what it does; use B.where"):
        assert p > g


class First(Everything):
    pass


UNRECORDED = {
    "a shape": (lambda B, p, g, state, h: B.iadd(p, B.ones_like(p) * p.ndim), r"it uses \.ndim of an array"),
    "a sum": (lambda B, p, g, state, h: B.iadd(p, g / B.sum(g)), "it uses B.sum, which is not recorded"),
    "a part": (lambda B, p, g, state, h: p[...].__setitem__(slice(1, None), 0.0) if p.ndim else None, "of an array"),
    "the gradient": (lambda B, p, g, state, h: B.iadd(g, 1.0), "it changes the gradient, which is the program's"),
    "the gradient in place": (lambda B, p, g, state, h: None if g.__iadd__(1.0) is g else 1, "it changes the gradient"),
    "a branch": (lambda B, p, g, state, h: p.__iadd__(1.0) if p.sum() > 0 else None, r"it uses \.sum of an array"),
    "a number": (lambda B, p, g, state, h: p.__imul__(float(g.reshape(-1)[0])), r"it uses \.reshape of an array"),
    "another array": (lambda B, p, g, state, h: B.iadd(p, B.ones(p.shape, p.dtype)), "it uses"),
    "arithmetic": (lambda B, p, g, state, h: B.iadd(p, (p > 0) * (g > 0)), "comparisons as if they were numbers"),
    "remainder": (lambda B, p, g, state, h: p.__imod__(2.0), "__imod__"),
}


@pytest.mark.parametrize("name", UNRECORDED)
def test_a_rule_that_cannot_be_recorded_runs_as_it_is_and_says_so_once(name):
    body, why = UNRECORDED[name]
    kind = type(f"Third{name.title().replace(' ', '')}", (Everything,), {})
    found = []
    for where in (CPU, GPU):
        ps = parameters(where)
        rule = kind(ps, body)
        rule.elementwise = where is GPU  # on the host in the parameters' own shapes, too
        slopes(where, ps, 0)
        if where is GPU:
            with pytest.warns(UserWarning, match=f"{kind.__name__}: update cannot be recorded as one kernel: .*{why}"):
                rule.step()
        else:
            rule.step()
        slopes(where, ps, 1)
        rule.step()
        found.append(values(where, ps, rule))
    near(found[1], found[0], 1e-6)
    again = parameters(GPU)
    slopes(GPU, again, 0)
    kind(again, body).step()


def test_unrecorded_rules_get_decay_and_sign_too():
    class Unrecorded(optim.Adam):
        def update(self, p, g, state, h):
            assert p.shape == g.shape
            super().update(p, g, state, h)

    for options in (dict(weight_decay=0.1, maximize=True), dict(weight_decay=0.1, decoupled_weight_decay=True)):
        ps, qs = parameters(GPU), parameters(CPU)
        one, other = Unrecorded(ps, **options), optim.Adam(qs, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for t in range(4):
                slopes(GPU, ps, t), slopes(CPU, qs, t)
                one.step(), other.step()
        near(values(GPU, ps, one), values(CPU, qs, other), 1e-6)


def test_faults_of_a_rule_are_its_own():
    ps = parameters(GPU)
    slopes(GPU, ps, 0)
    with pytest.warns(UserWarning, match="division by zero"), pytest.raises(ZeroDivisionError):
        First(ps, lambda B, p, g, state, h: p.__iadd__(1 / (h.step - 1)) and None).step()

    class Returning(optim.SGD):
        def update(self, p, g, state, h):
            return p - g

    with pytest.warns(UserWarning, match="must change p in place"), pytest.raises(TypeError, match="must change p in"):
        Returning(ps).step()


def test_names_of_states_may_be_anything():
    names = ["if", "p", "g", "t0", "double", "h", "i", "a b", "a_b", "k", "\xe9", "9", "", "x", "v_max", "end", "owner"]

    class Named(optim.Optimizer):
        def init(self, p, h):
            return {name: backend_of(p).zeros_like(p) for name in names}

        def update(self, p, g, state, h):
            for n, name in enumerate(names):
                state[name] += n * g

    ps = parameters(GPU, shapes=[(3,)])
    slopes(GPU, ps, 0)
    rule = Named(ps, {})
    rule.step()
    (unit,) = rule._layouts[0].units
    assert unit.recordable
    for n, name in enumerate(names):
        np.testing.assert_allclose(GPU.host(rule.state[ps[0]][name]), n * GPU.host(ps[0].grad), rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------ memory
def is_flat(p, rule) -> bool:
    for unit in rule._layouts[0].units:
        if isinstance(unit, device.OnDevice) and len(unit.params) > 1:
            begin = unit.buffer.data.ptr
            if begin <= p.array.data.ptr < begin + unit.buffer.nbytes:
                return True
    return False


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_lie_side_by_side_each_in_lines_of_its_own(dtype):
    ps = parameters(GPU, dtype)
    rule = optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.1)
    for t in range(3):
        slopes(GPU, ps, t)
        rule.step()
    (unit,) = rule._layouts[0].units
    places = [p.array.data.ptr - unit.buffer.data.ptr for p in ps]
    assert places == sorted(places) and all(place % R.LINE == 0 for place in places)
    real = np.zeros(unit.size, bool)
    for start, size in zip(unit.starts, unit.sizes, strict=True):
        real[start : start + size] = True
    buffer, momentum = unit.buffer.get(), unit.states["b"].get()
    assert not buffer[~real].any() and not momentum[~real].any() and buffer[real].all()


def held_as_tensor(p):
    held = p.detach()
    return lambda: held.array


def held_as_view(p):
    held = p.detach().view(-1)
    return lambda: held.array.reshape(p.shape)


def held_by_the_caller(p):
    held = p.array
    return lambda: held


@pytest.mark.parametrize("when", ["before the first step", "later"])
@pytest.mark.parametrize("hold", [held_as_tensor, held_as_view, held_by_the_caller])
def test_whoever_looks_at_a_parameter_goes_on_seeing_it(hold, when):
    ps, qs = parameters(GPU), parameters(CPU)
    rule, other = optim.Adam(ps, lr=0.05), optim.Adam(qs, lr=0.05)

    def go(first, last):
        for t in range(first, last):
            slopes(GPU, ps, t), slopes(CPU, qs, t)
            rule.step(), other.step()

    start = 3 if when == "later" else 0
    go(0, start)
    look = hold(ps[0])
    go(start, start + 20)
    assert look().data.ptr == ps[0].array.data.ptr and np.array_equal(look().get(), GPU.host(ps[0]))
    near(values(GPU, ps, rule), values(CPU, qs, other), 1e-6)
    assert all(is_flat(p, rule) for p in ps[1:]) and is_flat(ps[0], rule) == (when == "later")
    if when != "later":
        del look
        for _ in range(20):
            go(0, 1)
        assert is_flat(ps[0], rule)


def test_parameters_that_were_rebound_or_regrouped_are_found_again():
    ps, qs = parameters(GPU), parameters(CPU)
    rules = [optim.Adam(ps, lr=0.05), optim.Adam(qs, lr=0.05)]
    t = 0

    def go():
        nonlocal t
        for _ in range(2):
            t += 1
            for where, group, rule in ((GPU, ps, rules[0]), (CPU, qs, rules[1])):
                slopes(where, group, t)
                rule.step()

    go()
    for group in (ps, qs):
        for p in (group[1], group[3]):
            p.array = backend_of(p.array).copy(p.array)
    go()
    for rule in rules:
        rule.param_groups[0]["params"].pop(2)
    go()
    assert all(is_flat(p, rules[0]) for i, p in enumerate(ps) if i != 2)
    near(values(GPU, ps, rules[0]), values(CPU, qs, rules[1]), 1e-6)
    saved = [rule.state_dict() for rule in rules]
    rules.clear()
    del group, rule, saved
    rules = [optim.Adam([{"params": group[::2]}, {"params": group[1::2]}], lr=0.05) for group in (ps, qs)]
    go()
    assert [len(u.params) for k in (0, 1) for u in rules[0]._layouts[k].units] == [4, 3]
    near(values(GPU, ps, rules[0]), values(CPU, qs, rules[1]), 1e-6)


def test_two_live_optimizers_do_not_take_turns_in_moving():
    ps = parameters(GPU)
    rules = [optim.Adam(ps), optim.SGD(ps, lr=0.1, momentum=0.9)]
    for t in range(12):
        slopes(GPU, ps, t)
        for rule in rules:
            rule.step()
        if t == 0:
            memory = [p.array.data.ptr for p in ps]
    assert [p.array.data.ptr for p in ps] == memory and all(is_flat(p, rules[0]) for p in ps)


@counts  # which pretends that there are two
def test_parameters_stay_on_their_gpu():
    with minidl.cuda.device(1):
        ps, qs = parameters(GPU), parameters(CPU)
        one, other = optim.Adam(ps), optim.Adam(qs)
        for t in range(2):
            slopes(GPU, ps, t), slopes(CPU, qs, t)
            one.step(), other.step()
        near(values(GPU, ps, one), values(CPU, qs, other), 1e-6)
    assert {str(p.device) for p in ps} == {"cuda:1"}
    rule = optim.SGD(ps)
    del one
    with pytest.raises(ValueError, match="Array device must be same as the current device"):
        rule.step()
    assert {str(p.device) for p in ps} == {"cuda:1"}


def test_nothing_of_an_optimizer_outlives_it_but_the_parameters():
    ps = parameters(GPU)
    rule = optim.Adam(ps)
    for t in range(3):
        slopes(GPU, ps, t)
        rule.step()
    graph = Graph()
    graph.record(rule.step)
    old = weakref.ref(rule), weakref.ref(rule._layouts[0].units[0]), weakref.ref(rule._plans[0])
    gc.disable()
    try:
        del graph, rule
        assert [reference() for reference in old] == [None] * 3
    finally:
        gc.enable()
    assert all(np.isfinite(GPU.host(p)).all() for p in ps)


def test_a_gradient_on_the_host_is_refused():
    ps = parameters(GPU)
    slopes(GPU, ps, 0)
    rule = optim.Adam(ps)
    rule.step()
    ps[1]._grad = wrap(np.ones(5, np.float32))
    with pytest.raises(RuntimeError, match=r"Adam.step: parameter .* on cuda:0 has a gradient .* on cpu; .*zero_grad"):
        rule.step()


@counts
def test_where_memory_runs_out_nothing_has_changed():
    exhausted = importlib.import_module("standin.devices").exhausted
    ps = parameters(GPU)
    rule = optim.Adam(ps, lr=optim.schedules.cosine(10) * 0.1)
    slopes(GPU, ps, 0)
    rule.step()
    before, rate = values(GPU, ps, rule), dict(rule.param_groups[0]["scheduled"]["lr"])
    ps[3].grad = None  # another pattern, which needs memory for its tables
    for after in range(20):
        with exhausted(after):
            try:
                rule.step()
            except (MemoryError, RuntimeError) as error:
                assert "memory" in str(error)
                near(values(GPU, ps, rule), before, 0)
                assert rule.param_groups[0]["scheduled"]["lr"]["step"] == rate["step"]
            else:
                break
    assert after > 2 and float(rule.state[ps[0]]["step"].array) == 2 and float(rule.state[ps[3]]["step"].array) == 1


def test_many_patterns_of_gradients_do_not_pile_up():
    ps = parameters(GPU, shapes=[(2,)] * 12)
    rule = optim.SGD(ps)
    for t in range(100):
        for i, p in enumerate(ps):
            p.grad = GPU.tensor(np.ones(2, np.float32)) if (t * 7919 >> (i % 13)) % 3 else None
        rule.step()
    assert len(rule._layouts[0].units[0].cuts) <= 64 and len(rule._plans) <= device.PLANS


def test_the_host_keeps_its_own_way():
    assert {"cpu": flat.Flat, "cuda": device.OnDevice} == flat.FLAT
    ps = [*parameters(CPU, shapes=SHAPES[:2]), *parameters(GPU, shapes=SHAPES[:2])]
    for where, group in ((CPU, ps[:2]), (GPU, ps[2:])):
        slopes(where, group, 0)
    rule = optim.Adam(ps, lr=0.1)
    rule.step()
    assert [type(u) for u in rule._layouts[0].units] == [flat.Flat, device.OnDevice]
    for p, q in zip(ps[:2], ps[2:], strict=True):
        np.testing.assert_allclose(GPU.host(q), CPU.host(p), rtol=1e-6)
    numbers = {"step": 0.0}
    advance(rule, numbers, rule._checked(rule.param_groups[0]))
    assert numbers == {"step": 1.0}
