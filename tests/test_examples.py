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


def run_example(name: str, *args: str, cwd: Path) -> str:
    """What an example prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(ROOT / "examples" / name), *args]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def test_mnist_mlp_learns_the_digits(tmp_path):
    lines = run_example("mnist_mlp.py", "--dataset", "digits", "--epochs", "4", cwd=tmp_path).splitlines()
    pattern = r"epoch (\d): loss (\d\.\d{4}), test accuracy (\d\d\.\d\d)%"
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found) and [m[1] for m in found] == ["1", "2", "3", "4"]
    assert float(found[-1][2]) < float(found[0][2])
    assert float(found[-1][3]) > 90


def test_the_same_seed_prints_the_same(tmp_path):
    args = ["--dataset", "digits", "--epochs", "1"]
    first, second = (run_example("mnist_mlp.py", *args, "--seed", "3", cwd=tmp_path) for _ in range(2))
    other = run_example("mnist_mlp.py", *args, "--seed", "4", cwd=tmp_path)
    assert first == second != other


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_has_help_and_a_test(path, tmp_path):
    assert "usage:" in run_example(path.name, "--help", cwd=tmp_path)
    assert f'"{path.name}"' in Path(__file__).read_text(encoding="utf-8")
