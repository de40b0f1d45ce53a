"""The machine: what it is, and how fast it multiplies and copies.

`python -m tests.benchmarks.machine` prints a JSON object: GFLOP/s of a product of matrices, and GB/s of a copy (what is
read and what is written, both) by the size of the array in bytes; all on two threads.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import threading
from pathlib import Path

import numpy as np

from .clock import THREADS, times

SIDE = 1024  # of the square matrices
SIZES = [2**20, 2**22, 2**24, 2**26]  # bytes that are copied


def description(rival: str | None) -> str:
    """One line on where the figures were taken."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    other = f", {rival} {importlib.metadata.version(rival)}" if rival else ""
    return (
        f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, NumPy {np.__version__} "
        f"({blas['name']} {blas['version']}){other}; {THREADS} threads."
    )


def products(seconds: float = 0.5) -> float:
    """GFLOP/s of float32 products of square matrices."""
    a, b = np.ones((2, SIDE, SIDE), dtype=np.float32)
    y = np.empty_like(a)
    return 2 * SIDE**3 / min(times(lambda: np.matmul(a, b, out=y), seconds)) / 1e6


def copies(size: int, seconds: float = 0.3) -> float:
    """GB/s that go through the processor when arrays of so many bytes are copied, each thread its part."""
    part, calls = size // THREADS, max(1, 2**24 // size)
    arrays = [(np.ones(part, dtype=np.uint8), np.ones(part, dtype=np.uint8)) for _ in range(THREADS)]

    def copy(x: np.ndarray, y: np.ndarray) -> None:
        for _ in range(calls):
            np.copyto(y, x)

    def all_parts() -> None:
        threads = [threading.Thread(target=copy, args=pair) for pair in arrays[1:]]
        for thread in threads:
            thread.start()
        copy(*arrays[0])
        for thread in threads:
            thread.join()

    return 2 * size * calls / min(times(all_parts, seconds)) / 1e6


if __name__ == "__main__":
    print(json.dumps({"GFLOP/s": products(), "GB/s": {size: copies(size) for size in SIZES}}))
