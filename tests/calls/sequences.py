"""Packed sequences, bags of embeddings and the options of embeddings, CTC, losses with a layer in them."""

from __future__ import annotations

import numpy as np

from .library import numbers, several

_LENGTHS = [2, 4, 1]


def _run(L, kind, x, *states, **options):
    """A recurrent layer with fixed weights on packed sequences: the padded output, its lengths, the last states."""
    layer = getattr(L.nn, kind)(2, 3, **options).to(x.device, x.dtype)
    with L.T.no_grad():
        for k, p in enumerate(layer.parameters()):
            p.copy_(L.tensor(numbers(60 + k, *p.shape)))
    rnn, first = L.nn.utils.rnn, options.get("batch_first", False)
    packed = rnn.pack_padded_sequence(x, _LENGTHS, first, enforce_sorted=False)
    y, last = layer(packed, (states if len(states) > 1 else states[0]) if states else None)
    padded, lengths = rnn.pad_packed_sequence(y, first, 0.5, 5)
    return (padded, lengths.to(x.device), *(last if isinstance(last, tuple) else (last,)))


def _packed(L, sequences, **options):
    """The parts of a PackedSequence, on one device."""
    return tuple(
        [t.to(sequences[0].device) for t in L.nn.utils.rnn.pack_sequence(sequences, **options) if t is not None]
    )


several(
    "packed",
    {
        "LSTM": lambda L, x, h, c: _run(L, "LSTM", x),
        "LSTM both ways, two layers": lambda L, x, h, c: _run(
            L, "LSTM", x, *[s.repeat(4, 1, 1) for s in (h, c)], num_layers=2, bidirectional=True
        ),
        "LSTM projected": lambda L, x, h, c: _run(L, "LSTM", x, h[..., :2], c, proj_size=2),
        "GRU with a state": lambda L, x, h, c: _run(L, "GRU", x, h),
        "GRU both ways, batch first": lambda L, x, h, c: _run(
            L, "GRU", x.transpose(0, 1), bidirectional=True, batch_first=True
        ),
        "RNN both ways, two layers": lambda L, x, h, c: _run(L, "RNN", x, num_layers=2, bidirectional=True),
        "RNN relu without bias": lambda L, x, h, c: _run(L, "RNN", x, h, nonlinearity="relu", bias=False),
    },
    numbers(1, 4, 3, 2),
    numbers(2, 1, 3, 3),
    numbers(3, 1, 3, 3),
)
several(
    "sequences",
    {
        "pad": lambda L, a, b: L.nn.utils.rnn.pad_sequence([a, b]),
        "pad on the left": lambda L, a, b: L.nn.utils.rnn.pad_sequence([b, a], True, 2.5, "left"),
        "unpad": lambda L, a, b: tuple(
            L.nn.utils.rnn.unpad_sequence(L.nn.utils.rnn.pad_sequence([a, b], True), L.tensor(np.array([3, 1])), True)
        ),
        "pack": lambda L, a, b: _packed(L, [a, b]),
        "pack unsorted": lambda L, a, b: _packed(L, [b, a], enforce_sorted=False),
        "unpack": lambda L, a, b: tuple(
            L.nn.utils.rnn.unpack_sequence(L.nn.utils.rnn.pack_sequence([b, a], enforce_sorted=False))
        ),
        "inverse": lambda L, a, b: L.nn.utils.rnn.invert_permutation(L.tensor(np.array([2, 0, 1]))),
    },
    numbers(1, 3, 2),
    numbers(2, 1, 2),
)

_IDS = np.array([2, 0, 2, 3, 3, 3, 1])


def _limited(function):
    """The result for a copy of the table, and the copy, some of whose rows were made shorter."""

    def run(L, w, *others):
        table = w.clone().detach()
        return function(L, table, *others), table

    return run


