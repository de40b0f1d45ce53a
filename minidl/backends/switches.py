"""Switches of PyTorch. Those that concern what minidl does without keep what they are set to and change nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from ..backend import EXACT


class Switches(SimpleNamespace):
    """Switches as attributes. One that is not there cannot be set, so that a misspelt name is noticed.

    >>> kept = Switches(benchmark=False); kept.benchmark = True; kept.benchmark
    True
    """

    def __setattr__(self, name: str, value: Any) -> None:
        own = [key for key, value in vars(type(self)).items() if isinstance(value, property)]
        if name not in vars(self) and name not in own:
            raise AttributeError(f"there is no switch {name!r}; there are {', '.join([*own, *vars(self)])}")
        super().__setattr__(name, value)

    def pair(self, name: str, what: str) -> tuple[Callable[[bool], None], Callable[[], bool]]:
        """The functions that set a switch and ask for it."""
        first = getattr(self, name)

        def enable(enabled: bool) -> None:
            setattr(self, name, bool(enabled))

        def asked() -> bool:
            return getattr(self, name)

        enable.__doc__ = f"Keep whether {what}."
        asked.__doc__ = f"What the switch was set to, at first {first}."
        return enable, asked


def _allowed(self) -> bool:
    return EXACT["tf32"]


def _allow(self, value: bool) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"allow_tf32: expected True or False, got {value!r}")
    EXACT["tf32"] = value


ALLOW_TF32 = property(
    _allowed,
    _allow,
    doc="""Whether float32 products and convolutions on a GPU may round their factors to TF32 (10 bits after the point):
    several times faster. One switch under all its names, off until it is set.""",
)


@contextlib.contextmanager
def within(values: dict[str, Any], **new) -> Iterator[None]:
    """Within the block, the switches in a namespace (that of a module, or of `Switches`) have these values."""
    before = {name: values[name] for name in new}
    values.update(new)
    try:
        yield
    finally:
        values.update(before)
