"""Fourteen traps that sank other frameworks, each as one named test."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
from cases import TABLE

import minidl
from minidl import nn, optim, testing
from minidl.backend import backend_of
from minidl.nn import functional as F
from minidl.tensor import wrap


def _gradient(where, y, *leaves):
    """The gradients of the sum of y, on the host."""
    return [where.host(g) for g in minidl.grad(y.sum(), leaves)]


def test_trap_01_same_tensor_twice(where, rng):
    values = rng.uniform(0.5, 2.0, size=(2, 3))
    ones, log = np.ones_like(values), np.log(values)
    for function, expected in (
        (lambda x: x - x, 0 * ones),
        (lambda x: x + x, 2 * ones),
        (lambda x: x * x, 2 * values),
        (lambda x: x / x, 0 * ones),
        (lambda x: x**x, values**values * (log + 1)),
        (lambda x: minidl.maximum(x, x), ones),
        (lambda x: minidl.where(x > 1, x, x), ones),
        (lambda x: minidl.cat([x, x, x], 1), 3 * ones),
        (lambda x: minidl.stack([x, x]), 2 * ones),
        (lambda x: (x @ x.T).sum() / 2, ones * values.sum(0)),
        (lambda x: F.linear(x, x), ones * 2 * values.sum(0)),
        (lambda x: F.mse_loss(x, x), 0 * ones),
    ):
        x = where.leaf(values)
        function(x).sum().backward()
        np.testing.assert_allclose(where.host(x.grad), expected, atol=1e-12)
    x = where.leaf(rng.normal(size=(1, 1, 3, 3)))  # as input and as kernel, and once more behind a view
    F.conv2d(x, x).sum().backward()
    np.testing.assert_allclose(where.host(x.grad), 2 * where.host(x), atol=1e-12)
    x = where.leaf(values)
    (x.view(6) * x.reshape(6) * x.flatten()).sum().backward()
    np.testing.assert_allclose(where.host(x.grad), 3 * values**2, atol=1e-12)


def test_trap_02_a_repeated_integer_index(where):
    index = where.tensor([2, 0, 2, 2])
    weights = where.tensor([1.0, 2.0, 4.0, 8.0])
    x = where.leaf([[1.0], [2.0], [3.0]])
    (x[index] * weights.view(4, 1)).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [[2.0], [0.0], [13.0]])
    x = where.leaf([[1.0, 2.0, 3.0]])
    (x[:, index] * weights).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [[2.0, 0.0, 13.0]])
    x = where.leaf([[1.0, 2.0], [3.0, 4.0]])
    (x[where.tensor([0, 0, 1, 0]), where.tensor([1, 1, 0, 0])] * weights).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [[8.0, 3.0], [4.0, 0.0]])
    x = where.leaf([[1.0, 2.0, 3.0]])
    (x.gather(1, index.view(1, 4)) * weights).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [[2.0, 0.0, 13.0]])
    z = where.leaf(np.zeros((4, 3)))  # every row picks its own class, one of them three times
    (F.cross_entropy(z, index, reduction="none") * weights).sum().backward()
    expected = np.array([[1.0], [2.0], [4.0], [8.0]]) * (1 / 3 - np.eye(3)[[2, 0, 2, 2]])
    np.testing.assert_allclose(where.host(z.grad), expected)


def test_trap_03_broadcasting(where, rng):
    shapes = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (4, 1, 3), (1, 1, 1)]
    operations = [minidl.add, minidl.sub, minidl.mul, minidl.div, minidl.pow, minidl.maximum]
    for a_shape, b_shape in itertools.product(shapes, shapes):
        a, b = (where.leaf(rng.uniform(1.0, 2.0, size=s)) for s in (a_shape, b_shape))
        full = np.broadcast_shapes(a_shape, b_shape)
        for operation in operations:
            y = operation(a, b)
            assert y.shape == full
            ga, gb = minidl.grad(y.sum(), (a, b))
            assert ga.shape == a_shape and gb.shape == b_shape
            wide = [where.leaf(np.broadcast_to(where.host(t), full)) for t in (a, b)]
            for g, g_wide, shape in zip(
                (ga, gb), minidl.grad(operation(*wide).sum(), wide), (a_shape, b_shape), strict=True
            ):
                lead = len(full) - len(shape)
                axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1)
                expected = where.host(g_wide).sum(axis=axes, keepdims=True).reshape(shape)
                np.testing.assert_allclose(where.host(g), expected, rtol=1e-12)
    for shape in shapes:  # with Python numbers on either side
        x = where.leaf(rng.uniform(1.0, 2.0, size=shape))
        for y, slope in ((2 * x, 2.0), (x * 2, 2.0), (3 - x, -1.0), (x - 3, 1.0), (1 / x, -1 / where.host(x) ** 2)):
            assert y.shape == shape
            np.testing.assert_allclose(*_gradient(where, y, x), np.broadcast_to(slope, shape))


def test_trap_04_float32_in_float32_out(where, rng):
    x = where.leaf(rng.uniform(0.5, 1.5, size=(2, 3)), np.float32)
    w = where.leaf(rng.normal(size=(4, 3)), np.float32)
    mask, labels = where.tensor([[True, False, True]]), where.tensor([0, 2])
    numbers = (2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2))
    results = [
        f(x, n) for n in numbers for f in (minidl.add, minidl.sub, minidl.mul, minidl.div, minidl.pow, minidl.maximum)
    ]
    results += [n - x for n in numbers] + [n / x for n in numbers] + [n**x for n in numbers]
    results += [x.sum(), x.mean(), x.mean(1), x.var(), x.std(1), x.max(), x.max(1).values, x.logsumexp(1), x.softmax(1)]
    results += [x.sigmoid(), x.tanh(), x.relu(), x.sqrt(), x.log(), x**0.5, x.clamp(0.7, 1.2), x.masked_fill(mask, 0.5)]
    results += [
        x[0],
        x[:, [0, 0]],
        x[mask.expand(2, 3)],
        x @ w.T,
        F.linear(x, w),
        F.dropout(x, 0.3),
        minidl.where(mask, x, 1.0),
    ]
    results += [F.cross_entropy(x, labels), F.mse_loss(x, x * 2), x * labels.view(2, 1), x + where.tensor(1.0)]
    images, kernel = x.view(1, 1, 2, 3), w.view(1, 1, 4, 3)[:, :, :2]
    results += [F.conv2d(images, kernel, padding=1), F.max_pool2d(images, 2), F.avg_pool2d(images, 2)]
    results += [F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)]
    results += [
        F.batch_norm(x, None, None, training=True),
        F.batch_norm(x, *[where.tensor(np.ones(3, np.float32))] * 2),
    ]
    for y in results:
        assert y.dtype == minidl.float32, y
        for g in minidl.grad(y.sum(), (x, w), retain_graph=True, allow_unused=True):
            assert g is None or g.dtype == minidl.float32, y
    sum(y.sum() for y in results).backward()
    assert x.grad.dtype == w.grad.dtype == minidl.float32
    x.grad.mul_(0.5).add_(np.float64(1.0))
    assert x.grad.dtype == minidl.float32


def test_trap_05_gradients_shared_or_read_only(where):
    def leaves(n=2):
        return [where.leaf(np.ones((2, 3))) for _ in range(n)]

    def separate(*tensors):
        memories = [t.grad.array for t in tensors] + [t.array for t in tensors]
        pairs = itertools.combinations(memories, 2)
        assert not any(where.backend.may_share_memory(a, b) for a, b in pairs)
        for t in tensors:  # writable, and the change is seen nowhere else
            t.grad.add_(1.0)
        for t in tensors:
            t.grad.zero_()
            np.testing.assert_array_equal(where.host(t.grad), np.zeros(t.shape))

    a, b = leaves()
    (a + b).sum().backward()
    separate(a, b)
    a, b, c, d = leaves(4)
    (a + b + (c - d) + (a + c)).sum().backward()
    separate(a, b, c, d)
    a, b = leaves()
    seed = where.tensor(np.ones((2, 3)))
    (a + b).backward(seed)  # the incoming gradient is the user's
    assert not where.backend.may_share_memory(a.grad.array, seed.array)
    separate(a, b)
    a, b = leaves()
    a.backward(seed)
    minidl.cat([a.view(3, 2), b.view(3, 2)]).sum().backward()
    separate(a, b)
    a, b = leaves()
    minidl.stack([a, b]).sum().backward(create_graph=True)
    separate(a, b)
    a, b = leaves()
    (a + b).sum().backward(create_graph=True)
    separate(a, b)
    a, b = leaves()
    constant = where.tensor(np.full((2, 3), 5.0))
    for t in (a, b):
        t.register_hook(lambda g: constant)
    (2 * a + 3 * b).sum().backward()
    np.testing.assert_array_equal(where.host(a.grad), where.host(constant))
    separate(a, b)
    np.testing.assert_array_equal(where.host(constant), np.full((2, 3), 5.0))
    a, b = leaves()
    a.sum().backward()  # a broadcast gradient must not stay the read-only view that it was
    b.expand(4, 2, 3)[1].T.sum().backward()
    separate(a, b)
    a, b = leaves()
    first, second = minidl.grad((a + b).sum(), (a, b))
    assert not where.backend.may_share_memory(first.array, second.array)
    first += 1


def test_trap_06_batch_norm_in_eval_dropout_0_and_1_ties_in_max(where, rng):
    x = where.leaf(rng.normal(size=(4, 3)))
    mean, var = where.tensor([1.0, 0.0, -1.0]), where.tensor([4.0, 1.0, 0.25])
    y = F.batch_norm(x, mean, var, training=False, eps=0.0)
    np.testing.assert_allclose(where.host(y), (where.host(x) - [1, 0, -1]) / [2, 1, 0.5])
    np.testing.assert_allclose(*_gradient(where, y, x), np.broadcast_to([0.5, 1.0, 2.0], (4, 3)))
    np.testing.assert_array_equal(where.host(mean), [1.0, 0.0, -1.0])  # eval leaves the running statistics alone
    F.batch_norm(x, mean, var, training=True, momentum=1.0)
    np.testing.assert_allclose(where.host(mean), where.host(x).mean(0))
    np.testing.assert_allclose(where.host(var), where.host(x).var(0, ddof=1))
    constant = where.leaf(np.full((4, 3), 7.0))  # no variance at all
    y = F.batch_norm(constant, None, None, training=True)
    np.testing.assert_array_equal(where.host(y), np.zeros((4, 3)))
    np.testing.assert_allclose(*_gradient(where, y, constant), np.zeros((4, 3)))

    x = where.leaf(rng.normal(size=(100, 10)))
    for p, scale in ((0.0, 1.0), (1.0, 0.0)):
        y = F.dropout(x, p)
        np.testing.assert_array_equal(where.host(y), where.host(x) * scale)
        np.testing.assert_array_equal(*_gradient(where, y, x), np.full((100, 10), scale))
    np.testing.assert_array_equal(where.host(F.dropout(x, 1.0, training=False)), where.host(x))
    kept = where.host(F.dropout(x, 0.25) != 0)
    assert 0.70 < kept.mean() < 0.80

    ties = [[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]]
    x = where.leaf(ties)
    np.testing.assert_array_equal(*_gradient(where, x.amax(1), x), [[0, 0.5, 0.5, 0], [0.25] * 4])
    np.testing.assert_array_equal(*_gradient(where, x.max(), x), [[0, 0.5, 0.5, 0], [0.0] * 4])
    values, indices = x.max(1)  # along one dimension the first takes all, as its index says
    np.testing.assert_array_equal(where.host(indices), [1, 0])
    np.testing.assert_array_equal(*_gradient(where, values, x), [[0, 1, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(*_gradient(where, minidl.maximum(x, x.detach()), x), np.full((2, 4), 0.5))
    x = where.leaf([ties])
    np.testing.assert_array_equal(*_gradient(where, F.max_pool2d(x, 2), x), [[[0, 1, 1, 0], [0, 0, 0, 0]]])
    x = where.leaf([-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(*_gradient(where, x.relu(), x), [0, 0, 1])
    np.testing.assert_array_equal(*_gradient(where, x.clamp(-1.0, 0.0), x), [1, 1, 0])


def test_trap_07_a_chain_of_50000_ops(where):
    n = 50_000 if where.name == "cpu" else 5_000
    x = where.leaf([1.0, -1.0])
    y = x
    for _ in range(n):
        y = y + 1.0
    y.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [1.0, 1.0])
    y = x * 1.0
    for _ in range(n // 10):
        y = -y.view(2)
    del y  # and a long chain is dropped without recursion too


def test_trap_08_a_dropped_graph_is_freed_without_gc(where):
    x = where.leaf(np.ones((4, 4)))
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double().to(where.name)
    norm = where.leaf(np.ones(3))
    gc.collect()
    gc.disable()
    try:
        for used in (False, True):
            h = model(x * 2)
            h.register_hook(lambda g: g * 1.0)
            h.retain_grad()
            y = (F.batch_norm(h @ where.tensor(np.ones((2, 3))), None, None, norm, None, True) ** 2).sum() + h[0].max()
            watched = [weakref.ref(h.grad_fn), weakref.ref(y.grad_fn), weakref.ref(h)]
            if used:
                y.backward()
            del h, y
            assert [r() for r in watched] == [None] * 3, "with a backward" if used else "without a backward"
        y = (x * x).sum()
        (g,) = minidl.grad(y, x, create_graph=True)
        watched = [weakref.ref(y.grad_fn), weakref.ref(g.grad_fn)]
        del y, g
        assert [r() for r in watched] == [None] * 2, "with create_graph"
        assert gc.collect() == 0 or where.name == "cuda"
    finally:
        gc.enable()


_ORDER = """
import minidl
from minidl import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.zeta = nn.Linear(2, 3)
        self.alpha = nn.Parameter(minidl.zeros(1))
        self.blocks = [nn.Linear(3, 3), {"b": nn.Linear(3, 1), "a": nn.BatchNorm1d(3)}]
        self.names = {"x", "y", "z"}

