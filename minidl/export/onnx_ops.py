"""How each op is written in ONNX: one entry for an op; what has none is taken apart into ops that have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .sizes import Dim, Unclear
from .table import Table
from .trace import Call, TraceError

TABLE = Table("ONNX")
entry, known = TABLE.entry, TABLE.known


def _same(onnx: str, **attributes: Any) -> Callable:
    """An op of one input that ONNX has under another name."""
    return lambda b, call: b.node(onnx, b.of(call.inputs[0]), **attributes)


for _name, _onnx in {
    "identity": "Identity", "alias": "Identity", "negative": "Neg", "absolute": "Abs", "sign": "Sign",
    "floor": "Floor", "ceil": "Ceil", "rint": "Round", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin",
    "cos": "Cos", "tan": "Tan", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh",
    "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh", "tanh": "Tanh", "erf": "Erf", "sigmoid": "Sigmoid",
    "relu": "Relu", "isnan": "IsNaN", "hardswish": "HardSwish",
}.items():  # fmt: skip
    entry(_name)(_same(_onnx))
for _name, _power in {"log2": 2.0, "log10": 10.0}.items():
    entry(_name)(
        lambda b, call, base=_power: b.node(
            "Div", b.node("Log", b.of(call.inputs[0])), b.number(math.log(base), b.dtype(call.inputs[0]))
        )
    )
entry("softplus", when=lambda xs, s: s.get("beta", 1) == 1 and s.get("threshold", math.inf) == math.inf)(
    _same("Softplus")
)
entry("softmax")(lambda b, call: b.node("Softmax", b.of(call.inputs[0]), axis=call.static["axis"]))
entry("log_softmax")(lambda b, call: b.node("LogSoftmax", b.of(call.inputs[0]), axis=call.static["axis"]))
entry("elu", when=lambda xs, s: s.get("scale", 1) == 1 and s.get("rate", 1) == 1)(
    lambda b, call: b.node("Elu", b.of(call.inputs[0]), alpha=float(call.static["alpha"]))
)


# ------------------------------------------------------------------------------------------------------- arithmetic
def _common(b, call: Call, dtype=None) -> list[str]:
    """The inputs in one dtype: that of the arrays among them, or the one given."""
    if dtype is None:
        dtype = np.result_type(*[d for x in call.inputs if (d := b.dtype(x)) is not None])
        if dtype.kind in "biu" and any(isinstance(x, float) for x in call.inputs):
            dtype = np.dtype(np.float32)
    return [b.cast(x, dtype) for x in call.inputs]


def _arithmetic(onnx: str) -> Callable:
    return lambda b, call: b.node(onnx, *_common(b, call, b.dtypes[call.outputs[0]]))


for _name, _onnx in {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow", "maximum": "Max",
    "minimum": "Min", "matmul": "MatMul",
}.items():  # fmt: skip
    entry(_name)(_arithmetic(_onnx))
for _name, _onnx in {
    "equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
    "less_equal": "LessOrEqual",
}.items():  # fmt: skip
    entry(_name)(lambda b, call, onnx=_onnx: b.node(onnx, *_common(b, call)))


@entry("not_equal")
def _not_equal(b, call):
    return b.node("Not", b.node("Equal", *_common(b, call)))


def _all_bool(inputs: list, static: dict) -> bool:
    return all(isinstance(x, bool) or getattr(x, "dtype", None) == np.bool_ for x in inputs)


for _name, _onnx in {"and": "And", "or": "Or", "xor": "Xor"}.items():
    _write = lambda b, call, onnx=_onnx: b.node(onnx, *_common(b, call, np.dtype(bool)))  # noqa: E731
    entry(f"logical_{_name}")(_write)
    entry(f"bitwise_{_name}", when=_all_bool)(_write)
entry("logical_not")(lambda b, call: b.node("Not", b.cast(call.inputs[0], np.dtype(bool))))
entry("invert", when=_all_bool)(_same("Not"))


@entry("floor_divide")
def _floor_divide(b, call):
    dtype = b.dtypes[call.outputs[0]]
    if dtype.kind == "f":
        return b.node("Floor", b.node("Div", *_common(b, call, dtype)))
    x, y = _common(b, call, dtype)
    return b.node("Div", b.node("Sub", x, b.node("Mod", x, y)), y)  # ONNX divides towards 0


@entry("remainder")
def _remainder(b, call):
    dtype = b.dtypes[call.outputs[0]]
    x, y = _common(b, call, dtype)
    if dtype.kind != "f":
        return b.node("Mod", x, y)
    return b.node("Sub", x, b.node("Mul", y, b.node("Floor", b.node("Div", x, y))))


@entry("fmod")
def _fmod(b, call):
    return b.node("Mod", *_common(b, call, b.dtypes[call.outputs[0]]), fmod=1)


@entry("tril", "triu")
def _triangle(b, call):
    k = b.constant(np.int64(call.static.get("k", 0)))
    return b.node("Trilu", b.of(call.inputs[0]), k, upper=int(call.op == "triu"))


@entry("trunc")
def _trunc(b, call):
    x = b.of(call.inputs[0])
    return b.node("Mul", b.node("Sign", x), b.node("Floor", b.node("Abs", x)))


@entry("isfinite")
def _isfinite(b, call):
    x = b.of(call.inputs[0])
    return b.node("Not", b.node("Or", b.node("IsInf", x), b.node("IsNaN", x)))


@entry("log1p")
def _log1p(b, call):
    (x,) = call.inputs
    return b.node("Log", b.node("Add", b.of(x), b.number(1, b.dtype(x))))


@entry("expm1")
def _expm1(b, call):
    (x,) = call.inputs  # tanh(x/2) (e^x + 1), which is exact near 0
    half = b.node("Tanh", b.node("Mul", b.of(x), b.number(0.5, b.dtype(x))))
    return b.node("Mul", half, b.node("Add", b.node("Exp", b.of(x)), b.number(1, b.dtype(x))))


@entry("erfc")
def _erfc(b, call):
    (x,) = call.inputs
    return b.node("Sub", b.number(1, b.dtype(x)), b.node("Erf", b.of(x)))


@entry("hypot")
def _hypot(b, call):
    x, y = _common(b, call)
    return b.node("Sqrt", b.node("Add", b.node("Mul", x, x), b.node("Mul", y, y)))


@entry("logaddexp")
def _logaddexp(b, call):
    x, y = _common(b, call)
    small = b.node("Exp", b.node("Neg", b.node("Abs", b.node("Sub", x, y))))
    return b.node(
        "Add", b.node("Max", x, y), b.node("Log", b.node("Add", small, b.number(1, b.dtypes[call.outputs[0]])))
    )


@entry("where")
def _where(b, call):
    dtype = b.dtypes[call.outputs[0]]
    condition, *others = call.inputs
    return b.choose(b.cast(condition, np.dtype(bool)), *others, dtype)


@entry("astype")
def _astype(b, call):
    return b.cast(call.inputs[0], b.dtypes[call.outputs[0]])


@entry("prelu")
def _prelu(b, call):
    x, w = call.inputs
    if isinstance(w, (int, float)):
        return b.node("LeakyRelu", b.of(x), alpha=float(w))
    return b.node("PRelu", b.of(x), b.of(w))


@entry("hardtanh")
def _hardtanh(b, call):
    x, how = call.inputs[0], call.static
    return b.node("Clip", b.of(x), b.number(how["low"], b.dtype(x)), b.number(how["high"], b.dtype(x)))


# ------------------------------------------------------------------------------------------------------- reductions
_AXES_LATER = {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSumExp"}  # inputs from opset 18 on


def _reduce(b, onnx: str, x: str, axis, keepdims) -> str:
    axes = None if axis is None else [int(a) for a in (axis if isinstance(axis, tuple) else (axis,))]
    keep = int(bool(keepdims))
    if axes == []:
        return b.node("Identity", x)
    if axes is None:
        return b.node(onnx, x, keepdims=keep)
    if onnx in _AXES_LATER and b.opset < 18:
        return b.node(onnx, x, axes=axes, keepdims=keep)
    return b.node(onnx, x, b.ints(axes), keepdims=keep)


for _name, _onnx in {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd",
    "logsumexp": "ReduceLogSumExp",
}.items():  # fmt: skip
    entry(_name)(
        lambda b, call, onnx=_onnx: _reduce(
            b, onnx, b.cast(call.inputs[0], b.dtypes[call.outputs[0]]), call.static.get("axis"),
            call.static.get("keepdims"),
        )
    )  # fmt: skip
for _name, _onnx in {"any": "ReduceMax", "all": "ReduceMin"}.items():
    entry(_name)(
        lambda b, call, onnx=_onnx: b.node(
            "Cast",
            _reduce(
                b, onnx, b.cast(b.cast(call.inputs[0], np.dtype(bool)), np.dtype(np.int32)), call.static.get("axis"),
                call.static.get("keepdims"),
            ),
            to=b.kind(np.dtype(bool)),
        )
    )  # fmt: skip


def _arg(onnx: str) -> Callable:
    def write(b, call):
        (x,), axis, keep = call.inputs, call.static.get("axis"), int(bool(call.static.get("keepdims")))
        x = b.cast(x, np.dtype(np.int32)) if b.dtype(x) == np.bool_ else b.of(x)
        if axis is not None:
            return b.node(onnx, x, axis=axis, keepdims=keep)
        flat = b.node(onnx, b.node("Reshape", x, b.ints([-1])), axis=0, keepdims=0)
        return b.node("Reshape", flat, b.ints([1] * len(b.shape(call.inputs[0])))) if keep else flat

    return write


entry("argmax")(_arg("ArgMax"))
entry("argmin")(_arg("ArgMin"))


@entry("ordered")
def _ordered(b, call):
    (x,), how = call.inputs, call.static
    dtype = b.dtype(x)  # what runtimes have a kernel for
    wide = np.dtype(np.int32 if dtype.kind in "biu" and dtype.itemsize < 4 else np.float32)
    name = b.cast(x, dtype if dtype.itemsize >= 4 else wide)
    largest = int(how["descending"])
    return b.node("TopK", name, b.ints([how["count"]]), axis=how["axis"], largest=largest, sorted=1, count=2)[1]


@entry("slogdet")
def _slogdet(b, call):
    det = b.node("Det", b.of(call.inputs[0]))
    return [b.node("Sign", det), b.node("Log", b.node("Abs", det))]


entry("cumsum")(
    lambda b, call: b.node(
        "CumSum", b.cast(call.inputs[0], b.dtypes[call.outputs[0]]), b.constant(np.int64(call.static["axis"]))
    )
)


# ----------------------------------------------------------------------------------------- products and convolutions
def _constants(inputs: list, static: dict) -> bool:
    """Whether all but the first input are parameters or constants."""
    return all(x is None or isinstance(x, np.ndarray) for x in inputs[1:])


@entry("linear")
def _linear(b, call):
    x, w, bias = call.inputs
    if len(b.shape(x)) == 2 and (bias is None or len(b.shape(bias)) == 1):
        return b.node("Gemm", b.of(x), b.of(w), *([] if bias is None else [b.of(bias)]), transB=1)
    y = b.node("MatMul", b.of(x), b.node("Transpose", b.of(w), perm=[1, 0]))
    return y if bias is None else b.node("Add", y, b.of(bias))


@entry("conv2d", "conv1d", "conv3d")
def _conv(b, call):
    x, w, bias = call.inputs
    how = call.static
    return b.node(
        "Conv", b.of(x), b.of(w), *([] if bias is None else [b.of(bias)]), strides=list(how["stride"]),
        pads=list(how["padding"]) * 2, dilations=list(how["dilation"]), group=how["groups"],
    )  # fmt: skip


def _fits(inputs: list, static: dict) -> bool:
    """Whether a transposed convolution has no more output padding than its stride, as ONNX wants it."""
    (x, w), how = inputs[:2], static
    return all(0 <= n < s for n, s in zip(_beyond(x.shape, w.shape, how), how["stride"], strict=True))


def _beyond(x_shape, w_shape, how) -> list:
    """The output padding."""
    return [
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, s, p, d, k in zip(
            how["shape"][2:], x_shape[2:], how["stride"], how["padding"], how["dilation"], w_shape[2:], strict=True
        )
    ]


@entry("conv2d_input_grad", "conv3d_input_grad", when=_fits)
def _conv_transpose(b, call):
    (x, w), how = call.inputs, call.static
    if any(not isinstance(n, int) for n in b.shape(x)[2:]):
        raise TraceError("conv_transpose: the size of the image cannot stay open")
    return b.node(
        "ConvTranspose", b.of(x), b.of(w), strides=list(how["stride"]), pads=list(how["padding"]) * 2,
        dilations=list(how["dilation"]), group=how["groups"], output_padding=_beyond(b.shape(x), b.shape(w), how),
    )  # fmt: skip


def _padded(b, call, value: float) -> tuple[str, list[int]]:
    """The image and what a pooling still has to pad; ONNX refuses pads that are as wide as the kernel."""
    x, how = call.inputs[0], call.static
    width = how["width"][2:]
    if isinstance(width, Unclear) or any(isinstance(n, (Unclear, Dim)) for pair in width for n in pair):
        raise TraceError("pooling: what is padded depends on the size of the image, which cannot stay open")
    before, after = [[pair[i] for pair in width] for i in (0, 1)]
    if all(n < k for pair, k in zip(width, how["kernel"], strict=True) for n in pair):
        return b.of(x), [*before, *after]
    pads = b.ints([0, 0, *before, 0, 0, *after])
    return b.node("Pad", b.of(x), pads, b.number(value, b.dtype(x))), [0] * 2 * len(width)


@entry("max_pool2d", "max_pool3d")
def _max_pool(b, call):
    how = call.static
    x, pads = _padded(b, call, -math.inf)
    return b.node(
        "MaxPool", x, kernel_shape=list(how["kernel"]), strides=list(how["stride"]), pads=pads,
        dilations=list(how["dilation"]),
    )  # fmt: skip


@entry("max_pool2d_place")
def _max_pool_place(b, call):
    return [None]  # an error where it is used


@entry("window_sum")
def _window_sum(b, call):
    how = call.static
    x, pads = _padded(b, call, 0.0)
    y = b.node(
        "AveragePool", x, kernel_shape=list(how["kernel"]), strides=list(how["stride"]), pads=pads,
        count_include_pad=1,
    )  # fmt: skip
    scale = math.prod(how["kernel"]) * how.get("scale", 1.0)
    return y if abs(scale - 1) < 1e-9 else b.node("Mul", y, b.number(scale, b.dtype(call.inputs[0])))


# ---------------------------------------------------------------------------------------------------- normalisation
@entry("batch_norm_fixed", when=lambda xs, s: _constants(xs, s) and len(xs[0].shape) > 1)
def _batch_norm(b, call):
    x, weight, bias, mean, var = call.inputs
    ones = np.ones(mean.shape, mean.dtype)
    weight, bias = ones if weight is None else weight, 0 * ones if bias is None else bias
    names = [b.of(v) for v in (x, weight, bias, mean, var)]
    return b.node("BatchNormalization", *names, epsilon=float(call.static["eps"]))


def _trailing(inputs: list, static: dict) -> bool:
    """Whether a layer norm is over the last axes, with a weight for each of their elements, as ONNX has it."""
    x, weight, bias = inputs
    axes, nd = tuple(static["axis"]), len(x.shape)
    if not static.get("center", True) or sorted(a % nd for a in axes) != list(range(nd - len(axes), nd)):
        return False
    return all(
        v is None or (isinstance(v, np.ndarray) and v.shape == x.shape[nd - len(axes) :]) for v in (weight, bias)
    )


@entry("layer_norm", when=_trailing)
def _layer_norm(b, call):
    x, weight, bias = call.inputs
    count = len(call.static["axis"])
    if weight is None:
        weight = np.ones(b.shape(x)[-count:], b.dtype(x))
    names = [b.of(v) for v in (x, weight, bias) if v is not None]
    y = b.node("LayerNormalization", *names, axis=-count, epsilon=float(call.static["eps"]))
    return [y, None, None]


# --------------------------------------------------------------------------------------------------------- sequences
def _gates(a: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The parts of a weight or bias in ONNX's order."""
    parts = np.split(a, len(order))
    return np.concatenate([parts[i] for i in order])


