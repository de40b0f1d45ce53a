"""Recurrent layers on the GPU against their plain definitions: packed or not, both ways, any gradients; launches."""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest
from launching import CUDA, counts, down, launches, same, up

import minidl
from minidl import nn
from minidl.backend import DEFINITIONS
from minidl.ops import recurrent as R

pytestmark = pytest.mark.cuda
# gates, states, options
KINDS = {"lstm": (4, 2, {}), "gru": (3, 1, {}), "tanh": (1, 1, {"relu": False}), "relu": (1, 1, {"relu": True})}
each_kind = pytest.mark.parametrize("kind", KINDS)


def name_of(kind):
    return f"{kind if kind in ('lstm', 'gru') else 'rnn'}_sequence"


def inputs(kind, rng, steps, count, features, size, dtype="float64", bias=(True, True), sizes=None, projected=None):
    """x, the states, the weights and biases, and gradients of all outputs."""
    gates, states, _ = KINDS[kind]
    lead, out = (steps, count) if sizes is None else (sum(sizes),), projected or size
    shapes: list = [(*lead, features), (count, out), *[(count, size)] * (states - 1)]
    shapes += [(gates * size, features), (gates * size, out), *[(gates * size,) if b else None for b in bias]]
    shapes += [(projected, size)] if projected else []
    given = [
        None if s is None else (rng.normal(size=s) * (0.7 if s[0] == lead[0] else 0.4)).astype(dtype) for s in shapes
    ]
    return given, [rng.normal(size=s).astype(dtype) for s in [(*lead, out), *shapes[1 : 1 + states]]]


def compare(kind, given, gs, needs=None, spread=False, times=1.0, **how):
    """Outputs and gradients of the kernel, and of the definition in double precision."""
    dtype, found = given[0].dtype.name, []
    needs = [a is not None for a in given] if needs is None else needs
    wide = [[None if a is None else a.astype(np.float64) for a in arrays] for arrays in (given, gs)]
    device = [[up(a, spread) for a in arrays] for arrays in (given, gs)]
    for function, (arrays, gradients) in ((getattr(CUDA, name_of(kind)), device), (DEFINITIONS[name_of(kind)], wide)):
        ys, joint = function(*arrays, **KINDS[kind][2], **how)
        found.append([*ys, *joint(*gradients, needs=list(needs))])
    states = KINDS[kind][1]
    wanted = [True] * (1 + states) + [needs[0]] + [True] * states + list(needs[1 + states :])
    assert len(found[0]) == len(found[1]) == len(wanted)
    for a, b, needed in zip(*found, wanted, strict=True):
        if needed:
            same(a, b, dtype, times)
        else:
            assert a is None
    for a, kept in zip(itertools.chain(*device), itertools.chain(given, gs), strict=True):
        if a is not None:
            np.testing.assert_array_equal(down(a), kept)  # nothing was written to


# ------------------------------------------------------------------------------------------- against the definitions
@each_kind
@pytest.mark.parametrize("reverse", [False, True])
def test_any_sizes_agree_with_the_definition(kind, reverse, rng):
    for number in range(24):
        steps, count, features, size = (int(rng.choice([1, 2, 3, 5])) for _ in range(4))
        dtype = ["float64", "float32", "float16"][number % 3]
        given, gs = inputs(kind, rng, steps, count, features, size, dtype, rng.random(2) < 0.7)
        compare(kind, given, gs, spread=number % 4 == 0, times=10 if dtype == "float64" else 3, reverse=reverse)


