"""Optimizers on a small problem."""

from __future__ import annotations

from .library import numbers

OPTIMIZERS: dict[str, tuple[str, dict]] = {
    "SGD": ("SGD", dict(lr=0.05)),
    "SGD momentum": ("SGD", dict(lr=0.02, momentum=0.9)),
    "SGD dampening": ("SGD", dict(lr=0.05, momentum=0.8, dampening=0.3)),
    "SGD nesterov": ("SGD", dict(lr=0.02, momentum=0.9, nesterov=True)),
    "SGD decay": ("SGD", dict(lr=0.05, momentum=0.5, weight_decay=0.1)),
    "SGD maximize": ("SGD", dict(lr=0.002, momentum=0.5, maximize=True, weight_decay=0.01)),
    "Adam": ("Adam", dict(lr=0.02)),
    "Adam betas eps": ("Adam", dict(lr=0.05, betas=(0.5, 0.9), eps=1e-2)),
    "Adam decay": ("Adam", dict(lr=0.02, weight_decay=0.1)),
    "Adam amsgrad": ("Adam", dict(lr=0.05, amsgrad=True, betas=(0.8, 0.9))),
    "Adam maximize": ("Adam", dict(lr=0.002, maximize=True)),
    "AdamW": ("AdamW", dict(lr=0.02)),
    "AdamW decay": ("AdamW", dict(lr=0.05, weight_decay=0.3, betas=(0.8, 0.99))),
    "AdamW amsgrad": ("AdamW", dict(lr=0.05, weight_decay=0.1, amsgrad=True)),
}
STEPS = 200


def trajectory(L, name: str, parameters) -> list:
    """A least-squares problem in two weights, one of them without a gradient for some steps; the optimizer's path."""
    kind, options = OPTIMIZERS[name]
    w, b = parameters
    optimizer = getattr(L.optim, kind)([{"params": [w]}, {"params": [b], "lr": options["lr"] * 0.5}], **options)
    x, y = L.tensor(numbers(1, 12, 3)), L.tensor(numbers(2, 12, 2))
    path = []
    for step in range(STEPS):
        optimizer.zero_grad()
        prediction = x @ w + (b if step % 7 else b.detach())
        ((prediction - y) ** 2).mean().backward()
        if step == 100:
            optimizer.param_groups[0]["lr"] *= 0.5
        optimizer.step()
        if step % 20 == 19 or step < 3:
            path += [w, b] if step == STEPS - 1 else [w.detach().clone(), b.detach().clone()]
    return path
