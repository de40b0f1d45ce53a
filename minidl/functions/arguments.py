"""What the functions do with their arguments: NumPy's keywords, dimensions, dtypes, indices, and named results."""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

from ..backend import backend_of
from ..backend.dtypes import called, int64
from ..ops import elementwise as E
from ..ops import shape as S
from ..ops.shape import wrapped
from ..tensor import Tensor, wrap


def named(function):
    """The function with NumPy's `axis` and `keepdims` accepted beside PyTorch's `dim` and `keepdim`."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if kwargs:
            if "axis" in kwargs:
                kwargs["dim"] = kwargs.pop("axis")
            if "keepdims" in kwargs:
                kwargs["keepdim"] = kwargs.pop("keepdims")
        return function(*args, **kwargs)

    return call


def dims_of(dim):
    """None or an empty list means all dimensions."""
    return None if dim is None or dim == () or dim == [] else tuple(dim) if isinstance(dim, (list, tuple)) else dim


def a_tensor(name: str, x, argument: str = "input") -> Tensor:
    """x, which must be a Tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: {argument} must be a Tensor, got {type(x).__name__}")
    return x


def floating(name: str, input) -> None:
    """Refuse integers and bools."""
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"{name}: the input must be floating point, got {input.dtype}; use input.float()")


def added(input, dtype=None) -> Tensor:
    """The input in the dtype in which it is added and multiplied: integers and bools in int64."""
    if dtype is not None:
        return input.to(dtype)
    return input.to(int64) if input.array.dtype.kind in "biu" else input


def explained(function):
    """The function, which says what came in where a Tensor should have been; a call that is right costs nothing more.

    >>> explained(lambda input: input.array)([1, 2])
    Traceback (most recent call last):
    TypeError: <lambda>: expected a Tensor, got list [1, 2]
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            given = [error.obj, *args, *kwargs.values()] if error.name in _OF_TENSORS else [*args, *kwargs.values()]
            wrong = [
                x
                for x in given
                if x is None
                or isinstance(x, (list, tuple, str, dict))
                or (x is error.obj and isinstance(x, float | int))
            ]
            if not wrong:
                raise
            text = f"{function.__name__}: expected a Tensor, got {type(wrong[0]).__name__} {wrong[0]!r:.60}"
            raise TypeError(text) from None
        except TypeError as error:
            if kwargs.get("out") is not None and "'out'" in str(error):
                return stored(function.__name__, call(*args, **{k: v for k, v in kwargs.items() if k != "out"}), kwargs)
            if not str(error).startswith("expected an array"):  # what the backend says, which does not know who asked
                raise
            raise TypeError(f"{function.__name__}: {error}") from None

    vars(call)["raw"], call.__module__ = getattr(function, "raw", function), __package__
    return call


def stored(name: str, y, kwargs):
    """The results in the Tensors that `out=` names, which are not part of a graph."""
    results, outs = (y, kwargs["out"]) if isinstance(y, tuple) else ((y,), (kwargs["out"],))
    if any(r.requires_grad for r in results):
        raise RuntimeError(f"{name}: out= does not support gradients, but an argument requires one; use no_grad()")
    for out, r in zip(outs, results, strict=True):
        out.take_over(r)
    return kwargs["out"]


_OF_TENSORS = set("array shape ndim dtype device edge version is_floating_point to clamp detach requires_grad".split())


def sequence(name: str, tensors):
    """The list or tuple of Tensors, which must not be empty."""
    if not isinstance(tensors, (list, tuple)) or not tensors:
        raise TypeError(f"{name}: expected a non-empty list or tuple of Tensors, got {type(tensors).__name__}")
    for x in tensors:
        a_tensor(name, x, "each element")
    return tensors


def listed(values) -> tuple:
    """`f(1, 2)` and `f((1, 2))` mean the same."""
    return tuple(values[0]) if len(values) == 1 and not isinstance(values[0], int) else tuple(values)


def dimension(name: str, input, dim) -> int:
    """`dim` counted from the front; a 0-d tensor has the dimensions 0 and -1."""
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{name}: dim must be an integer, got {dim!r}")
    return wrapped(dim.__index__(), max(input.array.ndim, 1), name)


def places(name: str, index, size: int | None = None):
    """The array of an integer Tensor; on the CPU every entry must lie in [0, size)."""
    array = a_tensor(name, index, "index").array
    if array.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: index must hold integers (int64), got {index.dtype}")
    if size is not None:
        backend_of(array).check_index(array, size, name)
    return array


def watched(y: Tensor, *indices) -> Tensor:
    """y, whose node knows the Tensors among the indices: its vjp reads them too, so they must not change."""
    if y.edge is not None and not isinstance(y.edge, tuple):
        y.edge.cells.extend([i.version for i in indices if isinstance(i, Tensor) and i.version is not None])
    return y


def counting(like: Tensor, n: int) -> Any:
    """The array 0 ... n-1 on the device of `like`."""
    return backend_of(like.array).arange(n)


def lattice(x: Tensor, start: tuple, size: tuple, steps: tuple) -> Tensor:
    """The view y of x with y[i, j ...] = x at the place start + i steps[0] + j steps[1] ... (a number for each of x's
    dimensions)."""
    index = []
    for d, first in enumerate(start):
        at = counting(x, 1).reshape((1,) * len(size)) + first
        for j, (n, step) in enumerate(zip(size, steps, strict=True)):
            if step[d]:
                at = at + (counting(x, n) * step[d]).reshape((-1,) + (1,) * (len(size) - j - 1))
        index.append(at)
    index[0] = backend_of(x.array).broadcast_to(index[0], size)  # also along dimensions with steps of nought
    return S.lattice(x, index=tuple(index), start=start, size=size, steps=steps)


def separate(y: Tensor, x: Tensor) -> Tensor:
    """y, copied if it lies on the memory of x: a function that mostly copies has no views of its input."""
    return E.identity(y) if backend_of(x.array).may_share_memory(y.array, x.array) else y


def constant(array) -> Tensor:
    """A Tensor without a gradient."""
    return wrap(array)


# ------------------------------------------------------------------------------------------------- named results
RESULTS: dict[str, Any] = {}


def _result(name: str, values: tuple):
    return RESULTS[name](*values)


def _text(self) -> str:
    inside = ",\n".join([f"{f}={v!r}" for f, v in zip(self._fields, self, strict=True)])
    return f"{called.name}.return_types.{type(self).__name__}(\n{inside})"


def _parts(self):
    return _result, (type(self).__name__, tuple(self))


def result(name: str, fields: str = "values indices") -> Any:
    """The named tuple that the function `name` returns; it prints as PyTorch's, and can be pickled."""
    made: Any = type(name, (namedtuple(name, fields),), {"__slots__": (), "__repr__": _text, "__reduce__": _parts})
    RESULTS[name] = made
    return made
