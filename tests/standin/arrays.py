"""The stand-in's array: CuPy's `ndarray` over a NumPy array, with CuPy's refusals.

Where a rule differs from NumPy's, the text says what CuPy does. The arithmetic is NumPy's, bit for bit.
"""

from __future__ import annotations

import json
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from . import counts
from .counts import Undefined, launch, launched, synced, uploaded
from .devices import Device, allocate, current

NAMES = json.loads(Path(__file__).with_name("names.json").read_text())
DTYPES = frozenset("?bhilqBHILQefdFD")  # no strings, objects, dates or long doubles on a GPU
SCALARS = (bool, int, float, complex, np.bool_, np.number)
ATOMIC = frozenset("int32 uint32 int64 uint64 float16 float32 float64".split())  # types of scatter operations
modules: dict[str, object] = {}  # NumPy module name -> the stand-in's module; filled by namespace.py


# --- into and out of the NumPy array


def bare(x):
    """The NumPy array inside, or a scalar as it is; CuPy's kernels take no NumPy array, no list, no None."""
    if type(x) is ndarray:
        if x._device != current.device:
            raise ValueError(
                "Array device must be same as the current device: "
                f"array device = {x._device} while current = {current.device}"
            )
        return x._a
    if isinstance(x, SCALARS):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def wrap(a, base: ndarray | None = None, device: int | None = None) -> ndarray:
    """An array of the stand-in. NumPy's scalars become 0-d arrays: CuPy has no scalars of its own."""
    out = object.__new__(ndarray)
    out._a = a if type(a) is np.ndarray else np.asarray(a)
    out._device = current.device if device is None else device
    out.base = base
    out._memory = None if base is not None else allocate(out._a.nbytes)
    return out


def made(name: str, compute):
    """What one launch makes: fresh arrays with what `compute` gives, one or several."""
    with np.errstate(all="ignore"):
        result = compute()
    out = type(result)(map(wrap, result)) if isinstance(result, (tuple, list)) else wrap(result)
    again = None
    if counts.tape is not None:
        again = remade([x._a for x in out] if isinstance(out, (tuple, list)) else [out._a], compute)
    launched(name, again)
    return out


def remade(arrays: list[np.ndarray], compute):
    """For a graph: what fills these arrays anew; nothing is in them until then."""
    for a in arrays:
        garbage(a)

    def again() -> None:
        with np.errstate(all="ignore"):
            result = compute()
        for a, r in zip(arrays, result if isinstance(result, (tuple, list)) else [result], strict=True):
            a[...] = r

    return again


def view(x: ndarray, a: np.ndarray) -> ndarray:
    """`a`, a view of x's memory; as in CuPy its base is the array that owns the memory, not another view."""
    return wrap(a, x if x.base is None else x.base, x._device)


def supported(dtype) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype.char not in DTYPES:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def garbage(a: np.ndarray) -> np.ndarray:
    """What uninitialised memory may hold: NaN, True, -1 or the like. The host's would often be zeros."""
    a[...] = np.array(-1).astype(a.dtype) if a.dtype.kind in "iub" else np.nan
    return a


# --- indexing

_PLAIN = (int, np.integer, slice, type(None), type(Ellipsis))


def read_index(key, name: str) -> tuple[tuple, str]:
    """The index for NumPy, and its kind: 'basic' gives a view, 'gather' (integers) and 'mask' a copy."""
    parts = key if type(key) is tuple else (key,)
    read, kind = [], "basic"
    for part in parts:
        if isinstance(part, _PLAIN) and not isinstance(part, bool):
            read.append(part)
            continue
        if type(part) is ndarray:
            part = bare(part)
        elif isinstance(part, (np.ndarray, list, tuple)):
            uploaded(f"{name} index")  # CuPy takes these, and copies them to the device every time
            part = np.asarray(part, dtype=np.intp if isinstance(part, (list, tuple)) and not part else None)
        elif not isinstance(part, (bool, np.bool_)):
            raise IndexError(f"only integers, slices, ... , None and arrays are valid indices, got {part!r}")
        if np.asarray(part).dtype.kind == "b":
            synced(f"{name} mask", download=False)  # CuPy counts the True elements on the host
            kind = "mask"
        elif part.dtype.kind not in "iu":
            raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {part.dtype})")
        elif kind == "basic":
            kind = "gather"
        read.append(part)
    if kind == "basic" and not any(part is Ellipsis for part in parts):
        read.append(Ellipsis)  # then NumPy, too, gives a 0-d view for a full index
    return tuple(read), kind


