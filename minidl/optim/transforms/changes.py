"""Transforms of the gradients of one step: limits, penalties, noise, and what is left out."""

from __future__ import annotations

import math
from typing import Any

from ...backend import backend_of
from ...backend.norms import gathered, limit_norm, total_norm
from ...backend.random import Generator, default_generator
from ...tensor import Tensor, describe, wrap
from ..checks import number, whole
from .base import Transform, change, put, values_of


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
            arrays = [values_of(p) for p in params]
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
            change(p, self._limited)
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
            put(p, self._dense(p) + factor * self.slope(p.array))
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
            put(p, g + deviation * B.from_host(draw.normal(g.shape, g.dtype), B.device_of(g)))
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
                change(p, self._centred)
        return True

    def _centred(self, g):
        return g - backend_of(g).mean(g, axis=tuple(range(1, g.ndim)), keepdims=True)


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
        arrays = [values_of(p) for p in params]
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
