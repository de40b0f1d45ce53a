"""The schedulers as they are compared with PyTorch: each entry makes one, with PyTorch's names, and is run 70 steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable

STEPS = 70
METRICS = [1.0, 0.8, 0.7, 0.7, 0.71, 0.7, 0.72, 0.69, 0.69, 0.69, 0.7, 0.8, 0.6, 0.6, 0.6, 0.6, 0.6, 0.59999] * 4


class Inverse:
    """A callable object, whose numbers are saved."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return 1 / (1 + self.rate * epoch)


def warmed_up(S, o):
    parts = [S.LinearLR(o, 0.1, total_iters=8), S.CosineAnnealingLR(o, 60, eta_min=1e-3)]
    return S.SequentialLR(o, parts, milestones=[8])


def three_parts(S, o):
    parts = [S.ConstantLR(o, 0.1, total_iters=3), S.ExponentialLR(o, 0.9), S.StepLR(o, 7, gamma=0.5)]
    return S.SequentialLR(o, parts, milestones=[5, 30])


# name -> (S: the module lr_scheduler, o: an optimizer) -> a scheduler, or a list of them that are stepped in turn
SCHEDULERS: dict[str, Callable] = {
    "lambda": lambda S, o: S.LambdaLR(o, lambda t: 0.95**t),
    "lambdas": lambda S, o: S.LambdaLR(o, [lambda t: 1 / (1 + t), Inverse(0.3)]),
    "multiplicative": lambda S, o: S.MultiplicativeLR(o, lambda t: 0.99 if t % 3 else 0.9),
    "step": lambda S, o: S.StepLR(o, 7, gamma=0.5),
    "multistep": lambda S, o: S.MultiStepLR(o, [30, 10, 10, 50], gamma=0.3),
    "constant": lambda S, o: S.ConstantLR(o, 0.25, total_iters=9),
    "linear": lambda S, o: S.LinearLR(o, 0.2, 0.9, total_iters=25),
    "linear down": lambda S, o: S.LinearLR(o, 1.0, 0.1, total_iters=60),
    "exponential": lambda S, o: S.ExponentialLR(o, 0.93),
    "polynomial": lambda S, o: S.PolynomialLR(o, 50, power=1.7),
    "cosine": lambda S, o: S.CosineAnnealingLR(o, 66, eta_min=1e-3),
    "cosine there and back": lambda S, o: S.CosineAnnealingLR(o, 20, eta_min=1e-3),
    "restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 9, eta_min=1e-4),
    "growing restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 5, T_mult=2),
    "triangular": lambda S, o: S.CyclicLR(o, 0.01, 0.1, 6, 9),
    "triangular of two": lambda S, o: S.CyclicLR(o, [0.01, 0.0], [0.1, 0.3], 8, base_momentum=0.7),
    "triangular2": lambda S, o: S.CyclicLR(o, 0.01, 0.1, 6, mode="triangular2", cycle_momentum=False),
    "exp_range": lambda S, o: S.CyclicLR(o, 0.01, 0.1, 6, mode="exp_range", gamma=0.98),
    "scaled cycles": lambda S, o: S.CyclicLR(o, 0.01, 0.1, 6, scale_fn=Inverse(0.5)),
    "scaled steps": lambda S, o: S.CyclicLR(o, 0.01, 0.1, 6, scale_fn=lambda t: 0.97**t, scale_mode="iterations"),
    "one cycle": lambda S, o: S.OneCycleLR(o, 0.4, total_steps=71),
    "one cycle of two": lambda S, o: S.OneCycleLR(o, [0.4, 0.2], epochs=9, steps_per_epoch=8, max_momentum=0.9),
    "one cycle, linear": lambda S, o: S.OneCycleLR(o, 0.4, 75, pct_start=0.25, anneal_strategy="linear"),
    "one cycle, three phases": lambda S, o: S.OneCycleLR(
        o, 0.4, total_steps=72, three_phase=True, div_factor=10.0, final_div_factor=100.0, cycle_momentum=False
    ),
    "warmup, cosine": warmed_up,
    "three parts": three_parts,
    "chained": lambda S, o: S.ChainedScheduler([S.LinearLR(o, 0.1, total_iters=8), S.ExponentialLR(o, 0.95)]),
    "two": lambda S, o: [S.StepLR(o, 9, gamma=0.5), S.ExponentialLR(o, 0.97)],
    "plateau": lambda S, o: S.ReduceLROnPlateau(o, patience=2, factor=0.5, cooldown=1),
    "plateau, max": lambda S, o: S.ReduceLROnPlateau(
        o, "max", patience=3, threshold=0.05, threshold_mode="abs", min_lr=[0.02, 0.001], eps=1e-3
    ),
}
BETAS = {"one cycle", "triangular"}  # also with Adam, whose beta1 they drive


def advance(scheduler, t: int) -> None:
    """One step of one scheduler or of several."""
    for s in scheduler if isinstance(scheduler, list) else [scheduler]:
        s.step(METRICS[t]) if hasattr(s, "num_bad_epochs") else s.step()


def rates(optimizer) -> list[float]:
    """The rates of all groups, and their momenta or beta1."""
    groups = optimizer.param_groups
    return [float(g["lr"]) for g in groups] + [float(g["betas"][0] if "betas" in g else g["momentum"]) for g in groups]


def run(make: Callable, S, optimizer, steps: int = STEPS) -> list[list[float]]:
    """What the groups have at the steps 0, 1, ..."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, about the order of steps and about its own deprecations
        scheduler, seen = make(S, optimizer), [rates(optimizer)]
        for t in range(steps):
            optimizer.step()
            advance(scheduler, t)
            seen.append(rates(optimizer))
    return seen
