"""The two forms of PyTorch's files, read without running anything: a zip archive, and the stream of before 1.6."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import backend_of, device, get_backend
from .known import Build, Element, Known, Region
from .layout import plain
from .locations import Storage
from .pickles import Pickle, check_tree

_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa850192e")  # the number that the old form begins with, as a pickle
_REFUSED = (Known, Element, Region, Build)
_ENCODINGS = ("utf-8", "ascii", "latin1", "latin-1", "bytes")

Where = Callable[[Storage, "str | None"], device]


def is_archive(raw: Any) -> bool:
    """Whether bytes begin as a file by torch.save does."""
    return bytes(raw[:4]) == b"PK\x03\x04" or _MAGIC in bytes(raw[:32])


def read_archive(raw: Any, where: Where, encoding: str = "utf-8", shared: bool = False) -> Any:
    """What torch.save wrote, its Tensors on the devices that `where` gives; shared: on the memory of the file.

    Raises:
        ValueError: it is damaged, or holds something that would have to be run.
    """
    if encoding not in _ENCODINGS:
        raise ValueError(f"the encoding must be one of {', '.join(_ENCODINGS)}, got {encoding!r}")
    view = memoryview(raw)
    if bytes(view[:4]) == b"PK\x03\x04":
        value, regions = _read_zip(raw, view, encoding)
    else:
        value, regions = _read_stream(view, encoding)
    check_tree(value, _REFUSED)
    for region, data, big in regions:
        _fill(region, data, big, where, shared)
    return value


class _Regions:
    """The storages that a pickle asks for by persistent ids; each once, whatever it says of them."""

    def __init__(self, parts: int) -> None:
        self.parts, self.found = parts, dict[str, Region]()

    def __call__(self, saved: Any) -> Region:
        if isinstance(saved, tuple) and saved and saved[0] == "module":
            raise ValueError("it holds a whole pickled model")
        if not isinstance(saved, tuple) or len(saved) != self.parts or saved[0] != "storage":
            raise ValueError("a storage has an id of another form")
        _, element, key, location, numel, *views = saved
        if any(view is not None for view in views):
            raise ValueError("a storage is a view of another, as PyTorch has not written for years")
        if not isinstance(element, Element) or not isinstance(key, str) or not isinstance(location, str):
            raise ValueError("a storage has an id of another form")
        if type(numel) is not int or not 0 <= numel < 2**60:
            raise ValueError(f"a storage has {numel!r} elements")
        known = self.found.setdefault(key, Region(element, key, location, numel))
        if known.element is not element or known.numel != numel:
            raise ValueError(f"storage {key} is asked for as {known.numel} and as {numel} elements, or of two types")
        return known


# ------------------------------------------------------------------------------------------- the zip archive
def _read_zip(raw: Any, view: memoryview, encoding: str) -> tuple[Any, list[tuple[Region, memoryview, bool]]]:
    records = _records(raw, view)
    if "data.pkl" not in records or "constants.pkl" in records:
        what = "a TorchScript archive" if "constants.pkl" in records else "a zip archive by other programs"
        raise ValueError(f"it is {what}, not what torch.save wrote; save model.state_dict() instead")
    order = bytes(records["byteorder"].content()) if "byteorder" in records else b"little"
    if order not in (b"little", b"big"):
        raise ValueError(f"its byte order is {order[:20]!r}, expected little or big")
    regions, content = _Regions(5), records["data.pkl"].content()
    pickle = Pickle(content, 0, regions, encoding)
    value = pickle.run()
    if pickle.end != len(content):
        raise ValueError("there is something after its pickle")
    found = []
    for key, region in regions.found.items():
        record = records.get(f"data/{key}")
        if record is None or record.size != region.nbytes:
            has = "is missing" if record is None else f"has {record.size} bytes"
            raise ValueError(f"storage {key} {has}, expected {region.nbytes} for {region.element.what}[{region.numel}]")
        found.append((region, record, order == b"big"))
    return value, [(region, record.content(), big) for region, record, big in found]


class _Record:
    """A file in the archive: a piece of the archive's own bytes."""

    def __init__(self, name: str, begin: int, data: memoryview, checksum: int) -> None:
        self.name, self.begin, self.data, self.size, self.checksum = name, begin, data, len(data), checksum

    def content(self) -> memoryview:
        """Its bytes, if they have the checksum they should have."""
        if zlib.crc32(self.data) != self.checksum:
            raise ValueError(f"its record {self.name} is damaged: the checksum is another")
        return self.data


