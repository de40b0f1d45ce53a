"""Runs as the command makes them: models, defaults, augmentation, the confusion matrix in numbers and as a picture."""

from __future__ import annotations

import csv
import io
import itertools
import json

import numpy as np
import pytest

import minidl
from minidl import nn, optim, train
from minidl.data import DataLoader
from minidl.data.transforms import Compose, vectorised
from minidl.report import draw_confusion
from minidl.train.loop import Position, fit
from minidl.train.metrics import confusion
from minidl.train.sets import DATASETS, load_data

LOSS = nn.CrossEntropyLoss()


def quick(tmp_path, **options) -> train.Options:
    return train.Options(**{"model": "mlp", "epochs": 3, "batch_size": 256, "out": str(tmp_path / "run"), **options})


# --------------------------------------------------------------------------------------------- schedule and defaults
def test_what_nothing_is_said_about():
    o = train.Options("cifar10", "resnet8").resolved()
    assert (o.optimizer, o.schedule, o.warmup, o.lr, o.momentum) == ("sgd", "cosine", 0.05, 0.1, 0.9)
    assert (o.epochs, o.batch_size, o.weight_decay) == (15, 64, 2e-4)
    assert repr(o.planned(1000)) == "warmup(50, cosine(950))"
    assert repr(train.Options(model="resnet8", schedule="cosine").resolved().planned(1000)) == "cosine(1000)"
    assert repr(train.Options(schedule="cosine", warmup=7).resolved().planned(1000)) == "warmup(7, cosine(993))"
    o = train.Options().resolved()
    assert (o.optimizer, o.schedule, o.lr, o.momentum, o.augment) == ("adam", "one-cycle", 0.003, None, False)
    assert train.Options(model="resnet8", momentum=0.5).resolved().momentum == 0.5
    assert train.Options(model="resnet8", optimizer="adam").resolved().momentum is None


# ----------------------------------------------------------------------------------------------------------- models
def test_the_residual_network_has_the_parameters_names_and_shapes_of_its_definition():
    assert sum(p.numel() for p in train.ResNet8().parameters()) == 174_274
    model = train.ResNet8(width=16)
    convs = 27 * 16 + 2 * 9 * 16 * 16 + 9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 9 * 32 * 64 + 9 * 64 * 64 + 32 * 64
    norms = 2 * (16 * 3 + 32 * 3 + 64 * 3)
    assert sum(p.numel() for p in model.parameters()) == convs + norms + 650 == 78_042
    names = list(model.state_dict())
    assert names[0] == "conv1.weight" and names[-1] == "fc.bias" and "layer2.shortcut.0.weight" in names
    assert "layer1.shortcut.0.weight" not in names and tuple(model.layer3.conv1.stride) == (2, 2)
    assert train.ResNet8((3, 32, 32), width=4).fc.weight.shape == (10, 16)
    outputs = {}
    for name in ("layer1", "layer2", "layer3"):
        block = getattr(model, name)
        block.register_forward_hook(lambda m, a, y, name=name: outputs.update({name: tuple(y.shape)}))
    model(minidl.zeros(2, 3, 32, 32))
    assert outputs == {"layer1": (2, 16, 32, 32), "layer2": (2, 32, 16, 16), "layer3": (2, 64, 8, 8)}


def test_blocks_that_begin_as_their_shortcut():
    model = train.ResNet8((1, 8, 8), zero_init=True)
    x = minidl.randn(4, 24, 5, 5)
    assert (model.layer1(x) == x.relu()).all().item()
    assert not (train.ResNet8((1, 8, 8)).layer1(x) == x.relu()).all().item()


def test_the_lstm_reads_rows_from_top_to_bottom():
    model = train.RowLSTM((2, 5, 3), 4, hidden=6)
    x = minidl.randn(2, 2, 5, 3)
    rows = np.concatenate([x.array[:, 0], x.array[:, 1]], axis=2)  # the channels of a row beside each other
    _, (h, _) = model.lstm(minidl.tensor(rows))
    np.testing.assert_allclose(model(x).detach().array, model.fc(h[-1]).detach().array, rtol=1e-5, atol=1e-7)
    assert [tuple(p.shape) for p in model.parameters()][:2] == [(24, 6), (24, 6)]


