"""Files that PyTorch wrote (`reference/make_files.py`): what they hold and compute, what is refused."""

from __future__ import annotations

import io
import math
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import travellers

import minidl
from minidl import nn, optim
from minidl import serialization as S
from minidl.serialization import safetensors as files

FILES = Path(__file__).resolve().parent / "reference" / "files"
EXPECTED = dict(np.load(FILES / "expected.npz"))


def given(name: str) -> list:
    return [minidl.from_numpy(x) for x in travellers.NETS[name][1]]


def output(net, name: str) -> np.ndarray:
    with minidl.no_grad():
        y = net.float().eval()(*given(name))
    return (y[0] if isinstance(y, tuple) else y).array


def other(name: str):
    """The net with other parameters than those in the files."""
    minidl.manual_seed(77)
    return travellers.NETS[name][0](nn)


# ------------------------------------------------------------------------------------------------ both directions
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
@pytest.mark.parametrize("name", travellers.NETS)
def test_a_net_computes_what_it_computed_in_pytorch(name, kind):
    net = other(name)
    if kind == "safetensors" and name == "tied":
        assert files.load_model(net, FILES / "tied.safetensors") == (set(), [])
    else:
        state = minidl.load(FILES / f"{name}.{kind}")
        assert net.load_state_dict(state, strict=True) == ([], [])
    np.testing.assert_allclose(output(net, name), EXPECTED[name], rtol=1e-5, atol=1e-5 if name != "half" else 1e-3)


def test_the_old_form_holds_the_same():
    old, new = minidl.load(FILES / "legacy.pt"), minidl.load(FILES / "mlp.pt")
    assert type(old) is OrderedDict and list(old) == list(new) and list(old._metadata) == list(new._metadata)
    for key in new:
        np.testing.assert_array_equal(old[key].array, new[key].array)
        assert old[key].dtype == new[key].dtype


@pytest.mark.parametrize("name", [name for name in travellers.NETS if name not in ("half", "brain")])
def test_what_is_written_here_has_pytorchs_names_shapes_and_dtypes(tmp_path, name):
    net = other(name)
    net.load_state_dict(minidl.load(FILES / f"{name}.pt"))
    files.save_model(net, tmp_path / "x.safetensors", {"format": "pt"})
    ours, theirs = (safetensors.numpy.load_file(p) for p in (tmp_path / "x.safetensors", FILES / f"{name}.safetensors"))
    assert set(ours) == set(theirs)
    for key in theirs:
        np.testing.assert_array_equal(ours[key], theirs[key])
        assert ours[key].dtype == theirs[key].dtype and ours[key].shape == theirs[key].shape
    assert S.read_metadata(tmp_path / "x.safetensors") == S.read_metadata(FILES / f"{name}.safetensors")


def test_tied_weights_stay_tied_in_both_forms(tmp_path):
    state = minidl.load(FILES / "tied.pt")
    assert np.shares_memory(state["table.weight"].array, state["head.weight"].array)
    minidl.save(state, tmp_path / "x.safetensors")
    assert len(safetensors.numpy.load_file(tmp_path / "x.safetensors")) == 1
    again = minidl.load(tmp_path / "x.safetensors")
    again["table.weight"][0, 0] = 5.0
    assert again["head.weight"][0, 0].item() == 5.0


def test_bfloat16_becomes_float32_of_the_same_value(tmp_path):
    for kind in "pt", "safetensors":
        w = minidl.load(FILES / f"brain.{kind}")["weight"]
        assert w.dtype == minidl.float32 and not (w.array.view(np.uint32) & 0xFFFF).any()
    bits = np.array([0x3F80, 0xBF80, 0x7F80, 0x7FC0, 0x0001, 0x8000], dtype="<u2")
    header = b'{"x":{"dtype":"BF16","shape":[6],"data_offsets":[0,12]}}'
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    x = minidl.load(tmp_path / "x")["x"].array
    np.testing.assert_array_equal(x, np.float32([1, -1, np.inf, np.nan, 2.0**-133, 0]))
    assert np.signbit(x[5])


# --------------------------------------------------------------------------------------------------- optimizers
@pytest.mark.parametrize("name", travellers.OPTIMIZERS)
def test_an_optimizer_goes_on_where_it_was_in_pytorch(name):
    saved = minidl.load(FILES / "optimizers.pt")[name]
    params = saved["params"]
    assert all(type(p) is nn.Parameter and p.requires_grad for p in params)
    optimizer = travellers.OPTIMIZERS[name](optim, params)
    optimizer.load_state_dict(saved["optimizer"])
    travellers.steps(minidl, optimizer, params, 3, 3)
    for k, p in enumerate(params):
        np.testing.assert_allclose(p.detach().array, EXPECTED[f"{name}/{k}"], rtol=2e-6, atol=2e-6)


