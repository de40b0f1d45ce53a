"""PyTorch's Tensor methods and operators: the functions of `functions.py`, attached, and the in-place ones."""

from __future__ import annotations

import math

import numpy as np

from . import autograd, creation, rows, ufuncs, views  # noqa: F401  (the last two attach their own methods)
from . import functions as F
from .backend import ABSENT, BACKENDS, ArgumentError, backend_of, device, layouts
from .backend.dtypes import as_dtype, bool_, float16, float32, float64, int8, int16, int32, int64, uint8
from .backend.layouts import contiguous_format, preserve_format
from .backend.rows import RowArray
from .formatting import format_tensor
from .functions.arguments import watched
from .modes import mode
from .ops import elementwise as E
from .ops import shape as S
from .tensor import Parameter, Size, Tensor


def attach(method):
    """Make a function a method of Tensor under its own name."""
    setattr(Tensor, method.__name__, method)
    return method


# what is the same as function and as method
_FUNCTIONS_ONLY = """
    atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors bucketize can_cast cartesian_prod
    cat cdist chain_matmul clone column_stack combinations concat concatenate cumulative_trapezoid detach dstack einsum
    finfo hstack iinfo is_nonzero is_tensor isin meshgrid poisson promote_types rand_like randint_like randn_like
    result_type row_stack rsub searchsorted set_printoptions stack std_mean tensordot trapezoid trapz tril_indices
    triu_indices var_mean vstack where
"""
_NOT_METHODS = {*_FUNCTIONS_ONLY.split(), *creation.__all__} - {"bernoulli", "multinomial"}
_OTHER_TENSORS = set("other index src source mask tensor1 vec2 mat2 vec batch1 end indices".split())
for _name in set(F.__all__) - _NOT_METHODS:
    _raw = getattr(getattr(F, _name), "raw", getattr(F, _name))
    _others = _OTHER_TENSORS & set(_raw.__code__.co_varnames[: _raw.__code__.co_argcount])
    setattr(Tensor, _name, getattr(F, _name) if _others else _raw)  # among the arguments of one Tensor it is `self`
Tensor.__neg__, Tensor.__abs__, Tensor.__matmul__, Tensor.__pos__ = E.negative, E.absolute, F.matmul, F.positive
Tensor.__gt__, Tensor.__ge__, Tensor.__lt__, Tensor.__le__ = E.greater, E.greater_equal, E.less, E.less_equal
Tensor.__add__, Tensor.__sub__, Tensor.__mul__, Tensor.__truediv__ = E.add, E.subtract, E.multiply, E.divide
Tensor.__radd__, Tensor.__rmul__, Tensor.__floordiv__, Tensor.__mod__ = E.add, E.multiply, E.floor_divide, E.remainder
Tensor.__pow__ = F.pow


def _swapped(function):
    return lambda self, other: function(other, self)


for _name, _op in {
    "rsub": E.subtract,
    "rtruediv": E.divide,
    "rpow": E.power,
    "rfloordiv": E.floor_divide,
    "rmod": E.remainder,
}.items():
    setattr(Tensor, f"__{_name}__", _swapped(_op))
Tensor.__rmatmul__ = _swapped(lambda a, b: F.matmul(F.as_tensor(a), b))


def _comparison(op, answer):
    def compare(self, other):
        if other is None or isinstance(other, str):
            return answer  # `x == None` is False, as for any object
        return op(self, other)

    return compare


Tensor.__eq__, Tensor.__ne__ = _comparison(E.equal, False), _comparison(E.not_equal, True)


Tensor.__and__ = Tensor.__rand__ = F.bitwise_and
Tensor.__or__ = Tensor.__ror__ = F.bitwise_or
Tensor.__xor__ = Tensor.__rxor__ = F.bitwise_xor
Tensor.__lshift__, Tensor.__rlshift__ = F.bitwise_left_shift, _swapped(F.bitwise_left_shift)
Tensor.__rshift__, Tensor.__rrshift__ = F.bitwise_right_shift, _swapped(F.bitwise_right_shift)
Tensor.__invert__ = F.bitwise_not


@attach
def where(self, condition, other) -> Tensor:
    """self where condition holds, else other."""
    return F.where(condition, self, other)


# -------------------------------------------------------------------------------------------------------- gradients
@attach
def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None) -> None:
    """Add d(self)/d(leaf) to `.grad` of every leaf that requires a gradient; see `minidl.autograd.backward`."""
    autograd.backward([self], [gradient], retain_graph, create_graph, inputs=inputs)


