"""The loss of sequences whose alignment with their targets is not known: connectionist temporal classification."""

from __future__ import annotations

import numpy as np

from ... import functions as F
from ...amp.casting import whole
from ...backend import backend_of
from ...ops import loss as O
from ...tensor import Tensor, wrap
from ..checks import a_tensor, floating
from .base import Loss, check_reduction, reduced

WHERE = "ctc_loss"


def _host(x, name: str) -> np.ndarray:
    """Integers of a Tensor, a list, a tuple or one int as an array of the host."""
    if isinstance(x, Tensor):
        x = backend_of(x.array).to_host(x.array)
    array = np.asarray(x)
    if array.size and array.dtype.kind not in "iu":
        raise RuntimeError(f"{WHERE}: {name} must be integers, got {array.dtype}")
    return array.astype(np.int64)


def _lengths(x, name: str, count: int, single: bool, most: int) -> np.ndarray:
    """One length for each sequence, none above `most`."""
    found = _host(x, name)
    if found.shape != (count,) and not (single and found.shape == ()):
        raise RuntimeError(f"{WHERE}: expected {name} of shape ({count},), one for each sequence, got {found.shape}")
    if found.size and (found.min() < 0 or found.max() > most):
        raise RuntimeError(f"{WHERE}: {name} must be between 0 and {most}, got {found.tolist()}")
    return found.reshape(count)


def _padded(targets: Tensor, lengths: np.ndarray, classes: int) -> np.ndarray:
    """The targets as (N, S), whatever stands after the end of each, checked."""
    given = _host(targets if targets.array.dtype.kind in "iu" else targets.long(), "targets")
    longest = int(lengths.max(initial=0))
    if given.ndim == 1:
        if len(given) != lengths.sum():
            raise RuntimeError(
                f"{WHERE}: targets of one dimension must hold the {lengths.sum()} classes of all sequences, got "
                f"{len(given)}"
            )
        rows = np.zeros((len(lengths), longest), dtype=np.int64)
        rows[np.arange(longest) < lengths[:, None]] = given
        given = rows
    if given.ndim != 2 or len(given) != len(lengths) or given.shape[1] < longest:
        raise RuntimeError(
            f"{WHERE}: expected targets ({len(lengths)}, at least {longest}) or ({lengths.sum()},), got "
            f"{tuple(targets.shape)}"
        )
    given = given[:, :longest]
    bad = given[(np.arange(longest) < lengths[:, None]) & ((given < 0) | (given >= classes))]
    if bad.size:
        raise IndexError(f"{WHERE}: class {bad[0]} in targets is out of range for {classes} classes")
    return given


@whole
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths,
    target_lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that the classes at each step, without repetitions and then without blanks, are targets.

    Shape: log_probs (T, N, C), as after `log_softmax`, or (T, C); targets (N, S) of classes, or all in one row, or
    (S,); input_lengths and target_lengths (N,), or one number: ints in a list, a tuple or a Tensor. reduction 'mean'
    divides each loss by the length of its target and takes the mean, 'none' gives (N,) or (). zero_infinity: where the
    input is too short for the target the loss is infinite; this makes it and its gradient 0. Graves et al., 2006.

    The gradient is that of this formula for any log_probs; PyTorch's adds exp(log_probs), which is the same once it has
    gone back through `log_softmax`. It can be differentiated again.

    >>> log_probs = F.log_softmax(F.zeros(3, 1, 4), 2)  # 64 ways, of which 5 give the target 1, 2
    >>> loss = ctc_loss(log_probs, F.tensor([[1, 2]]), [3], [2], reduction="sum")
    >>> round(64 * F.exp(-loss).item(), 3)
    5.0
    """
    check_reduction(WHERE, reduction)
    x = floating(log_probs, WHERE, "log_probs")
    if x.array.ndim not in (2, 3):
        raise RuntimeError(f"{WHERE}: expected log_probs (T, N, C) or (T, C), got {tuple(x.shape)}")
    if x.array.dtype.itemsize == 2:
        raise NotImplementedError(f"{WHERE}: log_probs of {x.dtype} are not supported; use log_probs.float()")
    single = x.array.ndim == 2
    x = F.unsqueeze(x, 1) if single else x
    steps, count, classes = x.array.shape
    if isinstance(blank, bool) or not isinstance(blank, (int, np.integer)) or not 0 <= blank < classes:
        raise RuntimeError(f"{WHERE}: blank must be one of the {classes} classes, got {blank!r}")
    times = _lengths(input_lengths, "input_lengths", count, single, steps)
    a_tensor(targets, WHERE, "targets")
    most = targets.array.shape[-1] if targets.array.ndim else 0
    sizes = _lengths(target_lengths, "target_lengths", count, single, most)
    labels = _padded(targets, sizes, classes)
    path = np.full((count, 2 * labels.shape[1] + 1), blank)  # a blank before and after each class
    path[:, 1::2] = np.where(np.arange(labels.shape[1]) < sizes[:, None], labels, blank)
    skip = np.zeros(path.shape, dtype=bool)
    skip[:, 2:] = (path[:, 2:] != blank) & (path[:, 2:] != path[:, :-2])
    place = np.arange(path.shape[1])
    ends = (place == 2 * sizes[:, None]) | (place == 2 * sizes[:, None] - 1)
    start = np.broadcast_to(np.where(place == 0, 0.0, 1.0), path.shape).astype(x.array.dtype)
    live = (np.arange(steps)[:, None] < times)[:, :, None]
    B = backend_of(x.array)
    where = B.device_of(x.array)
    tables = [wrap(B.from_host(a, where)) for a in (start, path, skip, live, ends)]
    loss = O.ctc_loss(x, *tables, zero_infinity=bool(zero_infinity))
    if reduction == "mean":
        loss = loss / wrap(B.from_host(np.maximum(sizes, 1).astype(x.array.dtype), where))
    return reduced(F.squeeze(loss, 0) if single else loss, reduction)


class CTCLoss(Loss):
    """-log of the probability of the targets, however they are aligned with the steps; see `ctc_loss` for shapes."""

    function, arguments = ctc_loss, ("blank", "zero_infinity")

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths, target_lengths) -> Tensor:
        """The loss of all sequences, with the lengths of each."""
        return self.compute(log_probs, targets, input_lengths, target_lengths)
