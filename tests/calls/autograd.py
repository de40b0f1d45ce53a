"""Derivatives as functions: `autograd.functional`, `func`, and a `Function` of one's own."""

from __future__ import annotations

from typing import Any

from .library import numbers, several


def f(x):
    return (x.sin() * x).sum(0)


def two(a, b):
    return (a * b).exp(), (a @ b).tanh()


def scalar(a, b):
    return (a * b * b).sum().sin()


def flat(*results) -> tuple:
    """The Tensors in nested tuples and dicts."""
    found: list[Any] = []
    for r in results:
        found += flat(*r) if isinstance(r, (tuple, list)) else flat(*r.values()) if isinstance(r, dict) else [r]
    return tuple(found)


GRAPH = {"create_graph": True}
FORWARD = {"vectorize": True, "strategy": "forward-mode"}

several(
    "functional",
    {
        "jacobian": lambda L, a, b, v: L.T.autograd.functional.jacobian(f, a, **GRAPH),
        "jacobian of two": lambda L, a, b, v: flat(L.T.autograd.functional.jacobian(two, (a, b), **GRAPH)),
        "jacobian forward": lambda L, a, b, v: flat(L.T.autograd.functional.jacobian(two, (a, b), **FORWARD)),
        "jacobian of a part": lambda L, a, b, v: flat(L.T.autograd.functional.jacobian(lambda a, b: a * 2, (a, b))),
        "jacobian of a tuple": lambda L, a, b, v: flat(
            L.T.autograd.functional.jacobian(lambda a: (a.sum(), a * a), a, **GRAPH)
        ),
        "hessian": lambda L, a, b, v: L.T.autograd.functional.hessian(lambda a: (a**4).sum(), a, **GRAPH),
        "hessian of two": lambda L, a, b, v: flat(L.T.autograd.functional.hessian(scalar, (a, b), **GRAPH)),
        "hessian forward": lambda L, a, b, v: flat(
            L.T.autograd.functional.hessian(scalar, (a, b), vectorize=True, outer_jacobian_strategy="forward-mode")
        ),
        "hessian of a line": lambda L, a, b, v: L.T.autograd.functional.hessian(lambda a: a.sum(), a),
        "vjp": lambda L, a, b, v: flat(L.T.autograd.functional.vjp(two, (a, b), (v, v[:, 0]), **GRAPH)),
        "jvp": lambda L, a, b, v: flat(L.T.autograd.functional.jvp(two, (a, b), (v, b), **GRAPH)),
        "jvp of a part": lambda L, a, b, v: flat(
            L.T.autograd.functional.jvp(lambda a, b: (a * 2, b.sum()), (a, b), (v, b))
        ),
        "vhp": lambda L, a, b, v: flat(L.T.autograd.functional.vhp(scalar, (a, b), (v, b), **GRAPH)),
        "hvp": lambda L, a, b, v: flat(L.T.autograd.functional.hvp(scalar, (a, b), (v, b), **GRAPH)),
        "batched": lambda L, a, b, v: flat(
            L.T.autograd.grad(scalar(a, b * 1) + b.exp(), [a, b], v, create_graph=True, is_grads_batched=True)
        ),
    },
    numbers(1, 2, 3),
    numbers(2, 3),
    numbers(3, 2, 3),
)

several(
    "func",
    {
        "grad": lambda L, a, b, v: L.T.func.grad(scalar)(a, b),
        "grad of both": lambda L, a, b, v: flat(L.T.func.grad(scalar, argnums=(0, 1))(a, b)),
        "grad and value": lambda L, a, b, v: flat(L.T.func.grad_and_value(scalar, 1)(a, b)),
        "aux": lambda L, a, b, v: flat(L.T.func.grad(lambda a: ((a**3).sum(), a * 3), has_aux=True)(a)),
        "grad of grad": lambda L, a, b, v: L.T.func.grad(lambda b: L.T.func.grad(scalar)(a, b).sum())(b),
        "third": lambda L, a, b, v: L.T.func.grad(L.T.func.grad(L.T.func.grad(lambda x: x.sin() * x)))(b[0]),
        "closure": lambda L, a, b, v: L.T.func.grad(lambda x: L.T.func.grad(lambda y: (x * y).sin() * x)(b[1]))(b[0]),
        "dicts": lambda L, a, b, v: flat(
            L.T.func.grad(lambda p, x: (p["w"] @ x + p["b"]).sum() ** 2)({"w": a, "b": v[:, 0]}, b)
        ),
        "jacrev": lambda L, a, b, v: flat(L.T.func.jacrev(two, argnums=(0, 1))(a, b)),
        "jacfwd": lambda L, a, b, v: flat(L.T.func.jacfwd(two, argnums=(0, 1))(a.detach(), b.detach())),
        "jacrev of jacrev": lambda L, a, b, v: L.T.func.jacrev(L.T.func.jacrev(scalar))(a, b),
        "hessian": lambda L, a, b, v: flat(L.T.func.hessian(scalar, (0, 1))(a.detach(), b.detach())),
        "vjp": lambda L, a, b, v: flat((r := L.T.func.vjp(two, a, b))[0], r[1]((v, v[:, 0]))),
        "jvp": lambda L, a, b, v: flat(L.T.func.jvp(two, (a.detach(), b.detach()), (v.detach(), b.detach()))),
        "linearize": lambda L, a, b, v: flat((r := L.T.func.linearize(f, a.detach()))[0], r[1](v.detach())),
        "vmap": lambda L, a, b, v: L.T.func.vmap(lambda a, v: (a * v).sum())(a, v),
        "vmap dims": lambda L, a, b, v: L.T.func.vmap(lambda a, b: a * b, in_dims=(1, None), out_dims=1)(a, b[0]),
        "vmap trees": lambda L, a, b, v: flat(L.T.func.vmap(lambda a: (a.sum(), {"k": a * 2}), in_dims=-1)(a)),
        "vmap parts": lambda L, a, b, v: L.T.func.vmap(
            lambda d, c: d["x"] * d["y"] * c, in_dims=({"x": 0, "y": None}, None)
        )({"x": a, "y": b}, 3),
        "vmap twice": lambda L, a, b, v: L.T.func.vmap(L.T.func.vmap(lambda x, y: x * y, (0, None)), (0, None))(
            a, b[0]
        ),
        "per sample": lambda L, a, b, v: L.T.func.vmap(
            L.T.func.grad(lambda b, x: ((b * x).sum()) ** 2), in_dims=(None, 0)
        )(b, a),
    },
    numbers(1, 2, 3),
    numbers(2, 3),
    numbers(3, 2, 3),
)


def own(L):
    """An exponential that saves its result, and is differentiated by way of it."""

    class Exp(L.T.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            y = (x * scale).exp()
            ctx.scale = scale
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y * ctx.scale, None

    return Exp.apply


several(
    "Function",
    {
        "gradient": lambda L, a, b, v: own(L)(a * b, 0.5) * v,
        "second": lambda L, a, b, v: flat(
            L.T.autograd.grad((own(L)(a * b, 0.5) * v).sin().sum(), [a, b, v], create_graph=True)
        ),
        "third": lambda L, a, b, v: L.T.autograd.functional.hessian(lambda b: own(L)(a * b, 0.5).sum(), b, **GRAPH),
    },
    numbers(1, 2, 3),
    numbers(2, 3),
    numbers(3, 2, 3),
)
