"""Spectral normalisation in its older form: a hook computes the weight before every call."""

from __future__ import annotations

from typing import Any

from ... import functions as F
from ...modes import no_grad
from ...tensor import Parameter, Tensor
from .. import functional
from ..conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from ..parameter import is_lazy

__all__ = ["SpectralNorm", "spectral_norm", "remove_spectral_norm"]


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with `dim` in front and all others as one."""
    if dim:
        weight = F.permute(weight, (dim, *(d for d in range(weight.ndim) if d != dim)))
    return F.reshape(weight, (weight.shape[0], -1))


def unit(x: Tensor, eps: float) -> Tensor:
    """x / max(|x|, eps)."""
    return functional.normalize(x, dim=0, eps=eps)


def random_unit(size: int, like: Tensor, eps: float) -> Tensor:
    """A random direction."""
    return unit(F.randn(size, dtype=like.dtype, device=like.device), eps)


def output_dim(module: Module) -> int:
    """The dimension of the weight that belongs to the outputs."""
    return 1 if isinstance(module, _TRANSPOSED) else 0


_TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)


class SpectralNorm:
    """The hook: before every call it improves the estimate of the largest singular value, and divides by it."""

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        if n_power_iterations <= 0:
            raise ValueError(f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}")
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """W / (u^T W v), after steps v = W^T u / |W^T u|, u = W v / |W v| in place."""
        weight: Any = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(unit(F.mv(matrix.t(), u), self.eps))
                    u.copy_(unit(F.mv(matrix, v), self.eps))
                u, v = u.clone(), v.clone()  # a second call, before the backward of the first, changes the buffers
        return weight / F.dot(u, F.mv(matrix, v))

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Replace the module's parameter by `name_orig` and two buffers, and register the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None or is_lazy(weight):
            what = "None" if weight is None else "without shape yet; call the module with a batch first"
            raise ValueError(f"spectral_norm: {name} is {what}")
        rows, columns = as_matrix(weight.detach(), dim).shape
        u, v = random_unit(rows, weight, eps), random_unit(columns, weight, eps)
        del module._parameters[name]
        module.register_parameter(name + "_orig", weight)
        setattr(module, name, weight.detach())
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again, with its present values."""
        with no_grad():
            weight = self.compute_weight(module, False)
        for end in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + end)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value, so that the layer lengthens no difference of inputs.

    w = W / (u^T W v), where power iteration, n_power_iterations steps in every call in training, leads u and v to the
    first singular vectors; a weight of more dimensions is taken as a matrix, `dim` (None: that of the outputs) against
    all others. `weight` becomes the parameter `weight_orig` and the buffers `weight_u`, `weight_v`. The newer form is
    `parametrizations.spectral_norm`. Miyato et al., 2018.
    """
    SpectralNorm.apply(module, name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo `spectral_norm`: the weight is a parameter again, with its present values."""
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"spectral_norm of '{name}' not found in {module}")
