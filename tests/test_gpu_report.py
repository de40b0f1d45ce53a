"""The report of `python -m tests.gpu`: its parts, run on the CPU and the stand-in, and the page that it is put into."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minidl
from tests.benchmarks.rounds import ROOT
from tests.gpu import networks, steps
from tests.gpu.__main__ import TITLE, WORKLOADS, with_section


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_step_is_measured_with_the_same_losses_in_both_ways(device, products):
    eager, captured = (steps.measure(minidl, WORKLOADS[0], way, 0.01, device) for way in steps.WAYS)
    assert len(eager["losses"]) == 3 and eager["losses"] == captured["losses"]
    assert all(len(found["times"]) >= 5 and min(found["times"]) > 0 for found in (eager, captured))


def test_all_workloads_are_there():
    assert set(WORKLOADS) <= set(steps.WORKLOADS)


@pytest.mark.parametrize("half", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("make", "shape"), [(networks.lenet5, (28, 28)), (networks.resnet9, (3, 32, 32))])
def test_networks_learn_until_the_goal(make, shape, half, monkeypatch):
    monkeypatch.setattr(networks, "BATCH", 8)
    if make is networks.resnet9:
        monkeypatch.setattr(networks, "_block", thin(networks._block))
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 32)
    images = (rng.random((32, *shape)) * 50 + 150 * targets.reshape(-1, *[1] * len(shape))).astype(np.uint8)
    data = SimpleNamespace(data=images, targets=targets)
    make_small = make if make is networks.lenet5 else resnet_of_few_channels
    with np.errstate(over="ignore", invalid="ignore"):  # the scale begins too large for half precision, as it should
        found = networks.train(make_small, (data, data), 12, 0.05, 0.99, half, len(shape) == 3, "cpu")
    assert found["seconds"] > 0 and found["accuracy"][-1] >= 0.99
    assert all(accuracy < 0.99 for accuracy in found["accuracy"][:-1])  # and then it stops


def thin(block):
    return lambda channels, features, pool=False: block(max(3, channels // 16), features // 16, pool)


def resnet_of_few_channels():
    return minidl.nn.Sequential(*list(networks.resnet9())[:-1], minidl.nn.Linear(32, 10))


def test_the_section_is_added_and_renewed():
    page = "# Performance\n\n## Training\n\nfast\n"
    once = with_section(page, "a card")
    assert once == f"# Performance\n\n## Training\n\nfast\n\n## {TITLE}\n\na card\n"
    middle = once + "\n## Other\n\nmore\n"
    assert with_section(middle, "b") == middle.replace("a card", "b")


def test_without_a_gpu_it_says_so():
    done = subprocess.run([sys.executable, "-m", "tests.gpu"], cwd=ROOT, capture_output=True, text=True)
    if minidl.cuda.is_available() and done.returncode == 0:
        pytest.skip("there is a GPU")
    assert done.returncode == 2 and "no GPU that CuPy can use" in done.stderr
