"""That laying parameters side by side is only speed: same numbers, no alias forgotten, no change overlooked."""

from __future__ import annotations

import copy
import gc
import os
import signal
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

import minidl
from minidl import optim
from minidl.backend.host import team
from minidl.optim import flat
from minidl.tensor import Parameter, Tensor, wrap

SHAPES = [(7, 5), (5,), (), (3, 2, 4), (1,), (130,), (2, 3)]


def parameters(dtype=np.float32, shapes=SHAPES):
    rng = np.random.default_rng(5)
    return [Parameter(np.array(rng.standard_normal(shape), dtype)) for shape in shapes]


def slopes(ps, t=0):
    """A gradient for every parameter, from its values."""
    for p in ps:
        p.grad = wrap(np.array(p.array * 0.7 + np.sin(p.array + t), p.array.dtype))


def walk(rule, ps, steps, gradients=slopes):
    for t in range(steps):
        gradients(ps, t)
        rule.step()


def units(rule, group=0):
    return rule._layouts[group].units


def is_flat(p, rule):
    """Whether p lies in a buffer of the rule's, beside others."""
    return any(
        isinstance(u, flat.Flat) and len(u.params) > 1 and np.shares_memory(u.buffer, p.array) for u in units(rule)
    )


class Apart(optim.Adam):
    """Adam, one tensor at a time: what the flat path is compared with."""

    elementwise = False


def adam(ps, **options):
    return optim.Adam(ps, lr=0.05, weight_decay=0.01, **options)


def same(ps, qs):
    return all(np.array_equal(p.array, q.array, equal_nan=True) for p, q in zip(ps, qs, strict=True))


# ---------------------------------------------------------------------------------------------------- same numbers
OPTIONS = [
    dict(),
    dict(amsgrad=True),
    dict(weight_decay=0.1),
    dict(weight_decay=0.1, maximize=True),
    dict(weight_decay=0.1, decoupled_weight_decay=True),
    dict(weight_decay=0.1, decoupled_weight_decay=True, maximize=True),
]


@pytest.mark.parametrize("size", [16, 48, 100, 10**6])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ",".join(o) or "plain")
def test_slices_of_any_size_give_the_same_bits(options, size, monkeypatch):
    monkeypatch.setattr(flat, "SLICE", size)
    ps, qs = parameters(), parameters()
    one, other = optim.Adam(ps, lr=0.05, **options), Apart(qs, lr=0.05, **options)
    for t in range(12):
        slopes(ps, t), slopes(qs, t)
        for i in range(len(ps)):
            if (i + t) % 4 == 0:
                ps[i].grad = qs[i].grad = None
        one.step(), other.step()
    assert same(ps, qs)
    assert [len(u.params) for u in units(one)] == [len(SHAPES)] and len(units(other)) == len(SHAPES)
    for p, q in zip(ps, qs, strict=True):
        for key, t in one.state[p].items():
            assert np.array_equal(t.array, other.state[q][key].array) and t.shape == other.state[q][key].shape


def test_every_parameter_begins_at_a_cache_line_and_slices_are_even(monkeypatch):
    monkeypatch.setattr(flat, "SLICE", 64)
    for dtype in (np.float16, np.float32, np.float64):
        ps = parameters(dtype)
        rule = adam(ps)
        walk(rule, ps, 1)
        (unit,) = units(rule)
        assert all(p.array.ctypes.data % flat.ALIGNMENT == 0 for p in ps)
        assert all(p.array.flags.c_contiguous and p.array.flags.writeable for p in ps)
        (cuts,) = unit.cuts.values()
        lengths = [len(piece.p) for piece in cuts]
        assert len(cuts) > 2 and max(lengths) <= 64 + unit.lane and sum(lengths) <= unit.size


def test_a_small_network_is_one_call_of_update(monkeypatch):
    calls = []
    monkeypatch.setattr(optim.Adam, "update", lambda self, p, g, state, h: calls.append((p.size, h.step)))
    ps = parameters(shapes=[(10, 3), (3,)] * 20)
    walk(adam(ps), ps, 2)
    assert [step for _, step in calls] == [1, 2]


