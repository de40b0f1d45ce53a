"""The operators and methods of the stand-in's array: those that CuPy has, made of NumPy's."""

from __future__ import annotations

import numpy as np

from .arrays import NAMES, SCALARS, bare, made, ndarray
from .counts import launch
from .functions import adapt


def _defers(other) -> bool:
    """Whether CuPy leaves an operator to the other operand: `__array_ufunc__` None, or higher priority."""
    try:
        return other.__array_ufunc__ is None
    except AttributeError:
        return getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


def _binary(ufunc, reflected: bool):
    name = ufunc.__name__

    def operator(self, other):
        if type(other) is not ndarray and not isinstance(other, SCALARS) and _defers(other):
            return NotImplemented
        a, b = bare(self), bare(other)
        return made(name, lambda: ufunc(b, a) if reflected else ufunc(a, b))

    return operator


def _in_place(ufunc):
    name = ufunc.__name__

    def operator(self, other):
        a, b = bare(self), bare(other)  # no deferring: CuPy hands the operand to its kernel, which refuses it

        def run() -> None:
            with np.errstate(all="ignore"):
                ufunc(a, b, out=a)

        launch(name, run)
        return self

    return operator


def _unary(ufunc):
    def operator(self):
        a = bare(self)
        return made(ufunc.__name__, lambda: ufunc(a))

    return operator


def _complete() -> None:
    """Give `ndarray` its operators and methods, as far as CuPy has them: there is no __imatmul__."""
    binary = dict(
        add="add", sub="subtract", mul="multiply", truediv="divide", floordiv="floor_divide", mod="remainder",
        pow="power", divmod="divmod", matmul="matmul", lshift="left_shift", rshift="right_shift",
        xor="bitwise_xor", eq="equal", ne="not_equal", lt="less", le="less_equal", gt="greater",
        ge="greater_equal", **{"and": "bitwise_and", "or": "bitwise_or"},
    )  # fmt: skip
    unary = dict(neg="negative", pos="positive", abs="absolute", invert="invert")
    made = {f"__{n}__": _unary(getattr(np, u)) for n, u in unary.items()}
    for n, u in binary.items():
        ufunc = getattr(np, u)
        made |= {
            f"__{n}__": _binary(ufunc, False),
            f"__r{n}__": _binary(ufunc, True),
            f"__i{n}__": _in_place(ufunc),
        }
    for n, operator in made.items():
        if n in NAMES["operators"]:
            setattr(ndarray, n, operator)
    methods = (
        "all any argmax argmin argpartition argsort byteswap clip compress conj conjugate cumprod cumsum "
        "diagonal dot flatten max mean min nonzero partition prod ptp ravel repeat reshape round "
        "searchsorted sort squeeze std sum swapaxes take trace transpose var"
    )
    for n in methods.split():
        function = getattr(np.ndarray, n, None) or getattr(np, n)
        params = ["self", *NAMES["ndarray"][n]]
        waits = n in ("nonzero", "compress")  # for the number of elements of the result
        setattr(ndarray, n, adapt(n, function, params, where="ndarray", sync=waits))


_complete()
