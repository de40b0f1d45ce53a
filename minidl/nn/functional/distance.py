"""How long vectors are, and how far apart in direction."""

from __future__ import annotations

import math

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import backend_of
from ...ops import elementwise as E
from ...ops import reduce as R
from ...ops import shape as S
from ...tensor import Tensor
from ..checks import floating, number


def norm(x: Tensor, p: float, dim) -> Tensor:
    """(sum |x|^p)^(1/p) over `dim`, which is kept with size 1; the gradient is 0 where it is 0."""
    if math.isinf(p):
        return (R.max if p > 0 else R.min)(E.absolute(x), axis=dim, keepdims=True)
    if p == 1:
        return R.sum(E.absolute(x), axis=dim, keepdims=True)
    if p == 0:
        return R.sum(E.where(E.equal(x, 0), 0.0, E.ones_like(x)), axis=dim, keepdims=True)
    return R.norm(x, p=p, axis=dim, keepdims=True)


@whole
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(||x1||, eps) max(||x2||, eps)) along `dim`; the two are broadcast against each other.

    Shape: (N, D) each to (N), say.
    """
    a, b = floating(x1, "cosine_similarity", "x1"), floating(x2, "cosine_similarity", "x2")
    eps, ndim = number(eps, "eps", "cosine_similarity"), max(a.array.ndim, b.array.ndim)
    if not -ndim <= dim < ndim:
        raise IndexError(f"cosine_similarity: dim {dim} is out of range for {ndim} dimensions")
    a, b = F.broadcast_tensors(a, b)
    a, b = [x / E.clip(norm(x, 2.0, dim), low=eps) for x in (a, b)]
    return R.sum(a * b, axis=dim)


@whole
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows: 0 and 1, 0 and 2, ..., 1 and 2, ...

    Shape: (N, D) to (N (N - 1) / 2,). The gradient is 0 where two rows are the same.

    >>> pdist(F.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]]))
    tensor([5., 4., 3.])
    """
    x = floating(input, "pdist")
    if x.array.ndim != 2:
        raise RuntimeError(f"pdist: expected input (N, D), got {tuple(x.shape)}")
    if not number(p, "p", "pdist") >= 0:
        raise RuntimeError(f"pdist: p must not be negative, got {p}")
    B = backend_of(x.array)
    first, second = [B.from_host(i, B.device_of(x.array)) for i in np.triu_indices(x.array.shape[0], 1)]
    d = S.getitem(x, index=first) - S.getitem(x, index=second)
    return R.sum(norm(d, float(p), -1), axis=-1) if d.array.size else R.sum(d, axis=-1)
