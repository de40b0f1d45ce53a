"""`minidl export`: runs in every form, PyTorch source that trains the same, errors in one line."""

from __future__ import annotations

import itertools
import json
import shutil
import sys

import numpy as np
import pytest
from test_inspection import refused, run

import minidl
from minidl import nn, optim
from minidl.export.numpy_script import prepared
from minidl.export.run import Exporter
from minidl.export.source import Source, SourceError, torch_path
from minidl.export.torch_source import factor, to_torch
from minidl.optim import schedules
from minidl.train import RULES, Options, execute


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run of each of two models."""
    folder = tmp_path_factory.mktemp("exported")
    for model, rule in (("lenet5", "adam"), ("mlp", "lion")):
        execute(Options(model=model, optimizer=rule, epochs=1, out=str(folder / model)))
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the run, to be damaged."""
    shutil.copytree(trained / "lenet5", tmp_path / "run")
    return tmp_path / "run"


def as_minidl(source: str, folder) -> dict:
    """A program for PyTorch, run with minidl under the name torch."""
    source = source.replace("from safetensors.torch import load_file", "from minidl import load as load_file")
    source = source.replace("import torch\n", "import minidl as torch\n").replace("from torch", "from minidl")
    names = {"__name__": "program", "__file__": str(folder / "model.py")}
    exec(compile(source, "program", "exec"), names)
    return names


@pytest.mark.parametrize("form", ["safetensors", "numpy", "torch", "onnx"])
def test_forms(form, trained, tmp_path, capsys):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    path = tmp_path / {"safetensors": "a.safetensors", "numpy": "a.py", "torch": "a.py", "onnx": "a.onnx"}[form]
    out, err = run(["export", trained / "lenet5", "--to", form, "-o", path], capsys)
    lines = out.splitlines()
    assert lines[0] == f"wrote {path}" and lines[-1].startswith("verified on 5 images") and err == ""
    assert path.exists() and len(lines) == (3 if form == "torch" else 2)
    out, _ = run(["export", trained / "lenet5", "--to", form, "-o", path, "--no-verify"], capsys)
    assert "verified" not in out


def test_the_file_lies_in_the_run_unless_said_otherwise(copy, capsys):
    run(["export", copy, "--to", "numpy"], capsys)
    assert (copy / "predict.py").exists()