def test_a_slice_inside_one_parameter_reads_the_gradient_where_it_lies(monkeypatch):
    seen = []
    monkeypatch.setattr(flat, "SLICE", 64)
    monkeypatch.setattr(optim.SGD, "update", lambda self, p, g, state, h: seen.append(g))
    ps = parameters(shapes=[(40, 16), (3,)])
    rule = optim.SGD(ps)
    walk(rule, ps, 1)
    assert sum(np.shares_memory(g, ps[0].grad.array) for g in seen) == len(seen) - 1 > 5


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam])
def test_gradients_and_parameters_of_any_layout(rule, monkeypatch):
    monkeypatch.setattr(flat, "SLICE", 64)
    shapes = [(20, 30), (4, 5), (6,)]

    def odd(p):
        wide = np.zeros((*p.array.shape[:-1], 2 * p.array.shape[-1]), p.array.dtype)
        g = wide[..., ::2]
        g[...] = p.grad.array
        return g.T.copy().T if p.array.ndim == 2 and p.array.shape[0] == 20 else g

    def twisted(ps, t):
        slopes(ps, t)
        for p in ps:
            p.grad = wrap(odd(p))
            assert p.array.size == 6 or not p.grad.array.flags.c_contiguous

    ps, qs = parameters(shapes=shapes), parameters(shapes=shapes)
    ps[0].array = np.asfortranarray(ps[0].array)
    walk(rule(ps, lr=0.1), ps, 5, twisted)
    walk(rule(qs, lr=0.1), qs, 5)
    assert same(ps, qs)


def test_mixed_dtypes_and_empty_parameters_in_one_group():
    kinds = [np.float16, np.float32, np.float64, np.float32, np.float64, np.float32]
    shapes = [(3,), (4, 2), (5,), (0, 3), (), ()]
    ps = [Parameter(np.full(shape, 0.5, kind)) for kind, shape in zip(kinds, shapes, strict=True)]
    qs = copy.deepcopy(ps)
    one, other = adam(ps), Apart(qs, lr=0.05, weight_decay=0.01)
    walk(one, ps, 5), walk(other, qs, 5)
    assert same(ps, qs) and [p.array.dtype for p in ps] == kinds and ps[3].shape == (0, 3)
    assert float(one.state[ps[3]]["step"].array) == 5
    for p in ps:
        assert one.state[p]["exp_avg"].array.dtype == p.array.dtype and one.state[p]["exp_avg"].shape == p.shape


def test_a_group_of_nothing_but_an_empty_parameter():
    p = Parameter(np.empty((0, 3), np.float32))
    rule = adam([p])
    walk(rule, [p], 2)
    assert p.shape == (0, 3) and float(rule.state[p]["step"].array) == 2


def test_padding_raises_no_warnings_and_infinities_pass_in_silence():
    for options in (dict(eps=0.0), dict(eps=0.0, amsgrad=True)):  # in the padding 0 / 0
        ps = parameters()
        rule = optim.Adam(ps, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            walk(rule, ps, 3)
            assert all(np.isfinite(p.array).all() for p in ps)
            ps[0].grad = wrap(np.full((7, 5), np.inf, np.float32))
            rule.step()
        assert np.isnan(ps[0].array).all() and all(np.isfinite(p.array).all() for p in ps[1:])


def test_padding_never_holds_anybodys_gradient():
    ps = parameters()
    rule = optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.1)
    walk(rule, ps, 3)
    (unit,) = units(rule)
    real = np.zeros(unit.size, bool)
    for start, size in zip(unit.starts, unit.sizes, strict=True):
        real[start : start + size] = True
    assert not unit.buffer[~real].any() and not unit.states["b"][~real].any() and unit.buffer[real].all()


def test_many_patterns_of_gradients_do_not_pile_up():
    ps = parameters(shapes=[(2,)] * 20)
    rule = adam(ps)
    for t in range(200):
        for i, p in enumerate(ps):
            p.grad = wrap(np.ones(2, np.float32)) if (t * 7919 >> (i % 13)) % 3 else None
        rule.step()
    assert len(units(rule)[0].cuts) <= 64


# ------------------------------------------------------------------------------------------- parameters that move
def to_double(p):
    p.data = p.data.to(minidl.float64)


def other_memory(p):
    p.array = p.array.copy()


def set_data_of_other_shape(p):
    p.data = wrap(np.full((3, 3), 0.25, np.float32))
    p.grad = None


