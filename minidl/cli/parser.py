"""How the command line is read: parsers that complain in one line, and help that fits a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from .output import complain


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        complain(message)
        sys.exit(2)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that is at most 100 columns wide, however wide the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._width = min(self._width, 100)


def add_command(commands: Any, name: str, function: Any, help: str, description: str, epilog: str = "") -> Parser:
    """A command of its own: `function(arguments, stop)` runs it and gives the exit code."""
    parser = commands.add_parser(
        name, help=help, description=description, epilog=epilog, formatter_class=Formatter, allow_abbrev=False
    )
    parser.set_defaults(function=function)
    return parser


def add_choice(group: Any, name: str, known: Iterable[str], default: str | None, text: str, shown: str = "") -> None:
    """An option with names to choose from; `shown` is what the help calls the default, where it depends."""
    names = list(known)
    metavar = "|".join(names)
    if len(metavar) > 80:  # would not fit a line
        metavar, text = "NAME", f"{', '.join(names)}: {text}"
    group.add_argument(
        f"--{name}", choices=names, default=default, metavar=metavar,
        help=f"{text} (default: {shown or default})",
    )  # fmt: skip