def test_the_state_is_what_decides():
    saved = minidl.load(FILES / "optimizers.pt")["Adam"]
    params = saved["params"]
    travellers.steps(minidl, travellers.OPTIMIZERS["Adam"](optim, params), params, 3, 3)
    assert abs(params[0].detach().array - EXPECTED["Adam/0"]).max() > 1e-3


# ---------------------------------------------------------------------------------------------- a checkpoint dict
@pytest.mark.parametrize("mmap", [None, True])
@pytest.mark.parametrize("weights_only", [None, True, False])
def test_a_checkpoint_dict_comes_back_whole(mmap, weights_only):
    c = minidl.load(FILES / "checkpoint.pt", weights_only=weights_only, mmap=mmap)
    assert c["epoch"] == 3 and c["loss"] == math.inf and c["best"] == 0.25 and c["big"] == 2**100
    assert c["args"] == Namespace(lr=0.1, name="run", layers=[2, 3]) and c["history"] == [(0, 0.5), (1, None)]
    assert c["flags"] == {"amp": False, 0: "zero"} and c["classes"] == {"cat", "dog"} and c["bytes"] == b"\x00\xff"
    assert type(c["names"]) is OrderedDict and list(c["names"]) == ["b", "a"]
    assert type(c["shape"]) is minidl.Size and c["shape"] == (3, 4) and isinstance(c["version"], str)
    assert c["dtype"] is minidl.float16 and c["device"] == minidl.device("cuda:1")
    np.testing.assert_array_equal(c["array"], np.arange(6, dtype=np.int32).reshape(2, 3).T)
    assert c["array"].dtype == np.int32 and isinstance(c["array"], np.ndarray)
    assert c["the same args"] is c["args"]
    assert c["zeros"].shape == (500,) and not c["zeros"].any()
    assert c["rng"].dtype == minidl.uint8 and c["mask"].dtype == minidl.bool and c["mask"].sum().item() == 6
    assert c["scalar"].shape == () and c["scalar"].item() == 7 and c["empty"].shape == (0, 3)
    assert type(c["parameter"]) is nn.Parameter and c["leaf"].requires_grad and c["leaf"].is_leaf
    np.testing.assert_array_equal(c["turned"].array, np.arange(12.0).reshape(3, 4).T)
    assert c["spread"].array.strides[0] == 0 and c["spread"].tolist() == [[0, 1, 2, 3]] * 9
    c["whole"][1, 2] = 50.0  # they share their memory, as they did
    assert c["row"][2].item() == 50 and c["turned"][2, 1].item() == 50


def test_what_was_read_can_be_saved_and_comes_back(tmp_path):
    c = minidl.load(FILES / "checkpoint.pt")
    minidl.save(c, tmp_path / "x")
    again = minidl.load(tmp_path / "x")
    assert list(again) == list(c)
    for key, value in c.items():
        if isinstance(value, (minidl.Tensor, np.ndarray)):
            np.testing.assert_array_equal(np.asarray(again[key].tolist()), np.asarray(value.tolist()))
            assert type(again[key]) is type(value) and again[key].dtype == value.dtype
            assert getattr(again[key], "requires_grad", None) == getattr(value, "requires_grad", None)
        else:
            assert again[key] == value and (type(again[key]) is type(value) or key == "best")


def test_changes_in_a_mapped_file_stay_in_memory(tmp_path):
    for source in FILES / "mlp.pt", FILES / "mlp.safetensors":
        raw = source.read_bytes()
        (tmp_path / "x").write_bytes(raw)
        state = minidl.load(tmp_path / "x", mmap=True)
        state["0.weight"].zero_()
        assert (tmp_path / "x").read_bytes() == raw and not state["0.weight"].array.any()
        assert state["1.running_mean"].array.any()
    with pytest.raises(ValueError, match="mmap=True needs a path"):
        minidl.load(io.BytesIO(raw), mmap=True)


# -------------------------------------------------------------------------------------------------- map_location
@pytest.mark.parametrize("source", ["mlp.pt", "legacy.pt", "mlp.safetensors"])
def test_map_location_in_all_its_forms(where, source):
    device = minidl.device(where.name)
    forms = [
        where.name,
        device,
        {"cpu": where.name},
        lambda storage, location: storage.cuda() if where.name == "cuda" else storage.cpu(),
        lambda storage, location: storage if where.name == "cpu" else storage.cuda(0),
    ]
    expected = minidl.load(FILES / source)["0.weight"].array
    for form in forms:
        t = minidl.load(FILES / source, map_location=form)["0.weight"]
        assert t.device.type == where.name
        np.testing.assert_array_equal(where.host(t), expected)
    for form in (lambda storage, location: None, {"cuda:0": "cuda:1"}):  # the location that the file says: the CPU
        assert minidl.load(FILES / source, map_location=form)["0.weight"].device == "cpu"


