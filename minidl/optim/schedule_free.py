"""Rules that need no schedule: an average of all steps takes the place of a falling rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend import backend_of
from .adam import check_pair
from .optimizer import Optimizer


class _ScheduleFree(Optimizer):
    """What the two rules share: the average, and the change between the point for gradients and the point for use."""

    decay = "own"
    captures = True  # the check in `step` is made again whenever train_mode changes
    beta: str  # the hyperparameter that says how near y is to x
    bounds = {**Optimizer.bounds, "warmup_steps": (0, math.inf)}

    def eval(self) -> None:
        """Put x, the average, into the parameters: to evaluate, to save a model for use. Nothing if it is there."""
        self._turn(False, lambda beta: 1 - 1 / beta)

    def train(self) -> None:
        """Put y, the point at which gradients are taken, into the parameters. Nothing if it is there."""
        self._turn(True, lambda beta: 1 - beta)

    def _turn(self, mode: bool, share: Callable[[float], float]) -> None:
        """Move the parameters by a share of their way to z: y = x + (1 - b) (z - x), so x = y + (1 - 1 / b) (z - y)."""
        for group in self.param_groups:
            if group["train_mode"] == mode:
                continue
            beta = self._share(group)
            for p in group["params"]:
                z = self.state[p].get("z") if p in self.state else None
                if z is not None:  # without a step yet, x, y and z are the same
                    a = p.array
                    a += share(beta) * (z.array - a)
                    p.changed()
            group["train_mode"] = mode

    def _share(self, group: dict[str, Any]) -> float:
        value = group[self.beta]
        return float(value[0] if self.beta == "betas" else value)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """As the base class; RuntimeError after eval(), for then the parameters are not where gradients belong."""
        if not all(group["train_mode"] for group in self.param_groups):
            name = type(self).__name__
            raise RuntimeError(f"{name}.step: the parameters are the average, for use; call the optimizer's train()")
        return super().step(closure)

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense."""
        super().check(group)
        if self.beta == "betas":
            check_pair(self, group, "betas")
        beta = self._share(group)
        if not 0 < beta < 1:
            where = "betas[0]" if self.beta == "betas" else self.beta
            raise ValueError(f"{type(self).__name__}: {where} must be > 0 and < 1, got {beta}")

    def init(self, p, h) -> dict[str, Any]:
        """z, which begins where the parameter is, and the sum of the weights of the average."""
        return {"z": backend_of(p).copy(p), "lr_max": 0.0, "weight_sum": 0.0}

    def _rate(self, h) -> float:
        return h.lr * min(1.0, h.step / h.warmup_steps) if h.warmup_steps else h.lr

    def advance(self, state: dict[str, float], h) -> None:
        """The largest rate and the sum of weights so far."""
        state["lr_max"] = max(state["lr_max"], self._rate(h))
        state["weight_sum"] += h.step**h.r * state["lr_max"] ** h.weight_lr_power

    def _move(self, y, d, beta: float, state: dict[str, Any], h) -> None:
        """z <- z - lr d and what follows for y; x is nowhere, for it follows from the two."""
        total, rate, z = state["weight_sum"], self._rate(h), state["z"]
        c = h.step**h.r * state["lr_max"] ** h.weight_lr_power / total if total else 0.0
        y += c * (z - y)
        y -= rate * (1 - beta * (1 - c)) * d
        z -= rate * d


