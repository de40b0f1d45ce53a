"""Functions that move elements: other shapes, joining, cutting, repeating, turning around."""

from __future__ import annotations

import builtins
import itertools
import math

import numpy as np

from ..backend import ArgumentError, backend_of
from ..backend.dtypes import dtype
from ..creation import _size
from ..ops import elementwise as E
from ..ops import shape as S
from ..ops.shape import wrapped
from ..tensor import Size, Tensor, wrap
from .arguments import dimension, listed, named, sequence

__all__ = """
    adjoint atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors broadcast_to cartesian_prod
    cat chunk column_stack combinations concat concatenate dsplit dstack expand flatten flip fliplr flipud hsplit
    hstack meshgrid moveaxis movedim narrow permute ravel repeat repeat_interleave reshape roll rot90 row_stack select
    split squeeze stack swapaxes swapdims t tensor_split tile transpose unbind unflatten unsqueeze view vsplit vstack
""".split()


def reshape(input, *shape) -> Tensor:
    """The same elements in another shape; one size may be -1 (what is left over)."""
    return _reshaped("reshape", input, shape)


def _reshaped(name, input, shape) -> Tensor:
    shape = tuple(shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)
    try:
        return S.reshape(input, shape=shape)
    except ArgumentError:
        raise ArgumentError(
            f"{name}: a tensor of shape {tuple(input.shape)} has {input.array.size} elements, "
            f"which do not fit into the shape {shape}"
        ) from None


def view(input, *shape, size=None) -> Tensor:
    """`reshape` that refuses to copy; with a dtype of the same size, the same bits read as that dtype."""
    shape = shape if size is None else (size,)
    if len(shape) == 1 and isinstance(shape[0], dtype):
        y = wrap(input.array.view(shape[0].dtype))
        y.version = input.version
        return y
    y = _reshaped("view", input, shape)
    if y.array.size and not backend_of(input.array).may_share_memory(y.array, input.array):
        raise RuntimeError(
            f"view: {tuple(input.shape)} with these strides cannot be viewed as {tuple(y.shape)}; use reshape"
        )
    return y


def permute(input, *order, dims=None) -> Tensor:
    """The dimensions in another order."""
    dims = dims or (order[0] if len(order) == 1 and not isinstance(order[0], int) else order)
    axes = tuple([d % input.array.ndim for d in dims])
    if sorted(axes) != list(range(input.array.ndim)):
        raise RuntimeError(f"permute: {tuple(dims)} is not an order of the {input.array.ndim} dimensions")
    return S.transpose(input, axes=axes)


def transpose(input, dim0, dim1) -> Tensor:
    """Two dimensions exchanged."""
    return S.swapaxes(input, axis1=dim0, axis2=dim1)


def t(input) -> Tensor:
    """A matrix transposed (a vector stays)."""
    if input.array.ndim > 2:
        raise RuntimeError(f"t: expected at most 2 dimensions, got {tuple(input.shape)}")
    return input if input.array.ndim < 2 else S.swapaxes(input, axis1=0, axis2=1)


@named
def squeeze(input, dim=None) -> Tensor:
    """Without the dimensions of size 1 (of those in `dim` only)."""
    shape, nd = input.array.shape, input.array.ndim
    dims = (
        range(nd)
        if dim is None
        else [dimension("squeeze", input, d) for d in ((dim,) if isinstance(dim, int) else dim)]
    )
    return S.reshape(input, shape=tuple([n for i, n in enumerate(shape) if n != 1 or i not in dims]))


@named
def unsqueeze(input, dim) -> Tensor:
    """With a new dimension of size 1 at `dim`."""
    shape = list(input.array.shape)
    shape.insert(wrapped(dim, len(shape) + 1, "unsqueeze"), 1)
    return S.reshape(input, shape=tuple(shape))


def flatten(input, start_dim=0, end_dim=-1) -> Tensor:
    """The dimensions start_dim ... end_dim as one."""
    shape = input.array.shape
    if not shape:
        return S.reshape(input, shape=(1,))
    a, b = wrapped(start_dim, len(shape), "flatten"), wrapped(end_dim, len(shape), "flatten")
    if a > b:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return S.reshape(input, shape=(*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :]))


def broadcast_to(input, shape) -> Tensor:
    """Repeated along new dimensions and those of size 1, without copying."""
    return _broadcast(input, tuple(shape))


