"""The Kullback-Leibler divergence of pairs of distributions, in closed form."""

from __future__ import annotations

from collections.abc import Callable

from .. import functions as F
from .. import linalg
from ..tensor import Tensor
from .continuous import Exponential, Gumbel, Laplace, LogNormal, MultivariateNormal, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import EULER, Distribution, sum_last
from .independent import Independent

_FORMULAS: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Callable], Callable]:
    """Enter a function of (p, q) for a pair of classes; as a decorator."""

    def enter(function: Callable) -> Callable:
        _FORMULAS[type_p, type_q] = function
        return function

    return enter


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q) = E_p[log p(x) - log q(x)], of the batch's shape.

    Raises:
        NotImplementedError: no formula is entered for the two classes.

    >>> from minidl.distributions import Normal
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 2.0))
    tensor(0.4431)
    """
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _FORMULAS:
                return _FORMULAS[a, b](p, q)
    raise NotImplementedError(f"kl_divergence: no formula for {type(p).__name__} and {type(q).__name__}")


@register_kl(Normal, Normal)
@register_kl(LogNormal, LogNormal)
def _normal(p, q):
    ratio, shift = (p.scale / q.scale) ** 2, ((p.loc - q.loc) / q.scale) ** 2
    return 0.5 * (ratio + shift - 1 - F.log(ratio))


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, distance = p.scale / q.scale, F.abs(p.loc - q.loc)
    return -F.log(ratio) + distance / q.scale + ratio * F.exp(-distance / p.scale) - 1


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return -F.log(ratio) - shift + ratio * EULER + F.exp(shift + F.lgamma(1 + ratio)) - (1 + EULER)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    outside = (q.low > p.low) | (q.high < p.high)
    return F.log((q.high - q.low) / (p.high - p.low)).masked_fill(outside, float("inf"))


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - 1 - F.log(ratio)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    return _inside(p.probs, p.logits, q.logits)


def _inside(probs, a, b):
    """KL of two coins by the logits: p (a - b) + softplus(b) - softplus(a)."""

    def softplus(x):
        return x.clamp_min(0) + F.log1p(F.exp(-F.abs(x)))

    return probs * (a - b) + softplus(b) - softplus(a)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    more = p.total_count > q.total_count
    return (p.total_count * _inside(p.probs, p.logits, q.logits)).masked_fill(more, float("inf"))


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - F.log1p(-q.probs) / p.probs - q.logits


@register_kl(Categorical, Categorical)
@register_kl(OneHotCategorical, OneHotCategorical)
def _categorical(p, q):
    terms = p.probs * (p.logits - q.logits)
    terms = F.where((q.probs == 0).expand_as(terms), F.full_like(terms, float("inf")), terms)
    return F.where((p.probs == 0).expand_as(terms), F.zeros_like(terms), terms).sum(-1)


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return F.xlogy(p.rate, p.rate / q.rate) - (p.rate - q.rate)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p, q):
    batch = F.broadcast_shapes(p.batch_shape, q.batch_shape)
    size = p.event_shape[0]
    left = q.scale_tril.expand(*batch, size, size)
    mixed = linalg.solve_triangular(left, p.scale_tril.expand(*batch, size, size), upper=False)
    shift = linalg.solve_triangular(left, (q.loc - p.loc).expand(*batch, size).unsqueeze(-1), upper=False)
    return q._log_det() - p._log_det() + 0.5 * ((mixed**2).sum((-2, -1)) + (shift**2).sum((-2, -1)) - size)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("kl_divergence: the two Independent have different numbers of event dimensions")
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
