"""Data sets by name: `Digits` lies in the package, `MNIST` is looked for on the disk or downloaded."""

from .digits import Digits
from .mnist import MNIST
from .source import DatasetError

__all__ = ["MNIST", "DatasetError", "Digits"]
