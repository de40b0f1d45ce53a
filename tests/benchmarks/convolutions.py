"""`python -m tests.benchmarks.convolutions`: every method of convolution on the layers of the benchmarks' models.

Milliseconds of this thread for each method that is fit for it, predicted by its cost and measured, and for the plain
definition; the method that is chosen is marked. Run with OMP_NUM_THREADS=1, which the predictions are for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from minidl.backend import DEFINITIONS
from minidl.backend.host import bands, columns, conv, winograd
from minidl.backend.host.window import Window, window

ALONE = 10**9  # images for which another thread would be begun
LAYERS = {  # batch, channels, pixels, kernels, their size, padding
    "LeNet-5, first": (64, 1, 28, 6, 5, 2),
    "LeNet-5, second": (64, 6, 14, 16, 5, 0),
    "conv 32-64, first": (64, 1, 28, 32, 3, 0),
    "conv 32-64, second": (64, 32, 26, 64, 3, 0),
    "VGG, 3 to 32": (128, 3, 32, 32, 3, 1),
    "VGG, 32 to 32": (128, 32, 32, 32, 3, 1),
    "VGG, 64 to 64": (128, 64, 16, 64, 3, 1),
    "VGG, 128 to 128": (128, 128, 8, 128, 3, 1),
}


def milliseconds(call: Callable[[], object], seconds: float = 0.5) -> float:
    """The fastest of as many calls as fit."""
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.thread_time()
        call()
        best = min(best, time.thread_time() - start)
    return best * 1e3


def rows(name: str, sizes: tuple[int, int, int, int, int, int]) -> list[str]:
    """The lines of one layer."""
    n, c, pixels, f, kernel, padding = sizes
    random = np.random.default_rng(0)
    x = random.random((n, c, pixels, pixels), dtype=np.float32)
    w = random.standard_normal((f, c, kernel, kernel), dtype=np.float32)
    how = {"stride": (1, 1), "padding": (padding,) * 2, "dilation": (1, 1), "groups": 1}
    size: Window = window(x.shape, w.shape, **how)
    g = random.random((n, f, *size.out), dtype=np.float32)
    turned = conv._turned(size)
    tiles = winograd.suits(size)
    kinds = {
        "forward": (
            lambda: DEFINITIONS["conv2d"](x, w, **how),
            conv.forward_method(size)[0],
            [(columns.forward, columns.forward_cost(size))]
            + ([(winograd.forward, winograd.forward_cost(size))] if tiles else []),
            (x, w, None),
        ),
        "input's gradient": (
            lambda: DEFINITIONS["conv2d_input_grad"](g, w, shape=x.shape, **how),
            conv.input_method(size)[0],
            [(columns.input_grad, columns.input_cost(size)), (bands.input_grad, bands.input_cost(size))]
            + (
                []
                if turned is None
                else [(conv._as_convolution, min(cost(turned) for cost in conv._forward_costs(turned, True).values()))]
            ),
            (g, w),
        ),
        "weights' gradient": (
            lambda: DEFINITIONS["conv2d_weight_grad"](g, x, shape=w.shape, **how),
            conv.weight_method(size)[0],
            [(columns.weight_grad, columns.weight_cost(size))]
            + ([(winograd.weight_grad, winograd.weight_cost(size))] if tiles else []),
            (g, x),
        ),
    }
    lines = []
    for kind, (definition, chosen, methods, given) in kinds.items():
        plain = milliseconds(definition)
        for method, cost in methods:
            predicted = cost * n / 1e6
            if method is not chosen and predicted > 10 * plain:  # not fit for it
                continue
            measured = milliseconds(lambda method=method, given=given: method(*given, size, ALONE))
            label = f"{method.__module__.rpartition('.')[2]}.{method.__name__}" + " (chosen)" * (method is chosen)
            figures = " | ".join([f"{value:.2f}" for value in (predicted, measured, plain, plain / measured)])
            lines.append(f"| {name} | {kind} | {label} | {figures} |")
    return lines


def main() -> None:
    """Print the table."""
    print("| layer | what | method | predicted | measured | definition | definition / measured |")
    print("|---|---|---|---|---|---|---|")
    for name, sizes in LAYERS.items():
        print(*rows(name, sizes), sep="\n", flush=True)


if __name__ == "__main__":
    main()
