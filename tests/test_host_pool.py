"""The CPU's pooling against its plain definitions, with whatever memory it is given and from several threads."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl.backend import DEFINITIONS, get_backend
from minidl.backend.host import pool
from minidl.nn import functional as F
from minidl.ops.pool import pool_output_size, pool_padding

HOST = get_backend("cpu")


@pytest.fixture
def poisoned(monkeypatch, poison):
    """Fresh memory holds nan, and small blocks make many."""
    poison()
    monkeypatch.setattr(pool, "BLOCK", 200)
    monkeypatch.setattr(pool, "SHARED", 150)


def geometry(rng, dilate=True):
    """A random shape of images, and how their windows lie."""
    while True:
        n, c, h, w = (int(v) for v in rng.integers((0, 1, 1, 1), (6, 5, 15, 15)))
        kernel = tuple(rng.integers(1, 5, size=2).tolist())
        stride = kernel if rng.random() < 0.4 else tuple(rng.integers(1, 5, size=2).tolist())
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        dilation = tuple(rng.integers(1, 4, size=2).tolist()) if dilate and rng.random() < 0.3 else (1, 1)
        out = pool_output_size((h, w), kernel, stride, padding, dilation, bool(rng.integers(2)))
        if min(out) > 0:
            width = pool_padding((h, w), kernel, stride, padding, dilation, out)
            return (n, c, h, w), {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}, out


def values(rng, shape, dtype="float32"):
    """Numbers, often with ties, infinities or nan, sometimes not in C's order."""
    x = rng.normal(size=shape).astype(dtype)
    kind = int(rng.integers(5))
    if kind == 1:
        x = np.maximum(x, 0)
    elif kind == 2:
        x = x.round()
        x[rng.random(shape) < 0.6] = -np.inf
    elif kind == 3:
        x[rng.random(shape) < 0.1] = np.nan
    if rng.integers(3) == 0:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return x


def same(got, want, tolerance=0.0):
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(4))
def test_max_pooling_of_all_kinds_agrees_with_its_definition(seed, poisoned):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        shape, how, out = geometry(rng)
        x = values(rng, shape, rng.choice(["float32", "float64", "float16"]))
        kept = x.copy()
        y, place = HOST.max_pool2d(x, out=out, **how), HOST.max_pool2d_place(x, out=out, **how)
        same(y, DEFINITIONS["max_pool2d"](x, out=out, **how))
        seen = DEFINITIONS["max_pool2d"](np.ones(shape), out=out, **how) > 0  # else a window has nothing but padding
        same(place[seen], DEFINITIONS["max_pool2d_place"](x, out=out, **how)[seen])
        g = rng.normal(size=y.shape).astype(x.dtype)
        given = g.copy()
        tolerance = {2: 1e-2, 4: 1e-5, 8: 1e-13}[x.dtype.itemsize]
        same(HOST.max_pool2d_grad(g, x, y, **how), DEFINITIONS["max_pool2d_grad"](g, x, y, **how), tolerance)
        want = DEFINITIONS["max_pool2d_put"](g, place, shape=shape, **how)
        same(HOST.max_pool2d_put(g, place, shape=shape, **how), want, tolerance)
        np.testing.assert_array_equal(x, kept)
        np.testing.assert_array_equal(g, given)


@pytest.mark.parametrize("seed", range(2))
def test_sums_over_windows_of_all_kinds_agree_with_their_definitions(seed, poisoned):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        shape, how, out = geometry(rng, dilate=False)
        del how["dilation"]
        x = rng.normal(size=shape).astype(rng.choice(["float32", "float64"]))
        how["scale"] = float(rng.choice([1.0, 0.3]))
        same(HOST.window_sum(x, out=out, **how), DEFINITIONS["window_sum"](x, out=out, **how), 1e-5)
        g = rng.normal(size=(*shape[:2], *out)).astype(x.dtype)
        kept = g.copy()
        same(HOST.window_spread(g, shape=shape, **how), DEFINITIONS["window_spread"](g, shape=shape, **how), 1e-5)
        np.testing.assert_array_equal(g, kept)


