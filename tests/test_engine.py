"""The tape itself: what a node holds and frees, ops with several outputs, in-place changes, anomaly mode, devices."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn, ops
from minidl.engine import OPS, Aux, Node
from minidl.nn import functional as F
from minidl.tensor import wrap


def _captured(node):
    """The arrays that the vjps of a node hold."""
    from minidl.guards import captured

    vjps = node.vjps if isinstance(node.vjps, tuple) else (node.vjps,)
    return [a for f in vjps if f is not None for a in captured(f, set())]


# ---------------------------------------------------------------------------------------------------------- nodes
def test_nodes_point_at_nodes_and_leaves(where):
    x, w = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
    a = x * w
    b = a + 1.0
    assert isinstance(b.grad_fn, Node) and b.grad_fn.name() == "add" and repr(b.grad_fn) == "<add>"
    assert b.grad_fn.parents[0] is a.grad_fn and b.grad_fn.parents[1] is None
    assert a.grad_fn.parents[0] is x and a.grad_fn.parents[1] is w
    assert b.grad_fn.next_functions == ((a.grad_fn, 0), (None, 0))
    assert x.is_leaf and x.grad_fn is None and not a.is_leaf
    assert x.grad_fn is None and b.grad_fn.order > a.grad_fn.order


def test_interior_tensors_are_freed_at_once(where):
    x = where.leaf(np.ones((8, 8)))
    a = x * 2.0
    b = a + 1.0  # add captures nothing
    tensor, memory = weakref.ref(a), weakref.ref(a.array)
    del a
    assert tensor() is None and memory() is None
    c = b.exp()
    memory, own = weakref.ref(b.array), weakref.ref(c.array)
    del b
    assert memory() is None  # exp keeps its result, not its input
    d = c.sum()
    del c
    assert own() is not None
    d.backward()
    assert own() is None  # a used graph is released
    np.testing.assert_allclose(where.host(x.grad), 2 * np.exp(3.0))


def test_what_is_captured(where, rng):
    x, y = where.leaf(rng.normal(size=(4, 4))), where.leaf(rng.normal(size=(4, 4)))
    plain = where.tensor(rng.normal(size=(4, 4)))
    for z, expected in (
        (x + y, []),
        (x - y, []),
        (x.sum(0), []),
        (x.reshape(16), []),
        (x.T, []),
        (-x, []),
        (x * plain, [plain]),  # for x's gradient only the other factor is needed
        (plain * x, [plain]),
        (x * x, [x, x]),
        (x @ plain, [plain]),
        (plain @ x, [plain]),
        (x * 3.0, []),
    ):
        held = _captured(z.grad_fn)
        assert len(held) == len(expected), z.grad_fn.name()
        assert all(any(a is t.array for t in expected) for a in held), z.grad_fn.name()
    for z in (x.exp(), x.tanh(), x.sigmoid(), x.relu(), x.abs().sqrt(), x.softmax(0)):
        assert [a is z.array for a in _captured(z.grad_fn)] == [True], z.grad_fn.name()
    for node in (F.linear(x, plain).grad_fn, F.linear(plain, x).grad_fn):
        assert all(a is plain.array for a in _captured(node))


def test_memory_of_four_blocks(where, rng):
    """After conv, batch norm and relu there live: the conv's input, batch norm's input, and relu's output."""
    if where.name == "cuda":
        x = where.tensor(np.ones((2, 3, 8, 8), np.float32))
    else:
        x = minidl.ones(2, 3, 8, 8)
    w, gamma, beta = (
        minidl.ones(*s, requires_grad=True).to(where.name).detach().requires_grad_() for s in ((3, 3, 3, 3), (3,), (3,))
    )
    h, watched = x, []
    for _ in range(4):
        h = F.conv2d(h, w, padding=1)
        watched.append(weakref.ref(h.array))
        h = F.batch_norm(h, None, None, gamma, beta, True)
        watched.append(weakref.ref(h.array))
        h = h.relu()
        watched.append(weakref.ref(h.array))
    alive = [r() is not None for r in watched]
    assert alive == [True, False, True] * 4


