"""PyTorch's `assert_close`; and checks for derivatives: `gradcheck`, `gradgradcheck`, and `check_op` for your own ops.

The latter compare with central differences in double precision. `check_op` runs in addition what a body easily gets
wrong: the dtype, memory that is not contiguous, and writing into what does not belong to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .autograd import grad
from .autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck, scattered
from .autograd.gradcheck import dot as _dot
from .autograd.gradcheck import host as _host
from .autograd.gradcheck import like as _like
from .autograd.gradcheck import tupled as _tuple
from .backend import BACKENDS, backend_of
from .engine import Op
from .modes import enable_grad
from .tensor import Tensor, wrap

__all__ = ["Case", "GradcheckError", "assert_close", "check_op", "gradcheck", "gradgradcheck", "scattered"]


def _is_array(x: Any) -> bool:
    return not isinstance(x, Tensor) and type(x) in BACKENDS


def _is_float(x: Any) -> bool:
    return _is_array(x) and x.dtype.kind == "f"


# ------------------------------------------------------------------------------------------------------ cases of an op
@dataclass(frozen=True)
class Case:
    """One call of an op, on arrays, and what it should give."""

    op: Callable
    inputs: tuple  # arrays (float64 where floating), Python scalars, None
    static: dict[str, Any] = field(default_factory=dict)
    expected: Any = None  # an array or a tuple, computed without the op; None: `check_forward` has nothing to compare
    fixed: frozenset[int] = frozenset()  # floating-point inputs that the op has no gradient for

    @property
    def leaves(self) -> list[int]:
        """The positions of the inputs that get gradients."""
        return [i for i, x in enumerate(self.inputs) if _is_float(x) and i not in self.fixed]

    def run(self, inputs=None) -> tuple[list[Tensor | Any], list[Tensor]]:
        """The inputs as Tensors, and the outputs."""
        given = self.inputs if inputs is None else inputs
        xs = [wrap(x, i in self.leaves) if _is_array(x) else x for i, x in enumerate(given)]
        return xs, list(_tuple(self.op(*xs, **self.static)))

    def gradients(self, inputs=None, seeds=None) -> tuple[list[Tensor], list]:
        """The outputs, and the gradient of the sum of <seed, output> for each leaf (None: no dependence)."""
        xs, ys = self.run(inputs)
        tracked = [y for y in ys if y.requires_grad]
        if not tracked:
            return ys, [None] * len(self.leaves)
        return ys, list(grad(tracked, [xs[i] for i in self.leaves], seeds or self.seeds(ys), allow_unused=True))

    @staticmethod
    def seeds(ys) -> list[Tensor]:
        """A random gradient for each output that takes one."""
        rng = np.random.default_rng(7)
        return [wrap(_like(rng.normal(size=y.shape), y.array)) for y in ys if y.requires_grad]


def _close(got, expected, what: str, rtol: float, atol: float) -> None:
    if got is None or expected is None:
        if got is not expected:
            raise AssertionError(f"{what}: expected {expected}, got {got}")
        return
    np.testing.assert_allclose(
        _host(got),
        expected if isinstance(expected, np.ndarray) else _host(expected),
        rtol=rtol,
        atol=atol,
        err_msg=what,
    )


def check_forward(case: Case, rtol: float = 1e-10, atol: float = 1e-12) -> None:
    """The outputs are as expected, arrays even where they are 0-d, and the same when the op gets bare arrays."""
    name = getattr(case.op, "__name__", "op")
    _, ys = case.run()
    bare = _tuple(case.op(*case.inputs, **case.static))
    assert len(bare) == len(ys), f"{name}: {len(bare)} outputs on arrays, {len(ys)} on Tensors"
    for y, array in zip(ys, bare, strict=True):
        assert _is_array(y.array) and array.__class__ is y.array.__class__, f"{name}: gave {type(array)}"
        np.testing.assert_array_equal(_host(y), _host(array), err_msg=f"{name}: on Tensors and on arrays")
        assert y.array.dtype == array.dtype, f"{name}: {y.dtype} on Tensors, {array.dtype} on arrays"
    if case.expected is not None:
        for y, want in zip(ys, _tuple(case.expected), strict=True):
            assert y.shape == np.shape(want), f"{name}: shape {tuple(y.shape)}, expected {np.shape(want)}"
            assert y.array.dtype == np.asarray(want).dtype, f"{name}: {y.dtype}, expected {np.asarray(want).dtype}"
            _close(y, np.asarray(want), f"{name}: forward", rtol, atol)


def check_gradient(case: Case, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7) -> None:
    """The gradients agree with a central difference along a random direction."""
    ys, gs = case.gradients()
    seeds = case.seeds(ys)
    assert seeds, f"{getattr(case.op, '__name__', 'op')}: no output takes a gradient"
    steps = _directions(case)

    def value(h):
        with enable_grad():
            _, moved = case.run(_step(case, steps, h))
        return _dot([y for y in moved if y.requires_grad], seeds)

    numerical, analytical = (value(eps) - value(-eps)) / (2 * eps), _dot(gs, [steps[i] for i in case.leaves])
    np.testing.assert_allclose(
        analytical, numerical, rtol=rtol, atol=atol, err_msg="gradient, along a random direction"
    )


def check_second_order(case: Case, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """The gradients' own gradients agree with a difference of gradients; the replayed gradient equals the plain one."""
    xs, ys = case.run()
    leaves, seeds = [xs[i] for i in case.leaves], case.seeds(ys)
    for v in seeds:
        v.requires_grad = True
    tracked = [y for y in ys if y.requires_grad]
    gs = grad(tracked, leaves, seeds, create_graph=True, allow_unused=True)
    for g, plain in zip(gs, case.gradients(seeds=seeds)[1], strict=True):
        _close(g, plain, "the gradient with create_graph", 1e-10, 1e-12)
    rng = np.random.default_rng(11)
    us = [None if g is None else wrap(_like(rng.normal(size=g.shape), g.array)) for g in gs]
    live = [(g, u) for g, u in zip(gs, us, strict=True) if g is not None and g.requires_grad]
    seconds: Sequence = [None] * (len(leaves) + len(seeds))
    if live:
        seconds = grad([g for g, _ in live], [*leaves, *seeds], [u for _, u in live], allow_unused=True)
    steps = _directions(case)
    turns = [rng.normal(size=v.shape) for v in seeds]

    def value(h):
        moved = [wrap(_like(_host(v) + h * t, v.array)) for v, t in zip(seeds, turns, strict=True)]
        found = case.gradients(_step(case, steps, h), moved)[1]
        return _dot(found, us)

    numerical = (value(eps) - value(-eps)) / (2 * eps)
    analytical = _dot(seconds, [wrap(_like(s, xs[i].array)) for i, s in steps.items()] + [np.asarray(t) for t in turns])
    np.testing.assert_allclose(
        analytical, numerical, rtol=rtol, atol=atol, err_msg="second order, along a random direction"
    )


