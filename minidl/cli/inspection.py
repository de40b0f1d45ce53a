"""`minidl predict`, `minidl summary` and `minidl datasets`: what a run, a model or the disk has in it."""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
from typing import Any

import numpy as np

from ..data import datasets
from ..train import DATASETS, MODELS, RunError, summary
from ..train.prediction import Predictor, read_picture
from ..train.summary import size_of
from .output import complain, say
from .parser import add_choice, add_command

_MOST = 1 << 24  # numbers in an input that `summary` runs a model on


# ---------------------------------------------------------------------------------------------------------- predict
def add_predict(commands: Any) -> None:
    """Enter the command `predict`."""
    parser = add_command(
        commands, "predict", _predict, "say what pictures show, by a trained run",
        "Say what pictures show, with the weights and the settings of a run that `minidl train` left.",
        "A picture becomes grey or coloured and as large as the model needs it. A model of digits or clothes knows\n"
        "light strokes on black: --invert turns ink on paper into that.\n\n"
        "example:\n  minidl predict runs/mnist-lenet5-1 seven.png --invert",
    )  # fmt: skip
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", help="PNG, JPEG, BMP, GIF, PPM, TIFF or WebP files")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="show the N likeliest classes (default: 3)")
    parser.add_argument("--invert", action="store_true", help="make light dark and dark light first")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one entry a picture")


def _predict(arguments: argparse.Namespace, stop: Any) -> int:
    if arguments.top < 1:
        raise RunError(f"--top: expected a whole number of at least 1, got {arguments.top}")
    predictor = Predictor(arguments.run)
    dark = float(np.mean(predictor.mean)) < 0.5
    read = [read_picture(path, predictor.shape, arguments.invert, dark) for path in arguments.pictures]
    probabilities = predictor([pixels for pixels, _ in read])
    answers = []
    for path, (_, notes), row in zip(arguments.pictures, read, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[: arguments.top].tolist()
        guesses = [{"class": predictor.classes[i], "index": i, "probability": float(row[i])} for i in best]
        answers.append({"file": path, "predictions": guesses, "notes": notes})
    if arguments.json:
        say(json.dumps(answers, indent=2))
        return 0
    width = max(map(len, arguments.pictures))
    for answer in answers:
        for note in answer["notes"]:
            complain(note, "note: ")
        likeliest = ", ".join(f"{g['class']} {g['probability']:.1%}" for g in answer["predictions"])
        say(f"{answer['file']:<{width}}  {likeliest}")
    return 0


# ---------------------------------------------------------------------------------------------------------- summary
def add_summary(commands: Any) -> None:
    """Enter the command `summary`."""
    parser = add_command(
        commands, "summary", _summary, "show the layers of a model, and what they cost",
        "Show the layers of a model with their shapes, parameters, multiply-adds and memory.",
        "kept: activations that stay in memory for the backward, each counted where it first stays.\n\n"
        "examples:\n  minidl summary --model resnet8 --dataset cifar10 --batch-size 128\n"
        "  minidl summary --model lenet5 --shape 1,64,64 --classes 5",
    )  # fmt: skip
    add_choice(parser, "model", MODELS, "cnn", "the model")
    images = parser.add_mutually_exclusive_group()
    add_choice(images, "dataset", DATASETS, None, "for the images and classes of this data set", "digits")
    images.add_argument("--shape", type=_shape, metavar="C,H,W", help="for images of this shape")
    parser.add_argument("--classes", type=int, metavar="N", help="with --shape: the number of classes (default: 10)")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images at once (default: 1)")


def _summary(arguments: argparse.Namespace, stop: Any) -> int:
    shape, classes = arguments.shape, arguments.classes
    if shape is None:
        if classes is not None:
            raise RunError("--classes: goes with --shape; a data set has its own")
        known = DATASETS[arguments.dataset or "digits"]
        shape, classes = known.shape, known.classes
    classes = 10 if classes is None else classes
    for name, n in (("classes", classes), ("batch-size", arguments.batch_size)):
        if not 1 <= n < 1 << 31:
            raise RunError(f"--{name}: expected a whole number of at least 1 and below 2^31, got {n}")
    if math.prod(shape) * arguments.batch_size > _MOST:
        raise RunError(f"--shape, --batch-size: more than {_MOST:,} numbers in a batch are too many")
    try:
        say(str(summary(MODELS[arguments.model](shape, classes), shape, arguments.batch_size)))
    except ValueError as error:
        raise RunError(str(error)) from None
    return 0


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if len(sizes) != 3 or not all(n.isascii() and n.isdecimal() and 0 < len(n) < 10 and int(n) for n in sizes):
        raise argparse.ArgumentTypeError(f"expected three whole numbers such as 3,32,32, got {text!r}")
    return tuple(map(int, sizes))


# --------------------------------------------------------------------------------------------------------- datasets
def add_datasets(commands: Any) -> None:
    """Enter the command `datasets`."""
    parser = add_command(
        commands, "datasets", _datasets, "list the data sets, or download one",
        "List the data sets that minidl knows: whether each is here, where, and how to get it.",
        "examples:\n  minidl datasets\n  minidl datasets --fetch cifar10",
    )  # fmt: skip
    parser.add_argument("--fetch", metavar="NAME", help="download what is missing of this data set, and verify it")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where the data lie or are put (default: $MINIDL_DATA, else ~/.cache/minidl)"
    )


def _datasets(arguments: argparse.Namespace, stop: Any) -> int:
    if "" in (arguments.data_dir, arguments.fetch):
        name = "data-dir" if arguments.data_dir == "" else "fetch"
        raise RunError(f"--{name}: expected a name, got ''")
    if arguments.fetch is not None:
        try:
            done = datasets.fetch(arguments.fetch, arguments.data_dir)
        except (ValueError, datasets.DatasetError) as error:
            raise RunError(str(error)) from None
        say(f"{_command_name(done.name)} is in {done.folder}, {size_of(done.bytes)}")
        return 0
    table = [("data set", "state", "on disk", "where")]
    for known in datasets.status(arguments.data_dir):
        files = len(known.found) + len(known.missing)
        some = f"{len(known.missing)} of {files} files missing" if known.found else "missing"
        where = str(known.folder)
        if not known.complete:
            below = "" if arguments.data_dir is None else f" --data-dir {shlex.quote(arguments.data_dir)}"
            where += f"; get it by: minidl datasets --fetch {_command_name(known.name)}{below}"
        state = "here" if known.complete else some
        table.append((_command_name(known.name), state, size_of(known.bytes) if known.bytes else "-", where))
    widths = [max(len(row[i]) for row in table) for i in range(3)]
    for name, state, size, where in table:
        say(f"{name:<{widths[0]}}  {state:<{widths[1]}}  {size:>{widths[2]}}  {where}")
    return 0


def _command_name(name: str) -> str:
    """'FashionMNIST' as 'fashion-mnist'."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
