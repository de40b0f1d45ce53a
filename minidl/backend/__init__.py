"""The only place that knows which array library is in use: `backend_of(array)` gives what works on that array.

A Backend has NumPy's function names (`B.exp`, `B.sum` ...) and the named kernels (`B.conv2d` ...). A kernel that a
library has no fast form of is the plain definition that `ops/` registers with `@definition`.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

BACKENDS: dict[type, Any] = {}  # array type -> Backend; the engine adds Tensor, whose "backend" is the ops themselves
DEFINITIONS: dict[str, Callable] = {}  # kernel name -> its plain definition, written with operators and `B` only


def definition(name: str) -> Callable[[Callable], Callable]:
    """Register a function as the plain definition of the kernel `name`: what a backend without a fast form uses."""

    def register(function: Callable) -> Callable:
        DEFINITIONS[name] = function
        return function

    return register


def backend_of(*xs):
    """The Backend of the first array (or Tensor) among `xs`; Python scalars and None are passed over."""
    for x in xs:
        backend = BACKENDS.get(x.__class__)
        if backend is not None:
            return backend
    for x in xs:  # a subclass seen for the first time
        for base in type(x).__mro__[1:]:
            if base in BACKENDS:
                BACKENDS[type(x)] = BACKENDS[base]
                return BACKENDS[base]
    raise TypeError(f"expected an array or Tensor, got {', '.join(type(x).__name__ for x in xs)}")


class ArgumentError(ValueError, RuntimeError):
    """An argument of a wrong value or shape: a ValueError, as in Python, and a RuntimeError, as in PyTorch."""


class Backend:
    """One array library: its namespace, its transfers, its kernels. Attributes are looked up once and then kept."""

    def __init__(self, name: str, array_type: type, library, modules: tuple) -> None:
        self.name, self.array_type, self.library = name, array_type, library
        for module in modules:  # the public functions of its own, which go before the library's
            for key, value in vars(module).items():
                if getattr(value, "__module__", "").startswith(__name__) and not key.startswith("_"):
                    self.__dict__[key] = value
        BACKENDS[array_type] = self

    def __getattr__(self, name: str):
        value = DEFINITIONS.get(name)
        if value is None:
            value = getattr(self.library, name)
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f"<Backend {self.name}: {self.array_type.__module__}.{self.array_type.__name__}>"

    def __reduce__(self):
        return get_backend, (self.name,)


# whether a device adds up at repeated indices in one order, which is slower; whether its products of float32 matrices
# may round to TF32, which is faster; whether cuDNN may compute convolutions where it is installed
EXACT = {"deterministic": False, "tf32": False, "cudnn": True}
# While a graph of a device's work is captured (the innermost one last): what is to be called before each replay of it.
# Each gives a function that brings up to date what the captured kernels read, to be called once all have given one; or
# None, if the captured kernels are no longer the right ones.
CAPTURES: list[list[Callable[[], Callable[[], None] | None]]] = []
ABSENT = ("mps", "xpu", "meta")  # kinds of device that programs name, and that minidl has no arrays for


class device:
    """Where an array lives: `'cpu'`, `'cuda'` (the current GPU) or `'cuda:1'`.

    As a context manager: the default for new tensors in this thread.

    >>> device("cuda:1").type, device("cuda:1").index, str(device("cpu")), device("cpu") == "cpu"
    ('cuda', 1, 'cpu', True)
    """

    __slots__ = ("type", "index", "_outer")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        text = f"cuda:{type}" if isinstance(type, int) else str(type)
        name, colon, number = text.partition(":")
        if number and index is not None:
            raise ArgumentError(f"device: an index was given twice: {type!r} and {index}")
        if name not in ("cpu", "cuda", *ABSENT) or (colon and not number.isdecimal()):
            raise ArgumentError(f"device: expected 'cpu', 'cuda' or 'cuda:N', got {type!r}")
        self.type, self.index = name, int(number) if number else index
        self._outer: list[device | None] = []

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = device(other)
            except ValueError:
                return False
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + ("" if self.index is None else f", index={self.index}") + ")"

    def __enter__(self) -> device:
        self._outer.append(_default.device)
        _default.device = self
        return self

    def __exit__(self, *exc) -> None:
        _default.device = self._outer.pop()

    def __reduce__(self):
        return device, (self.type, self.index)


_device = device


class _Default(threading.local):
    device: device | None = None  # None: `MINIDL_DEVICE`, else the CPU


_default = _Default()


def default_device() -> device:
    """The device of new tensors in this thread: `set_default_device`, else MINIDL_DEVICE, else the CPU."""
    return _default.device or device(os.environ.get("MINIDL_DEVICE") or "cpu")


def set_default_device(device: str | _device | None) -> None:
    """Make `device` that of tensors created from now on in this thread (None: back to the default)."""
    where = None if device is None else _device(device)
    if where is not None:
        get_backend(where)  # a device that cannot be used is refused here, not at the first tensor
    _default.device = where


def get_backend(where: str | device | None = None) -> Backend:
    """The Backend of a device; `'cuda'` loads CuPy on first use and says what is missing where it cannot."""
    where = default_device() if where is None else device(where)
    if where.type in ABSENT:
        raise RuntimeError(f"device '{where}': minidl has no arrays there; use 'cpu' or 'cuda'")
    module = importlib.import_module(f"{__name__}.{'host' if where.type == 'cpu' else 'cuda'}")
    module.check(where)
    return module.BACKEND


@definition("transfer")
def transfer(x, device, non_blocking=False):
    """The array on another device, by way of the host."""
    return get_backend(device).from_host(backend_of(x).to_host(x), device, non_blocking)
