"""`compile_step`: a whole training step as one CUDA graph."""

from __future__ import annotations

import functools
import linecache
import traceback
import warnings
from collections.abc import Callable
from operator import attrgetter, is_
from typing import Any

from . import cuda, modes
from .amp.casting import state as casting
from .backend import EXACT, backend_of, get_backend
from .modes import mode, tick
from .nn.hooks import register_module_forward_pre_hook
from .nn.loss.classes import known_below
from .nn.module import Module
from .optim.surroundings import WATCHERS
from .tensor import Tensor, wrap

__all__ = ["compile_step"]

EAGER_RUNS = 2  # of each kind of step before it is recorded: they compile kernels, and make the optimizer's state
GRAPHS = 8  # kinds of steps that are recorded; what else comes runs as it stands
DROPS = 8  # how often what a graph works on may be replaced before it is no longer recorded anew
_FOREIGN = {__name__.partition(".")[0], "cupy", "cupyx", "cupy_backends", "numpy", "contextlib", "functools", "standin"}
_array = attrgetter("array")


def compile_step(step: Callable) -> Callable:
    """The function `step`, which on a GPU is recorded as a CUDA graph and from then on launched as a whole.

    A small model's step is dozens of launches, each of which costs the host some microseconds, more than the GPU needs
    for it. A graph is one launch. step is a function of Tensors that does everything for a batch: forward, backward,
    and the optimizer's update. Values are those of the function itself, bit for bit, dropout's masks among them.

        model, loss_fn = model.to("cuda"), nn.CrossEntropyLoss()
        optimizer = minidl.optim.Adam(model.parameters(), lr=1e-3)

        @minidl.compile_step
        def step(x, y):
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        for x, y in loader:
            total += step(x.to("cuda"), y.to("cuda"))

    The first two calls with each shape and dtype of the arguments (and in each of `train()` and `eval()`) run as they
    stand, the third is recorded, and what comes after that is copied into the graph's own input. The results are copies
    of its output without a history, so backward() belongs inside. Other arguments than Tensors, in tuples, lists and
    dicts too, are told apart by their values. At most eight graphs are made; what else comes runs as it stands, as does
    everything on the CPU.

    Python itself runs when the step is recorded, and not at each launch. Learning rates, schedules (`follow`) and step
    counts are brought up to date before each launch. A scheduler's `step()`, `print`, counters and the like belong
    outside. What waits for the GPU (`item()`, `if loss > 1`, `numpy()`) or copies from the host cannot be recorded: it
    is then said once which line it is, and the step runs as it stands from then on. Where parameters or buffers were
    replaced (`to`, another `requires_grad`, an optimizer's loaded state) the step is recorded anew. Tensors that step
    finds outside, other than parameters and buffers of the modules that it calls, must stay where they are in memory.

    >>> step = compile_step(lambda x: x * 2)
    >>> step(minidl.ones(2))
    tensor([2., 2.])
    """
    if not callable(step):
        raise TypeError(f"compile_step: expected a function, got {type(step).__name__}")
    return CompiledStep(step) if cuda.is_available() else step


