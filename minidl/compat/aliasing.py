"""`import torch` gives minidl: programs and packages that were written for PyTorch run as they are.

An import of `torch.x.y` is answered with the module `minidl.x.y` itself, not with a copy, so that a class has one
identity under both names; `torchvision` is answered with `minidl.compat.torchvision`, `safetensors.torch` with minidl's
functions of these names. Only the module `torch` is one of its own, for the sake of `torch.__version__`, with which
programs choose what they may use.
"""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType

from ..backend.dtypes import called
from ..nn.mappings import Groups

_ROOT = __package__.partition(".")[0]
_ALIASES = {"torch": _ROOT, "torchvision": f"{__package__}.torchvision"}  # and all below them
_FILES = f"{_ROOT}.serialization.safetensors"  # the functions of safetensors.torch
_ALONE = {"safetensors": _FILES, "safetensors.torch": _FILES}
VERSION = "2.13.0"  # of PyTorch, whose names minidl has


class _Alias(Loader):
    """Gives an existing module out under another name, and leaves what the module says of itself as it was."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.target)
        _enter_loaded()
        if self.target == _ROOT:
            module, root = ModuleType(spec.name, module.__doc__), module
            vars(module).update({key: value for key, value in vars(root).items() if not key.startswith("__")})
            vars(module).update(__version__=f"{VERSION}+{_ROOT}.{root.__version__}", __file__=root.__file__)
            vars(module).update(__getattr__=lambda name: getattr(root, name), __dir__=lambda: dir(root))
            self.own: ModuleSpec | None = spec
        else:
            self.own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own


def _enter_loaded() -> None:
    """Give every module that is loaded its second name at once.

    An import would also set the module as an attribute of its parent, where a function of that name may stand:
    `torch.nn.utils.weight_norm` is both.
    """
    for name, module in list(sys.modules.items()):
        for alias, target in _ALIASES.items():
            if name.startswith(f"{target}."):
                sys.modules.setdefault(alias + name.removeprefix(target), module)


class _Installed(Distribution):
    """PyTorch as an installed package, for programs that ask for its version there."""

    def read_text(self, filename) -> str | None:
        return f"Metadata-Version: 2.1\nName: torch\nVersion: {VERSION}\n" if filename == "METADATA" else None

    def locate_file(self, path) -> Path:
        return Path(path)


class _Finder(MetaPathFinder):
    """Answers the imports of `torch` and `torchvision`, of everything below them, and of `safetensors.torch`."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        top, dot, rest = fullname.partition(".")
        if top not in _ALIASES and fullname not in _ALONE:
            return None
        name = _ALONE.get(fullname) or _ALIASES[top] + dot + rest
        try:
            found = name in sys.modules or importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise ModuleNotFoundError(f"No module named {fullname!r}: minidl has no {name!r}", name=fullname)
        return ModuleSpec(fullname, _Alias(name), is_package=True)

    @staticmethod
    def find_distributions(context) -> Iterator[Distribution]:
        """What `importlib.metadata.version("torch")` asks."""
        if context.name in (None, "torch"):
            yield _Installed()


def install() -> None:
    """From now on, in this process, `import torch` and `import torchvision` give minidl.

    To be called before anything imports PyTorch; a second call does nothing. Modules in plain lists and dicts are
    passed over from now on, as in PyTorch, since programs hide modules there that shall not be trained.

    Raises:
        RuntimeError: PyTorch itself has been imported already.

    ::

        minidl.compat.install()
        import torch  # torch.nn is minidl.nn, and torch.__version__ is 2.13.0+minidl.0.1.0
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name in _ALIASES:
        if name in sys.modules:
            raise RuntimeError(
                f"compat.install: {name} itself has been imported already, from "
                f"{getattr(sys.modules[name], '__file__', 'an unknown place')}; install minidl in its place before that"
            )
    sys.meta_path.insert(0, _Finder())
    called.name, Groups.walked = "torch", False
    _enter_loaded()


def uninstall() -> None:
    """Undo `install`: `import torch` looks for PyTorch again. What was imported before stays as it is."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    called.name, Groups.walked = _ROOT, True
    for name in list(sys.modules):
        if name.partition(".")[0] in _ALIASES or name in _ALONE:
            del sys.modules[name]


def run(program: str, arguments: Sequence[str] = ()) -> None:
    """Run the file `program` as `python program arguments` would, with minidl in PyTorch's place.

    Raises:
        OSError: there is no such file.
    """
    with open(program, "rb"):
        pass  # a missing file is told before anything is changed
    install()
    before, sys.argv = sys.argv, [program, *arguments]
    sys.path.insert(0, str(Path(program).resolve().parent))
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        sys.argv = before
        del sys.path[0]
