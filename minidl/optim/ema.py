"""EMA: the exponential moving average of a model's weights, and evaluating with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from ..backend import backend_of
from ..tensor import Tensor, describe, wrap
from .checks import is_number, number
from .flat import fitted


def lerp(start, end, weight: float):
    """start + weight (end - start), as PyTorch's lerp computes it: exactly start at 0 and exactly end at 1."""
    return start + weight * (end - start) if abs(weight) < 0.5 else end - (1 - weight) * (end - start)


@contextlib.contextmanager
def replaced(owner, tensors: list[Tensor], values: list[Tensor]) -> Iterator[None]:
    """Within the block the tensors have these values, after it those that they had before."""
    before = [wrap(backend_of(t.array).copy(t.array)) for t in tensors]
    try:
        for t, value in zip(tensors, values, strict=True):
            t.write(beside(owner, value, t))
        yield
    finally:
        for t, value in zip(tensors, before, strict=True):
            t.write(beside(owner, value, t))


def beside(owner, value: Tensor, t: Tensor):
    """The array of `value` in the dtype and on the device of t."""
    a, b = value.array, t.array
    here, there = backend_of(a), backend_of(b)
    same = here is there and a.dtype == b.dtype and here.device_of(a) == there.device_of(b)
    return a if same else fitted(owner, "average", a, b.shape, b.dtype, b)


