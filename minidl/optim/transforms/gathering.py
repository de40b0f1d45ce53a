"""Transforms that make one step out of the gradients of several backward passes."""

from __future__ import annotations

import math
import weakref
from typing import Any

from ...backend import backend_of, get_backend
from ...backend.norms import gathered
from ...tensor import Tensor, describe, wrap
from ..checks import number, whole
from ..flat import fitted
from .base import Transform, put, sum_of


class _Gathering(Transform):
    """Collects the gradients of k calls; the first k - 1 of them skip the step."""

    parts: tuple[str, ...]  # what is kept of each parameter
    count = 0  # of gradients collected so far

    def _take(self, p: Tensor, kept: tuple | None, g) -> tuple:
        """What is kept of a parameter after one more gradient g, an array or, where it has none, None."""
        raise NotImplementedError

    def _give(self, p: Tensor, kept: tuple):
        """The gradient (an array) to make the step with, from what is kept."""
        raise NotImplementedError

    def __init__(self, k: int, least: int) -> None:
        self.k = self.every = whole(type(self).__name__, "k", k, least)
        # by parameter, for others may come before it; by number as long as no optimizer is known
        self._kept: dict[Any, tuple[Tensor, ...]] = {}

    _owner: weakref.ref | None = None

    def attach(self, optimizer) -> None:
        """Get to know the optimizer, of which there can be only one at a time."""
        owner = None if self._owner is None else self._owner()
        if owner is optimizer:
            return
        if owner is not None:
            name = type(self).__name__
            raise RuntimeError(f"{name}: it remembers the gradients of another optimizer; give each its own {name}")
        everyone, name = _everyone(optimizer), type(self).__name__
        if self._owner is None:
            self._kept = self._of(f"{name}: its state", self._kept, everyone)
        elif not self._kept.keys() <= set(everyone):
            raise RuntimeError(f"{name}: it remembers the gradients of an optimizer that is gone; make a new {name}")
        self._owner = weakref.ref(optimizer)

    def _of(self, where: str, kept: dict[Any, tuple[Tensor, ...]], everyone: list[Tensor]) -> dict:
        """What was kept by the number of a parameter, by the parameter, and like it."""
        found = {}
        for i, values in kept.items():
            if i >= len(everyone):
                raise ValueError(f"{where} has parameter {i}, the optimizer has {len(everyone)}")
            p = everyone[i]
            try:
                found[p] = tuple([wrap(self._beside(p, *pair)) for pair in zip(self.parts, values, strict=True)])
            except ValueError as error:
                raise ValueError(f"{where} does not fit parameter {i}, {describe(p.array)}: {error}") from error
        return found

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Take the gradients away; at the k-th call give back what came of them."""
        self.attach(optimizer)
        everyone = _everyone(optimizer)
        arrays = [None if p.grad is None else self._dense(p) for p in everyone]
        for p, g in zip(everyone, arrays, strict=True):
            kept = self._kept.get(p)
            if kept is None and g is None:
                continue
            if kept is not None:
                kept = tuple([self._beside(p, part, t) for part, t in zip(self.parts, kept, strict=True)])
            self._kept[p] = tuple([wrap(backend_of(p.array).asarray(a)) for a in self._take(p, kept, g)])
            p.grad = None
        self.count += 1
        if self.count < self.k:
            return False
        for p in everyone:
            if p in self._kept:
                put(p, self._give(p, tuple([t.array for t in self._kept[p]])))
        self.count, self._kept = 0, {}
        return True

    def _beside(self, p: Tensor, part: str, t: Tensor):
        """What is kept as an array like p, which a state that was loaded need not be."""
        a, x = t.array, p.array
        B = backend_of(x)
        same = a.__class__ is x.__class__ and (a.shape, a.dtype) == (x.shape, x.dtype)
        return a if same and B.device_of(a) == B.device_of(x) else fitted(self, part, t, x.shape, x.dtype, x)

    def _numbered(self) -> dict[int, tuple[Tensor, ...]]:
        """What is kept, by the number of its parameter."""
        if self._owner is None:
            return self._kept
        owner = self._owner()
        if owner is None:
            if self._kept:
                raise RuntimeError(f"{type(self).__name__}: the optimizer whose gradients it remembers is gone")
            return {}
        return {i: self._kept[p] for i, p in enumerate(_everyone(owner)) if p in self._kept}

    def state_dict(self) -> dict[str, Any]:
        """What was collected so far."""
        kept = self._numbered()
        found = {part: {i: _copy(t[j]) for i, t in kept.items()} for j, part in enumerate(self.parts)}
        return {"count": self.count, **found}

    def _checked(self, where: str, state: dict[str, Any]) -> dict[str, Any]:
        count = whole(where, "count", state["count"], 0)
        columns = [{int(i): _copy(t) for i, t in state[part].items()} for part in self.parts]
        numbers = sorted(columns[0])
        if count >= self.k or any(sorted(c) != numbers for c in columns) or (numbers and (numbers[0] < 0 or not count)):
            raise ValueError(f"{where}: {count} gradients of {numbers} do not fit k={self.k}")
        kept = {i: tuple([column[i] for column in columns]) for i in numbers}
        owner = None if self._owner is None else self._owner()
        if owner is None:
            return {"count": count, "_kept": kept, "_owner": None}
        return {"count": count, "_kept": self._of(f"{where}: the state", kept, _everyone(owner))}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": self._numbered(), "_owner": None}  # a copy may go to another optimizer


def _everyone(optimizer) -> list[Tensor]:
    """All parameters in the order of their numbers."""
    return list(dict.fromkeys(p for group in optimizer.param_groups for p in group["params"]))


def _copy(t: Tensor) -> Tensor:
    return wrap(backend_of(t.array).copy(t.array))


class Accumulate(_Gathering):
    """Makes one step of k: with the mean (or the sum) of the gradients of k calls of `step()`.

        g <- (g_1 + ... + g_k) / k

    Each call takes the gradient out of `p.grad`, which is None afterwards, so that it does not matter whether
    `zero_grad()` is called in between; after the k-th, which makes the step, `p.grad` is the mean, and zero_grad() is
    needed as ever. A parameter without gradient in some of the calls counts as 0 there; one that had none in all of
    them is skipped. Schedules, hooks and the rule's own count see only the steps that are made.

    When to choose it: batches that do not fit in memory. Bad at: batch norm, which sees the small batches; LBFGS,
    whose closure is called several times a step. A sum suits losses that are sums over samples.

    >>> import minidl
    >>> from minidl.optim import SGD
    >>> w = minidl.zeros(1, requires_grad=True)
    >>> rule = SGD([w], lr=1.0).transform(Accumulate(2))
    >>> for g in (1.0, 4.0):
    ...     w.grad = minidl.tensor([g]); rule.step(); print(w.item())
    0.0
    -2.5
    """

    parts = ("sum",)

    def __init__(self, k: int, reduction: str = "mean") -> None:
        super().__init__(k, 1)
        if reduction not in ("mean", "sum"):
            raise ValueError(f"Accumulate: reduction must be 'mean' or 'sum', got {reduction!r}")
        self.reduction = reduction

    def _take(self, p: Tensor, kept: tuple | None, g) -> tuple:
        if kept is None:
            return (backend_of(g).copy(g),)
        if g is not None:
            backend_of(g).iadd(kept[0], g)
        return kept

    def _give(self, p: Tensor, kept: tuple):
        return kept[0] / self.k if self.reduction == "mean" else kept[0]


class VarianceReduction(_Gathering):
    """Accumulate's mean over k micro-batches, and what their differences say about the noise in it.

        m = mean(g_1 ... g_k),    s^2 = sum (g_i - m)^2 / (k - 1)                                 for each element
        g <- m                  or, with shrink,     g <- m  m^2 / (m^2 + s^2 / k)
        noise_scale = b tr(S) / |G|^2,    tr(S) = sum s^2,    |G|^2 = |m|^2 - tr(S) / k           over all elements

    shrink: elements that are mostly noise take smaller steps. batch_size: the number b of samples in a micro-batch, so
    that noise_scale is a number of samples; batches much smaller than it have gradients that are mostly noise, much
    larger ones waste samples. tr(S) and |G|^2 are both unbiased but noisy, so `average` > 0 takes moving averages of
    the two over the steps, as the paper does; noise_scale is nan before the first step, and inf if nothing but noise
    was seen. For the rest see Accumulate.

    When to choose it: to find out which batch size a task needs; shrink for small and noisy batches. Bad at: costing
    nothing, since two arrays more are kept; at few micro-batches, whose variance is itself a guess.

    Sources: S. McCandlish, J. Kaplan and D. Amodei, An empirical model of large-batch training, 2018, arXiv 1812.06162
    (section 2.2 and appendix A.1); L. Balles and P. Hennig, Dissecting Adam: the sign, magnitude and variance of
    stochastic gradients, ICML 2018, arXiv 1705.07774 (shrink).

    >>> import minidl
    >>> from minidl.optim import SGD
    >>> w = minidl.zeros(1, requires_grad=True)
    >>> noise = VarianceReduction(2)
    >>> rule = SGD([w], lr=1.0).transform(noise)
    >>> for g in (1.0, 3.0):
    ...     w.grad = minidl.tensor([g]); rule.step()
    >>> w.item(), round(noise.noise_scale, 4)                                 # m = 2, s^2 = 2: 2 / (4 - 2 / 2)
    (-2.0, 0.6667)
    """

    parts = ("mean", "deviation")

    def __init__(self, k: int, shrink: bool = False, batch_size: int = 1, average: float = 0.0) -> None:
        super().__init__(k, 2)
        self.shrink, self.batch_size = bool(shrink), whole("VarianceReduction", "batch_size", batch_size)
        self.average = number("VarianceReduction", "average", average, 0)
        if self.average >= 1:
            raise ValueError(f"VarianceReduction: average must be < 1, got {average}")
        self._totals: Tensor | None = None  # the moving averages of tr(S) and |m|^2 - tr(S) / k
        self._found: list[tuple] = []  # both of each parameter, in the step being made

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """As Accumulate; after the k-th call the noise is known."""
        self._found = []
        done = super().apply(params, optimizer)
        if self._found:
            new = gathered([sum_of(list(numbers)) for numbers in zip(*self._found, strict=True)])
            if self._totals is not None and self.average:
                old = fitted(self, "totals", self._totals, new.shape, new.dtype, new)
                new = self.average * old + (1 - self.average) * new
            self._totals = wrap(new)
        return done

    @property
    def noise_scale(self) -> float:
        """tr(S) / |G|^2 times batch_size; asking for it waits for the device."""
        if self._totals is None:
            return math.nan
        trace, square = self._totals.tolist()
        return self.batch_size * trace / square if square > 0 else math.inf

    def state_dict(self) -> dict[str, Any]:
        """What was collected so far, and the averages of tr(S) and |G|^2."""
        return {**super().state_dict(), "totals": [] if self._totals is None else self._totals.tolist()}

    def _checked(self, where: str, state: dict[str, Any]) -> dict[str, Any]:
        new, totals = super()._checked(where, state), list(state["totals"])
        if len(totals) not in (0, 2):
            raise ValueError(f"{where}: expected two totals or none, got {len(totals)}")
        # what was found may have been infinite
        numbers = [float(x) for x in totals]
        return {**new, "_totals": wrap(get_backend("cpu").asarray(numbers)) if numbers else None}

    def _take(self, p: Tensor, kept: tuple | None, g) -> tuple:
        B, n = backend_of(p.array), self.count + 1
        g = B.zeros_like(p.array) if g is None else g
        mean, deviation = (B.zeros_like(p.array), B.zeros_like(p.array)) if kept is None else kept
        step = g - mean  # Welford's recurrence, which does not lose small variances
        mean = mean + step / n
        return mean, deviation + step * (g - mean)

    def _give(self, p: Tensor, kept: tuple):
        (m, d), B = kept, backend_of(p.array)
        noise, square = d / (self.k - 1), m * m
        trace, length = (B.asarray(B.sum(B.astype(B.asarray(x), "float64"))) for x in (noise, square))
        self._found.append((trace, B.asarray(length - trace / self.k)))
        if not self.shrink:
            return m
        whole = square + noise / self.k
        return B.where(whole > 0, m * square / B.where(whole > 0, whole, 1.0), m)
