"""A whole epoch of MNIST, from the pixels to the last update: `python -m tests.benchmarks.epoch minidl FOLDER`.

It prints a JSON object: for each model and way of loading the seconds of an epoch and its mean loss, and the seconds
that loading alone takes. FOLDER holds `images.npy` and `labels.npy`; minidl reads MNIST itself where it is there.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .clock import framework
from .workloads import WORKLOADS, build

MODELS = {"MLP 784-256-128-10, Adam": "MLP, batch 64, Adam", "LeNet-5, SGD momentum": "LeNet-5, batch 64"}
BATCH = 64
MEAN, STD = 0.1307, 0.3081


# ---------------------------------------------------------------------------------------------------------- minidl
def loader(T: Any, images: np.ndarray, labels: np.ndarray) -> Iterable:
    """Batches as a program for minidl loads them."""
    datasets, transforms = T.data.datasets, T.data.transforms
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    try:
        dataset = datasets.MNIST(train=True, transform=transform)
    except datasets.DatasetError:
        dataset = T.data.ImageDataset(images, labels, [str(c) for c in range(10)], transform)
    return T.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)


# --------------------------------------------------------------------------------------------------------- PyTorch
def sample_loader(T: Any, images: np.ndarray, labels: np.ndarray) -> Iterable:
    """Batches as a program for PyTorch loads them: torchvision's MNIST with ToTensor and Normalize, sample by sample.

    torchvision itself need not be there; without Pillow the step over its images is left out.
    """
    try:
        from_array: Callable = importlib.import_module("PIL.Image").fromarray
    except ImportError:
        from_array = np.asarray

    def to_tensor(image):
        x = T.from_numpy(np.array(image, np.uint8, copy=True)).view(28, 28, 1)
        return x.permute((2, 0, 1)).contiguous().to(dtype=T.get_default_dtype()).div(255)

    def normalize(x):
        x = x.clone()
        mean, std = (T.as_tensor(value, dtype=x.dtype, device=x.device) for value in ((MEAN,), (STD,)))
        if (std == 0).any():
            raise ValueError("std is zero")
        return x.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))

    class MNIST(T.utils.data.Dataset):
        def __init__(self):
            self.data, self.targets = T.from_numpy(images), T.from_numpy(labels)

        def __len__(self):
            return len(self.data)

        def __getitem__(self, index):
            image, target = self.data[index], int(self.targets[index])
            return normalize(to_tensor(from_array(image.numpy()))), target

    return T.utils.data.DataLoader(MNIST(), batch_size=BATCH, shuffle=True)


class Resident:
    """Batches of one float tensor that holds all images, in a random order."""

    def __init__(self, T: Any, images: np.ndarray, labels: np.ndarray) -> None:
        self.T, self.labels = T, T.tensor(labels)
        self.images = (T.tensor(images[:, None].astype(np.float32)) / 255 - MEAN) / STD

    def __iter__(self) -> Iterator:
        order = self.T.randperm(len(self.labels))
        for i in range(0, len(self.labels), BATCH):
            part = order[i : i + BATCH]
            yield self.images[part], self.labels[part]


# ------------------------------------------------------------------------------------------------------- the epoch
def epoch(T: Any, batches: Iterable, name: str) -> dict[str, float]:
    """Seconds of an epoch with a new model, and the mean of its losses."""
    workload = WORKLOADS[name]
    flat = len(workload.x) == 1

    def train(batches: Iterable) -> list:
        model, optimizer = build(T, workload, 0.5)
        losses = []
        for x, t in batches:
            optimizer.zero_grad()
            loss = T.nn.functional.cross_entropy(model(x.flatten(1) if flat else x), t)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return losses

    train([next(iter(batches)) for _ in range(3)])  # whatever is made once is made now
    start = time.perf_counter()
    losses = train(batches)
    return {"seconds": time.perf_counter() - start, "loss": float(np.mean([float(loss) for loss in losses]))}


def loading(batches: Iterable) -> float:
    """Seconds of going through all batches."""
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


def main() -> None:
    """Measure with the framework named on the command line."""
    T, folder = framework(sys.argv[1]), Path(sys.argv[2])
    T.manual_seed(0)
    data = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
    if sys.argv[1] == "minidl":
        ways = {"loader": loader(T, *data)}
    else:
        ways = {"loader": sample_loader(T, *data), "resident": Resident(T, *data)}
    found: dict[str, Any] = {"loading": loading(ways["loader"]), "pillow": importlib.util.find_spec("PIL") is not None}
    for model, name in MODELS.items():
        found[model] = {way: epoch(T, batches, name) for way, batches in ways.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