def test_views_come_to_a_device_too():
    c = minidl.load(FILES / "mlp.pt", map_location="cuda")
    assert c["1.num_batches_tracked"].dtype == minidl.int64
    with pytest.raises(ValueError, match="expanded; load it on the CPU"):
        minidl.load(FILES / "checkpoint.pt", map_location="cuda")
    tied = minidl.load(FILES / "tied.pt", map_location="cuda")
    assert tied["table.weight"].array is tied["head.weight"].array


@pytest.mark.parametrize(
    "wrong", [3.5, [1], True, lambda storage, location: 5], ids=["float", "list", "bool", "function"]
)
def test_map_location_of_another_kind_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="load: map_location must"):
        minidl.load(FILES / "mlp.pt", map_location=wrong)
    with pytest.raises(ValueError, match="device"):
        minidl.load(FILES / "mlp.pt", map_location="tpu")


# ------------------------------------------------------------------------------------------------- what is refused
def test_a_whole_model_is_refused_by_its_class():
    with pytest.raises(ValueError, match=r"torch\.nn\.modules\.container\.Sequential.*torch\.save\(model\.state_dict"):
        minidl.load(FILES / "model.pt", weights_only=False)


def test_safe_globals_are_kept_and_change_nothing():
    class Sequential:
        pass

    Sequential.__module__, Sequential.__qualname__ = "torch.nn.modules.container", "Sequential"
    with S.safe_globals([OrderedDict, (Sequential, "torch.nn.modules.container.Sequential")]):
        assert len(S.get_safe_globals()) == 2
        with pytest.raises(ValueError, match="add_safe_globals does not change that"):
            minidl.load(FILES / "model.pt")
    assert S.get_safe_globals() == []
    S.add_safe_globals([Sequential, Sequential])
    assert S.get_safe_globals() == [Sequential]
    S.clear_safe_globals()
    with pytest.raises(TypeError, match="add_safe_globals: expected classes"):
        S.add_safe_globals(["torch.nn.Linear"])
    minidl.load(FILES / "mlp.pt")


def test_the_arguments_of_pytorchs_functions(tmp_path):
    import pickle

    path = tmp_path / "x.pt"
    minidl.save({"a": 1}, path, pickle, 4, _use_new_zipfile_serialization=False)
    assert path.read_bytes()[8:9] == b"{" and minidl.load(path, "cpu", pickle) == {"a": 1}
    assert minidl.load(str(path), encoding="latin1") == {"a": 1}
    for wrong in (lambda: minidl.save(1, path, pickle_module=io), lambda: minidl.load(path, pickle_module=io)):
        with pytest.raises(ValueError, match="pickle_module"):
            wrong()
    for wrong in (
        lambda: minidl.save(1, path, pickle_protocol="2"),
        lambda: minidl.load(path, weights_only="yes"),
        lambda: minidl.load(path, mmap=1),
        lambda: minidl.load(7),
        lambda: minidl.save(1, 7),
        lambda: minidl.load(io.StringIO("x")),
    ):
        with pytest.raises(TypeError, match="(save|load): "):
            wrong()
    with pytest.raises(ValueError, match="encoding"):
        minidl.load(FILES / "mlp.pt", encoding="rot13")
    assert minidl.load(path) == {"a": 1}


def test_a_stream_that_was_not_wound_back_says_so():
    stream = io.BytesIO()
    minidl.save({"a": 1}, stream)
    with pytest.raises(ValueError, match=r"seek\(0\)"):
        minidl.load(stream)
    stream.seek(0)
    assert minidl.load(stream) == {"a": 1}


def test_a_stream_is_read_from_where_it_stands():
    stream = io.BytesIO(b"before" + (FILES / "mlp.pt").read_bytes())
    stream.seek(6)
    assert len(minidl.load(stream)) == 9


