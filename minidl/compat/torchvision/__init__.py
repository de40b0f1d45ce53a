"""What programs import from `torchvision`: data sets and transforms, which are minidl's own, and sheets of images."""

from . import datasets, transforms, utils

__all__ = ["datasets", "transforms", "utils"]
