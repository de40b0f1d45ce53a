"""The rest of the public face: types, dtypes without data, probes, switches, loss scaling, foreach, in-place forms."""

from __future__ import annotations

import copy
import importlib
import pickle
import warnings

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.backend import EXACT, get_backend

X = np.array([[1.0, -2.0, 0.5], [3.0, 4.0, -1.0]], np.float32)


@pytest.fixture
def no_gpu(monkeypatch):
    """As on a machine without CuPy."""

    def refuse(where=None):
        if where is not None and minidl.device(where).type != "cpu":
            raise RuntimeError(f"device '{where}': CuPy is not installed")
        return get_backend(where)

    cuda = minidl.cuda, minidl.cuda.memory, minidl.cuda.streams
    for module in (*cuda, minidl.creation, minidl.amp.autocast_mode, minidl.amp.grad_scaler):
        monkeypatch.setattr(module, "get_backend", refuse)


# ------------------------------------------------------------------------------------------------- types and dtypes
def test_a_type_makes_and_recognises_tensors(where):
    x = where.tensor(X)
    prefix = "torch." if where.name == "cpu" else "torch.cuda."
    types = minidl if where.name == "cpu" else minidl.cuda
    assert x.type() == f"{prefix}FloatTensor" and x.long().type() == f"{prefix}LongTensor"
    assert isinstance(x, types.FloatTensor) and not isinstance(x, types.LongTensor)
    assert not isinstance(3, minidl.FloatTensor) and isinstance(x, minidl.Tensor)
    assert x.type("torch.LongTensor").dtype == minidl.int64 and x.type("torch.LongTensor").is_cpu
    assert x.type(types.DoubleTensor).type() == f"{prefix}DoubleTensor" and x.type(minidl.half).dtype == minidl.half
    made = types.LongTensor([[1, 2], [3, 4]])
    assert made.tolist() == [[1, 2], [3, 4]] and made.dtype == minidl.int64 and made.device.type == where.name
    assert types.FloatTensor(2, 3).shape == (2, 3) and types.FloatTensor(x.size()).shape == (2, 3)
    assert types.FloatTensor().shape == (0,)
    with pytest.raises(ValueError, match="no type 'torch.WideTensor'"):
        x.type("torch.WideTensor")
    assert repr(minidl.FloatTensor) == "<class 'torch.FloatTensor'>"


def test_new_takes_data_sizes_and_tensors(where):
    x = where.tensor(X, np.float64)
    for made in (x.new([1, 2]), x.new(2, 3), x.new(x.size()), x.new(), x.new(where.tensor([1.0, 2.0], np.float32))):
        assert made.dtype == minidl.float64 and made.device == x.device
    assert x.new([1, 2]).tolist() == [1.0, 2.0] and x.new(x.size()).shape == (2, 3)


@pytest.mark.parametrize("name", ["bfloat16", "complex64", "complex128", "float8_e5m2", "uint16"])
def test_dtypes_without_data_compare_and_refuse(name):
    kind = getattr(minidl, name)
    assert kind == kind and kind != minidl.float32 and minidl.float32 != kind and isinstance(kind, minidl.dtype)
    assert minidl.ones(1).dtype not in {minidl.float16, kind} and kind in {kind}
    assert str(kind) == f"minidl.{name}" and kind.is_complex == name.startswith("complex")
    assert copy.deepcopy(kind) is kind and pickle.loads(pickle.dumps(kind)) is kind
    for use in (
        lambda: minidl.zeros(2, dtype=kind),
        lambda: minidl.ones(2).to(kind),
        lambda: minidl.tensor([1], dtype=kind),
        lambda: nn.Linear(2, 2).to(kind),
        lambda: minidl.set_default_dtype(kind),
    ):
        with pytest.raises(TypeError, match=f"no {name} data"):
            use()


def test_a_dtype_without_data_has_limits():
    info = minidl.finfo(minidl.bfloat16)
    assert (info.eps, info.max, info.tiny, info.bits) == (0.0078125, 3.3895313892515355e38, 2.0**-126, 16)
    assert info.min == -info.max and info.dtype == "bfloat16"
    assert minidl.finfo(minidl.complex64).eps == minidl.finfo(minidl.float32).eps
    with pytest.raises(TypeError, match="no bfloat16 data; NumPy and CuPy have none; use float32"):
        minidl.ones(1).bfloat16()


def test_default_tensor_type():
    try:
        minidl.set_default_tensor_type("torch.DoubleTensor")
        assert minidl.ones(1).dtype == minidl.float64
        minidl.set_default_tensor_type(minidl.FloatTensor)
        assert minidl.ones(1).dtype == minidl.float32
        with pytest.raises(TypeError, match="set_default_tensor_type"):
            minidl.set_default_tensor_type(3)
    finally:
        minidl.set_default_dtype(minidl.float32)


