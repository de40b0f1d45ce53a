"""What may be done to gradients between backward and the update, with any rule: `optimizer.transform(ClipNorm(1.0))`.

They run in the order in which they were given, each on what the one before it left.
"""

from .base import Transform
from .changes import L1, L2, Centralise, ClipNorm, ClipValue, Noise, SkipNonFinite
from .gathering import Accumulate, VarianceReduction

__all__ = [
    "Accumulate",
    "Centralise",
    "ClipNorm",
    "ClipValue",
    "L1",
    "L2",
    "Noise",
    "SkipNonFinite",
    "Transform",
    "VarianceReduction",
]
