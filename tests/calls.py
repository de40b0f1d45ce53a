"""Calls that mean the same in PyTorch and here: the generator runs them with PyTorch and stores what comes out.

Every call is a function of a `Library` (its `T` is `torch` or `minidl`, its `F` the functional module) and of tensors.
Inputs are computed from integers alone, so they need not be stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Fixed float64 numbers in (-1.5, 1.5): the hash of splitmix64 (Steele et al., 2014) of their position."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, math.prod(shape) + 1, dtype=np.uint64) + np.uint64(1000 * seed)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)) * 2.0**-53 * 3.0 - 1.5).reshape(shape)


def whole(seed: int, high: int, *shape: int) -> np.ndarray:
    """Fixed int64 numbers in [0, high)."""
    return np.floor((numbers(seed, *shape) / 3.0 + 0.5) * high).astype(np.int64)


@dataclass
class Library:
    """What a call may use: PyTorch's names, and the two things that the libraries do not share."""

    T: SimpleNamespace | object
    F: object
    nn: object
    optim: object
    tensor: Callable  # of a NumPy array
    dropout: Callable  # of x, a mask of 0 and 1 as an array, and the scale
    lstm_step: Callable  # of the gates (4H, B) and the cell state (H, B)


@dataclass
class Call:
    """A function of tensors made from `inputs`; floating ones get gradients unless they are in `fixed`."""

    name: str
    inputs: tuple
    function: Callable
    fixed: tuple[int, ...] = ()
    options: dict = field(default_factory=dict)


CALLS: dict[str, Call] = {}


def call(name: str, *inputs, fixed=()):
    """Enter the decorated function (or the lambda that is passed on) under a name."""

    def enter(function):
        assert name not in CALLS, name
        CALLS[name] = Call(name, inputs, function, tuple(fixed))
        return function

    return enter


def several(prefix: str, functions: dict[str, Callable], *inputs, fixed=()) -> None:
    for label, function in functions.items():
        call(f"{prefix}: {label}", *inputs, fixed=fixed)(function)


TIES = np.array([[1.0, 3.0, 3.0, -2.0], [2.0, 2.0, 2.0, 2.0], [-1.0, -5.0, -1.0, -5.0]])
EDGES = np.array([-2.5, -2.0, -1.5, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.5, 3.5])

