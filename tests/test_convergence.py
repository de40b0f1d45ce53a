"""Every rule gets near the optimum of two classic problems in a fixed number of steps, at the rate in the table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from minidl import optim
from minidl.optim.wrapper import Wrapper
from minidl.tensor import Parameter, wrap


class Problem(NamedTuple):
    """A function of one matrix with its gradient, where to begin, where it is lowest, and how many steps there are."""

    function: Any
    start: np.ndarray
    best: np.ndarray
    steps: int


# 1/2 tr (X - best)^T A (X - best) for a matrix X: the condition is 100, and no axis is one of A's
_ROTATION, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))
_A = _ROTATION @ np.diag([1.0, 5.0, 20.0, 100.0]) @ _ROTATION.T
_BEST = np.array([[1.0, -1.0, 2.0], [0.5, 1.0, -2.0], [-1.0, 2.0, 1.0], [2.0, -0.5, -1.0]])


def quadratic(x):
    g = _A @ (x - _BEST)
    return 0.5 * float(((x - _BEST) * g).sum()), g


def rosenbrock(w):
    ((x, y),) = w
    loss = 100 * (y - x * x) ** 2 + (1 - x) ** 2
    return loss, np.array([[-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)]])


PROBLEMS = {
    "quadratic": Problem(quadratic, np.ones((4, 3)), _BEST, 1000),
    "rosenbrock": Problem(rosenbrock, np.array([[-1.2, 1.0]]), np.ones((1, 2)), 3000),
}
LBFGS_STEPS, SEARCHING = 10, dict(line_search_fn="strong_wolfe", tolerance_change=0)


class Row(NamedTuple):
    """A rule, and for each problem the rate and how near it gets: at most twice the distance that was measured.

    The distance is that of the element that is farthest from its optimum; it is 3 and 2.2 at the start. falling: the
    rate falls linearly to 0, without which rules whose steps do not shrink with the gradient would not settle.
    """

    rule: str
    options: dict[str, Any]
    falling: bool
    quadratic: tuple[float, float]
    rosenbrock: tuple[float, float]


# fmt: off
TABLE = [
    #                                                            falling  quadratic: rate, near  Rosenbrock: rate, near
    Row("SGD",              {},                                  True,  (0.01, 0.035),          (0.005, 0.3)),
    Row("SGD",              dict(momentum=0.9),                  True,  (0.01, 1e-12),          (0.001, 3e-3)),
    Row("SGD",              dict(momentum=0.9, nesterov=True),   True,  (0.01, 1e-12),          (0.001, 3.5e-3)),
    Row("ASGD",             {},                                  False, (0.01, 4.5e-4),         (0.002, 0.2)),
    Row("LARS",             dict(momentum=0.9),                  True,  (1.0, 2e-5),            (10.0, 2e-4)),
    Row("SGDScheduleFree",  {},                                  False, (0.1, 6.5e-4),          (0.005, 0.2)),
    Row("Rprop",            {},                                  False, (0.01, 7e-6),           (0.01, 9.5e-3)),
    Row("Adagrad",          {},                                  False, (3.0, 1e-12),           (1.0, 0.15)),
    Row("RMSprop",          {},                                  True,  (0.2, 1e-12),           (0.01, 0.06)),
    Row("Adadelta",         {},                                  True,  (10.0, 1e-12),          (1.0, 0.09)),
    Row("Adafactor",        {},                                  True,  (0.1, 1e-12),           (0.05, 0.14)),
    Row("Adam",             {},                                  True,  (0.5, 1e-12),           (0.1, 5.5e-6)),
    Row("Adam",             dict(amsgrad=True),                  True,  (0.5, 1e-12),           (0.2, 1.5e-5)),
    Row("AdamW",            dict(weight_decay=0),                True,  (0.5, 1e-12),           (0.1, 5.5e-6)),
    Row("NAdam",            {},                                  True,  (0.5, 1e-12),           (0.05, 0.015)),
    Row("RAdam",            dict(betas=(0.9, 0.95)),             True,  (0.01, 3.5e-7),         (0.005, 1.5e-8)),
    Row("Adamax",           {},                                  True,  (1.0, 7.5e-9),          (0.5, 0.015)),
    Row("AdaBound",         dict(final_lr=0.01),                 True,  (0.5, 1e-12),           (0.1, 3e-6)),
    Row("AdaBound",         dict(final_lr=0.01, amsbound=True),  True,  (0.5, 1e-12),           (0.1, 2.5e-4)),
    Row("AdamWScheduleFree", {},                                 False, (1.0, 2e-6),            (0.05, 0.15)),
    Row("LAMB",             {},                                  True,  (0.01, 8.5e-5),         (0.1, 7.5e-3)),
    Row("Lion",             {},                                  True,  (0.02, 6.5e-3),         (0.005, 7e-3)),
    Row("Muon",             dict(weight_decay=0),                True,  (0.05, 7.5e-4),         (0.01, 3e-5)),
    Row("LBFGS",            SEARCHING,                           False, (1.0, 3.5e-10),         (1.0, 4e-10)),
]
# fmt: on


def distance(row: Row, name: str) -> float:
    """How far from the optimum the rule ends."""
    problem, (rate, _) = PROBLEMS[name], getattr(row, name)
    p = Parameter(problem.start.copy())
    falling = lambda step: rate * (1 - step / problem.steps)  # noqa: E731
    rule = getattr(optim, row.rule)([p], lr=falling if row.falling else rate, **row.options)

    def closure():
        loss, g = problem.function(p.array)
        p.grad = wrap(g)
        return loss

    for _ in range(problem.steps if row.rule != "LBFGS" else LBFGS_STEPS):
        rule.step(closure)
    if hasattr(rule, "eval"):
        rule.eval()  # the average is what is used
    return float(abs(p.array - problem.best).max())


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.rule} {','.join(row.options)}".strip())
def test_every_rule_gets_near_the_optimum(row, name):
    _, limit = getattr(row, name)
    assert distance(row, name) <= limit


def test_every_rule_is_in_the_table():
    # SparseAdam takes row-sparse gradients only; wrappers, which combine rules, have tests of their own
    kinds = [getattr(optim, name) for name in optim.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, optim.Optimizer)]
    rules = {kind.__name__ for kind in kinds if not issubclass(kind, Wrapper)} - {"Optimizer", "SparseAdam"}
    assert rules == {row.rule for row in TABLE}


def test_no_limit_is_so_wide_that_standing_still_would_do():
    for row in TABLE:
        for name, problem in PROBLEMS.items():
            assert 0 < getattr(row, name)[1] < 0.2 * abs(problem.start - problem.best).max()
