"""NumPy's own functions on Tensors: `np.exp(x)` computes on the memory of x and gives a Tensor, as with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend.dtypes import as_dtype
from .tensor import Tensor, wrap

# what `array * x` asks NumPy for, and the method of the Tensor x that answers
_OPERATORS = {
    "add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "divide": "__rtruediv__",
    "true_divide": "__rtruediv__", "floor_divide": "__rfloordiv__", "remainder": "__rmod__", "power": "__rpow__",
    "matmul": "__rmatmul__", "bitwise_and": "__rand__", "bitwise_or": "__ror__", "bitwise_xor": "__rxor__",
    "left_shift": "__rlshift__", "right_shift": "__rrshift__", "less": "__gt__", "less_equal": "__ge__",
    "greater": "__lt__", "greater_equal": "__le__", "equal": "__eq__", "not_equal": "__ne__",
}  # fmt: skip


def _tensor(y: Any) -> Any:
    """An array that NumPy gave as a Tensor; one of a dtype that no Tensor has as it is."""
    try:
        as_dtype(np.asarray(y).dtype)
    except TypeError:
        return y
    return wrap(np.asarray(y))


def _ufunc(self, ufunc, method, *inputs, out=(), **kwargs):
    """NumPy's function `ufunc` on Tensors and arrays: a Tensor; the arrays of `out`, if they are given."""
    if method == "__call__" and not out and not kwargs and len(inputs) == 2 and not isinstance(inputs[0], Tensor):
        answer = _OPERATORS.get(ufunc.__name__)
        if answer is not None:  # `array * x` is an op of ours, part of the graph
            return getattr(inputs[1], answer)(inputs[0])
    if any(isinstance(o, Tensor) for o in out):
        raise TypeError(f"np.{ufunc.__name__}: out must be a NumPy array, got a Tensor")
    arrays = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]  # which says what to do about a gradient
    kwargs = {name: x.numpy() if isinstance(x, Tensor) else x for name, x in kwargs.items()}
    if out:
        kwargs["out"] = out if len(out) > 1 else out[0]
    y = getattr(ufunc, method)(*arrays, **kwargs)
    if out or y is None:
        return y
    return tuple([_tensor(part) for part in y]) if isinstance(y, tuple) else _tensor(y)


class _OfTheClass:
    """NumPy asks the class for `__array_ufunc__` and finds `_ufunc`. CuPy asks the object: None, with which CuPy leaves
    `array * x` to the Tensor."""

    def __get__(self, x, cls):
        return _ufunc if x is None else None


setattr(Tensor, "__array_ufunc__", _OfTheClass())  # noqa: B010 (a plain assignment confuses the type checker)
