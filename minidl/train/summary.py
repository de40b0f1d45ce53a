"""What a model consists of: its layers in the order of their calls, with shape, parameters, multiply-adds, memory."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import nn
from ..backend import BACKENDS
from ..backend.random import default_generator
from ..creation import zeros
from ..engine import Node
from ..guards import captured
from ..modes import enable_grad, tick
from ..nn import Module
from ..tensor import Parameter, Tensor


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape)


def _linear(m: Any, inputs: list[Tensor], output: Tensor) -> int:
    return math.prod(_shape(output)) * _shape(m.weight)[1]


def _convolution(m: Any, inputs: list[Tensor], output: Tensor) -> int:
    return math.prod(_shape(output)) * math.prod(_shape(m.weight)[1:])  # (F, C / groups, kernel ...)


def _transposed(m: Any, inputs: list[Tensor], output: Tensor) -> int:
    return math.prod(_shape(inputs[0])) * math.prod(_shape(m.weight)[1:])  # (C, F / groups, kernel ...)


def _recurrent(m: Any, inputs: list[Tensor], output: Tensor) -> int:
    """Each matrix is used once for every step of every sequence."""
    matrices = sum(math.prod(_shape(p)) for p in m.parameters(recurse=False) if p.ndim == 2)
    return math.prod(_shape(inputs[0])[:-1]) * matrices


def _each(m: Any, inputs: list[Tensor], output: Tensor) -> int:
    return math.prod(_shape(output))


# the class of minidl.nn -> its multiply-adds; layers without parameters that are not here have none
_COUNT: dict[str, Callable[[Any, list[Tensor], Tensor], int]] = {
    "Linear": _linear, "PReLU": _each, **dict.fromkeys(("Embedding", "EmbeddingBag"), lambda m, inputs, output: 0),
    **{f"Conv{n}d": _convolution for n in (1, 2, 3)}, **{f"ConvTranspose{n}d": _transposed for n in (1, 2, 3)},
    **dict.fromkeys(("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"), _recurrent),
    **{f"{kind}Norm{n}d": _each for kind in ("Batch", "Instance") for n in (1, 2, 3)},
    **dict.fromkeys(("SyncBatchNorm", "GroupNorm", "LayerNorm", "RMSNorm"), _each),
}  # fmt: skip
# what any other module's forward does is counted by its nodes: op -> multiply-adds by the shapes of inputs and output
_PRODUCTS: dict[str, Callable[[list[tuple], tuple], int]] = {
    **dict.fromkeys(("matmul", "linear"), lambda inputs, y: math.prod(y) * inputs[0][-1]),
    "conv2d": lambda inputs, y: math.prod(y) * math.prod(inputs[1][1:]),
    "conv2d_input_grad": lambda inputs, y: math.prod(inputs[0]) * math.prod(inputs[1][1:]),
}
# ops that multiply and have no entry above; outside a layer that is counted, they are reported
_HEAVY = ("conv", "lstm", "gru", "rnn")


@dataclass
class Row:
    """One layer, or what a module's forward does besides calling its children.

    `name`: its path. `kind`: its class. `output`: the shape of its (first) output, None if it was not called. `calls`:
    how often. `parameters`: how many of its own, those shared with an earlier row left out. `multiply_adds`: of all
    calls; None if unknown. `kept`: bytes of activations that stay in memory for its backward.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None = None
    calls: int = 0
    parameters: int = 0
    multiply_adds: int | None = 0
    kept: int = 0


