"""The update rules by the names that the command line knows them by: how each is made, of parameters and a rate."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from .adabound import AdaBound
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .asgd import ASGD
from .ensemble import Ensemble
from .joint import Joint
from .lamb import LAMB
from .lars import LARS
from .lbfgs import LBFGS
from .lion import Lion
from .lookahead import Lookahead
from .muon import Muon
from .nadam import NAdam
from .optimizer import Optimizer
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .schedule_free import AdamWScheduleFree, SGDScheduleFree
from .sgd import SGD
from .switch import SWATS, Switch, stalled


def lookahead(params: list, lr: Any, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0) -> Optimizer:
    """Lookahead around Adam."""
    return Lookahead(Adam(params, lr=lr, betas=betas, weight_decay=weight_decay))


def ensemble(params: list, lr: Any, momentum: float = 0.9) -> Optimizer:
    """Adam, and SGD at ten times its rate, with learned weights."""
    return Ensemble([Adam(params, lr=lr), SGD(params, lr=10 * lr, momentum=momentum)], weights="learned")


def muon(params: list, lr: Any, weight_decay: float = 0, momentum: float = 0.95) -> Optimizer:
    """Muon for the matrices but the last, AdamW at a tenth of the rate for all other parameters."""
    matrices = [p for p in params if p.ndim == 2][:-1]
    others = [p for p in params if not any(p is m for m in matrices)]
    rest = AdamW(others, lr=0.1 * lr, weight_decay=weight_decay)
    if not matrices:
        return rest
    return Joint([Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=momentum), rest])


class AdamThenSGD(Switch):
    """Adam until the metric reported has not become better, then SGD with momentum at ten times the rate.

    Schedules go on where Adam was: they are those of the whole run.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, Tensor
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = AdamThenSGD([w], lr=0.1)
    >>> for loss in (2.0, 1.0, 1.5):
    ...     rule.report(loss); rule.active
    0
    0
    1
    """

    def __init__(self, params: list, lr: Any, momentum: float = 0.9) -> None:
        super().__init__([Adam(params, lr=lr), SGD(params, lr=10 * lr, momentum=momentum)], stalled(1))

    def hand_over(self, first: Optimizer, second: Optimizer) -> None:
        """Bring the schedules of SGD to where those of Adam are."""
        for a, b in zip(first.param_groups, second.param_groups, strict=True):
            made = max([entry["step"] for entry in a.get("scheduled", {}).values()], default=0)
            for entry in b.get("scheduled", {}).values():
                entry["step"] = made


RULES: dict[str, Callable[..., Optimizer]] = {
    "sgd": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "descent": SGD,
    "adafactor": Adafactor,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adadelta": Adadelta,
    "adam": Adam,
    "amsgrad": partial(Adam, amsgrad=True),
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
    "adabound": AdaBound,
    "lion": Lion,
    "lamb": LAMB,
    "lars": partial(LARS, momentum=0.9),
    "muon": muon,
    "rprop": Rprop,
    "asgd": ASGD,
    "lbfgs": LBFGS,
    "schedule-free": AdamWScheduleFree,
    "sgd-schedule-free": SGDScheduleFree,
    "lookahead": lookahead,
    "swats": SWATS,
    "switch": AdamThenSGD,
    "ensemble": ensemble,
}


def hyperparameters(name: str) -> dict[str, Any]:
    """The hyperparameters of a rule and their defaults, without lr."""
    given = inspect.signature(RULES[name]).parameters.values()
    return {p.name: p.default for p in given if p.name not in ("params", "lr")}
