"""The parts of the page besides whole steps (`training.py`): what is measured for each, its prose and its tables."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minidl.data.datasets import MNIST, DatasetError

from . import chains, epoch, sizes
from .rounds import Failed, Settings, apart, run
from .tables import best, figure, table, verdict
from .training import best_of

ABOUT_EPOCH = """
Seconds of one pass over {data} with batches of {batch}, loading and the updates included; the fastest of {rounds}.
In minidl the program is the usual one: `MNIST(transform=Compose([ToTensor(), Normalize(...)]))`, a `DataLoader` that
shuffles, and a loop that is written out.
"""

ABOUT_EPOCH_RIVAL = """
So it is in {rival}, where the data set is what torchvision's MNIST is: each sample goes over {image}
to a tensor that is normalised, and the loader puts samples together (`num_workers=0`). Beside it stands a program
that holds all images in one normalised tensor and indexes it by parts of a random permutation. Both ratios are to
minidl's loader.
"""

ABOUT_OPS = """
Microseconds through the public face, random inputs of n x n elements; the fastest of {rounds}.
"""

REMARKS = """
A ratio above 1 means that minidl needs less time. Most of the time of a small op is not arithmetic but what surrounds
it, and there minidl is ahead. Where a matrix product decides, the two are about equal. It is behind where PyTorch has
one fused kernel and NumPy needs several passes over the array, each with an overhead per row (softmax, its logarithm,
cross-entropy, pooling, batch norm), and where a result is many pieces (split) or many rows meet (indexing).
"""

ABOUT_UPDATES = """
Milliseconds of one `optimizer.step()` with float32 parameters, all gradients being there: the median of many
updates, and of {rounds} the fastest. A ratio above 1: minidl needs less time.
"""

REMARKS_UPDATES = """
PyTorch's fused forms do a whole rule in one pass over memory. A rule in NumPy is several passes over a slice that stays
in the cache, so that it is behind them where there is much arithmetic, and ahead where there are many small tensors.
Plain SGD on millions of numbers is nothing but memory: two passes there against PyTorch's one. Muon is in PyTorch in
bfloat16, which this processor has no fast product for.
"""

ABOUT_BATCHES = """
Images per second of training (a step as above, the median of the best of {rounds}) by the size of a batch.
"""

ABOUT_LINEAR = """
Microseconds per op of a chain of n ops (products with a number, differences, signs, absolute values) on 8 x 8 elements,
forward and backward: the median, and of {rounds} the one with the smallest. The time grows in proportion to the number
of ops where the figures are the same in all columns.
"""


# ----------------------------------------------------------------------------------------------------- whole epochs
def _mnist() -> tuple[np.ndarray, np.ndarray, str]:
    """The images, their classes, and what they are."""
    try:
        found = MNIST(train=True)
    except DatasetError:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
        return images, random.integers(0, 10, 60_000), "60,000 random images (MNIST was not there)"
    return found.data.numpy(), found.targets.numpy(), "the 60,000 training images of MNIST"


def epochs(settings: Settings) -> list[str]:
    """Whole epochs with loading."""
    with tempfile.TemporaryDirectory() as folder:
        images, labels, data = _mnist()
        np.save(Path(folder) / "images.npy", images)
        np.save(Path(folder) / "labels.npy", labels)
        found = settings.run("epoch", folder, timeout=600)
    rival = settings.rival

    def least(framework: str, model: str, way: str) -> float:
        return min(r[model][way]["seconds"] for r in found[framework])

    rows = []
    for model, name in epoch.MODELS.items():
        ours = least("minidl", model, "loader")
        row = [model, figure(ours)]
        for way in ("loader", "resident") if rival else ():
            theirs = least(rival, model, way)
            row += [figure(theirs), f"{theirs / ours:.2f}"]
        means = {f"{f}, {way}": [r["loss"]] for f, rounds in found.items() for way, r in rounds[0][model].items()}
        apart(f"an epoch of {name}, mean loss", means, tolerance=0.3)  # the orders differ
        rows.append([*row, ", ".join(figure(loss) for [loss] in means.values())])
    head = ["model", "minidl, loader"] + (
        [f"{rival}, loader", "ratio", f"{rival}, one tensor", "ratio"] if rival else []
    )
    lines = settings.prose(ABOUT_EPOCH, data=data, batch=epoch.BATCH)
    if rival:
        image = "a Pillow image" if found[rival][0]["pillow"] else "an array (Pillow is not there)"
        lines += ["", *settings.prose(ABOUT_EPOCH_RIVAL, image=image)]
    alone = " and ".join(f"{figure(min(r['loading'] for r in rounds))} s in {f}" for f, rounds in found.items())
    return [
        *lines,
        "",
        *table([*head, "mean loss of the epoch"], rows),
        "",
        f"Loading alone takes {alone} (`DataLoader`).",
    ]


# --------------------------------------------------------------------------------------------------- ops and updates
def ops(settings: Settings) -> list[str]:
    """The time of every op."""
    found, rival = settings.run("per_op", timeout=600), settings.rival
    rows, ratios = [], []
    for name in found["minidl"][0]:
        least = {f: [min(r[name][i] for r in rounds) for i in (0, 1)] for f, rounds in found.items()}
        rows.append([name, *(f"{t:.1f}" for both in least.values() for t in both)])
        if rival:
            ratios.append(least[rival][1] / least["minidl"][1])
            rows[-1].append(f"{ratios[-1]:.2f}")
    head = ["op (size)", "forward", "and backward"]
    if not rival:
        return [*settings.prose(ABOUT_OPS), "", *table(head, rows)]
    lines = table([*head, f"{rival} forward", "and backward", "ratio"], rows)
    return [*settings.prose(ABOUT_OPS), "", verdict(ratios, rival), "", *lines, "", *settings.prose(REMARKS)]


def updates(settings: Settings) -> list[str]:
    """The time of an update by every rule."""
    found, rival, rows = settings.run("update", timeout=600), settings.rival, []

    def least(framework: str, name: str, i: int) -> float | None:
        times = [r[name][i] for r in found[framework] if r[name][i] is not None]
        return min(times) / 1e3 if times else None

    for name in found["minidl"][0]:
        ours = least("minidl", name, 0)
        if ours is None:
            continue
        row = [*name.split("|"), figure(ours)]
        for i in (0, 1) if rival else ():
            theirs = least(rival, name, i)
            row += [figure(theirs), "" if theirs is None else f"{theirs / ours:.2f}"]
        rows.append(row)
    head = ["rule", "parameters", "minidl"] + ([rival, "ratio", "fused", "ratio"] if rival else [])
    remarks = ["", *settings.prose(REMARKS_UPDATES)] if rival else []
    return [*settings.prose(ABOUT_UPDATES), "", *table(head, rows), *remarks]


# ------------------------------------------------------------------------------------------------ what cost grows with
def batches(settings: Settings) -> list[str]:
    """Images per second by the size of a batch."""
    found, rows = settings.run("sizes", settings.seconds / 4, *sizes.MODELS.values()), []
    for model, name in sizes.MODELS.items():
        rates: dict[str, list[float]] = {}
        for f, rounds in found.items():
            rates[f] = [n * 1e3 / best_of([r[name][str(n)] for r in rounds]).median for n in sizes.SIZES]
            rows.append([f"{model}, {f}", *(f"{rate:,.0f}" for rate in rates[f])])
        for n in sizes.SIZES:
            apart(f"{name} with batch {n}", {f: rounds[0][name][str(n)]["losses"] for f, rounds in found.items()})
        if settings.rival:
            ratios = zip(rates["minidl"], rates[settings.rival], strict=True)
            rows.append(["ratio", *(f"{ours / theirs:.2f}" for ours, theirs in ratios)])
    return [*settings.prose(ABOUT_BATCHES), "", *table(["images per second", *map(str, sizes.SIZES)], rows)]


def linear(settings: Settings) -> list[str]:
    """Microseconds per op by the number of ops."""
    found, rows = settings.run("chains", settings.seconds / 2), []
    for f, rounds in found.items():
        medians = [best(r[str(n)] for r in rounds).median * 1e3 / n for n in chains.LENGTHS]
        rows.append([f, *map(figure, medians), f"{max(medians) / min(medians):.2f}"])
    head = ["", *(f"{n:,} ops" for n in chains.LENGTHS), "largest / smallest"]
    return [*settings.prose(ABOUT_LINEAR), "", *table(head, rows)]


# ------------------------------------------------------------------------------------------------ import and memory
def seconds_to_import(names: list[str], tries: int = 5) -> dict[str, float]:
    """Wall-clock seconds of `python -c "import name"`, less those of an empty program, with byte code that is there."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def once(code: str) -> float:
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment,
                                  timeout=120)  # fmt: skip
            if done.returncode:
                raise Failed(f"{code}: exit code {done.returncode}\n{done.stderr}")
            return time.perf_counter() - start

        programs = {name: f"import {name}" for name in names}
        for code in programs.values():
            once(code)  # writes the byte code
        empty = min(once("pass") for _ in range(tries))
        return {name: min(once(code) for _ in range(tries)) - empty for name, code in programs.items()}


def costs(settings: Settings) -> list[str]:
    """The time of an import, and memory."""
    took = seconds_to_import(["numpy", *settings.frameworks])
    text = f"`import minidl` takes {took['minidl']:.2f} s, of which `import numpy` {took['numpy']:.2f} s."
    if settings.rival:
        text += f" `import {settings.rival}` takes {took[settings.rival]:.2f} s."
    # memory that is freed goes back to the system at once, so that it does not count
    at_once = dict(MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    found = {f: run("memory", f, **at_once) for f in settings.frameworks}
    rows = [[name, *(f"{found[f][name]:.1f}" for f in found)] for name in found["minidl"]]
    return [text, "", "Megabytes of resident memory:", "", *table(["", *found], rows)]
