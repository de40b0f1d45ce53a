"""Activation checkpointing: forget what a part of the forward computed and compute it again in backward, so that time
pays for memory (Chen et al., 2016, "Training Deep Nets with Sublinear Memory Cost")."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from .. import modes
from ..amp.autocast_mode import Remembered
from ..autograd.function import Recorded
from ..autograd.gradients import replay
from ..autograd.trees import leaves, like
from ..backend.random import default_generator
from ..engine import Node, reachable, walk
from ..guards import user_line
from ..modes import enable_grad, mode, set_grad_enabled, tick
from ..random import get_rng_state, set_rng_state
from ..tensor import Aux, Tensor, describe, wrap

__all__ = [
    "CheckpointError",
    "checkpoint",
    "checkpoint_sequential",
    "get_device_states",
    "noop_context_fn",
    "set_device_states",
]

_op = Recorded("checkpoint")
_Edges = list[Any]


class CheckpointError(RuntimeError):
    """What backward raises where the function gave something else the second time."""


def noop_context_fn() -> tuple:
    """Two contexts in which nothing is special."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def get_device_states(*args) -> tuple[list[int], list[Tensor]]:
    """The GPUs of the Tensors among the arguments, and the states of their generators, for `set_device_states`."""
    numbers = [t.device.index or 0 for t in leaves(args) if isinstance(t, Tensor) and t.device.type == "cuda"]
    return numbers, [get_rng_state() for _ in numbers]  # one generator serves all devices


def set_device_states(devices, states, *, device_type: str | None = None) -> None:
    """Set the generators of the GPUs back to states that `get_device_states` gave."""
    for _, state in zip(devices, states, strict=False):
        set_rng_state(state)


def checkpoint(
    function: Callable,
    *args,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], tuple] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs,
):
    """function(*args, **kwargs) of which only arguments and results stay in memory; backward runs it again.

    The second run draws the same random numbers (unless preserve_rng_state=False), so that the gradients are the same
    bit for bit. It is a second run all the same: batch norm moves its statistics twice. context_fn gives two contexts,
    for the first and for the second run. determinism_check: whether the second run's results have to be of the shapes
    and dtypes of the first's ('default'), or are not looked at ('none').

    use_reentrant chooses between two mechanisms in PyTorch; here there is one, which can do what each of them can. Nor
    does early_stop change a result. For a gradient that is itself differentiated (create_graph) it works too, but what
    was forgotten then stays after the second run.

    >>> from minidl import nn, ones
    >>> layer = nn.Sequential(nn.Linear(3, 100), nn.Tanh(), nn.Linear(100, 1))
    >>> y = checkpoint(layer, ones(2, 3), use_reentrant=False)
    >>> y.sum().backward()
    >>> layer[0].weight.grad.shape
    minidl.Size([100, 3])
    """
    if debug:
        raise NotImplementedError("checkpoint: debug=True is not supported")
    if determinism_check not in ("default", "none"):
        raise ValueError(f"checkpoint: expected determinism_check 'default' or 'none', got {determinism_check!r}")
    first, second = context_fn()
    generator = default_generator()
    state = generator.get_state() if preserve_rng_state else None
    given = leaves((args, kwargs))
    versions = [t.version[0] if isinstance(t, Tensor) and t.version else 0 for t in given]
    saved = [_Saved(t) if isinstance(t, Tensor) else t for t in given]
    start, precision = tick(), Remembered()
    with first:
        result = function(*args, **kwargs)
    outputs = leaves(result)
    inner = [i for i, y in enumerate(outputs) if isinstance(y, Tensor) and y.edge is not None and _is_new(y, start)]
    if not inner:
        return result
    for t, before in zip(given, versions, strict=True):
        if isinstance(t, Tensor) and t.version and t.version[0] != before:
            raise RuntimeError("checkpoint: the function changed an argument in place, so it cannot run again")

    def again() -> list[Tensor]:
        """The results once more, with their graph."""
        now = generator.get_state()
        if state is not None:
            generator.set_state(state)
        try:
            with enable_grad(), precision, second:
                a, k = like((args, kwargs), iter([s.tensor() if isinstance(s, _Saved) else s for s in saved]))
                found = leaves(function(*a, **k))
        finally:
            if state is not None:
                generator.set_state(now)
        if determinism_check == "default":
            _compare([outputs_are[i] for i in inner], found, inner)
        return [found[i] for i in inner]

    outputs_are = {i: (outputs[i].array.shape, outputs[i].array.dtype) for i in inner}
    node = _node([outputs[i] for i in inner], [t for t in saved if isinstance(t, _Saved)], again, start)
    for number, i in enumerate(inner):
        y = outputs[i]
        outputs[i] = t = wrap(y.array)
        t.version, t.edge, t._requires_grad = y.version, (node, number), True
    args, kwargs = like((args, kwargs), iter([None] * len(given)))  # what `again` needs of them is their form
    return like(result, iter(outputs))