def _directions(case: Case) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(3)
    return {i: rng.normal(size=case.inputs[i].shape) for i in case.leaves}


def _step(case: Case, steps: dict[int, np.ndarray], h: float) -> list:
    return [_like(_host(x) + h * steps[i], x) if i in steps else x for i, x in enumerate(case.inputs)]


def check_dtypes(case: Case, rtol: float = 2e-4, atol: float = 2e-5) -> None:
    """In float32 and float16 the outputs and gradients are of that dtype; in float32 they have the same values."""
    name = getattr(case.op, "__name__", "op")
    wide, wide_gradients = case.gradients()
    for dtype in ("float32", "float16"):
        inputs = [backend_of(x).astype(x, dtype=np.dtype(dtype)) if _is_float(x) else x for x in case.inputs]
        ys, gs = case.gradients(inputs)
        for y, want in zip(ys, wide, strict=True):
            expected = np.dtype(dtype) if want.array.dtype == np.float64 else want.array.dtype
            assert y.array.dtype == expected, f"{name}: {dtype} in, {y.array.dtype} out"
            if dtype == "float32":
                _close(y, _host(want).astype(expected), f"{name} in float32", rtol, atol)
        for g, want in zip(gs, wide_gradients, strict=True):
            assert g is None or g.array.dtype == np.dtype(dtype), f"{name}: {dtype} in, a gradient is {g.array.dtype}"
            if dtype == "float32" and g is not None:
                _close(g, _host(want), f"{name}: gradient in float32", 10 * rtol, 10 * atol)


