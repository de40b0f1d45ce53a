"""`python -m tests.gpu [--against torch] [--only PART] [--write docs/performance.md]`: what needs a GPU.

The tests marked `cuda` (parity of ops, layers and rules with the CPU, captured steps against eager ones, waits,
memory), steps of the benchmarks' workloads beside the rival on the same GPU, and networks trained to an accuracy. With
`--write` the report becomes the section "On a GPU" of the page.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import minidl
from tests.benchmarks.rounds import ROOT, Failed, Settings, apart, run
from tests.benchmarks.tables import best, table

from .steps import WAYS

TITLE = "On a GPU"
WORKLOADS = [
    "MLP, batch 64, Adam", "LeNet-5, batch 64", "LeNet-5, batch 512", "VGG with batch norm, batch 128",
    "char-LSTM, batch 32", "mini-GPT, batch 16, AdamW",
]  # fmt: skip
NETWORKS = {
    "LeNet-5 on MNIST to 99 %": ("lenet5",),
    "ResNet-9 on CIFAR-10 to 94 %": ("resnet9",),
    "the same in half precision": ("resnet9", "--half"),
}


def machine(rival: str | None) -> str:
    """One line on the card and the versions."""
    card = minidl.cuda.get_device_properties()
    installed = (found.name for found in importlib.metadata.distributions())
    names = ["numpy", *(name for name in installed if re.match("cupy|nvidia-cudnn", name or ""))]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in [*names, *([rival] if rival else [])])
    size = f"{card.total_memory / 2**30:.0f} GiB"
    return f"{card.name}, compute capability {card.major}.{card.minor}, {size}; {versions}."


def tests(settings: Settings) -> list[str]:
    """What pytest says of the tests on the GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        print(done.stdout[-20_000:], file=sys.stderr)
    failed = [f"- `{line.removeprefix('FAILED ')}`" for line in lines if line.startswith(("FAILED", "ERROR"))]
    return [
        f"`pytest -m cuda`: {lines[-1].strip('= ') if lines else done.stderr[-500:]}.",
        *([""] if failed else []),
        *failed,
    ]


def steps(settings: Settings) -> list[str]:
    """Milliseconds of a step, eager and captured, of both frameworks."""
    rows, most = [], 0.0
    for name in WORKLOADS:
        row, medians, losses = [name], {}, {}
        for framework in settings.frameworks:
            for way in WAYS:
                try:
                    rounds = [
                        run("steps", framework, name, way, "--seconds", settings.seconds, package="tests.gpu")
                        for _ in range(settings.rounds)
                    ]
                except Failed as error:
                    print(error, file=sys.stderr)
                    row.append("failed")
                    continue
                spread = best(r["times"] for r in rounds)
                medians[framework, way], losses[f"{framework}, {way}"] = spread.median, rounds[0]["losses"]
                row.append(str(spread))
        if losses:
            most = max(most, apart(name, losses))
        ours = medians.get(("minidl", "captured"))
        for way in WAYS if settings.rival else ():
            theirs = medians.get((settings.rival or "", way))
            row.append(f"{theirs / ours:.2f}" if theirs and ours else "")
        rows.append(row)
    head = ["workload"] + [f"{f}, {way}" for f in settings.frameworks for way in WAYS]
    head += [f"{settings.rival}, {way} / ours, captured" for way in WAYS] if settings.rival else []
    text = "Milliseconds of a training step, the median and in parentheses the quartiles of the best of {rounds}."
    said = f"The losses of the first steps (without dropout) agree to {most:.0e}, relatively."
    return [*settings.prose(text), "", *table(head, rows), "", said]


def networks(settings: Settings) -> list[str]:
    """Seconds of training to an accuracy."""
    rows = []
    for name, arguments in NETWORKS.items():
        try:
            found = run("networks", *arguments, package="tests.gpu", timeout=580)
            epochs, reached = found["accuracy"], f"{100 * found['accuracy'][-1]:.2f} %"
            rows.append([name, f"{found['seconds']:.1f}", str(len(epochs)), reached])
        except Failed as error:
            print(error, file=sys.stderr)
            rows.append([name, "failed", "", ""])
    return table(["", "seconds of training", "epochs", "test accuracy"], rows)


PARTS: dict[str, Callable[[Settings], list[str]]] = {"tests": tests, "steps": steps, "networks": networks}


def with_section(page: str, text: str) -> str:
    """The page with this report as its section, in place of the one that is there or at the end."""
    begin, heading, rest = page.partition(f"\n## {TITLE}\n")
    after = rest[rest.index("\n## ") :] if heading and "\n## " in rest else ""
    return f"{begin.rstrip()}\n\n## {TITLE}\n\n{text.rstrip()}\n{after}"


def main() -> int:
    """Run the parts, print or write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--against", metavar="torch", help="the framework to measure beside minidl, if it is installed")
    parser.add_argument("--rounds", type=int, default=2, help="how often each step is measured (default 2)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a step is timed each time (default 2)")
    parser.add_argument("--only", choices=PARTS, help="a part of the report instead of all")
    parser.add_argument("--write", type=Path, help="put the report into this page instead of printing it")
    given = parser.parse_args()
    if not minidl.cuda.is_available():
        parser.error("no GPU that CuPy can use: minidl.tensor(0.0).to('cuda') says why")
    if given.against and importlib.util.find_spec(given.against) is None:
        parser.error(f"--against: {given.against} is not installed")
    settings = Settings(given.against, given.rounds, given.seconds)
    lines = [machine(given.against)]
    for name in [given.only] if given.only else PARTS:
        lines += ["", f"### {name.capitalize()}", "", *PARTS[name](settings)]
    text = "\n".join(lines)
    if given.write:
        given.write.write_text(with_section(given.write.read_text(), text))
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
