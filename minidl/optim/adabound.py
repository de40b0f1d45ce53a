"""AdaBound: Adam at the beginning, SGD in the end, and a slow passage between the two."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class AdaBound(Optimizer):
    """AdaBound: Adam whose rate for each element is kept between two bounds that approach each other.

        m <- beta1 m + (1 - beta1) g                   (first g <- g + wd p; with maximize before that g <- -g)
        v <- beta2 v + (1 - beta2) g^2
        r <- lr / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v) + eps)               at step t = 1, 2, ...
        p <- p - clip(r, F (1 - 1 / (gamma t + 1)), F (1 + 1 / (gamma t))) m      F = final_lr lr / base_lr

    With amsbound the largest v so far takes the place of v in the third line. As in the authors' program, and unlike in
    the paper's analysis, the rates are not divided by sqrt(t), and moments are corrected as Adam's. base_lr is the rate
    for which final_lr is meant: lr as it was given for the group, unless said otherwise, so that a scheduler of lr
    moves the bounds too. If lr is given as a schedule, say base_lr (its peak) to have the same; without it F is
    final_lr.

    When to choose it: where Adam's quick start is wanted and SGD's generalisation, without a change of rule in the
    middle. Bad at: saving work, for final_lr must be tuned like SGD's lr (it is an SGD in the end, with a momentum that
    averages), and whatever SGD is bad at comes back late in training; on transformers.

    Raises ValueError for negative or non-finite hyperparameters, betas outside [0, 1) and gamma outside (0, 1).

    Source: L. Luo, Y. Xiong, Y. Liu and X. Sun, Adaptive gradient methods with dynamic bound of learning rate,
    ICLR 2019, arXiv 1902.09843.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0, 3.0]))
    >>> w.grad = wrap(np.array([2.0, 0.1, -100.0]))
    >>> rule = AdaBound([w], lr=0.5, betas=(0, 0.999), gamma=0.25)
    >>> rule.step(); w.array.round(4)  # Adam's rates 0.25, 5 and 0.005, within [0.02, 0.5]
    array([0.5 , 1.95, 5.  ])
    """

    state_keys = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}
    bounds = {**Optimizer.bounds, "final_lr": (0, float("inf")), "gamma": (0, 1), "base_lr": (0, float("inf"))}

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsbound: bool = False,
        *,
        base_lr: float | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, betas=betas, final_lr=final_lr, gamma=gamma, eps=eps, weight_decay=weight_decay)
        super().__init__(params, {**defaults, "amsbound": amsbound, "base_lr": base_lr, "maximize": maximize})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As the base class; the group's base_lr is its lr, if that is a number and no base_lr is given."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if group["base_lr"] is None and "lr" not in self.schedules[-1]:
            group["base_lr"] = float(group["lr"])

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check({k: v for k, v in group.items() if k != "base_lr" or v is not None})
        check_pair(self, group, "betas")
        if group["gamma"] == 0:
            raise ValueError("AdaBound: gamma must be > 0, got 0")

    def init(self, p, h) -> dict[str, Any]:
        """m, v and, with amsbound, v_max."""
        zeros = backend_of(p).zeros_like
        return {name: zeros(p) for name in ("m", "v", "v_max") if name != "v_max" or h.amsbound}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, (beta1, beta2), m, v = backend_of(p), h.betas, state["m"], state["v"]
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if "v_max" in state:
            v = B.maximum(state["v_max"], v, out=state["v_max"])
        rate = h.lr * (1 - beta2**h.step) ** 0.5 / (1 - beta1**h.step) / (B.sqrt(v) + h.eps)
        final = h.final_lr * h.lr / h.base_lr if h.base_lr else h.final_lr
        low, high = final * (1 - 1 / (h.gamma * h.step + 1)), final * (1 + 1 / (h.gamma * h.step))
        p -= B.minimum(B.maximum(rate, low), high) * m