@pytest.mark.parametrize("name", ["mps", "xpu", "meta"])
def test_a_device_without_arrays_can_be_named_but_not_used(name):
    assert minidl.device(name).type == name and minidl.device(f"{name}:0").index == 0
    for use in (lambda: minidl.zeros(2, device=name), lambda: minidl.zeros(2).to(name)):
        with pytest.raises(RuntimeError, match=f"device '{name}'"):
            use()


# ------------------------------------------------------------------------------------------------------------ memory
def test_memory_formats(where):
    x = where.tensor(np.arange(24.0).reshape(1, 2, 3, 4)).requires_grad_()
    y = x.contiguous(memory_format=minidl.channels_last)
    assert y.stride() == (24, 1, 8, 2) and (y == x).all() and y.is_contiguous(memory_format=minidl.channels_last)
    assert not y.is_contiguous() and y.contiguous().is_contiguous()
    assert x.to(memory_format=minidl.channels_last).stride() == y.stride()
    assert x.clone(memory_format=minidl.channels_last).stride() == y.stride()
    assert x.contiguous(memory_format=minidl.preserve_format) is x and x.contiguous() is x
    assert minidl.zeros_like(x, memory_format=minidl.channels_last).stride() == y.stride()
    (y * y).sum().backward()
    np.testing.assert_array_equal(where.host(x.grad), 2 * where.host(x))
    with pytest.raises(RuntimeError, match="channels_last needs 4 dimensions"):
        x[0].contiguous(memory_format=minidl.channels_last)
    with pytest.raises(NotImplementedError, match="layout"):
        minidl.zeros(2, layout=minidl.sparse_coo)


def test_storages(where):
    x = where.tensor(X)
    assert x.untyped_storage().nbytes() == 24 and x[1].storage_offset() == 3 and x.t()[1:].storage_offset() == 1
    assert x.data_ptr() == x[0].data_ptr() != x[1].data_ptr()
    assert x[1].untyped_storage().data_ptr() == x.untyped_storage().data_ptr() != x.clone().untyped_storage().data_ptr()
    assert x.is_set_to(x[:]) and not x.is_set_to(x.clone())
    assert minidl.get_device(x) == x.get_device() == (-1 if where.name == "cpu" else 0)
    assert minidl.is_storage(x.untyped_storage()) and not minidl.is_storage(x)
    assert len(x.untyped_storage().tolist()) == 24


def test_resize_set_and_views(where):
    x = where.tensor(X).clone()
    assert x.clone().resize_(2).tolist() == [1.0, -2.0] and x.clone().resize_(3, 4).shape == (3, 4)
    assert x.clone().resize_(3, 4).reshape(-1)[:6].tolist() == X.reshape(-1).tolist()
    assert x.clone().resize_as_(x.t()).shape == (3, 2)
    y = where.tensor(np.zeros(2, np.float32)).set_(x)
    y[0, 0] = 9.0
    assert x[0, 0].item() == 9.0
    x.as_strided((2,), (3,)).zero_()  # nothing is recorded, so it is a view
    assert x[:, 0].tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="reaches element"):
        x.as_strided((3,), (3,), 1)
    with pytest.raises(RuntimeError, match="resize_"):
        x.requires_grad_().resize_(2)


def test_out(where):
    x, out = where.tensor(X), where.tensor(np.zeros((2, 3), np.float32))
    assert minidl.add(x, x, out=out) is out and (out == 2 * x).all()
    values, places = where.tensor(np.zeros(2, np.float32)), where.tensor(np.zeros(2, np.int64))
    minidl.max(x, 1, out=(values, places))
    assert values.tolist() == [1.0, 4.0] and places.tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="out: expected shape"):
        minidl.add(x, x, out=values)
    with pytest.raises(RuntimeError, match="out= does not support gradients"):
        minidl.add(x.clone().requires_grad_(), x, out=out)
    assert minidl.zeros(2, 3, out=out) is out and not out.any()
    with pytest.raises(TypeError, match="unexpected keyword"):
        minidl.add(x, x, outs=out)


# ---------------------------------------------------------------------------------------- in place, one or many at once
def test_functions_that_change_their_argument(where):
    for name in minidl.in_place.__all__:
        assert getattr(minidl, name).__name__ == name and hasattr(minidl.Tensor, name)
    x = where.tensor(np.abs(X)).clone()
    assert minidl.sqrt_(x) is x
    np.testing.assert_allclose(where.host(x), np.sqrt(np.abs(X)), rtol=1e-6)
    with pytest.raises(TypeError, match="sqrt_: expected a Tensor, got list"):
        minidl.sqrt_([1.0])


def test_python_functions_in_place():
    x = minidl.tensor(X)
    assert x.clone().apply_(lambda v: v * 2).equal(x * 2)
    assert x.clone().map_(x, lambda a, b: a * b).equal(x * x)
    assert x.clone().map2_(x, x[0], lambda a, b, c: a + b + c).equal(2 * x + x[0])
    with pytest.raises(TypeError, match="map_: expected 1 tensors and a function"):
        x.map_(lambda a, b: a)


