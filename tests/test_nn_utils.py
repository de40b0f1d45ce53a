"""nn.utils: weights computed from others, old form and new, functional calls, fused layers, and the rest.

Values are compared with PyTorch's in tests/layers/modules.py; here is what they do to a module.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn.utils import parametrizations, parametrize
from minidl.nn.utils.stateless import functional_call


def sample(*shape, seed=0):
    return minidl.tensor(np.random.default_rng(seed).standard_normal(shape))


# ------------------------------------------------------------------------------------------- weight and spectral norm
def test_weight_norm_and_back():
    layer, x = nn.Linear(3, 2).double(), sample(4, 3)
    before = layer(x).tolist()
    assert nn.utils.weight_norm(layer) is layer
    assert list(layer.state_dict()) == ["bias", "weight_g", "weight_v"] and layer.weight_g.shape == (2, 1)
    np.testing.assert_allclose(layer(x).tolist(), before, rtol=1e-12)
    with minidl.no_grad():
        layer.weight_g.mul_(2.0)
        layer.weight_v.mul_(7.0)  # the length does not count
    changed = layer(x).tolist()
    np.testing.assert_allclose(
        np.array(changed) - layer.bias.tolist(), 2 * (np.array(before) - layer.bias.tolist()), rtol=1e-12
    )
    assert nn.utils.remove_weight_norm(layer) is layer and list(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer(x).tolist(), changed, rtol=1e-12)
    assert isinstance(layer.weight, nn.Parameter) and not layer._forward_pre_hooks


def test_weight_norm_refuses():
    layer = nn.utils.weight_norm(nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="two weight_norm hooks on the same parameter weight"):
        nn.utils.weight_norm(layer)
    nn.utils.weight_norm(layer, "bias", dim=None)
    assert layer.bias_g.shape == ()
    for remove, name in ((nn.utils.remove_weight_norm, "other"), (nn.utils.remove_spectral_norm, "weight")):
        with pytest.raises(ValueError, match=f"_norm of '{name}' not found"):
            remove(layer, name)
    with pytest.raises(ValueError, match="no shape yet"):
        nn.utils.weight_norm(nn.LazyLinear(3))
    with pytest.raises(IndexError, match="dim 5"):
        nn.utils.weight_norm(nn.Linear(3, 2), dim=5)


def test_spectral_norm_finds_the_largest_singular_value():
    layer, x = nn.Linear(5, 4).double(), sample(3, 5)
    weight = layer.weight.detach().numpy().copy()
    nn.utils.spectral_norm(layer, n_power_iterations=50)
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    layer(x)
    u, v = layer.weight_u.numpy(), layer.weight_v.numpy()
    np.testing.assert_allclose(u @ weight @ v, np.linalg.norm(weight, 2), rtol=1e-6)
    np.testing.assert_allclose(layer.weight.tolist(), weight / (u @ weight @ v), rtol=1e-12)
    layer.eval()
    before = u.copy()
    first, second = layer(x), layer(x)
    (first.sum() - second.sum()).backward()  # two calls before a backward, as when training a GAN
    np.testing.assert_array_equal(layer.weight_u.numpy(), before)
    values = layer(x).tolist()
    nn.utils.remove_spectral_norm(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer(x).tolist(), values, rtol=1e-12)


def test_one_power_iteration_a_call_as_in_its_equations():
    layer = nn.utils.spectral_norm(nn.Linear(3, 2, bias=False).double())
    w, u = layer.weight_orig.detach().numpy(), layer.weight_u.numpy().copy()
    two = (layer(sample(1, 3)).sum() + layer(sample(1, 3)).sum()) * 1.0
    two.backward()
    for _ in range(2):
        v = w.T @ u / np.linalg.norm(w.T @ u)
        u = w @ v / np.linalg.norm(w @ v)
    np.testing.assert_allclose(layer.weight_u.tolist(), u, rtol=1e-12)
    np.testing.assert_allclose(layer.weight_v.tolist(), v, rtol=1e-12)
    assert layer.weight_orig.grad is not None
    # dim: that of the outputs, which is the second of a transposed convolution
    assert nn.utils.spectral_norm(nn.ConvTranspose2d(2, 5, 3)).weight_u.shape == (5,)
    assert nn.utils.spectral_norm(nn.Conv2d(2, 5, 3), dim=1).weight_u.shape == (2,)
    with pytest.raises(ValueError, match="n_power_iterations"):
        nn.utils.spectral_norm(nn.Linear(1, 1), n_power_iterations=0)
    with pytest.raises(RuntimeError, match="two spectral_norm hooks"):
        nn.utils.spectral_norm(layer)
    with pytest.raises(ValueError, match="bias is None"):
        nn.utils.spectral_norm(layer, "bias")


def test_the_newer_spectral_norm_works_when_the_weight_is_read():
    layer = parametrizations.spectral_norm(nn.Linear(5, 4).double(), n_power_iterations=50)
    assert layer.weight is not layer.weight
    np.testing.assert_allclose(np.linalg.norm(layer.weight.detach().numpy(), 2), 1.0, rtol=1e-6)
    assert list(layer.state_dict())[1:] == [f"parametrizations.weight.{n}" for n in ("original", "0._u", "0._v")]
    vector = parametrizations.spectral_norm(nn.Linear(2, 3), "bias")
    np.testing.assert_allclose(np.linalg.norm(vector.bias.detach().numpy()), 1.0, rtol=1e-6)
    for error, call in (
        (ValueError, lambda: parametrizations.spectral_norm(nn.ReLU())),
        (ValueError, lambda: parametrizations.spectral_norm(nn.Linear(1, 1), n_power_iterations=0)),
        (IndexError, lambda: parametrizations.spectral_norm(nn.Linear(1, 1), dim=2)),
    ):
        with pytest.raises(error):
            call()


def test_states_of_the_old_weight_norm_load_into_the_new():
    old, new = nn.utils.weight_norm(nn.Linear(3, 2)), parametrizations.weight_norm(nn.Linear(3, 2))
    assert str(nn.Sequential(new).load_state_dict(nn.Sequential(old).state_dict())) == "<All keys matched successfully>"
    x = minidl.ones(1, 3)
    np.testing.assert_allclose(new(x).tolist(), old(x).tolist(), rtol=1e-6)
    assert list(new.state_dict()) == ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]


@pytest.mark.parametrize("kind", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)], ids=str)
def test_orthogonal_weights_stay_orthogonal(kind, shape):
    layer = parametrizations.orthogonal(nn.Linear(*shape).double(), orthogonal_map=kind)

    def check():
        w = layer.weight.detach().numpy()
        w = w if w.shape[0] >= w.shape[1] else w.T
        np.testing.assert_allclose(w.T @ w, np.eye(w.shape[1]), atol=1e-12)

    check()
    optimizer = minidl.optim.SGD(layer.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        (layer(sample(4, shape[0], seed=step)) ** 2).sum().backward()
        optimizer.step()
    check()
    q = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0][
        : layer.weight.shape[0], : layer.weight.shape[1]
    ]
    if layer.weight.shape[0] == layer.weight.shape[1]:
        q = np.linalg.qr(q)[0]
        layer.weight = minidl.tensor(q)
        np.testing.assert_allclose(layer.weight.tolist(), q, atol=1e-12)


def test_orthogonal_without_a_base():
    layer = parametrizations.orthogonal(
        nn.Linear(2, 4).double(), orthogonal_map="householder", use_trivialization=False
    )
    q = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 2)))[0]
    layer.weight = minidl.tensor(q)
    np.testing.assert_allclose(layer.weight.tolist(), q, atol=1e-12)
    layer = parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="cayley", use_trivialization=False)
    with pytest.raises(NotImplementedError, match="use_trivialization=False"):
        layer.weight = minidl.eye(2)
    for call in (
        lambda: parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="other"),
        lambda: parametrizations.orthogonal(nn.Linear(2, 2), "bias"),
        lambda: parametrizations.orthogonal(nn.ReLU()),
        lambda: setattr(layer, "weight", minidl.eye(3)),
    ):
        with pytest.raises(ValueError):
            call()


# ---------------------------------------------------------------------------------------------------- parametrizations
class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)


class Cube(nn.Module):
    def forward(self, x):
        return x**3

    def right_inverse(self, y):
        return y.sign() * y.abs() ** (1 / 3)


def test_a_parametrization_and_its_texts():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias") and isinstance(layer, nn.Linear)
    assert layer.parametrizations.weight.original is weight and layer.parametrizations["weight"][0].training
    assert (layer.weight == layer.weight.T).all() and type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert [key for key, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    assert (
        repr(layer)
        == """\
