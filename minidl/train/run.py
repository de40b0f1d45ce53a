"""A run: from options to a trained model and a folder with its configuration, log, checkpoint and pictures."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from .. import cuda
from ..backend import default_device, device, get_backend
from ..backend.random import manual_seed
from ..data import DataLoader
from ..nn import CrossEntropyLoss, Module
from ..optim import Switch, lr_scheduler
from ..optim.schedules import Schedule, TimeBudget, replay
from .budget import read_fractions, write_fractions
from .checkpoint import save_checkpoint
from .folder import RunFolder
from .loop import NonFiniteLoss, Position, Record, fit
from .metrics import confusion
from .options import MODELS, PLAN, Options, RunError
from .rules import RULES
from .sets import DATASETS, Data, load_data


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its folder, the last epoch's record if there is one, whether it was stopped early, seconds."""

    folder: Path
    record: Record | None
    stopped: bool
    seconds: float


def execute(
    options: Options,
    say: Callable[[str], None] = lambda line: None,
    *,
    progress: bool = False,
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Train as `options` say and leave a run folder; `say` gets the lines to show.

    The checkpoint is written after every epoch, before the epoch is logged, and when `stop` says that the run ends.

    Raises:
        RunError: the run cannot begin (no such device, data missing, `out` not empty ...).
        NonFiniteLoss: the loss became infinite or nan; log and checkpoint are those of the last epoch that was good.
        OSError: a file cannot be written; what was written before is unharmed.
    """
    try:
        where = device(options.device or default_device())
        get_backend(where)
    except (ValueError, RuntimeError) as error:
        raise RunError(str(error)) from error
    with cuda.device(where.index if where.type == "cuda" else None):  # 'cuda:1' is the current GPU of the run
        return _execute(options, say, progress, stop, where)


def _execute(
    options: Options, say: Callable[[str], None], progress: bool, stop: Callable[[], bool] | None, where: device
) -> Outcome:
    """The same on a device that is there."""
    started = time.perf_counter()
    try:
        options = options.resolved()
        assert options.batch_size and options.optimizer, "resolved() chose them"
        RunFolder.check(options.out)
        fractions = None if options.replay is None else read_fractions(options.replay)
        data = load_data(options)
        train = DataLoader(data.train, batch_size=options.batch_size, shuffle=True)
        schedule, momentum, until = _schedules(options, len(train), fractions)
        manual_seed(options.seed)
        model = MODELS[options.model](data.shape, len(data.classes))
        folder = RunFolder.create(options.out, f"{options.dataset}-{options.model}")
    except (ValueError, RuntimeError) as error:
        raise RunError(str(error)) from error
    model.to(where)
    optimizer = RULES[options.optimizer].make(
        model,
        options.lr if options.schedule == "plateau" else options.lr * schedule,
        momentum,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1) if options.schedule == "plateau" else None
    test = DataLoader(data.test, batch_size=500)
    # numbers that overflow are noticed in the loss, which is checked; a warning for each op would only be noise
    with threadpool_limits(options.threads, user_api="blas"), np.errstate(all="ignore"):
        folder.write_config(_config(options, model, data))
        for line in _introduction(options, model, data, folder.path):
            say(line)
        position = Position()
        title = f"{options.model} on {options.dataset}: {options.optimizer}, lr {options.lr:g}, seed {options.seed}"
        try:
            for record in fit(
                model, train, CrossEntropyLoss(), optimizer, options.epochs, validation=test,
                position=position, stop=stop, until=until, progress=progress,
            ):  # fmt: skip
                if plateau is not None:
                    plateau.step(record.test_loss)
                if isinstance(optimizer, Switch):
                    optimizer.report(record.train_loss)
                if isinstance(schedule, TimeBudget):
                    write_fractions(folder.path, schedule.fractions)
                save_checkpoint(folder.path, model, optimizer, train, position)
                folder.log(record)
                say(_line(record, options.epochs))
            stopped = stop is not None and position.step_in_epoch > 0
            if stopped:
                if isinstance(schedule, TimeBudget):
                    write_fractions(folder.path, schedule.fractions)
                save_checkpoint(folder.path, model, optimizer, train, position)
        except Exception as error:
            if isinstance(error, NonFiniteLoss):
                kept = f"the checkpoint of epoch {position.epoch} is in {folder.path}"
                kept = kept if position.epoch else "no epoch was finished"
                error.args = (f"{error}; {kept}",)
            with contextlib.suppress(OSError, ImportError):
                folder.draw(title)
            raise
        folder.draw(title)
        if not stopped:
            counts = confusion(model, test, len(data.classes))
            folder.confuse(counts, data.classes, f"{title}; {folder.records[-1].test_accuracy:.2%} right")
            say("")
            for line in _by_class(counts, data.classes):
                say(line)
            say(f"files      {', '.join(folder.files())}")
    last = folder.records[-1] if folder.records else None
    return Outcome(folder.path, last, stopped, time.perf_counter() - started)


def _schedules(
    options: Options, length: int, fractions: Sequence[float] | None
) -> tuple[Schedule, Callable[[int], float] | None, Callable[[], bool] | None]:
    """For epochs of so many steps the factor of the rate, the momentum if it follows a schedule, and when to end.

    The last only where no number of epochs is given.
    """
    if options.minutes is None and fractions is None:
        assert options.epochs is not None, "resolved() chose it"
        steps = options.epochs * length
        return options.planned(steps), options.planned_momentum(steps), None
    rate, momentum = options.planned(PLAN), options.planned_momentum(PLAN)
    if fractions is not None:
        left = iter(range(len(fractions) - 1, -1, -1))
        followed = None if momentum is None else replay(momentum, fractions)
        return replay(rate, fractions), followed, lambda: next(left, 0) == 0
    assert options.minutes is not None, "there are no fractions"
    budget = TimeBudget(60 * options.minutes, rate)
    return budget, None if momentum is None else _beside(budget, momentum), lambda: budget.finished


def _beside(budget: TimeBudget, schedule: Schedule) -> Callable[[int], float]:
    """A schedule stretched over the same time, by the same looks at the clock."""

    def value(step: int) -> float:
        budget(step)  # looks at the clock, unless that was done for this step
        return replay(schedule, budget.fractions[step : step + 1])(0)

    return value


def _parameters(model: Module) -> int:
    return sum(math.prod(p.shape) for p in model.parameters())


def _config(options: Options, model: Module, data: Data) -> dict[str, Any]:
    """What `config.json` holds."""
    known = DATASETS[options.dataset]
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    kept = ("internal_api", "version", "num_threads", "architecture")
    return {
        "command": sys.argv,
        "arguments": asdict(options),
        "data": {
            "train": len(data.train),
            "test": len(data.test),
            "shape": list(data.shape),
            "classes": data.classes,
            "normalised_with": {"mean": list(known.mean), "std": list(known.std)},
            "augmented_with": [repr(t) for t in known.augment()] if options.augment else [],
        },
        "model": {"class": type(model).__name__, "parameters": _parameters(model)},
        "versions": {
            "minidl": getattr(sys.modules[__name__.partition(".")[0]], "__version__", None),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "machine": {
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "blas": [{key: library.get(key) for key in kept} for library in blas],
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _introduction(options: Options, model: Module, data: Data, folder: Path) -> list[str]:
    shape = "x".join(map(str, data.shape[1:]))
    images = f"{len(data.train):,} training and {len(data.test):,} test images of {shape} pixels"
    threads = f"{options.threads} thread" + ("s" if options.threads != 1 else "")
    where = f"{options.device}, {threads}" if options.device == "cpu" else options.device
    augmented = ", ".join(map(repr, DATASETS[options.dataset].augment())) if options.augment else ""
    rate, length = f"lr {options.lr:g} ({options.schedule})", f"{options.epochs} epochs"
    if options.minutes is not None:
        length = f"{options.minutes:g} minutes"
    elif options.replay is not None:
        length = f"the steps of {options.replay}"
    return [
        f"data       {options.dataset}: {images}",
        *([f"augmented  {augmented}"] if augmented else []),
        f"model      {options.model}, {_parameters(model):,} parameters",
        f"optimizer  {options.optimizer}, {rate}, batch size {options.batch_size}, {length}",
        f"device     {where}; seed {options.seed}",
        f"run        {folder}",
        "",
        "  epoch   train loss  accuracy    test loss  accuracy         lr   images/s",
    ]


def _line(record: Record, epochs: int | None) -> str:
    train = f"{record.train_loss:>10.4f}  {record.train_accuracy:>8.2%}"
    test = f"{record.test_loss:>10.4f}  {record.test_accuracy:>8.2%}"
    of = "    " if epochs is None else f"/{epochs:<3}"
    return f"{record.epoch:>3}{of}   {train}   {test}   {record.lr:>8.2g}   {record.images_per_second:>8,.0f}"


def _by_class(counts: np.ndarray, classes: Sequence[str]) -> list[str]:
    """The share of each class that was recognised (of many, the five best and worst), and what was mixed up most."""
    recall = counts.diagonal() / np.maximum(counts.sum(axis=1), 1)
    order = np.argsort(-recall, kind="stable").tolist()

    def listed(chosen: Sequence[int]) -> str:
        return "  ".join(f"{classes[i]} {recall[i]:.1%}" for i in chosen)

    if len(classes) <= 10:
        lines = [f"by class   {listed(range(len(classes)))}"]
    else:
        lines = [f"best       {listed(order[:5])}", f"worst      {listed(order[:-6:-1])}"]
    wrong = counts - np.diag(counts.diagonal())
    worst = np.argsort(-wrong, axis=None, kind="stable")[:3].tolist()
    pairs = [divmod(place, len(classes)) for place in worst if wrong.flat[place]]
    mixed = ", ".join(f"{classes[i]} for {classes[j]} ({wrong[i, j]:,})" for i, j in pairs)
    return [*lines, f"mistaken   {mixed}"] if mixed else lines
