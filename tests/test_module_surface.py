"""Module as third-party code uses it: its dicts, its state and what may be overridden there, paths, wrappers."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

import minidl
from minidl import nn

METHODS = """
    add_module apply buffers children compile cpu cuda double eval extra_repr float forward get_buffer get_parameter
    get_submodule half load_state_dict modules named_buffers named_children named_modules named_parameters parameters
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_submodule
    state_dict to to_empty train type zero_grad
    T_destination call_super_init dump_patches training _apply _backward_hooks _backward_pre_hooks _buffers _call_impl
    _forward_hooks _forward_pre_hooks _get_name _load_from_state_dict _load_state_dict_post_hooks
    _load_state_dict_pre_hooks _modules _named_members _non_persistent_buffers_set _parameters
    _register_load_state_dict_pre_hook _register_state_dict_hook _save_to_state_dict _state_dict_hooks
    _state_dict_pre_hooks _version _wrapped_call_impl
""".split()


@pytest.mark.parametrize("name", METHODS)
def test_module_has_pytorchs_names(name):
    assert hasattr(nn.Module(), name)


# ------------------------------------------------------------------------------------------------------- the dicts
def test_a_weight_may_be_taken_out_and_computed_before_each_call():
    """What weight normalisations of third parties do."""
    layer = nn.Linear(2, 1, bias=False)
    weight = layer._parameters["weight"]
    del layer._parameters["weight"]
    assert "weight" not in layer._parameters and not hasattr(layer, "weight")
    layer.register_parameter("weight_v", nn.Parameter(weight.data))
    layer.register_forward_pre_hook(lambda module, args: setattr(module, "weight", module.weight_v * 2))
    out = layer(minidl.ones(1, 2))
    out.sum().backward()
    assert layer.weight_v.grad.tolist() == [[2.0, 2.0]] and list(layer.state_dict()) == ["weight_v"]
    np.testing.assert_allclose(out.item(), 2 * weight.sum().item(), rtol=1e-6)


def test_the_dicts_are_live_and_may_be_replaced():
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    children, parameters = net._modules, net[0]._parameters
    net.append(nn.Tanh())
    assert list(children) == ["0", "1", "2"] and len(children) == 3 and list(children.values())[2] is net[2]
    parameters["bias"] = None
    assert net[0].bias is None and list(net.state_dict()) == ["0.weight"]
    assert repr(parameters) == repr({"weight": net[0].weight, "bias": None}) and "bias" in parameters.copy()
    net._modules = OrderedDict(first=nn.Tanh())
    assert list(net.named_children()) == [("first", net.first)] and len(net) == 1
    net._buffers = {"b": minidl.ones(1)}
    assert list(net.state_dict()) == ["b"]
    with pytest.raises(TypeError, match="copy the module"):
        copy.deepcopy(children)


def test_a_container_of_ones_own_on_the_dict_of_children():
    class Chain(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            for i, layer in enumerate(layers):
                self._modules[str(i)] = layer

        def forward(self, x):
            for layer in self._modules.values():
                x = layer(x)
            return x

    chain = Chain(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert chain(minidl.ones(4, 2)).shape == (4, 1)
    assert list(chain.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_the_dicts_of_hooks():
    layer, log = nn.Identity(), []
    handle = layer.register_forward_hook(lambda *a: log.append("after"))
    hook = lambda module, args: log.append("before")  # noqa: E731
    layer._forward_pre_hooks[7] = hook
    assert list(layer._forward_hooks) == [handle.id] and layer._forward_pre_hooks[7] is hook
    layer(1)
    assert log == ["before", "after"]
    layer._forward_hooks.clear()
    del layer._forward_pre_hooks[7]
    layer._backward_hooks = OrderedDict()
    layer(1)
    assert len(log) == 2 and not layer._forward_hooks and not layer._backward_pre_hooks


# ------------------------------------------------------------------------------------------------------------ walks
def test_named_members_and_modules_without_removing_duplicates():
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    net.append(net[0])
    assert len(list(net.modules())) == 3 and len(list(net.modules(remove_duplicate=False))) == 4
    named = lambda **k: [n for n, _ in net._named_members(lambda m: m._parameters.items(), **k)]  # noqa: E731
    assert named() == ["0.weight", "0.bias"] and named(prefix="x") == ["x.0.weight", "x.0.bias"]
    assert named(remove_duplicate=False) == ["0.weight", "0.bias", "2.weight", "2.bias"] and named(recurse=False) == []


def test_set_submodule():
    net = nn.Sequential(OrderedDict(body=nn.Sequential(nn.Linear(1, 1)), rest=nn.ReLU()))
    net.set_submodule("body.0", nn.Tanh())
    net.set_submodule("body.new", nn.ReLU())
    net.set_submodule("rest", nn.Tanh(), strict=True)
    assert repr(net).count("Tanh") == 2 and isinstance(net.body.new, nn.ReLU)
    plain = nn.Module()
    plain.layers = [nn.ReLU()]
    plain.set_submodule("layers.0", nn.Tanh())
    assert isinstance(plain.layers[0], nn.Tanh)
    for error, call in (
        (ValueError, lambda: net.set_submodule("", nn.ReLU())),
        (ValueError, lambda: net.set_submodule("rest", 3)),
        (AttributeError, lambda: net.set_submodule("body.other", nn.ReLU(), strict=True)),
        (AttributeError, lambda: net.set_submodule("nothing.0", nn.ReLU())),
        (AttributeError, lambda: nn.Linear(1, 1).set_submodule("weight", nn.ReLU())),
    ):
        with pytest.raises(error):
            call()


def test_a_childs_own_apply_is_called():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = minidl.ones(2)

        def _apply(self, fn, recurse=True):
            super()._apply(fn)
            self.steps = fn(self.steps)
            return self

    net = nn.Sequential(Table(), nn.Linear(1, 1)).double()
    assert net[0].steps.dtype == net[1].weight.dtype == minidl.float64


def test_to_empty_keeps_everything_but_the_values(where):
    layer = nn.BatchNorm1d(3)
    weight = layer.weight
    assert layer.to_empty(device=where.name) is layer and layer.weight is weight and weight.shape == (3,)
    assert {t.device.type for t in layer.state_dict().values()} == {where.name.partition(":")[0]}
    assert layer.num_batches_tracked.dtype == minidl.int64 and weight.requires_grad


def test_init_takes_no_arguments_unless_it_passes_them_on():
    with pytest.raises(TypeError, match="takes no arguments"):
        nn.Module(3)

    class Mixin:
        def __init__(self, size):
            self.size = size

    class Both(nn.Module, Mixin):
        call_super_init = True

    assert Both(size=4).size == 4 and Both(5).training


def test_dir_and_setstate():
    net = nn.Sequential(nn.Linear(1, 1))
    assert "0" not in dir(net) and "weight" in dir(net[0]) and "state_dict" in dir(net)
    other = nn.Linear(1, 1)
    other.__setstate__({"in_features": 5})
    assert other.in_features == 5 and net.compile() is None


# ----------------------------------------------------------------------------------------------------------- buffers
def test_a_buffer_by_assignment():
    net = nn.Module()
    net.mean, net.cache = nn.Buffer(minidl.ones(2)), nn.parameter.Buffer(minidl.ones(2), persistent=False)
    assert [name for name, _ in net.named_buffers()] == ["mean", "cache"] and list(net.state_dict()) == ["mean"]
    net.mean = minidl.zeros(2)
    assert net.state_dict()["mean"].tolist() == [0.0, 0.0] and not list(net.parameters())
    assert isinstance(copy.deepcopy(net).cache, nn.Buffer) and list(copy.deepcopy(net).state_dict()) == ["mean"]
    net.weight = nn.Parameter(minidl.ones(1))
    with pytest.raises(TypeError, match="as parameter 'weight'"):
        net.weight = nn.Buffer(minidl.ones(1))


# ------------------------------------------------------------------------------------------------------------- state
def test_state_has_metadata_with_versions():
    class Versioned(nn.Linear):
        _version = 3

    state = nn.Sequential(Versioned(1, 1), nn.ReLU()).state_dict()
    assert dict(state._metadata) == {"": {"version": 1}, "0": {"version": 3}, "1": {"version": 1}}
    plain: dict = {}
    assert nn.Linear(1, 1).state_dict(destination=plain) is plain and list(plain) == ["weight", "bias"]
    with pytest.warns(FutureWarning, match="by name"):
        assert list(nn.Linear(1, 1).state_dict(OrderedDict(), "x.")) == ["x.weight", "x.bias"]


def test_a_subclass_may_save_and_load_in_its_own_way():
    class Renamed(nn.Linear):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "gain"] = destination.pop(prefix + "weight")

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            versions.append(local_metadata.get("version"))
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "gain")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    versions: list = []
    net, other = nn.Sequential(Renamed(2, 1)), nn.Sequential(Renamed(2, 1))
    state = net.state_dict()
    assert list(state) == ["0.bias", "0.gain"]
    other.load_state_dict(state)
    assert other[0].weight.tolist() == net[0].weight.tolist() and list(state) == ["0.bias", "0.gain"]
    other.load_state_dict(dict(state))  # without metadata
    assert versions == [1, None]


def test_children_with_their_own_state_dict_are_asked():
    class Prefixed(nn.Linear):
        def state_dict(self, *args, **kwargs):
            calls.append(kwargs["prefix"])
            return super().state_dict(*args, **kwargs)

    calls: list = []
    assert list(nn.Sequential(Prefixed(1, 1)).state_dict()) == ["0.weight", "0.bias"] and calls == ["0."]


def test_extra_state():
    class Counting(nn.Module):
        count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    net, other = nn.Sequential(Counting()), nn.Sequential(Counting())
    net[0].count = 3
    state = net.state_dict()
    assert state["0._extra_state"] == {"count": 3}
    other.load_state_dict(state)
    assert other[0].count == 3
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        other.load_state_dict({})
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "_extra_state"'):
        nn.ReLU().load_state_dict({"_extra_state": 1})


def test_hooks_around_saving():
    layer, log = nn.Linear(1, 1), []
    net = nn.Sequential(layer)
    layer.register_state_dict_pre_hook(lambda module, prefix, keep_vars: log.append((module, prefix, keep_vars)))
    handle = layer.register_state_dict_post_hook(lambda m, state, prefix, about: state.pop(prefix + "bias") and None)
    assert list(net.state_dict()) == ["0.weight"] and log == [(layer, "0.", False)]
    handle.remove()
    handle = net._register_state_dict_hook(lambda m, state, prefix, about: {"all": len(state), **about})
    assert net.state_dict() == {"all": 2, "version": 1}
    handle.remove()
    net.register_state_dict_post_hook(lambda m, state, prefix, about: state)
    with pytest.raises(RuntimeError, match="must return None"):
        net.state_dict()


def test_hooks_around_loading():
    layer, log = nn.Linear(1, 1), []
    net = nn.Sequential(layer)
    state = {"0.scale": minidl.ones(1, 1) * 4, "0.bias": minidl.zeros(1)}

    def rename(module, state_dict, prefix, about, strict, missing, unexpected, errors):
        log.append((module, prefix, strict))
        state_dict[prefix + "weight"] = state_dict.pop(prefix + "scale")

    handle = layer.register_load_state_dict_pre_hook(rename)
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>" and layer.weight.item() == 4.0
    assert log == [(layer, "0.", True)] and list(state) == ["0.scale", "0.bias"]
    handle.remove()
    layer._register_load_state_dict_pre_hook(lambda state_dict, prefix, *rest: state_dict.pop(prefix + "scale"))

    def forgive(module, keys):
        log.append((list(keys.missing_keys), module[0].bias.item()))
        keys.missing_keys.clear()

    net.register_load_state_dict_post_hook(forgive)
    state["0.bias"] = minidl.ones(1) * 6
    assert net.load_state_dict(state).missing_keys == [] and log[-1] == (["0.weight"], 6.0)
    net.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(AssertionError, match="return None"):
        net.load_state_dict(state)


def test_hooks_of_copies_are_the_copies_own():
    layer = nn.Linear(1, 1)
    layer.register_load_state_dict_pre_hook(lambda module, *rest: seen.append(module))
    seen: list = []
    other = copy.deepcopy(layer)
    other.load_state_dict(layer.state_dict())
    assert seen == [other]


def test_a_module_loads_its_own_state_directly():
    layer, missing, unexpected, errors = nn.Linear(1, 1), [], [], []
    layer._load_from_state_dict({"p.weight": np.float32([[3.0]])}, "p.", {}, True, missing, unexpected, errors)
    assert layer.weight.item() == 3.0 and (missing, unexpected, errors) == (["p.bias"], [], [])


def test_scalars_of_one_element_load_as_they_once_were_written():
    layer = nn.BatchNorm1d(1)
    state = layer.state_dict()
    state["num_batches_tracked"] = minidl.tensor([5])
    layer.load_state_dict(state)
    assert layer.num_batches_tracked.item() == 5 and layer.num_batches_tracked.shape == ()


# ------------------------------------------------------------------------------------------------------- the paths
PATHS = {
    "activation": "ReLU MultiheadAttention",
    "batchnorm": "BatchNorm2d _BatchNorm _NormBase",
    "container": "Sequential ParameterDict",
    "conv": "Conv2d ConvTranspose1d _ConvNd _ConvTransposeNd",
    "distance": "CosineSimilarity",
    "dropout": "Dropout _DropoutNd",
    "flatten": "Flatten",
    "instancenorm": "InstanceNorm1d _InstanceNorm",
    "lazy": "LazyModuleMixin",
    "linear": "Linear Identity LazyLinear",
    "loss": "MSELoss _Loss _WeightedLoss",
    "module": "Module _IncompatibleKeys register_module_forward_hook",
    "normalization": "LayerNorm RMSNorm",
    "padding": "ZeroPad2d",
    "pixelshuffle": "PixelShuffle",
    "pooling": "MaxPool2d _MaxPoolNd",
    "rnn": "LSTM RNNCellBase",
    "sparse": "Embedding",
    "transformer": "TransformerEncoder _get_clones",
    "upsampling": "Upsample",
    "utils": "_single _pair _triple _quadruple _ntuple consume_prefix_in_state_dict_if_present",
}


@pytest.mark.parametrize("path", PATHS)
def test_pytorchs_paths(path):
    module = importlib.import_module(f"minidl.nn.modules.{path}")
    assert getattr(nn.modules, path) is module and module.__doc__ and module.__spec__.name == module.__name__
    for name in PATHS[path].split():
        assert getattr(nn, name, getattr(module, name)) is getattr(module, name)


def test_every_layer_is_found_under_a_path():
    layers = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    elsewhere = {"DataParallel", "Module"}
    assert layers - set(nn.modules.__all__) <= elsewhere and nn.modules.Module is nn.Module


def test_a_path_is_imported_into_a_fresh_interpreter():
    program = (
        "from minidl.nn.modules.batchnorm import _BatchNorm\nimport minidl.nn.modules.utils as u\n"
        "from minidl.nn.parallel.distributed import DistributedDataParallel\n"
        "from minidl.nn.utils.parametrizations import weight_norm\n"
        "print(u._pair(3), _BatchNorm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[0] == "(3, 3) _BatchNorm"


def test_base_classes_are_those_of_the_layers():
    m = nn.modules
    for layer in (nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.BatchNorm3d(2)):
        assert isinstance(layer, m.batchnorm._BatchNorm) and isinstance(layer, m.batchnorm._NormBase)
    for layer in (nn.Conv1d(1, 1, 1), nn.Conv3d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1)):
        assert isinstance(layer, m.conv._ConvNd)
    assert not isinstance(nn.InstanceNorm1d(2), m.batchnorm._BatchNorm)
    assert isinstance(nn.CrossEntropyLoss(), m.loss._WeightedLoss) and isinstance(nn.MSELoss(), m.loss._Loss)


def test_the_functions_beside_the_layers():
    u = nn.modules.utils
    assert u._pair(2) == (2, 2) and u._triple([1, 2, 3]) == (1, 2, 3) and u._single(1) == (1,)
    assert u._quadruple.__name__ == "_quadruple" and u._ntuple(5)("x") == ("x",)
    assert u._reverse_repeat_tuple((1, 2), 2) == (2, 2, 1, 1)
    assert u._list_with_default(3, [1]) == 3 and u._list_with_default([None, 5], [1, 2, 3]) == [2, 5]
    with pytest.raises(ValueError, match="at least 3"):
        u._list_with_default([1, 2], [3, 4])
    net = nn.DataParallel(nn.Sequential(nn.Linear(1, 1)))
    state = net.state_dict()
    u.consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == ["0.weight", "0.bias"] and set(state._metadata) == {"", "0"}
    assert nn.modules.module._addindent("a\nb", 2) == "a\n  b"
    clones = nn.modules.transformer._get_clones(nn.Linear(1, 1), 2)
    assert clones[0].weight is not clones[1].weight and clones[0].weight.item() == clones[1].weight.item()
    assert nn.modules.transformer._get_activation_fn("gelu") is nn.functional.gelu
    with pytest.raises(RuntimeError, match="relu/gelu"):
        nn.modules.transformer._get_activation_fn("tanh")


# ---------------------------------------------------------------------------------------------- wrappers, gradients
def test_data_parallel_calls_the_module():
    layer, x = nn.Linear(2, 1), minidl.ones(3, 2)
    for net in (nn.DataParallel(layer), nn.parallel.DistributedDataParallel(layer)):
        assert net(x).tolist() == layer(x).tolist() and net.module is layer
        assert list(net.state_dict()) == ["module.weight", "module.bias"]
    with net.no_sync(), net.join():
        net(x).sum().backward()
    assert layer.weight.grad.tolist() == [[3.0, 3.0]]
    assert nn.parallel.data_parallel(layer, x).tolist() == layer(x).tolist()
    with pytest.raises(RuntimeError, match="requires a gradient"):
        nn.parallel.DistributedDataParallel(nn.ReLU())


def test_data_parallel_takes_one_device():
    layer = nn.Linear(2, 1)
    assert nn.DataParallel(layer, device_ids=[0]).output_device == 0
    assert layer.weight.device.type == "cuda"
    with pytest.raises(NotImplementedError, match=r"device_ids=\[0, 1\]"):
        nn.DataParallel(layer, device_ids=[0, 1])


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradients_of_convolutions_as_functions(dims):
    numbers = np.random.default_rng(dims)
    x = minidl.tensor(numbers.standard_normal((2, 4, *[5] * dims)), requires_grad=True)
    w = minidl.tensor(numbers.standard_normal((6, 2, *[3] * dims)), requires_grad=True)
    options = {"stride": 2, "padding": 1, "groups": 2}
    y = getattr(nn.functional, f"conv{dims}d")(x, w, None, **options)
    g = minidl.tensor(numbers.standard_normal(tuple(y.shape)))
    y.backward(g)
    into = getattr(nn.grad, f"conv{dims}d_input")(x.shape, w, g, **options)
    weight = getattr(nn.grad, f"conv{dims}d_weight")(x, w.shape, g, **options)
    np.testing.assert_allclose(into.numpy(), x.grad.numpy(), rtol=1e-10)
    np.testing.assert_allclose(weight.numpy(), w.grad.numpy(), rtol=1e-10)


# -------------------------------------------------------------------------------------------------------- containers
def test_containers_as_in_pytorch():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = nn.Sequential(a, b, c)
    assert list(net.pop(slice(1, 3))) == [b, c] and list(net) == [a]
    net *= 3
    assert list(net) == [a, a, a] and len(net) == 3
    with pytest.raises(ValueError, match="positive"):
        net *= 0
    assert list(nn.ModuleList([a, b, c]).pop(slice(0, 2))) == [a, b]


# ------------------------------------------------------------------------------------- what subclasses of layers find
def test_no_public_layer_is_the_base_of_another_one():
    """But where PyTorch has it so: programs ask `isinstance(m, nn.Dropout)` and mean no Dropout2d."""
    made = {name: getattr(nn, name) for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    shared = {nn.Module, nn.RNNBase, nn.RNNCellBase, nn.Parameter, nn.Buffer}
    pairs = {
        (name, base.__name__)
        for name, layer in made.items()
        for base in layer.__mro__[1:]
        if base in made.values() and base not in shared and not name.startswith("Lazy")
    }
    above = {"ReLU6": "Hardtanh", "NLLLoss2d": "NLLLoss"} | {f"ZeroPad{n}d": f"ConstantPad{n}d" for n in (1, 2, 3)}
    above |= {"UpsamplingNearest2d": "Upsample", "UpsamplingBilinear2d": "Upsample"}
    assert pairs == set(above.items())


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(2), nn.InstanceNorm1d(2, track_running_stats=True)])
def test_states_from_before_batches_were_counted(layer):
    """PyTorch's version 1, and files that say nothing about versions."""
    state = layer.state_dict()
    assert state._metadata[""] == {"version": 2}
    del state["num_batches_tracked"]
    layer.num_batches_tracked.fill_(5)
    with pytest.raises(RuntimeError, match='Missing key.* "num_batches_tracked"'):
        layer.load_state_dict(state)
    for old in ({"version": 1}, {}):
        state._metadata[""] = old
        assert not any(layer.load_state_dict(state)) and layer.num_batches_tracked.item() == 5
    assert not any(layer.load_state_dict(dict(state)))
    net = nn.Sequential(layer)
    assert not any(net.load_state_dict({f"0.{key}": value for key, value in state.items()}))
    plain = type(layer)(2, track_running_stats=False, affine=False)
    assert not any(plain.load_state_dict({}))


