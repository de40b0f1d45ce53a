"""Layers to compare with PyTorch's, entered by the files of this folder: see `runs.py`."""

from . import basic, layers, losses, recurrent
from .runs import LAYERS, flat, given, made, run_layer
