"""Time of one update of every rule: one source, run with `T` as minidl or as PyTorch.

`python -m tests.benchmarks.update minidl` prints a JSON object: "rule, parameters" -> [microseconds, and for PyTorch
those of its `fused=True` or null]: the median of many updates, all gradients being there.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time

SIZES = {
    "the MLP's 235k": [(256, 784), (256,), (128, 256), (128,), (10, 128), (10,)],
    "62 small tensors": [(16, 16), (16,)] * 31,
    "5M in 4 matrices": [(1118, 1118)] * 4,
}
RULES = {
    "SGD": {},
    "SGD momentum": dict(momentum=0.9),
    "SGD nesterov": dict(momentum=0.9, nesterov=True),
    "Adagrad": {},
    "RMSprop": {},
    "RMSprop centered momentum": dict(centered=True, momentum=0.9),
    "Adadelta": {},
    "Adafactor": {},
    "Adam": {},
    "Adam amsgrad": dict(amsgrad=True),
    "AdamW": {},
    "NAdam": {},
    "RAdam": {},
    "Adamax": {},
    "Rprop": {},
    "ASGD": {},
    "Muon": {},
    "Lion": {},
    "LAMB": {},
    "LARS": {},
    "AdaBound": {},
    "AdamWScheduleFree": {},
}


def measure(T, rule: str, options: dict, shapes: list, budget: float) -> float | None:
    """Median microseconds of an update; None where there is no such rule or option."""
    kind = getattr(T.optim, rule.split()[0], None)
    if kind is None or (rule == "Muon" and any(len(shape) != 2 for shape in shapes)):
        return None
    T.manual_seed(0)
    params = [T.nn.Parameter(T.randn(*shape)) for shape in shapes]
    try:
        optimizer = kind(params, lr=1e-4, **options)
        for p in params:
            p.grad = T.randn(*p.shape) * 1e-2
        begin = time.perf_counter()
        optimizer.step()
    except (RuntimeError, TypeError):  # no fused form of this rule
        return None
    slow = time.perf_counter() - begin > 0.5  # then three updates have to do
    for _ in range(0 if slow else 3):
        optimizer.step()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < (3 if slow else 7) or time.perf_counter() - begin < budget:
        start = time.perf_counter()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def main() -> None:
    """Measure all rules and sizes with the framework named on the command line."""
    T = importlib.import_module(sys.argv[1])
    torch = sys.argv[1] == "torch"
    if torch:
        T.set_num_threads(2)
    found = {}
    for size, shapes in SIZES.items():
        for rule, options in RULES.items():
            plain = measure(T, rule, options, shapes, 0.2)
            fused = measure(T, rule, {**options, "fused": True}, shapes, 0.2) if torch else None
            found[f"{rule}|{size}"] = [plain, fused]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
