"""ONNX files, on PyTorch's path: `minidl.onnx.export`."""

from .export import export
from .export.trace import TraceError, is_in_onnx_export

OnnxExporterError = TraceError  # PyTorch's name for it

__all__ = ["export", "is_in_onnx_export", "OnnxExporterError"]
