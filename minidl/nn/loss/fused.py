"""Losses that hold the last linear layer too: cross-entropy of a layer's scores, and the adaptive softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ... import functions as F
from ...backend import ArgumentError, backend_of
from ...ops import reduce as R
from ...ops import shape as S
from ...tensor import Tensor, wrap
from .. import linear
from ..checks import DtypeError, a_tensor, floating, number, positive
from ..containers import ModuleList, Sequential
from ..module import Module
from .base import WeightedLoss
from .classes import cross_entropy


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options=None,
) -> Tensor:
    """`cross_entropy` of the scores input linear_weight^T + linear_bias.

    Shape: input (N, D) or (D,), linear_weight (C, D), or (C, d1, ..., D) for target (N, d1, ...); linear_bias
    (C, d1, ...); target as in `cross_entropy`. ignore_index: None is -100. options (PyTorch's pieces of a batch, which
    save memory) raises NotImplementedError.
    """
    where = "linear_cross_entropy"
    if options is not None:
        raise NotImplementedError(f"{where}: options={options!r} (the batch in pieces) is not supported; leave it out")
    x, w = floating(input, where), floating(linear_weight, where, "linear_weight")
    if x.array.ndim not in (1, 2) or w.array.ndim < 2 or w.array.shape[-1] != x.array.shape[-1]:
        raise RuntimeError(
            f"{where}: expected input (N, D) or (D,) and linear_weight (C, ..., D), got {tuple(x.shape)} and "
            f"{tuple(w.shape)}"
        )
    if w.array.ndim > 2 and x.array.ndim == 1:
        raise RuntimeError(f"{where}: linear_weight {tuple(w.shape)} wants a batch (N, D), got input {tuple(x.shape)}")
    shape = w.array.shape[:-1]
    if linear_bias is not None and a_tensor(linear_bias, where, "linear_bias").array.shape != shape:
        raise RuntimeError(f"{where}: expected linear_bias {shape}, got {tuple(linear_bias.shape)}")
    scores = F.matmul(x, F.reshape(w, -1, w.array.shape[-1]).T)
    scores = F.reshape(scores, *x.array.shape[:-1], *shape)
    scores = scores if linear_bias is None else scores + linear_bias
    if ignore_index is not None and a_tensor(target, where, "target").array.shape == scores.array.shape:
        raise RuntimeError(f"{where}: ignore_index is for classes as targets, not for probabilities")
    index = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        scores, target, weight, ignore_index=index, reduction=reduction, label_smoothing=label_smoothing
    )


class LinearCrossEntropyLoss(WeightedLoss):
    """The cross-entropy of a linear layer's scores; see `linear_cross_entropy`.

    Parameters: linear.weight (C d1 ..., in_features) and, with bias, linear.bias, (d1, ...) = out_features.
    Shape: input (N, in_features), target (N, d1, ...) of classes or (N, C, d1, ...) of probabilities.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device=None,
        dtype=None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options=None,
    ) -> None:
        where = "LinearCrossEntropyLoss"
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(f"{where}: expected weight ({num_classes},), got {tuple(weight.shape)}")
        if not 0.0 <= number(label_smoothing, "label_smoothing", where) <= 1.0:
            raise RuntimeError(f"{where}: label_smoothing must be between 0 and 1, got {label_smoothing}")
        if options is not None:
            raise NotImplementedError(f"{where}: options={options!r} (the batch in pieces) is not supported")
        super().__init__(weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.options = options
        rows = math.prod(self.out_features, start=num_classes)
        self.linear = linear.Linear(in_features, rows, bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of the layer's scores of the input against target."""
        shape, bias = (self.num_classes, *self.out_features), self.linear.bias
        return linear_cross_entropy(
            input,
            F.reshape(self.linear.weight, *shape, -1),
            target,
            linear_bias=None if bias is None else F.reshape(bias, *shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def extra_repr(self) -> str:
        """The sizes and the options."""
        names = ("num_classes", "out_features", "bias", "reduction", "ignore_index", "label_smoothing", "options")
        values = {name: self.linear.bias is not None if name == "bias" else getattr(self, name) for name in names}
        return ", ".join([f"in_features={self.linear.in_features}", *[f"{k}={v}" for k, v in values.items()]])


class ASMoutput(NamedTuple):
    """What `AdaptiveLogSoftmaxWithLoss` gives: the log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """The log-softmax over very many classes, sorted by frequency, the rare ones in clusters with few features each.

    The head scores the classes before cutoffs[0] and the clusters; cluster i, the classes from cutoffs[i] to the next
    cutoff, has in_features / div_value^(i + 1) features and is only computed for the samples that need it.

    Parameters: head.weight (cutoffs[0] + clusters, in_features), with head_bias head.bias, and tail.i.0.weight and
    tail.i.1.weight of each cluster. Shape: input (N, in_features), target (N,), or (in_features,) and (); gives
    (output, loss): the targets' log-probabilities and minus their mean. Grave et al., 2017.

    >>> layer = AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[5, 10])
    >>> layer(F.zeros(3, 16), F.tensor([0, 7, 19])).output.shape, layer.log_prob(F.zeros(3, 16)).shape
    (minidl.Size([3]), minidl.Size([3, 20]))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        where, cutoffs = "AdaptiveLogSoftmaxWithLoss", list(cutoffs)
        positive(where, in_features=in_features, n_classes=n_classes)
        whole = all(isinstance(c, (int, np.integer)) for c in cutoffs)
        if not cutoffs or not whole or sorted(set(cutoffs)) != cutoffs or cutoffs[0] < 1 or cutoffs[-1] >= n_classes:
            raise ArgumentError(
                f"{where}: cutoffs must be increasing ints between 1 and {n_classes - 1}, got {cutoffs}"
            )
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*cutoffs, n_classes]
        self.div_value, self.head_bias = number(div_value, "div_value", where), head_bias
        self.shortlist_size, self.n_clusters = self.cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        made = {"device": device, "dtype": dtype}
        self.head = linear.Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            features, size = int(in_features // div_value ** (i + 1)), self.cutoffs[i + 1] - self.cutoffs[i]
            if features < 1:
                raise ArgumentError(f"{where}: cluster {i} would have no features; div_value {div_value} is too large")
            layers = [linear.Linear(a, b, bias=False, **made) for a, b in ((in_features, features), (features, size))]
            self.tail.append(Sequential(*layers))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster.children():
                assert isinstance(layer, linear.Linear)
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """(log-probabilities of the targets, minus their mean)."""
        where = "AdaptiveLogSoftmaxWithLoss"
        x, t = floating(input_, where), a_tensor(target_, where, "target")
        if t.array.dtype.kind not in "iu":
            raise DtypeError(f"{where}: the classes in target must be integers, got {t.dtype}")
        if t.array.ndim > 1 or x.array.shape[:-1] != t.array.shape:
            raise RuntimeError(
                f"{where}: expected input (N, D) and target (N,), or (D,) and (), got {tuple(x.shape)} and "
                f"{tuple(t.shape)}"
            )
        single = t.array.ndim == 0
        x, t = (F.unsqueeze(x, 0), F.unsqueeze(t, 0)) if single else (x, t)
        B = backend_of(t.array)
        classes = np.asarray(B.to_host(t.array)).astype(np.int64)
        bad = classes[(classes < 0) | (classes >= self.n_classes)]
        if bad.size:
            raise RuntimeError(f"{where}: targets must be between 0 and {self.n_classes - 1}, got {bad[0]}")
        at = np.searchsorted(self.cutoffs, classes, side="right")  # 0: in the head, else in cluster at - 1
        heads = np.where(at == 0, classes, self.shortlist_size + at - 1)
        output = _picked(R.log_softmax(self.head(x), axis=1), _on(B, t, heads))
        for i, cluster in enumerate(self.tail):
            if (rows := np.flatnonzero(at == i + 1)).size:
                index = _on(B, t, rows)
                scores = R.log_softmax(cluster(S.getitem(x, index=index)), axis=1)
                found = _picked(scores, _on(B, t, classes[rows] - self.cutoffs[i]))
                output = output + S.index_add(found, index=index, shape=output.array.shape)
        return ASMoutput(F.squeeze(output, 0) if single else output, -F.mean(output))

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes, (N, in_features) to (N, n_classes)."""
        x = floating(input, "AdaptiveLogSoftmaxWithLoss.log_prob")
        head, size = R.log_softmax(self.head(x), axis=1), self.shortlist_size
        parts = [head[:, :size]]
        for i, cluster in enumerate(self.tail, start=size):
            parts.append(R.log_softmax(cluster(x), axis=1) + head[:, i : i + 1])
        return F.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The class with the highest probability of each sample, (N, in_features) to (N,)."""
        return F.argmax(self.log_prob(input), 1)


def _on(B, t: Tensor, index: np.ndarray):
    return B.from_host(index, B.device_of(t.array))


def _picked(scores: Tensor, index) -> Tensor:
    """The score of each row at its index."""
    return F.squeeze(S.take_along_axis(scores, wrap(index.reshape(-1, 1)), axis=1), 1)