@pytest.mark.parametrize("change", [to_double, other_memory, set_data_of_other_shape])
def test_parameters_that_were_rebound_are_found_again(change):
    ps, qs = parameters(), parameters()
    one, other = optim.SGD(ps, lr=0.1), optim.SGD(qs, lr=0.1)
    other.elementwise = False
    walk(one, ps, 3), walk(other, qs, 3)
    for p in (ps[1], ps[3], qs[1], qs[3]):
        change(p)
    walk(one, ps, 3), walk(other, qs, 3)
    assert same(ps, qs) and all(is_flat(p, one) for p in ps)
    with_momentum = adam(ps)
    walk(with_momentum, ps, 1)


def test_all_parameters_to_another_dtype_and_back():
    ps, qs = parameters(), parameters()
    one, other = adam(ps), Apart(qs, lr=0.05, weight_decay=0.01)
    for kind in (minidl.float64, minidl.float32):
        for rule, group in ((one, ps), (other, qs)):
            walk(rule, group, 3)
            for p in group:
                p.data = p.data.to(kind)
                p.grad = None
    walk(one, ps, 3), walk(other, qs, 3)
    assert same(ps, qs)
    assert all(one.state[p]["exp_avg"].dtype == minidl.float32 and is_flat(p, one) for p in ps)
    assert float(one.state[ps[0]]["step"].array) == 9


def test_a_gradient_of_the_former_dtype_is_refused():
    ps = parameters()
    rule = adam(ps)
    walk(rule, ps, 1)
    to_double(ps[1])
    with pytest.raises(RuntimeError, match=r"Adam.step: parameter 1 is float64 \(5,\) on cpu and its gradient float32"):
        rule.step()


def test_values_written_in_place_are_used():
    ps, qs = parameters(), parameters()
    one, other = adam(ps), Apart(qs, lr=0.05, weight_decay=0.01)
    walk(one, ps, 2), walk(other, qs, 2)
    memory = ps[0].array
    for p in (ps[0], qs[0]):
        p.data = wrap(np.ones((7, 5), np.float32))
        with minidl.no_grad():
            p *= 3.0
            p[0] = 7.0
    walk(one, ps, 2), walk(other, qs, 2)
    assert same(ps, qs) and ps[0].array is memory


def test_the_list_of_parameters_may_be_edited():
    ps = parameters()
    rule = adam(ps)
    walk(rule, ps, 2)
    removed = rule.param_groups[0]["params"].pop(2)
    before = removed.array.copy()
    walk(rule, ps, 1)
    assert np.array_equal(removed.array, before) and float(rule.state[ps[0]]["step"].array) == 3
    rule.param_groups[0]["params"] = [*rule.param_groups[0]["params"], removed]
    walk(rule, ps, 1)
    assert float(rule.state[removed]["step"].array) == 3 and is_flat(removed, rule)
    twin = ps[0].detach()  # another Tensor on the same memory is another parameter
    twin.grad = ps[0].grad
    rule.param_groups[0]["params"][0] = twin
    rule.step()
    assert float(rule.state[twin]["step"].array) == 1 and float(rule.state[ps[0]]["step"].array) == 4


def test_copies_have_memory_of_their_own():
    ps = parameters()
    rule = adam(ps)
    walk(rule, ps, 2)
    qs, (rs, other) = copy.deepcopy(ps), copy.deepcopy((ps, rule))
    before = [q.array.copy() for q in qs]
    walk(rule, ps, 2)
    assert all(np.array_equal(q.array, x) for q, x in zip(qs, before, strict=True))
    walk(other, rs, 2)
    assert same(ps, rs) and not any(np.shares_memory(p.array, r.array) for p, r in zip(ps, rs, strict=True))
    assert all(is_flat(r, other) for r in rs)


def test_a_loaded_state_dict_of_the_model_stays_in_place():
    model = minidl.nn.Linear(4, 3)
    rule = adam(model.parameters())
    walk(rule, list(model.parameters()), 2)
    memory = model.weight.array
    model.load_state_dict({"weight": np.ones((3, 4), np.float32), "bias": np.zeros(3, np.float32)})
    assert model.weight.array is memory and is_flat(model.weight, rule)
    for p in model.parameters():
        p.grad = wrap(np.zeros(p.shape, np.float32))
    rule.param_groups[0]["lr"] = 0.0
    rule.step()
    assert model.weight.array.tolist() == [[1.0] * 4] * 3


