"""Mixed precision: autocast's lists against PyTorch's, casts in the graph, and the loss's scale."""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path

import numpy as np
import precisions
import pytest

import minidl
from minidl import modes, nn, optim
from minidl.amp.casting import CALLS, LISTS, state
from minidl.backend import get_backend
from minidl.engine import OPS
from minidl.modes import mode
from minidl.nn import functional as F
from minidl.tensor import wrap
from minidl.utils.checkpoint import checkpoint

REFERENCE = json.loads((Path(__file__).parent / "reference/autocast.json").read_text(encoding="utf-8"))
HALF = minidl.float16


@pytest.fixture(autouse=True)
def _off_afterwards():
    yield
    assert mode.autocast is None and not state.nesting and not state.kept and not any(state.enabled.values())
    assert state.dtypes["cpu"] == minidl.bfloat16 and state.cache_enabled


def half(where) -> minidl.autocast:
    return minidl.autocast(where.name, dtype=HALF)


# ----------------------------------------------------------------------------------------------------------- the lists
@pytest.mark.filterwarnings("ignore")
def test_each_call_is_in_pytorchs_precision(where):
    """The dtype of each result, of inputs in half, single and double precision and mixed, is the one in PyTorch."""
    wrong, seen = [], 0
    for name, call in precisions.PRECISIONS.items():
        for (mix, dtypes), expected in zip(precisions.MIXES.items(), REFERENCE[where.name][name], strict=True):
            if expected is None:
                continue
            xs = [wrap(where.array(precisions.numbers(s, dtypes[i > 0]))) for i, s in enumerate(call.shapes)]
            with half(where):
                try:
                    got = str(call.function(minidl, F, *xs).dtype).removeprefix("minidl.")
                except RuntimeError as error:
                    got = "unsafe" if "unsafe to autocast" in str(error) else repr(error)
            seen += 1
            if got != expected:
                wrong.append(f"{name} of {mix}: {got}, PyTorch has {expected}")
    assert not wrong and seen > 1200


def test_the_lists_name_what_there_is():
    modules = (minidl, minidl.special, minidl.linalg, F, F.resize, F.arrange)
    for kind in LISTS:
        assert LISTS[kind].keys() <= OPS.keys()
        for name in CALLS[kind]:
            found = [getattr(module, name) for module in modules if hasattr(module, name)]
            assert any("modes.watching" in _source(function) for function in found), name


def _source(function) -> str:
    """The names that the innermost wrapper of a public function asks for."""
    texts = []
    while function is not None:
        texts.append(".".join(function.__code__.co_names))
        function = getattr(function, "__wrapped__", None)
    return " ".join(texts)


# --------------------------------------------------------------------------------------------------- casts in the graph
def test_parameters_and_their_gradients_stay_float32(where):
    layer = nn.Linear(3, 2, device=where.name)
    x = where.leaf(np.arange(12.0).reshape(4, 3) / 8, np.float32)
    with half(where):
        y = layer(x)
        loss = F.mse_loss(y, where.tensor(np.zeros((4, 2)), np.float32))
    assert y.dtype == HALF and loss.dtype == minidl.float32
    loss.backward()
    found = [t.grad for t in (layer.weight, layer.bias, x)]
    assert {g.dtype for g in found} == {minidl.float32} and {layer.weight.dtype} == {minidl.float32}
    w, b, z = (t.detach().half().requires_grad_() for t in (layer.weight, layer.bias, x))
    plain = F.linear(z, w, b)
    F.mse_loss(plain.float(), where.tensor(np.zeros((4, 2)), np.float32)).backward()
    np.testing.assert_array_equal(where.host(plain.detach()), where.host(y.detach()))
    for mine, theirs in zip(found, (w, b, z), strict=True):
        np.testing.assert_array_equal(where.host(mine), where.host(theirs.grad.float()))


def test_a_parameter_is_cast_once_and_anew_when_it_changed(where):
    w = where.leaf(np.eye(2), np.float32)
    x = where.tensor(np.ones((2, 2)), np.float32)
    with half(where):
        a, b = x @ w, x @ w
        (kept,) = [entry[3] for entry in state.kept.values()]
        assert kept.dtype == np.float16
        a.sum().backward()
        b.sum().backward()  # not part of what the first one released
        np.testing.assert_array_equal(where.host(w.grad), np.full((2, 2), 4.0))
        with minidl.no_grad():
            w.mul_(3)
        c = x @ w
        assert where.host(c.detach()).max() == 3 and len(state.kept) == 1
        with minidl.autocast(where.name, dtype=HALF):
            _ = x @ w
        assert state.kept
        minidl.clear_autocast_cache()
        assert not state.kept
    with minidl.autocast(where.name, dtype=HALF, cache_enabled=False):
        assert not minidl.is_autocast_cache_enabled()
        _ = x @ w
        assert not state.kept
    assert minidl.is_autocast_cache_enabled()