def test_foreach_in_place_is_the_method_of_each(where):
    def fresh():
        return [where.tensor(X).clone(), where.tensor(np.arange(1.0, 4.0, dtype=np.float32))]

    other = [x * 0.5 + 3 for x in fresh()]
    changes = {
        "add_": ((other,), {"alpha": 2}),
        "sub_": ((other,), {}),
        "mul_": ((3.0,), {}),
        "div_": (([2.0, 4.0],), {}),
        "addcmul_": ((other, other, 0.5), {}),
        "addcdiv_": ((other, other, [0.5, 2.0]), {}),
        "lerp_": ((other, 0.25), {}),
        "copy_": ((other,), {}),
        "pow_": ((2,), {}),
        "neg_": ((), {}),
        "zero_": ((), {}),
        "clamp_min_": ((0.5,), {}),
    }
    for name, (args, more) in changes.items():
        xs, ys = fresh(), fresh()
        assert getattr(minidl, f"_foreach_{name}")(xs, *args, **more) is None
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            mine = [a[k] if isinstance(a, list) else a for a in args]
            if name.startswith("addc"):
                mine, more = mine[:2], {"value": mine[2]}
            getattr(y, name)(*mine, **more)
            np.testing.assert_array_equal(where.host(x), where.host(y), err_msg=name)
    assert [float(n) for n in minidl._foreach_max(fresh())] == [4.0, 3.0]
    np.testing.assert_allclose(where.host(minidl._foreach_pow(2.0, fresh())[1]), [2.0, 4.0, 8.0])
    with pytest.raises(RuntimeError, match="non-empty"):
        minidl._foreach_neg_([])
    with pytest.raises(RuntimeError, match="one length, got 2 and 1"):
        minidl._foreach_mul_(fresh(), [1.0])


def test_the_old_order_refuses_what_it_never_was():
    x = minidl.tensor(X)
    with pytest.raises(TypeError, match="add: expected two operands"):
        x.add(x, x)
    with pytest.raises(TypeError, match="addcmul: value must be a number"):
        x.addcmul(x, x, x)


# --------------------------------------------------------------------------------------------------- linear algebra
def test_matrices_that_have_no_inverse_or_factor():
    singular = minidl.ones(2, 2)
    assert issubclass(minidl.linalg.LinAlgError, RuntimeError)
    with pytest.raises(minidl.linalg.LinAlgError, match="inverse"):
        minidl.inverse(singular)
    with pytest.raises(minidl.linalg.LinAlgError, match="solve"):
        minidl.linalg.solve(singular, singular)
    with pytest.raises(minidl.linalg.LinAlgError, match="cholesky"):
        minidl.linalg.cholesky(-minidl.eye(2))
    assert minidl.det(singular).item() == 0.0 and minidl.linalg.matrix_rank(singular).item() == 1
    assert minidl.logdet(-minidl.eye(3)).isnan()
    for wrong in (minidl.ones(2, 3), minidl.ones(3), minidl.ones(2, 2, dtype=minidl.int64)):
        with pytest.raises(RuntimeError, match="det: expected"):
            minidl.det(wrong)
    with pytest.raises(RuntimeError, match="same rows"):
        minidl.linalg.solve(minidl.eye(2), minidl.ones(3, 1))
    for unsupported in (
        lambda: minidl.linalg.svd(minidl.ones(3, 2)),
        lambda: minidl.linalg.qr(minidl.ones(3, 2), "complete"),
        lambda: minidl.linalg.pinv(minidl.ones(3, 2), atol=0.1),
    ):
        with pytest.raises(NotImplementedError):
            unsupported()


def test_matrices_without_an_inverse_or_factor_are_counted(where):
    """The numbers are PyTorch's; where it leaves infinities or part of a factor there is nan."""
    a = where.tensor([[[1.0, 2.0], [2.0, 4.0]], [[2.0, 0.0], [0.0, 1.0]]])
    b = where.tensor([[1.0, 1.0], [1.0, 1.0]])
    for name, arguments, first in (
        ("inv_ex", (a,), [[0.5, 0.0], [0.0, 1.0]]),
        ("cholesky_ex", (a,), [[2**0.5, 0.0], [0.0, 1.0]]),
        ("solve_ex", (a, b), [0.5, 1.0]),
        ("solve_ex", (a, b.unsqueeze(-1)), [[0.5], [1.0]]),
    ):
        function = getattr(minidl.linalg, name)
        result, info = function(*arguments)
        assert info.tolist() == [2, 0] and info.dtype == minidl.int32
        assert result[0].isnan().all() and result.shape == arguments[-1].shape
        np.testing.assert_allclose(where.host(result[1]), first)
        with pytest.raises(minidl.linalg.LinAlgError, match=f"^{name[:-3]}: (?!{name[:-3]})|^inverse: (?!inv)"):
            function(*arguments, check_errors=True)
    indefinite = where.tensor([[1.0, 2.0], [2.0, 1.0]])
    assert minidl.linalg.cholesky_ex(indefinite, upper=True).info.item() == 2
    assert minidl.linalg.cholesky_ex(-indefinite).info.item() == 1
    assert minidl.linalg.inv_ex(where.tensor(np.zeros((3, 3)))).info.item() == 1
    right = minidl.linalg.solve_ex(a[1], b * 3, left=False)
    assert right.result.tolist() == [[1.5, 3.0], [1.5, 3.0]] and right.info.item() == 0
    assert minidl.linalg.solve_ex(a[1], b[0]).result.tolist() == [0.5, 1.0]


