"""The examples that read sequences and the residual network, and the page of all layers."""

from __future__ import annotations

import inspect
import math
import re
import types

import pytest
from test_examples import ROOT, numbers, run_example

import minidl
from minidl import nn

LAYERS = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
TABLE = "\n".join(line.split(" | ")[0] for line in LAYERS.splitlines() if line.startswith("| `"))  # first columns only


@pytest.mark.slow
def test_row_lstm_reads_the_digits(tmp_path):
    lines = run_example("mnist_row_lstm.py", "--dataset", "digits", "--epochs", "6", cwd=tmp_path).splitlines()
    epochs = numbers("epoch #: training loss #, test accuracy #%", lines)
    assert len(epochs) == 6 and epochs[5][1] < epochs[0][1] / 4 and epochs[5][2] > 85


def test_the_residual_network_learns_the_digits(tmp_path):
    args = ["--dataset", "digits", "--batch-size", "32", "--epochs", "3", "--width", "8"]
    head, *lines = run_example("cifar10_resnet.py", *args, cwd=tmp_path).splitlines()
    ((parameters, updates),) = numbers("# parameters, # updates", [head.replace(",", "", 1)])
    # width w: 9 w for the first convolution, 18 w^2 + 54 w^2 + 216 w^2 for the blocks, 2 w^2 + 8 w^2 for the shortcuts,
    # 2 numbers for each of 21 w normalised channels, and 10 (4 w + 1)
    assert (parameters, updates) == (9 * 8 + 298 * 64 + 42 * 8 + 10 * 33, 3 * 45)
    epochs = numbers("epoch #: training loss #, test accuracy #%", lines)
    assert len(epochs) == 3 and epochs[2][1] < epochs[0][1] / 3 and epochs[2][2] > 90


def test_the_residual_network_takes_a_part_of_the_data(tmp_path):
    args = ["--dataset", "digits", "--subset", "40", "--batch-size", "8", "--epochs", "1", "--width", "2"]
    head, line = run_example("cifar10_resnet.py", *args, cwd=tmp_path).splitlines()
    assert head.endswith(" 5 updates")
    ((_, _, accuracy),) = numbers("epoch #: training loss #, test accuracy #%", [line])
    assert accuracy % 2.5 == 0  # one image of 40


@pytest.mark.slow
def test_char_lstm_learns_a_text_and_writes(tmp_path):
    text = "to be, or not to be: that is the question.\n"
    (tmp_path / "text.txt").write_text(text * 120)
    args = ["--text", "text.txt", "--epochs", "12", "--streams", "8", "--steps", "16", "--hidden", "32"]
    printed = run_example("char_lstm.py", *args, "--lr", "0.02", "--length", "200", cwd=tmp_path)
    lines = printed.splitlines()
    epochs = numbers("epoch #: training loss #, held out # nats per character", lines[:12])
    assert epochs[11][1] < epochs[0][1] / 4 and epochs[11][2] < 0.2
    sample = "\n".join(lines[12:])
    assert len(sample) >= 195 and set(sample) <= set(text) and text.strip() in sample


def test_char_lstm_carries_its_state_from_window_to_window(tmp_path):
    # after an a comes an a or a b, and in windows of one character only a carried state knows which
    (tmp_path / "text.txt").write_text("aab" * 600)
    args = ["--text", "text.txt", "--epochs", "4", "--streams", "4", "--steps", "1", "--hidden", "16", "--lr", "0.02"]
    lines = run_example("char_lstm.py", *args, "--length", "30", cwd=tmp_path).splitlines()
    epochs = numbers("epoch #: training loss #, held out # nats per character", lines[:4])
    assert epochs[3][1] < 0.2 < 2 / 3 * math.log(2) and epochs[3][2] < 0.2
    assert "aabaabaab" in lines[4]


@pytest.mark.slow
def test_gru_against_lstm_compares_on_equal_terms(tmp_path):
    args = ["--length", "8", "--updates", "300", "--every", "100", "--hidden", "24", "--lr", "0.01"]
    head, *lines = run_example("gru_against_lstm.py", *args, cwd=tmp_path).splitlines()
    assert head.split() == ["update", "RNN", "GRU", "LSTM"]
    rows = {line.split()[0]: [float(v.replace(",", "")) for v in line.split()[1:]] for line in lines}
    assert list(rows) == ["100", "200", "300", "parameters", "seconds"]
    assert all(0 <= error < 0.07 for error in rows["300"])  # 1/6 for who always answers 1
    assert max(rows["parameters"]) < 1.15 * min(rows["parameters"])
    assert min(rows["seconds"]) > 0


def test_the_page_of_layers_names_all_that_there_is():
    named = {word for quoted in re.findall(r"`([^`]+)`", TABLE) for word in re.findall(r"\w+", quoted.split("(")[0])}
    old = {name for name in nn.init.__all__ if f"{name}_" in nn.init.__all__}
    modules = {name for name in nn.__all__ if isinstance(getattr(nn, name), types.ModuleType)}
    public = {*nn.__all__, *nn.init.__all__} - old - modules
    assert not public - named, "docs/layers.md does not name these"
    assert not named - public, "docs/layers.md names these, which do not exist"
    for name in modules:
        assert f"nn.{name}" in LAYERS
    missing = [
        name for name in vars(nn.utils) if name.endswith("_") and not name.startswith("_") and name not in LAYERS
    ]
    assert not missing


def test_the_page_of_layers_gives_the_defaults():
    """`Softplus(beta=1, threshold=20)`: there are arguments of these names with these numbers as defaults."""
    for layer, given in re.findall(r"`([A-Z]\w+)\(([^`]*)\)`", TABLE):
        taken = inspect.signature(nn.RNNBase if layer in ("RNN", "GRU", "LSTM") else getattr(nn, layer)).parameters
        for name, value in re.findall(r"(\w+)=(-?\d[\d.]*)", given):
            assert taken[name].default == float(value), (layer, name)


x = minidl.ones(2, 2)
MISSING = {
    "LinearCrossEntropyLoss(options=...)": lambda: nn.LinearCrossEntropyLoss(2, 3, options=x),
    "PairwiseDistance(p=...)": lambda: nn.PairwiseDistance(p=-1.0)(x, x),
    "Unflatten": lambda: nn.Unflatten("features", (("a", 1), ("b", 2))),
    "functional.normalize(out=...)": lambda: nn.functional.normalize(x, out=x),
}


@pytest.mark.parametrize("what", MISSING)
def test_the_page_of_layers_says_what_is_refused(what):
    refused = LAYERS.split("## What is not there")[1].split("These do not exist")[0]
    assert f"`{what}`" in refused
    with pytest.raises(NotImplementedError):
        MISSING[what]()


def test_the_page_of_layers_says_what_does_not_exist():
    absent = re.search(r"These do not exist at all:(.*?)\n\n", LAYERS, re.DOTALL)
    names = re.findall(r"`(\w+)`", absent[1])
    assert not [name for name in names if hasattr(nn, name)], "these exist by now: docs/layers.md should say so"