def test_a_kept_cast_spares_launches():
    w, x = minidl.ones(4, 4, device="cuda", requires_grad=True), minidl.ones(4, 4, device="cuda").half()
    standin = pytest.importorskip("standin")
    with minidl.autocast("cuda"):
        for casts in (1, 0):
            with standin.counting() as counter:
                _ = x @ w
            assert counter.names.count("astype") == casts and counter.uploads == counter.syncs == 0


def test_gradients_of_gradients_within_autocast(where):
    x = where.leaf(np.array([[0.5, 1.0], [2.0, 0.25]]), np.float32)
    with half(where):
        y = (x @ x).float().square().sum()
        (g,) = minidl.autograd.grad(y, x, create_graph=True)
        g.square().sum().backward()
    assert g.dtype == x.grad.dtype == minidl.float32
    z = x.detach().double().requires_grad_()
    (h,) = minidl.autograd.grad((z @ z).square().sum(), z, create_graph=True)
    h.square().sum().backward()
    np.testing.assert_allclose(where.host(x.grad), where.host(z.grad), rtol=5e-3)


def test_a_backward_that_is_recorded_stays_in_the_forwards_precision(where):
    class Same(minidl.autograd.Function):
        @staticmethod
        @minidl.amp.custom_fwd(device_type=where.name)
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        @minidl.amp.custom_bwd(device_type=where.name)
        def backward(ctx, g):
            return g

    x = where.leaf(np.array([[0.3, 0.7], [0.9, 0.1]]), np.float32)
    (exact,) = minidl.autograd.grad((x @ x).sum(), x)
    for through in (lambda y: y, Same.apply):
        y = x @ x
        with half(where):
            (g,) = minidl.autograd.grad(through(y).sum(), x, create_graph=True)
            assert (x @ x).dtype == HALF
        np.testing.assert_array_equal(where.host(g.detach()), where.host(exact))


def test_a_checkpoint_remembers_the_precision(where):
    layer, x = nn.Linear(3, 3, device=where.name), where.leaf(np.ones((2, 3)), np.float32)
    seen = []

    def run(x):
        y = layer(x)
        seen.append(y.dtype)
        return y

    with half(where):
        y = checkpoint(run, x, use_reentrant=False)
    y.float().sum().backward()
    assert seen == [HALF, HALF] and x.grad.dtype == minidl.float32


@pytest.mark.parametrize(
    "make",
    [
        lambda d: (nn.LSTM(4, 3, device=d), (5, 2, 4)),
        lambda d: (nn.GRU(4, 3, num_layers=2, device=d), (5, 2, 4)),
        lambda d: (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, device=d), (5, 2, 4)),
        lambda d: (nn.Sequential(nn.Conv2d(1, 2, 3, device=d), nn.BatchNorm2d(2, device=d), nn.Tanh()), (2, 1, 6, 6)),
        lambda d: (nn.ConvTranspose2d(1, 2, 3, device=d), (2, 1, 6, 6)),
        lambda d: (nn.Sequential(nn.Linear(4, 4, device=d), nn.LayerNorm(4, device=d), nn.GELU()), (5, 2, 4)),
    ],
    ids="lstm gru transformer conv transposed norm".split(),
)
def test_layers_agree_with_float32(where, make):
    minidl.manual_seed(1)
    layer, shape = make(where.name)
    x = where.leaf(precisions.numbers(shape, "float32"), np.float32)
    found = []
    for on in (False, True):
        layer.zero_grad()
        x.grad = None
        with minidl.autocast(where.name, dtype=HALF, enabled=on):
            y = layer(x)
            y = y[0] if isinstance(y, tuple) else y
        (y.float() * where.tensor(precisions.numbers(y.shape, "float32"))).sum().backward()
        found.append([y.detach().float(), x.grad, *[p.grad for p in layer.parameters()]])
    for exact, mixed in zip(*found, strict=True):
        assert mixed.dtype == minidl.float32
        np.testing.assert_allclose(where.host(mixed), where.host(exact), rtol=0.02, atol=0.02)


