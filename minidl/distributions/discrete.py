"""Distributions of whole numbers and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import functions as F
from ..modes import no_grad
from ..tensor import Tensor
from .distribution import BIT, COUNT, PROBABILITY, REAL, Check, Distribution, broadcast_all


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), without overflow."""
    return F.maximum(x, F.zeros_like(x)) + F.log1p(F.exp(-F.abs(x)))


def _inside(probs: Tensor) -> Tensor:
    """Probabilities kept off 0 and 1 by the dtype's precision, so that their logarithms are finite."""
    eps = F.finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def _one_of(where: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError(f"{where}: exactly one of probs and logits has to be given")


class _FromProbability(Distribution):
    """A distribution with a probability of success, which probs or logits = log(p / (1 - p)) tell."""

    arg_constraints = {"probs": PROBABILITY, "logits": REAL}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _one_of(type(self).__name__, probs, logits)
        (self._given,) = broadcast_all(probs if logits is None else logits)
        if logits is None:
            self.probs = self._given
        else:
            self.logits = self._given
        super().__init__(self._given.shape, validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        if name == "probs" and "logits" in vars(self):
            return F.sigmoid(self.logits)
        if name == "logits" and "probs" in vars(self):
            inside = _inside(self.probs)
            return F.log(inside) - F.log1p(-inside)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class Bernoulli(_FromProbability):
    """1 with probability `probs`, else 0: log P(x) = x log p + (1 - x) log(1 - p).

    >>> import minidl
    >>> Bernoulli(minidl.tensor([0.25, 0.5])).log_prob(minidl.tensor([1.0, 0.0])).exp()
    tensor([0.2500, 0.5000])
    """

    support: Check = BIT
    mean = property(lambda self: self.probs, doc="p")
    variance = property(lambda self: self.probs * (1 - self.probs), doc="p (1 - p)")
    param_shape = property(lambda self: self._given.shape, doc="the shape of the parameter")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return F.bernoulli(self.probs.expand(*self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = F.broadcast_tensors(self.logits, self._valid(value).to(self._given.dtype))
        return value * logits - _softplus(logits)

    def entropy(self) -> Tensor:
        logits = self.logits
        return _softplus(logits) - F.sigmoid(logits) * logits

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values: 0 and 1 along a new first dimension."""
        values = F.arange(2, device=self._given.device).to(self._given.dtype).reshape(2, *[1] * self._given.ndim)
        return values.expand(2, *self._batch_shape) if expand else values


class Geometric(_FromProbability):
    """The number of failures before the first success: log P(k) = k log(1 - p) + log p."""

    support: Check = COUNT
    mean = property(lambda self: 1 / self.probs - 1, doc="1/p - 1")
    variance = property(lambda self: (1 / self.probs - 1) / self.probs, doc="(1/p - 1) / p")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            u = F.rand(*self._extended_shape(sample_shape), dtype=self._given.dtype, device=self._given.device)
            return F.floor(F.log(u.clamp_min(F.finfo(u.dtype).tiny)) / F.log1p(-self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        value, probs = F.broadcast_tensors(self._valid(value), self.probs)
        failures = F.where((probs == 1) & (value == 0), F.zeros_like(probs), F.log1p(-probs))
        return value * failures + F.log(probs)

    def entropy(self) -> Tensor:
        logits, probs = self.logits, self.probs
        return (_softplus(logits) - probs * logits) / probs


class Categorical(Distribution):
    """One of K classes, numbered from 0: P(k) = probs_k, where probs are scaled to sum to 1.

    Shape:
        probs or logits (..., K); samples and values (...).

    >>> import minidl
    >>> policy = Categorical(logits=minidl.tensor([0.0, 1.0, 2.0]))
    >>> policy.log_prob(minidl.tensor(2)), policy.probs
    (tensor(-0.4076), tensor([0.0900, 0.2447, 0.6652]))
    """

    arg_constraints = {"probs": PROBABILITY, "logits": REAL}

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        _one_of(type(self).__name__, probs, logits)
        given = probs if probs is not None else logits
        if not isinstance(given, Tensor) or given.ndim < 1:
            raise ValueError(f"{type(self).__name__}: expected a Tensor of at least 1 dimension, got {given!r}")
        check = Distribution._default_validate_args if validate_args is None else validate_args
        if probs is not None:
            if check:
                self._check(
                    (probs.detach() >= 0) & (probs.detach() < float("inf")), "probs must not be negative", probs
                )
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = given - F.logsumexp(given, -1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        if name == "probs" and "logits" in vars(self):
            return F.softmax(self.logits, -1)
        if name == "logits" and "probs" in vars(self):
            return F.log(_inside(self.probs))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    mode = property(lambda self: self.probs.argmax(-1), doc="the most probable class")
    mean = property(lambda self: F.full_like(self.logits.sum(-1), float("nan")), doc="nan: classes have no mean")
    variance = property(lambda self: F.full_like(self.logits.sum(-1), float("nan")), doc="nan")
    param_shape = property(lambda self: self.logits.shape, doc="the shape of the parameter")

    def _valid(self, value: Tensor) -> Tensor:
        value = super()._valid(value)
        if self._validate_args:
            right = (value >= 0) & (value < self._num_events) & (value % 1 == 0)
            self._check(right, f"the value must be a class, 0 to {self._num_events - 1}", value)
        return value

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            shape, count = tuple(sample_shape), 1
            for n in shape:
                count *= n
            rows = self.probs.detach().reshape(-1, self._num_events)
            drawn = F.multinomial(rows, count, replacement=True)  # (rows, count)
            return drawn.T.reshape(*shape, *self._batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._valid(value).long().unsqueeze(-1)
        shape = F.broadcast_shapes(value.shape[:-1], self._batch_shape)
        logits = self.logits.expand(*shape, self._num_events)
        return F.gather(logits, -1, value.expand(*shape, 1)).squeeze(-1)

    def entropy(self) -> Tensor:
        smallest = F.finfo(self.logits.dtype).min  # 0 log 0 is 0
        return -(self.logits.clamp_min(smallest) * self.probs).sum(-1)

    def expand(self, batch_shape: Sequence[int]) -> Categorical:
        """The same distribution with its batch broadcast to `batch_shape`."""
        return Categorical(logits=self.logits.expand(*batch_shape, self._num_events), validate_args=False)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All classes along a new first dimension."""
        values = F.arange(self._num_events, device=self.logits.device).reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class OneHotCategorical(Distribution):
    """One of K classes as a vector with a single 1."""

    arg_constraints = {"probs": PROBABILITY, "logits": REAL}

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        classes = self._categorical._num_events
        super().__init__(self._categorical.batch_shape, (classes,), validate_args)

    probs = property(lambda self: self._categorical.probs, doc="the probability of each class")
    logits = property(lambda self: self._categorical.logits, doc="its logarithm")
    mean = property(lambda self: self.probs, doc="probs")
    variance = property(lambda self: self.probs * (1 - self.probs), doc="probs (1 - probs)")

    def _one_hot(self, classes: Tensor) -> Tensor:
        return (classes.unsqueeze(-1) == F.arange(self._event_shape[0], device=classes.device)).to(self.probs.dtype)

    mode = property(lambda self: self._one_hot(self._categorical.mode), doc="the most probable class")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._valid(value)
        if self._validate_args:
            right = ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)
            self._check(right, "the value must be vectors with a single 1", value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def expand(self, batch_shape: Sequence[int]) -> OneHotCategorical:
        """The same distribution with its batch broadcast to `batch_shape`."""
        return OneHotCategorical(logits=self.logits.expand(*batch_shape, *self._event_shape), validate_args=False)


class Poisson(Distribution):
    """The number of events that come at a constant rate: log P(k) = k log rate - rate - log k!."""

    arg_constraints = {"rate": (lambda x: x >= 0, "not negative")}
    support: Check = COUNT

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    mean = property(lambda self: self.rate, doc="rate")
    variance = property(lambda self: self.rate, doc="rate")
    mode = property(lambda self: F.floor(self.rate), doc="the largest whole number up to rate")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return F.poisson(self.rate.expand(*self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        rate, value = F.broadcast_tensors(self.rate, self._valid(value))
        return F.xlogy(value, rate) - rate - F.lgamma(value + 1)


class Binomial(_FromProbability):
    """The number of successes in n trials: log P(k) = log C(n, k) + k log p + (n - k) log(1 - p)."""

    support: Check = COUNT
    arg_constraints = {"total_count": COUNT, "probs": PROBABILITY, "logits": REAL}

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        _one_of("Binomial", probs, logits)
        self.total_count, given = broadcast_all(total_count, probs if logits is None else logits)
        self.total_count = self.total_count.to(given.dtype)
        super().__init__(given if logits is None else None, given if probs is None else None, validate_args)

    mean = property(lambda self: self.total_count * self.probs, doc="n p")
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs), doc="n p (1 - p)")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            most = int(self.total_count.max().item()) if self.total_count.numel() else 0
            trials = F.bernoulli(self.probs.expand(most, *shape))
            counted = F.arange(most, device=self._given.device).reshape(-1, *[1] * len(shape)) < self.total_count
            return (trials * counted).sum(0)

    def log_prob(self, value: Tensor) -> Tensor:
        n, value, logits = F.broadcast_tensors(self.total_count, self._valid(value), self.logits)
        ways = F.lgamma(n + 1) - F.lgamma(value + 1) - F.lgamma(n - value + 1)
        return ways + value * logits - n * _softplus(logits)

    def expand(self, batch_shape: Sequence[int]) -> Binomial:
        """The same distribution with its batch broadcast to `batch_shape`."""
        shape = tuple(batch_shape)
        return Binomial(self.total_count.expand(*shape), logits=self.logits.expand(*shape), validate_args=False)
