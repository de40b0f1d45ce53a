"""minidl: a deep-learning framework small enough to read and good enough to train with, under PyTorch's names."""

import warnings as _warnings
from math import e, inf, nan, pi

from . import autograd, backend, cuda, data, linalg, methods, nn, ops, optim, utils
from .autograd import grad
from .backend import default_device as get_default_device
from .backend import device, set_default_device
from .backend.dtypes import bool_ as bool
from .backend.dtypes import (
    double,
    dtype,
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
)
from .backend.dtypes import float_ as float
from .backend.dtypes import int_ as int
from .backend.random import Generator, default_generator, manual_seed
from .functions import *
from .modes import (
    detect_anomaly,
    enable_grad,
    get_default_dtype,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_default_dtype,
    set_grad_enabled,
)
from .serialization import load, save
from .tensor import Parameter, Size, Tensor

__version__ = "0.1.0"

# log(0) is -inf and inf - inf nan in silence, as in PyTorch; `detect_anomaly` finds where. Other code still warns.
_warnings.filterwarnings(
    "ignore", r"(divide by zero|overflow|underflow|invalid value) encountered", RuntimeWarning, r"minidl\."
)
