"""Products of two inputs with one array of weights."""

from __future__ import annotations

from ... import functions as F
from ...amp.casting import whole
from ...tensor import Tensor
from ..checks import floating, same_dtype


@whole
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[o] = sum over i and j of x1[i] weight[o, i, j] x2[j], + bias[o].

    Shape: input1 (..., I), input2 (..., J), weight (O, I, J), bias (O) or None; y (..., O).
    """
    where = "bilinear"
    a, b, w = floating(input1, where, "input1"), floating(input2, where, "input2"), floating(weight, where, "weight")
    if w.array.ndim != 3 or (a.array.shape[-1:], b.array.shape[-1:]) != (w.array.shape[1:2], w.array.shape[2:]):
        raise RuntimeError(
            f"{where}: expected input1 (..., I), input2 (..., J) and weight (O, I, J), got {tuple(a.shape)}, "
            f"{tuple(b.shape)} and {tuple(w.shape)}"
        )
    if a.array.shape[:-1] != b.array.shape[:-1]:
        shapes = f"input1 is {tuple(a.shape)}, input2 {tuple(b.shape)}"
        raise RuntimeError(f"{where}: {shapes}: they may differ in the last size only")
    same_dtype(a, w, where)
    same_dtype(b, w, where)
    o, i, j = w.array.shape
    left = F.reshape(F.matmul(F.reshape(a, -1, i), F.reshape(F.permute(w, (1, 0, 2)), i, o * j)), -1, o, j)
    y = F.reshape(F.matmul(left, F.unsqueeze(F.reshape(b, -1, j), 2)), *a.array.shape[:-1], o)
    if bias is None:
        return y
    if floating(bias, where, "bias").array.shape != (o,):
        raise RuntimeError(f"{where}: expected bias ({o},), got {tuple(bias.shape)}")
    return y + bias
