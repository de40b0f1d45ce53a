"""The stand-in for CuPy refuses what CuPy refuses, counts what a GPU would do, and computes what NumPy does."""

import copy
import gc
import inspect
import operator
import pickle
import weakref

import numpy as np
import pytest
from standin import NotAllowed, Undefined, counting, cupy, cupyx, no_sync, no_upload
from standin.arrays import NAMES
from standin.namespace import MODULES

HOST = np.arange(6, dtype=np.float32).reshape(2, 3)


def device(a=HOST):
    return cupy.asarray(a)


class Own:
    """An array type of another library that wants its own reflected operators to run, as Tensor does."""

    __array_ufunc__ = None

    def __radd__(self, other):
        return "mine"

    __rmatmul__ = __rmul__ = __radd__


class Higher:
    """One that says so in the older way, by a priority above CuPy's."""

    __array_priority__ = 1000
    __radd__ = __rmatmul__ = __rmul__ = Own.__radd__


# --- what CuPy refuses with TypeError

MIXING = {
    "device + host": lambda x: x + HOST,
    "host + device": lambda x: HOST + x,
    "device + 0-d host": lambda x: x + np.array(2.0),
    "device @ host": lambda x: x @ HOST.T,
    "host @ device": lambda x: HOST.T @ x,
    "device += host": lambda x: operator.iadd(x, HOST),
    "host += device": lambda x: operator.iadd(HOST.copy(), x),
    "device + list": lambda x: x + [1.0, 2.0, 3.0],
    "device == None": lambda x: x == None,  # noqa: E711
    "device == str": lambda x: x == "a",
    "device += Own": lambda x: operator.iadd(x, Own()),
    "ufunc, host": lambda x: cupy.add(x, HOST),
    "ufunc, list": lambda x: cupy.exp([1.0, 2.0]),
    "ufunc, None": lambda x: cupy.add(x, None),
    "ufunc, out on the host": lambda x: cupy.add(x, x, out=HOST.copy()),
    "ufunc, where=": lambda x: cupy.add(x, x, where=x > 0),
    "numpy ufunc, mixed": lambda x: np.add(x, HOST),
    "numpy ufunc, out on the host": lambda x: np.exp(x, out=HOST.copy()),
    "numpy ufunc.reduce": lambda x: np.add.reduce(x),
    "numpy ufunc.outer": lambda x: np.add.outer(x, x),
    "numpy ufunc.at": lambda x: np.add.at(x, 0, 1.0),
    "matmul, list": lambda x: cupy.matmul(x, [1.0, 2.0, 3.0]),
    "sum of a host array": lambda x: cupy.sum(HOST),
    "sum of a list": lambda x: cupy.sum([1.0]),
    "sum of a scalar": lambda x: cupy.sum(1.0),
    "concatenate with a host array": lambda x: cupy.concatenate([x, HOST]),
    "concatenate of lists": lambda x: cupy.concatenate([[1.0], [2.0]]),
    "stack with a scalar": lambda x: cupy.stack([x[0, 0], 1.0]),
    "np.concatenate, mixed": lambda x: np.concatenate([x, HOST]),
    "where, host condition": lambda x: cupy.where(HOST > 0, x, 0.0),
    "where, scalar condition": lambda x: cupy.where(True, x, 0.0),
    "where, host branch": lambda x: cupy.where(x > 0, x, HOST),
    "where, list branch": lambda x: cupy.where(x > 0, x, [1.0, 2.0, 3.0]),
    "dot with a host array": lambda x: cupy.dot(x, HOST.T),
    "einsum with a host array": lambda x: cupy.einsum("ij,ij->i", x, HOST),
    "method with a host array": lambda x: x.dot(HOST.T),
    "clip with a host array": lambda x: x.clip(HOST, None),
    "norm of a host array": lambda x: cupy.linalg.norm(HOST),
    "array of a mixed list": lambda x: cupy.array([x[0], HOST[0]]),
    "another library's array": lambda x: cupy.sum(Own()),
    "x[...] = list": lambda x: operator.setitem(x, ..., [1.0, 2.0, 3.0]),
    "x[...] = None": lambda x: operator.setitem(x, ..., None),
}
CONVERSIONS = {
    "np.asarray": lambda x: np.asarray(x),
    "np.array of a list": lambda x: np.array([x, x]),
    "np.zeros shaped by an array": lambda x: np.zeros(cupy.asarray(3)),
    "range": lambda x: range(cupy.asarray(3)),
    "list index": lambda x: [1, 2][cupy.asarray(1)],
    "reshape by an array": lambda x: x.reshape(cupy.asarray(6)),
    "axis as an array": lambda x: x.sum(axis=cupy.asarray(0)),
    "zeros shaped by an array": lambda x: cupy.zeros(cupy.asarray(3)),
    "arange up to an array": lambda x: cupy.arange(cupy.asarray(3)),
    "hash": lambda x: hash(x),
    "len of 0-d": lambda x: len(cupy.asarray(1.0)),
    "iteration over 0-d": lambda x: iter(cupy.asarray(1.0)),
    "pickle": lambda x: pickle.dumps(x),
    "math": lambda x: __import__("math").factorial(cupy.asarray(3)),
    "set a list": lambda x: x.set([1.0]),
    "set another dtype": lambda x: x.set(HOST.astype(np.float64)),
    "get into a list": lambda x: x.get(out=[1.0]),
    "in-place to a lower kind": lambda x: operator.iadd(cupy.arange(3), 0.5),
}
KEYWORDS = {
    "sum(initial=)": lambda x: cupy.sum(x, initial=0.0),
    "x.sum(initial=)": lambda x: x.sum(initial=0.0),
    "x.sum(where=)": lambda x: x.sum(where=x > 0),
    "max(initial=)": lambda x: cupy.max(x, initial=0.0),
    "mean(where=)": lambda x: cupy.mean(x, where=x > 0),
    "var(correction=)": lambda x: cupy.var(x, correction=1),
    "take(mode=)": lambda x: cupy.take(x, 0, mode="clip"),
    "x.take(mode=)": lambda x: x.take(0, mode="clip"),
    "argsort(stable=)": lambda x: cupy.argsort(x, stable=True),
    "einsum(out=)": lambda x: cupy.einsum("ij->i", x, out=x),
    "asarray(like=)": lambda x: cupy.asarray(x, like=x),
    "asarray(device=)": lambda x: cupy.asarray(x, device=0),
    "zeros(device=)": lambda x: cupy.zeros(3, device=0),
    "concatenate(arrays=)": lambda x: cupy.concatenate(arrays=[x]),
    "clip(min=)": lambda x: cupy.clip(x, min=0.0),
    "item(0)": lambda x: x.item(0),
    "sum with six positions": lambda x: cupy.sum(x, 0, None, None, False, 0.0),
    "add with four arrays": lambda x: cupy.add(x, x, x, x),
    "Generator.integers(out=)": lambda x: cupy.random.default_rng(0).integers(3, out=x),
}
REFUSED = MIXING | CONVERSIONS | KEYWORDS


