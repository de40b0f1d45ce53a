"""What PyTorch keeps in `torch.cuda`: whether there is a GPU, how many, and waiting for it."""

from __future__ import annotations

from .backend import get_backend
from .backend.random import manual_seed

__all__ = ["current_device", "device_count", "is_available", "manual_seed", "manual_seed_all", "synchronize"]


def is_available() -> bool:
    """Whether `'cuda'` can be used: CuPy is installed and finds a GPU.

    >>> device = "cuda" if is_available() else "cpu"
    """
    try:
        get_backend("cuda")
    except RuntimeError:
        return False
    return True


def device_count() -> int:
    """The number of GPUs; 0 where there is none, or no CuPy."""
    return get_backend("cuda").library.cuda.runtime.getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The number of the GPU that `'cuda'` means now."""
    return get_backend("cuda").library.cuda.Device().id


def synchronize(device=None) -> None:
    """Wait until the GPU has done all its work. RuntimeError where there is none."""
    get_backend("cuda" if device is None else device).synchronize()


manual_seed_all = manual_seed  # the numbers do not depend on the device
