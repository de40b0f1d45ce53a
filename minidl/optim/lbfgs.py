"""L-BFGS: steps that know the curvature from the gradients met on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import backend_of
from ..backend.rows import RowArray
from ..modes import enable_grad
from ..tensor import Tensor, describe, wrap
from .optimizer import Optimizer

_DECREASE, _CURVATURE = 1e-4, 0.9  # c1 and c2 of the strong Wolfe conditions


class LBFGS(Optimizer):
    """L-BFGS: a quasi-Newton method whose inverse Hessian is built from the last `history_size` steps.

        y <- g - (g before),   s <- t d (the step before);   kept, if y.s > 1e-10, with r = 1 / y.s and H = y.s / y.y
        q <- -g;   for the pairs from the newest to the oldest:   a_i <- r_i s_i.q,   q <- q - a_i y_i
        d <- H q;  for the pairs from the oldest to the newest:   d <- d + (a_i - r_i y_i.d) s_i
        p <- p + t d                                   t = lr, or by the line search, which begins there

    All parameters are one vector here; one without a gradient counts as having the gradient 0. The very first direction
    is -g, with t = lr min(1, 1 / |g|_1). A call of `step` makes up to max_iter such iterations, each with at least one
    call of the closure, and ends early when: the closure was called max_eval (5/4 max_iter) times; the largest element
    of g is at most tolerance_grad; step or loss change by less than tolerance_change; d leads uphill. With
    line_search_fn="strong_wolfe" t satisfies the strong Wolfe conditions (decrease 1e-4, curvature 0.9), by bracketing
    and cubic interpolation.

    When to choose it: smooth problems whose whole data goes into every gradient (fitting small models, physics-informed
    networks, style transfer, logistic regression), always with the line search; it then needs ten to a hundred times
    fewer gradients than SGD, and no rate. Bad at: noisy gradients, batches above all, which it takes for curvature;
    kinks; dropout and batch statistics, by which the loss differs between two calls; memory (2 history_size vectors of
    the size of the model). Every iteration waits for the device.

    One group only, of parameters of one dtype. `step` needs a closure, which must zero the gradients. Raises ValueError
    for hyperparameters that make no sense.

    Source: J. Nocedal and S. Wright, Numerical optimization, 2nd ed. 2006: algorithms 3.5 and 3.6 (line search), 3.59
    (interpolation), 7.4 and 7.20 (two loops, scale); D. Liu and J. Nocedal, On the limited memory BFGS method for large
    scale optimization, 1989. Safeguards and limits as in PyTorch, which has them from M. Schmidt's minFunc.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 1.0, 1.0]))
    >>> rule = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():  # x^2 / 2 + 5 y^2 + 50 z^2
    ...     w.grad = wrap(np.array([1.0, 10.0, 100.0]) * w.array)
    ...     return 0.5 * (w.array * w.grad.array).sum()
    >>> float(rule.step(closure)), bool(abs(w.array).max() < 1e-5)
    (55.5, True)
    """

    needs_closure = True
    bounds = {
        **Optimizer.bounds,
        **dict.fromkeys(("max_iter", "max_eval", "history_size"), (1, math.inf)),
        **dict.fromkeys(("tolerance_grad", "tolerance_change"), (0, math.inf)),
    }

    def __init__(
        self,
        params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        max_eval = max(1, int(max_iter * 5 // 4)) if max_eval is None else max_eval
        defaults = dict(lr=lr, max_iter=max_iter, max_eval=max_eval, history_size=history_size)
        limits = dict(tolerance_grad=tolerance_grad, tolerance_change=tolerance_change, line_search_fn=line_search_fn)
        super().__init__(params, {**defaults, **limits})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As the base class, once: there can be one group only."""
        if self.param_groups:
            raise ValueError("LBFGS: all parameters are one vector, so there can be one parameter group only, got two")
        super().add_param_group(param_group)
        self.check(self.param_groups[0])

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the parameters are of one dtype and the hyperparameters make sense."""
        super().check(group)
        dtypes = {str(p.array.dtype) for p in group["params"]}
        if len(dtypes) != 1:
            raise ValueError(f"LBFGS: needs parameters, and all of one dtype, got {sorted(dtypes) or 'none'}")
        for key in ("max_iter", "max_eval", "history_size"):
            if not isinstance(group[key], int):
                raise TypeError(f"LBFGS: {key} must be an int, got {group[key]!r}")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn must be None or 'strong_wolfe', got {group['line_search_fn']!r}")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations; see the class.

        closure: zeroes the gradients, computes the loss and its gradients, and returns the loss. What it returned the
        first time is returned.
        """
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that computes the loss and its gradients anew")
        (group,), state = self.param_groups, self.state[self.param_groups[0]["params"][0]]
        lr, tolerance = float(group["lr"]), group["tolerance_change"]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        result = self._evaluate(closure)
        if result is None:
            raise TypeError("LBFGS.step: the closure must return the loss, it returned None")
        if all(p.grad is None for p in self.param_groups[0]["params"]):
            raise RuntimeError("LBFGS.step: after the closure no parameter has a gradient; call loss.backward() in it")
        loss, g = float(result), self._gradient()
        state["func_evals"] += 1
        evals = 1
        if _largest(g) <= group["tolerance_grad"]:
            return result
        memory = _Memory(state, group["history_size"])
        try:  # so that the state fits the parameters even if the closure ends all this
            for i in range(1, group["max_iter"] + 1):
                state["n_iter"] += 1
                d, t = memory.direction(g, loss, lr, first=state["n_iter"] == 1)
                slope = _dot(g, d)
                if slope > -tolerance:
                    break
                before, called, x = loss, 0, self._vector()
                if group["line_search_fn"] is not None:
                    here = _Point(0.0, loss, slope, g)

                    def at(t: float, x=x, d=d) -> _Point:
                        self._put(x, t, d)
                        f, g = float(self._evaluate(closure)), self._gradient()
                        return _Point(t, f, _dot(g, d), g)

                    try:
                        there, called = strong_wolfe(at, here, t, _largest(d), tolerance, group["max_eval"] - evals)
                    except BaseException:
                        self._put(x, 0.0, d)
                        raise
                    memory.t, loss, g = there.t, there.f, there.g
                    self._put(x, there.t, d)
                else:
                    self._put(x, t, d)
                    if i < group["max_iter"]:  # with batches, there would be no use for it
                        loss, g, called = float(self._evaluate(closure)), self._gradient(), 1
                evals += called
                state["func_evals"] += called
                if evals >= group["max_eval"] or _largest(g) <= group["tolerance_grad"]:
                    break
                if _largest(d) * abs(memory.t) <= tolerance or abs(loss - before) < tolerance:
                    break
        finally:
            memory.save(state)
        return result

    # all parameters as one vector
    def _evaluate(self, closure: Callable[[], Any]) -> Any:
        with enable_grad():
            return closure()

    def _vector(self):
        """A copy of the parameters."""
        arrays = [p.array for p in self.param_groups[0]["params"]]
        B = backend_of(arrays[0])
        return B.concatenate([B.reshape(a, (-1,)) for a in arrays])

    def _gradient(self):
        """A copy of the gradients; zeros where there are none."""
        params = self.param_groups[0]["params"]
        B = backend_of(params[0].array)
        arrays = [B.zeros_like(p.array) if p.grad is None else p.grad.array for p in params]
        return B.concatenate([B.reshape(a.dense() if a.__class__ is RowArray else a, (-1,)) for a in arrays])

    @np.errstate(all="ignore")
    def _put(self, x, t: float, d) -> None:
        """Put x + t d into the parameters."""
        new, start = x + t * d, 0
        for p in self.param_groups[0]["params"]:
            stop = start + p.array.size
            p.write(backend_of(new).reshape(new[start:stop], p.array.shape))
            start = stop

    # files
    def _merged(self, i: int, group: dict, saved: dict) -> dict:
        new = super()._merged(i, group, saved)
        self.check(new)
        return new

    def _misfits(self, p: Tensor, entries: dict, example: dict | None) -> list[str]:
        size = sum([p.array.size for p in self.param_groups[0]["params"]])
        problems = [f"has a '{key}', expected {sorted(_ENTRIES)}" for key in entries if key not in _ENTRIES]
        for key in ("d", "prev_flat_grad", "old_dirs", "old_stps"):
            value = entries.get(key, [])
            for v in value if isinstance(value, list) else [value]:
                if v.shape != (size,):
                    problems.append(f"has {describe(v)} in '{key}', expected {size} elements")
        return problems


