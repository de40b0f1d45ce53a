"""Layers to compare with PyTorch's, entered by the files of this folder: see `runs.py`."""

from . import attention, basic, layers, losses, modules, recurrent, sequences, spatial, subclasses
from .runs import LAYERS, flat, given, made, run_layer
