"""`Function`: a derivative of one's own in PyTorch's form, a class with `forward` and `backward` on Tensors."""

from __future__ import annotations

import functools
import inspect
import warnings
import weakref
from typing import Any

import numpy as np

from .. import modes
from ..backend import backend_of
from ..engine import Node, Op
from ..guards import check_values, user_line
from ..modes import mode, no_grad, tick
from ..tensor import Aux, Tensor, describe, wrap

_new = object.__new__


class FunctionCtx:
    """What `forward` leaves for `backward`: saved Tensors, marks, and any attributes that the two agree on."""

    needs_input_grad: tuple[bool, ...] = ()
    _materialize = True
    _dirty: tuple = ()
    _constant: tuple = ()
    _to_save: tuple = ()
    _saved: tuple = ()  # for each saved Tensor how to make it again: (array, version, edge or leaf, output number)
    _node: Any = None  # a weak reference: the node holds this

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep Tensors for `backward`, which finds them in `saved_tensors`; a change in place of one is noticed.

        Inputs and outputs are to be kept in this way only: as attributes, outputs would keep their graph alive.
        """
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward: argument {i} is a {type(t).__name__}, expected a Tensor or None")
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep Tensors for a `jvp`, which minidl never calls: derivatives along a direction are made of `backward`."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` changed in place; it has to return them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no derivative (indices, masks); integer ones never have."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros for outputs without a gradient (the default), or None."""
        self._materialize = bool(value)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The Tensors that `save_for_backward` kept."""
        return tuple([self._again(*saved) for saved in self._saved])

    def _again(self, array, version, origin, output) -> Tensor | None:
        if array is None or isinstance(origin, Tensor):
            return origin
        t = wrap(array)
        t.version = version
        t.edge = origin if output is None else _edge(self._node(), output)
        t._requires_grad = t.edge is not None
        return t

    def _keep(self, outputs: list, arrays: list) -> list:
        """Turn what `save_for_backward` was given into `_saved`; returns the versions of these Tensors."""
        saved: list = []
        for t in self._to_save:
            place = next((i for i, o in enumerate(outputs) if o is t), None)
            if t is None:
                saved.append((None, None, None, None))
                continue
            if t.version is None:
                raise RuntimeError("save_for_backward: an inference tensor cannot be saved; clone it outside")
            if place is not None:  # never the Tensor itself: it holds the node, which holds this
                saved.append((t.array, t.version, None, place if t._requires_grad else None))
            else:
                saved.append((t.array, t.version, t if t._requires_grad and t.edge is None else t.edge, None))
            arrays.append(t.array)
        self._saved, self._to_save, self._dirty, self._constant = tuple(saved), (), (), ()
        return [version for _, version, _, _ in saved if version is not None]


def _edge(node: Node, i: int):
    return (node, i) if node.static["several"] else node


class Recorded(Op):
    """What stands as the op of a Function's nodes: its name, and no body that could be run again."""

    def __init__(self, name: str) -> None:
        self.name, self.body, self.composed, self.view, self.promote = name, None, None, False, None

    def __call__(self, *inputs, **static):
        raise RuntimeError(f"{self.name}: the forward of a Function is not run again")


