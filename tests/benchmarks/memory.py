"""Memory: what a forward keeps alive, and whether a thousand training steps leave anything behind.

`python -m tests.benchmarks.memory minidl` prints a JSON object with megabytes of resident memory (Linux).
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from .clock import framework


def resident() -> float:
    """Megabytes of this process that are in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak() -> float:
    """The most megabytes of this process that were in memory at once since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()  # getrusage would count the parent's in
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def forget_peak() -> bool:
    """Count the peak anew from here; False where the system does not let a process do so."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def after_forward(T, nn) -> float:
    """What a forward through 4 x (convolution, batch norm, ReLU) adds, with its result kept."""

    def net():
        layers = []
        for _ in range(4):
            layers += [nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
        return nn.Sequential(*layers)

    model, small, large = net(), T.randn(1, 16, 8, 8), T.randn(64, 16, 64, 64)
    model(small).sum().backward()  # whatever is made once is made now
    model(large).sum().backward()
    gc.collect()
    before = resident()
    y = model(large)
    gc.collect()
    grown = resident() - before
    assert y.requires_grad
    return grown


def over_steps(T, nn, steps: int = 1000) -> float:
    """How much more memory there is after a thousand training steps than after the first hundred."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1),
        nn.Linear(8 * 16, 10),
    )  # fmt: skip
    optimizer, loss = T.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x, t = T.randn(32, 1, 8, 8), T.randint(0, 10, (32,))
    before = 0.0
    for step in range(steps + 100):
        if step == 100:
            before = resident()
        optimizer.zero_grad()
        loss(model(x), t).backward()
        optimizer.step()
    return resident() - before


def main() -> None:
    """Measure with the framework named on the command line."""
    T = framework(sys.argv[1])
    print(json.dumps({"after forward": after_forward(T, T.nn), "growth over 1,000 steps": over_steps(T, T.nn)}))


if __name__ == "__main__":
    main()
