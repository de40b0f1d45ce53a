"""Normalisation layers: by the statistics of the batch, of a sample, or of groups of its channels."""

from __future__ import annotations

import numpy as np

from .. import functions as F
from ..backend import backend_of
from ..tensor import Tensor
from . import functional, init
from .checks import number, positive
from .linear import new_parameter
from .module import Module


class _Tracking(Module):
    """What batch and instance normalisation have in common: an affine map and running statistics for each channel."""

    dims: tuple[int, ...] = ()
    shapes = ""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        positive(type(self).__name__, num_features=num_features)
        number(eps, "eps", type(self).__name__)
        if momentum is not None:
            number(momentum, "momentum", type(self).__name__)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        size = (num_features,)
        self.register_parameter("weight", new_parameter(size, device, dtype) if affine else None)
        self.register_parameter("bias", new_parameter(size, device, dtype) if affine and bias else None)
        track = track_running_stats
        self.register_buffer("running_mean", F.zeros(size, device=device, dtype=dtype) if track else None)
        self.register_buffer("running_var", F.ones(size, device=device, dtype=dtype) if track else None)
        self.register_buffer("num_batches_tracked", F.zeros((), device=device, dtype="int64") if track else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            self.num_batches_tracked.write(0)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and forget the running statistics."""
        self.reset_running_stats()
        _reset(self)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Tracking):
    def forward(self, input: Tensor) -> Tensor:
        """The input normalised by the batch's statistics in training, by the running ones (if there are) in `eval`."""
        name = type(self).__name__
        if input.array.ndim not in self.dims or input.array.shape[1] != self.num_features:
            raise ValueError(f"{name}({self.num_features}): expected input {self.shapes}, got {tuple(input.shape)}")
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            counted = self.num_batches_tracked
            backend_of(counted.array).iadd(counted.array, 1)
            counted.changed()
            if self.momentum is None:  # the plain average of all batches so far
                momentum = 1.0 / counted.item()
        update = not self.training or self.track_running_stats
        return functional.batch_norm(
            input,
            self.running_mean if update else None,
            self.running_var if update else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """y = weight (x - mean) / sqrt(var + eps) + bias for each feature, with the statistics of the batch in training.

    Parameters: weight (1) and bias (0); buffers: running_mean, running_var (unbiased), num_batches_tracked.
    momentum None: the running statistics are the plain average over all batches. Shape: (N, C) or (N, C, L), unchanged.
    Raises ValueError when training with one value per feature. Ioffe and Szegedy, 2015.
    """

    dims, shapes = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images: the statistics are over the batch and all pixels. Shape: (N, C, H, W), unchanged."""

    dims, shapes = (4,), "(N, C, H, W)"


class _InstanceNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """The input normalised by each sample's statistics, or in `eval` by the running ones, if there are any."""
        name, ndim = type(self).__name__, input.array.ndim
        single = ndim == self.dims[0]  # without N
        if ndim not in self.dims or input.array.shape[0 if single else 1] != self.num_features:
            raise ValueError(f"{name}({self.num_features}): expected input {self.shapes}, got {tuple(input.shape)}")
        y = functional.instance_norm(
            F.unsqueeze(input, 0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return F.squeeze(y, 0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """y = weight (x - mean) / sqrt(var + eps) + bias for each channel of each sample.

    Parameters with affine=True: weight (1) and bias (0); buffers with track_running_stats=True: running_mean and
    running_var (unbiased), which are what is used in `eval`. Shape: (N, C, L) or (C, L), unchanged.
    Ulyanov et al., 2016.
    """

    dims, shapes = (2, 3), "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm1d for images. Shape: (N, C, H, W) or (C, H, W), unchanged."""

    dims, shapes = (3, 4), "(N, C, H, W) or (C, H, W)"


class LayerNorm(Module):
    """y = weight (x - mean) / sqrt(var + eps) + bias, with mean and (biased) var over the last axes of each sample.

    Parameters: weight (1) and bias (0), both normalized_shape (an int: the last axis alone).
    Shape: (*, normalized_shape), unchanged. Ba et al., 2016.
    """

    def __init__(
        self,
        normalized_shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape, "LayerNorm")
        self.eps, self.elementwise_affine = number(eps, "eps", "LayerNorm"), elementwise_affine
        size, affine = self.normalized_shape, elementwise_affine
        self.register_parameter("weight", new_parameter(size, device, dtype) if affine else None)
        self.register_parameter("bias", new_parameter(size, device, dtype) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _reset(self)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """y = weight x / sqrt(mean of x^2 + eps), with the mean over the last axes of each sample.

    Parameter: weight (1), normalized_shape (an int: the last axis alone). eps: the input's dtype decides if not given.
    Shape: (*, normalized_shape), unchanged. Zhang and Sennrich, 2019.
    """

    def __init__(
        self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True, device=None, dtype=None
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape, "RMSNorm")
        self.eps = None if eps is None else number(eps, "eps", "RMSNorm")
        self.elementwise_affine = elementwise_affine
        weight = new_parameter(self.normalized_shape, device, dtype) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        _reset(self)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input."""
        return functional.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """y = weight (x - mean) / sqrt(var + eps) + bias, with mean and (biased) var of each sample's groups of channels.

    Parameters: weight (1) and bias (0), one number for each channel. Shape: (N, num_channels, ...), unchanged.
    Wu and He, 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_channels {num_channels} is not divisible by num_groups {num_groups}")
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = number(eps, "eps", "GroupNorm"), affine
        size = (num_channels,)
        self.register_parameter("weight", new_parameter(size, device, dtype) if affine else None)
        self.register_parameter("bias", new_parameter(size, device, dtype) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _reset(self)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input."""
        return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """x divided by a power of the mean square over neighbouring channels; see `functional.local_response_norm`.

    Shape: (N, C, ...), unchanged. Krizhevsky et al., 2012.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        positive("LocalResponseNorm", size=size)
        self.size, self.alpha = size, number(alpha, "alpha", "LocalResponseNorm")
        self.beta, self.k = number(beta, "beta", "LocalResponseNorm"), number(k, "k", "LocalResponseNorm")

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input."""
        return functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _sizes(normalized_shape, where: str) -> tuple[int, ...]:
    """normalized_shape as a tuple of positive ints."""
    one = isinstance(normalized_shape, (int, np.integer, float, str))
    sizes = (normalized_shape,) if one else tuple(normalized_shape)
    if not sizes:
        raise ValueError(f"{where}: normalized_shape must have at least one size, got {normalized_shape!r}")
    for n in sizes:
        positive(where, normalized_shape=n)
    return tuple([int(n) for n in sizes])


def _reset(layer) -> None:
    """Weight 1 and bias 0, where there are any."""
    if layer.weight is not None:
        init.ones_(layer.weight)
    if getattr(layer, "bias", None) is not None:
        init.zeros_(layer.bias)
