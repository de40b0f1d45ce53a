"""Every derivative of minidl: one function for each op, its result and its vjps side by side.

Bodies are written with operators and `B.name(...)` alone, where `B = backend_of(x)`, so that they run on NumPy arrays,
on CuPy arrays and, when a backward is itself to be differentiated, on Tensors.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from ..engine import OPS, Aux, Op, op
from . import activation, attention, conv, elementwise, linalg, loss, noise, norm, pool, recurrent, reduce, shape

__all__ = ["OPS", "Aux", "Op", "op", "replaced", "attention", "conv", "elementwise", "linalg", "loss", "noise", "norm"]
__all__ += ["pool", "recurrent", "reduce", "shape"]


def _checked(name: str, body: Callable) -> Callable:
    """A body that is told by name when what it returns is not `(y, vjps)`."""

    @functools.wraps(body)
    def call(*inputs, **static):
        result = body(*inputs, **static)
        vjps = result[1] if isinstance(result, tuple) and len(result) == 2 else 0
        each = vjps if isinstance(vjps, tuple) else (vjps,)
        if not all(f is None or callable(f) for f in each) or (each is vjps and len(each) != len(inputs)):
            raise TypeError(
                f"{name}: the body put in its place must return (y, vjps), with one function (or None) for each of the "
                f"{len(inputs)} inputs, or one function for all; it returned {type(result).__name__}"
            )
        return result

    return call


@contextlib.contextmanager
def replaced(**bodies: Callable) -> Iterator[None]:
    """Within the block, run other bodies inside the ops of these names: a student's piece in the real system.

    A body takes what the op's own takes and returns `(y, vjps)`. The change is for the whole process.

    >>> def my_square(x):
    ...     return x * x + 100, (lambda g: g * 2 * x,)
    >>> with replaced(square=my_square):
    ...     OPS["square"](minidl.tensor(3.0))
    tensor(109.)
    """
    unknown = [name for name in bodies if name not in OPS]
    if unknown:
        raise KeyError(f"replaced: no op is called {', '.join(unknown)}; there are {', '.join(sorted(OPS))}")
    before = {name: (OPS[name].body, OPS[name].composed) for name in bodies}
    try:
        for name, body in bodies.items():
            OPS[name].body, OPS[name].composed = _checked(name, body), None
        yield
    finally:
        for name, (body, composed) in before.items():
            OPS[name].body, OPS[name].composed = body, composed