@pytest.mark.parametrize("what", REFUSED)
def test_type_errors(what):
    with pytest.raises(TypeError):
        REFUSED[what](device())


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (ValueError, lambda x: operator.setitem(x, ..., HOST)),  # CuPy fills, and a fill needs a scalar
        (ValueError, lambda x: operator.setitem(x, 0, HOST[0])),
        (ValueError, lambda x: x.fill(HOST)),
        (ValueError, lambda x: x.set(HOST.T)),
        (ValueError, lambda x: bool(x)),
        (ValueError, lambda x: x.item()),
        (ValueError, lambda x: cupy.array(["a"])),
        (ValueError, lambda x: cupy.array([None])),
        (ValueError, lambda x: x.astype("datetime64[s]")),
        (ValueError, lambda x: x.argsort(kind="quicksort")),
        (ValueError, lambda x: cupy.where(x > 0, x)),
        (RuntimeError, lambda x: cupy.asarray(np.ones((4, 4)))[::2, ::2].set(np.ones((2, 2)))),
        (IndexError, lambda x: x[5]),
        (IndexError, lambda x: x[cupy.asarray([0.5])]),
        (IndexError, lambda x: x["a"]),
        (NotImplementedError, lambda x: cupy.maximum.reduce(x)),
        (NotImplementedError, lambda x: cupy.subtract.accumulate(x)),
        (NotImplementedError, lambda x: cupy.multiply.at(x, 0, 2.0)),
        (TypeError, lambda x: cupy.add.at(cupy.zeros(3, "int16"), cupy.asarray([0]), 1)),
        (NotImplementedError, lambda x: cupy.RawKernel("code", "name")((1,), (1,), (x,))),
        (RuntimeError, lambda x: cupy.cuda.Stream.null.begin_capture()),
        (cupy.cuda.runtime.CUDARuntimeError, lambda x: cupy.cuda.Device(2).use()),
    ],
)
def test_other_errors(error, action):
    with pytest.raises(error):
        action(device())


@pytest.mark.parametrize(
    "action",
    [
        lambda x: operator.setitem(x, cupy.asarray([0, 0]), x[:, :] + 1),
        lambda x: operator.setitem(x, (slice(None), cupy.asarray([1, -2])), x[:, :2] + 1),
        lambda x: operator.setitem(x, [0, 0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        lambda x: x[cupy.asarray([0, 2])],
        lambda x: x[0, cupy.asarray([-4])],
        lambda x: operator.setitem(x, cupy.asarray([2]), 0.0),
        lambda x: cupy.add.at(x, cupy.asarray([2]), 1.0),
        lambda x: cupy.take(x, cupy.asarray([3]), axis=1),
        lambda x: x.take(cupy.asarray([6])),
        lambda x: cupy.take_along_axis(x, cupy.asarray([[3], [0]]), axis=1),
    ],
)
def test_what_cupy_leaves_undefined_or_wraps_raises(action):
    with pytest.raises(Undefined):
        action(device())


@pytest.mark.parametrize("join", ["concatenate", "stack"])
def test_joining_many_arrays_sends_their_addresses_up(join):
    x = device()
    with counting() as counted:
        getattr(cupy, join)([x] * 8)
        getattr(cupy, join)([x] * 8 + [x.astype("float64")])  # each is copied
        assert counted.uploads == 0
        getattr(cupy, join)([x] * 9)
    assert counted.upload_names == [f"{join} addresses"]


def test_a_scalar_may_be_written_twice_and_permuted_rows_once():
    x = device()
    x[cupy.asarray([0, 0])] = 7.0
    x[:, cupy.asarray([2, 0])] = x[:, :2]
    x[cupy.asarray([0, 0])] = cupy.asarray(np.full((2, 3), [[7, 7, np.nan]], "float32"))  # twice the same values
    np.testing.assert_array_equal(x.get(), [[7, 7, np.nan], [4, 4, 3]])


@pytest.mark.parametrize(
    "name",
    "errstate seterr insert block nditer ndenumerate einsum_path vecdot spacing geomspace scatter_add".split(),
)
def test_names_that_cupy_lacks(name):
    with pytest.raises(AttributeError, match="no attribute"):
        getattr(cupy, name)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (cupy.linalg, "vector_norm"),
        (cupy.linalg, "multi_dot"),
        (cupy.cuda, "cudnn"),
        (cupyx, "cudnn"),
        *[(cupy.random.default_rng(0), n) for n in ("normal", "choice", "permutation", "shuffle", "spawn")],
        *[
            (device(), n)
            for n in ("__index__", "__contains__", "__imatmul__", "ctypes", "resize", "setflags", "to_device")
        ],
    ],
)
def test_attributes_that_cupy_lacks(owner, name):
    assert not hasattr(owner, name)


