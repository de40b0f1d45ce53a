"""SGD: steps against the gradient, with momentum if asked for."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

        g <- g + wd p                                  (weight_decay wd; with maximize first g <- -g)
        b <- mu b + (1 - dampening) g                  (momentum mu; at the first step b <- g)
        p <- p - lr b        or, with nesterov,        p <- p - lr (g + mu b)

    This is PyTorch's form: the rate stands outside the velocity, so that a new rate acts at once; in Sutskever's and
    Polyak's form it stands inside. A constant momentum makes steps up to 1 / (1 - mu) times as long: lower lr with it.

    When to choose it: the first choice for convolutional networks on images, where with momentum 0.9 and a schedule it
    tends to generalise best, and wherever a rule must be easy to analyse; one state array at most, the cheapest step.
    Bad at: gradients whose scale differs much between parameters (embeddings, attention, recurrent networks), and at
    being used without tuning lr; without momentum it creeps along ravines.

    foreach, fused: accepted and kept in the group; they choose between implementations, of which there is one here.
    differentiable: only False. Raises ValueError for negative or non-finite hyperparameters, and for nesterov without
    momentum or with dampening.

    Sources: B. Polyak, Some methods of speeding up the convergence of iteration methods, 1964; I. Sutskever,
    J. Martens, G. Dahl and G. Hinton, On the importance of initialization and momentum in deep learning, ICML 2013.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = SGD([w], lr=0.5, momentum=0.9)
    >>> for _ in range(2):
    ...     w.grad = wrap(np.array([1.0, 0.0]))
    ...     rule.step()
    >>> w.array, rule.state[w]["momentum_buffer"].array
    (array([-0.45,  2.  ]), array([1.9, 0. ]))
    """

    counted = False
    state_keys = {"b": "momentum_buffer"}
    rows = ()  # b decays everywhere: with momentum a row-sparse gradient is made dense

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = dict(lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov)
        flags = dict(maximize=maximize, foreach=foreach, differentiable=differentiable, fused=fused)
        super().__init__(params, {**defaults, **flags})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            got = f"momentum={group['momentum']} and dampening={group['dampening']}"
            raise ValueError(f"SGD: nesterov needs a momentum > 0 and dampening 0, got {got}")

    def init(self, p, h) -> dict[str, Any]:
        """b, if there is a momentum."""
        return {"b": backend_of(p).zeros_like(p)} if h.momentum else {}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        if "b" in state:
            b = state["b"]
            b *= h.momentum
            b += (1 - h.dampening * (h.step > 1)) * g if h.dampening else g
            g = g + h.momentum * b if h.nesterov else b
        p -= h.lr * g
