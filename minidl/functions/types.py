"""Questions about tensors and their types: what is a tensor, which dtype results, what a dtype can hold."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..backend.dtypes import (
    as_dtype,
    bfloat16,
    complex32,
    complex64,
    complex128,
    float8_e4m3fn,
    float8_e5m2,
    float16,
    float32,
    float64,
)
from ..backend.dtypes import result_type as _result_type
from ..modes import mode
from ..tensor import Tensor
from .arguments import a_tensor

__all__ = "can_cast finfo iinfo is_floating_point is_nonzero is_tensor numel promote_types result_type".split()


def is_tensor(obj) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input) -> bool:
    """Whether the dtype is float16, float32 or float64."""
    return a_tensor("is_floating_point", input).array.dtype.kind == "f"


def is_nonzero(input) -> bool:
    """Whether the one element is not 0."""
    return bool(a_tensor("is_nonzero", input))


def numel(input) -> int:
    """The number of elements."""
    return a_tensor("numel", input).array.size


def result_type(tensor1, tensor2):
    """The dtype of the sum of two operands, Tensors or numbers."""
    kinds = [
        (np.dtype(x.array.dtype), x.array.ndim == 0) if isinstance(x, Tensor) else type(x) for x in (tensor1, tensor2)
    ]
    for kind in kinds:
        if not isinstance(kind, tuple) and kind not in (float, int, bool):
            raise TypeError(f"result_type: expected Tensors or numbers, got {kind.__name__}")
    return as_dtype(_result_type(tuple(kinds), False, mode.dtype))


def promote_types(type1, type2):
    """The smallest dtype that both can be cast to without loss of kind."""
    pair = tuple([(as_dtype(t).dtype, False) for t in (type1, type2)])
    return as_dtype(_result_type(pair, False, mode.dtype))


def can_cast(from_, to) -> bool:
    """Whether one dtype may be stored in another in place: not floating point in integers, nor numbers in bools."""
    rank = "buif"
    source, target = (as_dtype(d).dtype.kind for d in (from_, to))
    return rank.index(source) <= rank.index(target) or (source, target) == ("i", "u")


# of dtypes that no tensor has: bits, eps, max, tiny, resolution; and the dtype of a complex one's parts
_OTHERS = {
    bfloat16: (16, 2.0**-7, (2.0 - 2.0**-7) * 2.0**127, 2.0**-126, 0.01),
    float8_e4m3fn: (8, 0.125, 448.0, 2.0**-6, 1.0),
    float8_e5m2: (8, 0.25, 57344.0, 2.0**-14, 1.0),
}
_PARTS = {complex32: float16, complex64: float32, complex128: float64}


class finfo:
    """What a floating-point dtype can hold: eps, max, min (the lowest), tiny, smallest_normal, resolution, bits.

    >>> finfo(minidl.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type=None) -> None:
        if type in _OTHERS:
            self.dtype, (self.bits, self.eps, self.max, self.tiny, self.resolution) = type.name, _OTHERS[type]
            self.min, self.smallest_normal = -self.max, self.tiny
            return
        kind = mode.dtype if type is None else _PARTS.get(type) or as_dtype(type)
        if not kind.is_floating_point:
            raise TypeError(f"finfo: expected a floating-point dtype, got {kind!r}; use iinfo")
        info: Any = np.finfo(kind.dtype)
        self.dtype, self.bits = kind.name, info.bits
        self.eps, self.max, self.min = builtins.float(info.eps), builtins.float(info.max), builtins.float(info.min)
        self.tiny = self.smallest_normal = builtins.float(info.tiny)
        self.resolution = builtins.float(f"1e-{info.precision}")

    def __repr__(self) -> str:
        values = ", ".join(f"{n}={getattr(self, n):g}" for n in "resolution min max eps smallest_normal tiny".split())
        return f"finfo({values}, dtype={self.dtype})"


class iinfo:
    """What an integer dtype can hold: min, max, bits.

    >>> iinfo(minidl.uint8).max
    255
    """

    def __init__(self, type) -> None:
        kind = as_dtype(type)
        if kind.dtype.kind not in "iu":
            raise TypeError(f"iinfo: expected an integer dtype, got {kind!r}")
        info = np.iinfo(kind.dtype)
        self.dtype, self.bits, self.min, self.max = kind.name, info.bits, int(info.min), int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
