"""Views as PyTorch has them: in place they change what they are views of, and they see what it was changed to.

A change that is part of a graph gives a Tensor another array (`Tensor.assign`). A view of it finds that out when it is
next read, and is computed anew.
"""

from __future__ import annotations

import functools
import weakref

from . import modes
from .modes import mode
from .tensor import Tensor, living_base


def assign_through(self: Tensor, name: str, y: Tensor) -> None:
    """self = y in place, where self is a view: change the Tensor it is a view of, and look at it anew."""
    base, steps = self._base[0](), self._base[2]  # type: ignore[index]
    above = [base]  # the Tensors on the way from the base to this one
    for op, static in steps[:-1]:
        above.append(op.function(above[-1], **static))
    for whole, (op, static) in zip(reversed(above), reversed(steps), strict=True):
        if op is None or op.put is None:
            raise RuntimeError(
                f"{name}: this tensor is a view made by '{op.name if op else 'split'}' of one that is still in "
                "use; change that one (x[index] = ...), or write y = y + ... instead"
            )
        y = op.put(whole, y, **static)
    self._base = None
    base.assign(name, lambda: y)
    _look(self, base, steps)


def current(self: Tensor) -> Tensor:
    """This tensor; a view of one that was changed in place as part of a graph looks at it anew."""
    if modes.watching and (base := living_base(self._base)) is not None:
        whole = current(base[0]())
        if whole.edge is not None:
            changed = _number(whole.edge) != base[3]
        else:  # overwritten by a constant, or merely cut off by `detach_`
            changed = base[3] is not None and whole.version is not self.version
        if changed:
            _look(self, whole, base[2])
    return self


def _number(edge) -> int:
    """The number of the node at an edge."""
    return (edge[0] if edge.__class__ is tuple else edge).order


def _look(self: Tensor, base: Tensor, steps) -> None:
    """Compute the view anew; it is part of the graph that the base is part of, whatever the mode."""
    if any(op is None for op, _ in steps):
        raise RuntimeError(
            "this tensor is a view made by 'split' of one that was changed in place since; split that one anew"
        )
    outer, mode.grad = mode.grad, not mode.inference
    try:
        seen = functools.reduce(lambda x, step: step[0].function(x, **step[1]), steps, base)
    finally:
        mode.grad = outer
    self.array, self.edge, self.version = seen.array, seen.edge, seen.version
    self._requires_grad = seen._requires_grad
    self._base = (weakref.ref(base), living_base(base._base), steps, base.edge and _number(base.edge))


for _method in (assign_through, current):
    setattr(Tensor, _method.__name__, _method)
