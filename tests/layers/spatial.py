"""Layers of three dimensions, and those that shuffle, unfold, unpool, resize and pad."""

from __future__ import annotations

import numpy as np

from .runs import layer

# ------------------------------------------------------------------------------------------------------ convolutions
layer("Conv3d", lambda nn: nn.Conv3d(2, 3, 2), (2, 2, 3, 3, 4))
layer("Conv3d options", lambda nn: nn.Conv3d(4, 2, (2, 1, 3), (1, 2, 2), 1, (2, 1, 1), 2, False), (1, 4, 4, 3, 4))
layer("Conv3d same", lambda nn: nn.Conv3d(1, 2, (2, 3, 4), padding="same"), (1, 1, 2, 3, 4))
layer("Conv3d one volume", lambda nn: nn.Conv3d(1, 2, 2, 2, 1), (1, 3, 2, 2))
layer("Conv3d circular", lambda nn: nn.Conv3d(1, 2, 3, padding=1, padding_mode="circular"), (1, 1, 2, 2, 3))
layer("ConvTranspose3d", lambda nn: nn.ConvTranspose3d(2, 3, 2), (2, 2, 2, 2, 3))
layer(
    "ConvTranspose3d options",
    lambda nn: nn.ConvTranspose3d(2, 4, (3, 2, 1), (2, 3, 1), (1, 0, 0), (1, 2, 0), 2, False, (1, 2, 1)),
    (1, 2, 2, 2, 3),
)
layer(
    "ConvTranspose3d, output_padding beyond the stride",
    lambda nn: nn.ConvTranspose3d(1, 2, 2, (2, 1, 1), 1, (2, 2, 1), 1, True, 3),
    (1, 1, 2, 2, 3),
)
layer(
    "ConvTranspose2d, output_padding beyond the stride, padded",
    lambda nn: nn.ConvTranspose2d(2, 1, 2, 1, (1, 2), (2, 1), 1, True, 3),
    (1, 2, 3, 4),
)

# ----------------------------------------------------------------------------------------------------------- pooling
layer("MaxPool3d", lambda nn: nn.MaxPool3d(2), (1, 2, 4, 2, 4))
layer(
    "MaxPool3d options",
    lambda nn: nn.MaxPool3d((2, 3, 2), (1, 2, 2), (1, 1, 0), (1, 1, 2), ceil_mode=True),
    (2, 1, 3, 4, 5),
)
layer("AvgPool3d", lambda nn: nn.AvgPool3d(2, 1), (1, 2, 2, 3, 3))
layer("AvgPool3d options", lambda nn: nn.AvgPool3d((2, 3, 2), (1, 2, 2), (1, 1, 0), True, False), (1, 2, 3, 4, 5))
layer("AvgPool3d divisor", lambda nn: nn.AvgPool3d(2, divisor_override=3), (2, 2, 4, 2))
layer("AdaptiveAvgPool3d", lambda nn: nn.AdaptiveAvgPool3d((2, None, 3)), (1, 2, 3, 2, 4))
layer("AdaptiveAvgPool3d to 1", lambda nn: nn.AdaptiveAvgPool3d(1), (2, 2, 2, 1, 3))
layer("AdaptiveMaxPool3d", lambda nn: nn.AdaptiveMaxPool3d((2, None, 3)), (1, 2, 3, 2, 4))
layer("LPPool1d", lambda nn: nn.LPPool1d(2, 3, 2, True), (2, 2, 6))
layer("LPPool2d", lambda nn: nn.LPPool2d(2.0, (2, 1)), (2, 2, 4, 3))
layer("LPPool3d", lambda nn: nn.LPPool3d(2, 2, 1), (1, 2, 2, 3, 3))
_AT1, _AT2 = np.array([[[1, 3, 5]]]), np.array([[[[0, 3], [8, 15]]]])
_AT3 = np.array([[[[[0, 3]], [[9, 15]]]]])
layer("MaxUnpool1d", lambda nn: nn.MaxUnpool1d(2), (1, 1, 3), _AT1)
layer("MaxUnpool2d", lambda nn: nn.MaxUnpool2d(2, 2, 0), (1, 1, 2, 2), _AT2)
layer("MaxUnpool3d", lambda nn: nn.MaxUnpool3d((2, 2, 2)), (1, 1, 2, 1, 2), _AT3)


def _fixed(nn, dims):
    """A fractional pooling with given random numbers, in the dtype of the inputs."""
    kind = nn.FractionalMaxPool2d if dims == 2 else nn.FractionalMaxPool3d
    samples = nn.Linear(dims, 2).weight.detach() * 0 + (0.7 if dims == 2 else 0.3)
    return kind(2, output_ratio=0.6, _random_samples=samples[None])


