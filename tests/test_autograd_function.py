"""`autograd.Function`: derivatives of one's own, their own derivatives, and what is refused.

The expected numbers are PyTorch's, from the same programs.
"""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.autograd import Function, grad, gradcheck, gradgradcheck
from minidl.autograd.function import once_differentiable


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class MyReLU(Function):
    """PyTorch's tutorial."""

    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return input.clamp(min=0)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input < 0] = 0
        return grad_input


class Linear(Function):
    """Gives only what is asked for."""

    @staticmethod
    def forward(ctx, x, w, b=None):
        ctx.save_for_backward(x, w, b)
        y = x.mm(w.t())
        if b is not None:
            y += b.unsqueeze(0).expand_as(y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, w, b = ctx.saved_tensors
        gx = gw = gb = None
        if ctx.needs_input_grad[0]:
            gx = g.mm(w)
        if ctx.needs_input_grad[1]:
            gw = g.t().mm(x)
        if b is not None and ctx.needs_input_grad[2]:
            gb = g.sum(0)
        return gx, gw, gb


class Cube(Function):
    """The form with setup_context."""

    @staticmethod
    def forward(x, scale=1.0):
        return scale * x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.scale = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * x**2 * g, None


class Doubled(Function):
    """What the faults below are made of."""

    @staticmethod
    def forward(ctx, x, y):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g, None


def leaf(*values):
    return minidl.tensor(values, dtype=minidl.float64, requires_grad=True)


def test_gradient_and_graph(where):
    x = where.leaf([0.5, 1.0])
    y = Exp.apply(x * 2)
    assert y.grad_fn.name() == "ExpBackward" and "grad_fn=<ExpBackward>" in repr(y) and y.output_nr == 0
    y.sum().backward()
    np.testing.assert_allclose(where.host(x.grad), 2 * np.exp([1.0, 2.0]))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_derivatives_of_any_order(where, order):
    x = where.leaf([0.3, -0.2])
    y = Exp.apply(x * 2)
    for _ in range(order):
        (y,) = grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(where.host(y), 2**order * np.exp([0.6, -0.4]))


def test_derivatives_agree_with_differences():
    x, w, b = (minidl.randn(*s, dtype=minidl.float64, requires_grad=True) for s in ((4, 3), (2, 3), (2,)))
    for function, args in (
        (Exp.apply, (x,)),
        (Linear.apply, (x, w, b)),
        (Linear.apply, (x, w)),
        (Cube.apply, (x, 2.0)),
    ):
        assert gradcheck(function, args) and gradgradcheck(function, args)
    mixed = lambda x, w: Exp.apply(Linear.apply(Cube.apply(x), w)).tanh() * w.sum()  # noqa: E731
    assert gradcheck(mixed, (x, w)) and gradgradcheck(mixed, (x, w))


def test_forward_is_called_once():
    calls = []

    class Noisy(Function):
        @staticmethod
        def forward(ctx, x):
            calls.append("forward")
            mask = minidl.rand(len(x), dtype=minidl.float64)
            ctx.save_for_backward(x, mask)
            return x * x * mask

        @staticmethod
        def backward(ctx, g):
            calls.append("backward")
            x, mask = ctx.saved_tensors
            return 2 * x * mask * g

    x = leaf(1.0, 2.0)
    before = minidl.default_generator().get_state()[1]
    y = Noisy.apply(x)
    (g,) = grad(y.sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x, create_graph=True)
    assert minidl.default_generator().get_state()[1] == before + 1
    np.testing.assert_allclose((h * x * x / 2).detach().numpy(), y.detach().numpy())
    assert calls.count("forward") == 1


def test_linear_against_pytorch():
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=minidl.float64, requires_grad=True)
    w = minidl.tensor([[0.5, -1.0], [2.0, 0.1], [1.0, 1.0]], dtype=minidl.float64, requires_grad=True)
    b = leaf(0.1, 0.2, 0.3)
    y = Linear.apply(x, w, b)
    np.testing.assert_allclose(y.detach().numpy(), [[-1.4, 2.4, 3.3], [-2.4, 6.6, 7.3]])
    gs = grad((y**2).sum(), [x, w, b], create_graph=True)
    np.testing.assert_allclose(gs[0].detach().numpy(), [[14.8, 9.88], [38.6, 20.72]])
    np.testing.assert_allclose(gs[2].detach().numpy(), [-7.6, 18.0, 21.2])
    hs = grad(sum((g**2).sum() for g in gs), [x, w, b])
    plain = grad(((x @ w.T + b) ** 2).sum(), [x, w, b], create_graph=True)
    for h, want in zip(hs, grad(sum((g**2).sum() for g in plain), [x, w, b]), strict=True):
        np.testing.assert_allclose(h.numpy(), want.numpy())


