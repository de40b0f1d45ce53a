"""Projected LSTMs, packed sequences through a layer, bags of embeddings, Bilinear, CTC, losses with layers in them."""

from __future__ import annotations

import warnings

import numpy as np

from .losses import after
from .runs import layer

_IDS = np.array([2, 0, 2, 3, 3, 3, 1])
_OFFSETS = np.array([0, 3, 3])

layer("LSTM projected", lambda nn: nn.LSTM(3, 4, proj_size=2), (5, 2, 3))
layer(
    "LSTM projected, two layers both ways, with states",
    lambda nn: nn.LSTM(2, 3, 2, bidirectional=True, proj_size=2, batch_first=True),
    (2, 3, 2),
    [(4, 2, 2), (4, 2, 3)],
)
layer("LSTM projected without bias, unbatched", lambda nn: nn.LSTM(2, 3, bias=False, proj_size=1), (3, 2))


def packed(nn, recurrent):
    """A layer that packs its padded input and pads its output."""

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = recurrent

        def forward(self, x, *states):
            y, last = self.recurrent(nn.utils.rnn.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False), *states)
            return nn.utils.rnn.pad_packed_sequence(y)[0], last

    return Packed()


layer("LSTM packed", lambda nn: packed(nn, nn.LSTM(2, 3)), (4, 3, 2), [(1, 3, 3), (1, 3, 3)])
layer("LSTM packed, two layers both ways", lambda nn: packed(nn, nn.LSTM(2, 2, 2, bidirectional=True)), (4, 3, 2))
layer("GRU packed, both ways", lambda nn: packed(nn, nn.GRU(2, 3, bidirectional=True)), (4, 3, 2), (2, 3, 3))
layer("RNN packed, two layers", lambda nn: packed(nn, nn.RNN(2, 3, 2)), (4, 3, 2))

layer("Embedding by frequency", lambda nn: nn.Embedding(4, 3, scale_grad_by_freq=True), np.array([[3, 0], [1, 2]]))
layer("EmbeddingBag", lambda nn: nn.EmbeddingBag(4, 3), _IDS, _OFFSETS)
layer("EmbeddingBag sum, weighted", lambda nn: nn.EmbeddingBag(4, 3, mode="sum"), _IDS, _OFFSETS, (7,))
layer("EmbeddingBag max, padding", lambda nn: nn.EmbeddingBag(4, 3, mode="max", padding_idx=3), _IDS, _OFFSETS)
layer("EmbeddingBag of one size", lambda nn: nn.EmbeddingBag(4, 3, include_last_offset=True), _IDS[:6].reshape(2, 3))
layer("Bilinear", lambda nn: nn.Bilinear(3, 2, 4), (2, 3), (2, 2))
layer("Bilinear without bias", lambda nn: nn.Bilinear(3, 2, 4, bias=False), (2, 2, 3), (2, 2, 2))

layer(
    "CTCLoss",
    lambda nn: after(nn, lambda x, *others: (x.log_softmax(2), *others), nn.CTCLoss(blank=3, reduction="sum")),
    (5, 2, 4),
    np.array([[1, 2, 2], [0, 1, 1]]),
    np.array([5, 4]),
    np.array([3, 2]),
)
layer(
    "AdaptiveLogSoftmaxWithLoss",
    lambda nn: nn.AdaptiveLogSoftmaxWithLoss(4, 8, [2, 5], div_value=2.0),
    (5, 4),
    np.array([7, 0, 3, 4, 1]),
)
layer(
    "AdaptiveLogSoftmaxWithLoss, one, bias",
    lambda nn: nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2], 4.0, True),
    (4,),
    np.array(3),
)
layer("LinearCrossEntropyLoss", lambda nn: nn.LinearCrossEntropyLoss(3, 4), (2, 3), np.array([3, 0]))
layer(
    "LinearCrossEntropyLoss, several for each",
    lambda nn: nn.LinearCrossEntropyLoss(3, 4, out_features=(2,), bias=True, label_smoothing=0.2, reduction="sum"),
    (2, 3),
    np.array([[3, 0], [1, 1]]),
)


def under_its_old_name(nn):
    """NLLLoss2d, which warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.NLLLoss2d(reduction="sum")


layer("NLLLoss2d", under_its_old_name, (2, 3, 1, 2), np.array([[[1, 0]], [[2, 2]]]))
