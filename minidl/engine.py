"""The tape: ops that record themselves as Nodes, and the walk back along them.

An op is a pure function that returns its result and, for each input, the function that turns the gradient of the result
into the gradient of that input (a "vjp"). Calling it on Tensors records a Node; the walk goes from the newest Node to
the oldest. `autograd/` starts it and, for higher derivatives, replays the forward so that backward records itself.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from . import modes
from .backend import BACKENDS, ArgumentError, backend_of
from .backend.dtypes import as_dtype, result_type
from .guards import check_gradient, check_values, refuse_changed, refuse_released, user_line
from .modes import mode, tick
from .tensor import Aux, Parameter, Tensor, describe, living_base, wrap

OPS: dict[str, Op] = {}
FUNCTIONS: dict[str, Callable] = {}  # the same as functions, and what has NumPy's name but is several ops
_order = attrgetter("order")
_new = object.__new__
_ALL = slice(None)
_SCALARS = frozenset((float, int, bool, type(None)))


# ------------------------------------------------------------------------------------------------------------ ops
class Node:
    """One recorded call of an op: its vjps, and the nodes or leaf Tensors its inputs came from."""

    order: int  # when it was recorded, in the count that in-place changes share
    # `autograd/graph.py` adds what only tools ask for: next_functions, metadata, hooks
    op: Op
    parents: Any  # for each input the edge it came by: a Node, a (Node, output number), a leaf Tensor, or None
    vjps: Any  # for each input a function of the outputs' gradients, or one function for all; None once released
    inputs: list | None  # the constant inputs, for the replay; None if there are none
    static: dict[str, Any]
    outputs: tuple  # (shape, dtype) of each output
    cells: Any  # the versions of the Tensors that it read or made
    hooks: dict | None  # by the output's number; None: on the node itself
    retained: dict | None  # output number -> weak reference to the Tensor that keeps its gradient
    where: tuple | None  # in anomaly mode: the modules being called, and the line of the program
    __slots__ = (*__annotations__, "__weakref__")

    def name(self) -> str:
        """The op's name."""
        return self.op.name

    def __repr__(self) -> str:
        return f"<{self.op.name}>"


class Op:
    """A differentiable function `body(*inputs, **static) -> (y, vjps)`; see `op`."""

    def __init__(self, body, composed=None, promote: slice | None = _ALL, floating=False, view=False, put=None):
        functools.update_wrapper(self, body)
        self.name, self.body, self.composed = body.__name__, body, composed
        self.promote, self.floating, self.view, self.put = promote, floating, view, put
        self.function = _function(self)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *inputs, **static):
        return self.function(*inputs, **static)

    def _several(self, y, node, first) -> tuple:
        """The outputs of an op that has more than one."""
        outs, shapes = [], []
        for i, o in enumerate(y):
            out = wrap(_plain(o))
            shapes.append((out.array.shape, out.array.dtype))
            if self.view:
                _seen_from(out, first, None, None)
            if node is not None and o.__class__ is not Aux and out.array.dtype.kind == "f":
                out.edge, out._requires_grad = (node, i), True
                node.cells.append(out.version)
            outs.append(out)
        if node is not None:
            node.outputs = tuple(shapes)
        return tuple(outs)

    def promoted(self, xs) -> list:
        """The inputs (arrays or Tensors) cast to the dtype that PyTorch's promotion gives them."""
        if self.promote is None:
            return xs
        dtypes = {x.dtype for x in xs[self.promote] if hasattr(x, "dtype")}
        if len(dtypes) == 1 and as_dtype(next(iter(dtypes))).is_floating_point:
            return xs
        out = list(xs)
        kinds = [
            (np.dtype(x.dtype), x.ndim == 0) if hasattr(x, "dtype") else type(x)
            for x in xs[self.promote]
            if x is not None
        ]
        to = result_type(tuple(kinds), self.floating, mode.dtype)
        for i in range(len(xs))[self.promote]:
            if hasattr(xs[i], "dtype") and xs[i].dtype != to:
                out[i] = backend_of(xs[i]).astype(xs[i], dtype=to)
        return out

    def _scalar(self, x):
        """A NumPy scalar as a Python scalar, so that it does not promote; anything else is refused."""
        if isinstance(x, np.generic):
            return x.item()
        raise TypeError(f"{self.name}: expected Tensors, arrays or numbers, got {type(x).__name__}")

    def _refuse_devices(self, inputs) -> None:
        found = [describe(x.array if isinstance(x, Tensor) else x) for x in inputs if hasattr(x, "dtype")]
        raise TypeError(f"{self.name}: all tensors must be on one device, got {'; '.join(found)}")

    def _explain(self, error, arrays) -> None:
        """Put the op and its inputs in front of the array library's words, unless the op has spoken itself."""
        text = str(error)
        if not text.startswith(self.name):
            told = describe if "device" in text else lambda a: str(tuple(a.shape))
            shapes = ", ".join([told(a) if hasattr(a, "shape") else repr(a) for a in arrays])
            text = f"{self.name}: {text} (inputs: {shapes})"
            if isinstance(error, np.exceptions.AxisError):  # keeps its text elsewhere
                raise IndexError(text) from error
            error.args = (text,)
        if type(error) is ValueError:
            raise ArgumentError(text) from error


