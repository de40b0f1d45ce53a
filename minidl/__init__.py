"""minidl: a deep-learning framework small enough to read and good enough to train with, under PyTorch's names."""

import importlib as _importlib
import typing as _typing
import warnings as _warnings
from math import e, inf, nan, pi

from . import (
    _blas,
    accelerator,
    amp,
    autograd,
    backend,
    backends,
    compat,
    compiler,
    cpu,
    cuda,
    data,
    distributed,
    func,
    jit,
    linalg,
    methods,
    mps,
    nn,
    ops,
    optim,
    random,
    special,
    utils,
    version,
    xpu,
)
from .amp import GradScaler, autocast
from .amp.autocast_mode import (
    clear_autocast_cache,
    get_autocast_cpu_dtype,
    get_autocast_dtype,
    get_autocast_gpu_dtype,
    is_autocast_cache_enabled,
    is_autocast_cpu_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)
from .autograd import grad
from .backend import default_device as get_default_device
from .backend import device, set_default_device
from .backend.dtypes import (
    bfloat16,
    cdouble,
    cfloat,
    chalf,
    complex32,
    complex64,
    complex128,
    double,
    dtype,
    float8_e4m3fn,
    float8_e5m2,
    float16,
    float32,
    float64,
    half,
    int8,
    int16,
    int32,
    int64,
    long,
    short,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .backend.dtypes import bool_ as bool
from .backend.dtypes import float_ as float
from .backend.dtypes import int_ as int
from .backend.layouts import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    sparse_coo,
    strided,
)
from .backend.memory import OutOfMemoryError
from .backend.random import Generator, default_generator, manual_seed
from .captured import compile_step
from .compiler import compile
from .foreach import *
from .func import vmap
from .functions import *
from .in_place import *
from .modes import (
    detect_anomaly,
    enable_grad,
    get_default_dtype,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_default_dtype,
    set_grad_enabled,
)
from .nn.toplevel import *
from .random import get_rng_state, initial_seed, seed, set_rng_state
from .serialization import load, save
from .settings import *
from .storage import *
from .tensor import Parameter, Size, Tensor

newaxis = None
__version__ = "0.1.0"

_LATER = ("distributions", "export", "hub", "onnx", "report", "testing", "train")  # loaded when first used


if _typing.TYPE_CHECKING:
    from . import distributions, export, hub, onnx, report, testing, train
else:  # of a module with __getattr__ a type checker believes that it has every name

    def __getattr__(name: str):
        if name in _LATER:
            module = _importlib.import_module(f".{name}", __name__)
            compat.explain_missing(module)
            return module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


# log(0) is -inf and inf - inf nan in silence, as in PyTorch; `detect_anomaly` finds where. Other code still warns.
_warnings.filterwarnings(
    "ignore", r"(divide by zero|overflow|underflow|invalid value) encountered", RuntimeWarning, r"minidl\."
)

compat.explain_everywhere()
