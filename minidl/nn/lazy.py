"""Lazy layers: the size of their input is not given, but taken from the first batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..tensor import Tensor
from . import conv, linear, norm
from .module import Module
from .parameter import UninitializedBuffer, UninitializedParameter, is_lazy

__all__ = [
    "LazyModuleMixin",
    "LazyLinear",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]


def _layer(mixed: Any) -> Any:
    """The same object, as the layer that it is: what a mixin is mixed with only its subclasses say."""
    return mixed


class LazyModuleMixin:
    """For modules that make their parameters when they see their first input: a base class before `Module`.

    A subclass holds `UninitializedParameter`s and defines `initialize_parameters(*args, **kwargs)`, called with
    the first arguments and materializes them all. From then on the module is of the class `cls_to_become`, if that is
    not None. Initialise weights, and make the optimizer, after a first call with a batch of the right shape.

    >>> from minidl import nn, zeros
    >>> net = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(1))
    >>> net[0]
    LazyLinear(in_features=0, out_features=3, bias=True)
    >>> _ = net(zeros(2, 5))
    >>> net[0], net[2]
    (Linear(in_features=5, out_features=3, bias=True), Linear(in_features=3, out_features=1, bias=True))
    """

    cls_to_become: type[Module] | None = None
    _ready = False

    def initialize_parameters(self, *args, **kwargs) -> None:
        """Materialize all parameters and buffers for these arguments of the first call."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of its own is still without shape."""
        members = _layer(self)._members()
        return any(is_lazy(value) for _, value in (*members["parameter"], *members["buffer"]))

    def _infer_parameters(self, module, args: tuple, kwargs: dict | None = None) -> None:
        """Let the module make its parameters for these arguments, and become the class that it is to become."""
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
        module._ready = True
        if module.cls_to_become is not None:
            del module._ready
            module.__class__ = module.cls_to_become

    def __call__(self, *args, **kwargs):
        if self._ready:
            return _layer(super()).__call__(*args, **kwargs)
        self._infer_parameters(self, args, kwargs)
        return type(self).__call__(self, *args, **kwargs)


class _LazyLayer(LazyModuleMixin):
    """A layer without the first of its arguments, the size of its input; it makes that layer when it knows the size.

    ranks: how many dimensions an input may have, if its channels are the second (or, without batch, the first) of them;
    none are given if they are the last.
    """

    __signature__: inspect.Signature
    cls_to_become: type[Module]
    size_name = ""
    ranks: tuple[int, ...] = ()
    defaults: Mapping[str, Any] = {}  # where they are not the layer's
    _arguments: tuple = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.cls_to_become is not None:
            _, *others = inspect.signature(cls.cls_to_become).parameters.values()
            others = [p.replace(default=cls.defaults.get(p.name, p.default)) for p in others]
            cls.__signature__ = inspect.Signature(others)

    def __init__(self, *args, **kwargs) -> None:
        signature = inspect.signature(self.cls_to_become)
        given = signature.bind(1, *args, **kwargs).arguments
        kwargs.update({name: value for name, value in self.defaults.items() if name not in given})
        given = signature.bind(1, *args, **kwargs).arguments
        size = given[self.size_name] = given.get("groups", 1)  # until the true one is known
        where: dict[str, Any] = {name: given.get(name) for name in ("device", "dtype")}
        _layer(super()).__init__(size, *args, **kwargs)
        for name, p in list(_layer(self)._parameters.items()):
            if p is not None:
                setattr(self, name, UninitializedParameter(**where))
        for name, b in list(_layer(self)._buffers.items()):
            if b is not None and b.ndim:
                setattr(self, name, UninitializedBuffer(**where))
        setattr(self, self.size_name, 0)
        self._arguments = tuple(given.items())

    def reset_parameters(self) -> None:
        """Draw new values, if there are parameters already."""
        if self._arguments and not self.has_uninitialized_params():
            _layer(super()).reset_parameters()

    def _size(self, input: Tensor) -> int:
        """The size of the input's channels, or of its last dimension."""
        shape = tuple(input.shape)
        if not self.ranks:
            return shape[-1]
        if len(shape) not in self.ranks:
            few = " or ".join(f"{n}-dimensional" for n in self.ranks)
            raise RuntimeError(f"{type(self).__name__}: expected {few} input, got {shape}")
        batched = len(shape) == self.ranks[-1] or self.cls_to_become is norm.BatchNorm1d
        return shape[1] if batched else shape[0]

    def initialize_parameters(self, input: Tensor, *args, **kwargs) -> None:
        """Take over size, parameters and buffers of the layer for this input."""
        if self.has_uninitialized_params():
            lazy = {**_layer(self)._parameters, **_layer(self)._buffers}
            lazy = {name: t for name, t in lazy.items() if is_lazy(t)}
            first = next(iter(lazy.values()))
            arguments = {**dict(self._arguments), "device": first.device, "dtype": first.dtype}
            made = self.cls_to_become(**{**arguments, self.size_name: self._size(input)})
            for name, t in lazy.items():
                value = getattr(made, name)
                t.materialize(value.shape)
                t.write(value.array)
            setattr(self, self.size_name, getattr(made, self.size_name))
        elif not getattr(self, self.size_name):  # the parameters came from a state dict
            setattr(self, self.size_name, self._size(input))

    def _infer_parameters(self, module, args: tuple, kwargs: dict | None = None) -> None:
        super()._infer_parameters(module, args, kwargs)
        module.__dict__.pop("_arguments", None)


