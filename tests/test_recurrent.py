"""Recurrent layers and Embedding beyond PyTorch's values: errors, dropout, states, memory, learning."""

from __future__ import annotations

import gc
import inspect
import itertools
import math
import warnings
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import functional as F
from minidl.nn.utils import rnn
from minidl.ops import recurrent as R
from minidl.testing import gradcheck, gradgradcheck

KINDS = {"LSTM": (nn.LSTM, 2, 4), "GRU": (nn.GRU, 1, 3), "RNN": (nn.RNN, 1, 1)}
each_kind = pytest.mark.parametrize("kind", KINDS)


def _states(kind, *shape):
    made = [minidl.randn(*shape) for _ in range(KINDS[kind][1])]
    return tuple(made) if len(made) > 1 else made[0]


def _tuple(hx):
    return hx if isinstance(hx, tuple) else (hx,)


# -------------------------------------------------------------------------------------------------- what layers hold
@each_kind
def test_the_names_shapes_and_order_of_the_parameters(kind):
    make, _, gates = KINDS[kind]
    layer = make(3, 5, 2, bidirectional=True)
    names = [
        f"{name}_l{k}{end}"
        for k in (0, 1)
        for end in ("", "_reverse")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    assert list(layer.state_dict()) == names
    shapes = [tuple(p.shape) for p in layer.parameters()]
    first = [(gates * 5, 3), (gates * 5, 5), (gates * 5,), (gates * 5,)]
    second = [(gates * 5, 10), (gates * 5, 5), (gates * 5,), (gates * 5,)]
    assert shapes == first * 2 + second * 2
    assert len(layer.all_weights) == 4 and layer.all_weights[3][0] is layer.weight_ih_l1_reverse
    assert layer.all_weights[1][2] is layer.bias_ih_l0_reverse
    assert [len(w) for w in make(3, 5, bias=False).all_weights] == [2]
    assert layer.flatten_parameters() is None


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_parameters_start_uniform_in_one_over_the_root_of_hidden_size(make):
    minidl.manual_seed(3)
    values = np.concatenate([p.array.ravel() for p in make(40, 64).parameters()])
    assert 0.12 < np.abs(values).max() <= 0.125 and abs(values.mean()) < 0.005
    np.testing.assert_allclose(values.std(), 0.125 / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize(
    "layer, text",
    [
        (lambda: nn.LSTM(3, 4), "LSTM(3, 4)"),
        (lambda: nn.RNN(3, 4, 2, "relu"), "RNN(3, 4, num_layers=2)"),
        (
            lambda: nn.GRU(3, 4, 2, dropout=0.5, bidirectional=True, bias=False, batch_first=True),
            "GRU(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)",
        ),
        (lambda: nn.LSTMCell(3, 4), "LSTMCell(3, 4)"),
        (lambda: nn.RNNCell(3, 4, False, "relu"), "RNNCell(3, 4, bias=False, nonlinearity=relu)"),
        (lambda: nn.Embedding(3, 4), "Embedding(3, 4)"),
        (lambda: nn.Embedding(3, 4, padding_idx=-1), "Embedding(3, 4, padding_idx=2)"),
    ],
)
def test_layers_print_as_in_pytorch(layer, text):
    assert repr(layer()) == text


def test_the_signatures_are_pytorchs():
    names = "mode input_size hidden_size num_layers bias batch_first dropout bidirectional proj_size device dtype"
    assert list(inspect.signature(nn.RNNBase).parameters) == names.split()
    names = "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq sparse _weight _freeze"
    assert list(inspect.signature(nn.Embedding).parameters) == [*names.split(), "device", "dtype"]
    names = "input weight padding_idx max_norm norm_type scale_grad_by_freq sparse"
    assert list(inspect.signature(F.embedding).parameters) == names.split()
    names = "embeddings freeze padding_idx max_norm norm_type scale_grad_by_freq sparse"
    assert list(inspect.signature(nn.Embedding.from_pretrained).parameters) == names.split()


# --------------------------------------------------------------------------------------------------------- refusals
_E = minidl.from_numpy(np.array([[0, 1], [4, 5]]))
_pack, x = rnn.pack_padded_sequence, minidl.zeros


def _packed(data):
    """Three sequences of 2, 2 and 1 steps."""
    return rnn.PackedSequence(data, minidl.tensor([3, 2]))


def _ctc(targets=((1, 2, 1),), times=(5,), sizes=(3,), **options):
    return F.ctc_loss(minidl.zeros(5, 1, 4), minidl.tensor(targets), times, sizes, **options)


@pytest.mark.parametrize(
    "run, error, words",
    [
        (lambda: nn.LSTM(3, 4)(minidl.zeros(2, 5, 3, 3)), ValueError, r"LSTM: expected input \(T, N, D\)"),
        (lambda: nn.GRU(3, 4, batch_first=True)(minidl.zeros(3)), ValueError, r"GRU: expected input \(N, T, D\)"),
        (lambda: nn.RNN(3, 4)(minidl.zeros(5, 2, 4)), RuntimeError, "RNN: input has 4 features, expected input_size 3"),
        (lambda: nn.LSTM(3, 4)(minidl.zeros(0, 2, 3)), RuntimeError, "at least one time step"),
        (lambda: nn.LSTM(3, 4)(minidl.zeros(5, 2, 3).double()), TypeError, "input is minidl.float64, weight is"),
        (lambda: nn.LSTM(3, 4)([1.0]), TypeError, "LSTM: input must be a Tensor, got list"),
        (lambda: nn.LSTM(3, 4)(_packed(minidl.zeros(5, 4))), RuntimeError, "input has 4 features, expected input_size"),
        (lambda: nn.LSTM(3, 4)(_packed(minidl.zeros(5, 3).double())), TypeError, "input is minidl.float64"),
        (lambda: nn.LSTM(3, 4)(_packed(minidl.zeros(5, 3, 1))), RuntimeError, r"expected packed data \(sum of lengths"),
        (lambda: nn.GRU(3, 4)(_packed(minidl.zeros(5, 3)), minidl.zeros(1, 2, 4)), RuntimeError, r"h_0 .*\(1, 3, 4\)"),
        (lambda: nn.LSTM(3, 4)(minidl.zeros(5, 2, 3), minidl.zeros(1, 2, 4)), ValueError, r"tuple \(h_0, c_0\)"),
        (lambda: nn.LSTM(3, 4)(minidl.zeros(5, 2, 3), (minidl.zeros(1, 2, 4),)), ValueError, "got 1 of them"),
        (
            lambda: nn.LSTM(3, 4)(minidl.zeros(5, 2, 3), (minidl.zeros(1, 2, 4), minidl.zeros(1, 2, 5))),
            RuntimeError,
            r"LSTM: c_0 must have shape \(1, 2, 4\), got \(1, 2, 5\)",
        ),
        (lambda: nn.GRU(3, 4)(minidl.zeros(5, 2, 3), minidl.zeros(1, 3, 4)), RuntimeError, r"h_0 .* \(1, 2, 4\)"),
        (lambda: nn.GRU(3, 4, 2)(minidl.zeros(5, 2, 3), minidl.zeros(1, 2, 4)), RuntimeError, r"\(2, 2, 4\), got"),
        (lambda: nn.GRU(3, 4)(minidl.zeros(5, 2, 3), minidl.zeros(1, 4)), RuntimeError, "h_0 must have shape"),
        (lambda: nn.GRU(3, 4)(minidl.zeros(5, 3), minidl.zeros(1, 1, 4)), RuntimeError, r"shape \(1, 4\)"),
        (lambda: nn.GRU(3, 4)(minidl.zeros(5, 3), minidl.zeros(1, 4).double()), TypeError, "h_0 is minidl.float64"),
        (lambda: nn.GRU(3, 4)(minidl.zeros(5, 3), [1, 2]), TypeError, "GRU: h_0 must be a Tensor, got list"),
        (lambda: nn.LSTM(3, 0), ValueError, "LSTM: hidden_size must be at least 1"),
        (lambda: nn.LSTM(0, 3), ValueError, "input_size"),
        (lambda: nn.LSTM(3, 4, 0), ValueError, "num_layers"),
        (lambda: nn.LSTM(3, 4.0), TypeError, "hidden_size must be an int"),
        (lambda: nn.LSTM(3, 4, dropout=1.5), ValueError, "dropout must be a probability"),
        (lambda: nn.LSTM(3, 4, dropout=True), ValueError, "dropout must be a probability"),
        (lambda: nn.LSTM(3, 4, bias=1), TypeError, "bias must be True or False"),
        (lambda: nn.LSTM(3, 4, batch_first=1), TypeError, "batch_first must be True or False"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size=4 must be less than hidden_size 4"),
        (lambda: nn.RNNBase("GRU", 3, 4, proj_size=2), ValueError, "is for LSTM only"),
        (lambda: nn.GRU(3, 4, projection=2), TypeError, "GRU: unexpected argument 'projection'"),
        (
            lambda: nn.LSTM(3, 4, proj_size=2)(minidl.zeros(5, 2, 3), (minidl.zeros(1, 2, 4), minidl.zeros(1, 2, 4))),
            RuntimeError,
            r"h_0 must have shape \(1, 2, 2\)",
        ),
        (lambda: nn.LSTM(3, 4, proj_size=-1), ValueError, "proj_size must be an int of at least 0"),
        (lambda: nn.LSTM(3, 4, nonlinearity="relu"), TypeError, "nonlinearity"),
        (lambda: nn.GRU(3, 4, proj_size=2), ValueError, "GRU: proj_size is an option of LSTM only"),
        (lambda: nn.RNN(3, 4, proj_size=0), ValueError, "RNN: proj_size is an option of LSTM only"),
        (lambda: nn.RNN(3, 4, nonlinearity="sine"), ValueError, "'tanh' or 'relu', got 'sine'"),
        (lambda: nn.RNN(3, 4, 1, True), ValueError, "'tanh' or 'relu', got True"),
        (lambda: nn.RNNBase("LSTN", 3, 4), ValueError, "mode must be one of LSTM, GRU"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="x"), ValueError, "RNNCell: nonlinearity"),
        (lambda: nn.GRUCell(3, 0), ValueError, "GRUCell: hidden_size"),
        (lambda: nn.LSTMCell(3, 4)(minidl.zeros(1, 2, 3)), ValueError, r"LSTMCell: expected input \(N, D\) or \(D\)"),
        (lambda: nn.LSTMCell(3, 4)(minidl.zeros(2, 4)), RuntimeError, "input has 4 features, expected input_size 3"),
        (lambda: nn.GRUCell(3, 4)(minidl.zeros(2, 3), minidl.zeros(2, 5)), RuntimeError, r"h_0 .*\(2, 4\), got"),
        (lambda: nn.GRUCell(3, 4)(minidl.zeros(3), minidl.zeros(1, 4)), RuntimeError, r"h_0 .*\(4,\), got"),
        (lambda: nn.RNNCell(3, 4)(minidl.zeros(2, 3).double()), TypeError, "RNNCell: input is minidl.float64"),
        (lambda: nn.Embedding(5, 3)(minidl.zeros(2)), TypeError, "input must be integers, got minidl.float32"),
        (lambda: nn.Embedding(5, 3)([1]), TypeError, "embedding: input must be a Tensor"),
        (lambda: nn.Embedding(5, 3)(_E), IndexError, r"embedding: index 5 is out of range for size 5 .*at \(1, 1\)"),
        (lambda: nn.Embedding(5, 3)(_E - 4), IndexError, r"index -4 is out of range for size 5 .*at \(0, 0\)"),
        (lambda: nn.Embedding(5, 3, padding_idx=5), ValueError, "padding_idx 5 is out of range for a table of 5"),
        (lambda: nn.Embedding(5, 3, padding_idx=-6), ValueError, "padding_idx -6"),
        (lambda: nn.Embedding(5, 3, padding_idx=1.0), TypeError, "padding_idx must be an int"),
        (lambda: F.embedding(_E, minidl.zeros(6, 3), 7), ValueError, "padding_idx 7"),
        (lambda: F.embedding(_E, minidl.zeros(6)), ValueError, r"weight must be a table \(V, D\), got \(6,\)"),
        (lambda: F.embedding(_E, _E), TypeError, "weight must be floating point"),
        (lambda: nn.Embedding(5, 3, max_norm=-1.0), ValueError, "max_norm must not be negative, got -1.0"),
        (lambda: nn.Embedding(5, 3, max_norm="1"), TypeError, "max_norm must be a number"),
        (lambda: nn.Embedding(5, 3, norm_type="2"), TypeError, "norm_type"),
        (lambda: nn.EmbeddingBag(5, 3)(_E[0]), ValueError, "offsets must be given"),
        (
            lambda: nn.EmbeddingBag(5, 3)(_E[:1], _E[0]),
            ValueError,
            r"offsets are for an input of one dimension, got .*1, 2",
        ),
        (lambda: nn.EmbeddingBag(5, 3)(_E.reshape(2, 2, 1)), ValueError, r"expected input \(B, L\) or \(n,\)"),
        (lambda: nn.EmbeddingBag(5, 3)(_E), IndexError, "embedding_bag: index 5 is out of range for size 5"),
        (lambda: nn.EmbeddingBag(5, 3)(_E[0], _E[0] + 1), RuntimeError, "offsets must begin with 0, got 1"),
        (lambda: nn.EmbeddingBag(5, 3)(_E[0], _E[0] * 3), RuntimeError, r"exceed the 2 inputs, got \[0, 3\]"),
        (lambda: nn.EmbeddingBag(5, 3)(_E[0], _E), ValueError, "offsets must have one dimension"),
        (
            lambda: nn.EmbeddingBag(5, 3)(_E[0], _E[0].float()),
            TypeError,
            "embedding_bag: offsets: input must be integers",
        ),
        (lambda: nn.EmbeddingBag(5, 3, mode="min"), ValueError, "mode must be 'sum', 'mean' or 'max', got 'min'"),
        (lambda: nn.EmbeddingBag(5, 3, padding_idx=5), ValueError, "EmbeddingBag: padding_idx 5"),
        (lambda: nn.EmbeddingBag(5, 3, mode="max", sparse=True)(_E), ValueError, "not for mode 'max'"),
        (lambda: nn.EmbeddingBag(6, 3)(_E, None, minidl.ones(2, 2)), NotImplementedError, "for mode 'sum' only"),
        (lambda: nn.EmbeddingBag(6, 3, mode="sum")(_E, None, minidl.ones(2)), ValueError, "they must be the same"),
        (lambda: _pack(minidl.zeros(4, 3), [5, 2, 1]), RuntimeError, r"between 1 and the 4 steps of .*got \[5"),
        (lambda: _pack(minidl.zeros(4, 3), [2, 2, 0]), RuntimeError, "lengths must be between 1 and the 4"),
        (lambda: _pack(minidl.zeros(4, 3), [2, 3, 1]), RuntimeError, "must not increase with enforce_sorted=True"),
        (lambda: _pack(minidl.zeros(4, 3), [2, 1]), RuntimeError, r"expected lengths of 3 sequences, got \[2, 1\]"),
        (lambda: _pack(minidl.zeros(4, 3), [2.5, 1, 1]), TypeError, "lengths must be integers"),
        (lambda: _pack(minidl.zeros(4, 0), []), RuntimeError, "at least one sequence"),
        (lambda: _pack(minidl.zeros(4), [4]), RuntimeError, r"expected input \(T, N, ...\)"),
        (lambda: rnn.pad_sequence([]), RuntimeError, "at least one sequence"),
        (lambda: rnn.pad_sequence(3), RuntimeError, "expected several sequences, got int"),
        (
            lambda: rnn.pad_sequence([x(2, 3), x(2, 4)]),
            RuntimeError,
            r"same shape but for the first .*\(2, 3\), \(2, 4\)",
        ),
        (lambda: rnn.pad_sequence([x(2)], padding_side="up"), RuntimeError, "'left' or 'right', got 'up'"),
        (
            lambda: rnn.pad_packed_sequence(_packed(x(5)), total_length=1),
            ValueError,
            "total_length 1 is less than the 2",
        ),
        (lambda: rnn.pad_packed_sequence(x(5)), TypeError, "expected a PackedSequence, got Tensor"),
        (lambda: rnn.unpad_sequence(x(5, 2), [1]), ValueError, "lengths of 2 sequences"),
        (lambda: rnn.PackedSequence(x(5)), TypeError, "expected data and batch_sizes"),
        (lambda: _ctc(blank=4), RuntimeError, "blank must be one of the 4 classes, got 4"),
        (lambda: _ctc(times=(6,)), RuntimeError, "input_lengths must be between 0 and 5"),
        (lambda: _ctc(sizes=(4,)), RuntimeError, "target_lengths must be between 0 and 3"),
        (lambda: _ctc(times=(5, 5)), RuntimeError, r"expected input_lengths of shape \(1,\)"),
        (lambda: _ctc(times=(5.0,)), RuntimeError, "input_lengths must be integers"),
        (lambda: _ctc([[1, 4, 1]]), IndexError, "class 4 in targets is out of range for 4 classes"),
        (lambda: _ctc([1, 2]), RuntimeError, "must hold the 3 classes|between 0 and 2"),
        (lambda: _ctc([[1, 2, 1]] * 2), RuntimeError, r"expected targets \(1, at least 3\)"),
        (lambda: _ctc(reduction="x"), ValueError, "ctc_loss: reduction must be"),
        (
            lambda: F.ctc_loss(x(5, 1, 4).half(), _E, (5,), (2,)),
            NotImplementedError,
            "minidl.float16 are not supported",
        ),
        (lambda: F.ctc_loss(x(5), _E, (5,), (2,)), RuntimeError, r"expected log_probs \(T, N, C\)"),
        (
            lambda: F.bilinear(x(2, 3), x(2, 4), x(5, 3, 3)),
            RuntimeError,
            r"bilinear: expected .*\(2, 4\) and \(5, 3, 3\)",
        ),
        (lambda: F.bilinear(x(2, 3), x(1, 3), x(5, 3, 3)), RuntimeError, "may differ in the last size only"),
        (lambda: F.bilinear(x(2, 3), x(2, 3), x(5, 3, 3), x(4)), RuntimeError, r"expected bias \(5,\), got \(4,\)"),
        (lambda: nn.Bilinear(0, 1, 2), ValueError, "Bilinear: in1_features must be at least 1"),
        (lambda: F.pdist(x(3)), RuntimeError, r"pdist: expected input \(N, D\)"),
        (lambda: F.pdist(x(3, 2), -1), RuntimeError, "pdist: p must not be negative"),
        (
            lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 9, [5, 5]),
            ValueError,
            "cutoffs must be increasing ints between 1 and 8",
        ),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 9, [9]), ValueError, "cutoffs must be"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(3, 9, [5]), ValueError, "cluster 0 would have no features"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 9, [5])(x(2, 8), _E[0] + 8), RuntimeError, "between 0 and 8, got 9"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 9, [5])(x(2, 8), _E), RuntimeError, r"target \(N,\)"),
        (lambda: nn.LinearCrossEntropyLoss(3, 4, options=1), NotImplementedError, "options=1"),
        (lambda: F.linear_cross_entropy(x(3), x(2, 2, 3), _E), RuntimeError, "wants a batch"),
        (lambda: nn.Embedding(0, 3), ValueError, "num_embeddings must be at least 1"),
        (lambda: nn.Embedding(5, 3, _weight=minidl.zeros(5, 4)), ValueError, r"\(5, 4\), expected \(5, 3\)"),
        (lambda: nn.Embedding.from_pretrained(minidl.zeros(3)), ValueError, r"\(V, D\), got \(3,\)"),
    ],
)
def test_what_is_refused(run, error, words):
    with pytest.raises(error, match=words):
        run()