def test_the_rank_of_a_symmetric_matrix_reads_half_of_it(where):
    a = where.tensor([[1.0, 9.0], [2.0, 4.0]])  # [[1, 2], [2, 4]]
    assert minidl.linalg.matrix_rank(a, hermitian=True).item() == 1 and minidl.linalg.matrix_rank(a).item() == 2
    assert minidl.linalg.matrix_rank(where.tensor([[0.0, 1.0], [1.0, 0.0]]), hermitian=True).item() == 2


def test_options_that_are_checked():
    x = minidl.ones(2, 3)
    with pytest.raises(ValueError, match="cdist: compute_mode must be one of .*'bogus'"):
        minidl.cdist(x, x, compute_mode="bogus")
    assert minidl.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").shape == (2, 2)
    for call in (x.contiguous, x.is_contiguous, x.clone, lambda memory_format: x.clone().resize_(1, memory_format=5)):
        with pytest.raises(TypeError, match="memory_format must be one such as minidl.channels_last, got 5"):
            call(memory_format=5)
    y = minidl.zeros(0).resize_(2, 3, 4, 5, memory_format=minidl.channels_last)
    assert y.shape == (2, 3, 4, 5) and y.stride() == (60, 1, 15, 3)
    assert minidl.zeros(0).resize_as_(y, memory_format=minidl.channels_last).stride() == (60, 1, 15, 3)
    with pytest.raises(RuntimeError, match="resize_: minidl.channels_last needs 4 dimensions"):
        minidl.zeros(0).resize_(2, 3, memory_format=minidl.channels_last)
    with pytest.raises(RuntimeError, match="resize_: memory_format must not be preserve_format"):
        minidl.zeros(0).resize_(2, memory_format=minidl.preserve_format)


def test_the_group_of_one_checks_its_arguments():
    d = minidl.distributed
    d.init_process_group("gloo", rank=0, world_size=1)
    try:
        x, y = minidl.arange(3.0), minidl.zeros(3)
        d.all_to_all_single(y, x, [3], [3])
        assert y.tolist() == [0.0, 1.0, 2.0]
        with pytest.raises(ValueError, match=r"all_to_all_single: input_split_sizes must be \[3\], got \[1, 2\]"):
            d.all_to_all_single(y, x, [3], [1, 2])
        with pytest.raises(TypeError, match="unexpected keyword"):
            d.new_group([0], rank=[0])
        assert d.new_group([0], group_desc="mine", use_local_synchronization=True).size() == 1
    finally:
        d.destroy_process_group()


def test_least_squares():
    a, b = minidl.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), minidl.tensor([1.0, 3.0, 5.5])
    found = minidl.linalg.lstsq(a, b.unsqueeze(1))
    expected, residual, *_ = np.linalg.lstsq(a.numpy(), b.numpy(), rcond=None)
    np.testing.assert_allclose(found.solution.numpy()[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(found.residuals.numpy(), residual, rtol=1e-3)
    assert found.rank.item() == 2


# ---------------------------------------------------------------------------------------------- probes and switches
def test_probes_without_an_accelerator():
    assert not minidl.backends.mps.is_available() and not minidl.mps.is_available() and not minidl.xpu.is_available()
    assert minidl.distributed.is_available() is minidl.distributed.is_initialized() is False
    with pytest.raises(ValueError, match="process group has not been initialized"):
        minidl.distributed.get_rank()
    assert minidl.version.cuda is None and minidl.cpu.device_count() == 1
    assert minidl.backends.cudnn.is_available() is (minidl.backends.cudnn.version() is not None)
    assert isinstance(minidl.backends.mkl.is_available(), bool) and isinstance(
        minidl.backends.openmp.is_available(), bool
    )
    assert minidl.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2", "DEFAULT")
    assert minidl.newaxis is None


def test_cuda_without_a_gpu(no_gpu):
    cuda, accelerator = minidl.cuda, minidl.accelerator
    cuda.reset_peak_memory_stats()  # of what other tests did
    assert cuda.device_count() == 0 == cuda.memory_allocated() == cuda.max_memory_allocated() == cuda.memory_reserved()
    assert cuda.get_rng_state_all() == [] and not cuda.is_bf16_supported() and not cuda.is_initialized()
    cuda.empty_cache(), cuda.manual_seed_all(0), cuda.reset_peak_memory_stats(), cuda.set_device(-1)
    with cuda.device(-1), cuda.device(None):
        pass
    for raising in (cuda.current_device, cuda.synchronize, cuda.get_device_name, cuda.init, cuda.mem_get_info):
        with pytest.raises(RuntimeError, match="device 'cuda'"):
            raising()
    with pytest.raises(RuntimeError, match="device 'cuda'"):
        cuda.FloatTensor([1.0])
    assert not accelerator.is_available() and accelerator.current_accelerator() is None
    assert accelerator.device_count() == 0
    for raising in (accelerator.synchronize, accelerator.empty_cache, accelerator.current_device_index):
        with pytest.raises(RuntimeError, match="there is no accelerator"):
            raising()


def test_cuda_with_a_gpu(where):
    if where.name != "cuda":
        return
    assert minidl.accelerator.current_accelerator() == minidl.device("cuda") and minidl.cuda.device_count() > 0
    assert minidl.cuda.current_device() == 0 == minidl.accelerator.current_device_index()
    with minidl.cuda.device(0):
        minidl.cuda.synchronize()
    minidl.cuda.empty_cache()
    assert minidl.cuda.max_memory_allocated() >= minidl.cuda.memory_allocated() >= 0


def test_switches_keep_what_they_are_set_to():
    assert minidl.get_float32_matmul_precision() == "highest"
    try:
        minidl.set_float32_matmul_precision("high")
        assert minidl.get_float32_matmul_precision() == "high"
        minidl.use_deterministic_algorithms(True, warn_only=True)
        assert minidl.are_deterministic_algorithms_enabled() and minidl.get_deterministic_debug_mode() == 1
        minidl.set_deterministic_debug_mode("error")
        assert not minidl.is_deterministic_algorithms_warn_only_enabled() and minidl.get_deterministic_debug_mode() == 2
        minidl.set_warn_always(True)
        minidl.set_num_interop_threads(3)
        assert minidl.is_warn_always_enabled() and minidl.get_num_interop_threads() == 3
    finally:
        minidl.set_float32_matmul_precision("highest")
        minidl.use_deterministic_algorithms(False)
        minidl.set_warn_always(False)
        minidl.set_num_interop_threads(1)
    with pytest.raises(RuntimeError, match="highest, high or medium"):
        minidl.set_float32_matmul_precision("low")
    assert minidl.set_flush_denormal(True) is False
    with minidl.backends.cudnn.flags(enabled=False, benchmark=True):
        assert minidl.backends.cudnn.benchmark and not minidl.backends.cudnn.enabled
    assert minidl.backends.cudnn.enabled and not minidl.backends.cudnn.benchmark
    with minidl.backends.cuda.sdp_kernel(enable_flash=False):
        assert not minidl.backends.cuda.flash_sdp_enabled() and minidl.backends.cuda.math_sdp_enabled()
    assert minidl.backends.cuda.flash_sdp_enabled() and not minidl.backends.cuda.matmul.allow_tf32
    with minidl.backends.mkldnn.flags(enabled=False):
        assert not minidl.backends.mkldnn.enabled
    assert minidl.backends.mkldnn.enabled
    kernels = nn.attention.SDPBackend
    with nn.attention.sdpa_kernel([kernels.MATH, kernels.EFFICIENT_ATTENTION]):
        cuda = minidl.backends.cuda
        assert cuda.math_sdp_enabled() and cuda.mem_efficient_sdp_enabled()
        assert not cuda.flash_sdp_enabled() and not cuda.cudnn_sdp_enabled()
    assert cuda.flash_sdp_enabled() and cuda.cudnn_sdp_enabled()
    cuda.enable_cudnn_sdp(False)
    assert not cuda.cudnn_sdp_enabled()
    cuda.enable_cudnn_sdp(True)
    with pytest.raises(AttributeError, match="no switch 'allow_tf23'; there are allow_tf32"):
        cuda.matmul.allow_tf23 = True


def test_one_switch_allows_tf32():
    """PyTorch's three names for it; what the backend reads is `EXACT`."""
    cuda, cudnn = minidl.backends.cuda, minidl.backends.cudnn
    off = (False, False, False, "highest")

    def seen():
        precision = minidl.get_float32_matmul_precision()
        return EXACT["tf32"], cuda.matmul.allow_tf32, cudnn.allow_tf32, precision

    assert seen() == off
    try:
        cudnn.allow_tf32 = True
        assert seen() == (True, True, True, "high")
        cuda.matmul.allow_tf32 = False
        assert seen() == off
        minidl.set_float32_matmul_precision("medium")
        assert seen() == (True, True, True, "medium")
        minidl.set_float32_matmul_precision("highest")
        assert seen() == off
        with cudnn.flags(allow_tf32=True):
            assert seen() == (True, True, True, "high")
            with cudnn.flags(benchmark=True):
                assert cuda.matmul.allow_tf32 and cudnn.benchmark
        assert seen() == off
        for switches in (cudnn, cuda.matmul):
            with pytest.raises(TypeError, match="allow_tf32: expected True or False, got 'yes'"):
                switches.allow_tf32 = "yes"
    finally:
        EXACT["tf32"] = False


def test_sums_at_repeated_indices_in_one_order(where):
    """On a GPU atomics add in any order; asked to be deterministic, minidl adds in the order of the indices."""
    x, at = where.leaf(np.arange(5.0)), where.tensor(np.array([4, 0, 4, 4, 0]))
    g, y = where.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), where.tensor(np.zeros((2, 3)))
    minidl.use_deterministic_algorithms(True)
    try:
        (x[at] * g).sum().backward()
        rows = y.scatter_add(1, where.tensor(np.array([[2, 2], [0, 1]])), where.tensor([[1.0, 2.0], [3.0, 4.0]]))
    finally:
        minidl.use_deterministic_algorithms(False)
    assert x.grad.tolist() == [7.0, 0.0, 0.0, 0.0, 8.0]
    assert rows.tolist() == [[0.0, 0.0, 3.0], [3.0, 4.0, 0.0]]


def test_threads():
    before = minidl.get_num_threads()
    try:
        minidl.set_num_threads(1)
        assert minidl.get_num_threads() == 1
    finally:
        minidl.set_num_threads(before)
    with pytest.raises(RuntimeError, match="at least 1"):
        minidl.set_num_threads(0)


def test_compile_and_jit_leave_programs_as_they_are():
    def double(x):
        return 2 * x

    layer = nn.Linear(2, 2)
    assert minidl.compile(double) is double and minidl.compile(layer, mode="max-autotune") is layer
    assert minidl.compile(fullgraph=True)(double) is double and not minidl.compiler.is_compiling()
    assert minidl.compiler.disable(double) is double and minidl.compiler.disable(recursive=False)(double) is double
    jit = minidl.jit
    assert jit.script(double) is double and jit.trace(layer, minidl.ones(1, 2)) is layer and not jit.is_scripting()
    assert jit.ignore(double) is double and jit.ignore(drop=True)(double) is double and jit.export(double) is double
    assert jit.freeze(layer.eval()) is layer
    with pytest.raises(RuntimeError, match="eval mode"):
        jit.freeze(layer.train())
    with pytest.raises(TypeError, match="compile"):
        minidl.compile(3)
    with pytest.raises(RuntimeError, match="compile: backend must be a function or one of inductor, .*'nope'"):
        minidl.compile(double, backend="nope")
    with pytest.raises(RuntimeError, match="compile: mode must be one of default, .*'zzz'"):
        minidl.compile(mode="zzz")
    with pytest.raises(RuntimeError, match="either mode or options"):
        minidl.compile(double, mode="default", options={})
    assert minidl.compile(double, backend=lambda graph, inputs: graph) is double
    for wrong in (lambda: jit.script(5), lambda: jit.trace(5, 1), lambda: jit.trace(double, 1, chek_trace=False)):
        with pytest.raises(TypeError, match="script: expected|trace: expected|unexpected keyword argument"):
            wrong()
    with pytest.raises(TypeError, match="ignore: .*'drop_no_export'"):
        jit.ignore(drop_no_export=True)


@pytest.mark.parametrize(
    "path",
    "amp amp.autocast_mode amp.grad_scaler cuda.amp cuda.amp.autocast_mode cuda.amp.grad_scaler backends.cudnn "
    "backends.cuda accelerator distributed jit compiler special version mps xpu cpu random linalg".split(),
)
def test_modules_of_pytorchs_paths(path):
    module = importlib.import_module(f"minidl.{path}")
    assert all(hasattr(module, name) for name in getattr(module, "__all__", ()))


# --------------------------------------------------------------------------------------------------- random numbers
def test_the_state_of_the_default_generator():
    minidl.manual_seed(3)
    minidl.rand(2)
    state, generator = minidl.get_rng_state(), minidl.default_generator()
    assert state.dtype == minidl.uint8 and minidl.initial_seed() == 3
    expected = minidl.rand(3)
    minidl.set_rng_state(state.clone())
    assert minidl.rand(3).equal(expected)
    minidl.set_rng_state(state)
    with minidl.random.fork_rng():
        minidl.rand(100)
    assert minidl.rand(3).equal(expected)
    copied = generator.clone_state()
    assert copied.get_state() == generator.get_state() and copied is not generator
    assert minidl.Generator(device="cpu").device == minidl.device("cpu")
    assert minidl.Generator("cuda").device.type == "cuda"  # as in PyTorch it is only told; the numbers are the same
    assert minidl.seed() == minidl.initial_seed()
    minidl.manual_seed(0)


# --------------------------------------------------------------------------------------------------- mixed precision
def test_autocast_can_be_switched_off(no_gpu):
    x = minidl.ones(2)
    with (
        minidl.autocast("cuda", enabled=False),
        minidl.autocast(device_type="cpu", dtype=minidl.bfloat16, enabled=False),
    ):
        assert (x * 2).dtype == minidl.float32
    with minidl.cuda.amp.autocast(enabled=False):
        pass

    @minidl.amp.autocast("cpu", enabled=False)
    def double(x):
        return 2 * x

    assert double(x).equal(2 * x) and not minidl.is_autocast_enabled() and not minidl.is_autocast_enabled("cpu")
    assert minidl.get_autocast_dtype("cpu") == minidl.bfloat16 and minidl.get_autocast_gpu_dtype() == minidl.float16
    assert minidl.get_autocast_cpu_dtype() == minidl.bfloat16 and minidl.amp.is_autocast_available("cpu")
    with pytest.warns(UserWarning, match=r"on the CPU bfloat16 is not supported .* pass dtype=minidl.float16"):
        minidl.autocast("cpu")
    with pytest.warns(UserWarning, match="autocast is switched off: on the CPU it knows float16"):
        minidl.autocast("cpu", dtype=minidl.float32)
    with pytest.warns(UserWarning, match="autocast is switched off: device 'cuda'"):
        minidl.autocast("cuda")
    with pytest.raises(RuntimeError, match="expected one of"):
        minidl.autocast("tpu")


def scaled_step(scaler, optimizer, w, spoil=None):
    optimizer.zero_grad()
    scaler.scale((w * w).sum()).backward()
    if spoil is not None:
        with minidl.no_grad():
            w.grad[0] = spoil
    scaler.step(optimizer)
    scaler.update()


def test_a_scaler_scales_steps_and_backs_off(where):
    w = nn.Parameter(where.tensor(np.array([1.0, -2.0])))
    optimizer = optim.SGD([w], lr=0.25)
    scaler = minidl.amp.GradScaler(where.name, init_scale=8.0, growth_interval=2)
    scaled_step(scaler, optimizer, w)
    np.testing.assert_allclose(where.host(w.detach()), [0.5, -1.0])
    np.testing.assert_allclose(where.host(w.grad), [2.0, -4.0])
    assert scaler.get_scale() == 8.0 and scaler.state_dict()["_growth_tracker"] == 1
    for spoil in (np.inf, np.nan):
        before = where.host(w.detach()).copy()
        scaled_step(scaler, optimizer, w, spoil)
        np.testing.assert_array_equal(where.host(w.detach()), before)
    assert scaler.get_scale() == 2.0 and scaler.state_dict()["_growth_tracker"] == 0
    for _ in range(2):
        scaled_step(scaler, optimizer, w)
    assert scaler.get_scale() == 4.0
    other = minidl.amp.GradScaler(where.name)
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    scaler.update(16.0) if scaler._found else None
    assert scaler.scale([w.detach(), (w.detach(),)])[1][0].equal(w.detach() * 4.0)


def test_a_scaler_and_clipping(where):
    w = nn.Parameter(where.tensor(np.array([3.0, 4.0])))
    optimizer, scaler = optim.SGD([w], lr=1.0), minidl.amp.GradScaler(where.name, init_scale=1024.0)
    scaler.scale((w * w).sum() / 2).backward()
    scaler.unscale_(optimizer)
    assert abs(float(nn.utils.clip_grad_norm_([w], 1.0)) - 5.0) < 1e-6
    scaler.step(optimizer)
    np.testing.assert_allclose(where.host(w.detach()), [2.4, 3.2], rtol=1e-5)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(optimizer)
    scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, closure=lambda: 0)


