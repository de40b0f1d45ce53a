"""Joint: several rules side by side, each for parameters of its own, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..tensor import describe
from .optimizer import Optimizer
from .surroundings import Skipped
from .wrapper import Wrapper, parameters_of


class Joint(Wrapper):
    """Several optimizers over different parameters that are used as one.

        p <- rules[i](p)        for the parameters p of rule i

    When to choose it: where one rule does not suit all parameters: Muon for the matrices and AdamW for the rest,
    SparseAdam for an embedding and Adam for the layers after it. One rule with different hyperparameters needs no more
    than parameter groups.

    rules: optimizers none of which shares a parameter with another. A closure is evaluated once, before the first.
    Raises ValueError where a parameter is in two rules (naming both), NotImplementedError for a rule that needs to
    evaluate the loss itself (LBFGS).

    >>> import numpy as np
    >>> from minidl.optim import SGD, Adam
    >>> from minidl.tensor import Parameter, wrap
    >>> a, b = Parameter(np.array([1.0])), Parameter(np.array([1.0]))
    >>> rule = Joint([SGD([a], lr=0.5), Adam([b], lr=0.1)])
    >>> a.grad, b.grad = wrap(np.array([0.4])), wrap(np.array([0.4]))
    >>> rule.step(); a.array.round(3), b.array.round(3)
    (array([0.8]), array([0.9]))
    """

    shared = False

    def __init__(self, rules: Sequence[Optimizer]) -> None:
        super().__init__(rules)
        owners: dict[Any, int] = {}
        for i, rule in enumerate(self.optimizers):
            if rule.needs_closure:
                what = f"rule {i} ({type(rule).__name__}) evaluates the loss several times in a step"
                raise NotImplementedError(f"Joint: {what}, which a Joint does not support")
            for p in parameters_of(rule):
                if p in owners:
                    first, kinds = owners[p], [type(r).__name__ for r in self.optimizers]
                    raise ValueError(
                        f"Joint: a parameter, {describe(p.array)}, is in rule {first} ({kinds[first]}) and in rule {i} "
                        f"({kinds[i]})"
                    )
                owners[p] = i

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of every rule."""
        loss, _ = self.evaluated(self, closure)
        made = [self.stepped(rule)[1] for rule in self.optimizers]
        if not any(made):
            raise Skipped(loss)
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused: add the group to one of `optimizers`."""
        raise NotImplementedError("Joint.add_param_group: add the group to the rule it is for, one of .optimizers")
