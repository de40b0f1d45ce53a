"""Time of an update of a large table of which a step touches few rows, and of an embedding's backward.

`python -m tests.benchmarks.sparse minidl` (or `torch`) prints a JSON object: name -> milliseconds, the median of many.
"""

from __future__ import annotations

import json
import statistics
import sys

from .clock import framework, times

ROWS, WIDTH, TOUCHED = 1_000_000, 64, 1000
RULES = {"SGD": dict(lr=0.1), "Adagrad": dict(lr=0.1), "SparseAdam": dict(lr=0.001), "Adam": dict(lr=0.001)}
LOOKS = {"vocabulary 65, 128 wide, 32 x 64": (65, 128, (32, 64)), "10000 x 128, 4096": (10_000, 128, (4096,))}


def update(T, rule: str, sparse: bool) -> float:
    """One step of the rule."""
    table = T.nn.Embedding(ROWS, WIDTH, sparse=sparse)
    optimizer = getattr(T.optim, rule)(table.parameters(), **RULES[rule])
    ids = T.randint(0, ROWS, (TOUCHED,))

    def backward():
        optimizer.zero_grad()
        table(ids).sum().backward()

    return statistics.median(times(optimizer.step, 1.0, backward))


def look(T, size: int, width: int, shape: tuple, sparse: bool) -> float:
    """Forward and backward of an embedding."""
    table, ids = T.nn.Embedding(size, width, sparse=sparse), T.randint(0, size, shape)

    def run():
        table.weight.grad = None
        table(ids).sum().backward()

    return statistics.median(times(run, 1.0))


def main() -> None:
    """Measure with the framework named on the command line."""
    T = framework(sys.argv[1])
    T.manual_seed(0)
    found = {}
    for rule, sparse in [("SGD", True), ("SGD", False), ("Adagrad", True), ("Adagrad", False), ("SparseAdam", True),
                         ("Adam", False)]:  # fmt: skip
        found[f"{rule}, {'sparse' if sparse else 'dense'}"] = update(T, rule, sparse)
    for name, (size, width, shape) in LOOKS.items():
        for sparse in (True, False):
            found[f"{name}, {'sparse' if sparse else 'dense'}"] = look(T, size, width, shape, sparse)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
