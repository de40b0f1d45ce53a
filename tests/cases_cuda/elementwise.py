"""Twins of elementwise kernels and of the mask of dropout."""

import math

import numpy as np

from minidl.backend import random

from .table import B, twin, wide


@twin("minidl_relu_grad")
def relu_grad(draw):
    shape = draw.shape()
    g, y = draw.normal(*shape), np.maximum(draw.normal(*shape), 0)
    return B.relu_grad(draw.device(g), draw.device(y)), wide(g) * (y > 0)


@twin("minidl_logistic")
def logistic(draw):
    x = draw.normal(*draw.shape(), scale=30)
    return B.logistic(draw.device(x)), 1 / (1 + np.exp(-wide(x)))


@twin("minidl_logistic_grad", "minidl_tanh_grad")
def bounded_gradients(draw):
    shape = draw.shape()
    g, y = draw.normal(*shape), np.tanh(draw.normal(*shape))
    dg, dy = draw.device(g), draw.device(y)
    g, y = wide(g, y)
    return (B.logistic_grad(dg, dy), B.tanh_grad(dg, dy)), (g * y * (1 - y), g * (1 - y * y))


@twin("minidl_gelu")
def gelu(draw):
    x = draw.normal(*draw.shape(), scale=2)
    v = wide(x)
    below = np.vectorize(lambda t: 0.5 * math.erfc(-t / math.sqrt(2)), otypes=[float])(v)
    return B.gelu(draw.device(x)), (v * below, below + v * np.exp(-v * v / 2) / math.sqrt(2 * math.pi))


@twin("minidl_masked")
def masked(draw):
    shape = draw.shape()
    x, mask = draw.normal(*shape), draw.mask(*shape)
    return B.masked(draw.device(x), draw.device(mask), scale=2.5), wide(x) * 2.5 * mask


@twin("minidl_dropout_mask", dtypes=("bool",))
def dropout_mask(draw):
    """The same bits as on the host, from a key of numbers and from one that is in part in device memory."""
    shape, p = draw.shape(), float(draw.rng.choice([0.0, 0.3, 0.5, 0.999, 1.0]))
    seed, number = draw.rng.integers(0, 2**64, 2, dtype=np.uint64)
    start = draw.rng.integers(0, 2**62, 2, dtype=np.uint64)
    key = int(seed), int(number)
    total = [(k + int(s)) % 2**64 for k, s in zip(key, start, strict=True)]
    found = B.dropout_mask(shape, p, key), B.dropout_mask(shape, p, (*key, B.from_host(start)))
    return found, (random.dropout_mask(shape, p, key), random.dropout_mask(shape, p, tuple(total)))