ParametrizedLinear(
  in_features=3, out_features=3, bias=True
  (parametrizations): ModuleDict(
    (weight): ParametrizationList(
      (0): Symmetric()
    )
  )
)"""
    )
    layer(minidl.ones(1, 3)).sum().backward()
    assert weight.grad is not None
    other = copy.deepcopy(layer)
    with minidl.no_grad():
        other.parametrizations.weight.original.fill_(3.0)
    assert other.weight[0, 0].item() == 3.0 != layer.weight[0, 0].item()
    value = layer.weight.tolist()
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is weight and layer.weight.tolist() == value and type(layer) is nn.Linear
    assert "parametrizations" not in layer.__dict__ and list(layer.state_dict()) == ["bias", "weight"]


def test_several_parametrizations_and_assignment():
    layer = nn.Linear(2, 2).double()
    parametrize.register_parametrization(layer, "weight", Cube())
    parametrize.register_parametrization(layer, "weight", Cube())
    original = layer.parametrizations.weight.original
    layer.weight = minidl.full((2, 2), 5.0, dtype=minidl.float64)
    np.testing.assert_allclose(layer.weight.tolist(), 5.0)
    np.testing.assert_allclose(original.tolist(), 5.0 ** (1 / 9))
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_allclose(layer.weight.tolist(), 5.0 ** (1 / 9))
    parametrize.register_parametrization(layer, "bias", Symmetric(), unsafe=True)
    with pytest.raises(RuntimeError, match="Symmetric does not implement right_inverse"):
        layer.bias = minidl.ones(2)


def test_buffers_and_several_originals():
    norm = nn.BatchNorm1d(2)
    parametrize.register_parametrization(norm, "running_var", Cube())
    assert "parametrizations.running_var.original" in dict(norm.named_buffers())
    layer = parametrizations.weight_norm(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="sequence of tensors"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    before = layer.weight.tolist()
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight.tolist() == before and isinstance(layer.weight, nn.Parameter)


def test_each_tensor_is_computed_once_within_cached():
    class Counting(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x * 2

    calls: list = []
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Counting())
    calls.clear()
    with parametrize.cached():
        with parametrize.cached():
            assert layer.weight is layer.weight
        assert layer.weight is layer.weight and len(calls) == 1
    assert layer.weight is not layer.weight and len(calls) == 3


def test_transfer():
    source, target = parametrizations.weight_norm(nn.Linear(2, 3)), nn.Linear(2, 3)
    assert parametrize.transfer_parametrizations_and_params(source, target) is target
    assert target.parametrizations.weight.original0 is source.parametrizations.weight.original0
    assert target.weight.tolist() == source.weight.tolist()
    plain = nn.Linear(1, 1)
    assert parametrize.transfer_parametrizations_and_params(nn.Linear(1, 1), plain) is plain


def test_parametrizations_that_are_refused():
    class Wrong(nn.Module):
        def __init__(self, result, inverse=None):
            super().__init__()
            self.results = (result,)
            if inverse is not None:
                self.right_inverse = lambda x: inverse

        def forward(self, *x):
            return self.results[0]

    layer = nn.Linear(2, 2)
    done = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Cube())
    for module, name, parametrization in (
        (layer, "other", Cube()),
        (layer, "weight", Wrong(3)),
        (layer, "weight", Wrong(minidl.ones(3, 3))),
        (layer, "weight", Wrong(minidl.ones(2, 2).double())),
        (layer, "weight", Wrong(minidl.ones(2, 2), inverse=3)),
        (layer, "weight", Wrong(minidl.ones(2, 2), inverse=minidl.ones(2, 2).double())),
        (layer, "weight", Wrong(minidl.ones(2, 2), inverse=(1, 2))),
        (done, "weight", Wrong(minidl.ones(3, 3))),
        (done, "weight", Wrong(minidl.ones(2, 2), inverse=minidl.ones(3))),
    ):
        with pytest.raises(ValueError):
            parametrize.register_parametrization(module, name, parametrization)
    assert type(layer) is nn.Linear and len(done.parametrizations.weight) == 1
    with pytest.raises(ValueError, match="does not have a parametrization on weight"):
        parametrize.remove_parametrizations(layer, "weight")
    with pytest.raises(ValueError, match="at least one"):
        parametrize.ParametrizationList([], layer.weight)


# ------------------------------------------------------------------------------------------------------ functional_call
def test_a_module_is_called_with_other_tensors():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    own = {key: p.detach().clone() for key, p in net.named_parameters()}
    given = {key: sample(*p.shape, seed=k).requires_grad_() for k, (key, p) in enumerate(own.items())}
    x = sample(4, 2)
    y = functional_call(net, given, (x,))
    np.testing.assert_allclose(
        y.tolist(),
        (np.tanh(x.numpy() @ given["0.weight"].detach().numpy().T + given["0.bias"].detach().numpy())
        @ given["2.weight"].detach().numpy().T + given["2.bias"].detach().numpy()).tolist(),
        rtol=1e-12,
    )  # fmt: skip
    y.sum().backward()
    assert all(p.grad is not None for p in given.values()) and all(p.grad is None for p in net.parameters())
    assert all(net.get_parameter(key).tolist() == p.tolist() for key, p in own.items())
    assert isinstance(net[0].weight, nn.Parameter)
    two = functional_call(net, ({"0.weight": given["0.weight"]}, {"2.bias": given["2.bias"]}), x)
    assert two.shape == (4, 1) and functional_call(net, {}, kwargs={"input": x}).tolist() == net(x).tolist()


def test_functional_call_restores_after_errors_and_gives_buffers_back():
    norm = nn.BatchNorm1d(2)
    buffers = {"running_mean": minidl.ones(2), "num_batches_tracked": minidl.tensor(7)}
    functional_call(norm, buffers, minidl.zeros(3, 2))
    assert buffers["num_batches_tracked"].item() == 8 and norm.num_batches_tracked.item() == 0
    np.testing.assert_allclose(buffers["running_mean"].tolist(), 0.9)
    assert norm.running_mean.tolist() == [0.0, 0.0]
    weight = norm.weight
    with pytest.raises(ValueError):
        functional_call(norm, {"weight": minidl.ones(2)}, minidl.zeros(3, 5))
    assert norm.weight is weight

    class Replacing(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", minidl.zeros(1))

        def forward(self, x):
            self.seen = self.seen + x

    state = {"seen": minidl.ones(1)}
    net = Replacing()
    functional_call(net, state, 5.0)
    assert state["seen"].tolist() == [6.0] and net.seen.tolist() == [0.0]


def test_tied_weights_and_unknown_keys():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.layers = nn.Linear(1, 1, bias=False), [nn.Linear(1, 1, bias=False)]
            self.layers[0].weight = self.a.weight

        def forward(self, x):
            return self.layers[0](self.a(x))

    net, x, three = Tied(), minidl.ones(1, 1), minidl.full((1, 1), 3.0)
    assert functional_call(net, {"a.weight": three}, x).item() == 9.0
    own = net.a.weight.item()
    np.testing.assert_allclose(
        functional_call(net, {"a.weight": three}, x, tie_weights=False).item(), 3 * own, rtol=1e-6
    )
    np.testing.assert_allclose(
        functional_call(net, {"layers.0.weight": three}, x, tie_weights=False).item(), 3 * own, rtol=1e-6
    )
    assert net.a.weight is net.layers[0].weight
    with pytest.raises(ValueError, match="multiple values for keys"):
        functional_call(net, {"a.weight": three, "layers.0.weight": three * 2}, x)
    with pytest.raises(
        RuntimeError, match=r"(?s)Unexpected key\(s\): 'other'.*Missing key\(s\): 'a.weight', 'layers.0.w"
    ):
        functional_call(net, {"other": three}, x, strict=True)
    for error, given in ((ValueError, 3), (ValueError, [3]), (TypeError, {"a.weight": 3})):
        with pytest.raises(error):
            functional_call(net, given, x)
    with pytest.raises(ValueError, match="a.weight appeared in multiple dictionaries"):
        functional_call(net, ({"a.weight": three}, {"a.weight": three}), x)


# ---------------------------------------------------------------------------------------------- fused layers, the rest
@pytest.mark.parametrize(
    ("layer", "norm", "shape", "transposed"),
    [
        (nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), (2, 2, 4, 4), False),
        (nn.Conv1d(2, 3, 2, bias=False), nn.BatchNorm1d(3, affine=False), (2, 2, 4), False),
        (nn.ConvTranspose2d(2, 3, 2), nn.BatchNorm2d(3), (2, 2, 4, 4), True),
        (nn.Linear(2, 3, bias=False), nn.BatchNorm1d(3), (4, 2), None),
        (nn.Linear(2, 3), nn.BatchNorm1d(1), None, None),
    ],
    ids=["conv2d", "conv1d", "transposed", "linear", "one feature"],
)
def test_fused_layers_compute_the_same(layer, norm, shape, transposed):
    layer, norm = layer.double(), norm.double()
    with minidl.no_grad():
        norm.running_mean.copy_(sample(*norm.running_mean.shape))
        norm.running_var.copy_(sample(*norm.running_var.shape, seed=1).abs())
        if norm.affine:
            norm.weight.copy_(sample(*norm.weight.shape, seed=2))
    fuse = nn.utils.fuse_linear_bn_eval if transposed is None else nn.utils.fuse_conv_bn_eval
    options = () if transposed is None else (transposed,)
    with pytest.raises(AssertionError, match="eval"):
        fuse(layer, norm, *options)
    fused = fuse(layer.eval(), norm.eval(), *options)
    assert type(fused) is type(layer) and fused is not layer and isinstance(fused.bias, nn.Parameter)
    x = sample(*(shape or (4, 2)), seed=3)
    if shape is None:
        expected = (layer(x) - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    else:
        expected = norm(layer(x))
    np.testing.assert_allclose(fused(x).tolist(), expected.tolist(), rtol=1e-10, atol=1e-12)


def test_what_cannot_be_fused():
    with pytest.raises(AssertionError, match="running statistics"):
        nn.utils.fuse_conv_bn_eval(nn.Conv1d(1, 2, 1).eval(), nn.BatchNorm1d(2, track_running_stats=False).eval())
    with pytest.raises(AssertionError, match="out_features is 3"):
        nn.utils.fuse_linear_bn_eval(nn.Linear(2, 3).eval(), nn.BatchNorm1d(2).eval())


def test_skip_init_uses_no_random_numbers():
    minidl.manual_seed(3)
    expected = minidl.rand(2).tolist()
    minidl.manual_seed(3)
    layer = nn.utils.skip_init(nn.Linear, 2, 3, bias=False)
    assert layer.weight.shape == (3, 2) and layer.bias is None and minidl.rand(2).tolist() == expected
    with pytest.raises(RuntimeError, match="Expected a Module"):
        nn.utils.skip_init(list, 2)
    with pytest.raises(RuntimeError, match="'device'"):
        nn.utils.skip_init(nn.Dropout, 0.5)


def test_the_old_name_of_clipping_warns():
    p = minidl.zeros(2, requires_grad=True)
    p.grad = minidl.tensor([3.0, 4.0])
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert nn.utils.clip_grad_norm(p, 1.0).item() == 5.0
    np.testing.assert_allclose(p.grad.tolist(), [0.6, 0.8], rtol=1e-5)


def test_an_orthogonal_weight_is_kept_as_it_is():
    layer = nn.Linear(3, 3).double()
    q = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    with minidl.no_grad():
        layer.weight.copy_(minidl.tensor(q))
    parametrizations.orthogonal(layer)
    np.testing.assert_allclose(layer.weight.tolist(), q, atol=1e-12)


def test_two_uses_of_the_newer_spectral_norm_before_a_backward():
    layer = parametrizations.spectral_norm(nn.Linear(3, 2, bias=False).double())
    (layer(sample(1, 3)).sum() - layer(sample(1, 3, seed=1)).sum()).backward()
    assert layer.parametrizations.weight.original.grad is not None
