"""What a model's forward does, as a list of ops: recorded by running it on arrays that remember where they came from.

A `Traced` array carries its values and the number of the op that made them. Every op that meets one is entered in the
recording, so that a model is understood whatever Python it is written in; one that reads a value on the host (`item()`,
an `if` on it) is refused. Sizes that shall stay open are found by recording several sizes and comparing.
"""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ..backend import BACKENDS, DEFINITIONS, device, get_backend
from ..backend.random import Generator, default_generator
from ..engine import FUNCTIONS, OPS, Aux, Op
from ..modes import enable_grad, no_grad
from ..nn import Module
from ..tensor import Tensor, wrap
from .composed import COMPOSED

Known = Callable[[str, list, dict], bool]  # whether a target can write this op of these inputs and static arguments
_CONSTANT = frozenset(("zeros", "zeros_like", "ones_like"))  # these look at no value
_NOTED = frozenset(("ordered", "running_max"))  # kernels without a derivative, recorded as ops are
_BY_VALUES = frozenset(("unique", "nonzero"))  # what these give has a shape that depends on values


class TraceError(RuntimeError):
    """A model does something that a list of ops cannot say: the message names it and what to do instead."""


@dataclass(frozen=True)
class Ref:
    """The result of an op, or an input, by its number."""

    number: int


@dataclass
class Call:
    """One op that ran: its inputs (Ref, arrays, numbers, None), static arguments (Ref among them), results, module."""

    op: str
    inputs: list
    static: dict[str, Any]
    outputs: list[int]
    path: str


@dataclass
class Recording:
    """The ops of one forward in their order, its inputs and outputs, and (shape, dtype) of every value."""

    inputs: list[int]
    calls: list[Call] = field(default_factory=list)
    outputs: list = field(default_factory=list)
    values: list[tuple[tuple[int, ...], np.dtype]] = field(default_factory=list)


class Traced:
    """An array of a model that is being recorded: its values, and which result of the recording it is."""

    __array_ufunc__ = None  # `ndarray * Traced` is ours
    base = None  # the memory is never written to; `__setitem__` minds those that would see it
    parent: tuple | None = None  # (weak reference to what this is a part of, its index there)
    following = False  # while it changes because a part of it was changed

    def __init__(self, value: np.ndarray, ref: Ref, tracer: Tracer) -> None:
        self.value, self.ref, self.tracer, self.memory = value, ref, tracer, object()
        tracer.living.add(self)

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    dtype = property(lambda self: self.value.dtype)
    size = property(lambda self: self.value.size)
    itemsize = property(lambda self: self.value.itemsize)
    T = property(lambda self: FUNCTIONS["transpose"](self, axes=tuple(range(self.ndim))[::-1]))

    def __len__(self) -> int:
        return len(self.value)

    # what code beside the ops calls on arrays
    def reshape(self, *shape):
        """In another shape."""
        return FUNCTIONS["reshape"](self, shape=shape[0] if len(shape) == 1 else shape)

    def swapaxes(self, axis1, axis2):
        """With two axes exchanged."""
        return FUNCTIONS["swapaxes"](self, axis1=axis1 % self.ndim, axis2=axis2 % self.ndim)

    def astype(self, dtype, **options):
        """In another dtype."""
        return FUNCTIONS["astype"](self, dtype=dtype)

    def copy(self):
        """A value of its own."""
        return FUNCTIONS["identity"](self)

    def __getitem__(self, index):
        return FUNCTIONS["getitem"](self, index=index)

    def __setitem__(self, index, value) -> None:
        part = value.parent if isinstance(value, Traced) and not self.following else None
        if part is not None and part[0]() is self and repr(part[1]) == repr(index):
            return  # x[i] += 1: the part has been changed, and x with it
        parent = None if self.parent is None else self.parent[0]()
        others = [t for t in self.tracer.living if t.memory is self.memory and t is not self and t is not parent]
        if value in others and not self.following:
            raise TraceError(
                "a part of a tensor is written into another part of it; write a copy: x[i] = x[j].clone() instead of "
                "x[i] = x[j]"
            )
        if others and not self.following:
            raise TraceError("a tensor was changed in place of which there is a view; write x = x + ... instead")
        if not isinstance(value, Traced):
            value = np.asarray(value, dtype=self.dtype)
        elif value.dtype != self.dtype:
            value = FUNCTIONS["astype"](value, dtype=self.dtype)
        if index is not Ellipsis or not isinstance(value, Traced) or value.shape != self.shape:
            value = FUNCTIONS["setitem"](self, value, index=index)
        self.value, self.ref = value.value, value.ref
        if parent is not None and self.parent is not None:  # what this is a view of changes with it
            parent.following = True
            parent[self.parent[1]] = self
            parent.following = False

    def _escaped(self, *args, **kwargs):
        raise TraceError(
            "a value that depends on the input is read on the host, by item(), numpy(), if or the like: what follows "
            "from it would be written as if it were fixed; use ops such as where() instead"
        )

    item = tolist = __bool__ = __int__ = __float__ = __index__ = __array__ = __iter__ = _escaped
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Traced {self.ref.number}: {self.shape} {self.dtype}>"