def _broadcast(input, shape, name="broadcast_to") -> Tensor:
    """`broadcast_to`; a view that can be written to where no element is repeated."""
    old, lead = input.array.shape, len(shape) - input.array.ndim
    if lead >= 0 and shape == (1,) * lead + old:
        return S.reshape(input, shape=shape)
    try:
        return S.broadcast_to(input, shape=shape)
    except ArgumentError:
        raise ArgumentError(
            f"{name}: a tensor of shape {old} does not broadcast to the shape {shape}: from the last one on, each of "
            "its sizes must be 1 or the size asked for"
        ) from None


def expand(input, *sizes) -> Tensor:
    """Repeated along new dimensions and those of size 1, without copying; -1 leaves a size as it is."""
    return _broadcast(input, _expand_size(sizes, input.array.shape), "expand")


def _expand_size(sizes, shape):
    sizes = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    lead = len(sizes) - len(shape)
    return tuple([shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(sizes)])


def repeat(input, *sizes) -> Tensor:
    """Copied `sizes[i]` times along dimension i."""
    sizes = _size(sizes)
    if len(sizes) < input.array.ndim:
        raise RuntimeError(f"repeat: {tuple(input.shape)} needs at least {input.array.ndim} numbers, got {sizes}")
    shape = (1,) * (len(sizes) - input.array.ndim) + input.array.shape
    double_shape = [n for pair in zip((1,) * len(shape), shape, strict=True) for n in pair]
    repeated = [n for pair in zip(sizes, shape, strict=True) for n in pair]
    y = E.identity(S.broadcast_to(S.reshape(input, shape=double_shape), shape=repeated))
    return S.reshape(y, shape=tuple([a * b for a, b in zip(sizes, shape, strict=True)]))


@named
def cat(tensors, dim=0) -> Tensor:
    """The tensors one after the other along an existing dimension."""
    tensors = sequence("cat", tensors)
    if builtins.any(t.array.ndim > 1 for t in tensors):  # among others an empty vector means nothing, as in PyTorch
        tensors = [t for t in tensors if t.array.shape != (0,)]
    return S.cat(*tensors, axis=dim)


@named
def stack(tensors, dim=0) -> Tensor:
    """The tensors, all of one shape, along a new dimension."""
    tensors = sequence("stack", tensors)
    dim = wrapped(dim, tensors[0].ndim + 1, "stack")
    try:
        return S.pile(*tensors, axis=dim)
    except ArgumentError:
        for i, x in enumerate(tensors):
            if x.array.shape != tensors[0].array.shape:
                raise ArgumentError(
                    f"stack: the tensors must have one shape, got {tuple(tensors[0].shape)} at 0 and "
                    f"{tuple(x.shape)} at {i}"
                ) from None
        raise


@named
def split(tensor, split_size_or_sections, dim=0) -> tuple[Tensor, ...]:  # noqa: F811 (PyTorch's name for it)
    """Cut along `dim` into pieces of one size (the last may be smaller) or of the sizes listed."""
    n, size = tensor.array.shape[wrapped(dim, tensor.array.ndim, "split")], split_size_or_sections
    if isinstance(size, int) and size < 1 and n:
        raise RuntimeError(f"split: the size of a piece must be at least 1, got {size}")
    sizes = [builtins.min(size, n - i) for i in range(0, n, size)] or [0] if isinstance(size, int) else list(size)
    if builtins.sum(sizes) != n:
        raise RuntimeError(f"split: the sizes {sizes} do not add up to {n}, the size of dimension {dim}")
    return S.split(tensor, sizes=tuple(sizes), axis=dim)


