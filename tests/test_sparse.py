"""Row-sparse gradients: the same sums, the same steps as PyTorch's, and work for the rows that are touched only."""

from __future__ import annotations

import copy
import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import REAL_GPU
from sparse_walks import PADDING, RECORDED, STEPS, WALKS, Side, walk
from standin import counting, no_sync

import minidl
from minidl import nn, optim
from minidl.backend.rows import RowArray
from minidl.nn import functional as F
from minidl.optim import flat
from minidl.tensor import Parameter, wrap

IDS = np.array([[4, 0, 0], [2, 4, 0]])


def table(where, rows=5, width=3, dtype=np.float64, **options):
    values = np.arange(rows * width, dtype=dtype).reshape(rows, width) / 10
    return nn.Embedding(rows, width, _weight=where.tensor(values, dtype), sparse=True, **options)


def look(module, ids, where, scale=1.0):
    """A scalar whose gradient differs at every place."""
    y = module(where.tensor(ids, np.int64))
    g = np.arange(1, y.array.size + 1, dtype=np.float64).reshape(y.array.shape) * scale
    return (y * where.tensor(g, y.array.dtype)).sum(), g


def plain(ids, g, shape, skip=None):
    """The definition: every gradient is added to its row, one after the other."""
    total = np.zeros(shape, g.dtype)
    for i, row in zip(ids.reshape(-1), g.reshape(-1, *shape[1:]), strict=True):
        if i != skip:
            total[i] += row
    return total


def dense(where, t):
    return where.host(t.to_dense())


# -------------------------------------------------------------------------------------------------------- the kernels
SIZES = [(1, 1), (5, 0), (7, 3), (3, 200), (40, 500), (300, 300), (70000, 50)]


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize(("size", "n"), SIZES)
@pytest.mark.parametrize("often", [False, True], ids=["alike", "some often"])
def test_the_sums_of_rows(size, n, often, shape, where, rng):
    rows = rng.integers(0, size, n) if not often else np.minimum(rng.geometric(0.3, n) - 1, size - 1)
    values = rng.standard_normal((n, *shape))
    found, totals, last = where.backend.sum_rows(where.array(rows), where.array(values), size=size)
    found, totals = where.host(found), where.host(totals)
    expected = plain(rows, values, (size, *shape))
    assert np.array_equal(np.unique(found), np.unique(rows)) and np.all(np.diff(found) >= 0)
    np.testing.assert_allclose(totals, expected[found], rtol=1e-12, atol=1e-12)
    if last is None:
        assert np.all(np.diff(found) > 0)
    else:
        assert np.array_equal(found[where.host(last)], np.unique(rows))
    y = where.host(where.backend.index_add(where.array(values), index=where.array(rows), shape=(size, *shape)))
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_on_the_host_the_values_of_a_row_are_added_as_they_come(rng):
    rows, values = rng.integers(0, 9, 700), (rng.standard_normal((700, 4)) * 1e3).astype(np.float32)
    rows[:40] = np.arange(40) % 3 + 20  # seldom and often
    found, totals, _ = minidl.backend.get_backend("cpu").sum_rows(rows, values, size=30)
    assert max(np.bincount(rows)) > 32 > np.bincount(rows)[20]
    assert np.array_equal(totals, plain(rows, values, (30, 4))[found])


def test_sums_are_the_same_bits_every_time(where, rng):
    rows, values = where.array(rng.integers(0, 9, 700)), where.array(rng.standard_normal((700, 4)), np.float32)
    first, second = (where.host(where.backend.sum_rows(rows, values, size=9)[1]) for _ in range(2))
    assert np.array_equal(first, second)


# ------------------------------------------------------------------------------------------------------- the gradient
def test_the_gradient_holds_the_rows_that_were_looked_up(where):
    module = table(where)
    loss, g = look(module, IDS, where)
    loss.backward()
    found = module.weight.grad
    assert found.is_sparse and not module.weight.is_sparse and not found.is_coalesced() and found._nnz() == 6
    assert found.shape == (5, 3) and found.dtype == minidl.float64 and found.device == module.weight.device
    assert np.array_equal(where.host(found._indices()), IDS.reshape(1, -1))
    assert np.array_equal(where.host(found._values()), g.reshape(-1, 3))
    for name in ("indices", "values"):
        with pytest.raises(RuntimeError, match=f"{name}: .* uncoalesced tensor"):
            getattr(found, name)()
    once = found.coalesce()
    assert once.is_coalesced() and once.coalesce() is once and once._nnz() == 3
    assert np.array_equal(where.host(once.indices()), [[0, 2, 4]]) and once.indices().dtype == minidl.int64
    expected = plain(IDS, g, (5, 3))
    assert np.array_equal(where.host(once.values()), expected[[0, 2, 4]])
    assert np.array_equal(dense(where, found), expected) and np.array_equal(dense(where, once), expected)


