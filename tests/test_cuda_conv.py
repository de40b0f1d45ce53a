"""Convolution on the GPU: columns against the plain definition for any sizes, launches and memory; cuDNN's part."""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
import types

import numpy as np
import pytest
from launching import CUDA, counts, down, launches, same, up
from standin.cublas import Library

import minidl
from minidl import nn
from minidl.backend import DEFINITIONS, EXACT
from minidl.backend.cuda import columns, conv, cublas, cudnn

pytestmark = pytest.mark.cuda
NAMES = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")


@pytest.fixture(autouse=True)
def by_columns(monkeypatch):
    """Without cuDNN, on a machine that has it too, and little work as much."""
    monkeypatch.setitem(EXACT, "cudnn", False)
    monkeypatch.setattr(conv, "FEW", 0)


def sizes(rng):
    """Random shapes of images and kernels that have outputs, and how they lie."""
    n, groups = int(rng.integers(1, 5)), int(rng.choice([1, 1, 2, 3]))
    c, f = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    kernel, padding = tuple(rng.integers(1, 5, 2).tolist()), tuple(rng.integers(0, 4, 2).tolist())
    stride, dilation = tuple(rng.integers(1, 4, 2).tolist()), tuple(rng.integers(1, 4, 2).tolist())
    if rng.random() < 0.2:
        kernel = stride = (1, 1)
        padding = (0, 0)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for d, k, p in zip(dilation, kernel, padding, strict=True)]
    size = [m + int(rng.integers(0, 9)) for m in least]
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (n, c, *size), (f, c // groups, *kernel), how


def compare(rng, x_shape, w_shape, how, dtype, spread=False):
    """All three kernels against their definitions, computed in double precision."""
    x, w, b = [rng.normal(size=s).astype(dtype) for s in (x_shape, w_shape, w_shape[:1])]
    wide = [a.astype(np.float64) for a in (x, w, b)]
    want = DEFINITIONS["conv2d"](*wide, **how)
    g = rng.normal(size=want.shape).astype(dtype)
    given = [up(a, spread) for a in (x, w, b, g)]
    before = [down(a) for a in given]
    same(CUDA.conv2d(*given[:3], **how), want, dtype, 5)
    same(CUDA.conv2d(*given[:2], **how), want - wide[2].reshape(-1, 1, 1), dtype, 5)
    wide.append(g.astype(np.float64))
    want = DEFINITIONS["conv2d_input_grad"](wide[3], wide[1], shape=x_shape, **how)
    same(CUDA.conv2d_input_grad(given[3], given[1], shape=x_shape, **how), want, dtype, 5)
    want = DEFINITIONS["conv2d_weight_grad"](wide[3], wide[0], shape=w_shape, **how)
    same(CUDA.conv2d_weight_grad(given[3], given[0], shape=w_shape, **how), want, dtype, 5)
    for a, kept in zip(given, before, strict=True):
        np.testing.assert_array_equal(down(a), kept)


@pytest.mark.parametrize("limit", [1 << 28, 6000], ids=["whole", "in blocks"])
@pytest.mark.parametrize("many", [1, 20, 1000])
def test_any_sizes_agree_with_the_definition(many, limit, monkeypatch):
    monkeypatch.setattr(conv, "MANY", many)
    monkeypatch.setattr(conv, "LIMIT", limit)
    rng = np.random.default_rng(many + limit)
    for number in range(40):
        compare(rng, *sizes(rng), ["float32", "float64", "float16"][number % 3], spread=rng.random() < 0.3)


@pytest.mark.parametrize("few", [0, 1 << 24], ids=["one channel", "little work"])
def test_what_is_done_directly_agrees_with_the_definition(few, monkeypatch):
    monkeypatch.setattr(conv, "FEW", few)
    rng = np.random.default_rng(few)
    for number in range(30):
        x_shape, w_shape, how = sizes(rng)
        if not few:  # each kernel sees one channel
            w_shape, how["groups"] = (w_shape[0] // how["groups"] * x_shape[1], 1, *w_shape[2:]), x_shape[1]
        compare(rng, x_shape, w_shape, how, ["float32", "float64", "float16"][number % 3], spread=rng.random() < 0.3)


@pytest.mark.parametrize("few", [0, 1 << 24])
def test_the_same_call_gives_the_same_bits(few, monkeypatch):
    monkeypatch.setattr(conv, "FEW", few)
    rng, how = np.random.default_rng(0), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    x, w = up(rng.normal(size=(5, 6, 9, 8)).astype(np.float32)), up(rng.normal(size=(4, 3, 3, 2)).astype(np.float32))
    y = CUDA.conv2d(x, w, **how)
    for name, first, second, shape in ((NAMES[1], y, w, x.shape), (NAMES[2], y, x, w.shape)):
        found = [down(getattr(CUDA, name)(first, second, shape=shape, **how)) for _ in range(2)]
        np.testing.assert_array_equal(*found)


def test_columns_stay_within_their_limit_and_what_cannot_is_left_to_the_definition(monkeypatch):
    rng, how = np.random.default_rng(0), {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    made, of = [], columns.Window.of
    monkeypatch.setattr(columns.Window, "of", lambda *a, **how: made.append(of(*a, **how)) or made[-1])
    x_shape, w_shape, image = (7, 2, 6, 5), (3, 2, 3, 3), 2 * 9 * 30 * 8
    for limit, blocks in ((image, 7), (3 * image, 3), (7 * image, 1)):
        monkeypatch.setattr(conv, "LIMIT", limit)
        made.clear()
        compare(rng, x_shape, w_shape, how, "float64")
        found = [a[0] if isinstance(a, tuple) else a for a in made]
        assert len(found) == 3 * blocks and max(a.nbytes for a in found) <= limit  # two forward, and weights' gradient
    called = []
    for name in NAMES:
        plain = DEFINITIONS[name]
        monkeypatch.setitem(
            DEFINITIONS, name, lambda *a, plain=plain, **how: called.append(type(a[0])) or plain(*a, **how)
        )
    monkeypatch.setattr(conv, "LIMIT", image - 1)
    compare(rng, x_shape, w_shape, how, "float64")
    assert called.count(CUDA.array_type) == 4


@pytest.mark.parametrize("few", [0, 1 << 24])
def test_what_cannot_be_counted_in_32_bits_is_left_to_the_definitions(few, monkeypatch):
    """Images or outputs, whichever are more."""
    monkeypatch.setattr(conv, "FEW", few)
    called = []
    for name in NAMES:
        plain = DEFINITIONS[name]
        monkeypatch.setitem(
            DEFINITIONS, name, lambda *a, plain=plain, **how: called.append(type(a[0])) or plain(*a, **how)
        )
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    for x_shape, w_shape, largest in (((2, 3, 4, 4), (2, 3, 3, 3), 96), ((2, 2, 4, 4), (3, 2, 3, 3), 96)):
        for limit in (largest + 1, largest):
            monkeypatch.setattr(conv, "LARGEST", limit)
            called.clear()
            compare(np.random.default_rng(0), x_shape, w_shape, how, "float64")
            assert called.count(CUDA.array_type) == (4 if limit == largest else 0)


@pytest.mark.parametrize("x, w", [
    (np.arange(32).reshape(1, 2, 4, 4), np.arange(8).reshape(2, 2, 1, 2)),
    (np.ones((1, 2, 4, 4), np.float32), np.ones((2, 2, 2, 2))),
    (np.ones((0, 2, 4, 4), np.float32), np.ones((2, 2, 2, 2), np.float32)),
    (np.ones((1, 0, 4, 4), np.float32), np.ones((2, 0, 2, 2), np.float32)),
], ids=["whole numbers", "two types", "no images", "no channels"])  # fmt: skip
def test_what_the_kernels_are_not_for(x, w):
    how = {"stride": (1, 1), "padding": (0, 1), "dilation": (1, 1), "groups": 1}
    y, want = CUDA.conv2d(up(x), up(w), **how), DEFINITIONS["conv2d"](x, w, **how)
    assert y.dtype == want.dtype
    np.testing.assert_array_equal(down(y), want)


# ------------------------------------------------------------------------------------------------------- launches
# shapes of images and weights, padding, groups -> launches without a bias and with one, and of both gradients
CALLS = {
    "large images": ((3, 4, 32, 32), (5, 4, 3, 3), 1, 1, (2, 3, 2, 2)),
    "small images": ((3, 4, 8, 8), (5, 4, 3, 3), 1, 1, (3, 3, 3, 2)),
    "groups": ((3, 4, 32, 32), (6, 2, 3, 3), 1, 2, (3, 3, 3, 2)),
    "one image": ((1, 4, 8, 8), (5, 4, 3, 3), 1, 1, (2, 3, 2, 2)),
    "kernels of one pixel": ((3, 4, 8, 8), (5, 4, 1, 1), 0, 1, (1, 2, 1, 3)),
    "whole images": ((3, 4, 8, 8), (5, 4, 8, 8), 0, 1, (3, 3, 2, 2)),
    "one channel": ((3, 1, 8, 8), (5, 1, 3, 3), 1, 1, (1, 1, 1, 2)),
    "one channel each": ((3, 4, 8, 8), (8, 1, 3, 3), 1, 4, (1, 1, 1, 2)),
    "little work": ((3, 4, 8, 8), (5, 4, 3, 3), 1, 1, (1, 1, 1, 2)),
}
USED = {
    "one channel": {"minidl_convolution", "minidl_convolution_input", "minidl_columns"},
    "one channel each": {"minidl_convolution", "minidl_convolution_input", "minidl_convolution_weight"},
    "little work": {"minidl_convolution", "minidl_convolution_input", "minidl_columns"},
    "kernels of one pixel": set(),
}


@counts
@pytest.mark.parametrize("call", CALLS)
def test_launches(call, monkeypatch):
    monkeypatch.setattr(conv, "FEW", 1 << 24 if call == "little work" else 0)
    x_shape, w_shape, padding, groups, expected = CALLS[call]
    how = {"stride": (1, 1), "padding": (padding,) * 2, "dilation": (1, 1), "groups": groups}
    x, w, b = [CUDA.from_host(np.ones(s, np.float32)) for s in (x_shape, w_shape, w_shape[:1])]
    g = CUDA.conv2d(x, w, **how)
    names = [
        launches(CUDA.conv2d, x, w, **how),
        launches(CUDA.conv2d, x, w, b, **how),
        launches(CUDA.conv2d_input_grad, g, w, shape=x_shape, **how),
        launches(CUDA.conv2d_weight_grad, g, x, shape=w_shape, **how),
    ]
    assert tuple(map(len, names)) == expected, names
    made = {name for name in itertools.chain(*names) if name.startswith("minidl_")}
    assert made == USED.get(call, {"minidl_columns", "minidl_columns_add"})


class Net(nn.Module):
    """Convolutions of all kinds, pooling, recurrent layers and attention."""

    def __init__(self):
        super().__init__()
        each = ({"groups": 2, "padding": 1}, {"groups": 4, "padding": 1})
        first = [nn.Conv2d(2, 4, 3, padding=1), *[nn.Conv2d(4, 4, 3, **how) for how in each], nn.Conv2d(4, 4, 1)]
        self.images = nn.Sequential(*first, nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(2))
        self.lstm, self.gru, self.rnn = nn.LSTM(4, 8), nn.GRU(8, 8, bidirectional=True), nn.RNN(16, 8)
        self.attention, self.projected = nn.MultiheadAttention(8, 2), nn.LSTM(8, 8, proj_size=4)

    def forward(self, x):
        x = self.rnn(self.gru(self.lstm(self.images(x).permute(2, 0, 1))[0])[0])[0]
        return self.projected(x + self.attention(x, x, x, need_weights=False)[0])[0].mean()


@counts
@pytest.mark.parametrize("few", [0, 1 << 24], ids=["columns", "little work"])
def test_a_step_of_all_kernels_is_captured(few, monkeypatch):
    """Nothing of it waits for the GPU, copies from the host, or is in other memory the next time."""
    monkeypatch.setattr(conv, "FEW", few)
    x, found = minidl.randn(3, 2, 8, 8).to("cuda"), []
    cublas.use(Library())
    try:
        for wrap in (lambda step: step, minidl.compile_step):
            minidl.manual_seed(0)
            net = Net().to("cuda")
            rule = minidl.optim.SGD(net.parameters(), lr=0.1)

            def step(x, net=net, rule=rule):
                rule.zero_grad()
                loss = net(x)
                loss.backward()
                rule.step()
                return loss

            run = wrap(step)
            found.append([run(x).item() for _ in range(6)])  # a step that cannot be captured is an error here
    finally:
        cublas.use(None)
    assert found[0] == found[1] and len(set(found[0])) == 6


# ---------------------------------------------------------------------------------------------------------- cuDNN
class Unsupported(Exception):
    """`cudnn.cudnnGraphNotSupportedError`, which is an Exception and nothing more."""


class Tensor:
    """An operand of a graph."""

    def __init__(self, dim=(), stride=(), data_type=None, name=""):
        self.dim, self.stride, self.data_type, self.output = dim, stride, data_type, False

    def _set(self, **given):
        vars(self).update(given)
        return self

    set_output = lambda self, x: self._set(output=x)  # noqa: E731
    set_data_type = lambda self, x: self._set(data_type=x)  # noqa: E731
    set_dim = lambda self, x: self._set(dim=x)  # noqa: E731
    set_stride = lambda self, x: self._set(stride=x)  # noqa: E731

    def at(self, address: int) -> np.ndarray:
        """The numbers at an address of the host, where the stand-in's arrays are."""
        kind = np.dtype({"FLOAT": np.float32, "HALF": np.float16}[self.data_type])
        count = 1 + sum((n - 1) * s for n, s in zip(self.dim, self.stride, strict=True))
        memory = (ctypes.c_char * (count * kind.itemsize)).from_address(address)
        return np.ndarray(self.dim, kind, memory, strides=[s * kind.itemsize for s in self.stride])


class Graph:
    """`cudnn.pygraph`, computed by the plain definitions. `refuses`: what it has no plan for."""

    made: list[Graph] = []
    steps = "validate build_operation_graph create_execution_plans deselect_numeric_notes check_support build_plans"
    refuses = staticmethod(lambda graph: False)

    def __init__(self, io_data_type, intermediate_data_type, compute_data_type, handle):
        assert intermediate_data_type == compute_data_type == "FLOAT" and handle.stream is not None
        self.io, self.handle, self.done, self.notes, self.runs = io_data_type, handle, [], [], 0
        Graph.made.append(self)

    def __getattr__(self, name):
        if name not in self.steps.split():
            raise AttributeError(name)

        def step(*given):
            self.done.append(name)
            if name == "deselect_numeric_notes":
                self.notes = list(*given)
            if name == "create_execution_plans":
                assert given == (["A", "FALLBACK"],)
            if name == "check_support" and Graph.refuses(self):
                raise Unsupported("no plan")

        return step

    def tensor(self, dim, stride, data_type, name):
        return Tensor(dim, stride, data_type)

    def _convolution(self, operation, inputs, **how):
        self.operation, self.inputs, self.how, self.result = operation, inputs, how, Tensor()
        return self.result

    conv_fprop = lambda self, image, weight, **how: self._convolution("conv2d", (image, weight), **how)  # noqa: E731
    conv_dgrad = lambda self, loss, filter, **how: self._convolution(NAMES[1], (loss, filter), **how)  # noqa: E731
    conv_wgrad = lambda self, image, loss, **how: self._convolution(NAMES[2], (loss, image), **how)  # noqa: E731

    def get_workspace_size(self) -> int:
        return 5

    def execute(self, addresses, workspace, handle):
        assert self.done == self.steps.split() and workspace.nbytes >= 5 and handle.stream is not None
        assert self.result.output and self.result.data_type == self.io
        first, second = (operand.at(addresses[operand]) for operand in self.inputs)
        shapes = {"conv2d": self.inputs[0].dim, NAMES[1]: self.result.dim, NAMES[2]: self.inputs[1].dim}
        weights = {"conv2d": self.inputs[1].dim, NAMES[1]: self.inputs[1].dim, NAMES[2]: self.result.dim}
        groups = shapes[self.operation][1] // weights[self.operation][1]
        how = {key: tuple(value) for key, value in self.how.items()} | {"groups": groups}
        if self.operation != "conv2d":
            how["shape"] = tuple(self.result.dim)
        self.result.at(addresses[self.result])[...] = DEFINITIONS[self.operation](first, second, **how)
        self.runs += 1


class Handle:
    stream = None


@pytest.fixture
def front_end(monkeypatch):
    """A front end of cuDNN that has plans for everything, in the place of the real one."""
    module = types.ModuleType("cudnn")
    module.__dict__.update(
        backend_version=lambda: 91200,
        cudnnGraphNotSupportedError=Unsupported,
        pygraph=Graph,
        create_handle=Handle,
        set_stream=lambda handle, stream: setattr(handle, "stream", stream),
        data_type=types.SimpleNamespace(FLOAT="FLOAT", HALF="HALF"),
        heur_mode=types.SimpleNamespace(A="A", FALLBACK="FALLBACK"),
        numerical_note=types.SimpleNamespace(TENSOR_CORE="TENSOR_CORE", NONDETERMINISTIC="NONDETERMINISTIC"),
    )
    monkeypatch.setitem(sys.modules, "cudnn", module)
    monkeypatch.setitem(EXACT, "cudnn", True)
    monkeypatch.setattr(Graph, "made", [])
    monkeypatch.setattr(cudnn, "_handles", cudnn._Handles())
    fresh()
    yield module
    fresh()


def fresh() -> None:
    """Forget what was found and made."""
    cudnn.library.cache_clear()
    cudnn._plan.cache_clear()


HOW = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
SHAPES = (3, 4, 9, 8), (6, 2, 3, 2)


@counts
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_cudnn_computes_where_it_can(front_end, dtype):
    rng = np.random.default_rng(0)
    for spread in (False, True):
        compare(rng, *SHAPES, HOW, dtype, spread)
    assert [graph.operation for graph in Graph.made] == list(NAMES)  # a plan each, for all calls
    assert [graph.runs for graph in Graph.made] == [4, 2, 2]
    x = up(np.ones(SHAPES[0], dtype)).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)  # channels last: read as it is
    CUDA.conv2d(x, up(np.ones(SHAPES[1], dtype)), **HOW)
    assert Graph.made[-1].inputs[0].stride == [9 * 8 * 4, 1, 8 * 4, 4]


@counts
def test_a_plan_for_each_kind_of_call(front_end, monkeypatch):
    def call(shape=SHAPES[0], dtype="float32", **more):
        CUDA.conv2d(up(np.ones(shape, dtype)), up(np.ones((6, 2, 3, 2), dtype)), **HOW | more)
        return Graph.made[-1]

    first = call()
    assert call() is first and first.notes == ["NONDETERMINISTIC", "TENSOR_CORE"]
    others = [
        call((2, 4, 9, 8)),
        call(dtype="float16"),
        call(stride=(1, 1)),
        call(padding=(1, 1)),
        call(dilation=(1, 1)),
    ]
    assert others[1].notes == ["NONDETERMINISTIC"]  # products of halves are exact in tensor cores
    monkeypatch.setitem(EXACT, "tf32", True)
    others.append(call())
    assert others[-1].notes == ["NONDETERMINISTIC"]
    assert len({id(graph) for graph in (first, *others)}) == 7 == len(Graph.made)


@counts
def test_what_cudnn_has_no_plan_for_is_done_by_columns(front_end, monkeypatch):
    monkeypatch.setattr(Graph, "refuses", staticmethod(lambda graph: graph.operation != "conv2d"))
    rng = np.random.default_rng(0)
    for _ in range(2):
        compare(rng, *SHAPES, HOW, "float32")
    assert [graph.runs for graph in Graph.made] == [4, 0, 0]  # nor is it asked again
    names = launches(CUDA.conv2d_weight_grad, up(np.ones((3, 6, 5, 10), "float32")), up(np.ones(SHAPES[0], "float32")),
                     shape=SHAPES[1], **HOW)  # fmt: skip
    assert "minidl_columns" in names


@counts
def test_other_errors_of_cudnn_are_raised(front_end, monkeypatch):
    def out_of_order(graph):
        raise RuntimeError("CUDNN_STATUS_INTERNAL_ERROR")

    monkeypatch.setattr(Graph, "refuses", staticmethod(out_of_order))
    with pytest.raises(RuntimeError, match="INTERNAL_ERROR"):
        compare(np.random.default_rng(0), *SHAPES, HOW, "float32")


@counts
@pytest.mark.parametrize("why", ["no front end", "no cuDNN", "switched off", "double precision"])
def test_cudnn_is_not_asked(front_end, monkeypatch, why):
    def missing():
        raise RuntimeError("Unable to find symbol cudnnGetVersion")

    if why == "no front end":
        monkeypatch.setitem(sys.modules, "cudnn", None)
    elif why == "no cuDNN":
        front_end.backend_version = missing
    elif why == "switched off":
        monkeypatch.setitem(EXACT, "cudnn", False)
    compare(np.random.default_rng(0), *SHAPES, HOW, "float64" if why == "double precision" else "float32")
    assert not Graph.made


@counts
def test_the_switch_and_the_questions_of_pytorch(front_end, monkeypatch):
    switches, x = minidl.backends.cudnn, minidl.ones(1, 1, 3, 3, device="cuda")
    assert switches.enabled and switches.is_available() and switches.version() == 91200
    assert switches.is_acceptable(x) and switches.is_acceptable(x.half())
    assert not switches.is_acceptable(x.double()) and not switches.is_acceptable(x.cpu())
    with switches.flags(enabled=False):
        minidl.nn.functional.conv2d(x, x)
        assert not EXACT["cudnn"] and not switches.enabled and not switches.is_acceptable(x)
    assert switches.enabled and not Graph.made
    minidl.nn.functional.conv2d(x, x)
    assert Graph.made[0].runs == 1
    with pytest.raises(TypeError, match="enabled: expected True or False, got 1"):
        switches.enabled = 1
    monkeypatch.setitem(sys.modules, "cudnn", None)
    fresh()
    assert switches.version() is None and not switches.is_available()


@counts
def test_each_thread_has_a_handle_on_its_own_stream(front_end):
    from_standin, seen = sys.modules["cupy"].cuda, []

    def run(stream):
        with stream:
            CUDA.conv2d(up(np.ones(SHAPES[0], "float32")), up(np.ones(SHAPES[1], "float32")), **HOW)
            seen.append((cudnn._handles.of_device[0], stream.ptr))

    for _ in range(2):
        thread = threading.Thread(target=run, args=(from_standin.Stream(non_blocking=True),))
        thread.start()
        thread.join()
    assert seen[0][0] is not seen[1][0] and all(handle.stream == pointer for handle, pointer in seen)


def test_the_real_front_end_takes_what_it_is_given(monkeypatch):
    """As far as it goes without a GPU: that there are such names, and that it finds the same shapes."""
    real = pytest.importorskip("cudnn")
    made = real.pygraph(io_data_type=real.data_type.FLOAT, intermediate_data_type=real.data_type.FLOAT,
                        compute_data_type=real.data_type.FLOAT, handle=None)  # fmt: skip
    assert all(callable(getattr(made, step)) for step in (*Graph.steps.split(), "execute", "get_workspace_size"))
    notes, modes, types_ = real.numerical_note, real.heur_mode, real.data_type
    assert notes.TENSOR_CORE != notes.NONDETERMINISTIC and modes.A != modes.FALLBACK and types_.HALF != types_.FLOAT
    assert issubclass(real.cudnnGraphNotSupportedError, Exception) and callable(real.create_handle)
    x, w = [
        made.tensor(name=name, dim=list(shape), stride=[1] * 4, data_type=real.data_type.FLOAT)
        for name, shape in zip(("image", "weight"), SHAPES, strict=True)
    ]
    how = {key: list(HOW[key]) for key in ("padding", "stride", "dilation")}
    y = made.conv_fprop(image=x, weight=w, **how)
    assert list(y.dim) == [3, 6, 5, 10]
    for gradient, shape in ((made.conv_dgrad(loss=y, filter=w, **how), SHAPES[0]),
                            (made.conv_wgrad(image=x, loss=y, **how), SHAPES[1])):  # fmt: skip
        gradient.set_output(True).set_data_type(real.data_type.FLOAT).set_dim(list(shape)).set_stride([1] * 4)
        assert list(gradient.dim) == list(shape)
