"""Runs `tests/schedulers.py` with PyTorch and writes the rates: `python tests/reference/make_schedules.py`.

With `make.py` the only files of the tests that import PyTorch. The results are committed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from schedulers import BETAS, SCHEDULERS, run  # noqa: E402


def groups():
    return [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.03)]


def main() -> None:
    found = {}
    for name, make in SCHEDULERS.items():
        found[name] = run(make, torch.optim.lr_scheduler, torch.optim.SGD(groups(), momentum=0.5))
        if name in BETAS:
            found[f"{name} of Adam"] = run(make, torch.optim.lr_scheduler, torch.optim.Adam(groups()))
    np.savez_compressed(HERE / "schedules.npz", **{name: np.array(rows) for name, rows in found.items()})


if __name__ == "__main__":
    main()
