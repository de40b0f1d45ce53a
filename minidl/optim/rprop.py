"""Rprop: a step size for each parameter, adapted by the signs of its gradient alone."""

from __future__ import annotations

import math
from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class Rprop(Optimizer):
    """Resilient backpropagation: a parameter's step grows while its gradient keeps its sign and shrinks when it turns.

        s = g g_prev                                                    (with maximize first g <- -g)
        e <- e etas[1]  where s > 0,    e etas[0]  where s < 0          (e begins as lr, in every element)
        e <- min(max(e, step_sizes[0]), step_sizes[1])
        g <- 0  where s < 0                                             (no step right after a turn)
        p <- p - e sign(g)
        g_prev <- g

    This is the variant without going back, iRprop- of Igel and Huesken, as in PyTorch. lr is only the first e: a
    schedule on it does nothing once a parameter has its state. There is no weight_decay.

    When to choose it: full batches, for which it is among the fastest rules that use nothing but gradients, and needs
    no tuning; flat regions and tiny gradients do not slow it down. Bad at: mini-batches, whose noise turns the signs
    until all steps have shrunk to the least one: use RMSprop. Two state arrays.

    foreach: accepted and kept in the group; it chooses between implementations, of which there is one here.
    capturable, differentiable: only False. Raises ValueError for negative or non-finite hyperparameters, unless
    0 < etas[0] < 1 < etas[1], and for step_sizes in the wrong order.

    Sources: M. Riedmiller and H. Braun, A direct adaptive method for faster backpropagation learning: the RPROP
    algorithm, ICNN 1993; C. Igel and M. Huesken, Improving the Rprop learning algorithm, NC 2000.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w, path = Parameter(np.array([1.0, 1.0])), []
    >>> rule = Rprop([w], lr=0.5)
    >>> for _ in range(3):
    ...     w.grad = wrap(w.array - np.array([-9.0, 0.3]))
    ...     rule.step(); path += [w.array.round(3).tolist()]
    >>> path, rule.state[w]["step_size"].array
    ([[0.5, 0.5], [-0.1, -0.1], [-0.82, -0.1]], array([0.72, 0.3 ]))
    """

    state_keys = {"g": "prev", "e": "step_size"}
    bounds = {**Optimizer.bounds, "etas": (0, math.inf), "step_sizes": (0, math.inf)}

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        flags = dict(foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable)
        super().__init__(params, dict(lr=lr, etas=etas, step_sizes=step_sizes, **flags))

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        check_pair(self, group, "etas")
        check_pair(self, group, "step_sizes")
        if not 0 < group["etas"][0] < 1 < group["etas"][1]:
            raise ValueError(f"Rprop: etas must be one factor in (0, 1) and one above 1, got {group['etas']}")
        if group["step_sizes"][0] > group["step_sizes"][1]:
            raise ValueError(f"Rprop: step_sizes must be the least and the largest, got {group['step_sizes']}")

    def init(self, p, h) -> dict[str, Any]:
        """The gradient before the first, zero, and e."""
        B = backend_of(p)
        return {"g": B.zeros_like(p), "e": B.full_like(p, h.lr)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, e, (down, up) = backend_of(p), state["e"], h.etas
        s = g * state["g"]
        turned = s < 0
        e[...] = B.where(s > 0, e * up, B.where(turned, e * down, e))
        B.minimum(B.maximum(e, h.step_sizes[0]), h.step_sizes[1], out=e)
        state["g"][...] = B.where(turned, 0.0, g)
        p -= e * B.sign(state["g"])