several(
    "ties",
    {
        "max": lambda L, x: x.max(),
        "min": lambda L, x: x.min(),
        "max dim": lambda L, x: tuple(x.max(1)),
        "min dim keep": lambda L, x: tuple(L.T.min(x, 0, keepdim=True)),
        "amax": lambda L, x: x.amax(1),
        "amax two": lambda L, x: x.amax((0, 1)),
        "amin": lambda L, x: L.T.amin(x, dim=0, keepdim=True),
        "argmax": lambda L, x: x.argmax(1),
        "argmin all": lambda L, x: x.argmin(),
        "maximum": lambda L, x: L.T.maximum(x, x.flip(1)),
        "minimum": lambda L, x: L.T.minimum(x, x.flip(0)),
        "maximum number": lambda L, x: L.T.max(x, L.tensor(np.array(2.0))),
        "clamp": lambda L, x: x.clamp(-1.0, 2.0),
        "clamp min": lambda L, x: L.T.clamp(x, min=2.0),
        "clamp max": lambda L, x: x.clamp(max=-1.0),
        "clamp crossed": lambda L, x: x.clamp(1.0, 0.0),
        "sort of relu": lambda L, x: (x - 2.0).relu(),
        "abs": lambda L, x: (x - 2.0).abs(),
        "sign": lambda L, x: (x - 2.0).sign() * x,
    },
    TIES,
)
several(
    "clamp by tensors",
    {
        "min": lambda L, x, low, high: L.T.clamp(x, min=low),
        "max": lambda L, x, low, high: L.T.clamp(x, max=high),
        "both": lambda L, x, low, high: L.T.clamp(x, low, high),
    },
    TIES,
    np.array([[1.0, 0.0, 3.0, -3.0]]),
    np.array([[2.0], [2.0], [-1.0]]),
)
several(
    "edges",
    {
        "round": lambda L, x: x.round() * x,
        "floor": lambda L, x: x.floor() * x,
        "ceil": lambda L, x: x.ceil() * x,
        "remainder": lambda L, x: L.T.remainder(x, 1.5),
        "remainder negative": lambda L, x: x % -2.0,
        "floor divide": lambda L, x: x.detach() // 1.5 * x,
        "div floor": lambda L, x: L.T.div(x, -1.5, rounding_mode="floor") * x,
        "div trunc": lambda L, x: L.T.div(x, 1.5, rounding_mode="trunc") * x,
        "square": lambda L, x: x**2,
        "cube": lambda L, x: x**3,
        "power 0": lambda L, x: x**0,
        "power 1": lambda L, x: x**1.0,
        "base": lambda L, x: 2.0**x,
        "tanh": lambda L, x: (10 * x).tanh(),
        "sigmoid": lambda L, x: (20 * x).sigmoid(),
        "log sigmoid": lambda L, x: (10 * x).sigmoid().log(),
        "expm1": lambda L, x: (x * 1e-4).expm1(),
        "log1p": lambda L, x: (x * 1e-4).log1p(),
        "where": lambda L, x: L.T.where(x > 0, x * 2, -x),
        "masked fill": lambda L, x: x.masked_fill(x > 1, 7.0),
        "relu": lambda L, x: L.F.relu(x) + L.T.relu(-x),
    },
    EDGES,
)
call("power of tensors", np.array([0.0, 0.0, 2.0, 0.5]), np.array([0.0, 2.0, 0.0, -1.5]))(lambda L, a, b: a**b)
call("base 0", np.array([0.0, 1.0, 2.0]))(lambda L, x: 0.0**x)
call("reverse", numbers(1, 2, 3))(lambda L, x: (2 - x) / (3 + x * x) + 1 / (x * x + 1) - (5 * x - 1))
call("add with alpha", numbers(1, 2, 3), numbers(2, 3))(
    lambda L, a, b: L.T.add(a, b, alpha=2) - L.T.sub(a, b, alpha=0.5)
)
call("trigonometry", numbers(1, 6))(
    lambda L, x: x.sin() * x.cos() + x.exp() + (x * x + 0.1).sqrt().log2() + x.abs().log10()
)

_STATISTICS: dict[str, Callable] = {
    "sum": lambda L, x: x.sum(),
    "sum dims": lambda L, x: x.sum((0, -1)),
    "sum keep": lambda L, x: L.T.sum(x, dim=1, keepdim=True),
    "mean": lambda L, x: x.mean(),
    "mean dims": lambda L, x: x.mean([0, 2], keepdim=True),
    "var": lambda L, x: x.var(),
    "var dim": lambda L, x: x.var(1),
    "var biased": lambda L, x: x.var(1, unbiased=False),
    "var positional": lambda L, x: L.T.var(x, 1, True, True),
    "var all biased": lambda L, x: x.var(False),
    "var correction 0": lambda L, x: x.var(dim=(0, 2), correction=0),
    "var correction 2": lambda L, x: x.var(dim=-1, correction=2, keepdim=True),
    "std": lambda L, x: x.std(),
    "std dims": lambda L, x: L.T.std(x, dim=(1, 2)),
    "std biased": lambda L, x: x.std(0, False),
    "std of equals": lambda L, x: (x * 0.0).std(1) + x.sum(1),
    "logsumexp": lambda L, x: x.logsumexp(1),
    "logsumexp dims": lambda L, x: L.T.logsumexp(x * 300, (0, 2), keepdim=True),
    "softmax": lambda L, x: x.softmax(-1),
    "softmax 0": lambda L, x: L.F.softmax(x * 500, dim=0),
    "log softmax": lambda L, x: L.F.log_softmax(x, 1),
    "all": lambda L, x: (x > -1.4).all(1),
    "any": lambda L, x: (x > 1.2).any(),
}
several("statistics", _STATISTICS, numbers(3, 3, 4, 5))