class AdamWScheduleFree(_ScheduleFree):
    """AdamW without a schedule: gradients are taken near the average of all steps, and the average is what is used.

        v <- beta2 v + (1 - beta2) g^2                 (g taken at y; with maximize first g <- -g)
        d <- g / (sqrt(v / (1 - beta2^t)) + eps) + wd y                             at step t = 1, 2, ...
        z <- z - lr_t d                                lr_t = lr min(1, t / warmup_steps)
        x <- (1 - c) x + c z                           c = w_t / (w_1 + ... + w_t),  w_t = t^r (largest lr_t)^power
        y <- (1 - beta1) z + beta1 x                   (power: weight_lr_power)

    While training the parameters hold y. `eval()` puts x into them, `train()` puts y back; call these with the model's
    own eval() and train(), and save a model for use after eval(). A step after eval() raises RuntimeError. The mode and
    everything else is in the state, so that a run may be interrupted in either mode. A new optimizer is in training.

    When to choose it: when the length of the run is not known beforehand; it does about as well as AdamW with a cosine
    schedule of just the right length, at any time, and takes no more memory (two state arrays). lr 1 to 10 times that
    for a schedule, with a warmup. Bad at: networks with batch normalisation, whose running statistics belong to y (do
    some batches forward in train() mode of the model after the optimizer's eval()); forgetting the eval() before use,
    which costs accuracy and tells nobody.

    Arguments as in the package schedulefree, whose equations these are (the paper has the square root of 1 - beta2^t
    in lr_t, and so in c); but numbers such as the sum of weights are kept for each parameter, not for each group, so
    that one without a gradient waits, and a new optimizer needs no train(). Raises ValueError for hyperparameters that
    make no sense, betas[0] outside (0, 1) among them.

    Source: A. Defazio et al., The road less scheduled, NeurIPS 2024, arXiv 2405.15682.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = AdamWScheduleFree([w], lr=0.5, eps=0)
    >>> for _ in range(2):
    ...     w.grad = wrap(np.array([2.0, -3.0]))
    ...     rule.step()
    >>> y = w.array.copy(); rule.eval(); x = w.array.copy(); rule.train()
    >>> y.round(3), x.round(3), rule.state[w]["z"].array.round(3), w.array.round(3)
    (array([0.225, 2.775]), array([0.25, 2.75]), array([0., 3.]), array([0.225, 2.775]))
    """

    beta = "betas"
    state_keys = {"v": "exp_avg_sq"}

    def __init__(
        self,
        params,
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, warmup_steps=warmup_steps)
        average = dict(r=r, weight_lr_power=weight_lr_power, train_mode=True, maximize=maximize)
        super().__init__(params, {**defaults, **average})

    def init(self, p, h) -> dict[str, Any]:
        """As the base class, and v."""
        return {**super().init(p, h), "v": backend_of(p).zeros_like(p)}

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        B, (beta1, beta2), v = backend_of(p), h.betas, state["v"]
        v *= beta2
        v += (1 - beta2) * (g * g)
        d = g / (B.sqrt(v / (1 - beta2**h.step)) + h.eps)
        if h.weight_decay:
            d += h.weight_decay * p
        self._move(p, d, beta1, state, h)


class SGDScheduleFree(_ScheduleFree):
    """SGD without a schedule: gradients are taken near the average of all steps, and the average is what is used.

        d <- g + wd y                                  (g taken at y; with maximize first g <- -g)
        z <- z - lr_t d                                lr_t = lr min(1, t / warmup_steps)
        x <- (1 - c) x + c z                           c = w_t / (w_1 + ... + w_t),  w_t = t^r (largest lr_t)^power
        y <- (1 - momentum) z + momentum x             (power: weight_lr_power)

    As AdamWScheduleFree: y is in the parameters while training, `eval()` puts x there, `train()` y.

    When to choose it: for what SGD is chosen for (convolutional networks on images), when the length of the run is not
    known beforehand; lr 10 to 50 times that of SGD with momentum 0.9, with a warmup. Bad at: what SGD is bad at; batch
    normalisation without the care described at AdamWScheduleFree. One state array.

    Arguments as in the package schedulefree. Raises ValueError for hyperparameters that make no sense, a momentum
    outside (0, 1) among them. Source: A. Defazio et al., The road less scheduled, NeurIPS 2024, arXiv 2405.15682.

    >>> import numpy as np
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> rule = SGDScheduleFree([w], lr=0.5)
    >>> for _ in range(2):
    ...     w.grad = wrap(np.array([1.0, 0.0]))
    ...     rule.step()
    >>> rule.eval(); w.array
    array([0.25, 2.  ])
    """

    beta = "momentum"

    def __init__(
        self,
        params,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = dict(lr=lr, momentum=momentum, weight_decay=weight_decay, warmup_steps=warmup_steps)
        average = dict(r=r, weight_lr_power=weight_lr_power, train_mode=True, maximize=maximize)
        super().__init__(params, {**defaults, **average})

    def update(self, p, g, state, h) -> None:
        """One step; see the class."""
        self._move(p, g + h.weight_decay * p if h.weight_decay else g, h.momentum, state, h)
