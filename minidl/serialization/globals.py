"""PyTorch's list of classes that a file may name. It is kept, and nothing is made of them: nothing in a file is run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .known import trusted


def add_safe_globals(safe_globals: Iterable[Any]) -> None:
    """Note classes or functions, or pairs of them and their full name, as safe.

    What minidl reads without running anything (OrderedDict, NumPy arrays ...) it reads anyway. Other classes it does
    not construct, also when they are noted here; the error then says so.

    >>> from collections import OrderedDict
    >>> add_safe_globals([OrderedDict]); get_safe_globals()
    [<class 'collections.OrderedDict'>]
    >>> clear_safe_globals()
    """
    new = list(safe_globals)
    for item in new:
        pair = isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], str)
        if not callable(item[0] if pair else item):
            raise TypeError(f"add_safe_globals: expected classes or functions, or pairs with their name, got {item!r}")
    trusted()[:] = dict.fromkeys([*trusted(), *new])


def get_safe_globals() -> list[Any]:
    """What was noted."""
    return list(trusted())


def clear_safe_globals() -> None:
    """Forget what was noted."""
    trusted().clear()


class safe_globals:
    """`add_safe_globals` for the time of a `with` block."""

    def __init__(self, safe_globals: Iterable[Any]) -> None:
        self._new = list(safe_globals)

    def __enter__(self) -> None:
        self._before = get_safe_globals()
        add_safe_globals(self._new)

    def __exit__(self, *exc) -> None:
        trusted()[:] = self._before
