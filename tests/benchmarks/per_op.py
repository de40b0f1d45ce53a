"""Time per op through the public face, forward and backward: one source, run with `T` as minidl or as PyTorch.

`python -m tests.benchmarks.per_op minidl` prints a JSON object: case -> microseconds (the fastest of several repeats).
"""

from __future__ import annotations

import json
import sys

from .clock import framework, times


def cases(T):
    """Name -> a function that runs the forward and returns a tensor, over small and medium sizes."""
    T.manual_seed(0)
    F, found = T.nn.functional, {}
    for n in (16, 128):
        a, b = (T.randn(n, n, requires_grad=True) for _ in range(2))
        row = T.randn(n, requires_grad=True)
        positive = (T.rand(n, n) + 0.5).requires_grad_()
        index = T.randint(0, n, (n,))
        target = T.randint(0, n, (n,))
        mask = T.rand(n, n) > 0.5
        images = T.randn(4, 8, n // 8 + 4, n // 8 + 4, requires_grad=True)
        kernel = T.randn(8, 8, 3, 3, requires_grad=True)
        gamma, beta = T.ones(8, requires_grad=True), T.zeros(8, requires_grad=True)
        sequence, lstm, gru = T.randn(16, 8, n), T.nn.LSTM(n, n), T.nn.GRU(n, n)
        batch = {
            "add": lambda a=a, b=b: a + b,
            "add row": lambda a=a, row=row: a + row,
            "add scalar": lambda a=a: a + 1.5,
            "sub": lambda a=a, b=b: a - b,
            "mul": lambda a=a, b=b: a * b,
            "div": lambda a=a, b=positive: a / b,
            "neg": lambda a=a: -a,
            "pow 2": lambda a=a: a**2,
            "pow 3.5": lambda a=positive: a**3.5,
            "abs": lambda a=a: a.abs(),
            "clamp": lambda a=a: a.clamp(-1, 1),
            "maximum": lambda a=a, b=b: T.maximum(a, b),
            "exp": lambda a=a: a.exp(),
            "log": lambda a=positive: a.log(),
            "sqrt": lambda a=positive: a.sqrt(),
            "tanh": lambda a=a: a.tanh(),
            "sigmoid": lambda a=a: a.sigmoid(),
            "relu": lambda a=a: a.relu(),
            "where": lambda a=a, b=b, mask=mask: T.where(mask, a, b),
            "sum": lambda a=a: a.sum(),
            "sum 1": lambda a=a: a.sum(1),
            "mean": lambda a=a: a.mean(),
            "var 0": lambda a=a: a.var(0),
            "max 1": lambda a=a: a.max(1).values,
            "amax": lambda a=a: a.amax(1),
            "logsumexp": lambda a=a: a.logsumexp(1),
            "softmax": lambda a=a: a.softmax(1),
            "log_softmax": lambda a=a: a.log_softmax(1),
            "reshape": lambda a=a: a.reshape(-1),
            "transpose": lambda a=a: a.t(),
            "permute": lambda a=images: a.permute(0, 2, 3, 1),
            "expand": lambda a=row, n=n: a.expand(n, n),
            "cat": lambda a=a, b=b: T.cat([a, b], 1),
            "stack": lambda a=a, b=b: T.stack([a, b]),
            "split": lambda a=a: a.split(8, 1)[0],
            "flip": lambda a=a: a.flip(0),
            "pad": lambda a=a: F.pad(a, (1, 1)),
            "getitem slice": lambda a=a: a[2:-2],
            "getitem rows": lambda a=a, index=index: a[index],
            "matmul": lambda a=a, b=b: a @ b,
            "linear": lambda a=a, b=b, row=row: F.linear(a, b, row),
            "conv2d": lambda a=images, w=kernel, b=beta: F.conv2d(a, w, b, padding=1),
            "max_pool2d": lambda a=images: F.max_pool2d(a, 2),
            "avg_pool2d": lambda a=images: F.avg_pool2d(a, 2),
            "batch_norm": lambda a=images, g=gamma, b=beta: F.batch_norm(a, None, None, g, b, True),
            "dropout": lambda a=a: F.dropout(a, 0.5),
            "cross_entropy": lambda a=a, t=target: F.cross_entropy(a, t),
            "mse_loss": lambda a=a, b=b: F.mse_loss(a, b),
            "embedding": lambda index=index, a=a: F.embedding(index, a),
            "lstm": lambda x=sequence, layer=lstm: layer(x)[0],
            "gru": lambda x=sequence, layer=gru: layer(x)[0],
        }
        found.update({f"{name} ({n})": run for name, run in batch.items()})
    return found


def measure(T, run, budget: float = 0.06) -> tuple[float, float]:
    """Microseconds of the forward alone and of forward and backward: the fastest of several repeats."""
    y = run()
    seed = T.ones_like(y)

    def both():
        run().backward(seed)

    best = []
    for call in (run, both):
        fast = len(times(call, budget / 6, least=1, warm=1))  # in a sixth of the time
        best.append(min(times(call, 0, least=5, warm=0, calls=fast)) * 1e3)
    return best[0], best[1]


def main() -> None:
    """Measure all cases with the framework named on the command line."""
    T = framework(sys.argv[1])
    print(json.dumps({name: measure(T, run) for name, run in cases(T).items()}))


if __name__ == "__main__":
    main()