# -------------------------------------------------------------------------------------------------------- indexing
def _index(index, like):
    """What the array library takes: Tensors become their arrays, lists and NumPy arrays move to the tensor's device."""
    if isinstance(index, tuple):
        return tuple([_index(i, like) for i in index])
    if isinstance(index, Tensor):
        index = index.array
    elif isinstance(index, (list, range, np.ndarray)):
        index = np.asarray(index)
        if index.size == 0:
            index = index.astype(np.int64)
    elif isinstance(index, np.integer):
        return int(index)
    if index.__class__ in BACKENDS:
        if index.dtype.kind not in "iub":
            raise IndexError(f"index: expected integers or bools, got {index.dtype}")
        if index.__class__ is not like.__class__:
            index = backend_of(like).from_host(backend_of(index).to_host(index))
    return index


@attach
def __getitem__(self, index):
    kind = index.__class__
    if kind is int or kind is slice:
        return S.getitem(self, index=index)
    y = S.getitem(self, index=_index(index, self.array))
    return watched(y, *(index if kind is tuple else (index,)))


@attach
def __setitem__(self, index, value) -> None:
    given, index = index, _index(index, self.array)
    if not isinstance(value, Tensor) and value.__class__ not in (int, float, bool):
        value = F.as_tensor(value, device=self.device)
    if mode.grad and (self._requires_grad or (isinstance(value, Tensor) and value._requires_grad)):
        cast = (
            value.to(self.dtype)
            if isinstance(value, Tensor)
            else F.full((), value, dtype=self.dtype, device=self.device)
        )
        self.assign("x[index] = value", lambda: S.setitem(self, cast, index=index))
        watched(self, *(given if isinstance(given, tuple) else (given,)))
        return
    self.array[index] = value.array if isinstance(value, Tensor) else value
    self.changed()


@attach
def __iter__(self):
    if self.array.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(F.unbind(self, 0))


@attach
def __len__(self) -> int:
    if self.array.ndim == 0:
        raise TypeError("len() of a 0-d tensor")
    return self.array.shape[0]


@attach
def __contains__(self, value) -> bool:
    return bool((self == value).any())


# --------------------------------------------------------------------------------------------- leaving the library
@attach
def item(self):
    """The one element as a Python number."""
    if self.array.size != 1:
        raise RuntimeError(f"item: only a tensor with one element is a number; this has shape {tuple(self.shape)}")
    return self.current().array.item()


@attach
def tolist(self):
    """The elements as nested lists of Python numbers."""
    return backend_of(self.array).to_host(self.current().array).tolist()


@attach
def numpy(self, *, force: bool = False) -> np.ndarray:
    """The NumPy array on the same memory; force=True detaches, and copies from a GPU."""
    if self.current()._requires_grad and not force:
        raise RuntimeError("numpy: this tensor requires a gradient; use x.detach().numpy()")
    if not isinstance(self.array, np.ndarray) and not force and not self.is_sparse and self.device.type != "cpu":
        raise TypeError(f"numpy: this tensor is on {self.device}; use x.cpu().numpy()")
    return backend_of(self.array).to_host(self.array)


@attach
def __array__(self, dtype=None, copy=None) -> np.ndarray:
    array = self.numpy()
    return np.array(array, dtype=dtype, copy=copy) if dtype is not None or copy else array


def _scalar(kind):
    def convert(self):
        if self.array.size != 1:
            raise ArgumentError(
                f"{kind.__name__}: a tensor of shape {tuple(self.shape)} has no single value"
                + ("; use any() or all()" if kind is bool else "")
            )
        return kind(self.current().array.item())

    convert.__doc__ = f"The one element as a Python {kind.__name__}."
    return convert


Tensor.__float__, Tensor.__int__, Tensor.__bool__ = _scalar(float), _scalar(int), _scalar(bool)
Tensor.is_nonzero = Tensor.__bool__


@attach
def __index__(self) -> int:
    if self.array.size != 1 or self.array.dtype.kind not in "iub":
        raise TypeError(
            f"only integer tensors with one element can be an index; this is {self.dtype} {tuple(self.shape)}"
        )
    return int(self.current().array.item())