def test_a_scaler_and_half_precision(where):
    """As in PyTorch: the scale is float32, and gradients in float16 are not unscaled."""
    loss = where.leaf(1.0, np.float16)
    scaler = minidl.amp.GradScaler(where.name)
    scaled = scaler.scale(loss)
    assert scaled.dtype == minidl.float32 and scaled.item() == 65536.0
    small = scaler.scale(where.leaf([2.0**-9], np.float16))  # as any float16 times a 0-d float32
    assert small.dtype == minidl.float16 and small.tolist() == [128.0]
    assert scaler.scale(where.leaf([1.0], np.float64)).dtype == minidl.float64
    w = nn.Parameter(where.tensor([1.0], np.float16))
    optimizer, scaler = optim.SGD([w], lr=1.0), minidl.amp.GradScaler(where.name, init_scale=4.0)
    scaler.scale((w * w).sum()).backward()
    for unscale in (scaler.unscale_, scaler.step):
        with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
            unscale(optimizer)
    assert w.grad.item() == 8.0 and w.item() == 1.0


def test_a_scaler_that_is_off_passes_through(no_gpu):
    w = nn.Parameter(minidl.tensor([1.0]))
    optimizer = optim.SGD([w], lr=0.5)
    scaler = minidl.cuda.amp.GradScaler(enabled=False)
    loss = (w * w).sum()
    assert scaler.scale(loss) is loss and scaler.state_dict() == {} and scaler.get_scale() == 1.0
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.item() == 0.0 and not scaler.is_enabled()
    with pytest.warns(UserWarning, match="GradScaler is switched off"):
        assert not minidl.amp.GradScaler().is_enabled()
    with pytest.raises(ValueError, match="growth_factor > 1"):
        minidl.amp.GradScaler("cpu", growth_factor=0.5)
    with pytest.raises(AssertionError, match="No inf checks"):
        minidl.amp.GradScaler("cpu").update()
    on = minidl.amp.GradScaler("cpu")
    on.scale(loss)
    with pytest.raises(AssertionError, match="No inf checks"):
        on.step(optim.SGD([nn.Parameter(minidl.ones(1))], lr=1.0))
    with pytest.raises(RuntimeError, match="state is empty"):
        on.load_state_dict({})


