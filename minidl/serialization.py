"""Saving and loading Tensors as safetensors files: whole or not at all, checked before use, never pickled.

Nested dicts, lists and plain values around the Tensors are kept as JSON in the file's metadata, so that a checkpoint is
one file that any safetensors reader can open.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from .backend import BACKENDS, backend_of, get_backend
from .backend import device as _device
from .backend.dtypes import as_dtype
from .tensor import Tensor, wrap

_KEY = "minidl"  # of our own entry in the metadata
_PLAIN = (bool, int, float, str, type(None))


def save(obj: Any, f: str | os.PathLike | BinaryIO, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write `obj`, such as a `state_dict()` or a dict of several and some numbers, as a safetensors file.

    obj: Tensors, NumPy arrays, numbers, strings and None, in dicts, lists and tuples. f: a path, or a file that is
    open for writing bytes. metadata: strings to put beside them, for `read_metadata`. The Tensors lie in the file
    under their keys, joined by dots; the same `obj` always gives the same bytes. At a path the file appears whole or
    not at all: it is written under a temporary name in the same folder, flushed to the disk and renamed.

    Raises:
        TypeError: something else is in `obj`, or the metadata are not strings.
        OSError: the file cannot be written; a file that was there before is unharmed.

    >>> save({"weight": Tensor(np.ones(2)), "epoch": 3}, "model.safetensors")
    >>> load("model.safetensors")["epoch"]
    3
    """
    arrays: dict[str, np.ndarray] = {}
    structure = _encode(obj, (), arrays)
    notes = dict(metadata or {})
    if _KEY in notes or not all(isinstance(text, str) for item in notes.items() for text in item):
        raise TypeError(f"save: metadata should map strings to strings, none of them called {_KEY!r}; got {notes!r}")
    raw = safetensors.save(arrays)
    header, data = _split(raw)
    notes[_KEY] = json.dumps({"version": 1, "digest": _digest(data), "structure": structure})
    # written by hand because the library orders the metadata differently in every process
    header = {"__metadata__": {key: notes[key] for key in sorted(notes)}, **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    raw = len(text).to_bytes(8, "little") + text + data
    if hasattr(f, "write"):
        f.write(raw)
    else:
        write_file(f, raw)


def load(
    f: str | os.PathLike | BinaryIO, map_location: str | _device | None = None, *, weights_only: bool = True
) -> Any:
    """What `save` wrote, or the dict of Tensors in any other safetensors file.

    f: a path, or a file that is open for reading bytes. map_location: the device of the Tensors (default: the CPU).
    Everything is checked before anything is returned: the header, the sizes, and of files by `save` a digest of the
    data. Nothing in a file is ever executed, so `weights_only=True`, as PyTorch has it, is all there is.

    Raises:
        ValueError: the file is damaged, is not a safetensors file, or holds a dtype that minidl does not have; or
            `weights_only` is False.
        OSError: it cannot be read.
    """
    if not weights_only:
        raise ValueError("load: weights_only=False would need pickle, which is never read; leave it out")
    raw, name = _read(f)
    where = _device("cpu" if map_location is None else map_location)
    backend = get_backend(where)
    try:
        arrays = safetensors.load(raw)
        header, data = _split(raw)
        for array in arrays.values():
            as_dtype(array.dtype)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"load: {name} is damaged, or is no safetensors file of dtypes that minidl has ({error})"
        ) from None
    tensors = {key: wrap(backend.from_host(_owned(array), where)) for key, array in arrays.items()}
    notes = _notes(header).get(_KEY)
    if notes is None:
        return tensors
    try:
        own = json.loads(notes)
        version, digest, structure = own["version"], own["digest"], own["structure"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"load: {name} is damaged: what minidl noted in its metadata cannot be read") from None
    if version != 1:
        raise ValueError(
            f"load: {name} was written in version {version!r} of the format, expected 1; use a newer minidl"
        )
    if digest != _digest(data):
        raise ValueError(f"load: {name} is damaged: its data have the digest {_digest(data)}, expected {digest}")
    try:
        return _decode(structure, tensors)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"load: {name} is damaged: its structure does not fit the Tensors in it") from None


def read_metadata(f: str | os.PathLike | BinaryIO) -> dict[str, str]:
    """The strings that `save` was given as `metadata` (in files by others: all metadata).

    Raises:
        ValueError: the file is not a safetensors file.
    """
    raw, name = _read(f)
    try:
        safetensors.load(raw)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"read_metadata: {name} is damaged, or is no safetensors file ({error})") from None
    return {key: text for key, text in _notes(_split(raw)[0]).items() if key != _KEY}


def write_file(path: str | os.PathLike, data: bytes) -> None:
    """Write a file whole or not at all: under a temporary name in the same folder, flushed to the disk, then renamed.

    Raises:
        OSError: it cannot be written; names `path`. A file that was there before is unharmed.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        try:
            with open(partial, "xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    if os.name == "posix":
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the file system knows how to."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)


def _read(f) -> tuple[bytes, str]:
    if hasattr(f, "read"):
        return f.read(), str(getattr(f, "name", "the file"))
    return Path(f).read_bytes(), str(f)


def _split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the data of a safetensors file: 8 bytes of length (little-endian), JSON, data."""
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def _notes(header: dict[str, Any]) -> dict[str, str]:
    return header.get("__metadata__") or {}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _owned(array: np.ndarray) -> np.ndarray:
    return array if array.flags.writeable and array.flags.owndata else array.copy()


def _encode(value: Any, path: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON; its arrays go to `arrays`, and {"$tensor": name} stands in their place."""
    if isinstance(value, Tensor):
        value = value.array
    if value.__class__ in BACKENDS:
        host = backend_of(value).to_host(value)
        # the library takes the memory as it lies, so it has to lie in C order, and little-endian
        host = np.array(host, dtype=host.dtype.newbyteorder("<"), order="C", copy=None)
        as_dtype(host.dtype)
        name = ".".join(path) or "tensor"
        while name in arrays or name == "__metadata__":
            name += "'"
        arrays[name] = host
        return {"$tensor": name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _encode(item, (*path, key), arrays) for key, item in value.items()}
        keys = [_encode(key, (*path, f"the key {key!r}"), {}) for key in value]
        items = [_encode(item, (*path, str(key)), arrays) for key, item in value.items()]
        return {"$dict": [list(pair) for pair in zip(keys, items, strict=True)]}
    if isinstance(value, (list, tuple)):
        items = [_encode(item, (*path, str(i)), arrays) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(
        f"save: {'.'.join(path) or 'the object'} is a {type(value).__name__}; expected Tensors, arrays, numbers, "
        "strings and None, in dicts, lists and tuples"
    )


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (kind, content), *_ = value.items()
        if kind == "$tensor":
            return tensors[content]
        if kind == "$tuple":
            return tuple(_decode(content, tensors))
        if kind == "$dict":
            return {_decode(key, tensors): _decode(item, tensors) for key, item in content}
    return {key: _decode(item, tensors) for key, item in value.items()}
