"""Inverses, determinants and decompositions of matrices (the last two dimensions), for `linalg` and the top level."""

from __future__ import annotations

import functools
import math

import numpy as np

from ..amp.casting import whole
from ..creation import eye, zeros_like
from ..engine import OPS
from ..ops import elementwise as E
from ..ops import linalg as L
from ..tensor import Tensor
from .arguments import a_tensor, result
from .index import diagonal, tril, triu
from .shape import broadcast_shapes, cat, expand, transpose, unsqueeze

__all__ = """
    cholesky cholesky_inverse cholesky_solve det inverse logdet matrix_exp pinverse qr slogdet svd triangular_solve
""".split()


class LinAlgError(RuntimeError):
    """A matrix has no inverse or no decomposition of the kind asked for."""


def matrices(name: str, A, square: bool = False) -> Tensor:
    """A, which must hold matrices of floating-point numbers in its last two dimensions."""
    a = a_tensor(name, A, "A").array
    if a.ndim < 2:
        raise RuntimeError(f"{name}: expected a tensor of at least 2 dimensions, got {tuple(a.shape)}")
    if a.dtype.kind != "f":
        raise RuntimeError(f"{name}: expected floating-point numbers, got {A.dtype}")
    if square and a.shape[-1] != a.shape[-2]:
        raise RuntimeError(f"{name}: expected square matrices, got {tuple(a.shape)}")
    return A


def symmetric(name: str, A, lower: bool = True) -> Tensor:
    """A, whose other half is taken to be the mirror image of the one that counts; gradients are symmetric."""
    half = matrices(name, A, square=True).detach()
    half = half if lower else transpose(half, -1, -2)
    return A + (tril(half) + transpose(tril(half, -1), -1, -2) - A.detach())


def told(function):
    """The function, whose failures in the array library come as `LinAlgError`, under its name."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except np.linalg.LinAlgError as error:
            op, _, text = str(error).partition(": ")  # the engine names the op, which may have another name
            raise LinAlgError(f"{function.__name__}: {text if op in OPS else error}") from None

    return call


def _diagonals(A) -> Tensor:
    return diagonal(A, 0, -2, -1)


@told
@whole
def inverse(input) -> Tensor:
    """The inverse of each square matrix; LinAlgError if it is singular."""
    return L.inv(matrices("inv", input, square=True))


@told
def pinverse(input, rcond=None) -> Tensor:
    """The pseudoinverse (Moore, 1920; Penrose, 1955); singular values below rcond times the largest count as 0."""
    matrices("pinv", input)
    if rcond is None:
        return L.pinv(input)
    u, s, vh = L.svd(input)
    kept = E.greater(s, rcond * s.detach().amax(-1, keepdim=True))
    return transpose(vh, -1, -2) @ (unsqueeze(E.where(kept, 1 / E.where(kept, s, 1.0), 0.0), -1) * transpose(u, -1, -2))


_Slogdet = result("slogdet", "sign logabsdet")


@told
def slogdet(input):
    """The sign of the determinant and the logarithm of its magnitude: (sign, logabsdet)."""
    return _Slogdet(*L.slogdet(matrices("slogdet", input, square=True)))


@told
@whole
def det(input) -> Tensor:
    """The determinant of each square matrix."""
    sign, magnitude = L.slogdet(matrices("det", input, square=True))
    return sign * E.exp(magnitude)


@told
def logdet(input) -> Tensor:
    """The logarithm of the determinant; nan where that is negative."""
    sign, magnitude = L.slogdet(matrices("logdet", input, square=True))
    return E.where(E.less(sign, 0), math.nan, magnitude)


@told
def cholesky(input, upper=False) -> Tensor:
    """The triangular L with L L^T = A, of symmetric positive definite A; upper: its transpose. LinAlgError if A is not.

    >>> cholesky(minidl.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    y = L.cholesky(symmetric("cholesky", input))
    return transpose(y, -1, -2) if upper else y


@whole
def cholesky_inverse(input, upper=False) -> Tensor:
    """The inverse of A, given its Cholesky factor."""
    inverted = inverse(triu(input) if upper else tril(input))
    return inverted @ transpose(inverted, -1, -2) if upper else transpose(inverted, -1, -2) @ inverted


@whole
def cholesky_solve(input, L, upper=False) -> Tensor:  # noqa: N803 (PyTorch's name)
    """X with A X = `input`, given A's Cholesky factor."""
    y = solved("cholesky_solve", transpose(triu(L), -1, -2) if upper else tril(L), input)
    return solved("cholesky_solve", triu(L) if upper else transpose(tril(L), -1, -2), y)


def solved(name: str, A, B) -> Tensor:
    """X with A X = B, for matrices B, with batches broadcast."""
    matrices(name, A, square=True)
    if matrices(name, B).shape[-2] != A.shape[-1]:
        raise RuntimeError(f"{name}: A is {tuple(A.shape)}, B is {tuple(B.shape)}: they must have the same rows")
    batch = broadcast_shapes(A.shape[:-2], B.shape[:-2])
    return L.solve(expand(A, *batch, *A.shape[-2:]), expand(B, *batch, *B.shape[-2:]))


_Triangular = result("triangular_solve", "solution cloned_coefficient")


@told
def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False):  # noqa: N803
    """X with A X = `input` for triangular A, of which only that half is read: (X, A)."""
    return _Triangular(triangular("triangular_solve", A, input, upper, transpose, unitriangular), A.clone())


