"""Every kernel, in each of its dtypes, is compiled for three generations of GPUs by NVRTC, which needs none of them.

The compiler is asked in a process of its own, with the real CuPy: here `cupy` is the stand-in. It comes with the extra
`nvrtc`; its wheels are those of CUDA 12, since CUDA 13 has no sm_70 any more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.nvrtc, pytest.mark.slow]
HERE = Path(__file__).parent
ARCHITECTURES = ("sm_70", "sm_80", "sm_90")  # V100, A100, H100
PARTS = 4  # a compilation takes 0.2 s, and there are hundreds

# all that are declared when 'cuda' is first used, and those that update rules become with all their options
DECLARED = """
import json, sys
sys.path.insert(0, "tests")
from standin import install
install()
from optimizers.recorded import recorded_kernels
from minidl.backend.cuda.launch import KERNELS
for table in (KERNELS, recorded_kernels()):
    for name, declared in table.items():
        print(json.dumps((name, declared.kind, declared.arguments, declared.types)))
"""


def compiled(kernels: list, arch: str) -> list:
    """What NVRTC refuses of these; the test is skipped where there is none."""
    command = [sys.executable, str(HERE / "nvrtc_compile.py"), arch]
    done = subprocess.run(command, input=json.dumps(kernels), capture_output=True, text=True, cwd=HERE.parent)
    if done.returncode == 3:
        pytest.skip(f"NVRTC is not here, install the extra nvrtc: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def kernels() -> list:
    done = subprocess.run([sys.executable, "-c", DECLARED], capture_output=True, text=True, cwd=HERE.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_kernel_compiles(kernels, arch, part):
    assert len(kernels) > 100 and {kind for _, kind, _, _ in kernels} == {"elementwise", "reduction"}
    refused = compiled(kernels[part::PARTS], arch)
    assert not refused, "\n".join(f"{name} {types}: {log}" for name, types, log in refused)


@pytest.mark.parametrize(
    ("kind", "arguments", "why"),
    [
        ("elementwise", ("T x", "T y", "y = unknown(x)", ""), "unknown"),
        ("elementwise", ("T x", "T y", "x = y", ""), "modifiable"),
        ("reduction", ("T x", "T y", "x", "a + b", "y = q", "0", "T", ""), '"q"'),
    ],
)
def test_what_is_no_kernel_is_refused(kind, arguments, why):
    ((name, types, log),) = compiled([("wrong", kind, arguments, [{"T": "float32"}])], "sm_90")
    assert (name, types) == ("wrong", {"T": "float32"}) and why in log
