"""How the benchmarks are run: every figure in a fresh process, the frameworks alternating, round after round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

from .clock import THREADS

ROOT = Path(__file__).parents[2]  # where `tests` lies
TOLERANCE = 1e-4  # of losses, relative


class Failed(Exception):
    """A benchmark that did not give figures, or did not do the same work in both frameworks."""


class Settings(NamedTuple):
    """rival: the framework beside minidl, or None. rounds: how often. seconds: how long a time is taken each time."""

    rival: str | None
    rounds: int
    seconds: float

    @property
    def frameworks(self) -> list[str]:
        """Those to measure, ours first."""
        return ["minidl", *([self.rival] if self.rival else [])]

    def prose(self, text: str, **more: object) -> list[str]:
        """The lines of paragraphs in which `{rounds}`, `{rival}` and what else is given are filled in."""
        rounds = "one round" if self.rounds == 1 else f"{self.rounds} rounds"
        lines: list[str] = []
        for paragraph in text.strip().format(rounds=rounds, rival=self.rival, **more).split("\n\n"):
            filled = textwrap.wrap(paragraph, 120, break_long_words=False, break_on_hyphens=False)
            lines += ["", *filled] if lines else filled
        return lines

    def run(self, module: str, *arguments: object, timeout: float = 300) -> dict[str, list[Any]]:
        """What a benchmark printed in each round, by framework."""
        found: dict[str, list[Any]] = {name: [] for name in self.frameworks}
        for _ in range(self.rounds):
            for name in self.frameworks:
                found[name].append(run(module, name, *arguments, timeout=timeout))
        return found


def run(
    module: str, *arguments: object, timeout: float = 300, package: str = "tests.benchmarks", **environment: str
) -> Any:
    """The JSON that one benchmark prints, in a fresh process with two threads."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(THREADS)
    command = [sys.executable, "-m", f"{package}.{module}", *map(str, arguments)]
    what = " ".join(command[1:])
    print(what, file=sys.stderr)
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment},
                              timeout=timeout)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = error.stderr.decode(errors="replace") if error.stderr else ""
        raise Failed(f"{what}: not done after {timeout:.0f} s\n{said}") from None
    if done.returncode:
        raise Failed(f"{what}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def apart(what: str, found: dict[str, list[float]], tolerance: float = TOLERANCE) -> float:
    """The largest relative difference between the losses of the frameworks; Failed where they did not do the same."""
    (ours_name, ours), *others = found.items()
    most = 0.0
    for name, theirs in others:
        if len(ours) != len(theirs):
            raise Failed(f"{what}: {len(ours)} losses of {ours_name} and {len(theirs)} of {name}")
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            difference = 0.0 if a == b else abs(a - b) / max(abs(a), abs(b))
            if not difference <= tolerance:  # also where one is no number
                raise Failed(f"{what}: the loss of step {i + 1} is {a!r} in {ours_name} and {b!r} in {name}")
            most = max(most, difference)
    return most
