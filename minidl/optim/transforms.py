"""What may be done to gradients between backward and the update, with any rule: `optimizer.transform(ClipNorm(1.0))`.

They run in the order in which they were given, each on what the one before it left.
"""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable
from typing import Any

from ..backend import backend_of, get_backend
from ..backend.norms import gathered, limit_norm, total_norm
from ..backend.random import Generator, default_generator
from ..tensor import Tensor, describe, wrap
from .checks import number, whole
from .flat import fitted


class Transform:
    """The base class: what an optimizer does to gradients before its update.

    A transform of your own needs `apply`; one that remembers anything also `state_dict` and `load_state_dict`, which
    has to check the whole state before it changes anything. It changes `p.grad`, in place or by assigning a new Tensor:

    >>> class Sign(Transform):
    ...     '''g <- sign(g)'''
    ...     def apply(self, params, optimizer):
    ...         for p in params:
    ...             p.grad = p.grad.sign()
    ...         return True
    >>> import minidl
    >>> from minidl.optim import SGD
    >>> w = minidl.zeros(2, requires_grad=True)
    >>> rule = SGD([w], lr=0.5).transform(Sign())
    >>> w.grad = minidl.tensor([3.0, -0.1]); rule.step(); w
    tensor([-0.5000,  0.5000], requires_grad=True)
    """

    def attach(self, optimizer) -> None:
        """Called when an optimizer takes the transform; what remembers parameters gets to know them here."""

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Change the gradients of these parameters, those that have one; False if this step is not to be made."""
        raise NotImplementedError(f"{type(self).__name__} has no apply(params, optimizer)")

    def state_dict(self) -> dict[str, Any]:
        """What the transform has to remember: numbers, and Tensors by the number of their parameter."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave; if it does not fit, a ValueError says why, nothing is changed."""
        own, where = self.state_dict(), f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, dict) or set(state) != set(own):
            found = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"{where}: expected {sorted(own)}, got {found}")
        try:
            new = self._checked(where, state)
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            text = str(error)
            raise ValueError(text if text.startswith(where) else f"{where}: {text}") from error
        self.__dict__.update(new)

    def _checked(self, where: str, state: dict[str, Any]) -> dict[str, Any]:
        """What a saved state, whose keys are right, makes of the attributes; ValueError or TypeError if it does not."""
        return {}

    def __repr__(self) -> str:
        names = inspect.signature(type(self).__init__).parameters if type(self).__init__ is not object.__init__ else ()
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names if hasattr(self, n))})"

    # for the transforms of this file
    def _dense(self, p: Tensor):
        """The gradient's array; a row-sparse one is refused."""
        g: Any = p.grad
        if g.is_sparse:
            name, what = type(self).__name__, f"as that of a parameter {describe(p.array)}"
            raise RuntimeError(f"{name}: expected ordinary gradients, got a row-sparse one {what}; use sparse=False")
        return g.array


def _values(p: Tensor):
    """The array of a gradient; of a row-sparse one that of its rows, with repeated ones summed."""
    g: Any = p.grad
    return g.array.condensed() if g.is_sparse else g.array


def _change(p: Tensor, compute: Callable[[Any], Any]) -> None:
    """g <- compute(g); of a row-sparse gradient the rows that it has, so compute(0) must be 0."""
    g: Any = p.grad
    values = _values(p)
    if g.is_sparse:
        values[...] = compute(values)
        g.changed()
    else:
        _set(p, compute(values))


def _set(p: Tensor, g) -> None:
    p.grad = wrap(backend_of(p.array).asarray(g))  # what is 0-d may have become a scalar


def _sum(numbers: list):
    """The sum of 0-d arrays on whatever devices."""
    B, together = backend_of(numbers[0]), gathered(numbers)
    return B.asarray(B.sum(together))


