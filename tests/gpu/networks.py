"""Networks trained to an accuracy with the clock on: LeNet-5 on MNIST, a ResNet of nine layers on CIFAR-10.

`python -m tests.gpu.networks lenet5` prints a JSON object: seconds of training, and the test accuracy after each epoch.
Compilation of kernels (one epoch that does not count, from other weights) and reading the files are not in the time.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data.datasets import CIFAR10, MNIST
from minidl.optim import schedules

BATCH = 512


def lenet5() -> nn.Module:
    """LeNet-5 with ReLU and max pooling, 28 x 28."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def _block(channels: int, features: int, pool: bool = False) -> nn.Module:
    layers = [nn.Conv2d(channels, features, 3, padding=1, bias=False), nn.BatchNorm2d(features), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class Around(nn.Module):
    """x + body(x)."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return x + self.body(x)


def resnet9() -> nn.Module:
    """Eight 3x3 convolutions with batch norm, in two places around a shortcut, and a linear layer (Page, 2018)."""
    return nn.Sequential(
        _block(3, 64), _block(64, 128, True), Around(_block(128, 128), _block(128, 128)),
        _block(128, 256, True), _block(256, 512, True), Around(_block(512, 512), _block(512, 512)),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def resident(data: Any, device: str) -> tuple:
    """All images as float32 (N, C, H, W), mean 0 and deviation 1 in each channel, and the classes, on the device."""
    x = minidl.tensor(data.data).float().to(device) / 255
    x = x.unsqueeze(1) if x.ndim == 3 else x if x.shape[1] == 3 else x.permute(0, 3, 1, 2)
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    return x.contiguous(), minidl.tensor(data.targets).long().to(device)


def augmented(x, pad: int = 4):
    """A random crop of the padded images and a flip, the same for all of a batch: whole batches move at once."""
    size = x.shape[-1]
    down, across, flip = minidl.randint(0, 2 * pad + 1, (2,)).tolist() + [minidl.rand(()).item() < 0.5]
    x = F.pad(x, (pad,) * 4)[:, :, down : down + size, across : across + size]
    return (x.flip(3) if flip else x).contiguous()


def accuracy(model: nn.Module, x, t, half: bool) -> float:
    """The share of the images whose class is found."""
    model.eval()
    right = minidl.zeros((), device=x.device)
    with minidl.no_grad():
        for i in range(0, len(x), 2000):
            with minidl.autocast(x.device.type, dtype=minidl.float16, enabled=half):
                y = model(x[i : i + 2000])
            right += (y.argmax(1) == t[i : i + 2000]).float().sum()
    model.train()
    return right.item() / len(x)


def train(make, data: tuple, epochs: int, rate: float, goal: float, half: bool, augment: bool, device: str) -> dict:
    """Train until the goal or the last epoch; the accuracy is taken with the clock stopped."""
    (x, t), (test_x, test_t) = (resident(part, device) for part in data)
    minidl.manual_seed(0)
    model = make().to(device)
    steps = epochs * (len(x) // BATCH)
    rule = optim.SGD(model.parameters(), lr=rate * schedules.one_cycle(steps), momentum=0.9, weight_decay=5e-4,
                     nesterov=True)  # fmt: skip
    scaler = minidl.amp.GradScaler(device.partition(":")[0], enabled=half)

    def step(bx, bt):
        rule.zero_grad()
        with minidl.autocast(device.partition(":")[0], dtype=minidl.float16, enabled=half):
            y = model(bx)
        loss = F.cross_entropy(y.float(), bt, label_smoothing=0.1 if augment else 0.0)
        scaler.scale(loss).backward()
        scaler.step(rule)
        scaler.update()
        return loss

    run = step if half else minidl.compile_step(step)
    taken, found = 0.0, []
    for _ in range(epochs):
        begin = time.perf_counter()
        order = minidl.randperm(len(x)).to(device)
        for i in range(0, len(x) - BATCH + 1, BATCH):
            index = order[i : i + BATCH]
            run(augmented(x[index]) if augment else x[index], t[index])
        _wait(device)
        taken += time.perf_counter() - begin
        found.append(accuracy(model, test_x, test_t, half))
        if found[-1] >= goal:
            break
    return {"seconds": taken, "accuracy": found}


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        minidl.cuda.synchronize()


TASKS = {  # epochs, rate, goal
    "lenet5": (lenet5, MNIST, 10, 0.1, 0.99, False),
    "resnet9": (resnet9, CIFAR10, 30, 0.4, 0.94, True),
}


def main() -> None:
    """Train one network twice: once for the kernels to be compiled, once with the clock."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--half", action="store_true", help="mixed precision")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    make, dataset, epochs, rate, goal, augment = TASKS[given.task]
    data = dataset(train=True), dataset(train=False)
    train(make, data, 1, rate, goal, given.half, augment, given.device)
    print(json.dumps(train(make, data, given.epochs or epochs, rate, goal, given.half, augment, given.device)))


if __name__ == "__main__":
    main()
