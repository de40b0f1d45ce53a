"""Initial values: the distributions of `nn.init` and of every layer's own parameters, against their formulas."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import init


def values(t, where=None) -> np.ndarray:
    return (where.host(t) if where else t.detach().numpy()).astype(np.float64).ravel()


def is_uniform(x: np.ndarray, low: float, high: float) -> None:
    """Within the bounds, close to both, and flat: mean, spread and the share of each quarter, each to 5 errors."""
    n, width = x.size, high - low
    assert low * (1 + 1e-6 * (low < 0)) - 1e-12 <= x.min() and x.max() <= high + 1e-6 * abs(high)
    assert x.min() < low + 12 * width / n and x.max() > high - 12 * width / n
    assert abs(x.mean() - (low + high) / 2) < 5 * width / math.sqrt(12 * n)
    assert abs(x.std() / (width / math.sqrt(12)) - 1) < 5 * 0.45 / math.sqrt(n)
    quarters = np.histogram(x, np.linspace(low, high, 5))[0] / n
    assert abs(quarters - 0.25).max() < 5 * math.sqrt(0.19 / n)


def is_normal(x: np.ndarray, mean: float, std: float) -> None:
    """Mean, spread, and the shares within one and two standard deviations, each to 5 errors."""
    n = x.size
    assert abs(x.mean() - mean) < 5 * std / math.sqrt(n)
    assert abs(x.std() / std - 1) < 5 / math.sqrt(2 * n)
    for k in (1, 2):
        share = math.erf(k / math.sqrt(2))
        assert abs((abs(x - mean) < k * std).mean() - share) < 5 * math.sqrt(share * (1 - share) / n)


# (shape, inputs of each output, outputs of each input); a convolution's weight is (out, in / groups, kernel)
SHAPES = [
    ((60, 40), 40, 60),
    ((40, 60), 60, 40),
    ((32, 8, 5), 40, 160),
    ((24, 6, 3, 5), 90, 360),
    ((8, 6, 3, 3, 3), 162, 216),
]


@pytest.mark.parametrize("shape, fan_in, fan_out", SHAPES)
def test_fans(shape, fan_in, fan_out):
    assert init._calculate_fan_in_and_fan_out(minidl.empty(*shape)) == (fan_in, fan_out)


@pytest.mark.parametrize("shape, fan_in, fan_out", SHAPES)
def test_spread_follows_the_fans(shape, fan_in, fan_out):
    t = minidl.empty(*shape)
    bound = 2 * math.sqrt(6 / (fan_in + fan_out))
    is_uniform(values(init.xavier_uniform_(t, gain=2.0)), -bound, bound)
    is_normal(values(init.xavier_normal_(t, 0.5)), 0, 0.5 * math.sqrt(2 / (fan_in + fan_out)))
    bound = math.sqrt(6 / (1 + 0.25) / fan_in)
    is_uniform(values(init.kaiming_uniform_(t, 0.5)), -bound, bound)
    bound = math.sqrt(6 / fan_out)
    is_uniform(values(init.kaiming_uniform_(t, mode="FAN_OUT", nonlinearity="relu")), -bound, bound)
    is_normal(values(init.kaiming_normal_(t, mode="fan_out", nonlinearity="tanh")), 0, 5 / 3 / math.sqrt(fan_out))
    is_normal(values(init.kaiming_normal_(t)), 0, math.sqrt(2 / fan_in))


@pytest.mark.parametrize("dtype", [minidl.float16, minidl.float32, minidl.float64])
def test_plain_distributions(where, dtype):
    t = minidl.empty(50, 80, dtype=dtype).to(where.name)
    is_uniform(values(init.uniform_(t, -2.0, 1.0), where), -2, 1)
    is_uniform(values(init.uniform_(t), where), 0, 1)
    is_normal(values(init.normal_(t, 3.0, 0.25), where), 3, 0.25)
    assert t.dtype == dtype and t.device.type == where.name
    assert values(init.uniform_(t, 0.5, 0.5), where).tolist() == [0.5] * 4000
    assert values(init.normal_(t, 0.5, 0.0), where).tolist() == [0.5] * 4000


def _mean_between(a, b, mean=0.0, std=1.0):
    """The mean of a normal law cut off at a and b, by Simpson's rule."""
    v = np.linspace(a, b, 20001)
    p = np.exp(-0.5 * ((v - mean) / std) ** 2 + 0.5 * min(((a - mean) / std) ** 2, ((b - mean) / std) ** 2))
    return (v * p).sum() / p.sum()


