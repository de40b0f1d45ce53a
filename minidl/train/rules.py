"""The update rules by the names that the command line knows them by, and the rates that suit the models offered."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..nn import Module
from ..optim import (
    ASGD,
    LAMB,
    LARS,
    LBFGS,
    SGD,
    SWATS,
    AdaBound,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AdamWScheduleFree,
    Ensemble,
    Joint,
    Lion,
    Lookahead,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from ..tensor import Tensor

SGD_RATES = {"mlp": 0.05, "lenet5": 0.02, "cnn": 0.05, "resnet8": 0.1, "lstm": 0.2}
ADAM_RATES = {"mlp": 0.002, "lenet5": 0.003, "cnn": 0.003, "resnet8": 0.005, "lstm": 0.003}


def lookahead(params: list[Tensor], lr: float, weight_decay: float = 0) -> Optimizer:
    """Lookahead around Adam."""
    return Lookahead(Adam(params, lr=lr, weight_decay=weight_decay))


def ensemble(params: list[Tensor], lr: float, momentum: float = 0.9) -> Optimizer:
    """Adam, and SGD at ten times its rate, with learned weights."""
    return Ensemble([Adam(params, lr=lr), SGD(params, lr=10 * lr, momentum=momentum)], weights="learned")


def muon(params: list[Tensor], lr: float, weight_decay: float = 0, momentum: float = 0.95) -> Optimizer:
    """Muon for the matrices but the last, AdamW at a tenth of the rate for all other parameters."""
    matrices = [p for p in params if p.ndim == 2][:-1]
    others = [p for p in params if not any(p is m for m in matrices)]
    rest = AdamW(others, lr=0.1 * lr, weight_decay=weight_decay)
    if not matrices:
        return rest
    return Joint([Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=momentum), rest])


@dataclass(frozen=True)
class Rule:
    """How a rule is made, and its rate on a model: a multiple of what suits Adam or SGD there."""

    kind: Callable[..., Optimizer]
    rates: dict[str, float] = field(default_factory=lambda: ADAM_RATES)
    factor: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)
    schedule: str = "one-cycle"

    def has(self, name: str) -> bool:
        """Whether the rule has a hyperparameter of this name."""
        return name in inspect.signature(self.kind).parameters

    def rate(self, model: str) -> float:
        """The rate where nothing is said."""
        return float(f"{self.factor * self.rates[model]:.3g}")

    def make(self, model: Module, lr: Any, **given: Any) -> Optimizer:
        """The optimizer of a model's parameters; lr may be a schedule, and what is None is left out."""
        chosen = {name: value for name, value in given.items() if value is not None}
        return self.kind(list(model.parameters()), lr=lr, **{**self.settings, **chosen})


_MOMENTUM = {"momentum": 0.9}
RULES = {
    "sgd": Rule(SGD, SGD_RATES, 1, _MOMENTUM),
    "nesterov": Rule(SGD, SGD_RATES, 1, {**_MOMENTUM, "nesterov": True}),
    "adafactor": Rule(Adafactor, factor=5),
    "adagrad": Rule(Adagrad, factor=10),
    "rmsprop": Rule(RMSprop),
    "adadelta": Rule(Adadelta, dict.fromkeys(ADAM_RATES, 1.0)),
    "adam": Rule(Adam),
    "amsgrad": Rule(Adam, settings={"amsgrad": True}),
    "adamw": Rule(AdamW),
    "nadam": Rule(NAdam),
    "radam": Rule(RAdam, factor=2),
    "adamax": Rule(Adamax, factor=4),
    "adabound": Rule(AdaBound),
    "lion": Rule(Lion, factor=0.2),
    "lamb": Rule(LAMB, factor=4),
    "lars": Rule(LARS, SGD_RATES, 100, _MOMENTUM),
    "muon": Rule(muon, factor=10),
    "rprop": Rule(Rprop, factor=0.1, schedule="constant"),
    "asgd": Rule(ASGD, SGD_RATES, 6),
    "lbfgs": Rule(LBFGS, dict.fromkeys(ADAM_RATES, 0.1), settings={"max_iter": 4}),
    "schedule-free": Rule(AdamWScheduleFree, schedule="constant"),
    "lookahead": Rule(lookahead),
    "swats": Rule(SWATS),
    "ensemble": Rule(ensemble),
}
