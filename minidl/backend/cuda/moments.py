"""What normalisations on the GPU are made of: mean and variance in one reduction, and the launches around it."""

from __future__ import annotations

import cupy

from .launch import WIDER, WITH_WIDER, kernel, reduction

# how many numbers, their mean, and the sum of the squares of their distances from it: two such make one without
# cancellation (Chan, Golub and LeVeque, 1979)
_MOMENTS = """
struct moments {
    A n, mean, squares;
    __device__ moments() : n(0), mean(0), squares(0) {}
    __device__ moments(A n, A m, A s) : n(n), mean(m), squares(s) {}
};
__device__ moments joined(const moments& a, const moments& b) {
    A n = a.n + b.n;
    if (n == 0) return a;
    A d = b.mean - a.mean, share = b.n / n;
    return moments(n, a.mean + d * share, a.squares + b.squares + d * d * a.n * share);
}
__device__ A spread(const moments& a, bool center) { return a.squares / a.n + (center ? A(0) : a.mean * a.mean); }
"""

_statistics = reduction(
    "T x, float64 eps, bool center",
    "T mean, T var, T inv",
    "moments(1, A(x), 0)",
    "joined(a, b)",
    "mean = T(center ? a.mean : A(0)), var = T(spread(a, center)), inv = T(1 / sqrt(spread(a, center) + A(eps)))",
    "moments()",
    "minidl_statistics",
    preamble=_MOMENTS,
    of="moments",
)

_apply = kernel(
    "T x, T mean, T inv, T weight, T bias",
    "T y",
    "y = T((A(x) - A(mean)) * A(inv) * A(weight) + A(bias))",
    "minidl_normalise",
)

_PAIR = """
struct pair {
    A one, two;
    __device__ pair() : one(0), two(0) {}
    __device__ pair(A a, A b) : one(a), two(b) {}
};
__device__ pair joined(const pair& a, const pair& b) { return pair(a.one + b.one, a.two + b.two); }
"""

# the sums of g weight and of g weight xh, with xh the normalised x
_sums = reduction(
    "T g, T x, T weight, T mean, T inv",
    "U sum_g, U sum_gx",
    "pair(A(g) * A(weight), A(g) * A(weight) * ((A(x) - A(mean)) * A(inv)))",
    "joined(a, b)",
    "sum_g = a.one, sum_gx = a.two",
    "pair()",
    "minidl_normalise_sums",
    preamble=_PAIR,
    types=WITH_WIDER,
    of="pair",
)

_grad = kernel(
    "T g, T x, T inner, T outer, T mean, T inv, U sum_g, U sum_gx, float64 share, bool center",
    "T dx",
    """
    A xh = (A(x) - A(mean)) * A(inv);
    A v = A(g) * A(inner) - xh * sum_gx * A(share);
    if (center) v -= sum_g * A(share);
    dx = T(v * A(outer) * A(inv));""",
    "minidl_normalise_grad",
    types=WITH_WIDER,
)

_weight_grad = kernel("T g, T x, T mean, T inv", "T dw", "dw = T(A(g) * ((A(x) - A(mean)) * A(inv)))", "minidl_scaled")


def _outputs(shape, like, count: int, wide: bool = False) -> list:
    """Fresh arrays, of the dtype of `like` or of the one that it is computed in."""
    return [cupy.empty(shape, WIDER[like.dtype.name] if wide else like.dtype) for _ in range(count)]


def statistics(x, axis: tuple[int, ...], eps: float, center: bool = True) -> list:
    """Mean (0 unless center), variance and 1 / sqrt(variance + eps) over the axes, which are kept."""
    out = _outputs([1 if k in axis else n for k, n in enumerate(x.shape)], x, 3)
    _statistics(x, float(eps), center, *out, axis=axis, keepdims=True)
    return out


def apply(x, mean, inv, weight, bias):
    """(x - mean) inv weight + bias."""
    return _apply(x, mean, inv, 1.0 if weight is None else weight, 0.0 if bias is None else bias)


def sums(g, x, weight, mean, inv, axis: tuple[int, ...], keepdims: bool = True, wide: bool = True) -> list:
    """The sums over the axes of g weight and of g weight xh, for the wide ones in the dtype that they are made in."""
    shape = [1 if k in axis else n for k, n in enumerate(x.shape) if keepdims or k not in axis]
    out = _outputs(shape, x, 2, True)
    _sums(g, x, 1.0 if weight is None else weight, mean, inv, *out, axis=axis, keepdims=keepdims)
    return out if wide else [v.astype(x.dtype, copy=False) for v in out]


def gradient(g, x, inner, outer, mean, inv, sum_g, sum_gx, m: int, center: bool = True):
    """(g inner - sum_g / m - xh sum_gx / m) outer inv."""
    inner, outer = [1.0 if w is None else w for w in (inner, outer)]
    return _grad(g, x, inner, outer, mean, inv, sum_g, sum_gx, 1.0 / m, center)


def weight_gradient(g, x, mean, inv):
    """g xh, element by element."""
    return _weight_grad(g, x, mean, inv)
