"""The page's parts on whole steps: training and inference, beside the rival and beside what the machine allows."""

from __future__ import annotations

from typing import Any

from .floors import Floor, floor, phrase
from .rounds import Settings, apart, run
from .tables import best, figure, table, verdict
from .workloads import CHECKED, WORKLOADS

ABOUT_STEPS = """
Milliseconds of one {what}, the median and in parentheses the quartiles of all that were timed in a process of its own;
of {rounds} the one with the smallest median, since what else goes on in the machine can only add to a time. Weights and
batches are the same for both. The models are those of `tests/benchmarks/workloads.py`.

Memory is the most that was resident at once beyond what was there after the import and with the data, in megabytes.
"""

ABOUT_FLOORS = """
The floor is the time that the machine needs for what a step cannot do without. Multiply-adds of matrix products are
counted from the shapes; backward has twice those of forward, without the gradient of the first layer's input. They are
divided by the rate of a float32 product of 1024 x 1024 matrices, here {flops} GFLOP/s. To this is added the time of
memory. The output of every layer counts as written once and read once, forward and (its gradient) backward; the batch
as read in both; a parameter as read in both, its gradient as written and read, and the update as reading and writing
the parameter and the optimizer's state. An array moves at the rate of copies of about its size, here {copies} GB/s.
What is not counted: exponentials and the like, and all that happens to an array between its reading and its writing.

The last column tells where a step of minidl spends its time, by op (`backward` is the op's vjps); outside of ops are
the engine, the modules and the program.
"""

REMARKS = """
A ratio above 1 means that minidl needs less time. Where it is behind, this is why. Convolutions:
PyTorch's kernels convolve without the columns that are copied here for each product, and small networks have too little
work in each for a second thread to pay, whose waking costs more on a virtual machine than it brings. LSTM: in every
step one product and exp and tanh wait for each other, and NumPy has one thread for the latter. Transformers: products
of this size are far from the machine's rate, and GELU, layer norm and the exponentials are several passes of one
thread.
"""

ABOUT_FLOORS_OF_INFERENCE = """
Counted as for training, forward alone; here with {flops} GFLOP/s and copies of {copies} GB/s.
"""


def measure(settings: Settings, names: list[str]) -> dict[str, dict[str, list[Any]]]:
    """The results of each round, by workload and framework."""
    return {name: settings.run("workloads", name, "--seconds", settings.seconds) for name in names}


def best_of(rounds: list[Any]):
    """The spread of the best round."""
    return best(result["times"] for result in rounds)


def comparison(settings: Settings, found: dict[str, dict[str, list[Any]]], what: str) -> list[str]:
    """The table of times and memory, and under it what the ratios come to."""
    rival, rows, ratios, most = settings.rival, [], [], 0.0
    for name, results in found.items():
        spreads = {f: best_of(rounds) for f, rounds in results.items()}
        grown = {f: max(r["growth"] for r in rounds) for f, rounds in results.items()}
        row = [name, str(spreads["minidl"])]
        if rival:
            ratios.append(spreads[rival].median / spreads["minidl"].median)
            row += [str(spreads[rival]), f"{ratios[-1]:.2f}"]
            for of_a_round in zip(*results.values(), strict=True):
                losses = {f: r["losses"] for f, r in zip(results, of_a_round, strict=True)}
                most = max(most, apart(name, losses))
        rows.append(row + [f"{grown[f]:.1f}" for f in settings.frameworks])
    head = ["workload", "minidl, ms"] + ([f"{rival}, ms", "ratio"] if rival else [])
    lines = table(head + [f"{f}, MB" for f in settings.frameworks], rows)
    if rival:
        steps = f"losses of the first {CHECKED} steps (without dropout)"
        same = f"sums of the first {CHECKED} outputs" if what == "forward pass" else steps
        said = f"The {same} agree to {most:.0e}, relatively."
        lines = [verdict(ratios, rival), "", *lines, "", said]
    return lines


def rates_of(settings: Settings) -> dict:
    """The best rates of the machine over the rounds."""
    found = [run("machine") for _ in range(settings.rounds)]
    sizes = found[0]["GB/s"]
    return {
        "GFLOP/s": max(r["GFLOP/s"] for r in found),
        "GB/s": {size: max(r["GB/s"][size] for r in found) for size in sizes},
    }


def distances(settings: Settings, found: dict[str, dict[str, list[Any]]], about: str) -> list[str]:
    """The table of floors: how far our time is from them, and where it goes."""
    rates, counts, rows = rates_of(settings), run("floors", *found), []
    for name, counted in counts.items():
        least: Floor = floor(counted["products"], counted["passes"], rates)
        moved = sum(size * often for size, often in counted["passes"])
        time = best_of(found[name]["minidl"]).median
        rows.append([
            name, figure(counted["products"] / 1e6), figure(moved / 1e6), figure(least.products),
            figure(least.memory), f"{time / sum(least):.1f}", phrase(counted["shares"]),
        ])  # fmt: skip
    copies = ", ".join(f"{figure(rate)} ({int(size) >> 20} MiB)" for size, rate in rates["GB/s"].items())
    said = settings.prose(about, flops=figure(rates["GFLOP/s"]), copies=copies)
    head = ["workload", "million multiply-adds", "MB moved", "products, ms", "memory, ms", "time / floor"]
    return [*said, "", *table([*head, "where the time goes"], rows)]


def part(settings: Settings, names: list[str], what: str, about: str) -> list[str]:
    """The lines about these workloads."""
    found = measure(settings, names)
    lines = [*settings.prose(ABOUT_STEPS, what=what), "", *comparison(settings, found, what)]
    if settings.rival and what == "step":
        lines += ["", *settings.prose(REMARKS)]
    return [*lines, "", "### What the machine allows", "", *distances(settings, found, about)]


def training(settings: Settings) -> list[str]:
    """Steps of training."""
    return part(settings, [name for name, w in WORKLOADS.items() if w.optimizer is not None], "step", ABOUT_FLOORS)


def inference(settings: Settings) -> list[str]:
    """Forward passes without gradients."""
    names = [name for name, w in WORKLOADS.items() if w.optimizer is None]
    return part(settings, names, "forward pass", ABOUT_FLOORS_OF_INFERENCE)
