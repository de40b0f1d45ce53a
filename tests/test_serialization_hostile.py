"""Files by strangers: loading them raises ValueError (or OSError), runs nothing and takes little memory."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl import serialization as S
from minidl.serialization import safetensors as files
from minidl.serialization.pickles import Pickle

FILES = Path(__file__).resolve().parent / "reference" / "files"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def storage(key: str = "0", numel: int = 4, kind: str = "Float", location: str = "cpu") -> bytes:
    return (
        b"("
        + text("storage")
        + f"ctorch\n{kind}Storage\n".encode()
        + text(key)
        + text(location)
        + number(numel)
        + b"tQ"
    )


def tensor(offset=0, size=(4,), stride=(1,), grad=b"\x89", hooks=ORDERED, of=None) -> bytes:
    def numbers(values):
        return b"(" + b"".join(number(v) for v in values) + b"t"

    body = (storage() if of is None else of) + number(offset) + numbers(size) + numbers(stride) + grad + hooks
    return REBUILD + b"(" + body + b"tR"


def archive(pkl: bytes, compression=zipfile.ZIP_STORED, **records: bytes) -> bytes:
    """A zip archive as torch.save writes it; the storage "0" has 16 bytes, unless said otherwise."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as z:
        z.writestr("archive/data.pkl", b"\x80\x02" + pkl + b".")
        for name, data in {"byteorder": b"little", "data/0": bytes(16), "version": b"3\n", **records}.items():
            z.writestr(f"archive/{name}", data)
    return stream.getvalue()


