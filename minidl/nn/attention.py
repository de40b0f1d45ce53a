"""Attention of several heads as a layer, and PyTorch's names for the ways to compute attention."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator

from .. import functions as F
from ..backends.cuda import attention
from ..backends.switches import within
from ..tensor import Parameter, Tensor
from . import functional, init
from .checks import a_tensor, positive, probability
from .linear import Linear, new_parameter
from .module import Module


class NonDynamicallyQuantizableLinear(Linear):
    """A `Linear` under the name that it has in PyTorch's MultiheadAttention, for programs that ask for the class."""


class MultiheadAttention(Module):
    """Attention in num_heads parts: y = [head_1, ..., head_h] W_o^T + b_o, head_i = softmax(q_i k_i^T / sqrt(D)) v_i.

    q_i, k_i and v_i are the i-th parts, of D = embed_dim / num_heads features, of the projected query, key and value.
    dropout: the probability with which each weight is left out, in training. add_bias_kv: one more key and value that
    are learned. add_zero_attn: one more key and value of zeros. kdim, vdim: the features of key and value, if others.

    Parameters: in_proj_weight (3 embed_dim, embed_dim), or q_proj_weight, k_proj_weight and v_proj_weight where kdim or
    vdim differ, Xavier-uniform; in_proj_bias (3 embed_dim), zero; out_proj, a Linear with bias zero; bias_k and bias_v
    (1, 1, embed_dim), Xavier-normal. Shape: query (L, N, E), key (S, N, kdim), value (S, N, vdim), or (N, L, E) ...
    with batch_first, or without N; y like query and weights (N, L, S). Vaswani et al., 2017.

    >>> attention = MultiheadAttention(8, num_heads=2, batch_first=True)
    >>> words = F.zeros(3, 5, 8)
    >>> y, weights = attention(words, words, words)
    >>> y.shape, weights.shape
    (minidl.Size([3, 5, 8]), minidl.Size([3, 5, 5]))
    """

    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        kdim, vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        positive("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads, kdim=kdim, vdim=vdim)
        if embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim {embed_dim} must be divisible by num_heads {num_heads}")
        self.embed_dim, self.kdim, self.vdim = embed_dim, kdim, vdim
        self._qkv_same_embed_dim = kdim == embed_dim and vdim == embed_dim
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.dropout, self.batch_first = probability(dropout, "MultiheadAttention"), batch_first
        separate = {"q_proj_weight": embed_dim, "k_proj_weight": kdim, "v_proj_weight": vdim}
        for name, size in separate.items():
            shape = (embed_dim, size)
            self.register_parameter(name, None if self._qkv_same_embed_dim else new_parameter(shape, device, dtype))
        packed = new_parameter((3 * embed_dim, embed_dim), device, dtype) if self._qkv_same_embed_dim else None
        self.register_parameter("in_proj_weight", packed)
        self.register_parameter("in_proj_bias", new_parameter((3 * embed_dim,), device, dtype) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, new_parameter((1, 1, embed_dim), device, dtype) if add_bias_kv else None)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw the weights of the projections anew, and set their biases to zero."""
        for name, p in self.named_parameters(recurse=False):
            if name == "in_proj_bias":
                init.zeros_(p)
                init.zeros_(self.out_proj.bias)
            else:
                (init.xavier_normal_ if name in ("bias_k", "bias_v") else init.xavier_uniform_)(p)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(y, weights): what each query finds; the weights are None without need_weights, which is faster.

        key_padding_mask (N, S) and attn_mask (L, S) or (N num_heads, L, S): bools, True where a query must *not* look,
        or numbers to add to the scores. average_attn_weights: weights (N, L, S), otherwise (N, num_heads, L, S).
        is_causal: a hint that attn_mask is the causal one, which must be given too. A query that sees no key gives the
        bias of out_proj without need_weights, and nan with it, as in PyTorch.
        """
        turned = self.batch_first and a_tensor(query, "MultiheadAttention", "query").array.ndim == 3
        if turned:
            for name, x in (("key", key), ("value", value)):
                if a_tensor(x, "MultiheadAttention", name).array.ndim != 3:
                    raise ValueError(f"MultiheadAttention: {name} must be (N, S, E) like query, got {tuple(x.shape)}")
            same = {id(x): F.transpose(x, 0, 1) for x in (query, key, value)}  # the same Tensor stays the same
            query, key, value = same[id(query)], same[id(key)], same[id(value)]
        y, weights = functional.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (F.transpose(y, 0, 1) if turned else y), weights


class SDPBackend(enum.IntEnum):
    """PyTorch's ways to compute `scaled_dot_product_attention`: the same result, faster or in less memory."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: SDPBackend | list[SDPBackend], set_priority: bool = False) -> Iterator[dict]:
    """Within, attention is computed in one of the ways that are named.

    minidl has one way, which gives the results of all of them. So this checks what it is given and sets the switches of
    `backends.cuda`, which change nothing: a request for speed or memory cannot be met, and does no harm.

    >>> with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
    ...     functional.scaled_dot_product_attention(F.ones(1, 2), F.ones(3, 2), F.ones(3, 2))
    tensor([[1., 1.]])
    """
    named = list(backends) if isinstance(backends, (list, tuple)) else [backends]
    if not all(isinstance(b, SDPBackend) for b in named):
        raise TypeError(f"sdpa_kernel: backends must be an SDPBackend or a list of them, got {backends!r}")
    if not named or SDPBackend.ERROR in named:
        raise RuntimeError(f"sdpa_kernel: no backend for attention would be left, got {backends!r}")
    with within(
        vars(attention),
        flash=SDPBackend.FLASH_ATTENTION in named,
        math=SDPBackend.MATH in named,
        mem_efficient=SDPBackend.EFFICIENT_ATTENTION in named,
        cudnn=SDPBackend.CUDNN_ATTENTION in named,
    ):
        yield {}