def _operator(name: str, reflected: bool = False) -> Callable:
    def call(self, other):
        return FUNCTIONS[name](other, self) if reflected else FUNCTIONS[name](self, other)

    return call


for _sign, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor",
}.items():  # fmt: skip
    setattr(Traced, f"__{_sign}__", _operator(_name))
    setattr(Traced, f"__r{_sign}__", _operator(_name, True))
for _sign, _name in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"
}.items():  # fmt: skip
    setattr(Traced, f"__{_sign}__", _operator(_name))
for _name in ("any", "all", "sum", "mean", "max", "min"):
    setattr(
        Traced,
        _name,
        lambda self, axis=None, keepdims=False, n=_name: FUNCTIONS[n](self, axis=axis, keepdims=keepdims),
    )
for _sign, _name in {"neg": "negative", "invert": "invert", "abs": "absolute"}.items():
    setattr(Traced, f"__{_sign}__", lambda self, name=_name: FUNCTIONS[name](self))


def _by_position(name: str) -> Callable:
    """An op that takes its static arguments by position too, as NumPy's functions do."""
    function = FUNCTIONS[name]
    if name not in OPS:
        return function
    parameters = inspect.signature(vars(OPS[name])["__wrapped__"]).parameters.values()
    count = sum(1 for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    keys = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return function
    return lambda *args, **static: function(*args[:count], **dict(zip(keys, args[count:], strict=False)), **static)


class TraceBackend:
    """`B` for Traced arrays: ops under their names; the plain definition of what is being taken apart."""

    name = "trace"

    def __init__(self) -> None:
        self.expanding: list[str] = []
        self.tracer: Tracer | None = None

    def __getattr__(self, name: str) -> Callable:
        if name in FUNCTIONS and name not in self.expanding:
            return _by_position(name)
        if name in COMPOSED:
            return COMPOSED[name]
        if name in DEFINITIONS and name not in _NOTED:
            return DEFINITIONS[name]
        host = getattr(get_backend("cpu"), name)

        def call(*args, **kwargs):
            if not any(map(_has_traced, (*args, *kwargs.values()))):
                return host(*args, **kwargs)
            if name in _NOTED and self.tracer is not None:
                return self.tracer.note(name, host, *args, **kwargs)
            if name in _BY_VALUES:
                raise TraceError(f"{name}: how much it gives depends on the values, so that it cannot be written")
            form = self.tracer.form if self.tracer is not None else "the form that is written"
            raise TraceError(f"{name}: {form} has no such function, nor parts to make it of")

        return call if callable(host) else host

    def device_of(self, x: Any) -> device:
        """The CPU."""
        return device("cpu")

    def zeros(self, shape: Any, dtype: Any = None, **static: Any) -> Any:
        """Zeros that results may be written into; or the op of this name."""
        if isinstance(shape, Traced):
            return FUNCTIONS["zeros"](shape, **static)
        assert self.tracer is not None, "only what is being recorded comes here"
        return self.tracer.constant(np.zeros(shape, dtype))

    def expand_dims(self, x: Any, axis: int) -> Any:
        """x with a new axis of one element."""
        return x[(slice(None),) * (axis % (x.ndim + 1)) + (None,)]

    def searchsorted(self, a: Any, v: Any, side: str = "left") -> Any:
        """How many of the sorted numbers a are below each of v (side 'right': not above), by comparing all."""
        a = a[(None,) * v.ndim] if isinstance(a, np.ndarray) else FUNCTIONS["getitem"](a, index=(None,) * v.ndim)
        below = FUNCTIONS["less" if side == "left" else "less_equal"](a, self.expand_dims(v, v.ndim))
        return FUNCTIONS["sum"](below, axis=-1)

    def concatenate(self, arrays: Any, axis: int = 0) -> Any:
        """The arrays one after another."""
        return FUNCTIONS["cat"](*arrays, axis=axis)

    def stack(self, arrays: Any, axis: int = 0) -> Any:
        """The arrays along a new axis."""
        return FUNCTIONS["pile"](*arrays, axis=axis)

    def asarray(self, x: Any) -> Any:
        """x as an array."""
        return x if isinstance(x, Traced) else np.asarray(x)

    def to_host(self, x: Any) -> Any:
        """Refused for what is traced."""
        return x._escaped() if isinstance(x, Traced) else x

    def transfer(self, x: Any, device: Any) -> Any:
        """x, since there is only the CPU while a model is recorded."""
        return x

    def check_index(self, index: Any, size: int, where: str) -> None:
        """Checked for the values at hand."""
        get_backend("cpu").check_index(_value(index), size, where)

    def check_divisor(self, x: Any, where: str) -> None:
        """Checked for the values at hand."""
        get_backend("cpu").check_divisor(_value(x), where)

    def may_share_memory(self, a: Any, b: Any) -> bool:
        """Whether two arrays lie on overlapping memory."""
        return np.may_share_memory(_value(a), _value(b))


BACKEND = TraceBackend()


def _value(x: Any) -> Any:
    """The values in x, through tuples, lists and slices."""
    if isinstance(x, Traced):
        return x.value
    if isinstance(x, Tensor):
        return _value(x.array)
    if isinstance(x, (tuple, list)):
        return type(x)(_value(v) for v in x) if type(x) in (tuple, list) else x
    if isinstance(x, slice):
        return slice(_value(x.start), _value(x.stop), _value(x.step))
    return x


def _ref(x: Any) -> Any:
    """x with the numbers of results in the place of the arrays."""
    if isinstance(x, Traced):
        return x.ref
    if isinstance(x, (tuple, list)):
        return tuple(_ref(v) for v in x)
    return _ref(x.array) if isinstance(x, Tensor) else x


def _has_traced(x: Any) -> bool:
    return isinstance(x, Traced) or (isinstance(x, (tuple, list)) and any(map(_has_traced, x)))


class Tracer:
    """Records the ops that run while it is active; one that the target cannot write is taken apart into others."""

    def __init__(self, known: Known) -> None:
        self.known, self.recording, self.path = known, Recording([]), list[str]()
        self.form = getattr(getattr(known, "__self__", None), "form", "the form that is written")
        self.living: weakref.WeakSet[Traced] = weakref.WeakSet()

    def where(self) -> str:
        """The name of the module that is running."""
        return ".".join(self.path[-1:])

    def enter(self, value: np.ndarray) -> Traced:
        """A new value of the recording."""
        self.recording.values.append((tuple(value.shape), value.dtype))
        return Traced(value, Ref(len(self.recording.values) - 1), self)

    def given(self, value: np.ndarray) -> Traced:
        """An input of the model."""
        made = self.enter(value)
        self.recording.inputs.append(made.ref.number)
        return made

    def constant(self, value: np.ndarray) -> Traced:
        """A value that is fixed, as one that may be written into."""
        made = self.enter(value)
        self.recording.calls.append(Call("identity", [value], {}, [made.ref.number], self.where()))
        return made

    def note(self, name: str, host: Callable, x: Traced, **static: Any) -> Traced:
        """The result of a kernel that is no op, entered as one."""
        if not self.known(name, [x], static):
            raise TraceError(f"{name}: {self.form} has no such function, nor parts to make it of")
        made = self.enter(host(x.value, **static))
        self.recording.calls.append(Call(name, [x.ref], static, [made.ref.number], self.where()))
        return made

    def body(self, op: Op, plain: Callable) -> Callable:
        """What runs in the place of an op's own body."""

        def call(*inputs, **static):
            if not (any(map(_has_traced, inputs)) or any(map(_has_traced, static.values()))):
                return plain(*inputs, **static)
            nothing = (None,) * len(inputs)
            if op.name not in _CONSTANT and not self.known(op.name, list(inputs), static):
                if op.name in BACKEND.expanding:
                    raise TraceError(f"{op.name}: there is no way to write this op in {self.form}")
                BACKEND.expanding.append(op.name)
                try:
                    ys = op.composed(*inputs, **static) if op.composed else plain(*inputs, **static)[0]
                finally:
                    BACKEND.expanding.pop()
                if isinstance(ys, tuple):
                    return tuple([y.value if isinstance(y, Aux) else y for y in ys]), nothing
                return ys, nothing
            held = {key: _value(v) for key, v in static.items()}
            ys, _ = plain(*[_value(x) for x in inputs], **held)
            if op.name in _CONSTANT:  # what is being taken apart may write into it
                return self.constant(ys) if BACKEND.expanding else ys, nothing
            several = ys if isinstance(ys, tuple) else (ys,)
            made = [self.enter(np.asarray(y.value if isinstance(y, Aux) else y)) for y in several]
            if op.view and isinstance(inputs[0], Traced):
                for t in made:
                    if np.may_share_memory(t.value, inputs[0].value):
                        t.memory = inputs[0].memory
                if op.name == "getitem" and made[0].memory is inputs[0].memory:
                    made[0].parent = weakref.ref(inputs[0]), static["index"]
            refs = {key: _ref(v) for key, v in static.items()}
            numbers = [t.ref.number for t in made]
            self.recording.calls.append(Call(op.name, [_ref(x) for x in inputs], refs, numbers, self.where()))
            return tuple(made) if isinstance(ys, tuple) else made[0], nothing

        return call


@contextlib.contextmanager
def _watching(tracer: Tracer, model: Module) -> Iterator[_State]:
    """Every op records itself, every module says when it runs; afterwards all is as before."""
    before = {name: op.body for name, op in OPS.items()}
    bare = [m for m in model.modules() if "_hooks" not in vars(m)]
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda m, args, n=name: tracer.path.append(n)))
        handles.append(module.register_forward_hook(lambda m, args, y: (tracer.path.pop(), None)[1]))
    BACKENDS[Traced], BACKEND.tracer = BACKEND, tracer
    try:
        for op in OPS.values():
            op.body = tracer.body(op, before[op.name])
            vars(op)["_refuse_devices"] = lambda inputs: None  # parameters and constants are ordinary arrays
        with _evaluating(model) as state:
            yield state
    finally:
        for name, body in before.items():
            OPS[name].body = body
            vars(OPS[name]).pop("_refuse_devices", None)
        del BACKENDS[Traced]
        BACKEND.expanding.clear()
        BACKEND.tracer = None
        for handle in handles:
            handle.remove()
        for module in bare:
            vars(module).pop("_hooks", None)


