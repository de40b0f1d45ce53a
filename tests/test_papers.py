"""Rules that PyTorch lacks, and LBFGS and Muon: their paths against the papers, transcribed in plain NumPy."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import minidl
from minidl import optim
from minidl.optim.lbfgs import _Point, interpolated, strong_wolfe
from minidl.tensor import Parameter, Tensor, wrap

SHAPES = [(7, 5), (5,), (), (3, 2, 4), (1,), (40,)]
MATRICES = [(4, 4), (6, 3), (2, 7), (1, 5)]


# --------------------------------------------------------------------------------------- the papers, one parameter each
class Lion:
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        self.eta, (self.beta1, self.beta2), self.lamda, self.m = lr, betas, weight_decay, 0.0

    def step(self, theta, g):
        c = self.beta1 * self.m + (1 - self.beta1) * g
        theta = theta - self.eta * (np.sign(c) + self.lamda * theta)
        self.m = self.beta2 * self.m + (1 - self.beta2) * g
        return theta

    def state(self):
        return {"exp_avg": self.m}


class LAMB:
    """You et al. 2020, algorithm 2, with phi(z) = min(z, clamp_value)."""

    def __init__(
        self,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-6,
        weight_decay=0.0,
        clamp_value=10.0,
        adam=False,
        debias=True,
    ):
        self.__dict__.update(locals(), m=0.0, v=0.0, t=0)

    def step(self, x, g):
        self.t += 1
        beta1, beta2 = self.betas
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g**2
        m, v = self.m, self.v
        if self.debias:
            m, v = m / (1 - beta1**self.t), v / (1 - beta2**self.t)
        r = m / (np.sqrt(v) + self.eps)
        update = r + self.weight_decay * x
        phi = np.linalg.norm(x)
        if self.clamp_value is not None:
            phi = min(phi, self.clamp_value)
        if self.adam or phi == 0 or np.linalg.norm(update) == 0:
            return x - self.lr * update
        return x - self.lr * phi / np.linalg.norm(update) * update

    def state(self):
        return {"step": self.t, "exp_avg": self.m, "exp_avg_sq": self.v}


class LARS:
    """You et al. 2017, algorithm 1: the rate within the velocity, which for a constant rate is the same."""

    def __init__(
        self, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, trust_coefficient=1e-3, eps=1e-8
    ):
        self.__dict__.update(locals(), v=None)

    def step(self, w, g):
        norm = np.linalg.norm
        local = self.trust_coefficient * norm(w) / (norm(g) + self.weight_decay * norm(w) + self.eps)
        if norm(w) == 0 or norm(g) == 0:
            local = 1.0
        move = self.lr * local * (g + self.weight_decay * w)
        if self.momentum == 0:
            return w - move
        self.v = move if self.v is None else self.momentum * self.v + (1 - self.dampening) * move
        return w - (move + self.momentum * self.v if self.nesterov else self.v)

    def state(self):
        return {} if self.v is None else {"momentum_buffer": self.v / self.lr}


class AdaBound:
    """Luo et al. 2019, algorithms 2 and 3, with the authors' corrections of the moments and without 1 / sqrt(t)."""

    def __init__(
        self,
        lr=1e-3,
        betas=(0.9, 0.999),
        final_lr=0.1,
        gamma=1e-3,
        eps=1e-8,
        weight_decay=0.0,
        amsbound=False,
    ):
        self.__dict__.update(locals(), m=0.0, v=0.0, largest=0.0, t=0)

    def step(self, x, g):
        self.t += 1
        t, (beta1, beta2) = self.t, self.betas
        g = g + self.weight_decay * x
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g**2
        self.largest = np.maximum(self.largest, self.v)
        V = self.largest if self.amsbound else self.v
        alpha = self.lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        lower = self.final_lr * (1 - 1 / (self.gamma * t + 1))
        upper = self.final_lr * (1 + 1 / (self.gamma * t))
        return x - np.clip(alpha / (np.sqrt(V) + self.eps), lower, upper) * self.m

    def state(self):
        largest = {"max_exp_avg_sq": self.largest} if self.amsbound else {}
        return {"step": self.t, "exp_avg": self.m, "exp_avg_sq": self.v, **largest}