class LazyLinear(_LazyLayer, linear.Linear):
    """Linear(in_features, ...) that takes in_features from its first input; see `LazyModuleMixin`."""

    cls_to_become, size_name = linear.Linear, "in_features"


class _LazyConv(_LazyLayer):
    """A convolution that takes in_channels from its first input; see `LazyModuleMixin`."""

    size_name = "in_channels"


class LazyConv1d(_LazyConv, conv.Conv1d):
    """Conv1d(in_channels, ...) that takes in_channels from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = conv.Conv1d, (2, 3)


class LazyConv2d(_LazyConv, conv.Conv2d):
    """Conv2d(in_channels, ...) that takes in_channels from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = conv.Conv2d, (3, 4)


class LazyConv3d(_LazyConv, conv.Conv3d):
    """Conv3d(in_channels, ...) that takes in_channels from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = conv.Conv3d, (4, 5)


class LazyConvTranspose1d(_LazyConv, conv.ConvTranspose1d):
    """ConvTranspose1d(in_channels, ...) that takes in_channels from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = conv.ConvTranspose1d, (2, 3)


class LazyConvTranspose2d(_LazyConv, conv.ConvTranspose2d):
    """ConvTranspose2d(in_channels, ...) that takes in_channels from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = conv.ConvTranspose2d, (3, 4)


class LazyConvTranspose3d(_LazyConv, conv.ConvTranspose3d):
    """ConvTranspose3d(in_channels, ...) that takes in_channels from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = conv.ConvTranspose3d, (4, 5)


class _LazyNorm(_LazyLayer):
    """A normalisation that takes num_features from its first input; see `LazyModuleMixin`."""

    size_name = "num_features"


class LazyBatchNorm1d(_LazyNorm, norm.BatchNorm1d):
    """BatchNorm1d(num_features, ...) that takes num_features from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = norm.BatchNorm1d, (2, 3)


class LazyBatchNorm2d(_LazyNorm, norm.BatchNorm2d):
    """BatchNorm2d(num_features, ...) that takes num_features from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = norm.BatchNorm2d, (4,)


class LazyBatchNorm3d(_LazyNorm, norm.BatchNorm3d):
    """BatchNorm3d(num_features, ...) that takes num_features from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = norm.BatchNorm3d, (5,)


class _LazyInstanceNorm(_LazyNorm):
    """As in PyTorch, with parameters and running statistics unless said otherwise."""

    defaults: Mapping[str, Any] = {"affine": True, "track_running_stats": True}


class LazyInstanceNorm1d(_LazyInstanceNorm, norm.InstanceNorm1d):
    """InstanceNorm1d(num_features, ...) that takes num_features from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = norm.InstanceNorm1d, (2, 3)


class LazyInstanceNorm2d(_LazyInstanceNorm, norm.InstanceNorm2d):
    """InstanceNorm2d(num_features, ...) that takes num_features from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = norm.InstanceNorm2d, (3, 4)


class LazyInstanceNorm3d(_LazyInstanceNorm, norm.InstanceNorm3d):
    """InstanceNorm3d(num_features, ...) that takes num_features from its first input; see `LazyModuleMixin`."""

    cls_to_become, ranks = norm.InstanceNorm3d, (4, 5)
