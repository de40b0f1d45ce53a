"""Recurrent layers over a whole sequence, and embeddings.

Each op is one layer in one direction. The inputs of all time steps are multiplied by their weights at once, before the
loop over time, and the gradients of the weights are one product each, after it: a step costs one product with w_hh.
The kernels `lstm_sequence`, `gru_sequence` and `rnn_sequence` give the op's outputs and joint vjp. The definitions
here serve all arrays but the CPU's, packed sequences, and the replay for higher derivatives.

With `sizes` the sequences are packed: x is (sum of sizes, D), and step t its next sizes[t] rows, those of the sequences
that are longer than t; the longest come first. A state then has as many rows as there are sequences under way.
"""

from __future__ import annotations

import itertools

from ..backend import backend_of, definition
from ..engine import FUNCTIONS, op
from .shape import index_add


@definition("sigmoid")
def plain_sigmoid(x):
    """1 / (1 + e^-x)."""
    return 0.5 * backend_of(x).tanh(0.5 * x) + 0.5


def _t(x):
    return backend_of(x).swapaxes(x, axis1=-1, axis2=-2)


def _cut(a, count):
    """(N, count H) as its parts, (N, H) each."""
    size = a.shape[-1] // count
    return [a[:, k * size : (k + 1) * size] for k in range(count)]


def _times(x, sizes, reverse):
    """(the rows of x in a step, how many) in the order in which time passes."""
    rows: list = [*range(x.shape[0])] if sizes is None else []
    for end, n in zip(itertools.accumulate(sizes or ()), sizes or (), strict=True):
        rows.append(slice(end - n, end))
    steps = [*zip(rows, sizes or [x.shape[1]] * len(rows), strict=True)]
    return steps[::-1] if reverse else steps


def _under_way(a, n, rest, ended):
    """The rows of the n sequences that go on: of those that begin, from `rest`; those that end go to `ended`."""
    k = a.shape[0]
    if n < k:
        ended.append(a[n:])
    return a[:n] if n < k else a if n == k else backend_of(a).concatenate([a, rest[k:n]], axis=0) if k else rest[:n]


def _all(a, ended):
    """The rows of all sequences, of those that ended earlier too."""
    return backend_of(a).concatenate([a, *ended[::-1]], axis=0) if ended else a


def _joined(steps, sizes, reverse):
    """Arrays (n, ...) in the order in which they were made, as one in the order of the sequence."""
    steps, B = steps[::-1] if reverse else steps, backend_of(steps[0])
    return B.stack(steps, axis=0) if sizes is None else B.concatenate(steps, axis=0)


def _starts(y, h0, sizes, reverse):
    """The h that each step started from, like y."""
    B = backend_of(y)
    if sizes is None:
        first = B.reshape(h0, shape=(1, *h0.shape))
        return B.concatenate([y[1:], first] if reverse else [first, y[:-1]], axis=0)
    parts, h = [], h0[:0]
    for rows, n in _times(y, sizes, reverse):
        parts.append(_under_way(h, n, h0, []))
        h = y[rows]
    return _joined(parts, sizes, reverse)


def _sum(a, b):
    return b if a is None else a if b is None else a + b


def _filled(g, like):
    """A gradient, zeros where there is none."""
    return backend_of(like).zeros_like(like) if g is None else g


def _input_grads(ax, ah, x, starts, w_ih, needs):
    """The gradients of x, w_ih, w_hh, b_ih, b_hh, from those of x w_ih^T + b_ih and of h w_hh^T + b_hh."""
    B = backend_of(ax)
    rx, rh, x2, h2 = (B.reshape(a, shape=(-1, a.shape[-1])) for a in (ax, ah, x, starts))
    dx = B.reshape(B.matmul(rx, w_ih), shape=x.shape) if needs[0] else None
    dw_ih, dw_hh = B.matmul(_t(rx), x2) if needs[1] else None, B.matmul(_t(rh), h2) if needs[2] else None
    return dx, dw_ih, dw_hh, B.sum(rx, axis=0) if needs[3] else None, B.sum(rh, axis=0) if needs[4] else None