@pytest.mark.parametrize("seed", range(2))
def test_large_windows_agree_with_the_definition_too(seed, poisoned, monkeypatch):
    rng, first, found = np.random.default_rng(seed), pool._first, []
    monkeypatch.setattr(pool, "_first", lambda *a: found.append(1) or first(*a))
    for _ in range(40):
        kernel = [(1, 70), (70, 1), (9, 8), (20, 13)][int(rng.integers(4))]
        dilation = (1, 1) if rng.random() < 0.7 else (2, 1)
        stride = tuple(k + int(rng.integers(-1, 2)) if k > 1 else 1 for k in kernel)
        shape = (2, 3, kernel[0] * int(rng.integers(2, 4)) + 1, kernel[1] * int(rng.integers(1, 3)) + 2)
        padding = tuple(int(rng.integers(0, k // 4 + 1)) for k in kernel)
        out = pool_output_size(shape[2:], kernel, stride, padding, dilation, bool(rng.integers(2)))
        width = pool_padding(shape[2:], kernel, stride, padding, dilation, out)
        how = {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}
        x = values(rng, shape, rng.choice(["float32", "float64"]))
        y = HOST.max_pool2d(x, out=out, **how)
        g = rng.normal(size=y.shape).astype(x.dtype)
        seen = DEFINITIONS["max_pool2d"](np.ones(shape), out=out, **how) > 0
        place = HOST.max_pool2d_place(x, out=out, **how)
        same(place[seen], DEFINITIONS["max_pool2d_place"](x, out=out, **how)[seen])
        g = np.where(seen, g, 0).astype(x.dtype)
        same(HOST.max_pool2d_grad(g, x, y, **how), DEFINITIONS["max_pool2d_grad"](g, x, y, **how), 1e-5)
    assert len(found) > 40


def test_of_large_planes_nothing_is_kept():
    pool._kept_memory.cache_clear()
    how = {"kernel": (2, 2), "stride": (1, 1), "dilation": (1, 1), "width": ((0, 0),) * 4}
    for size, kept in ((300, 0), (20, 1)):
        place = np.zeros((1, 1, size - 1, size - 1), np.int8)
        dx = HOST.max_pool2d_put(np.ones(place.shape, np.float32), place, shape=(1, 1, size, size), **how)
        assert dx.sum() == place.size and pool._kept_memory.cache_info().currsize == kept
    place = np.zeros((1, 1, 1, 1), np.int32)
    how.update(kernel=(300, 300))
    HOST.max_pool2d_put(np.ones(place.shape, np.float32), place, shape=(1, 1, 300, 300), **how)
    assert pool._kept_memory.cache_info().currsize == 1


def test_an_infinite_gradient_stays_at_its_place():
    x = minidl.tensor([[[[1.0, 2.0], [0.0, 1.0]]]], requires_grad=True)
    (F.max_pool2d(x, 2) * float("inf")).sum().backward()
    assert x.grad.tolist() == [[[[0.0, float("inf")], [0.0, 0.0]]]]


def test_the_first_of_equals_and_the_first_nan():
    x = np.array([[[[0, 3, 3], [3, 0, 0], [0, 0, 0]]]], dtype=np.float32)
    how = {"kernel": (3, 3), "stride": (3, 3), "dilation": (1, 1), "width": ((0, 0),) * 4}
    assert HOST.max_pool2d_place(x, out=(1, 1), **how).item() == 1
    x[0, 0, 1, 1] = x[0, 0, 2, 0] = np.nan
    y = HOST.max_pool2d(x, out=(1, 1), **how)
    assert np.isnan(y.item()) and HOST.max_pool2d_place(x, out=(1, 1), **how).item() == 4
    assert HOST.max_pool2d_grad(np.ones_like(y), x, y, **how).reshape(-1).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def step(seed):
    """The gradient of an image through both poolings, in several blocks and threads."""
    rng = np.random.default_rng(seed)
    x = minidl.tensor(rng.normal(size=(40, 16, 32, 32)).astype(np.float32), requires_grad=True)
    y = F.avg_pool2d(F.max_pool2d(x, 3, 2, 1), 2) * F.max_pool2d(F.max_pool2d(x, 2), 2)
    (y * y).sum().backward()
    return y.detach().numpy().tobytes(), x.grad.numpy().tobytes()


def test_two_threads_at_once_give_what_one_after_the_other_gives(monkeypatch, same_in_threads):
    monkeypatch.setattr(pool, "BLOCK", 1 << 14)
    monkeypatch.setattr(pool, "SHARED", 1 << 14)
    same_in_threads(step)
