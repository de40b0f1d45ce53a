"""Module: what it finds among its attributes, its state, its modes, its hooks and its text."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.modes import mode


class Net(nn.Module):
    """One of everything that can hold a parameter."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 3), nn.Linear(3, 2)]
        self.scale = nn.Parameter(minidl.ones(2))
        self.heads = {"a": nn.Linear(2, 1), 7: nn.Linear(2, 1, bias=False)}
        self.hidden = (nn.Linear(2, 2),)
        self.register_buffer("mean", minidl.zeros(2))
        self.register_buffer("cache", minidl.zeros(2), persistent=False)
        self.plain = minidl.zeros(2)
        self.body = nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())
        self.weights = [nn.Parameter(minidl.ones(1)), [nn.Parameter(minidl.ones(2))]]

    def forward(self, x):
        x = self.layers[1](self.layers[0](x)) * self.scale
        return self.heads["a"](self.body(x)) + self.heads[7](x)


PARAMETERS = """scale weights.0 weights.1.0 layers.0.weight layers.0.bias layers.1.weight layers.1.bias heads.a.weight
heads.a.bias heads.7.weight body.0.weight body.0.bias""".split()


def test_parameters_are_found_in_attributes_lists_and_dicts_but_not_in_tuples():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == PARAMETERS
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [name for name, _ in net.named_parameters(recurse=False)] == PARAMETERS[:3]
    assert [name for name, _ in net.named_parameters(prefix="net")][:1] == ["net.scale"]


def test_state_dict_has_own_parameters_then_buffers_then_children():
    state = Net().state_dict()
    assert list(state) == [*PARAMETERS[:3], "mean", *PARAMETERS[3:]] + [
        "body.0.running_mean",
        "body.0.running_var",
        "body.0.num_batches_tracked",
    ]
    assert type(state["scale"]) is minidl.Tensor and not state["scale"].requires_grad
    assert list(nn.Linear(1, 1).state_dict(prefix="x.")) == ["x.weight", "x.bias"]
    net, into = Net(), OrderedDict(first=1)
    assert net.state_dict(destination=into, keep_vars=True) is into and into["scale"] is net.scale and "first" in into


def test_state_dict_shares_memory():
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    layer.weight.data.fill_(3.0)
    assert state["weight"].tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_modules_and_children():
    net = Net()
    names = ["layers.0", "layers.1", "heads.a", "heads.7", "body"]
    assert [name for name, _ in net.named_children()] == names
    assert [name for name, _ in net.named_modules()] == ["", *names, "body.0", "body.1"]
    assert len(list(net.modules())) == 8 and len(list(net.children())) == 5
    assert [name for name, _ in net.named_buffers()] == [
        "mean",
        "cache",
        "body.0.running_mean",
        "body.0.running_var",
        "body.0.num_batches_tracked",
    ]


def test_a_subclass_may_assign_before_init_or_never_call_it():
    class Early(nn.Module):
        def __init__(self):
            self.one = nn.Linear(1, 1)
            super().__init__()
            self.two = nn.Linear(1, 1)

    class Never(nn.Module):
        def __init__(self):
            self.one = nn.Linear(1, 1)
            self.register_buffer("b", minidl.zeros(1))

        def forward(self, x):
            return self.one(x)

    assert [name for name, _ in Early().named_children()] == ["one", "two"]
    net = Never()
    assert net.training and list(net.state_dict()) == ["b", "one.weight", "one.bias"]
    assert not net.eval().one.training and net(minidl.ones(2, 1)).shape == (2, 1)


def test_parameters_come_in_the_same_order_in_every_process():
    first = [name for name, _ in Net().named_parameters()]
    assert first == [name for name, _ in Net().named_parameters()] == PARAMETERS


def test_get_submodule_parameter_and_buffer():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("layers.1") is net.layers[1] and net.get_submodule("heads.7") is net.heads[7]
    assert net.get_parameter("weights.1.0") is net.weights[1][0]
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_buffer("body.0.running_mean") is net.body[0].running_mean
    for call in (
        lambda: net.get_submodule("layers.2"),
        lambda: net.get_submodule("layers.0.weight"),
        lambda: net.get_parameter("mean"),
        lambda: net.get_buffer("plain"),
        lambda: net.nothing,
    ):
        with pytest.raises(AttributeError):
            call()


