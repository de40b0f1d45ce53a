"""`gradcheck` and `gradgradcheck`: derivatives compared with central differences in double precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of
from ..modes import enable_grad
from ..tensor import Tensor, wrap
from .gradients import grad


class GradcheckError(RuntimeError):
    """What `gradcheck` and `gradgradcheck` raise: a derivative that does not agree with differences."""


# ------------------------------------------------------------------------------ arrays on either device, on the host
def host(x) -> np.ndarray:
    array = x.array if isinstance(x, Tensor) else x
    return np.asarray(backend_of(array).to_host(array))


def like(values: np.ndarray, array: Any) -> Any:
    """Host values as an array of the kind, dtype and device of `array`."""
    B = backend_of(array)
    return B.from_host(np.ascontiguousarray(values, dtype=array.dtype).reshape(array.shape), B.device_of(array))


def dot(xs, ys) -> float:
    """The sum of all the products, in double precision on the host; None counts as zeros."""
    pairs = [
        (host(x).astype(np.float64), host(y).astype(np.float64)) for x, y in zip(xs, ys, strict=True) if x is not None
    ]
    return float(sum(np.vdot(x, y) for x, y in pairs))


def tupled(x) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def scattered(x):
    """The same values in memory that is in another order and has gaps."""
    if x.ndim == 0:
        return x
    memory = np.zeros((2 * x.shape[-1], *x.shape[-2::-1]), dtype=x.dtype)
    memory.T[..., ::-2] = host(x)
    B = backend_of(x)
    return B.from_host(memory, B.device_of(x)).T[..., ::-2]


# ------------------------------------------------------------------------------------------------ gradcheck and its kin
def _leaves(inputs, where: str) -> list[int]:
    """The positions of the inputs to differentiate; refuses what differences cannot judge."""
    found = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not found:
        raise ValueError(f"{where}: none of the inputs requires a gradient")
    for i in found:
        array = inputs[i].array
        if array.dtype != np.float64:
            warnings.warn(
                f"{where}: input {i} is {inputs[i].dtype}; differences need float64 (use x.double()), or a much larger "
                "eps and atol",
                UserWarning,
                stacklevel=3,
            )
        if any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)):
            raise ValueError(f"{where}: input {i} is expanded, its elements share memory; use x.contiguous()")
    return found


def _call(func, inputs) -> list[Tensor]:
    """The floating-point outputs."""
    return [y for y in tupled(func(*inputs)) if isinstance(y, Tensor) and y.array.dtype.kind == "f"]


def _moved(inputs, changes: dict[int, np.ndarray]) -> list:
    """The inputs, detached, those in `changes` moved by that much."""
    moved = [x.detach() if isinstance(x, Tensor) else x for x in inputs]
    for i, step in changes.items():
        moved[i] = wrap(like(host(inputs[i]) + step, inputs[i].array))
        moved[i].requires_grad = True  # func may itself call grad
    return moved


def _difference(func, inputs, changes: dict[int, np.ndarray], eps: float) -> list[np.ndarray]:
    """The outputs' derivative along `changes`, by a central difference."""
    up, down = (_call(func, _moved(inputs, {i: s * h for i, s in changes.items()})) for h in (eps, -eps))
    return [(host(a) - host(b)) / (2 * eps) for a, b in zip(up, down, strict=True)]


def _vjp(y: Tensor, leaves, v: np.ndarray, others: Sequence[Tensor] = ()) -> list[np.ndarray]:
    """The gradients of <y, v>, zeros where there are none. others: outputs that get zeros instead of no gradient."""
    if not y.requires_grad:
        return [np.zeros(x.shape) for x in leaves]
    ys = [y, *[other for other in others if other is not y and other.requires_grad]]
    seeds = [wrap(like(v if t is y else np.zeros(t.shape), t.array)) for t in ys]
    found = grad(ys, leaves, seeds, retain_graph=True, allow_unused=True)
    return [np.zeros(x.shape) if g is None else host(g) for g, x in zip(found, leaves, strict=True)]


def _check_fast(func, inputs, positions, eps, atol, rtol, undefined) -> None:
    """One random direction through inputs and outputs."""
    rng = np.random.default_rng(0)
    steps = {i: rng.normal(size=inputs[i].shape) for i in positions}
    leaves = [inputs[i] for i in positions]
    outputs = _call(func, inputs)
    others = () if undefined else outputs
    for k, (y, dy) in enumerate(zip(outputs, _difference(func, inputs, steps, eps), strict=True)):
        v = rng.normal(size=y.shape)
        numerical = float(np.vdot(v, dy))
        analytical = float(
            sum(np.vdot(g, steps[i]) for i, g in zip(positions, _vjp(y, leaves, v, others), strict=True))
        )
        size = max(1.0, float(np.sqrt(v.size * sum(s.size for s in steps.values()))))
        if not abs(numerical - analytical) <= atol * size + rtol * abs(numerical):
            raise GradcheckError(
                f"gradcheck: along a random direction, output {k} changes by {numerical:.8g}, but backward says "
                f"{analytical:.8g}"
            )