@pytest.mark.parametrize(
    "mean, std, a, b",
    [
        (0.0, 1.0, -2.0, 2.0),
        (0.0, 0.02, -2.0, 2.0),
        (1.0, 2.0, 0.0, 1.5),
        (0.0, 1.0, 3.0, 5.0),
        (0.0, 1.0, -5.0, -3.0),
        (0.0, 1.0, 9.0, 12.0),
        (0.0, 1.0, -12.0, -9.0),
        (5.0, 0.5, -2.0, 2.0),
    ],
)
def test_cut_normal_numbers(mean, std, a, b):
    x = values(init.trunc_normal_(minidl.empty(8000, dtype=minidl.float64), mean, std, a, b))
    assert a <= x.min() and x.max() <= b
    assert len(np.unique(x)) > 7000
    expected = _mean_between(
        max(a, mean - 9 * std) if a < mean < b else a, min(b, mean + 9 * std) if a < mean < b else b, mean, std
    )
    assert abs(x.mean() - expected) < 5 * x.std() / math.sqrt(x.size) + 1e-4 * std


def test_the_generator_decides():
    fills = [
        init.uniform_,
        init.normal_,
        init.trunc_normal_,
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
        init.orthogonal_,
        lambda t, generator: init.sparse_(t, 0.5, generator=generator),
    ]
    for fill in fills:
        state = minidl.default_generator().get_state()
        a = fill(minidl.empty(4, 5), generator=minidl.Generator().manual_seed(3)).tolist()
        b = fill(minidl.empty(4, 5), generator=minidl.Generator().manual_seed(3)).tolist()
        c = fill(minidl.empty(4, 5), generator=minidl.Generator().manual_seed(4)).tolist()
        assert a == b != c
        assert minidl.default_generator().get_state() == state


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (6, 2, 3, 3), (20, 2, 3), (1, 5)])
@pytest.mark.parametrize("gain", [1, 2.5])
def test_orthogonal_rows_or_columns(shape, gain, where):
    t = init.orthogonal_(minidl.empty(*shape, dtype=minidl.float64).to(where.name), gain)
    q = where.host(t).reshape(shape[0], -1)
    q = q if q.shape[0] <= q.shape[1] else q.T
    np.testing.assert_allclose(q @ q.T, gain**2 * np.eye(len(q)), atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4, 3), (6, 3, 5), (4, 2, 3, 3), (4, 3, 4, 1), (2, 5, 3, 3, 3)])
def test_dirac_copies_each_groups_channels(shape):
    for groups in (1, 2):
        w = init.dirac_(minidl.ones(*shape), groups).numpy()
        per_group = shape[0] // groups
        centre = tuple(n // 2 for n in shape[2:])
        expected = np.zeros(shape)
        for f in range(shape[0]):
            if f % per_group < shape[1]:
                expected[(f, f % per_group, *centre)] = 1
        assert w.tolist() == expected.tolist()


def test_dirac_weights_are_the_identity_of_a_grouped_convolution(where):
    layer = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False).to(where.name)
    init.dirac_(layer.weight, 2)
    x = minidl.randn(1, 4, 5, 5).to(where.name)
    assert layer(x).tolist() == x.tolist()


def test_fixed_values_of_any_dtype():
    assert init.constant_(minidl.empty(2, dtype=minidl.int64), 3).tolist() == [3, 3]
    assert init.ones_(minidl.empty(2, dtype=minidl.int64)).tolist() == [1, 1]
    assert init.zeros_(nn.Parameter(minidl.ones(2))).tolist() == [0, 0]
    assert init.eye_(minidl.ones(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.eye_(minidl.ones(3, 2)).tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize("sparsity, zeros", [(0.0, 0), (0.1, 2), (0.5, 10), (1.0, 20)])
def test_sparse_columns(sparsity, zeros):
    t = init.sparse_(minidl.empty(20, 300), sparsity, 0.5).numpy()
    assert ((t == 0).sum(0) == zeros).all()
    if zeros < 20:
        is_normal(t[t != 0].astype(np.float64), 0, 0.5)
    if 0 < zeros < 20:  # in other places in each column
        assert abs((t == 0).mean(1) - zeros / 20).max() < 5 * math.sqrt(0.25 / 300)


def test_gains():
    names = ["linear", "sigmoid", *[f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]]
    assert [init.calculate_gain(name) for name in names] == [1] * 8
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("selu") == 0.75
    assert init.calculate_gain("relu") == math.sqrt(2) and init.calculate_gain("leaky_relu", 1) == 1
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 1e-4))


