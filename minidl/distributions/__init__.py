"""Probability distributions to sample from and to differentiate, under PyTorch's names: for policies that are learned
by reinforcement, for variational autoencoders, for losses by maximum likelihood.
"""

from .continuous import Exponential, Gumbel, Laplace, LogNormal, MultivariateNormal, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import Distribution
from .independent import Independent
from .kl import kl_divergence, register_kl

__all__ = ["Bernoulli", "Binomial", "Categorical", "Distribution", "Exponential", "Geometric", "Gumbel", "Independent"]
__all__ += ["Laplace", "LogNormal", "MultivariateNormal", "Normal", "OneHotCategorical", "Poisson", "Uniform"]
__all__ += ["kl_divergence", "register_kl"]
