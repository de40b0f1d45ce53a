"""Checks for derivatives: PyTorch's `gradcheck` and `gradgradcheck`, and `check_op` for ops that you write yourself.

All of them compare with central differences in double precision. `check_op` runs in addition what a body easily gets
wrong: the dtype, memory that is not contiguous, and writing into what does not belong to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .autograd import grad
from .backend import BACKENDS, backend_of
from .engine import Op
from .modes import enable_grad
from .tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """What `gradcheck` and `gradgradcheck` raise: a derivative that does not agree with differences."""


# ------------------------------------------------------------------------------ arrays on either device, on the host
def _host(x) -> np.ndarray:
    array = x.array if isinstance(x, Tensor) else x
    return np.asarray(backend_of(array).to_host(array))


def _like(values: np.ndarray, like: Any) -> Any:
    """Host values as an array of the kind, dtype and device of `like`."""
    B = backend_of(like)
    return B.from_host(np.ascontiguousarray(values, dtype=like.dtype).reshape(like.shape), B.device_of(like))


def _dot(xs, ys) -> float:
    """The sum of all the products, in double precision on the host; None counts as zeros."""
    pairs = [
        (_host(x).astype(np.float64), _host(y).astype(np.float64)) for x, y in zip(xs, ys, strict=True) if x is not None
    ]
    return float(sum(np.vdot(x, y) for x, y in pairs))


def _tuple(x) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _is_array(x: Any) -> bool:
    return not isinstance(x, Tensor) and type(x) in BACKENDS


def _is_float(x: Any) -> bool:
    return _is_array(x) and x.dtype.kind == "f"


# ------------------------------------------------------------------------------------------------ gradcheck and its kin
def _leaves(inputs, where: str) -> list[int]:
    """The positions of the inputs to differentiate; refuses what differences cannot judge."""
    found = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not found:
        raise ValueError(f"{where}: none of the inputs requires a gradient")
    for i in found:
        array = inputs[i].array
        if array.dtype != np.float64:
            raise ValueError(f"{where}: input {i} is {inputs[i].dtype}; differences need float64, use x.double()")
        if any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)):
            raise ValueError(f"{where}: input {i} is expanded, its elements share memory; use x.contiguous()")
    return found


def _call(func, inputs) -> list[Tensor]:
    """The floating-point outputs."""
    return [y for y in _tuple(func(*inputs)) if isinstance(y, Tensor) and y.array.dtype.kind == "f"]


def _moved(inputs, changes: dict[int, np.ndarray]) -> list:
    """The inputs, detached, those in `changes` moved by that much."""
    moved = [x.detach() if isinstance(x, Tensor) else x for x in inputs]
    for i, step in changes.items():
        moved[i] = wrap(_like(_host(inputs[i]) + step, inputs[i].array))
        moved[i].requires_grad = True  # func may itself call grad
    return moved


def _difference(func, inputs, changes: dict[int, np.ndarray], eps: float) -> list[np.ndarray]:
    """The outputs' derivative along `changes`, by a central difference."""
    up, down = (_call(func, _moved(inputs, {i: s * h for i, s in changes.items()})) for h in (eps, -eps))
    return [(_host(a) - _host(b)) / (2 * eps) for a, b in zip(up, down, strict=True)]


def _vjp(y: Tensor, leaves, v: np.ndarray, create_graph=False) -> list[np.ndarray]:
    """The gradients of <y, v>, zeros where there are none."""
    if not y.requires_grad:
        return [np.zeros(x.shape) for x in leaves]
    seed = wrap(_like(v, y.array))
    found = grad([y], leaves, [seed], retain_graph=True, create_graph=create_graph, allow_unused=True)
    return [np.zeros(x.shape) if g is None else _host(g) for g, x in zip(found, leaves, strict=True)]


def _check_fast(func, inputs, positions, eps, atol, rtol) -> None:
    """One random direction through inputs and outputs."""
    rng = np.random.default_rng(0)
    steps = {i: rng.normal(size=inputs[i].shape) for i in positions}
    leaves = [inputs[i] for i in positions]
    for k, (y, dy) in enumerate(zip(_call(func, inputs), _difference(func, inputs, steps, eps), strict=True)):
        v = rng.normal(size=y.shape)
        numerical = float(np.vdot(v, dy))
        analytical = float(sum(np.vdot(g, steps[i]) for i, g in zip(positions, _vjp(y, leaves, v), strict=True)))
        size = max(1.0, float(np.sqrt(v.size * sum(s.size for s in steps.values()))))
        if not abs(numerical - analytical) <= atol * size + rtol * abs(numerical):
            raise GradcheckError(
                f"gradcheck: along a random direction, output {k} changes by {numerical:.8g}, but backward says "
                f"{analytical:.8g}"
            )


