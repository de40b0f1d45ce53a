"""A model as an ONNX file: the graph that `trace` gives, op by op, with the parameters under their own names."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..nn import Module
from ..serialization import write_file
from . import onnx_shapes  # noqa: F401  (enters its part of the table)
from .onnx_ops import TABLE, known
from .sizes import Banded, Counted, Dim, Filled, Graph, Prefix, Unclear, trace
from .trace import Ref, TraceError, tensors

_LEAST, _MOST = 17, 22
_IR = 8  # of opset 17 and later; onnxruntime of the last years reads it


def load_onnx() -> Any:
    """The package `onnx`, or an ImportError that says which extra brings it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError("ONNX files need the package onnx: pip install 'minidl[onnx]'") from error
    return onnx


class Builder:
    """Collects the nodes and initialisers; the entries of the table call it."""

    def __init__(self, graph: Graph, input_names: Sequence[str], opset: int, onnx: Any) -> None:
        self.graph, self.opset, self.onnx = graph, opset, onnx
        self.shapes, self.dtypes = graph.shapes, graph.dtypes
        self.nodes: list[Any] = []
        self.initialisers: dict[str, np.ndarray] = {}
        self.parameters: dict[str, str] = {}  # the initialisers that are parameters or buffers
        self.names = dict(zip(graph.inputs, input_names, strict=True))
        self.path, self._made, self._memo = "", 0, dict[Any, str]()

    # ------------------------------------------------------------------------------------------------ what things are
    def dtype(self, x: Any) -> np.dtype | None:
        """The dtype of an input; None for a number."""
        if isinstance(x, Ref):
            return self.dtypes[x.number]
        if isinstance(x, str):
            return None
        if isinstance(x, (Filled, Prefix)):
            return x.array.dtype
        return getattr(x, "dtype", None)

    def shape(self, x: Any) -> tuple:
        """The shape of an input, with formulas where a size is open."""
        if isinstance(x, Counted):
            return x.shape
        return self.shapes[x.number] if isinstance(x, Ref) else tuple(getattr(x, "shape", ()))

    def kind(self, dtype: np.dtype) -> int:
        """ONNX's number of a dtype."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    # --------------------------------------------------------------------------------------------------- making things
    def _name(self, what: str) -> str:
        self._made += 1
        return f"{self.path}/{what}_{self._made}" if self.path else f"{what}_{self._made}"

    def node(self, onnx: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        """Add a node; its output's name, or a list of them."""
        name = self._name(onnx)
        outputs = [name] if count == 1 else [f"{name}.{k}" for k in range(count)]
        made = self.onnx.helper.make_node(onnx, list(inputs), outputs, name=name, **attributes)
        self.nodes.append(made)
        return name if count == 1 else outputs

    def constant(self, array: Any, name: str | None = None) -> str:
        """An array that is fixed; equal ones are kept once."""
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 64 and name is None else None
        if key is not None and key in self._memo:
            return self._memo[key]
        made = name or f"constant_{len(self.initialisers)}"
        self.initialisers[made] = array
        if key is not None:
            self._memo[key] = made
        return made

    def made(self, source: np.ndarray, what: str, array: np.ndarray) -> str:
        """An array that was made from a parameter."""
        name = self.graph.names.get(id(source))
        return self.constant(array, None if name is None else f"{name}/{what}")

    def number(self, value: Any, dtype: Any) -> str:
        """A number as a 0-d array."""
        return self.constant(np.asarray(value, dtype=dtype))

    def of(self, x: Any) -> str:
        """The name of an input: a result, a parameter, an array."""
        if isinstance(x, str):
            return x
        if isinstance(x, Ref):
            if x.number not in self.names:
                raise TraceError("the places of max pooling are used, which ONNX counts in another way")
            return self.names[x.number]
        if isinstance(x, Dim):
            return self.node("Squeeze", self._size(x), self.ints([0]))
        if isinstance(x, Filled):
            return self.node("Expand", self.constant(x.array), self.ints(x.shape))
        if isinstance(x, Counted):
            end = self.of(x.size) if isinstance(x.size, Dim) else self.number(x.size, np.int64)
            numbers = self.node("Range", self.number(0, np.int64), end, self.number(1, np.int64))
            scaled = self.node("Mul", self.cast(numbers, x.dtype), self.number(x.step, x.dtype))
            y = self.node("Add", scaled, self.number(x.start, x.dtype))
            return self.node("Reshape", y, self.ints(x.shape)) if len(x.shape) > 1 else y
        if isinstance(x, Prefix):
            axes = list(range(len(x.shape)))
            return self.node("Slice", self.of(x.array), self.ints([0] * len(axes)), self.ints(x.shape), self.ints(axes))
        if isinstance(x, Banded):
            columns, rows = [self.of(Counted(0, 1, n, np.dtype(np.int64), (n,))) for n in (x.shape[-1], x.shape[-2])]
            difference = self.node("Sub", columns, self.node("Unsqueeze", rows, self.ints([1])))
            above = self.node("Greater", difference, self.number(x.offset, np.int64))
            y = self.choose(above, x.above, x.below, x.dtype)
            return self.node("Expand", y, self.ints(x.shape)) if len(x.shape) > 2 else y
        if isinstance(x, Unclear):
            raise TraceError("a number or an array depends on an open size, or on values, in a way that is no formula")
        name = self.graph.names.get(id(x))
        if name is not None:
            self.parameters[name] = name
            return name if name in self.initialisers else self.constant(x, name)
        return self.constant(x)

    def cast(self, x: Any, dtype: np.dtype) -> str:
        """An input in a dtype."""
        if isinstance(x, (bool, int, float)):
            return self.number(x, dtype)
        if self.dtype(x) == dtype:
            return self.of(x)
        return self.node("Cast", self.of(x), to=self.kind(dtype))

    def choose(self, condition: str, a: Any, b: Any, dtype: np.dtype) -> str:
        """a where the condition holds, else b; onnxruntime cannot choose between booleans."""
        if dtype != np.bool_:
            return self.node("Where", condition, self.cast(a, dtype), self.cast(b, dtype))
        small = np.dtype(np.uint8)
        parts = [self.node("Cast", self.cast(x, dtype), to=self.kind(small)) for x in (a, b)]
        return self.node("Cast", self.node("Where", condition, *parts), to=self.kind(dtype))

    # ------------------------------------------------------------------------------------------------------ open sizes
    def plus(self, n: Dim, k: int) -> Dim:
        """n + k."""
        terms = dict(n.terms)
        terms[()] = terms.get((), 0) + k
        return Dim(tuple((names, f) for names, f in terms.items() if f))

    def _size(self, n: Any) -> str:
        """A size as an array of one element."""
        if isinstance(n, Unclear):
            raise TraceError("a size depends on an open size in a way that is no formula, such as a division")
        if not isinstance(n, Dim):
            return self.constant(np.array([n], np.int64))
        if n in self._memo:
            return self._memo[n]
        path, self.path = self.path, ""
        total = None
        for names, factor in n.terms:
            value = self.constant(np.array([factor], np.int64)) if factor != 1 or not names else ""
            for symbol in names:
                i, axis = self.graph.open[symbol]
                key = ("size", symbol)
                if key not in self._memo:
                    source = self.names[self.graph.inputs[i]]
                    self._memo[key] = self.node("Shape", source, start=axis, end=axis + 1)
                value = self.node("Mul", value, self._memo[key]) if value else self._memo[key]
            total = value if total is None else self.node("Add", total, value)
        self.path = path
        self._memo[n] = total or self.constant(np.array([0], np.int64))
        return self._memo[n]

    def ints(self, numbers: Sequence) -> str:
        """Whole numbers, some of them open sizes, as a 1-d array."""
        if not any(isinstance(n, (Dim, Unclear)) for n in numbers):
            return self.constant(np.array(list(numbers), np.int64))
        return self.node("Concat", *[self._size(n) for n in numbers], axis=0)

    # ------------------------------------------------------------------------------------------------------- the whole
    def write(self) -> None:
        """All ops in their order."""
        for call in self.graph.calls:
            self.path = call.path.replace(".", "/")
            try:
                found = TABLE[call.op].write(self, call)
            except TraceError as error:
                raise TraceError(f"'{call.path or 'the model'}': {error}") from None
            for number, name in zip(call.outputs, found if isinstance(found, list) else [found], strict=True):
                if name is not None:
                    self.names[number] = name
        self.path = ""

    def outputs(self, output_names: Sequence[str]) -> None:
        """The results under the names that they are to have."""
        for x, name in zip(self.graph.outputs, output_names, strict=True):
            self.nodes.append(self.onnx.helper.make_node("Identity", [self.of(x)], [name], name=f"output_{name}"))