def test_dropout_with_one_layer_warns():
    with pytest.warns(UserWarning, match="dropout=0.5 has no effect with num_layers=1"):
        nn.LSTM(3, 4, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.LSTM(3, 4, 2, dropout=0.5)


# ----------------------------------------------------------------------------------------------------------- dropout
@each_kind
def test_dropout_comes_between_layers_and_in_training_only(kind, where):
    make = KINDS[kind][0]
    layer = make(3, 8, 2, dropout=0.5).to(where.name)
    x = where.tensor(np.random.default_rng(0).normal(size=(4, 2, 3)), np.float32)
    a, b = layer(x)[0], layer(x)[0]
    assert not np.allclose(where.host(a), where.host(b))  # another mask each time
    minidl.manual_seed(0)
    c = layer(x)[0]
    minidl.manual_seed(0)
    np.testing.assert_array_equal(where.host(layer(x)[0]), where.host(c))
    assert np.count_nonzero(where.host(c)) == c.numel()  # the last layer's outputs are whole
    layer.eval()
    plain = make(3, 8, 2).to(where.name)
    plain.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(where.host(layer(x)[0]), where.host(plain(x)[0]))


@each_kind
def test_dropout_is_the_function_of_that_name_on_the_first_layers_outputs(kind):
    make = KINDS[kind][0]
    layer = make(3, 6, 2, dropout=0.4, bidirectional=True)
    parts = [make(3, 6, bidirectional=True), make(12, 6, bidirectional=True)]
    for part, start in zip(parts, (0, 2), strict=True):
        with minidl.no_grad():
            for p, q in zip(part.parameters(), sum(layer.all_weights[start : start + 2], []), strict=True):
                p.copy_(q)
    x = minidl.randn(5, 2, 3)
    minidl.manual_seed(7)
    y, hx = layer(x)
    minidl.manual_seed(7)
    first, h1 = parts[0](x)
    second, h2 = parts[1](F.dropout(first, 0.4))
    np.testing.assert_allclose(y.array, second.array, rtol=1e-6, atol=1e-7)
    for whole, a, b in zip(_tuple(hx), _tuple(h1), _tuple(h2), strict=True):
        np.testing.assert_allclose(whole.array, np.concatenate([a.array, b.array]), rtol=1e-6, atol=1e-7)


# --------------------------------------------------------------------------------------------------- packed sequences
@each_kind
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2, "bias": False}], ids=str)
def test_packed_equals_running_each_sequence_alone(kind, options, where):
    """Outputs, last states and gradients, in the original order, with states given."""
    layer = KINDS[kind][0](3, 4, **options).to(where.name)
    lengths, rng = [2, 5, 1, 5, 3], np.random.default_rng(0)
    several = [where.leaf(rng.normal(size=(n, 3)), np.float32) for n in lengths]
    hx = [where.leaf(rng.normal(size=(len(layer.all_weights), 5, 4)), np.float32) for _ in range(KINDS[kind][1])]

    def gradients(ys, lasts):
        total = sum([(y * y).sum() for y in ys]) + sum([(h * (h + 1)).sum() for h in lasts])
        return minidl.grad(total, [*several, *hx, *layer.parameters()])

    y, last = layer(rnn.pack_sequence(several, enforce_sorted=False), tuple(hx) if len(hx) > 1 else hx[0])
    packed, lasts = rnn.unpack_sequence(y), _tuple(last)
    alone = [layer(s, tuple([h[:, n] for h in hx]) if len(hx) > 1 else hx[0][:, n]) for n, s in enumerate(several)]
    for n, (a, (b, end)) in enumerate(zip(packed, alone, strict=True)):
        np.testing.assert_allclose(where.host(a), where.host(b), rtol=1e-5, atol=1e-6)
        for h, one in zip(lasts, _tuple(end), strict=True):
            np.testing.assert_allclose(where.host(h[:, n]), where.host(one), rtol=1e-5, atol=1e-6)
    separate = [minidl.stack([_tuple(end)[k] for _, end in alone], 1) for k in range(len(lasts))]
    for a, b in zip(gradients(packed, lasts), gradients([y for y, _ in alone], separate), strict=True):
        np.testing.assert_allclose(where.host(a), where.host(b), rtol=1e-4, atol=1e-5)