class Function(FunctionCtx):
    """Subclass it to write a forward and a backward of your own; call the subclass by `apply`.

    Either `forward(ctx, *args)` keeps what `backward(ctx, *grads)` needs in `ctx`, or `forward(*args)` only computes
    and `setup_context(ctx, inputs, output)` keeps it. Arguments may be of any kind; those that are Tensors may have
    gradients. Nothing is recorded in `forward`. `backward` gets a gradient for each output and returns one (or None)
    for each argument. If it is written with operations on Tensors it can itself be differentiated.

    >>> class Cube(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x * x * g
    >>> x = Tensor([2.0]).requires_grad_()
    >>> y = Cube.apply(x)
    >>> y.backward(); y, x.grad
    (tensor([8.], grad_fn=<CubeBackward>), tensor([12.]))
    """

    _op: Recorded
    _separate = False  # whether there is a setup_context

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = Recorded(f"{cls.__name__}Backward")
        cls._separate = cls.setup_context is not Function.setup_context

    def __init__(self, *args, **kwargs) -> None:
        name = type(self).__name__
        warnings.warn(f"{name} has static methods only: call {name}.apply, do not make one", DeprecationWarning, 2)

    def __call__(self, *args, **kwargs):
        name = type(self).__name__
        raise RuntimeError(f"{name}: a Function is called by {name}.apply(...), with a static forward and backward")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The result for the arguments, with `ctx` before them unless there is a `setup_context`; to be defined."""
        raise NotImplementedError("a Function has to define a static method 'forward'")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """Keep in ctx what `backward` needs of forward's arguments and of its result."""
        raise NotImplementedError("setup_context is not defined")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """A gradient for each argument of forward, made of the gradients of the outputs."""
        raise NotImplementedError("a Function that is differentiated has to define a static method 'backward'")

    vjp = backward

    @classmethod
    def apply(cls, *args, **kwargs):
        """Call forward, and record this call if one of the arguments is a Tensor that requires a gradient."""
        ctx = FunctionCtx()
        if cls._separate:  # keywords and defaults become positional arguments
            args = _positional(cls.forward, args, kwargs)
        elif kwargs:
            args = _positional(cls.forward, (ctx, *args), kwargs)[1:]
        ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a._requires_grad for a in args])
        tracked = mode.grad and any(ctx.needs_input_grad)
        before, mode.grad = mode.grad, False
        try:
            if cls._separate:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args)
        finally:
            mode.grad = before
        several = isinstance(result, tuple)
        outputs = [_own(cls, o, args, ctx, tracked) for o in (result if several else (result,))]
        for t in ctx._dirty:
            if not any(t is a for a in args) or not any(t is o for o in outputs):
                raise RuntimeError(f"{cls.__name__}: a Tensor given to mark_dirty has to be an input and an output")
        if modes.watching and mode.anomaly:
            check_values(cls._op, tuple([o.array for o in outputs if isinstance(o, Tensor)]), "forward")
        if tracked:
            outputs = _record(cls, ctx, args, outputs, several)
        return tuple(outputs) if several else outputs[0]


class InplaceFunction(Function):
    """A Function: the name that old programs use for those that change an input in place."""


def _positional(forward, args: tuple, kwargs: dict) -> tuple:
    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args


def _own(cls, o, args, ctx, tracked: bool):
    """An output as a Tensor of its own: inputs that are returned unchanged, and what has a graph, become aliases."""
    if not isinstance(o, Tensor):
        return o
    if any(o is t for t in ctx._dirty):
        if tracked and o._requires_grad and o.edge is None:
            raise RuntimeError(
                f"{cls.__name__}: a leaf Tensor that requires a gradient was changed in place; use no_grad()"
            )
        if tracked and o._base is not None and o._base[0]() is not None:
            raise NotImplementedError(f"{cls.__name__}: mark_dirty is not supported for a view; clone it first")
        return o
    if o._requires_grad or any(o is a for a in args):
        alias = o.detach()  # a saved output is known by identity
        ctx._to_save = tuple([alias if t is o and not any(o is a for a in args) else t for t in ctx._to_save])
        ctx._constant = tuple([alias if t is o else t for t in ctx._constant])
        return alias
    return o


