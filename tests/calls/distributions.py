"""Distributions: log-probabilities, entropies, moments and divergences as functions of the parameters."""

from __future__ import annotations

import numpy as np

from .library import call, numbers, several, whole

A, B, C = numbers(41, 3, 2), numbers(42, 3, 2), numbers(43, 4, 3, 2)
CLASS, COUNTS, BITS = whole(44, 4, 3), whole(45, 5, 3, 2).astype(float), whole(46, 2, 3, 2).astype(float)
LOGITS = numbers(47, 3, 4)


def both(L, name, a, b):
    """A distribution of a location and a positive scale."""
    return getattr(L.T.distributions, name)(a, b.exp())


# of two parameters: values for log_prob lie in the support
for _name, _value in (
    ("Normal", lambda x: x),
    ("LogNormal", lambda x: x.exp() + 0.1),
    ("Laplace", lambda x: x),
    ("Gumbel", lambda x: x),
):
    several(
        f"distributions {_name}",
        {
            "log_prob": lambda L, a, b, x, n=_name, v=_value: both(L, n, a, b).log_prob(v(x)),
            "entropy": lambda L, a, b, x, n=_name: both(L, n, a, b).entropy() + 0 * x[0],
            "moments": lambda L, a, b, x, n=_name: (
                both(L, n, a, b).mean + 0 * x[0],
                both(L, n, a, b).variance,
                both(L, n, a, b).stddev,
                both(L, n, a, b).mode,
            ),
            "divergence": lambda L, a, b, x, n=_name: L.T.distributions.kl_divergence(
                both(L, n, a, b), both(L, n, b - 0.5, 0.3 * x[0])
            ),
        },
        A,
        B,
        C,
    )
several(
    "distributions, shares",
    {
        "Normal": lambda L, a, b, x: both(L, "Normal", a, b).cdf(x),
        "LogNormal": lambda L, a, b, x: both(L, "LogNormal", a, b).cdf(x.exp()),
        "Laplace": lambda L, a, b, x: both(L, "Laplace", a, b).cdf(x),
        "Gumbel": lambda L, a, b, x: both(L, "Gumbel", 0 * a, 0 * b).cdf(x.exp()),  # PyTorch refuses more
    },
    A,
    B,
    C,
)
several(
    "distributions, quantiles",
    {
        "Normal": lambda L, a, b: both(L, "Normal", a, b).icdf(b.sigmoid()),
        "LogNormal": lambda L, a, b: both(L, "LogNormal", a, b).icdf(b.sigmoid()),
        "Laplace": lambda L, a, b: both(L, "Laplace", a, b).icdf(b.sigmoid()),
        "Exponential": lambda L, a, b: L.T.distributions.Exponential(a.exp()).icdf(b.sigmoid()),
        "Uniform": lambda L, a, b: L.T.distributions.Uniform(a - 2, b + 2).icdf(b.sigmoid()),
    },
    A,
    B,
)
several(
    "distributions Uniform",
    {
        "log_prob": lambda L, a, b: L.T.distributions.Uniform(a - 2, b + 2).log_prob((a + b) / 4),
        "cdf": lambda L, a, b: L.T.distributions.Uniform(a - 2, b + 2).cdf((a + b) / 4),
        "entropy and moments": lambda L, a, b: (
            *(getattr(L.T.distributions.Uniform(a - 2, b + 2), m) for m in ("mean", "variance", "stddev")),
            L.T.distributions.Uniform(a - 2, b + 2).entropy(),
        ),
        "divergence": lambda L, a, b: L.T.distributions.kl_divergence(
            L.T.distributions.Uniform(a - 2, b + 2), L.T.distributions.Uniform(a - 3, b + 3)
        ),
    },
    A,
    B,
)
several(
    "distributions Exponential",
    {
        "log_prob": lambda L, a, b: L.T.distributions.Exponential(a.exp()).log_prob(b.exp()),
        "cdf": lambda L, a, b: L.T.distributions.Exponential(a.exp()).cdf(b.exp()),
        "entropy and moments": lambda L, a, b: (
            *(getattr(L.T.distributions.Exponential(a.exp()), m) + 0 * b for m in ("mean", "variance", "stddev")),
            L.T.distributions.Exponential(a.exp()).entropy(),
        ),
        "divergence": lambda L, a, b: L.T.distributions.kl_divergence(
            L.T.distributions.Exponential(a.exp()), L.T.distributions.Exponential(b.exp())
        ),
    },
    A,
    B,
)
for _name in ("Bernoulli", "Geometric"):
    several(
        f"distributions {_name}",
        {
            "of probabilities": lambda L, a, b, x, n=_name: (
                getattr(L.T.distributions, n)(a.sigmoid()).log_prob(x) + 0 * b
            ),
            "of logits": lambda L, a, b, x, n=_name: getattr(L.T.distributions, n)(logits=a).log_prob(x) + 0 * b,
            "entropy": lambda L, a, b, x, n=_name: getattr(L.T.distributions, n)(logits=a).entropy() + 0 * b,
            "moments": lambda L, a, b, x, n=_name: tuple(
                getattr(getattr(L.T.distributions, n)(logits=a), m) + 0 * b for m in ("mean", "variance", "probs")
            ),
            "divergence": lambda L, a, b, x, n=_name: L.T.distributions.kl_divergence(
                getattr(L.T.distributions, n)(logits=a), getattr(L.T.distributions, n)(logits=b)
            ),
        },
        A,
        B,
        BITS,
        fixed=(2,),
    )
