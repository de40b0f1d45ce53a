"""A model as one Python file that needs NumPy and nothing else: readable code, with the weights inside."""

from __future__ import annotations

import base64
import re
import textwrap
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..nn import Module
from ..nn import functional as F
from ..tensor import wrap
from . import numpy_functions
from .numpy_ops import TABLE, known, literal, type_name
from .sizes import Banded, Counted, Dim, Filled, Graph, Prefix, Unclear, refs, trace, used
from .trace import Ref, TraceError, run, tensors

_LOADING = '''
def load():
    """The weights at the end of this file, by name."""
    raw, found, start = base64.b85decode("".join(DATA.split())), {}, 0
    if zlib.crc32(raw) != CHECKSUM:
        raise ValueError("the weights in this file are damaged")
    for name, dtype, shape in LAYOUT:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        found[name] = np.frombuffer(raw[start : start + size], dtype).reshape(shape)
        start += size
    return found
'''
_CLASSIFIER = '''
def prepare(images):
    """Pixels as the model wants them: (N, {channels}, {height}, {width}), normalised.

    images: (N, {height}, {width}{last}), or one without N; whole numbers are 0 to 255, floating-point ones 0 to 1.
    """
    x = np.asarray(images)
    x = x / np.float32(255) if x.dtype.kind in "iu" else x
    x = x.astype(np.float32).reshape(-1, {height}, {width}, {channels}).transpose(0, 3, 1, 2)
    return (x - np.reshape(MEAN, (-1, 1, 1))) / np.reshape(STD, (-1, 1, 1))


def predict(images):
    """The probability of every class for each image; for what `images` may be see `prepare`."""
    scores = forward(prepare(images))
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def read(path):
    """The images in a .npy file, or in a CSV file with pixels 0 to 255 (an image, or a row for each)."""
    if path.endswith(".npy"):
        return np.load(path, allow_pickle=False)
    return np.loadtxt(path, delimiter=",", ndmin=2).reshape(-1, {height}, {width}, {channels}) / 255
'''
_CHECK = '''
def check():
    """The largest difference from what the trained model said of the example in this file."""
    found = {call}
    return max(float(np.abs(a - W[f"example output {{k}}"]).max()) for k, a in enumerate(found))
'''
_MAIN = '''
def main(arguments):
    """Say what the files show, or check this file; the exit code."""
    if arguments == ["--check"]:
        difference = check()
        print(f"largest difference from the example: {difference:.1e}")
        return 0 if difference <= 1e-4 else 1
    if not arguments or arguments[0].startswith("-"):
        print("usage: python predict.py IMAGE.npy|IMAGES.csv ... or --check")
        return 2
    for path in arguments:
        for row in predict(read(path)):
            best = np.argsort(-row)[:3]
            print(path, ", ".join(f"{CLASSES[i]} {row[i]:.1%}" for i in best))
    return 0
'''


class _Writer:
    """Collects the lines of `forward`; the entries of the table call it."""

    def __init__(self, graph: Graph, input_names: Sequence[str]) -> None:
        self.graph, self.shapes, self.dtypes = graph, graph.shapes, graph.dtypes
        self.names: dict[int, str] = dict(zip(graph.inputs, input_names, strict=True))
        self.weights: dict[str, np.ndarray] = {}
        self.helpers: set[str] = set()
        self.lines: list[str] = []
        self._constants: dict[int, str] = {}

    def use(self, helper: str) -> None:
        """Carry this function along."""
        self.helpers.add(helper)

    def of(self, x: Any) -> str:
        """An input as an expression."""
        if isinstance(x, Ref):
            return self.names[x.number]
        if isinstance(x, Filled) and (x.array == x.array.flat[0]).all():
            value = literal(self, x.array.flat[0])
            return f"np.full({literal(self, x.shape)}, {value}, np.{type_name(x.array.dtype)})"
        if isinstance(x, Filled):
            return f"np.broadcast_to({self.of(x.array)}, {literal(self, x.shape)})"
        if isinstance(x, Counted):
            numbers = f"({x.start!r} + {x.step!r} * np.arange({literal(self, x.size)})).astype(np.{x.dtype.name})"
            return numbers + f".reshape({literal(self, x.shape)})" * (len(x.shape) > 1)
        if isinstance(x, Prefix):
            return f"{self.of(x.array)}[{', '.join(f':{literal(self, n)}' for n in x.shape)}]"
        if isinstance(x, Banded):
            rows, columns = (literal(self, n) for n in x.shape[-2:])
            above, below = (f"np.{type_name(x.dtype)}({literal(self, v)})" for v in (x.above, x.below))
            text = f"np.where(np.arange({columns}) - np.arange({rows})[:, None] > {x.offset}, {above}, {below})"
            return f"np.broadcast_to({text}, {literal(self, x.shape)})" if len(x.shape) > 2 else text
        if isinstance(x, np.ndarray):
            name = self.graph.names.get(id(x))
            if name is None:
                if x.ndim == 0:
                    return f"np.{x.dtype.name}({literal(self, x.item())})" if x.dtype != bool else repr(bool(x))
                name = self._constants.setdefault(id(x), f"constant {len(self._constants)}")
            self.weights[name] = x
            return f'W["{name}"]'
        if isinstance(x, Unclear):
            raise TraceError("a number or an array depends on an open size, or on values, in a way that is no formula")
        text = literal(self, x)
        return f"({text})" if text.startswith("-") or isinstance(x, Dim) else text

    def write(self) -> None:
        """All ops in their order, a comment where another module begins."""
        taken, before = set(refs(self.graph.outputs)).union(*map(used, self.graph.calls)), None
        for count, call in enumerate(self.graph.calls, 1):
            try:
                text = TABLE[call.op].write(self, call, *[self.of(x) for x in call.inputs])
            except TraceError as error:
                raise TraceError(f"'{call.path or 'the model'}': {error}") from None
            for k, number in enumerate(call.outputs):
                self.names[number] = (f"h{count}" + (f"_{k}" if k else "")) if number in taken else "_"
            comment = f"  # {call.path}" if call.path and call.path != before else ""
            before = call.path
            self.lines.append(f"{', '.join(self.names[n] for n in call.outputs)} = {text}{comment}")


