"""What PyTorch computed for `calls/` and `layers/` (see `reference/make.py`), against what minidl computes."""

from __future__ import annotations

import json
import math
import types
from pathlib import Path

import numpy as np
import pytest
from calls import CALLS, NETS, OPTIMIZERS, Library, numbers, trajectory
from conftest import Where
from layers import LAYERS, flat, given, made, run_layer

import minidl
from minidl import functions, nn, ops, optim
from minidl.backend import backend_of
from minidl.backend.dtypes import result_type
from minidl.nn import functional as F

HERE = Path(__file__).resolve().parent / "reference"


def _load(name: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{name}.npz") as file:
        index, values = json.loads(file["index"].tobytes()), file["values"]
    found, start = {}, 0
    for key, shape in index:
        n = math.prod(shape)
        found[key] = values[start : start + n].reshape(shape)
        start += n
    assert start == len(values)
    return found


OTHERS = ("promotion", "printed", "schedules")  # written in another form
REFERENCE = {path.stem: _load(path.stem) for path in HERE.glob("*.npz") if path.stem not in OTHERS}


def _under(table: str, name: str) -> dict[str, np.ndarray]:
    return {key[len(name) + 1 :]: value for key, value in REFERENCE[table].items() if key.startswith(f"{name}/")}


def _plain_lstm_step(gates, cell):
    """The step as ops, which the replay of the fused one uses."""
    i, f, g, o = gates.chunk(4, 0)
    c = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@ops.op(composed=_plain_lstm_step)
def fused_lstm_step(gates, cell):
    """One time step of an LSTM in one op that works in place: what a hand-written kernel would look like."""
    B, n = backend_of(gates), cell.shape[0]
    s = B.copy(gates)
    for k in (0, 1, 3):
        s[k * n : k * n + n] = 1 / (1 + B.exp(-s[k * n : k * n + n]))
    s[2 * n : 3 * n] = B.tanh(s[2 * n : 3 * n])
    i, f, g, o = (s[k * n : k * n + n] for k in range(4))
    c = f * cell + i * g
    t = B.tanh(c)

    def joint(gh, gc, *, needs):
        gc = B.zeros_like(c) if gc is None else gc
        if gh is not None:
            gc = gc + gh * o * (1 - t * t)
        go = B.zeros_like(c) if gh is None else gh * t * o * (1 - o)
        parts = [gc * g * i * (1 - i), gc * cell * f * (1 - f), gc * i * (1 - g * g), go]
        return B.concatenate(parts, axis=0) if needs[0] else None, gc * f if needs[1] else None

    return (o * t, c), joint


def _library(where: Where) -> Library:
    return Library(
        T=minidl,
        F=F,
        nn=nn,
        optim=optim,
        tensor=where.tensor,
        dropout=lambda x, mask, scale: ops.noise.dropout(x, where.tensor(mask), scale=scale),
        lstm_step=fused_lstm_step,
    )


def _leaves(where, call, dtype):
    given = [where.leaf(x, dtype) if x.dtype.kind == "f" else x for x in call.inputs]
    return given, [x for i, x in enumerate(given) if isinstance(x, minidl.Tensor) and i not in call.fixed]


def _compare(where, got, expected, what, rtol, atol) -> None:
    assert tuple(got.shape) == expected.shape, f"{what}: shape {tuple(got.shape)}, PyTorch {expected.shape}"
    np.testing.assert_allclose(where.host(got).astype(np.float64), expected, rtol=rtol, atol=atol, err_msg=what)


# what PyTorch's values cannot judge, and where it is tested instead
NOT_LAYERS = {"Module", "RNNBase", "RNNCellBase", "ModuleList"}  # test_module.py
RANDOM = {
    "dropout",
    "gumbel_softmax",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "bernoulli",
    "multinomial",
    "poisson",
    "randint_like",
}  # test_random.py, test_nn.py, test_layers.py
OWN = {"set_printoptions"}  # test_functions.py

TOLERANCE = {np.float64: (1e-8, 1e-9), np.float32: (1e-4, 2e-5)}
# what changes abruptly somewhere, or is beyond float32: compared in float64 only
FLOAT64_ONLY = {"edges: log sigmoid", "edges: log1p", "edges: expm1"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", CALLS)
def test_call(name, dtype, where):
    call, expected, (rtol, atol) = CALLS[name], _under(f"calls_{CALLS[name].table}", name), TOLERANCE[dtype]
    if dtype is np.float32 and name in FLOAT64_ONLY:
        atol = 1e-4
    given, leaves = _leaves(where, call, dtype)
    library = _library(where)
    if dtype is np.float32:  # constants inside a call are of its dtype
        library.tensor = lambda x: where.tensor(x, np.float32 if x.dtype == np.float64 else None)
    outputs = call.function(library, *given)
    outputs = outputs if type(outputs) in (tuple, list) else (outputs,)
    assert len(outputs) == sum(key.startswith("y") for key in expected)
    for k, y in enumerate(outputs):
        if y.is_floating_point():
            assert y.array.dtype == dtype
        _compare(where, y, expected[f"y{k}"], f"{name}: output {k}", rtol, atol)
    tracked = [y for y in outputs if y.requires_grad]
    seeds = [where.tensor(numbers(50 + k, *y.shape), dtype) for k, y in enumerate(tracked)]
    gradients = minidl.grad(tracked, leaves, seeds, allow_unused=True) if tracked else []
    for k, g in enumerate(gradients):
        want = expected.get(f"g{k}")
        if g is None or want is None:  # PyTorch gives None or zeros where nothing depends
            assert want is None or not want.any(), f"{name}: no gradient {k}"
            assert g is None or not where.host(g).any(), f"{name}: gradient {k}"
        else:
            assert g.array.dtype == dtype
            _compare(where, g, want, f"{name}: gradient {k}", 10 * rtol, 10 * atol)


@pytest.mark.parametrize("name", NETS)
def test_three_derivatives(name, where):
    """create_graph on top of create_graph: first, second and third order agree with PyTorch's."""
    call, expected = NETS[name], _under("nets", name)
    given, leaves = _leaves(where, call, np.float64)
    value = call.function(_library(where), *given)
    _compare(where, value, expected["0"], name, 1e-8, 1e-9)
    for order in (1, 2, 3):
        gradients = minidl.grad(value, leaves, create_graph=True, allow_unused=True)
        value = where.tensor(0.0)
        for k, g in enumerate(gradients):
            want = expected.get(f"{order}.{k}")
            if want is None:
                assert g is None or not where.host(g).any(), f"{name}: order {order}, input {k}"
                continue
            assert g is not None or not want.any(), f"{name}: order {order}, input {k}"
            g = where.tensor(np.zeros(want.shape)) if g is None else g
            scale = max(1.0, float(np.abs(want).max()))
            _compare(where, g, want, f"{name}: order {order}, input {k}", 1e-7, 1e-8 * scale)
            value = value + (g * where.tensor(numbers(10 * order + k, *g.shape))).sum() + (g * g).sum() * 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name, where):
    expected = _under("optimizers", name)
    w, b = where.leaf(numbers(3, 3, 2)), where.leaf(numbers(4, 2))
    path = trajectory(_library(where), name, (w, b))
    assert len(path) == len(expected)
    for k, state in enumerate(path):
        _compare(where, state, expected[str(k)], f"{name}: state {k}", 1e-7, 1e-9)


@pytest.mark.parametrize("dtype", [minidl.float64, minidl.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, dtype, where):
    expected = _under(f"layers_{LAYERS[name].table}", name)
    rtol, atol = TOLERANCE[dtype.dtype.type]
    found = run_layer(_library(where), name, dtype, lambda layer: layer.to(where.name))
    assert list(found) == list(expected)  # the state's and the parameters' names, in PyTorch's order
    for key, value in found.items():
        if isinstance(value, minidl.Tensor):
            _compare(where, value, expected[key], f"{name}: {key}", 10 * rtol, 10 * atol)
            assert value.dtype == (minidl.int64 if "num_batches" in key else dtype)
        else:
            assert value == expected[key]


@pytest.mark.parametrize("name", LAYERS)
def test_second_order_of_a_layer(name, where):
    """The derivative of the gradient in some direction against the difference of two gradients."""
    library = _library(where)
    layer, inputs = (
        made(library, name, minidl.float64, lambda layer: layer.to(where.name)),
        given(library, name, minidl.float64, 0),
    )
    leaves = [x for x in [*flat(inputs), *layer.parameters()] if x.requires_grad]
    start = [where.host(x).copy() for x in leaves]
    ways = [numbers(60 + k, *x.shape) for k, x in enumerate(leaves)]

    def gradients(t, create_graph=False):
        with minidl.no_grad():
            for x, at, way in zip(leaves, start, ways, strict=True):
                x.copy_(where.tensor(at + t * way))
        ys = [y for y in flat(layer(*inputs)) if y.requires_grad]
        value = sum([(y * where.tensor(numbers(40 + k, *y.shape)) + 0.3 * y * y).sum() for k, y in enumerate(ys)])
        return minidl.grad(value, leaves, create_graph=create_graph, allow_unused=True)

    if not any(y.requires_grad for y in flat(layer(*inputs))):
        return
    gs = gradients(0.0, create_graph=True)
    along = sum([(g * where.tensor(way)).sum() for g, way in zip(gs, ways, strict=True) if g is not None])
    found = minidl.grad(along, leaves, allow_unused=True) if along.requires_grad else [None] * len(leaves)
    epsilon = 1e-5
    for k, (ahead, behind, second) in enumerate(zip(gradients(epsilon), gradients(-epsilon), found, strict=True)):
        if ahead is None:
            continue
        expected = (where.host(ahead) - where.host(behind)) / (2 * epsilon)
        got = np.zeros(expected.shape) if second is None else where.host(second)
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7 * scale, err_msg=f"{name}: leaf {k}")


def _names(function) -> set[str]:
    """Every name that a function's code mentions, inner functions and those it closes over included."""
    found, codes = set(), [function.__code__]
    for cell in function.__closure__ or ():
        if callable(cell.cell_contents) and hasattr(cell.cell_contents, "__code__"):
            codes.append(cell.cell_contents.__code__)
    while codes:
        code = codes.pop()
        found.update(code.co_names)
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return found


MENTIONED = set().union(*[_names(call.function) for call in [*CALLS.values(), *NETS.values()]])
LAYERS_MADE = set().union(*[_names(layer.make) for layer in LAYERS.values()])


def test_every_layer_and_loss_is_compared():
    """A public class of `nn` that no entry makes is one that nobody compared with PyTorch."""
    classes = {
        name for name in nn.__all__ if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    assert classes - LAYERS_MADE - NOT_LAYERS == set()


def test_every_function_is_compared():
    public = {*F.__all__, *functions.__all__}
    assert {name for name in public if name.removesuffix("_") not in MENTIONED} - RANDOM - OWN == set()


def test_promotion():
    """The dtype of every pair of operands: arrays, 0-d tensors and Python scalars."""
    with np.load(HERE / "promotion.npz") as file:
        table = json.loads(file["table"].tobytes())
    assert len(table) > 400
    python = {"python float": float, "python int": int, "python bool": bool}
    wrong = []
    for a, b, expected in table:
        kinds = tuple([python.get(name) or (np.dtype(name), dims == 0) for name, dims in (a, b)])
        if (got := result_type(kinds, False, minidl.float32)) != np.dtype(expected):
            wrong.append((a, b, expected, str(got)))
    assert not wrong


def test_promotion_of_results(where):
    """The same through real ops: what `a + b` and `a * b` and comparisons give."""
    with np.load(HERE / "promotion.npz") as file:
        table = json.loads(file["table"].tobytes())
    python = {"python float": 1.0, "python int": 1, "python bool": True}
    wrong = []
    for a, b, expected in table:
        x, y = (python[n] if n in python else where.tensor(np.ones((1,) * d), np.dtype(n)) for n, d in (a, b))
        for name, z in (("add", x + y), ("mul", x * y), ("where", minidl.where(where.tensor([True]), x, y))):
            if str(z.array.dtype) != expected:
                wrong.append((name, a, b, expected, str(z.array.dtype)))
        assert (x > y).dtype == (x == y).dtype == minidl.bool
        quotient = x / y
        if quotient.array.dtype != (np.dtype(expected) if np.dtype(expected).kind == "f" else np.float32):
            wrong.append(("div", a, b, expected, str(quotient.array.dtype)))
    assert not wrong