_SHAPES: dict[str, Callable] = {
    "view": lambda L, x: x.view(4, -1),
    "permute": lambda L, x: x.permute(2, 0, 1) * 2,
    "transpose": lambda L, x: x.transpose(0, -1).flatten(1),
    "T": lambda L, x: x[0].T @ x[0],
    "squeeze": lambda L, x: x.unsqueeze(1).unsqueeze(-1).squeeze(1),
    "flatten": lambda L, x: L.T.flatten(x, 0, 1),
    "expand": lambda L, x: x[:, :1].expand(-1, 3, -1) * x.unsqueeze(0).expand(2, 2, 3, 4).sum(0)[:, :1],
    "repeat": lambda L, x: x.repeat(2, 1, 3),
    "repeat new": lambda L, x: x[0, 0].repeat(2, 2),
    "cat": lambda L, x: L.T.cat([x, x * 2, x[:, :1]], dim=1),
    "stack": lambda L, x: L.T.stack((x, x + 1), -2),
    "split": lambda L, x: L.T.split(x, 2, dim=1),
    "split sizes": lambda L, x: x.split([1, 3], -1),
    "chunk": lambda L, x: x.chunk(3, 2),
    "chunk one": lambda L, x: L.T.chunk(x, 2, 2)[1],
    "unbind": lambda L, x: x.unbind(1)[2] * 3,
    "iterate": lambda L, x: tuple(row * i for i, row in enumerate(x)),
    "flip": lambda L, x: x.flip(0, 2),
    "select": lambda L, x: x.select(1, 2),
    "narrow": lambda L, x: L.T.narrow(x, 2, 1, 2),
    "slices": lambda L, x: x[1:, ::2, -3:-1],
    "none and dots": lambda L, x: x[..., None, 1],
    "integers": lambda L, x: x[1, 2, 3],
    "list": lambda L, x: x[:, [0, 2, 0, 0]],
    "repeats": lambda L, x: x[L.tensor(np.array([[0, 1], [1, 1]]))],
    "two arrays": lambda L, x: x[:, L.tensor(np.array([0, 0, 2])), L.tensor(np.array([1, 1, -1]))],
    "arrays apart": lambda L, x: x[L.tensor(np.array([0, 1])), :, L.tensor(np.array([3, 0]))],
    "mask": lambda L, x: x[x > 0.2],
    "row mask": lambda L, x: x[:, L.tensor(np.array([True, False, True]))],
    "gather": lambda L, x: x.gather(2, L.tensor(whole(5, 4, 2, 3, 6))),
    "gather part": lambda L, x: L.T.gather(x, 0, L.tensor(whole(5, 2, 3, 2, 4))),
    "pad": lambda L, x: L.F.pad(x, (1, 2, 0, 1), value=3.0),
    "matmul": lambda L, x: x @ x.transpose(1, 2),
    "matmul vector": lambda L, x: L.T.matmul(x, x[0, 0]),
    "vector matmul": lambda L, x: L.T.matmul(x[0, :, 0], x),
    "dot": lambda L, x: x[0, 0].dot(x[1, 1]),
    "bmm": lambda L, x: L.T.bmm(x, x.permute(0, 2, 1)),
    "mm": lambda L, x: x[0].mm(x[1].t()),
}
several("shapes", _SHAPES, numbers(4, 2, 3, 4))


@call("setitem", numbers(1, 3, 4), numbers(2, 4), numbers(3, 2))
def _(L, x, row, pair):
    y = x * 2
    y[1] = row
    y[:, 3] = 0.5
    y[L.tensor(np.array([2, 0])), 1] = pair
    y[y > 2.0] = 1.0
    return y * x


@call("in place", numbers(1, 3, 4), numbers(2, 3, 4))
def _(L, x, z):
    y = x * 2
    y += z
    y *= 3.0
    y.sub_(1.0).div_(2.0)
    y -= x.exp()
    return y.tanh_() * z