def test_convolutions_have_pytorchs_attributes():
    conv = nn.Conv2d(2, 2, (2, 3), padding=(1, 2))
    assert conv._reversed_padding_repeated_twice == (2, 2, 1, 1) and conv.output_padding == (0, 0)
    same = nn.Conv2d(2, 2, (2, 5), padding="same")
    assert same._reversed_padding_repeated_twice == [2, 2, 0, 1] and same.padding == "same" and not same.transposed
    up = nn.ConvTranspose2d(2, 2, 2, 2, output_padding=1)
    assert up.transposed and up.output_padding == (1, 1) and up._reversed_padding_repeated_twice == (0, 0, 0, 0)
    sizes = (up.stride, up.padding, up.kernel_size, 2, up.dilation)
    assert list(up._output_padding(minidl.ones(1, 2, 3, 3), None, *sizes)) == [1, 1]
    assert list(up._output_padding(minidl.ones(1, 2, 3, 3), (6, 7), *sizes)) == [0, 1]
    conv.padding_mode = "circular"  # as programs do for pictures without seams
    x = minidl.randn(1, 2, 4, 4)
    padded = nn.functional.pad(x, (2, 2, 1, 1), mode="circular")
    assert minidl.equal(conv(x), nn.functional.conv2d(padded, conv.weight, conv.bias))


