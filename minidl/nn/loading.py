"""A module's state dict: making it, and loading one, for which first everything is checked, then everything written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..backend import BACKENDS, backend_of
from ..tensor import Parameter, Size, Tensor, wrap
from .parameter import is_lazy

_KINDS = {"f": "floating point", "i": "integer", "u": "integer", "b": "bool"}
EXTRA = "_extra_state"  # the key of what `get_extra_state` gives


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class _IncompatibleKeys(_Keys):
    """What `load_state_dict` did not find, and what it did not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


class _Write(NamedTuple):
    """One Tensor that is to be written when all has been checked."""

    owner: Any
    name: str
    target: Tensor
    array: Any
    value: Any
    assign: bool


class _Loading(threading.local):
    """What this thread is at: the writes that wait, the places that got nothing; the modules whose state is made."""

    writes: list[_Write] | None = None
    absent: dict[str, tuple[int, str]] = {}
    saving: tuple[int, ...] = ()


_now = _Loading()


def own_state(module) -> Iterator[tuple[str, Tensor]]:
    """(name, Tensor) of a module's own parameters and persistent buffers."""
    members = module._members()
    for name, value in members["parameter"]:
        if value is not None:
            yield name, value
    for name, value in members["buffer"]:
        if value is not None and name not in module._non_persistent_buffers_set:
            yield name, value


# ------------------------------------------------------------------------------------------------------------- making
def state_dict(module, destination, prefix: str, keep_vars: bool):
    """The state of a module and of all within, under PyTorch's keys; a module reachable twice has the keys of both."""
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    local = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = local
    for hook, *_ in module._state_dict_pre_hooks.values():
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    outer = _now.saving
    _now.saving = (*outer, id(module))  # ends a circle
    try:
        for name, child in module._members()["module"]:
            if child is not None and id(child) not in _now.saving:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    finally:
        _now.saving = outer
    for hook, public in module._state_dict_hooks.values():
        answer = hook(module, destination, prefix, local)
        if answer is not None and public:
            raise RuntimeError("state_dict post-hook: it must return None; change the dict that it is given")
        destination = destination if answer is None else answer
    return destination


def save_own(module, destination, prefix: str, keep_vars: bool) -> None:
    """Enter a module's own parameters, persistent buffers and extra state."""
    for name, value in own_state(module):
        destination[prefix + name] = value if keep_vars else value.detach()
    if hasattr(type(module), "get_extra_state"):
        destination[prefix + EXTRA] = module.get_extra_state()