def test_assignment_follows_pytorch():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'weight'"):
        layer.weight = minidl.zeros(2, 2)
    assert isinstance(layer.weight, nn.Parameter)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"] and layer._parameters["bias"] is None
    with pytest.raises(TypeError, match="parameter 'bias'"):
        layer.bias = minidl.zeros(2)
    layer.bias = nn.Parameter(minidl.zeros(2))
    assert list(layer.state_dict()) == ["weight", "bias"]
    net = Net()
    net.mean = minidl.ones(2)  # a buffer stays one
    assert net.state_dict()["mean"].tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="as buffer 'mean'"):
        net.mean = [1.0, 2.0]
    with pytest.raises(TypeError, match="as module 'body'"):
        net.body = 3
    net.body = nn.Identity()
    net.mean = nn.Parameter(minidl.zeros(2))
    assert "mean" in dict(net.named_parameters()) and "mean" not in dict(net.named_buffers())
    del net.mean
    assert "mean" not in net.state_dict() and not hasattr(net, "mean")
    del net.cache
    net.cache = minidl.zeros(2)
    assert "cache" not in dict(net.named_buffers())
    net.mean = minidl.zeros(2)  # no longer a buffer
    assert "mean" not in net.state_dict()


def test_registering_checks_names_and_types():
    net = Net()
    for register, value in (
        (net.register_buffer, minidl.zeros(1)),
        (net.register_parameter, nn.Parameter(minidl.zeros(1))),
        (net.add_module, nn.ReLU()),
    ):
        for name in ("a.b", "", "forward"):
            with pytest.raises(KeyError):
                register(name, value)
        with pytest.raises(TypeError, match="string"):
            register(3, value)
        with pytest.raises(TypeError, match="expected a"):
            register("new", 3.0)
    with pytest.raises(ValueError, match="leaf"):
        net.register_parameter("new", net.scale * 2)
    net.register_parameter("off", None)
    net.register_module("empty", None)
    assert "off" not in net.state_dict() and "(empty): None" in repr(net)
    assert [name for name, _ in net.named_children()][-1] == "body"


def test_the_underscore_mappings_read_write_and_delete():
    net = Net()
    assert list(net._modules) == ["layers.0", "layers.1", "heads.a", "heads.7", "body"]
    assert list(net._parameters) == PARAMETERS[:3] and list(net._buffers) == ["mean", "cache"]
    new = nn.Linear(2, 1)
    net._modules["body"] = net._modules["layers.0"] = net._modules["heads.7"] = new
    assert net.body is net.layers[0] is net.heads[7] is new
    net._parameters["extra"] = nn.Parameter(minidl.ones(1))
    net._parameters["scale"] = None
    net._buffers["new"] = minidl.ones(1)
    assert net.scale is None and list(net._parameters) == ["scale", *PARAMETERS[1:3], "extra"]
    assert net.state_dict()["new"].tolist() == [1.0]
    del net._modules["body"], net._modules["layers.0"], net._buffers["mean"]
    assert not hasattr(net, "body") and not hasattr(net, "mean") and len(net.layers) == 1
    assert net._modules.pop("layers.0") is not new and net.layers == [] and "nothing" not in net._modules
    with pytest.raises(KeyError):
        del net._parameters["nothing"]


def test_a_module_reachable_twice_has_the_keys_of_both_and_loads_from_either():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.b = self.a
            self.circle = [self]

    net = Twice()
    assert list(net.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]  # as PyTorch writes it
    assert [name for name, _ in net.named_modules(remove_duplicate=False)] == ["", "a", "b"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    state = {f"{m}.{p}": np.full((1, 1) if p == "weight" else 1, 5.0) for m in "ab" for p in ("weight", "bias")}
    net.load_state_dict(state)
    assert net.a.weight.item() == 5.0
    net.load_state_dict({"b.weight": np.array([[6.0]]), "a.bias": np.array([6.0])})
    assert net.a.weight.item() == net.a.bias.item() == 6.0


def test_a_shared_parameter_is_one_parameter_under_two_names():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 3


def test_train_and_eval_reach_all_and_leave_gradients_alone():
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net(minidl.ones(3, 2)).requires_grad and minidl.is_grad_enabled()
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ValueError, match="True or False"):
        net.train("yes")