def _recurrent(onnx: str, order: tuple[int, ...], states: int) -> Callable:
    def write(b, call):
        x, *rest = call.inputs
        starts, (w_ih, w_hh, b_ih, b_hh) = rest[:states], rest[states : states + 4]
        hidden = w_hh.shape[1]
        names = [b.of(x), *(b.made(w, f"{onnx}_order", _gates(w, order)[None]) for w in (w_ih, w_hh))]
        if b_ih is None and b_hh is None:
            names.append("")
        else:
            pair = [np.zeros(len(w_ih), w_ih.dtype) if v is None else _gates(v, order) for v in (b_ih, b_hh)]
            names.append(b.constant(np.concatenate(pair)[None]))
        names += ["", *(b.node("Unsqueeze", b.of(s), b.ints([0])) for s in starts)]
        how: dict[str, Any] = {"hidden_size": hidden}
        if call.static["reverse"]:
            how["direction"] = "reverse"
        if onnx == "GRU":
            how["linear_before_reset"] = 1
        if call.static.get("relu"):
            how["activations"] = ["Relu"]
        y, *lasts = b.node(onnx, *names, count=1 + states, **how)
        return [b.node("Squeeze", y, b.ints([1])), *(b.node("Squeeze", s, b.ints([0])) for s in lasts)]

    return write


def _fixed_weights(states: int) -> Callable:
    """Whether ONNX has it: no projection, all sequences of one length, weights that are no results."""

    def fits(inputs: list, static: dict) -> bool:
        weights, projection = inputs[1 + states : 5 + states], inputs[5 + states :]
        plain = static.get("sizes") is None and all(v is None for v in projection)
        return plain and all(v is None or isinstance(v, np.ndarray) for v in weights)

    return fits


entry("lstm", when=_fixed_weights(2))(_recurrent("LSTM", (0, 3, 1, 2), 2))
entry("gru", when=_fixed_weights(1))(_recurrent("GRU", (1, 0, 2), 1))
entry("rnn", when=_fixed_weights(1))(_recurrent("RNN", (0,), 1))


@entry("embedding")
def _embedding(b, call):
    return b.node("Gather", b.of(call.inputs[0]), b.of(call.static["ids"]), axis=0)


def is_number(x: Any) -> bool:
    """Whether x is a fixed whole number."""
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool)
