"""Whole training steps on 'cuda': the CPU's losses, captured steps, no waiting, steady memory.

Without a GPU they run on the stand-in, as far as it has what they look at.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minidl
from tests.benchmarks.workloads import WORKLOADS, batches, stepper

pytestmark = pytest.mark.cuda
STEPS = 20
NAMES = {
    "MLP": ("MLP, batch 64, Adam", 16),
    "LeNet-5": ("LeNet-5, batch 64", 8),
    "VGG": ("VGG with batch norm, batch 128", 2),
    "LSTM": ("char-LSTM, batch 32", 2),
    "GPT": ("mini-GPT, batch 16, AdamW", 2),
    "autoencoder": ("autoencoder, batch 128", 8),
}


def maker(name: str, device: str, dropout: float = 0.0, wrap=None):
    """A function that makes one step and returns the loss."""
    workload, batch = NAMES[name]
    found = WORKLOADS[workload]
    data = [(minidl.tensor(x).to(device), minidl.tensor(t).to(device)) for x, t in batches(found, batch)]
    minidl.manual_seed(3)
    return stepper(minidl, found, dropout, data, device, wrap)


def losses(step, count: int) -> list[float]:
    return [step().item() for _ in range(count)]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("name", NAMES)
def test_twenty_steps_have_the_losses_of_the_cpu(name, dropout):
    """With the same masks of dropout."""
    count = 3 if name == "VGG" else STEPS
    want, found = (losses(maker(name, device, dropout), count) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(found, want, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_captured_steps_have_the_bits_of_eager_ones(name, products):
    count = 6 if name == "VGG" else STEPS
    wrap = lambda once, optimizer: minidl.compile_step(once)  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that a step cannot be captured is said by a warning
        captured = losses(maker(name, "cuda", 0.5, wrap), count)
    assert captured == losses(maker(name, "cuda", 0.5), count)


@pytest.mark.parametrize("name", NAMES)
def test_no_step_waits_for_the_gpu(name, gpu):
    import cupyx

    step = maker(name, "cuda", 0.5)
    losses(step, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with cupyx.allow_synchronize(False):
            for _ in range(3):
                step()


@pytest.mark.parametrize("name", ["MLP", "LeNet-5", "LSTM"])
def test_memory_is_steady_over_a_thousand_steps(name, gpu):
    step = maker(name, "cuda", 0.5)
    losses(step, 10)
    minidl.cuda.synchronize()
    used, held = minidl.cuda.memory_allocated(), minidl.cuda.memory_reserved()
    for _ in range(1000):
        step()
    minidl.cuda.synchronize()
    assert minidl.cuda.memory_allocated() == used and minidl.cuda.memory_reserved() == held
