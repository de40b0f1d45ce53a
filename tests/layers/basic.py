"""The first layers: linear, convolution, pooling, batch normalisation, activations, containers."""

from __future__ import annotations

from .runs import layer

layer("Linear", lambda nn: nn.Linear(4, 3), (5, 4))
layer("Linear without bias", lambda nn: nn.Linear(4, 3, bias=False), (2, 3, 4))
layer("Conv2d", lambda nn: nn.Conv2d(2, 4, 3), (2, 2, 5, 6))
layer("Conv2d options", lambda nn: nn.Conv2d(4, 4, (3, 2), 2, (1, 0), (1, 2), 2, False), (1, 4, 6, 6))
layer("Conv2d same", lambda nn: nn.Conv2d(2, 2, 4, padding="same"), (1, 2, 5, 5))
layer("MaxPool2d", lambda nn: nn.MaxPool2d(3, 2, 1), (2, 2, 6, 5))
layer("AvgPool2d", lambda nn: nn.AvgPool2d(2, ceil_mode=True), (2, 2, 5, 5))
layer("BatchNorm1d", lambda nn: nn.BatchNorm1d(3), (5, 3))
layer("BatchNorm1d lines", lambda nn: nn.BatchNorm1d(3, eps=1e-2, momentum=0.3), (2, 3, 4))
layer("BatchNorm2d", lambda nn: nn.BatchNorm2d(3), (2, 3, 2, 4))
layer("BatchNorm2d cumulative", lambda nn: nn.BatchNorm2d(3, momentum=None), (2, 3, 2, 2))
layer("BatchNorm2d not affine", lambda nn: nn.BatchNorm2d(3, affine=False), (2, 3, 2, 2))
layer("BatchNorm2d not tracking", lambda nn: nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 2, 2))
layer("Flatten", lambda nn: nn.Flatten(), (2, 3, 4))
layer("ReLU", lambda nn: nn.ReLU(), (3, 4))
layer("Tanh", lambda nn: nn.Tanh(), (3, 4))
layer("Sigmoid", lambda nn: nn.Sigmoid(), (3, 4))
layer("Dropout 0", lambda nn: nn.Dropout(0.0), (3, 4))
layer(
    "Sequential",
    lambda nn: nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.BatchNorm2d(2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3),
    ),
    (3, 1, 4, 5),
)
layer(
    "ModuleList in Sequential",
    lambda nn: nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)), nn.Sigmoid()),
    (2, 4),
)
