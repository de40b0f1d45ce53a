"""The table of a model's layers: shapes, parameters, multiply-adds, and memory against what is really held."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from layers import LAYERS
from layers.runs import drawn, each

import minidl
from minidl import nn, train
from minidl.nn import functional as F
from minidl.train import run as runs
from minidl.train import summary


def rows(s) -> dict[str, tuple]:
    return {row.name: (row.kind, row.output, row.parameters, row.multiply_adds) for row in s.rows}


def counts(layer, shape, batch: int = 2) -> int | None:
    """The multiply-adds of one layer."""
    return summary(layer, shape, batch).rows[0].multiply_adds


# ------------------------------------------------------------------------------------------------- what is counted
def test_a_model_layer_by_layer():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
    s = summary(model, (3, 4, 4), 5)
    assert rows(s) == {
        "0": ("Conv2d", (5, 8, 4, 4), 3 * 9 * 8 + 8, 5 * 16 * 8 * 27),
        "1": ("BatchNorm2d", (5, 8, 4, 4), 16, 5 * 128),
        "2": ("ReLU", (5, 8, 4, 4), 0, 0),
        "3": ("Flatten", (5, 128), 0, 0),
        "4": ("Linear", (5, 10), 1290, 5 * 1280),
    }
    assert s.parameters == s.trainable == 224 + 16 + 1290 and s.parameter_bytes == 4 * s.parameters
    assert s.multiply_adds == 5 * (16 * 8 * 27 + 128 + 1280) and s.inputs == [(5, 3, 4, 4)]
    assert s.uncounted == s.notes == [] and [row.calls for row in s.rows] == [1] * 5
    assert summary(model, minidl.zeros(5, 3, 4, 4)).rows == s.rows == summary(model, [minidl.ones(5, 3, 4, 4)]).rows


@pytest.mark.parametrize(
    ("make", "shape", "expected"),
    [
        (lambda: nn.Linear(6, 4), (7, 6), 2 * 7 * 4 * 6),
        (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, groups=2, bias=False), (4, 7, 6), 2 * 6 * 9 * 2 * 6),
        (lambda: nn.LSTM(3, 5, batch_first=True), (7, 3), 2 * 7 * 4 * 5 * (3 + 5)),
        (lambda: nn.LSTM(3, 5, 2, bidirectional=True, batch_first=True), (7, 3), 2 * 7 * 2 * 20 * (8 + 10 + 5)),
        (lambda: nn.GRU(3, 5, batch_first=True), (7, 3), 2 * 7 * 3 * 5 * (3 + 5)),
        (lambda: nn.RNN(3, 5, batch_first=True), (7, 3), 2 * 7 * 5 * (3 + 5)),
        (lambda: nn.LSTMCell(3, 5), (3,), 2 * 4 * 5 * (3 + 5)),
        (lambda: nn.MaxPool2d(2), (1, 4, 4), 0),
        (lambda: nn.Dropout(0.5), (4,), 0),
    ],
    ids="linear conv lstm lstm2 gru rnn cell pool dropout".split(),
)
def test_multiply_adds_of_layers(make, shape, expected):
    s = summary(make(), shape, 2)
    assert s.multiply_adds == s.rows[0].multiply_adds == expected and s.uncounted == []


OTHERS = {  # multiply-adds for a batch of 2
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3), (4, 8), 2 * 6 * 6 * 4 * 3),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (4, 5), 2 * 4 * 5 * 6 * 3),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5), 2 * 4 * 25 * 3 * 9),
    "LayerNorm": (lambda: nn.LayerNorm(6), (5, 6), 2 * 30),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (4, 3), 2 * 12),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4), (4, 3, 3), 2 * 36),
    "PReLU": (lambda: nn.PReLU(), (5,), 2 * 5),
}


def test_every_rule_is_of_a_layer_that_there_is():
    from minidl.train.summary import _COUNT

    assert [name for name in _COUNT if not hasattr(nn, name)] == []


@pytest.mark.parametrize("name", OTHERS)
def test_multiply_adds_of_further_layers(name):
    make, shape, expected = OTHERS[name]
    s = summary(make(), shape, 2)
    assert (s.multiply_adds, s.uncounted) == (expected, [])


# without those whose forward does arithmetic of its own with parameters, as subclasses do
WEIGHTED = [
    name
    for name, entry in LAYERS.items()
    if "ParameterList" not in name
    and entry.table != "subclasses"
    and next(entry.make(nn).parameters(), None) is not None
]


@pytest.mark.parametrize("name", WEIGHTED)
def test_every_layer_that_has_parameters_is_counted(name):
    """All layers that are compared with PyTorch's, with the inputs that they get there."""

    def tensor(a):
        t = None if a is None else minidl.tensor(a)
        return t.float() if t is not None and t.is_floating_point() else t

    inputs = [each(drawn(x, 3), tensor) for x in LAYERS[name].inputs]
    s = summary(LAYERS[name].make(nn), inputs)
    assert s.uncounted == [] and s.parameters == sum(r.parameters for r in s.rows) > 0
    assert s.multiply_adds > 0 or "Embedding" in name


