"""PyTorch's path `utils._foreach_utils`: Tensors sorted by device and dtype, for optimizers that take many at once."""

from __future__ import annotations

from ..tensor import Tensor

Indices = list[int]
TensorListList = list[list[Tensor | None]]


def _group_tensors_by_device_and_dtype(tensorlistlist, with_indices: bool = False) -> dict:
    """(device, dtype) of the first list's Tensors -> (for each list those of them, their places if asked for)."""
    groups: dict = {}
    for i, first in enumerate(tensorlistlist[0] if tensorlistlist else ()):
        lists, places = groups.setdefault((first.device, first.dtype), ([[] for _ in tensorlistlist], []))
        for collected, tensors in zip(lists, tensorlistlist, strict=True):
            if tensors:
                collected.append(tensors[i])
        if with_indices:
            places.append(i)
    return groups


def _get_foreach_kernels_supported_devices() -> list[str]:
    return ["cuda"]


def _get_fused_kernels_supported_devices() -> list[str]:
    return ["cuda", "cpu"]


def _device_has_foreach_support(device) -> bool:
    return device.type in ("cuda", "cpu")


def _has_foreach_support(tensors, device) -> bool:
    return _device_has_foreach_support(device)
