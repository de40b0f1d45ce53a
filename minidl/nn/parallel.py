"""PyTorch's wrappers for several devices and processes, as they are with one: the module itself is called."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from .. import cuda
from ..backend import device
from .module import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


def _one_device(where: str, device_ids: Sequence[Any] | None) -> list[Any]:
    """The devices named, at most one; without a GPU names of GPUs mean nothing, as in PyTorch."""
    ids = list(device_ids or []) if cuda.is_available() else []
    if len(ids) > 1:
        raise NotImplementedError(f"{where}: device_ids={ids}: batches are not split over several devices; give one")
    return ids


class DataParallel(Module):
    """The module itself, called on one device, under the name `module`; so its state dict's keys begin with `module.`.

    PyTorch's splits each batch over several GPUs. minidl computes on one: the outputs and gradients are those of the
    whole batch. NotImplementedError if several devices are named (and there are GPUs).

    >>> from minidl import nn
    >>> list(DataParallel(nn.Linear(2, 1)).state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(
        self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module, self.dim = module, dim
        self.device_ids = _one_device(type(self).__name__, device_ids)
        self.output_device = self.device_ids[0] if output_device is None and self.device_ids else output_device
        if self.device_ids:
            module.to(device("cuda", self.device_ids[0]) if isinstance(self.device_ids[0], int) else self.device_ids[0])

    def forward(self, *inputs, **kwargs):
        """What the module computes."""
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """The module itself, in a single process, under the name `module`; so its state dict's keys begin with `module.`.

    PyTorch's averages the gradients over several processes; the mean over one process is the gradient itself. The
    options that say how processes talk to each other (buckets, unused parameters, buffers) concern nothing here.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
    ) -> None:
        super().__init__()
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError("DistributedDataParallel: no parameter of the module requires a gradient")
        self.module, self.dim, self.process_group = module, dim, process_group
        self.device_ids = _one_device("DistributedDataParallel", device_ids)
        self.output_device, self.broadcast_buffers = output_device, broadcast_buffers
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph

    def forward(self, *inputs, **kwargs):
        """What the module computes."""
        return self.module(*inputs, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Within this block gradients are not averaged over processes; of one process they are the same."""
        yield

    @contextlib.contextmanager
    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False
    ) -> Iterator[None]:
        """For processes with unequal numbers of batches; a single one waits for nobody."""
        yield


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """`module(*inputs, **module_kwargs)`, on one device; see `DataParallel`.

    output_device and dim, which say how the parts of several devices are joined, concern nothing here, as in PyTorch
    with one device.
    """
    _one_device("data_parallel", device_ids)
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **(module_kwargs or {}))
