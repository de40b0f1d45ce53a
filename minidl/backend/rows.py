"""Arrays of which only some rows are stored, the others being zero: the gradients of large tables.

It is an array type like the two others, with a Backend of its own that knows copies, sums and little else, so that the
engine hands such gradients around without knowing them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import BACKENDS, backend_of


class RowArray:
    """An array of `shape` (V, ...): zero, but for some rows, whose values add up where a row comes more than once.

    rows: integers (n,) in [0, V). values: (n, ...), in their order. They are summed, in a fixed order, when sums are
    asked for; until then this is a list of what was added.
    """

    __array_ufunc__ = None  # `ndarray + RowArray` is ours
    __slots__ = ("shape", "dtype", "coalesced", "_parts")
    base = None  # nobody else's memory
    kind = "row-sparse "  # for error messages

    def __init__(self, rows, values, shape, coalesced: bool = False) -> None:
        self.shape, self.dtype, self.coalesced = tuple(shape), values.dtype, coalesced
        self._parts = [(rows, values)]

    # what is stored
    def stored(self) -> tuple[Any, Any]:
        """The rows and their values, as they were added."""
        if len(self._parts) > 1:
            B = backend_of(self._parts[0][1])
            rows, values = zip(*self._parts, strict=True)
            self._parts = [(B.concatenate(rows), B.concatenate(values))]
        return self._parts[0]

    @property
    def rows(self):
        """The numbers of the rows."""
        return self.stored()[0]

    @property
    def values(self):
        """The values of these rows."""
        return self.stored()[1]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements, with those that are not stored."""
        return int(np.prod(self.shape))

    def __getattr__(self, name: str):
        raise AttributeError(f"a row-sparse array has no '{name}'; use to_dense(), or coalesce() and values()")

    def __repr__(self) -> str:
        return f"RowArray(rows={self.rows!r}, values={self.values!r}, shape={self.shape})"

    # sums
    def totals(self) -> tuple[Any, Any]:
        """Rows in ascending order, each with its sum. On a GPU a row may come several times, each time with its sum.

        So nothing has to wait for the GPU: how many different rows there are would have to be read from there.
        """
        return self._sums()[:2]

    def _sums(self) -> tuple[Any, Any, Any]:
        rows, values = self.stored()
        if self.coalesced:
            return rows, values, None
        return backend_of(values).sum_rows(rows, values, size=self.shape[0])

    def condensed(self):
        """The values with repeated rows summed (on a GPU: at the last place of each; zeros remain at the others).

        What is computed from the elements of the whole array and ignores zeros, such as a norm, can be computed from
        these; nothing waits for the GPU.
        """
        if not self.coalesced:
            rows, values, last = self._sums()
            if last is not None:
                values = backend_of(values).where(_beside(last, values), values, 0.0)
            self._parts, self.coalesced = [(rows, values)], last is None
        return self.values

    def coalesce(self) -> RowArray:
        """One that has every row at most once, in ascending order (waits for the GPU); itself if it has."""
        if self.coalesced:
            return self
        rows, values, last = self._sums()
        return RowArray(*((rows, values) if last is None else (rows[last], values[last])), self.shape, True)

    def dense(self):
        """The ordinary array of these values."""
        rows, values = self.totals()
        y = backend_of(values).zeros(self.shape, dtype=self.dtype)
        y[rows] = values
        return y

    # changes
    def apply_(self, function: Callable) -> RowArray:
        """In place, the values after the elementwise `function` of their sums; function(0) must be 0."""
        self._parts = [(self.rows, self._like(function(self.condensed())))]
        return self

    def scale_(self, factor) -> RowArray:
        """In place, `factor` (a number, or an array with one element) times the values."""
        self._parts = [(rows, self._like(values * factor)) for rows, values in self._parts]
        return self

    def _like(self, values):
        return values if values.dtype == self.dtype else backend_of(values).astype(values, dtype=self.dtype)

    def _added(self, other: RowArray) -> None:
        self._parts += [(rows, backend_of(values).copy(values)) for rows, values in other._parts]
        self.coalesced = False

    def __setitem__(self, index, value) -> None:
        if index is not Ellipsis or not (value.__class__ is RowArray or (np.isscalar(value) and value == 0)):
            raise TypeError("a row-sparse array can be set as a whole only, to zero or to another one: use to_dense()")
        if value.__class__ is RowArray:
            value = BACKENDS[RowArray].astype(value, self.dtype)
        else:
            rows, values = self.stored()
            value = RowArray(rows[:0], values[:0], self.shape, True)
        self._parts, self.coalesced = value._parts, value.coalesced

    # arithmetic
    def __add__(self, other):
        if other.__class__ is RowArray:
            y = BACKENDS[RowArray].copy(self)
            y._added(other)
            return y
        if other.__class__ is not self.values.__class__:
            return NotImplemented
        y = backend_of(other).copy(other)
        BACKENDS[RowArray].iadd(y, self)
        return y

    __radd__ = __add__
    __imul__ = scale_

    def __mul__(self, factor):
        if getattr(factor, "ndim", 0):
            raise TypeError("a row-sparse array can be multiplied by numbers only: use to_dense()")
        return BACKENDS[RowArray].copy(self).scale_(factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor):
        return self * (1.0 / divisor)

    def __neg__(self):
        return self * -1.0