@definition("lstm_sequence")
def plain_lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr=None, *, reverse, sizes=None):
    """The plain definition of `lstm`."""
    B = backend_of(x)
    gx, wt, h, c = B.linear(x, w_ih, _sum(b_ih, b_hh)), _t(w_hh), h0[:0], c0[:0]
    ended: tuple[list, list] = [], []
    ys, steps, project = [], [], None if w_hr is None else _t(w_hr)
    for t, n in _times(x, sizes, reverse):
        h, c = _under_way(h, n, h0, ended[0]), _under_way(c, n, c0, ended[1])
        i, f, g, o = _cut(gx[t] + B.matmul(h, wt), 4)
        i, f, g, o = B.sigmoid(i), B.sigmoid(f), B.tanh(g), B.sigmoid(o)
        before, c = c, f * c + i * g
        u = B.tanh(c)
        h = o * u if project is None else B.matmul(o * u, project)
        ys.append(h)
        steps.append((t, n, before, i, f, g, o, u))
    y = _joined(ys, sizes, reverse)

    def joint(gy, gh, gc, *, needs):
        gy, all_h, all_c = _filled(gy, y), _filled(gh, lasts[0]), _filled(gc, lasts[1])
        B, gh, gc, parts, outs = backend_of(y), all_h[:0], all_c[:0], [], []
        ended: tuple[list, list] = [], []
        for t, n, before, i, f, g, o, u in reversed(steps):
            gh, gc = _under_way(gh, n, all_h, ended[0]) + gy[t], _under_way(gc, n, all_c, ended[1])
            if w_hr is not None:
                outs.append(gh)
                gh = B.matmul(gh, w_hr)
            gc = gc + gh * o * (1 - u * u)
            ci, cf = gc * i, gc * f
            gates = [ci * g * (1 - i), cf * before * (1 - f), ci * (1 - g * g), gh * u * o * (1 - o)]
            a = B.concatenate(gates, axis=-1)
            gh, gc = B.matmul(a, w_hh), cf
            parts.append(a)
        a = _joined(parts, sizes, not reverse)
        dx, *others = _input_grads(a, a, x, _starts(y, h0, sizes, reverse), w_ih, [needs[0], *needs[3:]])
        if len(needs) == 8:
            whole = None if w_hr is None else B.concatenate([step[-2] * step[-1] for step in steps[::-1]], axis=0)
            others.append(None if w_hr is None else B.matmul(_t(B.concatenate(outs, axis=0)), whole))
        return dx, _all(gh, ended[0]), _all(gc, ended[1]), *others

    lasts = _all(h, ended[0]), _all(c, ended[1])
    return (y, *lasts), joint


@op
def lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr=None, *, reverse, sizes=None):
    """y, h, c = the outputs (T, N, H) of all steps, and the last hidden and cell state, for x (T, N, D).

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the four parts of x w_ih^T + b_ih + h w_hh^T + b_hh in every step;
    c = f c + i g;   h = o tanh(c). reverse: time passes from the end of x to its start.
    Back through time, with u = tanh(c) and c' the cell before:   dL/dc += dL/dh o (1 - u^2);
    before sigmoid and tanh   di = dL/dc g i (1 - i),   df = dL/dc c' f (1 - f),   dg = dL/dc i (1 - g^2),
    do = dL/dh u o (1 - o);   dL/dc' = dL/dc f,   dL/dh' = [di, df, dg, do] w_hh. Hochreiter and Schmidhuber, 1997.
    w_hr (P, H): h = (o tanh(c)) w_hr^T, so that h and y have P features (Sak et al., 2014).
    """
    return backend_of(x).lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, reverse=reverse, sizes=sizes)


@definition("gru_sequence")
def plain_gru(x, h0, w_ih, w_hh, b_ih, b_hh, *, reverse, sizes=None):
    """The plain definition of `gru`."""
    B = backend_of(x)
    ended: list = []
    gx, h, ys, steps = B.linear(x, w_ih, b_ih), h0[:0], [], []
    for t, size in _times(x, sizes, reverse):
        h = _under_way(h, size, h0, ended)
        (xr, xz, xn), (hr, hz, m) = _cut(gx[t], 3), _cut(B.linear(h, w_hh, b_hh), 3)
        r, z = B.sigmoid(xr + hr), B.sigmoid(xz + hz)
        n = B.tanh(xn + r * m)
        before, h = h, n + z * (h - n)
        ys.append(h)
        steps.append((t, size, before, r, z, n, m))
    y, last = _joined(ys, sizes, reverse), _all(h, ended)

    def joint(gy, gh, *, needs):
        ended: list = []
        gy, every, xs, hs, B = _filled(gy, y), _filled(gh, last), [], [], backend_of(y)
        gh = every[:0]
        for t, size, before, r, z, n, m in reversed(steps):
            gh = _under_way(gh, size, every, ended) + gy[t]
            dn = gh * (1 - z) * (1 - n * n)
            dr, dz = dn * m * r * (1 - r), gh * (before - n) * z * (1 - z)
            xs.append(B.concatenate([dr, dz, dn], axis=-1))
            hs.append(B.concatenate([dr, dz, dn * r], axis=-1))
            gh = gh * z + B.matmul(hs[-1], w_hh)
        ax, ah = _joined(xs, sizes, not reverse), _joined(hs, sizes, not reverse)
        dx, *others = _input_grads(ax, ah, x, _starts(y, h0, sizes, reverse), w_ih, [needs[0], *needs[2:]])
        return dx, _all(gh, ended), *others

    return (y, last), joint


