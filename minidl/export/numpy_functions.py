"""The functions that a NumPy script carries with it, where its model needs them: plain and short, to be read.

They are ordinary functions, whose source is copied; so they may use `np`, `math` and each other, and nothing else.
"""

from __future__ import annotations

import inspect
import math

import numpy as np


def sigmoid(x):
    """1 / (1 + e^-x), without overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def erf(x):
    """The error function, which NumPy does not have."""
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


def erfinv(x):
    """The number whose erf is x: from the approximation of Winitzki (2008), by Newton's method."""
    a = np.abs(x.astype(np.float64))
    with np.errstate(all="ignore"):
        bend = np.log1p(-np.minimum(a, 1 - 2.0**-53) * a)
        half = 2 / (math.pi * 0.147) + bend / 2
        y = np.sqrt(np.sqrt(half * half - bend / 0.147) - half)
        for _ in range(4):
            y = y - (erf(y) - a) * np.exp(y * y) * math.sqrt(math.pi) / 2
    return np.copysign(np.where(a == 1, np.inf, np.where(a > 1, np.nan, y)), x).astype(x.dtype)


def lgamma(x):
    """log |gamma(x)|, which is infinite at 0, -1, -2 ..."""

    def one(v):
        return math.inf if v <= 0 and v == math.floor(v) else math.lgamma(v)

    return np.vectorize(one, otypes=[np.float64])(x).astype(x.dtype)


def polygamma(x, n):
    """The n-th derivative of digamma: recurrence to where the series of Euler and Maclaurin holds."""

    def one(v):
        if v != v or v <= 0 and v == math.floor(v) or v == math.inf:
            return math.nan if v != v else (0.0 if n else v) if v > 0 else math.inf if n % 2 else math.nan
        if v < 0.5 and n == 0:
            return one(1 - v) - math.pi / math.tan(math.pi * (v - round(v)))
        y, s = 0.0, n + 1
        while v < 10:
            y, v = y + v ** float(-s), v + 1
        y += (v ** (1.0 - s) / (s - 1) if n else -math.log(v)) + 0.5 * v ** float(-s)
        for k, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6), 1):
            y += b / math.factorial(2 * k) * math.prod(range(s, s + 2 * k - 1)) * v ** (1.0 - s - 2 * k)
        return (-1) ** s * math.factorial(n) * y

    return np.vectorize(one, otypes=[np.float64])(x).astype(x.dtype)


def symmetric(x):
    """The symmetric part of matrices."""
    return (x + np.swapaxes(x, -1, -2)) * 0.5


def ordered(x, axis, descending, count):
    """Where the `count` smallest (or largest) along an axis are, in order; of equal ones the first comes first."""
    if descending:
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    return order[(slice(None),) * axis + (slice(count),)]


def softmax(x, axis):
    """e^x, divided by its sum along an axis."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x, axis):
    """The logarithm of softmax."""
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def batch_norm(x, weight, bias, mean, var, eps):
    """(x - mean) / sqrt(var + eps) * weight + bias, each with one number a channel."""
    scale = 1 / np.sqrt(var + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (-1,) + (1,) * (x.ndim - 2)
    return x * scale.reshape(shape) + shift.reshape(shape)


def layer_norm(x, weight, bias, axis, eps, center):
    """x with mean 0 (if center) and variance 1 over the axes, times weight, plus bias; and the two that it had."""
    mean = x.mean(axis=axis, keepdims=True) if center else np.zeros((), x.dtype)
    var = ((x - mean) ** 2).mean(axis=axis, keepdims=True)
    y = (x - mean) / np.sqrt(var + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, var


def conv2d(x, w, b, stride, padding, dilation, groups):
    """Convolution: for each place (k, l) in the kernel, the pixels that it meets times w[:, :, k, l]; and their sum."""
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    (n, c), (f, _, height, width) = x.shape[:2], w.shape
    p = (x.shape[2] - dilation[0] * (height - 1) - 1) // stride[0] + 1
    q = (x.shape[3] - dilation[1] * (width - 1) - 1) // stride[1] + 1
    y = np.zeros((n, groups, f // groups, p * q), x.dtype)
    for k in range(height):
        for l in range(width):
            top, left = k * dilation[0], l * dilation[1]
            met = x[
                :, :, top : top + stride[0] * (p - 1) + 1 : stride[0], left : left + stride[1] * (q - 1) + 1 : stride[1]
            ]
            y += w[:, :, k, l].reshape(groups, f // groups, -1) @ met.reshape(n, groups, c // groups, p * q)
    y = y.reshape(n, f, p, q)
    return y if b is None else y + b.reshape(-1, 1, 1)


def conv_transpose2d(x, w, stride, padding, dilation, groups, shape):
    """Transposed convolution: each pixel times w[:, :, k, l] is added where the kernel's place (k, l) would meet it."""
    (n, f, p, q), (_, c, height, width) = x.shape, w.shape
    y = np.zeros((n, groups * c, shape[2] + 2 * padding[0], shape[3] + 2 * padding[1]), x.dtype)
    for k in range(height):
        for l in range(width):
            top, left = k * dilation[0], l * dilation[1]
            part = w[:, :, k, l].reshape(groups, f // groups, c).swapaxes(1, 2) @ x.reshape(
                n, groups, f // groups, p * q
            )
            rows, columns = (
                slice(top, top + stride[0] * (p - 1) + 1, stride[0]),
                slice(left, left + stride[1] * (q - 1) + 1, stride[1]),
            )
            y[:, :, rows, columns] += part.reshape(n, groups * c, p, q)
    return y[:, :, padding[0] : padding[0] + shape[2], padding[1] : padding[1] + shape[3]]


