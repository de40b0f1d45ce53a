"""What is measured: accuracy, confusions, and totals over batches that are read from the device only when asked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend import backend_of
from ..modes import no_grad
from ..nn import Module
from ..tensor import Tensor


def accuracy(input: Tensor, target: Tensor) -> float:
    """The share of rows of `input` whose largest entry stands at the row's target, in 0 ... 1.

    Shape:
        input (N, C), target (N,) of class numbers.

    Raises:
        ValueError: the shapes are others, or N is 0.

    >>> accuracy(Tensor([[0.1, 0.9], [0.8, 0.2]]), minidl.tensor([1, 1]))
    0.5
    """
    if input.ndim != 2 or target.ndim != 1 or input.shape[0] != target.shape[0] or input.shape[0] == 0:
        raise ValueError(
            f"accuracy: expected input (N, C) and target (N,), got {tuple(input.shape)} and {tuple(target.shape)}"
        )
    return float(_hits(input, target)) / input.shape[0]


def _hits(input: Tensor, target: Tensor) -> Any:
    B = backend_of(input.array)
    return B.sum(B.argmax(input.array, axis=1) == target.array)


def confusion(model: Module, data: Iterable[Any], classes: int) -> np.ndarray:
    """How often `model`, in eval mode, takes a sample of class i for one of class j: row i, column j, int64.

    data: batches `(input, target)`, the targets class numbers below `classes`. The model is left in the mode it was in.
    The diagonal over the sums of the rows is the recall of each class.

    Raises:
        ValueError: `data` has a target outside 0 ... classes - 1, or the model does not give `classes` scores.
    """
    counts, was_training = np.zeros((classes, classes), dtype=np.int64), model.training
    model.eval()
    try:
        with no_grad():
            for input, target in data:
                scores = model(input).array
                if scores.ndim != 2 or scores.shape[1] != classes:
                    raise ValueError(f"confusion: expected scores (N, {classes}), got {tuple(scores.shape)}")
                B = backend_of(scores)
                guess, true = (B.to_host(a) for a in (B.argmax(scores, axis=1), target.array))
                if true.size and (true.min() < 0 or true.max() >= classes):
                    raise ValueError(f"confusion: expected targets below {classes}, got {true.min()} to {true.max()}")
                np.add.at(counts, (true, guess), 1)
    finally:
        model.train(was_training)
    return counts


class Totals:
    """Loss and hits summed over batches.

    `add` keeps what a batch gave as it is, on its device; `read` fetches it all at once, because waiting for a GPU
    costs more than a step. The sums are in double precision, in the order of the batches, whenever they are read.
    """

    def __init__(self) -> None:
        self.loss, self.hits, self.count = 0.0, 0, 0
        self._pending: list[tuple[Any, Any, int]] = []

    def add(self, loss: Tensor, input: Tensor, target: Tensor) -> None:
        """Count a batch: its mean loss, its scores (N, C) and its targets (N,)."""
        self._pending.append((loss.array, _hits(input, target), target.shape[0]))

    def read(self) -> int | None:
        """Bring the sums up to date. If a loss was not finite: how many batches ago that was (1: the last)."""
        pending, self._pending = self._pending, []
        if not pending:
            return None
        B = backend_of(pending[0][0])
        losses = B.to_host(B.stack([loss for loss, _, _ in pending])).tolist()
        hits = B.to_host(B.stack([hit for _, hit, _ in pending])).tolist()
        for i, (loss, hit, (_, _, n)) in enumerate(zip(losses, hits, pending, strict=True)):
            if not math.isfinite(loss):
                return len(pending) - i
            self.loss, self.hits, self.count = self.loss + loss * n, self.hits + hit, self.count + n
        return None

    def __len__(self) -> int:
        """How many batches wait to be read."""
        return len(self._pending)

    @property
    def mean_loss(self) -> float:
        """The loss per sample so far (as of the last `read`); nan before the first."""
        return self.loss / self.count if self.count else math.nan

    @property
    def accuracy(self) -> float:
        """The share of hits so far (as of the last `read`); nan before the first."""
        return self.hits / self.count if self.count else math.nan

    def state_dict(self) -> dict[str, Any]:
        """The sums, as plain numbers."""
        self.read()
        return {"loss": self.loss, "hits": self.hits, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from such sums."""
        self.loss, self.hits, self.count = float(state["loss"]), int(state["hits"]), int(state["count"])
        self._pending = []
