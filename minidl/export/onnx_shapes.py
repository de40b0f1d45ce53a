"""How the ops that move elements are written in ONNX: shapes, joins, and all kinds of indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .onnx_ops import entry, is_number
from .sizes import Counted, Dim, Filled, Unclear
from .trace import Ref, TraceError

_END = 1 << 62


@entry("reshape")
def _reshape(b, call):
    shape, old = b.shapes[call.outputs[0]], b.shape(call.inputs[0])
    open_now = [n for n in shape if not is_number(n)]
    if len(open_now) == 1 and 0 not in shape and any(not is_number(n) for n in old):
        shape = [-1 if not is_number(n) else n for n in shape]
    return b.node("Reshape", b.of(call.inputs[0]), b.ints(shape))


@entry("transpose")
def _transpose(b, call):
    nd = len(b.shape(call.inputs[0]))
    return b.node("Transpose", b.of(call.inputs[0]), perm=[a % nd for a in call.static["axes"]])


@entry("swapaxes")
def _swapaxes(b, call):
    nd = len(b.shape(call.inputs[0]))
    order, i, j = list(range(nd)), call.static["axis1"], call.static["axis2"]
    order[i], order[j] = order[j], order[i]
    return b.node("Transpose", b.of(call.inputs[0]), perm=order)


@entry("broadcast_to")
def _broadcast_to(b, call):
    return b.node("Expand", b.of(call.inputs[0]), b.ints(b.shapes[call.outputs[0]]))


@entry("flip")
def _flip(b, call):
    axis = call.static["axis"]
    nd = len(b.shape(call.inputs[0]))
    axes = list(range(nd)) if axis is None else [a % nd for a in (axis if isinstance(axis, tuple) else (axis,))]
    n = len(axes)
    return b.node("Slice", b.of(call.inputs[0]), b.ints([-1] * n), b.ints([-_END] * n), b.ints(axes), b.ints([-1] * n))


@entry("cat")
def _cat(b, call):
    dtype = b.dtypes[call.outputs[0]]
    return b.node("Concat", *[b.cast(x, dtype) for x in call.inputs], axis=call.static["axis"])


@entry("pile")
def _pile(b, call):
    axis = call.static["axis"] % len(b.shapes[call.outputs[0]])
    dtype = b.dtypes[call.outputs[0]]
    parts = [b.node("Unsqueeze", b.cast(x, dtype), b.ints([axis])) for x in call.inputs]
    return b.node("Concat", *parts, axis=axis)


@entry("split")
def _split(b, call):
    found = b.node(
        "Split", b.of(call.inputs[0]), b.ints(call.static["sizes"]), axis=call.static["axis"], count=len(call.outputs)
    )
    return found if isinstance(found, list) else [found]


@entry("pad")
def _pad(b, call):
    width = call.static["width"]
    ends = b.ints([w[0] for w in width] + [w[1] for w in width])
    return b.node("Pad", b.of(call.inputs[0]), ends, b.number(call.static.get("value", 0.0), b.dtype(call.inputs[0])))


@entry("transfer")
def _transfer(b, call):
    return b.node("Identity", b.of(call.inputs[0]))


@entry("take_along_axis")
def _take_along_axis(b, call):
    (x, index), axis = call.inputs, call.static["axis"]
    shape = list(b.shapes[call.outputs[0]])
    axis %= len(shape)
    wanted = [n if k == axis else m for k, (n, m) in enumerate(zip(b.shape(x), shape, strict=True))]
    name = b.of(x) if tuple(wanted) == tuple(b.shape(x)) else b.node("Expand", b.of(x), b.ints(wanted))
    place = b.of(index) if tuple(shape) == tuple(b.shape(index)) else b.node("Expand", b.of(index), b.ints(shape))
    return b.node("GatherElements", name, place, axis=axis)


@entry("scatter_add")
def _scatter_add(b, call):
    g, index = call.inputs
    dtype = b.dtypes[call.outputs[0]]
    zeros = b.of(Filled(np.zeros((1,) * len(b.shape(g)), dtype), b.shapes[call.outputs[0]]))
    return b.node(
        "ScatterElements", zeros, b.of(index), b.of(g), axis=call.static["axis"] % len(b.shape(g)), reduction="add"
    )


@entry("index_add")
def _index_add(b, call):
    (g,), shape, dtype = call.inputs, b.shapes[call.outputs[0]], b.dtypes[call.outputs[0]]
    parts = parts_of(call.static["index"], len(shape))
    zeros = Filled(np.zeros((1,) * len(shape), dtype), shape)
    if all(_is_array(p) for p in parts):
        return _put(b, zeros, g, parts, dtype, reduction="add")
    if _is_fixed(parts, shape):
        return _scatter(b, zeros, g, parts, shape, dtype, reduction="add")
    arrays = [k for k, p in enumerate(parts) if _is_array(p)]
    index = parts[arrays[0]] if len(arrays) == 1 else None
    if index is not None and len(b.shape(index)) == 1 and all(p == slice(None) for p in parts if p is not index):
        k = arrays[0]  # whole slices: one number for all the elements of each
        column = b.node("Reshape", b.of(index), b.ints([*[1] * k, -1, *[1] * (len(shape) - k - 1)]))
        spread = b.node("Expand", column, b.ints(b.shape(g)))
        return b.node("ScatterElements", b.of(zeros), spread, b.of(g), axis=k, reduction="add")
    raise TraceError(f"adding at an index: this index cannot be written ({call.static['index']!r:.60})")


def _is_fixed(parts: list, shape: tuple) -> bool:
    """Whether an index is known now, and all sizes but, at most, the first, of which it then takes all."""
    if any(isinstance(p, (Ref, Filled, Dim, Unclear, Counted)) or p is None for p in parts):
        return False
    return all(map(is_number, shape[1:])) and (is_number(shape[0]) or parts[0] == slice(None))


# ---------------------------------------------------------------------------------------------------------- indexing
def parts_of(index: Any, ndim: int) -> list:
    """An index as one entry an axis (None: a new one), with the Ellipsis filled in."""
    parts = list(index) if isinstance(index, tuple) else [index]
    taken = sum(1 for p in parts if p is not None and p is not Ellipsis)
    fill = [slice(None)] * (ndim - taken)
    for k, p in enumerate(parts):
        if p is Ellipsis:
            return parts[:k] + fill + parts[k + 1 :]
    return parts + fill


def _is_array(p: Any) -> bool:
    return isinstance(p, (np.ndarray, Ref, Filled, Counted)) or (isinstance(p, tuple) and all(is_number(i) for i in p))


def _kind(b, p: Any) -> str:
    return np.asarray(p).dtype.kind if isinstance(p, (np.ndarray, tuple)) else b.dtype(p).kind


@entry("getitem")
def _getitem(b, call):
    x, shape = call.inputs[0], b.shape(call.inputs[0])
    parts = parts_of(call.static["index"], len(shape))
    if any(isinstance(p, Unclear) for p in parts):
        raise TraceError("indexing: the index depends on an open size in a way that is no formula")
    if any(_is_array(p) and _kind(b, p) == "b" for p in parts):
        raise TraceError(
            "indexing by a mask gives as many elements as the values say; ONNX and NumPy code need where()"
        )
    name, axis = b.of(x), 0
    cuts, drops, news, arrays = [], [], [], []
    for p in parts:  # slices first, while axes are still where they were
        if p is None:
            continue
        if isinstance(p, slice) and p != slice(None):
            step = 1 if p.step is None else p.step
            start = (0 if step > 0 else -1) if p.start is None else p.start
            cuts.append((axis, start, (_END if step > 0 else -_END) if p.stop is None else p.stop, step))
        elif is_number(p) or isinstance(p, Dim):
            cuts.append((axis, p, (p + 1 if p != -1 else _END) if is_number(p) else b.plus(p, 1), 1))
            drops.append(axis)
        elif _is_array(p):
            arrays.append((axis, p))
        axis += 1
    if cuts:
        axes, starts, stops, steps = (
            [c[0] for c in cuts],
            [c[1] for c in cuts],
            [c[2] for c in cuts],
            [c[3] for c in cuts],
        )
        name = b.node("Slice", name, b.ints(starts), b.ints(stops), b.ints(axes), b.ints(steps))
    if arrays and ((drops and _moved(parts)) or (len(arrays) > 1 and (drops or any(p is None for p in parts)))):
        raise TraceError("indexing: arrays beside numbers or None cannot be written; index one after the other")
    if len(arrays) == 1:
        axis, p = arrays[0]
        index = b.of(np.asarray(p) if isinstance(p, tuple) else p)
        name = b.node("Gather", name, index, axis=axis)
        extra = len(b.shape(np.asarray(p) if isinstance(p, tuple) else p)) - 1
    elif arrays:
        return _gather_several(b, name, shape, parts, arrays)
    else:
        extra, axis = 0, _END
    if drops:
        name = b.node("Squeeze", name, b.ints([d if d < axis else d + extra for d in drops]))
    place = 0
    for p in parts:
        if p is None:
            news.append(place)
        if p is None or isinstance(p, slice):
            place += 1
        elif _is_array(p):
            place += extra + 1
    if news:
        name = b.node("Unsqueeze", name, b.ints(news))
    return name if name != b.of(x) else b.node("Identity", name)


def _moved(parts: list) -> bool:
    """Whether NumPy would move the axes of an array to the front: a number and an array with a slice between them."""
    special = [k for k, p in enumerate(parts) if p is not None and not isinstance(p, slice)]
    return any(b - a > 1 for a, b in zip(special, special[1:], strict=False))


def _gather_several(b, name: str, shape: tuple, parts: list, arrays: list) -> str:
    """x[:, i, j] with fixed arrays that stand side by side: the axes as one, and one index into it."""
    axes = [a for a, _ in arrays]
    fixed = all(isinstance(p, (np.ndarray, tuple)) for _, p in arrays) and all(is_number(shape[a]) for a in axes)
    if (
        not fixed
        or axes != list(range(axes[0], axes[0] + len(axes)))
        or any(isinstance(p, slice) and p != slice(None) for p in parts)
    ):
        raise TraceError("indexing: several arrays can be written where they are fixed and stand side by side")
    sizes = [shape[a] for a in axes]
    places = np.broadcast_arrays(*[np.asarray(p) % n for (_, p), n in zip(arrays, sizes, strict=True)])
    flat = np.ravel_multi_index(tuple(places), sizes)
    merged = b.node("Reshape", name, b.ints([*[0] * axes[0], int(np.prod(sizes)), *shape[axes[-1] + 1 :]]))
    return b.node("Gather", merged, b.constant(flat.astype(np.int64)), axis=axes[0])


@entry("setitem")
def _setitem(b, call):
    (x, value), shape = call.inputs, b.shape(call.inputs[0])
    dtype, index = b.dtypes[call.outputs[0]], call.static["index"]
    if _is_array(index) and _kind(b, index) == "b" and b.shape(index) == shape:
        return b.choose(b.of(index), value, x, dtype)
    parts = parts_of(index, len(shape))
    if all(_is_array(p) for p in parts):
        return _put(b, x, value, parts, dtype)
    if _is_fixed(parts, shape):
        return _scatter(b, x, value, parts, shape, dtype)
    raise TraceError(f"x[index] = value: this index cannot be written ({index!r:.60})")


def _scatter(b, x, value, parts: list, shape: tuple, dtype, reduction: str = "none") -> str:
    """x[index] = value with a fixed index: all axes (but a first one that is open) as one, and the places in it."""
    open_first = not is_number(shape[0])
    inner, rest = (shape[1:], parts[1:]) if open_first else (shape, parts)
    places = np.arange(int(np.prod(inner))).reshape([int(n) for n in inner])[tuple(rest)]
    first = [shape[0]] if open_first else []
    spread = b.node("Expand", b.cast(value, dtype), b.ints([*first, *places.shape]))
    flat = b.node("Reshape", b.of(x), b.ints([0, -1] if open_first else [-1]))
    index = b.constant(places.reshape(-1).astype(np.int64))
    if open_first:
        index = b.node("Expand", index, b.ints([shape[0], places.size]))
    updates = b.node("Reshape", spread, b.ints([*first, places.size]))
    return b.node(
        "Reshape", b.node("ScatterElements", flat, index, updates, axis=len(first), reduction=reduction), b.ints(shape)
    )


def _put(b, x, value, parts: list, dtype, reduction: str = "none") -> str:
    """x[i, j, k] = value (or += value) with an array for every axis."""
    arrays = [np.asarray(p) if isinstance(p, tuple) else p for p in parts]
    common = _together([b.shape(p) for p in arrays])
    columns = [b.node("Expand", b.cast(p, np.dtype(np.int64)), b.ints(common)) for p in arrays]
    last = b.ints([len(common)])
    index = b.node("Concat", *[b.node("Unsqueeze", c, last) for c in columns], axis=-1)
    spread = b.node("Expand", b.cast(value, dtype), b.ints(common))
    return b.node("ScatterND", b.of(x), index, spread, reduction=reduction)


def _together(shapes: list[tuple]) -> list:
    """What shapes give together, where some sizes are open."""
    nd = max(map(len, shapes))
    full = [(1,) * (nd - len(shape)) + tuple(shape) for shape in shapes]
    return [next((n for n in sizes if n != 1), 1) for sizes in zip(*full, strict=True)]
