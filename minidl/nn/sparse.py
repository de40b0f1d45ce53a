"""Embeddings: rows of a table, looked up by number, one by one or as the sum, mean or maximum of several."""

from __future__ import annotations

import math

import numpy as np

from .. import functions as F
from ..backend import ArgumentError, backend_of
from ..modes import no_grad
from ..ops import elementwise as E
from ..ops import recurrent as R
from ..ops import shape as S
from ..tensor import Parameter, Tensor, wrap
from . import init
from .checks import DtypeError, a_tensor, floating, number, positive, same_dtype
from .functional.distance import norm
from .linear import new_parameter
from .module import Module


def _check_options(where: str, max_norm, norm_type) -> None:
    if max_norm is not None and not number(max_norm, "max_norm", where) >= 0:
        raise ArgumentError(f"{where}: max_norm must not be negative, got {max_norm}")
    number(norm_type, "norm_type", where)


def _integers(input, where: str):
    """The array of numbers of rows."""
    ids = a_tensor(input, where).array
    if ids.dtype.kind not in "iu":
        raise DtypeError(f"{where}: input must be integers, got {input.dtype}")
    return ids


def _table(weight, where: str) -> int:
    """The number of rows of a table."""
    if floating(weight, where, "weight").array.ndim != 2:
        raise ArgumentError(f"{where}: weight must be a table (V, D), got {tuple(weight.shape)}")
    return weight.array.shape[0]


def _limit_rows(weight: Tensor, ids, max_norm: float, norm_type: float) -> None:
    """Scale the rows `ids` of the table, in place, to a norm of at most max_norm."""
    index = ids.reshape(-1)
    with no_grad():
        rows = wrap(weight.array[index])
        length = norm(rows, float(norm_type), -1)
        scaled = E.where(E.greater(length, max_norm), rows * (max_norm / (length + 1e-7)), rows)
    weight.array[index] = scaled.array
    weight.changed()


