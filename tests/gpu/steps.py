"""One workload on the GPU, with one framework, step by step or captured.

`python -m tests.gpu.steps minidl "LeNet-5, batch 64" captured` prints a JSON object: the first losses (without
dropout), and milliseconds of a step. The workloads are those of the benchmarks on the CPU. The GPU is waited for only
after every tenth step, as a program that logs now and then would do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from tests.benchmarks.clock import framework, times
from tests.benchmarks.workloads import CHECKED, WORKLOADS, batches, stepper

WAYS = ("eager", "captured")
TOGETHER = 10  # steps between two waits for the GPU


def captured_by_torch(T: Any, once: Callable, optimizer: Any, example: tuple) -> Callable:
    """PyTorch's own recipe: warm up on another stream, capture a whole step, copy each batch into its inputs."""
    for group in optimizer.param_groups if optimizer else ():
        if "capturable" in group:
            group["capturable"] = True
    x, t = (a.clone() for a in example)
    aside = T.cuda.Stream()
    aside.wait_stream(T.cuda.current_stream())
    saved = {k: v.clone() for k, v in _values(optimizer).items()}
    with T.cuda.stream(aside):
        for _ in range(3):
            once(x, t)
    T.cuda.current_stream().wait_stream(aside)
    graph = T.cuda.CUDAGraph()
    with T.cuda.graph(graph):
        y = once(x, t)
    _put_back(T, optimizer, saved)

    def run(new_x, new_t):
        x.copy_(new_x)
        t.copy_(new_t)
        graph.replay()
        return y

    return run


def _values(optimizer: Any) -> dict:
    groups = optimizer.param_groups if optimizer else ()
    return {(i, k): p.detach() for i, group in enumerate(groups) for k, p in enumerate(group["params"])}


def _put_back(T: Any, optimizer: Any, saved: dict) -> None:
    """The weights and the empty state of before the warm-up, in the memory that was captured."""
    with T.no_grad():
        for key, p in _values(optimizer).items():
            p.copy_(saved[key])
        for state in optimizer.state.values() if optimizer else ():
            for value in state.values():
                if isinstance(value, T.Tensor):
                    value.zero_()


def wrapped(T: Any, way: str, example: tuple) -> Callable | None:
    """What to do to a step, for `stepper`."""
    if way == "eager":
        return None
    if T.__name__ == "torch":
        return lambda once, optimizer: captured_by_torch(T, once, optimizer, example)
    return lambda once, optimizer: T.compile_step(once)


def measure(T: Any, name: str, way: str, seconds: float, device: str = "cuda") -> dict[str, Any]:
    """The losses of the first steps, milliseconds of a step, and the most memory that arrays took, in megabytes."""
    workload = WORKLOADS[name]
    data = [(T.tensor(x).to(device), T.tensor(t).to(device)) for x, t in batches(workload, workload.batch)]
    wrap = wrapped(T, way, data[0])
    check = stepper(T, workload, 0.0, data, device, wrap)
    losses = [check().item() for _ in range(CHECKED)]
    del check
    step = stepper(T, workload, 0.5, data, device, wrap)

    def several() -> None:
        for _ in range(TOGETHER):
            loss = step()
        loss.item()

    found = [ms / TOGETHER for ms in times(several, seconds)]
    return {"losses": losses, "times": found, "memory": T.cuda.max_memory_allocated() / 1e6}


def main() -> None:
    """Measure one workload with one framework in one way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("framework")
    parser.add_argument("name", choices=WORKLOADS)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    print(json.dumps(measure(framework(given.framework), given.name, given.way, given.seconds, given.device)))


if __name__ == "__main__":
    main()
