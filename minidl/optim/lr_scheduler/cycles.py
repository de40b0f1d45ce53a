"""The schedulers that go up and down, under PyTorch's names."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from .. import schedules
from ..checks import number, whole
from ..optimizer import Optimizer, _plain
from ..schedules.curves import PATHS, along, one_cycle_points, period
from ..schedules.schedule import choice
from .factors import saved_function
from .scheduler import ClosedForm


class CosineAnnealingLR(ClosedForm):
    """eta_min + (base_lr - eta_min) (1 + cos(pi t / T_max)) / 2. Beyond T_max it rises again, as in PyTorch.

    See `schedules.cosine`, which stays at its end, for when to use it.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = whole("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def _get_closed_form_lr(self) -> list:
        x = schedules.cosine_wave(self.T_max)(self.last_epoch)
        return [self.eta_min + (base - self.eta_min) * x for base in self.base_lrs]


class CosineAnnealingWarmRestarts(ClosedForm):
    """Cosines that begin anew after T_0 epochs, each T_mult times as long as the last. See `schedules.warm_restarts`.

    T_i is the length of the period, T_cur the place in it. `step(epoch)` takes fractions of an epoch, such as
    `step(epoch + batch / batches)`.
    """

    _anew = True

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        where = "CosineAnnealingWarmRestarts"
        self.T_0, self.T_mult = whole(where, "T_0", T_0), whole(where, "T_mult", T_mult)
        self.T_i, self.eta_min = self.T_0, number(where, "eta_min", eta_min)
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def _get_closed_form_lr(self) -> list:
        x = schedules.cosine_wave(self.T_i)(self.T_cur)
        return [self.eta_min + (base - self.eta_min) * x for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one epoch, or to this epoch, which may be a fraction."""
        self._counted_update(epoch)  # type: ignore[arg-type]

    def _move(self, epoch: float | None = None) -> None:
        if epoch is not None and not 0 <= epoch < math.inf:
            raise ValueError(f"CosineAnnealingWarmRestarts.step: expected a finite epoch >= 0, got {epoch}")
        where = self.last_epoch + 1 if epoch is None else epoch
        self.T_cur, length = period(where, self.T_0, self.T_mult)
        self.T_i, self.last_epoch = int(length), math.floor(where)
        with self._alone():
            self._own = self._checked(self.get_lr())


class _Momentum(ClosedForm):
    """What CyclicLR and OneCycleLR do to the momentum, or to Adam's beta1."""

    _anew = True
    _grows = False

    cycle_momentum: bool
    use_beta1: bool

    def _take_momentum(self, optimizer: Optimizer, base_momentum, max_momentum, last_epoch: int) -> list[list[float]]:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"{type(self).__name__}: cycle_momentum=True needs an optimizer with momentum or betas, got "
                f"{type(optimizer).__name__}"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        low = _each(self, "base_momentum", optimizer, base_momentum)
        high = _each(self, "max_momentum", optimizer, max_momentum)
        if last_epoch == -1:
            for group, b, m in zip(optimizer.param_groups, low, high, strict=True):
                group["base_momentum"], group["max_momentum"] = b, m
        return [low, high]

    def _others(self) -> dict[str, list]:
        return {"betas[0]" if self.use_beta1 else "momentum": self._momenta()} if self.cycle_momentum else {}

    def _momenta(self) -> list[float]:
        raise NotImplementedError


class CyclicLR(_Momentum):
    """Triangles between base_lr and max_lr. See `schedules.cyclic`, also for the modes.

    scale_fn: scales the height instead of the mode, as a function of the cycle, counted from 1 (scale_mode "cycle"), or
    of last_epoch ("iterations"). cycle_momentum: the momentum, or Adam's beta1, goes from max_momentum down to
    base_momentum while the rate rises.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"CyclicLR: {type(optimizer).__name__} is not an Optimizer")
        base_lrs, self.max_lrs = _each(self, "base_lr", optimizer, base_lr), _each(self, "max_lr", optimizer, max_lr)
        if scale_fn is None:
            choice("CyclicLR", "mode", mode, ("triangular", "triangular2", "exp_range"))
        choice("CyclicLR", "scale_mode", scale_mode, ("cycle", "iterations"))
        up = whole("CyclicLR", "step_size_up", step_size_up)
        down = up if step_size_down is None else whole("CyclicLR", "step_size_down", step_size_down)
        self.total_size = float(up + down)
        self.step_ratio = up / self.total_size
        self.mode, self.gamma = mode, number("CyclicLR", "gamma", gamma, 0)
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = bool(cycle_momentum)
        if self.cycle_momentum:
            both = self._take_momentum(optimizer, base_momentum, max_momentum, last_epoch)
            self.base_momentums, self.max_momentums = both
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                group.setdefault("initial_lr", rate)
        self._begin(optimizer, last_epoch)
        self.base_lrs = base_lrs
        self._initial_step()

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, or of an epoch."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return 1.0 if self.mode == "triangular" else 2.0 ** (1 - x) if self.mode == "triangular2" else self.gamma**x

    def _height(self) -> float:
        cycle, u = divmod(self.last_epoch, self.total_size)
        up = self.total_size * self.step_ratio
        x = u / up if u <= up else (self.total_size - u) / (self.total_size - up)
        return x * self.scale_fn(int(cycle) + 1 if self.scale_mode == "cycle" else self.last_epoch)

    def _get_closed_form_lr(self) -> list:
        height = self._height()
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def _momenta(self) -> list[float]:
        height = self._height()
        both = zip(self.base_momentums, self.max_momentums, strict=True)
        return [high - (high - low) * height for low, high in both]

    def state_dict(self) -> dict[str, Any]:
        """As the base class; a scale_fn that is a function is not saved, of a callable object its __dict__ is."""
        return {**super().state_dict(), "_scale_fn_custom": saved_function(self._scale_fn_custom)}

    def _restore(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("_scale_fn_custom")
        if saved is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(saved)
        super()._restore({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})


class OneCycleLR(_Momentum):
    """From max_lr / div_factor up to max_lr and down to a final_div_factor-th of where it began. See `one_cycle`.

    Its length is total_steps, or epochs * steps_per_epoch. pct_start: the part of it in which the rate rises.
    cycle_momentum: the momentum, or Adam's beta1, goes down to base_momentum meanwhile, and back. After its last step
    it stays where it is, and warns once of steps beyond total_steps.
    """

    _warned = False

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"OneCycleLR: {type(optimizer).__name__} is not an Optimizer")
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR: give either total_steps, or epochs and steps_per_epoch")
        lengths = {"total_steps": total_steps}
        if total_steps is None:
            lengths = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        self.total_steps = math.prod([whole("OneCycleLR", name, n) for name, n in lengths.items()])
        points = one_cycle_points("OneCycleLR", self.total_steps, pct_start, three_phase)
        down = ("max_lr", "base_momentum")
        rest = [("initial_lr", "max_momentum")] if three_phase else []
        levels = [("initial_lr", "max_momentum"), down, *rest, ("min_lr", "max_momentum")]
        self._schedule_phases = [
            dict(end_step=end, start_lr=a[0], end_lr=b[0], start_momentum=a[1], end_momentum=b[1])
            for end, a, b in zip(points[1:], levels, levels[1:], strict=False)
        ]
        self._anneal_func_type = choice("OneCycleLR", "anneal_strategy", anneal_strategy, tuple(PATHS))
        if number("OneCycleLR", "div_factor", div_factor, 0) * number("OneCycleLR", "final", final_div_factor, 0) == 0:
            raise ValueError(f"OneCycleLR: the factors must be > 0, got div_factor={div_factor}, {final_div_factor=}")
        max_lrs = _each(self, "max_lr", optimizer, max_lr)
        self.cycle_momentum = bool(cycle_momentum)
        if self.cycle_momentum:
            self._take_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, max_lrs, strict=True):
                group["max_lr"], group["lr"] = top, top / div_factor
                group["initial_lr"], group["min_lr"] = top / div_factor, top / div_factor / final_div_factor
            getattr(optimizer, "_written", {}).clear()  # that was no edit
        super().__init__(optimizer, last_epoch)

    def _level(self, group: dict[str, Any], initial: float, key: str) -> float:
        return initial if key == "initial_lr" else _plain(group[key])

    def _along(self, what: str) -> list[float]:
        """Rates or momenta at last_epoch."""
        if self.last_epoch > self.total_steps and not self._warned:
            self._warned = True
            warnings.warn(
                f"OneCycleLR: step {self.last_epoch} is beyond its total_steps={self.total_steps}; it stays at the end",
                UserWarning,
                stacklevel=2,
            )
        groups, phases = self.optimizer.param_groups, self._schedule_phases
        keys = [phases[0][f"start_{what}"], *[phase[f"end_{what}"] for phase in phases]]
        points = (0.0, *[phase["end_step"] for phase in phases])
        path = PATHS[self._anneal_func_type]
        return [
            along(self.last_epoch, points, [self._level(group, initial, str(key)) for key in keys], path)
            for group, initial in zip(groups, self._found, strict=True)
        ]

    def _get_closed_form_lr(self) -> list:
        return self._along("lr")

    def _momenta(self) -> list[float]:
        return self._along("momentum")


def _each(scheduler, name: str, optimizer: Optimizer, value: float | Sequence[float]) -> list[float]:
    """One number for each group."""
    n, where = len(optimizer.param_groups), type(scheduler).__name__
    values = [_plain(v) for v in (value if isinstance(value, (list, tuple)) else [value] * n)]
    if len(values) != n:
        raise ValueError(f"{where}: {name} must have one value for each of the {n} groups, got {len(values)}")
    return [number(where, name, v) for v in values]
