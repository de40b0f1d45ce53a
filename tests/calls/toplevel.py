"""The functions of layers and losses that PyTorch also has at its top, with its numbers for modes and reductions."""

from __future__ import annotations

import numpy as np

from .library import call, numbers, several, whole

_SIGNS = np.array([1, -1, 1])

several(
    "torch of a line",
    {
        "adaptive_max_pool1d": lambda L, x, w: L.T.adaptive_max_pool1d(x, 3),
        "max_pool1d_with_indices": lambda L, x, w: L.T.max_pool1d_with_indices(x, 3, 2, 1, ceil_mode=True),
        "conv1d": lambda L, x, w: L.T.conv1d(x, w, stride=2, padding=1),
        "conv_tbc": lambda L, x, w: L.T.conv_tbc(
            x.permute(2, 0, 1).contiguous(), w.permute(2, 1, 0).contiguous(), w[:, 0, 0], 1
        ),
        "convolution": lambda L, x, w: L.T.convolution(x, w, w[:, 0, 0], [2], [1], [1], False, [0], 1),
        "convolution, transposed": lambda L, x, w: L.T.convolution(x, w, None, [2], [1], [1], True, [1], 1),
        "native_channel_shuffle": lambda L, x, w: L.T.native_channel_shuffle(x.detach(), 2),
        "norm_except_dim": lambda L, x, w: L.T.norm_except_dim(x, 2, 1) + L.T.norm_except_dim(w, 1, -1),
        "feature_dropout": lambda L, x, w: L.T.feature_dropout(x, 0.0, True) + L.T.feature_dropout(x, 0.5, False),
        "feature_alpha_dropout": lambda L, x, w: L.T.feature_alpha_dropout(x, 0.5, False),
    },
    numbers(1, 3, 4, 7),
    numbers(2, 4, 4, 3),
)


@call("torch of an image: convolution in groups", numbers(3, 1, 2, 4, 3), numbers(4, 4, 1, 2, 2), numbers(5, 4))
def _convolution(L, x, w, b):
    return L.T.convolution(x, w, b, (2, 1), (1, 0), (1, 1), False, (0, 0), 2)


@call("torch of a volume: convolution", numbers(6, 1, 2, 2, 2, 3), numbers(7, 2, 1, 2, 1, 2))
def _volume(L, x, w):
    return L.T.convolution(x, w, None, (1, 1, 1), (0, 0, 1), (1, 1, 1), True, (0, 0, 0), 1)


several(
    "torch of places",
    {
        **{
            f"grid_sampler {mode} {outside}": lambda L, x, g, m=mode, o=outside: L.T.grid_sampler(x, g, m, o, m == 1)
            for mode, outside in ((0, 0), (1, 1), (2, 2), (0, 2))
        },
        "grid_sampler_2d": lambda L, x, g: L.T.grid_sampler_2d(x, g, 0, 1, False),
        "grid_sampler_3d": lambda L, x, g: L.T.grid_sampler_3d(
            x[..., None], L.T.cat((g, g), 3)[:, None, ..., :3], 0, 0, True
        ),
        "affine_grid_generator": lambda L, x, g: L.T.affine_grid_generator(g[:, :, :, 0], (2, 1, 2, 2), False),
    },
    numbers(8, 2, 1, 3, 4),
    numbers(9, 2, 2, 3, 2),
)

