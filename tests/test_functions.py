"""The public face: creation, signatures as in PyTorch, methods, conversions, printing, and what its errors say."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calls import PRINTED

import minidl
from minidl import Tensor
from minidl.nn import functional as F

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
    with pytest.raises(TypeError, match="&: only bool"):
        where.tensor([1]) & where.tensor([2])
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
        (lambda: x.mm(x), r"matmul: cannot multiply \(2, 3\) by \(2, 3\)"),
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
    assert x.type(minidl.float32).dtype == minidl.float32 and x.type() == "minidl.DoubleTensor"
    assert x.type_as(where.tensor([1], np.uint8)).dtype == minidl.uint8
    with pytest.raises((TypeError, ValueError)):
        x.to("nonsense")


# ------------------------------------------------------------------------------------------------------- printing
with np.load(Path(__file__).resolve().parent / "reference" / "printed.npz") as _file:
    TEXTS = json.loads(_file["texts"].tobytes())


@pytest.mark.parametrize("name", PRINTED)
def test_printing_is_pytorchs(name):
    assert repr(minidl.Tensor(PRINTED[name])) == TEXTS[name].replace("torch.", "minidl.")


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
