"""`minidl predict`, `minidl summary` and `minidl datasets`: answers, errors in one line, hostile files."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidl import cli, serialization
from minidl.data import datasets
from minidl.train.options import MODELS
from minidl.train.prediction import Predictor, read_picture

LIMIT = Image.MAX_IMAGE_PIXELS


def run(args, capsys, code: int = 0) -> tuple[str, str]:
    """What a command printed on stdout and on stderr."""
    try:
        got = cli.main([str(a) for a in args])
    except SystemExit as end:
        got = end.code
    captured = capsys.readouterr()
    assert got == code, captured
    return captured.out, captured.err


def refused(args, capsys) -> str:
    """The error of a command that ends with exit code 2: one line, and nothing else."""
    out, err = run(args, capsys, 2)
    lines = err.splitlines()
    assert out == "" and len(lines) == 1 and lines[0].startswith("minidl: error: "), (out, err)
    return lines[0].removeprefix("minidl: error: ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run that knows the digits well enough, and five test pictures."""
    folder = tmp_path_factory.mktemp("trained")
    assert cli.main(["train", "--model", "mlp", "--epochs", "4", "--quiet", "--out", str(folder / "run")]) == 0
    test = datasets.Digits(train=False)
    for i in range(5):
        image = Image.fromarray(test.data.array[i])
        image.save(folder / f"{i}.png")
        Image.eval(image, lambda v: 255 - v).resize((80, 80), Image.Resampling.NEAREST).save(folder / f"{i}-paper.bmp")
    (folder / "labels").write_text(" ".join(str(test.targets.array[i]) for i in range(5)))
    return folder


