"""Recurrent layers on the GPU: a product for the inputs of all steps, then in every step one product and one kernel.

A kernel does what lies between two products: biases, gates and the states after the step. States are kept in one place,
with a row for each sequence; of packed sequences (`sizes`) a step touches the first rows only, those of the sequences
that are under way. So those that have ended, or are yet to begin, need nothing. The way back keeps the gradients of the
states in the same manner, and the weights' gradients are one product each at its end.
"""

from __future__ import annotations

import itertools

import cupy

from .. import DEFINITIONS
from . import blas, launch
from .launch import FLOATS

_TYPES = tuple([given["T"] for given in FLOATS])

# s: what goes into the gates of unit j, `at` its place; bit 0 and 1 of `biases` say whether there are b_ih and b_hh
_GATES = """
    int j = i % H, at = int(i) / H * ({count} * H) + j;
    A s[{count}];
    for (int k = 0; k < {count}; ++k) {{
        s[k] = A({x}[at + k * H]) + A(a[at + k * H]);
        if (biases & 1) s[k] += A(b_ih[j + k * H]);
        if (biases & 2) s[k] += A(b_hh[j + k * H]);
    }}"""
_BIASES = "raw T a, raw T b_ih, raw T b_hh, int32 H, int32 biases"
_NEW = "starts[i] = h[i]; h[i] = T(now); y[i] = T(now);"
_TOTAL = "A g = gh[i]; if (given) g += A(gy[i]);"
_SIGMOID = "template<typename X> __device__ X sigmoid(X x) { return X(1) / (X(1) + exp(-x)); }"

_lstm = launch.kernel(
    f"{_BIASES}, int32 projected",
    "raw T gates, raw T c, raw T before, raw T y, raw T h, raw T starts",
    _GATES.format(count=4, x="gates")
    + """
    A in = sigmoid(s[0]), forget = sigmoid(s[1]), cell = tanh(s[2]), out = sigmoid(s[3]), old = c[i];
    gates[at] = T(in); gates[at + H] = T(forget); gates[at + 2 * H] = T(cell); gates[at + 3 * H] = T(out);
    A next = forget * old + in * cell, now = out * tanh(next);
    before[i] = T(old);
    c[i] = T(next);"""
    + f"if (projected) y[i] = T(now); else {{ {_NEW} }}",
    "minidl_lstm",
    preamble=_SIGMOID,
)

_lstm_grad = launch.kernel(
    "raw T gates, raw T before, raw T gh, raw T gy, int32 H, int32 given",
    "raw T gc, raw T d",
    """
    int j = i % H, at = int(i) / H * (4 * H) + j;
    A in = gates[at], forget = gates[at + H], cell = gates[at + 2 * H], out = gates[at + 3 * H], old = before[i];
    A u = tanh(forget * old + in * cell);"""
    + _TOTAL
    + """
    A dc = A(gc[i]) + g * out * (1 - u * u);
    d[at] = T(dc * cell * in * (1 - in));
    d[at + H] = T(dc * old * forget * (1 - forget));
    d[at + 2 * H] = T(dc * in * (1 - cell * cell));
    d[at + 3 * H] = T(g * u * out * (1 - out));
    gc[i] = T(dc * forget);""",
    "minidl_lstm_grad",
)

_gru = launch.kernel(
    _BIASES,
    "raw T gates, raw T m, raw T y, raw T h, raw T starts",
    """
    int j = i % H, at = int(i) / H * (3 * H) + j;
    A x[3], s[3];
    for (int k = 0; k < 3; ++k) {
        x[k] = gates[at + k * H];
        s[k] = a[at + k * H];
        if (biases & 1) x[k] += A(b_ih[j + k * H]);
        if (biases & 2) s[k] += A(b_hh[j + k * H]);
    }
    A r = sigmoid(x[0] + s[0]), z = sigmoid(x[1] + s[1]), n = tanh(x[2] + r * s[2]);
    gates[at] = T(r); gates[at + H] = T(z); gates[at + 2 * H] = T(n);
    m[i] = T(s[2]);
    A now = n + z * (A(h[i]) - n);"""
    + _NEW,
    "minidl_gru",
    preamble=_SIGMOID,
)

