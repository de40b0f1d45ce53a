"""Lion: steps of one size for every parameter, in the direction of a sign."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class Lion(Optimizer):
    """Lion ("evolved sign momentum"): the sign of a mean of past gradients in which the present one weighs more.

        u <- sign(beta1 m + (1 - beta1) g)             (with maximize first g <- -g)
        p <- p - lr (u + wd p)                         (decoupled weight_decay wd)
        m <- beta2 m + (1 - beta2) g

    The step is by the old m, which only then takes in g. Every element moves by exactly lr, whatever its gradient (by
    nothing where the mean is 0).

    When to choose it: large transformers, also on images, where it saves memory (one state array) and a root; with lr 3
    to 10 times smaller than AdamW's and a weight decay as many times larger, and large batches. Bad at: small batches,
    in whose noise the sign is a coin toss; settling down without a schedule, for the last steps are as large as the
    first; problems whose gradients differ in size for a reason.

    Raises ValueError for negative or non-finite hyperparameters and betas outside [0, 1).

    Source: X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, arXiv 2302.06675.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0, 3.0]))
    >>> w.grad = wrap(np.array([1e-3, -40.0, 0.0]))
    >>> Lion([w], lr=0.5).step(); w.array
    array([0.5, 2.5, 3. ])
    """

    counted = False
    decay = "decoupled"
    state_keys = {"m": "exp_avg"}

    def __init__(
        self,
        params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize))

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        check_pair(self, group, "betas")

    def init(self, p, h) -> dict[str, Any]:
        """m."""
        return {"m": backend_of(p).zeros_like(p)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, (beta1, beta2), m = backend_of(p), h.betas, state["m"]
        p -= h.lr * B.sign(beta1 * m + (1 - beta1) * g)
        m += (1 - beta2) * (g - m)
