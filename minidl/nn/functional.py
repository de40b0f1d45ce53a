"""PyTorch's `nn.functional`: layers as functions of their inputs and weights; the losses come from `loss.py`."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import functions as F
from ..backend import backend_of, get_backend
from ..backend.random import default_generator
from ..ops import conv as C
from ..ops import elementwise as E
from ..ops import linalg as L
from ..ops import noise as D
from ..ops import norm as N
from ..ops import pool as P
from ..ops import shape as S
from ..tensor import Tensor, wrap
from .checks import a_tensor, floating, pair, same_dtype
from .loss import cross_entropy, l1_loss, mse_loss, nll_loss

__all__ = ["linear", "conv2d", "max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "batch_norm", "dropout", "relu"]
__all__ += ["relu_", "tanh", "sigmoid", "softmax", "log_softmax", "pad", "one_hot"]
__all__ += ["cross_entropy", "nll_loss", "mse_loss", "l1_loss"]


def _images(x: Tensor, where: str) -> tuple[Tensor, bool]:
    """x as (N, C, H, W), and whether it came as one image (C, H, W)."""
    if a_tensor(x, where).array.ndim == 4:
        return x, False
    if x.array.ndim != 3:
        raise ValueError(f"{where}: expected input (N, C, H, W) or (C, H, W), got {tuple(x.shape)}")
    return F.unsqueeze(x, 0), True


# --------------------------------------------------------------------------------------------------------- layers
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x w^T + b.

    Shape: input (..., in), weight (out, in), bias (out); y (..., out).

    >>> linear(F.tensor([[1.0, 2.0]]), F.tensor([[3.0, 4.0]]), F.tensor([5.0]))
    tensor([[16.]])
    """
    if input.__class__ is not Tensor or input.array.dtype != weight.array.dtype:
        same_dtype(input, weight, "linear")
    return L.linear(input, weight, bias)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1, groups: int = 1
) -> Tensor:
    """y[n,f,p,q] = b[f] + sum over c,k,l of w[f,c,k,l] x[n,c, s p + d k - pad, s q + d l - pad].

    padding: ints, 'valid' (none) or 'same' (the output is as large as the input; stride 1 only).
    Shape: input (N, C, H, W) or (C, H, W), weight (F, C/groups, K, L), bias (F); y (N, F, P, Q) with
    P = floor((H + 2 pad - d (K - 1) - 1) / s) + 1.
    """
    same_dtype(input, weight, "conv2d")
    stride, dilation = pair(stride, "stride", "conv2d"), pair(dilation, "dilation", "conv2d")
    x, single = _images(input, "conv2d")
    if isinstance(padding, str):
        width = same_padding(padding, weight.array.shape[2:], stride, dilation, "conv2d")
        padding = tuple([before for before, _ in width])
        if any(after != before for before, after in width):
            x, padding = S.pad(x, width=((0, 0), (0, 0), *width), value=0.0), (0, 0)
    else:
        padding = pair(padding, "padding", "conv2d", low=0)
    if bias is not None and bias.array.shape != weight.array.shape[:1]:
        raise ValueError(f"conv2d: bias has shape {tuple(bias.shape)}, expected {tuple(weight.shape[:1])}")
    y = C.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return F.squeeze(y, 0) if single else y


