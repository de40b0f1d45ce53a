"""Matrix products, inverses and decompositions."""

from __future__ import annotations

import math

from ..backend import backend_of, definition
from ..engine import FUNCTIONS, Aux, op


def _t(x):
    return backend_of(x).swapaxes(x, axis1=-1, axis2=-2)


def _rows(x):
    """x (..., n) as a matrix (rows, n)."""
    return x if x.ndim == 2 else backend_of(x).reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))


def _times(x, m):
    """x m for a matrix m: one product over all batches, instead of a product each."""
    B = backend_of(x)
    return B.matmul(x, m) if x.ndim == 2 else B.reshape(B.matmul(_rows(x), m), shape=(*x.shape[:-1], m.shape[1]))


@op
def matmul(a, b):
    """y = a b, over matrices in the last two axes;   dL/da = g b^T,   dL/db = a^T g."""
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: cannot multiply {tuple(a.shape)} by {tuple(b.shape)}: inner sizes must be equal")

    batches = a.ndim > 2 and b.ndim == 2
    if batches:
        return _times(a, b), (lambda g: _times(g, _t(b)), lambda g: backend_of(g).matmul(_t(_rows(a)), _rows(g)))
    y = backend_of(a).matmul(a, b)
    return y, (lambda g: backend_of(g).matmul(g, _t(b)), lambda g: backend_of(g).matmul(_t(a), g))


@definition("linear")
def plain_linear(x, w, b):
    y = _times(x, _t(w))
    return y if b is None else y + b


@definition("column_sums")
def plain_column_sums(x):
    """The sums of x (n, m) over its rows."""
    return backend_of(x).sum(x, axis=0)


FUNCTIONS["column_sums"] = plain_column_sums


@op
def linear(x, w, b):
    """y = x w^T + b, with x (..., D), w (F, D), b (F) or None;   dL/dx = g w,   dL/dw = g^T x,   dL/db = sum g."""
    if x.ndim < 1 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"linear: x has {x.shape[-1] if x.ndim else 'no'} features, weight expects {w.shape[1]} "
            f"(x is {tuple(x.shape)}, weight is {tuple(w.shape)})"
        )
    return backend_of(x).linear(x, w, b), (
        lambda g: _times(g, w),
        lambda g: backend_of(g).matmul(_t(_rows(g)), _rows(x)),
        None if b is None else lambda g: backend_of(g).column_sums(_rows(g)),
    )


# decompositions and inverses, of the matrices in the last two axes
@op(promote=None)
def tril(x, *, k=0):
    """y = x on and below the k-th diagonal, else 0;   dL/dx = g there."""
    return backend_of(x).tril(x, k=k), (lambda g: backend_of(g).tril(g, k=k),)


@op(floating=True)
def inv(x):
    """y = x^-1;   dL/dx = -y^T g y^T."""
    y = backend_of(x).inv(x)
    return y, (lambda g: -(_t(y) @ g @ _t(y)),)


@op(floating=True)
def solve(a, b):
    """y = a^-1 b;   dL/db = a^-T g,   dL/da = -(dL/db) y^T."""
    y = backend_of(a).solve(a, b)

    def joint(g, *, needs):
        gb = backend_of(g).solve(_t(a), g)
        return -(gb @ _t(y)) if needs[0] else None, gb if needs[1] else None

    return y, joint


@op(floating=True)
def pinv(x):
    """y = the pseudoinverse, of full or constant rank (Golub and Pereyra, 1973).

    dL/dx = -y^T g y^T + (1 - x y) g^T y y^T + y^T y g^T (1 - y x).
    """
    y = backend_of(x).pinv(x)

    def dx(g):
        right, left = _t(g) @ y @ _t(y), _t(y) @ y @ _t(g)
        return right - x @ (y @ right) + left - (left @ y) @ x - _t(y) @ g @ _t(y)

    return y, (dx,)


@op(floating=True)
def slogdet(x):
    """The sign of det x, and y = log |det x|;   dL/dx = g x^-T."""
    sign, y = backend_of(x).slogdet(x)

    def joint(_, g, *, needs):
        B = backend_of(g)
        return (B.reshape(g, shape=(*g.shape, 1, 1)) * _t(B.inv(x)),)

    return (Aux(sign), y), joint


@op(floating=True)
def cholesky(x):
    """y, lower triangular, with y y^T = (x + x^T) / 2;   dL/dx = y^-T P y^-1, symmetrised, P = the lower half of y^T g.

    The diagonal of P counts half (Murray, 2016).
    """
    y = backend_of(x).cholesky((x + _t(x)) * 0.5)

    def dx(g):
        B = backend_of(g)
        inverse, z = B.inv(y), _t(y) @ g
        s = _t(inverse) @ (B.tril(z) + B.tril(z, k=-1)) @ inverse * 0.25
        return s + _t(s)

    return y, (dx,)


@op(floating=True)
def qr(x):
    """x = q r with q^T q = 1 and r upper triangular, for at least as many rows as columns (Walter and Lehmann, 2018).

    dL/dx = (gq + q S) r^-T, where S is the symmetric matrix with the lower half of r gr^T - gq^T q.
    """
    q, r = backend_of(x).qr(x)

    def joint(gq, gr, *, needs):
        B = backend_of(gq, gr)
        m = (0 if gr is None else r @ _t(gr)) - (0 if gq is None else _t(gq) @ q)
        y = q @ (B.tril(m) + _t(B.tril(m, k=-1)))
        return ((y if gq is None else gq + y) @ _t(B.inv(r)),)

    return (q, r), joint


def _row(x):
    """x (..., n) as (..., 1, n), to scale columns with."""
    return backend_of(x).reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def _inverse_gaps(w):
    """1 / (w_j - w_i) at (i, j), 0 where they are equal."""
    gap = _row(w) - _t(_row(w))
    B = backend_of(w)
    same = B.equal(gap, 0)
    return B.where(same, 0.0, 1 / B.where(same, 1.0, gap))


@op(floating=True)
def eigh(x):
    """(x + x^T) / 2 = v diag(w) v^T with w ascending.

    dL/dx = v (diag(gw) + S) v^T, where S is the symmetric part of (v^T gv) / (w_j - w_i).
    """
    w, v = backend_of(x).eigh((x + _t(x)) * 0.5)

    def joint(gw, gv, *, needs):
        y = 0 if gw is None else v * _row(gw)
        if gv is not None:
            s = _inverse_gaps(w) * (_t(v) @ gv)
            y = y + v @ (s + _t(s)) * 0.5
        return (y @ _t(v),)

    return (w, v), joint


@op(floating=True)
def svd(x):
    """x = u diag(s) vh with u^T u = vh vh^T = 1 and s descending (Townsend, 2016).

    dL/dx = u (skew(u^T gu) F s + s skew(vh gv) F + diag(gs)) vh, with F = 1 / (s_j^2 - s_i^2), and the parts of gu / s
    and gv / s that are orthogonal to u and v.
    """
    u, s, vh = backend_of(x).svd(x)

    def joint(gu, gs, gvh, *, needs):
        y = 0 if gs is None else (u * _row(gs)) @ vh
        if gu is not None:
            z = _t(u) @ gu
            y = y + (u @ ((z - _t(z)) * _inverse_gaps(s * s) * _row(s)) + (gu - u @ z) / _row(s)) @ vh
        if gvh is not None:
            z = gvh @ _t(vh)
            y = y + u @ (_t(_row(s)) * ((_t(z) - z) * _inverse_gaps(s * s)) @ vh + (gvh - z @ vh) / _t(_row(s)))
        return (y,)

    return (u, s, vh), joint