class ScheduleFree:
    """Defazio et al. 2024: three sequences, all of them kept. `step` takes y and gives y."""

    def __init__(self, lr, weight_decay=0.0, warmup_steps=0, r=0.0, weight_lr_power=2.0):
        self.__dict__.update(locals(), x=None, z=None, t=0, weights=[], rates=[])

    def step(self, y, g):
        if self.x is None:
            self.x = self.z = y
        self.t += 1
        gamma = self.lr * min(1.0, self.t / self.warmup_steps) if self.warmup_steps else self.lr
        self.rates.append(gamma)
        self.weights.append(self.t**self.r * max(self.rates) ** self.weight_lr_power)
        self.z = self.z - gamma * (self.direction(g) + self.weight_decay * y)
        c = self.weights[-1] / sum(self.weights)
        self.x = (1 - c) * self.x + c * self.z
        return (1 - self.beta) * self.z + self.beta * self.x

    def state(self):
        return {"step": self.t, "z": self.z, "lr_max": max(self.rates), "weight_sum": sum(self.weights)}


class SGDScheduleFree(ScheduleFree):
    def __init__(self, lr=1.0, momentum=0.9, **others):
        super().__init__(lr, **others)
        self.beta = momentum

    def direction(self, g):
        return g


class AdamWScheduleFree(ScheduleFree):
    def __init__(self, lr=0.0025, betas=(0.9, 0.999), eps=1e-8, **others):
        super().__init__(lr, **others)
        (self.beta, self.beta2), self.eps, self.v = betas, eps, 0.0

    def direction(self, g):
        self.v = self.beta2 * self.v + (1 - self.beta2) * g**2
        return g / (np.sqrt(self.v / (1 - self.beta2**self.t)) + self.eps)

    def state(self):
        return {**super().state(), "exp_avg_sq": self.v}


class Muon:
    """Jordan et al. 2024, with the decay and the two scales of Liu et al. 2025; momentum averages as in PyTorch."""

    def __init__(
        self,
        lr=1e-3,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=(3.4445, -4.7750, 2.0315),
        eps=1e-7,
        ns_steps=5,
        adjust_lr_fn=None,
    ):
        self.__dict__.update(locals(), B=0.0)

    def step(self, W, G):
        self.B = self.momentum * self.B + (1 - self.momentum) * G
        M = (1 - self.momentum) * G + self.momentum * self.B if self.nesterov else self.B
        a, b, c = self.ns_coefficients
        X = M / max(np.linalg.norm(M), self.eps)
        for _ in range(self.ns_steps):  # the polynomial a s + b s^3 + c s^5 of each singular value
            X = a * X + b * (X @ X.T @ X) + c * (X @ X.T @ X @ X.T @ X)
        n, m = W.shape
        scale = 0.2 * max(n, m) ** 0.5 if self.adjust_lr_fn == "match_rms_adamw" else max(1, n / m) ** 0.5
        return W - self.lr * self.weight_decay * W - self.lr * scale * X

    def state(self):
        return {"momentum_buffer": self.B}


RULES = {c.__name__: c for c in (Lion, LAMB, LARS, AdaBound, SGDScheduleFree, AdamWScheduleFree, Muon)}
GRID = [
    ("Lion", dict(lr=0.01)),
    ("Lion", dict(lr=0.01, betas=(0.5, 0.8), weight_decay=0.3)),
    ("Lion", dict(lr=0.003, weight_decay=0.3, maximize=True)),
    ("LAMB", dict(lr=0.02)),
    ("LAMB", dict(lr=0.02, betas=(0.5, 0.8), eps=1e-2, weight_decay=0.3)),
    ("LAMB", dict(lr=0.02, debias=False, clamp_value=2)),
    ("LAMB", dict(lr=0.02, adam=True, weight_decay=0.1, clamp_value=None)),
    ("LAMB", dict(lr=0.005, maximize=True, weight_decay=0.1, clamp_value=None)),
    ("LARS", dict(lr=5.0)),
    ("LARS", dict(lr=5.0, momentum=0.9, weight_decay=0.1)),
    ("LARS", dict(lr=0.1, momentum=0.8, nesterov=True, trust_coefficient=0.1, eps=1e-2)),
    ("LARS", dict(lr=5.0, momentum=0.9, dampening=0.4)),
    ("LARS", dict(lr=1.0, momentum=0.9, weight_decay=0.1, maximize=True)),
    ("AdaBound", dict(lr=0.02)),
    ("AdaBound", dict(lr=0.02, final_lr=0.05, gamma=0.1, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.1)),
    ("AdaBound", dict(lr=0.02, amsbound=True, gamma=0.02)),
    ("AdaBound", dict(lr=0.002, final_lr=0.01, gamma=0.2, amsbound=True, weight_decay=0.1, maximize=True)),
    ("SGDScheduleFree", dict(lr=0.5)),
    ("SGDScheduleFree", dict(lr=0.2, momentum=0.6, weight_decay=0.1, warmup_steps=20, r=1.0, weight_lr_power=1.0)),
    ("SGDScheduleFree", dict(lr=0.01, maximize=True, weight_decay=0.1)),
    ("AdamWScheduleFree", dict(lr=0.02)),
    ("AdamWScheduleFree", dict(lr=0.01, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.3, warmup_steps=30)),
    ("AdamWScheduleFree", dict(lr=0.02, r=2.0, weight_lr_power=0.0)),
    ("AdamWScheduleFree", dict(lr=0.005, maximize=True, weight_decay=0.1)),
    ("Muon", dict(lr=0.02)),
    ("Muon", dict(lr=0.005, nesterov=False, momentum=0.5, weight_decay=0.0, adjust_lr_fn="original")),
    ("Muon", dict(lr=0.02, adjust_lr_fn="match_rms_adamw", ns_steps=3, ns_coefficients=(1.5, -0.5, 0.0))),
]
names = [f"{rule} {','.join(options)}" for rule, options in GRID]