def test_constants_and_unneeded_vjps_are_dropped(where):
    x, plain = where.leaf([1.0, 2.0]), where.tensor([3.0, 4.0])
    node = (x * plain).grad_fn
    assert [f is None for f in node.vjps] == [False, True]
    assert not (plain * plain).requires_grad and (plain * plain).grad_fn is None
    assert not (x > plain).requires_grad
    assert (x * 1).grad_fn.parents[1] is None


def test_graphs_without_a_leaf_that_wants_one_are_not_recorded(where):
    x = where.tensor([1.0, 2.0])
    y = (x * 2).exp().sum()
    assert y.is_leaf and not y.requires_grad
    z = minidl.where(where.leaf([1.0, 2.0]) > 1, x, 0.0)  # a condition has no gradient
    assert not z.requires_grad


# --------------------------------------------------------------------------------- several outputs, Aux, joint vjps
def test_aux_and_integer_outputs_are_never_tracked(where, new_op):
    @new_op
    def both(x):
        B = ops.elementwise.backend_of(x)
        return (x * 2.0, Aux(x * 3.0), B.argmax(x, axis=None)), (lambda g, *rest: g * 2.0,)

    x = where.leaf([1.0, 5.0])
    y, aux, index = both(x)
    assert y.requires_grad and not aux.requires_grad and not index.requires_grad
    assert aux.dtype == minidl.float64 and index.dtype == minidl.int64
    y.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [2, 2])
    plain = both(where.array([1.0, 5.0]))
    assert type(plain) is tuple and [type(a) for a in plain] == [where.type] * 3  # on arrays Aux is taken off


def test_a_joint_vjp_is_told_what_is_needed(where, new_op):
    asked = []

    @new_op
    def joined(a, b, c):
        def joint(g, *, needs):
            asked.append(needs)
            return tuple([g * n if need else None for n, need in zip((1.0, 2.0, 3.0), needs, strict=True)])

        return a + 2.0 * b + 3.0 * c, joint

    x, plain = where.leaf([1.0]), where.tensor([1.0])
    joined(x, plain, x).sum().backward()
    joined(plain, x, 5.0).sum().backward()
    assert asked == [(True, False, True), (False, True, False)]
    assert where.host(x.grad).tolist() == [6.0]


def test_a_joint_vjp_may_give_one_array_for_several_inputs(where, new_op):
    @new_op
    def doubled(a, b):
        def joint(g, *, needs):
            fresh = g * 2.0
            return fresh, fresh

        return 2.0 * (a + b), joint

    x, y = where.leaf([1.0, 1.0]), where.leaf([1.0, 1.0])
    doubled(x, y).sum().backward()
    assert not where.backend.may_share_memory(x.grad.array, y.grad.array)
    x.grad.zero_()
    assert where.host(y.grad).tolist() == [2.0, 2.0]
    x.grad = y.grad = None
    z = doubled(x, x) + x + doubled(y, x)  # summed in place somewhere on the way
    z.sum().backward()
    assert where.host(x.grad).tolist() == [7.0, 7.0] and where.host(y.grad).tolist() == [2.0, 2.0]


def test_gradients_that_are_added_in_place_reach_no_other(where):
    """A gradient that was borrowed once must be copied before anything is added to it."""
    x = where.leaf([1.0, 1.0])
    y = where.leaf([1.0, 1.0])
    s = x + y  # both borrow the gradient of s
    t = s + x
    (t + s + x + x).sum().backward()
    assert where.host(x.grad).tolist() == [5.0, 5.0] and where.host(y.grad).tolist() == [2.0, 2.0]
    seed = where.tensor([1.0, 1.0])
    x.grad = y.grad = None
    (x + y).backward(seed, retain_graph=True)
    x.backward(seed)
    y.backward(x.grad)
    assert where.host(seed).tolist() == [1.0, 1.0]
    assert where.host(x.grad).tolist() == [2.0, 2.0] and where.host(y.grad).tolist() == [3.0, 3.0]


