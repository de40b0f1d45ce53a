"""Properties over random shapes, broadcasts and indices, drawn by Hypothesis: NumPy says what should come out."""

from __future__ import annotations

import numpy as np
from conftest import Where
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

import minidl
from minidl import testing
from minidl.engine import OPS
from minidl.nn import functional as F

settings.register_profile(
    "quick",
    max_examples=60,
    deadline=None,
    derandomize=True,  # the same examples in every run
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("quick")

CPU, CUDA = Where("cpu"), Where("cuda")
places = st.sampled_from([CPU, CUDA])
shapes = hn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
full_shapes = hn.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


def filled(shape, seed=0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).uniform(0.5, 1.5, size=shape))


@given(places, hn.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0))
def test_broadcasting(where, drawn):
    """Any two shapes that NumPy broadcasts: the result, and gradients of the inputs' own shapes."""
    a, b = where.leaf(filled(drawn.input_shapes[0], 1)), where.leaf(filled(drawn.input_shapes[1], 2))
    ha, hb = where.host(a), where.host(b)
    seed = filled(drawn.result_shape, 3)
    for name, expected, da, db in (
        ("add", ha + hb, seed, seed),
        ("subtract", ha - hb, seed, -seed),
        ("multiply", ha * hb, seed * hb, seed * ha),
        ("divide", ha / hb, seed / hb, -seed * ha / hb**2),
    ):
        y = OPS[name](a, b)
        assert y.shape == drawn.result_shape
        np.testing.assert_allclose(where.host(y), expected, rtol=1e-12)
        gradients = minidl.grad(y, (a, b), where.tensor(seed))
        for g, full, x in zip(gradients, (da, db), (ha, hb), strict=True):
            full = np.broadcast_to(full, drawn.result_shape)
            lead = full.ndim - x.ndim
            axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(x.shape) if n == 1)
            assert g.shape == x.shape
            np.testing.assert_allclose(where.host(g), full.sum(axis=axes, keepdims=True).reshape(x.shape), rtol=1e-12)


