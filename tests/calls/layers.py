"""The functions behind the layers: kinks and extreme values of the activations, and options that no layer has."""

from __future__ import annotations

import math

import numpy as np

from .library import numbers, several

# ------------------------------------------------------------------------------------------------------- activations
# exactly at every kink (0, +-1/2, +-1, +-2, +-3, 6, 20), beside them, and far out
_X = np.array(
    [
        -50,
        -20.25,
        -6,
        -3.125,
        -3,
        -2.875,
        -2,
        -1,
        -0.5,
        -0.125,
        0,
        0.125,
        0.5,
        1,
        2,
        2.875,
        3,
        3.125,
        6,
        6.25,
        20,
        20.25,
        50,
    ]
)
_ACTIVATIONS = {
    "relu": lambda L, x: L.F.relu(x),
    "relu6": lambda L, x: L.F.relu6(x),
    "leaky_relu": lambda L, x: L.F.leaky_relu(x),
    "leaky_relu steep": lambda L, x: L.F.leaky_relu(x, 2.0),
    "leaky_relu in place": lambda L, x: L.F.leaky_relu(x * 1, 0.3, True) + L.F.leaky_relu_(x * 1),
    "rrelu in eval": lambda L, x: L.F.rrelu(x, 0.25, 0.5) + L.F.rrelu_(x * 1),
    "rrelu with one slope": lambda L, x: L.F.rrelu(x, 0.25, 0.25, True),
    "elu": lambda L, x: L.F.elu(x) + L.F.elu(x, 0.5) + L.F.elu_(x * 1, 1.5),
    "elu in place": lambda L, x: L.F.elu(x * 1, 1.5, inplace=True),
    "celu": lambda L, x: L.F.celu(x) + L.F.celu(x, 0.5) + L.F.celu_(x * 1, 2.0),
    "celu, alpha negative": lambda L, x: L.F.celu(x.clamp(-5, 5), -0.5),
    "selu": lambda L, x: L.F.selu(x) + L.F.selu_(x * 1),
    "gelu": lambda L, x: L.F.gelu(x),
    "gelu tanh": lambda L, x: L.F.gelu(x, approximate="tanh"),
    "silu": lambda L, x: L.F.silu(x),
    "silu in place": lambda L, x: L.F.silu(x * 1, inplace=True),
    "mish": lambda L, x: L.F.mish(x),
    "mish in place": lambda L, x: L.F.mish(x * 1, inplace=True),
    "softplus": lambda L, x: L.F.softplus(x),
    "softplus options": lambda L, x: L.F.softplus(x, 2, 6) + L.F.softplus(x, beta=0.5, threshold=0.25),
    "softsign": lambda L, x: L.F.softsign(x),
    "tanhshrink": lambda L, x: L.F.tanhshrink(x),
    "softshrink": lambda L, x: L.F.softshrink(x) + L.F.softshrink(x, 2),
    "hardshrink": lambda L, x: L.F.hardshrink(x) + L.F.hardshrink(x, 3),
    "hardtanh": lambda L, x: L.F.hardtanh(x) + L.F.hardtanh(x, -0.5, 2.0) + L.F.hardtanh_(x * 1, -3, 6),
    "hardsigmoid": lambda L, x: L.F.hardsigmoid(x),
    "hardsigmoid in place": lambda L, x: L.F.hardsigmoid(x * 1, True),
    "hardswish": lambda L, x: L.F.hardswish(x),
    "hardswish in place": lambda L, x: L.F.hardswish(x * 1, True),
    "threshold": lambda L, x: L.F.threshold(x, 0.5, 7) + L.F.threshold_(x * 1, -3, 0.0),
    "logsigmoid": lambda L, x: L.F.logsigmoid(x),
    "softmin": lambda L, x: L.F.softmin(x, dim=0) + L.F.log_softmax(x, 0),
    "glu": lambda L, x: L.F.glu(x[:-1]),
}
several("activation", _ACTIVATIONS, _X)
several("activation of nothing", {"all": lambda L, x: [f(L, x) for f in list(_ACTIVATIONS.values())[1:24]][-1]}, _X[:0])
several("activation of one number", {k: f for k, f in _ACTIVATIONS.items() if k not in ("glu", "softmin")}, numbers(3))
several(
    "activation of nan",
    {k: _ACTIVATIONS[k] for k in ("relu6", "leaky_relu", "elu", "hardtanh", "softshrink", "threshold", "silu", "mish")},
    np.array([math.nan]),
    fixed=(0,),
)
several(
    "one_hot",
    {"classes": lambda L, i: L.F.one_hot(L.tensor(i)), "more": lambda L, i: L.F.one_hot(L.tensor(i), 5)},
    np.array([[1, 0], [3, 1]]),
)
several(
    "prelu",
    {
        "one weight": lambda L, x, w: L.F.prelu(x, w[:1]),
        "channels": lambda L, x, w: L.F.prelu(x, w),
        "one channel": lambda L, x, w: L.F.prelu(x[:, 0, 0], w[1:2]),
        "a number": lambda L, x, w: L.F.prelu(x[0, 0, 0], w[1]),
    },
    np.array([-2, 0, 1, -1, 0.5, 0, -0.25, 3, -3, 0, 2, -1.0]).reshape(2, 3, 2),
    numbers(2, 3),
)
several("glu", {"dim": lambda L, x: L.F.glu(x, 1) + L.F.glu(x, -2)}, numbers(1, 3, 4, 2))

