"""The command `minidl`: what it understands, what it prints, how it ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NoReturn

from tqdm import tqdm

from .train import run as runs
from .train.loop import NonFiniteLoss
from .train.run import Options, RunError

_DESCRIPTION = "Train a small neural network and keep what came of it in a folder of its own."
_EPILOG = """\
A run leaves in its folder: config.json (every argument, versions, machine), log.csv (one line an epoch),
checkpoint.safetensors (model, optimizer and all that decides the next step), checkpoint.json (a readable
copy of it without the weights) and curves.png. Ctrl-C ends a run after the current step and keeps all that;
a second Ctrl-C quits at once. The same seed gives the same weights, bit for bit.

Exit codes: 0 done, 1 the loss became infinite or nan, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.

examples:
  minidl train
        a small convolutional network on the 8x8 digits that are part of the package
  minidl train --dataset mnist --model lenet5 --epochs 10 --out runs/first-lenet
        LeNet-5 on MNIST; what is missing of the data is downloaded
"""


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        _complain(message)
        sys.exit(2)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that is at most 100 columns wide, however wide the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._width = min(self._width, 100)


class _Stop:
    """What Ctrl-C and SIGTERM do: the first ends the run after the current step, the second quits at once.

    Before the first step there is nothing to save, so then the first one quits.
    """

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal that came
        self._training = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():  # no other thread may ask for signals
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        self._training = True
        return self.number is not None

    def _came(self, number: int, frame: object) -> None:
        if self.number is not None or not self._training:
            self.number = number
            raise KeyboardInterrupt
        self.number = number
        text = "\nminidl: stopping after this step; Ctrl-C again quits at once\n"
        os.write(2, text.encode())  # print may be in the middle of something


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's own) and return its exit code."""
    stop = _Stop()
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller; a file of the run must not get its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))
    try:
        try:
            with stop, warnings.catch_warnings():
                warnings.showwarning = _warn
                arguments = _parser().parse_args(argv)
                return arguments.function(arguments, stop)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone
        # what is still in the buffer goes nowhere; the interpreter would complain of it at the very end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        _complain("stopped at once", "")
        return 128 + (stop.number or signal.SIGINT)
    except NonFiniteLoss as error:
        _complain(str(error))
        return 1
    except (RunError, OSError) as error:
        _complain(_with_option(_reason(error)))
        return 2
    except MemoryError:
        _complain("not enough memory")
        return 2


def _train(arguments: argparse.Namespace, stop: _Stop) -> int:
    """`minidl train`."""
    chosen = {f.name: getattr(arguments, f.name) for f in fields(Options)}
    try:
        options = Options(**chosen)
    except ValueError as error:
        raise RunError(str(error)) from None
    quiet = arguments.quiet
    outcome = runs.execute(options, _nothing if quiet else _say, progress=not quiet, stop=stop)
    if not quiet:
        _say("")
    epochs, last = options.resolved().epochs, outcome.record
    if outcome.stopped:
        done = f"{last.epoch} of {epochs} epochs were finished" if last else "no epoch was finished"
        _say(f"stopped: {done}; the checkpoint of the last step is in {outcome.folder}")
        return 128 + (stop.number or signal.SIGINT)
    assert last is not None, "there is at least one epoch"
    plural = "" if epochs == 1 else "s"
    _say(
        f"test accuracy {last.test_accuracy:.2%} after {epochs} epoch{plural} in {outcome.seconds:.1f} s; "
        f"the run is in {outcome.folder}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="minidl", description="A small deep-learning framework.", formatter_class=_Formatter, allow_abbrev=False
    )
    version = getattr(sys.modules[__name__.partition(".")[0]], "__version__", "unknown")
    parser.add_argument("--version", action="version", version=f"minidl {version}")

    def show_help(arguments: argparse.Namespace, stop: _Stop) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(function=show_help)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    train = commands.add_parser(
        "train", help="train a model on a data set", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=_Formatter, allow_abbrev=False,
    )  # fmt: skip
    train.set_defaults(function=_train)
    _add_train_options(train)
    return parser


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    default = Options()
    epochs, sizes = (_by(table) for table in (runs.EPOCHS, runs.BATCH_SIZE))
    rates = "; ".join(f"{name} {_by(table)}" for name, table in runs.LR.items())

    what = parser.add_argument_group("what is trained")
    _choice(what, "dataset", runs.DATASETS, default.dataset, "the data set")
    _choice(what, "model", runs.MODELS, default.model, "a perceptron, LeNet-5, or a small CNN with batch norm")
    what.add_argument(
        "--data-dir", metavar="DIR", help="where mnist lies or is put (default: $MINIDL_DATA, else ~/.cache/minidl)"
    )

    how = parser.add_argument_group("how it is trained")
    _choice(how, "optimizer", runs.OPTIMIZERS, default.optimizer, "the update rule")
    how.add_argument("--lr", type=float, metavar="RATE", help=f"learning rate at the start (default: {rates})")
    how.add_argument("--momentum", type=float, metavar="M", help="momentum of sgd (default: 0.9)")
    how.add_argument("--weight-decay", type=float, metavar="W", help="weight decay (default: 0; adamw 0.01)")
    _choice(how, "schedule", runs.SCHEDULES, default.schedule, "the learning rate falls to 0 along a cosine, or stays")
    how.add_argument("--epochs", type=int, metavar="N", help=f"passes over the training data (default: {epochs})")
    how.add_argument("--batch-size", type=int, metavar="N", help=f"images a step (default: {sizes})")
    how.add_argument(
        "--seed", type=int, default=default.seed, metavar="N",
        help="seed of weights, order and dropout (default: %(default)s)",
    )  # fmt: skip

    where = parser.add_argument_group("where")
    where.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: $MINIDL_DEVICE, else cpu)")
    where.add_argument(
        "--threads", type=int, metavar="N", help=f"threads of the matrix products (default: {runs.THREADS})"
    )
    where.add_argument("--out", metavar="DIR", help="a new or empty folder for the run (default: runs/DATASET-MODEL-N)")
    where.add_argument("--quiet", action="store_true", help="print the last line and errors only")


def _choice(group: Any, name: str, known: dict, default: str, text: str) -> None:
    names = "|".join(known)
    group.add_argument(
        f"--{name}", choices=list(known), default=default, metavar=names, help=f"{text} (default: %(default)s)"
    )


def _by(table: dict) -> str:
    """{'a': 1, 'b': 2} as 'a 1, b 2'."""
    return ", ".join(f"{name} {value:g}" for name, value in table.items())


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stdout)  # above a progress bar, if there is one
    sys.stdout.flush()


def _nothing(line: str) -> None:
    """What --quiet says."""


def _complain(message: str, kind: str = "error: ") -> None:
    """One line on stderr, whatever the message has in it."""
    line = " ".join(message.split())
    print(f"minidl: {kind}{line}", file=sys.stderr, flush=True)


def _warn(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    _complain(str(message), "warning: ")


def _reason(error: BaseException) -> str:
    """What a user can make use of: for an OSError the file and the reason, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _with_option(message: str) -> str:
    """'batch_size: ...' as '--batch-size: ...'."""
    name, colon, rest = message.partition(":")
    return f"--{name.replace('_', '-')}{colon}{rest}" if name in {f.name for f in fields(Options)} else message
