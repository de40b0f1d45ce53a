"""The training loop as a generator that yields one record an epoch, and the evaluation on data that were kept back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from ..data import DataLoader
from ..modes import no_grad
from ..nn import Module
from ..tensor import Tensor
from .metrics import Totals

_REFRESH = 0.1  # seconds between two looks at the totals
_BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}"  # tqdm puts a comma before the postfix


class NonFiniteLoss(RuntimeError):
    """The loss became infinite or nan; `epoch` and `step` (within the epoch) count from 1."""

    def __init__(self, epoch: int, step: int, where: str = "training") -> None:
        at = f"epoch {epoch}, step {step}" if where == "training" else f"epoch {epoch}, on the {where} data"
        super().__init__(f"the loss is not finite in {at}; a lower learning rate may help")
        self.epoch, self.step = epoch, step


@dataclass(frozen=True)
class Record:
    """What one epoch gave: accuracies in 0 ... 1, `seconds` since training began, `images_per_second` of training."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    images_per_second: float
    seconds: float


@dataclass
class Position:
    """Where a run is: epochs finished, steps made in all and in this epoch, its totals, the best test accuracy."""

    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    totals: Totals = field(default_factory=Totals)
    best_accuracy: float | None = None
    best_epoch: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain numbers."""
        return {**self.__dict__, "totals": self.totals.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from such a position."""
        if set(state) != set(self.__dict__):
            raise ValueError(f"Position: expected the keys {sorted(self.__dict__)}, got {sorted(state)}")
        self.totals.load_state_dict(state["totals"])
        self.__dict__.update({key: value for key, value in state.items() if key != "totals"})


def constant(step: int, steps: int) -> float:
    """1: the learning rate stays as it is."""
    return 1.0


def cosine(step: int, steps: int) -> float:
    """(1 + cos(pi step / steps)) / 2: from 1 at step 0 smoothly to 0 at step `steps` (Loshchilov and Hutter, 2017).

    >>> [round(cosine(step, 4), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    return 0.5 * (1.0 + math.cos(math.pi * step / steps))


def warmup_cosine(step: int, steps: int) -> float:
    """Up to 1 in equal steps over the first twentieth, then `cosine` over the rest (Goyal et al., 2017).

    >>> [round(warmup_cosine(step, 60), 3) for step in (0, 1, 2, 3, 60)]
    [0.333, 0.667, 1.0, 1.0, 0.0]
    """
    first = max(1, steps // 20)
    return (step + 1) / first if step < first else cosine(step - first, max(1, steps - first))


def evaluate(model: Module, data: DataLoader, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """Mean loss and accuracy of `model`, in eval mode, over the batches `(input, target)` of `data`.

    The model is left in the mode it was in. A loss that is not finite is returned as nan.

    Raises:
        ValueError: `data` has no batches.
    """
    totals, finite, was_training = Totals(), True, model.training
    model.eval()
    try:
        with no_grad():
            for input, target in data:
                output = model(input)
                totals.add(loss(output, target), output, target)
                finite = finite and (len(totals) < 64 or totals.read() is None)
        finite = finite and totals.read() is None
    finally:
        model.train(was_training)
    if finite and not totals.count:
        raise ValueError("evaluate: the data have no batches")
    return (totals.mean_loss if finite else math.nan), totals.accuracy


def fit(
    model: Module,
    data: DataLoader,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Any,
    epochs: int,
    *,
    validation: DataLoader | None = None,
    schedule: Callable[[int, int], float] = constant,
    position: Position | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = False,
) -> Iterator[Record]:
    """Train, and yield a `Record` after every epoch.

    data: batches `(input, target)` of class numbers. loss: a function of the model's output and the target. validation:
    evaluated after every epoch (without it the test columns are nan). schedule: at step s of n in all (from 0) every
    group's learning rate is its first one times `schedule(s, n)`. position: where to begin; it is kept up to date, so
    that a checkpoint may be written at any time. stop: asked after every step; if it says True, the loop ends there.
    progress: a bar on stderr if that is a terminal.

    Early stopping is `break`, a checkpoint a line in the caller's loop.

    Raises:
        NonFiniteLoss: the loss became infinite or nan. Noticed at most 0.1 s later, before the epoch is yielded.
    """
    position = Position() if position is None else position
    started, length = time.perf_counter(), len(data)
    steps = epochs * length
    base = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
    hidden = None if progress else True  # None: shown on a terminal only
    with tqdm(
        total=steps, initial=position.step, desc=f"epoch {position.epoch + 1}/{epochs}", bar_format=_BAR, leave=False,
        disable=hidden, miniters=1,
    ) as bar:  # fmt: skip
        while position.epoch < epochs:
            epoch, totals, lr = position.epoch + 1, position.totals, optimizer.param_groups[0]["lr"]
            bar.set_description_str(f"epoch {epoch}/{epochs}", refresh=False)
            model.train()
            begun = shown = time.perf_counter()
            seen = 0
            for input, target in data:
                factor = schedule(position.step, steps)
                for group, lr in zip(optimizer.param_groups, base, strict=True):
                    group["lr"] = lr * factor
                lr = optimizer.param_groups[0]["lr"]
                optimizer.zero_grad()
                output = model(input)
                value = loss(output, target)
                value.backward()
                optimizer.step()
                totals.add(value, output, target)
                seen += target.shape[0]
                position.step += 1
                position.step_in_epoch += 1
                now = time.perf_counter()
                if now - shown >= _REFRESH:
                    shown = now
                    _read(position)
                    bar.set_postfix_str(_postfix(totals, lr, seen / (now - begun)), refresh=False)
                    bar.update(position.step - bar.n)
                if stop is not None and stop():
                    _read(position)
                    return
            _read(position)
            spent = time.perf_counter() - begun
            test_loss, test_accuracy = (math.nan, math.nan)
            if validation is not None:
                test_loss, test_accuracy = evaluate(model, validation, loss)
                if not math.isfinite(test_loss):
                    raise NonFiniteLoss(epoch, position.step_in_epoch, "test")
                if position.best_accuracy is None or test_accuracy > position.best_accuracy:
                    position.best_accuracy, position.best_epoch = test_accuracy, epoch
            record = Record(
                epoch, totals.mean_loss, totals.accuracy, test_loss, test_accuracy, lr,
                seen / spent, time.perf_counter() - started,
            )  # fmt: skip
            position.epoch, position.step_in_epoch, position.totals = epoch, 0, Totals()
            yield record


def _read(position: Position) -> None:
    """Bring the totals up to date, or raise because of a loss that is not finite."""
    ago = position.totals.read()
    if ago is not None:
        raise NonFiniteLoss(position.epoch + 1, position.step_in_epoch - ago + 1)


def _postfix(totals: Totals, lr: float, speed: float) -> str:
    return f"loss {totals.mean_loss:.4f}  accuracy {totals.accuracy:.1%}  lr {lr:.1e}  {speed:,.0f} images/s"
