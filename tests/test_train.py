"""The training loop, its metrics, checkpoints, the offered models, run folders and learning curves."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import Where
from standin import counting

import minidl
from minidl import nn, optim, serialization, train
from minidl.data import DataLoader, TensorDataset
from minidl.optim import schedules
from minidl.report import draw_curves
from minidl.train import run as runs
from minidl.train.budget import options_of, read_fractions, write_fractions
from minidl.train.loop import NonFiniteLoss, Position, evaluate, fit
from minidl.train.metrics import Totals, accuracy
from minidl.train.options import cycles

LOSS = nn.CrossEntropyLoss()


def points(where, n: int = 50) -> TensorDataset:
    """Points of three classes that a small network can tell apart."""
    rng = np.random.default_rng(5)
    target = rng.integers(0, 3, n)
    x = rng.normal(size=(n, 4)) + np.eye(3, 4)[target] * 3
    return TensorDataset(where.tensor(x, "float32"), where.tensor(target, "int64"))


class Setup:
    """A model with dropout and batch norm, an optimizer and a shuffling loader, the same every time."""

    def __init__(self, where, epochs: int = 4, generator: int | None = None) -> None:
        minidl.manual_seed(9)
        self.data = points(where)
        self.model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        self.model.to(where.name)
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01 * schedules.cosine(epochs * 7))
        own = None if generator is None else minidl.Generator(generator)
        self.loader = DataLoader(self.data, batch_size=8, shuffle=True, generator=own)
        self.test = DataLoader(self.data, batch_size=20)
        self.epochs, self.position = epochs, Position()

    def fit(self, **kwargs):
        given = dict(validation=self.test, position=self.position)
        return fit(self.model, self.loader, LOSS, self.optimizer, self.epochs, **{**given, **kwargs})

    def save(self, folder):
        folder.mkdir(exist_ok=True)
        return train.save_checkpoint(folder, self.model, self.optimizer, self.loader, self.position)


# ----------------------------------------------------------------------------------------------------------- loop
def test_fit_yields_one_record_an_epoch_and_learns(where):
    setup = Setup(where, epochs=6)
    records = list(setup.fit())
    assert [r.epoch for r in records] == [1, 2, 3, 4, 5, 6]
    assert records[-1].train_loss < 0.7 * records[0].train_loss
    assert records[-1].test_accuracy > 0.9 > records[0].train_accuracy
    assert all(r.images_per_second > 0 for r in records)
    assert [r.seconds for r in records] == sorted(r.seconds for r in records)
    assert setup.position.epoch == 6 and setup.position.step == 6 * 7


def test_the_record_has_the_means_over_samples_not_over_batches(where):
    """50 samples in batches of 8: the last batch has 2 and must weigh as much as 2."""
    setup = Setup(where, epochs=1)
    losses, sizes, hits = [], [], []

    def loss(output, target):
        value = LOSS(output, target)
        losses.append(value.item())
        sizes.append(target.shape[0])
        hits.append(int((output.argmax(1) == target).sum().item()))
        return value

    record = next(fit(setup.model, setup.loader, loss, setup.optimizer, 1))
    assert sizes == [8] * 6 + [2]
    assert record.train_loss == pytest.approx(np.average(losses, weights=sizes), rel=1e-12)
    assert record.train_accuracy == sum(hits) / 50
    assert math.isnan(record.test_loss) and math.isnan(record.test_accuracy)


def test_the_learning_rate_of_every_step_is_that_of_the_schedule_and_is_recorded(where):
    setup = Setup(where, epochs=2)
    setup.optimizer.add_param_group({"params": [minidl.nn.Parameter(where.array([0.0]))], "lr": 0.5})
    rates = []
    setup.optimizer.register_step_post_hook(lambda rule, *_: rates.append([g["lr"] for g in rule.param_groups]))
    records = list(setup.fit())
    assert rates == [[0.01 * schedules.cosine(14)(s), 0.5] for s in range(14)]
    assert [r.lr for r in records] == [rates[6][0], rates[13][0]]


@pytest.mark.parametrize("length", [27, 29])
def test_a_schedule_that_is_not_as_long_as_the_run_warns_with_both_numbers(where, length):
    setup = Setup(where)
    setup.optimizer.follow(lr=0.01 * schedules.cosine(length))
    with pytest.warns(UserWarning, match=f"the schedule of lr is {length} steps long and the run 28"):
        next(setup.fit())


def test_a_schedule_counts_the_steps_that_are_made(where, recwarn):
    setup = Setup(where)
    setup.optimizer.follow(lr=0.01 * schedules.cosine(14)).transform(optim.transforms.Accumulate(2))
    list(setup.fit())
    assert setup.optimizer.param_groups[0]["scheduled"]["lr"]["step"] == 14 and not recwarn.list


def test_a_run_with_an_end_of_its_own_has_a_record_of_its_last_part():
    setup = Setup(Where("cpu"))
    with pytest.raises(ValueError, match="epochs=None needs `until`"):
        next(fit(setup.model, setup.loader, LOSS, setup.optimizer, None))
    asked = itertools.count(1)
    records = list(
        fit(setup.model, setup.loader, LOSS, setup.optimizer, None, position=setup.position, validation=setup.test,
            until=lambda: next(asked) == 10)
    )  # fmt: skip
    assert [r.epoch for r in records] == [1, 2] and setup.position.step == 10 and setup.position.step_in_epoch == 0
    assert records[1].test_accuracy > 0


def test_a_rule_that_needs_a_closure_gets_one(where):
    setup = Setup(where)
    setup.model[3].p = 0.0  # the closure should compute one function, not another one each time
    setup.loader = DataLoader(setup.data, batch_size=len(setup.data))
    setup.optimizer = optim.LBFGS(setup.model.parameters(), lr=0.5, max_iter=3)
    records = list(setup.fit())
    assert records[-1].train_loss < 0.7 * records[0].train_loss


def test_a_schedule_free_rule_is_evaluated_at_its_average(where):
    setup, modes = Setup(where), []
    setup.optimizer = optim.AdamWScheduleFree(setup.model.parameters(), lr=0.01)

    def loss(output, target):
        modes.append((setup.model.training, setup.optimizer.param_groups[0]["train_mode"]))
        return LOSS(output, target)

    list(fit(setup.model, setup.loader, loss, setup.optimizer, 2, validation=setup.test))
    assert set(modes) == {(True, True), (False, False)} and not setup.optimizer.param_groups[0]["train_mode"]


def test_break_is_early_stopping(where):
    setup = Setup(where, epochs=100)
    for record in setup.fit():
        if record.epoch == 2:
            break
    assert setup.position.epoch == 2


def test_stop_is_asked_after_every_step(where):
    setup = Setup(where)
    asked = itertools.count(1)
    records = list(setup.fit(stop=lambda: next(asked) == 10))
    assert len(records) == 1 and setup.position.epoch == 1
    assert setup.position.step == 10 and setup.position.step_in_epoch == 3 and setup.position.totals.count == 24


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [1, 7, 11])
def test_a_loss_that_is_not_finite_stops_with_epoch_and_step(where, bad, at):
    setup, calls = Setup(where), itertools.count(1)

    def loss(output, target):
        return LOSS(output, target) * (bad if next(calls) == at else 1.0)

    with pytest.raises(NonFiniteLoss, match="not finite") as error, np.errstate(all="ignore"):
        list(fit(setup.model, setup.loader, loss, setup.optimizer, 4, position=setup.position))
    assert (error.value.epoch, error.value.step) == ((at - 1) // 7 + 1, (at - 1) % 7 + 1)


def test_a_test_loss_that_is_not_finite_stops_before_the_epoch_is_yielded(where):
    """The last step of an epoch may spoil the weights while every training loss was fine."""
    setup = Setup(where)

    def loss(output, target):
        return LOSS(output, target) * (1.0 if setup.model.training else math.nan)

    with pytest.raises(NonFiniteLoss, match="epoch 1, on the test data"):
        next(fit(setup.model, setup.loader, loss, setup.optimizer, 4, validation=setup.test))


def test_a_step_costs_no_wait_for_the_gpu_beyond_the_few_of_the_layers():
    """The totals are read rarely: twice as many steps in an epoch may not mean twice as many downloads by the loop."""
    from conftest import Where

    where = Where("cuda")
    setup = Setup(where)
    batches = [(x, y) for x, y in setup.loader] * 4
    with counting() as counter:
        list(fit(setup.model, batches, lambda o, t: (o * o).mean(), setup.optimizer, 1))
    if counter.launches:  # the stand-in; a real GPU is not counted
        assert counter.downloads < len(batches)


def test_evaluate_in_eval_mode_without_gradients_and_back(where):
    setup = Setup(where)
    seen = []

    def loss(output, target):
        seen.append((setup.model.training, minidl.is_grad_enabled()))
        return LOSS(output, target)

    for mode in (True, False):
        setup.model.train(mode)
        result = evaluate(setup.model, setup.test, loss)
        assert setup.model.training is mode
    assert set(seen) == {(False, False)}
    setup.model.eval()
    x, y = setup.data.tensors
    output = setup.model(x)
    assert result == (pytest.approx(LOSS(output, y).item(), rel=1e-5), accuracy(output, y))


def test_evaluate_leaves_the_mode_when_it_fails(where):
    setup = Setup(where)
    with pytest.raises(ZeroDivisionError):
        evaluate(setup.model, setup.test, lambda o, t: 1 / 0)
    assert setup.model.training and minidl.is_grad_enabled()
    with pytest.raises(ValueError, match="no batches"):
        evaluate(setup.model, [], LOSS)


def test_many_batches_in_evaluate(where):
    setup = Setup(where)
    one = DataLoader(setup.data, batch_size=1)
    assert len(one) == 50
    batches = list(one) * 3
    a, b = evaluate(setup.model, batches, LOSS), evaluate(setup.model, setup.test, LOSS)
    assert a == (pytest.approx(b[0], rel=1e-5), b[1])


# -------------------------------------------------------------------------------------------------------- metrics
def test_accuracy(where):
    x = where.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [2.0, 1.0]])
    assert accuracy(x, where.tensor([1, 0, 0, 0])) == 0.75
    for shapes in (((2, 3), (3,)), ((2,), (2,)), ((2, 3), (2, 1)), ((0, 3), (0,))):
        with pytest.raises(ValueError, match="accuracy: expected input"):
            accuracy(minidl.zeros(*shapes[0]), minidl.zeros(*shapes[1]))


def test_totals_do_not_depend_on_when_they_are_read(where):
    rng = np.random.default_rng(1)
    batches = []
    for n in (5, 3, 8, 1):
        scores, target = where.tensor(rng.normal(size=(n, 3))), where.tensor(rng.integers(0, 3, n))
        batches.append((where.tensor(rng.normal(), "float32"), scores, target))
    sums = []
    for moments in ((), (0, 1, 2, 3), (1,)):
        totals = Totals()
        for i, batch in enumerate(batches):
            totals.add(*batch)
            if i in moments:
                totals.read()
        sums.append(totals.state_dict())
    assert sums[0] == sums[1] == sums[2] and sums[0]["count"] == 17
    again = Totals()
    again.load_state_dict(json.loads(json.dumps(sums[0])))
    assert again.mean_loss == totals.mean_loss and again.accuracy == totals.accuracy


# ----------------------------------------------------------------------------------------------------- checkpoints
@pytest.mark.parametrize("generator", [None, 3])
@pytest.mark.parametrize("step", [1, 6, 7, 8, 20, 27])
def test_resuming_from_a_checkpoint_ends_with_the_same_bytes(where, tmp_path, step, generator):
    """Also in the middle of an epoch, and right at its end (7 steps an epoch)."""
    whole = Setup(where, generator=generator)
    records = list(whole.fit())
    whole.save(tmp_path / "whole")

    first, asked = Setup(where, generator=generator), itertools.count(1)
    before = list(first.fit(stop=lambda: next(asked) == step))
    first.save(tmp_path / "part")

    second = Setup(where, generator=generator)
    minidl.manual_seed(12345)
    second.position = train.load_checkpoint(tmp_path / "part", second.model, second.optimizer, second.loader)
    assert second.position.step == step
    after = list(second.fit())
    second.save(tmp_path / "part")

    name = "checkpoint.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "part" / name).read_bytes()
    timed = {"images_per_second", "seconds"}
    log, resumed = (
        [{k: v for k, v in r.__dict__.items() if k not in timed} for r in rows] for rows in (records, before + after)
    )
    assert log == resumed


def test_a_checkpoint_of_another_model_changes_nothing(where, tmp_path):
    setup = Setup(where)
    next(setup.fit())
    setup.save(tmp_path)
    other = nn.Linear(4, 3).to(where.name)
    before = where.host(other.weight).copy()
    optimizer = optim.Adam(other.parameters())
    with pytest.raises(RuntimeError, match="Linear"):
        train.load_checkpoint(tmp_path, other, optimizer, setup.loader)
    np.testing.assert_array_equal(where.host(other.weight), before)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    from conftest import Where

    setup = Setup(Where("cpu"))
    serialization.save(setup.model.state_dict(), tmp_path / "checkpoint.safetensors")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        train.load_checkpoint(tmp_path, setup.model, setup.optimizer, setup.loader)
    with pytest.raises(FileNotFoundError):
        train.load_checkpoint(tmp_path / "none", setup.model, setup.optimizer, setup.loader)
    with pytest.raises(ValueError, match="Position: expected the keys"):
        Position().load_state_dict({"epoch": 1})


@pytest.mark.parametrize(
    "wrong",
    [dict(position=5), dict(position=None), dict(model=5), dict(optimizer={}), dict(random=None), dict(loader=None)],
    ids=str,
)
def test_a_checkpoint_with_a_part_of_another_kind_is_one_error_that_names_the_file(tmp_path, wrong):
    from conftest import Where

    setup = Setup(Where("cpu"))
    setup.save(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    serialization.save({**serialization.load(path), **wrong}, path)
    with pytest.raises(ValueError, match=r"load_checkpoint: .*checkpoint\.safetensors does not fit this run"):
        train.load_checkpoint(tmp_path, setup.model, setup.optimizer, setup.loader)


def test_the_json_copy_says_the_same_without_arrays(where, tmp_path):
    setup = Setup(where)
    list(setup.fit())
    setup.save(tmp_path)
    copy = json.loads((tmp_path / "checkpoint.json").read_text())
    saved = serialization.load(tmp_path / "checkpoint.safetensors")
    for key in ("version", "position", "random", "loader"):
        assert copy[key] == saved[key]
    assert copy["position"]["best_accuracy"] > 0.9
    assert copy["model"]["0.weight"] == [16, 4]
    assert copy["optimizer"]["param_groups"][0]["lr"] == saved["optimizer"]["param_groups"][0]["lr"]


# ---------------------------------------------------------------------------------------------------------- models
@pytest.mark.parametrize("name", sorted(runs.MODELS))
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (15, 9), (19, 20), (28, 28), (32, 32)], ids=str)
def test_models_take_images_of_any_size(name, size):
    model = runs.MODELS[name]((3, *size), 7)
    assert model(minidl.zeros(2, 3, *size)).shape == (2, 7)


def test_models_have_the_parameters_they_are_known_for():
    counts = {name: sum(p.numel() for p in make((1, 28, 28), 10).parameters()) for name, make in runs.MODELS.items()}
    assert counts["lenet5"] == 61_706 and counts["mlp"] == 784 * 256 + 256 + 256 * 128 + 128 + 1290
    assert "conv1.weight" in runs.MODELS["lenet5"]().state_dict()


@pytest.mark.parametrize("make", [train.CNN, train.LeNet5])
def test_images_that_are_too_small_are_refused(make):
    with pytest.raises(ValueError, match=rf"{make.__name__}: expected images .* got \(1, 3, 8\)"):
        make((1, 3, 8), 10)


# ------------------------------------------------------------------------------------------------------------ runs
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(dataset="x"), "dataset: expected one of digits, mnist, fashion-mnist, cifar10, cifar100; got 'x'"),
        (dict(model="x"), "model: expected one of"),
        (dict(optimizer="x"), "optimizer: expected one of"),
        (dict(schedule="x"), "schedule: expected one of"),
        (dict(lr=0), "lr: expected a number above 0, got 0"),
        (dict(lr=math.nan), "lr: expected a number above 0, got nan"),
        (dict(lr="1"), "lr: expected a number above 0, got '1'"),
        (dict(weight_decay=-1.0), "weight_decay: expected a number of at least 0, got -1"),
        (dict(momentum=0.9), "momentum: the optimizer adam has none; these have one: sgd, nesterov, descent"),
        (dict(optimizer="lbfgs", weight_decay=0.1), "weight_decay: the optimizer lbfgs has none; these have one: sgd"),
        (dict(warmup=-0.1), "warmup: expected a number of at least 0, got -0.1"),
        (dict(warmup=1.5), "warmup: expected a share of the run below 1 or a number of steps, got 1.5"),
        (dict(minutes=0), "minutes: expected a number above 0, got 0"),
        (dict(minutes=1, epochs=3), "epochs: cannot be given together with minutes, which decides how long the run"),
        (dict(minutes=1, warmup=100), "warmup: with minutes it must be a share of the run, below 1; got 100"),
        (dict(minutes=1, schedule="plateau"), "schedule: plateau looks at whole epochs and cannot be combined with"),
        (dict(schedule="plateau", warmup=0.1), "warmup: the schedule plateau, which goes by the test loss, has none"),
        (dict(minutes=1, replay="x"), "minutes: cannot be given together with replay"),
        (dict(optimizer="rprop", schedule="cosine"), "schedule: rprop uses its rate only to begin with"),
        (dict(optimizer="sgd", momentum=-0.1), "momentum: expected a number of at least 0"),
        (dict(epochs=0), "epochs: expected a whole number of at least 1, got 0"),
        (dict(epochs=1.5), "epochs: expected a whole number"),
        (dict(epochs=True), "epochs: expected a whole number"),
        (dict(augment=1), "augment: expected True or False, got 1"),
        (dict(model="resnet8", optimizer="adam", momentum=0.9), "momentum: the optimizer adam has none"),
        (dict(batch_size=0), "batch_size: expected a whole number of at least 1, got 0"),
        (dict(threads=0), "threads: expected a whole number of at least 1, got 0"),
        (dict(seed=-1), "seed: expected a whole number of at least 0, got -1"),
        (dict(seed=2**64), "seed: expected a whole number below 2^64, got 18446744073709551616"),
        (dict(batch_size=2**31), "batch_size: expected a whole number below 2^31, got 2147483648"),
        (dict(schedule_options=[1]), "schedule_options: expected a dict of names and values, got [1]"),
        (dict(schedule="step", schedule_options={"gama": 1}), "'gama'"),
        (dict(schedule="step", schedule_options={"gamma": "x"}), "step: gamma must be a number, got 'x'"),
        (dict(schedule="linear", schedule_options={"start": -1}), "schedule_options: the rate would become -1 times"),
        (dict(schedule="plateau", schedule_options={}), "schedule 'plateau' has no options"),
        (dict(cycle_momentum=1), "cycle_momentum: expected True or False, got 1"),
        (dict(cycle_momentum=True, schedule="cosine"), "cycle_momentum: is for the schedule one-cycle, not cosine"),
        (
            dict(cycle_momentum=True, optimizer="adagrad"),
            "cycle_momentum: the optimizer adagrad cannot; these can: sgd",
        ),
        (dict(cycle_momentum=True, optimizer="swats"), "cycle_momentum: the optimizer swats cannot"),
        (dict(cycle_momentum=True, optimizer="schedule-free", schedule="one-cycle"), "schedule-free cannot; these can"),
        (dict(cycle_momentum=True, optimizer="sgd", momentum=0.9), "momentum: cannot be given together with cycle_m"),
        (dict(out=""), "out: expected the name of a folder, got ''"),
        (dict(device="tpu"), "device: expected 'cpu', 'cuda' or 'cuda:N', got 'tpu'"),
    ],
    ids=str,
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError) as error:
        train.Options(**options)
    assert message in str(error.value)


@pytest.mark.parametrize("model", runs.MODELS)
@pytest.mark.parametrize("dataset", runs.DATASETS)
@pytest.mark.parametrize("optimizer", runs.RULES)
def test_every_combination_has_defaults(dataset, model, optimizer):
    o = train.Options(dataset, model, optimizer).resolved()
    assert o.lr > 0 and o.epochs > 0 and o.batch_size > 0 and o.threads > 0 and o.device == "cpu"
    decayed = optimizer == "adamw" or (optimizer, model) == ("sgd", "resnet8")
    momenta = {"descent": 0, "rmsprop": 0, "muon": 0.95}
    momenta |= dict.fromkeys(("sgd", "nesterov", "lars", "sgd-schedule-free", "switch", "ensemble"), 0.9)
    assert o.momentum == momenta.get(optimizer) and ((o.weight_decay or 0) > 0) == decayed
    assert len({o.planned(steps).steps for steps in (60, 600)} - {None}) in (0, 2)
    given = train.Options(dataset, model, lr=7.0, epochs=3, weight_decay=0.5).resolved()
    assert (given.lr, given.epochs, given.weight_decay) == (7.0, 3, 0.5)


def test_run_folders_are_numbered_and_never_shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a-7").mkdir(parents=True)
    (tmp_path / "runs" / "a-x").mkdir()
    (tmp_path / "runs" / "a-b-9").mkdir()
    assert [train.RunFolder.create(None, "a").path.name for _ in range(3)] == ["a-8", "a-9", "a-10"]
    assert train.RunFolder.create(None, "b").path.name == "b-1"


def test_another_run_that_takes_the_number_in_the_same_moment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a-1").mkdir(parents=True)
    monkeypatch.setattr(runs.Path, "iterdir", lambda self: iter(()))  # it is not there yet when we look
    assert train.RunFolder.create(None, "a").path.name == "a-2"


def test_an_existing_folder_is_used_only_if_it_is_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    train.RunFolder.create(str(tmp_path / "empty"), "a")
    with pytest.raises(ValueError, match="out: .*empty exists and is not empty"):
        train.RunFolder.create(str(tmp_path / "empty"), "a")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="out: .*file exists and is no folder"):
        train.RunFolder.create(str(tmp_path / "file"), "a")
    assert (tmp_path / "file").read_text() == "mine"


def quick(tmp_path, **options) -> train.Options:
    return train.Options(**{"model": "mlp", "epochs": 3, "batch_size": 256, "out": str(tmp_path / "run"), **options})


def test_a_run_leaves_its_folder(tmp_path):
    lines = []
    outcome = train.execute(quick(tmp_path, seed=4), lines.append)
    folder = tmp_path / "run"
    assert outcome.folder == folder and not outcome.stopped and outcome.record.epoch == 3
    names = {"config.json", "log.csv", "checkpoint.safetensors", "checkpoint.json"}
    names |= {"curves.png", "confusion.png", "confusion.csv"}
    assert {p.name for p in folder.iterdir()} == names
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    assert [r["epoch"] for r in rows] == ["1", "2", "3"] and float(rows[-1]["test_accuracy"]) > 0.5
    config = json.loads((folder / "config.json").read_text())
    assert config["arguments"]["seed"] == 4 and config["arguments"]["lr"] == 0.002
    assert config["versions"]["minidl"] == minidl.__version__ and config["versions"]["numpy"] == np.__version__
    assert config["machine"]["blas"] and config["data"]["train"] == 1437
    assert any("1,437 training" in line for line in lines)
    at = next(i for i, line in enumerate(lines) if line.startswith("  3/3"))
    assert [line.split()[0] for line in lines[at + 2 :]] == ["by", "mistaken", "files"]
    assert set(lines[-1].removeprefix("files      ").split(", ")) == names


def test_a_run_on_the_other_device_gives_a_checkpoint_too(tmp_path):
    outcome = train.execute(quick(tmp_path, device="cuda", epochs=1))
    assert outcome.record.test_accuracy > 0.3
    saved = serialization.load(tmp_path / "run" / "checkpoint.safetensors")
    assert saved["model"]["fc1.weight"].device == "cpu"


def test_a_run_that_goes_wrong_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    explode = schedules.linear(1.0, 1.0, 9).then(schedules.constant(1e30))
    monkeypatch.setattr(train.Options, "planned", lambda self, steps: explode)
    with pytest.raises(NonFiniteLoss, match="epoch 2, step 5;.* the checkpoint of epoch 1 is in .*run"):
        train.execute(quick(tmp_path, schedule="constant", optimizer="sgd"))
    position = serialization.load(tmp_path / "run" / "checkpoint.safetensors")["position"]
    assert position["epoch"] == 1 and position["step"] == 6
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 2
    assert (tmp_path / "run" / "curves.png").exists()


@pytest.mark.parametrize("optimizer", runs.RULES)
def test_every_rule_trains(tmp_path, optimizer):
    outcome = train.execute(quick(tmp_path, optimizer=optimizer, epochs=4, batch_size=128))
    assert outcome.record.train_loss < 2.2  # ln 10 = 2.30 at the start


@pytest.mark.parametrize("schedule", train.SCHEDULES)
def test_every_schedule_trains(tmp_path, schedule):
    warmup = None if schedule == "plateau" else 0.2
    outcome = train.execute(quick(tmp_path, schedule=schedule, warmup=warmup))
    assert outcome.record.train_loss < 2.0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["arguments"]["schedule"], config["arguments"]["warmup"]) == (schedule, warmup)


def test_plateau_lowers_the_rate_when_the_test_loss_stalls(tmp_path, monkeypatch):
    record = runs.fit

    def stalled(*args, **kwargs):
        for r in record(*args, **kwargs):
            yield dataclasses.replace(r, test_loss=1.0)

    monkeypatch.setattr(runs, "fit", stalled)
    train.execute(quick(tmp_path, schedule="plateau", epochs=5))
    rates = [float(row["lr"]) for row in csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines())]
    assert rates == pytest.approx([0.002, 0.002, 0.002, 0.0002, 0.0002])


def test_the_schedule_takes_options_which_are_kept(tmp_path):
    train.execute(quick(tmp_path, schedule="step", schedule_options={"every": 6, "gamma": 0.5}, warmup=None))
    rates = [float(row["lr"]) for row in csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines())]
    assert rates == pytest.approx([0.002, 0.001, 0.0005])
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["arguments"]
    assert kept["schedule_options"] == {"every": 6, "gamma": 0.5} and kept["cycle_momentum"] is False
    o = train.Options(schedule="one-cycle", schedule_options={"anneal": "linear", "three_phase": True}, warmup=0.2)
    assert repr(o.planned(100)) == repr(schedules.one_cycle(100, 0.2, anneal="linear", three_phase=True))


@pytest.mark.parametrize("optimizer", [n for n in runs.RULES if cycles(runs.RULES[n])])
def test_momentum_follows_the_cycle_of_the_rate(optimizer, tmp_path, monkeypatch):
    made, seen = runs.RULES[optimizer].make(train.MLP((1, 4, 4), 3), 0.1, lambda step: 0.5 + step / 100), []
    values = [g.get("momentum", g.get("betas", (None,))[0]) for g in made.param_groups]
    assert values == [0.5] * len(values)
    if optimizer not in ("adam", "sgd"):
        return

    def watched(model, data, loss, rule, epochs, **others):
        group = rule.param_groups[0]
        rule.register_step_post_hook(lambda *a: seen.append(group.get("momentum") or group["betas"][0]))
        return fit(model, data, loss, rule, epochs, **others)

    monkeypatch.setattr(runs, "fit", watched)
    given = dict(cycle_momentum=True, warmup=0.4, schedule_options={"anneal": "linear"})
    options = quick(tmp_path, optimizer=optimizer, **given)
    assert options.resolved().momentum is None
    train.execute(options)
    assert seen == schedules.one_cycle_momentum(18, warmup=7 / 18, anneal="linear").values()
    assert min(seen) < 0.86 and seen[0] == seen[-1] == 0.95


def test_a_switch_is_told_the_training_loss_and_schedules_go_on(tmp_path, monkeypatch):
    found = []

    def stalled(model, data, loss, optimizer, *args, **kwargs):
        for r in fit(model, data, loss, optimizer, *args, **kwargs):
            found.append((optimizer.active, optimizer.param_groups[optimizer.active]["lr"]))
            yield dataclasses.replace(r, train_loss=1.0)

    monkeypatch.setattr(runs, "fit", stalled)
    options = quick(tmp_path, optimizer="switch", epochs=4, schedule="linear", lr=0.01)
    train.execute(options)
    rates = [0.01 * schedules.linear(1.0, 0.0, 24)(t) for t in (5, 11, 17, 23)]
    assert [active for active, _ in found] == [0, 0, 1, 1]
    assert [rate for _, rate in found] == pytest.approx([*rates[:2], *(10 * r for r in rates[2:])])


# ------------------------------------------------------------------------------------------------------ time budget
def same_result(one, two):
    """Of a run and its repetition: all but the clock, which only the first one has."""
    first, second = (serialization.load(folder / "checkpoint.safetensors") for folder in (one, two))
    for key, value in first["model"].items():
        assert (value.array == second["model"][key].array).all()
    for key, entries in first["optimizer"]["state"].items():
        assert all((value.array == second["optimizer"]["state"][key][n].array).all() for n, value in entries.items())
    assert first["position"] == second["position"] and first["random"] == second["random"]


def test_a_run_under_a_time_budget_ends_with_it_and_can_be_repeated(tmp_path):
    lines: list[str] = []
    options = quick(tmp_path, minutes=0.02, epochs=None, seed=3)
    outcome = train.execute(options, lines.append)
    assert any("0.02 minutes" in line for line in lines) and outcome.record.lr < 1e-4 < options.resolved().lr
    fractions = read_fractions(tmp_path / "run")
    assert fractions[0] == 0 and fractions[-1] > 0.8 and len(fractions) > 5
    again = options_of(tmp_path / "run", out=str(tmp_path / "again"))
    assert again.minutes is None and again.seed == 3 and again.replay == str(tmp_path / "run")
    train.execute(again, lines.append)
    same_result(tmp_path / "run", tmp_path / "again")


def test_under_a_time_budget_the_momentum_follows_the_same_clock(tmp_path):
    given = dict(minutes=0.02, epochs=None, cycle_momentum=True, schedule_options={"anneal": "linear"})
    train.execute(quick(tmp_path, **given))
    group = json.loads((tmp_path / "run" / "checkpoint.json").read_text())["optimizer"]["param_groups"][0]
    last = read_fractions(tmp_path / "run")[-1]
    o = quick(tmp_path, **given).resolved()
    assert group["betas"][0] == schedules.one_cycle_momentum(10_000, anneal="linear")(last * 10_000)
    assert group["lr"] == pytest.approx(o.lr * o.planned(10_000)(last * 10_000))
    again = options_of(tmp_path / "run", out=str(tmp_path / "again"))
    assert again.schedule_options == {"anneal": "linear"} and again.cycle_momentum
    train.execute(again)
    same_result(tmp_path / "run", tmp_path / "again")


@pytest.mark.parametrize(
    "text",
    ["", "step,fraction\n", "step,fraction\n1,0.5\n", "step,fraction\n0,0.5\n1,0.4\n", "step,fraction\n0,1.5\n",
     "step,fraction\n0,nan\n", "x\n0,0.5\n", "step,fraction\n0\n"],
)  # fmt: skip
def test_damaged_fractions_are_refused(tmp_path, text):
    (tmp_path / "fractions.csv").write_text(text)
    with pytest.raises(train.RunError, match=r"fractions.csv is damaged: expected the steps from 0"):
        read_fractions(tmp_path)
    with pytest.raises(train.RunError, match=r"there is no config.json in it"):
        options_of(tmp_path)
    (tmp_path / "config.json").write_text('{"arguments": {"dataset": "digits"}}')
    with pytest.raises(train.RunError, match=r"config.json is damaged, or of another version of minidl \('model' is"):
        options_of(tmp_path)
    with pytest.raises(train.RunError, match="no run under a time budget, there is no fractions.csv"):
        read_fractions(tmp_path / "none")


def test_fractions_are_kept_to_the_last_bit(tmp_path):
    kept = [0.0, 0.1, 1 / 3, 0.7000000000000001, 1.0]
    write_fractions(tmp_path, kept)
    assert read_fractions(tmp_path) == kept


def test_the_checkpoint_is_there_before_its_epoch_is_logged(tmp_path, monkeypatch):
    order = []
    save, log = runs.save_checkpoint, train.RunFolder.log
    monkeypatch.setattr(runs, "save_checkpoint", lambda *a: (order.append("checkpoint"), save(*a)))
    monkeypatch.setattr(train.RunFolder, "log", lambda self, r: (order.append("log"), log(self, r)))
    train.execute(quick(tmp_path, epochs=2), lambda line: order.append("said") if "/2" in line else None)
    assert order == ["checkpoint", "log", "said"] * 2


def test_a_full_disk_harms_nothing_that_is_there(tmp_path, monkeypatch):
    calls = itertools.count(1)
    fsync = os.fsync

    def full(handle):
        if next(calls) > 12:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        train.execute(quick(tmp_path, epochs=30))
    monkeypatch.undo()
    assert error.value.filename.startswith(str(tmp_path / "run"))
    position = serialization.load(tmp_path / "run" / "checkpoint.safetensors")["position"]
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()[1:]
    assert 1 <= len(rows) <= position["epoch"] < 30
    assert not list((tmp_path / "run").glob(".*"))


# ---------------------------------------------------------------------------------------------------------- curves
def rows(n: int, **others) -> list[dict]:
    losses = [dict(epoch=i, train_loss=2 / i, test_loss=2.1 / i, lr=0.1 / i) for i in range(1, n + 1)]
    accuracies = [dict(train_accuracy=1 - 0.5 / i, test_accuracy=1 - 0.6 / i) for i in range(1, n + 1)]
    return [a | b | others for a, b in zip(losses, accuracies, strict=True)]


@pytest.mark.parametrize(
    "records",
    [rows(0), rows(1), rows(2), rows(60), rows(3, test_loss=math.nan, test_accuracy=math.nan), rows(3, train_loss=0.0)],
    ids=["none", "one", "two", "sixty", "no test", "zero loss"],
)
def test_curves_of_any_length(tmp_path, records):
    draw_curves(records, tmp_path / "a.png", "a title")
    draw_curves(records, tmp_path / "b.png", "a title")
    raw = (tmp_path / "a.png").read_bytes()
    assert raw.startswith(b"\x89PNG") and raw == (tmp_path / "b.png").read_bytes()
    width, height = (int.from_bytes(raw[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (1440, 504)


def test_curves_show_the_values(tmp_path):
    """The pixels of each series' colour are where its values are: high loss first, low loss last."""
    image_of = __import__("matplotlib.image", fromlist=["imread"]).imread
    draw_curves(rows(20), tmp_path / "a.png", "")
    image = image_of(io.BytesIO((tmp_path / "a.png").read_bytes()))[:, :, :3]
    panel = image[:, : image.shape[1] // 3]
    train_colour = np.abs(panel - np.array([0x00, 0x72, 0xB2]) / 255).max(axis=2) < 0.02
    ys, xs = np.nonzero(train_colour)
    assert len(xs) > 100
    left, right = ys[xs < np.quantile(xs, 0.05)].mean(), ys[xs > np.quantile(xs, 0.98)].mean()
    assert left < right  # rows count downwards: the loss falls


def test_drawing_leaves_matplotlib_as_it_was_and_is_imported_late(tmp_path):
    program = (
        "import sys, minidl, minidl.cli, minidl.report\n"
        "assert not any(m.startswith('matplotlib') for m in sys.modules), 'imported too early'\n"
        "import matplotlib as m; values = lambda: {k: m.rcParams[k] for k in m.rcParams if k != 'backend'}\n"
        "before = values()\n"
        "minidl.report.draw_curves([], sys.argv[1])\n"
        "minidl.report.draw_confusion(__import__('numpy').eye(2, dtype=int), 'ab', sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot was imported'\n"
        "assert values() == before, 'settings were changed'\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png")], check=True, env=env)
