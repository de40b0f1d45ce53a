"""`minidl run`: a program that was written for PyTorch, with minidl in PyTorch's place."""

from __future__ import annotations

import argparse
import traceback
from pathlib import Path
from typing import Any

from ..compat import run
from ..train import RunError
from .parser import add_command


def add_run(commands: Any) -> None:
    """Enter the command."""
    parser = add_command(
        commands,
        "run",
        _run,
        "run a program that was written for PyTorch",
        "Run a Python program that imports torch (and torchvision) with minidl in their place.",
        "example:\n  minidl run main.py --epochs 1",
    )
    parser.add_argument("program", metavar="PROGRAM", help="the file")
    parser.add_argument("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER, help="what the program is given")


def _run(arguments: argparse.Namespace, stop: Any) -> int:
    if not Path(arguments.program).is_file():
        raise RunError(f"there is no file {arguments.program}")
    try:
        run(arguments.program, arguments.arguments)
    except Exception as error:  # the program's own: shown as Python shows it, from the program's first line on
        own = error.__traceback__
        while own is not None and own.tb_frame.f_globals.get("__name__") != "__main__":
            own = own.tb_next
        traceback.print_exception(error.with_traceback(own or error.__traceback__))
        return 1
    return 0
