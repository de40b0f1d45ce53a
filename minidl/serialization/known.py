"""What a pickle by torch.save may name, and what minidl makes of it. Nothing here runs what a file says."""

from __future__ import annotations

import math
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from ..backend import device
from ..backend.dtypes import UNHELD, dtype, float16, float32, float64, int8, int16, int32, int64, uint8
from ..backend.dtypes import bool_ as bool8
from ..tensor import Parameter, Size, Tensor, wrap

_trusted: list[Any] = []  # what programs named in `add_safe_globals`


def refuse(what: str, name: str | None = None) -> NoReturn:
    """Raise the error that says what was found and what to do."""
    named = {_full(trusted) for trusted in _trusted}
    more = " (add_safe_globals does not change that: minidl makes no objects of classes)" if name in named else ""
    raise ValueError(
        f"{what}{more}; minidl reads Tensors and plain values only, for nothing in a file is ever run. Load it in "
        "PyTorch and save its state there: torch.save(model.state_dict(), 'weights.pt')"
    )


def _full(trusted: Any) -> str:
    if isinstance(trusted, tuple):
        return trusted[1]
    return f"{getattr(trusted, '__module__', '')}.{getattr(trusted, '__qualname__', '')}"


def trusted() -> list[Any]:
    """The list of what programs named in `add_safe_globals`, itself."""
    return _trusted


_PLAIN_KEYS = frozenset((str, int, float, bool, bytes, type(None)))
_COLLIDING = 64  # keys of one hash; in honest files hardly two


class Budget:
    """What a pickle of `size` bytes may cost, so that reading it takes no more than some times its size and time.

    An honest pickle copies a thing twice at most, and has some bytes for every container; a bomb copies one list many
    times, makes a container of each byte, or keys of one hash, on which dicts take quadratic time.
    """

    def __init__(self, size: int) -> None:
        self.left, self.room = 2 * size, 100_000 + 2 * size
        self.hashes: dict[int, list[Any]] = {}

    def __call__(self, amount: int) -> None:
        """Count what is copied."""
        self.left -= amount
        if self.left < 0:
            raise ValueError("the pickle copies more than it holds")

    def make(self, amount: int) -> None:
        """Count a container that is made."""
        self.room -= amount
        if self.room < 0:
            raise ValueError("the pickle makes more containers than it has anything for")

    def key(self, key: Any) -> Any:
        """A key of a dict, or an element of a set: plain, so that its hash is quick and harmless."""
        for part in key if isinstance(key, tuple) else (key,):
            if type(part) not in _PLAIN_KEYS:
                raise ValueError(f"the pickle has a key of type {type(part).__name__}, which is not plain")
        return self.distinct(key)

    def distinct(self, key: Any) -> Any:
        """A key, if not many others that were seen have its hash."""
        if not isinstance(key, (str, bytes)):  # of these nobody knows the hashes beforehand
            same = self.hashes.setdefault(hash(key), [])
            if key not in same:
                same.append(key)
            if len(same) > _COLLIDING:
                raise ValueError("the pickle has many keys of one hash, which would make dicts slow")
        return key


def checked_notes(notes: Any) -> Any:
    """The `_metadata` of a state dict, which must be what `load_state_dict` takes: a dict of dicts with versions."""
    fits = isinstance(notes, dict) and all(
        isinstance(name, str) and isinstance(own, dict) and type(own.get("version")) in (int, type(None))
        for name, own in notes.items()
    )
    if not fits:
        raise ValueError(f"the _metadata of an OrderedDict should be a dict of dicts, got {notes!r:.80}")
    return notes


class Known:
    """A function or class of the table; `make(spend, *args)` makes the value of a call of it."""

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.what, self.make = name, make


class Element:
    """A storage class: what kind of elements a storage has. brain: bfloat16, of which NumPy knows only the bits."""

    def __init__(self, name: str, kind: str, brain: bool = False) -> None:
        self.what, self.kind, self.brain = name, np.dtype(kind), brain