class CompiledStep:
    """What `compile_step` returns where there is a GPU. `graphs`: how many there are. reason: why there are none."""

    def __init__(self, step: Callable) -> None:
        functools.update_wrapper(self, step)
        self._step = step
        self._kinds: dict[Any, _Kind] = {}
        self._modules: dict[int, Module] = {}  # that the step calls
        self._dropped = 0
        self.reason: str | None = None

    @property
    def graphs(self) -> int:
        return sum([kind.recorded is not None for kind in self._kinds.values()])

    def __call__(self, *args, **kwargs):
        if self.reason is not None:
            return self._step(*args, **kwargs)
        given: list[Tensor] = []
        signature = _signature((args, kwargs), given)
        key = self._key(signature)
        try:
            kind = self._kinds.get(key)
        except TypeError:
            self._give_up(f"an argument cannot be compared with that of the call before ({_unhashable(args, kwargs)})")
            return self._step(*args, **kwargs)
        if kind is None:
            if len(self._kinds) >= GRAPHS:
                return self._step(*args, **kwargs)
            kind = self._kinds[key] = _Kind(signature)
        if any(t._requires_grad for t in given):  # their history, or gradient, goes on outside
            return self._step(*args, **kwargs)
        if kind.runs < EAGER_RUNS:
            return self._rehearse(kind, args, kwargs, given)
        if kind.graph is None or kind.recorded is None:
            return self._record(kind, args, kwargs, given)
        if kind.fits() and kind.launch(given):
            return kind.results(given)
        self._drop(key, kind)
        return self._step(*args, **kwargs) if self.reason else self._rehearse(self._kinds[key], args, kwargs, given)

    def _key(self, signature) -> tuple:
        """What tells one graph from another: the arguments, `train()` or `eval()` of each module, and all switches."""
        training = [m.training for m in self._modules.values()]
        switches = mode.grad, mode.inference, mode.dtype, *EXACT.values()
        return signature, *training, *switches, *casting.enabled.values(), *casting.dtypes.values()

    def _rehearse(self, kind: _Kind, args, kwargs, given):
        """Run the step as it stands, and note what it uses."""

        if kind.runs == EAGER_RUNS - 1 and not self._on_gpu(kind, given):
            return self._step(*args, **kwargs)

        def look(module, _) -> None:
            self._modules[id(module)] = module

        known = len(self._modules)
        WATCHERS.append(kind.optimizers.append)
        hook = register_module_forward_pre_hook(look)
        try:
            if kind.runs != EAGER_RUNS - 1:
                return self._step(*args, **kwargs)
            kind.graph = get_backend("cuda").graphs.Graph()
            return kind.graph.rehearse(lambda: self._step(*args, **kwargs))
        finally:
            hook.remove()
            WATCHERS.pop()
            kind.runs += 1
            if len(self._modules) > known:  # they are part of the key
                self._kinds = {self._key(kind.signature): kind}

    def _on_gpu(self, kind: _Kind, given: list[Tensor]) -> bool:
        """Whether the step works on a GPU, by its arguments and the first parameter of each module and optimizer."""
        first = [t for m in self._modules.values() for _, _, t in _places(m)]
        first += [p for rule in kind.optimizers for p in rule.param_groups[0]["params"][:1]]
        kinds = {t.array.__class__ for t in [*given, *first] if t is not None}
        return get_backend("cuda").array_type in kinds

    def _record(self, kind: _Kind, args, kwargs, given):
        kind.watch(self._modules.values())
        inputs = [wrap(backend_of(t.array).copy(t.array)) for t in given]
        for buffer, t in zip(inputs, given, strict=True):
            buffer.below = known_below(t)
        fresh = iter(inputs)
        new_args, new_kwargs = _mapped((args, kwargs), lambda _: next(fresh))
        before = [t._grad for t in kind.tensors]
        reason: str | None = None
        casting.kept.clear()  # parameters in half precision, which the graph has to make anew
        try:
            kind.record(lambda: self._step(*new_args, **new_kwargs), inputs)
        except Exception as error:
            reason = _culprit(error)
        else:
            for t, grad in zip(kind.tensors, before, strict=True):
                kind.grads.append((t, None if grad is None else grad.array, t._grad))
        finally:
            casting.kept.clear()
            for t, grad in zip(kind.tensors, before, strict=True):
                t._grad = grad  # what was recorded was not computed
        if reason is None:
            if kind.fits() and kind.launch(given):
                return kind.results(given)
            reason = "it replaces on the way what it works on: a parameter, a buffer or the optimizer's state"
        kind.graph = kind.recorded = None
        self._give_up(reason)
        return self._step(*args, **kwargs)

    def _drop(self, key, kind: _Kind) -> None:
        """What a graph works on was replaced: begin anew."""
        self._kinds[key] = _Kind(kind.signature)
        self._dropped += 1
        if self._dropped > DROPS:
            self._give_up("parameters, gradients or the optimizer's state are replaced again and again between calls")

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self._kinds.clear()
        name = getattr(self._step, "__qualname__", "the step")
        warnings.warn(f"compile_step: {name} runs as it stands from now on, since {reason}", stacklevel=4)