@pytest.mark.parametrize("padding", [None, 0, 4, -1])
@pytest.mark.parametrize("ids", [IDS, IDS[0, 0], IDS[:, :0], np.array([4, 4]), np.array([3], np.int64)], ids=str)
def test_it_is_the_dense_gradient(ids, padding, where):
    weights, grads = [], []
    for sparse in (False, True):
        module = table(where, padding_idx=padding)
        module.sparse = sparse
        loss, g = look(module, ids, where)
        loss.backward()
        grads.append(module.weight.grad), weights.append(module.weight)
    assert [g.is_sparse for g in grads] == [False, True]
    expected = plain(np.asarray(ids), g, (5, 3), None if padding is None else padding % 5)
    assert np.array_equal(where.host(grads[0]), expected) and np.array_equal(dense(where, grads[1]), expected)
    if padding is not None:
        assert padding % 5 not in where.host(grads[1]._indices())


def test_a_gradient_that_is_nan_does_not_reach_the_row_of_padding(where):
    for sparse in (False, True):
        module = table(where, padding_idx=0)
        module.sparse = sparse
        (module(where.tensor([0, 1], np.int64)) * math.nan).sum().backward()
        found = dense(where, module.weight.grad)
        assert np.isnan(found[1]).all() and (found[0] == 0).all()


def test_gradients_add_up_over_uses_and_backward_passes(where):
    module, expected = table(where), np.zeros((5, 3))
    for ids in (IDS, IDS[0], np.array([1])):
        (first, g), (second, h) = look(module, ids, where), look(module, ids[::-1], where, 0.5)
        (first + second).backward()
        expected += plain(ids, g, (5, 3)) + plain(ids[::-1], h, (5, 3))
    held = module.weight.grad
    assert held.is_sparse and held._nnz() == 20 and np.array_equal(dense(where, held), expected)
    look(module, np.array([3]), where)[0].backward()
    assert module.weight.grad is held and held._nnz() == 21
    module.zero_grad(set_to_none=False)
    assert (
        module.weight.grad.is_sparse and module.weight.grad._nnz() == 0 and not dense(where, module.weight.grad).any()
    )
    module.zero_grad()
    assert module.weight.grad is None


@pytest.mark.parametrize("order", ["sparse first", "dense first", "several", "two passes", "two passes, dense first"])
def test_a_weight_with_sparse_and_dense_uses_has_a_dense_gradient(order, where):
    module = table(where)
    first = (module.weight * 2).sum()  # what was recorded last comes first in backward
    (loss, g), whole = look(module, IDS, where), (module.weight * 2).sum()
    whole = first if order == "sparse first" else whole
    expected = plain(IDS, g, (5, 3)) + 2
    if order == "several":
        (other, h), expected = look(module, IDS[0], where), expected + 2
        (loss + whole + other + (module.weight * 2).sum()).backward()
        expected += plain(IDS[0], h, (5, 3))
    elif "two" in order:
        for part in (whole, loss) if "dense" in order else (loss, whole):
            part.backward()
    else:
        (loss + whole).backward()
    assert not module.weight.grad.is_sparse
    assert np.allclose(where.host(module.weight.grad), expected, rtol=1e-15)
    look(module, IDS, where)[0].backward()
    assert np.allclose(where.host(module.weight.grad), expected + plain(IDS, g, (5, 3)), rtol=1e-15)


