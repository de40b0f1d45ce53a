"""Adamax: Adam with the largest recent gradient in place of the root of the mean of squares."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class Adamax(Optimizer):
    """Adamax: the mean of past gradients over the largest of them, which is forgotten at the rate beta2.

        g <- g + wd p                                  (weight_decay wd; with maximize first g <- -g)
        m <- m + (1 - beta1) (g - m)
        u <- max(beta2 u, |g| + eps)
        p <- p - lr / (1 - beta1^t) m / u              at step t = 1, 2, ...

    The limit of Adam with n-th powers in place of squares, as n grows. u is a maximum, so that beginning at zero does
    not bias it; eps, which the paper has not, keeps it from being zero.

    When to choose it: gradients that are mostly zero or have rare outliers (embeddings): a step is never longer than
    about lr, and a large gradient is remembered as it was, not squared, which is also easier on half precision. Bad at:
    forgetting one outlier, which holds a parameter back for 1 / (1 - beta2) steps; usually a little slower than Adam.
    Two state arrays.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here.
    capturable, differentiable: only False. Raises ValueError for negative or non-finite hyperparameters and betas
    outside [0, 1).

    Source: D. Kingma and J. Ba, Adam: a method for stochastic optimization, section 7.1, ICLR 2015, arXiv 1412.6980.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = Adamax([w], lr=0.5)
    >>> w.grad = wrap(np.array([1e-3, -40.0]))
    >>> rule.step(); w.array.round(3), rule.state[w]["exp_inf"].array.round(3)
    (array([0.5, 2.5]), array([1.e-03, 4.e+01]))
    """

    state_keys = {"m": "exp_avg", "u": "exp_inf"}

    def __init__(
        self,
        params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        flags = dict(foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable)
        super().__init__(params, {**defaults, **flags})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        check_pair(self, group, "betas")

    def init(self, p, h) -> dict[str, Any]:
        """m and u."""
        zeros = backend_of(p).zeros_like
        return {"m": zeros(p), "u": zeros(p)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, (beta1, beta2), m, u = backend_of(p), h.betas, state["m"], state["u"]
        m += (1 - beta1) * (g - m)
        u *= beta2
        largest = B.absolute(g)
        largest += h.eps
        B.maximum(u, largest, out=u)
        p -= h.lr / (1 - beta1**h.step) * (m / u)