def start(rule, dtype=np.float64):
    rng = np.random.default_rng(3)
    xs = [np.array(rng.standard_normal(shape), dtype) for shape in (MATRICES if rule == "Muon" else SHAPES)]
    if rule in ("LAMB", "LARS"):
        xs[1] *= 0  # whose length is 0
    return xs


def slope(x):
    """The gradient of a bumpy bowl whose middle is not at 0."""
    return x - 0.4 + np.sin(3 * x) * 0.3


def has_gradient(t: int, i: int) -> bool:
    return (t + i) % 5 > i % 3


def make(rule, ps, options):
    """Two groups, the second with half the rate."""
    groups = [{"params": ps[:2]}, {"params": ps[2:], "lr": options["lr"] / 2}]
    return getattr(optim, rule)(groups, **options)


@pytest.mark.parametrize(("rule", "options"), GRID, ids=names)
def test_paths_agree_with_the_papers(rule, options, where):
    xs = start(rule)
    ps = [Parameter(where.array(x)) for x in xs]
    optimizer = make(rule, ps, options)
    climb = options.get("maximize", False)
    own = {k: v for k, v in options.items() if k != "maximize"}
    plain = [RULES[rule](**{**own, "lr": own["lr"] if i < 2 else own["lr"] / 2}) for i in range(len(xs))]
    moved = 0.0
    for t in range(200 if where.name == "cpu" else 25):
        for i, p in enumerate(ps):
            given = has_gradient(t, i)
            p.grad = where.tensor(slope(where.host(p))) if given else None
            if given:
                g = slope(xs[i])
                before, xs[i] = xs[i], plain[i].step(xs[i], -g if climb else g)
                moved += abs(xs[i] - before).sum()
        optimizer.step()
    assert moved > 0.1  # otherwise there is nothing to compare
    for p, x, one in zip(ps, xs, plain, strict=True):
        assert p.array.dtype == np.float64 and where.host(p).shape == x.shape
        np.testing.assert_allclose(where.host(p), x, rtol=1e-10, atol=1e-11)
        expected, found = one.state(), optimizer.state.get(p, {})
        assert set(found) == set(expected)
        for key, value in expected.items():
            number = found[key].array.shape == () and key in ("step", "lr_max", "weight_sum")
            np.testing.assert_allclose(
                found[key].array if number else where.host(found[key]), value, rtol=1e-10, atol=1e-11
            )


@pytest.mark.parametrize(("rule", "options"), GRID, ids=names)
def test_float32_stays_float32_and_near(rule, options, where):
    xs = start(rule, np.float32)
    narrow, wide = ([Parameter(where.array(x, dtype)) for x in xs] for dtype in (np.float32, np.float64))
    for ps in (narrow, wide):
        optimizer = make(rule, ps, options)
        for t in range(8):
            for i, p in enumerate(ps):
                g = slope(where.host(p)).astype(p.array.dtype)
                p.grad = where.tensor(g) if has_gradient(t, i) else None
            optimizer.step()
        for p in ps:
            for entry in optimizer.state[p].values():
                assert entry.array.shape == () or entry.array.dtype == p.array.dtype
    for p, q in zip(narrow, wide, strict=True):
        assert p.array.dtype == np.float32
        np.testing.assert_allclose(where.host(p), where.host(q), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("rule", "options"), GRID, ids=names)
