"""What surrounds the Tensors of a file: dicts, lists and plain values as JSON, with the names of Tensors in it."""

from __future__ import annotations

import base64
import json
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from ..backend import BACKENDS, backend_of, device
from ..backend.dtypes import UNHELD, as_dtype, dtype
from ..tensor import Parameter, Size, Tensor
from .known import Budget, checked_notes

_PLAIN = (bool, int, float, str, type(None))
_FACTORIES: dict[str, Any] = {kind.__name__: kind for kind in (dict, list, set, int, float, str, bool)}
_KINDS: dict[str, tuple[type[Tensor], bool]] = {
    "tensor": (Tensor, False),
    "leaf": (Tensor, True),
    "parameter": (Parameter, True),
    "frozen": (Parameter, False),
}


class Encoder:
    """Makes JSON of a value; `arrays` then has the memory of its Tensors, each once, under the names in the JSON."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.names: set[str] = set()
        self.objects: dict[int, Any] = {}  # Tensors met already, by identity -> their JSON
        self.memories: dict[Any, str] = {}  # the memory of Tensors -> the name of its array
        self.kept: list[Any] = []  # so that no identity is given twice

    def encode(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """`value` as JSON: Tensors as {"$tensor": name}, other things that JSON has not as {"$kind": content}."""
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if value.__class__ in BACKENDS:
            return {"$array": self._array(value, path)}
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, (list, tuple)):
            if isinstance(value, Size):
                return {"$size": list(value)}
            items = [self.encode(item, (*path, str(i))) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, (set, frozenset)):  # in an order that is the same in every process
            items = sorted([self.encode(item, (*path, "an element")) for item in value], key=json.dumps)
            return {"$set" if isinstance(value, set) else "$frozenset": items}
        if isinstance(value, (bytes, bytearray)):
            kind = "$bytes" if isinstance(value, bytes) else "$bytearray"
            return {kind: base64.b64encode(value).decode()}
        if isinstance(value, complex):
            return {"$complex": [value.real, value.imag]}
        if isinstance(value, (range, slice)):
            ends = [self.encode(n, path) for n in (value.start, value.stop, value.step)]
            return {"$range" if isinstance(value, range) else "$slice": ends}
        if isinstance(value, dtype):
            return {"$dtype": value.name}
        if isinstance(value, device):
            return {"$device": str(value)}
        if isinstance(value, PurePath):
            return {"$path": str(value)}
        if type(value) in (Namespace, SimpleNamespace):
            kind = "$namespace" if type(value) is Namespace else "$simple"
            return {kind: self._mapping(vars(value), path)}
        raise TypeError(_refusal(value, path))

    def _mapping(self, value: Mapping, path: tuple[str, ...]) -> dict:
        content: Any
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            content = {str(key): self.encode(item, (*path, key)) for key, item in value.items()}
        else:
            keys = [self._key(key, path) for key in value]
            items = [self.encode(item, (*path, str(key))) for key, item in value.items()]
            content = {"$dict": [list(pair) for pair in zip(keys, items, strict=True)]}
        if isinstance(value, OrderedDict):
            notes = getattr(value, "_metadata", None)
            more = [] if notes is None else [self.encode(notes, (*path, "_metadata"))]
            return {"$ordered": [content, *more]}
        if isinstance(value, Counter):
            return {"$counter": content}
        if isinstance(value, defaultdict) and value.default_factory is not None:
            factory = getattr(value.default_factory, "__name__", "")
            if _FACTORIES.get(factory) is not value.default_factory:
                where = ".".join(path) or "the object"
                raise TypeError(
                    f"save: {where} is a defaultdict of {value.default_factory!r}; expected one of "
                    f"{', '.join(_FACTORIES)}, or save dict(...) of it"
                )
            return {"$default": [factory, content]}
        return content

    def _key(self, key: Any, path: tuple[str, ...]) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(part, (*_PLAIN, np.generic)) for part in parts):
            where = ".".join(path) or "the object"
            raise TypeError(f"save: {where} has the key {key!r}; expected numbers, strings and None, or tuples of them")
        return self.encode(key, (*path, f"the key {key!r}"))

    def _tensor(self, value: Tensor, path: tuple[str, ...]) -> Any:
        """The name of a Tensor; where it is not all there is to say, [own name, name of its memory, kind]."""
        if id(value) in self.objects:
            return self.objects[id(value)]
        array = value.array
        if array.__class__ not in BACKENDS:
            raise TypeError(f"save: {'.'.join(path) or 'the object'} is a row-sparse Tensor; save its to_dense()")
        memory = same_memory(array)
        name = self.memories.get(memory)
        own = self._free(path) if name else self._array(array, path)
        self.memories.setdefault(memory, own)
        kinds = ("frozen", "parameter") if isinstance(value, Parameter) else ("tensor", "leaf")
        kind = kinds[value.requires_grad]
        found = {"$tensor": own if kind == "tensor" and name is None else [own, name or own, kind]}
        self.objects[id(value)] = found
        self.kept.append((value, array))
        return found

    def _free(self, path: tuple[str, ...]) -> str:
        name = ".".join(path) or "tensor"
        while name in self.names or name == "__metadata__":
            name += "'"
        self.names.add(name)
        return name

    def _array(self, value: Any, path: tuple[str, ...]) -> str:
        host = backend_of(value).to_host(value)
        try:
            as_dtype(host.dtype.newbyteorder("="))
        except TypeError as error:
            raise TypeError(
                f"save: {'.'.join(path) or 'the object'} is an array that cannot be kept: {error}"
            ) from None
        name = self._free(path)
        self.arrays[name] = host
        return name


def _refusal(value: Any, path: tuple[str, ...]) -> str:
    """What to say of a value that is not saved."""
    where, kind = ".".join(path) or "the object", type(value).__name__
    if isinstance(value, (FunctionType, type)):
        return f"save: {where} is the function or class {value.__name__}, and code is not saved; save its name"
    if callable(getattr(value, "state_dict", None)):
        return (
            f"save: {where} is a {kind}, and objects are not saved, for loading them would run code; "
            f"save its .state_dict(), make a {kind} anew when loading, and give it to its load_state_dict()"
        )
    if hasattr(type(value), "__dataclass_fields__"):
        return f"save: {where} is a {kind}, a dataclass; save dataclasses.asdict(...) of it"
    return (
        f"save: {where} is a {kind}; expected Tensors, arrays, numbers, strings and None, in dicts, lists, tuples, "
        "sets and namespaces"
    )


def same_memory(array: Any) -> Any:
    """What two arrays have in common that are all the same memory, seen in the same way."""
    if isinstance(array, np.ndarray) and array.size:
        return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype
    return id(array)


class Decoder:
    """Makes a value of JSON; `tensors` has a Tensor for each name."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors, self.objects = tensors, dict[str, Tensor]()
        self.distinct = Budget(0).distinct

    def decode(self, value: Any) -> Any:
        """The value that `Encoder.encode` was given."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (kind, content), *_ = value.items()
            if kind in _OWN:
                return getattr(self, "_" + kind[1:])(content)
        return {key: self.decode(item) for key, item in value.items()}

    def _tensor(self, content: Any) -> Tensor:
        own, name, kind = content if isinstance(content, list) else (content, content, "tensor")
        if own not in self.objects:
            given, (cls, tracked) = self.tensors[name], _KINDS[kind]
            t: Tensor = given if own == name and cls is Tensor else object.__new__(cls)
            t.array, t.version = given.array, given.version
            t.requires_grad = tracked
            self.objects[own] = t
        return self.objects[own]

    def _array(self, content: str) -> np.ndarray:
        array = self.tensors[content].array
        return backend_of(array).to_host(array)

    def _tuple(self, content: list) -> tuple:
        return tuple(self.decode(content))

    def _dict(self, content: list) -> dict:
        return {self.distinct(self.decode(key)): self.decode(item) for key, item in content}

    def _ordered(self, content: list) -> OrderedDict:
        items, *notes = content
        found = OrderedDict(self.decode(items))
        if notes:
            found._metadata = checked_notes(self.decode(notes[0]))  # type: ignore[attr-defined]
        return found

    def _counter(self, content: Any) -> Counter:
        return Counter(self.decode(content))

    def _default(self, content: list) -> defaultdict:
        return defaultdict(_FACTORIES[content[0]], self.decode(content[1]))

    def _size(self, content: list) -> Size:
        return Size([int(n) for n in content])

    def _set(self, content: list) -> set:
        return {self.distinct(item) for item in self.decode(content)}

    def _frozenset(self, content: list) -> frozenset:
        return frozenset(self._set(content))

    def _bytes(self, content: str) -> bytes:
        return base64.b64decode(content, validate=True)

    def _bytearray(self, content: str) -> bytearray:
        return bytearray(self._bytes(content))

    def _complex(self, content: list) -> complex:
        real, imaginary = map(float, content)
        return complex(real, imaginary)

    def _range(self, content: list) -> range:
        start, stop, step = map(self.decode, content)
        return range(start, stop, step)

    def _slice(self, content: list) -> slice:
        start, stop, step = map(self.decode, content)
        return slice(start, stop, step)

    def _dtype(self, content: str) -> dtype:
        return UNHELD[content] if content in UNHELD else as_dtype(content)

    def _device(self, content: str) -> device:
        return device(content)

    def _path(self, content: str) -> Path:
        return Path(content)

    def _namespace(self, content: Any) -> Namespace:
        found = Namespace()
        found.__dict__.update(self.decode(content))
        return found

    def _simple(self, content: Any) -> SimpleNamespace:
        found = SimpleNamespace()
        found.__dict__.update(self.decode(content))
        return found


_OWN = frozenset({f"${name[1:]}" for name in vars(Decoder) if name[0] == "_" != name[1]})