@each_kind
def test_packed_sequences_of_one_length_are_an_ordinary_batch(kind):
    layer, x = KINDS[kind][0](3, 4, 2, bidirectional=True), minidl.randn(5, 3, 3)
    y, last = layer(x)
    packed, ends = layer(rnn.pack_padded_sequence(x, [5, 5, 5]))
    assert isinstance(packed, rnn.PackedSequence) and packed.batch_sizes.tolist() == [3] * 5
    np.testing.assert_allclose(packed.data.array.reshape(5, 3, 8), y.array, rtol=1e-6, atol=1e-7)
    for a, b in zip(_tuple(last), _tuple(ends), strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-6, atol=1e-7)


def test_what_is_padding_does_not_matter():
    layer, lengths = nn.LSTM(3, 4, bidirectional=True, batch_first=True), [4, 2]
    x = minidl.randn(2, 4, 3)
    other = x.clone()
    other[1, 2:] = float("nan")
    for a, b in zip(layer(_pack(x, lengths, True))[0][:1], layer(_pack(other, lengths, True))[0][:1], strict=True):
        np.testing.assert_array_equal(a.array, b.array)


def test_dropout_of_packed_sequences_comes_between_layers():
    layer = nn.LSTM(3, 8, 2, dropout=0.5)
    packed = rnn.pack_sequence([minidl.randn(4, 3), minidl.randn(2, 3)])
    assert not np.allclose(layer(packed)[0].data.array, layer(packed)[0].data.array)
    assert np.count_nonzero(layer(packed)[0].data.array) == 6 * 8
    layer.eval()
    np.testing.assert_array_equal(layer(packed)[0].data.array, layer(packed)[0].data.array)


