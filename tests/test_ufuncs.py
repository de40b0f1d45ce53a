"""NumPy's functions and operators on Tensors: which are part of the graph, and what each gives."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import minidl
from minidl import Tensor

X = np.array([1.0, 4.0], np.float32)


@pytest.mark.parametrize("name", "exp sqrt log negative sign isnan isfinite modf".split())
def test_functions_of_one_tensor_give_tensors(name):
    y, expected = getattr(np, name)(minidl.tensor(X)), getattr(np, name)(X)
    for a, b in zip(
        y if isinstance(y, tuple) else (y,), expected if isinstance(y, tuple) else (expected,), strict=True
    ):
        assert isinstance(a, Tensor) and not a.requires_grad and a.array.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b)


def test_functions_of_two_and_reductions():
    x = minidl.tensor(X)
    for y, expected in (
        (np.maximum(x, minidl.tensor([2.0, 0.0])), np.maximum(X, np.array([2, 0], np.float32))),
        (np.maximum(x, 1.5), np.maximum(X, 1.5)),
        (np.maximum(np.ones(2), x), np.maximum(np.ones(2), X)),
        (np.add(x, x), X + X),
        (np.power(x, 2), X**2),
        (np.add.reduce(x), np.add.reduce(X)),
        (np.exp(minidl.tensor([1, 2])), np.exp(np.array([1, 2]))),
        (np.exp(x[0]), np.exp(X[0])),
    ):
        assert isinstance(y, Tensor) and y.array.dtype == expected.dtype and y.shape == expected.shape
        np.testing.assert_array_equal(y.numpy(), expected)
    out = np.zeros(2)
    assert np.exp(x, out=out) is out and out[1] == pytest.approx(np.exp(4.0))
    np.exp(x, out=out, where=minidl.tensor([False, True]))
    total = np.zeros(2)
    total += x
    assert type(total) is np.ndarray and total.tolist() == [1.0, 4.0]
    assert isinstance(np.spacing(np.longdouble(1)) * 0, np.longdouble)  # of which there are no Tensors:
    assert isinstance(np.add(x, np.ones(2, np.longdouble), dtype=np.longdouble), np.ndarray)


def test_functions_refuse_gradients_and_other_devices(where):
    x = where.leaf([1.0, 2.0])
    for call in (lambda: np.exp(x), lambda: np.add(x, 1.0), lambda: np.add.reduce(x)):
        with pytest.raises(RuntimeError, match=r"requires a gradient; use x.detach\(\)"):
            call()
    total = np.zeros(2)
    with pytest.raises(RuntimeError, match="requires a gradient"):
        total += x
    with pytest.raises(TypeError, match=r"np\.exp: out must be a NumPy array, got a Tensor"):
        np.exp(x.detach(), out=x.detach())
    if where.name == "cuda":
        with pytest.raises(TypeError, match=r"x\.cpu\(\)"):
            np.exp(x.detach())


ARITHMETIC = "add sub mul truediv floordiv mod pow matmul lt le gt ge eq ne".split()


@pytest.mark.parametrize("name", ARITHMETIC)
def test_an_array_on_the_left_leaves_the_operator_to_the_tensor(where, name):
    """Also CuPy, which asks the object, not the class, whether to do so."""
    f, a, b = getattr(operator, name), np.array([3.0, 5.0]), np.array([2.0, 4.0])
    x = where.leaf(b)
    y = f(where.array(a), x)
    assert isinstance(y, Tensor) and y.requires_grad == (name not in "lt le gt ge eq ne".split())
    np.testing.assert_allclose(y.detach().cpu().numpy(), f(a, b))
    if name in ("mul", "sub"):
        y.sum().backward()
        assert x.grad.tolist() == ([3.0, 5.0] if name == "mul" else [-1.0, -1.0])
    if where.name == "cpu":
        assert isinstance(f(a[0], x) if name != "matmul" else y, Tensor)


@pytest.mark.parametrize("name", "and_ or_ xor lshift rshift".split())
def test_bits(name):
    f, a, b = getattr(operator, name), np.array([6, 5]), np.array([3, 1])
    y = f(a, minidl.tensor(b))
    assert isinstance(y, Tensor) and y.tolist() == f(a, b).tolist()


def test_products_with_arrays_on_the_right():
    x = minidl.ones(2)
    assert (x @ np.ones(2)).item() == 2.0 and (minidl.ones(3, 2) @ np.ones(2)).tolist() == [2.0] * 3
    assert (x @ np.ones((2, 3))).tolist() == [2.0] * 3
    for other in (5, 1.5, [1.0, 1.0]):
        with pytest.raises(TypeError, match=f"matmul: expected a Tensor, got {type(other).__name__}"):
            x @ other