@given(places, hn.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
def test_where_broadcasts_its_condition(where, drawn):
    c, a, b = drawn.input_shapes
    condition = filled(c, 4) > 1.0
    x, y = where.leaf(filled(a, 1)), where.leaf(filled(b, 2))
    z = minidl.where(where.tensor(condition), x, y)
    np.testing.assert_array_equal(where.host(z), np.where(condition, where.host(x), where.host(y)))
    gx, gy = minidl.grad(z.sum(), (x, y))
    chosen = np.broadcast_to(condition, z.shape)
    assert where.host(gx).sum() == chosen.sum() and where.host(gy).sum() == (~chosen).sum()
    assert gx.shape == a and gy.shape == b


@st.composite
def indexed(draw):
    """A shape and an index that NumPy accepts for it."""
    shape = draw(hn.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    kind = draw(st.sampled_from(["basic", "integers", "mixed", "mask"]))
    if kind == "basic":
        return shape, draw(hn.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "integers":
        return shape, draw(
            hn.integer_array_indices(shape, result_shape=hn.array_shapes(max_dims=2, max_side=3, min_side=0))
        )
    if kind == "mask":
        ndim = draw(st.integers(1, len(shape)))
        return shape, draw(hn.arrays(bool, shape[:ndim]))
    axis = draw(st.integers(0, len(shape) - 1))
    array = draw(hn.arrays(np.int64, draw(st.integers(0, 4)), elements=st.integers(-shape[axis], shape[axis] - 1)))
    before = tuple([draw(st.sampled_from([slice(None), slice(None, None, -1), 0, slice(0, 1)])) for _ in range(axis)])
    return shape, (*before, array)


@given(places, indexed(), st.booleans())
@settings(max_examples=200)
def test_indexing(where, drawn, as_tensors):
    """x[index] and its gradient, against NumPy; repeated integers add up."""
    shape, index = drawn
    values = filled(shape)
    expected = values[index]
    x = where.leaf(values)

    def native(i):
        return where.tensor(i) if as_tensors else where.array(i)

    parts = index if isinstance(index, tuple) else (index,)
    given_index = tuple([native(i) if isinstance(i, np.ndarray) else i for i in parts])
    y = x[given_index if isinstance(index, tuple) else given_index[0]]
    assert y.shape == expected.shape
    np.testing.assert_array_equal(where.host(y), expected)
    seed = filled(expected.shape, 1)
    (g,) = minidl.grad(y, x, where.tensor(seed))
    wanted = np.zeros(shape)
    np.add.at(wanted, index, seed)
    np.testing.assert_allclose(where.host(g), wanted, rtol=1e-12)


@given(places, indexed())
@settings(max_examples=100)
def test_assigning_by_index(where, drawn):
    shape, index = drawn
    if any(isinstance(i, np.ndarray) and i.dtype != bool for i in (index if isinstance(index, tuple) else (index,))):
        index = tuple(
            [i[:1] if isinstance(i, np.ndarray) else i for i in (index if isinstance(index, tuple) else (index,))]
        )
        if any(isinstance(i, np.ndarray) and i.ndim > 1 for i in index):
            return  # which of several values for one place wins is not defined
    values = filled(shape)
    inside = values[index].shape
    x, v = where.leaf(values), where.leaf(filled(inside, 5))
    y = x * 1.0
    y[where.native(index)] = v
    expected = values.copy()
    expected[index] = where.host(v)
    np.testing.assert_array_equal(where.host(y), expected)
    gx, gv = minidl.grad((y * where.tensor(filled(shape, 6))).sum(), (x, v))
    wanted = filled(shape, 6)
    np.testing.assert_array_equal(where.host(gv), wanted[index])
    wanted[index] = 0.0
    np.testing.assert_array_equal(where.host(gx), wanted)


@given(places, shapes, st.data())
def test_reductions(where, shape, data):
    axes = data.draw(
        st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape)) if shape else st.just([])
    )
    keep = data.draw(st.booleans())
    dim = tuple(axes) if axes else None
    values = filled(shape)
    x = where.leaf(values)
    y = x.sum(dim, keep)
    np.testing.assert_allclose(where.host(y), values.sum(axis=dim, keepdims=keep), rtol=1e-12)
    (g,) = minidl.grad(y.sum(), x)
    np.testing.assert_array_equal(where.host(g), np.ones(shape))
    if values.size:
        for name in ("mean", "amax", "amin"):
            numpy_name = {"amax": "max", "amin": "min"}.get(name, name)
            y = getattr(x, name)(dim, keep)
            np.testing.assert_allclose(where.host(y), getattr(values, numpy_name)(axis=dim, keepdims=keep), rtol=1e-12)
            (g,) = minidl.grad(y.sum(), x)
            np.testing.assert_allclose(where.host(g).sum(), y.numel(), rtol=1e-12)


@given(places, shapes, st.randoms(use_true_random=False))
def test_shape_changes_invert(where, shape, random):
    """reshape, permute, flip and transpose move elements and their gradients along, whatever the strides."""
    values = filled(shape)
    x = where.leaf(values)
    order = list(range(len(shape)))
    random.shuffle(order)
    y = x.permute(order)
    np.testing.assert_array_equal(where.host(y), values.transpose(order))
    z = y.reshape(-1).flip(0).reshape(y.shape)
    np.testing.assert_array_equal(where.host(z), values.transpose(order).ravel()[::-1].reshape(y.shape))
    seed = filled(y.shape, 2)
    (g,) = minidl.grad(z, x, where.tensor(seed))
    back = seed.ravel()[::-1].reshape(y.shape).transpose(np.argsort(order) if order else None)
    np.testing.assert_array_equal(where.host(g), back)


@given(places, st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 2), full_shapes)
def test_cat_and_split_invert(where, sizes, axis, shape):
    axis = min(axis, len(shape) - 1)
    parts = [where.leaf(filled((*shape[:axis], n, *shape[axis + 1 :]), k)) for k, n in enumerate(sizes)]
    whole = minidl.cat(parts, axis)
    assert whole.shape[axis] == sum(sizes)
    back = whole.split(sizes, axis)
    for part, again in zip(parts, back, strict=True):
        np.testing.assert_array_equal(where.host(part), where.host(again))
    seeds = [filled(p.shape, 9 + k) for k, p in enumerate(parts)]
    for g, seed in zip(minidl.grad(back, parts, [where.tensor(s) for s in seeds]), seeds, strict=True):
        np.testing.assert_array_equal(where.host(g), seed)