def test_vjps_that_are_wrong_are_reported_by_name(where, new_op):
    @new_op
    def wrong_shape(x):
        return x * 1.0, (lambda g: g[:1],)

    @new_op
    def too_few(a, b):
        return a + b, (lambda g: g,)

    x = where.leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"'wrong_shape'.*\(1,\).*\(2,\)"):
        wrong_shape(x).sum().backward()
    with pytest.raises(ValueError):
        too_few(x, x).sum().backward()


def test_ops_refuse_foreign_things_by_name(where):
    x = where.leaf([1.0, 2.0])
    for bad in ("a", [1.0], object(), 1j):
        with pytest.raises(TypeError, match="add: expected Tensors, arrays or numbers"):
            x + bad
    with pytest.raises(ValueError, match=r"add: .*\(2,\), \(3,\)"):
        x + where.tensor([1.0, 2.0, 3.0])
    with pytest.raises(IndexError, match=r"sum: .*"):
        x.sum(1)
    with pytest.raises(ValueError, match=r"matmul: cannot multiply \(1, 2\) by \(1, 2\)"):
        x.view(1, 2) @ x.view(1, 2)
    with pytest.raises(IndexError, match="cat: dimension 1"):
        minidl.cat([x, x], 1)
    with pytest.raises(IndexError, match="stack: dimension 5"):
        minidl.stack([x, x], 5)
    with pytest.raises(ValueError, match="reshape"):
        x.reshape(3)


# ------------------------------------------------------------------------------------------------- replaced bodies
def test_replaced(where):
    calls = []

    def my_multiply(a, b):
        calls.append("forward")
        return a * b, (lambda g: calls.append("backward") or g * b * 2.0, lambda g: g * a)

    x, w = where.leaf([3.0]), where.leaf([5.0])
    with ops.replaced(multiply=my_multiply):
        (x * w).backward()
        assert calls == ["forward", "backward"]
    assert where.host(x.grad).tolist() == [10.0] and where.host(w.grad).tolist() == [3.0]
    x.grad = None
    (x * w).backward()
    assert where.host(x.grad).tolist() == [5.0] and len(calls) == 2
    with pytest.raises(KeyError, match="no op is called mul"), ops.replaced(mul=my_multiply):
        pass
    with pytest.raises(ZeroDivisionError), ops.replaced(multiply=my_multiply):
        raise ZeroDivisionError
    assert OPS["multiply"].body is not my_multiply


def test_replaced_runs_inside_layers_and_takes_away_the_definition(where):
    def conv(x, w, b, **how):
        return where.backend.zeros((2, 1, 3, 3), dtype=x.dtype), (None, None, None)

    x, w = where.leaf(np.ones((2, 1, 3, 3))), where.leaf(np.ones((1, 1, 1, 1)))
    with ops.replaced(conv2d=conv):
        assert not where.host(F.conv2d(x, w)).any()
    assert where.host(F.conv2d(x, w)).all()

    def setitem(x, value, *, index):
        y = x * 1.0
        return y, (lambda g: g * 7.0, None)

    y = x * 1.0
    with ops.replaced(setitem=setitem):
        y[0] = 5.0
        (g,) = minidl.grad(y.sum(), x, create_graph=True)  # the replay uses the new body, not the old definition
    assert where.host(g).ravel()[0] == 7.0


# ------------------------------------------------------------------------------------------------ in-place changes
def test_a_changed_input_that_is_needed_is_refused(where):
    def change(t):
        with minidl.no_grad():
            t.add_(1.0)

    x, w = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
    for forward, changed, op in (
        (lambda: x * w, w, "multiply"),
        (lambda: x * w, x, "multiply"),
        (lambda: x / w, w, "divide"),
        (lambda: x.log(), x, "log"),
        (lambda: x**2, x, "square"),
        (lambda: minidl.maximum(x, w), x, "maximum"),
        (lambda: x.dot(w), w, "matmul"),
    ):
        y = forward().sum()
        change(changed)
        with pytest.raises(RuntimeError, match=f"'{op}'.*needs was changed in place.*clone"):
            y.backward()
    for forward in (
        lambda: x + w,
        lambda: x - w,
        lambda: x.sum(),
        lambda: x * 3.0,
        lambda: x[0],
        lambda: x.relu(),
        lambda: x.exp(),
    ):
        y = forward().sum()
        change(x)
        y.backward()  # add needs neither, exp and relu need their results


