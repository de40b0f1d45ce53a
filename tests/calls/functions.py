"""Calls of the tensor functions beyond those of `tensors.py`: every public name, in PyTorch's forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .library import call, numbers, several, whole

EDGES = np.array([-2.5, -2.0, -1.5, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.5, 3.5])
BITS = np.array([[0, 1, 2, -3], [7, -8, 5, 100]])
TIES = np.array([[1.0, 3.0, 3.0, -2.0], [2.0, 2.0, 2.0, 2.0], [-1.0, -5.0, -1.0, -5.0]])
NAN, INF = float("nan"), float("inf")

# -------------------------------------------------------------------------------------------------------- elementwise
several(
    "one",
    {
        "erf": lambda L, x: L.T.erf(x) + x.erf(),
        "erfc": lambda L, x: L.T.erfc(x * 3),
        "sinh cosh tan": lambda L, x: L.T.sinh(x) * L.T.cosh(x) + L.T.tan(x),
        "asin acos atan": lambda L, x: L.T.asin(x / 2) + L.T.acos(x / 2) * x.atan(),
        "arcsin": lambda L, x: L.T.arcsin(x / 2) + L.T.arctan(x),
        "arccos": lambda L, x: L.T.arccos(x / 2),
        "asinh": lambda L, x: L.T.asinh(x) + L.T.arcsinh(x),
        "acosh": lambda L, x: L.T.acosh(x * x + 1.5) + L.T.arccosh(x * x + 2),
        "atanh": lambda L, x: L.T.atanh(x / 2) + L.T.arctanh(x / 3),
        "reciprocal": lambda L, x: L.T.reciprocal(x) + (x * x).rsqrt() + L.T.rsqrt(x * x + 1),
        "exp2": lambda L, x: L.T.exp2(x),
        "absolute": lambda L, x: L.T.absolute(x) + L.T.abs(input=x) + L.T.negative(x) + L.T.neg(x),
        "positive": lambda L, x: L.T.positive(x) * 2,
        "degrees": lambda L, x: L.T.deg2rad(x) + L.T.rad2deg(x),
        "sinc": lambda L, x: L.T.sinc(x),
        "logit": lambda L, x: L.T.logit(x / 4 + 0.5) + (x / 2 + 0.4).logit(0.2) + L.T.logit(x, eps=0.1),
        "lerp": lambda L, x: L.T.lerp(x, x.flip(0), 0.3) + x.lerp(x * x, (x > 0).to(x.dtype)),
        "addcmul": lambda L, x: L.T.addcmul(x, x, x.flip(0), value=0.5) + x.addcdiv(x, x * x + 1, value=2),
        "addcdiv": lambda L, x: L.T.addcdiv(x, x, x * x + 1) + L.T.addcmul(x, x, x),
        "rsub": lambda L, x: L.T.rsub(x, x * x, alpha=3) + L.T.rsub(x, 2),
        "clamp_min": lambda L, x: L.T.clamp_min(x, 0.2) + x.clamp_max(0.1) + L.T.clamp_max(x, 0.5),
        "clip": lambda L, x: L.T.clip(x, -0.5, 0.5),
        "heaviside": lambda L, x: L.T.heaviside(x.detach(), L.tensor(np.array([0.5]))),
        "copysign": lambda L, x: L.T.copysign(x, -1.0) * x + x.copysign(x.flip(0)),
        "float_power": lambda L, x: L.T.float_power(x * x + 1, 1.5).to(x.dtype),
        "multiply": lambda L, x: L.T.multiply(x, x) + L.T.subtract(x, 1) + L.T.divide(x, 2) + L.T.true_divide(x, 3),
        "mul": lambda L, x: L.T.mul(x, x) + L.T.sub(x, 1) + L.T.div(x, 2) + L.T.add(x, 3) + L.T.square(x),
        "named other": lambda L, x: L.T.maximum(x, other=x.flip(0)) + L.T.minimum(input=x, other=x.flip(0)),
        "exponentials": lambda L, x: L.T.exp(x) + L.T.sqrt(L.T.square(x) + 1) + L.T.log(x * x) + L.T.log2(x * x + 1),
        "logarithms": lambda L, x: L.T.log10(x * x) + L.T.log1p(x * x) + L.T.expm1(input=x) + L.T.sigmoid(x),
        "waves": lambda L, x: L.T.sin(input=x) + L.T.cos(x) + L.T.tanh(x) + L.T.relu(x) + L.T.pow(x, 3),
        "in place": lambda L, x: (x * 1).addcmul_(x, x).clamp_max_(0.5).add_(x).tanh_() * 2,
        "in place second": lambda L, x: (x * 2).trunc_().logical_not_() * x,
    },
    numbers(7, 11),
)
several(
    "edges again",
    {
        "trunc": lambda L, x: L.T.trunc(x) * x + L.T.fix(x) + x.frac() * 2,
        "frac": lambda L, x: L.T.frac(x),
        "sgn": lambda L, x: L.T.sgn(x) * x + L.T.sign(x),
        "signbit": lambda L, x: L.T.signbit(x),
        "fmod": lambda L, x: L.T.fmod(x, 1.5) + x.fmod(-2.0),
        "fmod by tensor": lambda L, x: L.T.fmod(x, x * x + 0.7),
        "round": lambda L, x: L.T.round(x * 1.111, decimals=1) * x + L.T.round(x * 11, decimals=-1) + L.T.round(x),
        "floor": lambda L, x: L.T.floor(x) * x + L.T.ceil(x) + L.T.floor_divide(x.detach(), 2),
        "positive zero": lambda L, x: L.T.copysign(x * 0 + 1, x),
        "heaviside": lambda L, x: L.T.heaviside(x.detach(), x.detach() * 0 + 2),
        "comparisons": lambda L, x: (L.T.gt(x, 0), L.T.greater(x, 0), L.T.ge(x, 0), L.T.greater_equal(x, 0)),
        "more comparisons": lambda L, x: (L.T.lt(x, 0), L.T.less(x, 0), L.T.le(x, 0), L.T.less_equal(x, 0)),
        "equality": lambda L, x: (L.T.eq(x, 0), L.T.ne(x, 0), L.T.not_equal(x, 0.5)),
        "logic": lambda L, x: (L.T.logical_and(x, x > 0), L.T.logical_or(x, x < 0), L.T.logical_not(x)),
        "xor": lambda L, x: (L.T.logical_xor(x, x > 0), x.logical_xor(x.flip(0))),
        "isin": lambda L, x: (L.T.isin(x, L.tensor(np.array([0.0, 1.5]))), L.T.isin(x, 0.5, invert=True)),
        "nonzero": lambda L, x: (L.T.nonzero(x), L.T.argwhere(x), *L.T.where(x)),
        "where": lambda L, x: x.where(x > 0, x * 3),
        "masked": lambda L, x: L.T.masked_fill(x, x > 0, 2.0),
    },
    EDGES,
)
several(
    "two",
    {
        "atan2": lambda L, a, b: L.T.atan2(a, b) + L.T.arctan2(b, a),
        "hypot": lambda L, a, b: L.T.hypot(a, b),
        "logaddexp": lambda L, a, b: L.T.logaddexp(a * 300, b) + L.T.logaddexp2(a, b * 3),
        "xlogy": lambda L, a, b: L.T.xlogy(a, b * b) + L.T.xlogy(2.0, b * b),
        "fmax": lambda L, a, b: L.T.fmax(a, b) + L.T.fmin(a, b) * 2,
        "remainder": lambda L, a, b: L.T.remainder(a, b),
        "isclose": lambda L, a, b: L.T.isclose(a, b, atol=0.5),
        "dist": lambda L, a, b: L.T.dist(a, b) + L.T.dist(a, b, 1) + a.dist(b, INF) + L.T.dist(a, b, 3),
    },
    numbers(8, 3, 4),
    numbers(9, 3, 4),
)
call("xlogy: zeros", np.array([0.0, 0.0, 1.0, NAN, 0.0, 0.0]), np.array([1.0, 0.0, 3.0, 1.0, NAN, -1.0]), fixed=(0, 1))(
    lambda L, a, b: L.T.xlogy(a, b)
)
call("fmax: ties and nan", np.array([1.0, NAN, 2.0, 3.0]), np.array([1.0, 1.0, NAN, 2.0]))(
    lambda L, a, b: L.T.fmax(a, b) + L.T.fmin(a, b)
)
several(
    "specials",
    {
        "nan_to_num": lambda L, x: L.T.nan_to_num(x, 1.0, 5.0, -5.0),
        "nan_to_num bounds": lambda L, x: L.T.nan_to_num(x, posinf=2.0, neginf=3.0),
        "questions": lambda L, x: (L.T.isinf(x), L.T.isposinf(x), L.T.isneginf(x), L.T.isreal(x), L.T.isnan(x)),
        "isfinite": lambda L, x: L.T.isfinite(input=x),
        "sums": lambda L, x: (L.T.nansum(x[:, :2], 1), L.T.nansum(x[:, 0]), L.T.nanmean(x[:, :2], 1, True)),
        "nanmedian": lambda L, x: (L.T.nanmedian(x[:, 0]), *L.T.nanmedian(x, 1)),
        "median": lambda L, x: (L.T.median(x.detach()), L.T.median(x[:2, :2]), *x.median(1, keepdim=True)),
        "sort": lambda L, x: (*L.T.sort(x, 1), *x.sort(1, descending=True)),
        "cummax": lambda L, x: (*L.T.cummax(x, 1), *x.cummin(1)),
        "nanquantile": lambda L, x: L.T.nanquantile(x[:, :2], 0.3, 1),
        "quantile": lambda L, x: L.T.quantile(x[:2, :2], 0.3, 0),
    },
    np.array([[1.0, NAN, INF], [0.5, 2.0, -INF], [NAN, -1.0, 3.0]]),
)
several(
    "bits",
    {
        "and": lambda L, x: (L.T.bitwise_and(L.tensor(x), 6), L.tensor(x) & L.tensor(x).flip(0), 3 & L.tensor(x)),
        "or": lambda L, x: (L.T.bitwise_or(L.tensor(x), 6), L.tensor(x) | L.tensor(x).flip(0)),
        "xor": lambda L, x: (L.T.bitwise_xor(L.tensor(x), 6), L.tensor(x) ^ L.tensor(x).flip(0)),
        "not": lambda L, x: (L.T.bitwise_not(L.tensor(x)), ~L.tensor(x), ~(L.tensor(x) > 0)),
        "shifts": lambda L, x: (
            L.T.bitwise_left_shift(L.tensor(x), 2),
            L.tensor(x) >> 1,
            L.tensor(x) << L.tensor(x[:1] & 3),
        ),
        "right": lambda L, x: L.T.bitwise_right_shift(L.tensor(x), L.tensor(x[:1] & 3)),
        "bools": lambda L, x: ((L.tensor(x) > 0) & (L.tensor(x) < 6), (L.tensor(x) > 0) ^ (L.tensor(x) < 6)),
        "in place": lambda L, x: (L.tensor(x.copy()).bitwise_and_(6), L.tensor(x.copy()).bitwise_not_()),
        "prod": lambda L, x: (L.T.prod(L.tensor(x), 1), L.tensor(x).cumsum(0), L.tensor(x).cumprod(1)),
        "prod of small": lambda L, x: (L.T.prod(L.tensor(x > 0), 1), L.T.cumsum(L.tensor(x.astype(np.int32)), 1)),
        "extremes": lambda L, x: (*L.T.cummin(L.tensor(x), 1), *L.T.cummax(L.tensor(x > 0), 1)),
        "diff": lambda L, x: (L.T.diff(L.tensor(x)), L.T.diff(L.tensor(x > 0), dim=0)),
        "tril": lambda L, x: (L.T.tril(L.tensor(x)), L.T.triu(L.tensor(x > 0), 1)),
        "sort": lambda L, x: (*L.T.sort(L.tensor(x), -1, True), *L.T.sort(L.tensor(x % 3), dim=1, stable=True)),
        "counts": lambda L, x: (L.T.bincount(L.tensor(np.abs(x)[0])), L.T.count_nonzero(L.tensor(x))),
        "mode": lambda L, x: L.T.mode(L.tensor(x % 2), 1)[0],
    },
    BITS,
)

# --------------------------------------------------------------------------------------------------------- reductions
_REDUCTIONS: dict[str, Callable] = {
    "prod": lambda L, x: (L.T.prod(x), x.prod(1), x.prod(-1, keepdim=True), x.prod(0, dtype=x.dtype)),
    "cumsum": lambda L, x: (L.T.cumsum(x, 1), x.cumsum(dim=-1)),
    "cumprod": lambda L, x: (L.T.cumprod(x, 0), x.cumprod(2)),
    "logcumsumexp": lambda L, x: L.T.logcumsumexp(x * 100, 1) + x.logcumsumexp(2),
    "cummax": lambda L, x: (*L.T.cummax(x, 1), *x.cummin(-1)),
    "norm": lambda L, x: L.T.norm(x) + x.norm(1) + x.norm(3.5) + x.norm(INF) + L.T.norm(x, -INF) + x.norm(0),
    "norm dims": lambda L, x: (x.norm(dim=1), L.T.norm(x, 2, (0, 2), True), L.T.norm(x, "fro", (1, 2)), x.norm(1, -1)),
    "std_mean": lambda L, x: (
        *L.T.std_mean(x),
        *L.T.std_mean(x, 1),
        *L.T.var_mean(x, (0, 1), correction=0, keepdim=True),
    ),
    "var_mean": lambda L, x: L.T.var_mean(x, 1, False),
    "aminmax": lambda L, x: (*L.T.aminmax(x), *x.aminmax(dim=1, keepdim=True)),
    "count_nonzero": lambda L, x: (L.T.count_nonzero(x > 0), (x > 0).count_nonzero((0, 1)), L.T.count_nonzero(x, 0)),
    "nansum": lambda L, x: L.T.nansum(x, (0, 1)) + L.T.nanmean(x),
    "diff": lambda L, x: (L.T.diff(x), x.diff(2, 1), L.T.diff(x, dim=0, prepend=x[:1], append=x[:1] * 2), x.diff(5)),
    "trapezoid": lambda L, x: (L.T.trapezoid(x), L.T.trapz(x, dx=0.5, dim=1), L.T.trapezoid(x, x[0, 0] * 2)),
    "trapezoid places": lambda L, x: (L.T.trapezoid(x, x * x, dim=1), L.T.cumulative_trapezoid(x, dim=1)),
    "cov": lambda L, x: (L.T.cov(x[0]), x[0, 0].cov(), L.T.cov(x[1], correction=0)),
    "corrcoef": lambda L, x: (L.T.corrcoef(x[0]), L.T.corrcoef(x[0, 0])),
    "logsumexp": lambda L, x: L.T.logsumexp(x, 1) + L.T.softmax(x, 1).sum(1) + L.T.log_softmax(x, dim=1).mean(1),
    "the rest": lambda L, x: (L.T.sum(x), L.T.mean(x), L.T.std(x, 1), L.T.var(x), L.T.amax(x, 1), L.T.amin(x, 1)),
    "truths": lambda L, x: (L.T.any(x > 1, 1), L.T.all(x > -1, 1), L.T.argmax(x, 1), L.T.argmin(x), L.T.min(x)),
    "max": lambda L, x: (*L.T.max(x, 1), *L.T.min(x, 2, keepdim=True), L.T.max(x)),
}
several("reductions", _REDUCTIONS, numbers(3, 2, 3, 4))
several(
    "zeros",
    {
        "prod": lambda L, x: (x.prod(1), x.prod(0), x[0].prod(), x[2, 0].prod(0)),
        "cumprod": lambda L, x: (x.cumprod(1), x.cumprod(0)),
        "norm": lambda L, x: (x.norm(dim=1), x.norm(1, 1), x.norm(3, 1), x.norm(INF, 1), x.norm(1.5, 0)),
        "cdist": lambda L, x: L.T.cdist(x, x * L.tensor(np.array([1.0, 1.0, 2.0]))),
        "dist": lambda L, x: L.T.dist(x, x.detach()),
        "hypot": lambda L, x: L.T.hypot(x, x * 0 + 1),
    },
    np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.5, -2.0, 3.0]]),
)
several(
    "cdist",
    {str(p): lambda L, a, b, p=p: L.T.cdist(a, b, p) for p in (1.0, 2.0, INF, 3.0, 0.0)}
    | {"batches": lambda L, a, b: L.T.cdist(a.view(2, 2, 3), b[:2].view(1, 2, 3))},
    numbers(1, 4, 3),
    numbers(2, 3, 3),
)
several(
    "counting",
    {
        "bincount": lambda L, x, w: (L.T.bincount(L.tensor(x)), L.tensor(x).bincount(minlength=9)),
        "bincount weights": lambda L, x, w: L.T.bincount(L.tensor(x), w.detach(), 9),
        "histc": lambda L, x, w: (L.T.histc(w.detach(), 4), w.detach().histc(5, -1, 1), L.T.histc(w.detach() * 0, 3)),
        "unique": lambda L, x, w: L.T.unique(L.tensor(x)),
        "unique all": lambda L, x, w: L.T.unique(L.tensor(x.reshape(2, 4)), return_inverse=True, return_counts=True),
        "unique counts": lambda L, x, w: L.tensor(x).unique(return_counts=True),
        "consecutive": lambda L, x, w: L.T.unique_consecutive(L.tensor(x // 3), True, True),
        "consecutive plain": lambda L, x, w: L.tensor(x // 4).unique_consecutive(),
    },
    whole(3, 6, 8),
    numbers(4, 8),
    fixed=(1,),
)

# ------------------------------------------------------------------------------------------------------------ sorting
several(
    "sorting",
    {
        "sort": lambda L, x: (*L.T.sort(x), *x.sort(0, True)),
        "argsort": lambda L, x: (L.T.argsort(x, 1), x.argsort(0, descending=True), L.T.argsort(x, stable=True)),
        "msort": lambda L, x: L.T.msort(x) + x.msort(),
        "topk": lambda L, x: (*L.T.topk(x, 2), *x.topk(2, 0, largest=False), *x.topk(x.shape[1], 1, True, True)),
        "kthvalue": lambda L, x: (*L.T.kthvalue(x, 2), *x.kthvalue(3, 0, keepdim=True)),
        "median": lambda L, x: (L.T.median(x), *L.T.median(x, 1), *x.median(0, True), *L.T.nanmedian(x, 0)),
        "quantile": lambda L, x: (L.T.quantile(x, 0.4), x.quantile(0.7, 1), L.T.quantile(x, 0.25, dim=0, keepdim=True)),
        "quantile vector": lambda L, x: (
            L.T.quantile(x, L.tensor(np.array([0.1, 0.5, 0.9])), 1, True),
            x.quantile(L.tensor(np.array([0.0, 1.0]))),
        ),
        "quantile ways": lambda L, x: tuple(
            [x.quantile(0.3, 1, interpolation=w) for w in ("lower", "higher", "midpoint", "nearest")]
        ),
        "nanquantile": lambda L, x: L.T.nanquantile(x, 0.3, 0, keepdim=True),
        "searchsorted": lambda L, x: (
            L.T.searchsorted(x[0].detach().sort()[0], x.detach()),
            L.T.searchsorted(x.detach().sort()[0], x.detach(), right=True, out_int32=True),
            L.T.searchsorted(x.detach(), x.detach(), side="right", sorter=x.detach().argsort()),
        ),
        "bucketize": lambda L, x: L.T.bucketize(x.detach(), L.tensor(np.array([-1.0, 0.0, 0.5])), right=True),
        "0-d": lambda L, x: (
            *x[0, 0].sort(),
            *x[0, 0].topk(1),
            *x[0, 0].median(0),
            *x[0, 0].kthvalue(1),
            x[0, 0].cumsum(0),
        ),
    },
    numbers(5, 3, 5),
)
several(
    "ties in order",
    {
        "sort": lambda L, x: (*L.T.sort(x, dim=1, stable=True), *L.T.sort(x, dim=1, descending=True, stable=True)),
        "argsort": lambda L, x: L.T.argsort(x, dim=1, stable=True),
        "topk": lambda L, x: L.T.topk(x.detach(), 2, 1)[0],
        "median": lambda L, x: x.median(1)[0].detach(),
        "median gradient": lambda L, x: (x.median(), x.nanmedian(), x[1].median()),
        "cummax": lambda L, x: (*x.cummax(1), *x.cummin(1)),
        "mode": lambda L, x: (*L.T.mode(x, 1), *x.mode(0, keepdim=True)),
        "searchsorted": lambda L, x: L.T.searchsorted(x.detach().sort(1)[0], x.detach()),
        "norm inf": lambda L, x: x.norm(INF, 1) + x.norm(-INF, 1),
    },
    TIES,
)

# ----------------------------------------------------------------------------------------------------------- indexing
_INDEX: dict[str, Callable] = {
    "gather": lambda L, x, s: L.T.gather(x, 0, L.tensor(whole(1, 3, 2, 4))),
    "scatter": lambda L, x, s: L.T.scatter(x, 1, L.tensor(np.array([[0, 2], [3, 1]])), s[:2, :2]),
    "scatter number": lambda L, x, s: (
        x.scatter(0, L.tensor(whole(2, 3, 1, 4)), 7.0),
        x.scatter(0, L.tensor(whole(2, 3, 1, 4)), value=1.5),
    ),
    "scatter_add": lambda L, x, s: (
        L.T.scatter_add(x, 0, L.tensor(whole(2, 3, 2, 4)), s[:2])
        + x.scatter_add(1, L.tensor(whole(3, 4, 1, 3)), s[:1, :3])
    ),
    "scatter_reduce": lambda L, x, s: (
        L.T.scatter_reduce(x, 0, L.tensor(whole(2, 3, 2, 4)), s[:2], "sum"),
        x.scatter_reduce(0, L.tensor(whole(2, 3, 2, 4)), s[:2], "mean", include_self=False),
        x.scatter_reduce(1, L.tensor(whole(2, 2, 2, 4)), s[:2], reduce="mean"),
    ),
    "index_select": lambda L, x, s: (
        L.T.index_select(x, 1, L.tensor(np.array([2, 0, 2]))),
        x.index_select(0, L.tensor(np.array(1))),
    ),
    "index_add": lambda L, x, s: (
        L.T.index_add(x, 0, L.tensor(np.array([2, 0, 2])), s),
        x.index_add(1, L.tensor(np.array([1])), s[:, :1], alpha=2),
    ),
    "index_copy": lambda L, x, s: L.T.index_copy(x, 1, L.tensor(np.array([3, 1])), s[:, :2]),
    "index_fill": lambda L, x, s: L.T.index_fill(x, 0, L.tensor(np.array([2, 0])), 1.5),
    "index_put": lambda L, x, s: (
        L.T.index_put(x, (L.tensor(np.array([0, 1])), L.tensor(np.array([2, 2]))), s[0, :2]),
        x.index_put((L.tensor(np.array([0, 0])),), s[:2], accumulate=True),
    ),
    "masked_select": lambda L, x, s: (
        L.T.masked_select(x, x > 0.2),
        x.masked_select(L.tensor(np.array([True, False, False, True]))),
    ),
    "masked_scatter": lambda L, x, s: L.T.masked_scatter(x, x > 0, s),
    "take": lambda L, x, s: (L.T.take(x, L.tensor(np.array([[0, -1], [5, 5]]))), x.take(L.tensor(np.array(3)))),
    "put": lambda L, x, s: (
        x.put(L.tensor(np.array([0, 7])), s[0, :2]),
        L.T.put(x, L.tensor(np.array([1, 1])), s[0, :2], True),
    ),
    "take_along_dim": lambda L, x, s: (
        L.T.take_along_dim(x, x.argsort(1), 1),
        x.take_along_dim(L.tensor(np.array([[1], [0], [1]])), dim=1),
        L.T.take_along_dim(x, L.tensor(np.array([3, 11]))),
    ),
    "triangles": lambda L, x, s: (L.T.tril(x), x.tril(1), L.T.triu(x, diagonal=-1), x.triu(2)),
    "diagonal": lambda L, x, s: (L.T.diagonal(x), x.diagonal(1), L.T.diagonal(x, -1, 1, 0), x.diagonal(9)),
    "diag": lambda L, x, s: (L.T.diag(x), L.T.diag(x, 2), x[0].diag(), L.T.diag(x[0], -1)),
    "diag_embed": lambda L, x, s: (
        L.T.diag_embed(x),
        x.diag_embed(1, 0, 2),
        L.T.diagflat(x[:2, :2]),
        x[0].diagflat(-1),
    ),
    "trace": lambda L, x, s: L.T.trace(x) + x.trace(),
    "diagonal_scatter": lambda L, x, s: L.T.diagonal_scatter(x, s[0, :3], 1) + x.diagonal_scatter(s[:, 0]),
    "select_scatter": lambda L, x, s: L.T.select_scatter(x, s[:, 1], 1, -1),
    "slice_scatter": lambda L, x, s: L.T.slice_scatter(x, s[:, :2], 1, 0, 4, 2) + x.slice_scatter(s[:1], 0, 1, 2),
    "in place": lambda L, x, s: (
        (x * 1).index_fill_(0, L.tensor(np.array([1])), 0.5).scatter_add_(0, L.tensor(whole(2, 3, 2, 4)), s[:2])
    ),
    "fill_diagonal": lambda L, x, s: (x * 1).fill_diagonal_(2.0).tril_().cumsum_(1),
}
several("indices", _INDEX, numbers(6, 3, 4), numbers(7, 3, 4))

# ------------------------------------------------------------------------------------------------------------- shapes
_SHAPES: dict[str, Callable] = {
    "roll": lambda L, x: (L.T.roll(x, 1), x.roll((1, -2), (0, 2)), L.T.roll(x, 5, 1), x.roll(shifts=-1, dims=2)),
    "rot90": lambda L, x: tuple([L.T.rot90(x, k, (1, 2)) for k in range(-1, 4)]) + (x[0].rot90(),),
    "flips": lambda L, x: (L.T.fliplr(x), L.T.flipud(x), L.T.flip(x, (0, 1)), L.T.flip(x, dims=[2])),
    "tile": lambda L, x: (L.T.tile(x, (2,)), x.tile(2, 1, 1, 2)),
    "repeat": lambda L, x: (x.repeat(1, 2, 1), x[0].repeat(2, 1, 1)),
    "repeat_interleave": lambda L, x: (
        L.T.repeat_interleave(x, 2),
        x.repeat_interleave(2, 1),
        L.T.repeat_interleave(x, L.tensor(np.array([0, 2, 1])), dim=1),
    ),
    "movedim": lambda L, x: (L.T.movedim(x, 0, -1), x.moveaxis((0, 1), (2, 0)), L.T.moveaxis(x, 2, 0), x.movedim(1, 1)),
    "swaps": lambda L, x: L.T.swapdims(x, 0, 2) * L.T.swapaxes(x, 0, 2) + L.T.transpose(x, 2, 0) + x.swapdims(0, 2),
    "adjoint": lambda L, x: L.T.adjoint(x) * x.mT,
    "unflatten": lambda L, x: (L.T.unflatten(x, 2, (2, -1)), x.unflatten(1, (3, 1))),
    "ravel": lambda L, x: L.T.ravel(x) * x.ravel() * L.T.flatten(x) * L.T.reshape(x, (-1,)) * x.view(-1),
    "atleast": lambda L, x: (
        L.T.atleast_1d(x[0, 0, 0]),
        L.T.atleast_2d(x[0, 0]),
        L.T.atleast_3d(x[0]),
        *L.T.atleast_3d(x[0, 0], x),
    ),
    "stacks": lambda L, x: (
        L.T.hstack((x, x * 2)),
        L.T.vstack((x[0], x[1])),
        L.T.dstack([x[0], x[1]]),
        L.T.row_stack((x, x)),
    ),
    "stacks of vectors": lambda L, x: (
        L.T.hstack((x[0, 0], x[1, 1])),
        L.T.vstack((x[0, 0], x[1, 1])),
        L.T.dstack((x[0, 0], x[1, 1])),
        L.T.column_stack((x[0, 0], x[1].T, x[0, 1])),
    ),
    "concat": lambda L, x: (
        L.T.concat((x, x), 1),
        L.T.concatenate([x, x], dim=2),
        L.T.cat((x, x)),
        L.T.stack([x, x], 1),
    ),
    "splits": lambda L, x: (*L.T.hsplit(x, 3), *L.T.vsplit(x, [1]), *L.T.dsplit(x, 2), *x[0, 0].hsplit(2)),
    "tensor_split": lambda L, x: (*L.T.tensor_split(x, 3, 2), *x.tensor_split((1, 5), 2), *L.T.tensor_split(x, (1,))),
    "cuts": lambda L, x: (
        *L.T.split(x, 3, 2),
        *L.T.chunk(x, 2, -1),
        *L.T.unbind(x),
        L.T.select(x, -1, 1),
        L.T.narrow(x, -1, -2, 2),
    ),
    "meshgrid": lambda L, x: (
        *L.T.meshgrid(x[0, 0], x[0, 1, :2], indexing="ij"),
        *L.T.meshgrid(x[0, 0], x[1, 1, :2], indexing="xy"),
    ),
    "cartesian_prod": lambda L, x: (L.T.cartesian_prod(x[0, 0], x[1, 1, :2]), L.T.cartesian_prod(x[0, 0])),
    "combinations": lambda L, x: (
        L.T.combinations(x[0, 0]),
        L.T.combinations(x[0, 0], 3),
        L.T.combinations(x[0, 1], 2, True),
    ),
    "block_diag": lambda L, x: L.T.block_diag(x[0], x[1, 0], x[0, 0, 0], x[1, :2]),
    "broadcasts": lambda L, x: (*L.T.broadcast_tensors(x[:, :1], x[0]), L.T.broadcast_to(x[0], (2, 3, 4))),
    "broadcast_shapes": lambda L, x: x[0, 0, 0] * L.T.zeros(L.T.broadcast_shapes((2, 1), (3,), (1, 1, 1))).to(x),
    "order": lambda L, x: (
        L.T.permute(x, (2, 0, 1)),
        L.T.t(x[0]),
        L.T.squeeze(x[:1]),
        L.T.unsqueeze(x, 1),
        x.expand(1, 2, 3, 4),
    ),
}
several("more shapes", _SHAPES, numbers(4, 2, 3, 4))

# ----------------------------------------------------------------------------------------------------- matrix products
_EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)), "ij,jk": ((2, 3), (3, 4)), "ij->ji": ((2, 3),), "ij": ((2, 3),), "ba": ((2, 3),),
    "ii->i": ((3, 3),), "ii": ((3, 3),), "iij->ji": ((2, 2, 3),), "ij->": ((2, 3),), "i,i": ((3,), (3,)),
    "i,j->ij": ((2,), (3,)), "bij,bjk->bik": ((2, 2, 3), (2, 3, 2)), "...ij,...jk->...ik": ((2, 2, 3), (1, 3, 2)),
    "...i->...": ((2, 3),), "i...->...i": ((2, 3, 2),), "bhqd,bhkd->bhqk": ((1, 2, 2, 3), (1, 2, 2, 3)),
    "ij,ij->ij": ((2, 3), (2, 3)), "ij,kj->": ((2, 3), (2, 3)), "i,ij,j->": ((2,), (2, 3), (3,)),
    "ij,jk,kl->il": ((2, 3), (3, 2), (2, 2)), "ab,bc,ca->abc": ((2, 3), (3, 2), (2, 2)), "ij,ik->kj": ((1, 3), (2, 2)),
    "...,...->...": ((2, 1), (3,)), " i j , j -> i ": ((2, 3), (3,)), "bii->b": ((2, 3, 3),), ",ij->ij": ((), (2, 3)),
    "ij,j": ((2, 3), (3,)), "ij,ik->jk": ((0, 3), (0, 2)), "abc,cd,bd->a": ((2, 3, 2), (2, 2), (3, 2)),
}  # fmt: skip
for _equation, _inputs in _EINSUMS.items():
    call(f"einsum: {_equation}", *[numbers(i + 1, *s) for i, s in enumerate(_inputs)])(
        lambda L, *xs, e=_equation: L.T.einsum(e, *xs)
    )
_PRODUCTS: dict[str, Callable] = {
    "outer": lambda L, a, b: (L.T.outer(a[0], b[0]), L.T.ger(a[0], b[1]), a[0].outer(b[0])),
    "inner": lambda L, a, b: (L.T.inner(a, b), L.T.inner(a[0], b[0]), L.T.inner(a[0, 0], b), a.inner(b[0])),
    "kron": lambda L, a, b: (L.T.kron(a, b), L.T.kron(a[0], b), L.T.kron(a[0], b[0])),
    "tensordot": lambda L, a, b: (L.T.tensordot(a, b.T, 1), L.T.tensordot(a, b, 0)),
    "tensordot lists": lambda L, a, b: (
        L.T.tensordot(a, b, ([1, 0], [1, 0])),
        L.T.tensordot(a, b, dims=([0], [0])),
        L.T.tensordot(a, b, 2),
    ),
    "addmm": lambda L, a, b: (L.T.addmm(a[0, 0], a, b.T, beta=2, alpha=0.5), L.T.addmm(a[:, :1], a, b.t())),
    "addmv": lambda L, a, b: (L.T.addmv(a[:, 0], a, b[0]), a[:, 0].addmv(a, b[0], beta=0, alpha=3)),
    "addr": lambda L, a, b: L.T.addr(a, b[:, 0], b[0], beta=0.5),
    "baddbmm": lambda L, a, b: L.T.baddbmm(a[:, :1].unsqueeze(1), a.view(3, 1, 3), b.view(3, 3, 1), beta=0.5, alpha=2),
    "addbmm": lambda L, a, b: L.T.addbmm(a[0, 0], a.view(3, 1, 3), b.view(3, 3, 1), alpha=2),
    "products": lambda L, a, b: (
        L.T.mm(a, b.T),
        L.T.mv(a, b[0]),
        L.T.dot(a[0], b[0]),
        L.T.vdot(a[0], b[1]),
        L.T.matmul(a, b),
    ),
    "bmm": lambda L, a, b: L.T.bmm(a.view(3, 1, 3), b.view(3, 3, 1)),
    "matrix_power": lambda L, a, b: (L.T.matrix_power(a.detach(), 0), *[L.T.matrix_power(a, n) for n in range(1, 6)]),
    "matrix_power, inverse": lambda L, a, b: L.T.matrix_power(
        a @ a.mT + L.T.eye(a.shape[-1], dtype=a.dtype, device=a.device), -3
    ),
    "chain": lambda L, a, b: (L.T.linalg.multi_dot([a, b, a.T]), L.T.linalg.multi_dot([a[0], b, a, b[0]])),
    "cross": lambda L, a, b: (L.T.cross(a, b, dim=1), L.T.linalg.cross(a, b), L.T.cross(a, b, dim=0)),
    "linalg norms": lambda L, a, b: (
        L.T.linalg.norm(a),
        L.T.linalg.norm(a[0], 1),
        L.T.linalg.norm(a, 1),
        L.T.linalg.norm(a, -INF),
    ),
    "vector_norm": lambda L, a, b: (L.T.linalg.vector_norm(a, 3), L.T.linalg.vector_norm(a, INF, 1, True)),
    "matrix_norm": lambda L, a, b: (
        L.T.linalg.matrix_norm(a),
        L.T.linalg.matrix_norm(a, INF, keepdim=True),
        L.T.linalg.matrix_norm(a, -1),
    ),
    "vecdot": lambda L, a, b: (L.T.linalg.vecdot(a, b), L.T.linalg.diagonal(a, offset=1), L.T.linalg.matmul(a, b)),
}
several("products", _PRODUCTS, numbers(1, 3, 3), numbers(2, 3, 3))
call("products: chain_matmul", numbers(1, 2, 3), numbers(2, 3, 4), numbers(3, 4, 2))(
    lambda L, a, b, c: L.T.chain_matmul(a, b, c)
)


# ------------------------------------------------------------------------------------------------------------ creation
def _on(like, *ys):
    """Where `like` is: what is made without a device lies on the CPU."""
    return tuple([y.to(like.device) for y in ys])


several(
    "creation",
    {
        "ranges": lambda L, n: _on(
            n,
            L.T.arange(5),
            L.T.arange(1, 2, 0.25, dtype=n.dtype),
            L.T.linspace(0, 1, 5, dtype=n.dtype),
        ),
        "logspace": lambda L, n: _on(
            n,
            L.T.logspace(-1, 2, 4, dtype=n.dtype),
            L.T.logspace(0, 3, 4, base=2.0, dtype=n.dtype),
        ),
        "filled": lambda L, n: _on(
            n,
            L.T.zeros(2, dtype=n.dtype),
            L.T.ones(2, 1, dtype=n.dtype),
            L.T.full((2,), 7),
            L.T.eye(2, 3, dtype=n.dtype),
        ),
        "likes": lambda L, n: _on(
            n, L.T.zeros_like(n), L.T.ones_like(n), L.T.full_like(n, 3), L.T.empty_like(n).fill_(1)
        ),
        "triangles": lambda L, n: _on(
            n,
            L.T.tril_indices(3, 4, 1),
            L.T.triu_indices(3, 3),
            L.T.tril_indices(2, 2, offset=-1),
        ),
        "tensors": lambda L, n: _on(
            n,
            L.T.tensor([[1, 2]]),
            L.T.as_tensor(n),
            L.T.asarray([1, 2]),
            L.T.asarray(n, copy=True),
        ),
        "scalar_tensor": lambda L, n: _on(n, L.T.scalar_tensor(2, dtype=n.dtype)),
        "from_numpy": lambda L, n: _on(n, L.T.from_numpy(np.arange(3)), L.T.empty(3, dtype=L.T.int64).fill_(1)),
        "legacy": lambda L, n: _on(
            n,
            *(L.T.LongTensor([1, 2]), L.T.IntTensor([3]), L.T.ShortTensor([4]), L.T.CharTensor([-5])),
            *(L.T.ByteTensor([6]), L.T.BoolTensor([True, False]), L.T.FloatTensor([1.5, 2]).to(n.dtype)),
            *(L.T.DoubleTensor([[0.1]]).to(n.dtype), L.T.HalfTensor([0.5]).to(n.dtype)),
        ),
    },
    numbers(1, 2),
)
several(
    "types",
    {
        "numel": lambda L, x: L.tensor(
            np.array([L.T.numel(x), L.T.is_tensor(x), L.T.is_tensor(1), L.T.is_floating_point(x)])
        ),
        "is_nonzero": lambda L, x: L.tensor(np.array([L.T.is_nonzero(x[0]), L.T.equal(x, x), L.T.allclose(x, x + 1)])),
        "finfo": lambda L, x: L.tensor(
            np.log2([[abs(getattr(L.T.finfo(d), n)) for n in _FINFO] for d in (L.T.float32, L.T.float16, L.T.float64)])
        ),
        "iinfo": lambda L, x: L.tensor(
            np.array([[getattr(L.T.iinfo(d), n) for n in ("max", "min", "bits")] for d in (L.T.uint8, L.T.int32)])
        ),
        "result_type": lambda L, x: _same(
            L,
            [(L.T.result_type(L.tensor(np.arange(2)), 1.5), L.T.float32), (L.T.result_type(1, x > 0), L.T.int64)],
        ),
        "promote_types": lambda L, x: _same(
            L,
            [(L.T.promote_types(L.T.int32, L.T.float16), L.T.float16)]
            + [(L.T.promote_types(L.T.uint8, L.T.int8), L.T.int16)],
        ),
        "can_cast": lambda L, x: L.tensor(np.array([[L.T.can_cast(a, b) for a in _kinds(L)] for b in _kinds(L)])),
        "constants": lambda L, x: x * L.T.pi + L.T.e + (x < L.T.inf).to(x.dtype),
    },
    numbers(1, 3),
)


_FINFO = ("eps", "max", "min", "tiny", "smallest_normal", "bits", "resolution")


def _same(L, pairs):
    return L.tensor(np.array([a == b for a, b in pairs]))


def _kinds(L):
    return L.T.bool, L.T.uint8, L.T.int8, L.T.int64, L.T.float16, L.T.float64
