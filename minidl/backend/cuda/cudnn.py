"""Convolutions by cuDNN, the fast path of `conv.py`, where the extra `cudnn` is installed and not switched off.

Its plans are made once for each kind of call and kept; of those that give the same bits each time the first that cuDNN
proposes is taken. What it has no such plan for, and double precision, is left to the columns.
"""

from __future__ import annotations

import functools
import threading
from typing import Any, NamedTuple

import cupy

from .. import EXACT

# by operation of the front end: what it calls its two inputs
FORWARD, INPUT_GRAD, WEIGHT_GRAD = "conv_fprop", "conv_dgrad", "conv_wgrad"
_INPUTS = {FORWARD: ("image", "weight"), INPUT_GRAD: ("loss", "filter"), WEIGHT_GRAD: ("image", "loss")}
_TYPES = {"float32": "FLOAT", "float16": "HALF"}


class _Call(NamedTuple):
    """All that decides a plan. shapes and strides (in elements): of the two inputs and of the result."""

    operation: str
    device: int
    shapes: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    dtype: str
    padding: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    tf32: bool


class _Plan(NamedTuple):
    """A graph that was built, its two inputs and its result, and the bytes it works in."""

    graph: Any
    operands: tuple
    workspace: int


class _Handles(threading.local):
    """cuDNN's handles, one for each device, of this thread."""

    def __init__(self) -> None:
        self.of_device: dict[int, Any] = {}


_handles = _Handles()


@functools.cache
def library():
    """cuDNN's front end; None where it, or cuDNN itself, is not installed."""
    try:
        import cudnn

        cudnn.backend_version()
    except (ImportError, OSError, RuntimeError):  # no front end; no or no whole cuDNN
        return None
    return cudnn


def wanted(*arrays) -> bool:
    """Whether cuDNN is to be asked: it is there and not switched off, and these are of one type that it is fast for."""
    if not EXACT["cudnn"] or library() is None:
        return False
    kind = arrays[0].dtype
    return kind.name in _TYPES and all(a.dtype == kind and a.size > 0 for a in arrays)


def _readable(x):
    """x if its pixels or its channels lie side by side without gaps, else a copy."""
    last = x.transpose(0, 2, 3, 1)
    return x if x.flags.c_contiguous or last.flags.c_contiguous else cupy.ascontiguousarray(x)


def _handle(cudnn, device: int):
    """This thread's handle, at work on CuPy's current stream."""
    handle = _handles.of_device.get(device)
    if handle is None:
        handle = _handles.of_device[device] = cudnn.create_handle()
    cudnn.set_stream(handle, cupy.cuda.get_current_stream().ptr)
    return handle


@functools.lru_cache(1024)
def _plan(call: _Call) -> _Plan | None:
    """The plan of a call; None where cuDNN has none."""
    cudnn = library()
    kind, names = getattr(cudnn.data_type, _TYPES[call.dtype]), _INPUTS[call.operation]
    graph = cudnn.pygraph(
        io_data_type=kind,
        intermediate_data_type=cudnn.data_type.FLOAT,
        compute_data_type=cudnn.data_type.FLOAT,
        handle=_handle(cudnn, call.device),
    )
    inputs = [
        graph.tensor(name=name, dim=list(shape), stride=list(strides), data_type=kind)
        for name, shape, strides in zip(names, call.shapes, call.strides, strict=False)
    ]
    how = {"padding": list(call.padding), "stride": list(call.stride), "dilation": list(call.dilation)}
    result = getattr(graph, call.operation)(**dict(zip(names, inputs, strict=True)), **how)
    result.set_output(True).set_data_type(kind).set_dim(list(call.shapes[2])).set_stride(list(call.strides[2]))
    unfit = [cudnn.numerical_note.NONDETERMINISTIC]
    if call.dtype == "float32" and not call.tf32:
        unfit.append(cudnn.numerical_note.TENSOR_CORE)  # which would round to TF32
    try:
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        graph.deselect_numeric_notes(unfit)
        graph.check_support()
        graph.build_plans()
    except cudnn.cudnnGraphNotSupportedError:
        return None
    return _Plan(graph, (*inputs, result), graph.get_workspace_size())


def compute(operation: str, first, second, shape, *, stride, padding, dilation, groups):
    """The result of `shape`, for the two inputs in the order of `_INPUTS`; None where cuDNN has no plan for it."""
    first, second, result = _readable(first), _readable(second), cupy.empty(shape, first.dtype)
    arrays = first, second, result
    shapes = tuple([tuple(a.shape) for a in arrays])
    strides = tuple([tuple([s // a.itemsize for s in a.strides]) for a in arrays])
    where = cupy.cuda.get_device_id()
    kind, tf32 = first.dtype.name, EXACT["tf32"]
    plan = _plan(_Call(operation, where, shapes, strides, kind, padding, stride, dilation, groups, tf32))
    if plan is None:
        return None
    memory = cupy.empty(max(1, plan.workspace), "uint8")
    addresses = {operand: array.data.ptr for operand, array in zip(plan.operands, arrays, strict=True)}
    plan.graph.execute(addresses, memory, handle=_handle(library(), where))
    return result