def check_layout(case: Case, rtol: float = 1e-10, atol: float = 1e-12) -> None:
    """Inputs and gradients with gaps, or in another order in memory, give the same as contiguous ones."""
    name = getattr(case.op, "__name__", "op")
    ys, gs = case.gradients()
    inputs = [scattered(x) if _is_array(x) else x for x in case.inputs]
    moved, found = case.gradients(inputs, [wrap(scattered(v.array)) for v in case.seeds(ys)])
    for y, want in zip(moved, ys, strict=True):
        _close(y, want, f"{name}: non-contiguous inputs", rtol, atol)
    for g, want in zip(found, gs, strict=True):
        _close(g, want, f"{name}: gradient of non-contiguous inputs", rtol, atol)


def check_purity(case: Case) -> None:
    """Neither forward nor backward writes into an input, an incoming gradient or what it captured."""
    name = getattr(case.op, "__name__", "op")
    before = [_host(x).copy() if _is_array(x) else x for x in case.inputs]
    for x in case.inputs:
        _freeze(x)
    xs, ys = case.run()
    results = [_host(y).copy() for y in ys]
    seeds = case.seeds(ys)
    incoming = [_host(v).copy() for v in seeds]
    for v in seeds:
        _freeze(v.array)
    tracked, leaves = [y for y in ys if y.requires_grad], [xs[i] for i in case.leaves]
    if tracked:
        first = grad(tracked, leaves, seeds, retain_graph=True, allow_unused=True)
        first_values = [None if g is None else _host(g).copy() for g in first]
        for g, want in zip(grad(tracked, leaves, seeds, allow_unused=True), first_values, strict=True):
            _close(g, want, f"{name}: the second backward", 0.0, 0.0)
        _check_vjps(case, name)
    for x, want in zip(case.inputs, before, strict=True):
        if _is_array(x):
            np.testing.assert_array_equal(_host(x), want, err_msg=f"{name}: an input was changed")
    for y, want in zip(ys, results, strict=True):
        np.testing.assert_array_equal(_host(y), want, err_msg=f"{name}: an output was changed by backward")
    for v, want in zip(seeds, incoming, strict=True):
        np.testing.assert_array_equal(_host(v), want, err_msg=f"{name}: the incoming gradient was changed")


def _freeze(x) -> None:
    if isinstance(x, np.ndarray):
        x.flags.writeable = False


def _check_vjps(case: Case, name: str) -> None:
    """What a vjp gives is the incoming gradient's memory or fresh: not another input's, nor something that it keeps."""
    made = case.op if isinstance(case.op, Op) else getattr(case.op, "op", None)
    if made is None:
        return
    y, vjps = made.body(*case.inputs, **case.static)
    outputs: list[Any] = [getattr(o, "value", o) for o in _tuple(y)]  # a 0-d result may be a NumPy scalar here
    like = next(x for x in case.inputs if _is_float(x))
    seeds = [_seed_like(o, like) if o.dtype.kind == "f" else None for o in outputs]
    B, needs = backend_of(like), tuple(i in case.leaves for i in range(len(case.inputs)))

    def gradients() -> list:
        if vjps.__class__ is not tuple:
            given = [g for g, need in zip(vjps(*seeds, needs=needs), needs, strict=True) if need]
        else:
            given = [f(*seeds) for f, need in zip(vjps, needs, strict=True) if need and f is not None]
        return [
            g
            for g in given
            if _is_array(g) and g.size and not any(B.may_share_memory(g, v) for v in seeds if v is not None)
        ]

    fresh, again = gradients(), gradients()
    for i, a in enumerate(fresh):
        assert not any(B.may_share_memory(a, b) for b in fresh[i + 1 :]), (
            f"{name}: two inputs were given one gradient array"
        )
        kept = [*again, *[x for x in case.inputs if _is_array(x)]]
        assert not any(B.may_share_memory(a, b) for b in kept), f"{name}: a vjp gave an array that it keeps"


def _seed_like(o, like):
    B = backend_of(like)
    return B.from_host(np.ones(o.shape, dtype=o.dtype), B.device_of(like))


CHECKS = (check_forward, check_gradient, check_second_order, check_dtypes, check_layout, check_purity)


