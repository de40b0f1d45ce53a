"""Recurrent layers on the CPU: whole sequences, with few calls in each step and nothing copied between steps.

Arrays are (T, features, N): a gate, or a state, is one run of memory in every step. What a step multiplies by the
weights lies together, the state before, 1 for each bias, and the input, so that one product gives what goes into all
gates; it is written where they are kept. What the way back multiplies the gradients by (the derivatives of sigmoid and
tanh, and what they meet) does not depend on the gradients: it is computed for as many steps at a time as the cache
holds, so that a step back is a few products. Arrays are in the order of the sequence; where time passes from its end,
they are walked through from there.

Here are the sequences of one length in single and double precision; the others go to the definitions in ops/.
"""

from __future__ import annotations

import numpy as np

from .. import DEFINITIONS

_WEIGHTS = 1 << 20  # bytes of weights: larger ones are not in the cache in every step, and to copy them costs too much
_CACHE = 1 << 20  # bytes of factors at a time: about one core's L2 cache


@np.errstate(over="ignore")  # where exp(-x) is infinite the result is 0, as it should be
def sigmoid(x):
    """1 / (1 + e^-x); see ops/recurrent.py."""
    return _sigmoid_of_negative(np.negative(x))


def _sigmoid_of_negative(x):
    """1 / (1 + e^x) in the place of x."""
    np.exp(x, out=x)
    np.add(x, 1, out=x)
    return np.reciprocal(x, out=x)


def _one_minus_square(a, times, out):
    """(1 - a^2) times, in `out`."""
    np.multiply(a, a, out=out)
    np.subtract(1, out, out=out)
    return np.multiply(out, times, out=out)


def _served(sizes, x, w_ih, w_hh, *others):
    """Whether the fast form is for these: several steps of the same sequences, weights of modest size, one dtype."""
    if sizes is not None or not x.size or len(x) == 1 or x.dtype not in (np.float32, np.float64):
        return False
    if w_ih.nbytes + w_hh.nbytes > _WEIGHTS:
        return False
    return all(a is None or a.dtype == x.dtype for a in (w_ih, w_hh, *others))


def _beside(*parts):
    """The parts (rows, some) of a weight side by side, without those that are None; a bias is one column."""
    return np.concatenate([a if a.ndim == 2 else a[:, None] for a in parts if a is not None], axis=1)


def _states(first, steps, reverse, more=0):
    """Memory for a state (H, N) before and after each step, (T, H + more, N) both, with the first one in its place."""
    size, n = first.shape
    memory = np.empty((steps + 1, size + more, n), dtype=first.dtype)
    before, after = (memory[1:], memory[:-1]) if reverse else (memory[:-1], memory[1:])
    before[-1 if reverse else 0, :size] = first
    return before, after[:, :size]


def _transposed(a):
    """(T, N, H) as (T, H, N): where steps do not lie together, of a copy, which is quicker than to read across them."""
    return np.ascontiguousarray(a).swapaxes(1, 2)


def _columns(x, h0, reverse, *biases):
    """What each step multiplies by the weights, (T, K, N): state, 1 for each bias, input; and the states after it."""
    size, features = h0.shape[1], x.shape[2]
    before, after = _states(h0.T, len(x), reverse, features + sum([b is not None for b in biases]))
    before[:, size:-features] = 1
    before[:, -features:] = _transposed(x)
    return before, after


def _ways(reverse):
    """The order in which time passes, and that of the way back, as slices of the steps."""
    ways = slice(None), slice(None, None, -1)
    return ways[::-1] if reverse else ways


def _walk(way, *arrays):
    """The steps of all arrays together."""
    return zip(*[a[way] for a in arrays], strict=True)


