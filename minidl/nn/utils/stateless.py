"""Calling a module with other tensors in the place of its parameters and buffers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...tensor import Tensor
from ..module import Module

__all__ = ["functional_call"]


def _places(module: Module) -> dict[str, tuple[Module, str, str]]:
    """key -> (owner, name, kind) of all parameters and buffers, under all their keys."""
    found = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        members = owner._members()
        for kind in ("parameter", "buffer"):
            for name, value in members[kind]:
                if value is not None:
                    found[f"{path}.{name}" if path else name] = (owner, name, kind)
    return found


def _now(place: tuple[Module, str, str]) -> Any:
    owner, name, kind = place
    return owner.__dict__[name] if name in owner.__dict__ else getattr(owner, f"_{kind}s")[name]


def _put(place: tuple[Module, str, str], value: Any) -> None:
    """Set the attribute itself, past the rule that a Parameter's place takes Parameters only."""
    owner, name, kind = place
    if name in owner.__dict__:
        owner.__dict__[name] = value
    else:  # in a list or dict
        getattr(owner, f"_{kind}s")[name] = value


def _tied(places: dict, given: dict[str, Any]) -> dict[str, Any]:
    """`given`, with a value for every key of a tensor that the module has under several."""
    names: dict[int, list[str]] = {}
    for key, place in places.items():
        names.setdefault(id(_now(place)), []).append(key)
    result = dict(given)
    for keys in names.values():
        values = {id(given[key]): given[key] for key in keys if key in given}
        if len(values) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(keys)}, which are tied. Consider using "
                "tie_weights=False"
            )
        for value in values.values():
            result.update(dict.fromkeys(keys, value))
    return result


@contextlib.contextmanager
def _reparametrize_module(
    module: Module, parameters_and_buffers: dict[str, Any], tie_weights: bool = False, strict: bool = False
) -> Iterator[None]:
    """Within this block the module has these tensors; what it puts in their place goes back into the dict."""
    places = _places(module)
    given = _tied(places, parameters_and_buffers) if tie_weights else parameters_and_buffers
    if strict:
        unexpected, missing = [k for k in given if k not in places], [k for k in places if k not in given]
        errors = [
            f"{what} key(s): {', '.join(map(repr, keys))}."
            for what, keys in (("Unexpected", unexpected), ("Missing", missing))
            if keys
        ]
        if errors:
            raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(errors))
    before = {key: _now(places[key]) for key in given if key in places}
    try:
        for key in before:
            _put(places[key], given[key])
        yield
    finally:
        for key in before:
            if key in parameters_and_buffers:
                parameters_and_buffers[key] = _now(places[key])
        for key, value in before.items():
            _put(places[key], value)


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with these tensors, by the keys of its state dict, in the place of its own.

    Gradients flow to the tensors given. Several dicts may be given, with different keys. tie_weights: a tensor that the
    module has under several keys is replaced under all. strict: RuntimeError if a key is missing or not known.

    >>> from minidl import nn, ones
    >>> layer = nn.Linear(2, 1)
    >>> functional_call(layer, {"weight": ones(1, 2), "bias": ones(1)}, ones(3, 2)).tolist()
    [[3.0], [3.0], [3.0]]
    """
    if isinstance(parameter_and_buffer_dicts, Mapping):
        given: Any = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        given = {}
        for one in parameter_and_buffer_dicts:
            if not isinstance(one, Mapping):
                raise ValueError(f"functional_call: expected dicts of Tensors, got a {type(one).__name__} among them")
            if repeated := sorted(given.keys() & one.keys()):
                raise ValueError(f"functional_call: {', '.join(repeated)} appeared in multiple dictionaries")
            given.update(one)
    else:
        raise ValueError(
            f"functional_call: expected a dict of Tensors, or several, got {type(parameter_and_buffer_dicts).__name__}"
        )
    for key, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"functional_call: {key} must be a Tensor, got {type(value).__name__}")
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, given, tie_weights, strict):
        return module(*args, **(kwargs or {}))