def test_a_packed_sequence_is_a_named_tuple_that_moves(where):
    packed = rnn.pack_sequence([minidl.zeros(1, 2), minidl.ones(3, 2)], enforce_sorted=False)
    data, sizes, order, back = packed
    assert packed._fields == ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
    assert (sizes.tolist(), order.tolist(), back.tolist()) == ([2, 1, 1], [1, 0], [1, 0])
    assert repr(packed).startswith("PackedSequence(data=tensor(") and packed.to("cpu") is packed
    moved = packed.to(where.name)
    assert type(moved) is rnn.PackedSequence and moved.is_cuda == (where.name == "cuda") and not packed.is_cuda
    assert moved.batch_sizes.device.type == "cpu" and moved.sorted_indices.device == moved.data.device
    assert moved.cpu().data.device.type == "cpu" and packed.pin_memory() is packed and not packed.is_pinned()
    for name in "double float half long int short char byte".split():
        assert str(getattr(packed, name)().data.dtype) == str(getattr(data, name)().dtype)
    assert rnn.PackedSequence((data, sizes), sorted_indices=order).unsorted_indices.tolist() == [1, 0]
    assert rnn.invert_permutation(None) is None


def test_padding_keeps_the_dtype():
    parts = [minidl.tensor([1]), minidl.tensor([2, 3])]
    assert rnn.pad_sequence(parts, True, 1.7).tolist() == [[1, 1], [2, 3]]
    assert rnn.pad_sequence([p > 1 for p in parts], True, True).tolist() == [[False, True], [True, True]]
    assert rnn.pad_sequence([p > 1 for p in parts], True).tolist() == [[False, False], [True, True]]
    assert rnn.pad_sequence([parts[0], parts[1].double()]).dtype == minidl.int64


