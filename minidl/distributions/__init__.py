"""Probability distributions to sample from and to differentiate, under PyTorch's names: for policies that are learned
by reinforcement, for variational autoencoders, for losses by maximum likelihood.
"""

import sys as _sys
from importlib.machinery import ModuleSpec as _ModuleSpec
from types import ModuleType as _ModuleType
from typing import Any as _Any

from .continuous import Exponential, Gumbel, Laplace, LogNormal, MultivariateNormal, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import Distribution, broadcast_all
from .independent import Independent
from .kl import kl_divergence, register_kl

__all__ = ["Bernoulli", "Binomial", "Categorical", "Distribution", "Exponential", "Geometric", "Gumbel", "Independent"]
__all__ += ["Laplace", "LogNormal", "MultivariateNormal", "Normal", "OneHotCategorical", "Poisson", "Uniform"]
__all__ += ["kl_divergence", "register_kl"]

# PyTorch has a file for each of them: `distributions.normal.Normal` is `distributions.Normal`
_PATHS: dict[str, _Any] = {
    "bernoulli": Bernoulli, "binomial": Binomial, "categorical": Categorical, "exponential": Exponential,
    "geometric": Geometric, "gumbel": Gumbel, "laplace": Laplace, "log_normal": LogNormal,
    "multivariate_normal": MultivariateNormal, "normal": Normal, "one_hot_categorical": OneHotCategorical,
    "poisson": Poisson, "uniform": Uniform, "utils": broadcast_all,
}  # fmt: skip
for _path, _one in _PATHS.items():
    globals()[_path] = _made = _ModuleType(f"{__name__}.{_path}", f"PyTorch's path to {_one.__name__}.")
    _made.__spec__ = _ModuleSpec(_made.__name__, None)
    vars(_made).update({_one.__name__: _one, "__all__": [_one.__name__]})
    _sys.modules[_made.__name__] = _made
del broadcast_all
