"""Layers that multiply with a weight: linear and convolutions."""

from __future__ import annotations

from ... import functions as F
from ...ops import conv as C
from ...ops import linalg as L
from ...ops import shape as S
from ...tensor import Tensor
from ..checks import images, ints, lines, pair, same_dtype


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
    x, single = images(input, "conv2d")
    y = _conv("conv2d", x, weight, bias, stride, padding, dilation, groups)
    return F.squeeze(y, 0) if single else y


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1, groups: int = 1
) -> Tensor:
    """y[n,f,p] = b[f] + sum over c,k of w[f,c,k] x[n,c, s p + d k - pad]: `conv2d` on images of one row.

    padding: an int, 'valid' (none) or 'same' (the output is as long as the input; stride 1 only).
    Shape: input (N, C, L) or (C, L), weight (F, C/groups, K), bias (F); y (N, F, P) with
    P = floor((L + 2 pad - d (K - 1) - 1) / s) + 1.

    >>> conv1d(F.tensor([[1.0, 2.0, 4.0]]), F.tensor([[[1.0, -1.0]]]))
    tensor([[-1., -2.]])
    """
    same_dtype(input, weight, "conv1d")
    stride, dilation = ints(stride, 1, "stride", "conv1d"), ints(dilation, 1, "dilation", "conv1d")
    x, single = lines(input, "conv1d")
    _check_weight("conv1d", weight, 3)
    if not isinstance(padding, str):
        padding = (0, *ints(padding, 1, "padding", "conv1d", low=0))
    y = _conv("conv1d", x, F.unsqueeze(weight, 2), bias, (1, *stride), padding, (1, *dilation), groups)
    return F.squeeze(F.squeeze(y, 2), 0) if single else F.squeeze(y, 2)


def _check_weight(where: str, weight: Tensor, ndim: int) -> None:
    if weight.array.ndim != ndim:
        raise ValueError(f"{where}: expected a weight with {ndim} dimensions, got {tuple(weight.shape)}")


def _conv(where, x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    """The convolution of (N, C, H, W) with (F, C/groups, K, L)."""
    if isinstance(padding, str):
        width = same_padding(padding, weight.array.shape[2:], stride, dilation, where)
        padding = tuple([before for before, _ in width])
        if any(after != before for before, after in width):
            x, padding = S.pad(x, width=((0, 0), (0, 0), *width), value=0.0), (0, 0)
    else:
        padding = pair(padding, "padding", where, low=0)
    if bias is not None and bias.array.shape != weight.array.shape[:1]:
        raise ValueError(f"{where}: bias has shape {tuple(bias.shape)}, expected {tuple(weight.shape[:1])}")
    return C.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def same_padding(padding: str, kernel, stride, dilation, where: str) -> tuple[tuple[int, int], ...]:
    """(before, after) for each spatial dimension that padding='same' or 'valid' means."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise ValueError(f"{where}: padding must be ints, 'same' or 'valid', got {padding!r}")
    if max(stride) > 1:
        raise ValueError(f"{where}: padding='same' needs stride 1, got {stride}")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple([(n // 2, n - n // 2) for n in total])


def _transposed(where, x, weight, bias, stride, padding, output_padding, groups, dilation) -> Tensor:
    """The transposed convolution of (N, C, H, W) with (C, F/groups, K, L)."""
    shape, kernel = tuple(x.array.shape), tuple(weight.array.shape[2:])
    ints(groups, 1, "groups", where)
    if shape[1] != weight.array.shape[0]:
        raise ValueError(
            f"{where}: input has {shape[1]} channels, weight expects {weight.shape[0]} (weight is "
            f"{tuple(weight.shape)})"
        )
    if shape[1] % groups:
        raise ValueError(f"{where}: {shape[1]} channels cannot be divided into {groups} groups")
    channels = weight.array.shape[1] * groups
    if bias is not None and bias.array.shape != (channels,):
        raise ValueError(f"{where}: bias has shape {tuple(bias.shape)}, expected ({channels},)")
    size, more = [], []
    for n, k, s, p, o, d in zip(shape[2:], kernel, stride, padding, output_padding, dilation, strict=True):
        if o >= max(s, d):
            raise ValueError(f"{where}: output_padding must be smaller than stride or dilation, got {output_padding}")
        more.append((0, o - min(o, s - 1)))  # a convolution that steps by s cannot see what is left over beyond s - 1
        size.append((n - 1) * s - 2 * p + d * (k - 1) + 1 + min(o, s - 1))
    if min(size) < 1:
        raise ValueError(f"{where}: nothing is left of input {shape} with kernel {kernel} and padding {padding}")
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = C.conv2d_input_grad(x, weight, shape=(shape[0], channels, *size), **how)
    if any(after for _, after in more):
        y = S.pad(y, width=((0, 0), (0, 0), *more), value=0.0)
    return y if bias is None else y + F.reshape(bias, (1, channels, 1, 1))


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride=1,
    padding=0,
    output_padding=0,
    groups: int = 1,
    dilation=1,
) -> Tensor:
    """The gradient of `conv2d`'s input as a layer: each pixel adds its multiple of the kernel to the output, plus b.

    y[n,f, s h + d k - pad, s w + d l - pad] += w[c,f,k,l] x[n,c,h,w]. output_padding: rows and columns more at the end.
    Shape: input (N, C, H, W) or (C, H, W), weight (C, F/groups, K, L), bias (F); y (N, F, P, Q) with
    P = (H - 1) s - 2 pad + d (K - 1) + output_padding + 1. Dumoulin and Visin, 2016.
    """
    where = "conv_transpose2d"
    same_dtype(input, weight, where)
    x, single = images(input, where)
    _check_weight(where, weight, 4)
    stride, padding = pair(stride, "stride", where), pair(padding, "padding", where, low=0)
    output_padding = pair(output_padding, "output_padding", where, low=0)
    dilation = pair(dilation, "dilation", where)
    y = _transposed(where, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return F.squeeze(y, 0) if single else y


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride=1,
    padding=0,
    output_padding=0,
    groups: int = 1,
    dilation=1,
) -> Tensor:
    """`conv_transpose2d` on images of one row.

    Shape: input (N, C, L) or (C, L), weight (C, F/groups, K), bias (F); y (N, F, P) with
    P = (L - 1) s - 2 pad + d (K - 1) + output_padding + 1.
    """
    where = "conv_transpose1d"
    same_dtype(input, weight, where)
    x, single = lines(input, where)
    _check_weight(where, weight, 3)
    stride, padding = ints(stride, 1, "stride", where), ints(padding, 1, "padding", where, low=0)
    more, dilation = ints(output_padding, 1, "output_padding", where, low=0), ints(dilation, 1, "dilation", where)
    w = F.unsqueeze(weight, 2)
    y = _transposed(where, x, w, bias, (1, *stride), (0, *padding), (0, *more), groups, (1, *dilation))
    return F.squeeze(F.squeeze(y, 2), 0) if single else F.squeeze(y, 2)
