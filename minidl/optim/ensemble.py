"""Ensemble: the steps of several rules, mixed with fixed or learned weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from ..backend import backend_of
from ..tensor import Tensor, wrap
from .checks import number
from .ema import beside
from .optimizer import Optimizer
from .surroundings import Skipped
from .wrapper import Wrapper, dense, inner_products, made, parameters_of

_START = "train"  # where the parameters were before eval()


class Ensemble(Wrapper):
    """Several rules see the same gradient, each proposes a step from the same point, and a mixture of them is made.

        d_i = rules[i](p) - p                                     what each rule would do from p
        p <- p + sum_i w_i d_i                                    w_i >= 0, sum_i w_i = 1

    With weights="learned" the weights begin equal and go, before each step, by exponentiated gradient descent on the
    loss: after the step to p its slope along w_i is g.d_i, where g is the gradient at the new p and d_i the step that
    rule i proposed last (a hypergradient). With u_i = g.d_i / max_j |g.d_j|, which does not depend on the scale of the
    loss,

        w_i <- w_i exp(-rate u_i),    then w_i <- max(w_i, floor),    then w <- w / sum_i w_i

    (with maximize the sign is the opposite). A rule whose last step still points downhill gains; one that overshot
    loses. floor keeps every rule in play.

    rules: optimizers over the same parameters, or functions that make them from a list of parameters. weights: None
    (equal), a number >= 0 for each rule, which are divided by their sum, or "learned". rate (0.1), floor (1e-3): only
    with learned weights. params: what functions get, where no rule is an optimizer. With schedule-free rules eval()
    puts p + sum_i w_i (x_i - p) into the parameters, where x_i is what rule i alone would put there.

    When to choose it: to see which rule suits a problem (watch `weights`), to mix a careful rule with a bold one, for
    research. Bad at: cost, for every rule makes its whole step: their times and states add up, and p is copied (learned
    weights keep each d_i too, and wait for the device once a step); being better than the best of its rules, tuned.

    Raises ValueError for rules over different parameters, weights that are negative, not finite or all zero, and
    NotImplementedError for rules that need a closure, and for row-sparse gradients.

    Sources: J. Kivinen and M. Warmuth, Exponentiated gradient versus gradient descent for linear predictors,
    Information and Computation 132, 1997; A. Baydin, R. Cornish, D. Martinez Rubio, M. Schmidt and F. Wood, Online
    learning rate adaptation with hypergradient descent, ICLR 2018, arXiv 1703.04782.

    >>> import numpy as np
    >>> from minidl.optim import SGD, Adam
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = Ensemble([SGD([w], lr=0.1), Adam([w], lr=0.5)], weights=[3, 1])
    >>> w.grad = wrap(np.array([2.0, -2.0]))
    >>> rule.step(); w.array, rule.weights
    (array([0.725, 2.275]), [0.75, 0.25])
    """

    def __init__(
        self,
        rules: Iterable,
        weights: list[float] | str | None = None,
        rate: float | None = None,
        floor: float | None = None,
        *,
        params: Iterable | None = None,
    ) -> None:
        super().__init__(made("Ensemble", rules, params))
        for i, rule in enumerate(self.optimizers):
            if rule.needs_closure:
                what = f"rule {i} ({type(rule).__name__}) evaluates the loss several times in a step"
                raise NotImplementedError(f"Ensemble: {what}, which an Ensemble does not support")
        self.learned = weights == "learned" if isinstance(weights, str) else False
        if isinstance(weights, str) and not self.learned:
            raise ValueError(f"Ensemble: weights must be None, numbers or 'learned', got {weights!r}")
        for name, value in (("rate", rate), ("floor", floor)):
            if value is not None and not self.learned:
                raise ValueError(f"Ensemble: {name} is for learned weights only")
        self.rate: float = 0.1 if rate is None else number("Ensemble", "rate", rate, 0)
        self.floor: float = 1e-3 if floor is None else number("Ensemble", "floor", floor, 0)
        n = len(self.optimizers)
        self.entries = (*(f"step_{i}" for i in range(n if self.learned else 0)), _START)
        given: Any = [1] * n if weights is None or self.learned else weights
        self.weights = self._fitting(given, self.rate, self.floor)
        total = sum(self.weights)
        self.weights = [w / total for w in self.weights]

    def _fitting(self, weights, rate, floor) -> list[float]:
        n = len(self.optimizers)
        if not isinstance(weights, (list, tuple)) or len(weights) != n:
            raise ValueError(f"Ensemble: {n} rules need {n} weights, got {weights!r}")
        for what, value in (*((f"weights[{i}]", w) for i, w in enumerate(weights)), ("rate", rate), ("floor", floor)):
            number("Ensemble", what, value, 0)
        if not sum(weights):
            raise ValueError("Ensemble: all weights are zero")
        if not floor * n < 1:
            raise ValueError(f"Ensemble: floor must be < 1 / {n}, the number of rules, got {floor}")
        return [float(w) for w in weights]

    def numbers(self) -> dict[str, Any]:
        """The weights, and how they are learned."""
        return {"weights": list(self.weights), "learned": self.learned, "rate": self.rate, "floor": self.floor}

    def checked(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """The same numbers; ValueError unless they fit."""
        if numbers["learned"] is not self.learned:
            found, expected = ("fixed", "learned") if self.learned else ("learned", "fixed")
            raise ValueError(f"Ensemble: the state is of {found} weights, expected {expected} ones")
        weights = self._fitting(numbers["weights"], numbers["rate"], numbers["floor"])
        return {**numbers, "weights": weights}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of every rule from the same point, and of these the mixture."""
        loss, _ = self.evaluated(self, closure)
        params = dense("Ensemble", parameters_of(self))
        if self.learned:
            self._learn(params)
        starts = [backend_of(p.array).copy(p.array) for p in params]
        mixed = [backend_of(x).zeros_like(x) for x in starts]
        moved = False
        try:
            for i, (rule, weight) in enumerate(zip(self.optimizers, self.weights, strict=True)):
                moved = self._step_leaving_gradients(rule, params) or moved
                for p, x, total in zip(params, starts, mixed, strict=True):
                    d = p.array - x
                    total += weight * d
                    if self.learned:
                        self._keep(p, f"step_{i}", d)
                    p.write(x)
        except BaseException:
            for p, x in zip(params, starts, strict=True):
                p.write(x)
            raise
        if not moved:
            raise Skipped(loss)
        for p, x, total in zip(params, starts, mixed, strict=True):
            p.write(x + total)
        return loss

    def _step_leaving_gradients(self, rule: Optimizer, params: list[Tensor]) -> bool:
        """A step of the rule after which the gradients are as they were, as they are by a rule of ours; was it made?"""
        if rule._is_rule and not rule._transforms and not rule._pre_hooks:
            rule.step()
            return True
        given = [(p, p.grad, backend_of(p.array).copy(p.grad.array)) for p in params if p.grad is not None]
        try:
            return self.stepped(rule)[1]
        finally:
            for p, grad, values in given:
                grad.write(values)
                p.grad = grad

    def _turn(self, name: str) -> None:
        """To the mixture of what the rules put into the parameters, and back to exactly what these were."""
        params = list(parameters_of(self))
        resting = any(_START in self.state.get(p, ()) for p in params)
        if resting == (name == "eval"):
            return
        starts = [
            beside(self, self.state[p].pop(_START), p) if resting else backend_of(p.array).copy(p.array) for p in params
        ]
        ends = list(starts)
        for rule, weight in zip(self.optimizers, self.weights, strict=True):
            if hasattr(rule, name):
                getattr(rule, name)()
                ends = [end + weight * (p.array - x) for end, p, x in zip(ends, params, starts, strict=True)]
                for p, x in zip(params, starts, strict=True):
                    p.write(x)
        for p, x, end in zip(params, starts, ends, strict=True):
            if not resting:
                self._keep(p, _START, x)
                p.write(end)

    def _keep(self, p: Tensor, name: str, d) -> None:
        self.state[p][name] = wrap(backend_of(p.array).asarray(d))

    def _learn(self, params: list[Tensor]) -> None:
        groups = {p: group for group in self.param_groups for p in group["params"]}
        products: list[list[tuple[Any, Any]]] = [[] for _ in self.optimizers]
        for p in params:
            for name, pairs in zip(self.entries, products, strict=False):
                last = self.state.get(p, {}).get(name)
                if last is not None:
                    assert p.grad is not None
                    g = p.grad.array
                    pairs.append((beside(self, last, p), -g if groups[p].get("maximize") else g))
        slopes = inner_products(products)
        largest = max(map(abs, slopes))
        if not 0 < largest < math.inf:  # the first step, or a gradient that is not finite
            return
        new = [w * math.exp(-self.rate * s / largest) for w, s in zip(self.weights, slopes, strict=True)]
        new = [max(w, self.floor) for w in new]
        self.weights = [w / sum(new) for w in new]

    def settings(self) -> str:
        """The weights."""
        how = f", learned with rate={self.rate}, floor={self.floor}" if self.learned else ""
        return f"weights={self.weights}{how}"
