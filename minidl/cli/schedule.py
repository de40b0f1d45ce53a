"""`minidl schedule`: what a schedule of the learning rate does, before anything is trained with it."""

from __future__ import annotations

import argparse
import math
from typing import Any

from ..optim import schedules
from ..report.schedule import draw_schedule
from ..train import RunError
from .output import picture_path, say
from .parser import add_command

_POINTS = 10  # lines of the table


def add_schedule(commands: Any) -> None:
    """Enter the command."""
    parser = add_command(
        commands, "schedule", _schedule, "show what a schedule of the learning rate does",
        "Show a schedule of the learning rate as a table and, if asked for, as a picture.",
        "A value given by --set may be a list: --set milestones=300,600,gamma=0.5\n\n"
        "examples:\n  minidl schedule --list\n  minidl schedule cosine --warmup 100 --plot cosine.png\n"
        "  minidl schedule step --steps 900 --lr 0.1 --set every=300,gamma=0.2",
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", nargs="?", help="the schedule; --list shows which there are")
    parser.add_argument("--list", action="store_true", help="list the schedules and their options")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="length of the run (default: 1000)")
    parser.add_argument("--warmup", type=int, default=0, metavar="N", help="so many first steps rise (default: 0)")
    parser.add_argument("--lr", type=float, default=0.1, metavar="RATE", help="the peak rate (default: 0.1)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="options of the schedule; may be repeated"
    )
    parser.add_argument("--plot", metavar="FILE.png", help="draw it, too")


def _schedule(arguments: argparse.Namespace, stop: Any) -> int:
    if arguments.list or arguments.name is None:
        if not arguments.list:
            raise RunError(f"schedule: expected a name; there are {', '.join(schedules.NAMES)}")
        return _list()
    steps, rate = arguments.steps, arguments.lr
    if not (math.isfinite(rate) and rate > 0):
        raise RunError(f"--lr: expected a finite number above 0, got {rate}")
    if not 1 <= steps <= 10**9:
        raise RunError(f"--steps: expected a whole number of at least 1 and at most 10^9, got {steps}")
    path = None if arguments.plot is None else picture_path("plot", arguments.plot, (".png",))
    try:
        known = schedules.options(arguments.name)
        schedule = schedules.build(arguments.name, steps, arguments.warmup, **_options(arguments.set, known))
        at = _interesting(steps, arguments.warmup)
        values = [schedule(t) for t in at]
    except (ValueError, TypeError, OverflowError) as error:
        raise RunError(str(error)) from None
    say(f"lr = {rate * schedule!r}" if rate != 1 else f"lr = {schedule!r}")
    width = max(len("step"), len(f"{steps - 1:,}"))
    say(f"{'step':>{width}}  {'factor':>10}  {'rate':>10}")
    for t, value in zip(at, values, strict=True):
        say(f"{t:>{width},}  {value:>10.4g}  {rate * value:>10.4g}")
    if path is not None:
        draw_schedule(schedule, steps, path, rate, arguments.warmup)
        say(f"the picture is in {path}")
    return 0


def _list() -> int:
    width = max(map(len, schedules.NAMES))
    say(f"{'schedule':<{width}}  options (and defaults; auto: what fits the length of the run)")
    for name in schedules.NAMES:
        options = schedules.options(name)
        texts = [f"{key}={'auto' if value is None else _plain(value)}" for key, value in options.items()]
        say(f"{name:<{width}}  {', '.join(texts) or '-'}")
    return 0


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _interesting(steps: int, warmup: int) -> list[int]:
    """About ten steps of a run, with the first, the last, and the one after the warmup."""
    even = {round(i * (steps - 1) / (_POINTS - 1)) for i in range(_POINTS)}
    return sorted(even | {min(warmup, steps - 1)})


def _options(texts: list[str], known: dict[str, Any]) -> dict[str, Any]:
    """['gamma=0.5,every=100'] as {'gamma': 0.5, 'every': 100}; what has no '=' belongs to the list before it."""
    found: dict[str, list] = {}
    for text in texts:
        last: list | None = None
        for piece in text.split(","):
            key, equals, value = piece.partition("=")
            if equals:
                key = key.strip().replace("-", "_")
                if key in found:
                    raise RunError(f"--set: {key} was given twice")
                last = found[key] = []
            if last is None or not (value if equals else piece).strip():
                raise RunError(f"--set: expected OPTION=VALUE such as gamma=0.5, got {text!r}")
            last.append(_value((value if equals else piece).strip()))
    # an option that takes a list takes one number as a list, too
    return {key: vs if len(vs) > 1 or key == "milestones" else vs[0] for key, vs in found.items()}


def _value(text: str) -> Any:
    """'3' as 3, '0.5' as 0.5, 'true' as True, all else as it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
