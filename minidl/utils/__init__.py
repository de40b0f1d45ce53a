"""PyTorch's path `utils`: here only its `utils.data`, which is `minidl.data` under its other name."""

from . import data

__all__ = ["data"]
