"""PyTorch's `xpu`, Intel's GPUs: there are none here."""

from .mps import device_count, is_available

__all__ = ["device_count", "is_available"]
