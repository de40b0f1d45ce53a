"""CuPy's element-wise and reduction kernels: arguments checked as CuPy does, the bodies run on the host through g++.

The threads of a launch come in no order: here the elements come last to first, and a reduction goes over several
partial results. An index out of bounds is an error here, and memory of something else on a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .arrays import bare, ndarray, supported
from .counts import Undefined, launch

COMPILER = shutil.which("g++")
OPTIONS = "-O1 -std=c++17 -shared -fPIC -ffp-contract=off -w -nostdlib".split()
LIBRARIES = ["-lm", "-lgcc", "-lc"]  # without the others, which no body needs, a third of a compilation's time is saved
DEVICE = Path(__file__).with_name("device.h").read_text()
C_TYPES = {
    **{"bool": "bool", "float16": "float16", "float32": "float", "float64": "double"},
    **{"int8": "signed char", "int16": "short", "int32": "int", "int64": "long long"},
    **{"uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned", "uint64": "unsigned long long"},
}
LANES = 4  # partial results of a reduction, which the last step makes one


class NoCompiler(RuntimeError):
    """There is no g++ on this machine to run the bodies of kernels with."""


# --- the compiler


@functools.cache
def _folder() -> Path:
    """This user's folder of compiled kernels; another's would be another's code."""
    folder = Path(tempfile.gettempdir()) / f"minidl-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to somebody else")
    return folder


@functools.cache
def build(name: str, source: str):
    """The function `run` of a C++ source; compiled once, for all processes that share the folder."""
    if COMPILER is None:
        raise NoCompiler(f"{name}: g++ runs the bodies of kernels on the host, and is not installed")
    source = DEVICE + source
    library = _folder() / (hashlib.sha256((" ".join(OPTIONS + LIBRARIES) + source).encode()).hexdigest()[:32] + ".so")
    if not library.exists():
        handle, fresh = tempfile.mkstemp(dir=_folder())  # several processes may compile the same at once
        os.close(handle)
        command = [COMPILER, *OPTIONS, "-x", "c++", "-", *LIBRARIES, "-o", fresh]
        done = subprocess.run(command, input=source, text=True, capture_output=True)
        if done.returncode:
            os.unlink(fresh)
            raise RuntimeError(
                f"{name}: the compiler refuses the kernel:\n{done.stderr[:3000]}\n{source[len(DEVICE) :]}"
            )
        os.replace(fresh, library)
    return ctypes.CDLL(str(library)).run


class _Memory(ctypes.Structure):
    """`Memory` of device.h."""

    _fields_ = [("data", ctypes.c_void_p), *[(n, ctypes.c_ssize_t) for n in ("size", "dense", "ndim")]]
    _fields_ += [(n, ctypes.c_ssize_t * 16) for n in ("shape", "strides")]


def _memories(arrays: list[np.ndarray]):
    out = (_Memory * len(arrays))()
    for memory, a in zip(out, arrays, strict=True):
        memory.data, memory.size, memory.ndim = a.__array_interface__["data"][0], a.size, a.ndim
        memory.dense = a.flags.c_contiguous
        memory.shape[: a.ndim], memory.strides[: a.ndim] = a.shape, a.strides
    return out


def _run(name: str, source: str, sizes: tuple[int, ...], arrays: list[np.ndarray], names: list[str]) -> None:
    """Run a compiled kernel, which says whether it read or wrote where nothing of the array is."""

    def run() -> None:
        outside = (ctypes.c_ssize_t * 2)()
        build(name, source)(*map(ctypes.c_ssize_t, sizes), _memories(arrays), outside)
        if outside[0]:
            what, size = names[outside[0] - 1], arrays[outside[0] - 1].size
            raise Undefined(f"{name}: {what}[{outside[1]}] is outside of an array of {size} elements")

    launch(name, run)


# --- parameters


class Parameter(NamedTuple):
    """One of `"T x, raw int32 index"`: a letter stands for a type that the arguments decide."""

    name: str
    letter: str | None
    dtype: np.dtype | None
    raw: bool

    @property
    def c_type(self) -> str:
        return self.letter or C_TYPES[self.dtype.name]


