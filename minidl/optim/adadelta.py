"""Adadelta: steps in the parameters' own units, from the sizes of past gradients and of past steps."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from .optimizer import Optimizer


class Adadelta(Optimizer):
    """Adadelta: RMSprop whose rate is, for each parameter, the root of the mean of the squares of its own past steps.

        g <- g + wd p                                  (weight_decay wd; with maximize first g <- -g)
        v <- rho v + (1 - rho) g^2
        d <- sqrt(u + eps) / sqrt(v + eps) g           (u of the steps before this one)
        u <- rho u + (1 - rho) d^2
        p <- p - lr d

    d has the unit of p, so that lr has none; the paper has no lr, which is lr = 1. eps stands inside both roots: it
    keeps d from staying zero, since u begins at zero, and so sets the length of the first steps, which is
    sqrt(eps / (1 - rho)), or 0.003 by default. That, the root of u, and the old u in the step are what RMSprop has not.

    When to choose it: where no rate can be tuned, or parameters of very different scales are trained together. Bad at:
    starting (with the small eps the steps take long to grow) and finishing (u follows v, so that nothing makes the
    steps shrink but a schedule on lr); it is rarely the best of these rules. Two state arrays.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here.
    capturable, differentiable: only False. Raises ValueError for negative or non-finite hyperparameters and for rho
    above 1.

    Source: M. Zeiler, Adadelta: an adaptive learning rate method, 2012, arXiv 1212.5701.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = Adadelta([w], rho=0.75, eps=1e-2)
    >>> w.grad = wrap(np.array([0.1, -40.0]))
    >>> rule.step(); w.array.round(3)
    array([0.911, 2.2  ])
    """

    state_keys = {"v": "square_avg", "u": "acc_delta"}
    bounds = {**Optimizer.bounds, "rho": (0, math.inf)}

    def __init__(
        self,
        params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = dict(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)
        flags = dict(capturable=capturable, foreach=foreach, differentiable=differentiable)
        super().__init__(params, {**defaults, **flags})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        if group["rho"] > 1:
            raise ValueError(f"Adadelta: rho must be at most 1, got {group['rho']}")

    def init(self, p, h) -> dict[str, Any]:
        """v and u."""
        zeros = backend_of(p).zeros_like
        return {"v": zeros(p), "u": zeros(p)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, v, u = backend_of(p), state["v"], state["u"]
        d = g * g
        d *= 1 - h.rho
        v *= h.rho
        v += d
        d = u + h.eps
        d /= v + h.eps
        d = B.sqrt(d)  # one root for two
        d *= g
        u *= h.rho
        p -= h.lr * d
        d *= d
        d *= 1 - h.rho
        u += d
