"""Optimizers, under PyTorch's names: they change parameters by the gradients that backward left in `.grad`."""

from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
