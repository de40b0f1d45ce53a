"""PyTorch's `linalg`, as far as it is here: norms and products. Inverses and decompositions are not."""

from __future__ import annotations

import math

from . import functions as F
from .functions.arguments import dimension
from .tensor import Tensor

__all__ = "cross diagonal matmul matrix_norm matrix_power multi_dot norm vecdot vector_norm".split()

matmul, matrix_power = F.matmul, F.matrix_power


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """(sum |x|^ord)^(1/ord) over `dim` (all dimensions if None); inf is the largest, 0 counts what is not 0."""
    if isinstance(ord, str):
        raise TypeError(f"vector_norm: ord must be a number, got {ord!r}")
    return F.norm(x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None) -> Tensor:
    """'fro': the root of the sum of squares; 1, -1: the largest, smallest column sum of |A|; inf, -inf: row sum."""
    A = A if dtype is None else A.to(dtype)
    if A.ndim < 2 or len(dim) != 2:
        raise RuntimeError(f"matrix_norm: expected two dims of a tensor of matrices, got {dim} of {tuple(A.shape)}")
    if ord == "fro":
        return F.norm(A, 2, tuple(dim), keepdim)
    if ord in (2, -2, "nuc") or isinstance(ord, str):
        raise NotImplementedError(f"matrix_norm: ord={ord!r} needs singular values, which minidl has not")
    if abs(ord) not in (1, math.inf):
        raise RuntimeError(f"matrix_norm: ord must be 'fro', 1, -1, inf or -inf, got {ord!r}")
    row, column = (dimension("matrix_norm", A, d) for d in dim)
    summed, left = (row, column) if abs(ord) == 1 else (column, row)
    sums = A.abs().sum(summed, keepdim=True)
    y = F.amax(sums, left, True) if ord > 0 else F.amin(sums, left, True)
    return y if keepdim else F.squeeze(y, (row, column))


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """`vector_norm`, or `matrix_norm` where two dims, or an ord and a matrix, are given."""
    if ord is None or isinstance(dim, int) or (dim is not None and len(dim) == 1) or (dim is None and A.ndim == 1):
        return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    if dim is None and A.ndim != 2:
        raise RuntimeError(f"norm: with ord={ord!r} and no dim a vector or a matrix is expected, got {tuple(A.shape)}")
    return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)


def multi_dot(tensors) -> Tensor:
    """The product of several matrices (the first and last may be vectors), in the cheapest order."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot: expected at least 2 tensors, got {len(tensors)}")
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    parts = [F.unsqueeze(tensors[0], 0) if first else tensors[0], *tensors[1:-1]]
    y = F.chain_matmul(*parts, F.unsqueeze(tensors[-1], 1) if last else tensors[-1])
    y = F.squeeze(y, -1) if last else y
    return F.squeeze(y, 0) if first else y


def vecdot(x, y, *, dim=-1) -> Tensor:
    """The sum of x y along `dim`."""
    return (x * y).sum(dim)


def cross(input, other, *, dim=-1) -> Tensor:
    """The vector product along `dim`."""
    return F.cross(input, other, dim=dim)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1) -> Tensor:
    """The diagonals of the matrices in the last two dimensions."""
    return F.diagonal(A, offset, dim1, dim2)
