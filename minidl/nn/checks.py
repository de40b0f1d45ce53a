"""What layers and losses ask of their arguments, and the errors that say what came instead."""

from __future__ import annotations

import numpy as np

from .. import functions as F
from ..backend import ArgumentError
from ..modes import mode
from ..tensor import Tensor


class DtypeError(TypeError, RuntimeError):
    """A Tensor of a wrong dtype: a TypeError, as in Python, and a RuntimeError, as in PyTorch."""


def ints(value, count: int, name: str, where: str, low: int = 1) -> tuple[int, ...]:
    """An int, or `count` of them (at most six), as `count`; each at least `low`."""
    if value.__class__ is int and value >= low:
        return (value,) * count
    if value.__class__ is tuple and len(value) == count:  # what a layer has checked already, and is quick to see
        for v in value:
            if v.__class__ is not int or v < low:
                break
        else:
            return value
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    given = given * count if len(given) == 1 else given
    if len(given) != count or any(not isinstance(v, (int, np.integer)) or isinstance(v, bool) for v in given):
        several = f" or {('two', 'three', 'four', 'five', 'six')[count - 2]} ints" if count > 1 else ""
        raise TypeError(f"{where}: {name} must be an int{several}, got {value!r}")
    if min(given) < low:
        raise ArgumentError(f"{where}: {name} must be at least {low}, got {value!r}")
    return tuple([int(v) for v in given])


def pair(value, name: str, where: str, low: int = 1) -> tuple[int, int]:
    """An int, or two, as two; each at least `low`."""
    first, second = ints(value, 2, name, where, low)
    return first, second


def number(value, name: str, where: str):
    """value, which must be an int or a float."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}")
    return value.item() if isinstance(value, np.generic) else value


def probability(p, where: str):
    """p, which must be a number between 0 and 1."""
    if not 0 <= number(p, "p", where) <= 1:
        raise ArgumentError(f"{where}: p must be between 0 and 1, got {p}")
    return p


def positive(where: str, **values) -> None:
    """Check that each value is an int of at least 1."""
    for name, value in values.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{where}: {name} must be an int, got {value!r}")
        if value < 1:
            raise ArgumentError(f"{where}: {name} must be at least 1, got {value}")


def a_tensor(x, where: str, name: str = "input") -> Tensor:
    """x, which must be a Tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{where}: {name} must be a Tensor, got {type(x).__name__}")
    return x


def floating(x, where: str, name: str = "input") -> Tensor:
    """x, which must be a floating-point Tensor."""
    if a_tensor(x, where, name).array.dtype.kind != "f":
        raise DtypeError(f"{where}: {name} must be floating point, got {x.dtype}; use {name}.float()")
    return x


def same_dtype(x, weight, where: str) -> None:
    """Input and weight must have one dtype: silently computing a float64 batch in float64 would be slow.

    Under autocast the op that follows brings them to one.
    """
    if a_tensor(x, where).array.dtype != a_tensor(weight, where, "weight").array.dtype and mode.autocast is None:
        raise DtypeError(
            f"{where}: input is {x.dtype}, weight is {weight.dtype}; cast one, as in input.to(weight.dtype)"
        )


def images(x: Tensor, where: str) -> tuple[Tensor, bool]:
    """x as (N, C, H, W), and whether it came as one image (C, H, W)."""
    if a_tensor(x, where).array.ndim == 4:
        return x, False
    if x.array.ndim != 3:
        raise ArgumentError(f"{where}: expected input (N, C, H, W) or (C, H, W), got {tuple(x.shape)}")
    return F.unsqueeze(x, 0), True


def lines(x: Tensor, where: str) -> tuple[Tensor, bool]:
    """x (N, C, L) as images of one row (N, C, 1, L), and whether it came as one line (C, L)."""
    if a_tensor(x, where).array.ndim not in (2, 3):
        raise ArgumentError(f"{where}: expected input (N, C, L) or (C, L), got {tuple(x.shape)}")
    single = x.array.ndim == 2
    return F.unsqueeze(F.unsqueeze(x, 0) if single else x, 2), single


def volumes(x: Tensor, where: str) -> tuple[Tensor, bool]:
    """x as (N, C, D, H, W), and whether it came as one volume (C, D, H, W)."""
    if a_tensor(x, where).array.ndim == 5:
        return x, False
    if x.array.ndim != 4:
        raise ArgumentError(f"{where}: expected input (N, C, D, H, W) or (C, D, H, W), got {tuple(x.shape)}")
    return F.unsqueeze(x, 0), True
