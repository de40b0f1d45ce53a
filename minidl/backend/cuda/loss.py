"""Softmax cross-entropy on the GPU: the loss and the softmax in one launch, a thread for each row, and its gradient."""

from __future__ import annotations

import math

import cupy

from .. import DEFINITIONS
from . import exponentials, launch
from .launch import WITH_INDEX

SHORT = 1024  # classes that one thread may go through

_TYPES = tuple([{"T": given["T"], "S": given["S"]} for given in WITH_INDEX])

_rows = launch.kernel(
    "raw T z, raw S t, int32 C, int32 L",
    "raw T y, raw T p",
    """
    ptrdiff_t at = i / L * (ptrdiff_t(C) * L) + i % L, end = at + ptrdiff_t(C) * L, k;
    A top = z[at], total = 0;
    for (k = at; k < end; k += L) top = max(top, A(z[k]));
    for (k = at; k < end; k += L) total += exp(A(z[k]) - top);
    for (k = at; k < end; k += L) p[k] = T(exp(A(z[k]) - top) / total);
    bool there = t[i] >= 0 && t[i] < C;  // no class gives nan, and no memory of others is read
    y[i] = T(there ? log(total) - (A(z[at + (there ? t[i] : 0) * L]) - top) : A(CUDART_NAN_F));""",
    "minidl_cross_entropy",
    types=_TYPES,
)

_picked = launch.kernel(
    "raw T z, S t, U top, U total, int32 C, int32 L",
    "T y",
    "bool there = t >= 0 && t < C;"
    "y = T(there ? log(total) - (A(z[(i / L * C + (there ? t : 0)) * L + i % L]) - top) : A(CUDART_NAN_F))",
    "minidl_cross_entropy_picked",
    types=WITH_INDEX,
)

_grad = launch.kernel(
    "T p, S t, T g, int32 C, int32 L",
    "T dz",
    "dz = T((A(p) - A(i / L % C == t)) * A(g))",
    "minidl_cross_entropy_grad",
    types=_TYPES,
)

_counted = launch.kernel(
    "S t, int64 ignored",
    "int64 safe, T w, bool counts",
    "counts = t != ignored; safe = counts ? t : 0; w = T(A(counts))",
    "minidl_counted",
    types=_TYPES,
)

_shares = launch.kernel(
    "T total",
    "T share, T nan",
    "bool none = A(total) == 0; share = T(1 / (A(total) + A(none))); nan = none ? T(A(CUDART_NAN_F)) : T(A(0))",
    "minidl_shares",
)


def counted(t, ignored, dtype):
    """Class numbers without `ignored`, the weight of each, and which count; see backend/shared.py."""
    return _counted(t, ignored, *[cupy.empty(t.shape, kind) for kind in ("int64", dtype, bool)])


def shares(total):
    """1 / total and 0, or where the total is 0, 1 and nan; see backend/shared.py."""
    return _shares(total)


def cross_entropy(z, t):
    """-log softmax(z) at the classes t (N, 1, ...), and softmax(z); see ops/loss.py."""
    if not launch.same(z) or t.dtype.name != "int64" or not z.size:
        return DEFINITIONS["cross_entropy"](z, t)
    classes, after = z.shape[1], math.prod(z.shape[2:])
    if classes > SHORT:
        top, total = exponentials.top_and_sum(z, 1)
        return _picked(z, t, top, total, classes, after), exponentials.normalised(z, top, total)
    y, p = cupy.empty(t.shape, z.dtype), cupy.empty(z.shape, z.dtype)
    return _rows(z, t, classes, after, y, p, size=t.size)


def cross_entropy_grad(p, t, g):
    """g (softmax - onehot(t)); see ops/loss.py."""
    if not launch.same(p, g) or t.dtype.name != "int64":
        return DEFINITIONS["cross_entropy_grad"](p, t, g)
    return _grad(p, t, g, p.shape[1], math.prod(p.shape[2:]))