@pytest.mark.parametrize("function", [np.insert, np.block, np.geomspace, np.linalg.vector_norm, np.spacing])
def test_numpy_functions_without_a_twin_in_cupy(function):
    with pytest.raises(TypeError):
        function(device(), *{np.insert: (0, 1.0), np.geomspace: (1.0,)}.get(function, ()))


# --- what runs: the same numbers as NumPy, and arrays of the device only

FUNCTIONS = {
    "arithmetic": lambda xp, x: (x * 2 + 1) / (x - 0.5) ** 2 - 3 // (x + 1) + x % 2,
    "reflected": lambda xp, x: 2**x - (1 - x) + (1 / (x + 1)),
    "numpy scalar on the left": lambda xp, x: np.float64(2) * x,
    "python scalar": lambda xp, x: 0.1 * x,
    "integer division by zero": lambda xp, x: xp.asarray([1, 2]) // 0,
    "compare": lambda xp, x: (x > 2) & ~(x == 4) | (x != 0),
    "unary": lambda xp, x: -abs(-x) + (+x),
    "divmod": lambda xp, x: divmod(x, 2)[1],
    "in place": lambda xp, x: operator.iadd(x.copy(), x),
    "matmul": lambda xp, x: x @ x.T,
    "inf and nan": lambda xp, x: xp.log(x) * 0 + xp.exp(x * 100),
    "sum": lambda xp, x: xp.sum(x, axis=1, keepdims=True),
    "sum of infinities": lambda xp, x: xp.sum(xp.stack([x[1] / 0, -x[1] / 0])),
    "full sum": lambda xp, x: x.sum(),
    "argmax": lambda xp, x: x.argmax(axis=1),
    "argmax by position": lambda xp, x: xp.argmax(x, 1),
    "var": lambda xp, x: x.var(axis=0, ddof=1),
    "clip": lambda xp, x: xp.clip(x, 1.0, 4.0),
    "concatenate": lambda xp, x: xp.concatenate((x, x), axis=1),
    "stack": lambda xp, x: xp.stack([x, x + 1]),
    "pad": lambda xp, x: xp.pad(x, ((1, 0), (0, 2)), constant_values=5.0),
    "einsum": lambda xp, x: xp.einsum("ij,kj->ik", x, x),
    "tensordot": lambda xp, x: xp.tensordot(x, x, axes=([1], [1])),
    "where": lambda xp, x: xp.where(x > 2, x, 0.5),
    "take": lambda xp, x: xp.take(x, xp.asarray([2, 0, 2]), axis=1),
    "gather": lambda xp, x: x[xp.asarray([1, 0]), xp.asarray([2, 0])],
    "mask": lambda xp, x: x[x > 2],
    "slices": lambda xp, x: x[::-1, None, ..., 1:],
    "cumsum": lambda xp, x: xp.add.accumulate(x, axis=1),
    "add.reduce": lambda xp, x: xp.add.reduce(x, axis=1),
    "outer": lambda xp, x: xp.multiply.outer(x[0], x[1]),
    "sort": lambda xp, x: xp.sort(-x, axis=1),
    "windows": lambda xp, x: xp.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    "norm": lambda xp, x: xp.linalg.norm(x, axis=1),
    "arange": lambda xp, x: xp.arange(5, dtype="float16") * 2,
    "full": lambda xp, x: xp.full((2, 2), 3, dtype="uint8") + 250,
    "tril": lambda xp, x: xp.tril(x, -1) + xp.eye(2, 3),
    "allclose": lambda xp, x: xp.allclose(x, x + 1e-9),
    "count_nonzero": lambda xp, x: xp.count_nonzero(x),
    "astype": lambda xp, x: (x / 0).astype("bool"),
    "modf": lambda xp, x: xp.modf(x / 2)[0],
    "two outputs": lambda xp, x: xp.split(x, 3, axis=1)[2],
}


@pytest.mark.parametrize("what", FUNCTIONS)
def test_results_are_numpys_bit_for_bit(what):
    with np.errstate(all="ignore"):
        expected = np.asarray(FUNCTIONS[what](np, HOST.copy()))
    got = FUNCTIONS[what](cupy, device())
    assert type(got) is cupy.ndarray
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert got.get().tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8", "int64", "bool"])
def test_promotion_is_nep_50(dtype):
    a = np.ones(2, dtype)
    for other in (2, 0.5, np.float32(2), np.int8(1), True):
        assert (device(a) + other).dtype == (a + other).dtype, other
        assert (other * device(a)).dtype == (other * a).dtype, other


