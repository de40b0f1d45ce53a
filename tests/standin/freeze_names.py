"""Write names.json: names, parameters and hidden syncs of the CuPy installed here, with or without a GPU.

In a throw-away environment: pip install cupy-cuda13x==14.2.0 && python tests/standin/freeze_names.py
"""

import inspect
import json
import re
import types
import warnings
from pathlib import Path

import cupy
import cupyx


def split_parameters(text: str) -> list[str]:
    """Parameter names out of a C function's documented signature: `"self, int axis=-1, *shape"`."""
    text = re.sub(r"\([^()]*\)", "", text)  # defaults that are tuples
    names = [part.split("=")[0].split(":")[0].split()[-1] for part in text.split(",") if part.strip()]
    return [n for n in names if n not in ("self", "/", "*")]


def documented(function) -> list[str] | None:
    """Parameter names from the first line of the documentation; None where it has none."""
    found = re.match(r"\s*[\w.]*?(\w+)\((.*)\)( ->.*)?$", (getattr(function, "__doc__", "") or "").split("\n")[0])
    return split_parameters(found[2]) if found and found[1] == getattr(function, "__name__", "") else None


def parameters(function) -> list[str] | None:
    """Names of a function's parameters, with `*` or `**` before those that take any number; None: unknown."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return documented(function)
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    names = [stars.get(p.kind, "") + p.name for p in found]
    if "**kwargs" in names:  # such as einsum, whose first line of documentation says what it takes
        names = documented(function) or names
    return [n for n in names if n != "self"]


def described(cls) -> list[str]:
    """Names of a class's arguments from the list in its documentation: its signature has `**kwargs` for some."""
    return re.findall(r"^ {4,12}(\w+) \(", cls.__doc__, re.MULTILINE)


def public(owner) -> list[str]:
    return [n for n in sorted(dir(owner)) if not n.startswith("_")]


def functions(module) -> dict[str, list[str] | None]:
    kinds = (types.FunctionType, types.BuiltinFunctionType, type(cupy.matmul))
    return {n: parameters(getattr(module, n)) for n in public(module) if isinstance(getattr(module, n), kinds)}


def methods(cls) -> dict[str, list[str] | None]:
    return {n: parameters(getattr(cls, n)) for n in public(cls)}


def main() -> None:
    warnings.simplefilter("ignore")
    ufuncs = {n: getattr(cupy, n) for n in public(cupy) if isinstance(getattr(cupy, n), cupy.ufunc)}
    called = functions(cupy)
    cuda = (cupy.cuda.Device, cupy.cuda.Stream, cupy.cuda.MemoryPool, cupy.cuda.PinnedMemoryPool)
    frozen = {
        "version": cupy.__version__,
        "functions": called,
        "ufuncs": sorted(ufuncs),
        "scatter": sorted(n for n, u in ufuncs.items() if u._scatter_op),  # those that have `.at`
        "names": [n for n in public(cupy) if n not in ufuncs and n not in called],  # types, constants, modules
        "syncs": [n for n in called if "synchronize" in (getattr(cupy, n).__doc__ or "")],
        "linalg": functions(cupy.linalg),
        "stride_tricks": functions(cupy.lib.stride_tricks),
        "random": public(cupy.random),
        "Generator": methods(cupy.random.Generator),
        "ndarray": methods(cupy.ndarray),
        "operators": [n for n in dir(cupy.ndarray) if n.startswith("__")],
        "cuda": public(cupy.cuda),
        "runtime": [n for n in public(cupy.cuda.runtime) if not n.startswith(("cuda", "CUDA_"))],
        "cupyx": public(cupyx),
        "classes": {cls.__name__: methods(cls) for cls in cuda},
        "kernels": {n: described(getattr(cupy, n)) for n in ("ElementwiseKernel", "ReductionKernel")},
    }
    path = Path(__file__).with_name("names.json")
    path.write_text(json.dumps(frozen, separators=(",", ":"), sort_keys=True) + "\n")
    print(path, {key: len(value) for key, value in frozen.items()})


if __name__ == "__main__":
    main()
