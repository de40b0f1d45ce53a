"""Transforms of gradients: against NumPy and against the rules without them, saved in the middle, refused misuse."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from standin.counts import no_sync, no_upload

import minidl
from minidl import nn, optim, serialization
from minidl.backend.random import default_generator
from minidl.optim.transforms import (
    L1,
    L2,
    Accumulate,
    Centralise,
    ClipNorm,
    ClipValue,
    Noise,
    SkipNonFinite,
    Transform,
    VarianceReduction,
)

SHAPES = [(4, 3), (3,), (), (2, 3, 2), (1,)]
RULES = {
    "sgd": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9),
    "adam": lambda ps: optim.Adam(ps, lr=0.1),
    "adamw": lambda ps: optim.AdamW(ps, lr=0.1, weight_decay=0.1),
    "rmsprop": lambda ps: optim.RMSprop(ps, lr=0.1),
    "muon": lambda ps: optim.Muon([p for p in ps if p.ndim == 2], lr=0.1),
}


def start(where, dtype=np.float64):
    """Parameters of several shapes, 0-d too, and twelve sets of gradients as NumPy arrays."""
    rng = np.random.default_rng(5)
    params = [where.leaf(rng.normal(size=s), dtype) for s in SHAPES]
    return params, [[np.asarray(2 * rng.normal(size=s), dtype) for s in SHAPES] for _ in range(12)]


def give(where, params, gradients) -> None:
    for p, g in zip(params, gradients, strict=True):
        p.grad = None if g is None else where.tensor(g)


def walk(where, rule, gradients_of, steps=3):
    """Where a rule without transforms goes with the gradients `gradients_of(t, params as NumPy, gradients)`."""
    params, sets = start(where)
    optimizer = RULES[rule](params)
    for t in range(steps):
        give(where, params, gradients_of(t, [where.host(p) for p in params], sets[t]))
        optimizer.step()
    return [where.host(p) for p in params]


def transformed(where, rule, *transforms, steps=3):
    params, sets = start(where)
    optimizer = RULES[rule](params).transform(*transforms)
    for t in range(steps):
        give(where, params, sets[t])
        optimizer.step()
    return [where.host(p) for p in params]


def close(found, expected) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def clipped(gradients, limit, order):
    sizes = np.concatenate([np.abs(g).ravel() for g in gradients])
    norm = sizes.max() if order == math.inf else (sizes**order).sum() ** (1 / order)
    return [g * min(1.0, limit / (norm + 1e-6)) for g in gradients]


def centred(g):
    return g - g.reshape(len(g), -1).mean(axis=1).reshape(-1, *[1] * (g.ndim - 1)) if g.ndim > 1 else g


PLAIN = {
    "clip": (lambda: ClipNorm(1.5), lambda xs, gs: clipped(gs, 1.5, 2)),
    "clip, order 1": (lambda: ClipNorm(1.5, 1), lambda xs, gs: clipped(gs, 1.5, 1)),
    "clip, largest": (lambda: ClipNorm(0.3, math.inf), lambda xs, gs: clipped(gs, 0.3, math.inf)),
    "clip, far away": (lambda: ClipNorm(1e6), lambda xs, gs: gs),
    "value": (lambda: ClipValue(0.7), lambda xs, gs: [np.clip(g, -0.7, 0.7) for g in gs]),
    "l1": (lambda: L1(0.2), lambda xs, gs: [g + 0.2 * np.sign(x) for x, g in zip(xs, gs, strict=True)]),
    "l2": (lambda: L2(0.2), lambda xs, gs: [g + 0.2 * x for x, g in zip(xs, gs, strict=True)]),
    "centre": (lambda: Centralise(), lambda xs, gs: [centred(g) for g in gs]),
}


@pytest.mark.parametrize("rule", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_transform_is_what_numpy_says(where, name, rule):
    make, plain = PLAIN[name]
    close(transformed(where, rule, make()), walk(where, rule, lambda t, xs, gs: plain(xs, gs)))


@pytest.mark.parametrize("rule", RULES)
def test_transforms_run_in_their_order(where, rule):
    both = transformed(where, rule, ClipValue(0.5), ClipNorm(1.0))
    if rule == "muon":  # whose one parameter is all that it clips

        def plain(t, xs, gs):
            return clipped([np.clip(gs[0], -0.5, 0.5)], 1.0, 2) + gs[1:]
    else:

        def plain(t, xs, gs):
            return clipped([np.clip(g, -0.5, 0.5) for g in gs], 1.0, 2)

    close(both, walk(where, rule, plain))
    if rule == "sgd":
        other = transformed(where, rule, ClipNorm(1.0), ClipValue(0.5))
        assert not np.allclose(other[0], both[0])


def test_transforms_agree_with_pytorchs_names(where):
    params, sets = start(where)
    give(where, params, sets[0])
    clip = ClipNorm(1.5, 3)
    assert clip.norm is None and clip.apply(params, None)
    found = [where.host(p.grad) for p in params]
    give(where, params, sets[0])
    norm = nn.utils.clip_grad_norm_(params, 1.5, 3)
    close(found, [where.host(p.grad) for p in params])
    assert clip.norm.item() == norm.item()


def test_dtypes_stay(where):
    for transform in (ClipNorm(0.1), ClipValue(0.1), L1(0.1), L2(0.1), Noise(0.1), Centralise(), Accumulate(1)):
        params, sets = start(where, np.float32)
        optimizer = optim.SGD(params, lr=0.1).transform(transform)
        give(where, params, sets[0])
        optimizer.step()
        assert all(p.grad.dtype == minidl.float32 and p.grad.shape == p.shape for p in params), transform


def test_parameters_without_gradient_are_left_alone(where):
    transforms = [ClipNorm(0.1), ClipValue(0.1), L1(0.1), L2(0.1), Noise(0.1), Centralise(), SkipNonFinite()]
    transforms += [Accumulate(1)]
    params, sets = start(where)
    before = where.host(params[1]).copy()
    optimizer = optim.SGD(params, lr=0.1, weight_decay=0.1).transform(*transforms)
    give(where, params, [sets[0][0], None, *sets[0][2:]])
    optimizer.step()
    assert params[1].grad is None and (where.host(params[1]) == before).all()
    optimizer.zero_grad()
    optimizer.step()  # none has one


def test_penalties_still_shrink_where_the_loss_is_maximized(where):
    p = where.leaf([2.0, -3.0])
    optimizer = optim.SGD([p], lr=0.5, maximize=True).transform(L1(0.1), L2(0.2))
    p.grad = where.tensor([1.0, 1.0])
    optimizer.step()
    np.testing.assert_allclose(where.host(p), [2 + 0.5 * (1 - 0.1 - 0.4), -3 + 0.5 * (1 + 0.1 + 0.6)], rtol=1e-12)


# ------------------------------------------------------------------------------------------------------------- noise
def test_noise_has_the_variance_of_the_paper(where):
    p, noise = where.leaf(np.zeros(20000)), Noise(0.3, 0.55)
    optimizer = optim.SGD([p], lr=1.0).transform(noise)
    for t in range(4):
        p.grad = where.tensor(np.zeros(20000))
        optimizer.step()
        g = where.host(p.grad)
        assert math.isclose(g.var(), 0.3 / (1 + t) ** 0.55, rel_tol=0.05) and abs(g.mean()) < 0.02


def test_noise_comes_from_minidls_generator_or_its_own(where):
    def run(generator):
        p = where.leaf(np.zeros(3))
        optimizer = optim.SGD([p], lr=1.0).transform(Noise(1.0, generator=generator))
        p.grad = where.tensor(np.zeros(3))
        optimizer.step()
        return where.host(p).copy()

    minidl.manual_seed(3)
    first, second = run(None), run(None)
    minidl.manual_seed(3)
    assert (run(None) == first).all() and (first != second).all()
    state = default_generator().get_state()
    assert (run(minidl.Generator(3)) == first).all() and default_generator().get_state() == state


# ------------------------------------------------------------------------------------------------------ accumulation
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("zero", ["none", "zeros", "never"])
def test_accumulation_is_the_mean_over_k_calls(where, rule, zero):
    params, sets = start(where)
    optimizer = RULES[rule](params).transform(Accumulate(4))
    for t in range(12):
        give(where, params, sets[t])
        optimizer.step()
        if zero == "none" or t % 4 == 3:
            optimizer.zero_grad(set_to_none=zero != "zeros")
    means = [[np.mean([s[i] for s in sets[j : j + 4]], axis=0) for i in range(len(SHAPES))] for j in (0, 4, 8)]
    close([where.host(p) for p in params], walk(where, rule, lambda t, xs, gs: means[t]))


def test_backward_between_two_calls_does_not_count_twice():
    for zero in (True, False):
        w = minidl.tensor([1.0, 2.0], requires_grad=True)
        optimizer = optim.SGD([w], lr=1.0).transform(Accumulate(3))
        for x in (1.0, 2.0, 6.0):
            (w.sum() * x).backward()
            optimizer.step()
            if zero:
                optimizer.zero_grad()
        assert w.tolist() == [-2.0, -1.0]


def test_accumulation_of_gradients_of_which_some_are_missing(where):
    a, b, c = (where.leaf([1.0]) for _ in range(3))
    optimizer = optim.SGD([a, b, c], lr=1.0, weight_decay=0.5).transform(Accumulate(2, "sum"))
    give(where, [a, b, c], [np.array([2.0]), None, None])
    optimizer.step()
    assert a.grad is None and a.item() == 1.0
    give(where, [a, b, c], [None, np.array([3.0]), None])
    optimizer.step()
    assert [a.item(), b.item(), c.item()] == [-1.5, -2.5, 1.0]  # no decay for c, which had none
    assert [a.grad.item(), b.grad.item(), c.grad] == [2.0, 3.0, None]


def test_accumulation_skips_steps_schedules_and_hooks(where):
    p, called = where.leaf([0.0]), []
    optimizer = optim.Adam([p], lr=0.1).transform(Accumulate(3))
    optimizer.register_step_post_hook(lambda *a: called.append(1))
    for _ in range(7):
        p.grad = where.tensor([1.0])
        optimizer.step()
    assert optimizer.state[p]["step"].item() == 2 and len(called) == 2


def test_accumulation_in_a_closure(where):
    p = where.leaf([1.0])
    optimizer = optim.SGD([p], lr=0.25).transform(Accumulate(2))

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0 and p.item() == 1.0
    assert optimizer.step(closure).item() == 1.0 and p.item() == 0.5


MIDDLE = {
    "accumulate": lambda: [Accumulate(4)],
    "accumulate, clip": lambda: [SkipNonFinite(), Accumulate(4), ClipNorm(0.5)],
    "noise": lambda: [Noise(0.3, generator=minidl.Generator(4))],
    "variance": lambda: [VarianceReduction(4, shrink=True, average=0.7)],
}


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("name", MIDDLE)
def test_a_resume_in_the_middle_is_exact(where, name, rule, tmp_path):
    params, sets = start(where, np.float32)
    optimizer = RULES[rule](params).transform(*MIDDLE[name]())
    for t in range(12):
        if t == 6:
            serialization.save(copy.deepcopy(optimizer.state_dict()), tmp_path / "state.safetensors")
            middle = [where.host(p).copy() for p in params]
        give(where, params, sets[t])
        optimizer.step()
    again = [where.leaf(x, np.float32) for x in middle]
    other = RULES[rule](again).transform(*MIDDLE[name]())
    other.load_state_dict(serialization.load(tmp_path / "state.safetensors"))
    for t in range(6, 12):
        give(where, again, sets[t])
        other.step()
    for p, q in zip(params, again, strict=True):
        assert (where.host(p) == where.host(q)).all() and np.isfinite(where.host(p)).all()
    assert repr(optimizer.state_dict()["transforms"]) == repr(other.state_dict()["transforms"])


def test_a_saved_state_is_a_copy(where):
    p = where.leaf([0.0])
    transform = Accumulate(3)
    optimizer = optim.SGD([p], lr=1.0).transform(transform)
    p.grad = where.tensor([1.0])
    optimizer.step()
    state = transform.state_dict()
    loaded = Accumulate(3)
    loaded.load_state_dict(state)
    p.grad = where.tensor([1.0])
    optimizer.step()
    assert state["sum"][0].item() == 1.0 and loaded.state_dict()["sum"][0].item() == 1.0


def test_the_gradient_taken_is_not_written_to(where):
    p = where.leaf([0.0])
    optimizer = optim.SGD([p], lr=1.0).transform(Accumulate(2))
    g = p.grad = where.tensor([1.0])
    optimizer.step()
    p.grad = where.tensor([2.0])
    optimizer.step()
    assert g.item() == 1.0 and p.item() == -1.5


# ---------------------------------------------------------------------------------------------------------- variance
@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_variance_is_estimated_from_the_micro_batches(where, rule, shrink):
    def expected(t, xs, gs):
        several = [np.stack([s[i] for s in sets[4 * t : 4 * t + 4]]) for i in range(len(SHAPES))]
        means, noise = [s.mean(0) for s in several], [s.var(0, ddof=1) for s in several]
        trace = sum(n.sum() for n in noise)
        square = sum((m**2).sum() for m in means) - trace / 4
        scales.append(8 * trace / square if square > 0 else math.inf)
        return [m * m**2 / (m**2 + n / 4) for m, n in zip(means, noise, strict=True)] if shrink else means

    scales: list[float] = []
    params, sets = start(where)
    reference = walk(where, rule, expected)
    transform, found = VarianceReduction(4, shrink, batch_size=8), []
    assert math.isnan(transform.noise_scale)
    optimizer = RULES[rule](params).transform(transform)
    for t in range(12):
        give(where, params, sets[t])
        optimizer.step()
        if t % 4 == 3:
            found.append(transform.noise_scale)
    close([where.host(p) for p in params], reference)
    np.testing.assert_allclose(found, scales, rtol=1e-10)


def test_the_noise_scale_of_a_known_distribution(where):
    """Micro-batches of b samples with unit noise in n directions around G: n / |G|^2 samples, whatever b is."""
    rng, n, b = np.random.default_rng(1), 50, 10
    p = where.leaf(np.zeros(n))
    transform = VarianceReduction(8, batch_size=b, average=0.99)
    optimizer = optim.SGD([p], lr=0.0).transform(transform)
    for _ in range(8 * 200):
        p.grad = where.tensor(0.5 + rng.normal(size=n) / b**0.5)
        optimizer.step()
    assert math.isclose(transform.noise_scale, n / (n * 0.25), rel_tol=0.05)


def test_averages_of_the_noise(where):
    p = where.leaf([0.0])
    transform = VarianceReduction(2, average=0.75)
    optimizer = optim.SGD([p], lr=1.0).transform(transform)
    for g in (1.0, 3.0, 5.0, 9.0):
        p.grad = where.tensor([g])
        optimizer.step()
    trace, square = 0.75 * 2 + 0.25 * 8, 0.75 * (4 - 1) + 0.25 * (49 - 4)
    assert math.isclose(transform.noise_scale, trace / square, rel_tol=1e-12)


def test_shrinking_has_no_trouble_with_zeros(where):
    p, q = where.leaf([1.0, 1.0]), where.leaf([1.0])
    transform = VarianceReduction(2, shrink=True)
    optimizer = optim.SGD([p, q], lr=1.0).transform(transform)
    for g in ([0.0, 1.0], [0.0, 1.0]):
        p.grad = where.tensor(g)
        optimizer.step()
    assert p.tolist() == [1.0, 0.0] and q.grad is None and transform.noise_scale == 0.0
    for g in ([1.0, -1.0], [-1.0, 1.0]):
        p.grad = where.tensor(g)
        optimizer.step()
    assert p.tolist() == [1.0, 0.0] and transform.noise_scale == math.inf


def test_variance_counts_a_missing_gradient_as_zero(where):
    p = where.leaf([0.0])
    transform = VarianceReduction(4)
    optimizer = optim.SGD([p], lr=1.0).transform(transform)
    for g in (None, 2.0, None, 6.0):
        p.grad = None if g is None else where.tensor([g])
        optimizer.step()
    values = np.array([0.0, 2.0, 0.0, 6.0])
    trace = values.var(ddof=1)
    assert p.item() == -2.0 and math.isclose(transform.noise_scale, trace / (4 - trace / 4), rel_tol=1e-12)


# ---------------------------------------------------------------------------------------------------- not finite
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_steps_that_are_not_finite_are_skipped(where, rule, bad):
    params, sets = start(where)
    sets[1][3][1, 1, 1] = sets[2][2][...] = bad
    skip = SkipNonFinite()
    optimizer = RULES[rule](params).transform(skip)
    for t in range(5):
        give(where, params, sets[t])
        optimizer.step()
        assert (params[0].grad is None) == (t in (1, 2)) and skip.in_a_row == (0, 1, 2, 0, 0)[t]
    good = [sets[t] for t in (0, 3, 4)]
    assert skip.skipped == 2
    close([where.host(p) for p in params], walk(where, rule, lambda t, xs, gs: good[t]))


def test_too_many_steps_that_are_not_finite(where):
    params, sets = start(where)
    optimizer = optim.SGD(params, lr=0.1).transform(SkipNonFinite(limit=3))
    bad = [*sets[0][:3], np.full_like(sets[0][3], np.nan), sets[0][4]]
    for gradients in (bad, bad, sets[1], bad, bad):
        give(where, params, gradients)
        optimizer.step()
    give(where, params, bad)
    with pytest.raises(RuntimeError, match=r"3 times in a row \(limit 3\), now that of parameter 3, .*\(2, 3, 2\)"):
        optimizer.step()


def test_counts_of_skipped_steps_are_saved(where):
    skip = SkipNonFinite(limit=2)
    p = where.leaf([0.0])
    optimizer = optim.SGD([p], lr=0.1).transform(skip)
    p.grad = where.tensor([math.nan])
    optimizer.step()
    other = optim.SGD([p], lr=0.1).transform(SkipNonFinite(limit=2))
    other.load_state_dict(optimizer.state_dict())
    p.grad = where.tensor([math.nan])
    with pytest.raises(RuntimeError, match="2 times"):
        other.step()


# ------------------------------------------------------------------------------------------------------- the device
def test_transforms_neither_wait_for_the_device_nor_upload():
    ps = [minidl.ones(3, 4, device="cuda", requires_grad=True), minidl.ones(4, device="cuda", requires_grad=True)]
    transforms = [VarianceReduction(2, shrink=True), Accumulate(1), ClipNorm(1.0), ClipValue(0.1), L1(0.1), L2(0.1)]
    optimizer = optim.SGD(ps, lr=0.1).transform(*transforms, Centralise())

    def two_steps():
        for _ in range(2):
            (ps[0] @ ps[1]).sum().backward()
            optimizer.step()

    two_steps()
    with no_sync(), no_upload():
        two_steps()


# ------------------------------------------------------------------------------------------------------- row-sparse
IDS, G = np.array([3, 1, 3, 0]), np.array([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0], [0.5, 0.0]])


def looked_up(where):
    """An embedding whose gradient has a repeated row, and that gradient in full."""
    table = nn.Embedding(5, 2, _weight=where.tensor(np.ones((5, 2)), np.float64), sparse=True)
    (table(where.tensor(IDS, np.int64)) * where.tensor(G)).sum().backward()
    full = np.zeros((5, 2))
    np.add.at(full, IDS, G)
    return table.weight, full


@pytest.mark.parametrize(
    "transform, plain",
    [
        (ClipNorm(1.5), lambda g: clipped([g], 1.5, 2)[0]),
        (ClipNorm(1.5, 1), lambda g: clipped([g], 1.5, 1)[0]),
        (ClipNorm(1.5, math.inf), lambda g: clipped([g], 1.5, math.inf)[0]),
        (ClipValue(2.5), lambda g: np.clip(g, -2.5, 2.5)),
        (Centralise(), centred),
        (SkipNonFinite(), lambda g: g),
    ],
    ids=lambda x: repr(x) if hasattr(x, "apply") else "",
)
def test_row_sparse_gradients_are_transformed_as_ordinary_ones(where, transform, plain):
    w, full = looked_up(where)
    optim.SGD([w], lr=0.5).transform(transform).step()
    assert w.grad.is_sparse
    np.testing.assert_allclose(where.host(w.grad.to_dense()), plain(full), rtol=1e-12)
    np.testing.assert_allclose(where.host(w), 1 - 0.5 * plain(full), rtol=1e-12)


@pytest.mark.parametrize("transform", [L1(0.1), L2(0.1), Noise(0.1), Accumulate(2), VarianceReduction(2)], ids=repr)
def test_row_sparse_gradients_are_refused_where_all_rows_would_change(where, transform):
    w, _ = looked_up(where)
    name = type(transform).__name__
    with pytest.raises(RuntimeError, match=rf"{name}: expected ordinary gradients, got a row-sparse one .*\(5, 2\)"):
        optim.SGD([w], lr=0.5).transform(transform).step()


def test_clipping_row_sparse_gradients_in_place(where):
    w, full = looked_up(where)
    assert math.isclose(nn.utils.get_total_norm([w.grad]).item(), np.linalg.norm(full), rel_tol=1e-12)
    norm, g = nn.utils.clip_grad_norm_([w], 2.0), w.grad
    assert math.isclose(norm.item(), np.linalg.norm(full), rel_tol=1e-12) and g.is_sparse
    np.testing.assert_allclose(where.host(g.to_dense()), clipped([full], 2.0, 2)[0], rtol=1e-12)
    w, full = looked_up(where)
    nn.utils.clip_grad_value_([w], 2.5)
    np.testing.assert_allclose(where.host(w.grad.to_dense()), np.clip(full, -2.5, 2.5), rtol=1e-12)
    w, full = looked_up(where)
    nn.utils.clip_grads_with_norm_([w], 1.0, where.tensor(4.0))
    np.testing.assert_allclose(where.host(w.grad.to_dense()), full / 4, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------ misuse
@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: ClipNorm(-1.0), ValueError, "ClipNorm: max_norm must be a finite number >= 0, got -1.0"),
        (lambda: ClipNorm("1"), TypeError, "max_norm must be a number, got '1'"),
        (lambda: ClipValue(math.nan), ValueError, "ClipValue: value must be a finite number >= 0, got nan"),
        (lambda: L1(-0.1), ValueError, "L1: penalty must be a finite number >= 0, got -0.1"),
        (lambda: L2(True), TypeError, "L2: penalty must be a number, got True"),
        (lambda: Noise(-1), ValueError, "Noise: eta must be a finite number >= 0, got -1"),
        (lambda: Noise(1, -1), ValueError, "Noise: gamma must be a finite number >= 0, got -1"),
        (lambda: Noise(1, generator=7), TypeError, "generator must be a minidl.Generator, got int"),
        (lambda: Accumulate(0), ValueError, "Accumulate: k must be a whole number >= 1, got 0"),
        (lambda: Accumulate(2.5), ValueError, "k must be a whole number >= 1, got 2.5"),
        (lambda: Accumulate(np.True_), TypeError, "k must be a whole number, got"),
        (lambda: Accumulate(2, "max"), ValueError, "reduction must be 'mean' or 'sum', got 'max'"),
        (lambda: VarianceReduction(1), ValueError, "VarianceReduction: k must be a whole number >= 2, got 1"),
        (lambda: VarianceReduction(2, average=1.0), ValueError, "average must be < 1, got 1.0"),
        (lambda: VarianceReduction(2, batch_size=0), ValueError, "batch_size must be a whole number >= 1, got 0"),
        (lambda: SkipNonFinite(0), ValueError, "SkipNonFinite: limit must be a whole number >= 1, got 0"),
        (lambda: Transform().apply([], None), NotImplementedError, "Transform has no apply"),
    ],
)
def test_misuse_is_refused(make, error, words):
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value)


def test_states_that_do_not_fit_are_refused(where):
    p = where.leaf([0.0])
    with pytest.raises(ValueError, match=r"Accumulate.load_state_dict: expected \['count', 'sum'\], got \['steps'\]"):
        Accumulate(2).load_state_dict({"steps": 1})
    with pytest.raises(ValueError, match="3 gradients of .* do not fit k=2"):
        Accumulate(2).load_state_dict({"count": 3, "sum": {}})
    with pytest.raises(ValueError, match="do not fit"):
        VarianceReduction(2).load_state_dict({"count": 1, "mean": {0: p}, "deviation": {}, "totals": []})
    for sum_, words in (
        ({0: where.tensor([1.0, 2.0])}, r"does not fit parameter 0, float64 \(1,\) .*shape \(2,\), expected \(1,\)"),
        ({4: where.tensor([1.0])}, "has parameter 4, the optimizer has 1"),
    ):
        transform = Accumulate(2)
        transform.load_state_dict({"count": 1, "sum": sum_})  # there is no optimizer to compare it with
        with pytest.raises(ValueError, match=words):
            optim.SGD([p], lr=0.1).transform(transform)


BROKEN = {
    "another shape": lambda s: s["sum"].update({0: minidl.zeros(2)}),
    "no tensor": lambda s: s["sum"].update({0: 3.0}),
    "a parameter too many": lambda s: s["sum"].update({2: minidl.zeros(1)}),
    "no number": lambda s: s["sum"].update({"x": minidl.zeros(1)}),
    "a negative number": lambda s: s["sum"].update({-1: minidl.zeros(1)}),
    "half a count": lambda s: s.update(count=0.5),
    "no count": lambda s: s.update(count=None),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_state_that_does_not_fit_changes_nothing(where, change):
    p, q = where.leaf([0.0]), where.leaf([0.0])
    transform = Accumulate(3)
    optimizer = optim.SGD([p, q], lr=1.0).transform(transform)
    p.grad = where.tensor([1.0])
    optimizer.step()
    before, state = repr(transform.state_dict()), transform.state_dict()
    change(state)
    with pytest.raises(ValueError, match=r"Accumulate.load_state_dict"):
        transform.load_state_dict(state)
    assert repr(transform.state_dict()) == before


@pytest.mark.parametrize(
    ("transform", "changes"),
    [
        (VarianceReduction(2), dict(totals=[1.0])),
        (VarianceReduction(2), dict(totals=["x", 1.0])),
        (VarianceReduction(2), dict(totals=None)),
        (Noise(0.1, generator=minidl.Generator(3)), dict(generator=[1, -1], steps=5)),
        (Noise(0.1, generator=minidl.Generator(3)), dict(generator=[1, 2], steps=-1)),
        (Noise(0.1), dict(steps=None)),
        (SkipNonFinite(), dict(skipped=4, in_a_row="x")),
    ],
    ids=str,
)
def test_states_are_checked_as_a_whole(transform, changes):
    before = repr(transform.state_dict())
    with pytest.raises(ValueError, match=f"^{type(transform).__name__}.load_state_dict: "):
        transform.load_state_dict({**transform.state_dict(), **changes})
    assert repr(transform.state_dict()) == before


@pytest.mark.parametrize("make", [lambda: Accumulate(2, "sum"), lambda: VarianceReduction(2)], ids=["sum", "variance"])
def test_what_is_kept_belongs_to_the_parameter_also_where_others_come_before_it(where, make):
    a, b, c = (where.leaf([0.0]) for _ in range(3))
    joint = optim.Joint([optim.SGD([a], lr=1.0), optim.SGD([b], lr=1.0)]).transform(make())
    b.grad = where.tensor([1.0])
    joint.step()
    joint.optimizers[0].add_param_group({"params": [c]})
    (saved,) = joint.state_dict()["transforms"]
    assert {*saved.get("sum", {}), *saved.get("mean", {})} == {2}
    joint.step()
    assert a.item() == c.item() == 0.0 and b.item() in (-1.0, -0.5)


def test_a_transform_that_remembers_belongs_to_one_optimizer(where):
    p, q, shared = where.leaf([0.0]), where.leaf([0.0]), Accumulate(2)
    first, second = optim.SGD([p], lr=0.1).transform(shared), optim.SGD([q], lr=0.1)
    with pytest.raises(RuntimeError, match="another optimizer; give each its own Accumulate"):
        second.transform(shared)
    assert not second.transforms
    p.grad = where.tensor([1.0])
    first.step()
    twin = copy.deepcopy(first)  # a copy has a copy of it
    (x,) = twin.param_groups[0]["params"]
    x.grad = where.tensor([3.0])
    twin.step()
    np.testing.assert_allclose(where.host(x), [-0.2], rtol=1e-12)
    again = optim.SGD([p], lr=0.1)
    del first
    again.transform(shared)  # the same parameters, of an optimizer that is gone
    p.grad = where.tensor([3.0])
    again.step()
    np.testing.assert_allclose(where.host(p), [-0.2], rtol=1e-12)
    p.grad = where.tensor([3.0])
    again.step()
    del again
    with pytest.raises(RuntimeError, match="of an optimizer that is gone; make a new Accumulate"):
        second.transform(shared)


def test_numbers_may_be_numpys():
    assert Accumulate(np.int64(2)).k == 2 and ClipNorm(np.float32(1)).max_norm == 1.0
    assert SkipNonFinite(np.int32(3)).limit == 3 and L2(np.float64(0.5)).penalty == 0.5
    assert ClipNorm(math.inf).max_norm == math.inf  # to see the norm


def test_transforms_say_what_they_are():
    text = repr(optim.SGD([minidl.zeros(1)], lr=0.1).transform(ClipNorm(1.0), Accumulate(4), Centralise()))
    assert "ClipNorm(max_norm=1.0, norm_type=2.0)" in text and "Accumulate(k=4, reduction='mean')" in text
    assert "Centralise()" in text


# ---------------------------------------------------------------------------------------------------------- nn.utils
def test_norms_over_several_devices_and_dtypes():
    a, b = minidl.zeros(2, requires_grad=True), minidl.zeros(1, device="cuda", requires_grad=True)
    a.grad, b.grad = minidl.tensor([3.0, 4.0]), minidl.tensor([12.0], device="cuda")
    norm = nn.utils.clip_grad_norm_([a, b], 1.3)
    assert norm.item() == 13.0 and norm.device.type == "cpu"
    np.testing.assert_allclose([*a.grad.tolist(), *b.grad.tolist()], [0.3, 0.4, 1.2], rtol=1e-6)
    assert nn.utils.get_total_norm([minidl.tensor([3.0]), minidl.tensor([4.0]).double()]).dtype == minidl.float64


def test_clipping_complains_of_what_pytorch_complains_of():
    with pytest.warns(UserWarning, match="empty generator"):
        assert nn.utils.clip_grad_norm_((p for p in []), 1.0).item() == 0.0
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0.0
    with pytest.raises(RuntimeError, match=r"floating-point tensors, got .*int64"):
        nn.utils.get_total_norm([minidl.tensor([3, 4])])
