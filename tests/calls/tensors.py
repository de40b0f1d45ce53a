"""Calls of tensor functions and of the functions behind the first layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .library import call, numbers, several, whole

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