# ---------------------------------------------------------------------------------------------------- safetensors
def test_the_functions_of_safetensors_torch(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {"b": minidl.tensor([1.0, 2.0]), "a": minidl.arange(6).reshape(2, 3).t()}
    files.save_file(tensors, path, metadata={"format": "pt"})
    assert path.read_bytes() == files.save(tensors, {"format": "pt"})
    theirs = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(theirs["a"], np.arange(6).reshape(2, 3).T)
    assert files.load(path.read_bytes())["a"].tolist() == files.load_file(path)["a"].tolist() == theirs["a"].tolist()
    with files.safe_open(path, framework="pt", device="cpu") as f:
        assert f.keys() == ["a", "b"] and f.metadata() == {"format": "pt"} and list(f) == ["a", "b"]
        assert isinstance(f.get_tensor("a"), minidl.Tensor) and f.get_tensor("b").tolist() == [1, 2]
        with pytest.raises(KeyError, match="there is no 'c'"):
            f.get_tensor("c")
    with files.safe_open(path, "np") as f:
        assert type(f.get_tensor("a")) is np.ndarray
    with pytest.raises(RuntimeError, match="share memory"):
        files.save_file({"a": tensors["b"], "b": tensors["b"].detach()}, path)
    for wrong in ({"a": 1}, {1: tensors["b"]}, {"__metadata__": tensors["b"]}):
        with pytest.raises(TypeError, match="save: expected Tensors under strings"):
            files.save(wrong)
    with pytest.raises(TypeError, match="metadata"):
        files.save(tensors, {"a": 1})
    with pytest.raises(ValueError, match="framework"):
        files.safe_open(path, "tf")


def test_load_model_is_strict_and_changes_nothing_where_it_refuses(tmp_path):
    net = other("mlp")
    before = {key: t.clone() for key, t in net.state_dict().items()}
    state = minidl.load(FILES / "mlp.safetensors")
    del state["3.bias"]
    state["5.bias"] = minidl.ones(1)
    files.save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(RuntimeError, match=r"(?s)Missing.*3\.bias.*Unexpected.*5\.bias"):
        files.load_model(net, tmp_path / "x.safetensors")
    assert all(minidl.equal(t, before[key]) for key, t in net.state_dict().items())
    assert files.load_model(net, tmp_path / "x.safetensors", strict=False) == ({"3.bias"}, ["5.bias"])
    assert minidl.equal(net[3].bias, before["3.bias"]) and not minidl.equal(net[3].weight, before["3.weight"])


def test_overlapping_tensors_are_refused_as_by_safetensors(tmp_path):
    x = minidl.arange(8.0)
    for tensors in (
        {"a": x, "b": x[2:4]},
        {"a": x[:5], "b": x[4:]},
        {"a": x.view(2, 4), "b": x},
        {"a": x, "b": x[::2]},
    ):
        with pytest.raises(RuntimeError, match=r"share memory: \[\['a', 'b'\]\]"):
            files.save_file(tensors, tmp_path / "x")
    with pytest.raises(RuntimeError, match=r"\[\['a', 'b', 'c'\]\]"):
        files.save({"a": x, "b": x[1:2], "c": x[5:6]})
    files.save_file({"a": x[:4], "b": x[4:], "c": minidl.zeros(0), "d": minidl.zeros(0)}, tmp_path / "x")
    assert files.load_file(tmp_path / "x")["b"].tolist() == [4.0, 5.0, 6.0, 7.0]


def test_a_model_with_a_parameter_within_another(tmp_path):
    class Shared(nn.Module):
        def __init__(self, whole=True) -> None:
            super().__init__()
            memory = minidl.rand(6)
            self.head = nn.Parameter(memory[:4])
            self.tail = nn.Parameter(memory[3:])
            self.tied = nn.Parameter(memory)
            self.again = self.tied
            if not whole:
                del self.tied, self.again

    net, other = Shared(), Shared()
    files.save_model(net, tmp_path / "x")
    assert files.load_file(tmp_path / "x").keys() == {"again"}
    assert files.safe_open(tmp_path / "x", "pt").metadata() == {"head": "again", "tail": "again", "tied": "again"}
    assert files.load_model(other, tmp_path / "x") == (set(), [])
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].array, value.array)
    with pytest.raises(RuntimeError, match="none has all: .*'head', 'tail'"):
        files.save_model(Shared(whole=False), tmp_path / "x")
    sparse = Shared(whole=False)
    memory = minidl.rand(9)
    sparse.head, sparse.tail = nn.Parameter(memory[::8]), nn.Parameter(memory[2:4])
    with pytest.raises(RuntimeError, match="none has all"):  # the first and the last, with nothing between them
        files.save_model(sparse, tmp_path / "x")


def test_slices_of_a_file(tmp_path):
    array = np.arange(24.0).reshape(4, 3, 2)
    files.save_file({"a": minidl.tensor(array)}, tmp_path / "x")
    for framework in ("pt", "np"):
        with files.safe_open(tmp_path / "x", framework) as f:
            part = f.get_slice("a")
            assert (part.get_shape(), part.get_dtype()) == ([4, 3, 2], "F64")
            for index in (0, slice(1, 3), (slice(None), 1), (..., slice(None, None, -1)), (slice(0), 2)):
                got = part[index]
                assert type(got) is (minidl.Tensor if framework == "pt" else np.ndarray)
                np.testing.assert_array_equal(np.asarray(got), array[index])
            with pytest.raises(TypeError, match="numbers, slices"):
                part[[0, 1]]
            with pytest.raises(KeyError, match="there is no 'b'"):
                f.get_slice("b")
