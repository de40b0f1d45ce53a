"""Cases of the ops of activation functions and of normalisation over any axes."""

from __future__ import annotations

import math

import numpy as np

from .table import apart, between, case, normal, values

_KINKS = values([-3.0, -1.0, 0.0, 2.0, 3.0])
_FAR = values([-50.0, 50.0])


def _gelu(x):
    return x * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(x.shape)


def _gelu_tanh(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _elu(x, *, alpha, scale=1.0, rate=1.0):
    return scale * np.array([v if v > 0 else alpha * (math.exp(rate * v) - 1) for v in x.ravel()]).reshape(x.shape)


def _softplus(x, *, beta=1.0, threshold=math.inf):
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def _hardswish(x):
    return np.select([x <= -3, x >= 3], [0 * x, x], x * (x + 3) / 6)


def _leaky(x, w):
    return np.maximum(x, 0) + w * np.minimum(x, 0)


def _silu(x):
    return x / (1 + np.exp(-x))


def _mish(x):
    return x * np.tanh(np.logaddexp(0, x))


def _hardtanh(x, *, low, high):
    return np.clip(x, low, high)


for _name, _forward, _options in (
    ("elu", _elu, {"alpha": 1.5}),
    ("elu", _elu, {"alpha": 1.25, "scale": 0.75, "rate": 2.0}),
    ("gelu", _gelu, {}),
    ("gelu_tanh", _gelu_tanh, {}),
    ("silu", _silu, {}),
    ("softplus", _softplus, {}),
    ("softplus", _softplus, {"beta": 2.0, "threshold": 1.0}),
    ("mish", _mish, {}),
    ("hardtanh", _hardtanh, {"low": -0.6, "high": 0.7}),
    ("hardswish", _hardswish, {}),
):
    _label = " ".join(f"{k} {v}" for k, v in _options.items())
    case(_name, [apart(3, 7)], _forward, _label, **_options)
    case(_name, [between(0.1, 0.4)], _forward, f"{_label} 0-d", **_options)
    case(_name, [_KINKS], _forward, f"{_label} kinks", fixed=(0,), **_options)
    case(_name, [_FAR], _forward, f"{_label} far out", fixed=(0,), **_options)
case("prelu", [apart(3, 7), 0.3], _leaky, "a number")
case("prelu", [apart(3, 7), normal(7)], _leaky, "each column")
case("prelu", [apart(2, 3, 2), normal(3, 1)], _leaky, "channels")
case("prelu", [apart(5), normal()], _leaky, "0-d weight")
case("prelu", [_KINKS, 2.0], _leaky, "kinks", fixed=(0,))


def _layer_norm(x, weight, bias, *, axis, eps, center=True):
    mean = x.mean(axis, keepdims=True) * center
    var = ((x - mean) ** 2).mean(axis, keepdims=True)
    y = (x - mean) / np.sqrt(var + eps) * (1 if weight is None else weight)
    return y + (0 if bias is None else bias), mean, var


for _label, _shape, _axis, _affine in (
    ("rows", (3, 4), (1,), (4,)),
    ("two axes", (2, 3, 4), (1, 2), (3, 4)),
    ("groups", (2, 2, 3, 4), (2, 3), (1, 2, 3, 1)),
    ("channels", (2, 3, 5), (2,), (1, 3, 1)),
):
    for _center in (True, False):
        _how = {"axis": _axis, "eps": 1e-3, "center": _center}
        _name = _label + " " * (not _center) + "not centred" * (not _center)
        case("layer_norm", [normal(*_shape), normal(*_affine), normal(*_affine)], _layer_norm, _name, **_how)
        case("layer_norm", [normal(*_shape), None, None], _layer_norm, _name + ", bare", **_how)
case("layer_norm", [normal(2, 3), normal(3), None], _layer_norm, "no bias", axis=(1,), eps=1e-3)
case("layer_norm", [normal(2, 3), None, normal(3)], _layer_norm, "no weight", axis=(1,), eps=1e-3)
