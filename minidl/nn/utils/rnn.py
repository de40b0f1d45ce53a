"""Sequences of several lengths in one batch: padded to the longest, or packed step by step for recurrent layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ... import functions as F
from ...backend import backend_of
from ...backend import dtypes as D
from ...ops import elementwise as E
from ...ops import shape as S
from ...tensor import Tensor, wrap
from ..checks import a_tensor

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence", "pad_sequence"]
__all__ += ["unpad_sequence", "pack_sequence", "unpack_sequence"]


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """A batch of sequences of several lengths without padding: all first steps, then all second steps, and so on.

    data (sum of lengths, ...); batch_sizes (T,), on the CPU: how many sequences are longer than each step;
    sorted_indices (N,): which sequence stands at each place, the longest first, and unsorted_indices its inverse, both
    None if they came in this order. Made by `pack_sequence` and `pack_padded_sequence`.
    """

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None) -> PackedSequence:
        """Also from the pair (data, batch_sizes); unsorted_indices follow from sorted_indices if not given."""
        if batch_sizes is None:
            if not isinstance(data, (tuple, list)) or len(data) != 2:
                raise TypeError("PackedSequence: expected data and batch_sizes, or a pair of them")
            data, batch_sizes = data
        if a_tensor(batch_sizes, "PackedSequence", "batch_sizes").device.type != "cpu":
            raise ValueError(f"PackedSequence: batch_sizes must be on the CPU, they are on {batch_sizes.device}")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """`data.to(...)`, with the indices on the same device; itself if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [None if i is None else i.to(data.device) for i in self[2:]]
        return type(self)(data, self.batch_sizes, *indices)

    def cuda(self, device=None, non_blocking: bool = False) -> PackedSequence:
        """`to("cuda")`, or to the GPU given."""
        return self.to("cuda" if device is None else device)

    def cpu(self) -> PackedSequence:
        """`to("cpu")`."""
        return self.to("cpu")

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self.to(dtype=D.float64)

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self.to(dtype=D.float32)

    def half(self) -> PackedSequence:
        """The data as float16."""
        return self.to(dtype=D.float16)

    def long(self) -> PackedSequence:
        """The data as int64."""
        return self.to(dtype=D.int64)

    def int(self) -> PackedSequence:
        """The data as int32."""
        return self.to(dtype=D.int32)

    def short(self) -> PackedSequence:
        """The data as int16."""
        return self.to(dtype=D.int16)

    def char(self) -> PackedSequence:
        """The data as int8."""
        return self.to(dtype=D.int8)

    def byte(self) -> PackedSequence:
        """The data as uint8."""
        return self.to(dtype=D.uint8)

    def pin_memory(self) -> PackedSequence:
        """Itself: pinned memory only concerns speed elsewhere."""
        return self

    def is_pinned(self) -> bool:
        """False: nothing is."""
        return False

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda


