"""Attention and Transformers: every option, and masks of every kind."""

from __future__ import annotations

import numpy as np

from .runs import layer


def _calling(make, *names, **options):
    """The layer called with its inputs by name; a name such as 'query key value' means one tensor three times."""

    def made(nn):
        class Calling(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = make(nn)

            def forward(self, *inputs):
                given = {name: x for many, x in zip(names, inputs, strict=True) for name in many.split()}
                return self.inner(**given, **options)

        return Calling()

    return made


INF = float("inf")
_SELF = "query key value"
_CAUSAL = np.triu(np.ones((3, 3), dtype=bool), 1)
_CAUSAL_ADDED = np.where(_CAUSAL, -INF, 0.0)
_SOME = np.array([[False, True, False], [False, False, True], [True, False, True]])  # True: not to be looked at
_NOTHING = np.array([[False, True, False], [True, True, True], [True, False, True]])
_EACH = np.stack([_SOME, _CAUSAL, _SOME.T, _CAUSAL.T])  # of 2 sequences and 2 heads
_ADDED = np.array([[0.5, -INF, 1.0], [0.25, -1.0, -INF], [-0.5, 0.0, 2.0]])
_PADDED = np.array([[False, False, True], [False, True, True]])
_PADDED_ADDED = np.where(_PADDED, -INF, np.array([[0.5, -0.25, 0.0]]))

# ------------------------------------------------------------------------------------------------ MultiheadAttention
layer("MultiheadAttention", lambda nn: nn.MultiheadAttention(4, 2), (3, 2, 4), (5, 2, 4), (5, 2, 4))
layer(
    "MultiheadAttention, one head", lambda nn: nn.MultiheadAttention(3, 1, bias=False), (2, 2, 3), (4, 2, 3), (4, 2, 3)
)
layer("MultiheadAttention, kdim", lambda nn: nn.MultiheadAttention(4, 2, kdim=3), (3, 2, 4), (5, 2, 3), (5, 2, 4))
layer(
    "MultiheadAttention, kdim and vdim",
    lambda nn: nn.MultiheadAttention(4, 4, 0.0, False, True, True, 3, 5, True),
    *((2, 3, 4), (2, 4, 3), (2, 4, 5)),
)
layer(
    "MultiheadAttention, unbatched",
    lambda nn: nn.MultiheadAttention(4, 2, batch_first=True),
    *((3, 4), (5, 4), (5, 4)),
)
layer("MultiheadAttention of itself", _calling(lambda nn: nn.MultiheadAttention(4, 2), _SELF), (3, 2, 4))
layer(
    "MultiheadAttention, one memory",
    _calling(lambda nn: nn.MultiheadAttention(4, 2, bias=False, batch_first=True), "query", "key value"),
    *((2, 3, 4), (2, 5, 4)),
)
layer(
    "MultiheadAttention, weights of each head",
    _calling(lambda nn: nn.MultiheadAttention(4, 2, batch_first=True), _SELF, average_attn_weights=False),
    (2, 3, 4),
)
layer(
    "MultiheadAttention, unbatched, weights of each head",
    _calling(lambda nn: nn.MultiheadAttention(4, 2), _SELF, "attn_mask", average_attn_weights=False),
    *((3, 4), _EACH[:2]),
)
for _name, _attn, _padding in (
    ("bools", _SOME, None),
    ("bools for each", _EACH, None),
    ("numbers", _ADDED, None),
    ("padding", None, _PADDED),
    ("padding of numbers", None, _PADDED_ADDED),
    ("numbers and padding of numbers", _ADDED, _PADDED_ADDED),
    ("causal and padding", _CAUSAL, _PADDED),
    ("bools for each and padding", _EACH & ~np.eye(3, dtype=bool), _PADDED & False),
):
    for _need in (True, False):
        _makes = {"": lambda nn: nn.MultiheadAttention(4, 2, batch_first=True)}
        if _need or _name == "causal and padding":
            _makes["added "] = lambda nn: nn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True)
        for _kind, _make in _makes.items():
            layer(
                f"MultiheadAttention {_kind}({_name}), need_weights={_need}",
                _calling(_make, _SELF, "attn_mask", "key_padding_mask", need_weights=_need),
                *((2, 3, 4) if not _kind else (3, 2, 4), _attn, _padding),
            )
layer(
    "MultiheadAttention, a query that sees nothing",
    _calling(lambda nn: nn.MultiheadAttention(4, 2), _SELF, "attn_mask", need_weights=False),
    *((3, 2, 4), _NOTHING),
)
for _need in (True, False):
    layer(
        f"MultiheadAttention, the hint that it is causal, need_weights={_need}",
        _calling(lambda nn: nn.MultiheadAttention(4, 2), _SELF, "attn_mask", need_weights=_need, is_causal=True),
        *((3, 2, 4), _CAUSAL),
    )
