"""LAMB: Adam's direction, with steps in proportion to the size of each layer's weights."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class LAMB(Optimizer):
    """LAMB (layer-wise adaptive moments): every parameter tensor moves by a share of its own length.

        m <- beta1 m + (1 - beta1) g                   (with maximize first g <- -g)
        v <- beta2 v + (1 - beta2) g^2
        u <- m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + wd p             at step t = 1, 2, ...
        p <- p - lr min(|p|, clamp_value) / |u| u      (|.| the Euclidean norm of the whole tensor)

    Where |p| or |u| is 0, the factor before u is lr alone. clamp_value=None sets no limit to |p|; adam=True leaves the
    factor out, which gives AdamW with the decay inside u; debias=False leaves out the two divisions by 1 - beta^t.

    When to choose it: very large batches (thousands of examples), the purpose it was made for, with a warmup and a lr
    that grows with the root of the batch. Bad at: small batches, where it brings nothing over AdamW; small tensors, a
    bias that starts at 0 above all, whose share of its own length is nearly nothing (put biases and normalisation
    weights into a group with adam=True).

    The package torch_optimizer, whose arguments these are, has debias=False by default; here the default is the paper's
    algorithm. Raises ValueError for negative or non-finite hyperparameters and betas outside [0, 1).

    Source: Y. You et al., Large batch optimization for deep learning: training BERT in 76 minutes, ICLR 2020,
    arXiv 1904.00962.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([3.0, 4.0]))
    >>> w.grad = wrap(np.array([1e-3, -40.0]))
    >>> LAMB([w], lr=0.1, eps=0).step(); w.array.round(4)  # by 0.1 * 5 in all
    array([2.6464, 4.3536])
    """

    elementwise = False
    decay = "own"
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    bounds = {**Optimizer.bounds, "clamp_value": (0, float("inf"))}

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        clamp_value: float | None = 10,
        adam: bool = False,
        debias: bool = True,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)
        super().__init__(params, {**defaults, "clamp_value": clamp_value, "adam": adam, "debias": debias})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check({k: v for k, v in group.items() if k != "clamp_value" or v is not None})
        check_pair(self, group, "betas")

    def init(self, p, h) -> dict[str, Any]:
        """m and v."""
        zeros = backend_of(p).zeros_like
        return {"m": zeros(p), "v": zeros(p)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, (beta1, beta2), m, v = backend_of(p), h.betas, state["m"], state["v"]
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        c1, c2 = (1 - beta1**h.step, 1 - beta2**h.step) if h.debias else (1, 1)
        u = m / c1 / (B.sqrt(v / c2) + h.eps) + h.weight_decay * p
        if not h.adam:
            size, length = B.sqrt(B.sum(p * p)), B.sqrt(B.sum(u * u))
            limited = size if h.clamp_value is None else B.minimum(size, h.clamp_value)
            u *= B.where((size > 0) & (length > 0), limited / length, B.ones_like(size))
        p -= h.lr * u