@pytest.mark.parametrize(
    "call", [lambda x: x.sum(), lambda x: x[0, 0], lambda x: cupy.max(x), lambda x: x.mean(axis=(0, 1))]
)
def test_reductions_and_full_indices_give_0d_arrays(call):
    y = call(device())
    assert type(y) is cupy.ndarray and y.shape == ()


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.matmul])
@pytest.mark.parametrize("other", [Own, Higher])
def test_other_libraries_reflected_operators_run(op, other):
    assert op(device(), other()) == "mine"


def test_numpys_functions_run_on_cupys():
    x = device()
    for y in (np.exp(x), np.sum(x, axis=0), np.concatenate([x, x]), np.linalg.norm(x, axis=0), np.transpose(x)):
        assert type(y) is cupy.ndarray
    out = cupy.empty_like(x)
    assert np.add(x, x, out=out) is out and float(out[1, 2]) == 10


def test_first_parameters_have_cupys_names():
    x = device()
    assert cupy.concatenate(tup=[x, x]).shape == (4, 3)
    assert cupy.array(obj=[1.0]).shape == (1,)
    with pytest.raises(TypeError):  # CuPy's third parameter is dtype; NumPy's is out
        cupy.argmax(x, 1, cupy.zeros(2, "int64"))


def test_array_attributes():
    x = device()
    assert (x.shape, x.ndim, x.size, x.itemsize, x.nbytes, x.strides) == ((2, 3), 2, 6, 4, 24, (12, 4))
    assert x.flags.c_contiguous and x.flags.owndata and not x.T.flags.c_contiguous and not x.T.flags.owndata
    assert x.device == cupy.cuda.Device(0) and x.device.id == 0
    assert x[1:].data.ptr == x.data.ptr + 12 and x.copy().data.ptr != x.data.ptr


def test_uninitialised_memory_is_not_zero():
    assert bool(cupy.isnan(cupy.empty(3)).all()) and bool(cupy.empty(3, "int8").all()) and bool(cupy.empty(2, "?")[1])
    assert bool(cupy.isnan(cupy.empty_like(device())).all())


VIEWS = {
    "slice": lambda x: x[1:],
    "element": lambda x: x[0, 1],
    "reshape": lambda x: x.reshape(3, 2),
    "cupy.reshape": lambda x: cupy.reshape(x, -1),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "transpose": lambda x: x.transpose(1, 0),
    "swapaxes": lambda x: cupy.swapaxes(x, 0, 1),
    "broadcast_to": lambda x: cupy.broadcast_to(x, (4, 2, 3)),
    "expand_dims": lambda x: cupy.expand_dims(x, 0),
    "squeeze": lambda x: x[:1].squeeze(0),
    "ravel": lambda x: x.ravel(),
    "flip": lambda x: cupy.flip(x, 1),
    "split": lambda x: cupy.split(x, 3, axis=1)[1],
    "diagonal": lambda x: cupy.diagonal(x),
    "windows": lambda x: cupy.lib.stride_tricks.sliding_window_view(x, (1, 2)),
    "view": lambda x: x.view("int32"),
    "view of a view": lambda x: x[1:].T[0],
}


@pytest.mark.parametrize("what", VIEWS)
def test_views_cost_nothing_and_keep_their_base(what):
    x = device()
    with counting() as count:
        y = VIEWS[what](x)
    assert y.base is x and count.launches == 0 and np.shares_memory(y._a, x._a)


def test_base_of_a_view_is_the_owner_and_copies_have_none():
    x = device()
    assert x.base is None and x.copy().base is None and x.T.reshape(6).base is None and (x + 1).base is None
    assert x.astype("float32", copy=False) is x and cupy.asarray(x) is x and cupy.ascontiguousarray(x) is x
    owner = weakref.ref(x)
    part = x[0]
    del x
    assert owner() is part.base
    part[...] = 5.0
    assert float(owner().sum()) == 5 * 3 + 12


def test_deepcopy_gives_own_memory_on_the_same_device():
    x = device()
    with cupy.cuda.Device(1):
        y = copy.deepcopy(x[0])
        z = copy.deepcopy({"a": x})["a"]
    x.fill(0.0)
    assert y.device.id == z.device.id == 0 and y.base is None and float(y[1]) == 1 and float(z[1, 2]) == 5


# --- counts