def test_a_changed_output_that_is_needed_is_refused(where):
    x = where.leaf([0.5, 2.0])
    for forward, op in (
        (lambda: x.exp(), "exp"),
        (lambda: x.tanh(), "tanh"),
        (lambda: x.sqrt(), "sqrt"),
        (lambda: 1.0 / x, "divide"),
    ):
        y = forward()
        z = y.sum()
        with minidl.no_grad():
            y.mul_(2.0)
        with pytest.raises(RuntimeError, match=f"'{op}'.*was changed in place"):
            z.backward()
    for forward in (lambda: x * 2, lambda: x.log(), lambda: F.batch_norm(x.view(2, 1), None, None, training=True)):
        y = forward()
        z = (y * 1.0).sum()
        with minidl.no_grad():
            y.mul_(2.0)
        z.backward()  # nobody needs it


def test_changes_through_views_and_detached_tensors_are_seen(where):
    def through_view(w):
        with minidl.no_grad():
            w.view(-1)[0:1].mul_(2.0)

    def through_detach(w):
        w.detach().mul_(2.0)

    def assigned_data(w):
        w.data = w.detach().clone()

    def through_index(w):
        with minidl.no_grad():
            w[1] = 0.0

    def through_copy(w):
        with minidl.no_grad():
            w.copy_(minidl.zeros_like(w))

    def as_an_optimizer(w):
        optimizer = minidl.optim.SGD([w], lr=0.1)
        w.grad = minidl.ones_like(w)
        optimizer.step()

    def inplace_add(w):
        with minidl.no_grad():
            w -= 0.1

    for change in (
        through_view,
        through_detach,
        assigned_data,
        through_index,
        through_copy,
        as_an_optimizer,
        inplace_add,
    ):
        x, w = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
        y = (x * w).sum()
        change(w)
        with pytest.raises(RuntimeError, match="'multiply'.*changed in place"):
            y.backward()
    x, w = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
    view = w[:1]
    y = (x[:1] * view).sum()
    with minidl.no_grad():
        w.mul_(2.0)
    with pytest.raises(RuntimeError, match="'multiply'.*changed in place"):
        y.backward()


def test_a_change_elsewhere_in_the_same_memory_is_allowed(where):
    memory = where.tensor(np.arange(6.0))
    a, b = memory[:3].requires_grad_(), memory[3:]
    y = (a * a).sum()
    b.zero_()
    y.backward()
    np.testing.assert_array_equal(where.host(a.grad), [0, 2, 4])
    y = (a * a).sum()
    for k in range(3):
        memory[3 + k :].add_(1.0)
    y.backward()


def test_a_changed_index_is_refused(where):
    x, index = where.leaf([1.0, 2.0, 3.0]), where.tensor([0, 0, 1])
    y = x[index].sum()
    index.add_(1)
    with pytest.raises(RuntimeError, match="'getitem'.*changed in place"):
        y.backward()
    mask = where.tensor([True, False, True])
    y = x * 1.0
    y[mask] = 0.0
    mask.copy_(~mask)
    with pytest.raises(RuntimeError, match="'setitem'.*changed in place"):
        y.sum().backward()


def test_changes_before_recording_and_after_backward_do_not_matter(where):
    x, w = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
    for _ in range(3):
        loss = (x * w).sum()
        loss.backward()
        with minidl.no_grad():
            w -= 0.1 * w.grad
            x.mul_(1.0)
        w.grad = None
    assert where.host(w)[0] == pytest.approx(3.0 - 0.3)


def test_replay_notices_changes_too(where):
    x, w = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
    y = (x + w).sum() + (x * 2.0).sum()
    with minidl.no_grad():
        w.add_(1.0)
    y.backward(retain_graph=True)  # add needs neither of its inputs ...
    with pytest.raises(RuntimeError, match="'add'.*changed in place"):
        minidl.grad(y, x, create_graph=True)  # ... but the forward cannot be repeated