class Region:
    """A storage of a file: how many elements it has, where it was; its memory comes when all sizes were checked."""

    what = "a storage without a Tensor"

    def __init__(self, element: Element, key: str, location: str, numel: int) -> None:
        self.element, self.key, self.location, self.numel = element, key, location, numel
        self.tensors: list[Tensor] = []

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return self.numel * self.element.kind.itemsize

    def take(self, t: Any, requires_grad: Any, place: tuple[int, tuple, tuple]) -> Any:
        """Note that a Tensor lies here: (offset, shape, strides)."""
        floating = self.element.brain or self.element.kind.kind == "f"
        if not isinstance(requires_grad, bool) or (requires_grad and not floating):
            raise ValueError(f"a Tensor of {self.element.what} has requires_grad={requires_grad!r}")
        t._requires_grad, t._place = requires_grad, (self, place)
        self.tensors.append(t)
        return t


class Build:
    """A value that is complete when its state has come."""

    what = "an unfinished value"
    keys: tuple[int, ...] = ()  # where the pickle remembers it

    def build(self, spend: Budget, state: Any) -> Any:
        """The value."""
        raise NotImplementedError


# ------------------------------------------------------------------------------------------------ Tensors
def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _tensor(spend, storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None) -> Tensor:
    """A Tensor on a storage, if it lies within."""
    if not isinstance(storage, Region):
        raise ValueError(f"a Tensor is on a {type(storage).__name__}, expected a storage")
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride) or len(size) > 64:
        raise ValueError(f"a Tensor has the shape {size!r:.80} and the strides {stride!r:.80}")
    if not all(map(_whole, (offset, *size, *stride))):
        raise ValueError(f"a Tensor has the shape {size}, strides {stride} and offset {offset}")
    if hooks or metadata:
        refuse("a Tensor has hooks" if hooks else "a Tensor is a conjugate or negative view")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else -1
    if last >= storage.numel or math.prod(size) >= 2**60:
        raise ValueError(
            f"a Tensor of shape {size}, strides {stride} and offset {offset} reaches beyond its storage of "
            f"{storage.numel} elements"
        )
    t = wrap(None)
    return storage.take(t, requires_grad, (offset, tuple(size), tuple(stride)))


def _parameter(spend, data, requires_grad=True, hooks=None, state=None) -> Parameter:
    """A Parameter on the memory of a Tensor."""
    region, place = getattr(data, "_place", (None, None))
    if not isinstance(data, Tensor) or region is None:
        raise ValueError(f"a Parameter is made of a {type(data).__name__}")
    if hooks or state:
        refuse("a Parameter has hooks" if hooks else "a Parameter has attributes of its own")
    return region.take(Parameter.__new__(Parameter), requires_grad, place)


def _foreign(spend, storage, offset, size, stride, requires_grad, hooks, kind, metadata=None) -> NoReturn:
    """A Tensor of a dtype that is younger than storage classes: none that minidl has."""
    refuse(f"it holds Tensors of {getattr(kind, 'name', 'another dtype')}, which minidl does not have")


def _of_type(spend, function, kind, args, state) -> Tensor:
    """A Tensor or a subclass of it, with attributes."""
    if not isinstance(function, Known) or function.make not in (_tensor, _parameter) or state:
        refuse("a Tensor has attributes of its own, or is of a class of its own")
    return function.make(spend, *args)


def _unsupported(what: str) -> Callable[..., Any]:
    return lambda spend, *args: refuse(f"it holds {what}")


# ---------------------------------------------------------------------------------------------- NumPy
class _Kind(Build):
    """A NumPy dtype, of which the pickle then says the byte order."""

    def __init__(self, kind: np.dtype) -> None:
        self.kind = kind

    def build(self, spend, state):
        order = state[1] if isinstance(state, tuple) and len(state) >= 2 else None
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise ValueError("a NumPy dtype has a state that plain ones have not")
        return self.kind.newbyteorder(order)


class _Array(Build):
    """A NumPy array, of which the pickle then says all."""

    def build(self, spend, state):
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a NumPy array has no state")
        return _filled(spend, state[4], state[2], state[1], "F" if state[3] else "C")


