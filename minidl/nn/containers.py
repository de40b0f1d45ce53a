"""Modules that hold modules or parameters: Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from ..tensor import Parameter, Tensor
from .module import Module


class _Holder(Module):
    """Holds modules under names. A None may stand in the place of one, as in PyTorch."""

    def _own(self) -> dict[str, Any]:
        declared = self._declared
        return {
            name: m
            for name, m in self.__dict__.items()
            if isinstance(m, Module) or (m is None and declared.get(name) == "module")
        }


class _Ordered(_Holder):
    """Modules in an order, under the names they were given or their numbers."""

    def _set(self, modules: Iterable[tuple[str, Any]]) -> None:
        """Hold exactly these (name, module)."""
        modules = list(modules)
        for name, module in modules:
            self._check(module, name)
        for name in self._own():
            delattr(self, name)
        for name, module in modules:
            self.add_module(name, module)

    def _check(self, module: Any, name: str) -> None:
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: {name} must be a Module, got {type(module).__name__}")

    def _number(self, modules: Iterable[Any]) -> None:
        self._set((str(i), m) for i, m in enumerate(modules))

    def _name(self, index) -> str:
        names = list(self._own())
        i = operator.index(index)
        if not -len(names) <= i < len(names):
            raise IndexError(f"{type(self).__name__}: index {i} is out of range for {len(names)} modules")
        return names[i]

    def __len__(self) -> int:
        return len(self._own())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._own().values())

    def __setitem__(self, index, module: Module) -> None:
        name = self._name(index)
        self._check(module, name)
        setattr(self, name, module)

    def __delitem__(self, index) -> None:
        names = list(self._own())
        gone = names[index] if isinstance(index, slice) else [self._name(index)]
        self._number([m for name, m in self._own().items() if name not in gone])

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self._check(module, f"the module to append, number {len(self)},")
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if isinstance(modules, (Module, str)) and not isinstance(modules, _Ordered):
            raise TypeError(f"{type(self).__name__}.extend: expected modules in a row, got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def _part(self, index: slice) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no parts")

    def __getitem__(self, index) -> Any:
        return self._part(index) if isinstance(index, slice) else self.__dict__[self._name(index)]

    def pop(self, index=-1) -> Any:
        """Take a module (or several, by a slice) out and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Ordered):
    """The modules one after the other: `Sequential(a, b)` or, with names, `Sequential(OrderedDict(first=a, second=b))`.

    >>> from minidl.nn import Linear, ReLU
    >>> Sequential(Linear(2, 3), ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            self._set(args[0].items())
        else:
            self._number(args)

    def forward(self, input):
        """The input through all modules."""
        for module in self._own().values():
            input = module(input)
        return input

    def _part(self, index: slice) -> Any:
        return type(self)(dict(list(self._own().items())[index]))  # under their names

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential: can only add a Sequential, got {type(other).__name__}")
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential: can only add a Sequential, got {type(other).__name__}")
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        if not isinstance(other, int) or other < 1:
            raise ValueError(f"Sequential: can only be repeated a positive number of times, got {other!r}")
        return Sequential(*list(self) * other)

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Self:
        more = self * other  # checks the number
        self._number(more)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module in before number `index`; all are numbered anew."""
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise IndexError(f"Sequential.insert: index {index} is out of range for {len(modules)} modules")
        modules.insert(index, module)
        self._number(modules)
        return self


