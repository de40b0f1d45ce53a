"""NumPy scripts of every layer and model, and that they need nothing but NumPy."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from layers import LAYERS, flat, given, made
from test_export import CANNOT

import minidl
from minidl import nn
from minidl.export import TraceError, to_numpy
from minidl.export.numpy_script import prepared
from minidl.train import MODELS

HERE = SimpleNamespace(T=minidl, nn=nn, F=nn.functional, tensor=lambda a: minidl.tensor(np.asarray(a)))

# refuses every import but NumPy's and the standard library's, then runs a script as a program
ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root != "numpy" and root not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not NumPy")
sys.meta_path.insert(0, Refuse())
path, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(path, run_name="__main__")
"""


def loaded(source: str) -> dict:
    """The names of a script."""
    names = {"__name__": "script"}
    exec(compile(source, "script", "exec"), names)
    return names


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in CANNOT])
def test_layers(name):
    module, inputs = made(HERE, name, minidl.float32), given(HERE, name, minidl.float32, 2)
    script = loaded(to_numpy(module, tuple(inputs), fixed=True))
    module.eval()
    with minidl.no_grad():
        want = [t.array for t in flat(module(*inputs))]
    got = script["forward"](*[t.array for t in flat(inputs)])
    for a, b in zip(got if isinstance(got, tuple) else (got,), want, strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(b).max(initial=0.0)))
    assert script["check"]() <= 1e-4


@pytest.mark.parametrize("name", CANNOT)
def test_layers_that_cannot(name):
    module, inputs = made(HERE, name, minidl.float32), given(HERE, name, minidl.float32, 2)
    with pytest.raises(TraceError):
        to_numpy(module, tuple(inputs), fixed=True)


def classifier(name: str, shape=(1, 8, 8)) -> tuple[nn.Module, str, np.ndarray]:
    """A model, its script, and pixels to try."""
    channels, height, width = shape
    size = (6, height, width) if channels == 1 else (6, height, width, channels)
    images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    model = MODELS[name](shape, 3)
    source = to_numpy(
        model, minidl.zeros(1, *shape), classes=["ant", "bee", 'c"\\'], mean=[0.3] * channels, std=[0.4] * channels,
        example=images[:2],
    )  # fmt: skip
    return model.eval(), source, images


@pytest.mark.parametrize(("name", "shape"), [*[(name, (1, 8, 8)) for name in MODELS], ("cnn", (3, 8, 8))])
def test_classifiers(name, shape):
    model, source, images = classifier(name, shape)
    script = loaded(source)
    for given_images in (images, images[0], images[:4] / 255):
        x = prepared(given_images, shape, [0.3] * shape[0], [0.4] * shape[0])
        with minidl.no_grad():
            want = nn.functional.softmax(model(minidl.tensor(x)), dim=1).numpy()
        np.testing.assert_allclose(script["predict"](given_images), want, atol=1e-6)
    assert script["check"]() <= 1e-6


def test_a_script_runs_with_numpy_alone(tmp_path):
    _, source, images = classifier("cnn")
    path = tmp_path / "predict.py"
    path.write_text(source)
    np.save(tmp_path / "image.npy", images[0])
    np.savetxt(tmp_path / "images.csv", images[:2].reshape(2, -1), delimiter=",")

    def run(*arguments) -> tuple[int, list[str]]:
        command = [sys.executable, "-I", "-c", ALONE, str(path), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout.splitlines()

    code, lines = run("--check")
    assert code == 0 and "largest difference" in lines[0]
    code, lines = run(tmp_path / "image.npy", tmp_path / "images.csv")
    assert code == 0 and len(lines) == 3 and lines[0].split(" ", 1)[1] == lines[1].split(" ", 1)[1]
    assert run()[0] == 2


def test_helpers_come_only_where_they_are_used():
    source = to_numpy(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), minidl.randn(1, 3))
    assert "def conv2d" not in source and 'h1 = x @ W["0.weight"].T + W["0.bias"]  # 0' in source


def test_damaged_weights_are_noticed():
    source = to_numpy(nn.Linear(2, 2), minidl.randn(1, 2))
    start = source.index('DATA = """') + 11
    other = "A" if source[start] != "A" else "B"
    with pytest.raises(ValueError, match="damaged"):
        loaded(source[:start] + other + source[start + 1 :])


def test_a_classifier_needs_an_example():
    with pytest.raises(ValueError, match="example"):
        to_numpy(MODELS["mlp"]((1, 8, 8), 2), minidl.randn(1, 1, 8, 8), classes=["a", "b"], mean=[0.0], std=[1.0])
