"""Data sets on a GPU: batches gathered there, one upload a pass, and class numbers that are checked before they go."""

from __future__ import annotations

import csv
import dataclasses
import re
import runpy
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import train
from minidl.backend import get_backend
from minidl.data import ConcatDataset, DataLoader, Dataset, ImageDataset, Subset, TensorDataset, transforms
from minidl.data.sampler import Order, Rows
from minidl.train.budget import options_of
from minidl.train.folder import RunFolder
from minidl.train.prediction import Predictor

standin = pytest.importorskip("standin")


@pytest.fixture(autouse=True)
def _counted():
    if get_backend("cuda").library is not standin.cupy:
        pytest.skip("counts what the stand-in counts")


def points(n: int = 10) -> TensorDataset:
    return TensorDataset(np.arange(2.0 * n, dtype=np.float32).reshape(n, 2), np.arange(n) % 3, classes=3)


def images(n: int = 10, **options) -> ImageDataset:
    pixels = (np.arange(n * 16) % 251).astype(np.uint8).reshape(n, 4, 4)
    return ImageDataset(pixels, np.arange(n) % 3, list("abc"), **options)


def seen(loader) -> list:
    return [[t.cpu().tolist() for t in batch] for batch in loader]


PLAIN = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.25,))])
SETS = {
    "tensors": points,
    "part": lambda: Subset(points(20), range(15, 5, -1)),
    "part of a part": lambda: Subset(Subset(points(30), range(20)), list(range(9, -1, -1))),
    "images": images,
    "transformed": lambda: images(transform=PLAIN),
}


@pytest.mark.parametrize("make", SETS.values(), ids=SETS)
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "drop_last": True, "num_workers": 2}])
def test_batches_of_data_on_the_device(make, options):
    """The same batches as on the host, in the same order; in a pass one upload and no wait."""
    passes = []
    for where in ("cpu", "cuda"):
        minidl.manual_seed(5)
        loader = DataLoader(make().to(where), batch_size=4, **options)
        first = seen(loader)
        with standin.counting() as counter, standin.no_sync():
            batches = list(loader)
        assert {t.device.type for batch in batches for t in batch} == {where} and len(batches) == len(loader)
        passes.append((first, [[t.cpu().tolist() for t in batch] for batch in batches], counter.upload_names))
    host, device = passes
    assert host[:2] == device[:2] and host[0] != [] and (host[0] != host[1]) == ("shuffle" in options)
    assert len(device[2]) == 1 and not host[2], device[2]


def test_a_step_of_training_uploads_no_data():
    minidl.manual_seed(0)
    loader = DataLoader(points(12).to("cuda"), batch_size=4, shuffle=True)
    model, loss = minidl.nn.Linear(2, 3, device="cuda"), minidl.nn.CrossEntropyLoss()
    for _ in range(2):
        batches = iter(loader)
        next(batches)
        with standin.no_upload(), standin.no_sync():
            for x, y in batches:
                loss(model(x), y).backward()
    assert not batches.place.batch < 3


def test_a_pass_on_the_device_resumes_in_its_middle():
    minidl.manual_seed(3)
    loader = DataLoader(points().to("cuda"), batch_size=3, shuffle=True)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    rest = [[t.cpu().tolist() for t in batch] for batch in batches]
    again = DataLoader(points().to("cuda"), batch_size=3, shuffle=True)
    again.load_state_dict(state)
    assert seen(again) == rest and len(rest) == 3


def test_what_has_no_known_order_is_uploaded_batch_by_batch():
    data = points(8)
    own = [[1, 2], [7, 0], [3]]
    for dataset, options, uploads in (
        (data.to("cuda"), {"batch_sampler": own}, 6),
        (data.to("cuda"), {"batch_size": 2, "sampler": [1, 2, 7]}, 4),
        (ConcatDataset([data.to("cuda"), data.to("cuda")]), {"batch_size": 8}, None),
    ):
        loader = DataLoader(dataset, **options)
        with standin.counting() as counter:
            got = list(loader)
        assert all(t.is_cuda for batch in got for t in batch)
        assert uploads is None or counter.uploads == uploads
    host = DataLoader(ConcatDataset([data, data]), batch_size=8)
    assert seen(loader) == seen(host)


def test_data_sets_move_and_stay():
    data = points()
    there = data.to("cuda")
    assert [t.device.type for t in there.tensors] == ["cuda"] * 2 and not data.tensors[0].is_cuda
    assert there.to("cuda").tensors[0] is there.tensors[0] and data.to("cpu").tensors[1] is data.tensors[1]
    assert there.to("cpu").tensors[0].equal(data.tensors[0])
    part = Subset(images(), [3, 1]).to("cuda")
    assert part.dataset.data.is_cuda and part.dataset.targets.is_cuda and len(part) == 2
    assert part[0][1] == 0 and (part[1][0] == images()[1][0]).all()
    with pytest.raises(RuntimeError, match="cuda:7"):
        data.to("cuda:7")
    with pytest.raises(AttributeError, match="to"):
        Subset("abc", [0]).to("cuda")


