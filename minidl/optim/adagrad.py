"""Adagrad: each parameter's rate shrinks with the gradients it has seen."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from .optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad: the rate of each parameter is divided by the root of the sum of all its squared gradients.

        g <- g + wd p                                            (weight_decay wd; with maximize first g <- -g)
        s <- s + g^2                                             (s begins as initial_accumulator_value)
        p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)                     at step t = 1, 2, ...

    When to choose it: convex problems, and features or words of which some are rare, since a parameter that has seen
    few gradients keeps a high rate. Bad at: long trainings of deep networks: the sum only grows, so that the rates fall
    like 1 / sqrt(t) also where the gradients of the beginning were large and are long out of date (RMSprop forgets
    them); the first step is of size lr, whatever the gradient. One state array.

    foreach, fused: accepted and kept in the group; they choose between implementations, of which there is one here.
    differentiable: only False. A group may have an initial_accumulator_value of its own, which PyTorch overlooks; the
    state comes with a parameter's first gradient, in PyTorch with the optimizer. Raises ValueError for negative or
    non-finite hyperparameters.

    Source: J. Duchi, E. Hazan and Y. Singer, Adaptive subgradient methods for online learning and stochastic
    optimization, JMLR 12, 2011.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = Adagrad([w], lr=0.5)
    >>> for _ in range(2):
    ...     w.grad = wrap(np.array([1e-3, -40.0]))
    ...     rule.step()
    >>> w.array.round(3), rule.state[w]["sum"].array
    (array([0.146, 2.854]), array([2.0e-06, 3.2e+03]))
    """

    state_keys = {"s": "sum"}
    rows = ("s",)
    bounds = {**Optimizer.bounds, **dict.fromkeys(("lr_decay", "initial_accumulator_value"), (0, math.inf))}

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        start = dict(initial_accumulator_value=initial_accumulator_value)
        defaults = dict(lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay, **start)
        flags = dict(foreach=foreach, maximize=maximize, differentiable=differentiable, fused=fused)
        super().__init__(params, {**defaults, **flags})

    def init(self, p, h) -> dict[str, Any]:
        """s, filled with its first value."""
        return {"s": backend_of(p).full_like(p, h.initial_accumulator_value)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        s = state["s"]
        s += g * g
        d = backend_of(p).sqrt(s)
        d += h.eps
        p -= h.lr / (1 + (h.step - 1) * h.lr_decay) * (g / d)
