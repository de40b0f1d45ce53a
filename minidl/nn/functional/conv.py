"""Layers that multiply with a weight: linear and convolutions."""

from __future__ import annotations

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError
from ...ops import conv as C
from ...ops import linalg as L
from ...ops import pool as P
from ...ops import shape as S
from ...tensor import Tensor
from ..checks import a_tensor, images, ints, lines, pair, same_dtype, volumes


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
    stride, dilation = ints(stride, 2, "stride", "conv2d"), ints(dilation, 2, "dilation", "conv2d")
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


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1, groups: int = 1
) -> Tensor:
    """`conv2d` for volumes: y[n,f,o,p,q] = b[f] + sum over c,j,k,l of w[f,c,j,k,l] x[n,c, s o + d j - pad, ...].

    Computed as `conv2d` of all planes at once, where the planes that a kernel meets down the depth are channels.
    padding: ints, 'valid' (none) or 'same' (the output is as large as the input; stride 1 only).
    Shape: input (N, C, D, H, W) or (C, D, H, W), weight (F, C/groups, J, K, L), bias (F); y (N, F, O, P, Q) with sizes
    as in `conv2d`.
    """
    where = "conv3d"
    same_dtype(input, weight, where)
    stride, dilation = ints(stride, 3, "stride", where), ints(dilation, 3, "dilation", where)
    x, single = volumes(input, where)
    _check_weight(where, weight, 5)
    (n, c, *size), (f, each, *kernel) = x.array.shape, weight.array.shape
    if c != each * groups:
        raise ArgumentError(
            f"conv3d: input has {c} channels, weight expects {each * groups} (input is {tuple(input.shape)}, weight is "
            f"{tuple(weight.shape)}, groups is {groups})"
        )
    if isinstance(padding, str):
        width = same_padding(padding, kernel, stride, dilation, where)
    else:
        width = tuple([(p, p) for p in ints(padding, 3, "padding", where, low=0)])
    if any(d * (k - 1) + 1 > m + sum(w) for d, k, m, w in zip(dilation, kernel, size, width, strict=True)):
        raise ArgumentError(
            f"conv3d: the kernel {tuple(kernel)} with dilation {dilation} does not fit the padded volume (input is "
            f"{tuple(input.shape)}, padding is {padding})"
        )
    flat = tuple([before for before, _ in width[1:]])
    if any(after != before for before, after in width[1:]):
        x, flat = S.pad(x, width=((0, 0), (0, 0), (0, 0), *width[1:]), value=0.0), (0, 0)
    planes = (size[0] + sum(width[0]) - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    how = {"kernel": (kernel[0],), "stride": stride[:1], "dilation": dilation[:1], "out": (planes,)}
    x = P.windows(x, width=((0, 0), (0, 0), width[0], (0, 0), (0, 0)), **how)
    x = S.transpose(x, axes=(0, 3, 1, 2, 4, 5))
    x = F.reshape(x, (n * planes, c * kernel[0], *x.array.shape[4:]))
    y = _conv(
        where, x, F.reshape(weight, (f, each * kernel[0], *kernel[1:])), bias, stride[1:], flat, dilation[1:], groups
    )
    y = S.swapaxes(F.reshape(y, (n, planes, *y.array.shape[1:])), axis1=1, axis2=2)
    return F.squeeze(y, 0) if single else y


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """`conv1d` of a sequence with time first: y[t,n,f] = b[f] + sum over k,c of w[k,c,f] x[t + k - pad, n, c].

    Shape: input (T, N, C), weight (K, C, F), bias (F); y (T + 2 pad - K + 1, N, F).
    """
    for name, x in (("input", input), ("weight", weight)):
        if a_tensor(x, "conv_tbc", name).array.ndim != 3:
            raise RuntimeError(f"conv_tbc: {name} must have 3 dimensions, got {tuple(x.shape)}")
    y = conv1d(
        S.transpose(input, axes=(1, 2, 0)),
        S.transpose(weight, axes=(2, 1, 0)),
        a_tensor(bias, "conv_tbc", "bias"),
        1,
        pad,
    )
    return S.transpose(y, axes=(2, 0, 1))


def _check_weight(where: str, weight: Tensor, ndim: int) -> None:
    if weight.array.ndim != ndim:
        raise ArgumentError(f"{where}: expected a weight with {ndim} dimensions, got {tuple(weight.shape)}")


def _conv(where, x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    """The convolution of (N, C, H, W) with (F, C/groups, K, L)."""
    if isinstance(padding, str):
        width = same_padding(padding, weight.array.shape[2:], stride, dilation, where)
        padding = tuple([before for before, _ in width])
        if any(after != before for before, after in width):
            x, padding = S.pad(x, width=((0, 0), (0, 0), *width), value=0.0), (0, 0)
    else:
        padding = ints(padding, 2, "padding", where, low=0)
    if bias is not None and bias.array.shape != weight.array.shape[:1]:
        raise ArgumentError(f"{where}: bias has shape {tuple(bias.shape)}, expected {tuple(weight.shape[:1])}")
    return C.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def same_padding(padding: str, kernel, stride, dilation, where: str) -> tuple[tuple[int, int], ...]:
    """(before, after) for each spatial dimension that padding='same' or 'valid' means."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise ArgumentError(f"{where}: padding must be ints, 'same' or 'valid', got {padding!r}")
    if max(stride) > 1:
        raise ArgumentError(f"{where}: padding='same' needs stride 1, got {stride}")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple([(n // 2, n - n // 2) for n in total])


def _transposed(where, x, weight, bias, stride, padding, output_padding, groups, dilation) -> Tensor:
    """The transposed convolution of (N, C, H, W) with (C, F/groups, K, L), or the same of volumes."""
    shape, kernel = tuple(x.array.shape), tuple(weight.array.shape[2:])
    ints(groups, 1, "groups", where)
    if shape[1] != weight.array.shape[0]:
        raise ArgumentError(
            f"{where}: input has {shape[1]} channels, weight expects {weight.shape[0]} (weight is "
            f"{tuple(weight.shape)})"
        )
    if shape[1] % groups:
        raise ArgumentError(f"{where}: {shape[1]} channels cannot be divided into {groups} groups")
    channels = weight.array.shape[1] * groups
    if bias is not None and bias.array.shape != (channels,):
        raise ArgumentError(f"{where}: bias has shape {tuple(bias.shape)}, expected ({channels},)")
    size: list[int] = []
    cut: list[slice] = []
    more: list[tuple[int, int]] = []
    around = list(padding)
    for i, (n, k, s, o, d) in enumerate(zip(shape[2:], kernel, stride, output_padding, dilation, strict=True)):
        if o >= max(s, d):
            raise ArgumentError(
                f"{where}: output_padding must be smaller than stride or dilation, got {output_padding}"
            )
        first, whole = padding[i], (n - 1) * s + d * (k - 1) + 1
        wanted = whole - 2 * first + o
        if o < s or i < len(kernel) - 2:
            cut, more, size = [*cut, slice(None)], [*more, (0, 0)], [*size, wanted]
        else:  # a convolution that steps by s cannot see what is left over beyond s - 1: computed whole, and cut here
            cut, more = [*cut, slice(first, first + wanted)], [*more, (0, max(0, first + wanted - whole))]
            around[i], size = 0, [*size, whole]
        if wanted < 1:
            raise ArgumentError(f"{where}: nothing is left of input {shape} with kernel {kernel} and padding {padding}")
    how = {"stride": stride[-2:], "padding": tuple(around[-2:]), "dilation": dilation[-2:], "groups": groups}
    if len(kernel) == 3:  # what each plane gives at each place of the kernel's depth, as channels, added down the depth
        (n, c, d), deep = shape[:3], kernel[0]
        x = F.reshape(S.swapaxes(x, axis1=1, axis2=2), (n * d, c, *shape[3:]))
        weight = F.reshape(weight, (c, channels // groups * deep, *kernel[1:]))
        y = C.conv2d_input_grad(x, weight, shape=(n * d, channels * deep, *size[1:]), **how)
        y = S.transpose(F.reshape(y, (n, d, channels, deep, *size[1:])), axes=(0, 2, 3, 1, 4, 5))
        reach = (d - 1) * stride[0] + dilation[0] * (deep - 1) + 1
        width = ((0, 0), (0, 0), (padding[0], max(0, reach - size[0] - padding[0])), (0, 0), (0, 0))
        line = {"kernel": (deep,), "stride": stride[:1], "dilation": dilation[:1]}
        y = P.windows_add(y, width=width, shape=(n, channels, *size), **line)
    else:
        y = C.conv2d_input_grad(x, weight, shape=(shape[0], channels, *size), **how)
    if any(after for _, after in more):
        y = S.pad(y, width=((0, 0), (0, 0), *more), value=0.0)
    if any(part != slice(None) for part in cut):
        y = S.getitem(y, index=(slice(None), slice(None), *cut))
    return y if bias is None else y + F.reshape(bias, (1, channels, *(1,) * len(kernel)))


@whole
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


@whole
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


@whole
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride=1,
    padding=0,
    output_padding=0,
    groups: int = 1,
    dilation=1,
) -> Tensor:
    """`conv_transpose2d` for volumes.

    Shape: input (N, C, D, H, W) or (C, D, H, W), weight (C, F/groups, J, K, L), bias (F); y (N, F, O, P, Q) with sizes
    as in `conv_transpose2d`.
    """
    where = "conv_transpose3d"
    same_dtype(input, weight, where)
    x, single = volumes(input, where)
    _check_weight(where, weight, 5)
    stride, padding = ints(stride, 3, "stride", where), ints(padding, 3, "padding", where, low=0)
    more, dilation = ints(output_padding, 3, "output_padding", where, low=0), ints(dilation, 3, "dilation", where)
    y = _transposed(where, x, weight, bias, stride, padding, more, groups, dilation)
    return F.squeeze(y, 0) if single else y
