"""The Transformer: layers of attention and small networks, stacks of them, and encoder and decoder together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .. import functions as F
from ..modes import is_grad_enabled
from ..tensor import Tensor
from . import functional, init
from .activation import GELU, ReLU
from .attention import MultiheadAttention
from .checks import a_tensor, positive
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .norm import LayerNorm

_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"relu": functional.relu, "gelu": functional.gelu}


def _activation(activation: str | Callable[[Tensor], Tensor], where: str) -> Callable[[Tensor], Tensor]:
    """The function that is named, or that was given."""
    if isinstance(activation, str):
        if activation not in _ACTIVATIONS:
            raise RuntimeError(f"{where}: activation must be 'relu', 'gelu' or a function, got {activation!r}")
        return _ACTIVATIONS[activation]
    if not callable(activation):
        raise TypeError(f"{where}: activation must be 'relu', 'gelu' or a function, got {activation!r}")
    return activation


def _copies(layer: Module, num_layers: int, where: str) -> ModuleList:
    """As many layers, with the same values at first, but each with its own parameters."""
    positive(where, num_layers=num_layers)
    if not isinstance(layer, Module):
        raise TypeError(f"{where}: the layer must be a Module, got {type(layer).__name__}")
    return ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])


class TransformerEncoderLayer(Module):
    """x + attention of x to itself, then x + network(x), with a `LayerNorm` after each (before each: norm_first).

    The network is linear2(activation(linear1(x))), with dim_feedforward features in between; dropout is applied to the
    weights of the attention, within the network and to what is added. activation: 'relu', 'gelu', or a function.

    Shape: src (S, N, d_model), or (N, S, d_model) with batch_first, or (S, d_model); unchanged. src_mask (S, S) or
    (N nhead, S, S) and src_key_padding_mask (N, S): bools, True where *not* to look, or numbers to add.
    Vaswani et al., 2017; norm_first: Xiong et al., 2020.

    >>> layer = TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> layer(F.zeros(3, 5, 8)).shape
    minidl.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = functional.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        activation = _activation(activation, "TransformerEncoderLayer")
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **where)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = activation

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """src through the layer. is_causal: a hint that src_mask is the causal one, which must be given too."""
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._ff_block(x))

    def _sa_block(
        self, x: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None, is_causal: bool = False
    ) -> Tensor:
        """Attention of x to itself."""
        return self.dropout1(self.self_attn(x, x, x, key_padding_mask, False, attn_mask, is_causal=is_causal)[0])

    def _ff_block(self, x: Tensor) -> Tensor:
        """The network, on each place alone."""
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoderLayer(Module):
    """`TransformerEncoderLayer` with, before the network, attention of x to the memory, the output of an encoder.

    Arguments as there. Shape: tgt (T, N, d_model) and memory (S, N, d_model), or (N, T, d_model) ... with batch_first,
    or without N; y like tgt. tgt_mask (T, T), memory_mask (T, S), tgt_key_padding_mask (N, T), memory_key_padding_mask
    (N, S): bools, True where *not* to look, or numbers to add. Vaswani et al., 2017.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = functional.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        activation = _activation(activation, "TransformerDecoderLayer")
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **where)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.dropout1, self.dropout2, self.dropout3 = Dropout(dropout), Dropout(dropout), Dropout(dropout)
        self.activation = activation

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt through the layer, with a look at memory. The two hints are as `is_causal` of the encoder's layer."""
        own, other = (tgt_mask, tgt_key_padding_mask, tgt_is_causal), (memory_mask, memory_key_padding_mask)
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *own)
            x = x + self._mha_block(self.norm2(x), memory, *other, memory_is_causal)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *own))
        x = self.norm2(x + self._mha_block(x, memory, *other, memory_is_causal))
        return self.norm3(x + self._ff_block(x))

    def _sa_block(
        self, x: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None, is_causal: bool = False
    ) -> Tensor:
        """Attention of x to itself."""
        return self.dropout1(self.self_attn(x, x, x, key_padding_mask, False, attn_mask, is_causal=is_causal)[0])

    def _mha_block(
        self,
        x: Tensor,
        mem: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        """Attention of x to the memory."""
        y, _ = self.multihead_attn(x, mem, mem, key_padding_mask, False, attn_mask, is_causal=is_causal)
        return self.dropout2(y)

    def _ff_block(self, x: Tensor) -> Tensor:
        """The network, on each place alone."""
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


def _has_fast_path(layer: Module) -> bool:
    """Whether PyTorch's TransformerEncoder may leave out padded places with such layers."""
    if not isinstance(layer, TransformerEncoderLayer) or layer.norm_first:
        return False
    attention, activation = layer.self_attn, layer.activation
    known = activation in (functional.relu, functional.gelu) or isinstance(activation, (ReLU, GELU))
    fits = attention.batch_first and attention._qkv_same_embed_dim and attention.in_proj_bias is not None
    return fits and known and attention.num_heads % 2 == 0 and layer.norm1.eps == layer.norm2.eps


class TransformerEncoder(Module):
    """num_layers copies of an encoder layer, one after the other, and at the end the `norm`, if given.

    All copies begin with the values of encoder_layer. enable_nested_tensor: in `eval` without gradients, where PyTorch
    would take its fast path, the layers' outputs at padded places are zeros, as they are there; everything else is the
    same with it and without. mask_check concerns only that path's speed.

    Shape: as of the layer. Vaswani et al., 2017.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers, "TransformerEncoder")
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check
        self.use_nested_tensor = enable_nested_tensor and _has_fast_path(encoder_layer)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """src through all layers. is_causal: a hint that mask is the causal one; None: it is not looked for."""
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=bool(is_causal), src_key_padding_mask=src_key_padding_mask)
        if self.use_nested_tensor and mask is None and src_key_padding_mask is not None and not self.layers[0].training:
            x = self._without_padding(x, src, src_key_padding_mask)
        return x if self.norm is None else self.norm(x)

    def _without_padding(self, x: Tensor, src: Tensor, padding: Tensor) -> Tensor:
        """x with zeros where PyTorch leaves out the padded ends of sequences: where nothing is differentiated."""
        if src.array.ndim != 3:
            return x
        if is_grad_enabled() and (src.requires_grad or any(p.requires_grad for p in self.layers[0].parameters())):
            return x
        padded = F.ne(padding, 0)
        if F.any(F.logical_and(padded[:, :-1], F.logical_not(padded[:, 1:]))):  # in between, not at the end
            return x
        return F.where(F.unsqueeze(padded, 2), 0.0, x)


class TransformerDecoder(Module):
    """num_layers copies of a decoder layer, one after the other, and at the end the `norm`, if given.

    All copies begin with the values of decoder_layer. Shape: as of the layer. Vaswani et al., 2017.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers, "TransformerDecoder")
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt through all layers, each with a look at the same memory."""
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder that reads src and a decoder that makes y from tgt with a look at what the encoder found.

    Arguments as of `TransformerEncoderLayer`; custom_encoder and custom_decoder take the place of the two stacks. All
    parameters with more than one dimension are Xavier-uniform.

    Shape: src (S, N, d_model) and tgt (T, N, d_model), or (N, S, d_model) ... with batch_first, or without N; y like
    tgt. Vaswani et al., 2017.

    >>> model = Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> src, tgt = F.zeros(3, 5, 8), F.zeros(3, 4, 8)
    >>> model(src, tgt, tgt_mask=Transformer.generate_square_subsequent_mask(4), tgt_is_causal=True).shape
    minidl.Size([3, 4, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = functional.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        options = (dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)

        if custom_encoder is None:
            encoder_layer = TransformerEncoderLayer(d_model, nhead, *options)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm())
        self.encoder = custom_encoder
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(d_model, nhead, *options)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm())
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt through the decoder, which looks at what the encoder makes of src; masks as of their layers."""
        a, b = (tuple(a_tensor(x, "Transformer", name).shape) for x, name in ((src, "src"), (tgt, "tgt")))
        if len(a) == 3 and (len(b) != 3 or a[not self.batch_first] != b[not self.batch_first]):
            raise RuntimeError(f"Transformer: src and tgt must have one batch, got src {a} and tgt {b}")
        if a[-1] != self.d_model or b[-1] != self.d_model:
            raise RuntimeError(f"Transformer: src and tgt must have d_model={self.d_model} features, got {a} and {b}")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device=None, dtype=None) -> Tensor:
        """The causal mask (sz, sz): -infinity above the diagonal, where a place would look ahead, and 0 elsewhere.

        >>> Transformer.generate_square_subsequent_mask(3)
        tensor([[0., -inf, -inf],
                [0., 0., -inf],
                [0., 0., 0.]])
        """
        return F.triu(F.full((sz, sz), float("-inf"), dtype=dtype, device=device), 1)

    def _reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for p in self.parameters():
            if p.array.ndim > 1:
                init.xavier_uniform_(p)
