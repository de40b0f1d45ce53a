"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ... import functions as F
from ...modes import no_grad
from ...tensor import Tensor
from .clip_grad import tensor_list


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters' elements as one vector."""
    return F.cat([F.reshape(p, -1) for p in tensor_list(parameters, "parameters_to_vector")])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the pieces of a vector into the parameters, in their order."""
    parameters = tensor_list(parameters, "vector_to_parameters")
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
