"""Walks of a table whose gradients are row-sparse, the same for PyTorch and minidl."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ROWS, WIDTH, PADDING, STEPS = 9, 3, 2, 200
RECORDED = (1, 2, 3, 5, 10, 50, 200)
WALKS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", dict(lr=0.05)),
    "SGD maximize": ("SGD", dict(lr=0.05, maximize=True)),
    "SGD momentum": ("SGD", dict(lr=0.02, momentum=0.9)),
    "SGD nesterov": ("SGD", dict(lr=0.02, momentum=0.9, nesterov=True)),
    "SGD dampening": ("SGD", dict(lr=0.05, momentum=0.8, dampening=0.3, maximize=True)),
    "Adagrad": ("Adagrad", dict(lr=0.3)),
    "Adagrad decay": ("Adagrad", dict(lr=0.3, lr_decay=0.01, eps=1e-3)),
    "Adagrad start": ("Adagrad", dict(lr=0.5, initial_accumulator_value=0.5)),
    "Adagrad maximize": ("Adagrad", dict(lr=0.2, maximize=True)),
    "SparseAdam": ("SparseAdam", dict()),
    "SparseAdam lr": ("SparseAdam", dict(lr=0.1)),
    "SparseAdam betas": ("SparseAdam", dict(lr=0.05, betas=(0.5, 0.7))),
    "SparseAdam eps": ("SparseAdam", dict(lr=0.1, eps=0.05)),
    "SparseAdam maximize": ("SparseAdam", dict(lr=0.05, betas=(0.0, 0.9), maximize=True)),
}


@dataclass(frozen=True)
class Side:
    """What differs between the libraries; table: the start -> an Embedding with padding; host: a Tensor as an array."""

    optim: Any
    tensor: Callable[[np.ndarray], Any]
    table: Callable[[np.ndarray], Any]
    host: Callable[[Any], np.ndarray]


def start() -> np.ndarray:
    """Where every walk begins."""
    return np.random.default_rng(8).standard_normal((ROWS, WIDTH))


def looked_up(t: int) -> list[np.ndarray]:
    """The rows of step t, of one or two looks: some often, some never for long, at some steps none at all."""
    rng = np.random.default_rng(1000 + t)
    looks = [rng.integers(0, ROWS - (t % 40 < 30), (2, 1 + t % 4))]
    if t % 7 == 3:
        looks.append(rng.integers(0, 3, 5))
    return [ids[:, :0] for ids in looks[:1]] if t % 11 == 10 else looks


def walk(side: Side, name: str, steps: int = STEPS, between: Callable | None = None) -> dict[str, np.ndarray]:
    """The table after the steps `RECORDED`, and the state at the end; between: gives table and rule before a step."""
    rule_name, options = WALKS[name]
    table, found = side.table(start()), {}
    rule = getattr(side.optim, rule_name)(table.parameters(), **options)
    sign = -1.0 if options.get("maximize") else 1.0
    for t in range(steps):
        if between is not None:
            table, rule = between(t, table, rule)
        if t == 60:
            for group in rule.param_groups:
                group["lr"] *= 0.5
        rule.zero_grad()
        for k, ids in enumerate(looked_up(t)):
            y = table(side.tensor(ids))
            tilt = side.tensor(np.random.default_rng(5000 + 10 * t + k).standard_normal(y.shape))
            (sign * (0.5 * y * y + tilt * y).sum()).backward()
        rule.step()
        if t + 1 in RECORDED:
            found[f"{t + 1}"] = side.host(table.weight)
    for key, value in rule.state_dict()["state"].get(0, {}).items():
        found[key] = np.asarray(float(value)) if key == "step" else side.host(value)
    return found
