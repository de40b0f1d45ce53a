"""Convolution on the CPU: every method against the plain definition, and the choice between them."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.backend import DEFINITIONS
from minidl.backend.host import bands, columns, conv, team
from minidl.backend.host.window import Window, copy, product, window

ALONE = 10**9  # more images than there are: one thread


@st.composite
def convolutions(draw, groups=(1, 2, 3), plain=False):
    """Arrays x, w and the options of a convolution that has outputs."""
    n, g = draw(st.integers(1, 5)), draw(st.sampled_from(groups))
    c, f = g * draw(st.integers(1, 3)), g * draw(st.integers(1, 3))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    stride, dilation = ((1, 1), (1, 1)) if plain else (draw(pair), draw(pair))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for d, k, p in zip(dilation, kernel, padding, strict=True)]
    size = [m + draw(st.integers(0, 6)) for m in least]
    random, dtype = np.random.default_rng(draw(st.integers(0, 99))), draw(st.sampled_from([np.float64, np.float32]))
    x, w = random.standard_normal((n, c, *size)), random.standard_normal((f, c // g, *kernel))
    if draw(st.booleans()):  # other strides in memory, none of them contiguous
        x = np.repeat(x.transpose(1, 3, 2, 0), 2, axis=1)[:, ::2].transpose(3, 0, 2, 1)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": g}
    return x.astype(dtype, order="K"), w.astype(dtype), random.standard_normal(f).astype(dtype), how


def check(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, **({"rtol": 1e-9, "atol": 1e-9} if found.dtype == np.float64
                                                   else {"rtol": 1e-3, "atol": 1e-4}))  # fmt: skip


FORWARD, INPUT, WEIGHT = {
    "forward": [columns.forward],
    "input": [columns.input_grad, bands.input_grad],
    "weight": [columns.weight_grad],
}.values()


def suits(method, w: Window) -> bool:
    return method.__module__.endswith("columns") or w.groups == 1


@settings(max_examples=150, deadline=None)
@given(convolutions(), st.sampled_from([1, ALONE]))
def test_every_method_gives_what_the_definition_gives(arrays, least):
    x, w, b, how = arrays
    sizes = window(x.shape, w.shape, **how)
    y = DEFINITIONS["conv2d"](x, w, b, **how)
    g = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    for method in FORWARD:
        if suits(method, sizes):
            check(method(x, w, b, sizes, least), y)
            check(method(x, w, None, sizes, least), DEFINITIONS["conv2d"](x, w, **how))
    for method in INPUT:
        if suits(method, sizes):
            check(method(g, w, sizes, least), DEFINITIONS["conv2d_input_grad"](g, w, shape=x.shape, **how))
    for method in WEIGHT:
        if suits(method, sizes):
            check(method(g, x, sizes, least), DEFINITIONS["conv2d_weight_grad"](g, x, shape=w.shape, **how))


@settings(max_examples=60, deadline=None)
@given(convolutions(plain=True))
def test_the_input_gradient_as_a_convolution(arrays):
    x, w, _, how = arrays
    sizes = window(x.shape, w.shape, **how)
    if conv._turned(sizes) is None:  # padded by more than the kernel reaches
        assert max(how["padding"]) >= min(w.shape[2:])
        return
    g = np.random.default_rng(1).standard_normal((len(x), len(w), *sizes.out)).astype(x.dtype)
    expected = DEFINITIONS["conv2d_input_grad"](g, w, shape=x.shape, **how)
    check(conv._as_convolution(g, w, sizes, 1), expected)


@pytest.mark.parametrize("groups", [1, 2])
def test_kernels_of_one_pixel(groups):
    random = np.random.default_rng(0)
    x, w, b = random.standard_normal((3, 4, 5, 6)), random.standard_normal((8, 4 // groups, 1, 1)), np.arange(8.0)
    how = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": groups}
    sizes = window(x.shape, w.shape, **how)
    assert conv.forward_method(sizes)[0] is columns.pointwise
    check(columns.pointwise(x, w, b, sizes, 1), DEFINITIONS["conv2d"](x, w, b, **how))
    check(conv.conv2d(x.transpose(0, 1, 3, 2), w, None, **how),
          DEFINITIONS["conv2d"](x.transpose(0, 1, 3, 2), w, None, **how))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_the_kernels_give_what_the_definitions_give(arrays):
    x, w, b, how = arrays
    y = conv.conv2d(x, w, b, **how)
    check(y, DEFINITIONS["conv2d"](x, w, b, **how))
    g = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    given = [a.copy() for a in (x, w, b, g)]
    check(conv.conv2d_input_grad(g, w, shape=x.shape, **how),
          DEFINITIONS["conv2d_input_grad"](g, w, shape=x.shape, **how))  # fmt: skip
    check(conv.conv2d_weight_grad(g, x, shape=w.shape, **how),
          DEFINITIONS["conv2d_weight_grad"](g, x, shape=w.shape, **how))  # fmt: skip
    for before, now in zip(given, (x, w, b, g), strict=True):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("n, c, f", [(0, 2, 3), (2, 0, 3), (0, 0, 0)])
def test_no_images_or_channels(n, c, f):
    x, w, how = np.ones((n, c, 6, 6)), np.ones((f, c, 3, 3)), {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    y = conv.conv2d(x, w, np.ones(f), **how, groups=1)
    np.testing.assert_array_equal(y, np.ones((n, f, 6, 6)))
    assert conv.conv2d_input_grad(y, w, **how, groups=1, shape=x.shape).shape == x.shape
    assert conv.conv2d_weight_grad(y, x, **how, groups=1, shape=w.shape).shape == w.shape


def test_images_in_several_blocks(monkeypatch):
    monkeypatch.setattr(columns, "CACHE", 4000)
    monkeypatch.setattr(bands, "CACHE", 4000)
    random = np.random.default_rng(0)
    x, w = random.standard_normal((7, 2, 9, 8)), random.standard_normal((3, 2, 3, 3))
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    sizes = window(x.shape, w.shape, **how)
    g = random.standard_normal((7, 3, 9, 8))
    for least in (1, ALONE):
        for method in FORWARD:
            check(method(x, w, None, sizes, least), DEFINITIONS["conv2d"](x, w, **how))
        for method in INPUT:
            check(method(g, w, sizes, least), DEFINITIONS["conv2d_input_grad"](g, w, shape=x.shape, **how))
        for method in WEIGHT:
            check(method(g, x, sizes, least), DEFINITIONS["conv2d_weight_grad"](g, x, shape=w.shape, **how))


@pytest.mark.parametrize(
    "method", [*FORWARD, *INPUT, *WEIGHT], ids=lambda m: f"{m.__module__.split('.')[-1]}-{m.__name__}"
)
def test_no_result_depends_on_what_fresh_memory_holds(poison, method):
    random = np.random.default_rng(0)
    x, w, b = random.standard_normal((4, 2, 6, 7)), random.standard_normal((3, 2, 3, 2)), random.standard_normal(3)
    sizes = window(x.shape, w.shape, (1, 2), (1, 0), (1, 1), 1)
    g = random.standard_normal((4, 3, *sizes.out))
    given = {"forward": (x, w, b), "input_grad": (g, w), "weight_grad": (g, x)}[method.__name__]
    expected = method(*given, sizes, 1)
    poison()
    np.testing.assert_array_equal(method(*given, sizes, 1), expected)


def test_two_threads_of_a_program_disturb_each_other_in_nothing():
    random = np.random.default_rng(0)
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    cases = [(random.standard_normal((16, 8, 12, 12)), random.standard_normal((16, 8, 3, 3))) for _ in range(4)]
    expected = [conv.conv2d(x, w, **how) for x, w in cases]
    found: dict[int, list] = {}

    def run(number):
        found[number] = [conv.conv2d(*cases[number], **how) for _ in range(20)]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, results in found.items():
        for y in results:
            np.testing.assert_allclose(y, expected[number], rtol=1e-12, atol=1e-12)


def test_the_same_call_gives_the_same_bits():
    random = np.random.default_rng(0)
    x, w = random.standard_normal((64, 16, 16, 16), np.float32), random.standard_normal((32, 16, 3, 3), np.float32)
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    y = conv.conv2d(x, w, **how)
    for _ in range(3):
        np.testing.assert_array_equal(conv.conv2d(x, w, **how), y)
        np.testing.assert_array_equal(conv.conv2d_weight_grad(y, x, shape=w.shape, **how),
                                      conv.conv2d_weight_grad(y, x, shape=w.shape, **how))  # fmt: skip


def sizes(n, c, pixels, f, kernel, padding=0, stride=1, groups=1):
    return window(
        (n, c, pixels, pixels), (f, c // groups, kernel, kernel), (stride,) * 2, (padding,) * 2, (1, 1), groups
    )


def test_the_choice_of_a_method():
    lenet, wide = sizes(64, 6, 14, 16, 5), sizes(128, 64, 16, 64, 3, padding=1)
    assert conv.input_method(lenet)[0] is bands.input_grad  # see benchmarks/convolutions.py
    assert conv.forward_method(wide)[0] is columns.forward
    assert conv.input_method(wide)[0] is conv._as_convolution
    assert conv.weight_method(wide)[0] is columns.weight_grad
    assert conv.forward_method(sizes(8, 4, 32, 4, 3, groups=4))[0] is columns.forward
    assert conv.forward_method(sizes(8, 16, 32, 16, 1))[0] is columns.pointwise
    assert conv.input_method(sizes(128, 32, 32, 64, 3, padding=1, stride=2))[0] is columns.input_grad


def test_columns_that_would_be_huge_are_not_made():
    random, how = np.random.default_rng(0), {"stride": (1, 2), "padding": (3, 2), "dilation": (1, 1), "groups": 2}
    x, w = random.standard_normal((1, 8, 200, 200), np.float32), random.standard_normal((2, 4, 21, 20), np.float32)
    made = window(x.shape, w.shape, **how)
    assert columns.size(made) > conv.HUGE
    choices = [choose(made)[0] for choose in (conv.forward_method, conv.input_method, conv.weight_method)]
    assert choices == list(conv.PLAIN.values())
    y = conv.conv2d(x, w, **how)
    np.testing.assert_array_equal(y, DEFINITIONS["conv2d"](x, w, **how))
    np.testing.assert_array_equal(conv.conv2d_input_grad(y, w, shape=x.shape, **how),
                                  DEFINITIONS["conv2d_input_grad"](y, w, shape=x.shape, **how))  # fmt: skip
    np.testing.assert_array_equal(conv.conv2d_weight_grad(y, x, shape=w.shape, **how),
                                  DEFINITIONS["conv2d_weight_grad"](y, x, shape=w.shape, **how))  # fmt: skip


def test_threads_are_begun_for_much_work_only():
    assert conv.forward_method(sizes(128, 64, 16, 64, 3, padding=1))[1] == pytest.approx(4, abs=1)
    assert conv.forward_method(sizes(16, 1, 8, 4, 3))[1] > 16


@pytest.mark.parametrize("cost", [columns.forward_cost, columns.pointwise_cost, columns.input_cost,
                                  columns.weight_cost, bands.input_cost])  # fmt: skip
def test_costs_grow_with_the_work(cost):
    small = sizes(32, 8, 16, 16, 3)
    for more in (dataclasses.replace(small, f=64), dataclasses.replace(small, c=32), sizes(32, 8, 32, 16, 3)):
        assert cost(more) > 1.5 * cost(small)
    assert 0.5 * cost(small) < cost(dataclasses.replace(small, n=256)) <= 1.01 * cost(small)


def test_costs_of_the_parts():
    assert product(6, 25, 1000) / (6 * 25) > 1.8 * product(512, 512, 1000) / (512 * 512)  # thin ones are slow
    assert copy(10, 100) < copy(1000, 1)


def test_one_thread_and_two_give_the_same_but_for_rounding(monkeypatch):
    random = np.random.default_rng(0)
    x, w = random.standard_normal((64, 16, 16, 16)), random.standard_normal((32, 16, 3, 3))
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    y = conv.conv2d(x, w, **how)
    monkeypatch.setattr(team, "threads", lambda: 3)
    check(conv.conv2d(x, w, **how), y)
    g = conv.conv2d_weight_grad(y, x, shape=w.shape, **how)
    monkeypatch.setattr(team, "threads", lambda: 1)
    check(conv.conv2d_weight_grad(y, x, shape=w.shape, **how), g)
