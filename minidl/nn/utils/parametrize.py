"""Parametrizations: a weight that is computed from other tensors, as by a constraint, each time it is asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from ...modes import no_grad
from ...tensor import Parameter, Tensor
from ..containers import ModuleDict, ModuleList
from ..module import Module

__all__ = [
    "cached",
    "ParametrizationList",
    "register_parametrization",
    "is_parametrized",
    "remove_parametrizations",
    "type_before_parametrizations",
    "transfer_parametrizations_and_params",
]


class _Cache(threading.local):
    depth = 0
    tensors: dict[tuple[int, str], Tensor] = {}


_cache = _Cache()


@contextlib.contextmanager
def cached():
    """Within this block each parametrized tensor is computed once, however often it is used."""
    if not _cache.depth:
        _cache.tensors = {}
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.tensors = {}


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check(what: str, before: Tensor, after: Any) -> None:
    """After must be a Tensor like before."""
    if not isinstance(after, Tensor):
        raise ValueError(f"{what} must return a Tensor, got {type(after).__name__}")
    for name in ("dtype", "shape"):
        if getattr(before, name) != getattr(after, name):
            raise ValueError(
                f"{what} may not change the {name} of the tensor, unless unsafe=True: it was {getattr(before, name)}, "
                f"became {getattr(after, name)}"
            )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and the tensors that it is computed from: what `parametrizations.weight` is.

    `original`, or `original0`, `original1`, ... if the first one's `right_inverse` returns several tensors.
    """

    def __init__(self, modules: Iterable[Module], original: Tensor, unsafe: bool = False) -> None:
        modules = list(modules)
        if not modules:
            raise ValueError("ParametrizationList: at least one parametrization is needed")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach()
        with no_grad():
            new: Any = original
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    with contextlib.suppress(NotImplementedError):  # then the values are taken as they are
                        new = module.right_inverse(new)
        self.is_tensor = isinstance(new, Tensor)
        if not self.is_tensor and not isinstance(new, Sequence):
            raise ValueError(f"right_inverse must return a Tensor or a sequence of Tensors, got {type(new).__name__}")
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if (original.dtype, original.device) != (new.dtype, new.device):
                raise ValueError(
                    f"right_inverse may not change dtype and device: {original.dtype} on {original.device} became "
                    f"{new.dtype} on {new.device}"
                )
            original.data = new.detach()  # the same Tensor: an optimizer may hold it
            _register(self, "original", original)
        for i, tensor in enumerate(() if self.is_tensor else new):
            if not isinstance(tensor, Tensor):
                raise ValueError(f"right_inverse must return Tensors, got {type(tensor).__name__} as number {i}")
            if isinstance(original, Parameter):
                tensor = Parameter(tensor, original.requires_grad)
            tensor.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", tensor)
        if not unsafe:
            _check("a parametrization", before, self())

    def right_inverse(self, value: Any) -> None:
        """Let the tensor be computed as this value, if all parametrizations have a right_inverse."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            if not isinstance(value, Tensor if self.is_tensor else Sequence):
                wanted = "a Tensor" if self.is_tensor else f"a sequence of {self.ntensors} Tensors"
                raise ValueError(f"right_inverse must return {wanted}, got {type(value).__name__}")
            values: list[Any] = [value] if self.is_tensor else list(value)
            if len(values) != self.ntensors:
                raise ValueError(f"right_inverse must return {self.ntensors} Tensors, got {len(values)}")
            for name, new in zip(self._names(), values, strict=True):
                old = getattr(self, name)
                if old.dtype != new.dtype:
                    raise ValueError(
                        f"right_inverse must not change the dtype of {name}: {old.dtype} became {new.dtype}"
                    )
                old.data = new.detach()

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def forward(self) -> Tensor:
        """The tensor: the originals through all parametrizations."""
        first, *others = self
        x = first(*[getattr(self, name) for name in self._names()])
        for module in others:
            x = module(x)
        return x


def _computed(name: str) -> property:
    """The attribute that is computed by the parametrizations when it is read, and led back by them when it is set."""

    def get(module) -> Tensor:
        if not _cache.depth:
            return module.parametrizations[name]()
        key = id(module), name
        if key not in _cache.tensors:
            _cache.tensors[key] = module.parametrizations[name]()
        return _cache.tensors[key]

    def set(module, value) -> None:
        module.parametrizations[name].right_inverse(value)

    return property(get, set)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """From now on `module.weight` (say) is `parametrization(original)`, computed anew each time it is read.

    The parametrization is a Module; further ones are applied one after the other. Its `right_inverse`, if it has one,
    says which original (or several) a value comes from; `module.weight = value` uses it. The originals are
    `module.parametrizations.weight.original` (or `original0`, ...), and they are what is trained and saved.

    unsafe: the parametrization may change dtype and shape.

    >>> from minidl import nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all()), list(layer.state_dict())
    (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        value = getattr(module, tensor_name)
        if not unsafe:
            result = parametrization(value)
            _check("a parametrization", value, result)
            if hasattr(parametrization, "right_inverse"):
                with contextlib.suppress(NotImplementedError):
                    _check("right_inverse", value, parametrization.right_inverse(result))
        parametrizations: Any = module.parametrizations[tensor_name]
        parametrizations.append(parametrization)
        parametrizations.unsafe |= unsafe
        return module
    if module._kind(tensor_name) not in ("parameter", "buffer") or getattr(module, tensor_name) is None:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    parametrizations = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        before = type(module)
        module.__class__ = type(f"Parametrized{before.__name__}", (before,), {"__module__": before.__module__})
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _computed(tensor_name))
    module.parametrizations[tensor_name] = parametrizations
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether this tensor of the module is parametrized, or any of them."""
    parametrizations = module.__dict__.get("parametrizations")
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor an ordinary one again: with its present values, or (leave_parametrized=False) the original's.

    ValueError if it is not parametrized, or if there are several originals to leave.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    parametrizations: Any = module.parametrizations[tensor_name]
    value = getattr(module, tensor_name) if leave_parametrized else None
    if parametrizations.is_tensor:
        original = parametrizations.original
        if value is not None:
            original.data = value.detach()
    elif value is None:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    else:
        original = Parameter(value.detach()) if value.requires_grad else value
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class as it was before its first parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give to_module the parametrizations of from_module (those of one tensor, or all), and their very originals."""
    if not is_parametrized(from_module):
        return to_module
    for name in from_module.parametrizations if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        source = from_module.parametrizations[name]
        for parametrization in source:
            register_parametrization(to_module, name, parametrization, unsafe=source.unsafe)
        for original in source._names():
            setattr(to_module.parametrizations[name], original, getattr(source, original))
    return to_module
