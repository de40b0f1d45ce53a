"""Runs tests/programs with PyTorch and keeps what they give, beside itself: `python tests/programs/make.py`.

Needs PyTorch 2.13 and the packages of tests/programs/packages.txt.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "all.npz"
        subprocess.run([sys.executable, "-m", "tests.programs", str(out)], check=True, cwd=HERE.parents[1])
        with np.load(out) as found:
            numbers = {name: found[name] for name in found.files if found[name].dtype.kind == "f"}
            raised = {name: str(found[name]) for name in found.files if found[name].dtype.kind != "f"}
    np.savez_compressed(HERE / "expected.npz", **numbers)
    print(f"PyTorch {torch.__version__}: {len(numbers)} programs; left out, since PyTorch itself raises:")
    for name, text in raised.items():
        print(f"  {name}: {text[:100]}")
