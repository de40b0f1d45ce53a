"""Loading a state dict into a module: first everything is checked, then everything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..backend import BACKENDS, backend_of
from ..tensor import Parameter, Tensor, wrap

_KINDS = {"f": "floating point", "i": "integer", "u": "integer", "b": "bool"}


def own_state(module) -> Iterator[tuple[str, Tensor]]:
    """(name, Tensor) of a module's own parameters and persistent buffers."""
    members = module._members()
    for name, value in members["parameter"]:
        if value is not None:
            yield name, value
    for name, value in members["buffer"]:
        if value is not None and name not in module._non_persistent_buffers_set:
            yield name, value


def _places(module) -> tuple[dict[str, tuple], dict[str, str]]:
    """key -> (module, name, Tensor) of the whole state; and other keys of a module reachable twice -> its key."""
    places: dict[str, tuple] = {}
    other: dict[str, str] = {}
    first: dict[Any, str] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        known = first.setdefault(owner, path)
        for name, value in own_state(owner):
            key = f"{path}.{name}" if path else name
            if known == path:
                places[key] = (owner, name, value)
            else:
                other[key] = f"{known}.{name}" if known else name
    return places, other


def load(module, state: Mapping[str, Any], strict: bool, assign: bool) -> tuple[list[str], list[str]]:
    """Write `state` into the module's Tensors, or raise one error that lists all that is wrong and change nothing."""
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: expected a dict of Tensors or arrays, got {type(state).__name__}")
    places, other = _places(module)
    given = {key: value for key, value in state.items() if key in places}
    unexpected = []
    for key, value in state.items():
        if key in other:
            given.setdefault(other[key], value)
        elif key not in places:
            unexpected.append(key)
    missing = [key for key in places if key not in given]
    errors = []
    if strict and missing:
        errors.append("Missing key(s) in state_dict: " + ", ".join(f'"{key}"' for key in missing))
    if strict and unexpected:
        errors.append("Unexpected key(s) in state_dict: " + ", ".join(f'"{key}"' for key in unexpected))
    arrays = {}
    for key in places:
        if key in given:
            value = given[key]
            array: Any = value.array if isinstance(value, Tensor) else value
            array = np.asarray(array) if isinstance(array, np.generic) else array
            if wrong := _mismatch(key, array, places[key][2].array):
                errors.append(wrong)
            arrays[key] = array
    if errors:
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(errors))
    for key, array in arrays.items():
        owner, name, target = places[key]
        _write(owner, name, target, array, given[key], assign)
    return missing, unexpected


def _mismatch(key: str, array: Any, target: Any) -> str | None:
    """What keeps `array` from being loaded into `target`, if anything."""
    known = array.__class__ in BACKENDS
    if not known:
        return f"{key}: expected a Tensor or array, got {type(array).__name__}"
    if tuple(array.shape) != tuple(target.shape):
        return (
            f"size mismatch for {key}: copying a param with shape {tuple(array.shape)} from checkpoint, "
            f"the shape in current model is {tuple(target.shape)}"
        )
    if _KINDS.get(array.dtype.kind) != _KINDS[target.dtype.kind]:
        return f"dtype mismatch for {key}: the checkpoint has {array.dtype}, the current model {target.dtype}"
    return None


def _write(owner, name, target: Tensor, array, value, assign: bool) -> None:
    if assign:
        if isinstance(target, Parameter) and not isinstance(value, Parameter):
            value = Parameter(array, requires_grad=target.requires_grad)
        elif not isinstance(value, Tensor):
            value = wrap(array)
        elif isinstance(target, Parameter):
            value.requires_grad_(target.requires_grad)
        (owner._buffers if owner._kind(name) == "buffer" else owner._parameters)[name] = value
        return
    if type(array) is not type(target.array):
        array = backend_of(target.array).from_host(backend_of(array).to_host(array), target.device)
    target.write(array)
