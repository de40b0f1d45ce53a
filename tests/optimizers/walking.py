"""How to walk, the same for both libraries, and how two paths are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .problems import PROBLEMS
from .table import PATTERNS, Walk

RECORDED = (1, 2, 3, 5, 10, 20, 50, 100, 200)  # steps after which the parameters are noted
NEW_RATES = (7, 60)  # steps before which every lr becomes smaller, as by a schedule
RTOL = 1e-10


@dataclass(frozen=True)
class Side:
    """What differs between the libraries."""

    optim: Any
    parameter: Callable[[np.ndarray], Any]
    tensor: Callable[[np.ndarray], Any]
    host: Callable[[Any], np.ndarray]
    rows: Callable[[np.ndarray, np.ndarray, tuple], Any]  # a row-sparse Tensor of row numbers, their values, a shape


def made(rule: Callable, walk: Walk, params: list) -> Any:
    """The optimizer of a walk; with two groups, of which the second has what is left after the first parameter."""
    if walk.other is None:
        return rule(params, **walk.options)
    return rule([{"params": params[:1]}, {"params": params[1:], **walk.other}], **walk.options)


def gradient(side: Side, pattern: str, t: int, i: int, g: np.ndarray) -> Any:
    """What parameter i gets as its gradient at step t."""
    if not PATTERNS[pattern](t, i):
        return None
    if pattern != "rows":
        return side.tensor(np.asarray(g))
    rows = np.array([t, t * t + i, t // 3]) % len(g)  # some come twice
    return side.rows(rows, g[rows] * np.array([[0.5], [0.3], [0.9]]), g.shape)


def walk(
    side: Side,
    walk: Walk,
    steps: int | None = None,
    between: Callable[[int, list, Any], tuple[list, Any]] | None = None,
    rule: Callable | None = None,
    aside: float = 0.0,
) -> dict[str, np.ndarray]:
    """The parameters after the steps `RECORDED`, each time all of them in a row, and the state at the end.

    between: takes and returns parameters and optimizer before each step. rule: another one than the walk's.
    aside: how far from the start to begin, relative to it.
    """
    problem, rule = PROBLEMS[walk.problem], rule or getattr(side.optim, walk.rule)
    params = [side.parameter(np.asarray(x * (1 + aside))) for x in problem.start()]
    optimizer, found = made(rule, walk, params), {}
    steps = walk.steps if steps is None else min(steps, walk.steps)
    for t in range(steps):
        if between is not None:
            params, optimizer = between(t, params, optimizer)
        if t in NEW_RATES:
            for group in optimizer.param_groups:
                group["lr"] *= 0.8

        def closure(t=t, params=params):
            value, gradients = problem.value([side.host(p) for p in params], t)
            for i, (p, g) in enumerate(zip(params, gradients, strict=True)):
                p.grad = gradient(side, walk.gradients, t, i, g)
            return side.tensor(np.array(value))

        if walk.closure:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        if t + 1 in RECORDED:
            found[f"step {t + 1}"] = np.concatenate([side.host(p).ravel() for p in params])
    for i, p in enumerate(params):
        for key, entry in optimizer.state.get(p, {}).items():
            if not isinstance(entry, (list, type(None))):
                value = entry if isinstance(entry, (int, float)) else side.host(entry)
                found[f"state {i} {key}"] = np.array(value, dtype=np.float64)
    return found


def check(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], rtol: float = RTOL) -> None:
    """Raise AssertionError unless a path is the expected one, as far as it goes.

    Differences are relative to the largest entry of an array, or of its kind: parameters may pass through zero.
    """
    last = max(int(key.split()[1]) for key in found if key.startswith("step"))
    whole = last == max(int(key.split()[1]) for key in expected if key.startswith("step"))
    wanted = [k for k in expected if whole or (k.startswith("step") and int(k.split()[1]) <= last)]
    here = [k for k in found if whole or k.startswith("step")]
    assert sorted(here) == sorted(wanted), f"expected {sorted(wanted)}, got {sorted(here)}"
    for key in wanted:
        a, b = found[key], expected[key]
        assert a.shape == b.shape, f"{key}: shape {a.shape}, expected {b.shape}"
        assert np.isfinite(a).all(), f"{key}: {a}"
        scale = max(abs(b).max(initial=0), 1e-300)
        worst = abs(a - b).max(initial=0) / scale
        assert worst <= rtol, f"{key}: off by {worst:.1e} of {scale:.1e}"
