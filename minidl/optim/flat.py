"""How an update reaches the parameters: many at once, side by side in one buffer, or one tensor at a time.

Both give the same numbers. What counts is `p.array` and `optimizer.state[p]`; everything here is a cache of them that
notices when they were replaced and is then made anew.
"""

from __future__ import annotations

import itertools
import sys
from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter, is_
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import modes
from ..backend import BACKENDS, CAPTURES, backend_of
from ..backend.host import team
from ..backend.rows import RowArray
from ..tensor import Tensor, describe, wrap

SLICE = 65536  # elements updated at a time, so that temporaries stay in the cache; with fewer, the calls are too short
TOGETHER = 1 << 20  # elements from which on threads share an update: one alone does not use up the memory's speed
LONGER = 4  # slices then are so many times as long, for while one thread is in Python the other cannot be
ALIGNMENT = 64  # bytes at whose multiples a parameter begins: a cache line, and the widest vector register
RETRY = 8  # steps after which parameters that could not be moved are looked at again; doubled each time

_array, _grad = attrgetter("array"), attrgetter("grad")


class Layout:
    """How the parameters of one group are updated: the units (`Flat` or `Single`) that together hold all of them."""

    def __init__(self, params: list[Tensor], rule, retry: int = RETRY) -> None:
        self.params = list(params)
        self.retry, self.steps, self.left = retry, 0, False  # left: some parameters were not free to be moved
        self.units: list[Flat | Single] = []
        movable: dict[tuple, list[Tensor]] = {}
        for i, p in enumerate(self.params):
            free, a = _is_free(p), p.array
            if p.grad is not None and (p.grad.array.shape != a.shape or p.grad.array.dtype != a.dtype):
                raise RuntimeError(
                    f"{type(rule).__name__}.step: parameter {i} is {describe(a)} and its gradient "
                    f"{describe(p.grad.array)}; after such a change call zero_grad() and backward() first"
                )
            B = backend_of(a)
            if not rule.elementwise or a.__class__ is not B.array_type or a.size == 0:
                self.units.append(Single(p))
            elif free:
                movable.setdefault((B.device_of(a), a.dtype), []).append(p)
            else:
                self.left = True
                self.units.append(FLAT[B.name]([p], move=False) if a.flags.c_contiguous else Single(p))
        for (device, _), ps in movable.items():
            self.units.append(FLAT[device.type](ps, move=len(ps) > 1 or not ps[0].array.flags.c_contiguous))
        self.arrays = [p.array for p in self.params]

    def is_current(self, params: list[Tensor]) -> bool:
        """Whether the group still has these parameters, and they still lie where they were put."""
        if self.left and self.steps == self.retry:
            return False
        same = len(params) == len(self.params) and all(map(is_, params, self.params))
        return same and all(map(is_, map(_array, params), self.arrays))

    def update(self, rule, h: SimpleNamespace) -> None:
        """Update every parameter that has a gradient."""
        self._check_kinds(rule, h)
        self.steps += 1
        wants, how = asked(rule, h)
        with np.errstate(all="ignore"):  # infinities go their way in silence, as in PyTorch; padding may well be 0 / 0
            for unit in self.units:
                unit.update(rule, h, wants, how)

    def _check_kinds(self, rule, h: SimpleNamespace) -> None:
        """Raise unless the rule takes gradients such as the parameters have: ordinary, or row-sparse."""
        name = type(rule).__name__
        kinds = {g.array.__class__ is RowArray for g in map(_grad, self.params) if g is not None}
        if False in kinds and not rule.dense:
            raise RuntimeError(f"{name} does not support dense gradients, please consider Adam instead")
        if True in kinds and rule.rows is None:
            others = "SparseAdam, Adagrad or SGD"
            raise RuntimeError(f"{name} does not support sparse gradients, please consider {others} instead")
        if True in kinds and getattr(h, "weight_decay", 0.0) != 0:
            raise RuntimeError(f"{name}: weight_decay option is not compatible with sparse gradients")


def asked(rule, h: SimpleNamespace) -> tuple[tuple, tuple]:
    """What the hyperparameters say about the state, and about the gradients and the parameters before the update."""
    # which arrays a rule's state has may depend on a flag, or on whether a hyperparameter is 0, not on its size
    wants = tuple([v if v.__class__ is str else bool(v) for v in vars(h).values()])
    decay = getattr(h, "weight_decay", 0) if rule.decay != "own" else 0
    decoupled = getattr(h, "decoupled_weight_decay", rule.decay == "decoupled")
    # whether to climb, how much of p to add to the gradient, and what to multiply p by
    shrink = 1 - h.lr * decay if decoupled and decay else 1
    return wants, (getattr(h, "maximize", False), 0 if decoupled else decay, shrink)