LAUNCHES = {
    "x + 1": (lambda x: x + 1, ["add"]),
    "2 * x - x": (lambda x: 2 * x - x, ["multiply", "subtract"]),
    "x += x": (lambda x: operator.iadd(x, x), ["add"]),
    "x[0] += 1": (lambda x: operator.setitem(x, 0, operator.iadd(x[0], 1)), ["add"]),
    "x[0] = x[1]": (lambda x: operator.setitem(x, 0, x[1]), ["setitem"]),
    "x[...] = 0": (lambda x: operator.setitem(x, ..., 0.0), ["fill"]),
    "x.fill": (lambda x: x.fill(1), ["fill"]),
    "ufunc": (lambda x: cupy.exp(x, out=x), ["exp"]),
    "sum": (lambda x: x.sum(axis=0), ["sum"]),
    "sum into": (lambda x: x.sum(axis=0, out=x[0]), ["sum"]),
    "sum into, by position": (lambda x: cupy.sum(x, 0, None, x[0]), ["sum"]),
    "matmul": (lambda x: x @ x.T, ["matmul"]),
    "copy": (lambda x: x.copy(), ["copy"]),
    "astype": (lambda x: x.astype("float64"), ["astype"]),
    "reshape of a transpose": (lambda x: x.T.reshape(6), ["reshape"]),
    "zeros": (lambda x: cupy.zeros(3), ["zeros"]),
    "empty": (lambda x: cupy.empty(3), []),
    "contiguous": (lambda x: cupy.ascontiguousarray(x.T), ["ascontiguousarray"]),
    "copyto": (lambda x: cupy.copyto(x, x + 1), ["add", "copyto"]),
    "gather": (lambda x: x[cupy.arange(2)], ["arange", "getitem gather"]),
    "scatter": (lambda x: cupyx.scatter_add(x, 0, 1.0), ["add.at"]),
    "random": (lambda x: cupy.random.default_rng(0).random(3, dtype="float32"), ["random"]),
    "scalar to the device": (lambda x: cupy.asarray(2.0), ["fill"]),
    "shape and dtype": (lambda x: (cupy.result_type(x, 2), cupy.ndim(x), cupy.may_share_memory(x, x)), []),
}


@pytest.mark.parametrize("what", LAUNCHES)
def test_launches(what):
    action, names = LAUNCHES[what]
    x = device()
    with counting() as count, no_sync(), no_upload():
        action(x)
    assert count.names == names and count.launches == len(names)


UPLOADS = {
    "asarray": lambda x: cupy.asarray(HOST),
    "array of a list": lambda x: cupy.array([1.0, 2.0]),
    "set": lambda x: x.set(HOST),
    "list index": lambda x: x[[0, 1]],
    "host index": lambda x: x[:, np.array([0, 2])],
    "host index, set": lambda x: operator.setitem(x, np.array([1]), 0.0),
    "list value": lambda x: operator.setitem(x, cupy.arange(2) * 0 + cupy.arange(2), [[1.0], [2.0]]),
    "take": lambda x: cupy.take(x, [0, 1]),
    "x.take": lambda x: x.take(np.array([0, 1])),
    "add.at": lambda x: cupy.add.at(x, np.array([0, 0]), 1.0),
}


@pytest.mark.parametrize("what", UPLOADS)
def test_uploads(what):
    x = device()
    with counting() as count:
        UPLOADS[what](x)
    assert (count.uploads, len(count.upload_names), count.syncs) == (1, 1, 0)
    with pytest.raises(NotAllowed), no_upload():
        UPLOADS[what](x)


SYNCS = {
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "bool": lambda x: bool(x[0, 0]),
    "if allclose": lambda x: 1 if cupy.allclose(x, x) else 0,
    "complex": lambda x: complex(x[0, 0]),
    "item": lambda x: x[0, 0].item(),
    "tolist": lambda x: x.tolist(),
    "get": lambda x: x.get(),
    "get into": lambda x: x.get(out=HOST.copy()),
    "asnumpy": cupy.asnumpy,
    "print": lambda x: str(x),
    "repr": repr,
    "format": lambda x: f"{x[0, 0]:.3f}",
    "nonzero": lambda x: x.nonzero(),
    "cupy.nonzero": lambda x: cupy.nonzero(x),
    "where with one argument": lambda x: cupy.where(x > 0),
    "argwhere": lambda x: cupy.argwhere(x),
    "unique": lambda x: cupy.unique(x),
    "bincount": lambda x: cupy.bincount(x[0].astype("int64")),
    "mask get": lambda x: x[x > 0],
    "mask set": lambda x: operator.setitem(x, x > 0, 0.0),
    "Device.synchronize": lambda x: cupy.cuda.Device().synchronize(),
    "Stream.synchronize": lambda x: cupy.cuda.get_current_stream().synchronize(),
}


@pytest.mark.parametrize("what", SYNCS)
def test_syncs(what):
    x = device()
    with counting() as count:
        SYNCS[what](x)
    assert (count.syncs, len(count.sync_names), count.uploads) == (1, 1, 0)
    assert count.downloads == (what not in ("mask get", "mask set", "Device.synchronize", "Stream.synchronize"))
    with pytest.raises(NotAllowed), no_sync():
        SYNCS[what](x)


def test_counters_are_fresh_nest_and_stop():
    x = device()
    with counting() as outer:
        x + 1
        with counting() as inner:
            x + 1
        x + 1
    x + 1
    assert (outer.launches, inner.launches) == (3, 1)


def test_no_sync_ends_with_its_block():
    x = device()
    with pytest.raises(NotAllowed), no_sync():
        float(x[0, 0])
    assert float(x[0, 1]) == 1.0


# --- scatter, devices, streams, memory


def test_scatter_add_sums_repeated_indices():
    x, i = cupy.zeros(3), cupy.asarray([0, 2, 0])
    cupy.add.at(x, i, cupy.asarray([1.0, 2.0, 4.0]))
    cupyx.scatter_add(x, i, 1.0)
    cupyx.scatter_max(x, cupy.asarray([1]), 9.0)
    cupyx.scatter_min(x, cupy.asarray([2]), -1.0)
    np.testing.assert_array_equal(x.get(), [7.0, 9.0, -1.0])


