"""`minidl schedule`: what a schedule of the learning rate does, before anything is trained with it."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from ..optim import schedules
from ..report.schedule import draw_schedule, sampled
from ..train import RunError
from .output import picture_path, say
from .parser import add_command

_POINTS = 10  # lines of the table at equal distances
_TURNS = 9  # and at most so many where the schedule turns or jumps
_SEEN = 100_000  # steps that are looked at for these; of longer runs so many at equal distances
_RISING = ("one-cycle", "inverse-sqrt", "noam")  # these begin with a rise of their own
_ELSEWHERE = {"steps": "--steps", "n": "--steps", "warmup": "--warmup", "lr": "--lr", "rate": "--lr"}


def add_schedule(commands: Any) -> None:
    """Enter the command."""
    parser = add_command(
        commands, "schedule", _schedule, "show what a schedule of the learning rate does",
        "Show a schedule of the learning rate as a table and, if asked for, as a picture.",
        "The table has a line for each of ten equal parts of the run, and for the steps where the schedule turns or\n"
        "jumps; a factor is a share of the rate given by --lr. A value given by --set may be a list:\n"
        "--set milestones=300,600,gamma=0.5\n\n"
        "examples:\n  minidl schedule --list\n  minidl schedule cosine --warmup 100 --plot cosine.png\n"
        "  minidl schedule step --steps 900 --lr 0.1 --set every=300,gamma=0.2",
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", nargs="?", help="the schedule; --list shows which there are")
    parser.add_argument("--list", action="store_true", help="list the schedules and their options")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="length of the run (default: 1000)")
    parser.add_argument(
        "--warmup", type=float, metavar="W",
        help="rise to the peak rate first: a share of the run, below 1, or steps (default: 0; one-cycle 0.3, "
        "inverse-sqrt and noam 0.05)",
    )  # fmt: skip
    parser.add_argument("--lr", type=float, default=0.1, metavar="RATE", help="the peak rate (default: 0.1)")
    add_set(parser, "options of the schedule; may be repeated")
    parser.add_argument("--plot", metavar="FILE.png", help="draw it, too")


def add_set(parser: Any, text: str, **more: Any) -> None:
    """Enter --set, whose words `set_options` reads."""
    parser.add_argument("--set", action="append", metavar="OPTION=VALUE", help=text, **more)


def _schedule(arguments: argparse.Namespace, stop: Any) -> int:
    if arguments.list or arguments.name is None:
        if not arguments.list:
            raise RunError(f"expected the name of a schedule; there are {', '.join(schedules.NAMES)}")
        return _list()
    steps, rate = arguments.steps, arguments.lr
    if not (math.isfinite(rate) and rate > 0):
        raise RunError(f"--lr: expected a finite number above 0, got {rate}")
    if not 1 <= steps <= 10**9:
        raise RunError(f"--steps: expected a whole number of at least 1 and at most 10^9, got {steps}")
    path = None if arguments.plot is None else picture_path("plot", arguments.plot, (".png",))
    name = _name(arguments.name)
    first = _warmup(arguments.warmup, steps)
    options = fitting(name, set_options(arguments.set or []))
    seen = sampled(steps, _SEEN)
    try:
        schedule = schedules.build(name, steps, first, **options)
    except (ValueError, TypeError) as error:
        raise RunError(str(error)) from None
    values = _values(schedule, seen)
    if name in _RISING:  # to the highest of all, which they reach but once
        first = seen[values.index(max(values))] + 1
    if path is not None:  # before anything is said, which would be in vain if it cannot be written
        draw_schedule(schedule, steps, path, rate, first)
    turns = _turns(values)
    at = _interesting(seen, turns, first)
    say(f"lr = {rate * schedule!r}" if rate != 1 else f"lr = {schedule!r}")
    width = max(len("step"), len(f"{steps - 1:,}"))
    say(f"{'step':>{width}}  {'factor':>10}  {'rate':>10}")
    for i in at:
        say(f"{seen[i]:>{width},}  {values[i]:>10.4g}  {rate * values[i]:>10.4g}")
    if len(turns) > _TURNS:
        say(f"it turns or jumps at {len(turns):,} steps; {len(set(turns) & set(at))} of them are in the table")
    if len(seen) < steps:
        say(f"of the {steps:,} steps only each {seen[1]:,}th was looked at, so that faster changes do not show")
    if path is not None:
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


def _name(text: str) -> str:
    """The schedule that is meant: "One_Cycle" is one-cycle."""
    name = text.lower().replace("_", "-")
    if name == "plateau":
        raise RunError("the schedule plateau follows the test loss of a run, so that nothing can be shown before it")
    if name not in schedules.NAMES:
        known = ", ".join(schedules.NAMES)
        raise RunError(f"unknown schedule '{text}'{_meant(name, schedules.NAMES)}; there are {known}")
    return name


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _warmup(given: float | None, steps: int) -> int:
    """In steps, as `minidl train` has it."""
    if given is None:
        return 0
    if not 0 <= given < math.inf or (given >= 1 and given != int(given)):
        raise RunError(f"--warmup: expected a share of the run below 1 or a number of steps, got {given:g}")
    if given >= steps:
        raise RunError(f"--warmup: must be less than the {steps} steps of the run, got {given:g}")
    return int(given) if given >= 1 else max(1, int(given * steps)) if given else 0


def _values(schedule: schedules.Schedule, at: Sequence[int]) -> list[float]:
    """The factors, which must be such that an optimizer takes them."""
    values: list[float] = []
    for t in at:
        try:
            values.append(schedule(t))
        except (ArithmeticError, ValueError):
            values.append(math.nan)
        if not 0 <= values[-1] < math.inf:
            what = f"is below 0 ({values[-1]:g})" if values[-1] < 0 else "is beyond the largest number"
            raise RunError(f"{schedule!r} {what} at step {t:,}, which no optimizer takes as a rate")
    return values


def _turns(values: Sequence[float]) -> list[int]:
    """Where a schedule stops or begins to rise, to fall or to stay: at peaks, valleys, and both sides of a jump."""
    least = 1e-13 * max(values)  # less is rounding
    ways = [(b - a > least) - (b - a < -least) for a, b in pairwise(values)]
    return [i + 1 for i, (before, after) in enumerate(pairwise(ways)) if before != after]


def _interesting(seen: Sequence[int], turns: Sequence[int], warmup: int) -> list[int]:
    """Which of the steps seen are in the table: equal parts, turns, and the one after the warmup; at most 20.

    Of many turns there are pairs that follow each other, or there might be peaks only.
    """
    last = len(seen) - 1
    even = {round(i * last / (_POINTS - 1)) for i in range(_POINTS)}
    if len(turns) > _TURNS:
        pairs = _TURNS // 2
        firsts = [2 * round(i * (len(turns) // 2 - 1) / (pairs - 1)) for i in range(pairs)]
        turns = [turns[k + d] for k in firsts for d in (0, 1)]
    return sorted(even | set(turns) | {min(i for i, t in enumerate(seen) if t >= min(warmup, seen[-1]))})


def set_options(texts: list[str]) -> dict[str, Any]:
    """['gamma=0.5,every=100'] as {'gamma': 0.5, 'every': 100}; what has no '=' belongs to the list before it."""
    found: dict[str, list] = {}
    for text in texts:
        last: list | None = None
        for piece in text.split(","):
            before, equals, value = piece.rpartition("=")
            key = before.strip().lower().replace("-", "_")
            value = value.strip(" []()")  # a list may stand in brackets
            if equals and key:
                if key in found:
                    raise RunError(f"--set: {key} was given twice")
                last = found[key] = []
            if last is None or not value or (equals and not key):
                raise RunError(f"--set: expected OPTION=VALUE such as gamma=0.5, got {text!r}")
            last.append(_value(value))
    for key, values in found.items():
        if key == "milestones" and values != [None] and not all(type(v) in (int, float) for v in values):
            raise RunError(f"--set: milestones must be numbers such as 300,600, got {','.join(map(str, values))}")
    # an option that takes a list takes one number as a list, too
    lists = {key for key, vs in found.items() if len(vs) > 1 or (key == "milestones" and vs != [None])}
    return {key: vs if key in lists else vs[0] for key, vs in found.items()}


def _value(text: str) -> Any:
    """'3' as 3, '0.5' as 0.5, 'true' as True, 'auto' as None, all else as it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "auto": None}.get(text.lower(), text)


def fitting(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options, refused unless the schedule has them and they are of the kind of their defaults."""
    known = schedules.options(name)
    for key, value in given.items():
        if key not in known:
            hint = f"; {_ELSEWHERE[key]} says that" if key in _ELSEWHERE else _meant(key, known)
            listed = ", ".join(known) or "none"
            raise RunError(f"schedule '{name}' has no option '{key}'{hint}; its options are: {listed}")
        if value is None or key == "milestones":
            continue
        kinds = (bool,) if isinstance(known[key], bool) else (str,) if isinstance(known[key], str) else (int, float)
        if type(value) not in kinds:
            what = {bool: "true or false", str: "a word"}.get(kinds[0], "a number")
            raise RunError(f"--set: {key} must be {what}, got {value!r}")
    return given
