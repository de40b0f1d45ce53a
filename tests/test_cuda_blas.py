"""Products on the GPU by cuBLAS: what it is asked for, against NumPy, by a library that reads the very addresses."""

import ctypes
import importlib
import itertools

import numpy as np
import pytest
from standin import cupy
from standin.cublas import Library

import minidl
from minidl.backend import EXACT
from minidl.backend.cuda import blas, cublas

pytestmark = pytest.mark.cuda


@pytest.fixture
def library():
    """cuBLAS of the stand-in, which counts what it is asked for."""
    made = Library()
    cublas.use(made)
    yield made
    cublas.use(None)


def turned(rng, shape, dtype):
    """An array of this shape, as it is or as a view: transposed, with gaps, repeated, a part of a larger one."""
    kind = rng.integers(6)
    *batch, m, n = shape
    if kind == 1:
        return cupy.asarray(rng.standard_normal((*batch, n, m)).astype(dtype)).swapaxes(-1, -2)
    if kind == 2:
        return cupy.asarray(rng.standard_normal((*batch, m + 2, n + 3)).astype(dtype))[..., 1 : m + 1, 2 : n + 2]
    if kind == 3:
        return cupy.asarray(rng.standard_normal((*batch, m, 2 * n)).astype(dtype))[..., ::2]
    if kind == 4:
        return cupy.broadcast_to(cupy.asarray(rng.standard_normal((m, 1)).astype(dtype)), shape)
    if kind == 5 and batch:
        a = cupy.asarray(rng.standard_normal((m, *batch, n)).astype(dtype))
        return a.transpose(*range(1, len(batch) + 1), 0, len(batch) + 1)
    return cupy.asarray(rng.standard_normal(shape).astype(dtype))


BATCHES = [
    ((), ()),
    ((3,), (3,)),
    ((3,), ()),
    ((), (2,)),
    ((2, 3), (2, 3)),
    ((2, 1), (1, 3)),
    ((1,), (4,)),
    ((2, 3), (3,)),
]
TOLERANCE = {"float16": 2e-2, "float32": 1e-5, "float64": 1e-13}


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("batches", BATCHES, ids=str)
def test_products_are_numpys(library, rng, batches, dtype):
    for _ in range(40):
        m, k, n = rng.integers(1, 6, 3)
        a, b = turned(rng, (*batches[0], m, k), dtype), turned(rng, (*batches[1], k, n), dtype)
        expected = np.matmul(a._a.astype("float64"), b._a.astype("float64"))
        for out in (None, cupy.empty(expected.shape, dtype), turned(rng, expected.shape, dtype).copy("F")):
            y = blas.gemm(a, b, out=out)
            assert y.shape == expected.shape and y.dtype == dtype and (out is None or y is out)
            np.testing.assert_allclose(y._a, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert len(library.calls) >= 120


@pytest.mark.parametrize(
    ("turns", "transposed"), [((0, 0), (0, 0)), ((1, 0), (0, 1)), ((0, 1), (1, 0)), ((1, 1), (1, 1))], ids=str
)
def test_transposed_matrices_are_not_copied(library, rng, turns, transposed):
    a = cupy.asarray(rng.standard_normal((4, 5) if turns[0] else (5, 4)).astype("float32"))
    b = cupy.asarray(rng.standard_normal((6, 4) if turns[1] else (4, 6)).astype("float32"))
    from_standin = importlib.import_module("standin")
    with from_standin.counting() as count:
        blas.gemm(a.T if turns[0] else a, b.T if turns[1] else b)
    assert count.names == ["gemm"]
    assert library.calls[-1]["transposed"] == transposed and library.calls[-1]["sizes"] == (6, 5, 4)


def test_batches_whose_matrices_lie_evenly_are_one_call_without_a_copy(library, rng):
    from_standin = importlib.import_module("standin")
    x = cupy.asarray(rng.standard_normal((2, 7, 3, 4)).astype("float32"))
    cases = [
        (x, x.swapaxes(-1, -2)),
        (x.reshape(6, 7, 4), x.reshape(6, 7, 4).swapaxes(1, 2)),
        (x[0].swapaxes(0, 1), x[0, 0].T),
    ]
    for a, b in cases:
        with from_standin.counting() as count:
            blas.gemm(a, b)
        assert count.names == ["gemm"], (a.shape, b.shape)
    with from_standin.counting() as count:
        blas.gemm(x.swapaxes(1, 2), x.transpose(0, 2, 3, 1))  # two distances: each is copied
    assert count.launches == 3 and count.names[-1] == "gemm"


def test_the_stream_is_set_when_it_changes_and_the_workspace_after_it(library):
    a = cupy.ones((2, 2), "float32")
    blas.gemm(a, a)
    handle = cublas.handle()
    assert library.streams[handle] == 0 and library.workspaces[handle]
    stream = cupy.cuda.Stream(non_blocking=True)
    first = library.workspaces[handle]
    with stream:
        blas.gemm(a, a)
        assert library.streams[handle] == stream.ptr and library.workspaces[handle] not in (None, first)
    blas.gemm(a, a)
    assert library.streams[handle] == 0 and library.workspaces[handle] == first


def test_workspaces_do_not_pile_up(library):
    a = cupy.ones((2, 2), "float32")
    with cupy.cuda.Device(1):
        b = cupy.ones((2, 2), "float32")
        blas.gemm(b, b)
        (other,) = library.streams
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(12)]
    for stream in streams:
        with stream:
            assert blas.gemm(a, a).get().tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert len(cublas.workspaces()) == cublas.WORKSPACES
    library.workspaces[other] = None  # as far as cuBLAS is concerned, it was taken away
    with cupy.cuda.Device(1):
        assert blas.gemm(b, b).get().tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_tf32_is_one_switch(library, monkeypatch):
    a = cupy.ones((2, 2), "float32")
    blas.gemm(a, a)
    monkeypatch.setitem(EXACT, "tf32", True)
    blas.gemm(a, a)
    blas.gemm(a.astype("float64"), a.astype("float64"))
    blas.gemm(a.astype("float16"), a.astype("float16"))
    assert [c["compute"] for c in library.calls] == [68, 77, 70, 68]


