"""A rule that is written for arrays, run on stand-ins for them, becomes one kernel for a GPU.

A `Recording` hands out a stand-in for each array of an update. Every operator and every name of `backend_of(x)` that is
used on one is noted as a line of C++ for one element. Python numbers stay Python numbers, so that whatever is computed
from them alone, and every `if` about them, happens on the host in double precision. Where a number meets an array it
becomes the next entry of the array `h` that the kernel reads: the text does not depend on it. So the rule is run anew
for every step, which takes some microseconds; as long as it does the same things the text, and with it the kernel, is
the one that is there, and only the numbers are new. What is nothing for a single element (a sum, an index, a shape, an
`if` about the values of an array) raises NotRecorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import cupy
import numpy as np

from .. import Backend
from .launch import Declared, kernel

LINE = 256  # bytes at whose multiples a parameter begins in a buffer, as does all memory that the pool hands out
RECORDED: dict[str, Declared] = {}  # all kernels made here, as launch.KERNELS has the others

_C = {"bool": "bool", "float16": "float", "float32": "float", "float64": "double"}  # half precision is for storing
_STORED = {**_C, "float16": "float16"}
_KINDS = {np.dtype(name): name for name in _C}
_NUMBERS, _VARIABLES = [f"h[{n}]" for n in range(1000)], [f"t{n}" for n in range(1000)]
_TAKEN = {"g", "p", "h", "i", "k", "do", "if", "or"}

PREAMBLE = """
template<typename X> __device__ X least(X a, X b) { return a != a || a < b ? a : b; }  // nan if one of them is
template<typename X> __device__ X greatest(X a, X b) { return a != a || a > b ? a : b; }
template<typename X> __device__ X sign(X a) { return a > 0 ? X(1) : a < 0 ? X(-1) : a; }
"""


class NotRecorded(TypeError):
    """Something was done to an array that cannot be done to one element alone."""


class Recorded:
    """Stands for an array while a rule is recorded: a variable of the kernel, of the type `kind`."""

    __slots__ = ("recording", "name", "kind")
    __array_ufunc__ = None  # NumPy's functions refuse it, NumPy's numbers leave operators to it

    def __init__(self, recording: Recording, name: str, kind: str) -> None:
        self.recording, self.name, self.kind = recording, name, kind

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.kind)

    def __getattr__(self, name: str) -> NoReturn:
        raise NotRecorded(f"it uses .{name} of an array")

    def __bool__(self) -> bool:
        raise NotRecorded("values of an array decide what it does; use B.where")

    def _refuse(self, *args) -> NoReturn:
        raise NotRecorded("it takes numbers out of an array")

    __float__ = __int__ = __index__ = __complex__ = __iter__ = __len__ = _refuse

    def __getitem__(self, index) -> Recorded:
        if index is Ellipsis or index == slice(None):
            return self
        raise NotRecorded(f"it uses a part of an array, [{index!r}]")

    def __setitem__(self, index, value) -> None:
        self[index]  # refuses parts
        if value is not self:  # as it is after `x[...] += y`
            self.recording.assign(self, "=", value)


class Recording:
    """The lines of a rule and the numbers in them."""

    __slots__ = ("lines", "numbers", "variables")

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []  # "new" or an assignment, variable, form, type to compute in, arguments
        self.numbers: list[Any] = []
        self.variables = 0

    def array(self, name: str, dtype) -> Recorded:
        """What stands for an array of the update."""
        kind = _KINDS.get(dtype)
        if kind is None or kind == "bool":
            raise NotRecorded(f"its array {name!r} is of {dtype}")
        return Recorded(self, name, kind)

    def arguments(self, given: tuple) -> tuple[str | None, list[str]]:
        """The type that these are computed with each other in (of numbers alone None), and what they are called."""
        kind, names, plain = "", [], False
        for x in given:
            if x.__class__ is Recorded:
                kind = kind if kind is x.kind else max(kind, x.kind)  # in the order of the alphabet, as it happens
                names.append(x.name)
            elif isinstance(x, (float, int, np.floating, np.integer)):
                plain = True
                names.append(_NUMBERS[len(self.numbers)])
                self.numbers.append(float(x))
            else:
                raise NotRecorded(f"it computes with {_described(x)}")
        return ("float64" if kind == "bool" and plain else kind or None), names

    def line(self, form: str, given: tuple, result: str | None = None, out: Recorded | None = None) -> Recorded:
        """Compute `form` of the arguments, in their type unless a `result` is given; into `out`, or a new variable."""
        kind, names = self.arguments(given)
        kind = kind or "float64"
        if kind == "bool" and form not in _OF_BOOL:
            raise NotRecorded("it computes with comparisons as if they were numbers")
        if out is None:
            out = Recorded(self, _VARIABLES[self.variables], result or kind)
            self.variables += 1
            self.lines.append(("new", out.name, out.kind, form, kind, *names))
        else:
            self._check_target(out, result or kind)
            self.lines.append(("=", out.name, out.kind, form, kind, *names))
        return out

    def assign(self, target: Recorded, how: str, value) -> Recorded:
        """A line such as `target += value`."""
        kind, names = self.arguments((value,))
        kind = kind or target.kind
        self._check_target(target, kind)
        if kind == "bool" and how != "=":
            raise NotRecorded("it computes with comparisons as if they were numbers")
        self.lines.append((how, target.name, target.kind, "{}", kind, *names))
        return target

    def _check_target(self, target: Any, kind: str) -> None:
        if target.__class__ is not Recorded:
            raise NotRecorded(f"it writes to {_described(target)}")
        if target.name == "g":
            raise NotRecorded("it changes the gradient, which is the program's")
        if target.kind == "bool" != kind:
            raise NotRecorded("it writes numbers over a comparison")

    def program(self, name: str, dtype, states: dict[str, Any]) -> Program:
        """The kernel that does this; the one that is there already if only numbers have changed."""
        key = (name, dtype, *states.items(), *self.lines)
        found = _PROGRAMS.get(key)
        if found is None:
            found = _PROGRAMS[key] = Program(name, dtype, states, self.lines)
        return found


class Program:
    """A recording as an element-wise kernel.

    It changes the parameters and the arrays of their state, which are all laid out alike, each as one row. It reads
    `h`, the numbers; `address`, for each parameter where its gradient lies, less the parameter's own place in the row;
    `end`, where each parameter ends; and `owner`, which of the parameters has each LINE of memory. What lies between
    the end of a parameter and the next line is updated, too, as if its gradient were zero.
    """

    INPUTS = "raw float64 h, raw int64 address, raw int64 end, raw int32 owner"

    def __init__(self, name: str, dtype, states: dict[str, Any], lines: list[tuple[str, ...]]) -> None:
        main = _KINDS[np.dtype(dtype)]
        kinds = {"p": main, **{f"state {x}": _KINDS[np.dtype(kind)] for x, kind in states.items()}}
        spelled = {"p": "p", "g": "g"}
        for state in states:
            spelled[f"state {state}"] = _spelled(state, spelled.values())
        half = [spelled[x] for x, kind in kinds.items() if kind == "float16"]
        outs = [f"{kind} {spelled[x]}" + "_half" * (kind == "float16") for x, kind in kinds.items()]
        kinds["g"] = main
        c, stored, lane = _C[main], _STORED[main], LINE // np.dtype(dtype).itemsize
        body = [
            f"const int k = owner[i / {lane}];",
            f"const {c} g = i < end[k] ? {c}(reinterpret_cast<const {stored}*>(address[k])[i]) : 0;",
            *[f"float {x} = {x}_half;" for x in half],
            *[_text(line, spelled, kinds) for line in lines],
            *[f"{x}_half = {x};" for x in half],
        ]
        self.name, self.outputs, self.body = re.sub(r"\W", "_", name, flags=re.ASCII), ", ".join(outs), "\n".join(body)
        arguments = self.INPUTS, self.outputs, self.body
        RECORDED[f"{self.name}_{len(RECORDED)}"] = Declared("elementwise", (*arguments, PREAMBLE), ({},))
        self.launch = cupy.ElementwiseKernel(*arguments, self.name, preamble=PREAMBLE, no_return=True)


_PROGRAMS: dict[tuple, Program] = {}


def _spelled(name: str, taken) -> str:
    """The variable for an array of the state: its name, if that is short and free, else something like it."""
    if not re.fullmatch("[a-z]{1,2}", name) or name in _TAKEN:
        name = re.sub("[^a-zA-Z0-9]+", "_", name).strip("_") + "_"  # no word of C++ ends so
    while name in taken or not name[0].isalpha():
        name = "s" + name
    return name


def _text(line: tuple[str, ...], spelled: dict[str, str], kinds: dict[str, str]) -> str:
    """A line as C++. Numbers, and variables of another type, become of the type that is computed in."""
    how, target, kind, form, computed, *names = line
    arguments = []
    for name in names:
        own = "number" if name[:2] == "h[" else _C[kinds[name]]
        x = spelled.get(name, name)
        arguments.append(x if own == _C[computed] else f"{_C[computed]}({x})")
    value = form.format(*arguments, T=_C[computed])
    if how == "new":
        kinds[target] = kind
        return f"{_C[kind]} {target} = {value};"
    return f"{spelled.get(target, target)} {how} {value};"


def _described(x) -> str:
    kind = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
    return f"an array, {kind}" if hasattr(x, "shape") else f"a {kind}"


# ------------------------------------------------------------------------------------------ operators and functions
_AND, _OR, _XOR, _NOT = "{} && {}", "{} || {}", "{} != {}", "!{}"
_ARITHMETIC = dict(add="{} + {}", subtract="{} - {}", multiply="{} * {}", true_divide="{} / {}", power="pow({}, {})")
_COMPARISONS = dict(less="{} < {}", less_equal="{} <= {}", greater="{} > {}", greater_equal="{} >= {}")
_COMPARISONS |= dict(equal="{} == {}", not_equal="{} != {}")
_TWO = dict(maximum="greatest({}, {})", minimum="least({}, {})", fmax="fmax({}, {})", fmin="fmin({}, {})")
_TWO |= dict(copysign="copysign({}, {})", hypot="hypot({}, {})", arctan2="atan2({}, {})", **_ARITHMETIC)
_ONE = {x: x + "({})" for x in "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh".split()}
_ONE |= {x: x + "({})" for x in "floor ceil trunc rint sign".split()}
_ONE |= dict(absolute="fabs({})", negative="-{}", positive="{}", square="{0} * {0}", reciprocal="{T}(1) / {}")
_TESTS = dict(isnan="isnan({})", isinf="isinf({})", isfinite="isfinite({})", **_COMPARISONS)
_LOGICAL = dict(logical_and=_AND, logical_or=_OR, logical_xor=_XOR, logical_not=_NOT)
_SAME = dict(abs="absolute", fabs="absolute", divide="true_divide", pow="power", bitwise_and="logical_and")
_SAME |= dict(bitwise_or="logical_or", bitwise_xor="logical_xor", invert="logical_not")
_OF_BOOL = {*_LOGICAL.values(), *_COMPARISONS.values(), "{}"}
_POWERS = {2: "{0} * {0}", 0.5: "sqrt({})"}  # those which NumPy, too, does not take for powers


def _of(name: str, form: str, result: str | None = None) -> Callable:
    """NumPy's function of the name, for Recorded and numbers."""
    count = form.count("{}") or 1

    def call(*given, out=None, **more):
        if more or len(given) not in ((count, count + 1) if out is None else (count,)):
            raise NotRecorded(f"it calls B.{name} with {', '.join(more) or f'{len(given)} arguments'}")
        given, out = given[:count], given[count] if len(given) > count else out
        for x in given:
            if x.__class__ is Recorded:
                if name in _LOGICAL:
                    return x.recording.line(form, tuple(map(_truth, given)), result, out)
                if name == "power" and _is_number(given[1]) and given[1] in _POWERS:
                    return x.recording.line(_POWERS[given[1]], given[:1], result, out)
                return x.recording.line(form, given, result, out)
        if out is not None or not all(map(_is_number, given)):
            raise NotRecorded(f"it calls B.{name} of {', '.join(map(_described, given))}")
        return getattr(np, name)(*given).item()

    return call


