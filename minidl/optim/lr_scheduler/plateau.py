"""ReduceLROnPlateau: the scheduler that looks at how training goes."""

from __future__ import annotations

import math
import warnings
from typing import Any, SupportsFloat

from ..checks import number, whole
from ..optimizer import Optimizer, _plain
from ..schedules.schedule import choice
from .scheduler import EPOCH_DEPRECATION_WARNING, LRScheduler, not_captured, notice


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by factor when a metric has not become better for more than `patience` epochs.

    Better is (mode "min", threshold_mode "rel") below best (1 - threshold), ("abs") below best - threshold; with mode
    "max" above best (1 + threshold), best + threshold. After a reduction `cooldown` epochs are not counted. The rate
    does not fall below min_lr (one, or one for each group), nor by less than eps.

    When to use it: where neither the length of the run nor a good schedule is known, with a metric of data that were
    kept back. Bad at: noisy metrics, with a small patience; being repeated, since it depends on the metric.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        where = "ReduceLROnPlateau"
        if number(where, "factor", factor, 0) >= 1.0:
            raise ValueError(f"{where}: factor must be < 1, got {factor}")
        self.mode = choice(where, "mode", mode, ("min", "max"))
        self.threshold_mode = choice(where, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.factor, self.threshold = float(factor), number(where, "threshold", threshold)
        self.patience, self.cooldown = whole(where, "patience", patience, 0), whole(where, "cooldown", cooldown, 0)
        self.eps = number(where, "eps", eps, 0)
        self._begin(optimizer, -1)
        n = len(optimizer.param_groups)
        several = isinstance(min_lr, (list, tuple))
        self.default_min_lr = None if several else number(where, "min_lr", min_lr)
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * n
        if len(self.min_lrs) != n:
            self._detach()
            raise ValueError(f"{where}: expected {n} min_lrs, one for each group, got {len(self.min_lrs)}")
        self.last_epoch = 0
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._reset()
        self._write()

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = self.num_bad_epochs = 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of the metric of an epoch, and reduce the rate if it is time."""
        not_captured(self)
        current = float(metrics)
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._extend()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        notice(self.optimizer)
        if self._is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._write()

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau: has {len(self.min_lrs)} min_lrs, but the optimizer now has {len(groups)} "
                    "groups; make the field `min_lrs` as long"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for i, group in enumerate(groups):
            old = float(_plain(group["lr"]))
            new = max(old * self.factor, self.min_lrs[i])
            if old - new > self.eps:
                self._own[i] = new if old == self._own[i] else self._own[i] * (new / old)

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs are not counted for the moment."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        relative = self.threshold_mode == "rel"
        if self.mode == "min":
            return a < (best * (1.0 - self.threshold) if relative else best - self.threshold)
        return a > (best * (self.threshold + 1.0) if relative else best + self.threshold)

    def _restore(self, state_dict: dict[str, Any]) -> None:
        if "_own" not in state_dict and "_last_lr" in state_dict:  # PyTorch's: it has no base_lrs
            state_dict = {**state_dict, "_own": list(state_dict["_last_lr"])}
        super()._restore(state_dict)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf
