"""Layers of images and volumes: what they refuse, how they print, and what PyTorch's values cannot judge."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import functional as F

ONES = minidl.ones


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        # convolutions
        (lambda: nn.Conv3d(2, 3, (3, 3)), TypeError, "Conv3d: kernel_size must be an int or three ints"),
        (lambda: nn.Conv3d(2, 3, 3)(ONES(2, 5, 5)), ValueError, r"conv3d: expected input \(N, C, D, H, W\)"),
        (lambda: nn.Conv3d(2, 3, 3)(ONES(1, 3, 5, 5, 5)), ValueError, "conv3d: input has 3 channels, weight expects 2"),
        (lambda: nn.Conv3d(2, 3, 3)(ONES(1, 2, 5, 2, 5)), ValueError, "does not fit the padded volume"),
        (lambda: nn.Conv3d(2, 3, 3, 2, "same"), ValueError, "padding='same' needs stride 1"),
        (lambda: F.conv3d(ONES(1, 1, 2, 2, 2), ONES(1, 1, 2, 2)), ValueError, "expected a weight with 5 dimensions"),
        (lambda: F.conv3d(ONES(1, 1, 2, 2, 2), ONES(1, 1, 2, 2, 2), ONES(2)), ValueError, r"bias has shape \(2,\)"),
        (
            lambda: nn.ConvTranspose3d(2, 3, 3)(ONES(1, 3, 2, 2, 2)),
            ValueError,
            "input has 3 channels, weight expects 2",
        ),
        (lambda: nn.ConvTranspose3d(1, 1, 1, padding=1)(ONES(1, 1, 2, 3, 3)), ValueError, "nothing is left of input"),
        (lambda: nn.ConvTranspose3d(1, 1, 2, output_padding=1), ValueError, "output_padding must be smaller"),
        (
            lambda: F.conv_tbc(ONES(2, 2), ONES(1, 2, 2), ONES(2)),
            RuntimeError,
            "conv_tbc: input must have 3 dimensions",
        ),
        # pooling
        (lambda: F.max_pool3d(ONES(1, 2, 2), 2), ValueError, "max_pool3d: expected input"),
        (lambda: F.max_pool3d(ONES(1, 1, 2, 2, 2), 3), ValueError, r"kernel \(3, 3, 3\) does not fit the volume"),
        (lambda: F.avg_pool3d(ONES(1, 1, 2, 2, 2), 2, 1, 2), ValueError, "padding must be at most half"),
        (lambda: F.avg_pool3d(ONES(1, 1, 2, 2, 2), 2, divisor_override=0), ValueError, "must not be 0"),
        (lambda: nn.AdaptiveMaxPool3d((1, 2)), TypeError, "output_size must be an int or three ints"),
        (lambda: F.lp_pool2d(ONES(1, 1, 2, 2), 0, 2), ValueError, "lp_pool2d: norm_type must not be 0"),
        (lambda: nn.LPPool1d("2", 2), TypeError, "LPPool1d: norm_type must be a number"),
        (lambda: nn.MaxUnpool2d(2)(ONES(1, 2, 2), ONES(1, 2, 2)), RuntimeError, "indices must be int64"),
        (lambda: nn.MaxUnpool1d(2)(ONES(1, 2), ONES(1, 3).long()), RuntimeError, r"indices are \(1, 3\), input is"),
        (lambda: nn.MaxUnpool1d(2)(ONES(1, 2), ONES(1, 2).long(), (8,)), ValueError, "output_size must be between"),
        (lambda: nn.MaxUnpool1d(2)(ONES(1, 2), ONES(1, 2).long(), (1, 4)), ValueError, "must have 1 or 3 numbers"),
        (lambda: nn.MaxUnpool1d(2)(ONES(1, 2), ONES(1, 2).long() * 4), IndexError, "index 4 is out of range"),
        (lambda: nn.FractionalMaxPool2d(2), ValueError, "expected output_size or output_ratio"),
        (lambda: nn.FractionalMaxPool2d(2, 2, 0.5), ValueError, "expected output_size or output_ratio"),
        (lambda: nn.FractionalMaxPool3d(2, output_ratio=1.0), ValueError, "3 numbers between 0 and 1"),
        (lambda: F.fractional_max_pool2d(ONES(1, 4, 4), 2), ValueError, "expected output_size or output_ratio"),
        (lambda: F.fractional_max_pool2d(ONES(1, 4, 4), 2, 4), ValueError, r"windows of \(2, 2\) do not give \(4, 4\)"),
        (
            lambda: F.fractional_max_pool2d(ONES(1, 4, 4), 2, 2, _random_samples=ONES(1, 1, 3)),
            ValueError,
            r"_random_samples must be \(1, 1, 2\)",
        ),
        (
            lambda: F.fractional_max_pool2d(ONES(1, 4, 4), 2, 2, _random_samples=ONES(1, 1, 2).double()),
            TypeError,
            "_random_samples must be .*float32",
        ),
        # shuffles and windows
        (lambda: nn.PixelShuffle(2)(ONES(1, 6, 2, 2)), RuntimeError, "6 channels cannot be divided by 2 squared"),
        (lambda: nn.PixelShuffle(0), ValueError, "PixelShuffle: upscale_factor must be at least 1"),
        (lambda: F.pixel_shuffle(ONES(4, 2), 2), RuntimeError, r"pixel_shuffle: expected input \(..., C, H, W\)"),
        (lambda: nn.PixelUnshuffle(2)(ONES(1, 3, 4)), RuntimeError, "3 x 4 pixels cannot be divided by 2"),
        (lambda: nn.ChannelShuffle(2)(ONES(1, 3, 4)), RuntimeError, "channels that 2 groups divide"),
        (lambda: F.channel_shuffle(ONES(4, 4), 2), RuntimeError, r"channel_shuffle: expected input \(N, C, ...\)"),
        (lambda: nn.Unfold(3)(ONES(1, 1, 2, 4)), RuntimeError, "does not fit the image"),
        (lambda: nn.Unfold(3)(ONES(4, 4)), ValueError, "unfold: expected input"),
        (lambda: nn.Fold((2, 2), 2)(ONES(1, 3, 1)), RuntimeError, r"fold: expected input \(N, C \* 4, 1\)"),
        (lambda: nn.Fold(3, 2)(ONES(1, 4, 3)), RuntimeError, r"fold: expected input \(N, C \* 4, 4\)"),
        (lambda: nn.Fold(3, 2, stride=0), ValueError, "Fold: stride must be at least 1"),
        # places and sizes
        (lambda: F.grid_sample(ONES(1, 1, 2, 2), ONES(1, 1, 1, 3)), RuntimeError, "grid_sample: expected input"),
        (lambda: F.grid_sample(ONES(1, 1, 2, 2), ONES(1, 1, 1, 2).double()), RuntimeError, "expected one dtype"),
        (lambda: F.grid_sample(ONES(1, 1, 2, 2), ONES(1, 1, 1, 2), "linear"), ValueError, "mode must be 'bilinear'"),
        (lambda: F.grid_sample(ONES(1, 1, 2, 2), ONES(1, 1, 1, 2), padding_mode="a"), ValueError, "padding_mode must"),
        (
            lambda: F.grid_sample(ONES(1, 1, 2, 2, 2), ONES(1, 1, 1, 1, 3), "bicubic"),
            RuntimeError,
            "mode='bicubic' is for images",
        ),
        (lambda: F.affine_grid(ONES(1, 2, 2), (1, 1, 2, 2)), ValueError, r"expected theta \(1, 2, 3\)"),
        (lambda: F.affine_grid(ONES(1, 2, 3), (1, 1, 2)), NotImplementedError, "size must have 4 or 5 numbers"),
        (lambda: F.interpolate(ONES(1, 1, 2, 2), 3, mode="lanczos"), ValueError, "'lanczos' needs antialias=True"),
        (lambda: nn.ZeroPad3d((1, 2)), TypeError, "ZeroPad3d: padding must be an int or six ints"),
        (lambda: nn.ReflectionPad3d(2)(ONES(1, 2, 3, 3)), ValueError, "mode='reflect' can add at most 1"),
        # normalisation and dropout
        (
            lambda: nn.BatchNorm3d(2)(ONES(2, 2, 3, 3)),
            ValueError,
            r"BatchNorm3d\(2\): expected input \(N, C, D, H, W\)",
        ),
        (lambda: nn.InstanceNorm3d(2)(ONES(2, 2, 3)), ValueError, r"InstanceNorm3d\(2\): expected input"),
        (lambda: nn.CrossMapLRN2d(3)(ONES(2, 2, 3)), ValueError, "CrossMapLRN2d: expected input"),
        (lambda: nn.Dropout3d(0.5)(ONES(2, 2, 3)), ValueError, "dropout3d: expected input"),
        (lambda: F.feature_alpha_dropout(ONES(3), 0.5, True), RuntimeError, "feature_alpha_dropout: expected input"),
    ],
)
def test_bad_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: nn.Conv3d(2, 4, 3, (1, 2, 2), padding=1, groups=2),
            "Conv3d(2, 4, kernel_size=(3, 3, 3), stride=(1, 2, 2), padding=(1, 1, 1), groups=2)",
        ),
        (
            lambda: nn.ConvTranspose3d(1, 2, 2, bias=False),
            "ConvTranspose3d(1, 2, kernel_size=(2, 2, 2), stride=(1, 1, 1), bias=False)",
        ),
        (lambda: nn.MaxPool3d(2), "MaxPool3d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (lambda: nn.AvgPool3d((1, 2, 2)), "AvgPool3d(kernel_size=(1, 2, 2), stride=(1, 2, 2), padding=0)"),
        (lambda: nn.AdaptiveAvgPool3d((None, 1, 2)), "AdaptiveAvgPool3d(output_size=(None, 1, 2))"),
        (lambda: nn.LPPool2d(2, 3), "LPPool2d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)"),
        (lambda: nn.MaxUnpool2d(2), "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"),
        (lambda: nn.FractionalMaxPool2d(3, output_ratio=0.5), "FractionalMaxPool2d()"),
        (lambda: nn.ZeroPad3d(1), "ZeroPad3d((1, 1, 1, 1, 1, 1))"),
        (lambda: nn.ConstantPad3d(1, 2.5), "ConstantPad3d(padding=(1, 1, 1, 1, 1, 1), value=2.5)"),
        (lambda: nn.PixelShuffle(3), "PixelShuffle(upscale_factor=3)"),
        (lambda: nn.PixelUnshuffle(3), "PixelUnshuffle(downscale_factor=3)"),
        (lambda: nn.ChannelShuffle(3), "ChannelShuffle(groups=3)"),
        (lambda: nn.Unfold((1, 2)), "Unfold(kernel_size=(1, 2), dilation=1, padding=0, stride=1)"),
        (lambda: nn.Fold(4, 2), "Fold(output_size=4, kernel_size=2, dilation=1, padding=0, stride=1)"),
        (lambda: nn.CrossMapLRN2d(3), "CrossMapLRN2d(3, alpha=0.0001, beta=0.75, k=1)"),
        (lambda: nn.FeatureAlphaDropout(0.25), "FeatureAlphaDropout(p=0.25, inplace=False)"),
        (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), "Upsample(scale_factor=2.0, mode='trilinear')"),
    ],
)
def test_layers_print_as_in_pytorch(make, text):
    assert repr(make()) == text


def test_zero_pads_are_constant_pads():
    assert isinstance(nn.ZeroPad2d(1), nn.ConstantPad2d)
    assert isinstance(nn.ZeroPad3d(1), nn.ConstantPad3d)


def test_cross_map_lrn_is_local_response_norm(where):
    x = where.tensor(np.random.default_rng(0).normal(size=(2, 7, 2, 3)))
    a, b = nn.CrossMapLRN2d(5, 0.5, 0.6, 2.0)(x), nn.LocalResponseNorm(5, 0.5, 0.6, 2.0)(x)
    np.testing.assert_array_equal(where.host(a), where.host(b))
    wider, window = nn.CrossMapLRN2d(4, 0.5)(x), nn.LocalResponseNorm(3, 0.5 * 3 / 4)(x)
    np.testing.assert_array_equal(where.host(wider), where.host(window))


def test_converting_to_sync_batch_norm_keeps_what_is_trained():
    model = nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2, momentum=0.3), nn.Sequential(nn.BatchNorm3d(3)))
    norm, state = model[1], model.state_dict()
    model.eval()
    made = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert made is model and isinstance(model[1], nn.SyncBatchNorm) and isinstance(model[2][0], nn.SyncBatchNorm)
    assert model[1].weight is norm.weight and model[1].running_var is norm.running_var
    assert model[1].momentum == 0.3 and model[1].training is False
    assert list(model.state_dict()) == list(state)
    whole = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(4, affine=False))
    assert isinstance(whole, nn.SyncBatchNorm) and whole.weight is None


def test_dropout_leaves_out_whole_channels(where):
    minidl.manual_seed(3)
    x = where.tensor(np.ones((40, 30, 2, 1, 2)), np.float32)
    y = where.host(F.dropout3d(x, 0.25))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :, :1, :1, :1], y.shape))
    assert set(np.unique(y)) == {0.0, np.float32(4 / 3)}
    assert abs((y[..., 0, 0, 0] == 0).mean() - 0.25) < 0.05
    one = where.host(F.dropout3d(x[:, :, 0], 0.5))  # one volume of 40 channels
    assert ((one == one[:, :1, :1, :1]).all()) and len(np.unique(one)) == 2
    z = where.host(nn.FeatureAlphaDropout(0.25)(x))
    np.testing.assert_array_equal(z, np.broadcast_to(z[:, :, :1, :1, :1], z.shape))
    low = np.unique(z)[0]
    assert len(np.unique(z)) == 2 and abs((z[..., 0, 0, 0] == low).mean() - 0.25) < 0.05
    w = where.tensor(np.ones((2, 3, 4)), np.float32)
    assert F.dropout3d(w[None], 0.5, inplace=True).shape == (1, 2, 3, 4)
    F.feature_alpha_dropout(w, 1.0, True, inplace=True)
    np.testing.assert_allclose(where.host(w), 0)


def test_fractional_pooling_draws_its_windows(where):
    x = where.tensor(np.arange(2 * 3 * 9 * 9).reshape(2, 3, 9, 9), np.float32)
    pool = nn.FractionalMaxPool2d(2, output_size=(5, 4), return_indices=True)
    found = set()
    for seed in range(4):
        minidl.manual_seed(seed)
        y, index = pool(x)
        assert y.shape == index.shape == (2, 3, 5, 4) and index.dtype == minidl.int64
        picked = np.take_along_axis(where.host(x).reshape(2, 3, 81), where.host(index).reshape(2, 3, 20), axis=2)
        np.testing.assert_array_equal(picked.reshape(y.shape), where.host(y))
        assert (where.host(y)[..., -1, -1] == where.host(x)[..., -1, -1]).all()  # the last window ends with the image
        found.add(where.host(y).tobytes())
    assert len(found) > 1
    minidl.manual_seed(0)
    again = pool(x)[0]
    minidl.manual_seed(0)
    np.testing.assert_array_equal(where.host(again), where.host(pool(x)[0]))
    volume = F.fractional_max_pool3d(x[None], 2, output_ratio=0.4)
    assert volume.shape == (1, 2, 1, 3, 3)


def test_unpooling_undoes_pooling(where):
    """Where windows meet in one pixel its value stands there once, and each of them gets the pixel's gradient."""
    x = where.tensor(np.array([[[0.0, 5.0, 1.0, 2.0]]])).requires_grad_()
    y, index = F.max_pool1d(x, 2, 1, return_indices=True)
    assert where.host(index).tolist() == [[[1, 1, 3]]]
    z = F.max_unpool1d(y, index, 2, 1)
    assert where.host(z).tolist() == [[[0.0, 5.0, 0.0, 2.0]]]
    (g,) = minidl.autograd.grad((z * z).sum(), y)
    assert where.host(g).tolist() == [[[10.0, 10.0, 4.0]]]