# ------------------------------------------------------------------------------------------------------- bags, tables
def test_a_limited_row_is_changed_in_the_table_itself(where):
    layer = nn.Embedding(4, 2, max_norm=1.0).to(where.name)
    with minidl.no_grad():
        layer.weight.copy_(where.tensor([[3.0, 4.0], [3.0, 4.0], [0.3, 0.4], [6.0, 8.0]], np.float32))
    y = layer(where.tensor(np.array([0, 2, 0])))
    np.testing.assert_allclose(where.host(y), [[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]], rtol=1e-5)
    np.testing.assert_allclose(where.host(layer.weight), [[0.6, 0.8], [3, 4], [0.3, 0.4], [6, 8]], rtol=1e-5)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_the_sparse_gradient_of_bags_is_the_dense_one(mode, where):
    table = minidl.randn(6, 3)
    ids, offsets = where.tensor(np.array([1, 4, 1, 0, 5])), where.tensor(np.array([0, 2, 2]))
    found = []
    for sparse in (True, False):
        bag = nn.EmbeddingBag.from_pretrained(table.clone(), freeze=False, mode=mode, sparse=sparse, padding_idx=4)
        bag = bag.to(where.name)
        (bag(ids, offsets) ** 2).sum().backward()
        assert bag.weight.grad.is_sparse == sparse
        found.append(where.host(bag.weight.grad.to_dense() if sparse else bag.weight.grad))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    assert not nn.EmbeddingBag.from_pretrained(table).weight.requires_grad