for _how in (0, 1, 2):
    several(
        f"torch's losses, reduction {_how}",
        {
            "binary_cross_entropy_with_logits": lambda L, x, y, r=_how: L.T.binary_cross_entropy_with_logits(
                x, y.sigmoid(), y.detach().exp(), x.detach().exp(), r
            ),
            "cosine_embedding_loss": lambda L, x, y, r=_how: L.T.cosine_embedding_loss(x, y, L.tensor(_SIGNS), 0.1, r),
            "hinge_embedding_loss": lambda L, x, y, r=_how: L.T.hinge_embedding_loss(
                x, L.tensor(_SIGNS).view(3, 1).expand(3, 2), 0.4, r
            ),
            "margin_ranking_loss": lambda L, x, y, r=_how: L.T.margin_ranking_loss(
                x[:, 0], y[:, 0], L.tensor(_SIGNS), 0.4, r
            ),
            "kl_div": lambda L, x, y, r=_how: L.T.kl_div(x, y.exp(), r) + L.T.kl_div(x, y, r, log_target=True),
            "poisson_nll_loss": lambda L, x, y, r=_how: L.T.poisson_nll_loss(x, y.exp() * 3, True, True, 1e-8, r),
            "triplet_margin_loss": lambda L, x, y, r=_how: L.T.triplet_margin_loss(
                x, y, x * y, 0.5, 1.0, 1e-5, True, r
            ),
        },
        numbers(10, 3, 2),
        numbers(11, 3, 2),
    )
several(
    "torch's losses without reduction",
    {
        "binary_cross_entropy_with_logits": lambda L, x: L.T.binary_cross_entropy_with_logits(x, x.sigmoid()),
        "kl_div": lambda L, x: L.T.kl_div(x, x.exp()),
        "triplet_margin_loss": lambda L, x: L.T.triplet_margin_loss(x, x + 1, x - 1),
    },
    numbers(12, 3, 2),
)
several(
    "torch.ctc_loss",
    {
        "by tuples": lambda L, x, t: L.T.ctc_loss(x.log_softmax(2), L.tensor(t), (5, 4), (2, 1)),
        "by tensors": lambda L, x, t: L.T.ctc_loss(
            x.log_softmax(2), L.tensor(t), L.tensor(np.array([5, 4])), L.tensor(np.array([2, 1])), 3, 1
        ),
        "sum": lambda L, x, t: L.T.ctc_loss(
            x.log_softmax(2), L.tensor(t), (5, 1), (2, 2), reduction=2, zero_infinity=True
        ),
    },
    numbers(13, 5, 2, 4),
    1 + whole(14, 2, 2, 2),
)


# -------------------------------------------------------------------------------------------------- recurrent layers
def _parameters(rows, two, bias):
    """The weights of two layers: input 2, states 3."""
    given, seed = [], 20
    for size in (2, 6 if two else 3):
        for _ in range(2 if two else 1):
            given += [numbers(seed, rows, size), numbers(seed + 1, rows, 3)]
            given += [numbers(seed + 2, rows), numbers(seed + 3, rows)] if bias else []
            seed += 4
    return given


for _name, _gates in {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}.items():
    _cell = f"{_name}_cell"
    _weights = [numbers(16, 3 * _gates, 2), numbers(17, 3 * _gates, 3), numbers(18, 3 * _gates)]

    def _one(L, x, h, w, u, b, name=_cell):
        hx = (h, h * 2) if name == "lstm_cell" else h
        y, z = getattr(L.T, name)(x, hx, w, u), getattr(L.T, name)(x, hx, w, u, b, b * 2)
        return (*y, *z) if name == "lstm_cell" else (y, z)

    call(f"torch.{_cell}", numbers(15, 2, 2), numbers(19, 2, 3), *_weights)(_one)
    for _two, _bias in ((False, True), (True, False)):

        def _many(L, x, h, *params, name=_name, two=_two, bias=_bias):
            hx = (h, h * 2) if name == "lstm" else h
            return getattr(L.T, name)(x, hx, list(params), bias, 2, 0.5, False, two, two)

        def _packed(L, x, h, *params, name=_name, two=_two, bias=_bias):
            hx = (h, h * 2) if name == "lstm" else h
            sizes = L.T.tensor([3, 2, 1])
            return getattr(L.T, name)(x.reshape(6, 2), sizes, hx, list(params), bias, 2, 0.0, True, two)

        _given = _parameters(3 * _gates, _two, _bias)
        _state = numbers(30, 4 if _two else 2, 3, 3)
        call(f"torch.{_name}, bidirectional={_two}", numbers(31, *((3, 2) if _two else (2, 3)), 2), _state, *_given)(
            _many
        )
        call(f"torch.{_name} packed, bidirectional={_two}", numbers(32, 3, 2, 2), _state, *_given)(_packed)
