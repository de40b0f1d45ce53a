"""PyTorch's `jit`, for programs that decorate with it: functions and modules stay what they are."""

from __future__ import annotations

import typing
from typing import Any

__all__ = """
    Final ScriptFunction ScriptModule annotate export freeze ignore is_scripting is_tracing optimize_for_inference
    script script_if_tracing trace trace_module unused
""".split()


Final = typing.Final


class ScriptModule:
    """What PyTorch's `script` and `trace` make of a Module; here nothing is one."""


class ScriptFunction:
    """What they make of a function; here nothing is one."""


def script(obj, optimize=None, example_inputs=None):
    """The function or Module itself: Python runs it, with the same results."""
    if not callable(obj) and not isinstance(obj, (dict, list)):
        raise TypeError(f"script: expected a function, a class, a Module, a dict or a list, got {type(obj).__name__}")
    return obj


_OPTIONS = {
    "trace": "optimize check_trace check_inputs check_tolerance strict example_kwarg_inputs",
    "ignore": "drop_on_export",
}


def _known(where: str, how: dict[str, Any]) -> None:
    for name in how:
        if name not in _OPTIONS[where].split():
            raise TypeError(f"{where}: got an unexpected keyword argument {name!r}")


def trace(func, example_inputs=None, **how):
    """The function or Module itself, with its branches on values alive, which PyTorch's trace would freeze.

    The options of `how` concern how PyTorch traces and checks.
    """
    _known("trace", how)
    if not callable(func):
        raise TypeError(f"trace: expected a function or a Module, got {type(func).__name__}")
    return func


trace_module = trace


def freeze(mod, preserved_attrs=None, optimize_numerics=True):
    """The Module itself, which must be in eval mode."""
    if getattr(mod, "training", False):
        raise RuntimeError("freeze: expected a Module in eval mode; call .eval() first")
    return mod


def optimize_for_inference(mod, other_methods=None):
    """The Module itself."""
    return mod


def export(fn):
    """The method itself."""
    return fn


script_if_tracing = export


def ignore(drop=False, **how):
    """The function itself; also as a decorator with arguments."""
    _known("ignore", how)
    return drop if callable(drop) else export


def unused(fn):
    """The function itself."""
    return fn


def annotate(the_type, the_value):
    """The value itself."""
    return the_value


def is_scripting() -> bool:
    """False."""
    return False


is_tracing = is_scripting
