"""The folder that a run leaves: configuration, log, checkpoint, learning curves, confusion matrix."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..report import draw_confusion, draw_curves
from ..serialization import write_file
from .loop import Record


class RunFolder:
    """The folder of a run, made by `create`.

    `config.json`: every argument, versions, machine. `log.csv`: one line an epoch, written at once.
    `checkpoint.safetensors` and `.json`: see `save_checkpoint`. `curves.png`: see `draw_curves`. `confusion.csv`: the
    confusion matrix of the test data, `confusion.png`: see `draw_confusion`.
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

    def confuse(self, counts: np.ndarray, classes: Sequence[str], title: str) -> None:
        """Write `confusion.csv`, a row for each true class and a column for each guess, and draw `confusion.png`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["true", *classes])
        writer.writerows([name, *row] for name, row in zip(classes, counts.tolist(), strict=True))
        write_file(self.path / "confusion.csv", text.getvalue().encode())
        draw_confusion(counts, classes, self.path / "confusion.png", title)

    def files(self) -> list[str]:
        """The names of what lies in it now, in alphabetical order."""
        return sorted(p.name for p in self.path.iterdir())

    def _write(self, name: str, row: list, mode: str) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        try:
            with open(self.path / name, mode + "b", buffering=0) as stream:
                stream.write(line.getvalue().encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self.path / name)) from None
