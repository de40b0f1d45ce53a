"""Attention: averages of values, weighted by how well their keys answer to a query, as one op."""

from __future__ import annotations

from ..backend import backend_of, definition
from ..engine import op
from .linalg import _t
from .reduce import softmax


def _weights(q, k, scale, causal):
    """softmax(scale q k^T); causal: query i sees the keys 0 ... i."""
    B = backend_of(q)
    s = B.matmul(q * scale, _t(k))
    return softmax(B.where(B.greater(B.tril(B.ones_like(s), k=0), 0), s, -float("inf")) if causal else s, axis=-1)


@definition("attention")
def plain_attention(q, k, v, *, scale, causal):
    """y, and the weights p that it averages the values with."""
    p = _weights(q, k, scale, causal)
    return backend_of(p).matmul(p, v), p


@definition("attention_grad")
def plain_attention_grad(g, q, k, v, y, p, *, scale):
    """The gradients of q, k and v."""
    B = backend_of(g)
    ds = p * (B.matmul(g, _t(v)) - B.sum(g * y, axis=-1, keepdims=True)) * scale
    return B.matmul(ds, k), B.matmul(_t(ds), q), B.matmul(_t(p), g)


def attention_definition(q, k, v, *, scale, causal):
    """The op by ops alone, for higher derivatives."""
    return backend_of(q).matmul(_weights(q, k, scale, causal), v)


@op(composed=attention_definition)
def attention(q, k, v, *, scale, causal):
    """y = p v with p = softmax(scale q k^T), over matrices in the last two axes; all have the same leading axes.

    causal: query i sees the keys 0 ... i. With ds = p (g v^T - sum g y), summed over the features of a value:
    dL/dq = scale ds k,   dL/dk = scale ds^T q,   dL/dv = p^T g.   Vaswani et al., 2017.
    """
    y, kept = backend_of(q).attention(q, k, v, scale=scale, causal=causal)

    def joint(g, *, needs):
        return backend_of(g).attention_grad(g, q, k, v, y, kept, scale=scale)

    return y, joint