def test_a_state_saved_at_any_step_goes_on_bit_for_bit(rule, options, where, tmp_path):
    straight, broken = ([Parameter(where.array(x)) for x in start(rule)] for _ in range(2))
    one, other = make(rule, straight, options), make(rule, broken, options)
    free = rule.endswith("ScheduleFree")
    for t in range(12):
        for ps in (straight, broken):
            for i, p in enumerate(ps):
                p.grad = where.tensor(slope(where.host(p))) if has_gradient(t, i) else None
        one.step()
        other.step()
        if free and t % 3 == 1:  # saved in the other mode
            one.eval()
            other.eval()
        if t == 5:
            minidl.save(other.state_dict(), tmp_path / "state.safetensors")
            saved = minidl.load(tmp_path / "state.safetensors")
        else:
            saved = copy.deepcopy(other.state_dict())
        values = [where.host(p).copy() for p in broken]
        broken = [Parameter(where.array(v)) for v in values]
        other = make(rule, broken, {**options, "lr": 7.0})
        other.load_state_dict(saved)
        if free and t % 3 == 1:
            with pytest.raises(RuntimeError, match="the parameters are the average"):
                other.step()
            one.train()
            other.train()
        for p, q in zip(straight, broken, strict=True):
            assert np.array_equal(where.host(p), where.host(q))
            assert set(one.state[p]) == set(other.state[q])


# ------------------------------------------------------------------------------------------------------ schedule-free
@pytest.mark.parametrize("rule", ["SGDScheduleFree", "AdamWScheduleFree"])
def test_eval_puts_the_average_into_the_parameters_and_train_the_point_for_gradients(rule, where):
    xs = start(rule)[2:]
    ps = [Parameter(where.array(x)) for x in xs]
    unused = Parameter(where.array(np.ones(3)))
    optimizer, plain = getattr(optim, rule)([*ps, unused], lr=0.1), [RULES[rule](lr=0.1) for _ in xs]
    optimizer.eval()
    optimizer.train()  # before the first step all three are the same
    for _ in range(7):
        for i, p in enumerate(ps):
            p.grad = where.tensor(slope(where.host(p)))
            xs[i] = plain[i].step(xs[i], slope(xs[i]))
        optimizer.step()
        recorded = [(p * p).sum() for p in ps]
        optimizer.eval()
        optimizer.eval()  # the second does nothing
        for loss in recorded:
            with pytest.raises(RuntimeError, match="changed in place"):
                loss.backward()
        for p, one in zip(ps, plain, strict=True):
            np.testing.assert_allclose(where.host(p), one.x, rtol=1e-12)
        with pytest.raises(RuntimeError, match=rf"{rule}.step: the parameters are the average"):
            optimizer.step()
        optimizer.train()
        optimizer.train()
        for p, y in zip(ps, xs, strict=True):
            np.testing.assert_allclose(where.host(p), y, rtol=1e-12)
    assert np.array_equal(where.host(unused), np.ones(3)) and unused not in optimizer.state


def test_a_parameter_without_gradient_waits_with_its_own_weights():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    rule = optim.SGDScheduleFree([a, b], lr=0.1, warmup_steps=4)
    for t in range(6):
        a.grad, b.grad = wrap(a.array * 2), wrap(b.array * 2) if t % 2 else None
        rule.step()
    alone = Parameter(np.ones(2))
    same = optim.SGDScheduleFree([alone], lr=0.1, warmup_steps=4)
    for _ in range(3):
        alone.grad = wrap(alone.array * 2)
        same.step()
    assert np.array_equal(b.array, alone.array) and float(rule.state[b]["step"]) == 3


# ----------------------------------------------------------------------------------------------------------- AdaBound
def test_the_bounds_of_adabound_follow_a_rate_that_changes_and_end_as_sgd():
    def steps(rule, w, n):
        for _ in range(n):
            w.grad = wrap(np.array([1.0, 100.0]))
            rule.step()
        return w.array

    w = Parameter(np.zeros(2))
    rule = optim.AdaBound([w], lr=0.01, betas=(0.0, 0.999), gamma=0.9)
    first = -steps(rule, w, 1).copy()
    np.testing.assert_allclose(first, [0.1 * (1 - 1 / 1.9), 10 * (1 - 1 / 1.9)])  # Adam's 0.01 is below the lower bound
    rule.param_groups[0]["lr"] = 0.005
    before = w.array.copy()
    np.testing.assert_allclose(before - steps(rule, w, 1), [0.05 * (1 - 1 / 2.8), 5 * (1 - 1 / 2.8)])
    before = steps(rule, w, 20000).copy()
    np.testing.assert_allclose(before - steps(rule, w, 1), [0.05, 5.0], rtol=1e-3)
    assert rule.param_groups[0]["base_lr"] == 0.01
    # a schedule says what its base is, or the bounds stay
    for base, share in ((None, 1.0), (0.01, 0.5)):
        w = Parameter(np.zeros(2))
        rule = optim.AdaBound([w], lr=lambda step: 0.005, betas=(0.0, 0.999), gamma=0.9, base_lr=base)
        np.testing.assert_allclose(-steps(rule, w, 1), share * first)