class _Memory:
    """The last pairs of steps and changes of the gradient, and the direction that follows from them."""

    def __init__(self, state: dict[str, Any], room: int) -> None:
        self.room = room
        self.d, self.g = _bare(state.get("d")), _bare(state.get("prev_flat_grad"))
        self.t, self.loss = float(state.get("t", 0.0)), float(state.get("prev_loss", 0.0))
        self.ys, self.ss = _bare(state.get("old_dirs", [])), _bare(state.get("old_stps", []))
        self.rs, self.scale = _bare(state.get("ro", [])), _bare(state.get("H_diag", 1))
        self.shares = _bare(state.get("al"))

    @np.errstate(all="ignore")
    def direction(self, g, loss: float, lr: float, first: bool) -> tuple[Any, float]:
        """Where to go from a point with the gradient g, and how far to try."""
        B = backend_of(g)
        if first:
            self.d, self.t = -g, min(1.0, 1.0 / float(B.sum(B.abs(g)))) * lr
        else:
            self._learn(g - self.g, self.d * self.t)
            self.d, self.t = self._times_inverse_hessian(-g), lr
        self.g, self.loss = g, loss
        return self.d, self.t

    def _learn(self, y, s) -> None:
        ys = y @ s
        if float(ys) > 1e-10:  # otherwise the function is not convex here, or nothing moved
            keep = max(0, len(self.ys) + 1 - self.room)
            self.ys, self.ss = [*self.ys[keep:], y], [*self.ss[keep:], s]
            self.rs, self.scale = [*self.rs[keep:], 1.0 / ys], ys / (y @ y)

    def _times_inverse_hessian(self, q):
        """Algorithm 7.4; numbers stay on the device."""
        shares = self.shares = self.shares or [None] * self.room
        for i in reversed(range(len(self.ys))):
            shares[i] = (self.ss[i] @ q) * self.rs[i]
            q = q - shares[i] * self.ys[i]
        r = q * self.scale
        for i in range(len(self.ys)):
            r = r + (shares[i] - (self.ys[i] @ r) * self.rs[i]) * self.ss[i]
        return r

    def save(self, state: dict[str, Any]) -> None:
        """Write everything into the state of the first parameter, under PyTorch's names."""
        entries = (self.d, self.t, self.ys, self.ss, self.rs, self.scale, self.g, self.loss, self.shares)
        state.update({k: _wrapped(v) for k, v in zip(_MEMORY, entries, strict=True) if v is not None})


