"""Convolutions, pooling, normalisation, activations, padding, sizes and containers, over their main options."""

from __future__ import annotations

from .runs import layer

# ------------------------------------------------------------------------------------------------------ convolutions
layer("Conv1d", lambda nn: nn.Conv1d(2, 4, 3), (2, 2, 7))
layer("Conv1d options", lambda nn: nn.Conv1d(4, 6, 2, 2, 1, 3, 2, False), (2, 4, 8))
layer("Conv1d same", lambda nn: nn.Conv1d(2, 3, 4, padding="same"), (2, 2, 6))
layer("Conv1d one line", lambda nn: nn.Conv1d(2, 3, 2), (2, 5))
for _mode in ("reflect", "replicate", "circular"):
    layer(f"Conv1d {_mode}", lambda nn, m=_mode: nn.Conv1d(2, 3, 3, padding=2, padding_mode=m), (2, 2, 5))
    layer(f"Conv2d {_mode}", lambda nn, m=_mode: nn.Conv2d(2, 2, 3, 2, (1, 2), padding_mode=m), (1, 2, 4, 5))
layer("Conv2d same, reflect", lambda nn: nn.Conv2d(1, 2, (2, 4), padding="same", padding_mode="reflect"), (1, 1, 4, 5))
layer("ConvTranspose2d", lambda nn: nn.ConvTranspose2d(3, 2, 3), (2, 3, 3, 4))
layer("ConvTranspose2d options", lambda nn: nn.ConvTranspose2d(4, 6, (3, 2), 2, 1, (1, 0), 2, False, 2), (2, 4, 3, 4))
layer(
    "ConvTranspose2d, output_padding beyond the stride",
    lambda nn: nn.ConvTranspose2d(2, 2, 2, (1, 2), 0, (2, 2), 1, True, 3),
    (1, 2, 2, 3),
)
layer("ConvTranspose2d, padding beyond the kernel", lambda nn: nn.ConvTranspose2d(2, 1, 2, 2, 3), (1, 2, 5, 6))
layer("ConvTranspose1d", lambda nn: nn.ConvTranspose1d(4, 6, 3, 3, 1, 2, 2, True, 2), (2, 4, 5))
layer("ConvTranspose1d one line", lambda nn: nn.ConvTranspose1d(2, 3, 3, bias=False), (2, 4))

# ----------------------------------------------------------------------------------------------------------- pooling
layer("MaxPool1d", lambda nn: nn.MaxPool1d(3, 2, 1), (2, 2, 7))
layer("MaxPool1d options", lambda nn: nn.MaxPool1d(2, 2, 0, 2, ceil_mode=True), (2, 2, 7))
layer("AvgPool1d", lambda nn: nn.AvgPool1d(3, 2, 1, True, False), (2, 2, 6))
layer("AvgPool1d one line", lambda nn: nn.AvgPool1d(2), (2, 7))
layer("AdaptiveAvgPool1d", lambda nn: nn.AdaptiveAvgPool1d(3), (2, 2, 7))
layer("AdaptiveAvgPool1d, one line", lambda nn: nn.AdaptiveAvgPool1d(2), (2, 6))
layer("AdaptiveAvgPool2d to 1", lambda nn: nn.AdaptiveAvgPool2d(1), (2, 3, 4, 5))
layer("AdaptiveAvgPool2d dividing", lambda nn: nn.AdaptiveAvgPool2d((2, 3)), (1, 2, 4, 6))
layer("AdaptiveAvgPool2d not dividing", lambda nn: nn.AdaptiveAvgPool2d((3, 4)), (2, 2, 5, 6))
layer("AdaptiveAvgPool2d as wide as it is", lambda nn: nn.AdaptiveAvgPool2d((3, None)), (1, 2, 5, 4))
layer("AdaptiveAvgPool2d larger", lambda nn: nn.AdaptiveAvgPool2d(5), (1, 2, 3, 4))
layer("AdaptiveMaxPool1d", lambda nn: nn.AdaptiveMaxPool1d(3), (2, 2, 7))
layer("AdaptiveMaxPool2d dividing", lambda nn: nn.AdaptiveMaxPool2d((2, 3)), (2, 1, 4, 6))
layer("AdaptiveMaxPool2d not dividing", lambda nn: nn.AdaptiveMaxPool2d((3, 4)), (2, 2, 5, 6))
layer("AdaptiveMaxPool2d as tall as it is", lambda nn: nn.AdaptiveMaxPool2d((None, 2)), (2, 5, 5))

