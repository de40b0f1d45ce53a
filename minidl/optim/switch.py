"""Switch: one rule after the other over the same parameters; SWATS, the best-known case; and when to switch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

from ..backend import backend_of
from ..tensor import Tensor
from .adam import Adam
from .checks import number, whole
from .optimizer import Optimizer
from .surroundings import Skipped
from .wrapper import Wrapper, dense, inner_products, made, parameters_of, without_last_group


# --------------------------------------------------------------------------------------------------------- criteria
class Criterion:
    """Says when a rule has done its part; `stepped` and `reported` return True when it has.

    Steps that a transform skips are not seen by `stepped`.

    A criterion of your own defines one of them, and names in `remembers` the attributes, plain numbers, that must be
    saved for it to go on where it was.
    """

    remembers: tuple[str, ...] = ()

    def before(self, rule: Optimizer) -> None:
        """Called before every step of the rule, with the gradients that it will see."""

    def stepped(self, rule: Optimizer) -> bool:
        """Called after every step of the rule."""
        return False

    def reported(self, value: float) -> bool:
        """Called with every metric reported."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """The numbers that `load_state_dict` takes."""
        return {name: getattr(self, name) for name in self.remembers}

    def checked(self, state: dict[str, Any]) -> dict[str, Any]:
        """A saved state; ValueError if it is not of this criterion."""
        if not isinstance(state, dict) or set(state) != set(self.remembers):
            found = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"{type(self).__name__}: expected {sorted(self.remembers)}, got {found}")
        for name, value in state.items():
            if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                raise ValueError(f"{type(self).__name__}: {name} must be a number, got {value!r}")
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        self.__dict__.update(self.checked(state))


class after(Criterion):
    """After so many steps of the rule: `after(1000)`."""

    remembers = ("count",)

    def __init__(self, steps: int) -> None:
        self.steps, self.count = whole("after", "steps", steps), 0

    def stepped(self, rule: Optimizer) -> bool:
        """Count the step."""
        self.count += 1
        return self.count >= self.steps

    def __repr__(self) -> str:
        return f"after({self.steps})"


class stalled(Criterion):
    """When the metric has not become better by more than min_delta in `patience` reports: `stalled(patience=3)`.

    mode: "min" for a loss, "max" for an accuracy. NaN is no improvement.
    """

    remembers = ("best", "bad")

    def __init__(self, patience: int = 10, min_delta: float = 0.0, mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"stalled: mode must be 'min' or 'max', got {mode!r}")
        self.patience = whole("stalled", "patience", patience)
        self.min_delta, self.mode = number("stalled", "min_delta", min_delta, 0), mode
        self.best: float | None = None
        self.bad = 0  # reports since the best one

    def reported(self, value: float) -> bool:
        """Compare the value with the best so far."""
        gain = math.inf if self.best is None else self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta and not math.isnan(value):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        return self.bad >= self.patience

    def __repr__(self) -> str:
        return f"stalled(patience={self.patience}, min_delta={self.min_delta}, mode={self.mode!r})"


class projected_rate(Criterion):
    """When the rate that plain gradient descent would need for the rule's steps has settled; SWATS's criterion.

        gamma = p.p / (-p.g)                                        the rate at which SGD's step projects onto p
        lambda <- beta2 lambda + (1 - beta2) gamma                  both as they were if p.g = 0
        |lambda / (1 - beta2^k) - gamma| < tolerance                and k > 1, and Lambda > 0

    at the rule's k-th step p with the gradient g, over all parameters together; `rate` is then
    Lambda = lambda / (1 - beta2^k). That Lambda is positive is not in the paper: a negative rate would climb. Waits for
    the device once a step. Source: see `SWATS`.
    """

    remembers = ("k", "average", "rate")

    def __init__(self, beta2: float = 0.999, tolerance: float = 1e-9) -> None:
        self.beta2 = number("projected_rate", "beta2", beta2, 0, 1)
        if self.beta2 == 1:
            raise ValueError("projected_rate: beta2 must be a finite number >= 0 and < 1, got 1")
        self.tolerance = number("projected_rate", "tolerance", tolerance, 0, strict=True)
        self.k, self.average = 0, 0.0
        self.rate: float | None = None
        self._start: list[tuple[Tensor, Any]] = []

    def before(self, rule: Optimizer) -> None:
        """Keep the parameters as they are."""
        params = dense("projected_rate", parameters_of(rule))
        self._start = [(p, backend_of(p.array).copy(p.array)) for p in params]

    def stepped(self, rule: Optimizer) -> bool:
        """Project the step."""
        groups = {p: group for group in rule.param_groups for p in group["params"]}
        own, mixed = [], []
        for p, x in self._start:
            step, g, group = backend_of(x).asarray(p.array - x), p.grad.array, groups[p]  # type: ignore[union-attr]
            if group.get("maximize"):
                g = -g
            if group.get("weight_decay") and not group.get("decoupled_weight_decay", rule.decay == "decoupled"):
                g = g + float(group["weight_decay"]) * x
            own.append((step, step))
            mixed.append((step, g))
        self._start = []
        square, slope = inner_products([own, mixed])
        self.k += 1
        if slope == 0 or not math.isfinite(square) or not math.isfinite(slope):
            return False
        gamma = square / -slope
        self.average = self.beta2 * self.average + (1 - self.beta2) * gamma
        rate = self.average / (1 - self.beta2**self.k)
        if self.k > 1 and abs(rate - gamma) < self.tolerance and rate > 0:
            self.rate = rate
        return self.rate is not None

    def __repr__(self) -> str:
        return f"projected_rate(beta2={self.beta2}, tolerance={self.tolerance})"


# ------------------------------------------------------------------------------------------------------------ rules
class Switch(Wrapper):
    """One rule after the other over the same parameters: Adam to begin with, SGD to end with.

        p <- rules[a](p),    a <- a + 1 when the criterion when[a] holds after a step, or for a reported metric

    rules: optimizers over the same parameters, or functions that make them from a list of parameters,
    `lambda params: SGD(params, lr=0.1)`. when: a criterion for each rule but the last: `after(steps)`,
    `stalled(patience, min_delta, mode)`, `projected_rate(beta2, tolerance)` or one's own (`Criterion`); copies are
    kept. params: what functions get, where no rule is an optimizer.

    Each rule begins anew at its turn, and its state is dropped when it is done. `param_groups` has the groups of all
    rules, so that a scheduler changes the rates of all. Metrics come by `report(value)` or `step(metric=value)`, e.g.
    the validation loss after each epoch. `active` is the number of the rule whose turn it is.

    When to choose it: to begin with a fast, forgiving rule and end with one that generalises better (SWATS: Adam, then
    SGD), or with one that converges sharply (L-BFGS). Bad at: short runs, for the second rule has to build up its
    momentum; choosing the second rule's rate, which you must know (SWATS measures it).

    Raises ValueError for rules over different parameters, and for a wrong number of criteria.

    >>> import numpy as np
    >>> from minidl.optim import SGD, Adam
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = Switch([Adam([w], lr=0.5), lambda params: SGD(params, lr=0.1)], when=[after(1)])
    >>> w.grad = wrap(np.array([3.0, -4.0]))
    >>> for _ in range(2):
    ...     rule.step(); w.array.round(3), rule.active
    (array([0.5, 2.5]), 1)
    (array([0.2, 2.9]), 1)
    """

    def __init__(self, rules: Iterable, when, *, params: Iterable | None = None) -> None:
        name = type(self).__name__
        super().__init__(made(name, rules, params))
        when = [when] if isinstance(when, Criterion) else list(when)
        for criterion in when:
            if not isinstance(criterion, Criterion):
                raise TypeError(f"{name}: expected criteria such as after(1000), got {type(criterion).__name__}")
        n = len(self.optimizers)
        if len(when) != n - 1:
            raise ValueError(f"{name}: {n} rules need {n - 1} criteria, got {len(when)}")
        self.when: list[Criterion] = copy.deepcopy(when)
        self.active = 0

    def numbers(self) -> dict[str, Any]:
        """The number of the active rule, and what the criteria remember."""
        return {"active": self.active, "when": [criterion.state_dict() for criterion in self.when]}

    def checked(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """The number of the rule, and criteria that have taken over their states."""
        active, states = numbers["active"], numbers["when"]
        if isinstance(active, bool) or not isinstance(active, int) or not 0 <= active < len(self.optimizers):
            last = len(self.optimizers) - 1
            raise ValueError(f"{type(self).__name__}: active must be a whole number from 0 to {last}, got {active!r}")
        if not isinstance(states, (list, tuple)) or len(states) != len(self.when):
            raise ValueError(f"{type(self).__name__}: expected the states of {len(self.when)} criteria, got {states!r}")
        when = copy.deepcopy(self.when)
        for criterion, state in zip(when, states, strict=True):
            criterion.load_state_dict(state)
        return {"active": active, "when": when}

    def step(self, closure: Callable[[], Any] | None = None, *, metric: Any = None) -> Any:
        """One step of the rule whose turn it is, after reporting the metric if one is given."""
        if metric is not None:
            self.report(metric)
        rule = self.optimizers[self.active]
        criterion = self.when[self.active] if self.active < len(self.when) else None
        loss, arguments = self.evaluated(rule, closure)
        if criterion is not None:
            criterion.before(rule)
        result, made = self.stepped(rule, *arguments)
        loss = result if arguments else loss
        if not made:
            raise Skipped(loss)
        if criterion is not None and criterion.stepped(rule):
            self._switch()
        return loss

    def report(self, metric: Any) -> None:
        """Tell the criterion a metric, such as the validation loss; the next step may then be the next rule's."""
        value = metric.array.item() if isinstance(metric, Tensor) else metric
        if isinstance(value, bool) or not isinstance(value, (int, float)) and not hasattr(value, "__float__"):
            raise TypeError(f"{type(self).__name__}.report: expected a number, got {metric!r}")
        if self.active < len(self.when) and self.when[self.active].reported(float(value)):
            self._switch()

    def _switch(self) -> None:
        first = self.optimizers[self.active]
        if hasattr(first, "eval"):  # what it has found, not where it took gradients
            first.eval()
        self.hand_over(first, self.optimizers[self.active + 1])
        self.active += 1
        _drop(first)

    def hand_over(self, first: Optimizer, second: Optimizer) -> None:
        """Called when the second rule takes over; a subclass may let it begin with what the first one has found."""

    def settings(self) -> str:
        """The criteria, and whose turn it is."""
        return f"when={self.when!r}, active={self.active}"


