"""SparseAdam: Adam for the rows of a large table that a step touches."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class SparseAdam(Optimizer):
    """Adam on the rows that have a gradient; all other rows and their state stay as they are.

        for each such row, with its gradient g                                 (with maximize first g <- -g)
        m <- m + (1 - beta1) (g - m)
        v <- v + (1 - beta2) (g^2 - v)
        p <- p - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)      at step t = 1, 2, ... of the table

    It is lazy: Adam would let m and v decay, and move p along m, at every step, also where there is no gradient. And
    eps stands beside the uncorrected root, as at the end of section 2 of the paper; both as in PyTorch.

    When to choose it: for `Embedding(..., sparse=True)` with so many rows that a step touches few: an update takes time
    for these, not for the table. Bad at: tables of which most rows come in every step (Adam does the same work without
    sorting); rare rows after a long pause, whose m is that of long ago while t, of the table, no longer corrects it.
    Two state arrays of the size of the table.

    Only row-sparse gradients are taken: other parameters need an optimizer of their own. Raises ValueError for lr or
    eps that are not positive, non-finite hyperparameters, and betas outside [0, 1); RuntimeError for a dense gradient.

    Source: D. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv 1412.6980.

    >>> import minidl
    >>> table = minidl.nn.Embedding(4, 2, sparse=True, _weight=minidl.zeros(4, 2))
    >>> rule = SparseAdam(table.parameters(), lr=0.5)
    >>> table(minidl.tensor([2, 0, 2])).sum().backward()
    >>> rule.step(); table.weight.detach()
    tensor([[-0.5000, -0.5000],
            [ 0.0000,  0.0000],
            [-0.5000, -0.5000],
            [ 0.0000,  0.0000]])
    """

    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    rows = ("m", "v")
    dense = False

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        for name, value in {"lr": lr, "eps": eps}.items():  # as in PyTorch only here: a schedule may end at 0
            if value.__class__ in (int, float) and value == 0:
                raise ValueError(f"SparseAdam: {name} must be > 0, got {value}")
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))

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
        v += (1 - beta2) * (g * g - v)
        d = backend_of(p).sqrt(v)
        d += h.eps
        p -= h.lr * math.sqrt(1 - beta2**h.step) / (1 - beta1**h.step) * (m / d)
