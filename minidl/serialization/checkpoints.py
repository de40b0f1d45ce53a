"""`save` and `load`: a file is written as safetensors, and read if it is that or was written by torch.save."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..backend import device
from .archives import is_archive, read_archive
from .files import read_source, write_file
from .layout import LONGEST_HEADER, header, header_length, looks_like, pack, read_array, read_header
from .locations import Storage, located, placed
from .structure import Decoder, Encoder

_KEY = "minidl"  # of our own entry in the metadata
_VERSION = 2

Location = str | device | Mapping[str, str] | Callable | None


def save(
    obj: Any,
    f: str | os.PathLike | BinaryIO,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `obj`, such as a `state_dict()` or a dict of several and some numbers, as a safetensors file.

    obj: Tensors, NumPy arrays, numbers, strings, bytes and None, dtypes, devices, paths, sizes, ranges and slices, in
    dicts, lists, tuples, sets and namespaces. They come back as what they were, with these exceptions: a named tuple as
    a tuple, a NumPy number as a number, a subclass of dict as a dict (OrderedDict, Counter and defaultdict stay what
    they are). Parameters stay Parameters, `requires_grad` is kept, and what shares all its memory (tied weights) is
    written once and shares it again. f: a path, or a file that is open for writing bytes. metadata: strings to put
    beside them, for `read_metadata`. The Tensors lie in the file under their keys, joined by dots; the same `obj`
    always gives the same bytes. At a path the file appears whole or not at all: it is written under a temporary name in
    the same folder, flushed to the disk and renamed.

    Nothing is ever pickled, whatever the suffix. The arguments of PyTorch's that say how to pickle are checked, and
    change nothing; a `pickle_module` other than `pickle` is refused.

    Raises:
        TypeError: something else is in `obj` (a Module or an Optimizer: save its `state_dict()`), or the metadata are
            not strings.
        ValueError: `obj` contains itself, or is nested too deeply; or `pickle_module` is given.
        OSError: the file cannot be written; a file that was there before is unharmed.

    >>> from minidl.tensor import Tensor
    >>> save({"weight": Tensor(np.ones(2)), "epoch": 3}, "model.safetensors")
    >>> load("model.safetensors")["epoch"]
    3
    """
    _check_pickling("save", pickle_module)
    if isinstance(pickle_protocol, bool) or not isinstance(pickle_protocol, int):
        raise TypeError(f"save: pickle_protocol must be a number, got {pickle_protocol!r}")
    notes = dict(metadata or {})
    if _KEY in notes or not all(isinstance(text, str) for item in notes.items() for text in item):
        raise TypeError(f"save: metadata should map strings to strings, none of them called {_KEY!r}; got {notes!r}")
    encoder = Encoder()
    try:
        structure = encoder.encode(obj)
        entries, data = pack(encoder.arrays)
        notes[_KEY] = json.dumps({"version": _VERSION, "digest": _digest(data), "structure": structure})
    except RecursionError:
        raise ValueError("save: the object contains itself, or is nested too deeply") from None
    start = header(entries, notes)
    if hasattr(f, "write"):
        f.write(start)
        f.write(data)
    elif isinstance(f, (str, os.PathLike)):
        write_file(f, start, data)
    else:
        raise TypeError(f"save: expected a path or a file that is open for writing, got {type(f).__name__}")


def load(
    f: str | os.PathLike | BinaryIO,
    map_location: Location = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    encoding: str = "utf-8",
) -> Any:
    """What `save` wrote, the dict of Tensors in any other safetensors file, or what PyTorch's `torch.save` wrote.

    f: a path, or a file that is open for reading bytes. map_location: the device of the Tensors (default: the CPU), as
    a device or its name, a dict {"cuda:0": "cpu"} from the locations in the file to others, or a function of (storage,
    location) that returns the storage, `storage.cpu()` or `storage.cuda()`. mmap: leave the numbers in the file until
    they are needed; what is changed stays in memory. encoding: of strings that Python 2 pickled.

    Everything is checked before memory is taken and anything returned: sizes, places, checksums, and of files by `save`
    a digest. Nothing in a file is ever executed, whatever `weights_only` says: a file by PyTorch may hold Tensors,
    NumPy arrays, and plain values in dicts, lists and tuples; a class or function is refused by its name.

    Raises:
        ValueError: the file is damaged, is of another kind, or holds what minidl has not or will not run.
        OSError: it cannot be read.
    """
    _check_pickling("load", pickle_module)
    for option, value in (("weights_only", weights_only), ("mmap", mmap)):
        if value is not None and not isinstance(value, bool):
            raise TypeError(f"load: {option} must be True, False or None, got {value!r}")
    where = located(map_location, "load")
    raw, name = read_source(f, "load", bool(mmap))
    if not len(raw):
        hint = "; was it read to its end? f.seek(0) winds it back" if hasattr(f, "read") else ""
        raise ValueError(f"load: {name} is damaged: it is empty{hint}")
    if is_archive(raw) and not looks_like(raw):
        try:
            return read_archive(raw, where, encoding, bool(mmap))
        except ValueError as error:
            raise ValueError(f"load: {name} cannot be read: {error}") from None
    try:
        entries, notes, start = read_header(raw, len(raw))
        arrays = {key: read_array(raw, start, entry, bool(mmap)) for key, entry in entries.items()}
    except ValueError as error:
        raise ValueError(
            f"load: {name} is damaged, or is no safetensors file of dtypes that minidl has, and not by torch.save "
            f"({error})"
        ) from None
    tensors = {key: placed(a, where(Storage(a.dtype, a.size), None)) for key, a in arrays.items()}
    return _decoded(notes[_KEY], tensors, memoryview(raw)[start:], name) if _KEY in notes else tensors


def _decoded(note: str, tensors: dict, data: Any, name: str) -> Any:
    """The value around the Tensors, of what `save` noted."""
    try:
        own = json.loads(note)
        version, digest, structure = own["version"], own["digest"], own["structure"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"load: {name} is damaged: what minidl noted in its metadata cannot be read") from None
    if version not in (1, _VERSION):
        raise ValueError(
            f"load: {name} was written in version {version!r} of the format, expected {_VERSION}; use a newer minidl"
        )
    if digest != _digest(data):
        raise ValueError(f"load: {name} is damaged: its data have the digest {_digest(data)}, expected {digest}")
    try:
        return Decoder(tensors).decode(structure)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError):
        raise ValueError(f"load: {name} is damaged: its structure does not fit the Tensors in it") from None


def read_metadata(f: str | os.PathLike | BinaryIO) -> dict[str, str]:
    """The strings that `save` was given as `metadata` (in files by others: all metadata).

    Raises:
        ValueError: the file is not a safetensors file.
    """
    try:
        if hasattr(f, "read"):
            raw, name = read_source(f, "read_metadata")
            start, size = raw, len(raw)
        else:
            name, size = str(f), Path(f).stat().st_size
            with open(f, "rb") as stream:
                start = stream.read(8)
                start += stream.read(length) if (length := header_length(start)) <= min(size, LONGEST_HEADER) else b""
        notes = read_header(start, size)[1]
    except ValueError as error:
        raise ValueError(f"read_metadata: {name} is damaged, or is no safetensors file ({error})") from None
    return {key: text for key, text in notes.items() if key != _KEY}


def _digest(data: Any) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _check_pickling(where: str, module: Any) -> None:
    if module is not None and getattr(module, "__name__", None) not in ("pickle", "_pickle"):
        raise ValueError(f"{where}: pickle_module={module!r} would change nothing: nothing is pickled; leave it out")
