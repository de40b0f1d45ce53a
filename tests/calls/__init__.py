"""Calls that mean the same in PyTorch and here, entered by the files of this folder: see `library.py`."""

from . import (
    attention,
    autograd,
    distributions,
    functions,
    layers,
    losses,
    recurrent,
    sequences,
    spatial,
    surface,
    tensors,
    toplevel,
)
from .library import CALLS, Call, Library, numbers, whole
from .nets import NETS
from .printing import PRINTED, PRINTED_WITH
from .training import OPTIMIZERS, trajectory
