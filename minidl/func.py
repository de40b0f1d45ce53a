"""PyTorch's `torch.func`: derivatives that are functions again (`grad(f)`, `jacrev(f)`), and `vmap`.

Arguments and results may be Tensors, or tuples, lists and dicts of them, such as a model's parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import autograd
from .autograd.functional import basis, forward_product, stacked
from .autograd.trees import leaves, like
from .backend import backend_of
from .backend.random import default_generator
from .engine import FUNCTIONS, Node
from .modes import enable_grad, is_grad_enabled
from .nn.utils.stateless import functional_call
from .tensor import Tensor, wrap

__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize"]
__all__ += ["stack_module_state", "vjp", "vmap"]


def _tensors(tree, where: str) -> list[Tensor]:
    found = leaves(tree)
    for t in found:
        if not isinstance(t, Tensor):
            raise TypeError(f"{where}: expected Tensors, got {type(t).__name__}")
    return found


# ------------------------------------------------------------------------------------------------------- derivatives
def _entered(tree, where: str) -> tuple[Any, list[Tensor]]:
    """The tree with Tensors to differentiate by: aliases of those that have a graph, so that it goes on."""
    xs = []
    for t in _tensors(tree, where):
        if t.array.dtype.kind != "f":
            raise RuntimeError(f"{where}: only floating-point Tensors can be differentiated by, got {t.dtype}")
        xs.append(FUNCTIONS["identity"](t) if t.requires_grad else t.detach().requires_grad_())
    return like(tree, iter(xs)), xs


def _from_outside(ys: Sequence[Tensor], xs: Sequence[Tensor]) -> bool:
    """Whether ys depend on anything that requires a gradient beside the xs themselves."""
    ends = {id(x) for x in xs if x.edge is None}
    stack: list = [y.edge or y for y in ys if y.requires_grad]
    seen: set = set()
    while stack:
        p = stack.pop()
        p = p[0] if p.__class__ is tuple else p
        if p is None or id(p) in seen:
            continue
        seen.add(id(p))
        if isinstance(p, Node):
            stack += p.parents
        elif id(p) not in ends:
            return True
    return False


def _product(ys, xs, vs, keep: bool) -> list[Tensor]:
    """The gradients of <v, y> by the xs, zeros where there is none. keep: they can be differentiated."""
    live = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    found: tuple = (None,) * len(xs)
    if live:
        found = autograd.grad([y for y, _ in live], xs, [v for _, v in live], True, keep, allow_unused=True)
    return [wrap(backend_of(x.array).zeros_like(x.array)) if g is None else g for g, x in zip(found, xs, strict=True)]


def _ones(y: Tensor) -> Tensor:
    return wrap(backend_of(y.array).ones_like(y.array))


def _given_back(tree, keep: bool):
    return tree if keep else like(tree, iter([t.detach() if isinstance(t, Tensor) else t for t in leaves(tree)]))


def _chosen(args: tuple, argnums, where: str):
    """The arguments to differentiate by (one, or a tuple of them)."""
    for n in (argnums,) if isinstance(argnums, int) else argnums:
        if not isinstance(n, int) or not -len(args) <= n < len(args):
            raise RuntimeError(f"{where}: argnums has {n!r}, but there are {len(args)} positional arguments")
    return args[argnums] if isinstance(argnums, int) else tuple([args[n] for n in argnums])


def _replaced(args: tuple, argnums, values) -> tuple:
    new = list(args)
    for n, value in (
        zip((argnums,), (values,), strict=True) if isinstance(argnums, int) else zip(argnums, values, strict=True)
    ):
        new[n] = value
    return tuple(new)


def _called(func, args, kwargs, argnums, has_aux: bool, where: str):
    """(output, aux, the tree of arguments differentiated by, its Tensors)."""
    tree, xs = _entered(_chosen(args, argnums, where), where)
    y = func(*_replaced(args, argnums, tree), **kwargs)
    aux = None
    if has_aux:
        if not isinstance(y, tuple) or len(y) != 2:
            raise RuntimeError(f"{where}: with has_aux=True the function has to return (output, aux)")
        y, aux = y
    return y, aux, tree, xs


def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """As `grad`; the new function returns (gradient, value), or (gradient, (value, aux)) with has_aux."""

    def derivative(*args, **kwargs):
        recording = is_grad_enabled()
        with enable_grad():
            y, aux, tree, xs = _called(func, args, kwargs, argnums, has_aux, "grad")
            if not isinstance(y, Tensor) or y.array.size != 1 or y.ndim:
                got = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
                raise RuntimeError(f"grad: the function has to return a scalar Tensor, got {got}")
            keep = recording and _from_outside([y], xs)
            found = like(tree, iter(_product([y], xs, [_ones(y)], keep)))
        value = _given_back(y, keep)
        return found, (value, _given_back(aux, keep)) if has_aux else value

    return derivative


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that gives the gradient of the scalar `func` by its argument number argnums (or by several).

    has_aux: func returns (output, more), and the new function (gradient, more). The result can be differentiated again.

    >>> cube = lambda x: x * x * x
    >>> grad(cube)(Tensor([2.0])[0]), grad(grad(cube))(Tensor([2.0])[0])
    (tensor(12.), tensor(12.))
    """
    both = grad_and_value(func, argnums, has_aux)

    def derivative(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return derivative


def vjp(func: Callable, *primals, has_aux: bool = False):
    """(f(x), product), where product(v) is a tuple with v J for each argument; and aux as a third with has_aux.

    >>> y, product = vjp(lambda x: x * x, Tensor([1.0, 3.0]))
    >>> product(Tensor([1.0, 10.0]))
    (tensor([ 2., 60.]),)
    """
    with enable_grad():
        y, aux, tree, xs = _called(func, primals, {}, tuple(range(len(primals))), has_aux, "vjp")
    ys = _tensors(y, "vjp")
    outside = _from_outside(ys, xs)

    def product(*cotangents, retain_graph: bool = True, create_graph: bool | None = None):
        if len(cotangents) != 1 and not (isinstance(y, tuple) and len(y) == len(cotangents)):
            raise RuntimeError(f"vjp: expected the cotangents in the form of the output, got {len(cotangents)}")
        vs = _tensors(cotangents, "vjp")
        if len(vs) != len(ys) or any(v.shape != t.shape for v, t in zip(vs, ys, strict=True)):
            raise RuntimeError(
                f"vjp: expected cotangents of shapes {[tuple(t.shape) for t in ys]}, got {[tuple(v.shape) for v in vs]}"
            )
        keep = (outside or any(v.requires_grad for v in vs)) if create_graph is None else create_graph
        with enable_grad():
            return _given_back(like(tree, iter(_product(ys, xs, vs, keep))), keep)

    value = _given_back(y, outside)
    return (value, product, _given_back(aux, outside)) if has_aux else (value, product)


def jvp(func: Callable, primals, tangents, *, strict: bool = False, has_aux: bool = False):
    """(f(x), J v): the derivative of f at the primals along the tangents; and aux as a third with has_aux.

    strict: an output that depends on no primal is an error, not zeros.

    >>> jvp(lambda x: x * x, (Tensor([1.0, 3.0]),), (Tensor([1.0, 10.0]),))
    (tensor([1., 9.]), tensor([ 2., 60.]))
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple) or len(primals) != len(tangents):
        raise RuntimeError("jvp: expected primals and tangents as tuples of one length")
    with enable_grad():
        y, aux, tree, xs = _called(func, primals, {}, tuple(range(len(primals))), has_aux, "jvp")
        ys, vs = _tensors(y, "jvp"), _tensors(tangents, "jvp")
        if len(vs) != len(xs) or any(v.shape != x.shape for v, x in zip(vs, xs, strict=True)):
            raise RuntimeError("jvp: the tangents have to be like the primals")
        keep = _from_outside(ys, xs) or any(v.requires_grad for v in vs)
        found = like(y, iter(forward_product(ys, xs, vs, keep, strict, "jvp")))
    value, found = _given_back(y, keep), _given_back(found, keep)
    return (value, found, _given_back(aux, keep)) if has_aux else (value, found)


def linearize(func: Callable, *primals):
    """(f(x), product), where product(*tangents) is J v.

    >>> y, product = linearize(lambda x: x * x, Tensor([1.0, 3.0]))
    >>> product(Tensor([1.0, 10.0]))
    tensor([ 2., 60.])
    """
    with enable_grad():
        y, _, _, xs = _called(func, primals, {}, tuple(range(len(primals))), False, "linearize")
    ys = _tensors(y, "linearize")
    outside = _from_outside(ys, xs)

    def product(*tangents):
        with enable_grad():
            found = forward_product(ys, xs, _tensors(tangents, "linearize"), outside, False, "linearize")
        return _given_back(like(y, iter(found)), outside)

    return _given_back(y, outside), product


def jacrev(
    func: Callable, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable:
    """A function that gives the Jacobian matrix of `func`, a backward for each element of the output.

    In the form of the output, each part in the form of the argument, of shape (*shape of y, *shape of x). chunk_size:
    how many rows PyTorch computes at once; here always one.

    >>> jacrev(lambda x: x * x)(Tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    _check_chunk(chunk_size)

    def rows(ys, xs, keep):
        for y in ys:
            found = [_product([y], xs, [basis(y, i)], keep) for i in range(y.array.size)]
            yield [stacked([row[k] for row in found], (*y.shape, *x.shape), x) for k, x in enumerate(xs)]

    return _jacobian(func, argnums, has_aux, rows, "jacrev")


def jacfwd(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """As `jacrev`, by a derivative along each element of the argument: quicker where these are fewer.

    The function runs once, so that randomness has nothing to decide.
    """
    _check_randomness(randomness)

    def columns(ys, xs, keep):
        found: list[list] = [[] for _ in ys]
        for i, x in enumerate(xs):
            zeros = [wrap(backend_of(t.array).zeros_like(t.array)) for t in xs]
            parts = []
            for j in range(x.array.size):
                vs = [basis(x, j) if k == i else zero for k, zero in enumerate(zeros)]
                parts.append(forward_product(ys, xs, vs, keep, False, "jacfwd"))
            for k, y in enumerate(ys):
                matrix = stacked([p[k] for p in parts], (x.array.size, y.array.size), y)
                matrix = FUNCTIONS["swapaxes"](matrix, axis1=0, axis2=1)
                found[k].append(FUNCTIONS["reshape"](matrix, shape=(*y.shape, *x.shape)))
        return found

    return _jacobian(func, argnums, has_aux, columns, "jacfwd")


def _jacobian(func, argnums, has_aux, matrices, where: str) -> Callable:
    def derivative(*args, **kwargs):
        recording = is_grad_enabled()
        with enable_grad():
            y, aux, tree, xs = _called(func, args, kwargs, argnums, has_aux, where)
            ys = _tensors(y, where)
            keep = recording and _from_outside(ys, xs)
            found = like(y, iter([like(tree, iter(parts)) for parts in matrices(ys, xs, keep)]))
        found = _given_back(found, keep)
        return (found, _given_back(aux, keep)) if has_aux else found

    return derivative


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """A function that gives the Hessian matrix of the scalar `func`: `jacfwd(jacrev(func))`.

    >>> hessian(lambda x: (x * x * x).sum())(Tensor([1.0, 3.0]))
    tensor([[ 6.,  0.],
            [ 0., 18.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


# -------------------------------------------------------------------------------------------------------------- vmap
def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """A function that runs `func` on every slice of its arguments and stacks what comes.

    in_dims: the dimension to go along, for all arguments, or in the arguments' form; None: the same for every slice.
    out_dims: where the new dimension stands in the results. randomness: 'error' (drawing is refused), 'different' for
    every slice, or the 'same'. It is a loop: it saves writing, not time, and `chunk_size` has nothing to do.

    >>> vmap(lambda a, b: (a * b).sum())(Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([[1.0, 1.0], [2.0, 2.0]]))
    tensor([ 3., 14.])
    """
    _check_randomness(randomness)
    _check_chunk(chunk_size)

    def mapped(*args, **kwargs):
        dims = _spread(in_dims, args, "in_dims")
        given = leaves(args)
        sizes = set()
        for t, d in zip(given, dims, strict=True):
            if d is not None:
                if not isinstance(t, Tensor):
                    raise ValueError(f"vmap: in_dims has {d} for a {type(t).__name__}; only Tensors have slices")
                if not -t.ndim <= d < t.ndim:
                    raise ValueError(f"vmap: in_dims has {d} for a Tensor of shape {tuple(t.shape)}")
                sizes.add(t.shape[d])
        if len(sizes) != 1:
            raise ValueError(f"vmap: the arguments to go along have to be of one size, got {sorted(sizes)}")
        n = sizes.pop()
        if not n:
            raise ValueError("vmap: there is no slice to go along")
        generator, results = default_generator(), []
        start = generator.get_state()
        for i in range(n):
            if randomness == "same":
                generator.set_state(start)
            slices = [t if d is None else _slice(t, d, i) for t, d in zip(given, dims, strict=True)]
            results.append(func(*like(args, iter(slices)), **kwargs))
            if randomness == "error" and generator.get_state() != start:
                raise RuntimeError("vmap: the function drew random numbers; say randomness='different' or 'same'")
        first, columns = results[0], [_tensors(r, "vmap") for r in results]
        places = _spread(out_dims, first, "out_dims")
        stacks = [_stack(parts, d) for parts, d in zip(zip(*columns, strict=True), places, strict=True)]
        return like(first, iter(stacks))

    return mapped


def _slice(t: Tensor, d: int, i: int) -> Tensor:
    return FUNCTIONS["getitem"](t, index=(slice(None),) * (d % t.ndim) + (i,))


def _stack(parts, d) -> Tensor:
    if d is None:
        return parts[0]
    d = d % (parts[0].ndim + 1)
    shape = parts[0].shape
    one = [FUNCTIONS["reshape"](t, shape=(*shape[:d], 1, *shape[d:])) for t in parts]
    return FUNCTIONS["cat"](*one, axis=d)


def _spread(dims, tree, where: str) -> list:
    """A dimension for every leaf of the tree, from one number or a tree of its form."""
    if dims is None or isinstance(dims, int):
        return [dims for _ in leaves(tree)]
    if isinstance(dims, dict) and isinstance(tree, dict) and dims.keys() == tree.keys():
        return [d for key, value in tree.items() for d in _spread(dims[key], value, where)]
    if isinstance(dims, (tuple, list)) and isinstance(tree, (tuple, list)) and len(dims) == len(tree):
        return [d for one, value in zip(dims, tree, strict=True) for d in _spread(one, value, where)]
    if isinstance(dims, tuple) and len(dims) == 1 and not isinstance(tree, (tuple, list, dict)):
        return _spread(dims[0], tree, where)
    raise ValueError(f"vmap: {where} has to be an int, None or of the form of what it describes, got {dims!r}")


def _check_randomness(randomness: str) -> None:
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"randomness: expected 'error', 'different' or 'same', got {randomness!r}")


def _check_chunk(chunk_size) -> None:
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
        raise ValueError(f"chunk_size: expected None or a positive int, got {chunk_size!r}")


def stack_module_state(models) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of several models of one architecture, by name, each stacked along a new first dimension.

    What `vmap` goes along to run an ensemble: `vmap(call, in_dims=(0, 0, None))(parameters, buffers, x)`.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: expected at least one model, got none")
    if len({type(m) for m in models}) != 1 or len({m.training for m in models}) != 1:
        raise RuntimeError("stack_module_state: the models have to be of one class, and all in train or in eval mode")

    def stack(kind: str) -> dict[str, Tensor]:
        found = [dict(getattr(m, kind)()) for m in models]
        stacks = {name: _stack([f[name].detach() for f in found], 0) for name in found[0]}
        for name, t in stacks.items():
            t.requires_grad_(found[0][name].requires_grad)
        return stacks

    return stack("named_parameters"), stack("named_buffers")