# ------------------------------------------------------------------------------------------------- in-place rules
def test_in_place_on_an_interior_tensor_is_a_new_node(where):
    x, identity = where.leaf([1.0, -2.0]), where.leaf([10.0, 20.0])
    out = x * 2.0
    before = out
    out += identity
    assert out is before
    out.relu_()
    out *= out
    out[0] = 7.0
    np.testing.assert_array_equal(where.host(out), [7, 16**2])
    out.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [0, 2 * 16 * 2])
    np.testing.assert_array_equal(where.host(identity.grad), [0, 2 * 16])


def test_in_place_functions_have_the_right_gradients(where):
    for change, derivative in (
        (lambda t: t.add_(1.0), lambda v: np.ones(2)),
        (lambda t: t.sub_(1.0), lambda v: np.ones(2)),
        (lambda t: t.mul_(3.0), lambda v: np.full(2, 3.0)),
        (lambda t: t.div_(2.0), lambda v: np.full(2, 0.5)),
        (lambda t: t.pow_(3), lambda v: 3 * v**2),
        (lambda t: t.exp_(), lambda v: np.exp(v)),
        (lambda t: t.sqrt_(), lambda v: 0.5 / np.sqrt(v)),
        (lambda t: t.clamp_(max=1.0), lambda v: (v < 1) * 1.0),
        (lambda t: t.zero_(), lambda v: np.zeros(2)),
        (lambda t: t.fill_(3.0), lambda v: np.zeros(2)),
        (lambda t: t.masked_fill_(t > 1, 0.0), lambda v: (v < 1) * 1.0),
        (lambda t: t.neg_(), lambda v: -np.ones(2)),
        (lambda t: t.copy_(where.tensor([1.0, 1.0])), lambda v: np.zeros(2)),
    ):
        x = where.leaf([0.25, 4.0])
        y = x * 1.0
        assert change(y) is y
        (g,) = minidl.grad(y.sum() + (x * 0.0).sum(), x)
        np.testing.assert_allclose(where.host(g), derivative(np.array([0.25, 4.0])))


def test_in_place_on_a_leaf(where):
    w = where.leaf([1.0, 2.0])
    for change in (
        lambda: w.add_(1.0),
        lambda: w.zero_(),
        lambda: w.__setitem__(0, 1.0),
        lambda: w.copy_(w * 2),
        lambda: w.normal_(),
    ):
        with pytest.raises(RuntimeError, match="leaf Tensor that requires a gradient was changed in place"):
            change()
    memory = w.array
    with minidl.no_grad():
        w += 1.0
        w[0] = 9.0
        w.mul_(2.0).clamp_(max=10.0)
    assert w.array is memory and w.requires_grad and w.is_leaf
    np.testing.assert_array_equal(where.host(w), [10, 6])
    plain = where.tensor([1.0, 2.0])
    memory = plain.array
    alias = plain.detach()
    plain += 1.0  # a tensor without gradients changes where it lies
    assert plain.array is memory and where.host(alias).tolist() == [2.0, 3.0]