def test_the_tutorials_relu_trains():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 1)
            self.activation = MyReLU.apply

        def forward(self, x):
            return self.last(self.activation(self.first(x)))

    net, x = Net(), minidl.randn(5, 3)
    twin = copy.deepcopy(net)
    net(x).sum().backward()
    twin.activation = nn.functional.relu
    twin(x).sum().backward()
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        assert minidl.equal(p.grad, q.grad)


def test_straight_through_and_reversal():
    class Sign(Function):
        @staticmethod
        def forward(ctx, x):
            return (x > 0).double()

        @staticmethod
        def backward(ctx, g):
            return nn.functional.hardtanh(g)

    class Reverse(Function):
        @staticmethod
        def forward(ctx, x, alpha):
            ctx.alpha = alpha
            return x.view_as(x)

        @staticmethod
        def backward(ctx, g):
            return g.neg() * ctx.alpha, None

    x = leaf(-1.0, 2.0)
    (Sign.apply(x) * minidl.tensor([3.0, 0.5], dtype=minidl.float64)).sum().backward()
    assert x.grad.tolist() == [1.0, 0.5]
    assert grad(Reverse.apply(x, 0.5).sum(), x)[0].tolist() == [-0.5, -0.5]


def test_several_outputs_of_every_kind():
    seen = []

    class Several(Function):
        @staticmethod
        def forward(ctx, x, n, text):
            ctx.save_for_backward(x)
            _, order = x.sort()
            rank = order.double()
            ctx.mark_non_differentiable(rank)
            return x * n, text, order, x**2, rank

        @staticmethod
        def backward(ctx, g, g_text, g_order, g_square, g_rank):
            (x,) = ctx.saved_tensors
            seen.append((g.tolist(), g_text, g_order.dtype, g_square.tolist(), g_rank.tolist()))
            return g * 3 + 2 * x * g_square, None, None

    x = leaf(2.0, -1.0)
    a, text, order, square, rank = Several.apply(x, 3, "text")
    assert text == "text" and order.tolist() == [1, 0] and not order.requires_grad and not rank.requires_grad
    assert a.requires_grad and square.requires_grad and square.output_nr == 3
    square.sum().backward()
    assert x.grad.tolist() == [4.0, -2.0]
    assert seen == [([0.0, 0.0], None, minidl.int64, [1.0, 1.0], [0.0, 0.0])]


def test_gradients_are_not_materialized_if_so_said():
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            seen.append(a)
            return 2 * b

    x = leaf(1.0)
    Two.apply(x)[1].backward()
    assert seen == [None] and x.grad.tolist() == [2.0]


def test_a_tuple_of_one_stays_a_tuple():
    class One(Function):
        @staticmethod
        def forward(ctx, x):
            return (x * 2,)

        @staticmethod
        def backward(ctx, g):
            return (g * 2,)

    x = leaf(1.0)
    result = One.apply(x)
    assert isinstance(result, tuple)
    (g,) = grad(result[0] ** 2, x, create_graph=True)
    assert g.item() == 8.0 and grad(g, x)[0].item() == 8.0


def test_an_input_that_is_returned_is_an_alias():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(1.0, 2.0)
    y = Same.apply(x)
    assert y is not x and x.is_leaf and not y.is_leaf and y.data_ptr() == x.data_ptr()
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    with minidl.no_grad():
        z = Same.apply(x)
    assert z is not x and x.requires_grad and not z.requires_grad

    class Second(Same):
        @staticmethod
        def forward(ctx, x, y):
            return y

        @staticmethod
        def backward(ctx, g):
            return g * 3, None

    plain = x.detach()
    y = Second.apply(x, plain)
    assert y.requires_grad and not plain.requires_grad and plain.is_leaf
    assert grad(y.sum(), x)[0].tolist() == [3.0, 3.0]


