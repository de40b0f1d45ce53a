"""Every derivative of minidl: one function for each op, its result and its vjps side by side.

Bodies are written with operators and `B.name(...)` alone, where `B = backend_of(x)`, so that they run on NumPy arrays,
on CuPy arrays and, when a backward is itself to be differentiated, on Tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ..engine import OPS, Aux, Op, op
from . import conv, elementwise, linalg, loss, noise, norm, pool, reduce, shape

__all__ = ["OPS", "Aux", "Op", "op", "replaced", "conv", "elementwise", "linalg", "loss", "noise", "norm", "pool"]
__all__ += ["reduce", "shape"]


@contextlib.contextmanager
def replaced(**bodies: Callable) -> Iterator[None]:
    """Within the block, run other bodies inside the ops of these names: a student's piece in the real system.

    A body takes what the op's own takes and returns `(y, vjps)`. The change is for the whole process.

    >>> def my_square(x):
    ...     return x * x, (lambda g: g * 2 * x,)
    >>> with replaced(square=my_square):
    ...     OPS["square"].body is my_square
    True
    """
    unknown = [name for name in bodies if not isinstance(OPS.get(name), Op)]
    if unknown:
        raise KeyError(f"replaced: no op is called {', '.join(unknown)}; there are {', '.join(sorted(OPS))}")
    before = {name: (OPS[name].body, OPS[name].composed) for name in bodies}
    try:
        for name, body in bodies.items():
            OPS[name].body, OPS[name].composed = body, None
        yield
    finally:
        for name, (body, composed) in before.items():
            OPS[name].body, OPS[name].composed = body, composed
