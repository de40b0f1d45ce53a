"""What a transform of gradients is, and how it gets at them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...backend import backend_of, rows
from ...backend.norms import gathered
from ...tensor import Tensor, describe, wrap


class Transform:
    """The base class: what an optimizer does to gradients before its update.

    A transform of your own needs `apply`; one that remembers anything also `state_dict` and `load_state_dict`, which
    has to check the whole state before it changes anything. It changes `p.grad`, in place or by assigning a new Tensor:

    >>> class Sign(Transform):
    ...     '''g <- sign(g)'''
    ...     def apply(self, params, optimizer):
    ...         for p in params:
    ...             p.grad = p.grad.sign()
    ...         return True
    >>> import minidl
    >>> from minidl.optim import SGD
    >>> w = minidl.zeros(2, requires_grad=True)
    >>> rule = SGD([w], lr=0.5).transform(Sign())
    >>> w.grad = minidl.tensor([3.0, -0.1]); rule.step(); w
    tensor([-0.5000,  0.5000], requires_grad=True)
    """

    def attach(self, optimizer) -> None:
        """Called when an optimizer takes the transform; what remembers parameters gets to know them here."""

    def apply(self, params: list[Tensor], optimizer) -> bool:
        """Change the gradients of these parameters, those that have one; False if this step is not to be made."""
        raise NotImplementedError(f"{type(self).__name__} has no apply(params, optimizer)")

    def state_dict(self) -> dict[str, Any]:
        """What the transform has to remember: numbers, and Tensors by the number of their parameter."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave; if it does not fit, a ValueError says why, nothing is changed."""
        own, where = self.state_dict(), f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, dict) or set(state) != set(own):
            found = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"{where}: expected {sorted(own)}, got {found}")
        try:
            new = self._checked(where, state)
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            text = str(error)
            raise ValueError(text if text.startswith(where) else f"{where}: {text}") from error
        self.__dict__.update(new)

    def _checked(self, where: str, state: dict[str, Any]) -> dict[str, Any]:
        """What a saved state, whose keys are right, makes of the attributes; ValueError or TypeError if it does not."""
        return {}

    def __repr__(self) -> str:
        names = inspect.signature(type(self).__init__).parameters if type(self).__init__ is not object.__init__ else ()
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names if hasattr(self, n))})"

    # for the transforms of this file
    def _dense(self, p: Tensor):
        """The gradient's array; a row-sparse one is refused."""
        g: Any = p.grad
        if g.is_sparse:
            name, what = type(self).__name__, f"as that of a parameter {describe(p.array)}"
            raise RuntimeError(f"{name}: expected ordinary gradients, got a row-sparse one {what}; use sparse=False")
        return g.array


def values_of(p: Tensor):
    """The array of a gradient; of a row-sparse one that of its rows, with repeated ones summed."""
    assert p.grad is not None
    return rows.values_of(p.grad.array)


def change(p: Tensor, compute: Callable[[Any], Any]) -> None:
    """g <- compute(g); of a row-sparse gradient the rows that it has, so compute(0) must be 0."""
    g: Any = p.grad
    values = values_of(p)
    if g.is_sparse:
        values[...] = compute(values)
        g.changed()
    else:
        put(p, compute(values))


def put(p: Tensor, g) -> None:
    p.grad = wrap(backend_of(p.array).asarray(g))  # what is 0-d may have become a scalar


def sum_of(numbers: list):
    """The sum of 0-d arrays on whatever devices."""
    B, together = backend_of(numbers[0]), gathered(numbers)
    return B.asarray(B.sum(together))