# ---------------------------------------------------------------------------------------- layers' functions at the top
def test_functions_of_layers_at_the_top():
    x, w = minidl.randn(2, 4, 6), minidl.randn(3, 4, 2)
    F = nn.functional
    for name in minidl.nn.toplevel.__all__:
        assert hasattr(minidl, name)
    assert minidl.conv1d(x, w).equal(F.conv1d(x, w)) and minidl.max_pool1d(x, 2).equal(F.max_pool1d(x, 2))
    weight, index = minidl.randn(5, 3), minidl.tensor([0, 4])
    assert minidl.embedding(weight, index).equal(weight[index])
    scale, shift, mean, var = minidl.rand(4), minidl.rand(4), minidl.zeros(4), minidl.ones(4)
    expected = F.batch_norm(x, mean, var, scale, shift, False, 0.1, 1e-5)
    assert minidl.batch_norm(x, scale, shift, mean, var, False, 0.1, 1e-5, True).equal(expected)
    expected = F.instance_norm(x, None, None, scale, shift)
    assert minidl.instance_norm(x, scale, shift, None, None, True, 0.1, 1e-5, True).equal(expected)
    assert minidl.layer_norm(x, [6]).equal(F.layer_norm(x, (6,))) and minidl.group_norm(x, 2).equal(F.group_norm(x, 2))
    assert minidl.dropout(x, 0.5, False).equal(x) and not minidl.dropout(x, 1.0, True).any()
    assert minidl.alpha_dropout(x, 0.5, False).equal(x)
    y = x.clone()
    assert minidl.relu_(y) is y and y.equal(F.relu(x)) and minidl.selu_(x.clone()).equal(F.selu(x))
    assert minidl.celu_(x.clone()).equal(F.celu(x)) and minidl.dropout_(x.clone(), 0.0, True).equal(x)