def refused(raw: bytes, match: str = "load: ", limit: int = 4_000_000) -> None:
    """Loading raises a ValueError that names the file, and takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as error:
            minidl.load(io.BytesIO(raw))
        assert tracemalloc.get_traced_memory()[1] < limit + 90 * len(raw), "took much memory"
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith("load: ")


def test_what_these_tests_change_is_read_as_it_is():
    assert minidl.load(io.BytesIO(archive(tensor()))).tolist() == [0.0] * 4
    assert minidl.load(io.BytesIO(archive(b"N"))) is None


# ------------------------------------------------------------------------------------------------- nothing is run
RAN: list = []


def ran(*args):
    RAN.append(args)


class Reduced:
    def __reduce__(self):
        return ran, (1,)


class Stated:
    def __setstate__(self, state):
        ran(state)


CALL = {
    "REDUCE": b"cos\nsystem\n(X\x04\x00\x00\x00truetR",
    "GLOBAL only": b"cos\nsystem\n",
    "STACK_GLOBAL": text("os") + text("system") + b"\x93(" + text("true") + b"tR",
    "STACK_GLOBAL of numbers": b"K\x01K\x02\x93",
    "INST": b"(" + text("true") + b"ios\nsystem\n",
    "OBJ": b"(cos\nsystem\n" + text("true") + b"o",
    "NEWOBJ": b"csubprocess\nPopen\n(" + text("true") + b"t\x81",
    "NEWOBJ_EX": ORDERED + b")}\x92",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "eval": b"c__builtin__\neval\n(" + text("1") + b"tR",
    "getattr": b"cbuiltins\ngetattr\n(" + text("a") + text("b") + b"tR",
    "dotted": text("collections") + text("OrderedDict.__init__") + b"\x93",
    "dunder": text("builtins") + text("dict.fromkeys") + b"\x93",
    "partial": b"cfunctools\npartial\n)R",
    "load": b"ctorch\nload\n(" + text("x") + b"tR",
    "import": b"c__builtin__\n__import__\n(" + text("os") + b"tR",
    "copyreg": b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR",
    "a maker as a value": b"ccollections\nOrderedDict\n",
    "a maker as a factory": b"ccollections\ndefaultdict\n(ccollections\nOrderedDict\ntR",
    "a class of ours": b"cminidl.tensor\nTensor\n)R",
    "the call of a value": b"K\x01)R",
    "the call of a string": text("os.system") + b")R",
    "the call with a list": b"ccollections\nOrderedDict\n]R",
    "a state for a list": b"]}b",
    "a state for a tensor": tensor() + b"}" + text("array") + b"K\x01sb",
    "attributes of an OrderedDict": ORDERED + b"}" + text("__class__") + b"K\x01sb",
    "a state for a class": b"ccollections\nOrderedDict\n}b",
    "hooks": tensor(hooks=ORDERED + text("a") + b"K\x01s"),
    "BYTEARRAY8 that is cut off": b"\x96" + b"\xff" * 8,
}


@pytest.mark.parametrize("name", CALL)
def test_no_pickle_is_run(name):
    refused(archive(CALL[name]))
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    refused(magic + b"\x80\x02" + CALL[name] + b"." + pickle.dumps([], 2))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("make", [Reduced, Stated], ids=lambda kind: kind.__name__)
def test_real_pickles_of_objects_are_refused_by_name(make, protocol):
    thing = make()
    thing.x = 1
    body = pickle.dumps(thing, protocol)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as z:
        z.writestr("a/data.pkl", body)
    refused(
        stream.getvalue(),
        "hostile.(ran|Stated)|copyreg|copy_reg",
    )
    refused(body)
    assert not RAN
    pickle.loads(body)
    assert RAN  # it is harmless only here
    RAN.clear()


# ------------------------------------------------------------------------------------- Tensors that reach too far
BAD_TENSORS = {
    "beyond the end": tensor(size=(5,)),
    "offset beyond the end": tensor(offset=1),
    "stride beyond the end": tensor(size=(2,), stride=(4,)),
    "negative offset": tensor(offset=-1),
    "negative size": tensor(size=(-1,)),
    "negative stride": tensor(size=(2,), stride=(-1,), offset=1),
    "huge": tensor(size=(2**62, 2**62), stride=(0, 0)),
    "beyond integers": tensor(size=(2**70,), stride=(0,)),
    "huge stride": tensor(size=(2,), stride=(2**62,)),
    "two lengths": tensor(size=(2, 2), stride=(1,)),
    "a hundred dimensions": tensor(size=(1,) * 100, stride=(1,) * 100),
    "a bool as an offset": REBUILD + b"(" + storage() + b"\x88K\x01\x85K\x01\x85\x89" + ORDERED + b"tR",
    "a string as a size": REBUILD + b"(" + storage() + b"K\x00" + text("4") + b"K\x01\x85\x89" + ORDERED + b"tR",
    "no storage": tensor(of=text("0")),
    "a tensor as a storage": tensor(of=tensor()),
    "a list as a storage": tensor(of=b"]"),
    "no arguments": REBUILD + b")R",
    "too many arguments": REBUILD + b"(" + b"N" * 20 + b"tR",
    "requires_grad that is a number": tensor(grad=b"K\x05"),
    "requires_grad of integers": tensor(of=storage(kind="Int"), grad=b"\x88"),
    "a storage without end": tensor(of=storage(numel=2**40)),
    "a storage that is larger": tensor(of=storage(numel=5)),
    "a storage that is smaller": tensor(of=storage(numel=3), size=(1,)),
    "a storage of negative size": tensor(of=storage(numel=-4)),
    "a storage that is not there": tensor(of=storage("1")),
    "a storage with a path": tensor(of=storage("../data.pkl")),
    "a storage of wide elements": tensor(of=storage(kind="Double")),
    "two types of one storage": b"]" + tensor() + b"a" + tensor(of=storage(kind="Int")) + b"a",
    "a number as a persistent id": b"K\x01Q",
    "a string as a persistent id": text("storage") + b"Q",
    "a persistent id that is too short": text("storage") + b"\x85Q",
    "a persistent id of no class": b"(" + text("storage") + b"K\x01" + text("0") + text("cpu") + b"K\x04tQ",
    "a persistent id of a model": b"(" + text("module") + b"NNNtQ",
    "a storage alone": storage(),
    "a conjugate": tensor(hooks=ORDERED + b"}" + text("conj") + b"\x88s"),
    "complex elements": storage(kind="ComplexFloat"),
    "quantised elements": storage(kind="QInt8"),
    "bools other than 0 and 1": tensor(of=storage("b", kind="Bool")),
    "a parameter of a list": b"ctorch._utils\n_rebuild_parameter\n(]\x89" + ORDERED + b"tR",
    "a parameter with attributes": b"ctorch._utils\n_rebuild_parameter_with_state\n(" + tensor() + b"\x89" + ORDERED
    + b"}" + text("array") + b"K\x01stR",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_tensors_that_do_not_fit_are_refused(name):
    refused(archive(BAD_TENSORS[name], **{"data/b": b"\0\1\2\1"}))


# --------------------------------------------------------------------------------------------- pickles that are off
BAD_PICKLES = {
    "empty": b"",
    "too many values": b"NN",
    "only a mark": b"(",
    "a mark that is missing": b"t",
    "nothing to add": b"a",
    "nothing to call": b"R",
    "an unknown opcode": b"\xff",
    "a memo that is not there": b"h\x07",
    "a mark in the memo": b"(q\x00",
    "a mark as a value": b"(K\x01\x86",
    "a long string": b"X\xff\xff\xff\xffabc",
    "a longer string": b"\x8d" + b"\xff" * 8 + b"abc",
    "long bytes": b"\x8e" + b"\x7f" * 8 + b"abc",
    "a long integer": b"\x8b\xff\xff\xff\x7f\x00",
    "an integer of negative length": b"\x8b\xff\xff\xff\xff\x00",
    "a string of negative length": b"T\xff\xff\xff\xffabc",
    "a long frame": b"\x95" + b"\xff" * 8,
    "not UTF-8": b"X\x02\x00\x00\x00\xff\xfe",
    "a name without end": b"cos" + b"x" * 5000,
    "protocol 9": b"\x80\x09N",
    "text opcodes": b"I1\n",
    "POP": b"NN0",
    "DUP": b"N2\x86",
    "a list as a key": b"}]Ns",
    "a deep tuple as a key": b"}" + b")" + b"\x85" * 20_000 + b"Ns",
    "a tensor as a key": b"}" + tensor() + b"Ns",
    "a key without a value": b"}(Nu",
    "an element of a set that is a list": b"\x8f(]\x90",
    "a frozenset of lists": b"(]\x91",
    "adding to a number": b"K\x01Na",
    "setting in a list": b"]NNs",
    "a list in itself": b"]q\x00h\x00a",
    "a dict in itself": b"}q\x00Nh\x00s",
    "a list in a tuple in itself": b"]q\x00h\x00\x85a",
    "deep lists": b"]" * 5000 + b"a" * 4999,
    "deep tuples": b")" + b"\x85" * 20_000,
    "deep by the memo": b"]q\x00" + b"".join(b"]q\x01h\x00aq\x00" for _ in range(2000)),
    "an unfinished array": b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR",
    "an array of objects": b"cnumpy\ndtype\n(" + text("O8") + b"\x89\x88tR",
    "an array of records": b"cnumpy\ndtype\n(" + text("f4,f4") + b"\x89\x88tR",
    "a dtype with a state": b"cnumpy\ndtype\n(" + text("f8") + b"\x89\x88tR(K\x03" + text("<") + b"}NNK\x00tb",
    "an array without its bytes": b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR(K\x01" + number(2**40)
    + b"\x85cnumpy\ndtype\n(" + text("u1") + b"\x89\x88tR\x89C\x01atb",
    "a scalar of nothing": b"cnumpy.core.multiarray\nscalar\n)R",
    "codecs": b"c_codecs\nencode\n(" + text("x") + text("rot13") + b"tR",
    "a size of strings": b"ctorch\nSize\n(" + text("x") + b"\x85tR",
    "a device of another kind": b"ctorch\ndevice\n(" + text("tpu") + b"tR",
    "a range of strings": b"c__builtin__\nxrange\n(" + text("x") + b"tR",
    "a path of numbers": b"cpathlib\nPosixPath\n(K\x01tR",
    "a namespace of numbers": b"cargparse\nNamespace\n)\x81}K\x01K\x01sb",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PICKLES)
def test_pickles_that_do_not_fit_together_are_refused(name):
    refused(archive(BAD_PICKLES[name]))


def test_what_is_copied_from_the_memo_many_times_is_refused():
    """A short pickle that makes a long list many times over."""
    items = b"".join(b"K" + bytes([i % 250]) for i in range(20_000))
    again = b"c__builtin__\nlist\nq\x01"
    refused(
        archive(again + b"](" + items + b"eq\x02" + b"h\x01h\x02\x85R" * 20_000 + b"N"), "copies more than it holds"
    )
    long = text("x" * 100_000) + b"q\x03"
    encode = b"c_codecs\nencode\nq\x01" + text("latin1") + b"q\x02" + long
    refused(archive(encode + b"h\x01h\x03h\x02\x86R" * 10_000), "copies more than it holds")


P = 2**61 - 1  # whole numbers have their remainder by it as their hash
COLLIDING = b"".join(number(k * P) for k in range(1, 1000))
KEYS_OF_ONE_HASH = {
    "a dict": b"}(" + b"".join(number(k * P) + b"N" for k in range(1, 1000)) + b"u",
    "a dict, one by one": b"}" + b"".join(number(k * P) + b"Ns" for k in range(1, 1000)),
    "a set": b"\x8f(" + COLLIDING + b"\x90",
    "a frozenset": b"(" + COLLIDING + b"\x91",
    "a set of a list": b"c__builtin__\nset\n](" + COLLIDING + b"e\x85R",
    "an ordered dict": b"ccollections\nOrderedDict\n]("
    + b"".join(number(k * P) + b"N\x86" for k in range(1, 1000)) + b"e\x85R",
    "tuples": b"}(" + b"".join(number(k * P) + b"\x85N" for k in range(1, 1000)) + b"u",
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS_OF_ONE_HASH)
def test_keys_of_one_hash_are_refused(name):
    refused(archive(KEYS_OF_ONE_HASH[name]), "many keys of one hash")


@pytest.mark.parametrize("code", [b"\x8f", b"}", b"]", b"h\x00)R", b"(\x91"])
def test_containers_of_a_byte_each_are_refused(code):
    start = b"ccollections\nOrderedDict\nq\x00"
    refused(archive(start + code * (200_000 // len(code))), "more containers than", 40_000_000)


def test_containers_with_something_in_them_are_many():
    values = [[[k] for k in range(50_000)], [{} for _ in range(20_000)], [set() for _ in range(5_000)]]
    values.append([OrderedDict() for _ in range(5_000)])
    for value in (*values, values):
        for protocol in (2, 4):
            assert Pickle(pickle.dumps(value, protocol)).run() == value
    assert Pickle(pickle.dumps({k: (k, -k) for k in range(50_000)}, 2)).run()[49_999] == (49_999, -49_999)


def test_an_unfinished_value_is_remembered_once():
    body = b"cargparse\nNamespace\n)\x81" + b"\x94" * 100_000
    refused(archive(body), "again and again", 20_000_000)


BAD_NOTES = [5, None, [], {1: {}}, {"": 1}, {"": {"version": "2"}}]


@pytest.mark.parametrize("notes", BAD_NOTES, ids=str)
def test_metadata_of_a_state_dict_that_it_cannot_be_are_refused(tmp_path, notes):
    state = OrderedDict(a=1)
    state._metadata = notes
    for protocol in (2, 4):
        raw = pickle.dumps(state, protocol)
        with pytest.raises(ValueError, match="_metadata of an OrderedDict should be"):
            Pickle(raw).run()
    if notes is not None:
        S.save(state, tmp_path / "x")
        with pytest.raises(ValueError, match="its structure does not fit"):
            S.load(tmp_path / "x")


def test_what_refers_to_itself_often_takes_little_memory():
    """Thirty lists of the one before, twice: a billion leaves, but thirty lists."""
    body = b"]q\x00" + b"".join(b"](h\x00h\x00eq\x00" for _ in range(30)) + b"\x86" * 30
    tracemalloc.start()
    value = minidl.load(io.BytesIO(archive(body)))
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert isinstance(value, tuple)


# -------------------------------------------------------------------------------------------------- archives
def repacked(**changes) -> bytes:
    """mlp.pt with other records; None leaves one out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(FILES / "mlp.pt") as z, zipfile.ZipFile(stream, "w") as new:
        records = {name.split("/", 1)[1]: z.read(name) for name in z.namelist()}
        for name, data in {**records, **changes}.items():
            if data is not None:
                new.writestr(f"mlp/{name}", data)
    return stream.getvalue()