@named
def chunk(input, chunks, dim=0) -> tuple[Tensor, ...]:
    """Cut along `dim` into `chunks` pieces of equal size, the last maybe smaller."""
    if chunks < 1:
        raise RuntimeError(f"chunk: the number of chunks must be at least 1, got {chunks}")
    return split(input, -(-input.array.shape[wrapped(dim, input.array.ndim, "chunk")] // chunks) or 1, dim)


@named
def unbind(input, dim=0) -> tuple[Tensor, ...]:
    """The slices along `dim`."""
    return tuple([select(input, dim, i) for i in range(input.array.shape[wrapped(dim, input.array.ndim, "unbind")])])


@named
def flip(input, *axes, dims=None, dim=None) -> Tensor:
    """The order along the given dimensions reversed."""
    axes = next(((d,) for d in (dims, dim) if d is not None), axes)
    return S.flip(input, axis=tuple(axes[0]) if len(axes) == 1 and not isinstance(axes[0], int) else tuple(axes))


@named
def select(input, dim, index) -> Tensor:
    """The slice number `index` along `dim`."""
    return S.getitem(input, index=(slice(None),) * wrapped(dim, input.array.ndim, "select") + (index,))


@named
def narrow(input, dim, start, length) -> Tensor:
    """`length` slices along `dim`, from `start`."""
    dim = wrapped(dim, input.array.ndim, "narrow")
    n, start = input.array.shape[dim], int(start)
    begin = start + n if start < 0 else start
    if not 0 <= begin <= begin + length <= n:
        raise IndexError(f"narrow: {start}:{start + length} is out of range for size {n}")
    return S.getitem(input, index=(*(slice(None),) * dim, slice(begin, begin + length)))


# ------------------------------------------------------------------------------------------- the dimensions' order
def movedim(input, source, destination) -> Tensor:
    """The dimensions `source` moved to `destination`; the others keep their order."""
    source, destination = ((d,) if isinstance(d, int) else tuple(d) for d in (source, destination))
    nd = input.array.ndim
    if len(source) != len(destination):
        raise RuntimeError(f"movedim: {len(source)} dimensions cannot go to {len(destination)} places")
    from_, to = ([wrapped(d, nd, "movedim") for d in ds] for ds in (source, destination))
    if len({*from_}) < len(from_) or len({*to}) < len(to):
        raise RuntimeError(f"movedim: a dimension is given twice in {source} or {destination}")
    order = [d for d in range(nd) if d not in from_]
    for place, d in sorted(zip(to, from_, strict=True)):
        order.insert(place, d)
    return S.transpose(input, axes=tuple(order))


def adjoint(input) -> Tensor:
    """The last two dimensions exchanged."""
    return transpose(input, -2, -1)


def ravel(input) -> Tensor:
    """All the elements in one dimension."""
    return S.reshape(input, shape=(-1,))


def unflatten(input, dim, sizes) -> Tensor:
    """The dimension `dim` cut into several of the `sizes`, one of which may be -1."""
    shape, dim, sizes = input.array.shape, wrapped(dim, input.array.ndim, "unflatten"), tuple(sizes)
    known = math.prod([n for n in sizes if n != -1])
    if (
        not sizes
        or sizes.count(-1) > 1
        or (known != shape[dim] if -1 not in sizes else not known or shape[dim] % known)
    ):
        raise RuntimeError(f"unflatten: {sizes} do not multiply to {shape[dim]}, the size of dimension {dim}")
    sizes = tuple([shape[dim] // known if n == -1 else n for n in sizes])
    return S.reshape(input, shape=shape[:dim] + sizes + shape[dim + 1 :])


def _at_least(n):
    def function(*tensors):
        if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
            return tuple([lift(x) for x in tensors[0]])
        return lift(tensors[0]) if len(tensors) == 1 else tuple([lift(x) for x in tensors])

    def lift(x):
        shape = x.array.shape
        if len(shape) >= n:
            return x
        new = ((1,) * (n - len(shape)) + shape) if n < 3 or len(shape) == 0 else (*(1,) * (2 - len(shape)), *shape, 1)
        return S.reshape(x, shape=new)

    function.__name__ = f"atleast_{n}d"
    function.__doc__ = f"The tensor (or each of several) with at least {n} dimension{'s' * (n > 1)}."
    return function


atleast_1d, atleast_2d, atleast_3d = map(_at_least, (1, 2, 3))


# ------------------------------------------------------------------------------------------------ joining, cutting
def hstack(tensors) -> Tensor:
    """The tensors side by side: along dimension 1 (0 for vectors)."""
    tensors = atleast_1d(sequence("hstack", tensors))
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """The tensors below each other: along dimension 0, vectors as rows."""
    return cat(atleast_2d(sequence("vstack", tensors)), 0)


def dstack(tensors) -> Tensor:
    """The tensors behind each other: along dimension 2."""
    return cat(atleast_3d(sequence("dstack", tensors)), 2)


def column_stack(tensors) -> Tensor:
    """The tensors side by side, vectors as columns."""
    tensors = sequence("column_stack", tensors)
    return cat([S.reshape(x, shape=(-1, 1)) if x.ndim < 2 else x for x in tensors], 1)


@named
def tensor_split(input, indices_or_sections, dim=0) -> tuple[Tensor, ...]:
    """Cut along `dim` into that many parts, the first ones larger by one, or at the places listed."""
    dim = wrapped(dim, input.array.ndim, "tensor_split")
    n, parts = input.array.shape[dim], indices_or_sections
    parts = parts.tolist() if isinstance(parts, Tensor) else parts
    if isinstance(parts, int):
        if parts < 1:
            raise RuntimeError(f"tensor_split: the number of parts must be at least 1, got {parts}")
        ends = [(n // parts) * i + builtins.min(i, n % parts) for i in range(parts + 1)]
    else:
        ends = [0, *[slice(i).indices(n)[1] for i in parts], n]
    cut = (slice(None),) * dim
    return tuple([S.getitem(input, index=(*cut, slice(a, b))) for a, b in itertools.pairwise(ends)])


def _splitter(name, least, dim, what):
    def function(input, indices_or_sections) -> tuple[Tensor, ...]:
        if input.array.ndim < least:
            raise RuntimeError(f"{name}: expected at least {least} dimensions, got {tuple(input.shape)}")
        d, parts = dim if input.array.ndim > 1 else 0, indices_or_sections
        if isinstance(parts, int) and (parts < 1 or input.array.shape[d] % parts):
            raise RuntimeError(f"{name}: {parts} parts do not divide {input.array.shape[d]}, the size of dimension {d}")
        return tensor_split(input, parts, d)

    function.__name__, function.__doc__ = name, f"`tensor_split` along {what}, into parts of one size."
    return function


hsplit = _splitter("hsplit", 1, 1, "dimension 1 (0 of a vector)")
vsplit, dsplit = _splitter("vsplit", 2, 0, "dimension 0"), _splitter("dsplit", 3, 2, "dimension 2")


def block_diag(*tensors) -> Tensor:
    """A matrix with the given ones along its diagonal, and 0 elsewhere."""
    blocks = [atleast_2d(x) for x in sequence("block_diag", tensors)]
    if builtins.any(x.ndim != 2 for x in blocks):
        raise RuntimeError(f"block_diag: expected at most 2 dimensions, got {[tuple(x.shape) for x in blocks]}")
    columns = builtins.sum([x.shape[1] for x in blocks])
    rows, before = [], 0
    for x in blocks:
        rows.append(S.pad(x, width=((0, 0), (before, columns - before - x.shape[1]))))
        before += x.shape[1]
    return S.cat(*rows, axis=0)


# --------------------------------------------------------------------------------------------------- repeating
def broadcast_shapes(*shapes) -> Size:
    """The shape to which these shapes broadcast together."""
    try:
        return Size(np.broadcast_shapes(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))
    except ValueError:
        raise RuntimeError(f"broadcast_shapes: {shapes} do not broadcast to one shape") from None


def broadcast_tensors(*tensors) -> tuple[Tensor, ...]:
    """The tensors, each broadcast to the shape of all."""
    shape = broadcast_shapes(*[x.array.shape for x in sequence("broadcast_tensors", tensors)])
    return tuple([_broadcast(x, tuple(shape)) for x in tensors])


def tile(input, *dims) -> Tensor:
    """Copied `dims[i]` times along dimension i; for fewer `dims` than dimensions, along the last ones."""
    dims = listed(dims)
    return repeat(input, (1,) * (input.array.ndim - len(dims)) + dims)


@named
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None) -> Tensor:
    """Each slice along `dim` (each element, if None) `repeats` times in a row: a number, or one for each slice."""
    if repeats is None:
        input, repeats = wrap(backend_of(input.array).arange(len(input))), input
    if dim is None:
        input, dim = ravel(input), 0
    dim = dimension("repeat_interleave", input, dim)
    n = input.array.shape[dim]
    counts = np.array(repeats.tolist() if isinstance(repeats, Tensor) else repeats, dtype=np.int64).reshape(-1)
    if counts.size not in (1, n) or (counts < 0).any():
        raise RuntimeError(f"repeat_interleave: expected 1 or {n} repeats that are not negative, got {repeats}")
    chosen = np.repeat(np.arange(n), counts if counts.size == n else counts[0])
    if output_size is not None and output_size != chosen.size:
        raise RuntimeError(f"repeat_interleave: output_size is {output_size}, the repeats make {chosen.size}")
    B = backend_of(input.array)
    index = B.from_host(chosen, B.device_of(input.array))
    return S.getitem(input, index=(*(slice(None),) * dim, index))


def meshgrid(*tensors, indexing=None) -> tuple[Tensor, ...]:
    """The coordinates of a grid: tensor i varies along dimension i ('ij'), or 0 and 1 are exchanged ('xy')."""
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    if builtins.any(x.ndim > 1 for x in sequence("meshgrid", tensors)):
        raise RuntimeError(f"meshgrid: expected 0 or 1 dimensions, got {[tuple(x.shape) for x in tensors]}")
    shape = tuple([x.array.size for x in tensors])
    lines = [S.reshape(x, shape=(-1,) + (1,) * (len(shape) - i - 1)) for i, x in enumerate(tensors)]
    grids = [_broadcast(x, shape) for x in lines]
    return tuple([transpose(x, 0, 1) for x in grids] if indexing == "xy" and len(shape) > 1 else grids)


def cartesian_prod(*tensors) -> Tensor:
    """All combinations of one element from each of the vectors, a row for each."""
    if builtins.any(x.ndim != 1 for x in sequence("cartesian_prod", tensors)):
        raise RuntimeError(f"cartesian_prod: expected vectors, got {[tuple(x.shape) for x in tensors]}")
    return tensors[0] if len(tensors) == 1 else stack([ravel(x) for x in meshgrid(*tensors)], 1)


def combinations(input, r=2, with_replacement=False) -> Tensor:
    """All choices of r elements of a vector, a row for each."""
    if input.array.ndim != 1:
        raise RuntimeError(f"combinations: expected a vector, got {tuple(input.shape)}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(len(input)), r)), dtype=np.int64).reshape(-1, r)
    B = backend_of(input.array)
    return S.getitem(input, index=B.from_host(rows, B.device_of(input.array)))


# -------------------------------------------------------------------------------------------------- turning around
def fliplr(input) -> Tensor:
    """The order along dimension 1 reversed."""
    if input.array.ndim < 2:
        raise RuntimeError(f"fliplr: expected at least 2 dimensions, got {tuple(input.shape)}")
    return S.flip(input, axis=(1,))


def flipud(input) -> Tensor:
    """The order along dimension 0 reversed."""
    if input.array.ndim < 1:
        raise RuntimeError("flipud: expected at least 1 dimension, got ()")
    return S.flip(input, axis=(0,))


@named
def roll(input, shifts, dims=None, *, dim=None) -> Tensor:
    """The elements moved on by `shifts` along `dims` (of the flattened tensor, if None), the last ones to the front."""
    dims = dim if dims is None else dims
    if dims is None or dims == ():
        if not isinstance(shifts, int) and len(shifts) != 1:
            raise RuntimeError(f"roll: {len(shifts)} shifts need as many dims")
        return S.reshape(roll(ravel(input), shifts, 0), shape=input.array.shape)
    shifts, dims = ((v,) if isinstance(v, int) else tuple(v) for v in (shifts, dims))
    if len(shifts) != len(dims):
        raise RuntimeError(f"roll: shifts and dims must be of one length, got {shifts} and {dims}")
    for shift, d in zip(shifts, dims, strict=True):
        d = dimension("roll", input, d)
        n = input.array.shape[d] if input.array.ndim else 0
        if n and shift % n:
            input = cat(split(input, [n - shift % n, shift % n], d)[::-1], d)
    return input.clone()


def rot90(input, k=1, dims=(0, 1)) -> Tensor:
    """Turned k times by 90 degrees in the plane of two dimensions, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"rot90: expected two dims, got {tuple(dims)}")
    a, b = (wrapped(d, input.array.ndim, "rot90") for d in dims)
    if a == b:
        raise RuntimeError(f"rot90: the two dims must differ, got {tuple(dims)}")
    if k % 4 in (0, 2):
        return S.flip(input, axis=(a, b)) if k % 4 else input.clone()
    return transpose(S.flip(input, axis=(b,)), a, b) if k % 4 == 1 else S.flip(transpose(input, a, b), axis=(b,))


concat, concatenate, row_stack, moveaxis, swapdims = cat, cat, vstack, movedim, transpose


def swapaxes(input, axis0, axis1) -> Tensor:
    """Two dimensions exchanged."""
    return transpose(input, axis0, axis1)
