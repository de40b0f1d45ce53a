"""The CPU's recurrent layers against their plain definitions: any sizes, dtypes, gradients; threads, memory, bits."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.backend import DEFINITIONS
from minidl.backend.host import recurrent as host
from minidl.ops import recurrent as R

KINDS = {"lstm": (4, 2, {}), "gru": (3, 1, {}), "tanh": (1, 1, {"relu": False}), "relu": (1, 1, {"relu": True})}
each_kind = pytest.mark.parametrize("kind", KINDS)


def _name(kind):
    return f"{kind if kind in ('lstm', 'gru') else 'rnn'}_sequence"


def _inputs(kind, rng, steps, count, features, size, dtype=np.float64, bias=(True, True)):
    gates, states, _ = KINDS[kind]
    shapes = [(steps, count, features), *[(count, size)] * states, (gates * size, features), (gates * size, size)]
    shapes += [(gates * size,) if b else None for b in bias]
    return [None if s is None else (rng.normal(size=s) * (0.7 if s[0] == steps else 0.4)).astype(dtype) for s in shapes]


def _both(kind, inputs, gs, needs, **how):
    """Outputs and gradients of the kernel, and of the definition."""
    found = []
    for function in (getattr(host, _name(kind)), DEFINITIONS[_name(kind)]):
        ys, joint = function(*inputs, **KINDS[kind][2], **how)
        found.append([*ys, *joint(*gs, needs=needs)])
    return found


def _compare(got, want, needs, states, tolerance):
    assert len(got) == len(want)
    wanted = [True] * (1 + states) + [needs[0]] + [True] * states + list(needs[1 + states :])
    for a, b, w in zip(got, want, wanted, strict=True):
        if not w:
            assert a is None
            continue
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(np.abs(b).max())))


def _seeds(kind, rng, steps, count, size, dtype=np.float64):
    shapes = [(steps, count, size), *[(count, size)] * KINDS[kind][1]]
    return [rng.normal(size=s).astype(dtype) for s in shapes]


@pytest.fixture(params=["whole", "in blocks"])
def way(request, monkeypatch):
    """Whether the cache holds the factors of all steps or of few."""
    if request.param == "in blocks":
        monkeypatch.setattr(host, "_CACHE", 1 << 12)


# ------------------------------------------------------------------------------------------- against the definitions
@each_kind
def test_any_sizes_agree_with_the_definition(kind, way, rng):
    for _ in range(25):
        steps, count, features, size = (int(rng.choice([1, 2, 3, 5, 8, 17])) for _ in range(4))
        for dtype, reverse in itertools.product((np.float32, np.float64), (False, True)):
            inputs = _inputs(kind, rng, steps, count, features, size, dtype, rng.random(2) < 0.7)
            gs, needs = _seeds(kind, rng, steps, count, size, dtype), [True] * len(inputs)
            needs[-2:] = [b is not None for b in inputs[-2:]]
            got, want = _both(kind, inputs, gs, needs, reverse=reverse)
            _compare(got, want, needs, KINDS[kind][1], 2e-5 if dtype == np.float32 else 1e-13)


@each_kind
def test_only_the_gradients_that_are_wanted(kind, way, rng):
    inputs, gs = _inputs(kind, rng, 7, 3, 4, 5), _seeds(kind, rng, 7, 3, 5)
    for needs in itertools.product((False, True), repeat=len(inputs)):
        _compare(*_both(kind, inputs, gs, list(needs), reverse=True), needs, KINDS[kind][1], 1e-13)


@each_kind
@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_that_nothing_was_made_of(kind, way, reverse, rng):
    inputs, gs, needs = _inputs(kind, rng, 7, 3, 4, 5), _seeds(kind, rng, 7, 3, 5), [True] * 7
    needs = [True] * len(inputs)
    for kept in itertools.product((False, True), repeat=len(gs)):
        given = [g if k else None for g, k in zip(gs, kept, strict=True)]
        _compare(*_both(kind, inputs, given, needs, reverse=reverse), needs, KINDS[kind][1], 1e-13)


def _strided(a, how):
    """The same numbers in another order of memory."""
    if a is None:
        return None
    if how == "transposed":
        return np.ascontiguousarray(a.swapaxes(0, a.ndim - 2 if a.ndim > 1 else 0)).swapaxes(0, max(a.ndim - 2, 0))
    if how == "fortran":
        return np.asfortranarray(a)
    if how == "flipped":
        return np.ascontiguousarray(a[..., ::-1])[..., ::-1]
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, dtype=a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


@each_kind
@pytest.mark.parametrize("how", ["transposed", "fortran", "flipped", "spread"])
def test_any_order_of_memory(kind, how, way, rng):
    inputs, gs = _inputs(kind, rng, 7, 3, 4, 5), _seeds(kind, rng, 7, 3, 5)
    needs, states = [True] * len(inputs), KINDS[kind][1]
    want = _both(kind, inputs, gs, needs, reverse=False)[1]
    copies = [None if a is None else a.copy() for a in (*inputs, *gs)]
    given, g = [_strided(a, how) for a in inputs], [_strided(a, how) for a in gs]
    _compare(_both(kind, given, g, needs, reverse=False)[0], want, needs, states, 1e-13)
    _compare(_both(kind, inputs, g, needs, reverse=False)[0], want, needs, states, 1e-13)
    for a, b in zip((*given, *g), copies, strict=True):
        np.testing.assert_array_equal(a, b)  # nothing was written to


@each_kind
def test_a_walk_back_can_be_repeated_and_gives_fresh_arrays(kind, way, rng):
    inputs, gs = _inputs(kind, rng, 7, 3, 4, 5), _seeds(kind, rng, 7, 3, 5)
    ys, joint = getattr(host, _name(kind))(*inputs, reverse=False, **KINDS[kind][2])
    first = joint(*gs, needs=[True] * len(inputs))
    for a, b in itertools.combinations([*ys, *inputs, *gs, *first], 2):
        assert not np.shares_memory(a, b)
    kept = [a.copy() for a in first]
    for a in first:
        a[...] = np.nan
    for a, b in zip(joint(*gs, needs=[True] * len(inputs)), kept, strict=True):
        np.testing.assert_array_equal(a, b)


@each_kind
def test_numbers_that_overflow_saturate_without_a_warning(kind, rng):
    inputs = _inputs(kind, rng, 5, 2, 3, 4, np.float32)
    inputs[0] *= np.float32(1e4)
    with np.errstate(all="raise", under="ignore"):
        got, want = _both(kind, inputs, _seeds(kind, rng, 5, 2, 4, np.float32), [True] * len(inputs), reverse=False)
    for a, b in zip(got, want, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(np.abs(b).max()))


# ------------------------------------------------------------------------------------- what is left to the definitions
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_the_definition_serves_what_the_kernel_does_not(kind, rng, monkeypatch):
    called = []
    plain = DEFINITIONS[_name(kind)]
    monkeypatch.setitem(DEFINITIONS, _name(kind), lambda *a, **how: called.append(1) or plain(*a, **how))
    kernel, how = getattr(host, _name(kind)), KINDS[kind][2] | {"reverse": False}
    inputs = _inputs(kind, rng, 4, 3, 2, 5)
    kernel(*inputs, **how)
    assert not called
    kernel(inputs[0].reshape(-1, 2), *inputs[1:], sizes=(3, 3, 3, 3), **how)
    kernel(inputs[0][:1], *inputs[1:], **how)
    kernel(*[a.astype(np.float16) for a in inputs], **how)
    kernel(*inputs[:-1], inputs[-1].astype(np.float32), **how)
    kernel(inputs[0][:, :0], *[a[:0] for a in inputs[1 : 1 + KINDS[kind][1]]], *inputs[1 + KINDS[kind][1] :], **how)
    assert len(called) == 5
    if kind == "lstm":
        kernel(inputs[0], inputs[1][:, :2], *inputs[2:4], inputs[4][:, :2], *inputs[5:], rng.normal(size=(2, 5)), **how)
        assert len(called) == 6


# ------------------------------------------------------------------------------------------------------------- threads
def _train(kind, seed, steps=3):
    """A few steps of a small model; its parameters."""
    generator = np.random.default_rng(seed)
    layer = getattr(nn, kind)(6, 24, batch_first=True)
    with minidl.no_grad():
        for p in layer.parameters():
            p.copy_(minidl.tensor(generator.normal(size=tuple(p.shape)).astype(np.float32) * 0.2))
    optimizer = minidl.optim.SGD(layer.parameters(), lr=0.05)
    x = minidl.tensor(generator.normal(size=(40, 33, 6)).astype(np.float32))
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(x)[0] ** 2).mean().backward()
        optimizer.step()
    return [p.array.copy() for p in layer.parameters()]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_two_trainings_at_once_give_what_one_after_the_other_gives(kind, one_thread):
    want = [_train(kind, seed) for seed in (1, 2)]
    again = [_train(kind, seed) for seed in (1, 2)]
    found: dict = {}
    threads = [threading.Thread(target=lambda s=s: found.update({s: _train(kind, s)})) for s in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second, both in zip(want, again, (found[1], found[2]), strict=True):
        for a, b, c in zip(first, second, both, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


@each_kind
def test_the_same_call_gives_the_same_bits(kind, way, rng):
    inputs, gs = _inputs(kind, rng, 21, 32, 9, 40, np.float32), _seeds(kind, rng, 21, 32, 40, np.float32)
    found = [_both(kind, inputs, gs, [True] * len(inputs), reverse=False)[0] for _ in range(3)]
    for first, *others in zip(*found, strict=True):
        assert all(first.tobytes() == other.tobytes() for other in others)


# -------------------------------------------------------------------------------------------------------------- memory
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_sequence_leaves_no_cycle(kind, way):
    layer, x = getattr(nn, kind)(3, 4), minidl.randn(9, 2, 3)
    gc.collect()
    gc.disable()
    try:
        y, _ = layer(x)
        alive = weakref.ref(y.grad_fn), weakref.ref(y.array.base if y.array.base is not None else y.array)
        y.sum().backward()
        del y, _
        assert [a() for a in alive] == [None, None]
    finally:
        gc.enable()


def test_an_output_that_was_changed_in_place_is_noticed():
    """The kernel keeps the outputs, each step's start, for the weights' gradients."""
    for op, kind in ((R.lstm, "lstm"), (R.gru, "gru")):
        inputs = _inputs(kind, np.random.default_rng(0), 4, 2, 3, 5)
        leaves = [minidl.tensor(a, requires_grad=True) for a in inputs]
        y = op(*leaves, reverse=False)[0]
        y.detach().mul_(2.0)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()
