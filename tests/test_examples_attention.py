"""The examples of attention and of transfer run, shortened, and print what they promise."""

from __future__ import annotations

import pytest
from test_examples import numbers, run_example

import minidl

TEXT = "to be, or not to be: that is the question.\n"
SMALL = ["--text", "text.txt", "--batch-size", "8", "--context", "24", "--width", "16", "--heads", "2"]
LINE = "step #: training loss #, held out # nats per character"


def test_mini_gpt_learns_a_text_saves_and_writes(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT * 60)
    args = [*SMALL, "--steps", "250", "--every", "125", "--warmup", "20", "--lr", "0.02"]
    printed = run_example("mini_gpt.py", *args, "--length", "200", "--save", "gpt.safetensors", cwd=tmp_path)
    head, first, last, saved, *sample = printed.splitlines()
    parameters = 17 * 16 + 24 * 16 + 2 * (2 * 32 + 48 * 17 + 16 * 17 + 64 * 17 + 16 * 65) + 32
    assert head == f"{parameters:,} parameters, 17 characters" and saved == "weights: gpt.safetensors"
    steps = numbers(LINE, [first, last])
    assert [s[0] for s in steps] == [125, 250] and steps[1][1] < steps[0][1] / 4 and steps[1][2] < 0.2
    text = "\n".join(sample)
    assert len(text) >= 195 and set(text) <= set(TEXT) and "not to be: that is the question." in text

    state = minidl.load(tmp_path / "gpt.safetensors")
    assert state["chars"] == "".join(sorted(set(TEXT)))
    assert tuple(state["model"]["blocks.1.qkv.weight"].shape) == (48, 16)

    # the weights go on from there, only to write
    args = [*SMALL, "--steps", "0", "--load", "gpt.safetensors", "--length", "60"]
    _, loss, *_ = run_example("mini_gpt.py", *args, cwd=tmp_path).splitlines()
    assert numbers("held out # nats per character", [loss]) == [(steps[1][2],)]

    # a file that does not fit is refused, before anything is trained
    with pytest.raises(AssertionError, match="blocks.1.qkv.weight"):
        run_example("mini_gpt.py", *args, "--layers", "1", cwd=tmp_path)
    (tmp_path / "text.txt").write_text(TEXT.upper() * 60)
    with pytest.raises(AssertionError, match="a text of other characters"):
        run_example("mini_gpt.py", *args, cwd=tmp_path)


def test_transfer_learning_prints_what_was_learned(tmp_path):
    args = [
        "--dataset",
        "digits",
        "--pretrain",
        "150",
        "--steps",
        "30",
        "--seeds",
        "2",
        "--save",
        "weights.safetensors",
    ]
    first, *seeds, last = run_example("transfer_learning.py", *args, cwd=tmp_path).splitlines()
    ((loss, accuracy),) = numbers("digits 0 to 4: loss #, test accuracy #%", [first])
    assert loss < 1 and accuracy > 60
    assert "features.0.weight" in minidl.load(tmp_path / "weights.safetensors")
    found = numbers("seed #: # labels, from scratch #%, only the head #%, as a whole #%", seeds)
    assert [(seed, labels) for seed, labels, *_ in found] == [(0, 25), (1, 25)]
    ((*means, better, of),) = numbers("mean: #%, #% and #%; transfer is better in # of # seeds", [last])
    for k, mean in enumerate(means, 2):
        assert mean == pytest.approx((found[0][k] + found[1][k]) / 2, abs=0.011) and mean > 15
    assert (better, of) == (sum(s[4] > s[2] for s in found), 2)