layer("FractionalMaxPool2d", lambda nn: nn.FractionalMaxPool2d and _fixed(nn, 2), (1, 2, 6, 5))
layer("FractionalMaxPool3d", lambda nn: nn.FractionalMaxPool3d and _fixed(nn, 3), (1, 2, 4, 6, 5))

# ------------------------------------------------------------------------------------------ normalisation and dropout
layer("BatchNorm3d", lambda nn: nn.BatchNorm3d(2), (2, 2, 2, 1, 3))
layer("SyncBatchNorm", lambda nn: nn.SyncBatchNorm(3, momentum=None), (4, 3))
layer(
    "convert_sync_batchnorm",
    lambda nn: nn.SyncBatchNorm.convert_sync_batchnorm(
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.Sequential(nn.BatchNorm2d(2, affine=False)), nn.BatchNorm2d(2, 0.1))
    ),
    (2, 1, 3, 3),
)
layer("CrossMapLRN2d", lambda nn: nn.CrossMapLRN2d(4, 0.5), (1, 2, 2, 1))
layer("InstanceNorm3d", lambda nn: nn.InstanceNorm3d(2, affine=True, track_running_stats=True), (2, 2, 2, 1, 3))
layer("InstanceNorm3d one volume", lambda nn: nn.InstanceNorm3d(2), (2, 2, 2, 2))
layer("Dropout3d 0", lambda nn: nn.Dropout3d(0.0), (1, 2, 2, 1, 2))
layer("FeatureAlphaDropout 0", lambda nn: nn.FeatureAlphaDropout(0.0), (2, 3, 2))

# --------------------------------------------------------------------------------------------------- shapes and sizes
layer("PixelShuffle", lambda nn: nn.PixelShuffle(2), (2, 4, 2, 3))
layer("PixelUnshuffle", lambda nn: nn.PixelUnshuffle(3), (1, 2, 3, 6))
layer("ChannelShuffle", lambda nn: nn.ChannelShuffle(3), (2, 6, 2))
layer("Unfold", lambda nn: nn.Unfold((2, 3), 1, (1, 0), 2), (2, 2, 3, 5))
layer("Fold", lambda nn: nn.Fold((3, 4), 2, 2, 1), (2, 4, 12))
layer("ConstantPad3d", lambda nn: nn.ConstantPad3d((1, -1, 0, 2, 1, 0), 0.5), (1, 1, 2, 2, 3))
layer("ZeroPad3d", lambda nn: nn.ZeroPad3d(1), (1, 1, 1, 2, 2))
for _make in (
    lambda nn: nn.ReflectionPad3d((2, 1, 0, 1, 1, 1)),
    lambda nn: nn.ReplicationPad3d((3, 1, 0, 2, -1, 1)),
    lambda nn: nn.CircularPad3d((3, 2, 1, 0, -1, 1)),
):
    layer(_make.__code__.co_names[0], _make, (1, 2, 3, 2, 3))
for _mode in ("nearest-exact", "area", "bicubic"):
    layer(f"Upsample {_mode}", lambda nn, m=_mode: nn.Upsample((5, 2), mode=m), (1, 1, 3, 3))
layer("Upsample trilinear", lambda nn: nn.Upsample(scale_factor=(1.5, 1, 2), mode="trilinear"), (1, 1, 2, 2, 3))


# ------------------------------------------------------------------- functions that no layer has: second order too
def _function(nn, function):
    """A module of one function of its inputs and `nn.functional`."""

    class Function(nn.Module):
        def forward(self, *inputs):
            return function(nn.functional, *inputs)

    return Function()


for _name, _inputs, _call in (
    ("bilinear zeros", ((1, 2, 3, 4), (1, 2, 3, 2)), lambda F, x, g: F.grid_sample(x, g, align_corners=False)),
    (
        "bicubic reflection",
        ((1, 1, 4, 3), (1, 2, 2, 2)),
        lambda F, x, g: F.grid_sample(x, g, "bicubic", "reflection", True),
    ),
    (
        "volume, border",
        ((1, 1, 2, 3, 3), (1, 1, 2, 2, 3)),
        lambda F, x, g: F.grid_sample(x, g, padding_mode="border", align_corners=True),
    ),
    (
        "of a map",
        ((2, 1, 3, 3), (2, 2, 3)),
        lambda F, x, t: F.grid_sample(x, F.affine_grid(t, (2, 1, 2, 2), align_corners=False), align_corners=False),
    ),
):
    layer(f"grid_sample {_name}", lambda nn, call=_call: _function(nn, call), *_inputs)
layer(
    "interpolate antialias",
    lambda nn: _function(nn, lambda F, x: F.interpolate(x, (3, 2), mode="bicubic", antialias=True)),
    (1, 1, 5, 5),
)
layer("conv_tbc", lambda nn: _function(nn, lambda F, x, w, b: F.conv_tbc(x, w, b, 1)), (4, 2, 2), (2, 2, 3), (3,))
