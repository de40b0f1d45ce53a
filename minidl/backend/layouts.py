"""PyTorch's names for how elements lie in memory: `memory_format` and `layout` objects."""

from __future__ import annotations

from .dtypes import called


class memory_format:
    """The order of a tensor's elements in memory; `channels_last`: images with their channels side by side."""

    def __init__(self, name: str, order: tuple[int, ...] | None = None) -> None:
        self.name, self.order = name, order  # order: the dimensions from the outermost to the innermost

    def __repr__(self) -> str:
        return f"{called.name}.{self.name}"

    def __reduce__(self):
        return self.name


class layout(memory_format):
    """`strided`: dense; `sparse_coo`: that of an embedding's sparse gradient."""


contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
channels_last = memory_format("channels_last", (0, 2, 3, 1))
channels_last_3d = memory_format("channels_last_3d", (0, 2, 3, 4, 1))
strided, sparse_coo = layout("strided"), layout("sparse_coo")
