"""Idioms of programs that were written for PyTorch, one test each: what stopped such a program once."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.optim import SGD, Adam, Optimizer


def names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


# ------------------------------------------------------------------------------------------------------------ modules
def test_none_stands_in_the_place_of_a_module():
    layers = nn.ModuleList([nn.Linear(1, 1), None])
    layers.append(None)
    layers.insert(0, None)
    layers += [None]
    assert len(layers) == 5 and layers[2] is None and [layer is None for layer in layers] == [1, 0, 1, 1, 1]
    assert list(layers.state_dict()) == ["1.weight", "1.bias"] and len(list(layers.children())) == 1
    assert "(2-4): 3 x None" in repr(layers)
    layers[0] = nn.ReLU()
    layers[0] = None
    del layers[1]
    assert layers.pop(-1) is None and len(copy.deepcopy(layers)) == 3 and not names(layers)
    assert repr(nn.Sequential(nn.ReLU(), None)) == "Sequential(\n  (0): ReLU()\n  (1): None\n)"
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        nn.Sequential(nn.ReLU(), None)(minidl.ones(1))
    named = nn.ModuleDict({"a": None, "b": nn.ReLU()})
    assert named["a"] is None and list(named) == ["a", "b"] and len(named) == 2
    with pytest.raises(TypeError, match="must be a Module, got int"):
        layers.append(3)


def test_an_attribute_names_what_a_plain_list_or_dict_holds_too():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.options = {"head": nn.Linear(1, 1), "width": 3}
            self.layers = [nn.Linear(1, 1), nn.Linear(1, 1)]
            self.body = nn.Sequential(*self.layers)
            self.head = self.options["head"]
            self.all = list(self.body.parameters())
            self.found = [nn.Linear(1, 1, bias=False)]

    net = Net()
    expected = [f"{place}.{kind}" for place in ("body.0", "body.1", "head") for kind in ("weight", "bias")]
    assert names(net) == list(net.state_dict()) == [*expected, "found.0.weight"]
    assert [name for name, _ in net.named_modules()] == ["", "body", "body.0", "body.1", "head", "found.0"]


def test_an_initialisation_before_the_first_batch_has_no_effect():
    layer = nn.LazyLinear(1)
    layer.weight.data.normal_(0, 0.01)
    layer.bias.data.fill_(0)
    assert layer(minidl.ones(2, 3)).shape == (2, 1)


def test_recurrent_layers_have_their_weights_in_a_row():
    layer = nn.GRU(2, 3, num_layers=2)
    assert layer._flat_weights_names[:2] == ["weight_ih_l0", "weight_hh_l0"] and len(layer._flat_weights) == 8
    found = zip(layer._flat_weights_names, layer._flat_weights, strict=True)
    assert all(layer._parameters[name] is p for name, p in found)


# --------------------------------------------------------------------------------------------------- tensors, in place
def test_data_takes_the_values_of_a_parameter():
    """As targets and averages of weights are updated, outside of no_grad."""
    p, target, sums = nn.Parameter(minidl.tensor([1.0, 2.0])), nn.Parameter(minidl.zeros(2)), minidl.zeros(2)
    target.data.copy_(p * 0.5)
    sums.data.add_(p, alpha=2)
    assert target.tolist() == [0.5, 1.0] and sums.tolist() == [2.0, 4.0]
    assert target.requires_grad and target.is_leaf and not sums.requires_grad


def test_a_recorded_value_written_into_a_plain_tensor_is_seen_by_all_who_share_its_memory():
    w = nn.Parameter(minidl.tensor([1.0, 2.0]))
    x = minidl.tensor([3.0, 4.0])
    seen, column = x.detach(), x.view(2, 1)
    x.mul_(w)
    x.sum().backward()
    assert w.grad.tolist() == [3.0, 4.0]  # of the values before
    assert seen.tolist() == [3.0, 8.0] and column.detach().tolist() == [[3.0], [8.0]]
    rows, w.grad = minidl.ones(2, 2), None
    row = rows[0]
    row.mul_(w)
    rows.sum().backward()
    assert w.grad.tolist() == [1.0, 1.0] and rows.tolist() == [[1.0, 2.0], [1.0, 1.0]]


def test_a_change_through_data_is_the_programs_own_affair():
    """`x.data[i] = v` between forward and backward, where the program knows that nobody needs the old values."""
    w = nn.Parameter(minidl.ones(2))
    scratch = minidl.zeros(2)
    y = (scratch[:1] * w).sum()
    scratch.data[1] = 5.0
    y.backward()
    assert w.grad.tolist() == [0.0, 0.0]


def test_a_tensor_made_of_an_array_has_the_default_dtype():
    array = np.array([1.0, 2.0], np.float32)
    minidl.Tensor(array)[0] = 5.0
    assert array[0] == 5.0  # on its memory, if that fits
    for array in (np.ones(2), np.ones(2, np.int64), np.ones(2, bool)):
        assert minidl.Tensor(array).dtype == minidl.float32
    assert minidl.Tensor(minidl.ones(2, dtype=minidl.int64)).dtype == minidl.int64
    minidl.set_default_dtype(minidl.float64)
    try:
        assert minidl.Tensor([1]).dtype == minidl.Tensor(2, 3).dtype == minidl.float64
    finally:
        minidl.set_default_dtype(minidl.float32)


def test_full_like_by_name():
    x = minidl.zeros(2, dtype=minidl.float64)
    y = minidl.full_like(x, fill_value=3.0)
    assert y.tolist() == [3.0, 3.0] and y.dtype == minidl.float64


def test_random_numbers_of_no_dimension_are_tensors_like_others():
    p = minidl.tensor(0.5)
    for x in (minidl.bernoulli(p), minidl.poisson(p), minidl.zeros(()).bernoulli_(0.5), minidl.bucketize(p, p[None])):
        assert isinstance(x.array, np.ndarray) and (p * x).shape == ()


# --------------------------------------------------------------------------------------------------------- optimizers
class Around(Optimizer):
    """An optimizer around another, that does not call its base class's `__init__`."""

    def __init__(self, inner: Optimizer) -> None:
        self._patch_step_function()
        self.inner, self.state, self.defaults = inner, {}, {"k": 2, **inner.defaults}

    @property
    def param_groups(self):
        return self.inner.param_groups

    def step(self, closure=None):
        return self.inner.step(closure)