@given(places, hn.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3))
def test_matmul(where, drawn):
    a, b = (where.leaf(filled(s, k)) for k, s in enumerate(drawn.input_shapes))
    y = minidl.matmul(a, b)
    np.testing.assert_allclose(where.host(y), np.matmul(where.host(a), where.host(b)), rtol=1e-12)
    seed = filled(drawn.result_shape, 5)
    ga, gb = minidl.grad(y, (a, b), where.tensor(seed))
    assert ga.shape == a.shape and gb.shape == b.shape
    step = filled(a.shape, 7)
    np.testing.assert_allclose((where.host(ga) * step).sum(), (np.matmul(step, where.host(b)) * seed).sum(), rtol=1e-10)
    step = filled(b.shape, 8)
    np.testing.assert_allclose((where.host(gb) * step).sum(), (np.matmul(where.host(a), step) * seed).sum(), rtol=1e-10)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(places, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), pairs, pairs, pairs, pairs, st.data())
def test_convolution(where, n, groups, per_group, kernel, stride, dilation, extra, data):
    """Any geometry that fits: the two derivative ops are the adjoints of the forward in each of its inputs."""
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = tuple([data.draw(st.integers(0, 2)) for _ in range(2)])
    size = [max(1, s - 2 * p) + e for s, p, e in zip(span, padding, extra, strict=True)]
    x = where.leaf(filled((n, groups * per_group, *size), 1))
    w = where.leaf(filled((groups * 2, per_group, *kernel), 2))
    y = F.conv2d(x, w, None, stride, padding, dilation, groups)
    expected = [(s + 2 * p - v) // t + 1 for s, p, v, t in zip(size, padding, span, stride, strict=True)]
    assert y.shape == (n, groups * 2, *expected)
    seed = where.tensor(filled(y.shape, 3))
    gx, gw = minidl.grad(y, (x, w), seed)
    inner = float((where.host(y) * where.host(seed)).sum())  # <conv(x, w), g> = <x, dx> = <w, dw>
    np.testing.assert_allclose((where.host(gx) * where.host(x)).sum(), inner, rtol=1e-10)
    np.testing.assert_allclose((where.host(gw) * where.host(w)).sum(), inner, rtol=1e-10)


@given(places, pairs, pairs, st.booleans(), st.booleans(), pairs, st.data())
def test_pooling(where, kernel, stride, ceil_mode, count_include_pad, extra, data):
    padding = tuple([data.draw(st.integers(0, k // 2)) for k in kernel])
    size = [k + e for k, e in zip(kernel, extra, strict=True)]
    values = np.random.default_rng(3).permutation(2 * size[0] * size[1]).reshape(1, 2, *size) - 5.0
    x = where.leaf(values)
    y, indices = F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil_mode, return_indices=True)
    flat = values.reshape(1, 2, -1)
    np.testing.assert_array_equal(
        where.host(y), np.take_along_axis(flat, where.host(indices).reshape(1, 2, -1), 2).reshape(y.shape)
    )
    (g,) = minidl.grad(y.sum(), x)
    assert where.host(g).sum() == y.numel()
    z = F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad)
    assert z.shape == y.shape
    if not count_include_pad:
        constant = F.avg_pool2d(minidl.ones_like(x), kernel, stride, padding, ceil_mode, False)
        np.testing.assert_allclose(where.host(constant), 1.0, rtol=1e-12)
    assert (where.host(y) >= where.host(z)).all() or count_include_pad


@given(
    places,
    hn.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=3),
    st.sampled_from(["softmax", "log_softmax", "logsumexp"]),
)
def test_softmax_family(where, shape, name):
    values = filled(shape) * 100
    x = where.leaf(values)
    for dim in range(-len(shape), len(shape)):
        y = where.host(getattr(x, name)(dim))
        shifted = where.host(getattr(x + 1000.0, name)(dim))
        if name == "softmax":
            np.testing.assert_allclose(y.sum(dim), 1.0, rtol=1e-12)
        elif name == "log_softmax":
            np.testing.assert_allclose(np.exp(y).sum(dim), 1.0, rtol=1e-12)
        np.testing.assert_allclose(shifted - (1000.0 if name == "logsumexp" else 0.0), y, rtol=1e-9, atol=1e-11)


@given(st.sampled_from(["exp", "tanh", "sigmoid", "sqrt", "square", "relu", "negative", "log", "sin"]), shapes)
@settings(max_examples=40)
def test_any_shape_through_every_check(name, shape):
    testing.check_op(OPS[name], filled(shape))