def test_nothing_of_this_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(minidl.version)
        minidl.lgamma(minidl.tensor([0.0, -1.0])), minidl.digamma(minidl.tensor([0.0])), minidl.ones(2).erfinv()


# ------------------------------------------------------------------------------------------- mistakes, sizes, numbers
MISTAKES = {
    "add": lambda x: x + minidl.ones(4, device=x.device),
    "matmul": lambda x: x @ x,
    "view": lambda x: x.view(7),
    "reshape": lambda x: x.reshape(4),
    "cat": lambda x: minidl.cat([x, x[:, :2]]),
    "stack": lambda x: minidl.stack([x, x[0]]),
    "expand": lambda x: x.expand(3, 3),
    "split": lambda x: x.split(0),
    "repeat": lambda x: x.repeat(2),
    "item": lambda x: x.item(),
    "zeros": lambda x: minidl.zeros(-1),
    "arange": lambda x: minidl.arange(0, 5, 0),
    "device": lambda x: minidl.device("abacus"),
    "linear": lambda x: nn.functional.linear(x, minidl.ones(4, 5, device=x.device)),
    "float": lambda x: float(x),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_raise_what_pytorch_raises(name, where):
    with pytest.raises(RuntimeError):
        MISTAKES[name](where.tensor(X))


def test_parts_and_sums_of_sizes_are_sizes():
    size = minidl.ones(2, 3, 4).shape
    assert size[1:] == (3, 4) and size[:-1].numel() == 6 and (size + (5,)).numel() == 120 and size[0] == 2
    assert isinstance(size[:0], minidl.Size) and isinstance(size + [1], minidl.Size)
    with pytest.raises(ValueError, match="no single value"):
        int(minidl.ones(2))