@op
def gru(x, h0, w_ih, w_hh, b_ih, b_hh, *, reverse, sizes=None):
    """y, h = the outputs (T, N, H) of all steps, and the last hidden state, for x (T, N, D).

    With the three parts of x w_ih^T + b_ih and of h w_hh^T + b_hh, the last of these m:   r = sigmoid(x_r + h_r),
    z = sigmoid(x_z + h_z),   n = tanh(x_n + r m);   h = (1 - z) n + z h'. reverse: time passes from the end of x.
    Back through time, before sigmoid and tanh:   dn = dL/dh (1 - z) (1 - n^2),   dm = dn r,
    dr = dn m r (1 - r),   dz = dL/dh (h' - n) z (1 - z);   dL/dh' = dL/dh z + [dr, dz, dm] w_hh.
    Cho et al., 2014, with the reset gate after the product.
    """
    return backend_of(x).gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, reverse=reverse, sizes=sizes)


@definition("rnn_sequence")
def plain_rnn(x, h0, w_ih, w_hh, b_ih, b_hh, *, relu, reverse, sizes=None):
    """The plain definition of `rnn`."""
    B = backend_of(x)
    ended: list = []
    gx, wt, h, ys = B.linear(x, w_ih, _sum(b_ih, b_hh)), _t(w_hh), h0[:0], []
    times = _times(x, sizes, reverse)
    for t, n in times:
        a = gx[t] + B.matmul(_under_way(h, n, h0, ended), wt)
        h = B.maximum(a, 0.0) if relu else B.tanh(a)
        ys.append(h)
    y, last = _joined(ys, sizes, reverse), _all(h, ended)

    def joint(gy, gh, *, needs):
        ended: list = []
        gy, every, parts = _filled(gy, y), _filled(gh, last), []
        gh = every[:0]
        for t, n in reversed(times):
            a = (_under_way(gh, n, every, ended) + gy[t]) * ((y[t] > 0) if relu else 1 - y[t] * y[t])
            gh = B.matmul(a, w_hh)
            parts.append(a)
        a = _joined(parts, sizes, not reverse)
        dx, *others = _input_grads(a, a, x, _starts(y, h0, sizes, reverse), w_ih, [needs[0], *needs[2:]])
        return dx, _all(gh, ended), *others

    return (y, last), joint


@op
def rnn(x, h0, w_ih, w_hh, b_ih, b_hh, *, relu, reverse, sizes=None):
    """y, h = the outputs (T, N, H) of all steps, and the last hidden state, for x (T, N, D).

    h = tanh(x w_ih^T + b_ih + h' w_hh^T + b_hh), or relu of it. reverse: time passes from the end of x to its start.
    Back through time:   da = dL/dh (1 - h^2) (relu: where h > 0),   dL/dh' = da w_hh. Elman, 1990.
    """
    return backend_of(x).rnn_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, relu=relu, reverse=reverse, sizes=sizes)


@op
def embedding(weight, *, ids, padding_idx, sparse=False, by_freq=False):
    """y = weight[ids], rows of the table (V, D);   dL/dweight = g added to the rows, but not to row `padding_idx`.

    sparse: dL/dweight is an array that holds these rows only (an ordinary one where backward itself is recorded).
    by_freq: each g is divided by how often its row comes in ids.
    """
    shape, B, kept = weight.shape, backend_of(ids), None
    if padding_idx is not None:
        kept = B.not_equal(B.reshape(ids, shape=(*ids.shape, 1)), padding_idx)

    def dw(g):
        B = backend_of(g)
        g = g if kept is None else B.where(kept, g, 0.0)
        if by_freq:
            times = B.index_add(B.ones_like(g[..., :1]), index=ids, shape=(shape[0], 1))
            g = g / times[ids]
        if sparse:
            return B.row_gradient(g, index=ids, shape=shape, skip=padding_idx)
        return B.index_add(g, index=ids, shape=shape)

    return weight[ids], (dw,)


FUNCTIONS["row_gradient"] = lambda g, index, shape, skip: index_add(g, index=index, shape=shape)  # row `skip` is 0
for _name, _plain in {"lstm": plain_lstm, "gru": plain_gru, "rnn": plain_rnn}.items():
    FUNCTIONS[f"{_name}_sequence"] = _plain  # on Tensors
