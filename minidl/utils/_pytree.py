"""Nested lists, tuples and dicts taken apart and put together; third-party code imports it from PyTorch's path."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["TreeSpec", "tree_flatten", "tree_leaves", "tree_map", "tree_map_only", "tree_unflatten"]


class TreeSpec(NamedTuple):
    """What a nested container looks like without its leaves; `make` puts children together, None for a leaf."""

    make: Callable[[list], Any] | None
    children: tuple[TreeSpec, ...] = ()

    @property
    def num_leaves(self) -> int:
        """How many leaves it has."""
        return 1 if self.make is None else sum(child.num_leaves for child in self.children)


def _parts(tree: Any) -> tuple[list, Callable[[list], Any]] | None:
    """The children of a container and how it is made of such; None for a leaf."""
    kind = type(tree)
    if kind is list or kind is tuple:
        return list(tree), kind
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(tree), lambda children: kind(*children)
    if kind is deque:
        return list(tree), lambda children: deque(children, maxlen=tree.maxlen)
    if kind is dict or kind is OrderedDict:
        return list(tree.values()), lambda children: kind(zip(tree, children, strict=True))
    if kind is defaultdict:
        return list(tree.values()), lambda children: defaultdict(tree.default_factory, zip(tree, children, strict=True))
    return None


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list, TreeSpec]:
    """The leaves of nested lists, tuples, named tuples, dicts and deques in order, and what is left without them.

    >>> leaves, spec = tree_flatten({"a": [1, (2, 3)], "b": 4})
    >>> leaves, tree_unflatten([x * 10 for x in leaves], spec)
    ([1, 2, 3, 4], {'a': [10, (20, 30)], 'b': 40})
    """
    parts = None if is_leaf is not None and is_leaf(tree) else _parts(tree)
    if parts is None:
        return [tree], TreeSpec(None)
    leaves, specs = [], []
    for child in parts[0]:
        found, spec = tree_flatten(child, is_leaf)
        leaves += found
        specs.append(spec)
    return leaves, TreeSpec(parts[1], tuple(specs))


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The container that `tree_flatten` took apart, with other leaves.

    Raises:
        ValueError: there are not as many leaves as it had.
    """
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten: {len(leaves)} leaves for a tree of {treespec.num_leaves}")
    rest = iter(leaves)

    def build(spec: TreeSpec) -> Any:
        return next(rest) if spec.make is None else spec.make([build(child) for child in spec.children])

    return build(treespec)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list:
    """The leaves alone."""
    return tree_flatten(tree, is_leaf)[0]


def tree_map(func: Callable, tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The container with func(leaf) in the place of every leaf; with several containers of one form func(leaf, ...).

    >>> tree_map(lambda a, b: a + b, [1, {"x": 2}], [10, {"x": 20}])
    [11, {'x': 22}]
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_flatten(rest, is_leaf)[0] for rest in rests]
    return tree_unflatten([func(*group) for group in zip(leaves, *others, strict=True)], spec)


def tree_map_only(kind: type | tuple[type, ...], func: Callable, tree: Any) -> Any:
    """`tree_map` over the leaves of a kind; the others stay as they are."""
    return tree_map(lambda leaf: func(leaf) if isinstance(leaf, kind) else leaf, tree)