def test_in_place():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    class Forgetful(Double):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 2

    x = leaf(-1.0, 2.0)
    a = x * 1
    y = Double.apply(a)
    y.sum().backward()
    assert y is a and y.tolist() == [-2.0, 4.0] and x.grad.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="Double: a leaf"):
        Double.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="Double: mark_dirty.*view"):
        base = leaf(1.0, 2.0) * 1
        Double.apply(base[:1])
    with pytest.raises(RuntimeError, match="Forgetful.*mark_dirty"):
        Forgetful.apply(x * 1)


def test_attributes_may_hold_tensors():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x, ctx.name = x, "square"
            return x**2

        @staticmethod
        def backward(ctx, g):
            assert ctx.name == "square"
            return g * 2 * ctx.x

    x = leaf(0.5)
    (g,) = grad(Square.apply(x * 3), x, create_graph=True)
    assert g.item() == 9.0 and grad(g, x)[0].item() == 18.0


def test_functions_in_functions():
    class Nested(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return Exp.apply(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * Exp.apply(x)

    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            with minidl.enable_grad():
                x = x.detach().requires_grad_()
                y = (x**3).sum()
                (ctx.slope,) = grad(y, x)
            return y.detach()

        @staticmethod
        def backward(ctx, g):
            return ctx.slope * g

    x = leaf(0.5)
    y = Nested.apply(x)
    for _ in range(3):
        (y,) = grad(y, x, create_graph=True)
        assert abs(y.item() - np.exp(0.5)) < 1e-12
    x = leaf(2.0, 3.0)
    assert grad(Inner.apply(x) * 2, x)[0].tolist() == [24.0, 54.0]


def test_nothing_is_recorded_without_need():
    x = leaf(1.0)
    with minidl.no_grad():
        assert Exp.apply(x).grad_fn is None
    assert not Exp.apply(x.detach()).requires_grad
    needs = []

    class Asks(Exp):
        @staticmethod
        def forward(ctx, x, n, y):
            needs.append(ctx.needs_input_grad)
            return x * y

    Asks.apply(x, 3, x.detach())
    assert needs == [(True, False, False)]


def test_positional_keyword_and_default_arguments():
    x = leaf(2.0)
    assert Cube.apply(x).item() == 8.0 and Cube.apply(x, scale=2.0).item() == 16.0 and Exp.apply(x=x).requires_grad
    assert grad(Cube.apply(x, scale=2.0), x)[0].item() == 24.0


def test_vjp_is_another_name_of_backward():
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def vjp(ctx, g):
            return 2 * g

    assert grad(Twice.apply(x := leaf(1.0)), x)[0].item() == 2.0


def test_gradients_are_summed_to_the_inputs_shape_and_cast():
    class Times(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return (g * w).float(), g * x

    x, w = leaf(1.0, 2.0), minidl.tensor(3.0, dtype=minidl.float64, requires_grad=True)
    gx, gw = grad(Times.apply(x, w).sum(), [x, w])
    assert gx.dtype == minidl.float64 and gx.tolist() == [3.0, 3.0] and gw.shape == () and gw.item() == 3.0


def test_a_gradient_that_the_program_keeps_is_never_changed():
    kept = minidl.ones(2, dtype=minidl.float64)

    class Constant(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return kept

    x = leaf(1.0, 2.0)
    (x * 3 + Constant.apply(x) + Constant.apply(x)).sum().backward()
    (Constant.apply(x) * 2).sum().backward()
    assert kept.tolist() == [1.0, 1.0] and x.grad.tolist() == [6.0, 6.0]
    x = leaf(1.0, 2.0)
    for _ in range(2):
        Constant.apply(x).sum().backward()
    assert kept.tolist() == [1.0, 1.0] and x.grad.tolist() == [2.0, 2.0]


def test_a_graph_that_nobody_holds_is_freed():
    gc.disable()
    try:
        for function in (Exp, Cube, MyReLU):
            y = function.apply(leaf(1.0) * 1)
            node, array = weakref.ref(y.grad_fn), weakref.ref(y)
            del y
            assert node() is None and array() is None, function
        y = Exp.apply(leaf(1.0))
        saved = weakref.ref(y.array)
        node = y.grad_fn
        y.backward()
        del y
        assert saved() is None  # the node is held, what it saved is not
        assert node.vjps is None
    finally:
        gc.enable()


def test_once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x**2

    x = leaf(2.0)
    assert grad(Once.apply(x), x)[0].item() == 12.0
    (g,) = grad(Once.apply(x) ** 2, x, create_graph=True)
    assert g.item() == 192.0
    with pytest.raises(RuntimeError, match="twice.*once_differentiable"):
        g.backward()


def test_changes_in_place_are_noticed():
    x = leaf(2.0)
    a = x * 1
    y = Cube.apply(a)
    with minidl.no_grad():
        a.mul_(2)
    with pytest.raises(RuntimeError, match="'CubeBackward' needs was changed in place"):
        y.backward()
    y = Exp.apply(x)
    with minidl.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="'ExpBackward' needs was changed in place"):
        y.backward()
    y = Doubled.apply(x, None)  # it saved nothing, so its output may be changed, unless it is needed again
    with minidl.no_grad():
        y.mul_(2)
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="'DoubledBackward' needs was changed in place"):
        grad(y * y, x, create_graph=True)


def test_backward_twice():
    y = Exp.apply(x := leaf(1.0))
    y.backward(retain_graph=True)
    y.backward()
    assert abs(x.grad.item() - 2 * np.e) < 1e-12
    with pytest.raises(RuntimeError, match="'ExpBackward' was released"):
        y.backward()


def faulty(returned):
    class Faulty(Doubled):
        @staticmethod
        def backward(ctx, g):
            return returned(g)

    return Faulty


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda g: g, r"FaultyBackward returned an incorrect number of gradients \(expected 2, got 1\)"),
        (lambda g: (g, None, g), r"incorrect number of gradients \(expected 2, got 3\)"),
        (lambda g: (g.new_zeros(5), None), r"FaultyBackward returned an invalid gradient at index 0: got .*\(5,\)"),
        (lambda g: (g[0], None), None),
        (lambda g: (g, g), r"FaultyBackward returned a gradient different from None at position 1"),
        (lambda g: (1.0, None), r"FaultyBackward: gradient 0 is a float"),
    ],
)
def test_wrong_gradients_are_refused(returned, message):
    x = leaf(1.0, 2.0)
    if message is None:
        message = r"invalid gradient at index 0: got .*\(\) on cpu, expected a shape compatible with \(2,\)"
    with pytest.raises((RuntimeError, TypeError), match=message):
        faulty(returned).apply(x, 3.0).sum().backward()


