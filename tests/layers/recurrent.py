"""Recurrent layers, their cells, and Embedding."""

from __future__ import annotations

import numpy as np

from .runs import layer

_IDS = np.array([[1, 0, 2], [2, 2, 4]])

layer("LSTM", lambda nn: nn.LSTM(3, 4), (5, 2, 3))
layer("LSTM two layers both ways", lambda nn: nn.LSTM(3, 2, 2, bidirectional=True), (4, 2, 3))
layer("LSTM batch first", lambda nn: nn.LSTM(3, 2, batch_first=True), (2, 4, 3))
layer("LSTM without bias", lambda nn: nn.LSTM(3, 2, bias=False), (3, 2, 3))
layer("LSTM with states", lambda nn: nn.LSTM(3, 2, 2), (3, 2, 3), [(2, 2, 2), (2, 2, 2)])
layer("LSTM batch first with states", lambda nn: nn.LSTM(2, 2, 1, True, True), (3, 2, 2), [(1, 3, 2), (1, 3, 2)])
layer("LSTM unbatched", lambda nn: nn.LSTM(3, 2), (4, 3))
layer("LSTM unbatched with states", lambda nn: nn.LSTM(3, 2, bidirectional=True), (4, 3), [(2, 2), (2, 2)])
layer("LSTM one step", lambda nn: nn.LSTM(3, 2), (1, 2, 3))
layer("GRU", lambda nn: nn.GRU(3, 4), (5, 2, 3))
layer("GRU two layers both ways", lambda nn: nn.GRU(3, 2, 2, bidirectional=True), (4, 2, 3), (4, 2, 2))
layer("GRU batch first without bias", lambda nn: nn.GRU(3, 2, bias=False, batch_first=True), (2, 4, 3))
layer("GRU unbatched", lambda nn: nn.GRU(3, 2, batch_first=True), (4, 3), (1, 2))
layer("RNN", lambda nn: nn.RNN(3, 4), (5, 2, 3))
layer("RNN two layers both ways", lambda nn: nn.RNN(3, 2, 2, bidirectional=True, batch_first=True), (2, 4, 3))
layer("RNN relu", lambda nn: nn.RNN(3, 4, nonlinearity="relu"), (4, 2, 3), (1, 2, 4))
layer("RNN relu by position, without bias", lambda nn: nn.RNN(3, 4, 1, "relu", False), (3, 2, 3))
layer("RNN unbatched", lambda nn: nn.RNN(3, 2), (4, 3))
layer("LSTMCell", lambda nn: nn.LSTMCell(3, 4), (2, 3))
layer("LSTMCell with states, without bias", lambda nn: nn.LSTMCell(3, 4, bias=False), (2, 3), [(2, 4), (2, 4)])
layer("LSTMCell unbatched", lambda nn: nn.LSTMCell(3, 4), (3,), [(4,), (4,)])
layer("GRUCell", lambda nn: nn.GRUCell(3, 4), (2, 3))
layer("GRUCell with a state, without bias", lambda nn: nn.GRUCell(3, 4, False), (2, 3), (2, 4))
layer("GRUCell unbatched", lambda nn: nn.GRUCell(3, 4), (3,))
layer("RNNCell", lambda nn: nn.RNNCell(3, 4), (2, 3))
layer("RNNCell relu with a state", lambda nn: nn.RNNCell(3, 4, nonlinearity="relu"), (2, 3), (2, 4))
layer("RNNCell without bias", lambda nn: nn.RNNCell(3, 4, bias=False), (2, 3), (2, 4))
layer("Embedding", lambda nn: nn.Embedding(5, 3), _IDS)
layer("Embedding padding", lambda nn: nn.Embedding(5, 3, padding_idx=2), _IDS)
layer("Embedding padding from the end", lambda nn: nn.Embedding(5, 3, padding_idx=-1), _IDS)
layer("Embedding one", lambda nn: nn.Embedding(5, 3), np.array(3))
layer(
    "Embedding in Sequential",
    lambda nn: nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2), nn.Tanh()),
    _IDS.astype(np.int32),
)