@pytest.mark.parametrize("make", [train.MLP, train.ResNet8, train.RowLSTM])
def test_what_is_no_shape_of_images_is_refused(make):
    for shape in ((8, 8), (1, 1, 8, 8), (0, 8, 8)):
        with pytest.raises(ValueError, match=rf"{make.__name__}: expected images \(C, H, W\), got"):
            make(shape, 10)


# ----------------------------------------------------------------------------------------------------- augmentation
@pytest.mark.parametrize("name", DATASETS)
def test_augmentation_is_vectorised_random_and_keeps_the_shape(name):
    known = DATASETS[name]
    transform = Compose(known.augment())
    assert vectorised(transform) and len(known.mean) == len(known.std) == known.shape[0]
    channels, height, width = known.shape
    size = (height, width) if channels == 1 else (height, width, channels)
    images = np.full((16, *size), 255, dtype=np.uint8)
    images[:, 0] = 128
    changed = transform.batch(images.copy())
    assert changed.shape == images.shape and changed.dtype == np.uint8
    assert len({image.tobytes() for image in changed}) > 4
    mirrored = any(type(t).__name__ == "RandomHorizontalFlip" for t in known.augment())
    assert mirrored == (name not in ("digits", "mnist"))


def test_training_images_are_augmented_test_images_are_not(where, tmp_path):
    plain, changed = (load_data(quick(tmp_path, augment=a, device=where.name)) for a in (False, True))
    loader = DataLoader(changed.train, batch_size=1437)
    (x, _), (again, _) = (next(iter(loader)) for _ in range(2))
    assert type(x.array) is where.type and tuple(x.shape) == (1437, 1, 8, 8)
    original = where.host(plain.train.tensors[0])
    assert (where.host(x) != original).any(axis=(1, 2, 3)).mean() > 0.8
    assert (where.host(x) != where.host(again)).any(axis=(1, 2, 3)).mean() > 0.8  # anew in each pass
    np.testing.assert_array_equal(*(where.host(data.test.tensors[0]) for data in (plain, changed)))
    assert original.mean() == pytest.approx(0, abs=2e-3) and original.std() == pytest.approx(1, abs=2e-3)


def test_a_run_with_augmentation_says_so(tmp_path):
    lines = []
    train.execute(quick(tmp_path, augment=True, epochs=1), lines.append)
    assert lines[1].startswith("augmented  RandomRotation(") and "RandomCrop(" in lines[1]
    data = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert data["normalised_with"] == {"mean": [0.3054], "std": [0.3762]} and data["classes"] == list("0123456789")
    assert len(data["augmented_with"]) == 2


@pytest.mark.parametrize("step", [1, 6, 7])
def test_resuming_with_augmentation_ends_with_the_same_bytes(tmp_path, step):
    """6 steps an epoch; the place in the epoch decides how the images that follow are changed."""

    def parts():
        minidl.manual_seed(3)
        data = load_data(quick(tmp_path, augment=True))
        model = train.MLP(data.shape, 10)
        loader = DataLoader(data.train, batch_size=256, shuffle=True)
        return model, loader, optim.Adam(model.parameters()), Position()

    def save(folder, model, loader, optimizer, position):
        (tmp_path / folder).mkdir(exist_ok=True)
        return train.save_checkpoint(tmp_path / folder, model, optimizer, loader, position).read_bytes()

    model, loader, optimizer, position = parts()
    list(fit(model, loader, LOSS, optimizer, 2, position=position))
    whole = save("whole", model, loader, optimizer, position)

    model, loader, optimizer, position = parts()
    asked = itertools.count(1)
    list(fit(model, loader, LOSS, optimizer, 2, position=position, stop=lambda: next(asked) == step))
    save("part", model, loader, optimizer, position)
    model, loader, optimizer, _ = parts()
    minidl.manual_seed(77)
    position = train.load_checkpoint(tmp_path / "part", model, optimizer, loader)
    list(fit(model, loader, LOSS, optimizer, 2, position=position))
    assert save("part", model, loader, optimizer, position) == whole


