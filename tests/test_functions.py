"""The public face: creation, signatures as in PyTorch, methods, conversions, printing, and what its errors say."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calls import PRINTED, PRINTED_WITH

import minidl
from minidl import Tensor, functions
from minidl.nn import functional as F
from minidl.tensor import wrap

MAKE_STUBS = str(Path(__file__).resolve().parent / "make_stubs.py")


# ------------------------------------------------------------------------------------------------------- creation
@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (2, "int64"),
        (True, "bool"),
        ([1, 2], "int64"),
        ([1, 2.5], "float32"),
        ([[True], [False]], "bool"),
        ([], "float32"),
        ([[]], "float32"),
        ((1.0, 2.0), "float32"),
        (np.float64(1.0), "float64"),
        ([np.float64(1.0)], "float64"),
        (np.array([1, 2], np.int16), "int16"),
        (np.zeros(2), "float64"),
        (np.float32(1), "float32"),
        (range(3), "int64"),
    ],
)
def test_tensor_takes_its_dtype_from_the_data(data, dtype):
    t = minidl.tensor(data)
    assert t.dtype == getattr(minidl, dtype) and t.is_leaf and not t.requires_grad
    np.testing.assert_array_equal(t.numpy(), np.array(data))


def test_tensor_copies_and_as_tensor_shares(where):
    array = np.array([1.0, 2.0])
    copied, shared, wrapped = minidl.tensor(array), minidl.as_tensor(array), minidl.from_numpy(array)
    array[0] = 9.0
    assert (copied[0].item(), shared[0].item(), wrapped[0].item()) == (1.0, 9.0, 9.0)
    t = where.leaf([1.0, 2.0])
    u = minidl.tensor(t, dtype=minidl.float32)
    assert u.dtype == minidl.float32 and u.device == t.device and u.is_leaf and not u.requires_grad
    assert minidl.as_tensor(t) is t
    assert minidl.tensor(t).device == t.device
    assert minidl.tensor([t[0].detach(), t[1].detach()]).dtype == minidl.float64 if where.name == "cpu" else True
    assert minidl.tensor(2.0, requires_grad=True).requires_grad


def test_tensor_refuses(where):
    with pytest.raises(ValueError, match="tensor: the nested lists"):
        minidl.tensor([[1, 2], [3]])
    with pytest.raises(TypeError, match="tensor: cannot make a tensor of .*object|dtype"):
        minidl.tensor(object())
    with pytest.raises(TypeError, match="not supported; minidl has float16"):
        minidl.tensor([1j])
    with pytest.raises(TypeError, match="from_numpy: expected a numpy.ndarray"):
        minidl.from_numpy([1.0])
    with pytest.raises(RuntimeError, match="only floating-point"):
        minidl.tensor([1], requires_grad=True)


def test_creation(where):
    device = where.name
    for make, expected, dtype in (
        (lambda: minidl.zeros(2, 3, device=device), np.zeros((2, 3)), "float32"),
        (lambda: minidl.zeros((2, 3), device=device, dtype=minidl.int32), np.zeros((2, 3)), "int32"),
        (lambda: minidl.ones([2], device=device, dtype=float), np.ones(2), "float64"),
        (lambda: minidl.ones((), device=device), np.ones(()), "float32"),
        (lambda: minidl.full((2,), 3, device=device), [3, 3], "int64"),
        (lambda: minidl.full((2,), 3.0, device=device), [3, 3], "float32"),
        (lambda: minidl.full((1, 2), True, device=device), [[True, True]], "bool"),
        (lambda: minidl.arange(4, device=device), [0, 1, 2, 3], "int64"),
        (lambda: minidl.arange(1, 2, 0.25, device=device), [1, 1.25, 1.5, 1.75], "float32"),
        (lambda: minidl.arange(5, 0, -2, device=device), [5, 3, 1], "int64"),
        (lambda: minidl.arange(3.0, device=device), [0, 1, 2], "float32"),
        (lambda: minidl.arange(2, dtype=minidl.float64, device=device), [0, 1], "float64"),
        (lambda: minidl.linspace(0, 1, 5, device=device), [0, 0.25, 0.5, 0.75, 1], "float32"),
        (lambda: minidl.eye(2, 3, device=device), np.eye(2, 3), "float32"),
        (lambda: minidl.zeros_like(where.tensor([1, 2])), [0, 0], "int64"),
        (lambda: minidl.ones_like(where.tensor([1, 2]), dtype=minidl.float32), [1, 1], "float32"),
        (lambda: minidl.full_like(where.tensor([1.0, 2.0]), 7), [7, 7], "float64"),
        (lambda: where.tensor([1.0]).new_zeros(2), [0, 0], "float64"),
        (lambda: where.tensor([1.0]).new_tensor([1, 2]), [1, 2], "float64"),
        (lambda: where.tensor([1.0]).new_full((1,), 2), [2], "float64"),
    ):
        t = make()
        assert t.dtype == getattr(minidl, dtype) and t.device.type == device
        np.testing.assert_array_equal(where.host(t), expected)
    assert minidl.empty(2, 3, device=device).shape == (2, 3) and minidl.empty_like(t).shape == t.shape
    assert minidl.randn(2, requires_grad=True).requires_grad and minidl.rand(2, device=device).device.type == device
    for bad in (lambda: minidl.zeros(2.5), lambda: minidl.ones("a")):
        with pytest.raises(TypeError, match="size: expected integers"):
            bad()
    with pytest.raises(ValueError, match="negative"):
        minidl.zeros(-1)
    with pytest.raises(ValueError, match="arange: step must not be 0"):
        minidl.arange(0, 1, 0)


def test_default_dtype():
    minidl.set_default_dtype(minidl.float64)
    try:
        assert minidl.tensor(1.0).dtype == minidl.zeros(1).dtype == minidl.rand(1).dtype == minidl.float64
        assert (minidl.tensor([1]) / 2).dtype == (minidl.tensor([1]) * 0.5).dtype == minidl.float64
    finally:
        minidl.set_default_dtype(minidl.float32)
    assert minidl.tensor(1.0).dtype == minidl.float32
    with pytest.raises(TypeError, match="floating-point"):
        minidl.set_default_dtype(minidl.int64)


def test_default_device_and_context():
    with minidl.device("cuda"):
        assert minidl.zeros(1).is_cuda and minidl.tensor([1.0]).is_cuda and minidl.randn(1).is_cuda
        with minidl.device("cpu"):
            assert not minidl.zeros(1).is_cuda
    minidl.set_default_device("cuda")
    try:
        assert minidl.arange(2).is_cuda
    finally:
        minidl.set_default_device(None)
    assert not minidl.zeros(1).is_cuda
    with pytest.raises(RuntimeError, match="cuda:7"):
        minidl.zeros(1, device="cuda:7")
    with pytest.raises(ValueError, match="expected 'cpu', 'cuda'"):
        minidl.zeros(1, device="tpu")


# ------------------------------------------------------------------------------------------- signatures and results
def test_reductions_accept_dim_and_axis(where):
    x = where.leaf(np.arange(6.0).reshape(2, 3))
    for name in ("sum", "mean", "var", "std", "amax", "amin", "logsumexp", "softmax", "log_softmax"):
        method = getattr(x, name)
        np.testing.assert_array_equal(where.host(method(1)), where.host(method(dim=1)))
        np.testing.assert_array_equal(where.host(method(dim=-1)), where.host(method(axis=1)))
        if name in ("sum", "mean", "amax", "amin", "logsumexp"):  # the second of var and std is `unbiased`
            assert (
                method(1, True).shape
                == method(dim=1, keepdim=True).shape
                == method(axis=1, keepdims=True).shape
                == (2, 1)
            )
    assert x.sum((0, 1)).shape == () and x.sum(()).shape == () and x.mean([0]).shape == (3,)
    assert x.max(dim=1).indices.tolist() == [2, 2] and x.min(0)[0].tolist() == [0, 1, 2]
    assert minidl.max(x, minidl.zeros_like(x) + 2).tolist() == [[2, 2, 2], [3, 4, 5]]
    assert x.sum(dtype=minidl.float32).dtype == minidl.float32
    for call, message in (
        (lambda: x.softmax(), "softmax: dim must be given"),
        (lambda: x.logsumexp(), "logsumexp: a dim must be given"),
        (lambda: x.long().mean(), "mean: the input must be floating point"),
        (lambda: x.long().std(), "std: the input must be floating point"),
        (lambda: x.sum(2), "sum: .*out of bounds"),
        (lambda: x.max(-3), "arg.*: .*out of bounds"),
    ):
        with pytest.raises((TypeError, RuntimeError, IndexError), match=message):
            call()


def test_sizes_and_dims_by_name():
    assert minidl.rand(size=(2, 3)).shape == minidl.zeros(size=[2, 3]).shape == (2, 3)
    x = minidl.arange(6).reshape(2, 3)
    assert x.permute(dims=(1, 0)).tolist() == x.T.tolist()
    assert minidl.flip(x, dims=[0]).tolist() == minidl.flip(x, dims=(0,)).tolist() == [[3, 4, 5], [0, 1, 2]]


def test_clamp_of_integers_by_floats_is_in_the_default_dtype(where):
    y = where.tensor([1, 2, 3], "int64").clamp(0.5, 2.5)
    assert y.dtype == minidl.float32 and y.tolist() == [1.0, 2.0, 2.5]


def test_the_mean_of_many_float16_numbers(where):
    x = where.tensor(np.full(100000, 2.0), "float16").requires_grad_()  # their sum is larger than any float16
    assert x.mean().dtype == minidl.float16 and x.mean().item() == 2.0


def test_a_window_of_more_places_than_int16_counts(where):
    x = where.tensor(np.arange(36481.0).reshape(1, 1, 191, 191), "float32").requires_grad_()
    y = F.max_pool2d(x, 191)
    y.sum().backward()
    assert y.item() == 36480.0 and where.host(x.grad)[0, 0, 190, 190] == 1.0


def test_sums_of_integers(where):
    for dtype in ("bool", "uint8", "int8", "int32", "int64"):
        t = where.tensor([[1, 1], [0, 1]], np.dtype(dtype))
        assert t.sum().dtype == minidl.int64 and t.sum().item() == 3
        assert t.sum(0).tolist() == [1, 2]
    assert where.tensor([200, 100], np.uint8).sum().item() == 300


def test_where_and_masks(where):
    mask = where.tensor([True, False])
    assert minidl.where(mask, 1.0, 0.0).dtype == minidl.float32
    assert minidl.where(mask, 1, 0).dtype == minidl.int64
    assert minidl.where(mask, 1, 0.5).tolist() == [1.0, 0.5]
    (index,) = minidl.where(where.tensor([0.0, 3.0, 2.0]))
    assert index.tolist() == [1, 2]
    assert where.tensor([[0, 1], [2, 0]]).nonzero().tolist() == [[0, 1], [1, 0]]
    assert where.tensor([0, 0]).nonzero().shape == (0, 1)
    a, b = where.tensor([True, True, False]), where.tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False] and (a | b).tolist() == [True, True, False]
    assert (a ^ b).tolist() == [False, True, False] and (~a).tolist() == [False, False, True]
    with pytest.raises(TypeError, match="bitwise_and: expected integers or bools"):
        where.tensor([1.0]) & where.tensor([True])
    assert (a == b).all().item() is False and (a == b).any().item() is True
    assert (where.tensor([1.0]) == None) is False and (where.tensor([1.0]) != "a") is True  # noqa: E711


def test_shape_functions_refuse(where):
    x = where.tensor(np.zeros((2, 3)))
    for call, message in (
        (lambda: x.permute(0), "permute"),
        (lambda: x.permute(0, 0), "permute"),
        (lambda: x.view(4), "reshape|view"),
        (lambda: x.T.view(6), "view: .*use reshape"),
        (lambda: x.split([1, 1], 1), "split: the sizes"),
        (lambda: x.split(1, 5), "split: dimension 5"),
        (lambda: x.squeeze(4), "squeeze: dimension 4"),
        (lambda: x.unsqueeze(5), "unsqueeze: dimension 5"),
        (lambda: x.select(0, 2), "getitem|select"),
        (lambda: x.narrow(1, 2, 2), "narrow"),
        (lambda: x[2], "getitem: .*out of bounds"),
        (lambda: x[0, 0, 0], "getitem: too many indices"),
        (lambda: x[1.5], "getitem|only integers"),
        (lambda: x[where.tensor([0.5])], "index: expected integers or bools"),
        (lambda: x.expand(4, 3), "broadcast"),
        (lambda: minidl.cat([]), "cat: expected a non-empty"),
        (lambda: minidl.cat(x), "cat: expected a non-empty"),
        (lambda: minidl.cat([x, x.T]), "cat: "),
        (lambda: minidl.stack([x, x.T]), "(pile|stack): "),
        (lambda: x.mm(x), r"mm: cannot multiply \(2, 3\) by \(2, 3\)"),
        (lambda: x.mm(x[0]), "mm: expected"),
        (lambda: x @ 2, "matmul|int"),
        (lambda: x.sum() @ x, "matmul: both must have"),
        (lambda: x.div(2, rounding_mode="up"), "div: rounding_mode"),
        (lambda: x.clamp(), "clamp: at least one"),
        (lambda: x.t().unsqueeze(0).t(), "t: expected at most 2"),
        (lambda: F.linear(x, x.T), r"linear: x has 3 features, weight expects 2 \(x is \(2, 3\), weight is \(3, 2\)\)"),
        (lambda: F.conv2d(x.view(1, 1, 2, 3), x.view(1, 2, 1, 3)), "conv2d: x has 1 channels, weight expects 2"),
        (lambda: F.cross_entropy(x, where.tensor([0, 3])), "cross_entropy: .*3"),
        (lambda: F.mse_loss(x, x[0]), "mse_loss"),
    ):
        if where.name == "cuda" and "cross_entropy" in message:
            continue  # labels are not read back from a device
        with pytest.raises((RuntimeError, ValueError, IndexError, TypeError, AttributeError), match=message):
            call()


def test_sigmoid_keeps_its_digits(where):
    """The gradient of log(sigmoid(x)) is 1 - sigmoid(x), also where sigmoid(x) is tiny."""
    x = where.leaf([-20.0, -60.0, 0.0, 30.0], np.float32)
    y = x.sigmoid()
    np.testing.assert_allclose(where.host(y), 1 / (1 + np.exp(-np.float64([-20, -60, 0, 30]))), rtol=1e-6)
    y[:3].log().sum().backward()
    np.testing.assert_allclose(where.host(x.grad), [1, 1, 0.5, 0], rtol=1e-6)
    assert where.host(where.tensor([-1e4, 1e4], np.float32).sigmoid()).tolist() == pytest.approx([0.0, 1.0])
    assert np.isfinite(where.host(where.tensor([-60000.0, 60000.0], np.float16).sigmoid())).all()


# ------------------------------------------------------------------------------------------- leaving the library
def test_numbers_out_of_tensors(where):
    x = where.tensor([[2.5]])
    assert x.item() == float(x) == 2.5 and int(x) == 2 and bool(x) and f"{x.sum():.2f}" == "2.50"
    assert type(where.tensor(3).item()) is int and type(where.tensor(True).item()) is bool
    assert [10, 20, 30][where.tensor(1)] == 20 and list(range(3))[: where.tensor([2])] == [0, 1]
    y = where.tensor([1.0, 2.0])
    for call in (lambda: y.item(), lambda: float(y), lambda: bool(y), lambda: bool(where.tensor([]))):
        with pytest.raises(RuntimeError, match=r"\(2,\)|\(0,\)"):
            call()
    with pytest.raises(TypeError, match="only integer tensors"):
        [1][where.tensor(0.0)]
    with pytest.raises(TypeError):
        f"{y:.2f}"
    assert len(y) == 2 and 2.0 in y and 5.0 not in y and [v.item() for v in y] == [1.0, 2.0]
    for call in (lambda: len(y.sum()), lambda: iter(y.sum())):
        with pytest.raises(TypeError, match="0-d tensor"):
            call()


def test_numpy_conversions():
    x = minidl.tensor([1.0, 2.0])
    assert np.shares_memory(x.numpy(), x.array) and np.asarray(x).dtype == np.float32
    assert np.array(x, dtype=np.float64).dtype == np.float64 and np.mean(x.numpy()) == 1.5
    w = minidl.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"numpy: .*detach\(\).numpy\(\)"):
        w.numpy()
    assert w.numpy(force=True).tolist() == [1.0, 1.0] and w.tolist() == [1.0, 1.0]
    gpu = x.cuda()
    with pytest.raises(TypeError, match=r"numpy: .*cuda:0.*cpu\(\).numpy\(\)"):
        gpu.numpy()
    assert gpu.tolist() == [1.0, 2.0] and gpu.numpy(force=True).tolist() == [1.0, 2.0]


def test_sizes_and_strides(where):
    x = where.tensor(np.zeros((2, 3, 4), np.float32))
    assert x.shape == x.size() == (2, 3, 4) and x.size(1) == x.shape[-2] == 3 and isinstance(x.shape, minidl.Size)
    assert x.numel() == x.nelement() == x.shape.numel() == 24 and x.dim() == x.ndim == x.ndimension() == 3
    assert x.stride() == (12, 4, 1) and x.transpose(0, 2).stride() == (1, 4, 12) and x.stride(0) == 12
    assert x.is_contiguous() and not x.mT.is_contiguous() and x.mT.contiguous().is_contiguous() and x.contiguous() is x
    assert x.element_size() == x.itemsize == 4 and x.nbytes == 96 and x.is_floating_point() and not x.is_sparse
    assert repr(x.shape) == "minidl.Size([2, 3, 4])"
    a, b = x.shape[:2]
    assert (a, b) == (2, 3)


def test_to(where):
    x = where.leaf([1.0, 2.0])
    assert x.to(minidl.float64) is x and x.to(where.name) is x and x.to(where.name, copy=True) is not x
    assert x.to("cpu", minidl.float32).dtype == minidl.float32 and x.float().requires_grad
    assert x.to(where.tensor([1], np.int32)).dtype == minidl.int32 and not x.int().requires_grad
    assert x.half().dtype == minidl.float16 and x.long().dtype == minidl.int64 and x.bool().dtype == minidl.bool
    assert x.type(minidl.float32).dtype == minidl.float32 and x.type() == f"torch.{'cuda.' * x.is_cuda}DoubleTensor"
    assert x.type_as(where.tensor([1], np.uint8)).dtype == minidl.uint8
    with pytest.raises((TypeError, ValueError)):
        x.to("nonsense")


# ------------------------------------------------------------------------------------------------------- printing
with np.load(Path(__file__).resolve().parent / "reference" / "printed.npz") as _file:
    TEXTS = json.loads(_file["texts"].tobytes())


@pytest.mark.parametrize("name", PRINTED)
def test_printing_is_pytorchs(name):
    assert repr(wrap(PRINTED[name])) == TEXTS[name].replace("torch.", "minidl.")


@pytest.mark.parametrize("name", PRINTED_WITH)
def test_printing_with_options_is_pytorchs(name):
    options, array = PRINTED_WITH[name]
    before = repr(wrap(array))
    try:
        minidl.set_printoptions(**options)
        text = repr(wrap(array))
    finally:
        minidl.set_printoptions(profile="default")
    assert text == TEXTS[f"with {name}"].replace("torch.", "minidl.")
    assert repr(wrap(array)) == before


def test_set_printoptions_refuses():
    for options in ({"profile": "tiny"}, {"precision": -1}, {"linewidth": "wide"}):
        with pytest.raises(ValueError, match="set_printoptions: "):
            minidl.set_printoptions(**options)


def test_printing_of_gradients_and_devices():
    assert repr(minidl.ones(2, requires_grad=True)) == TEXTS["requires grad"]
    assert repr(minidl.ones(1, requires_grad=True) * 2) == "tensor([2.], grad_fn=<multiply>)"
    assert repr(minidl.ones(1, device="cuda")) == "tensor([1.], device='cuda:0')"
    assert repr(minidl.nn.Parameter(minidl.ones(1))) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert str(minidl.float32) == "minidl.float32" and f"{minidl.tensor(1.5)}" == "1.5"


def test_every_public_name_is_documented():
    public = [n for n in dir(minidl) if not n.startswith("_") and callable(getattr(minidl, n))]
    assert len(public) > 100
    missing = [n for n in public if not getattr(getattr(minidl, n), "__doc__", None)]
    missing += [
        f"Tensor.{n}"
        for n in vars(Tensor)
        if not n.startswith("_") and callable(getattr(Tensor, n)) and not getattr(Tensor, n).__doc__
    ]
    assert not missing


def test_stubs_are_current():
    done = subprocess.run([sys.executable, MAKE_STUBS, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


_PROGRAM = """
import minidl
from minidl import functions
from minidl.nn import functional as F