def _kind(spend, text, align=False, copy=True):
    found = np.dtype(text) if isinstance(text, str) and len(text) < 8 else None
    if found is None or found.kind not in "biuf":
        refuse(f"it holds NumPy data of dtype {text!r:.40}")
    return _Kind(found)


def _settled(kind: Any) -> np.dtype:
    found = kind.kind if isinstance(kind, _Kind) else kind
    if not isinstance(found, np.dtype):
        raise ValueError(f"a NumPy array is of dtype {type(kind).__name__}")
    return found


def _filled(spend, data, kind, shape, order) -> np.ndarray:
    """A NumPy array of bytes."""
    kind = _settled(kind)
    if not isinstance(data, bytes) or not isinstance(shape, tuple) or not all(map(_whole, shape)) or len(shape) > 64:
        refuse("it holds a NumPy array of objects, or of another make")
    if math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"a NumPy array of shape {shape} and dtype {kind} has {len(data)} bytes")
    spend(len(data))
    if kind.kind == "b" and data.count(0) + data.count(1) != len(data):
        raise ValueError("a NumPy array holds bools other than 0 and 1")
    return np.frombuffer(data, kind).astype(kind.newbyteorder("=")).reshape(shape, order="F" if order == "F" else "C")


def _scalar(spend, kind, data):
    return _filled(spend, data, kind, (), "C")[()]


# ----------------------------------------------------------------------------------------- plain values
def _copied(kind: type, allowed: tuple[type, ...]) -> Callable[..., Any]:
    """A maker of containers of plain elements, from one container or none."""

    def make(spend, given=None):
        if given is None:
            return kind()
        if type(given) not in allowed:
            raise ValueError(f"a {kind.__name__} is made of a {type(given).__name__}")
        spend(len(given))
        return kind([spend.key(x) for x in given] if kind in (set, frozenset) else given)

    return make


def _ordered(spend, items=None) -> OrderedDict:
    found: OrderedDict = OrderedDict()
    for pair in items if isinstance(items, list) else ():
        spend(1)
        key, value = pair
        found[spend.key(key)] = value
    return found


def _default(spend, factory=None) -> defaultdict:
    if factory is not None and not (isinstance(factory, Known) and factory.what in _FACTORIES):
        raise ValueError("a defaultdict has a factory that is not plain")
    return defaultdict(None if factory is None else _FACTORIES[factory.what])


def _encoded(spend, text, encoding) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("the pickle encodes something other than bytes")
    spend(len(text))
    return text.encode("latin1")


def _size(spend, given=()) -> Size:
    if not isinstance(given, (tuple, list)) or not all(map(_whole, given)):
        raise ValueError("a Size is not of numbers")
    spend(len(given))
    return Size(given)


def _device(spend, kind, index=None) -> device:
    if not isinstance(kind, str) or not (index is None or _whole(index)):
        raise ValueError("a device is not of a name and a number")
    return device(kind, index)


def _path(spend, *parts) -> Path:
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("a path is not of strings")
    spend(sum(map(len, parts)))
    return Path(*parts)