# ---------------------------------------------------------------------------------------------- the confusion matrix
def test_confusion_counts_rows_by_truth_and_columns_by_guess(where):
    scores = where.tensor(np.eye(3)[[0, 1, 1, 2, 0]], "float32")
    truth = [where.tensor(t, "int64") for t in ([0, 0], [1, 2, 2], [1, 3])]
    batches = [(scores[:2], truth[0]), (scores[2:], truth[1])]
    model = nn.Dropout(0.9)  # in eval mode it changes nothing
    counts = confusion(model, batches, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]] and counts.dtype == np.int64
    assert model.training and minidl.is_grad_enabled()
    with pytest.raises(ValueError, match=r"expected scores \(N, 4\), got \(2, 3\)"):
        confusion(model, batches, 4)
    with pytest.raises(ValueError, match="expected targets below 3, got 1 to 3"):
        confusion(model, [(scores[:2], truth[2])], 3)
    assert model.training and confusion(model, [], 2).tolist() == [[0, 0], [0, 0]]


def test_the_confusion_matrix_of_a_run_adds_up(tmp_path):
    outcome = train.execute(quick(tmp_path))
    rows = list(csv.reader((tmp_path / "run" / "confusion.csv").read_text().splitlines()))
    assert rows[0] == ["true", *"0123456789"] and [row[0] for row in rows[1:]] == list("0123456789")
    counts = np.array([row[1:] for row in rows[1:]], dtype=int)
    assert counts.sum(axis=1).tolist() == [36] * 10
    assert counts.trace() / 360 == outcome.record.test_accuracy


def test_many_classes_are_told_by_the_best_and_the_worst():
    from minidl.train.run import _by_class

    counts = np.diag(np.arange(12)) + np.eye(12, k=1, dtype=int) * 3
    names = [f"c{i}" for i in range(12)]
    best, worst, mistaken = _by_class(counts, names)
    assert best == "best       c11 100.0%  c10 76.9%  c9 75.0%  c8 72.7%  c7 70.0%"
    assert worst == "worst      c0 0.0%  c1 25.0%  c2 40.0%  c3 50.0%  c4 57.1%"
    assert mistaken == "mistaken   c0 for c1 (3), c1 for c2 (3), c2 for c3 (3)"
    assert _by_class(np.eye(2, dtype=int), ["a", "b"]) == ["by class   a 100.0%  b 100.0%"]


@pytest.mark.parametrize("n", [1, 2, 10, 20, 21, 100])
def test_confusion_matrices_of_any_size(tmp_path, n):
    counts = np.random.default_rng(1).integers(0, 50, (n, n)) * np.eye(n, dtype=int)
    counts[0] = 0  # a class without samples
    names = [f"class number {i}" for i in range(n)]
    draw_confusion(counts, names, tmp_path / "a.png", "a title")
    draw_confusion(counts, names, tmp_path / "b.png", "a title")
    raw = (tmp_path / "a.png").read_bytes()
    assert raw.startswith(b"\x89PNG") and raw == (tmp_path / "b.png").read_bytes()
    width, height = (int.from_bytes(raw[i : i + 4], "big") for i in (16, 20))
    assert 700 < height <= width < 2500


def test_the_confusion_matrix_shows_the_values(tmp_path):
    """A dark field where all of a class went: rows are the truth, columns what it was taken for."""
    image_of = __import__("matplotlib.image", fromlist=["imread"]).imread
    draw_confusion(np.array([[0, 9], [0, 9]]), ["a", "b"], tmp_path / "a.png")
    image = image_of(io.BytesIO((tmp_path / "a.png").read_bytes()))[:, :, :3]
    dark = np.abs(image - np.array([8, 48, 107]) / 255).max(axis=2) < 0.02
    ys, xs = np.nonzero(dark)
    assert dark.mean() > 0.3 and xs.min() > 0.4 * image.shape[1] and np.ptp(ys) > 0.7 * image.shape[0]


def test_a_confusion_matrix_of_another_size_than_the_names(tmp_path):
    with pytest.raises(ValueError, match=r"expected counts \(3, 3\) for 3 classes, got \(2, 2\)"):
        draw_confusion(np.zeros((2, 2), int), "abc", tmp_path / "a.png")
    with pytest.raises(ValueError, match="for 0 classes"):
        draw_confusion(np.zeros((0, 0), int), [], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
