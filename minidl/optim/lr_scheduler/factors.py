"""The schedulers that multiply the rate by a factor, under PyTorch's names, and the one for any schedule."""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from .. import schedules
from ..checks import is_number, number, whole
from ..optimizer import Optimizer, _plain
from ..surroundings import get
from .scheduler import ClosedForm


class ScheduleLR(ClosedForm):
    """Lets a hyperparameter follow a schedule.

    schedule: for the rate a factor of the initial one; for every other hyperparameter, such as "momentum", "betas[0]"
    or "weight_decay", the value itself. A `TimeBudget` is saved with the scheduler; other schedules are pure.

    When to use it: for every schedule that has no scheduler of its own in PyTorch: warmup, Noam, inverse square root,
    inverse time, one of your own. A schedule given to the optimizer directly, `SGD(params, lr=0.1 * schedule)`, needs
    no scheduler.

    >>> from minidl.optim import Adam
    >>> from minidl.tensor import Parameter
    >>> rule = Adam([Parameter(np.zeros(2))], lr=0.1)
    >>> scheduler = ScheduleLR(rule, schedules.warmup(4, schedules.cosine(100)))
    >>> beta = ScheduleLR(rule, schedules.one_cycle_momentum(100), "betas[0]")
    >>> rule.param_groups[0]["lr"], rule.param_groups[0]["betas"]
    (0.025, (0.95, 0.999))
    """

    def __init__(
        self, optimizer: Optimizer, schedule: Callable[[int], float], name: str = "lr", last_epoch: int = -1
    ) -> None:
        if not callable(schedule):
            raise TypeError(f"ScheduleLR: expected a schedule, got {schedule!r}")
        for i, group in enumerate(getattr(optimizer, "param_groups", ())):
            try:
                current = _plain(get(group, name))
            except (KeyError, IndexError, TypeError, ValueError):
                current = None
            if not is_number(current):
                known = ", ".join(sorted(key for key in group if key != "params"))
                raise ValueError(f"ScheduleLR: group {i} has no number {name!r}; it has {known}")
        self.schedule, self.name = schedule, name
        super().__init__(optimizer, last_epoch)

    def _value(self) -> float:
        s = self.schedule
        return s.keep(self.last_epoch) if isinstance(s, schedules.Schedule) else s(self.last_epoch)

    def _factors(self) -> list[float] | float:
        return self._value() if self.name == "lr" else 1.0

    def _others(self) -> dict[str, list]:
        return {} if self.name == "lr" else {self.name: [self._value()] * len(self.base_lrs)}

    def state_dict(self) -> dict[str, Any]:
        """As the base class; of the schedule its state, which is empty if it is pure."""
        schedule = self.schedule
        return {**super().state_dict(), "schedule": schedule.state_dict() if hasattr(schedule, "state_dict") else {}}

    def _restore(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("schedule") or {}
        if saved or isinstance(self.schedule, schedules.Schedule):
            self.schedule.load_state_dict(saved)  # type: ignore[attr-defined]
        super()._restore({key: value for key, value in state_dict.items() if key != "schedule"})


class _Lambdas(ClosedForm):
    """One function for each group. Functions are not saved; of callable objects what is in their __dict__ is."""

    _grows = False
    _products: list[schedules.Schedule] | None = None

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        n = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
        lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * n
        if len(lambdas) != n:
            raise ValueError(f"{type(self).__name__}: expected {n} lr_lambdas, one for each group, got {len(lambdas)}")
        for f in lambdas:
            if not callable(f):
                raise TypeError(f"{type(self).__name__}: lr_lambda should be a function, but got {type(f).__name__}")
        self.lr_lambdas = lambdas
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As the base class; see the class for the functions."""
        state = super().state_dict()
        state.pop("_products", None)
        return {**state, "lr_lambdas": [saved_function(f) for f in self.lr_lambdas]}

    def _restore(self, state_dict: dict[str, Any]) -> None:
        for f, saved in zip(self.lr_lambdas, state_dict.get("lr_lambdas", ()), strict=False):
            if saved:
                f.__dict__.update(saved)
        self._products = None
        super()._restore({key: value for key, value in state_dict.items() if key != "lr_lambdas"})


class LambdaLR(_Lambdas):
    """base_lr f(last_epoch), f one function or one for each group. See `schedules.function`.

    When to use it: for a rule of your own.
    """

    _anew = True

    def _factors(self) -> list[float] | float:
        return [f(self.last_epoch) for f in self.lr_lambdas]


class MultiplicativeLR(_Lambdas):
    """base_lr f(1) ... f(last_epoch). See `schedules.multiplicative`."""

    def _factors(self) -> list[float] | float:
        if self._products is None:
            self._products = [schedules.multiplicative(f) for f in self.lr_lambdas]
        return [product(self.last_epoch) for product in self._products]


class StepLR(ClosedForm):
    """Times gamma every step_size epochs. See `schedules.step`."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = whole("StepLR", "step_size", step_size), number("StepLR", "gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float] | float:
        return schedules.step(self.step_size, self.gamma)(self.last_epoch)


class MultiStepLR(ClosedForm):
    """Times gamma at each of the milestones, which may be in any order. See `schedules.multistep`."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        marks = sorted([whole("MultiStepLR", f"milestones[{i}]", m, 0) for i, m in enumerate(milestones)])
        self.milestones, self.gamma = Counter(marks), number("MultiStepLR", "gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float] | float:
        return schedules.multistep(sorted(self.milestones.elements()), self.gamma)(self.last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As the base class."""
        return {**super().state_dict(), "milestones": dict(self.milestones)}

    def _restore(self, state_dict: dict[str, Any]) -> None:
        super()._restore(state_dict)
        self.milestones = Counter({int(mark): n for mark, n in self.milestones.items()})


class ConstantLR(ClosedForm):
    """factor for total_iters epochs, then 1."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor = number("ConstantLR", "factor", factor, 0, 1)
        self.total_iters = whole("ConstantLR", "total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float] | float:
        return self.factor if self.last_epoch < self.total_iters else 1.0


class LinearLR(ClosedForm):
    """From start_factor to end_factor in total_iters epochs. See `schedules.linear`.

    When to use it: as a warmup, as the first part of a `SequentialLR`.
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.start_factor = number("LinearLR", "start_factor", start_factor, 0, 1, strict=True)
        self.end_factor = number("LinearLR", "end_factor", end_factor, 0, 1)
        self.total_iters = whole("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float] | float:
        return schedules.linear(self.start_factor, self.end_factor, self.total_iters)(self.last_epoch)


class ExponentialLR(ClosedForm):
    """Times gamma at every epoch. See `schedules.exponential`."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float] | float:
        return schedules.exponential(self.gamma)(self.last_epoch)


class PolynomialLR(ClosedForm):
    """(1 - t / total_iters)^power, 0 from then on. See `schedules.polynomial`."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = whole("PolynomialLR", "total_iters", total_iters)
        self.power = number("PolynomialLR", "power", power, 0)
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float] | float:
        return schedules.polynomial(self.total_iters, self.power)(self.last_epoch)


def saved_function(f: Callable | None) -> dict[str, Any] | None:
    """What is saved of a function: nothing, or what is in the __dict__ of a callable object."""
    return None if f is None or isinstance(f, types.FunctionType) else dict(getattr(f, "__dict__", {}))
