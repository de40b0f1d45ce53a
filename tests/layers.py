"""Layers that mean the same in PyTorch and here: what they hold, and what they compute in train and in eval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from calls import Library, numbers

# name -> (how to make it, the shape of its input)
LAYERS: dict[str, tuple[Callable, tuple[int, ...]]] = {
    "Linear": (lambda nn: nn.Linear(4, 3), (5, 4)),
    "Linear without bias": (lambda nn: nn.Linear(4, 3, bias=False), (2, 3, 4)),
    "Conv2d": (lambda nn: nn.Conv2d(2, 4, 3), (2, 2, 5, 6)),
    "Conv2d options": (lambda nn: nn.Conv2d(4, 4, (3, 2), 2, (1, 0), (1, 2), 2, False), (1, 4, 6, 6)),
    "Conv2d same": (lambda nn: nn.Conv2d(2, 2, 4, padding="same"), (1, 2, 5, 5)),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(3, 2, 1), (2, 2, 6, 5)),
    "AvgPool2d": (lambda nn: nn.AvgPool2d(2, ceil_mode=True), (2, 2, 5, 5)),
    "BatchNorm1d": (lambda nn: nn.BatchNorm1d(3), (5, 3)),
    "BatchNorm1d lines": (lambda nn: nn.BatchNorm1d(3, eps=1e-2, momentum=0.3), (2, 3, 4)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(3), (2, 3, 2, 4)),
    "BatchNorm2d cumulative": (lambda nn: nn.BatchNorm2d(3, momentum=None), (2, 3, 2, 2)),
    "BatchNorm2d not affine": (lambda nn: nn.BatchNorm2d(3, affine=False), (2, 3, 2, 2)),
    "BatchNorm2d not tracking": (lambda nn: nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 2, 2)),
    "Flatten": (lambda nn: nn.Flatten(), (2, 3, 4)),
    "ReLU": (lambda nn: nn.ReLU(), (3, 4)),
    "Tanh": (lambda nn: nn.Tanh(), (3, 4)),
    "Sigmoid": (lambda nn: nn.Sigmoid(), (3, 4)),
    "Dropout 0": (lambda nn: nn.Dropout(0.0), (3, 4)),
    "Sequential": (
        lambda nn: nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            nn.BatchNorm2d(2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        (3, 1, 4, 5),
    ),
    "ModuleList in Sequential": (
        lambda nn: nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)), nn.Sigmoid()),
        (2, 4),
    ),
}


def run_layer(L: Library, name: str, dtype, prepare: Callable = lambda layer: layer) -> dict[str, object]:
    """The layer with fixed parameters: outputs and gradients in train, the state afterwards, the output in eval."""
    make, shape = LAYERS[name]
    layer = prepare(make(L.nn).to(dtype))
    found: dict[str, object] = {}
    with L.T.no_grad():
        for k, p in enumerate(layer.parameters()):
            p.copy_(L.tensor(numbers(20 + k, *p.shape)).to(p.dtype))
    for step in range(2):
        x = L.tensor(numbers(30 + step, *shape)).to(dtype).requires_grad_()
        y = layer(x)
        (y * L.tensor(numbers(40, *y.shape)).to(dtype)).sum().backward()
        found[f"y{step}"], found[f"x{step}"] = y, x.grad
    for key, p in layer.named_parameters():
        found[f"gradient {key}"] = p.grad
    for key, value in layer.state_dict().items():
        found[f"state {key}"] = value
    layer.eval()
    found["eval"] = layer(L.tensor(numbers(32, *shape)).to(dtype))
    return {key: np.float64(value) if isinstance(value, (int, float)) else value for key, value in found.items()}
