"""Layers, losses and initialisers against numbers computed with PyTorch 2.13, and what they say about bad arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from standin import no_sync, no_upload

import minidl
from minidl import nn
from minidl.nn import functional as F
from minidl.nn import init


def pattern(*shape) -> np.ndarray:
    """Numbers with little order and exact in binary: -1.25 ... 1.25 in steps of 1/4."""
    return ((np.arange(math.prod(shape)) * 37 % 11 - 5) / 4).reshape(shape)


@pytest.fixture
def make(where):
    """`pattern` as a Tensor on the array type of the test."""
    return lambda *shape: where.tensor(pattern(*shape), np.float64)


@pytest.fixture
def same(where):
    """Checks the first elements of a Tensor, its shape, and its sum weighted with the pattern."""

    def check(y, first, shape, total):
        values = where.host(y).astype(np.float64)
        assert values.shape == shape
        np.testing.assert_allclose(values.ravel()[: len(first)], first, rtol=1e-7, atol=2e-8)
        np.testing.assert_allclose((values * pattern(*shape)).sum(), total, rtol=1e-8)

    return check


# ------------------------------------------------------------------------------------------------------- layers
def test_linear(where, make):
    layer = nn.Linear(3, 2).double().to(where.name)
    layer.load_state_dict({"weight": pattern(2, 3), "bias": pattern(2)})
    np.testing.assert_allclose(where.host(layer(make(4, 3))), pattern(4, 3) @ pattern(2, 3).T + pattern(2), rtol=1e-12)
    assert layer(make(3)).shape == (2,) and layer(make(2, 5, 3)).shape == (2, 5, 2)
    assert nn.Linear(3, 2, bias=False).bias is None


def test_conv2d(make, same):
    x, w = make(2, 4, 5, 6), make(4, 2, 3, 2)
    y = F.conv2d(x, w, make(4), 2, 1, (1, 2), 2)
    same(y, [-0.5, 0.0, -8.125, -2.3125, 0.375, 2.0], (2, 4, 3, 3), -27.4375)
    y = F.conv2d(x, make(3, 4, 2, 4), None, 1, "same", (2, 1))
    same(y, [-2.4375, -1.5625, 4.0625, -4.75, 1.625, 0.5], (2, 3, 5, 6), 178.40625)
    assert F.conv2d(x[0], w, groups=2, padding="valid").tolist() == F.conv2d(x, w, groups=2)[0].tolist()


def test_conv2d_layer_is_the_function(make, where):
    layer = nn.Conv2d(4, 6, (3, 2), (2, 1), 1, (1, 2), 2, dtype="float64").to(where.name)
    assert layer.weight.shape == (6, 2, 3, 2) and layer.kernel_size == (3, 2) and layer.padding == (1, 1)
    y = F.conv2d(make(2, 4, 5, 6), layer.weight, layer.bias, (2, 1), (1, 1), (1, 2), 2)
    assert layer(make(2, 4, 5, 6)).tolist() == y.tolist()


def test_max_pool2d_with_the_positions_in_the_plane(make, same, where):
    x = make(2, 4, 5, 6)
    y, i = F.max_pool2d(x, 3, 2, 1, 1, True, True)
    same(y, [0.25, 1.25, 1.0, 1.0, 1.25, 1.25], (2, 4, 3, 4), 0.625)
    same(i, [7, 8, 5, 5, 19, 8], (2, 4, 3, 4), -106.0)
    assert i.dtype == minidl.int64
    y, i = nn.MaxPool2d(2, 1, 1, 2, return_indices=True)(x)
    same(y, [0.25, 1.25, 0.25, 1.25, -0.5, 0.5], (2, 4, 5, 6), -21.8125)
    same(i, [7, 8, 7, 8, 9, 10], (2, 4, 5, 6), -186.5)
    flat = where.host(x).reshape(2, 4, -1)
    positions = where.host(i).reshape(2, 4, -1)
    np.testing.assert_array_equal(np.take_along_axis(flat, positions, 2), where.host(y).reshape(2, 4, -1))
    y, i = F.max_pool2d(x[0], 2, return_indices=True)
    assert y.shape == i.shape == (4, 2, 3)


def test_avg_pool2d(make, same):
    x = make(2, 4, 5, 6)
    first = [-0.33333333, 0.33333333, -0.16666667, -0.04166667, -0.125, 0.33333333]
    same(F.avg_pool2d(x, (3, 2), 2, 1, True, True), first, (2, 4, 3, 4), 1.052083333)
    first = [-1.0, 0.5, -0.25, -0.125, -0.25, 0.33333333]
    same(nn.AvgPool2d((3, 2), 2, 1, True, False)(x), first, (2, 4, 3, 4), 2.333333333)
    first = [-0.22222222, 0.05555556, -0.13888889, -0.04166667, 0.16666667, 0.22222222]
    same(F.avg_pool2d(x, 3, 2, 1, True, True), first, (2, 4, 3, 4), -0.1770833333)  # windows beyond the padding
    first = [-0.66666667, 0.16666667, 0.08333333, 0.66666667, -0.33333333, -0.41666667]
    same(F.avg_pool2d(x, 2, divisor_override=3), first, (2, 4, 2, 3), 0.25)
    with minidl.inference_mode():  # what is kept from here must serve training too
        F.avg_pool2d(x.float(), 3, 2, 1, True, False)
    x = x.float().requires_grad_()
    y = F.avg_pool2d(x, 3, 2, 1, True, False)
    assert y.dtype == minidl.float32 and y.requires_grad


def test_batch_norm_trains_and_evaluates(make, same, where):
    norm = nn.BatchNorm2d(4, momentum=0.3, dtype="float64").to(where.name)
    norm.load_state_dict({"weight": pattern(4), "bias": pattern(4) * 2}, strict=False)
    x = make(2, 4, 5, 6)
    first = [-0.57589706, -2.16278608, -3.74967511, -0.97261931, -2.55950834, -4.14639736]
    same(norm(x), first, (2, 4, 5, 6), -79.82225812)
    norm(x * 2 + 1)
    np.testing.assert_allclose(where.host(norm.running_mean), [0.269625, 0.289875, 0.310125, 0.330375], rtol=1e-12)
    expected = [1.3796890889830506, 1.3994051906779659, 1.399405190677966, 1.3796890889830509]
    np.testing.assert_allclose(where.host(norm.running_var), expected, rtol=1e-12)
    assert norm.num_batches_tracked.item() == 2 and norm.num_batches_tracked.dtype == minidl.int64
    first = [-0.8828353, -1.94702199, -3.01120868, -1.14888197, -2.21306866, -3.27725536]
    same(norm.eval()(x), first, (2, 4, 5, 6), -52.9668958)
    assert norm.num_batches_tracked.item() == 2
    norm.reset_running_stats()
    assert norm.running_var.tolist() == [1.0] * 4 and norm.num_batches_tracked.item() == 0


def test_batch_norm_without_momentum_averages_all_batches(make, where):
    norm = nn.BatchNorm1d(3, momentum=None, dtype="float64").to(where.name)
    for k in range(3):
        norm(make(4, 3) * (k + 1) + k)
    np.testing.assert_allclose(where.host(norm.running_mean), [-0.75, 1.25, 1.875], rtol=1e-12)
    np.testing.assert_allclose(where.host(norm.running_var), [0.4861111111, 0.4861111111, 6.1006944444], rtol=1e-9)


def test_batch_norm_without_weights_or_statistics(make, where):
    x = make(4, 3, 5)
    plain = nn.BatchNorm1d(3, affine=False, track_running_stats=False).to(where.name)
    assert list(plain.state_dict()) == [] and plain.eval()(x).tolist() == plain.train()(x).tolist()
    np.testing.assert_allclose(where.host(plain(x)).mean((0, 2)), 0, atol=1e-12)
    assert nn.BatchNorm1d(3, bias=False).bias is None
    stopped = nn.BatchNorm1d(3).double().to(where.name)
    stopped.track_running_stats = False
    stopped(x)
    assert stopped.running_mean.tolist() == [0.0] * 3 and stopped.num_batches_tracked.item() == 0


def test_running_statistics_change_outside_the_graph(make, where):
    norm = nn.BatchNorm1d(3, dtype="float64").to(where.name)
    before, memory = norm.running_mean.version[0], norm.running_mean.array
    y = norm(make(4, 3))
    assert norm.running_mean.array is memory and norm.running_mean.version[0] > before
    assert not norm.running_mean.requires_grad
    norm(make(4, 3))
    y.sum().backward()  # needs nothing of what the second call changed


def test_dropout_in_training_in_eval_and_at_its_ends(where):
    x = where.leaf(np.ones((100, 100)))
    drop = nn.Dropout(0.25)
    y = drop(x)
    values = where.host(y)
    assert set(np.unique(values)) == {0.0, 1 / 0.75} and abs((values == 0).mean() - 0.25) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), values)
    assert drop(x).tolist() != y.tolist()
    minidl.manual_seed(0)
    assert drop(x).tolist() == y.tolist()
    assert drop.eval()(x) is x and F.dropout(x, 0.0) is x
    assert not where.host(F.dropout(x, 1.0)).any()
    z = where.tensor(np.ones(1000), np.float64)
    assert F.dropout(z, 0.5, inplace=True) is z and 0 < z.sum().item() / 2 < 1000


def test_activations(where):
    x = where.tensor([[-1.0, 0.0, 2.0]], np.float64)
    assert nn.ReLU()(x).tolist() == [[0.0, 0.0, 2.0]]
    np.testing.assert_allclose(nn.Tanh()(x).tolist(), np.tanh([[-1.0, 0.0, 2.0]]))
    np.testing.assert_allclose(nn.Sigmoid()(x).tolist(), 1 / (1 + np.exp([[1.0, 0.0, -2.0]])))
    p = np.exp([-1.0, 0.0, 2.0]) / np.exp([-1.0, 0.0, 2.0]).sum()
    np.testing.assert_allclose(nn.Softmax(dim=1)(x).tolist(), [p])
    np.testing.assert_allclose(nn.LogSoftmax(dim=-1)(x).tolist(), [np.log(p)])
    assert nn.Identity(3, anything=4)(x) is x
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [[0.0, 0.0, 2.0]]
    assert nn.Flatten()(where.tensor(np.ones((2, 3, 4)))).shape == (2, 12)
    assert nn.Flatten(0, 1)(where.tensor(np.ones((2, 3, 4)))).shape == (6, 4)


def test_an_in_place_relu_inside_a_network_gives_the_same_gradients(where):
    x = where.tensor(pattern(5, 3), np.float64)
    grads = []
    for inplace in (False, True):
        minidl.manual_seed(1)
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace), nn.Linear(4, 2)).double().to(where.name)
        net(x).square().sum().backward()
        grads.append([p.grad.tolist() for p in net.parameters()])
    assert grads[0] == grads[1]


def test_pad(where):
    x = where.leaf(pattern(2, 3))
    expected = np.pad(pattern(2, 3), ((1, 0), (0, 2)), constant_values=9.0)
    assert F.pad(x, (0, 2, 1, 0), value=9.0).tolist() == expected.tolist()
    y = F.pad(x, (-1, 1))
    assert y.tolist() == np.pad(pattern(2, 3)[:, 1:], ((0, 0), (0, 1))).tolist()
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0, 1.0]] * 2


def test_one_hot(where):
    index = where.tensor([[0, 2], [1, 1]], np.int64)
    assert F.one_hot(index).tolist() == np.eye(3, dtype=int)[[[0, 2], [1, 1]]].tolist()
    assert F.one_hot(index, 5).shape == (2, 2, 5) and F.one_hot(index).dtype == minidl.int64


# ------------------------------------------------------------------------------------------------------- losses
WEIGHT = [0.5, 1.0, 2.0, 0.25, 1.5]


@pytest.mark.parametrize(
    "reduction, plain, weighted, soft",
    [
        ("mean", 2.1263486080293528, 2.2130857957298504, 1.1841168425531208),
        ("sum", 8.505394432117411, 7.745800285054477, 4.736467370212483),
        (
            "none",
            [1.7651678997657803, 2.6484482781612666, 1.1484482781612666, 2.943329976029097],
            [1.7153195787634383, 0.0, 0.9180534496783727, 5.112427256612666],
            [1.636043214062697, 0.8626229597668078, 0.8626229597668078, 1.3751782366161704],
        ),
    ],
)
def test_cross_entropy_with_its_options(where, make, reduction, plain, weighted, soft):
    z, target, weight = make(4, 5), where.tensor([1, 4, 0, 2], np.int64), where.tensor(WEIGHT, np.float64)
    np.testing.assert_allclose(F.cross_entropy(z, target, reduction=reduction).tolist(), plain, rtol=1e-12)
    loss = nn.CrossEntropyLoss(weight, ignore_index=4, reduction=reduction, label_smoothing=0.2)
    np.testing.assert_allclose(loss(z, target).tolist(), weighted, rtol=1e-12)
    p = minidl.softmax(make(4, 5) * 2, 1)
    loss = nn.CrossEntropyLoss(weight, reduction=reduction, label_smoothing=0.1)
    np.testing.assert_allclose(loss(z, p).tolist(), soft, rtol=1e-12)


def test_cross_entropy_of_pictures_and_of_one_sample(where, make):
    z = make(2, 3, 2, 2)
    target = where.tensor([[[0, 1], [2, -100]], [[2, 2], [1, 0]]], np.int64)
    assert math.isclose(F.cross_entropy(z, target).item(), 1.2999252458916384, rel_tol=1e-12)
    loss = nn.NLLLoss(where.tensor(WEIGHT[:3], np.float64))(minidl.log_softmax(z, 1), target)
    assert math.isclose(loss.item(), 1.184638288668246, rel_tol=1e-12)
    one = F.cross_entropy(make(5), where.tensor(3, np.int64), reduction="none")
    assert one.shape == () and math.isclose(one.item(), 2.51516789976578, rel_tol=1e-12)


def test_the_short_and_the_long_way_to_cross_entropy_agree(where):
    target = where.tensor([1, 0, 3], np.uint8)
    gradients = []
    for weight in (None, where.tensor(np.ones(4), np.float64)):
        z = where.leaf(pattern(3, 4))
        F.cross_entropy(z, target, weight).backward()
        gradients.append(where.host(z.grad))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-12)


def test_a_batch_of_ignored_targets_only_is_nan_without_gradient(where):
    z = where.leaf(pattern(2, 3))
    loss = F.cross_entropy(z, where.tensor([-100, -100], np.int64))
    loss.backward()
    assert math.isnan(loss.item()) and not where.host(z.grad).any()


def test_losses_keep_float32(where):
    z, target = where.tensor(pattern(3, 4), np.float32), where.tensor([1, 0, -100], np.int64)
    weight = where.tensor(np.ones(4), np.float32)
    for options in ({}, {"weight": weight}, {"label_smoothing": 0.1}):
        assert F.cross_entropy(z, target, **options).dtype == minidl.float32
    assert F.mse_loss(z, z * 2).dtype == F.l1_loss(z, z * 2).dtype == minidl.float32


def test_mse_and_l1(where, make):
    x, t = make(2, 3), make(2, 3) ** 2
    assert math.isclose(nn.L1Loss()(x, t).item(), 0.8854166666666666)
    assert nn.L1Loss(reduction="sum")(x, t).item() == 5.3125
    assert math.isclose(nn.MSELoss()(x, t).item(), 2.0071614583333335)
    assert nn.MSELoss(reduction="sum")(x, t).item() == 12.04296875
    assert nn.MSELoss(reduction="none")(x, t).tolist() == ((pattern(2, 3) - pattern(2, 3) ** 2) ** 2).tolist()
    assert math.isclose(F.mse_loss(x, t, weight=t).item(), 3.9129547574626864)


# --------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "Conv2d: in_channels 3 is not divisible by groups 2"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "Conv2d: out_channels 3 is not divisible"),
        (lambda: nn.Conv2d(3, 4, 0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), ValueError, "padding must be at least 0"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), ValueError, "padding='same' needs stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), ValueError, "'same' or 'valid', got 'full'"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), TypeError, "kernel_size must be an int or two ints"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="odd"), ValueError, "padding_mode"),
        (lambda: nn.Linear(2.0, 3), TypeError, "Linear: in_features must be an int, got 2.0"),
        (lambda: nn.Linear(2, 0), ValueError, "Linear: out_features must be at least 1"),
        (lambda: nn.Linear(2, 3)(minidl.ones(4, 5)), ValueError, "x has 5 features, weight expects 2"),
        (lambda: nn.Linear(2, 3)(minidl.ones(4, 2, dtype=minidl.float64)), TypeError, "float64, weight is .*float32"),
        (lambda: nn.Linear(2, 3)(np.ones((4, 2), np.float32)), TypeError, "must be a Tensor, got ndarray"),
        (lambda: nn.Conv2d(3, 4, 3)(minidl.ones(1, 2, 8, 8)), ValueError, "x has 2 channels, weight expects 3"),
        (lambda: nn.Conv2d(3, 4, 3)(minidl.ones(1, 3, 2, 2)), ValueError, "does not fit"),
        (lambda: nn.Conv2d(3, 4, 3)(minidl.ones(3, 8)), ValueError, r"expected input \(N, C, H, W\)"),
        (lambda: nn.MaxPool2d(2, padding=2)(minidl.ones(1, 1, 4, 4)), ValueError, "at most half"),
        (lambda: nn.MaxPool2d(5)(minidl.ones(1, 1, 4, 4)), ValueError, "does not fit"),
        (lambda: nn.MaxPool2d(2)(minidl.ones(1, 1, 4, 4, dtype=minidl.int64)), TypeError, "floating point"),
        (lambda: nn.AvgPool2d(2, divisor_override=0)(minidl.ones(1, 1, 4, 4)), ValueError, "divisor_override"),
        (lambda: nn.BatchNorm2d(3)(minidl.ones(1, 3, 1, 1)), ValueError, "more than one value per channel"),
        (lambda: nn.BatchNorm2d(3)(minidl.ones(2, 3)), ValueError, r"BatchNorm2d\(3\): expected input \(N, C, H, W\)"),
        (lambda: nn.BatchNorm1d(3)(minidl.ones(2, 4)), ValueError, r"got \(2, 4\)"),
        (lambda: F.batch_norm(minidl.ones(2, 3), None, None), ValueError, "running_mean and running_var"),
        (lambda: F.batch_norm(minidl.ones(2, 3), minidl.ones(2), minidl.ones(3)), ValueError, "running_mean has shape"),
        (lambda: nn.Dropout(1.5), ValueError, "p must be between 0 and 1, got 1.5"),
        (lambda: F.dropout(minidl.ones(2), -0.1), ValueError, "p must be between"),
        (lambda: F.pad(minidl.ones(2, 2), (1,)), ValueError, "two ints for each"),
        (lambda: F.pad(minidl.ones(2, 2), (-2, -1)), ValueError, "takes away more"),
        (lambda: F.one_hot(minidl.tensor([3]), 3), IndexError, "one_hot: index 3"),
        (lambda: F.one_hot(minidl.ones(2)), TypeError, "integers"),
        (lambda: nn.MSELoss(reduction="avg"), ValueError, "'mean', 'sum' or 'none', got 'avg'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, "label_smoothing"),
        (lambda: F.mse_loss(minidl.ones(3, 1), minidl.ones(3)), ValueError, r"input is \(3, 1\), target is \(3,\)"),
        (lambda: F.l1_loss(minidl.ones(3), minidl.ones(())), ValueError, r"input is \(3,\), target is \(\)"),
        (lambda: F.mse_loss(minidl.ones(0), minidl.ones(0)), ValueError, "batch is empty"),
        (lambda: loss([0, 3]), IndexError, "cross_entropy: index 3 is out of range for size 3"),
        (lambda: loss([0, -1]), IndexError, "index -1 is out of range"),
        (lambda: loss([0, -100, 7]), ValueError, r"expected target \(2,\)"),
        (lambda: loss([-100, 7]), IndexError, "index 7"),
        (lambda: loss([0.0, 1.0]), TypeError, "classes in target must be integers"),
        (lambda: loss([0, 1], weight=minidl.ones(2)), ValueError, "one number for each of 3 classes"),
        (lambda: loss([0, 1], weight=None, label_smoothing=-1), ValueError, "label_smoothing"),
        (lambda: loss(np.zeros(0, int)), ValueError, r"expected target \(2,\)"),
        (lambda: F.cross_entropy(minidl.ones(0, 3), minidl.ones(0, dtype=minidl.int64)), ValueError, "batch is empty"),
        (lambda: F.nll_loss(minidl.ones(2, 3), minidl.tensor([0, 3])), IndexError, "nll_loss: index 3"),
        (lambda: F.nll_loss(minidl.ones(2, 3).long(), minidl.tensor([0, 1])), TypeError, "floating point"),
        (lambda: init.uniform_(nn.Parameter(minidl.ones(2)), 1.0, 0.0), ValueError, "a must be at most b"),
        (lambda: init.kaiming_normal_(minidl.ones(2)), ValueError, "at least 2 dimensions"),
        (lambda: init.kaiming_normal_(minidl.ones(2, 2), mode="fan"), ValueError, "mode must be"),
        (lambda: init.calculate_gain("swish"), ValueError, "unknown nonlinearity 'swish'"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def loss(target, **options):
    """The cross-entropy of two rows of three logits."""
    return F.cross_entropy(minidl.ones(2, 3), minidl.tensor(target), **options)


# ------------------------------------------------------------------------------------------------ initial values
def test_default_values_are_uniform_within_one_over_root_fan_in():
    for layer, fan in ((nn.Linear(100, 300), 100), (nn.Conv2d(16, 64, 5, groups=4), 100)):
        for p in layer.parameters():
            values, bound = p.detach().numpy().ravel(), 1 / math.sqrt(fan)
            assert abs(values).max() <= bound
            assert abs(values.mean()) < 4 * bound / math.sqrt(3 * values.size)
            assert abs(values.std() / (bound / math.sqrt(3)) - 1) < 3 / math.sqrt(values.size)
            assert p.requires_grad and p.is_leaf


def test_the_seed_decides_the_weights():
    minidl.manual_seed(3)
    first = nn.Linear(4, 4).weight.tolist()
    assert nn.Linear(4, 4).weight.tolist() != first
    minidl.manual_seed(3)
    assert nn.Linear(4, 4).weight.tolist() == first
    t = minidl.empty(4, 4)
    a = init.normal_(t, generator=minidl.Generator(5)).tolist()
    assert init.normal_(t, generator=minidl.Generator(5)).tolist() == a


@pytest.mark.parametrize(
    "fill, std",
    [
        (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(2 / 500)),
        (lambda t: init.xavier_normal_(t), math.sqrt(2 / 500)),
        (lambda t: init.kaiming_uniform_(t, a=1.0), math.sqrt(1 / 300)),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / 200)),
        (lambda t: init.uniform_(t, -3.0, 3.0), math.sqrt(3)),
        (lambda t: init.normal_(t, 0.0, 0.5), 0.5),
        (lambda t: init.trunc_normal_(t), 0.8796256610342398),  # of a normal cut off at 2 standard deviations
        (lambda t: init.trunc_normal_(t, 0.0, 1.0, 3.0, 5.0), 0.2640),  # of its tail, as below
        (lambda t: init.sparse_(t, 0.75, 1.0), 0.5),
    ],
)
def test_random_initialisers_have_the_right_spread(where, fill, std):
    t = nn.Parameter(where.tensor(np.empty((200, 300)), np.float64))
    assert fill(t) is t and t.requires_grad and t.is_leaf
    values = where.host(t)
    assert abs(values.std() / std - 1) < 0.02
    if values.mean() < 1:
        assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    else:  # the mean of the tail beyond 3: density over probability
        assert abs(values.mean() - 3.2830) < 0.01 and values.min() >= 3.0 and values.max() <= 5.0


def test_fixed_initialisers(where):
    t = where.tensor(np.empty((2, 3)), np.float32)
    assert init.constant_(t, 0.5).tolist() == [[0.5] * 3] * 2
    assert init.ones_(t).sum().item() == 6 and init.zeros_(t).sum().item() == 0
    assert init.eye_(t).tolist() == np.eye(2, 3).tolist()
    x = where.tensor(pattern(1, 4, 5, 6), np.float64)
    w = init.dirac_(where.tensor(np.empty((4, 2, 3, 3)), np.float64), groups=2)
    assert F.conv2d(x, w, padding=1, groups=2).tolist() == x.tolist()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal(shape):
    q = init.orthogonal_(minidl.empty(shape, dtype=minidl.float64), gain=2.0).numpy().reshape(shape[0], -1)
    q = q if shape[0] <= q.shape[1] else q.T
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(len(q)), atol=1e-12)


def test_orthogonal_matrices_are_drawn_evenly():
    positive = sum(init.orthogonal_(minidl.empty(3, 3))[0, 0].item() > 0 for _ in range(100))
    assert 30 < positive < 70


def test_gains():
    gains = {"linear": 1, "conv2d": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    assert {name: init.calculate_gain(name) for name in gains} == gains
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(1.6)


# -------------------------------------------------------------------------------------------------------- utils
@pytest.mark.parametrize(
    "order, norm, first",
    [
        (1.0, 5.5, -0.34090902892563113),
        (2, 2.318404623873926, -0.8087454501887292),
        (3.0, 1.7947635880170796, -1.0447052569003312),
        (math.inf, 1.25, -1.25),
        (0.0, 2.0, -0.9374995312502343),
    ],
)
def test_clip_grad_norm(where, order, norm, first):
    parameters = [where.leaf(np.zeros(s)) for s in ((2, 2), (3,), (1,))]
    for p in parameters[:2]:
        p.grad = where.tensor(pattern(*p.shape), np.float64)
    memory = parameters[0].grad.array
    total = nn.utils.clip_grad_norm_(iter(parameters), 1.5, order, foreach=True)
    assert isinstance(total, minidl.Tensor) and math.isclose(total.item(), norm, rel_tol=1e-12)
    assert parameters[0].grad.array is memory and math.isclose(parameters[0].grad[0, 0].item(), first, rel_tol=1e-12)


def test_clipping_can_refuse_nan_and_clips_values(where):
    p = where.leaf(np.zeros(2))
    assert nn.utils.clip_grad_norm_(p, 1.0).item() == 0.0
    p.grad = where.tensor([math.nan, 1.0], np.float64)
    with pytest.raises(RuntimeError, match="order 2.0 of the gradients is nan"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    p.grad = where.tensor([-3.0, 1.0], np.float64)
    nn.utils.clip_grad_value_(p, 2.0)
    assert p.grad.tolist() == [-2.0, 1.0]


def test_half_precision_norms_do_not_overflow():
    g = minidl.full((100,), 300.0, dtype=minidl.float16)
    assert nn.utils.get_total_norm(g).item() == 3000.0


def test_parameters_as_one_vector(where):
    net = nn.Linear(3, 2).to(where.name)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (8,) and vector.requires_grad
    weight = net.weight
    nn.utils.vector_to_parameters(vector.detach() * 0 + 2, net.parameters())
    assert net.weight is weight and weight.tolist() == [[2.0] * 3] * 2 and weight.requires_grad
    with pytest.raises(ValueError, match="8"):
        nn.utils.vector_to_parameters(vector[:-1], net.parameters())


# ------------------------------------------------------------------------------------------------ all together
def test_a_small_network_learns(where):
    minidl.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.1)
    )
    net = net.append(nn.Flatten()).append(nn.Linear(16, 3)).to(where.name)
    x = where.tensor(np.random.default_rng(1).normal(size=(32, 1, 4, 4)), np.float32)
    target = (x.sum((1, 2, 3)) > 0).long() + (x.sum((1, 2, 3)) > 2).long()
    loss = nn.CrossEntropyLoss()
    values = []
    for _ in range(60):
        value = loss(net(x), target)
        net.zero_grad()
        value.backward()
        with minidl.no_grad():
            for p in net.parameters():
                p -= 0.2 * p.grad
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
    net.eval()
    assert (net(x).argmax(1) == target).float().mean().item() > 0.9


def test_a_training_step_neither_waits_for_the_device_nor_uploads():
    net = nn.Sequential(nn.Conv2d(1, 4, 2, padding="same"), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    net = net.append(nn.AvgPool2d(3, 2, 1, True, False)).append(nn.Flatten()).append(nn.Linear(36, 3)).to("cuda")
    x, target = minidl.randn(8, 1, 8, 8, device="cuda"), minidl.randint(0, 3, (8,), device="cuda")
    weight = minidl.ones(3, device="cuda")

    def step():
        F.cross_entropy(net(x), target).backward()
        F.cross_entropy(net(x), target, weight, label_smoothing=0.1).backward()
        F.mse_loss(net(x), F.one_hot(target, 3).float()).backward()
        F.max_pool2d(x, 2, return_indices=True)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        nn.utils.clip_grad_value_(net.parameters(), 1.0)

    step()  # what is made once is made here
    with no_sync(), no_upload():
        step()
