"""Sizes that stay open: several recordings of one model at different sizes, as one graph with formulas in it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..nn import Module
from ..tensor import wrap
from .trace import Call, Known, Recording, Ref, TraceError, each, record, same_draws, tensors


@dataclass(frozen=True)
class Dim:
    """A whole number that depends on open sizes: the sum of `terms`, (names of sizes that are multiplied, factor)."""

    terms: tuple[tuple[tuple[str, ...], int], ...]

    def text(self) -> str:
        """As a formula in Python."""
        parts = [" * ".join([*names, *([str(k)] if k != 1 or not names else [])]) for names, k in self.terms]
        return " + ".join(parts)


@dataclass(frozen=True)
class Unclear:
    """Something that changes with an open size in a way that is no formula here, or with the values."""

    seen: tuple


@dataclass(frozen=True)
class Filled:
    """A constant array that is the same along its open axes: `array` has length 1 there; `shape` is the whole."""

    array: np.ndarray
    shape: tuple


@dataclass(frozen=True)
class Counted:
    """The numbers start, start + step ..., as many as `size` says, along the one axis of `shape` that is not 1."""

    start: Any
    step: Any
    size: Any
    dtype: np.dtype
    shape: tuple


@dataclass(frozen=True)
class Prefix:
    """The first elements of a parameter along its axes, such as the positions of a shorter sequence."""

    array: np.ndarray
    shape: tuple


@dataclass(frozen=True)
class Banded:
    """A matrix such as a causal mask: `above` where column - row > offset, else `below`; `shape` may be open."""

    above: Any
    below: Any
    offset: int
    shape: tuple
    dtype: np.dtype


@dataclass
class Graph:
    """A recording whose shapes, static arguments and constants hold for all open sizes.

    `shapes` and `dtypes` are those of every value, `names` says which parameter or buffer an array is, `open` where
    each open size is to be found: (number of the input, axis).
    """

    inputs: list[int]
    calls: list[Call]
    outputs: list
    shapes: list[tuple]
    dtypes: list[np.dtype]
    names: dict[int, str] = field(default_factory=dict)
    open: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: list = field(default_factory=list)  # arrays whose identity is in `names`


def _sizes(n: int) -> tuple[int, int, int]:
    """Three sizes to record at; smaller ones where that leaves some, since a table may have no more places."""
    return (n, n - 1, n - 3) if n >= 5 else (2, 3, 5)


def _resized(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    return np.take(array, np.arange(size) % array.shape[axis], axis=axis)


def _varied(array: np.ndarray) -> np.ndarray:
    """Other values of the same kind: what follows from values shows itself."""
    array = np.flip(array)
    return array * 0.75 + np.asarray(0.125, array.dtype) if array.dtype.kind == "f" else array.copy()


def _at(model, flat, args, kwargs, known, open, symbols, sizes, varied: bool) -> Recording:
    """The recording at these sizes, of other values if `varied`."""
    arrays = [np.array(t.array) for t in flat]
    for symbol, size in zip(symbols, sizes, strict=True):
        for i, axis in open[symbol]:
            arrays[i] = _resized(arrays[i], axis, size)
    queue = iter([_varied(a) for a in arrays] if varied else arrays)
    given, more = each((args, kwargs), lambda t: wrap(next(queue)).requires_grad_(t.requires_grad))
    return record(model, given, known, more)


def trace(
    model: Module,
    args: tuple,
    known: Known,
    open: Mapping[str, Sequence[tuple[int, int]]],
    kwargs: dict | None = None,
) -> Graph:
    """The graph of `model(*args, **kwargs)` in eval mode.

    open: for each size that is to stay open its name and the (input, axis) pairs that have it, counting the Tensors
    in args and kwargs. The model is recorded at several sizes and with several values; what differs must be a formula.

    Raises:
        TraceError: the model cannot be said as a list of ops; a size or value was fixed on the way that is not.
    """
    symbols = list(open)
    if len(symbols) > 3:
        raise TraceError(f"at most 3 sizes can stay open, got {len(symbols)}: {', '.join(symbols)}")
    flat = tensors((args, kwargs or {}))
    if any(t.device.type != "cpu" for t in (*flat, *model.parameters(), *model.buffers())):
        raise TraceError("the model or its inputs are on a GPU; bring both back first: model.cpu()")
    choices = [_sizes(flat[open[s][0][0]].shape[open[s][0][1]]) for s in symbols]
    corners = list(itertools.product(*[(0, 1)] * len(symbols)))
    places = [tuple(c[i] for c, i in zip(choices, corner, strict=True)) for corner in corners]
    places.append(tuple(c[2] for c in choices))  # to check the formulas by
    found = []
    with same_draws(model):  # but not those of one recording as those of the next: what is random shows itself
        for k, sizes in enumerate(places):
            found.append(_at(model, flat, args, kwargs or {}, known, open, symbols, sizes, k == len(places) - 1))
    names: dict[int, str] = {}
    kept: list = []
    for source in (model.named_parameters(), model.named_buffers()):
        for name, t in source:
            names.setdefault(id(t.array), name)
            kept.append(t.array)
    return _Merge(symbols, places, names, kept).graph(found, open)


class _Merge:
    """Finds what is the same in several recordings, and formulas for what is not."""

    def __init__(self, symbols: list[str], places: list[tuple[int, ...]], names: dict[int, str], kept: list) -> None:
        self.names, self.kept = names, kept
        self.products = [c for r in range(len(symbols) + 1) for c in itertools.combinations(range(len(symbols)), r)]
        self.terms = [tuple(symbols[i] for i in product) for product in self.products]
        rows = [[np.prod([p[i] for i in product]) for product in self.products] for p in places]
        self.matrix = np.array(rows, dtype=np.float64)

    def graph(self, found: list[Recording], open: Mapping) -> Graph:
        """The recordings as one."""
        first = found[0]
        for other in found[1:]:
            for a, b in itertools.zip_longest(first.calls, other.calls):
                if a is None or b is None or (a.op, a.path, a.outputs) != (b.op, b.path, b.outputs):
                    at = a or b
                    raise TraceError(
                        f"which ops run depends on the input or on a size that shall stay open (from {at.op} in "
                        f"'{at.path}' on)"
                    )
        calls = []
        for same in zip(*[r.calls for r in found], strict=True):
            inputs = self.any([tuple(c.inputs) for c in same])
            if isinstance(inputs, Unclear):
                raise TraceError(f"{same[0].op} in '{same[0].path}': its inputs are not the same at all sizes")
            static = {key: self.any([c.static[key] for c in same]) for key in same[0].static}
            calls.append(Call(same[0].op, list(inputs), static, same[0].outputs, same[0].path))
        shapes = [self.any(list(vs)) for vs in zip(*[[v[0] for v in r.values] for r in found], strict=True)]
        outputs = list(self.any([tuple(r.outputs) for r in found]))
        dtypes = [v[1] for v in first.values]
        where = {symbol: places[0] for symbol, places in open.items()}
        return _pruned(Graph(first.inputs, calls, outputs, shapes, dtypes, self.names, where, self.kept))

    def any(self, seen: list) -> Any:
        """One value for all recordings."""
        a = seen[0]
        if any(type(v) is not type(a) for v in seen):
            return Unclear(tuple(seen))
        if isinstance(a, (tuple, list)):
            if any(len(v) != len(a) for v in seen):
                return Unclear(tuple(seen))
            return tuple(self.any(list(vs)) for vs in zip(*seen, strict=True))
        if isinstance(a, slice):
            return slice(*(self.any([getattr(v, end) for v in seen]) for end in ("start", "stop", "step")))
        if isinstance(a, np.ndarray):
            return a if id(a) in self.names and all(v is a for v in seen) else self.constant(seen)
        if all(v == a or v is a for v in seen):
            return a
        if isinstance(a, float) and all(isinstance(v, float) and v != v for v in seen):
            return a
        return self.dim(seen) if type(a) is int else Unclear(tuple(seen))

    def dim(self, seen: list[int]) -> Any:
        """Whole numbers as a sum of products of the open sizes, if that is what they are."""
        n = len(self.products)
        factors = np.rint(np.linalg.solve(self.matrix[:n], np.array(seen[:n], dtype=np.float64)))
        if (self.matrix @ factors != np.array(seen)).any():
            return Unclear(tuple(seen))
        return Dim(tuple([(t, int(k)) for t, k in zip(self.terms, factors, strict=True) if k]))

    def constant(self, seen: list[np.ndarray]) -> Any:
        """Arrays that were made on the way: equal, or the same along every axis that differs, or counted."""
        a = seen[0]
        if any(v.dtype != a.dtype or v.ndim != a.ndim for v in seen):
            return Unclear(("arrays",))
        if all(v.shape == a.shape for v in seen):
            if all(np.array_equal(v, a, equal_nan=a.dtype.kind == "f") for v in seen):
                return a
            raise TraceError(
                f"an array {a.shape} that a forward made outside the ops is another for another input: it is random, "
                "or follows from values that were read on the host"
            )
        shape = self.any([v.shape for v in seen])
        if isinstance(shape, Unclear) or any(isinstance(n, Unclear) for n in shape):
            return Unclear(("arrays",))
        cut = tuple(slice(0, 1) if isinstance(n, Dim) else slice(None) for n in shape)
        if all(np.array_equal(v, np.broadcast_to(a[cut], v.shape), equal_nan=a.dtype.kind == "f") for v in seen):
            return Filled(a[cut], shape)
        sizes = [n for n in shape if n != 1]
        if len(sizes) == 1 and a.dtype != np.bool_ and min(v.size for v in seen) > 1:
            start, step = a.flat[0], a.flat[1] - a.flat[0]
            if all(np.array_equal(v.reshape(-1), (start + step * np.arange(v.size)).astype(v.dtype)) for v in seen):
                return Counted(start.item(), step.item(), sizes[0], a.dtype, shape)
        for p in self.kept:
            if (
                p.dtype == a.dtype
                and p.ndim == a.ndim
                and all(v.shape <= p.shape for v in seen)
                and all(np.array_equal(v, p[tuple(slice(n) for n in v.shape)]) for v in seen)
            ):
                return Prefix(p, shape)
        return self.banded(seen, shape) or Unclear(("arrays",))

    def banded(self, seen: list[np.ndarray], shape: tuple) -> Banded | None:
        """Matrices with one value above a diagonal and another one below."""
        a = seen[0]
        if a.ndim < 2 or not a.size:
            return None
        flat = a[(0,) * (a.ndim - 2)]
        above, below = flat[0, -1], flat[-1, 0]
        offset = int(np.argmax(flat[0] == above)) - 1
        for v in seen:
            rows, columns = np.ogrid[: v.shape[-2], : v.shape[-1]]
            if not (v == np.where(columns - rows > offset, above, below)).all():
                return None
        return Banded(above.item(), below.item(), offset, shape, a.dtype)


def refs(x: Any) -> list[int]:
    """The numbers of the results that x refers to."""
    if isinstance(x, Ref):
        return [x.number]
    return [n for v in x for n in refs(v)] if isinstance(x, (tuple, list)) else []


def used(call: Call) -> list[int]:
    """The values that an op takes."""
    return refs(call.inputs) + refs(tuple(call.static.values()))


def _pruned(graph: Graph) -> Graph:
    """Without ops whose results nobody takes."""
    needed, calls = set(refs(graph.outputs)), []
    for call in reversed(graph.calls):
        if needed.intersection(call.outputs):
            needed.update(used(call))
            calls.append(call)
    graph.calls = calls[::-1]
    return graph