def test_the_first_names_warn():
    pairs = [name for name in init.__all__ if name != "calculate_gain" and not name.endswith("_")]
    assert len(pairs) == 11
    arguments = {"constant": (0.5,), "sparse": (0.5,)}
    for name in pairs:
        t = minidl.empty(4, 4, 3) if name == "dirac" else minidl.empty(4, 4)
        with pytest.warns(FutureWarning, match=f"nn.init.{name} is deprecated; use nn.init.{name}_"):
            assert getattr(init, name)(t, *arguments.get(name, ())) is t


def test_a_weight_without_elements_warns():
    with pytest.warns(UserWarning, match=r"kaiming_uniform_: \(0, 3\) has no elements"):
        init.kaiming_uniform_(minidl.empty(0, 3))
    with pytest.warns(UserWarning, match="kaiming_normal_"):
        init.kaiming_normal_(minidl.empty(3, 0))
    assert init.orthogonal_(minidl.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda t: init.uniform_(t, 1.0, 0.0), ValueError, "uniform_: a must be at most b, got a=1.0, b=0.0"),
        (lambda t: init.uniform_(t, "0"), TypeError, "uniform_: a must be a number, got '0'"),
        (lambda t: init.uniform_(t.long()), TypeError, "uniform_: tensor must be floating point"),
        (lambda t: init.uniform_(t.numpy()), TypeError, "uniform_: tensor must be a Tensor, got ndarray"),
        (lambda t: init.uniform_(t, generator=3), TypeError, "uniform_: generator must be a Generator"),
        (lambda t: init.normal_(t, std=-1), ValueError, "normal_: std must not be negative, got -1"),
        (lambda t: init.normal_(t.long()), TypeError, "normal_: tensor must be floating point"),
        (lambda t: init.trunc_normal_(t, std=0), ValueError, "trunc_normal_: expected std > 0 and a < b, got std=0"),
        (lambda t: init.trunc_normal_(t, a=1, b=1), ValueError, "trunc_normal_: expected"),
        (lambda t: init.constant_(t, "x"), TypeError, "constant_: val must be a number"),
        (lambda t: init.eye_(t[0]), ValueError, r"eye_: expected 2 dimensions, got \(3,\)"),
        (lambda t: init.dirac_(t), ValueError, r"dirac_: expected 3, 4 or 5 dimensions, got \(2, 3\)"),
        (lambda t: init.dirac_(minidl.ones(3, 1, 1), 2), ValueError, "3 output channels cannot be divided into 2"),
        (lambda t: init.dirac_(minidl.ones(3, 1, 1), 0), ValueError, "cannot be divided into 0 groups"),
        (lambda t: init.xavier_uniform_(t[0]), ValueError, r"xavier_uniform_: fan in and fan out need at least 2"),
        (lambda t: init.xavier_normal_(t[0]), ValueError, "xavier_normal_: fan in"),
        (lambda t: init.kaiming_uniform_(t[0]), ValueError, "kaiming_uniform_: fan in"),
        (lambda t: init._calculate_fan_in_and_fan_out(t[0]), ValueError, "at least 2 dimensions"),
        (lambda t: init.kaiming_uniform_(t, mode="fan"), ValueError, "mode must be 'fan_in' or 'fan_out', got 'fan'"),
        (lambda t: init.kaiming_normal_(t, nonlinearity="swish"), ValueError, "unknown nonlinearity 'swish'"),
        (lambda t: init.calculate_gain("leaky_relu", True), ValueError, "negative slope True is not a number"),
        (lambda t: init.orthogonal_(t[0]), ValueError, "orthogonal_: expected at least 2 dimensions"),
        (lambda t: init.sparse_(t[0], 0.5), ValueError, "sparse_: expected 2 dimensions"),
        (lambda t: init.sparse_(t, 1.5), ValueError, "sparse_: expected sparsity between 0 and 1"),
        (lambda t: init.sparse_(t, 0.5, -1.0), ValueError, "std >= 0, got 0.5 and -1.0"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call(minidl.ones(2, 3))


# ------------------------------------------------------------------------- what the layers start with, as in PyTorch
def root(n):
    return "uniform", 1 / math.sqrt(n)


ONE, ZERO = ("constant", 1.0), ("constant", 0.0)
AFFINE = {"weight": ONE, "bias": ZERO}
LAYERS = {
    "Linear": (lambda: nn.Linear(40, 60), {"weight": root(40), "bias": root(40)}),
    "Conv1d": (lambda: nn.Conv1d(8, 60, 5, groups=2), {"weight": root(20), "bias": root(20)}),
    "Conv2d": (lambda: nn.Conv2d(8, 60, (3, 5), groups=4), {"weight": root(30), "bias": root(30)}),
    # a transposed weight is (in, out / groups, kernel): PyTorch takes its second size for the number of inputs
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(8, 60, 5, groups=2), {"weight": root(150), "bias": root(150)}),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(8, 60, (3, 5)), {"weight": root(900), "bias": root(900)}),
    "Embedding": (lambda: nn.Embedding(60, 40), {"weight": ("normal", 1.0)}),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(5), AFFINE),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(5), AFFINE),
    "LayerNorm": (lambda: nn.LayerNorm(5), AFFINE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), AFFINE),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(5, affine=True), AFFINE),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(5, affine=True), AFFINE),
    "RMSNorm": (lambda: nn.RMSNorm(5), {"weight": ONE}),
    "PReLU": (lambda: nn.PReLU(5), {"weight": ("constant", 0.25)}),
    **{
        name: (lambda name=name: getattr(nn, name)(20, 30), dict.fromkeys(("weight", "bias"), root(30)))
        for name in ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
    },
    "Conv3d": (lambda: nn.Conv3d(8, 60, (3, 5, 1), groups=4), {"weight": root(30), "bias": root(30)}),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(8, 60, (1, 5, 1)), {"weight": root(300), "bias": root(300)}),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(5), AFFINE),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(5, affine=True), AFFINE),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(5), AFFINE),
    "Bilinear": (lambda: nn.Bilinear(20, 5, 60), {"weight": root(20), "bias": root(20)}),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(60, 40), {"weight": ("normal", 1.0)}),
    "LinearCrossEntropyLoss": (lambda: nn.LinearCrossEntropyLoss(40, 60, bias=True), {"linear": root(40)}),
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(40, 4),
        {"in_proj_weight": root(160 / 6), "in_proj_bias": ZERO, "out_proj.weight": root(40), "out_proj.bias": ZERO},
    ),
}
COMPOSED = {"AdaptiveLogSoftmaxWithLoss", "Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer"}
BASES = {"Parameter", "RNNBase", "RNNCellBase", "UninitializedBuffer", "UninitializedParameter"}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_start_as_in_pytorch(name):
    make, expected = LAYERS[name]
    parameters = dict(make().named_parameters())
    known = {key: key if key in expected else key.split(".")[0].split("_")[0] for key in parameters}
    assert parameters and set(known.values()) == set(expected)
    for key, p in parameters.items():
        kind, number = expected[known[key]]
        assert p.is_leaf and p.requires_grad
        if kind == "constant":
            assert values(p).tolist() == [number] * p.numel()
        elif kind == "normal":
            is_normal(values(p), 0, number)
        else:
            is_uniform(values(p), -number, number)


def test_every_layer_with_parameters_is_here():
    """A layer that makes parameters takes their dtype."""
    own = set()
    for name in set(nn.__all__) - COMPOSED - BASES:
        made = getattr(nn, name)
        if isinstance(made, type) and "dtype" in inspect.signature(made.__init__).parameters:
            own.add(name)
    assert own - set(LAYERS) == set()


def test_the_padding_row_of_an_embedding_is_zero():
    weight = nn.Embedding(5, 3, padding_idx=2).weight
    assert weight[2].tolist() == [0, 0, 0] and (weight[:2] != 0).all()
