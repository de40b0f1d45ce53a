"""Attention: averages of values, weighted by how well their keys answer to a query."""

from __future__ import annotations

import math

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError
from ...ops import attention as A
from ...tensor import Tensor
from ..checks import a_tensor, floating, number, probability
from .conv import linear
from .dropout import dropout

_INF = float("inf")


# ------------------------------------------------------------------------------------------------------ one attention
def _check_qkv(query: Tensor, key: Tensor, value: Tensor, where: str) -> None:
    """All three floating point, of one dtype, with at least two dimensions, and of sizes that fit."""
    named = {"query": query, "key": key, "value": value}
    for name, x in named.items():
        floating(x, where, name)
    shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in named.items())
    if len({x.array.dtype for x in named.values()}) > 1:
        dtypes = ", ".join(f"{name} {x.dtype}" for name, x in named.items())
        raise RuntimeError(f"{where}: query, key and value must have one dtype, got {dtypes}; cast some")
    if min(x.array.ndim for x in named.values()) < 2:
        raise RuntimeError(f"{where}: query, key and value must have at least 2 dimensions, got {shapes}")
    if query.array.shape[-1] != key.array.shape[-1]:
        raise RuntimeError(f"{where}: query and key must have as many features as each other, got {shapes}")
    if key.array.shape[-2] != value.array.shape[-2]:
        raise RuntimeError(f"{where}: there must be a value for each key, got {shapes}")


def _for_each_head(query: Tensor, x: Tensor, name: str, where: str) -> Tensor:
    """Keys or values with each head repeated for the heads of the query that share it."""
    if min(query.array.ndim, x.array.ndim) < 3:
        raise IndexError(f"{where}: enable_gqa needs a dimension of heads, (..., H, L, E), got {tuple(x.shape)}")
    heads, groups = query.array.shape[-3], x.array.shape[-3]
    if not groups or heads % groups:
        raise RuntimeError(f"{where}: the {heads} heads of query must be a multiple of the {groups} heads of {name}")
    return x if heads == groups else F.repeat_interleave(x, heads // groups, -3)


def _checked_mask(mask: Tensor, query: Tensor, shape: tuple[int, ...], where: str) -> Tensor:
    """A mask of bools, or of numbers of the query's dtype, that broadcasts to the shape of the scores."""
    given = a_tensor(mask, where, "attn_mask").array
    if given.dtype not in (np.bool_, np.float32, query.array.dtype):
        raise RuntimeError(f"{where}: attn_mask must be bool or of the query's dtype {query.dtype}, got {mask.dtype}")
    lead = len(shape) - given.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(given.shape, shape[lead:], strict=True)):
        raise RuntimeError(f"{where}: attn_mask {given.shape} does not broadcast to the scores {shape}")
    mask = mask if given.dtype == np.bool_ else mask.to(query.dtype)
    return mask if given.ndim else F.reshape(mask, (1,))


