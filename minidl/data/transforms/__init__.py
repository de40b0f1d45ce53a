"""Transforms of images, under torchvision's names. Each works on one sample; those with a `batch` method also on a
whole batch at once, with the same bits, and then the loader uses that.
"""

from .base import Compose, ImageTransform, Lambda, RandomApply, vectorised
from .colour import ColorJitter, Grayscale
from .erasing import Cutout, MixUp, RandomErasing
from .geometry import (
    CenterCrop,
    InterpolationMode,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)
from .tensors import ConvertImageDtype, Normalize, ToTensor

__all__ = ["CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype", "Cutout", "Grayscale", "ImageTransform"]
__all__ += ["InterpolationMode", "Lambda", "MixUp", "Normalize", "Pad", "RandomApply", "RandomCrop", "RandomErasing"]
__all__ += ["RandomHorizontalFlip", "RandomRotation", "RandomVerticalFlip", "Resize", "ToTensor", "vectorised"]
