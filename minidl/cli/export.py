"""`minidl export`: a trained run as a file for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..export.run import FILES, Exporter
from ..train import RunError
from .output import complain, say
from .parser import add_command

_KEPT = ("checkpoint.safetensors", "checkpoint.json", "config.json", "log.csv")  # what makes a folder a run


def add_export(commands: Any) -> None:
    """Enter the command."""
    parser = add_command(
        commands, "export", _export, "write a trained run for other programs",
        "Write the model of a run that `minidl train` left, with its weights, for other programs.",
        "forms:\n"
        "  safetensors  the weights, as PyTorch and others read them\n"
        "  onnx         an ONNX file for any batch size (needs minidl[onnx])\n"
        "  numpy        one Python file that needs NumPy and nothing else: python predict.py image.npy\n"
        "  torch        PyTorch source: model, optimizer, schedule, training loop; the weights beside it\n\n"
        "examples:\n  minidl export runs/mnist-lenet5-1 --to onnx -o lenet5.onnx\n"
        "  minidl export runs/digits-cnn-1 --to numpy",
    )  # fmt: skip
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--to", required=True, choices=list(FILES), metavar="|".join(FILES), help="the form")
    parser.add_argument(
        "-o", "--out", metavar="PATH",
        help="the file (default: in the folder of the run, " + ", ".join(FILES.values()) + ")",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", metavar="FILE",
        help="take the weights from this checkpoint, in the folder of the run or elsewhere (default: its last)",
    )  # fmt: skip
    parser.add_argument(
        "--verify", action=argparse.BooleanOptionalAction, default=True,
        help="compare what was written with the model on a few images (default: yes)",
    )  # fmt: skip


def _export(arguments: argparse.Namespace, stop: Any) -> int:
    exporter = Exporter(arguments.run, arguments.checkpoint)
    form = arguments.to
    path = Path(arguments.run) / FILES[form] if arguments.out is None else _path(arguments.out, form)
    written = exporter.write(form, path, lambda text: complain(text, "note: "))
    for file in written:
        say(f"wrote {file}")
    if arguments.verify:
        difference, what = exporter.verify(form, path)
        if difference is None:
            complain(f"not verified: {what}", "note: ")
        else:
            say(f"verified on {what}: probabilities differ by at most {difference:.1e}")
    return 0


def _path(out: str, form: str) -> Path:
    """Where the file shall go; refused before any work is done if it cannot be written there."""
    path, ending = Path(out), Path(FILES[form]).suffix
    if path.suffix.lower() != ending:
        raise RunError(f"--out: expected a file name that ends in {ending}, got {out!r}")
    if not path.parent.is_dir():
        raise RunError(f"--out: there is no folder {path.parent}")
    if path.is_dir():
        raise RunError(f"--out: {path} is a folder")
    if path.name in _KEPT:
        raise RunError(f"--out: {path.name} is the name of a file that makes a folder a run; choose another")
    return path
