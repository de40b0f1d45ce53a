"""Gradients on demand: `backward`, `grad`, and the replay that makes a backward differentiable itself."""

from __future__ import annotations

import warnings
from typing import Any

from .. import modes
from ..backend import BACKENDS, backend_of
from ..engine import FUNCTIONS, Aux, accumulate, walk
from ..guards import refuse_changed, refuse_released
from ..modes import mode
from ..tensor import Tensor, describe, wrap
from .graph import GradientEdge, edge_of


def backward(
    tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None
) -> None:
    """Add the gradients of all `tensors` to `.grad` of the leaves that require one (of `inputs` alone if given).

    grad_tensors: dL/d(tensor) for each tensor, of its shape; None for a scalar means 1 (grad_variables is its old name,
    which warns). retain_graph: keep the graph for
    another backward. create_graph: record the backward itself, for higher derivatives (which keeps the graph too).
    """
    if grad_variables is not None:
        warnings.warn("backward: grad_variables is deprecated; use grad_tensors", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError("backward: got both grad_tensors and grad_variables, which mean the same")
        grad_tensors = grad_variables
    tensors, gradients = _sequence(tensors), None if grad_tensors is None else _sequence(grad_tensors)
    wanted = None
    if inputs is not None:
        inputs = _sequence(inputs)
        if not inputs:
            raise RuntimeError("backward: `inputs` is empty")
        wanted = {_edge(t, "backward") for t in inputs}
    found, owned = _walk(tensors, gradients, wanted, retain_graph, create_graph, "backward")
    for edge, g in found.items():
        if isinstance(edge, Tensor):
            accumulate(edge, g, edge in owned, create_graph)
        elif inputs is not None:  # an interior tensor that was asked for by name
            accumulate(next(t for t in inputs if t.edge == edge), g, False, create_graph)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
) -> tuple[Tensor | None, ...]:
    """d(sum of grad_outputs * outputs) / d(inputs) as new Tensors; `.grad` is left alone.

    allow_unused: None for an input that no output depends on, which is an error otherwise. materialize_grads: zeros
    for it. Interior tensors may be inputs too. is_grads_batched: the grad_outputs, and so the results, have a first
    dimension more, for several of them (one after the other: it saves no time). only_inputs: is always so; False warns.

    >>> x = Tensor([3.0]).requires_grad_()
    >>> (g,) = grad((x * x * x).sum(), x, create_graph=True)
    >>> (h,) = grad(g.sum(), x); g.item(), h.item()
    (27.0, 18.0)
    """
    if not only_inputs:
        warnings.warn("grad: only_inputs=False is no longer possible, in PyTorch too", FutureWarning, stacklevel=2)
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    edges = [_edge(t, "grad") for t in inputs]
    gradients = None if grad_outputs is None else _sequence(grad_outputs)
    found, _ = _walk(outputs, gradients, set(edges), retain_graph, create_graph, "grad")
    result: list[Tensor | None] = []
    for i, (t, edge) in enumerate(zip(inputs, edges, strict=True)):
        g = found.get(edge)
        if g is not None and not isinstance(g, Tensor):
            g = wrap(backend_of(g).copy(g))  # never the memory of another gradient, or of a seed
        if g is None and materialize_grads and isinstance(t, Tensor):
            g = wrap(backend_of(t.array).zeros_like(t.array))
        if g is None and not allow_unused:
            raise RuntimeError(f"grad: no output depends on input {i}; pass allow_unused=True to get None for it")
        result.append(g)
    return tuple(result)


def _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads):
    """`grad` for each row of the grad_outputs, stacked."""
    gradients = _sequence(grad_outputs)
    sizes = {g.shape[0] if isinstance(g, Tensor) and g.ndim else None for g in gradients if g is not None}
    if len(sizes) != 1 or sizes in ({0}, {None}):
        raise RuntimeError("grad: with is_grads_batched the grad_outputs need a common first dimension")
    n: Any = sizes.pop()
    getitem, rows = FUNCTIONS["getitem"], []
    for i in range(n):
        row = [None if g is None else getitem(g, index=i) for g in gradients]
        keep = True if i < n - 1 else retain_graph
        rows.append(grad(outputs, inputs, row, keep, create_graph, True, allow_unused, False, materialize_grads))
    return tuple(
        [None if column[0] is None else FUNCTIONS["pile"](*column, axis=0) for column in zip(*rows, strict=True)]
    )


