"""How times are taken in the process that is measured: the same for every benchmark and both frameworks."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

THREADS = 2


def framework(name: str) -> Any:
    """The module `minidl` or `torch` with the parts that the benchmarks use."""
    T = importlib.import_module(name)
    for part in ("nn.functional", "optim", "utils.data"):
        importlib.import_module(f"{name}.{part}")
    if name == "torch":  # minidl and NumPy are told by the environment
        T.set_num_threads(THREADS)
    return T


def times(
    run: Callable[[], object],
    seconds: float,
    prepare: Callable[[], object] | None = None,
    least: int = 5,
    warm: int = 3,
    calls: int = 1,
) -> list[float]:
    """Milliseconds of a call of `run`, many times: at least `least` and until `seconds` are over.

    prepare: what goes before each and is not timed. warm: how many go before and do not count. calls: how many calls
    one time is the mean of, for what is too short for the clock.
    """
    found: list[float] = []
    begin = end = time.perf_counter()
    while len(found) < warm + least or end - begin < seconds:
        if prepare is not None:
            prepare()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        end = time.perf_counter()
        found.append((end - start) * 1e3 / calls)
        if len(found) == warm:
            begin = end
    return found[warm:]