def test_archives_repacked_by_others_are_read():
    assert len(minidl.load(io.BytesIO(repacked()))) == 9
    assert len(minidl.load(io.BytesIO(repacked(byteorder=None, version=None)))) == 9


def test_numbers_of_the_other_byte_order_are_turned_round():
    with zipfile.ZipFile(FILES / "mlp.pt") as z:
        w = z.read(next(name for name in z.namelist() if name.endswith("data/0")))
    turned = np.frombuffer(w, "<f4").astype(">f4").tobytes()
    state = minidl.load(io.BytesIO(repacked(byteorder=b"big", **{"data/0": turned})))["0.weight"]
    np.testing.assert_array_equal(state.array, minidl.load(FILES / "mlp.pt")["0.weight"].array)
    assert state.array.dtype.isnative


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"data.pkl": None}, "a zip archive by other programs"),
        ({"constants.pkl": b""}, "TorchScript"),
        ({"byteorder": b"middle"}, "byte order is b'middle'"),
        ({"data/0": None}, "storage 0 is missing"),
        ({"data/0": b"1234"}, "storage 0 has 4 bytes, expected 80"),
        ({"../../evil": b""}, "a record of the name"),
        ({"data//0": b""}, "a record of the name"),
        ({"a\\b": b""}, "a record of the name"),
    ],
    ids=str,
)
def test_archives_that_are_off_are_refused(changes, match):
    refused(repacked(**changes), match)


