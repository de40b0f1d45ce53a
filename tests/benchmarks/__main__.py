"""`python -m tests.benchmarks [--against torch] [--only PART] [--write docs/performance.md]`: all benchmarks, one page.

Every figure is taken in processes of their own with two threads, the frameworks alternating. With `--only` one part is
measured; with `--write` it takes the place of that part in the page that is there. A part that fails is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import parts, training
from .machine import description
from .rounds import Failed, Settings


class Part(NamedTuple):
    """A part of the page: its heading, and what measures it and gives its lines."""

    title: str
    lines: Callable[[Settings], list[str]]


PARTS = {
    "training": Part("Training", training.training),
    "inference": Part("Inference", training.inference),
    "epoch": Part("An epoch of MNIST", parts.epochs),
    "batches": Part("Batch sizes", parts.batches),
    "linear": Part("Chains of ops", parts.linear),
    "costs": Part("Import and memory", parts.costs),
    "ops": Part("Time per op", parts.ops),
    "updates": Part("Time per update", parts.updates),
}


def page(settings: Settings, sections: dict[str, list[str]]) -> str:
    """The page of these sections, by title."""
    command = "python -m tests.benchmarks" + (f" --against {settings.rival}" if settings.rival else "")
    command += f" --rounds {settings.rounds} --seconds {settings.seconds:g}"
    lines = ["# Performance", "", description(settings.rival), "", f"Made by `{command}`."]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def sections_of(text: str) -> dict[str, list[str]]:
    """The sections of a page by title."""
    pieces = ("\n" + text).split("\n## ")[1:]
    return {title: body.strip().splitlines() for title, _, body in (piece.partition("\n") for piece in pieces)}


def renewed(text: str, sections: dict[str, list[str]], settings: Settings) -> str:
    """The page with these sections in place of its own, or in their places if they are new."""
    here = description(settings.rival)
    if here not in text:
        raise SystemExit(f"--write: the page that is there was made elsewhere; here is {here}")
    sections = {**sections_of(text), **sections}
    order = [part.title for part in PARTS.values()]
    return page(settings, {name: sections[name] for name in [*order, *others(text)] if name in sections})


def others(text: str) -> dict[str, list[str]]:
    """The sections of a page that are made elsewhere (`python -m tests.gpu`)."""
    own = {part.title for part in PARTS.values()}
    return {title: body for title, body in sections_of(text).items() if title not in own}


def main() -> int:
    """Parse the command line, measure, print or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--against", metavar="torch", help="the framework to measure beside minidl, if it is installed")
    parser.add_argument("--rounds", type=int, default=3, help="how often each framework is measured (default 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a step is timed each time (default 2)")
    parser.add_argument("--only", choices=PARTS, help="a part of the page instead of all")
    parser.add_argument("--write", type=Path, help="write the page to this file instead of printing it")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {given.rounds}")
    if given.against and importlib.util.find_spec(given.against) is None:
        parser.error(f"--against: {given.against} is not installed")
    settings = Settings(given.against, given.rounds, given.seconds)
    sections, failed = {}, False
    for part in [PARTS[given.only]] if given.only else PARTS.values():
        try:
            sections[part.title] = part.lines(settings)
        except Failed as error:
            print(f"{part.title}: {error}", file=sys.stderr)
            failed = True
    if given.only and failed:
        return 1
    if given.only and given.write and given.write.exists():
        text = renewed(given.write.read_text(), sections, settings)
    else:
        there = given.write.read_text() if given.write and given.write.exists() else ""
        text = page(settings, {**sections, **others(there)})
    if given.write:
        given.write.write_text(text)
    else:
        print(text)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