def _function(self: Op):
    """The function that calls an op: a plain one, since Python calls those fastest and binds them as methods."""

    def call(*inputs, **static):
        arrays, edges, cells = [], [], []
        tracked = partly = mixed = fractional = False
        dtype: Any = None
        kind: type | None = None
        watching = modes.watching
        if watching:
            [x.current() for x in inputs if isinstance(x, Tensor) and x._base is not None]
            if mode.autocast is not None:
                inputs = mode.autocast(self, inputs)
        for x in inputs:
            if isinstance(x, Tensor):
                cells.append(x.version)
                if x._requires_grad:
                    tracked = True
                    edges.append(x.edge or x)
                else:
                    partly = True
                    edges.append(None)
                x = x.array
            else:
                partly = True
                edges.append(None)
                if x.__class__ not in BACKENDS:
                    if x.__class__ not in _SCALARS:
                        x = self._scalar(x)
                    fractional = fractional or x.__class__ is float
                    arrays.append(x)
                    continue
            arrays.append(x)
            if x.dtype is not dtype:
                mixed = mixed or dtype is not None
                dtype = x.dtype
            if x.__class__ is not kind:
                if kind is not None:
                    self._refuse_devices(inputs)
                kind = x.__class__
        if not cells:  # no Tensor: the plain function
            y, _ = self.body(*arrays, **static)
            return tuple([_plain(o) for o in y]) if y.__class__ is tuple else _plain(y)
        if (mixed or ((fractional or self.floating) and dtype.kind != "f")) and self.promote is not None:
            arrays = self.promoted(arrays)
        try:
            y, vjps = self.body(*arrays, **static)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            self._explain(error, arrays)
            raise
        if watching and mode.anomaly:
            check_values(self, y, "forward", given=arrays)
        several = y.__class__ is tuple
        if not several and y.__class__ not in BACKENDS:
            y = np.asarray(y)  # arithmetic on 0-d NumPy arrays gives scalars
        node = None
        if tracked and mode.grad and (several or y.dtype is dtype or y.dtype.kind == "f"):
            if vjps.__class__ is tuple and (partly or None in vjps):
                # the vjps that nobody needs are dropped, and with them what only they captured
                edges = [None if f is None else e for f, e in zip(vjps, edges, strict=True)]
                vjps = tuple([None if e is None else f for f, e in zip(vjps, edges, strict=True)])
                partly, tracked = True, any(e is not None for e in edges)
            if tracked:
                if None in cells:
                    raise RuntimeError(
                        f"{self.name}: an inference tensor cannot be recorded for backward; clone it outside"
                    )
                node = _new(Node)
                node.order, node.op, node.parents, node.vjps, node.static = tick(), self, edges, vjps, static
                node.inputs = [a if e is None else None for a, e in zip(arrays, edges, strict=True)] if partly else None
                node.cells, node.hooks, node.retained = cells, None, None
                node.where = (mode.path, user_line()) if watching and mode.anomaly else None
        if several:
            return self._several(y, node, inputs[0])
        out = _new(Tensor)
        out.array = y
        if self.view and (self.view is not True or _is_view(y, arrays[0])):
            _seen_from(out, inputs[0], self, static)
        else:
            out.version = cell = None if mode.inference else [0]
            cells.append(cell)
        if node is not None:
            out.edge, out._requires_grad = node, True
            node.outputs = ((y.shape, y.dtype),)
        return out

    functools.update_wrapper(call, self.body)
    vars(call)["op"] = self
    return call


def op(body=None, *, composed=None, promote: slice | None = _ALL, floating: bool = False, view: Any = False, put=None):
    """Make an op of `body(*inputs, **static) -> (y, vjps)` and enter it in the table of ops.

    inputs are positional: arrays, Python scalars or None. static arguments are keyword-only. `vjps` is a tuple with one
    function `gradient of y -> gradient of the input` for each input (None where there is none), or one function that
    takes the outputs' gradients and `needs` (which inputs want one) and returns all. composed: the plain definition
    that higher derivatives use, for a body that is a fused or in-place kernel. promote: which inputs are brought to a
    common dtype. floating: integers are cast to the default dtype. view: the result may share the first input's memory
    ('always': it does), and put(x, value, **static) is x with the value in the place of that view.

    >>> @op
    ... def cube(x):
    ...     return x * x * x, (lambda g: 3 * g * x * x,)
    >>> x = wrap(np.array(2.0), requires_grad=True)
    >>> cube(x).backward(); x.grad.array
    array(12.)
    """
    if body is None:
        return functools.partial(op, composed=composed, promote=promote, floating=floating, view=view, put=put)
    OPS[body.__name__] = made = Op(body, composed, promote, floating, view, put)
    FUNCTIONS[body.__name__] = made.function
    return made.function


