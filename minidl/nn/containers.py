"""Modules that hold modules: Sequential and ModuleList."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, Self

from .module import Module


class _Ordered(Module):
    """Modules in an order, under the names they were given or their numbers."""

    def _own(self) -> dict[str, Module]:
        return {name: m for name, m in self.__dict__.items() if isinstance(m, Module)}

    def _set(self, modules: Iterable[tuple[str, Any]]) -> None:
        """Hold exactly these (name, module)."""
        modules = list(modules)
        for name, module in modules:
            if not isinstance(module, Module):
                raise TypeError(f"{type(self).__name__}: {name} must be a Module, got {type(module).__name__}")
        for name in self._own():
            del self.__dict__[name]
        for name, module in modules:
            self.add_module(name, module)

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
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        setattr(self, self._name(index), module)

    def __delitem__(self, index) -> None:
        names = list(self._own())
        gone = names[index] if isinstance(index, slice) else [self._name(index)]
        self._number([m for name, m in self._own().items() if name not in gone])

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}.append: expected a Module, got {type(module).__name__}")
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if isinstance(modules, (Module, str)) and not isinstance(modules, _Ordered):
            raise TypeError(f"{type(self).__name__}.extend: expected modules in a row, got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index=-1) -> Module:
        """Take a module out and return it."""
        module = self.__dict__[self._name(index)]
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
        for module in list(self.__dict__.values()):
            if isinstance(module, Module):
                input = module(input)
        return input

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(dict(list(self._own().items())[index]))
        return self.__dict__[self._name(index)]

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

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self.__dict__[self._name(index)]

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
