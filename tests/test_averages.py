"""Averages of weights: SWA and EMA against closed forms and numbers from PyTorch, their states and their errors."""

from __future__ import annotations

import copy
import io
import math
import warnings

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.optim import EMA, SGD
from minidl.optim.ema import lerp
from minidl.optim.lr_scheduler import ExponentialLR
from minidl.optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)
from minidl.tensor import Parameter, wrap

WALK = [3.0, -1.0, 4.0, 1.5, -9.25, 2.0]


def net(where=None):
    """A model with parameters, floating-point buffers and an integer one."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    return model if where is None else model.to(where.name)


def fill(model, value, where):
    """Every parameter and buffer `value`, except for what is counted."""
    for t in [*model.parameters(), *model.buffers()]:
        t.write(value)


def values(tensors, where):
    """The one value that each of the tensors is full of."""
    found = []
    for t in tensors:
        array = where.host(t)
        assert (array == array.flat[0]).all()
        found.append(array.flat[0].item())
    return found


def exponential(walk, decay):
    """e_t of a walk whose first value is where e begins."""
    e = walk[0]
    for w in walk[1:]:
        e = decay * e + (1 - decay) * w
    return e


# ------------------------------------------------------------------------------------------------------ AveragedModel
WAYS = {
    "default": (lambda: {}, np.mean),
    "swa": (lambda: dict(avg_fn=get_swa_avg_fn()), np.mean),
    "swa multi": (lambda: dict(multi_avg_fn=get_swa_multi_avg_fn()), np.mean),
    "ema": (lambda: dict(avg_fn=get_ema_avg_fn(0.75)), lambda walk: exponential(walk, 0.75)),
    "ema multi": (lambda: dict(multi_avg_fn=get_ema_multi_avg_fn(0.75)), lambda walk: exponential(walk, 0.75)),
    "ema slow": (lambda: dict(multi_avg_fn=get_ema_multi_avg_fn(0.25)), lambda walk: exponential(walk, 0.25)),
    "last": (lambda: dict(multi_avg_fn=get_ema_multi_avg_fn(0.0)), lambda walk: walk[-1]),
    "first": (lambda: dict(avg_fn=get_ema_avg_fn(1)), lambda walk: walk[0]),
    "own": (lambda: dict(avg_fn=lambda a, w, n: a + w * (n + 1)), lambda w: sum(x * max(i, 1) for i, x in w)),
}


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_averages_are_what_their_formulas_say(way, use_buffers, where):
    options, formula = WAYS[way]
    model = net(where)
    average = AveragedModel(model, use_buffers=use_buffers, **options())
    floats = [b for b in average.module.buffers() if b.dtype == minidl.float32]
    for t, value in enumerate(WALK, 1):
        fill(model, value, where)
        average.update_parameters(model)
        walk = list(enumerate(WALK[:t], 1)) if way == "own" else WALK[:t]
        assert values(average.module.parameters(), where) == pytest.approx([formula(walk)] * 6, abs=1e-5)
        expected = formula(walk) if use_buffers else value
        assert values(floats, where) == pytest.approx([expected] * 2, abs=1e-5)
        if not use_buffers:
            assert values([b for b in average.module.buffers() if b.dtype == minidl.int64], where) == [int(value)]
        assert average.n_averaged.item() == t
    assert values(model.parameters(), where) == [WALK[-1]] * 6


def test_integer_buffers_are_averaged_as_pytorch_does(where):
    # found with PyTorch 2.13: every value is computed in single precision and then cut off
    for options, expected in (
        ({}, [0, 3, 6, 9, 12]),
        (dict(avg_fn=get_ema_avg_fn(0.9)), [0, 0, 1, 3, 5]),
        (dict(multi_avg_fn=get_ema_multi_avg_fn(0.9)), [0, 0, 1, 3, 5]),
    ):
        model = net(where)
        average, found = AveragedModel(model, use_buffers=True, **options), []
        for t in range(5):
            model[1].num_batches_tracked.write(7 * t)
            average.update_parameters(model)
            found.append(average.module[1].num_batches_tracked.item())
        assert found == expected
    assert average.module[1].num_batches_tracked.dtype == minidl.int64
    counts = [minidl.tensor([5]), minidl.tensor([10])]
    get_swa_multi_avg_fn()(counts[:1], counts[1:], 3)
    assert counts[0].tolist() == [6]  # PyTorch's cannot


def test_the_copy_is_a_copy_and_a_module(where):
    model = net(where)
    average = AveragedModel(model)
    names = [f"module.{name}" for name in model.state_dict()]
    assert list(average.state_dict()) == ["n_averaged", *names] or list(average.state_dict()) == [*names, "n_averaged"]
    assert average.n_averaged.dtype == minidl.int64 and average.n_averaged.shape == ()
    x = where.tensor(np.ones((2, 3), np.float32))
    average.eval(), model.eval()
    assert np.array_equal(where.host(average(x)), where.host(model(x)))
    fill(model, 0.5, where)
    assert not np.array_equal(where.host(average(x)), where.host(model(x)))
    average.update_parameters(model), average.update_parameters(model)
    other = AveragedModel(net(where))
    file = io.BytesIO()
    minidl.save(average.state_dict(), file)
    file.seek(0)
    other.load_state_dict(minidl.load(file))
    fill(model, 3.5, where)
    for one in (average, other, again := copy.deepcopy(average)):
        one.update_parameters(model)
        assert values(one.module.parameters(), where) == pytest.approx([1.5] * 6)
    assert again.n_averaged.item() == other.n_averaged.item() == 3


def test_state_dict_has_pytorchs_order():
    assert list(AveragedModel(nn.Linear(1, 1)).state_dict()) == ["n_averaged", "module.weight", "module.bias"]


def test_the_average_may_live_elsewhere(where):
    model = net()
    average = AveragedModel(model, device=where.name, avg_fn=lambda a, w, n: a + (w - a) / (n + 1))
    for value in WALK:
        fill(model, value, where)
        average.update_parameters(model)
    assert values(average.module.parameters(), where) == pytest.approx([np.mean(WALK)] * 6, abs=1e-6)
    assert type(average.n_averaged.array) is where.type


def test_lists_have_one_device_and_dtype_each():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(minidl.ones(2)), nn.Parameter(minidl.ones(3, dtype=minidl.float64))
            self.c = nn.Parameter(minidl.ones(1))

    seen = []
    model = Mixed()
    average = AveragedModel(model, multi_avg_fn=lambda own, new, n: seen.append(([len(x) for x in own], n.item())))
    average.update_parameters(model), average.update_parameters(model)
    assert seen == [([2, 1], 1), ([3], 1)]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: AveragedModel(3), TypeError, "model must be a Module, got int"),
        (lambda: AveragedModel(net(), avg_fn=1), TypeError, "avg_fn must be a function, got int"),
        (
            lambda: AveragedModel(net(), avg_fn=get_swa_avg_fn(), multi_avg_fn=get_swa_multi_avg_fn()),
            ValueError,
            "give avg_fn or multi_avg_fn, not both",
        ),
        (lambda: get_ema_avg_fn(1.5), ValueError, "get_ema_avg_fn: decay must be a number from 0 to 1, got 1.5"),
        (lambda: get_ema_multi_avg_fn(-0.1), ValueError, "get_ema_multi_avg_fn: decay must be a number from 0 to 1"),
        (
            lambda: AveragedModel(net()).update_parameters(nn.Linear(3, 4)),
            ValueError,
            "AveragedModel: the model has 2 parameters, the average 6",
        ),
        (
            lambda: AveragedModel(nn.Linear(3, 4)).update_parameters(nn.Linear(4, 4)),
            ValueError,
            r"number 0 of the model's parameters is float32 \(4, 4\) on cpu, of the average's float32 \(4, 3\)",
        ),
        (
            lambda: AveragedModel(nn.BatchNorm1d(3)).update_parameters(nn.LayerNorm(3)),
            ValueError,
            "the model has 0 buffers, the average 3",
        ),
    ],
)
def test_models_that_cannot_be_averaged_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---------------------------------------------------------------------------------------------------------- update_bn
@pytest.mark.parametrize("paired", [False, True])
def test_update_bn_measures_over_all_batches(paired, where, rng):
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.3), nn.Dropout(0.0), nn.BatchNorm1d(3, momentum=None))
    model.to(where.name).train()
    model[2].eval()
    fill(model, 5.0, where)
    xs = [np.array(rng.standard_normal((n, 3)) * 2 + 1, np.float32) for n in (4, 7, 5)]
    update_bn([(where.tensor(x), 1) if paired else where.tensor(x) for x in xs], model)
    mean, var = np.mean([x.mean(0) for x in xs], 0), np.mean([x.var(0, ddof=1) for x in xs], 0)
    np.testing.assert_allclose(where.host(model[0].running_mean), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(where.host(model[0].running_var), var, rtol=1e-5)
    assert model[0].num_batches_tracked.item() == model[2].num_batches_tracked.item() == 3
    assert (model[0].momentum, model[2].momentum) == (0.3, None)
    assert model.training and model[0].training and not model[2].training
    assert model[0].running_mean.grad_fn is None


def test_update_bn_moves_inputs_and_needs_no_norm(where):
    model = nn.BatchNorm1d(2).to(where.name).eval()
    update_bn([minidl.tensor([[1.0, 2.0], [3.0, 6.0]])], model, device=where.name)
    assert where.host(model.running_mean).tolist() == [2, 4] and not model.training
    update_bn(iter(()).__next__, nn.Linear(1, 1))  # what cannot change anything is not even looked at


def test_update_bn_leaves_the_model_as_it_was_if_a_batch_fails():
    model = nn.BatchNorm1d(2).eval()
    with pytest.raises(ValueError, match="expected input"):
        update_bn([minidl.ones(2, 3)], model)
    assert model.momentum == 0.1 and not model.training


# -------------------------------------------------------------------------------------------------------------- SWALR
def two_groups():
    ps = [nn.Parameter(minidl.ones(1)) for _ in range(2)]
    return SGD([{"params": ps[:1]}, {"params": ps[1:], "lr": 0.5}], lr=1.0)


def walk_of(rule, scheduler, steps):
    found = []
    for _ in range(steps):
        rule.step(), scheduler.step()
        assert scheduler.get_last_lr() == [group["lr"] for group in rule.param_groups]
        found.append(scheduler.get_last_lr())
    return found


@pytest.mark.parametrize("ends", [0.05, [0.05, 0.3]], ids=str)
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 3, 10])
def test_swalr_goes_to_its_rate_and_stays(epochs, strategy, ends):
    rule = two_groups()
    scheduler = SWALR(rule, ends, epochs, strategy)
    begin = [1.0, 0.5] if epochs else np.broadcast_to(ends, 2).tolist()  # as in PyTorch, at once if there are none
    assert [group["lr"] for group in rule.param_groups] == begin
    ends, found = np.broadcast_to(ends, 2), walk_of(rule, scheduler, 14)
    for t, rates in enumerate(found, 1):
        x = min(1.0, t / epochs) if epochs else 1.0
        alpha = x if strategy == "linear" else (1 - math.cos(math.pi * x)) / 2
        np.testing.assert_allclose(rates, alpha * ends + (1 - alpha) * np.array([1.0, 0.5]), rtol=1e-12)
    assert [group["swa_lr"] for group in rule.param_groups] == ends.tolist()
    assert scheduler.get_last_lr() == ends.tolist()


def test_swalr_begins_where_another_scheduler_has_come_to():
    # the numbers are PyTorch's
    rule = two_groups()
    before, swa = ExponentialLR(rule, 0.5), SWALR(rule, 0.05, 4, "linear")
    walk_of(rule, before, 3)
    assert [group["lr"] for group in rule.param_groups] == [0.125, 0.0625]
    expected = [[0.10625, 0.059375], [0.0875, 0.05625], [0.06875, 0.053125], [0.05, 0.05], [0.05, 0.05]]
    np.testing.assert_allclose(walk_of(rule, swa, 5), expected, rtol=1e-12)


@pytest.mark.parametrize("stop", range(6))
def test_swalr_is_resumed_at_any_step(stop):
    rule = two_groups()
    scheduler = SWALR(rule, 0.05, 4)
    walk_of(rule, scheduler, stop)
    again = two_groups()
    other = SWALR(again, 0.7, 9, "linear")
    file = io.BytesIO()
    minidl.save({"rule": rule.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    saved = minidl.load(file)
    again.load_state_dict(saved["rule"])
    other.load_state_dict(saved["scheduler"])
    assert walk_of(rule, scheduler, 6) == walk_of(again, other, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(swa_lr=[0.1]), "SWALR: swa_lr has 1 values, expected one for each of 2 groups"),
        (dict(swa_lr="fast"), "swa_lr must be a finite number >= 0, got 'fast'"),
        (dict(swa_lr=-1.0), "swa_lr must be a finite number >= 0, got -1.0"),
        (dict(swa_lr=0.1, anneal_strategy="cosine"), "anneal_strategy must be 'cos' or 'linear', got 'cosine'"),
        (dict(swa_lr=0.1, anneal_epochs=-1), "anneal_epochs must be a whole number >= 0, got -1"),
        (dict(swa_lr=0.1, anneal_epochs=2.5), "anneal_epochs must be a whole number >= 0, got 2.5"),
    ],
)
def test_swalr_refuses_what_makes_no_sense(options, message):
    rule = two_groups()
    with pytest.raises(ValueError, match=message):
        SWALR(rule, **options)
    assert "swa_lr" not in rule.param_groups[0]


def test_swalr_warns_of_get_lr():
    scheduler = SWALR(two_groups(), 0.1)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()
    with warnings.catch_warnings(), pytest.raises(KeyError, match="initial_lr"):
        warnings.simplefilter("error")
        SWALR(two_groups(), 0.1, last_epoch=3)


# ---------------------------------------------------------------------------------------------------------------- EMA
def test_lerp_is_pytorchs():
    start, end = np.array([1.0, -3.0, 1e8], np.float32), np.array([2.0, 5.0, 1.0], np.float32)
    assert np.array_equal(lerp(start, end, 0.0), start) and np.array_equal(lerp(start, end, 1.0), end)
    # found with torch.lerp 2.13
    assert lerp(start, end, 0.25).tolist() == [1.25, -1.0, 75000000.0]
    assert lerp(start, end, 0.75).tolist() == [1.75, 3.0, 25000000.0]
    assert lerp(np.float32(1e8), np.float32(1.0), 0.99999) == 1001  # start + ... would give 1000


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.75, 0.999])
def test_ema_is_the_exponential_average(decay, where, rng):
    xs = [rng.standard_normal(shape) for shape in ((3, 2), (), (4,))]
    ps = [Parameter(where.array(x)) for x in xs]
    ema, corrected = EMA(ps, decay), EMA(iter(ps), decay, warmup=True)
    plain, total = [x.copy() for x in xs], 0.0
    weighted = [np.zeros_like(x) for x in xs]
    for t in range(1, 31):
        total = decay * total + 1
        for i, p in enumerate(ps):
            x = rng.standard_normal(p.shape)
            p.write(where.array(x))
            plain[i] = decay * plain[i] + (1 - decay) * x
            weighted[i] = decay * weighted[i] + x
        ema.update(), corrected.update()
        for e, c, x, y in zip(ema.averages, corrected.averages, plain, weighted, strict=True):
            np.testing.assert_allclose(where.host(e), x, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(where.host(c), y / total, rtol=1e-12, atol=1e-14)
        assert ema.updates == t
    assert all(a.shape == p.shape for a, p in zip(ema.averages, ps, strict=True))


def test_ema_and_averaged_model_are_the_same(where, rng):
    model = net(where)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(model)
    ema = EMA(model, 0.9)
    for _ in range(20):
        for p in model.parameters():
            p.write(where.array(rng.standard_normal(p.shape).astype(np.float32)))
        average.update_parameters(model), ema.update()
    for a, p in zip(ema.averages, average.module.parameters(), strict=True):
        assert np.array_equal(where.host(a), where.host(p))


def test_within_applied_the_model_is_the_average(where):
    model = net(where)
    fill(model, 1.0, where)
    with_buffers, without = EMA(model, 0.5, buffers=True), EMA(model, 0.5)
    fill(model, 2.0, where)
    for ema in (with_buffers, without):
        ema.update()
    for ema, expected in ((with_buffers, 1.5), (without, 2.0)):
        arrays = [p.array for p in model.parameters()]
        with ema.applied() as given:
            assert given is ema and values(model.parameters(), where) == [1.5] * 6
            assert values([model[1].running_mean, model[1].running_var], where) == [expected] * 2
            assert model[1].num_batches_tracked.item() == 2
            with pytest.raises(RuntimeError, match="within applied"):
                ema.update()
            with pytest.raises(RuntimeError, match="is applied already"), ema.applied():
                pass
        assert values(model.parameters(), where) == [2.0] * 6
        assert all(p.array is a for p, a in zip(model.parameters(), arrays, strict=True))  # where it always lay
    with pytest.raises(ZeroDivisionError), without.applied():
        raise ZeroDivisionError
    assert values(model.parameters(), where) == [2.0] * 6
    without.update()
    assert values(without.averages, where) == [1.75] * 6


def test_applied_is_noticed_by_backward():
    w = Parameter(np.ones(2))
    ema = EMA([w], 0.5)
    y = (w * w).sum()
    with ema.applied():
        pass
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_the_average_is_copied_to_models(where):
    model = net(where)
    fill(model, 3.0, where)
    ema, other = EMA(model, 0.5), net(where)
    fill(model, 1.0, where)
    ema.update()
    ema.copy_to(other)
    assert values(other.parameters(), where) == [2.0] * 6 and values(model.parameters(), where) == [1.0] * 6
    ema.copy_to(list(other.parameters()))
    ema.copy_to()
    assert values(model.parameters(), where) == [2.0] * 6
    before = [where.host(p).copy() for p in other.parameters()]
    with pytest.raises(
        ValueError, match=r"EMA.copy_to: the shapes are \[\(4, 3\), \(5,\)\], expected \[\(4, 3\), \(4,"
    ):
        ema.copy_to([where.leaf(np.ones((4, 3))), where.leaf(np.ones(5))])
    assert all(np.array_equal(where.host(p), x) for p, x in zip(other.parameters(), before, strict=True))
    whole = EMA(model, 0.5, buffers=True)
    fill(model, 4.0, where)
    whole.update()
    whole.copy_to(other)
    assert values([other[0].weight, other[1].running_var], where) == [3.0, 2.5]


def test_a_model_that_moves_takes_its_average_along(where):
    model = nn.Linear(1, 1)
    fill(model, 1.0, where)
    ema = EMA(model, 0.5)
    model.double().to(where.name)
    fill(model, 2.0, where)
    with ema.applied():
        assert values(model.parameters(), where) == [1.0] * 2
    ema.update()
    assert values(ema.averages, where) == [1.5] * 2 and ema.averages[0].dtype == minidl.float64


@pytest.mark.parametrize("stop", range(4))
def test_an_ema_is_resumed_at_any_update(stop, where):
    def update(ema, t):
        ema.tensors[0].write(where.array(np.full(3, WALK[t], np.float32)))
        ema.update()

    one = EMA([where.leaf(np.ones(3), np.float32)], 0.9, warmup=True)
    for t in range(stop):
        update(one, t)
    file = io.BytesIO()
    minidl.save(one.state_dict(), file)
    file.seek(0)
    other = EMA([where.leaf(np.zeros(3), np.float32)], 0.1)
    other.load_state_dict(minidl.load(file))
    again = copy.deepcopy(one)
    for t in range(stop, 6):
        update(one, t), update(other, t), update(again, t)
        assert np.array_equal(where.host(one.averages[0]), where.host(other.averages[0]))
        assert np.array_equal(where.host(one.averages[0]), where.host(again.averages[0]))
    assert repr(one) == repr(other) == "EMA(1 tensors, decay=0.9, warmup=True, updates=6)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("updates"), "expected a dict with decay, warmup, updates, averages, got"),
        (lambda s: s.update(updates=-1), "updates must be a whole number >= 0, got -1"),
        (lambda s: s.update(decay=1.0), "decay must be >= 0 and < 1, got 1.0"),
        (lambda s: s.update(averages=[]), r"the averages have the shapes \[\], expected \[\(2,\)\]"),
        (lambda s: s.update(averages=[wrap(np.ones(3))]), r"the shapes \[\(3,\)\], expected \[\(2,\)\]"),
    ],
)
def test_a_state_that_does_not_fit_an_ema_is_refused(change, message):
    ema = EMA([Parameter(np.ones(2))], 0.5)
    saved = EMA([Parameter(np.zeros(2))], 0.25).state_dict()
    change(saved)
    with pytest.raises(ValueError, match=message):
        ema.load_state_dict(saved)
    assert (ema.decay, ema.updates, ema.averages[0].array.tolist()) == (0.5, 0, [1, 1])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w: EMA(w), TypeError, "got one Tensor; write"),
        (lambda w: EMA(3), TypeError, "expected a Module or an iterable of Tensors in a fixed order, got int"),
        (lambda w: EMA({w}), TypeError, "in a fixed order, got set"),
        (lambda w: EMA([]), ValueError, "got nothing to average"),
        (lambda w: EMA([w.array]), TypeError, "can only average Tensors, got ndarray"),
        (lambda w: EMA([w * 2]), ValueError, r"can only average floating-point leaves, got float64 \(2,\)"),
        (lambda w: EMA([wrap(np.ones(2, int))]), ValueError, "can only average floating-point leaves, got int64"),
        (lambda w: EMA([w], 1), ValueError, "decay must be >= 0 and < 1, got 1"),
        (lambda w: EMA([w], math.nan), ValueError, "decay must be >= 0 and < 1, got nan"),
        (lambda w: EMA([w], "0.9"), TypeError, "decay must be a number, got '0.9'"),
        (lambda w: EMA([w], buffers=True), ValueError, "buffers=True needs a Module"),
    ],
)
def test_what_cannot_be_averaged_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(Parameter(np.ones(2)))


def test_names():
    assert optim.EMA is EMA and optim.swa_utils.AveragedModel is AveragedModel
    assert set(optim.swa_utils.__all__) == {
        *("AveragedModel", "SWALR", "update_bn", "get_ema_avg_fn", "get_ema_multi_avg_fn"),
        *("get_swa_avg_fn", "get_swa_multi_avg_fn"),
    }