@dataclass
class Summary:
    """What `summary` found; `str()` is a table.

    `rows`: one for each layer. `parameters`, `trainable`: how many numbers, and how many of them are trained.
    `multiply_adds`: of one forward pass, without those of `uncounted`. `uncounted`: what had to be left out.
    `activations`: bytes that a training step's forward leaves in memory for its backward. `peak`: bytes of activations
    and their gradients at the worst moment of the backward, without workspaces of the kernels. `parameter_bytes`: of
    the parameters; their gradients take as much again, and an optimizer its own multiple. `notes`: what else to know.
    """

    rows: list[Row]
    inputs: list[tuple[int, ...]]
    parameters: int = 0
    trainable: int = 0
    multiply_adds: int = 0
    activations: int = 0
    peak: int = 0
    parameter_bytes: int = 0
    uncounted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "multiply-adds", "kept")
        table = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(head))]
        lines = []
        for line in table:
            left = [text.ljust(width) for text, width in zip(line[:3], widths, strict=False)]
            right = [text.rjust(width) for text, width in zip(line[3:], widths[3:], strict=False)]
            lines.append("  ".join([*left, *right]).rstrip())
        lines.insert(1, "-" * max(map(len, lines)))
        lines.append(lines[1])
        frozen = self.parameters - self.trainable
        fixed = f", {frozen:,} of them fixed" if frozen else ""
        shapes = " and ".join(_sizes(shape) for shape in self.inputs)
        lines += [
            f"input          {shapes}",
            f"parameters     {self.parameters:,}{fixed}; {size_of(self.parameter_bytes)}, and as much for gradients",
            f"multiply-adds  {self.multiply_adds:,} in a forward pass",
            f"activations    {size_of(self.activations)} kept for backward, {size_of(self.peak)} at its peak",
        ]
        lines += [f"not counted    {text}" for text in self.uncounted]
        lines += [f"note           {text}" for text in self.notes]
        return "\n".join(lines)


def summary(model: Module, input: Tensor | Sequence[Any], batch_size: int = 1) -> Summary:
    """Run `model` forward once, as in a training step, and tell what it consists of and what it costs.

    input: the shape of one sample, without the batch dimension (zeros are made of it), or a Tensor, or a list of all
    that forward takes, Tensors among them. Parameters, buffers, modes and random numbers are left as they were.

    Multiply-adds are those of linear, convolutional and recurrent layers and of matrix products, attention's too,
    and one for each element of a normalisation. Activations, pooling, sums and embeddings count as none. Memory is what
    the recorded graph really holds, each array once, without parameters and input; that of the backward is what follows
    from it.

    Raises:
        TypeError: not a Module, or an input of another kind.
        ValueError: a shape or a batch size out of range; otherwise what the forward raises.

    >>> print(summary(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), (8,)))
    layer  kind    output  parameters  multiply-adds  kept
    ------------------------------------------------------
    0      Linear  1x4             36             32   0 B
    1      ReLU    1x4              0              0  16 B
    2      Linear  1x2             10              8   0 B
    ------------------------------------------------------
    input          1x8
    parameters     46; 184 B, and as much for gradients
    multiply-adds  40 in a forward pass
    activations    16 B kept for backward, 48 B at its peak
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: expected a Module, got {type(model).__name__}")
    inputs = _inputs(model, input, batch_size)
    notes: list[str] = []
    try:
        calls, nodes = _run(model, inputs, True)
    except ValueError:
        if any(x.ndim == 0 or x.shape[0] != 1 for x in _tensors(inputs)):
            raise
        calls, nodes = _run(model, inputs, False)  # one value in each channel has no variance
        notes.append("the forward pass was one of eval mode: this model cannot be trained on a batch of one")
    rows, uncounted = _rows(model, calls, nodes)
    result = Summary(rows, [_shape(x) for x in _tensors(inputs)], uncounted=uncounted, notes=notes)
    for p in model.parameters():
        n = math.prod(_shape(p))
        result.parameters += n
        result.trainable += n if p.requires_grad else 0
        result.parameter_bytes += p.array.nbytes
    result.multiply_adds = sum(row.multiply_adds or 0 for row in rows)
    _measure(result, model, inputs, calls, nodes)
    return result


# ------------------------------------------------------------------------------------------------------ the forward
@dataclass(eq=False)
class _Call:
    """One call of a module: its place in the count of nodes, and what it gave."""

    module: Module
    start: int
    outer: _Call | None
    end: float = math.inf
    output: tuple[int, ...] | None = None
    multiply_adds: int = 0


def _inputs(model: Module, input: Any, batch_size: int) -> list[Any]:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"summary: batch_size should be a whole number of at least 1, got {batch_size!r}")
    given = [input] if isinstance(input, Tensor) else input
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"summary: expected the shape of a sample, or Tensors, got {type(input).__name__}")
    if next(_tensors(given), None) is not None:
        return list(given)
    if any(isinstance(n, bool) or not isinstance(n, int) for n in given):
        raise TypeError(f"summary: expected the shape of a sample, or Tensors, got {input!r}")
    if any(n < 1 for n in given):
        raise ValueError(f"summary: sizes should be at least 1, got the shape {tuple(given)}")
    x = zeros(batch_size, *given)
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    return [x if like is None else x.to(like.device, like.dtype)]


def _run(model: Module, inputs: list[Any], training: bool) -> tuple[list[_Call], list[Node]]:
    """The calls of one forward in the order of their beginnings, and the nodes that it recorded, newest first."""
    calls: list[_Call] = []
    open_: list[_Call] = []

    def before(module: Module, args: Any) -> None:
        open_.append(_Call(module, tick(), open_[-1] if open_ else None))
        calls.append(open_[-1])

    def after(module: Module, args: Any, kwargs: Any, output: Any) -> None:
        call, found, taken = open_.pop(), list(_tensors(output)), list(_tensors((args, kwargs)))
        call.end = tick()
        if found:
            call.output = _shape(found[0])
            count = _known(module)
            call.multiply_adds = count(module, taken, found[0]) if count is not None else 0

    modes = [(m, m.training) for m in model.modules()]
    buffers = [(b, b.clone()) for b in model.buffers()]
    handles = [m.register_forward_pre_hook(before) for m, _ in modes]
    handles += [m.register_forward_hook(after, with_kwargs=True) for m, _ in modes]
    random = default_generator().get_state()
    try:
        model.train(training)
        with enable_grad():
            output = model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, was in modes:
            module.training = was
        for buffer, value in buffers:
            buffer.data = value
        default_generator().set_state(random)
    return calls, _recorded(_tensors(output))


def _known(module: Module) -> Callable[[Any, list[Tensor], Tensor], int] | None:
    """What counts the multiply-adds of a layer of minidl.nn; None for any other module."""
    for base in type(module).__mro__:
        if base.__module__.startswith(nn.__name__ + ".") and base.__name__ in _COUNT:
            return _COUNT[base.__name__]
    return None


def _products(node: Node) -> int | None:
    """The multiply-adds of a node; None if it has some, but nothing here says how many."""
    count = _PRODUCTS.get(node.op.name)
    if count is None:
        return None if node.op.name.startswith(_HEAVY) else 0
    shapes = []
    for i, edge in enumerate(node.parents):
        if edge is None:
            shapes.append(getattr((node.inputs or ())[i], "shape", ()))
        elif (parent := _node(edge)) is not None:
            shapes.append(parent.outputs[edge[1] if isinstance(edge, tuple) else 0][0])
        else:
            shapes.append(edge.array.shape)
    return count(shapes, node.outputs[0][0])


def _tensors(x: Any) -> Iterator[Tensor]:
    """The Tensors in nested tuples, lists and dicts."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, (tuple, list)):
        for item in x:
            yield from _tensors(item)
    elif isinstance(x, dict):
        yield from _tensors(list(x.values()))


