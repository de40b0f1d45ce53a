"""Which results are views, which are copies, as in PyTorch; and what a change in place of one does to the other."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn

SHAPE = (2, 3, 4)
# of a Tensor of SHAPE; those that no change in place can go through where it is part of a graph are marked by a star
VIEWS = {
    "[0]": lambda L, x: x[0],
    "[..., 1:3]": lambda L, x: x[..., 1:3],
    "[:, ::2]": lambda L, x: x[:, ::2],
    "[None, 1, 2]": lambda L, x: x[None, 1, 2],
    "[0, 1, 2]": lambda L, x: x[0, 1, 2],
    "reshape": lambda L, x: x.reshape(6, 4),
    "reshape to its shape": lambda L, x: x.reshape(SHAPE),
    "reshape_as": lambda L, x: x.reshape_as(x[0, 0].expand(2, 3, 4)),
    "view": lambda L, x: x.view(-1),
    "view_as": lambda L, x: x.view_as(x),
    "flatten": lambda L, x: x.flatten(),
    "flatten(1)": lambda L, x: x.flatten(1),
    "unflatten": lambda L, x: x.unflatten(2, (2, 2)),
    "ravel": lambda L, x: x.ravel(),
    "squeeze": lambda L, x: x[:, :1].squeeze(),
    "squeeze(1)": lambda L, x: x[:, :1].squeeze(1),
    "squeeze, nothing": lambda L, x: x.squeeze(),
    "unsqueeze": lambda L, x: x.unsqueeze(-1),
    "permute": lambda L, x: x.permute(2, 0, 1),
    "transpose": lambda L, x: x.transpose(0, 2),
    "swapaxes": lambda L, x: x.swapaxes(0, 1),
    "swapdims": lambda L, x: x.swapdims(0, 1),
    "movedim": lambda L, x: x.movedim(0, 2),
    "moveaxis": lambda L, x: x.moveaxis(0, 2),
    "t": lambda L, x: x[0].t(),
    "T": lambda L, x: x[0].T,
    "mT": lambda L, x: x.mT,
    "H": lambda L, x: x[0].H,
    "adjoint": lambda L, x: x.adjoint(),
    "view of a transpose": lambda L, x: x.transpose(0, 1).unflatten(2, (2, 2)),
    "select": lambda L, x: x.select(1, 2),
    "narrow": lambda L, x: x.narrow(2, 1, 2),
    "diagonal": lambda L, x: x.diagonal(),
    "diagonal(1, 1, 2)": lambda L, x: x.diagonal(1, 1, 2),
    "diagonal of a transpose": lambda L, x: x.transpose(1, 2).diagonal(-1, 1, 2),
    "diagonal(2, 0)": lambda L, x: x.diagonal(0, 2, 0),
    "unfold": lambda L, x: x.unfold(2, 2, 2),
    "unfold(1, 1, 2)": lambda L, x: x.unfold(1, 1, 2),
    "as_strided": lambda L, x: x.as_strided((2, 2), (12, 3), 1),
    "as_strided of a transpose": lambda L, x: x.transpose(0, 2).as_strided((2, 2), (4, 1), 3),
    "iteration": lambda L, x: list(x)[1],
    "atleast_3d": lambda L, x: L.atleast_3d(x[0]),
    "real": lambda L, x: x.real,
    "identity of nn": lambda L, x: L.nn.Identity()(x),
    "nn.Flatten": lambda L, x: L.nn.Flatten()(x),
    "contiguous": lambda L, x: x.contiguous(),
    "to(its dtype)": lambda L, x: x.to(x.dtype),
    "cpu": lambda L, x: x.to(x.device),
    "dropout of 0": lambda L, x: L.nn.functional.dropout(x, 0.0, training=True),
    "dropout in eval": lambda L, x: L.nn.functional.dropout(x, 0.5, training=False),
    "broadcast_tensors, nothing to do": lambda L, x: L.broadcast_tensors(x, x)[0],
    "sum_to_size, nothing to do": lambda L, x: x.sum_to_size(2, 3, 4),
    "type_as": lambda L, x: x.type_as(x),
    "unbind*": lambda L, x: x.unbind(1)[2],
    "split*": lambda L, x: x.split(2, 1)[0],
    "split_with_sizes*": lambda L, x: x.split_with_sizes((1, 3), 2)[1],
    "chunk*": lambda L, x: x.chunk(2, 2)[1],
    "tensor_split*": lambda L, x: x.tensor_split(2, 1)[1],
    "hsplit*": lambda L, x: x.hsplit(3)[0],
    "vsplit*": lambda L, x: x.vsplit(2)[0],
    "dsplit*": lambda L, x: x.dsplit(2)[1],
    "expand, nothing to do": lambda L, x: x.expand(2, 3, 4),
    "broadcast_to, nothing to do": lambda L, x: L.broadcast_to(x, (2, 3, 4)),
}
COPIES = {
    "clone": lambda L, x: x.clone(),
    "flip": lambda L, x: x.flip(0),
    "flip of two": lambda L, x: x.flip(0, 1),
    "flip of nothing": lambda L, x: x.flip(()),
    "fliplr": lambda L, x: x.fliplr(),
    "flipud": lambda L, x: x.flipud(),
    "rot90": lambda L, x: x.rot90(),
    "rot90(2)": lambda L, x: x.rot90(2),
    "rot90(3)": lambda L, x: x.rot90(3),
    "rot90(4)": lambda L, x: x.rot90(4),
    "roll": lambda L, x: x.roll(1, 0),
    "roll(0)": lambda L, x: x.roll(0, 0),
    "repeat": lambda L, x: x.repeat(2, 1, 1),
    "repeat once": lambda L, x: x.repeat(1, 1, 1),
    "repeat a dimension of 1": lambda L, x: x[:, :1].repeat(1, 4, 1),
    "tile": lambda L, x: x.tile(1, 2, 1),
    "tile once": lambda L, x: x.tile(1),
    "repeat_interleave": lambda L, x: x.repeat_interleave(2, 0),
    "repeat_interleave once": lambda L, x: x.repeat_interleave(1, 0),
    "[[0, 1]]": lambda L, x: x[[0, 1]],
    "[mask]": lambda L, x: x[x > -1],
    "[:, [0]]": lambda L, x: x[:, [0]],
    "index_select": lambda L, x: x.index_select(0, L.tensor([0])),
    "masked_select": lambda L, x: x.masked_select(x > -1),
    "take": lambda L, x: x.take(L.tensor([0, 1])),
    "gather": lambda L, x: x.gather(0, (x * 0).long()),
    "take_along_dim": lambda L, x: x.take_along_dim((x * 0).long(), 0),
    "narrow_copy": lambda L, x: x.narrow_copy(0, 0, 2),
    "diag": lambda L, x: x[0].diag(),
    "tril": lambda L, x: x.tril(5),
    "triu": lambda L, x: x.triu(-5),
    "cat of one": lambda L, x: L.cat([x]),
    "stack of one": lambda L, x: L.stack([x])[0],
    "hstack of one": lambda L, x: L.hstack([x]),
    "reshape that cannot view": lambda L, x: x.transpose(0, 1).reshape(-1),
    "flatten that cannot view": lambda L, x: x.transpose(0, 1).flatten(),
    "contiguous of a transpose": lambda L, x: x.transpose(0, 1).contiguous(),
    "to(copy=True)": lambda L, x: x.to(x.dtype, copy=True),
    "clamp": lambda L, x: x.clamp(-9, 99),
    "abs": lambda L, x: x.abs(),
    "round": lambda L, x: x.round(),
    "positive power": lambda L, x: x.pow(1),
    "times 1": lambda L, x: x * 1,
    "plus 0": lambda L, x: x + 0,
    "where": lambda L, x: L.where(x > -1, x, x),
    "nan_to_num": lambda L, x: x.nan_to_num(),
    "max with itself": lambda L, x: L.maximum(x, x),
    "sum of nothing": lambda L, x: x[:, :1].sum(1),
    "mean of one": lambda L, x: x[:, :1].mean(1),
    "amax of one": lambda L, x: x[:, :1].amax(1),
    "prod of one": lambda L, x: x[:, :1].prod(1),
    "cumsum of one": lambda L, x: x[:, :1].cumsum(1),
    "sort": lambda L, x: x.sort(0)[0],
    "topk": lambda L, x: x.topk(2, 0)[0],
    "masked_fill": lambda L, x: x.masked_fill(x > 99, 1.0),
    "index_fill": lambda L, x: x.index_fill(0, L.tensor([0]), 1.0),
    "einsum of one, summed": lambda L, x: L.einsum("abc->ab", x),
    "pad by nothing": lambda L, x: L.nn.functional.pad(x, (0, 0)),
    "pad circularly by nothing": lambda L, x: L.nn.functional.pad(x, (0, 0), mode="circular"),
    "pad by reflection of nothing": lambda L, x: L.nn.functional.pad(x, (0, 0), mode="reflect"),
    "relu": lambda L, x: L.nn.functional.relu(x),
    "leaky_relu of slope 1": lambda L, x: L.nn.functional.leaky_relu(x, 1.0),
    "hardtanh": lambda L, x: L.nn.functional.hardtanh(x, -9, 99),
    "interpolate by 1": lambda L, x: L.nn.functional.interpolate(x, scale_factor=1.0),
    "interpolate linearly by 1": lambda L, x: L.nn.functional.interpolate(x, scale_factor=1.0, mode="linear"),
    "interpolate to its size": lambda L, x: L.nn.functional.interpolate(x[None], (3, 4), mode="bilinear"),
    "avg_pool of 1": lambda L, x: L.nn.functional.avg_pool1d(x, 1),
    "max_pool of 1": lambda L, x: L.nn.functional.max_pool1d(x, 1),
    "adaptive_avg_pool to its size": lambda L, x: L.nn.functional.adaptive_avg_pool1d(x, 4),
    "adaptive_avg_pool2d to its size": lambda L, x: L.nn.functional.adaptive_avg_pool2d(x, (3, 4)),
    "lp_pool of 1": lambda L, x: L.nn.functional.lp_pool1d(x, 1, 1),
    "pixel_shuffle by 1": lambda L, x: L.nn.functional.pixel_shuffle(x, 1),
    "pixel_unshuffle by 1": lambda L, x: L.nn.functional.pixel_unshuffle(x, 1),
    "channel_shuffle by 1": lambda L, x: L.nn.functional.channel_shuffle(x, 1),
    "channel_shuffle": lambda L, x: L.nn.functional.channel_shuffle(x.transpose(0, 1)[:2], 2),
    "unfold of 1": lambda L, x: L.nn.functional.unfold(x[None], 1),
    "normalize": lambda L, x: L.nn.functional.normalize(x, dim=1),
    "one_hot": lambda L, x: L.nn.functional.one_hot(x.long(), 24),
    "cartesian_prod": lambda L, x: L.cartesian_prod(x[0, 0], x[0, 1]),
    "block_diag of one": lambda L, x: L.block_diag(x[0]),
    "combinations": lambda L, x: L.combinations(x[0, 0], 1),
    "trapezoid": lambda L, x: L.trapezoid(x[:, :2], dim=1),
}
# Their pieces know of no way back (in PyTorch all of several outputs refuse a change that is part of a graph).
SEVERAL = {name for name in VIEWS if name.startswith(("split", "chunk"))}


def _start(where, recorded):
    w = where.leaf(np.arange(24.0).reshape(SHAPE))
    return w, (w * 1.0 if recorded else where.tensor(np.arange(24.0).reshape(SHAPE)))


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", COPIES)
def test_copies_are_copies(where, name, recorded):
    _, x = _start(where, recorded)
    y = COPIES[name](minidl, x)
    before = where.host(x).copy()
    y.mul_(0)
    y[...] = 7
    assert set(y.detach().reshape(-1).tolist()) <= {7}
    np.testing.assert_array_equal(where.host(x), before)


@pytest.mark.parametrize("change", ["mul_", "setitem", "copy_"])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_views_change_what_they_are_views_of(where, name, recorded, change):
    """Against the same change of a tensor in one dimension, at the places that an image of the places shows."""
    w, x = _start(where, recorded)
    image = VIEWS[name](minidl, where.tensor(np.arange(24).reshape(SHAPE)))
    places = image.reshape(-1)
    v = VIEWS[name](minidl, x)
    new = (w.reshape(-1)[places] * 3.0).reshape(image.shape) if recorded else v * 3.0
    flat = (w.reshape(-1) * 1.0) if recorded else x.reshape(-1).clone()
    flat[places] = new.reshape(-1)

    def act():
        if change == "mul_":
            v.mul_(3.0)
        elif change == "copy_":
            v.copy_(new)
        else:
            v[...] = new

    if recorded and name in SEVERAL:
        with pytest.raises(RuntimeError, match="view made by 'split'"):
            act()
        assert x.tolist() == w.tolist()
        return
    strides = x.stride()
    act()
    assert x.reshape(-1).tolist() == flat.tolist() and x.stride() == strides
    assert v.tolist() == VIEWS[name](minidl, x).tolist()
    assert x.requires_grad == recorded == v.requires_grad
    if recorded:
        c = where.tensor(np.arange(1.0, 25.0))
        (found,) = minidl.autograd.grad((x.reshape(-1) * c).sum() + (v * v).sum(), w, retain_graph=True)
        (expected,) = minidl.autograd.grad((flat * c).sum() + (flat[places] ** 2).sum(), w)
        np.testing.assert_array_equal(where.host(found), where.host(expected))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_older_views_see_a_change_that_is_part_of_a_graph(where, name, first):
    """first: the change makes the base part of a graph, in the same memory."""
    w, x = _start(where, not first)
    v = VIEWS[name](minidl, x)
    y = VIEWS[name](minidl, x).clone()
    if v is x:
        return
    x.mul_(w)
    if name in SEVERAL:
        with pytest.raises(RuntimeError, match="view made by 'split' of one that was changed in place since"):
            v.sum()
        return
    expected = VIEWS[name](minidl, x)
    assert v.tolist() == expected.tolist() != y.tolist() and v.requires_grad
    (found,) = minidl.autograd.grad((v * v).sum(), w, retain_graph=True)
    (wanted,) = minidl.autograd.grad((expected * expected).sum(), w)
    np.testing.assert_array_equal(where.host(found), where.host(wanted))


@pytest.mark.parametrize(
    "read",
    [
        lambda v: (v + 0).tolist()[0],
        lambda v: v.detach().tolist()[0],
        lambda v: v.detach().numpy(force=True)[0],
        lambda v: v[0].item(),
        lambda v: float(v[0]),
        lambda v: float(f"{v[0]:.1f}"),
        lambda v: float(str(v.sum()).split("(")[1][0]) / 2,
        lambda v: v.data.tolist()[0],
        lambda v: v[0:1].numpy(force=True)[0],
        lambda v: minidl.stack([v, v])[1, 0].item(),
    ],
)
def test_every_way_to_read_an_older_view(where, read):
    h = where.leaf([[1.0, 1.0], [1.0, 1.0]]) * 1.0
    v, of_v = h[0], None
    of_v = v.view(2)
    h.mul_(2.0)
    assert read(of_v) == 2.0 and read(v) == 2.0
    with minidl.no_grad():
        h.add_(1.0)
        assert read(of_v) == 3.0 or read(of_v) == 4.0 / 2  # the printed sum is one digit
    assert v.requires_grad


def test_an_older_view_of_rows_that_were_assigned(where):
    """The example of a table that a loop fills row by row."""
    w = where.leaf([1.0, 2.0, 3.0])
    x = where.tensor(np.zeros((4, 3)))
    x[1] = w
    row, other = x[1], x[2]
    x[1, 0] = 5.0
    x[2] = row * 2
    assert row.tolist() == [5.0, 2.0, 3.0] and other.tolist() == [10.0, 4.0, 6.0]
    (row.sum() + other.sum()).backward()
    assert w.grad.tolist() == [0.0, 3.0, 3.0]


def test_a_view_outlives_its_base_and_a_detached_one_its_change(where):
    h = where.leaf([1.0, 2.0]) * 1.0
    v, alias = h[:1], h.detach()
    h.mul_(2.0)
    assert alias.tolist() == [1.0, 2.0]  # as docs/deviations.md says
    assert v.tolist() == [2.0]
    del h
    assert (v + 1).tolist() == [3.0]
    kept = where.leaf([1.0, 2.0]) * 1.0
    v = kept[:1]
    node = v.grad_fn
    kept.detach_()
    assert (v * 1).requires_grad and v.grad_fn is node  # cutting the base off cuts no view off, as in PyTorch


def test_an_older_view_of_what_became_a_constant(where):
    h = where.leaf([[1.0, 2.0], [3.0, 4.0]]) * 1.0
    v = h[1]
    h.zero_()
    assert v.tolist() == [0.0, 0.0] and not v.requires_grad and not (v + 1).requires_grad


def test_an_older_view_that_is_first_read_where_nothing_is_recorded(where):
    w = where.leaf([[1.0, 2.0], [3.0, 4.0]])
    h = w * 1.0
    v = h[1]
    h.mul_(2.0)
    with minidl.no_grad():
        assert not v.sum().requires_grad
    v.sum().backward()
    assert w.grad.tolist() == [[0.0, 0.0], [2.0, 2.0]]


def test_memory_keeps_its_order_in_place(where):
    h = where.leaf(np.zeros((2, 3))) * 1.0
    h.t()[0] = 5.0
    assert h.stride() == (3, 1) and h.view(-1).tolist() == [5.0, 0.0, 0.0, 5.0, 0.0, 0.0]
    h.t().mul_(2.0)
    assert h.is_contiguous()
    h.add_(where.tensor(np.ones((3, 2))).t())
    assert h.is_contiguous()
    t = (where.leaf(np.zeros((2, 3))) * 1.0).t()  # nobody else holds what it is a view of
    t[0] = 5.0
    t.relu_()
    assert t.stride() == (1, 3) and t.requires_grad and t.tolist() == [[5.0, 5.0], [0.0, 0.0], [0.0, 0.0]]


def test_what_was_copied_in_place_is_shared_with_nobody(where):
    s = where.leaf([1.0, 2.0]) * 1.0
    for copied in (lambda h: h.copy_(s), lambda h: h.t().copy_(s), lambda h: h.fill_(s[0]), lambda h: h.copy_(s[:1])):
        h = where.leaf([3.0, 4.0]) * 1.0
        copied(h)
        with minidl.no_grad():
            h.add_(1.0)
            h[0] = 9.0
        assert s.tolist() == [1.0, 2.0] and h[0].item() == 9.0


def test_windows_that_overlap_are_not_written_to(where):
    h = where.leaf(np.arange(5.0)) * 1.0
    with pytest.raises(RuntimeError, match="in place: this view shows an element more than once"):
        h.unfold(0, 3, 1).add_(1.0)
    with pytest.raises(RuntimeError, match="broadcast_to"):
        h.expand(2, 5).add_(1.0)
    assert h.tolist() == [0, 1, 2, 3, 4]
    gaps = where.tensor(np.arange(8.0))[::2]
    with pytest.raises(NotImplementedError, match="as_strided: .* has gaps in memory"):
        gaps.as_strided((2,), (1,))


@pytest.mark.parametrize("kind", "float16 float32 float64 uint8 int8 int16 int32 int64 bool".split())
@pytest.mark.parametrize("made", [pickle.dumps, copy.copy, copy.deepcopy])
def test_copies_of_tensors_keep_their_dtype(where, kind, made):
    values = [0, 1, 2**53 + 1] if kind == "int64" else [0, 1, 1]
    x = minidl.tensor(values, dtype=getattr(minidl, kind), device=where.name)
    y = made(x)
    y = pickle.loads(y) if isinstance(y, bytes) else y
    assert y.dtype == x.dtype and y.device == x.device and y.tolist() == x.tolist() and type(y) is minidl.Tensor
    p = nn.Parameter(x, requires_grad=False)
    q = pickle.loads(pickle.dumps(p))
    assert type(q) is nn.Parameter and q.dtype == x.dtype and q.tolist() == x.tolist()