class _Kind:
    """Calls with arguments of the same shapes: how many there were, and the graph."""

    def __init__(self, signature) -> None:
        self.signature, self.runs = signature, 0
        self.graph: Any = None
        self.optimizers: list = []  # that made a step
        self.modules: list[Module] = []
        self.own: list[
            tuple
        ] = []  # where their parameters and buffers were found: a dict (or what gives it), key, value
        self.tensors: list[Tensor] = []  # the same and the optimizers' parameters, each once
        self.arrays: list = []
        self.flags: list[bool] = []
        self.grads: list[tuple] = []  # a tensor, its gradient's array before, and its gradient after the step
        self.inputs: list[Tensor] = []
        self.recorded: tuple | None = None  # with what the step returned

    def watch(self, modules) -> None:
        """Note where everything is that the step works on."""
        self.modules = [*modules]
        self.own = [place for m in self.modules for place in _places(m)]
        groups = [group["params"] for rule in self.optimizers for group in rule.param_groups]
        found = [*[t for _, _, t in self.own if t is not None], *[p for params in groups for p in params]]
        self.tensors = [*{id(t): t for t in found}.values()]
        self.arrays, self.flags = [t.array for t in self.tensors], [t._requires_grad for t in self.tensors]

    def record(self, step: Callable, inputs: list[Tensor]) -> None:
        known = {id(t) for t in [*inputs, *self.tensors]}
        self.inputs = inputs

        def own(t: Tensor) -> Tensor:
            if t.grad_fn is not None and t.grad_fn.vjps is not None:
                raise RuntimeError(
                    "the step returns a tensor whose backward is still to come, and what a graph computes has no "
                    "history: call backward() inside, or return x.detach()"
                )
            return t if id(t) in known else wrap(t.array)

        self.recorded = (_mapped(self.graph.record(step), own),)

    def fits(self) -> bool:
        """Whether everything still is where the graph finds it."""
        try:
            if not all(place()[key] is t if callable(place) else place[key] is t for place, key, t in self.own):
                return False
        except (AttributeError, LookupError):  # one of them is gone
            return False
        if not all(map(is_, map(_array, self.tensors), self.arrays)):
            return False
        if [t._requires_grad for t in self.tensors] != self.flags:
            return False
        for t, before, after in self.grads:
            now = t._grad
            if before is None:
                if now is not None:
                    return False
            elif after is not None and after.array is before and (now is None or now.array is not before):
                return False  # the graph adds to it
        return True

    def launch(self, given: list[Tensor]) -> bool:
        for buffer, t in zip(self.inputs, given, strict=True):
            if buffer.array is not t.array:
                buffer.array[...] = t.array
        if not self.graph.launch():
            return False
        stamp = modes.last_change = tick()
        for t in self.tensors:
            if t.version is not None:
                t.version[0] = stamp
        for t, _, after in self.grads:
            t._grad = after
        return True

    def results(self, given: list[Tensor]):
        """What the step returned, in memory of the caller's own."""
        known = {id(buffer): t for buffer, t in zip(self.inputs, given, strict=True)}
        known.update({id(t): t for t in self.tensors})

        def own(t: Tensor) -> Tensor:
            found = known.get(id(t))
            return wrap(backend_of(t.array).copy(t.array)) if found is None else found

        assert self.recorded is not None
        return _mapped(self.recorded[0], own)


def _places(module: Module) -> list[tuple]:
    """Where a module has its parameters and buffers: the dict, the key and the value; in a list by a function."""
    return [
        (module.__dict__, name, t) if "." not in name else (lambda held=held: held, name, t)
        for held in (module._parameters, module._buffers)
        for name, t in held.items()
    ]


def _signature(x, given: list[Tensor]):
    """What tells calls apart: the structure, the Tensors' shapes and dtypes, the values of all else."""
    if isinstance(x, Tensor):
        given.append(x)
        a = x.array
        device = getattr(a.data, "device_id", None)
        return x.__class__, a.__class__, a.shape, a.dtype, device, x._requires_grad, known_below(x)
    if isinstance(x, (tuple, list)):
        return (x.__class__, *[_signature(v, given) for v in x])
    if isinstance(x, dict):
        return (x.__class__, *[(k, _signature(v, given)) for k, v in x.items()])
    return x.__class__, x


def _mapped(x, change: Callable[[Tensor], Tensor]):
    """The same structure with other Tensors."""
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, (tuple, list)):
        parts = [_mapped(v, change) for v in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return {k: _mapped(v, change) for k, v in x.items()} if isinstance(x, dict) else x


def _unhashable(args, kwargs) -> str:
    """The types of arguments that are neither Tensors nor told apart by value."""
    found: list[str] = []

    def look(x) -> None:
        if isinstance(x, (tuple, list, dict)):
            for v in x.values() if isinstance(x, dict) else x:
                look(v)
        elif not isinstance(x, Tensor) and x.__class__.__hash__ is None:
            found.append(x.__class__.__name__)

    look((args, kwargs))
    return ", ".join(found) or "unhashable"


def _culprit(error: Exception) -> str:
    """Which call of the program made an error, and the error."""
    frames = [
        (frame.f_globals.get("__name__", "").partition(".")[0], frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    place = max([i for i, (root, _, _) in enumerate(frames) if root not in _FOREIGN], default=None)
    text = f"{type(error).__name__}: {error}"
    if place is None:
        return f"it cannot be captured ({text})"
    _, code, line = frames[place]
    source = linecache.getline(code.co_filename, line).strip() or code.co_name
    return f"'{source}' at {code.co_filename}:{line} cannot be captured ({text})"