@pytest.fixture
def broken(trained, tmp_path) -> Path:
    """A copy of the run, to be damaged."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path / "run"


# ---------------------------------------------------------------------------------------------------------- predict
def test_predictions_are_those_of_the_test_after_training(trained, capsys):
    labels = (trained / "labels").read_text().split()
    files = [trained / f"{i}.png" for i in range(5)]
    out, err = run(["predict", trained / "run", *files], capsys)
    lines = out.splitlines()
    assert err == "" and len(lines) == 5
    assert sum(line.split()[1] == label for line, label in zip(lines, labels, strict=True)) >= 4
    assert all(line.startswith(str(file)) and line.count("%") == 3 for line, file in zip(lines, files, strict=True))


def test_every_test_image_as_a_file_gives_the_accuracy_that_was_logged(trained, tmp_path):
    test = datasets.Digits(train=False)
    predictor, pixels = Predictor(trained / "run"), []
    for i, image in enumerate(test.data.array):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        pixels.append(read_picture(tmp_path / f"{i}.png", predictor.shape)[0])
    guesses = predictor(pixels).argmax(axis=1)
    logged = (trained / "run" / "log.csv").read_text().splitlines()[-1].split(",")[4]
    assert (guesses == test.targets.array).mean() == pytest.approx(float(logged), abs=1e-7)


def test_json_and_top(trained, capsys):
    out, err = run(["predict", trained / "run", trained / "0.png", trained / "1.png", "--json", "--top", 10], capsys)
    answers = json.loads(out)
    assert err == "" and [a["file"] for a in answers] == [str(trained / "0.png"), str(trained / "1.png")]
    for answer in answers:
        p = [g["probability"] for g in answer["predictions"]]
        assert len(p) == 10 and p == sorted(p, reverse=True) and sum(p) == pytest.approx(1, abs=1e-5)
        assert all(g["class"] == str(g["index"]) for g in answer["predictions"]) and answer["notes"] == []
    out, _ = run(["predict", trained / "run", trained / "0.png", "--json", "--top", 99], capsys)
    assert len(json.loads(out)[0]["predictions"]) == 10


def test_ink_on_paper_of_another_size(trained, capsys):
    label = (trained / "labels").read_text().split()[0]
    file = trained / "0-paper.bmp"
    out, err = run(["predict", trained / "run", file, "--invert", "--top", 1], capsys)
    assert out.split()[1] == label
    assert err.splitlines() == [f"minidl: note: {file}: 80x80 pixels, resized to 8x8"]
    _, err = run(["predict", trained / "run", file], capsys)
    assert "bright border" in err and "try --invert" in err and len(err.splitlines()) == 2
    _, err = run(["predict", trained / "run", trained / "0.png", "--invert"], capsys)
    assert "leave --invert out" in err


def picture(path: Path, mode: str, value, size=(8, 8), **options) -> Path:
    Image.new(mode, size, value).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "value", "expected"),
    [
        ("a.png", "L", 77, 77), ("a.png", "RGB", (77, 77, 77), 77), ("a.png", "1", 1, 255),
        ("a.png", "I;16", 77 * 257, 77), ("a.png", "RGBA", (0, 0, 0, 0), 255), ("a.png", "LA", (10, 255), 10),
        ("a.jpg", "L", 77, 77),
        ("a.gif", "P", 0, 0), ("a.tif", "L", 77, 77), ("a.webp", "RGB", (255, 255, 255), 255),
        ("a.ppm", "RGB", (9, 9, 9), 9), ("a.jpg", "CMYK", (0, 0, 0, 0), 255),
    ],
)  # fmt: skip
def test_every_kind_of_picture_becomes_grey_or_coloured(tmp_path, name, mode, value, expected):
    path = picture(tmp_path / name, mode, value)
    grey, notes = read_picture(path, (1, 8, 8), dark=False)
    assert grey.shape == (8, 8) and grey.dtype == np.uint8 and np.abs(grey.astype(int) - expected).max() <= 1
    colour, _ = read_picture(path, (3, 8, 8))
    assert colour.shape == (8, 8, 3) and np.abs(colour.astype(int) - expected).max() <= 1 and notes == []


def test_pictures_are_turned_as_their_camera_says_and_stretching_is_noted(tmp_path):
    image = Image.new("L", (4, 8))
    image.paste(255, (0, 0, 4, 2))  # bright at the top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the top comes to the right
    image.save(tmp_path / "a.png", exif=exif)
    pixels, notes = read_picture(tmp_path / "a.png", (1, 4, 8), dark=False)
    assert notes == [] and pixels[:, -1].min() == 255 and pixels[:, 0].max() == 0
    _, notes = read_picture(tmp_path / "a.png", (1, 8, 8))
    assert notes == [f"{tmp_path / 'a.png'}: 8x4 pixels, resized and stretched to 8x8"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG file that claims this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


HOSTILE = {
    "nothing.png": (b"", "is no picture of a kind that is read here: PNG, JPEG"),
    "text.png": (b"certainly a picture\n", "is no picture of a kind that is read here"),
    "bomb.png": (png(60000, 60000), "too large a picture (Image size (3600000000 pixels) exceeds limit"),
    "half-a-bomb.png": (png(10000, 10000), "too large a picture (Image size (100000000 pixels) exceeds limit"),
    "claims.png": (png(9000, 9000, bytes(100)), "is no picture, or a damaged one"),
    "no-pixels.png": (png(0, 8), "is no picture"),
    "truncated.png": (png(8, 8, bytes(72))[:45], "is no picture, or a damaged one"),
    "flipped.png": (png(8, 8, bytes(72)).replace(b"IDAT", b"IDAX"), "is no picture"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n", "is no picture of a kind"),
    "truncated.gif": (b"GIF89a\x08\x00\x08\x00\x80\x00\x00", "is no picture"),
    "lines\nin\nname.png": (b"", "is no picture"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_one_line(trained, tmp_path, capsys, name):
    content, message = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    error = refused(["predict", trained / "run", trained / "0.png", tmp_path / name], capsys)
    assert message in error and " ".join(str(tmp_path / name).split()) in error
    assert Image.MAX_IMAGE_PIXELS == LIMIT


def test_files_that_cannot_be_read(trained, tmp_path, capsys):
    assert refused(["predict", trained / "run", "none.png"], capsys) == "none.png: No such file or directory"
    assert "Is a directory" in refused(["predict", trained / "run", tmp_path], capsys) or os.name == "nt"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "the following arguments are required: RUN, PICTURE"),
        (["x"], "the following arguments are required: PICTURE"),
        (["none", "x.png"], "none: there is no such run"),
        (["{t}/0.png", "x.png"], "0.png: is no folder of a run"),
        (["{t}", "x.png"], "is no folder of a run, there is no config.json in it"),
        (["{t}/run", "{t}/0.png", "--top", "0"], "--top: expected a whole number of at least 1, got 0"),
        (["{t}/run", "{t}/0.png", "--top", "x"], "--top: invalid int value: 'x'"),
        (["{t}/run", "{t}/0.png", "--jso"], "unrecognized arguments: --jso"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_bad_input_of_predict(trained, capsys, args, message):
    assert message in refused(["predict", *(a.format(t=trained) for a in args)], capsys)


def edited(run: Path, change) -> None:
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


EDITS = {
    "no data": (lambda c: c.pop("data"), "'data' is missing or unknown"),
    "no model": (lambda c: c["arguments"].pop("model"), "'model' is missing or unknown"),
    "another model": (lambda c: c["arguments"].update(model="os.system"), "'os.system' is missing or unknown"),
    "a model that is a list": (lambda c: c["arguments"].update(model=[1]), "unhashable"),
    "huge": (lambda c: c["data"].update(shape=[1, 10**6, 10**6]), "shape: expected 1 or 3 channels and at most"),
    "negative": (lambda c: c["data"].update(shape=[1, -8, 8]), "shape: expected three whole numbers, got [1, -8, 8]"),
    "flat": (lambda c: c["data"].update(shape=64), "shape: expected three whole numbers, got 64"),
    "two channels": (lambda c: c["data"].update(shape=[2, 8, 8]), "shape: expected 1 or 3 channels"),
    "true": (lambda c: c["data"].update(shape=[True, 8, 8]), "shape: expected three whole numbers"),
    "number of classes": (lambda c: c["data"].update(classes=10), "classes: expected a list of names"),
    "no classes": (lambda c: c["data"].update(classes=[]), "classes: expected a list of names"),
    "many classes": (lambda c: c["data"].update(classes=["a"] * 10**5), "classes: expected a list of names"),
    "std 0": (lambda c: c["data"]["normalised_with"].update(std=[0.0]), "std"),
    "nan": (lambda c: c["data"]["normalised_with"].update(mean=[float("nan")]), "mean"),
    "three means": (lambda c: c["data"]["normalised_with"].update(mean=[0.1] * 3), "mean: expected a number for each"),
    "mean of text": (lambda c: c["data"]["normalised_with"].update(mean=["0.1"]), "mean: expected a number for each"),
    "other classes": (lambda c: c["data"].update(classes=list("abc")), "does not fit"),
    "other size": (lambda c: c["data"].update(shape=[1, 9, 9]), "does not fit"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_configuration_is_one_line(trained, broken, capsys, edit):
    change, message = EDITS[edit]
    edited(broken, change)
    error = refused(["predict", broken, trained / "0.png"], capsys)
    assert message in error and "config.json" in error


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"data": 1}'], ids=len)
def test_a_configuration_that_is_none_is_one_line(trained, broken, capsys, content):
    (broken / "config.json").write_bytes(content)
    assert "config.json is damaged, or of another version" in refused(["predict", broken, trained / "0.png"], capsys)


def test_the_checkpoint_is_missing_damaged_or_of_another_model(trained, broken, capsys):
    path = broken / "checkpoint.safetensors"
    whole = path.read_bytes()
    args = ["predict", broken, trained / "0.png"]
    for content in (b"", whole[:100], whole[:-10], whole[:-1] + bytes([whole[-1] ^ 1]), b"\xff" * 100):
        path.write_bytes(content)
        assert "checkpoint.safetensors is damaged" in refused(args, capsys)
    path.unlink()
    assert refused(args, capsys) == f"{broken}: this run has no checkpoint (checkpoint.safetensors)"
    state = serialization.load(trained / "run" / "checkpoint.safetensors")
    for wrong in ({"a": 1}, {**state, "model": [1]}, {**state, "model": None}):
        serialization.save(wrong, path)
        assert "is not the checkpoint of a run" in refused(args, capsys)
    shapes = {**state["model"], "fc1.weight": state["model"]["fc1.weight"][:, :5]}
    for weights in ({}, shapes, {**state["model"], "extra": state["model"]["fc1.bias"]}, {"fc1.weight": 5}):
        serialization.save({**state, "model": weights}, path)
        error = refused(args, capsys)
        assert "does not fit" in error and "fc1.weight" in error or "extra" in error
    serialization.save({**state, "model": {k: v * float("nan") for k, v in state["model"].items()}}, path)
    assert "the model gives numbers that are not finite" in refused(args, capsys)


def test_a_run_that_was_stopped_can_be_asked_too(trained, broken, capsys):
    for name in ("confusion.png", "confusion.csv", "log.csv", "curves.png", "checkpoint.json"):
        (broken / name).unlink()
    out, _ = run(["predict", broken, trained / "0.png"], capsys)
    assert out.count("%") == 3


def test_pillow_is_imported_only_by_predict(trained):
    import subprocess
    import sys

    program = "import sys, minidl.cli; assert not any(m.split('.')[0] == 'PIL' for m in sys.modules)"
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(root)})


# ---------------------------------------------------------------------------------------------------------- summary
def test_summary_of_a_model_for_a_data_set(capsys):
    out, err = run(["summary", "--model", "resnet8", "--dataset", "cifar10", "--batch-size", 2], capsys)
    assert err == "" and "2x24x32x32" in out and "174,274" in out and "multiply-adds  55," in out
    out, _ = run(["summary"], capsys)
    assert "1x16x8x8" in out and "13,802" in out
    out, _ = run(["summary", "--model", "mlp", "--shape", "2,4,4", "--classes", "7"], capsys)
    assert "1x7" in out and "1x2x4x4" in out
    out, _ = run(["summary", "--model", "mlp", "--dataset", "cifar100"], capsys)
    assert "1x100" in out


@pytest.mark.parametrize("model", MODELS)
def test_summary_of_every_model(capsys, model):
    out, err = run(["summary", "--model", model], capsys)
    assert err == "" and "?" not in out and "not counted" not in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "vgg"], "--model: invalid choice: 'vgg'"),
        (["--dataset", "imagenet"], "--dataset: invalid choice: 'imagenet'"),
        (["--shape", "3,32"], "--shape: expected three whole numbers such as 3,32,32, got '3,32'"),
        (["--shape", "3,32,x"], "expected three whole numbers"),
        (["--shape", "3,0,32"], "expected three whole numbers"),
        (["--shape=-3,3,32"], "expected three whole numbers"),
        (["--shape", "3,32,32", "--dataset", "mnist"], "not allowed with argument --shape"),
        (["--shape", "3,99999,99999"], "more than 16,777,216 numbers in a batch are too many"),
        (["--batch-size", "99999999"], "numbers in a batch are too many"),
        (["--batch-size", "0"], "--batch-size: expected a whole number of at least 1 and below 2^31, got 0"),
        (["--classes", "3"], "--classes: goes with --shape; a data set has its own"),
        (["--shape", "3,32,32", "--classes", "-1"], "--classes: expected a whole number of at least 1"),
        (["--model", "lenet5", "--shape", "1,2,2"], "LeNet5: expected images (C, H, W) with H and W of at least 4"),
        (["mnist"], "unrecognized arguments: mnist"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_bad_input_of_summary(capsys, args, message):
    assert message in refused(["summary", *args], capsys)


# --------------------------------------------------------------------------------------------------------- datasets
NAMES = ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-shakespeare"]


def test_datasets_that_are_missing_say_how_to_get_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "home"))
    out, err = run(["datasets"], capsys)
    lines = out.splitlines()
    assert err == "" and [line.split()[0] for line in lines[1:]] == NAMES
    assert "here" in lines[1] and "kB" in lines[1]
    for name, line in zip(NAMES[1:], lines[2:], strict=True):
        assert "missing" in line and str(tmp_path / "home") in line and line.endswith(f"datasets --fetch {name}")
    assert not list(tmp_path.iterdir())


def test_datasets_that_are_here_in_part_or_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "home"))
    (tmp_path / "my data" / "mnist").mkdir(parents=True)
    (tmp_path / "my data" / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(bytes(1500))
    out, _ = run(["datasets", "--data-dir", tmp_path / "my data"], capsys)
    line = next(line for line in out.splitlines() if line.startswith("mnist"))
    assert "3 of 4 files missing" in line and "1.5 kB" in line
    assert line.endswith(f"minidl datasets --fetch mnist --data-dir '{tmp_path / 'my data'}'")
    for name in ("train-labels-idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels-idx1-ubyte.gz"):
        (tmp_path / "my data" / "mnist" / name).write_bytes(b"x")
    out, _ = run(["datasets", "--data-dir", tmp_path / "my data"], capsys)
    line = next(line for line in out.splitlines() if line.startswith("mnist"))
    assert line.split()[1] == "here" and line.endswith(str(tmp_path / "my data" / "mnist"))


def test_fetch_says_where_it_is_or_what_went_wrong(tmp_path, monkeypatch, capsys):
    out, _ = run(["datasets", "--fetch", "digits"], capsys)
    assert out.startswith("digits is in ") and out.endswith(" kB\n")
    message = refused(["datasets", "--fetch", "imagenet"], capsys)
    assert "there is no data set 'imagenet'" in message and "FashionMNIST" in message
    assert refused(["datasets", "--fetch", ""], capsys) == "--fetch: expected a name, got ''"
    assert refused(["datasets", "--data-dir", ""], capsys) == "--data-dir: expected a name, got ''"
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    message = refused(["datasets", "--fetch", "fashion-mnist", "--data-dir", tmp_path], capsys)
    assert "could not be downloaded" in message and "127.0.0.1:9" in message and "by hand" in message
