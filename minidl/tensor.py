"""Tensor and Parameter: an array, its gradient, and the edge to the node that computed it."""

from __future__ import annotations

import functools
import sys
import weakref
from itertools import count
from typing import Any

import numpy as np

from . import modes
from .backend import BACKENDS, backend_of, device, get_backend
from .backend import host as _host  # noqa: F401  (registers NumPy arrays)
from .backend.dtypes import as_dtype, called
from .modes import mode, tick

_new = object.__new__


class Tensor:
    """An array (`.array`, NumPy or CuPy) that remembers how it was computed.

    `Tensor(array)` wraps an array of the default dtype without copying; other arrays and lists are cast to it, and
    `Tensor(2, 3)` is an uninitialised 2x3 tensor, as in PyTorch, where `tensor(...)` is the usual way to make one. The
    methods with PyTorch's names are attached by `methods.py`.
    """

    __array_ufunc__ = None  # `ndarray * Tensor` is a Tensor: NumPy and CuPy leave the operator to us
    _grad: Tensor | None = None
    _requires_grad = False
    array: Any
    _any_dtype = False  # True: an array given to the class is taken as it is
    edge: Any = None  # the Node (and which of its outputs) that computed this; None: a leaf
    version: list | None = (
        None  # [number of the last in-place change, arrays changed ...], shared by the views of one memory
    )
    below: int | None = None  # whole numbers that were checked to lie in [0, below), unless they changed since
    _hooks: dict | None = None
    _accumulated: dict | None = None  # hooks to run after the gradient was accumulated
    # a view: (weak reference to the Tensor it is a view of, that one's _base, the ops that lead from there, the number
    # of the node that had computed that one)
    _base: tuple | None = None

    def __init__(self, *data, requires_grad: bool = False) -> None:
        x: Any = data[0] if len(data) == 1 else None
        version, kind = None, mode.dtype.dtype
        if isinstance(x, Tensor):
            x, version = x.array, x.version
        elif x is None or isinstance(x, int):  # sizes
            x = np.empty(data or 0, dtype=kind)
        elif x.__class__ not in BACKENDS:
            x = np.array(x, dtype=kind)
        elif x.dtype != kind and not self._any_dtype:
            x = backend_of(x).astype(x, dtype=kind)
        as_dtype(x.dtype)
        self.array = x
        self.version = version or [0]
        if requires_grad:
            self.requires_grad = True

    # what it is
    @property
    def shape(self) -> Size:
        return Size(self.array.shape)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self):
        return as_dtype(self.array.dtype)

    @property
    def device(self) -> device:
        return backend_of(self.array).device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        return self.edge is None

    @property
    def grad_fn(self):
        return self.edge[0] if type(self.edge) is tuple else self.edge

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.edge is not None and not value:
            raise RuntimeError("requires_grad can only be switched off on leaf tensors; use y.detach()")
        if value and self.array.dtype.kind != "f":
            raise RuntimeError(f"only floating-point tensors can require gradients; this one is {self.dtype}")
        if value and self.version is None:
            raise RuntimeError("an inference tensor cannot require gradients; clone it outside inference_mode")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    # its gradient, its memory
    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            if value.array.shape != self.array.shape or value.array.dtype != self.array.dtype:
                raise RuntimeError(
                    f"grad: expected {describe(self.array)}, like the tensor, got {describe(value.array)}"
                )
        self._grad = value

    @property
    def data(self) -> Tensor:
        t = self.detach()
        t.version = self.version and [0]  # changes through it are the program's own affair, as in PyTorch
        return t

    @data.setter
    def data(self, value: Tensor) -> None:
        source = value.array if isinstance(value, Tensor) else value
        old = self.array
        if (
            type(old) is type(source)
            and old.shape == source.shape
            and old.dtype == source.dtype
            and (B := backend_of(old)).device_of(old) == B.device_of(source)
        ):
            self.write(source)  # in place: views of this memory, and the optimizer that holds it, see the new values
        else:
            self.array, self.version = source, [0]

    def detach(self) -> Tensor:
        """The same memory, cut off from the graph; in-place changes through it are noticed by `backward`."""
        t = _new(Tensor)
        t.array, t.version = self.current().array, self.version
        return t

    def write(self, array) -> None:
        """Overwrite the values in place (broadcasting and casting) and note the change; for code outside the graph."""
        try:
            self.array[...] = array
        except ValueError as error:
            raise RuntimeError(f"in place: {describe(self.array)} cannot take {describe(array)}: {error}") from None
        self.changed()

    def assign(self, name: str, compute) -> Tensor:
        """In place, self = compute(): the rule for every in-place method.

        A leaf that requires a gradient may change only where nothing is recorded. A recorded result becomes this
        tensor's new array, laid out as the old one, and edge (a detached alias keeps the old values, a view looks anew
        when it is read); any other result overwrites the memory.
        """
        if mode.grad and self._requires_grad and self.edge is None:
            raise RuntimeError(f"{name}: a leaf Tensor that requires a gradient was changed in place; use no_grad()")
        y = compute()
        fresh = y._requires_grad and not self._requires_grad  # without a history: other Tensors see the change, too
        if fresh:
            memory, self.array = self.array, backend_of(self.array).copy(self.array)  # which y may remember
            try:
                y = compute()
            finally:
                self.array = memory
        if y.array.shape != self.array.shape:
            raise RuntimeError(
                f"{name}: the result has shape {tuple(y.array.shape)}, the tensor {tuple(self.array.shape)}"
            )
        if not np.can_cast(y.array.dtype, self.array.dtype, "same_kind"):
            raise RuntimeError(f"{name}: the result is {y.dtype} and cannot be stored in place in {self.dtype}")
        if not y._requires_grad and not (mode.grad and self._requires_grad):
            self.write(y.array)
            return self
        if y.array.dtype != self.array.dtype:
            y = y.to(self.dtype)
        self._base = living_base(self._base)
        if self._base is not None:
            self.assign_through(name, y)
            return self
        if not modes.views and sys.getrefcount(weakref.ref(self)) > 1:  # a view holds this reference, too
            modes.views = True
            modes.watch(1, False)  # from now on every op looks whether its inputs are such views
        kept = y._requires_grad and self.grad_fn is not None and self.grad_fn.retained
        edge, self._requires_grad = y.edge, y._requires_grad  # False: overwritten by a constant
        if fresh:
            self.write(y.array)
        elif y._base is not None or y.array.strides != self.array.strides:  # others', or in another order in memory
            self.array, self.version, values = backend_of(self.array).empty_like(self.array), [0], y.array
            self.array[...] = values
        else:
            self.array, self.version = y.array, y.version
        self.edge = edge
        if kept:
            self.retain_grad()
        return self

    def changed(self) -> None:
        """Note that the memory was changed in place, so that `backward` can tell if it needs the old values."""
        cell = self.version
        if cell is not None:
            cell[0] = modes.last_change = tick()
            if cell[-1] is not self.array:
                if len(cell) > 8:  # many views: what they are views of covers them all
                    del cell[1:]
                    base = self.array.base
                    cell.append(base if base.__class__ in BACKENDS else self.array)
                else:
                    cell.append(self.array)

    # its graph
    def retain_grad(self) -> None:
        """Keep the gradient of this interior tensor in `.grad` too."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: this tensor does not require a gradient")
        if self.edge is not None:
            node, index = self.edge if type(self.edge) is tuple else (self.edge, 0)
            node.retained = {**(node.retained or {}), index: weakref.ref(self)}

    def register_hook(self, hook) -> Handle:
        """Call `hook(gradient)` when this tensor's gradient is complete; what it returns, if anything, replaces it."""
        if not self._requires_grad:
            raise RuntimeError("register_hook: this tensor does not require a gradient")
        if self.edge is None:
            self._hooks = {} if self._hooks is None else self._hooks
            return Handle(self._hooks, hook)
        node, index = self.edge if type(self.edge) is tuple else (self.edge, 0)
        node.hooks = {} if node.hooks is None else node.hooks
        return Handle(node.hooks.setdefault(index, {}), hook)

    def register_post_accumulate_grad_hook(self, hook) -> Handle:
        """Call `hook(tensor)` after this leaf's `.grad` was updated."""
        if self.edge is not None or not self._requires_grad:
            raise RuntimeError("register_post_accumulate_grad_hook: only for leaf tensors that require a gradient")
        self._accumulated = {} if self._accumulated is None else self._accumulated
        return Handle(self._accumulated, hook)

    # Python's protocols
    __hash__ = object.__hash__

    def __deepcopy__(self, memo) -> Tensor:
        if self.edge is not None:
            raise RuntimeError("deepcopy: only leaf tensors can be copied; this one was computed: use detach() first")
        t = _new(type(self))
        memo[id(self)] = t
        t.__dict__.update({k: v for k, v in self.__dict__.items() if not k.startswith("_") or k == "_requires_grad"})
        t.array, t.version = backend_of(self.array).copy(self.array), [0]
        if self._grad is not None:
            t._grad = self._grad.detach().__deepcopy__(memo)
        return t

    def __copy__(self) -> Tensor:
        t = _new(type(self))
        t.__dict__.update(self.__dict__)
        return t

    def __reduce_ex__(self, protocol):
        array = backend_of(self.array).to_host(self.array)
        return _rebuild, (type(self), array, str(self.device), self._requires_grad)


