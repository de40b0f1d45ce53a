"""Holds the rules of docs/design.md on which a reader relies: layers, imports, budgets, the form of ops.

Each rule is a pure function `(path, source) -> problems`. It is run over every file, and once over a bad one
that it must refuse, so that no rule can fall silent.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Everything that lies in minidl/, lowest layer first.
LAYERS = (
    ("backend", "_blas"),
    ("modes", "tensor", "guards", "engine"),
    ("ops", "autograd", "cuda", "formatting", "creation", "functions", "methods", "linalg", "rows", "serialization")
    + ("foreach", "in_place", "special", "storage", "ufuncs", "views")
    + (
        "accelerator",
        "amp",
        "backends",
        "compiler",
        "cpu",
        "distributed",
        "jit",
        "mps",
        "random",
        "settings",
        "version",
    )
    + ("xpu",),
    ("nn", "optim", "data", "distributions"),
    ("train", "report", "testing", "func", "export", "captured"),
    ("cli", "compat", "hub", "onnx", "utils", "__init__", "__main__"),
)
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
# Within a layer a part imports only from itself, except here.
NEIGHBOURS = {
    "modes": set(),
    "tensor": {"modes"},
    "guards": {"modes", "tensor"},
    "engine": {"modes", "tensor", "guards"},
    "autograd": {"ops"},
    "functions": {"amp", "ops", "autograd", "formatting", "creation"},
    "methods": {"ops", "autograd", "formatting", "creation", "functions", "rows", "ufuncs", "views"},
    "rows": {"formatting"},
    "linalg": {"amp", "functions", "ops"},
    "special": {"functions"},
    "storage": {"creation", "functions", "methods"},
    "in_place": {"storage"},
    "foreach": {"functions", "methods"},
    "cuda": {"amp", "creation", "random"},
    "accelerator": {"cuda"},
    "settings": {"backends", "creation"},
    "xpu": {"mps"},
    "train": {"report"},
    "export": {"train"},
    "cli": {"compat"},
    "utils": {"hub"},
    "__init__": {"cli", "compat", "hub", "onnx", "utils"},
    "__main__": {"cli"},
}
# PyTorch's path for it is optim, but an averaged model is a module: this file alone sees its neighbour.
SEES = {"minidl/optim/swa_utils.py": {"nn"}}
# These know less than their layer would allow them: arrays and Tensors, no ops and no layers.
KNOWS = {"optim": LAYERS[0] + LAYERS[1], "data": LAYERS[0] + LAYERS[1]}

REQUIRED = {"numpy", "tqdm", "safetensors", "threadpoolctl"}  # may be imported at the top of a file
LAZY = {"matplotlib", "PIL", "cupy", "cupyx", "cudnn", "mpi4py", "numba", "onnx", "onnxruntime", "tensorboardX"}

FILE_BUDGET = 400
BUDGETS = {  # lines of code, together
    ("minidl/backend/__init__.py", "minidl/engine.py"): 500,
    ("minidl/backend/__init__.py", *(f"minidl/{part}.py" for part in LAYERS[1])): 900,
    ("minidl/ops/",): 1500,
}

# Python scalars, arrays and Tensors share these; all else that an array has is reached through `B`.
SHARED = {"shape", "ndim", "dtype", "size"}
ARRAY_ONLY = {name for name in dir(np.ndarray) if not name.startswith("_")} - SHARED


class Import(NamedTuple):
    """One imported module, its line, and whether the import stands inside a function."""

    module: str
    line: int
    inside: bool


def part_of(path: str) -> str:
    """'minidl/nn/conv.py' -> 'nn'; 'minidl/engine.py' -> 'engine'."""
    return path.split("/")[1].removesuffix(".py")


def is_package_file(path: str) -> bool:
    return path.startswith("minidl/")


def imports(path: str, source: str) -> Iterator[Import]:
    """Every import of a file; relative ones are made absolute: `from . import x` is minidl.x or minidl."""
    package = path.removesuffix(".py").split("/")[:-1]

    def visit(node: ast.AST, inside: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, inside)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*base, *([child.module] if child.module else [])])
                if module == "minidl":  # the names are parts of the package, or belong to its root
                    for alias in child.names:
                        yield Import(f"minidl.{alias.name}" if alias.name in LAYER else module, child.lineno, inside)
                else:
                    yield Import(module, child.lineno, inside)
            deeper = inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from visit(child, deeper)

    yield from visit(ast.parse(source, path), False)


def lines_of_code(source: str) -> int:
    """Lines that hold code: docstrings, comments and blank lines are not counted."""
    lines: set[int] = set()
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


# -------------------------------------------------------------------------------------------------- the rules
def layers(path: str, source: str) -> list[str]:
    """A file imports from lower layers and from its own part only."""
    if not is_package_file(path):
        return []
    part, problems = part_of(path), []
    for module, line, _ in imports(path, source):
        names = module.split(".")
        if names[0] != "minidl" or len(names) == 1 or names[1] == part:
            continue
        other = names[1]
        if part not in LAYER or other not in LAYER:
            problems.append(f"{path}:{line} imports {module}; one of the two has no layer")
        elif other in NEIGHBOURS.get(part, ()) or other in SEES.get(path, ()):
            continue
        elif LAYER[other] > LAYER[part]:
            problems.append(f"{path}:{line} (layer {LAYER[part]}) imports {module} from layer {LAYER[other]}")
        elif LAYER[other] == LAYER[part]:
            problems.append(f"{path}:{line} imports its neighbour {module}")
        elif part in KNOWS and other not in KNOWS[part]:
            problems.append(f"{path}:{line} imports {module}; {part} knows {', '.join(KNOWS[part])} only")
    return problems


def root_is_not_imported(path: str, source: str) -> list[str]:
    """Nothing inside the package imports the package root."""
    if not is_package_file(path):
        return []
    found = [i for i in imports(path, source) if i.module == "minidl"]
    return [f"{path}:{i.line} imports the package root" for i in found]


def imports_at_the_top(path: str, source: str) -> list[str]:
    """Imports stand at the top of a file; optional packages and matplotlib where they are first used."""
    if not is_package_file(path):
        return []
    problems, at_the_top = [], REQUIRED | sys.stdlib_module_names | {"minidl"}
    if path.startswith("minidl/backend/cuda/"):
        at_the_top |= LAZY
    for module, line, inside in imports(path, source):
        name = module.split(".")[0]
        if inside and name not in LAZY:
            problems.append(f"{path}:{line} imports {module} inside a function")
        elif not inside and name not in at_the_top:
            problems.append(f"{path}:{line} imports {module} at the top: optional, or no dependency")
    # the first loads backend.cuda when 'cuda' is first asked for; the next two what a program may not need at all; the
    # last two answer for modules whose names they are given
    by_name = {"backend/__init__.py", "data/__init__.py", "__init__.py", "compat/aliasing.py", "compat/names.py"}
    if path.removeprefix("minidl/") not in by_name:
        for node in ast.walk(ast.parse(source, path)):
            function = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if function in {"importlib.import_module", "import_module", "__import__"}:
                problems.append(f"{path}:{node.lineno} imports by {function}")
    return problems


def cupy_has_one_place(path: str, source: str) -> list[str]:
    """`import cupy` stands in minidl/backend/cuda/ and nowhere else."""
    if not is_package_file(path) or path.startswith("minidl/backend/cuda/"):
        return []
    found = [i for i in imports(path, source) if i.module.split(".")[0] in {"cupy", "cupyx"}]
    return [f"{path}:{i.line} imports {i.module}" for i in found]


def torch_is_an_oracle(path: str, source: str) -> list[str]:
    """Only what makes reference values, the benchmarks and the programs that run on either import torch."""
    if path.startswith(("tests/reference/make", "tests/benchmarks/", "tests/programs/")):
        return []
    found = [i for i in imports(path, source) if i.module.split(".")[0] in {"torch", "torchvision"}]
    return [f"{path}:{i.line} imports {i.module}" for i in found]


def ops_are_pure(path: str, source: str) -> list[str]:
    """In ops/ there are operators and `B.name(...)`: no array library, no methods of arrays."""
    if not path.startswith("minidl/ops/"):
        return []
    problems = []
    libraries = {"numpy", "cupy", "cupyx", "scipy"}
    modules = {"math"}
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules |= {alias.asname or alias.name for alias in node.names}
    for module, line, _ in imports(path, source):
        if module.split(".")[0] in libraries:
            problems.append(f"{path}:{line} imports {module}")
    for node in ast.walk(ast.parse(source, path)):
        if not isinstance(node, ast.Attribute):
            continue
        owner = ast.unparse(node.value)
        allowed = owner == "B" or owner.startswith("backend_of(") or owner.endswith(".dtype") or owner in modules
        if owner in {"np", "numpy", "cp", "cupy"}:
            problems.append(f"{path}:{node.lineno} uses {owner}.{node.attr}")
        elif node.attr in ARRAY_ONLY and not allowed:
            problems.append(f"{path}:{node.lineno} uses {owner}.{node.attr}; write B.{node.attr}(...)")
    return problems


def files_say_what_they_are_for(path: str, source: str) -> list[str]:
    """Every file opens with a docstring."""
    return [] if ast.get_docstring(ast.parse(source, path)) else [f"{path} does not open with a docstring"]


def files_are_named_by_nouns(path: str, source: str) -> list[str]:
    """No utils.py, misc.py, helpers.py; `utils/` is a package on PyTorch's own paths, and torchvision has one."""
    vague = Path(path).stem in {"utils", "util", "misc", "helpers", "helper", "common"}
    return [f"{path}: what is in it?"] if vague and "torchvision" not in path else []


