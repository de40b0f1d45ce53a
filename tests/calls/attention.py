"""Attention as functions: masks of every kind, scales, groups of heads, and projections that were computed before."""

from __future__ import annotations

import numpy as np

from .library import numbers, several

INF = float("inf")
_SEEN = np.array([[True, False, True], [False, True, True], [True, True, True], [False, False, True]])
_BLIND = np.array([[True, False, True], [False, False, False], [True, True, True], [False, False, False]])
_ADDED = np.where(_BLIND, numbers(9, 4, 3), -INF)

several(
    "scaled_dot_product_attention",
    {
        "plain": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v),
        "causal": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, is_causal=True),
        "causal, positional": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, None, 0.0, True),
        "scale": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, scale=-0.75),
        "scale 0": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, scale=0),
        "bools": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, L.tensor(_SEEN)),
        "a query that sees nothing": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, L.tensor(_BLIND)),
        "numbers": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, attn_mask=L.tensor(_ADDED)),
        "one row of bools": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, L.tensor(_SEEN[:1])),
        "bools for each head": lambda L, q, k, v: L.F.scaled_dot_product_attention(
            q, k, v, L.tensor(np.stack([_SEEN, _BLIND])[None])
        ),
        "everything left out": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, None, 1.0),
        "no keys": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k[:, :, :0], v[:, :, :0]),
        "no queries": lambda L, q, k, v: L.F.scaled_dot_product_attention(q[:, :, :0], k, v, is_causal=True),
        "one query": lambda L, q, k, v: L.F.scaled_dot_product_attention(q[:, :, :1], k, v, is_causal=True),
        "one head": lambda L, q, k, v: L.F.scaled_dot_product_attention(q[0, 0], k[0, 0], v[0, 0], is_causal=True),
        "keys broadcast": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k[:, :1], v[:1]),
        "far apart": lambda L, q, k, v: L.F.scaled_dot_product_attention(q * 40, k * 40, v),
    },
    *(numbers(1, 2, 2, 4, 5), numbers(2, 2, 2, 3, 5), numbers(3, 2, 2, 3, 2)),
)
several(
    "attention with a mask that is learned",
    {
        "of all": lambda L, q, m: L.F.scaled_dot_product_attention(q, q, q, m),
        "of a row": lambda L, q, m: L.F.scaled_dot_product_attention(q, q, q, m[:, :1]) ** 2,
    },
    *(numbers(4, 2, 3, 4), numbers(5, 2, 3, 3)),
)
several(
    "attention with groups of heads",
    {
        "of 2": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        "causal": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
        "of different sizes": lambda L, q, k, v: L.F.scaled_dot_product_attention(q, k, v[:, :1], enable_gqa=True),
        "of 1": lambda L, q, k, v: L.F.scaled_dot_product_attention(q[:, :2], k, v, enable_gqa=True),
    },
    *(numbers(6, 2, 4, 3, 2), numbers(7, 2, 2, 3, 2), numbers(8, 2, 2, 3, 2)),
)


def _heads(L, x, w, b, **options):
    """Self-attention of 2 heads in 4 features, with weights cut out of one matrix."""
    given = {"bias_k": None, "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0} | options
    return tuple(
        y
        for y in L.F.multi_head_attention_forward(
            x, x, x, 4, 2, w[:12], b[:12], out_proj_weight=w[12:16], out_proj_bias=b[12:16], **given
        )
        if y is not None
    )


def _keys_before(L, x):
    """Keys and values (N num_heads, S, E / num_heads) that the projections have no part in."""
    return {"static_k": x[:3, :, :2].permute(1, 0, 2).tile(2, 1, 1), "static_v": x[:3].reshape(4, 3, 2)}


_PADDED = np.array([[False, False, True], [False, True, True]])
several(
    "multi_head_attention_forward",
    {
        "plain": lambda L, x, w, b: L.F.multi_head_attention_forward(
            *(x, x[:3], x[1:4], 4, 2, w[:12], None, None, None, False, 0.0, w[12:16], None)
        ),
        "of itself": lambda L, x, w, b: _heads(L, x, w, b),
        "without a batch": lambda L, x, w, b: _heads(L, x[:, 0], w, b),
        "without weights": lambda L, x, w, b: _heads(L, x, w, b, need_weights=False),
        "weights of each head": lambda L, x, w, b: _heads(L, x, w, b, average_attn_weights=False),
        "in eval": lambda L, x, w, b: _heads(L, x, w, b, dropout_p=0.5, training=False),
        "static key and value": lambda L, x, w, b: _heads(L, x, w, b, **_keys_before(L, x)),
        "learned key and value": lambda L, x, w, b: _heads(
            L, x, w, b, bias_k=w[16:17].reshape(1, 1, 4), bias_v=w[17:18].reshape(1, 1, 4), add_zero_attn=True
        ),
        "padding": lambda L, x, w, b: _heads(L, x[:3], w, b, key_padding_mask=L.tensor(_PADDED)),
        "separate weights": lambda L, x, w, b: _heads(
            *(L, x, w, b),
            use_separate_proj_weight=True,
            q_proj_weight=w[:4],
            k_proj_weight=w[5:9],
            v_proj_weight=w[13:17],
        ),
    },
    *(numbers(11, 6, 2, 4), numbers(12, 18, 4), numbers(13, 16)),
)
