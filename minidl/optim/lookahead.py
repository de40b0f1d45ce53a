"""Lookahead: slow weights that follow, every k steps, the weights of another rule."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..backend import backend_of
from ..tensor import Tensor, wrap
from .checks import number, whole
from .ema import beside, lerp, replaced
from .optimizer import Optimizer
from .surroundings import Skipped
from .wrapper import Wrapper, parameters_of

MOMENTA = ("momentum_buffer", "exp_avg")  # what rules call the mean of past gradients, in the order of search
PULLBACKS = ("none", "reset", "pullback")


class Lookahead(Wrapper):
    """Lookahead: k steps of any rule forward, then a part of the way back.

        theta <- the inner rule's step                                  k times, from theta = phi
        phi <- phi + alpha (theta - phi),    theta <- phi               after every k-th step

    theta are the parameters, phi the slow weights. What becomes of the inner rule's momentum m at every k-th step is
    said by pullback_momentum: "none" leaves it, "reset" makes it zero, "pullback" interpolates it like the weights,
    m_phi <- m_phi + alpha (m - m_phi), m <- m_phi, from m_phi = 0.

    A parameter that had no gradient in these k steps is left alone. A step that a transform skips is not counted.

    When to choose it: around a rule whose rate is rather too high, or whose steps are noisy (small batches, SGD with a
    constant rate): the variance shrinks, and lr and momentum need less tuning. k 5 to 10, alpha 0.5 to 0.8. Bad at:
    deterministic and well-conditioned losses, where the steps back are lost; runs that average the weights anyway
    (EMA); evaluating in the middle of the k steps (use `slow_weights`). One copy of the weights.

    Raises ValueError for k < 1, alpha outside (0, 1], an unknown pullback_momentum, or one that is not "none" around a
    rule without momentum.

    Source: M. Zhang, J. Lucas, G. Hinton and J. Ba, Lookahead optimizer: k steps forward, 1 step back, NeurIPS 2019,
    arXiv 1907.08610.

    >>> import numpy as np
    >>> from minidl.optim import SGD
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = Lookahead(SGD([w], lr=0.5), k=2)
    >>> w.grad = wrap(np.array([1.0, 0.0]))
    >>> rule.step(); w.array
    array([0.5, 2. ])
    >>> rule.step(); w.array
    array([0.5, 2. ])
    """

    entries = ("slow", "slow_momentum")

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5, pullback_momentum: str = "none") -> None:
        super().__init__([optimizer])
        self.steps = 0  # since theta was phi
        self.k, self.alpha, self.pullback_momentum = k, alpha, pullback_momentum
        self.__dict__.update(self.checked(self.numbers()))

    def numbers(self) -> dict[str, Any]:
        """k, alpha, pullback_momentum, and the steps since theta was phi."""
        return {name: getattr(self, name) for name in ("k", "alpha", "pullback_momentum", "steps")}

    def checked(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """The same numbers; ValueError unless they make sense."""
        k, alpha, pullback, steps = numbers.values()
        k, alpha = whole("Lookahead", "k", k), number("Lookahead", "alpha", alpha, 0, 1, strict=True)
        if pullback not in PULLBACKS:
            raise ValueError(f"Lookahead: pullback_momentum must be one of {', '.join(PULLBACKS)}, got {pullback!r}")
        if whole("Lookahead", "steps", steps, 0) >= k:
            raise ValueError(f"Lookahead: steps must be a whole number >= 0 and < k={k}, got {steps!r}")
        (rule,) = self.optimizers
        if pullback != "none":
            examples = [rule._example(p, group) for group in rule.param_groups for p in group["params"][:1]]
            if not any(e is None or set(MOMENTA) & set(e) for e in examples):
                what = f"{type(rule).__name__} has no momentum here ({' or '.join(MOMENTA)} in its state)"
                raise ValueError(f"Lookahead: pullback_momentum={pullback!r}, but {what}")
        return {"k": k, "alpha": alpha, "pullback_momentum": pullback, "steps": int(steps)}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the rule within, and every k-th time the step back; a closure's result is returned."""
        (rule,) = self.optimizers
        loss, arguments = self.evaluated(rule, closure)
        params = parameters_of(rule)
        new = [p for p in params if (arguments or p.grad is not None) and "slow" not in self.state.get(p, ())]
        for p in new:
            self.state[p]["slow"] = wrap(backend_of(p.array).copy(p.array))
        made = False
        try:
            result, made = self.stepped(rule, *arguments)
        finally:
            for p in new:
                if p.grad is None or not made:  # nothing moved it
                    del self.state[p]["slow"]
        if not made:
            raise Skipped(result if arguments else loss)
        self.steps += 1
        if self.steps >= self.k:
            self.steps = 0
            for p in params:
                if "slow" in self.state.get(p, ()):
                    slow = self.state[p].pop("slow")
                    p.write(lerp(beside(self, slow, p), p.array, self.alpha))
                    self._pull_momentum(p, rule)
        return result if arguments else loss

    def _pull_momentum(self, p: Tensor, rule: Optimizer) -> None:
        entries = rule.state.get(p, {})
        name = next((name for name in MOMENTA if isinstance(entries.get(name), Tensor)), None)
        if self.pullback_momentum == "none" or name is None:
            return
        m = entries[name]
        if self.pullback_momentum == "reset":
            m.write(0)
            return
        slow = self.state[p].get("slow_momentum")
        start = beside(self, slow, m) if slow is not None else backend_of(m.array).zeros_like(m.array)
        m.write(lerp(start, m.array, self.alpha))
        self.state[p]["slow_momentum"] = wrap(backend_of(m.array).copy(m.array))

    @contextlib.contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Within the block the parameters are the slow weights phi, for evaluating; after it theta again."""
        moved = [p for p in parameters_of(self) if "slow" in self.state.get(p, ())]
        with replaced(self, moved, [self.state[p]["slow"] for p in moved]):
            yield

    def settings(self) -> str:
        """k, alpha and what is done to the momentum."""
        return f"k={self.k}, alpha={self.alpha}, pullback_momentum={self.pullback_momentum!r}"