layer(
    "MultiheadAttention, the hint and padding",
    _calling(
        lambda nn: nn.MultiheadAttention(4, 2, batch_first=True),
        *(_SELF, "attn_mask", "key_padding_mask"),
        need_weights=False,
        is_causal=True,
    ),
    *((2, 3, 4), _CAUSAL, _PADDED),
)
layer(
    "MultiheadAttention, unbatched, padding",
    _calling(lambda nn: nn.MultiheadAttention(4, 2), _SELF, "key_padding_mask", need_weights=False),
    *((3, 4), _PADDED[0]),
)

# ------------------------------------------------------------------------------------------------------ Transformers
layer("TransformerEncoderLayer", lambda nn: nn.TransformerEncoderLayer(4, 2, 3, 0.0), (3, 2, 4))
layer(
    "TransformerEncoderLayer, norm first",
    lambda nn: nn.TransformerEncoderLayer(4, 2, 3, 0.0, "gelu", 1e-3, True, True),
    (2, 3, 4),
)
layer(
    "TransformerEncoderLayer, masks",
    lambda nn: nn.TransformerEncoderLayer(4, 2, 3, 0.0, nn.SiLU(), batch_first=True),
    *((2, 3, 4), _CAUSAL_ADDED, _PADDED_ADDED),
)
layer(
    "TransformerEncoderLayer without bias, causal",
    _calling(
        lambda nn: nn.TransformerEncoderLayer(4, 1, 3, 0.0, nn.functional.elu, bias=False),
        *("src", "src_mask"),
        is_causal=True,
    ),
    *((3, 2, 4), _CAUSAL),
)
layer("TransformerDecoderLayer", lambda nn: nn.TransformerDecoderLayer(4, 2, 3, 0.0), (3, 2, 4), (5, 2, 4))
layer(
    "TransformerDecoderLayer, norm first",
    lambda nn: nn.TransformerDecoderLayer(4, 2, 3, 0.0, "gelu", 1e-3, True, True, False),
    *((2, 3, 4), (2, 5, 4)),
)
layer(
    "TransformerDecoderLayer, masks",
    lambda nn: nn.TransformerDecoderLayer(4, 2, 3, 0.0, batch_first=True),
    *((2, 3, 4), (2, 3, 4), _CAUSAL, _SOME, None, _PADDED & False),
)
layer(
    "TransformerDecoderLayer, both causal",
    _calling(
        lambda nn: nn.TransformerDecoderLayer(4, 2, 3, 0.0),
        *("tgt", "memory", "tgt_mask memory_mask"),
        tgt_is_causal=True,
        memory_is_causal=True,
    ),
    *((3, 4), (3, 4), _CAUSAL),
)
layer(
    "TransformerEncoder",
    lambda nn: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 3, 0.0), 2, enable_nested_tensor=False),
    (3, 2, 4),
)
layer(
    "TransformerEncoder, masks",
    _calling(
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 3, 0.0, batch_first=True), 2, nn.LayerNorm(4), mask_check=False
        ),
        *("src", "mask", "src_key_padding_mask"),
    ),
    *((2, 3, 4), _CAUSAL, _PADDED),
)
layer(
    "TransformerDecoder",
    lambda nn: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 3, 0.0), 2, nn.LayerNorm(4)),
    *((3, 2, 4), (2, 2, 4)),
)
layer(
    "TransformerDecoder, masks",
    lambda nn: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 3, 0.0, norm_first=True), 2),
    *((3, 2, 4), (3, 2, 4), _CAUSAL_ADDED, _SOME, _PADDED_ADDED),
)
layer("Transformer", lambda nn: nn.Transformer(4, 2, 1, 1, 3, 0.0), (3, 2, 4), (2, 2, 4))
layer(
    "Transformer, masks",
    lambda nn: nn.Transformer(4, 2, 1, 2, 3, 0.0, "gelu", None, None, 0.5, True, False, False),
    *((2, 3, 4), (2, 3, 4), _SOME, _CAUSAL, None, None, _PADDED, _PADDED & False),
)
layer(
    "Transformer, causal",
    _calling(
        lambda nn: nn.Transformer(4, 2, 1, 1, 3, 0.0),
        *("src", "tgt", "src_mask tgt_mask memory_mask"),
        src_is_causal=True,
        tgt_is_causal=True,
        memory_is_causal=True,
    ),
    *((3, 4), (3, 4), _CAUSAL_ADDED),
)
layer(
    "Transformer with parts of its own",
    lambda nn: nn.Transformer(
        4,
        2,
        custom_encoder=nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 1, 2, 0.0), 1),
        custom_decoder=nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 4, 3, 0.0), 1),
    ),
    *((3, 2, 4), (2, 2, 4)),
)