def test_gradients_too_many_are_fine_if_none():
    faulty(lambda g: (g, None, None)).apply(x := leaf(1.0), 3.0).backward()
    assert x.grad.item() == 1.0


def test_what_is_missing_is_named():
    class Empty(Function):
        pass

    class Forward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class Both(Exp):
        @staticmethod
        def vjp(ctx, g):
            return g

    x = leaf(1.0)
    with pytest.raises(NotImplementedError, match="forward"):
        Empty.apply(x)
    with pytest.raises(NotImplementedError, match="backward"):
        Forward.apply(x).backward()
    with pytest.raises(RuntimeError, match="either 'backward' or 'vjp'"):
        Both.apply(x).backward()
    with pytest.warns(DeprecationWarning, match="do not make one"):
        made = Forward()
    with pytest.raises(RuntimeError, match="Forward.apply"):
        made(x)
    assert made.apply(x).item() == 2.0
    with pytest.raises(TypeError, match="argument 1 is a int"):
        Cube.setup_context(ctx := minidl.autograd.function.FunctionCtx(), (x, 1.0), x)
        ctx.save_for_backward(x, 3)


def test_an_inference_tensor_cannot_be_saved():
    with minidl.inference_mode():
        frozen = minidl.ones(2, dtype=minidl.float64)
    with pytest.raises(RuntimeError, match="inference"):
        Linear.apply(frozen.view(1, 2), leaf(1.0, 2.0).view(1, 2))


def test_anomaly_mode_names_the_function():
    class Bad(Exp):
        @staticmethod
        def backward(ctx, g):
            return minidl.full_like(g, float("nan"))

    with minidl.detect_anomaly(), pytest.raises(RuntimeError, match="backward of 'BadBackward'.*gave nan.*test_auto"):
        Bad.apply(leaf(1.0)).backward()


def test_hooks_and_retained_gradients_at_its_outputs():
    x = leaf(1.0)
    y = Cube.apply(x)
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    (y * 2).backward()
    assert y.grad.item() == 20.0 and x.grad.item() == 60.0
