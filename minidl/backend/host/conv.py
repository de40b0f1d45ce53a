"""Convolution on the CPU: for each size the method that costs least, over the images in as many threads as pay."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from .. import DEFINITIONS
from . import bands, columns, winograd
from .window import Window, window

HUGE = 32 << 20  # bytes of one image's columns for which there would be fresh pages in every call
WORTHWHILE = 1_000_000  # nanoseconds of work for which another thread is begun


def _cheapest(w: Window, methods: dict[Callable, Callable]) -> tuple[Callable, int]:
    """Of the methods, given with their costs for an image, the cheapest, and how many images a thread should have."""
    costs = {method: cost(w) for method, cost in methods.items()}
    method = min(costs, key=costs.__getitem__)
    return method, math.ceil(WORTHWHILE / max(1.0, costs[method]))


def _plain(name: str) -> Callable:
    """The plain definition in the form of a method: a product for each kernel position, and no columns."""

    def method(*given):
        *arrays, w, _ = given
        more = {} if name == "conv2d" else {"shape": w.shape if name == "conv2d_input_grad" else w.w_shape}
        how = {"stride": w.stride, "padding": w.padding, "dilation": w.dilation, "groups": w.groups}
        return DEFINITIONS[name](*arrays, **how, **more)

    return method


PLAIN = {name: _plain(name) for name in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")}


def _of_columns(w: Window, name: str, method: Callable) -> Callable:
    """The method, or where its columns would be huge the plain definition, which costs no less."""
    return PLAIN[name] if columns.size(w) > HUGE else method


def _tiles(*arrays) -> bool:
    """Whether the numbers have digits enough for `winograd`'s sums: float16 has not."""
    return all(x.dtype.char in "fd" for x in arrays)


def _forward_costs(w: Window, tiles: bool) -> dict[Callable, Callable]:
    if w.kernel == w.stride == (1, 1) and w.padding == (0, 0):
        return {columns.pointwise: columns.pointwise_cost}
    methods = {_of_columns(w, "conv2d", columns.forward): columns.forward_cost}
    if tiles and winograd.suits(w):
        methods[winograd.forward] = winograd.forward_cost
    return methods


@functools.lru_cache(1024)
def forward_method(w: Window, tiles: bool = True) -> tuple[Callable, int]:
    """The method for conv2d, and how many images a thread should have; tiles: whether `winograd` may be it."""
    return _cheapest(w, _forward_costs(w, tiles))


@functools.lru_cache(1024)
def input_method(w: Window, tiles: bool = True) -> tuple[Callable, int]:
    """The method for conv2d_input_grad."""
    methods: dict[Callable, Callable] = {_of_columns(w, "conv2d_input_grad", columns.input_grad): columns.input_cost}
    turned, huge = _turned(w), columns.size(w) > HUGE
    if w.groups == 1 and not huge:
        methods[bands.input_grad] = bands.input_cost
    if turned is not None and not (huge and forward_method(turned, tiles)[0] is not winograd.forward):
        methods[_as_convolution] = lambda _: min(cost(turned) for cost in _forward_costs(turned, tiles).values())
    return _cheapest(w, methods)


@functools.lru_cache(1024)
def weight_method(w: Window, tiles: bool = True) -> tuple[Callable, int]:
    """The method for conv2d_weight_grad."""
    methods = {_of_columns(w, "conv2d_weight_grad", columns.weight_grad): columns.weight_cost}
    if tiles and winograd.suits(w):
        methods[winograd.weight_grad] = winograd.weight_cost
    return _cheapest(w, methods)


@functools.lru_cache(1024)
def _turned(w: Window) -> Window | None:
    """The convolution of the outputs' gradients, with the kernels turned around, that gives those of the inputs."""
    down, across = [d * (k - 1) - p for d, k, p in zip(w.dilation, w.kernel, w.padding, strict=True)]
    if w.stride != (1, 1) or min(down, across) < 0:
        return None
    return dataclasses.replace(w, c=w.f, size=w.out, f=w.c, out=w.size, padding=(down, across))


def _as_convolution(g, weight, w: Window, least: int):
    turned = _turned(w)
    assert turned is not None
    weight = weight.reshape(w.groups, w.f // w.groups, -1, *w.kernel).swapaxes(1, 2)[..., ::-1, ::-1]
    return _forward(g, weight.reshape(w.c, -1, *w.kernel), None, turned)


def _forward(x, weight, b, w: Window):
    method, least = forward_method(w, _tiles(x, weight))
    return method(x, weight, b, w, least)


def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    """y = w * x + b; see ops/conv.py."""
    sizes = window(x.shape, w.shape, stride, padding, dilation, groups)
    if x.size and w.size:
        return _forward(x, w, b, sizes)
    y = np.zeros((sizes.n, sizes.f, *sizes.out), dtype=x.dtype)
    return y if b is None else y + b.reshape(-1, 1, 1)


def conv2d_input_grad(g, w, *, stride, padding, dilation, groups, shape):
    """dL/dx; see ops/conv.py."""
    if not (g.size and w.size):
        return np.zeros(shape, dtype=g.dtype)
    sizes = window(shape, w.shape, stride, padding, dilation, groups)
    method, least = input_method(sizes, _tiles(g, w))
    return method(g, w, sizes, least)


def conv2d_weight_grad(g, x, *, stride, padding, dilation, groups, shape):
    """dL/dw; see ops/conv.py."""
    if not (g.size and x.size):
        return np.zeros(shape, dtype=g.dtype)
    sizes = window(x.shape, shape, stride, padding, dilation, groups)
    method, least = weight_method(sizes, _tiles(g, x))
    return method(g, x, sizes, least)