def _check_full(func, inputs, positions, eps, atol, rtol, undefined) -> None:
    """The whole Jacobian matrix: every input element against every output element."""
    outputs = _call(func, inputs)
    leaves = [inputs[i] for i in positions]
    others = () if undefined else outputs
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
                analytical[:, j] = _vjp(y, leaves, v, others)[positions.index(i)].ravel()
            if not np.allclose(analytical, expected, rtol=rtol, atol=atol):
                worst = np.unravel_index(np.argmax(np.abs(analytical - expected)), expected.shape)
                raise GradcheckError(
                    f"gradcheck: the Jacobian of output {k} of input {i} disagrees with differences, worst at "
                    f"(input element {worst[0]}, output element {worst[1]}): backward says {analytical[worst]:.8g}, "
                    f"the difference is {expected[worst]:.8g}\nbackward (inputs x outputs):\n{analytical}\n"
                    f"differences:\n{expected}"
                )


def _check_repeatable(func, inputs, positions, nondet_tol, check_grad_dtypes, undefined) -> None:
    leaves = [inputs[i] for i in positions]
    outputs = _call(func, inputs)
    others = () if undefined else outputs
    for k, y in enumerate(outputs):
        v = np.ones(y.shape)
        if check_grad_dtypes and y.requires_grad:
            for i, g in zip(
                positions, grad([y], leaves, [wrap(like(v, y.array))], True, allow_unused=True), strict=True
            ):
                if g is not None and g.dtype != inputs[i].dtype:
                    raise GradcheckError(
                        f"gradcheck: the gradient of input {i} is {g.dtype}, the input {inputs[i].dtype}"
                    )
        for a, b in zip(_vjp(y, leaves, v, others), _vjp(y, leaves, v, others), strict=True):
            if not np.allclose(a, b, rtol=0.0, atol=nondet_tol, equal_nan=True):
                raise GradcheckError(f"gradcheck: two backwards from output {k} differ by {np.abs(a - b).max():.3g}")


def _refuse(where: str, given: dict, *names: str) -> None:
    for name in names:
        if given[name]:
            raise NotImplementedError(f"{where}: {name}=True is not supported")


def gradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of `func(*inputs)` with central differences: (f(x + eps) - f(x - eps)) / (2 eps).

    inputs: a Tensor or several; one that requires a gradient and is not float64 warns. fast_mode: one random direction
    instead of the whole Jacobian matrix. nondet_tol: how much two backwards may differ. check_undefined_grad: while one
    of several outputs is differentiated the others have no gradient at all, and not zeros. Raises GradcheckError, or
    returns False if raise_exception is off, where they disagree by more than atol + rtol |difference|.

    >>> x = minidl.tensor([0.5, 2.0], dtype=minidl.float64, requires_grad=True)
    >>> gradcheck(lambda x: x * x, x)
    True
    """
    _refuse("gradcheck", locals(), "check_batched_grad", "check_batched_forward_grad", "check_forward_ad", "masked")
    if not check_backward_ad:
        raise ValueError("gradcheck: with check_backward_ad=False there is nothing to check")
    inputs = tupled(inputs)
    positions = _leaves(inputs, "gradcheck")
    try:
        with enable_grad():
            if not any(y.requires_grad for y in _call(func, inputs)):
                raise GradcheckError("gradcheck: no floating-point output depends on an input that requires a gradient")
            _check_repeatable(func, inputs, positions, nondet_tol, check_grad_dtypes, check_undefined_grad)
            check = _check_fast if fast_mode else _check_full
            check(func, inputs, positions, eps, atol, rtol, check_undefined_grad)
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
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the gradient: with respect to `inputs` and to the gradients of the outputs.

    grad_outputs: these gradients, random if None; gen_non_contig_grad_outputs: random ones with gaps in memory.

    >>> x = minidl.tensor([0.5, 2.0], dtype=minidl.float64, requires_grad=True)
    >>> gradgradcheck(lambda x: x * x * x, x)
    True
    """
    _refuse("gradgradcheck", locals(), "check_batched_grad", "check_fwd_over_rev", "masked")
    if not check_rev_over_rev:
        raise ValueError("gradgradcheck: with check_rev_over_rev=False there is nothing to check")
    inputs = tupled(inputs)
    positions = _leaves(inputs, "gradgradcheck")
    with enable_grad():
        outputs = [y for y in _call(func, inputs) if y.requires_grad]
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = [wrap(like(rng.normal(size=y.shape), y.array)) for y in outputs]
        if gen_non_contig_grad_outputs:
            seeds = [wrap(scattered(v.array)) for v in seeds]
        for v in seeds:
            v.requires_grad = True
    else:
        seeds = list(tupled(grad_outputs))

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
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        fast_mode=fast_mode,
    )
