"""Calls that mean the same in PyTorch and here, entered by the files of this folder: see `library.py`."""

from . import functions, layers, losses, recurrent, tensors
from .library import CALLS, Call, Library, numbers, whole
from .nets import NETS
from .printing import PRINTED, PRINTED_WITH
from .training import OPTIMIZERS, trajectory