def test_an_embedding_needs_tokens_and_multiplies_nothing():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    s = summary(model, minidl.tensor([[1, 2, 3]]))
    assert rows(s) == {"0": ("Embedding", (1, 3, 4), 40, 0), "1": ("Linear", (1, 3, 3), 15, 36)}


class Tied(nn.Module):
    """A layer called twice, a parameter used twice, a layer never called."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(self.first(x)))


def test_what_is_shared_is_counted_once_and_what_is_called_twice_twice():
    s = summary(Tied(), (4,), 3)
    assert [(r.name, r.calls, r.parameters, r.multiply_adds) for r in s.rows] == [
        ("first", 2, 20, 2 * 48), ("second", 1, 4, 48), ("unused", 0, 6, 0)
    ]  # fmt: skip
    assert s.parameters == 30 and "called 2 times" in str(s) and "not called" in str(s)


def test_frozen_parameters():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    s = summary(model, (4,))
    assert (s.parameters, s.trainable) == (30, 10) and "30, 20 of them fixed" in str(s)


class Own(nn.Module):
    """Arithmetic of its own."""

    def __init__(self, what: str):
        super().__init__()
        self.fc, self.what = nn.Linear(4, 4), what
        if what == "scale":
            self.scale = nn.Parameter(minidl.ones(4))
        self.hidden = (nn.RNN(4, 4),)  # in a tuple it is no part of the model

    def forward(self, x):
        x = F.relu(self.fc(x))
        if self.what == "scale":
            return x * self.scale
        return x @ x.T if self.what == "product" else self.hidden[0](x)[0]


def test_what_cannot_be_counted_is_said():
    s = summary(Own("scale"), (4,), 2)
    assert s.uncounted == ["(model): whatever Own does with its parameters"] and s.rows[0].multiply_adds is None
    assert s.multiply_adds == 2 * 16 and "not counted    (model): whatever Own" in str(s)
    s = summary(nn.Sequential(Own("recurrence")), (4,), 2)
    assert s.uncounted == ["0: rnn in Own.forward"] and s.multiply_adds == 2 * 16
    assert [line.split()[4] for line in str(s).splitlines()[2:4]] == ["?", "32"]


def test_products_of_a_module_are_counted_by_their_shapes():
    s = summary(nn.Sequential(Own("product")), (4,), 2)
    assert rows(s)["0"][-1] == 2 * 2 * 4 and s.uncounted == []

    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.v = nn.Parameter(minidl.ones(3, 2, 3, 3)), nn.Parameter(minidl.ones(3, 2, 2, 2))

        def forward(self, x):
            return F.conv_transpose2d(F.conv2d(x, self.w, padding=1), self.v, stride=2)

    s = summary(Conv(), (2, 4, 4))
    assert s.uncounted == [] and s.multiply_adds == 3 * 16 * 2 * 9 + 3 * 16 * 2 * 4


def test_attention_is_counted_with_its_products():
    heads, length, width = 2, 5, 8
    s = summary(nn.MultiheadAttention(width, heads, batch_first=True), [minidl.rand(1, length, width)] * 3)
    projections, products = 4 * length * width * width, 2 * heads * length * length * (width // heads)
    assert s.multiply_adds == projections + products and s.uncounted == []


class Pair(nn.Module):
    """Two inputs; outputs in a dict, a layer that gives tuples."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)
        self.fc = nn.Linear(5, 2)

    def forward(self, a, b):
        y, (h, c) = self.lstm(a)
        return {"y": self.fc(y), "h": [h + b, c]}


def test_several_inputs_and_nested_outputs():
    s = summary(Pair(), (minidl.zeros(2, 4, 3), minidl.zeros(2, 5)))
    assert [(r.name, r.output) for r in s.rows if r.parameters] == [("lstm", (2, 4, 5)), ("fc", (2, 4, 2))]
    assert s.inputs == [(2, 4, 3), (2, 5)] and s.activations > 0


@pytest.mark.parametrize("name", sorted(runs.MODELS))
def test_everything_is_counted_in_the_models_of_the_command(name):
    s = summary(runs.MODELS[name]((3, 32, 32), 10), (3, 32, 32), 2)
    assert s.uncounted == [] and s.multiply_adds > 10**5 and s.parameters == sum(r.parameters for r in s.rows)


def test_resnet8_by_hand():
    s = summary(train.ResNet8(width=16), (3, 32, 32))
    conv = 9 * (3 * 16 + 2 * 16 * 16) * 1024 + (9 * (16 * 32 + 32 * 32) + 16 * 32) * 256
    conv += (9 * (32 * 64 + 64 * 64) + 32 * 64) * 64
    norm = 3 * 16 * 1024 + 3 * 32 * 256 + 3 * 64 * 64
    assert s.multiply_adds == conv + norm + 640 and s.parameters == 78_042


