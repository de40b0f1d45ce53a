"""Every kernel for the GPU against a twin in NumPy, over random shapes and strides, in every dtype.

Where there is no GPU, the stand-in runs the bodies on the host. What a kernel has to compute stands in
`tests/cases_cuda`, or in a `test_cuda_*.py` of its own that names it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from cases_cuda import TWINS
from cases_cuda.table import Draw
from conftest import REAL_GPU, Where

import minidl
from minidl.backend import get_backend

if not REAL_GPU:
    import standin

CUDA = get_backend("cuda")
TOLERANCE = {"float64": 1e-12, "float32": 3e-6, "float16": 4e-3, "bool": 0.0, "int64": 0.0}
RUNS = 6

# the kernels that are there when 'cuda' was first used; later ones are made by rules and steps, which have own tests
NAMES = """
import json, sys
sys.path.insert(0, "tests")
from standin import install
install()
import minidl.backend.cuda
from minidl.backend.cuda.launch import KERNELS
print(json.dumps(list(KERNELS)))
"""


def leaves(tree) -> list:
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (tuple, list)) else [tree]


def near(found, expected: np.ndarray, dtype: str) -> None:
    """found, a device array, has the values that were expected of it, as exactly as its dtype allows."""
    assert type(found) is CUDA.array_type
    got = CUDA.to_host(found)
    assert got.shape == expected.shape
    if got.dtype.kind == "b":
        assert np.array_equal(got, expected)
    else:
        limit = TOLERANCE[dtype] * max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(got.astype(np.float64), expected, rtol=0, atol=limit)


CASES = [(twin, dtype) for twin in TWINS for dtype in twin.dtypes]


@pytest.mark.cuda
@pytest.mark.parametrize(("twin", "dtype"), CASES, ids=[f"{twin.name}-{dtype}" for twin, dtype in CASES])
def test_a_kernel_is_its_twin(twin, dtype):
    launched: set[str] = set()
    for run in range(RUNS):
        draw = Draw(np.random.default_rng([run, zlib.crc32(twin.name.encode())]), dtype)
        if REAL_GPU:
            found, expected = twin.run(draw)
            launched.update(twin.kernels)
        else:
            with standin.counting() as counted:
                found, expected = twin.run(draw)
            launched.update(counted.names)
        for got, wanted in zip(leaves(found), leaves(expected), strict=True):
            near(got, np.asarray(wanted), dtype)
    assert set(twin.kernels) <= launched, "a twin names kernels that it did not launch"


def test_every_kernel_has_a_twin():
    told = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True, check=True).stdout
    known = {name for twin in TWINS for name in twin.kernels}
    for path in Path(__file__).parent.glob("test_cuda_*.py"):
        known |= {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    assert not set(json.loads(told)) - known


def gradients(where, sizes=(3, 5, 40)) -> list[minidl.Tensor]:
    """Parameters with a gradient whose norm is 5."""
    parameters = [where.leaf(np.zeros((n, 2)), np.float32) for n in sizes]
    for p, value in zip(parameters, (3.0, 4.0, 0.0), strict=True):
        p.grad = where.tensor(np.zeros(p.shape), np.float32)
        p.grad[0, 0] = value
    return parameters


def in_double(p: minidl.Tensor) -> minidl.Tensor:
    q = p.detach().double().requires_grad_()
    q.grad = p.grad.double()
    return q


@pytest.mark.parametrize("many", [1, 30])
def test_limiting_the_norm_waits_for_nothing(many):
    """Nor does it send anything up, and however many gradients there are it takes the same few launches."""
    where = Where("cuda")
    parameters = gradients(where) + [p for _ in range(many) for p in gradients(where)[2:]]
    with contextlib.ExitStack() as stack:
        if not REAL_GPU:
            counted, _, _ = [stack.enter_context(c()) for c in (standin.counting, standin.no_sync, standin.no_upload)]
        norm = minidl.nn.utils.clip_grad_norm_(parameters, 2.5)
    assert abs(norm.item() - 5) < 1e-5 and abs(parameters[1].grad[0, 0].item() - 2) < 1e-5
    if not REAL_GPU:
        kernels = [name for name in counted.names if not name.startswith("minidl_write")]
        assert kernels == ["minidl_parts_of_squares", "minidl_norm", "minidl_limit_norm"]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.__setitem__(0, in_double(p[0])),
        lambda p: setattr(p[0], "grad", p[0].grad.t().contiguous().t()),
        lambda p: setattr(p[0], "grad", None),
    ],
    ids=["dtypes", "strides", "none"],
)
def test_gradients_of_any_kind_are_limited(change):
    parameters = gradients(Where("cuda"))
    change(parameters)
    size = 4.0 if parameters[0].grad is None else 5.0
    assert abs(minidl.nn.utils.clip_grad_norm_(parameters, 2.0).item() - size) < 1e-3
    assert abs(parameters[1].grad[0, 0].item() - 4 * 2 / size) < 1e-3


def test_the_same_elements_are_dropped_on_every_device():
    x = np.ones((7, 33), np.float32)
    kept = []
    for name in ("cpu", "cuda"):
        minidl.manual_seed(3)
        first = minidl.nn.functional.dropout(Where(name).tensor(x), 0.4)
        kept.append((Where(name).host(first), Where(name).host(minidl.nn.functional.dropout(first, 0.5))))
    np.testing.assert_array_equal(kept[0][0], kept[1][0])
    np.testing.assert_array_equal(kept[0][1], kept[1][1])
    assert 0.2 < (kept[0][0] == 0).mean() < 0.6
