"""Chains of small ops, forward and backward: `python -m tests.benchmarks.chains minidl SECONDS`.

It prints a JSON object: number of ops -> milliseconds, many times.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from .clock import framework, times

LENGTHS = [100, 1_000, 10_000]


def chain(T: Any, x: Any, n: int) -> None:
    """n ops on x (a multiple of four), and the gradient."""
    y = x
    for _ in range(n // 4):
        y = (-(y * 0.999 - x)).abs()  # neither grows much nor dies out
    y.backward(x.detach())


if __name__ == "__main__":
    T, seconds = framework(sys.argv[1]), float(sys.argv[2])
    T.manual_seed(0)
    x = T.randn(8, 8).requires_grad_()
    print(json.dumps({n: times(lambda n=n: chain(T, x, n), seconds) for n in LENGTHS}))