net = Net()
print([name for name, _ in net.named_parameters()], [name for name, _ in net.named_buffers()], list(net.state_dict()))
"""


def test_trap_09_parameter_order_in_two_processes():
    def run(seed):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", _ORDER], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("1")
    assert first == run("2") == run("77")
    assert first.index("alpha") < first.index("zeta.weight") < first.index("zeta.bias") < first.index("blocks.0.weight")
    assert first.index("blocks.1.b.weight") < first.index("blocks.1.a.weight")


def test_trap_10_schedules_against_their_closed_form(where):
    """A learning rate set before each step, as a schedule does, counts from that step on and exactly once."""
    n, decay, momentum = 50, 0.9, 0.5
    for make, expected in (
        (lambda p: optim.SGD(p, lr=1.0), -(1 - decay**n) / (1 - decay)),
        (
            lambda p: optim.SGD(p, lr=1.0, momentum=momentum),
            -sum(decay**t * (1 - momentum ** (t + 1)) / (1 - momentum) for t in range(n)),
        ),
        (lambda p: optim.Adam(p, lr=1.0, eps=0.0), -(1 - decay**n) / (1 - decay)),
    ):
        w = where.leaf(np.zeros(3))
        optimizer = make([w])
        for t in range(n):
            optimizer.param_groups[0]["lr"] = decay**t
            optimizer.zero_grad()
            w.sum().backward()
            optimizer.step()
        np.testing.assert_allclose(where.host(w), np.full(3, expected), rtol=1e-9)


def test_trap_11_non_contiguous_and_empty_inputs(where, rng):
    values = rng.uniform(0.5, 1.5, size=(4, 3, 2))
    functions = [
        lambda x: x.reshape(6, 4),
        lambda x: x.flatten(1),
        lambda x: x.sum(1),
        lambda x: x.max(2).values,
        lambda x: x.softmax(0),
        lambda x: x @ x.transpose(1, 2),
        lambda x: x.var(0),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: x.tanh(),
        lambda x: x[[1, 0, 1]],
        lambda x: F.conv2d(x.unsqueeze(0), x[:3, :, :1].reshape(3, 3, 1, 1).expand(3, 3, 1, 1)[:, [0, 1, 2, 0]]),
        lambda x: F.max_pool2d(x, 2, 1),
        lambda x: x.view(24) if x.is_contiguous() else x.contiguous().view(24),
    ]
    for function in functions:
        found = []
        for arrange in (
            lambda a: where.array(a),
            lambda a: where.array(np.ascontiguousarray(a.T)).T,
            lambda a: where.array(np.repeat(a, 2, axis=2))[:, :, ::2],
            lambda a: where.array(a[::-1].copy())[::-1],
        ):
            x = wrap(arrange(values), requires_grad=True)
            y = function(x)
            y.backward(
                where.tensor(np.arange(y.numel()).reshape(y.shape[::-1]), np.float64).permute(*range(y.ndim)[::-1])
            )
            found.append((where.host(y), where.host(x.grad)))
        for y, g in found[1:]:
            np.testing.assert_allclose(y, found[0][0], rtol=1e-12)
            np.testing.assert_allclose(g, found[0][1], rtol=1e-12)
    for shape in ((0,), (0, 3), (3, 0), (2, 0, 3)):
        x = where.leaf(np.zeros(shape))
        for function in (
            lambda x: x + 1,
            lambda x: x * x,
            lambda x: x.exp(),
            lambda x: x.sum(),
            lambda x: x.sum(0),
            lambda x: x.reshape(-1),
            lambda x: minidl.cat([x, x]),
            lambda x: x.relu(),
            lambda x: x[:0],
            lambda x: x.flip(0),
            lambda x: x > 0,
            lambda x: x.softmax(-1) if x.shape[-1] else x,
            lambda x: x.unsqueeze(0),
            lambda x: minidl.where(x > 0, x, 0.0),
        ):
            y = function(x)
            assert y.dtype in (minidl.float64, minidl.bool)
            if y.requires_grad:
                (g,) = minidl.grad(y.sum(), x)
                assert g.shape == shape and g.dtype == minidl.float64
    x, w = where.leaf(np.zeros((0, 3))), where.leaf(np.ones((2, 3)))
    F.linear(x, w).sum().backward()
    np.testing.assert_array_equal(where.host(w.grad), np.zeros((2, 3)))
    x, w = where.leaf(np.zeros((0, 3, 4, 4))), where.leaf(np.ones((2, 3, 3, 3)))
    F.conv2d(x, w).sum().backward()
    np.testing.assert_array_equal(where.host(w.grad), np.zeros((2, 3, 3, 3)))
    with pytest.raises(ValueError, match="max"):
        where.leaf(np.zeros((0, 3))).max()


def test_trap_12_an_op_writing_into_what_is_not_its_own(where, rng, new_op):
    """What `test_ops.test_purity` checks of every op, here on a whole step, and that the check itself can tell."""
    x, w, b = (where.leaf(rng.normal(size=s)) for s in ((2, 3, 5, 5), (4, 3, 3, 3), (4,)))
    labels = where.tensor([0, 3])
    seed = where.tensor([0.5, 2.0])
    kept = [where.host(t).copy() for t in (x, w, b, labels, seed)]
    if where.name == "cpu":
        for t in (x, w, b, labels, seed):
            t.array.flags.writeable = False
    h = F.conv2d(x, w, b, padding=1).relu()
    h = F.batch_norm(h, None, None, training=True)
    h = F.max_pool2d(h, 2).flatten(2)[:, :, [0, 0, 1]].mean(2)
    F.cross_entropy(F.dropout(h, 0.5), labels, reduction="none").backward(seed)
    for t, values in zip((x, w, b, labels, seed), kept, strict=True):
        np.testing.assert_array_equal(where.host(t), values)

    @new_op
    def writes_into_gradient(x):
        def dx(g):
            g *= 2
            return g

        return x * 2, (dx,)

    @new_op
    def writes_into_input(x):
        x += 1
        return x * 1.0, (lambda g: g,)

    @new_op
    def gives_what_it_keeps(x):
        B = backend_of(x)
        ones = B.ones_like(x)
        return B.sum(x), (lambda g: ones,)

    for bad in (writes_into_gradient, writes_into_input, gives_what_it_keeps):
        with pytest.raises((ValueError, AssertionError)):
            testing.check_purity(testing.Case(bad, (where.array([1.0, 2.0]),)))
    assert len({entry.op for entry in TABLE}) > 60


def test_trap_13_backward_twice(where):
    x = where.leaf([1.0, 2.0])
    y = (x.exp() * x).sum()
    y.backward()
    once = where.host(x.grad).copy()
    with pytest.raises(RuntimeError, match=r"'(sum|multiply)'.*released.*retain_graph=True"):
        y.backward()
    np.testing.assert_array_equal(where.host(x.grad), once)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(where.host(x.grad), 4 * once)  # one before, and three now: they add up
    with pytest.raises(RuntimeError, match="released"):
        minidl.grad(y, x)
    shared = x * x  # one graph under two losses: the first backward releases what both need
    a, b = shared.sum(), shared.exp().sum()
    a.backward()
    with pytest.raises(RuntimeError, match="'multiply' was released"):
        b.backward()


def test_trap_14_0d_results_stay_arrays(where):
    x, y = where.leaf(2.0), where.leaf([3.0])
    results = [
        x + 1,
        x * x,
        -x,
        x / 3,
        x**2,
        x**0.5,
        2**x,
        x.exp(),
        x.relu(),
        x.sigmoid(),
        x.clamp(0, 1),
        abs(x),
        x.sum(),
        x.mean(),
    ]
    results += [
        y[0],
        y.sum(),
        y.max(),
        y.mean(),
        y.squeeze(),
        y.logsumexp(0),
        y.dot(y),
        minidl.where(x > 1, x, 0.0),
        x.detach() + 1,
    ]
    results += [
        x > 1,
        x == 2,
        y.argmax(),
        (y > 1).any(),
        x.long(),
        x.reshape(()),
        x.clone(),
        F.mse_loss(y, y * 2),
        x.max(),
    ]
    results += [
        x.floor(),
        x % 3,
        x // 2,
        minidl.maximum(x, x),
        x.masked_fill(x > 1, 0.0),
        x.view(1)[0],
        y.var(correction=0),
    ]
    for t in results:
        assert type(t.array) is where.type and t.array.shape == (), t
        if t.requires_grad:
            (g,) = minidl.grad(t, [x if t.edge is not None and _reaches(t, x) else y])
            assert type(g.array) is where.type
    x.grad = None
    (x * x).backward()
    (x * 3).backward()
    assert type(x.grad.array) is where.type and where.host(x.grad) == 7.0
    with minidl.no_grad():
        x += 1
        x.mul_(2)
    assert type(x.array) is where.type and x.item() == 6.0


def _reaches(t, leaf) -> bool:
    stack = [t.grad_fn]
    while stack:
        for p in stack.pop().parents:
            if p is leaf:
                return True
            p = p[0] if isinstance(p, tuple) else p
            if hasattr(p, "parents"):
                stack.append(p)
    return False
