"""The stand-in's modules `cupy` and `cupyx`: CuPy's names and no others, each with CuPy's parameters."""

from __future__ import annotations

import importlib.machinery
import math
import statistics
import types
from collections.abc import Callable

import numpy as np

from . import devices, kernels
from .arrays import NAMES, bare, garbage, made, modules, ndarray, scatter, supported, wrap
from .counts import launch, synced, uploaded
from .functions import adapt

# besides those whose documentation says so: all that read a count, a truth value or the numbers on the host
SYNCS = set(NAMES["syncs"]) | set(
    "argwhere array2string array_repr array_str intersect1d isin save savetxt savez savez_compressed "
    "setdiff1d setxor1d shares_memory trim_zeros union1d".split()
)
# answered on the host from shapes and dtypes: no launch, and no array as a result
HOST = set(
    "broadcast_shapes can_cast common_type iscomplexobj isfortran isrealobj isscalar issubdtype "
    "mintypecode may_share_memory min_scalar_type ndim promote_types result_type shape "
    "shares_memory size typename".split()
)
# NumPy's function of the name would give host arrays, or has its parameters in another order
LEFT_OUT = set(
    "apply_along_axis apply_over_axes asarray_chkfinite choose frombuffer from_dlpack fromfile fromfunction "
    "fromiter fromstring genfromtxt histogram2d histogramdd load loadtxt piecewise put putmask".split()
)


class Namespace(types.ModuleType):
    """A module whose attributes are made on first use by `make(name)`, which refuses what CuPy has not."""

    def __init__(self, name: str, make: Callable | None = None, **own) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__path__: list[str] = []
        self._make = make
        self.__dict__.update(own)

    def __getattr__(self, name: str):
        if name.startswith("__") or self._make is None:
            raise AttributeError(f"module {self.__name__!r} of the stand-in has no attribute {name!r}")
        value = self._make(name)
        setattr(self, name, value)
        return value


def _missing(module: str, name: str, exists: bool) -> AttributeError:
    if exists:
        return AttributeError(f"{module}.{name} exists in CuPy {NAMES['version']} but not in the stand-in")
    return AttributeError(f"module {module!r} has no attribute {name!r} (CuPy {NAMES['version']})")


# --- ufuncs


class ufunc:
    """`cupy.ufunc`: takes device arrays and scalars; no `where=`; `.at`, `.reduce` ... for a few of them."""

    def __init__(self, function: np.ufunc) -> None:
        self._function, self.name = function, f"cupy_{function.__name__}"
        self.__name__ = function.__name__
        self.nin, self.nout, self.nargs, self.types = (
            function.nin,
            function.nout,
            function.nargs,
            function.types,
        )

    def __call__(self, *args, out=None, dtype=None, casting=None, **wrong):
        if wrong:
            raise TypeError(f"{self.name}: Wrong arguments {wrong}")
        if len(args) != self.nin:
            args, out = self._split(args, out)
        inputs, options = [bare(x) for x in args], {}
        if dtype is not None:
            options["dtype"] = supported(dtype)
        if casting is not None:
            options["casting"] = casting
        if out is not None:
            out = out if isinstance(out, tuple) else (out,)
            options["out"] = tuple([x if x is None else bare(x) for x in out])
        if out is None or not any(x is not None for x in out):
            return made(self.__name__, lambda: self._function(*inputs, **options))
        if any(x is None for x in out):
            raise NotImplementedError(f"{self.name}: the stand-in takes all outputs or none")

        def run() -> None:
            with np.errstate(all="ignore"):
                self._function(*inputs, **options)

        launch(self.__name__, run)
        return out[0] if self.nout == 1 else out

    def _split(self, args: tuple, out):
        """Inputs and outputs, where the outputs are given by position."""
        if not self.nin <= len(args) <= self.nargs:
            expected = f"{self.nin} to {self.nargs}"
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {expected}, given {len(args)}")
        if out is not None:
            raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
        return args[: self.nin], args[self.nin :]

    def at(self, a, indices, b=None) -> None:
        if self.__name__ not in NAMES["scatter"]:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        scatter(self._function, a, indices, b)

    def outer(self, A, B, **kwargs):
        return self(A.reshape(A.shape + (1,) * B.ndim), B, **kwargs)

    def _through(self, method: str, table: dict[str, str]):
        """CuPy's `reduce` and its kin are methods of the array, for the ufuncs in the table."""
        if self.__name__ not in table:
            raise NotImplementedError(f"`{self.name}.{method}` is not supported yet")
        return table[self.__name__]

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        name = self._through("reduce", dict(add="sum", multiply="prod"))
        return getattr(array, name)(axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def accumulate(self, array, axis=0, dtype=None, out=None):
        name = self._through("accumulate", dict(add="cumsum", multiply="cumprod"))
        return getattr(array, name)(axis=axis, dtype=dtype, out=out)

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        self._through("reduceat", dict(add="add"))
        call = adapt("reduceat", self._function.reduceat, ["array", "indices", "axis", "dtype", "out"])
        return call(array, indices, axis=axis, dtype=dtype, out=out)

    def __repr__(self) -> str:
        return f"<ufunc {self.name!r}>"


# --- functions of our own


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """From the host by an upload; from device arrays by a launch, or by none where nothing is to be done."""
    if type(obj) is ndarray:
        dtype = obj.dtype if dtype is None else dtype
        if obj._device != devices.current.device:
            obj = obj.copy()  # from the other device, which CuPy does in this function and in `copy` only
            copy = False
        out = obj.astype(dtype, order=order or "K", copy=bool(copy))
        return out if ndmin <= out.ndim else out.reshape((1,) * (ndmin - out.ndim) + out.shape)
    if isinstance(obj, (list, tuple)) and any(type(x) is ndarray for x in obj):
        parts = [bare(x) for x in obj if type(x) is ndarray or _refuse_mixture(x)]
        return made("array", lambda: np.stack(parts) if dtype is None else np.stack(parts).astype(supported(dtype)))
    host = np.array(obj, dtype=dtype, order=order or "K", ndmin=ndmin)
    supported(host.dtype)
    if host.ndim:
        uploaded("array")
        return wrap(host)
    return made("fill", host.copy)  # a scalar goes as an argument of the kernel


def _refuse_mixture(x):
    raise TypeError(f"cupy.array: device arrays and {type(x)} in one list")


def asarray(a, dtype=None, order=None, copy=None, *, blocking=False):
    return array(a, dtype, bool(copy), order, blocking=blocking)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    host = np.asarray(a, order=order)
    if out is None:
        return host
    out[...] = host
    return out


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)  # memory from the pool: no launch, and garbage inside


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return wrap(garbage(np.empty_like(bare(prototype), supported(dtype or prototype.dtype), order, shape=shape)))


