"""The base of all schedulers: who owns a rate, and how several schedulers and the user's own hand share it."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...tensor import Tensor
from ..optimizer import Optimizer, _plain
from ..surroundings import get, put

EPOCH_DEPRECATION_WARNING = (
    "The epoch argument of `scheduler.step()` is deprecated; call `scheduler.step()`. Where it is given, the closed "
    "form is used, if there is one."
)

_ATTACHED: weakref.WeakKeyDictionary[Optimizer, list[weakref.ref]] = weakref.WeakKeyDictionary()


class LRScheduler:
    """Sets the learning rates of an optimizer, with the interface of PyTorch's; the base class of all schedulers.

        lr = initial_lr * product over the schedulers of (v_i / n_i)

    v_i is the rate that scheduler i would give if it were alone, n_i the initial_lr that it found when it was made. So
    schedulers on one optimizer multiply, in whatever order they step. What the user writes into group["lr"] between two
    steps stays: it is noticed, since it is not what was written last, and initial_lr is rescaled so that the product
    gives it; if that is 0, the edit becomes initial_lr.

    A scheduler counts `last_epoch` from 0, the first rate, which constructing it sets. last_epoch=k says that k was the
    last one made before: the rate is then that of k + 1. What `state_dict` gives can be loaded before or after the
    optimizer's state, into a scheduler that was made before or after.

    A subclass gives `get_lr()`, one rate for each group: in closed form from self.base_lrs and self.last_epoch, or from
    group["lr"], which while it is called is the rate that this scheduler gave last:

    >>> class Halving(LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> from minidl.optim import SGD
    >>> from minidl.tensor import Parameter
    >>> rule = SGD([Parameter(np.zeros(2))], lr=0.8)
    >>> scheduler, other = Halving(rule), Halving(rule)
    >>> rule.step(); scheduler.step(); rule.param_groups[0]["lr"]
    0.4
    >>> rule.step(); other.step(); other.get_last_lr()
    [0.2]
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    optimizer: Any
    base_lrs: list
    last_epoch: int
    _step_count: int = 0
    _shares: bool = True  # False: what it gives is no factor, but like an edit by hand, made from what is there
    _visited: bool = False  # it is at work as a part of another scheduler
    _writes: bool = False  # False: a subclass whose own step() puts the rates into the groups
    _last_lr: list
    _found: list  # n: the initial rates when it was made
    _own: list  # v: the rates that it would give if it were alone

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._begin(optimizer, last_epoch)
        self._initial_step()

    def _begin(self, optimizer: Optimizer, last_epoch: int) -> None:
        """Take the optimizer over; all that is left to do is the first step."""
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{name}: {type(optimizer).__name__} is not an Optimizer")
        if isinstance(last_epoch, bool) or not isinstance(last_epoch, int):
            raise TypeError(f"{name}: last_epoch must be an int, got {last_epoch!r}")
        if any("lr" in followed for followed in optimizer._schedules):
            raise ValueError(f"{name}: the lr of this optimizer follows a schedule already; use one of the two")
        self.optimizer = optimizer
        notice(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _plain(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{name}: group {i} has no 'initial_lr', which last_epoch={last_epoch} needs; load the optimizer's "
                    "state first, or leave last_epoch at -1"
                )
        self.base_lrs = [_plain(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._found = list(self.base_lrs)
        alone = last_epoch == -1
        self._own = [_plain(group["initial_lr" if alone else "lr"]) for group in optimizer.param_groups]
        self._attach()

    def _attach(self) -> None:
        if not self._shares:
            return
        attached = _ATTACHED.setdefault(self.optimizer, [])
        attached[:] = [ref for ref in attached if ref() is not None and ref() is not self] + [weakref.ref(self)]

    def _detach(self) -> None:
        attached = _ATTACHED.get(self.optimizer, [])
        attached[:] = [ref for ref in attached if ref() is not self]

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    # what a scheduler gives
    def get_lr(self) -> list:
        """The rates of this scheduler alone at last_epoch, one for each group; from outside ask `get_last_lr()`."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def _others(self) -> dict[str, list]:
        """The values of other hyperparameters at last_epoch, one for each group."""
        return {}

    def get_last_lr(self) -> list:
        """The rates that were last written, one for each group."""
        return self._last_lr

    # steps
    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, after `optimizer.step()`. epoch: go there instead (deprecated)."""
        if self._step_count == 1 and not getattr(self.optimizer, "_stepped", True):
            warnings.warn(
                f"{type(self).__name__}: `lr_scheduler.step()` was called before `optimizer.step()`; in the opposite "
                "order the first rate of the schedule is not skipped",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        if self._visited:
            self._move(epoch)
            for group, rate in zip(self.optimizer.param_groups, self._own, strict=True):
                _set(group, "lr", rate)
            self._last_lr = list(self._own)
            return
        notice(self.optimizer)
        self._move(epoch)
        if self._shares:
            self._write()
            return
        for i, (group, rate) in enumerate(zip(self.optimizer.param_groups, self._own, strict=True)):
            _written(self.optimizer).setdefault((i, "lr"), _plain(group["lr"]))
            _set(group, "lr", rate)
        notice(self.optimizer)
        self._last_lr = list(self._own)

    def _move(self, epoch: int | None = None) -> None:
        """Go to an epoch, or to the next one, and find the rates there, without writing them."""
        with self._alone():
            get = self.get_lr
            if epoch is None:
                self.last_epoch += 1
            else:
                self.last_epoch = epoch
                get = getattr(self, "_get_closed_form_lr", get)
            self._own = self._checked(get())

    def _checked(self, rates) -> list:
        rates, n = [_plain(rate) for rate in rates], len(self.optimizer.param_groups)
        if len(rates) != n:
            raise ValueError(
                f"{type(self).__name__}: has the rates of {len(rates)} groups, the optimizer has {n}; add parameter "
                "groups before the scheduler is made"
            )
        return rates

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """In here the groups have the rates that this scheduler gave last, whatever others made of them."""
        groups = self.optimizer.param_groups
        actual = [_plain(group["lr"]) for group in groups]
        for group, rate in zip(groups, self._own if self._shares else [], strict=False):
            _set(group, "lr", rate)
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False
            for group, rate in zip(groups, actual, strict=True):
                _set(group, "lr", rate)

    def _write(self) -> None:
        """Write what all schedulers together give."""
        optimizer, self._writes = self.optimizer, True
        written = _written(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            written[i, "lr"] = _set(group, "lr", _together(optimizer, i))
            for name, values in self._others().items():
                written[i, name] = _set(group, name, values[i])
        self._last_lr = [_plain(group["lr"]) for group in optimizer.param_groups]

    def _visit(self, epoch: int) -> None:
        """As a part of another scheduler: find the rates at an epoch of one's own, without writing them."""
        if epoch > 0 and hasattr(self, "_get_closed_form_lr") and _is_ours(self.get_lr) and _is_ours(self.step):
            self._step_count += 1
            self._move(epoch)
            return
        with self._alone():  # all that is known of it is how to step
            self._visited = True
            try:
                if epoch == 0:
                    self.last_epoch = -1
                    for group, rate in zip(self.optimizer.param_groups, self._found, strict=True):
                        _set(group, "lr", rate)
                    self._own = list(self._found)
                    self._initial_step()
                while self.last_epoch < epoch:
                    self.step()
                self._own = [_plain(group["lr"]) for group in self.optimizer.param_groups]
            finally:
                del self._visited

    # files and copies
    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes: everything but the optimizer, as plain data."""
        notice(self.optimizer)
        state = {k: list(v) if type(v) is list else v for k, v in self.__dict__.items() if k != "optimizer"}
        groups = self.optimizer.param_groups
        return {**state, "initial_lrs": [_plain(group.get("initial_lr", group["lr"])) for group in groups]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, and set the rates that belong to it."""
        self._restore(state_dict)
        if self._writes:
            self._write()
        elif self._shares:
            for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                _set(group, "lr", rate)

    def _restore(self, state_dict: dict[str, Any]) -> None:
        """Take the state over, without writing rates."""
        name = type(self).__name__
        if not isinstance(state_dict, dict) or "last_epoch" not in state_dict:
            raise ValueError(f"{name}.load_state_dict: expected what {name}.state_dict() gives, got {state_dict!r}")
        state = {k: list(v) if type(v) is list else v for k, v in state_dict.items()}
        # making a OneCycleLR set initial_lr anew, and with it undid edits that the optimizer's state had brought
        for group, rate in zip(self.optimizer.param_groups, state.pop("initial_lrs", ()), strict=False):
            group["initial_lr"] = rate
        self.__dict__.update(state)
        if "_own" not in state_dict:  # PyTorch's
            self._found = list(state_dict.get("base_lrs", self._found))
            closed: Callable | None = getattr(self, "_get_closed_form_lr", None)
            self._own = list(closed() if closed is not None else state_dict.get("_last_lr", self._own))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_own" in state:
            self._attach()


_LRScheduler = LRScheduler


def notice(optimizer: Optimizer) -> None:
    """Take edits of group["lr"] since it was last written into initial_lr."""
    written = _written(optimizer)
    for i, group in enumerate(optimizer.param_groups):
        rate = _plain(group["lr"])
        if "initial_lr" in group and written.get((i, "lr"), rate) != rate:
            now = _together(optimizer, i)
            group["initial_lr"] = group["initial_lr"] * (rate / now) if now else rate
            written[i, "lr"] = rate


def _together(optimizer: Optimizer, i: int) -> float:
    """The rate of group i that all its schedulers give."""
    group = optimizer.param_groups[i]
    rate = group["initial_lr"] if "initial_lr" in group else _plain(group["lr"])
    for ref in _ATTACHED.get(optimizer, ()):
        scheduler = ref()
        if scheduler is not None and i < len(scheduler._own):
            v, n = scheduler._own[i], scheduler._found[i]
            rate = v if rate == n or not n else rate * (v / n)  # alone, exactly v
    return rate


def _is_ours(method: Callable) -> bool:
    return method.__module__.startswith(__package__)


def _written(optimizer: Optimizer) -> dict[tuple[int, str], float]:
    if not hasattr(optimizer, "_written"):
        optimizer._written = {}
    return optimizer._written


def _set(group: dict[str, Any], name: str, value) -> float:
    """Write a hyperparameter, into the Tensor if it is one; gives what is then there."""
    current = group.get(name) if "[" not in name else None
    if isinstance(current, Tensor):
        current.write(value)
    else:
        put(group, name, value)
    return _plain(get(group, name))


def warn_get_lr_called_within_step(scheduler: LRScheduler) -> None:
    """Warn of a call of get_lr() from outside."""
    if not scheduler._get_lr_called_within_step:
        warnings.warn(
            "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
            UserWarning,
            stacklevel=3,
        )


_warn_get_lr_called_within_step = warn_get_lr_called_within_step  # PyTorch's name, which subclasses call


class ClosedForm(LRScheduler):
    """A scheduler whose rates are a formula of last_epoch and the base rates: one factor, or one for each group."""

    def _factors(self) -> list[float] | float:
        """What base_lrs are multiplied by at last_epoch."""
        raise NotImplementedError

    def _get_closed_form_lr(self) -> list:
        factors = self._factors()
        each = factors if isinstance(factors, list) else [factors] * len(self.base_lrs)
        return [base * factor for base, factor in zip(self.base_lrs, each, strict=True)]

    def get_lr(self) -> list:
        """The rates at last_epoch."""
        warn_get_lr_called_within_step(self)
        return self._get_closed_form_lr()
