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


# ------------------------------------------------------------------------------------------------------ assert_close
def test_assert_close_accepts(where):
    close = testing.assert_close
    x = where.tensor([1.0, 2.0], "float32")
    for a, b in (
        (x, x * (1 + 1e-6)),
        (x, minidl.nn.Parameter(x.clone())),
        (where.tensor([1, 2]), where.tensor([1, 2])),
        (where.tensor([True]), where.tensor([True])),
        (where.tensor(np.inf), where.tensor(np.inf)),
        (where.tensor([]), where.tensor([])),
        ({"a": [x, (1.0, None)]}, {"a": (x, [1.0, None])}),
        (np.ones(2), np.ones(2)),
        (np.float64(1), 1.0),
        (True, np.bool_(True)),
        (2, 2),
    ):
        close(a, b)
    close(x, x.double(), check_dtype=False)
    close(x, x.cpu(), check_device=False)
    close(where.tensor([1, 2]), where.tensor([1, 3]), rtol=0, atol=1)
    close(where.tensor([1, np.nan]), where.tensor([1, np.nan]), equal_nan=True)
    close(float("nan"), float("nan"), equal_nan=True)
    close(minidl.ones(2, 3).t(), minidl.ones(3, 2))


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 1e-3), ("float32", 1.3e-6), ("float64", 1e-7)])
def test_assert_close_has_the_tolerances_of_the_dtype(dtype, rtol):
    wide, kind = 1e6, getattr(minidl, dtype)
    wide = 1024.0 if dtype == "float16" else wide
    expected = minidl.tensor([wide], dtype=kind)
    for factor, right in ((0.7, True), (1.6 if dtype != "float16" else 2.5, False)):
        actual = minidl.tensor([wide * (1 + factor * rtol)], dtype=kind)
        if right:
            testing.assert_close(actual, expected)
        else:
            with pytest.raises(AssertionError, match="not close"):
                testing.assert_close(actual, expected)


T = minidl.tensor
REFUSED = {
    "not close": (T([1.0, 2.0]), T([1.0, 2.1]), {},
        "Tensor-likes are not close!\n\nMismatched elements: 1 / 2 (50.0%)\n"
        "Greatest absolute difference: 0.09999990463256836 at index (1,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.04761900380253792 at index (1,) (up to 1.3e-06 allowed)"),
    "not equal": (T([1, 2]), T([1, 4]), {}, "Tensor-likes are not equal!\n\nMismatched elements: 1 / 2 (50.0%)\n"
        "Greatest absolute difference: 2 at index (1,)\nGreatest relative difference: 0.5 at index (1,)"),
    "given": (T([[1.0, 2.0]]), T([[1.0, 4.0]]), {"rtol": 0.25, "atol": 0.5}, "Greatest absolute difference: 2.0 at "
        "index (0, 1) (up to 0.5 allowed)\nGreatest relative difference: 0.5 at index (0, 1) (up to 0.25 allowed)"),
    "0-d": (T(1.0), T(2.0), {}, "Scalars are not close!\n\nExpected 2.0 but got 1.0.\n"
        "Absolute difference: 1.0 (up to 1e-05 allowed)\nRelative difference: 0.5 (up to 1.3e-06 allowed)"),
    "floats": (1.0, 1.00001, {}, "Absolute difference: 1.0000000000065512e-05 (up to 1e-07 allowed)"),
    "ints": (1, 2, {},
        "Scalars are not equal!\n\nExpected 2 but got 1.\nAbsolute difference: 1\nRelative difference: 0.5"),
    "nan": (T([np.nan]), T([np.nan]), {}, "Greatest absolute difference: nan at index (0,)"),
    "infinities": (T([np.inf]), T([-np.inf]), {}, "1 / 1 (100.0%)"),
    "infinity": (T([np.inf]), T([1.0]), {}, "1 / 1 (100.0%)"),
    "bools": (True, False, {}, "Booleans mismatch: True is not False"),
    "bool tensors": (T([True]), T([False]), {}, "Greatest absolute difference: 1 at index (0,)"),
    "None": (None, T(1.0), {}, "None mismatch: None is not tensor(1.)"),
    "shape": (T([1.0]), T([1.0, 2.0]), {}, "'shape' do not match: minidl.Size([1]) != minidl.Size([2])."),
    "dtype": (T([1.0]), T([1.0]).double(), {}, "'dtype' do not match: minidl.float32 != minidl.float64."),
    "types": (1, 1.0, {}, "The (d)types do not match: <class 'int'> != <class 'float'>."),
    "stride": (minidl.ones(2, 3).t(), minidl.ones(3, 2), {"check_stride": True},
        "'stride()' do not match: (1, 3) != (2, 1)"),
    "length": ([1, 2], [1], {}, "The length of the sequences mismatch: 2 != 1"),
    "keys": ({"a": 1}, {"b": 1}, {},
        "Missing keys in the actual mapping: ['b']\nAdditional keys in the actual mapping: ['a']"),
    "item": ({"a": [T(1.0)]}, {"a": [T(2.0)]}, {}, "\n\nThe failure occurred for item ['a'][0]"),
    "message": (1, 2, {"msg": "mine"}, "mine"),
    "made message": (1, 2, {"msg": lambda text: "mine\n" + text}, "mine\nScalars are not equal!"),
}  # fmt: skip


@pytest.mark.parametrize("label", REFUSED)
def test_assert_close_refuses_and_says_why(label):
    actual, expected, options, text = REFUSED[label]
    with pytest.raises(AssertionError) as error:
        testing.assert_close(actual, expected, **options)
    assert text in str(error.value)
    assert label != "message" or str(error.value) == "mine"


def test_assert_close_refuses_devices(where):
    if where.name == "cuda":
        with pytest.raises(AssertionError, match="'device' do not match"):
            testing.assert_close(where.tensor([1.0]), where.tensor([1.0]).cpu())


def test_assert_close_refuses_what_cannot_be_compared():
    x = minidl.ones(1)
    for a, b in ((x, [1.0]), (x, 1.0), ("a", "a"), (1, True), ({1}, {1}), (x, np.ones(1, np.float32)), ([1], "a")):
        with pytest.raises(TypeError, match="assert_close: .* cannot be compared"):
            testing.assert_close(a, b)
    with pytest.raises(TypeError, match="Tensor and Parameter"):
        testing.assert_close(x, minidl.nn.Parameter(x), allow_subclasses=False)
    for options in ({"rtol": 1.0}, {"atol": 1.0}):
        with pytest.raises(ValueError, match="got only " + next(iter(options))):
            testing.assert_close(1.0, 2.0, **options)