def _reraise(error: IndexError, kind: str):
    """NumPy's IndexError; in CuPy an integer array that is out of bounds is no error, it wraps silently."""
    if kind == "gather" and "out of bounds" in str(error):
        raise Undefined(f"CuPy wraps such an index silently: {error}") from error
    raise error


def _stored(value, name: str):
    """A value for indexed assignment: CuPy makes a device array of whatever it is given, by an upload."""
    if type(value) is ndarray:
        return bare(value)
    value = np.asarray(value)
    supported(value.dtype)
    if value.ndim:
        uploaded(f"{name} value")
    return value


def scatter(ufunc, target: ndarray, slices, value) -> None:
    """`ufunc.at` and `cupyx.scatter_*`: repeated indices are fine, only some element types have atomics."""
    name = f"{ufunc.__name__}.at"
    a, (index, kind) = bare(target), read_index(slices, name)
    types = ATOMIC if ufunc is np.add else ATOMIC - {"float16"}
    if kind == "gather" and a.dtype.name not in types:
        raise TypeError(f"{name} only supports {', '.join(sorted(types))}; got {a.dtype}")
    value = _stored(value, name)

    def run() -> None:
        with np.errstate(all="ignore"):
            try:
                ufunc.at(a, index, value.astype(a.dtype, copy=False) if type(value) is np.ndarray else value)
            except IndexError as error:
                _reraise(error, kind)

    launch(name, run)


# --- the array


class MemoryPointer:
    """`cupy.cuda.MemoryPointer`: its address and its device; for an array in memory of another one."""

    def __init__(self, whole: ndarray, offset: int = 0) -> None:
        self.whole, self.offset = whole, offset
        self.ptr, self.device_id = whole._a.__array_interface__["data"][0] + offset, whole._device

    device = property(lambda self: Device(self.device_id))

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.whole, self.offset + offset)