def test_hooks_get_copies_and_may_replace_it(where):
    module, seen = table(where), []
    module.weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.is_sparse))

    def double(g):
        g._values().array[...] = 7.0  # its own
        seen.append(g)
        return g * 2

    handle = module.weight.register_hook(double)
    look(module, IDS, where)[0].backward()
    assert seen[0].is_sparse and seen[1] is True
    assert np.array_equal(dense(where, module.weight.grad), plain(IDS, np.full((6, 3), 14.0), (5, 3)))
    seen[0]._values().array[...] = 0.0
    assert dense(where, module.weight.grad).any()
    handle.remove()
    module.weight.register_hook(lambda g: g.to_dense())
    module.zero_grad()
    loss, g = look(module, IDS, where)
    loss.backward()
    assert not module.weight.grad.is_sparse and np.array_equal(where.host(module.weight.grad), plain(IDS, g, (5, 3)))


def test_the_memory_is_nobody_elses(where):
    module = table(where)
    y, seed = module(where.tensor(IDS)), where.tensor(np.ones((2, 3, 3)))
    y.backward(seed, retain_graph=True)
    seed.write(5.0)
    assert where.host(module.weight.grad._values()).max() == 1
    (g,) = minidl.autograd.grad(y, module.weight, seed)
    assert g.is_sparse and where.host(g._values()).min() == 5
    g._values().array[...] = 0
    assert where.host(module.weight.grad._values()).min() == 1
    both = module.weight.grad + g
    g._values().array[...] = 4.0
    assert not dense(where, both)[1].any() and dense(where, both).max() == 3
    twin = copy.deepcopy(module)
    twin.weight.grad._values().array[...] = 9.0
    assert where.host(module.weight.grad._values()).max() == 1
    for changed in (module.weight.grad + g, module.weight.grad.clone(), module.weight.grad.detach().double()):
        changed._values().array[...] = 3.0
        assert where.host(module.weight.grad._values()).max() == (
            1 if changed.array is not module.weight.grad.array else 3
        )
        module.weight.grad._values().array[...] = 1.0


def test_a_recorded_backward_is_dense(where):
    module = table(where)
    y = module(where.tensor(IDS)) ** 3
    (g,) = minidl.autograd.grad(y.sum(), module.weight, create_graph=True)
    w = where.host(module.weight)
    counts = np.bincount(IDS.reshape(-1), minlength=5)[:, None]
    assert not g.is_sparse and np.allclose(where.host(g), 3 * w**2 * counts)
    (h,) = minidl.autograd.grad(g.sum(), module.weight, create_graph=True)
    assert not h.is_sparse and np.allclose(where.host(h), 6 * w * counts)
    look(module, IDS, where)[0].backward()
    before = dense(where, module.weight.grad)
    (module(where.tensor(IDS)) ** 3).sum().backward(create_graph=True)  # added to a sparse one
    assert not module.weight.grad.is_sparse
    assert np.allclose(where.host(module.weight.grad), before + 3 * w**2 * counts)


def test_a_computed_weight_gets_a_dense_gradient(where):
    weight = where.leaf(np.ones((5, 3)))
    F.embedding(where.tensor(IDS), weight * 2, sparse=True).sum().backward()
    assert not weight.grad.is_sparse and where.host(weight.grad)[0, 0] == 6
    F.embedding(where.tensor(IDS), weight, sparse=True).sum().backward()
    assert where.host(weight.grad)[0, 0] == 9


def test_anomaly_mode_looks_at_the_values(where):
    module = table(where)
    with (
        minidl.autograd.detect_anomaly(),
        pytest.raises(RuntimeError, match="backward of 'embedding' .*gave nan, row-sparse"),
    ):
        y = module(where.tensor(IDS))
        y.backward(where.tensor(np.full((2, 3, 3), math.nan)))
    with minidl.autograd.detect_anomaly():
        look(module, IDS, where)[0].backward()
    assert module.weight.grad.is_sparse


def test_arithmetic_and_casts(where):
    module = table(where)
    loss, g = look(module, IDS, where)
    loss.backward()
    found, expected = module.weight.grad, plain(IDS, g, (5, 3))
    for made, factor in [(found * 2, 2), (0.5 * found, 0.5), (-found, -1), (found / 4, 0.25), (found + found, 2)]:
        assert made.is_sparse and np.array_equal(dense(where, made), factor * expected)
    array = found.array
    assert array.scale_(where.array(2.0, np.float32)) is array and array.dtype == np.float64
    array *= 0.5
    assert np.array_equal(dense(where, found), expected) and not array.coalesced
    total = where.host(array.condensed())
    assert math.isclose((total**2).sum(), (expected**2).sum()) and np.array_equal(dense(where, found), expected)
    array.apply_(lambda x: where.backend.minimum(x, 20.0))
    assert np.array_equal(dense(where, found), np.minimum(expected, 20.0))
    half = found.float()
    assert half.is_sparse and half.dtype == minidl.float32 and np.array_equal(dense(where, half), dense(where, found))
    module.float()
    assert found.is_sparse and found.dtype == module.weight.dtype == minidl.float32


