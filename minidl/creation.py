"""Making tensors: from data, filled, in ranges, and at random."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from .backend import BACKENDS, ArgumentError, backend_of, default_device, get_backend
from .backend import device as device_type
from .backend.dtypes import as_dtype, bool_, float16, float32, float64, int8, int16, int32, int64, uint8
from .backend.dtypes import dtype as dtype_type
from .backend.layouts import strided
from .backend.random import Generator, default_generator
from .modes import mode
from .tensor import Size, Tensor, wrap

__all__ = """
    BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor arange
    as_tensor asarray bernoulli blackman_window empty empty_like empty_strided eye from_dlpack from_numpy frombuffer
    full full_like hamming_window hann_window linspace logspace multinomial normal ones ones_like poisson rand
    rand_like randint randint_like randn randn_like randperm scalar_tensor tensor tril_indices triu_indices zeros
    zeros_like
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
        raise ArgumentError(f"size: a size cannot be negative, got {size}")
    return size


def _place(array, where=None, requires_grad=False, dtype=None) -> Tensor:
    """A host array (or a NumPy scalar, which arithmetic on 0-d arrays gives) as a Tensor on a device, in `dtype`."""
    array = np.asarray(array)
    if dtype is not None:
        array = array.astype(as_dtype(dtype).dtype, copy=False)
    where = default_device() if where is None else device_type(where)
    t = wrap(get_backend(where).from_host(array, where))
    if requires_grad:
        t.requires_grad = True
    return t


def tensor(data, *, dtype=None, device=None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new Tensor with a copy of `data`: numbers, nested lists, a NumPy array or a Tensor.

    Python floats become the default dtype (float32), ints int64, bools bool; arrays keep their dtype. pin_memory only
    concerns speed.

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


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False) -> Tensor:
    """`as_tensor`; copy=True never shares memory, and copy=False raises where sharing is not possible."""
    y = as_tensor(obj, dtype=dtype, device=device)
    if copy and y is obj:
        y = y.clone()
    elif copy and obj.__class__ in BACKENDS:
        y = tensor(obj, dtype=dtype, device=device)
    source = obj.array if isinstance(obj, Tensor) else obj
    if copy is False and not (source.__class__ is y.array.__class__ and np.may_share_memory(source, y.array)):
        raise ValueError(f"asarray: copy=False, but {type(obj).__name__} cannot be shared with this dtype and device")
    return y.requires_grad_() if requires_grad else y