# ------------------------------------------------------------------------------------------------------ normalisation
layer("LayerNorm", lambda nn: nn.LayerNorm(4), (3, 4))
layer("LayerNorm two axes", lambda nn: nn.LayerNorm((3, 4), eps=1e-2), (2, 2, 3, 4))
layer("LayerNorm without bias", lambda nn: nn.LayerNorm([4], bias=False), (2, 3, 4))
layer("LayerNorm not affine", lambda nn: nn.LayerNorm(4, elementwise_affine=False), (2, 4))
layer("RMSNorm", lambda nn: nn.RMSNorm(4), (3, 4))
layer("RMSNorm two axes", lambda nn: nn.RMSNorm((3, 2), eps=1e-2, elementwise_affine=False), (2, 3, 2))
layer("GroupNorm", lambda nn: nn.GroupNorm(2, 4), (2, 4, 2, 3))
layer("GroupNorm not affine", lambda nn: nn.GroupNorm(3, 6, eps=1e-2, affine=False), (2, 6))
layer("GroupNorm without bias", lambda nn: nn.GroupNorm(1, 2, bias=False), (2, 2, 5))
layer("InstanceNorm1d", lambda nn: nn.InstanceNorm1d(3), (2, 3, 4))
layer("InstanceNorm1d one line", lambda nn: nn.InstanceNorm1d(3, affine=True), (3, 4))
layer("InstanceNorm1d tracking", lambda nn: nn.InstanceNorm1d(3, 1e-2, 0.3, True, True), (2, 3, 4))
layer("InstanceNorm2d", lambda nn: nn.InstanceNorm2d(3, affine=True), (2, 3, 2, 4))
layer("InstanceNorm2d tracking", lambda nn: nn.InstanceNorm2d(2, track_running_stats=True), (3, 2, 2, 4))
layer("LocalResponseNorm", lambda nn: nn.LocalResponseNorm(3, 0.5, 0.75, 2.0), (2, 4, 2, 3))
layer("LocalResponseNorm even", lambda nn: nn.LocalResponseNorm(2), (2, 4, 3))

# ------------------------------------------------------------------------------------------------- one number to one
layer("Identity", lambda nn: nn.Identity(3, option=4), (3, 4))
layer("Dropout1d 0", lambda nn: nn.Dropout1d(0.0), (2, 3, 4))
layer("Dropout2d 0", lambda nn: nn.Dropout2d(0.0), (2, 3, 2, 2))
layer("AlphaDropout 0", lambda nn: nn.AlphaDropout(0.0), (3, 4))
for _make in (
    lambda nn: nn.ReLU6(),
    lambda nn: nn.LeakyReLU(),
    lambda nn: nn.LeakyReLU(0.3),
    lambda nn: nn.PReLU(),
    lambda nn: nn.PReLU(3, 0.1),
    lambda nn: nn.ELU(),
    lambda nn: nn.ELU(0.5),
    lambda nn: nn.CELU(0.5),
    lambda nn: nn.SELU(),
    lambda nn: nn.GELU(),
    lambda nn: nn.GELU("tanh"),
    lambda nn: nn.SiLU(),
    lambda nn: nn.Mish(),
    lambda nn: nn.Softplus(),
    lambda nn: nn.Softplus(2.0, 1.0),
    lambda nn: nn.Softsign(),
    lambda nn: nn.Tanhshrink(),
    lambda nn: nn.Softshrink(0.25),
    lambda nn: nn.Hardshrink(),
    lambda nn: nn.Hardtanh(-0.5, 0.75),
    lambda nn: nn.Hardsigmoid(),
    lambda nn: nn.Hardswish(),
    lambda nn: nn.Threshold(0.25, -2.0),
    lambda nn: nn.LogSigmoid(),
    lambda nn: nn.Softmin(1),
    lambda nn: nn.Softmax(1),
    lambda nn: nn.LogSoftmax(-1),
    lambda nn: nn.Softmax2d(),
    lambda nn: nn.GLU(2),
):
    layer(f"{_make.__code__.co_names[0]} {_make.__code__.co_consts[:4]}", _make, (2, 3, 2, 2))