def test_moving_to_another_device(rng):
    module = nn.Embedding(5, 3, sparse=True)
    module(minidl.tensor(IDS)).sum().backward()
    expected = module.weight.grad.to_dense().numpy()
    module.to("cuda")
    assert module.weight.grad.is_sparse and module.weight.grad.device.type == "cuda"
    assert np.array_equal(module.weight.grad.to_dense().cpu().numpy(), expected)
    assert "device='cuda:0', size=(5, 3), nnz=6, layout" in repr(module.weight.grad)


def test_it_prints_as_in_pytorch():
    module = nn.Embedding(5, 2, sparse=True, dtype=minidl.float64)
    module(minidl.tensor([3, 1])).sum().backward()
    assert repr(module.weight.grad) == (
        "tensor(indices=tensor([[3, 1]]),\n"
        "       values=tensor([[1., 1.],\n"
        "                      [1., 1.]]),\n"
        "       size=(5, 2), nnz=2, dtype=minidl.float64, layout=minidl.sparse_coo)"
    )
    assert repr(module) == "Embedding(5, 2, sparse=True)"
    assert repr(nn.Embedding(5, 2, padding_idx=1, sparse=True)) == "Embedding(5, 2, padding_idx=1, sparse=True)"


def _gradient():
    module = nn.Embedding(5, 3, sparse=True)
    module(minidl.tensor(IDS)).sum().backward()
    return module.weight.grad


@pytest.mark.parametrize(
    ("run", "error", "words"),
    [
        (lambda: _gradient().numpy(), TypeError, "use to_dense"),
        (lambda: np.asarray(_gradient()), TypeError, "use to_dense"),
        (lambda: minidl.save({"g": _gradient()}, "nowhere"), TypeError, "use to_dense"),
        (lambda: _gradient().sum(), TypeError, "'sum' is not supported for row-sparse tensors; use to_dense"),
        (lambda: _gradient() + minidl.ones(5, 3), TypeError, r"row-sparse float32 \(5, 3\) on cpu; float32 \(5, 3\)"),
        (lambda: _gradient() * minidl.ones(3), TypeError, "multiplied by numbers only|must be on one device"),
        (lambda: _gradient().array.reshape(-1), AttributeError, "row-sparse array has no 'reshape'; use to_dense"),
        (lambda: _gradient().write(1.0), TypeError, "can be set as a whole only"),
        (lambda: minidl.ones(2).coalesce(), RuntimeError, "coalesce: expected a row-sparse tensor"),
        (lambda: minidl.ones(2).is_coalesced(), RuntimeError, "is_coalesced: expected a row-sparse tensor"),
        (lambda: minidl.ones(2).indices(), RuntimeError, "indices: expected a row-sparse tensor"),
        (lambda: minidl.ones(2).values(), RuntimeError, "values: expected a row-sparse tensor"),
        (lambda: minidl.ones(2)._values(), RuntimeError, "_values: expected a row-sparse tensor"),
    ],
)
def test_what_is_refused(run, error, words):
    with pytest.raises(error, match=words):
        run()


def test_an_ordinary_tensor_is_its_own_dense_form():
    x = minidl.ones(2)
    assert x.to_dense() is x and not x.is_sparse


# ---------------------------------------------------------------------------------------------------------- the rules
def _load() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).resolve().parent / "reference" / "sparse.npz") as file:
        index, values = json.loads(file["index"].tobytes()), file["values"]
    ends = np.cumsum([math.prod(shape) for _, shape in index])
    parts = np.split(values, ends[:-1])
    return {key: part.reshape(shape) for (key, shape), part in zip(index, parts, strict=True)}


REFERENCE = _load()


def side(where) -> Side:
    def made(values):
        return nn.Embedding.from_pretrained(where.tensor(values), freeze=False, padding_idx=PADDING, sparse=True)

    return Side(optim, where.tensor, made, lambda x: where.host(x).copy())


