"""The functions of the package safetensors' `torch` module, for the Tensors and Modules here.

Files of either side are read by the other. A program that says `from safetensors.torch import save_file` says here
`from minidl.serialization.safetensors import save_file`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..backend import backend_of, device
from ..tensor import Tensor
from .files import read_source, write_file
from .layout import header, pack, read_array, read_header
from .locations import placed
from .structure import same_memory

__all__ = ["load", "load_file", "load_model", "safe_open", "save", "save_file", "save_model"]


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file of the Tensors.

    Raises:
        TypeError: they are not Tensors under strings, or the metadata are not strings.
        RuntimeError: several share memory, in whole or in part, which the format has no word for; see `save_model`.
    """
    shared = _overlapping(tensors)
    if shared:
        raise RuntimeError(f"save: these Tensors share memory: {shared}; use save_model, or clone() them")
    return _packed(tensors, metadata)


def save_file(
    tensors: Mapping[str, Tensor], filename: str | os.PathLike, metadata: Mapping[str, str] | None = None
) -> None:
    """Write `save` of the Tensors into a file, which appears whole or not at all.

    >>> from minidl.tensor import Tensor
    >>> save_file({"weight": Tensor(np.ones(2))}, "weights.safetensors", metadata={"format": "pt"})
    >>> load_file("weights.safetensors")["weight"].shape
    minidl.Size([2])
    """
    write_file(filename, save(tensors, metadata))


def load(data: bytes) -> dict[str, Tensor]:
    """The Tensors in the bytes of a safetensors file; bfloat16 as float32."""
    return _unpacked(data, "the data", device("cpu"))


def load_file(filename: str | os.PathLike, device: str | int | device = "cpu") -> dict[str, Tensor]:
    """The Tensors of a safetensors file, on a device; bfloat16 as float32.

    Raises:
        ValueError: the file is damaged, or holds a dtype that minidl does not have.
    """
    raw, name = read_source(filename, "load_file")
    return _unpacked(raw, name, _device(device))


def save_model(
    model: Any, filename: str | os.PathLike, metadata: Mapping[str, str] | None = None, force_contiguous: bool = True
) -> None:
    """Write the state of a Module; of Tensors that share memory the one with all of it, and in the metadata the others.

    force_contiguous: the memory in the file is always contiguous.

    Raises:
        RuntimeError: Tensors share memory of which none of them has all.
    """
    state, notes = dict(model.state_dict()), dict(metadata or {})
    for group in _overlapping(state):
        kept = _whole({name: state[name].array for name in group})
        if kept is None:
            raise RuntimeError(f"save_model: these Tensors share memory of which none has all: {group}; clone() them")
        others = [name for name in group if name != kept]
        for name in others:
            notes.setdefault(name, kept)
            del state[name]
    write_file(filename, _packed(state, notes))


def load_model(
    model: Any, filename: str | os.PathLike, strict: bool = True, device: str | int | device = "cpu"
) -> tuple[set[str], list[str]]:
    """Load a file into a Module; returns the names that are missing and those that are not expected.

    Names of memory that is in the file under another name are not missing.

    Raises:
        RuntimeError: with strict, if there are such names; nothing was changed.
    """
    state, own = load_file(filename, device), model.state_dict()
    given = dict(state)
    within: set[str] = set()  # on the memory of others that are in the file
    for group in _overlapping(own):
        known = [name for name in group if name in state]
        within.update(group if known else ())
        for name in group:
            twins = [n for n in known if same_memory(own[n].array) == same_memory(own[name].array)]
            if twins:
                given.setdefault(name, given[twins[0]])
    missing = {name for name in own if name not in given and name not in within}
    unexpected = [name for name in state if name not in own]
    if strict and (missing or unexpected):
        text = f"load_model: {filename} does not fit {type(model).__name__}"
        text += f"\n    Missing key(s) in state_dict: {sorted(missing)}" if missing else ""
        raise RuntimeError(
            text + (f"\n    Unexpected key(s) in state_dict: {sorted(unexpected)}" if unexpected else "")
        )
    model.load_state_dict(given, strict=False)
    return missing, unexpected


