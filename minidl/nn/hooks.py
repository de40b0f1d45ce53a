"""What happens around a module's forward when somebody watches: hooks before and after, forward and backward, and the
module's path for anomaly mode."""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable

from .. import modes
from ..autograd.trees import leaves
from ..backend import backend_of
from ..engine import Op
from ..modes import mode
from ..tensor import Handle, Tensor, wrap


class Hooks:
    """The hooks of one module, or of all, by kind, in the order in which they run."""

    def __init__(self) -> None:
        self.forward_pre: OrderedDict = OrderedDict()
        self.forward: OrderedDict = OrderedDict()
        self.backward_pre: OrderedDict = OrderedDict()
        self.backward: OrderedDict = OrderedDict()  # "full" ones
        self.last_node: OrderedDict = OrderedDict()  # those of before there were full ones

    def add(self, kind: str, hook, prepend: bool, with_kwargs: bool = False, always: bool = False) -> Handle:
        """Enter a hook, first or last of its kind. always: also where forward raises."""
        if (self.backward and kind == "last_node") or (self.last_node and kind == "backward"):
            raise RuntimeError(
                "register_backward_hook: cannot use both regular backward hooks and full backward hooks on one module"
            )
        hooks = getattr(self, kind)
        handle = Handle(hooks, hook)
        hooks[handle.id] = (hook, with_kwargs, always)
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle


_EMPTY = Hooks()
_everywhere = Hooks()  # the hooks of all modules


class _Everywhere(Handle):
    """A hook of all modules. It counts as somebody who watches, so that calls of modules without hooks look here."""

    def __init__(self, handle: Handle) -> None:
        self.hooks, self.id = handle.hooks, handle.id
        modes.watch(1)

    def remove(self) -> None:
        if self.hooks.pop(self.id, None) is not None:
            modes.watch(-1)


def register_module_forward_pre_hook(hook: Callable) -> Handle:
    """Call `hook(module, args)` before the forward of every module; what it returns, if anything, are the arguments.

    Such hooks are for debugging; they run before the module's own.
    """
    return _Everywhere(_everywhere.add("forward_pre", hook, False))