def _row(padding_idx, rows: int, where: str) -> int | None:
    """padding_idx counted from the front."""
    if padding_idx is None:
        return None
    if not isinstance(padding_idx, (int, np.integer)) or isinstance(padding_idx, bool):
        raise TypeError(f"{where}: padding_idx must be an int or None, got {padding_idx!r}")
    if not -rows <= padding_idx < rows:
        raise ArgumentError(f"{where}: padding_idx {padding_idx} is out of range for a table of {rows} rows")
    return int(padding_idx) % rows


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that the integers `input` name; row padding_idx gets no gradient.

    Shape: input (...), weight (V, D); y (..., D). Raises IndexError for a number that is not a row (on a device, where
    looking would mean waiting, numbers are to be checked before they go there).

    max_norm: the rows that are looked up are first scaled, in `weight` itself, to a norm (of order norm_type) of at
    most max_norm. scale_grad_by_freq: the gradient of each row is divided by how often it was looked up.

    sparse: the gradient of weight holds only the rows that were looked up: `weight.grad.is_sparse`, with `coalesce()`,
    `indices()`, `values()` and `to_dense()`. SGD, Adagrad and SparseAdam then take time for these rows, not for the
    table. It is an ordinary gradient where weight was itself computed, with create_graph=True, and where weight is used
    in another way too.

    >>> embedding(minidl.tensor([[1, 0]]), minidl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[[3., 4.],
             [1., 2.]]])
    """
    where = "embedding"
    _check_options(where, max_norm, norm_type)
    ids, rows = _integers(input, where), _table(weight, where)
    backend_of(ids).check_index(ids, rows, where)
    pad = _row(padding_idx, rows, where)
    if max_norm is not None:
        _limit_rows(weight, ids, max_norm, norm_type)
    return _looked_up(weight, ids, pad, scale_grad_by_freq, sparse)


def _looked_up(weight: Tensor, ids, pad: int | None, scale_grad_by_freq: bool, sparse: bool) -> Tensor:
    sparse = bool(sparse) and weight.is_leaf
    return R.embedding(weight, ids=ids, padding_idx=pad, sparse=sparse, by_freq=bool(scale_grad_by_freq))


def _bags(offsets, count: int, include_last_offset: bool) -> tuple[np.ndarray, int]:
    """Where each bag begins, and, last, where the last one ends; and the number of bags."""
    where = "embedding_bag"
    if offsets is None:
        raise ArgumentError(f"{where}: offsets must be given for an input of one dimension")
    array = _integers(offsets, f"{where}: offsets")
    if array.ndim != 1:
        raise ArgumentError(f"{where}: offsets must have one dimension, got {tuple(offsets.shape)}")
    starts = np.asarray(backend_of(array).to_host(array)).astype(np.int64)
    if include_last_offset and not len(starts):
        raise ArgumentError(f"{where}: offsets must not be empty with include_last_offset=True")
    if len(starts) and starts[0] != 0:
        raise RuntimeError(f"{where}: offsets must begin with 0, got {starts[0]}")
    ends = starts if include_last_offset else np.append(starts, count)
    if (np.diff(ends) < 0).any() or (len(starts) and ends[-1] > count):
        raise RuntimeError(f"{where}: offsets must not decrease or exceed the {count} inputs, got {starts.tolist()}")
    return ends, max(len(ends) - 1, 0)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or largest values of bags of rows of `weight`, without the rows themselves in memory for long.

    Shape: input (B, L), B bags of L numbers, or (n,) with offsets (B,), where each bag begins (with include_last_offset
    (B + 1,), and where the last one ends); weight (V, D); y (B, D), zeros for an empty bag. mode: 'sum', 'mean' or
    'max'. per_sample_weights: like input, factors of the rows (mode 'sum'). Row padding_idx does not count. Other
    options as in `embedding`; sparse and scale_grad_by_freq are not for mode 'max'.

    >>> table = F.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> embedding_bag(F.tensor([0, 1, 2]), table, F.tensor([0, 2]))
    tensor([[2., 3.],
            [5., 6.]])
    """
    where = "embedding_bag"
    _check_options(where, max_norm, norm_type)
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"{where}: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    if mode == "max" and (sparse or scale_grad_by_freq):
        raise ArgumentError(f"{where}: sparse and scale_grad_by_freq are not for mode 'max'")
    ids, rows = _integers(input, where), _table(weight, where)
    if per_sample_weights is not None:
        if a_tensor(per_sample_weights, where, "per_sample_weights").array.shape != ids.shape:
            shapes = f"{tuple(per_sample_weights.shape)}, input is {tuple(ids.shape)}"
            raise ArgumentError(f"{where}: per_sample_weights is {shapes}: they must be the same")
        if mode != "sum":
            raise NotImplementedError(f"{where}: per_sample_weights are for mode 'sum' only, got {mode!r}")
        same_dtype(per_sample_weights, weight, where)
    if ids.ndim == 2:
        if offsets is not None:
            raise ArgumentError(f"{where}: offsets are for an input of one dimension, got input {tuple(ids.shape)}")
        ends, bags = np.arange(ids.shape[0] + 1) * ids.shape[1], ids.shape[0]
    elif ids.ndim == 1:
        ends, bags = _bags(offsets, ids.shape[0], include_last_offset)
    else:
        raise ArgumentError(f"{where}: expected input (B, L) or (n,), got {tuple(ids.shape)}")
    B = backend_of(ids)
    B.check_index(ids, rows, where)
    pad, ids, used = _row(padding_idx, rows, where), ids.reshape(-1), int(ends[-1]) if bags else 0
    if max_norm is not None:
        _limit_rows(weight, ids, max_norm, norm_type)
    ids = ids[:used]
    x = _looked_up(weight, ids, pad, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        x = x * F.unsqueeze(F.reshape(per_sample_weights, -1)[:used], 1)
    kept = B.ones_like(ids) == 1 if pad is None else ids != pad
    return (_largest if mode == "max" else _summed)(x, kept, ends, bags, mode)


def _summed(x: Tensor, kept, ends: np.ndarray, bags: int, mode: str) -> Tensor:
    """The sum or mean of the rows of each bag that are kept."""
    B = backend_of(x.array)
    bag = B.from_host(np.repeat(np.arange(bags), np.diff(ends)), B.device_of(x.array))
    x = E.where(wrap(kept.reshape(-1, 1)), x, 0.0)
    y = S.index_add(x, index=bag, shape=(bags, x.array.shape[1]))
    if mode == "sum":
        return y
    count = B.index_add(B.astype(kept, dtype=x.array.dtype), index=bag, shape=(bags,))
    return y / wrap(B.maximum(count, 1.0).reshape(-1, 1))


def _largest(x: Tensor, kept, ends: np.ndarray, bags: int, mode: str) -> Tensor:
    """The largest of the rows of each bag that are kept, the first where several are."""
    B, sizes = backend_of(x.array), np.diff(ends)
    if not x.array.shape[0]:
        return F.zeros(bags, x.array.shape[1], dtype=x.dtype, device=x.device)
    places = np.arange(sizes.max())
    there = places < sizes[:, None]
    at = np.where(there, ends[:-1, None] + places, 0)
    at, there = [B.from_host(a, B.device_of(x.array)) for a in (at, there)]
    there = (there & kept[at]).reshape(bags, len(places), 1)
    several = S.getitem(x, index=at)
    top = B.argmax(B.where(there, several.array, -math.inf), axis=1).reshape(bags, 1, -1)
    y = F.squeeze(S.take_along_axis(several, wrap(top), axis=1), 1)
    return E.where(wrap(there.any(axis=1)), y, 0.0)


def _set_table(module, weight, device, dtype) -> None:
    """The Parameter `weight` of a layer: a new one, or one on the memory of the Tensor given."""
    where, shape = type(module).__name__, (module.num_embeddings, module.embedding_dim)
    if weight is None:
        module.weight = new_parameter(shape, device, dtype)
        module.reset_parameters()
        return
    if floating(weight, where, "_weight").array.shape != shape:
        raise ArgumentError(f"{where}: _weight has shape {tuple(weight.shape)}, expected {shape}")
    module.weight = Parameter(weight.array)


def _reset_table(module) -> None:
    init.normal_(module.weight)
    module._fill_padding_idx_with_zero()


def _clear_row(module) -> None:
    """Make row padding_idx zero."""
    if module.padding_idx is not None:
        module.weight.array[module.padding_idx] = 0
        module.weight.changed()


def _pretrained(cls, embeddings) -> tuple[int, int]:
    where = f"{cls.__name__}.from_pretrained"
    if floating(embeddings, where, "embeddings").array.ndim != 2:
        raise ArgumentError(f"{where}: embeddings must be a table (V, D), got {tuple(embeddings.shape)}")
    return embeddings.array.shape


def _table_options(module) -> list[str]:
    """The options that layers with tables share, where they are not the default."""
    parts = [f"max_norm={module.max_norm}"] if module.max_norm is not None else []
    parts += [f"norm_type={module.norm_type}"] if module.norm_type != 2 else []
    return parts + [f"scale_grad_by_freq={module.scale_grad_by_freq}"] * bool(module.scale_grad_by_freq)


class Embedding(Module):
    """A table of num_embeddings vectors, looked up by number.

    Parameters: weight (num_embeddings, embedding_dim), normal with mean 0 and variance 1; row padding_idx is zero at
    first and gets no gradient. Shape: integers (...) to (..., embedding_dim). The other options: see
    `functional.embedding`.

    >>> Embedding(10, 3)(minidl.tensor([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
    minidl.Size([2, 4, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        _check_options("Embedding", max_norm, norm_type)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = _row(padding_idx, num_embeddings, "Embedding")
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        _set_table(self, _weight, device, dtype)
        self.weight.requires_grad_(not _freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew from the normal distribution; row padding_idx becomes zero."""
        _reset_table(self)

    _fill_padding_idx_with_zero = _clear_row

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An Embedding on the memory of the Tensor `embeddings` (V, D), not trained unless freeze=False."""
        rows, columns = _pretrained(cls, embeddings)
        return cls(
            num_embeddings=rows,
            embedding_dim=columns,
            _weight=embeddings,
            _freeze=freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

    def forward(self, input: Tensor) -> Tensor:
        """The rows of the table that the integers name."""
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        """The sizes, padding_idx if there is one, and whether gradients are sparse."""
        pad = [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]
        parts = [f"{self.num_embeddings}, {self.embedding_dim}", *pad, *_table_options(self)]
        return ", ".join(parts + ["sparse=True"] * bool(self.sparse))


class EmbeddingBag(Module):
    """The sum, mean or largest values of bags of vectors of a table; see `functional.embedding_bag`.

    Parameters: weight (num_embeddings, embedding_dim), normal with mean 0 and variance 1; row padding_idx is zero at
    first, gets no gradient and does not count. Shape: integers (B, L), or (n,) with offsets (B,), to
    (B, embedding_dim).

    >>> EmbeddingBag(10, 3, mode="sum")(minidl.tensor([1, 2, 4, 5, 4, 3]), minidl.tensor([0, 4])).shape
    minidl.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        positive("EmbeddingBag", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        _check_options("EmbeddingBag", max_norm, norm_type)
        if mode not in ("sum", "mean", "max"):
            raise ArgumentError(f"EmbeddingBag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.padding_idx = _row(padding_idx, num_embeddings, "EmbeddingBag")
        _set_table(self, _weight, device, dtype)
        self.mode, self.sparse, self.include_last_offset = mode, sparse, include_last_offset

    def reset_parameters(self) -> None:
        """Draw the table anew from the normal distribution; row padding_idx becomes zero."""
        _reset_table(self)

    _fill_padding_idx_with_zero = _clear_row

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """An EmbeddingBag on the memory of the Tensor `embeddings` (V, D), not trained unless freeze=False."""
        rows, columns = _pretrained(cls, embeddings)
        bag = cls(
            num_embeddings=rows,
            embedding_dim=columns,
            _weight=embeddings,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        bag.weight.requires_grad_(not freeze)
        return bag

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """The sum, mean or largest values of each bag."""
        options = (self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse)
        last = (per_sample_weights, self.include_last_offset, self.padding_idx)
        return embedding_bag(input, self.weight, offsets, *options, *last)

    def extra_repr(self) -> str:
        """The sizes, the options that are not the default, and the mode."""
        parts = [f"{self.num_embeddings}, {self.embedding_dim}", *_table_options(self), f"mode={self.mode!r}"]
        return ", ".join(parts + ([] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]))
