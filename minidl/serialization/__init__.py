"""Saving and loading Tensors as safetensors files: whole or not at all, checked before use, never pickled.

Nested dicts, lists and plain values around the Tensors are kept as JSON in the file's metadata, so that a checkpoint is
one file that any safetensors reader can open. Files that PyTorch wrote are read by an interpreter that runs nothing.
"""

from .checkpoints import load, read_metadata, save
from .files import write_file
from .globals import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "read_metadata",
    "safe_globals",
    "save",
    "write_file",
]
