"""Ops that move elements: reshape, transpose, join, split, pad, and all kinds of indexing."""

from __future__ import annotations

from ..backend import BACKENDS, backend_of
from ..engine import FUNCTIONS, op, sum_to


def wrapped(dim: int, ndim: int, where: str) -> int:
    """A dimension counted from the front."""
    if not -ndim <= dim < ndim:
        raise IndexError(f"{where}: dimension {dim} is out of range for {ndim} dimensions")
    return dim % ndim


def moving(body):
    """The op of a body that only moves elements: what is written to its result moves back as the gradient does."""
    return op(body, view=True, promote=None, put=lambda x, value, **static: body(x.array, **static)[1][0](value))


@moving
def reshape(x, *, shape):
    """y = x in another shape;   dL/dx = g in x's shape."""
    old = x.shape
    return backend_of(x).reshape(x, shape=shape), (lambda g: backend_of(g).reshape(g, shape=old),)


@moving
def transpose(x, *, axes):
    """y = x with its axes in the order `axes`;   dL/dx = g with the order undone."""
    back = tuple(sorted(range(len(axes)), key=lambda i: axes[i]))
    return backend_of(x).transpose(x, axes=axes), (lambda g: backend_of(g).transpose(g, axes=back),)


@moving
def swapaxes(x, *, axis1, axis2):
    """y = x with two axes exchanged;   dL/dx = g with them exchanged again."""
    y = backend_of(x).swapaxes(x, axis1=axis1, axis2=axis2)
    return y, (lambda g: backend_of(g).swapaxes(g, axis1=axis1, axis2=axis2),)


@op(view=True, promote=None)
def broadcast_to(x, *, shape):
    """y = x repeated along new axes and axes of length 1;   dL/dx = g summed over them."""
    old = x.shape
    return backend_of(x).broadcast_to(x, shape=shape), (lambda g: sum_to(g, old),)


@op(promote=None)
def transfer(x, *, device, non_blocking=False):
    """y = x on another device;   dL/dx = g on x's device."""
    B = backend_of(x)
    home = B.device_of(x)
    return B.transfer(x, device=device, non_blocking=non_blocking), (lambda g: backend_of(g).transfer(g, device=home),)


@op(promote=None)
def flip(x, *, axis):
    """y = a copy of x with the order along `axis` reversed;   dL/dx = g reversed likewise."""
    B = backend_of(x)
    return B.copy(B.flip(x, axis=axis)), (lambda g: backend_of(g).flip(g, axis=axis),)


def _cut(axis, start, stop):
    """The index of start:stop along `axis` (counted from the front)."""
    return (slice(None),) * axis + (slice(start, stop),)


@op
def cat(*xs, axis):
    """y = the xs one after the other along `axis`;   dL/dx = x's part of g."""
    axis = wrapped(axis, xs[0].ndim, "cat")
    ends = [0]
    for x in xs:
        ends.append(ends[-1] + x.shape[axis])
    cuts = [_cut(axis, a, b) for a, b in zip(ends, ends[1:], strict=False)]
    vjps = tuple([lambda g, cut=cut: g[cut] for cut in cuts])
    return backend_of(*xs).concatenate(xs, axis=axis), vjps


@op
def pile(*xs, axis):
    """y = the xs, all of one shape, along a new `axis`;   dL/dx = x's slice of g."""
    axis = wrapped(axis, xs[0].ndim + 1, "pile")
    vjps = tuple([lambda g, i=(slice(None),) * axis + (k,): g[i] for k in range(len(xs))])
    return backend_of(*xs).stack(xs, axis=axis), vjps


# NumPy's names for them take one sequence
FUNCTIONS["concatenate"] = lambda xs, axis=0: cat(*xs, axis=axis)
FUNCTIONS["spread"] = broadcast_to  # a backend may copy where the result is only read
FUNCTIONS["stack"] = lambda xs, axis=0: pile(*xs, axis=axis)


@op(view=True, promote=None)
def split(x, *, sizes, axis):
    """ys = x cut into pieces of the `sizes` along `axis`;   dL/dx = the gradients joined again."""
    axis = wrapped(axis, x.ndim, "split")
    cuts, start = [], 0
    for n in sizes:
        cuts.append(_cut(axis, start, start + n))
        start += n
    shapes = [x.shape[:axis] + (n,) + x.shape[axis + 1 :] for n in sizes]

    def joint(*gs, needs):
        given = next(g for g in gs if g is not None)
        B = backend_of(given)
        return (
            B.concatenate(
                [zeros(given, shape=s) if g is None else g for g, s in zip(gs, shapes, strict=True)], axis=axis
            ),
        )

    return tuple([x[cut] for cut in cuts]), joint


