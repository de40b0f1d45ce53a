"""Forms of one rule that look different and are the same, or look the same and are not."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import optim
from minidl.tensor import Parameter, wrap

START = np.array([1.0, -3.0, 0.2])


def slope(x):
    """The gradient of a bumpy bowl."""
    return x + 0.3 * np.sin(3 * x)


def path(make, steps: int = 20, start=START, gradient=slope) -> np.ndarray:
    """Where the optimizer `make([parameter])` goes, without the start."""
    w = Parameter(np.array(start))
    rule, places = make([w]), []
    for _ in range(steps):
        w.grad = wrap(gradient(w.array))
        rule.step()
        places.append(w.array.copy())
    return np.array(places)


def close(a, b) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


# ---------------------------------------------------------------------------------------------------------- momentum
@pytest.mark.parametrize("mu", [0.5, 0.9])
def test_nesterov_is_the_gradient_at_the_look_ahead_point(mu):
    """Sutskever's form keeps q and takes the gradient where the velocity would lead:

        v <- mu v - lr g(q + mu v),   q <- q + v

    Put p = q + mu v (the point of the gradient) and v = -lr b. Then b <- mu b + g(p), and the new p is
    q + v + mu v = (p - mu v_old) + (1 + mu) v = p + mu v - lr g = p - lr (g + mu b), which is PyTorch's.
    """
    lr, q, v, ahead, behind = 0.05, START, 0.0, [], []
    for _ in range(20):
        v = mu * v - lr * slope(q + mu * v)
        q = q + v
        ahead.append(q + mu * v)
        behind.append(q)
    found = path(lambda ps: optim.SGD(ps, lr=lr, momentum=mu, nesterov=True))
    close(found, ahead)
    assert abs(found - behind).max() > 0.01  # PyTorch's parameters are the look-ahead points, not Sutskever's q


def test_momentum_as_a_sum_and_as_an_average_of_gradients():
    """v <- 0.8 v - 0.2 g, p <- p + v:   with v = -0.2 b it is b <- 0.8 b + g, p <- p - 0.2 b: SGD with lr 0.2.

    So an average of gradients, m <- 0.8 m + 0.2 g, p <- p - lr m, is SGD with momentum 0.8 and lr 0.2 lr, from the
    first step on, since b = m = v = 0 before it.
    """
    p, v, q, m, velocity, average = START, 0.0, START, 0.0, [], []
    for _ in range(20):
        v = 0.8 * v - 0.2 * slope(p)
        p = p + v
        velocity.append(p)
        m = 0.8 * m + (1 - 0.8) * slope(q)
        q = q - 0.3 * m
        average.append(q)
    close(path(lambda ps: optim.SGD(ps, lr=0.2, momentum=0.8)), velocity)
    close(path(lambda ps: optim.SGD(ps, lr=0.3 * (1 - 0.8), momentum=0.8)), average)


def test_dampening_is_the_average_but_for_the_first_gradient():
    """b <- mu b + (1 - dampening) g with dampening = mu is the average m, but the first b is g_1, not (1 - mu) g_1.

    So b_t = m_t + mu^t g_1: the first gradient counts 1 / (1 - mu) times as much as it should, at mu 0.9 ten times.
    """
    mu, lr, gradients = 0.9, 0.1, [np.array([1.0, 2.0, 3.0]), np.array([0.5, -1.0, 0.0]), np.array([2.0, 0.0, 1.0])]

    def run(make):
        stream = iter(gradients)
        return path(make, len(gradients), gradient=lambda x: next(stream))

    damped = run(lambda ps: optim.SGD(ps, lr=lr, momentum=mu, dampening=mu))
    average = run(lambda ps: optim.SGD(ps, lr=lr * (1 - mu), momentum=mu))
    extra = np.cumsum([lr * mu**t * gradients[0] for t in (1, 2, 3)], axis=0)
    close(damped, average - extra)


# ------------------------------------------------------------------------------------------------------ weight decay
def test_decay_in_the_gradient_and_decay_of_the_weights_are_the_same_for_plain_sgd_only():
    """p - lr (g + wd p) = (1 - lr wd) p - lr g.   With momentum the decay goes through the velocity, with Adam through

    the division by sqrt(v); both are then other rules. A decay of p <- (1 - c) p - lr g without lr is wd = c / lr.
    """

    def sgd(decoupled, **options):
        group = {"decoupled_weight_decay": decoupled}
        return path(lambda ps: optim.SGD([{"params": ps, **group}], lr=0.1, weight_decay=0.5, **options))

    close(sgd(True), sgd(False))
    p, shrunk = START, []
    for _ in range(20):
        p = (1 - 0.05) * p - 0.1 * slope(p)
        shrunk.append(p)
    close(sgd(False), shrunk)
    assert abs(sgd(True, momentum=0.9) - sgd(False, momentum=0.9)).max() > 0.1
    adam = path(lambda ps: optim.Adam(ps, lr=0.1, weight_decay=0.5))
    assert abs(adam - path(lambda ps: optim.AdamW(ps, lr=0.1, weight_decay=0.5))).max() > 0.1


def test_adam_hardly_decays_weights_with_large_gradients_and_adamw_all_alike():
    """With gradients +-G in turn and a decay wd p << G, Adam's decay is lr wd p / G: none; AdamW's is lr wd p."""

    def shrinkage(rule, size):
        signs = iter([1.0, -1.0] * 50)
        end = path(
            lambda ps: rule(ps, lr=1e-3, weight_decay=0.1), 100, np.ones(1), lambda x: size * next(signs) + 0 * x
        )
        free = iter([1.0, -1.0] * 50)
        same = path(lambda ps: rule(ps, lr=1e-3, weight_decay=0), 100, np.ones(1), lambda x: size * next(free) + 0 * x)
        return float((same - end)[-1, 0])

    assert shrinkage(optim.AdamW, 1.0) == pytest.approx(shrinkage(optim.AdamW, 100.0), rel=1e-6)
    assert shrinkage(optim.AdamW, 1.0) == pytest.approx(1 - (1 - 1e-4) ** 100, rel=0.1)
    assert 0 < shrinkage(optim.Adam, 100.0) < 0.02 * shrinkage(optim.Adam, 1.0)


# --------------------------------------------------------------------------------------------------------------- eps
def adam(place: str, lr: float, eps: float, beta1: float = 0.9, beta2: float = 0.999, steps: int = 20, gradient=slope):
    """Adam with eps beside the corrected root, inside it, or beside the uncorrected one (a number or of the step)."""
    p, m, v, places = START, 0.0, 0.0, []
    for t in range(1, steps + 1):
        g = gradient(p)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        if place == "beside":
            step = lr * m_hat / (np.sqrt(v_hat) + eps)
        elif place == "inside":
            step = lr * m_hat / np.sqrt(v_hat + eps)
        else:
            eps_hat = eps(t) if callable(eps) else eps
            step = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps_hat)
        p = p - step
        places.append(p)
    return np.array(places)


def test_adams_eps_beside_the_corrected_root_is_eps_hat_that_grows():
    """lr_t m / (sqrt(v) + eps_hat), the form at the end of the paper's section 2, with lr_t = lr c2 / c1,

    c1 = 1 - beta1^t and c2 = sqrt(1 - beta2^t), is lr (m / c1) / (sqrt(v) / c2 + eps_hat / c2): eps = eps_hat / c2.
    So a constant eps_hat is at the first step an eps that is 1 / sqrt(1 - beta2) = 32 times as large.
    """
    found = path(lambda ps: optim.Adam(ps, lr=0.1, eps=0.1))
    close(found, adam("beside", 0.1, 0.1))
    close(found, adam("uncorrected", 0.1, lambda t: 0.1 * np.sqrt(1 - 0.999**t)))
    constant = adam("uncorrected", 0.1, 0.1)
    g = slope(START)
    close(START - constant[0], 0.1 * g / (abs(g) + 0.1 / np.sqrt(1 - 0.999)))
    assert abs(found - constant).max() > 0.05


def test_adams_eps_inside_the_root_is_another_eps():
    """sqrt(v + e^2) <= sqrt(v) + e <= sqrt(2) sqrt(v + e^2): inside the root belongs the square of eps.

    With eps = 1e-8 itself inside, gradients below sqrt(eps) = 1e-4 already get smaller steps.
    """
    tiny = {"gradient": lambda x: 1e-6 + 0 * x, "steps": 1}
    beside = START - path(lambda ps: optim.Adam(ps, lr=0.1, eps=1e-8), **tiny)[0]
    np.testing.assert_allclose(beside, 0.1 / 1.01)  # 1e-6 / (1e-6 + 1e-8)
    np.testing.assert_allclose(START - adam("inside", 0.1, 1e-8, **tiny)[0], 0.1 * 1e-6 / np.sqrt(1e-12 + 1e-8))
    for size in (1e-10, 1e-8, 1e-6, 1.0):
        given = {"gradient": lambda x, size=size: size + 0 * x, "steps": 1}
        squared = START - adam("inside", 0.1, 1e-16, **given)[0]
        ratio = squared / (START - path(lambda ps: optim.Adam(ps, lr=0.1, eps=1e-8), **given)[0])
        assert (ratio > 1 - 1e-6).all() and (ratio < 2**0.5 + 1e-6).all()


# ----------------------------------------------------------------------------------------------------------- RMSprop
@pytest.mark.parametrize("begin", [0.0, 1e-3, 1.0])
def test_rmsprop_from_zero_and_from_a_constant(begin):
    """v <- alpha v + (1 - alpha) g^2 from v = c is the path from 0 plus c alpha^t, which is forgotten slowly.

    From 0 (PyTorch) the first step is lr / sqrt(1 - alpha), 10 lr at alpha 0.99, whatever the gradient; from a constant
    (1 in TensorFlow 1) it is lr g / sqrt(alpha c + ...). Any other start is put into the state before the first step.
    """
    p, v, expected = START, begin, []
    for _ in range(20):
        g = slope(p)
        v = 0.99 * v + 0.01 * g**2
        p = p - 0.01 * g / (np.sqrt(v) + 1e-8)
        expected.append(p)

    def make(ps):
        rule = optim.RMSprop(ps, lr=0.01)
        if begin:
            rule.state[ps[0]]["square_avg"] = minidl.full_like(ps[0], begin)
        return rule

    found = path(make)
    close(found, expected)
    if begin == 0:
        np.testing.assert_allclose(found[0], START - 0.1 * np.sign(slope(START)), rtol=1e-6)


def test_rmsprop_with_a_corrected_start_is_adam_without_momentum():
    """Adam with beta1 = 0 divides by sqrt(v / (1 - alpha^t)): RMSprop from 0 with lr sqrt(1 - alpha^t), but for eps."""
    corrected = path(lambda ps: optim.RMSprop(ps, lr=lambda t: 0.05 * (1 - 0.9 ** (t + 1)) ** 0.5, alpha=0.9, eps=0))
    close(corrected, path(lambda ps: optim.Adam(ps, lr=0.05, betas=(0.0, 0.9), eps=0)))


# ----------------------------------------------------------------------------------------------------------- batches
@pytest.mark.parametrize("sizes", [(12,), (4, 4, 4), (1, 5, 6)], ids=str)
def test_accumulated_micro_batches_are_one_batch(sizes):
    """Gradient descent = SGD with all data as its batch = the gradients of parts, summed with weights n_i / N.

    The mean over all is the sum of (n_i / N) times the mean over part i; with k equal parts the weight is 1 / k.
    """
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    data, answers = minidl.tensor(x), minidl.tensor(y)
    by_hand, whole, parts = START, Parameter(START.copy()), Parameter(START.copy())
    one, other = optim.SGD([whole], lr=0.1, momentum=0.9), optim.SGD([parts], lr=0.1, momentum=0.9)
    b = 0.0
    for _ in range(10):
        b = 0.9 * b + 2 * x.T @ (x @ by_hand - y) / 12
        by_hand = by_hand - 0.1 * b
        one.zero_grad()
        ((data @ whole - answers) ** 2).mean().backward()
        one.step()
        other.zero_grad()
        first = 0
        for n in sizes:
            part = slice(first, first + n)
            (((data[part] @ parts - answers[part]) ** 2).mean() * (n / 12)).backward()
            first += n
        other.step()
    close(whole.array, by_hand)
    close(parts.array, by_hand)
