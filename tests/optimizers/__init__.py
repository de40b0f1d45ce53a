"""Paths of optimizers to compare with PyTorch's: smooth problems, a table of walks over them, and how to walk."""

from .problems import PROBLEMS
from .table import WALKS, Walk
from .walking import RECORDED, Side, check, walk
