"""Cases of the ops that all else is made of, and what NumPy says should come out."""

from __future__ import annotations

import itertools
import math

import numpy as np

from .table import apart, between, case, integers, mask, normal, values


# ------------------------------------------------------------------------------- NumPy's word on what should come out
def windows(x, kernel, stride, padding, dilation, fill=0.0):
    """Every position (p, q) with the patch (N, C, K, L) that it sees; padding is ((top, bottom), (left, right))."""
    x = np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill)
    tall, wide = dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1
    for p, top in enumerate(range(0, x.shape[2] - tall + 1, stride[0])):
        for q, left in enumerate(range(0, x.shape[3] - wide + 1, stride[1])):
            yield p, q, x[:, :, top : top + tall : dilation[0], left : left + wide : dilation[1]]


def convolution(x, w, b, *, stride, padding, dilation, groups):
    """conv2d, one output pixel after another."""
    f, c = w.shape[:2]
    pixels: dict[tuple[int, int], np.ndarray] = {}
    for p, q, patch in windows(x, w.shape[2:], stride, [(n, n) for n in padding], dilation):
        parts = [
            np.einsum("nckl,fckl->nf", patch[:, i * c : (i + 1) * c], w[i * (f // groups) : (i + 1) * (f // groups)])
            for i in range(groups)
        ]
        pixels[p, q] = np.concatenate(parts, axis=1)
    rows, columns = max(pixels)[0] + 1, max(pixels)[1] + 1
    y = np.array([[pixels[p, q] for q in range(columns)] for p in range(rows)]).transpose(2, 3, 0, 1)
    return y if b is None else y + b[:, None, None]


def adjoint(function, g, shape):
    """The x-gradient of <g, function(x)> for a linear function, one unit vector after another."""
    found = np.zeros(shape)
    for index in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[index] = 1.0
        found[index] = np.vdot(g, function(unit))
    return found


def pooled(x, kernel, stride, dilation, width, out, reduce, fill=0.0):
    y = np.zeros((*x.shape[:2], *out))
    for p, q, patch in windows(x, kernel, stride, width[2:], dilation, fill):
        if p < out[0] and q < out[1]:
            y[:, :, p, q] = reduce(patch.reshape(*x.shape[:2], -1))
    return y


def max_pool(x, *, kernel, stride, dilation, width, out):
    return pooled(x, kernel, stride, dilation, width, out, lambda a: a.max(-1), -np.inf)


def max_place(x, *, kernel, stride, dilation, width, out):
    return pooled(x, kernel, stride, dilation, width, out, lambda a: a.argmax(-1), -np.inf).astype(np.int8)


def put(g, place, *, shape, kernel, stride, dilation, width):
    y = np.pad(np.zeros(shape), width)
    for n, c, p, q in np.ndindex(*g.shape):
        k, l = divmod(int(place[n, c, p, q]), kernel[1])  # noqa: E741
        y[n, c, p * stride[0] + k * dilation[0], q * stride[1] + l * dilation[1]] += g[n, c, p, q]
    return y[:, :, width[2][0] : width[2][0] + shape[2], width[3][0] : width[3][0] + shape[3]]


def pick(x, place, *, kernel, stride, dilation, width):
    x, y = np.pad(x, width), np.zeros(place.shape)
    for n, c, p, q in np.ndindex(*place.shape):
        k, l = divmod(int(place[n, c, p, q]), kernel[1])  # noqa: E741
        y[n, c, p, q] = x[n, c, p * stride[0] + k * dilation[0], q * stride[1] + l * dilation[1]]
    return y


def window_sum(x, *, kernel, stride, width, out, scale=1.0):
    return scale * pooled(x, kernel, stride, (1, 1), width, out, lambda a: a.sum(-1))


def window_spread(g, *, kernel, stride, width, shape, scale=1.0):
    how = {"kernel": kernel, "stride": stride, "width": width, "out": g.shape[2:], "scale": scale}
    return adjoint(lambda x: window_sum(x, **how), g, shape)


def added_at(g, *, index, shape):
    y = np.zeros(shape)
    np.add.at(y, index, g)
    return y


def assigned(x, value, *, index):
    y = x.copy()
    y[index] = value
    return y


def added_along(g, index, *, axis, size):
    y = np.zeros([size if i == axis % g.ndim else n for i, n in enumerate(g.shape)])
    for at in np.ndindex(*g.shape):
        to = list(at)
        to[axis] = index[at]
        y[tuple(to)] += g[at]
    return y


def log_softmax(x, axis):
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def cross_entropy(z, target, *, reduction):
    lp = np.moveaxis(log_softmax(z, 1), 1, -1)
    each = -np.array([lp[(*at, target[at])] for at in np.ndindex(*target.shape)]).reshape(target.shape)
    return each if reduction == "none" else getattr(each, reduction)()


def reduced(x, reduction):
    return x if reduction == "none" else getattr(x, reduction)()


def normalised(x, weight, bias, mean, var, eps):
    channel = (1, -1) + (1,) * (x.ndim - 2)
    y = (x - mean.reshape(channel)) / np.sqrt(var.reshape(channel) + eps)
    y = y if weight is None else y * weight.reshape(channel)
    return y if bias is None else y + bias.reshape(channel)


def batch_norm(x, weight, bias, *, eps):
    rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    mean, var = rows.mean(1), rows.var(1)
    return normalised(x, weight, bias, mean, var, eps), mean, var


def _index_names(index) -> str:
    return " ".join(str(i.tolist() if isinstance(i, np.ndarray) else i) for i in index)


# elementwise, one input
for _name, _make, _forward in (
    ("identity", normal(2, 3), lambda x: x),
    ("alias", normal(2, 3), lambda x: x),
    ("negative", normal(2, 3), lambda x: 0 - x),
    ("square", normal(2, 3), lambda x: x**2),
    ("absolute", apart(2, 3), lambda x: np.sqrt(x * x)),
    ("sign", apart(2, 3), lambda x: x / np.sqrt(x * x)),
    ("floor", apart(2, 3), lambda x: np.array([math.floor(v) for v in x.ravel()], float).reshape(x.shape)),
    ("ceil", apart(2, 3), lambda x: np.array([math.ceil(v) for v in x.ravel()], float).reshape(x.shape)),
    ("rint", apart(2, 3), lambda x: np.array([round(v) for v in x.ravel()], float).reshape(x.shape)),
    ("exp", normal(2, 3), lambda x: math.e**x),
    ("expm1", normal(2, 3), lambda x: math.e**x - 1),
    ("log", between(0.3, 3, 2, 3), lambda x: np.log2(x) / math.log2(math.e)),
    ("log2", between(0.3, 3, 2, 3), lambda x: np.log(x) / math.log(2)),
    ("log10", between(0.3, 3, 2, 3), lambda x: np.log(x) / math.log(10)),
    ("log1p", between(-0.5, 3, 2, 3), lambda x: np.log(1 + x)),
    ("sqrt", between(0.3, 3, 2, 3), lambda x: x**0.5),
    ("sin", normal(2, 3), lambda x: np.exp(1j * x).imag),
    ("cos", normal(2, 3), lambda x: np.exp(1j * x).real),
    ("tanh", normal(2, 3), lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)),
    ("erf", normal(2, 3), np.vectorize(math.erf, otypes=[float])),
    ("erfc", normal(2, 3), np.vectorize(math.erfc, otypes=[float])),
    ("trunc", apart(2, 3), lambda x: np.array([int(v) for v in x.ravel()], float).reshape(x.shape)),
    ("tan", between(-1, 1, 2, 3), lambda x: np.sin(x) / np.cos(x)),
    ("arcsin", between(-0.8, 0.8, 2, 3), np.vectorize(math.asin, otypes=[float])),
    ("arccos", between(-0.8, 0.8, 2, 3), np.vectorize(math.acos, otypes=[float])),
    ("arctan", normal(2, 3), np.vectorize(math.atan, otypes=[float])),
    ("sinh", normal(2, 3), lambda x: (np.exp(x) - np.exp(-x)) / 2),
    ("cosh", normal(2, 3), lambda x: (np.exp(x) + np.exp(-x)) / 2),
    ("arcsinh", normal(2, 3), lambda x: np.log(x + np.sqrt(x * x + 1))),
    ("arccosh", between(1.5, 3, 2, 3), lambda x: np.log(x + np.sqrt(x * x - 1))),
    ("arctanh", between(-0.8, 0.8, 2, 3), lambda x: np.log((1 + x) / (1 - x)) / 2),
    ("sigmoid", normal(2, 3), lambda x: 1 / (1 + np.exp(-x))),
    ("relu", apart(2, 3), lambda x: np.where(x > 0, x, 0.0)),
):
    case(_name, [_make], _forward)
    case(_name, [lambda rng, make=_make: np.array(make(rng)[0, 0])], _forward, "0-d")
    case(_name, [lambda rng, make=_make: make(rng)[:0]], _forward, "empty")
case(
    "rint",
    [values([-1.5, -0.5, 0.5, 1.5, 2.5])],
    lambda x: np.array([-2.0, -0.0, 0.0, 2.0, 2.0]),
    "ties to even",
    fixed=(0,),
)
case("relu", [values([0.0, -0.0, 3.0])], lambda x: np.array([0.0, 0.0, 3.0]), "at 0", fixed=(0,))
case("sigmoid", [values([-40.0, -20.0, 20.0, 800.0])], lambda x: np.exp(x - np.logaddexp(0, x)), "far out", fixed=(0,))
case("absolute", [values([-3, 0, 4])], lambda x: np.array([3, 0, 4]), "integers")
case("astype", [normal(2, 3)], lambda x, dtype: x.astype(dtype), dtype=np.dtype("float32"), fixed=(0,))
case(
    "astype",
    [normal(2, 3)],
    lambda x, dtype: np.trunc(x).astype(dtype),
    "to integers",
    dtype=np.dtype("int64"),
    fixed=(0,),
)
case(
    "recast",
    [normal(2, 3)],
    lambda x, values: values,
    values=np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32),
    fixed=(0,),
)
case("zeros_like", [normal(2, 3)], lambda x: np.array([[0.0] * 3] * 2), fixed=(0,))
case("ones_like", [normal(2, 3)], lambda x: np.array([[1.0] * 3] * 2), fixed=(0,))
case("zeros", [normal(2, 3)], lambda x, shape: np.array([[0.0]]), shape=(1, 1), fixed=(0,))

# elementwise, two inputs: of one shape, broadcast in all ways, with numbers
_PAIRS = (
    ("same shape", (2, 3), (2, 3)),
    ("fewer dimensions", (2, 3), (3,)),
    ("ones", (2, 1), (1, 3)),
    ("0-d", (), (2, 3)),
    ("both 0-d", (), ()),
    ("empty", (0, 3), (1, 3)),
)
for _name, _a, _b, _forward in (
    ("add", normal, normal, lambda a, b: a + b),
    ("subtract", normal, normal, lambda a, b: a - b),
    ("multiply", normal, normal, lambda a, b: a * b),
    ("divide", normal, lambda *s: between(0.5, 2, *s), lambda a, b: a * (1 / b)),
    ("power", lambda *s: between(0.5, 2, *s), normal, lambda a, b: np.exp(b * np.log(a))),
    ("maximum", apart, lambda *s: between(-0.02, 0.02, *s), lambda a, b: np.where(a > b, a, b)),
    ("minimum", apart, lambda *s: between(-0.02, 0.02, *s), lambda a, b: np.where(a < b, a, b)),
    ("floor_divide", apart, lambda *s: between(0.9, 1.0, *s), lambda a, b: np.floor(a / b)),
    ("remainder", apart, lambda *s: between(0.9, 1.0, *s), lambda a, b: a - b * np.floor(a / b)),
    ("fmod", apart, lambda *s: between(0.9, 1.0, *s), lambda a, b: a - b * np.trunc(a / b)),
    ("hypot", normal, lambda *s: between(0.5, 2, *s), lambda a, b: np.sqrt(a * a + b * b)),
    ("arctan2", normal, lambda *s: between(0.5, 2, *s), lambda a, b: np.angle(b + 1j * a)),
    ("logaddexp", normal, normal, lambda a, b: np.log(np.exp(a) + np.exp(b))),
):
    for _label, _left, _right in _PAIRS:
        case(_name, [_a(*_left), _b(*_right)], lambda a, b, f=_forward: np.asarray(f(a, b)), _label)
    case(_name, [_a(2, 3), 0.93], lambda a, b, f=_forward: f(a, b), "number right")
    case(_name, [1.7, _b(2, 3)], lambda a, b, f=_forward: f(a, b), "number left")
case("remainder", [values([-7, 7, -7, 7]), values([3, 3, -3, -3])], lambda a, b: np.array([2, 1, -1, -2]), "integers")
case(
    "floor_divide", [values([-7, 7, -7, 7]), values([3, 3, -3, -3])], lambda a, b: np.array([-3, 2, 2, -3]), "integers"
)
case("power", [apart(2, 3), 3], lambda a, b: a * a * a, "integer exponent")
case("power", [apart(2, 3), 0], lambda a, b: np.ones_like(a), "exponent 0")
case("power", [apart(2, 3), -2], lambda a, b: 1 / a / a, "negative exponent")
for _name, _forward in (
    ("equal", lambda a, b: ~((a < b) | (a > b))),
    ("not_equal", lambda a, b: (a < b) | (a > b)),
    ("greater", lambda a, b: b < a),
    ("greater_equal", lambda a, b: ~(a < b)),
    ("less", lambda a, b: b > a),
    ("less_equal", lambda a, b: ~(a > b)),
    ("logical_and", lambda a, b: (a * b) != 0),
    ("logical_or", lambda a, b: (a * a + b * b) != 0),
):
    case(_name, [values([[1.0, 2.0, 0.0]]), values([[0.0], [2.0]])], _forward, fixed=(0, 1))
    case(_name, [values([0, 1, 2]), 1], _forward, "integers and a number")
for _name, _forward in (
    ("bitwise_and", lambda a, b: a - np.where(b % 2 == 0, a % 2, 0) - np.where(b // 2 % 2 == 0, a // 2 % 2 * 2, 0)),
    ("bitwise_or", lambda a, b: a + np.where(a % 2 == 0, b % 2, 0) + np.where(a // 2 % 2 == 0, b // 2 % 2 * 2, 0)),
    ("bitwise_xor", lambda a, b: (a + b) % 2 + (a // 2 + b // 2) % 2 * 2),
    ("left_shift", lambda a, b: a * 2**b),
    ("right_shift", lambda a, b: a // 2**b),
):
    case(_name, [values([[0, 1, 2, 3]]), values([[0], [1], [2], [3]])], _forward)
    case(_name, [values([0, 1, 2, 3]), 3], _forward, "a number")
case("bitwise_and", [mask(4), mask(4)], lambda a, b: a * b, "bools")
case("invert", [values([0, 1, -5])], lambda x: -1 - x)
case("invert", [mask(3)], lambda x: x == 0, "bools")
case("logical_not", [values([0.0, 2.0, -1.0])], lambda x: np.array([True, False, False]), fixed=(0,))
case("isfinite", [values([0.0, np.inf, -np.inf, np.nan])], lambda x: np.array([True, False, False, False]), fixed=(0,))
case("isnan", [values([0.0, np.inf, -np.inf, np.nan])], lambda x: np.array([False, False, False, True]), fixed=(0,))
case("clip", [apart(3, 4)], lambda x, low, high: np.minimum(np.maximum(x, low), high), low=-0.5, high=0.6)
case("clip", [apart(3, 4)], lambda x, low: np.where(x < low, low, x), "from below", low=-0.5)
case("clip", [apart(3, 4)], lambda x, high: np.where(x > high, high, x), "from above", high=0.6)
case("where", [mask(2, 3), normal(2, 3), normal(2, 3)], lambda c, a, b: a * c + b * (1 - c))
case("where", [mask(2, 1), normal(3), normal(2, 3)], lambda c, a, b: a * c + b * (1 - c), "broadcast")
case("where", [mask(2, 3), normal(2, 3), 0.5], lambda c, a, b: a * c + b * (1 - c), "number")
case("where", [mask(2, 3), 2.5, normal()], lambda c, a, b: a * c + b * (1 - c), "number and 0-d")

# reductions
for _axis, _keep in itertools.product((None, 1, -1, (0, 2)), (False, True)):
    _how = {"axis": _axis, "keepdims": _keep}
    _label = f"axis {_axis}, keepdims {_keep}"
    _all = tuple(range(3)) if _axis is None else _axis if isinstance(_axis, tuple) else (_axis % 3,)

    def _mean(x, axis, keepdims):
        return np.asarray(np.sum(x, axis, keepdims=keepdims) / np.sum(np.ones_like(x), axis, keepdims=keepdims))

    def _var(x, axis, keepdims, ddof=0):
        n = np.sum(np.ones_like(x), axis, keepdims=True)
        d = x - np.sum(x, axis, keepdims=True) / n
        return np.asarray(np.sum(d * d, axis, keepdims=keepdims) / (n.ravel()[0] - ddof))

    case("sum", [normal(2, 3, 4)], lambda x, **how: np.asarray(np.sum(x, **how)), _label, **_how)
    case("mean", [normal(2, 3, 4)], _mean, _label, **_how)
    case("var", [normal(2, 3, 4)], _var, _label, **_how)
    case("std", [normal(2, 3, 4)], lambda x, **how: np.sqrt(_var(x, **how)), _label, **_how)
    case("max", [apart(2, 3, 4)], lambda x, **how: np.asarray(np.max(x, **how)), _label, **_how)
    case("min", [apart(2, 3, 4)], lambda x, **how: np.asarray(-np.max(-x, **how)), _label, **_how)
    case("any", [mask(2, 3, 4)], lambda x, **how: np.asarray(np.sum(x, **how) > 0), _label, **_how)
    case("all", [mask(2, 3, 4)], lambda x, **how: np.asarray(np.sum(~x, **how) == 0), _label, **_how)
    for _p in (1, 2, 2.5, 0.5):

        def _norm(x, p, **how):
            return np.sum(np.abs(x) ** p, **how) ** (1 / p)

        case("norm", [apart(2, 3, 4)], lambda x, **how: np.asarray(_norm(x, **how)), f"{_p}, {_label}", p=_p, **_how)
    if _axis is None or isinstance(_axis, int):
        case("prod", [normal(2, 3, 4)], lambda x, **how: np.asarray(np.multiply.reduce(x, **how)), _label, **_how)
    if _axis is not None:

        def _logsumexp(x, axis, keepdims):
            return np.log(np.sum(np.exp(x), axis, keepdims=keepdims))

        case("logsumexp", [normal(2, 3, 4)], _logsumexp, _label, **_how)
    if not isinstance(_axis, tuple):
        case("argmax", [apart(2, 3, 4)], lambda x, **h: np.asarray(np.argmin(-x, **h)), _label, fixed=(0,), **_how)
        case("argmin", [apart(2, 3, 4)], lambda x, **h: np.asarray(np.argmax(-x, **h)), _label, fixed=(0,), **_how)


def running(x, axis, step):
    """Along the axis one value after the other."""
    rows = [np.moveaxis(x, axis, 0)[0]] if x.shape[axis] else []
    for row in np.moveaxis(x, axis, 0)[1:]:
        rows.append(step(rows[-1], row))
    return np.moveaxis(np.array(rows).reshape(np.moveaxis(x, axis, 0).shape), 0, axis)


for _axis in (0, 1, -1):
    case("cumsum", [normal(2, 3, 4)], lambda x, axis: running(x, axis, np.add), f"axis {_axis}", axis=_axis)
    case("cumprod", [normal(2, 3, 4)], lambda x, axis: running(x, axis, np.multiply), f"axis {_axis}", axis=_axis)
case("cumsum", [normal(2, 0)], lambda x, axis: x, "empty", axis=1)
case("cumprod", [normal(2, 0)], lambda x, axis: x, "empty", axis=1)
case("cumprod", [values([2.0])], lambda x, axis: x, "one", axis=0)
_ZEROS = values([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.5, -2.0, 0.0]])
case("prod", [_ZEROS], lambda x, axis: np.array([x[0, 0] * 2, 0.0, 0.0, x[3, 2]]), "zeros", axis=1)
case("cumprod", [_ZEROS], lambda x, axis: running(x, 1, np.multiply), "zeros", axis=1)
case("norm", [values([[3.0, -4.0]])], lambda x, p: np.array(5.0), "one", p=2)

for _ddof in (1, 2):
    case("var", [normal(2, 3, 4)], _var, f"ddof {_ddof}", axis=(0, 2), keepdims=False, ddof=_ddof)
    case(
        "std",
        [normal(2, 3, 4)],
        lambda x, **how: np.sqrt(_var(x, **how)),
        f"ddof {_ddof}",
        axis=1,
        keepdims=True,
        ddof=_ddof,
    )
case("sum", [values(3.5)], lambda x: np.array(3.5), "0-d")
case("mean", [values(3.5)], lambda x: np.array(3.5), "0-d")
case("max", [values(3.5)], lambda x: np.array(3.5), "0-d")
case("sum", [normal(0, 3)], lambda x, axis: np.zeros(3), "empty", axis=0)
case("sum", [mask(2, 3)], lambda x, axis: np.array([int(v) for v in x[0].astype(int) + x[1]]), "bools", axis=0)
case(
    "max",
    [values([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])],
    lambda x, axis: np.array([3.0, 2.0]),
    "ties",
    axis=1,
    fixed=(0,),
)
case("argmax", [values([[1.0, 3.0, 3.0]])], lambda x, axis: np.array([1]), "the first of equals", axis=1, fixed=(0,))
case(
    "logsumexp",
    [values([[1000.0, 1000.0], [-1000.0, -1000.0]])],
    lambda x, axis: np.array([1000 + math.log(2), -1000 + math.log(2)]),
    "large",
    axis=1,
    fixed=(0,),
)
for _axis in (0, 1, -1):
    case("softmax", [normal(2, 3, 4)], lambda x, axis: np.exp(log_softmax(x, axis)), f"axis {_axis}", axis=_axis)
    case("log_softmax", [normal(2, 3, 4)], lambda x, axis: log_softmax(x, axis), f"axis {_axis}", axis=_axis)
case(
    "softmax",
    [values([[1000.0, 1000.0], [-1000.0, 0.0]])],
    lambda x, axis: np.array([[0.5, 0.5], [0.0, 1.0]]),
    "large",
    axis=1,
    fixed=(0,),
)

# shapes
case("reshape", [normal(2, 6)], lambda x, shape: x.ravel().reshape(shape), shape=(3, 4))
case("reshape", [normal(2, 6)], lambda x, shape: x.ravel().reshape(4, 1, 3), "minus one", shape=(4, 1, -1))
case("reshape", [normal()], lambda x, shape: np.array([[x]]), "0-d", shape=(1, 1))
case("transpose", [normal(2, 3, 4)], lambda x, axes: np.einsum("abc->cab", x), axes=(2, 0, 1))
case("swapaxes", [normal(2, 3, 4)], lambda x, axis1, axis2: np.einsum("abc->cba", x), axis1=0, axis2=-1)
case("broadcast_to", [normal(3, 1)], lambda x, shape: np.zeros(shape) + x, shape=(2, 3, 4))
case("broadcast_to", [normal()], lambda x, shape: np.zeros(shape) + x, "0-d", shape=(2, 3))
case("flip", [normal(2, 3, 4)], lambda x, axis: x[::-1, :, ::-1], axis=(0, 2))
case("cat", [normal(2, 3), normal(1, 3), normal(0, 3)], lambda *xs, axis: np.array([r for x in xs for r in x]), axis=0)
case("cat", [normal(2, 3), normal(2, 1)], lambda a, b, axis: np.hstack([a, b]), "last axis", axis=-1)
case("pile", [normal(2, 3), normal(2, 3)], lambda a, b, axis: np.array([a, b]), axis=0)
case("pile", [normal(2, 3), normal(2, 3)], lambda a, b, axis: np.dstack([a, b]), "last axis", axis=-1)
case("split", [normal(2, 5)], lambda x, sizes, axis: (x[:, :2], x[:, 2:3], x[:, 3:]), sizes=(2, 1, 2), axis=1)
case("split", [normal(5, 2)], lambda x, sizes, axis: (x[:5], x[5:]), "an empty part", sizes=(5, 0), axis=-2)
case(
    "pad",
    [normal(2, 3)],
    lambda x, width, value: np.pad(x, width, constant_values=value),
    width=((0, 1), (2, 0)),
    value=1.5,
)
for _index in (
    (1,),
    (-1, 2, 3),
    (slice(None), 1),
    (slice(0, 3, 2), None, Ellipsis, slice(None, None, -1)),
    (np.array([2, 0, 2]),),
    (slice(None), np.array([[1, 1], [0, 2]])),
    (np.array([0, 0, 1]), np.array([1, 1, 2])),
    (np.array([[0], [1]]), slice(None), np.array([1, 1, 3])),
    (np.array([True, False, True]),),
    (Ellipsis, np.array([True, False, True, True])),
    (np.array([-1, 2]), 0),
    (slice(3, 3),),
):
    case("getitem", [normal(3, 3, 4)], lambda x, index: np.asarray(x[index]), _index_names(_index), index=_index)
    if any(isinstance(i, np.ndarray) for i in _index):
        _shape = np.zeros((3, 3, 4))[_index].shape
        case("index_add", [normal(*_shape)], added_at, _index_names(_index), index=_index, shape=(3, 3, 4))
case(
    "lattice",
    [normal(4, 5)],
    lambda x, index, start, size, steps: np.array([[x[1 + i, i + 2 * j] for j in range(2)] for i in range(3)]),
    index=(np.array([[1, 1], [2, 2], [3, 3]]), np.array([[0, 2], [1, 3], [2, 4]])),
    start=(1, 0),
    size=(3, 2),
    steps=((1, 1), (0, 2)),
)
case(
    "lattice",
    [normal(5)],
    lambda x, index, start, size, steps: np.array([x[:3], x[1:4], x[2:]]),
    "overlapping",
    index=(np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]]),),
    start=(0,),
    size=(3, 3),
    steps=((1,), (1,)),
)
for _index in ((1,), (slice(None), 1, slice(0, 4, 2)), (np.array([2, 0]),), (np.array([True, False, True]), 1)):
    _shape = np.zeros((3, 3, 4))[_index].shape
    case("setitem", [normal(3, 3, 4), normal(*_shape)], assigned, _index_names(_index), index=_index)
    case("setitem", [normal(3, 3, 4), normal()], assigned, _index_names(_index) + " 0-d value", index=_index)
    case("index_add", [normal(*_shape)], added_at, _index_names(_index) + " once", index=_index, shape=(3, 3, 4))
for _axis in (0, -1):
    _shape = (4, 2) if _axis == 0 else (3, 5)
    case(
        "take_along_axis",
        [normal(3, 2), integers(3 if _axis == 0 else 2, *_shape)],
        lambda x, index, axis: np.array(
            [x[(index[at], at[1]) if axis == 0 else (at[0], index[at])] for at in np.ndindex(*index.shape)]
        ).reshape(index.shape),
        f"axis {_axis}",
        axis=_axis,
    )
    case("scatter_add", [normal(4, 3), integers(2, 4, 3)], added_along, f"axis {_axis}", axis=_axis, size=2)

# matrix products
for _label, _left, _right in (
    ("matrices", (2, 3), (3, 4)),
    ("batches", (2, 2, 3), (2, 3, 4)),
    ("batch and matrix", (2, 2, 3), (3, 4)),
    ("matrix and batch", (2, 3), (2, 3, 4)),
    ("broadcast batches", (2, 1, 2, 3), (3, 3, 4)),
    ("empty", (2, 0), (0, 3)),
):
    case("matmul", [normal(*_left), normal(*_right)], lambda a, b: np.einsum("...ij,...jk->...ik", a, b), _label)
for _label, _left in (("row", (3,)), ("rows", (2, 3)), ("batches", (2, 4, 3))):
    case(
        "linear",
        [normal(*_left), normal(5, 3), normal(5)],
        lambda x, w, b: np.einsum("...d,fd->...f", x, w) + b,
        _label,
    )
    case(
        "linear",
        [normal(*_left), normal(5, 3), None],
        lambda x, w, b: np.einsum("...d,fd->...f", x, w),
        _label + " without bias",
    )

# images
for _label, _x, _w, _how in (
    ("plain", (2, 2, 5, 4), (3, 2, 3, 2), {}),
    ("1x1", (2, 3, 3, 3), (2, 3, 1, 1), {}),
    ("stride", (2, 2, 6, 5), (3, 2, 2, 3), {"stride": (2, 1)}),
    ("stride leaves a rest", (1, 1, 6, 6), (1, 1, 3, 3), {"stride": (2, 2)}),
    ("padding", (1, 2, 3, 4), (2, 2, 3, 3), {"padding": (2, 1)}),
    ("dilation", (1, 2, 6, 5), (2, 2, 2, 2), {"dilation": (3, 2)}),
    ("groups", (2, 4, 4, 3), (6, 2, 2, 2), {"groups": 2}),
    ("depthwise", (1, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": (1, 1)}),
    ("everything", (2, 4, 7, 6), (4, 2, 3, 2), {"stride": (2, 3), "padding": (1, 2), "dilation": (2, 1), "groups": 2}),
):
    _how = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1} | _how
    _y = convolution(np.zeros(_x), np.zeros(_w), None, **_how).shape
    case("conv2d", [normal(*_x), normal(*_w), normal(_w[0])], convolution, _label, **_how)
    case("conv2d", [normal(*_x), normal(*_w), None], convolution, _label + " without bias", **_how)

    def _input_grad(g, w, *, shape, **how):
        return adjoint(lambda x: convolution(x, w, None, **how), g, shape)

    def _weight_grad(g, x, *, shape, **how):
        return adjoint(lambda w: convolution(x, w, None, **how), g, shape)

    case("conv2d_input_grad", [normal(*_y), normal(*_w)], _input_grad, _label, shape=_x, **_how)
    case("conv2d_weight_grad", [normal(*_y), normal(*_x)], _weight_grad, _label, shape=_w, **_how)
for _label, _shape, _kernel, _stride, _dilation, _width, _out in (
    ("plain", (2, 2, 4, 6), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), (2, 3)),
    ("overlapping", (1, 2, 5, 4), (3, 2), (1, 1), (1, 1), ((0, 0), (0, 0)), (3, 3)),
    ("padding", (1, 1, 4, 5), (3, 3), (2, 2), (1, 1), ((1, 1), (1, 1)), (2, 3)),
    ("a rest", (1, 2, 5, 5), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), (2, 2)),
    ("more behind", (1, 1, 5, 4), (2, 3), (2, 2), (1, 1), ((0, 1), (1, 2)), (3, 3)),
):
    _how = {"kernel": _kernel, "stride": _stride, "width": ((0, 0), (0, 0), *_width)}
    case("max_pool2d", [apart(*_shape)], max_pool, _label, dilation=_dilation, out=_out, **_how)
    case("max_pool2d_place", [apart(*_shape)], max_place, _label, (0,), dilation=_dilation, out=_out, **_how)
    case("window_sum", [normal(*_shape)], window_sum, _label, out=_out, **_how)
    case("window_spread", [normal(*_shape[:2], *_out)], window_spread, _label, shape=_shape, **_how)
    case("window_sum", [normal(*_shape)], window_sum, _label + " scaled", out=_out, scale=0.3, **_how)
    case(
        "window_spread",
        [normal(*_shape[:2], *_out)],
        window_spread,
        _label + " scaled",
        shape=_shape,
        scale=0.3,
        **_how,
    )
case(
    "max_pool2d",
    [apart(1, 2, 6, 5)],
    max_pool,
    "dilation",
    kernel=(2, 2),
    stride=(1, 2),
    dilation=(3, 2),
    width=((0, 0),) * 4,
    out=(3, 2),
)
case(
    "max_pool2d",
    [values([[[[1.0, 1.0], [1.0, 1.0]]]])],
    max_pool,
    "ties",
    kernel=(2, 2),
    stride=(2, 2),
    dilation=(1, 1),
    width=((0, 0),) * 4,
    out=(1, 1),
    fixed=(0,),
)
for _label, _stride in (("apart", (2, 2)), ("overlapping", (1, 1))):
    _how = {"kernel": (2, 2), "stride": _stride, "dilation": (1, 1), "width": ((0, 0),) * 4}
    _out = (2, 2) if _stride == (2, 2) else (3, 3)
    _place = lambda rng, out=_out: rng.integers(0, 4, size=(2, 1, *out)).astype(np.int16)  # noqa: E731
    case("max_pool2d_put", [normal(2, 1, *_out), _place], put, _label, shape=(2, 1, 4, 4), **_how)
    case("max_pool2d_pick", [normal(2, 1, 4, 4), _place], pick, _label, **_how)

# normalisation, losses, noise
for _label, _shape in (("rows", (4, 3)), ("images", (2, 3, 2, 2))):
    for _affine, _parameters in (
        ("", [normal(3), normal(3)]),
        (" without weight", [None, normal(3)]),
        (" without bias", [normal(3), None]),
        (" bare", [None, None]),
    ):
        case("batch_norm", [normal(*_shape), *_parameters], batch_norm, _label + _affine, eps=1e-5)
        case(
            "batch_norm_fixed",
            [normal(*_shape), *_parameters, normal(3), between(0.5, 2, 3)],
            normalised,
            _label + _affine,
            fixed=(3, 4),
            eps=1e-5,
        )
for _reduction in ("mean", "sum", "none"):
    case("cross_entropy", [normal(4, 3), integers(3, 4)], cross_entropy, _reduction, reduction=_reduction)
    case(
        "cross_entropy",
        [normal(2, 3, 2, 2), integers(3, 2, 2, 2)],
        cross_entropy,
        f"images, {_reduction}",
        reduction=_reduction,
    )
    case(
        "mse_loss",
        [normal(2, 3), normal(2, 3)],
        lambda x, t, reduction: np.asarray(reduced((x - t) ** 2, reduction)),
        _reduction,
        reduction=_reduction,
    )
case(
    "cross_entropy",
    [values([[1000.0, 0.0], [0.0, 1000.0]]), values([0, 0])],
    lambda z, t, reduction: np.array([0.0, 1000.0]),
    "large",
    reduction="none",
    fixed=(0,),
)
case("dropout", [normal(2, 3), mask(2, 3)], lambda x, mask, scale: np.where(mask, x * scale, 0.0), scale=1.25)