# ------------------------------------------------------------------------------------------------------------ limits
class ClipNorm(Transform):
    """Scales all gradients together so that their norm is at most max_norm.

        g <- g min(1, max_norm / (|g| + 1e-6)),    |g| the norm of order norm_type over all parameters of the optimizer

    The same as `nn.utils.clip_grad_norm_` before each step; `norm` is what it found at the last one, a 0-d Tensor.

    When to choose it: recurrent networks, transformers, reinforcement learning: where a rare batch has a gradient many
    times larger than the others. Bad at: hiding a rate that is too large; if it acts at every step, lower that instead.

    Source: R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013.

    >>> import minidl
    >>> from minidl.optim import SGD
    >>> w = minidl.zeros(2, requires_grad=True)
    >>> clip = ClipNorm(1.0)
    >>> rule = SGD([w], lr=1.0).transform(clip)
    >>> w.grad = minidl.tensor([3.0, -4.0]); rule.step(); w.detach(), clip.norm
    (tensor([-0.6000,  0.8000]), tensor(5.))
    """

    def __init__(self, max_norm: float, norm_type: float = 2.0) -> None:
        # math.inf: to see the norm only
        self.max_norm = math.inf if max_norm == math.inf else number("ClipNorm", "max_norm", max_norm, 0)
        self.norm_type = float(norm_type)
        self.norm: Tensor | None = None

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Limit the norm."""
        if params:
            arrays = [_values(p) for p in params]
            norm = total_norm(arrays, self.norm_type)
            limit_norm(arrays, self.max_norm, norm)
            self.norm = wrap(norm)
            for p in params:
                if p.grad is not None:
                    p.grad.changed()
        return True


class ClipValue(Transform):
    """Limits every element of the gradients: g <- min(max(g, -value), value).

    When to choose it: where single elements explode, as in LSTMs for handwriting (Graves 2013). Bad at: keeping the
    direction of the gradient, which ClipNorm does.

    Source: A. Graves, Generating sequences with recurrent neural networks, 2013, arXiv 1308.0850.
    """

    def __init__(self, value: float) -> None:
        self.value = number("ClipValue", "value", value, 0)

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Limit the elements."""
        for p in params:
            _change(p, self._limited)
        return True

    def _limited(self, g):
        B = backend_of(g)
        return B.minimum(B.maximum(g, -self.value), self.value)


# --------------------------------------------------------------------------------------------------------- penalties
class _Penalty(Transform):
    def __init__(self, penalty: float) -> None:
        self.penalty = number(type(self).__name__, "penalty", penalty, 0)

    def slope(self, x):
        """The derivative of the penalty by the parameter x (an array), but for its factor."""
        raise NotImplementedError

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Add the derivative of the penalty."""
        climbing = {p for group in optimizer.param_groups if group.get("maximize") for p in group["params"]}
        for p in params:  # where the loss is maximized, the penalty must still be made small
            factor = -self.penalty if p in climbing else self.penalty
            _set(p, self._dense(p) + factor * self.slope(p.array))
        return True


class L1(_Penalty):
    """Adds the gradient of penalty |p|_1: g <- g + penalty sign(p).

    When to choose it: for weights of which many shall become nearly 0, so that they can be taken out. Bad at: making
    them exactly 0, which steps across 0 prevent; with Adam the penalty is divided by sqrt(v), like all of the gradient.

    Parameters without gradient are left alone, as with weight_decay. Source: R. Tibshirani, Regression shrinkage and
    selection via the lasso, 1996.
    """

    def slope(self, x):
        """sign(x)."""
        return backend_of(x).sign(x)


class L2(_Penalty):
    """Adds the gradient of penalty / 2 |p|^2: g <- g + penalty p, the same as weight_decay=penalty in SGD.

    When to choose it: with rules that have no weight_decay, or before a ClipNorm that shall see the penalty too. Bad
    at: adaptive rules, where decoupled decay (AdamW) is better.

    Parameters without gradient are left alone. Source: A. Krogh and J. Hertz, A simple weight decay can improve
    generalization, NeurIPS 1991.
    """

    def slope(self, x):
        """x."""
        return x


# ----------------------------------------------------------------------------------------------------- noise, centre
class Noise(Transform):
    """Adds normal noise that becomes less with time: g <- g + N(0, eta / (1 + t)^gamma), t = 0 at the first step.

    eta / (1 + t)^gamma is the variance. generator: where the noise comes from; its state is then saved with the
    transform. Without it minidl's own, which `manual_seed` sets.

    When to choose it: very deep or otherwise awkward networks that do not start to learn; eta 0.01, 0.3 or 1. Bad at:
    the last steps to a minimum; networks with a good initialisation and normalisation hardly need it.

    Source: A. Neelakantan et al., Adding gradient noise improves learning for very deep networks, 2015, arXiv
    1511.06807.
    """

    def __init__(self, eta: float, gamma: float = 0.55, generator: Generator | None = None) -> None:
        self.eta, self.gamma = number("Noise", "eta", eta, 0), number("Noise", "gamma", gamma, 0)
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(f"Noise: generator must be a minidl.Generator, got {type(generator).__name__}")
        self.generator, self.steps = generator, 0

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Add the noise."""
        draw = self.generator or default_generator()
        deviation = (self.eta / (1 + self.steps) ** self.gamma) ** 0.5
        for p in params:
            g = self._dense(p)
            B = backend_of(g)
            _set(p, g + deviation * B.from_host(draw.normal(g.shape, g.dtype), B.device_of(g)))
        self.steps += 1
        return True

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, and the state of its own generator."""
        own = {} if self.generator is None else {"generator": list(self.generator.get_state())}
        return {"steps": self.steps, **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        super().load_state_dict(state)
        if self.generator is not None:
            self.generator.set_state(state["generator"])

    def _checked(self, where: str, state: dict[str, Any]) -> dict[str, Any]:
        if self.generator is not None:
            Generator(0).set_state(state["generator"])  # raises if it is none
        return {"steps": whole(where, "steps", state["steps"], 0)}


class Centralise(Transform):
    """Subtracts from a gradient its mean over all axes but the first: g <- g - mean(g), for each output of a layer.

    For parameters of two and more dimensions; others stay. The weights of an output then keep their sum.

    When to choose it: convolutional networks with SGD, where it smooths the loss at hardly any cost. Bad at: layers
    whose weights have a mean that matters: embeddings, a single output.

    Source: H. Yong, J. Huang, X. Hua and L. Zhang, Gradient centralization, ECCV 2020, arXiv 2004.01461.
    """

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Centre the gradients."""
        for p in params:
            if p.array.ndim > 1 and p.array.size:
                _change(p, self._centred)
        return True

    def _centred(self, g):
        return g - backend_of(g).mean(g, axis=tuple(range(1, g.ndim)), keepdims=True)