def each(x: Any, function: Callable) -> Any:
    """x with every Tensor in its tuples and lists replaced; None and numbers stay."""
    if isinstance(x, Tensor):
        return function(x)
    if isinstance(x, (tuple, list)):
        return tuple(each(v, function) for v in x)
    if isinstance(x, dict):
        return {key: each(v, function) for key, v in x.items()}
    return x


def is_in_onnx_export() -> bool:
    """Whether a model is being recorded now, for a forward that shall then do something else."""
    return BACKEND.tracer is not None


def tensors(x: Any) -> list[Tensor]:
    """The Tensors in nested tuples, lists and dicts, in order."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (tuple, list)):
        return [t for v in x for t in tensors(v)]
    return [x] if isinstance(x, Tensor) else []


class _State:
    """All that a forward may change in a model: attributes, and the memory of parameters and buffers."""

    def __init__(self, model: Module) -> None:
        self.modules = [(m, dict(vars(m))) for m in model.modules()]
        self.held = [
            (name, t, dict(vars(t)), t.array, np.array(t.array), list(t.version or ()))
            for name, t in (*model.named_parameters(), *model.named_buffers())
            if isinstance(t.array, np.ndarray)
        ]

    def overwritten(self) -> dict[int, str]:
        """The names of parameters and buffers whose memory has other values now, by the identity of their arrays."""
        return {id(a): name for name, *_, a, copy, _ in self.held if a.tobytes() != copy.tobytes()}

    def restore(self) -> None:
        """Everything as it was."""
        for module, attributes in self.modules:
            vars(module).clear()
            vars(module).update(attributes)
        for _, t, attributes, array, copy, version in self.held:
            vars(t).clear()
            vars(t).update(attributes)
            if array.tobytes() != copy.tobytes():
                array[...] = copy
            if t.version is not None:
                t.version[:] = version


@contextlib.contextmanager
def _evaluating(model: Module) -> Iterator[_State]:
    """In eval mode, with nothing recorded for backward; every module is then as it was, whatever a forward changed."""
    state = _State(model)
    try:
        model.eval()
        with no_grad():
            yield state
    finally:
        state.restore()


@contextlib.contextmanager
def same_draws(model: Module) -> Iterator[None]:
    """Afterwards the random numbers go on where they were, those of a module's own generators too."""
    own = [v for m in model.modules() for v in vars(m).values() if isinstance(v, Generator)]
    states = [(g, g.get_state()) for g in (default_generator(), *own)]
    try:
        yield
    finally:
        for generator, before in states:
            generator.set_state(before)