def _opened(dynamic_axes: Mapping | None, input_names: Sequence[str], output_names: Sequence[str]) -> tuple[dict, dict]:
    """{size: [(input, axis)]} from PyTorch's form, and the names that the outputs' axes are to have."""
    found: dict[str, list[tuple[int, int]]] = {}
    named: dict[str, dict[int, str]] = {}
    for name, axes in (dynamic_axes or {}).items():
        if name not in input_names and name not in output_names:
            raise ValueError(
                f"export: dynamic_axes names {name!r}; the inputs are {', '.join(input_names)}, the outputs "
                f"{', '.join(output_names)}"
            )
        if not isinstance(axes, Mapping):
            axes = {axis: f"{name}_dynamic_axes_{k + 1}" for k, axis in enumerate(axes)}
        for axis, symbol in axes.items():
            if name in input_names:
                found.setdefault(str(symbol), []).append((list(input_names).index(name), int(axis)))
            else:
                named.setdefault(name, {})[int(axis)] = str(symbol)
    return found, named


def to_onnx(
    model: Module,
    args: Any,
    *,
    kwargs: dict | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Mapping | None = None,
    opset_version: int = 17,
    export_params: bool = True,
    doc: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Any:
    """The ONNX ModelProto of `model(*args)` in eval mode; the arguments are those of `minidl.onnx.export`."""
    onnx = load_onnx()
    if not isinstance(model, Module):
        raise TypeError(f"export: model must be a Module, got {type(model).__name__}")
    if isinstance(opset_version, bool) or not isinstance(opset_version, int) or not _LEAST <= opset_version <= _MOST:
        raise ValueError(f"export: opset_version must be {_LEAST} to {_MOST}, got {opset_version!r}")
    args = args if isinstance(args, tuple) else (args,)
    flat = tensors((args, kwargs or {}))
    count = len(flat)
    if not count:
        raise TypeError(f"export: args must hold the model's inputs as Tensors, got {args!r:.80}")
    ins = list(input_names or [])
    ins += [f"input_{k}" if count > 1 else "input" for k in range(len(ins), count)]
    if len(ins) != count or len(set(ins)) != count:
        raise ValueError(f"export: {count} inputs need as many different input_names, got {input_names!r}")
    found, named = _opened(dynamic_axes, ins, list(output_names or []) or ["output"])
    for places in found.values():
        for i, axis in places:
            shape = flat[i].shape
            if not 0 <= axis < len(shape):
                raise ValueError(f"export: dynamic_axes: input {ins[i]!r} has shape {tuple(shape)}, no axis {axis}")
    graph = trace(model, args, known, found, kwargs)
    outs = list(output_names or [])
    n = len(graph.outputs)
    outs += [f"output_{k}" if n > 1 else "output" for k in range(len(outs), n)]
    if len(outs) != n or len(set(outs) | set(ins)) != n + count:
        raise ValueError(f"export: {n} outputs need as many different output_names, got {output_names!r}")
    b = Builder(graph, ins, opset_version, onnx)
    b.write()
    b.outputs(outs)
    return _model(b, onnx, ins, outs, named, export_params, doc, metadata)


def _sizes(shape: Sequence, names: Mapping[int, str]) -> list:
    """A shape as ONNX notes it."""
    return [
        names.get(k, n.text()) if isinstance(n, Dim) else n if isinstance(n, int) else None for k, n in enumerate(shape)
    ]


def _model(
    b: Builder, onnx: Any, ins: list[str], outs: list[str], named: dict, export_params: bool, doc: str,
    metadata: Mapping[str, str] | None,
) -> Any:  # fmt: skip
    value, graph = onnx.helper.make_tensor_value_info, b.graph
    inputs = [
        value(name, b.kind(graph.dtypes[k]), _sizes(graph.shapes[k], {}))
        for name, k in zip(ins, graph.inputs, strict=True)
    ]
    outputs = [
        value(name, b.kind(b.dtype(x) or np.dtype(np.float32)), _sizes(b.shape(x), named.get(name, {})))
        for name, x in zip(outs, graph.outputs, strict=True)
    ]
    stored = {name: a for name, a in b.initialisers.items() if export_params or name not in b.parameters}
    if not export_params:
        inputs += [value(name, b.kind(b.initialisers[name].dtype), b.initialisers[name].shape) for name in b.parameters]
    body = onnx.helper.make_graph(
        b.nodes, "minidl", inputs, outputs, doc_string=doc,
        initializer=[onnx.numpy_helper.from_array(a, name) for name, a in stored.items()],
    )  # fmt: skip
    made = onnx.helper.make_model(
        body, producer_name="minidl", opset_imports=[onnx.helper.make_opsetid("", b.opset)], ir_version=_IR,
        doc_string=doc,
    )  # fmt: skip
    if metadata:
        onnx.helper.set_model_props(made, dict(metadata))
    onnx.checker.check_model(made, full_check=True)
    return made


_USUAL = {
    "dynamic_shapes": (None,), "custom_translation_table": (None,), "report": (False,), "verify": (False,),
    "profile": (False,), "dump_exported_program": (False,), "keep_initializers_as_inputs": (False, None),
    "training": (0, None), "operator_export_type": (0, None), "do_constant_folding": (True,), "custom_opsets": (None,),
    "export_modules_as_functions": (False,),
}  # fmt: skip


def export(
    model: Module,
    args: Any = (),
    f: str | os.PathLike | io.IOBase | None = None,
    *,
    kwargs: dict | None = None,
    verbose: bool | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamo: bool = True,
    external_data: bool = True,
    optimize: bool = True,
    autograd_inlining: bool = True,
    export_params: bool = True,
    dynamic_axes: Mapping | None = None,
    **others: Any,
) -> None:
    """Write `model`, in eval mode, as an ONNX file; the arguments are those of PyTorch's `torch.onnx.export`.

    args, kwargs: the inputs, Tensors or tuples of them as `model(*args, **kwargs)` takes them. Their sizes are those
    of the file, but for the axes in dynamic_axes: `{"input": {0: "batch"}}`, or `{"input": [0]}`. f: a path, or a file
    open for writing bytes. export_params=False: the parameters become inputs. opset_version: 17 (the default) to 22.
    verbose: print the graph. The weights always lie in the file, and there is one way of exporting: dynamo,
    external_data, optimize and autograd_inlining, which choose between PyTorch's, make no difference. PyTorch's other
    options raise NotImplementedError unless they have their defaults.

    The forward is run on the inputs and the ops that run are written, whatever Python stands around them; so one that
    looks at values (`item()`, `if x.sum() > 0`) is refused, since the file would always go the way that was seen.

    Raises:
        ImportError: the package onnx is not installed (`pip install 'minidl[onnx]'`).
        TraceError: the model reads values, or does what ONNX cannot say.
        ValueError: names or axes do not fit the model.
    """
    for name, given in others.items():
        if name not in _USUAL:
            raise TypeError(f"export: there is no option {name!r}")
        if not any(given is u or given == u for u in _USUAL[name]):
            raise NotImplementedError(f"export: {name}={given!r} is not supported")
    if f is None:
        raise NotImplementedError("export: f=None is not supported; give a path, or a file open for writing bytes")
    made = to_onnx(
        model, args, kwargs=kwargs, input_names=input_names, output_names=output_names, dynamic_axes=dynamic_axes,
        opset_version=_LEAST if opset_version is None else opset_version, export_params=export_params,
    )  # fmt: skip
    if verbose:
        print(load_onnx().printer.to_text(made.graph))
    raw = made.SerializeToString()
    if isinstance(f, (str, os.PathLike)):
        write_file(f, raw)
    else:
        f.write(raw)
