"""Whole derivatives of functions: `jacobian` and `hessian`, and their products with vectors, which cost no more than a
few calls of the function. With y = f(x), J[i, j] = dy_i / dx_j, and for a scalar y, H[i, j] = d2y / dx_i dx_j."""

from __future__ import annotations

from collections.abc import Callable

from ..backend import backend_of
from ..engine import FUNCTIONS
from ..modes import enable_grad
from ..tensor import Tensor, describe, wrap
from .gradients import grad

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def vjp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(f(x), v J): the product of a vector with the Jacobian matrix from the left, by one backward.

    inputs: a Tensor or a tuple, and so is what comes. v: of the outputs' shapes; may be None for a scalar output.
    create_graph: the result can be differentiated. strict: an output that depends on no input is an error, not zeros.

    >>> vjp(lambda x: x * x, Tensor([1.0, 3.0]), Tensor([1.0, 10.0]))
    (tensor([1., 9.]), tensor([ 2., 60.]))
    """
    with enable_grad():
        xs, one_in = _inputs(inputs, "vjp", create_graph)
        ys, one_out = _outputs(func(*xs), "vjp", strict)
        vs = _vectors(v, ys, "vjp", "output")
        found = _product(ys, xs, vs, create_graph, strict, "vjp")
    return _result(ys, one_out, create_graph), _result(found, one_in, create_graph)


def jvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(f(x), J v): the derivative along a direction, by two backwards: v J is linear in v, and its derivative is J.

    v: of the inputs' shapes; may be None for an input of one element. The rest is as in `vjp`.

    >>> jvp(lambda x: x * x, Tensor([1.0, 3.0]), Tensor([1.0, 10.0]))
    (tensor([1., 9.]), tensor([ 2., 60.]))
    """
    with enable_grad():
        xs, _ = _inputs(inputs, "jvp", create_graph)
        vs = _vectors(v, xs, "jvp", "input")
        ys, one_out = _outputs(func(*xs), "jvp", strict)
        found = forward_product(ys, xs, vs, create_graph, strict, "jvp")
    return _result(ys, one_out, create_graph), _result(found, one_out, create_graph)