# -------------------------------------------------------------------------------------------- who else holds them
def held_as_tensor(p):
    held = p.detach()
    return lambda: held.array


def held_as_array(p):
    held = p.detach().numpy()
    return lambda: held


def held_as_view(p):
    held = p.detach().view(-1)
    return lambda: held.array.reshape(p.shape)


def held_by_the_caller(p):
    held = np.array(p.array)
    p.array = held.reshape(p.array.shape)  # as when a Parameter is made of an array of one's own
    return lambda: held


def held_by_a_state_dict(p):
    module = minidl.nn.Module()
    module.w = p
    held = module.state_dict()
    return lambda: held["w"].array


@pytest.mark.parametrize("when", ["before the first step", "later"])
@pytest.mark.parametrize(
    "hold", [held_as_tensor, held_as_array, held_as_view, held_by_the_caller, held_by_a_state_dict]
)
def test_whoever_looks_at_a_parameter_goes_on_seeing_it(hold, when):
    ps, qs = parameters(), parameters()
    rule, other = adam(ps), Apart(qs, lr=0.05, weight_decay=0.01)
    steps = 3 if when == "later" else 0
    walk(rule, ps, steps), walk(other, qs, steps)
    look = hold(ps[0])
    walk(rule, ps, 20), walk(other, qs, 20)
    assert np.shares_memory(look(), ps[0].array) and np.array_equal(look(), ps[0].array)
    assert same(ps, qs) and all(is_flat(p, rule) for p in ps[1:])
    if hold is not held_by_the_caller:
        assert is_flat(ps[0], rule) == (when == "later")


def test_memory_of_another_library_is_updated_where_it_lies(tmp_path):
    raw = bytearray(np.ones(6, np.float32).tobytes())
    np.save(tmp_path / "w.npy", np.ones((2, 3), np.float32))
    mapped = np.load(tmp_path / "w.npy", mmap_mode="r+")
    ps = [Parameter(np.frombuffer(raw, np.float32)), Parameter(np.asarray(mapped)), *parameters()]
    rule = optim.SGD(ps, lr=0.5)
    for p in ps:
        p.grad = wrap(np.ones(p.shape, np.float32))
    rule.step()
    mapped.flush()
    assert np.frombuffer(raw, np.float32).tolist() == [0.5] * 6
    assert np.load(tmp_path / "w.npy").tolist() == [[0.5] * 3] * 2


def test_a_recorded_graph_keeps_what_it_was_recorded_with():
    w, v, x = *parameters(np.float64, [(3,), (3,)]), wrap(np.ones(3), requires_grad=True)
    rule = optim.SGD([w, v], lr=0.5)
    y = (w * x).sum()
    w.grad = v.grad = wrap(np.ones(3))
    rule.step()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_parameters_let_go_of_later_are_moved_then():
    ps = parameters()
    held, rule = ps[0].detach(), adam(ps)
    walk(rule, ps, 3)
    assert not is_flat(ps[0], rule)
    del held
    walk(rule, ps, flat.RETRY)
    assert is_flat(ps[0], rule) and float(rule.state[ps[0]]["step"].array) == 3 + flat.RETRY


def test_looking_again_for_parameters_let_go_of_becomes_rarer(monkeypatch):
    made, init = [], flat.Layout.__init__
    monkeypatch.setattr(flat.Layout, "__init__", lambda self, *a: (made.append(1), init(self, *a))[1])
    ps = parameters()
    held, rule = ps[0].detach(), adam(ps)
    walk(rule, ps, 500)
    assert len(made) == 6 and held.array is ps[0].array


