"""Nested tuples, lists and dicts, in which functions take and give Tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def leaves(tree) -> list:
    """What lies in nested tuples, lists and dicts, in order.

    >>> leaves(({"a": 1, "b": [2, 3]}, 4))
    [1, 2, 3, 4]
    """
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, (tuple, list)):
        return [leaf for value in tree for leaf in leaves(value)]
    return [tree]


def like(tree, new: Iterator) -> Any:
    """A tree of the same form that holds what comes from `new`."""
    if isinstance(tree, dict):
        items = {key: like(value, new) for key, value in tree.items()}
        return items if type(tree) is dict else type(tree)(items)
    if isinstance(tree, (tuple, list)):
        values = [like(value, new) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return next(new)
