"""Adam and AdamW: steps whose size each parameter sets by the gradients it has seen."""

from __future__ import annotations

from typing import Any

from ..backend import backend_of
from .optimizer import Optimizer


def check_pair(rule: Optimizer, group: dict[str, Any], key: str) -> None:
    """Raise unless a hyperparameter is a pair."""
    if not isinstance(group[key], (tuple, list)) or len(group[key]) != 2:
        raise ValueError(f"{type(rule).__name__}: {key} must be a pair of numbers, got {group[key]!r}")


class Adam(Optimizer):
    """Adam: the mean of past gradients over the root of the mean of their squares.

        g <- g + wd p                              (weight_decay wd; with maximize first g <- -g)
        m <- m + (1 - beta1) (g - m)
        v <- beta2 v + (1 - beta2) g^2
        p <- p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)          at step t = 1, 2, ...

    With amsgrad the largest v so far takes the place of v in the last line. eps stands beside the corrected root, as in
    the paper's algorithm 1 and in PyTorch, not inside it and not beside the uncorrected one.

    When to choose it: nearly always works without much tuning, with lr 1e-3 for small networks and 3e-4 for large ones;
    for recurrent networks, attention, embeddings and whatever else has gradients of different scales. Bad at:
    generalising on images as well as a tuned SGD does; at weight decay, since the decay is divided by sqrt(v) like the
    gradient, so that parameters with large gradients hardly shrink (AdamW does it right); with a large beta2 at
    noticing soon that the gradients have become larger or smaller. Two state arrays, or three.

    foreach, fused: accepted and kept in the group; they choose between implementations, of which there is one here.
    capturable, differentiable: only False. decoupled_weight_decay=True makes it AdamW. Raises ValueError for negative
    or non-finite hyperparameters and betas outside [0, 1).

    Sources: D. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv 1412.6980; S. Reddi,
    S. Kale and S. Kumar, On the convergence of Adam and beyond, ICLR 2018 (amsgrad).

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = Adam([w], lr=0.5)
    >>> w.grad = wrap(np.array([1e-3, -40.0]))
    >>> rule.step(); w.array.round(3), float(rule.state[w]["step"].array)
    (array([0.5, 2.5]), 1.0)
    """

    state_keys = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize)
        flags = dict(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        super().__init__(params, {**defaults, **flags, "decoupled_weight_decay": decoupled_weight_decay})

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        check_pair(self, group, "betas")

    def init(self, p, h) -> dict[str, Any]:
        """m, v and, with amsgrad, v_max."""
        zeros = backend_of(p).zeros_like
        return {name: zeros(p) for name in ("m", "v", "v_max") if name != "v_max" or h.amsgrad}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, (beta1, beta2), m, v = backend_of(p), h.betas, state["m"], state["v"]
        d = g - m  # changed in place where it can be: with fewer temporaries more of the rest stays in the cache
        d *= 1 - beta1
        m += d
        v *= beta2
        d = g * g
        d *= 1 - beta2
        v += d
        if "v_max" in state:
            v = B.maximum(state["v_max"], v, out=state["v_max"])
        root = (1 - beta2**h.step) ** 0.5  # numerator and denominator are multiplied by it: one pass less
        d = B.sqrt(v)
        d += h.eps * root
        d = m / d
        d *= h.lr * root / (1 - beta1**h.step)
        p -= d


class AdamW(Adam):
    """Adam with decoupled weight decay: every parameter shrinks at the same rate, whatever its gradients.

        p <- p - lr wd p,    then Adam's step with g as it is

    When to choose it: instead of Adam whenever there is weight decay; the usual choice for transformers (wd 0.01 to
    0.1, a warmup, a cosine schedule). Bad at: what Adam is bad at; the decay is a multiple of lr, so that a schedule
    weakens both. Biases and the weights of normalisation layers are better left out (a group with weight_decay=0).

    Arguments as Adam's, but weight_decay=1e-2. Source: I. Loshchilov and F. Hutter, Decoupled weight decay
    regularization, ICLR 2019, arXiv 1711.05101.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.grad = wrap(np.array([0.0, 0.0]))
    >>> AdamW([w], lr=0.1, weight_decay=0.5).step(); w.array
    array([0.95, 1.9 ])
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def _merged(self, i: int, group: dict, saved: dict) -> dict:
        return super()._merged(i, group, {**saved, "decoupled_weight_decay": True})  # also if the state was Adam's