class Parameter(Tensor):
    """A Tensor that a Module's optimizer trains: a leaf, `requires_grad=True` unless said otherwise."""

    _any_dtype = True

    def __init__(self, data=None, requires_grad: bool = True) -> None:
        super().__init__(np.empty(0, dtype=np.float32) if data is None else data)
        self.requires_grad = requires_grad


class Size(tuple):
    """A shape: a tuple of ints with PyTorch's `numel`."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return functools.reduce(int.__mul__, self, 1)

    def __getitem__(self, index):
        part = tuple.__getitem__(self, index)
        return Size(part) if type(part) is tuple else part

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __repr__(self) -> str:
        return f"{called.name}.Size({list(self)})"


class Handle:
    """What registering a hook returns: `remove()` takes the hook away again (also at the end of a `with` block)."""

    _ids = count()

    def __init__(self, hooks: dict, hook) -> None:
        if not callable(hook):
            raise TypeError(f"a hook must be callable, got {type(hook).__name__}")
        self.hooks, self.id = hooks, next(Handle._ids)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away; once is enough."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc) -> None:
        self.remove()


class Aux:
    """Marks an output of an op that is never differentiated (a mean, a mask, an index)."""

    __slots__ = ("value",)

    def __init__(self, value) -> None:
        self.value = value


def wrap(array, requires_grad: bool = False) -> Tensor:
    """A Tensor on `array`: the quick constructor for the framework's own use."""
    t = _new(Tensor)
    t.array = array
    t.version = None if mode.inference else [0]
    if requires_grad:
        t._requires_grad = True
    return t


def _rebuild(cls, array, where, requires_grad):
    where = device(where)
    t = _new(cls)
    t.array, t.version, t._requires_grad = get_backend(where).from_host(array, where), [0], requires_grad
    return t


def living_base(base: tuple | None) -> tuple | None:
    """A Tensor's `_base` without what is gone: the nearest Tensor that is still in use, and the way from there."""
    while base is not None and base[0]() is None:
        base = base[1] and (*base[1][:2], base[1][2] + base[2], base[1][3])
    return base


def describe(array) -> str:
    """Its dtype, shape and device, for error messages."""
    return f"{getattr(array, 'kind', '')}{array.dtype} {tuple(array.shape)} on {backend_of(array).device_of(array)}"
