"""The walks: every rule that PyTorch has too, with every option it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Has parameter i a gradient at step t? By turns: parameter 1 begins late, and each one pauses now and then.
PATTERNS = {
    "all": lambda t, i: True,
    "by turns": lambda t, i: (t + i) % 5 > i % 3 and not (i == 1 and t < 9),
    "one never": lambda t, i: i != 1,
    "rows": lambda t, i: (t + i) % 7 > 0,  # and it is row-sparse
}


@dataclass(frozen=True)
class Walk:
    """A rule with its options on a problem. other: what is different in a second group (None: there is one group)."""

    rule: str
    options: dict[str, Any]
    other: dict[str, Any] | None
    problem: str = "bowl"
    gradients: str = "by turns"
    steps: int = 200
    closure: bool = False  # the rule asks for the gradients itself, and may ask several times


WALKS: dict[str, Walk] = {}


def enter(rule: str, other: dict[str, Any] | None, *grid: dict[str, Any], **how) -> None:
    """Enter a walk for each set of options in the grid, and one in the valley with the first of them."""
    ways = [(options, how) for options in grid]
    if not how:
        ways.append((grid[0], dict(problem="valley", gradients="all")))
    for options, way in ways:
        words = [f"{key}={value}" for key, value in options.items()] or ["defaults"]
        name = f"{rule} {' '.join(words + [str(v) for v in way.values()])}"
        assert name not in WALKS, name
        WALKS[name] = Walk(rule, options, other, **way)


enter(
    "SGD",
    dict(lr=0.01, momentum=0.5, weight_decay=0.05),
    dict(),
    dict(lr=0.02, momentum=0.9),
    dict(lr=0.02, momentum=0.8, dampening=0.3, weight_decay=0.1),
    dict(lr=0.02, momentum=0.8, nesterov=True),
    dict(lr=0.02, weight_decay=0.2),
    dict(lr=0.002, momentum=0.7, maximize=True, weight_decay=0.1),
)
enter(
    "Adagrad",
    dict(lr=0.2, lr_decay=0.01, eps=1e-3),
    dict(),
    dict(lr=0.3, lr_decay=0.02),
    dict(lr=0.2, weight_decay=0.1, initial_accumulator_value=0.5),
    dict(lr=0.2, eps=0.1),
    dict(lr=0.05, maximize=True, weight_decay=0.1),
)
enter(
    "RMSprop",
    dict(lr=0.005, alpha=0.8, weight_decay=0.02),
    dict(),
    dict(alpha=0.9, momentum=0.8),
    dict(alpha=0.9, centered=True),
    dict(alpha=0.95, eps=1e-2, weight_decay=0.1, centered=True, momentum=0.5),
    dict(lr=0.002, maximize=True, weight_decay=0.1, momentum=0.3),
)
enter(
    "Adadelta",
    dict(lr=0.5, rho=0.8, eps=1e-4),
    dict(),
    dict(lr=2.0, rho=0.95),
    dict(eps=1e-3, weight_decay=0.2),
    dict(lr=0.3, maximize=True, weight_decay=0.1),
)
for name in ("Adam", "AdamW"):
    enter(
        name,
        dict(lr=0.01, betas=(0.8, 0.95), weight_decay=0.2),
        dict(),
        dict(lr=0.02, betas=(0.4, 0.7), eps=1e-2),
        dict(lr=0.02, weight_decay=0.3),
        dict(lr=0.02, amsgrad=True, betas=(0.8, 0.9), weight_decay=0.1),
        dict(lr=0.002, maximize=True, weight_decay=0.1),
    )
enter("Adam", dict(lr=0.01), dict(lr=0.02, weight_decay=0.3, decoupled_weight_decay=True))
enter(
    "NAdam",
    dict(lr=0.01, momentum_decay=0.1, betas=(0.8, 0.95)),
    dict(),
    dict(lr=0.02, momentum_decay=0.05),
    dict(lr=0.02, momentum_decay=0, betas=(0.5, 0.8), eps=1e-2),
    dict(lr=0.02, weight_decay=0.3),
    dict(lr=0.02, weight_decay=0.3, decoupled_weight_decay=True),
    dict(lr=0.005, maximize=True, weight_decay=0.1),
)
enter(
    "RAdam",
    dict(lr=0.01, betas=(0.8, 0.95), weight_decay=0.1),
    dict(),
    dict(lr=0.02, betas=(0.5, 0.9), eps=1e-2),
    dict(lr=0.02, betas=(0.9, 0.6)),
    dict(lr=0.02, weight_decay=0.3),
    dict(lr=0.02, weight_decay=0.3, decoupled_weight_decay=True),
    dict(lr=0.005, maximize=True, weight_decay=0.1),
)
enter(
    "Adamax",
    dict(lr=0.01, betas=(0.8, 0.95), weight_decay=0.1),
    dict(),
    dict(lr=0.02, betas=(0.5, 0.9), eps=1e-2),
    dict(lr=0.02, weight_decay=0.3),
    dict(lr=0.005, maximize=True, weight_decay=0.1),
)
enter(
    "Rprop",
    dict(lr=0.02, etas=(0.4, 1.3), step_sizes=(1e-3, 0.1)),
    dict(),
    dict(etas=(0.7, 1.1)),
    dict(lr=0.05, step_sizes=(0.01, 0.2)),
    dict(lr=0.001, step_sizes=(1e-5, 0.01), maximize=True),
)
enter(
    "ASGD",
    dict(lr=0.02, lambd=0.1, t0=60),
    dict(),
    dict(lr=0.03, lambd=0.2, alpha=0.5, t0=50),
    dict(lr=0.03, t0=0, weight_decay=0.2),
    dict(lr=0.005, maximize=True, weight_decay=0.1, t0=100),
)
for problem in ("bowl", "matrices"):  # vectors and numbers too; matrices that are tall and wide, and stacks of them
    enter(
        "Adafactor",
        dict(lr=0.05, beta2_decay=-0.5, eps=(1e-2, 0.1), d=2.0, weight_decay=0.1),
        dict(),
        dict(lr=0.2),
        dict(lr=0.1, beta2_decay=-1.0, d=1.5),
        dict(lr=0.1, eps=(0.5, 0.3)),
        dict(lr=0.1, eps=(None, 2.0), weight_decay=0.3),
        dict(lr=0.02, maximize=True, weight_decay=0.1),
        problem=problem,
        gradients="by turns",
    )
enter("Adafactor", None, dict(lr=0.1, weight_decay=0.1), problem="stacks", gradients="by turns")
enter("Adafactor", dict(lr=0.05), dict(lr=0.02), problem="valley", gradients="all")
for name, *grid in (
    ("SparseAdam", dict(lr=0.05), dict(lr=0.02, betas=(0.5, 0.9), eps=1e-2), dict(lr=0.01, maximize=True)),
    ("SGD", dict(lr=0.05), dict(lr=0.005, maximize=True)),
    ("Adagrad", dict(lr=0.3, lr_decay=0.02, initial_accumulator_value=0.1), dict(lr=0.1, eps=1e-2, maximize=True)),
):
    enter(name, dict(lr=0.03), *grid, problem="matrices", gradients="rows")
enter(
    "Muon",
    dict(lr=0.002, momentum=0.8, weight_decay=0.3),
    dict(),
    dict(lr=0.01, nesterov=False),
    dict(lr=0.01, momentum=0.5, weight_decay=0),
    dict(lr=0.01, ns_steps=3, ns_coefficients=(3.0, -4.0, 1.8)),
    dict(lr=0.01, eps=0.1),
    dict(lr=0.01, adjust_lr_fn="original"),
    dict(lr=0.01, adjust_lr_fn="match_rms_adamw"),
    problem="matrices",
)
for problem, gradients in (("bowl", "all"), ("matrices", "all"), ("bowl", "one never")):
    enter(
        "LBFGS",
        None,
        dict(max_iter=3, lr=0.3),
        dict(max_iter=3, history_size=3, lr=0.2),
        dict(max_iter=3, line_search_fn="strong_wolfe"),
        dict(max_iter=8, max_eval=5, lr=0.5, line_search_fn="strong_wolfe", history_size=2),
        dict(max_iter=4, lr=0.1, tolerance_grad=1.0),
        dict(max_iter=4, lr=0.1, tolerance_change=0.05),
        problem=problem,
        gradients=gradients,
        steps=20,
        closure=True,
    )
