"""How each op is written in NumPy: one expression for an op; what has none is taken apart into ops that have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .sizes import Banded, Counted, Dim, Filled, Prefix, Unclear
from .table import Entry, Table
from .trace import Ref, TraceError

TABLE = Table("NumPy")
entry, known = TABLE.entry, TABLE.known


def _template(text: str, *helpers: str) -> Callable[..., str]:
    """An expression with {0}, {1} for the inputs and {name} for static arguments."""

    def write(w, call, *texts):
        for helper in helpers:
            w.use(helper)
        return text.format(*texts, **{key: literal(w, v) for key, v in call.static.items()})

    return write


def literal(w, value: Any) -> str:
    """A static argument as Python."""
    if isinstance(value, (np.ndarray, Ref, Filled, Counted, Banded, Prefix)):
        return w.of(value)
    if isinstance(value, Dim):
        return value.text()
    if isinstance(value, Unclear):
        raise TraceError("an option depends on an open size in a way that is no formula")
    if isinstance(value, float) and not math.isfinite(value):
        return "np.nan" if value != value else "np.inf" if value > 0 else "-np.inf"
    if isinstance(value, (tuple, list)):
        parts = [literal(w, v) for v in value]
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
    if isinstance(value, (int, float, bool, str, type(None))):
        return repr(value)
    return repr(value.item()) if isinstance(value, np.generic) else repr(np.dtype(value).name)


for _name in (
    "sign floor ceil rint trunc exp expm1 log log2 log10 log1p sqrt sin cos tan arcsin arccos arctan sinh cosh tanh "
    "arcsinh arccosh arctanh isnan isfinite logical_not"
).split():
    entry(_name)(_template(f"np.{_name}({{0}})"))
for _name in ("maximum minimum fmod hypot arctan2 logaddexp logical_and logical_or").split():
    entry(_name)(_template(f"np.{_name}({{0}}, {{1}})"))
for _name, _sign in {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "floor_divide": "//", "remainder": "%", "power": "**",
    "matmul": "@", "equal": "==", "not_equal": "!=", "greater": ">", "greater_equal": ">=", "less": "<",
    "less_equal": "<=", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "left_shift": "<<",
    "right_shift": ">>",
}.items():  # fmt: skip
    entry(_name)(_template(f"{{0}} {_sign} {{1}}"))
for _name, _text in {
    "identity": "{0}", "alias": "{0}", "transfer": "{0}", "negative": "-{0}", "absolute": "np.abs({0})",
    "invert": "~{0}", "square": "{0} * {0}", "relu": "np.maximum({0}, 0)", "where": "np.where({0}, {1}, {2})",
    "softplus": "np.logaddexp(0, {0})", "prelu": "np.where({0} > 0, {0}, {0} * {1})",
    "hardtanh": "np.clip({0}, {low}, {high})", "hardswish": "{0} * np.clip({0} + 3, 0, 6) / 6",
    "mish": "{0} * np.tanh(np.logaddexp(0, {0}))",
    "gelu_tanh": "0.5 * {0} * (1 + np.tanh(0.7978845608028654 * ({0} + 0.044715 * {0} ** 3)))",
    "swapaxes": "np.swapaxes({0}, {axis1}, {axis2})", "transpose": "np.transpose({0}, {axes})",
    "flip": "np.flip({0}, {axis})", "cumsum": "np.cumsum({0}, axis={axis})", "cumprod": "np.cumprod({0}, axis={axis})",
    "take_along_axis": "np.take_along_axis({0}, {1}, axis={axis})", "embedding": "{0}[{ids}]",
    "tril": "np.tril({0}, {k})", "triu": "np.triu({0}, {k})",
    "dropout": "{0} * {scale} * {1}", "inv": "np.linalg.inv({0})", "solve": "np.linalg.solve({0}, {1})",
    "pinv": "np.linalg.pinv({0})", "slogdet": "np.linalg.slogdet({0})", "qr": "np.linalg.qr({0})",
    "svd": "np.linalg.svd({0}, full_matrices=False)", "running_max": "np.maximum.accumulate({0}, axis={axis})",
}.items():  # fmt: skip
    entry(_name)(_template(_text))
TABLE["softplus"] = Entry(
    TABLE["softplus"].write, lambda xs, s: s.get("beta", 1) == 1 and s.get("threshold", math.inf) == math.inf
)
entry("elu", when=lambda xs, s: s.get("scale", 1) == 1 and s.get("rate", 1) == 1)(
    _template("np.where({0} > 0, {0}, {alpha} * np.expm1(np.minimum({0}, 0)))")
)
for _name, _text, _helpers in (
    ("sigmoid", "sigmoid({0})", ("sigmoid",)),
    ("silu", "{0} * sigmoid({0})", ("sigmoid",)),
    ("erf", "erf({0})", ("erf",)),
    ("erfc", "1 - erf({0})", ("erf",)),
    ("gelu", "0.5 * {0} * (1 + erf({0} * 0.7071067811865476))", ("erf",)),
    ("softmax", "softmax({0}, {axis})", ("softmax",)),
    ("log_softmax", "log_softmax({0}, {axis})", ("log_softmax",)),
    ("batch_norm_fixed", "batch_norm({0}, {1}, {2}, {3}, {4}, {eps})", ("batch_norm",)),
    ("conv2d", "conv2d({0}, {1}, {2}, {stride}, {padding}, {dilation}, {groups})", ("conv2d",)),
    (
        "conv2d_input_grad", "conv_transpose2d({0}, {1}, {stride}, {padding}, {dilation}, {groups}, {shape})",
        ("conv_transpose2d",),
    ),
    ("lstm", "lstm({0}, {1}, {2}, {3}, {4}, {5}, {6}, {reverse})", ("lstm", "sigmoid")),
    ("gru", "gru({0}, {1}, {2}, {3}, {4}, {5}, {reverse})", ("gru", "sigmoid")),
    ("rnn", "rnn({0}, {1}, {2}, {3}, {4}, {5}, {relu}, {reverse})", ("rnn",)),
    ("setitem", "with_items({0}, {index}, {1})", ("with_items",)),
    ("scatter_add", "scatter_add({0}, {1}, {axis}, {size})", ("scatter_add",)),
    ("ordered", "ordered({0}, {axis}, {descending}, {count})", ("ordered",)),
    ("lgamma", "lgamma({0})", ("lgamma",)),
    ("polygamma", "polygamma({0}, {n})", ("polygamma",)),
    ("erfinv", "erfinv({0})", ("erfinv", "erf")),
    ("cholesky", "np.linalg.cholesky(symmetric({0}))", ("symmetric",)),
    ("eigh", "np.linalg.eigh(symmetric({0}))", ("symmetric",)),
):  # fmt: skip
    entry(_name)(_template(_text, *_helpers))
for _name, _count in {"lstm": 7, "gru": 6, "rnn": 6}.items():

    def _plain(inputs: list, static: dict, count=_count) -> bool:
        return static.get("sizes") is None and all(v is None for v in inputs[count:])

    TABLE[_name] = Entry(TABLE[_name].write, _plain)
for _name in "sum mean max min prod any all argmax argmin".split():

    def _write(w, call, x, name=_name):
        axis, keep = call.static.get("axis"), call.static.get("keepdims")
        options = [] if axis is None else [f"axis={literal(w, axis)}"]
        return f"{x}.{name}({', '.join([*options, *(['keepdims=True'] if keep else [])])})"

    entry(_name)(_write)


@entry("linear")
def _linear(w, call, x, weight, bias):
    return f"{x} @ {weight}.T" + ("" if call.inputs[2] is None else f" + {bias}")


@entry("astype")
def _astype(w, call, x):
    return f"{x}.astype(np.{type_name(w.dtypes[call.outputs[0]])})"


def type_name(dtype: np.dtype) -> str:
    return "bool_" if dtype == np.bool_ else dtype.name


@entry("reshape")
def _reshape(w, call, x):
    return f"{x}.reshape({', '.join(literal(w, n) for n in w.shapes[call.outputs[0]])})"


@entry("broadcast_to")
def _broadcast_to(w, call, x):
    return f"np.broadcast_to({x}, {literal(w, tuple(w.shapes[call.outputs[0]]))})"


@entry("cat")
def _cat(w, call, *xs):
    return f"np.concatenate([{', '.join(xs)}], axis={call.static['axis']})"


@entry("pile")
def _pile(w, call, *xs):
    return f"np.stack([{', '.join(xs)}], axis={call.static['axis']})"


@entry("split")
def _split(w, call, x):
    if len(call.outputs) == 1:
        return x
    ends, total = [], 0
    for n in call.static["sizes"][:-1]:
        if not isinstance(n, int):
            raise TraceError("split: the sizes of the parts cannot stay open")
        total += n
        ends.append(total)
    return f"np.split({x}, {ends}, axis={call.static['axis']})"


@entry("pad")
def _pad(w, call, x):
    width, value = call.static["width"], call.static.get("value", 0.0)
    return f"np.pad({x}, {literal(w, width)}, constant_values={literal(w, value)})"


@entry("getitem")
def _getitem(w, call, x):
    return f"{x}[{index_text(w, call.static['index'])}]"


def index_text(w, index: Any) -> str:
    """An index as it is written between brackets."""
    if isinstance(index, tuple):
        return ", ".join(index_text(w, p) for p in index) + ("," if len(index) == 1 else "") or "()"
    if index is Ellipsis:
        return "..."
    if isinstance(index, slice):
        ends = ["" if v is None else literal(w, v) for v in (index.start, index.stop, index.step)]
        return ":".join(ends if ends[2] else ends[:2])
    if isinstance(index, Ref) and w.dtypes[index.number] == np.bool_:
        raise TraceError("indexing by a mask gives as many elements as the values say; use where()")
    return literal(w, index)


def _index_option(w, call, x, value):
    w.use("with_items")
    return f"with_items({x}, {_index(w, call.static['index'])}, {value})"


def _index(w, index: Any) -> str:
    parts = index if isinstance(index, tuple) else (index,)
    return f"({', '.join(_part(w, p) for p in parts)},)"


def _part(w, p: Any) -> str:
    if p is Ellipsis:
        return "..."
    if isinstance(p, slice):
        return f"slice({', '.join(literal(w, v) for v in (p.start, p.stop, p.step))})"
    return literal(w, p)


@entry("index_add")
def _index_add(w, call, g):
    w.use("index_add")
    return f"index_add({g}, {_index(w, call.static['index'])}, {literal(w, call.static['shape'])})"


TABLE["setitem"] = Entry(_index_option, lambda inputs, static: True)


@entry("layer_norm")
def _layer_norm(w, call, x, weight, bias):
    w.use("layer_norm")
    center = call.static.get("center", True)
    return f"layer_norm({x}, {weight}, {bias}, {literal(w, call.static['axis'])}, {call.static['eps']!r}, {center})"


@entry("max_pool2d", "max_pool2d_place")
def _max_pool(w, call, x):
    w.use(call.op)
    how = call.static
    width = how["width"][2:]
    if any(not isinstance(n, int) for pair in width for n in pair):
        raise TraceError("pooling: what is padded depends on the size of the image, which cannot stay open")
    return f"{call.op}({x}, {how['kernel']}, {how['stride']}, {how['dilation']}, {width})"


@entry("window_sum")
def _window_sum(w, call, x):
    w.use("window_sum")
    how = call.static
    width = how["width"][2:]
    if any(not isinstance(n, int) for pair in width for n in pair):
        raise TraceError("pooling: what is padded depends on the size of the image, which cannot stay open")
    return f"window_sum({x}, {how['kernel']}, {how['stride']}, {width}) * {how.get('scale', 1.0)!r}"
