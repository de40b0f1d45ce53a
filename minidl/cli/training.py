"""`minidl train`: its options, what it prints, and its exit codes."""

from __future__ import annotations

import argparse
import signal
from dataclasses import fields, replace
from typing import Any

from ..optim import schedules
from ..train import options as known
from ..train import run as runs
from ..train.budget import options_of
from ..train.options import Options, RunError
from ..train.rules import ADAM_RATES, RULES, SGD_RATES
from ..train.sets import DATASETS
from .output import nothing, say
from .parser import add_choice, add_command
from .schedule import add_set, fitting, set_options

_DESCRIPTION = "Train a small neural network and keep what came of it in a folder of its own."
_EPILOG = """\
A run leaves in its folder: config.json (every argument, versions, machine), log.csv (one line an epoch),
checkpoint.safetensors (model, optimizer and all that decides the next step), checkpoint.json (a readable
copy of it without the weights), curves.png, and of a finished run confusion.png and confusion.csv: which
class of the test data was taken for which. Ctrl-C ends a run after the current step and keeps all that;
a second Ctrl-C quits at once. The same seed gives the same weights, bit for bit.

Exit codes: 0 done, 1 the loss became infinite or nan, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.

examples:
  minidl train
        a small convolutional network on the 8x8 digits that are part of the package
  minidl train --dataset mnist --model lenet5 --epochs 10 --out runs/first-lenet
        LeNet-5 on MNIST; what is missing of the data is downloaded
  minidl train --dataset mnist --model mlp --minutes 1
        as well as it goes in one minute, whatever the machine
  minidl train --dataset cifar10 --model resnet8 --augment
        a residual network on small photographs, each step with images moved and mirrored at random
"""


def add_train(commands: Any) -> None:
    """Enter the command."""
    parser = add_command(commands, "train", _train, "train a model on a data set", _DESCRIPTION, _EPILOG)
    default = Options()
    epochs, sizes = (_by(table) for table in (known.EPOCHS, known.BATCH_SIZE))
    rates = "; ".join(f"{name} {_by(table)}" for name, table in (("sgd", SGD_RATES), ("adam", ADAM_RATES)))

    what = parser.add_argument_group("what is trained")
    add_choice(what, "dataset", DATASETS, default.dataset, "the data set")
    add_choice(
        what, "model", known.MODELS, default.model,
        "a perceptron, LeNet-5, a small CNN with batch norm, a residual network, or an LSTM that reads row by row",
    )  # fmt: skip
    what.add_argument(
        "--augment", action="store_true",
        help="change the training images at random: digits are turned a little and moved, others moved and mirrored",
    )  # fmt: skip
    what.add_argument(
        "--data-dir", metavar="DIR", help="where the data lie or are put (default: $MINIDL_DATA, else ~/.cache/minidl)"
    )

    how = parser.add_argument_group("how it is trained")
    add_choice(
        how, "optimizer", RULES, None,
        "the update rule; lookahead is around adam, ensemble is adam with sgd, switch adam until the training loss of "
        "an epoch is no lower than the best before, then sgd; descent is sgd without momentum; muon is for matrices, "
        "the rest adamw",
        "adam; resnet8 sgd",
    )  # fmt: skip
    how.add_argument(
        "--lr", type=float, metavar="RATE",
        help=f"the highest learning rate (default: {rates}; of other rules in proportion to these)",
    )  # fmt: skip
    how.add_argument(
        "--momentum", type=float, metavar="M", help=f"momentum, for rules that have one (default: {_momenta()})"
    )
    how.add_argument(
        "--cycle-momentum", action="store_true",
        help="with one-cycle: the momentum, or the first of the betas, from 0.95 down to 0.85 while the rate rises, "
        "and up again",
    )  # fmt: skip
    how.add_argument(
        "--weight-decay", type=float, metavar="W", help="weight decay (default: 0; adamw 0.01, sgd on resnet8 0.0002)"
    )
    add_choice(
        how, "schedule", known.SCHEDULES, None,
        "how the learning rate changes during the run; `minidl schedule NAME --plot` shows it",
        "one-cycle; resnet8 cosine, rprop and the schedule-free ones constant",
    )  # fmt: skip
    how.add_argument(
        "--warmup", type=float, metavar="W",
        help="rise to the highest rate first: a share of the run, below 1, or steps (default: 0; one-cycle 0.3, "
        "inverse-sqrt, noam and resnet8 0.05)",
    )  # fmt: skip
    add_set(
        how, "options of the schedule, such as gamma=0.5,every=100; `minidl schedule --list` shows them; under "
        f"--minutes a run has {known.PLAN:,} steps",
        dest="schedule_options",
    )  # fmt: skip
    how.add_argument(
        "--minutes", type=float, metavar="M",
        help="train for so many minutes instead of epochs: the schedule ends with them, fractions.csv keeps how",
    )  # fmt: skip
    how.add_argument(
        "--replay", metavar="RUN",
        help="repeat a run made with --minutes step by step, with its arguments; besides it only --out, --data-dir, "
        "--device and --threads may be given",
    )  # fmt: skip
    how.add_argument("--epochs", type=int, metavar="N", help=f"passes over the training data (default: {epochs})")
    how.add_argument("--batch-size", type=int, metavar="N", help=f"images a step (default: {sizes})")
    how.add_argument(
        "--seed", type=int, default=default.seed, metavar="N",
        help="seed of weights, order, dropout and augmentation (default: %(default)s)",
    )  # fmt: skip

    where = parser.add_argument_group("where")
    where.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: $MINIDL_DEVICE, else cpu)")
    where.add_argument(
        "--threads", type=int, metavar="N", help=f"threads of the matrix products (default: {known.THREADS})"
    )
    where.add_argument("--out", metavar="DIR", help="a new or empty folder for the run (default: runs/DATASET-MODEL-N)")
    where.add_argument("--quiet", action="store_true", help="print the last line and errors only")