def test_safetensors_hold_the_weights_and_what_they_are_of(trained, tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    run(["export", trained / "lenet5", "--to", "safetensors", "-o", path], capsys)
    model = Exporter(trained / "lenet5").model
    loaded = minidl.load(path)
    assert list(loaded) == list(model.state_dict())
    from safetensors.numpy import load_file

    for key, value in load_file(path).items():
        np.testing.assert_array_equal(value, model.state_dict()[key].numpy())
    from minidl.serialization import read_metadata

    notes = read_metadata(path)
    assert notes["format"] == "pt" and json.loads(notes["shape"]) == [1, 8, 8] and notes["dataset"] == "digits"


def test_another_checkpoint(trained, copy, capsys):
    weights = {k: v * 0 for k, v in Exporter(copy).model.state_dict().items()}
    minidl.save(weights, copy / "other.safetensors")
    run(["export", copy, "--to", "numpy", "--checkpoint", "other.safetensors"], capsys)
    names = {"__name__": "script"}
    exec((copy / "predict.py").read_text(), names)
    np.testing.assert_allclose(names["predict"](np.zeros((8, 8), np.uint8)), 0.1, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------- refusals
def test_errors_are_one_line(trained, copy, tmp_path, capsys, monkeypatch):
    def said(*args):
        return refused(["export", *args], capsys)

    assert "no such run" in said(tmp_path / "nowhere", "--to", "numpy")
    assert "no folder of a run" in said(tmp_path, "--to", "numpy")
    assert "invalid choice" in said(copy, "--to", "pickle")
    assert "--to" in said(copy)
    assert "ends in .onnx" in said(copy, "--to", "onnx", "-o", tmp_path / "a.py")
    assert "no folder" in said(copy, "--to", "numpy", "-o", tmp_path / "none" / "a.py")
    (tmp_path / "folder.py").mkdir()
    assert "is a folder" in said(copy, "--to", "numpy", "-o", tmp_path / "folder.py")
    assert "choose another" in said(copy, "--to", "safetensors", "-o", copy / "checkpoint.safetensors")
    assert "there is no" in said(copy, "--to", "numpy", "--checkpoint", "best.safetensors")
    minidl.save({"weight": minidl.zeros(2)}, copy / "bad.safetensors")
    assert "does not fit" in said(copy, "--to", "numpy", "--checkpoint", "bad.safetensors")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "minidl[onnx]" in said(copy, "--to", "onnx")
    (copy / "checkpoint.safetensors").unlink()
    assert "no checkpoint" in said(copy, "--to", "numpy")
    assert not (copy / "predict.py").exists() and not (copy / "model.onnx").exists()


def test_what_differs_is_an_error(copy, capsys, monkeypatch):
    monkeypatch.setattr("minidl.export.run.TOLERANCE", -1.0)
    out = run(["export", copy, "--to", "numpy"], capsys, 2)
    assert "differs from the model" in out[1]


# ---------------------------------------------------------------------------------------------------------- torch
def test_ten_steps_of_the_program_agree(trained, tmp_path, capsys):
    run(["export", trained / "lenet5", "--to", "torch", "-o", tmp_path / "model.py"], capsys)
    program = as_minidl((tmp_path / "model.py").read_text(), tmp_path)
    exporter = Exporter(trained / "lenet5")
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (10, 16, 8, 8), dtype=np.uint8)
    targets = [minidl.tensor(t) for t in draw.integers(0, 10, (10, 16))]
    net = program["make_model"]()
    found = list(program["train"](net, [(program["prepare"](x), t) for x, t in zip(images, targets, strict=True)]))
    model, options = exporter.model.train(), exporter.options
    steps = options.epochs * -(-exporter.data["train"] // options.batch_size)
    optimizer = RULES["adam"].make(model, options.lr * options.planned(steps), weight_decay=options.weight_decay)
    mine = []
    for x, t in zip(images, targets, strict=True):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(minidl.tensor(prepared(x, (1, 8, 8), *_normal(exporter)))), t)
        loss.backward()
        optimizer.step()
        mine.append(loss.item())
    np.testing.assert_allclose(found, mine, rtol=1e-6)
    for a, b in zip(net.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


def _normal(exporter):
    return exporter.run.mean, exporter.run.std


def test_an_optimizer_that_pytorch_does_not_have(trained, tmp_path, capsys):
    _, err = run(["export", trained / "mlp", "--to", "torch", "-o", tmp_path / "model.py"], capsys)
    assert "PyTorch has no optimizer Lion" in err
    text = (tmp_path / "model.py").read_text()
    assert "class MLP(Module)" in text and "def train(" not in text and "minidl." not in text.split('"""', 2)[2]


@pytest.mark.parametrize("name", schedules.NAMES)
@pytest.mark.parametrize("warmup", [None, 0.1])
def test_schedules_as_source(name, warmup):
    planned, source = Options(schedule=name, warmup=warmup).resolved().planned(50), Source()
    text = factor(planned, source)
    names: dict = {}
    exec(source.text(), names)
    made = eval(f"lambda step: {text}", names)
    assert [made(k) for k in range(60)] == [planned(k) for k in range(60)]


def test_layers_of_a_sequential_are_spelled_out():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    source = to_torch(net, optimizer=optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True))
    assert "    nn.Linear(in_features=4, out_features=2, bias=True)," in source
    assert "torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)" in source
    assert "def predict" not in source


HALF = 0.5


def _scaled(x):
    return x * HALF


class Inner(nn.Module):
    """A module of one's own."""

    def forward(self, x):
        return _scaled(nn.functional.relu(x))


class Outer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), Inner()

    def forward(self, x):
        return minidl.cat([self.b(self.a(x)), *itertools.repeat(x, 1)], 1)


def test_modules_of_ones_own_bring_what_they_use(tmp_path):
    model = Outer(3)
    minidl.save(model.state_dict(), tmp_path / "model.safetensors")
    source = to_torch(model, build="Outer(3)")
    assert (
        source.index("HALF = 0.5")
        < source.index("def _scaled")
        < source.index("class Inner")
        < source.index("class Outer")
    )
    assert "import itertools\n" in source and "import torch as minidl" in source
    program = as_minidl(source.replace("import torch as minidl", "import minidl"), tmp_path)
    x = minidl.randn(2, 3)
    np.testing.assert_array_equal(program["make_model"]()(x).detach().numpy(), model(x).detach().numpy())


def test_what_cannot_be_copied():
    class Local(nn.Module):
        def forward(self, x):
            return x

    with pytest.raises(SourceError, match="top of a module"):
        to_torch(Local(), build="Local()")
    with pytest.raises(SourceError, match="build='Inner"):
        to_torch(Inner())
    names: dict = {"nn": nn, "__name__": "nowhere"}
    exec("class Typed(nn.Module):\n    def forward(self, x):\n        return x", names)
    sys.modules["nowhere"] = type(sys)("nowhere")
    vars(sys.modules["nowhere"]).update(names)
    try:
        with pytest.raises(SourceError, match="in no file"):
            to_torch(names["Typed"](), build="Typed()")
    finally:
        del sys.modules["nowhere"]


def test_paths_of_modules():
    for mine, theirs in {
        "minidl": "torch", "minidl.nn.functional": "torch.nn.functional", "minidl.tensor": "torch",
        "minidl.utils.data": "torch.utils.data", "minidl.data": "torch.utils.data", "math": "math",
    }.items():  # fmt: skip
        assert torch_path(mine) == theirs
