"""Parameter under the path it has in PyTorch."""

from ..tensor import Parameter

__all__ = ["Parameter"]
