"""PyTorch's `nn.init`: fill a Tensor in place with constants or random numbers, the latter drawn on the host."""

from __future__ import annotations

import functools
import math
import warnings
from statistics import NormalDist

import numpy as np

from ..backend import backend_of
from ..backend.random import Generator, default_generator
from ..tensor import Tensor
from .checks import a_tensor, floating, number

__all__ = """
    calculate_gain uniform_ normal_ trunc_normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_
    kaiming_uniform_ kaiming_normal_ orthogonal_ sparse_
    uniform normal constant eye dirac xavier_uniform xavier_normal kaiming_uniform kaiming_normal orthogonal sparse
""".split()


def _write(tensor: Tensor, array: np.ndarray) -> Tensor:
    """Overwrite a Tensor, also a Parameter, with a host array."""
    tensor.write(backend_of(tensor.array).from_host(array.astype(tensor.array.dtype, copy=False), tensor.device))
    return tensor


def _generator(generator: Generator | None, where: str) -> Generator:
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"{where}: generator must be a Generator or None, got {type(generator).__name__}")
    return default_generator() if generator is None else generator


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which an activation's weights are scaled up to keep the variance.

    1 for linear, conv and sigmoid, 5/3 for tanh, sqrt 2 for relu, sqrt(2 / (1 + slope^2)) for leaky_relu, 3/4 for selu.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity in ("linear", "sigmoid") or nonlinearity in [
        f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)
    ]:
        return 1
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"calculate_gain: negative slope {param!r} is not a number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}")
    return gains[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers uniform in [a, b)."""
    floating(tensor, "uniform_", "tensor")
    if not number(a, "a", "uniform_") <= number(b, "b", "uniform_"):
        raise ValueError(f"uniform_: a must be at most b, got a={a}, b={b}")
    u = _generator(generator, "uniform_").uniform(tensor.array.shape, tensor.array.dtype)
    return _write(tensor, u * (b - a) + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers."""
    floating(tensor, "normal_", "tensor")
    mean = number(mean, "mean", "normal_")
    if not number(std, "std", "normal_") >= 0:
        raise ValueError(f"normal_: std must not be negative, got {std}")
    x = _generator(generator, "normal_").normal(tensor.array.shape, tensor.array.dtype)
    return _write(tensor, x * std + mean)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers given that they lie in [a, b] (values, not multiples of std); exact however far that is."""
    where = "trunc_normal_"
    floating(tensor, where, "tensor")
    mean, std, a, b = (number(v, n, where) for n, v in (("mean", mean), ("std", std), ("a", a), ("b", b)))
    if not (std > 0 and a < b):
        raise ValueError(f"{where}: expected std > 0 and a < b, got std={std}, a={a}, b={b}")
    generator, n = _generator(generator, where), tensor.array.size
    # to the right of the mean probabilities are close to 1, where they are not exact: then the mirror image is drawn
    sign = -1.0 if a > mean else 1.0
    mean, a, b = (mean, a, b) if sign > 0 else (-mean, -b, -a)
    low, high = (0.5 * math.erfc((mean - v) / (std * math.sqrt(2.0))) for v in (a, b))
    if high - low > 0.2:  # drawing again what falls outside is quick
        x = generator.normal((n,), "float64") * std + mean
        while (outside := np.flatnonzero((x < a) | (x > b))).size:
            x[outside] = generator.normal(outside.shape, "float64") * std + mean
    else:
        u = np.clip(low + (high - low) * generator.uniform((n,), "float64"), 1e-300, 1 - 1e-16)
        law = NormalDist(mean, std)
        x = np.clip(np.array([law.inv_cdf(v) for v in u.tolist()]), a, b)
    return _write(tensor, (sign * x).reshape(tensor.array.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    a_tensor(tensor, "constant_", "tensor").write(number(val, "val", "constant_"))
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if a_tensor(tensor, "eye_", "tensor").array.ndim != 2:
        raise ValueError(f"eye_: expected 2 dimensions, got {tuple(tensor.shape)}")
    return _write(tensor, np.eye(*tensor.array.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight (F, C, ...) that copies its input channels to its output channels, in each group."""
    shape = a_tensor(tensor, "dirac_", "tensor").array.shape
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"dirac_: expected 3, 4 or 5 dimensions, got {tuple(shape)}")
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"dirac_: {shape[0]} output channels cannot be divided into {groups} groups")
    y, per_group, middle = np.zeros(shape), shape[0] // groups, tuple(n // 2 for n in shape[2:])
    for g in range(groups):
        for d in range(min(per_group, shape[1])):
            y[(g * per_group + d, d, *middle)] = 1
    return _write(tensor, y)


