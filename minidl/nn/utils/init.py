"""Making a module whose values will be set in another way."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...backend.random import default_generator
from ..module import Module


def skip_init(module_cls: Callable[..., Module], *args, **kwargs) -> Module:
    """module_cls(*args, **kwargs), whose parameters are still to be set, as by loading a state dict.

    They hold some values (there is no device without memory here, so nothing is saved), but no random numbers are used
    up. RuntimeError if module_cls is no Module's class, or does not take a device.
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    generator: Any = default_generator()
    state = generator.get_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        generator.set_state(state)
