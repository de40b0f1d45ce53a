"""A table that says how ops are written in some form, one entry for an op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """`write(builder, call, ...)` gives what is written for one call; `when(inputs, static)` says whether it can."""

    write: Callable[..., Any]
    when: Callable[[list, dict], bool]


class Table(dict[str, Entry]):
    """The entries by the names of the ops; an op without one is taken apart by its definition. form: for errors."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def entry(self, *names: str, when: Callable[[list, dict], bool] = lambda inputs, static: True) -> Callable:
        """Enter the decorated function under these names."""

        def enter(write: Callable) -> Callable:
            for name in names:
                self[name] = Entry(write, when)
            return write

        return enter

    def known(self, name: str, inputs: list, static: dict) -> bool:
        """Whether an op can be written as it is."""
        return name in self and self[name].when(inputs, static)
