"""PyTorch's path to the writer of TensorBoard's event files, which here the package tensorboardX writes."""

from __future__ import annotations

import functools
from typing import Any

from ..tensor import Tensor

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes scalars, histograms, images, texts and more for TensorBoard to show, as PyTorch's class of this name.

    The methods are those of tensorboardX's SummaryWriter (`add_scalar`, `add_histogram`, `add_image`, `add_text`,
    `add_hparams`, `flush`, `close` ...); Tensors among their arguments may be on any device. `add_graph`, which needs
    PyTorch's tracer, is not there.

    Raises:
        ModuleNotFoundError: tensorboardX is not installed; the extra `minidl[tensorboard]` brings it.
    """

    def __init__(self, log_dir: str | None = None, comment: str = "", **options: Any) -> None:
        try:
            import tensorboardX
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'SummaryWriter needs tensorboardX: pip install "minidl[tensorboard]"', name=error.name
            ) from None
        self._writer = tensorboardX.SummaryWriter(log_dir, comment=comment, **options)
        self.log_dir = self._writer.logdir

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "add_graph":
            raise AttributeError(f"SummaryWriter has no {name!r}")
        method = getattr(self._writer, name)

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return method(*map(_on_host, args), **{key: _on_host(value) for key, value in kwargs.items()})

        return call

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.close()


def _on_host(value: Any) -> Any:
    """`value` with a NumPy array in the place of every Tensor."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {key: _on_host(item) for key, item in value.items()}
    return type(value)(map(_on_host, value)) if type(value) in (list, tuple) else value