VIEWS = {
    "row": lambda x: x[0],
    "columns": lambda x: x[:, 1:],
    "T": lambda x: x.T,
    "view": lambda x: x.view(6),
    "windows": lambda x: x.unfold(1, 2, 2),
    "diagonal of a transpose": lambda x: x.t().diagonal(),
    "strided": lambda x: x.as_strided((2, 2), (3, 1), 1),
    "rows of a view": lambda x: x.view(6)[1:4],
    "part of a row": lambda x: x[1][1:],
    "iterated": lambda x: next(iter(x)),
    "permuted": lambda x: x.unsqueeze(0).permute(2, 0, 1)[1],
}
CHANGES = {
    "add_": lambda v, w: v.add_(1.0),
    "mul_": lambda v, w: v.mul_(w.sum()),
    "zero_": lambda v, w: v.zero_(),
    "+=": lambda v, w: v.__iadd__(v * 2),
    "[...] =": lambda v, w: v.__setitem__(..., w.sum()),
}


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("view", VIEWS)
def test_in_place_on_a_view_changes_what_it_is_a_view_of(where, view, change, recorded):
    """Against the same change written out: an index image says which elements the view has."""
    values = np.arange(1.0, 7.0).reshape(2, 3)
    w = where.leaf(values)
    x = w * 1.0 if recorded else where.tensor(values)
    v = VIEWS[view](x)
    CHANGES[change](v, w)
    hit = VIEWS[view](where.tensor(np.arange(6).reshape(2, 3))).reshape(-1)
    flat = w.reshape(-1) * 1.0 if recorded else where.tensor(values.reshape(-1))
    new = {
        "add_": lambda: flat[hit] + 1.0,
        "mul_": lambda: flat[hit] * w.sum(),
        "zero_": lambda: flat[hit] * 0.0,
        "+=": lambda: flat[hit] * 3.0,
        "[...] =": lambda: flat[hit] * 0.0 + w.sum(),
    }[change]()
    flat[hit] = new
    assert where.host(x).tolist() == where.host(flat).reshape(2, 3).tolist()
    assert where.host(v).tolist() == where.host(VIEWS[view](x)).tolist()
    assert x.requires_grad == flat.requires_grad and v.requires_grad == new.requires_grad or change == "zero_"
    if x.requires_grad:
        c = where.tensor(np.arange(2.0, 8.0).reshape(2, 3))
        (found,) = minidl.autograd.grad((x * x * c).sum() + (v * v).sum(), w)
        (expected,) = minidl.autograd.grad((flat * flat * c.reshape(-1)).sum() + (flat[hit] * flat[hit]).sum(), w)
        np.testing.assert_allclose(where.host(found), where.host(expected), rtol=1e-12)


def test_in_place_on_a_view_where_it_cannot_be(where):
    w = where.leaf([[1.0, 2.0], [3.0, 4.0]])
    base = w * 1.0
    for view in (base.split(1)[0], base.expand(3, 2, 2)):
        with pytest.raises(RuntimeError, match="is a view made by '(split|broadcast_to)' of one that is still in use"):
            view.add_(1.0)
    with pytest.raises(RuntimeError, match="leaf Tensor that requires a gradient was changed in place"):
        w.view(4).add_(1.0)
    assert where.host(base).tolist() == [[1, 2], [3, 4]] == where.host(w).tolist()
    view = (w * 1.0)[0]  # nobody else holds it
    view += 1.0
    assert where.host(view).tolist() == [2.0, 3.0]
    for separate in (base[:, [0, 1]], base[base > 0], base.T.reshape(4), base.clone()):
        separate.add_(1.0)  # copies, whatever NumPy's `base` says
    assert where.host(base).tolist() == [[1, 2], [3, 4]]


def test_augmented_assignment_to_elements(where):
    w = where.leaf([1.0, 2.0, 3.0])
    out = where.tensor(np.zeros((2, 3)))
    for i in range(2):
        out[i] += w * (i + 1)
        out[i, 0] *= 2.0
    out.sum().backward()
    assert where.host(out).tolist() == [[2.0, 2.0, 3.0], [4.0, 4.0, 6.0]]
    assert where.host(w.grad).tolist() == [6.0, 3.0, 3.0]


def test_a_long_series_of_views_remembers_living_tensors_only(where):
    x = where.tensor(np.arange(100.0))
    for _ in range(90):
        x = x[1:]
    length, base = 0, x._base
    while base is not None:
        length, base = length + 1, base[1]
    assert length <= 2


def test_in_place_without_gradients_goes_through_views(where):
    x = where.tensor([[1.0, 2.0], [3.0, 4.0]])
    x[0].zero_()
    x[1, 1].fill_(9.0)
    x.T[0].add_(1.0)
    next(iter(x))[1:].add_(0.5)
    np.testing.assert_array_equal(where.host(x), [[1, 0.5], [4, 9]])
    vector = where.tensor([1.0, 2.0])
    vector[0].mul_(5.0)  # a 0-d view
    for element in vector:
        element.add_(1.0)
    np.testing.assert_array_equal(where.host(vector), [6, 3])
    x[:, 1] += where.tensor([1.0, 1.0])
    np.testing.assert_array_equal(where.host(x), [[1, 1.5], [4, 10]])


