"""Parametrizations that are often wanted: weight and spectral normalisation, orthogonal matrices."""

from __future__ import annotations

import enum
from typing import Any

from ... import functions as F
from ... import linalg
from ...functions.matrices import matrix_exp
from ...modes import no_grad
from ...tensor import Tensor
from ..module import Module
from .parametrize import register_parametrization
from .spectral_norm import as_matrix, output_dim, random_unit, unit
from .weight_norm import norm_except_dim, scaled

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """w = g v / |v|."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """g v / |v|."""
        return scaled(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The lengths, and the weight as the direction."""
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train a weight by its length and its direction: w = g v / |v|, with one g for each index of dim (None: one).

    g and v are `parametrizations.weight.original0` and `original1`; state dicts of the older `nn.utils.weight_norm`
    load too. Salimans and Kingma, 2016.

    >>> from minidl import nn
    >>> weight_norm(nn.Linear(2, 3))
    ParametrizedLinear(
      in_features=2, out_features=3, bias=True
      (parametrizations): ModuleDict(
        (weight): ParametrizationList(
          (0): _WeightNorm()
        )
      )
    )
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict, prefix, *about) -> None:
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """w = W / (u^T W v); a vector is divided by its length."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"spectral_norm: dim {dim} is out of range for a weight of shape {tuple(weight.shape)}")
        if n_power_iterations <= 0:
            raise ValueError(f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}")
        self.dim, self.eps = dim % weight.ndim, eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            self.register_buffer("_u", random_unit(matrix.shape[0], weight, eps))
            self.register_buffer("_v", random_unit(matrix.shape[1], weight, eps))
            self._power_method(matrix, 15)

    def _power_method(self, matrix: Any, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._u.copy_(unit(F.mv(matrix, self._v), self.eps))
                self._v.copy_(unit(F.mv(matrix.t(), self._u), self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by the estimate of its largest singular value."""
        if weight.ndim == 1:
            return unit(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = (
            self._u.clone(),
            self._v.clone(),
        )  # a second call, before the backward of the first, changes the buffers
        return weight / F.dot(u, F.mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value, so that the layer lengthens no difference of inputs.

    w = W / (u^T W v), where power iteration, n_power_iterations steps each time the weight is used in training, leads u
    and v to the first singular vectors; a weight of more dimensions is taken as a matrix, `dim` (None: that of the
    outputs) against all others. Miyato et al., 2018.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    dim = output_dim(module) if dim is None else dim
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


class _OrthMaps(enum.Enum):
    matrix_exp = enum.auto()
    cayley = enum.auto()
    householder = enum.auto()


def _reflectors(A: Tensor) -> tuple[Tensor, Tensor]:  # noqa: N803
    """A = H1 H2 ... R with H = 1 - tau v v^T: the v below the diagonal and R on and above it; the taus (`geqrf`)."""
    n, k = A.shape[-2:]
    taus = []
    for j in range(k):
        x = A[..., j:, j]
        first, rest = x[..., :1], F.sum(x[..., 1:] ** 2, -1, keepdim=True)
        some = rest > 0
        length = F.sqrt(first * first + rest)
        beta = F.where(some, F.where(first > 0, -length, length), first)
        tau = F.where(some, (beta - first) / F.where(some, beta, F.ones_like(beta)), F.zeros_like(beta))
        v = F.where(some, x / F.where(some, first - beta, F.ones_like(beta)), F.zeros_like(x))
        v = F.cat([F.ones_like(first), v[..., 1:]], -1)
        block = A[..., j:, j:]
        projected = F.matmul(F.unsqueeze(v, -2), block)
        block = block - F.unsqueeze(tau * v, -1) * projected
        column = F.unsqueeze(F.cat([beta, v[..., 1:]], -1), -1)
        lower = F.cat([column, block[..., 1:]], -1)
        upper = A[..., :j, j:]
        A = F.cat([A[..., :j], F.cat([upper, lower], -2)], -1)
        taus.append(tau)
    return A, F.cat(taus, -1)


def _product(A: Tensor, tau: Tensor) -> Tensor:  # noqa: N803
    """The first columns of H1 H2 ..., with the v below A's diagonal (`householder_product`)."""
    n, k = A.shape[-2:]
    Q = F.eye(n, k, dtype=A.dtype, device=A.device)
    identity = Q
    for j in reversed(range(k)):
        below = F.tril(A, -1)[..., j] + identity[..., j]
        Q = Q - F.unsqueeze(tau[..., j : j + 1] * below, -1) * F.matmul(F.unsqueeze(below, -2), Q)
    return Q


def _made_orthogonal(A: Tensor) -> Tensor:  # noqa: N803
    """Q of A = Q R with a positive diagonal of R."""
    X, tau = _reflectors(A)
    return _product(X, tau) * F.unsqueeze(F.sign(F.diagonal(X, dim1=-2, dim2=-1)), -2)


class _Orthogonal(Module):
    """A matrix with orthonormal columns (or rows, if it is wide) from any matrix."""

    base: Any

    def __init__(self, weight: Tensor, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:  # noqa: N803
        """The orthogonal matrix."""
        wide = X.shape[-2] < X.shape[-1]
        X = F.transpose(X, -2, -1) if wide else X
        n, k = X.shape[-2:]
        if self.orthogonal_map is _OrthMaps.householder:
            A = F.tril(X, -1)
            Q = _product(A, 2.0 / (1.0 + F.sum(A * A, -2)))
            signs = F.diagonal(X.detach(), dim1=-2, dim2=-1)
            Q = Q * F.unsqueeze(F.sign(signs) * F.floor(F.abs(signs)), -2)  # cut to whole numbers: 1 and -1
        else:
            X = F.tril(X)
            if n != k:
                X = F.cat([X, F.zeros(*X.shape[:-1], n - k, dtype=X.dtype, device=X.device)], -1)
            A = X - F.transpose(X, -2, -1)
            if self.orthogonal_map is _OrthMaps.matrix_exp:
                Q = matrix_exp(A)
            else:
                one = F.eye(n, dtype=A.dtype, device=A.device)
                Q = linalg.solve(one - 0.5 * A, one + 0.5 * A)
            Q = Q[..., :k]
        if "base" in self.__dict__:
            Q = F.matmul(self.base, Q)
        return F.transpose(Q, -2, -1) if wide else Q

    def right_inverse(self, Q: Tensor) -> Tensor:  # noqa: N803
        """What gives the orthogonal matrix next to Q: with trivialization -1, and the base is that matrix."""
        if Q.shape != self.shape:
            raise ValueError(f"orthogonal: expected matrices of shape {tuple(self.shape)}, got {tuple(Q.shape)}")
        with no_grad():
            given, wide = Q, Q.shape[-2] < Q.shape[-1]
            Q = F.transpose(Q, -2, -1) if wide else Q
            n, k = Q.shape[-2:]
            if "base" in self.__dict__:
                if n != k:
                    more = F.randn(*Q.shape[:-2], n, n - k, dtype=Q.dtype, device=Q.device)
                    Q = F.cat([Q, more], -1)
                one = F.eye(n, dtype=Q.dtype, device=Q.device)
                near = F.allclose(F.matmul(F.transpose(Q, -2, -1), Q), one, atol=10.0 * n * F.finfo(Q.dtype).eps)
                self.base = Q.clone() if n == k == given.shape[-1] and near else _made_orthogonal(Q)
                return F.zeros_like(given) - F.eye(*given.shape[-2:], dtype=Q.dtype, device=Q.device)
            if self.orthogonal_map is not _OrthMaps.householder:
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False."
                )
            A, tau = _reflectors(Q)
            signs = F.sign(F.diagonal(A, dim1=-2, dim2=-1)) * F.where(tau == 0, -F.ones_like(tau), F.ones_like(tau))
            one = F.eye(n, k, dtype=Q.dtype, device=Q.device)
            A = A * (1 - one) + one * F.unsqueeze(signs, -2)
            return F.transpose(A, -2, -1) if wide else A


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep a matrix orthogonal: Q^T Q = 1, or Q Q^T = 1 if it is wider than tall.

    orthogonal_map: 'matrix_exp', Q = exp(A); 'cayley', Q = (1 + A/2) (1 - A/2)^-1, both with a skew-symmetric A;
    'householder', a product of reflections. None: 'matrix_exp' for square matrices, 'householder' for others.
    use_trivialization: times a fixed base, so that the map starts at the weight's nearest orthogonal matrix (Lezcano
    Casado, 2019).
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"orthogonal: expected a matrix or batch of matrices, got {weight.ndim} dimensions")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in _OrthMaps.__members__:
        names = ", ".join(repr(name) for name in _OrthMaps.__members__)
        raise ValueError(f"orthogonal: orthogonal_map must be one of {names}, got {orthogonal_map!r}")
    made = _Orthogonal(weight, _OrthMaps[orthogonal_map], use_trivialization=use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