for _label, _x, _w, _options in (
    ("plain", (2, 3, 6, 5), (4, 3, 3, 2), {}),
    ("numbers", (2, 3, 7, 6), (4, 3, 3, 3), dict(stride=2, padding=1)),
    ("pairs", (1, 2, 8, 7), (3, 2, 2, 3), dict(stride=(1, 3), padding=(2, 0), dilation=(3, 1))),
    ("groups", (2, 6, 5, 5), (4, 3, 3, 3), dict(groups=2, padding=1)),
    ("depthwise", (1, 4, 5, 5), (8, 1, 3, 3), dict(groups=4, stride=2)),
    ("1x1", (2, 5, 3, 4), (3, 5, 1, 1), {}),
    ("1x1 stride", (2, 5, 4, 4), (3, 5, 1, 1), dict(stride=2)),
    ("same", (1, 2, 5, 6), (2, 2, 3, 4), dict(padding="same")),
    ("same dilation", (1, 2, 5, 6), (2, 2, 2, 3), dict(padding="same", dilation=2)),
    ("valid", (1, 2, 5, 6), (2, 2, 3, 4), dict(padding="valid")),
    ("whole", (2, 3, 4, 4), (2, 3, 4, 4), {}),
    ("one image", (2, 5, 5), (3, 2, 3, 3), {}),
):
    _inputs = numbers(1, *_x), numbers(2, *_w), numbers(3, _w[0])
    call(f"conv2d: {_label}", *_inputs)(lambda L, x, w, b, o=_options: L.F.conv2d(x, w, b, **o))
call("conv2d: positional", numbers(1, 1, 2, 5, 5), numbers(2, 4, 1, 2, 2))(
    lambda L, x, w: L.F.conv2d(x, w, None, 2, 1, 2, 2)
)

for _label, _shape, _options in (
    ("plain", (2, 2, 6, 4), dict(kernel_size=2)),
    ("rest", (1, 2, 7, 5), dict(kernel_size=2)),
    ("ceil", (1, 2, 7, 5), dict(kernel_size=2, ceil_mode=True)),
    ("overlap", (1, 2, 6, 5), dict(kernel_size=(3, 2), stride=(2, 1))),
    ("padding", (1, 2, 6, 5), dict(kernel_size=3, stride=2, padding=1)),
    ("padding ceil", (1, 1, 6, 6), dict(kernel_size=3, stride=2, padding=(1, 1), ceil_mode=True)),
    ("ceil drops a window", (1, 1, 5, 5), dict(kernel_size=2, stride=3, padding=1, ceil_mode=True)),
):
    call(f"max_pool2d: {_label}", numbers(1, *_shape))(lambda L, x, o=_options: L.F.max_pool2d(x, **o))
    call(f"avg_pool2d: {_label}", numbers(1, *_shape))(lambda L, x, o=_options: L.F.avg_pool2d(x, **o))
    call(f"avg_pool2d: {_label}, padding not counted", numbers(1, *_shape))(
        lambda L, x, o=_options: L.F.avg_pool2d(x, **o, count_include_pad=False)
    )
several(
    "max_pool2d",
    {
        "dilation": lambda L, x: L.F.max_pool2d(x, 2, 1, 0, (2, 3)),
        "indices": lambda L, x: L.F.max_pool2d(x, 3, 2, 1, return_indices=True),
        "indices dilation": lambda L, x: L.F.max_pool2d(x, 2, 2, 1, 2, return_indices=True),
        "ties": lambda L, x: L.F.max_pool2d(x.round(), 2, 1) + L.F.max_pool2d(x, 2, 1),
        "one image": lambda L, x: L.F.max_pool2d(x[0], 2),
        "divisor": lambda L, x: L.F.avg_pool2d(x, 2, divisor_override=3),
    },
    numbers(2, 1, 2, 6, 7),
)


def _batch_norm(training, momentum=0.1, eps=1e-5):
    def function(L, x, weight, bias):
        mean, var = L.tensor(np.array([0.5, 0.0, -1.0])), L.tensor(np.array([1.0, 2.0, 0.5]))
        y = L.F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)
        return y, mean, var

    return function


for _label, _shape in (("rows", (5, 3)), ("lines", (2, 3, 4)), ("images", (2, 3, 2, 3))):
    for _training in (True, False):
        call(f"batch_norm: {_label}, training {_training}", numbers(1, *_shape), numbers(2, 3), numbers(3, 3))(
            _batch_norm(_training, 0.3, 1e-3)
        )