several(
    "distributions of counts",
    {
        "Poisson": lambda L, a, x: L.T.distributions.Poisson(a.exp()).log_prob(x),
        "Poisson divergence": lambda L, a, x: L.T.distributions.kl_divergence(
            L.T.distributions.Poisson(a.exp()), L.T.distributions.Poisson((a * 2).exp())
        ),
        "Binomial": lambda L, a, x: L.T.distributions.Binomial(6, logits=a).log_prob(x),
        "Binomial of probabilities": lambda L, a, x: L.T.distributions.Binomial(6, a.sigmoid()).log_prob(x),
        "Binomial moments": lambda L, a, x: (
            L.T.distributions.Binomial(6, logits=a).mean,
            L.T.distributions.Binomial(6, logits=a).variance,
        ),
        "Binomial divergence": lambda L, a, x: L.T.distributions.kl_divergence(
            L.T.distributions.Binomial(6, logits=a), L.T.distributions.Binomial(6, logits=a * 2)
        ),
    },
    A,
    COUNTS,
    fixed=(1,),
)
several(
    "distributions Categorical",
    {
        "of logits": lambda L, z, k: L.T.distributions.Categorical(logits=z).log_prob(L.tensor(k)),
        "of probabilities": lambda L, z, k: L.T.distributions.Categorical(z.exp()).log_prob(L.tensor(k)),
        "of several values": lambda L, z, k: L.T.distributions.Categorical(logits=z).log_prob(L.tensor(k).unsqueeze(1)),
        "entropy": lambda L, z, k: L.T.distributions.Categorical(logits=z).entropy(),
        "probs and logits": lambda L, z, k: (
            L.T.distributions.Categorical(logits=z).probs,
            L.T.distributions.Categorical(z.exp()).logits,
            L.T.distributions.Categorical(logits=z).perplexity(),
        ),
        "divergence": lambda L, z, k: L.T.distributions.kl_divergence(
            L.T.distributions.Categorical(logits=z), L.T.distributions.Categorical(logits=z * 0.5)
        ),
        "as vectors": lambda L, z, k: L.T.distributions.OneHotCategorical(logits=z).log_prob(
            L.F.one_hot(L.tensor(k), 4)
        ),
    },
    LOGITS,
    CLASS,
)
MATRIX = numbers(48, 2, 3, 3)


def multivariate(L, m, a, **options):
    """The covariance is a a^T + 1."""
    covariance = a @ a.mT + L.T.eye(3, dtype=a.dtype, device=a.device)
    return L.T.distributions.MultivariateNormal(m, covariance, **options)


several(
    "distributions MultivariateNormal",
    {
        "log_prob": lambda L, m, a, x: multivariate(L, m, a).log_prob(x),
        "entropy": lambda L, m, a, x: multivariate(L, m, a).entropy() + 0 * x[0, 0, 0] + 0 * m[0, 0],
        "moments": lambda L, m, a, x: (
            multivariate(L, m, a).mean + 0 * x[0, 0, 0],
            multivariate(L, m, a).variance,
            multivariate(L, m, a).covariance_matrix,
            multivariate(L, m, a).precision_matrix,
        ),
        "divergence": lambda L, m, a, x: L.T.distributions.kl_divergence(
            multivariate(L, m, a), multivariate(L, x[0], a * 0.5)
        ),
        "of a precision": lambda L, m, a, x: L.T.distributions.MultivariateNormal(
            m, precision_matrix=a @ a.mT + L.T.eye(3, dtype=a.dtype, device=a.device)
        ).log_prob(x),
    },
    numbers(49, 2, 3),
    MATRIX,
    numbers(50, 4, 2, 3),
)


@call("distributions Independent", A, B, C)
def _(L, a, b, x):
    one = L.T.distributions.Independent(L.T.distributions.Normal(a, b.exp()), 1)
    other = L.T.distributions.Independent(L.T.distributions.Normal(b, a.exp()), 1)
    return one.log_prob(x), one.entropy(), L.T.distributions.kl_divergence(one, other)


@call("distributions expanded", A[:1], B[:1], np.abs(C))
def _(L, a, b, x):
    D = L.T.distributions
    return (
        D.Normal(a, b.exp()).expand((3, 2)).log_prob(x),
        D.Exponential(a.exp()).expand((3, 2)).log_prob(x),
        D.Categorical(logits=a).expand((3,)).log_prob(x[0, :, 0].detach().long().clamp(0, 1)),
        D.Independent(D.Normal(a, b.exp()), 1).expand((3,)).log_prob(x),
    )
