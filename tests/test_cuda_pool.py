"""Pooling on the GPU against its plain definitions: any windows, ties, nan, memory in any order; one launch each."""

from __future__ import annotations

import numpy as np
import pytest
from launching import CUDA, TOLERANCE, counts, down, launches, same, up
from test_host_pool import geometry, values

from minidl.backend import DEFINITIONS
from minidl.backend.cuda import pool

pytestmark = pytest.mark.cuda
TYPES = ["float32", "float64", "float16"]


def exactly(found, want):
    found = down(found)
    assert found.dtype == want.dtype and found.shape == want.shape
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("dtype", TYPES)
def test_max_pooling_of_all_kinds_agrees_with_its_definition(dtype):
    rng = np.random.default_rng(TYPES.index(dtype))
    for _ in range(60):
        shape, how, out = geometry(rng)
        x, spread = values(rng, shape, dtype), rng.random() < 0.3
        given = up(x, spread)
        y, place = CUDA.max_pool2d(given, out=out, **how), CUDA.max_pool2d_place(given, out=out, **how)
        exactly(y, DEFINITIONS["max_pool2d"](x, out=out, **how))
        where = DEFINITIONS["max_pool2d_place"](x, out=out, **how)
        exactly(place, where)
        g = rng.normal(size=y.shape).astype(dtype)
        g[DEFINITIONS["max_pool2d"](np.ones(shape), out=out, **how) < 0] = 0  # of windows that are nothing but padding
        want = DEFINITIONS["max_pool2d_put"](g.astype(np.float64), where, shape=shape, **how)
        same(CUDA.max_pool2d_put(up(g, spread), place, shape=shape, **how), want, dtype, 2)
        same(CUDA.max_pool2d_grad(up(g, spread), given, y, **how), want, dtype, 2)
        x = rng.normal(size=shape).astype(dtype)
        exactly(CUDA.max_pool2d_pick(up(x, spread), place, **how),
                DEFINITIONS["max_pool2d_pick"](x, where, **how))  # fmt: skip


@pytest.mark.parametrize("dtype", TYPES)
def test_sums_over_windows_agree_with_their_definitions(dtype):
    rng = np.random.default_rng(TYPES.index(dtype))
    for _ in range(60):
        shape, how, out = geometry(rng, dilate=False)
        del how["dilation"]
        how["scale"] = float(rng.choice([1.0, 0.3]))
        x, g = rng.normal(size=shape).astype(dtype), rng.normal(size=(*shape[:2], *out)).astype(dtype)
        want = DEFINITIONS["window_sum"](x.astype(np.float64), out=out, **how)
        same(CUDA.window_sum(up(x, rng.random() < 0.3), out=out, **how), want, dtype, 2)
        want = DEFINITIONS["window_spread"](g.astype(np.float64), shape=shape, **how)
        same(CUDA.window_spread(up(g, rng.random() < 0.3), shape=shape, **how), want, dtype, 2)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("axes", [1, 2])
def test_windows_and_their_sums_agree_with_their_definitions(dtype, axes):
    """Over one axis or two, with other axes behind them."""
    rng = np.random.default_rng(TYPES.index(dtype))
    for _ in range(40):
        shape, how, out = geometry(rng)
        behind = tuple(rng.integers(1, 4, int(rng.integers(0, 3))).tolist())
        shape, out = shape[: 2 + axes] + behind, out[:axes]
        how = {key: value[:axes] for key, value in how.items() if key != "width"} | {
            "width": how["width"][: 2 + axes] + ((0, 0),) * len(behind)
        }
        x = rng.normal(size=shape).astype(dtype)
        want = DEFINITIONS["windows"](x, out=out, **how)
        exactly(CUDA.windows(up(x, rng.random() < 0.3), out=out, **how), want)
        g = rng.normal(size=want.shape).astype(dtype)
        want = DEFINITIONS["windows_add"](g.astype(np.float64), shape=shape, **how)
        same(CUDA.windows_add(up(g, rng.random() < 0.3), shape=shape, **how), want, dtype, 2)


def test_the_first_of_equals_and_the_first_nan():
    x = np.array([[[[0, 3, 3], [3, 0, 0], [0, 0, 0]]]], dtype=np.float32)
    how = {"kernel": (3, 3), "stride": (3, 3), "dilation": (1, 1), "width": ((0, 0),) * 4}
    for place in (1, 4):
        given = up(x)
        y = CUDA.max_pool2d(given, out=(1, 1), **how)
        assert down(CUDA.max_pool2d_place(given, out=(1, 1), **how)).item() == place
        gx = down(CUDA.max_pool2d_grad(up(np.full((1, 1, 1, 1), np.inf, np.float32)), given, y, **how))
        assert gx.reshape(-1).tolist() == [np.inf if k == place else 0 for k in range(9)]
        x[0, 0, 1, 1] = x[0, 0, 2, 0] = np.nan
    assert np.isnan(down(y)).all()


