"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


def _momentum(h, step: int) -> float:
    """mu at a step."""
    return h.betas[0] * (1 - 0.5 * 0.96 ** (step * h.momentum_decay))


class NAdam(Optimizer):
    """NAdam: Adam whose mean already has the next step's momentum in it, and this step's gradient undiluted.

        g <- g + wd p                                  (weight_decay wd; with maximize first g <- -g)
        mu_t = beta1 (1 - 0.96^(t psi) / 2)            at step t = 1, 2, ...   (momentum_decay psi)
        M_t = mu_1 mu_2 ... mu_t                       (mu_product)
        m <- m + (1 - beta1) (g - m)
        v <- beta2 v + (1 - beta2) g^2
        p <- p - lr (mu_(t+1) / (1 - M_(t+1)) m + (1 - mu_t) / (1 - M_t) g) / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    The momentum grows from beta1 / 2 to beta1, by default within some thousands of steps; m itself always has beta1.
    eps stands beside the corrected root, as Adam's. With decoupled_weight_decay the decay is AdamW's: p shrinks by
    lr wd p first, and g stays as it is.

    When to choose it: where Adam works, and a little more speed in the early phase is wanted; the slowly growing
    momentum is a mild warmup. Bad at: what Adam is bad at; a noisy gradient enters the step twice, so that small
    batches want a smaller lr than Adam's. Two state arrays and a number.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here.
    capturable, differentiable: only False. Raises ValueError for negative or non-finite hyperparameters and betas
    outside [0, 1).

    Source: T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = NAdam([w], lr=0.5, momentum_decay=0)
    >>> w.grad = wrap(np.array([1e-3, -40.0]))
    >>> rule.step(); w.array.round(3), rule.state[w]["mu_product"].array
    (array([0.472, 2.528]), array(0.45))
    """

    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    bounds = {**Optimizer.bounds, "momentum_decay": (0, math.inf)}

    def __init__(
        self,
        params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        flags = dict(maximize=maximize, foreach=foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(params, {**defaults, "decoupled_weight_decay": decoupled_weight_decay, **flags})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        check_pair(self, group, "betas")

    def init(self, p, h) -> dict[str, Any]:
        """m, v and the product of the momenta so far."""
        zeros = backend_of(p).zeros_like
        return {"mu_product": 1.0, "m": zeros(p), "v": zeros(p)}

    def advance(self, state, h) -> None:
        """Multiply this step's momentum into the product."""
        state["mu_product"] *= _momentum(h, h.step)

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        (beta1, beta2), m, v = h.betas, state["m"], state["v"]
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        mu, following, product = _momentum(h, h.step), _momentum(h, h.step + 1), state["mu_product"]
        root = (1 - beta2**h.step) ** 0.5  # numerator and denominator are multiplied by it: one pass less
        d = backend_of(p).sqrt(v)
        d += h.eps * root
        n = (h.lr * root * (1 - mu) / (1 - product)) * g
        n += (h.lr * root * following / (1 - product * following)) * m
        p -= n / d