def test_empty_products(library):
    for m, k, n in itertools.product((0, 2), repeat=3):
        y = blas.gemm(cupy.ones((m, k), "float32"), cupy.ones((k, n), "float32"))
        assert y.shape == (m, n) and (y._a == k).all()
    assert blas.gemm(cupy.ones((0, 2, 3)), cupy.ones((3, 4))).shape == (0, 2, 4)


def test_errors_name_the_shapes(library):
    a = cupy.ones((2, 3), "float32")
    with pytest.raises(ValueError, match=r"\(2, 3\) by \(2, 3\): inner sizes"):
        blas.gemm(a, a)
    with pytest.raises(ValueError, match=r"batches of \(2, 2, 3\) and \(3, 3, 2\)"):
        blas.gemm(cupy.ones((2, 2, 3)), cupy.ones((3, 3, 2)))
    with pytest.raises(ValueError, match=r"float32 \(2, 2\), but out is float64 \(2, 2\)"):
        blas.gemm(a, a.T, out=cupy.ones((2, 2)))
    with pytest.raises(TypeError):
        blas.gemm(a, np.ones((3, 2), "float32"))
    blas.gemm(a, a.T)
    library.workspaces.clear()  # from here on it fails
    with pytest.raises(
        RuntimeError, match=r"matmul of float32 \(2, 3\) by \(3, 2\): cuBLAS reports status 13 \(execution"
    ):
        blas.gemm(a, a.T)


def test_matrices_on_another_gpu_are_refused(library):
    a = minidl.ones(2, 2, device="cuda:1")
    with pytest.raises(RuntimeError, match="matmul: .* on the current device, cuda:0; they are on cuda:1 and cuda:1"):
        a @ a
    with minidl.cuda.device(1):
        assert (a @ a).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_types_that_cublas_lacks_go_to_cupy(library):
    a = cupy.ones((2, 3), "int64")
    assert (blas.gemm(a, a.T)._a == 3).all() and not library.calls
    assert blas.gemm(a, cupy.ones((3, 2), "float32")).dtype == "float64" and not library.calls


def test_without_the_library_cupy_multiplies_and_minidl_says_so():
    cublas.use(None)
    a = cupy.ones((2, 3), "float32")
    assert (blas.gemm(a, a.T, out=cupy.empty((2, 2), "float32"))._a == 3).all()
    with pytest.raises(RuntimeError, match="cuBLAS cannot be called, so that CuPy computes matrix products: .*cublas"):
        minidl.cuda.current_blas_handle()


def test_the_handle(library):
    assert minidl.cuda.current_blas_handle() == 1000


def test_the_library_is_the_one_that_is_loaded(monkeypatch):
    asked = []

    def load(name, mode=0):
        asked.append(name)
        if len(asked) < 2:
            raise OSError(name)
        return Library()

    monkeypatch.setattr(cupy, "cublas", object(), raising=False)
    monkeypatch.setattr(ctypes, "CDLL", load)
    cublas.use(None)
    assert cublas.handle() == 1000 and asked == ["libcublas.so.13", "libcublas.so.12"]
    cublas.use(None)


@pytest.mark.parametrize("make", [
    lambda: minidl.nn.Linear(3, 2), lambda: minidl.nn.LSTM(3, 2), lambda: minidl.nn.GRU(3, 2),
    lambda: minidl.nn.RNN(3, 2), lambda: minidl.nn.MultiheadAttention(3, 1),
], ids=["Linear", "LSTM", "GRU", "RNN", "attention"])  # fmt: skip
def test_layers_multiply_by_cublas_alone(library, make):
    from_standin = importlib.import_module("standin")
    layer = make().to("cuda")
    x = minidl.ones(4, 2, 3, device="cuda", requires_grad=True)
    with from_standin.counting() as count:
        y = layer(x, x, x) if isinstance(layer, minidl.nn.MultiheadAttention) else layer(x)
        (y[0] if isinstance(y, tuple) else y).sum().backward()
    assert "gemm" in count.names and "matmul" not in count.names