def test_arrays_of_another_device_are_refused():
    x = device()
    with cupy.cuda.Device(1) as second:
        y = device()
        assert second.id == 1 and y.device.id == 1 and cupy.cuda.Device().id == 1
        for action in (
            lambda: x + 1,
            lambda: cupy.exp(x),
            lambda: x.sum(),
            lambda: x[cupy.arange(1)],
            lambda: x.fill(0),
        ):
            with pytest.raises(ValueError, match="Array device must be same as the current device"):
                action()
        moved = cupy.asarray(x)
        assert moved.device.id == 1 and (moved + y).device.id == 1 and x[0].device.id == 0
    for action in (lambda: x + y, lambda: x.__setitem__(0, y[0]), lambda: cupy.concatenate([x, y])):
        with pytest.raises(ValueError, match="Array device"):
            action()
    assert float((x + 1)[0, 0]) == 1 and y.get().shape == (2, 3)


def test_devices_and_streams_nest():
    runtime = cupy.cuda.runtime
    assert cupy.cuda.is_available() and cupy.is_available() and runtime.getDeviceCount() == 2
    with cupy.cuda.Device(1), cupy.cuda.Device(0):
        assert runtime.getDevice() == 0
    assert cupy.cuda.Device(None).id == 0
    stream = cupy.cuda.Stream(non_blocking=True)
    assert cupy.cuda.get_current_stream() is cupy.cuda.Stream.null
    with stream:
        assert cupy.cuda.get_current_stream() is stream
        with cupy.cuda.Stream.null:
            assert cupy.cuda.get_current_stream() is cupy.cuda.Stream.null
        assert cupy.cuda.get_current_stream() is stream
    assert cupy.cuda.get_current_stream() is cupy.cuda.Stream.null


def test_the_pool_reports_live_memory():
    pool = cupy.get_default_memory_pool()
    gc.collect()
    before = pool.used_bytes()
    x = cupy.zeros(1000, "float32")
    view = x[10:]
    assert pool.used_bytes() - before == 4096 == pool.total_bytes() - before
    with cupy.cuda.Device(1):
        assert pool.used_bytes() == 0
    del x
    assert pool.used_bytes() - before == 4096  # the view keeps it
    del view
    assert pool.used_bytes() == before
    pool.free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


def test_pinned_memory_is_host_memory():
    a, b = cupyx.empty_pinned((2, 3), "float32"), cupyx.zeros_pinned(3)
    c = np.frombuffer(cupy.cuda.alloc_pinned_memory(24), "float32", 6)
    a[...], c[...] = HOST, 2.0
    x = device(HOST * 0)
    x.set(a, stream=cupy.cuda.Stream.null)
    assert float(x.sum()) == 15 and not b.any()
    assert x.get(out=a) is a


# --- kernels

COPY = cupy.ElementwiseKernel("T x", "T y", "y = x", "copy")
AXPY = cupy.ElementwiseKernel("T x, T y, float32 s", "T z", "z = x * s + y", "axpy")
ROWS = cupy.ElementwiseKernel("raw T x, int32 n", "T y", "y = 0; for (int j = 0; j < n; j++) y += x[i * n + j]", "rows")
SUM = cupy.ReductionKernel("T x", "T y", "x", "a + b", "y = a", "0", "sum_of")
LOW = cupy.ReductionKernel("T x", "T y", "x", "min(a, b)", "y = a", None, "low")  # starts from T(): 0
TOP = cupy.ReductionKernel("T x", "T y", "x", "max(a, b)", "y = a", "-CUDART_INF", "top")