def test_norms_say_what_they_take():
    norm = nn.BatchNorm2d(3)
    assert norm._check_input_dim(minidl.ones(1, 3, 2, 2)) is None
    with pytest.raises(ValueError, match=r"BatchNorm2d\(3\): expected input \(N, C, H, W\), got \(1, 3, 2\)"):
        norm._check_input_dim(minidl.ones(1, 3, 2))
    for base in (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm):
        with pytest.raises(NotImplementedError, match="_check_input_dim"):
            base(3)(minidl.ones(1, 3, 2))
    with pytest.raises(NotImplementedError, match="_get_no_batch_dim"):
        nn.modules.instancenorm._InstanceNorm(3)._get_no_batch_dim()
    with pytest.warns(UserWarning, match="size at dim=1 does not match num_features"):
        y = nn.InstanceNorm1d(3)(minidl.arange(8.0).view(1, 4, 2))
    assert (y.abs() - 1).abs().max() < 1e-4
    with pytest.raises(ValueError, match=r"InstanceNorm1d\(3\): expected input"):
        nn.InstanceNorm1d(3, affine=True)(minidl.ones(1, 4, 2))


def test_arguments_of_forward_have_pytorchs_names():
    x, one = minidl.ones(2, 3), minidl.ones(2).long()
    assert nn.RMSNorm(3)(x=x).shape == (2, 3) and nn.PoissonNLLLoss()(log_input=x, target=x).ndim == 0
    assert nn.AdaptiveLogSoftmaxWithLoss(3, 4, [2], 1.0)(input_=x, target_=one).output.shape == (2,)
    loss = nn.TripletMarginWithDistanceLoss()
    assert repr(loss).split("\n")[1] == "  (distance_function): PairwiseDistance()"


