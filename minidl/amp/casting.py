"""Which device types are under autocast in this thread, and the casts that their ops' inputs get.

The engine asks `mode.autocast` before an op runs, where it asks for anything at all: switched off, this costs nothing.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import modes
from ..backend import BACKENDS
from ..backend.dtypes import bfloat16, float16
from ..engine import FUNCTIONS, Op
from ..modes import mode
from ..tensor import Tensor
from .lists import CALLS, INVERSE, LISTS, LOWER, PLAIN, REFUSED, STATE, WIDEST

HALF, SINGLE, DOUBLE = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")


class State(threading.local):
    """The switches of this thread: PyTorch's values at the start."""

    def __init__(self) -> None:
        self.enabled = {"cpu": False, "cuda": False, "mps": False, "xpu": False}
        self.dtypes: dict[str, Any] = {"cpu": bfloat16, "cuda": float16, "mps": bfloat16, "xpu": float16}
        self.cache_enabled, self.nesting = True, 0
        self.kept: dict[int, tuple] = {}  # by the id of a parameter: itself, its version, its array, the same in half
        self._watched = False

    def set(self, kind: str, enabled: bool) -> None:
        """Switch a device type, and let the engine know."""
        self.enabled[kind] = bool(enabled)
        on = any(self.enabled[kind] for kind in LISTS)
        mode.autocast = cast_inputs if on else None
        modes.watch(on - self._watched, False)
        self._watched = on

    def leave(self) -> None:
        """The end of a context; after the outermost one no values are kept."""
        self.nesting -= 1
        if not self.nesting:
            self.kept.clear()


state = State()


def kind_of(inputs) -> str | None:
    """The device type of the first Tensor among the inputs, if it is under autocast."""
    for x in inputs:
        if isinstance(x, Tensor):
            kind = BACKENDS[x.array.__class__].name
            return kind if state.enabled.get(kind) else None
    return None


def cast_inputs(op: Op, inputs):
    """The inputs in the precision that the op is computed in."""
    rule = LISTS[kind].get(op.name) if (kind := kind_of(inputs)) else None
    return inputs if rule is None else [to(x) for to in [_caster(rule, inputs)] for x in inputs]


def _caster(rule: str, inputs) -> Callable:
    """What casts one input; of lists of Tensors, each."""
    if rule == INVERSE:
        if isinstance(inputs[0], Tensor):
            return lambda x: x
        rule = "single"
    if rule == WIDEST:
        given = [x.array.dtype for x in inputs if isinstance(x, Tensor)]
        rule = "single" if SINGLE in given else LOWER
    to = HALF if rule == LOWER else SINGLE
    if rule == STATE and inputs[1].array.dtype == HALF:
        to = HALF

    def cast(x):
        if isinstance(x, Tensor):
            dtype = x.array.dtype
            return x if dtype in (to, DOUBLE) or dtype.kind != "f" else _cast(x, to)
        return type(x)([cast(y) for y in x]) if x.__class__ in (list, tuple) else x

    return cast


def _cast(x: Tensor, to: np.dtype) -> Tensor:
    """x in another floating dtype. The values of a float32 parameter are kept, and copied again once it has changed."""
    if x.array.__class__ not in BACKENDS or BACKENDS[x.array.__class__].name not in LISTS:
        return x  # row-sparse
    if not (to == HALF and state.cache_enabled and state.nesting and x._requires_grad and x.edge is None):
        return FUNCTIONS["astype"](x, dtype=to)
    found, number = state.kept.get(id(x)), x.version and x.version[0]
    if found is None or found[1] != number or found[2] is not x.array:
        values = BACKENDS[x.array.__class__].astype(x.array, dtype=to)
        state.kept[id(x)] = found = (x, number, x.array, values)
    return FUNCTIONS["recast"](x, values=found[3])


def whole(function: Callable) -> Callable:
    """A function that PyTorch's autocast takes for one op: its inputs are cast by `CALLS`, and nothing within it.

    >>> whole(abs)(-2)
    2
    """
    name = function.__name__

    @functools.wraps(function)
    def call(*args, **kwargs):
        if not modes.watching or mode.autocast is None:
            return function(*args, **kwargs)
        kind = kind_of([y for x in (*args, *kwargs.values()) for y in (x if isinstance(x, (list, tuple)) else (x,))])
        rule = CALLS[kind].get(name) if kind else None
        if rule is None:
            return function(*args, **kwargs)
        if rule == REFUSED:
            raise RuntimeError(
                f"{name} is unsafe to autocast: a probability in half precision may be rounded to 0 or 1; use "
                "binary_cross_entropy_with_logits or BCEWithLogitsLoss without the sigmoid before it"
            )
        if rule != PLAIN:
            to = _caster(rule, [*args, *kwargs.values()])
            args, kwargs = tuple([to(x) for x in args]), {key: to(x) for key, x in kwargs.items()}
        outer, mode.autocast = mode.autocast, None
        try:
            return function(*args, **kwargs)
        finally:
            mode.autocast = outer

    return call
