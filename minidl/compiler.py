"""PyTorch's `compiler` and `compile`, for programs that call them: here code always runs as it stands."""

from __future__ import annotations

import functools

__all__ = ["allow_in_graph", "cudagraph_mark_step_begin", "disable", "is_compiling", "is_dynamo_compiling", "reset"]

_BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs", "onnxrt", "openxla", "tvm", "tensorrt")
_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


def compile(model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False):
    """The model or function itself, unchanged; also as a decorator, with or without arguments.

    In PyTorch compiling changes a program's speed, not its results; all arguments concern the way of compiling, and are
    checked as there.
    """
    if isinstance(backend, str) and backend not in _BACKENDS:
        raise RuntimeError(f"compile: backend must be a function or one of {', '.join(_BACKENDS)}, got {backend!r}")
    if mode is not None and options is not None:
        raise RuntimeError("compile: either mode or options can be given, not both")
    if mode is not None and mode not in _MODES:
        raise RuntimeError(f"compile: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph)
    if not callable(model):
        raise TypeError(f"compile: expected a Module or a function, got {type(model).__name__}")
    return model


def disable(fn=None, recursive=True, *, reason=None):
    """The function itself; also as a decorator with arguments."""
    return disable if fn is None else fn


def allow_in_graph(fn):
    """The function itself."""
    return fn


def is_compiling() -> bool:
    """False."""
    return False


is_dynamo_compiling = is_compiling


def reset() -> None:
    """Forget what was compiled: there is nothing."""


def cudagraph_mark_step_begin() -> None:
    """The next step begins: nothing was captured."""