@pytest.mark.parametrize("name", WALKS)
def test_the_walks_are_those_of_pytorch(name, where):
    found = walk(side(where), name)
    expected = {k.partition("/")[2]: v for k, v in REFERENCE.items() if k.partition("/")[0] == name}
    assert found.keys() == expected.keys() and {str(t) for t in RECORDED} <= found.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-10, atol=1e-12, err_msg=key)
    assert np.array_equal(found[str(STEPS)][PADDING], walk(side(where), name, steps=1)["1"][PADDING])


@pytest.mark.parametrize("name", ["SGD momentum", "Adagrad decay", "SparseAdam lr"])
def test_a_walk_goes_on_from_a_file_with_the_same_bits(name, where, tmp_path):
    here = side(where)

    def reloaded(t, table, rule):
        if t not in (1, 37, 120):
            return table, rule
        minidl.save({"table": table.state_dict(), "rule": rule.state_dict()}, tmp_path / "state")
        saved = minidl.load(tmp_path / "state", map_location=where.name)
        again = here.table(np.zeros_like(where.host(table.weight)))
        again.load_state_dict(saved["table"])
        new = type(rule)(again.parameters(), lr=123.0)
        new.load_state_dict(saved["rule"])
        return again, new

    found, expected = walk(here, name, between=reloaded), walk(here, name)
    assert found.keys() == expected.keys() and all(np.array_equal(found[k], expected[k]) for k in found)


def pair(where, rule, **options):
    """A big table and two small parameters under one rule, and the same with dense gradients."""
    for sparse in (True, False):
        module = nn.Module()
        module.first, module.table = nn.Linear(3, 4, dtype=minidl.float64), table(where, 50)
        module.table.sparse, module.last = sparse, nn.Linear(4, 2, dtype=minidl.float64)
        for k, p in enumerate([*module.first.parameters(), *module.last.parameters()]):
            p.data = wrap(where.array(np.linspace(-1, 1, p.array.size).reshape(p.array.shape) + k))
        yield module, rule(module.parameters(), **options)


def train(where, module, rule, steps):
    """Steps in which sometimes only the table, sometimes only the rest gets a gradient."""
    for t in steps:
        rule.zero_grad()
        ids = np.random.default_rng(t).integers(0, 50, (2, 3))
        if t % 5 != 3:
            look(module.table, ids, where, 0.1)[0].backward()
        if t % 4 != 2:
            module.last(module.first(where.tensor(np.eye(3) * (t + 1)))).sum().backward()
        rule.step()


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (optim.SGD, dict(lr=0.1)),
        (optim.SGD, dict(lr=0.1, momentum=0.9)),
        (optim.Adagrad, dict(lr=0.1, lr_decay=0.1)),
        (optim.Adagrad, dict(lr=0.1, maximize=True)),
    ],
)
@pytest.mark.parametrize("size", [16, 10**6])
def test_beside_other_parameters_it_is_the_dense_walk(rule, options, size, where, monkeypatch):
    monkeypatch.setattr(flat, "SLICE", size)
    found = []
    for module, optimizer in pair(where, rule, **options):
        train(where, module, optimizer, range(15))
        found.append([where.host(p) for p in module.parameters()])
        found[-1] += [where.host(v) for p in module.parameters() for k, v in optimizer.state[p].items() if k != "step"]
        found[-1] += [float(s["step"].array) for s in optimizer.state.values() if "step" in s]
    assert len(found[0]) == len(found[1]) and all(
        np.allclose(a, b, rtol=1e-13, atol=1e-14) for a, b in zip(*found, strict=True)
    )


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adagrad])
def test_views_versions_and_state_stay_what_they_were(rule):
    ps = [Parameter(np.ones((6, 3))), Parameter(np.ones(4)), Parameter(np.ones((5, 3)))]
    optimizer = rule(ps, lr=0.5)

    def backward():
        optimizer.zero_grad()
        for p in (ps[0], ps[2]):
            F.embedding(minidl.tensor([1, 1, 3]), p, sparse=True).sum().backward()
        (ps[1] ** 2).sum().backward()

    backward()
    optimizer.step()
    (unit,) = optimizer._layouts[0].units
    arrays, states = [p.array for p in ps], [dict(optimizer.state[p]) for p in ps]
    assert all(np.shares_memory(unit.buffer, a) for a in arrays)
    seen = ps[0].detach()
    loss = (ps[0] * ps[0]).sum()  # its backward needs the values that the step changes
    before = [p.version[0] for p in ps]
    backward()
    optimizer.step()
    assert all(p.array is a for p, a in zip(ps, arrays, strict=True)) and (unit,) == tuple(optimizer._layouts[0].units)
    assert all(s.keys() == optimizer.state[p].keys() for s, p in zip(states, ps, strict=True))
    assert all(s[k] is optimizer.state[p][k] for s, p in zip(states, ps, strict=True) for k in s)
    assert seen.array is ps[0].array and (seen.array[1] < 1).all() and (seen.array[[0, 2, 4, 5]] == 1).all()
    assert all(p.version[0] > n for p, n in zip(ps, before, strict=True))
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_row_that_comes_twice_is_updated_once_with_its_sum(where):
    module = table(where, dtype=np.float64)
    rule = optim.Adagrad(module.parameters(), lr=0.5, eps=0.0)
    before = where.host(module.weight).copy()
    module(where.tensor([1, 1, 1], np.int64)).sum().backward()
    rule.step()
    assert np.allclose(before - where.host(module.weight), np.eye(5)[:, 1:2] * 0.5)
    assert where.host(rule.state[module.weight]["sum"])[1, 0] == 9  # of the sum, not the sum of squares


