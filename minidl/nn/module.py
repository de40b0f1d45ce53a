"""Module: the base class of all layers and models, whose parameters, buffers and children are its plain attributes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self, TypeVar

from .. import functions as F
from .. import modes
from ..backend import device
from ..backend.dtypes import as_dtype, double, float16, float32
from ..modes import no_grad
from ..tensor import Handle, Parameter, Tensor
from . import loading
from .hooks import Hooks, call
from .mappings import PLAIN, Entries, HookEntries, Shown, collect, drop_known, register
from .parameter import Buffer, is_lazy

T_destination = TypeVar("T_destination", bound=dict[str, Any])

_STATE_HOOKS = (
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_PRIVATE = frozenset(("_hooks", "_declared", "_non_persistent_buffers_set", *_STATE_HOOKS))  # never searched
_NONE: Mapping[int, tuple] = MappingProxyType({})


class Module:
    """The base class of all layers and models: subclass it, make layers in `__init__`, use them in `forward`.

    A Parameter or Module assigned to an attribute is found when asked for, also inside lists and dicts (with keys such
    as `layers.0.weight`), but not inside tuples or sets. Buffers are the Tensors given to `register_buffer`.

    >>> class Net(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = Parameter([2.0])
    ...     def forward(self, x):
    ...         return self.scale * x
    >>> net = Net()
    >>> net(3.0), [name for name, _ in net.named_parameters()]
    (tensor([6.], grad_fn=<multiply>), ['scale'])
    """

    training: bool = True
    dump_patches = False
    call_super_init = False
    T_destination = T_destination
    _version: int = (
        1  # of the form of this class's state; `_load_from_state_dict` finds that of a state in its metadata
    )
    _hooks: Hooks | None = None
    _declared: Mapping[str, str] = {}  # name -> kind of buffers, and of parameters and children that are None
    _non_persistent_buffers_set: frozenset[str] = frozenset()
    _state_dict_pre_hooks = _state_dict_hooks = _load_state_dict_pre_hooks = _load_state_dict_post_hooks = _NONE

    # PyTorch's dicts, which some programs read and change: live views of the attributes and of the hooks
    _parameters = Shown(Entries, "parameter")
    _buffers = Shown(Entries, "buffer")
    _modules = Shown(Entries, "module")
    _forward_hooks = Shown(HookEntries, "forward")
    _forward_pre_hooks = Shown(HookEntries, "forward_pre")
    _backward_hooks = Shown(HookEntries, "backward")
    _backward_pre_hooks = Shown(HookEntries, "backward_pre")

    def __init__(self, *args, **kwargs) -> None:
        if (args or kwargs) and not self.call_super_init:
            raise TypeError(f"{type(self).__name__}: Module.__init__ takes no arguments, got {(*args, *kwargs)!r}")
        self.training = True  # nothing else: layers may have been assigned before
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args, **kwargs):
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"Module [{type(self).__name__}] is missing the required 'forward' function")

    def __call__(self, *args, **kwargs):
        if self._hooks is None and not modes.attending:
            return self.forward(*args, **kwargs)
        return call(self, args, kwargs)

    _call_impl = _wrapped_call_impl = __call__

    # ------------------------------------------------------------------------------------------------- attributes
    def _kind(self, name: str) -> str | None:
        """'parameter', 'buffer' or 'module' if the attribute is one (or was declared as one that is None)."""
        kind = self._declared.get(name)
        if kind is None:
            value = self.__dict__.get(name)
            kind = "parameter" if isinstance(value, Parameter) else "module" if isinstance(value, Module) else None
        return kind

    def _declare(self, name: str, kind: str | None) -> None:
        declared = self.__dict__.setdefault("_declared", {})
        if kind is None:
            declared.pop(name, None)
            if name in self._non_persistent_buffers_set:
                self.__dict__["_non_persistent_buffers_set"] = self._non_persistent_buffers_set - {name}
        else:
            declared[name] = kind

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._declared or isinstance(self.__dict__.get(name), (Parameter, Module)):
            kind = self._kind(name) or ""
            if isinstance(value, Parameter) or (isinstance(value, Module) and kind != "parameter"):
                if name in self._declared:
                    self._declare(name, None)
            elif value is None:
                self._declare(name, kind)
            elif kind != "buffer" or not isinstance(value, Tensor):
                wanted = {"parameter": "Parameter", "module": "Module", "buffer": "Tensor"}[kind]
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as {kind} '{name}' ({wanted} or None expected)"
                    + ("; change it in place under no_grad, or del it first" if kind == "parameter" else "")
                )
        elif isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)
            return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        if name in self._declared:
            self._declare(name, None)

    def __getattr__(self, name: str) -> Any:  # reached only when the attribute does not exist
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __dir__(self):
        return sorted(name for name in super().__dir__() if not name[0].isdigit())

    def __setstate__(self, state) -> None:
        self.__dict__.update(state)

    def _members(self) -> dict[str, list[tuple[str, Any]]]:
        """(name, value) of all that is this module's own, by kind, through lists and dicts; None if only declared."""
        found: dict[str, list] = {"parameter": [], "buffer": [], "module": []}
        declared, groups = self._declared, False
        for name, value in self.__dict__.items():
            if name in declared:
                found[declared[name]].append((name, value))
            elif value.__class__ not in PLAIN and name not in _PRIVATE:
                collect(name, value, found, Module)
                groups = groups or isinstance(value, (list, dict))
        if groups:
            drop_known(self, found, Module)
        return found

    def _register(self, kind: str, name: str, value: Any, expected: type) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string, got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f'{kind} name can\'t be empty or contain ".", got {name!r}')
        if hasattr(self, name) and self._kind(name) != kind:
            raise KeyError(f"attribute '{name}' already exists")
        if value is not None and not isinstance(value, expected):
            raise TypeError(f"{kind} '{name}': expected a {expected.__name__} or None, got {type(value).__name__}")
        self._declare(name, kind if value is None or kind == "buffer" else None)
        object.__setattr__(self, name, value)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make a Tensor part of the state that is not trained; persistent=False keeps it out of `state_dict`."""
        self._register("buffer", name, tensor, Tensor)
        names = self._non_persistent_buffers_set
        self.__dict__["_non_persistent_buffers_set"] = names - {name} if persistent else names | {name}

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as assigning the Parameter to the attribute; None keeps a place for a parameter that is not used."""
        if isinstance(param, Tensor) and param.edge is not None:
            raise ValueError(f"parameter '{name}': only a leaf can be a parameter, and this Tensor was computed")
        self._register("parameter", name, param, Parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """The same as assigning the Module to the attribute, also for names such as '0'."""
        self._register("module", name, module, Module)

    register_module = add_module

    # --------------------------------------------------------------------------------------------------- walking
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly within, each once."""
        seen = set()
        for name, module in self._members()["module"]:
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly within, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all within, parents first; a module reachable twice comes once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        else:
            memo = memo | {self}  # the modules above only: ends a circle, lets a second path be seen
        yield prefix, self
        for name, module in self._members()["module"]:
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all within, parents first, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def _named(self, kind, prefix, recurse, remove_duplicate) -> Iterator[tuple[str, Any]]:
        if not remove_duplicate:
            for path, module in self.named_modules(None, prefix, False) if recurse else ((prefix, self),):
                for name, value in module._members()[kind]:
                    if value is not None:
                        yield f"{path}.{name}" if path else name, value
            return
        seen: set = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:  # the order of named_modules, each module looked at once
            path, module = stack.pop()
            if module in seen:
                continue
            seen.add(module)
            members, dot = module._members(), f"{path}." if path else ""
            for name, value in members[kind]:
                if value is not None and value not in seen:
                    seen.add(value)
                    yield dot + name, value
            if recurse:
                stack += [(dot + name, child) for name, child in reversed(members["module"]) if child is not None]

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(name, Parameter) of all parameters, or of this module's own; a shared one once, under its first name."""
        return self._named("parameter", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters (or this module's own), each once: what an optimizer wants."""
        for _, parameter in self._named("parameter", "", recurse, True):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(name, Tensor) of all buffers, or of this module's own."""
        return self._named("buffer", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers (or this module's own), each once."""
        for _, buffer in self._named("buffer", "", recurse, True):
            yield buffer

    def _named_members(
        self, get_members_fn: Callable, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """(name, value) of what get_members_fn(module) gives, pairs (name, value), over this module and all within."""
        seen = set()
        for path, module in self.named_modules(None, prefix, remove_duplicate) if recurse else ((prefix, self),):
            for name, value in get_members_fn(module):
                if value is not None and value not in seen:
                    if remove_duplicate:
                        seen.add(value)
                    yield f"{path}.{name}" if path else name, value

    def _get(self, target: str, expected: type, kind: str):
        found: Any = self
        for part in target.split(".") if target else ():
            if isinstance(found, dict) and part not in found:
                part = next((key for key in found if str(key) == part), part)  # keys that are not strings
            try:
                if isinstance(found, list):
                    found = found[int(part)]
                else:
                    found = found[part] if isinstance(found, dict) else getattr(found, part)
            except (AttributeError, LookupError, ValueError):
                raise AttributeError(f"{type(self).__name__} has no {kind} '{target}': no '{part}'") from None
        if not isinstance(found, expected):
            raise AttributeError(f"{type(self).__name__}: '{target}' is a {type(found).__name__}, not a {kind}")
        return found

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as 'block.conv1'; '' is this one. AttributeError if there is none."""
        return self._get(target, Module, "module")

    def get_parameter(self, target: str) -> Parameter:
        """The Parameter at a path such as 'block.conv1.weight'. AttributeError if there is none."""
        return self._get(target, Parameter, "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as 'bn.running_mean'. AttributeError if there is none."""
        owner, _, name = target.rpartition(".")
        if self.get_submodule(owner)._kind(name) != "buffer":
            raise AttributeError(f"{type(self).__name__} has no buffer '{target}'")
        return self._get(target, Tensor, "buffer")

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a path such as 'block.conv1'; strict: only in the place of another. AttributeError if not."""
        if not target:
            raise ValueError("set_submodule: a path is needed, got ''")
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule: '{target}' must be a Module, got {type(module).__name__}")
        owner, _, name = target.rpartition(".")
        children = dict(self._members()["module"])
        if target in children and owner:  # in a list or dict
            self._modules[target] = module
            return
        parent = self.get_submodule(owner)
        if strict or hasattr(parent, name):
            parent._get(name, Module, "module")
        setattr(parent, name, module)

    # ---------------------------------------------------------------------------------------- changing everything
    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call fn(module) for every module within and then for this one, as for initialising; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch dropout, batch normalisation and the like to training (or not); gradients are recorded either way."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: expected True or False, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """`train(False)`; it does not switch off gradients: see `no_grad`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let all parameters require a gradient, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zeros in place."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach()
                    parameter.grad.write(0)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Replace the data of every parameter, gradient and buffer by fn(data); the Tensors themselves stay."""
        for module in self.children() if recurse else ():
            module._apply(fn)
        tensors: list[Tensor] = list(self.parameters(False))
        tensors += [p.grad for p in tensors if p.grad is not None] + list(self.buffers(False))
        with no_grad():
            for t in tensors:
                if is_lazy(t):
                    t.convert(fn)
                elif (new := fn(t.detach())).array is not t.array:
                    t.data = new
        return self

    def compile(self, *args, **kwargs) -> None:
        """Nothing is to be done: in PyTorch it changes a module's speed, not its results; see `minidl.compile`."""

    def to_empty(self, *, device, recurse: bool = True) -> Self:
        """Move parameters and buffers to a device without their values, which are still to be set."""
        return self._apply(lambda t: F.empty_like(t, device=device), recurse)

    def to(self, *args, **kwargs) -> Self:
        """Move parameters and buffers to a device and cast the floating-point ones to a dtype, in place; returns self.

        `to(device)`, `to(dtype)`, `to(device, dtype)`, `to(tensor)` (to where it is, in its dtype). non_blocking only
        concerns speed.
        """
        where, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        kwargs.pop("non_blocking", None), kwargs.pop("memory_format", None)
        if kwargs:
            raise TypeError(f"Module.to: unexpected arguments {', '.join(kwargs)}")
        for a in args:
            if isinstance(a, Tensor):
                where, dtype = a.device, a.dtype
            elif isinstance(a, (device, str)) or (isinstance(a, int) and not isinstance(a, bool)):
                where = a
            elif a is not None and not isinstance(a, bool):
                dtype = a
        if dtype is not None and not as_dtype(dtype).is_floating_point:
            raise TypeError(f"Module.to: only floating-point dtypes are possible, got {as_dtype(dtype)}")
        return self._apply(lambda t: t.to(device=where, dtype=dtype if t.is_floating_point() else None))

    def cpu(self) -> Self:
        """`to("cpu")`."""
        return self.to("cpu")

    def cuda(self, device: int | str | device | None = None) -> Self:
        """`to("cuda")`, or to the GPU given."""
        return self.to("cuda" if device is None else device)

    def float(self) -> Self:
        """`to(float32)`."""
        return self.to(float32)

    def double(self) -> Self:
        """`to(float64)`."""
        return self.to(double)

    def half(self) -> Self:
        """`to(float16)`."""
        return self.to(float16)

    def type(self, dst_type) -> Self:
        """Cast all parameters and buffers, also those of integers."""
        return self._apply(lambda t: t.type(dst_type))

    # --------------------------------------------------------------------------------------------------- the state
    def state_dict(self, *args, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """name -> Tensor of all parameters and persistent buffers, on their memory; detached unless keep_vars.

        The result's `_metadata` holds each module's `_version`.
        """
        if args:
            warnings.warn("state_dict: give destination, prefix and keep_vars by name", FutureWarning, stacklevel=2)
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            return self.state_dict(**{"destination": destination, "prefix": prefix, "keep_vars": keep_vars, **given})
        return loading.state_dict(self, destination, prefix, keep_vars)

    def _save_to_state_dict(self, destination, prefix: str, keep_vars: bool) -> None:
        """Enter this module's own state into destination; subclasses may do more."""
        loading.save_own(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> loading._IncompatibleKeys:
        """Copy Tensors (or arrays) into the parameters and buffers of the same names; assign=True takes them over.

        strict: every name must be there, and no other. Returns `(missing_keys, unexpected_keys)`. Raises one
        RuntimeError that lists everything that is wrong, and then has changed nothing.
        """
        return loading.load(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        """Take this module's own state out of state_dict; subclasses may change state_dict before, as for old keys."""
        loading.load_own(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def register_state_dict_pre_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, prefix, keep_vars)` before this module's state is made."""
        return register(self, "_state_dict_pre_hooks", hook)

    def register_state_dict_post_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after this module's state and all within was made."""
        return register(self, "_state_dict_hooks", hook, True)

    def _register_state_dict_hook(self, hook: Callable) -> Handle:
        """The same, for hooks that may return another dict."""
        return register(self, "_state_dict_hooks", hook, False)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`
        before this module's own state is taken out of state_dict, which the hook may change."""
        return register(self, "_load_state_dict_pre_hooks", hook, True)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> Handle:
        """The same; the hook gets the module only if asked."""
        return register(self, "_load_state_dict_pre_hooks", hook, with_module)

    def register_load_state_dict_post_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, incompatible_keys)` when the state was loaded; it may change the two lists of keys."""
        return register(self, "_load_state_dict_post_hooks", hook)

    # ------------------------------------------------------------------------------------------------------- hooks
    def _hook(self, kind: str, hook, prepend: bool, with_kwargs: bool = False) -> Handle:
        return self.__dict__.setdefault("_hooks", Hooks()).add(kind, hook, prepend, with_kwargs)

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> Handle:
        """Call `hook(module, args)` before forward; what it returns, if anything, becomes the arguments.

        with_kwargs: `hook(module, args, kwargs)`, which may return both.
        """
        return self._hook("forward_pre", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Handle:
        """Call `hook(module, args, output)` after forward; what it returns, if anything, becomes the output.

        with_kwargs: `hook(module, args, kwargs, output)`. always_call: also if forward raises, with an output of None.
        """
        hooks = self.__dict__.setdefault("_hooks", Hooks())
        return hooks.add("forward", hook, prepend, with_kwargs, always_call)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Call `hook(module, grad_output)` when the outputs' gradients are complete; it may return others."""
        return self._hook("backward_pre", hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Call `hook(module, grad_input, grad_output)` when the inputs' gradients are complete; it may return others.

        Both are tuples with a place for every positional argument or output, None where there is no gradient.
        """
        return self._hook("backward", hook, prepend)

    def register_backward_hook(self, hook: Callable) -> Handle:
        """Call `hook(module, grad_input, grad_output)` around the module's last op alone: deprecated in PyTorch."""
        return self._hook("last_node", hook, False)

    # -------------------------------------------------------------------------------------------------------- text
    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of `repr(module)` beside its children."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {_indented(module)}" for name, module in self._members()["module"]]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = self._child_lines()
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        body = "\n  ".join(lines + children)
        return f"{self._get_name()}(" + (f"\n  {body}\n" if body else "") + ")"


def _indented(module) -> str:
    return repr(module).replace("\n", "\n  ")
