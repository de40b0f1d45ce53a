"""Distributions with a density."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import functions as F
from .. import linalg
from ..tensor import Tensor
from .distribution import EULER, HALF_LOG_2_PI, POSITIVE, REAL, Check, Distribution, broadcast_all


def _uniform(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Uniform numbers in (0, 1): 0 is left out, since logarithms follow."""
    return F.rand(*shape, dtype=like.dtype, device=like.device).clamp_min(F.finfo(like.dtype).tiny)


class _LocationScale(Distribution):
    """loc + scale z, where z has a fixed distribution."""

    arg_constraints = {"loc": REAL, "scale": POSITIVE}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.loc + self.scale * self._standard(self._extended_shape(sample_shape))

    def _standard(self, shape: Sequence[int]) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no samples")

    def _z(self, value: Tensor) -> Tensor:
        return (self._valid(value) - self.loc) / self.scale


class Normal(_LocationScale):
    """The normal distribution: log p(x) = -(x - loc)^2 / (2 scale^2) - log scale - log sqrt(2 pi).

    >>> import minidl
    >>> Normal(0.0, 1.0).log_prob(minidl.tensor(0.0))
    tensor(-0.9189)
    """

    mean = property(lambda self: self.loc, doc="loc")
    mode = property(lambda self: self.loc, doc="loc")
    stddev = property(lambda self: self.scale, doc="scale")
    variance = property(lambda self: self.scale**2, doc="scale^2")

    def _standard(self, shape: Sequence[int]) -> Tensor:
        return F.randn(*shape, dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * self._z(value) ** 2 - F.log(self.scale) - HALF_LOG_2_PI

    def cdf(self, value: Tensor) -> Tensor:
        return 0.5 * (1 + F.erf(self._z(value) / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * F.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + HALF_LOG_2_PI + F.log(self.scale)


class LogNormal(Distribution):
    """exp(x) for a normally distributed x."""

    arg_constraints = {"loc": REAL, "scale": POSITIVE}
    support: Check = POSITIVE
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.base_dist = Normal(loc, scale, validate_args)
        self.loc, self.scale = self.base_dist.loc, self.base_dist.scale
        super().__init__(self.loc.shape, validate_args=validate_args)

    mean = property(lambda self: F.exp(self.loc + self.scale**2 / 2), doc="exp(loc + scale^2 / 2)")
    mode = property(lambda self: F.exp(self.loc - self.scale**2), doc="exp(loc - scale^2)")

    @property
    def variance(self) -> Tensor:
        """(exp(scale^2) - 1) exp(2 loc + scale^2)"""
        square = self.scale**2
        return F.expm1(square) * F.exp(2 * self.loc + square)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return F.exp(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        x = F.log(self._valid(value))
        return self.base_dist.log_prob(x) - x

    def cdf(self, value: Tensor) -> Tensor:
        return self.base_dist.cdf(F.log(self._valid(value)))

    def icdf(self, value: Tensor) -> Tensor:
        return F.exp(self.base_dist.icdf(value))

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() + self.loc


class Laplace(_LocationScale):
    """The Laplace distribution: log p(x) = -|x - loc| / scale - log(2 scale)."""

    mean = property(lambda self: self.loc, doc="loc")
    mode = property(lambda self: self.loc, doc="loc")
    variance = property(lambda self: 2 * self.scale**2, doc="2 scale^2")

    def _standard(self, shape: Sequence[int]) -> Tensor:
        u = _uniform(self.loc, shape) - 0.5
        return -F.sign(u) * F.log1p(-2 * F.abs(u))

    def log_prob(self, value: Tensor) -> Tensor:
        return -F.abs(self._z(value)) - F.log(2 * self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        z = self._z(value)
        return 0.5 - 0.5 * F.sign(z) * F.expm1(-F.abs(z))

    def icdf(self, value: Tensor) -> Tensor:
        u = value - 0.5
        return self.loc - self.scale * F.sign(u) * F.log1p(-2 * F.abs(u))

    def entropy(self) -> Tensor:
        return 1 + F.log(2 * self.scale)


class Gumbel(_LocationScale):
    """The Gumbel distribution of largest values: log p(x) = -(z + exp(-z)) - log scale, z = (x - loc) / scale."""

    mean = property(lambda self: self.loc + EULER * self.scale, doc="loc + 0.5772 scale")
    mode = property(lambda self: self.loc, doc="loc")
    variance = property(lambda self: (math.pi * self.scale) ** 2 / 6, doc="(pi scale)^2 / 6")

    def _standard(self, shape: Sequence[int]) -> Tensor:
        return -F.log(-F.log(_uniform(self.loc, shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        z = self._z(value)
        return -(z + F.exp(-z)) - F.log(self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        return F.exp(-F.exp(-self._z(value)))

    def entropy(self) -> Tensor:
        return F.log(self.scale) + (1 + EULER)


class Uniform(Distribution):
    """Equally likely numbers in [low, high)."""

    arg_constraints = {"low": REAL, "high": REAL}
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args:
            self._check(self.low < self.high, f"low must be below high, {self.high}", self.low)

    mean = property(lambda self: (self.low + self.high) / 2, doc="(low + high) / 2")
    variance = property(lambda self: (self.high - self.low) ** 2 / 12, doc="(high - low)^2 / 12")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = F.rand(*self._extended_shape(sample_shape), dtype=self.low.dtype, device=self.low.device)
        return self.low + u * (self.high - self.low)

    def _valid(self, value: Tensor) -> Tensor:
        value = super()._valid(value)
        if self._validate_args:
            inside = (value.detach() >= self.low.detach()) & (value.detach() <= self.high.detach())
            self._check(inside, "the value must be between low and high", value)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._valid(value)
        inside = (value >= self.low) & (value < self.high)
        return F.log(inside.to(self.low.dtype)) - F.log(self.high - self.low)

    def cdf(self, value: Tensor) -> Tensor:
        return ((self._valid(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return F.log(self.high - self.low)


class Exponential(Distribution):
    """The time until an event that comes at a constant rate: log p(x) = log rate - rate x."""

    arg_constraints = {"rate": POSITIVE}
    support: Check = (lambda x: x >= 0, "not negative")
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    mean = property(lambda self: 1 / self.rate, doc="1 / rate")
    stddev = property(lambda self: 1 / self.rate, doc="1 / rate")
    variance = property(lambda self: self.rate**-2.0, doc="1 / rate^2")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return -F.log(_uniform(self.rate, self._extended_shape(sample_shape))) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        return F.log(self.rate) - self.rate * self._valid(value)

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - F.exp(-self.rate * self._valid(value))

    def icdf(self, value: Tensor) -> Tensor:
        return -F.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        return 1 - F.log(self.rate)


class MultivariateNormal(Distribution):
    """The normal distribution of vectors, with a mean and a covariance L L^T, of which one form is given.

    Shape:
        loc (..., D); covariance_matrix, precision_matrix or scale_tril (..., D, D), the last lower triangular with a
        positive diagonal.

    Raises:
        ValueError: none or several of the three forms, or a matrix that is not positive definite.
    """

    arg_constraints = {"loc": REAL, "scale_tril": REAL}
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ValueError(
                "MultivariateNormal: exactly one of covariance_matrix, precision_matrix and scale_tril has to be given"
            )
        if loc.ndim < 1 or given[0].ndim < 2:
            raise ValueError(
                f"MultivariateNormal: loc must have at least 1 dimension and the matrix 2, got {tuple(loc.shape)} and "
                f"{tuple(given[0].shape)}"
            )
        if scale_tril is None:
            matrix = covariance_matrix if covariance_matrix is not None else linalg.inv(given[0])
            scale_tril = linalg.cholesky(matrix)
        size = loc.shape[-1]
        batch = F.broadcast_shapes(loc.shape[:-1], scale_tril.shape[:-2])
        self.loc = loc.expand(*batch, size)
        self.scale_tril = scale_tril.expand(*batch, size, size)
        self._form = (
            "covariance" if covariance_matrix is not None else "precision" if precision_matrix is not None else ""
        )
        super().__init__(batch, (size,), validate_args)

    def __repr__(self) -> str:
        return super().__repr__().replace("scale_tril", f"{self._form}_matrix" if self._form else "scale_tril")

    mean = property(lambda self: self.loc, doc="loc")
    mode = property(lambda self: self.loc, doc="loc")
    variance = property(lambda self: (self.scale_tril**2).sum(-1), doc="the diagonal of the covariance")
    covariance_matrix = property(lambda self: self.scale_tril @ self.scale_tril.mT, doc="L L^T")
    precision_matrix = property(lambda self: linalg.inv(self.covariance_matrix), doc="the inverse of the covariance")

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        z = F.randn(*self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.scale_tril @ z.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        difference = (self._valid(value) - self.loc).unsqueeze(-1)
        shape = F.broadcast_shapes(difference.shape[:-2], self.scale_tril.shape[:-2])
        size = self.loc.shape[-1]
        left, right = self.scale_tril.expand(*shape, size, size), difference.expand(*shape, size, 1)
        z = linalg.solve_triangular(left, right, upper=False).squeeze(-1)
        return -0.5 * (z**2).sum(-1) - self._log_det() - size * HALF_LOG_2_PI

    def _log_det(self) -> Tensor:
        return F.log(F.diagonal(self.scale_tril, 0, -2, -1)).sum(-1)

    def entropy(self) -> Tensor:
        return self.loc.shape[-1] * (0.5 + HALF_LOG_2_PI) + self._log_det()

    def expand(self, batch_shape: Sequence[int]) -> MultivariateNormal:
        """The same distribution with its batch broadcast to `batch_shape`."""
        size = self.loc.shape[-1]
        wide = self.loc.expand(*batch_shape, size), self.scale_tril.expand(*batch_shape, size, size)
        return MultivariateNormal(wide[0], scale_tril=wide[1], validate_args=False)
