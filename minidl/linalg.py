"""PyTorch's `linalg`: norms, products, solving, inverses, determinants and decompositions of matrices."""

from __future__ import annotations

import math
from typing import Any

from . import functions as F
from .amp.casting import whole
from .backend.dtypes import int32
from .functions import matrices as M
from .functions.arguments import dimension, result
from .functions.matrices import told
from .ops import elementwise as E
from .ops import linalg as L
from .tensor import Tensor

__all__ = """
    LinAlgError cholesky cholesky_ex cond cross det diagonal eigh eigvalsh inv inv_ex lstsq matmul matrix_exp
    matrix_norm matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_ex solve_triangular svd svdvals
    tensorinv tensorsolve vander vecdot vector_norm
""".split()

LinAlgError = M.LinAlgError
matmul, matrix_power, matrix_exp, det, inv = F.matmul, F.matrix_power, F.matrix_exp, F.det, F.inverse


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """(sum |x|^ord)^(1/ord) over `dim` (all dimensions if None); inf is the largest, 0 counts what is not 0."""
    if isinstance(ord, str):
        raise TypeError(f"vector_norm: ord must be a number, got {ord!r}")
    return F.norm(x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None) -> Tensor:
    """'fro': the root of the sum of squares; 1, -1: the largest, smallest column sum of |A|; inf, -inf: row sum;
    2, -2: the largest, smallest singular value; 'nuc': their sum."""
    A = A if dtype is None else A.to(dtype)
    if A.ndim < 2 or len(dim) != 2:
        raise RuntimeError(f"matrix_norm: expected two dims of a tensor of matrices, got {dim} of {tuple(A.shape)}")
    if ord == "fro":
        return F.norm(A, 2, tuple(dim), keepdim)
    row, column = (dimension("matrix_norm", A, d) for d in dim)
    if ord in (2, -2, "nuc"):
        s = svdvals(F.movedim(A, (row, column), (-2, -1)))
        y = s.sum(-1) if ord == "nuc" else F.amax(s, -1) if ord > 0 else F.amin(s, -1)
        return y.reshape([1 if d in (row, column) else n for d, n in enumerate(A.shape)]) if keepdim else y
    if isinstance(ord, str):
        raise RuntimeError(f"matrix_norm: ord must be 'fro', 'nuc', a number or infinite, got {ord!r}")
    if abs(ord) not in (1, math.inf):
        raise RuntimeError(f"matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
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


@whole
def vecdot(x, y, *, dim=-1) -> Tensor:
    """The sum of x y along `dim`."""
    return (x * y).sum(dim)


def cross(input, other, *, dim=-1) -> Tensor:
    """The vector product along `dim`."""
    return F.cross(input, other, dim=dim)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1) -> Tensor:
    """The diagonals of the matrices in the last two dimensions."""
    return F.diagonal(A, offset, dim1, dim2)


# ---------------------------------------------------------------------------------- solving, inverses, determinants
_Info: dict[str, Any] = {
    name: result(name, fields)
    for name, fields in {
        "linalg_cholesky_ex": "L info",
        "linalg_inv_ex": "inverse info",
        "linalg_solve_ex": "result info",
        "linalg_slogdet": "sign logabsdet",
        "linalg_qr": "Q R",
        "linalg_eigh": "eigenvalues eigenvectors",
        "linalg_svd": "U S Vh",
        "linalg_lstsq": "solution residuals rank singular_values",
    }.items()
}


def _informed(name: str, function, check_errors: bool, A, *others):
    """(result, info): info is 0 for each matrix that has a result. For another one, unless check_errors, the result is
    nan and info counts the rows and columns at which it fails, the first of which it needs."""
    try:
        return _Info[name](function(A, *others), F.zeros(*A.shape[:-2], dtype=int32, device=A.device))
    except LinAlgError:
        if check_errors:
            raise
    lead = F.broadcast_shapes(A.shape[:-2], *[x.shape[:-2] for x in others])
    wide = [F.expand(x, *lead, *x.shape[-2:]) for x in (A, *others)]
    results, info = [], []
    for matrices in zip(*[x.reshape(-1, *x.shape[-2:]) for x in wide], strict=True):
        try:
            results.append(function(*matrices))
            info.append(0)
        except LinAlgError:
            results.append(F.full_like(matrices[-1], math.nan))
            info.append(_fails_at(function, matrices[0]))
    y = F.stack(results).reshape(*lead, *results[0].shape)
    return _Info[name](y, F.tensor(info, dtype=int32, device=A.device).reshape(lead))


