"""Tensor's attributes and methods about memory, devices and kinds of tensors, for programs that ask for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import creation, methods
from . import functions as F
from .backend import backend_of, device, get_backend
from .backend.dtypes import bfloat16, cdouble, cfloat, chalf
from .backend.layouts import contiguous_format, preserve_format, sparse_coo, strided
from .methods import attach
from .tensor import Size, Tensor, wrap

__all__ = ["UntypedStorage", "get_device", "is_storage", "typename"]


class UntypedStorage:
    """The memory that a Tensor and the views of it lie in: its address, its size in bytes, its bytes.

    >>> x = minidl.zeros(4)
    >>> x[1:].untyped_storage().nbytes(), x[1:].storage_offset()
    (16, 1)
    """

    def __init__(self, array: Any, where: device) -> None:
        base = array
        while (base := getattr(base, "base", None)) is not None:
            array = base if base.__class__ is array.__class__ else array
        self.array, self.device = array, where

    def nbytes(self) -> int:
        """The size in bytes."""
        return self.array.nbytes

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return _address(self.array)

    def tolist(self) -> list[int]:
        """The bytes."""
        return list(backend_of(self.array).to_host(self.array).tobytes())

    def is_shared(self) -> bool:
        """False: memory is not shared between processes."""
        return False

    def __repr__(self) -> str:
        return f"[minidl.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"


def is_storage(obj) -> bool:
    """Whether obj is a storage."""
    return isinstance(obj, UntypedStorage)


def typename(obj) -> str:
    """The name of an object's type; that of a Tensor tells its dtype: 'torch.FloatTensor'."""
    kind = type(obj)
    return obj.type() if kind is Tensor else f"{kind.__module__}.{kind.__qualname__}"


def get_device(input) -> int:
    """The number of the GPU that the tensor is on, -1 for the CPU."""
    return -1 if input.device.type == "cpu" else input.device.index or 0


def _address(array) -> int:
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


# --------------------------------------------------------------------------------------------------------- the memory
@attach
def untyped_storage(self) -> UntypedStorage:
    """The memory that this tensor and its views lie in."""
    return UntypedStorage(self.array, self.device)


@attach
def data_ptr(self) -> int:
    """The address of the first element."""
    return _address(self.array) if self.array.size else 0


@attach
def storage_offset(self) -> int:
    """How many elements lie before the first one in the memory that this tensor shares."""
    return (_address(self.array) - self.untyped_storage().data_ptr()) // self.array.itemsize


@attach
def is_set_to(self, tensor) -> bool:
    """Whether both are the very same elements of memory."""
    return data_ptr(self) == data_ptr(tensor) and self.shape == tensor.shape and self.stride() == tensor.stride()


@attach
def pin_memory(self, device=None) -> Tensor:
    """A copy in page-locked memory, from which `to("cuda", non_blocking=True)` copies while the program goes on.

    The tensor itself where there is no GPU, or if it is in such memory already.
    """
    memory = _memory_of_gpus(self)
    return self if memory is None or memory.is_pinned(self.array) else wrap(memory.pinned(self.array))


@attach
def is_pinned(self, device=None) -> bool:
    """Whether the tensor is in page-locked memory of the host."""
    if not isinstance(self.array, np.ndarray):
        return False
    memory = _memory_of_gpus(self)
    return memory is not None and memory.is_pinned(self.array)


def _memory_of_gpus(t: Tensor):
    """What knows page-locked memory, for a tensor on the host; None where there is no GPU."""
    if not isinstance(t.array, np.ndarray):
        raise RuntimeError(f"pin_memory: only tensors on the CPU can be pinned, this one is on {t.device}")
    try:
        return get_backend("cuda").memory
    except RuntimeError:
        return None


@attach
def is_shared(self) -> bool:
    """False: memory is not shared between processes."""
    return False


@attach
def take_over(self, source) -> Tensor:
    """Become the values of `source`: what `out=` does. Only an empty tensor changes its shape."""
    if self.array.size == 0 and self.array.shape != source.array.shape:
        self.array, self.version = backend_of(self.array).empty(source.array.shape, self.array.dtype), [0]
    if self.array.shape != source.array.shape:
        raise RuntimeError(f"out: expected shape {tuple(source.shape)}, got {tuple(self.shape)}")
    self.write(source.to(self.device).array)
    return self


@attach
def set_(self, source=None) -> Tensor:
    """Look at the memory of `source` from now on, with its shape."""
    if source is not None and not isinstance(source, Tensor):
        raise NotImplementedError(f"set_: expected a Tensor, got {type(source).__name__}; storages are not supported")
    if self.edge is not None or (source is not None and source.array.dtype != self.array.dtype):
        raise RuntimeError(f"set_: expected a leaf and a tensor of {self.dtype}")
    source = wrap(backend_of(self.array).empty((0,), dtype=self.array.dtype)) if source is None else source
    self.array, self.version = source.array, source.version
    return self