def run(model: Module, args: tuple, kwargs: dict | None = None) -> list[Tensor]:
    """The Tensors that `model(*args, **kwargs)` gives in eval mode; nothing of the model is changed."""
    with same_draws(model), _evaluating(model):
        return tensors(model(*args, **kwargs or {}))


def record(model: Module, args: tuple, known: Known, kwargs: dict | None = None) -> Recording:
    """The recording of `model(*args, **kwargs)` in eval mode; they hold Tensors, in tuples where it wants tuples.

    Raises:
        TraceError: a value was read on the host, or an op cannot be written.
    """
    tracer = Tracer(known)
    with _watching(tracer, model) as state:
        try:
            args_traced, more = each((args, kwargs or {}), lambda t: wrap(tracer.given(np.array(t.array))))
            found = tensors(result := model(*args_traced, **more))
            if not found:
                raise TraceError(f"the model returned {type(result).__name__}; expected a Tensor, or several")
            tracer.recording.outputs = [_ref(t) for t in found]
            _refuse_overwritten(tracer.recording, state.overwritten())
            return tracer.recording
        except TraceError as error:
            raise TraceError(f"{_called(model, tracer.where())}: {error}") from error
        except (TypeError, AttributeError, RuntimeError) as error:
            failed, where = error, _called(model, tracer.where())
    _explain(model, args, kwargs or {}, failed, where)