# --------------------------------------------------------------------------------------------------------------- Muon
def test_muons_polynomial_makes_the_singular_values_about_one(where):
    rng = np.random.default_rng(0)
    for shape in ((6, 6), (10, 4), (4, 10)):
        w = Parameter(where.array(np.zeros(shape)))
        g = rng.standard_normal(shape)
        w.grad = where.tensor(g * 1e5)
        optim.Muon([w], lr=1.0, weight_decay=0.0, ns_steps=8).step()
        u, s, v = np.linalg.svd(-where.host(w) / max(1, shape[0] / shape[1]) ** 0.5, full_matrices=False)
        assert s.min() > 0.6 and s.max() < 1.3
        a, _, b = np.linalg.svd(g, full_matrices=False)
        np.testing.assert_allclose((u @ v), a @ b, atol=1e-6)  # the same rotation
    w.grad = where.tensor(np.zeros(shape))
    before = where.host(w).copy()
    optim.Muon([w], lr=1.0, weight_decay=0.0).step()
    assert np.array_equal(where.host(w), before)


def test_muon_is_for_matrices():
    with pytest.raises(ValueError, match=r"Muon: parameters must be matrices, but parameter 'b' is .*\(3,\)"):
        optim.Muon([("w", Parameter(np.ones((2, 2)))), ("b", Parameter(np.ones(3)))])
    with pytest.raises(ValueError, match=r"parameter 1 of its group is"):
        optim.Muon([Parameter(np.ones((2, 2))), Parameter(np.ones((2, 2, 2)))])


# -------------------------------------------------------------------------------------------------------------- LBFGS
def quadratic(n: int, condition: float):
    """A matrix with eigenvalues from 1 to `condition`, and where the minimum lies."""
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    return q @ np.diag(np.geomspace(1, condition, n)) @ q.T, rng.standard_normal(n)


def bowl(ps: list[Tensor], A, best, where):
    """A closure for 1/2 (x - best) A (x - best) of all parameters put side by side."""

    def closure():
        x = np.concatenate([where.host(p).reshape(-1) for p in ps])
        g, start = A @ (x - best), 0
        for p in ps:
            p.grad = where.tensor(g[start : start + p.numel()].reshape(tuple(p.shape)).astype(p.array.dtype))
            start += p.numel()
        return 0.5 * float((x - best) @ g)

    return closure


def rosenbrock(p: Tensor, where):
    """100 (y - x^2)^2 + (1 - x)^2, whose valley is curved; its minimum is 0 at (1, 1)."""

    def closure():
        assert minidl.is_grad_enabled()
        x, y = where.host(p)
        p.grad = where.tensor(np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)]))
        return 100 * (y - x * x) ** 2 + (1 - x) ** 2

    return closure


def test_lbfgs_finds_the_minimum_of_a_quadratic_in_as_many_steps_as_it_has_dimensions(where):
    # with all pairs kept and exact line searches L-BFGS is conjugate gradients; here the searches are nearly exact
    A, best = quadratic(6, 100.0)
    ps = [Parameter(where.array(np.zeros((2, 2)))), Parameter(where.array(np.zeros(2)))]
    rule = optim.LBFGS(ps, max_iter=18, line_search_fn="strong_wolfe", tolerance_change=0)
    loss = rule.step(bowl(ps, A, best, where))
    assert loss == pytest.approx(0.5 * best @ A @ best)
    found = np.concatenate([where.host(p).reshape(-1) for p in ps])
    assert abs(found - best).max() < 1e-6


def test_lbfgs_with_an_exact_line_takes_one_step_on_each_axis(where):
    # closed form, n = 1: the second direction is Newton's, whatever the first step was
    p = Parameter(where.array(np.array([5.0])))
    rule = optim.LBFGS([p], lr=0.5, max_iter=1)
    closure = bowl([p], np.array([[4.0]]), np.array([1.0]), where)
    rule.step(closure)
    np.testing.assert_allclose(where.host(p), [5.0 - 0.5 * 1 / 16 * 16])  # t = lr min(1, 1 / |g|_1), g = 16
    rule.step(closure)
    np.testing.assert_allclose(where.host(p), [4.5 - 0.5 * 3.5])  # half a Newton step
    rule.param_groups[0]["lr"] = 1.0
    rule.step(closure)
    np.testing.assert_allclose(where.host(p), [1.0], rtol=1e-14)


