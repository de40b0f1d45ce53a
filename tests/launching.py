"""What tests of the GPU's kernels share: arrays on the device in any order of memory, and what a call launches."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from conftest import REAL_GPU

from minidl.backend import get_backend

CUDA = get_backend("cuda")
TOLERANCE = {"float16": 2e-2, "float32": 2e-5, "float64": 1e-12}
counts = pytest.mark.skipif(REAL_GPU, reason="the stand-in counts")


def up(x, spread: bool = False):
    """A NumPy array on the device, `spread`: with gaps between its numbers. None stays None."""
    if x is None:
        return None
    if not spread or not x.ndim:
        return CUDA.from_host(x)
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan if x.dtype.kind == "f" else 77, x.dtype)
    wide[..., ::2] = x
    return CUDA.from_host(wide)[..., ::2]


def down(x) -> np.ndarray:
    """The values of an array of the device."""
    assert type(x) is CUDA.array_type, f"expected an array of the device, got {type(x)}"
    return CUDA.to_host(x)


def same(found, want, dtype: str, times: float = 1.0) -> None:
    """`found`, on the device, is of `dtype` and is `want`, but for rounding."""
    found, limit = down(found), times * TOLERANCE[dtype]
    assert found.dtype == dtype and found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=limit, atol=limit * max(1.0, np.abs(want).max(initial=0)))


def launches(function, *arrays, **how) -> list[str]:
    """The names of what a call launches, which are the same when it is made again, without an upload or a wait."""
    standin, names = importlib.import_module("standin"), []
    for _ in range(2):
        with standin.counting() as count, standin.no_sync(), standin.no_upload():
            function(*arrays, **how)
        names.append(count.names)
    assert names[0] == names[1]
    return names[0]