def _fails_at(function, A) -> int:
    """The smallest k for which the first k columns depend on each other, or (Cholesky) have no factor."""
    for k in range(1, A.shape[0] + 1):
        part = A.detach()[:, :k]
        if function in (inv, solve):
            if matrix_rank(part).item() < k:
                return k
            continue
        try:
            function(part[:k])
        except LinAlgError:
            return k
    return A.shape[0]


def cholesky(A, *, upper=False) -> Tensor:
    """The triangular L with L L^T = A, of symmetric positive definite A (else LinAlgError); upper: its transpose."""
    return F.cholesky(A, upper)


def cholesky_ex(A, *, upper=False, check_errors=False):
    """(L, info): `cholesky`, and 0 for each matrix; for one without such a factor nan, and the order of its first
    leading minor that is not positive. check_errors: LinAlgError instead."""
    y, info = _informed("linalg_cholesky_ex", cholesky, check_errors, A)
    return _Info["linalg_cholesky_ex"](y.mT if upper else y, info)


def inv_ex(A, *, check_errors=False):
    """(inverse, info): `inv`, and 0 for each matrix; for a singular one nan, and the number of its first column that
    depends on those before. check_errors: LinAlgError instead."""
    return _informed("linalg_inv_ex", inv, check_errors, A)


def pinv(A, *, atol=None, rtol=None, hermitian=False) -> Tensor:
    """The pseudoinverse; singular values up to max(atol, rtol times the largest) count as 0."""
    if hermitian or atol is not None:
        raise NotImplementedError("pinv: hermitian=True and atol are not supported; give rtol")
    return F.pinverse(A, rtol)


@told
@whole
def solve(A, B, *, left=True) -> Tensor:
    """X with A X = B (left=False: X A = B); B holds matrices, or a vector for each matrix.

    LinAlgError if A is singular.

    >>> solve(minidl.tensor([[2.0, 0.0], [1.0, 1.0]]), minidl.tensor([2.0, 3.0]))
    tensor([1., 2.])
    """
    if B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1]):
        return M.solved("solve", A, B.unsqueeze(-1)).squeeze(-1)
    return M.solved("solve", A, B) if left else M.solved("solve", A.mT, B.mT).mT


def solve_ex(A, B, *, left=True, check_errors=False):
    """(result, info): `solve`, and 0 for each matrix; for a singular one nan and a number as in `inv_ex`. check_errors:
    LinAlgError instead."""
    if vector := B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1]):
        B = B.unsqueeze(-1)
    if not left:
        A, B = A.mT, B.mT
    y, info = _informed("linalg_solve_ex", solve, check_errors, A, B)
    y = y if left else y.mT
    return _Info["linalg_solve_ex"](y.squeeze(-1) if vector else y, info)


@told
def solve_triangular(A, B, *, upper, left=True, unitriangular=False) -> Tensor:
    """X with A X = B (left=False: X A = B) for triangular A, of which only that half is read."""
    if left:
        return M.triangular("solve_triangular", A, B, upper, False, unitriangular)
    return M.triangular("solve_triangular", A, B.mT, upper, True, unitriangular).mT


def slogdet(A):
    """The sign of the determinant and the logarithm of its magnitude: (sign, logabsdet)."""
    return _Info["linalg_slogdet"](*F.slogdet(A))


# ------------------------------------------------------------------------------------------------- decompositions
@told
def qr(A, mode="reduced"):
    """(Q, R) with Q R = A, Q's columns orthonormal and R upper triangular; mode 'r': only R has values."""
    return _Info["linalg_qr"](*M.factors("qr", A, mode))


