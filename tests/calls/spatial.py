"""Functions of images, lines and volumes: windows, shuffles, other sizes, places between the pixels."""

from __future__ import annotations

import numpy as np

from .library import numbers, several

# ------------------------------------------------------------------------------------------------- shuffles and windows
several(
    "shuffle",
    {
        "pixel_shuffle": lambda L, x: L.F.pixel_shuffle(x, 2),
        "pixel_shuffle without a batch": lambda L, x: L.F.pixel_shuffle(x[0], 2),
        "pixel_unshuffle": lambda L, x: L.F.pixel_unshuffle(x, 2),
        "there and back": lambda L, x: L.F.pixel_shuffle(L.F.pixel_unshuffle(x[None], 2), 2) * 2,
        "channel_shuffle": lambda L, x: L.F.channel_shuffle(x, 4),
        "native_channel_shuffle": lambda L, x: L.F.native_channel_shuffle(x.detach(), 2),
    },
    numbers(1, 2, 8, 2, 4),
)
several(
    "unfold",
    {
        "plain": lambda L, x: L.F.unfold(x, 2),
        "options": lambda L, x: L.F.unfold(x, (2, 3), dilation=(2, 1), padding=(1, 2), stride=(1, 2)),
        "one image": lambda L, x: L.F.unfold(x[0], (3, 1), 1, 0, 2),
        "and fold": lambda L, x: L.F.fold(L.F.unfold(x, 2, 1, 1, 2), (4, 5), 2, 1, 1, 2),
        "fold, over each other": lambda L, x: L.F.fold(
            x.reshape(2, 4, 10)[:, :, :6], (3, 5), (2, 1), dilation=(2, 1), padding=(1, 2), stride=(2, 3)
        ),
        "fold one": lambda L, x: L.F.fold(x.reshape(2, 40)[:, :20].reshape(8, 5), (2, 6), 2),
    },
    numbers(1, 2, 2, 4, 5),
)

# -------------------------------------------------------------------------------------------------------- convolutions
several(
    "conv3d",
    {
        "plain": lambda L, x, w, b: L.F.conv3d(x, w, b),
        "options": lambda L, x, w, b: L.F.conv3d(x, w[:, :1], b, (2, 1, 1), (1, 0, 2), (1, 2, 1), 2),
        "same": lambda L, x, w, b: L.F.conv3d(x[0], w, padding="same", dilation=(2, 2, 1)),
        "valid": lambda L, x, w, b: L.F.conv3d(x, w[..., :1], b, padding="valid", stride=2),
        "transposed": lambda L, x, w, b: L.F.conv_transpose3d(x, w, b[:2]),
        "transposed options": lambda L, x, w, b: L.F.conv_transpose3d(
            x[0], w[:, :1], b[:2], (2, 1, 1), (1, 0, 1), (1, 1, 0), 2, (1, 2, 1)
        ),
    },
    numbers(1, 1, 2, 3, 3, 4),
    numbers(2, 2, 2, 2, 2, 3),
    numbers(3, 2),
)
several(
    "conv_tbc",
    {"plain": lambda L, x, w, b: L.F.conv_tbc(x, w, b), "padded": lambda L, x, w, b: L.F.conv_tbc(x, w, b, pad=2)},
    numbers(1, 5, 2, 3),
    numbers(2, 3, 3, 4),
    numbers(3, 4),
)