def _embedded(weights: Mapping[str, np.ndarray]) -> str:
    """Arrays as the source that `load` reads."""
    arrays = {name: np.asarray(a, dtype=a.dtype.newbyteorder("<"), order="C") for name, a in weights.items()}
    raw = b"".join(a.tobytes() for a in arrays.values())
    layout = "".join(f'    ("{name}", "{a.dtype.str}", {a.shape!r}),\n' for name, a in arrays.items())
    text = base64.b85encode(raw).decode()
    data = "\n".join(text[i : i + 120] for i in range(0, len(text), 120))
    return f'LAYOUT = [\n{layout}]\nCHECKSUM = {zlib.crc32(raw)}\nDATA = """\n{data}\n"""\nW = load()\n'


def to_numpy(
    model: Module,
    args: Any,
    *,
    title: str = "",
    classes: Sequence[str] | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    example: np.ndarray | None = None,
    fixed: bool = False,
) -> str:
    """The source of a Python file whose `forward` gives what `model(*args)` gives in eval mode, for any batch size.

    args: the model's inputs; the script's `forward` takes the Tensors among them (`x`, or `x0`, `x1` ...), and what
    else they are (numbers, None, strings) is fixed in it. classes: for a classifier of images (C, H, W); then the file
    also has `predict`, which normalises the pixels by mean and std and gives probabilities, and can be run as a
    program. example: what `check` is to try, for a classifier images as `predict` takes them; default: `args`. fixed:
    the size of the first axis does not stay open.

    Raises:
        TraceError: the model reads values, or a size on the way is no formula of the batch size.
    """
    args = args if isinstance(args, tuple) else (args,)
    flat = tensors(args)
    names = ["x"] if len(flat) == 1 else [f"x{k}" for k in range(len(flat))]
    batched = [(k, 0) for k, t in enumerate(flat) if t.ndim]
    graph = trace(model, args, known, {} if fixed or not batched else {"n": batched})
    w = _Writer(graph, names)
    w.write()
    results = [w.of(x) for x in graph.outputs]
    for symbol, (i, axis) in reversed(graph.open.items()):
        if any(re.search(rf"\b{symbol}\b", line) for line in [*w.lines, *results]):
            w.lines.insert(0, f"{symbol} = {w.names[graph.inputs[i]]}.shape[{axis}]")
    held = dict(w.weights)
    if classes is None:
        held |= {f"example {k}": np.array(t.array) for k, t in enumerate(flat)}
        outputs = [t.array for t in run(model, args)]
        given = ", ".join(f'W["example {k}"]' for k in range(len(flat)))
        called = f"[forward({given})]" if len(results) == 1 else f"forward({given})"
    else:
        if example is None:
            raise ValueError("to_numpy: a classifier needs an example: some images as arrays of pixels")
        held["example"] = np.asarray(example)
        pixels = prepared(held["example"], tuple(flat[0].shape[1:]), mean, std)
        outputs = [F.softmax(run(model, (wrap(pixels),))[0], dim=1).array]
        called = '[predict(W["example"])]'
    held |= {f"example output {k}": a for k, a in enumerate(outputs)}
    parts = [
        f'"""{title or type(model).__name__}, written by minidl: needs Python and NumPy, nothing else."""\n',
        "import base64\nimport math\nimport sys\nimport zlib\n\nimport numpy as np\n",
    ]
    if classes is not None:
        listed = textwrap.fill(", ".join(map(repr, classes)), 110, initial_indent="    ", subsequent_indent="    ")
        numbers = [f"np.array({list(v)!r}, np.float32)" for v in (mean, std)]
        parts.append(f"CLASSES = [\n{listed},\n]\nMEAN, STD = {', '.join(numbers)}\n")
    parts.append(_LOADING)
    if w.helpers:
        parts.append("\n" + numpy_functions.source(w.helpers))
    what = "The scores of a batch" if classes is not None else "What the model gives"
    lines = textwrap.indent("\n".join([*w.lines, f"return {', '.join(results)}"]), "    ")
    parts.append(f'\ndef forward({", ".join(names)}):\n    """{what}."""\n{lines}\n')
    if classes is not None:
        channels, height, width = flat[0].shape[1:]
        last = "" if channels == 1 else f", {channels}"
        parts.append(_CLASSIFIER.format(channels=channels, height=height, width=width, last=last))
    parts.append(_CHECK.format(call=called).replace("{{", "{").replace("}}", "}"))
    if classes is not None:
        parts.append(_MAIN)
    parts.append(
        "\n# --------------------------------------------------------------------- the weights\n" + _embedded(held)
    )
    if classes is not None:
        parts.append('\nif __name__ == "__main__":\n    sys.exit(main(sys.argv[1:]))\n')
    return "\n".join(parts)


def prepared(images: np.ndarray, shape: tuple, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """What `prepare` in the script gives."""
    channels, height, width = shape
    x = images / np.float32(255) if images.dtype.kind in "iu" else images
    x = x.astype(np.float32).reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    m, s = (np.reshape(np.array(v, np.float32), (-1, 1, 1)) for v in (mean, std))
    return np.ascontiguousarray((x - m) / s)
