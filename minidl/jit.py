"""PyTorch's `jit`, for programs that decorate with it: functions and modules stay what they are."""

from __future__ import annotations

from typing import Final

__all__ = """
    Final ScriptFunction ScriptModule annotate export freeze ignore is_scripting is_tracing optimize_for_inference script
    script_if_tracing
    trace trace_module unused
""".split()


class ScriptModule:
    """What PyTorch's `script` and `trace` make of a Module; here nothing is one."""


class ScriptFunction:
    """What they make of a function; here nothing is one."""


def script(obj, optimize=None, example_inputs=None):
    """The function or Module itself: Python runs it, with the same results."""
    return obj


def trace(func, example_inputs=None, **how):
    """The function or Module itself, with its branches on values alive, which PyTorch's trace would freeze."""
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
_types = (Final,)