def same_padding(padding: str, kernel, stride, dilation, where: str) -> tuple[tuple[int, int], ...]:
    """(before, after) for the height and the width that padding='same' or 'valid' means."""
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding != "same":
        raise ValueError(f"{where}: padding must be ints, 'same' or 'valid', got {padding!r}")
    if max(stride) > 1:
        raise ValueError(f"{where}: padding='same' needs stride 1, got {stride}")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple([(n // 2, n - n // 2) for n in total])


def _pooling(where, input, kernel_size, stride, padding, dilation):
    x, single = _images(floating(input, where), where)
    kernel = pair(kernel_size, "kernel_size", where)
    stride = kernel if stride is None or stride == [] else pair(stride, "stride", where)
    padding, dilation = pair(padding, "padding", where, low=0), pair(dilation, "dilation", where)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(
            f"{where}: padding must be at most half of the kernel, got padding {padding} for kernel {kernel}"
        )
    return x, single, kernel, stride, padding, dilation


def _windows(where, x, kernel, stride, padding, dilation, ceil_mode):
    """The number of windows down and across, and how much to pad for them."""
    size = x.array.shape[2:]
    out = P.pool_output_size(size, kernel, stride, padding, dilation, ceil_mode)
    if min(out) < 1:
        raise ValueError(f"{where}: kernel {kernel} does not fit the image {tuple(size)} with padding {padding}")
    return out, P.pool_padding(size, kernel, stride, padding, dilation, out)


def max_pool2d(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode: bool = False,
    return_indices: bool = False,
):
    """The largest value in each window; return_indices=True: also its position, row * W + column, as int64.

    stride: kernel_size if not given. Shape: (N, C, H, W) or (C, H, W) to (N, C, P, Q) with
    P = floor((H + 2 pad - d (K - 1) - 1) / s) + 1 (ceil_mode: ceil).
    """
    x, single, kernel, stride, padding, dilation = _pooling("max_pool2d", input, kernel_size, stride, padding, dilation)
    out, width = _windows("max_pool2d", x, kernel, stride, padding, dilation, ceil_mode)
    y, place = P.max_pool2d(x, kernel=kernel, stride=stride, dilation=dilation, width=width, out=out)
    y = F.squeeze(y, 0) if single else y
    if not return_indices:
        return y
    B = backend_of(place.array)
    place = B.astype(place.array, "int64")
    rows = B.reshape(B.arange(out[0]) * stride[0] - padding[0], (-1, 1)) + place // kernel[1] * dilation[0]
    columns = B.arange(out[1]) * stride[1] - padding[1] + place % kernel[1] * dilation[1]
    indices = wrap(rows * x.array.shape[3] + columns)
    return y, F.squeeze(indices, 0) if single else indices


def max_pool2d_with_indices(
    input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False, return_indices: bool = True
) -> tuple[Tensor, Tensor]:
    """`max_pool2d` with return_indices=True."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


@functools.lru_cache(maxsize=256)
def _shares(size, kernel, stride, padding, out, count_include_pad, dtype, where):
    """One over how many elements each window of avg_pool2d counts: one number, or a (P, Q) array on the device."""
    counts = []
    for n, k, s, p, m in zip(size, kernel, stride, padding, out, strict=True):
        first = np.arange(m) * s - p
        last = np.minimum(first + k, n + p)  # what ceil_mode needs beyond the padding never counts
        if not count_include_pad:
            first, last = np.maximum(first, 0), np.minimum(last, n)
        counts.append(last - first)
    table = np.multiply.outer(*counts)
    if (table == table.flat[0]).all():
        return 1.0 / int(table.flat[0])
    return get_backend(where).from_host((1.0 / table).astype(dtype), where)


def avg_pool2d(
    input: Tensor,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window, its padding included or not; divisor_override: the sum over this number instead.

    Shape: as `max_pool2d`.
    """
    x, single, kernel, stride, padding, dilation = _pooling("avg_pool2d", input, kernel_size, stride, padding, 1)
    out, width = _windows("avg_pool2d", x, kernel, stride, padding, dilation, ceil_mode)
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override must not be 0")
    if divisor_override is not None:
        share: Any = 1.0 / divisor_override
    else:
        size, dtype = tuple(x.array.shape[2:]), x.array.dtype
        share = _shares(size, kernel, stride, padding, out, bool(count_include_pad), dtype, x.device)
        share = share if isinstance(share, float) else wrap(share)
    y = P.window_sum(x, kernel=kernel, stride=stride, width=width, out=out) * share
    return F.squeeze(y, 0) if single else y


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
        raise ValueError(f"batch_norm: expected input (N, C, ...), got {tuple(shape)}")
    named = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, v in named.items():
        if v is not None and v.array.shape != shape[1:2]:
            raise ValueError(
                f"batch_norm: {name} has shape {tuple(v.shape)}, expected ({shape[1]},) for {tuple(shape)}"
            )
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running_mean and running_var are needed when training is False")
        return N.batch_norm_fixed(input, weight, bias, running_mean, running_var, eps=eps)
    m = math.prod(shape) // shape[1] if shape[1] else 0
    if m < 2:
        raise ValueError(
            f"batch_norm: expected more than one value per channel when training, got input {tuple(shape)}"
        )
    y, mean, var = N.batch_norm(input, weight, bias, eps=eps)
    for running, new in ((running_mean, mean.array), (running_var, var.array * (m / (m - 1)))):
        if running is not None:
            running.write(running.array * (1 - momentum) + new * momentum)
    return y


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training each element is 0 with probability p, else multiplied by 1 / (1 - p); otherwise the input itself.

    Srivastava et al., 2014.
    """
    a_tensor(input, "dropout")
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be between 0 and 1, got {p}")
    if not training or p == 0:
        return input
    mask = wrap(backend_of(input.array).dropout_mask(input.array.shape, p, default_generator().key()))
    scale = 1.0 / (1.0 - p) if p < 1 else 0.0
    if inplace:
        return input.assign("dropout_", lambda: D.dropout(input, mask, scale=scale))
    return D.dropout(input, mask, scale=scale)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return input.assign("relu_", lambda: E.relu(input)) if inplace else E.relu(input)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, inplace=True)


def tanh(input: Tensor) -> Tensor:
    """tanh x."""
    return E.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return E.sigmoid(input)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """exp(x) / sum exp(x) along `dim`."""
    return F.softmax(input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """log softmax(x) along `dim`."""
    return F.log_softmax(input, dim, dtype)


def pad(input: Tensor, pad, mode: str = "constant", value: float | None = None) -> Tensor:
    """`value` (0) around the input: pad = (left, right, top, bottom, ...), last dimension first; negative: crop.

    >>> pad(F.tensor([1.0, 2.0, 3.0]), (1, -1))
    tensor([0., 1., 2.])
    """
    if mode != "constant":
        if mode in ("reflect", "replicate", "circular"):
            raise NotImplementedError(f"pad: mode={mode!r} is not supported; 'constant' is")
        raise ValueError(f"pad: mode must be 'constant', got {mode!r}")
    nd, shape = input.array.ndim, input.array.shape
    if len(pad) % 2 or len(pad) > 2 * nd or not all(isinstance(n, (int, np.integer)) for n in pad):
        raise ValueError(f"pad: expected two ints for each of at most {nd} dimensions, last first, got {tuple(pad)}")
    width = [(0, 0)] * nd
    for i in range(len(pad) // 2):
        width[nd - 1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    if any(n + a + b < 0 or n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(shape, width, strict=True)):
        raise ValueError(f"pad: {tuple(pad)} takes away more than there is of {tuple(shape)}")
    if any(n < 0 for both in width for n in both):
        cut = tuple([slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(shape, width, strict=True)])
        input, width = S.getitem(input, index=cut), [(max(a, 0), max(b, 0)) for a, b in width]
    return S.pad(input, width=tuple(width), value=0.0 if value is None else value)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 rows with a 1 at the class and 0 elsewhere; num_classes -1: the largest class plus one.

    >>> one_hot(F.tensor([2, 0]))
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    index = a_tensor(tensor, "one_hot").array
    if index.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integers, got {tensor.dtype}")
    B = backend_of(index)
    if num_classes == -1:
        if not index.size:
            raise ValueError("one_hot: num_classes must be given for an empty tensor")
        num_classes = int(index.max()) + 1
    B.check_index(index, num_classes, "one_hot")
    return wrap(B.astype(B.equal(B.reshape(index, (*index.shape, 1)), B.arange(num_classes)), "int64"))
