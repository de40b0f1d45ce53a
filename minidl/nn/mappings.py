"""A module's parameters, buffers and children, found among its attributes, and the live dicts that show them."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from ..tensor import Handle, Parameter

PLAIN = frozenset((int, float, bool, str, tuple, type(None)))  # what most attributes are: passed over quickly


class Groups:
    """Whether modules and parameters in plain lists and dicts are found; PyTorch passes them over."""

    walked = True


def collect(name: str, value: Any, found: dict[str, list], module_class: type, outer: tuple = ()) -> None:
    """Enter a parameter or a module under its name, or those within a list or dict."""
    if isinstance(value, Parameter):
        found["parameter"].append((name, value))
    elif isinstance(value, module_class):
        found["module"].append((name, value))
    elif Groups.walked and isinstance(value, (list, dict)) and not any(value is group for group in outer):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if item.__class__ not in PLAIN:
                collect(f"{name}.{key}", item, found, module_class, (*outer, value))


def drop_known(module, found: dict[str, list], module_class: type) -> None:
    """Leave out what lies in a plain list or dict if an attribute leads to it too, which gives it its name."""
    if not any("." in name for kind in ("parameter", "module") for name, _ in found[kind]):
        return
    modules, parameters, stack = {module}, set(), [module]
    while stack:
        for value in stack.pop().__dict__.values():
            if isinstance(value, Parameter):
                parameters.add(value)
            elif isinstance(value, module_class) and value not in modules:
                modules.add(value)
                stack.append(value)
    for kind, known in (("parameter", parameters), ("module", modules)):
        found[kind] = [(name, value) for name, value in found[kind] if "." not in name or value not in known]


def _key(group, key: str):
    return int(key) if isinstance(group, list) else next(k for k in group if str(k) == key)


class _View(MutableMapping):
    """What `_parameters` and the like give: a dict by its behaviour, made anew each time it is asked."""

    def _found(self) -> dict:
        raise NotImplementedError

    def __iter__(self) -> Iterator:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def __getitem__(self, key):
        return self._found()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._found()

    def keys(self):
        """The names, as they are now."""
        return self._found().keys()

    def values(self):
        """The values, as they are now."""
        return self._found().values()

    def items(self):
        """The pairs, as they are now."""
        return self._found().items()

    def copy(self) -> dict:
        """A dict of its own."""
        return self._found()

    def __deepcopy__(self, memo):
        raise TypeError(f"{type(self).__name__}: this dict shows what its module holds; copy the module")

    def __repr__(self) -> str:
        return repr(self._found())


class Entries(_View):
    """A module's own parameters, buffers or children as a dict that reads and writes the module's attributes."""

    def __init__(self, module, kind: str) -> None:
        self._module, self._kind = module, kind

    def _found(self) -> dict:
        return dict(self._module._members()[self._kind])

    def _place(self, name):
        """The list or dict and the key of an entry such as 'layers.0'."""
        first, *path = name.split(".")
        group = self._module.__dict__[first]
        for key in path[:-1]:
            group = group[_key(group, key)]
        return group, _key(group, path[-1])

    def __setitem__(self, name, value) -> None:
        if "." in name:
            group, key = self._place(name)
            group[key] = value
        else:
            self._module._declare(name, self._kind if value is None or self._kind == "buffer" else None)
            self._module.__dict__[name] = value

    def __delitem__(self, name) -> None:
        self[name]
        if "." in name:
            group, key = self._place(name)
            del group[key]
        else:
            delattr(self._module, name)


class HookEntries(_View):
    """A module's hooks of one kind: number -> hook."""

    def __init__(self, module, kind: str) -> None:
        self._module, self._kind = module, kind

    def _hooks(self) -> dict:
        hooks = self._module._hooks
        return {} if hooks is None else getattr(hooks, self._kind)

    def _found(self) -> dict:
        return {key: hook for key, (hook, *_) in self._hooks().items()}

    def __setitem__(self, key, hook) -> None:
        handle = self._module._hook(self._kind, hook, False)
        self._hooks()[key] = self._hooks().pop(handle.id)

    def __delitem__(self, key) -> None:
        del self._hooks()[key]


class Shown:
    """The attribute of a module that gives such a dict; what is assigned to it replaces all that is in it."""

    def __init__(self, view: type, kind: str) -> None:
        self.view, self.kind = view, kind

    def __get__(self, module, owner=None) -> Any:
        return self if module is None else self.view(module, self.kind)

    def __set__(self, module, entries) -> None:
        view, entries = self.view(module, self.kind), dict(entries)
        view.clear()
        view.update(entries)


def register(module, name: str, hook, *options) -> Handle:
    """Enter a hook into the dict that a module has under this name from now on."""
    hooks = module.__dict__.setdefault(name, {})
    handle = Handle(hooks, hook)
    hooks[handle.id] = (hook, *options)
    return handle