class _Unit:
    """What `Flat` and `Single` share: which arrays and which numbers the state of a parameter consists of."""

    wants: tuple | None = None
    arrays: dict[str, tuple]  # name -> shape, dtype
    numbers: dict[str, float]  # name -> its first value
    names: tuple[str, ...]  # of the numbers and, first of all, "step", stored or not
    by_rows: bool  # whether a row-sparse gradient changes its rows only; otherwise it is made dense

    def _ask(self, rule, p: Tensor, h, wants: tuple) -> None:
        example = rule.init(p.array, h)
        self.wants = wants
        self.numbers = {"step": 0.0} if rule.counted else {}
        self.numbers.update({k: v for k, v in example.items() if isinstance(v, (int, float))})
        self.arrays = {k: (v.shape, v.dtype) for k, v in example.items() if k not in self.numbers}
        self.names = ("step", *[name for name in self.numbers if name != "step"])
        self.by_rows = rule.rows is not None and set(self.arrays) <= set(rule.rows)


class Flat(_Unit):
    """Parameters of one dtype in one buffer on the host, each at a multiple of ALIGNMENT bytes; their state likewise.

    An update runs over slices of about SLICE elements, no matter whose they are. Gradients are not flat: a slice inside
    one parameter reads its gradient where it lies, a slice over several parameters gathers theirs first.
    move=False: one parameter, which stays where it is.
    """

    alignment = ALIGNMENT

    def __init__(self, params: list[Tensor], move: bool = True) -> None:
        self.params = params
        self.dtype = params[0].array.dtype
        self.lane = max(1, self.alignment // self.dtype.itemsize) if move else 1
        self.sizes = [p.array.size for p in params]
        room = [-(-size // self.lane) * self.lane for size in self.sizes]
        *self.starts, self.size = itertools.accumulate(room, initial=0)
        self.buffer = self._move() if move else params[0].array.reshape(-1)
        self.states: dict[str, Any] = {}  # a buffer for each array of the rule's state
        self.columns: dict[str, np.ndarray] = {}  # an element per parameter for each number in it
        self.cells: list[tuple | None] = []  # for each parameter its state: (key, the Tensor handed out, its array)
        self.version: list = [0]  # of all the Tensors handed out
        self.cuts: dict[tuple[int, int], Any] = {}  # what was worked out for runs that came before

    def _move(self) -> Any:
        memory = _memory(self.size * self.dtype.itemsize)
        for p, start, size in zip(self.params, self.starts, self.sizes, strict=True):
            # by way of the memoryview each parameter has a base of its own, whose owners _is_free can count
            line = np.frombuffer(memory, dtype=self.dtype, count=size, offset=start * self.dtype.itemsize)
            view = line.reshape(p.array.shape)
            view[...] = p.array
            p.array = view
            if p.version is not None:
                del p.version[1:]  # the arrays noted there are no longer anybody's
        return np.frombuffer(memory, dtype=self.dtype)

    # state
    def _room(self, dtype) -> Any:
        """A buffer of zeros, laid out as the parameters."""
        return np.frombuffer(_memory(self.size * dtype.itemsize), dtype=dtype)

    def _prepare(self, rule, h, wants: tuple) -> None:
        """Buffers for the state that the rule wants under these hyperparameters."""
        self._ask(rule, self.params[0], h, wants)
        self.wants = None  # until all of it is there: memory may end on the way
        for name, value in self.numbers.items():
            self.columns.setdefault(name, np.full(len(self.params), value, dtype=number(name, value).array.dtype))
        for name, (_, dtype) in self.arrays.items():
            if name not in self.states:
                self.states[name] = self._room(dtype)
                self.version.append(self.states[name])
        self.cells, self.cuts = [None] * len(self.params), {}
        self.wants = wants

    def _adopt(self, rule, i: int, h) -> bool:
        """Bring the state of parameter i into the buffers, what is missing as the rule begins; whether anything was."""
        p, made, cell = self.params[i], None, []
        for name in (*self.numbers, *self.arrays):
            if name in self.numbers:
                view = self.columns[name][i : i + 1].reshape(())
            else:
                view = self.states[name][self.starts[i] : self.starts[i] + self.sizes[i]].reshape(p.array.shape)
            entries, key = rule.state.setdefault(p, {}), rule.state_keys.get(name, name)
            t = entries.get(key)
            if t is not None:
                view[...] = fitted(rule, key, t, view.shape, view.dtype, view)
            else:
                made = made or {**self.numbers, **rule.init(p.array, h)}
                view[...] = made[name]
            if t.__class__ is Tensor and t.is_leaf and not t.requires_grad:
                t.array, t.version = view, self.version  # whoever holds this Tensor goes on seeing the state
            else:
                t = entries[key] = wrap(view)
                t.version = self.version
            cell.append((key, t, view))
        self.cells[i] = tuple(cell)
        return made is not None

    # the update
    def update(self, rule, h, wants: tuple, how: tuple) -> None:
        """Update every parameter that has a gradient, in runs of neighbours with the same number of steps."""
        if wants != self.wants:
            self._prepare(rule, h, wants)
        params, state, n = self.params, rule.state, len(self.params)
        grads, new, whole = list(map(_grad, params)), set(), True
        for i, g in enumerate(grads):
            if g is None:
                whole = False
            elif not is_intact(state.get(params[i]), self.cells[i]) and self._adopt(rule, i, h):
                new.add(i)
        columns = [self.columns[name].tolist() for name in self.numbers]
        if not rule.counted:  # all that can be told is whether the state is new
            columns.insert(0, [0.0 if i in new else 1.0 for i in range(n)] if new else [1.0] * n)
        marks = list(zip(*columns, strict=True))
        arrays = [None if g is None else g.array for g in grads]
        for i, g in enumerate(arrays):
            if g.__class__ is RowArray:
                arrays[i] = None if self.by_rows else g.dense()
                if self.by_rows:
                    whole = False
                    self._update_rows(rule, i, g, marks[i], h, how)
        lines: dict[int, np.ndarray] = {}  # gradients as one row
        for i, j, mark in [(0, n, marks[0])] if whole and marks.count(marks[0]) == n else _runs(arrays, marks):
            numbers = dict(zip(self.names, mark, strict=True))
            advance(rule, numbers, h)
            self._run(rule, h, i, j, numbers, arrays, lines, how)
            for name in self.numbers:
                self.columns[name][i:j] = numbers[name]
            for p in params[i:j]:
                p.changed()
        self.version[0] = modes.last_change = modes.tick()

    def _run(self, rule, h, i: int, j: int, numbers: dict[str, float], arrays: list, lines: dict, how: tuple) -> None:
        """Update the parameters [i, j), which are all at the same step."""
        pieces = self.cuts.get((i, j)) or self._cut(i, j)

        def step(part: slice) -> None:
            for piece in pieces[part]:
                if len(numbers) > 1:
                    piece.state.update(numbers)
                apply(rule, piece.p, piece.gradient(arrays, lines, how), piece.state, h)

        team.share(step, len(pieces), 1 if _is_large(sum(self.sizes[i:j])) else len(pieces))

    def _update_rows(self, rule, i: int, g: RowArray, mark: tuple, h, how: tuple) -> None:
        """Update the rows of parameter i that its gradient has, and the same rows of its state."""
        numbers = dict(zip(self.names, mark, strict=True))
        advance(rule, numbers, h)
        for name in self.numbers:
            self.columns[name][i] = numbers[name]
        views = [view for _, _, view in self.cells[i] or ()]
        state = dict(zip((*self.numbers, *self.arrays), views, strict=True))
        update_rows(rule, self.params[i].array, g, {**state, **numbers}, self.arrays, h, how)
        self.params[i].changed()

    def _cut(self, i: int, j: int) -> Any:
        """The slices of a run, all about equally long."""
        if len(self.cuts) >= 64:  # gradients come and go in ever new patterns
            self.cuts.clear()
        start, stop = self.starts[i], self.starts[j] if j < len(self.starts) else self.size
        longest = SLICE * LONGER if _is_large(stop - start) else SLICE
        width = -(-(stop - start) // -(-(stop - start) // longest))
        width = -(-width // self.lane) * self.lane
        cuts = self.cuts[i, j] = list[_Slice]()
        for low in range(start, stop, width):
            high, overlaps = min(low + width, stop), []
            for k in range(bisect_right(self.starts, low) - 1, j):
                begin, end = max(low, self.starts[k]), min(high, self.starts[k] + self.sizes[k])
                if begin < end:
                    overlaps.append((k, begin, end))
            cuts.append(_Slice(self, low, high, overlaps))
        return cuts


class _Slice:
    """Elements [low, high) of a Flat's buffers, and where their gradients come from."""

    __slots__ = ("p", "g", "state", "within", "pieces")

    def __init__(self, flat: Flat, low: int, high: int, overlaps: list[tuple[int, int, int]]) -> None:
        self.within: tuple[int, slice] = (0, slice(0))
        self.g: Any  # memory for what is gathered
        self.pieces: list[tuple[np.ndarray, int, slice | None]] | None = None
        if len(overlaps) == 1:
            ((i, low, high),) = overlaps
            self.within = i, slice(low - flat.starts[i], high - flat.starts[i])
            self.g = None
        else:
            self.g = together = np.zeros(high - low, dtype=flat.dtype)  # the padding stays zero
            self.pieces = []
            for i, begin, end in overlaps:
                target, start = together[begin - low : end - low], flat.starts[i]
                if end - begin == flat.sizes[i]:
                    self.pieces.append((target.reshape(flat.params[i].array.shape), i, None))
                else:
                    self.pieces.append((target, i, slice(begin - start, end - start)))
        self.p = flat.buffer[low:high]
        self.state = {name: flat.states[name][low:high] for name in flat.arrays}

    def gradient(self, grads: list, lines: dict[int, np.ndarray], how: tuple) -> np.ndarray:
        """The gradient of these elements, negated or with decay as asked for; shrinks the parameters if asked to."""
        if self.pieces is None:
            i, part = self.within
            g = lines.get(i)
            if g is None:
                g = lines[i] = grads[i].reshape(-1)
            g = g[part]
        else:
            g = self.g
            for target, i, cut in self.pieces:
                target[...] = grads[i] if cut is None else grads[i].reshape(-1)[cut]
        climb, decay, shrink = how
        if climb:
            g = np.negative(g, out=self.g)
        if decay:
            g = np.add(g, decay * self.p, out=self.g)
        if shrink != 1:
            self.p *= shrink
        return g


# by the name of the backend: how parameters are updated that lie side by side in its memory
FLAT: dict[str, type[Flat]] = {"cpu": Flat}


class Single(_Unit):
    """One parameter in its own shape and on its own device, with a state that is looked up at every step."""

    def __init__(self, p: Tensor) -> None:
        self.p = p

    def update(self, rule, h, wants: tuple, how: tuple) -> None:
        """Update the parameter, if it has a gradient."""
        p = self.p
        if p.grad is None:
            return
        if CAPTURES:
            not_captured(rule, f"the parameter {describe(p.array)} is updated operation by operation")
        if wants != self.wants:
            self._ask(rule, p, h, wants)
        keys = {name: rule.state_keys.get(name, name) for name in (*self.numbers, *self.arrays)}
        entries = rule.state.setdefault(p, {}) if keys else {}
        missing = [name for name, key in keys.items() if entries.get(key) is None]
        made = {**self.numbers, **rule.init(p.array, h)} if missing else {}
        state: dict[str, Any] = {}
        for name, (shape, dtype) in self.arrays.items():
            t = made[name] if name in missing else entries[keys[name]]
            if not isinstance(t, Tensor) or not _is_like(t.array, p.array, shape, dtype):
                t = entries[keys[name]] = wrap(fitted(rule, keys[name], t, shape, dtype, p.array))
            state[name] = t.array
        numbers = {"step": 0.0 if missing else 1.0}
        for name in self.numbers:
            t = made[name] if name in missing else entries[keys[name]]
            numbers[name] = float(t.array if isinstance(t, Tensor) else t)
        advance(rule, numbers, h)
        x, g, (climb, decay, shrink) = p.array, p.grad.array, how
        if g.__class__ is RowArray and self.by_rows:
            update_rows(rule, x, g, {**state, **numbers}, self.arrays, h, how)
        else:
            g = g.dense() if g.__class__ is RowArray else g
            if climb:
                g = -g
            if decay:
                g = g + decay * x
            if shrink != 1:
                x *= shrink
            apply(rule, x, g, {**state, **numbers}, h)
        for name in self.numbers:
            t = entries.get(keys[name])
            if t.__class__ is Tensor and t.array.__class__ is np.ndarray and t.array.shape == ():
                t.write(numbers[name])
            else:
                entries[keys[name]] = number(name, numbers[name])
        for name in self.arrays:
            entries[keys[name]].changed()
        p.changed()


# ------------------------------------------------------------------------------------------------- entries of a state
def number(name: str, value) -> Tensor:
    """A number of the state as PyTorch keeps it, 0-d and on the host; steps in its dtype, all else in double."""
    value = float(value.array if isinstance(value, Tensor) else value)
    return wrap(np.array(value, dtype=np.float32 if name == "step" else np.float64))


def _is_like(array, beside, shape: tuple, dtype) -> bool:
    return array.__class__ is beside.__class__ and array.shape == shape and array.dtype == dtype


def fitted(rule, key: str, value, shape: tuple, dtype, beside):
    """A fresh array with the values of a state entry (Tensor, array or number), on the device of the array `beside`."""
    array: Any = value.array if isinstance(value, Tensor) else value
    array = array if array.__class__ in BACKENDS else np.asarray(array)
    if array.shape != shape:
        found = tuple(array.shape)
        raise ValueError(f"{type(rule).__name__}: the state '{key}' has shape {found}, expected {tuple(shape)}")
    B, here = backend_of(beside), backend_of(array)
    if here is not B or B.device_of(array) != B.device_of(beside):
        array = B.from_host(here.to_host(array), B.device_of(beside))
    return B.astype(array, dtype=dtype)


def not_captured(rule, why: str) -> None:
    """Raise: something that the host does at every step would be left out where a graph is replayed."""
    raise RuntimeError(f"{type(rule).__name__}.step: cannot be captured in a graph: {why}")


def advance(rule, numbers: dict[str, float], h) -> None:
    """Count the step, tell the rule its number, and let it bring its other numbers up to date."""
    numbers["step"] += 1
    h.step = int(numbers["step"])
    if len(numbers) > 1:
        rule.advance(numbers, h)


def update_rows(rule, x, g: RowArray, state: dict[str, Any], arrays: Iterable[str], h, how: tuple) -> None:
    """The rule's update of the rows of x (and of the `arrays` in its state) that the gradient has.

    They are gathered, updated as if they were the whole parameter, and put back: the rest is not even read. On a GPU a
    row may come several times, each time with the same gradient, so that the same values are put back.
    """
    rows, values = g.totals()
    p, part = x[rows], {**state, **{name: state[name][rows] for name in arrays}}
    apply(rule, p, -values if how[0] else values, part, h)
    x[rows] = p
    for name in arrays:
        state[name][rows] = part[name]


def _is_large(size: int) -> bool:
    """Whether threads share an update of so many elements."""
    return size >= TOGETHER and team.threads() > 1


def apply(rule, p, g, state: dict[str, Any], h) -> None:
    if rule.update(p, g, state, h) is not None:
        name = type(rule).__name__
        raise TypeError(f"{name}.update: must change p in place (p -= ...) and return nothing; it returned something")


def is_intact(entries: dict | None, cell: tuple[tuple[str, Any, Any], ...] | None) -> bool:
    """Whether the state of a parameter still is what was handed out."""
    if cell is None:
        return False
    for key, t, view in cell:  # noqa: SIM110  (runs for every parameter at every step, and all(...) takes longer)
        if t.array is not view or entries is None or entries.get(key) is not t:
            return False
    return True


def _runs(grads: list, marks: list):
    """(i, j, mark) for each maximal range of neighbours that have gradients and equal marks."""
    keys = [mark if g is not None else None for g, mark in zip(grads, marks, strict=True)]
    i = 0
    for mark, same in itertools.groupby(keys):
        j = i + len(list(same))
        if mark is not None:
            yield i, j, mark
        i = j


# ------------------------------------------------------------------------------------------------------------ memory
class _Memory(np.ndarray):
    """Marks the memory that was laid out here."""


def _memory(size: int) -> memoryview:
    """Zeroed bytes that begin at a multiple of ALIGNMENT."""
    raw = np.zeros(size + ALIGNMENT, dtype=np.uint8)
    begin = -raw.ctypes.data % ALIGNMENT
    return raw[begin : begin + size].view(_Memory).data


def _holders(p: Tensor) -> tuple[int, int]:
    """How many references there are to a tensor's array, and to the array that it is a view of; its notes aside."""
    a, base, noted = p.array, p.array.base, p.version or ()
    return (
        sys.getrefcount(a) - sum([x is a for x in noted]),
        0 if base is None else sys.getrefcount(base) - sum([x is base for x in noted]),
    )


_ALONE = _holders(wrap(np.empty(2)[:1]))


def _is_free(p: Tensor) -> bool:
    """Whether p's memory is p's alone, so that nobody notices when it moves.

    A detached Tensor or NumPy array on the same memory, a recorded graph, another optimizer would stay behind.
    """
    return _is_known(p.array.base) and all(n <= alone for n, alone in zip(_holders(p), _ALONE, strict=True))


def _is_known(base) -> bool:
    """Whether memory belongs to NumPy or was laid out here: not to a file, nor to another library."""
    if base is None:
        return True
    if base.__class__ is not np.ndarray:
        return base.__class__ in BACKENDS  # of a view on a GPU it is the array that the memory belongs to
    return base.base is None or getattr(base.base, "obj", None).__class__ is _Memory
