"""What `autograd.functional`, `func`, `gradcheck` and `Variable` refuse, keep and cut off; their values are among the
calls of `calls/autograd.py`, which are compared with PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import func, nn
from minidl.autograd import Function, Variable, functional, gradcheck, gradgradcheck
from minidl.autograd.gradcheck import GradcheckError
from minidl.autograd.variable import Variable as AtItsPath


def t(*values):
    return minidl.tensor(values, dtype=minidl.float64)


A, B = t(1.0, 2.0, 3.0), t(0.5, -1.0, 2.0)


# ------------------------------------------------------------------------------------------------------- functional
def test_results_are_cut_off_unless_asked():
    x = t(1.0, 2.0).requires_grad_()
    for call in (
        lambda **k: functional.jacobian(lambda x: x**3, x, **k),
        lambda **k: functional.hessian(lambda x: (x**3).sum(), x, **k),
        lambda **k: functional.vjp(lambda x: x**3, x, t(1.0, 1.0), **k)[1],
        lambda **k: functional.jvp(lambda x: x**3, x, t(1.0, 1.0), **k)[1],
        lambda **k: functional.hvp(lambda x: (x**3).sum(), x, t(1.0, 1.0), **k)[1],
    ):
        assert not call().requires_grad and x.grad is None
        y = call(create_graph=True)
        y.sum().backward()
        assert x.grad is not None
        x.grad = None


def test_works_where_nothing_is_recorded():
    with minidl.no_grad():
        assert functional.jacobian(lambda x: x * x, t(3.0)).tolist() == [[6.0]]
        assert func.grad(lambda x: (x * x).sum())(t(3.0)).tolist() == [6.0]


def test_on_both_array_types(where):
    x, v = where.tensor([1.0, 2.0]), where.tensor([1.0, -1.0])
    for strategy in ("reverse-mode", "forward-mode"):
        found = functional.jacobian(lambda x: x**2, x, vectorize=True, strategy=strategy)
        np.testing.assert_allclose(where.host(found), [[2.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(where.host(functional.hvp(lambda x: (x**3).sum(), x, v)[1]), [6.0, -12.0])
    np.testing.assert_allclose(where.host(func.vmap(lambda x: x * 2)(x)), [2.0, 4.0])
    np.testing.assert_allclose(where.host(func.hessian(lambda x: (x**3).sum())(x)), [[6.0, 0.0], [0.0, 12.0]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: functional.vjp(lambda x: x * 2, A), RuntimeError, "vjp: v can only be None for a single output"),
        (lambda: functional.vjp(lambda x: x * 2, A, A[:2]), RuntimeError, r"v\[0\] has to be like output 0.*\(3,\)"),
        (lambda: functional.jvp(lambda x: x * 2, A), RuntimeError, "jvp: v can only be None for a single input"),
        (lambda: functional.jvp(lambda a, b: a, (A, B), A), RuntimeError, "2 inputs but v has 1"),
        (lambda: functional.hessian(lambda x: x * 2, A), RuntimeError, "hessian: .*one Tensor with a single element"),
        (lambda: functional.hvp(lambda x: (x, x), A, A), RuntimeError, "hvp: .*one Tensor with a single element"),
        (lambda: functional.jacobian(lambda x: 3, A), TypeError, "output 0 of the function is a int"),
        (lambda: functional.jacobian(lambda x: x, 3.0), TypeError, "input 0 is a float"),
        (lambda: functional.jacobian(lambda x: x, A, strategy="none"), ValueError, "'reverse-mode' or 'forward-mode'"),
        (lambda: functional.jacobian(lambda x: x, A, strict=True, vectorize=True), RuntimeError, "cannot go together"),
        (lambda: functional.jacobian(lambda a, b: a * 2, (A, B), strict=True), RuntimeError, "independent of input 1"),
        (lambda: functional.jacobian(lambda a: B, A, strict=True), RuntimeError, "output 0 .* independent"),
        (lambda: functional.hessian(lambda x: x.sum(), A, strict=True), RuntimeError, "hessian: .*independent"),
        (lambda: functional.jvp(lambda a: B, A, A, strict=True), RuntimeError, "independent"),
    ],
)
def test_what_functional_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------------------------------------------------- func
def test_a_result_keeps_its_graph_only_where_it_leads_out():
    model = nn.Linear(2, 1).double()
    cube = lambda x: (x**3).sum()  # noqa: E731
    x = t(1.0, 2.0)
    assert not func.grad(cube)(x).requires_grad and not func.grad_and_value(cube)(x)[1].requires_grad
    assert func.grad(lambda x: model(x).sin().sum())(x).requires_grad  # it depends on the model's parameters
    x.requires_grad_()
    func.grad(cube)(x).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]
    with minidl.no_grad():
        assert not func.grad(cube)(x).requires_grad


def test_an_ensemble_and_gradients_of_each_sample():
    minidl.manual_seed(0)
    models = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)) for _ in range(3)]
    x, y = minidl.randn(5, 3), minidl.randn(5, 1)
    parameters, buffers = func.stack_module_state(models)
    assert buffers == {} and all(p.requires_grad and p.shape[0] == 3 for p in parameters.values())
    call = lambda p, x: func.functional_call(models[0], p, (x,))  # noqa: E731
    found = func.vmap(call, in_dims=(0, None))(parameters, x)
    assert found.shape == (3, 5, 1)
    for i, model in enumerate(models):
        assert minidl.allclose(found[i], model(x), atol=1e-6)
    loss = lambda p, x, y: ((call(p, x) - y) ** 2).sum()  # noqa: E731
    p = {name: q.detach() for name, q in models[0].named_parameters()}
    each = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(p, x, y)
    whole = func.grad(loss)(p, x, y)
    for name, g in each.items():
        assert g.shape == (5, *p[name].shape) and minidl.allclose(g.sum(0), whole[name], atol=1e-5)


def test_randomness_in_vmap():
    draw = lambda x: x + minidl.rand(3)  # noqa: E731
    with pytest.raises(RuntimeError, match="randomness='different' or 'same'"):
        func.vmap(draw)(minidl.zeros(2, 3))
    same, different = (func.vmap(draw, randomness=r)(minidl.zeros(2, 3)) for r in ("same", "different"))
    assert minidl.equal(same[0], same[1]) and not minidl.equal(different[0], different[1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: func.grad(lambda x: x)(A), RuntimeError, r"grad: .*scalar Tensor, got shape \(3,\)"),
        (lambda: func.grad(lambda x: 3.0)(A), RuntimeError, "grad: .*got float"),
        (lambda: func.grad(lambda x: x.sum(), argnums=1)(A), RuntimeError, "argnums has 1, but there are 1"),
        (lambda: func.grad(lambda x: x.sum(), has_aux=True)(A), RuntimeError, r"\(output, aux\)"),
        (lambda: func.grad(lambda x: x.sum())(A.long()), RuntimeError, "only floating-point.*int64"),
        (lambda: func.grad(lambda x: x.sum())(3.0), TypeError, "expected Tensors, got float"),
        (lambda: func.jvp(lambda x: x, A, (A,)), RuntimeError, "tuples of one length"),
        (lambda: func.jvp(lambda x: x, (A,), (A[:2],)), RuntimeError, "tangents have to be like"),
        (lambda: func.vjp(lambda x: x, A)[1](A[:2]), RuntimeError, r"cotangents of shapes \[\(3,\)\]"),
        (lambda: func.vmap(lambda a, b: a)(A, B[:2]), ValueError, r"of one size, got \[2, 3\]"),
        (lambda: func.vmap(lambda a: a, in_dims=1)(A), ValueError, r"in_dims has 1 for a Tensor of shape \(3,\)"),
        (lambda: func.vmap(lambda a, b: a, in_dims=(0, 0))(A, 3), ValueError, "in_dims has 0 for a int"),
        (lambda: func.vmap(lambda a: a, in_dims=(0, 0))(A), ValueError, "in_dims has to be"),
        (lambda: func.vmap(lambda a: a, in_dims=None)(A), ValueError, r"one size, got \[\]"),
        (lambda: func.vmap(lambda a: a)(A[:0]), ValueError, "no slice"),
        (lambda: func.vmap(lambda a: 3)(A), TypeError, "expected Tensors, got int"),
        (lambda: func.vmap(lambda a: a, randomness="some")(A), RuntimeError, "'error', 'different' or 'same'"),
        (lambda: func.vmap(lambda a: a, chunk_size=0)(A), ValueError, "chunk_size"),
        (lambda: func.stack_module_state([]), RuntimeError, "at least one"),
        (lambda: func.stack_module_state([nn.ReLU(), nn.Tanh()]), RuntimeError, "one class"),
    ],
)
def test_what_func_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -------------------------------------------------------------------------------------------------------- gradcheck
def test_undefined_gradients_are_checked():
    class Fragile(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            return a * 2 + b * 3

    x = t(1.0, 2.0).requires_grad_()
    with pytest.raises(TypeError):
        gradcheck(Fragile.apply, x)
    assert gradcheck(Fragile.apply, x, check_undefined_grad=False)
    assert gradcheck(Fragile.apply, x, check_undefined_grad=False, fast_mode=True)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("option", ["check_batched_grad", "masked"])
def test_options_of_gradcheck_that_are_refused(check, option):
    with pytest.raises(NotImplementedError, match=option):
        check(minidl.exp, t(1.0).requires_grad_(), **{option: True})
    with pytest.raises(NotImplementedError, match="check_forward_ad"):
        gradcheck(minidl.exp, t(1.0).requires_grad_(), check_forward_ad=True)
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck(minidl.exp, t(1.0).requires_grad_(), check_backward_ad=False)
    with pytest.raises(ValueError, match="nothing to check"):
        gradgradcheck(minidl.exp, t(1.0).requires_grad_(), check_rev_over_rev=False)


def test_a_wrong_derivative_is_found():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    x = t(1.0, 2.0).requires_grad_()
    with pytest.raises(GradcheckError, match="Jacobian of output 0 of input 0"):
        gradcheck(Wrong.apply, x)
    assert not gradcheck(Wrong.apply, x, raise_exception=False)


# --------------------------------------------------------------------------------------------------------- Variable
def test_variable():
    x = t(1.0, 2.0)
    v = Variable(x, requires_grad=True)
    assert v.requires_grad and not x.requires_grad and isinstance(x, Variable) and isinstance(v, minidl.Tensor)
    assert AtItsPath is Variable and not isinstance(3, Variable) and not Variable(v * 2).requires_grad
    v.data[0] = 5.0
    assert x[0].item() == 5.0
    with pytest.raises(NotImplementedError, match="volatile"):
        Variable(x, volatile=True)
    with pytest.raises(TypeError, match="expected a Tensor, got list"):
        Variable([1.0])


# ---------------------------------------------------------------------------------------- batched, and old arguments
def test_arguments_of_old_programs():
    x = t(3.0).requires_grad_()
    options = {"outputs": x * x, "inputs": x, "grad_outputs": minidl.ones_like(x), "create_graph": True}
    (g,) = minidl.autograd.grad(**options, retain_graph=True, only_inputs=True)
    assert g.tolist() == [6.0] and minidl.grad(g, x, None, None, False, True, True)[0].tolist() == [2.0]
    with pytest.warns(FutureWarning, match="only_inputs"):
        minidl.grad(x * x, x, only_inputs=False)
    minidl.autograd.backward([x * x], grad_tensors=[t(2.0)])
    with pytest.warns(FutureWarning, match="grad_variables"):
        minidl.autograd.backward([x * x], grad_variables=[t(2.0)])
    assert x.grad.tolist() == [24.0]
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError, match="both grad_tensors and grad_variables"):
        minidl.autograd.backward([x * x], [t(2.0)], grad_variables=[t(2.0)])


def test_batched_gradients():
    x = t(1.0, -1.0).requires_grad_()
    (found,) = minidl.grad(x * x, x, t([1.0, 0.0], [0.0, 1.0]), is_grads_batched=True)
    assert found.tolist() == [[2.0, 0.0], [0.0, -2.0]]
    found = minidl.grad(x * x, [x, A.requires_grad_()], t([1.0, 0.0]), is_grads_batched=True, allow_unused=True)
    assert found[0].tolist() == [[2.0, 0.0]] and found[1] is None
    A.requires_grad_(False)
    y = x * x
    with pytest.raises(RuntimeError, match="common first dimension"):
        minidl.grad(y, x, t(1.0)[0], is_grads_batched=True)
    minidl.grad(y, x, t([1.0, 0.0], [0.0, 1.0]), is_grads_batched=True)
    with pytest.raises(RuntimeError, match="released"):  # the last one does not keep the graph
        minidl.grad(y, x, t(1.0, 1.0))
