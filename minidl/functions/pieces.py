"""Windows, strided looks and pieces of tensors, copies, and what is left of PyTorch's functions of whole tensors."""

from __future__ import annotations

import builtins
import math

import numpy as np

from ..backend import backend_of
from ..creation import _place, full
from ..engine import sum_to
from ..ops import elementwise as E
from ..ops import shape as S
from ..tensor import Tensor
from .arguments import a_tensor, dimension, floating, lattice, named, result
from .reduce import diff, norm
from .shape import chunk, narrow, split, stack, unbind, unsqueeze

__all__ = """
    as_strided clone detach fill gradient histogram index_reduce is_complex is_conj is_inference is_neg is_same_size
    is_signed narrow_copy renorm sum_to_size unravel_index unsafe_chunk unsafe_split unsafe_split_with_sizes
    split_with_sizes unfold vander
""".split()


def clone(input, *, memory_format=None) -> Tensor:
    """A copy with its own memory, still part of the graph; see `contiguous` for memory_format."""
    y = E.identity(a_tensor("clone", input))
    return y if memory_format is None else y.contiguous(memory_format=memory_format)


def detach(input) -> Tensor:
    """The same memory, cut off from the graph."""
    return a_tensor("detach", input).detach()


def fill(input, value) -> Tensor:
    """`value` in input's shape and dtype."""
    return E.where(full((), True, device=input.device), value, E.zeros_like(input)).to(input.dtype)


def split_with_sizes(input, split_sizes, dim=0) -> tuple[Tensor, ...]:
    """Cut along `dim` into pieces of the sizes listed."""
    return split(input, list(split_sizes), dim)


def _copied(function, name):
    def pieces(*args, **kwargs) -> tuple[Tensor, ...]:
        return tuple([E.identity(y) for y in function(*args, **kwargs)])

    pieces.__name__ = name
    pieces.__doc__ = f"`{function.__name__}`, with memory of their own for the pieces."
    vars(pieces)["raw"] = pieces
    return pieces


unsafe_split, unsafe_chunk = _copied(split, "unsafe_split"), _copied(chunk, "unsafe_chunk")
unsafe_split_with_sizes = _copied(split_with_sizes, "unsafe_split_with_sizes")


def narrow_copy(input, dim, start, length) -> Tensor:
    """`narrow` with its own memory."""
    return E.identity(narrow(input, dim, start, length))


def unfold(input, dimension, size, step) -> Tensor:
    """All windows of `size` elements along a dimension, `step` apart, as a new last dimension.

    >>> unfold(minidl.arange(5), 0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    dim = S.wrapped(dimension, builtins.max(input.array.ndim, 1), "unfold")
    n = input.array.shape[dim] if input.array.ndim else 1
    if step < 1 or not 0 <= size <= n:
        raise RuntimeError(f"unfold: windows of {size} elements, {step} apart, do not fit dimension {dim} of size {n}")
    x = input if input.array.ndim else unsqueeze(input, 0)
    units = [tuple([int(d == e) for e in range(x.array.ndim)]) for d in range(x.array.ndim)]
    steps = [tuple([v * step for v in u]) if d == dim else u for d, u in enumerate(units)]
    sizes = [(n - size) // step + 1 if d == dim else m for d, m in enumerate(x.array.shape)]
    return lattice(x, (0,) * x.array.ndim, (*sizes, size), (*steps, units[dim]))


def as_strided(input, size, stride, storage_offset=None) -> Tensor:
    """The view of the elements at storage_offset + the sum of index times stride in input's own memory, from its first
    element on. NotImplementedError if that memory has gaps."""
    size, stride = tuple(size), tuple(stride)
    start, count = storage_offset or 0, input.array.size
    if len(size) != len(stride) or builtins.min(*size, *stride, start, 0) < 0:
        raise RuntimeError(f"as_strided: sizes and strides must be as many, none negative: {size}, {stride}, {start}")
    last = start + builtins.sum([(n - 1) * s for n, s in zip(size, stride, strict=True)])
    if math.prod(size) and last >= count:
        raise RuntimeError(f"as_strided: {size} with strides {stride} reaches element {last} of {count}")
    steps = input.array.strides
    order = sorted(builtins.range(len(steps)), key=lambda d: -steps[d])  # from the outermost dimension in memory
    x = input if order == [*builtins.range(len(steps))] else S.transpose(input, axes=tuple(order))
    if not x.array.flags.c_contiguous:
        raise NotImplementedError(
            f"as_strided: {tuple(input.shape)} with strides {input.stride()} has gaps in memory; clone it, or index it"
        )
    return lattice(S.reshape(x, shape=(-1,)), (start,), size, tuple([(s,) for s in stride]))


def sum_to_size(input, *size) -> Tensor:
    """The sum over the dimensions in which `size`, which must broadcast to input's shape, is 1 or missing."""
    size = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    if len(size) > input.array.ndim or any(
        n not in (1, m) for n, m in zip(size[::-1], input.array.shape[::-1], strict=False)
    ):
        raise RuntimeError(f"sum_to_size: {size} does not broadcast to {tuple(input.shape)}")
    return input if size == input.array.shape else sum_to(input, size)


# -------------------------------------------------------------------------------------------------------- questions
def is_same_size(input, other) -> bool:
    """Whether two tensors have one shape."""
    return a_tensor("is_same_size", input).array.shape == other.array.shape


def is_complex(input) -> bool:
    """False: there are no complex numbers."""
    a_tensor("is_complex", input)
    return False


