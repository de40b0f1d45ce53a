"""Functions that read and write at indices: gather and scatter, masks, triangles, diagonals."""

from __future__ import annotations

from ..amp.casting import whole
from ..backend import backend_of
from ..creation import zeros
from ..ops import elementwise as E
from ..ops import reduce as R
from ..ops import shape as S
from ..ops.shape import wrapped
from ..tensor import Tensor
from .arguments import a_tensor, constant, counting, dimension, lattice, named, places, watched
from .elementwise import nonzero
from .shape import broadcast_shapes, expand, movedim, ravel

__all__ = """
    argwhere diag diag_embed diagflat diagonal diagonal_scatter gather index_add index_copy index_fill index_put
    index_select masked_scatter masked_select put scatter scatter_add scatter_reduce select_scatter slice_scatter take
    take_along_dim trace tril triu
""".split()


# ------------------------------------------------------------------------------------------------ gather and scatter
def _fits(name, index, input, dim, src=None) -> None:
    """The index must have input's dimensions and be no larger, except along dim, nor than src."""
    if index.ndim != input.ndim:
        raise RuntimeError(f"{name}: index has {index.ndim} dimensions, input {input.ndim}")
    for d, n in enumerate(index.shape):
        if (d != dim and n > input.shape[d]) or (src is not None and n > src.shape[d]):
            raise RuntimeError(
                f"{name}: index {tuple(index.shape)} must not be larger than input {tuple(input.shape)} outside of "
                f"dimension {dim}" + ("" if src is None else f", nor than src {tuple(src.shape)}")
            )


@named
def gather(input, dim, index, *, sparse_grad=False) -> Tensor:
    """y[i][j] = input[index[i][j]][j] for dim 0, and so on; index may be smaller than input in the other dimensions."""
    if sparse_grad:
        raise NotImplementedError("gather: sparse_grad=True is not supported; the gradient is always dense")
    dim = dimension("gather", input, dim)
    if input.array.ndim == 1 and not a_tensor("gather", index, "index").array.ndim:
        return S.reshape(gather(input, dim, _vector(index)), shape=())
    if not input.array.ndim and a_tensor("gather", index, "index").array.ndim < 2:
        places("gather", index, 1)
        return expand(input, *index.array.shape)
    places("gather", index, input.array.shape[dim] if input.array.ndim else 1)
    if index.array.size == 0:
        return S.getitem(ravel(input), index=index.array)
    _fits("gather", index.array, input.array, dim)
    cut = tuple([slice(None) if i == dim else slice(0, n) for i, n in enumerate(index.array.shape)])
    return S.take_along_axis(S.getitem(input, index=cut), index, axis=dim)


def _grid(index, dim: int) -> tuple:
    """The index that means [i][j][index[i][j][k]] ..., with `index` in the place of dimension dim."""
    axes: list = [
        backend_of(index).arange(n).reshape((-1,) + (1,) * (index.ndim - d - 1)) for d, n in enumerate(index.shape)
    ]
    axes[dim] = index
    return tuple(axes)


def _vector(x):
    """A 0-d tensor as a vector of one element, anything else itself."""
    return S.reshape(x, shape=(1,)) if isinstance(x, Tensor) and not x.array.ndim else x


def _scattered(name, input, dim, index, src):
    """The input, the positions as one index, and the source in the index's shape; 0-d tensors come as vectors."""
    dim = dimension(name, input, dim)
    if a_tensor(name, index, "index").array.ndim < 2 and input.array.ndim < 2:
        input, index, src = _vector(input), _vector(index), _vector(src)
    array = places(name, index, input.array.shape[dim] if input.array.ndim else 1)
    if isinstance(src, Tensor):
        if src.array.dtype != input.array.dtype:
            raise RuntimeError(f"{name}: src must have input's dtype {input.dtype}, got {src.dtype}")
        _fits(name, array, input.array, dim, src.array)
        src = S.getitem(src, index=tuple([slice(0, n) for n in array.shape]))
    else:
        _fits(name, array, input.array, dim)
        src = constant(backend_of(input.array).full(array.shape, src, dtype=input.array.dtype))
    return input, _grid(array, dim), src