@told
def eigh(A, UPLO="L"):
    """(eigenvalues, ascending, eigenvectors) of symmetric A, of which only the lower ('U': upper) half is read."""
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"eigh: UPLO must be 'L' or 'U', got {UPLO!r}")
    return _Info["linalg_eigh"](*L.eigh(M.symmetric("eigh", A, UPLO.upper() == "L")))


@whole
def eigvalsh(A, UPLO="L") -> Tensor:
    """The eigenvalues of symmetric A, ascending."""
    return eigh(A, UPLO)[0]


@told
def svd(A, full_matrices=True, *, driver=None):
    """(U, S, Vh) with U diag(S) Vh = A; full_matrices=True only of square matrices, where it makes no difference."""
    if driver is not None:
        raise NotImplementedError(f"svd: driver={driver!r} is not supported")
    return _Info["linalg_svd"](*M.singular("svd", A, full_matrices))


@told
@whole
def svdvals(A, *, driver=None) -> Tensor:
    """The singular values, descending."""
    return svd(A, False, driver=driver)[1]


def matrix_rank(A, *, atol=None, rtol=None, hermitian=False) -> Tensor:
    """How many singular values exceed max(atol, rtol times the largest); rtol, unless given: max(m, n) eps, or 0.

    hermitian: A is symmetric; only its lower half is read, and the magnitudes of its eigenvalues count.
    """
    s = eigvalsh(A).abs() if hermitian else svdvals(A)
    if rtol is None:
        rtol = 0.0 if atol else max(A.shape[-2:]) * F.finfo(A.dtype).eps
    least = F.clamp(s.amax(-1, keepdim=True) * rtol, min=0.0 if atol is None else atol)
    return E.greater(s, least).sum(-1)


@whole
def cond(A, p=None) -> Tensor:
    """The norm of A times that of its inverse; p=None: the largest singular value by the smallest."""
    if p is None or p == 2:
        s = svdvals(A)
        return s.amax(-1) / s.amin(-1)
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


def lstsq(A, B, rcond=None, *, driver=None):
    """(solution, residuals, rank, singular_values) of min |A X - B|; the residuals only where A is tall, of full rank.

    The derivative is that of the pseudoinverse.
    """
    if driver not in (None, "gelsy", "gelsd", "gelss", "gels"):
        raise RuntimeError(f"lstsq: driver must be 'gels', 'gelsy', 'gelsd' or 'gelss', got {driver!r}")
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    right = B.unsqueeze(-1) if vector else B
    y, rank = F.pinverse(A, rcond) @ right, matrix_rank(A, rtol=rcond)
    tall = A.shape[-2] > A.shape[-1] and bool((rank == A.shape[-1]).all())
    residuals = ((A @ y - right) ** 2).sum(-2) if tall else A.new_empty(0)
    y = y.squeeze(-1) if vector else y
    return _Info["linalg_lstsq"](y, residuals, rank, svdvals(A) if driver in ("gelsd", "gelss") else A.new_empty(0))


def tensorinv(A, ind=2) -> Tensor:
    """The inverse of A as a map from its last dimensions to its first `ind`."""
    rows, columns = A.shape[:ind], A.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise RuntimeError(f"tensorinv: {tuple(rows)} and {tuple(columns)} must hold equally many elements")
    return inv(A.reshape(math.prod(rows), -1)).reshape(*columns, *rows)


def tensorsolve(A, B, dims=None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B; dims are moved to A's end first."""
    A = A if dims is None else F.movedim(A, tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    shape = A.shape[B.ndim :]
    return solve(A.reshape(B.numel(), -1), B.reshape(-1)).reshape(*shape)


def vander(x, N=None) -> Tensor:
    """The powers 0 ... N - 1 of each element, along a new last dimension."""
    n = x.shape[-1] if N is None else N
    return F.stack([F.pow(x, k) for k in range(n)], -1)