class _Projected(Optimizer):
    """The second phase of SWATS; `scale` is (1 - beta1) Lambda as a multiple of lr."""

    counted = False
    state_keys = {"v": "momentum_buffer"}

    def init(self, p, h) -> dict[str, Any]:
        """v."""
        return {"v": backend_of(p).zeros_like(p)}

    def update(self, p, g, state, h) -> None:
        """v <- beta1 v + g,    p <- p - lr scale v."""
        v = state["v"]
        v *= h.momentum
        v += g
        p -= h.lr * h.scale * v


class SWATS(Switch):
    """SWATS: Adam, and SGD with momentum from the moment at which Adam shows what rate SGD needs.

        Adam's step p with lr, betas, eps,    gamma = p.p / (-p.g),    lambda <- beta2 lambda + (1 - beta2) gamma
        until |lambda / (1 - beta2^k) - gamma| < tolerance and k > 1; then Lambda = lambda / (1 - beta2^k) and
        v <- beta1 v + g,    p <- p - (1 - beta1) Lambda v                                        from v = 0

    k counts Adam's steps; p and g are of all parameters together, g with weight decay (L2, in both phases). `rate` is
    Lambda, None before. The paper says eps for tolerance, as is done here if tolerance is None. Two things differ from
    its algorithm 1: eps stands beside Adam's corrected root, and Lambda must be positive.

    Schedules and schedulers act on lr in both phases: in the second the rate is Lambda times the factor by which they
    have changed lr since. `param_groups` has the groups of Adam and then those of the second phase.

    When to choose it: image classification and language models where Adam starts well but SGD with momentum would end
    better, without tuning SGD's rate. Bad at: small tolerances with noisy gradients, for which it may never switch, and
    large ones, for which it switches in the first steps with a poor rate (look at `active` and `rate`); whatever SGD is
    bad at. During Adam's phase one copy of the weights, and a wait for the device, at every step.

    lr may be a schedule, betas may not. Raises ValueError as Adam does, and for a tolerance that is not positive.

    Source: N. Keskar and R. Socher, Improving generalization performance by switching from Adam to SGD, 2017,
    arXiv 1712.07628.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = SWATS([w], lr=0.1, betas=(0.5, 0.5), tolerance=0.01)
    >>> for _ in range(20):
    ...     w.grad = wrap(np.array([1.0, 1.0]) * w.array)
    ...     rule.step()
    >>> rule.active, round(rule.rate, 4)
    (1, 0.0698)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        tolerance: float | None = None,
    ) -> None:
        first = Adam(params, lr, betas, eps, weight_decay, maximize=maximize)
        known = dict(lr=0.0, weight_decay=0.0, maximize=False, momentum=0.0, scale=1.0)
        second = _Projected([self._second(first, i) for i in range(len(first.param_groups))], known)
        limit = number("SWATS", "tolerance", eps if tolerance is None else tolerance, 0, strict=True)
        super().__init__([first, second], [projected_rate(betas[1], limit)])

    @staticmethod
    def _second(first: Optimizer, i: int) -> dict[str, Any]:
        """The group of the second phase for one of Adam's."""
        group, schedules = first.param_groups[i], first.schedules[i]
        more = [slot for slot in schedules if slot not in ("lr", "weight_decay")]
        if more:
            raise ValueError(f"SWATS: only lr and weight_decay may be schedules, got one for {', '.join(more)}")
        own = {key: group[key] for key in ("lr", "weight_decay", "maximize")} | schedules
        params, names = group["params"], group.get("param_names")
        params = params if names is None else list(zip(names, params, strict=True))
        return {**own, "momentum": group["betas"][0], "scale": 1.0, "params": params}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, with Adam's hyperparameters, to both phases."""
        first, second = self.optimizers
        first.add_param_group(param_group)
        try:
            second.add_param_group(self._second(first, -1))
        except BaseException:
            without_last_group(first)
            raise
        if self.active:
            self._continue(first.param_groups[-1], second.param_groups[-1])

    def hand_over(self, first: Optimizer, second: Optimizer) -> None:
        """Give the second phase its rate, and the schedules where they are."""
        for a, b in zip(first.param_groups, second.param_groups, strict=True):
            self._continue(a, b)

    def _continue(self, a: dict[str, Any], b: dict[str, Any]) -> None:
        b.update({key: a[key] for key in ("lr", "weight_decay", "maximize")}, momentum=a["betas"][0])
        if "scheduled" in a:
            b["scheduled"] = copy.deepcopy(a["scheduled"])
        b["scale"] = (1 - a["betas"][0]) * self.rate / float(a["lr"]) if a["lr"] else 0.0  # type: ignore[operator]

    @property
    def rate(self) -> float | None:
        """Lambda, the rate of the second phase; None before it."""
        return self.when[0].rate  # type: ignore[attr-defined]


def _drop(rule: Optimizer) -> None:
    """Forget the state of a rule that is done, and let go of the parameters' memory, so that they are free to move."""
    rule.state.clear()
    rule._layouts.clear()
    for inner in rule.optimizers if isinstance(rule, Wrapper) else ():
        _drop(inner)
