"""Nets and optimizers whose files travel between PyTorch and minidl: the same definitions on both sides."""

from __future__ import annotations

import numpy as np


def drawn(seed: int, *shape: int) -> np.ndarray:
    """Numbers that are the same on both sides."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tied(nn):
    """A table of words, and a layer back to words with the same weight."""

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x):
            return self.head(self.table(x))

    return Words()


def mlp(nn):
    """A net with a buffer of integers."""
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def cnn(nn):
    """A net of images."""
    layers = (nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(*layers)


# name -> (how to make it, its inputs)
NETS = {
    "mlp": (mlp, (drawn(1, 6, 4),)),
    "cnn": (cnn, (drawn(2, 3, 1, 6, 6),)),
    "lstm": (lambda nn: nn.LSTM(3, 4, num_layers=2, bidirectional=True), (drawn(3, 5, 2, 3),)),
    "tied": (tied, (np.array([[1, 5, 0], [6, 2, 2]]),)),
    "attention": (lambda nn: nn.MultiheadAttention(4, 2), tuple(drawn(4 + k, 3, 2, 4) for k in range(3))),
    "half": (lambda nn: nn.Linear(4, 3).half(), (drawn(7, 6, 4),)),
    "brain": (lambda nn: nn.Linear(4, 3), (drawn(8, 6, 4),)),
}

# name -> how to make it of parameters
OPTIMIZERS = {
    "SGD": lambda optim, ps: optim.SGD(ps, lr=0.1),
    "SGD momentum": lambda optim, ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda optim, ps: optim.Adam(ps, lr=0.05, weight_decay=0.01),
    "Adam amsgrad": lambda optim, ps: optim.Adam(ps, lr=0.05, amsgrad=True, betas=(0.8, 0.9)),
    "AdamW": lambda optim, ps: optim.AdamW(ps, lr=0.05),
    "RMSprop": lambda optim, ps: optim.RMSprop(ps, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda optim, ps: optim.Adagrad(ps, lr=0.1, lr_decay=0.1),
    "Adadelta": lambda optim, ps: optim.Adadelta(ps),
    "Adamax": lambda optim, ps: optim.Adamax(ps, lr=0.05),
    "NAdam": lambda optim, ps: optim.NAdam(ps, lr=0.05),
    "RAdam": lambda optim, ps: optim.RAdam(ps, lr=0.05),
    "ASGD": lambda optim, ps: optim.ASGD(ps, lr=0.05),
    "Rprop": lambda optim, ps: optim.Rprop(ps, lr=0.05),
}


def steps(T, optimizer, params, first: int, count: int) -> None:
    """Steps down the sum of (p - 1)^4 with some noise, the same on both sides."""
    for step in range(first, first + count):
        optimizer.zero_grad()
        noise = [T.from_numpy(drawn(100 + step, *p.shape)) for p in params]
        sum([((p - 1) ** 4).sum() + (p * n).sum() for p, n in zip(params, noise, strict=True)]).backward()
        optimizer.step()