# -------------------------------------------------------------------------------------------- several steps in one
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
                _set(p, self._give(p, tuple([t.array for t in self._kept[p]])))
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
            new = gathered([_sum(list(numbers)) for numbers in zip(*self._found, strict=True)])
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


# --------------------------------------------------------------------------------------------------------- emergencies
class SkipNonFinite(Transform):
    """Skips the steps whose gradients have an infinite or nan element, and drops those gradients.

    limit: the limit-th such step in a row raises RuntimeError; None: never. `skipped` counts them all, `in_a_row` those
    since the last good one. Parameters, state and schedules stay as they are.

    When to choose it: half precision, and long runs that a single bad sample must not end. Put it before transforms
    that collect or scale gradients. Bad at: hiding that a run diverges, unless there is a limit; it waits for the
    device once a step.

    >>> import minidl
    >>> from minidl.optim import SGD
    >>> w = minidl.zeros(1, requires_grad=True)
    >>> skip = SkipNonFinite(limit=3)
    >>> rule = SGD([w], lr=1.0).transform(skip)
    >>> w.grad = minidl.tensor([float("inf")]); rule.step(); w.item(), w.grad, skip.skipped
    (0.0, None, 1)
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = None if limit is None else whole("SkipNonFinite", "limit", limit)
        self.skipped = self.in_a_row = 0

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Whether all gradients are finite."""
        arrays = [_values(p) for p in params]
        good = [backend_of(a).asarray(backend_of(a).all(backend_of(a).isfinite(a))) for a in arrays]
        flags = wrap(gathered(good)).tolist() if good else []
        if all(flags):
            self.in_a_row = 0
            return True
        self.skipped += 1
        self.in_a_row += 1
        if self.limit is not None and self.in_a_row >= self.limit:
            everyone = [p for group in optimizer.param_groups for p in group["params"]]
            bad = params[flags.index(False)]
            number = next(i for i, p in enumerate(everyone) if p is bad)
            raise RuntimeError(
                f"SkipNonFinite: the gradients were not finite {self.in_a_row} times in a row (limit {self.limit}), "
                f"now that of parameter {number}, {describe(bad.array)}"
            )
        for p in params:
            p.grad = None
        return False

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def _checked(self, where: str, state: dict[str, Any]) -> dict[str, Any]:
        return {name: whole(where, name, state[name], 0) for name in ("skipped", "in_a_row")}
