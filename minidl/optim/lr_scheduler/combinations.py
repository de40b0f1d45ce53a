"""The schedulers made of others: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..checks import whole
from ..optimizer import Optimizer, _plain
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler, not_captured


class SequentialLR(LRScheduler):
    """One scheduler after the other: the next one begins, at its first rate, at each milestone.

    The schedulers must have been made for the same optimizer; they are this one's from then on. See
    `schedules.sequence`.

    >>> from minidl.optim import SGD
    >>> from minidl.optim.lr_scheduler import ExponentialLR, LinearLR
    >>> from minidl.tensor import Parameter
    >>> rule = SGD([Parameter(np.zeros(2))], lr=1.0)
    >>> parts = [LinearLR(rule, 0.5, total_iters=2), ExponentialLR(rule, 0.5)]
    >>> scheduler, rates = SequentialLR(rule, parts, milestones=[2]), []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     rule.step(); scheduler.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    _anew = True

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        checked(self, schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need one milestone less, got {len(milestones)}"
            )
        marks = [whole("SequentialLR", f"milestones[{i}]", m, 0) for i, m in enumerate(milestones)]
        if marks != sorted(marks):
            raise ValueError(f"SequentialLR: milestones must be in order, got {marks}")
        self._schedulers, self._milestones = schedulers, marks
        for part in schedulers:
            part._detach()
        self._begin(optimizer, last_epoch)
        for epoch in range(last_epoch + 1):  # parts that know only how to go on have to go all the way
            self._find(epoch)
        self._update_lr()

    def _part(self, epoch: int) -> tuple[LRScheduler, int]:
        i = bisect_right(self._milestones, epoch)
        return self._schedulers[i], epoch - (self._milestones[i - 1] if i else 0)

    def _find(self, epoch: int) -> list:
        part, own = self._part(epoch)
        part._visit(own)
        both = zip(self._found, part._own, part._found, strict=True)
        return [v if n == found or not n else found * (v / n) for found, v, n in both]

    def get_lr(self) -> list:
        """The rates of the scheduler whose turn it is."""
        return self._find(self.last_epoch)

    def _others(self) -> dict[str, list]:
        return self._part(self.last_epoch)[0]._others()

    def step(self) -> None:  # type: ignore[override]
        """Go on by one step."""
        super().step()

    def _write(self) -> None:
        super()._write()
        self._part(self.last_epoch)[0]._last_lr = list(self._last_lr)

    def _can_grow(self) -> bool:
        return all(part._can_grow() for part in self._schedulers)

    def _extend(self) -> None:
        if self._has_grown():
            for part in self._schedulers:
                part._extend()
            super()._extend()

    def _current(self) -> list:
        return self._find(self.last_epoch)

    def _check(self, state_dict: dict[str, Any]) -> None:
        super()._check(state_dict)
        check_parts(self, state_dict)

    def state_dict(self) -> dict[str, Any]:
        """As the base class, with the states of the parts."""
        return {**super().state_dict(), "_schedulers": [part.state_dict() for part in self._schedulers]}

    def _restore(self, state_dict: dict[str, Any]) -> None:
        restore_parts(self, state_dict)
        if "_own" not in state_dict:  # PyTorch's
            part = self._part(state_dict["last_epoch"])[0]
            state_dict = {**state_dict, "_own": list(part._own), "_found": list(part._found)}
        super()._restore({key: value for key, value in state_dict.items() if key != "_schedulers"})


