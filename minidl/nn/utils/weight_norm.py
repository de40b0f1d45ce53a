"""Weight normalisation in its older form: a hook computes the weight before every call."""

from __future__ import annotations

from ... import functions as F
from ...tensor import Parameter, Tensor
from ..module import Module
from ..parameter import is_lazy

__all__ = ["WeightNorm", "weight_norm", "remove_weight_norm"]


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm over all dimensions but one, which stays; over all of them if dim is -1.

    Shape: (K, ...) to (K, 1, ...) for dim 0; to () for dim -1.
    """
    if pow != 2:
        raise NotImplementedError(f"norm_except_dim: pow={pow} is not supported; 2 is")
    if dim == -1:
        return F.sqrt(F.sum(v * v))
    if not -v.ndim <= dim < v.ndim:
        raise IndexError(f"weight_norm: dim {dim} is out of range for a weight of shape {tuple(v.shape)}")
    others = [d for d in range(v.ndim) if d != dim % v.ndim]
    return F.sqrt(F.sum(v * v, others, keepdim=True)) if others else F.abs(v)


def scaled(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """w = g v / |v|, with the norm of `norm_except_dim`."""
    return v * (g / norm_except_dim(v, 2, dim))


class WeightNorm:
    """The hook: before every call it sets the weight anew from its length and direction."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """g v / |v|."""
        return scaled(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Replace the module's parameter by two, and register the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        weight = getattr(module, name)
        if is_lazy(weight):
            raise ValueError(f"weight_norm: {name} has no shape yet; call the module with a batch first")
        hook = WeightNorm(name, dim)
        length = norm_except_dim(weight.detach(), 2, hook.dim)
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(length))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again, with its present values."""
        weight = self.compute_weight(module).detach()
        delattr(module, self.name)
        del module._parameters[self.name + "_g"], module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight))

    def __call__(self, module: Module, inputs) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train a weight by its length and its direction: w = g v / |v|, with one g for each index of dim (None: one).

    The parameter `weight` becomes `weight_g` and `weight_v`; `weight` is computed before every call. The newer form is
    `parametrizations.weight_norm`. Salimans and Kingma, 2016.

    >>> from minidl import nn
    >>> [(name, tuple(p.shape)) for name, p in weight_norm(nn.Linear(2, 3)).named_parameters()]
    [('bias', (3,)), ('weight_g', (3, 1)), ('weight_v', (3, 2))]
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo `weight_norm`: the weight is a parameter again, with its present values."""
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