x = minidl.randn(4, 3, requires_grad=True)
(x @ x.T + 1.0).sum(1).sum().backward()
values, indices = x.max(1)
n: int = x.size(0)
x.add_(1.0).zero_()
rows = [row.exp() for row in x]
w = minidl.where(x > 0, x, 0.0) - x.mean(axis=0, keepdims=True) / 2**x + minidl.softmax(x, dim=1)[:, 0].unsqueeze(1)
print(values.shape, indices.long().tolist(), F.mse_loss(x, x * 2).item(), x.grad, x.float().cpu().numpy(), n)
"""


@pytest.mark.slow
def test_a_type_checker_understands_programs(tmp_path):
    """mypy accepts what works, and finds a misspelt method and function."""
    (tmp_path / "good.py").write_text(_PROGRAM)
    (tmp_path / "bad.py").write_text(_PROGRAM + "x.sume()\nminidl.softmaxx(x)\nm: str = x.size(0)\n")
    command = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path}"]
    found = {}
    for name in ("good", "bad"):
        done = subprocess.run([*command, str(tmp_path / f"{name}.py")], capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr and done.stdout, done.stderr
        found[name] = [line for line in done.stdout.splitlines() if f"{name}.py:" in line and "error:" in line]
    assert not found["good"]
    assert len(found["bad"]) == 3 and "sume" in found["bad"][0] and "softmaxx" in found["bad"][1], found["bad"]


def test_small_things_that_programs_rely_on():
    x = minidl.tensor(2.0, requires_grad=True)
    assert minidl.tensor([x * 2, x * 3]).tolist() == [4.0, 6.0] and minidl.tensor([x, 1]).dtype == minidl.float32
    assert minidl.cat([minidl.zeros(0), minidl.ones(2, 3)]).shape == (2, 3)
    assert [t.shape for t in minidl.zeros(0, 2).split(2)] == [(0, 2)]
    assert minidl.zeros(2, dtype=minidl.int64).fill_(2.7).tolist() == [2, 2]
    assert minidl.zeros(2, dtype=minidl.bool).fill_(1).tolist() == [True, True]
    with pytest.raises(OverflowError, match="add: "):
        minidl.ones(2, dtype=minidl.uint8) + 300
    with pytest.raises(TypeError, match="expected a dtype, got None"):
        minidl.set_default_dtype(None)
    with pytest.raises(RuntimeError, match="in place: .* read-only"):
        minidl.zeros(1).expand(3).add_(1.0)


def test_a_shallow_copy_shares_the_version():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    h = w * 1.0
    y = h * h
    copied = copy.copy(h)
    assert copied.edge is h.edge
    with minidl.no_grad():
        copied.add_(1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_sums_of_many_float16_losses_do_not_overflow():
    x = minidl.full((100000,), 2.0, dtype=minidl.float16)
    assert minidl.nn.functional.mse_loss(x, minidl.zeros_like(x)).item() == 4.0


@pytest.mark.parametrize(
    "body",
    [lambda x: x * (x > 0), lambda x: (x, x), lambda x: (x, ()), lambda x: (x, (None, None)), lambda x: (x, 1, 2)],
)
def test_a_replaced_body_that_forgets_its_vjps_is_told(body):
    with minidl.ops.replaced(relu=body), pytest.raises(TypeError, match=r"relu: .* must return \(y, vjps\)"):
        minidl.relu(minidl.ones(2, requires_grad=True))


def test_setitem_with_a_repeated_index_has_no_silent_second_derivative():
    x, v = minidl.zeros(3), minidl.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    y[[0, 0]] = v
    with pytest.raises(NotImplementedError, match="setitem: a repeated index"):
        minidl.autograd.grad((y**3).sum(), v, create_graph=True)


# --------------------------------------------------------------------------------------------- wrong arguments
_X = np.arange(6.0).reshape(2, 3)
REFUSED = {
    "gather index": (IndexError, "gather: index 3", lambda x, i: x.gather(1, i([[3]]))),
    "gather negative": (IndexError, "gather: index -1", lambda x, i: x.gather(1, i([[-1]]))),
    "gather float": (RuntimeError, "gather: index must hold integers", lambda x, i: x.gather(1, x)),
    "gather dims": (RuntimeError, "gather: index has 1 dimensions", lambda x, i: x.gather(0, i([0]))),
    "gather larger": (RuntimeError, "gather: index .3, 1. must not be", lambda x, i: x.gather(1, i([[0]] * 3))),
    "gather dim": (IndexError, "gather: dimension 2", lambda x, i: x.gather(2, i([[0]]))),
    "gather sparse": (NotImplementedError, "sparse_grad=True", lambda x, i: x.gather(1, i([[0]]), sparse_grad=True)),
    "gather list": (TypeError, "gather: index must be a Tensor", lambda x, i: x.gather(0, [[0]])),
    "scatter index": (IndexError, "scatter: index 2", lambda x, i: x.scatter(0, i([[2]]), 1.0)),
    "scatter dtype": (RuntimeError, "scatter: src must have", lambda x, i: x.scatter(0, i([[0]]), x.float())),
    "scatter nothing": (TypeError, "scatter: src or value", lambda x, i: x.scatter(0, i([[0]]))),
    "scatter reduce": (NotImplementedError, "scatter: reduce", lambda x, i: x.scatter(0, i([[0]]), 1, reduce="add")),
    "scatter small": (RuntimeError, "scatter_add: .* than src", lambda x, i: x.scatter_add(0, i([[0, 0]]), x[:, :1])),
    "scatter_reduce": (NotImplementedError, "reduce='prod'", lambda x, i: x.scatter_reduce(0, i([[0]]), x, "prod")),
    "index_select": (IndexError, "index_select: index 5", lambda x, i: x.index_select(0, i([5]))),
    "index_select 2-d": (IndexError, "index_select: index must be a vector", lambda x, i: x.index_select(0, i([[0]]))),
    "index_add": (IndexError, "index_add: index 3", lambda x, i: x.index_add(1, i([3]), x[:, :1])),
    "index_copy": (RuntimeError, "index_copy: source must", lambda x, i: x.index_copy(1, i([1]), i([[1], [1]]))),
    "take": (IndexError, "take: index 6", lambda x, i: x.take(i([6]))),
    "masked_select": (RuntimeError, "masked_select: mask must be bool", lambda x, i: x.masked_select(x)),
    "masked_scatter": (RuntimeError, "masked_scatter: the mask holds 6", lambda x, i: x.masked_scatter(x > -1, x[0])),
    "select_scatter": (RuntimeError, "select_scatter: src", lambda x, i: x.select_scatter(x, 0, 0)),
    "slice_scatter": (RuntimeError, "slice_scatter: src", lambda x, i: x.slice_scatter(x, 0, 0, 1)),
    "diagonal_scatter": (RuntimeError, "diagonal_scatter: src", lambda x, i: x.diagonal_scatter(x)),
    "tril": (RuntimeError, "tril: expected at least 2", lambda x, i: x[0].tril()),
    "diagonal": (RuntimeError, "diagonal: dim1 and dim2", lambda x, i: x.diagonal(0, 1, -1)),
    "diag": (RuntimeError, "diag: expected a vector", lambda x, i: x[None].diag()),
    "trace": (RuntimeError, "trace: expected a matrix", lambda x, i: x[0].trace()),
    "fill_diagonal_": (NotImplementedError, "wrap=True", lambda x, i: x.fill_diagonal_(1.0, wrap=True)),
    "sort": (IndexError, "argsort: dimension 2", lambda x, i: x.sort(2)),
    "topk": (RuntimeError, "topk: k is 4", lambda x, i: x.topk(4)),
    "kthvalue": (RuntimeError, "kthvalue: k is 0", lambda x, i: x.kthvalue(0)),
    "median": (IndexError, "median: dimension 0 has no", lambda x, i: x[:0].median(0)),
    "quantile": (RuntimeError, "quantile: q must lie", lambda x, i: x.quantile(1.5)),
    "quantile way": (RuntimeError, "quantile: interpolation", lambda x, i: x.quantile(0.5, interpolation="cubic")),
    "searchsorted": (RuntimeError, "searchsorted: side", lambda x, i: minidl.searchsorted(x[0], x, side="up")),
    "bucketize": (RuntimeError, "bucketize: boundaries", lambda x, i: minidl.bucketize(x, x)),
    "unique": (NotImplementedError, "unique: dim", lambda x, i: x.unique(dim=0)),
    "unique_consecutive": (NotImplementedError, "unique_consecutive: dim", lambda x, i: x.unique_consecutive(dim=0)),
    "cumsum": (IndexError, "cumsum: dimension -3", lambda x, i: x.cumsum(-3)),
    "cumsum float": (TypeError, "cumsum: dim must be an integer", lambda x, i: x.cumsum(0.5)),
    "prod": (IndexError, "prod: dimension 2", lambda x, i: x.prod(2)),
    "norm": (NotImplementedError, "norm: p='nuc'", lambda x, i: x.norm("nuc")),
    "norm of integers": (RuntimeError, "norm: the input must be floating", lambda x, i: i([1]).norm()),
    "cdist": (RuntimeError, "cdist: expected rows", lambda x, i: minidl.cdist(x, x[:, :2])),
    "cdist p": (RuntimeError, "cdist: p must", lambda x, i: minidl.cdist(x, x, -1)),
    "bincount": (RuntimeError, "bincount: expected a vector", lambda x, i: x.bincount()),
    "bincount negative": (RuntimeError, "bincount: a negative number", lambda x, i: i([-1]).bincount()),
    "histc": (RuntimeError, "histc: expected bins", lambda x, i: x.histc(0)),
    "cov": (NotImplementedError, "cov: fweights", lambda x, i: x.cov(fweights=x)),
    "diff": (RuntimeError, "diff: n", lambda x, i: x.diff(-1)),
    "roll": (RuntimeError, "roll: shifts and dims", lambda x, i: x.roll((1, 2), 0)),
    "rot90": (RuntimeError, "rot90: the two dims", lambda x, i: x.rot90(1, (0, -2))),
    "movedim": (RuntimeError, "movedim: a dimension is given twice", lambda x, i: x.movedim((0, 0), (0, 1))),
    "unflatten": (RuntimeError, "unflatten: ", lambda x, i: x.unflatten(1, (2, -1))),
    "meshgrid": (RuntimeError, "meshgrid: indexing", lambda x, i: minidl.meshgrid(x[0], indexing="ji")),
    "cartesian_prod": (RuntimeError, "cartesian_prod: expected vectors", lambda x, i: minidl.cartesian_prod(x)),
    "block_diag": (RuntimeError, "block_diag: expected at most", lambda x, i: minidl.block_diag(x[None])),
    "broadcast_shapes": (RuntimeError, "broadcast_shapes: ", lambda x, i: minidl.broadcast_shapes((2,), (3,))),
    "hsplit": (RuntimeError, "hsplit: 2 parts do not divide 3", lambda x, i: x.hsplit(2)),
    "vsplit": (RuntimeError, "vsplit: expected at least 2", lambda x, i: x[0].vsplit(1)),
    "tensor_split": (RuntimeError, "tensor_split: the number", lambda x, i: x.tensor_split(0)),
    "chunk": (RuntimeError, "chunk: the number", lambda x, i: x.chunk(0)),
    "repeat_interleave": (RuntimeError, "repeat_interleave: exp", lambda x, i: x.repeat_interleave(i([1] * 3), 0)),
    "repeat_interleave size": (RuntimeError, "output_size", lambda x, i: x.repeat_interleave(2, 0, output_size=5)),
    "fliplr": (RuntimeError, "fliplr: expected", lambda x, i: x[0].fliplr()),
    "outer": (RuntimeError, "outer: expected two vectors", lambda x, i: x.outer(x)),
    "inner": (RuntimeError, "inner: the last sizes", lambda x, i: x.inner(x[:, :2])),
    "addmm": (RuntimeError, "addmm: input", lambda x, i: x.addmm(x, x.T)),
    "matrix_power shape": (RuntimeError, "matrix_power: expected square", lambda x, i: x.matrix_power(2)),
    "chain_matmul": (RuntimeError, "chain_matmul: expected matrices", lambda x, i: minidl.chain_matmul(x, x[0])),
    "tensordot": (RuntimeError, "tensordot: the sizes", lambda x, i: minidl.tensordot(x, x, 1)),
    "cross": (RuntimeError, "cross: dimension 0 must have size 3", lambda x, i: x.cross(x, dim=0)),
    "matrix_norm": (RuntimeError, "matrix_norm: ord must", lambda x, i: minidl.linalg.matrix_norm(x, 3)),
    "einsum count": (ValueError, "names 2 operands, 1", lambda x, i: minidl.einsum("ij,jk", x)),
    "einsum shape": (RuntimeError, "'ijk' does not fit", lambda x, i: minidl.einsum("ijk->i", x)),
    "einsum sizes": (RuntimeError, "a letter has the sizes 3 and 2", lambda x, i: minidl.einsum("ij,ji->", x, x)),
    "einsum diagonal": (RuntimeError, "einsum: ", lambda x, i: minidl.einsum("ii->i", x)),
    "einsum result": (RuntimeError, "each letter of the result", lambda x, i: minidl.einsum("ij->ik", x)),
    "einsum letter": (ValueError, "is not a letter", lambda x, i: minidl.einsum("i1->i", x)),
    "einsum lists": (NotImplementedError, "lists of numbers", lambda x, i: minidl.einsum(x, [0, 1])),
    "bits of floats": (TypeError, "bitwise_or: expected integers", lambda x, i: i([1]) | 1.5),
    "invert": (TypeError, "bitwise_not: expected integers", lambda x, i: ~x),
    "positive": (RuntimeError, "positive: bools", lambda x, i: (x > 0).positive()),
    "heaviside": (RuntimeError, "heaviside: input and values", lambda x, i: x.heaviside(i(1))),
    "result_type": (TypeError, "result_type: expected Tensors", lambda x, i: minidl.result_type(x, "a")),
    "finfo": (TypeError, "finfo: expected a floating", lambda x, i: minidl.finfo(minidl.int8)),
    "iinfo": (TypeError, "iinfo: expected an integer", lambda x, i: minidl.iinfo(minidl.float32)),
    "asarray": (ValueError, "asarray: copy=False", lambda x, i: minidl.asarray([1], copy=False)),
    "legacy": (TypeError, "FloatTensor: expected sizes", lambda x, i: minidl.FloatTensor(1.5, 2.5)),
    "lists in hstack": (TypeError, "hstack: each element must be a Tensor", lambda x, i: minidl.hstack([x, 1])),
}  # fmt: skip
DEVICE_DOES_NOT_CHECK = {"gather index", "gather negative", "scatter index", "index_select", "index_add", "take"}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arguments_are_refused_by_name(name, where):
    if where.name != "cpu" and name in DEVICE_DOES_NOT_CHECK:
        pytest.skip("reading the indices would wait for the GPU")
    kind, message, call = REFUSED[name]
    with pytest.raises(kind, match=message):
        call(where.tensor(_X), lambda values: where.tensor(np.array(values)))


# --------------------------------------------------------------------------------- what no value in a table can say
def test_results_have_names_and_can_be_pickled():
    x = minidl.tensor([[1.0, 5.0], [3.0, 2.0]])
    for found in (x.max(0), x.min(1), x.sort(), x.topk(1), x.median(0), x.kthvalue(1), x.cummax(0), x.mode(0)):
        again = pickle.loads(pickle.dumps(found))
        assert type(again) is type(found) and again._fields == ("values", "indices")
        assert again.values.tolist() == found[0].tolist() and again.indices.tolist() == found[1].tolist()
    low, high = minidl.aminmax(x)
    assert (low.item(), high.item()) == (1.0, 5.0) and minidl.aminmax(x)._fields == ("min", "max")
    text = "minidl.return_types.max(\nvalues=tensor([3., 5.]),\nindices=tensor([1, 0]))"
    assert repr(x.max(0)) == text


def test_a_diagonal_is_a_view(where):
    x = where.tensor(np.zeros((3, 3)))
    x.diagonal().fill_(2.0)
    x.diagonal(1)[0] = 5.0
    assert x.tolist() == [[2.0, 5.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
    assert minidl.diag(x)[:1].fill_(7.0).item() == 7.0 and x[0, 0].item() == 2.0


def test_an_index_that_changes_before_backward_is_noticed(where):
    x, index = where.leaf(_X, np.float64), where.tensor(np.array([0, 2]))
    for function in (lambda: x.index_select(1, index), lambda: x.index_add(1, index, x[:, :2]), lambda: x.take(index)):
        y = function()
        index.add_(0)
        with pytest.raises(RuntimeError, match="in place|in-place"):
            y.sum().backward()


def test_scatter_and_index_keep_what_they_are_given(where):
    x = where.tensor(_X)
    index = where.tensor(np.array([[0, 1, 0]]))
    for y in (x.scatter(0, index, 9.0), x.scatter_add(0, index, x), x.index_fill(0, index[0, :1], 3.0)):
        assert not (y == x).all() and x.tolist() == _X.tolist()


def test_shapes_change_in_place(where):
    x = where.tensor(_X)
    y = x.view(2, 3)
    assert y.unsqueeze_(0) is y and y.shape == (1, 2, 3) and x.shape == (2, 3)
    assert y.squeeze_(0).t_().shape == (3, 2) and y.transpose_(0, 1).tolist() == _X.tolist()
    y.fill_(1.0)
    assert x.tolist() == [[1.0] * 3] * 2
    with pytest.raises(NotImplementedError, match="t_: not supported on a tensor with a history"):
        where.leaf(_X, np.float64).t_()


def test_no_grad_around_a_generator():
    seen = []

    @minidl.no_grad()
    def numbers(n):
        """Its text."""
        for i in range(n):
            seen.append(minidl.is_grad_enabled())
            yield i
        seen.append(minidl.is_grad_enabled())

    inside = [(i, minidl.is_grad_enabled()) for i in numbers(2)]
    assert inside == [(0, True), (1, True)] and seen == [False] * 3 and numbers.__doc__ == "Its text."


def test_second_derivatives_at_zeros(where):
    """The product's second derivative is the product of all the others, also where factors are 0."""
    x = where.leaf(np.array([0.0, 2.0, 0.0, 3.0]), np.float64)
    for function in (lambda: x.prod(), lambda: x.cumprod(0)[3]):
        (g,) = minidl.grad(function(), x, create_graph=True)
        (h,) = minidl.grad(g[0], x, retain_graph=True)
        assert g.tolist() == [0.0] * 4 and h.tolist() == [0.0, 0.0, 6.0, 0.0]