def _masked(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The masked scores, and where a query may attend to nothing; there the scores stay, so that softmax is finite."""
    if mask.array.dtype == np.bool_:
        nothing = F.logical_not(F.any(mask, -1, keepdim=True))
        return F.where(F.logical_or(mask, nothing), scores, -_INF), nothing
    nothing = F.all(F.eq(mask, -_INF), -1, keepdim=True)
    return scores + F.where(nothing, 0.0, mask), nothing


@whole
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """y = softmax(scale q k^T + mask) v: for each query the mean of the values, weighted by how well its keys agree.

    attn_mask: bools, True where a query may look, or numbers to add. is_causal: query i sees the keys 0 ... i, as with
    `ones(L, S, dtype=bool).tril()`; not together with attn_mask. A query that sees no key gives zeros. dropout_p: the
    probability with which each weight is left out; always applied, so give 0 in `eval`. scale: 1 / sqrt(E) if None.
    enable_gqa: query has a multiple of the heads of key and value, and each of these serves several in a row.

    Shape: query (..., H, L, E), key (..., H, S, E), value (..., H, S, V), attn_mask broadcasting to (..., H, L, S);
    y (..., H, L, V). Leading dimensions broadcast. Vaswani et al., 2017; groups of heads: Ainslie et al., 2023.

    >>> q, k, v = F.tensor([[9.0, 0.0]]), F.tensor([[9.0, 0.0], [0.0, 9.0]]), F.tensor([[1.0], [2.0]])
    >>> scaled_dot_product_attention(q, k, v)  # q is like the first key, so the answer is the first value
    tensor([[1.]])
    """
    where = "scaled_dot_product_attention"
    _check_qkv(query, key, value, where)
    probability(dropout_p, where)
    if is_causal and attn_mask is not None:
        raise RuntimeError(f"{where}: attn_mask must be None when is_causal=True; it would be a second mask")
    if enable_gqa:
        key, value = _for_each_head(query, key, "key", where), _for_each_head(query, value, "value", where)
    factor = 1 / math.sqrt(query.array.shape[-1] or 1) if scale is None else number(scale, "scale", where)
    try:
        lead = np.broadcast_shapes(*[x.array.shape[:-2] for x in (query, key, value)])
    except ValueError:
        shapes = [tuple(x.shape) for x in (query, key, value)]
        raise RuntimeError(f"{where}: the leading dimensions of query, key and value differ: {shapes}") from None
    queries, keys, features = query.array.shape[-2], key.array.shape[-2], value.array.shape[-1]
    if attn_mask is not None:
        attn_mask = _checked_mask(attn_mask, query, (*lead, queries, keys), where)
    if not keys:
        return F.zeros(*lead, queries, features, dtype=query.dtype, device=query.device)
    alike = query.array.shape[:-2] == key.array.shape[:-2] == value.array.shape[:-2]
    if alike and attn_mask is None and not dropout_p:
        return A.attention(query, key, value, scale=factor, causal=is_causal)
    scores = F.matmul(query * factor, F.transpose(key, -2, -1))
    nothing = None
    if is_causal:
        seen = F.tril(F.ones(queries, keys, dtype=bool, device=query.device))
        scores = F.where(seen, scores, -_INF)
    elif attn_mask is not None:
        scores, nothing = _masked(scores, attn_mask)
    y = F.matmul(dropout(F.softmax(scores, -1), dropout_p), value)
    return y if nothing is None else F.where(nothing, 0.0, y)


# ------------------------------------------------------------------------------------------------- attention of heads
_WHERE = "multi_head_attention_forward"


def _check_batch(query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None) -> bool:
    """Whether there is a batch; all must have the number of dimensions that goes with it."""
    named = {"query": query, "key": key, "value": value}
    for name, x in named.items():
        floating(x, _WHERE, name)
    nd = query.array.ndim
    if nd not in (2, 3):
        raise ArgumentError(f"{_WHERE}: query must be (L, N, E) or, without a batch, (L, E), got {tuple(query.shape)}")
    for name, x in named.items():
        if x.array.ndim != nd:
            raise ArgumentError(
                f"{_WHERE}: query is {tuple(query.shape)}, so {name} must have {nd} dimensions too, "
                f"got {tuple(x.shape)}"
            )
    if padding is not None and a_tensor(padding, _WHERE, "key_padding_mask").array.ndim != nd - 1:
        shape = "(N, S)" if nd == 3 else "(S)"
        raise ArgumentError(
            f"{_WHERE}: key_padding_mask must be {shape} with query {tuple(query.shape)}, got {tuple(padding.shape)}"
        )
    if mask is not None and a_tensor(mask, _WHERE, "attn_mask").array.ndim not in (2, 3):
        raise ArgumentError(f"{_WHERE}: attn_mask must be (L, S) or (N num_heads, L, S), got {tuple(mask.shape)}")
    return nd == 3


def _added(mask: Tensor | None, name: str, like: Tensor) -> Tensor | None:
    """The mask as numbers to add to the scores: of bools, -infinity where True."""
    if mask is None:
        return None
    if mask.array.dtype in (np.float32, like.array.dtype):
        return mask.to(like.dtype)
    if mask.array.dtype != np.bool_:
        raise TypeError(f"{_WHERE}: {name} must be bool or of the query's dtype {like.dtype}, got {mask.dtype}")
    return F.masked_fill(F.zeros(*mask.shape, dtype=like.dtype, device=like.device), mask, -_INF)


def _packed(query: Tensor, key: Tensor, value: Tensor, w: Tensor | None, b: Tensor | None) -> list[Tensor]:
    """The projections by the three parts of w (3 E, E); one product for inputs that are the same Tensor."""
    if w is None:
        raise ArgumentError(f"{_WHERE}: in_proj_weight is needed with use_separate_proj_weight=False")
    e, shapes = query.array.shape[-1], [tuple(x.shape) for x in (query, key, value)]
    if shapes[1] != shapes[2] or shapes[1][-1] != e or tuple(w.shape) != (3 * e, e):
        raise ArgumentError(
            f"{_WHERE}: key and value must have one shape, with the features of query, and in_proj_weight must be "
            f"{(3 * e, e)}; got query, key and value {shapes} and in_proj_weight {tuple(w.shape)}"
        )
    parts = [(query, 1), (key, 1), (value, 1)]
    if key is value:
        parts = [(query, 3)] if query is key else [(query, 1), (key, 2)]
    sizes = [n * e for _, n in parts]
    ws, bs = F.split(w, sizes), (None,) * len(parts) if b is None else F.split(b, sizes)
    found: list[Tensor] = []
    for (x, n), wx, bx in zip(parts, ws, bs, strict=True):
        found += F.split(linear(x, wx, bx), [e] * n, -1)
    return found


def _separate(inputs: tuple[Tensor, ...], weights: tuple[Tensor | None, ...], bias: Tensor | None) -> list[Tensor]:
    """The projections of query, key and value by a weight each."""
    bs = (None,) * 3 if bias is None else F.chunk(bias, 3)
    found = []
    for name, x, w, b in zip("qkv", inputs, weights, bs, strict=True):
        if w is None:
            raise ArgumentError(f"{_WHERE}: {name}_proj_weight is needed with use_separate_proj_weight=True")
        found.append(linear(x, w, b))
    return found


def _checked_static(x: Tensor, name: str, batch: int, heads: int, size: int) -> Tensor:
    """Keys or values that were projected before, (N num_heads, S, E / num_heads), as (N, num_heads, S, ...)."""
    shape = tuple(a_tensor(x, _WHERE, name).shape)
    if len(shape) != 3 or (shape[0], shape[2]) != (batch * heads, size):
        raise ArgumentError(f"{_WHERE}: {name} must be ({batch * heads}, S, {size}), got {shape}")
    return F.reshape(x, (batch, heads, shape[1], size))


def _one_more(mask: Tensor | None) -> Tensor | None:
    """A mask for one key more, which is always seen."""
    if mask is None:
        return None
    return F.cat([mask, F.zeros(*mask.shape[:-1], 1, dtype=mask.dtype, device=mask.device)], -1)


def _merged(mask: Tensor | None, padding: Tensor | None, query: Tensor, heads: int, keys: int) -> Tensor | None:
    """attn_mask and key_padding_mask as one mask of numbers to add, which broadcasts to (N, num_heads, L, S)."""
    queries, batch = query.array.shape[:2]
    mask, padding = _added(mask, "attn_mask", query), _added(padding, "key_padding_mask", query)
    if mask is not None:
        expected = (queries, keys) if mask.array.ndim == 2 else (batch * heads, queries, keys)
        if tuple(mask.shape) != expected:
            raise RuntimeError(f"{_WHERE}: attn_mask {tuple(mask.shape)} should have the shape {expected}")
        if mask.array.ndim == 3:
            mask = F.reshape(mask, (batch, heads, queries, keys))
    if padding is None:
        return mask
    if tuple(padding.shape) != (batch, keys):
        raise ArgumentError(f"{_WHERE}: key_padding_mask must be {(batch, keys)}, got {tuple(padding.shape)}")
    padding = F.reshape(padding, (batch, 1, 1, keys))
    return padding if mask is None else mask + padding


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention in each of num_heads parts of the projected query, key and value; the parts together projected again.

    What `nn.MultiheadAttention` computes, where the arguments are explained. static_k and static_v take the place of
    the projected key and value. is_causal is a hint that attn_mask is the causal one, which may then be ignored.

    Shape: query (L, N, E), key (S, N, K) and value (S, N, V), or all without N; y like query, the weights (N, L, S),
    or (N, num_heads, L, S) if not averaged, or None. attn_mask (L, S) or (N num_heads, L, S) and key_padding_mask
    (N, S): bools, True where a query must *not* look, or numbers to add. Vaswani et al., 2017.
    """
    batched = _check_batch(query, key, value, key_padding_mask, attn_mask)
    if not batched:
        same = {id(x): F.unsqueeze(x, 1) for x in (query, key, value)}  # the same Tensor stays the same
        query, key, value = same[id(query)], same[id(key)], same[id(value)]
        key_padding_mask = None if key_padding_mask is None else F.unsqueeze(key_padding_mask, 0)
    queries, batch, features = query.array.shape
    if features != embed_dim_to_check:
        raise ArgumentError(f"{_WHERE}: query must have {embed_dim_to_check} features, got {tuple(query.shape)}")
    size = features // num_heads
    if size * num_heads != features:
        raise ArgumentError(f"{_WHERE}: {features} features cannot be divided among num_heads={num_heads}")
    if key.array.shape[:2] != value.array.shape[:2] or key.array.shape[1] != batch:
        shapes = [tuple(x.shape) for x in (query, key, value)]
        raise ArgumentError(
            f"{_WHERE}: query, key and value must have one batch, key and value one length, got {shapes}"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            f"{_WHERE}: is_causal=True is a hint about attn_mask, which must be given; "
            "see Transformer.generate_square_subsequent_mask"
        )
    causal = is_causal and key_padding_mask is None and not need_weights  # then the mask need not be looked at
    keys = key.array.shape[0] if static_k is None else static_k.array.shape[1]
    mask = None if causal else _merged(attn_mask, key_padding_mask, query, num_heads, keys)

    if not use_separate_proj_weight:
        q, k, v = _packed(query, key, value, in_proj_weight, in_proj_bias)
    else:
        q, k, v = _separate((query, key, value), (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    if (bias_k is None) != (bias_v is None):
        raise ArgumentError(f"{_WHERE}: bias_k and bias_v must both be given, or neither")
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise ArgumentError(f"{_WHERE}: bias_k and bias_v cannot be added to static_k and static_v")
        k, v = [F.cat([x, F.expand(b, 1, batch, features)]) for x, b in ((k, bias_k), (v, bias_v))]
        mask = _one_more(mask)

    q = F.permute(F.reshape(q, (queries, batch, num_heads, size)), (1, 2, 0, 3))
    k, v = [
        F.permute(F.reshape(x, (x.array.shape[0], batch, num_heads, size)), (1, 2, 0, 3))
        if static is None
        else _checked_static(static, name, batch, num_heads, size)
        for x, static, name in ((k, static_k, "static_k"), (v, static_v, "static_v"))
    ]
    if add_zero_attn:
        zero = F.zeros(batch, num_heads, 1, size, dtype=k.dtype, device=k.device)
        k, v = F.cat([k, zero], 2), F.cat([v, zero], 2)
        mask = _one_more(mask)
    dropout_p = dropout_p if training else 0.0

    found = None
    if need_weights:  # a query that sees nothing has weights nan here, as in PyTorch
        scores = F.matmul(q * math.sqrt(1 / size), F.transpose(k, -2, -1))
        found = dropout(F.softmax(scores if mask is None else scores + mask, -1), dropout_p)
        y = F.matmul(found, v)
        found = F.mean(found, 1) if average_attn_weights else found
    else:
        y = scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
    y = linear(F.reshape(F.permute(y, (2, 0, 1, 3)), (queries, batch, features)), out_proj_weight, out_proj_bias)
    if batched:
        return y, found
    return F.squeeze(y, 1), None if found is None else F.squeeze(found, 0)