def _is_number(x) -> bool:
    return isinstance(x, (float, int, np.floating, np.integer))


def _truth(x) -> Recorded:
    """A comparison as it is, of other arrays whether they are not zero."""
    if x.__class__ is not Recorded:
        raise NotRecorded(f"it uses {_described(x)} as a condition")
    return x if x.kind == "bool" else x.recording.line("{} != 0", (x,), "bool")


def _where(condition, x=None, y=None) -> Recorded:
    """NumPy's `where`; of two numbers a double."""
    if x is None or y is None:
        raise NotRecorded("it calls B.where without values")
    condition = _truth(condition)
    return condition.recording.line(f"{condition.name} ? {{}} : {{}}", (x, y))


def _clip(x, low=None, high=None, out=None):
    y = x if low is None else _NAMES["maximum"](x, low, out=out)
    return _NAMES["positive"](y, out=out) if high is None else _NAMES["minimum"](y, high, out=out)


def _filled(x: Recorded, value, dtype=None) -> Recorded:
    if x.__class__ is not Recorded:
        raise NotRecorded(f"it makes an array like {_described(x)}")
    y = x.recording.line("{T}(0)", (), _KINDS[np.dtype(dtype or x.kind)])
    return y if value is None else x.recording.assign(y, "=", value)


def _added(x: Recorded, y) -> None:
    x.recording.assign(x, "+=", y)


