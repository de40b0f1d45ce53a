"""Runs that have a time instead of a number of epochs: what is kept of the clock, so that they can be repeated."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from ..serialization import write_file
from .options import Options, RunError

NAME = "fractions.csv"
_OWN = ("minutes", "replay", "epochs", "out")  # what a repetition does not take over


def write_fractions(folder: str | os.PathLike, fractions: Sequence[float]) -> None:
    """Write `fractions.csv`: for each step, from 0, which share of the time had passed; exact to the last bit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "fraction"])
    writer.writerows([step, repr(fraction)] for step, fraction in enumerate(fractions))
    write_file(Path(folder) / NAME, text.getvalue().encode())


def read_fractions(folder: str | os.PathLike) -> list[float]:
    """What `write_fractions` wrote.

    Raises:
        RunError: there is no such file, or it is damaged.
    """
    path = Path(folder) / NAME
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise RunError(f"{folder}: no run under a time budget, there is no {NAME} in it") from None
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path} cannot be read ({error})") from None
    try:
        found = [float(fraction) for _, fraction in rows[1:]]
        good = rows[0] == ["step", "fraction"] and [int(step) for step, _ in rows[1:]] == list(range(len(found)))
    except (ValueError, IndexError):
        good, found = False, []
    if not (good and found and all(0 <= f <= 1 for f in found) and found == sorted(found)):
        raise RunError(f"{path} is damaged: expected the steps from 0 and shares from 0 to 1 that do not fall")
    return found


def options_of(folder: str | os.PathLike, **others: str | int | None) -> Options:
    """The options that repeat a run, with others (`out`, `device` ...) where they are not None.

    Raises:
        RunError: there is no run, or its configuration is damaged or of another version.
    """
    path = Path(folder) / "config.json"
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))["arguments"]
        known = {f.name: arguments[f.name] for f in fields(Options) if f.name not in _OWN}
        given = {name: value for name, value in others.items() if value is not None}
        return Options(**{**known, "replay": str(folder), **given})
    except FileNotFoundError:
        raise RunError(f"{folder}: is no folder of a run, there is no config.json in it") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{path} is damaged, or of another version of minidl ({what})") from None
