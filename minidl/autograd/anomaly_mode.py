"""PyTorch's path to anomaly mode."""

from ..modes import detect_anomaly, set_detect_anomaly

__all__ = ["detect_anomaly", "set_detect_anomaly"]