@each_kind
@pytest.mark.parametrize("reverse", [False, True])
def test_packed_sequences_agree_with_the_definition(kind, reverse, rng):
    for sizes in ((3, 3, 2, 1, 1), (4,), (2, 2, 2), (5, 1), (1, 1, 1)):
        given, gs = inputs(kind, rng, len(sizes), sizes[0], 3, 4, sizes=sizes)
        compare(kind, given, gs, times=10, reverse=reverse, sizes=sizes)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [None, (3, 2, 2, 1)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_projected_lstm_agrees_with_the_definition(reverse, sizes, dtype, rng):
    given, gs = inputs("lstm", rng, 4, 3, 2, 5, dtype, sizes=sizes, projected=3)
    for needs in ([True] * 8, [False, True, True, True, True, True, True, False]):
        compare("lstm", given, gs, needs, times=10, reverse=reverse, sizes=sizes)
    compare("lstm", given, [None, *gs[1:]], times=10, reverse=reverse, sizes=sizes)


@each_kind
def test_only_the_gradients_that_are_wanted(kind, rng):
    given, gs = inputs(kind, rng, 4, 3, 2, 5)
    for needs in itertools.product((False, True), repeat=len(given)):
        compare(kind, given, gs, needs, times=10, reverse=True)


@each_kind
@pytest.mark.parametrize("sizes", [None, (3, 3, 2, 1)])
@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_that_nothing_was_made_of(kind, reverse, sizes, rng):
    given, gs = inputs(kind, rng, 4, 3, 2, 5, sizes=sizes)
    for kept in itertools.product((False, True), repeat=len(gs)):
        some = [g if k else None for g, k in zip(gs, kept, strict=True)]
        compare(kind, given, some, times=10, reverse=reverse, sizes=sizes)


@each_kind
def test_a_walk_back_can_be_repeated_and_gives_fresh_arrays(kind, rng):
    given, gs = ([up(a) for a in arrays] for arrays in inputs(kind, rng, 4, 3, 2, 5))
    ys, joint = getattr(CUDA, name_of(kind))(*given, reverse=False, **KINDS[kind][2])
    needs = [True] * len(given)
    first = joint(*gs, needs=needs)
    owners = [a if a.base is None else a.base for a in (*ys, *given, *gs, *first)]
    assert len({id(a) for a in owners}) == len(owners)
    kept = [down(a) for a in first]
    for a in (*first, *ys[1:]):
        a.fill(np.nan)
    for a, b in zip(joint(*gs, needs=needs), kept, strict=True):
        np.testing.assert_array_equal(down(a), b)


@each_kind
def test_numbers_that_overflow_saturate(kind, rng):
    given, gs = inputs(kind, rng, 4, 2, 3, 4, "float32")
    given[0] *= np.float32(1e4)
    ys, joint = getattr(CUDA, name_of(kind))(*map(up, given), reverse=False, **KINDS[kind][2])
    assert all(np.isfinite(down(a)).all() for a in (*ys, *joint(*map(up, gs), needs=[True] * len(given))))


@each_kind
def test_the_definition_serves_what_the_kernel_does_not(kind, rng, monkeypatch):
    called, plain = [], DEFINITIONS[name_of(kind)]
    monkeypatch.setitem(DEFINITIONS, name_of(kind), lambda *a, **how: called.append(1) or plain(*a, **how))
    kernel, how, states = getattr(CUDA, name_of(kind)), KINDS[kind][2] | {"reverse": False}, KINDS[kind][1]
    given = inputs(kind, rng, 4, 3, 2, 5)[0]
    kernel(*map(up, given), **how)
    assert not called
    kernel(*map(up, given[:-1]), up(given[-1].astype(np.float32)), **how)
    kernel(up(given[0][:, :0]), *[up(a[:0]) for a in given[1 : 1 + states]], *map(up, given[1 + states :]), **how)
    assert len(called) == 2


# ------------------------------------------------------------------------------------------------------------ launches
# launches before the steps, and before and after those of the way back; the kernels of a step
LAUNCHES = {
    "lstm": (3, 2, 5, ("minidl_lstm", "minidl_lstm_grad")),
    "gru": (2, 2, 6, ("minidl_gru", "minidl_gru_grad")),  # and what is left of the last state's gradient
    "tanh": (2, 1, 5, ("minidl_rnn", "minidl_rnn_grad")),
    "relu": (2, 1, 5, ("minidl_rnn", "minidl_rnn_grad")),
}


@counts
@each_kind
@pytest.mark.parametrize("sizes", [None, (3, 3, 2, 2, 1)])
def test_launches(kind, sizes, rng):
    """A product and a kernel for each step; one product for all inputs, and one for each gradient."""
    given, gs = ([up(a) for a in arrays] for arrays in inputs(kind, rng, 5, 3, 2, 4, "float32", sizes=sizes))
    how = {"reverse": False, "sizes": sizes, **KINDS[kind][2]}
    before, before_back, after_back, kernels = LAUNCHES[kind]
    names = launches(getattr(CUDA, name_of(kind)), *given, **how)
    assert len(names) == before + 2 * 5 and names.count(kernels[0]) == 5
    joint = getattr(CUDA, name_of(kind))(*given, **how)[1]
    names = launches(joint, *gs, needs=[True] * len(given))
    assert len(names) == before_back + 2 * 5 + after_back and names.count(kernels[1]) == 5


# -------------------------------------------------------------------------------------------------------------- memory
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_sequence_leaves_no_cycle(kind):
    layer, x = getattr(nn, kind)(3, 4).to("cuda"), minidl.randn(5, 2, 3).to("cuda")
    gc.collect()
    gc.disable()
    try:
        y, _ = layer(x)
        alive = weakref.ref(y.grad_fn), weakref.ref(y.array if y.array.base is None else y.array.base)
        y.sum().backward()
        del y, _
        assert [a() for a in alive] == [None, None]
    finally:
        gc.enable()


def test_an_output_that_was_changed_in_place_does_not_change_the_gradients():
    """Or it is noticed: the way back of `rnn` is by its outputs; that of the others by what the kernels keep."""
    for op, kind in ((R.lstm, "lstm"), (R.gru, "gru"), (R.rnn, "tanh")):
        given = inputs(kind, np.random.default_rng(0), 4, 2, 3, 5)[0]
        found = []
        for change in (False, True):
            leaves = [minidl.tensor(a).to("cuda").requires_grad_() for a in given]
            outputs = op(*leaves, reverse=False, **KINDS[kind][2])
            if change:
                for y in outputs:
                    y.detach().mul_(2.0)
            if change and kind == "tanh":
                with pytest.raises(RuntimeError, match="changed in place"):
                    outputs[0].sum().backward()
                continue
            outputs[0].sum().backward()
            found.append([p.grad.cpu().numpy() for p in leaves])
        for a, b in zip(*found, strict=True) if len(found) == 2 else ():
            np.testing.assert_array_equal(a, b)


@each_kind
def test_the_same_call_gives_the_same_bits(kind, rng):
    given, gs = ([up(a) for a in arrays] for arrays in inputs(kind, rng, 6, 4, 3, 5, "float32"))
    found = []
    for _ in range(2):
        ys, joint = getattr(CUDA, name_of(kind))(*given, reverse=False, **KINDS[kind][2])
        found.append([down(a).tobytes() for a in (*ys, *joint(*gs, needs=[True] * len(given)))])
    assert found[0] == found[1]
