"""Functions that arrange what is there anew: padding, one-hot rows, shuffled channels, windows as columns."""

from __future__ import annotations

import math

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import ArgumentError, backend_of
from ...functions.arguments import separate
from ...ops import pool as P
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import DtypeError, a_tensor, floating, images, pair, positive


def pad(input: Tensor, pad, mode: str = "constant", value: float | None = None) -> Tensor:
    """More around the input: pad = (left, right, top, bottom, ...), last dimension first; negative: crop.

    mode: 'constant' (`value`, or 0), 'reflect' (mirrored, the edge itself not repeated), 'replicate' (the edge's value)
    or 'circular' (from the other end). All but the first are for the last 1, 2 or 3 dimensions of a batch (N, C, ...)
    or of one sample (C, ...).

    >>> pad(F.tensor([1.0, 2.0, 3.0]), (1, -1))
    tensor([0., 1., 2.])
    >>> pad(F.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ArgumentError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    nd, shape = a_tensor(input, "pad").array.ndim, input.array.shape
    if len(pad) % 2 or len(pad) > 2 * nd or not all(isinstance(n, (int, np.integer)) for n in pad):
        raise ArgumentError(f"pad: expected two ints for each of at most {nd} dimensions, last first, got {tuple(pad)}")
    width = [(0, 0)] * nd
    for i in range(len(pad) // 2):
        width[nd - 1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    if any(n + a + b < 0 or n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(shape, width, strict=True)):
        raise ArgumentError(f"pad: {tuple(pad)} takes away more than there is of {tuple(shape)}")
    if mode != "constant":
        if value not in (None, 0):
            raise ArgumentError(f"pad: value={value} has no meaning for mode={mode!r}")
        if not 2 <= len(pad) <= 6 or nd - len(pad) // 2 not in (1, 2):
            raise NotImplementedError(
                f"pad: mode={mode!r} is for the last 1, 2 or 3 dimensions of (N, C, ...) or (C, ...), got "
                f"{tuple(pad)} for input {tuple(shape)}"
            )
        return separate((_around if mode == "circular" else _beyond)(input, width, mode), input)
    if any(n < 0 for both in width for n in both):
        cut = tuple([slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(shape, width, strict=True)])
        input, width = S.getitem(input, index=cut), [(max(a, 0), max(b, 0)) for a, b in width]
    return S.pad(input, width=tuple(width), value=0.0 if value is None else value)


def _around(x: Tensor, width, mode: str) -> Tensor:
    """x with elements of its own around it."""
    for axis, (before, after) in enumerate(width):
        if before or after:
            x = _continued(x, axis, before, after, mode)
    return x


@whole
def _beyond(x: Tensor, width, mode: str) -> Tensor:
    """`_around`, which autocast takes for one op."""
    return _around(x, width, mode)


def _continued(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """x with elements of its own before and after it along `axis`."""
    if mode == "circular" and min(before, after) < 0:  # what is cut off does not come again at the other end
        cut = slice(max(0, -before), x.array.shape[axis] - max(0, -after))
        x, before, after = S.getitem(x, index=(slice(None),) * axis + (cut,)), max(before, 0), max(after, 0)
    n = x.array.shape[axis]
    most = {"reflect": n - 1, "circular": n, "replicate": max(before, after)}[mode]
    if max(before, after) > most or n < 1:
        raise ArgumentError(f"pad: mode={mode!r} can add at most {most} at each end of {n}, got {(before, after)}")

    def part(start, stop) -> Tensor:
        return S.getitem(x, index=(slice(None),) * axis + (slice(start, stop),))

    a, b = max(before, 0), max(after, 0)
    parts = [x]
    if mode == "replicate":
        repeated = [[size if k == axis else m for k, m in enumerate(x.array.shape)] for size in (a, b)]
        parts = [S.broadcast_to(part(0, 1), shape=tuple(repeated[0])), x]
        parts.append(S.broadcast_to(part(n - 1, n), shape=tuple(repeated[1])))
    elif mode == "circular":
        parts = [part(n - a, n), x, part(0, b)]
    else:
        parts = [S.flip(part(1, a + 1), axis=axis), x, S.flip(part(n - 1 - b, n - 1), axis=axis)]
    parts = [p for p in parts if p.array.shape[axis]]
    y = S.cat(*parts, axis=axis) if len(parts) > 1 else x
    if min(before, after) >= 0:
        return y
    return S.getitem(y, index=(slice(None),) * axis + (slice(max(0, -before), a + n + b - max(0, -after)),))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 rows with a 1 at the class and 0 elsewhere; num_classes -1: the largest class plus one.

    >>> one_hot(F.tensor([2, 0]))
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    index = a_tensor(tensor, "one_hot").array
    if index.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: expected integers, got {tensor.dtype}")
    B = backend_of(index)
    if num_classes == -1:
        if not index.size:
            raise ArgumentError("one_hot: num_classes must be given for an empty tensor")
        num_classes = int(index.max()) + 1
    B.check_index(index, num_classes, "one_hot")
    return wrap(B.astype(B.equal(B.reshape(index, (*index.shape, 1)), B.arange(num_classes)), "int64"))


# --------------------------------------------------------------------------------------------------------- channels
def _planes(input: Tensor, factor, name: str, where: str) -> tuple[int, ...]:
    """The shape (..., C, H, W) of the input; the factor must be a positive int."""
    positive(where, **{name: factor})
    shape = tuple(a_tensor(input, where).array.shape)
    if len(shape) < 3:
        raise RuntimeError(f"{where}: expected input (..., C, H, W), got {shape}")
    return shape


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as pixels: with r the factor, y[..., c, r h + i, r w + j] = x[..., r^2 c + r i + j, h, w].

    Shape: (..., C r^2, H, W) to (..., C, r H, r W). Shi et al., 2016.

    >>> pixel_shuffle(F.arange(4).reshape(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    *rest, c, h, w = _planes(input, upscale_factor, "upscale_factor", "pixel_shuffle")
    r, k = upscale_factor, len(rest)
    if c % (r * r):
        raise RuntimeError(
            f"pixel_shuffle: {c} channels cannot be divided by {r} squared (input is {(*rest, c, h, w)})"
        )
    x = F.reshape(input, (*rest, c // (r * r), r, r, h, w))
    x = S.transpose(x, axes=(*range(k), k, k + 3, k + 1, k + 4, k + 2))
    return separate(F.reshape(x, (*rest, c // (r * r), h * r, w * r)), input)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """`pixel_shuffle` undone: with r the factor, y[..., r^2 c + r i + j, h, w] = x[..., c, r h + i, r w + j].

    Shape: (..., C, r H, r W) to (..., C r^2, H, W).
    """
    *rest, c, h, w = _planes(input, downscale_factor, "downscale_factor", "pixel_unshuffle")
    r, k = downscale_factor, len(rest)
    if h % r or w % r:
        raise RuntimeError(f"pixel_unshuffle: {h} x {w} pixels cannot be divided by {r} (input is {(*rest, c, h, w)})")
    x = F.reshape(input, (*rest, c, h // r, r, w // r, r))
    x = S.transpose(x, axes=(*range(k), k, k + 2, k + 4, k + 1, k + 3))
    return separate(F.reshape(x, (*rest, c * r * r, h // r, w // r)), input)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels dealt out anew: the first of each group, then the second of each, and so on.

    Shape: (N, C, ...), unchanged; groups divides C. Zhang et al., 2018.

    >>> channel_shuffle(F.arange(6).reshape(1, 6, 1), 2).flatten().tolist()
    [0, 3, 1, 4, 2, 5]
    """
    positive("channel_shuffle", groups=groups)
    n, c, *size = (*a_tensor(input, "channel_shuffle").array.shape, 0, 0)[: max(2, input.array.ndim)]
    if input.array.ndim < 3 or c % groups:
        raise RuntimeError(
            f"channel_shuffle: expected input (N, C, ...) with channels that {groups} groups divide, got "
            f"{tuple(input.shape)}"
        )
    x = F.reshape(input, (n, groups, c // groups, math.prod(size)))
    return separate(F.reshape(S.swapaxes(x, axis1=1, axis2=2), (n, c, *size)), input)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`channel_shuffle`, under the name of PyTorch's kernel."""
    return channel_shuffle(input, groups)


# ---------------------------------------------------------------------------------------------------------- windows
def _columns(where: str, size, kernel_size, dilation, padding, stride):
    """What `ops.pool.windows` wants, for images (H, W), and the number of windows down and across."""
    kernel, dilation = pair(kernel_size, "kernel_size", where), pair(dilation, "dilation", where)
    padding, stride = pair(padding, "padding", where, low=0), pair(stride, "stride", where)
    out = P.pool_output_size(size, kernel, stride, padding, dilation, False)
    if min(out) < 1:
        raise RuntimeError(
            f"{where}: the kernel {kernel} with dilation {dilation} does not fit the image {tuple(size)} with padding "
            f"{padding}"
        )
    width = P.pool_padding(size, kernel, stride, padding, dilation, out)
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "width": width}, out


def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The pixels that each window meets as a column: y[n, (c, k, l), (p, q)] = x[n, c, s p + d k - pad, ...].

    Shape: (N, C, H, W) or (C, H, W) to (N, C K L, P Q) with P = floor((H + 2 pad - d (K - 1) - 1) / s) + 1.

    >>> unfold(F.arange(6.0).reshape(1, 2, 3), 2)
    tensor([[0., 1.],
            [1., 2.],
            [3., 4.],
            [4., 5.]])
    """
    x, single = images(floating(input, "unfold"), "unfold")
    n, c = x.array.shape[:2]
    how, out = _columns("unfold", x.array.shape[2:], kernel_size, dilation, padding, stride)
    y = F.reshape(P.windows(x, out=out, **how), (n, c * math.prod(how["kernel"]), math.prod(out)))
    return F.squeeze(y, 0) if single else y


def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The columns of `unfold` added to an image of zeros, each number where its pixel was; unfold's derivative.

    Shape: (N, C K L, P Q) or (C K L, P Q) to (N, C, *output_size), with P Q windows as in `unfold`.
    """
    x = floating(input, "fold")
    single, size = x.array.ndim == 2, pair(output_size, "output_size", "fold")
    if x.array.ndim not in (2, 3):
        raise RuntimeError(f"fold: expected input (N, C K L, P Q) or (C K L, P Q), got {tuple(x.shape)}")
    x = F.unsqueeze(x, 0) if single else x
    n, columns, windows = x.array.shape
    how, out = _columns("fold", size, kernel_size, dilation, padding, stride)
    places = math.prod(how["kernel"])
    if columns % places or windows != math.prod(out):
        raise RuntimeError(
            f"fold: expected input (N, C * {places}, {math.prod(out)}) for the kernel {how['kernel']} and {out} "
            f"windows, got {tuple(input.shape)}"
        )
    c = columns // places
    y = P.windows_add(F.reshape(x, (n, c, places, *out)), shape=(n, c, *size), **how)
    return F.squeeze(y, 0) if single else y