several(
    "embedding",
    {
        "by frequency": lambda L, w, p: L.F.embedding(L.tensor(_IDS), w, scale_grad_by_freq=True) ** 2,
        "limited": _limited(lambda L, w, p: L.F.embedding(L.tensor(_IDS[:3]), w, max_norm=0.5)),
        "limited, p 1": _limited(lambda L, w, p: L.F.embedding(L.tensor(_IDS[:3]), w, max_norm=1.0, norm_type=1.0)),
        "limited, infinite p": _limited(lambda L, w, p: L.F.embedding(L.tensor(_IDS[:3]), w, None, 0.5, float("inf"))),
    },
    numbers(1, 4, 3),
    numbers(2, 7),
)
several(
    "embedding_bag",
    {
        "mean": lambda L, w, p: L.F.embedding_bag(L.tensor(_IDS), w, L.tensor(np.array([0, 3, 3]))),
        "sum": lambda L, w, p: L.F.embedding_bag(L.tensor(_IDS), w, L.tensor(np.array([0, 3, 3])), mode="sum"),
        "max": lambda L, w, p: L.F.embedding_bag(L.tensor(_IDS), w, L.tensor(np.array([0, 3, 3])), mode="max") ** 2,
        "weighted": lambda L, w, p: L.F.embedding_bag(
            L.tensor(_IDS), w, L.tensor(np.array([0, 2, 6])), mode="sum", per_sample_weights=p
        ),
        "weighted, of one size": lambda L, w, p: L.F.embedding_bag(
            L.tensor(_IDS[:6].reshape(2, 3)), w, mode="sum", per_sample_weights=p[:6].reshape(2, 3), padding_idx=3
        ),
        "of one size": lambda L, w, p: L.F.embedding_bag(L.tensor(_IDS[:6].reshape(3, 2)), w),
        "max of one size": lambda L, w, p: L.F.embedding_bag(L.tensor(_IDS[:6].reshape(3, 2)), w, mode="max"),
        "last offset": lambda L, w, p: L.F.embedding_bag(
            L.tensor(_IDS), w, L.tensor(np.array([0, 3, 7])), include_last_offset=True
        ),
        "mean with padding": lambda L, w, p: L.F.embedding_bag(
            L.tensor(_IDS), w, L.tensor(np.array([0, 3, 6])), padding_idx=1
        ),
        "max with padding": lambda L, w, p: L.F.embedding_bag(
            L.tensor(_IDS), w, L.tensor(np.array([0, 3, 6])), mode="max", padding_idx=-2
        ),
        "empty bags": lambda L, w, p: L.F.embedding_bag(L.tensor(_IDS[:0]), w, L.tensor(np.array([0, 0])), mode="max"),
        "limited": _limited(lambda L, w, p: L.F.embedding_bag(L.tensor(_IDS[:4].reshape(2, 2)), w, max_norm=0.5)),
    },
    numbers(1, 4, 3),
    numbers(2, 7),
)


def _ctc(L, x, targets, times, sizes, **options):
    return L.F.ctc_loss(x.log_softmax(-1), L.tensor(np.array(targets)), times, sizes, **options)


_TARGETS = [[1, 2, 2], [3, 1, 1]]
several(
    "ctc_loss",
    {
        "mean": lambda L, x: _ctc(L, x, _TARGETS, (6, 5), (3, 2)),
        "sum": lambda L, x: _ctc(
            L, x, _TARGETS, L.tensor(np.array([6, 4])), L.tensor(np.array([2, 3])), reduction="sum"
        ),
        "none": lambda L, x: _ctc(L, x, _TARGETS, (6, 6), (0, 1), reduction="none"),
        "in one row": lambda L, x: _ctc(L, x, [1, 2, 2, 3], (5, 6), (3, 1), reduction="none"),
        "another blank": lambda L, x: _ctc(L, x, [[0, 2, 2], [0, 1, 1]], (6, 6), (3, 3), blank=3),
        "too long": lambda L, x: _ctc(L, x, _TARGETS, (3, 6), (3, 2), reduction="none", zero_infinity=True),
        "one": lambda L, x: L.F.ctc_loss(x[:, 0].log_softmax(1), L.tensor(np.array(_TARGETS[0])), (6,), (3,)),
        "one, none": lambda L, x: _ctc(L, x[:, 1], _TARGETS[1], (5,), (3,), reduction="none"),
    },
    numbers(1, 6, 2, 4),
)
several(
    "linear_cross_entropy",
    {
        "classes": lambda L, x, w, b: L.F.linear_cross_entropy(x, w, L.tensor(np.array([0, 3, -100]))),
        "bias, smoothing": lambda L, x, w, b: L.F.linear_cross_entropy(
            x, w, L.tensor(np.array([0, 3, 1])), linear_bias=b, label_smoothing=0.1, reduction="sum"
        ),
        "several for each": lambda L, x, w, b: L.F.linear_cross_entropy(
            x, w.reshape(2, 2, 2), L.tensor(np.array([[0, 1], [1, 1], [0, 0]])), linear_bias=b.reshape(2, 2)
        ),
        "probabilities": lambda L, x, w, b: L.F.linear_cross_entropy(x, w, x[:, :1].repeat(1, 4).softmax(1)),
        "one": lambda L, x, w, b: L.F.linear_cross_entropy(x[0], w, L.tensor(np.array(2)), reduction="none"),
    },
    numbers(1, 3, 2),
    numbers(2, 4, 2),
    numbers(3, 4),
)
several(
    "bilinear",
    {
        "plain": lambda L, x, y, w, b: L.F.bilinear(x, y, w),
        "bias": lambda L, x, y, w, b: L.F.bilinear(x, y, w, b),
        "one": lambda L, x, y, w, b: L.F.bilinear(x[0, 0], y[0, 0], w, b),
    },
    numbers(1, 2, 2, 3),
    numbers(2, 2, 2, 2),
    numbers(3, 4, 3, 2),
    numbers(4, 4),
)
several(
    "pdist",
    {
        f"p {p}": lambda L, x, p=p: L.F.pdist(L.T.cat([x, x[:1]]) if p == 2.0 else x, p)
        for p in (0.0, 1.0, 1.5, 2.0, 3.0, float("inf"))
    }
    | {"one row": lambda L, x: L.F.pdist(x[:1])},
    numbers(1, 4, 3),
)
