"""What a run can be told, and what it does where nothing is said: models, optimizers, schedules, settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..backend import default_device, device
from ..nn import Module
from ..optim import schedules
from .models import CNN, MLP, LeNet5, ResNet8, RowLSTM
from .rules import RULES, Rule
from .sets import DATASETS

MODELS: dict[str, Callable[..., Module]] = {
    "mlp": MLP, "lenet5": LeNet5, "cnn": CNN, "resnet8": ResNet8, "lstm": RowLSTM
}  # fmt: skip
SCHEDULES = (*schedules.NAMES, "plateau")
EPOCHS = {"digits": 12, "mnist": 5, "fashion-mnist": 10, "cifar10": 15, "cifar100": 30}
BATCH_SIZE = {"digits": 32, "mnist": 64, "fashion-mnist": 64, "cifar10": 64, "cifar100": 64}
THREADS = 1  # products of this size gain nothing from more, and lose where cores are shared (docs/results.md)
WEIGHT_DECAY = {"sgd": {"resnet8": 2e-4}, "adamw": dict.fromkeys(MODELS, 0.01)}  # elsewhere 0
WARMUP = {"resnet8": 0.05}  # of the run; elsewhere what the schedule has of its own
PLAN = 10_000  # steps of the schedule that is stretched over a time; enough for every curve


class RunError(RuntimeError):
    """A run cannot begin: an option, a file or a device is not as it has to be. The message is for the user."""


def _number(name: str, value: object, low: float, strict: bool = True) -> None:
    bound = f"above {low:g}" if strict else f"of at least {low:g}"
    ok = isinstance(value, (int, float)) and math.isfinite(value) and (value > low or (value == low and not strict))
    if not ok:
        raise ValueError(f"{name}: expected a number {bound}, got {value!r}")


def _whole(name: str, value: object, low: int, bits: int = 31) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name}: expected a whole number of at least {low}, got {value!r}")
    if value >> bits:
        raise ValueError(f"{name}: expected a whole number below 2^{bits}, got {value!r}")


@dataclass(frozen=True)
class Options:
    """What a run is to do. None: chosen by data set, model and optimizer; `resolved()` says what that is.

    Raises:
        ValueError: a name is unknown or a number out of range.
    """

    dataset: str = "digits"
    model: str = "cnn"
    optimizer: str | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    schedule_options: dict[str, Any] | None = None
    cycle_momentum: bool = False
    warmup: float | None = None
    minutes: float | None = None
    replay: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    augment: bool = False
    device: str | None = None
    threads: int | None = None
    seed: int = 0
    out: str | None = None
    data_dir: str | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("dataset", DATASETS), ("model", MODELS), ("optimizer", RULES), ("schedule", SCHEDULES)
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in known and not (value is None and name in ("optimizer", "schedule")):
                raise ValueError(f"{name}: expected one of {', '.join(known)}; got {value!r}")
        for name, low in (("epochs", 1), ("batch_size", 1), ("threads", 1)):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), low)
        _whole("seed", self.seed, 0, bits=64)  # the key of the random streams has no more
        for name in ("augment", "cycle_momentum"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        if self.lr is not None:
            _number("lr", self.lr, 0.0)
        for name in ("momentum", "weight_decay"):
            if (value := getattr(self, name)) is None:
                continue
            if not RULES[self._optimizer()].has(name):
                having = ", ".join(rule for rule, known in RULES.items() if known.has(name))
                raise ValueError(f"{name}: the optimizer {self._optimizer()} has none; these have one: {having}")
            _number(name, value, 0.0, strict=False)
        if self.warmup is not None:
            _number("warmup", self.warmup, 0.0, strict=False)
            if self.warmup >= 1 and self.warmup != int(self.warmup):
                raise ValueError(f"warmup: expected a share of the run below 1 or a number of steps, got {self.warmup}")
        if self.minutes is not None:
            _number("minutes", self.minutes, 0.0)
        if self._optimizer() == "rprop" and self.schedule not in (None, "constant"):
            raise ValueError("schedule: rprop uses its rate only to begin with, so that it can follow none")
        if self._schedule() == "plateau" and self.warmup is not None:
            raise ValueError("warmup: the schedule plateau, which goes by the test loss, has none")
        if self.schedule_options is not None:
            self._check_schedule_options(self.schedule_options)
        if self.cycle_momentum:
            self._check_cycle()
        if self.minutes is not None or self.replay is not None:
            self._check_timed("minutes" if self.replay is None else "replay")
        if self.device is not None:
            device(self.device)
        for name in ("out", "data_dir", "replay"):
            if getattr(self, name) == "":  # as a path it would be the current folder
                raise ValueError(f"{name}: expected the name of a folder, got ''")

    def _check_schedule_options(self, given: object) -> None:
        """Raise unless the schedule takes these options; those that do not fit the length of the run are seen later."""
        if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
            raise ValueError(f"schedule_options: expected a dict of names and values, got {given!r}")
        if self._schedule() == "plateau":
            raise ValueError("schedule 'plateau' has no options")
        try:
            schedule = schedules.build(self._schedule(), PLAN, **given)
            lowest = min(schedule(step) for step in range(0, PLAN, 100))
        except (TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error
        if not lowest >= 0:
            raise ValueError(f"schedule_options: the rate would become {lowest:g} times the highest")

    def _check_cycle(self) -> None:
        """Raise unless the momentum can follow a cycle."""
        if self._schedule() != "one-cycle":
            raise ValueError(f"cycle_momentum: is for the schedule one-cycle, not {self._schedule()}")
        if not cycles(RULES[self._optimizer()]):
            able = ", ".join(name for name, rule in RULES.items() if cycles(rule))
            raise ValueError(f"cycle_momentum: the optimizer {self._optimizer()} cannot; these can: {able}")
        if self.momentum is not None:
            raise ValueError("momentum: cannot be given together with cycle_momentum, which decides what it is")

    def _check_timed(self, by: str) -> None:
        """Raise where something else would decide how long the run is, or how far it is."""
        if self.minutes is not None and by == "replay":
            raise ValueError("minutes: cannot be given together with replay")
        if self.epochs is not None:
            raise ValueError(f"epochs: cannot be given together with {by}, which decides how long the run is")
        if self.warmup is not None and self.warmup >= 1:
            raise ValueError(f"warmup: with {by} it must be a share of the run, below 1; got {self.warmup:g}")
        if self._schedule() == "plateau":
            raise ValueError(f"schedule: plateau looks at whole epochs and cannot be combined with {by}")

    def _optimizer(self) -> str:
        """Batch-normalised throughout, a network trains best with sgd, at a large rate that is reached slowly."""
        return self.optimizer or ("sgd" if self.model == "resnet8" else "adam")

    def _schedule(self) -> str:
        usual = RULES[self._optimizer()].schedule
        return self.schedule or ("cosine" if self.model == "resnet8" and usual == "one-cycle" else usual)

    def resolved(self) -> Options:
        """The same without None, except what is chosen later (`out`, `data_dir`) and what does not apply."""
        optimizer, schedule = self._optimizer(), self._schedule()
        rule = RULES[optimizer]
        rising = self.schedule is None and schedule == "cosine" and self.model in WARMUP
        chosen: dict[str, Any] = {
            "optimizer": optimizer,
            "schedule": schedule,
            "warmup": WARMUP[self.model] if rising else None,
            "lr": rule.rate(self.model),
            "momentum": None if self.cycle_momentum else rule.usual("momentum"),
            "weight_decay": WEIGHT_DECAY.get(optimizer, {}).get(self.model, 0.0) if rule.has("weight_decay") else None,
            "epochs": EPOCHS[self.dataset] if self.minutes is None and self.replay is None else None,
            "batch_size": BATCH_SIZE[self.dataset],
            "device": str(default_device()),
            "threads": THREADS,
        }
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})

    def planned(self, steps: int) -> schedules.Schedule:
        """The factor of the rate over a run of so many steps, for options that are resolved."""
        assert self.schedule is not None, "resolved() chose it"
        if self.schedule == "plateau":  # what lowers the rate is the test loss
            return schedules.constant()
        return schedules.build(self.schedule, steps, warmup=self._first(steps), **self.schedule_options or {})

    def planned_momentum(self, steps: int) -> schedules.Schedule | None:
        """The momentum over such a run, where it follows the cycle of the rate."""
        if not self.cycle_momentum:
            return None
        like: dict[str, Any] = {
            name: v for name, v in (self.schedule_options or {}).items() if name in ("anneal", "three_phase")
        }
        if first := self._first(steps):
            like["warmup"] = first / steps
        return schedules.one_cycle_momentum(steps, **like)

    def _first(self, steps: int) -> int:
        """How many steps of a run are the warmup that was asked for."""
        warmup = self.warmup or 0
        return int(warmup) if warmup >= 1 else max(1, int(warmup * steps)) if warmup else 0


def cycles(rule: Rule) -> bool:
    """Whether a rule has a momentum, or betas, that may change during the run."""
    return rule.cycles and (rule.has("momentum") or rule.has("betas"))