def _blocks(gy, like, count, reverse):
    """For blocks of steps with so many arrays in the cache, the last in time first: the steps, and gy as (T, H, N)."""
    steps, size = len(like), max(1, _CACHE // (count * like[0].nbytes))
    starts = range(0, steps, size)
    for k in starts if reverse else reversed(starts):
        at = slice(k, min(steps, k + size))
        yield at, np.broadcast_to(like.dtype.type(0), like[at].shape) if gy is None else _transposed(gy[at]).copy("C")


def _own(g, like):
    """A state's gradient (H, N) that may be written to; zeros where there is none."""
    return np.zeros(like.shape[::-1], dtype=like.dtype) if g is None else np.array(g.T, dtype=like.dtype, order="C")


def _rows(a):
    """(T, N, H) as a matrix of T N rows."""
    return a.reshape(a.shape[0] * a.shape[1], -1)


def _input_grads(ax, ah, x, starts, w_ih, needs):
    """The gradients of x, w_ih, w_hh, b_ih, b_hh, from those of w_ih x + b_ih and of w_hh h + b_hh, (rows, T, N)."""
    alike, ax, ah = ah is ax, ax.reshape(len(ax), -1), ah.reshape(len(ah), -1)
    dx = (ax.T @ w_ih).reshape(x.shape) if needs[0] else None
    dw_ih, dw_hh = ax @ _rows(x) if needs[1] else None, ah @ _rows(starts) if needs[2] else None
    db_ih = np.add.reduce(ax, axis=1) if needs[3] else None
    db_hh = None
    if needs[4]:
        db_hh = np.add.reduce(ah, axis=1) if db_ih is None or not alike else db_ih.copy()
    return dx, dw_ih, dw_hh, db_ih, db_hh


def lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr=None, *, reverse, sizes=None):
    """y, h, c and their joint vjp; see lstm in ops/recurrent.py."""
    if w_hr is not None or not _served(sizes, x, w_ih, w_hh, h0, c0, b_ih, b_hh):
        plain = DEFINITIONS["lstm_sequence"]
        return plain(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, reverse=reverse, sizes=sizes)
    (ahead, back), steps, (n, size) = _ways(reverse), len(x), h0.shape
    (columns, after), w = _columns(x, h0, reverse, b_hh, b_ih), _beside(w_hh, b_hh, b_ih, w_ih)
    w = np.concatenate([-w[: 2 * size], -w[3 * size :], w[2 * size : 3 * size]])  # i, f, o, negative; g
    old, new = _states(c0.T, steps, reverse)
    gates, tanhs = (np.empty((steps, k * size, n), dtype=x.dtype) for k in (4, 1))
    parts, part = gates.reshape(steps, 4, size, n), np.empty((size, n), dtype=x.dtype)
    with np.errstate(over="ignore"):
        for h, c, a, (i, f, o, g), next_c, u, next_h in _walk(ahead, columns, old, gates, parts, new, tanhs, after):
            np.dot(w, h, out=a)
            _sigmoid_of_negative(a[: 3 * size])
            np.tanh(g, out=g)
            np.multiply(f, c, out=next_c)
            np.multiply(i, g, out=part)
            np.add(next_c, part, out=next_c)
            np.tanh(next_c, out=u)
            np.multiply(o, u, out=next_h)
    starts, y = _states(h0, steps, reverse)
    y[...] = after.swapaxes(1, 2)

    def joint(gy, gh, gc, *, needs):
        gh, gc, wt = _own(gh, h0), _own(gc, c0), np.ascontiguousarray(w_hh.T)
        rows, part = np.empty((4 * size, steps, n), dtype=x.dtype), np.empty((size, n), dtype=x.dtype)
        for at, g_block in _blocks(gy, tanhs, 6, reverse):
            (i, f, o, g), u = parts[at].swapaxes(0, 1), tanhs[at]
            by = np.empty((len(u), 5, size, n), dtype=x.dtype)  # of dL/dc: i, f, g; of dL/dh: o, and dL/dc itself
            di, df, dg, do, dc = by.swapaxes(0, 1)
            np.subtract(1, parts[at, :2], out=by[:, :2])
            np.multiply(by[:, :2], parts[at, :2], out=by[:, :2])
            np.multiply(di, g, out=di)
            np.multiply(df, old[at], out=df)
            _one_minus_square(g, i, out=dg)
            np.subtract(1, o, out=do)
            np.multiply(do, o, out=do)
            np.multiply(do, u, out=do)
            _one_minus_square(u, o, out=dc)
            made = by.reshape(len(u), 5 * size, n)[:, : 4 * size]
            for g_y, on, by_h, by_c, forget, row in _walk(back, g_block, dc, do, by[:, :3], f, made):
                np.add(gh, g_y, out=gh)
                np.multiply(gh, on, out=part)
                np.add(gc, part, out=gc)
                np.multiply(by_h, gh, out=by_h)
                np.multiply(by_c, gc, out=by_c)
                np.multiply(gc, forget, out=gc)
                np.dot(wt, row, out=gh)
            rows[:, at] = made.swapaxes(0, 1)
        dx, *others = _input_grads(rows, rows, x, starts, w_ih, [needs[0], *needs[3:7]])
        return dx, gh.T.copy(), gc.T.copy(), *others, *[None] * (len(needs) - 7)

    return (y, y[back][0].copy(), new[back][0].T.copy()), joint


def gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, *, reverse, sizes=None):
    """y, h and their joint vjp; see gru in ops/recurrent.py."""
    if not _served(sizes, x, w_ih, w_hh, h0, b_ih, b_hh):
        return DEFINITIONS["gru_sequence"](x, h0, w_ih, w_hh, b_ih, b_hh, reverse=reverse, sizes=sizes)
    (ahead, back), steps, (n, size), cut = _ways(reverse), len(x), h0.shape, 2 * h0.shape[1]
    columns, after = _columns(x, h0, reverse, b_hh, b_ih)
    w_rz = -_beside(w_hh, b_hh, b_ih, w_ih)[:cut]
    w_m, w_n = _beside(w_hh, b_hh)[cut:], _beside(b_ih, w_ih)[cut:]
    gates, part = np.empty((steps, 4 * size, n), dtype=x.dtype), np.empty((size, n), dtype=x.dtype)
    parts = gates.reshape(steps, 4, size, n)
    np.matmul(w_n, columns[:, -w_n.shape[1] :], out=parts[:, 3])
    with np.errstate(over="ignore"):
        for column, rz, (r, z, m, c), next_h in _walk(ahead, columns, gates[:, :cut], parts, after):
            h = column[:size]
            np.dot(w_rz, column, out=rz)
            np.dot(w_m, column[: w_m.shape[1]], out=m)
            _sigmoid_of_negative(rz)
            np.multiply(r, m, out=part)
            np.add(c, part, out=c)
            np.tanh(c, out=c)
            np.subtract(h, c, out=part)
            np.multiply(part, z, out=part)
            np.add(part, c, out=next_h)
    starts, y = _states(h0, steps, reverse)
    y[...] = after.swapaxes(1, 2)

    def joint(gy, gh, *, needs):
        gh, wt = _own(gh, h0), np.ascontiguousarray(np.concatenate([w_hh[cut:], w_hh[:cut]]).T)
        rows, part = np.empty((4 * size, steps, n), dtype=x.dtype), np.empty((size, n), dtype=x.dtype)
        for at, g_block in _blocks(gy, after, 5, reverse):
            r, z, m, c = parts[at].swapaxes(0, 1)
            by = np.empty((len(r), 4, size, n), dtype=x.dtype)  # of dL/dh: m, r, z go to h, and r, z, c to x
            dm, dr, dz, dc = by.swapaxes(0, 1)
            np.subtract(1, parts[at, :2], out=by[:, 1:3])
            _one_minus_square(c, dz, out=dc)
            np.multiply(by[:, 1:3], parts[at, :2], out=by[:, 1:3])
            np.multiply(dr, dc, out=dr)
            np.multiply(dr, m, out=dr)
            np.subtract(columns[at, :size], c, out=dm)
            np.multiply(dz, dm, out=dz)
            np.multiply(dc, r, out=dm)
            made = by.reshape(len(r), 4 * size, n)
            for g_y, by_h, keep, row in _walk(back, g_block, by, z, made[:, : 3 * size]):
                np.add(gh, g_y, out=gh)
                np.multiply(by_h, gh, out=by_h)
                np.multiply(gh, keep, out=part)
                np.dot(wt, row, out=gh)
                np.add(gh, part, out=gh)
            rows[:, at] = made.swapaxes(0, 1)
        dx, dw_ih, dw_hh, db_ih, db_hh = _input_grads(
            rows[size:], rows[: 3 * size], x, starts, w_ih, [needs[0], *needs[2:]]
        )
        dw_hh, db_hh = [None if g is None else np.concatenate([g[size:], g[:size]]) for g in (dw_hh, db_hh)]
        return dx, gh.T.copy(), dw_ih, dw_hh, db_ih, db_hh

    return (y, y[back][0].copy()), joint


def rnn_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, *, relu, reverse, sizes=None):
    """y, h and their joint vjp; see rnn in ops/recurrent.py."""
    if not _served(sizes, x, w_ih, w_hh, h0, b_ih, b_hh):
        return DEFINITIONS["rnn_sequence"](x, h0, w_ih, w_hh, b_ih, b_hh, relu=relu, reverse=reverse, sizes=sizes)
    (ahead, back), steps, (n, size) = _ways(reverse), len(x), h0.shape
    (columns, after), w = _columns(x, h0, reverse, b_hh, b_ih), _beside(w_hh, b_hh, b_ih, w_ih)
    for column, h in _walk(ahead, columns, after):
        np.dot(w, column, out=h)
        np.maximum(h, 0, out=h) if relu else np.tanh(h, out=h)
    starts, y = _states(h0, steps, reverse)
    y[...] = after.swapaxes(1, 2)

    def joint(gy, gh, *, needs):
        gh, wt, rows = _own(gh, h0), np.ascontiguousarray(w_hh.T), np.empty((size, steps, n), dtype=x.dtype)
        for at, g_block in _blocks(gy, after, 2, reverse):
            by = (after[at] > 0).astype(x.dtype) if relu else _one_minus_square(after[at], 1, np.empty_like(g_block))
            for g_y, row in _walk(back, g_block, by):
                np.add(gh, g_y, out=gh)
                np.multiply(row, gh, out=row)
                np.dot(wt, row, out=gh)
            rows[:, at] = by.swapaxes(0, 1)
        dx, *others = _input_grads(rows, rows, x, starts, w_ih, [needs[0], *needs[2:]])
        return dx, gh.T.copy(), *others

    return (y, y[back][0].copy()), joint