def triangular(name, A, B, upper, transposed=False, unit=False) -> Tensor:
    """X with A X = B, where A's other half counts as 0, and unit: its diagonal as 1."""
    half = triu(A, 1 if unit else 0) if upper else tril(A, -1 if unit else 0)
    half = half + eye(A.shape[-1], dtype=A.dtype, device=A.device) if unit else half
    return solved(name, transpose(half, -1, -2) if transposed else half, B)


_QR, _SVD = result("qr", "Q R"), result("svd", "U S V")


def factors(name: str, A, mode: str):
    """Q and R; wide matrices by their square part."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"{name}: mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    rows, columns = matrices(name, A).shape[-2:]
    if mode == "complete" and rows > columns:
        raise NotImplementedError(f"{name}: mode='complete' of a matrix with more rows than columns")
    q, r = L.qr(A[..., :rows] if columns > rows else A)
    r = cat([r, transpose(q, -1, -2) @ A[..., rows:]], -1) if columns > rows else r
    return (A.new_empty(0) if mode == "r" else q), r


@told
def qr(input, some=True):
    """(Q, R) with Q R = A, Q's columns orthonormal and R upper triangular."""
    return _QR(*factors("qr", input, "reduced" if some else "complete"))


def singular(name: str, A, full_matrices=False):
    """U, S and V^T of the reduced decomposition."""
    matrices(name, A)
    if full_matrices and A.shape[-1] != A.shape[-2]:
        raise NotImplementedError(f"{name}: full_matrices=True is supported for square matrices only")
    return L.svd(A)


@told
def svd(input, some=True, compute_uv=True):
    """(U, S, V) with U diag(S) V^T = A; V, not V^T, unlike `linalg.svd`."""
    u, s, vh = singular("svd", input, not some)
    if not compute_uv:
        u, vh = zeros_like(u), zeros_like(vh)
    return _SVD(u, s, transpose(vh, -1, -2))


@whole
def matrix_exp(input) -> Tensor:
    """1 + A + A^2 / 2 + ... of each square matrix: of A / 2^s by its first terms, squared s times."""
    matrices("matrix_exp", input, square=True)
    size = input.detach().abs().sum(-1)
    s = max(0, math.ceil(math.log2(max(float(size.max()) if size.numel() else 0.0, 1e-30))) + 1)
    x, unit = input * 0.5**s, eye(input.shape[-1], dtype=input.dtype, device=input.device)
    y = unit + x * (1 / 18)
    for k in range(17, 0, -1):  # Horner's rule
        y = unit + x @ y * (1 / k)
    for _ in range(s):
        y = y @ y
    return y
