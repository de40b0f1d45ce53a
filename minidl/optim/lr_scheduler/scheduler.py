"""The base of all schedulers: who owns a rate, and how several schedulers and the user's own hand share it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...backend import CAPTURES
from ...tensor import Tensor
from ..checks import is_number
from ..optimizer import Optimizer, _plain
from ..surroundings import get, put

EPOCH_DEPRECATION_WARNING = (
    "The epoch argument of `scheduler.step()` is deprecated; call `scheduler.step()`. Where it is given, the closed "
    "form is used, if there is one."
)


class Share:
    """What a scheduler contributes to the rates. It is plain data, and the optimizer's: it outlives the scheduler."""

    def __init__(self, own: list, found: list, rest: bool = False) -> None:
        self.own, self.found, self.rest = own, found, rest


def not_captured(scheduler) -> None:
    """Raise while a step is captured in a graph, which cannot count."""
    if CAPTURES:
        raise RuntimeError(f"{type(scheduler).__name__}.step: a captured step cannot count; call it after the step")


class LRScheduler:
    """Sets the learning rates of an optimizer, with the interface of PyTorch's; the base class of all schedulers.

        lr = initial_lr * product over the schedulers of (v_i / n_i)

    v_i is the rate that scheduler i would give if it were alone, n_i the initial_lr that it found when it was made. So
    schedulers on one optimizer multiply, in whatever order they step. What the user writes into group["lr"] between two
    steps stays: it is noticed, since it is not what was written last, and initial_lr is rescaled so that the product
    gives it; if that is 0, the edit becomes initial_lr.

    What a scheduler contributed stays when it is not stepped any more, or deleted: a new scheduler begins at the rate
    that is there. Those that PyTorch computes from the initial rates (LambdaLR, CosineAnnealingWarmRestarts, CyclicLR,
    OneCycleLR, SequentialLR) begin at their own rate instead; an older one counts again from its next step on.

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

    __slots__ = ("__dict__", "__weakref__", "_share")  # not in __dict__, which subclasses save and load

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    optimizer: Any
    base_lrs: list
    last_epoch: int
    _step_count: int = 0
    _shares: bool = True  # False: what it gives is no factor, but like an edit by hand, made from what is there
    _visited: bool = False  # it is at work as a part of another scheduler
    _anew: bool = False  # it begins at its own rate, not at the one that is there
    _grows: bool = True  # False: it was given numbers for each group, so that no group can be added
    _share: Share
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
        if not is_number(last_epoch) or last_epoch != int(last_epoch):
            raise TypeError(f"{name}: last_epoch must be an int, got {last_epoch!r}")
        last_epoch = int(last_epoch)
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
        self._share = Share([], [])
        if self._anew:
            shares_of(optimizer).clear()
        elif alone and self._shares:
            self._continue()
        self._attach()

    def _continue(self) -> None:
        """Let the rates that are there (a file may have brought them) be what the others give."""
        shares, groups = shares_of(self.optimizer), self.optimizer.param_groups
        rates = [_plain(group["lr"]) for group in groups]
        now = [_together(self.optimizer, i) for i in range(len(groups))]
        if any(n and not math.isclose(rate, n, rel_tol=1e-12) for rate, n in zip(rates, now, strict=True)):
            shares[:] = [share for share in shares if not share.rest]
            now = [_together(self.optimizer, i) for i in range(len(groups))]
            shares.append(Share([rate if n else n for rate, n in zip(rates, now, strict=True)], now, rest=True))

    def _attach(self) -> None:
        """Let it count, with the rates that it gives now."""
        if self._shares:
            self._share.own, self._share.found = list(self._own), list(self._found)
            if not self._counts:
                shares_of(self.optimizer).append(self._share)

    def _detach(self) -> None:
        shares = shares_of(self.optimizer)
        shares[:] = [share for share in shares if share is not self._share]

    @property
    def _counts(self) -> bool:
        return any(share is self._share for share in shares_of(self.optimizer))

    def _rest(self) -> list[float]:
        """The factors of all others."""
        others = [share for share in shares_of(self.optimizer) if share is not self._share]
        return [_factor(others, i) for i in range(len(self.optimizer.param_groups))]

    def _put_rest(self, factors: list[float]) -> None:
        """Let the factors of all others be these, whether or not the schedulers that they came from are here."""
        shares = shares_of(self.optimizer)
        shares[:] = [share for share in shares if not share.rest]
        now = self._rest()
        if now != factors and all(now):
            shares.append(Share(list(factors), now, rest=True))

    def _extend(self) -> None:
        """Take in groups that were added: each goes on from the rate that it has."""
        groups, n = self.optimizer.param_groups, len(self._own)
        if not self._has_grown():
            return
        for group in groups[n:]:
            group.setdefault("initial_lr", _plain(group["lr"]))
        base = [_plain(group["initial_lr"]) for group in groups[n:]]
        for name in ("base_lrs", "_found", "_own"):
            setattr(self, name, [*getattr(self, name, base[:0]), *base])
        with self._alone():
            self._own[n:] = self._current()[n:]
        if self._counts:
            self._attach()
            for i in range(n, len(groups)):  # as if they had been changed by hand
                _written(self.optimizer)[i, "lr"] = _together(self.optimizer, i)

    def _can_grow(self) -> bool:
        """Whether groups may be added to the optimizer."""
        return self._grows

    def _has_grown(self) -> bool:
        """Whether groups were added; raises if it cannot take them in."""
        n, found = len(self._own), len(self.optimizer.param_groups)
        if found > n and not self._can_grow():
            raise ValueError(
                f"{type(self).__name__}: has the rates of {n} groups, the optimizer has {found}; add parameter groups "
                "before the scheduler is made"
            )
        return found > n

    def _current(self) -> list:
        """The rates at last_epoch."""
        return getattr(self, "_get_closed_form_lr", lambda: self._own)()

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
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._counted_update(epoch)

    def _counted_update(self, epoch: int | None = None) -> None:
        not_captured(self)
        self._step_count += 1
        try:
            self._update_lr(epoch)
        except BaseException:
            self._step_count -= 1
            raise

    def _update_lr(self, epoch: int | None = None) -> None:
        if not self._is_initial:
            self._extend()
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
        before = self.last_epoch
        try:
            with self._alone():
                get = self.get_lr
                if epoch is None:
                    self.last_epoch += 1
                else:
                    self.last_epoch = epoch
                    get = getattr(self, "_get_closed_form_lr", get)
                self._own = self._checked(get())
        except BaseException:
            self.last_epoch = before
            raise

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
        self._attach()
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
        self._extend()
        notice(self.optimizer)
        state = {k: list(v) if type(v) is list else v for k, v in self.__dict__.items() if k != "optimizer"}
        groups = self.optimizer.param_groups
        initial = [_plain(group.get("initial_lr", group["lr"])) for group in groups]
        own = {"_class": type(self).__name__, "_rest": self._rest(), "_counts": self._counts}
        return {**state, **own, "initial_lrs": initial}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, and set the rates that belong to it; if it does not fit, nothing is changed."""
        self._check(state_dict)
        self._restore(state_dict)
        if not self._counts and self._shares:
            self._last_lr = list(state_dict.get("_last_lr", self._last_lr))
        elif self._writes:
            self._write()
        elif self._shares:
            self._attach()
            for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                _set(group, "lr", rate)

    def _check(self, state_dict: dict[str, Any]) -> None:
        """Raise unless it is the state of such a scheduler; of subclasses elsewhere only the groups are checked."""
        name, n = type(self).__name__, len(self.optimizer.param_groups)
        where = f"{name}.load_state_dict"
        if not isinstance(state_dict, dict) or "last_epoch" not in state_dict:
            raise ValueError(f"{where}: expected what {name}.state_dict() gives, got {state_dict!r}")
        if type(self).__module__.startswith(__package__):
            if state_dict.get("_class", name) != name:
                raise ValueError(f"{where}: expected the state of a {name}, got that of a {state_dict['_class']}")
            if "_class" not in state_dict:  # PyTorch's
                own, given = [{k for k in d if k[0] != "_"} - _ANY for d in (self.state_dict(), state_dict)]
                if own != given:
                    what = f"has no {sorted(own - given)}" if own - given else f"has {sorted(given - own)}"
                    raise ValueError(f"{where}: expected the state of a {name}, but it {what}")
        for key in ("initial_lrs", "base_lrs", "_own", "_last_lr"):
            rates = state_dict.get(key)
            if isinstance(rates, (list, tuple)) and len(rates) != n:
                raise ValueError(f"{where}: the state has the rates of {len(rates)} groups, the optimizer has {n}")

    def _restore(self, state_dict: dict[str, Any]) -> None:
        """Take the state over, without writing rates."""
        state = {k: list(v) if type(v) is list else v for k, v in state_dict.items()}
        # making a OneCycleLR set initial_lr anew, and with it undid edits that the optimizer's state had brought
        for group, rate in zip(self.optimizer.param_groups, state.pop("initial_lrs", ()), strict=False):
            group["initial_lr"] = rate
        rest, counts, _ = state.pop("_rest", None), state.pop("_counts", True), state.pop("_class", None)
        self.__dict__.update(state)
        if "_own" not in state_dict:  # PyTorch's
            self._found = list(state_dict.get("base_lrs", self._found))
            closed: Callable | None = getattr(self, "_get_closed_form_lr", None)
            begun = closed is not None and self.last_epoch >= 0  # PyTorch's later parts of a SequentialLR have not
            self._own = list(closed() if closed and begun else state_dict.get("_last_lr", self._own))
        if not counts:
            self._detach()
        elif self._counts:
            self._attach()
            if rest is not None:
                self._put_rest(rest)