_gru_grad = launch.kernel(
    "raw T gates, raw T m, raw T starts, raw T back, raw T gy, int32 H, int32 given",
    "raw T gh, raw T dx, raw T dh",
    """
    int j = i % H, at = int(i) / H * (3 * H) + j;
    A r = gates[at], z = gates[at + H], n = gates[at + 2 * H];"""
    + _TOTAL
    + """
    g += A(back[i]);
    A dn = g * (1 - z) * (1 - n * n), dr = dn * A(m[i]) * r * (1 - r), dz = g * (A(starts[i]) - n) * z * (1 - z);
    dx[at] = T(dr); dx[at + H] = T(dz); dx[at + 2 * H] = T(dn);
    dh[at] = T(dr); dh[at + H] = T(dz); dh[at + 2 * H] = T(dn * r);
    gh[i] = T(g * z);""",
    "minidl_gru_grad",
)

_rnn = launch.kernel(
    f"{_BIASES}, int32 relu",
    "raw T y, raw T h, raw T starts",
    _GATES.format(count=1, x="y") + "A now = relu ? (s[0] < 0 ? A(0) : s[0]) : tanh(s[0]);" + _NEW,
    "minidl_rnn",
)

_rnn_grad = launch.kernel(
    "raw T y, raw T gh, raw T gy, int32 given, int32 relu",
    "raw T d",
    "A v = y[i];" + _TOTAL + "d[i] = T(relu ? (v > 0 ? g : g * A(0)) : g * (1 - v * v));",
    "minidl_rnn_grad",
)


def _served(x, h0, *others) -> bool:
    """Whether the kernels are for these: floating numbers of one dtype, and some of them."""
    alike = all(a is None or a.dtype == x.dtype for a in (h0, *others))
    return alike and x.dtype.name in _TYPES and x.size > 0 and h0.size > 0


def _times(x, sizes, reverse):
    """(the rows of a step in the matrices of all steps, how many) in the order in which time passes."""
    counts = [x.shape[1]] * x.shape[0] if sizes is None else sizes
    steps = [(slice(end - n, end), n) for end, n in zip(itertools.accumulate(counts), counts, strict=True)]
    return steps[::-1] if reverse else steps


def _rows(a):
    """All steps' rows as a matrix."""
    return a.reshape(-1, a.shape[-1])


def _biases(w_hh, b_ih, b_hh):
    """The arguments of `_BIASES`; in the place of one that is not there stands what is not read."""
    given = [w_hh if b is None else cupy.ascontiguousarray(b) for b in (b_ih, b_hh)]
    return (*given, w_hh.shape[0], (b_ih is not None) + 2 * (b_hh is not None))


def _own(g, like):
    """A state's gradient that may be written to; zeros where there is none."""
    return cupy.zeros(like.shape, like.dtype) if g is None else g.copy()


def _from_outputs(gy, like):
    """The gradient of the outputs, or in its place what is not read, and whether there is one."""
    return (like, 0) if gy is None else (_rows(cupy.ascontiguousarray(gy)), 1)


def _input_grads(ax, ah, x, starts, w_ih, needs):
    """The gradients of x, w_ih, w_hh, b_ih, b_hh, from the rows of those of x w_ih^T + b_ih and of h w_hh^T + b_hh."""
    dx = blas.gemm(ax, w_ih).reshape(x.shape) if needs[0] else None
    dw_ih = blas.gemm(ax.T, _rows(x)) if needs[1] else None
    dw_hh = blas.gemm(ah.T, starts) if needs[2] else None
    db_ih = ax.sum(axis=0) if needs[3] else None
    db_hh = None
    if needs[4]:
        db_hh = ah.sum(axis=0) if db_ih is None or ah is not ax else db_ih.copy()
    return dx, dw_ih, dw_hh, db_ih, db_hh


def lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr=None, *, reverse, sizes=None):
    """y, h, c and their joint vjp; see lstm in ops/recurrent.py."""
    if not _served(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr):
        plain = DEFINITIONS["lstm_sequence"]
        return plain(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, reverse=reverse, sizes=sizes)
    times, size, project = _times(x, sizes, reverse), c0.shape[1], w_hr is not None
    first, second, _, biases = _biases(w_hh, b_ih, b_hh)
    gates, h, c = blas.gemm(_rows(x), w_ih.T), h0.copy(), c0.copy()
    before, a = (cupy.empty((n, m), x.dtype) for n, m in ((len(gates), size), (len(c0), 4 * size)))
    y, starts = (cupy.empty((len(gates), h0.shape[1]), x.dtype) for _ in range(2))
    outs = cupy.empty_like(before) if project else y  # o tanh(c)
    unprojected = outs if project else None
    for t, n in times:
        blas.gemm(h[:n], w_hh.T, out=a[:n])
        if project:
            starts[t] = h[:n]
        written = gates[t], c, before[t], outs[t], h, starts[t]
        _lstm(a, first, second, size, biases, int(project), *written, size=n * size)
        if project:
            blas.gemm(outs[t], w_hr.T, out=y[t])
            h[:n] = y[t]

    def joint(gy, gh, gc, *, needs):
        (gy, given), gh, gc = _from_outputs(gy, starts), _own(gh, h0), _own(gc, c0)
        d, whole = cupy.empty_like(gates), cupy.empty_like(starts) if project else starts
        for t, n in reversed(times):
            if project:
                gh_y = cupy.add(gh[:n], gy[t], out=whole[t]) if given else whole[t]
                if not given:
                    gh_y[...] = gh[:n]
                back = blas.gemm(gh_y, w_hr)
            else:
                back = gh
            _lstm_grad(gates[t], before[t], back, gy[t], size, 0 if project else given, gc, d[t], size=n * size)
            blas.gemm(d[t], w_hh, out=gh[:n])
        dx, *others = _input_grads(d, d, x, starts, w_ih, [needs[0], *needs[3:7]])
        if len(needs) == 8:
            others.append(blas.gemm(whole.T, unprojected) if project and needs[7] else None)
        return dx, gh, gc, *others

    return (y.reshape(*x.shape[:-1], h0.shape[1]), h, c), joint


def gru_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, *, reverse, sizes=None):
    """y, h and their joint vjp; see gru in ops/recurrent.py."""
    if not _served(x, h0, w_ih, w_hh, b_ih, b_hh):
        return DEFINITIONS["gru_sequence"](x, h0, w_ih, w_hh, b_ih, b_hh, reverse=reverse, sizes=sizes)
    times, size = _times(x, sizes, reverse), h0.shape[1]
    first, second, _, biases = _biases(w_hh, b_ih, b_hh)
    gates, h, a = blas.gemm(_rows(x), w_ih.T), h0.copy(), cupy.empty((len(h0), 3 * size), x.dtype)
    m, y, starts = (cupy.empty((len(gates), size), x.dtype) for _ in range(3))
    for t, n in times:
        blas.gemm(h[:n], w_hh.T, out=a[:n])
        _gru(a, first, second, size, biases, gates[t], m[t], y[t], h, starts[t], size=n * size)

    def joint(gy, gh, *, needs):
        (gy, given), gh, back = _from_outputs(gy, starts), _own(gh, h0), cupy.zeros(h0.shape, x.dtype)
        dx, dh = cupy.empty_like(gates), cupy.empty_like(gates)
        for t, n in reversed(times):
            _gru_grad(gates[t], m[t], starts[t], back, gy[t], size, given, gh, dx[t], dh[t], size=n * size)
            blas.gemm(dh[t], w_hh, out=back[:n])
        gh += back
        dx, *others = _input_grads(dx, dh, x, starts, w_ih, [needs[0], *needs[2:]])
        return dx, gh, *others

    return (y.reshape(*x.shape[:-1], size), h), joint


def rnn_sequence(x, h0, w_ih, w_hh, b_ih, b_hh, *, relu, reverse, sizes=None):
    """y, h and their joint vjp; see rnn in ops/recurrent.py."""
    if not _served(x, h0, w_ih, w_hh, b_ih, b_hh):
        return DEFINITIONS["rnn_sequence"](x, h0, w_ih, w_hh, b_ih, b_hh, relu=relu, reverse=reverse, sizes=sizes)
    times, size, relu = _times(x, sizes, reverse), h0.shape[1], int(relu)
    first, second, _, biases = _biases(w_hh, b_ih, b_hh)
    y, h, a = blas.gemm(_rows(x), w_ih.T), h0.copy(), cupy.empty(h0.shape, x.dtype)
    starts = cupy.empty_like(y)
    for t, n in times:
        blas.gemm(h[:n], w_hh.T, out=a[:n])
        _rnn(a, first, second, size, biases, relu, y[t], h, starts[t], size=n * size)

    def joint(gy, gh, *, needs):
        (gy, given), gh, d = _from_outputs(gy, y), _own(gh, h0), cupy.empty_like(y)
        for t, n in reversed(times):
            _rnn_grad(y[t], gh, gy[t], given, relu, d[t], size=n * size)
            blas.gemm(d[t], w_hh, out=gh[:n])
        dx, *others = _input_grads(d, d, x, starts, w_ih, [needs[0], *needs[2:]])
        return dx, gh, *others

    return (y.reshape(*x.shape[:-1], size), h), joint