call("batch_norm: bare", numbers(1, 4, 3))(lambda L, x: L.F.batch_norm(x, None, None, training=True))

several(
    "loss",
    {
        "cross_entropy": lambda L, z, t: L.F.cross_entropy(z, L.tensor(t)),
        "cross_entropy sum": lambda L, z, t: L.F.cross_entropy(z, L.tensor(t), reduction="sum"),
        "cross_entropy none": lambda L, z, t: L.F.cross_entropy(z * 100, L.tensor(t), reduction="none"),
        "cross_entropy of one": lambda L, z, t: L.F.cross_entropy(z[0], L.tensor(t)[0]),
        "nll": lambda L, z, t: L.F.nll_loss(L.F.log_softmax(z, 1), L.tensor(t)),
        "nll sum": lambda L, z, t: L.F.nll_loss(z, L.tensor(t), reduction="sum"),
        "mse": lambda L, z, t: L.F.mse_loss(z, z.detach().flip(0)),
        "mse sum": lambda L, z, t: L.F.mse_loss(z, z.flip(1), reduction="sum"),
        "mse none": lambda L, z, t: L.F.mse_loss(z, z.flip(1), reduction="none"),
    },
    numbers(6, 5, 4),
    whole(7, 4, 5),
    fixed=(1,),
)
call("loss: cross_entropy of images", numbers(6, 2, 3, 2, 2), whole(7, 3, 2, 2, 2))(
    lambda L, z, t: L.F.cross_entropy(z, L.tensor(t))
)
several(
    "linear",
    {
        "rows": lambda L, x, w, b: L.F.linear(x, w, b),
        "row": lambda L, x, w, b: L.F.linear(x[0], w, b),
        "batches": lambda L, x, w, b: L.F.linear(x.view(2, 3, 4), w),
    },
    numbers(1, 6, 4),
    numbers(2, 3, 4),
    numbers(3, 3),
)


# ----------------------------------------------------------------------------------- scalars to differentiate thrice
NETS: dict[str, Call] = {}


def net(name: str, *inputs):
    """Enter a function whose result is one number: stored are its first three derivatives."""

    def enter(function):
        NETS[name] = Call(name, inputs, function)
        return function

    return enter


@net("conv", numbers(1, 2, 2, 5, 5), numbers(2, 4, 1, 3, 2), numbers(3, 4))
def _(L, x, w, b):
    return L.F.conv2d(x, w, b, (2, 1), 1, (1, 2), 2).tanh().sum()


@net("batch norm", numbers(1, 3, 2, 2, 2), numbers(2, 2), numbers(3, 2))
def _(L, x, w, b):
    return (L.F.batch_norm(x, None, None, w, b, True) ** 3).sum()


@net("batch norm in eval", numbers(1, 3, 2), numbers(2, 2), numbers(3, 2))
def _(L, x, w, b):
    mean, var = L.tensor(np.array([0.1, -0.2])), L.tensor(np.array([1.5, 0.5]))
    return (L.F.batch_norm(x, mean, var, w, b, False) ** 3).sum()


@net("pools", numbers(1, 1, 2, 5, 6))
def _(L, x):
    y = L.F.max_pool2d(x * x * x, 3, 2, 1) * L.F.avg_pool2d(x, 3, 2, 1)
    return (y * y * x.sum()).sum()


@net("dropout", numbers(1, 3, 4))
def _(L, x):
    return L.dropout(x.sin(), numbers(9, 3, 4) > 0, 1.5).exp().sum()


@net("cross entropy", numbers(1, 4, 3), numbers(2, 3, 3))
def _(L, x, w):
    return L.F.cross_entropy(x @ w, L.tensor(np.array([0, 2, 1, 2]))) + L.F.cross_entropy(
        (x @ w).tanh(), L.tensor(np.array([0, 2, 1, 2])), reduction="sum"
    )


