"""Gradients on demand: `backward` and `grad` with all their options, hooks, `retain_grad`, and the modes."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minidl
from minidl import autograd
from minidl.nn import functional as F


# ------------------------------------------------------------------------------------------------------- backward
def test_backward_of_a_scalar_and_of_a_tensor(where):
    x = where.leaf([1.0, 2.0, 3.0])
    (x * x).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [2, 4, 6])
    (x * x).backward(where.tensor([1.0, 0.0, 10.0]))
    np.testing.assert_array_equal(where.host(x.grad), [4, 4, 66])  # gradients add up
    with pytest.raises(RuntimeError, match=r"backward: only a scalar.*float64 \(3,\)"):
        (x * x).backward()
    x.grad = None
    (x[:1] * 3).backward()  # one element is a scalar too, whatever its dimensions
    np.testing.assert_array_equal(where.host(x.grad), [3, 0, 0])


def test_backward_refuses_what_it_cannot_use(where):
    x = where.leaf([1.0, 2.0])
    y = x * 2
    for bad in (where.tensor([1.0, 1.0, 1.0]), where.tensor([[1.0, 1.0]]), 1.0, np.array([1])[0], "one"):
        with pytest.raises(RuntimeError, match="backward: the gradient must be like the tensor"):
            y.backward(bad)
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        where.tensor([1.0]).backward()
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        y.detach().sum().backward()
    with pytest.raises(RuntimeError, match="2 tensors but 1 gradients"):
        autograd.backward([y, y], [where.tensor([1.0, 1.0])])
    y.backward(where.tensor([1.0, 1.0], np.float32))  # another dtype is cast
    assert x.grad.dtype == minidl.float64
    x.grad = None
    x.backward(where.tensor([1.0, 1.0], np.float32))
    assert x.grad.dtype == minidl.float64


def test_backward_from_a_leaf_and_from_several_tensors(where):
    x = where.leaf([1.0, 2.0])
    x.backward(where.tensor([3.0, 4.0]))
    np.testing.assert_array_equal(where.host(x.grad), [3, 4])
    x.grad = None
    y = x * 3
    autograd.backward([y.sum(), (y * y).sum(), x.sum(), y.sum()])
    np.testing.assert_array_equal(where.host(x.grad), 3 + 18 * where.host(x) + 1 + 3)
    x.grad = None
    autograd.backward((y2 := x * 3, y2), (where.tensor([1.0, 0.0]), where.tensor([0.0, 1.0])))
    np.testing.assert_array_equal(where.host(x.grad), [3, 3])


def test_backward_inputs(where):
    x, w, unused = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0]), where.leaf([1.0])
    h = x * w
    (h * h).sum().backward(inputs=[w], retain_graph=True)
    assert x.grad is None and h.grad is None
    np.testing.assert_array_equal(where.host(w.grad), 2 * where.host(h) * where.host(x))
    (h * 5).sum().backward(inputs=[h, x, unused])
    np.testing.assert_array_equal(where.host(h.grad), [5, 5])  # an interior tensor asked for by name
    np.testing.assert_array_equal(where.host(x.grad), [15, 20])
    assert unused.grad is None
    (h2 := x * 2).sum().backward(inputs=h2)
    np.testing.assert_array_equal(where.host(h2.grad), [1, 1])
    with pytest.raises(RuntimeError, match="`inputs` is empty"):
        (x * 2).sum().backward(inputs=[])


# ----------------------------------------------------------------------------------------------------------- grad
def test_grad_leaves_grad_alone_and_gives_new_tensors(where):
    x, y = where.leaf([1.0, 2.0]), where.leaf([5.0, 7.0])
    seed = where.tensor([1.0, 10.0])
    gx, gy = minidl.grad(x * y + x, (x, y), seed)
    np.testing.assert_array_equal(where.host(gx), [6, 80])
    np.testing.assert_array_equal(where.host(gy), [1, 20])
    assert x.grad is None and y.grad is None and not gx.requires_grad
    (same,) = minidl.grad(x + 0, x, seed)
    assert not where.backend.may_share_memory(same.array, seed.array)
    (itself,) = minidl.grad(x, [x], seed)
    np.testing.assert_array_equal(where.host(itself), [1, 10])


def test_grad_unused_inputs(where):
    x, other = where.leaf([1.0, 2.0]), where.leaf([[3.0]])
    with pytest.raises(RuntimeError, match="input 1.*allow_unused"):
        minidl.grad((x * x).sum(), [x, other])
    g, none = minidl.grad((x * x).sum(), [x, other], allow_unused=True)
    assert none is None and g is not None
    g, zeros = minidl.grad((x * x).sum(), [x, other], materialize_grads=True)
    assert zeros.shape == (1, 1) and zeros.dtype == minidl.float64 and zeros.item() == 0.0
    with pytest.raises(RuntimeError, match="not a Tensor that requires a gradient"):
        minidl.grad((x * x).sum(), [where.tensor([1.0])])
    with pytest.raises(RuntimeError, match="first dimension"):
        minidl.grad(x, x, where.tensor(1.0), is_grads_batched=True)


def test_grad_of_interior_tensors(where):
    x = where.leaf([2.0, 3.0])
    a = x * x
    b, c = a.exp(), a[0]
    y = (b * 1e-3).sum() + c * 5
    gy, gb, ga, gx = minidl.grad(y, [y, b, a, x])
    assert gy.item() == 1.0
    np.testing.assert_allclose(where.host(gb), [1e-3, 1e-3])
    np.testing.assert_allclose(where.host(ga), 1e-3 * where.host(b) + [5, 0])
    np.testing.assert_allclose(where.host(gx), where.host(ga) * 2 * where.host(x))
    parts = (x * 2).split(1)  # an output of an op with several
    (g,) = minidl.grad(parts[1].sum() * 4, parts[1])
    np.testing.assert_array_equal(where.host(g), [4])
    z = x * 3
    (g,) = minidl.grad([(z * z).sum(), z[1]], [z], retain_graph=True)
    np.testing.assert_array_equal(where.host(g), 2 * where.host(z) + [0, 1])


def test_grad_does_not_run_what_is_not_on_the_way(where, new_op):
    ran = []

    @new_op
    def noted(x):
        return x * 1.0, (lambda g: ran.append(1) or g,)

    x, w = where.leaf([1.0]), where.leaf([2.0])
    y = (noted(x) * w).sum()
    minidl.grad(y, w, retain_graph=True)
    assert not ran
    minidl.grad(y, x, retain_graph=True)
    assert ran == [1]
    side = noted(x)
    side.register_hook(lambda g: ran.append(2))
    minidl.grad((side * w).sum(), w)  # nor the hooks there
    z = noted(noted(w) * noted(x))
    minidl.grad(z.sum(), w, create_graph=True)
    assert 2 not in ran


def test_grad_computes_no_gradient_that_nobody_wants(where, new_op):
    asked = []

    @new_op
    def joined(a, b):
        def joint(g, *, needs):
            asked.append(needs)
            return g if needs[0] else None, g * 2 if needs[1] else None

        return a + 2 * b, joint

    @new_op
    def split_up(a, b):
        return a + b, (lambda g: asked.append("a") or g, lambda g: asked.append("b") or g)

    x, w = where.leaf([1.0]), where.leaf([2.0])
    minidl.grad(joined(x, w).sum(), w)
    minidl.grad(split_up(x, w * 1.0).sum(), x)
    split_up(x, w).sum().backward(inputs=[w])
    assert asked == [(False, True), "a", "b"] and x.grad is None


def test_grad_releases_only_what_it_walked_through(where):
    x = where.leaf([1.0, 2.0])
    h = x * x
    minidl.grad(h.sum(), h)  # h's own node lies behind what was asked for
    (h * 3).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [6, 12])


def test_create_graph_refuses_a_changed_leaf_that_no_gradient_reaches(where):
    x, w = where.leaf([1.0]), where.leaf([2.0])
    y = (x * (w * 3)).sum()
    with minidl.no_grad():
        w.add_(1.0)
    with pytest.raises(RuntimeError, match="'multiply' needs was changed in place"):
        minidl.grad(y, x, create_graph=True)  # the replay would compute w * 3 with the new w


def test_a_hook_may_change_its_copy_with_create_graph(where):
    x, y = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
    x.register_hook(lambda g: g.mul_(2.0))
    (x + y).sum().backward(create_graph=True)
    np.testing.assert_array_equal(where.host(x.grad.detach()), [2, 2])
    np.testing.assert_array_equal(where.host(y.grad.detach()), [1, 1])


def test_create_graph_over_a_released_graph_says_so(where):
    x = where.leaf([1.0])
    h = x.exp()
    h.sum().backward()
    with pytest.raises(RuntimeError, match="graph of 'exp' was released"):
        minidl.grad((h * 2).sum(), x, create_graph=True)


def test_tensors_made_on_a_tensors_memory_are_watched(where):
    x = where.leaf([1.0, 2.0])
    for alias in (minidl.Tensor, minidl.Parameter, lambda t: t.view(minidl.int64)):
        w = where.tensor([3.0, 4.0])
        y = (x * w).sum()
        with minidl.no_grad():
            alias(w).zero_()
        with pytest.raises(RuntimeError, match="'multiply' needs was changed in place"):
            y.backward()


def test_a_hook_may_not_change_the_dtype(where):
    x = where.leaf([1.0], np.float32)
    x.register_hook(lambda g: g.double())
    with pytest.raises(RuntimeError, match=r"hook: expected a Tensor of shape \(1,\) and minidl.float32"):
        x.sum().backward()


def test_several_outputs_with_some_unused(where):
    x = where.leaf([[1.0, 4.0], [3.0, 2.0]])
    a, b = x.split(1, 1)
    (g,) = minidl.grad(b.sum() * 2, x, retain_graph=True)
    np.testing.assert_array_equal(where.host(g), [[0, 2], [0, 2]])
    (g,) = minidl.grad([a, b], x, [where.tensor([[1.0], [2.0]]), where.tensor([[3.0], [4.0]])])
    np.testing.assert_array_equal(where.host(g), [[1, 3], [2, 4]])
    values, indices = x.max(1)
    assert values.requires_grad and not indices.requires_grad and indices.grad_fn is None


# -------------------------------------------------------------------------------------------------- higher orders
def test_create_graph_records_and_keeps_the_graph(where):
    x = where.leaf([2.0, 3.0])
    y = (x**4).sum()
    (g,) = minidl.grad(y, x, create_graph=True)
    assert g.requires_grad and g.grad_fn is not None
    (h,) = minidl.grad(g.sum(), x, create_graph=True)
    (t,) = minidl.grad(h.sum(), x, create_graph=True)
    (q,) = minidl.grad(t.sum(), x)
    for got, expected in (
        (g, 4 * np.array([8, 27])),
        (h, 12 * np.array([4, 9])),
        (t, 24 * np.array([2, 3])),
        (q, [24, 24]),
    ):
        np.testing.assert_allclose(where.host(got), expected)
    y.backward()  # the first graph is still there
    np.testing.assert_allclose(where.host(x.grad), where.host(g))


def test_create_graph_through_backward(where):
    x = where.leaf([1.0, 2.0])
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    first, x.grad = x.grad, None
    (first**2).sum().backward()  # d/dx (3 x^2)^2 = 36 x^3
    np.testing.assert_allclose(where.host(x.grad), 36 * where.host(x) ** 3)
    x.grad = None
    (x**3).sum().backward(create_graph=True)
    (x**2).sum().backward(create_graph=True)
    np.testing.assert_allclose(where.host(x.grad), 3 * where.host(x) ** 2 + 2 * where.host(x))
    (g,) = minidl.grad(x.grad.sum(), x)
    np.testing.assert_allclose(where.host(g), 6 * where.host(x) + 2)


def test_create_graph_with_a_gradient_that_requires_one(where):
    x, v = where.leaf([1.0, 2.0]), where.leaf([3.0, 4.0])
    (g,) = minidl.grad(x * x, x, v, create_graph=True)
    gx, gv = minidl.grad(g.sum(), (x, v))
    np.testing.assert_array_equal(where.host(gx), 2 * where.host(v))
    np.testing.assert_array_equal(where.host(gv), 2 * where.host(x))


def test_a_linear_function_has_no_second_derivative(where):
    x = where.leaf([1.0, 2.0])
    (g,) = minidl.grad((x * 3).sum(), x, create_graph=True)
    assert not g.requires_grad
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        minidl.grad(g.sum(), x)


def test_create_graph_under_no_grad_records_all_the_same(where):
    x = where.leaf([2.0])
    y = (x**3).sum()
    with minidl.no_grad():
        (g,) = minidl.grad(y, x, create_graph=True)
        assert g.requires_grad and not minidl.is_grad_enabled()
    (h,) = minidl.grad(g.sum(), x)
    assert h.item() == 12.0


def test_mixed_second_derivatives_through_a_shared_subgraph(where, rng):
    x, w = where.leaf(rng.normal(size=(4, 3))), where.leaf(rng.normal(size=(3, 3)))
    h = (x @ w).tanh()
    y = (h * h.sum(0) + F.linear(h, w)).exp().mean()
    gx, gw = minidl.grad(y, (x, w), create_graph=True)
    a = minidl.grad((gx * gx).sum() + (gw**3).sum(), (x, w), retain_graph=True)
    b = minidl.grad((gx * gx).sum(), (x, w), retain_graph=True)
    c = minidl.grad((gw**3).sum(), (x, w))
    for whole, part, other in zip(a, b, c, strict=True):
        np.testing.assert_allclose(where.host(whole), where.host(part) + where.host(other), rtol=1e-10)


def test_second_derivatives_of_mixed_dtypes(where):
    x, w = where.leaf([1.0, 2.0], np.float32), where.leaf([3.0, 4.0])
    y = (x * x * w).sum() + F.mse_loss(x, w, reduction="sum") + (x / where.tensor([2, 2])).exp().sum()
    assert y.dtype == minidl.float64
    gx, gw = minidl.grad(y, (x, w), create_graph=True)
    assert gx.dtype == minidl.float32 and gw.dtype == minidl.float64
    hx, hw = minidl.grad(gx.sum() + gw.sum(), (x, w))
    assert hx.dtype == minidl.float32 and hw.dtype == minidl.float64
    values, weights = where.host(x).astype(float), where.host(w)
    np.testing.assert_allclose(where.host(hx), 2 * weights + 2 * values + np.exp(values / 2) / 4, rtol=1e-6)
    np.testing.assert_allclose(where.host(hw), 2 * values, rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------- hooks
def test_hooks_see_a_finished_gradient_once_and_in_order(where):
    x = where.leaf([1.0, 2.0])
    seen = []
    h = x * 2
    h.register_hook(lambda g: seen.append(("h", where.host(g).tolist())))
    h.register_hook(lambda g: seen.append(("h again", where.host(g).tolist())))
    x.register_hook(lambda g: seen.append(("x", where.host(g).tolist())))
    (h.sum() + (h * h).sum() + x.sum()).backward()
    assert seen == [("h", [5.0, 9.0]), ("h again", [5.0, 9.0]), ("x", [11.0, 19.0])]


def test_a_hook_replaces_the_gradient_and_the_next_one_sees_that(where):
    x = where.leaf([1.0, 2.0])
    h = x * 3
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: -g)
    h.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [-33, -33])
    (g,) = minidl.grad((x * 3).sum(), x)  # a leaf's hooks run for grad as well
    np.testing.assert_array_equal(where.host(g), [-3, -3])


def test_a_hook_may_change_its_copy(where):
    """The change goes on, as in PyTorch, but reaches neither the seed nor the gradient of another input."""
    x, y = where.leaf([1.0, 2.0]), where.leaf([1.0, 2.0])

    def clear(g):
        g.zero_()

    def enlarge(g):
        g.mul_(100)

    x.register_hook(clear)
    h = x + y
    h.register_hook(enlarge)
    seed = where.tensor([5.0, 6.0])
    h.backward(seed)
    np.testing.assert_array_equal(where.host(x.grad), [0, 0])
    np.testing.assert_array_equal(where.host(y.grad), [500, 600])
    np.testing.assert_array_equal(where.host(seed), [5, 6])


def test_nothing_is_recorded_during_a_plain_backward(where):
    x = where.leaf([1.0, 2.0])
    modes = []
    x.register_hook(lambda g: modes.append((minidl.is_grad_enabled(), g.requires_grad)))
    (x * x).sum().backward(retain_graph=True)
    minidl.grad((x * x).sum(), x, create_graph=True)
    assert modes == [(False, False), (True, True)] and minidl.is_grad_enabled()


def test_hooks_are_removed(where):
    x = where.leaf([1.0])
    calls = []
    first, second = x.register_hook(lambda g: calls.append(1)), x.register_hook(lambda g: calls.append(2))
    x.sum().backward()
    first.remove()
    first.remove()  # once more does no harm
    x.sum().backward()
    with second:
        x.sum().backward()
    x.sum().backward()
    assert calls == [1, 2, 2, 2]
    h = x * 2
    handle = h.register_hook(lambda g: calls.append(3))
    handle.remove()
    h.sum().backward()
    assert calls == [1, 2, 2, 2]


def test_hooks_on_one_of_several_outputs(where):
    x = where.leaf([1.0, 2.0, 3.0])
    a, b = (x * 1).split([1, 2])
    seen = []
    b.register_hook(lambda g: seen.append(where.host(g).tolist()))
    b.retain_grad()
    (a.sum() * 2 + (b * b).sum()).backward()
    assert seen == [[4.0, 6.0]]
    np.testing.assert_array_equal(where.host(b.grad), [4, 6])
    assert a.grad is None


def test_a_hook_that_is_wrong_is_refused(where):
    x = where.leaf([1.0, 2.0])
    handle = x.register_hook(lambda g: g[:1])
    with pytest.raises(RuntimeError, match=r"hook: expected a Tensor of shape \(2,\)"):
        x.sum().backward()
    handle.remove()
    x.register_hook(lambda g: 3.0)
    with pytest.raises(RuntimeError, match="hook: expected a Tensor"):
        x.sum().backward()
    with pytest.raises(TypeError, match="callable"):
        x.register_hook(None)
    with pytest.raises(RuntimeError, match="register_hook.*does not require"):
        where.tensor([1.0]).register_hook(print)


def test_hooks_with_create_graph_stay_part_of_the_graph(where):
    x = where.leaf([2.0])
    h = x * x
    h.register_hook(lambda g: g * g)
    (g,) = minidl.grad((h**2).sum(), x, create_graph=True)  # (2 x^2)^2 2x = 8 x^5
    assert g.item() == 8 * 2**5
    (second,) = minidl.grad(g.sum(), x)  # (2 h)^2 2, and what goes through h, squared by the hook: (8 h 2x)^2 2x
    assert second.item() == 128 + (8 * 4 * 4) ** 2 * 4


def test_post_accumulate_hooks(where):
    w = where.leaf([1.0, 2.0])
    seen = []

    def step(t):
        seen.append(where.host(t.grad).tolist())
        with minidl.no_grad():
            t -= t.grad
        t.grad = None

    handle = w.register_post_accumulate_grad_hook(step)
    (w * w).sum().backward()
    assert seen == [[2.0, 4.0]] and w.grad is None
    np.testing.assert_array_equal(where.host(w), [-1, -2])
    handle.remove()
    w.sum().backward()
    assert len(seen) == 1 and w.grad is not None
    with pytest.raises(RuntimeError, match="only for leaf"):
        (w * 1).register_post_accumulate_grad_hook(step)


def test_retain_grad(where):
    x = where.leaf([1.0, 2.0])
    h = x * 3
    k = h * h
    h.retain_grad()
    h.retain_grad()  # twice is once
    h.register_hook(lambda g: g * 2)  # what is kept is what went on
    k.sum().backward(retain_graph=True)
    assert k.grad is None
    np.testing.assert_array_equal(where.host(h.grad), 4 * where.host(h))
    np.testing.assert_array_equal(where.host(x.grad), 12 * where.host(h))
    k.sum().backward()
    np.testing.assert_array_equal(where.host(h.grad), 8 * where.host(h))  # and it adds up
    x.retain_grad()  # nothing to do for a leaf
    with pytest.raises(RuntimeError, match="retain_grad: this tensor does not require"):
        where.tensor([1.0]).retain_grad()
    scalar = (x * 0.0).sum()  # a gradient, or a value, of 0 is kept too
    scalar.retain_grad()
    (scalar * 0.0).backward()
    assert scalar.grad.item() == 0.0


# ---------------------------------------------------------------------------------------------------------- modes
def test_no_grad_records_nothing(where):
    x = where.leaf([1.0, 2.0])
    with minidl.no_grad():
        y = x * 2
        assert not y.requires_grad and y.is_leaf and not minidl.is_grad_enabled()
        with minidl.enable_grad():
            assert (x * 2).requires_grad
            with minidl.no_grad():
                assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
        assert where.leaf([1.0]).requires_grad  # what is asked for is given
    assert minidl.is_grad_enabled() and (x * 2).requires_grad
    with pytest.raises(KeyError), minidl.no_grad():
        raise KeyError
    assert minidl.is_grad_enabled()


def test_modes_as_decorators(where):
    x = where.leaf([1.0])

    @minidl.no_grad()
    def with_parentheses(n):
        return (x * n).requires_grad

    @minidl.no_grad
    def without(n):
        """Documented."""
        return with_parentheses(n) or (x * n).requires_grad

    @minidl.enable_grad()
    def recorded():
        return (x * 2).requires_grad

    @minidl.set_grad_enabled(False)
    def switched():
        return (x * 2).requires_grad

    @minidl.inference_mode
    def inferred():
        return minidl.is_inference_mode_enabled()

    assert minidl.is_grad_enabled()  # decorating changes nothing
    assert not with_parentheses(2) and not without(2) and recorded() and not switched() and inferred()
    assert without.__name__ == "without" and without.__doc__ == "Documented."
    with minidl.no_grad():
        assert recorded() and not switched() and not minidl.is_grad_enabled()
    assert minidl.is_grad_enabled()


def test_set_grad_enabled(where):
    x = where.leaf([1.0])
    with minidl.set_grad_enabled(False):
        assert not (x * 2).requires_grad
        with minidl.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not minidl.is_grad_enabled()
    assert minidl.is_grad_enabled()
    minidl.set_grad_enabled(False)  # at once, and until it is switched again
    assert not (x * 2).requires_grad
    minidl.set_grad_enabled(True)
    assert (x * 2).requires_grad


def test_inference_mode(where):
    x = where.leaf([1.0, 2.0])
    with minidl.inference_mode():
        y = x * 2
        assert minidl.is_inference_mode_enabled() and not minidl.is_grad_enabled() and not y.requires_grad
        with minidl.enable_grad():
            assert not (x * 2).requires_grad
        with minidl.inference_mode(False):
            assert not minidl.is_inference_mode_enabled() and (x * 2).requires_grad
        y += 1  # among themselves they may do anything
        view = x[:1]
    assert not minidl.is_inference_mode_enabled()
    with pytest.raises(RuntimeError, match=r"multiply: an inference tensor cannot be recorded for backward.*clone"):
        x * y
    with pytest.raises(RuntimeError, match="inference tensor"):
        y.requires_grad_()
    assert (x * y.clone()).requires_grad
    assert not (y * 2).requires_grad  # outside, without a gradient, it is used like any other
    assert (x[:1] * view).requires_grad  # a view of a normal tensor is a normal tensor
    with minidl.inference_mode(False):
        assert (x * 2).requires_grad


def test_modes_belong_to_a_thread(where):
    x = where.leaf([1.0])
    inside, go_on, found = threading.Event(), threading.Event(), {}

    @minidl.no_grad()
    def decorated():
        inside.set()
        go_on.wait(10)
        return minidl.is_grad_enabled()

    def other():
        found["start"] = minidl.is_grad_enabled()
        found["in"] = decorated()
        found["end"] = (x * 2).requires_grad

    thread = threading.Thread(target=other)
    with minidl.no_grad():
        thread.start()
        assert inside.wait(10)
        go_on.set()
        assert not decorated()  # the same decorated function at the same time, from another mode
        thread.join()
        assert not minidl.is_grad_enabled()
    assert found == {"start": True, "in": False, "end": True}


def test_detach(where):
    x = where.leaf([1.0, 2.0])
    y = x * 2
    d = y.detach()
    assert not d.requires_grad and d.is_leaf and where.backend.may_share_memory(d.array, y.array)
    np.testing.assert_array_equal(where.host(minidl.grad((y * d).sum(), x)[0]), 2 * where.host(y))
    z = x * 3
    assert z.detach_() is z and z.is_leaf and not z.requires_grad


def test_requires_grad(where):
    x = where.tensor([1.0, 2.0])
    assert not x.requires_grad and x.requires_grad_() is x and x.requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    y = x.requires_grad_() * 2
    with pytest.raises(RuntimeError, match="only be switched off on leaf"):
        y.requires_grad = False
    with pytest.raises(RuntimeError, match="floating-point.*int64"):
        where.tensor([1, 2]).requires_grad_()
    with pytest.raises(RuntimeError, match="floating-point"):
        minidl.ones(2, dtype=minidl.int32, requires_grad=True)
    assert not (y > 1).requires_grad and not y.argmax().requires_grad and not y.long().requires_grad
    assert y.float().requires_grad
    (g,) = minidl.grad(y.float().sum(), x)
    assert g.dtype == minidl.float64


def test_assigning_grad(where):
    x = where.leaf([1.0, 2.0])
    x.grad = where.tensor([5.0, 5.0])
    x.sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), [6, 6])
    with pytest.raises(RuntimeError, match=r"grad: expected float64 \(2,\).*got float64 \(3,\)"):
        x.grad = where.tensor([1.0, 2.0, 3.0])
    with pytest.raises(RuntimeError, match="grad: expected"):
        x.grad = where.tensor([1.0, 2.0], np.float32)
    with pytest.raises(TypeError, match="grad: expected a Tensor or None"):
        x.grad = 0.0
    x.grad = None
    assert x.grad is None


def test_gradients_of_a_zero_grad_loop_do_not_leak_into_each_other(where):
    x = where.leaf([1.0, 2.0])
    kept = []
    for n in range(3):
        x.grad = None
        (x * n).sum().backward()
        kept.append(x.grad)
    assert [where.host(g).tolist() for g in kept] == [[0, 0], [1, 1], [2, 2]]