def test_two_live_optimizers_do_not_take_turns_in_moving():
    ps, qs = parameters(), parameters()
    pair = [adam(ps), optim.SGD(ps, lr=0.1, momentum=0.9)]
    other = [Apart(qs, lr=0.05, weight_decay=0.01), optim.SGD(qs, lr=0.1, momentum=0.9)]
    walk(pair[0], ps, 1), walk(other[0], qs, 1)
    memory = [p.array for p in ps]
    for t in range(5):
        for rules, group in ((pair, ps), (other, qs)):
            slopes(group, t)
            for rule in reversed(rules):
                rule.step()
    assert all(p.array is a for p, a in zip(ps, memory, strict=True)) and same(ps, qs)
    assert all(is_flat(p, pair[0]) and not is_flat(p, pair[1]) for p in ps)
    del pair[0], rules, rule
    memory.clear()
    gc.collect()
    walk(pair[0], ps, 20)
    assert all(is_flat(p, pair[0]) for p in ps)  # the first has gone: they are free


def test_a_new_optimizer_with_other_groups_lays_out_anew():
    ps = parameters()
    rule = adam(ps)
    walk(rule, ps, 1)
    del rule
    rule = optim.Adam([{"params": ps[::2]}, {"params": ps[1::2], "weight_decay": 0.1}])
    walk(rule, ps, 1)
    assert [len(u.params) for g in (0, 1) for u in units(rule, g)] == [4, 3]


def test_the_memory_that_parameters_lay_in_before_is_freed():
    ps = parameters()
    for p in ps:
        with minidl.no_grad():
            p *= 2.0  # a change is noted, with the array
    old = [weakref.ref(p.array) for p in ps]
    walk(adam(ps), ps, 1)
    assert all(a() is None for a in old)


def test_nothing_of_an_optimizer_outlives_it_but_the_parameters():
    ps = parameters()
    rule = adam(ps)
    walk(rule, ps, 2)
    old, kept = weakref.ref(rule), [weakref.ref(u) for u in units(rule)]
    gc.disable()
    try:
        del rule
        assert old() is None and all(u() is None for u in kept)
    finally:
        gc.enable()
    assert all(np.isfinite(p.array).all() for p in ps)


# ------------------------------------------------------------------------------------------------------- the state
def set_entry(state):
    state["exp_avg"] = wrap(np.full(state["exp_avg"].shape, 0.5, np.float32))


def set_entry_of_other_dtype(state):
    state["exp_avg"] = wrap(np.full(state["exp_avg"].shape, 0.5, np.float64))


def write_entry(state):
    state["exp_avg"].zero_()


def rebind_entry(state):
    state["exp_avg"].array = np.full(state["exp_avg"].shape, 0.5, np.float32)


def set_step(state):
    state["step"] = 1


def write_step(state):
    state["step"].fill_(7.0)


def remove_entry(state):
    del state["exp_avg_sq"]


def clear_all(state):
    state.clear()


@pytest.mark.parametrize(
    "change",
    [set_entry, set_entry_of_other_dtype, write_entry, rebind_entry, set_step, write_step, remove_entry, clear_all],
)
def test_changes_of_the_state_are_honoured(change):
    ps, qs = parameters(), parameters()
    one, other = adam(ps), Apart(qs, lr=0.05, weight_decay=0.01)
    walk(one, ps, 3), walk(other, qs, 3)
    for rule, group in ((one, ps), (other, qs)):
        for i in (0, 2, 5):
            change(rule.state[group[i]])
    walk(one, ps, 3), walk(other, qs, 3)
    assert same(ps, qs)
    for p, q in zip(ps, qs, strict=True):
        assert {k: t.array.tolist() for k, t in one.state[p].items()} == {
            k: t.array.tolist() for k, t in other.state[q].items()
        }


def test_a_state_replaced_as_a_whole_is_honoured():
    ps, qs = parameters(), parameters()
    one, other = adam(ps), Apart(qs, lr=0.05, weight_decay=0.01)
    walk(one, ps, 3), walk(other, qs, 3)
    one.state.clear(), other.state.clear()
    walk(one, ps, 2), walk(other, qs, 2)
    one.state[ps[1]], other.state[qs[1]] = {}, {}
    walk(one, ps, 2), walk(other, qs, 2)
    assert same(ps, qs) and [float(one.state[p]["step"].array) for p in ps[:3]] == [4, 2, 4]


