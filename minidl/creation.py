"""Making tensors: from data, filled, in ranges, and at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .backend import BACKENDS, backend_of, default_device, get_backend
from .backend import device as device_type
from .backend.dtypes import as_dtype, bool_, int64
from .backend.random import Generator, default_generator
from .modes import mode
from .tensor import Tensor, wrap

__all__ = """
    arange as_tensor empty empty_like eye from_numpy full full_like linspace normal ones ones_like rand rand_like
    randint randn randn_like randperm tensor zeros zeros_like
""".split()


def _generator(generator: Generator | None) -> Generator:
    return default_generator() if generator is None else generator


def _size(sizes, size=None) -> tuple[int, ...]:
    """`zeros(2, 3)`, `zeros((2, 3))`, `zeros([2, 3])` and `zeros(size=(2, 3))` mean the same."""
    size = sizes if size is None else (size,)
    if len(size) == 1 and isinstance(size[0], Sequence):
        size = size[0]
    try:
        size = tuple([n.__index__() for n in size])
    except AttributeError:
        raise TypeError(f"size: expected integers, got {size!r}") from None
    if any(n < 0 for n in size):
        raise ValueError(f"size: a size cannot be negative, got {size}")
    return size


def _place(array, where=None, requires_grad=False, dtype=None) -> Tensor:
    """A host array as a Tensor on a device, in `dtype`."""
    if dtype is not None:
        array = array.astype(as_dtype(dtype).dtype, copy=False)
    where = default_device() if where is None else device_type(where)
    t = wrap(get_backend(where).from_host(array, where))
    if requires_grad:
        t.requires_grad = True
    return t


def tensor(data, *, dtype=None, device=None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new Tensor with a copy of `data`: numbers, nested lists, a NumPy array or a Tensor.

    Python floats become the default dtype (float32), ints int64, bools bool; arrays keep their dtype.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]]).sum(0)
    tensor([4., 6.])
    """
    if isinstance(data, Tensor):
        backend = backend_of(data.array)
        array = backend.to_host(data.array) if device is not None or dtype is not None else None
        if array is None:
            t = wrap(backend.copy(data.array))
            t._requires_grad = bool(requires_grad)
            return t
        return _place(np.array(array), data.device if device is None else device, requires_grad, dtype)
    if data.__class__ in BACKENDS and not isinstance(data, np.ndarray):
        return tensor(wrap(data), dtype=dtype, device=device, requires_grad=requires_grad)
    found: list = []  # the dtypes of Tensors in the lists
    if isinstance(data, (list, tuple)):
        data = _without_tensors(data, found)
    try:
        array = np.array(data, dtype=None if dtype is None else as_dtype(dtype).dtype)
    except ValueError as error:
        raise ValueError(f"tensor: the nested lists do not form an array: {error}") from None
    if dtype is None and not isinstance(data, (np.ndarray, np.generic)) and array.dtype == np.float64:
        first = data
        while isinstance(first, (list, tuple)) and first:
            first = first[0]
        if not isinstance(first, (np.ndarray, np.generic)):
            array = array.astype(np.result_type(*found) if found else mode.dtype.dtype)
    if array.dtype == object:
        raise TypeError(f"tensor: cannot make a tensor of {type(data).__name__} {data!r:.80}")
    as_dtype(array.dtype)
    return _place(array, device, requires_grad)


def _without_tensors(data, found: list):
    """Nested lists with plain numbers for the Tensors in them, whose dtypes are added to `found`."""
    if isinstance(data, Tensor):
        found.append(data.array.dtype)
        return data.tolist()
    return [_without_tensors(d, found) for d in data] if isinstance(data, (list, tuple)) else data


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """`data` as a Tensor, sharing its memory where dtype and device allow."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if data.__class__ in BACKENDS:
        return wrap(data).to(device=device, dtype=dtype)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray) -> Tensor:
    """A CPU Tensor on the memory of a NumPy array."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(ndarray).__name__}")
    as_dtype(ndarray.dtype)
    return wrap(ndarray)


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor of `size` filled with one value; its dtype, unless given, follows the value's type."""
    kind = {bool: bool_, int: int64}.get(type(fill_value), mode.dtype) if dtype is None else as_dtype(dtype)
    return _place(np.full(_size((size,) if isinstance(size, int) else size), fill_value, kind), device, requires_grad)


def zeros(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor of zeros."""
    return full(_size(sizes, size), 0, dtype=dtype or mode.dtype, device=device, requires_grad=requires_grad)


def ones(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor of ones."""
    return full(_size(sizes, size), 1, dtype=dtype or mode.dtype, device=device, requires_grad=requires_grad)


def empty(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor whose values are whatever lay in memory."""
    return _place(np.empty(_size(sizes, size), as_dtype(dtype or mode.dtype)), device, requires_grad)


def _like(make):
    def like(input, *args, dtype=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
        where = input.device if device is None else device
        return make(tuple(input.shape), *args, dtype=dtype or input.dtype, device=where, requires_grad=requires_grad)

    like.__name__, like.__doc__ = (
        f"{make.__name__}_like",
        f"`{make.__name__}` in the shape, dtype and device of `input`.",
    )
    return like


def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """start, start + step, ... below `end`; int64 if all three are ints.

    >>> arange(5), arange(1, 2, 0.5)
    (tensor([0, 1, 2, 3, 4]), tensor([1.0000, 1.5000]))
    """
    start, end = (0, start) if end is None else (start, end)
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if step == 0:
        raise ValueError("arange: step must not be 0")
    kind = int64 if all(isinstance(v, (int, np.integer)) for v in (start, end, step)) else mode.dtype
    return _place(np.arange(start, end, step), device, requires_grad, dtype or kind)


def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` values from start to end, both included, evenly spaced."""
    return _place(np.linspace(start, end, steps), device, requires_grad, dtype or mode.dtype)


def eye(n, m=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The identity matrix, (n, n) or (n, m)."""
    return _place(np.eye(n, m, dtype=dtype or mode.dtype), device, requires_grad)


def randn(*sizes, size=None, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Standard normal random numbers."""
    return _place(_generator(generator).normal(_size(sizes, size), (dtype or mode.dtype)), device, requires_grad)


def rand(*sizes, size=None, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Random numbers uniform in [0, 1)."""
    return _place(_generator(generator).uniform(_size(sizes, size), (dtype or mode.dtype)), device, requires_grad)


def randint(low=0, high=None, size=None, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Random integers in [low, high); `randint(high, size)` starts from 0."""
    if size is None or high is None:
        low, high, size = (0, low, high if size is None else size)
    return _place(_generator(generator).integers(low, high, _size((size,))), device, requires_grad, dtype or int64)


def randperm(n, *, generator=None, dtype=None, device=None) -> Tensor:
    """A random permutation of 0 ... n-1."""
    return _place(_generator(generator).permutation(n), device, False, dtype or int64)


def normal(mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Normal random numbers with the given mean and standard deviation (numbers, or Tensors of the result's shape)."""
    if size is None:
        size = next((tuple(v.shape) for v in (mean, std) if isinstance(v, Tensor)), ())
    t = randn(*_size((size,)), generator=generator, dtype=dtype, device=device) * std + mean
    return t.detach().requires_grad_(requires_grad)


zeros_like, ones_like, empty_like, full_like = _like(zeros), _like(ones), _like(empty), _like(full)
rand_like, randn_like = _like(rand), _like(randn)
