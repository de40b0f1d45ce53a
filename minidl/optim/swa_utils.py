"""Averages of models, under PyTorch's names: stochastic weight averaging (SWA) and exponential averages (EMA)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..backend import backend_of, get_backend
from ..backend import device as _device
from ..backend.dtypes import float32
from ..modes import no_grad
from ..nn.module import Module
from ..nn.norm import _BatchNorm
from ..tensor import Tensor, describe, wrap
from .checks import is_number
from .ema import lerp
from .lr_scheduler.scheduler import LRScheduler, warn_get_lr_called_within_step
from .optimizer import Optimizer, _plain

__all__ = [
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


# -------------------------------------------------------------------------------------------------- ways to average
def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """For AveragedModel(multi_avg_fn=...): a <- a + (1 - decay) (w - a), in place; decay is from 0 to 1."""
    _check_decay("get_ema_multi_avg_fn", decay)

    def ema_update(ema_param_list: list[Tensor], current_param_list: list[Tensor], _) -> None:
        for a, w in zip(ema_param_list, current_param_list, strict=True):
            if a.array.dtype.kind == "f":
                a.write(lerp(a.array, w.array, 1 - decay))
            else:
                a.write(decay * _floating(a) + (1 - decay) * _floating(w))

    return ema_update


def get_swa_multi_avg_fn() -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """For AveragedModel(multi_avg_fn=...): a <- a + (w - a) / (n + 1), the mean of all, in place."""

    def swa_update(averaged_param_list: list[Tensor], current_param_list: list[Tensor], num_averaged) -> None:
        n = _count(num_averaged)
        for a, w in zip(averaged_param_list, current_param_list, strict=True):
            if a.array.dtype.kind == "f":
                a.write(lerp(a.array, w.array, 1 / (n + 1)))
            else:
                a.write(_floating(a) + (_floating(w) - _floating(a)) / (n + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """For AveragedModel(avg_fn=...): decay a + (1 - decay) w; decay is from 0 to 1."""
    _check_decay("get_ema_avg_fn", decay)

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged) -> Tensor:
        B = backend_of(ema_param.array)
        return wrap(B.asarray(decay * _floating(ema_param) + (1 - decay) * _floating(current_param)))

    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """For AveragedModel(avg_fn=...): a + (w - a) / (n + 1), the mean of all."""

    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged) -> Tensor:
        a, w = _floating(averaged_param), _floating(current_param)
        return wrap(backend_of(a).asarray(a + (w - a) / (_count(num_averaged) + 1)))

    return swa_update


# ------------------------------------------------------------------------------------------------------- the average
class AveragedModel(Module):
    """A copy of a model whose parameters are the average of those that the model had at each `update_parameters`.

        a <- w                      at the first update,        n <- 1
        a <- a + (w - a) / (n + 1)  at each later one,          n <- n + 1

    model: what is copied, `.module` here. device: where to keep the copy. avg_fn: another way to average,
    `(a, w, n) -> a`, n a Tensor; multi_avg_fn: the same on lists of Tensors, in place, called once for each device and
    dtype (`get_ema_multi_avg_fn(0.999)` gives an exponential average). use_buffers: average the buffers too; without it
    they are copied from the model at every update.

    When to choose it: SWA for the last quarter of a run, with the constant or cyclic rate of `SWALR`, one update an
    epoch: wider minima, often better generalisation at no cost. Before evaluating a model with batch normalisation call
    `update_bn`. For an exponential average of every step `optim.EMA` is handier. Bad at: averaging weights that are
    not yet in one basin; it then is worse than the last model.

    Raises ValueError if both functions are given, and when the model updated from has other parameters.

    Source: P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov and A. Wilson, Averaging weights leads to wider optima
    and better generalization, UAI 2018, arXiv 1803.05407.

    >>> from minidl import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     model.weight.write(value)
    ...     average.update_parameters(model)
    >>> average.module.weight.item(), average.n_averaged.item()
    (3.0, 3)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device=None,
        avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
        multi_avg_fn: Callable[[list[Tensor], list[Tensor], Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, Module):
            raise TypeError(f"AveragedModel: model must be a Module, got {type(model).__name__}")
        for name, function in (("avg_fn", avg_fn), ("multi_avg_fn", multi_avg_fn)):
            if function is not None and not callable(function):
                raise TypeError(f"AveragedModel: {name} must be a function, got {type(function).__name__}")
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        n = np.array(0, dtype=np.int64)
        if device is not None:
            where = _device(device)
            self.module.to(where)
            n = get_backend(where).from_host(n, where)
        self.register_buffer("n_averaged", wrap(n))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, bool(use_buffers)

    def forward(self, *args, **kwargs):
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Let the parameters of the model, as they are now, into the average."""
        own: list[Tensor] = list(self.module.parameters())
        others: list[Tensor] = list(model.parameters())
        own_buffers, buffers = list(self.module.buffers()), list(model.buffers())
        _check_alike("parameters", own, others)
        _check_alike("buffers", own_buffers, buffers)
        if self.use_buffers:
            own, others = own + own_buffers, others + buffers
        averages = [a.detach() for a in own]
        news = [_beside(w, a) for w, a in zip(others, own, strict=True)]
        n = _count(self.n_averaged)
        if n == 0:
            for a, w in zip(averages, news, strict=True):
                a.write(w.array)
        elif self.multi_avg_fn is not None:
            kinds: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
            for a, w in zip(averages, news, strict=True):
                together = kinds.setdefault((a.device, a.array.dtype), ([], []))
                together[0].append(a)
                together[1].append(w)
            for same, current in kinds.values():
                self.multi_avg_fn(same, current, self.n_averaged.detach().to(same[0].device))
        else:
            function = get_swa_avg_fn() if self.avg_fn is None else self.avg_fn
            count = n if self.avg_fn is None else self.n_averaged.detach()
            for a, w in zip(averages, news, strict=True):
                a.write(function(a, w, count.to(a.device) if isinstance(count, Tensor) else count).array)
        if not self.use_buffers:
            for a, b in zip(own_buffers, buffers, strict=True):
                a.write(_beside(b, a).array)
        self.n_averaged.write(n + 1)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device=None) -> None:
    """Measure the running means and variances of batch normalisation anew, for a model whose weights are an average.

    loader: batches, Tensors or tuples whose first item is the input, which go through the model once, in training mode
    and without gradients; the statistics are the mean over these batches. device: where to move the inputs first. Modes
    and momenta are afterwards as before.

    >>> import minidl
    >>> from minidl import nn
    >>> model = nn.BatchNorm1d(1)
    >>> update_bn([minidl.tensor([[1.0], [3.0]]), minidl.tensor([[5.0], [7.0]])], model)
    >>> model.running_mean, model.momentum
    (tensor([4.]), 0.1)
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta, modes = [module.momentum for module in norms], [(module, module.training) for module in model.modules()]
    for module in norms:
        module.reset_running_stats()
    try:
        model.train()
        for module in norms:
            module.momentum = None  # which stands for the mean of all batches
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    finally:
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum
        for each, training in modes:
            each.training = training


class SWALR(LRScheduler):
    """Anneals the rate of each group from where it is to swa_lr, and keeps it there; the schedule that goes with SWA.

        lr = alpha swa_lr + (1 - alpha) lr_0,    alpha = (1 - cos(pi t)) / 2 or t,    t = min(1, epoch / anneal_epochs)

    swa_lr: a number, or a list with one for each group. anneal_epochs: how many steps it takes. anneal_strategy: "cos"
    or "linear". last_epoch: -1, or the number of the last step before a resume. It goes from each rate to the next, so
    that a rate changed by hand or by another scheduler in between counts. Raises ValueError for a wrong number of
    rates, negative anneal_epochs and unknown strategies.

    Source: P. Izmailov et al., 2018; see `AveragedModel`.

    >>> from minidl import nn, optim
    >>> rule = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> scheduler = SWALR(rule, swa_lr=0.2, anneal_epochs=2, anneal_strategy="linear")
    >>> for _ in range(3):
    ...     rule.step(); scheduler.step(); round(rule.param_groups[0]["lr"], 3)
    0.6
    0.2
    0.2
    """

    _shares = False  # it goes on from the rate that is there, also from what another scheduler made it

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        groups = optimizer.param_groups
        rates = list(swa_lr) if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(groups)
        if len(rates) != len(groups):
            raise ValueError(f"SWALR: swa_lr has {len(rates)} values, expected one for each of {len(groups)} groups")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not is_number(anneal_epochs) or anneal_epochs != int(anneal_epochs) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs must be a whole number >= 0, got {anneal_epochs!r}")
        for rate in rates:
            if not is_number(rate) or not 0 <= rate < math.inf:
                raise ValueError(f"SWALR: swa_lr must be a finite number >= 0, got {rate!r}")
        for group, rate in zip(groups, rates, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """alpha at t."""
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[float]:
        """The rates of the step to come, from those that the groups have now."""
        warn_get_lr_called_within_step(self)
        step, length = self._step_count - 1, max(1, self.anneal_epochs)
        if self.anneal_epochs == 0:
            step = max(1, step)
        before = self.anneal_func(max(0, min(1, (step - 1) / length)))
        alpha = self.anneal_func(max(0, min(1, step / length)))
        found = []
        for group in self.optimizer.param_groups:
            lr, end = _plain(group["lr"]), group["swa_lr"]
            start = end if before == 1 else (lr - before * end) / (1 - before)
            found.append(end * alpha + start * (1 - alpha))
        return found


# ------------------------------------------------------------------------------------------------------------- small
def _check_decay(name: str, decay) -> None:
    if not is_number(decay) or not 0 <= decay <= 1:
        raise ValueError(f"{name}: decay must be a number from 0 to 1, got {decay!r}")


def _count(n) -> int:
    return int(backend_of(n.array).to_host(n.array)) if isinstance(n, Tensor) else int(n)


def _floating(t: Tensor):
    """Its array; integers (a count of batches) in single precision, as PyTorch computes with them."""
    return t.array if t.array.dtype.kind == "f" else backend_of(t.array).astype(t.array, float32)


def _beside(w: Tensor, a: Tensor) -> Tensor:
    return w.detach().to(a.device)


def _check_alike(what: str, own: list[Tensor], others: list[Tensor]) -> None:
    if len(own) != len(others):
        raise ValueError(f"AveragedModel: the model has {len(others)} {what}, the average {len(own)}")
    for i, (a, w) in enumerate(zip(own, others, strict=True)):
        if a.shape != w.shape:
            found, expected = describe(w.array), describe(a.array)
            raise ValueError(f"AveragedModel: number {i} of the model's {what} is {found}, of the average's {expected}")