def _check_full(func, inputs, positions, eps, atol, rtol) -> None:
    """The whole Jacobian matrix: every input element against every output element."""
    outputs = _call(func, inputs)
    leaves = [inputs[i] for i in positions]
    for i in positions:
        size = inputs[i].numel()
        numerical = [np.zeros((size, y.numel())) for y in outputs]
        for j in range(size):
            step = np.zeros(size)
            step[j] = 1.0
            for matrix, dy in zip(
                numerical, _difference(func, inputs, {i: step.reshape(inputs[i].shape)}, eps), strict=True
            ):
                matrix[j] = dy.ravel()
        for k, (y, expected) in enumerate(zip(outputs, numerical, strict=True)):
            analytical = np.zeros_like(expected)
            for j in range(y.numel()):
                v = np.zeros(y.numel())
                v[j] = 1.0
                analytical[:, j] = _vjp(y, leaves, v)[positions.index(i)].ravel()
            if not np.allclose(analytical, expected, rtol=rtol, atol=atol):
                worst = np.unravel_index(np.argmax(np.abs(analytical - expected)), expected.shape)
                raise GradcheckError(
                    f"gradcheck: the Jacobian of output {k} of input {i} disagrees with differences, worst at "
                    f"(input element {worst[0]}, output element {worst[1]}): backward says {analytical[worst]:.8g}, "
                    f"the difference is {expected[worst]:.8g}\nbackward (inputs x outputs):\n{analytical}\n"
                    f"differences:\n{expected}"
                )


def _check_repeatable(func, inputs, positions, nondet_tol, check_grad_dtypes) -> None:
    leaves = [inputs[i] for i in positions]
    for k, y in enumerate(_call(func, inputs)):
        v = np.ones(y.shape)
        if check_grad_dtypes and y.requires_grad:
            for i, g in zip(
                positions, grad([y], leaves, [wrap(_like(v, y.array))], True, allow_unused=True), strict=True
            ):
                if g is not None and g.dtype != inputs[i].dtype:
                    raise GradcheckError(
                        f"gradcheck: the gradient of input {i} is {g.dtype}, the input {inputs[i].dtype}"
                    )
        for a, b in zip(_vjp(y, leaves, v), _vjp(y, leaves, v), strict=True):
            if not np.allclose(a, b, rtol=0.0, atol=nondet_tol, equal_nan=True):
                raise GradcheckError(f"gradcheck: two backwards from output {k} differ by {np.abs(a - b).max():.3g}")


def gradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_grad_dtypes: bool = False,
    fast_mode: bool = False,
) -> bool:
    """Compare the gradients of `func(*inputs)` with central differences: (f(x + eps) - f(x - eps)) / (2 eps).

    inputs: a Tensor or several; those that require a gradient must be float64. fast_mode: one random direction instead
    of the whole Jacobian matrix. nondet_tol: how much two backwards may differ. Raises GradcheckError, or returns False
    if raise_exception is off, where they disagree by more than atol + rtol |difference|.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: x * x, x)
    True
    """
    inputs = _tuple(inputs)
    positions = _leaves(inputs, "gradcheck")
    try:
        with enable_grad():
            if not any(y.requires_grad for y in _call(func, inputs)):
                raise GradcheckError("gradcheck: no floating-point output depends on an input that requires a gradient")
            _check_repeatable(func, inputs, positions, nondet_tol, check_grad_dtypes)
            (_check_fast if fast_mode else _check_full)(func, inputs, positions, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    grad_outputs: Tensor | Sequence | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_grad_dtypes: bool = False,
    fast_mode: bool = False,
) -> bool:
    """`gradcheck` of the gradient: with respect to `inputs` and to the gradients of the outputs.

    grad_outputs: these gradients, random if None; gen_non_contig_grad_outputs: random ones with gaps in memory.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradgradcheck(lambda x: x * x * x, x)
    True
    """
    inputs = _tuple(inputs)
    positions = _leaves(inputs, "gradgradcheck")
    with enable_grad():
        outputs = [y for y in _call(func, inputs) if y.requires_grad]
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = [wrap(_like(rng.normal(size=y.shape), y.array)) for y in outputs]
        if gen_non_contig_grad_outputs:
            seeds = [wrap(scattered(v.array)) for v in seeds]
        for v in seeds:
            v.requires_grad = True
    else:
        seeds = list(_tuple(grad_outputs))

    def gradient(*args):
        xs, vs = list(args[: len(inputs)]), args[len(inputs) :]
        for i in positions:
            if not xs[i].requires_grad:  # a shifted copy, for a difference
                xs[i] = xs[i].detach().requires_grad_()
        leaves = [xs[i] for i in positions]
        ys = [y for y in _call(func, xs) if y.requires_grad]
        found = grad(ys, leaves, list(vs), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradient,
        (*inputs, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_grad_dtypes=check_grad_dtypes,
        fast_mode=fast_mode,
    )


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


def scattered(x):
    """The same values in memory that is in another order and has gaps."""
    if x.ndim == 0:
        return x
    memory = np.zeros((2 * x.shape[-1], *x.shape[-2::-1]), dtype=x.dtype)
    memory.T[..., ::-2] = _host(x)
    B = backend_of(x)
    return B.from_host(memory, B.device_of(x)).T[..., ::-2]


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