def test_second_derivative_of_a_norm_at_zero(where):
    """It is 0 there: no 1 / 0, and no g either."""
    x = where.leaf(np.zeros(2), np.float64)
    for p in (1, 2, 3):
        (g,) = minidl.grad(x.norm(p), x, create_graph=True)
        (h,) = minidl.grad(g.sum() + (x * x).sum(), x)
        assert g.tolist() == h.tolist() == [0.0, 0.0]


def test_meshgrid_is_ij_without_a_warning():
    a, b = minidl.meshgrid(minidl.arange(2), minidl.arange(3))
    assert a.tolist() == [[0, 0, 0], [1, 1, 1]] and b.tolist() == [[0, 1, 2]] * 2


def test_legacy_constructors_and_asarray():
    assert minidl.FloatTensor(2, 3).shape == (2, 3) and minidl.LongTensor().shape == (0,)
    assert minidl.ByteTensor([300 - 45]).dtype == minidl.uint8
    array = np.zeros(2)
    shared, copied = minidl.asarray(array), minidl.asarray(array, copy=True)
    array[0] = 1.0
    assert shared.tolist() == [1.0, 0.0] and copied.tolist() == [0.0, 0.0]
    assert minidl.asarray([1.0], requires_grad=True).requires_grad


def test_finfo_and_iinfo_print():
    assert repr(minidl.iinfo(minidl.int8)) == "iinfo(min=-128, max=127, dtype=int8)"
    assert repr(minidl.finfo()).startswith("finfo(resolution=1e-06, min=-3.40282e+38, ")


