"""What happens around a module's forward when somebody watches: hooks before and after, forward and backward, and the
module's path for anomaly mode."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict

from .. import modes
from ..backend import backend_of
from ..engine import Op
from ..modes import mode
from ..tensor import Handle, Tensor, wrap


class Hooks:
    """The hooks of one module, by kind, in the order in which they run."""

    def __init__(self) -> None:
        self.forward_pre: OrderedDict = OrderedDict()
        self.forward: OrderedDict = OrderedDict()
        self.backward_pre: OrderedDict = OrderedDict()
        self.backward: OrderedDict = OrderedDict()

    def add(self, kind: str, hook, prepend: bool, with_kwargs: bool = False) -> Handle:
        """Enter a hook, first or last of its kind."""
        hooks = getattr(self, kind)
        handle = Handle(hooks, hook)
        hooks[handle.id] = (hook, with_kwargs)
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle


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
    if modes.watching and mode.anomaly:
        with _named(module):
            return _hooked(module, args, kwargs)
    return _hooked(module, args, kwargs)


def _hooked(module, args, kwargs):
    hooks = module._hooks
    if hooks is None:
        return module.forward(*args, **kwargs)
    for hook, with_kwargs in list(hooks.forward_pre.values()):
        answer = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if answer is not None and not with_kwargs:
            args = answer if isinstance(answer, tuple) else (answer,)
        elif answer is not None:
            if not isinstance(answer, tuple) or len(answer) != 2:
                raise RuntimeError(f"forward pre-hook with kwargs: expected None or (args, kwargs), got {answer!r}")
            args, kwargs = answer
    border = _Border(module, hooks) if mode.grad and (hooks.backward or hooks.backward_pre) else None
    if border:
        args = border.inputs(args)
    result = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(hooks.forward.values()):
        answer = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if answer is not None:
            result = answer
    return border.outputs(result) if border else result


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

    def inputs(self, args: tuple) -> tuple:
        """The arguments, led over the border."""
        self.counts[0] = len(args)
        self.entries = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        return self._led(args, self.entries, self._leaving)

    def outputs(self, result):
        """The result (a Tensor, or a tuple with Tensors), led over the border."""
        several = isinstance(result, tuple)
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
        for hook, _ in list(self.hooks.backward_pre.values()):
            grads = _answer("full backward pre-hook", hook(self.module, grads), grads)
        self.grad_output = grads
        if not self.entries:  # no gradient leaves here, but the hooks still want to see those that came
            for hook, _ in list(self.hooks.backward.values()):
                hook(self.module, (None,) * self.counts[0], grads)
        return _as_given(grads, self.exits, gs)

    def _leaving(self, gs):
        """The gradients of the inputs are complete: the hooks see them, and may change them."""
        grads = _as_tensors(gs, self.entries, self.counts[0])
        for hook, _ in list(self.hooks.backward.values()):
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
