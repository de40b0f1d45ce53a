"""`python -m tests.benchmarks [--against torch] [--write docs/performance.md]`: all benchmarks, as one Markdown page.

Every figure is taken in processes of their own, the frameworks alternating, and the fastest of the rounds is printed:
what else goes on in the machine can only add to a time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path


def run(module: str, framework: str) -> dict:
    """The JSON that one benchmark prints for one framework, in a fresh process with two threads."""
    environment = dict(os.environ, OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2")
    if module == "memory":  # memory that is freed goes back to the system at once, so that it does not count
        environment |= dict(MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", framework]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def seconds_to_import(name: str) -> float:
    """Wall-clock seconds of `python -c "import name"`, less those of an empty program."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return min(once(f"import {name}") for _ in range(5)) - min(once("pass") for _ in range(5))


def machine() -> str:
    """One line on where the figures were taken."""
    import numpy

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return (
        f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, NumPy {numpy.__version__} "
        f"({blas['name']} {blas['version']}); 2 threads"
    )


def per_op(rival: str | None, rounds: int) -> list[str]:
    """A table of microseconds per op."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(run("per_op", "minidl"))
        if rival:
            theirs.append(run("per_op", rival))
    lines = ["| op (size) | forward | and backward |" + (f" {rival} forward | and backward | ratio |" if rival else "")]
    lines.append("|---|---|---|" + ("---|---|---|" if rival else ""))
    ratios = []
    for name in ours[0]:
        f, b = (min(r[name][i] for r in ours) for i in (0, 1))
        line = f"| {name} | {f:.1f} | {b:.1f} |"
        if rival:
            tf, tb = (min(r[name][i] for r in theirs) for i in (0, 1))
            ratios.append(tb / b)
            line += f" {tf:.1f} | {tb:.1f} | {tb / b:.2f} |"
        lines.append(line)
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        slower = sum(r < 1 for r in ratios)
        lines.insert(0, f"{rival}'s time over ours, forward and backward: geometric mean {mean:.2f}, "
                     f"smallest {min(ratios):.2f}; {slower} of {len(ratios)} below 1.\n")  # fmt: skip
    return lines


def updates(rival: str | None, rounds: int) -> list[str]:
    """A table of milliseconds per update of the optimizers, the smallest median of the rounds."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(run("update", "minidl"))
        if rival:
            theirs.append(run("update", rival))

    def best(results: list[dict], name: str, i: int) -> float | None:
        found = [r[name][i] for r in results if r[name][i] is not None]
        return min(found) / 1e3 if found else None

    def shown(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    lines = ["| rule | parameters | minidl |" + (f" {rival} | ratio | fused | ratio |" if rival else "")]
    lines.append("|---|---|---|" + ("---|---|---|---|" if rival else ""))
    for name in ours[0]:
        rule, size = name.split("|")
        own = best(ours, name, 0)
        if own is None:
            continue
        line = f"| {rule} | {size} | {own:.3f} |"
        for i in (0, 1) if rival else ():
            time = best(theirs, name, i)
            line += f" {shown(time, 3)} | {shown(time and time / own, 2)} |"
        lines.append(line)
    return lines


REMARKS = """
A ratio above 1 means that minidl needs less time. Most of the time of a small op is not arithmetic but what surrounds
it, and there minidl is ahead. Where a matrix product decides, the two are about equal. It is behind where PyTorch has
one fused kernel and NumPy needs several passes over the array, each with an overhead per row (softmax, its logarithm,
cross-entropy, pooling, batch norm), and where a result is many pieces (split) or many rows meet (indexing).
"""


ABOUT = """
PyTorch's fused forms do a whole rule in one pass over memory. A rule in NumPy is several passes over a slice that stays
in the cache, so that it is behind them where there is much arithmetic, and ahead where there are many small tensors.
Plain SGD on millions of numbers is nothing but memory: two passes there against PyTorch's one. Muon is in PyTorch in
bfloat16, which this processor has no fast product for.
"""


def costs(rival: str | None) -> list[str]:
    """The time of an import, and memory."""
    numpy, minidl = seconds_to_import("numpy"), seconds_to_import("minidl")
    text = ["## Import", "", f"`import minidl` takes {minidl:.2f} s, of which `import numpy` {numpy:.2f} s."]
    if rival:
        text[-1] += f" `import {rival}` takes {seconds_to_import(rival):.2f} s."
    text += ["", "## Memory", "", "Megabytes of resident memory."]
    text += ["", "| | minidl |" + (f" {rival} |" if rival else ""), "|---|---|" + ("---|" if rival else "")]
    ours, theirs = run("memory", "minidl"), run("memory", rival) if rival else {}
    for name, value in ours.items():
        text.append(f"| {name} | {value:.1f} |" + (f" {theirs[name]:.1f} |" if rival else ""))
    return text


def ops(rival: str | None, rounds: int) -> list[str]:
    """The time of every op."""
    what = f"Microseconds through the public face, random inputs of n x n elements; the fastest of {rounds} rounds."
    return ["## Time per op", "", what, "", *per_op(rival, rounds), *(REMARKS.splitlines() if rival else [])]


def steps(rival: str | None, rounds: int) -> list[str]:
    """The time of an update by every rule."""
    what = (
        "Milliseconds of one `optimizer.step()` with float32 parameters, all gradients being there: the median of many"
    )
    more = f"updates, and of {rounds} round{'s' * (rounds > 1)} the fastest. A ratio above 1: minidl needs less time."
    return ["## Time per update", "", what, more, "", *updates(rival, rounds), *(ABOUT.splitlines() if rival else [])]


def page(rival: str | None, rounds: int, only: str | None) -> str:
    """The whole page, or one part of it."""
    parts = {"costs": lambda: costs(rival), "ops": lambda: ops(rival, rounds), "updates": lambda: steps(rival, rounds)}
    if only is not None:
        return "\n".join([machine() + ".", "", *parts[only]()]) + "\n"
    command = "python -m tests.benchmarks" + (f" --against {rival}" if rival else "")
    text = ["# Performance", "", machine() + ".", "", f"Made by `{command}`."]
    for part in parts.values():
        text += ["", *part()]
    return "\n".join(text) + "\n"


def main() -> None:
    """Parse the command line, measure, print or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--against", metavar="torch", help="the framework to measure beside minidl, if it is installed")
    parser.add_argument("--rounds", type=int, default=3, help="how often each framework is measured (default 3)")
    parser.add_argument("--only", choices=["costs", "ops", "updates"], help="a part of the page instead of all")
    parser.add_argument("--write", type=Path, help="write the page to this file instead of printing it")
    arguments = parser.parse_args()
    text = page(arguments.against, arguments.rounds, arguments.only)
    if arguments.write:
        arguments.write.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