def test_indices_beyond_the_data_are_refused_on_the_host():
    loader = DataLoader(points(4).to("cuda"), batch_sampler=[[0, 9]])
    with pytest.raises(IndexError, match="TensorDataset: index 9 is out of range for 4 samples"):
        next(iter(loader))
    with pytest.raises(IndexError, match="index 7 is out of range for 4 samples"):
        next(iter(DataLoader(Subset(points(4).to("cuda"), [0, 7]), batch_size=2)))


# ----------------------------------------------------------------------------------------------------- class numbers
def test_class_numbers_are_checked_when_they_come_in(where):
    x = where.tensor(np.zeros((4, 2)))
    for targets, told in (([0, 1, 3, 1], r"targets\[2\] is 3"), ([0, -1, 2, 1], r"targets\[1\] is -1")):
        with pytest.raises(ValueError, match=f"TensorDataset: {told}, expected 0 to 2"):
            TensorDataset(x, where.tensor(np.array(targets)), classes=3)
    with pytest.raises(ValueError, match=r"targets\[1, 0\] is 5"):
        TensorDataset(np.zeros((2, 2)), np.array([[0, 1], [5, 1]]), classes=3)
    with pytest.raises(TypeError, match="targets should be class numbers, integers, got float64"):
        TensorDataset(x, x, classes=3)
    assert len(TensorDataset(x, where.tensor(np.array([0, 1, 2, 1])), classes=3)) == 4


def test_class_numbers_are_checked_again_before_a_gpu_gets_them():
    data = images()
    data.targets = minidl.tensor(np.arange(10))
    with standin.no_upload(), pytest.raises(ValueError, match=r"ImageDataset: targets\[3\] is 3, expected 0 to 2"):
        data.to("cuda")


@pytest.mark.parametrize("make", [points, images], ids=["tensors", "images"])
def test_a_loss_of_checked_class_numbers_is_quick(make):
    """What was checked when it came in needs no ignored classes left out, which would take a dozen launches."""
    _, y = next(iter(DataLoader(make().to("cuda"), batch_size=4)))
    loss = minidl.nn.CrossEntropyLoss()
    scores = minidl.randn(4, 3, device="cuda", requires_grad=True)
    found = []
    for target in (y, y.clone()):
        scores.grad = None
        with standin.counting() as counter, standin.no_upload(), standin.no_sync():
            value = loss(scores, target)
            value.backward()
        found.append((value.item(), scores.grad.cpu().numpy(), counter.launches))
    checked, plain = found
    assert checked[2] < plain[2] / 2 and checked[0] == pytest.approx(plain[0])
    np.testing.assert_allclose(checked[1], plain[1], rtol=1e-6)
    few = minidl.randn(4, 2, device="cuda")  # class 2 may not be there, but nobody knows
    with standin.counting() as counter:
        loss(few[:1], y[:1])
    assert counter.launches > 4
    y += 0
    with standin.counting() as counter:
        loss(scores, y)
    assert counter.launches > 4


def test_replaced_targets_count_as_unchecked():
    data = images()
    assert next(iter(DataLoader(data)))[1].below == 3
    data.targets = [5] * 10
    assert next(iter(DataLoader(data)))[1].below is None
    assert next(iter(DataLoader(TensorDataset(np.zeros(4), np.arange(4)))))[1].below is None


def test_rows_know_their_order_only_as_they_were_cut():
    order = Order(np.array([2, 0, 1]))
    rows = order.rows(1, 3)
    assert rows.order is order and rows.start == 1 and rows.tolist() == [0, 1]
    assert isinstance(rows + 1, Rows) and (rows + 1).order is None and rows[1:].order is None
    assert order.seen_by(order, ["a", "b", "c"]) is None


# ------------------------------------------------------------------------------------------------------ minidl train
@pytest.fixture
def no_pictures(monkeypatch):
    """Runs without their pictures, which take most of the time of short ones."""
    for name in ("draw", "confuse"):
        monkeypatch.setattr(RunFolder, name, lambda *args: None)


def options(folder, **given) -> train.Options:
    return train.Options(**{"model": "mlp", "epochs": 2, "batch_size": 256, "out": str(folder), **given})