def test_how_often_means_how_often_this_row_came():
    """(PyTorch 2.13's embedding_bag takes the count of another row where rows come in some orders.)"""
    w = minidl.ones(4, 2, requires_grad=True)
    F.embedding_bag(minidl.tensor([[0, 0, 1, 3]]), w, mode="sum", scale_grad_by_freq=True).sum().backward()
    assert w.grad[:, 0].tolist() == [1.0, 1.0, 0.0, 1.0]


# --------------------------------------------------------------------------------------------------------------- CTC
def test_the_probabilities_of_all_targets_add_up_to_one(where):
    """Whatever three steps say becomes exactly one sequence of classes without blanks."""
    logits = where.leaf(np.random.default_rng(0).normal(size=(3, 1, 3)))
    total, every = 0.0, [t for n in range(4) for t in itertools.product((1, 2), repeat=n)]
    for target in every:
        if len(target) + sum([a == b for a, b in itertools.pairwise(target)]) > 3:
            continue  # there must be a blank between two that are the same
        ids = where.tensor(np.array(target, dtype=np.int64).reshape(1, -1))
        total = total + (-F.ctc_loss(logits.log_softmax(2), ids, (3,), (len(target),), reduction="sum")).exp()
    assert math.isclose(total.item(), 1.0)
    assert abs(where.host(minidl.grad(total, [logits])[0])).max() < 1e-12


def test_ctc_has_second_derivatives():
    logits = minidl.from_numpy(np.random.default_rng(0).normal(size=(5, 2, 4))).requires_grad_()
    ids = minidl.tensor([[1, 1], [3, 2]])
    assert gradgradcheck(lambda x: F.ctc_loss(x.log_softmax(2), ids, (5, 4), (2, 2)), logits)
    assert gradcheck(lambda x: F.ctc_loss(x, ids, (5, 4), (2, 1)), logits)  # without log_softmax, too