def _beside(mask, values):
    """A mask of rows, to be broadcast over their values."""
    return mask.reshape((-1,) + (1,) * (values.ndim - 1))


class RowBackend:
    """What `backend_of` gives for a RowArray: the few functions that make sense without the rows that are not there."""

    name = "rows"

    def device_of(self, x):
        """The device on which the values are."""
        return backend_of(x.values).device_of(x.values)

    def copy(self, x):
        """A copy of x."""
        return RowArray(x.rows, backend_of(x.values).copy(x.values), x.shape, x.coalesced)

    def astype(self, x, dtype):
        """A copy of x in another dtype."""
        return RowArray(x.rows, backend_of(x.values).astype(x.values, dtype=dtype), x.shape, x.coalesced)

    def transfer(self, x, device, non_blocking=False):
        """The array on another device."""
        rows, values = [backend_of(a).transfer(a, device, non_blocking) for a in (x.rows, x.values)]
        return RowArray(rows, values, x.shape, x.coalesced)

    def iadd(self, x, y) -> None:
        """x += y in place, for a RowArray y."""
        if x.__class__ is RowArray:
            x._added(y)
        else:
            rows, values = y.totals()
            x[rows] = x[rows] + values

    def to_host(self, x):
        """Raise: it is no NumPy array."""
        raise TypeError("a row-sparse tensor cannot be converted to a NumPy array, or saved; use to_dense() first")

    def isfinite(self, x):
        """Whether they are finite, for the values that are stored."""
        return backend_of(x.values).isfinite(x.values)

    def isnan(self, x):
        """Whether they are nan, for the values that are stored."""
        return backend_of(x.values).isnan(x.values)

    def all(self, x):
        """Whether all are true."""
        return backend_of(x).all(x)

    def any(self, x):
        """Whether any is true."""
        return backend_of(x).any(x)

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        raise TypeError(f"'{name}' is not supported for row-sparse tensors; use to_dense(), or coalesce() and values()")


BACKENDS[RowArray] = RowBackend()


def row_gradient(g, index, shape, skip=None):
    """Zeros of `shape` to whose rows `index` g is added, as a RowArray; the row `skip` is left out (a GPU waits)."""
    B = backend_of(g)
    rows = B.astype(index.reshape(-1), dtype=np.int64)
    values = g.reshape((rows.size, *shape[1:]))
    if skip is None:
        return RowArray(rows, B.copy(values), shape)
    kept = rows != skip
    return RowArray(rows[kept], values[kept], shape)


def values_of(array):
    """The values of the rows of a RowArray, repeated ones summed; any other array itself."""
    return array.condensed() if array.__class__ is RowArray else array
