"""Adafactor: RMSprop whose memory of squares is a row and a column for each matrix, and whose steps are relative."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import backend_of
from ..backend.norms import p_norm
from .adam import check_pair
from .optimizer import Optimizer


class Adafactor(Optimizer):
    """Adafactor: the mean squares of a matrix's gradients from their means over rows and columns; no momentum.

        a <- min(lr, 1 / sqrt(t)) max(eps[1], RMS(p))      at step t = 1, 2, ...   (with maximize first g <- -g)
        p <- p - lr wd p                                   (weight_decay wd; a is of the p before it)
        b <- t^beta2_decay
        R <- R + b (mean of g^2 over the last axis - R)                  for a p of two axes and more
        C <- C + b (mean of g^2 over the last axis but one - C)
        V <- R C / max(mean of R over the last axis but one, e)          e = eps[0], None: the epsilon of p's dtype
        V <- V + b (g^2 - V)                                             for other p, whole
        u <- g / max(sqrt(V), e)
        p <- p - a / max(1, RMS(u) / d) u                                RMS: the root of the mean of all squares

    R C / mean(R) is the exact V where that is a column times a row, and near it otherwise. b makes R, C and V averages
    of ever more steps, which need no correction for their start. Since a has RMS(p) in it, lr d is about the share of
    its own size that p moves by at most. Tensors of more than two axes are taken as many matrices of the last two.

    In the place of lr the paper has a constant 0.01; it adds eps[0] = 1e-30 to every g^2 instead of limiting V from
    below, and has no weight_decay. The form here is PyTorch's, except that eps[0]=None means there the epsilon of the
    dtype of the group's first parameter, for all of them.

    When to choose it: large matrices, such as a transformer's embeddings, if there is no memory for Adam's two state
    arrays; n + m numbers are kept for n m weights. Bad at: whatever fits into memory, where AdamW learns a little
    faster and more quietly, having momentum; convolutions with small kernels, of which (out, in, 3, 3) keeps 6 numbers
    of 9; biases and whatever else begins at 0, which moves by lr eps[1], 1e-5, a step.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here. Raises
    ValueError for negative or non-finite hyperparameters, beta2_decay above 0 and d below 1.

    Source: N. Shazeer and M. Stern, Adafactor: adaptive learning rates with sublinear memory cost, ICML 2018,
    arXiv 1804.04235.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([[1.0, -7.0], [5.0, 5.0]]))  # 5 is the root of the mean square
    >>> rule = Adafactor([w], lr=0.1)
    >>> w.grad = wrap(np.array([[1.0, -2.0], [300.0, 600.0]]))
    >>> rule.step(); w.array.round(3)
    array([[ 0.5, -6.5],
           [ 4.5,  4.5]])
    >>> [rule.state[w][key].array.shape for key in ("row_var", "col_var")]
    [(2, 1), (1, 2)]
    """

    elementwise = False
    decay = "own"
    state_keys = {"R": "row_var", "C": "col_var", "V": "variance"}
    bounds = {**Optimizer.bounds, "d": (1, math.inf)}

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, beta2_decay=beta2_decay, eps=eps, d=d, weight_decay=weight_decay)
        super().__init__(params, {**defaults, "foreach": foreach, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        check_pair(self, group, "eps")
        first, second = group["eps"]
        super().check({**group, "eps": (0 if first is None else first, second)})
        if group["beta2_decay"] > 0:
            raise ValueError(f"Adafactor: beta2_decay must be at most 0, got {group['beta2_decay']}")

    def init(self, p, h) -> dict[str, Any]:
        """R and C, or V."""
        B = backend_of(p)
        if p.ndim < 2:
            return {"V": B.zeros_like(p)}
        return {"R": B.zeros_like(p[..., :1]), "C": B.zeros_like(p[..., :1, :])}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        if not p.size:  # which has no mean
            return
        B, (eps1, eps2), root = backend_of(p), h.eps, math.sqrt(p.size)
        eps1 = float(np.finfo(p.dtype).eps) if eps1 is None else eps1
        a = min(h.lr, 1 / math.sqrt(h.step)) * B.maximum(p_norm(p, 2) / root, eps2)
        p *= 1 - h.lr * h.weight_decay
        b, square = h.step**h.beta2_decay, g * g
        if "R" in state:
            R, C = state["R"], state["C"]
            R += b * (B.mean(square, axis=-1, keepdims=True) - R)
            C += b * (B.mean(square, axis=-2, keepdims=True) - C)
            V = R / B.maximum(B.mean(R, axis=-2, keepdims=True), eps1) * C
        else:
            V = state["V"]
            V += b * (square - V)
        u = B.asarray(g / B.sqrt(B.maximum(V, eps1 * eps1)))  # NumPy makes a number of what is 0-d
        p -= a / B.maximum(p_norm(u, 2) / (root * h.d), 1) * u
