"""`Variable`, which programs from before 2018 make of their data: nowadays every Tensor is one."""

from __future__ import annotations

from ..tensor import Tensor

__all__ = ["Variable"]


class _VariableMeta(type):
    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Tensor | None = None, requires_grad: bool | None = None, volatile: bool = False) -> Tensor:
        if volatile:
            raise NotImplementedError("Variable: volatile=True is gone, in PyTorch too; use no_grad()")
        if data is not None and not isinstance(data, Tensor):
            raise TypeError(f"Variable: expected a Tensor, got {type(data).__name__}")
        made = Tensor() if data is None else data.detach()
        return made.requires_grad_(bool(requires_grad))


class Variable(metaclass=_VariableMeta):
    """`Variable(x, requires_grad=True)` is x as a Tensor of its own on the same memory; every Tensor is an instance.

    >>> x = Variable(Tensor([1.0, 2.0]), requires_grad=True)
    >>> x.requires_grad, isinstance(x, Tensor), isinstance(x, Variable)
    (True, True, True)
    """
