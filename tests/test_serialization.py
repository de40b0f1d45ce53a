"""Saving and loading: what comes back, what is refused, and that a file appears whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import pickle
import subprocess
import sys
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minidl
from minidl import nn, optim
from minidl import serialization as S
from minidl.serialization.pickles import Pickle
from minidl.tensor import wrap

DTYPES = "float16 float32 float64 uint8 int8 int16 int32 int64 bool".split()


def state() -> dict:
    g = minidl.Generator(3)
    return {"w": minidl.randn(3, 4, generator=g), "b": minidl.randn(4, generator=g), "n": minidl.tensor(7)}


def header_of(path: Path) -> dict:
    raw = path.read_bytes()
    return json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (5,), (2, 3, 4)], ids=str)
def test_round_trip_of_every_dtype_and_shape(tmp_path, dtype, shape):
    x = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    S.save({"x": minidl.tensor(x)}, tmp_path / "x.safetensors")
    y = S.load(tmp_path / "x.safetensors")["x"]
    assert isinstance(y, minidl.Tensor) and y.dtype == dtype and y.array.shape == shape
    np.testing.assert_array_equal(y.array, x)


@pytest.mark.parametrize(
    "view",
    [np.asfortranarray, np.transpose, lambda x: x[:, ::2], np.flipud, lambda x: np.broadcast_to(x[:1], (4, 6))],
    ids=["fortran", "transposed", "strided", "reversed", "broadcast"],
)
def test_memory_in_any_order(tmp_path, view):
    x = view(np.arange(24.0).reshape(4, 6))
    S.save({"x": wrap(x)}, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(S.load(tmp_path / "x.safetensors")["x"].array, x)


def test_big_endian_memory(tmp_path):
    S.save({"x": np.arange(3, dtype=">i4")}, tmp_path / "x.safetensors")
    assert S.load(tmp_path / "x.safetensors")["x"].tolist() == [0, 1, 2]


def test_what_is_loaded_can_be_changed_and_owns_its_memory(tmp_path):
    S.save(state(), tmp_path / "x.safetensors")
    loaded = S.load(tmp_path / "x.safetensors")
    loaded["w"] += 1
    assert not np.shares_memory(loaded["w"].array, loaded["b"].array)
    assert not loaded["w"].requires_grad


def test_from_any_device_to_any_device(tmp_path, where):
    S.save({"x": where.tensor([1.0, 2.0])}, tmp_path / "x.safetensors")
    assert S.load(tmp_path / "x.safetensors")["x"].device == "cpu"
    x = S.load(tmp_path / "x.safetensors", map_location=where.name)["x"]
    assert where.host(x).tolist() == [1.0, 2.0] and x.device.type == where.name
    with pytest.raises(ValueError, match="device"):
        S.load(tmp_path / "x.safetensors", map_location="tpu")


def test_nested_structure_comes_back(tmp_path):
    obj = {
        "epoch": 3,
        "name": "caffè",
        "none": None,
        "yes": True,
        "loss": 0.1 + 0.2,
        "inf": math.inf,
        "list": [1, minidl.tensor([1.0]), {"deep": minidl.tensor([2])}],
        "tuple": (1, (2, minidl.tensor([3.0]))),
        "numbers": {0: {"m": minidl.tensor([4.0])}, 1: {}},
        "$odd": {"$tensor": "not one"},
        "numpy": np.float32(0.5),
        "empty": {},
    }
    S.save(obj, tmp_path / "x.safetensors")
    got = S.load(tmp_path / "x.safetensors")
    assert list(got) == list(obj)
    for key in ("epoch", "name", "none", "yes", "loss", "inf", "$odd", "empty"):
        assert got[key] == obj[key] and type(got[key]) is type(obj[key])
    assert got["numpy"] == 0.5 and got["list"][2]["deep"].tolist() == [2] and got["list"][1].tolist() == [1.0]
    assert got["tuple"][0] == 1 and got["tuple"][1][1].tolist() == [3.0] and type(got["tuple"][1]) is tuple
    assert list(got["numbers"]) == [0, 1] and got["numbers"][0]["m"].tolist() == [4.0]


@pytest.mark.parametrize(
    "value",
    [
        OrderedDict(b=1, a=2), Counter("abba"), defaultdict(list, {1: [2]}), {1, 2.5},
        frozenset([1.5]), b"", b"\x00\xff", Namespace(lr=0.1, deep={"a": (1,)}), SimpleNamespace(x=[1]), Path("a/b"),
        minidl.Size([2, 3]), minidl.float16, minidl.device("cuda:1"), 2**100, -math.inf, "\ud800",
        {(1, "a"): 2, None: 3}, {1: {2: {True: {}}}}, OrderedDict({"$a": OrderedDict()}), {"$tensor": "w"},
        [[], (), {}], ((1,), [2]), bytearray(b"\x00x"), 1 - 2j, complex(-0.0, math.inf), range(1, 2**70, 3),
        slice(None, -1, 2), {(True, 2.5)},
    ],
    ids=lambda value: f"{type(value).__name__} {value!r}"[:40],
)  # fmt: skip
def test_what_checkpoints_hold_comes_back_as_it_was(tmp_path, value):
    S.save({"x": value}, tmp_path / "x")
    got = S.load(tmp_path / "x")["x"]
    assert got == value and type(got) is type(value) and (isinstance(got, set) or repr(got) == repr(value))


def test_not_a_number_named_tuples_and_numbers_of_numpy(tmp_path):
    class Point(NamedTuple):
        x: int
        y: int

    S.save([math.nan, Point(1, 2), np.float32(0.5), np.bool_(True), np.arange(3), bytearray(b"x")], tmp_path / "x")
    nan, point, half, true, array, text = S.load(tmp_path / "x")
    assert math.isnan(nan) and type(point) is tuple and point == (1, 2) and type(half) is float and true is True
    assert type(array) is np.ndarray and array.dtype == np.int64 and text == b"x"


def test_the_metadata_of_a_state_dict_come_back(tmp_path):
    state = OrderedDict(w=minidl.ones(1))
    state._metadata = OrderedDict({"": {"version": 1}, "0": {"version": 2}})
    S.save({"model": state}, tmp_path / "x")
    got = S.load(tmp_path / "x")["model"]
    assert type(got) is OrderedDict and got._metadata == state._metadata and got["w"].tolist() == [1.0]
    S.save(OrderedDict(w=minidl.ones(1)), tmp_path / "x")
    assert not hasattr(S.load(tmp_path / "x"), "_metadata")


def test_what_a_tensor_is_comes_back(tmp_path):
    computed = minidl.ones(2, requires_grad=True) * 2
    parameter, shared = nn.Parameter(minidl.ones(2)), minidl.ones(2)
    frozen = nn.Parameter(minidl.ones(2), requires_grad=False)
    S.save([parameter, frozen, computed, shared, shared, parameter.detach(), minidl.empty(0)], tmp_path / "x")
    p, f, c, s, again, tied, empty = S.load(tmp_path / "x")
    assert type(p) is nn.Parameter and p.requires_grad and type(f) is nn.Parameter and not f.requires_grad
    assert type(c) is minidl.Tensor and c.requires_grad and c.is_leaf and c.tolist() == [2, 2]
    assert s is again and s is not p and not tied.requires_grad and empty.shape == (0,)
    with minidl.no_grad():
        p += 1
    assert tied.tolist() == [2, 2] and s.tolist() == [1, 1]
    assert p._version == tied._version if hasattr(p, "_version") else p.version is tied.version
    assert len(load_file(tmp_path / "x")) == 5  # the memory that two share is there once


def test_tied_weights_are_written_once_on_every_device(tmp_path, where):
    x = where.tensor([1.0, 2.0])
    S.save({"a": x, "b": x.detach(), "c": x.detach() * 1}, tmp_path / "x")
    assert sorted(load_file(tmp_path / "x")) == ["a", "c"]
    got = S.load(tmp_path / "x", map_location=where.name)
    assert got["a"].array is got["b"].array and got["a"] is not got["b"] and got["a"].array is not got["c"].array


def test_part_of_a_memory_is_written_for_itself(tmp_path):
    x = minidl.arange(6.0).reshape(2, 3)
    S.save({"x": x, "row": x[1], "turned": x.t()}, tmp_path / "x")
    assert sorted(load_file(tmp_path / "x")) == ["row", "turned", "x"]
    got = S.load(tmp_path / "x")
    assert got["row"].tolist() == [3, 4, 5] and got["turned"].tolist() == x.t().tolist()


def test_an_object_that_contains_itself_is_refused(tmp_path):
    loop: list = []
    loop.append(loop)
    with pytest.raises(ValueError, match="save: the object contains itself"):
        S.save({"x": loop}, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_what_a_pickle_gave_can_be_saved(tmp_path):
    """Files by PyTorch may hold these beside Tensors."""
    values = {"complex": 1 - 2j, "range": range(3), "slice": slice(1, None), "bytes": bytearray(b"ab")}
    body = pickle.dumps(values, protocol=2)
    for protocol in (2, 5):
        found = Pickle(pickle.dumps(values, protocol)).run()
        assert found == values and [type(v) for v in found.values()] == [type(v) for v in values.values()]
    S.save(Pickle(body).run(), tmp_path / "x")
    assert S.load(tmp_path / "x") == values


def test_a_file_of_version_1_is_still_read(tmp_path):
    structure = {"a": {"$tensor": "a"}, "n": {"$dict": [[0, {"$tuple": [1, 2]}]]}}
    note = {"version": 1, "digest": hashlib.blake2b(b"\0\0\x80?", digest_size=16).hexdigest(), "structure": structure}
    save_file({"a": np.ones(1, np.float32)}, tmp_path / "x", metadata={"minidl": json.dumps(note)})
    got = S.load(tmp_path / "x")
    assert got["a"].tolist() == [1.0] and got["n"] == {0: (1, 2)}


def test_names_that_collide_are_kept_apart(tmp_path):
    one, two, three, four = (minidl.tensor([i]) for i in (1, 2, 3, 4))
    obj = {"a": {"b": one}, "a.b": two, "": three, "__metadata__": four}
    S.save(obj, tmp_path / "x.safetensors")
    got = S.load(tmp_path / "x.safetensors")
    assert [got["a"]["b"].item(), got["a.b"].item(), got[""].item(), got["__metadata__"].item()] == [1, 2, 3, 4]


def test_model_and_optimizer_come_back(tmp_path):
    def make():
        minidl.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        return model, optim.Adam(model.parameters(), lr=0.01)

    def step(model, optimizer):
        optimizer.zero_grad()
        model(minidl.ones(5, 4)).sum().backward()
        optimizer.step()

    model, optimizer = make()
    step(model, optimizer)
    S.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "x.safetensors")
    step(model, optimizer)
    again, other = make()
    saved = S.load(tmp_path / "x.safetensors")
    again.load_state_dict(saved["model"])
    other.load_state_dict(saved["optimizer"])
    step(again, other)
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.array, q.array)


def test_the_file_is_an_ordinary_safetensors_file(tmp_path):
    S.save({"a": {"w": minidl.tensor([1.0, 2.0])}, "n": 3}, tmp_path / "x.safetensors", metadata={"by": "me"})
    arrays = load_file(tmp_path / "x.safetensors")
    assert list(arrays) == ["a.w"] and arrays["a.w"].tolist() == [1.0, 2.0]
    assert int.from_bytes((tmp_path / "x.safetensors").read_bytes()[:8], "little") % 8 == 0


def test_a_file_by_others_is_a_dict_of_tensors(tmp_path):
    save_file({"w": np.ones((2, 2), dtype=np.float32)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert S.load(tmp_path / "x.safetensors")["w"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert S.read_metadata(tmp_path / "x.safetensors") == {"format": "pt"}


def test_metadata_are_strings_and_come_back(tmp_path):
    S.save(state(), tmp_path / "x.safetensors", metadata={"b": "2", "a": "1"})
    assert S.read_metadata(tmp_path / "x.safetensors") == {"a": "1", "b": "2"}
    for bad in ({"a": 1}, {1: "a"}, {"minidl": "x"}):
        with pytest.raises(TypeError, match="save: metadata"):
            S.save(state(), tmp_path / "y.safetensors", metadata=bad)
    assert not (tmp_path / "y.safetensors").exists()


def test_file_objects():
    stream = io.BytesIO()
    S.save(state(), stream, metadata={"a": "1"})
    stream.seek(0)
    assert S.read_metadata(stream) == {"a": "1"}
    stream.seek(0)
    np.testing.assert_array_equal(S.load(stream)["w"].array, state()["w"].array)


def test_equal_objects_give_equal_bytes_in_every_process(tmp_path):
    program = (
        "import sys, minidl; from minidl.serialization import save\n"
        "x = {f't{i}': minidl.full((i,), float(i)) for i in range(20)}\n"
        "save({'model': x, 'n': 1}, sys.argv[1], metadata={str(i): str(i) for i in range(20)})"
    )
    for seed in "1", "2":
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / seed)], check=True, env=env)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@dataclasses.dataclass
class Settings:
    lr: float = 0.1


REFUSED = [
    (object(), "is a object; expected"),
    (np.ones(2, np.uint16), "is an array that cannot be kept: .*(uint16|u2)"),
    (np.array(["a"]), "is an array that cannot be kept: "),
    (np.ones(2, complex), "is an array that cannot be kept: .*complex"),
    (np.datetime64(0, "s"), "is a datetime; expected"),
    (nn.Linear(1, 1), r"is a Linear, .*save its \.state_dict\(\), make a Linear anew"),
    (optim.SGD([nn.Parameter(minidl.ones(1))]), r"is a SGD, .*save its \.state_dict\(\)"),
    (lambda: 0, "is the function or class <lambda>, and code is not saved"),
    (nn.Linear, "is the function or class Linear, and code is not saved"),
    (Settings(), "is a Settings, a dataclass; save dataclasses.asdict"),
    (defaultdict(lambda: 0), "is a defaultdict of <function"),
    ({nn.Linear: 1}, "has the key <class"),
    ({(1, (2, 3)): 1}, r"has the key \(1, \(2, 3\)\)"),
]


@pytest.mark.parametrize(("bad", "says"), REFUSED, ids=lambda b: b if isinstance(b, str) else type(b).__name__)
def test_other_things_are_refused_by_name(tmp_path, bad, says):
    (tmp_path / "x.safetensors").write_bytes(b"as before")
    with pytest.raises(TypeError, match=rf"save: deep\.0 {says}"):
        S.save({"w": minidl.ones(2), "deep": [bad]}, tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").read_bytes() == b"as before"


def test_arrays_of_other_dtypes_are_refused(tmp_path):
    with pytest.raises(TypeError, match="(uint16|u2)"):
        S.save({"w": np.ones(2, dtype=np.uint16)}, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
    save_file({"w": np.ones(2, dtype=np.uint16)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="'w' is of dtype 'U16'; minidl reads"):
        S.load(tmp_path / "x.safetensors")


# --------------------------------------------------------------------------------------------------- damaged files
def damaged() -> list:
    def cut(raw):
        return raw[:-1]

    def no_data(raw):
        return raw[: 8 + int.from_bytes(raw[:8], "little")]

    def longer(raw):
        return raw + b"\0"

    def flipped_bit(raw):
        return raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:]

    def absurd_header(raw):
        return (2**62).to_bytes(8, "little") + raw[8:]

    def no_json(raw):
        return raw[:8] + b"x" + raw[9:]

    def other_shape(raw):
        return raw.replace(b'"shape":[3,4]', b'"shape":[4,4]')

    def other_structure(raw):
        return raw.replace(b'{\\"$tensor\\": \\"w\\"}', b'{\\"$tensor\\": \\"v\\"}')

    def later_version(raw):
        return raw.replace(b'\\"version\\": 2', b'\\"version\\": 3')

    def other_note(raw):
        return raw.replace(b'\\"digest\\"', b'\\"tsegid\\"')

    def empty(raw):
        return b""

    def a_pickle(raw):
        return pickle.dumps({"w": [1.0]})

    return [
        cut, no_data, longer, flipped_bit, absurd_header, no_json, other_shape, other_structure, later_version,
        other_note, empty, a_pickle,
    ]  # fmt: skip


@pytest.mark.parametrize("damage", damaged(), ids=lambda f: f.__name__)
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    S.save(state(), path)
    raw = path.read_bytes()
    S.load(path)
    path.write_bytes(damage(raw))
    assert path.read_bytes() != raw
    with pytest.raises(ValueError, match=r"load: .*x\.safetensors"):
        S.load(path)


def test_deep_nesting_in_a_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    S.save(state(), path)
    note = header_of(path)["__metadata__"]["minidl"]
    note = json.dumps({**json.loads(note), "structure": 0}).replace(": 0", ": " + "[" * 100_000 + "]" * 100_000)
    save_file({k: v.array for k, v in S.load(path).items()}, path, metadata={"minidl": note})
    with pytest.raises(ValueError, match="load: .* is damaged"):
        S.load(path)


def test_saving_and_loading_as_a_tutorial_has_it(tmp_path):
    g = minidl.Generator(3)
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    with minidl.no_grad():
        model.weight.copy_(minidl.randn(2, 3, generator=g))
    minidl.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(minidl.load(tmp_path / "model.pt", weights_only=True))
    assert minidl.equal(other.weight, model.weight) and minidl.equal(other.bias, model.bias)
    assert list(minidl.load(tmp_path / "model.pt", weights_only=False)) == ["weight", "bias"]


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        S.load(tmp_path / "x.safetensors")


# ------------------------------------------------------------------------------------------------- atomic writing
def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    S.save({"../../evil": minidl.ones(1), "/abs": minidl.ones(1)}, tmp_path / "in" / "x.safetensors")
    assert list(S.load(tmp_path / "in" / "x.safetensors")) == ["../../evil", "/abs"]
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "x.safetensors"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failure_while_writing_leaves_what_was_there(tmp_path, monkeypatch, fails):
    path = tmp_path / "x.safetensors"
    S.save({"n": 1}, path)

    def full(*args):
        raise OSError(28, "No space left on device", "a temporary name")

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="No space left") as error:
        S.save({"n": 2}, path)
    monkeypatch.undo()
    assert error.value.filename == str(path)
    assert S.load(path) == {"n": 1} and [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_what_was_there(tmp_path, moment):
    path = tmp_path / "x.safetensors"
    S.save({"n": 1}, path)
    program = (
        "import os, sys; from minidl.serialization import save\n"
        f"os.{moment} = lambda *a: os.kill(os.getpid(), 9)\n"
        "save({'n': 2}, sys.argv[1])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", program, str(path)], env=env)
    assert killed.returncode == -9
    assert S.load(path) == {"n": 1}
    assert all(p.name.startswith(".x.safetensors.") and p.suffix == ".partial" for p in tmp_path.iterdir() if p != path)
    S.save({"n": 3}, path)
    assert S.load(path) == {"n": 3}


def test_an_interrupt_while_writing_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        S.write_file(tmp_path / "x", b"data")
    assert not list(tmp_path.iterdir())


def test_everything_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    done = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), rename(a, b)))
    S.write_file(tmp_path / "x", b"data")
    assert done[:2] == ["fsync", "replace"] and (tmp_path / "x").read_bytes() == b"data"


def test_the_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    S.write_file(tmp_path / "x", b"")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync
    calls = []

    def refuse_folders(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(22, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    S.write_file(tmp_path / "x", b"data")
    assert (tmp_path / "x").read_bytes() == b"data"
