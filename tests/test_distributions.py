"""Distributions: samples have the moments that the formulas say, and what is wrong is refused. (Densities, entropies
and divergences are compared with PyTorch's in calls/distributions.py.)
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import minidl
from minidl import distributions as D

N = 20000
LOC, SCALE = minidl.tensor([0.5, -1.0]), minidl.tensor([0.7, 2.0])
SAMPLED = {
    "Normal": D.Normal(LOC, SCALE),
    "LogNormal": D.LogNormal(LOC, 0.3 * SCALE),
    "Laplace": D.Laplace(LOC, SCALE),
    "Gumbel": D.Gumbel(LOC, SCALE),
    "Uniform": D.Uniform(LOC, LOC + SCALE),
    "Exponential": D.Exponential(SCALE),
    "Bernoulli": D.Bernoulli(minidl.tensor([0.2, 0.9])),
    "Geometric": D.Geometric(minidl.tensor([0.3, 0.8])),
    "Poisson": D.Poisson(minidl.tensor([0.5, 4.0])),
    "Binomial": D.Binomial(minidl.tensor([3.0, 8.0]), minidl.tensor([0.4, 0.7])),
    "OneHotCategorical": D.OneHotCategorical(minidl.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 1.0]])),
    "MultivariateNormal": D.MultivariateNormal(minidl.ones(2), minidl.tensor([[2.0, 0.6], [0.6, 0.5]])),
    "Independent": D.Independent(D.Normal(LOC, SCALE), 1),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_have_the_moments_that_the_formulas_say(name):
    minidl.manual_seed(3)
    one = SAMPLED[name]
    x = one.sample((N,))
    assert x.shape == (N, *one.batch_shape, *one.event_shape) and not x.requires_grad
    mean, variance = one.mean.numpy(), one.variance.numpy()
    assert np.all(np.abs(x.mean(0).numpy() - mean) < 5 * np.sqrt(variance / N) + 1e-6)
    assert np.allclose(x.var(0).numpy(), variance, rtol=0.12, atol=1e-6)
    assert np.isfinite(one.log_prob(x).numpy()).all()  # every sample lies in the support
    assert np.allclose(-one.log_prob(x).mean(0).numpy(), one.entropy().numpy(), atol=0.05) if name not in (
        "Poisson", "Binomial",
    ) else True  # fmt: skip


def test_classes_come_as_often_as_they_should():
    minidl.manual_seed(1)
    policy = D.Categorical(minidl.tensor([[1.0, 1.0, 2.0], [0.0, 3.0, 1.0]]))
    x = policy.sample((N,))
    assert x.shape == (N, 2) and x.dtype == minidl.int64
    counts = np.stack([np.bincount(x[:, i].numpy(), minlength=3) for i in range(2)]) / N
    assert np.allclose(counts, [[0.25, 0.25, 0.5], [0, 0.75, 0.25]], atol=0.02)
    assert policy.sample().shape == (2,) and policy.sample((3, 4)).shape == (3, 4, 2)
    assert D.Categorical(logits=minidl.zeros(5)).sample().shape == ()
    assert policy.enumerate_support().shape == (3, 2)


def test_gradients_flow_through_samples_that_can_be_reparametrised():
    loc, scale = minidl.tensor(0.5, requires_grad=True), minidl.tensor(2.0, requires_grad=True)
    for name in ("Normal", "Laplace", "Gumbel", "LogNormal"):
        one = getattr(D, name)(loc, scale)
        assert one.has_rsample
        x = one.rsample((100,))
        loc.grad = scale.grad = None
        (x.log() if name == "LogNormal" else x).sum().backward()
        z = ((x.log() if name == "LogNormal" else x) - 0.5) / 2
        assert loc.grad.item() == pytest.approx(100) and scale.grad.item() == pytest.approx(z.sum().item(), rel=1e-3)
    covariance = minidl.eye(2).requires_grad_()
    D.MultivariateNormal(minidl.zeros(2), covariance).rsample((5,)).sum().backward()
    assert covariance.grad.abs().sum() > 0
    with pytest.raises(NotImplementedError, match="Bernoulli has no differentiable samples"):
        D.Bernoulli(0.5).rsample()


def test_reinforce_learns_which_arm_pays():
    minidl.manual_seed(0)
    logits = minidl.zeros(3, requires_grad=True)
    optimizer = minidl.optim.Adam([logits], lr=0.1)
    for _ in range(100):
        policy = D.Categorical(logits=logits)
        action = policy.sample((16,))
        reward = (action == 1).float() - 0.3
        loss = -(policy.log_prob(action) * reward).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert D.Categorical(logits=logits).probs[1] > 0.9


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: D.Normal(0.0, -1.0), "Normal: scale must be positive"),
        (lambda: D.Normal(float("nan"), 1.0), "Normal: loc must be not nan"),
        (lambda: D.Uniform(1.0, 0.0), "Uniform: low must be below high"),
        (lambda: D.Bernoulli(1.5), "Bernoulli: probs must be between 0 and 1"),
        (lambda: D.Bernoulli(), "exactly one of probs and logits"),
        (lambda: D.Categorical(minidl.tensor([1.0, -1.0])), "probs must not be negative"),
        (lambda: D.Categorical(minidl.tensor(1.0)), "at least 1 dimension"),
        (lambda: D.Categorical(minidl.ones(2), minidl.ones(2)), "exactly one of probs and logits"),
        (lambda: D.Binomial(1.5, 0.5), "total_count must be whole numbers"),
        (lambda: D.Poisson(-1.0), "rate must be not negative"),
        (lambda: D.Normal("a", 1.0), "expected numbers or Tensors, got str"),
        (lambda: D.Normal(0.0, 1.0).log_prob(2.0), "the value must be a Tensor"),
        (lambda: D.Exponential(1.0).log_prob(minidl.tensor(-1.0)), "the value must be not negative"),
        (lambda: D.Categorical(minidl.ones(3)).log_prob(minidl.tensor(3)), "the value must be a class, 0 to 2"),
        (lambda: D.OneHotCategorical(minidl.ones(3)).log_prob(minidl.ones(3)), "with a single 1"),
        (lambda: D.Uniform(0.0, 1.0).log_prob(minidl.tensor(2.0)), "between low and high"),
        (lambda: D.MultivariateNormal(minidl.zeros(2)), "exactly one of covariance_matrix"),
        (lambda: D.Independent(D.Normal(0.0, 1.0), 1), "0 batch dimensions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_checks_can_be_left_out():
    assert D.Normal(0.0, -1.0, validate_args=False).scale == -1
    D.Distribution.set_default_validate_args(False)
    try:
        assert D.Exponential(1.0).log_prob(minidl.tensor(-1.0)) == 1
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(NotImplementedError, match="no formula for Normal and Laplace"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Laplace(0.0, 1.0))


def test_they_print_as_in_pytorch():
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(D.Categorical(minidl.ones(3))) == "Categorical(probs: minidl.Size([3]))"
    assert (
        repr(D.Independent(D.Normal(minidl.zeros(2), 1.0), 1))
        == "Independent(Normal(loc: minidl.Size([2]), scale: minidl.Size([2])), 1)"
    )
    assert (
        repr(D.Binomial(3, minidl.tensor([0.2, 0.8])))
        == "Binomial(total_count: minidl.Size([2]), probs: minidl.Size([2]))"
    )
    unit = minidl.eye(2)
    for form in "covariance_matrix precision_matrix scale_tril".split():
        text = f"MultivariateNormal(loc: minidl.Size([2]), {form}: minidl.Size([2, 2]))"
        assert repr(D.MultivariateNormal(minidl.zeros(2), **{form: unit})) == text


def test_every_class_has_pytorchs_path():
    for name in D.__all__:
        if isinstance(getattr(D, name), type) and name not in ("Distribution", "Independent"):
            path = "".join([f"_{c.lower()}" if c.isupper() else c for c in name]).lstrip("_")
            module = importlib.import_module(f"minidl.distributions.{path}")
            assert getattr(module, name) is getattr(D, name) and getattr(D, path) is module
    assert importlib.import_module("minidl.distributions.utils").broadcast_all(1.0, minidl.ones(2))[0].shape == (2,)