class ModuleList(_Ordered):
    """A list of modules that are found; it has a list's operations but computes nothing itself."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self._number(modules)

    def _part(self, index: slice) -> Any:
        return type(self)(list(self)[index])

    def __setitem__(self, index, module) -> None:
        if isinstance(index, slice):
            modules = list(self)
            modules[index] = list(module)
            self._number(modules)
        else:
            super().__setitem__(index, module)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def insert(self, index: int, module: Module) -> None:
        """Put a module in before number `index`."""
        modules = list(self)
        modules.insert(index, module)
        self._number(modules)

    def _child_lines(self) -> list[str]:
        """Equal neighbours on one line: `(0-2): 3 x Linear(...)`."""
        runs: list[list] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        return [
            (f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}").replace("\n", "\n  ")
            for a, b, text in runs
        ]


class ModuleDict(_Holder):
    """A dict of modules that are found, in the order of their insertion; it computes nothing itself.

    >>> from minidl.nn import Linear, ReLU
    >>> layers = ModuleDict({"hidden": Linear(2, 3), "bend": ReLU()})
    >>> list(layers), [name for name, _ in layers.named_parameters()]
    (['hidden', 'bend'], ['hidden.weight', 'hidden.bias'])
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._own()[key]

    def __setitem__(self, key: str, module: Module) -> None:
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"ModuleDict: {key!r} must be a Module, got {type(module).__name__}")
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._own())

    def __iter__(self) -> Iterator[str]:
        return iter(self._own())

    def __contains__(self, key: object) -> bool:
        return key in self._own()

    def clear(self) -> None:
        """Take all modules out."""
        for key in self:
            del self[key]

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def keys(self):
        """The names."""
        return self._own().keys()

    def items(self):
        """The pairs (name, module)."""
        return self._own().items()

    def values(self):
        """The modules."""
        return self._own().values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add the modules of a mapping or of pairs (name, module); those of the same name are replaced."""
        for key, module in _pairs(modules, "ModuleDict"):
            self[key] = module


def _pairs(given, where: str) -> list[tuple[str, Any]]:
    """The items of a mapping, or of pairs."""
    if isinstance(given, (Mapping, ModuleDict, ParameterDict)):
        return list(given.items())
    if isinstance(given, Tensor) or not isinstance(given, Iterable):
        raise TypeError(f"{where}.update: expected a mapping or pairs (name, value), got {type(given).__name__}")
    found = []
    for i, pair in enumerate(given):
        if not isinstance(pair, Iterable):
            raise TypeError(f"{where}.update: element {i} must be a pair (name, value), got {type(pair).__name__}")
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(f"{where}.update: element {i} has length {len(pair)}; 2 is required")
        found.append(pair)
    return found


class _Values(Module):
    """Parameters, and whatever else is put in, as attributes; plain Tensors become Parameters."""

    def _put(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        setattr(self, name, value)

    def _describe(self, items: Iterable[tuple[Any, Any]], kind: str) -> str:
        lines = []
        for key, value in items:
            if isinstance(value, Tensor):
                size = "x".join(str(n) for n in value.shape)
                where = f" ({value.device})" if value.device.type == "cuda" else ""
                what = "Parameter" if isinstance(value, Parameter) else "Tensor"
                named = value.dtype if kind == "dtype" else value.type()
                lines.append(f"  ({key}): {what} containing: [{named} of size {size}{where}]")
            else:
                lines.append(f"  ({key}): Object of type: {type(value).__name__}")
        return "\n".join(lines)

    def __call__(self, *args, **kwargs):
        raise RuntimeError(f"{type(self).__name__} should not be called.")


class ParameterList(_Values):
    """A list of parameters that are found; Tensors put into it become Parameters, other values stay what they are.

    >>> from minidl import zeros
    >>> weights = ParameterList([zeros(2), zeros(3)])
    >>> len(weights), [name for name, _ in weights.named_parameters()]
    (2, ['0', '1'])
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name(self, index) -> str:
        i = operator.index(index)
        if not -self._size <= i < self._size:
            raise IndexError(f"ParameterList: index {i} is out of range for {self._size} values")
        return str(i % self._size)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name(index))

    def __setitem__(self, index, value: Any) -> None:
        self._put(self._name(index), value)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(self._size)])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a value at the end."""
        self._put(str(self._size), value)
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add values at the end."""
        if isinstance(values, Tensor) or not isinstance(values, (Iterable, ParameterList)):
            raise TypeError(f"ParameterList.extend: expected values in a row, got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """The dtypes and sizes."""
        return self._describe(enumerate(self), "dtype")


class ParameterDict(_Values):
    """A dict of parameters that are found; Tensors put into it become Parameters, other values stay what they are.

    A plain dict is taken in the order of its sorted keys, as in PyTorch; an OrderedDict or pairs in their own.
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: keys must be strings, got {key!r}")
        if key not in self._keys and (not key or "." in key or hasattr(self, key)):
            raise KeyError(f"ParameterDict: {key!r} is empty, contains '.' or is the name of an attribute")
        self._put(key, value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        self[key]
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """Another ParameterDict with the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of `key`, which is `default` from now on if there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Take everything out."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Take a value out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last pair (key, value) out and return it."""
        if not self._keys:
            raise KeyError("ParameterDict.popitem: there is nothing in it")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default` if there is none."""
        return self[key] if key in self._keys else default

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new ParameterDict with these keys, each with the value `default`."""
        return ParameterDict([(key, default) for key in keys])

    def keys(self):
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """The pairs (key, value)."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def update(self, parameters: Any) -> None:
        """Add the values of a mapping or of pairs (key, value); those of the same key are replaced."""
        pairs = _pairs(parameters, "ParameterDict")
        plain = isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict)
        for key, value in sorted(pairs, key=operator.itemgetter(0)) if plain else pairs:
            self[key] = value

    def extra_repr(self) -> str:
        """The types and sizes."""
        return self._describe(self.items(), "type")

    def __or__(self, other: ParameterDict) -> ParameterDict:
        copy = self.copy()
        copy.update(other)
        return copy

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        copy = other.copy()
        copy.update(self)
        return copy

    def __ior__(self, other: ParameterDict) -> Self:
        self.update(other)
        return self