# -------------------------------------------------------------------------------------------------------- the switches
def test_nesting_and_leaving():
    x = minidl.ones(2, 2)
    context = minidl.autocast("cpu", dtype=HALF)
    with context as inner:
        assert inner is context and minidl.is_autocast_enabled("cpu") and not minidl.is_autocast_enabled()
        assert minidl.is_autocast_cpu_enabled() and (x @ x).dtype == HALF
        with minidl.autocast("cpu", enabled=False):
            assert (x @ x).dtype == minidl.float32 and not minidl.is_autocast_enabled("cpu")
        with minidl.autocast("cuda"), context:
            assert (x @ x).dtype == HALF and minidl.is_autocast_enabled()
            assert (x.cuda() @ x.cuda()).dtype == HALF
        assert (x.cuda() @ x.cuda()).dtype == minidl.float32
        assert (x.double() @ x.double()).dtype == minidl.float64
        assert (x.long() + 1).dtype == minidl.int64
    assert (x @ x).dtype == minidl.float32
    with pytest.raises(KeyError), context:
        raise KeyError
    assert not modes.watching or modes.views


def test_a_decorator(where):
    x = minidl.ones(2, 2, device=where.name)

    @minidl.autocast(where.name, dtype=HALF)
    def product(x, depth=2):
        return product(x, depth - 1) if depth else x @ x

    assert product(x).dtype == HALF and product.__name__ == "product"
    assert (x @ x).dtype == minidl.float32


def test_a_thread_is_alone_with_its_switches():
    x, seen = minidl.ones(2, 2), []
    with minidl.autocast("cpu", dtype=HALF):
        thread = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        thread.start()
        thread.join()
    assert seen == [minidl.float32]


def test_switches_outside_a_block():
    x = minidl.ones(2, 2)
    minidl.set_autocast_dtype("cpu", HALF)
    try:
        assert minidl.get_autocast_dtype("cpu") == minidl.get_autocast_cpu_dtype() == HALF
        minidl.set_autocast_enabled("cpu", True)
        assert (x @ x).dtype == HALF
        with pytest.raises(RuntimeError, match="set_autocast_dtype: minidl.bfloat16 is not supported"):
            minidl.set_autocast_dtype("cpu", minidl.bfloat16)
        minidl.set_autocast_enabled("cpu", False)
        minidl.set_autocast_cache_enabled(False)
        with minidl.autocast("cpu"):
            assert not minidl.is_autocast_cache_enabled()
    finally:
        minidl.set_autocast_enabled("cpu", False)
        minidl.set_autocast_cache_enabled(True)
        minidl.set_autocast_dtype("cpu", minidl.bfloat16)
    with pytest.raises(RuntimeError, match="set_autocast_enabled: minidl.bfloat16"):
        minidl.set_autocast_enabled("cpu", True)


def test_bfloat16_is_refused_or_switched_off():
    with pytest.raises(RuntimeError, match="minidl.bfloat16 is not supported by CuPy"):
        minidl.autocast("cuda", dtype=minidl.bfloat16)
    with pytest.warns(UserWarning, match="NumPy has none"):
        off = minidl.autocast("cpu", dtype=minidl.bfloat16)
    with off, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (minidl.ones(2, 2) @ minidl.ones(2, 2)).dtype == minidl.float32


def test_binary_cross_entropy_is_refused_on_a_gpu():
    p = minidl.full((2,), 0.5, device="cuda")
    with minidl.autocast("cuda"):
        with pytest.raises(RuntimeError, match="binary_cross_entropy is unsafe to autocast.*with_logits"):
            nn.BCELoss()(p, p)
        assert F.binary_cross_entropy_with_logits(p.half(), p).dtype == minidl.float32
        with minidl.autocast("cuda", enabled=False):
            assert F.binary_cross_entropy(p, p).dtype == minidl.float32


