"""RMSprop: gradients divided by the root of the mean of their recent squares."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from .optimizer import Optimizer


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of the mean of its squares, optionally centred and with momentum.

        g <- g + wd p                                  (weight_decay wd; with maximize first g <- -g)
        v <- alpha v + (1 - alpha) g^2
        m <- m + (1 - alpha) (g - m)                   (only if centered; otherwise m = 0)
        d <- g / (sqrt(v - m^2) + eps)
        p <- p - lr d        or, with momentum mu,     b <- mu b + d,    p <- p - lr b

    As in PyTorch eps stands beside the root (in TensorFlow inside it) and lr outside the velocity. v begins at zero and
    is not corrected for it, so that the first step is 1 / sqrt(1 - alpha) times as long as lr: 10 times by default. b
    is a sum, not an average: a constant momentum makes steps up to 1 / (1 - mu) times as long.

    When to choose it: recurrent networks and reinforcement learning, where it is the custom, and gradients whose scale
    drifts. centered divides by the standard deviation, which makes steps longer where the gradient is steady. Bad at:
    the first steps (Adam corrects them; or start with a small lr); centered at gradients that hardly change, where
    v - m^2 is the difference of two nearly equal numbers and all steps are long. One state array, up to three.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here.
    capturable, differentiable: only False. Raises ValueError for negative or non-finite hyperparameters.

    Sources: T. Tieleman and G. Hinton, Neural networks for machine learning, lecture 6.5, Coursera 2012; A. Graves,
    Generating sequences with recurrent neural networks, 2013, arXiv 1308.0850 (centered).

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = RMSprop([w], lr=0.1, alpha=0.75)
    >>> w.grad = wrap(np.array([1e-3, -40.0]))
    >>> rule.step(); w.array.round(3), rule.state[w]["square_avg"].array
    (array([0.8, 2.2]), array([2.5e-07, 4.0e+02]))
    """

    state_keys = {"v": "square_avg", "b": "momentum_buffer", "m": "grad_avg"}
    bounds = {**Optimizer.bounds, "alpha": (0, math.inf)}

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = dict(lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered, weight_decay=weight_decay)
        flags = dict(capturable=capturable, foreach=foreach, maximize=maximize, differentiable=differentiable)
        super().__init__(params, {**defaults, **flags})

    def init(self, p, h) -> dict[str, Any]:
        """v and, if asked for, b and m."""
        zeros, wanted = backend_of(p).zeros_like, {"v": True, "b": h.momentum, "m": h.centered}
        return {name: zeros(p) for name in wanted if wanted[name]}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, v = backend_of(p), state["v"]
        v *= h.alpha
        v += (1 - h.alpha) * (g * g)
        if h.centered:
            m = state["m"]
            m += (1 - h.alpha) * (g - m)
            v = v - m * m
        d = B.sqrt(v)
        d += h.eps
        d = g / d
        if h.momentum:
            b = state["b"]
            b *= h.momentum
            b += d
            d = b
        p -= h.lr * d