def libraries_do_not_print(path: str, source: str) -> list[str]:
    """Below training and reports nothing prints."""
    if not is_package_file(path) or LAYER.get(part_of(path), 0) >= LAYER["train"]:
        return []
    return [
        f"{path}:{node.lineno} prints"
        for node in ast.walk(ast.parse(source, path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def files_are_short(path: str, source: str) -> list[str]:
    """A file of the package or of the examples has fewer than 400 lines of code."""
    if path.startswith("tests/"):
        return []
    count = lines_of_code(source)
    return [f"{path} has {count} lines of code, {FILE_BUDGET} is too many"] if count >= FILE_BUDGET else []


def parts_are_known(path: str, source: str) -> list[str]:
    """The top level of the package has nothing beyond the list."""
    known = not is_package_file(path) or part_of(path) in LAYER
    return [] if known else [f"{path}: minidl/{part_of(path)} is not one of {', '.join(LAYER)}"]


RULES = (
    layers,
    root_is_not_imported,
    imports_at_the_top,
    cupy_has_one_place,
    torch_is_an_oracle,
    ops_are_pure,
    files_say_what_they_are_for,
    files_are_named_by_nouns,
    libraries_do_not_print,
    files_are_short,
    parts_are_known,
)


def over_budget(files: dict[str, str]) -> list[str]:
    """Groups of files that together hold too many lines of code."""
    problems = []
    for group, budget in BUDGETS.items():
        count = sum(lines_of_code(source) for path, source in files.items() if path.startswith(group))
        if count >= budget:
            problems.append(f"{' + '.join(group)}: {count} lines of code, {budget} is too many")
    return problems


# -------------------------------------------------------------------------------------------------- the tests
def project_files() -> dict[str, str]:
    """Path from the project's root (with '/') -> source, of every Python file that belongs to the project."""
    files = [f for folder in ("minidl", "examples", "tests") for f in sorted((ROOT / folder).rglob("*.py"))]
    return {f.relative_to(ROOT).as_posix(): f.read_text(encoding="utf-8") for f in files}


FILES = project_files()


def test_there_are_files_to_judge():
    assert {"minidl/engine.py", "minidl/ops/elementwise.py", "tests/test_architecture.py"} <= FILES.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule):
    problems = [problem for path, source in FILES.items() for problem in rule(path, source)]
    assert not problems, "\n".join([rule.__doc__, *problems])


def test_budgets_hold():
    problems = over_budget(FILES)
    assert not problems, "\n".join(problems)


def test_the_top_level_holds_nothing_else():
    ignored = {"__pycache__"}
    names = {p.name for p in (ROOT / "minidl").iterdir()} - ignored
    unknown = {n for n in names if n.split(".")[0] not in LAYER and n != "py.typed"}
    assert not unknown


def test_the_explicit_loop_is_short():
    path = ROOT / "examples" / "mnist_mlp.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) < 80


# (rule, path, source, part of the problem it must report)
BAD = (
    (layers, "minidl/backend/host/conv.py", "from ...engine import op", "imports minidl.engine from layer 1"),
    (layers, "minidl/backend/host/conv.py", "from ... import engine", "imports minidl.engine from layer 1"),
    (layers, "minidl/nn/conv.py", "from ..optim.sgd import SGD", "imports its neighbour minidl.optim"),
    (layers, "minidl/optim/sgd.py", "from minidl.nn import Module", "imports its neighbour minidl.nn"),
    (layers, "minidl/optim/sgd.py", "from ..functions import zeros", "optim knows backend"),
    (layers, "minidl/data/loader.py", "from ..ops import shape", "data knows backend"),
    (layers, "minidl/tensor.py", "from .engine import op", "imports its neighbour minidl.engine"),
    (
        layers,
        "minidl/ops/conv.py",
        "def f():\n    from ..nn import functional",
        "imports minidl.nn from layer 3",
    ),
    (layers, "minidl/ops/conv.py", "from ..novelties import x", "has no layer"),
    (root_is_not_imported, "minidl/nn/conv.py", "import minidl", "package root"),
    (root_is_not_imported, "minidl/nn/conv.py", "from minidl import Tensor", "package root"),
    (root_is_not_imported, "minidl/nn/conv.py", "from .. import Tensor", "package root"),
    (imports_at_the_top, "minidl/nn/conv.py", "def f():\n    import math", "imports math inside a function"),
    (
        imports_at_the_top,
        "minidl/nn/conv.py",
        "class A:\n    def f(self):\n        from . import init",
        "inside",
    ),
    (imports_at_the_top, "minidl/report/plots.py", "import matplotlib.pyplot as plt", "at the top"),
    (imports_at_the_top, "minidl/train/fit.py", "import pandas", "or no dependency"),
    (
        imports_at_the_top,
        "minidl/nn/conv.py",
        "import importlib\nimportlib.import_module('math')",
        "imports by",
    ),
    (cupy_has_one_place, "minidl/backend/random.py", "import cupy", "imports cupy"),
    (cupy_has_one_place, "minidl/optim/adam.py", "def f():\n    from cupy import fuse", "imports cupy"),
    (torch_is_an_oracle, "tests/test_ops.py", "import torch", "imports torch"),
    (torch_is_an_oracle, "minidl/testing.py", "def f():\n    import torch.nn", "imports torch.nn"),
    (ops_are_pure, "minidl/ops/conv.py", "import numpy as np", "imports numpy"),
    (ops_are_pure, "minidl/ops/conv.py", "def f(x):\n    return np.exp(x)", "uses np.exp"),
    (ops_are_pure, "minidl/ops/conv.py", "def f(x):\n    return x.sum(axis=0)", "write B.sum(...)"),
    (ops_are_pure, "minidl/ops/conv.py", "def f(x):\n    return lambda g: (g * x).T", "write B.T(...)"),
    (files_say_what_they_are_for, "tests/test_ops.py", "x = 1", "does not open with a docstring"),
    (files_are_named_by_nouns, "minidl/data/utils.py", "", "what is in it?"),
    (files_are_named_by_nouns, "tests/helpers.py", "", "what is in it?"),
    (libraries_do_not_print, "minidl/nn/conv.py", "def f():\n    print('here')", "conv.py:2 prints"),
    (files_are_short, "minidl/nn/conv.py", "x = 1\n" * 400, "400 lines of code"),
    (parts_are_known, "minidl/novelties/new.py", "", "is not one of"),
)


@pytest.mark.parametrize(
    ("rule", "path", "source", "expected"), BAD, ids=lambda value: getattr(value, "__name__", None)
)
def test_rule_refuses_a_bad_file(rule, path, source, expected):
    problems = rule(path, source)
    assert len(problems) == 1 and expected in problems[0], problems


def test_every_rule_has_a_bad_file():
    assert {rule for rule, *_ in BAD} == set(RULES)


# (rule, path, source): what the rules must not refuse
GOOD = (
    (
        layers,
        "minidl/nn/conv.py",
        "from ..ops.conv import conv2d\nfrom .module import Module\nfrom . import init",
    ),
    (layers, "minidl/engine.py", "from . import modes\nfrom .backend import backend_of"),
    (layers, "minidl/__init__.py", "from .nn import Module\nfrom . import optim"),
    (layers, "minidl/optim/swa_utils.py", "from ..nn.module import Module"),
    (root_is_not_imported, "minidl/engine.py", "from . import modes"),
    (root_is_not_imported, "examples/mnist_mlp.py", "import minidl"),
    (imports_at_the_top, "minidl/report/plots.py", "def f():\n    from matplotlib.figure import Figure"),
    (imports_at_the_top, "minidl/backend/cuda/__init__.py", "import cupy"),
    (
        imports_at_the_top,
        "minidl/backend/__init__.py",
        "import importlib\nimportlib.import_module('.cuda', __name__)",
    ),
    (cupy_has_one_place, "minidl/backend/cuda/conv.py", "import cupy"),
    (torch_is_an_oracle, "tests/reference/make.py", "import torch"),
    (
        ops_are_pure,
        "minidl/ops/conv.py",
        "def f(x):\n    B = backend_of(x)\n    return B.sum(x) + backend_of(x).sum(x)",
    ),
    (ops_are_pure, "minidl/ops/conv.py", "def f(x):\n    return x[0] * math.prod(x.shape) + x.ndim"),
    (libraries_do_not_print, "minidl/cli.py", "print('hello')"),
)


@pytest.mark.parametrize(("rule", "path", "source"), GOOD, ids=lambda value: getattr(value, "__name__", None))
def test_rule_accepts_a_good_file(rule, path, source):
    assert rule(path, source) == []


def test_budgets_refuse_too_much_code():
    assert over_budget({"minidl/engine.py": "x = 1\n" * 300, "minidl/backend/__init__.py": "x = 1\n" * 200})
    assert over_budget({"minidl/ops/a.py": "x = 1\n" * 800, "minidl/ops/b.py": "x = 1\n" * 700})
    assert not over_budget({"minidl/engine.py": "x = 1\n" * 499, "minidl/backend/host/conv.py": "x = 1\n" * 300})


def test_docstrings_comments_and_blanks_are_not_code():
    source = '"""What it is."""\n\n# why\ndef f(x):\n    """One\n    two."""\n    return (\n'
    source += "        x  # so\n    )\n"
    assert lines_of_code(source) == 4
