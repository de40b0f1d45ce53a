"""Recurrent layers and Embedding beyond PyTorch's values: errors, dropout, states, memory, learning."""

from __future__ import annotations

import gc
import inspect
import warnings
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import functional as F
from minidl.ops import recurrent as R

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
class PackedSequence:
    """Stands for PyTorch's."""


_E = minidl.Tensor(np.array([[0, 1], [4, 5]]))


@pytest.mark.parametrize(
    "run, error, words",
    [
        (lambda: nn.LSTM(3, 4)(minidl.zeros(2, 5, 3, 3)), ValueError, r"LSTM: expected input \(T, N, D\)"),
        (lambda: nn.GRU(3, 4, batch_first=True)(minidl.zeros(3)), ValueError, r"GRU: expected input \(N, T, D\)"),
        (lambda: nn.RNN(3, 4)(minidl.zeros(5, 2, 4)), RuntimeError, "RNN: input has 4 features, expected input_size 3"),
        (lambda: nn.LSTM(3, 4)(minidl.zeros(0, 2, 3)), RuntimeError, "at least one time step"),
        (lambda: nn.LSTM(3, 4)(minidl.zeros(5, 2, 3).double()), TypeError, "input is minidl.float64, weight is"),
        (lambda: nn.LSTM(3, 4)([1.0]), TypeError, "LSTM: input must be a Tensor, got list"),
        (lambda: nn.LSTM(3, 4)(PackedSequence()), NotImplementedError, "PackedSequence is not supported yet"),
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
        (lambda: nn.LSTM(3, 4, proj_size=2), NotImplementedError, "proj_size=2"),
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
        (lambda: nn.Embedding(5, 3, max_norm=1.0), NotImplementedError, "max_norm=1.0"),
        (lambda: nn.Embedding(5, 3, norm_type="2"), TypeError, "norm_type"),
        (lambda: nn.Embedding(5, 3, scale_grad_by_freq=True), NotImplementedError, "scale_grad_by_freq"),
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

        leaves = [minidl.Tensor(a.copy(), requires_grad=True) for a in start]
        ys = call(*leaves)
        gs = minidl.grad(list(ys), leaves, [minidl.Tensor(s) for s in seeds])
        found = sum([float((g.array * way).sum()) for g, way in zip(gs, ways, strict=True)])
        expected = (value(1e-6) - value(-1e-6)) / 2e-6
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
