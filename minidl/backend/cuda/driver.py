"""CuPy, or what is missing for it: the package, its libraries, the driver, the GPU."""

from __future__ import annotations

import importlib.metadata
import re

from .. import device

_EXTRAS = "pip install 'minidl[cuda13]' or pip install 'minidl[cuda12]'"


def _wheels() -> list[str]:
    """The installed distributions that bring the package `cupy`: at most one may."""
    names = {(d.metadata["Name"] or "").lower() for d in importlib.metadata.distributions()}
    return sorted(n for n in names if re.fullmatch(r"cupy(-cuda\d+x?|-rocm-[\d-]+)?", n))


def _one_only() -> None:
    """Raise if two wheels lie over each other: which files of which are there is a matter of chance."""
    found = _wheels()
    if len(found) > 1:
        raise RuntimeError(
            f"device 'cuda': several versions of CuPy are installed over each other: {', '.join(found)}; remove all, "
            f"pip uninstall {' '.join(found)}, and install the one that fits your CUDA driver: {_EXTRAS}"
        )


try:
    import cupy
except ImportError as error:
    if error.name == "cupy":
        raise RuntimeError(
            f"device 'cuda': CuPy is not installed; install the extra that fits your CUDA driver: {_EXTRAS}"
        ) from error
    _one_only()
    raise RuntimeError(
        f"device 'cuda': CuPy is installed but cannot be imported ({error}); install it anew, with the libraries that "
        f"it needs: {_EXTRAS}"
    ) from error
_one_only()


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _count(where: device) -> int:
    runtime = cupy.cuda.runtime
    try:
        return runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        text, reason = str(error), ""
        if "InsufficientDriver" in text or "insufficient" in text:
            driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
            reason = "; install NVIDIA's driver, or use device 'cpu'"
            if driver:
                reason = (
                    f"; it is made for CUDA {_version(needed)}, and the driver is for CUDA {_version(driver)}: update "
                    f"the driver, or install the extra that fits it, {_EXTRAS}"
                )
        elif "NoDevice" in text or "no CUDA-capable" in text:
            reason = "; does CUDA_VISIBLE_DEVICES hide it?"
        said = f"CuPy {cupy.__version__} found no usable GPU or driver ({text})"
        raise RuntimeError(f"device '{where}': {said}{reason}") from error


def check(where: device) -> None:
    """Raise unless `where` names a GPU that is there."""
    count = _count(where)
    if (where.index or 0) >= count:
        there = (
            "no GPU"
            if not count
            else "one GPU, 'cuda:0'"
            if count == 1
            else f"{count} GPUs, the last 'cuda:{count - 1}'"
        )
        raise RuntimeError(f"device '{where}': this machine has {there}")