def test_train_calls_a_childs_own_train():
    class Frozen(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    net = nn.Sequential(Frozen(2), nn.ReLU()).train()
    assert net.training and net[1].training and not net[0].training


def test_apply_goes_children_first_and_requires_grad_and_zero_grad_reach_all():
    net, seen = Net(), []
    assert net.apply(seen.append) is net
    assert seen[-1] is net and seen[-2] is net.body and len(seen) == 8
    net(minidl.ones(3, 2)).sum().backward()
    memory = net.scale.grad.array
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.array is memory and not memory.any()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_dtype_casts_keep_the_parameters_and_leave_integers():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net(minidl.ones(3, 2)).sum().backward()
    weight, buffer = net[0].weight, net[1].running_mean
    assert net.double() is net and net[0].weight is weight and net[1].running_mean is buffer
    assert weight.dtype == weight.grad.dtype == buffer.dtype == minidl.float64
    assert net[1].num_batches_tracked.dtype == minidl.int64
    assert net.half()[0].weight.dtype == minidl.float16 and net.float()[0].weight.dtype == minidl.float32
    assert net.to(minidl.zeros(1, dtype=minidl.float64))[0].bias.dtype == minidl.float64
    assert net.to("cpu", minidl.float32)[0].bias.dtype == net.type(minidl.float32)[1].num_batches_tracked.dtype
    with pytest.raises(TypeError, match="floating-point"):
        net.to(minidl.int64)
    with pytest.raises(ValueError, match="gpu"):
        net.to("gpu")
    with pytest.raises(TypeError, match="unexpected"):
        net.to(memory="cpu")


def test_to_moves_everything_between_devices():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net(minidl.ones(3, 2)).sum().backward()
    weight, expected = net[0].weight, net[0].weight.tolist()
    net.to("cuda")
    assert net[0].weight is weight and {t.device.type for t in net.state_dict().values()} == {"cuda"}
    assert weight.grad.device.type == "cuda"
    assert net(minidl.ones(3, 2, device="cuda")).device.type == "cuda"
    assert {t.device.type for t in net.cpu().state_dict().values()} == {"cpu"} and weight.tolist() == expected
    assert net.cuda()[0].bias.device.type == "cuda"


# ----------------------------------------------------------------------------------------------------- loading
def test_load_state_dict_takes_tensors_and_arrays_of_either_kind(where):
    layer = nn.Linear(2, 1)
    result = layer.load_state_dict({"weight": where.array([[1.0, 2.0]]), "bias": where.tensor([3.0], np.float64)})
    assert layer.weight.tolist() == [[1.0, 2.0]] and layer.bias.tolist() == [3.0]
    assert layer.weight.dtype == minidl.float32 and type(layer.weight.array) is np.ndarray
    assert result.missing_keys == [] == result.unexpected_keys
    assert str(result) == repr(result) == "<All keys matched successfully>"


def test_loading_writes_into_the_same_memory():
    layer = nn.Linear(2, 1)
    weight, memory = layer.weight, layer.weight.array
    layer.load_state_dict(nn.Linear(2, 1).state_dict())
    assert layer.weight is weight and weight.array is memory


def test_one_error_lists_everything_and_nothing_is_changed():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {key: value.tolist() for key, value in net.state_dict().items()}
    state = {key: np.full(value.shape, 9, np.float32) for key, value in net.state_dict().items()}
    del state["0.bias"]
    state.update({"0.weight": np.ones((2, 3)), "extra": np.ones(1), "1.bias": "text", "1.weight": np.ones(2, np.int64)})
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    for part in (
        "loading state_dict for Sequential",
        'Missing key(s) in state_dict: "0.bias"',
        'Unexpected key(s) in state_dict: "extra"',
        "size mismatch for 0.weight: copying a param with shape minidl.Size([2, 3]) from checkpoint, "
        "the shape in current model is minidl.Size([2, 2]).",
        "1.bias: expected a Tensor or array, got str",
        "dtype mismatch for 1.weight: the checkpoint has int64, the current model float32",
        "dtype mismatch for 1.num_batches_tracked",
    ):
        assert part in text, part
    assert {key: value.tolist() for key, value in net.state_dict().items()} == before
    with pytest.raises(TypeError, match="dict"):
        net.load_state_dict([1])


def test_not_strict_reports_what_differs_but_still_refuses_wrong_shapes():
    layer = nn.Linear(1, 1)
    missing, unexpected = layer.load_state_dict({"weight": np.array([[4.0]]), "more": np.ones(1)}, strict=False)
    assert (missing, unexpected) == (["bias"], ["more"]) and layer.weight.item() == 4.0
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict({"weight": np.ones((2, 1))}, strict=False)


def test_assign_takes_the_tensors_over():
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    net[0].bias.requires_grad_(False)
    state = {key: value.clone() for key, value in net.double().state_dict().items()}
    net.float().load_state_dict(state, assign=True)
    assert isinstance(net[0].weight, nn.Parameter) and net[0].weight.array is state["0.weight"].array
    assert net[0].weight.dtype == minidl.float64 and not net[0].bias.requires_grad
    assert net[1].running_mean is state["1.running_mean"] and "1.running_mean" in net.state_dict()


def test_deepcopy_is_independent():
    net = Net()
    net(minidl.ones(3, 2)).sum().backward()
    other = copy.deepcopy(net)
    assert [name for name, _ in other.named_parameters()] == PARAMETERS
    assert all(isinstance(p, nn.Parameter) for p in other.parameters())
    other.scale.data.fill_(7.0)
    other.plain.fill_(7.0)
    assert net.scale.tolist() == [1.0, 1.0] and net.plain.tolist() == [0.0, 0.0]
    assert other.scale.grad.tolist() == net.scale.grad.tolist() and other.scale.grad is not net.scale.grad


# ------------------------------------------------------------------------------------------------- calls, hooks
def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty"):
        Empty()(1)


def test_forward_hooks_may_change_arguments_and_result():
    class Scaled(nn.Module):
        def forward(self, x, factor=1):
            return x * factor

    m, log = Scaled(), []
    handles = [
        m.register_forward_hook(lambda module, args, out: log.append(("after", args, out)) or out + 100),
        m.register_forward_hook(lambda module, args, kwargs, out: log.append(kwargs), with_kwargs=True, prepend=True),
        m.register_forward_pre_hook(lambda module, args: log.append("before") or args[0] + 1),
        m.register_forward_pre_hook(lambda module, args, kwargs: (args, {"factor": 3}), with_kwargs=True),
        m.register_forward_pre_hook(lambda module, args: log.append("first"), prepend=True),
    ]
    assert m(1, factor=2) == 106 and log == ["first", "before", {"factor": 3}, ("after", (2,), 6)]
    for handle in handles:
        handle.remove()
    assert m(1, factor=2) == 2 and len(log) == 4
    with pytest.raises(TypeError, match="callable"):
        m.register_forward_hook(3)
    m.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="kwargs"):
        m(1)