def test_changing_between_sparse_and_dense_gradients(where):
    found = []
    for kinds in ([True, False, True], [False] * 3):
        module = table(where)
        rule = optim.Adagrad(module.parameters(), lr=0.5)
        for sparse in kinds:
            module.sparse = sparse
            rule.zero_grad()
            look(module, IDS, where)[0].backward()
            rule.step()
        found.append((where.host(module.weight), where.host(rule.state[module.weight]["sum"])))
    assert all(np.allclose(a, b, rtol=1e-14) for a, b in zip(*found, strict=True))


# --------------------------------------------------------------------------------------------- what a step costs
class Counted(np.ndarray):
    """An array that counts the elements that are read from it or written to it."""

    def __getitem__(self, index):
        y = super().__getitem__(index)
        Counted.touched += np.size(y)
        return np.asarray(y)

    def __setitem__(self, index, value):
        Counted.touched += np.size(np.asarray(self)[index])
        super().__setitem__(index, value)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        Counted.touched += max(np.size(x) for x in (*inputs, *out))
        plain = [np.asarray(x) if isinstance(x, Counted) else x for x in inputs]
        result = getattr(ufunc, method)(*plain, out=tuple(np.asarray(x) for x in out) or None, **kwargs)
        return out[0] if out else result


def touched(rule, size):
    """How many elements of table and state an update touches, and what the whole step made of them."""
    module = nn.Embedding(size, 4, sparse=True)
    weight, optimizer = module.weight, rule(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        module(minidl.tensor(np.arange(20) % 7)).sum().backward()
        optimizer.step()
    h = optim.optimizer._hyperparameters(optimizer.param_groups[0])
    names, h.step = {key: ours for ours, key in rule.state_keys.items()}, 3
    state = {names[k]: v.array.view(Counted) for k, v in optimizer.state[weight].items() if k in names}
    Counted.touched = 0
    flat.update_rows(optimizer, weight.array.view(Counted), weight.grad.array, state, list(state), h, (False, 0, 1))
    return Counted.touched


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adagrad, optim.SparseAdam])
def test_a_step_costs_what_the_rows_cost(rule, monkeypatch):
    seen = []
    update = rule.update
    monkeypatch.setattr(rule, "update", lambda self, p, g, s, h: seen.append(p.shape) or update(self, p, g, s, h))
    monkeypatch.setattr(RowArray, "dense", lambda self: pytest.fail("made dense"))
    costs = {size: touched(rule, size) for size in (50, 5000)}
    assert costs[50] == costs[5000] and set(seen) == {(7, 4)}  # also by `step`
    arrays = {optim.SGD: 1, optim.Adagrad: 2, optim.SparseAdam: 3}[rule]
    assert costs[5000] == 2 * arrays * 7 * 4  # each read once and written once


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adagrad, optim.SparseAdam])
def test_a_step_makes_no_array_of_the_tables_size(rule):
    module = nn.Embedding(20000, 8, sparse=True)  # 640 kB
    optimizer = rule(module.parameters(), lr=0.1)
    for _ in range(3):
        tracemalloc.start()
        optimizer.zero_grad()
        module(minidl.tensor(np.arange(20) % 7)).sum().backward()
        optimizer.step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.skipif(REAL_GPU, reason="the stand-in counts")
