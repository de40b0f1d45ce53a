"""Optimizers and models of other people's, written for PyTorch, run on minidl and agree with PyTorch.

Their packages are no dependency, not even of the tests: they would bring PyTorch along. Where they are not installed
(see tests/programs/packages.txt) these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# What does not agree, and why; a program that begins to agree has to leave this table.
BFLOAT16 = "computes in bfloat16, which NumPy does not have"
RANDOM = "draws random numbers, which are others here"
SINGLE = "keeps float32 numbers beside float64 parameters and divides by small differences of them"
SINGULAR = "turns by the eigenvectors of matrices that are singular at first, which are not determined"
KNOWN = {
    **dict.fromkeys("AdaFactor AdaGO AdaMuon DASH Muon MuonClip NorMuon SCION SCIONLight".split(), BFLOAT16),
    **dict.fromkeys("AdaHessian Adahessian Alice Gravity Kron Magma SophiaH".split(), RANDOM),
    **dict.fromkeys("ASGD AdamMini DAdaptAdan".split(), SINGLE),
    **dict.fromkeys("Conda SOAP SPlus".split(), SINGULAR),
}
ROOT = Path(__file__).resolve().parent.parent
PACKAGES = "pytorch_optimizer torch_optimizer lion_pytorch vit_pytorch x_transformers einops".split()
missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
with np.load(ROOT / "tests" / "programs" / "expected.npz") as _found:
    EXPECTED = {name: _found[name] for name in _found.files}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the programs give with minidl in PyTorch's place, in a process of their own."""
    out = tmp_path_factory.mktemp("programs") / "all.npz"
    command = [sys.executable, "-m", "tests.programs", str(out), "--minidl"]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(command, cwd=out.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(out) as results:
        return {name: results[name] for name in results.files}


def cases():
    for name in sorted(EXPECTED):
        why = KNOWN.get(name.partition(".")[2])
        yield pytest.param(name, marks=[pytest.mark.xfail(reason=why)] if why else [])


@pytest.mark.parametrize("name", list(cases()))
def test_it_gives_what_it_gives_under_pytorch(name, found):
    result, expected = found[name], EXPECTED[name]
    assert result.dtype.kind == "f", str(result)
    scale = np.maximum(np.abs(expected), 1.0)
    assert np.max(np.abs(result - expected) / scale) < 1e-6