@attach
def resize_(self, *sizes, memory_format=None) -> Tensor:
    """Another shape: of the first elements, and of uninitialised ones behind them if there are not enough."""
    shape, wanted = creation._size(sizes), contiguous_format if memory_format is None else memory_format
    if wanted is preserve_format:
        raise RuntimeError("resize_: memory_format must not be preserve_format: the new shape has no order yet")
    order = methods._order("resize_", wrap(np.empty(shape, dtype=bool)), wanted)
    if self.requires_grad or self.edge is not None:
        raise RuntimeError("resize_: cannot resize a tensor that requires a gradient")
    flat, n = self.array.reshape(-1), math.prod(shape)
    if n > flat.size:
        more = backend_of(flat).empty((n,), dtype=flat.dtype)
        more[: flat.size] = flat
        flat, self.version = more, [0]
    if order is None:
        self.array = flat[:n].reshape(shape)
    else:
        back = [order.index(d) for d in range(len(order))]
        self.array = flat[:n].reshape([shape[d] for d in order]).transpose(back)
    return self


@attach
def resize_as_(self, the_template, memory_format=None) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(self, tuple(the_template.shape), memory_format=memory_format)


@attach
def as_strided_(self, size, stride, storage_offset=None) -> Tensor:
    """`as_strided` of this very tensor, on the same memory."""
    if self.requires_grad:
        raise NotImplementedError("as_strided_: not supported on a tensor with a history; write x = x.as_strided(...)")
    self.array = F.as_strided(self, size, stride, storage_offset).array
    return self


# ------------------------------------------------------------------------------------------------- what kind it is
def _constant(name: str, value, doc: str) -> None:
    setattr(Tensor, name, property(lambda self: value, doc=doc))


def _on(kind: str) -> property:
    return property(lambda self: self.device.type == kind, doc=f"Whether it is on {kind}.")


for _kind in ("cpu", "mps", "xpu", "meta"):
    setattr(Tensor, f"is_{_kind}", _on(_kind))
_ABSENT = """ipu maia mkldnn mtia nested quantized sparse_csr vulkan xla""".split()
for _name in _ABSENT:
    _constant(f"is_{_name}", False, "False: there are no such tensors.")
_constant("name", None, "None.")
Tensor.layout = property(lambda self: sparse_coo if self.is_sparse else strided, doc="`strided`, or `sparse_coo`.")
Tensor.real = property(lambda self: F.real(self), doc="The tensor itself: all numbers are real.")
Tensor.H = property(lambda self: F.adjoint(self) if self.array.ndim == 2 else _no_matrix(self), doc="The transpose.")
Tensor.mH = Tensor.mT


def _no_matrix(self):
    raise RuntimeError(f"H: expected a matrix, got {tuple(self.shape)}; use .mH")


attach(get_device)


@attach
def is_distributed(self) -> bool:
    """False: no tensor is spread over processes."""
    return False


@attach
def dim_order(self) -> tuple[int, ...]:
    """The dimensions from the outermost to the innermost in memory."""
    steps = self.stride()
    return tuple(sorted(range(len(steps)), key=lambda d: -steps[d]))


def _refused(name, kind):
    def method(self):
        return self.to(kind)

    method.__name__, method.__doc__ = name, f"TypeError: there is no {kind.name} data; {kind.instead}."
    attach(method)


for _name, _unheld in {"bfloat16": bfloat16, "chalf": chalf, "cfloat": cfloat, "cdouble": cdouble}.items():
    _refused(_name, _unheld)


# ------------------------------------------------------------------------------------------------------- making others
@attach
def new(self, *args, device=None) -> Tensor:
    """A Tensor of this dtype and device from data, or an uninitialised one of the given sizes."""
    where = self.device if device is None else device
    if len(args) == 1 and isinstance(args[0], Size):
        return F.empty(args[0], dtype=self.dtype, device=where)
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].detach().to(where, self.dtype)
    if all(isinstance(n, int) for n in args):
        return F.empty(*(args or (0,)), dtype=self.dtype, device=where)
    return F.tensor(*args, dtype=self.dtype, device=where)


# ------------------------------------------------------------------------------------------- a Python function at work
def _mapped(name, count):
    def method(self, *args) -> Tensor:
        others, function = args[:-1], args[-1]
        if not callable(function) or len(others) != count:
            raise TypeError(f"{name}: expected {count} tensors and a function")
        columns = [F.expand(x, *self.shape).reshape(-1).tolist() for x in (self, *others)]
        values = np.array([function(*v) for v in zip(*columns, strict=True)], dtype=self.array.dtype)
        y = creation._place(values.reshape(self.array.shape), self.device)
        return self.assign(name, lambda: y)

    method.__name__, method.__doc__ = name, f"A Python function of the elements of {count + 1} tensors, in place; slow."
    attach(method)


_mapped("apply_", 0)
_mapped("map_", 1)
_mapped("map2_", 2)


@attach
def index_put_(self, indices, values, accumulate=False) -> Tensor:
    """`index_put` in place."""
    return self.assign("index_put_", lambda: F.index_put(self, indices, values, accumulate))


@attach
def cauchy_(self, median=0.0, sigma=1.0, *, generator=None) -> Tensor:
    """Cauchy random numbers in place."""
    u = F.rand(*self.shape, generator=generator, dtype=self.dtype, device=self.device)
    return self.assign("cauchy_", lambda: median + sigma * F.tan(math.pi * (u - 0.5)))


@attach
def hardshrink(self, lambd=0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    return F.where(self.abs() > lambd, self, 0.0)


@attach
def prelu(self, weight) -> Tensor:
    """x above 0, else weight x, with one weight or one for each channel (dimension 1)."""
    w = weight if weight.numel() == 1 or self.ndim < 2 else weight.reshape([-1] + [1] * (self.ndim - 2))
    return F.where(self > 0, self, w * self)
