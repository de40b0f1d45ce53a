"""For programs that were written for PyTorch: minidl under the name `torch`, and what of PyTorch's names is missing."""

from .aliasing import install, run, uninstall
from .names import explain_everywhere, explain_missing

__all__ = ["explain_everywhere", "explain_missing", "install", "run", "uninstall"]