def test_functions_under_custom_fwd_and_custom_bwd(where):
    seen = []

    def product(*decorate):
        class Product(minidl.autograd.Function):
            @staticmethod
            @minidl.amp.custom_fwd(device_type=where.name, **decorate[0])
            def forward(ctx, x, pair):
                seen.append((x.dtype, pair[0].dtype, minidl.is_autocast_enabled(where.name)))
                ctx.save_for_backward(x)
                return x @ x

            @staticmethod
            @minidl.amp.custom_bwd(device_type=where.name)
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                seen.append((minidl.is_autocast_enabled(where.name), (x @ x).dtype))
                return (g @ x.T + x.T @ g).to(x.dtype), None

        return Product.apply

    x = where.leaf(np.eye(2), np.float32)
    single = (minidl.float32, minidl.float32)
    for decorate, forward, backward in (
        ({}, (*single, True), (True, HALF)),
        ({"cast_inputs": HALF}, (HALF, HALF, False), (False, HALF)),
    ):
        seen.clear()
        with half(where):
            y = product(decorate)(x, [x.detach()])
        y.float().sum().backward()
        assert seen == [forward, backward]
        seen.clear()
        product(decorate)(x, [x.detach()]).sum().backward()
        assert seen == [(*single, False), (False, minidl.float32)]
    with pytest.raises(ValueError, match="expected a device type"):
        minidl.amp.custom_bwd(lambda ctx: None, device_type=0)


# ------------------------------------------------------------------------------------------------------------ training
def digits(count: int):
    data = minidl.data.datasets.Digits(transform=minidl.data.transforms.ToTensor())
    x, y = data.tensors()
    return x[:count], y[:count]


def trained(count: int, on: bool, where="cpu", steps: int = 40, spoilt: int | None = None):
    """LeNet-5 after some steps, its share of hits on what it learned, and the scaler."""
    minidl.manual_seed(3)
    x, y = (t.to(where) for t in digits(count))
    model = minidl.train.models.LeNet5((1, 8, 8), 10).to(where)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    scaler = minidl.amp.GradScaler(where, init_scale=2.0**10, enabled=on)
    losses = []
    for step in range(steps):
        part = slice(32 * step % count, 32 * step % count + 32)
        optimizer.zero_grad()
        with minidl.autocast(where, dtype=HALF, enabled=on):
            loss = F.cross_entropy(model(x[part]), y[part])
        scaler.scale(loss).backward()
        if step == spoilt:
            model.fc3.bias.grad.fill_(np.inf)
        scaler.unscale_(optimizer)
        with np.errstate(invalid="ignore"):
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach())
    with minidl.no_grad():
        hits = float((model(x).argmax(1) == y).float().mean())
    return model, hits, scaler, [float(v) for v in losses]


def test_lenet_learns_in_half_precision_what_it_learns_in_single():
    _, single, _, exact = trained(128, False)
    model, mixed, scaler, losses = trained(128, True)
    assert single > 0.85 and mixed > single - 0.03
    np.testing.assert_allclose(losses[:6], exact[:6], rtol=0.01)
    assert losses != exact and {p.dtype for p in model.parameters()} == {minidl.float32}
    assert scaler.get_scale() == 2.0**10


def test_a_step_with_an_infinite_gradient_is_left_out():
    model, _, scaler, _ = trained(64, True, steps=1, spoilt=0)
    assert scaler.get_scale() == 2.0**9
    minidl.manual_seed(3)
    fresh = minidl.train.models.LeNet5((1, 8, 8), 10)
    for p, q in zip(model.parameters(), fresh.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_a_step_on_the_device_waits_once():
    standin = pytest.importorskip("standin")
    if get_backend("cuda").library is not standin.cupy:
        pytest.skip("counts what the stand-in counts")
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).cuda()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = minidl.ones(5, 4, device="cuda"), minidl.zeros(5, dtype=minidl.int64, device="cuda")

    def step(scaler, on):
        optimizer.zero_grad()
        with minidl.autocast("cuda", enabled=on):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    counts = []
    for on in (False, True):
        scaler = minidl.amp.GradScaler("cuda", enabled=on)
        step(scaler, on)
        step(scaler, on)
        with standin.counting() as counter:
            step(scaler, on)
        counts.append(counter)
    plain, mixed = counts
    assert plain.syncs == 0 and mixed.syncs == 1, mixed.sync_names
    assert mixed.upload_names == plain.upload_names and mixed.names.count("isfinite") == 1


def test_training_on_the_device_agrees():
    _, _, _, host = trained(64, True, "cpu", steps=4)
    _, _, _, device = trained(64, True, "cuda", steps=4)
    np.testing.assert_allclose(device, host, rtol=0.02)