def _is_view(y, x) -> bool:
    """Whether y lies on x's memory; an index with arrays, for one, gives a view of a copy."""
    base = y.base
    return base is not None and (base is x or base is x.base)


def _seen_from(out: Tensor, x: Tensor, op: Op | None, static) -> None:
    """Note that `out` is a view of x, made by `op` (None: one of several), and of what x is a view of."""
    edge, base = x.edge, x._base
    number = edge and (edge.order if edge.__class__ is Node else edge[0].order)
    out.version, out._base = x.version, (weakref.ref(x), base and living_base(base), ((op, static),), number)


def _plain(y):
    y = y.value if y.__class__ is Aux else y
    return y if y.__class__ in BACKENDS else np.asarray(y)


# what B is for a Tensor: the ops under their own names, so that a body runs on Tensors as it does on arrays
class TensorBackend:
    """See above; two names are not ops but facts about the array."""

    def __getattr__(self, name: str) -> Callable:
        try:
            return FUNCTIONS[name]
        except KeyError:
            raise AttributeError(
                f"no op is called {name!r}, so it cannot be applied to a Tensor in an op's body"
            ) from None

    def device_of(self, x: Tensor):
        """The device of a Tensor."""
        return x.device

    def may_share_memory(self, a: Tensor, b: Tensor) -> bool:
        """Whether two Tensors lie on overlapping memory."""
        return backend_of(a.array).may_share_memory(a.array, b.array)


BACKENDS[Tensor] = BACKENDS[Parameter] = TensorBackend()


# ------------------------------------------------------------------------------------------------------- the walk
def reachable(edges, stop) -> list[Node]:
    """All nodes behind `edges` but not behind `stop`, newest first: numbers grow along the tape, so sorting will do."""
    seen = {e[0] if type(e) is tuple else e for e in edges if not isinstance(e, Tensor)}
    stack = list(seen)
    while stack:
        for p in stack.pop().parents:
            if p.__class__ is tuple:
                p = p[0]
            if p.__class__ is Node and p not in seen and p not in stop:
                seen.add(p)
                stack.append(p)
    return sorted(seen, key=_order, reverse=True)


def walk(seeds, wanted=None, retain=False, replay=None, stop=frozenset()):
    """Go back along the tape from `seeds`, a list of (edge, its gradient).

    Returns the gradients of all leaves, or of the `wanted` edges, and the set of those whose memory is nobody else's.
    An edge is a node (its only output), a pair (node, output) or a leaf Tensor. replay: gives the vjps over Tensors.
    """
    grads: dict = {}
    owned: set = set()
    result: dict = {}
    nodes = reachable([edge for edge, _ in seeds], stop)
    needed = None if wanted is None else _needed(nodes, wanted)
    replayed = replay(nodes) if replay else None
    for edge, g in seeds:
        if edge in grads:
            _add(grads, owned, edge, grads[edge], g)
        else:
            grads[edge] = g
    for node in nodes:
        vjps = node.vjps
        if vjps is None:
            refuse_released(node)
        g = grads.pop(node, None)
        gs = [g] if g is not None else [grads.pop((node, i), None) for i in range(len(node.outputs))]
        if g is not None or any(o is not None for o in gs):
            owned.discard(node)
            if node.hooks or node.retained:
                gs = [None if g is None else _hooked(node, i, g) for i, g in enumerate(gs)]
            if wanted is not None:
                for i, g in enumerate(gs):
                    edge = (node, i) if (node, i) in wanted else node
                    if g is not None and edge in wanted:
                        result[edge] = g
            if needed is None or node in needed:
                if modes.last_change > node.order:  # some tensor was changed in place since: one of this node's?
                    refuse_changed(node, replayed is not None)
                parents = node.parents
                if wanted is not None:  # no vjp runs for a side branch
                    parents = [p if _leads(p, wanted, needed) else None for p in parents]
                if replayed:
                    vjps = replayed[node]
                if node.hooks and None in node.hooks:  # those on the node itself
                    gs, vjps = node.hooks[None](gs, vjps)
                _through(node, parents, vjps, gs, grads, owned)
        if not retain and (needed is None or node in needed):
            node.vjps, node.parents, node.inputs, node.cells = None, (), None, ()
    for edge, g in grads.items():  # what is left belongs to leaves, or to edges that `stop` cut off
        if wanted is None or edge in wanted:
            if isinstance(edge, Tensor) and edge._hooks:
                g = _call_hooks(edge._hooks, g)
                owned.discard(edge)  # the hook may hold on to what it returned
            result[edge] = g
    return result, owned


