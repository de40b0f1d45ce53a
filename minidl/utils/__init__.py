"""PyTorch's path `utils`: `data` is `minidl.data` under its other name, `checkpoint` recomputes instead of keeping."""

from . import checkpoint, data, hooks

__all__ = ["checkpoint", "data", "hooks"]