def _sequence(x) -> list:
    return [x] if isinstance(x, (Tensor, GradientEdge)) or x is None else x if x.__class__ is list else list(x)


def _edge(t, where: str):
    if isinstance(t, GradientEdge):
        return edge_of(t)
    if not isinstance(t, Tensor) or not t._requires_grad:
        raise RuntimeError(f"{where}: one of the inputs is not a Tensor that requires a gradient")
    return t.edge or t


def _walk(tensors, gradients, wanted, retain_graph, create_graph, where):
    if gradients is not None and len(gradients) != len(tensors):
        raise RuntimeError(f"{where}: {len(tensors)} tensors but {len(gradients)} gradients")
    seeds = [_seed(t, g, create_graph, where) for t, g in zip(tensors, gradients or [None] * len(tensors), strict=True)]
    retain = create_graph if retain_graph is None else retain_graph
    before, mode.grad = (mode.grad, mode.autocast), create_graph
    if create_graph:  # the vjps' own ops stay in the precision that the forward had
        mode.autocast = None
    try:
        return walk(seeds, wanted, retain, replay if create_graph else None)
    finally:
        mode.grad, mode.autocast = before


def _seed(t: Tensor, g, create_graph: bool, where: str):
    if not t._requires_grad:
        raise RuntimeError(f"{where}: the tensor does not require a gradient and was not computed from one that does")
    array = t.array
    if g is None:
        if array.size != 1:
            raise RuntimeError(f"{where}: only a scalar has an implicit gradient; this is {describe(array)}: pass one")
        g = backend_of(array).ones_like(array)
    seed = g.array if isinstance(g, Tensor) else g
    if type(seed) is not type(array) or seed.shape != array.shape:
        got = describe(seed) if seed.__class__ in BACKENDS else type(seed).__name__
        raise RuntimeError(f"{where}: the gradient must be like the tensor, {describe(array)}, got {got}")
    if create_graph:
        return t.edge or t, g if isinstance(g, Tensor) else wrap(g)
    return t.edge or t, seed if seed.dtype == array.dtype else backend_of(seed).astype(seed, dtype=array.dtype)


# --------------------------------------------------------------------------------------------- higher derivatives
def replay(nodes, known=None) -> dict:
    """vjps over Tensors for all nodes: their forward once more, oldest first, each output standing for the original.

    known: Tensors for edges that come from outside `nodes`.
    """
    outputs, vjps = dict(known or {}), {}
    for node in reversed(nodes):
        y: Any
        if node.vjps is None:
            refuse_released(node)
        if modes.last_change > node.order:  # also where no gradient goes: its value would be computed anew
            refuse_changed(node, True)
        if node.op.body is None:  # a Function: what it gave stands, and its backward works on Tensors as it is
            outs = [o if o.__class__ is Aux else wrap(o) for o in node.inputs or ()]
            y, vjps[node] = tuple(outs) if node.static["several"] else outs[0], node.vjps
        else:
            inputs = [
                outputs.get(p, p) if p is not None else wrap(c) if c.__class__ in BACKENDS else c
                for p, c in zip(node.parents, node.inputs or node.parents, strict=True)
            ]
            inputs = node.op.promoted(inputs)
            if node.op.composed is None:
                y, vjps[node] = node.op.body(*inputs, **node.static)
            else:
                y, vjps[node] = _composed(node.op.composed, inputs, node.static)
        for i, o in enumerate(y if y.__class__ is tuple else (y,)):
            if o.__class__ is not Aux:
                edge = (node, i) if y.__class__ is tuple else node
                outputs[edge] = t = wrap(o.array)
                t.edge, t._requires_grad = edge, True
    return vjps


def _composed(definition, inputs, static):
    """A fused op's plain definition: its outputs, and their joint vjp through the ops that it is made of."""
    heads = [FUNCTIONS["identity"](x) if isinstance(x, Tensor) and x._requires_grad else x for x in inputs]
    known = {x.edge: x for x in heads if isinstance(x, Tensor) and x._requires_grad}
    outputs = definition(*heads, **static)

    def joint(*gs, needs):
        ys = outputs if outputs.__class__ is tuple else (outputs,)
        seeds = [(y.edge, g) for y, g in zip(ys, gs, strict=True) if g is not None and y._requires_grad]
        found, _ = walk(seeds, set(known), True, lambda nodes: replay(nodes, known), frozenset(known))
        return [found.get(x.edge) if isinstance(x, Tensor) and x._requires_grad else None for x in heads]

    return outputs, joint