class ndarray:
    """`cupy.ndarray`. `_a` holds the numbers, `_device` the device that was current when they were made."""

    __slots__ = ("_a", "_device", "_memory", "base", "__weakref__")
    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None  # as in NumPy: == compares elements

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if strides is not None:
            raise NotImplementedError("cupy.ndarray: the stand-in takes no strides")
        if memptr is not None:  # other memory's, which it keeps alive, but no view: it has no base
            self._a = np.ndarray(shape, supported(dtype), memptr.whole._a, memptr.offset, order=order)
            owner = memptr.whole if memptr.whole.base is None else memptr.whole.base
            self._device, self.base, self._memory = memptr.device_id, None, owner._memory
            return
        self._a = garbage(np.empty(shape, supported(dtype), order))
        self._device, self.base, self._memory = current.device, None, allocate(self._a.nbytes)

    shape = property(attrgetter("_a.shape"))
    dtype = property(attrgetter("_a.dtype"))
    ndim = property(attrgetter("_a.ndim"))
    size = property(attrgetter("_a.size"))
    strides = property(attrgetter("_a.strides"))
    nbytes = property(attrgetter("_a.nbytes"))
    itemsize = property(attrgetter("_a.itemsize"))
    device = property(lambda self: Device(self._device))
    T = property(lambda self: view(self, self._a.T))
    mT = property(lambda self: view(self, self._a.mT))
    real = property(lambda self: self if self._a.dtype.kind != "c" else view(self, self._a.real))

    @property
    def data(self):
        return MemoryPointer(self)

    @property
    def flags(self):
        flags = self._a.flags
        return SimpleNamespace(
            c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=self.base is None
        )

    def __getattr__(self, name):
        if name in NAMES["ndarray"]:
            raise AttributeError(f"cupy.ndarray.{name} exists in CuPy {NAMES['version']} but not in the stand-in")
        raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r} (CuPy {NAMES['version']})")

    # --- to and from the host: each of these waits for the device

    def get(self, stream=None, order="C", out=None, blocking=True) -> np.ndarray:
        synced("get")
        if out is None:
            return self._a.copy(order)
        if not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if out.dtype != self.dtype or out.shape != self.shape:
            kind = TypeError if out.dtype != self.dtype else ValueError
            raise kind(f"get: cannot copy {self.dtype} {self.shape} into {out.dtype} {out.shape}")
        out[...] = self._a
        return out

    def set(self, arr, stream=None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self._a.flags.c_contiguous or self._a.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        uploaded("set")
        self._a[...] = arr

    def _host(self, name: str, function):
        synced(name)
        return function(self._a)

    def item(self):
        return self._host("item", np.ndarray.item)

    def tolist(self):
        return self._host("tolist", np.ndarray.tolist)

    def tobytes(self, order="C"):
        return self._host("tobytes", lambda a: a.tobytes(order))

    def __bool__(self):
        return self._host("bool", bool)

    def __int__(self):
        return self._host("int", int)

    def __float__(self):
        return self._host("float", float)

    def __complex__(self):
        return self._host("complex", complex)

    def __repr__(self):
        return self._host("repr", repr)

    def __str__(self):
        return self._host("str", str)

    def __format__(self, spec):
        return self._host("format", lambda a: format(a, spec))

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __reduce_ex__(self, protocol):
        raise TypeError("cupy.ndarray: the stand-in cannot be pickled (CuPy would copy to the host); use .get()")

    # --- copies

    def copy(self, order="C") -> ndarray:
        return made("copy", lambda: self._a.copy(order))  # on the current device, from whichever one

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo) -> ndarray:
        with self.device:
            return self.copy()

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True) -> ndarray:
        dtype = supported(dtype)
        if not copy and dtype == self.dtype and order == "K":
            return self
        a = bare(self)
        return made("astype", lambda: a.astype(dtype, order, casting or "unsafe"))

    def view(self, dtype=None, type=None) -> ndarray:
        return view(self, self._a.view() if dtype is None else self._a.view(supported(dtype)))

    def fill(self, value) -> None:
        if isinstance(value, (np.ndarray, ndarray)) and value.ndim:
            raise ValueError(f"non-scalar {type(value).__module__}.ndarray cannot be used for fill")
        value = value[()] if isinstance(value, np.ndarray) else bare(value)
        a = bare(self)

        def run() -> None:
            with np.errstate(all="ignore"):
                a[...] = value

        launch("fill", run)

    # --- indexing

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key) -> ndarray:
        index, kind = read_index(key, "getitem")
        if kind == "basic":
            return view(self, self._a[index])
        a = bare(self)

        def taken() -> np.ndarray:
            try:
                return a[index].copy()
            except IndexError as error:
                _reraise(error, kind)

        return made(f"getitem {kind}", taken)

    def __setitem__(self, key, value) -> None:
        index, kind = read_index(key, "setitem")
        if kind == "basic":
            target = view(self, self._a[index])
            if type(value) is not ndarray:
                target.fill(value)
            elif not (value.base is target.base and _same_memory(value._a, target._a)):  # after `x[i] += v`: nothing
                a, b = bare(target), bare(value)

                def copy() -> None:
                    with np.errstate(all="ignore"):
                        a[...] = b

                launch("setitem", copy)
            return
        launch(f"setitem {kind}", self._scattering(index, kind, _stored(value, "setitem")))

    def _scattering(self, index, kind: str, value):
        a = bare(self)

        def run() -> None:
            try:
                if kind == "gather" and value.size > 1:  # one value may be written twice
                    places = np.arange(a.size).reshape(a.shape)[index]
                    _, first, which = np.unique(places, return_index=True, return_inverse=True)
                    given = np.broadcast_to(value, places.shape).reshape(-1)
                    if not np.array_equal(given[first][which.reshape(-1)], given, equal_nan=given.dtype.kind == "f"):
                        raise Undefined("assignment at a repeated index: which value CuPy keeps is undefined")
                a[index] = value
            except IndexError as error:
                _reraise(error, kind)

        def quietly() -> None:
            with np.errstate(all="ignore"):
                run()

        return quietly

    def scatter_add(self, slices, value) -> None:
        scatter(np.add, self, slices, value)

    def scatter_max(self, slices, value) -> None:
        scatter(np.maximum, self, slices, value)

    def scatter_min(self, slices, value) -> None:
        scatter(np.minimum, self, slices, value)

    # --- NumPy's dispatch: `np.exp(x)`, `np.concatenate([x])`, and operators with a NumPy array on the left

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        function = getattr(modules["numpy"], ufunc.__name__, None)
        if method != "__call__" or function is None:
            return NotImplemented
        out = kwargs.pop("out", ())
        if len(out) > 1:
            raise ValueError("The 'out' parameter must have exactly one array value")
        if not all(isinstance(x, (ndarray, np.ndarray, *SCALARS)) for x in inputs + out):
            return NotImplemented
        return function(*inputs, **kwargs, **({"out": out[0]} if out else {}))

    def __array_function__(self, function, types, args, kwargs):
        ours = getattr(modules.get(function.__module__), function.__name__, None)
        if ours is None or not all(t in (ndarray, np.ndarray) for t in types):
            return NotImplemented
        return ours(*args, **kwargs)


def _same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    return a.__array_interface__["data"] == b.__array_interface__["data"] and (a.shape, a.strides) == (
        b.shape,
        b.strides,
    )