def test_lbfgs_solves_rosenbrock(where):
    p = Parameter(where.array(np.array([-1.2, 1.0])))
    rule = optim.LBFGS([p], max_iter=60, line_search_fn="strong_wolfe", tolerance_change=0, tolerance_grad=1e-9)
    rule.step(rosenbrock(p, where))
    assert abs(where.host(p) - 1).max() < 1e-8
    assert rule.state[p]["func_evals"] < 75


def test_the_two_loops_give_the_inverse_hessian_times_the_gradient():
    # against the recursion for the whole matrix, H <- (I - r s y) H (I - r y s) + r s s  (Nocedal and Wright, 6.17)
    rng = np.random.default_rng(2)
    A, best = quadratic(5, 30.0)
    p = Parameter(rng.standard_normal(5))
    rule = optim.LBFGS([p], lr=0.3, max_iter=1, history_size=3)
    closure = bowl([p], A, best, _Host())
    for _ in range(7):
        rule.step(closure)
    state = rule.state[p]
    ys, ss = ([v.array for v in state[key]] for key in ("old_dirs", "old_stps"))
    assert len(ys) == 3
    H = np.eye(5) * (ys[-1] @ ss[-1]) / (ys[-1] @ ys[-1])
    for y, s in zip(ys, ss, strict=True):
        r = 1 / (y @ s)
        V = np.eye(5) - r * np.outer(y, s)
        H = V.T @ H @ V + r * np.outer(s, s)
    np.testing.assert_allclose(state["d"].array, -H @ state["prev_flat_grad"].array, rtol=1e-10)
    np.testing.assert_allclose(H @ ys[-1], ss[-1], rtol=1e-10)  # the secant equation


class _Host:
    """`where` for tests on NumPy alone."""

    host = staticmethod(lambda x: x.array)
    tensor = staticmethod(wrap)


LINES = {
    "a parabola": lambda t: ((t - 3) ** 2, 2 * (t - 3)),
    "far away": lambda t: ((t - 300) ** 2, 2 * (t - 300)),
    "very near": lambda t: ((t - 1e-3) ** 2, 2 * (t - 1e-3)),
    "a quartic": lambda t: ((t - 2) ** 4 + t, 4 * (t - 2) ** 3 + 1),
    "waves": lambda t: (0.1 * t - np.sin(4 * t) - 1e-3 * t, 0.1 - 4 * np.cos(4 * t) - 1e-3),
    "a wall": lambda t: (-t + np.exp(20 * (t - 0.5)), -1 + 20 * np.exp(20 * (t - 0.5))),
    "a kink": lambda t: (abs(t - 0.7) + 0.5 * t * t, np.sign(t - 0.7) + t),
}


@pytest.mark.parametrize("first", [1.0, 0.01, 20.0])
@pytest.mark.parametrize("line", LINES)
def test_the_line_search_satisfies_the_wolfe_conditions(line, first):
    seen = []

    def at(t):
        f, df = LINES[line](t)
        seen.append(t)
        return _Point(t, float(f), float(df), None)

    start = at(0.0)
    seen.clear()
    found, count = strong_wolfe(at, start, first, 1.0, 1e-12, 60)
    assert count == len(seen) and found.t in seen and found.t > 0
    assert found.f <= start.f + 1e-4 * found.t * start.slope
    if line != "a kink":
        assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert count < 45


def test_a_line_search_without_end_stops():
    def falling(t):
        return _Point(t, -t, -1.0, None)

    found, count = strong_wolfe(falling, falling(0.0), 1.0, 1.0, 1e-9, 4)
    assert count == 5 and found.t > 500
    nowhere = _Point(1.0, math.nan, math.nan, None)
    found, count = strong_wolfe(lambda t: nowhere._replace(t=t), falling(0.0), 1.0, 1.0, 1e-9, 3)
    assert count == 4 and found == falling(0.0)


def test_a_line_search_comes_back_from_where_there_is_no_loss():
    def log(t):  # falls, then rises, and is nan beyond 2
        if t >= 2:
            return _Point(t, math.nan, math.nan, None)
        return _Point(t, (t - 1) ** 2 - math.log(2 - t), 2 * (t - 1) + 1 / (2 - t), None)

    found, _ = strong_wolfe(log, log(0.0), 64.0, 1.0, 1e-9, 25)
    assert 0 < found.t < 2 and abs(found.slope) <= 0.9 * abs(log(0.0).slope)


