"""Whether a run exported as PyTorch source trains under PyTorch as it does here: `python -m tests.benchmarks.graduate`.

For every model of the command line and several optimizers a run of one epoch is exported; the program is then run
under PyTorch in a process of its own, ten steps from the exported weights on fixed batches in float64, and the losses
are compared with those of the same ten steps here. Dropout is switched off, since its masks differ.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

STEPS, BATCH, TOLERANCE = 10, 16, 1e-8
CASES = [
    *[(model, "adam", "one-cycle") for model in ("mlp", "lenet5", "cnn", "lstm")],
    ("resnet8", "sgd", "cosine"),
    *[("mlp", rule, "cosine") for rule in ("nesterov", "adamw", "nadam", "radam", "adamax", "rmsprop", "adagrad")],
    *[("lenet5", rule, "step") for rule in ("adadelta", "amsgrad", "asgd", "descent")],
    ("mlp", "rprop", "constant"),
    ("mlp", "sgd", "warm-restarts"),
    ("mlp", "sgd", "polynomial"),
]

# run under PyTorch: program.py batches.npz -> the losses
DRIVER = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
import model as program
import torch
torch.set_num_threads(1)
data = np.load(sys.argv[2])
net = program.make_model()
for m in net.modules():
    if isinstance(m, torch.nn.Dropout):
        m.p = 0.0
images = data["images"]
net.double()
batches = [(program.prepare(x).double(), torch.as_tensor(t)) for x, t in zip(images, data["targets"])]
print(repr(list(program.train(net, batches))))
probabilities = program.predict(program.make_model(), images[0])
print(repr(probabilities.double().numpy().tolist()))
"""


def batches(shape: tuple[int, ...], classes: int) -> dict[str, np.ndarray]:
    """Ten batches of pixels and class numbers."""
    draw = np.random.default_rng(3)
    channels, height, width = shape
    size = (STEPS, BATCH, height, width) if channels == 1 else (STEPS, BATCH, height, width, channels)
    return {"images": draw.integers(0, 256, size, dtype=np.uint8), "targets": draw.integers(0, classes, (STEPS, BATCH))}


def trained_here(exporter, data: dict[str, np.ndarray]) -> tuple[list[float], np.ndarray]:
    """The losses of the ten steps here, by the options of the run; and the probabilities of the first batch before."""
    import minidl
    from minidl import nn
    from minidl.export.numpy_script import prepared
    from minidl.train import RULES

    options, run = exporter.options, exporter.run

    def images(x):
        return prepared(x, run.shape, run.mean, run.std)

    with minidl.no_grad():
        first = nn.functional.softmax(exporter.model(minidl.from_numpy(images(data["images"][0]))), dim=1).numpy()
    net = exporter.model.double().train()
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    length = -(-exporter.data["train"] // options.batch_size)
    schedule = options.planned(options.epochs * length)
    given = {"momentum": options.momentum, "weight_decay": options.weight_decay}
    optimizer, loss, losses = (
        RULES[options.optimizer].make(net, options.lr * schedule, **given),
        nn.CrossEntropyLoss(),
        [],
    )
    for x, t in zip(data["images"], data["targets"], strict=True):
        optimizer.zero_grad()
        value = loss(net(minidl.from_numpy(images(x).astype(np.float64))), minidl.from_numpy(t))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses, first


def main() -> int:
    """Print a line for each case; the exit code is 1 if one differs."""
    from minidl import cli
    from minidl.export.run import Exporter

    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "driver.py").write_text(DRIVER)
        for k, (model, rule, schedule) in enumerate(CASES):
            out = Path(folder) / f"run{k}"
            options = [
                "--model",
                model,
                "--optimizer",
                rule,
                "--schedule",
                schedule,
                "--epochs",
                "1",
                "--out",
                str(out),
            ]
            if cli.main(["train", *options, "--quiet"]) or cli.main(["export", str(out), "--to", "torch"]):
                return 1
            exporter = Exporter(out)
            data = batches(exporter.run.shape, len(exporter.run.classes))
            np.savez(Path(folder) / "batches.npz", **data)
            command = [sys.executable, str(Path(folder) / "driver.py"), str(out), str(Path(folder) / "batches.npz")]
            printed = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=300)
            if printed.returncode:
                print(f"{model:<8} {rule:<9} {schedule:<13} {printed.stderr.strip().splitlines()[-1]}")
                failed += 1
                continue
            losses, probabilities = [np.array(eval(line)) for line in printed.stdout.splitlines()[-2:]]
            mine, first = trained_here(exporter, data)
            off = float(np.abs(losses - mine).max() / np.abs(mine).max())
            said = float(np.abs(probabilities - first).max())
            good = off <= TOLERANCE and said <= 1e-5
            failed += not good
            mark = "" if good else "   DIFFERS"
            print(f"{model:<8} {rule:<9} {schedule:<13} losses {off:.1e}, probabilities {said:.1e}{mark}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