_NAMES: dict[str, Callable] = {
    **{name: _of(name, form) for name, form in {**_ONE, **_TWO}.items()},
    **{name: _of(name, form, "bool") for name, form in {**_TESTS, **_LOGICAL}.items()},
    "where": _where,
    "clip": _clip,
    "copy": lambda x: _NAMES["positive"](x),
    "asarray": lambda x: x,
    "astype": lambda x, dtype: x.recording.line("{}", (x,), _KINDS[np.dtype(dtype)]),
    "zeros_like": lambda x, dtype=None: _filled(x, None, dtype),
    "ones_like": lambda x, dtype=None: _filled(x, 1, dtype),
    "full_like": _filled,
    "iadd": _added,
}
_NAMES.update({name: _NAMES[other] for name, other in _SAME.items()})


class _Names(SimpleNamespace):
    """The library of arrays that are being recorded."""

    def __getattr__(self, name: str):
        value = getattr(np, name, None)
        if isinstance(value, (float, type)):  # B.pi, B.finfo
            return value
        raise NotRecorded(f"it uses B.{name}, which is not recorded")


Backend("recorded", Recorded, _Names(**_NAMES), ())


def _quickly(form: str, slowly: Callable, assignment: str = "", reflected: bool = False) -> Callable:
    """An operator of arithmetic for the usual case, of variables of one type or one of them and a number."""

    def operator(self, other):
        recording, kind, own = self.recording, self.kind, self.name
        plain = other.__class__ is float or other.__class__ is int
        usual = plain or (other.__class__ is Recorded and other.kind is kind)
        if not usual or kind == "bool" or (own == "g" and assignment):
            return slowly(self, other)
        if plain:
            name = _NUMBERS[len(recording.numbers)]
            recording.numbers.append(float(other))
        else:
            name = other.name
        if assignment:
            recording.lines.append((assignment, own, kind, "{}", kind, name))
            return self
        out = _VARIABLES[recording.variables]
        recording.variables += 1
        pair = (name, own) if reflected else (own, name)
        recording.lines.append(("new", out, kind, form, kind, *pair))
        return Recorded(recording, out, kind)

    return operator