# ------------------------------------------------------------------------------------------------------------- pooling
several(
    "pool 3d",
    {
        "max_pool3d": lambda L, x: L.F.max_pool3d(x.round(), 2, 1, return_indices=True),
        "max_pool3d options": lambda L, x: L.F.max_pool3d(x[0], (2, 3, 2), (1, 2, 2), (1, 1, 0), (1, 1, 2), True, True),
        "max_pool3d_with_indices": lambda L, x: L.F.max_pool3d_with_indices(x, (1, 2, 2)),
        "avg_pool3d": lambda L, x: L.F.avg_pool3d(x, (2, 3, 2), 2, (1, 1, 0), True, False),
        "avg_pool3d one volume": lambda L, x: L.F.avg_pool3d(x[0], 2, divisor_override=3),
        "adaptive_avg_pool3d": lambda L, x: L.F.adaptive_avg_pool3d(x, (2, 3, None)),
        "adaptive_avg_pool3d dividing": lambda L, x: L.F.adaptive_avg_pool3d(x[0], (1, 2, 5)),
        "adaptive_max_pool3d": lambda L, x: L.F.adaptive_max_pool3d(x.round(), (2, 3, 2), True),
        "adaptive_max_pool3d_with_indices": lambda L, x: L.F.adaptive_max_pool3d_with_indices(x[0], (None, 1, 3)),
        "lp_pool3d": lambda L, x: L.F.lp_pool3d(x, 2, (2, 1, 2), ceil_mode=True),
        "lp_pool3d inf": lambda L, x: L.F.lp_pool3d(x, float("inf"), 2),
        "lp_pool2d": lambda L, x: L.F.lp_pool2d(x[0], 4, 2, stride=1),
        "lp_pool2d odd": lambda L, x: L.F.lp_pool2d(x.abs()[0], 3.0, (1, 2)),
        "lp_pool1d": lambda L, x: L.F.lp_pool1d(x[0, 0], 2.0, 2, 1),
        "lp_pool1d minus inf": lambda L, x: L.F.lp_pool1d(x[0, 0, 0], -float("inf"), 2),
    },
    numbers(1, 1, 2, 3, 4, 5),
)
several(
    "unpool",
    {
        "max_unpool1d": lambda L, x: L.F.max_unpool1d(*L.F.max_pool1d(x[0], 2, return_indices=True), 2),
        "max_unpool1d to a size": lambda L, x: L.F.max_unpool1d(
            *L.F.max_pool1d(x[0, 0], 3, return_indices=True), 3, output_size=(7,)
        ),
        "max_unpool2d": lambda L, x: L.F.max_unpool2d(
            *L.F.max_pool2d(x, 2, padding=1, return_indices=True), 2, padding=1, output_size=x.shape
        ),
        "max_unpool2d, meeting twice": lambda L, x: L.F.max_unpool2d(
            *L.F.max_pool2d(x, 3, 1, return_indices=True), kernel_size=3, stride=1
        ),
        "max_unpool3d": lambda L, x: L.F.max_unpool3d(
            *L.F.max_pool3d(x, (1, 2, 2), return_indices=True), (1, 2, 2), output_size=(3, 4, 7)
        ),
        "max_unpool3d with a batch": lambda L, x: L.F.max_unpool3d(
            *L.F.max_pool3d(x[None], (2, 1, 3), return_indices=True), [2, 1, 3], output_size=(3, 4, 7)
        ),
    },
    numbers(1, 2, 3, 4, 7),
)
_U = np.array([[[0.1, 0.9, 0.5], [0.6, 0.3, 0.99]]])
several(
    "fractional",
    {
        "2d": lambda L, x, u: L.F.fractional_max_pool2d(x[:, :, 0], 2, (3, 4), None, True, u[..., :2]),
        "2d, one image": lambda L, x, u: L.F.fractional_max_pool2d(
            x[0, :, 1], (1, 2), output_ratio=(0.6, 0.4), _random_samples=u[..., 1:]
        ),
        "2d with indices": lambda L, x, u: L.F.fractional_max_pool2d_with_indices(
            x[:, :, 2], 3, 1, None, False, u[..., :2]
        ),
        "3d": lambda L, x, u: L.F.fractional_max_pool3d(x, (1, 2, 2), (3, 3, 4), None, True, _random_samples=u),
        "3d with indices": lambda L, x, u: L.F.fractional_max_pool3d_with_indices(
            x[0], 2, output_ratio=(0.5, 0.6, 0.7), _random_samples=u
        ),
    },
    numbers(1, 1, 2, 4, 5, 6),
    _U,
    fixed=(1,),
)

# --------------------------------------------------------------------------------------------------------- other sizes
_SIZES = {}
for _mode in ("nearest-exact", "area"):
    _SIZES[f"{_mode} line"] = lambda L, x, m=_mode: L.F.interpolate(x[0], 9, mode=m)
    _SIZES[_mode] = lambda L, x, m=_mode: L.F.interpolate(x, (3, 4), mode=m)
    _SIZES[f"{_mode} factor"] = lambda L, x, m=_mode: L.F.interpolate(x, scale_factor=(1.3, 0.6), mode=m)
    _SIZES[f"{_mode} volume"] = lambda L, x, m=_mode: L.F.interpolate(x[:, None], (2, 3, 4), mode=m)
for _corners in (False, True):
    _SIZES[f"bicubic {_corners}"] = lambda L, x, c=_corners: L.F.interpolate(x, (7, 3), None, "bicubic", c)
    _SIZES[f"bicubic factor {_corners}"] = lambda L, x, c=_corners: L.F.interpolate(x, None, (1.3, 0.6), "bicubic", c)
    _SIZES[f"trilinear {_corners}"] = lambda L, x, c=_corners: L.F.interpolate(
        x[:, None], (3, 3, 5), None, "trilinear", c
    )
    for _mode in ("bilinear", "bicubic"):
        _SIZES[f"{_mode} {_corners} antialias"] = lambda L, x, m=_mode, c=_corners: L.F.interpolate(
            x, (2, 9), None, m, c, antialias=True
        )
