"""The training loop as a generator that yields one record an epoch, and the evaluation on data that were kept back."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from ..data import DataLoader
from ..modes import no_grad
from ..nn import Module
from ..optim.switch import Switch
from ..optim.wrapper import Wrapper
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
    epochs: int | None,
    *,
    validation: DataLoader | None = None,
    position: Position | None = None,
    stop: Callable[[], bool] | None = None,
    until: Callable[[], bool] | None = None,
    progress: bool = False,
) -> Iterator[Record]:
    """Train, and yield a `Record` after every epoch; epochs=None goes on until `until` says so.

    data: batches `(input, target)` of class numbers. loss: a function of the model's output and the target. validation:
    evaluated after every epoch (without it the test columns are nan). position: where to begin; it is kept up to date,
    so that a checkpoint may be written at any time. stop: asked after every step; if it says True, the loop ends there.
    until: asked after every step; if it says True, this epoch is the last and ends there, with its evaluation and
    record. progress: a bar on stderr if that is a terminal.

    Early stopping is `break`, a checkpoint a line in the caller's loop. Learning rates are the optimizer's affair: give
    it a schedule, `optim.SGD(parameters, lr=0.1 * schedules.cosine(epochs * len(data)))`. One that is not as long as
    the run gives a UserWarning. An optimizer with `train()` and `eval()` (schedule-free ones) is in the mode that it
    has to be in; one that needs a closure (LBFGS) gets one.

    Raises:
        NonFiniteLoss: the loss became infinite or nan. Noticed at most 0.1 s later, before the epoch is yielded.
    """
    position = Position() if position is None else position
    started, length = time.perf_counter(), len(data)
    steps = None if epochs is None else epochs * length
    if steps is not None and until is None:
        _compare_lengths(optimizer, steps)
    elif until is None:
        raise ValueError("fit: epochs=None needs `until`, which says when to end")
    of = "" if epochs is None else f"/{epochs}"
    closed = getattr(optimizer, "needs_closure", False)
    hidden = None if progress else True  # None: shown on a terminal only
    with tqdm(
        total=steps, initial=position.step, desc=f"epoch {position.epoch + 1}{of}", bar_format=_BAR, leave=False,
        disable=hidden, miniters=1,
    ) as bar:  # fmt: skip
        ended = False
        while (epochs is None or position.epoch < epochs) and not ended:
            epoch, totals, lr = position.epoch + 1, position.totals, optimizer.param_groups[0]["lr"]
            bar.set_description_str(f"epoch {epoch}{of}", refresh=False)
            model.train()
            _set_mode(optimizer, training=True)
            begun = shown = time.perf_counter()
            seen = 0
            for input, target in data:
                if closed:
                    value, output = _closed_step(model, loss, optimizer, input, target)
                else:
                    optimizer.zero_grad()
                    output = model(input)
                    value = loss(output, target)
                    value.backward()
                    optimizer.step()
                lr = optimizer.param_groups[0]["lr"]
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
                if until is not None and until():
                    ended = True
                    break
            _read(position)
            _set_mode(optimizer, training=False)
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


def _set_mode(optimizer: Any, training: bool) -> None:
    """Schedule-free rules have two sets of weights: those to take gradients at, and those that are the result."""
    if hasattr(optimizer, "eval"):
        (optimizer.train if training else optimizer.eval)()


def _closed_step(
    model: Module, loss: Callable[[Tensor, Tensor], Tensor], optimizer: Any, input: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """A step of a rule that looks at the loss in several places; gives loss and output of the first."""
    seen: list[tuple[Tensor, Tensor]] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        output = model(input)
        value = loss(output, target)
        value.backward()
        seen.append((value.detach(), output.detach()))
        del seen[1:]
        return value

    optimizer.step(closure)
    return seen[0]


def _compare_lengths(optimizer: Any, steps: int) -> None:
    """Warn where a schedule ends before or after the run."""
    for slot, length, updates in sorted(set(_misfits(optimizer, steps))):
        what = f"fit: the schedule of {slot} is {length:,} steps long and the run {updates:,}"
        warnings.warn(what, UserWarning, stacklevel=3)


def _misfits(optimizer: Any, steps: int) -> Iterator[tuple[str, int, int]]:
    """Hyperparameter, where its schedule ends, and how many updates its optimizer makes in so many steps."""
    updates = steps // math.prod([getattr(t, "every", 1) for t in getattr(optimizer, "transforms", ())])
    if isinstance(optimizer, Switch):  # nobody knows how many steps a rule of it will make
        return
    if isinstance(optimizer, Wrapper):
        for rule in optimizer.optimizers:
            yield from _misfits(rule, updates)
        return
    for schedules in getattr(optimizer, "schedules", []):
        for slot, schedule in schedules.items():
            length = getattr(schedule, "ends", None)
            if length not in (None, updates):
                yield slot, length, updates


def _read(position: Position) -> None:
    """Bring the totals up to date, or raise because of a loss that is not finite."""
    ago = position.totals.read()
    if ago is not None:
        raise NonFiniteLoss(position.epoch + 1, position.step_in_epoch - ago + 1)


def _postfix(totals: Totals, lr: float, speed: float) -> str:
    return f"loss {totals.mean_loss:.4f}  accuracy {totals.accuracy:.1%}  lr {lr:.1e}  {speed:,.0f} images/s"