class EMA:
    """The exponential moving average of weights: what is evaluated and published instead of the last weights.

        e <- e + (1 - decay) (w - e)                                  at every `update()`; e begins as w is at first
        e <- e + (1 - decay) / (1 - decay^t) (w - e)                  with warmup, at the t-th update, t = 1, 2, ...

    With warmup the weights before the first update are forgotten at once, and e is the average, weighted by decay^age,
    of what it was shown; without it they stay in e for about 1 / (1 - decay) updates. The arithmetic is that of
    PyTorch's lerp (which may round once less), so that the numbers are those of `swa_utils.get_ema_multi_avg_fn`.

    model_or_params: a Module, or an iterable of Tensors. decay: 0.999 averages the last thousand updates or so; 0.9999
    for long runs. buffers: average the floating-point buffers of the Module too (running means and variances of batch
    normalisation; without this they stay the model's own, and `swa_utils.update_bn` measures better ones).

    When to choose it: nearly always for free: call `update()` after each `step()`, evaluate in `applied()`; the average
    is smoother than the last weights, as if the rate had been lowered. Bad at: short runs without warmup; the first
    1 / (1 - decay) updates. One copy of the weights.

    Raises TypeError and ValueError for what cannot be averaged, and ValueError for a decay outside [0, 1).

    Sources: D. Ruppert, 1988, and B. Polyak and A. Juditsky, Acceleration of stochastic approximation by averaging,
    1992 (averages of iterates); D. Kingma and J. Ba, Adam, 2015, section 7.2 (the exponential one, and its correction).

    >>> import numpy as np
    >>> from minidl.tensor import Parameter
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> ema = EMA([w], decay=0.75)
    >>> w.write([5.0, 2.0]); ema.update()
    >>> with ema.applied():
    ...     w.array
    array([2., 2.])
    >>> w.array
    array([5., 2.])
    """

    def __init__(self, model_or_params, decay: float = 0.999, *, warmup: bool = False, buffers: bool = False) -> None:
        self.decay, self.warmup, self.buffers, self.updates = _decay(decay), bool(warmup), bool(buffers), 0
        self.tensors = self._tensors(model_or_params, buffers)
        self.averages = [wrap(backend_of(t.array).copy(t.array)) for t in self.tensors]
        self._applied = False

    def _tensors(self, model_or_params, buffers: bool) -> list[Tensor]:
        if isinstance(model_or_params, Tensor):
            raise TypeError("EMA: expected a Module or an iterable of Tensors, got one Tensor; write [w]")
        if hasattr(model_or_params, "parameters"):
            found = list(model_or_params.parameters())
            if buffers:
                found += [b for b in model_or_params.buffers() if b.array.dtype.kind == "f"]
        else:
            if buffers:
                raise ValueError("EMA: buffers=True needs a Module, which knows its buffers")
            if isinstance(model_or_params, (set, frozenset)) or not isinstance(model_or_params, Iterable):
                kind = type(model_or_params).__name__
                raise TypeError(f"EMA: expected a Module or an iterable of Tensors in a fixed order, got {kind}")
            found = list(model_or_params)
        for t in found:
            if not isinstance(t, Tensor):
                raise TypeError(f"EMA: can only average Tensors, got {type(t).__name__}")
            if t.array.dtype.kind != "f" or not t.is_leaf:
                raise ValueError(f"EMA: can only average floating-point leaves, got {describe(t.array)}")
        if not found:
            raise ValueError("EMA: got nothing to average")
        return found

    def update(self) -> None:
        """Bring the average up to date with the weights as they are now."""
        if self._applied:
            raise RuntimeError("EMA.update: within applied() the weights are the average itself")
        self.updates += 1
        weight = (1 - self.decay) / (1 - self.decay**self.updates if self.warmup else 1)
        for i, t in enumerate(self.tensors):
            e = self.averages[i]
            here = beside(self, e, t)  # the model may have moved since
            if here is not e.array:
                e.array = here
            e.write(lerp(here, t.array, weight))

    @contextlib.contextmanager
    def applied(self) -> Iterator[EMA]:
        """Within the block the weights are the average; after it they are again what they were before."""
        if self._applied:
            raise RuntimeError("EMA.applied: the average is applied already")
        self._applied = True
        try:
            with replaced(self, self.tensors, self.averages):
                yield self
        finally:
            self._applied = False

    def copy_to(self, model_or_params=None) -> None:
        """Write the average into a model of the same form, or for good into the one that is averaged."""
        targets = self.tensors
        if model_or_params is not None:
            targets = self._tensors(model_or_params, self.buffers and hasattr(model_or_params, "parameters"))
        shapes, expected = [tuple(t.shape) for t in targets], [tuple(t.shape) for t in self.tensors]
        if shapes != expected:
            raise ValueError(f"EMA.copy_to: the shapes are {shapes}, expected {expected}")
        for t, e in zip(targets, self.averages, strict=True):
            t.write(beside(self, e, t))

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes; the Tensors are the live ones: copy.deepcopy it to keep it."""
        return {
            "decay": self.decay,
            "warmup": self.warmup,
            "updates": self.updates,
            "averages": list(self.averages),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave (copied), or raise a ValueError that says what does not fit."""
        where, wanted = "EMA.load_state_dict", ("decay", "warmup", "updates", "averages")
        if not isinstance(state_dict, dict) or set(state_dict) != set(wanted):
            found = sorted(map(str, state_dict)) if isinstance(state_dict, dict) else type(state_dict).__name__
            raise ValueError(f"{where}: expected a dict with {', '.join(wanted)}, got {found}")
        updates, averages = state_dict["updates"], state_dict["averages"]
        if isinstance(updates, bool) or not isinstance(updates, int) or updates < 0:
            raise ValueError(f"{where}: updates must be a whole number >= 0, got {updates!r}")
        shapes = [tuple(getattr(a, "shape", ())) for a in averages]
        expected = [tuple(t.shape) for t in self.tensors]
        if shapes != expected:
            raise ValueError(f"{where}: the averages have the shapes {shapes}, expected {expected}")
        decay = _decay(state_dict["decay"])
        new = [
            wrap(fitted(self, "average", a, t.array.shape, t.array.dtype, t.array))
            for a, t in zip(averages, self.tensors, strict=True)
        ]
        self.decay, self.warmup, self.updates, self.averages = decay, bool(state_dict["warmup"]), updates, new

    def __repr__(self) -> str:
        return f"EMA({len(self.tensors)} tensors, decay={self.decay}, warmup={self.warmup}, updates={self.updates})"


def _decay(value) -> float:
    if is_number(value) and not 0 <= value < 1:
        raise ValueError(f"EMA: decay must be >= 0 and < 1, got {value}")
    return number("EMA", "decay", value)