def test_full_backward_hooks_see_and_change_gradients(where):
    layer, log = nn.Linear(2, 1).double().to(where.name), []
    layer.weight.data.copy_(where.tensor([[2.0, 3.0]]))
    seen = lambda gs: [None if g is None else g.tolist() for g in gs]  # noqa: E731
    layer.register_full_backward_pre_hook(lambda m, out: log.append(seen(out)) or (out[0] * 10,))
    layer.register_full_backward_hook(lambda m, into, out: log.append((seen(into), seen(out))) or (into[0] + 1,))
    x = where.leaf([[1.0, 1.0]])
    (x * 2 + layer(x)).sum().backward()
    assert log == [[[[2.0]]], ([[[40.0, 60.0]]], [[[20.0]]])]  # the (1, 1) output was broadcast to two
    assert x.grad.tolist() == [[43.0, 63.0]] and layer.weight.grad.tolist() == [[20.0, 20.0]]


def test_a_full_backward_hook_runs_when_no_input_requires_a_gradient():
    layer, log = nn.Linear(1, 1), []
    handle = layer.register_full_backward_hook(lambda m, into, out: log.append((into, out[0].item())))
    layer(minidl.ones(1, 1)).sum().backward()
    assert log == [((None,), 1.0)]
    with minidl.no_grad():
        layer(minidl.ones(1, 1))
    handle.remove()
    layer(minidl.ones(1, 1)).sum().backward()
    assert len(log) == 1
    layer.register_full_backward_hook(lambda m, into, out: (1, 2))
    with pytest.raises(RuntimeError, match="expected 1 gradients"):
        layer(minidl.ones(1, 1).requires_grad_()).sum().backward()


def test_full_backward_hooks_take_part_in_second_derivatives():
    m = nn.Identity()
    m.register_full_backward_hook(lambda m, into, out: (into[0] * 3,))
    x = minidl.tensor([2.0], dtype=minidl.float64, requires_grad=True)
    (g,) = minidl.grad((m(x) ** 3).sum(), x, create_graph=True)
    assert g.item() == 36.0  # 3 * 3 x^2
    (h,) = minidl.grad(g.sum(), x)
    assert h.item() == 108.0  # d/dx 9 x^2, through the border (3 times) once more


def test_anomaly_mode_names_the_module():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = [nn.Identity(), nn.Linear(2, 2)]

        def forward(self, x):
            return self.stages[1](self.stages[0](x))

    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 2), second=Inner()))
    net.second.stages[1].weight.data.fill_(float("nan"))
    with minidl.detect_anomaly(), pytest.raises(RuntimeError, match=r"'linear' in module 'second\.stages\.1' gave nan"):
        net(minidl.ones(1, 2))
    assert mode.path == ()
    net.second.stages[1].weight.data.fill_(1.0)

    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt().sum()

    x = minidl.zeros(2, requires_grad=True)
    where = pytest.raises(RuntimeError, match=r"backward of 'sqrt' in module 'Root'")
    with minidl.detect_anomaly(), np.errstate(divide="ignore"), where:
        Root()(x).backward()


