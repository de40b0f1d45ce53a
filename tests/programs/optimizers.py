"""Optimizers that subclass PyTorch's: fifty steps of a small net with each."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

# what has to be told apart from the rest
WITH_CLOSURE = {"BSAM", "GSAM", "LookSAM", "SAM", "WSAM"}
WITH_GRAPH = {"AdaHessian", "Adahessian", "SophiaH"}  # these differentiate the gradient
BY_KIND = {"AdaGO", "AdaMuon", "DistributedMuon", "Muon", "MuonClip", "NorMuon"}  # matrices and vectors in two groups
NEEDED = {"num_data": 16, "num_iterations": 50, "total_steps": 50}  # for arguments of these names without a default
STEPS = 50


def classes(package: str) -> dict[str, type]:
    """The optimizers of a package."""
    import importlib

    import torch

    if package == "pytorch_optimizer":
        found = importlib.import_module("pytorch_optimizer.optimizer").OPTIMIZER_LIST
        return {c.__name__: c for c in found if c.__module__.startswith(package)}
    members = vars(importlib.import_module(package)).values()
    kind = torch.optim.Optimizer
    return {c.__name__: c for c in members if inspect.isclass(c) and issubclass(c, kind) and c is not kind}


def build(cls: type, net):
    """The optimizer with its defaults."""
    name, given = cls.__name__, {}
    for argument, parameter in inspect.signature(cls.__init__).parameters.items():
        if argument in NEEDED and parameter.default is inspect.Parameter.empty:
            given[argument] = NEEDED[argument]
    if name in BY_KIND:
        matrices = {"params": [p for p in net.parameters() if p.ndim == 2], "use_muon": True}
        vectors = {"params": [p for p in net.parameters() if p.ndim < 2], "use_muon": False}
        return cls([matrices, vectors], **given)
    if "model" in inspect.signature(cls.__init__).parameters:
        return cls(net, **given)
    return cls(net.parameters(), **given)


def run(cls: type) -> tuple[np.ndarray, np.ndarray]:
    """The parameters after fifty steps in float64, as one vector, and the loss before each step."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    random = np.random.RandomState(0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.tensor(random.randn(*p.shape) * 0.3))
    xs, ys = random.randn(STEPS, 16, 6), random.randint(0, 3, (STEPS, 16))
    optimizer, losses = build(cls, net), []
    if hasattr(optimizer, "train"):
        optimizer.train()
    for x, y in zip(torch.tensor(xs), torch.tensor(ys), strict=True):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = cross_entropy(net(x), y)
            loss.backward(create_graph=cls.__name__ in WITH_GRAPH)
            return loss

        if cls.__name__ in WITH_CLOSURE:
            loss = optimizer.step(closure)
        else:
            loss = closure()
            optimizer.step()
        losses.append(float(loss.detach()))
    return np.concatenate([p.detach().numpy().ravel() for p in net.parameters()]), np.array(losses)


def tried(package: str, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, np.ndarray | str]:
    """What `run` gives for every optimizer of a package, or what it raised."""
    results: dict[str, np.ndarray | str] = {}
    for name, cls in sorted(classes(package).items()):
        if wanted(name):
            try:
                results[f"{package}.{name}"] = np.concatenate(run(cls))
            except Exception as error:
                results[f"{package}.{name}"] = f"{type(error).__name__}: {error}"
    return results
