"""Row-sparse tensors, the gradients of `Embedding(sparse=True)`: PyTorch's methods for them.

`methods.py` attaches them. Such a tensor has a `RowArray` as its array; the engine hands it around like any other.
"""

from __future__ import annotations

import numpy as np

from .backend import backend_of
from .backend.rows import RowArray
from .formatting import format_tensor
from .modes import mode
from .tensor import Tensor, wrap


def _row_array(self: Tensor, name: str, coalesced: bool = False) -> RowArray:
    if self.array.__class__ is not RowArray:
        raise RuntimeError(f"{name}: expected a row-sparse tensor, such as an embedding's gradient, got a dense one")
    if coalesced and not _is_coalesced(self.array):
        raise RuntimeError(f"{name}: cannot get the {name} of an uncoalesced tensor; call .coalesce() first")
    return self.array


def _is_coalesced(x: RowArray) -> bool:
    return x.coalesced or len(x.rows) < 2


def to_dense(self: Tensor) -> Tensor:
    """A row-sparse tensor as an ordinary one; an ordinary tensor itself."""
    return wrap(self.array.dense()) if self.array.__class__ is RowArray else self


def is_coalesced(self: Tensor) -> bool:
    """Whether a row-sparse tensor has each row at most once, in ascending order."""
    return _is_coalesced(_row_array(self, "is_coalesced"))


def coalesce(self: Tensor) -> Tensor:
    """A row-sparse tensor with the values of repeated rows summed (waits for a GPU); itself if there are none."""
    x = _row_array(self, "coalesce")
    return self if _is_coalesced(x) else wrap(x.coalesce())


def _indices(self: Tensor) -> Tensor:
    """The numbers of the stored rows, (1, n); a row may come more than once."""
    return wrap(_row_array(self, "_indices").rows.reshape((1, -1)))


def _values(self: Tensor) -> Tensor:
    """The values of the stored rows, (n, ...), on the same memory."""
    return wrap(_row_array(self, "_values").values)


def _nnz(self: Tensor) -> int:
    """How many rows are stored."""
    return len(_row_array(self, "_nnz").rows)


def indices(self: Tensor) -> Tensor:
    """The numbers of the rows of a coalesced row-sparse tensor, (1, n)."""
    _row_array(self, "indices", True)
    return _indices(self)


def values(self: Tensor) -> Tensor:
    """The values of the rows of a coalesced row-sparse tensor, (n, ...), on the same memory."""
    _row_array(self, "values", True)
    return _values(self)


def text(self: Tensor) -> str:
    """How a row-sparse tensor prints: its rows and their values."""
    device = [] if isinstance(self.array.values, np.ndarray) else [f"device='{self.device}'"]
    rows, values = [backend_of(a).to_host(a) for a in (_indices(self).array, _values(self).array)]
    notes = [*device, f"size={tuple(self.shape)}", f"nnz={len(values)}"]
    notes += [f"dtype={self.dtype!r}"] if self.dtype != mode.dtype else []
    texts = [
        format_tensor(rows, [], [], prefix="tensor(indices=tensor("),
        format_tensor(values, [], [], prefix="       values=tensor("),
        f"       {', '.join([*notes, 'layout=minidl.sparse_coo'])})",
    ]
    return ",\n".join(texts)
