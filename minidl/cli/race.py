"""`minidl race`: update rules side by side on a function that can be seen as a whole."""

from __future__ import annotations

import argparse
import math
from typing import Any

from tqdm import tqdm

from ..report.race import FUNCTIONS, RULES, USUAL, Run, Settings, race
from ..report.race_plot import MOST, draw_race
from ..train import RunError
from .output import picture_path, say
from .parser import add_command


def add_race(commands: Any) -> None:
    """Enter the command."""
    functions = "\n".join(f"  {name:<11} {known.note}" for name, known in FUNCTIONS.items())
    parser = add_command(
        commands, "race", _race, "let update rules race down a function of two numbers",
        "Let update rules race down a function of two numbers, each at the rate that suits it best.",
        "The rate is searched for, over the same rates from 0.0001 to 100 for every rule: the one that reaches\n"
        "the tolerance, to stay below, in the fewest steps, else the one that ends lowest. Every minimum is 0.\n\n"
        f"functions:\n{functions}\n\n"
        f"rules:\n  {', '.join(list(RULES)[:12])},\n  {', '.join(list(RULES)[12:])}\n\n"
        "examples:\n  minidl race --plot race.png\n  minidl race --function saddle --optimizers sgd,adam,lion\n"
        "  minidl race --optimizers momentum --lr-factor 0.1,1,3 --plot rates.gif",
    )  # fmt: skip
    parser.add_argument(
        "--function", dest="chosen", choices=FUNCTIONS, default="rosenbrock", metavar="|".join(FUNCTIONS),
        help="what they run down (default: rosenbrock)",
    )  # fmt: skip
    parser.add_argument(
        "--optimizers", default=",".join(USUAL), metavar="NAMES", help="rules, or all (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="steps of each (default: 200)")
    parser.add_argument("--start", metavar="X,Y", help="where they begin; write --start=-1,2 (default: the function's)")
    parser.add_argument(
        "--lr-factor", default="1", metavar="F,...", help="run each rule at these multiples of its rate (default: 1)"
    )
    parser.add_argument("--noise", type=float, default=0.0, metavar="S",
        help="add normal noise of this deviation to every gradient (default: 0)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)")
    parser.add_argument("--tolerance", type=float, default=1e-4, metavar="T",
        help="a loss of at most this counts as there (default: 0.0001)")  # fmt: skip
    parser.add_argument("--plot", metavar="FILE", help="draw it: a .png, or a .gif that moves")


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
    path = None if arguments.plot is None else picture_path("plot", arguments.plot, (".png", ".gif"))
    if path is not None and len(rules) * len(factors) > MOST:
        raise RunError(f"--plot: {len(rules) * len(factors)} lines cannot be told apart; {MOST} at most")
    settings = Settings(function, start, arguments.steps, arguments.noise, arguments.seed, arguments.tolerance)
    say(f"{arguments.chosen}  f = {function.formula}, from ({start[0]:g}, {start[1]:g})")
    with tqdm(total=len(rules), unit="rule", leave=False, disable=None) as bar:
        runs = race(settings, rules, factors, between=bar.update)
    for line in _table(runs):
        say(line)
    if path is not None:
        noise = f", noise {arguments.noise:g}" if arguments.noise else ""
        count = f"{arguments.steps} step{'s' * (arguments.steps > 1)}"
        whose = "each at rates around its best" if len(factors) > 1 else "each at its best rate"
        draw_race(settings, runs, path, f"{arguments.chosen}: {count}, {whose}{noise}")
        say(f"the picture is in {path}")
    return 0


def _table(runs: list[Run]) -> list[str]:
    """The runs, the best first: a head and a line for each."""
    rows = [("rule", "rate", "final loss", "distance", "steps", "gradients", "")]
    for r in sorted(runs, key=lambda r: (math.inf if r.arrived is None else r.arrived, _end(r))):
        steps = "-" if r.arrived is None else f"{r.arrived:,}"
        rows.append(
            (r.label, f"{r.rate:.3g}", f"{r.losses[-1]:.3g}", f"{r.distance:.3g}", steps, f"{r.gradients:,}", r.note)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    return [
        "  ".join([f"{row[0]:<{widths[0]}}", *[f"{row[i]:>{widths[i]}}" for i in range(1, 6)], row[6]]).rstrip()
        for row in rows
    ]


def _end(run: Run) -> float:
    return float(run.losses[-1]) if math.isfinite(run.losses[-1]) and not run.diverged else math.inf


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