def parse(text: str) -> list[Parameter]:
    parameters = []
    for part in text.strip().split(",") if text else []:
        words = part.split()
        if len(words) < 2 or any(word != "raw" for word in words[:-2]):
            raise ValueError(f"Syntax error: {part!r}")
        kind, name = words[-2:]
        letter = kind if len(kind) == 1 else None
        parameters.append(Parameter(name, letter, None if letter else supported(kind), "raw" in words[:-2]))
    return parameters


def _decide(name: str, parameters: list[Parameter], arguments: list) -> dict[str, np.dtype]:
    """The type of each letter. Scalars decide nothing; arrays must have the very type, since none is converted."""
    types: dict[str, np.dtype] = {}
    for p, x in zip(parameters, arguments, strict=False):
        if type(x) is ndarray:
            expected = p.dtype if p.letter is None else types.setdefault(p.letter, x.dtype)
            if x.dtype != expected:
                raise TypeError(f"Type is mismatched. {name}: {p.name} {x.dtype} {expected} {p.letter or ''}")
    for p in parameters:
        if p.letter is not None and p.letter not in types:
            raise TypeError(f"{name}: no array says what the type {p.letter} of {p.name} is")
    return types


def _scalar(name: str, p: Parameter, value, dtype: np.dtype) -> np.ndarray:
    """A scalar argument as it goes to the device, by value."""
    if dtype.kind in "iu" and isinstance(value, (float, np.floating)):
        raise TypeError(f"{name}: {p.name} is of type {dtype}, got {value!r}")
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(dtype) if dtype.kind not in "iu" else np.array(int(value), dtype)


class _Kernel:
    """What the two kinds of kernels have in common."""

    def _declare(self, name: str, ins: str, outs: str) -> None:
        if not re.fullmatch(r"[a-zA-Z_]\w*", name):
            raise ValueError(f'Invalid kernel name: "{name}"')
        self.name = self.__name__ = name
        self.in_params, self.out_params = parse(ins), parse(outs)
        self.nin, self.nout = len(self.in_params), len(self.out_params)
        self.nargs = self.nin + self.nout
        self.params = self.in_params + self.out_params
        for p in self.params:
            if p.name == "i":
                raise ValueError("Can not use 'i' as a parameter name")

    def _split(self, args: tuple) -> tuple[list, list]:
        """Inputs and given outputs: device arrays and, as inputs, scalars."""
        if len(args) not in (self.nin, self.nargs):
            raise TypeError(
                f"Wrong number of arguments for {self.name!r}. It must be either {self.nin} or {self.nargs} "
                f"(with outputs), but given {len(args)}."
            )
        for p, x in zip(self.params, args, strict=False):
            bare(x)  # refuses host arrays, lists, None, and arrays of another device
            if p.raw and type(x) is not ndarray:
                raise TypeError(f"{self.name}: {p.name} is raw, which a scalar cannot be; got {x!r}")
        for x in args[self.nin :]:
            if type(x) is not ndarray:
                raise TypeError(f"{self.name}: Output arguments type must be cupy.ndarray")
        return list(args[: self.nin]), list(args[self.nin :])

    def _shape(self, arguments: list, size: int | None) -> tuple[int, ...]:
        """The common shape of all arrays that are not raw, or the given size."""
        whole = [x._a for p, x in zip(self.params, arguments, strict=False) if not p.raw and type(x) is ndarray]
        if size is not None:
            if whole:
                raise ValueError("Specified 'size' can be used only if all of the ndarray are 'raw'.")
            return (int(size),)
        if not whole:
            raise ValueError("Loop size is undecided.")
        return np.broadcast_shapes(*[a.shape for a in whole])

    def _outputs(self, given: list, types: dict, shape: tuple[int, ...], sized: bool) -> list[ndarray]:
        for p, x in zip(self.out_params, given, strict=False):
            if not p.raw and x.shape != shape:
                raise ValueError(f"{self.name}: Out shape is mismatched: {p.name} is {x.shape}, expected {shape}")
        if given:
            return given
        if any(p.raw for p in self.out_params) and not sized:
            raise ValueError(f"{self.name}: Output array size is Undecided")
        return [ndarray(shape, types[p.letter] if p.letter else p.dtype) for p in self.out_params]

    def _inputs(self, given: list, types: dict) -> list[np.ndarray]:
        pairs = zip(self.in_params, given, strict=True)
        return [
            x._a if type(x) is ndarray else _scalar(self.name, p, x, types[p.letter] if p.letter else p.dtype)
            for p, x in pairs
        ]

    def _source(self, types: dict, preamble: str) -> str:
        return (
            "".join(f"typedef {C_TYPES[t.name]} {letter};\n" for letter, t in sorted(types.items())) + preamble + "\n"
        )

    def _arguments(self, scalars: set[str]) -> str:
        """The declarations of all arrays and scalars; an input cannot be written to."""
        lines = []
        for k, p in enumerate(self.params):
            const = "const " if k < self.nin else ""
            if p.name in scalars:
                lines.append(f"const {p.c_type} {p.name} = *({p.c_type}*)_memory[{k}].data;")
            else:
                lines.append(f"{const}CArray<{p.c_type}> {p.name if p.raw else f'_raw_{p.name}'}(_memory, {k});")
        return "\n".join(lines)

    def _elements(self, parameters: list[Parameter], index: str, scalars: set[str]) -> str:
        """What the names of a body stand for: the element of each array that is not raw."""
        const = "const " if parameters is self.in_params else ""
        named = [p for p in parameters if not p.raw and p.name not in scalars]
        return "".join(f"{const}{p.c_type} &{p.name} = _raw_{p.name}[{index}];\n" for p in named)

    def _scalars(self, given: list) -> set[str]:
        """The names of the inputs that are no arrays."""
        return {p.name for p, x in zip(self.in_params, given, strict=True) if type(x) is not ndarray}