def _through(node, parents, vjps, gs, grads, owned) -> None:
    """Take the gradients `gs` of a node's outputs to its parents, those that are not None."""
    joint = vjps.__class__ is not tuple
    if joint:
        vjps = vjps(*gs, needs=tuple([p is not None for p in parents]))
    for p, g in zip(parents, vjps, strict=True):
        if p is None or g is None or (not joint and (g := g(*gs)) is None):
            continue
        if p.__class__ is Node:
            shape, dtype = p.outputs[0]
        elif p.__class__ is tuple:
            shape, dtype = p[0].outputs[p[1]]
        else:
            shape, dtype = p.array.shape, p.array.dtype
        if g.__class__ not in BACKENDS:
            g = np.asarray(g)
        if g.shape != shape:
            g = sum_to(g, shape, node.op.name)
        if g.dtype != dtype:
            g = backend_of(g).astype(g, dtype=dtype)
        if modes.watching and mode.anomaly:
            check_gradient(node, g)
        if (earlier := grads.get(p)) is not None:
            _add(grads, owned, p, earlier, g)
            continue
        grads[p] = g
        # a vjp gives its argument, a view, or a fresh array, which is then ours to add to
        if g.__class__ is not Tensor and g.base is None and not any(g is o for o in gs):
            owned.add(p)
            if joint:
                gs = [*gs, g]  # in case it comes a second time, for another input


def _add(grads, owned, edge, earlier, g) -> None:
    """Add g to the gradient of `edge`: the first was borrowed, the sum is ours, from then on it is changed in place."""
    if edge in owned and g.__class__ is earlier.__class__:  # else one of them is row-sparse, and the sum is not
        backend_of(g).iadd(earlier, g)
    else:
        total = earlier + g
        grads[edge] = total if total.__class__ in BACKENDS else np.asarray(total)
        if not isinstance(g, Tensor):
            owned.add(edge)


def _needed(nodes, wanted) -> set:
    """The nodes on a path to a wanted edge."""
    needed: set = set()
    for node in reversed(nodes):
        if any(_leads(p, wanted, needed) for p in node.parents):
            needed.add(node)
    return needed


def _leads(p, wanted, needed) -> bool:
    """Whether the edge p is wanted, or on a path to one that is."""
    return p is not None and (p in wanted or (p[0] if p.__class__ is tuple else p) in needed)


def accumulate(leaf: Tensor, g, owned: bool, create_graph: bool) -> None:
    """Add g to `leaf.grad`, in memory that is the leaf's alone."""
    if leaf._grad is None:
        if create_graph:
            leaf._grad = OPS["identity"](g)  # two leaves may be given one Tensor
        else:
            g = g.array if isinstance(g, Tensor) else g
            leaf._grad = wrap(g if owned else backend_of(g).copy(g))
    elif create_graph or (leaf._grad.is_sparse and g.__class__ is not leaf._grad.array.__class__):
        leaf._grad = leaf._grad.to_dense() + g  # the sum is not row-sparse
    else:
        backend_of(g).iadd(leaf._grad.array, g)
        leaf._grad.changed()
    if leaf._accumulated:
        for hook in list(leaf._accumulated.values()):
            hook(leaf)


def sum_to(g, shape, where="sum_to"):
    """g summed over the axes along which `shape` was broadcast to g's shape."""
    B, lead = backend_of(g), g.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)):
        raise RuntimeError(f"backward of '{where}': the gradient has shape {tuple(g.shape)}, the input {tuple(shape)}")
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1)
    return B.reshape(B.sum(g, axis=axes, keepdims=True), shape=shape)


def _call_hooks(hooks, g):
    """g after the hooks, each of which gets a copy that it may change."""
    for hook in list(hooks.values()):
        given = OPS["identity"](g) if isinstance(g, Tensor) else wrap(backend_of(g).copy(g))
        answer = hook(given)
        if answer is not None:
            if not isinstance(answer, Tensor) or (answer.shape, answer.dtype) != (given.shape, given.dtype):
                raise RuntimeError(
                    f"hook: expected a Tensor of shape {tuple(given.shape)} and {given.dtype!r} or None, got {answer!r}"
                )
            given = answer
        g = given if isinstance(g, Tensor) else given.array
    return g


def _hooked(node, index, g):
    if node.hooks and index in node.hooks:
        g = _call_hooks(node.hooks[index], g)
    keeper = node.retained[index]() if node.retained and index in node.retained else None
    if keeper is not None:
        accumulate(keeper, g, False, isinstance(g, Tensor))
    return g
