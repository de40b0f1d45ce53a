"""The examples run, with tiny settings, and print what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(*args: str, cwd: Path) -> str:
    """What Python prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    # matplotlib may say, once on a new machine, that it looks at the fonts
    errors = [line for line in done.stderr.splitlines() if "font cache" not in line]
    assert done.returncode == 0 and not errors, done.stderr
    return done.stdout


def run_example(name: str, *args: str, cwd: Path) -> str:
    """What an example prints."""
    return run(str(ROOT / "examples" / name), *args, cwd=cwd)


def numbers(pattern: str, lines: list[str]) -> list[tuple[float, ...]]:
    """The numbers in each line, which has to match the pattern; `#` stands for a number."""
    regex = re.escape(pattern).replace(r"\#", r"(-?\d+(?:\.\d+)?|nan)").replace(r"\ ", " +")
    found = [re.fullmatch(regex, line) for line in lines]
    assert lines and all(found), (pattern, lines)
    return [tuple(map(float, match.groups())) for match in found]


def picture(lines: list[str], path: Path) -> tuple[int, int]:
    """Width and height of the PNG that the last line names."""
    assert lines[-1] == f"picture: {path.name}"
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 5000
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def test_mnist_mlp_learns_the_digits(tmp_path):
    lines = run_example("mnist_mlp.py", "--dataset", "digits", "--epochs", "4", cwd=tmp_path).splitlines()
    pattern = r"epoch (\d): loss (\d\.\d{4}), test accuracy (\d\d\.\d\d)%"
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found) and [m[1] for m in found] == ["1", "2", "3", "4"]
    assert float(found[-1][2]) < float(found[0][2])
    assert float(found[-1][3]) > 90


def test_mnist_cnn_learns_the_digits(tmp_path):
    lines = run_example("mnist_cnn.py", "--dataset", "digits", "--epochs", "2", cwd=tmp_path).splitlines()
    (e1, loss1, _), (e2, loss2, accuracy) = numbers("epoch #: training loss #, test accuracy #%", lines)
    assert (e1, e2) == (1, 2) and loss2 < loss1 / 2 and accuracy > 90


def test_autoencoder_beats_the_mean_image(tmp_path):
    args = ["--dataset", "digits", "--epochs", "25", "--batch-size", "32", "--picture", "rebuilt.png"]
    lines = run_example("autoencoder.py", *args, cwd=tmp_path).splitlines()
    ((baseline,),) = numbers("the mean image: test error #", lines[:1])
    epochs = numbers("epoch #: training error #, test error #", lines[1:-1])
    assert len(epochs) == 25 and epochs[-1][1] < epochs[0][1] / 3 and epochs[-1][2] < baseline / 3
    assert picture(lines, tmp_path / "rebuilt.png") == (1200, 288)


@pytest.mark.slow
def test_vae_prints_a_bound_that_rises(tmp_path):
    lines = run_example(
        "vae.py", "--dataset", "digits", "--epochs", "3", "--batch-size", "32", cwd=tmp_path
    ).splitlines()
    pattern = "epoch #: training ELBO #, test ELBO # (reconstruction #, KL #)"
    epochs = numbers(pattern, lines[:-1])
    assert len(epochs) == 3 and epochs[2][1] > epochs[0][1] and epochs[2][2] > epochs[0][2]
    for _, _, elbo, reconstruction, kl in epochs:
        assert elbo == pytest.approx(-reconstruction - kl, abs=0.011) and kl > 0
    assert picture(lines, tmp_path / "vae.png") == (960, 636)


@pytest.mark.slow
def test_gan_does_not_collapse_at_once(tmp_path):
    lines = run_example(
        "gan.py", "--dataset", "digits", "--epochs", "6", "--batch-size", "64", cwd=tmp_path
    ).splitlines()
    pattern = "epoch #: loss D #, loss G #, D is right about #% of the real and #% of the generated images"
    epochs = numbers(pattern, lines[:-2])
    assert len(epochs) == 6 and all(0.3 < d < 2 and 0.3 < g < 4 for _, d, g, _, _ in epochs)
    assert all(0 <= a <= 100 and 0 <= b <= 100 for *_, a, b in epochs)
    ((spread, real),) = numbers("mean standard deviation of a pixel: generated #, real #", lines[-2:-1])
    assert real / 4 < spread < 2 * real
    assert picture(lines, tmp_path / "gan.png") == (700, 740)


@pytest.mark.slow
def test_pseudo_labels_compares_both_ways_of_learning(tmp_path):
    lines = run_example("pseudo_labels.py", "--seeds", "2", "--rounds", "2", "--steps", "60", cwd=tmp_path).splitlines()
    pattern = "seed #: # labels #%, with pseudo-labels #% (# of # images, #% of them right)"
    seeds = numbers(pattern, lines[:-1])
    for i, (seed, labels, few, many, used, unlabelled, right) in enumerate(seeds):
        assert (seed, labels, unlabelled) == (i, 50, 1437 - 50)
        assert few > 50 and many > 50 and 0 < used <= unlabelled and right > 80
    ((few, many, better, of),) = numbers("mean: #% and #%, better in # of # seeds", lines[-1:])
    assert few == pytest.approx((seeds[0][2] + seeds[1][2]) / 2, abs=0.011)
    assert many == pytest.approx((seeds[0][3] + seeds[1][3]) / 2, abs=0.011)
    assert (better, of) == (sum(s[3] > s[2] for s in seeds), 2)


