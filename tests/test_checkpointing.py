"""Activation checkpointing: the same results and gradients bit for bit, less memory, and what is refused."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
import weakref
from collections import namedtuple

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.autograd import grad
from minidl.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


def net(layers=6, width=8):
    minidl.manual_seed(0)
    return nn.Sequential(*[nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.3)) for _ in range(layers)])


def plain(model, x):
    return model(x)


def each(model, x):
    for layer in model:
        x = checkpoint(layer, x, use_reentrant=False)
    return x


def nested(model, x):
    layers = list(model)

    def first(x):
        for layer in layers[:3]:
            x = checkpoint(layer, x, use_reentrant=True)
        return x

    x = checkpoint(first, x)
    for layer in layers[3:]:
        x = checkpoint(layer, x)
    return x


def three(model, x):
    return checkpoint_sequential(model, 3, x, use_reentrant=False)


def one(model, x):
    return checkpoint_sequential(list(model), 1, x)


def uneven(model, x):
    return checkpoint_sequential(model, 4, x, preserve_rng_state=True)


def step(run, model, x):
    """The output, all gradients, and how many random numbers were drawn."""
    minidl.manual_seed(5)
    model.zero_grad()
    x.grad = None
    y = run(model, x)
    y.sum().backward()
    return [y, x.grad, *[p.grad for p in model.parameters()]], minidl.default_generator().get_state()


@pytest.mark.parametrize("run", [each, nested, three, one, uneven])
def test_results_and_gradients_are_the_same_bit_for_bit(run):
    model, x = net(), minidl.randn(4, 8, requires_grad=True)
    expected, state = step(plain, model, x)
    expected = [t.detach().clone() for t in expected]
    found, now = step(run, model, x)
    assert now == state
    assert all(minidl.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("run", [each, nested])
def test_on_both_array_types(run, where):
    model = net(4).eval().to(where.name)
    x = where.leaf(np.linspace(-1, 1, 16).reshape(2, 8).astype(np.float32), dtype="float32")
    expected = grad(model(x).sum(), [x, *model.parameters()])
    for a, b in zip(expected, grad(run(model, x).sum(), [x, *model.parameters()]), strict=True):
        np.testing.assert_array_equal(where.host(a), where.host(b))


def test_other_random_numbers_if_so_said():
    x = minidl.ones(1000, requires_grad=True)
    y = checkpoint(lambda x: nn.functional.dropout(x, 0.5), x, preserve_rng_state=False)
    y.sum().backward()
    assert not minidl.equal(y.detach(), x.grad)
    x.grad = None
    y = checkpoint(lambda x: nn.functional.dropout(x, 0.5), x)
    y.sum().backward()
    assert minidl.equal(y.detach(), x.grad)


Pair = namedtuple("Pair", "first second")


def test_keywords_and_results_of_every_form():
    w = minidl.randn(8, requires_grad=True)

    def f(x, *, scale, text=None, pair=None):
        assert text == "text"
        made = {"a": (x * scale * w).sum(), "b": [x * 2, 3, x.detach()], "same": x}
        return made, Pair(pair.first * x, None)

    def run(call, x):
        x.grad = w.grad = None
        made, pair = call(f, x, scale=w * 2, text="text", pair=Pair(w.exp(), 1))
        assert type(pair) is Pair and pair.second is None and made["b"][1] == 3 and not made["b"][2].requires_grad
        assert made["same"] is x
        (made["a"] ** 2 + made["b"][0].sum() * 3 + made["same"].sum() + pair.first.sum()).backward()
        return x.grad, w.grad

    x = minidl.randn(8, requires_grad=True)
    expected = run(lambda f, *a, **k: f(*a, **k), x)
    assert all(minidl.equal(a, b) for a, b in zip(expected, run(checkpoint, x), strict=True))


def test_nothing_is_recorded_without_need():
    x = minidl.ones(2, requires_grad=True)
    with minidl.no_grad():
        assert not checkpoint(minidl.exp, x).requires_grad
    assert checkpoint(minidl.exp, x.detach()).grad_fn is None
    assert checkpoint(minidl.exp, x).grad_fn.name() == "checkpoint"


def derivatives(run, model, x):
    """The second and third derivatives by everything."""
    everything = [x, *model.parameters()]
    (g,) = grad((run(model, x * 1.5) ** 2).sum(), x, create_graph=True)
    h = grad((g**2).sum(), everything, create_graph=True)
    k = grad(sum((t**2).sum() for t in h), everything)
    return [t.detach().numpy() for t in (*h, *k)]


def by_closure(model, x):
    z = x.sin()  # comes in otherwise than as an argument
    return checkpoint(lambda t: model(t) * z, x)


def by_closure_plain(model, x):
    z = x.sin()
    return model(x) * z


@pytest.mark.parametrize(("run", "expected"), [(each, plain), (nested, plain), (by_closure, by_closure_plain)])
def test_higher_derivatives(run, expected):
    model, x = net(4).double().eval(), minidl.randn(4, 8, dtype=minidl.float64, requires_grad=True)
    for a, b in zip(derivatives(run, model, x), derivatives(expected, model, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_memory():
    def measured(run):
        model, x = net(32, 64), minidl.randn(1024, 64, requires_grad=True)
        tracemalloc.start()
        y = run(model, x)
        held = tracemalloc.get_traced_memory()[0]
        y.sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held, peak

    held, peak = measured(plain)
    for run, part in ((each, 0.55), (lambda model, x: checkpoint_sequential(model, 6, x), 0.4)):
        less, lower = measured(run)
        assert less < part * held and lower < (part + 0.1) * peak


def test_a_graph_that_nobody_holds_is_freed():
    gc.disable()
    try:
        x = minidl.ones(2, requires_grad=True)
        y = checkpoint(lambda x: (x * 2).exp(), x)
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_backward_twice():
    x = minidl.ones(2, requires_grad=True)
    y = checkpoint(lambda x: (x**3).sum(), x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6.0, 6.0]
    with pytest.raises(RuntimeError, match="'checkpoint' was released"):
        y.backward()


def test_hooks_run_in_the_second_run():
    log = []

    def f(x):
        y = x * 2
        y.register_hook(lambda g: log.append(g.tolist()))
        return y.exp()

    checkpoint(f, minidl.zeros(1, requires_grad=True)).backward()
    assert log == [[1.0]]


def test_contexts():
    log = []

    @contextlib.contextmanager
    def noted(name):
        log.append(name)
        yield

    x = minidl.ones(1, requires_grad=True)
    y = checkpoint(minidl.exp, x, context_fn=lambda: (noted("first"), noted("second")))
    assert log == ["first"]
    y.backward()
    assert log == ["first", "second"]


def test_what_changed_is_noticed():
    x = minidl.ones(2, requires_grad=True)
    z, w = x * 1, minidl.ones(2, requires_grad=True)
    for change in (z, w):
        y = checkpoint(lambda z: (z * w).exp().sum(), z)
        with minidl.no_grad():
            change.add_(1)
        with pytest.raises(RuntimeError, match="'checkpoint' needs was changed in place"):
            y.backward()
    with pytest.raises(RuntimeError, match="changed an argument in place"):
        checkpoint(lambda x, c: x * c.add_(1), x, minidl.ones(2))
    calls = []

    def inconstant(x):
        calls.append(1)
        return x[: len(calls)] * 2

    with pytest.raises(CheckpointError, match=r"result 0 was float32 \(1,\) and is float32 \(2,\)"):
        checkpoint(inconstant, x).sum().backward()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"debug": True}, NotImplementedError, "debug=True"),
        ({"determinism_check": "some"}, ValueError, "'default' or 'none', got 'some'"),
    ],
)
def test_options_that_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        checkpoint(minidl.exp, minidl.ones(1), **options)
    with pytest.raises(ValueError, match="unexpected keyword arguments: other"):
        checkpoint_sequential([minidl.exp], 1, minidl.ones(1), other=1)
    with pytest.raises(ValueError, match="positive number of segments, got 0"):
        checkpoint_sequential([minidl.exp], 0, minidl.ones(1))