@named
def scatter(input, dim, index, src=None, *, value=None, reduce=None) -> Tensor:
    """input, but y[index[i][j]][j] = src[i][j] for dim 0, and so on; src is a Tensor or a number."""
    if reduce is not None:
        raise NotImplementedError(f"scatter: reduce={reduce!r} is not supported; use scatter_add or scatter_reduce")
    src = value if src is None else src
    if src is None:
        raise TypeError("scatter: src or value must be given")
    shape = input.array.shape
    x, at, src = _scattered("scatter", input, dim, index, src)
    if not src.array.size:
        return input.clone()
    return _shaped(watched(S.setitem(x, src, index=at), index), shape)


def _shaped(y, shape) -> Tensor:
    """The result for a 0-d input is 0-d."""
    return y if shape else S.reshape(y, shape=())


@named
@whole
def scatter_add(input, dim, index, src) -> Tensor:
    """input, to which src[i][j] is added at [index[i][j]][j] for dim 0, and so on."""
    shape = input.array.shape
    x, at, src = _scattered("scatter_add", input, dim, index, a_tensor("scatter_add", src, "src"))
    if not src.array.size:
        return input.clone()
    return _shaped(E.add(x, watched(S.index_add(src, index=at, shape=x.array.shape), index)), shape)


@named
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True) -> Tensor:
    """`scatter_add` with reduce 'sum' or 'mean', with or without input's own values where something arrives."""
    if reduce not in ("sum", "mean"):
        raise NotImplementedError(f"scatter_reduce: reduce={reduce!r} is not supported; minidl has 'sum' and 'mean'")
    given = input.array.shape
    input, at, src = _scattered("scatter_reduce", input, dim, index, a_tensor("scatter_reduce", src, "src"))
    shape = input.array.shape
    arrived = S.index_add(E.ones_like(src.detach()), index=at, shape=shape)
    own = input if include_self else E.where(E.greater(arrived, 0), 0, input)
    y = E.add(own, watched(S.index_add(src, index=at, shape=shape), index))
    if reduce == "sum":
        return _shaped(y, given)
    counts = E.add(arrived, 1) if include_self else E.maximum(arrived, 1)
    return _shaped(E.divide(y, counts) if y.is_floating_point() else E.floor_divide(y, counts), given)


def _rows(name, input, dim, index):
    """(slice, ..., index): the whole slices along dim that a vector of indices chooses."""
    dim = dimension(name, input, dim)
    array = places(name, index, input.array.shape[dim] if input.array.ndim else 1)
    if array.ndim > 1:
        raise IndexError(f"{name}: index must be a vector, got {tuple(array.shape)}")
    return (*(slice(None),) * dim, array.reshape(-1))


@named
def index_select(input, dim, index) -> Tensor:
    """The slices along `dim` with the numbers in the vector `index`."""
    at = _rows("index_select", input, dim, index)
    return watched(S.getitem(input, index=at), index) if input.array.ndim else E.identity(input)


@named
def index_add(input, dim, index, source, *, alpha=1) -> Tensor:
    """input, to whose slices number index[i] along `dim` alpha source's slice i is added."""
    x = _vector(input)
    at = _rows("index_add", x, dim, index)
    source = source if alpha == 1 else source * alpha
    y = E.add(x, watched(S.index_add(source, index=at, shape=x.array.shape), index))
    return _shaped(y, input.array.shape)


@named
@whole
def index_copy(input, dim, index, source) -> Tensor:
    """input, with source's slice i in the place of its slice index[i] along `dim`."""
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(f"index_copy: source must have input's dtype {input.dtype}, got {source.dtype}")
    x = _vector(input)
    y = watched(S.setitem(x, source, index=_rows("index_copy", x, dim, index)), index)
    return _shaped(y, input.array.shape)


@named
def index_fill(input, dim, index, value) -> Tensor:
    """input, with `value` in its slices index[i] along `dim`."""
    value = value.to(input.dtype) if isinstance(value, Tensor) else zeros((), dtype=input.dtype) + value
    value = value.to(input.device, input.dtype)
    x = _vector(input)
    y = watched(S.setitem(x, value, index=_rows("index_fill", x, dim, index)), index)
    return _shaped(y, input.array.shape)


@whole
def index_put(input, indices, values, accumulate=False) -> Tensor:
    """input, but y[indices] = values, or += with accumulate, where repeated indices add up."""
    at = tuple([slice(None) if i is None else a_tensor("index_put", i, "each of indices").array for i in indices])
    if not accumulate:
        return watched(S.setitem(input, values, index=at), *indices)
    shape = input.array[at].shape
    values = S.broadcast_to(values, shape=shape) if values.array.shape != shape else values
    return E.add(input, watched(S.index_add(values, index=at, shape=input.array.shape), *indices))