def check_op(op: Callable, *inputs, expected=None, fixed: Sequence[int] = (), **static) -> None:
    """Run every check on one call `op(*inputs, **static)`; AssertionError says which one failed.

    inputs: arrays (float64 where floating), Python scalars or None. expected: the result, computed another way.
    fixed: the positions of floating-point inputs that the op has no gradient for.

    >>> from minidl.ops import op
    >>> @op
    ... def third_power(x):
    ...     return x * x * x, (lambda g: 3 * g * x * x,)
    >>> x = np.array([[0.5, -2.0, 1.0]])
    >>> check_op(third_power, x, expected=x**3)
    """
    case = Case(op, inputs, static, expected, frozenset(fixed))
    for check in CHECKS:
        if case.leaves or check in (check_forward, check_layout, check_purity):
            check(case)


# ------------------------------------------------------------------------------------------------------- closeness
_TOLERANCES = {"float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}  # rtol, atol; else 0, 0
_Path = tuple[Any, ...]  # the indices and keys that lead to an item


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol |expected| for every element.

    Tensors, NumPy arrays, numbers, bools and None, also within lists, tuples and dicts; both must be of one type. The
    tolerances not given are those of the wider of the two dtypes: float16 1e-3 and 1e-5, float32 1.3e-6 and 1e-5,
    float64 (and Python's float) 1e-7 and 1e-7, integers and bools 0. Shapes, and unless switched off devices, dtypes
    and layouts, must be equal. msg: the error's text, or a function that makes it of the text that it would be.

    Raises:
        AssertionError: says what differs, how much, and where.
        ValueError: only one of rtol and atol was given.
        TypeError: inputs that cannot be compared.

    >>> import minidl
    >>> assert_close(minidl.tensor([1.0, 2.0]), minidl.tensor([1.0, 2.1]))
    Traceback (most recent call last):
    AssertionError: Tensor-likes are not close!
    <BLANKLINE>
    Mismatched elements: 1 / 2 (50.0%)
    Greatest absolute difference: 0.09999990463256836 at index (1,) (up to 1e-05 allowed)
    Greatest relative difference: 0.04761900380253792 at index (1,) (up to 1.3e-06 allowed)
    """
    if (rtol is None) != (atol is None):
        given = "atol" if rtol is None else "rtol"
        raise ValueError(f"assert_close: rtol and atol must be given together, got only {given}")
    for a, b, path in _pairs(actual, expected, ()):
        if isinstance(a, str):  # what is wrong with the containers
            wrong: str | None = a
        elif a is None or b is None:
            wrong = None if a is b else f"None mismatch: {a!r} is not {b!r}"
        elif isinstance(a, (bool, np.bool_)) and isinstance(b, (bool, np.bool_)):
            wrong = None if a == b else f"Booleans mismatch: {a} is not {b}"
        elif _is_number(a) and _is_number(b):
            wrong = _different_numbers(a, b, rtol, atol, equal_nan, check_dtype)
        elif _comparable(a, b) and (allow_subclasses or type(a) is type(b)):
            a, b = (x if isinstance(x, Tensor) else wrap(np.asarray(x)) for x in (a, b))
            wrong = _attributes(a, b, check_layout, check_device, check_dtype, check_stride)
            wrong = wrong or _different(a, b, rtol, atol, equal_nan)
        else:
            raise TypeError(f"assert_close: {type(a).__name__} and {type(b).__name__} cannot be compared")
        if wrong is not None:
            if path:
                wrong += "\n\nThe failure occurred for item " + "".join([f"[{key!r}]" for key in path])
            raise AssertionError(msg if isinstance(msg, str) else wrong if msg is None else msg(wrong))


def _pairs(a: Any, b: Any, path: _Path) -> Iterator[tuple[Any, Any, _Path]]:
    """The pairs within two equal containers and the way to each; a str in the place of a pair says what is wrong."""
    texts = isinstance(a, str) or isinstance(b, str)
    if texts:
        raise TypeError(f"assert_close: {type(a).__name__} and {type(b).__name__} cannot be compared")
    if isinstance(a, Sequence) and isinstance(b, Sequence):
        if len(a) != len(b):
            yield f"The length of the sequences mismatch: {len(a)} != {len(b)}", None, path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _pairs(x, y, (*path, i))
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        missing, more = [k for k in b if k not in a], [k for k in a if k not in b]
        if missing or more:
            text = "The keys of the mappings do not match:"
            text += f"\nMissing keys in the actual mapping: {missing}" if missing else ""
            yield text + (f"\nAdditional keys in the actual mapping: {more}" if more else ""), None, path
        for key in a:
            yield from _pairs(a[key], b[key], (*path, key))
    else:
        yield a, b, path


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _comparable(a: Any, b: Any) -> bool:
    related = isinstance(a, type(b)) or isinstance(b, type(a))
    return (
        related and isinstance(a, (Tensor, np.ndarray, np.generic)) and isinstance(b, (Tensor, np.ndarray, np.generic))
    )


def _allowed(kinds: Sequence[str], rtol: float | None, atol: float | None) -> tuple[float, float]:
    """The tolerances: as given, or the largest of those that belong to the dtypes."""
    if rtol is not None and atol is not None:
        return rtol, atol
    found = [_TOLERANCES.get(kind, (0.0, 0.0)) for kind in kinds]
    return max(r for r, _ in found), max(a for _, a in found)


def _different_numbers(a: float, b: float, rtol, atol, equal_nan: bool, check_dtype: bool) -> str | None:
    kinds = [float if isinstance(x, float) else int for x in (a, b)]
    if check_dtype and kinds[0] is not kinds[1]:
        return f"The (d)types do not match: {kinds[0]} != {kinds[1]}."
    rtol, atol = _allowed(["float64" if kind is float else "int64" for kind in kinds], rtol, atol)
    if a == b or (equal_nan and a != a and b != b):
        return None
    if math.isfinite(d := abs(a - b)) and d <= atol + rtol * abs(b):
        return None
    return _scalars(a, b, rtol, atol)


def _scalars(a: float, b: float, rtol: float, atol: float) -> str:
    close, d = bool(rtol or atol), abs(a - b)
    limits = [f" (up to {limit} allowed)" if close else "" for limit in (atol, rtol)]
    return (
        f"Scalars are not {'close' if close else 'equal'}!\n\nExpected {b} but got {a}.\n"
        f"Absolute difference: {d}{limits[0]}\nRelative difference: {d / abs(b) if b else math.inf}{limits[1]}"
    )


def _attributes(a: Tensor, b: Tensor, layout: bool, where: bool, dtype: bool, stride: bool) -> str | None:
    """The first of the attributes to be checked in which two Tensors differ."""
    checked = {"shape": True, "layout": layout, "device": where, "dtype": dtype}
    for name, wanted in checked.items():
        if wanted and getattr(a, name) != getattr(b, name):
            return f"The values for attribute {name!r} do not match: {getattr(a, name)} != {getattr(b, name)}."
    if stride and a.stride() != b.stride():
        return f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}."
    return None


def _different(a: Tensor, b: Tensor, rtol, atol, equal_nan: bool) -> str | None:
    """What is to be said of two Tensors' values if they are not close."""
    rtol, atol = _allowed([a.dtype.name, b.dtype.name], rtol, atol)
    x, y = (np.asarray(_host(t.to_dense() if t.is_sparse else t)) for t in (a, b))
    kind = np.result_type(x, y)
    kind = kind if kind.kind == "f" else np.dtype(np.int64)
    x, y = x.astype(kind), y.astype(kind)
    with np.errstate(all="ignore"):
        d = np.abs(x - y)
        right = (x == y) | (np.isfinite(d) & (d <= atol + rtol * np.abs(y.astype(np.float64))))
        if equal_nan:
            right |= np.isnan(x) & np.isnan(y)
        if right.all():
            return None
        if not x.ndim:
            return _scalars(x.item(), y.item(), rtol, atol)
        relative = d / np.abs(y.astype(kind if kind.kind == "f" else np.float32))
    close, n = bool(rtol or atol), int(np.size(right) - np.sum(right))
    lines = [f"Tensor-likes are not {'close' if close else 'equal'}!", ""]
    lines.append(f"Mismatched elements: {n} / {right.size} ({n / right.size:.1%})")
    for name, values, limit in (("absolute", d, atol), ("relative", relative, rtol)):
        values = np.where(right, 0, values)
        at = tuple([int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape)])
        text = f"Greatest {name} difference: {values[at].item()} at index {at}"
        lines.append(text + (f" (up to {limit} allowed)" if close else ""))
    return "\n".join(lines)
