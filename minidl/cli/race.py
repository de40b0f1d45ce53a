"""`minidl race`: update rules side by side on a function that can be seen as a whole."""

from __future__ import annotations

import argparse
import math
import os
import re
import tempfile
from textwrap import fill
from typing import Any

from tqdm import tqdm

from ..report.race import FUNCTIONS, RULES, USUAL, Run, Settings, race, standings
from ..report.race_plot import MOST, draw_race
from ..train import RunError
from .output import picture_path, reason, say
from .parser import add_command

_NOTES = """\
what became of each, in the last column:
  there, at (x, y)      the loss is at most the tolerance, to the end
  does not stay at      it was there, but is not at the end
  still moving          it is on its way: over the last tenth of the steps by more than 0.2 % of the picture
  still creeping        the same, but by less
  stuck at              it rests where there is no slope: at a saddle, or a minimum that is not the lowest
  jumps to and fro      it moves much and gets nowhere
  left, in and out      it ends outside the picture: for good, or not for the first time
  diverged              it went beyond a million
gradients: how many it took to get there, or in all
lbfgs takes several a step, since its line search decides the rate
"""


def add_race(commands: Any) -> None:
    """Enter the command."""
    rules = fill(", ".join(RULES), 95, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    functions = "\n".join(f"  {name:<11} {known.note}" for name, known in FUNCTIONS.items())
    parser = add_command(
        commands, "race", _race, "let update rules race down a function of two numbers",
        "Let update rules race down a function of two numbers, each at the rate that suits it best.",
        "The rate is searched for, over the same rates from 0.0001 to 100 for every rule: the one that reaches\n"
        "the tolerance, to stay below, in the fewest steps, else the one that ends lowest. Every minimum is 0.\n\n"
        f"functions:\n{functions}\n\n"
        f"rules, named as in minidl train:\n{rules}\n"
        "  (muon, which needs matrices, and switch, which needs epochs, cannot run here)\n\n"
        f"{_NOTES}\n"
        "examples:\n  minidl race --plot race.png\n  minidl race --function saddle --optimizers sgd,adam,lion\n"
        "  minidl race --optimizers descent --lr-factor 0.1,1,3 --plot rates.gif",
    )  # fmt: skip
    parser.add_argument(
        "--function", dest="chosen", choices=FUNCTIONS, default="rosenbrock", metavar="|".join(FUNCTIONS),
        help="what they run down (default: rosenbrock)",
    )  # fmt: skip
    parser.add_argument(
        "--optimizers", default=",".join(USUAL), metavar="NAMES", help="rules, or all (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="steps of each (default: 200)")
    parser.add_argument("--start", metavar="X,Y", help="where they begin (default: the function's)")
    parser._negative_number_matcher = re.compile(r"-[\d.]")  # so that -1,2 is a value, not an option
    parser.add_argument(
        "--lr-factor", default="1", metavar="F,...", help="run each rule at these multiples of its rate (default: 1)"
    )
    parser.add_argument("--noise", type=float, default=0.0, metavar="S",
        help="add normal noise of this deviation to every gradient (default: 0)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)")
    parser.add_argument("--tolerance", type=float, default=1e-4, metavar="T",
        help="a loss of at most this counts as there (default: 0.0001)")  # fmt: skip
    parser.add_argument("--plot", metavar="FILE", help=f"draw it, or the {MOST} best: a .png, or a .gif that moves")


def _race(arguments: argparse.Namespace, stop: Any) -> int:
    function = FUNCTIONS[arguments.chosen]
    rules, factors = _rules(arguments.optimizers), _numbers("lr-factor", arguments.lr_factor)
    start = function.start
    if arguments.start is not None:
        point = _numbers("start", arguments.start)
        if len(point) != 2 or max(map(abs, point)) > 100:
            raise RunError(f"--start: expected two numbers between -100 and 100 such as 1,2, got {arguments.start!r}")
        start = point[0], point[1]
    if any(f <= 0 for f in factors) or len(set(factors)) < len(factors):
        raise RunError(f"--lr-factor: expected different numbers above 0, got {arguments.lr_factor!r}")
    if not 1 <= arguments.steps <= 100_000:
        raise RunError(f"--steps: expected a whole number from 1 to 100000, got {arguments.steps}")
    if not 0 <= arguments.noise < 1e6:
        raise RunError(f"--noise: expected a number of at least 0 and below 1e6, got {arguments.noise}")
    if not 1e-12 <= arguments.tolerance < 1e6:
        raise RunError(f"--tolerance: expected a number of at least 1e-12 and below 1e6, got {arguments.tolerance}")
    if not 0 <= arguments.seed < 2**64:
        raise RunError(f"--seed: expected a whole number of at least 0 and below 2^64, got {arguments.seed}")
    path = None if arguments.plot is None else _writable(picture_path("plot", arguments.plot, (".png", ".gif")))
    settings = Settings(function, start, arguments.steps, arguments.noise, arguments.seed, arguments.tolerance)
    say(f"{arguments.chosen}  f = {function.formula}, from ({start[0]:g}, {start[1]:g})")
    with tqdm(total=len(rules), desc="searching for the best rates", unit="rule", leave=False, disable=None) as bar:
        runs = race(settings, rules, factors, between=bar.update)
    for line in _table(runs):
        say(line)
    if path is not None:
        noise = f", noise {arguments.noise:g}" if arguments.noise else ""
        count = f"{arguments.steps} step{'s' * (arguments.steps > 1)}"
        whose = "each at rates around its best" if len(factors) > 1 else "each at its best rate"
        best = standings(runs)[:MOST]
        shown = [run for run in runs if any(run is other for other in best)]  # in the order that was asked for
        draw_race(settings, shown, path, f"{arguments.chosen}: {count}, {whose}{noise}")
        some = f" and shows the {MOST} best, since more lines cannot be told apart" if len(runs) > MOST else ""
        say(f"the picture is in {path}{some}")
    return 0


def _table(runs: list[Run]) -> list[str]:
    """The runs, the best first: a head and a line for each."""
    rows = [("rule", "rate", "final loss", "distance", "steps", "gradients", "")]
    for r in standings(runs):
        steps = "-" if r.arrived is None else f"{r.arrived:,}"
        rows.append(
            (r.label, r.rate_told, f"{r.losses[-1]:.3g}", f"{r.distance:.3g}", steps, f"{r.gradients:,}", r.note)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    return [
        "  ".join([f"{row[0]:<{widths[0]}}", *[f"{row[i]:>{widths[i]}}" for i in range(1, 6)], row[6]]).rstrip()
        for row in rows
    ]


def _writable(path: str) -> str:
    """The path; refused before any work is done where no file can be made, whatever the reason."""
    folder, name = os.path.split(path)
    try:
        with tempfile.NamedTemporaryFile(dir=folder or ".", prefix=f".{name}.", suffix=".partial"):
            return path
    except OSError as error:
        raise RunError(f"--plot: {path}: {error.strerror or reason(error)}") from None


def _rules(text: str) -> list[str]:
    names = list(RULES) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in RULES:
            raise RunError(f"--optimizers: there is no {name!r}; there are {', '.join(RULES)}, or all")
    if len(set(names)) < len(names):
        raise RunError(f"--optimizers: a rule was given twice in {text!r}")
    return names


def _numbers(option: str, text: str) -> list[float]:
    try:
        values = [float(piece) for piece in text.split(",")]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise RunError(f"--{option}: expected numbers such as 0.5,1, got {text!r}")
    return values