def take(input, index) -> Tensor:
    """The elements of the flattened input at `index`, in index's shape; negative ones count from the end."""
    array, n = places("take", index), input.array.size
    B = backend_of(array)
    B.check_index(B.where(B.less(array, 0), array + n, array), n, "take")
    return watched(S.getitem(ravel(input), index=array), index)


def put(input, index, source, accumulate=False) -> Tensor:
    """input, with source's elements at the places `index` of the flattened tensor, or added to them."""
    places("put", index)
    return S.reshape(index_put(ravel(input), (ravel(index),), ravel(source), accumulate), shape=input.array.shape)


@named
def take_along_dim(input, indices, dim=None) -> Tensor:
    """The elements at `indices` along `dim` (of the flattened input, if None); the other dimensions broadcast."""
    if dim is None:
        return gather(ravel(input), 0, ravel(indices))
    dim = dimension("take_along_dim", input, dim)
    if indices.ndim != input.ndim:
        raise RuntimeError(f"take_along_dim: input {tuple(input.shape)} and indices {tuple(indices.shape)} must have "
                           "as many dimensions")  # fmt: skip
    sizes = [tuple([1 if d == dim else n for d, n in enumerate(x.array.shape)]) for x in (input, indices)]
    shape = list(broadcast_shapes(*sizes))
    input, indices = (
        S.broadcast_to(x, shape=tuple([*shape[:dim], x.array.shape[dim], *shape[dim + 1 :]])) for x in (input, indices)
    )
    return gather(input, dim, indices)


# ---------------------------------------------------------------------------------------------------------- masks
def _mask(name, mask):
    if a_tensor(name, mask, "mask").array.dtype.kind != "b":
        raise RuntimeError(f"{name}: mask must be bool, got {mask.dtype}")
    return mask


def masked_select(input, mask) -> Tensor:
    """The elements where the mask holds, in one dimension; the two broadcast."""
    shape = tuple(broadcast_shapes(input.array.shape, _mask("masked_select", mask).array.shape))
    at = backend_of(mask.array).broadcast_to(mask.array, shape)
    return watched(S.getitem(S.broadcast_to(input, shape=shape), index=at), mask)


def masked_scatter(input, mask, source) -> Tensor:
    """input, with source's elements, one after the other, where the mask holds."""
    B = backend_of(input.array)
    at = B.broadcast_to(_mask("masked_scatter", mask).array, input.array.shape)
    n = int(B.sum(at))
    if n > source.array.size:
        raise RuntimeError(f"masked_scatter: the mask holds {n} times, source has {source.array.size} elements")
    return watched(S.setitem(input, S.getitem(ravel(source), index=slice(0, n)), index=at), mask)


def argwhere(input) -> Tensor:
    """The indices of the elements that are not 0, a row for each."""
    return nonzero(input)


# ---------------------------------------------------------------------------------------------- triangles, diagonals
def _triangle(name, keep, doc):
    def function(input, diagonal=0) -> Tensor:
        if input.array.ndim < 2:
            raise RuntimeError(f"{name}: expected at least 2 dimensions, got {tuple(input.shape)}")
        rows, columns = input.array.shape[-2:]
        mask = keep(counting(input, columns), counting(input, rows)[:, None] + diagonal)
        return E.where(constant(mask), input, False if input.array.dtype.kind == "b" else 0)

    function.__name__, function.__doc__ = name, doc
    return function


tril = _triangle("tril", lambda j, i: j <= i, "The elements on and below the `diagonal` (0: the main one), else 0.")
triu = _triangle("triu", lambda j, i: j >= i, "The elements on and above the `diagonal` (0: the main one), else 0.")


def _diagonal(rows: int, columns: int, offset: int) -> tuple[int, slice]:
    """The length of a diagonal, and its places in the flattened matrix."""
    n = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    start = max(offset, 0) - min(offset, 0) * columns
    return n, slice(start, start + n * (columns + 1) - columns if n else start, columns + 1)