def test_reinforce_keeps_the_pole_up_longer(tmp_path):
    args = ["--updates", "30", "--limit", "100"]
    lines = run_example("reinforce.py", *args, cwd=tmp_path).splitlines()
    found = numbers("update #: # episodes, mean length of the last 100: #", lines)
    assert [(update, episodes) for update, episodes, _ in found] == [(10, 200), (20, 400), (30, 600)]
    lengths = [length for _, _, length in found]
    assert 8 < lengths[0] < lengths[2] <= 100 and lengths[2] > 60  # a random policy lasts for 22 steps


@pytest.mark.slow
def test_activations_shows_which_start_can_learn(tmp_path):
    args = ["--dataset", "digits", "--depth", "10", "--width", "64", "--steps", "50"]
    lines = run_example("activations.py", *args, cwd=tmp_path).splitlines()
    assert lines[0] == "loss after 50 steps (guessing: 2.303)"
    assert lines[1].split() == ["small", "xavier", "he"]
    rows = {line.split()[0]: [float(v) for v in line.split()[1:]] for line in lines[2:-1]}
    assert list(rows) == ["tanh", "relu", "selu", "gelu"]
    assert all(2.2 < small < 2.4 for small, _, _ in rows.values())  # nothing arrives, nothing is learned
    assert rows["tanh"][1] < 1.5 and rows["relu"][2] < 1.5
    assert picture(lines, tmp_path / "activations.png") == (1540, 715)


@pytest.mark.slow
def test_dropout_shows_both_curves(tmp_path):
    args = ["--dataset", "digits", "--samples", "200", "--epochs", "40", "--width", "256"]
    lines = run_example("dropout.py", *args, cwd=tmp_path).splitlines()
    pattern = ": training loss #, test loss # (lowest # in epoch #), test accuracy #%"
    without, with_ = numbers("no dropout" + pattern, lines[:1])[0], numbers("dropout 0.5" + pattern, lines[1:2])[0]
    for training, test, lowest, epoch, accuracy in (without, with_):
        assert training < test and lowest <= test and 1 <= epoch <= 40 and accuracy > 60
    assert without[0] < with_[0]  # what dropout does first of all: the training set is learned less well
    assert picture(lines, tmp_path / "dropout.png") == (1200, 480)


TINY = {  # every example is here
    "mnist_mlp.py": ["--dataset", "digits", "--epochs", "1"],
    "mnist_cnn.py": ["--dataset", "digits", "--epochs", "1"],
    "autoencoder.py": ["--dataset", "digits", "--epochs", "1"],
    "vae.py": ["--dataset", "digits", "--epochs", "1"],
    "gan.py": ["--dataset", "digits", "--epochs", "1"],
    "pseudo_labels.py": ["--seeds", "1", "--rounds", "2", "--steps", "10", "--threshold", "0.2"],
    "reinforce.py": ["--updates", "2", "--limit", "30"],
    "activations.py": ["--dataset", "digits", "--depth", "3", "--width", "16", "--steps", "5"],
    "dropout.py": ["--dataset", "digits", "--samples", "50", "--epochs", "2", "--width", "32"],
    "cifar10_resnet.py": ["--dataset", "digits", "--subset", "100", "--epochs", "1", "--width", "4"],
    "mnist_row_lstm.py": ["--dataset", "digits", "--epochs", "1", "--hidden", "16"],
    "char_lstm.py": ["--text", str(ROOT / "LICENSE"), "--epochs", "1", "--hidden", "8", "--length", "20"],
    "mini_gpt.py": ["--text", str(ROOT / "LICENSE"), "--steps", "4", "--every", "2", "--width", "8", "--length", "20"],
    "transfer_learning.py": ["--dataset", "digits", "--pretrain", "5", "--steps", "3", "--seeds", "1"],
    "gru_against_lstm.py": ["--length", "6", "--updates", "4", "--every", "2", "--hidden", "4"],
    "wgan_gp.py": ["--steps", "3", "--critic-steps", "2", "--width", "8"],
    "newton.py": ["--passes", "20", "--width", "4"],
    "pinn.py": ["--adam", "3", "--lbfgs", "3", "--width", "4", "--points", "10"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_same_seed_prints_the_same(path, tmp_path):
    """And draws the same picture. The runs follow each other in one process, which spares two starts."""
    code = """
import os, runpy, sys
for folder, seed in ("first", "3"), ("second", "3"), ("other", "4"):
    os.mkdir(folder)
    os.chdir(folder)
    sys.argv = [sys.argv[0], *args, "--seed", seed]
    runpy.run_path(path, run_name="__main__")
    os.chdir("..")
    print("=====")
"""
    code = f"path, args = {str(path)!r}, {TINY[path.name]!r}\n{code}"
    output = re.sub(r"^seconds .*\n", "", run("-c", code, cwd=tmp_path), flags=re.MULTILINE)  # times are never the same
    *printed, end = output.split("=====\n")
    pictures = [[p.read_bytes() for p in (tmp_path / d).glob("*.png")] for d in ("first", "second", "other")]
    assert len(printed) == 3 and end == ""
    assert len(pictures[0]) == ("--picture" in path.read_text(encoding="utf-8"))
    assert printed[0] == printed[1] != printed[2]
    assert pictures[0] == pictures[1] and (pictures[0] == [] or pictures[0] != pictures[2])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_has_help_and_a_test(path, tmp_path):
    assert "usage:" in run_example(path.name, "--help", cwd=tmp_path)
    tests = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_examples*.py"))
    assert f'run_example("{path.name}"' in re.sub(r"\(\s+", "(", tests)