def test_closeness_of_single_numbers(where):
    a, b = where.tensor(1.0), where.tensor(1.0 + 1e-7)
    assert minidl.allclose(a, b) and not minidl.allclose(a, b, rtol=1e-9)
    assert minidl.isclose(a, b).shape == ()


def test_integers_and_single_numbers_where_numpy_differs():
    small = minidl.tensor([1, 255, 0], dtype=minidl.uint8)
    assert small.round().dtype == minidl.uint8 and minidl.tensor([3, -1]).round().tolist() == [3, -1]
    assert minidl.trapezoid(small).item() == 255.5
    with np.errstate(invalid="ignore"):
        assert minidl.logit(minidl.tensor([2], dtype=minidl.uint8)).isnan().all()
    assert minidl.cov(minidl.tensor([1, 2, 3])).item() == 1.0
    half = minidl.tensor(0.5)
    assert minidl.signbit(-half).item() is True
    assert minidl.nonzero(half).shape == (1, 0) and minidl.nonzero(half * 0).shape == (0, 0)
    assert minidl.argwhere(half).shape == (1, 0)
    assert [i.tolist() for i in minidl.where(half)] == [[0]]


def test_functions_of_each_element_name_themselves():
    for name in ("exp", "log", "floor", "sqrt", "isnan"):
        with pytest.raises(TypeError, match=f"{name}: input must be a Tensor, got NoneType"):
            getattr(minidl, name)(None)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("name", sorted(functions.__all__))