def test_a_zip_bomb_is_refused_before_it_is_unpacked():
    refused(archive(b"N", zipfile.ZIP_DEFLATED, **{"data/0": bytes(50_000_000)}), "compressed or encrypted")
    refused(archive(b"N", zipfile.ZIP_LZMA), "compressed or encrypted")


def test_records_twice_or_in_two_folders_are_refused():
    for names, match in (
        (["a/data.pkl", "a/data.pkl"], "there twice"),
        (["a/data.pkl", "b/data/0"], "several folders"),
        (["data.pkl"], "a record of the name"),
        (["/data.pkl"], "a record of the name"),
        (["../data.pkl"], "a record of the name"),
    ):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as z:
            for name in names:
                info = zipfile.ZipInfo("x")
                info.filename = info.orig_filename = name
                with pytest.warns(UserWarning, match="Duplicate") if z.NameToInfo.get(name) else open(os.devnull):
                    z.writestr(info, b"\x80\x02N.")
        refused(stream.getvalue(), match)


def entries(raw: bytes) -> list[int]:
    """Where the entries of an archive's list of records begin."""
    return [i for i in range(len(raw)) if raw[i : i + 4] == b"PK\x01\x02"]


def test_lists_of_records_that_lie_are_refused():
    raw = bytearray(archive(tensor()))
    at = {bytes(raw[i + 46 : i + 46 + raw[i + 28]]): i for i in entries(raw)}
    size, place = at[b"archive/data/0"] + 20, at[b"archive/data/0"] + 42
    for where, value in ((size, 2**31), (size + 4, 2**31), (place, 2**31), (place, 7), (place, 0), (size, 8)):
        changed = bytearray(raw)
        changed[where : where + 4] = struct.pack("<I", value)
        refused(bytes(changed))
    both = bytearray(raw)
    both[size : size + 8] = struct.pack("<II", 2**31, 2**31)
    refused(bytes(both), "cut off")


