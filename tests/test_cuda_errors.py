"""What is said where 'cuda' cannot be used: nothing ever falls back to the CPU by itself."""

import subprocess
import sys

import numpy as np
import pytest
from standin import cupy
from standin.devices import CUDARuntimeError

import minidl
from minidl import nn
from minidl.backend import EXACT, get_backend

pytestmark = pytest.mark.cuda


def said(before: str, code: str = "minidl.zeros(2, device='cuda')") -> str:
    """The RuntimeError of a fresh interpreter in which `before` runs before minidl is imported."""
    program = f"import sys, types\n{before}\nimport minidl\ntry: {code}\nexcept RuntimeError as error: print(error)\n"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


ABSENT = "sys.modules['cupy'] = None"
INSTALLED = "from tests import standin; standin.install(); import cupy"
WHEELS = INSTALLED + """
import importlib.metadata
found = importlib.metadata.distributions
def distributions(**how):
    return [*found(**how), *[types.SimpleNamespace(metadata={'Name': name}) for name in NAMES]]
importlib.metadata.distributions = distributions
"""  # fmt: skip
BROKEN = """
import importlib.abc, importlib.machinery
class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == 'cupy' else None
    def exec_module(self, module):
        raise ImportError('libnvrtc.so.13: cannot open shared object file')
sys.meta_path.insert(0, Broken())
"""


@pytest.mark.parametrize("code", [
    "minidl.zeros(2, device='cuda')", "minidl.zeros(2).to('cuda')", "minidl.nn.Linear(2, 2).to('cuda')",
    "minidl.set_default_device('cuda')", "minidl.cuda.synchronize()", "minidl.cuda.Stream()",
], ids=["zeros", "to", "module", "default", "synchronize", "stream"])  # fmt: skip
def test_without_cupy(code):
    text = said(ABSENT, code)
    assert "device 'cuda': CuPy is not installed" in text
    assert "pip install 'minidl[cuda13]'" in text and "pip install 'minidl[cuda12]'" in text


def test_without_cupy_the_questions_have_answers():
    code = "print(minidl.cuda.is_available(), minidl.cuda.device_count(), minidl.cuda.memory_allocated())"
    assert said(ABSENT, code).split() == ["False", "0", "0"]
    assert said(ABSENT, "print(minidl.compile_step(len) is len)").strip() == "True"


def test_with_two_wheels():
    text = said(f"NAMES = ['cupy-cuda12x', 'cupy-cuda13x']\n{WHEELS}")
    assert "several versions of CuPy are installed over each other: cupy-cuda12x, cupy-cuda13x" in text
    assert "pip uninstall cupy-cuda12x cupy-cuda13x" in text
    assert said(
        f"NAMES = ['cupy-cuda13x', 'cupy-xarray', 'cupyx']\n{WHEELS}", "print(minidl.zeros(2, device='cuda').tolist())"
    )
    assert "cupy, cupy-cuda13x" in said(f"NAMES = ['cupy-cuda13x', 'CuPy']\n{WHEELS}")


def test_with_a_cupy_that_cannot_be_imported():
    text = said(BROKEN)
    assert "CuPy is installed but cannot be imported (libnvrtc.so.13: cannot open shared object file)" in text
    assert "minidl[cuda13]" in text


def refused(monkeypatch, text: str, driver: int = 13000) -> str:
    def count():
        raise CUDARuntimeError(text)

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", count)
    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: driver)
    monkeypatch.setattr(cupy.cuda.runtime, "runtimeGetVersion", lambda: 13000)
    with pytest.raises(RuntimeError) as caught:
        minidl.zeros(2, device="cuda")
    assert not minidl.cuda.is_available() and minidl.cuda.device_count() == 0
    return str(caught.value)


def test_without_a_driver(monkeypatch):
    text = refused(monkeypatch, "cudaErrorInsufficientDriver: CUDA driver version is insufficient", driver=0)
    assert text.startswith("device 'cuda': CuPy ") and "found no usable GPU or driver" in text
    assert text.endswith("install NVIDIA's driver, or use device 'cpu'")


def test_with_a_driver_that_is_too_old(monkeypatch):
    text = refused(monkeypatch, "cudaErrorInsufficientDriver: CUDA driver version is insufficient", driver=12040)
    assert "it is made for CUDA 13.0, and the driver is for CUDA 12.4: update the driver, or install the extra" in text


def test_without_a_gpu(monkeypatch):
    text = refused(monkeypatch, "cudaErrorNoDevice: no CUDA-capable device is detected")
    assert text.endswith("does CUDA_VISIBLE_DEVICES hide it?")
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    with pytest.raises(RuntimeError, match="device 'cuda': this machine has no GPU"):
        minidl.ones(3).to("cuda")