def test_in_place_refuses_other_shapes_and_dtypes(where):
    x = where.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"add_: the result has shape \(2, 2\), the tensor \(2,\)"):
        x.add_(where.tensor([[1.0], [2.0]]))
    n = where.tensor([1, 2])
    with pytest.raises(RuntimeError, match="mul_: the result is .*float32 and cannot be stored in place in .*int64"):
        n.mul_(0.5)
    n += 1
    assert n.dtype == minidl.int64
    half = where.tensor([1.0, 2.0], np.float32)
    half += where.tensor([1.0, 1.0], np.float64)
    assert half.dtype == minidl.float32
    y = where.leaf([1.0, 2.0], np.float32) * 1.0
    y += where.leaf([1.0, 1.0], np.float64)
    assert y.dtype == minidl.float32 and y.requires_grad


def test_constant_gets_a_gradient_in_place(where):
    total = where.tensor([0.0, 0.0])
    x = where.leaf([1.0, 2.0])
    for n in range(3):
        total += x * n
    assert total.requires_grad
    total.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [3, 3])
    rows = where.tensor(np.zeros((3, 2)))
    for n in range(3):
        rows[n] = x * n
    (rows * rows).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), 3 + 2 * where.host(x) * 5)


def test_assigning_data(where):
    w = where.leaf([1.0, 2.0])
    memory = w.array
    w.data = where.tensor([5.0, 6.0])
    assert w.array is memory and where.host(w).tolist() == [5.0, 6.0] and w.requires_grad
    w.data = where.tensor([1.0, 2.0, 3.0], np.float32)
    assert w.shape == (3,) and w.dtype == minidl.float32 and w.requires_grad
    w.data[0] = 9.0
    assert where.host(w).tolist() == [9.0, 2.0, 3.0]


# ----------------------------------------------------------------------------------------------------- anomaly mode
def test_anomaly_mode_names_op_module_and_line(where):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.second = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))

        def forward(self, x):
            return self.second(self.first(x))

    net = Net().double().to(where.name)
    with minidl.no_grad():
        net.first.weight.fill_(1.0)
        net.first.bias.fill_(1.0)
        net.second[1].weight.fill_(np.inf)
    x = where.leaf([[1.0, 2.0]])
    with (
        minidl.detect_anomaly(),
        pytest.raises(RuntimeError, match=r"forward of 'linear' in module 'second.1' gave (nan|inf)"),
    ):
        net(x)
    with minidl.detect_anomaly():
        y = where.leaf([0.0, 1.0]).sqrt()  # fine forward, infinite backward
        with (
            pytest.raises(RuntimeError, match=r"backward of 'sqrt' gave inf.*test_engine.py:\d+"),
            np.errstate(divide="ignore"),
        ):
            y.sum().backward()
    with (
        minidl.detect_anomaly(),
        np.errstate(divide="ignore"),
        pytest.raises(RuntimeError, match="forward of 'log' gave inf"),
    ):
        where.leaf([0.0, 1.0]).log()
    with np.errstate(divide="ignore"):
        where.leaf([0.0, 1.0]).log()  # outside nothing is checked


def test_anomaly_mode_names_the_line_of_a_changed_tensor(where):
    x, w = where.leaf([1.0]), where.leaf([2.0])
    with minidl.detect_anomaly():
        y = x * w
    with minidl.no_grad():
        w.add_(1.0)
    with pytest.raises(RuntimeError, match=r"'multiply' \(.*test_engine.py:\d+\) needs was changed"):
        y.backward()


def test_anomaly_mode_nests_and_ends(where):
    from minidl import modes

    context = minidl.detect_anomaly()

    @minidl.detect_anomaly()
    def recursive(n):
        return modes.mode.anomaly and (n == 0 or recursive(n - 1))

    with context, context:
        assert recursive(2)
    assert not modes.mode.anomaly and modes.watching == modes.views