REFUSED_BY_KERNELS = {
    "host array": (TypeError, "Unsupported type", lambda x: COPY(HOST)),
    "list": (TypeError, "Unsupported type", lambda x: COPY([1.0])),
    "None": (TypeError, "Unsupported type", lambda x: AXPY(x, None, 1.0)),
    "0-d host array": (TypeError, "Unsupported type", lambda x: AXPY(x, np.array(2.0), 1.0)),
    "too few arguments": (TypeError, "Wrong number of arguments", lambda x: AXPY(x, x)),
    "unknown keyword": (TypeError, "Wrong arguments", lambda x: COPY(x, axis=0)),
    "two types for one letter": (TypeError, "Type is mismatched", lambda x: AXPY(x, x.astype("float64"), 1.0)),
    "another type than declared": (TypeError, "Type is mismatched", lambda x: AXPY(x, x, x[0, 0].astype("float64"))),
    "output of another type": (TypeError, "Type is mismatched", lambda x: COPY(x, x.astype("float16"))),
    "output on the host": (TypeError, "Unsupported type", lambda x: COPY(x, HOST.copy())),
    "scalar as output": (TypeError, "Output arguments", lambda x: COPY(x, 1.0)),
    "float for an integer": (TypeError, "int32", lambda x: ROWS(x, 3.0, size=2)),
    "scalar for raw": (TypeError, "raw", lambda x: ROWS(1.0, 3, size=2)),
    "nothing says the type": (TypeError, "type S", lambda x: cupy.ElementwiseKernel("S x, T z", "S y", "y = x")(1, x)),
    "shapes": (ValueError, "broadcast", lambda x: AXPY(x, x[:, :2], 1.0)),
    "output of another shape": (ValueError, "shape", lambda x: AXPY(x, x, 1.0, x[:1].copy())),
    "no size": (ValueError, "Loop size", lambda x: ROWS(x, 3)),
    "size and an array": (ValueError, "'size'", lambda x: COPY(x, size=6)),
    "raw output of no size": (
        ValueError, "Undecided", lambda x: cupy.ElementwiseKernel("T x", "raw T y", "y[i] = x", "put")(x),
    ),
    "i as a name": (ValueError, "'i'", lambda x: cupy.ElementwiseKernel("T i", "T y", "y = i")),
    "no name": (ValueError, "Invalid kernel name", lambda x: cupy.ElementwiseKernel("T x", "T y", "y = x", "a b")),
    "no C++": (RuntimeError, "compiler", lambda x: cupy.ElementwiseKernel("T x", "T y", "y = q", "unknown")(x)),
    "an input written to": (RuntimeError, "compiler", lambda x: cupy.ElementwiseKernel("T x", "T y", "x = 1")(x)),
    "out of bounds": (Undefined, r"x\[4\] is outside of an array of 4", lambda x: ROWS(x[:, 1:], 3, size=2)),
    "written out of bounds": (
        Undefined, r"y\[-1\]", lambda x: cupy.ElementwiseKernel("T x", "raw T y", "y[i - 1] = x")(x, x.copy()),
    ),
    "axis": (np.exceptions.AxisError, "axis 2", lambda x: SUM(x, axis=2)),
    "axis twice": (ValueError, "duplicate", lambda x: SUM(x, axis=(0, -2))),
    "output twice": (ValueError, "'out'", lambda x: SUM(x, x[0, 0], out=x[0, 0])),
    "nothing and no identity": (ValueError, "no identity", lambda x: LOW(x[:0], axis=0)),
    "raw input, last axis": (
        NotImplementedError, "raw",
        lambda x: cupy.ReductionKernel("T x, raw T w", "T y", "x * w[0]", "a + b", "y = a", "0")(x, x, axis=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_BY_KERNELS)
def test_what_kernels_refuse(what):
    error, match, action = REFUSED_BY_KERNELS[what]
    with pytest.raises(error, match=match):
        action(device())


def test_kernels_run_on_arrays_of_any_strides():
    x = device()
    out = cupy.zeros((3, 2, 2), "float32")[..., 0].T
    with counting() as counted, no_sync(), no_upload():
        y = AXPY(x, x[1], 2.0)
        assert AXPY(x, x[:, ::-1], 2, out) is out
        rows = ROWS(x.T, 2, size=3)
    assert counted.names == ["axpy", "axpy", "rows"] and counted.uploads == 0
    np.testing.assert_array_equal(y.get(), HOST * 2 + HOST[1])
    np.testing.assert_array_equal(out.get(), HOST * 2 + HOST[:, ::-1])
    np.testing.assert_array_equal(rows.get(), HOST.T.sum(1))
    put = cupy.ElementwiseKernel("T x", "raw T y", "y[i] = x", "put")
    put(x, out)
    np.testing.assert_array_equal(out.get(), HOST)
    assert float(LOW(x + 1)) == 0  # as in CuPy, where no identity is the type's own first value
    assert cupy.ElementwiseKernel("T x", "T y", "y = x", "none", no_return=True)(x, out) is None
    assert type(cupy.ElementwiseKernel("T x", "T y", "y = x", "one", return_tuple=True)(x)) is tuple


def test_a_kernel_for_nothing_is_no_launch():
    with counting() as counted:
        assert COPY(device()[:0]).shape == (0, 3) and SUM(device()[:0], axis=1).shape == (0,)
        assert counted.launches == 0
        assert float(SUM(device()[:0])) == 0 and counted.names == ["sum_of"]


@pytest.mark.parametrize(
    "dtype", "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
)
def test_kernels_have_every_type(dtype):
    x = (HOST * 20).astype(dtype)
    assert COPY(device(x)).dtype == dtype and (COPY(device(x)).get() == x).all()
    top = cupy.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    given = cupy.ElementwiseKernel("T x, T s", "T y", "y = s", "constant")(device(x), int(top))
    assert (given.get() == np.full((2, 3), top, dtype)).all()


def test_half_precision_of_kernels_is_numpys(rng):
    halves = np.arange(1 << 16).astype(np.uint16).view(np.float16)
    floats = halves.astype(np.float32)
    wide = cupy.ElementwiseKernel("float16 x", "float32 y", "y = x", "wide")(device(halves)).get()
    np.testing.assert_array_equal(wide, floats)
    with np.errstate(all="ignore"):
        finite = floats[np.isfinite(floats)]
        between = (np.sort(finite)[1:] + np.sort(finite)[:-1]) / 2  # ties
        x = [
            floats,
            between,
            np.nextafter(between, np.float32(9)),
            rng.normal(size=5000) * 10.0 ** rng.integers(-9, 6, 5000),
        ]
        x = np.concatenate(x).astype(np.float32)
        expected = x.astype(np.float16)
    narrow = cupy.ElementwiseKernel("float32 x", "float16 y", "y = x", "narrow")(device(x)).get()
    np.testing.assert_array_equal(narrow, expected)
    np.testing.assert_array_equal(np.signbit(narrow), np.signbit(expected))


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (1, 2), (2, 0)])
def test_reductions_over_any_axes(axis, rng):
    x = rng.normal(size=(3, 4, 5))
    for keepdims in (False, True):
        y = SUM(device(x.transpose(2, 0, 1).copy()).transpose(1, 2, 0), axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(y.get(), x.sum(axis=axis, keepdims=keepdims), rtol=1e-12)
        np.testing.assert_array_equal(
            TOP(device(x), axis=axis, keepdims=keepdims).get(), x.max(axis=axis, keepdims=keepdims)
        )


def test_a_reduction_to_a_type_of_its_own():
    pair = "struct pair { T sum; int count; __device__ pair(T s = 0, int n = 0) : sum(s), count(n) {} };"
    mean = cupy.ReductionKernel(
        "T x", "T y", "pair(x, 1)", "pair(a.sum + b.sum, a.count + b.count)", "y = a.sum / a.count", "pair()",
        "mean_of", reduce_type="pair", preamble=pair,
    )  # fmt: skip
    out = device(np.zeros(3, "float32"))
    assert mean(device(), axis=0, out=out) is out
    np.testing.assert_array_equal(out.get(), HOST.mean(0))


def test_scalars_are_there_after_a_reduction_elements_are_not():
    ins, outs = "T x, float64 factor", "T y"
    scaled = cupy.ReductionKernel(ins, outs, "x * factor", "a + b", "y = a + factor", "0", "scaled")
    assert float(scaled(device(), 2.0)) == 2 * 15 + 2
    wrong = cupy.ReductionKernel(ins, outs, "x * factor", "a + b", "y = a + x", "0", "scaled_wrongly")
    with pytest.raises(RuntimeError, match="compiler"):
        wrong(device(), 2.0)


def test_functions_of_the_device():
    def ran(dtype, body, *arrays):
        names = "abcd"[: len(arrays)]
        kernel = cupy.ElementwiseKernel(", ".join(f"{dtype} {n}" for n in names), f"{dtype} y", body, "body")
        return kernel(*map(device, arrays)).get()

    big = np.array([0, 1, 2**32 + 5, 2**63, 2**64 - 1], "uint64")
    expected = [int(p) * int(q) >> 64 for p, q in zip(big, big[::-1], strict=True)]
    assert ran("uint64", "y = __umul64hi(a, b)", big, big[::-1].copy()).tolist() == expected
    small = np.array([0, 1, 2**16 + 5, 2**31, 2**32 - 1], "uint32")
    assert ran("uint32", "y = __umulhi(a, b)", small, small).tolist() == [int(p) ** 2 >> 32 for p in small]
    bits = ran("uint32", "y = __popc(a) + __clz(b) * 100", small, small)
    assert bits.tolist() == [int(p).bit_count() + (32 - int(p).bit_length()) * 100 for p in small]
    x = np.array([0.25, 1.0, 4.0])
    for dtype in ("float32", "float64"):
        np.testing.assert_allclose(ran(dtype, "y = rsqrt(a)", x.astype(dtype)), [2.0, 1.0, 0.5], rtol=1e-6)
        np.testing.assert_allclose(
            ran(dtype, "y = erf(a)", x.astype(dtype)), [0.2763263902, 0.8427007929, 1], rtol=1e-6
        )
    nan = np.array([np.nan, 1, 2], "float32")
    np.testing.assert_array_equal(ran("float32", "y = max(a, b)", nan, nan[::-1].copy()), [2, 1, 2])  # as CUDA's fmaxf
    np.testing.assert_array_equal(ran("float32", "y = isnan(a) ? CUDART_INF_F : abs(-a)", nan), [np.inf, 1, 2])


# --- the frozen names


def test_every_name_of_the_stand_in_is_cupys():
    frozen = {
        "cupy": {*NAMES["names"], *NAMES["functions"], *NAMES["ufuncs"]},
        "cupyx": set(NAMES["cupyx"]),
        "cupy.cuda": set(NAMES["cuda"]),
        "cupy.cuda.memory": {"OutOfMemoryError"},  # its names are not frozen
        "cupy.cuda.runtime": {*NAMES["runtime"], "CUDARuntimeError"},
        "cupy.random": {*NAMES["random"], "Generator"},  # which CuPy loads on demand
        "cupy.linalg": set(NAMES["linalg"]),
        "cupy.lib": {"stride_tricks"},
        "cupy.lib.stride_tricks": set(NAMES["stride_tricks"]),
        "cupyx.scipy": {"special"},  # two modules whose names are not frozen: only these are used
        "cupyx.scipy.special": {"erf", "erfc", "erfinv", "gammaln", "psi", "zeta"},
    }
    assert set(frozen) == set(MODULES)
    for name, module in MODULES.items():
        assert {n for n in vars(module) if not n.startswith("_")} <= frozen[name], name
    assert {n for n in vars(cupy.ndarray) if not n.startswith("_")} <= set(NAMES["ndarray"])
    for name, cls in (("Device", cupy.cuda.Device), ("Stream", cupy.cuda.Stream), ("MemoryPool", cupy.cuda.MemoryPool)):
        assert {n for n in vars(cls) if not n.startswith("_")} <= {*NAMES["classes"][name], "array_type"}, name


def test_kernels_take_cupys_arguments():
    for name, expected in NAMES["kernels"].items():
        assert set(inspect.signature(getattr(cupy, name)).parameters) == set(expected), name


def test_every_frozen_ufunc_and_function_is_there_or_says_why_not():
    for name in NAMES["ufuncs"]:
        assert type(getattr(cupy, name)) is cupy.ufunc or name in ("fix", "i0", "sinc")  # not ufuncs in NumPy
    there = 0
    for name in NAMES["functions"]:
        try:
            getattr(cupy, name)
            there += 1
        except AttributeError as error:
            assert "not in the stand-in" in str(error)
    assert there > 200
