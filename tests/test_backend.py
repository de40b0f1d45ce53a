"""The backends: one set of names and signatures, devices, transfers, and what is said where CuPy is missing."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.backend import BACKENDS, DEFINITIONS, backend_of, device, get_backend

HOST, CUDA = get_backend("cpu"), get_backend("cuda")
OPS = Path(minidl.__file__).parent / "ops"


def own_functions(backend) -> dict:
    """The functions that a backend defines itself, kernels among them."""
    return {k: v for k, v in vars(backend).items() if inspect.isfunction(v) and v.__module__.startswith("minidl.")}


def parameters(function) -> list[tuple[str, object]]:
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


def test_both_backends_have_the_same_names_and_signatures():
    host, cuda = own_functions(HOST), own_functions(CUDA)
    only_host = {k for k in host.keys() - cuda.keys() if k not in DEFINITIONS and not hasattr(CUDA.library, k)}
    only_cuda = {k for k in cuda.keys() - host.keys() if k not in DEFINITIONS and not hasattr(HOST.library, k)}
    assert not only_host and not only_cuda
    for name in sorted(host.keys() & cuda.keys()):
        assert parameters(host[name]) == parameters(cuda[name]), name


@pytest.mark.parametrize("backend", [HOST, CUDA], ids=["cpu", "cuda"])
def test_a_kernel_has_the_signature_of_its_plain_definition(backend):
    fast = {name: f for name, f in own_functions(backend).items() if name in DEFINITIONS and f is not DEFINITIONS[name]}
    for name, function in fast.items():
        assert parameters(function) == parameters(DEFINITIONS[name]), name


def test_every_name_that_ops_use_exists_on_both_backends():
    used = set()
    for path in OPS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                owner = ast.unparse(node.value)
                if owner == "B" or owner.startswith("backend_of("):
                    used.add(node.attr)
    assert len(used) > 40
    for backend in (HOST, CUDA):
        assert not [name for name in sorted(used) if not hasattr(backend, name)]


def test_a_backend_is_found_by_array_type():
    assert backend_of(np.zeros(2)) is HOST and backend_of(None, 2.0, np.zeros(2)) is HOST
    assert backend_of(CUDA.from_host(np.zeros(2))) is CUDA

    class Mine(np.ndarray):
        pass

    assert backend_of(np.zeros(2).view(Mine)) is HOST and Mine in BACKENDS
    with pytest.raises(TypeError, match="expected an array or Tensor, got list"):
        backend_of([1.0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool"])
def test_a_round_trip_keeps_every_bit(dtype):
    x = (np.arange(6).reshape(2, 3) % 2).astype(dtype)
    y = CUDA.to_host(CUDA.from_host(x))
    assert y.dtype == x.dtype and (y == x).all() and not np.shares_memory(x, y)


def test_device_names():
    assert str(device("cuda:1")) == "cuda:1" and device("cuda", 1) == device("cuda:1") == "cuda:1"
    assert device(1) == "cuda:1" and device(device("cpu")) == device("cpu") and device("cpu") != "cuda"
    assert len({device("cpu"), device("cpu"), device("cuda:0")}) == 2
    assert repr(device("cuda:1")) == "device(type='cuda', index=1)"
    for wrong in ("gpu", "cuda:", "cuda:x", "cuda:-1", ""):
        with pytest.raises(ValueError, match="expected 'cpu', 'cuda' or 'cuda:N'"):
            device(wrong)
    with pytest.raises(ValueError, match="given twice"):
        device("cuda:1", 1)


def test_the_default_device_per_block_and_per_environment(monkeypatch):
    assert minidl.zeros(1).device == "cpu"
    with minidl.device("cuda"):
        assert minidl.zeros(1).device.type == "cuda"
        with minidl.device("cpu"):
            assert minidl.zeros(1).device == "cpu"
        assert minidl.zeros(1).device.type == "cuda"
    assert minidl.zeros(1).device == "cpu"
    monkeypatch.setenv("MINIDL_DEVICE", "cuda")
    assert minidl.ones(1).device.type == "cuda"
    minidl.set_default_device("cpu")
    try:
        assert minidl.ones(1).device == "cpu"
    finally:
        minidl.set_default_device(None)


@pytest.mark.parametrize("wrong", ["cuda:7", "cpu:1"])
def test_a_device_that_is_not_there(wrong):
    with pytest.raises(RuntimeError, match=r"GPU|one CPU"):
        minidl.zeros(1, device=wrong)


def test_tensors_on_different_devices_are_refused_by_name():
    with pytest.raises(TypeError, match=r"add: all tensors must be on one device, got .* on cpu; .* on cuda"):
        minidl.zeros(2) + minidl.zeros(2, device="cuda")


def test_gradients_cross_devices():
    x = minidl.ones(2, requires_grad=True)
    (x.to("cuda") * 3).to("cpu").sum().backward()
    assert x.grad.tolist() == [3.0, 3.0] and x.grad.device == "cpu"


def run(code: str) -> str:
    """What a fresh interpreter without the stand-in says."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_cupy_cuda_names_the_extra():
    said = run(
        "import sys; sys.modules['cupy'] = None\n"
        "import minidl\n"
        "try: minidl.zeros(2, device='cuda')\n"
        "except RuntimeError as error: print(error)\n"
    )
    assert "CuPy is not installed" in said and "minidl[cuda13]" in said and "minidl[cuda12]" in said


def test_without_a_driver_cuda_says_so():
    said = run(
        "import sys; from tests import standin; standin.install()\n"
        "import cupy\n"
        "def none(): raise cupy.cuda.runtime.CUDARuntimeError('cudaErrorInsufficientDriver')\n"
        "cupy.cuda.runtime.getDeviceCount = none\n"
        "import minidl\n"
        "try: minidl.zeros(2, device='cuda')\n"
        "except RuntimeError as error: print(error)\n"
    )
    assert "no usable GPU or driver" in said and "cudaErrorInsufficientDriver" in said


def test_the_customary_line_for_the_device():
    assert minidl.cuda.is_available() and minidl.cuda.device_count() >= 1 and minidl.cuda.current_device() == 0
    minidl.cuda.synchronize()
    said = run(
        "import sys; sys.modules['cupy'] = None\n"
        "import minidl\n"
        "print(minidl.device('cuda' if minidl.cuda.is_available() else 'cpu'), minidl.cuda.device_count())\n"
    )
    assert said.split() == ["cpu", "0"]


def test_openblas_is_told_how_long_to_spin_before_numpy_loads_it():
    program = """
import importlib.abc, os, sys
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            print(os.environ.get("OPENBLAS_THREAD_TIMEOUT"))
sys.meta_path.insert(0, Watch())
import minidl
"""
    for given, expected in (({}, "21"), ({"OPENBLAS_THREAD_TIMEOUT": "9"}, "9")):
        environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"} | given
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
        )
        assert done.stdout.split() == [expected]