def test_plain_calls_reach_forward_directly():
    class Deep(nn.Module):
        def forward(self, x):
            import sys

            return sys._getframe(1).f_code.co_name

    assert Deep()(1) == "__call__"


# --------------------------------------------------------------------------------------------------------- text
def test_repr_is_pytorchs():
    net = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, dilation=(1, 2), bias=False),
            same=nn.Conv2d(3, 3, (3, 1), padding="same"),
            norm=nn.BatchNorm2d(8, affine=False),
            pool=nn.MaxPool2d(2, ceil_mode=True),
            mean=nn.AvgPool2d((2, 2), stride=1),
            drop=nn.Dropout(0.3),
            list=nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.Sequential(nn.ReLU(inplace=True), nn.Flatten())]),
            soft=nn.Softmax(dim=1),
            loss=nn.CrossEntropyLoss(),
            empty=nn.Sequential(),
        )
    )
    assert (
        repr(net)
        == """\
Sequential(
  (conv): Conv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(1, 2), groups=2, bias=False)
  (same): Conv2d(3, 3, kernel_size=(3, 1), stride=(1, 1), padding=same)
  (norm): BatchNorm2d(8, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=True)
  (pool): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=True)
  (mean): AvgPool2d(kernel_size=(2, 2), stride=1, padding=0)
  (drop): Dropout(p=0.3, inplace=False)
  (list): ModuleList(
    (0-1): 2 x Linear(in_features=3, out_features=3, bias=True)
    (2): Sequential(
      (0): ReLU(inplace=True)
      (1): Flatten(start_dim=1, end_dim=-1)
    )
  )
  (soft): Softmax(dim=1)
  (loss): CrossEntropyLoss()
  (empty): Sequential()
)"""
    )


# --------------------------------------------------------------------------------------------------- containers
def test_sequential_has_pytorchs_operations():
    a, b, c, d = (nn.Linear(1, 1) for _ in range(4))
    net = nn.Sequential(a, b)
    assert net.append(c) is net and list(net) == [a, b, c] and len(net) == 3
    assert net[0] is a and net[-1] is c and list(net[1:]) == [b, c] and isinstance(net[1:], nn.Sequential)
    assert net.insert(1, d) is net and list(net) == [a, d, b, c]
    assert list(net.state_dict())[:4] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    del net[0]
    assert list(net) == [d, b, c] and net.pop(-1) is c and list(net._modules) == ["0", "1"]
    net[0] = a
    assert list(net.extend([c, d])) == [a, b, c, d]
    assert list(nn.Sequential(a) + nn.Sequential(b)) == [a, b] and list(nn.Sequential(a) * 2) == [a, a]
    net += nn.Sequential(a)
    assert list(net) == [a, b, c, d, a]
    named = nn.Sequential(OrderedDict(x=a, y=b))
    assert named.x is a and list(named[:1].state_dict()) == ["x.weight", "x.bias"]
    x = minidl.ones(2, 1)
    assert named(x).tolist() == b(a(x)).tolist()
    for call in (lambda: nn.Sequential(3), lambda: net.append(3), lambda: net.__setitem__(0, 3), lambda: net.extend(a)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(IndexError):
        net[9]
    with pytest.raises(ValueError, match="Sequential"):
        net + [a]


def test_module_list_has_a_lists_operations():
    a, b, c = (nn.Linear(1, 1) for _ in range(3))
    layers = nn.ModuleList([a, b])
    assert list(layers.append(c)) == [a, b, c] and len(layers) == 3 and b in layers
    layers.insert(0, c)
    layers += [a]
    layers.extend(m for m in (b,))
    assert list(layers) == [c, a, b, c, a, b] and list(layers[::2]) == [c, b, a]
    assert layers.pop() is b and layers.pop(0) is c and list(layers) == [a, b, c, a]
    layers[1:3] = [c]
    layers[-1] = b
    assert list(layers) == [a, c, b] and list(layers._modules) == ["0", "1", "2"]
    del layers[0]
    del layers[:1]
    assert list(layers) == [b] and list(layers + [a]) == [b, a]
    assert not nn.ModuleList() and list(nn.ModuleList([a]).state_dict()) == ["0.weight", "0.bias"]
    with pytest.raises(NotImplementedError, match="ModuleList"):
        layers(1)
    with pytest.raises(TypeError):
        nn.ModuleList([3])