def scalar_tensor(s, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d Tensor, of the default dtype unless given."""
    return tensor(s, dtype=dtype or mode.dtype, device=device, requires_grad=requires_grad)


class TypeOfTensor(type):
    """A type such as `FloatTensor`: calling it makes a Tensor of its dtype, and those are its instances."""

    all: dict[str, TypeOfTensor] = {}  # by PyTorch's names for them
    dtype: dtype_type
    place: str
    name: str

    def __new__(cls, name: str, kind: dtype_type, place: str = "cpu"):
        made = super().__new__(cls, name, (), {})
        made.dtype, made.place = kind, place
        made.name = f"torch.{'' if place == 'cpu' else place + '.'}{name}"
        made.__doc__ = f"A Tensor of {kind!r} from data, or an uninitialised one of the given sizes."
        cls.all[made.name] = made
        return made

    def __init__(cls, *_) -> None:
        super().__init__(cls.__name__, (), {})

    def __call__(cls, *data, device=None) -> Tensor:
        place = cls.place if device is None else device
        if all(isinstance(n, int) for n in data):
            return empty(*(data or (0,)), dtype=cls.dtype, device=place)
        if len(data) != 1:
            raise TypeError(f"{cls.__name__}: expected sizes or one list or array, got {len(data)} values")
        if isinstance(data[0], Size):
            return empty(data[0], dtype=cls.dtype, device=place)
        return tensor(data[0], dtype=cls.dtype, device=place)

    def __instancecheck__(cls, x) -> bool:
        return isinstance(x, Tensor) and x.dtype == cls.dtype and x.device.type == cls.place

    def __repr__(cls) -> str:
        return f"<class '{cls.name}'>"

    @classmethod
    def named(mcs, name: str) -> TypeOfTensor:
        """The type of PyTorch's name `torch.FloatTensor`, `torch.cuda.LongTensor` ..."""
        found = mcs.all.get(name.replace("minidl.", "torch."))
        if found is None:
            raise ValueError(f"there is no type {name!r}; there are {', '.join(mcs.all)}")
        return found

    @classmethod
    def of(mcs, kind, place: str) -> TypeOfTensor:
        """The type of Tensors of a dtype on a kind of device."""
        return next(t for t in mcs.all.values() if t.dtype == kind and t.place == place)


FloatTensor, DoubleTensor = TypeOfTensor("FloatTensor", float32), TypeOfTensor("DoubleTensor", float64)
HalfTensor, BoolTensor = TypeOfTensor("HalfTensor", float16), TypeOfTensor("BoolTensor", bool_)
LongTensor, IntTensor = TypeOfTensor("LongTensor", int64), TypeOfTensor("IntTensor", int32)
ShortTensor, CharTensor = TypeOfTensor("ShortTensor", int16), TypeOfTensor("CharTensor", int8)
ByteTensor = TypeOfTensor("ByteTensor", uint8)


def from_numpy(ndarray) -> Tensor:
    """A CPU Tensor on the memory of a NumPy array."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(ndarray).__name__}")
    as_dtype(ndarray.dtype)
    return wrap(ndarray)


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor of `size` filled with one value; its dtype, unless given, follows the value's type."""
    kind = {bool: bool_, int: int64}.get(type(fill_value), mode.dtype) if dtype is None else as_dtype(dtype)
    size = _size((size,) if isinstance(size, int) else size)
    if isinstance(fill_value, (bool, int, float)):
        value = np.full((), fill_value, kind).item()  # or OverflowError
        return _filled(size, value, kind, device, requires_grad)
    return _place(np.full(size, fill_value, kind), device, requires_grad)


def _filled(size, value, kind, device, requires_grad) -> Tensor:
    """Made on its device."""
    where = default_device() if device is None else device_type(device)
    t = wrap(get_backend(where).filled(size, value, np.dtype(kind), where))
    return t.requires_grad_() if requires_grad else t


def zeros(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor of zeros."""
    return full(_size(sizes, size), 0, dtype=dtype or mode.dtype, device=device, requires_grad=requires_grad)


def ones(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor of ones."""
    return full(_size(sizes, size), 1, dtype=dtype or mode.dtype, device=device, requires_grad=requires_grad)


def empty(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor whose values are whatever lay in memory."""
    return _filled(_size(sizes, size), None, as_dtype(dtype or mode.dtype), device, requires_grad)


def _like(make):
    def like(input, *args, dtype=None, device=None, requires_grad=False, **more) -> Tensor:
        where, kind = input.device if device is None else device, dtype or input.dtype
        return make(tuple(input.shape), *args, dtype=kind, device=where, requires_grad=requires_grad, **more)

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
        raise ArgumentError("arange: step must not be 0")
    if all(isinstance(v, (int, np.integer)) for v in (start, end, step)):
        where = default_device() if device is None else device_type(device)
        t = wrap(get_backend(where).numbered(start, end, step, as_dtype(dtype or int64).dtype, where))
        return t.requires_grad_() if requires_grad else t
    return _place(np.arange(start, end, step), device, requires_grad, dtype or mode.dtype)


def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` values from start to end, both included, evenly spaced."""
    return _place(np.linspace(start, end, steps), device, requires_grad, dtype or mode.dtype)


def logspace(start, end, steps, base=10.0, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` values from base^start to base^end, both included, evenly spaced on a logarithmic scale."""
    return _place(base ** np.linspace(start, end, steps), device, requires_grad, dtype or mode.dtype)


def _triangle(name, find):
    def indices(row, col, offset=0, *, dtype=int64, device=None) -> Tensor:
        if row < 0 or col < 0:
            raise RuntimeError(f"{name}: sizes cannot be negative, got {row} and {col}")
        return _place(np.stack(find(row, offset, col)), device, False, dtype)

    indices.__name__ = name
    indices.__doc__ = f"The row and column numbers of `{name[:4]}` of a (row, col) matrix, as two rows."
    return indices


tril_indices, triu_indices = _triangle("tril_indices", np.tril_indices), _triangle("triu_indices", np.triu_indices)


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


def randperm(n, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A random permutation of 0 ... n-1."""
    return _place(_generator(generator).permutation(n), device, requires_grad, dtype or int64)


def normal(mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Normal random numbers with the given mean and standard deviation (numbers, or Tensors of the result's shape)."""
    if size is None:
        size = next((tuple(v.shape) for v in (mean, std) if isinstance(v, Tensor)), ())
    t = randn(*_size((size,)), generator=generator, dtype=dtype, device=device) * std + mean
    return t.detach().requires_grad_(requires_grad)


def randint_like(input, low=0, high=None, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Random integers in [low, high) in the shape, dtype and device of `input`; with one bound, from 0."""
    low, high = (0, low) if high is None else (low, high)
    where = input.device if device is None else device
    how = {"generator": generator, "dtype": dtype or input.dtype, "requires_grad": requires_grad}
    return randint(low, high, tuple(input.shape), device=where, **how)


def _host(name, input, what) -> np.ndarray:
    """The numbers on the host, where random ones are drawn; each must be a finite number that is not negative."""
    x = backend_of(input.array).to_host(input.array)
    if x.dtype.kind != "f" or not (np.isfinite(x) & (x >= 0)).all():
        raise RuntimeError(f"{name}: expected {what} as floating-point numbers that are finite and not negative")
    return x


def bernoulli(input, p=None, *, generator=None) -> Tensor:
    """1 with the probability that `input` (or the number p) says, else 0; no gradient flows through it."""
    chance = np.broadcast_to(np.float64(p), input.array.shape) if p is not None else _host("bernoulli", input, "p")
    if not ((chance >= 0) & (chance <= 1)).all():
        raise RuntimeError("bernoulli: expected probabilities between 0 and 1")
    return _place(_generator(generator).uniform(input.shape, "float64") < chance, input.device, False, input.dtype)


def poisson(input, generator=None) -> Tensor:
    """Poisson numbers with the rates in `input`: how many exponential waiting times fit into the rate."""
    rate = _host("poisson", input, "rates").astype(np.float64)
    left, count = rate.reshape(-1).copy(), np.zeros(rate.size)
    going = np.arange(rate.size)
    while going.size:  # as many rounds as the largest number
        left[going] += np.log1p(-_generator(generator).uniform(going.shape, "float64"))
        going = going[left[going] > 0]
        count[going] += 1
    return _place(count.reshape(rate.shape), input.device, False, input.dtype)


def multinomial(input, num_samples, replacement=False, *, generator=None) -> Tensor:
    """`num_samples` indices from each row of weights, drawn with probabilities in proportion to them.

    Without replacement the winners of a race of exponential waiting times (Efraimidis and Spirakis, 2006).
    """
    weights = _host("multinomial", input, "weights").astype(np.float64)
    if weights.ndim not in (1, 2) or not weights.shape[-1]:
        raise RuntimeError(f"multinomial: expected a vector or a matrix of weights, got {tuple(input.shape)}")
    enough = (weights > 0).sum(-1).min(initial=weights.shape[-1])
    if num_samples < 1 or enough < (1 if replacement else num_samples):
        raise RuntimeError(f"multinomial: {num_samples} samples, {enough} weights above 0, replacement={replacement}")
    rows = weights.reshape(-1, weights.shape[-1])
    if replacement:
        ends = rows.cumsum(-1)
        u = _generator(generator).uniform((len(rows), num_samples), "float64") * ends[:, -1:]
        chosen = np.stack([np.searchsorted(e, v, side="right") for e, v in zip(ends, u, strict=True)])
    else:
        wait = -np.log1p(-_generator(generator).uniform(rows.shape, "float64"))
        with np.errstate(divide="ignore"):
            wait = np.where(rows > 0, wait / rows, np.inf)
        chosen = np.argsort(wait, axis=-1, kind="stable")[:, :num_samples]
    return _place(chosen.reshape(*weights.shape[:-1], num_samples), input.device, False, int64)


def empty_strided(size, stride, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """An uninitialised Tensor whose elements lie `stride` apart in memory, where that is an order of its dimensions."""
    order = sorted(range(len(size)), key=lambda d: -stride[d])
    y = np.empty([size[d] for d in order], as_dtype(dtype or mode.dtype)).transpose(np.argsort(order))
    if y.size and any(s != t * y.itemsize for s, t, n in zip(y.strides, stride, size, strict=True) if n > 1):
        raise NotImplementedError(f"empty_strided: {tuple(stride)} leaves gaps or overlaps for {tuple(size)}")
    return _place(y, device, requires_grad)


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False) -> Tensor:
    """A one-dimensional CPU Tensor on the memory of a bytes-like object."""
    t = wrap(np.frombuffer(buffer, as_dtype(dtype).dtype, count, offset))
    return t.requires_grad_() if requires_grad else t


def from_dlpack(ext_tensor) -> Tensor:
    """A CPU Tensor on the memory of an array of another library, by the DLPack protocol; Tensors themselves."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(f"from_dlpack: expected a Tensor or an array with __dlpack__, got {type(ext_tensor).__name__}")
    return from_numpy(np.from_dlpack(ext_tensor))


def _window(name, terms, doc):
    """A window that is a sum of cosines, of which a periodic one leaves the last sample out."""

    def window(window_length, periodic=True, *, dtype=None, device=None, requires_grad=False) -> Tensor:
        n = window_length if periodic else window_length - 1
        turn = 2 * np.pi * np.arange(window_length) / max(n, 1)
        y = sum(a * np.cos(k * turn) for k, a in enumerate(terms)) if window_length > 1 else np.ones(window_length)
        return _place(np.asarray(y), device, requires_grad, dtype or mode.dtype)

    window.__name__, window.__doc__ = name, doc
    return window


hann_window = _window("hann_window", (0.5, -0.5), "1/2 - 1/2 cos(2 pi k / n).")
hamming_window = _window("hamming_window", (0.54, -0.46), "0.54 - 0.46 cos(2 pi k / n).")
blackman_window = _window("blackman_window", (0.42, -0.5, 0.08), "0.42 - 1/2 cos(2 pi k / n) + 0.08 cos(4 pi k / n).")


def _options(make):
    """The function with PyTorch's arguments of little meaning here: a call without them costs nothing more.

    layout must be strided; pin_memory only concerns speed; memory_format changes the order in memory; out is written.
    """

    @functools.wraps(make)
    def call(*args, **kwargs):
        try:
            return make(*args, **kwargs)
        except TypeError:
            given = {
                name: kwargs.pop(name) for name in ("layout", "pin_memory", "memory_format", "out") if name in kwargs
            }
            if not given:
                raise
        if given.get("layout") not in (None, strided):
            raise NotImplementedError(f"{make.__name__}: layout={given['layout']} is not supported")
        y, order = make(*args, **kwargs), given.get("memory_format")
        y = y if order is None else y.contiguous(memory_format=order)
        return y if given.get("out") is None else given["out"].take_over(y)

    return call


zeros_like, ones_like, empty_like, full_like = _like(zeros), _like(ones), _like(empty), _like(full)
rand_like, randn_like = _like(rand), _like(randn)
for (
    _name
) in """arange empty empty_like eye full full_like linspace logspace normal ones ones_like rand rand_like randint
    randint_like randn randn_like randperm zeros zeros_like""".split():
    globals()[_name] = _options(globals()[_name])