_MEMORY = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss", "al")
_ENTRIES = (*_MEMORY, "func_evals", "n_iter")


class _Point(NamedTuple):
    """A point on the line: where, the loss, its slope along the line, its gradient."""

    t: float
    f: float
    slope: float
    g: Any


def strong_wolfe(
    at: Callable[[float], _Point], start: _Point, t: float, size: float, tolerance: float, limit: int
) -> tuple[_Point, int]:
    """A point on a line that satisfies the strong Wolfe conditions, and how many points were looked at.

        f(t) <= f(0) + c1 t f'(0),   |f'(t)| <= c2 |f'(0)|        c1 = 1e-4, c2 = 0.9

    at: evaluates a point. start: the point 0, from which it goes downhill. t: the first to try. size: the largest
    element of the direction; a bracket shorter than tolerance in every element is not divided further. After `limit`
    more points than the first the lower end of the bracket is taken, whatever it satisfies. A loss of nan is too high.
    """

    def high(point: _Point) -> bool:
        return not point.f <= start.f + _DECREASE * point.t * start.slope

    def flat(point: _Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * start.slope

    # algorithm 3.5: go on until there is a point beyond which it no longer pays to go
    before, now, seen = start, at(t), 1
    while seen <= limit:
        if high(now) or (seen > 2 and now.f >= before.f):
            ends = [before, now]
            break
        if flat(now):
            return now, seen
        if now.slope >= 0:
            ends = [before, now]
            break
        t = interpolated(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now, seen = now, at(t), seen + 1
    else:
        ends = [start, now]

    # algorithm 3.6: make the bracket smaller, its lower end always the lowest point seen that decreases enough
    low, near = int(ends[1].f < ends[0].f), False
    while seen <= limit and not abs(ends[1].t - ends[0].t) * size < tolerance:
        left, right = sorted([ends[0].t, ends[1].t])
        t, margin = interpolated(ends[0], ends[1], left, right), 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            near = False
        elif near or t >= right or t <= left:  # the second time so near to an end: away from it
            t, near = right - margin if abs(t - right) < abs(t - left) else left + margin, False
        else:
            near = True
        now, seen = at(t), seen + 1
        if high(now) or now.f >= ends[low].f:
            ends[1 - low] = now
            low = int(ends[1].f < ends[0].f)
        elif flat(now):
            return now, seen
        else:
            if now.slope * (ends[1 - low].t - ends[low].t) >= 0:
                ends[1 - low] = ends[low]
            ends[low] = now
    return ends[low], seen


def interpolated(a: _Point, b: _Point, low: float, high: float) -> float:
    """Where the cubic through two points with these slopes is lowest, within [low, high]; the middle if nowhere."""
    a, b = (a, b) if a.t <= b.t else (b, a)
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t) if a.t != b.t else math.nan
    square = d1 * d1 - a.slope * b.slope
    if 0 <= square < math.inf:
        d2 = math.sqrt(square)
        below = b.slope - a.slope + 2 * d2
        if below:
            return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / below), low), high)
    return (low + high) / 2


@np.errstate(all="ignore")
def _dot(a, b) -> float:
    return float(a @ b)


def _largest(x) -> float:
    B = backend_of(x)
    return float(B.max(B.abs(x)))


def _bare(value):
    """The arrays in an entry of the state."""
    if isinstance(value, (list, tuple)):
        return [_bare(v) for v in value]
    return value.array if isinstance(value, Tensor) else value


def _wrapped(value):
    """An entry of the state with its arrays, and what NumPy made numbers of, as Tensors."""
    if isinstance(value, list):
        return [_wrapped(v) for v in value]
    if value is None or value.__class__ in (int, float):
        return value
    return wrap(np.asarray(value) if isinstance(value, np.generic) else value)
