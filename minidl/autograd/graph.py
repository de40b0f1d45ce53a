"""The graph as tools see it that draw or watch it: a node's neighbours, hooks and notes, and `GradientEdge`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..backend import backend_of
from ..engine import Node, sum_to
from ..tensor import Handle, Tensor, wrap

__all__ = ["GradientEdge", "Node", "get_gradient_edge", "increment_version"]

_notes: WeakKeyDictionary[Node, dict] = WeakKeyDictionary()
_accumulators: WeakValueDictionary[int, AccumulateGrad] = WeakValueDictionary()  # by the leaf's id: it is held


class GradientEdge(NamedTuple):
    """One output of a node: what `grad` also takes in place of a Tensor."""

    node: Node
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge by which a Tensor's gradient comes."""
    if isinstance(tensor, GradientEdge):
        return tensor
    if not tensor.requires_grad:
        raise RuntimeError("get_gradient_edge: this tensor does not require a gradient")
    node = tensor.grad_fn if tensor.edge is not None else accumulator(tensor)
    return GradientEdge(node, output_nr(tensor), tensor.edge or tensor)


def edge_of(given: GradientEdge):
    """A GradientEdge as the engine's."""
    if given.ownership_token is not None:
        return given.ownership_token
    if isinstance(given.node, AccumulateGrad):
        return given.node.variable
    return (given.node, given.output_nr) if len(given.node.outputs) > 1 else given.node


def increment_version(tensor) -> None:
    """Count a change in place that was made behind the engine's back."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        t.changed()


def output_nr(tensor: Tensor) -> int:
    """Which output of its node a Tensor is."""
    return tensor.edge[1] if type(tensor.edge) is tuple else 0


def retains_grad(tensor: Tensor) -> bool:
    """Whether an interior Tensor keeps its gradient, see `retain_grad`."""
    kept = tensor.grad_fn.retained if tensor.edge is not None else None
    return bool(kept and output_nr(tensor) in kept and kept[output_nr(tensor)]() is tensor)


class AccumulateGrad(Node):
    """What stands at a leaf: it adds to the leaf's `.grad`. Made when it is asked for; the engine needs none."""

    variable: Tensor
    __slots__ = ("variable",)

    def name(self) -> str:
        """Its name."""
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"

    @property
    def next_functions(self) -> tuple:
        """Nothing: here the walk ends."""
        return ()

    def register_prehook(self, hook: Callable) -> Handle:
        """Call `hook(grad_outputs)` before the gradient, the only one, is added; it may return others."""
        return self.variable.register_hook(lambda g: _only(hook((g,))))

    def register_hook(self, hook: Callable) -> Handle:
        """Call `hook((), grad_outputs)` after the gradient was added to the leaf's."""
        arrived: list[Tensor] = []
        before = self.variable.register_hook(arrived.append)
        after = self.variable.register_post_accumulate_grad_hook(lambda _: hook((), (arrived.pop(),)))
        return _Both(before, after)


class _Both(Handle):
    def __init__(self, *handles: Handle) -> None:
        self._handles = handles

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def accumulator(leaf: Tensor) -> AccumulateGrad:
    """The AccumulateGrad of a leaf, one and the same as long as somebody holds it."""
    found = _accumulators.get(id(leaf))
    if found is None or found.variable is not leaf:
        _accumulators[id(leaf)] = found = object.__new__(AccumulateGrad)
        found.variable, found.parents, found.outputs = leaf, (), ((leaf.array.shape, leaf.array.dtype),)
    return found


def _next_functions(self: Node) -> tuple:
    """For each input (node, output number): an AccumulateGrad for a leaf, (None, 0) where no gradient goes."""
    edges = []
    for p in self.parents:
        node = p if p is None or isinstance(p, (tuple, Node)) else accumulator(p)
        edges.append(node if isinstance(node, tuple) else (node, 0))
    return tuple(edges)


def _metadata(self: Node) -> dict:
    """A dict for notes about this node."""
    return _notes.setdefault(self, {})


class _NodeHooks:
    """The hooks of a node as a whole: before its vjps run, and after."""

    def __init__(self, node: Node) -> None:
        self.before: dict[int, Callable] = {}
        self.after: dict[int, Callable] = {}
        self.name, self.shapes = node.op.name, [_shape(p) for p in node.parents]

    def __call__(self, gs, vjps):
        """The gradients after the hooks before, and the vjps with the hooks after."""
        recorded = any(isinstance(g, Tensor) for g in gs)
        for hook in list(self.before.values()):
            gs = _answer(self.name, hook(_tensors(gs)), gs, recorded)
        if not self.after:
            return gs, vjps

        def joint(*gs, needs):
            if vjps.__class__ is tuple:
                found: list[Any] = [f(*gs) if f and need else None for f, need in zip(vjps, needs, strict=True)]
            else:
                found = list(vjps(*gs, needs=needs))
            for i, (shape, need) in enumerate(zip(self.shapes, needs, strict=True)):
                if not need:
                    found[i] = None
                elif found[i] is not None and found[i].shape != shape:
                    found[i] = sum_to(found[i], shape, self.name)
            for hook in list(self.after.values()):
                found = _answer(self.name, hook(_tensors(found), _tensors(gs)), found, recorded)
            return found

        return gs, joint


def _shape(p):
    """The shape of what stands at an edge."""
    if p is None:
        return None
    if isinstance(p, Tensor):
        return p.array.shape
    node, i = p if type(p) is tuple else (p, 0)
    return node.outputs[i][0]


def _tensors(gs) -> tuple:
    """Gradients as Tensors that a hook may keep."""
    return tuple([g if g is None or isinstance(g, Tensor) else wrap(backend_of(g).copy(g)) for g in gs])


def _only(answer):
    return answer[0] if isinstance(answer, tuple) else answer


def _answer(name: str, answer, gs, recorded: bool) -> list:
    if answer is None:
        return gs
    answer = answer if isinstance(answer, (tuple, list)) else (answer,)
    if len(answer) != len(gs):
        raise RuntimeError(f"hook on '{name}': expected {len(gs)} gradients or None, got {len(answer)}")
    # a view, so that the engine never adds to an array that the hook may hold as well
    return [g if g is None or recorded else g.array[...] if hasattr(g.array, "flags") else g.array for g in answer]


def _hooks_of(node: Node) -> _NodeHooks:
    node.hooks = {} if node.hooks is None else node.hooks
    return node.hooks.setdefault(None, _NodeHooks(node))


def _register_hook(self: Node, hook: Callable) -> Handle:
    """Call `hook(grad_inputs, grad_outputs)` after this node's vjps; what it returns replaces the grad_inputs."""
    return Handle(_hooks_of(self).after, hook)


def _register_prehook(self: Node, hook: Callable) -> Handle:
    """Call `hook(grad_outputs)` before this node's vjps; what it returns replaces them."""
    return Handle(_hooks_of(self).before, hook)


_added: dict[str, Any] = {"register_hook": _register_hook, "register_prehook": _register_prehook}
_added |= {"next_functions": property(_next_functions), "metadata": property(_metadata)}
for _name, _value in _added.items():
    setattr(Node, _name, _value)
Tensor.retains_grad = property(retains_grad)
Tensor.output_nr = property(output_nr)