def _operators() -> None:
    """Give Recorded the operators of arrays."""
    signs = dict(add="+", sub="-", mul="*", truediv="/")
    named = dict(add="add", sub="subtract", mul="multiply", truediv="true_divide", pow="power")
    logical = {"and": "logical_and", "or": "logical_or", "xor": "logical_xor"}
    compared = dict(lt="less", le="less_equal", gt="greater", ge="greater_equal", eq="equal", ne="not_equal")
    made: dict[str, Callable] = {}
    for short, name in {**named, **logical, **compared}.items():
        function = _NAMES[name]
        made[f"__{short}__"] = lambda self, other, f=function: f(self, other)
        if short not in compared:
            made[f"__r{short}__"] = lambda self, other, f=function: f(other, self)
            made[f"__i{short}__"] = lambda self, other, f=function: f(self, other, out=self)
    for short, sign in signs.items():
        form, how = f"{{}} {sign} {{}}", sign + "="
        made[f"__i{short}__"] = lambda self, other, how=how: self.recording.assign(self, how, other)
        made[f"__{short}__"] = _quickly(form, made[f"__{short}__"])
        made[f"__r{short}__"] = _quickly(form, made[f"__r{short}__"], reflected=True)
        made[f"__i{short}__"] = _quickly("{}", made[f"__i{short}__"], assignment=how)
    for short, name in dict(neg="negative", pos="positive", abs="absolute", invert="logical_not").items():
        made[f"__{short}__"] = lambda self, f=_NAMES[name]: f(self)
    for name, operator in made.items():
        setattr(Recorded, name, operator)