# -------------------------------------------------------------------------------------- convolutions, pooling, padding
several(
    "convolutions",
    {
        "conv1d": lambda L, x, w, b: L.F.conv1d(x, w, b, 2, 1, 2),
        "conv1d same": lambda L, x, w, b: L.F.conv1d(x[0], w, b, padding="same"),
        "conv1d valid": lambda L, x, w, b: L.F.conv1d(x, w[:, :2], b, padding="valid", groups=2),
        "conv_transpose1d": lambda L, x, w, b: L.F.conv_transpose1d(x, w, b, 2, (1,), 1),
        "conv_transpose2d": lambda L, x, w, b: L.F.conv_transpose2d(
            x[:, :, None], w.unsqueeze(3), b.repeat(2), (1, 2), (1, 0), (0, 1), 2, (2, 1)
        ),
        "conv_transpose2d one image": lambda L, x, w, b: L.F.conv_transpose2d(
            x[0].unsqueeze(1), w.unsqueeze(2), stride=3
        ),
    },
    numbers(1, 2, 4, 6),
    numbers(2, 4, 4, 3),
    numbers(3, 4),
)
several(
    "pool",
    {
        "max_pool1d": lambda L, x: L.F.max_pool1d(x, 3, 2, 1, 1, True),
        "max_pool1d indices": lambda L, x: L.F.max_pool1d(x[0], 2, 2, 1, 2, return_indices=True),
        "max_pool1d_with_indices": lambda L, x: L.F.max_pool1d_with_indices(x, 2),
        "max_pool2d_with_indices": lambda L, x: L.F.max_pool2d_with_indices(x, 2, 1),
        "avg_pool1d": lambda L, x: L.F.avg_pool1d(x, 3, 2, 1, True, False),
        "avg_pool1d one line": lambda L, x: L.F.avg_pool1d(x[0], (3,), stride=(1,), padding=(1,)),
        "adaptive_avg_pool1d": lambda L, x: L.F.adaptive_avg_pool1d(x, 4),
        "adaptive_max_pool1d": lambda L, x: L.F.adaptive_max_pool1d(x.round(), 4, True),
        "adaptive_max_pool1d_with_indices": lambda L, x: L.F.adaptive_max_pool1d_with_indices(x[0], 3),
        "adaptive_avg_pool2d": lambda L, x: L.F.adaptive_avg_pool2d(x, (None, 4)),
        "adaptive_avg_pool2d one": lambda L, x: L.F.adaptive_avg_pool2d(x[:, None], (1, 3)),
        "adaptive_max_pool2d": lambda L, x: L.F.adaptive_max_pool2d(x.round(), (2, 3), return_indices=True),
        "adaptive_max_pool2d_with_indices": lambda L, x: L.F.adaptive_max_pool2d_with_indices(x[:, None], (3, 2)),
    },
    numbers(1, 2, 3, 7),
)
for _mode in ("reflect", "replicate", "circular"):
    several(
        f"pad {_mode}",
        {
            "one": lambda L, x, m=_mode: L.F.pad(x[0, 0], (2, 1), mode=m),
            "one of a sample": lambda L, x, m=_mode: L.F.pad(x[0, 0, 0], (1, 2), m),
            "two": lambda L, x, m=_mode: L.F.pad(x[0], (2, 1, 1, 0), m),
            "two of a sample": lambda L, x, m=_mode: L.F.pad(x[0, 0], (0, 2, 1, 1), m),
            "three": lambda L, x, m=_mode: L.F.pad(x, (1, 0, 0, 1, 1, 1), m),
            "nothing": lambda L, x, m=_mode: L.F.pad(x[0, 0], (0, 0), m) * 2,
        },
        numbers(1, 1, 2, 2, 3, 3),
    )