@attach
def __repr__(self) -> str:
    if self.is_sparse:
        return rows.text(self)
    array = backend_of(self.array).to_host(self.current().array)
    notes: list[str] = []
    device = [] if isinstance(self.array, np.ndarray) else [f"device='{self.device}'"]
    if self.dtype not in (mode.dtype, int64, bool_) or (array.size == 0 and self.dtype != mode.dtype):
        notes.append(f"dtype={self.dtype!r}")
    if self.edge is not None:
        notes.append(f"grad_fn=<{self.grad_fn.op.name}>")
    elif self._requires_grad:
        notes.append("requires_grad=True")
    text = format_tensor(array, notes, device)
    return f"Parameter containing:\n{text}" if isinstance(self, Parameter) else text


@attach
def __format__(self, spec: str) -> str:
    return format(self.current().array.item(), spec) if self.array.ndim == 0 else object.__format__(self, spec)


# ------------------------------------------------------------------------------------------------ sizes and memory
@attach
def size(self, dim=None):
    """The shape, or the size of one dimension."""
    return Size(self.array.shape) if dim is None else self.array.shape[dim]


@attach
def dim(self) -> int:
    """The number of dimensions."""
    return self.array.ndim


@attach
def element_size(self) -> int:
    """The bytes of one element."""
    return self.array.itemsize


