"""The test of the tests: rules with a fault planted in them must be caught by the comparison with PyTorch's paths."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Where
from optimizers import WALKS, check, walk
from test_trajectories import expected, side

from minidl import optim
from minidl.optim import nadam

CPU = Where("cpu")
FAULTS: dict[str, tuple[type, str, int]] = {}  # what is wrong -> the rule with it, a word of the walks, their steps


def fault(name: str, walks: str = "", steps: int = 50):
    """Enter a faulty rule, a subclass of the one that it should be; every walk with the word `walks` in it tells."""

    def enter(kind):
        FAULTS[name] = kind, walks, steps
        return kind

    return enter


@fault("Adam: bias correction off by one")
class AdamLate(optim.Adam):
    def update(self, p, g, state, h):
        h.step += 1
        super().update(p, g, state, h)
        h.step -= 1


@fault("AdamW: no bias correction of the second moment")
class AdamUncorrected(optim.AdamW):
    def update(self, p, g, state, h):
        m, v, (beta1, beta2) = state["m"], state["v"], h.betas
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        if "v_max" in state:
            v = np.maximum(state["v_max"], v, out=state["v_max"])
        p -= h.lr / (1 - beta1**h.step) * m / (np.sqrt(v) + h.eps)


@fault("NAdam: bias correction off by one")
class NAdamLate(optim.NAdam):
    def update(self, p, g, state, h):
        h.step += 1
        super().update(p, g, state, h)
        h.step -= 1


@fault("NAdam: the product has the next step's momentum already")
class NAdamAhead(optim.NAdam):
    def advance(self, state, h):
        state["mu_product"] *= nadam._momentum(h, h.step + 1)


@fault("NAdam: the gradient is left out of the step")
class NAdamPlain(optim.NAdam):
    def update(self, p, g, state, h):
        optim.Adam.update(self, p, g, state, h)


@fault("Adam: eps inside the root")
class AdamInside(optim.Adam):
    def update(self, p, g, state, h):
        (beta1, beta2), m, v = h.betas, state["m"], state["v"]
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        if "v_max" in state:
            v = np.maximum(state["v_max"], v, out=state["v_max"])
        p -= h.lr * m / (1 - beta1**h.step) / np.sqrt(v / (1 - beta2**h.step) + h.eps)


@fault("Adam: eps beside the uncorrected root")
class AdamBeside(optim.Adam):
    def update(self, p, g, state, h):
        (beta1, beta2), m, v = h.betas, state["m"], state["v"]
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        if "v_max" in state:
            v = np.maximum(state["v_max"], v, out=state["v_max"])
        p -= h.lr * (1 - beta2**h.step) ** 0.5 / (1 - beta1**h.step) * m / (np.sqrt(v) + h.eps)


@fault("RAdam: eps beside the corrected root", "eps")
class RAdamCorrected(optim.RAdam):
    def update(self, p, g, state, h):
        h.eps *= (1 - h.betas[1] ** h.step) ** 0.5
        super().update(p, g, state, h)
        h.eps /= (1 - h.betas[1] ** h.step) ** 0.5


@fault("RAdam: begins to divide at 4, as in the paper", "defaults")
class RAdamEarly(optim.RAdam):
    def update(self, p, g, state, h):
        (beta1, beta2), power = h.betas, h.betas[1] ** h.step
        n = 2 / (1 - beta2) - 1
        rho = n - 2 * h.step * power / (1 - power)
        if not 4 < rho <= 5:
            return super().update(p, g, state, h)
        m, v = state["m"], state["v"]
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        r = ((rho - 4) * (rho - 2) * n / ((n - 4) * (n - 2) * rho)) ** 0.5
        p -= h.lr / (1 - beta1**h.step) * r * (1 - power) ** 0.5 * m / (np.sqrt(v) + h.eps)


@fault("RMSprop: eps inside the root")
class RMSpropInside(optim.RMSprop):
    def update(self, p, g, state, h):
        v = state["v"]
        v += (1 - h.alpha) * (g * g - v)
        mean = 0.0
        if h.centered:
            state["m"] += (1 - h.alpha) * (g - state["m"])
            mean = state["m"]
        d = g / np.sqrt(np.maximum(v - mean * mean, 0) + h.eps)
        if h.momentum:
            state["b"] *= h.momentum
            state["b"] += d
            d = state["b"]
        p -= h.lr * d


@fault("Adagrad: eps inside the root")
class AdagradInside(optim.Adagrad):
    def update(self, p, g, state, h):
        state["s"] += g * g
        p -= h.lr / (1 + (h.step - 1) * h.lr_decay) * g / np.sqrt(state["s"] + h.eps)


@fault("Adagrad: the rate decays from the first step on", "lr_decay")
class AdagradSoon(optim.Adagrad):
    def update(self, p, g, state, h):
        h.step += 1
        super().update(p, g, state, h)
        h.step -= 1


class _Decay:
    """The other kind of weight decay than was asked for."""

    def add_param_group(self, group):
        super().add_param_group(group)
        own = self.param_groups[-1]
        own["decoupled_weight_decay"] = not own["decoupled_weight_decay"]


@fault("AdamW: L2 where decoupled decay is meant")
class AdamWCoupled(_Decay, optim.AdamW):
    pass


@fault("NAdam: L2 where decoupled decay is meant", "decoupled")
class NAdamCoupled(_Decay, optim.NAdam):
    pass


@fault("RAdam: L2 where decoupled decay is meant")
class RAdamCoupled(_Decay, optim.RAdam):
    pass


@fault("Adam: decoupled decay where L2 is meant")
class AdamDecoupled(_Decay, optim.Adam):
    pass


@fault("SGD: Nesterov's step applied twice", "nesterov")
class SGDTwice(optim.SGD):
    def update(self, p, g, state, h):
        if h.nesterov:
            b = state["b"]
            b *= h.momentum
            b += g
            g = g + h.momentum * (g + h.momentum * b)
            p -= h.lr * g
        else:
            super().update(p, g, state, h)


@fault("SGD: Nesterov's step is not made", "nesterov")
class SGDNever(optim.SGD):
    def update(self, p, g, state, h):
        h.nesterov, asked = False, h.nesterov
        super().update(p, g, state, h)
        h.nesterov = asked


@fault("SGD: momentum is an average, not a sum", "momentum")
class SGDAverage(optim.SGD):
    def update(self, p, g, state, h):
        super().update(p, (1 - h.momentum) * g if "b" in state else g, state, h)


@fault("SGD: dampening at the first step too", "dampening")
class SGDDampened(optim.SGD):
    def update(self, p, g, state, h):
        first = h.step == 1 and "b" in state
        super().update(p, (1 - h.dampening) * g if first else g, state, h)


@fault("RMSprop: momentum is an average, not a sum", "momentum")
class RMSpropAverage(optim.RMSprop):
    def update(self, p, g, state, h):
        if not h.momentum:
            return super().update(p, g, state, h)
        state["b"] *= 1 / (1 - h.momentum)
        h.lr *= 1 - h.momentum
        super().update(p, g, state, h)
        state["b"] *= 1 - h.momentum
        h.lr /= 1 - h.momentum


@fault("RMSprop: the rate inside the velocity", "momentum")
class RMSpropVelocity(optim.RMSprop):
    def update(self, p, g, state, h):
        if not h.momentum:
            return super().update(p, g, state, h)
        before, b = p.copy(), state["b"].copy()
        super().update(p, g, state, h)
        d = state["b"] - h.momentum * b
        state["b"][...] = h.momentum * b + h.lr * d
        p[...] = before - state["b"]


class _Centred(optim.RMSprop):
    def spread(self, v, m):
        raise NotImplementedError

    def update(self, p, g, state, h):
        if not h.centered:
            return super().update(p, g, state, h)
        v, m = state["v"], state["m"]
        m += (1 - h.alpha) * (g - m)
        v += (1 - h.alpha) * (g * g - v)
        d = g / (self.spread(v, m) + h.eps)
        if h.momentum:
            state["b"] *= h.momentum
            state["b"] += d
            d = state["b"]
        p -= h.lr * d


@fault("RMSprop: the mean is subtracted, not its square", "centered")
class RMSpropLinear(_Centred):
    def spread(self, v, m):
        return np.sqrt(np.maximum(v - m, 0))


@fault("RMSprop: the mean is subtracted from the root", "centered")
class RMSpropAfter(_Centred):
    def spread(self, v, m):
        return np.sqrt(v) - np.abs(m)


@fault("RMSprop: not centred", "centered")
class RMSpropPlain(_Centred):
    def spread(self, v, m):
        return np.sqrt(v)


@fault("Adadelta: is RMSprop")
class AdadeltaRMSprop(optim.Adadelta):
    def update(self, p, g, state, h):
        v, u = state["v"], state["u"]
        v += (1 - h.rho) * (g * g - v)
        d = g / (np.sqrt(v) + h.eps)
        u += (1 - h.rho) * (d * d - u)
        p -= h.lr * d


@fault("Adadelta: divides by the steps after this one")
class AdadeltaNew(optim.Adadelta):
    def update(self, p, g, state, h):
        v, u = state["v"], state["u"]
        v += (1 - h.rho) * (g * g - v)
        d = np.sqrt((u + h.eps) / (v + h.eps)) * g
        u += (1 - h.rho) * (d * d - u)
        p -= h.lr * np.sqrt((u + h.eps) / (v + h.eps)) * g


@fault("Adadelta: remembers the steps with lr in them")
class AdadeltaScaled(optim.Adadelta):
    def update(self, p, g, state, h):
        before, u = p.copy(), state["u"].copy()
        super().update(p, g, state, h)
        d = before - p
        state["u"][...] = h.rho * u + (1 - h.rho) * d * d


@fault("Adamax: eps beside the maximum", steps=200)
class AdamaxBeside(optim.Adamax):
    def update(self, p, g, state, h):
        m, u, (beta1, beta2) = state["m"], state["u"], h.betas
        m += (1 - beta1) * (g - m)
        np.maximum(beta2 * u, np.abs(g), out=u)
        p -= h.lr / (1 - beta1**h.step) * m / (u + h.eps)


@fault("Rprop: steps also where the gradient has turned", steps=200)
class RpropGoing(optim.Rprop):
    def update(self, p, g, state, h):
        s, e = g * state["g"], state["e"]
        e *= np.where(s > 0, h.etas[1], np.where(s < 0, h.etas[0], 1.0))
        np.clip(e, *h.step_sizes, out=e)
        state["g"][...] = g
        p -= e * np.sign(g)


@fault("ASGD: this step's rate, not the one before's")
class ASGDSoon(optim.ASGD):
    def advance(self, state, h):
        super().advance(state, h)
        h.eta = state["eta"]


@fault("ASGD: the mean begins a step late", "t0", steps=200)
class ASGDLate(optim.ASGD):
    def advance(self, state, h):
        super().advance(state, h)
        state["mu"] = 1 / max(1, h.step - 1 - h.t0)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(name):
    kind, word, steps = FAULTS[name]
    rule = next(base for base in kind.__mro__ if base.__module__.startswith("minidl"))
    walks = [key for key, one in WALKS.items() if one.rule == rule.__name__ and word in key and "rows" not in key]
    assert walks
    for key in walks:
        check(walk(side(CPU), WALKS[key], 3), expected(key))  # so that it is the fault that is caught
        with np.errstate(all="ignore"):
            found = walk(side(CPU), WALKS[key], steps, rule=kind)
        with pytest.raises(AssertionError, match=r"off by|: \[?nan|expected"):
            check(found, expected(key))


def test_a_difference_of_a_billionth_is_caught():
    for key in ("Adam defaults", "LBFGS max_iter=3 lr=0.3 bowl all 20 True"):
        path = expected(key)
        check(path, path)
        for name, value in path.items():
            with pytest.raises(AssertionError, match="off by"):
                check({**path, name: value * (1 + 1e-9)}, path)
        with pytest.raises(AssertionError, match="expected"):
            check({k: v for k, v in path.items() if not k.startswith("state")}, path)
