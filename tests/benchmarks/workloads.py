"""Small models as people train them here: one source, run with `T` as minidl or as PyTorch.

`python -m tests.benchmarks.workloads minidl "MLP, batch 64, Adam"` prints a JSON object: the first losses (without
dropout, so that both frameworks must agree), the milliseconds of every timed step, and how much memory was taken beyond
that of the imports and the data. The weights and batches are NumPy's, from one seed, and so the same for both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .clock import framework, times
from .memory import forget_peak, peak, resident

CHECKED = 3  # steps whose losses are compared
CHARACTERS = 65  # different ones in tiny Shakespeare


def mlp(T, dropout: float):
    """784-256-128-10."""
    nn = T.nn
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def lenet5(T, dropout: float):
    """LeNet-5 for 28 x 28 with ReLU and max pooling."""
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def convnet(T, dropout: float):
    """The convolutional net of PyTorch's MNIST example: 32 and 64 kernels of 3 x 3, dropout of a quarter and a half."""
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(dropout / 2),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 10),
    )  # fmt: skip


def vgg(T, dropout: float):
    """Six 3 x 3 convolutions (32, 32, 64, 64, 128, 128) with batch norm, for 32 x 32."""
    nn, layers, channels = T.nn, [], 3
    for width in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10))


def autoencoder(T, dropout: float):
    """784-128-32-128-784."""
    nn = T.nn
    return nn.Sequential(
        nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU(),
        nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 784), nn.Sigmoid(),
    )  # fmt: skip


def recurrent(kind: str):
    """A model of characters: embedding of 64, one LSTM or GRU of 128, logits."""

    def make(T, dropout: float):
        nn = T.nn

        class Characters(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(CHARACTERS, 64)
                self.rnn = getattr(nn, kind)(64, 128, batch_first=True)
                self.head = nn.Linear(128, CHARACTERS)

            def forward(self, x):
                return self.head(self.rnn(self.embedding(x))[0])

        return Characters()

    return make


def gpt(T, dropout: float):
    """A Transformer of 2 layers, width 64, 4 heads, context 64."""
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            n, t, d = x.shape
            q, k, v = self.qkv(self.before(x)).split(d, dim=2)
            q, k, v = [a.view(n, t, self.heads, d // self.heads).transpose(1, 2) for a in (q, k, v)]
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).contiguous().view(n, t, d))
            return x + self.mlp(self.after(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(CHARACTERS, 64), nn.Embedding(64, 64)
            self.blocks = nn.Sequential(Block(64, 4), Block(64, 4))
            self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, CHARACTERS)

        def forward(self, x):
            y = self.token(x) + self.place(T.arange(x.shape[1], device=x.device))
            return self.head(self.norm(self.blocks(y)))

    return GPT()


class Workload(NamedTuple):
    """model: (T, dropout) -> Module. x: the shape of an input; an int: so many characters. optimizer: (T, params)."""

    model: Callable
    x: Any
    batch: int
    optimizer: Callable | None
    loss: str = "classes"


def _adam(T, p):
    return T.optim.Adam(p, lr=1e-3)


def _momentum(T, p, lr=0.05):
    return T.optim.SGD(p, lr=lr, momentum=0.9)


IMAGE = (1, 28, 28)
WORKLOADS = {
    "MLP, batch 64, Adam": Workload(mlp, (784,), 64, _adam),
    "MLP, batch 512, SGD momentum": Workload(mlp, (784,), 512, _momentum),
    "LeNet-5, batch 64": Workload(lenet5, IMAGE, 64, _momentum),
    "LeNet-5, batch 512": Workload(lenet5, IMAGE, 512, _momentum),
    "conv 32-64, batch 64, Adadelta": Workload(convnet, IMAGE, 64, lambda T, p: T.optim.Adadelta(p, lr=1.0)),
    "VGG with batch norm, batch 128": Workload(vgg, (3, 32, 32), 128, lambda T, p: _momentum(T, p, 0.01)),
    "char-LSTM, batch 32": Workload(recurrent("LSTM"), 64, 32, _adam),
    "char-GRU, batch 32": Workload(recurrent("GRU"), 64, 32, _adam),
    "mini-GPT, batch 16, AdamW": Workload(gpt, 64, 16, lambda T, p: T.optim.AdamW(p, lr=1e-3)),
    "autoencoder, batch 128": Workload(autoencoder, (784,), 128, _adam, "itself"),
    "inference LeNet-5, batch 1": Workload(lenet5, IMAGE, 1, None),
    "inference LeNet-5, batch 256": Workload(lenet5, IMAGE, 256, None),
}


def batches(workload: Workload, size: int, count: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same few batches for every framework."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(count):
        if isinstance(workload.x, int):
            text = random.integers(0, CHARACTERS, (size, workload.x + 1))
            found.append((text[:, :-1].copy(), text[:, 1:].copy()))
        else:
            x = random.random((size, *workload.x), dtype=np.float32)
            found.append((x, random.integers(0, 10, size)))
    return found


def build(T, workload: Workload, dropout: float, device: str = "cpu"):
    """The model with weights from NumPy's generator, and its optimizer."""
    model, random = workload.model(T, dropout), np.random.default_rng(1)
    with T.no_grad():
        for name, p in model.named_parameters():
            if "bias" in name:
                p.zero_()
            elif p.ndim > 1:
                fan = p.shape[0] if p.shape[0] == CHARACTERS else int(np.prod(p.shape[1:]))
                p.copy_(T.tensor(random.standard_normal(tuple(p.shape), dtype=np.float32) / np.float32(fan) ** 0.5))
    model.to(device)
    return model, workload.optimizer and workload.optimizer(T, list(model.parameters()))


def stepper(T, workload: Workload, dropout: float, data: list, device: str = "cpu", wrap: Callable | None = None):
    """A function that makes one step (or inference) and returns the loss as a tensor.

    wrap: what is done to the function of (x, t) before it is called; it also gets the optimizer.
    """
    model, optimizer = build(T, workload, dropout, device)
    F, count = T.nn.functional, [0]
    if optimizer is None:
        model.eval()

    def once(x, t):
        if optimizer is None:
            with T.no_grad():
                return model(x).sum()
        optimizer.zero_grad()
        y = model(x)
        if workload.loss == "itself":
            loss = F.mse_loss(y, x)
        else:
            loss = F.cross_entropy(y.reshape(-1, y.shape[-1]), t.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    run = wrap(once, optimizer) if wrap else once

    def step():
        x, t = data[count[0] % len(data)]
        count[0] += 1
        return run(x, t)

    return step


def measure(T, name: str, batch: int | None, seconds: float) -> dict:
    """Losses, milliseconds of each step, and the growth of memory."""
    workload = WORKLOADS[name]
    raw = batches(workload, batch or workload.batch)
    data = [(T.tensor(x), T.tensor(t)) for x, t in raw]
    forget_peak()
    before = resident()
    check = stepper(T, workload, 0.0, data)
    losses = [float(check()) for _ in range(CHECKED)]
    del check
    taken = times(stepper(T, workload, 0.5, data), seconds)
    return {"losses": losses, "times": taken, "growth": peak() - before}


def main() -> None:
    """Measure one workload with one framework."""
    parser = argparse.ArgumentParser()
    parser.add_argument("framework")
    parser.add_argument("name", choices=WORKLOADS)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    print(json.dumps(measure(framework(arguments.framework), arguments.name, arguments.batch, arguments.seconds)))


if __name__ == "__main__":
    main()