@attach
def stride(self, dim=None):
    """The steps between neighbours along each dimension (or one), in elements."""
    steps = tuple([s // self.array.itemsize for s in self.array.strides])
    return steps if dim is None else steps[dim]


def _order(name, x, memory_format) -> tuple[int, ...] | None:
    """The dimensions from the outermost to the innermost in memory; None: as they stand."""
    if not isinstance(memory_format, layouts.memory_format):
        raise TypeError(f"{name}: memory_format must be one such as minidl.channels_last, got {memory_format!r}")
    order = memory_format.order
    if order is not None and len(order) != x.array.ndim:
        raise RuntimeError(f"{name}: {memory_format} needs {len(order)} dimensions, got {tuple(x.shape)}")
    return order


@attach
def is_contiguous(self, memory_format=contiguous_format) -> bool:
    """Whether the elements lie in memory in the order of the dimensions, or of another memory_format."""
    order = _order("is_contiguous", self, memory_format)
    return (self.array if order is None else self.array.transpose(order)).flags.c_contiguous


@attach
def contiguous(self, memory_format=contiguous_format) -> Tensor:
    """The tensor itself if its memory is in order, else a copy that is; the values are the same in every order."""
    if memory_format is preserve_format or is_contiguous(self, memory_format):
        return self
    order = _order("contiguous", self, memory_format)
    if order is None:
        return E.identity(self)
    return F.permute(E.identity(F.permute(self, *order)), *[order.index(d) for d in range(len(order))])


@attach
def clone(self, *, memory_format=preserve_format) -> Tensor:
    """A copy with its own memory, still part of the graph."""
    return (
        E.identity(self)
        if _order("clone", self, memory_format) is None
        else contiguous(E.identity(self), memory_format)
    )


@attach
def detach_(self) -> Tensor:
    """Cut this very tensor off from the graph."""
    self.edge, self._requires_grad, self._base = None, False, None
    return self


Tensor.nelement, Tensor.ndimension, Tensor.nbytes = F.numel, dim, property(lambda self: self.array.nbytes)
Tensor.itemsize = property(element_size)
Tensor.is_cuda = property(lambda self: self.device.type == "cuda")
Tensor.is_sparse = property(lambda self: self.array.__class__ is RowArray)
for _name in "to_dense coalesce is_coalesced indices values _indices _values _nnz".split():
    attach(getattr(rows, _name))
Tensor.T = property(lambda self: F.permute(self, *range(self.array.ndim)[::-1]))
Tensor.mT = property(lambda self: F.transpose(self, -1, -2))


def _as(function):
    def method(self, other) -> Tensor:
        return function(self, other.array.shape)

    method.__name__, method.__doc__ = f"{function.__name__}_as", f"`{function.__name__}` to the shape of `other`."
    return attach(method)


for _function in (F.view, F.reshape, F.expand):
    _as(_function)


@attach
def type_as(self, other) -> Tensor:
    """The tensor in the dtype of `other`."""
    return self.to(other.dtype)


# ------------------------------------------------------------------------------------------------ dtypes, devices
@attach
def to(
    self, *args, device=None, dtype=None, non_blocking: bool = False, copy: bool = False, memory_format=None
) -> Tensor:
    """The tensor in another dtype and/or on another device; itself if nothing changes: `x.to("cuda")`, `x.to(float64)`.

    The copy is part of the graph. non_blocking: the host does not wait for a copy from page-locked memory to a GPU (see
    `pin_memory`), which must not be changed meanwhile; a copy to the host is always waited for.
    """
    for a in args:
        if isinstance(a, Tensor):
            device, dtype = a.device, a.dtype
        elif isinstance(a, bool) or a is None:
            non_blocking = non_blocking or bool(a)  # by position; a copy, which comes after it, is made where needed
        elif isinstance(a, (_device, int)) or (isinstance(a, str) and a.startswith(("cpu", "cuda", *ABSENT))):
            device = a
        else:
            dtype = _dtype_named(a) if isinstance(a, str) else a
    y = self
    if dtype is not None and self.array.dtype != (wanted := as_dtype(dtype).dtype):
        y = E.astype(y, dtype=wanted)
    if device is not None:
        where = _device(device)
        here = y.device
        if where.type != here.type or (where.index not in (None, here.index) and where.type == "cuda"):
            y = S.transfer(y, device=where, **({"non_blocking": True} if non_blocking else {}))
    y = E.identity(y) if copy and y is self else y
    return y if memory_format is None else contiguous(y, memory_format)


_device = device


def _dtype_named(name: str):
    try:
        return as_dtype(name)
    except TypeError:
        raise ArgumentError(f"to: expected a dtype or a device ('cpu', 'cuda' or 'cuda:N'), got {name!r}") from None


def _cast(name, kind):
    def cast(self, memory_format=preserve_format):
        return self.to(kind) if memory_format is preserve_format else self.to(kind, memory_format=memory_format)

    cast.__name__, cast.__doc__ = name, f"The tensor as {kind!r}."
    setattr(Tensor, name, cast)


for _name, _kind in {"float": float32, "double": float64, "half": float16, "long": int64, "int": int32, "short": int16,
                     "byte": uint8, "char": int8, "bool": bool_}.items():  # fmt: skip
    _cast(_name, _kind)


@attach
def cpu(self, memory_format=preserve_format) -> Tensor:
    """The tensor on the CPU."""
    return self.to("cpu", memory_format=memory_format)


@attach
def cuda(self, device=None, non_blocking: bool = False, memory_format=preserve_format) -> Tensor:
    """The tensor on a GPU; non_blocking: see `to`."""
    return self.to("cuda" if device is None else device, non_blocking=non_blocking, memory_format=memory_format)


@attach
def type(self, dtype=None, non_blocking: bool = False):
    """The tensor in another dtype; without an argument PyTorch's name of its type, such as `torch.FloatTensor`.

    dtype: a dtype, such a name, or a type such as `minidl.FloatTensor`. non_blocking only concerns speed.
    """
    if dtype is None:
        return creation.TypeOfTensor.of(self.dtype, self.device.type).name
    if isinstance(dtype, str) and dtype.endswith("Tensor"):
        dtype = creation.TypeOfTensor.named(dtype)
    if isinstance(dtype, creation.TypeOfTensor):
        return self.to(dtype.place, dtype.dtype)
    return self.to(dtype)


def _new(make):
    def method(self, *args, dtype=None, device=None, requires_grad=False):
        where = self.device if device is None else device
        return make(*args, dtype=dtype or self.dtype, device=where, requires_grad=requires_grad)

    method.__name__, method.__doc__ = f"new_{make.__name__}", f"`{make.__name__}` with this tensor's dtype and device."
    return attach(method)


for _make in (F.tensor, F.zeros, F.ones, F.full, F.empty, F.empty_strided):
    _new(_make)


# -------------------------------------------------------------------------------------------------------- in place
def _in_place(name, function):
    def method(self, *args, **kwargs):
        return self.assign(name, lambda: function(self, *args, **kwargs))

    method.__name__, method.__doc__ = name, f"`{name[:-1]}` in place."
    setattr(Tensor, name, method)
    return method


_CHANGING = """
    abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr arccos arccosh arcsin arcsinh arctan arctan2
    arctanh asin asinh atan atan2 atanh baddbmm bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip copysign cos cosh cumprod cumsum deg2rad div
    digamma divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmod frac gcd ge greater
    greater_equal gt heaviside hypot index_add index_copy index_fill index_put index_reduce lcm ldexp le lerp less
    less_equal lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt masked_fill
    masked_scatter mul multiply nan_to_num ne neg negative mvlgamma nextafter not_equal polygamma pow put rad2deg
    reciprocal relu remainder renorm round rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh
    sqrt square sub subtract tan tanh tril triu true_divide trunc xlogy
"""
for _name in _CHANGING.split():
    _in_place(f"{_name}_", getattr(Tensor, _name))


def _reshaped(name, function):
    def method(self, *args, **kwargs):
        if mode.grad and self._requires_grad:
            raise NotImplementedError(f"{name}: not supported on a tensor with a history; write x = x.{name[:-1]}(...)")
        self.array = function(self, *args, **kwargs).array
        return self

    method.__name__, method.__doc__ = name, f"`{name[:-1]}` of this very tensor, on the same memory."
    setattr(Tensor, name, method)


for _name in "squeeze swapaxes swapdims t transpose unsqueeze".split():
    _reshaped(f"{_name}_", getattr(Tensor, _name))
Tensor.__iadd__, Tensor.__isub__, Tensor.__imul__ = Tensor.add_, Tensor.sub_, Tensor.mul_
Tensor.__ipow__, Tensor.__imod__ = Tensor.pow_, Tensor.remainder_
Tensor.__itruediv__ = Tensor.div_
Tensor.__iand__, Tensor.__ior__, Tensor.__ixor__ = Tensor.bitwise_and_, Tensor.bitwise_or_, Tensor.bitwise_xor_
Tensor.__ilshift__, Tensor.__irshift__ = Tensor.bitwise_left_shift_, Tensor.bitwise_right_shift_
Tensor.__ifloordiv__ = Tensor.floor_divide_


def _filled(self, value):
    if isinstance(value, Tensor):
        return F.expand(value.to(self.device, self.dtype), *self.array.shape)
    return F.full_like(self, value)


_in_place("copy_", lambda self, src, non_blocking=False: F.expand(src.to(self.device, self.dtype), *self.array.shape))
_in_place("fill_", _filled)
_in_place("zero_", lambda self: F.zeros_like(self))


def _random(self, draw, generator):
    return draw(*self.array.shape, generator=generator, dtype=self.dtype, device=self.device)


_in_place("normal_", lambda self, mean=0.0, std=1.0, *, generator=None: _random(self, F.randn, generator) * std + mean)
_in_place("uniform_", lambda self, a=0.0, b=1.0, *, generator=None: _random(self, F.rand, generator) * (b - a) + a)


def _waiting(self, generator):
    """Exponential random numbers, in double precision on the host and rounded once."""
    return -F.log1p(-F.rand(*self.array.shape, generator=generator, dtype=float64)).to(self.device)


def _exponential(self, lambd=1.0, *, generator=None):
    if lambd <= 0:
        raise RuntimeError(f"exponential_: lambd must be positive, got {lambd}")
    return (_waiting(self, generator) / lambd).to(self.dtype)


def _geometric(self, p, *, generator=None):
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: p must lie between 0 and 1, got {p}")
    return F.clamp(F.ceil(_waiting(self, generator) / -math.log1p(-p)), min=1.0).to(self.dtype)


def _integers(self, low=0, to=None, *, generator=None):
    low, to = (0, low) if to is None and low else (low, to)
    if to is None:  # as far as every whole number has a place in the dtype
        kind = self.array.dtype
        to = 2 if kind.kind == "b" else np.iinfo(kind).max if kind.kind in "iu" else 2 ** (np.finfo(kind).nmant + 1) + 1
    return F.randint(low, to, tuple(self.array.shape), generator=generator, device=self.device).to(self.dtype)


def _bernoulli(self, p=0.5, *, generator=None):
    chance = p if isinstance(p, Tensor) else F.full_like(self, p, dtype=float64)
    return F.bernoulli(F.expand(chance, *self.array.shape), generator=generator).to(self.dtype)


_in_place("exponential_", _exponential)
_in_place("geometric_", _geometric)
_in_place("random_", _integers)
_in_place("bernoulli_", _bernoulli)
_in_place(
    "log_normal_",
    lambda self, mean=1.0, std=2.0, *, generator=None: (_random(self, F.randn, generator) * std + mean).exp(),
)


def _on_diagonal(self, fill_value, wrap=False):
    if wrap:
        raise NotImplementedError("fill_diagonal_: wrap=True is not supported")
    if self.array.ndim < 2:
        raise RuntimeError(f"fill_diagonal_: expected at least 2 dimensions, got {tuple(self.shape)}")
    if self.array.ndim > 2 and len({*self.array.shape}) > 1:
        raise RuntimeError(f"fill_diagonal_: more than 2 dimensions must be of one size, got {tuple(self.shape)}")
    at = backend_of(self.array).arange(min(self.array.shape))
    return S.setitem(self, F.full((), fill_value, dtype=self.dtype, device=self.device), index=(at,) * self.array.ndim)


_in_place("fill_diagonal_", _on_diagonal)
