"""Twins of kernels that go along rows: softmax, cross-entropy, normalisations, sums of rows, norms."""

import numpy as np

from minidl.backend import EXACT

from .table import B, twin, wide


def _softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _shape_and_axis(draw, length: int):
    """A shape whose axis has that length."""
    shape = list(draw.shape(draw.size(1, 4), high=4))
    axis = draw.size(0, len(shape) - 1)
    shape[axis] = length
    return shape, axis if draw.size(0, 1) else axis - len(shape)


def _softmaxes(draw, length: int):
    shape, axis = _shape_and_axis(draw, length)
    x, g = draw.normal(*shape, scale=3), draw.normal(*shape)
    y, dx, dg = wide(_softmax(wide(x), axis)), draw.device(x), draw.device(g)
    log = np.log(y)
    narrow, narrow_log = y.astype(x.dtype), log.astype(x.dtype)
    found = B.softmax_of(dx, axis=axis), B.log_softmax_of(dx, axis=axis)[0]
    found += (
        B.softmax_grad(dg, draw.device(narrow), axis=axis),
        B.log_softmax_grad(dg, draw.device(narrow_log), axis=axis),
    )
    y, log, g = wide(narrow, narrow_log, g)
    dot, total = (g * y).sum(axis=axis, keepdims=True), g.sum(axis=axis, keepdims=True)
    return found, (_softmax(wide(x), axis), np.log(_softmax(wide(x), axis)), y * (g - dot), g - np.exp(log) * total)


@twin(
    "minidl_softmax_rows", "minidl_log_softmax_rows", "minidl_softmax_rows_grad", "minidl_log_softmax_rows_grad"
)  # fmt: skip
def softmax_of_short_rows(draw):
    return _softmaxes(draw, draw.size(1, 9))


@twin(
    "minidl_top_and_sum", "minidl_softmax", "minidl_log_softmax", "minidl_sum_of_products", "minidl_softmax_grad",
    "minidl_wide_sum", "minidl_log_softmax_grad",
)  # fmt: skip
def softmax_of_long_rows(draw):
    return _softmaxes(draw, draw.size(129, 200))


def _cross_entropy(draw, classes: int):
    n, after = draw.size(1, 5), draw.shape(draw.size(0, 2), high=3)
    z, t = draw.normal(n, classes, *after, scale=3), draw.integers(classes, n, 1, *after)
    dz, dt = draw.device(z), draw.device(t)
    y, p = B.cross_entropy(dz, dt)
    expected = _softmax(wide(z), 1)
    onehot = np.zeros(z.shape)
    np.put_along_axis(onehot, t, 1.0, axis=1)
    g = draw.normal(*t.shape)
    narrow = expected.astype(z.dtype)
    dx = B.cross_entropy_grad(draw.device(narrow), dt, draw.device(g))
    loss = -np.log(np.take_along_axis(expected, t, axis=1))
    return (y, p, dx), (loss, expected, wide(g) * (narrow - onehot))


@twin("minidl_cross_entropy", "minidl_cross_entropy_grad")
def cross_entropy_of_few_classes(draw):
    return _cross_entropy(draw, draw.size(1, 12))


@twin("minidl_top_and_sum", "minidl_cross_entropy_picked", "minidl_softmax", "minidl_cross_entropy_grad")
def cross_entropy_of_many_classes(draw):
    return _cross_entropy(draw, draw.size(1025, 1100))


@twin("minidl_counted", "minidl_shares")
def ignored_classes(draw):
    t = draw.integers(3, *draw.shape()).astype(draw.rng.choice(["int64", "int32", "uint8"]))
    found, expected = [], []
    for ignored in (1, -100):
        safe, w, counts = B.counted(draw.device(t), ignored, draw.dtype)
        total = (t != ignored).sum()
        found += [safe, w, counts, *B.shares(B.asarray(B.sum(w)))]
        expected += [
            np.where(t == ignored, 0, t),
            t != ignored,
            t != ignored,
            1 / max(total, 1),
            0.0 if total else np.nan,
        ]
    return tuple(found), tuple(expected)


def _normalised(x, axis, eps, center=True):
    mean = x.mean(axis=axis, keepdims=True) * center
    var = ((x - mean) ** 2).mean(axis=axis, keepdims=True)
    inv = 1 / np.sqrt(var + eps)
    return (x - mean) * inv, mean, var, inv