several(
    "interpolate",
    {
        "nearest": lambda L, x: L.F.interpolate(x, scale_factor=3),
        "nearest, less": lambda L, x: L.F.interpolate(x, size=(3, 2)),
        "nearest, twice": lambda L, x: L.F.interpolate(x, (10, 14)),
        "nearest, broken factor": lambda L, x: L.F.interpolate(x, scale_factor=(1.3, 0.6)),
        "nearest, factor from the sizes": lambda L, x: L.F.interpolate(
            x, scale_factor=1.3, recompute_scale_factor=True
        ),
        "nearest line": lambda L, x: L.F.interpolate(x[0], 9),
        "nearest volume": lambda L, x: L.F.interpolate(x[:, None], scale_factor=(1, 2, 0.5)),
        "linear": lambda L, x: L.F.interpolate(x[0], 9, mode="linear"),
        "linear to one": lambda L, x: L.F.interpolate(x[0], 1, mode="linear", align_corners=True),
        "bilinear": lambda L, x: L.F.interpolate(x, (9, 4), mode="bilinear"),
        "bilinear corners": lambda L, x: L.F.interpolate(x, (9, 4), mode="bilinear", align_corners=True),
        "bilinear factor": lambda L, x: L.F.interpolate(
            x, scale_factor=(1.3, 0.6), mode="bilinear", align_corners=False
        ),
        "bilinear factor from the sizes": lambda L, x: L.F.interpolate(
            x, None, 1.3, "bilinear", None, recompute_scale_factor=True
        ),
        "same size": lambda L, x: L.F.interpolate(x, scale_factor=1.1, mode="bilinear") * 2,
        "upsample": lambda L, x: L.F.interpolate(x, 6) if L.T.__name__ == "torch" else L.F.upsample(x, 6),
    },
    numbers(1, 2, 1, 5, 7),
)

# ------------------------------------------------------------------------------------------ normalisation and distance
several(
    "normalisation",
    {
        "layer_norm": lambda L, x, w, b: L.F.layer_norm(x, (4,), w, b, 1e-3),
        "layer_norm of two": lambda L, x, w, b: L.F.layer_norm(x, x.shape[-2:], bias=x[0, 0].detach()),
        "layer_norm, weight alone": lambda L, x, w, b: L.F.layer_norm(x, [4], w),
        "rms_norm": lambda L, x, w, b: L.F.rms_norm(x, (4,), w),
        "rms_norm of two": lambda L, x, w, b: L.F.rms_norm(x, (3, 4), eps=0.1),
        "group_norm": lambda L, x, w, b: L.F.group_norm(x, 2, w, b, 1e-3),
        "group_norm bare": lambda L, x, w, b: L.F.group_norm(x, 4),
        "instance_norm": lambda L, x, w, b: L.F.instance_norm(x, None, None, w, b),
        "instance_norm bare": lambda L, x, w, b: L.F.instance_norm(x, eps=0.1),
        "local_response_norm": lambda L, x, w, b: L.F.local_response_norm(x, 2, 0.5, 0.7, 1.5),
    },
    numbers(1, 2, 4, 3, 4),
    numbers(2, 4),
    numbers(3, 4),
)


def _tracked(L, x, w):
    mean, var = L.tensor(np.array([0.1, -0.2])), L.tensor(np.array([1.5, 0.5]))
    y = L.F.instance_norm(x, mean, var, w, None, True, 0.3)
    z = L.F.instance_norm(x, mean, var, w, None, False, 0.3)
    return y, z, mean, var


several("instance_norm", {"tracked": _tracked}, numbers(1, 3, 2, 4), numbers(2, 2))
_ROWS = np.concatenate([numbers(1, 3, 4), np.zeros((1, 4)), [[0.0, 2.0, 0.0, -1.0]]])
several(
    "distance",
    {
        "normalize": lambda L, x, z: L.F.normalize(x),
        "normalize columns": lambda L, x, z: L.F.normalize(x, 2.0, 0),
        "normalize p": lambda L, x, z: L.F.normalize(x, 3.0, -1) + L.F.normalize(x, p=1, dim=1),
        "normalize inf": lambda L, x, z: L.F.normalize(x[:3], math.inf),
        "normalize far": lambda L, x, z: L.F.normalize(x, eps=5.0),
        "normalize all": lambda L, x, z: L.F.normalize(x, dim=(0, 1)),
        "cosine_similarity": lambda L, x, z: L.F.cosine_similarity(x, z),
        "cosine_similarity broadcast": lambda L, x, z: L.F.cosine_similarity(x[:, None], z, dim=-1, eps=1e-3),
        "cosine_similarity columns": lambda L, x, z: L.F.cosine_similarity(x, z[0], 0),
        "pairwise_distance": lambda L, x, z: L.F.pairwise_distance(x, z, 3.0, 1e-2, True),
    },
    _ROWS,
    numbers(2, 5, 4),
)
several(
    "dropout without chance",
    {
        "eval": lambda L, x: L.F.dropout1d(x[0], 0.5, False) + L.F.dropout2d(x, 0.5, False) + L.F.alpha_dropout(x, 0.5),
        "none": lambda L, x: L.F.dropout1d(x[0], 0.0) + L.F.dropout2d(x, 0.0) + L.F.alpha_dropout(x, 0.0, True),
        "all": lambda L, x: L.F.dropout1d(x[0], 1.0) + L.F.dropout2d(x, 1.0) + L.F.alpha_dropout(x, 1.0, True),
    },
    numbers(1, 2, 3, 2, 2),
)