class ElementwiseKernel(_Kernel):
    """`cupy.ElementwiseKernel`."""

    def __init__(
        self, in_params, out_params, operation, name="kernel", reduce_dims=True, preamble="",
        no_return=False, return_tuple=False, *, loop_prep="", after_loop="", options=(),
    ):  # fmt: skip
        self._declare(name, in_params, out_params)
        self.operation, self.preamble = operation, preamble
        self.no_return, self.return_tuple = no_return, return_tuple
        self._loop = loop_prep, after_loop

    def __call__(self, *args, size=None, stream=None, block_size=128, **wrong):
        if wrong:
            raise TypeError(f"Wrong arguments {wrong}")
        ins, outs = self._split(args)
        shape = self._shape(ins + outs, size)
        types = _decide(self.name, self.out_params + self.in_params, (outs or [None] * self.nout) + ins)
        outs = self._outputs(outs, types, shape, size is not None)
        count = int(np.prod(shape, dtype=np.int64))
        if count:
            arrays = self._inputs(ins, types) + [x._a for x in outs]
            scalars = self._scalars(ins)
            for k, p in enumerate(self.params):
                if not p.raw and p.name not in scalars:
                    arrays[k] = np.broadcast_to(arrays[k], shape)
            _run(self.name, self.source(types, scalars), (count,), arrays, [p.name for p in self.params])
        if self.no_return:
            return None
        return outs[0] if self.nout == 1 and not self.return_tuple else tuple(outs)

    def source(self, types: dict, scalars: set[str]) -> str:
        """The kernel as a C++ function for the host."""
        before, after = self._loop
        return f"""{self._source(types, self.preamble)}
extern "C" void run(ptrdiff_t _n, const Memory* _memory, ptrdiff_t* _outside) {{
outside[0] = 0;
const CIndexer _ind{{_n}};
{self._arguments(scalars)}
{before};
for (ptrdiff_t i = _n; i-- > 0;) {{
{self._elements(self.in_params, "i", scalars)}{self._elements(self.out_params, "i", scalars)}{self.operation};
}}
{after};
_outside[0] = outside[0], _outside[1] = outside[1];
}}"""