class _Saved:
    """What an argument was when the function ran."""

    def __init__(self, t: Tensor) -> None:
        self.array, self.version, self.origin = t.array, t.version, t.edge
        self.leaf = t if t._requires_grad and t.edge is None else None

    def tensor(self) -> Tensor:
        if self.leaf is not None:
            return self.leaf
        t = wrap(self.array)
        t.version, t.edge, t._requires_grad = self.version, self.origin, self.origin is not None
        return t


def _is_new(y: Tensor, start: int) -> bool:
    return _node_of(y.edge).order > start


def _node_of(edge) -> Node:
    return edge[0] if type(edge) is tuple else edge


def _outside(edges: _Edges, start: int) -> _Edges:
    """The edges by which the graph behind `edges` reaches what was there before `start`: leaves, older nodes."""
    found: dict = {}
    seen = {_node_of(e) for e in edges}
    stack = list(seen)
    while stack:
        for p in stack.pop().parents:
            if isinstance(p, Tensor) or (p is not None and _node_of(p).order < start):
                found[p] = True
            elif p is not None and (node := _node_of(p)) not in seen:
                seen.add(node)
                stack.append(node)
    return list(found)


def _node(outputs: list[Tensor], saved: list[_Saved], again: Callable, start: int) -> Node:
    """The one node that stands for all that the function recorded."""
    node = object.__new__(Node)
    parents = _outside([y.edge for y in outputs], start)
    node.op, node.static, node.hooks, node.retained, node.parents = _op, {"several": True}, None, None, parents
    node.outputs = tuple([(y.array.shape, y.array.dtype) for y in outputs])
    node.inputs = [y.array if y._requires_grad else Aux(None) for y in outputs]
    leaf = [p for p in parents if isinstance(p, Tensor)]
    arrays = [s.array for s in saved] + [p.array for p in leaf]
    watched: list[Any] = [*saved, *leaf, *outputs]
    node.cells = [t.version for t in watched if t.version is not None]
    node.where = (mode.path, user_line()) if modes.watching and mode.anomaly else None
    known_edges = {s.origin: s for s in saved if s.origin is not None}

    def joint(*gs, needs):
        return _gradients(again, gs, parents, needs, known_edges, arrays)

    node.vjps, node.order = joint, tick()
    return node


def _gradients(again, gs, parents, needs, known_edges, _held) -> list:
    """Run the function again and walk back through it, as far as what was there before."""
    recorded = any(isinstance(g, Tensor) for g in gs)
    ys = again()
    seeds = [(y.edge, g) for y, g in zip(ys, gs, strict=True) if g is not None and y.edge is not None]
    wanted = {p for p, need in zip(parents, needs, strict=True) if need}
    borders = [p for p in parents if not isinstance(p, Tensor)]
    stop = frozenset(_node_of(p) for p in borders)
    with set_grad_enabled(recorded):
        if not recorded:
            found, _ = walk(seeds, wanted, stop=stop)
        elif all(p in known_edges for p in borders):
            known = {p: known_edges[p].tensor() for p in borders}
            found, _ = walk(seeds, wanted, True, lambda nodes: replay(nodes, known), stop)
        else:  # a tensor that came in otherwise than as an argument: its value has to be computed anew, too
            everything = reachable([edge for edge, _ in seeds], frozenset())
            found, _ = walk(seeds, wanted, True, lambda _: replay(everything), stop)
    return [found.get(p) for p in parents]


def _compare(expected, found, places) -> None:
    for i, (shape, dtype) in zip(places, expected, strict=True):
        y = found[i] if i < len(found) else None
        if not isinstance(y, Tensor) or y.array.shape != shape or y.array.dtype != dtype:
            got = describe(y.array) if isinstance(y, Tensor) else type(y).__name__
            raise CheckpointError(f"checkpoint: result {i} was {dtype} {tuple(shape)} and is {got} the second time")


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None, **kwargs):
    """The functions (or layers of a Sequential) one after the other, in `segments` parts of which all but the last are
    checkpointed: the square root of the number of layers is a good number of parts.

    kwargs: preserve_rng_state.
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"checkpoint_sequential: unexpected keyword arguments: {', '.join(kwargs)}")
    functions = list(functions.children() if hasattr(functions, "children") else functions)
    if not isinstance(segments, int) or segments < 1:
        raise ValueError(f"checkpoint_sequential: expected a positive number of segments, got {segments!r}")

    def part(start: int, end: int):
        def run(x):
            for f in functions[start:end]:
                x = f(x)
            return x

        return run

    size, end = len(functions) // segments, 0
    for start in range(0, size * (segments - 1), size or 1):
        end = start + size
        input = checkpoint(part(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return part(end, len(functions))(input)
