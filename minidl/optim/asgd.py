"""ASGD: gradient steps with a falling rate, and the average of where they have been."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from .optimizer import Optimizer


class ASGD(Optimizer):
    """Averaged stochastic gradient descent: SGD with a decaying rate, beside which the mean of the parameters is kept.

        g <- g + wd p                                  (weight_decay wd; with maximize first g <- -g)
        p <- (1 - lambd eta) p - eta g
        ax <- ax + mu (p - ax)
        eta <- lr / (1 + lambd lr t)^alpha             at step t = 1, 2, ...      (eta begins as lr)
        mu <- 1 / max(1, t - t0)                                                  (mu begins as 1)

    Until step t0 + 2 ax is p itself, then the mean of p from that step on. To use it copy
    `optimizer.state[p]["ax"]` over p at the end. eta is of the step before, so that a new lr acts one step later.

    When to choose it: convex problems and language models with long phases at a constant rate, where the mean is better
    than any single iterate; set t0 to the step from which on the loss no longer falls. Bad at: what SGD is bad at, and
    it has no momentum; with the default t0 of a million nothing is averaged in most trainings. Averages of any rule's
    parameters are in minidl.optim.swa_utils. One state array and two numbers.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here.
    capturable, differentiable: only False. Raises ValueError for non-finite hyperparameters and for a negative lr,
    lambd or weight_decay.

    Sources: B. Polyak and A. Juditsky, Acceleration of stochastic approximation by averaging, SIAM Journal on Control
    and Optimization 30, 1992; W. Xu, Towards optimal one pass large scale learning with averaged stochastic gradient
    descent, 2011, arXiv 1107.2490 (the rate).

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = ASGD([w], lr=0.5, lambd=0, t0=0)
    >>> for _ in range(3):
    ...     w.grad = wrap(np.array([1.0, 0.0]))
    ...     rule.step()
    >>> w.array, rule.state[w]["ax"].array, float(rule.state[w]["mu"].array)
    (array([-0.5,  2. ]), array([-0.25,  2.  ]), 0.3333333333333333)
    """

    bounds = {**Optimizer.bounds, "lambd": (0, math.inf)}

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = dict(lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay)
        flags = dict(foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable)
        super().__init__(params, {**defaults, **flags})

    def init(self, p, h) -> dict[str, Any]:
        """eta, mu and ax."""
        return {"eta": float(h.lr), "mu": 1.0, "ax": backend_of(p).zeros_like(p)}

    def advance(self, state, h) -> None:
        """Keep eta and mu for `update`, and compute the next step's."""
        h.eta, h.mu = state["eta"], state["mu"]
        state["eta"] = h.lr / (1 + h.lambd * h.lr * h.step) ** h.alpha
        state["mu"] = 1 / max(1, h.step - h.t0)

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        ax = state["ax"]
        p *= 1 - h.lambd * h.eta
        p -= h.eta * g
        if h.mu == 1:
            ax[...] = p
        else:
            ax += h.mu * (p - ax)
