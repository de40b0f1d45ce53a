"""The public face: PyTorch's functions, each a few lines over the ops; `methods.py` attaches them to Tensor too.

Here live PyTorch's signatures (`x.sum(1)`, `cat(xs, 1)`, `input=`, `dim=` or `axis=`); the ops have NumPy's.
"""

from __future__ import annotations

from .. import creation
from ..creation import *
from ..creation import _size  # noqa: F401
from ..formatting import set_printoptions
from . import elementwise, index, linalg, matrices, order, pieces, reduce, shape, special, types
from .arguments import explained
from .elementwise import *
from .index import *
from .linalg import *
from .matrices import *
from .order import *
from .pieces import *
from .reduce import *
from .shape import *
from .special import *
from .types import *

__all__ = ["set_printoptions"]
for _part in (creation, elementwise, index, linalg, matrices, order, pieces, reduce, shape, special, types):
    __all__ += _part.__all__
_parts = (elementwise, index, linalg, matrices, order, pieces, reduce, shape, special)
_made_like = [_name for _name in creation.__all__ if _name.endswith("_like")] + ["bernoulli", "multinomial", "poisson"]
for _name in [*_made_like, *[_n for _p in _parts for _n in _p.__all__]]:
    if callable(globals()[_name]):
        globals()[_name] = explained(globals()[_name])
