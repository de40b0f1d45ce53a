"""What a step cannot do without: its multiply-adds and the bytes it moves, counted from shapes; and where ours goes.

`python -m tests.benchmarks.floors NAME ...` prints a JSON object: workload -> multiply-adds, the arrays as pairs of
(bytes, how often they go through the processor), and the shares of a step of minidl by op.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .clock import framework, times
from .workloads import WORKLOADS, Workload, batches, build, stepper

SHOWN = 4  # parts of a step that are named
VIEWS = ("Flatten", "Identity")  # layers whose output is no array of their own


# ------------------------------------------------------------------------------------------------------ the count
class Count:
    """Multiply-adds of a step, and how often arrays of how many bytes are read or written."""

    def __init__(self) -> None:
        self.products = 0
        self.passes: Counter[int] = Counter()

    def layer(self, module, inputs, output) -> None:
        """Count one call of a layer; a hook."""
        x, y = inputs[0], output[0] if isinstance(output, tuple) else output
        kind, trained = type(module).__name__, y.requires_grad
        size = _bytes(y)
        if kind in ("Linear", "Conv2d"):
            self._product(math.prod(y.shape) * math.prod(module.weight.shape[1:]), trained, x.requires_grad)
        elif kind in ("LSTM", "GRU"):
            rows = module.weight_hh_l0.shape[0]
            matrices = math.prod(module.weight_ih_l0.shape) + math.prod(module.weight_hh_l0.shape)
            self._product(math.prod(x.shape[:-1]) * matrices, trained, x.requires_grad)
            size += math.prod(x.shape[:-1]) * rows * y.element_size()  # the gates
        if kind not in VIEWS:
            self.passes[size] += 4 if trained else 2

    def attention(self, q, k, v, is_causal: bool, trained: bool) -> None:
        """Count the two products of attention; a causal one needs the lower half of the scores."""
        *batch, t, _ = q.shape
        scores = math.prod(batch) * (t * (t + 1) // 2 if is_causal else t * k.shape[-2])
        self._product(scores * (q.shape[-1] + v.shape[-1]), trained, trained)

    def _product(self, forward: int, trained: bool, passed_on: bool) -> None:
        self.products += forward * (1 + trained * (1 + passed_on))


def _bytes(x) -> int:
    return math.prod(x.shape) * x.element_size()


def count(T: Any, workload: Workload, size: int | None = None) -> Count:
    """What one step of a workload costs at least."""
    [(x, _)] = batches(workload, size or workload.batch, 1)
    x, F, found = T.tensor(x), T.nn.functional, Count()
    model, optimizer = build(T, workload, 0.5)
    for module in model.modules():
        if next(module.children(), None) is None:
            module.register_forward_hook(found.layer)
    attend = F.scaled_dot_product_attention

    def counted(q, k, v, *rest, is_causal=False, **options):
        found.attention(q, k, v, is_causal, q.requires_grad)
        return attend(q, k, v, *rest, is_causal=is_causal, **options)

    F.scaled_dot_product_attention = counted
    try:
        with T.no_grad() if optimizer is None else contextlib.nullcontext():
            y = model(x)
    finally:
        F.scaled_dot_product_attention = attend
    found.passes[_bytes(x)] += 1 if optimizer is None else 2
    for p in model.parameters():
        found.passes[_bytes(p)] += 1 if optimizer is None else 6
    if optimizer is not None:
        y.sum().backward()
        optimizer.step()
        for state in optimizer.state_dict()["state"].values():
            for s in state.values():
                if getattr(s, "ndim", 0):
                    found.passes[_bytes(s)] += 2
    return found


class Floor(NamedTuple):
    """Milliseconds of the products and of the memory of a step."""

    products: float
    memory: float


def floor(products: int, passes: list[tuple[int, int]], rates: dict) -> Floor:
    """What a machine of these rates needs; an array is moved at the rate of the copies nearest to it in size."""
    moved = 0.0
    for size, often in passes:
        nearest = min(rates["GB/s"], key=lambda copied: abs(math.log(int(copied) / max(1, size))))
        moved += size * often / rates["GB/s"][nearest] / 1e6
    return Floor(2 * products / rates["GFLOP/s"] / 1e6, moved)


# ------------------------------------------------------------------------------------------------------ the shares
class Meter:
    """Seconds of functions by name, each without those of the others that it calls."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def metered(self, name: str, function: Callable) -> Callable:
        """The function, whose time is counted."""

        def call(*inputs, **options):
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*inputs, **options)
            finally:
                took = time.perf_counter() - start
                self.seconds[name] += took - self._inner.pop()
                self._inner[-1] += took

        return call

    def op(self, name: str, body: Callable) -> Callable:
        """The body of an op: its forward and its vjps."""
        forward, back = self.metered(name, body), f"{name} backward"

        def call(*inputs, **static):
            y, vjps = forward(*inputs, **static)
            if isinstance(vjps, tuple):
                return y, tuple([f and self.metered(back, f) for f in vjps])
            return y, vjps and self.metered(back, vjps)

        return call


@contextlib.contextmanager
def metered_ops(T: Any, meter: Meter) -> Iterator[None]:
    """All ops are metered within the block."""
    ops = T.ops.OPS
    bodies = {name: op.body for name, op in ops.items()}
    try:
        for name, body in bodies.items():
            ops[name].body = meter.op(name, body)
        yield
    finally:
        for name, body in bodies.items():
            ops[name].body = body


def shares(T: Any, workload: Workload, seconds: float = 0.5, size: int | None = None) -> dict[str, float]:
    """Share of a step of minidl -> by op, by the optimizer's update, and outside of both; the largest first."""
    meter = Meter()

    def metered(T, params):
        assert workload.optimizer is not None
        optimizer = workload.optimizer(T, params)
        optimizer.step = meter.metered("the update", optimizer.step)
        return optimizer

    data = [(T.tensor(x), T.tensor(t)) for x, t in batches(workload, size or workload.batch)]
    step = stepper(T, workload._replace(optimizer=workload.optimizer and metered), 0.5, data)
    with metered_ops(T, meter):
        times(step, 0, least=1)
        meter.seconds.clear()
        total = sum(times(step, seconds, warm=0)) / 1e3
    found = {name: took / total for name, took in meter.seconds.items()}
    found["outside of ops"] = 1 - sum(found.values())
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def phrase(parts: dict[str, float]) -> str:
    """The largest shares in words."""
    return ", ".join(f"{name} {share:.0%}" for name, share in list(parts.items())[:SHOWN])


def main() -> None:
    """Count the workloads named on the command line."""
    T, found = framework("minidl"), {}
    for name in sys.argv[1:]:
        counted = count(T, WORKLOADS[name])
        found[name] = {
            "products": counted.products,
            "passes": list(counted.passes.items()),
            "shares": shares(T, WORKLOADS[name]),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