def jacobian(
    func: Callable,
    inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
):
    """The Jacobian matrix of f at x, of shape (*shape of y, *shape of x): a backward for each element of y.

    For several outputs or inputs a tuple (of tuples): [output][input]. strategy 'forward-mode': a derivative along each
    element of x instead, which is quicker where x has fewer elements than y. vectorize has no effect on the result; in
    minidl it has none on the time either.

    >>> jacobian(lambda x: x * x, Tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(f"jacobian: expected strategy 'reverse-mode' or 'forward-mode', got {strategy!r}")
    if strict and vectorize:
        raise RuntimeError("jacobian: strict=True and vectorize=True cannot go together")
    with enable_grad():
        xs, one_in = _inputs(inputs, "jacobian", create_graph)
        ys, one_out = _outputs(func(*xs), "jacobian", strict)
        if strategy == "reverse-mode":
            rows = [_rows(y, xs, create_graph, strict) for y in ys]
        else:
            columns = [_columns(ys, xs, i, create_graph, strict) for i in range(len(xs))]
            rows = [tuple([c[k] for c in columns]) for k in range(len(ys))]
    return _result(tuple([_result(row, one_in, create_graph) for row in rows]), one_out, True)


def hessian(
    func: Callable,
    inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
):
    """The Hessian matrix of a scalar f at x, of shape (*shape of x, *shape of x); [input][input] for several.

    >>> hessian(lambda x: x[0] * x[1] * x[1], Tensor([1.0, 3.0]))
    tensor([[0., 6.],
            [6., 2.]])
    """
    several = isinstance(inputs, tuple)

    def gradient(*xs):
        ys, _ = _outputs(func(*xs), "hessian", strict)
        _scalar(ys, "hessian")
        return tuple(_product(ys, xs, [_ones(ys[0])], True, strict, "hessian"))

    found = jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if several else found[0]


def vhp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(f(x), v H) for a scalar f: the gradient of <v, gradient>, without the matrix. v: of the inputs' shapes.

    >>> vhp(lambda x: (x * x * x).sum(), Tensor([1.0, 3.0]), Tensor([1.0, 10.0]))
    (tensor(28.), tensor([  6., 180.]))
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


def hvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(f(x), H v) for a scalar f. H is symmetric, so this is `vhp`.

    >>> hvp(lambda x: (x * x * x).sum(), Tensor([1.0, 3.0]), Tensor([1.0, 10.0]))
    (tensor(28.), tensor([  6., 180.]))
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")


def _hessian_product(func, inputs, v, create_graph, strict, where):
    with enable_grad():
        xs, one_in = _inputs(inputs, where, create_graph)
        vs = _vectors(v, xs, where, "input")
        ys, one_out = _outputs(func(*xs), where, strict)
        _scalar(ys, where)
        gradient = _product(ys, xs, [_ones(ys[0])], True, strict, where)
        found = _product(gradient, xs, vs, create_graph, strict, where)
    return _result(ys, one_out, create_graph), _result(found, one_in, create_graph)


# ------------------------------------------------------------------------------------------------------------- parts
def _inputs(inputs, where: str, create_graph: bool) -> tuple[tuple, bool]:
    """The inputs as Tensors that a derivative can be taken by, and whether there was one, not a tuple."""
    one = not isinstance(inputs, (tuple, list))
    xs = (inputs,) if one else tuple(inputs)
    for i, x in enumerate(xs):
        if not isinstance(x, Tensor):
            raise TypeError(f"{where}: input {i} is a {type(x).__name__}, expected a Tensor")
    # an alias that keeps its graph, if the result is to be part of it
    return tuple(
        [FUNCTIONS["identity"](x) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in xs]
    ), one


def _outputs(outputs, where: str, strict: bool) -> tuple[tuple, bool]:
    one = not isinstance(outputs, (tuple, list))
    ys = (outputs,) if one else tuple(outputs)
    for i, y in enumerate(ys):
        if not isinstance(y, Tensor):
            raise TypeError(f"{where}: output {i} of the function is a {type(y).__name__}, expected a Tensor")
        if strict and not y.requires_grad:
            raise RuntimeError(f"{where}: output {i} of the function is independent of its inputs (strict=True)")
    return ys, one


def _scalar(ys, where: str) -> None:
    if len(ys) != 1 or ys[0].array.size != 1:
        got = ", ".join(describe(y.array) for y in ys)
        raise RuntimeError(f"{where}: the function has to return one Tensor with a single element, got {got}")


def _vectors(v, like, where: str, what: str) -> list[Tensor]:
    if v is None:
        if len(like) != 1 or like[0].array.size != 1:
            raise RuntimeError(f"{where}: v can only be None for a single {what} with a single element")
        return [_ones(like[0])]
    vs = list(v) if isinstance(v, (tuple, list)) else [v]
    if len(vs) != len(like):
        raise RuntimeError(f"{where}: {len(like)} {what}s but v has {len(vs)}")
    for i, (one, t) in enumerate(zip(vs, like, strict=True)):
        if not isinstance(one, Tensor) or one.shape != t.shape:
            got = describe(one.array) if isinstance(one, Tensor) else type(one).__name__
            raise RuntimeError(f"{where}: v[{i}] has to be like {what} {i}, {describe(t.array)}, got {got}")
    return vs


def _ones(t: Tensor) -> Tensor:
    return wrap(backend_of(t.array).ones_like(t.array))


def _zeros(t: Tensor) -> Tensor:
    return wrap(backend_of(t.array).zeros_like(t.array))


def _product(ys, xs, vs, create_graph: bool, strict: bool, where: str) -> list[Tensor]:
    """The gradients of <v, y> by the xs; zeros where there is none."""
    live = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    found: tuple = (None,) * len(xs)
    if live:
        found = grad([y for y, _ in live], xs, [v for _, v in live], True, create_graph, allow_unused=True)
    for i, (g, x) in enumerate(zip(found, xs, strict=True)):
        if strict and g is None:
            raise RuntimeError(f"{where}: the function is independent of input {i} (strict=True)")
        if strict and create_graph and not g.requires_grad:
            raise RuntimeError(f"{where}: the derivative is independent of input {i} (strict=True)")
        _ = x
    return [_zeros(x) if g is None else g for g, x in zip(found, xs, strict=True)]


def forward_product(ys, xs, vs, create_graph: bool, strict: bool, where: str) -> list[Tensor]:
    """J v for each y: the derivative by u of <u J, v>."""
    us = [_zeros(y).requires_grad_() if y.requires_grad else None for y in ys]
    live = [(y, u) for y, u in zip(ys, us, strict=True) if u is not None]
    found: list = []
    if live:
        rows = grad([y for y, _ in live], xs, [u for _, u in live], True, True, allow_unused=True)
        if strict and all(g is None for g in rows):
            raise RuntimeError(f"{where}: the function is independent of its inputs (strict=True)")
        moved = [(g, v) for g, v in zip(rows, vs, strict=True) if g is not None and g.requires_grad]
        if moved:
            found = list(
                grad(
                    [g for g, _ in moved],
                    [u for _, u in live],
                    [v for _, v in moved],
                    True,
                    create_graph,
                    allow_unused=True,
                )
            )
    found = found or [None] * len(live)
    answers = iter(found)
    products = [None if u is None else next(answers) for u in us]
    return [_zeros(y) if g is None else g for g, y in zip(products, ys, strict=True)]


def basis(t: Tensor, i: int) -> Tensor:
    """Zeros with a one at the i-th element."""
    B = backend_of(t.array)
    unit = B.reshape(B.zeros_like(t.array), shape=(-1,))
    unit[i] = 1
    return wrap(B.reshape(unit, shape=t.array.shape))


def _rows(y: Tensor, xs, create_graph: bool, strict: bool) -> tuple:
    """For each x the Jacobian matrix of y, row by row."""
    rows = [_product([y], xs, [basis(y, i)], create_graph, strict, "jacobian") for i in range(y.array.size)]
    return tuple([stacked([row[k] for row in rows], (*y.shape, *x.shape), x) for k, x in enumerate(xs)])


def _columns(ys, xs, i: int, create_graph: bool, strict: bool) -> list:
    """For each y the Jacobian matrix by x_i, column by column."""
    x, columns = xs[i], []
    for j in range(x.array.size):
        vs = [basis(x, j) if k == i else _zeros(other) for k, other in enumerate(xs)]
        columns.append(forward_product(ys, xs, vs, create_graph, strict, "jacobian"))
    matrices = []
    for k, y in enumerate(ys):
        matrix = stacked([c[k] for c in columns], (x.array.size, y.array.size), y)
        matrices.append(
            FUNCTIONS["reshape"](FUNCTIONS["swapaxes"](matrix, axis1=0, axis2=1), shape=(*y.shape, *x.shape))
        )
    return matrices


def stacked(parts: list, shape, like: Tensor) -> Tensor:
    if not parts:
        B = backend_of(like.array)
        return wrap(B.reshape(B.zeros_like(like.array), shape=(-1,))[:0].reshape(shape))
    flat = [FUNCTIONS["reshape"](t, shape=(1, -1)) for t in parts]
    return FUNCTIONS["reshape"](FUNCTIONS["cat"](*flat, axis=0), shape=tuple(shape))


def _result(found, one: bool, graph: bool):
    found = tuple(found) if graph else tuple([t.detach() for t in found])
    return found[0] if one else found