@pytest.mark.parametrize("rule", [optim.SGD, optim.Adagrad, optim.SparseAdam])
def test_on_a_device_a_step_never_waits_and_launches_the_same_for_any_table(rule):
    launches = []
    for size in (50, 5000):
        module = nn.Embedding(size, 4, sparse=True, device="cuda")
        optimizer, ids = rule(module.parameters(), lr=0.1), minidl.tensor(np.arange(20) % 7, device="cuda")
        for t in range(3):
            optimizer.zero_grad()
            with no_sync(), counting() as counter:
                module(ids).sum().backward()
                optimizer.step()
            if t:
                launches.append(counter.launches)
    assert len(set(launches)) == 1 and launches[0] < 80


# ------------------------------------------------------------------------------------------------- what rules refuse
def stepped(make, sparse=True, where=None):
    module = nn.Embedding(5, 3, sparse=sparse)
    rule = make(module.parameters())
    module(minidl.tensor(IDS)).sum().backward()
    before = module.weight.array.copy()
    try:
        rule.step()
    finally:
        assert np.array_equal(before, module.weight.array) and not rule.state  # nothing was begun


WAY_OUT = "does not support sparse gradients, please consider SparseAdam, Adagrad or SGD instead"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ps: optim.Adam(ps), f"Adam {WAY_OUT}"),
        (lambda ps: optim.AdamW(ps), f"AdamW {WAY_OUT}"),
        (lambda ps: optim.RMSprop(ps), f"RMSprop {WAY_OUT}"),
        (lambda ps: optim.Muon(ps), f"Muon {WAY_OUT}"),
        (lambda ps: optim.SGD(ps, weight_decay=0.1), "SGD: weight_decay option is not compatible with sparse"),
        (lambda ps: optim.SGD(ps, momentum=0.9, weight_decay=0.1), "SGD: weight_decay option is not compatible"),
        (lambda ps: optim.Adagrad(ps, weight_decay=0.1), "Adagrad: weight_decay option is not compatible"),
    ],
)
def test_rules_that_cannot_take_rows_say_so(make, words):
    with pytest.raises(RuntimeError, match=words):
        stepped(make)


def test_sparse_adam_refuses_dense_gradients_and_bad_hyperparameters():
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients, please consider Adam instead"):
        stepped(optim.SparseAdam, sparse=False)
    ps = [minidl.zeros(2, 2, requires_grad=True)]
    for options in (dict(lr=0.0), dict(lr=0), dict(eps=0), dict(lr=-1.0), dict(betas=(1.0, 0.9)), dict(betas=0.9)):
        with pytest.raises(ValueError, match=f"SparseAdam: {next(iter(options))}"):
            optim.SparseAdam(ps, **options)
    assert optim.SparseAdam(ps).state_dict()["param_groups"] == [
        dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False, params=[0])
    ]


def test_a_schedule_may_bring_the_rate_to_zero():
    module = nn.Embedding(5, 3, sparse=True)
    rule = optim.SparseAdam(module.parameters(), lr=lambda step: 0.1 * (step == 0))
    for _ in range(2):
        module(minidl.tensor(IDS)).sum().backward()
        rule.step()
    again = optim.SparseAdam(module.parameters())
    again.load_state_dict({**rule.state_dict()})
    assert rule.param_groups[0]["lr"] == 0.0


def test_pytorchs_state_can_be_loaded():
    module = nn.Embedding(5, 3, sparse=True)
    rule = optim.SparseAdam(module.parameters())
    group = dict(lr=0.1, betas=(0.9, 0.999), eps=1e-8, maximize=False, params=[0])
    zeros = np.zeros((5, 3), np.float32)
    rule.load_state_dict({"state": {0: {"step": 4, "exp_avg": zeros, "exp_avg_sq": zeros}}, "param_groups": [group]})
    module(minidl.tensor(IDS)).sum().backward()
    rule.step()
    assert float(rule.state[module.weight]["step"].array) == 5