is_conj, is_neg = is_complex, is_complex


def is_signed(input) -> bool:
    """Whether the dtype has negative numbers."""
    return a_tensor("is_signed", input).array.dtype.kind in "if"


def is_inference(input) -> bool:
    """Whether the tensor was made in `inference_mode`."""
    return a_tensor("is_inference", input).version is None


# ---------------------------------------------------------------------------------------------------- of whole tensors
def renorm(input, p, dim, maxnorm) -> Tensor:
    """input, whose slices along `dim` with a p-norm above maxnorm are scaled down to it."""
    if input.array.ndim < 2:
        raise RuntimeError(f"renorm: expected at least 2 dimensions, got {tuple(input.shape)}")
    others = [d for d in range(input.array.ndim) if d != dimension("renorm", input, dim)]
    size = norm(input, p, others, True)
    return input * E.where(E.greater(size, maxnorm), maxnorm / (size + 1e-7), 1.0)


def index_reduce(input, dim, index, source, reduce, *, include_self=True) -> Tensor:
    """input, whose slices `index` along `dim` are joined with those of `source` by 'prod', 'mean', 'amax' or 'amin'."""
    how = {"prod": E.multiply, "mean": E.add, "amax": E.maximum, "amin": E.minimum}
    if reduce not in how:
        raise RuntimeError(f"index_reduce: reduce must be one of {', '.join(how)}, got {reduce!r}")
    dim = dimension("index_reduce", input, dim)
    slices, counts = list(unbind(input, dim)), [int(include_self)] * input.array.shape[dim]
    for i, part in zip(index.tolist(), unbind(source, dim), strict=True):
        slices[i] = how[reduce](slices[i], part) if counts[i] else part
        counts[i] += 1
    if reduce == "mean":
        slices = [y / n if n > 1 else y for y, n in zip(slices, counts, strict=True)]
    return stack(slices, dim).to(input.dtype)


def unravel_index(indices, shape) -> tuple[Tensor, ...]:
    """For positions in the flattened tensor of `shape` their indices, a Tensor for each dimension."""
    shape, left, found = (shape,) if isinstance(shape, int) else tuple(shape), indices, []
    for n in reversed(shape):
        found.append(E.remainder(left, n))
        left = E.floor_divide(left, n)
    return tuple(found[::-1])


def vander(x, N=None, increasing=False) -> Tensor:  # noqa: N803 (PyTorch's name)
    """The powers of each element of a vector as a row, from the highest (increasing: from 0), N of them."""
    n = x.array.shape[0] if N is None else N
    powers = range(n) if increasing else range(n - 1, -1, -1)
    return stack([E.power(x, k) for k in powers], 1)


@named
def gradient(input, *, spacing=1, dim=None, edge_order=1) -> list[Tensor]:
    """Estimated derivatives of samples along each dimension: central differences, one-sided ones at the ends.

    spacing: the distance of the samples, one for all dimensions or one for each, or for each a Tensor of coordinates.
    """
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient: edge_order must be 1 or 2, got {edge_order}")
    dims = range(input.array.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    gaps = spacing if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    return [
        _slope(input, S.wrapped(d, input.array.ndim, "gradient"), h, edge_order)
        for d, h in zip(dims, gaps, strict=True)
    ]


def _slope(x, d, spacing, edge_order) -> Tensor:
    n = x.array.shape[d]
    if n < edge_order + 1:
        raise RuntimeError(f"gradient: dimension {d} has {n} samples, edge_order={edge_order} needs {edge_order + 1}")
    if isinstance(spacing, Tensor) and spacing.ndim:
        h = diff(spacing).reshape([-1] + [1] * (x.array.ndim - d - 1))
    else:
        h = full(
            (n - 1, *[1] * (x.array.ndim - d - 1)),
            float(spacing),
            dtype=None if x.array.dtype.kind != "f" else x.dtype,
            device=x.device,
        )
    slopes = diff(x, dim=d) / h
    a, b = narrow(h, 0, 0, n - 2), narrow(h, 0, 1, n - 2)
    inner = (narrow(slopes, d, 0, n - 2) * b + narrow(slopes, d, 1, n - 2) * a) / (a + b)
    first, last = narrow(slopes, d, 0, 1), narrow(slopes, d, n - 2, 1)
    if edge_order == 2:
        bend = narrow(slopes, d, 1, 1) - first
        first = first - bend * narrow(h, 0, 0, 1) / (narrow(h, 0, 0, 1) + narrow(h, 0, 1, 1))
        bend = last - narrow(slopes, d, n - 3, 1)
        last = last + bend * narrow(h, 0, n - 2, 1) / (narrow(h, 0, n - 2, 1) + narrow(h, 0, n - 3, 1))
    return S.cat(first, inner, last, axis=d)


_Histogram = result("histogram", "hist bin_edges")


def histogram(input, bins=100, *, range=None, weight=None, density=False):
    """(hist, bin_edges): how many elements, or how much weight, lie in each part of the range; bins: their number, or
    their edges as a Tensor. density: divided by the total and by each part's width."""
    floating("histogram", input)
    x = backend_of(input.array).to_host(input.array)
    weights = None if weight is None else backend_of(weight.array).to_host(weight.array).reshape(-1)
    edges = backend_of(bins.array).to_host(bins.array) if isinstance(bins, Tensor) else bins
    counts, edges = np.histogram(x, edges, range=range, weights=weights, density=density)
    return _Histogram(*[_place(v, input.device, False, input.dtype) for v in (counts, edges)])