def _fans(tensor: Tensor, where: str) -> tuple[int, int]:
    """How many inputs each output of a weight (out, in, ...) has, and how many outputs each input."""
    shape = a_tensor(tensor, where, "tensor").array.shape
    if len(shape) < 2:
        raise ValueError(f"{where}: fan in and fan out need at least 2 dimensions, got {tuple(shape)}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """PyTorch's name for `_fans`, which models that fill their own weights use."""
    return _fans(tensor, "_calculate_fan_in_and_fan_out")


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in +-gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor, "xavier_normal_"))), generator)


def _kaiming_std(tensor, a, mode, nonlinearity, where) -> float:
    mode = mode.lower() if isinstance(mode, str) else mode
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{where}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor, where)[mode == "fan_out"]
    if tensor.array.size == 0:
        warnings.warn(f"{where}: {tuple(tensor.shape)} has no elements to fill", UserWarning, stacklevel=3)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform in +-gain sqrt(3 / fan) (He et al., 2015); a: the slope of leaky_relu."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan) (He et al., 2015); a: the slope of leaky_relu."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Orthonormal rows or columns (of the tensor as a matrix (shape[0], rest)), times gain (Saxe et al., 2013)."""
    shape = floating(tensor, "orthogonal_", "tensor").array.shape
    if len(shape) < 2:
        raise ValueError(f"orthogonal_: expected at least 2 dimensions, got {tuple(shape)}")
    if tensor.array.size == 0:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    flat = _generator(generator, "orthogonal_").normal((max(rows, columns), min(rows, columns)), "float64")
    q, r = np.linalg.qr(flat)
    q = q * np.sign(np.diagonal(r))  # makes the distribution uniform over the orthogonal matrices
    return _write(tensor, (q.T if rows < columns else q).reshape(shape) * gain)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """A matrix of normal numbers in which the fraction `sparsity` of each column is 0 (Martens, 2010)."""
    if floating(tensor, "sparse_", "tensor").array.ndim != 2:
        raise ValueError(f"sparse_: expected 2 dimensions, got {tuple(tensor.shape)}")
    if not (0 <= number(sparsity, "sparsity", "sparse_") <= 1 and number(std, "std", "sparse_") >= 0):
        raise ValueError(f"sparse_: expected sparsity between 0 and 1 and std >= 0, got {sparsity} and {std}")
    generator, (rows, columns) = _generator(generator, "sparse_"), tensor.array.shape
    y = generator.normal((rows, columns), "float64") * std
    for c in range(columns):
        y[generator.permutation(rows)[: math.ceil(sparsity * rows)], c] = 0
    return _write(tensor, y)


# ------------------------------------------------------------------------------------------- PyTorch's first names
def _deprecated(function):
    """The function under its name without the underscore, which warns, as in PyTorch."""
    name = function.__name__

    @functools.wraps(function)
    def call(*args, **kwargs):
        warnings.warn(f"nn.init.{name[:-1]} is deprecated; use nn.init.{name}", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    call.__name__, call.__doc__ = name[:-1], f"`{name}` under its deprecated name."
    return call


uniform, normal, constant = _deprecated(uniform_), _deprecated(normal_), _deprecated(constant_)
eye, dirac, sparse, orthogonal = _deprecated(eye_), _deprecated(dirac_), _deprecated(sparse_), _deprecated(orthogonal_)
xavier_uniform, xavier_normal = _deprecated(xavier_uniform_), _deprecated(xavier_normal_)
kaiming_uniform, kaiming_normal = _deprecated(kaiming_uniform_), _deprecated(kaiming_normal_)
