"""LARS: SGD with momentum, with steps in proportion to the size of each layer's weights."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .optimizer import Optimizer


class LARS(Optimizer):
    """LARS (layer-wise adaptive rate scaling): gradients are rescaled to a share of their parameter tensor's length.

        d <- trust_coefficient |p| / (|g| + wd |p| + eps) (g + wd p)       (with maximize first g <- -g)
        b <- mu b + (1 - dampening) d                                      (momentum mu; at the first step b <- d)
        p <- p - lr b        or, with nesterov,        p <- p - lr (d + mu b)

    |.| is the Euclidean norm of the whole tensor. Where |p| or |g| is 0, d is g + wd p. As in SGD, the rate stands
    outside the velocity, so that a new rate acts at once; the paper has it inside, which is the same while lr does not
    change. The paper has eps 0.

    When to choose it: convolutional networks on images with very large batches (above about 8000), with a warmup and a
    polynomial schedule; lr is then of the order of 1 to 30, since trust_coefficient is 0.001. Bad at: small batches,
    where plain SGD does as well; transformers (LAMB was made for those); biases and the weights of normalisation
    layers, which are better left to SGD.

    Raises ValueError for negative or non-finite hyperparameters, and for nesterov without momentum or with dampening.

    Source: Y. You, I. Gitman and B. Ginsburg, Large batch training of convolutional networks, 2017, arXiv 1708.03888;
    arguments as in the package torch_optimizer.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([3.0, 4.0]))
    >>> w.grad = wrap(np.array([0.0, -40.0]))
    >>> LARS([w], lr=1.0, trust_coefficient=0.1, eps=0).step(); w.array  # by 0.1 * 5
    array([3. , 4.5])
    """

    elementwise = False
    counted = False
    decay = "own"
    state_keys = {"b": "momentum_buffer"}
    bounds = {**Optimizer.bounds, "trust_coefficient": (0, float("inf"))}

    def __init__(
        self,
        params,
        lr: float,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        trust_coefficient: float = 0.001,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov)
        super().__init__(params, {**defaults, "trust_coefficient": trust_coefficient, "eps": eps, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            got = f"momentum={group['momentum']} and dampening={group['dampening']}"
            raise ValueError(f"LARS: nesterov needs a momentum > 0 and dampening 0, got {got}")

    def init(self, p, h) -> dict[str, Any]:
        """b, if there is a momentum."""
        return {"b": backend_of(p).zeros_like(p)} if h.momentum else {}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B = backend_of(p)
        size, slope = B.sqrt(B.sum(p * p)), B.sqrt(B.sum(g * g))
        share = h.trust_coefficient * size / (slope + h.weight_decay * size + h.eps)
        d = g + h.weight_decay * p
        d *= B.where((size > 0) & (slope > 0), share, B.ones_like(size))
        if "b" in state:
            b = state["b"]
            b *= h.momentum
            b += (1 - h.dampening * (h.step > 1)) * d if h.dampening else d
            d = d + h.momentum * b if h.nesterov else b
        p -= h.lr * d
