"""Scalars to differentiate three times."""

from __future__ import annotations

import numpy as np

from .library import Call, numbers, whole

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