def _records(raw: Any, view: memoryview) -> dict[str, _Record]:
    """The records of an archive by their name in its folder; sizes and places are checked, nothing is unpacked."""
    try:
        with zipfile.ZipFile(raw if hasattr(raw, "seek") else io.BytesIO(raw)) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, IndexError) as error:
        raise ValueError(f"its list of records is damaged ({error})") from None
    found: dict[str, _Record] = {}
    folders = set()
    for info in infos:
        folder, slash, name = info.filename.partition("/")
        parts = name.split("/")
        if not slash or folder in ("", ".", "..") or info.orig_filename != info.filename or "\\" in info.filename:
            raise ValueError(f"it has a record of the name {info.filename[:80]!r}")
        if any(part in ("", ".", "..") for part in parts) or name in found:
            raise ValueError(f"it has a record of the name {info.filename[:80]!r}, not allowed or there twice")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
            raise ValueError(f"its record {name} is compressed or encrypted; torch.save does neither")
        folders.add(folder)
        found[name] = _Record(name, info.header_offset, _piece(view, info), info.CRC)
    if len(folders) > 1:
        raise ValueError(f"it has several folders: {sorted(folders)[:3]}")
    at = 0
    for record in sorted(found.values(), key=lambda record: record.begin):
        if record.begin < at:
            raise ValueError(f"its record {record.name} overlaps another")
        at = record.begin + 30 + record.size
    return found


def _piece(view: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """The bytes of a record, which follow a header of their own."""
    head = bytes(view[info.header_offset : info.header_offset + 30]) if info.header_offset >= 0 else b""
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise ValueError(f"its record {info.filename[:80]!r} has no header")
    name, extra = struct.unpack("<HH", head[26:])
    begin = info.header_offset + 30 + name + extra
    named = bytes(view[info.header_offset + 30 : info.header_offset + 30 + name])
    if named != info.orig_filename.encode() or begin + info.file_size > len(view):
        raise ValueError(f"its record {info.filename[:80]!r} is cut off, or named twice in two ways")
    return view[begin : begin + info.file_size]


# ------------------------------------------------------------------------------------------------ the stream
def _read_stream(view: memoryview, encoding: str) -> tuple[Any, list[tuple[Region, memoryview, bool]]]:
    regions, at, values = _Regions(6), 0, []
    for i in range(5):  # the magic number, the version, the machine, the value, the keys of its storages
        pickle = Pickle(view, at, regions if i == 3 else None, encoding)
        values.append(pickle.run())
        at = pickle.end
    _, version, _, value, keys = values
    if version != 1001:
        raise ValueError(f"it is of version {version!r} of the old form, expected 1001")
    if not isinstance(keys, list) or sorted(keys, key=str) != sorted(regions.found):
        raise ValueError("the storages that it lists are not those that it uses")
    found = []
    for key in keys:
        region = regions.found[key]
        if len(view) - at < 8 or int.from_bytes(view[at : at + 8], "little", signed=True) != region.numel:
            raise ValueError(f"storage {key} should have {region.numel} elements; it is cut off, or says otherwise")
        at += 8
        if len(view) - at < region.nbytes:
            raise ValueError(f"storage {key} is cut off: {len(view) - at} bytes of {region.nbytes}")
        found.append((region, view[at : at + region.nbytes], False))
        at += region.nbytes
    if at != len(view):
        raise ValueError(f"there are {len(view) - at} bytes after the last storage")
    return value, found


# --------------------------------------------------------------------------------------------------- memory
def _fill(region: Region, data: memoryview, big: bool, where: Where, shared: bool) -> None:
    """Give the Tensors on a storage its memory: on the CPU one that they share, elsewhere each its own."""
    kind = region.element.kind.newbyteorder(">" if big else "<")
    array = np.frombuffer(data, kind) if region.nbytes else np.empty(0, kind)
    try:
        array = plain(array, region.element.brain, shared)
    except ValueError as error:
        raise ValueError(f"storage {region.key}: {error}") from None
    target = where(Storage(array.dtype, region.numel), region.location)
    backend, version, same = get_backend(target), [0], dict[Any, Any]()
    on_host = backend is backend_of(array)
    for t in region.tensors:
        (_, place), t.version = t.__dict__.pop("_place"), version
        if place not in same:
            offset, size, strides = place
            if on_host:
                same[place] = _viewed(array, offset, size, strides)
            elif np.prod(size, dtype=object) > region.numel:
                raise ValueError(f"a Tensor of shape {size} is expanded; load it on the CPU")
            else:
                same[place] = backend.from_host(np.ascontiguousarray(_viewed(array, offset, size, strides)), target)
        t.array = same[place]
        if not on_host:
            t.version = [0]


def _viewed(array: np.ndarray, offset: int, size: tuple, strides: tuple) -> np.ndarray:
    """The elements of a row from `offset` on, in the shape and with the strides (in elements) that were checked."""
    count, natural = 1, []
    for n in reversed(size):
        natural.append(count)
        count *= n
    if count == 0 or all(n == 1 or a == b for n, a, b in zip(size, strides, reversed(natural), strict=True)):
        return array[offset : offset + count].reshape(size) if count else np.empty(size, array.dtype)
    steps = [s * array.itemsize if n > 1 else 0 for n, s in zip(size, strides, strict=True)]
    return np.lib.stride_tricks.as_strided(array[offset:], size, steps)
