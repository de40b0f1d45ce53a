"""PyTorch's `special`: functions of SciPy's kind, as far as they are here."""

from __future__ import annotations

from . import functions as F
from .functions import special

__all__ = """
    digamma entr erf erfc erfcx erfinv exp2 expit expm1 gammaln log1p log_ndtr log_softmax logit logsumexp multigammaln
    ndtr ndtri polygamma psi round sinc softmax xlog1py xlogy
""".split()

digamma, psi, gammaln, multigammaln, polygamma = F.digamma, F.digamma, F.lgamma, F.mvlgamma, F.polygamma
erf, erfc, erfcx, erfinv, expit, logit = F.erf, F.erfc, special.erfcx, F.erfinv, F.sigmoid, F.logit
exp2, expm1, log1p, round, sinc, xlogy = F.exp2, F.expm1, F.log1p, F.round, F.sinc, F.xlogy
entr, ndtr, ndtri, log_ndtr, xlog1py = special.entr, special.ndtr, special.ndtri, special.log_ndtr, special.xlog1py
logsumexp, softmax, log_softmax = F.logsumexp, F.softmax, F.log_softmax