def _node(edge: Any) -> Node | None:
    edge = edge[0] if isinstance(edge, tuple) else edge
    return edge if isinstance(edge, Node) else None


def _recorded(outputs: Iterator[Tensor]) -> list[Node]:
    """All nodes behind these Tensors, newest first."""
    stack = [node for t in outputs if (node := _node(t.edge)) is not None]
    seen = set(stack)
    while stack:
        for parent in stack.pop().parents:
            node = _node(parent)
            if node is not None and node not in seen:
                seen.add(node)
                stack.append(node)
    return sorted(seen, key=lambda node: node.order, reverse=True)


# ---------------------------------------------------------------------------------------------------- what it found
class _Owners:
    """Which call recorded a node: the innermost that was going on."""

    def __init__(self, calls: list[_Call]) -> None:
        self._calls, self._starts = calls, [call.start for call in calls]

    def __call__(self, node: Node) -> _Call | None:
        i = bisect_right(self._starts, node.order) - 1
        call = self._calls[i] if i >= 0 else None
        while call is not None and call.end < node.order:
            call = call.outer
        return call


def _rows(model: Module, calls: list[_Call], nodes: list[Node]) -> tuple[list[Row], list[str]]:
    """A row for each module that does something itself, in the order of first calls, and what was not counted."""
    owner_of = _Owners(calls)
    busy: dict[Module, list[Node]] = {}  # what a module's own forward recorded
    for node in nodes:
        if (call := owner_of(node)) is not None:
            busy.setdefault(call.module, []).append(node)
    names = {m: name for name, m in model.named_modules()}
    modules = list(dict.fromkeys([*(call.module for call in calls), *names]))
    rows, seen, uncounted = [], set[Parameter](), []
    for module in modules:
        kind, own = type(module).__name__, [p for p in module.parameters(recurse=False) if p not in seen]
        seen.update(own)
        mine = [call for call in calls if call.module is module]
        leaf = next(module.children(), None) is None
        if not (own or module in busy or (leaf and (mine or module is model))):
            continue
        row = Row(names.get(module, "(made anew)") or "(model)", kind, None, len(mine))
        row.parameters = sum(math.prod(_shape(p)) for p in own)
        row.output = next((call.output for call in mine if call.output is not None), None)
        did = {} if _known(module) else {node: _products(node) for node in busy.get(module, ())}
        unknown = sorted({node.op.name for node, count in did.items() if count is None})
        row.multiply_adds = sum(call.multiply_adds for call in mine) + sum(count or 0 for count in did.values())
        foreign = not type(module).__module__.startswith(nn.__name__)
        if unknown or (own and mine and foreign and row.multiply_adds == 0):
            row.multiply_adds = None
            what = f"{', '.join(unknown)} in {kind}.forward" if unknown else f"whatever {kind} does with its parameters"
            uncounted.append(f"{row.name}: {what}")
        rows.append(row)
    return rows, uncounted


