"""The CPU's kernel of causal attention against its plain definition: shapes, strides, dtypes, blocks, threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minidl
from minidl.backend.host import attention as kernel
from minidl.backend.host import exponentials, team
from minidl.nn import functional as F
from minidl.ops.attention import plain_attention, plain_attention_grad

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def _inputs(lead, queries, keys, features=(3, 2), dtype=np.float64, size=1.0, seed=0):
    """q, k, v and a gradient of y."""
    rng = np.random.default_rng(seed)
    e, f = features
    shapes = [(queries, e), (keys, e), (keys, f), (queries, f)]
    return [(size * rng.normal(size=(*lead, *shape))).astype(dtype) for shape in shapes]


def _both(q, k, v, g, scale=0.5, causal=True):
    """Results and gradients of the kernel and of the definition, the latter in double precision."""
    before = [x.copy() for x in (q, k, v, g)]
    y, p = kernel.attention(q, k, v, scale=scale, causal=causal)
    found = [y, *plain_attention_grad(g, q, k, v, y, p, scale=scale)]
    assert all(np.array_equal(a, b) for a, b in zip(before, (q, k, v, g), strict=True)), "an input was changed"
    assert [(x.shape, x.dtype) for x in found] == [(x.shape, x.dtype) for x in (g, q, k, v)]
    q, k, v, g = [x.astype(np.float64) for x in (q, k, v, g)]
    y, p = plain_attention(q, k, v, scale=scale, causal=causal)
    return found, [y, *plain_attention_grad(g, q, k, v, y, p, scale=scale)]


def _same(found, expected, tolerance) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, np.abs(b).max(initial=0)))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_kernel_is_its_definition(dtype):
    leads, sizes = (
        [(), (3,), (2, 3), (2, 1, 2), (0, 2)],
        [(1, 1), (5, 7), (7, 5), (70, 70), (150, 40), (0, 3), (40, 150)],
    )
    for seed, (lead, (queries, keys)) in enumerate(itertools.product(leads, sizes)):
        _same(*_both(*_inputs(lead, queries, keys, dtype=dtype, seed=seed)), TOLERANCE[dtype])


def test_large_scores_are_shifted_before_they_overflow():
    for size in (4.0, 30.0):
        q, k, v, g = _inputs((2,), 70, 70, size=size, dtype=np.float32)
        v, g = v / np.float32(size), g / np.float32(size)
        scores = 0.5 * q @ k.swapaxes(1, 2)
        assert scores.max() > 20, "the kernel takes the other way here"
        found, expected = _both(q, k, v, g)
        _same(found, expected, 1e-3)


def test_what_is_not_a_number_stays_where_it_is():
    q, k, v, g = _inputs((2,), 70, 70)
    q[1, 3, 0] = np.nan
    y, _ = kernel.attention(q, k, v, scale=0.5, causal=True)
    expected, _ = plain_attention(q, k, v, scale=0.5, causal=True)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    assert np.isnan(y[1, 3]).all() and np.isnan(y).sum() == 2


def test_strides_do_not_matter():
    rng = np.random.default_rng(3)
    packed = rng.normal(size=(2, 70, 3, 4, 5))
    q, k, v = [packed[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    g = rng.normal(size=(5, 4, 70, 2)).transpose(3, 1, 2, 0)
    _same(*_both(q, k, v, g), 1e-12)
    _same(*_both(q[::-1], k[:, ::2].repeat(2, 1), v[..., ::-1], g), 1e-12)


def test_blocks_and_threads_change_nothing(monkeypatch):
    inputs = _inputs((3, 5), 130, 130, (8, 4), np.float32)
    found, expected = _both(*inputs)
    for cache, least in ((1 << 18, 1), (1 << 14, 1), (1 << 14, 1 << 30), (1, 1)):
        monkeypatch.setattr(kernel, "_CACHE", cache)
        monkeypatch.setattr(kernel, "_SCORES", least)
        _same(_both(*inputs)[0], expected, 2e-5)
    monkeypatch.undo()
    monkeypatch.setattr(kernel, "_SCORES", 1)
    several, _ = _both(*inputs)
    monkeypatch.setattr(team, "threads", lambda: 3)
    three, _ = _both(*inputs)
    for a, b, c in zip(found, several, three, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_halves_and_what_sees_everything_go_the_plain_way(dtype):
    inputs = _inputs((2, 3), 40, 50, dtype=dtype)
    found, expected = _both(*inputs, causal=dtype == np.float16)
    _same(found, expected, 1e-2 if dtype == np.float16 else 2e-5)


def test_what_comes_after_a_query_is_not_computed(monkeypatch):
    products = []
    sums = exponentials.row_sums
    monkeypatch.setattr(exponentials, "row_sums", lambda e: products.append(e.shape[2] * e.shape[3]) or sums(e))
    q, k, v, _ = _inputs((1,), 256, 256)
    kernel.attention(q, k, v, scale=1.0, causal=True)
    assert 0.5 * 256 * 256 < sum(products) < 0.6 * 256 * 256


# ------------------------------------------------------------------------------------------------------ the function
def test_the_function_takes_the_kernel_where_it_can(monkeypatch):
    calls = []
    plain = kernel.attention
    monkeypatch.setattr(
        minidl.backend.get_backend("cpu"), "attention", lambda *xs, **how: calls.append(how) or plain(*xs, **how)
    )
    q, k, v, _ = [minidl.tensor(x) for x in _inputs((2, 3), 4, 4)]
    y = F.scaled_dot_product_attention(q, k, v)
    assert calls == [{"scale": 1 / 3**0.5, "causal": False}]
    zero = minidl.zeros(4, 4, dtype=minidl.float64)
    np.testing.assert_allclose(F.scaled_dot_product_attention(q, k, v, zero).array, y.array, rtol=1e-12)
    np.testing.assert_allclose(F.scaled_dot_product_attention(q, k[:1], v).array[0], y.array[0], rtol=1e-12)
    F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
    assert len(calls) == 1
    F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=2)
    assert calls[1] == {"scale": 2, "causal": True}


def test_the_way_back_agrees_with_the_composition_to_second_order():
    for causal in (False, True):
        leaves = [minidl.tensor(x, requires_grad=True) for x in _inputs((2, 3), 4, 4)[:3]]
        mask = minidl.ones(4, 4, dtype=minidl.bool)
        mask = mask.tril() if causal else mask
        found = []
        for how in ({"is_causal": causal}, {"attn_mask": mask}):
            y = F.scaled_dot_product_attention(*leaves, **how)
            first = minidl.autograd.grad((y * y * y).sum(), leaves, create_graph=True)
            second = minidl.autograd.grad(sum([(d * d).sum() for d in first]), leaves)
            found.append([d.detach().array for d in (*first, *second)])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