def test_tables_by_keywords():
    """`from_pretrained` calls the class by keywords, so that a subclass may have other arguments."""

    class Own(nn.Embedding):
        def __init__(self, embedding_dim, num_embeddings, **kwargs):
            super().__init__(num_embeddings, embedding_dim, **kwargs)

    class Bag(nn.EmbeddingBag):
        def __init__(self, embedding_dim, num_embeddings, **kwargs):
            super().__init__(num_embeddings, embedding_dim, **kwargs)

    table = minidl.ones(3, 2)
    own, bag = Own.from_pretrained(table, padding_idx=-1), Bag.from_pretrained(table, mode="sum", padding_idx=1)
    assert own.weight.shape == (3, 2) and own.padding_idx == 2 and not own.weight.requires_grad
    assert bag.mode == "sum" and bag.padding_idx == 1 and not bag.weight.requires_grad
    own._fill_padding_idx_with_zero()
    assert own.weight.sum(1).tolist() == [2, 2, 0]


MISTAKES = {
    "shape": lambda: nn.Linear(2, 3)(minidl.ones(4, 5)),
    "channels": lambda: nn.Conv2d(2, 3, 3)(minidl.ones(1, 3, 8, 8)),
    "dimensions": lambda: nn.Conv2d(2, 3, 3)(minidl.ones(8, 8)),
    "kernel": lambda: nn.MaxPool2d(5)(minidl.ones(1, 1, 4, 4)),
    "features": lambda: nn.BatchNorm1d(3)(minidl.ones(2, 4)),
    "normalized_shape": lambda: nn.LayerNorm(3)(minidl.ones(2, 4)),
    "loss": lambda: nn.MSELoss()(minidl.ones(2, 3), minidl.ones(2, 4)),
    "classes": lambda: nn.CrossEntropyLoss()(minidl.ones(2, 3), minidl.zeros(2, 1).long()),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_wrong_shapes_are_value_errors_and_runtime_errors(what):
    """Programs catch PyTorch's RuntimeError."""
    with pytest.raises(ValueError):
        MISTAKES[what]()
    with pytest.raises(RuntimeError):
        MISTAKES[what]()


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Linear(2, 3)(minidl.ones(4, 2).double()),
        lambda: nn.Conv2d(2, 3, 3)(minidl.ones(1, 2, 8, 8).long()),
        lambda: nn.CrossEntropyLoss()(minidl.ones(2, 3), minidl.ones(2)),
        lambda: nn.Embedding(2, 3)(minidl.ones(2)),
        lambda: nn.functional.one_hot(minidl.ones(2)),
    ],
)
def test_wrong_dtypes_are_type_errors_and_runtime_errors(call):
    for error in (TypeError, RuntimeError):
        with pytest.raises(error, match="int|float"):
            call()


def test_functions_at_the_top_check_their_numbers():
    x = minidl.ones(2, 2)
    with pytest.raises(RuntimeError, match="kl_div: reduction must be 0 for 'none', 1 for 'mean', 2 for 'sum', got 3"):
        minidl.kl_div(x, x, 3)
    with pytest.raises(RuntimeError, match="grid_sampler: padding_mode must be 0 for 'zeros'"):
        minidl.grid_sampler(x[None, None], minidl.zeros(1, 1, 1, 2), 0, 3, True)
    with pytest.raises(RuntimeError, match="convolution: expected a weight with 3 to 5 dimensions"):
        minidl.convolution(x, x, None, 1, 0, 1, False, 0, 1)
    with pytest.raises(TypeError, match="lstm: expected 9 arguments, got 1"):
        minidl.lstm(x)
    dropped = minidl.feature_dropout(minidl.ones(50, 20, 2, 2), 0.5, True)
    assert dropped.flatten(2).std(2).max() == 0 and sorted(set(dropped.flatten().tolist())) == [0, 2]
    y = minidl.ones(3, 4, 2)
    for name in ("alpha_dropout_", "feature_dropout_", "feature_alpha_dropout_"):
        assert getattr(minidl, name)(y, 0.5, True) is y
