"""Parameter under the path it has in PyTorch, buffers by assignment, and tensors whose shape is still unknown."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from ..backend import default_device, get_backend
from ..backend import device as as_device
from ..backend.dtypes import as_dtype
from ..modes import mode
from ..tensor import Parameter, Tensor, wrap

__all__ = [
    "Parameter",
    "UninitializedParameter",
    "is_lazy",
    "Buffer",
    "UninitializedBuffer",
    "UninitializedTensorMixin",
]


class Buffer(Tensor):
    """A Tensor that becomes a buffer of the module to which it is assigned; persistent=False: not in `state_dict`.

    >>> from minidl import nn, ones
    >>> net = nn.Module()
    >>> net.mean = Buffer(ones(2))
    >>> dict(net.state_dict())
    {'mean': tensor([1., 1.])}
    """

    persistent = True
    _any_dtype = True

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        super().__init__(np.empty(0, dtype=np.float32) if data is None else data)
        self.persistent = persistent
        if isinstance(data, Tensor):
            self._requires_grad = data.requires_grad


class UninitializedTensorMixin(Tensor):
    """A Tensor without shape and values: only its dtype, device and `requires_grad` are known until `materialize`."""

    cls_to_become: Any = Tensor
    _waiting: Any  # an array without elements, of the dtype and on the device to come
    _requires_grad = False

    def _wait(self, requires_grad: bool, device, dtype) -> None:
        where = default_device() if device is None else as_device(device)
        dtype = mode.dtype if dtype is None else as_dtype(dtype)
        self._waiting = get_backend(where).from_host(np.empty(0, dtype.dtype), where)
        self.version = [0]
        self._requires_grad = bool(requires_grad)

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Become an ordinary Parameter or Tensor of this shape, whose values are still to be set."""
        old = wrap(self._waiting)
        where = old.device if device is None else as_device(device)
        dtype = old.dtype if dtype is None else as_dtype(dtype)
        array = get_backend(where).from_host(np.empty(tuple(shape), dtype.dtype), where)
        del self._waiting
        self.__class__ = self.cls_to_become
        self.array = array

    def convert(self, fn) -> None:
        """Take over dtype and device of fn(a Tensor without elements)."""
        self._waiting = fn(wrap(self._waiting)).array

    @property
    def array(self):
        """There is none yet."""
        raise ValueError(
            f"Attempted to use an uninitialized parameter ({type(self).__name__}). Lazy modules get their shapes from "
            "their first input: call the module with a batch before using its parameters, as for initialising "
            "them or for giving them to an optimizer"
        )

    @array.setter
    def array(self, value) -> None:
        raise ValueError(f"{type(self).__name__}: use materialize(shape), and set the values then")

    @property
    def shape(self):
        """Not known yet."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
            "Call `forward` to initialize the parameters before accessing their attributes."
        )

    @property
    def dtype(self):
        """The dtype it will have."""
        return as_dtype(self._waiting.dtype)

    @property
    def device(self):
        """The device it will be on."""
        return wrap(self._waiting).device

    @property
    def requires_grad(self) -> bool:
        """Whether it will require a gradient."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._requires_grad = bool(value)

    def detach(self):
        """Itself: it holds nothing."""
        return self

    @property  # type: ignore[misc]
    def data(self):
        """A Tensor without elements, so that an initialisation that comes too early has no effect."""
        return wrap(self._waiting)

    def is_floating_point(self) -> bool:
        """Whether it will hold floating-point numbers."""
        return self.dtype.is_floating_point

    def __deepcopy__(self, memo):
        make: Any = type(self)  # whose arguments are those of the subclasses here
        copy = make(self._requires_grad, self.device, self.dtype)
        copy.__dict__.update({name: value for name, value in self.__dict__.items() if not name.startswith("_")})
        memo[id(self)] = copy
        return copy

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol):
        return type(self), (self._requires_grad, str(self.device), None)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A Parameter whose shape is not known yet; `materialize(shape)` makes it an ordinary one.

    >>> weight = UninitializedParameter()
    >>> weight.materialize((2, 3)); weight.shape, type(weight).__name__
    (minidl.Size([2, 3]), 'Parameter')
    """

    cls_to_become = Parameter

    def __init__(self, requires_grad: bool = True, device=None, dtype=None) -> None:
        self._wait(requires_grad, device, dtype)


class UninitializedBuffer(UninitializedTensorMixin, Buffer):
    """A buffer whose shape is not known yet; `materialize(shape)` makes it an ordinary one."""

    cls_to_become = Buffer

    def __init__(self, requires_grad: bool = False, device=None, dtype=None, persistent: bool = True) -> None:
        self._wait(requires_grad, device, dtype)
        self.persistent = persistent


def is_lazy(param: Any) -> TypeGuard[UninitializedTensorMixin]:
    """Whether it is an UninitializedParameter or an UninitializedBuffer."""
    return isinstance(param, UninitializedTensorMixin)