# ----------------------------------------------------------------------------------------- threads, devices, copies
def test_threads_work_independently(where):
    results, errors = {}, []

    def work(k):
        try:
            minidl.manual_seed(k)
            for _ in range(20):
                x = where.leaf(np.full(50, float(k)))
                y = x
                for _ in range(20):
                    y = y * 1.0 + x
                    with minidl.no_grad():
                        assert not (y * 2).requires_grad
                y.sum().backward()
                x.detach().add_(1.0)
            results[k] = where.host(x.grad)[0], minidl.rand(1).item()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert {r[0] for r in results.values()} == {21.0} and len({r[1] for r in results.values()}) == 4
    for k in range(4):  # its numbers depend on its own seed alone
        assert minidl.manual_seed(k) and minidl.rand(1).item() == results[k][1]


def test_a_backward_in_another_thread(where):
    x = where.leaf([1.0, 2.0])
    y = (x * x).sum()
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    np.testing.assert_array_equal(where.host(x.grad), [2, 4])


def test_devices_do_not_mix():
    cpu, gpu = minidl.ones(2, requires_grad=True), minidl.ones(2, device="cuda")
    for function in (
        lambda: cpu + gpu,
        lambda: gpu * cpu,
        lambda: minidl.cat([cpu, gpu]),
        lambda: F.linear(cpu, gpu.view(1, 2)),
        lambda: minidl.where(gpu > 0, cpu, cpu),
    ):
        with pytest.raises(
            TypeError, match=r"all tensors must be on one device, got .*float32 \(.*cpu.*cuda:0|cuda:0.*cpu"
        ):
            function()
    with pytest.raises(RuntimeError, match="cpu.*got.*cuda"):
        cpu.backward(gpu)
    assert (gpu + 1).device == "cuda:0" and (2 * cpu).device == "cpu"


def test_transfer_between_devices_has_a_gradient():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 2).to("cuda")
    assert y.device == "cuda:0" and y.is_cuda and y.grad_fn.name() == "transfer"
    (y * y).sum().backward()
    assert x.grad.device == "cpu" and x.grad.tolist() == [8.0, 16.0]
    z = y.detach().requires_grad_()
    (g,) = minidl.grad((z.cpu() ** 3).sum(), z, create_graph=True)
    (h,) = minidl.grad(g.sum(), z)
    assert h.device == "cuda:0" and h.cpu().tolist() == [12.0, 24.0]
    assert x.to("cpu") is x and y.to("cuda:0") is y and y.cuda() is y


def test_copies_and_pickles(where):
    w = nn.Parameter(where.tensor([1.0, 2.0]))
    w.grad = where.tensor([3.0, 4.0])
    twin = copy.deepcopy(w)
    assert type(twin) is nn.Parameter and twin.requires_grad and twin.grad is not w.grad
    assert not where.backend.may_share_memory(twin.array, w.array)
    assert where.host(twin.grad).tolist() == [3.0, 4.0]
    back = pickle.loads(pickle.dumps(w))
    assert type(back) is nn.Parameter and back.requires_grad and type(back.array) is where.type
    assert where.host(back).tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="deepcopy: only leaf"):
        copy.deepcopy(w * 2)


def test_operators_with_bare_arrays_give_tensors(where):
    x, array = where.leaf([1.0, 2.0]), where.array([10.0, 20.0])
    for y in (
        array + x,
        x + array,
        array * x,
        array - x,
        array / x,
        array @ x if where.name == "cpu" else x @ wrap(array),
    ):
        assert isinstance(y, minidl.Tensor) and y.requires_grad
    assert isinstance(array > x, minidl.Tensor)


def test_the_walk_is_linear_in_a_graph_with_many_paths(where):
    """2**60 paths, 60 nodes."""
    x = where.leaf([1.0])
    y = x
    for _ in range(60):
        y = (y + y) * 0.5
    y.backward()
    assert where.host(x.grad).tolist() == [1.0]
    gc.collect()
