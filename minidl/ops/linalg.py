"""Matrix products."""

from __future__ import annotations

from ..backend import backend_of, definition
from ..engine import op


def _t(x):
    return backend_of(x).swapaxes(x, axis1=-1, axis2=-2)


@op
def matmul(a, b):
    """y = a b, over matrices in the last two axes;   dL/da = g b^T,   dL/db = a^T g."""
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: cannot multiply {tuple(a.shape)} by {tuple(b.shape)}: inner sizes must be equal")

    batches = a.ndim > 2 and b.ndim == 2  # here, so that the vjps capture one input each

    def db(g):
        if not batches:
            return _t(a) @ g
        B = backend_of(g)  # one product over all batches, instead of a product each and a sum
        return _t(B.reshape(a, shape=(-1, a.shape[-1]))) @ B.reshape(g, shape=(-1, g.shape[-1]))

    return a @ b, (lambda g: g @ _t(b), db)


@definition("linear")
def plain_linear(x, w, b):
    y = x @ _t(w)
    return y if b is None else y + b


@op
def linear(x, w, b):
    """y = x w^T + b, with x (..., D), w (F, D), b (F) or None;   dL/dx = g w,   dL/dw = g^T x,   dL/db = sum g."""
    if x.ndim < 1 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"linear: x has {x.shape[-1] if x.ndim else 'no'} features, weight expects {w.shape[1]} "
            f"(x is {tuple(x.shape)}, weight is {tuple(w.shape)})"
        )

    def rows(a):
        return a if a.ndim == 2 else backend_of(a).reshape(a, shape=(-1, a.shape[-1]))

    return backend_of(x).linear(x, w, b), (
        lambda g: g @ w,
        lambda g: _t(rows(g)) @ rows(x),
        None if b is None else lambda g: backend_of(g).sum(rows(g), axis=0),
    )
