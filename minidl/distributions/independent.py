"""Batch dimensions taken as part of the event."""

from __future__ import annotations

from collections.abc import Sequence

from ..tensor import Tensor
from .distribution import Distribution, sum_last


class Independent(Distribution):
    """A distribution whose last batch dimensions belong to the event: log_prob is summed over them.

    >>> import minidl
    >>> from minidl.distributions import Normal
    >>> one = Independent(Normal(minidl.zeros(5, 3), 1.0), 1)
    >>> one.batch_shape, one.event_shape, one.log_prob(minidl.zeros(5, 3)).shape
    (minidl.Size([5]), minidl.Size([3]), minidl.Size([5]))

    Raises:
        ValueError: there are not so many batch dimensions.
    """

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        batch, event = base_distribution.batch_shape, base_distribution.event_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                f"Independent: there are {len(batch)} batch dimensions, so {reinterpreted_batch_ndims} cannot be events"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        self.has_rsample = base_distribution.has_rsample
        split = len(batch) - reinterpreted_batch_ndims
        super().__init__(batch[:split], (*batch[split:], *event), validate_args)

    mean = property(lambda self: self.base_dist.mean, doc="of the base distribution")
    mode = property(lambda self: self.base_dist.mode, doc="of the base distribution")
    variance = property(lambda self: self.base_dist.variance, doc="of the base distribution")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def expand(self, batch_shape: Sequence[int]) -> Independent:
        """The same distribution with its batch broadcast to `batch_shape`."""
        within = self._event_shape[: self.reinterpreted_batch_ndims]
        base = self.base_dist.expand((*batch_shape, *within))
        return Independent(base, self.reinterpreted_batch_ndims, validate_args=False)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