@pytest.mark.parametrize("kind", [optim.Adam, Apart])
def test_state_is_handed_out_as_tensors_that_stay(kind):
    ps = parameters()
    rule = kind(ps)
    walk(rule, ps, 1)
    mean, step = rule.state[ps[0]]["exp_avg"], rule.state[ps[0]]["step"]
    assert type(mean) is Tensor and mean.shape == ps[0].shape
    before = mean.array.copy()
    walk(rule, ps, 1)
    assert rule.state[ps[0]]["exp_avg"] is mean and float(step.array) == 2 and not np.array_equal(mean.array, before)
    given = wrap(np.zeros((7, 5), np.float32))  # a Tensor that the user puts in is changed by the steps, as in PyTorch
    rule.state[ps[0]]["exp_avg"] = given
    walk(rule, ps, 1)
    assert rule.state[ps[0]]["exp_avg"] is given and given.array.any()
    ps[0].data = ps[0].data.to(minidl.float64)
    ps[0].grad = None
    walk(rule, ps, 1)
    assert rule.state[ps[0]]["exp_avg"].dtype == minidl.float64


@pytest.mark.parametrize("elementwise", [True, False])
def test_a_state_of_wrong_shape_is_named(elementwise):
    ps = parameters()
    rule = adam(ps)
    rule.elementwise = elementwise
    walk(rule, ps, 1)
    rule.state[ps[1]]["exp_avg"] = wrap(np.ones(4, np.float32))
    with pytest.raises(ValueError, match=r"Adam: the state 'exp_avg' has shape \(4,\), expected \(5,\)"):
        rule.step()


def test_a_momentum_may_be_switched_on_and_off():
    ps, qs = parameters(), parameters()
    one, other = optim.SGD(ps, lr=0.1), optim.SGD(qs, lr=0.1)
    other.elementwise = False
    for momentum in (0, 0.9, 0.5, 0, 0.9):
        one.param_groups[0]["momentum"] = other.param_groups[0]["momentum"] = momentum
        walk(one, ps, 2), walk(other, qs, 2)
    assert same(ps, qs)


# ------------------------------------------------------------------------------------------------------ two threads
@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(flat, "SLICE", 64)
    monkeypatch.setattr(flat, "TOGETHER", 256)
    before = team.threads()
    team.set_threads(2)
    yield
    team.set_threads(before)


@pytest.mark.parametrize("kind", ["one", "several"])
@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.Rprop])
def test_two_threads_give_the_same_bits_as_one(rule, kind, monkeypatch, two_threads):
    def go(together):
        monkeypatch.setattr(flat, "TOGETHER", together)
        rng = np.random.default_rng(3)
        sizes = [3000] if kind == "one" else [1000, 7, 900, 1, 1100]
        ps = [Parameter(rng.standard_normal(n)) for n in sizes]
        options = {} if rule is optim.Rprop else {"weight_decay": 0.1}
        optimizer = rule(ps, lr=0.01, maximize=True, **options)
        for t in range(4):
            for i, p in enumerate(ps):
                p.grad = None if t == 2 and i == 1 else wrap(np.cos(p.array * (t + 1)))
            optimizer.step()
        states = [t.array.tobytes() for p in ps for t in optimizer.state[p].values()]
        return [p.array.tobytes() for p in ps] + states

    shared, run = [], team._run
    monkeypatch.setattr(team, "_run", lambda tasks: (shared.append(len(tasks)), run(tasks))[1])
    alone = go(10**6)
    assert not shared
    assert go(256) == alone and len(shared) >= 4 and set(shared) == {2}
    count = len(shared)
    team.set_threads(1)
    assert go(256) == alone and len(shared) == count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_is_forked_off_has_a_thread_of_its_own(two_threads):
    w = Parameter(np.ones(2000))
    w.grad = wrap(np.ones(2000))
    rule = optim.SGD([w], lr=0.5)
    rule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 3.12: that there are threads
        child = os.fork()
    if child == 0:  # pragma: no cover (another process)
        rule.step()
        os._exit(0 if (w.array == 0).all() else 1)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0


def test_what_goes_wrong_in_the_other_thread_is_raised_in_this_one(two_threads):
    class Failing(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def update(self, p, g, state, h):
            if threading.current_thread() is not threading.main_thread():
                raise ArithmeticError("in the other thread")

    w = Parameter(np.ones(2000))
    w.grad = wrap(np.ones(2000))
    with pytest.raises(ArithmeticError, match="in the other thread"):
        Failing([w]).step()