_SIZES["trilinear factor"] = lambda L, x: L.F.interpolate(x[:, None], scale_factor=(2, 1.5, 0.7), mode="trilinear")
_SIZES["bilinear factor, antialias"] = lambda L, x: L.F.interpolate(x, None, 0.4, "bilinear", antialias=True)
_SIZES["lanczos"] = lambda L, x: L.F.interpolate(x, (2, 3), mode="lanczos", antialias=True)
# PyTorch's derivatives of these belong to other places
_SIZES["nearest line as long"] = lambda L, x: L.F.interpolate(x[0].detach(), scale_factor=1.1)
_SIZES["nearest image, twice as wide"] = lambda L, x: L.F.interpolate(x.detach(), scale_factor=(1.1, 2.05))
_SIZES["nearest-exact image"] = lambda L, x: L.F.interpolate(x.detach(), scale_factor=(2.1, 1.15), mode="nearest-exact")
_OLD = {
    "upsample_nearest": lambda L, x: L.F.interpolate(x, 6) if L.T.__name__ == "torch" else L.F.upsample_nearest(x, 6),
    "upsample_bilinear": lambda L, x: (
        L.F.interpolate(x, None, 1.5, "bilinear", True)
        if L.T.__name__ == "torch"
        else L.F.upsample_bilinear(x, None, 1.5)
    ),
}
several("sizes", _SIZES | _OLD, numbers(1, 1, 2, 5, 6))

# ----------------------------------------------------------------------------------------- places between the pixels
_PLACES, _SPACES = {}, {}
for _padding in ("zeros", "border", "reflection"):
    for _corners in (False, True):
        for _mode in ("bilinear", "nearest", "bicubic"):
            _PLACES[f"{_mode} {_padding} {_corners}"] = lambda L, x, g, m=_mode, p=_padding, c=_corners: (
                L.F.grid_sample(x, g * 1.4, m, p, c)
            )
            if _mode != "bicubic":
                _SPACES[f"{_mode} {_padding} {_corners}"] = lambda L, x, g, m=_mode, p=_padding, c=_corners: (
                    L.F.grid_sample(x, g * 1.4, m, p, align_corners=c)
                )
several("grid_sample", _PLACES, numbers(1, 2, 1, 4, 3), numbers(2, 2, 3, 2, 2))
several("grid_sample 3d", _SPACES, numbers(1, 1, 2, 3, 2, 3), numbers(2, 1, 1, 3, 2, 3))
several(
    "affine_grid",
    {
        "edges": lambda L, t: L.F.affine_grid(t[:, :2, :3], (2, 1, 2, 3), align_corners=False),
        "corners": lambda L, t: L.F.affine_grid(t[:, :2, :3], [2, 1, 2, 3], True),
        "volumes": lambda L, t: L.F.affine_grid(t, (2, 1, 2, 1, 3), False),
    },
    numbers(1, 2, 3, 4),
)

# ---------------------------------------------------------------------------------------------------- padding, dropout
for _mode in ("reflect", "replicate", "circular"):
    several(
        f"pad {_mode} further",
        {
            "cropped": lambda L, x, m=_mode: L.F.pad(x[0], (2, -1, -1, 1), m),
            "cropped twice": lambda L, x, m=_mode: L.F.pad(x[0, 0], (-1, -1), m),
            "three": lambda L, x, m=_mode: L.F.pad(x, (1, 2, -1, 1, 1, 0), m),
            "three of a sample": lambda L, x, m=_mode: L.F.pad(x[0], (1, 0, 0, 1, 1, 1), m),
        },
        numbers(1, 1, 2, 3, 3, 4),
    )
several(
    "dropout of channels without chance",
    {
        "eval": lambda L, x: L.F.dropout3d(x, 0.5, False) + L.F.feature_alpha_dropout(x, 0.5),
        "none": lambda L, x: L.F.dropout3d(x[0], 0.0) + L.F.feature_alpha_dropout(x[0], 0.0, True),
        "all": lambda L, x: L.F.dropout3d(x, 1.0) + L.F.feature_alpha_dropout(x, 1.0, True),
    },
    numbers(1, 1, 3, 2, 2, 2),
)