def register_module_forward_hook(hook: Callable, *, with_kwargs: bool = False, always_call: bool = False) -> Handle:
    """Call `hook(module, args, output)` after the forward of every module; see `Module.register_forward_hook`."""
    return _Everywhere(_everywhere.add("forward", hook, False, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable) -> Handle:
    """Call `hook(module, grad_output)` for every module; see `Module.register_full_backward_pre_hook`."""
    return _Everywhere(_everywhere.add("backward_pre", hook, False))


def register_module_full_backward_hook(hook: Callable) -> Handle:
    """Call `hook(module, grad_input, grad_output)` for every module; see `Module.register_full_backward_hook`."""
    return _Everywhere(_everywhere.add("backward", hook, False))


def register_module_backward_hook(hook: Callable) -> Handle:
    """Call `hook(module, grad_input, grad_output)` for every module; see `Module.register_backward_hook`."""
    return _Everywhere(_everywhere.add("last_node", hook, False))


class _Calls(threading.local):
    names: dict[int, str] = {}  # id of a module -> its path from the outermost module being called


_calls = _Calls()


@contextlib.contextmanager
def _named(module):
    """The module's path at the end of `mode.path`, which anomaly mode's errors print."""
    outer = mode.path
    if not outer:
        _calls.names = {id(m): name for name, m in module.named_modules()}
    mode.path = (*outer, _calls.names.get(id(module)) or type(module).__name__)
    try:
        yield
    finally:
        mode.path = outer


def call(module, args: tuple, kwargs: dict):
    """module.forward(*args, **kwargs) with the module's hooks and, in anomaly mode, under its name."""
    if modes.attending and mode.anomaly:
        with _named(module):
            return _hooked(module, args, kwargs)
    return _hooked(module, args, kwargs)


def _hooked(module, args, kwargs):
    hooks = module._hooks
    if hooks is None:
        if not modes.attending:
            return module.forward(*args, **kwargs)
        hooks = _EMPTY
    called: set[int] = set()  # the forward hooks that ran, of those that always do
    result = None
    try:
        for hook, with_kwargs, _ in _all("forward_pre", hooks):
            answer = hook(module, args, kwargs) if with_kwargs else hook(module, args)
            if answer is not None and not with_kwargs:
                args = answer if isinstance(answer, tuple) else (answer,)
            elif answer is not None:
                if not isinstance(answer, tuple) or len(answer) != 2:
                    raise RuntimeError(f"forward pre-hook with kwargs: expected None or (args, kwargs), got {answer!r}")
                args, kwargs = answer
        border = None
        if mode.grad and (hooks.backward or hooks.backward_pre or _everywhere.backward or _everywhere.backward_pre):
            border = _Border(module, hooks)
            args = border.inputs(args)
        result = module.forward(*args, **kwargs)
        for entry in _all("forward", hooks):
            hook, with_kwargs, always = entry
            called.add(id(entry))
            answer = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if answer is not None:
                result = answer
    except Exception:
        for entry in _all("forward", hooks):
            hook, with_kwargs, always = entry
            if always and id(entry) not in called:
                try:
                    answer = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
                    result = result if answer is None else answer
                except Exception as error:  # the first error is the one to tell
                    warnings.warn(
                        f"a forward hook that is always called raised {error!r}, which is passed over", stacklevel=2
                    )
        raise
    if mode.grad and (hooks.last_node or _everywhere.last_node):
        node = _first_node(result)
        for hook, _, _ in _all("last_node", hooks) if node is not None else ():
            node.register_hook(functools.partial(hook, module))
    return border.outputs(result) if border else result


def _all(kind: str, hooks: Hooks) -> list:
    """The hooks of all modules, then this one's."""
    return [*getattr(_everywhere, kind).values(), *getattr(hooks, kind).values()]


def _first_node(result):
    """The node of the first Tensor in a result."""
    found = [t for t in leaves(result) if isinstance(t, Tensor)]
    return found[0].grad_fn if found else None


def _crossing(*xs, hook):
    """ys = xs, unchanged;   the gradients are those that `hook` makes of the ys' gradients, all at once."""
    return tuple(xs), lambda *gs, needs: hook(gs)


_crossing_op = Op(_crossing, promote=None)


def _through(tensors: list[Tensor], hook) -> tuple[Tensor, ...]:
    ys = _crossing_op(*tensors, hook=hook)
    for y, x in zip(ys, tensors, strict=True):
        y.version = x.version  # one memory: a change in place through either is noticed
    return ys


class _Border:
    """One call of a module with backward hooks: where the gradient comes in at its outputs and leaves at its inputs."""

    def __init__(self, module, hooks: Hooks) -> None:
        self.module, self.hooks = module, hooks
        self.entries: list[int] = []  # which arguments, and which results, carry a gradient
        self.exits: list[int] = []
        self.counts = [0, 0]
        self.grad_output: tuple = ()
        self.seen = True  # whether the output has a form that can be watched

    def inputs(self, args: tuple) -> tuple:
        """The arguments, led over the border."""
        self.counts[0] = len(args)
        self.entries = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        return self._led(args, self.entries, self._leaving)

    def outputs(self, result):
        """The result (a Tensor, or a tuple with Tensors), led over the border."""
        several = isinstance(result, tuple)
        if not several and not isinstance(result, Tensor):
            self.seen = False
            name = type(result).__name__
            warnings.warn(
                f"backward hooks need a module whose output is a Tensor or a tuple of Tensors; {name} is neither",
                stacklevel=2,
            )
            return result
        items = result if several else (result,)
        self.counts[1] = len(items)
        self.exits = [i for i, a in enumerate(items) if isinstance(a, Tensor) and a.requires_grad]
        items = self._led(items, self.exits, self._entering)
        return items if several else items[0]

    @staticmethod
    def _led(items, places, hook):
        if not places:
            return items
        items = list(items)
        for i, t in zip(places, _through([items[i] for i in places], hook), strict=True):
            items[i] = t
        return tuple(items)

    def _entering(self, gs):
        """The gradients of the outputs are complete: the pre-hooks may change them."""
        grads = _as_tensors(gs, self.exits, self.counts[1])
        for hook, *_ in _all("backward_pre", self.hooks):
            grads = _answer("full backward pre-hook", hook(self.module, grads), grads)
        self.grad_output = grads
        if not self.entries:  # no gradient leaves here, but the hooks still want to see those that came
            for hook, *_ in _all("backward", self.hooks):
                hook(self.module, (None,) * self.counts[0], grads)
        return _as_given(grads, self.exits, gs)

    def _leaving(self, gs):
        """The gradients of the inputs are complete: the hooks see them, and may change them."""
        grads = _as_tensors(gs, self.entries, self.counts[0])
        for hook, *_ in _all("backward", self.hooks) if self.seen else ():
            grads = _answer("full backward hook", hook(self.module, grads, self.grad_output), grads)
        return _as_given(grads, self.entries, gs)


def _as_tensors(gs, places, count) -> tuple:
    """Gradients as a tuple of Tensors that a hook may keep or change, None where there is none."""
    grads: list[Tensor | None] = [None] * count
    for i, g in zip(places, gs, strict=True):
        grads[i] = g if g is None or isinstance(g, Tensor) else wrap(backend_of(g).copy(g))
    return tuple(grads)


def _as_given(grads, places, gs) -> tuple:
    """What hooks made of the gradients, as arrays if arrays came."""
    recorded = any(isinstance(g, Tensor) for g in gs)
    return tuple([grads[i] if recorded or grads[i] is None else grads[i].array for i in places])


def _answer(where, answer, grads) -> tuple:
    if answer is None:
        return grads
    answer = answer if isinstance(answer, tuple) else (answer,)
    if len(answer) != len(grads):
        raise RuntimeError(f"{where}: expected {len(grads)} gradients or None, got {len(answer)}")
    return answer