def test_a_grid_of_the_identity_gives_the_image_back(where):
    x = where.tensor(np.random.default_rng(1).normal(size=(2, 3, 4, 5)), np.float32)
    theta = where.tensor(np.array([[[1.0, 0, 0], [0, 1, 0]]] * 2), np.float32)
    for corners in (True, False):
        grid = F.affine_grid(theta, x.shape, align_corners=corners)
        for mode in ("bilinear", "nearest", "bicubic"):
            y = F.grid_sample(x, grid, mode, "border", align_corners=corners)
            assert y.dtype == minidl.float32
            np.testing.assert_allclose(where.host(y), where.host(x), atol=2e-6)


def test_places_that_are_nan_give_nan():
    grid = minidl.tensor([[[[float("nan"), 0.0], [0.0, 0.0]]]])
    y = F.grid_sample(ONES(1, 1, 3, 3), grid, align_corners=True)
    assert y.isnan().tolist() == [[[[True, False]]]]


@pytest.mark.parametrize("options", [(2,), ((2, 1),), ((1, 3), 2), (3, 1, 1), (2, 1, 0, 2)])
def test_the_largest_value_may_be_nan(where, options):
    """Its place is that of the nan (the first one in a window), which gets the gradient."""
    for at in range(16):
        values = np.arange(16.0).reshape(1, 1, 4, 4)
        values.flat[at] = np.nan
        x = where.tensor(values).requires_grad_()
        y, index = F.max_pool2d(x, *options, return_indices=True)
        bad = np.isnan(where.host(y))
        assert (where.host(index)[bad] == at).all()
        y.sum().backward()
        assert where.host(x.grad).flat[at] == bad.sum()
    x = where.tensor(np.array([[[np.nan, 1.0, np.nan]]]))
    assert F.max_pool1d(x, 3, return_indices=True)[1].item() == 0