def _like(index: np.ndarray, x: Tensor) -> Tensor:
    """Integers of the host as a Tensor on x's device."""
    B = backend_of(x.array)
    return wrap(B.from_host(index, B.device_of(x.array)))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The inverse of a permutation: inverse[permutation[i]] = i; None of None.

    >>> invert_permutation(F.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    array = a_tensor(permutation, "invert_permutation", "permutation").array
    B = backend_of(array)
    return wrap(B.astype(B.argsort(array), dtype=array.dtype))


def _checked_lengths(lengths, count: int, most: int, where: str) -> np.ndarray:
    """The lengths as an array of the host."""
    if isinstance(lengths, Tensor):
        if lengths.device.type != "cpu":
            raise RuntimeError(f"{where}: lengths must be on the CPU, they are on {lengths.device}; use lengths.cpu()")
        lengths = lengths.array
    given = np.asarray(lengths)
    if given.ndim != 1 or len(given) != count:
        raise RuntimeError(f"{where}: expected lengths of {count} sequences, got {given.tolist()}")
    if not count:
        raise RuntimeError(f"{where}: there must be at least one sequence")
    if given.dtype.kind not in "iuf" or (given != np.floor(given)).any():
        raise TypeError(f"{where}: lengths must be integers, got {given.tolist()}")
    given = given.astype(np.int64)
    if given.min() <= 0 or given.max() > most:
        raise RuntimeError(
            f"{where}: lengths must be between 1 and the {most} steps of the input, got {given.tolist()}"
        )
    return given


def _rows(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(step, sequence) of every packed row, for lengths that do not increase, and the batch sizes."""
    sizes = (np.arange(lengths[0])[:, None] < lengths).sum(axis=1)
    steps = np.repeat(np.arange(lengths[0]), sizes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return steps, np.arange(len(steps)) - starts, sizes


def pack_padded_sequence(
    input: Tensor, lengths, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch: the first lengths[n] steps of each sequence n.

    Shape: input (T, N, ...), or (N, T, ...) if batch_first; lengths (N,) integers, a list or a Tensor on the CPU.
    enforce_sorted: RuntimeError if the longest do not come first; False: they are sorted, and everything that comes
    back from a layer is in the original order.

    >>> pack_padded_sequence(F.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]]), [2, 1, 3], True, enforce_sorted=False)[:3]
    (tensor([4, 1, 3, 5, 2, 6]), tensor([3, 2, 1]), tensor([2, 0, 1]))
    """
    where = "pack_padded_sequence"
    if a_tensor(input, where).array.ndim < 2:
        raise RuntimeError(f"{where}: expected input (T, N, ...) or (N, T, ...), got {tuple(input.shape)}")
    count, most = input.array.shape[:2] if batch_first else input.array.shape[1::-1]
    given = _checked_lengths(lengths, count, most, where)
    order, indices = np.arange(count), None
    if not enforce_sorted:
        order = np.argsort(-given, kind="stable")
        indices = _like(order, input)
    elif (given[1:] > given[:-1]).any():
        raise RuntimeError(
            f"{where}: lengths must not increase with enforce_sorted=True, got {given.tolist()}; pass "
            "enforce_sorted=False"
        )
    steps, places, sizes = _rows(given[order])
    rows = order[places] * most + steps if batch_first else steps * count + order[places]
    flat = F.reshape(input, (count * most, *input.array.shape[2:]))
    data = S.getitem(flat, index=_like(rows, input).array)
    return PackedSequence(data, wrap(sizes.astype(np.int64)), indices)


def _placed(data: Tensor, rows: np.ndarray, shape: tuple, padding_value) -> Tensor:
    """The rows of data at these rows of (A B, ...), everything else the padding, as (A, B, ...)."""
    index, dtype = _like(rows, data).array, data.array.dtype
    if padding_value != 0 or dtype.kind == "b":
        mark = np.zeros((shape[0] * shape[1], *(1,) * (len(shape) - 2)), dtype=bool)
        mark[rows] = True
    flat = (shape[0] * shape[1], *shape[2:])
    if dtype.kind == "b":
        B = backend_of(data.array)
        y = wrap(B.astype(B.index_add(B.astype(data.array, "int64"), index=index, shape=flat), dtype))
    else:
        y = S.index_add(data, index=index, shape=flat)
    if padding_value != 0:
        value = padding_value if dtype.kind == "f" else dtype.type(padding_value).item()
        y = E.where(_like(mark, data), y, value)
    return F.reshape(y, shape)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """(padded batch (T, N, ...), lengths (N,) on the CPU) of a packed one, in the original order.

    batch_first: (N, T, ...). total_length: pad to so many steps (ValueError if that is less than the longest has).
    """
    where = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"{where}: expected a PackedSequence, got {type(sequence).__name__}")
    data, sizes, order = sequence.data, sequence.batch_sizes.array, sequence.sorted_indices
    steps = len(sizes)
    if total_length is not None and total_length < steps:
        raise ValueError(f"{where}: total_length {total_length} is less than the {steps} steps of the longest sequence")
    most, count = steps if total_length is None else total_length, int(sizes[0])
    lengths = (sizes[:, None] > np.arange(count)).sum(axis=0)
    time, places, _ = _rows(lengths)
    if order is not None:
        at = backend_of(order.array).to_host(order.array)
        original = np.empty_like(lengths)
        original[at], lengths, places = lengths, original, at[places]
    rows = places * most + time if batch_first else time * count + places
    shape = (count, most) if batch_first else (most, count)
    padded = _placed(data, rows, (*shape, *data.array.shape[1:]), padding_value)
    return padded, wrap(lengths.astype(np.int64))


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """One batch (T, N, ...), or (N, T, ...) if batch_first, of N sequences (L, ...), padded to the longest.

    padding_side: 'right', after each sequence, or 'left', before it.

    >>> pad_sequence([F.tensor([1, 2, 3]), F.tensor([4])], batch_first=True, padding_value=-1)
    tensor([[ 1,  2,  3],
            [ 4, -1, -1]])
    """
    where = "pad_sequence"
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"{where}: expected several sequences, got {type(sequences).__name__}")
    several = [a_tensor(x, where, "each sequence") for x in sequences]
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"{where}: padding_side must be 'left' or 'right', got {padding_side!r}")
    if not several:
        raise RuntimeError(f"{where}: there must be at least one sequence")
    rest = several[0].array.shape[1:]
    if any(x.array.ndim == 0 or x.array.shape[1:] != rest for x in several):
        shapes = ", ".join(str(tuple(x.shape)) for x in several)
        raise RuntimeError(f"{where}: all sequences must have the same shape but for the first dimension, got {shapes}")
    lengths = np.array([x.array.shape[0] for x in several])
    count, most = len(several), int(lengths.max())
    time = np.concatenate([np.arange(n) + (most - n if padding_side == "left" else 0) for n in lengths])
    places = np.repeat(np.arange(count), lengths)
    rows = places * most + time if batch_first else time * count + places
    shape = (count, most) if batch_first else (most, count)
    several = [x.to(several[0].dtype) for x in several]  # PyTorch's result has the first one's, too
    return _placed(F.cat(several, 0), rows, (*shape, *rest), padding_value)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each with its own length: the inverse of `pad_sequence`."""
    a_tensor(padded_sequences, "unpad_sequence", "padded_sequences")
    given = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    count = padded_sequences.array.shape[0 if batch_first else 1]
    if len(given) != count:
        raise ValueError(f"unpad_sequence: expected lengths of {count} sequences, got {given}")
    several = F.unbind(padded_sequences, 0 if batch_first else 1)
    return [x[:n] for x, n in zip(several, given, strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (L, ...) of several lengths; see `pack_padded_sequence`.

    >>> pack_sequence([F.tensor([1, 2, 3]), F.tensor([4, 5]), F.tensor([6])])[:2]
    (tensor([1, 4, 6, 2, 5, 3]), tensor([3, 2, 1]))
    """
    several = list(sequences)
    return pack_padded_sequence(pad_sequence(several), [x.shape[0] for x in several], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, each with its own length, in the original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
