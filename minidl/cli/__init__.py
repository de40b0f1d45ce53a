"""The command `minidl`: what it understands, what it prints, how it ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any

from ..train import NonFiniteLoss, RunError
from .export import add_export
from .inspection import add_datasets, add_predict, add_summary
from .output import complain, reason, warn, with_option
from .parser import Formatter, Parser
from .race import add_race
from .run import add_run
from .schedule import add_schedule
from .training import add_train

__all__ = ["main"]


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
                warnings.showwarning = warn
                arguments = _parser().parse_args(argv)
                return arguments.function(arguments, stop)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone
        # what is still in the buffer goes nowhere; the interpreter would complain of it at the very end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        complain("stopped at once", "")
        return 128 + (stop.number or signal.SIGINT)
    except NonFiniteLoss as error:
        complain(str(error))
        return 1
    except (RunError, OSError) as error:
        complain(with_option(reason(error)))
        return 2
    except MemoryError:
        complain("not enough memory")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="minidl", description="A small deep-learning framework.", formatter_class=Formatter, allow_abbrev=False
    )
    version = getattr(sys.modules[__name__.partition(".")[0]], "__version__", "unknown")
    parser.add_argument("--version", action="version", version=f"minidl {version}")

    def show_help(arguments: argparse.Namespace, stop: _Stop) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(function=show_help)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (add_train, add_predict, add_summary, add_datasets, add_schedule, add_race, add_export, add_run):
        add(commands)
    return parser