# ------------------------------------------------------------------------------------------------------------ loading
def load(module, state: Mapping[str, Any], strict: bool, assign: bool) -> _IncompatibleKeys:
    """Write `state` into the module's Tensors, or raise one error that lists all that is wrong and change nothing.

    (Hooks that run after loading want to see the new values: with them, missing and unexpected keys are judged when all
    else has been written.)
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: expected a dict of Tensors or arrays, got {type(state).__name__}")
    metadata = getattr(state, "_metadata", None) or {}
    result = _IncompatibleKeys([], [])
    errors: list[str] = []
    after: list[tuple] = []
    outer, _now.writes, _now.absent = (_now.writes, _now.absent), [], {}

    def visit(owner, local: dict, prefix: str, above: tuple) -> None:
        about = dict(metadata.get(prefix[:-1], {}))
        if assign:
            about["assign_to_params_buffers"] = True
        owner._load_from_state_dict(local, prefix, about, True, *result, errors)
        for name, child in owner._members()["module"]:
            if child is not None and child not in above:
                inner = f"{prefix}{name}."
                visit(child, {k: v for k, v in local.items() if k.startswith(inner)}, inner, (*above, child))
        after.extend([(owner, hook) for hook, *_ in owner._load_state_dict_post_hooks.values()])

    try:
        visit(module, dict(state), "", (module,))
        writes = _now.writes
        given = {
            (id(write.owner), write.name) for write in writes
        }  # a module reachable twice: one of its keys is enough
        result.missing_keys[:] = [key for key in result.missing_keys if _now.absent.get(key) not in given]
    finally:
        _now.writes, _now.absent = outer
    if after and not errors:
        _write_all(writes)
        for owner, hook in after:
            if hook(owner, result) is not None:
                raise AssertionError(
                    "load_state_dict post-hook: it must return None; change the lists of keys it is given"
                )
    if strict:
        for what, keys in (("Unexpected", result.unexpected_keys), ("Missing", result.missing_keys)):
            if keys:
                errors.insert(0, f"{what} key(s) in state_dict: " + ", ".join(f'"{key}"' for key in keys))
    if errors:
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(errors))
    if not after:
        _write_all(writes)
    return result


def load_own(module, state: dict, prefix: str, about: dict, strict: bool, missing, unexpected, errors) -> None:
    """What `Module._load_from_state_dict` does: check what is there for the module's own Tensors, and plan its writing.

    Called from elsewhere than `load`, it writes at once.
    """
    for hook, with_module in module._load_state_dict_pre_hooks.values():
        arguments = (module,) if with_module else ()
        hook(*arguments, state, prefix, about, strict, missing, unexpected, errors)
    own, writes = dict(own_state(module)), []
    for name, target in own.items():
        key = prefix + name
        if key not in state:
            if strict:
                missing.append(key)
                _now.absent[key] = (id(module), name)
            continue
        value = state[key]
        if is_lazy(value):
            if not is_lazy(target):
                errors.append(
                    f"{key}: the checkpoint's is uninitialized, the current model's has {tuple(target.shape)}"
                )
            continue
        array: Any = value.array if isinstance(value, Tensor) else value
        array = np.asarray(array) if isinstance(array, np.generic) else array
        if not is_lazy(target) and target.array.ndim == 0 and getattr(array, "shape", None) == (1,):
            array = array.reshape(())  # as PyTorch wrote scalars long ago
        if wrong := _mismatch(key, array, target):
            errors.append(wrong)
        else:
            writes.append(_Write(module, name, target, array, value, bool(about.get("assign_to_params_buffers"))))
    extra = prefix + EXTRA
    if hasattr(type(module), "set_extra_state"):
        if extra in state:
            module.set_extra_state(state[extra])
        elif strict:
            missing.append(extra)
    elif strict and extra in state:
        unexpected.append(extra)
    if strict:
        children = {name for name, _ in module._members()["module"]}
        for key in state:
            if key.startswith(prefix) and key != extra:
                name = key[len(prefix) :]
                if name not in own and not any(name[:i] in children for i, c in enumerate(name) if c == "."):
                    unexpected.append(key)
    if _now.writes is None:
        _write_all(writes)
    else:
        _now.writes += writes


def _mismatch(key: str, array: Any, target: Any) -> str | None:
    """What keeps `array` from being loaded into `target`, if anything."""
    known = array.__class__ in BACKENDS
    if not known:
        return f"{key}: expected a Tensor or array, got {type(array).__name__}"
    if not is_lazy(target) and tuple(array.shape) != tuple(target.shape):
        return (
            f"size mismatch for {key}: copying a param with shape {Size(array.shape)} from checkpoint, "
            f"the shape in current model is {Size(target.shape)}."
        )
    model = target.dtype.dtype  # not the array's: a lazy one has none yet
    if _KINDS.get(array.dtype.kind) != _KINDS[model.kind]:
        return f"dtype mismatch for {key}: the checkpoint has {array.dtype}, the current model {model}"
    return None


def _write_all(writes: list[_Write]) -> None:
    for owner, name, target, array, value, assign in writes:
        if assign:
            if isinstance(target, Parameter) and not isinstance(value, Parameter):
                value = Parameter(array, requires_grad=target.requires_grad)
            elif not isinstance(value, Tensor):
                value = wrap(array)
            elif isinstance(target, Parameter):
                value.requires_grad_(target.requires_grad)
            (owner._buffers if owner._kind(name) == "buffer" else owner._parameters)[name] = value
            continue
        if is_lazy(target):
            target.materialize(array.shape)
        if type(array) is not type(target.array):
            array = backend_of(target.array).from_host(backend_of(array).to_host(array), target.device)
        target.write(array)