@net("index", numbers(1, 4, 3))
def _(L, x):
    y = x[L.tensor(np.array([0, 2, 2, 3, 2]))] * x[:, [1, 1]].sum()
    y = y.gather(1, L.tensor(whole(3, 3, 5, 4)))
    a, b = y.split([1, 3], 1)
    return (a.exp() * b).sum() + (x.max(1).values ** 3).sum() + (y[y > 0] ** 3).sum()


@net("setitem", numbers(1, 3, 4), numbers(2, 4), numbers(3, 2))
def _(L, x, row, pair):
    y = x * x
    y[1] = row**3
    y[L.tensor(np.array([2, 0])), 1] = pair.exp()
    y[:, 3] = 0.5
    return (y.tanh() * x).sum()


@net("shapes", numbers(1, 2, 3, 4))
def _(L, x):
    y = L.T.cat([x, x.flip(1) * x], 1).permute(2, 0, 1)
    y = L.T.stack([y, y.exp()], 1).reshape(4, -1).expand(2, 4, 24)
    y = L.F.pad(y, (1, 1)) @ (y[0, :2].repeat(1, 1).unsqueeze(0)).tanh().sum(-1, keepdim=True)[:, :1].expand(2, 26, 1)
    return (y.squeeze(-1) ** 2).mean()


@net("statistics", numbers(1, 3, 4))
def _(L, x):
    y = x.var(1) * x.std(1) + x.logsumexp(1) + (x.softmax(0) * x.log_softmax(1)).sum(1) + x.amax(1) ** 3
    return (y * y).mean() + L.F.mse_loss(x.exp(), x, reduction="sum")


@net("elementwise", numbers(1, 8), numbers(2, 8))
def _(L, x, z):
    a, b = x * x + 0.5, z * z + 0.5
    y = a**b + a / b + a.log() * b.sqrt() + x.tanh() * z.sigmoid() + x.sin() * z.cos() + a.log1p() * b.expm1()
    y = y + L.T.maximum(x, z) ** 3 + x.relu() ** 3 + x.abs() * z + x.clamp(-0.5, 0.5) ** 3 + 2.0**z + a**-1.5
    return (y + L.T.where(x > z, x * z * z, z * x * x)).sum()


@net("matmul", numbers(1, 2, 3, 4), numbers(2, 4, 2), numbers(3, 3, 4))
def _(L, x, w, v):
    return ((x @ w).tanh().sum(0) * L.F.linear(x, v).sum((0, 2), keepdim=True)[0]).exp().mean()


@net("fused step", numbers(1, 8, 3), numbers(2, 2, 3))
def _(L, gates, cell):
    h, c = L.lstm_step(gates, cell)
    h, c = L.lstm_step(gates * h.sum(), c)
    return (h * h * c).sum() + h.sum()


@net("fused step, one output", numbers(1, 8, 3), numbers(2, 2, 3))
def _(L, gates, cell):
    return (L.lstm_step(gates, cell)[1] ** 3).sum()


@net("gradient penalty", numbers(1, 2, 1, 6, 6), numbers(2, 2, 1, 3, 3), numbers(3, 2), numbers(4, 2), numbers(5, 8, 3))
def _(L, x, w, gamma, beta, v):
    """A small network, and how far the norm of its input gradient is from 1 (Gulrajani et al., 2017)."""
    h = L.F.conv2d(x * 1.0, w, padding=1)
    h = L.F.batch_norm(h, None, None, gamma, beta, True).relu()
    loss = L.F.cross_entropy(L.F.max_pool2d(h, 3).flatten(1) @ v, L.tensor(np.array([2, 0])))
    (g,) = L.T.autograd.grad(loss, [x], create_graph=True)
    return loss + 10 * ((g.flatten(1) ** 2).sum(1).sqrt() - 1).pow(2).mean()


