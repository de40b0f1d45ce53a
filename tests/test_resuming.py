"""Stop at any step, save, load in a new process, go on: the same bits as without."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from optimizers.resuming import RULES, begun, go, load, save

from minidl import optim

HERE = Path(__file__).resolve().parent
END = 10


def content(model, optimizer) -> bytes:
    file = io.BytesIO()
    save(model, optimizer, file)
    return file.getvalue()


def whole(name: str) -> bytes:
    """The file at the end of a run that was never stopped."""
    model, optimizer = begun(name)
    go(model, optimizer, 0, END)
    return content(model, optimizer)


@pytest.mark.parametrize("name", RULES)
def test_stopping_at_any_step_changes_no_bit(name):
    expected = whole(name)
    for stop in range(END):
        model, optimizer = begun(name)
        go(model, optimizer, 0, stop)
        raw = content(model, optimizer)
        model, optimizer = load(name, io.BytesIO(raw))
        assert content(model, optimizer) == raw, f"loaded at step {stop}"
        go(model, optimizer, stop, END)
        assert content(model, optimizer) == expected, f"stopped at step {stop}"


def test_another_process_goes_on_with_the_same_bits(tmp_path):
    stop = 5
    for name in RULES:
        model, optimizer = begun(name)
        go(model, optimizer, 0, stop)
        save(model, optimizer, tmp_path / f"{name}.safetensors")
    files = sorted(tmp_path.iterdir())
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "optimizers.resuming", str(stop), str(END), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert len(files) == len(RULES)
    for file in files:
        assert file.read_bytes() == whole(file.stem), file.stem


def test_the_runs_have_as_much_state_as_there_can_be():
    """Every state array and number that a rule knows of is in the file, or its loss would go unnoticed."""
    for name in RULES:
        model, optimizer = begun(name)
        go(model, optimizer, 0, 2)
        keys = {key for entries in optimizer.state.values() for key in entries}
        assert keys >= set(optimizer.state_keys.values()), name
    assert {"SGD", "Adam", "NAdam", "ASGD", "Rprop", "LBFGS", "Muon"} <= set(RULES) and optim.Optimizer
