"""The size of all gradients together, and limiting it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from types import GeneratorType

from ... import functions as F
from ...backend import backend_of
from ...backend.norms import limit_norm, total_norm
from ...backend.rows import values_of
from ...tensor import Tensor, wrap


def tensor_list(tensors: Tensor | Iterable[Tensor], where: str) -> list[Tensor]:
    """One Tensor or several as a list; TypeError, with the name of the caller, for anything else."""
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{where}: expected Tensors, got {type(t).__name__}")
    return tensors


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors taken as one vector: the norm of their norms. foreach only concerns speed elsewhere."""
    tensors, p = tensor_list(tensors, "get_total_norm"), float(norm_type)
    if not tensors:
        return F.tensor(0.0)
    for t in tensors:
        if not t.dtype.is_floating_point:
            raise RuntimeError(f"get_total_norm: expected floating-point tensors, got {t.dtype} {tuple(t.shape)}")
    total = wrap(total_norm([values_of(t.array) for t in tensors], p))
    if error_if_nonfinite and not math.isfinite(value := total.item()):
        raise RuntimeError(
            f"the total norm of order {p} of the gradients is {value}, so they cannot be clipped; "
            "error_if_nonfinite=False scales them anyway"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiply all gradients by min(1, max_norm / (total_norm + 1e-6)), in place."""
    gradients = [p.grad for p in tensor_list(parameters, "clip_grads_with_norm_") if p.grad is not None]
    limit_norm([values_of(g.array) for g in gradients], max_norm, total_norm.array)
    for g in gradients:
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
    several = tensor_list(parameters, "clip_grad_norm_")
    if not several and isinstance(parameters, GeneratorType):
        warnings.warn("clip_grad_norm_: parameters is an empty generator; was it used up before?", stacklevel=2)
    total = get_total_norm([p.grad for p in several if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(several, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """`clip_grad_norm_` under its deprecated name."""
    warnings.warn("clip_grad_norm is deprecated; use clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of all gradients to [-clip_value, clip_value], in place."""
    limit = float(clip_value)
    for p in tensor_list(parameters, "clip_grad_value_"):
        if p.grad is not None:
            values = values_of(p.grad.array)
            B = backend_of(values)
            values[...] = B.minimum(B.maximum(values, -limit), limit)
            p.grad.changed()
