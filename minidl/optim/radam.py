"""RAdam: Adam that waits with the division until it knows what to divide by."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class RAdam(Optimizer):
    """RAdam: Adam with its steps shortened while v is the mean of few gradients, and undivided as long as of too few.

        g <- g + wd p                                  (weight_decay wd; with maximize first g <- -g)
        m <- m + (1 - beta1) (g - m)
        v <- beta2 v + (1 - beta2) g^2
        n = 2 / (1 - beta2) - 1,    rho = n - 2 t beta2^t / (1 - beta2^t)            at step t = 1, 2, ...
        r = sqrt((rho - 4) (rho - 2) n / ((n - 4) (n - 2) rho))
        p <- p - lr / (1 - beta1^t) m r sqrt(1 - beta2^t) / (sqrt(v) + eps)          if rho > 5
        p <- p - lr / (1 - beta1^t) m                                                otherwise

    rho is the length of a plain average as uncertain as v. As in PyTorch the bound is 5 (in the paper 4: with the
    default beta2 it is passed at step 6 instead of 5), and eps stands beside the uncorrected root, unlike Adam's. With
    decoupled_weight_decay the decay is AdamW's: p shrinks by lr wd p first, and g stays as it is.

    When to choose it: instead of Adam with a warmup, when the length of the warmup is not to be tuned. Bad at: what
    Adam is bad at; the first five steps go along the gradient itself, so that large gradients there make large steps; a
    beta2 up to 2/3 never gets beyond that. Two state arrays.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here.
    capturable, differentiable: only False. Raises ValueError for negative or non-finite hyperparameters and betas
    outside [0, 1).

    Source: L. Liu, H. Jiang, P. He, W. Chen, X. Liu, J. Gao and J. Han, On the variance of the adaptive learning rate
    and beyond, ICLR 2020, arXiv 1908.03265.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w, path = Parameter(np.array([1.0, 2.0])), []
    >>> rule = RAdam([w], lr=0.5)
    >>> for _ in range(6):
    ...     w.grad = wrap(np.array([0.0, -4.0]))
    ...     rule.step(); path += [w.array[1].round(3).item()]
    >>> path
    [4.0, 6.0, 8.0, 10.0, 12.0, 12.013]
    """

    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)
        flags = dict(foreach=foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(params, {**defaults, "decoupled_weight_decay": decoupled_weight_decay, **flags})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        check_pair(self, group, "betas")

    def init(self, p, h) -> dict[str, Any]:
        """m and v."""
        zeros = backend_of(p).zeros_like
        return {"m": zeros(p), "v": zeros(p)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        (beta1, beta2), m, v = h.betas, state["m"], state["v"]
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        corrected, power = h.lr / (1 - beta1**h.step), beta2**h.step
        n = 2 / (1 - beta2) - 1
        rho = n - 2 * h.step * power / (1 - power)
        if rho > 5:
            r = ((rho - 4) * (rho - 2) * n / ((n - 4) * (n - 2) * rho)) ** 0.5
            d = backend_of(p).sqrt(v)
            d += h.eps
            p -= corrected * r * (1 - power) ** 0.5 * (m / d)
        else:
            p -= corrected * m