def test_records_that_overlap_are_refused():
    raw = bytearray(archive(b"N"))
    spots = entries(raw)
    for where in spots[1:]:  # all at the place and of the name of the first
        raw[where + 42 : where + 46] = raw[spots[0] + 42 : spots[0] + 46]
    refused(bytes(raw), "named twice in two ways|overlaps")


def test_a_flipped_bit_in_the_numbers_is_noticed():
    raw = bytearray((FILES / "mlp.pt").read_bytes())
    with zipfile.ZipFile(io.BytesIO(raw)) as z:
        data = z.read("mlp/data/0")
    raw[raw.index(data) + 5] ^= 1
    refused(bytes(raw), r"data/0 is damaged: the checksum")


# --------------------------------------------------------------------------------------------- safetensors
def by_hand(header, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


BAD_SAFETENSORS = {
    "absurd length": by_hand({"x": entry()}, bytes(8), 2**63),
    "length of all": by_hand({"x": entry()}, bytes(8), 2**64 - 1),
    "no length": by_hand(b"", b"", 0),
    "no dict": by_hand(b"[1]"),
    "a number": by_hand(b"12"),
    "deep": by_hand(b"[" * 100_000 + b"]" * 100_000),
    "not UTF-8": by_hand(b'{"\xff":1}'),
    "twice the same name": by_hand(f'{{"x":{json.dumps(entry())},"x":{json.dumps(entry())}}}'.encode(), bytes(8)),
    "overlapping": by_hand({"x": entry(), "y": entry(offsets=(4, 12))}, bytes(12)),
    "the same place": by_hand({"x": entry(), "y": entry()}, bytes(8)),
    "a gap": by_hand({"x": entry(), "y": entry(offsets=(12, 20))}, bytes(20)),
    "not from the start": by_hand({"x": entry(offsets=(4, 12))}, bytes(12)),
    "negative offset": by_hand({"x": entry(offsets=(-8, 0))}, bytes(8)),
    "negative shape": by_hand({"x": entry(shape=(-2,))}, bytes(8)),
    "backwards": by_hand({"x": entry(offsets=(8, 0))}, bytes(8)),
    "huge": by_hand({"x": entry(shape=(2**40,), offsets=(0, 2**42))}, bytes(8)),
    "overflow": by_hand({"x": entry(shape=(2**62, 4, 2), offsets=(0, 8))}, bytes(8)),
    "float sizes": by_hand({"x": entry(shape=(2.0,))}, bytes(8)),
    "bool sizes": by_hand({"x": entry(shape=(True, 2))}, bytes(8)),
    "many dimensions": by_hand({"x": entry(shape=(2, *([1] * 100)))}, bytes(8)),
    "more data": by_hand({"x": entry()}, bytes(9)),
    "less data": by_hand({"x": entry()}, bytes(7)),
    "a dtype that is a list": by_hand({"x": entry(dtype=["F32"])}, bytes(8)),
    "complex": by_hand({"x": entry(dtype="C64", shape=(1,))}, bytes(8)),
    "float8": by_hand({"x": entry(dtype="F8_E4M3", shape=(8,))}, bytes(8)),
    "more keys": by_hand({"x": entry(extra=1)}, bytes(8)),
    "no keys": by_hand({"x": {}}, bytes(8)),
    "a string": by_hand({"x": "F32"}, bytes(8)),
    "bools other than 0 and 1": by_hand({"x": entry("BOOL", (8,))}, b"\2" * 8),
    "metadata of numbers": by_hand({"__metadata__": {"a": 1}}),
    "metadata that are a list": by_hand({"__metadata__": [1]}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SAFETENSORS)
def test_safetensors_that_are_off_are_refused(tmp_path, name):
    refused(BAD_SAFETENSORS[name])
    path = tmp_path / "x.safetensors"
    path.write_bytes(BAD_SAFETENSORS[name])
    with pytest.raises(ValueError, match="x.safetensors is damaged"):
        files.load_file(path)
    if not name.startswith("bools"):
        for function in (S.read_metadata, lambda p: files.safe_open(p, "pt")):
            with pytest.raises(ValueError, match="x.safetensors is damaged"):
                function(path)


@pytest.mark.parametrize("longest", [2**60, 10**9])
def test_a_header_is_not_copied_before_its_length_is_checked(tmp_path, longest):
    path = tmp_path / "x.safetensors"
    with open(path, "wb") as stream:
        stream.write(longest.to_bytes(8, "little") + b"{")
        stream.truncate(10**9 + 8)  # a hole: it takes no room on the disk
    readers = {
        "x.safetensors is damaged": (lambda p: files.safe_open(p, "pt"), lambda p: S.load(p, mmap=True)),
        "read_metadata: .* is damaged": (S.read_metadata,),
    }
    for match, functions in readers.items():
        for function in functions:
            tracemalloc.start()
            try:
                with pytest.raises(ValueError, match=match):
                    function(path)
                assert tracemalloc.get_traced_memory()[1] < 2_000_000
            finally:
                tracemalloc.stop()


@pytest.mark.parametrize(
    "structure",
    [
        {"$tensor": "y"}, {"$tensor": 1}, {"$tensor": ["a", "x", "other"]}, {"$tensor": ["a"]}, {"$set": [[]]},
        {"$ordered": []}, {"$ordered": [1]}, {"$default": ["eval", {}]}, {"$default": ["__import__", {}]},
        {"$size": "a"}, {"$bytes": "?"}, {"$bytes": 1}, {"$dtype": "object"}, {"$device": "tpu"}, {"$path": 1},
        {"$counter": 1}, {"$namespace": 1}, {"$simple": [1]}, {"$dict": [[[], 1]]}, {"$dict": 1}, {"$array": "y"},
        {"$tuple": 1}, {"$default": []}, {"$default": ["list"]}, {"$size": [math.inf]}, {"$size": [math.nan]},
        {"$ordered": [{}, 5]}, {"$ordered": [{}, {"": 5}]}, {"$range": [1]}, {"$range": [1, 2, 0]},
        {"$range": [math.inf, 1, 1]}, {"$slice": [1, 2]}, {"$complex": [1]}, {"$complex": ["a", 1]}, {"$bytearray": 1},
        {"$set": [k * P for k in range(100)]}, {"$dict": [[k * P, 1] for k in range(100)]},
        {"$tensor": ["a", "n", "parameter"]}, {"$frozenset": 1},
    ],
    ids=lambda structure: str(structure)[:40],
)  # fmt: skip
def test_a_structure_that_does_not_fit_is_refused(tmp_path, structure):
    S.save({"x": minidl.ones(1), "n": minidl.tensor([1])}, tmp_path / "x")
    raw = (tmp_path / "x").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    note = json.loads(header["__metadata__"]["minidl"])
    header["__metadata__"]["minidl"] = json.dumps({**note, "structure": structure})
    refused(by_hand(header, raw[8 + int.from_bytes(raw[:8], "little") :]), "its structure does not fit")


@pytest.mark.parametrize("name", ["$init", "$_init__", "$decode", "$_class__", "$tensors"])
def test_a_kind_that_is_not_known_is_a_plain_dict(tmp_path, name):
    S.save({"x": 1}, tmp_path / "x")
    raw = (tmp_path / "x").read_bytes().replace(b'{\\"x\\": 1}', b'{\\"' + name.encode() + b'\\": 1}')
    length = len(raw) - 8
    assert minidl.load(io.BytesIO(struct.pack("<Q", length) + raw[8:])) == {name: 1}


# ------------------------------------------------------------------------------------------------- at random
def changed_files(raw: bytes, rng: np.random.Generator, count: int):
    """The file with bytes changed, cut off, doubled, or of absurd lengths."""
    for _ in range(count):
        data, kind = bytearray(raw), int(rng.integers(5))
        at = int(rng.integers(len(data)))
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            data[at : at + 8] = rng.integers(0, 256, 8, dtype=np.uint8).tobytes()
        elif kind == 3:
            data[at : at + 4] = b"\xff\xff\xff\x7f"
        else:
            del data[at : at + int(rng.integers(1, 9))]
        yield bytes(data)


def resealed(raw: bytes, rng: np.random.Generator) -> bytes:
    """An archive whose pickle was changed, with the right checksums."""
    with zipfile.ZipFile(io.BytesIO(raw)) as z:
        records = {name: z.read(name) for name in z.namelist()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as z:
        for name, data in records.items():
            z.writestr(name, next(changed_files(data, rng, 1)) if name.endswith("data.pkl") else data)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["checkpoint.pt", "legacy.pt", "mlp.safetensors", "model.pt", "ours"])
def test_whatever_is_changed_is_read_or_refused(name):
    rng, stream = np.random.default_rng(7), io.BytesIO()
    if name == "ours":
        S.save({"model": nn.Linear(3, 2).state_dict(), "n": {1: (2, None)}, "set": {1}}, stream)
    raw = stream.getvalue() or (FILES / name).read_bytes()
    cases = list(changed_files(raw, rng, 150))
    if name == "checkpoint.pt":
        cases += [resealed(raw, rng) for _ in range(150)]
    outcomes = {"read": 0, "refused": 0}
    tracemalloc.start()
    for data in cases:
        try:
            minidl.load(io.BytesIO(data))
            outcomes["read"] += 1
        except ValueError:
            outcomes["refused"] += 1
    assert tracemalloc.get_traced_memory()[1] < 3_000_000 + 20 * len(raw)
    tracemalloc.stop()
    assert outcomes["refused"] > 50, outcomes
