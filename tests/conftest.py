"""What all tests share: the array type they run on (`where`), the stand-in for CuPy, and the seed."""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest


def _has_gpu() -> bool:
    try:
        return importlib.import_module("cupy").cuda.runtime.getDeviceCount() > 0
    except Exception:  # not installed, no driver, no device: whatever it is, there is no GPU to test on
        return False


REAL_GPU = _has_gpu()
if not REAL_GPU:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]:
        del sys.modules[name]
    importlib.import_module("standin").install()  # before minidl's CUDA backend looks for CuPy

from standin.kernels import NoCompiler  # noqa: E402

import minidl  # noqa: E402
from minidl.backend import get_backend  # noqa: E402
from minidl.engine import FUNCTIONS, OPS, op  # noqa: E402
from minidl.tensor import wrap  # noqa: E402


class Where:
    """One array type: how a test makes arrays and Tensors of it, and gets them back."""

    def __init__(self, name: str) -> None:
        self.name, self.backend = name, get_backend(name)
        self.type = self.backend.array_type

    def array(self, values, dtype=None):
        """A new array of this type."""
        return self.backend.from_host(np.array(values, dtype=dtype, copy=True))

    def tensor(self, values, dtype=None, requires_grad: bool = False) -> minidl.Tensor:
        """A new Tensor; of Python numbers in float64, unless said otherwise."""
        return wrap(self.array(values, dtype)).requires_grad_(requires_grad)

    def leaf(self, values, dtype=np.float64) -> minidl.Tensor:
        """A new Tensor that requires a gradient."""
        return self.tensor(values, dtype, True)

    def native(self, x):
        """x with all NumPy arrays in it (also in tuples and dicts) made arrays of this type."""
        if isinstance(x, np.ndarray):
            return self.array(x)
        if isinstance(x, dict):
            return {key: self.native(value) for key, value in x.items()}
        return tuple([self.native(v) for v in x]) if isinstance(x, tuple) else x

    def host(self, x) -> np.ndarray:
        """The values as a NumPy array."""
        array = x.array if isinstance(x, minidl.Tensor) else x
        assert type(array) is self.type, f"expected {self.type}, got {type(array)}"
        return self.backend.to_host(array)

    def __repr__(self) -> str:
        return f"Where({self.name!r})"


@pytest.fixture(params=["cpu", "cuda"])
def where(request) -> Where:
    """Each array type in turn: NumPy's, and CuPy's (its strict stand-in where there is no GPU)."""
    return Where(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy's generator for inputs, the same for every test."""
    return np.random.default_rng(20)


@pytest.fixture
def new_op():
    """`op`, whose ops are gone after the test."""
    before = set(OPS)
    yield op
    for name in set(OPS) - before:
        del OPS[name], FUNCTIONS[name]


@pytest.fixture(autouse=True)
def _same_start():
    """Every test starts from seed 0 and leaves this thread's modes as it found them."""
    minidl.manual_seed(0)
    yield
    assert minidl.is_grad_enabled() and not minidl.is_inference_mode_enabled(), "a test left a mode switched"
    assert minidl.get_default_dtype() == minidl.float32, "a test left the default dtype changed"


@pytest.fixture
def poison(monkeypatch):
    """From its call on fresh memory of NumPy's holds nan (77 for whole numbers) instead of what it happened to hold."""

    def poisoned(make):
        def made(*args, **kwargs):
            y = make(*args, **kwargs)
            y.fill(np.nan if y.dtype.kind == "f" else 77)
            return y

        return made

    def begin() -> None:
        for make in (np.empty, np.empty_like):
            monkeypatch.setattr(np, make.__name__, poisoned(make))

    return begin


@pytest.fixture
def one_thread():
    """Kernels and products on one thread: what several do at once differs in its last bits, and in its memory."""
    before = minidl.get_num_threads()
    minidl.set_num_threads(1)
    yield
    minidl.set_num_threads(before)


def _uses_standin(item) -> bool:
    """Whether a test names something of the stand-in's; in the files about CuPy all do, by what they share."""
    everything = vars(item.module)
    names = everything if item.module.__name__.startswith("test_cuda") else item.function.__code__.co_names
    for x in map(everything.get, names):
        where = x.__name__ if isinstance(x, ModuleType) else getattr(x, "__module__", None)
        if isinstance(where, str) and where.partition(".")[0] == "standin":
            return True
    return False


def pytest_collection_modifyitems(items) -> None:
    """What runs on CuPy's arrays is marked `cuda`, to be chosen where there is a GPU; the stand-in is no use there."""
    for item in items:
        given = getattr(item, "callspec", SimpleNamespace(params={})).params.values()
        if any(isinstance(value, str) and value == "cuda" for value in given):
            item.add_marker(pytest.mark.cuda)
        if REAL_GPU and _uses_standin(item):
            item.add_marker(pytest.mark.skip(reason="needs the stand-in for CuPy, and there is a GPU"))


@pytest.fixture
def same_in_threads():
    """Checks that a function of a seed gives in two threads at once what it gives one after the other."""

    def check(step) -> None:
        alone = [step(seed) for seed in (0, 1)]
        assert alone == [step(seed) for seed in (0, 1)]
        found: dict[int, list] = {0: [], 1: []}
        threads = [
            threading.Thread(target=lambda seed=seed: found[seed].extend(step(seed) for _ in range(3)))
            for seed in (0, 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {0: [alone[0]] * 3, 1: [alone[1]] * 3}

    return check


@pytest.fixture
def has_gpu() -> bool:
    """Whether 'cuda' is a real GPU."""
    return REAL_GPU


@pytest.fixture
def gpu(has_gpu) -> None:
    """For tests of what the stand-in does not have: time, memory of its own, waiting."""
    if not has_gpu:
        pytest.skip("no GPU here")


@pytest.fixture
def products(has_gpu):
    """Where there is no GPU: something in cuBLAS's place, since CuPy's own products cannot be captured."""
    if has_gpu:
        yield
        return
    cublas = get_backend("cuda").cublas
    cublas.use(importlib.import_module("standin.cublas").Library())
    yield
    cublas.use(None)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """What needs the stand-in's kernels is skipped where no compiler is there to run their bodies on the host."""
    try:
        return (yield)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, NoCompiler):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        pytest.skip(str(cause))
