"""Samples into batches: how tensors, arrays, numbers, strings and containers of them are put side by side."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of
from ..modes import mode
from ..tensor import Tensor, wrap

_WANTED = "expected tensors, NumPy arrays, numbers, strings, or tuples, lists and dicts of them"


def default_collate(batch: Sequence[Any]) -> Any:
    """Put the samples of a batch side by side; what DataLoader does where no `collate_fn` is given.

    Tensors and arrays of shape (...) become a Tensor of shape (N, ...); ints an int64, bools a bool and
    floats a float64 Tensor of shape (N,); strings and bytes stay as they are. Samples that are dicts or
    namedtuples are put together key by key, tuples and lists position by position (which gives a list).

    Raises:
        RuntimeError: samples differ in shape or length.
        TypeError: a sample is of another type.
        ValueError: the batch is empty.

    >>> [x.array for x in default_collate([(1.5, 0), (2.5, 1)])]
    [array([1.5, 2.5]), array([0, 1])]
    """
    if len(batch) == 0:
        raise ValueError("default_collate: the batch is empty, expected at least one sample")
    first = batch[0]
    if isinstance(first, (Tensor, np.ndarray)):
        return _stack(batch)
    if isinstance(first, (np.bool_, np.number)):
        return wrap(np.asarray(batch))
    if isinstance(first, (int, float)):
        return _numbers(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like_mapping(first, {key: default_collate(_column(batch, key)) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[default_collate(column) for column in _columns(batch)])
    if isinstance(first, Sequence):
        return _like_sequence(first, [default_collate(column) for column in _columns(batch)])
    raise TypeError(f"default_collate: {_WANTED}, got {type(first).__name__}")


def default_convert(data: Any) -> Any:
    """NumPy arrays and numbers, also inside containers, as Tensors, all else as it is: what DataLoader does
    with a single sample (`batch_size=None`).

    >>> default_convert({"x": np.zeros(2), "name": "a"})["name"]
    'a'
    """
    if isinstance(data, np.ndarray) and data.dtype.kind in "SUO":
        return data
    if isinstance(data, (np.ndarray, np.bool_, np.number)):
        return wrap(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(value) for value in data])
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(value) for value in data])
    return data


def _stack(batch: Sequence[Any]) -> Tensor:
    tensors = []
    for x in batch:
        if isinstance(x, np.ndarray) and x.dtype.kind in "SUO":
            raise TypeError(f"default_collate: {_WANTED}, got an array of dtype {x.dtype}")
        if not isinstance(x, (Tensor, np.ndarray, np.generic)):
            raise TypeError(f"default_collate: some samples are tensors or arrays, but one is a {type(x).__name__}")
        tensors.append(x if isinstance(x, Tensor) else wrap(x))
    shape = tensors[0].array.shape
    for i, t in enumerate(tensors):
        if t.array.shape != shape:
            raise RuntimeError(
                "default_collate: expected samples of one shape, got "
                f"{tuple(shape)} at position 0 of the batch and {tuple(t.array.shape)} at position {i}; "
                "make them equal, or pass a collate_fn that pads them"
            )
    return backend_of(tensors[0]).stack(tensors)  # an op: samples may differ in dtype, or need a gradient


def _numbers(batch: Sequence[Any]) -> Tensor:
    for x in batch:
        if not isinstance(x, (int, float, np.number, np.bool_)):
            raise TypeError(f"default_collate: some samples are numbers, but one is a {type(x).__name__}")
    if isinstance(batch[0], float):
        return wrap(np.array(batch, dtype=np.float64))
    values = np.array(batch)
    if values.dtype.kind == "f":
        values = values.astype(mode.dtype)
    elif values.dtype.kind not in "bi":
        raise ValueError(f"default_collate: an integer does not fit int64: {max(batch, key=abs)}")
    return wrap(values)


def _columns(batch: Sequence[Any]) -> list[tuple]:
    for i, sample in enumerate(batch):
        if not isinstance(sample, Sequence):
            raise TypeError(f"default_collate: some samples are sequences, but one is a {type(sample).__name__}")
        if len(sample) != len(batch[0]):
            raise RuntimeError(
                "default_collate: each element in list of batch should be of equal size; got "
                f"{len(batch[0])} at position 0 of the batch and {len(sample)} at position {i}"
            )
    return list(zip(*batch, strict=True))


def _column(batch: Sequence[Any], key: Any) -> list:
    for i, sample in enumerate(batch):
        if not isinstance(sample, Mapping) or key not in sample:
            raise KeyError(
                f"default_collate: the sample at position {i} of the batch has no {key!r}, the first one has"
            )
    return [sample[key] for sample in batch]


def _like_mapping(model: Mapping, items: dict) -> Any:
    """The items in a mapping of the model's type; a plain dict if that type cannot be made so."""
    if type(model) is dict:
        return items
    try:
        if isinstance(model, MutableMapping):
            same = copy.copy(model)  # keeps what the type holds besides its items, such as a default factory
            same.update(items)
            return same
        make: Callable = type(model)
        return make(items)
    except TypeError:
        return items


def _like_sequence(model: Sequence, items: list) -> Any:
    """The items in a sequence of the model's type; a plain list for a tuple or if that type cannot be made
    so.
    """
    if isinstance(model, tuple) or type(model) is list:
        return items
    try:
        make: Callable = type(model)
        return make(items)
    except TypeError:
        return items
