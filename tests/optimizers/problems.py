"""Smooth problems with their gradients written out in NumPy, so that both libraries are given the very same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from calls import numbers


@dataclass(frozen=True)
class Problem:
    """What is minimised: a function of several arrays that may differ from step to step, as batches do.

    value: (arrays, step) -> the value and its gradients.
    """

    shapes: tuple[tuple[int, ...], ...]
    value: Callable[[list[np.ndarray], int], tuple[float, list[np.ndarray]]]

    def start(self) -> list[np.ndarray]:
        """Where the walk begins."""
        return [numbers(70 + i, *shape) for i, shape in enumerate(self.shapes)]


def bowl(xs, t):
    """Every element alone in a bumpy bowl of its own width, tilted by another angle at every step."""
    total, gradients, n = 0.0, [], 0
    for x in xs:
        k = np.arange(n, n + x.size, dtype=np.float64).reshape(x.shape)
        width, tilt = 0.3 * 1.35**k, 0.4 * np.cos(0.9 * t + k)
        y = x - np.sin(k)
        total += float((width / 2 * y * y - 0.2 * np.cos(2 * y) + tilt * x).sum())
        gradients.append(width * y + 0.4 * np.sin(2 * y) + tilt)
        n += x.size
    return total, gradients


def valley(xs, t):
    """Rosenbrock's winding valley through all elements of all arrays, tilted by another angle at every step."""
    x = np.concatenate([x.ravel() for x in xs])
    over, short = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    tilt = 0.4 * np.cos(0.9 * t + np.arange(len(x)))
    g = tilt.copy()
    g[1:] += 8 * over
    g[:-1] += -16 * x[:-1] * over - 2 * short
    cuts = np.cumsum([x.size for x in xs])[:-1]
    parts = [part.reshape(x.shape) for part, x in zip(np.split(g, cuts), xs, strict=True)]
    return float((4 * over**2 + short**2).sum() + (tilt * x).sum()), parts


def matrices(xs, t):
    """The squared distance of A X from B for each matrix, with a part of B that is another at every step."""
    total, gradients = 0.0, []
    for i, x in enumerate(xs):
        a = numbers(80 + i, x.shape[0] + 1, x.shape[0])
        b = 3 * numbers(90 + i, len(a), x.shape[1]) + 0.3 * math.cos(0.9 * t + i)
        total += float(((a @ x - b) ** 2).sum() / 2)
        gradients.append(a.T @ (a @ x - b))
    return total, gradients


PROBLEMS = {
    "bowl": Problem(((2, 3), (4,), ()), bowl),
    "valley": Problem(((3,), (2, 2)), valley),
    "stacks": Problem(((2, 3, 2), (1, 2, 2, 3)), bowl),
    "matrices": Problem(((3, 2), (2, 4)), matrices),
}