def test_ctc_of_a_long_sequence_does_not_underflow():
    logits = minidl.zeros(400, 1, 30, requires_grad=True)
    loss = F.ctc_loss(logits.log_softmax(2), minidl.tensor([[1, 2] * 40]), (400,), (80,), reduction="sum")
    loss.backward()
    assert 700 < loss.item() < 1361 and np.isfinite(logits.grad.array).all() and logits.grad.array.any()


def test_an_impossible_target_is_infinite_or_counts_nothing():
    logits, ids = minidl.zeros(2, 2, 3, requires_grad=True), minidl.tensor([[1, 1], [1, 2]])
    losses = F.ctc_loss(logits.log_softmax(2), ids, (2, 2), (2, 2), reduction="none")  # 1, 1 needs a blank between
    assert losses[0].item() == math.inf and math.isclose(losses[1].item(), math.log(9), rel_tol=1e-6)
    assert np.isnan(minidl.grad(losses.sum(), [logits])[0].array[:, 0]).all()
    ctc = nn.CTCLoss(reduction="sum", zero_infinity=True)
    total = ctc(logits.log_softmax(2), ids, (2, 2), (2, 2))
    g = minidl.grad(total, [logits])[0].array
    assert math.isclose(total.item(), math.log(9), rel_tol=1e-6) and not g[:, 0].any() and g[:, 1].any()


# ------------------------------------------------------------------------------------------------------------ states
@each_kind
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2, "batch_first": True}], ids=str)
def test_what_is_returned_shares_no_memory(kind, options):
    layer = KINDS[kind][0](3, 4, **options)
    x = minidl.randn(3, 3, 3)
    count = len(layer.all_weights)
    hx = _states(kind, count, 3, 4)
    for given in (None, hx):
        y, new = layer(x, given)
        arrays = [y.array, *[h.array for h in _tuple(new)], *[h.array for h in _tuple(hx)], x.array]
        for i, a in enumerate(arrays):
            assert not any(np.shares_memory(a, b) for b in arrays[:i])
    with minidl.no_grad():
        kept = y.array.copy()
        for h in _tuple(new):
            h.zero_()
        layer(x * 2, hx)
    np.testing.assert_array_equal(y.array, kept)


@each_kind
def test_a_sequence_in_two_parts_is_the_sequence(kind, where):
    layer = KINDS[kind][0](3, 4, 2).to(where.name)
    x = where.tensor(np.random.default_rng(1).normal(size=(7, 2, 3)), np.float32)
    whole, last = layer(x)
    first, hx = layer(x[:3])
    second, hx = layer(x[3:], hx)
    np.testing.assert_allclose(where.host(minidl.cat([first, second])), where.host(whole), rtol=1e-5, atol=1e-6)
    for a, b in zip(_tuple(hx), _tuple(last), strict=True):
        np.testing.assert_allclose(where.host(a), where.host(b), rtol=1e-5, atol=1e-6)


@each_kind
def test_a_layer_is_its_cell_step_by_step(kind):
    layer, cell = KINDS[kind][0](3, 4), getattr(nn, f"{kind}Cell")(3, 4)
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in layer.state_dict().items()})
    x, hx = minidl.randn(6, 2, 3), None
    y, last = layer(x)
    for t in range(6):
        hx = cell(x[t], hx)
        np.testing.assert_allclose(_tuple(hx)[0].array, y[t].array, rtol=1e-5, atol=1e-6)
    for a, b in zip(_tuple(hx), _tuple(last), strict=True):
        np.testing.assert_allclose(a.array, b[0].array, rtol=1e-5, atol=1e-6)


@each_kind
def test_truncated_back_propagation_stops_where_states_are_detached(kind):
    layer, x = KINDS[kind][0](2, 3), minidl.randn(4, 1, 2, requires_grad=True)
    for detached in (False, True):
        x.grad = None
        _, hx = layer(x[:2])
        hx = tuple([h.detach() for h in _tuple(hx)]) if detached else _tuple(hx)
        y, _ = layer(x[2:], hx if len(hx) > 1 else hx[0])
        y.sum().backward()
        assert x.grad.array[2:].any() and bool(x.grad.array[:2].any()) is not detached


@each_kind
def test_an_example_does_not_depend_on_its_batch(kind):
    layer, x = KINDS[kind][0](3, 4, bidirectional=True), minidl.randn(5, 6, 3)
    y = layer(x)[0]
    for n in (0, 5):
        np.testing.assert_allclose(layer(x[:, n])[0].array, y[:, n].array, rtol=1e-5, atol=1e-6)
    assert layer(x[:, :0])[0].shape == (5, 0, 8)


@each_kind
def test_huge_inputs_saturate_without_nan(kind, where):
    layer = KINDS[kind][0](1, 2).to(where.name)
    x = where.tensor(np.array([[[1e30]], [[-1e30]], [[1e30]]]), np.float32).requires_grad_()
    y, _ = layer(x)
    y.sum().backward()
    assert np.isfinite(where.host(y)).all() and np.isfinite(where.host(x.grad)).all()


