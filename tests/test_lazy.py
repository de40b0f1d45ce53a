"""Lazy layers: what they are before their first input, what they become, and tensors without a shape."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn.parameter import is_lazy

# a lazy layer, the same with its size, and the shape of an input
LAYERS = {
    "Linear": (lambda: nn.LazyLinear(3), lambda: nn.Linear(5, 3), (2, 5)),
    "Linear without bias": (lambda: nn.LazyLinear(3, False), lambda: nn.Linear(4, 3, False), (2, 5, 4)),
    "Conv1d": (lambda: nn.LazyConv1d(4, 3, groups=2), lambda: nn.Conv1d(6, 4, 3, groups=2), (2, 6, 5)),
    "Conv1d, one line": (lambda: nn.LazyConv1d(4, 3), lambda: nn.Conv1d(6, 4, 3), (6, 5)),
    "Conv2d": (lambda: nn.LazyConv2d(2, 3, 2, 1), lambda: nn.Conv2d(3, 2, 3, 2, 1), (2, 3, 5, 5)),
    "Conv3d": (lambda: nn.LazyConv3d(2, 2), lambda: nn.Conv3d(3, 2, 2), (1, 3, 3, 3, 3)),
    "ConvTranspose1d": (lambda: nn.LazyConvTranspose1d(2, 3), lambda: nn.ConvTranspose1d(4, 2, 3), (2, 4, 5)),
    "ConvTranspose2d": (
        lambda: nn.LazyConvTranspose2d(4, 2, 2, groups=2, bias=False),
        lambda: nn.ConvTranspose2d(6, 4, 2, 2, groups=2, bias=False),
        (2, 6, 3, 3),
    ),
    "ConvTranspose3d": (lambda: nn.LazyConvTranspose3d(2, 2), lambda: nn.ConvTranspose3d(3, 2, 2), (1, 3, 2, 2, 2)),
    "BatchNorm1d": (lambda: nn.LazyBatchNorm1d(), lambda: nn.BatchNorm1d(4), (3, 4)),
    "BatchNorm1d of lines": (lambda: nn.LazyBatchNorm1d(1e-3), lambda: nn.BatchNorm1d(4, 1e-3), (3, 4, 2)),
    "BatchNorm2d": (lambda: nn.LazyBatchNorm2d(affine=False), lambda: nn.BatchNorm2d(4, affine=False), (3, 4, 2, 2)),
    "BatchNorm3d": (lambda: nn.LazyBatchNorm3d(), lambda: nn.BatchNorm3d(2), (2, 2, 2, 2, 2)),
    "InstanceNorm1d": (lambda: nn.LazyInstanceNorm1d(), lambda: nn.InstanceNorm1d(4, 1e-5, 0.1, True, True), (4, 3)),
    "InstanceNorm2d": (
        lambda: nn.LazyInstanceNorm2d(affine=False),
        lambda: nn.InstanceNorm2d(4, track_running_stats=True),
        (2, 4, 3, 3),
    ),
    "InstanceNorm3d": (
        lambda: nn.LazyInstanceNorm3d(1e-5, 0.1, False, False),
        lambda: nn.InstanceNorm3d(3),
        (2, 3, 2, 2, 2),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_lazy_layer_becomes_the_layer(name, where):
    lazy, plain, shape = LAYERS[name]
    lazy = lazy().double().to(where.name)
    kind = type(lazy).__name__.removeprefix("Lazy")
    assert repr(lazy).startswith(f"Lazy{kind}(in_features=0, " if kind == "Linear" else f"Lazy{kind}(0, ")
    assert isinstance(lazy, getattr(nn, kind)) and isinstance(lazy, nn.modules.lazy.LazyModuleMixin)
    assert [key for key, _ in lazy.named_parameters()] == [key for key, _ in plain().named_parameters()]
    x = where.tensor(np.random.default_rng(3).standard_normal(shape), np.float64)
    minidl.manual_seed(5)
    y = lazy(x)
    minidl.manual_seed(5)
    expected = plain().double().to(where.name)
    assert type(lazy) is type(expected) and repr(lazy) == repr(expected) and y.shape == expected(x).shape
    state, wanted = lazy.state_dict(), expected.state_dict()
    assert list(state) == list(wanted) and [v.shape for v in state.values()] == [v.shape for v in wanted.values()]
    assert {v.device.type for v in state.values()} <= {x.device.type}
    assert all(v.dtype == wanted[key].dtype for key, v in state.items())
    assert lazy.__dict__.keys() == expected.__dict__.keys() and "_hooks" not in lazy.__dict__
    expected = plain().double().to(where.name)
    expected.load_state_dict(state)
    np.testing.assert_array_equal(lazy.eval()(x).tolist(), expected.eval()(x).tolist())
    if list(lazy.parameters()):
        y.sum().backward()
    assert all(p.grad is not None for p in lazy.parameters())


def test_a_network_is_used_and_trained_as_always():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    x = minidl.tensor(np.random.default_rng(1).standard_normal((2, 1, 5, 5))).float()
    with pytest.raises(ValueError, match="uninitialized parameter"):
        net.apply(lambda m: nn.init.xavier_uniform_(m.weight) if isinstance(m, nn.Linear) else None)
    net(x)
    net.apply(lambda m: nn.init.constant_(m.weight, 0.5) if isinstance(m, (nn.Linear, nn.Conv2d)) else None)
    assert net[4].weight.flatten().tolist() == [0.5] * 72 and net[0].in_channels == 1
    optimizer = minidl.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    assert net[4].weight[0, 0].item() != 0.5


def test_an_optimizer_made_before_the_first_input_trains_after_it():
    net = nn.Sequential(nn.LazyLinear(2), nn.LazyLinear(1))
    optimizer = minidl.optim.Adam(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="uninitialized parameter"):
        optimizer.step()
    net(minidl.ones(1, 3)).sum().backward()
    before = [p.tolist() for p in net.parameters()]
    optimizer.step()
    assert all(p.tolist() != old for p, old in zip(net.parameters(), before, strict=True))


def test_the_wrong_number_of_dimensions_is_refused_and_the_layer_stays_lazy():
    for layer, shape in (
        (nn.LazyConv2d(2, 3), (5,)),
        (nn.LazyBatchNorm2d(), (3, 4)),
        (nn.LazyInstanceNorm1d(affine=True), (1,)),
    ):
        with pytest.raises(RuntimeError, match=type(layer).__name__):
            layer(minidl.ones(*shape))
        assert layer.has_uninitialized_params()


def test_signatures_are_the_layers_without_the_size():
    assert list(inspect.signature(nn.LazyLinear).parameters) == ["out_features", "bias", "device", "dtype"]
    assert list(inspect.signature(nn.LazyConv2d).parameters)[:2] == ["out_channels", "kernel_size"]
    assert nn.LazyLinear(out_features=3, dtype=minidl.float64)(minidl.ones(1, 2).double()).dtype == minidl.float64
    assert inspect.signature(nn.LazyInstanceNorm1d).parameters["affine"].default is True
    with pytest.raises(TypeError, match="out_channels"):
        nn.LazyConv2d()
    with pytest.raises(TypeError, match="in_features"):
        nn.LazyLinear(3, in_features=2)


# ------------------------------------------------------------------------------------------------------------- state
def test_a_state_loads_into_a_lazy_network_before_its_first_input():
    source, target = (
        nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)),
        nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()),
    )
    source(minidl.randn(5, 4))
    assert str(target.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    assert not target[0].has_uninitialized_params() and repr(target[0]).startswith("LazyLinear(in_features=0")
    x = minidl.ones(2, 4)
    assert target.eval()(x).tolist() == source.eval()(x).tolist() and repr(target) == repr(source)


def test_the_state_of_a_lazy_network():
    net, other = nn.LazyLinear(3), nn.LazyLinear(3)
    state = net.state_dict()
    assert list(state) == ["weight", "bias"] and all(is_lazy(value) for value in state.values())
    assert repr(state["weight"]) == "<UninitializedParameter>"
    other.load_state_dict(state)
    assert other.has_uninitialized_params()
    plain = nn.Linear(2, 3)
    before = plain.weight.tolist()
    with pytest.raises(RuntimeError, match="weight: the checkpoint's is uninitialized"):
        plain.load_state_dict(state)
    assert plain.weight.tolist() == before


def test_a_copy_of_a_lazy_network_is_lazy_and_independent():
    net = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).double()
    other = copy.deepcopy(net)
    net(minidl.ones(2, 4).double())
    assert isinstance(net[0], nn.Linear) and isinstance(other[0], nn.LazyLinear)
    assert other(minidl.ones(2, 7).double()).dtype == minidl.float64 and other[0].in_features == 7


# ------------------------------------------------------------------------------------------ tensors without a shape
def test_uninitialized_tensors(where):
    p = nn.UninitializedParameter(device=where.name, dtype=minidl.float64)
    b = nn.UninitializedBuffer(persistent=False)
    assert p.requires_grad and not b.requires_grad and is_lazy(p) and is_lazy(b) and isinstance(p, nn.Parameter)
    assert p.dtype == minidl.float64 and p.device.type == where.name.partition(":")[0] and p.is_floating_point()
    for use in (lambda: p + 1, lambda: p.numel(), lambda: p.sum(), lambda: p.zero_()):
        with minidl.no_grad(), pytest.raises((ValueError, RuntimeError), match="uninitialized parameter"):
            use()
    with pytest.raises(RuntimeError, match="shape of an uninitialized"):
        p.shape  # noqa: B018
    with pytest.raises(ValueError, match="materialize"):
        p.array = np.ones(2)
    assert p.requires_grad_(False) is p and not p.requires_grad
    p.materialize((2, 3))
    assert type(p) is nn.Parameter and p.shape == (2, 3) and p.dtype == minidl.float64 and not is_lazy(p)
    assert p.device.type == where.name.partition(":")[0] and not p.requires_grad
    net = nn.Module()
    net.b = b
    assert list(dict(net.named_buffers())) == ["b"] and not net.state_dict()
    b.materialize((2,), dtype=minidl.int64)
    assert isinstance(net.b, minidl.Tensor) and net.b.dtype == minidl.int64


class Doubling(nn.modules.lazy.LazyModuleMixin, nn.Module):
    """A lazy module of a user's own, which stays of its class."""

    def __init__(self):
        super().__init__()
        self.scale = nn.UninitializedParameter()
        self.calls = 0

    def initialize_parameters(self, x):
        self.calls += 1
        self.scale.materialize(x.shape[1:])
        nn.init.constant_(self.scale, 2.0)

    def forward(self, x):
        return self.scale * x


def test_a_lazy_module_of_ones_own():
    layer = Doubling()
    assert layer.has_uninitialized_params()
    for _ in range(2):
        assert layer(minidl.ones(1, 3)).tolist() == [[2.0, 2.0, 2.0]]
    assert layer.calls == 1 and type(layer) is Doubling and type(layer.scale) is nn.Parameter

    class Forgetful(Doubling):
        def initialize_parameters(self, x):
            pass

    with pytest.raises(RuntimeError, match="Forgetful has not been fully initialized"):
        Forgetful()(minidl.ones(1, 3))

    class Unfinished(nn.modules.lazy.LazyModuleMixin, nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="initialize_parameters is not implemented for Unfinished"):
        Unfinished()(1)