def log_of(folder) -> np.ndarray:
    """Losses and accuracies of all epochs."""
    with open(folder / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    kept = [name for name in rows[0] if name.endswith(("_loss", "_accuracy"))]
    return np.array([[float(row[name]) for name in kept] for row in rows])


def weights_of(folder) -> dict:
    return minidl.load(folder / "checkpoint.safetensors")["model"]


@pytest.mark.parametrize("given", [{"model": "mlp"}, {"model": "cnn", "epochs": 1}, {"augment": True, "epochs": 1}])
def test_a_run_on_the_device_is_the_run_on_the_host(given, tmp_path, no_pictures):
    """The same order, the same dropout, the same augmentation; the weights differ by rounding."""
    for where in ("cpu", "cuda"):
        train.execute(options(tmp_path / where, device=where, **given))
    host, device = log_of(tmp_path / "cpu"), log_of(tmp_path / "cuda")
    np.testing.assert_allclose(device[:, :2], host[:, :2], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(device[:, 2:], host[:, 2:], atol=0.02)
    theirs = weights_of(tmp_path / "cuda")
    for name, value in weights_of(tmp_path / "cpu").items():
        assert theirs[name].device.type == "cpu"
        np.testing.assert_allclose(theirs[name].numpy(), value.numpy(), rtol=0.02, atol=5e-3, err_msg=name)


def test_a_run_follows_the_environment_and_the_index(tmp_path, monkeypatch, no_pictures):
    monkeypatch.setenv("MINIDL_DEVICE", "cuda:1")
    lines: list[str] = []
    train.execute(options(tmp_path / "a", epochs=1), lines.append)
    assert "device     cuda:1; seed 0" in lines and minidl.cuda.current_device() == 0
    monkeypatch.setenv("MINIDL_DEVICE", "cuda")
    train.execute(options(tmp_path / "b", epochs=1, device="cpu"))
    train.execute(options(tmp_path / "c", epochs=1))
    a, b, c = (log_of(tmp_path / name) for name in "abc")
    np.testing.assert_allclose(a, b, rtol=1e-3)
    np.testing.assert_array_equal(a, c)
    predictor = Predictor(tmp_path / "a")
    assert predictor([np.zeros((8, 8), np.uint8)]).shape == (1, 10)
    with pytest.raises(train.RunError, match="device 'cuda:7'"):
        train.execute(options(tmp_path / "d", device="cuda:7"))
    assert not (tmp_path / "d").exists()


def test_a_run_made_on_the_host_is_replayed_on_the_device(tmp_path, no_pictures):
    train.execute(options(tmp_path / "timed", epochs=None, minutes=0.01, device="cpu"))
    made = options_of(str(tmp_path / "timed"), out=str(tmp_path / "again"), device="cuda", data_dir=None, threads=None)
    train.execute(made)
    first, second = log_of(tmp_path / "timed"), log_of(tmp_path / "again")
    assert first.shape == second.shape
    np.testing.assert_allclose(second[0], first[0], rtol=0.01)


def test_a_run_refuses_class_numbers_before_the_device_sees_them(tmp_path, monkeypatch):
    class Spoilt(minidl.data.datasets.Digits):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.targets.array[5] = 10

    digits = train.DATASETS["digits"]
    spoilt = dataclasses.replace(digits, make=lambda where, part, transform: Spoilt(part, transform))
    monkeypatch.setitem(train.DATASETS, "digits", spoilt)
    for augment in (False, True):
        with (
            standin.no_upload(),
            pytest.raises(train.RunError, match=r"targets\[5\] is 10, expected 0 to 9 \(10 classes\)"),
        ):
            train.execute(options(tmp_path / "run", device="cuda", augment=augment))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("example", ["mnist_mlp.py", "mnist_cnn.py", "cifar10_resnet.py"])
def test_examples_take_a_device(example, monkeypatch, capsys):
    path = Path(__file__).resolve().parent.parent / "examples" / example
    small = ["--subset", "100", "--width", "4"] if example == "cifar10_resnet.py" else []
    said = []
    for where in ("cpu", "cuda"):
        given = ["--dataset", "digits", "--epochs", "1", "--batch-size", "128", "--device", where, *small]
        monkeypatch.setattr(sys, "argv", [example, *given])
        model = runpy.run_path(str(path), run_name="__main__")["model"]
        assert {p.device.type for p in model.parameters()} == {where}
        said.append([float(number) for number in re.findall(r"\d+\.\d+", capsys.readouterr().out.splitlines()[-1])][:2])
    assert said[1][0] == pytest.approx(said[0][0], rel=0.05)


def test_a_thread_that_prepares_batches_works_on_the_gpu_and_stream_of_the_loop():
    cuda, seen = standin.cupy.cuda, []

    class Looking(Dataset):
        x = minidl.ones(6, 2)

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            seen.append((threading.get_ident(), cuda.get_device_id(), cuda.get_current_stream()))
            return self.x[i]

    with minidl.cuda.device(1), minidl.cuda.stream(minidl.cuda.Stream()):
        here = cuda.get_current_stream()
        assert len(list(DataLoader(Looking(), batch_size=2, num_workers=1))) == 3
    assert len(seen) == 6 and all(
        thread != threading.get_ident() and device == 1 and stream == here for thread, device, stream in seen
    )
