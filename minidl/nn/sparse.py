"""Embeddings: rows of a table, looked up by number."""

from __future__ import annotations

import numpy as np

from ..backend import backend_of
from ..ops import recurrent as R
from ..tensor import Parameter, Tensor
from . import init
from .checks import a_tensor, floating, positive
from .linear import new_parameter
from .module import Module


def _unsupported(max_norm, norm_type, scale_grad_by_freq) -> None:
    if max_norm is not None:
        raise NotImplementedError(f"embedding: max_norm={max_norm!r} (and its norm_type) is not supported")
    if isinstance(norm_type, bool) or not isinstance(norm_type, (int, float)):
        raise TypeError(f"embedding: norm_type must be a number, got {norm_type!r}")
    if scale_grad_by_freq:
        raise NotImplementedError("embedding: scale_grad_by_freq=True is not supported")


def _row(padding_idx, rows: int) -> int | None:
    """padding_idx counted from the front."""
    if padding_idx is None:
        return None
    if not isinstance(padding_idx, (int, np.integer)) or isinstance(padding_idx, bool):
        raise TypeError(f"embedding: padding_idx must be an int or None, got {padding_idx!r}")
    if not -rows <= padding_idx < rows:
        raise ValueError(f"embedding: padding_idx {padding_idx} is out of range for a table of {rows} rows")
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
    looking would mean waiting, numbers are to be checked before they go there). max_norm and scale_grad_by_freq raise
    NotImplementedError.

    sparse: the gradient of weight holds only the rows that were looked up: `weight.grad.is_sparse`, with `coalesce()`,
    `indices()`, `values()` and `to_dense()`. SGD, Adagrad and SparseAdam then take time for these rows, not for the
    table. It is an ordinary gradient where weight was itself computed, with create_graph=True, and where weight is used
    in another way too.

    >>> embedding(minidl.tensor([[1, 0]]), minidl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[[3., 4.],
             [1., 2.]]])
    """
    _unsupported(max_norm, norm_type, scale_grad_by_freq)
    ids = a_tensor(input, "embedding").array
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding: input must be integers, got {input.dtype}")
    if floating(weight, "embedding", "weight").array.ndim != 2:
        raise ValueError(f"embedding: weight must be a table (V, D), got {tuple(weight.shape)}")
    rows = weight.array.shape[0]
    backend_of(ids).check_index(ids, rows, "embedding")
    return R.embedding(weight, ids=ids, padding_idx=_row(padding_idx, rows), sparse=bool(sparse) and weight.is_leaf)


class Embedding(Module):
    """A table of num_embeddings vectors, looked up by number.

    Parameters: weight (num_embeddings, embedding_dim), normal with mean 0 and variance 1; row padding_idx is zero at
    first and gets no gradient. Shape: integers (...) to (..., embedding_dim). sparse, and what is not supported: see
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
        _unsupported(max_norm, norm_type, scale_grad_by_freq)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = _row(padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            self.weight = new_parameter((num_embeddings, embedding_dim), device, dtype)
            self.reset_parameters()
        else:
            if floating(_weight, "Embedding", "_weight").array.shape != (num_embeddings, embedding_dim):
                expected = (num_embeddings, embedding_dim)
                raise ValueError(f"Embedding: _weight has shape {tuple(_weight.shape)}, expected {expected}")
            self.weight = Parameter(_weight.array)
        self.weight.requires_grad_(not _freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew from the normal distribution; row padding_idx becomes zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0
            self.weight.changed()

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
        if floating(embeddings, "Embedding.from_pretrained", "embeddings").array.ndim != 2:
            shape = tuple(embeddings.shape)
            raise ValueError(f"Embedding.from_pretrained: embeddings must be a table (V, D), got {shape}")
        rows, columns = embeddings.shape
        options = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        return cls(rows, columns, *options, _weight=embeddings, _freeze=freeze)

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
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        text += "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{text}, sparse=True" if self.sparse else text