def _by(table: dict) -> str:
    """{'a': 1, 'b': 2} as 'a 1, b 2'."""
    return ", ".join(f"{name} {value:g}" for name, value in table.items())


def _momenta() -> str:
    """The usual momentum, and that of rules which have another."""
    own = {name: rule.usual("momentum") for name, rule in RULES.items() if rule.has("momentum")}
    usual = own["sgd"]
    return f"{usual:g}; {_by({name: value for name, value in own.items() if value != usual})}"


def _chosen(chosen: dict[str, Any]) -> Options:
    """The options of a new run; those of its schedule come as words."""
    words = chosen.pop("schedule_options")
    options = Options(**chosen)
    if words is None:
        return options
    given, schedule = set_options(words), options.resolved().schedule
    return replace(options, schedule_options=fitting(schedule, given) if schedule in schedules.NAMES else given)


def _repetition(chosen: dict[str, Any]) -> Options:
    """The options of a run that is to be repeated."""
    default = Options()
    for name, value in chosen.items():
        if name not in ("replay", "out", "data_dir", "device", "threads") and value != getattr(default, name):
            option = {"schedule_options": "set"}.get(name, name.replace("_", "-"))
            raise ValueError(f"--replay: takes {name} from the run; leave --{option} out")
    others = {name: chosen[name] for name in ("out", "data_dir", "device", "threads")}
    return options_of(chosen["replay"], **others)


def _train(arguments: argparse.Namespace, stop: Any) -> int:
    """`minidl train`."""
    chosen = {f.name: getattr(arguments, f.name) for f in fields(Options)}
    try:
        options = _chosen(chosen) if arguments.replay is None else _repetition(chosen)
    except ValueError as error:
        raise RunError(str(error)) from None
    quiet = arguments.quiet
    outcome = runs.execute(options, nothing if quiet else say, progress=not quiet, stop=stop)
    if not quiet:
        say("")
    epochs, last = options.resolved().epochs, outcome.record
    if outcome.stopped:
        of = "" if epochs is None else f" of {epochs}"
        done = f"{last.epoch}{of} epochs were finished" if last else "no epoch was finished"
        say(f"stopped: {done}; the checkpoint of the last step is in {outcome.folder}")
        return 128 + (stop.number or signal.SIGINT)
    assert last is not None, "there is at least one epoch"
    plural = "" if last.epoch == 1 else "s"
    say(
        f"test accuracy {last.test_accuracy:.2%} after {last.epoch} epoch{plural} in {outcome.seconds:.1f} s; "
        f"the run is in {outcome.folder}"
    )
    return 0
