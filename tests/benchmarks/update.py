"""Time of one update of every rule: one source, run with `T` as minidl or as PyTorch.

`python -m tests.benchmarks.update minidl` prints a JSON object: "rule, parameters" -> [microseconds, and for PyTorch
those of its `fused=True` or null]: the median of many updates, all gradients being there.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from .clock import framework, times

SIZES = {
    "the MLP's 235k": [(256, 784), (256,), (128, 256), (128,), (10, 128), (10,)],
    "62 small tensors": [(16, 16), (16,)] * 31,
    "5M in 4 matrices": [(1118, 1118)] * 4,
    "1118 x 1118": [(1118, 1118)],
}
SLOW = "1118 x 1118"  # the size for rules that work on whole matrices, and need seconds for the one above
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
    if kind is None or (rule == "Muon") != (shapes == SIZES[SLOW]):
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
    first = time.perf_counter() - begin
    if first > 2:  # then it has to do
        return first * 1e6
    return statistics.median(times(optimizer.step, budget, least=7)) * 1e3


def main() -> None:
    """Measure all rules and sizes with the framework named on the command line."""
    T, torch, found = framework(sys.argv[1]), sys.argv[1] == "torch", {}
    for size, shapes in SIZES.items():
        for rule, options in RULES.items():
            plain = measure(T, rule, options, shapes, 0.2)
            fused = measure(T, rule, {**options, "fused": True}, shapes, 0.2) if torch else None
            found[f"{rule}|{size}"] = [plain, fused]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