def test_an_optimizer_around_another_need_not_call_its_base_class():
    w = nn.Parameter(minidl.ones(1))
    rule = Around(SGD([w], lr=1.0))
    for _ in range(2):
        rule.zero_grad()
        (w * w).sum().backward()
        rule.step()
    assert w.tolist() == [1.0]
    rule.load_state_dict({**rule.state_dict(), "param_groups": rule.inner.state_dict()["param_groups"]})


def test_parameters_may_come_in_a_parameter_list():
    w = nn.Parameter(minidl.ones(1))
    assert Adam(nn.ParameterList([w])).param_groups[0]["params"] == [w]
    with pytest.raises(TypeError, match=r"write model.parameters\(\)"):
        Adam(nn.Linear(1, 1))
    with pytest.raises(TypeError, match=r"write model.parameters\(\)"):
        Adam(nn.Sequential(nn.Linear(1, 1)))


# ---------------------------------------------------------------------------------------- what programs import and ask
def test_a_group_of_one_process():
    dist = minidl.distributed
    for ask in (dist.get_rank, dist.get_world_size, dist.barrier, lambda: dist.all_reduce(minidl.ones(1))):
        with pytest.raises(ValueError, match="Default process group has not been initialized"):
            ask()
    with pytest.raises(ValueError, match="RANK expected"):
        dist.init_process_group("gloo")
    with pytest.raises(NotImplementedError, match="world_size=2"):
        dist.init_process_group("gloo", rank=0, world_size=2)
    dist.init_process_group("gloo", rank=0, world_size=1)
    try:
        assert dist.is_initialized() and (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
        x, found = minidl.ones(2), [minidl.zeros(2)]
        dist.all_reduce(x, op=dist.ReduceOp.SUM)
        dist.all_gather(found, x)
        assert found[0].tolist() == [1.0, 1.0] and dist.broadcast(x, 0, async_op=True).wait()
        with pytest.raises(ValueError, match="src=1 in a world of 1 process"):
            dist.broadcast(x, 1)
    finally:
        dist.destroy_process_group()
    assert not dist.is_initialized()


def test_states_of_devices_and_groups_of_tensors():
    checkpoint = importlib.import_module("minidl.utils.checkpoint")
    hooks = importlib.import_module("minidl.utils.hooks")
    many = importlib.import_module("minidl.utils._foreach_utils")
    assert checkpoint.get_device_states(minidl.ones(1)) == ([], [])
    checkpoint.set_device_states([], [])
    assert isinstance(nn.ReLU().register_forward_hook(lambda *_: None), hooks.RemovableHandle)
    a, b = minidl.ones(1), minidl.ones(1, dtype=minidl.float64)
    found = many._group_tensors_by_device_and_dtype([[a, b], [], [None, a]], True)
    assert list(found.values()) == [([[a], [], [None]], [0]), ([[b], [], [a]], [1])]
    assert not isinstance(minidl.jit.script(nn.ReLU()), minidl.jit.ScriptModule)


def test_in_pytorchs_place_it_has_pytorchs_name():
    program = """
        import minidl.compat
        minidl.compat.install()
        import torch
        from importlib.metadata import version
        assert version("torch") == "2.13.0"
        x = torch.ones(2, 1)
        assert str(x.shape) == "torch.Size([2, 1])" and str(x.dtype) == "torch.float32"
        assert repr(torch.ones(1, dtype=torch.float64)) == "tensor([1.], dtype=torch.float64)"
        minidl.compat.uninstall()
        assert str(x.shape) == "minidl.Size([2, 1])" and str(x.dtype) == "minidl.float32"
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_pass_with_replacement_may_be_as_good_as_endless():
    """As trainers do that count steps, not passes."""
    sampler = minidl.utils.data.RandomSampler(range(3), replacement=True, num_samples=int(1e10))
    loader = minidl.utils.data.DataLoader(range(3), batch_size=4, sampler=sampler)
    assert next(iter(loader)).shape == (4,) and len(loader) == 2500000000
