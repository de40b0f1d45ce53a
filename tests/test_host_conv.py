"""Convolution on the CPU: every method against the plain definition, and the choice between them."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.backend import DEFINITIONS
from minidl.backend.host import bands, columns, conv, team, winograd
from minidl.backend.host.window import Window, copy, product, window

ALONE = 10**9  # more images than there are: one thread


@st.composite
def convolutions(draw, groups=(1, 2, 3), plain=False, kernel=None):
    """Arrays x, w and the options of a convolution that has outputs."""
    n, g = draw(st.integers(1, 5)), draw(st.sampled_from(groups))
    c, f = g * draw(st.integers(1, 3)), g * draw(st.integers(1, 3))
    kernel = kernel or (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    stride, dilation = ((1, 1), (1, 1)) if plain else (draw(pair), draw(pair))
    padding = draw(st.tuples(*[st.integers(0, 5 if kernel == (3, 3) else 3)] * 2))  # with tiles of padding alone
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
    "forward": [columns.forward, winograd.forward],
    "input": [columns.input_grad, bands.input_grad],
    "weight": [columns.weight_grad, winograd.weight_grad],
}.values()


def suits(method, w: Window) -> bool:
    if method.__module__.endswith("winograd"):
        return winograd.suits(w)
    return method.__module__.endswith("columns") or w.groups == 1


TILED = convolutions(groups=(1,), plain=True, kernel=(3, 3))  # all methods suit them


@settings(max_examples=150, deadline=None)
@given(st.one_of(convolutions(), TILED), st.sampled_from([1, ALONE]), st.sampled_from([1, 3000, 20_000, 1 << 21]))
def test_every_method_gives_what_the_definition_gives(arrays, least, cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "CACHE", cache)  # rows, then images in several blocks
        compare_methods(*arrays, least)


def compare_methods(x, w, b, how, least):
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


@settings(max_examples=60, deadline=None)
@given(TILED)
def test_the_input_gradient_by_tiles(arrays):
    x, w, _, how = arrays
    sizes = window(x.shape, w.shape, **how)
    if conv._turned(sizes) is None:
        assert max(how["padding"]) >= 3
        return
    g = np.random.default_rng(1).standard_normal((len(x), len(w), *sizes.out)).astype(x.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "forward_method", lambda *_: (winograd.forward, 1))
        found = conv._as_convolution(g, w, sizes, 1)
    check(found, DEFINITIONS["conv2d_input_grad"](g, w, shape=x.shape, **how))


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


@pytest.mark.parametrize("n, c, f", [(0, 2, 3), (2, 0, 3), (0, 0, 0), (0, 128, 128)])
def test_no_images_or_channels(n, c, f):
    x, w, how = np.ones((n, c, 6, 6)), np.ones((f, c, 3, 3)), {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    y = conv.conv2d(x, w, np.ones(f), **how, groups=1)
    np.testing.assert_array_equal(y, np.ones((n, f, 6, 6)))
    assert conv.conv2d_input_grad(y, w, **how, groups=1, shape=x.shape).shape == x.shape
    assert conv.conv2d_weight_grad(y, x, **how, groups=1, shape=w.shape).shape == w.shape


@pytest.mark.parametrize("cache", [4000, 40_000])
def test_images_in_several_blocks(monkeypatch, cache):
    for method in (columns, bands, winograd):
        monkeypatch.setattr(method, "CACHE", cache)
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
    tiles = method.__module__.endswith("winograd")
    kernel, stride = ((3, 3), (1, 1)) if tiles else ((3, 2), (1, 2))
    x, w, b = random.standard_normal((4, 2, 6, 7)), random.standard_normal((3, 2, *kernel)), random.standard_normal(3)
    sizes = window(x.shape, w.shape, stride, (1, 0), (1, 1), 1)
    g = random.standard_normal((4, 3, *sizes.out))
    given = {"forward": (x, w, b), "input_grad": (g, w), "weight_grad": (g, x)}[method.__name__]
    expected = method(*given, sizes, 1)
    poison()
    np.testing.assert_array_equal(method(*given, sizes, 1), expected)


BY_COLUMNS, BY_TILES = (64, 16, 16, 32), (32, 128, 8, 96)  # images, channels, pixels, kernels
BOTH = pytest.mark.parametrize("shape", [BY_COLUMNS, BY_TILES], ids=["columns", "tiles"])
PADDED = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}


def arrays_of(shape, dtype=np.float64):
    """Images and kernels, for which the method that is meant is chosen."""
    n, c, pixels, f = shape
    random, method = np.random.default_rng(0), columns if shape == BY_COLUMNS else winograd
    x, w = random.standard_normal((n, c, pixels, pixels), dtype), random.standard_normal((f, c, 3, 3), dtype)
    made = window(x.shape, w.shape, **PADDED)
    assert conv.forward_method(made)[0] is method.forward and conv.weight_method(made)[0] is method.weight_grad
    return x, w


@BOTH
def test_two_threads_of_a_program_disturb_each_other_in_nothing(shape):
    how, (x, w) = PADDED, arrays_of(shape)
    cases = [(x[::4] * k, w) for k in range(1, 5)]
    expected = [conv.conv2d(x, w, **how) for x, w in cases]
    found: dict[int, list] = {}

    def run(number):
        found[number] = [conv.conv2d(*cases[number], **how) for _ in range(10)]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, results in found.items():
        for y in results:
            np.testing.assert_allclose(y, expected[number], rtol=1e-11, atol=1e-11)


@BOTH
def test_the_same_call_gives_the_same_bits(shape):
    how, (x, w) = PADDED, arrays_of(shape, np.float32)
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
    lenet, wide = sizes(64, 6, 14, 16, 5), sizes(128, 32, 16, 64, 3, padding=1)
    assert conv.input_method(lenet)[0] is bands.input_grad  # see benchmarks/convolutions.py
    assert conv.forward_method(wide)[0] is columns.forward
    assert conv.input_method(wide)[0] is conv._as_convolution
    assert conv.weight_method(wide)[0] is columns.weight_grad
    assert conv.forward_method(sizes(8, 4, 32, 4, 3, groups=4))[0] is columns.forward
    assert conv.forward_method(sizes(8, 16, 32, 16, 1))[0] is columns.pointwise
    assert conv.input_method(sizes(128, 32, 32, 64, 3, padding=1, stride=2))[0] is columns.input_grad


VGG = {  # channels, pixels, kernels: whether its convolution, and the gradients of its input and kernels, are by tiles
    (3, 32, 32): (False, False, False),
    (32, 32, 32): (False, False, False),
    (32, 16, 64): (False, False, False),
    (64, 16, 64): (False, False, False),  # the gain on one thread is lost on two
    (64, 8, 128): (True, True, True),
    (128, 8, 128): (True, True, True),
}


@pytest.mark.parametrize("layer", VGG, ids=str)
def test_tiles_where_they_gain(layer):
    made = sizes(128, *layer, 3, padding=1)
    turned = conv.input_method(made)[0] is conv._as_convolution
    by_tiles = turned and conv.forward_method(conv._turned(made))[0] is winograd.forward
    found = conv.forward_method(made)[0] is winograd.forward, by_tiles
    assert (*found, conv.weight_method(made)[0] is winograd.weight_grad) == VGG[layer]


@pytest.mark.parametrize("other", [{"stride": 2}, {"groups": 2}, {"kernel": 5}, {"kernel": 1}, {"n": 1}])
def test_tiles_for_nothing_else(other):
    made = sizes(**{"n": 128, "c": 256, "pixels": 8, "f": 256, "kernel": 3, "padding": 1, **other})
    assert conv.forward_method(made)[0] is not winograd.forward
    assert conv.weight_method(made)[0] is not winograd.weight_grad
    assert winograd.suits(made) == ("n" in other)
    spread = window((128, 256, 8, 8), (256, 256, 3, 3), (1, 1), (2, 2), (2, 1), 1)
    assert not winograd.suits(spread)


def test_tiles_round_as_columns_do():
    x, w = arrays_of(BY_TILES)
    made, y = window(x.shape, w.shape, **PADDED), conv.conv2d(x, w, **PADDED)
    gw = conv.conv2d_weight_grad(y, x, shape=w.shape, **PADDED)
    short = [a.astype(np.float32) for a in (x, w, y)]
    for methods, exact, arrays in ((FORWARD, y, (*short[:2], None)), (WEIGHT, gw, (short[2], short[0]))):
        by_columns, by_tiles = [abs(method(*arrays, made, ALONE) - exact).max() for method in methods]
        assert by_tiles < 2 * by_columns < 1e-5 * abs(exact).max()


@pytest.mark.parametrize("dtype, chosen", [(np.float16, False), (np.float32, True), (np.float64, True)])
def test_tiles_need_digits(monkeypatch, dtype, chosen):
    made, asked, choose = [], [], conv.input_method

    class Tiles(winograd._Tiles):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(winograd, "_Tiles", Tiles)
    monkeypatch.setattr(conv, "input_method", lambda w, tiles: (asked.append(tiles), choose(w, tiles))[1])
    for cost in ("forward_cost", "weight_cost"):
        monkeypatch.setattr(winograd, cost, lambda _: 0.0)
    x, w, y = np.ones((3, 5, 7, 11), dtype), np.ones((2, 5, 3, 3), dtype), np.ones((3, 2, 7, 11), dtype)
    for call in (
        lambda: conv.conv2d(x, w, **PADDED),
        lambda: conv.conv2d_input_grad(y, w, shape=x.shape, **PADDED),
        lambda: conv.conv2d_weight_grad(y, x, shape=w.shape, **PADDED),
    ):
        made.clear()
        assert call().dtype == dtype and bool(made) == chosen
    assert asked == [chosen]


def test_what_tiles_gain_decides_on_the_input_gradient():
    made = sizes(64, 64, 4, 256, 3, padding=1)
    assert conv.input_method(made)[0] is conv._as_convolution
    assert conv.input_method(made, False)[0] is columns.input_grad


def test_tiles_where_columns_would_be_huge():
    made = sizes(1, 128, 128, 128, 3, padding=1)
    assert columns.size(made) > conv.HUGE
    assert conv.forward_method(made)[0] is winograd.forward
    assert conv.forward_method(made, False)[0] is conv.PLAIN["conv2d"]
    assert conv.input_method(made)[0] is conv._as_convolution
    assert conv.input_method(made, False)[0] is conv.PLAIN["conv2d_input_grad"]


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
    assert conv.forward_method(sizes(128, 128, 8, 128, 3, padding=1))[1] == pytest.approx(5, abs=1)
    assert conv.forward_method(sizes(16, 1, 8, 4, 3))[1] > 16


@pytest.mark.parametrize("cost", [columns.forward_cost, columns.pointwise_cost, columns.input_cost,
                                  columns.weight_cost, bands.input_cost, winograd.forward_cost,
                                  winograd.weight_cost])  # fmt: skip
def test_costs_grow_with_the_work(cost):
    small = sizes(32, 8, 16, 16, 3)
    for more in (dataclasses.replace(small, f=64), dataclasses.replace(small, c=32), sizes(32, 8, 32, 16, 3)):
        assert cost(more) > 1.5 * cost(small)
    assert 0.5 * cost(small) < cost(dataclasses.replace(small, n=256)) <= 1.01 * cost(small)


def test_costs_of_the_parts():
    assert product(6, 25, 1000) / (6 * 25) > 1.8 * product(512, 512, 1000) / (512 * 512)  # thin ones are slow
    assert copy(10, 100) < copy(1000, 1)


@BOTH
def test_one_thread_and_two_give_the_same_but_for_rounding(monkeypatch, shape):
    how, (x, w) = PADDED, arrays_of(shape)
    y = conv.conv2d(x, w, **how)
    monkeypatch.setattr(team, "threads", lambda: 3)
    check(conv.conv2d(x, w, **how), y)
    g = conv.conv2d_weight_grad(y, x, shape=w.shape, **how)
    monkeypatch.setattr(team, "threads", lambda: 1)
    check(conv.conv2d_weight_grad(y, x, shape=w.shape, **how), g)
