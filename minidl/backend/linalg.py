"""LAPACK through NumPy, cuSOLVER through CuPy, under the names that ops use: inverses and decompositions, of one matrix
or of many."""

from __future__ import annotations

import functools

from . import backend_of


def _at_least_single(function):
    """float16 by way of float32, which is the least that the library computes in."""

    @functools.wraps(function)
    def call(*xs):
        kind = xs[0].dtype
        if kind.itemsize > 2:
            return function(*xs)
        found = function(*[x.astype("float32") for x in xs])
        return tuple([y.astype(kind) for y in found]) if isinstance(found, tuple) else found.astype(kind)

    return call


@_at_least_single
def inv(x):
    """The inverse."""
    return backend_of(x).library.linalg.inv(x)


@_at_least_single
def solve(a, b):
    """a^-1 b."""
    return backend_of(a).library.linalg.solve(a, b)


@_at_least_single
def pinv(x):
    """The pseudoinverse."""
    return backend_of(x).library.linalg.pinv(x)


@_at_least_single
def slogdet(x):
    """The sign of the determinant, and the logarithm of its magnitude."""
    return tuple(backend_of(x).library.linalg.slogdet(x))


@_at_least_single
def cholesky(x):
    """The lower triangular factor of a symmetric matrix."""
    return backend_of(x).library.linalg.cholesky(x)


@_at_least_single
def qr(x):
    """Orthonormal columns and an upper triangular matrix."""
    return tuple(backend_of(x).library.linalg.qr(x))


@_at_least_single
def eigh(x):
    """Eigenvalues, ascending, and eigenvectors, of a symmetric matrix."""
    return tuple(backend_of(x).library.linalg.eigh(x))


@_at_least_single
def svd(x):
    """Singular vectors and values: u, s, vh, without those that belong to no singular value."""
    return tuple(backend_of(x).library.linalg.svd(x, full_matrices=False))