def where(condition, x=None, y=None):
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if type(condition) is not ndarray:
        raise TypeError(f"cupy.where(): condition must be a cupy.ndarray, got {type(condition)}")
    if x is None:
        return condition.nonzero()
    condition, x, y = bare(condition), bare(x), bare(y)
    return made("where", lambda: np.where(condition, x, y))


def get_array_module(*args):
    return cupy if any(isinstance(x, ndarray) for x in args) else np


# --- the modules


def _make_cupy(name: str):
    value = getattr(np, name, None)
    if name in NAMES["ufuncs"]:
        return ufunc(value) if isinstance(value, np.ufunc) else adapt(name, value, ["x"])
    if name in NAMES["functions"] and callable(value) and name not in LEFT_OUT:
        if name in HOST:
            return _on_host(name, value)
        return adapt(name, value, NAMES["functions"][name], sync=name in SYNCS)
    if name in NAMES["names"]:
        if name in ("newaxis", "s_", "index_exp", "dtype", "finfo", "iinfo") or isinstance(value, float):
            return value
        if isinstance(value, type) and issubclass(value, np.generic):
            return value
    raise _missing("cupy", name, name in NAMES["functions"] or name in NAMES["names"])


def _on_host(name: str, function: Callable) -> Callable:
    def call(*args, **kwargs):
        if name in SYNCS:
            synced(name)
        return function(*[x._a if type(x) is ndarray else x for x in args], **kwargs)

    return call


def _make_linalg(name: str):
    if name not in NAMES["linalg"]:
        raise _missing("cupy.linalg", name, False)
    return adapt(name, getattr(np.linalg, name), NAMES["linalg"][name], where="cupy.linalg")


def _make_strides(name: str):
    if name not in NAMES["stride_tricks"]:
        raise _missing("cupy.lib.stride_tricks", name, False)
    function, params = getattr(np.lib.stride_tricks, name), NAMES["stride_tricks"][name]
    return adapt(name, function, params, where="cupy.lib.stride_tricks")


class Generator:
    """`cupy.random.Generator`: without normal, permutation or choice, and with other numbers."""

    def __init__(self, seed=None) -> None:
        self._host = np.random.default_rng(seed)

    def __getattr__(self, name: str):
        if name not in NAMES["Generator"]:
            raise AttributeError(f"'cupy.random.Generator' object has no attribute {name!r} (CuPy {NAMES['version']})")
        call = adapt(name, getattr(self._host, name), NAMES["Generator"][name], where="Generator", first_array=False)
        setattr(self, name, call)
        return call


def _scatter(function: np.ufunc) -> Callable:
    def call(a, slices, value) -> None:
        scatter(function, a, slices, value)

    return call


def empty_pinned(shape, dtype=float, order="C"):
    """Pinned memory is host memory: a NumPy array on memory that says so."""
    like = np.empty(shape, dtype, order)
    flat = np.frombuffer(devices.alloc_pinned_memory(max(like.nbytes, 1)), dtype, like.size)
    return garbage(flat.reshape(like.shape, order=order))


def zeros_pinned(shape, dtype=float, order="C"):
    out = empty_pinned(shape, dtype, order)
    out[...] = 0
    return out


def rsqrt(x):
    a = bare(x)
    return made("rsqrt", lambda: np.reciprocal(np.sqrt(a)))


