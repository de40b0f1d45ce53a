"""How the update rules are used in a run: the rates that suit the models offered, schedules, what can be set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..nn import Module
from ..optim import Optimizer, names

SGD_RATES = {"mlp": 0.05, "lenet5": 0.02, "cnn": 0.05, "resnet8": 0.1, "lstm": 0.2}
ADAM_RATES = {"mlp": 0.002, "lenet5": 0.003, "cnn": 0.003, "resnet8": 0.005, "lstm": 0.003}


@dataclass(frozen=True)
class Rule:
    """A rule of `optim.names` in a run, and its rate on a model: a multiple of what suits Adam or SGD there."""

    name: str
    rates: dict[str, float] = field(default_factory=lambda: ADAM_RATES)
    factor: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)
    schedule: str = "one-cycle"
    cycles: bool = True  # whether its momentum or beta1, if it has one, may change during the run

    def has(self, name: str) -> bool:
        """Whether the rule has a hyperparameter of this name."""
        return name in names.hyperparameters(self.name)

    def usual(self, name: str) -> Any:
        """The value of a hyperparameter where nothing is said; None if there is none."""
        return self.settings.get(name, names.hyperparameters(self.name).get(name))

    def rate(self, model: str) -> float:
        """The rate where nothing is said."""
        return float(f"{self.factor * self.rates[model]:.3g}")

    def make(self, model: Module, lr: Any, cycle: Callable[[int], float] | None = None, **given: Any) -> Optimizer:
        """The optimizer of a model's parameters; lr may be a schedule, and what is None is left out.

        cycle: what the momentum follows, or the first of betas where there is none.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        optimizer = names.RULES[self.name](list(model.parameters()), lr=lr, **{**self.settings, **chosen})
        for i, group in enumerate(optimizer.param_groups if cycle is not None else ()):
            if "momentum" in group:
                optimizer.follow(i, momentum=cycle)
            else:
                optimizer.follow(i, betas=(cycle, *group["betas"][1:]))
        return optimizer


_SGD = {"rates": SGD_RATES}
_HOW: dict[str, dict[str, Any]] = {
    "sgd": _SGD,
    "nesterov": _SGD,
    "descent": {**_SGD, "factor": 4, "cycles": False},
    "adafactor": {"factor": 5},
    "adagrad": {"factor": 10},
    "adadelta": {"rates": dict.fromkeys(ADAM_RATES, 1.0)},
    "radam": {"factor": 2},
    "adamax": {"factor": 4},
    "lion": {"factor": 0.2},
    "lamb": {"factor": 4},
    "lars": {**_SGD, "factor": 100},
    "muon": {"factor": 10},
    "rprop": {"factor": 0.1, "schedule": "constant"},
    "asgd": {**_SGD, "factor": 6},
    "lbfgs": {"rates": dict.fromkeys(ADAM_RATES, 0.1), "settings": {"max_iter": 4}},
    # what is used is computed from beta
    "schedule-free": {"schedule": "constant", "cycles": False},
    "sgd-schedule-free": {**_SGD, "factor": 20, "schedule": "constant", "cycles": False},
    "swats": {"cycles": False},  # SGD takes over what Adam had
}
RULES = {name: Rule(name, **_HOW.get(name, {})) for name in names.RULES}