_LRScheduler = LRScheduler


def notice(optimizer: Optimizer) -> None:
    """Take edits of group["lr"] since it was last written into initial_lr."""
    written = _written(optimizer)
    for i, group in enumerate(optimizer.param_groups):
        rate = _plain(group["lr"])
        if "initial_lr" in group and written.get((i, "lr"), rate) != rate:
            now = _together(optimizer, i)
            if not now:
                group["initial_lr"] = rate
            elif group["initial_lr"]:
                group["initial_lr"] *= rate / now
            else:  # such as base_lr=0 of a CyclicLR
                shares, ones = shares_of(optimizer), [1.0] * len(optimizer.param_groups)
                factors = [rate / now if j == i else 1.0 for j in range(len(ones))]
                shares.append(Share(factors, ones, rest=True))
            written[i, "lr"] = rate


def shares_of(optimizer: Optimizer) -> list[Share]:
    """What the schedulers of an optimizer contribute, of all that count."""
    return optimizer.__dict__.setdefault("_shares", [])


def _together(optimizer: Optimizer, i: int) -> float:
    """The rate of group i that all its schedulers give."""
    group = optimizer.param_groups[i]
    rate = group["initial_lr"] if "initial_lr" in group else _plain(group["lr"])
    for share in shares_of(optimizer):
        if i < len(share.own):
            v, n = share.own[i], share.found[i]
            rate = v if rate == n or not n else rate * (v / n)  # alone, exactly v
    return rate


def _factor(shares: list[Share], i: int) -> float:
    return math.prod([share.own[i] / share.found[i] for share in shares if i < len(share.own) and share.found[i]])


# what a state of PyTorch's has or not, whatever the scheduler
_ANY = {"base_lrs", "last_epoch", "initial_lrs", "verbose"}


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