def diagonal(input, offset=0, dim1=0, dim2=1) -> Tensor:
    """The view of the diagonals of the matrices in two dimensions, as the last one."""
    a, b = (wrapped(d, input.array.ndim, "diagonal") for d in (dim1, dim2))
    if a == b:
        raise RuntimeError(f"diagonal: dim1 and dim2 must differ, got {dim1} and {dim2}")
    rows, columns = input.array.shape[a], input.array.shape[b]
    nd, (n, places) = input.array.ndim, _diagonal(rows, columns, offset)
    if (a, b) == (nd - 2, nd - 1) and input.array.flags.c_contiguous:
        y = S.reshape(input, shape=(*input.array.shape[:-2], rows * columns))
        return S.getitem(y, index=(..., places))
    dims = [(d,) for d in range(nd) if d not in (a, b)] + [(a, b)]
    start = tuple([max(-offset, 0) if d == a else max(offset, 0) if d == b else 0 for d in range(nd)])
    size = tuple([n if len(ds) > 1 else input.array.shape[ds[0]] for ds in dims])
    return lattice(input, start, size, tuple([tuple([int(e in ds) for e in range(nd)]) for ds in dims]))


def diag_embed(input, offset=0, dim1=-2, dim2=-1) -> Tensor:
    """Square matrices, in two new dimensions, with the vectors in the last dimension on a diagonal, and 0 elsewhere."""
    if not input.array.ndim:
        raise RuntimeError("diag_embed: expected at least 1 dimension, got ()")
    n, nd = input.array.shape[-1] + abs(offset), input.array.ndim + 1
    a, b = (wrapped(d, nd, "diag_embed") for d in (dim1, dim2))
    if a == b:
        raise RuntimeError(f"diag_embed: dim1 and dim2 must differ, got {dim1} and {dim2}")
    lead = input.array.shape[:-1]
    y = S.index_add(input, index=(..., _diagonal(n, n, offset)[1]), shape=(*lead, n * n))
    return movedim(S.reshape(y, shape=(*lead, n, n)), (-2, -1), (a, b))


def diag(input, diagonal=0) -> Tensor:
    """The diagonal of a matrix; of a vector the matrix that has it there."""
    if input.array.ndim not in (1, 2):
        raise RuntimeError(f"diag: expected a vector or a matrix, got {tuple(input.shape)}")
    return diag_embed(input, diagonal) if input.array.ndim == 1 else E.identity(_diagonals(input, diagonal))


_diagonals = diagonal


def diagflat(input, offset=0) -> Tensor:
    """The matrix with all the elements on its diagonal."""
    return diag_embed(ravel(input), offset)


@whole
def trace(input) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, got {tuple(input.shape)}")
    return R.sum(diagonal(input))


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1) -> Tensor:
    """input, with src on its diagonals."""
    if (shape := diagonal(input, offset, dim1, dim2).array.shape) != src.array.shape:
        raise RuntimeError(f"diagonal_scatter: src has shape {tuple(src.shape)}, the diagonal {shape}")
    a, b = (wrapped(d, input.array.ndim, "diagonal_scatter") for d in (dim1, dim2))
    y = movedim(input, (a, b), (-2, -1))
    rows, columns = y.array.shape[-2:]
    flat = S.reshape(y, shape=(*y.array.shape[:-2], rows * columns))
    flat = S.setitem(flat, src, index=(..., _diagonal(rows, columns, offset)[1]))
    return movedim(S.reshape(flat, shape=y.array.shape), (-2, -1), (a, b))


@named
def select_scatter(input, src, dim, index) -> Tensor:
    """input, with src as its slice number `index` along `dim`."""
    dim = dimension("select_scatter", input, dim)
    at = (*(slice(None),) * dim, index)
    if input.array[at].shape != src.array.shape:
        raise RuntimeError(f"select_scatter: src has shape {tuple(src.shape)}, the slice {input.array[at].shape}")
    return S.setitem(input, src, index=at)


@named
def slice_scatter(input, src, dim=0, start=None, end=None, step=1) -> Tensor:
    """input, with src as its slices start:end:step along `dim`."""
    dim = dimension("slice_scatter", input, dim)
    at = (*(slice(None),) * dim, slice(start, end, step))
    if input.array[at].shape != src.array.shape:
        raise RuntimeError(f"slice_scatter: src has shape {tuple(src.shape)}, the slices {input.array[at].shape}")
    return S.setitem(input, src, index=at)