def test_a_window_of_minus_infinity_has_its_place_in_the_image():
    x = minidl.full((1, 1, 2, 2), -minidl.inf, requires_grad=True)
    y, places = nn.functional.max_pool2d(x, 3, stride=1, padding=1, return_indices=True)
    assert places.flatten().tolist() == [0, 0, 0, 0] and (y == -minidl.inf).all()
    y.sum().backward()
    assert x.grad.flatten().tolist() == [4, 0, 0, 0]


def test_the_grid_of_nearest_has_a_gradient_of_zeros(where):
    """Also where it holds nan, and where the grid alone requires a gradient."""
    x, grid = where.leaf(np.arange(4.0).reshape(1, 1, 2, 2)), where.leaf([[[[0.9, -0.9], [np.nan, 0.5]]]])
    y = F.grid_sample(x, grid, "nearest", "border", align_corners=False)
    assert y[0, 0, 0, 0].item() == 1.0 and not y.isnan().any()
    for leaves in ((x, grid), (grid,)):
        y = F.grid_sample(
            *[t if any(t is u for u in leaves) else t.detach() for t in (x, grid)], "nearest", "border", False
        )
        found = minidl.autograd.grad(y.sum(), leaves)
        assert found[-1].tolist() == grid.detach().mul(0).nan_to_num().tolist()
    assert F.grid_sample(x.detach(), grid.detach(), "nearest").requires_grad is False
