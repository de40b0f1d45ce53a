"""What a thread is doing: recording or not, watching for anomalies, and the default dtype of new tensors."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable
from itertools import count, repeat

from .backend.dtypes import as_dtype, float32


class _Mode(threading.local):
    grad = True
    inference = False
    anomaly = False
    check_nan = True
    path: tuple[str, ...] = ()  # the modules being called, for anomaly mode
    dtype = float32  # of new floating-point tensors
    autocast: Callable | None = None  # what casts an op's inputs; `amp` sets it


mode = _now = _Mode()
tick = count(1).__next__  # numbers for nodes and in-place changes, in the order in which they happen
last_change = 0  # the number of the last in-place change of any tensor
_counting = threading.Lock()
watching = 0  # how many threads are in anomaly mode, hooks of all modules, views: one integer test while it is nought
attending = 0  # the same without views, which concern no calls of modules
views = False  # whether a tensor of which there was a view was ever changed in place as part of a graph


class set_grad_enabled(contextlib.ContextDecorator):
    """Record ops in this thread, or not: at once when called, until the end of the block when used with `with`."""

    def __init__(self, mode: bool) -> None:
        self._outer = [(_now.grad, _now.inference)]
        self._enabled = bool(mode)
        self._set()

    def _set(self) -> None:
        mode.grad = self._enabled and not mode.inference

    def __enter__(self) -> None:
        self._set()

    def __exit__(self, *exc) -> None:
        mode.grad, mode.inference = self._outer[-1]

    def __call__(self, function):
        mode.grad = self._outer[-1][0]  # used as a decorator: nothing changes until the function is called
        return _decorated(self, function)


class no_grad(contextlib.ContextDecorator):
    """Within the block (or the decorated function) nothing is recorded; per thread.

    >>> w = minidl.ones(2, requires_grad=True)
    >>> with no_grad():
    ...     w.requires_grad, is_grad_enabled()
    (True, False)
    """

    _grad: bool = False
    _inference: bool | None = None  # None: as it is outside

    def __new__(cls, function=None, **kwargs):
        return cls()(function) if callable(function) else super().__new__(cls)  # @no_grad without parentheses

    def __init__(self) -> None:
        self._outer: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._outer.append((mode.grad, mode.inference))
        self._set()

    def _set(self) -> None:
        if self._inference is not None:
            mode.inference = self._inference
        mode.grad = self._grad and not mode.inference

    def __exit__(self, *exc) -> None:
        mode.grad, mode.inference = self._outer.pop()

    def __call__(self, function):
        return _decorated(self, function)


class enable_grad(no_grad):
    """Within the block ops are recorded, also inside `no_grad`."""

    _grad = True


class inference_mode(no_grad):
    """`no_grad` whose new tensors can never enter a recorded op: they carry no version that backward could check."""

    _inference = True

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        if not mode:
            self._grad, self._inference = True, False


def _decorated(context, function):
    if inspect.isgeneratorfunction(function):  # the mode holds at each step, not in the caller between two of them
        return functools.wraps(function)(lambda *a, **k: map(_decorated(context, next), repeat(function(*a, **k))))

    @functools.wraps(function)
    def call(*args, **kwargs):
        outer = mode.grad, mode.inference  # not in the context: several threads may be in here at once
        context._set()
        try:
            return function(*args, **kwargs)
        finally:
            mode.grad, mode.inference = outer

    return call


def is_grad_enabled() -> bool:
    """Whether ops are recorded in this thread now."""
    return mode.grad


def is_inference_mode_enabled() -> bool:
    """Whether `inference_mode` is on in this thread."""
    return mode.inference


class set_detect_anomaly(contextlib.ContextDecorator):
    """Switch anomaly mode, see `detect_anomaly`: at once when called, until the end of a `with` block."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._outer = _watch(mode, check_nan)

    def __enter__(self) -> None:
        """It was switched when it was called."""

    def __exit__(self, *exc) -> None:
        _watch(*self._outer)


class detect_anomaly(contextlib.ContextDecorator):
    """Within the block every value and every gradient is checked to be finite and of the right shape and dtype.

    The error names the op, the module's path and the line of the program where the forward ran. Costs time: for finding
    a fault, not for training. A minus infinity that came in, as in a mask, may go on. check_nan=False: the lines alone.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._outer: list[tuple] = []
        self._check_nan = check_nan

    def __enter__(self) -> None:
        self._outer.append(_watch(True, self._check_nan))

    def __exit__(self, *exc) -> None:
        _watch(*self._outer.pop())


def watch(change: int, modules: bool = True) -> None:
    """Count those who watch ops and, but for views, the calls of modules."""
    global watching, attending
    with _counting:
        watching += change
        attending += change * modules


def _watch(anomaly: bool, check_nan: bool) -> tuple[bool, bool]:
    """Set this thread's anomaly mode; returns what it was."""
    outer = mode.anomaly, mode.check_nan
    watch(bool(anomaly) - mode.anomaly)
    mode.anomaly, mode.check_nan = bool(anomaly), bool(check_nan)
    return outer


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on in this thread."""
    return mode.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode, if it is on, looks at the values."""
    return mode.check_nan


def set_default_dtype(d) -> None:
    """The dtype of tensors made from Python floats in this thread: float32 unless changed to another floating type."""
    d = as_dtype(d)
    if not d.is_floating_point:
        raise TypeError(f"set_default_dtype: expected a floating-point dtype, got {d}")
    mode.dtype = d


def get_default_dtype():
    """The dtype of tensors made from Python floats in this thread."""
    return mode.dtype
