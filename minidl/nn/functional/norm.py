"""Normalisation by the statistics of a batch, a sample or a group of channels."""

from __future__ import annotations

import math

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError, backend_of
from ...ops import elementwise as E
from ...ops import norm as N
from ...tensor import Tensor
from ..checks import floating, number, positive
from .arrange import pad
from .distance import norm
from .pooling import avg_pool2d


def _check_sizes(where: str, shape, channels, **named: Tensor | None) -> None:
    """Each Tensor that is there must have one number for each channel."""
    for name, v in named.items():
        if v is not None and v.array.shape != (channels,):
            raise ArgumentError(
                f"{where}: {name} has shape {tuple(v.shape)}, expected ({channels},) for {tuple(shape)}"
            )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = weight (x - mean) / sqrt(var + eps) + bias for each channel.

    In training mean and (biased) var are the batch's, otherwise the running ones. In training the running ones, if
    given, become (1 - momentum) old + momentum new, the variance unbiased.
    Shape: (N, C, ...) to the same; all others (C). Ioffe and Szegedy, 2015.
    """
    shape = floating(input, "batch_norm").array.shape
    if len(shape) < 2:
        raise ArgumentError(f"batch_norm: expected input (N, C, ...), got {tuple(shape)}")
    _check_sizes(
        "batch_norm",
        shape,
        shape[1],
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: running_mean and running_var are needed when training is False")
        return _like(N.batch_norm_fixed(input, weight, bias, running_mean, running_var, eps=eps), input)
    m = math.prod(shape) // shape[1] if shape[1] else 0
    if m < 2:
        raise ArgumentError(
            f"batch_norm: expected more than one value per channel when training, got input {tuple(shape)}"
        )
    y, mean, var = N.batch_norm(input, weight, bias, eps=eps)
    _follow(running_mean, mean.array, momentum)
    _follow(running_var, var.array, momentum, m / (m - 1))
    return _like(y, input)


def _like(y: Tensor, x: Tensor) -> Tensor:
    """y in half precision if x is: weights and statistics may be float32 all the same, and so the arithmetic is."""
    return y.to(x.dtype) if x.array.dtype == np.float16 and y.array.dtype != np.float16 else y


def _follow(running: Tensor | None, new, momentum: float, scale: float = 1.0) -> None:
    """Move a running statistic towards the new one, times scale."""
    if running is not None:
        backend_of(running.array).follow(running.array, new, momentum, scale)
        running.changed()


def _trailing(where: str, x: Tensor, normalized_shape, **named: Tensor | None) -> tuple[int, ...]:
    """The last axes, whose sizes must be normalized_shape, as must be the shape of each Tensor that is there."""
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    shape = tuple(x.array.shape)
    if not sizes or shape[-len(sizes) :] != sizes:
        raise ArgumentError(f"{where}: expected input (*, {', '.join(map(str, sizes))}), got {shape}")
    for name, v in named.items():
        if v is not None and v.array.shape != sizes:
            raise ArgumentError(f"{where}: {name} has shape {tuple(v.shape)}, expected normalized_shape {sizes}")
    return tuple(range(len(shape) - len(sizes), len(shape)))


@whole
def layer_norm(
    input: Tensor, normalized_shape, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """y = weight (x - mean) / sqrt(var + eps) + bias, with mean and (biased) var over the last axes of each sample.

    Shape: (*, normalized_shape) to the same; weight and bias normalized_shape. Ba et al., 2016.

    >>> layer_norm(F.tensor([[1.0, 3.0], [5.0, 5.0]]), (2,), eps=0.0 + 1e-12)
    tensor([[-1.,  1.],
            [ 0.,  0.]])
    """
    x = floating(input, "layer_norm")
    axis = _trailing("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    return _like(N.layer_norm(x, weight, bias, axis=axis, eps=eps)[0], x)


@whole
def rms_norm(input: Tensor, normalized_shape, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """y = weight x / sqrt(mean of x^2 + eps), with the mean over the last axes of each sample.

    eps: the distance from 1 to the next number of the input's dtype if not given.
    Shape: (*, normalized_shape) to the same; weight normalized_shape. Zhang and Sennrich, 2019.
    """
    x = floating(input, "rms_norm")
    axis = _trailing("rms_norm", x, normalized_shape, weight=weight)
    eps = float(np.finfo(x.array.dtype).eps) if eps is None else eps
    return _like(N.layer_norm(x, weight, None, axis=axis, eps=eps, center=False)[0], x)


@whole
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """y = weight (x - mean) / sqrt(var + eps) + bias, with mean and (biased) var of each sample's groups of channels.

    Shape: (N, C, ...) to the same; weight and bias (C). Wu and He, 2018.
    """
    x = floating(input, "group_norm")
    positive("group_norm", num_groups=num_groups)
    shape = tuple(x.array.shape)
    if len(shape) < 2:
        raise ArgumentError(f"group_norm: expected input (N, C, ...), got {shape}")
    n, channels = shape[:2]
    if channels % num_groups:
        raise ArgumentError(f"group_norm: {channels} channels of {shape} cannot be divided into {num_groups} groups")
    _check_sizes("group_norm", shape, channels, weight=weight, bias=bias)
    if n and math.prod(shape[1:]) // num_groups * n <= 1:
        raise ArgumentError(f"group_norm: expected more than one value per channel, got input {shape}")
    x = x.reshape(n, num_groups, channels // num_groups, math.prod(shape[2:]))
    affine = [None if v is None else v.reshape(1, num_groups, -1, 1) for v in (weight, bias)]
    return _like(N.layer_norm(x, *affine, axis=(2, 3), eps=eps)[0], x).reshape(shape)


@whole
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = weight (x - mean) / sqrt(var + eps) + bias for each channel of each sample.

    use_input_stats: mean and (biased) var are the sample's, and the running ones, if given, follow the batch's average
    of them (the variance unbiased); otherwise mean and var are the running ones.
    Shape: (N, C, ...) to the same; all others (C). Ulyanov et al., 2016.
    """
    x = floating(input, "instance_norm")
    shape = tuple(x.array.shape)
    if len(shape) < 3:
        raise ArgumentError(f"instance_norm: expected input (N, C, L) or (N, C, H, W), got {shape}")
    running = {"running_mean": running_mean, "running_var": running_var}
    _check_sizes("instance_norm", shape, shape[1], weight=weight, bias=bias, **running)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError("instance_norm: running_mean and running_var are needed when use_input_stats is False")
        return _like(N.batch_norm_fixed(x, weight, bias, running_mean, running_var, eps=eps), x)
    m = math.prod(shape[2:])
    if m < 2:
        raise ArgumentError(f"instance_norm: expected more than one value per channel when training, got input {shape}")
    line = (1, -1, *(1,) * (len(shape) - 2))
    affine = [None if v is None else v.reshape(line) for v in (weight, bias)]
    y, mean, var = N.layer_norm(x, *affine, axis=tuple(range(2, len(shape))), eps=eps)
    for kept, new, scale in ((running_mean, mean, 1.0), (running_var, var, m / (m - 1))):
        if kept is not None and shape[0]:  # no samples have no average
            _follow(kept, F.mean(new.detach().reshape(shape[:2]), 0).array, momentum, scale)
    return _like(y, x)


@whole
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """y = x / (k + alpha times the mean of x^2 over `size` neighbouring channels, zeros beyond the ends)^beta.

    Shape: (N, C, ...), unchanged. Krizhevsky et al., 2012.
    """
    x = floating(input, "local_response_norm")
    positive("local_response_norm", size=size)
    shape = tuple(x.array.shape)
    if len(shape) < 3:
        raise ArgumentError(f"local_response_norm: expected input (N, C, L) or with more dimensions, got {shape}")
    if not math.prod(shape):
        return x
    squares = pad(E.square(x).reshape(shape[0], 1, shape[1], -1), (0, 0, size // 2, (size - 1) // 2))
    return x / (avg_pool2d(squares, (size, 1), 1).reshape(shape) * alpha + k) ** beta


def normalize(input: Tensor, p: float = 2.0, dim=1, eps: float = 1e-12, out=None) -> Tensor:
    """x / max(||x||_p, eps), with the norm over `dim` (an int or several).

    >>> normalize(F.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    if out is not None:
        raise NotImplementedError("normalize: out is not supported")
    x, eps = floating(input, "normalize"), number(eps, "eps", "normalize")
    return x / E.clip(norm(x, number(p, "p", "normalize"), dim), low=eps)
