"""What a run can be told, and what it does where nothing is said: models, optimizers, schedules, settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..backend import default_device, device
from ..nn import Module
from ..optim import SGD, Adam, AdamW
from .loop import constant, cosine, warmup_cosine
from .models import CNN, MLP, LeNet5, ResNet8, RowLSTM
from .sets import DATASETS

MODELS: dict[str, Callable[..., Module]] = {
    "mlp": MLP, "lenet5": LeNet5, "cnn": CNN, "resnet8": ResNet8, "lstm": RowLSTM
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[..., Any]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "cosine": cosine, "warmup-cosine": warmup_cosine, "constant": constant
}  # fmt: skip
EPOCHS = {"digits": 12, "mnist": 5, "fashion-mnist": 10, "cifar10": 15, "cifar100": 30}
BATCH_SIZE = {"digits": 32, "mnist": 64, "fashion-mnist": 64, "cifar10": 64, "cifar100": 64}
THREADS = 1  # products of this size gain nothing from more, and lose where cores are shared (docs/results.md)
_ADAM = {"mlp": 0.002, "lenet5": 0.003, "cnn": 0.003, "resnet8": 0.005, "lstm": 0.003}
LR = {
    "sgd": {"mlp": 0.05, "lenet5": 0.02, "cnn": 0.05, "resnet8": 0.1, "lstm": 0.2},
    "adam": _ADAM,
    "adamw": _ADAM,
}
WEIGHT_DECAY = {"sgd": {"resnet8": 2e-4}, "adamw": dict.fromkeys(MODELS, 0.01)}  # elsewhere 0


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
            ("dataset", DATASETS), ("model", MODELS), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in known and not (value is None and name in ("optimizer", "schedule")):
                raise ValueError(f"{name}: expected one of {', '.join(known)}; got {value!r}")
        for name, low in (("epochs", 1), ("batch_size", 1), ("threads", 1)):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), low)
        _whole("seed", self.seed, 0, bits=64)  # the key of the random streams has no more
        if not isinstance(self.augment, bool):
            raise ValueError(f"augment: expected True or False, got {self.augment!r}")
        if self.lr is not None:
            _number("lr", self.lr, 0.0)
        if self.weight_decay is not None:
            _number("weight_decay", self.weight_decay, 0.0, strict=False)
        if self.momentum is not None:
            if (chosen := self._optimizer()) != "sgd":
                raise ValueError(f"momentum: only the optimizer sgd has one, not {chosen}")
            _number("momentum", self.momentum, 0.0, strict=False)
        if self.device is not None:
            device(self.device)
        for name in ("out", "data_dir"):
            if getattr(self, name) == "":  # as a path it would be the current folder
                raise ValueError(f"{name}: expected the name of a folder, got ''")

    def _optimizer(self) -> str:
        """Batch-normalised throughout, a network trains best with sgd, at a large rate that is reached slowly."""
        return self.optimizer or ("sgd" if self.model == "resnet8" else "adam")

    def resolved(self) -> Options:
        """The same without None, except `out` and `data_dir`, and `momentum` where there is none."""
        optimizer = self._optimizer()
        chosen: dict[str, Any] = {
            "optimizer": optimizer,
            "schedule": "warmup-cosine" if self.model == "resnet8" else "cosine",
            "lr": LR[optimizer][self.model],
            "momentum": 0.9 if optimizer == "sgd" else None,
            "weight_decay": WEIGHT_DECAY.get(optimizer, {}).get(self.model, 0.0),
            "epochs": EPOCHS[self.dataset],
            "batch_size": BATCH_SIZE[self.dataset],
            "device": str(default_device()),
            "threads": THREADS,
        }
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})
