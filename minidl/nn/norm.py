"""Normalisation layers: by the statistics of the batch, of a sample, or of groups of its channels."""

from __future__ import annotations

import warnings

import numpy as np

from .. import functions as F
from ..backend import ArgumentError, backend_of
from ..tensor import Tensor
from . import functional, init
from .checks import number, positive
from .linear import new_parameter
from .module import Module


class _NormBase(Module):
    """What batch and instance normalisation have in common: an affine map and running statistics for each channel."""

    _version = 2  # since 2 there is num_batches_tracked
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

    def _check_input_dim(self, input: Tensor) -> None:
        """Refuse an input with another number of dimensions; a subclass without `dims` says itself which it takes."""
        if not self.dims:
            raise NotImplementedError(f"{type(self).__name__}: _check_input_dim is not implemented")
        if input.array.ndim not in self.dims:
            raise self._unexpected(input)

    def _unexpected(self, input: Tensor) -> ArgumentError:
        expected = self.shapes or "(N, C, ...)"
        name = f"{type(self).__name__}({self.num_features})"
        return ArgumentError(f"{name}: expected input {expected}, got {tuple(input.shape)}")

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        version, key = local_metadata.get("version"), f"{prefix}num_batches_tracked"
        if (version is None or version < 2) and self.num_batches_tracked is not None:
            state_dict.setdefault(key, self.num_batches_tracked)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        """The input normalised by the batch's statistics in training, by the running ones (if there are) in `eval`."""
        self._check_input_dim(input)
        if input.array.shape[1] != self.num_features:
            raise self._unexpected(input)
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


class BatchNorm3d(_BatchNorm):
    """BatchNorm1d for volumes: the statistics are over the batch and all voxels. Shape: (N, C, D, H, W), unchanged."""

    dims, shapes = (5,), "(N, C, D, H, W)"


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics of all processes' batches; of one process, what BatchNorm1d to 3d are.

    There is one process here, as in PyTorch before `init_process_group`. Shape: (N, C, ...), unchanged.
    """

    dims, shapes = tuple(range(2, 65)), "(N, C, ...)"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group=None,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group=None) -> Module:
        """The module with every batch normalisation in it as a SyncBatchNorm that has its parameters and buffers."""
        made = module
        if isinstance(module, _BatchNorm):
            made = SyncBatchNorm(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            if module.affine:
                made.weight, made.bias = module.weight, module.bias
            made.running_mean, made.running_var = module.running_mean, module.running_var
            made.num_batches_tracked, made.training = module.num_batches_tracked, module.training
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made


class _InstanceNorm(_NormBase):
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
        self._check_input_dim(input)
        single = input.array.ndim == self._get_no_batch_dim()
        axis = 0 if single else 1
        if input.array.shape[axis] != self.num_features:
            if self.affine:
                raise self._unexpected(input)
            warnings.warn(
                f"input's size at dim={axis} does not match num_features. You can silence this warning by not passing "
                "in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        return self._handle_no_batch_input(input) if single else self._apply_instance_norm(input)

    def _get_no_batch_dim(self) -> int:
        """How many dimensions a sample without N has."""
        if not self.dims:
            raise NotImplementedError(f"{type(self).__name__}: _get_no_batch_dim is not implemented")
        return self.dims[0]

    def _handle_no_batch_input(self, input: Tensor) -> Tensor:
        return F.squeeze(self._apply_instance_norm(F.unsqueeze(input, 0)), 0)

    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        return functional.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )


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


class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm1d for volumes. Shape: (N, C, D, H, W) or (C, D, H, W), unchanged."""

    dims, shapes = (4, 5), "(N, C, D, H, W) or (C, D, H, W)"


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

    def forward(self, x: Tensor) -> Tensor:
        """The normalised input."""
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

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
        _set_response(self, size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input."""
        return functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """LocalResponseNorm of images as in Torch 7: an even `size` takes one channel less, which still counts in the mean.

    Shape: (N, C, H, W), unchanged. Krizhevsky et al., 2012.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        _set_response(self, size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input."""
        if input.array.ndim != 4:
            raise ArgumentError(f"CrossMapLRN2d: expected input (N, C, H, W), got {tuple(input.shape)}")
        odd = (self.size - 1) // 2 * 2 + 1
        return functional.local_response_norm(input, odd, self.alpha * odd / self.size, self.beta, self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _set_response(layer, size: int, alpha: float, beta: float, k: float) -> None:
    name = type(layer).__name__
    positive(name, size=size)
    layer.size, layer.alpha = size, number(alpha, "alpha", name)
    layer.beta, layer.k = number(beta, "beta", name), number(k, "k", name)


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
