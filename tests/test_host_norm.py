"""The CPU's batch norm and elementwise kernels against their plain definitions, by parts too."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl.backend import DEFINITIONS, get_backend
from minidl.backend.host import batch_norm, elementwise
from minidl.nn import functional as F

HOST = get_backend("cpu")
SHAPES = [(5, 3, 40), (4, 6, 5, 7), (3, 2, 16, 16), (2, 1, 1, 300), (7, 5, 4, 4), (1, 4, 30), (6, 20), (3, 4, 2)]


@pytest.fixture
def poisoned(monkeypatch, poison):
    """Fresh memory holds nan; small arrays are cut into many parts as large ones are."""
    poison()
    monkeypatch.setattr(batch_norm, "LARGE", 10)
    for module in (batch_norm, elementwise):
        monkeypatch.setattr(module, "BLOCK", 64)
        monkeypatch.setattr(module, "SHARED", 64)
    monkeypatch.setattr(elementwise, "LARGE", 10)


def close(got, want, tolerance):
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(want).max(initial=0))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("middle", [0.0, 2.0, 300.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_agrees_with_its_definition(shape, middle, dtype, poisoned):
    rng, c = np.random.default_rng(1), shape[1]
    x = (rng.normal(size=shape) * rng.uniform(0.5, 2, size=(c, *(1,) * (len(shape) - 2))) + middle).astype(dtype)
    g = rng.normal(size=shape).astype(dtype)
    weight, bias = [rng.normal(size=c).astype(dtype) for _ in range(2)]
    exact = [v.astype("float64") for v in (x, g, weight, bias)]
    tolerance = (1e-5 if dtype == "float32" else 1e-12) * (1 + middle / 10)
    for w, b in ((weight, bias), (None, bias), (weight, None), (None, None)):
        for order in (x, np.asfortranarray(x)):
            wide = [None if v is None else v.astype("float64") for v in (w, b)]
            found = HOST.batch_norm(order, w, b, eps=1e-5)
            want = DEFINITIONS["batch_norm"](exact[0], *wide, eps=1e-5)
            for got, value in zip(found, want, strict=True):
                close(got, value.astype(dtype), tolerance)
            _, mean, _, inv = found
            back = HOST.batch_norm_grad(g, order, w, mean, inv)
            want = DEFINITIONS["batch_norm_grad"](exact[1], exact[0], wide[0], want[1], want[3])
            for got, value in zip(back, want, strict=True):
                close(got, value.astype(dtype), 5 * tolerance)
    assert exact[0].astype(dtype).tobytes() == x.tobytes() and exact[1].astype(dtype).tobytes() == g.tobytes()


def test_batch_norm_of_constant_channels_and_of_nan(poisoned):
    x = np.full((4, 3, 64), 1e4, dtype=np.float32)
    x[:, 1] = 0
    x[0, 2, 5] = np.nan
    y, mean, var, inv = HOST.batch_norm(x, None, None, eps=1e-5)
    assert np.abs(y[:, :2]).max() == 0 and mean[:2].tolist() == [1e4, 0] and var[:2].tolist() == [0, 0]
    assert np.isnan(y[:, 2]).all() and np.isnan(mean[2])
    dx, dw, db = HOST.batch_norm_grad(np.ones_like(x), x, None, mean, inv)
    assert np.abs(dx[:, :2]).max() == 0 and dw[:2].tolist() == [0, 0] and db.tolist() == [256] * 3


def test_a_long_line_keeps_its_digits():
    x = np.random.default_rng(0).normal(size=(1, 2, 1_000_000)).astype(np.float32) + 1
    _, mean, var, _ = HOST.batch_norm(x, None, None, eps=0.0)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(var, x.var(axis=(0, 2), dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (13, 11), (100, 70)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
def test_relu(shape, dtype, poisoned):
    rng = np.random.default_rng(3)
    x = np.asarray(rng.normal(size=shape) * 5).astype(dtype)
    if dtype != "int64" and x.size > 3:
        x.reshape(-1)[:4] = [np.nan, -np.inf, np.inf, -0.0]
    g = np.asarray(rng.normal(size=shape)).astype(dtype)
    for a, b in ((x, g), (x.T, g.T), (x, g.copy(order="F"))):
        y = HOST.relu(a)
        np.testing.assert_array_equal(y, DEFINITIONS["relu"](a))
        dx = HOST.relu_grad(b, y)
        np.testing.assert_array_equal(dx, DEFINITIONS["relu_grad"](b, y))
        assert y.dtype == dx.dtype == a.dtype and y.shape == dx.shape == a.shape


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
def test_where(dtype, poisoned):
    rng = np.random.default_rng(4)
    x, other = [(rng.normal(size=(60, 50)) * 9).astype(dtype) for _ in range(2)]
    if dtype.startswith("float"):
        x[0, :3], other[1, :3] = [np.nan, np.inf, -0.0], [np.nan, np.inf, -0.0]
    condition = rng.random((60, 50)) < 0.5
    pairs = [
        (x, other),
        (x, 0.0),
        (0.0, x),
        (x, 1.5),
        (x, np.inf),
        (x, other[:1]),
        (x.T.copy().T, other),
        (x, 3),
        (x[0], 2),
    ]
    pairs += [(x, other.astype("float64")), (1.0, 2.0)]
    for c in (condition, condition.astype("int8"), condition[:, :1], np.asfortranarray(condition)):
        for a, b in pairs:
            got, want = HOST.where(c, a, b), np.where(c, a, b)
            assert got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()
            assert got is not a and got is not b


def step(seed):
    """The gradients of a block of layers, in several blocks and threads."""
    rng = np.random.default_rng(seed)
    x = minidl.tensor(rng.normal(size=(48, 16, 32, 32)).astype(np.float32), requires_grad=True)
    weight, bias = [minidl.tensor(rng.normal(size=16).astype(np.float32), requires_grad=True) for _ in range(2)]
    y = F.batch_norm(x, None, None, weight, bias, True).relu()
    (minidl.where(y > 1, y, x) * y).sum().backward()
    return [y.detach().numpy().tobytes()] + [v.grad.numpy().tobytes() for v in (x, weight, bias)]


def test_two_threads_at_once_give_what_one_after_the_other_gives(monkeypatch, same_in_threads):
    for module in (batch_norm, elementwise):
        monkeypatch.setattr(module, "BLOCK", 1 << 15)
        monkeypatch.setattr(module, "SHARED", 1 << 15)
    same_in_threads(step)