class ReductionKernel(_Kernel):
    """`cupy.ReductionKernel`. Of several outputs CuPy returns the first; the others must be given."""

    def __init__(
        self, in_params, out_params, map_expr, reduce_expr, post_map_expr, identity, name="reduce_kernel",
        reduce_type=None, reduce_dims=True, preamble="", options=(),
    ):  # fmt: skip
        self._declare(name, in_params, out_params)
        self.map_expr, self.reduce_expr, self.post_map_expr = map_expr, reduce_expr, post_map_expr
        self.identity = "" if identity is None else str(identity)
        self.reduce_type = reduce_type or self.out_params[0].c_type
        self.preamble = preamble

    def __call__(self, *args, out=None, axis=None, keepdims=False, stream=None, **wrong):
        if wrong:
            raise TypeError(f"Wrong arguments {wrong}")
        if out is not None:
            if self.nout != 1:
                raise NotImplementedError(f"{self.name}: out= with {self.nout} outputs")
            if len(args) != self.nin:
                raise ValueError("cannot specify 'out' as both a positional and keyword argument")
            args = (*args, out)
        ins, outs = self._split(args)
        shape = self._shape(ins, None)
        types = _decide(self.name, self.out_params + self.in_params, (outs or [None] * self.nout) + ins)
        axes, kept = self._axes(axis, len(shape))
        out_shape = tuple([1 if k in axes else n for k, n in enumerate(shape) if keepdims or k not in axes])
        outs = self._outputs(outs, types, out_shape, False)
        if not outs[0].size:
            return outs[0]
        if not self.identity and 0 in shape:
            raise ValueError(f"zero-size array to reduction operation {self.name} which has no identity")
        order = axes + kept
        if order != tuple(range(len(shape))) and any(p.raw for p in self.in_params):
            raise NotImplementedError(f"{self.name}: raw inputs and axes {axes} that are not the first ones")
        arrays = self._inputs(ins, types)
        scalars = self._scalars(ins)
        for k, p in enumerate(self.in_params):
            if not p.raw and p.name not in scalars:
                arrays[k] = np.broadcast_to(arrays[k], shape).transpose(order)
        arrays += [x._a for x in outs]
        sizes = int(np.prod(shape, dtype=np.int64)), outs[0].size
        _run(self.name, self.source(types, scalars), sizes, arrays, [p.name for p in self.params])
        return outs[0]

    def _axes(self, axis, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        axes = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
        if any(not -ndim <= k < ndim for k in axes):
            raise np.exceptions.AxisError(f"{self.name}: axis {axis} is out of bounds for {ndim} dimensions")
        reduced = tuple(sorted(k % ndim for k in axes))
        kept = tuple([k for k in range(ndim) if k not in reduced])
        if len(reduced) + len(kept) != ndim:
            raise ValueError("duplicate value in 'axis'")
        return reduced, kept

    def source(self, types: dict, scalars: set[str]) -> str:
        """The kernel as a C++ function for the host."""
        return f"""{self._source(types, self.preamble)}
#define REDUCE(a, b) ({self.reduce_expr})
#define POST_MAP(a) ({self.post_map_expr})
typedef {self.reduce_type} _type_reduce;
extern "C" void run(ptrdiff_t _in, ptrdiff_t _out, const Memory* _memory, ptrdiff_t* _outside) {{
outside[0] = 0;
const CIndexer _in_ind{{_in}}, _out_ind{{_out}};
{self._arguments(scalars)}
for (ptrdiff_t _i = _out; _i-- > 0;) {{
_type_reduce _parts[{LANES}];
for (int _lane = 0; _lane < {LANES}; _lane++) {{
_type_reduce _s = _type_reduce({self.identity});
for (ptrdiff_t _j = _i + _lane * _out; _j < _in; _j += {LANES} * _out) {{
{self._elements(self.in_params, "_j", scalars)}_type_reduce _a = static_cast<_type_reduce>({self.map_expr});
_s = REDUCE(_s, _a);
}}
_parts[_lane] = _s;
}}
for (int _block = {LANES} / 2; _block; _block /= 2)
for (int _lane = 0; _lane < _block; _lane++) {{
_type_reduce _a = _parts[_lane], _b = _parts[_lane + _block];
_parts[_lane] = REDUCE(_a, _b);
}}
_type_reduce _s = _parts[0];
{self._elements(self.out_params, "_i", scalars)}POST_MAP(_s);
}}
_outside[0] = outside[0], _outside[1] = outside[1];
}}"""


class RawKernel:
    """`cupy.RawKernel`: it can be made here, and refuses to run."""

    def __init__(
        self, code, name, options=(), backend="nvrtc", translate_cucomplex=False, *,
        enable_cooperative_groups=False, jitify=None,
    ):  # fmt: skip
        self.name, self.code = name, code

    def __call__(self, *args, **kwargs):
        raise NotImplementedError(f"RawKernel {self.name!r}: the stand-in does not run CUDA source")