@op(promote=None)
def zeros(like, *, shape):
    """y = zeros of `shape` in the dtype and on the device of `like`."""
    B = backend_of(like)
    return B.zeros(shape, dtype=like.dtype), (None,)


@op(promote=None)
def pad(x, *, width, value=0.0):
    """y = x with `width` = ((before, after), ...) elements of `value` added to each axis;   dL/dx = g without them."""
    inside = tuple([slice(a, a + n) for (a, _), n in zip(width, x.shape, strict=True)])
    return backend_of(x).pad(x, width=width, value=value), (lambda g: g[inside],)


# indexing
@op(view=True, promote=None, put=lambda x, value, *, index: setitem(x, value, index=index))
def getitem(x, *, index):
    """y = x[index], as in NumPy: slices, integers, None, Ellipsis, integer arrays (repeats allowed), masks.

    dL/dx = zeros, to which g is added at `index`.
    """
    shape, y = x.shape, x[index]
    if y.__class__ not in BACKENDS:  # a NumPy scalar: with an Ellipsis the element comes as a 0-d view
        y = x[(*index, ...) if isinstance(index, tuple) else (index, ...)]
    return y, (lambda g: backend_of(g).index_add(g, index=index, shape=shape),)


def _lattice_definition(x, *, index, **how):
    """The elements of x at the index."""
    return x[index]


def _lattice_put(x, value, *, index, **how):
    """x with the value at the index, where no two elements are one."""
    B = backend_of(x.array)
    if bool(B.any(index_add(B.ones_like(x.array[index]), index=index, shape=x.shape) > 1)):
        raise RuntimeError("in place: this view shows an element more than once; write y = y + ... instead")
    return setitem(x, value, index=index)


@op(view="always", promote=None, composed=_lattice_definition, put=_lattice_put)
def lattice(x, *, index, start, size, steps):
    """y = x[index], the places start + i steps[0] + j steps[1] ... of x, as a view;   dL/dx = g added there."""
    shape = x.shape
    y = backend_of(x).lattice(x, start=start, size=size, steps=steps)
    return y, (lambda g: backend_of(g).index_add(g, index=index, shape=shape),)


@op(promote=None)
def index_add(g, *, index, shape):
    """y = zeros of `shape`, to which g is added at `index`;   dL/dg = h[index]."""
    return backend_of(g).index_add(g, index=index, shape=shape), (lambda h: h[index],)


def _setitem_definition(x, value, *, index):
    """Where `index` points, the value; elsewhere x."""
    B = backend_of(x)
    hit = index_add(B.ones_like(x[index]), index=index, shape=x.shape)
    if bool(B.any(B.greater(hit, 1))):
        raise NotImplementedError("setitem: a repeated index has no higher derivatives")
    placed = index_add(B.broadcast_to(value, shape=x[index].shape), index=index, shape=x.shape)
    return B.where(B.greater(hit, 0), placed / B.maximum(hit, 1.0), x)


@op(promote=None, composed=_setitem_definition)
def setitem(x, value, *, index):
    """y = x, but y[index] = value;   dL/dx = g, 0 at `index`,   dL/dvalue = g[index]."""
    y = backend_of(x).copy(x)
    y[index] = value

    def dx(g):
        rest = backend_of(g).copy(g)
        rest[index] = 0
        return rest

    return y, (dx, lambda g: g[index])


@op(promote=None)
def take_along_axis(x, index, *, axis):
    """y = the elements of x at the integer positions `index` along `axis`, as in NumPy;   dL/dx = g added there."""
    size, axis = x.shape[axis], axis % x.ndim
    y = backend_of(x).take_along_axis(x, index, axis=axis)
    return y, (lambda g: backend_of(g).scatter_add(g, index, axis=axis, size=size), None)


@op(promote=None)
def scatter_add(g, index, *, axis, size):
    """y = zeros of `size` along `axis`, to which g is added at `index`;   dL/dg = h at `index`."""
    axis = wrapped(axis, g.ndim, "scatter_add")
    y = backend_of(g).scatter_add(g, index, axis=axis, size=size)
    return y, (lambda h: backend_of(h).take_along_axis(h, index, axis=axis), None)