class safe_open:
    """A safetensors file whose Tensors are read one by one: `with safe_open(path, framework="pt") as f:`.

    framework: "pt" (Tensors) or "np" (NumPy arrays). device: where the Tensors shall lie.

    >>> from minidl.tensor import Tensor
    >>> save_file({"weight": Tensor(np.ones(2))}, "weights.safetensors")
    >>> with safe_open("weights.safetensors", framework="pt") as f:
    ...     f.keys(), f.get_tensor("weight").tolist()
    (['weight'], [1.0, 1.0])
    """

    def __init__(self, filename: str | os.PathLike, framework: str, device: str | int | device = "cpu") -> None:
        if framework not in ("pt", "torch", "pytorch", "np", "numpy"):
            raise ValueError(f"safe_open: framework must be 'pt' or 'np', got {framework!r}")
        self._framework, self._device = framework, _device(device)
        self._raw, name = read_source(filename, "safe_open", True)
        self._entries, self._notes, self._start = _header(self._raw, name)

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, *exc) -> None:
        pass

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names of the Tensors."""
        return sorted(self._entries)

    def metadata(self) -> dict[str, str] | None:
        """The strings beside them."""
        return self._notes or None

    def get_tensor(self, name: str) -> Any:
        """One of them."""
        if name not in self._entries:
            raise KeyError(f"safe_open: there is no {name!r}, only {', '.join(self.keys())}")
        return self._given(read_array(self._raw, self._start, self._entries[name]))

    def get_slice(self, name: str) -> TensorSlice:
        """One of them, of which only what is then indexed is read: `f.get_slice("weight")[:2]`."""
        if name not in self._entries:
            raise KeyError(f"safe_open: there is no {name!r}, only {', '.join(self.keys())}")
        return TensorSlice(self._raw, self._start, self._entries[name], self._given)

    def _given(self, array: np.ndarray) -> Any:
        return array if self._framework in ("np", "numpy") else placed(array, self._device)


class TensorSlice:
    """A Tensor in a file, of which parts are read by indexing it with numbers, slices and `...`.

    >>> from minidl.tensor import Tensor
    >>> save_file({"weight": Tensor(np.arange(6.0).reshape(3, 2))}, "weights.safetensors")
    >>> with safe_open("weights.safetensors", framework="pt") as f:
    ...     part = f.get_slice("weight")
    ...     part.get_shape(), part.get_dtype(), part[1:, 0].tolist()
    ([3, 2], 'F32', [2.0, 4.0])
    """

    def __init__(self, raw: Any, start: int, entry: dict, given: Callable[[np.ndarray], Any]) -> None:
        self._raw, self._start, self._entry, self._given = raw, start, entry, given

    def get_shape(self) -> list[int]:
        """Its shape."""
        return list(self._entry["shape"])

    def get_dtype(self) -> str:
        """Its dtype, by the format's name."""
        return self._entry["dtype"]

    def __getitem__(self, index: Any) -> Any:
        for part in index if isinstance(index, tuple) else (index,):
            if not (isinstance(part, (int, slice)) or part is Ellipsis) or isinstance(part, bool):
                raise TypeError(f"get_slice: expected numbers, slices and ..., got {type(part).__name__} {part!r:.40}")
        return self._given(np.array(read_array(self._raw, self._start, self._entry, True)[index]))


def _device(where: Any) -> device:
    return where if isinstance(where, device) else device(where)


def _header(raw: Any, name: str) -> tuple[dict[str, dict], dict[str, str], int]:
    try:
        return read_header(raw, len(raw))
    except ValueError as error:
        raise ValueError(f"{name} is damaged, or is no safetensors file of dtypes that minidl has ({error})") from None


def _unpacked(raw: Any, name: str, where: device) -> dict[str, Tensor]:
    entries, _, start = _header(raw, name)
    try:
        return {key: placed(read_array(raw, start, entry), where) for key, entry in entries.items()}
    except ValueError as error:
        raise ValueError(f"{name} is damaged ({error})") from None


def _packed(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> bytes:
    notes = dict(metadata or {})
    if not all(isinstance(text, str) for item in notes.items() for text in item):
        raise TypeError(f"save: metadata should map strings to strings, got {notes!r}")
    arrays: dict[str, np.ndarray] = {}
    for name, t in tensors.items():
        if not isinstance(name, str) or not isinstance(t, Tensor) or name == "__metadata__":
            raise TypeError(f"save: expected Tensors under strings, got {type(t).__name__} under {name!r}")
        arrays[name] = backend_of(t.array).to_host(t.array)
    entries, data = pack(arrays)
    return header(entries, notes) + data


def _bounds(array: Any) -> tuple[int, int]:
    """Where the memory of an array on the host begins and ends."""
    begin = end = array.__array_interface__["data"][0]
    for n, step in zip(array.shape, array.strides, strict=True):
        begin, end = begin + min(0, (n - 1) * step), end + max(0, (n - 1) * step)
    return begin, end + array.itemsize


def _whole(arrays: dict[str, Any]) -> str | None:
    """The first of arrays that share memory which has all of it; on a GPU they are one array."""
    if not all(isinstance(a, np.ndarray) for a in arrays.values()):
        return next(iter(arrays))
    bounds = {name: _bounds(a) for name, a in arrays.items()}
    begin, end = min(b for b, _ in bounds.values()), max(e for _, e in bounds.values())
    return next((name for name, a in arrays.items() if bounds[name] == (begin, end) and a.nbytes == end - begin), None)


def _overlapping(tensors: Mapping[str, Any]) -> list[list[str]]:
    """The names of Tensors that share memory, in groups; on a GPU of those that are one array."""
    groups: dict[Any, list[str]] = {}
    placed_at: list[tuple[int, int, str]] = []
    for name in sorted(tensors):
        array = getattr(tensors[name], "array", None)
        if isinstance(array, np.ndarray) and array.size:
            placed_at.append((*_bounds(array), name))
        elif array is not None and array.size:
            groups.setdefault(id(array), []).append(name)
    last = -1
    for begin, end, name in sorted(placed_at):
        if begin >= last:
            key = ("host", begin)
        groups.setdefault(key, []).append(name)
        last = max(last, end)
    return [sorted(names) for names in groups.values() if len(names) > 1]
