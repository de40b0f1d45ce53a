"""A run: from options to a trained model and a folder with its configuration, log, checkpoint and learning curves."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from ..backend import default_device, device, get_backend
from ..backend.random import manual_seed
from ..data import DataLoader, ImageDataset, TensorDataset
from ..data.datasets import MNIST, Digits
from ..data.transforms import Compose, Normalize, ToTensor
from ..nn import CrossEntropyLoss, Module
from ..optim import SGD, Adam, AdamW
from ..report import draw_curves
from ..serialization import write_file
from ..tensor import wrap
from .checkpoint import save_checkpoint
from .loop import NonFiniteLoss, Position, Record, constant, cosine, fit
from .models import CNN, MLP, LeNet5

MODELS: dict[str, Callable[..., Module]] = {"mlp": MLP, "lenet5": LeNet5, "cnn": CNN}
OPTIMIZERS: dict[str, Callable[..., Any]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
SCHEDULES: dict[str, Callable[[int, int], float]] = {"cosine": cosine, "constant": constant}
# mean and standard deviation of the training pixels in 0 ... 1
DATASETS: dict[str, tuple[float, float]] = {"digits": (0.3054, 0.3762), "mnist": (0.1307, 0.3081)}
EPOCHS = {"digits": 12, "mnist": 5}
BATCH_SIZE = {"digits": 32, "mnist": 64}
THREADS = 1  # products of this size gain nothing from more, and lose where cores are shared (docs/results.md)
LR = {
    "sgd": {"mlp": 0.05, "lenet5": 0.02, "cnn": 0.05},
    "adam": {"mlp": 0.002, "lenet5": 0.003, "cnn": 0.003},
    "adamw": {"mlp": 0.002, "lenet5": 0.003, "cnn": 0.003},
}


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
    optimizer: str = "adam"
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str = "cosine"
    epochs: int | None = None
    batch_size: int | None = None
    device: str | None = None
    threads: int | None = None
    seed: int = 0
    out: str | None = None
    data_dir: str | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("dataset", DATASETS), ("model", MODELS), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)
        ):  # fmt: skip
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}; got {value!r}")
        for name, low in (("epochs", 1), ("batch_size", 1), ("threads", 1)):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), low)
        _whole("seed", self.seed, 0, bits=64)  # the key of the random streams has no more
        if self.lr is not None:
            _number("lr", self.lr, 0.0)
        if self.weight_decay is not None:
            _number("weight_decay", self.weight_decay, 0.0, strict=False)
        if self.momentum is not None:
            if self.optimizer != "sgd":
                raise ValueError(f"momentum: only the optimizer sgd has one, not {self.optimizer}")
            _number("momentum", self.momentum, 0.0, strict=False)
        if self.device is not None:
            device(self.device)
        for name in ("out", "data_dir"):
            if getattr(self, name) == "":  # as a path it would be the current folder
                raise ValueError(f"{name}: expected the name of a folder, got ''")

    def resolved(self) -> Options:
        """The same without None, except `out` and `data_dir`, and `momentum` where there is none."""
        chosen: dict[str, Any] = {
            "lr": LR[self.optimizer][self.model],
            "momentum": 0.9 if self.optimizer == "sgd" else None,
            "weight_decay": 0.01 if self.optimizer == "adamw" else 0.0,
            "epochs": EPOCHS[self.dataset],
            "batch_size": BATCH_SIZE[self.dataset],
            "device": str(default_device()),
            "threads": THREADS,
        }
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})


class Data(NamedTuple):
    """A data set in memory, normalised, on the device of the run."""

    train: TensorDataset
    test: TensorDataset
    shape: tuple[int, ...]
    classes: int


def load_data(options: Options) -> Data:
    """The data set of a run; what is missing is downloaded.

    Raises:
        DatasetError: a file is missing and cannot be downloaded, or is damaged.
    """
    transform = Compose([ToTensor(), Normalize(*DATASETS[options.dataset])])
    where, parts, classes = device(options.device or default_device()), list[TensorDataset](), 0
    for train in (True, False):
        images: ImageDataset
        if options.dataset == "digits":
            images = Digits(train, transform)
        else:
            images = MNIST(options.data_dir, train, transform, download=True)
        arrays = [get_backend(where).from_host(t.array, where) for t in images.tensors()]
        parts.append(TensorDataset(*[wrap(array) for array in arrays]))
        classes = len(images.classes)
    return Data(parts[0], parts[1], tuple(parts[0].tensors[0].shape[1:]), classes)


class RunFolder:
    """The folder of a run, made by `create`.

    `config.json`: every argument, versions, machine. `log.csv`: one line an epoch, written at once.
    `checkpoint.safetensors` and `.json`: see `save_checkpoint`. `curves.png`: see `draw_curves`.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.records = path, list[Record]()

    @staticmethod
    def check(out: str | None) -> None:
        """Raise ValueError if `out` is there already and not an empty folder: nothing is ever overwritten."""
        if out is None or not os.path.lexists(out):
            return
        if not Path(out).is_dir():
            raise ValueError(f"out: {out} exists and is no folder")
        if any(Path(out).iterdir()):
            raise ValueError(f"out: {out} exists and is not empty; choose another folder")

    @classmethod
    def create(cls, out: str | None, name: str) -> RunFolder:
        """Make the folder `out`; where it is None, runs/NAME-N with the next free number N.

        Raises:
            ValueError: `out` is there already and not an empty folder.
            OSError: it cannot be made, or not be written to.
        """
        if out is not None:
            cls.check(out)
            path = Path(out)
            path.mkdir(parents=True, exist_ok=True)
        else:
            base = Path("runs")
            base.mkdir(exist_ok=True)
            taken = [p.name.removeprefix(f"{name}-") for p in base.iterdir() if p.name.startswith(f"{name}-")]
            number = 1 + max((int(n) for n in taken if n.isdecimal()), default=0)
            while True:
                path = base / f"{name}-{number}"
                try:
                    path.mkdir()
                    break
                except FileExistsError:  # another run took it in this moment
                    number += 1
        folder = cls(path)
        folder._write("log.csv", [f.name for f in fields(Record)], "x")
        return folder

    def write_config(self, config: dict[str, Any]) -> None:
        """Write `config.json`."""
        write_file(self.path / "config.json", (json.dumps(config, indent=2) + "\n").encode())

    def log(self, record: Record) -> None:
        """Append an epoch to `log.csv`; figures that there are none of stay empty."""
        self.records.append(record)
        values = [v if isinstance(v, int) else "" if math.isnan(v) else f"{v:.8g}" for v in astuple(record)]
        self._write("log.csv", values, "a")

    def draw(self, title: str) -> None:
        """Draw `curves.png`."""
        draw_curves([asdict(record) for record in self.records], self.path / "curves.png", title)

    def _write(self, name: str, row: list, mode: str) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        try:
            with open(self.path / name, mode + "b", buffering=0) as stream:
                stream.write(line.getvalue().encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self.path / name)) from None


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
    started = time.perf_counter()
    try:
        options = options.resolved()
        assert options.epochs and options.batch_size, "resolved() chose them"
        RunFolder.check(options.out)
        where = device(options.device or default_device())
        get_backend(where)
        data = load_data(options)
        manual_seed(options.seed)
        model = MODELS[options.model](data.shape, data.classes)
        folder = RunFolder.create(options.out, f"{options.dataset}-{options.model}")
    except (ValueError, RuntimeError) as error:
        raise RunError(str(error)) from error
    model.to(where)
    extra = {} if options.momentum is None else {"momentum": options.momentum}
    optimizer = OPTIMIZERS[options.optimizer](
        model.parameters(), lr=options.lr, weight_decay=options.weight_decay, **extra
    )
    train = DataLoader(data.train, batch_size=options.batch_size, shuffle=True)
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
                schedule=SCHEDULES[options.schedule], position=position, stop=stop, progress=progress,
            ):  # fmt: skip
                save_checkpoint(folder.path, model, optimizer, train, position)
                folder.log(record)
                say(_line(record, options.epochs))
            stopped = position.epoch < options.epochs
            if stopped:
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
    last = folder.records[-1] if folder.records else None
    return Outcome(folder.path, last, stopped, time.perf_counter() - started)


def _parameters(model: Module) -> int:
    return sum(math.prod(p.shape) for p in model.parameters())


def _config(options: Options, model: Module, data: Data) -> dict[str, Any]:
    """What `config.json` holds."""
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
            "normalised_with": dict(zip(("mean", "std"), DATASETS[options.dataset], strict=True)),
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
    return [
        f"data       {options.dataset}: {images}",
        f"model      {options.model}, {_parameters(model):,} parameters",
        f"optimizer  {options.optimizer}, lr {options.lr:g} ({options.schedule}), batch size {options.batch_size}",
        f"device     {where}; seed {options.seed}",
        f"run        {folder}",
        "",
        "  epoch   train loss  accuracy    test loss  accuracy         lr   images/s",
    ]


def _line(record: Record, epochs: int) -> str:
    train = f"{record.train_loss:>10.4f}  {record.train_accuracy:>8.2%}"
    test = f"{record.test_loss:>10.4f}  {record.test_accuracy:>8.2%}"
    return f"{record.epoch:>3}/{epochs:<3}   {train}   {test}   {record.lr:>8.2g}   {record.images_per_second:>8,.0f}"
