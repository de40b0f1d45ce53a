"""The source of classes and functions, with all that they use from their own module, as a program for PyTorch."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from typing import Any

_ROOT = __name__.partition(".")[0]
_MOVED = {
    "tensor": "torch",
    "functions": "torch",
    "creation": "torch",
    "linalg": "torch.linalg",
    "data": "torch.utils.data",
}
_OURS = ("optim.schedules", "train", "export")  # of these the source is copied: PyTorch has no such names


class SourceError(RuntimeError):
    """The source of a model cannot be written as a program of its own; the message says which name is in the way."""


def torch_path(module: str) -> str:
    """'minidl.nn.functional' as 'torch.nn.functional'; other modules as they are."""
    root, _, rest = module.partition(".")
    if root != _ROOT:
        return module
    first, _, more = rest.partition(".")
    if first in _MOVED:
        return _MOVED[first]
    return f"torch.{rest}" if rest else "torch"


class Source:
    """Collects definitions, those that are used before those that use them, and the imports that they need."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.definitions: list[str] = []
        self._seen: set[tuple[str, str]] = set()

    def add(self, thing: Any) -> str:
        """Enter a class or function with all that it uses; its name."""
        name = thing.__name__
        module: Any = sys.modules[thing.__module__]
        if (module.__name__, name) in self._seen:
            return name
        self._seen.add((module.__name__, name))
        top: Any = vars(module).get(name)
        if "<locals>" in thing.__qualname__ or top is not thing:
            raise SourceError(f"{thing.__qualname__}: is not defined at the top of a module, so it cannot be copied")
        try:
            text = textwrap.dedent(inspect.getsource(thing)).rstrip()
        except (OSError, TypeError):
            raise SourceError(f"{name}: its source is in no file, so it cannot be copied") from None
        self._uses(text, module, name)
        self.definitions.append(text)
        return name

    def _uses(self, text: str, module: Any, where: str) -> None:
        """Enter all global names that a piece of source uses."""
        tree = ast.parse(text)
        own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        own |= {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)}
        own |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        for name in dict.fromkeys(
            n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
        ):
            if name in vars(module):
                self._need(name, module)
            elif name not in own and not hasattr(builtins, name) and name != "__class__":
                raise SourceError(f"{where}: the name '{name}' is not known at the top of {module.__name__}")

    def _need(self, name: str, module: Any) -> None:
        """Enter a name of a module: its import, its definition, or the line that assigns it."""
        value, tree = vars(module)[name], self._tree(module)
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    if (alias.asname or alias.name.partition(".")[0]) == name:
                        self._import(node, alias, value, module)
                        return
        if inspect.isclass(value) or inspect.isfunction(value):
            self.add(value)
            return
        for node in tree.body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                    if (module.__name__, name) not in self._seen:
                        self._seen.add((module.__name__, name))
                        text = ast.get_source_segment(inspect.getsource(module), node) or ""
                        self._uses(text, module, name)
                        self.definitions.append(text)
                    return
        raise SourceError(f"{name}: cannot be found in the source of {module.__name__}")

    def _tree(self, module: Any) -> ast.Module:
        try:
            return ast.parse(inspect.getsource(module))
        except (OSError, TypeError):
            raise SourceError(f"{module.__name__}: its source is in no file, so it cannot be copied") from None

    def _import(self, node: Any, alias: ast.alias, value: Any, module: Any) -> None:
        """Enter an import, from PyTorch where it was from here."""
        if isinstance(node, ast.Import):
            path, under = torch_path(alias.name), alias.asname
            if alias.name.partition(".")[0] == _ROOT and under is None:
                under = _ROOT  # `import minidl`: the program goes on calling it that
                path = "torch"
            self.imports.add(f"import {path}" + (f" as {under}" if under and under != path else ""))
            return
        package = module.__name__.split(".")
        if not hasattr(module, "__path__"):
            package = package[:-1]
        base = package[: len(package) - node.level + 1] if node.level else []
        path = ".".join([*base, *([node.module] if node.module else [])])
        within = path.removeprefix(f"{_ROOT}.")
        if path.startswith(f"{_ROOT}.") and within.startswith(_OURS) and hasattr(value, "__name__"):
            self.add(value)
            return
        under = f" as {alias.asname}" if alias.asname else ""
        self.imports.add(f"from {torch_path(path)} import {alias.name}{under}")

    def text(self, *more: str) -> str:
        """Imports, then definitions; more: imports that the rest of the program needs."""
        plain, froms = set(), dict[str, set[str]]()
        for line in self.imports | set(more):
            module, _, names = line.removeprefix("from ").partition(" import ")
            if line.startswith("from "):
                froms.setdefault(module, set()).add(names)
            else:
                plain.add(line)
        lines = [*plain, *(f"from {module} import {', '.join(sorted(names))}" for module, names in froms.items())]
        parts = [[line for line in sorted(lines, key=_order) if _standard(line) is known] for known in (True, False)]
        imports = "\n\n".join("\n".join(part) for part in parts if part)
        return "\n\n\n".join([imports, *self.definitions]) + "\n"


def _standard(line: str) -> bool:
    """Whether a line imports from the standard library."""
    return line.split()[1].partition(".")[0] in sys.stdlib_module_names


def _order(line: str) -> tuple:
    """As they are usually sorted: `from __future__` first, `import` before `from`."""
    return line.split()[1] != "__future__", line.startswith("from"), line
