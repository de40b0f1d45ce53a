"""`map_location`: on which device what is loaded shall lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend import device, get_backend
from ..backend.dtypes import as_dtype
from ..tensor import wrap


class Storage:
    """The memory behind the Tensors of a file, as far as a `map_location` function may ask about it."""

    def __init__(self, kind: np.dtype, numel: int, where: device | str = "cpu") -> None:
        self.dtype, self.device, self._numel = as_dtype(kind), device(where), numel

    def __len__(self) -> int:
        return self._numel

    size = __len__

    def nbytes(self) -> int:
        """Its size in bytes."""
        return self._numel * self.dtype.itemsize

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Storage:
        """It on a GPU."""
        return Storage(self.dtype.dtype, self._numel, "cuda" if device is None else device)

    def cpu(self) -> Storage:
        """It on the CPU."""
        return Storage(self.dtype.dtype, self._numel, "cpu")


def located(map_location: Any, where: str) -> Callable[[Storage, str | None], device]:
    """The function that says where a storage goes, of what a program may give as `map_location`.

    The location is what the file says of it, or None where the files say nothing. None: the CPU. A dict has new
    locations for old ones; a function of (storage, location) gives the storage on its device, or None for the location.
    """
    if map_location is None:
        return lambda storage, location: device("cpu")
    if isinstance(map_location, (str, device)) or (isinstance(map_location, int) and map_location is not True):
        fixed = device(map_location)
        get_backend(fixed)
        return lambda storage, location: fixed
    if isinstance(map_location, Mapping):
        return lambda storage, location: device(map_location.get(location or "cpu", location or "cpu"))
    if not callable(map_location):
        raise TypeError(
            f"{where}: map_location must be a device, its name, a dict, a function or None, "
            f"got {type(map_location).__name__}"
        )

    def asked(storage: Storage, location: str | None) -> device:
        chosen = map_location(storage, location or "cpu")
        if chosen is None:
            return device(location or "cpu")
        found = getattr(chosen, "device", chosen)
        if not isinstance(found, (str, device)):
            raise TypeError(f"{where}: map_location must return the storage or None, got {type(chosen).__name__}")
        return device(found)

    return asked


def placed(array: np.ndarray, where: device):
    """A Tensor of a host array, on the device."""
    return wrap(get_backend(where).from_host(array, where))
