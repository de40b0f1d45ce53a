"""Batch normalisation layers."""

from __future__ import annotations

from .. import functions as F
from ..backend import backend_of
from ..tensor import Tensor
from . import functional, init
from .checks import positive
from .linear import new_parameter
from .module import Module


class _BatchNorm(Module):
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
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

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

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
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
