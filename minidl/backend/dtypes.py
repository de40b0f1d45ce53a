"""The element types, under PyTorch's names: small objects that NumPy and CuPy accept wherever they take a dtype."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np


class called:
    """What the package calls itself in texts such as "minidl.float32"; `compat` changes it."""

    name = "minidl"


class dtype:
    """An element type such as `minidl.float32`; equal to, and usable in place of, the NumPy dtype of that name.

    >>> float32.itemsize, float32.is_floating_point, str(float32), float32 == np.float32
    (4, True, 'minidl.float32', True)
    """

    __slots__ = ("dtype", "name", "itemsize", "is_floating_point", "is_complex", "is_signed")

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(name)  # NumPy and CuPy read this attribute
        self.name = name
        self.itemsize = self.dtype.itemsize
        self.is_floating_point = self.dtype.kind == "f"
        self.is_complex = self.dtype.kind == "c"
        self.is_signed = self.dtype.kind in "ifc"

    def __eq__(self, other: Any) -> bool:
        try:
            return other is not None and self.dtype == np.dtype(other)
        except TypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"{called.name}.{self.name}"

    def __reduce__(self):
        return as_dtype, (self.name,)  # one object per type, also in another process


float16, float32, float64 = dtype("float16"), dtype("float32"), dtype("float64")
uint8, int8, int16, int32, int64 = dtype("uint8"), dtype("int8"), dtype("int16"), dtype("int32"), dtype("int64")
bool_ = dtype("bool")
half, float_, double, short, int_, long = float16, float32, float64, int16, int32, int64


class _Unheld(dtype):
    """A dtype of PyTorch's that no Tensor has: it can be compared, hashed and asked, but not used for data."""

    __slots__ = ("instead",)
    TRAITS = ("name", "itemsize", "is_floating_point", "is_complex", "is_signed", "instead")

    def __init__(self, *traits) -> None:  # the attribute `dtype` stays without a value
        for trait, value in zip(self.TRAITS, traits, strict=True):
            setattr(self, trait, value)

    def __getattr__(self, attribute: str):  # NumPy asks for `dtype` when it is to make an array
        if attribute == "dtype":
            raise TypeError(f"dtype: minidl has no {self.name} data; {self.instead}")
        raise AttributeError(f"dtype {self.name} has no attribute {attribute!r}")

    def __eq__(self, other: Any) -> bool:
        return self is other

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self):
        return _unheld, (self.name,)


def _unheld(name: str) -> dtype:
    return UNHELD[name]


_REAL, _WIDER = "keep real and imaginary parts as two float32 tensors", "use int64"
_SMALL = "NumPy and CuPy have none; use float32"
UNHELD = {
    traits[0]: _Unheld(*traits)
    for traits in (
        ("bfloat16", 2, True, False, True, _SMALL),
        ("float8_e4m3fn", 1, True, False, True, _SMALL),
        ("float8_e5m2", 1, True, False, True, _SMALL),
        ("complex32", 4, False, True, True, _REAL),
        ("complex64", 8, False, True, True, _REAL),
        ("complex128", 16, False, True, True, _REAL),
        ("uint16", 2, False, False, False, _WIDER),
        ("uint32", 4, False, False, False, _WIDER),
        ("uint64", 8, False, False, False, _WIDER),
    )
}
bfloat16, complex32, complex64, complex128 = (UNHELD[n] for n in ("bfloat16", "complex32", "complex64", "complex128"))
float8_e4m3fn, float8_e5m2 = UNHELD["float8_e4m3fn"], UNHELD["float8_e5m2"]
uint16, uint32, uint64 = UNHELD["uint16"], UNHELD["uint32"], UNHELD["uint64"]
chalf, cfloat, cdouble = complex32, complex64, complex128

_BY_NUMPY = {d.dtype: d for d in (float16, float32, float64, uint8, int8, int16, int32, int64, bool_)}
_BY_PYTHON = {float: float64, int: int64, bool: bool_}


def as_dtype(spec) -> dtype:
    """The `dtype` for a dtype of ours, a NumPy dtype, a name, or Python's `float` (float64), `int` (int64), `bool`."""
    if type(spec) is dtype:
        return spec
    if spec is None:
        raise TypeError("dtype: expected a dtype, got None")
    if isinstance(spec, _Unheld):
        raise TypeError(f"dtype: minidl has no {spec.name} data; {spec.instead}")
    if isinstance(spec, type) and spec in _BY_PYTHON:
        return _BY_PYTHON[spec]
    try:
        return _BY_NUMPY[np.dtype(spec)]
    except (TypeError, KeyError):
        names = ", ".join(d.name for d in _BY_NUMPY.values())
        raise TypeError(f"dtype: {spec!r} is not supported; minidl has {names}") from None


_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def _join(a: np.dtype, b: np.dtype) -> np.dtype:
    difference = _CATEGORY[a.kind] - _CATEGORY[b.kind]
    return np.promote_types(a, b) if difference == 0 else a if difference > 0 else b


@functools.lru_cache(maxsize=4096)
def result_type(kinds: tuple, floating: bool, default: dtype) -> np.dtype:
    """PyTorch's result type of operands given as `(NumPy dtype, is 0-d)` or, for Python scalars, their type.

    Arrays decide; 0-d arrays, and after them scalars, count only if their category (bool < integer < floating) is
    higher. floating: an integer result becomes the default dtype.

    >>> f4, i8 = np.dtype("float32"), np.dtype("int64")
    >>> result_type(((f4, False), (i8, False)), False, float32), result_type(((i8, False), float), False, float32)
    (dtype('float32'), dtype('float32'))
    """
    levels: list[np.dtype | None] = [None, None, None]
    for kind in kinds:
        if isinstance(kind, tuple):
            found, level = kind
        else:
            found, level = _BY_PYTHON[kind].dtype if kind is not float else default.dtype, 2
        earlier = levels[int(level)]
        levels[int(level)] = found if earlier is None else _join(earlier, found)
    result = None
    for found in levels:
        if found is not None and (result is None or _CATEGORY[found.kind] > _CATEGORY[result.kind]):
            result = found
    assert result is not None, "at least one operand"
    return default.dtype if floating and result.kind != "f" else result
