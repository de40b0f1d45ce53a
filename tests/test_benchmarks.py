"""The machinery of the benchmarks, without their times: figures, floors, the page, and that all workloads run."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from tests.benchmarks import __main__ as program
from tests.benchmarks import chains, clock, epoch, floors, machine, memory, per_op, rounds, tables, training
from tests.benchmarks.rounds import Failed, Settings
from tests.benchmarks.workloads import WORKLOADS, Workload, batches, lenet5, stepper


# ----------------------------------------------------------------------------------------------------------- figures
def test_a_spread_is_the_median_and_the_quartiles_of_the_best_round():
    slow, fast = [9.0, 9.0, 9.0, 1.0], [5.0, 1.0, 2.0, 3.0, 4.0]
    assert tables.best([slow, fast]) == (3.0, 2.0, 4.0)
    assert str(tables.spread([1.5])) == "1.50 (1.50-1.50)"


@pytest.mark.parametrize(
    "x, text",
    [(1.2345, "1.23"), (0.012345, "0.0123"), (123.4, "123"), (9.999, "10.0"), (1234.6, "1,230"), (0, "0"), (None, "")],
)
def test_figures_have_three_digits_that_count(x, text):
    assert tables.figure(x) == text


def test_ratios_come_to_a_sentence():
    assert math.isclose(tables.geometric_mean([4.0, 0.25, 8.0]), 2.0)
    said = tables.verdict([4.0, 0.25, 8.0], "torch")
    assert said == "torch's time over ours: geometric mean 2.00, smallest 0.25; 1 of 3 below 1."


def test_a_table_is_markdown_and_refuses_a_row_of_another_length():
    assert tables.table(["a", ""], [["1", "2"], ["", "4"]]) == ["| a |  |", "|---|---|", "| 1 | 2 |", "|  | 4 |"]
    with pytest.raises(ValueError, match=r"expected 2 cells \(a, b\), got \['1'\]"):
        tables.table(["a", "b"], [["1"]])


# ------------------------------------------------------------------------------------------------------------ rounds
def test_the_work_must_be_the_same():
    assert rounds.apart("mlp", {"minidl": [2.0, 1.0], "torch": [2.0, 1.00005]}) == pytest.approx(5e-5, rel=1e-3)
    with pytest.raises(Failed, match=r"mlp: the loss of step 2 is 1.0 in minidl and 1.01 in torch"):
        rounds.apart("mlp", {"minidl": [2.0, 1.0], "torch": [2.0, 1.01]})
    with pytest.raises(Failed, match="is nan in minidl"):
        rounds.apart("mlp", {"minidl": [math.nan], "torch": [math.nan]})
    with pytest.raises(Failed, match="2 losses of minidl and 1 of torch"):
        rounds.apart("mlp", {"minidl": [2.0, 1.0], "torch": [2.0]})


def test_frameworks_alternate_and_failures_show_what_was_said(monkeypatch):
    asked = []
    monkeypatch.setattr(rounds, "run", lambda module, name, *rest, timeout: asked.append(name) or len(asked))
    assert Settings("torch", 2, 1.0).run("x") == {"minidl": [1, 3], "torch": [2, 4]}
    assert asked == ["minidl", "torch"] * 2
    monkeypatch.undo()
    with pytest.raises(Failed, match=r"(?s)workloads minidl nothing: exit code 2.*invalid choice: 'nothing'"):
        rounds.run("workloads", "minidl", "nothing")
    with pytest.raises(Failed, match="not done after 0 s"):
        rounds.run("workloads", "minidl", "nothing", timeout=0.01)


def test_times_are_counted_without_what_prepares_and_warms():
    done = []
    found = clock.times(lambda: done.append("run"), 0, lambda: done.append("prepare"), least=3, warm=2, calls=4)
    assert len(found) == 3 and min(found) > 0
    assert done == ["prepare", *["run"] * 4] * 5


def test_times_are_milliseconds_of_a_call(monkeypatch):
    seconds = itertools.count()  # one from each look at the clock to the next
    monkeypatch.setattr(clock.time, "perf_counter", lambda: float(next(seconds)))
    assert clock.times(int, 0, least=2, calls=4) == [250.0, 250.0]
    assert len(clock.times(int, 9.5, least=1, warm=0)) == 5


# ------------------------------------------------------------------------------------------------------------ floors
def test_multiply_adds_and_memory_of_a_perceptron():
    found = floors.count(minidl, WORKLOADS["MLP, batch 64, Adam"], 2)
    first, others = 784 * 256, 256 * 128 + 128 * 10
    assert found.products == 2 * (2 * first + 3 * others)  # the gradient of the images is not needed
    parameters = first + others + 256 + 128 + 10
    layers = 2 * (256 + 256 + 128 + 128 + 10)
    # parameters: six times, and Adam's two states read and written
    assert sum(n * often for n, often in found.passes.items()) == 4 * (10 * parameters + 4 * layers + 2 * 2 * 784)


def test_multiply_adds_of_convolutions_in_inference():
    found = floors.count(minidl, Workload(lenet5, (1, 28, 28), 1, None), 3)
    convolutions = 6 * 28 * 28 * 25 + 16 * 10 * 10 * 6 * 25
    assert found.products == 3 * (convolutions + 400 * 120 + 120 * 84 + 84 * 10)
    layers = 2 * 6 * 28 * 28 + 6 * 14 * 14 + 2 * 16 * 10 * 10 + 400 + 2 * 120 + 2 * 84 + 10
    parameters = 6 * 26 + 16 * 151 + 401 * 120 + 121 * 84 + 85 * 10
    assert sum(n * often for n, often in found.passes.items()) == 4 * (3 * (2 * layers + 28 * 28) + parameters)


def test_multiply_adds_of_a_recurrent_layer():
    found = floors.count(minidl, WORKLOADS["char-LSTM, batch 32"], 1)
    assert found.products == 3 * 64 * (4 * 128 * (64 + 128) + 128 * 65)
    assert found.passes[4 * 64 * (128 + 4 * 128)] == 4  # with the four gates


def test_multiply_adds_of_attention_are_those_below_the_diagonal():
    attend = minidl.nn.functional.scaled_dot_product_attention
    found = floors.count(minidl, WORKLOADS["mini-GPT, batch 16, AdamW"], 1)
    dense = 2 * 64 * (64 * 192 + 64 * 64 + 2 * 64 * 256) + 64 * 64 * 65
    attention = 2 * 4 * (64 * 65 // 2) * 16 * 2
    assert found.products == 3 * (dense + attention)
    assert minidl.nn.functional.scaled_dot_product_attention is attend


def test_the_floor_of_a_machine():
    rates = {"GFLOP/s": 100.0, "GB/s": {str(2**20): 50.0, str(2**26): 10.0}}
    found = floors.floor(50_000_000, [(1_000_000, 5), (100_000_000, 2)], rates)
    assert found == pytest.approx((1.0, 0.1 + 20.0))


def test_shares_add_up_and_ops_are_what_they_were():
    before = {name: op.body for name, op in minidl.ops.OPS.items()}
    parts = floors.shares(minidl, WORKLOADS["MLP, batch 64, Adam"], seconds=0, size=2)
    assert sum(parts.values()) == pytest.approx(1)
    assert {"linear", "linear backward", "the update", "outside of ops"} <= set(parts)
    assert {name: op.body for name, op in minidl.ops.OPS.items()} == before
    assert floors.phrase({"a": 0.5, "b": 0.3, "c": 0.1, "d": 0.06, "e": 0.04}) == "a 50%, b 30%, c 10%, d 6%"


def test_what_is_called_within_is_not_counted_twice(monkeypatch):
    now = iter([0.0, 1.0, 4.0, 5.0])  # outer begins, inner begins and ends, outer ends
    monkeypatch.setattr(floors.time, "perf_counter", lambda: next(now))
    meter = floors.Meter()
    inner = meter.metered("inner", lambda: None)
    meter.metered("outer", inner)()
    assert meter.seconds == {"inner": 3.0, "outer": 2.0}


# -------------------------------------------------------------------------------------------------------------- page
def result(time: float) -> dict:
    """As `workloads` prints it."""
    return {"times": [time] * 3, "losses": [2.0, 1.0], "growth": 3.0}


def test_steps_are_compared():
    found = {name: {"minidl": [result(2.0), result(1.0)], "torch": [result(2.0)] * 2} for name in "ab"}
    lines = training.comparison(Settings("torch", 2, 1.0), found, "step")
    assert lines[0] == "torch's time over ours: geometric mean 2.00, smallest 2.00; 0 of 2 below 1."
    assert "| a | 1.00 (1.00-1.00) | 2.00 (2.00-2.00) | 2.00 | 3.0 | 3.0 |" in lines
    found["b"]["torch"][1]["losses"] = [2.0, 1.1]
    with pytest.raises(Failed, match=r"b: the loss of step 2 is 1.0 in minidl and 1.1 in torch"):
        training.comparison(Settings("torch", 2, 1.0), found, "step")
    alone = training.comparison(Settings(None, 1, 1.0), {"a": {"minidl": [result(1.0)]}}, "step")
    assert alone == ["| workload | minidl, ms | minidl, MB |", "|---|---|---|", "| a | 1.00 (1.00-1.00) | 3.0 |"]


def test_a_part_takes_its_place_in_the_page():
    settings = Settings(None, 1, 1.0)
    text = program.page(settings, {"Training": ["old", "", "### More", "", "x"], "Time per op": ["ops"]})
    new = program.renewed(text, {"Training": ["new"], "Inference": ["fast"]}, settings)
    assert program.sections_of(new) == {"Training": ["new"], "Inference": ["fast"], "Time per op": ["ops"]}
    assert list(program.sections_of(new)) == ["Training", "Inference", "Time per op"]
    assert program.renewed(text + "\n## Elsewhere\n\nkept\n", {}, settings) == text + "\n## Elsewhere\n\nkept\n"
    with pytest.raises(SystemExit, match="was made elsewhere"):
        program.renewed(text.replace(machine.description(None), "a Cray-1"), {"Training": []}, settings)


def test_the_program_writes_and_tells_what_failed(monkeypatch, tmp_path, capsys):
    def fails(settings):
        raise Failed("the loss of step 1 differs")

    monkeypatch.setattr(
        program, "PARTS", {"a": program.Part("A", lambda settings: ["fine"]), "b": program.Part("B", fails)}
    )
    path = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--write", str(path)])
    assert program.main() == 1
    assert "B: the loss of step 1 differs" in capsys.readouterr().err
    assert program.sections_of(path.read_text()) == {"A": ["fine"]}
    before = path.read_text()
    for file in (path, tmp_path / "new.md"):
        monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "b", "--write", str(file)])
        assert program.main() == 1
    assert path.read_text() == before and not file.exists()


# --------------------------------------------------------------------------------------------------------- workloads
@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_run_and_repeat(name):
    workload = WORKLOADS[name]
    data = [(minidl.tensor(x), minidl.tensor(t)) for x, t in batches(workload, 2, 1)]
    first, again = (stepper(minidl, workload, 0.0, data) for _ in range(2))
    losses = [float(first()) for _ in range(2)]
    assert np.isfinite(losses).all() and losses == [float(again()) for _ in range(2)]
    assert (losses[0] == losses[1]) == (workload.optimizer is None)


def test_an_epoch_without_mnist_goes_over_all_images(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (130, 28, 28), dtype=np.uint8)
    labels = np.arange(130) % 10
    T = clock.framework("minidl")
    for ways in (epoch.loader(T, images, labels), epoch.Resident(T, images, labels)):
        found = list(ways)
        assert [len(t) for _, t in found] == [64, 64, 2]
        order = [t for _, part in found for t in part.tolist()]
        assert sorted(order) == sorted(labels.tolist()) and order != labels.tolist()
        total = sum(float(x.sum()) for x, _ in found)
        assert total == pytest.approx(float(((images / 255 - epoch.MEAN) / epoch.STD).sum()), rel=1e-4)
        assert epoch.epoch(T, ways, "LeNet-5, batch 64")["loss"] > 0


def test_chains_and_ops_run():
    x = minidl.ones(2, 2, requires_grad=True)
    chains.chain(minidl, x, 8)
    assert x.grad is not None
    assert all(run() is not None for run in per_op.cases(minidl).values())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says how much memory a process has")
def test_memory_is_read_from_the_system():
    minidl.cpu.empty_cache()  # else the array lies in memory that is kept
    memory.forget_peak()
    before = memory.peak()
    assert before >= memory.resident() * 0.9
    block = np.ones(2**24)
    size = block.nbytes / 1e6
    del block
    assert memory.peak() - before > size * 0.8
    if memory.forget_peak():
        assert memory.peak() - before < size * 0.5


def test_the_machine_is_described_and_copies():
    assert "NumPy" in machine.description(None)
    assert machine.copies(2**20, seconds=0) > 0
