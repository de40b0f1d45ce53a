"""Attention on the GPU against its plain definition: shapes, orders of memory, large scores; its launches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from launching import CUDA, counts, down, launches, same, up

from minidl.backend import DEFINITIONS

pytestmark = pytest.mark.cuda


def inputs(lead, queries, keys, features=(3, 2), dtype="float64", size=1.0, seed=0):
    """q, k, v and a gradient of y."""
    rng = np.random.default_rng(seed)
    e, f = features
    shapes = [(queries, e), (keys, e), (keys, f), (queries, f)]
    return [(size * rng.normal(size=(*lead, *shape))).astype(dtype) for shape in shapes]


def compare(arrays, causal, spread=False, scale=0.5, times=1.0):
    """Outputs, weights and gradients of the kernels, and of the definition in double precision."""
    dtype = arrays[0].dtype.name
    q, k, v, g = given = [up(x, spread) for x in arrays]
    y, p = CUDA.attention(q, k, v, scale=scale, causal=causal)
    found = [y, p, *CUDA.attention_grad(g, q, k, v, y, p, scale=scale)]
    for x, kept in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(down(x), kept)
    q, k, v, g = [x.astype(np.float64) for x in arrays]
    y, p = DEFINITIONS["attention"](q, k, v, scale=scale, causal=causal)
    want = [y, p, *DEFINITIONS["attention_grad"](g, q, k, v, y, p, scale=scale)]
    for a, b in zip(found, want, strict=True):
        same(a, b, dtype, times)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_kernels_are_their_definition(dtype, causal):
    leads, sizes = [(), (3,), (2, 3), (2, 1, 2), (0, 2)], [(1, 1), (5, 7), (7, 5), (20, 20), (0, 3)]
    for seed, (lead, (queries, keys)) in enumerate(itertools.product(leads, sizes)):
        compare(inputs(lead, queries, keys, (1 + seed % 4, 3), dtype, seed=seed), causal, seed % 3 == 0)


@pytest.mark.parametrize("causal", [False, True])
def test_large_scores_do_not_overflow(causal):
    for size in (4.0, 30.0):
        q, k, v, g = inputs((2,), 12, 12, size=size, dtype="float32")
        compare([q, k, v / np.float32(size), g / np.float32(size)], causal, times=50)
    q, k, v, g = inputs((2,), 6, 6, (64, 3), dtype="float16", size=80.0)
    assert np.abs(q.astype(np.float64) @ k.swapaxes(1, 2)).max() > np.finfo(np.float16).max
    y, _ = CUDA.attention(up(q), up(k), up(v), scale=0.125, causal=causal)
    assert np.isfinite(down(y)).all()


def test_what_is_not_a_number_stays_where_it_is():
    q, k, v, _ = inputs((2,), 9, 9)
    q[1, 3, 0] = np.nan
    y = down(CUDA.attention(up(q), up(k), up(v), scale=0.5, causal=True)[0])
    assert np.isnan(y[1, 3]).all() and np.isnan(y).sum() == 2


def test_heads_that_lie_side_by_side():
    """As `MultiheadAttention` has them: one matrix of q, k and v."""
    rng = np.random.default_rng(3)
    packed = up(rng.normal(size=(2, 7, 3, 4, 5)))
    q, k, v = [packed[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    y, p = CUDA.attention(q, k, v, scale=0.5, causal=True)
    want = DEFINITIONS["attention"](down(q), down(k), down(v), scale=0.5, causal=True)
    same(y, want[0], "float64")
    same(p, want[1], "float64")


def test_other_types_are_left_to_the_definition():
    q, k, v, _ = inputs((2,), 3, 4)
    y, _ = CUDA.attention(up(q), up(k.astype(np.float32)), up(v), scale=0.5, causal=False)
    same(y, DEFINITIONS["attention"](q, k.astype(np.float32), v, scale=0.5, causal=False)[0], "float64")


@counts
@pytest.mark.parametrize("causal", [False, True])
def test_launches(causal):
    q, k, v, g = map(up, inputs((2, 3), 6, 5, dtype="float32"))
    y, p = CUDA.attention(q, k, v, scale=0.5, causal=causal)
    names = launches(CUDA.attention, q, k, v, scale=0.5, causal=causal)
    assert len(names) == 3 and names[1] == "minidl_attention"
    names = launches(CUDA.attention_grad, g, q, k, v, y, p, scale=0.5)
    assert len(names) == 5 and names[1] == "minidl_attention_grad"