# ------------------------------------------------------------------------------------------------------------ memory
@each_kind
def test_the_graph_of_a_sequence_is_freed(kind):
    layer, x = KINDS[kind][0](3, 4, 2), minidl.randn(5, 2, 3)
    gc.collect()
    gc.disable()
    try:
        for use in (lambda y: y.sum().backward(), lambda y: None):
            y, hx = layer(x)
            nodes = [weakref.ref(y.grad_fn), *[weakref.ref(h.grad_fn) for h in _tuple(hx)]]
            use(y)
            del y, hx
            assert all(node() is None for node in nodes)
    finally:
        gc.enable()


@each_kind
def test_only_the_gradients_that_are_wanted_are_computed(kind):
    layer = KINDS[kind][0](3, 4)
    layer.weight_hh_l0.requires_grad_(False)
    layer(minidl.randn(2, 2, 3))[0].sum().backward()
    assert layer.weight_hh_l0.grad is None and layer.weight_ih_l0.grad is not None
    x = minidl.randn(2, 2, 3, requires_grad=True)
    _, hx = layer(x)
    (g,) = minidl.grad(_tuple(hx)[-1].sum(), x)  # the last state alone
    assert g.array.any()


# --------------------------------------------------------------------------------------------------------- embedding
def test_embedding_starts_normal_and_padding_at_zero():
    minidl.manual_seed(2)
    table = nn.Embedding(500, 40, padding_idx=7)
    assert not table.weight.array[7].any() and table.weight.array[6].all()
    np.testing.assert_allclose([table.weight.array.mean(), table.weight.array.std()], [0.0, 1.0], atol=0.02)


def test_padding_stays_zero_in_training(where):
    table = nn.Embedding(4, 3, padding_idx=1).to(where.name)
    table(where.tensor(np.array([1, 1, 2]))).sum().backward()
    np.testing.assert_array_equal(where.host(table.weight.grad), np.array([0, 0, 1, 0])[:, None] * np.ones((4, 3)))


def test_from_pretrained_takes_over_the_numbers():
    values = minidl.randn(4, 3)
    table = nn.Embedding.from_pretrained(values, padding_idx=0)
    assert not table.weight.requires_grad and (table.num_embeddings, table.embedding_dim) == (4, 3)
    np.testing.assert_array_equal(table(minidl.tensor([0, 3])).array, values.array[[0, 3]])
    assert nn.Embedding.from_pretrained(values, freeze=False).weight.requires_grad


def test_an_embedding_of_repeated_ids_adds_their_gradients_up(where, rng):
    ids, g = rng.integers(0, 9, size=(50, 4)), rng.normal(size=(50, 4, 5))
    weight = where.leaf(rng.normal(size=(9, 5)))
    F.embedding(where.tensor(ids), weight).backward(where.tensor(g))
    expected = np.zeros((9, 5))
    np.add.at(expected, ids, g)
    np.testing.assert_allclose(where.host(weight.grad), expected, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------- learning
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_it_learns_to_remember_the_first_symbol(kind):
    """The class is the first of six symbols; the others are noise."""
    minidl.manual_seed(1)
    rng = np.random.default_rng(5)
    table, layer, head = nn.Embedding(4, 8), KINDS[kind][0](8, 24, batch_first=True), nn.Linear(24, 4)
    model = nn.ModuleList([table, layer, head])
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(200):
        ids = rng.integers(0, 4, size=(32, 6))
        logits = head(layer(table(minidl.tensor(ids)))[0][:, -1])
        loss = F.cross_entropy(logits, minidl.tensor(ids[:, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


# --------------------------------------------------------------------------------------------------- the ops at size
@pytest.mark.parametrize("seed", range(6))
def test_the_gradients_of_a_long_sequence_agree_with_differences_along_a_line(seed):
    rng = np.random.default_rng(seed)
    steps, count, size, hidden = (int(rng.integers(1, n)) for n in (40, 20, 30, 40))
    reverse = bool(seed % 2)
    calls = {
        "lstm": (lambda *a: R.lstm(*a, reverse=reverse), 4, 2),
        "gru": (lambda *a: R.gru(*a, reverse=reverse), 3, 1),
        "rnn": (lambda *a: R.rnn(*a, relu=False, reverse=reverse), 1, 1),
    }
    for call, gates, states in calls.values():
        rows = gates * hidden
        shapes = [(steps, count, size), *[(count, hidden)] * states, (rows, size), (rows, hidden), (rows,), (rows,)]
        start = [rng.normal(size=shape) * 0.3 for shape in shapes]
        ways = [rng.normal(size=shape) for shape in shapes]
        seeds = [rng.normal(size=(steps, count, hidden)), *[rng.normal(size=(count, hidden))] * states]

        def value(t, call=call, start=start, ways=ways, seeds=seeds):
            ys = call(*[a + t * way for a, way in zip(start, ways, strict=True)])
            return sum([float((y * s).sum()) for y, s in zip(ys, seeds, strict=True)])

        leaves = [minidl.tensor(a.copy(), requires_grad=True) for a in start]
        ys = call(*leaves)
        gs = minidl.grad(list(ys), leaves, [minidl.tensor(s) for s in seeds])
        found = sum([float((g.array * way).sum()) for g, way in zip(gs, ways, strict=True)])
        expected = (value(1e-6) - value(-1e-6)) / 2e-6
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
