"""Muon: steps by orthogonal matrices, for the weights of hidden layers."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from ..tensor import describe
from .optimizer import Optimizer


class Muon(Optimizer):
    """Muon (momentum orthogonalised by Newton-Schulz): SGD's velocity with all its singular values made about equal.

        b <- mu b + (1 - mu) g                         (momentum mu)
        u <- b        or, with nesterov,        u <- (1 - mu) g + mu b
        X <- u / max(|u|, eps)                         (|.| the Frobenius norm), then ns_steps times
        X <- a X + (b' A + c A A) X,   A = X X^T       (a, b', c the ns_coefficients; X transposed first if it is tall)
        p <- p - lr wd p - lr s X                      (decoupled weight_decay wd)

    If u = U S V^T then X approaches U V^T: five steps of this polynomial bring every singular value that is not tiny to
    between 0.7 and 1.2, which is near enough. s is sqrt(max(1, rows / columns)) with adjust_lr_fn None or "original",
    and 0.2 sqrt(max(rows, columns)) with "match_rms_adamw", with which AdamW's lr and weight_decay can be kept.

    Unlike in PyTorch, which always iterates in bfloat16, X is of the parameter's dtype; the paths of the two agree only
    to bfloat16's two or three digits.

    When to choose it: the matrices of the hidden layers of transformers and perceptrons, where it needs fewer steps
    than AdamW for one state array. Bad at, and not for: vectors, embeddings, the last layer (give those to AdamW in an
    optimizer of its own), kernels of convolutions unless they are reshaped to matrices; ill-determined gradients, for
    it enlarges directions that are all noise; settling down without a schedule, for steps do not shrink with the
    gradient.

    Raises ValueError for parameters that are not matrices, naming them, and for hyperparameters that make no sense.

    Source: K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024; J. Liu et al., Muon is
    scalable for LLM training, 2025, arXiv 2502.16982 (weight decay and match_rms_adamw).

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.zeros((2, 2)))
    >>> w.grad = wrap(np.array([[0.0, -400.0], [100.0, 0.0]]))
    >>> Muon([w], lr=0.1).step(); w.array.round(1)
    array([[ 0. ,  0.1],
           [-0.1,  0. ]])
    """

    elementwise = False
    counted = False
    decay = "decoupled"
    state_keys = {"b": "momentum_buffer"}

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = dict(lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, eps=eps)
        iteration = dict(ns_coefficients=ns_coefficients, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn)
        super().__init__(params, {**defaults, **iteration})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the parameters of a group are matrices, and its hyperparameters make sense."""
        super().check(group)
        for i, p in enumerate(group["params"]):
            if p.array.ndim != 2:
                which = repr(group["param_names"][i]) if "param_names" in group else f"{i} of its group"
                raise ValueError(f"Muon: parameters must be matrices, but parameter {which} is {describe(p.array)}")
        steps, coefficients, how = group["ns_steps"], group["ns_coefficients"], group["adjust_lr_fn"]
        if not isinstance(steps, int) or not 0 <= steps < 100:
            raise ValueError(f"Muon: ns_steps must be an int >= 0 and < 100, got {steps!r}")
        if not isinstance(coefficients, (tuple, list)) or len(coefficients) != 3:
            raise ValueError(f"Muon: ns_coefficients must be three numbers, got {coefficients!r}")
        if how not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Muon: adjust_lr_fn must be None, 'original' or 'match_rms_adamw', got {how!r}")

    def init(self, p, h) -> dict[str, Any]:
        """b."""
        return {"b": backend_of(p).zeros_like(p)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        b, (rows, columns) = state["b"], p.shape
        b += (1 - h.momentum) * (g - b)
        u = g + h.momentum * (b - g) if h.nesterov else b
        wide = h.adjust_lr_fn == "match_rms_adamw"
        scale = 0.2 * math.sqrt(max(rows, columns)) if wide else math.sqrt(max(1, rows / max(1, columns)))
        p -= h.lr * scale * orthogonal(u, h.ns_coefficients, h.ns_steps, h.eps)


def orthogonal(u, coefficients: tuple[float, float, float], steps: int, eps: float):
    """About U V^T for the matrix u = U S V^T, by the Newton-Schulz iteration."""
    B, (a, b, c), tall = backend_of(u), coefficients, u.shape[0] > u.shape[1]
    X = B.swapaxes(u, 0, 1) if tall else u
    X = X / B.maximum(B.sqrt(B.sum(X * X)), eps)
    for _ in range(steps):
        A = X @ B.swapaxes(X, 0, 1)
        X = a * X + (b * A + c * (A @ A)) @ X
    return B.swapaxes(X, 0, 1) if tall else X
