"""What all distributions share: shapes, checks, and everything that follows from a few methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any

from .. import functions as F
from ..modes import get_default_dtype, no_grad
from ..tensor import Size, Tensor

Check = tuple[Callable[[Tensor], Tensor], str]  # which elements are right, and what they should be
POSITIVE: Check = (lambda x: x > 0, "positive")
REAL: Check = (lambda x: x == x, "not nan")
PROBABILITY: Check = (lambda x: (x >= 0) & (x <= 1), "between 0 and 1")
COUNT: Check = (lambda x: (x >= 0) & (x % 1 == 0), "whole numbers from 0 on")
BIT: Check = (lambda x: (x == 0) | (x == 1), "0 or 1")


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and Tensors as Tensors of one shape; numbers take the dtype of the Tensors."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    for v in values:
        if not isinstance(v, (Tensor, Number)):
            raise ValueError(f"distributions: expected numbers or Tensors, got {type(v).__name__}")
    like: dict[str, Any] = {"dtype": get_default_dtype()}
    if tensors:
        like = {"dtype": tensors[0].dtype, "device": tensors[0].device}
    return F.broadcast_tensors(*(v if isinstance(v, Tensor) else F.tensor(v, **like) for v in values))


class Distribution:
    """Base class: a probability distribution over batches of events.

    batch_shape: the shape of independent distributions, event_shape: the shape of one outcome. A subclass defines
    `log_prob(value)` and `sample` or `rsample`, whose samples are differentiable functions of the parameters.
    """

    has_rsample = False
    support: Check = REAL  # what the values may be
    arg_constraints: dict[str, Check] = {}
    _default_validate_args = True

    def __init__(
        self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (), validate_args: bool | None = None
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        self._validate_args = Distribution._default_validate_args if validate_args is None else bool(validate_args)
        if self._validate_args:
            for name, (right, what) in self.arg_constraints.items():
                if name in vars(self):
                    self._check(right(vars(self)[name]), f"{name} must be {what}", vars(self)[name])

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check parameters and values where `validate_args` is not given."""
        Distribution._default_validate_args = bool(value)

    def _check(self, right: Tensor, text: str, got: Tensor) -> None:
        if not bool(right.all()):
            raise ValueError(f"{type(self).__name__}: {text}, got {got}")

    def _valid(self, value: Tensor) -> Tensor:
        """The value, checked against the support."""
        if not isinstance(value, Tensor):
            raise ValueError(f"{type(self).__name__}: the value must be a Tensor, got {type(value).__name__}")
        if self._validate_args:
            right, what = self.support
            self._check(right(value.detach()), f"the value must be {what}", value)
        return value

    @property
    def batch_shape(self) -> Size:
        """The shape of independent distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one outcome."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A sample of shape sample_shape + batch_shape + event_shape through which gradients flow."""
        raise NotImplementedError(f"{type(self).__name__} has no differentiable samples; use sample()")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A sample of shape sample_shape + batch_shape + event_shape, without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def sample_n(self, n: int) -> Tensor:
        """n samples."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, of each event."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a value at most this large."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def entropy(self) -> Tensor:
        """-E[log p], in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return F.exp(self.entropy())

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """The same distribution with its batch broadcast to `batch_shape`."""
        batch = tuple(batch_shape)
        given = {name: vars(self)[name] for name in self.arg_constraints if name in vars(self)}
        wide = {name: x.expand(*batch, *x.shape[len(self._batch_shape) :]) for name, x in given.items()}
        return type(self)(**wide, validate_args=False)

    def __repr__(self) -> str:
        parts = [name for name in self.arg_constraints if name in vars(self)]
        shown = (f"{name}: {x if x.numel() == 1 else x.shape}" for name in parts for x in [vars(self)[name]])
        return f"{type(self).__name__}({', '.join(shown)})"


def sum_last(x: Tensor, count: int) -> Tensor:
    """x summed over its last dimensions."""
    return x if count == 0 else x.sum(tuple(range(-count, 0)))


HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)
EULER = 0.57721566490153286  # the Euler-Mascheroni constant