def _base(array: Any) -> Any:
    """The array that owns the memory which `array` is a view of: that is what stays alive."""
    while array.base.__class__ in BACKENDS:
        array = array.base
    return array


def _held(node: Node) -> dict[int, Any]:
    """The memory that a node keeps for its backward, by identity."""
    vjps = node.vjps if node.vjps.__class__ is tuple else (node.vjps,)
    seen: set = set()
    arrays = [a for f in vjps if f is not None for a in captured(f, seen)]
    arrays += [a for a in (*(node.inputs or ()), *node.static.values()) if a.__class__ in BACKENDS]
    return {id(base): base for base in map(_base, arrays)}


def _measure(result: Summary, model: Module, inputs: list[Any], calls: list[_Call], nodes: list[Node]) -> None:
    """Fill in what memory the graph holds, row by row, and the most that the walk back along it needs.

    A gradient is in memory from the first vjp that gives it until its node was walked through; what only that node held
    is then free.
    """
    free = {id(_base(t.array)) for t in (*model.parameters(), *model.buffers(), *_tensors(inputs))}
    held = {node: {key: base for key, base in _held(node).items() if key not in free} for node in nodes}
    owner_of, names = _Owners(calls), {m: name or "(model)" for name, m in model.named_modules()}
    rows, first, last = {row.name: row for row in result.rows}, dict[int, Any](), dict[int, Node]()
    for node in reversed(nodes):
        call = owner_of(node)
        row = rows.get(names.get(call.module, "(made anew)")) if call else None
        for key, base in held[node].items():
            last.setdefault(key, node)  # the oldest that holds it is the last to let it go
            if key not in first:
                first[key] = base
                result.activations += base.nbytes
                if row is not None:
                    row.kept += base.nbytes
    # the walk begins with a gradient of the newest node
    gradients: dict[Any, int] = {node: sum(math.prod(s) * d.itemsize for s, d in node.outputs) for node in nodes[:1]}
    live = result.activations + sum(gradients.values())
    for node in nodes:
        for edge in node.parents:
            if (parent := _node(edge)) is not None and edge not in gradients:
                shape, dtype = parent.outputs[edge[1] if isinstance(edge, tuple) else 0]
                gradients[edge] = math.prod(shape) * dtype.itemsize
                live += gradients[edge]
        result.peak = max(result.peak, live)
        live -= gradients.pop(node, 0) + sum(gradients.pop((node, i), 0) for i in range(len(node.outputs)))
        live -= sum(base.nbytes for key, base in held[node].items() if last[key] is node)


# ------------------------------------------------------------------------------------------------------------- text
def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"


def _cells(row: Row) -> tuple[str, ...]:
    output = "not called" if not row.calls else "-" if row.output is None else _sizes(row.output)
    times = f" (called {row.calls} times)" if row.calls > 1 else ""
    count = "?" if row.multiply_adds is None else f"{row.multiply_adds:,}"
    return row.name, row.kind + times, output, f"{row.parameters:,}", count, size_of(row.kept)


def size_of(n: float) -> str:
    """1536 as '1.5 kB': powers of 1000, as disks and GPUs count."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 999.5 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" or n >= 99.95 else f"{n:.1f} {unit}"
        n /= 1000
    raise AssertionError("GB is the last unit")