class _Namespace(Build):
    """A namespace, of which the pickle then says what is in it."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def build(self, spend, state):
        if not isinstance(state, dict) or not all(type(key) is str for key in state):
            raise ValueError(f"a {self.kind.__name__} has a state that is not a dict of names")
        spend(len(state))
        found = self.kind()
        found.__dict__.update(state)
        return found


def _text(spend, text="") -> str:
    if not isinstance(text, str):
        raise ValueError("a string is made of something else")
    return text


def _complex(spend, real=0.0, imaginary=0.0) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise ValueError("a complex number is not of two floats")
    return complex(real, imaginary)


_FACTORIES: dict[str, Any] = {f"builtins.{k.__name__}": k for k in (dict, list, set, int, float, str, bool)}
_STORAGES = dict(Double="f8", Float="f4", Half="f2", Long="i8", Int="i4", Short="i2", Char="i1", Byte="u1", Bool="b1")


def _table() -> dict[str, Any]:
    """Name -> `Known`, `Element`, or the value that it stands for."""
    calls: dict[str, Callable[..., Any]] = {
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor": lambda spend, storage, offset, size, stride: _tensor(
            spend, storage, offset, size, stride
        ),
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _of_type,
        "torch._utils._rebuild_tensor_v3": _foreign,
        "torch._utils._rebuild_sparse_tensor": _unsupported("sparse Tensors; save their to_dense()"),
        "torch.serialization._get_layout": _unsupported("a layout, such as sparse Tensors have; save their to_dense()"),
        "torch._utils._rebuild_qtensor": _unsupported("quantised Tensors; save their dequantize()"),
        "torch._utils._rebuild_nested_tensor": _unsupported("nested Tensors"),
        "torch._utils._rebuild_meta_tensor_no_storage": _unsupported("Tensors on the device 'meta', without values"),
        "torch._utils._rebuild_wrapper_subclass": _unsupported("Tensors of a class of their own"),
        "torch.Size": _size,
        "torch.device": _device,
        "torch.torch_version.TorchVersion": _text,
        "collections.OrderedDict": _ordered,
        "collections.defaultdict": _default,
        "collections.Counter": _copied(Counter, (dict,)),
        "_codecs.encode": _encoded,
        "argparse.Namespace": lambda spend: _Namespace(Namespace),
        "types.SimpleNamespace": lambda spend: _Namespace(SimpleNamespace),
        "numpy.dtype": _kind,
        "builtins.complex": _complex,
        "builtins.set": _copied(set, (list, set)),
        "builtins.frozenset": _copied(frozenset, (list, set)),
        "builtins.list": _copied(list, (list, tuple)),
        "builtins.tuple": _copied(tuple, (list, tuple)),
        "builtins.dict": _copied(dict, (dict,)),
        "builtins.bytes": _copied(bytes, (bytes,)),
        "builtins.bytearray": _copied(bytearray, (bytes,)),
        "builtins.str": _text,
        **{f"builtins.{name}": _unsupported(f"a {name}") for name in ("int", "float", "bool")},
        "builtins.slice": lambda spend, *args: slice(*map(_index, args)),
        "builtins.range": lambda spend, *args: range(*[_index(arg) or 0 for arg in args]),
    }
    for module in ("numpy._core", "numpy.core"):
        calls[f"{module}.multiarray.scalar"] = _scalar
        calls[f"{module}.multiarray._reconstruct"] = lambda spend, kind, shape, code: _Array()
        calls[f"{module}.numeric._frombuffer"] = _filled
    for module in ("pathlib", "pathlib._local"):
        calls |= dict.fromkeys([f"{module}.{a}{b}Path" for a in ("", "Pure") for b in ("Posix", "Windows")], _path)
    table: dict[str, Any] = {name: Known(name, make) for name, make in calls.items()}
    for name in [name for name in table if name.startswith("builtins.")]:
        table[name.replace("builtins", "__builtin__").replace(".range", ".xrange")] = table[name]
    for name in ("numpy.ndarray", "torch.Tensor", "torch.nn.parameter.Parameter"):  # as the arguments of others
        table[name] = Known(name, _unsupported(f"a call of {name}"))
    elements = {name: Element(f"{name}Storage", kind) for name, kind in _STORAGES.items()}
    elements["BFloat16"] = Element("BFloat16Storage", "u2", True)
    for module in ("torch", "torch.cuda"):
        table |= {f"{module}.{element.what}": element for element in elements.values()}
    for name in ("torch.storage.UntypedStorage", "torch.UntypedStorage", "torch.cuda.UntypedStorage"):
        table[name] = Element("UntypedStorage", "u1")
    kinds: tuple[dtype, ...] = (float16, float32, float64, uint8, int8, int16, int32, int64)
    table |= {f"torch.{kind.name}": kind for kind in kinds} | {"torch.bool": bool8}
    table |= {f"torch.{name}": kind for name, kind in UNHELD.items()}
    return table


def _index(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise ValueError("a slice or range is not of integers")
    return value


KNOWN = _table()
