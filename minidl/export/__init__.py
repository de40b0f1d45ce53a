"""Models for other programs: ONNX files, a NumPy script, PyTorch source, plain safetensors."""

from .numpy_script import to_numpy
from .onnx_model import export, to_onnx
from .trace import TraceError