def _record(cls, ctx, args, outputs: list, several: bool) -> list:
    """Make the node of this call, and let its outputs know."""
    node = _new(Node)
    node.op, node.static, node.hooks, node.retained = cls._op, {"several": several}, None, None
    node.parents = [(a.edge or a) if need else None for a, need in zip(args, ctx.needs_input_grad, strict=True)]
    node.outputs = tuple([(o.array.shape, o.array.dtype) if isinstance(o, Tensor) else ((), None) for o in outputs])
    node.where = (mode.path, user_line()) if modes.watching and mode.anomaly else None
    node.inputs, node.cells = [], [a.version for a in args if isinstance(a, Tensor) and a.version is not None]
    ctx._node = weakref.ref(node)
    seen: list[Tensor] = []
    for i, o in enumerate(outputs):
        if isinstance(o, Tensor):
            if any(o is other for other in seen):
                outputs[i] = o = o.detach()
            seen.append(o)
            node.cells.append(o.version)
            if o.array.dtype.kind == "f" and not any(o is t for t in ctx._constant):
                o.edge, o._requires_grad, o._base = _edge(node, i), True, None
                node.inputs.append(o.array)  # for the replay
                continue
        node.inputs.append(Aux(None))
    like = next(backend_of(o.array) for o in (*seen, *args) if isinstance(o, Tensor))
    device = next((like.device_of(o.array) for o in seen), None)
    arrays: list = []
    node.cells += ctx._keep(outputs, arrays)
    kinds = [isinstance(a, Tensor) for a in args]
    shapes = [a.array.shape if need else None for a, need in zip(args, ctx.needs_input_grad, strict=True)]
    made = node.outputs

    def joint(*gs, needs):
        grads = [g if g is None or isinstance(g, Tensor) else wrap(g) for g in gs]
        if ctx._materialize:
            for i, (shape, dtype) in enumerate(made):
                if grads[i] is None and dtype is not None:
                    grads[i] = wrap(like.from_host(np.zeros(shape, dtype=dtype), device))
        found = _backward(cls)(ctx, *grads)
        return _checked(cls._op.name, found, kinds, shapes, any(isinstance(g, Tensor) for g in gs), arrays)

    node.vjps, node.order = joint, tick()
    return outputs


def _backward(cls):
    if cls.vjp is Function.vjp:
        return cls.backward
    if cls.backward is not Function.backward:
        raise RuntimeError(f"{cls.__name__}: define either 'backward' or 'vjp', not both")
    return cls.vjp


def _checked(name: str, found, kinds, shapes, recorded: bool, _held) -> list:
    """What `backward` returned, for the engine: arrays, or Tensors if Tensors came."""
    found = list(found) if isinstance(found, (tuple, list)) else [found]
    if any(g is not None for g in found[len(kinds) :]) or len(found) < len(kinds):
        raise RuntimeError(
            f"{name} returned an incorrect number of gradients (expected {len(kinds)}, got {len(found)})"
        )
    answer: list[Any] = []
    for i, (g, is_tensor, shape) in enumerate(zip(found, kinds, shapes, strict=False)):
        if g is not None and not isinstance(g, Tensor):
            raise TypeError(f"{name}: gradient {i} is a {type(g).__name__}, expected a Tensor or None")
        if g is not None and not is_tensor:
            raise RuntimeError(f"{name} returned a gradient different from None at position {i}, which is no Tensor")
        if g is None or shape is None:
            answer.append(None)
            continue
        lead = g.ndim - len(shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)):
            raise RuntimeError(
                f"{name} returned an invalid gradient at index {i}: got {describe(g.array)}, "
                f"expected a shape compatible with {tuple(shape)}"
            )
        # a view, so that the engine never adds to an array that the program may hold as well
        answer.append(g if recorded else g.array[...] if hasattr(g.array, "flags") else g.array)
    return answer


def once_differentiable(fn):
    """Marks a `backward` whose own derivative would be wrong or is missing: asking for it is an error.

    >>> class Twice(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return 2 * x
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, g):
    ...         return 2 * g
    """

    @functools.wraps(fn)
    def backward(ctx, *grads):
        with no_grad():
            found = fn(ctx, *grads)
        tracked = [g for g in grads if isinstance(g, Tensor) and g._requires_grad]
        if not mode.grad or not tracked:
            return found
        refuse = lambda g: g if g is None else _end(g, *tracked)  # noqa: E731
        return tuple([refuse(g) for g in found]) if isinstance(found, tuple) else refuse(found)

    return backward


def _end_body(y, *_):
    def refuse(*gs, needs):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    return y, refuse


_end = Op(_end_body, promote=None)
