"""A run of `minidl train` in another form: what to write, and whether what was written says the same."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..data import datasets
from ..modes import no_grad
from ..nn import Module
from ..serialization import load, save, write_file
from ..tensor import Tensor, wrap
from ..train import DATASETS, RULES, Options, RunError
from ..train.prediction import Predictor
from .numpy_script import prepared, to_numpy
from .onnx_model import to_onnx
from .source import SourceError
from .torch_source import to_torch
from .trace import TraceError, run

FILES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "numpy": "predict.py", "torch": "model.py"}
TOLERANCE = 1e-5  # of a probability


class Exporter:
    """A trained run, to be written in another form.

    Raises:
        RunError: there is no run, it has no checkpoint, or they do not fit.
    """

    def __init__(self, folder: str | os.PathLike, checkpoint: str | None = None) -> None:
        self.run = Predictor(folder)
        if checkpoint is not None:
            self._take(checkpoint)
        self.model: Module = self.run.model
        config = json.loads((self.run.folder / "config.json").read_text(encoding="utf-8"))
        self.data: dict[str, Any] = config["data"]
        known = {f.name for f in fields(Options)}
        try:
            self.options = Options(**{k: v for k, v in config["arguments"].items() if k in known})
        except (TypeError, ValueError) as error:
            raise RunError(f"{self.run.folder / 'config.json'} is damaged ({error})") from None
        self.title = f"{type(self.model).__name__}, trained on {self.options.dataset}"

    def _take(self, checkpoint: str) -> None:
        """The weights of another checkpoint: its name in the run's folder, or a path."""
        within = self.run.folder / checkpoint
        path = within if within.exists() else Path(checkpoint)
        if not path.exists():
            raise RunError(f"--checkpoint: there is no {within}")
        try:
            state = load(path)
            self.run.model.load_state_dict(state["model"] if isinstance(state.get("model"), dict) else state)
        except (ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
            raise RunError(f"--checkpoint: {path} does not fit this run ({error})") from None

    # --------------------------------------------------------------------------------------------------- the forms
    def write(self, form: str, path: Path, note: Callable[[str], None] = lambda text: None) -> list[Path]:
        """Write the run as `form` at `path`, and its weights beside it where they are a file of their own.

        Raises:
            RunError: the model cannot be said in this form, or a package is missing.
            OSError: a file cannot be written; what was there before is unharmed.
        """
        try:
            return {"safetensors": self._safetensors, "onnx": self._onnx, "numpy": self._numpy, "torch": self._torch}[
                form
            ](path, note)
        except (TraceError, SourceError, ImportError) as error:
            raise RunError(str(error)) from None

    def metadata(self) -> dict[str, str]:
        """What is told of the run in files that have a place for it."""
        version = getattr(sys.modules[__name__.partition(".")[0]], "__version__", "unknown")
        kept = {"classes": self.run.classes, "shape": self.run.shape, "mean": self.run.mean, "std": self.run.std}
        plain = {"producer": f"minidl {version}", "model": type(self.model).__name__, "dataset": self.options.dataset}
        return {**plain, **{key: json.dumps(value) for key, value in kept.items()}}

    def _safetensors(self, path: Path, note: Callable[[str], None]) -> list[Path]:
        save(self.model.state_dict(), path, metadata={"format": "pt", **self.metadata()})
        return [path]

    def _input(self) -> Tensor:
        return wrap(np.zeros((2, *self.run.shape), np.float32))

    def _onnx(self, path: Path, note: Callable[[str], None]) -> list[Path]:
        made = to_onnx(
            self.model, self._input(), input_names=["input"], output_names=["scores"],
            dynamic_axes={"input": {0: "batch"}}, metadata=self.metadata(),
            doc=f"{self.title}. input: pixels in 0 ... 1, normalised by the mean and std in the metadata.",
        )  # fmt: skip
        write_file(path, made.SerializeToString())
        return [path]

    def _numpy(self, path: Path, note: Callable[[str], None]) -> list[Path]:
        text = to_numpy(
            self.model, self._input(), title=self.title, classes=self.run.classes, mean=self.run.mean,
            std=self.run.std, example=self.samples()[:2],
        )  # fmt: skip
        write_file(path, text.encode())
        return [path]

    def _torch(self, path: Path, note: Callable[[str], None]) -> list[Path]:
        optimizer = schedule = None
        options = self.options
        if options.minutes is not None or options.replay is not None or options.schedule == "plateau":
            note("the rate followed a clock or the test loss; the program has the model, but no training loop")
        elif options.cycle_momentum:
            note("the momentum followed a cycle; the program has the model, but no training loop")
        else:
            assert options.epochs and options.batch_size and options.optimizer, "a run has them"
            steps = options.epochs * math.ceil(self.data["train"] / options.batch_size)
            schedule = options.planned(steps)
            given: dict[str, Any] = {"momentum": options.momentum, "weight_decay": options.weight_decay}
            optimizer = RULES[options.optimizer].make(self.model, options.lr, **given)
        weights = path.with_suffix(".safetensors")
        text = to_torch(
            self.model, weights.name, build=f"{type(self.model).__name__}({self.run.shape}, {len(self.run.classes)})",
            title=self.title, shape=self.run.shape, classes=self.run.classes, mean=self.run.mean, std=self.run.std,
            optimizer=optimizer, lr=options.lr, schedule=schedule, note=note,
        )  # fmt: skip
        self._safetensors(weights, note)
        write_file(path, text.encode())
        return [path, weights]

    # ------------------------------------------------------------------------------------------------ the comparison
    def samples(self) -> np.ndarray:
        """Five images as pixels 0 to 255: of the test data where they are on this machine, else made up."""
        channels, height, width = self.run.shape
        name = self.options.dataset.replace("-", "")
        known = {s.name.lower(): s for s in datasets.status(self.options.data_dir)}
        if name in known and (name == "digits" or known[name].complete):
            images = np.array(DATASETS[self.options.dataset].make(self.options.data_dir, False, None).data.array[:5])
            if images.size == 5 * channels * height * width:
                return images
        shape = (5, height, width) if channels == 1 else (5, height, width, channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def verify(self, form: str, path: Path) -> tuple[float | None, str]:
        """The largest difference of a probability from what the model says of the samples; None: not comparable, why.

        Raises:
            RunError: what was written does not say the same.
        """
        images = self.samples()
        x = prepared(images, self.run.shape, self.run.mean, self.run.std)
        want = _softmax(run(self.model, (wrap(x),))[0].array)
        if form == "onnx":
            try:
                import onnxruntime
            except ImportError:
                return None, "onnxruntime is not installed"
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            got = _softmax(session.run(None, {"input": x})[0])
        elif form == "numpy":
            program: dict[str, Any] = {"__name__": "predict"}
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), program)  # what was written just now
            got = program["predict"](images)
        else:
            if form == "torch":
                compile(path.read_text(encoding="utf-8"), str(path), "exec")
                path = path.with_suffix(".safetensors")
            again = Predictor(self.run.folder)
            again.model.load_state_dict(load(path))
            with no_grad():
                got = _softmax(again.model(wrap(x)).array)
        difference = float(np.abs(got - want).max())
        if not difference <= TOLERANCE:
            raise RunError(f"{path}: differs from the model by {difference:.1e} in a probability")
        return difference, f"{len(images)} images"


def _softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