def test_places_of_larger_windows_have_larger_types():
    rng = np.random.default_rng(0)
    for size, kind in ((11, "int8"), (12, "int16"), (182, "int32")):
        x = rng.normal(size=(1, 1, size, size)).astype(np.float32)
        how = {"kernel": (size, size), "stride": (1, 1), "dilation": (1, 1), "width": ((0, 0),) * 4}
        place = CUDA.max_pool2d_place(up(x), out=(1, 1), **how)
        assert place.dtype == kind and down(place).item() == x.argmax()
        exactly(CUDA.max_pool2d_pick(up(x), place, **how), x.max().reshape(1, 1, 1, 1))


@pytest.mark.parametrize("x", [np.arange(16).reshape(1, 1, 4, 4), np.ones((1, 1, 4, 4), bool)], ids=["int", "bool"])
def test_whole_numbers_are_left_to_the_definitions(x):
    how = {"kernel": (2, 2), "stride": (2, 2), "dilation": (1, 1), "width": ((0, 0),) * 4, "out": (2, 2)}
    exactly(CUDA.windows(up(x), **how), DEFINITIONS["windows"](x, **how))
    del how["dilation"]
    exactly(CUDA.window_sum(up(x), **how), DEFINITIONS["window_sum"](x, **how))


def test_what_cannot_be_counted_in_32_bits_is_left_to_the_definitions(monkeypatch):
    monkeypatch.setattr(pool, "LARGEST", 16)
    called, x, how = [], up(np.ones((1, 1, 4, 4), np.float32)), {"kernel": (2, 2), "stride": (2, 2)}
    for name in ("max_pool2d", "max_pool2d_place", "max_pool2d_put", "max_pool2d_pick", "max_pool2d_grad",
                 "window_sum", "window_spread", "windows", "windows_add"):  # fmt: skip
        plain = DEFINITIONS[name]
        monkeypatch.setitem(DEFINITIONS, name, lambda *a, n=name, f=plain, **how: called.append(n) or f(*a, **how))
    how |= {"width": ((0, 0),) * 4}
    y, g = CUDA.window_sum(x, out=(2, 2), **how), up(np.ones((1, 1, 2, 2), np.float32))
    CUDA.window_spread(g, shape=(1, 1, 4, 4), **how)
    how["dilation"] = (1, 1)
    CUDA.max_pool2d(x, out=(2, 2), **how)
    place = CUDA.max_pool2d_place(x, out=(2, 2), **how)
    CUDA.max_pool2d_put(g, place, shape=(1, 1, 4, 4), **how)
    CUDA.max_pool2d_pick(x, place, **how)
    CUDA.max_pool2d_grad(g, x, y, **how)
    CUDA.windows_add(CUDA.windows(x, out=(2, 2), **how), shape=(1, 1, 4, 4), **how)
    assert set(called) == {"max_pool2d", "max_pool2d_place", "max_pool2d_put", "max_pool2d_pick", "max_pool2d_grad",
                           "window_sum", "window_spread", "windows", "windows_add"}  # fmt: skip


@counts
def test_one_launch_each():
    x, g = up(np.ones((2, 3, 8, 8), np.float32)), up(np.ones((2, 3, 4, 4), np.float32))
    how, shape = {"kernel": (3, 3), "stride": (2, 2), "width": ((0, 0), (0, 0), (1, 1), (1, 1))}, (2, 3, 8, 8)
    found = launches(CUDA.window_sum, x, out=(4, 4), **how), launches(CUDA.window_spread, g, shape=shape, **how)
    how["dilation"] = (1, 1)
    y, place = CUDA.max_pool2d(x, out=(4, 4), **how), CUDA.max_pool2d_place(x, out=(4, 4), **how)
    found += (
        launches(CUDA.max_pool2d, x, out=(4, 4), **how),
        launches(CUDA.max_pool2d_place, x, out=(4, 4), **how),
        launches(CUDA.max_pool2d_put, g, place, shape=shape, **how),
        launches(CUDA.max_pool2d_pick, x, place, **how),
        launches(CUDA.max_pool2d_grad, g, x, y, **how),
        launches(CUDA.windows, x, out=(4, 4), **how),
        launches(CUDA.windows_add, CUDA.windows(x, out=(4, 4), **how), shape=shape, **how),
    )
    assert [name for [name] in found] == [
        "minidl_window_sum", "minidl_window_spread", "minidl_max_pool", "minidl_max_pool_place", "minidl_max_pool_put",
        "minidl_max_pool_pick", "minidl_max_pool_grad", "minidl_windows", "minidl_windows_add",
    ]  # fmt: skip


def test_the_same_call_gives_the_same_bits():
    rng = np.random.default_rng(0)
    g, place = (
        up(rng.normal(size=(2, 3, 7, 7)).astype(np.float32)),
        up(rng.integers(0, 9, (2, 3, 7, 7)).astype(np.int8)),
    )
    how = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "width": ((0, 0),) * 4, "shape": (2, 3, 9, 9)}
    first, second = [down(CUDA.max_pool2d_put(g, place, **how)) for _ in range(2)]
    np.testing.assert_array_equal(first, second)
    want = DEFINITIONS["max_pool2d_put"](down(g), down(place), **how)
    np.testing.assert_allclose(first, want, rtol=0, atol=TOLERANCE["float32"])