# -------------------------------------------------------------------------------------------------------- optimizers
OPTIMIZERS: dict[str, tuple[str, dict]] = {
    "SGD": ("SGD", dict(lr=0.05)),
    "SGD momentum": ("SGD", dict(lr=0.02, momentum=0.9)),
    "SGD dampening": ("SGD", dict(lr=0.05, momentum=0.8, dampening=0.3)),
    "SGD nesterov": ("SGD", dict(lr=0.02, momentum=0.9, nesterov=True)),
    "SGD decay": ("SGD", dict(lr=0.05, momentum=0.5, weight_decay=0.1)),
    "SGD maximize": ("SGD", dict(lr=0.002, momentum=0.5, maximize=True, weight_decay=0.01)),
    "Adam": ("Adam", dict(lr=0.02)),
    "Adam betas eps": ("Adam", dict(lr=0.05, betas=(0.5, 0.9), eps=1e-2)),
    "Adam decay": ("Adam", dict(lr=0.02, weight_decay=0.1)),
    "Adam amsgrad": ("Adam", dict(lr=0.05, amsgrad=True, betas=(0.8, 0.9))),
    "Adam maximize": ("Adam", dict(lr=0.002, maximize=True)),
    "AdamW": ("AdamW", dict(lr=0.02)),
    "AdamW decay": ("AdamW", dict(lr=0.05, weight_decay=0.3, betas=(0.8, 0.99))),
    "AdamW amsgrad": ("AdamW", dict(lr=0.05, weight_decay=0.1, amsgrad=True)),
}
STEPS = 200


def trajectory(L, name: str, parameters) -> list:
    """A least-squares problem in two weights, one of them without a gradient for some steps; the optimizer's path."""
    kind, options = OPTIMIZERS[name]
    w, b = parameters
    optimizer = getattr(L.optim, kind)([{"params": [w]}, {"params": [b], "lr": options["lr"] * 0.5}], **options)
    x, y = L.tensor(numbers(1, 12, 3)), L.tensor(numbers(2, 12, 2))
    path = []
    for step in range(STEPS):
        optimizer.zero_grad()
        prediction = x @ w + (b if step % 7 else b.detach())
        ((prediction - y) ** 2).mean().backward()
        if step == 100:
            optimizer.param_groups[0]["lr"] *= 0.5
        optimizer.step()
        if step % 20 == 19 or step < 3:
            path += [w, b] if step == STEPS - 1 else [w.detach().clone(), b.detach().clone()]
    return path


# ---------------------------------------------------------------------------------------------------------- printing
PRINTED: dict[str, np.ndarray] = {
    "0-d": np.array(2.5, np.float32),
    "0-d whole": np.array(3.0, np.float32),
    "0-d integer": np.array(7),
    "bool": np.array([True, False]),
    "whole": np.array([1.0, 2.0, -30.0], np.float32),
    "fractions": np.array([[1.0, 2.5], [-0.125, 100.25]], np.float32),
    "double": np.array([0.1, 1 / 3]),
    "half": np.array([0.5, 1.5], np.float16),
    "small integers": np.array([1, 2], np.int32),
    "bytes": np.array([1, 255], np.uint8),
    "negative integers": np.array([[1, -10], [100, 1000]]),
    "tiny": np.array([1e-5, 1.0], np.float32),
    "huge": np.array([1e9, 1.0], np.float32),
    "huge fraction": np.array([123456.5, 1.0], np.float32),
    "wide range": np.array([0.001, 10.5], np.float32),
    "wider range": np.array([0.001, 1.5], np.float32),
    "specials": np.array([np.nan, np.inf, -np.inf, 1.0], np.float32),
    "specials with fractions": np.array([np.nan, 0.5, -np.inf], np.float32),
    "only nan": np.array([np.nan], np.float32),
    "zeros": np.zeros((2, 2), np.float32),
    "empty": np.zeros((0,), np.float32),
    "empty matrix": np.zeros((0, 3), np.float32),
    "empty integers": np.zeros((2, 0), np.int64),
    "long": numbers(1, 30).astype(np.float32),
    "long integers": np.arange(40),
    "three dimensions": numbers(2, 2, 2, 3).astype(np.float32),
    "four dimensions": np.arange(16).reshape(2, 2, 2, 2),
    "summarised": np.arange(2000, dtype=np.float32),
    "summarised matrix": numbers(3, 40, 30).astype(np.float32),
    "summarised rows": numbers(3, 400, 3).astype(np.float32),
    "summarised 3-d": numbers(3, 10, 12, 11),
}