_operators()


# ------------------------------------------------------------------------------------- what a kernel reads at a step
def place(buffer, start: int, shape: tuple[int, ...]):
    """Elements of a buffer from `start` on as an array that looks like one with memory of its own."""
    return cupy.ndarray(shape, dtype=buffer.dtype, memptr=buffer.data + start * buffer.dtype.itemsize)


_WRITING = {
    n: kernel(
        ", ".join([f"T x{i}" for i in range(n)]),
        "T y",
        f"const T x[] = {{{', '.join([f'x{i}' for i in range(n)])}}}; y = x[i];",
        f"minidl_write_{n}",
        types=({"T": "float64"}, {"T": "int64"}),
    )
    for n in (4, 8, 16, 32, 64)
}


def _write(target, values: list) -> None:
    """Write Python numbers to an array of the device, as arguments of a kernel: nothing is uploaded, nobody waits."""
    for start in range(0, len(values), 64):
        part = values[start : start + 64]
        n = next(n for n in _WRITING if n >= len(part))
        _WRITING[n](*part, *[0] * (n - len(part)), target[start : start + len(part)])


def ends_and_owners(begins: list[int], sizes: list[int], whole: int, item: int) -> tuple:
    """`end` and `owner` of a Program, for parameters of these sizes that begin at these of `whole` elements."""
    first, end = (cupy.empty(len(begins), dtype=np.int64) for _ in range(2))
    _write(first, [begin * item // LINE for begin in begins])
    _write(end, [begin + size for begin, size in zip(begins, sizes, strict=True)])
    lines = cupy.arange(-(-whole * item // LINE))
    return end, (cupy.searchsorted(first, lines, side="right") - 1).astype(np.int32)


class Board:
    """Numbers and addresses in memory of the device that stays where it is, for kernels that a graph has captured."""

    def __init__(self, numbers: int, addresses: int) -> None:
        memory = cupy.empty(numbers + addresses, dtype=np.float64)
        self.numbers, self.addresses = memory[:numbers], memory[numbers:].view(np.int64)
        self._written: list[list] = [[], []]

    def fill(self, numbers: list[float], addresses: list[int]) -> None:
        """Bring up to date what is not."""
        if numbers != self._written[0]:
            _write(self.numbers, numbers)
        if addresses != self._written[1]:
            _write(self.addresses, addresses)
        self._written = [numbers, addresses]
