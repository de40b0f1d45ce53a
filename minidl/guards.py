"""What backward and anomaly mode check: memory changed in place, values that are not finite, and whose line it was."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np

from .backend import BACKENDS, backend_of
from .modes import mode
from .tensor import Aux, Tensor, describe


def captured(function, seen):
    """The arrays that a vjp, or a function it uses, holds on to."""
    if id(function) in seen:
        return
    seen.add(id(function))
    for cell in getattr(function, "__closure__", None) or ():
        values = [cell.cell_contents]
        while values:
            value = values.pop()
            if value.__class__ in BACKENDS:
                yield value
            elif isinstance(value, (tuple, list)):  # also nested: a recurrent layer has one for each step
                values += value
            elif callable(value):
                yield from captured(value, seen)


def refuse_changed(node, replaying) -> None:
    """Raise if memory that this node's vjps captured (or that a replay would read) was changed in place since."""
    changed = [a for cell in node.cells if cell[0] > node.order for a in cell[1:]]
    if not changed:
        return
    seen: set = set()
    vjps = node.vjps if node.vjps.__class__ is tuple else (node.vjps,)
    held = [a for f in vjps if f is not None for a in captured(f, seen)]
    if replaying:
        held += [p.array for p in node.parents if isinstance(p, Tensor)] + [
            c for c in node.inputs or () if c.__class__ in BACKENDS
        ]
    if any(type(a) is type(b) and backend_of(a).may_share_memory(a, b) for a in held for b in changed):
        where = f" ({node.where[1]})" if node.where else ""
        raise RuntimeError(
            f"backward: a tensor that '{node.op.name}'{where} needs was changed in place after the forward; "
            "clone it before the change" + ("" if where else ", or run inside detect_anomaly() to see the line")
        )


def refuse_released(node) -> None:
    """Raise because an earlier backward took this node's vjps away."""
    raise RuntimeError(
        f"backward: the graph of '{node.op.name}' was released by an earlier backward; "
        "pass retain_graph=True to the first one"
    )


def user_line() -> str:
    """The innermost line of the program that is not the framework's own."""
    frame: FrameType | None = sys._getframe(1)
    home = __name__.partition(".")[0]
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == home:
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def check_values(op, y, when, where=None, given=()) -> None:
    """Raise if a floating-point output of `op` is not finite, with the module and the line where its forward ran.

    A minus infinity is not held against an op to which one was given: masks are made of it.
    """
    if not mode.check_nan:
        return
    for o in y if y.__class__ is tuple else (y,):
        array: Any = o.value if o.__class__ is Aux else o
        array = array if array.__class__ in BACKENDS else np.asarray(array)
        B = backend_of(array)
        if array.dtype.kind == "f" and not bool(B.all(B.isfinite(array))):
            path, line = where or (mode.path, user_line())
            what = "nan" if bool(B.any(B.isnan(array))) else "inf"
            if what == "inf" and bool(B.all(array < float("inf"))) and any(_has_lowest(x) for x in given):
                continue
            module = f" in module '{path[-1]}'" if path else ""
            raise RuntimeError(
                f"anomaly: {when} of '{op.name}'{module} gave {what}, {describe(array)}; forward at {line}"
            )


def _has_lowest(x: Any) -> bool:
    lowest = -float("inf")
    if isinstance(x, float):
        return x == lowest
    return getattr(x, "dtype", np.dtype(int)).kind == "f" and bool(backend_of(x).any(x == lowest))


def check_gradient(node, g) -> None:
    """Raise unless the gradient g, which `node` gave to an input, is finite."""
    check_values(node.op, g.array if isinstance(g, Tensor) else g, "backward", node.where or ((), "an unwatched line"))