def test_the_cubic_through_two_points_has_its_minimum_where_it_is_said_to_be():
    def cubic(t):
        return _Point(t, t**3 - 3 * t, 3 * t * t - 3, None)  # lowest at 1

    for a, b in ((0.0, 3.0), (3.0, 0.0), (0.5, 1.5)):
        assert interpolated(cubic(a), cubic(b), 0.0, 3.0) == pytest.approx(1.0)
    assert interpolated(cubic(0.0), cubic(3.0), 1.5, 2.0) == 1.5
    rising = (_Point(0.0, 0.0, 1.0, None), _Point(1.0, 9.0, 1.0, None))  # d1^2 > ...: has a minimum left of both
    assert interpolated(*rising, 0.0, 1.0) == 0.0
    none = (_Point(0.0, 0.0, 1.0, None), _Point(1.0, 0.7, 1.0, None))
    assert interpolated(*none, 0.0, 1.0) == 0.5
    assert interpolated(cubic(1.0), cubic(1.0), 0.0, 4.0) == 2.0


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lbfgs_goes_on_from_its_state_bit_for_bit(search, dtype, where, tmp_path):
    A, best = quadratic(8, 50.0)
    options = dict(lr=0.5, max_iter=3, max_eval=20, history_size=4, line_search_fn=search, tolerance_change=0)

    def fresh(x, **changes):
        ps = [Parameter(where.array(part, dtype)) for part in (x[:6].reshape(2, 3), x[6:])]
        return ps, optim.LBFGS(ps, **{**options, **changes}), bowl(ps, A, best, where)

    def vector(ps):
        return np.concatenate([where.host(p).reshape(-1) for p in ps])

    (straight, one, f), (broken, other, h) = fresh(np.zeros(8)), fresh(np.zeros(8))
    for t in range(7):
        one.step(f)
        other.step(h)
        if t == 3:
            minidl.save(other.state_dict(), tmp_path / "state.safetensors")
            saved = minidl.load(tmp_path / "state.safetensors")
        else:
            saved = copy.deepcopy(other.state_dict())
        broken, other, h = fresh(vector(broken), lr=9.0, max_iter=1)
        other.load_state_dict(saved)
        assert np.array_equal(vector(straight), vector(broken))
    state = other.state_dict()["state"]
    assert set(state) == {0} and set(state[0]) == {
        *("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss", "al"),
        *("func_evals", "n_iter"),
    }
    assert state[0]["n_iter"] == 21 and len(state[0]["old_dirs"]) == len(state[0]["ro"]) == 4


def test_lbfgs_takes_a_missing_gradient_for_zero(where):
    a, b = where.leaf([3.0]), where.leaf([7.0])
    rule = optim.LBFGS([b, a], lr=1.0)

    def closure():
        rule.zero_grad()
        loss = (a * a).sum()
        loss.backward()
        return loss

    for _ in range(2):
        rule.step(closure)
    assert where.host(b) == 7.0 and abs(where.host(a)) < 1e-6 and b.grad is None


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_goes_on_after_an_error_in_the_closure(search):
    p = Parameter(np.array([-1.2, 1.0]))
    rule = optim.LBFGS([p], lr=1.0 if search else 0.01, max_iter=5, line_search_fn=search)
    inner, calls = rosenbrock(p, _Host()), []

    def closure():
        calls.append(p.array.copy())
        if len(calls) == 4:
            raise KeyboardInterrupt
        return inner()

    with pytest.raises(KeyboardInterrupt):
        rule.step(closure)
    assert not search or any(np.array_equal(p.array, x) for x in calls[:3])  # not in the middle of a search
    before = inner()
    for _ in range(30):
        rule.step(closure)
    assert inner() < (1e-8 if search else before)


def test_lbfgs_stops_for_each_of_its_reasons():
    def run(x=2.0, **options):
        p = Parameter(np.array([x, x]))
        rule = optim.LBFGS([p], **{"lr": 0.3, "max_iter": 50, **options})
        calls, inner = [], bowl([p], np.diag([1.0, 3.0]), np.zeros(2), _Host())

        def closure():
            calls.append(inner())
            return calls[-1]

        rule.step(closure)
        assert rule.state[p]["func_evals"] == len(calls)
        return len(calls), rule.state[p]["n_iter"], np.abs(p.grad.array).max()

    assert run(x=0.0) == (1, 0, 0.0)
    assert run(tolerance_grad=100.0)[:2] == (1, 0)
    calls, iterations, g = run(tolerance_grad=0.1)
    assert g <= 0.1 and 2 < calls < 40 and iterations == calls - 1
    assert run(max_eval=4, tolerance_change=0)[:2] == (4, 3)
    assert run(max_iter=4, tolerance_change=0)[:2] == (4, 4)  # the last iteration only moves
    assert run(tolerance_change=1e-1)[0] < run(tolerance_change=1e-3)[0] < run(tolerance_change=1e-9)[0]
    assert run(max_iter=3, tolerance_change=1e9)[:2] == (1, 1)  # no direction is steep enough


