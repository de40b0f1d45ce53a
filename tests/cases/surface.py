"""Cases of inverses, decompositions and special functions."""

from __future__ import annotations

import math
import statistics

import numpy as np

from .table import between, case, normal


def _well(*shape):
    """Square matrices that are far from singular."""
    return lambda rng: rng.normal(size=shape) * 0.3 + np.diag(np.arange(1.0, shape[-1] + 1))


def _symmetric(*shape):
    """Symmetric positive definite matrices with eigenvalues that are far apart."""

    def make(rng):
        x = rng.normal(size=shape) * 0.2
        return x + np.swapaxes(x, -1, -2) + np.diag(np.arange(1.0, shape[-1] + 1) ** 2)

    return make


def _tall(*shape):
    """Matrices with singular values that are far apart."""

    def make(rng):
        x = rng.normal(size=shape) * 0.2
        n = min(shape[-2:])
        x[..., :n, :n] += np.diag(np.arange(1.0, n + 1))
        return x

    return make


def _adjugate(x):
    """The inverse by Cramer's rule."""
    n = x.shape[-1]
    y = np.empty_like(x)
    for i, j in np.ndindex(n, n):
        minor = np.delete(np.delete(x, i, -2), j, -1)
        y[..., j, i] = (-1) ** (i + j) * np.linalg.det(minor)
    return y / np.linalg.det(x)[..., None, None]


case("tril", (normal(3, 4),), lambda x, k: x * (np.arange(4) <= np.arange(3)[:, None] + k), k=0)
case("tril", (normal(2, 3, 3),), lambda x, k: x * (np.arange(3) <= np.arange(3)[:, None] + k), "above", k=1)
case("inv", (_well(3, 3),), _adjugate)
case("inv", (_well(2, 2, 2),), _adjugate, "batch")
case("solve", (_well(3, 3), normal(3, 2)), lambda a, b: _adjugate(a) @ b)
case("solve", (_well(2, 3, 3), normal(2, 3, 1)), lambda a, b: _adjugate(a) @ b, "batch")
case("pinv", (_tall(4, 2),), lambda x: _adjugate(x.T @ x) @ x.T, "tall")
case("pinv", (_tall(2, 2, 3),), lambda x: x.transpose(0, 2, 1) @ _adjugate(x @ x.transpose(0, 2, 1)), "wide")
case("slogdet", (_well(3, 3),), lambda x: (np.sign(np.linalg.det(x)), np.log(abs(np.linalg.det(x)))))
case("slogdet", (_well(2, 2, 2),), lambda x: (np.sign(np.linalg.det(x)), np.log(abs(np.linalg.det(x)))), "batch")


def _cholesky(x):
    """Column after column, by the definition."""
    y = np.zeros_like(x)
    for j in range(len(x)):
        y[j, j] = math.sqrt(x[j, j] - y[j, :j] @ y[j, :j])
        for i in range(j + 1, len(x)):
            y[i, j] = (x[i, j] - y[i, :j] @ y[j, :j]) / y[j, j]
    return y


case("cholesky", (_symmetric(3, 3),), lambda x: _cholesky((x + x.T) / 2))


def _qr(x):
    """By Gram and Schmidt, with the signs of LAPACK."""
    q, r = np.linalg.qr(x)
    found = np.zeros_like(q)
    for j in range(x.shape[1]):
        rest = x[:, j] - found @ (found.T @ x[:, j])
        found[:, j] = rest / np.linalg.norm(rest) * np.sign(r[j, j])
    return found, np.triu(found.T @ x)


case("qr", (_tall(4, 3),), _qr)
case("eigh", (_symmetric(3, 3),), lambda x: tuple(np.linalg.eigh((x + x.T) / 2)))
case("svd", (_tall(4, 3),), lambda x: tuple(np.linalg.svd(x, full_matrices=False)), "tall")
case("svd", (_tall(2, 4),), lambda x: tuple(np.linalg.svd(x, full_matrices=False)), "wide")


def _sums(n):
    """The n-th derivative of digamma by a long sum, with the integral of its rest."""

    def function(x, n=n):
        k = np.arange(20000.0)
        if n == 0:
            terms = (1 / (k + 1) - 1 / (x[..., None] + k)).sum(-1)
            return terms - 0.5772156649015328606 + np.log1p((x - 1) / 20000.5)
        rest = (x + 19999.5) ** -n / n
        return (-1) ** (n + 1) * math.factorial(n) * (((x[..., None] + k) ** (-n - 1)).sum(-1) + rest)

    return function


case("lgamma", (between(0.2, 12.0, 2, 5),), lambda x: np.vectorize(math.lgamma)(x))
case("polygamma", (between(0.3, 12.0, 2, 5),), _sums(0), n=0)
case("polygamma", (between(0.3, 12.0, 6),), _sums(1), "first", n=1)
case("polygamma", (between(0.5, 12.0, 6),), _sums(2), "second", n=2)
case(
    "erfinv",
    (between(-0.7, 0.7, 2, 5),),
    lambda x: np.vectorize(lambda v: statistics.NormalDist().inv_cdf(v / 2 + 0.5))(x) / math.sqrt(2),
)
