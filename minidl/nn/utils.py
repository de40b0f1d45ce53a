"""PyTorch's `nn.utils`: the size of gradients, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .. import functions as F
from ..backend import backend_of
from ..backend.dtypes import float16, float32
from ..modes import no_grad
from ..tensor import Tensor, wrap


def _list(tensors: Tensor | Iterable[Tensor], where: str) -> list[Tensor]:
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{where}: expected Tensors, got {type(t).__name__}")
    return tensors


def _gradients(parameters, where) -> list[Tensor]:
    return [p.grad for p in _list(parameters, where) if p.grad is not None]


def _norm(x, p: float):
    """The p-norm of all elements of an array, as a 0-d array or scalar."""
    B = backend_of(x)
    if x.dtype == float16:  # whose squares overflow
        x = B.astype(x, float32)
    if p == math.inf:
        return B.max(B.absolute(x)) if x.size else B.sum(x)
    if p == -math.inf:
        return B.min(B.absolute(x))
    if p == 0:
        return B.sum(B.astype(B.not_equal(x, 0), x.dtype))
    if p == 1:
        return B.sum(B.absolute(x))
    if p == 2:
        flat = B.reshape(x, (-1,))
        return B.sqrt(flat @ flat)
    return B.sum(B.absolute(x) ** p) ** (1.0 / p)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors taken as one vector: the norm of their norms. foreach only concerns speed elsewhere."""
    tensors, p = _list(tensors, "get_total_norm"), float(norm_type)
    if not tensors:
        return F.tensor(0.0)
    B = backend_of(tensors[0].array)
    norms = B.stack([B.asarray(_norm(t.array, p)) for t in tensors])
    total = wrap(B.asarray(_norm(norms, p)))
    if error_if_nonfinite and not math.isfinite(value := float(total.array)):
        raise RuntimeError(
            f"the total norm of order {p} of the gradients is {value}, so they cannot be clipped; "
            "error_if_nonfinite=False scales them anyway"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiply all gradients by min(1, max_norm / (total_norm + 1e-6)), in place."""
    norm = total_norm.array
    B = backend_of(norm)
    factor = B.minimum(float(max_norm) / (norm + 1e-6), 1.0)
    for g in _gradients(parameters, "clip_grads_with_norm_"):
        array = g.array
        array *= factor
        g.changed()


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their norm is at most max_norm; returns the norm that they had.

    norm_type: the order p, also inf. error_if_nonfinite: RuntimeError if the norm is nan or infinite (Pascanu et al.,
    2013).

    >>> p = F.zeros(2, requires_grad=True); p.grad = F.tensor([3.0, 4.0])
    >>> clip_grad_norm_(p, 1.0), p.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    parameters = _list(parameters, "clip_grad_norm_")
    total = get_total_norm(_gradients(parameters, "clip_grad_norm_"), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of all gradients to [-clip_value, clip_value], in place."""
    limit = float(clip_value)
    for g in _gradients(parameters, "clip_grad_value_"):
        B = backend_of(g.array)
        g.write(B.minimum(B.maximum(g.array, -limit), limit))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters' elements as one vector."""
    return F.cat([F.reshape(p, -1) for p in _list(parameters, "parameters_to_vector")])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the pieces of a vector into the parameters, in their order."""
    parameters = _list(parameters, "vector_to_parameters")
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, got {type(vec).__name__}")
    wanted = sum(p.array.size for p in parameters)
    if vec.array.size != wanted:
        raise ValueError(
            f"vector_to_parameters: the vector has {vec.array.size} elements, the parameters have {wanted}"
        )
    start = 0
    with no_grad():
        for p in parameters:
            p.data = F.reshape(F.narrow(F.reshape(vec, -1), 0, start, p.array.size), p.array.shape).detach()
            start += p.array.size