def test_no_function_fails_for_want_of_a_tensor_without_saying_so(name):
    """None, a list or a string where a Tensor belongs: an error of Python's kinds for arguments, never an attribute."""
    function = getattr(functions, name)
    for wrong in (None, [1.0, 2.0], "text"):
        for arguments in ((wrong,), (wrong, 0), (minidl.ones(2), wrong), (wrong, wrong, wrong)):
            try:
                function(*arguments)
            except (TypeError, ValueError, RuntimeError, IndexError):
                pass
            except AttributeError as error:
                raise AssertionError(f"{name}{arguments}: {error}") from error


# ---------------------------------------------------------------------------------------- what PyTorch's users try
@pytest.mark.parametrize("dtype", "uint8 int8 int16 int32 int64 float32 float64".split())
def test_div_that_truncates_keeps_whole_numbers(where, dtype):
    a, b = np.array([7, 6, 1, 0]), np.array([2, 3, 4, 5])
    if dtype != "uint8":
        a, b = np.concatenate([a, -a, a, -a]), np.concatenate([b, b, -b, -b])
    x, y = where.tensor(a, dtype), where.tensor(b, dtype)
    expected = np.trunc(a / b)
    for z in (minidl.div(x, y, rounding_mode="trunc"), x.div(y, rounding_mode="trunc"),
              x.clone().div_(y, rounding_mode="trunc")):  # fmt: skip
        assert z.dtype == x.dtype
        np.testing.assert_array_equal(z.cpu().numpy(), expected)
    assert x.div(2, rounding_mode="trunc").dtype == x.dtype
    assert x.div(2.0, rounding_mode="trunc").dtype == (x.dtype if "float" in dtype else minidl.float32)


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_div_that_truncates_at_the_ends():
    big = minidl.tensor([2**62 + 1, -(2**62) - 1])
    assert big.div(2, rounding_mode="trunc").tolist() == [2**61, -(2**61)]  # exact, where float64 is not
    assert minidl.tensor([7.0, -7.0]).div(0, rounding_mode="trunc").tolist() == [float("inf"), -float("inf")]
    x = minidl.tensor([7.0], requires_grad=True)
    x.div(2, rounding_mode="trunc").backward()
    assert x.grad.tolist() == [0.0]


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value)")
def test_whole_numbers_are_not_divided_by_nought():
    x, zero = minidl.tensor([7, -7, 0]), minidl.tensor([1, 0, 1])
    for call in (
        lambda y: x // y,
        lambda y: x % y,
        lambda y: minidl.fmod(x, y),
        lambda y: minidl.floor_divide(x, y),
        lambda y: minidl.remainder(x, y),
        lambda y: x.div(y, rounding_mode="floor"),
        lambda y: x.div(y, rounding_mode="trunc"),
    ):
        for y, at in ((0, ""), (zero, r", at \(1,\) of the divisor"), (minidl.tensor(0), r", at \(\)")):
            with pytest.raises(RuntimeError, match="ZeroDivisionError: whole numbers were divided by 0" + at):
                call(y)
        assert np.isfinite(call(2).numpy()).all() and call(2.5) is not None and call(0.0).dtype == minidl.float32
    for call in (lambda: 7 // zero, lambda: 7 % zero, lambda: x.clone().floor_divide_(zero)):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call()
    assert (minidl.zeros(0, dtype=minidl.int64) // 0).shape == (0,)


def test_a_number_0_is_refused_on_every_device(where):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        where.tensor([7]) // 0


def test_an_index_without_dimensions(where):
    one = where.tensor(3)
    y = minidl.zeros(5).to(one.device)
    assert y.scatter(0, one, 1.0).tolist() == y.scatter_(0, one, value=1).tolist() == [0, 0, 0, 1, 0]
    assert y.scatter_add(0, one, where.tensor(2.0, "float32")).tolist() == [0, 0, 0, 3, 0]
    assert y.scatter_reduce(0, one, where.tensor(2.0, "float32"), "mean").tolist() == [0, 0, 0, 1.5, 0]
    assert y.scatter(0, one, where.tensor([2.0], "float32")).tolist() == [0, 0, 0, 2, 0]
    assert y.scatter(0, where.tensor([3]), where.tensor(2.0, "float32")).tolist() == [0, 0, 0, 2, 0]
    x = where.leaf([0.0, 1, 2, 3, 4])
    z = x.gather(0, one)
    z.backward()
    assert z.shape == () and z.item() == 3.0 and x.grad.tolist() == [0, 0, 0, 1, 0]
    s = where.leaf(5.0)
    first = where.tensor([0])
    assert s.gather(0, where.tensor([0, 0, 0])).tolist() == [5.0] * 3
    for z, value in (
        (s.scatter(0, first, 2.0), 2.0),
        (s.scatter_add(0, where.tensor(0), where.tensor(2.0)), 7.0),
        (s.scatter_add(0, where.tensor([0, 0]), where.tensor([2.0, 3.0])), 10.0),
        (s.index_add(0, first, where.tensor(1.0)), 6.0),
        (s.index_copy(0, first, where.tensor(1.0)), 1.0),
        (s.index_fill(0, first, 1.0), 1.0),
        (s.squeeze(0), 5.0),
    ):
        assert z.shape == () and z.item() == value and z.requires_grad
    for call in (lambda: x.reshape(5, 1).gather(0, one), lambda: x.reshape(5, 1).scatter(0, one, 1.0)):
        with pytest.raises(RuntimeError, match="index has 0 dimensions, input 2"):
            call()


def test_reductions_of_a_tensor_without_dimensions(where):
    for name in "max min".split():
        s = where.leaf(3.0)
        for dim, keep in ((0, False), (-1, True)):
            y = getattr(s, name)(dim, keep)
            assert y.values.shape == y.indices.shape == () and y.values.item() == 3.0 and y.indices.item() == 0
        y.values.backward()
        assert s.grad.item() == 1.0
        with pytest.raises(IndexError, match=f"{name}: dimension 1"):
            getattr(s, name)(1)
    s = where.leaf(3.0)
    for name in "sum mean amax amin prod logsumexp nansum norm".split():
        assert getattr(s, name)(dim=0).item() == 3.0 and getattr(s, name)(dim=-1, keepdim=True).shape == ()
        with pytest.raises(IndexError, match="dimension 1"):
            getattr(s, name)(dim=1)
    assert np.isnan([s.var(0).item(), s.std(0).item()]).all() and s.std(0, unbiased=False).item() == 0.0
    assert s.argmax(0).item() == 0 and s.count_nonzero(0).item() == 1 and s.all(0).item()


def test_plus_and_keywords():
    x = minidl.tensor([1.0, -2.0], requires_grad=True)
    assert (+x).tolist() == [1.0, -2.0] and (+x).requires_grad
    with pytest.raises(RuntimeError, match="positive: bools"):
        +minidl.tensor([True])
    a, v = minidl.ones(2, 2), minidl.ones(2)
    assert minidl.mm(a, mat2=a).tolist() == a.mm(mat2=a).tolist() == [[2.0, 2.0]] * 2
    assert minidl.bmm(a[None], mat2=a[None]).shape == (1, 2, 2)
    assert a.mv(vec=v).tolist() == [2.0, 2.0] and v.dot(tensor=v).item() == v.vdot(other=v).item() == 2.0
    assert minidl.swapaxes(minidl.ones(2, 3), axis0=0, axis1=1).shape == (3, 2)
    assert minidl.ones(6).view(size=(2, 3)).shape == (2, 3)
    with minidl.set_grad_enabled(mode=False):
        assert not minidl.is_grad_enabled()
    minidl.set_default_device(device="cpu")
    minidl.set_default_device(None)
    with pytest.raises(TypeError, match=r"^mm\(\) got an unexpected keyword"):
        minidl.mm(a, other=a)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: minidl.ones(2) @ minidl.ones(3), ValueError, r"matmul: cannot multiply \(2,\) by \(3,\)"),
        (lambda: minidl.ones(2, 3) @ minidl.ones(2), ValueError, r"matmul: cannot multiply \(2, 3\) by \(2,\)"),
        (lambda: minidl.ones(2).dot(minidl.ones(3)), RuntimeError, r"dot: cannot multiply \(2,\) by \(3,\)"),
        (lambda: minidl.ones(5, 2, 3) @ minidl.ones(4, 3, 2), ValueError, r"matmul: .*\(4, 3, 2\): the batches"),
        (lambda: minidl.stack([minidl.ones(2), minidl.ones(3)]), RuntimeError, r"stack: .* and \(3,\) at 1"),
        (lambda: minidl.ones(3).expand(2), RuntimeError, r"expand: a tensor of shape \(3,\) .* the shape \(2,\):"),
        (lambda: minidl.ones(3).broadcast_to((2,)), RuntimeError, r"broadcast_to: a tensor of shape \(3,\)"),
        (lambda: minidl.ones(3).view(2, -1), RuntimeError, r"view: .* 3 elements, .* the shape \(2, -1\)"),
        (lambda: minidl.ones(3).reshape(2, 2), RuntimeError, r"reshape: .* the shape \(2, 2\)"),
        (lambda: minidl.ones(0).max(), RuntimeError, r"max: the tensor of shape \(0,\) has no elements"),
        (lambda: minidl.ones(0).amin(), RuntimeError, r"amin: the tensor of shape \(0,\) has no elements"),
        (lambda: minidl.ones(0).argmax(), IndexError, r"argmax: the tensor of shape \(0,\) has no elements"),
        (lambda: minidl.ones(0, 3).min(0), IndexError, r"min: dimension 0 of the shape \(0, 3\) has no elements"),
        (lambda: minidl.ones(0, 3).amax((1, 0)), IndexError, r"amax: dimension 0"),
        (lambda: minidl.ones(2).to("gpu"), RuntimeError, r"to: expected a dtype or a device \('cpu', .* got 'gpu'"),
    ],
)
def test_messages_name_what_was_written(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_elements_along_another_dimension():
    y = minidl.ones(0, 3).max(1)
    assert y.values.shape == y.indices.shape == (0,) and minidl.ones(0, 3).amax(1).shape == (0,)
    assert minidl.ones(0, 3).argmin(1).shape == (0,)