def windows(x, kernel, stride, dilation, width, value):
    """For each place in a pooling window, the (padded) pixels at that place."""
    x = np.pad(x, ((0, 0), (0, 0), *width), constant_values=value)
    p, q = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]  # noqa: B905
    for k in range(kernel[0]):
        for l in range(kernel[1]):
            top, left = k * dilation[0], l * dilation[1]
            yield x[
                :, :, top : top + stride[0] * (p - 1) + 1 : stride[0], left : left + stride[1] * (q - 1) + 1 : stride[1]
            ]


def max_pool2d(x, kernel, stride, dilation, width):
    """The largest value of each window."""
    return np.stack(list(windows(x, kernel, stride, dilation, width, -np.inf))).max(axis=0)


def max_pool2d_place(x, kernel, stride, dilation, width):
    """The place of the largest value in each window."""
    return np.stack(list(windows(x, kernel, stride, dilation, width, -np.inf))).argmax(axis=0)


def window_sum(x, kernel, stride, width):
    """The sum of each window."""
    return sum(windows(x, kernel, stride, (1, 1), width, 0))


def lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, reverse):
    """The outputs (T, N, H) of an LSTM for x (T, N, D), and its last states h and c."""
    bias = 0 if b_ih is None else b_ih + b_hh
    y = np.zeros((len(x), len(h), h.shape[1]), x.dtype)
    for t in range(len(x))[:: -1 if reverse else 1]:
        i, f, g, o = np.split(x[t] @ w_ih.T + h @ w_hh.T + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = y[t] = sigmoid(o) * np.tanh(c)
    return y, h, c


def gru(x, h, w_ih, w_hh, b_ih, b_hh, reverse):
    """The outputs (T, N, H) of a GRU for x (T, N, D), and its last state."""
    y = np.zeros((len(x), len(h), h.shape[1]), x.dtype)
    for t in range(len(x))[:: -1 if reverse else 1]:
        x_r, x_z, x_n = np.split(x[t] @ w_ih.T + (0 if b_ih is None else b_ih), 3, axis=1)
        h_r, h_z, h_n = np.split(h @ w_hh.T + (0 if b_hh is None else b_hh), 3, axis=1)
        z = sigmoid(x_z + h_z)
        h = y[t] = (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h
    return y, h


def rnn(x, h, w_ih, w_hh, b_ih, b_hh, relu, reverse):
    """The outputs (T, N, H) of a plain recurrent network for x (T, N, D), and its last state."""
    bias = 0 if b_ih is None else b_ih + b_hh
    y = np.zeros((len(x), len(h), h.shape[1]), x.dtype)
    for t in range(len(x))[:: -1 if reverse else 1]:
        a = x[t] @ w_ih.T + h @ w_hh.T + bias
        h = y[t] = np.maximum(a, 0) if relu else np.tanh(a)
    return y, h


def with_items(x, index, value):
    """A copy of x in which x[index] = value."""
    x = x.copy()
    x[index] = value
    return x


def index_add(g, index, shape):
    """Zeros of a shape, to which g is added at [index]."""
    y = np.zeros(shape, g.dtype)
    np.add.at(y, index, g)
    return y


def scatter_add(g, index, axis, size):
    """Zeros of `size` along the axis, to which g is added at the positions `index`."""
    axis %= g.ndim
    y = np.zeros(g.shape[:axis] + (size,) + g.shape[axis + 1 :], g.dtype)
    places = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    places[axis] = index
    np.add.at(y, tuple(places), g)
    return y


NEEDS = dict.fromkeys(("max_pool2d", "max_pool2d_place", "window_sum"), ("windows",))


def source(names: set[str]) -> str:
    """The functions of these names and what they need, in the order of this file."""
    wanted = names | {n for name in names for n in NEEDS.get(name, ())}
    kept = [f for n, f in globals().items() if n in wanted and inspect.isfunction(f)]
    return "\n\n".join(inspect.getsource(f).replace("  # noqa: B905", "") for f in kept)