def _zeta(s: float, x: float) -> float:
    """The sum of (x + k)^-s over k >= 0: some terms, and the integral of the others (Euler and Maclaurin)."""
    n = max(0, math.ceil(25 - x))
    w = x + n
    tail = w ** (1 - s) / (s - 1) + 0.5 * w**-s + s / 12 * w ** (-s - 1)
    tail += -s * (s + 1) * (s + 2) / 720 * w ** (-s - 3)
    tail += s * (s + 1) * (s + 2) * (s + 3) * (s + 4) / 30240 * w ** (-s - 5)
    return sum((x + k) ** -s for k in range(n)) + tail


def _psi(x: float) -> float:
    n = max(0, math.ceil(25 - x))
    w = x + n
    series = math.log(w) - 0.5 / w - 1 / (12 * w**2) + 1 / (120 * w**4) - 1 / (252 * w**6) + 1 / (240 * w**8)
    return series - sum(1 / (x + k) for k in range(n))


_SPECIAL = {
    "erfinv": lambda x: statistics.NormalDist().inv_cdf(x / 2 + 0.5) / math.sqrt(2),
    "gammaln": math.lgamma,
    "psi": _psi,
    "zeta": _zeta,
}


def _special(name: str) -> Callable:
    """A function of `cupyx.scipy.special`, in the dtype of what it is given, at least float32."""
    function = np.vectorize(_SPECIAL.get(name) or getattr(math, name), otypes=[np.float64])

    def call(*given):
        x = given[-1]
        if type(x) is not ndarray:
            raise TypeError(f"cupyx.scipy.special.{name}(): Unsupported type {type(x)}")
        a, dtype = bare(x), x.dtype if x.dtype.kind == "f" else np.float64
        return made(name, lambda: function(*given[:-1], a).astype(dtype))

    return call


_pool, _pinned_pool = devices.default_pool, devices.PinnedMemoryPool()
memory = Namespace("cupy.cuda.memory", OutOfMemoryError=devices.OutOfMemoryError)

runtime = Namespace(
    "cupy.cuda.runtime",
    lambda name: _raise(_missing("cupy.cuda.runtime", name, name in NAMES["runtime"])),
    CUDARuntimeError=devices.CUDARuntimeError,
    getDeviceCount=lambda: devices.DEVICES,
    getDevice=lambda: devices.current.device,
    setDevice=lambda device: devices.Device(device).use(),
    deviceSynchronize=lambda: devices.Device().synchronize(),
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
    memGetInfo=lambda: devices.Device().mem_info,
    is_hip=False,
)


def _raise(error: Exception):
    raise error


cuda = Namespace(
    "cupy.cuda",
    lambda name: _raise(_missing("cupy.cuda", name, name in NAMES["cuda"])),
    runtime=runtime,
    is_available=lambda: True,
    get_device_id=lambda: devices.current.device,
    **{
        n: getattr(devices, n)
        for n in "Device Event Graph MemoryHook MemoryPool PinnedMemoryPointer PinnedMemoryPool Stream "
        "alloc_pinned_memory get_allocator get_current_stream get_elapsed_time set_allocator using_allocator".split()
    },
    memory=memory,
)
random = Namespace(
    "cupy.random",
    lambda name: _raise(_missing("cupy.random", name, name in NAMES["random"])),
    Generator=Generator,
    default_rng=Generator,
)
linalg = Namespace("cupy.linalg", _make_linalg)
special = Namespace("cupyx.scipy.special", **{n: _special(n) for n in ("erf", "erfc", *_SPECIAL)})
scipy = Namespace("cupyx.scipy", special=special)
stride_tricks = Namespace("cupy.lib.stride_tricks", _make_strides)
lib = Namespace("cupy.lib", stride_tricks=stride_tricks)

cupy = Namespace(
    "cupy",
    _make_cupy,
    __version__=NAMES["version"],
    ndarray=ndarray,
    ufunc=ufunc,
    array=array,
    asarray=asarray,
    asanyarray=asarray,
    asnumpy=asnumpy,
    empty=empty,
    empty_like=empty_like,
    where=where,
    matmul=ufunc(np.matmul),
    get_array_module=get_array_module,
    is_available=lambda: True,
    get_default_memory_pool=lambda: _pool,
    get_default_pinned_memory_pool=lambda: _pinned_pool,
    ElementwiseKernel=kernels.ElementwiseKernel,
    ReductionKernel=kernels.ReductionKernel,
    RawKernel=kernels.RawKernel,
    cuda=cuda,
    random=random,
    linalg=linalg,
    lib=lib,
)
cupyx = Namespace(
    "cupyx",
    lambda name: _raise(_missing("cupyx", name, name in NAMES["cupyx"])),
    scatter_add=_scatter(np.add),
    scatter_max=_scatter(np.maximum),
    scatter_min=_scatter(np.minimum),
    empty_pinned=empty_pinned,
    zeros_pinned=zeros_pinned,
    rsqrt=rsqrt,
    scipy=scipy,
)
modules.update({"numpy": cupy, "numpy.linalg": linalg, "numpy.lib.stride_tricks": stride_tricks})
MODULES = {
    m.__name__: m for m in (cupy, cupyx, cuda, memory, runtime, random, linalg, lib, stride_tricks, scipy, special)
}