@twin("minidl_statistics", "minidl_normalise", "minidl_normalise_sums", "minidl_normalise_grad", "minidl_scaled")
def layer_norm(draw):
    shape = draw.shape(draw.size(2, 4), high=7)
    count, center = draw.size(1, len(shape) - 1), bool(draw.size(0, 1))
    axis = tuple(range(-count, 0)) if draw.size(0, 1) else tuple(range(len(shape) - count, len(shape)))
    x, g = draw.normal(*shape, mean=1.5), draw.normal(*shape)
    kind = draw.size(0, 2)  # a weight for each of the last features, one for each of some other axis, none
    form = shape[-count:] if kind == 0 else (*shape[:1], *[1] * (len(shape) - 1))
    weight, bias = [None, None] if kind == 2 else [draw.normal(*form) for _ in range(2)]
    dx, dg = draw.device(x), draw.device(g)
    dw, db = [None if w is None else draw.device(w) for w in (weight, bias)]
    y, mean, var, inv = B.layer_norm(dx, dw, db, axis=axis, eps=1e-2, center=center)
    xh, *moments = _normalised(wide(x), axis, 1e-2, center)
    w, b = [np.float64(v) if given is None else wide(given) for v, given in ((1, weight), (0, bias))]
    given = [m.astype(x.dtype) for m in (moments[0], moments[2])]
    back = B.layer_norm_grad(dg, dx, dw, *map(draw.device, given), axis=axis, center=center)
    g, h = wide(g), wide(g) * w
    slope = h - xh * (h * xh).mean(axis=axis, keepdims=True)
    slope = (slope - (h.mean(axis=axis, keepdims=True) if center else 0)) * moments[2]
    steps = (g * xh, g) if kind else [v.sum(axis=tuple(range(len(shape) - count))) for v in (g * xh, g)]
    found = (y, mean, var, inv, back[0], back[2], *([] if kind == 2 else [back[1]]))
    assert (back[1] is None) == (kind == 2)
    return found, (xh * w + b, *moments, slope, steps[1], *([] if kind == 2 else [steps[0]]))


@twin("minidl_statistics", "minidl_normalise", "minidl_normalise_sums", "minidl_normalise_grad")
def batch_norm(draw):
    shape = (draw.size(2, 9), *draw.shape(draw.size(1, 4), high=5))
    axis, form = (0, *range(2, len(shape))), (1, -1, *[1] * (len(shape) - 2))
    x, g = draw.normal(*shape, mean=-2), draw.normal(*shape)
    weight, bias = [draw.normal(shape[1]) if draw.size(0, 1) else None for _ in range(2)]
    dx, dg = draw.device(x), draw.device(g)
    dw, db = [None if v is None else draw.device(v) for v in (weight, bias)]
    found = B.batch_norm(dx, dw, db, eps=1e-2)
    xh, mean, var, inv = _normalised(wide(x), axis, 1e-2)
    back = B.batch_norm_grad(dg, dx, dw, *[draw.device(m.reshape(-1).astype(x.dtype)) for m in (mean, inv)])
    w, b = [np.float64(v) if given is None else wide(given).reshape(form) for v, given in ((1, weight), (0, bias))]
    g = wide(g)
    sum_g, sum_gx = [v.sum(axis=axis) for v in (g, g * xh)]
    m = g.size / g.shape[1]
    slope = w * inv * (g - sum_g.reshape(form) / m - xh * sum_gx.reshape(form) / m)
    moments = [v.reshape(-1) for v in (mean, var, inv)]
    return (*found, *back), (xh * w + b, *moments, slope, sum_gx, sum_g)


@twin("minidl_follow")
def follow(draw):
    shape, momentum = draw.shape(), float(draw.rng.random())
    running, new = draw.normal(*shape), draw.normal(*shape)
    here = draw.device(running)
    B.follow(here, draw.device(new), momentum, 1.25)
    return here, wide(running) * (1 - momentum) + wide(new) * 1.25 * momentum


@twin("minidl_sums_of_rows")
def sums_of_rows(draw):
    """The gradient of an embedding, always in the same order; negative numbers count from the end."""
    rows, width = draw.size(1, 6), draw.shape(draw.size(0, 2), high=4)
    index = draw.integers(2 * rows, *draw.shape(draw.size(1, 2), high=9)) - rows
    values = draw.normal(*index.shape, *width)
    expected = np.zeros((rows, *width))
    np.add.at(expected, index, wide(values))
    EXACT["deterministic"] = True
    try:
        one = B.index_add(draw.device(values), draw.device(index), (rows, *width))
        wrapped = draw.device(index % rows)
        where = (wrapped, slice(None)) if width else (wrapped,)
        two = B.index_add(draw.device(values), where, (rows, *width))
    finally:
        EXACT["deterministic"] = False
    return (one, two), (expected, expected)


@twin("minidl_parts_of_squares", "minidl_norm", "minidl_limit_norm")
def norms(draw):
    arrays = [draw.normal(*draw.shape(), scale=3) for _ in range(draw.size(1, 40))] + [
        draw.normal(2, 33_001, scale=0.1)
    ]
    here = [B.from_host(x) for x in arrays]
    norm = B.joint_norm(here, 2.0)
    expected = np.sqrt(sum((wide(x) ** 2).sum() for x in arrays))
    largest = expected * (0.25 if draw.size(0, 1) else 4.0)
    B.limit_norm(here, largest, norm)
    return (norm, *here), (expected, *[wide(x) * min(1.0, largest / (expected + 1e-6)) for x in arrays])
