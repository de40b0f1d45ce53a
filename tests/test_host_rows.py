"""The CPU's kernels over rows against their plain definitions: softmax, losses, erf, layer norm, sums of rows."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import minidl
from minidl.backend.host import arrays, exponentials, loss, norm, products, softmax, special, team
from minidl.nn import functional as F
from minidl.ops import activation
from minidl.ops import linalg as products_plain
from minidl.ops import loss as loss_plain
from minidl.ops import norm as norm_plain
from minidl.ops import reduce as reduce_plain

TOLERANCE = {np.float16: 1e-2, np.float32: 3e-6, np.float64: 1e-13}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)
SHAPES = [(1, 1), (5, 7), (64, 65), (3, 2000), (40, 6, 17), (2, 30, 5, 9)]


def _close(found, expected, tolerance, scale=1.0) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def _layouts(x):
    """x, and the same numbers with other strides."""
    yield x
    yield np.asfortranarray(x)
    wide = np.empty((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    yield wide[..., ::2]


def _unchanged(function, *xs, **how):
    """function(*xs), which must give the same bits twice and leave its inputs alone."""
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in xs]
    once, twice = function(*xs, **how), function(*xs, **how)
    for x, old in zip(xs, before, strict=True):
        assert not isinstance(x, np.ndarray) or x.tobytes() == old.tobytes(), "an input was changed"
    first = [y[0] if isinstance(y, tuple) else y for y in (once, twice)]
    assert first[0].tobytes() == first[1].tobytes()
    return once


# ------------------------------------------------------------------------------------------------ softmax and losses
@DTYPES
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_softmax_and_its_logarithm_are_their_definitions(dtype, size):
    rng, tolerance = np.random.default_rng(0), TOLERANCE[dtype]
    for shape in SHAPES:
        base = (size * rng.normal(size=shape)).astype(dtype)
        wide = base.astype(np.float64)
        g = rng.normal(size=shape).astype(dtype)
        assert dtype == np.float16 or size > 1 or base.size < 2048 or exponentials.near_zero(base)
        for axis in {0, 1, len(shape) - 1, -1}:
            y_plain = reduce_plain.plain_softmax(wide, axis=axis)
            log_plain, _ = reduce_plain.plain_log_softmax(wide, axis=axis)
            for x in _layouts(base):
                y = _unchanged(softmax.softmax_of, x, axis=axis)
                assert (y.dtype, y.shape) == (dtype, shape)
                _close(y, y_plain, tolerance)
                dx = _unchanged(softmax.softmax_grad, g, y, axis=axis)
                _close(dx, reduce_plain.plain_softmax_grad(g.astype(float), y_plain, axis=axis), 4 * tolerance, 4)
                y, kept = _unchanged(softmax.log_softmax_of, x, axis=axis)
                assert (y.dtype, y.shape) == (dtype, shape)
                _close(y, log_plain, tolerance, size)
                dx = softmax.log_softmax_grad(g, kept, axis=axis)
                expected = reduce_plain.plain_log_softmax_grad(g.astype(float), log_plain, axis=axis)
                _close(dx, expected, 4 * tolerance, 16)


@DTYPES
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_cross_entropy_is_its_definition(dtype, size):
    rng, tolerance = np.random.default_rng(1), TOLERANCE[dtype]
    for shape in SHAPES:
        base = (size * rng.normal(size=shape)).astype(dtype)
        t = rng.integers(0, shape[1], (shape[0], 1, *shape[2:]))
        g = rng.normal(size=t.shape).astype(dtype)
        y_plain, p_plain = loss_plain.plain_cross_entropy(base.astype(float), t)
        expected = loss_plain.plain_cross_entropy_grad(p_plain, t, g.astype(float))
        for z in _layouts(base):
            y, p = _unchanged(loss.cross_entropy, z, t)
            assert (y.dtype, y.shape) == (dtype, t.shape)
            _close(y, y_plain, tolerance, size)
            for once in (g, np.broadcast_to(g.reshape(-1)[0], g.shape)):
                dz = _unchanged(loss.cross_entropy_grad, p, t, once)
                assert (dz.dtype, dz.shape) == (dtype, shape)
            _close(loss.cross_entropy_grad(p, t, g), expected, 4 * tolerance)


def test_a_sure_and_right_answer_has_a_small_loss_not_a_rounded_one():
    z = np.zeros((300, 10), np.float32)
    z[:, 3] = 15
    y, _ = loss.cross_entropy(z, np.full((300, 1), 3))
    _close(y, math.log1p(9 * math.exp(-15)), 0.05)


def test_rows_with_infinities_and_nan_are_as_in_the_definition():
    x = np.random.default_rng(2).normal(size=(300, 10)).astype(np.float32)
    x[3, 4], x[5, 6], x[7] = -math.inf, math.nan, 1e30
    with np.errstate(invalid="ignore"):
        y, plain = softmax.softmax_of(x, -1), reduce_plain.plain_softmax(x, axis=-1)
    assert y[3, 4] == 0 and np.isnan(y[5]).all() and np.isfinite(y[[3, 7, 8]]).all()
    np.testing.assert_allclose(y, plain, rtol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_rows_far_above_and_below_the_others_neither_overflow_nor_vanish(sign):
    x = np.random.default_rng(9).normal(size=(300, 10)).astype(np.float32)
    x[4] += sign * 200
    _close(softmax.softmax_of(x, -1), reduce_plain.plain_softmax(x.astype(float), axis=-1), 3e-5)
    y, _ = loss.cross_entropy(x, np.full((300, 1), 3))
    _close(y, loss_plain.plain_cross_entropy(x.astype(float), np.full((300, 1), 3))[0], 3e-5)


def test_a_single_number_is_a_row_of_one():
    for name, value in (("softmax", 1.0), ("log_softmax", 0.0), ("logsumexp", 3.0)):
        for dim in (0, -1):
            x = minidl.tensor(3.0, requires_grad=True)
            y = getattr(minidl if name == "logsumexp" else F, name)(x, dim=dim)
            y.backward()
            assert (y.shape, y.item()) == ((), value)
            assert (x.grad.shape, x.grad.item()) == ((), float(name == "logsumexp"))
    one = np.ones((), np.float32)
    assert softmax.log_softmax_grad(one, softmax.log_softmax_of(one, 0)[1], 0).shape == ()
    loss = F.cross_entropy(z := minidl.tensor([3.0], requires_grad=True), minidl.tensor(0))
    loss.backward()
    assert loss.item() == 0 and z.grad.tolist() == [0]


# --------------------------------------------------------------------------------------------------------------- erf
@DTYPES
def test_erf_in_blocks_is_erf(dtype):
    rng, tolerance = np.random.default_rng(3), {np.float16: 1e-3, np.float32: 1e-6, np.float64: 1e-14}[dtype]
    for shape in [(), (1,), (0, 3), (7, 5), (special._BLOCK - 1,), (special._BLOCK * 2 + 3,)]:
        base = np.asarray(2 * rng.normal(size=shape)).astype(dtype)
        expected = np.array([math.erf(v) for v in base.astype(float).ravel().tolist()]).reshape(shape)
        for x in _layouts(base) if len(shape) > 1 else [base]:
            y = _unchanged(special.erf, x)
            assert (y.shape, y.dtype) == (shape, dtype)
            _close(y, expected, tolerance)


def test_gelu_far_out_is_the_line_or_nothing():
    x = np.array([-1e18, -100, -6, 6, 100, 1e18], np.float32)
    y = activation.gelu(x)
    np.testing.assert_array_equal(y[[0, 1, 3, 4, 5]], [0, 0, 6, 100, np.float32(1e18)])
    assert abs(y[2]) < 1e-6


@DTYPES
def test_gelu_and_its_slope_are_their_definitions(dtype, monkeypatch):
    monkeypatch.setattr(special, "_LONG", 40)
    rng, tolerance = np.random.default_rng(10), {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-14}[dtype]
    for shape in [(1,), (0, 3), (7, 5), (3, 50)]:
        base = (3 * rng.normal(size=shape)).astype(dtype)
        expected = activation.plain_gelu(base.astype(float))
        for x in _layouts(base):
            for n in (1, 2, 5):
                monkeypatch.setattr(team, "threads", lambda n=n: n)
                found = _unchanged(special.gelu, x)
                for a, e in zip(found, expected, strict=True):
                    assert (a.shape, a.dtype) == (shape, dtype)
                    _close(a, e, tolerance)


def test_gelu_and_its_slope_of_what_is_large_or_no_number():
    x = np.array([-math.inf, -1e38, -0.0, 0.0, 1e38, math.inf, math.nan], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, slope = special.gelu(x)
    np.testing.assert_array_equal(y, [0, 0, 0, 0, np.float32(1e38), math.inf, math.nan])
    np.testing.assert_allclose(slope, [0, 0, 0.5, 0.5, 1, 1, math.nan], atol=3e-7)


def test_gelu_in_single_precision_is_as_near_as_it_says():
    x = np.linspace(-17, 17, 40001).astype(np.float32)
    for a, e in zip(special.gelu(x), activation.plain_gelu(x.astype(float)), strict=True):
        assert (np.abs(a - e) <= 3e-7 + 1e-7 * np.abs(e)).all()


def test_erf_of_single_precision():
    x = np.linspace(-7, 7, 40001).astype(np.float32)
    y = special.erf(x)
    exact = np.array([math.erf(v) for v in x.tolist()])
    away = x != 0
    assert np.abs(y[away] / exact[away] - 1).max() < 1e-7
    assert special.erf(np.array([-1e30, 0, 1e30], np.float32)).tolist() == [-1, 0, 1]
    assert np.isnan(special.erf(np.array([math.nan], np.float32))).all()


def test_erf_has_the_same_bits_with_any_number_of_threads(monkeypatch):
    x = np.random.default_rng(4).normal(size=(70, special._BLOCK // 2)).astype(np.float32)
    one = special.erf(x).tobytes()
    for n in (1, 2, 5):
        monkeypatch.setattr(team, "threads", lambda n=n: n)
        assert special.erf(x).tobytes() == one


# -------------------------------------------------------------------------------------------------------- layer norm
@DTYPES
@pytest.mark.parametrize("center", [True, False])
def test_layer_norm_and_its_gradients_are_their_definitions(dtype, center):
    rng, tolerance = np.random.default_rng(5), 20 * TOLERANCE[dtype]
    for shape, axes in (((5, 7), 1), ((300, 65), 1), ((4, 30, 20), 1), ((40, 6, 17), 2), ((7,), 1), ((3, 1500), 1)):
        axis, own = tuple(range(len(shape) - axes, len(shape))), shape[len(shape) - axes :]
        base, g = [(rng.normal(size=shape) + 1).astype(dtype) for _ in range(2)]
        shapes = [None, own, (own[0],) + (1,) * (len(own) - 1)] if len(own) > 1 else [None, own]
        how = {"axis": axis, "center": center}
        for some in shapes:
            w, b = [None if some is None else (rng.normal(size=some) + 1).astype(dtype) for _ in range(2)]
            wide = [None if v is None else v.astype(np.float64) for v in (base, w, b, g)]
            plain = norm_plain.plain_layer_norm(*wide[:3], eps=1e-5, **how)
            expected = norm_plain.plain_layer_norm_grad(wide[3], wide[0], wide[1], plain[1], plain[3], **how)
            for x in _layouts(base):
                y, mean, var, inv = _unchanged(norm.layer_norm, x, w, b, eps=1e-5, **how)
                for a, e in zip((y, mean, var, inv), plain, strict=True):
                    single = dtype == np.float16 and a is not y  # the statistics of halves
                    assert (a.dtype, a.shape) == (np.float32 if single else dtype, e.shape)
                    _close(a, e, tolerance)
                found = _unchanged(norm.layer_norm_grad, g, x, w, mean, inv, **how)
                _close(found[0], expected[0], tolerance, 2)
                for a, e in zip(found[1:], expected[1:], strict=True):
                    if some is not None:  # element by element or added up: the engine adds up what is not
                        lead = len(shape) - len(some)
                        a, e = [_added(v, lead, some) for v in (a, e)]
                        _close(a, e, tolerance, math.sqrt(base.size))


@pytest.mark.parametrize("function", ["layer_norm", "rms_norm", "group_norm", "batch_norm"])
def test_sums_of_halves_are_in_single_precision(function):
    """Of 2560 numbers about 200, gradients about 100: their sums are several times as large as a half can be."""
    x = np.random.default_rng(10).normal(200, 30, (4, 4, 640)).astype(np.float16)
    given = {
        "layer_norm": lambda x: F.layer_norm(x, (4, 640)),
        "rms_norm": lambda x: F.rms_norm(x, (4, 640)),
        "group_norm": lambda x: F.group_norm(x, 1),
        "batch_norm": lambda x: F.batch_norm(x, *known, training=True),
    }[function]
    g, results = np.random.default_rng(11).normal(100, 100, x.shape).astype(np.float16), []
    for dtype in (np.float16, np.float64):
        known = [minidl.zeros(4, dtype=dtype), minidl.ones(4, dtype=dtype)]
        leaf = minidl.tensor(x.astype(dtype), requires_grad=True)
        y = given(leaf)
        y.backward(minidl.tensor(g.astype(dtype)))
        assert y.array.dtype == leaf.grad.array.dtype == dtype
        results.append([v.detach().array.astype(float) for v in (y, leaf.grad, *known)])
    for half, exact in zip(*results, strict=True):
        np.testing.assert_allclose(half, exact, rtol=4e-3, atol=2e-3)


def _added(v, lead, shape):
    """A gradient summed to the shape of a weight, as the engine does."""
    if v.shape == shape:
        return v
    v = v.astype(np.float64).sum(axis=tuple(range(lead)))
    return v.sum(axis=tuple([i for i, n in enumerate(shape) if n == 1 and v.shape[i] != 1]), keepdims=True)


# ------------------------------------------------------------------------------------------- products, sums of rows
@DTYPES
def test_linear_of_batches_is_one_product_with_the_same_numbers(dtype):
    rng, tolerance = np.random.default_rng(6), 8 * TOLERANCE[dtype]
    for lead in [(), (5,), (4, 3), (0, 3), (2, 3, 4)]:
        base, w, b = [rng.normal(size=s).astype(dtype) for s in ((*lead, 6), (7, 6), (7,))]
        for x in _layouts(base):
            for bias in (None, b, b[:1]):
                y = _unchanged(products_plain.linear, x, w, bias)
                assert y.dtype == dtype and y.shape == (*lead, 7)
                expected = base.astype(float) @ w.astype(float).T
                _close(y, expected if bias is None else expected + bias, tolerance, 8)


@DTYPES
def test_sums_of_columns_are_the_sums(dtype):
    rng = np.random.default_rng(7)
    for shape in ((0, 3), (1, 1), (5, 7), (1000, 65)):
        base = rng.normal(size=shape).astype(dtype)
        for x in _layouts(base):
            y = _unchanged(products.column_sums, x)
            assert (y.dtype, y.shape) == (dtype, shape[1:])
            _close(y, base.astype(float).sum(0), TOLERANCE[dtype], 100)


@DTYPES
def test_rows_added_up_are_those_of_the_definition(dtype):
    rng = np.random.default_rng(8)
    for size, ids, features in ((3, (50,), (4,)), (65, (16, 64), (8,)), (500, (700,), (3, 2)), (128, (128,), ())):
        index = rng.integers(-size, size, ids)
        g = rng.normal(size=(*ids, *features)).astype(dtype)
        expected = np.zeros((size, *features))
        np.add.at(expected, index, g.astype(np.float64))
        y = _unchanged(arrays.index_add, g, index, (size, *features))
        assert y.dtype == dtype
        _close(y, expected, 4 * TOLERANCE[dtype], 8)


def test_values_that_are_broadcast_or_apart_are_copied_once(monkeypatch):
    rows, base = np.arange(600) % 150, np.random.default_rng(9).normal(size=(600, 8)).astype(np.float32)
    rows[:100] = 3
    expected = arrays.sum_rows(rows, base, 150)
    wide = np.repeat(base, 2, axis=1)[:, ::2]
    assert not wide.flags.c_contiguous
    copies = []
    monkeypatch.setattr(
        np, "ascontiguousarray", lambda x, make=np.ascontiguousarray: copies.append(make(x)) or copies[-1]
    )
    for given, want in (
        (wide, expected),
        (np.asfortranarray(base), expected),
        (np.broadcast_to(base[:1], base.shape), arrays.sum_rows(rows, np.repeat(base[:1], 600, axis=0), 150)),
    ):
        copies.clear()
        found = arrays.sum_rows(rows, given, 150)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(found[:2], want[:2], strict=True))
        assert len(copies) == 1 and copies[0].flags.c_contiguous


def test_infinite_rows_spoil_no_others():
    index, g = np.arange(60) % 6, np.ones((60, 4), np.float32)
    g[7, 2], g[9, 1] = math.inf, math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = arrays.index_add(g, index, (6, 4))
    assert y[1, 2] == math.inf and np.isnan(y[3, 1]) and (~np.isfinite(y)).sum() == 2
    assert (y[[0, 2, 4, 5]] == 10).all()
