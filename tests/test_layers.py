"""Layers: what they say about bad arguments, what is random in them, and what the containers of parameters do."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import numpy as np
import pytest
from standin import no_sync

import minidl
from minidl import nn
from minidl.nn import functional as F

ONES = minidl.ones


# ------------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    "call, error, words",
    [
        # convolutions
        (lambda: nn.Conv1d(3, 4, 3, groups=2), ValueError, "Conv1d: in_channels 3 is not divisible by groups 2"),
        (lambda: nn.Conv1d(0, 4, 3), ValueError, "Conv1d: in_channels must be at least 1, got 0"),
        (lambda: nn.Conv1d(3, 4, (3, 3)), TypeError, r"Conv1d: kernel_size must be an int, got \(3, 3\)"),
        (lambda: nn.Conv1d(3, 4, 3, stride=0), ValueError, "Conv1d: stride must be at least 1"),
        (lambda: nn.Conv1d(3, 4, 3, padding="full"), ValueError, "Conv1d: padding must be ints, 'same' or 'valid'"),
        (lambda: nn.Conv1d(3, 4, 3, padding_mode="odd"), ValueError, "Conv1d: padding_mode must be one of"),
        (lambda: nn.Conv1d(3, 4, 3)(ONES(2, 3, 4, 4)), ValueError, r"conv1d: expected input \(N, C, L\) or \(C, L\)"),
        (lambda: nn.Conv1d(3, 4, 3)(ONES(2, 2, 4)), ValueError, "x has 2 channels, weight expects 3"),
        (lambda: nn.Conv1d(3, 4, 3)(ONES(2, 3, 2)), ValueError, "does not fit"),
        (lambda: nn.Conv1d(3, 4, 3).double()(ONES(2, 3, 4)), TypeError, "input is .*float32, weight is .*float64"),
        (lambda: F.conv1d(ONES(1, 2, 3), ONES(1, 2)), ValueError, r"expected a weight with 3 dimensions, got \(1, 2\)"),
        (lambda: F.conv1d(ONES(1, 2, 3), ONES(1, 2, 2), ONES(2)), ValueError, r"conv1d: bias has shape \(2,\)"),
        (lambda: nn.Conv2d(1, 1, 3, padding=3, padding_mode="reflect")(ONES(1, 1, 3, 3)), ValueError, "at most 2"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, groups=2), ValueError, "ConvTranspose2d: in_channels 3 is not divisible"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), ValueError, "padding_mode must be 'zeros'"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="odd"), ValueError, "padding_mode must be 'zeros'"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), TypeError, "padding must be an int or two ints"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, 2, output_padding=2), ValueError, "output_padding must be smaller than"),
        (
            lambda: F.conv_transpose2d(ONES(1, 1, 2, 2), ONES(1, 1, 2, 2), output_padding=1),
            ValueError,
            "output_padding",
        ),
        (lambda: nn.ConvTranspose2d(3, 4, 3)(ONES(1, 2, 5, 5)), ValueError, "input has 2 channels, weight expects 3"),
        (lambda: nn.ConvTranspose2d(3, 4, 1, padding=2)(ONES(1, 3, 4, 4)), ValueError, "nothing is left of input"),
        (lambda: F.conv_transpose2d(ONES(1, 3, 2, 2), ONES(3, 1, 2, 2), groups=2), ValueError, "into 2 groups"),
        (
            lambda: F.conv_transpose2d(ONES(1, 3, 2, 2), ONES(3, 1, 2, 2), groups=0),
            ValueError,
            "groups must be at least",
        ),
        (lambda: F.conv_transpose2d(ONES(1, 3, 2, 2), ONES(3, 1, 2, 2), ONES(2)), ValueError, "bias has shape"),
        (lambda: F.conv_transpose1d(ONES(1, 3, 2), ONES(3, 1, 2, 2)), ValueError, "weight with 3 dimensions"),
        (lambda: nn.ConvTranspose1d(1, 1, 3, 2)(ONES(1, 1, 4), output_size=11), ValueError, "expected 9 to 10, got 11"),
        (lambda: nn.ConvTranspose2d(1, 1, 3)(ONES(1, 1, 4, 4), (1, 2, 3)), ValueError, "output_size must have 2 or 4"),
        # pooling
        (lambda: nn.MaxPool1d((2, 2)), TypeError, "MaxPool1d: kernel_size must be an int"),
        (lambda: nn.MaxPool1d(2, padding=2)(ONES(1, 1, 4)), ValueError, "max_pool1d: padding must be at most half"),
        (lambda: nn.MaxPool1d(5)(ONES(1, 1, 4)), ValueError, "max_pool1d: kernel .* does not fit"),
        (lambda: nn.MaxPool1d(2)(ONES(4)), ValueError, r"max_pool1d: expected input \(N, C, L\)"),
        (lambda: nn.AvgPool1d(0), ValueError, "AvgPool1d: kernel_size must be at least 1"),
        (lambda: nn.AvgPool1d(2)(ONES(1, 1, 4).long()), TypeError, "avg_pool1d: input must be floating point"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), TypeError, "AdaptiveAvgPool2d: output_size must be an int or two"),
        (lambda: nn.AdaptiveMaxPool1d(0), ValueError, "AdaptiveMaxPool1d: output_size must be at least 1"),
        (lambda: F.adaptive_avg_pool2d(ONES(1, 1, 4, 4), (2,) * 3), ValueError, "adaptive_avg_pool2d: output_size"),
        (lambda: F.adaptive_avg_pool2d(ONES(1, 1, 4, 4), 0), ValueError, "output_size must be at least 1"),
        (lambda: F.adaptive_max_pool2d(ONES(1, 1, 0, 4), 2), ValueError, "no elements"),
        (lambda: F.adaptive_max_pool1d(ONES(1, 1, 4, 4), 2), ValueError, "adaptive_max_pool1d: expected input"),
        # normalisation
        (lambda: nn.LayerNorm(0), ValueError, "LayerNorm: normalized_shape must be at least 1, got 0"),
        (lambda: nn.LayerNorm(2.5), TypeError, "LayerNorm: normalized_shape must be an int, got 2.5"),
        (lambda: nn.LayerNorm(()), ValueError, "LayerNorm: normalized_shape must have at least one size"),
        (lambda: nn.LayerNorm(3, eps="x"), TypeError, "LayerNorm: eps must be a number"),
        (
            lambda: nn.LayerNorm((2, 3))(ONES(2, 4)),
            ValueError,
            r"layer_norm: expected input \(\*, 2, 3\), got \(2, 4\)",
        ),
        (lambda: F.layer_norm(ONES(2, 3), (3,), ONES(2)), ValueError, r"layer_norm: weight has shape \(2,\)"),
        (lambda: nn.LayerNorm(3)(ONES(2, 3).long()), TypeError, "floating point"),
        (lambda: nn.RMSNorm(3)(ONES(2, 4)), ValueError, r"rms_norm: expected input \(\*, 3\)"),
        (lambda: nn.GroupNorm(2, 5), ValueError, "GroupNorm: num_channels 5 is not divisible by num_groups 2"),
        (lambda: nn.GroupNorm(0, 4), ValueError, "GroupNorm: num_groups must be at least 1"),
        (lambda: nn.GroupNorm(2, 4)(ONES(2, 6)), ValueError, r"group_norm: weight has shape \(4,\), expected \(6,\)"),
        (lambda: F.group_norm(ONES(2, 5), 2), ValueError, "5 channels of .* cannot be divided into 2 groups"),
        (lambda: F.group_norm(ONES(4), 2), ValueError, r"group_norm: expected input \(N, C, ...\)"),
        (lambda: F.group_norm(ONES(1, 2), 2), ValueError, "more than one value per channel"),
        (
            lambda: nn.InstanceNorm2d(3, affine=True)(ONES(2, 4, 2, 2)),
            ValueError,
            r"InstanceNorm2d\(3\): expected input \(N, C, H, W\)",
        ),
        (lambda: nn.InstanceNorm1d(3)(ONES(2, 3, 1)), ValueError, "more than one value per channel"),
        (lambda: nn.InstanceNorm1d(-1), ValueError, "InstanceNorm1d: num_features must be at least 1"),
        (lambda: nn.InstanceNorm1d(3, momentum="x"), TypeError, "InstanceNorm1d: momentum must be a number"),
        (lambda: F.instance_norm(ONES(2, 3)), ValueError, "instance_norm: expected input"),
        (lambda: F.instance_norm(ONES(2, 3, 4), use_input_stats=False), ValueError, "running_mean and running_var"),
        (lambda: F.instance_norm(ONES(2, 3, 4), weight=ONES(2)), ValueError, "instance_norm: weight has shape"),
        (lambda: nn.LocalResponseNorm(0), ValueError, "LocalResponseNorm: size must be at least 1"),
        (lambda: F.local_response_norm(ONES(2, 3), 2), ValueError, "local_response_norm: expected input"),
        (lambda: F.normalize(ONES(2, 2), out=ONES(2, 2)), NotImplementedError, "out is not supported"),
        (lambda: F.normalize(ONES(2, 2), "2"), TypeError, "normalize: p must be a number"),
        # dropout
        (lambda: nn.Dropout2d(1.5), ValueError, "Dropout2d: p must be between 0 and 1, got 1.5"),
        (lambda: nn.AlphaDropout("half"), TypeError, "AlphaDropout: p must be a number, got 'half'"),
        (lambda: nn.Dropout1d(0.5)(ONES(2, 3, 4, 5)), ValueError, "dropout1d: expected input"),
        (lambda: nn.Dropout2d(0.5)(ONES(2, 3)), ValueError, "dropout2d: expected input"),
        (lambda: F.dropout2d(ONES(2, 3, 2, 2), -1), ValueError, "dropout2d: p must be between"),
        (lambda: F.alpha_dropout(ONES(2).long()), TypeError, "alpha_dropout: input must be floating point"),
        # sizes and padding
        (lambda: nn.Upsample(), ValueError, "Upsample: expected size or scale_factor"),
        (lambda: nn.Upsample(2, 2), ValueError, "Upsample: expected size or scale_factor"),
        (lambda: nn.Upsample(scale_factor=-1), ValueError, "scale_factor must be positive"),
        (lambda: nn.Upsample(2, mode="best"), ValueError, "Upsample: mode must be"),
        (lambda: nn.Upsample(2, align_corners=True), ValueError, "align_corners has no meaning for mode='nearest'"),
        (
            lambda: F.interpolate(ONES(1, 1, 2), 3, mode="bilinear"),
            NotImplementedError,
            "mode='bilinear' cannot take input",
        ),
        (lambda: F.interpolate(ONES(1, 1), 3), NotImplementedError, "cannot take input"),
        (lambda: F.interpolate(ONES(1, 1, 2)), ValueError, "expected size or scale_factor"),
        (lambda: F.interpolate(ONES(1, 1, 2), (3, 3)), TypeError, "interpolate: size must be an int"),
        (lambda: F.interpolate(ONES(1, 1, 2), scale_factor=(1, 2)), ValueError, "expected 1 positive scale factors"),
        (lambda: F.interpolate(ONES(1, 1, 2), scale_factor=0.1), ValueError, "expected sizes of at least 1"),
        (lambda: F.interpolate(ONES(1, 1, 2), 3, recompute_scale_factor=True), ValueError, "recompute_scale_factor"),
        (lambda: F.interpolate(ONES(1, 1, 2, 2), 3, antialias=True), ValueError, "antialias=True is for 'bilinear'"),
        (lambda: nn.ZeroPad2d((1, 2)), TypeError, "ZeroPad2d: padding must be an int"),
        (lambda: nn.ConstantPad1d(1, "x"), TypeError, "ConstantPad1d: value must be a number"),
        (lambda: nn.ReflectionPad1d(3)(ONES(1, 1, 3)), ValueError, "mode='reflect' can add at most 2"),
        (lambda: nn.CircularPad1d(4)(ONES(1, 1, 3)), ValueError, "mode='circular' can add at most 3"),
        (lambda: nn.ReplicationPad2d(1)(ONES(3, 3)), ValueError, "ReplicationPad2d: expected input with 3 or 4"),
        (lambda: F.pad(ONES(1, 1, 3), (1, 1), "reflect", 1.0), ValueError, "value=1.0 has no meaning"),
        (lambda: F.pad(ONES(2, 2, 2, 2), (1, 1), "reflect"), NotImplementedError, "last 1, 2 or 3 dimensions"),
        (lambda: nn.Unflatten("rows", (2, 3)), NotImplementedError, "named dimensions"),
        (lambda: nn.Unflatten(1, 6), TypeError, "unflattened_size must be a tuple of ints"),
        (lambda: nn.Unflatten(1, (2, 4))(ONES(2, 6)), ValueError, r"dim 1 of input \(2, 6\) cannot become \(2, 4\)"),
        (lambda: nn.Unflatten(1, (-1, -1))(ONES(2, 6)), ValueError, "cannot become"),
        (lambda: nn.Unflatten(3, (2, 3))(ONES(2, 6)), IndexError, "dim 3 is out of range"),
        # activations
        (lambda: nn.PReLU(0), ValueError, "PReLU: num_parameters must be at least 1"),
        (lambda: nn.PReLU(3)(ONES(2, 4)), ValueError, "prelu: weight has 3 elements, expected 1 or 4"),
        (lambda: F.prelu(ONES(2, 4), ONES(2, 2)), ValueError, "expected a weight with one dimension"),
        (lambda: nn.Hardtanh(1.0, -1.0), ValueError, "min_val must be less than max_val"),
        (lambda: nn.Hardtanh(min_val=[-2.0]), TypeError, "min_val must be a number"),
        (lambda: F.hardtanh(ONES(2), 1.0, -1.0), ValueError, "min_val must be at most max_val"),
        (lambda: nn.RReLU(0.5, 0.25), ValueError, "lower must be at most upper"),
        (lambda: F.rrelu(ONES(2), 0.5, 0.25), ValueError, "lower must be at most upper"),
        (lambda: nn.GELU("erf"), ValueError, "GELU: approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: F.gelu(ONES(2), "erf"), ValueError, "gelu: approximate must be"),
        (lambda: nn.ELU("x"), TypeError, "ELU: alpha must be a number"),
        (lambda: nn.CELU(0.0)(ONES(2)), ValueError, "celu: alpha must not be 0"),
        (lambda: nn.LeakyReLU(None), TypeError, "LeakyReLU: negative_slope must be a number"),
        (lambda: nn.Softplus(0)(ONES(2)), ValueError, "softplus: beta must not be 0"),
        (lambda: nn.Softshrink(-1.0)(ONES(2)), ValueError, "softshrink: lambd must be at least 0"),
        (lambda: nn.Threshold("a", 1), TypeError, "Threshold: threshold must be a number"),
        (lambda: nn.GLU()(ONES(2, 3)), ValueError, "glu: expected an even size along dim -1"),
        (lambda: nn.GLU(2)(ONES(2, 4)), IndexError, "glu: dim 2 is out of range"),
        (lambda: nn.Softmax2d()(ONES(2, 3)), ValueError, "Softmax2d: expected input"),
        (lambda: nn.SiLU()(ONES(2).long()), TypeError, "silu: input must be floating point"),
        (lambda: nn.Mish()(np.ones(2)), TypeError, "mish: input must be a Tensor, got ndarray"),
        (lambda: F.relu6(2.0), TypeError, "relu6: input must be a Tensor, got float"),
        (lambda: F.gumbel_softmax(ONES(2), 0.0), ValueError, "tau must be positive"),
        (lambda: F.cosine_similarity(ONES(2), ONES(2)), IndexError, "cosine_similarity: dim 1 is out of range"),
        (lambda: nn.CosineSimilarity(eps="x"), TypeError, "CosineSimilarity: eps must be a number"),
        (lambda: nn.PairwiseDistance("2"), TypeError, "PairwiseDistance: p must be a number"),
        # containers
        (lambda: nn.ModuleDict({"a": 3}), TypeError, "ModuleDict: 'a' must be a Module, got int"),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), KeyError, "be empty or contain"),
        (lambda: nn.ModuleDict({"items": nn.ReLU()}), KeyError, "already exists"),
        (lambda: nn.ModuleDict(3), TypeError, "expected a mapping or pairs"),
        (lambda: nn.ModuleDict([("a", nn.ReLU(), 1)]), ValueError, "element 0 has length 3; 2 is required"),
        (lambda: nn.ModuleDict()["a"], KeyError, "a"),
        (lambda: nn.ParameterList(3), TypeError, "expected values in a row, got int"),
        (lambda: nn.ParameterList(ONES(2)), TypeError, "expected values in a row, got Tensor"),
        (lambda: nn.ParameterList([ONES(2)])[1], IndexError, "index 1 is out of range for 1 values"),
        (lambda: nn.ParameterList()(ONES(2)), RuntimeError, "should not be called"),
        (lambda: nn.ParameterDict({3: ONES(2)}), TypeError, "keys must be strings, got 3"),
        (lambda: nn.ParameterDict({"a.b": ONES(2)}), KeyError, "contains '.'"),
        (lambda: nn.ParameterDict({"pop": ONES(2)}), KeyError, "name of an attribute"),
        (lambda: nn.ParameterDict([3]), TypeError, "element 0 must be a pair"),
        (lambda: nn.ParameterDict()["a"], KeyError, "a"),
        (lambda: nn.ParameterDict().popitem(), KeyError, "nothing in it"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# ------------------------------------------------------------------------------------------------------ what is drawn
@pytest.mark.parametrize(
    "layer, shape",
    [(nn.Dropout1d(0.25), (40, 50, 6)), (nn.Dropout2d(0.25), (40, 50, 2, 3)), (nn.Dropout2d(0.25), (40, 50, 6))],
)
def test_dropout_of_channels_drops_whole_channels(where, layer, shape):
    x = where.leaf(np.ones(shape))
    minidl.manual_seed(4)
    y = layer(x)
    rows = where.host(y).reshape(2000, 6)
    assert (rows == rows[:, :1]).all() and set(np.unique(rows)) == {0.0, 1 / 0.75}
    assert abs((rows[:, 0] == 0).mean() - 0.25) < 0.04
    y.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), where.host(y))
    assert layer(x).tolist() != y.tolist()
    minidl.manual_seed(4)
    assert layer(x).tolist() == y.tolist()
    assert copy.deepcopy(layer).eval()(x) is x


def test_dropout_of_channels_of_one_sample_and_in_place(where):
    x = where.tensor(np.ones((300, 4)), np.float64)
    assert F.dropout1d(x, 0.5, inplace=True) is x
    rows = where.host(x)
    assert (rows == rows[:, :1]).all() and 90 < (rows[:, 0] == 0).sum() < 210


def test_alpha_dropout_keeps_mean_and_variance(where):
    x = where.leaf(minidl.Generator(1).normal((200, 300), "float64"))
    minidl.manual_seed(5)
    y = nn.AlphaDropout(0.2)(x)
    values = where.host(y)
    assert abs(values.mean()) < 0.02 and abs(values.std() - 1) < 0.02
    y.sum().backward()
    gradient = where.host(x.grad)
    dropped = gradient == 0
    assert abs(dropped.mean() - 0.2) < 0.01 and len(set(values[dropped])) == len(set(gradient[~dropped])) == 1
    assert nn.AlphaDropout(0.2).eval()(x) is x
    z = where.tensor(np.ones(100), np.float32)
    assert F.alpha_dropout(z, 0.5, True, inplace=True) is z and z.dtype == minidl.float32 and len(set(z.tolist())) == 2


def test_rrelu_draws_slopes_in_training(where):
    x = where.leaf(np.full((100, 100), -1.0))
    layer = nn.RReLU(0.25, 0.75)
    minidl.manual_seed(6)
    y = layer(x)
    values = -where.host(y)
    assert values.min() >= 0.25 and values.max() < 0.75 and abs(values.mean() - 0.5) < 0.01 and values.std() > 0.13
    y.sum().backward()
    np.testing.assert_allclose(where.host(x.grad), values)
    minidl.manual_seed(6)
    assert layer(x).tolist() == y.tolist()
    assert (where.host(layer.eval()(x)) == -0.5).all()
    assert layer.train()(where.tensor(np.ones(3), np.float32)).tolist() == [1.0] * 3


def test_gumbel_softmax_draws_classes(where):
    p = np.array([0.6, 0.3, 0.1])
    logits = where.leaf(np.log(np.tile(p, (20000, 1))))
    minidl.manual_seed(7)
    y = F.gumbel_softmax(logits, hard=True)
    values = where.host(y)
    assert set(np.unique(values.round(12))) == {0.0, 1.0} and (values.sum(1).round(12) == 1).all()
    np.testing.assert_allclose(values.mean(0), p, atol=0.015)
    minidl.manual_seed(7)
    soft = F.gumbel_softmax(logits)
    (y[:, 0].sum() + soft[:, 0].sum() * 0).backward()
    gradient = where.host(logits.grad)
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-12)  # the soft sample's: a softmax, not a constant
    assert (gradient[:, 0] > 0).mean() > 0.9
    np.testing.assert_array_equal(where.host(soft).argmax(1), values.argmax(1))
    assert F.gumbel_softmax(logits, 0.5, dim=0).shape == (20000, 3)


# --------------------------------------------------------------------------------------------------- layers of layers
def test_output_size_decides_what_is_ambiguous():
    layer = nn.ConvTranspose2d(2, 3, 3, 2, 1)
    x = ONES(1, 2, 4, 5)
    assert layer(x).shape == (1, 3, 7, 9)
    for size in ((8, 9), (1, 3, 8, 9), minidl.Size((8, 9))):
        assert layer(x, output_size=size).shape == (1, 3, 8, 9)
    assert nn.ConvTranspose1d(2, 3, 3, 2)(ONES(2, 4), [10]).shape == (3, 10)
    y = layer(x, output_size=(8, 10))
    assert y.tolist() == F.conv_transpose2d(x, layer.weight, layer.bias, 2, 1, 1).tolist()


def test_pooling_layers_give_positions():
    x = minidl.tensor([[[1.0, 5.0, 2.0, 4.0, 3.0]]])
    y, i = nn.MaxPool1d(2, return_indices=True)(x)
    assert y.tolist() == [[[5.0, 4.0]]] and i.tolist() == [[[1, 3]]] and i.dtype == minidl.int64
    y, i = nn.AdaptiveMaxPool1d(3, return_indices=True)(x)
    assert y.tolist() == [[[5.0, 5.0, 4.0]]] and i.tolist() == [[[1, 1, 3]]] and i.dtype == minidl.int64
    y, i = nn.AdaptiveMaxPool2d((2, 3), return_indices=True)(minidl.arange(15.0).reshape(1, 3, 5))
    assert i.tolist() == [[[6, 8, 9], [11, 13, 14]]] and y.shape == i.shape


def test_nothing_waits_for_the_device(where):
    """Tables of windows and neighbours are uploaded once; no layer reads numbers back."""
    x = where.tensor(np.ones((2, 4, 5, 6)), np.float32)
    layers = [nn.AdaptiveAvgPool2d((2, 4)), nn.AdaptiveMaxPool2d((2, 4)), nn.Upsample((7, 8), mode="bilinear")]
    layers += [nn.GroupNorm(2, 4), nn.LayerNorm(6), nn.InstanceNorm2d(4, affine=True), nn.GELU(), nn.Softplus()]
    layers += [nn.ReflectionPad2d(2), nn.ConvTranspose2d(4, 2, 3, 2), nn.PReLU(4)]
    layers = [layer.to(where.name) for layer in layers]
    for layer in layers:
        layer(x)
    with no_sync():
        for layer in layers:
            layer(x)


def test_float32_stays_float32_and_half_is_finite(where):
    x = where.tensor(np.linspace(-60, 60, 24).reshape(1, 4, 6), np.float32)
    h = where.tensor(np.linspace(-20, 20, 24).reshape(1, 4, 6), np.float16)
    for layer in (nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.ELU(), nn.SELU(), nn.CELU(0.7), nn.Softplus(), nn.Mish()):
        for t in (x, h):
            t.requires_grad_()
            y = layer(t)
            (gradient,) = minidl.grad(y.sum(), t)
            assert y.dtype == gradient.dtype == t.dtype
            assert np.isfinite(where.host(y)).all() and np.isfinite(where.host(gradient)).all()
    for layer in (nn.LayerNorm(6), nn.RMSNorm(6), nn.GroupNorm(2, 4), nn.InstanceNorm1d(4), nn.AdaptiveAvgPool1d(4)):
        assert layer.to(where.name)(x).dtype == minidl.float32


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: nn.Conv1d(3, 4, 3, padding=1, padding_mode="reflect"), "Conv1d(3, 4, kernel_size=(3,), stride=(1,), "
         "padding=(1,), padding_mode=reflect)"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, False, 2), "ConvTranspose2d(4, 6, kernel_size=(3, 3), "
         "stride=(2, 2), padding=(1, 1), dilation=(2, 2), output_padding=(1, 1), groups=2, bias=False)"),
        (lambda: nn.AvgPool1d(3), "AvgPool1d(kernel_size=(3,), stride=(3,), padding=(0,))"),
        (lambda: nn.MaxPool1d(3), "MaxPool1d(kernel_size=3, stride=3, padding=0, dilation=1, ceil_mode=False)"),
        (lambda: nn.AdaptiveAvgPool2d((None, 3)), "AdaptiveAvgPool2d(output_size=(None, 3))"),
        (lambda: nn.LayerNorm((2, 3), elementwise_affine=False), "LayerNorm((2, 3), eps=1e-05, "
         "elementwise_affine=False, bias=False)"),
        (lambda: nn.RMSNorm(3), "RMSNorm((3,), eps=None, elementwise_affine=True)"),
        (lambda: nn.GroupNorm(2, 4), "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)"),
        (lambda: nn.InstanceNorm1d(3), "InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=False, "
         "bias=False, track_running_stats=False)"),
        (lambda: nn.LocalResponseNorm(2), "LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)"),
        (lambda: nn.Upsample((2, 3), mode="bilinear", align_corners=True), "Upsample(size=(2, 3), mode='bilinear')"),
        (lambda: nn.UpsamplingNearest2d(scale_factor=2), "UpsamplingNearest2d(scale_factor=2.0, mode='nearest')"),
        (lambda: nn.Unflatten(1, (2, 3)), "Unflatten(dim=1, unflattened_size=(2, 3))"),
        (lambda: nn.ConstantPad1d(1, 0.5), "ConstantPad1d(padding=(1, 1), value=0.5)"),
        (lambda: nn.ReflectionPad1d((1, 2)), "ReflectionPad1d((1, 2))"),
        (lambda: nn.ReLU6(True), "ReLU6(inplace=True)"),
        (lambda: nn.LeakyReLU(0.2, True), "LeakyReLU(negative_slope=0.2, inplace=True)"),
        (lambda: nn.PReLU(3), "PReLU(num_parameters=3)"),
        (lambda: nn.RReLU(), "RReLU(lower=0.125, upper=0.3333333333333333)"),
        (lambda: nn.ELU(inplace=True), "ELU(alpha=1.0, inplace=True)"),
        (lambda: nn.GELU(), "GELU(approximate='none')"),
        (lambda: nn.Softplus(), "Softplus(beta=1.0, threshold=20.0)"),
        (lambda: nn.Hardshrink(), "Hardshrink(0.5)"),
        (lambda: nn.Hardtanh(-1, 2, True), "Hardtanh(min_val=-1, max_val=2, inplace=True)"),
        (lambda: nn.Hardswish(True), "Hardswish()"),
        (lambda: nn.Threshold(1, 2), "Threshold(threshold=1, value=2)"),
        (lambda: nn.Softmin(1), "Softmin(dim=1)"),
        (lambda: nn.GLU(), "GLU(dim=-1)"),
        (lambda: nn.Dropout2d(0.2), "Dropout2d(p=0.2, inplace=False)"),
    ],
)  # fmt: skip
def test_repr_is_pytorchs(make, text):
    assert repr(make()) == text


# --------------------------------------------------------------------------------------------------------- containers
def test_module_dict(where):
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    d = nn.ModuleDict({"a": a, "b": b})
    assert len(d) == 2 and list(d) == ["a", "b"] and "a" in d and "c" not in d and d["a"] is a and d.b is b
    d["c"] = c
    assert list(d.keys()) == ["a", "b", "c"] and list(d.values()) == [a, b, c]
    assert list(d.items()) == [("a", a), ("b", b), ("c", c)]
    assert list(d.state_dict()) == ["a.weight", "a.bias", "c.weight", "c.bias"]
    assert [id(p) for p in d.parameters()] == [id(p) for p in (a.weight, a.bias, c.weight, c.bias)]
    assert d.pop("b") is b and list(d) == ["a", "c"]
    del d["a"]
    assert list(d) == ["c"] and [name for name, _ in d.named_children()] == ["c"]
    with pytest.raises(KeyError):
        del d["a"]
    with pytest.raises(KeyError):
        d.pop("training")  # an attribute, but not in the dict
    d.update([("x", a), ("c", b)])
    assert list(d) == ["c", "x"] and d["c"] is b
    d.update(nn.ModuleDict(OrderedDict(y=c)))
    assert list(d) == ["c", "x", "y"]
    d.clear()
    assert len(d) == 0 and list(d.modules()) == [d]
    d = nn.ModuleDict({"a": nn.Linear(1, 2)}).to(where.name).double()
    assert d["a"].weight.dtype == minidl.float64 and d["a"].weight.device.type == where.name
    other = copy.deepcopy(d)
    assert other["a"] is not d["a"] and other["a"].weight.tolist() == d["a"].weight.tolist()
    assert repr(d) == "ModuleDict(\n  (a): Linear(in_features=1, out_features=2, bias=True)\n)"
    with pytest.raises(NotImplementedError):
        d(1)


def test_parameter_list(where):
    p, t = nn.Parameter(ONES(2)), minidl.zeros(2, 3)
    values = nn.ParameterList([p, t])
    assert len(values) == 2 and values[0] is p and isinstance(values[1], nn.Parameter) and values[-1] is values[1]
    assert values.append(5).extend([ONES(1)]) is values and len(values) == 4 and values[2] == 5
    assert [name for name, _ in values.named_parameters()] == ["0", "1", "3"] == list(values.state_dict())
    assert [v is w for v, w in zip(values, [values[i] for i in range(4)], strict=True)] == [True] * 4
    part = values[1::2]
    assert isinstance(part, nn.ParameterList) and [id(v) for v in part] == [id(values[1]), id(values[3])]
    assert any(v is p for v in values)
    values[1] = new = nn.Parameter(ONES(4))
    assert values[1] is new and list(values.state_dict()) == ["0", "1", "3"]
    values[-1] = ONES(6)
    assert isinstance(values[3], nn.Parameter) and values[3].shape == (6,)
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter"):
        values[0] = 3
    with pytest.raises(IndexError):
        values[4] = p
    values += [nn.Parameter(ONES(1))]
    assert len(values) == 5
    assert repr(nn.ParameterList([t, 3])) == (
        "ParameterList(\n    (0): Parameter containing: [minidl.float32 of size 2x3]\n    (1): Object of type: int\n)"
    )
    assert len(nn.ParameterList()) == 0
    net = nn.Module()
    net.scales = nn.ParameterList([ONES(2), ONES(3)])
    net.to(where.name).double()
    first = net.scales[0]
    assert first.dtype == minidl.float64 and first.device.type == where.name
    other = copy.deepcopy(net)
    assert other.scales[0] is not first and list(other.state_dict()) == ["scales.0", "scales.1"]
    state = {"scales.0": minidl.tensor([3.0, 4.0]), "scales.1": minidl.zeros(3)}
    other.load_state_dict(state)
    assert other.scales[0].tolist() == [3.0, 4.0] and first.tolist() == [1.0, 1.0]
    (other.scales[0] * 2).sum().backward()
    assert other.scales[0].grad.tolist() == [2.0, 2.0]


def test_parameter_dict(where):
    p = nn.Parameter(ONES(2))
    d = nn.ParameterDict({"b": p, "a": minidl.zeros(2, 3)})
    assert list(d) == ["a", "b"] and list(reversed(d)) == ["b", "a"]  # a plain dict is sorted
    assert list(nn.ParameterDict(OrderedDict(b=p, a=p))) == list(nn.ParameterDict([("b", p), ("a", p)])) == ["b", "a"]
    assert len(d) == 2 and d["b"] is p and d.b is p and isinstance(d["a"], nn.Parameter) and "a" in d and "c" not in d
    assert "training" not in d and d.get("c") is None and d.get("c", 4) == 4 and d.get("b") is p
    d["c"] = 3
    assert list(d.keys()) == ["a", "b", "c"] and dict(d.items())["b"] is p and list(d.values())[1:] == [p, 3]
    assert list(d.state_dict()) == ["a", "b"] == [name for name, _ in d.named_parameters()]
    assert d.pop("c") == 3 and d.setdefault("a") is d["a"] and d.setdefault("e", 7) == 7 and d.popitem() == ("e", 7)
    with pytest.raises(KeyError):
        del d["training"]
    del d["a"]
    assert list(d) == ["b"] and list(d.state_dict()) == ["b"]
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter"):
        d["b"] = 3
    d["b"] = new = nn.Parameter(ONES(3))
    assert d["b"] is new and list(d) == ["b"]
    same = d.copy()
    assert isinstance(same, nn.ParameterDict) and same["b"] is new
    both = d | nn.ParameterDict({"z": p})
    assert list(both) == ["b", "z"] and list(d) == ["b"]
    assert list(nn.ParameterDict.__ror__(same, nn.ParameterDict({"y": p}))) == ["y", "b"]
    d |= {"x": p}
    assert list(d) == ["b", "x"] and list(d.fromkeys(["k", "l"], 0).items()) == [("k", 0), ("l", 0)]
    d.clear()
    assert len(d) == 0 and list(d.parameters()) == []
    text = repr(nn.ParameterDict({"a": ONES(2, 3), "b": nn.Parameter(minidl.zeros(2).double()), "c": "x"}))
    assert text == (
        "ParameterDict(\n    (a): Parameter containing: [torch.FloatTensor of size 2x3]\n"
        "    (b): Parameter containing: [torch.DoubleTensor of size 2]\n    (c): Object of type: str\n)"
    )
    d = nn.ParameterDict({"w": ONES(2)}).to(where.name).double()
    assert d["w"].dtype == minidl.float64 and d["w"].device.type == where.name
    other = copy.deepcopy(d)
    other.load_state_dict({"w": minidl.tensor([3.0, 4.0])})
    assert other["w"].tolist() == [3.0, 4.0] and d["w"].tolist() == [1.0, 1.0] and list(other) == ["w"]
    with pytest.raises(RuntimeError, match="should not be called"):
        d(1)


def test_first_values():
    assert nn.PReLU(3, 0.1).weight.tolist() == minidl.full((3,), 0.1).tolist()
    for layer in (nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.InstanceNorm1d(3, affine=True)):
        assert layer.weight.tolist() == [1.0] * 3 and layer.bias.tolist() == [0.0] * 3
    assert nn.RMSNorm(3).weight.tolist() == [1.0] * 3
    weight = nn.ConvTranspose2d(4, 30, 5, groups=2).weight.detach().numpy()
    bound = 1 / math.sqrt(15 * 25)
    assert weight.shape == (4, 15, 5, 5) and abs(weight).max() <= bound and abs(weight).max() > 0.9 * bound


# --------------------------------------------------------------------------------------- empty batches and integers
@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.LayerNorm(3), (0, 3)),
        (nn.RMSNorm(3), (0, 3)),
        (nn.GroupNorm(2, 4), (0, 4, 3, 2)),
        (nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (0, 4, 3, 2)),
        (nn.ReflectionPad2d(1), (0, 4, 3, 2)),
        (nn.CircularPad2d(1), (0, 4, 3, 2)),
        (nn.Conv2d(4, 2, 3, padding=1, padding_mode="replicate"), (0, 4, 3, 2)),
        (nn.Softmax(-1), (3, 0)),
        (nn.LogSoftmax(0), (0, 2)),
        (nn.GLU(), (3, 0)),
    ],
)
def test_nothing_in_gives_nothing_out(layer, shape):
    given = minidl.zeros(shape, requires_grad=True)
    y = layer(given)
    assert 0 in y.shape
    y.sum().backward()
    assert given.grad.shape == shape
    assert all(v.isfinite().all() for v in layer.state_dict().values())


def test_integers_stay_integers_where_nothing_is_scaled():
    given = minidl.tensor([-4, -1, 0, 1, 7])
    for y, expected in (
        (nn.ReLU6()(given), [0, 0, 0, 1, 6]),
        (nn.Hardtanh(-2, 3.5)(given), [-2, -1, 0, 1, 3]),
        (nn.Threshold(0.5, 20)(given), [20, 20, 20, 1, 7]),
    ):
        assert (y.dtype, y.tolist()) == (minidl.int64, expected)
    for layer in (nn.ReLU6(), nn.Hardtanh(), nn.Threshold(0, 1)):
        with pytest.raises(TypeError, match="input must be numbers, got minidl.bool"):
            layer(given > 0)
    for layer in (nn.Softsign(), nn.Tanhshrink()):
        assert layer(given).dtype == minidl.float32


def test_no_pixels_cannot_be_pooled():
    for pool in (F.max_pool2d, F.avg_pool2d):
        with pytest.raises(ValueError, match=r"pool2d: kernel \(3, 3\) does not fit the image \(0, 3\)"):
            pool(ONES(2, 4, 0, 3), 3, 2, 1, ceil_mode=True)


def test_what_is_no_tensor_is_refused_by_name():
    for name in ("relu", "tanh", "sigmoid", "relu6", "gelu", "softmax"):
        with pytest.raises(TypeError, match=f"{name}: input must be a Tensor, got list"):
            getattr(F, name)([1.0], **({"dim": 0} if name == "softmax" else {}))
    with pytest.raises(TypeError, match="Flatten: start_dim must be an int, got 'a'"):
        nn.Flatten("a")


def test_gelu_of_single_precision():
    """Within a few last digits of the double one, and exactly 0 or x far out."""
    x = np.concatenate([np.linspace(-8, 8, 20001), np.logspace(-10, 1, 2001)])
    single, double = (F.gelu(minidl.tensor(x.astype(kind))).numpy() for kind in ("float32", "float64"))
    assert np.abs(single - double).max() < 2e-6
    near = np.abs(x) < 0.5
    assert (np.abs(single - double)[near] <= 1e-6 * np.abs(double[near]) + 1e-30).all()
    far = minidl.tensor([-1e30, -100.0, 100.0, 1e30])
    assert F.gelu(far).tolist() == [0.0, 0.0, *far[2:].tolist()]
    e = minidl.erf(minidl.tensor(x.astype("float32"))).numpy()
    exact = np.array([math.erf(v) for v in x.astype("float32").tolist()])
    assert (np.abs(e - exact) <= 1e-6 * np.abs(exact)).all() and np.abs(e).max() == 1
