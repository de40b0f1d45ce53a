"""The functions that PyTorch keeps beside its layers, and that programs import from there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from .. import functional
from ..containers import ModuleList
from ..module import Module


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    """The function that makes n of one, and a tuple of several."""

    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else tuple(repeat(x, n))

    parse.__name__ = name
    return parse


_single, _pair = _ntuple(1, "_single"), _ntuple(2, "_pair")
_triple, _quadruple = _ntuple(3, "_triple"), _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(t: Sequence, n: int) -> tuple:
    """The last element n times, ..., the first n times: what `functional.pad` wants of a convolution's padding."""
    return tuple([x for x in reversed(t) for _ in range(n)])


def _list_with_default(out_size: Any, defaults: Sequence[int]) -> Any:
    """The sizes, with the last of the defaults in the place of None."""
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    return [d if n is None else n for n, d in zip(out_size, defaults[-len(out_size) :], strict=False)]


def _addindent(s_: str, numSpaces: int) -> str:  # noqa: N803 (PyTorch's names)
    """The text with all lines but the first moved to the right."""
    return s_.replace("\n", "\n" + numSpaces * " ")


def _get_clones(module: Module, N: int) -> ModuleList:  # noqa: N803 (PyTorch's name)
    """N copies of the module."""
    return ModuleList([copy.deepcopy(module) for _ in range(N)])


def _get_activation_fn(activation: str) -> Callable:
    """relu or gelu by its name."""
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return getattr(functional, activation)


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix such as 'module.' off the keys of a state dict, in place.

    >>> state = {"module.weight": 1, "bias": 2}
    >>> consume_prefix_in_state_dict_if_present(state, "module."); state
    {'bias': 2, 'weight': 1}
    """
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", {})
    for key in [key for key in metadata if key and (key == prefix.rstrip(".") or key.startswith(prefix))]:
        metadata[key[len(prefix) :]] = metadata.pop(key)