def _called(model: Module, path: str) -> str:
    """A module for an error: its name in the model, and its class."""
    found = dict(model.named_modules()).get(path, model)
    return f"'{path}' ({type(found).__name__})" if path else f"the model ({type(model).__name__})"


def _explain(model: Module, args: tuple, kwargs: dict, failed: Exception, where: str) -> NoReturn:
    """Raise what is to be said of a forward that failed: its own error, if it fails without a recording, too."""
    with same_draws(model), _evaluating(model), enable_grad():
        model(*args, **kwargs)
    hint = "while the model was recorded: does it use arrays beside the ops?"
    if isinstance(failed, NotImplementedError):
        raise TraceError(f"{where}: {failed}") from failed
    if isinstance(failed, RuntimeError):
        hint = "while the model was recorded, which is without gradients: a forward that takes one cannot be written"
    raise TraceError(f"{where}: {failed} ({hint})") from failed


def _refuse_overwritten(recording: Recording, overwritten: dict[int, str]) -> None:
    """A number that every forward changes is no constant of the file."""
    for call in recording.calls if overwritten else ():
        for x in (*call.inputs, *call.static.values()):
            if id(x) in overwritten:
                raise TraceError(
                    f"the forward changes '{overwritten[id(x)]}' and computes with it; what is written has no state"
                )
