"""Figures as Markdown: what is taken of many times, and how it is written."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """The median of many times, and their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)}-{figure(self.high)})"


def spread(times: Sequence[float]) -> Spread:
    """The median and the quartiles of the times of one round."""
    low, median, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return Spread(median, low, high)


def best(rounds: Iterable[Sequence[float]]) -> Spread:
    """The round with the smallest median: what else goes on in the machine can only add to a time."""
    return min(map(spread, rounds))


def figure(x: float | None) -> str:
    """Three digits that count: 0.0123, 1.23, 123, 1,230; nothing for None."""
    if x is None:
        return ""
    x = float(f"{x:.3g}")
    return f"{x:,.{max(0, 2 - math.floor(math.log10(abs(x)))) if x else 0}f}"


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean for ratios: that of 2 and 1/2 is 1."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def verdict(ratios: Sequence[float], rival: str) -> str:
    """All ratios in a sentence."""
    slower = sum(r < 1 for r in ratios)
    return (
        f"{rival}'s time over ours: geometric mean {geometric_mean(ratios):.2f}, smallest {min(ratios):.2f}; "
        f"{slower} of {len(ratios)} below 1."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [list(head), ["---"] * len(head)]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"table: expected {len(head)} cells ({', '.join(head)}), got {list(row)}")
        lines.append(list(row))
    # an empty cell is "|  |", and the rule has no blanks
    return ["|---" * len(head) + "|" if i == 1 else f"| {' | '.join(line)} |" for i, line in enumerate(lines)]