# ------------------------------------------------------------------------------------------------- nothing is changed
def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2))
    model[2].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = minidl.default_generator().get_state()
    seen = []
    handle = model[0].register_forward_hook(lambda *a: seen.append(1))
    summary(model, (4,), 3)
    handle.remove()
    assert seen == [1] and model._hooks is None or not model._hooks.forward
    assert all((v == model.state_dict()[k]).all().item() for k, v in before.items())
    assert minidl.default_generator().get_state() == state
    assert [m.training for m in model] == [True, True, False, True]
    assert all(p.grad is None for p in model.parameters())


def test_the_model_is_left_as_it_was_when_its_forward_fails():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Linear(7, 2)).eval()
    with pytest.raises(ValueError, match="linear"):
        summary(model, (3, 4, 4), 2)
    assert not model.training and all(not m._hooks.forward for m in model.modules() if m._hooks)
    assert model[0].running_mean.abs().sum().item() == 0 and model[0].num_batches_tracked.item() == 0


def test_inside_no_grad():
    with minidl.no_grad():
        assert summary(nn.Linear(3, 3), (3,)).peak > 0


def test_a_batch_of_one_that_batch_norm_cannot_train_on():
    s = summary(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (4,))
    assert s.multiply_adds == 12 + 3 and len(s.notes) == 1 and "batch of one" in str(s)
    assert summary(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (4,), 2).notes == []


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((F.relu, (4,)), TypeError, "summary: expected a Module, got"),
        ((nn.Identity(), "3,4"), TypeError, "summary: expected the shape of a sample, or Tensors, got str"),
        ((nn.Identity(), 4), TypeError, "expected the shape of a sample, or Tensors, got int"),
        ((nn.Identity(), (3, 4.0)), TypeError, r"expected the shape of a sample, or Tensors, got \(3, 4.0\)"),
        ((nn.Identity(), (3, 0)), ValueError, r"sizes should be at least 1, got the shape \(3, 0\)"),
        ((nn.Identity(), (3,), 0), ValueError, "batch_size should be a whole number of at least 1, got 0"),
        ((nn.Identity(), (3,), True), ValueError, "batch_size should be a whole number"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_arguments(args, error, message):
    with pytest.raises(error, match=message):
        summary(*args)


# ---------------------------------------------------------------------------------------------------------- memory
@pytest.mark.parametrize(
    ("name", "least"),
    [pytest.param("resnet8", 0.85, marks=pytest.mark.slow), ("cnn", 0.85), ("lenet5", 0.6), ("lstm", 0.5)],
)
def test_memory_is_what_a_training_step_really_holds(name, least, one_thread):
    """Against the allocations that Python saw; at the peak the own memory of a kernel (of each thread) comes on top."""
    model, x = runs.MODELS[name]((3, 32, 32), 10), minidl.randn(32, 3, 32, 32)
    g = minidl.randn(32, 10)
    model(x).backward(g)  # whatever is made once is made now
    s = summary(model, (3, 32, 32), 32)
    for p in model.parameters():
        p.grad = minidl.zeros_like(p)
    gc.collect()
    tracemalloc.start()
    y = model(x)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    y.backward(g)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.97 * held - 50_000 < s.activations <= held
    assert least * (peak - s.parameter_bytes) < s.peak < 1.1 * peak
    assert s.activations == sum(row.kept for row in s.rows) and s.peak >= s.activations


def test_memory_of_a_chain_by_hand():
    """Linear keeps its input (the first one's is not counted), ReLU its output, which is the second Linear's input."""
    model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    s = summary(model, (100,), 8)
    assert [row.kept for row in s.rows] == [0, 8 * 50 * 4, 0] and s.activations == 1600
    assert s.peak == 1600 + 2 * 1600  # the gradients of the ReLU's output and input


def test_float64_and_the_other_device(where):
    model = nn.Linear(4, 2).to(where.name).double()
    s = summary(model, (4,), 3)
    assert s.parameter_bytes == 80 and s.multiply_adds == 24
    assert s.rows[0].output == (3, 2)


# ------------------------------------------------------------------------------------------------------------- text
def test_the_table_is_aligned_and_small_numbers_have_units():
    text = str(summary(train.CNN(), (1, 28, 28), 64))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "multiply-adds", "kept"]
    assert set(lines[1]) == {"-"} and len({len(line) for line in lines[:-4]}) == 1
    assert "64x16x28x28" in text and "kB" in text and "MB" in text
    assert str(summary(nn.Identity(), (2,))).splitlines()[2].split() == "(model) Identity 1x2 0 0 0 B".split()


def test_a_model_without_layers_and_a_scalar_input():
    s = summary(nn.Sequential(), ())
    assert s.parameters == s.multiply_adds == s.activations == s.peak == 0
    assert np.isfinite(len(str(s)))