layer(
    "in place",
    lambda nn: nn.Sequential(
        *[nn.Linear(4, 3), nn.LeakyReLU(0.3, True), nn.Linear(3, 3), nn.ELU(0.5, True), nn.Linear(3, 3), nn.SiLU(True)],
        *[nn.Linear(3, 3), nn.Mish(True), nn.Linear(3, 3), nn.Hardtanh(-9.0, 9.0, True), nn.Linear(3, 3)],
        *[nn.SELU(True), nn.Linear(3, 3), nn.CELU(2.0, True), nn.Linear(3, 3), nn.Threshold(-9.0, 3.0, True)],
        *[nn.Linear(3, 3), nn.RReLU(0.5, 0.5, True), nn.Linear(3, 2), nn.Hardswish(True)],
    ),
    (3, 4),
)
layer("RReLU with one slope", lambda nn: nn.RReLU(0.25, 0.25), (3, 4))

# ------------------------------------------------------------------------------------------------- shapes and padding
layer("Unflatten", lambda nn: nn.Unflatten(1, (2, 3)), (2, 6, 2))
layer("Unflatten, one size open", lambda nn: nn.Unflatten(-1, (3, -1)), (2, 6))
layer("ConstantPad1d", lambda nn: nn.ConstantPad1d((1, -1), 0.5), (2, 2, 4))
layer("ConstantPad2d", lambda nn: nn.ConstantPad2d(1, -0.5), (1, 2, 2, 3))
layer("ZeroPad1d", lambda nn: nn.ZeroPad1d(2), (2, 2, 3))
layer("ZeroPad2d", lambda nn: nn.ZeroPad2d((1, 0, 2, -1)), (2, 3, 3))
for _make in (
    lambda nn: nn.ReflectionPad1d((2, 1)),
    lambda nn: nn.ReplicationPad1d((3, 1)),
    lambda nn: nn.CircularPad1d((3, 2)),
):
    layer(_make.__code__.co_names[0], _make, (2, 2, 3))
for _make in (
    lambda nn: nn.ReflectionPad2d((2, 1, 0, 1)),
    lambda nn: nn.ReplicationPad2d((3, 1, 0, 2)),
    lambda nn: nn.CircularPad2d((3, 2, 1, 0)),
):
    layer(_make.__code__.co_names[0], _make, (1, 2, 2, 3))
layer("Upsample", lambda nn: nn.Upsample(scale_factor=2), (1, 2, 2, 3))
layer("Upsample to a size", lambda nn: nn.Upsample((3, 5)), (1, 2, 2, 3))
layer("Upsample bilinear", lambda nn: nn.Upsample(scale_factor=(1.5, 2), mode="bilinear"), (1, 2, 2, 3))
layer("Upsample linear", lambda nn: nn.Upsample(5, mode="linear", align_corners=True), (1, 2, 3))
layer("UpsamplingNearest2d", lambda nn: nn.UpsamplingNearest2d(scale_factor=1.7), (1, 2, 3, 2))
layer("UpsamplingBilinear2d", lambda nn: nn.UpsamplingBilinear2d((3, 5)), (1, 2, 2, 3))
layer("CosineSimilarity", lambda nn: nn.CosineSimilarity(1, 1e-6), (2, 3, 4), (2, 3, 4))
layer("PairwiseDistance", lambda nn: nn.PairwiseDistance(3.0, 1e-3, True), (2, 4), (2, 4))


# --------------------------------------------------------------------------------------------------------- containers
def _branches(nn):
    class Branches(nn.Module):
        """Two branches by name, scaled by parameters from a list and a dict."""

        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict({"b": nn.Linear(3, 2), "a": nn.Linear(3, 2, bias=False)})
            self.scales = nn.ParameterList([nn.Parameter(nn.Linear(1, 2).weight.detach()) for _ in range(2)])
            self.shifts = nn.ParameterDict({k: nn.Linear(1, 2).bias.detach() for k in ("z", "y")})

        def forward(self, x):
            y = sum(layer(x) @ scale for layer, scale in zip(self.layers.values(), self.scales, strict=True))
            return y * self.shifts["z"].sum() + self.shifts["y"][0]

    return Branches()


layer("ModuleDict, ParameterList, ParameterDict", _branches, (4, 3))
