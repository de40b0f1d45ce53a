"""`minidl.testing` itself: it accepts right derivatives, and refuses wrong ones of every kind."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import testing
from minidl.nn import functional as F
from minidl.tensor import wrap
from minidl.testing import GradcheckError, check_op, gradcheck, gradgradcheck


@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck_accepts(where, rng, fast):
    x, w = where.leaf(rng.normal(size=(2, 3))), where.leaf(rng.normal(size=(3, 2)))
    labels = where.tensor([1, 0])
    assert gradcheck(lambda x: (x * x).exp(), x, fast_mode=fast)
    assert gradcheck(minidl.matmul, (x, w), fast_mode=fast)
    assert gradcheck(lambda x, w: F.cross_entropy(x @ w, labels), (x, w), fast_mode=fast)
    assert gradcheck(lambda x: (x.sum(0), x.max(1).values, x > 0, 3.0), [x], fast_mode=fast)
    assert gradcheck(lambda x, scale: x * scale, (x, 2.5), fast_mode=fast, check_grad_dtypes=True)
    assert gradgradcheck(minidl.matmul, (x, w), fast_mode=fast)
    assert gradgradcheck(lambda x: (x * x).tanh(), x, fast_mode=fast, gen_non_contig_grad_outputs=True)
    assert gradgradcheck(lambda x: x**3, x, minidl.ones_like(x), fast_mode=fast)
    with minidl.no_grad():
        assert gradcheck(lambda x: x.sin(), x, fast_mode=fast)
    assert x.grad is None


@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck_refuses_wrong_derivatives(where, new_op, fast):
    @new_op
    def wrong(x):
        return x * x, (lambda g: g * x,)

    @new_op
    def wrong_second(x):
        y = x * x * x
        square = (x * x).array if isinstance(x, minidl.Tensor) else x * x  # hidden from the replay
        return y, (lambda g: g * minidl.Tensor(3 * square) if isinstance(g, minidl.Tensor) else g * 3 * square,)

    x = where.leaf([[0.5, -1.5]])
    with pytest.raises(GradcheckError, match="gradcheck: .*backward says"):
        gradcheck(wrong, x, fast_mode=fast)
    assert gradcheck(wrong, x, raise_exception=False, fast_mode=fast) is False
    assert gradcheck(wrong_second, x, fast_mode=fast)
    with pytest.raises(GradcheckError):
        gradgradcheck(wrong_second, x, fast_mode=fast)
    assert gradgradcheck(wrong_second, x, raise_exception=False, fast_mode=fast) is False


def test_gradcheck_refuses_what_it_cannot_judge(where):
    x = where.leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="none of the inputs requires a gradient"):
        gradcheck(lambda x: x, x.detach())
    single = x.detach().float().requires_grad_()
    with pytest.warns(UserWarning, match="input 0 is minidl.float32; differences need float64"):
        assert gradcheck(lambda x: x * x, single, eps=1e-2, atol=1e-1)
    with pytest.warns(UserWarning, match="float64"):
        assert gradgradcheck(lambda x: x * x, single, eps=1e-2, atol=1e-1, raise_exception=False) in (True, False)
    with pytest.raises(ValueError, match="expanded"):
        gradcheck(lambda x: x * 2, wrap(x.detach().expand(3, 2).array, requires_grad=True))
    with pytest.raises(GradcheckError, match="no floating-point output depends"):
        gradcheck(lambda x: x.detach(), x)
    calls: list[int] = []

    def restless(x):
        y = x * 1.0
        y.register_hook(lambda g: calls.append(1) or g * float(len(calls)))
        return y

    with pytest.raises(GradcheckError, match="two backwards .* differ"):
        gradcheck(restless, x)


def test_check_op_finds_every_kind_of_fault(where, new_op):
    def faulty(name, body):
        body.__name__ = name
        return new_op(body)

    x = where.array([[0.5, -2.0, 1.5], [3.0, -0.25, 0.75]])
    values = where.backend.to_host(x)
    check_op(faulty("right", lambda x: (x * x, (lambda g: 2.0 * g * x,))), x, expected=values**2)
    for name, body in {
        "forward": lambda x: (x * x * 1.001, (lambda g: 2.002 * g * x,)),
        "gradient": lambda x: (x * x, (lambda g: g * x,)),
        "no gradient": lambda x: (x * x, (None,)),
        "dtype": lambda x: (x * x * np.float64(1.0), (lambda g: 2.0 * g * x,)),
        "keeps its gradient": lambda x: (x * x, (_Keeper(x),)),
    }.items():
        with pytest.raises((AssertionError, ValueError)):
            check_op(faulty(name, body), x, expected=values**2)

    def depends_on_layout(x):
        contiguous = x.array.flags.c_contiguous if isinstance(x, minidl.Tensor) else x.flags.c_contiguous
        return x * (1.0 if contiguous else 2.0), (lambda g: g,)

    with pytest.raises(AssertionError, match="non-contiguous"):
        check_op(faulty("layout", depends_on_layout), x)
    check_op(faulty("flat", lambda x: (x > 0, (None,))), x, fixed=[0], expected=values > 0)


class _Keeper:
    """A vjp that gives the same memory every time."""

    def __init__(self, x):
        self.x, self.memory = x, None

    def __call__(self, g):
        self.memory = 2.0 * g * self.x if self.memory is None else self.memory
        return self.memory


def test_scattered_arrays_are_equal_and_not_contiguous(where, rng):
    for shape in ((), (5,), (2, 3), (2, 1, 4), (0, 3)):
        x = where.array(np.asarray(rng.normal(size=shape)))
        y = testing.scattered(x)
        assert type(y) is where.type and y.shape == shape
        np.testing.assert_array_equal(where.backend.to_host(y), where.backend.to_host(x))
        assert shape in ((), (0, 3)) or not y.flags.c_contiguous