# ------------------------------------------------------------------------------------------------------------- errors
WITH_BETAS = ("Lion", "LAMB", "AdaBound", "AdamWScheduleFree")
WRONG = [
    ("Lion", dict(lr=-1.0), ValueError, "Lion: lr must be a finite number >= 0"),
    ("Lion", dict(betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be"),
    *((rule, dict(betas=0.9), ValueError, f"{rule}: betas must be a pair") for rule in WITH_BETAS),
    ("LAMB", dict(clamp_value=-1), ValueError, "LAMB: clamp_value must be"),
    ("LAMB", dict(eps=math.nan), ValueError, "eps"),
    ("LARS", dict(), TypeError, "lr"),
    ("LARS", dict(lr=1.0, nesterov=True), ValueError, "LARS: nesterov needs a momentum > 0"),
    ("LARS", dict(lr=1.0, trust_coefficient=-1), ValueError, "trust_coefficient"),
    ("AdaBound", dict(gamma=0), ValueError, "AdaBound: gamma must be > 0"),
    ("AdaBound", dict(gamma=1.0), ValueError, "gamma"),
    ("AdaBound", dict(final_lr=-0.1), ValueError, "final_lr"),
    ("AdaBound", dict(base_lr=-0.1), ValueError, "base_lr"),
    ("AdamWScheduleFree", dict(betas=(0.0, 0.9)), ValueError, r"betas\[0\] must be > 0 and < 1, got 0.0"),
    ("AdamWScheduleFree", dict(warmup_steps=-1), ValueError, "warmup_steps"),
    ("SGDScheduleFree", dict(momentum=0), ValueError, "SGDScheduleFree: momentum must be > 0"),
    ("SGDScheduleFree", dict(momentum=1.0), ValueError, "momentum must be > 0 and < 1"),
    ("Muon", dict(ns_steps=100), ValueError, "ns_steps must be an int >= 0 and < 100, got 100"),
    ("Muon", dict(ns_steps=2.5), ValueError, "ns_steps"),
    ("Muon", dict(ns_coefficients=(1.0, 2.0)), ValueError, "ns_coefficients must be three numbers"),
    ("Muon", dict(adjust_lr_fn="best"), ValueError, "adjust_lr_fn must be None, 'original' or"),
    ("LBFGS", dict(line_search_fn="armijo"), ValueError, "line_search_fn must be None or 'strong_wolfe', got 'armijo'"),
    ("LBFGS", dict(max_iter=0), ValueError, "max_iter"),
    ("LBFGS", dict(max_eval=2.5), TypeError, "max_eval must be an int"),
    ("LBFGS", dict(history_size=0), ValueError, "history_size"),
    ("LBFGS", dict(tolerance_grad=-1e-9), ValueError, "tolerance_grad"),
    ("LBFGS", dict(lr=-1), ValueError, "LBFGS: lr"),
]


@pytest.mark.parametrize(("rule", "options", "error", "message"), WRONG, ids=[f"{w[0]} {w[3][:20]}" for w in WRONG])
def test_hyperparameters_that_make_no_sense_are_refused(rule, options, error, message):
    with pytest.raises(error, match=message):
        getattr(optim, rule)([Parameter(np.ones((2, 2)))], **options)


def test_what_lbfgs_cannot_do_it_refuses():
    p, q = Parameter(np.ones(2)), Parameter(np.ones(3))
    with pytest.raises(ValueError, match="LBFGS: .* one parameter group only"):
        optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(ValueError, match=r"of one dtype, got \['float32', 'float64'\]"):
        optim.LBFGS([p, Parameter(np.ones(2, np.float32))])
    rule = optim.LBFGS([p], max_iter=3)
    with pytest.raises(TypeError, match="LBFGS.step: needs a closure"):
        rule.step()
    rule.step(bowl([p], np.eye(2), np.zeros(2), _Host()))
    with pytest.raises(ValueError, match=r"'d', expected 3 elements"):
        optim.LBFGS([q]).load_state_dict(rule.state_dict())
    saved = copy.deepcopy(rule.state_dict())
    saved["param_groups"][0]["line_search_fn"] = "armijo"
    with pytest.raises(ValueError, match="line_search_fn must be"):
        optim.LBFGS([p]).load_state_dict(saved)
    saved = copy.deepcopy(rule.state_dict())
    saved["state"][0]["exp_avg"] = wrap(np.ones(2))
    with pytest.raises(ValueError, match="has a 'exp_avg'"):
        optim.LBFGS([p]).load_state_dict(saved)