class ChainedScheduler(LRScheduler):
    """Steps several schedulers of one optimizer together. Their factors multiply, as they do without it."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) < 1:
            raise ValueError("ChainedScheduler: expects at least one scheduler, got none")
        optimizer = optimizer or schedulers[0].optimizer
        checked(self, schedulers, optimizer)
        self._schedulers, self.optimizer = schedulers, optimizer
        self.last_epoch = 0
        self._extend()
        for part in schedulers:  # one that began anew has to count the others
            if part._shares and not part._counts:
                part._write()
        self._last_lr = [_plain(group["lr"]) for group in self.optimizer.param_groups]

    @property
    def _found(self) -> list:  # type: ignore[override]
        return self._schedulers[0]._found

    @property
    def _own(self) -> list:  # type: ignore[override]
        rates = list(self._found)
        for part in self._schedulers:
            both = enumerate(zip(part._own, part._found, strict=True))
            rates = [v if rates[i] == n or not n else rates[i] * (v / n) for i, (v, n) in both]
        return rates

    def step(self) -> None:  # type: ignore[override]
        """Go on by one step."""
        not_captured(self)
        self._extend()
        self.last_epoch += 1
        for part in self._schedulers:
            part.step()
        self._last_lr = [_plain(group["lr"]) for group in self.optimizer.param_groups]

    def _attach(self) -> None:
        """Only the parts are attached."""

    @property
    def _counts(self) -> bool:
        return True

    def _rest(self) -> list[float]:
        return []

    def _can_grow(self) -> bool:
        return all(part._can_grow() for part in self._schedulers)

    def _extend(self) -> None:
        if self._has_grown():
            for part in self._schedulers:
                part._extend()

    def _detach(self) -> None:
        for part in self._schedulers:
            part._detach()

    def _visit(self, epoch: int) -> None:
        for part in self._schedulers:
            part._visit(epoch)
        self.last_epoch = epoch

    def _others(self) -> dict[str, list]:
        return {name: values for part in self._schedulers for name, values in part._others().items()}

    def state_dict(self) -> dict[str, Any]:
        """As the base class, with the states of the parts."""
        return {**super().state_dict(), "_schedulers": [part.state_dict() for part in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, and set the rates that belong to it."""
        self._check(state_dict)
        self._restore(state_dict)
        for part in self._schedulers:
            part._write()
        self._last_lr = [_plain(group["lr"]) for group in self.optimizer.param_groups]

    def _check(self, state_dict: dict[str, Any]) -> None:
        super()._check({"last_epoch": 0, **state_dict})  # PyTorch's before 2.4 has none
        check_parts(self, state_dict)

    def _restore(self, state_dict: dict[str, Any]) -> None:
        restore_parts(self, state_dict)
        self.last_epoch = state_dict.get("last_epoch", getattr(self._schedulers[0], "last_epoch", 0))


def checked(owner: LRScheduler, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
    """Raise unless these are schedulers of that optimizer that need nothing to be told at a step."""
    name = type(owner).__name__
    if len(schedulers) < 1:
        raise ValueError(f"{name}: expects at least one scheduler, got none")
    for i, part in enumerate(schedulers):
        what = f"scheduler {i}, a {type(part).__name__},"
        if not hasattr(part, "optimizer"):
            raise TypeError(f"{name}: {what} has no `optimizer`")
        if isinstance(part, ReduceLROnPlateau):
            raise ValueError(f"{name}: {what} needs a metric at every step, which {name} does not have")
        if part.optimizer is not optimizer:
            raise ValueError(f"{name}: {what} belongs to another optimizer")


def check_parts(owner: SequentialLR | ChainedScheduler, state_dict: dict[str, Any]) -> None:
    """Raise unless these are the states of its parts."""
    parts, states = owner._schedulers, state_dict["_schedulers"]
    if len(states) != len(parts):
        raise ValueError(
            f"{type(owner).__name__}.load_state_dict: the state has {len(states)} schedulers, expected {len(parts)}"
        )
    for part, state in zip(parts, states, strict=True):
        part._check(state)


def restore_parts(owner: SequentialLR | ChainedScheduler, state_dict: dict[str, Any]) -> None:
    """Take over the states of the parts."""
    for part, state in zip(owner._schedulers, state_dict["_schedulers"], strict=True):
        part._restore(state)
