"""Cases of the ops of the losses (cross-entropy and the squared error are in `elementary.py`)."""

from __future__ import annotations

import numpy as np

from .table import apart, between, case, normal, values


def _huber(d, delta):
    return np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2))


def _bce(x, t):
    with np.errstate(divide="ignore"):
        return -t * np.maximum(np.log(x), -100) - (1 - t) * np.maximum(np.log(1 - x), -100)


def _bce_of_logits(x, t, w):
    return w * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)


case("huber", [apart(4, 3)], _huber, delta=0.5)
case("huber", [normal()], _huber, "0-d", delta=10.0)
case("huber", [values([[1.5, -1.5, 0.0]])], _huber, "kinks", delta=1.5, fixed=(0,))
case("binary_cross_entropy", [between(0.1, 0.75, 4, 3), between(0.1, 0.9, 4, 3)], _bce)
case("binary_cross_entropy", [between(0.2, 0.75), between(0.2, 0.8)], _bce, "0-d")
case("binary_cross_entropy", [values([0.0, 1.0, 0.0, 1.0]), values([0.0, 1.0, 1.0, 0.0])], _bce, "ends", fixed=(0, 1))
case("binary_cross_entropy_with_logits", [normal(4, 3), between(0, 1, 4, 3), between(0.5, 2, 3)], _bce_of_logits)
case("binary_cross_entropy_with_logits", [normal(), between(0, 1), 1.0], _bce_of_logits, "0-d, no weight")
case(
    "binary_cross_entropy_with_logits",
    [values([100.0, -100.0, 100.0, -100.0]), values([0.0, 0.0, 1.0, 1.0]), 2.0],
    _bce_of_logits,
    "large",
    fixed=(0, 1),
)
