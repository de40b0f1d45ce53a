"""The safetensors format: 8 bytes of length, a JSON header of dtypes, shapes and places, and the arrays in C order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend.dtypes import as_dtype

LONGEST_HEADER = 100_000_000  # bytes, as in the format's definition
_CODES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {np.dtype(text): code for code, text in _CODES.items() if code != "BF16"}


def pack(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], bytes]:
    """What the header is to say of the arrays, and their data; the same arrays always give the same bytes."""
    entries: dict[str, Any] = {}
    pieces, at = [], 0
    # those with the widest elements first, so that each lies at a multiple of its width
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = arrays[name]
        as_dtype(array.dtype.newbyteorder("="))
        # memory as it lies in C order, little-endian
        piece = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
        code = _NAMES[array.dtype.newbyteorder("<")]
        entries[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [at, at + len(piece)]}
        pieces.append(piece)
        at += len(piece)
    return entries, b"".join(pieces)


def header(entries: Mapping[str, Any], notes: Mapping[str, str]) -> bytes:
    """The beginning of a file, up to the data."""
    sorted_notes = {"__metadata__": {key: notes[key] for key in sorted(notes)}} if notes else {}
    text = json.dumps({**sorted_notes, **entries}, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def looks_like(raw: Any) -> bool:
    """Whether bytes begin as a safetensors file does: a length, and the brace that opens the header."""
    return raw[8:9] == b"{" and 2 <= header_length(raw) <= min(len(raw) - 8, LONGEST_HEADER)


def header_length(raw: Any) -> int:
    """The number that a file begins with: how long its header should be."""
    return int.from_bytes(raw[:8], "little")


def read_header(raw: Any, size: int) -> tuple[dict[str, dict], dict[str, str], int]:
    """What a file says of its arrays, its metadata, and where its data begin; everything is checked.

    raw: the file, or at least its header; of it only the header is copied, once its length was checked. size: of the
    whole file.

    Raises:
        ValueError: the header is not one, or does not fit the size of the file.
    """
    length = header_length(raw)
    if size < 8 or not 2 <= length <= min(size - 8, LONGEST_HEADER):
        raise ValueError(f"its header should have {length} bytes, in a file of {size}")
    try:
        entries = json.loads(bytes(raw[8 : 8 + length]).decode(), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    notes = entries.pop("__metadata__", None) if isinstance(entries, dict) else None
    notes = {} if notes is None else notes
    if not isinstance(entries, dict) or not isinstance(notes, dict):
        raise ValueError("its header is not a dict of arrays")
    if not all(isinstance(text, str) for text in notes.values()):
        raise ValueError("its metadata are not strings")
    spans = sorted([_checked(name, entry) for name, entry in entries.items()])
    at = 0
    for begin, end, name in spans:
        if begin != at:
            raise ValueError(f"'{name}' begins at byte {begin} of the data, expected {at}: a gap or an overlap")
        at = end
    if at != size - 8 - length:
        raise ValueError(f"its arrays have {at} bytes, the file has {size - 8 - length} for them")
    return entries, notes, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header has a name twice")
    return found


def _checked(name: str, entry: Any) -> tuple[int, int, str]:
    """Where the data of an array begin and end, if they have the size that its dtype and shape ask for."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"'{name}' has no dtype, shape and data_offsets")
    code, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _CODES:
        names = ", ".join(_CODES)
        raise ValueError(f"'{name}' is of dtype {code!r}; minidl reads {names} (BF16 as float32)")
    lists = isinstance(shape, list) and isinstance(place, list) and len(shape) <= 64 and len(place) == 2
    if not lists or not all(type(n) is int and 0 <= n < 2**63 for n in (*shape, *place)):
        raise ValueError(f"'{name}' has the shape {shape!r} at {place!r}")
    size = math.prod(shape) * np.dtype(_CODES[code]).itemsize
    if place[1] - place[0] != size:
        raise ValueError(f"'{name}' has the shape {shape} and dtype {code}, which are {size} bytes, at {place}")
    return place[0], place[1], name


def read_array(raw: Any, start: int, entry: dict, shared: bool = False) -> np.ndarray:
    """One array of a file that was checked; bfloat16 as float32. shared: on the file's own memory, if that can be."""
    dtype, (begin, end) = np.dtype(_CODES[entry["dtype"]]), entry["data_offsets"]
    array = np.frombuffer(raw, dtype, (end - begin) // dtype.itemsize, start + begin) if end > begin else None
    array = np.empty(0, dtype) if array is None else array
    return plain(array, entry["dtype"] == "BF16", shared).reshape(entry["shape"])


def plain(array: np.ndarray, brain: bool, shared: bool) -> np.ndarray:
    """An array of one row as minidl computes with it: native, aligned, writable; brain: its uint16 are bfloat16.

    A bfloat16 is the upper half of the float32 of the same value.
    """
    if brain:
        wide = array.astype(np.uint32)
        return np.left_shift(wide, 16, out=wide).view(np.float32)
    if array.dtype == bool and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("it holds bools other than 0 and 1")
    if shared and array.flags.writeable and array.flags.aligned and array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))