def test_an_unknown_error_of_the_driver(monkeypatch):
    assert "cudaErrorSystemNotReady" in refused(monkeypatch, "cudaErrorSystemNotReady: system not yet initialized")


@pytest.mark.parametrize("use", [
    lambda: minidl.zeros(2, device="cuda:7"), lambda: minidl.ones(2).to("cuda:7"), lambda: minidl.ones(2).cuda(7),
    lambda: nn.Linear(2, 2).to("cuda:7"), lambda: nn.Linear(2, 2, device="cuda:7"),
    lambda: minidl.set_default_device("cuda:7"), lambda: minidl.cuda.synchronize("cuda:7"),
], ids=["zeros", "to", "cuda", "module", "layer", "default", "synchronize"])  # fmt: skip
def test_a_number_that_no_gpu_has(use, monkeypatch):
    with pytest.raises(RuntimeError, match=r"device 'cuda:7': this machine has 2 GPUs, the last 'cuda:1'"):
        use()
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 1)
    with pytest.raises(RuntimeError, match=r"device 'cuda:7': this machine has one GPU, 'cuda:0'"):
        use()


@pytest.mark.parametrize("device", ["cuda:", "cuda:x", "cuda:-1", "gpu", "cuda:1:2"])
def test_devices_that_there_are_not(device):
    with pytest.raises(ValueError, match="expected 'cpu', 'cuda' or 'cuda:N'"):
        minidl.zeros(2, device=device)


MIXED = {
    "add": lambda a, b: a + b,
    "matmul": lambda a, b: a @ b,
    "linear": lambda a, b: nn.functional.linear(a, b),
    "cat": lambda a, b: minidl.cat([a, b]),
    "where": lambda a, b: minidl.where(a > 0, a, b),
    "conv2d": lambda a, b: nn.functional.conv2d(a.reshape(1, 1, 2, 2), b.reshape(1, 1, 2, 2)),
    "layer": lambda a, b: nn.Linear(2, 2, device=b.device)(a),
}


@pytest.mark.parametrize("what", list(MIXED))
def test_tensors_on_the_host_and_on_a_gpu(what):
    a, b = minidl.ones(2, 2), minidl.ones(2, 2, device="cuda")
    for x, y in ((a, b), (b, a)):
        with pytest.raises((TypeError, RuntimeError), match=r"one device, got .*(cpu.*cuda|cuda.*cpu)"):
            MIXED[what](x, y)


@pytest.mark.parametrize("what", ["add", "matmul", "linear", "cat"])
def test_tensors_on_two_gpus(what):
    a, b = minidl.ones(2, 2, device="cuda:0"), minidl.ones(2, 2, device="cuda:1")
    for x, y in ((a, b), (b, a)):
        with pytest.raises(RuntimeError, match=rf"{what}: .*device.* on {x.device}, .* on {y.device}"):
            MIXED[what](x, y)


def test_work_on_a_gpu_that_is_not_the_current_one_names_it():
    x = minidl.ones(2, 2, device="cuda:1")
    with minidl.cuda.device(1):
        assert (x @ x).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    with pytest.raises(RuntimeError, match="matmul: .*current device.* on cuda:1, .* on cuda:1"):
        x @ x


def test_labels_out_of_range_are_refused_on_the_host():
    with pytest.raises((IndexError, ValueError), match="class|label|range|target"):
        nn.functional.cross_entropy(minidl.ones(2, 3), minidl.tensor(np.array([0, 3])))


@pytest.mark.parametrize("classes", [3, 1500])
def test_a_class_that_is_none_gives_nan_and_reads_no_other_memory(classes):
    B = get_backend("cuda")
    z = B.from_host(np.zeros((3, classes), np.float32))
    y, _ = B.cross_entropy(z, B.from_host(np.array([[1], [classes], [-1]])))
    found = B.to_host(y).ravel()
    assert np.isclose(found[0], np.log(classes)) and np.isnan(found[1:]).all()


def test_a_row_that_is_none_is_added_where_it_was_read_from(monkeypatch):
    """CuPy reads it modulo the number of rows; the gradient must not go to other memory."""
    monkeypatch.setitem(EXACT, "deterministic", True)
    B = get_backend("cuda")
    g, index = B.from_host(np.ones((3, 2), np.float32)), B.from_host(np.array([5, -1, 0]))
    assert B.to_host(B.index_add(g, index, (4, 2))).tolist() == [[1, 1], [1, 1], [0, 0], [1, 1]]
